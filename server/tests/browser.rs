//! JsSIP in headless Chromium speaks SIP over WebSocket with `carillon serve`, and talks with phones and other pages.
//!
//! The pages stand in `browser/`; their console tells how far they got.

#[allow(dead_code, reason = "each test program uses a part of what they share")]
mod support;

use std::fs;

use support::baresip::{Baresip, Login};
use support::browser::Browser;
use support::capture::Capture;
use support::linphone::Linphone;
use support::namespace::{Namespace, SERVER};
use support::program::Launch;
use support::server::{DOMAIN, PASSWORD, SHARED, Server};
use support::wave::{RATE, loudness, tone};
use support::{STEP, turn, until};

/// The server with a WebSocket and one port for the media of all phones, and its people.
#[track_caller]
fn serve(host: &Namespace, users: &[&str]) -> Server {
    let server = Server::serve_by(host, SERVER, "", "", |file| {
        let text = fs::read_to_string(file).expect("its configuration");
        let tcp = format!("\"tcp://{SERVER}:5060\"");
        let with_ws = text.replace(&tcp, &format!("{tcp}, \"ws://{SERVER}:5062\""));
        assert_ne!(text, with_ws);
        fs::write(file, with_ws).expect("its configuration");
        Launch::built(env!("CARGO_BIN_EXE_carillon"))
            .words(["serve", "--config", file, "--json"])
            .environment("CARILLON_MEDIA__SHARED_PORT", &SHARED.to_string())
    });
    for user in users {
        server.make_user(user);
    }
    server
}

/// What the pages are told.
fn query() -> String {
    format!("ws=ws://{SERVER}:5062&domain={DOMAIN}&password={PASSWORD}")
}

/// A phone that says one tone for as long as the test may last.
#[track_caller]
fn phone(host: &Namespace, user: &str, port: u16, pitch: f64, codecs: &[&str]) -> Baresip {
    let server = format!("{SERVER}:5060");
    let login = Login { user, password: PASSWORD, server: &server, transport: "udp", port };
    Baresip::start_with(host, &login, &tone(pitch, 120), codecs)
}

/// Waits until the phone hears this pitch: in half a second of sound, most of it.
#[track_caller]
fn hears(phone: &Baresip, pitch: f64) {
    until(STEP, "the tone of the page", || {
        let (heard, rate) = phone.heard_so_far()?;
        let newest = heard.get(heard.len().checked_sub(rate / 2)?..)?;
        let scaled = pitch * RATE as f64 / rate as f64;
        (loudness(newest, scaled) > 2_000.0).then_some(())
    });
}

/// A page calls a phone, is called by one, is left to another phone, and calls another page: all over WebRTC, and who
/// is no browser hears RTP. The first phone knows G.711 only and takes no media without keys in descriptions, the second
/// knows Opus and no keys, the third is of another make and takes none without keys either. The phones share a port.
#[test]
fn pages_and_phones_hear_each_other() {
    let _turn = turn();
    let (host, phones) = Namespace::pair();
    let capture = Capture::start(&host);
    let server = serve(&host, &["1001", "1002", "1003", "1004", "1005"]);
    let mut first = phone(&phones, "1003", 5_030, 800.0, &["g711", "srtp"]);
    let mut second = phone(&phones, "1004", 5_040, 500.0, &["opus", "g711"]);
    let door = format!("{SERVER}:5060");
    let login =
        Login { user: "1005", password: PASSWORD, server: &door, transport: "udp", port: 5_050 };
    let keys = "media_encryption=srtp\nmedia_encryption_mandatory=1\n";
    let mut third = Linphone::start_with(&phones, &login, &tone(900.0, 30), keys);
    server.bindings("1005", 1);
    let mut browser = Browser::open(&phones, "talk.js", &query());
    let mut steps = |wanted: &[&str]| {
        for wanted in wanted {
            assert_eq!(browser.step(), *wanted);
        }
    };
    steps(&["registered"]);
    first.event(STEP, "CALL_INCOMING");
    first.answer();
    steps(&["calls and hears audio/PCMU"]);
    hears(&first, 1_300.0);
    steps(&["holds", "hears again", "waits"]);
    first.dial(&format!("sip:1001@{SERVER}:5060"));
    steps(&["is called and hears audio/PCMU"]);
    hears(&first, 1_300.0);
    first.transfer(&format!("sip:1004@{SERVER}:5060"));
    second.event(STEP, "CALL_INCOMING");
    second.answer();
    steps(&["hears the other phone"]);
    hears(&second, 1_300.0);
    third.says(STEP, "incoming call from");
    third.tell("answer");
    third.speak_and_record();
    steps(&["hears the third phone"]);
    until(STEP, "a second of the page", || (third.hears() > 48_000).then_some(()));
    third.tell("terminate");
    third.says(STEP, "ended");
    let (heard, rate) = third.heard_at();
    let pitch = 1_300.0 * RATE as f64 / rate as f64;
    let loudest = heard.chunks_exact(rate / 2).map(|part| loudness(part, pitch));
    assert!(loudest.fold(0.0, f64::max) > 1_000.0, "the third phone did not hear the page");
    steps(&["pages hear each other", "done"]);
    drop(server);
    // Who rings by a transfer may have a port of his own.
    let ports = capture.judge(SERVER, &["sip", "sdp", "rtp", "stun", "dtls"]);
    assert!(ports.contains(&SHARED), "{ports:?}");
}

/// RFC 7118, RFC 3428, RFC 3856: registers, writes, asks, watches, and finds a message that was kept.
#[test]
fn a_page_registers_writes_and_watches_over_websocket() {
    let _turn = turn();
    let (host, phones) = Namespace::pair();
    let _server = serve(&host, &["1001", "1002"]);
    let mut browser = Browser::open(&phones, "page.js", &query());
    for wanted in [
        "registered",
        "message 200 1001 how are you?",
        "options 200",
        "presence application/pidf+xml open",
        "kept 202",
        "late later then",
        "done",
    ] {
        assert_eq!(browser.step(), wanted);
    }
}
