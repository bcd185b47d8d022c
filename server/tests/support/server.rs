//! `carillon` itself, as an operator runs it.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cluster::rows;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::http::Door;
use super::namespace::Namespace;
use super::program::{Launch, Program};
use super::{STEP, until};

/// The password of everybody whom a test makes.
pub const PASSWORD: &str = "correct-horse";

/// The domain of everybody in a server of `serve`.
pub const DOMAIN: &str = "example.com";

/// A server must be ready within this.
const READY: Duration = Duration::from_secs(20);

/// SIP, on every host.
const SIP: u16 = 5060;
/// The port that phones share where a test says so ([`Server::serve_sharing`]).
pub const SHARED: u16 = 19_000;
/// HTTP, on loopback of the server's host.
const HTTP: &str = "127.0.0.1:8088";

/// A running server.
pub struct Server {
    launch: Launch,
    program: Program,
    pub door: Door,
    pub sip: SocketAddr,
    /// Where `.env.carillon` is, and what it says.
    pub env: PathBuf,
    pub written: BTreeMap<String, String>,
    folder: TempDir,
}

impl Server {
    /// `carillon serve` with SIP and media on `address`. `sip` holds further lines of that section, `more` further
    /// sections.
    #[track_caller]
    pub fn serve(host: &Namespace, address: &str, sip: &str, more: &str) -> Self {
        Self::serve_by(host, address, sip, more, |file| {
            Launch::built(env!("CARGO_BIN_EXE_carillon"))
                .words(["serve", "--config", file, "--json"])
        })
    }

    /// The same with one port for the media of all phones that can share it.
    #[track_caller]
    pub fn serve_sharing(host: &Namespace, address: &str) -> Self {
        Self::serve_by(host, address, "", "", |file| {
            Launch::built(env!("CARGO_BIN_EXE_carillon"))
                .words(["serve", "--config", file, "--json"])
                .environment("CARILLON_MEDIA__SHARED_PORT", &SHARED.to_string())
                .environment("CARILLON_MEDIA__AMR", "offer")
        })
    }

