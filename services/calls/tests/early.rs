//! Reliable ringing and changes before the answer (RFC 3262, RFC 3311), and changes that collide.

mod rig;

use std::time::Duration;

use rig::phones::*;
use rig::*;
use switchboard::Output;
use switchboard::notice::CallFacts;
use types::tagged;

const REL: &str = "Supported: 100rel\nAllow: INVITE, ACK, BYE, CANCEL, PRACK, UPDATE\n";
const RELIABLY: &str = "Require: 100rel\nAllow: INVITE, PRACK, UPDATE\n";

fn rseq(answer: &str) -> u32 {
    header(answer, "RSeq").parse().unwrap()
}

fn rack(answer: &str) -> String {
    format!("RAck: {} 1 INVITE\n", rseq(answer))
}

/// Bob rings reliably with a description, which Alice gets reliably too. Gives both phones, the INVITE at Bob, and
/// the 183 at Alice.
fn ring(rig: &mut Rig) -> (Phone, Phone, String, String) {
    rig.from(ALICE, &invite_with("bob", REL, &sdp(4_000)));
    let at_bob = rig.one(BOB, "INVITE");
    assert!(header(&at_bob, "Supported").contains("100rel"));
    let more = format!("{RELIABLY}RSeq: 7\n");
    rig.from(BOB, &reply(&at_bob, "183 Progress", "bt", &more, &sdp(5_000)));
    let prack = rig.one(BOB, "PRACK");
    assert!(has(&prack, "RAck: 7 1 INVITE") && has(&prack, "CSeq: 2 PRACK"), "{prack}");
    rig.from(BOB, &reply(&prack, "200 OK", "bt", "", ""));
    let at_alice = rig.one(ALICE, "SIP/2.0 183");
    assert!(has(&at_alice, "Require: 100rel") && at_alice.contains("m=audio"), "{at_alice}");
    let alice = Phone::caller("alice", ALICE, &at_alice);
    let bob = Phone::callee("bob", BOB, &at_bob, "bt");
    (alice, bob, at_bob, at_alice)
}

/// RFC 3262 §3, §4: both sides acknowledge; what was settled is not said again.
#[test]
fn descriptions_of_ringing_are_acknowledged_on_both_sides() {
    let mut rig = Rig::new();
    let (mut alice, _, at_bob, at_alice) = ring(&mut rig);
    // Lost: it is said again, after 500 ms and then 1 s.
    rig.wait(Duration::from_millis(1_600));
    assert_eq!(rig.seen(ALICE).len(), 2);
    let wrong = format!("RAck: {} 1 INVITE\n", rseq(&at_alice) + 1);
    rig.from(ALICE, &alice.request("PRACK", &wrong, ""));
    rig.one(ALICE, "SIP/2.0 481");
    rig.from(ALICE, &alice.request("PRACK", &rack(&at_alice), ""));
    rig.one(ALICE, "SIP/2.0 200");
    // A repetition of Bob's is not acknowledged twice.
    let more = format!("{RELIABLY}RSeq: 7\n");
    rig.from(BOB, &reply(&at_bob, "183 Progress", "bt", &more, &sdp(5_000)));
    rig.wait(Duration::from_secs(5));
    assert!(rig.seen(BOB).is_empty() && rig.seen(ALICE).is_empty());
    rig.from(BOB, &reply(&at_bob, "200 OK", "bt", "", ""));
    let ok = rig.one(ALICE, "SIP/2.0 200");
    assert!(!ok.contains("m=audio"), "{ok}");
    rig.from(ALICE, &alice.numbered("ACK", 1, "", ""));
    // Numbers go on where the PRACK left them.
    rig.from(ALICE, &alice.request("BYE", "", ""));
    let bye = rig.one(BOB, "BYE");
    assert!(has(&bye, "CSeq: 3 BYE"), "{bye}");
    rig.from(BOB, &reply(&bye, "200 OK", "bt", "", ""));
    rig.is_clean();
}

/// A caller without 100rel gets the description plainly, and again with the answer.
#[test]
fn a_caller_without_100rel_gets_the_early_answer_again() {
    let mut rig = Rig::new();
    rig.from(ALICE, &invite("bob"));
    let at_bob = rig.one(BOB, "INVITE");
    let more = format!("{RELIABLY}RSeq: 7\n");
    rig.from(BOB, &reply(&at_bob, "183 Progress", "bt", &more, &sdp(5_000)));
    let early = rig.one(ALICE, "SIP/2.0 183");
    assert!(early.contains("m=audio") && !early.contains("RSeq"), "{early}");
    rig.from(BOB, &reply(&at_bob, "200 OK", "bt", "", ""));
    let ok = rig.one(ALICE, "SIP/2.0 200");
    assert_eq!(ok.split_once("\r\n\r\n").unwrap().1, early.split_once("\r\n\r\n").unwrap().1);
}

