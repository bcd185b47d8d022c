//! The console in headless Chromium: two people sign in by links, call each other, hear each other's tones (measured in
//! the pages), hold, press keys, and read what was said.
//!
//! What the pages do stands in `console/`; their words tell how far they got. Pictures of them stay below the target
//! folder.

#[allow(dead_code, reason = "each test program uses a part of what they share")]
mod support;

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use support::namespace::{Namespace, PHONES};
use support::program::Launch;
use support::server::Server;
use support::turn;

/// Two browsers need their time to start; the pages' own waits are shorter.
const PAGES: Duration = Duration::from_secs(90);

#[track_caller]
fn link(server: &Server, user: &str) -> String {
    let body = json!({ "user": user, "admin": true }).to_string();
    let door = &server.door;
    let answer =
        door.ask("POST", "/v1/links", Some(&door.token), "application/json", body.as_bytes());
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()["url"].as_str().expect("an address").to_owned()
}

#[test]
fn two_people_sign_in_talk_and_read_the_ladder() {
    let _turn = turn();
    let host = Namespace::with_address();
    let server = Server::dev(&host, PHONES);
    let front = server.door.ask("GET", "/", None, "", b"").text();
    assert!(
        front.contains("carillon-console"),
        "the console is not in the binary: run `cargo xtask console`, then build again"
    );
    let folder = tempfile::tempdir().expect("a folder for the browsers");
    let pictures = Path::new(env!("CARGO_TARGET_TMPDIR")).join("console");
    fs::create_dir_all(&pictures).expect("the build's folder for tests can be written");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/console/run.mjs");
    let words = [script.as_path(), folder.path(), &pictures].map(|path| path.to_string_lossy());
    let mut pages = Launch::installed("node")
        .words(words.iter().map(|word| &**word).collect::<Vec<_>>())
        .words([&*link(&server, "1001"), &*link(&server, "1002")])
        .environment("HOME", &folder.path().to_string_lossy())
        .folder(folder.path())
        .on(&host)
        .start();
    for wanted in [
        "signed in /",
        "rings ☎ sip:1001@localhost",
        "came back",
        "ended Not reached · Decline",
        "listens true",
        "both hear",
        "held and back",
        "keys",
        "ladder true",
        "fits true",
        "complaints []",
        "done",
    ] {
        let step = pages.line(PAGES, wanted, |line| line.strip_prefix("step: ").map(str::to_owned));
        assert_eq!(step, wanted);
    }
}
