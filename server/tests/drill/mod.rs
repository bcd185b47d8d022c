//! A server whose world a test breaks: its file, its signals, its disk; and calls between phones made of text.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use cluster::rows;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::http::{Answer, Door};
use crate::support::namespace::Namespace;
use crate::support::program::{Launch, Program, find};
use crate::support::raw::{Ask, Heard, Raw};
use crate::support::{STEP, until};

pub const DOMAIN: &str = "example.com";
pub const PASSWORD: &str = "correct-horse";
/// A server must be ready within this.
const READY: Duration = Duration::from_secs(20);

/// What the sections of a file say here beside addresses and folders.
pub const OPEN: &str = "require_auth = false";

/// By what `fiu-ctrl` talks with a server that was started by `fiu-run`.
const CONTROL: &str = "fiu";

/// A server alone on its host.
pub struct Drill {
    pub host: Namespace,
    pub program: Program,
    pub door: Door,
    pub sip: SocketAddr,
    pub file: PathBuf,
    launch: Launch,
    /// Removed with the value.
    pub folder: TempDir,
}

impl Drill {
    /// Starts `carillon serve` with these lines in `[node]`, in `[sip]`, and behind all sections.
    #[track_caller]
    pub fn start(node: &str, sip: &str, more: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("data");
        let rows = if more.contains("[store]") { String::new() } else { rows::section() };
        Self::start_in(folder, &data, &[], &text(&data, node, sip, &format!("{more}\n{rows}")))
    }

    /// The same with its data elsewhere, further words, and this file.
    #[track_caller]
    pub fn start_in(folder: TempDir, data: &Path, words: &[&str], text: &str) -> Self {
        let launch = Launch::built(env!("CARGO_BIN_EXE_carillon"));
        Self::launched(launch, folder, data, words, text)
    }

    /// The same with open registration, on a disk that [`disk_fails`](Self::disk_fails).
    #[track_caller]
    pub fn start_on_bad_disk() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (data, control) = (folder.path().join("data"), folder.path().join(CONTROL));
        let launch = Launch::installed("fiu-run").words(["-x", "-f", &control.to_string_lossy()]);
        let launch = launch.words([env!("CARGO_BIN_EXE_carillon")]);
        let text = text(&data, "", OPEN, "");
        Self::launched(launch, folder, &data, &[], &text)
    }

    /// From now on these calls of the system fail as an input or output error would, or do not any more.
    /// `calls`: the last parts of libfiu's names below `posix/io`.
    #[track_caller]
    pub fn disk_fails(&self, calls: &[&str], fails: bool) {
        for call in calls {
            let order = if fails {
                format!("enable name=posix/io/{call},failinfo={}", nix::errno::Errno::EIO as i32)
            } else {
                format!("disable name=posix/io/{call}")
            };
            let mut program = Command::new(find("fiu-ctrl"));
            program.arg("-f").arg(self.folder.path().join(CONTROL)).args(["-c", &order]);
            let done = program.arg(self.program.id().to_string()).status();
            assert!(done.expect("fiu-ctrl starts").success(), "{order}");
        }
    }

    #[track_caller]
    fn launched(launch: Launch, folder: TempDir, data: &Path, words: &[&str], text: &str) -> Self {
        let host = Namespace::alone();
        let file = folder.path().join("carillon.toml");
        fs::write(&file, text).expect("the folder can be written");
        let launch = launch
            .words(["serve", "--json", "--config", &file.to_string_lossy()])
            .words(words.iter().copied())
            .folder(folder.path())
            .on(&host);
        let mut program = launch.start();
        let ready = ready(&mut program);
        let env = fs::read_to_string(data.join(".env.carillon")).expect("the keys");
        let token = env.lines().find_map(|line| line.strip_prefix("CARILLON_TOKEN="));
        let address = ready["http"].as_str().expect("an address").trim_start_matches("http://");
        let door = Door {
            host: host.clone(),
            address: address.parse().expect("an address"),
            token: token.expect("a token").to_owned(),
        };
        let sip = ready["sip"].as_str().expect("an address").parse().expect("an address");
        Self { host, program, door, sip, file, launch, folder }
    }

    /// SIGKILL, and a start with what was kept.
    #[track_caller]
    pub fn kill_and_restart(&mut self) {
        self.kill_and_start();
        self.until_ready();
    }

    /// A start after it was stopped.
    #[track_caller]
    pub fn start_again(&mut self) {
        self.program = self.launch.start();
        self.until_ready();
    }

    /// The same without waiting until it is ready.
    pub fn kill_and_start(&mut self) {
        self.program.kill();
        self.program = self.launch.start();
    }

    /// Waits until it says that it is ready.
    #[track_caller]
    pub fn until_ready(&mut self) {
        ready(&mut self.program);
    }

    /// Asks it to end, without a drain.
    #[track_caller]
    pub fn stop_now(&mut self) {
        self.program.signal(Signal::SIGTERM);
        self.heard("draining");
        self.program.signal(Signal::SIGTERM);
        assert!(self.program.wait(STEP).success(), "a stop is no failure");
    }

    /// The next line of its log with this event.
    #[track_caller]
    pub fn heard(&mut self, event: &str) -> Value {
        self.program.line(STEP, event, |line| {
            let line: Value = serde_json::from_str(line).ok()?;
            (line["message"] == event).then_some(line)
        })
    }

    pub fn put_user(&self, name: &str) -> Answer {
        let body = json!({ "password": PASSWORD, "display_name": "" }).to_string();
        let path = format!("/v1/users/{name}");
        let token = self.door.token.as_str();
        self.door.ask("PUT", &path, Some(token), "application/json", body.as_bytes())
    }

    /// Status and parts.
    pub fn parts(&self) -> (u16, Value) {
        let answer = self.door.ask("GET", "/readyz", None, "", b"");
        (answer.status, answer.json()["parts"].clone())
    }

    /// Waits until `/readyz` says this of a part.
    #[track_caller]
    pub fn until_part(&self, status: u16, part: &str, good: bool) {
        until(STEP * 2, &format!("{part} is {good} with {status}"), || {
            let (found, parts) = self.parts();
            (found == status && (parts[part] == "ok") == good).then_some(())
        });
    }

    /// A phone that is registered as this user, which is made.
    #[track_caller]
    pub fn phone(&self, user: &str) -> Raw {
        assert_eq!(self.put_user(user).status, 201);
        let mut phone = Raw::new(&self.host, "127.0.0.1", self.sip);
        phone.register(DOMAIN, user, PASSWORD);
        phone
    }
}