/// RFC 3262 §3: 64*T1 without a PRACK ends the call.
#[test]
fn without_a_prack_the_call_fails() {
    let mut rig = Rig::new();
    let (_, _, at_bob, _) = ring(&mut rig);
    rig.wait(Duration::from_secs(33));
    rig.one(ALICE, "SIP/2.0 504");
    let cancel = rig.one(BOB, "CANCEL");
    let record = rig.others.iter().rev().find_map(|output| match output {
        Output::Save { entry, .. } if entry.last => {
            let (_, record) = tagged::Reader::new(&entry.body).find(|(tag, _)| *tag == 2)?;
            CallFacts::decode(record.0)
        }
        _ => None,
    });
    let record = record.expect("a record");
    assert_eq!((record.status, &*record.outcome), (504, "failed"));
    rig.from(BOB, &reply(&cancel, "200 OK", "bt", "", ""));
    rig.from(BOB, &reply(&at_bob, "487 Gone", "bt", "", ""));
    rig.is_clean();
}

/// RFC 3262 §3: a 200 does not overtake a description that is not acknowledged.
#[test]
fn an_answer_waits_for_the_prack() {
    let mut rig = Rig::new();
    let (mut alice, _, at_bob, at_alice) = ring(&mut rig);
    rig.from(BOB, &reply(&at_bob, "200 OK", "bt", "", &sdp(5_000)));
    assert!(rig.seen(ALICE).is_empty());
    rig.from(ALICE, &alice.request("PRACK", &rack(&at_alice), ""));
    let seen = rig.seen(ALICE);
    assert!(header(&seen[0], "CSeq").contains("PRACK"), "{seen:#?}");
    assert!(header(&seen[1], "CSeq").contains("INVITE"), "{seen:#?}");
    assert!(seen[1].starts_with("SIP/2.0 200"));
}

/// RFC 3262 §5: an offer that rings is answered in the PRACK.
#[test]
fn an_offer_of_a_phone_that_rings_is_answered_by_prack() {
    let mut rig = Rig::new();
    rig.from(ALICE, &invite_with("bob", REL, ""));
    let at_bob = rig.one(BOB, "INVITE");
    assert!(header(&at_bob, "Supported").contains("100rel") && !at_bob.contains("m=audio"));
    let more = format!("{RELIABLY}RSeq: 1\n");
    rig.from(BOB, &reply(&at_bob, "183 Progress", "bt", &more, &sdp(5_000)));
    assert!(rig.seen(BOB).is_empty(), "the answer is not known yet");
    let at_alice = rig.one(ALICE, "SIP/2.0 183");
    let mut alice = Phone::caller("alice", ALICE, &at_alice);
    rig.from(ALICE, &alice.request("PRACK", &rack(&at_alice), &sdp(4_000)));
    rig.one(ALICE, "SIP/2.0 200");
    let prack = rig.one(BOB, "PRACK");
    assert!(prack.contains("m=audio") && has(&prack, "RAck: 1 1 INVITE"), "{prack}");
    rig.from(BOB, &reply(&prack, "200 OK", "bt", "", ""));
    rig.from(BOB, &reply(&at_bob, "200 OK", "bt", "", ""));
    rig.one(BOB, "ACK");
    assert!(!rig.one(ALICE, "SIP/2.0 200").contains("m=audio"));
}

/// Without a caller who could answer it, a callee is not asked to ring with an offer.
#[test]
fn an_invite_without_an_offer_promises_only_what_the_caller_can() {
    let mut rig = Rig::new();
    rig.from(ALICE, &invite_with("bob", "", ""));
    assert!(!header(&rig.one(BOB, "INVITE"), "Supported").contains("100rel"));
}

