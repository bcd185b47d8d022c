//! What crosses a call: INFO, MESSAGE, reasons, identities; and what ends at us.

mod rig;

use rig::phones::*;
use rig::*;

/// RFC 6086, RFC 3428: requests with bodies cross us, and so do their answers.
#[test]
fn info_and_message_reach_the_other_side() {
    let mut rig = Rig::new();
    let (mut alice, mut bob, _, _) = talk_with(&mut rig, "", "");
    let kind = "Content-Type: application/dtmf-relay\n";
    rig.from(ALICE, &alice.request("INFO", kind, "Signal=5\nDuration=160\n"));
    let info = rig.one(BOB, "INFO");
    assert!(info.ends_with("Signal=5\r\nDuration=160\r\n") && has(&info, kind.trim()), "{info}");
    rig.from(BOB, &reply(&info, "200 OK", "bt", "", ""));
    assert!(header(&rig.one(ALICE, "SIP/2.0 200"), "CSeq").ends_with("INFO"));
    rig.from(BOB, &bob.request("INFO", "Info-Package: poke\n", ""));
    let info = rig.one(ALICE, "INFO");
    assert!(has(&info, "Info-Package: poke"), "{info}");
    rig.from(ALICE, &reply(&info, "469 Bad Info Package", "at", "Recv-Info: tap\n", ""));
    assert!(has(&rig.one(BOB, "SIP/2.0 469"), "Recv-Info: tap"));
    rig.from(BOB, &bob.request("MESSAGE", "Content-Type: text/plain\n", "hello"));
    let message = rig.one(ALICE, "MESSAGE");
    assert!(message.ends_with("hello"), "{message}");
    rig.from(ALICE, &reply(&message, "202 Accepted", "at", "", ""));
    rig.one(BOB, "SIP/2.0 202");
    // Nobody answers: 408 goes back, and the call goes on.
    rig.from(ALICE, &alice.request("INFO", "", ""));
    rig.wait(std::time::Duration::from_secs(33));
    rig.one(ALICE, "SIP/2.0 408");
    assert_eq!(rig.gauge("legs"), 2);
    // A call that ends answers what waits.
    rig.seen(BOB);
    rig.from(ALICE, &alice.request("INFO", "", ""));
    rig.from(ALICE, &alice.request("BYE", "", ""));
    let seen = rig.seen(ALICE);
    assert!(seen.iter().any(|text| text.starts_with("SIP/2.0 481")), "{seen:#?}");
    let bye = rig.one(BOB, "BYE");
    rig.from(BOB, &reply(&bye, "200 OK", "bt", "", ""));
    rig.is_clean();
}

/// Requests that wait for the other side are bounded.
#[test]
fn too_many_requests_wait() {
    let mut rig = Rig::new();
    let (mut alice, _, _, _) = talk_with(&mut rig, "", "");
    rig.seen(ALICE);
    for _ in 0..9 {
        rig.from(ALICE, &alice.request("INFO", "", ""));
    }
    assert!(rig.one(ALICE, "SIP/2.0 500").contains("Retry-After"));
}

/// RFC 3261 §8.2.1, §11.2: what we take is said; what nobody knows is another thing than what is out of place.
#[test]
fn options_and_unknown_methods_are_answered_here() {
    let mut rig = Rig::new();
    let (mut alice, _, _, _) = talk_with(&mut rig, "", "");
    rig.seen(ALICE);
    rig.from(ALICE, &alice.request("OPTIONS", "", ""));
    let options = rig.one(ALICE, "SIP/2.0 200");
    assert!(has(&options, "Supported: 100rel, norefersub, replaces, timer"), "{options}");
    assert!(
        header(&options, "Allow").contains("REFER") && has(&options, "Accept: application/sdp")
    );
    for (method, status) in [("NOTIFY", "481"), ("PUBLISH", "405"), ("DANCE", "501")] {
        rig.from(ALICE, &alice.request(method, "", ""));
        rig.one(ALICE, &format!("SIP/2.0 {status}"));
    }
    rig.from(ALICE, &alice.request("INFO", "Require: 100rel, magic, sorcery\n", ""));
    assert!(has(&rig.one(ALICE, "SIP/2.0 420"), "Unsupported: magic, sorcery"));
    assert!(rig.seen(BOB).is_empty());
}