/// Call-IDs go to shards by their hash: so many in a row have been everywhere.
const DRAIN_ROW: usize = 24;

/// Waits until all shards have heard that the server drains.
#[track_caller]
pub fn until_drains(phone: &mut Raw) {
    let uri = format!("sip:{DOMAIN}");
    let (mut round, mut row) = (0, 0);
    until(STEP, "OPTIONS says that it drains, whatever its Call-ID", || {
        round += 1;
        let ask = Ask {
            method: "OPTIONS",
            uri: &uri,
            from: "<sip:probe@example.com>;tag=d",
            to: &format!("<{uri}>"),
            call_id: &format!("drains-{round}"),
            more: "",
            body: "",
        };
        row = if phone.ask(&ask).status() == 503 { row + 1 } else { 0 };
        (row == DRAIN_ROW).then_some(())
    });
}

/// A file with these lines in `[node]`, in `[sip]`, and behind all sections.
pub fn text(data: &Path, node: &str, sip: &str, more: &str) -> String {
    format!(
        "[node]\ndata = {data:?}\ndomain = \"{DOMAIN}\"\n{node}\n\
         [sip]\nlisten = [\"udp://127.0.0.1:5060\", \"tcp://127.0.0.1:5060\"]\ndigest = [\"MD5\"]\n{sip}\n\
         [http]\nlisten = \"127.0.0.1:8088\"\n{more}\n"
    )
}

#[track_caller]
fn ready(program: &mut Program) -> Value {
    program.line(READY, "the line that it is ready", |line| {
        serde_json::from_str::<Value>(line).ok().filter(|line| line["ready"] == true)
    })
}

/// A call that is up.
pub struct Call {
    from: String,
    call_id: String,
    /// What the caller heard.
    answer: Heard,
}

impl Call {
    /// `caller` calls `callee`, who takes it at once.
    #[track_caller]
    pub fn begin(caller: &mut Raw, callee: &mut Raw, user: &str, call_id: &str) -> Self {
        let from = format!("<sip:caller@{DOMAIN}>;tag={call_id}");
        let uri = format!("sip:{user}@{DOMAIN}");
        let body = caller.sdp();
        let invite = caller.text(&Ask {
            method: "INVITE",
            uri: &uri,
            from: &from,
            to: &format!("<{uri}>"),
            call_id,
            more: "",
            body: &body,
        });
        caller.send(&invite);
        let rung = callee.hear("the INVITE", |heard| heard.text.starts_with("INVITE "));
        callee.answer(&rung, "200 OK", "callee", "", &callee.sdp());
        let answer = caller.response("INVITE");
        assert_eq!(answer.status(), 200, "{}", answer.text);
        caller.acknowledge(&answer);
        callee.hear("the ACK", |heard| heard.text.starts_with("ACK "));
        Self { from, call_id: call_id.to_owned(), answer }
    }

    /// The caller hangs up, and the callee hears it.
    #[track_caller]
    pub fn end(&self, caller: &mut Raw, callee: &mut Raw) {
        let bye = caller.ask(&Ask {
            method: "BYE",
            uri: &self.answer.contact(),
            from: &self.from,
            to: self.answer.field("To").expect("a To"),
            call_id: &self.call_id,
            more: "",
            body: "",
        });
        assert_eq!(bye.status(), 200, "{}", bye.text);
        let heard = callee.hear("the BYE", |heard| heard.text.starts_with("BYE "));
        callee.answer(&heard, "200 OK", "", "", "");
    }
}
