//! The console in headless Chromium: two people sign in by links, call each other, hear each other's tones (measured in
//! the pages), hold, press keys, put a call through to a telephone, and read what was said. And
//! in Firefox, with a push service of the test: somebody whose page is closed is called by a notification.
//!
//! What the pages do stands in `console/`; their words tell how far they got. Pictures of them stay below the target
//! folder.

#[allow(dead_code, reason = "each test program uses a part of what they share")]
mod support;

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use support::baresip::{Baresip, Login};
use support::namespace::{Namespace, PHONES};
use support::phone::Phone;
use support::program::{Launch, Program};
use support::server::Server;
use support::wave::{RATE, loudness, speech_like, tone};
use support::{STEP, turn, until};

/// What the telephone says. Units: hertz.
const TELEPHONE: f64 = 1_000.0;
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

/// Shows what was said in every call when its test fails.
struct Told<'a>(&'a Server);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.show_ladders();
        }
    }
}

#[track_caller]
fn assert_built(server: &Server) {
    let front = server.door.ask("GET", "/", None, "", b"").text();
    assert!(
        front.contains("carillon-console"),
        "the console is not in the binary: run `cargo xtask console`, then build again"
    );
}

/// The next thing that the pages have done must be this.
#[track_caller]
fn step(pages: &mut Program, wanted: &str) {
    let step = pages.line(PAGES, wanted, |line| line.strip_prefix("step: ").map(str::to_owned));
    assert_eq!(step, wanted);
}

#[test]
fn two_people_sign_in_talk_and_read_the_ladder() {
    let _turn = turn();
    let host = Namespace::with_address();
    let server = Server::dev(&host, PHONES);
    let _told = Told(&server);
    assert_built(&server);
    let folder = tempfile::tempdir().expect("a folder for the browsers");
    let pictures = Path::new(env!("CARGO_TARGET_TMPDIR")).join("console");
    fs::create_dir_all(&pictures).expect("the build's folder for tests can be written");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/console/run.mjs");
    let words = [script.as_path(), folder.path(), &pictures].map(|path| path.to_string_lossy());
    let mut pages = Launch::installed("node")
        .words(words.iter().map(|word| &**word).collect::<Vec<_>>())
        .words([&*link(&server, "1001"), &*link(&server, "1002"), "1003", &TELEPHONE.to_string()])
        .environment("HOME", &folder.path().to_string_lossy())
        .folder(folder.path())
        .on(&host)
        .start();
    let (sip, password) = (server.sip.to_string(), &server.written["SIP_PASSWORD"]);
    let login = Login { user: "1003", password, server: &sip, transport: "udp", port: 5_030 };
    let mut telephone = Baresip::start(&host, &login, &tone(TELEPHONE, 60));
    server.bindings("1003", 1);
    for wanted in [
        "signed in /",
        "rings ☎ sip:1001@localhost",
        "came back",
        "ended Not reached · Decline",
        "listens true",
        "both hear by udp and tcp",
        "held and back",
        "keys",
        "taken up Alice",
    ] {
        step(&mut pages, wanted);
    }
    telephone.event(STEP, "CALL_INCOMING");
    telephone.answer();
    let hears = |pitch: f64| {
        until(STEP, "the tone of a page", || {
            let (heard, rate) = telephone.heard_so_far()?;
            let newest = heard.get(heard.len().checked_sub(rate / 2)?..)?;
            (loudness(newest, pitch * RATE as f64 / rate as f64) > 2_000.0).then_some(())
        });
    };
    step(&mut pages, "hears a telephone");
    hears(600.0);
    pages.tell("go on");
    step(&mut pages, "put through");
    hears(1_500.0);
    pages.tell("go on");
    for wanted in ["ladder true", "fits true", "complaints []", "done"] {
        step(&mut pages, wanted);
    }
}

/// A picture, as PNG.
fn picture() -> Vec<u8> {
    let mut file = std::io::Cursor::new(Vec::new());
    image::RgbImage::from_pixel(64, 64, image::Rgb([143, 83, 18]))
        .write_to(&mut file, image::ImageFormat::Png)
        .expect("a vector can be written");
    file.into_inner()
}

#[test]
fn a_closed_page_rings_as_a_notification_that_opens_into_the_call() {
    let _turn = turn();
    let host = Namespace::with_address();
    let server = Server::dev(&host, PHONES);
    let _told = Told(&server);
    assert_built(&server);
    server.door.put("/v1/users/1001/image", "image/png", &picture());
    let folder = tempfile::tempdir().expect("a folder for the browser");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/console/woken.mjs");
    let mut page = Launch::installed("node")
        .words([&*script.to_string_lossy(), &*folder.path().to_string_lossy()])
        .words([&*link(&server, "1002")])
        .folder(folder.path())
        .on(&host)
        .start();
    let devices = |count: usize| {
        until(STEP, &format!("{count} devices"), || {
            let devices = server.door.items("/v1/users/1002/devices");
            (devices.len() == count).then_some(devices)
        })
    };
    let call = || {
        // The page is gone: nothing is left that could ring.
        until(STEP, "the end of the page's socket", || {
            let metrics = server.door.ask("GET", "/metrics", None, "", b"").text();
            metrics.contains("carillon_phone_sockets 0\n").then_some(())
        });
        let (sip, env) = (server.sip.to_string(), server.env.to_string_lossy());
        let login = ["--server", &sip, "--local", PHONES, "--env", &env, "--user", "1001"];
        Phone::start(&host, &login, &["call", "1002"], &speech_like(1001, 3))
    };
    step(&mut page, "subscribed");
    assert_eq!(devices(1)[0]["kind"], "browser");
    until(STEP, "a binding that says how it is woken", || {
        (server.bindings("1002", 1)[0]["push"]["provider"] == "webpush").then_some(())
    });
    page.tell("go on");
    step(&mut page, "closed");
    let mut caller = call();
    step(&mut page, "rings Alice is calling true aes128gcm high");
    step(&mut page, "talks");
    caller.event(STEP, "answered");
    caller.hang_up();
    step(&mut page, "closed");
    let _given_up = call();
    step(&mut page, "rings again");
    let path = format!("/v1/calls/{}", server.call());
    let token = Some(server.door.token.as_str());
    assert_eq!(server.door.ask("DELETE", &path, token, "", b"").status, 204);
    step(&mut page, "missed is calling true called");
    step(&mut page, "forbidden");
    devices(0);
    step(&mut page, "allowed");
    devices(1);
    step(&mut page, "signed out");
    devices(0);
}