    /// The same by another program; `launch` is given the configuration's path.
    #[track_caller]
    pub fn serve_by(
        host: &Namespace,
        address: &str,
        sip: &str,
        more: &str,
        launch: impl FnOnce(&str) -> Launch,
    ) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the server");
        let file = folder.path().join("carillon.toml");
        let data = folder.path().join("data");
        let rows = rows::section();
        let text = format!(
            "[node]\ndata = {data:?}\ndomain = \"{DOMAIN}\"\n\
             [sip]\nlisten = [\"udp://{address}:{SIP}\", \"tcp://{address}:{SIP}\"]\n\
             digest = [\"MD5\"]\n{sip}\n\
             [media]\naddress = \"{address}\"\nports = \"20000-29999\"\n\
             [http]\nlisten = \"{HTTP}\"\n{more}\n{rows}"
        );
        fs::write(&file, text).expect("the test's folder can be written");
        Self::start(launch(&file.to_string_lossy()).on(host), host, folder)
    }

    /// `carillon dev` as it comes, on loopback, but for media, which is on `media`.
    #[track_caller]
    pub fn dev(host: &Namespace, media: &str) -> Self {
        Self::dev_with(host, media, "")
    }

    /// The same with further sections.
    #[track_caller]
    pub fn dev_with(host: &Namespace, media: &str, more: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the server");
        let data = folder.path().join("data");
        Self::dev_at(host, media, &data, more, folder)
    }

    /// The same with its data elsewhere.
    #[track_caller]
    pub fn dev_at(host: &Namespace, media: &str, data: &Path, more: &str, folder: TempDir) -> Self {
        let data = data.to_string_lossy().into_owned();
        let file = folder.path().join("carillon.toml").to_string_lossy().into_owned();
        fs::write(&file, more).expect("the test's folder can be written");
        let launch = Launch::built(env!("CARGO_BIN_EXE_carillon"))
            .words(["dev", "--data", &data, "--config", &file, "--json"])
            .environment("CARILLON_MEDIA__ADDRESS", media)
            .on(host);
        Self::start(launch, host, folder)
    }

    #[track_caller]
    fn start(launch: Launch, host: &Namespace, folder: TempDir) -> Self {
        let launch = launch.folder(folder.path());
        let mut program = launch.start();
        let ready = ready(&mut program);
        let text = |key: &str| ready[key].as_str().expect("a text in the first line").to_owned();
        let env = PathBuf::from(text("env"));
        let written = fs::read_to_string(&env).expect("the file that the first line names");
        let written: BTreeMap<String, String> = written
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(name, value)| {
                (name.trim().to_owned(), value.trim().trim_matches('"').to_owned())
            })
            .collect();
        let http = text("http");
        let door = Door {
            host: host.clone(),
            address: http.trim_start_matches("http://").parse().expect("an address"),
            token: written.get("CARILLON_TOKEN").expect("a token").clone(),
        };
        let sip = text("sip").parse().expect("an address");
        Self { launch, program, door, sip, env, written, folder }
    }

    /// Ends it as a power cut would, and starts it again with what it had kept.
    #[track_caller]
    pub fn kill_and_restart(&mut self) {
        self.program.kill();
        self.program = self.launch.start();
        ready(&mut self.program);
    }

    /// Whether it still runs; it must, after whatever was thrown at it.
    #[track_caller]
    pub fn assert_alive(&mut self) {
        assert!(self.program.poll_end().is_none(), "the server ended");
        assert_eq!(self.door.ask("GET", "/readyz", None, "", b"").status, 200, "it is not ready");
    }

    /// Lines that it has printed.
    pub fn said(&self) -> Vec<String> {
        self.program.said()
    }

    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// Makes a person with the password of all.
    #[track_caller]
    pub fn make_user(&self, name: &str) {
        let body = json!({ "password": PASSWORD, "display_name": format!("User {name}") });
        self.door.put(
            &format!("/v1/users/{name}"),
            "application/json",
            body.to_string().as_bytes(),
        );
    }

    /// Waits until `user` has `count` bindings.
    #[track_caller]
    pub fn bindings(&self, user: &str, count: usize) -> Vec<Value> {
        until(STEP, &format!("{count} bindings of {user}"), || {
            let items = self.door.items(&format!("/v1/bindings?user={user}"));
            (items.len() == count).then_some(items)
        })
    }

    /// The one live call.
    #[track_caller]
    pub fn call(&self) -> String {
        until(STEP, "a live call", || {
            let calls = self.door.items("/v1/calls");
            Some(calls.first()?["id"].as_str().expect("a call has an id").to_owned())
        })
    }

    /// The record of a call that is over; there is no live call any more.
    #[track_caller]
    pub fn record(&self, id: &str) -> Value {
        let record = until(STEP, &format!("the record of {id}"), || {
            let is_it = |record: &Value| record["id"] == id || record["call_id"] == id;
            self.door.items("/v1/records").into_iter().find(is_it)
        });
        until(STEP, "the end of the call", || {
            self.door.items("/v1/calls").is_empty().then_some(())
        });
        record
    }

    /// Prints what was said in every call, for whoever reads why a test failed.
    pub fn show_ladders(&self) {
        let calls = ["/v1/calls", "/v1/records"].map(|path| self.door.items(path));
        for call in calls.iter().flatten() {
            let Some(id) = call["id"].as_str().or(call["call_id"].as_str()) else { continue };
            eprintln!("--- the ladder of {id}:");
            let ladder = self.door.get(&format!("/v1/calls/{id}/ladder"));
            for line in ladder["items"].as_array().into_iter().flatten() {
                let text = line["text"].as_str().unwrap_or_default();
                eprintln!("{} {} {}", line["time"], line["lane"], text.replace("\r\n", "\n    "));
            }
        }
    }

    /// The ladder of a call.
    #[track_caller]
    pub fn ladder(&self, id: &str) -> Ladder {
        Ladder(self.door.get(&format!("/v1/calls/{id}/ladder")))
    }
}

#[track_caller]
fn ready(program: &mut Program) -> Value {
    program.line(READY, "the line that it is ready", |line| {
        // A test program that plays the server has its own words before it.
        let json = line.get(line.find('{')?..)?;
        serde_json::from_str::<Value>(json).ok().filter(|line| line["ready"] == true)
    })
}

/// What was said in a call.
#[derive(Debug)]
pub struct Ladder(pub Value);

impl Ladder {
    /// The texts of one lane: `sip_in`, `sip_out`, `push`, `note`, `web`.
    pub fn lane(&self, lane: &str) -> Vec<&str> {
        let items = self.0["items"].as_array().expect("a list");
        let texts = items.iter().filter(|item| item["lane"] == lane);
        texts.filter_map(|item| item["text"].as_str()).collect()
    }

    /// Fails unless the SIP messages of both directions begin with these words, in this order, others between them.
    #[track_caller]
    pub fn assert_holds(&self, wanted: &[&str]) {
        let items = self.0["items"].as_array().expect("a list");
        let sip = items.iter().filter(|item| item["lane"] == "sip_in" || item["lane"] == "sip_out");
        let mut starts = sip.filter_map(|item| item["text"].as_str()?.lines().next());
        for word in wanted {
            assert!(starts.any(|start| start.starts_with(word)), "{word} is missing in {self:#?}");
        }
    }

    /// The INVITEs that went out.
    pub fn invites_out(&self) -> Vec<&str> {
        self.lane("sip_out").into_iter().filter(|text| text.starts_with("INVITE ")).collect()
    }
}
