//! The one server of these tests, its people, and the ends that sipp plays.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::script::written_out;
use super::support::namespace::Namespace;
use super::support::program::{Launch, Program};
use super::support::raw::Raw;
use super::support::server::{DOMAIN, PASSWORD, Server};
use super::support::{STEP, until};

/// What the longest scenario may take: a session that nobody refreshes, on a busy machine.
const END: Duration = Duration::from_secs(120);

/// The address of server and phones, on a host of their own.
const ADDRESS: &str = "127.0.0.1";

/// The server, for as long as any test is with it.
pub struct House {
    pub host: Namespace,
    pub server: Server,
    /// The thread that started the server ends with this, as the server ends with its thread.
    _keeper: Sender<()>,
}

impl House {
    /// The server that other tests have started, or a new one. It believes what people say of themselves.
    pub fn enter() -> Arc<Self> {
        static HOUSE: Mutex<Weak<House>> = Mutex::new(Weak::new());
        Self::enter_by(&HOUSE, "require_auth = false")
    }

    /// The same of a server that wants a proof.
    pub fn enter_guarded() -> Arc<Self> {
        static GUARDED: Mutex<Weak<House>> = Mutex::new(Weak::new());
        Self::enter_by(&GUARDED, "")
    }

    fn enter_by(known: &Mutex<Weak<Self>>, sip: &'static str) -> Arc<Self> {
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(house) = known.upgrade() {
            return house;
        }
        let house = Arc::new(Self::start(sip));
        *known = Arc::downgrade(&house);
        house
    }

    fn start(sip: &'static str) -> Self {
        let (keeper, over) = mpsc::channel::<()>();
        let (out, started) = mpsc::channel();
        thread::spawn(move || {
            let host = Namespace::alone();
            let server = Server::serve(&host, ADDRESS, sip, "");
            let _ = out.send((host, server));
            let _ = over.recv();
        });
        let (host, server) = started.recv().expect("the server starts");
        Self { host, server, _keeper: keeper }
    }

    /// Somebody whom no other test knows.
    #[track_caller]
    pub fn person(&self) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(1_001);
        let name = COUNT.fetch_add(1, Ordering::Relaxed).to_string();
        self.server.make_user(&name);
        name
    }

    /// A scenario of someone who waits, and registers first.
    #[track_caller]
    pub fn callee(&self, user: &str, file: &str) -> End {
        self.callee_with(user, file, &[])
    }

    #[track_caller]
    pub fn callee_with(&self, user: &str, file: &str, words: &[&str]) -> End {
        let end = self.waiting(file, &[&["-s", user], words].concat());
        let mut raw = Raw::new(&self.host, ADDRESS, self.server.sip);
        raw.reached.set_port(end.port);
        raw.register(DOMAIN, user, PASSWORD);
        end
    }

    /// A scenario of a server that waits.
    #[track_caller]
    pub fn server_of(&self, file: &str) -> End {
        self.waiting(file, &["-s", "server"])
    }

    #[track_caller]
    fn waiting(&self, file: &str, words: &[&str]) -> End {
        let end = self.end(file, words);
        until(STEP, &format!("the socket of {file}"), || end.listens().then_some(()));
        end
    }

    /// A scenario of someone who begins.
    #[track_caller]
    pub fn caller(&self, user: &str, called: &str, file: &str) -> End {
        self.caller_with(user, called, file, &[])
    }

    #[track_caller]
    pub fn caller_with(&self, user: &str, called: &str, file: &str, words: &[&str]) -> End {
        let server = self.server.sip.to_string();
        let who = ["-s", called, "-key", "caller", user];
        self.end(file, &[&who, words, &[&server]].concat())
    }

    /// One sipp at a port of its own. Of a word that is said twice the last counts.
    #[track_caller]
    fn end(&self, file: &str, words: &[&str]) -> End {
        static PORT: AtomicU16 = AtomicU16::new(10_000);
        let port = PORT.fetch_add(1, Ordering::Relaxed);
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sipp").join(file);
        let text = fs::read_to_string(source).expect("a scenario");
        let folder = self.server.folder();
        let written = folder.join(format!("{port}-{file}"));
        fs::write(&written, written_out(file, &text)).expect("the test's folder can be written");
        let at = |kind| written.with_extension(kind);
        let (log, faults, heard) = (at("log"), at("faults"), at("heard"));
        let number = port.to_string();
        let program = Launch::installed("sipp")
            .words(["-i", ADDRESS, "-p", &number, "-nostdin", "-m", "1"])
            .words(["-sf", &*written.to_string_lossy()])
            .words(["-trace_err", "-error_file", &*faults.to_string_lossy()])
            .words(["-trace_logs", "-log_file", &*log.to_string_lossy()])
            .words(["-trace_msg", "-message_file", &*heard.to_string_lossy()])
            .words(words.iter().copied())
            .folder(folder)
            .on(&self.host)
            .start();
        End { name: file.to_owned(), program, port, log, faults, heard }
    }

    /// The record of the call between these two.
    #[track_caller]
    pub fn record(&self, user: &str) -> Value {
        until(STEP, &format!("a record of {user}"), || {
            self.server.door.items(&format!("/v1/records?user={user}")).into_iter().next()
        })
    }

    /// Sets something by the API.
    #[track_caller]
    pub fn put(&self, path: &str, body: &Value) {
        self.server.door.put(path, "application/json", body.to_string().as_bytes());
    }
}

/// One sipp that plays one end of a call.
pub struct End {
    name: String,
    program: Program,
    pub port: u16,
    log: PathBuf,
    faults: PathBuf,
    heard: PathBuf,
}

impl End {
    /// Whether its socket is there.
    fn listens(&self) -> bool {
        let process = PathBuf::from(format!("/proc/{}", self.program.id()));
        let read = |file: &str| fs::read_to_string(process.join(file)).unwrap_or_default();
        let port = format!(":{:04X}", self.port);
        let mut sockets = String::new();
        if read("comm").trim() == "sipp" {
            sockets = read("net/udp");
        }
        sockets.lines().any(|line| {
            line.split_whitespace().nth(1).is_some_and(|address| address.ends_with(&port))
        })
    }

    /// What the scenario has logged first, once there is a whole line.
    #[track_caller]
    pub fn logged(&self) -> String {
        self.logged_line(0)
    }

    /// The line of this number.
    #[track_caller]
    pub fn logged_line(&self, number: usize) -> String {
        until(STEP, &format!("what {} notes", self.name), || {
            let text = fs::read_to_string(&self.log).unwrap_or_default();
            let mut lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            lines.nth(number).map(|line| line.trim().to_owned())
        })
    }

    /// Waits for the end of the scenario, which must have gone as written.
    #[track_caller]
    pub fn done(mut self) {
        let status = until(END, &format!("the end of {}", self.name), || {
            // After a check that failed sipp goes on waiting.
            let faults = fs::read_to_string(&self.faults).unwrap_or_default();
            assert!(!faults.contains("Failed regexp"), "{}: {faults}", self.name);
            self.program.poll_end()
        });
        assert!(status.success(), "{} ended with {status}", self.name);
    }
}

impl Drop for End {
    fn drop(&mut self) {
        if thread::panicking() {
            for file in [&self.heard, &self.faults] {
                let text = fs::read_to_string(file).unwrap_or_default();
                eprintln!("--- {} of {}:\n{text}", file.display(), self.name);
            }
        }
    }
}
