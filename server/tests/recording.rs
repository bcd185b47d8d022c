//! What a real server recorded gives the same outputs in another process.

#[allow(dead_code, reason = "each test program uses a part of what they share")]
mod drill;
#[allow(dead_code, reason = "each test program uses a part of what they share")]
mod support;

use std::process::Command;

use drill::{Call, Drill, OPEN};

/// Names the recording to the other process.
const RECORDING: &str = "RECORDING_TO_REPLAY";

#[test]
fn a_recorded_session_replays_in_another_process() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("session.record");
    let data = folder.path().join("data");
    let words = ["--record", file.to_str().unwrap()];
    let text = drill::text(&data, "", OPEN, "");
    let mut drill = Drill::start_in(folder, &data, &words, &text);
    let (mut alice, mut bob) = (drill.phone("alice"), drill.phone("bob"));
    let call = Call::begin(&mut alice, &mut bob, "bob", "recorded");
    assert_eq!(drill.door.items("/v1/calls").len(), 1);
    call.end(&mut alice, &mut bob);
    assert_eq!(drill.put_user("alice").status, 200);
    // A datagram that is nothing is an input too.
    alice.send(b"\x00nonsense");
    assert_eq!(drill.door.items("/v1/bindings?user=bob").len(), 1);
    drill.stop_now();

    let again = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_other_process", "--nocapture"])
        .env(RECORDING, &file)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&again.stdout).into_owned();
    assert!(again.status.success(), "{said}{}", String::from_utf8_lossy(&again.stderr));
    let line =
        said.lines().find(|line| line.contains("inputs on")).unwrap_or_else(|| panic!("{said}"));
    println!("{line}");
    assert!(line.contains("all output hashes are equal"), "{line}");
}

/// Does the work of the test above when it is asked to; else there is none.
#[test]
fn the_other_process() {
    let Some(file) = std::env::var_os(RECORDING) else { return };
    let bytes = std::fs::read(file).unwrap();
    let replayed = sim::replay::run(&bytes).unwrap_or_else(|why| panic!("{why}"));
    println!("{replayed}");
    assert!(replayed.differs.is_none() && replayed.torn == 0);
    assert!(replayed.inputs > 15, "{replayed}");
}
