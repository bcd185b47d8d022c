//! `carillon trace`: what an operator sees of a call that is over, and what tshark makes of the file.

mod node;
#[allow(dead_code, reason = "each test program uses a part of what they share")]
mod support;

use std::process::Output;

use node::{Node, carillon, config};
use serde_json::Value;
use support::namespace::{Namespace, PHONES};
use support::phone::Phone;
use support::program::Launch;
use support::server::Server;
use support::{STEP, turn, until};

/// One host with `carillon dev`, and two people's phones: one over UDP, one over TCP.
struct House {
    host: Namespace,
    server: Server,
}

impl House {
    fn new() -> Self {
        let host = Namespace::with_address();
        let server = Server::dev(&host, PHONES);
        Self { host, server }
    }

    fn phone(&self, user: &str, transport: &str, action: &[&str]) -> Phone {
        let server = self.server.sip.to_string();
        let env = self.server.env.to_string_lossy();
        let login = ["--server", &server, "--local", PHONES, "--env", &env, "--user", user];
        Phone::start(
            &self.host,
            &[&login, ["--transport", transport].as_slice()].concat(),
            action,
            &[],
        )
    }

    /// What it says, in lines.
    #[track_caller]
    fn trace(&self, words: &[&str]) -> String {
        let env = self.server.env.to_string_lossy();
        let mut program = Launch::built(env!("CARGO_BIN_EXE_carillon"))
            .words(["trace", "--env", &env])
            .words(words.iter().copied())
            .on(&self.host)
            .start();
        let status = program.wait(STEP);
        let said = program.said().join("\n") + "\n";
        assert!(status.success(), "{words:?}: {said}");
        said
    }

    fn json(&self, words: &[&str]) -> Value {
        let said = self.trace(&[words, ["--json"].as_slice()].concat());
        serde_json::from_str(&said).expect("JSON")
    }
}

/// Lines of tshark for the frames that fit.
#[track_caller]
fn frames(file: &str, filter: &str) -> Vec<String> {
    let mut program = Launch::installed("tshark")
        .words(["-r", file, "-Y", filter, "-T", "fields"])
        .words(["-e", "frame.number", "-e", "_ws.col.Protocol", "-e", "_ws.col.Info"])
        .words(["-e", "_ws.expert.message"])
        .start();
    let status = program.wait(STEP * 4);
    assert!(status.success(), "tshark: {:?}", program.said());
    let is_frame = |line: &String| line.starts_with(|first: char| first.is_ascii_digit());
    program.said().into_iter().filter(is_frame).collect()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_call_can_be_looked_at_when_it_is_over() {
    let _turn = turn();
    let house = House::new();
    assert_eq!(house.trace(&[]), "No call yet.\n");
    let mut callee = house.phone("1002", "tcp", &["answer"]);
    callee.event(STEP, "registered");
    assert!(house.phone("1001", "udp", &["call", "1002", "--for", "1s"]).ended().success());
    assert!(callee.ended().success());
    let mut refused = house.phone("1001", "udp", &["call", "1004"]);
    assert!(!refused.ended().success(), "1004 has no phone");

    let calls = until(STEP, "two records", || {
        let items = house.json(&[])["items"].as_array().cloned().unwrap_or_default();
        let over = items.iter().filter(|call| call["outcome"].is_string()).count();
        (over == 2).then_some(items)
    });
    let id = |place: usize| calls[place]["id"].as_str().expect("a call has an id");
    let (failed, talked) = (id(0), id(1));
    let list = house.trace(&[]);
    assert!(list.starts_with(failed) && list.contains("1001 → 1004"), "{list}");
    assert!(list.contains("480 calls.nobody_reachable"), "{list}");

    let ladder = house.trace(&[talked]);
    assert!(ladder.starts_with(&format!("{talked}  1001 → 1002 · answered, ")), "{ladder}");
    let words =
        ["carillon", "tcp 198.18.", " INVITE 1002 SDP ──", "◀─", "─▶", " 200 OK SDP", "(BYE)"];
    for words in words {
        assert!(ladder.contains(words), "no {words} in\n{ladder}");
    }
    assert_eq!(house.trace(&[&talked[..20]]), ladder, "a beginning is enough");
    assert!(house.trace(&["--last-failed"]).starts_with(failed));
    assert!(house.trace(&["--last"]).contains("Warning: 399"), "why it was refused");

    let first = house.trace(&[talked, "1"]);
    let way = format!("→ {} over udp\n\nINVITE ", house.server.sip);
    assert!(first.starts_with("1  ") && first.contains(&way), "{first}");
    assert!(first.contains("\nAuthorization: Digest (redacted)\n"), "{first}");
    assert!(first.contains("\nv=0\n"), "it is whole: {first}");
    let item = house.json(&[talked, "1"]);
    assert_eq!((&item["lane"], &item["cut"]), (&"sip_in".into(), &0.into()));
    assert_reads(&house, talked);
}

/// tshark reads the file of a call: every SIP message of the ladder, none malformed.
fn assert_reads(house: &House, call: &str) {
    let file = house.server.folder().join("call.pcapng");
    let file = file.to_str().expect("a path in letters");
    house.trace(&[call, "--pcapng", file]);
    let ladder = house.json(&[call]);
    let items = ladder["items"].as_array().expect("a list");
    let sip = |item: &&Value| item["lane"].as_str().is_some_and(|lane| lane.starts_with("sip_"));
    let count = items.iter().filter(sip).count();
    assert!(count > 10, "{ladder:#}");
    assert_eq!(frames(file, "sip").len(), count, "{:#?}", frames(file, "frame"));
    let bad = "_ws.malformed || _ws.expert.severity >= \"Warning\"";
    assert_eq!(frames(file, bad), Vec::<String>::new());
    let to_us = |protocol: &str| format!("{protocol}.dstport==5060 && ip.dst==127.0.0.1 && sip");
    for filter in [&to_us("udp"), &to_us("tcp"), "sdp"] {
        assert!(!frames(file, filter).is_empty(), "{filter}: {:#?}", frames(file, "frame"));
    }
}

#[test]
fn what_cannot_be_traced_is_said_with_what_would_help() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start("dev", &config(folder.path(), 1));
    let env = node.ready["env"].as_str().unwrap().to_owned();
    let (url, token) = (format!("http://{}", node.http), node.token.clone());
    let door = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}", door.local_addr().unwrap());
    drop(door);
    let rows: [(&[&str], i32, &str); 9] = [
        (&["--env", "/does/not/exist"], 2, "--env: /does/not/exist: "),
        (&["--url", &url], 2, "--env: wants the file .env.carillon"),
        (&["--url", "nowhere", "--token", &token], 2, "--url: `nowhere` is no address"),
        (&["--url", &nobody, "--token", &token], 1, "carillon ready --url"),
        (&["--url", &url, "--token", "wrong"], 1, "CAR-"),
        (&["--env", &env, "call_nothing"], 1, "(calls.no_such_call, CAR-"),
        (&["--env", &env, "--last-failed"], 2, "--last-failed: no call failed lately"),
        (&["--env", &env, "--last"], 2, "--last: there was no call"),
        (&["--env", &env, "--pcapng", "x"], 2, "--pcapng: wants a call"),
    ];
    for (words, code, why) in rows {
        let output =
            carillon().current_dir(folder.path()).arg("trace").args(words).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{words:?}: {}", said(&output));
        assert!(said(&output).contains(why), "{words:?}: {}", said(&output));
        assert!(output.stdout.is_empty());
    }
}
