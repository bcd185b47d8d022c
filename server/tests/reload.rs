//! Signals: the file is read again, and a drain lets calls go on.

#[allow(dead_code, reason = "each test program uses a part of what they share")]
mod drill;
#[allow(dead_code, reason = "each test program uses a part of what they share")]
mod support;

use std::fs;

use drill::{Call, DOMAIN, Drill, OPEN, until_drains};
use nix::sys::signal::Signal;
use support::raw::{Ask, Raw};
use support::{STEP, until};

/// Whether a request leaves a line in the log, as it does at `debug`.
fn is_debug(drill: &Drill) -> bool {
    let lines = |drill: &Drill| {
        let said = drill.program.said();
        said.iter().filter(|line| line.contains("http_request")).count()
    };
    let before = lines(drill);
    drill.door.ask("GET", "/livez", None, "", b"");
    // Another line behind it says that the first would be there.
    lines(drill) > before
}

#[test]
fn a_valid_file_changes_the_live_keys_and_an_invalid_one_nothing() {
    let mut drill = Drill::start("drain = \"60s\"", OPEN, "[log]\nlevel = \"info\"");
    assert!(!is_debug(&drill));
    let data = drill.folder.path().join("data");
    let file = |node, sip, more| drill::text(&data, node, sip, more);

    fs::write(
        &drill.file,
        file("drain = \"61s\"", "", "[log]\nlevel = \"debug\"\n[calls]\nring_max = \"7s\""),
    )
    .unwrap();
    drill.program.signal(Signal::SIGHUP);
    let mut said = Vec::new();
    for _ in 0..4 {
        said.push(drill.program.line(STEP, "what became of each key", |line| {
            let line: serde_json::Value = serde_json::from_str(line).ok()?;
            let message = line["message"].as_str().filter(|text| text.starts_with("reload"))?;
            Some((line["key"].as_str()?.to_owned(), message.to_owned()))
        }));
    }
    let pair = |key: &str, message: &str| (key.to_owned(), message.to_owned());
    let restart = "reload_needs_a_restart_for_this_key";
    assert_eq!(
        said,
        [
            pair("calls.ring_max", restart),
            pair("log.level", "reloaded"),
            pair("node.drain", "reloaded"),
            pair("sip.require_auth", restart),
        ]
    );
    until(STEP, "the new level", || is_debug(&drill).then_some(()));

    fs::write(&drill.file, file("drane = \"1s\"", OPEN, "[log]\nlevel = \"info\"")).unwrap();
    drill.program.signal(Signal::SIGHUP);
    let refused = drill.heard("reload_refused_nothing_changed");
    let fault = refused["fault"].as_str().expect("a reason");
    assert!(fault.contains("carillon.toml:4:") && fault.contains("drane"), "{fault}");
    assert!(fault.contains('^'), "{fault}");
    until(STEP, "the level that was", || is_debug(&drill).then_some(()));
    // The drain that was taken last counts, not the one of the start or of the refused file.
    drill.program.signal(Signal::SIGTERM);
    assert_eq!(drill.heard("draining")["limit_seconds"], 61);
    assert!(drill.program.wait(STEP).success());
}

#[test]
fn a_drain_refuses_new_calls_and_lets_the_running_one_end() {
    let mut drill = Drill::start("", OPEN, "");
    let (mut alice, mut bob) = (drill.phone("alice"), drill.phone("bob"));
    let call = Call::begin(&mut alice, &mut bob, "bob", "before");
    drill.program.signal(Signal::SIGTERM);
    drill.heard("draining");

    let mut carol = Raw::new(&drill.host, "127.0.0.1", drill.sip);
    until_drains(&mut carol);
    let body = carol.sdp();
    let refused = carol.ask(&Ask {
        method: "INVITE",
        uri: &format!("sip:bob@{DOMAIN}"),
        from: "<sip:carol@example.com>;tag=i",
        to: &format!("<sip:bob@{DOMAIN}>"),
        call_id: "behind",
        more: "",
        body: &body,
    });
    assert_eq!(refused.status(), 503);
    let wait: u32 = refused.field("Retry-After").expect("how long").parse().expect("seconds");
    assert!(wait > 0);
    assert!(drill.program.poll_end().is_none(), "a call runs");

    call.end(&mut alice, &mut bob);
    assert!(drill.program.wait(STEP).success());
}

#[test]
fn a_second_signal_does_not_wait_for_calls() {
    let mut drill = Drill::start("", OPEN, "");
    let (mut alice, mut bob) = (drill.phone("alice"), drill.phone("bob"));
    Call::begin(&mut alice, &mut bob, "bob", "running");
    drill.stop_now();
}
