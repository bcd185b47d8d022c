//! A phone on pjsua2: foreign, and strict about what it reads.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::STEP;
use super::baresip::Login;
use super::namespace::{Namespace, PHONES};
use super::program::{Launch, Program, python};

/// A running phone.
pub struct Pjsua {
    program: Program,
    folder: TempDir,
}

impl Pjsua {
    /// Starts it on the phones' host and waits until it is registered. It says `signal` in every call. `more`: options of
    /// its script.
    #[track_caller]
    pub fn start(host: &Namespace, login: &Login<'_>, more: &Value, signal: &[i16]) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the phone");
        super::wave::write(&folder.path().join("says.wav"), signal);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/pjsua.py");
        let program = Launch::built(&python().to_string_lossy())
            .words([&*script.to_string_lossy()])
            .folder(folder.path())
            .on(host)
            .start();
        let mut phone = Self { program, folder };
        let Login { user, password, server, transport, port } = login;
        let mut options = json!({
            "user": user, "password": password, "server": server, "transport": transport, "port": port,
            "address": PHONES,
        });
        for (name, value) in more.as_object().into_iter().flatten() {
            options[name] = value.clone();
        }
        phone.program.tell(&options.to_string());
        let registered = phone.event(STEP, "registration");
        assert_eq!(registered["status"], 200, "{registered}");
        phone
    }

    /// Waits for an event of this kind, among those not waited for yet.
    #[track_caller]
    pub fn event(&mut self, limit: Duration, kind: &str) -> Value {
        self.program.line(limit, kind, |line| {
            let event: Value = serde_json::from_str(line).ok()?;
            (event["event"] == kind).then_some(event)
        })
    }

    /// Waits until a call is in this state: `EARLY`, `CONFIRMED`, `DISCONNECTED`.
    #[track_caller]
    pub fn state(&mut self, state: &str) -> Value {
        self.program.line(STEP, state, |line| {
            let event: Value = serde_json::from_str(line).ok()?;
            (event["event"] == "state" && event["state"] == state).then_some(event)
        })
    }

    /// Waits until its sound is in this state: `both ways`, `held`, `held by the other side`.
    #[track_caller]
    pub fn media(&mut self, state: &str) {
        self.program.line(STEP, state, |line| {
            let event: Value = serde_json::from_str(line).ok()?;
            (event["event"] == "media" && event["state"] == state).then_some(())
        });
    }

    #[track_caller]
    pub fn tell(&mut self, order: &Value) {
        self.program.tell(&order.to_string());
    }

    /// What it heard since it started.
    #[track_caller]
    pub fn heard(&self) -> Vec<i16> {
        super::wave::read(&self.folder.path().join("hears.wav"))
    }
}
