//! Which of a user's devices a call reaches, by which way and when: registered for real, in a whole shard.

#[path = "hostile/rig.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod rig;

use std::time::Duration;

use rig::*;
use switchboard::Input;
use types::{Flow, Transport};

const DESK: &str = "10.0.0.4:5060";
const HAND: &str = "10.0.0.5:5060";

/// Bob registers from there with this Contact behind its address, and more lines. Gives the 200.
#[track_caller]
fn register(rig: &mut Rig, who: &str, params: &str, lines: &str) -> String {
    let number = rig.next();
    let ask = Ask::new("REGISTER", "bob", who, number)
        .to("bob")
        .at("sip:localhost")
        .with(&format!("Contact: <sip:bob@{who}>{params}\n{lines}"));
    let answer = rig.proved(who, "bob", &ask).remove(0);
    assert!(answer.starts_with("SIP/2.0 200"), "{answer}");
    answer
}

/// Alice calls this address. Gives the last status that she gets at once.
fn call(rig: &mut Rig, uri: &str) -> u16 {
    let number = rig.next();
    let answers = rig.proved(ALICE, "alice", &invite("bob", number).at(uri));
    answers.last().map_or(0, |answer| status(answer))
}

fn rig() -> Rig {
    let mut rig = Rig::new(true);
    rig.register("alice", ALICE);
    rig
}

/// A parameter of the Contact in a 200.
#[track_caller]
fn param(ok: &str, contact: &str, name: &str) -> String {
    let begin = format!("Contact: <sip:bob@{contact}>");
    let line = ok.lines().find(|line| line.starts_with(&begin)).unwrap_or_else(|| panic!("{ok}"));
    let (_, rest) = line.split_once(&format!("{name}=\"")).unwrap_or_else(|| panic!("{line}"));
    rest.split('"').next().unwrap().to_owned()
}

#[test]
fn lower_preferences_ring_when_higher_ones_had_their_time() {
    // RFC 3261 §16.6
    let mut rig = rig();
    register(&mut rig, DESK, ";q=0.9", "");
    register(&mut rig, HAND, ";q=0.9", "");
    register(&mut rig, BOB, ";q=0.2", "");
    call(&mut rig, "sip:bob@localhost");
    let (desk, hand) = (rig.one(DESK, "INVITE"), rig.one(HAND, "INVITE"));
    assert!(rig.seen(BOB).is_empty());
    rig.say(DESK, &reply(&desk, "180 Ringing", DESK, ""));
    rig.say(HAND, &reply(&hand, "486 Busy Here", HAND, ""));
    rig.wait(Duration::from_secs(19));
    assert!(rig.seen(BOB).is_empty());
    rig.wait(Duration::from_secs(2));
    let last = rig.one(BOB, "INVITE");
    let cancel = rig.one(DESK, "CANCEL");
    rig.say(DESK, &reply(&cancel, "200 OK", DESK, ""));
    rig.say(DESK, &reply(&desk, "487 Request Terminated", DESK, ""));
    rig.say(BOB, &reply(&last, "200 OK", BOB, &sdp(BOB, 5_000)));
    rig.one(ALICE, "SIP/2.0 200");
}

#[test]
fn lower_preferences_ring_at_once_when_higher_ones_failed() {
    let mut rig = rig();
    register(&mut rig, DESK, "", "");
    register(&mut rig, BOB, ";q=0.2", "");
    call(&mut rig, "sip:bob@localhost");
    let desk = rig.one(DESK, "INVITE");
    rig.say(DESK, &reply(&desk, "486 Busy Here", DESK, ""));
    let last = rig.one(BOB, "INVITE");
    rig.say(BOB, &reply(&last, "404 Not Found", BOB, ""));
    // The best of both levels.
    rig.one(ALICE, "SIP/2.0 486");
    rig.is_clean();
}

const FLOW: &str = ";+sip.instance=\"<urn:uuid:1>\";reg-id=";

#[test]
fn a_device_rings_by_one_flow_and_the_next_when_that_failed() {
    // RFC 5626 §7
    let mut rig = rig();
    register(&mut rig, HAND, &format!("{FLOW}2"), "Supported: outbound\n");
    rig.wait(Duration::from_secs(1));
    register(&mut rig, DESK, &format!("{FLOW}1"), "Supported: outbound\n");
    assert_eq!(rig.gauge("bindings"), 3);
    call(&mut rig, "sip:bob@localhost");
    let first = rig.one(DESK, "INVITE");
    assert!(rig.seen(HAND).is_empty());
    rig.say(DESK, &reply(&first, "430 Flow Failed", DESK, ""));
    let second = rig.one(HAND, "INVITE");
    // What the proxy said ended the binding.
    assert_eq!(rig.gauge("bindings"), 2);
    rig.say(HAND, &reply(&second, "200 OK", HAND, &sdp(HAND, 5_000)));
    rig.one(ALICE, "SIP/2.0 200");
}

#[test]
fn a_silent_flow_gives_way_to_the_next() {
    let mut rig = rig();
    register(&mut rig, HAND, &format!("{FLOW}2"), "Supported: outbound\n");
    rig.wait(Duration::from_secs(1));
    register(&mut rig, DESK, &format!("{FLOW}1"), "Supported: outbound\n");
    call(&mut rig, "sip:bob@localhost");
    rig.one(DESK, "INVITE");
    rig.wait(Duration::from_secs(33));
    let second = rig.one(HAND, "INVITE");
    // A device that declines has spoken: its other flows are not asked.
    rig.say(HAND, &reply(&second, "603 Decline", HAND, ""));
    rig.one(ALICE, "SIP/2.0 603");
    rig.is_clean();
}