/// RFC 3326: why somebody hung up, gave up or refused reaches the other side.
#[test]
fn reasons_cross() {
    let mut rig = Rig::new();
    let (mut alice, _, _, _) = talk_with(&mut rig, "", "");
    let reason = "Reason: Q.850;cause=16;text=\"Normal\"\n";
    rig.from(ALICE, &alice.request("BYE", reason, ""));
    assert!(has(&rig.one(BOB, "BYE"), reason.trim()));
    for (said, heard) in [
        (reason, "Reason: Q.850;cause=16;text=\"Normal\""),
        ("", "Reason: Q.850;cause=17;text=\"User busy\""),
    ] {
        let mut rig = Rig::new();
        rig.from(ALICE, &invite("bob"));
        let at_bob = rig.one(BOB, "INVITE");
        rig.from(BOB, &reply(&at_bob, "486 Busy", "bt", said, ""));
        assert!(has(&rig.one(ALICE, "SIP/2.0 486"), heard));
    }
    let mut rig = Rig::new();
    rig.from(ALICE, &invite("bob"));
    let at_bob = rig.one(BOB, "INVITE");
    rig.from(BOB, &reply(&at_bob, "180 Ringing", "bt", "", ""));
    let cancel = invite("bob").split("Contact").next().unwrap().replace("INVITE", "CANCEL");
    let why = "SIP;cause=200;text=\"Call completed elsewhere\"";
    rig.from(ALICE, &format!("{cancel}Reason: {why}\nContent-Length: 0\n\n"));
    assert_eq!(header(&rig.one(BOB, "CANCEL"), "Reason"), why);
}

/// RFC 3325, RFC 3323: a caller says of himself what he may, and who hides is nobody.
#[test]
fn identities_are_believed_of_trusted_servers_only() {
    let more = "P-Asserted-Identity: \"Zoe\" <sip:+4930123@carrier.example>\n\
                Alert-Info: <urn:alert:x>\nAnswer-Mode: Auto\n";
    let from = |more: &str| {
        let settings = calls::Config { answer_mode: true, ..calls::Config::default() };
        let mut rig = Rig::of(1, settings);
        rig.from(ALICE, &invite_with("bob", more, &sdp(4_000)));
        rig.one(BOB, "INVITE")
    };
    let not = from(more);
    assert!(header(&not, "From").starts_with("\"Alice\" <sip:alice@localhost>"), "{not}");
    for field in ["Alert-Info", "Answer-Mode", "P-Asserted-Identity"] {
        assert!(!not.contains(field), "{not}");
    }
    for wish in ["id", "header;user;critical"] {
        let hidden = from(&format!("Privacy: {wish}\n"));
        let shown = "\"Anonymous\" <sip:anonymous@anonymous.invalid>";
        assert!(header(&hidden, "From").starts_with(shown), "{hidden}");
        assert!(!hidden.contains("alice"), "{hidden}");
    }
    let open = from("Privacy: none\n");
    assert!(header(&open, "From").starts_with("\"Alice\""), "{open}");
}

/// An INVITE that comes back for the same person goes round no second time (RFC 3261 §16.3).
#[test]
fn a_loop_is_found() {
    let mut rig = Rig::new();
    rig.from(ALICE, &invite("bob"));
    let at_bob = rig.one(BOB, "INVITE");
    let mark = format!("X-Carillon-Been-Here: {}\n", header(&at_bob, "X-Carillon-Been-Here"));
    let back = invite_with("bob", &mark, &sdp(4_000));
    rig.from(CAROL, &back.replace("c1\n", "c2\n").replace("z9hG4bKa1", "z9hG4bKl1"));
    assert!(rig.one(CAROL, "SIP/2.0 482").contains("calls.loop CAR-1312"));
    // For somebody else it goes on, and leaves its mark.
    let on = invite_with("frank", &mark, &sdp(4_000));
    rig.from(CAROL, &on.replace("c1\n", "c3\n").replace("z9hG4bKa1", "z9hG4bKl2"));
    let marks = header(&rig.one(FRANK, "INVITE"), "X-Carillon-Been-Here").to_owned();
    assert_eq!(marks.split(", ").count(), 2, "{marks}");
    let last = invite_with("bob", "", &sdp(4_000)).replace("Max-Forwards: 70", "Max-Forwards: 0");
    rig.from(CAROL, &last.replace("c1\n", "c4\n").replace("z9hG4bKa1", "z9hG4bKl3"));
    rig.one(CAROL, "SIP/2.0 483");
}

/// RFC 3261 §8.2.2.2: one INVITE that comes by two ways is one call; the same for somebody else is another.
#[test]
fn an_invite_that_comes_by_two_ways_is_taken_once() {
    let mut rig = Rig::new();
    rig.from(ALICE, &invite("bob"));
    rig.one(BOB, "INVITE");
    rig.from(CAROL, &invite("bob").replace("z9hG4bKa1", "z9hG4bKm1"));
    rig.one(CAROL, "SIP/2.0 482");
    rig.from(CAROL, &invite("frank").replace("z9hG4bKa1", "z9hG4bKm2"));
    let at_frank = rig.one(FRANK, "INVITE");
    rig.from(FRANK, &reply(&at_frank, "486 Busy", "ft", "", ""));
    rig.one(CAROL, "SIP/2.0 486");
    assert!(rig.seen(BOB).is_empty());
    // Once it is over and forgotten, whoever says it again is heard.
    let cancel = invite("bob").split("Contact").next().unwrap().replace("INVITE", "CANCEL");
    rig.from(ALICE, &format!("{cancel}Content-Length: 0\n\n"));
    rig.wait(std::time::Duration::from_secs(40));
    rig.seen(BOB);
    rig.from(CAROL, &invite("bob").replace("z9hG4bKa1", "z9hG4bKm3"));
    rig.one(BOB, "INVITE");
}
