//! `carillon phone`: our own phone, as a script drives it.

use std::process::ExitStatus;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

use super::STEP;
use super::namespace::Namespace;
use super::program::{Launch, Program};

/// A running `carillon phone`.
pub struct Phone {
    program: Program,
    folder: TempDir,
}

impl Phone {
    /// Starts it on `host`: `login` says who and where, `action` what it does. It says `signal` in its call.
    #[track_caller]
    pub fn start(host: &Namespace, login: &[&str], action: &[&str], signal: &[i16]) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the phone");
        let [says, hears] = ["says.wav", "hears.wav"].map(|name| folder.path().join(name));
        super::wave::write(&says, signal);
        let program = Launch::built(env!("CARGO_BIN_EXE_carillon"))
            .words(["phone", "--json"])
            .words(login.iter().chain(action).copied())
            .words(["--play", &*says.to_string_lossy(), "--record", &*hears.to_string_lossy()])
            .on(host)
            .start();
        Self { program, folder }
    }

    /// Waits for an event of this kind, among those not waited for yet.
    #[track_caller]
    pub fn event(&mut self, limit: Duration, kind: &str) -> Value {
        self.program.line(limit, kind, |line| {
            let event: Value = serde_json::from_str(line).ok()?;
            (event["event"] == kind).then_some(event)
        })
    }

    /// Ends the call as Ctrl-C does, and the phone with it.
    #[track_caller]
    pub fn hang_up(&mut self) {
        self.program.signal(Signal::SIGINT);
        let ended = self.ended();
        assert!(ended.success(), "our phone ended with {ended}");
    }

    /// Waits until it has done what it was started for.
    #[track_caller]
    pub fn ended(&mut self) -> ExitStatus {
        self.program.wait(STEP)
    }

    /// What it heard, once it has ended.
    #[track_caller]
    pub fn heard(&self) -> Vec<i16> {
        super::wave::read(&self.folder.path().join("hears.wav"))
    }
}