/// RFC 3311 §5: what both have settled early can be changed early, from either side.
#[test]
fn updates_cross_before_the_answer() {
    let mut rig = Rig::new();
    let (mut alice, mut bob, at_bob, at_alice) = ring(&mut rig);
    let hold = sdp(4_000) + "a=sendonly\n";
    rig.from(ALICE, &alice.request("UPDATE", "", &hold));
    rig.one(ALICE, "SIP/2.0 500"); // Our answer is not acknowledged yet.
    rig.from(ALICE, &alice.request("PRACK", &rack(&at_alice), ""));
    rig.seen(ALICE);
    // What Bob takes he has said; that he says it no second time changes nothing (RFC 3261 §20.5).
    let more = "Require: 100rel\nRSeq: 8\n";
    rig.from(BOB, &reply(&at_bob, "180 Ringing", "bt", more, ""));
    rig.one(BOB, "PRACK");
    rig.seen(ALICE);
    rig.from(ALICE, &alice.request("UPDATE", "", &hold));
    let update = rig.one(BOB, "UPDATE");
    assert!(update.contains("a=sendonly"), "{update}");
    rig.from(BOB, &reply(&update, "200 OK", "bt", "", &(sdp(5_000) + "a=recvonly\n")));
    let ok = rig.one(ALICE, "SIP/2.0 200");
    assert!(ok.contains("a=recvonly") && header(&ok, "CSeq").contains("UPDATE"), "{ok}");
    rig.from(BOB, &bob.request("UPDATE", "", &sdp(5_002)));
    let update = rig.one(ALICE, "UPDATE");
    // Both at once.
    rig.from(ALICE, &alice.request("UPDATE", "", &hold));
    rig.one(ALICE, "SIP/2.0 491");
    rig.from(ALICE, &reply(&update, "488 No", "at", "", ""));
    let refused = rig.one(BOB, "SIP/2.0 488");
    assert!(header(&refused, "CSeq").contains("UPDATE"), "{refused}");
}

/// RFC 3311 in a call that is answered: the other side gets a re-INVITE; without an offer nobody else hears of it.
#[test]
fn an_update_holds_and_refreshes_the_target() {
    let mut rig = Rig::new();
    let (mut alice, _, _, _) = talk_with(&mut rig, "", "");
    rig.seen(ALICE);
    rig.from(ALICE, &alice.request("UPDATE", "", &(sdp(4_000) + "a=sendonly\n")));
    let again = rig.one(BOB, "INVITE");
    assert!(again.contains("a=sendonly"), "{again}");
    rig.from(BOB, &reply(&again, "200 OK", "bt", "", &(sdp(5_000) + "a=recvonly\n")));
    rig.one(BOB, "ACK");
    assert!(rig.one(ALICE, "SIP/2.0 200").contains("a=recvonly"));
    let moved = alice.request("UPDATE", "", "").replace("<sip:alice@127", "<sip:alice2@127");
    rig.from(ALICE, &moved);
    rig.one(ALICE, "SIP/2.0 200");
    assert!(rig.seen(BOB).is_empty());
    rig.wait(Duration::from_secs(40));
    let mut bob = alice.clone();
    bob.cseq += 5;
    rig.from(ALICE, &bob.request("INFO", "", ""));
    assert!(rig.one(BOB, "INFO").contains("CSeq: 3 INFO"));
}

/// RFC 3261 §14.1: what collided is sent again, later by whoever made the Call-ID.
#[test]
fn glare_is_waited_out() {
    let mut rig = Rig::new();
    let (mut alice, mut bob, _, _) = talk_with(&mut rig, "", "");
    rig.from(ALICE, &alice.request("INVITE", "", &(sdp(4_000) + "a=sendonly\n")));
    let ours = rig.one(BOB, "INVITE");
    rig.from(BOB, &bob.request("INVITE", "", &sdp(5_000)));
    let seen = rig.seen(BOB);
    assert!(seen.iter().any(|text| text.starts_with("SIP/2.0 491")), "{seen:#?}");
    rig.from(BOB, &reply(&ours, "491 Pending", "bt", "", ""));
    rig.one(BOB, "ACK");
    rig.wait(Duration::from_millis(2_090));
    let offers = rig.seen(BOB).into_iter().filter(|text| text.starts_with("INVITE"));
    assert_eq!(offers.count(), 0, "the Call-ID is ours");
    rig.wait(Duration::from_millis(1_920));
    let again = rig.one(BOB, "INVITE");
    assert!(again.contains("a=sendonly"), "{again}");
    rig.from(BOB, &reply(&again, "200 OK", "bt", "", &(sdp(5_000) + "a=recvonly\n")));
    assert!(rig.one(ALICE, "SIP/2.0 200").contains("a=recvonly"));
    rig.one(BOB, "ACK");
}

/// The other side of the same rule: a Call-ID of the phone's means that we wait less.
#[test]
fn glare_on_the_callers_side_is_waited_out_sooner() {
    let mut rig = Rig::new();
    let (_, mut bob, _, _) = talk_with(&mut rig, "", "");
    rig.from(BOB, &bob.request("INVITE", "", &(sdp(5_000) + "a=sendonly\n")));
    let mut ours = rig.one(ALICE, "INVITE");
    for _ in 0..4 {
        rig.from(ALICE, &reply(&ours, "491 Pending", "at", "", ""));
        rig.one(ALICE, "ACK");
        rig.wait(Duration::from_millis(2_001));
        ours = rig.one(ALICE, "INVITE");
    }
    rig.from(ALICE, &reply(&ours, "491 Pending", "at", "", ""));
    rig.one(BOB, "SIP/2.0 491"); // Enough.
}