#[test]
fn a_flow_ends_with_its_connection() {
    // RFC 5626 §5.3
    let mut rig = rig();
    register(&mut rig, HAND, &format!("{FLOW}2"), "Supported: outbound\n");
    rig.wait(Duration::from_secs(1));
    let remote = DESK.parse().unwrap();
    let flow = Flow { transport: Transport::Tcp, listener: 0, connection: 7, remote };
    let contact = format!("Contact: <sip:bob@{DESK}>{FLOW}1\nSupported: outbound\n");
    let number = rig.next();
    let ask =
        Ask::new("REGISTER", "bob", DESK, number).to("bob").at("sip:localhost").with(&contact);
    rig.handle(Input::Message { flow, bytes: crlf(&ask.text()).as_bytes() });
    let refused = rig.one(DESK, "SIP/2.0 401");
    let proof = rig.proof(&refused, "bob", &word("bob"), "REGISTER", "sip:localhost");
    let again = Ask { cseq: 2, branch: "z9hG4bKagain".into(), ..ask }.with(&proof);
    rig.handle(Input::Message { flow, bytes: crlf(&again.text()).as_bytes() });
    rig.one(DESK, "SIP/2.0 200");
    call(&mut rig, "sip:bob@localhost");
    rig.one(DESK, "INVITE");
    assert!(rig.seen(HAND).is_empty());
    rig.handle(Input::FlowClosed { flow });
    rig.one(HAND, "INVITE");
    assert_eq!(rig.gauge("bindings"), 2);
}

#[test]
fn an_address_of_a_device_reaches_that_device() {
    // RFC 5627 §5.4
    let mut rig = rig();
    let instance = |n: u8| format!(";+sip.instance=\"<urn:uuid:{n}>\"");
    register(&mut rig, DESK, &instance(1), "");
    let ok = register(&mut rig, HAND, &instance(2), "Supported: gruu\n");
    let (public, temporary) = (param(&ok, DESK, "pub-gruu"), param(&ok, HAND, "temp-gruu"));
    assert_ne!(public, param(&ok, HAND, "pub-gruu"));
    call(&mut rig, &public);
    let invite = rig.one(DESK, "INVITE");
    assert!(invite.starts_with(&format!("INVITE sip:bob@{DESK} ")), "{invite}");
    assert!(rig.seen(HAND).is_empty());
    call(&mut rig, &temporary);
    rig.one(HAND, "INVITE");
    // A new Call-ID is a new life of the phone: the old address is nobody's.
    register(&mut rig, HAND, &instance(2), "");
    rig.seen(HAND);
    rig.seen(ALICE);
    assert_eq!(call(&mut rig, &temporary), 404);
    assert_eq!(call(&mut rig, &public.replace("gr=", "gr=0")), 480);
    assert!(rig.seen(DESK).is_empty() && rig.seen(HAND).is_empty());
}

#[test]
fn an_address_that_hides_its_user_is_found_on_every_shard() {
    // RFC 5627 §5.4: requests are begun wherever they are located, and the device is known at its user's home alone.
    let mut rig = Rig::sharded(4);
    rig.register("alice", ALICE);
    let ok = register(&mut rig, DESK, ";+sip.instance=\"<urn:uuid:1>\"", "Supported: gruu\n");
    let (public, hidden) = (param(&ok, DESK, "pub-gruu"), param(&ok, DESK, "temp-gruu"));
    for round in 0..24 {
        let uri = if round % 2 == 0 { &public } else { &hidden };
        call(&mut rig, uri);
        let invite = rig.one(DESK, "INVITE");
        rig.say(DESK, &reply(&invite, "486 Busy Here", DESK, ""));
        rig.one(ALICE, "SIP/2.0 486");
        let number = rig.next();
        let ask = Ask::new("MESSAGE", "alice", ALICE, number).to("bob").at(uri);
        let answers = rig.proved(ALICE, "alice", &ask.body("text/plain", "hello"));
        assert!(answers.iter().all(|answer| status(answer) < 300), "{answers:?}");
        let message = rig.one(DESK, "MESSAGE");
        rig.say(DESK, &reply(&message, "200 OK", DESK, ""));
        rig.one(ALICE, "SIP/2.0 200");
    }
}

#[test]
fn the_path_of_a_registration_is_the_route_of_a_call() {
    // RFC 3327 §5.3
    let mut rig = rig();
    let number = rig.next();
    let ask = Ask::new("REGISTER", "bob", CAROL, number).to("bob").at("sip:localhost").with(
        "Contact: <sip:bob@192.168.1.9:5060>\nPath: <sip:10.0.0.3;lr>, <sip:edge.example;lr;ob>\n",
    );
    let answer = rig.proved(CAROL, "bob", &ask).remove(0);
    assert!(answer.starts_with("SIP/2.0 200") && !answer.contains("Path:"), "{answer}");
    call(&mut rig, "sip:bob@localhost");
    let invite = rig.one(CAROL, "INVITE");
    assert!(invite.starts_with("INVITE sip:bob@192.168.1.9:5060 "), "{invite}");
    assert_eq!(header(&invite, "Route"), "<sip:10.0.0.3;lr>, <sip:edge.example;lr;ob>");
}
