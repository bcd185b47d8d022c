//! Transfers (RFC 3515, RFC 3891, RFC 4488, RFC 5589), by phones that need to know nothing of them.

mod rig;

use std::time::Duration;

use rig::phones::*;
use rig::*;

fn refer(phone: &mut Phone, to: &str, more: &str) -> String {
    phone.request("REFER", &format!("Refer-To: {to}\n{more}"), "")
}

/// The NOTIFY at a phone, with its progress; it is answered.
#[track_caller]
fn told(rig: &mut Rig, who: &str, notify: &str, line: &str, state: &str) {
    assert!(notify.starts_with("NOTIFY ") && notify.ends_with(&format!("{line}\r\n")), "{notify}");
    assert!(header(notify, "Event").starts_with("refer"), "{notify}");
    assert!(header(notify, "Subscription-State").starts_with(state), "{notify}");
    assert!(header(notify, "Content-Type").starts_with("message/sipfrag"));
    rig.from(who, &reply(notify, "200 OK", "x", "", ""));
}

/// A second call, of Alice to Frank.
fn consult(rig: &mut Rig, call_id: &str) -> (Phone, Phone) {
    let text = invite_with("frank", "", &sdp(4_100));
    let text = text.replace("c1", call_id).replace("z9hG4bKa1", &format!("z9hG4bK{call_id}"));
    rig.from(ALICE, &text.replace(";tag=at", ";tag=at2"));
    let at_frank = rig.one(FRANK, "INVITE");
    rig.from(FRANK, &reply(&at_frank, "200 OK", "ft", "", &sdp(6_000)));
    rig.one(FRANK, "ACK");
    let ok = rig.one(ALICE, "SIP/2.0 200");
    let alice = Phone::caller("alice", ALICE, &ok);
    rig.from(ALICE, &alice.numbered("ACK", 1, "", ""));
    (alice, Phone::callee("frank", FRANK, &at_frank, "ft"))
}

fn tag(value: &str) -> &str {
    value.split(";tag=").nth(1).unwrap()
}

/// What names a phone's dialog with us, as its Refer-To says it.
fn replaces(phone: &Phone) -> String {
    let (ours, theirs) = (tag(&phone.remote), tag(&phone.local));
    format!("{}%3Bto-tag%3D{ours}%3Bfrom-tag%3D{theirs}", phone.call_id)
}

/// RFC 3515, RFC 5589 §6: Alice sends Bob to Frank.
#[test]
fn a_blind_transfer_calls_the_third_for_the_one_who_stays() {
    let mut rig = Rig::new();
    let (mut alice, mut bob, _, _) = talk_with(&mut rig, "", "");
    rig.seen(ALICE);
    rig.from(
        ALICE,
        &refer(&mut alice, "<sip:frank@localhost>", "Referred-By: <sip:alice@localhost>\n"),
    );
    let seen = rig.seen(ALICE);
    assert!(seen[0].starts_with("SIP/2.0 202") && seen[0].contains("Contact: <sip:"), "{seen:#?}");
    told(&mut rig, ALICE, &seen[1], "SIP/2.0 100 Trying", "active");
    let at_frank = rig.one(FRANK, "INVITE");
    assert!(header(&at_frank, "From").contains("sip:bob@localhost"), "{at_frank}");
    assert!(has(&at_frank, "Referred-By: <sip:alice@localhost>") && at_frank.contains("m=audio"));
    rig.from(FRANK, &reply(&at_frank, "180 Ringing", "ft", "", ""));
    let notify = rig.one(ALICE, "NOTIFY");
    told(&mut rig, ALICE, &notify, "SIP/2.0 180 Ringing", "active");
    rig.from(FRANK, &reply(&at_frank, "200 OK", "ft", "", &sdp(6_000)));
    rig.one(FRANK, "ACK");
    let seen = rig.seen(ALICE);
    told(&mut rig, ALICE, &seen[0], "SIP/2.0 200 OK", "terminated");
    assert!(seen[1].starts_with("BYE "), "{seen:#?}");
    rig.from(ALICE, &reply(&seen[1], "200 OK", "x", "", ""));
    let again = rig.one(BOB, "INVITE");
    assert!(again.contains("m=audio 20"), "{again}");
    rig.from(BOB, &reply(&again, "200 OK", "bt", "", &sdp(5_000)));
    rig.one(BOB, "ACK");
    assert_eq!(rig.gauge("ports_left"), 48, "the ports of the old pair are free");
    // Bob and Frank have one call.
    rig.from(BOB, &bob.request("BYE", "", ""));
    let bye = rig.one(FRANK, "BYE");
    rig.from(FRANK, &reply(&bye, "200 OK", "ft", "", ""));
    rig.is_clean();
}

/// The version of a description goes on where it was, for the same session (RFC 3264 §8).
#[test]
fn the_one_who_stays_hears_the_next_version() {
    let mut rig = Rig::new();
    let (_, mut bob, _, ok) = talk_with(&mut rig, "", "");
    rig.from(BOB, &refer(&mut bob, "<sip:frank@localhost>", ""));
    let at_frank = rig.one(FRANK, "INVITE");
    rig.from(FRANK, &reply(&at_frank, "200 OK", "ft", "", &sdp(6_000)));
    let again = rig.one(ALICE, "INVITE");
    let origin = |text: &str| -> Vec<String> {
        let line = text.lines().find(|line| line.starts_with("o=")).unwrap();
        line.split(' ').map(str::to_owned).collect()
    };
    let (old, new) = (origin(&ok), origin(&again));
    assert_eq!(old[1], new[1], "the session");
    assert_eq!(old[2].parse::<u64>().unwrap() + 1, new[2].parse::<u64>().unwrap());
}

/// The old call goes on when the third does not answer; a second try has an id of its own.
#[test]
fn a_transfer_that_fails_leaves_the_call_as_it_was() {
    let mut rig = Rig::new();
    let (mut alice, _, _, _) = talk_with(&mut rig, "", "");
    rig.seen(ALICE);
    rig.from(ALICE, &refer(&mut alice, "<sip:frank@localhost>", ""));
    rig.from(ALICE, &refer(&mut alice, "<sip:frank@localhost>", ""));
    assert!(rig.one(ALICE, "SIP/2.0 491").contains("calls.transfer_pending"));
    let at_frank = rig.one(FRANK, "INVITE");
    rig.from(FRANK, &reply(&at_frank, "486 Busy", "ft", "", ""));
    let notify = rig.one(ALICE, "NOTIFY");
    told(&mut rig, ALICE, &notify, "SIP/2.0 486 Busy Here", "terminated");
    assert_eq!(rig.gauge("ports_left"), 48);
    // RFC 4488: no word is wanted.
    rig.from(ALICE, &refer(&mut alice, "<sip:carol@localhost>", "Refer-Sub: false\n"));
    let seen = rig.seen(ALICE);
    assert!(seen[0].starts_with("SIP/2.0 200") && has(&seen[0], "Refer-Sub: false"), "{seen:#?}");
    assert_eq!(seen.len(), 1, "{seen:#?}");
    rig.from(ALICE, &refer(&mut alice, "<sip:carol@localhost>", ""));
    let notify = rig.one(ALICE, "NOTIFY");
    assert_eq!(header(&notify, "Event"), format!("refer;id={}", alice.cseq));
    for (to, status) in [
        ("<sip:frank@example.com>", "403"),
        ("<sip:nobody@localhost>", "403"),
        ("<sip:frank@localhost;method=BYE>", "403"),
        ("<mailto:frank@localhost>", "403"),
    ] {
        rig.from(ALICE, &refer(&mut alice, to, ""));
        let refused = rig.one(ALICE, &format!("SIP/2.0 {status}"));
        assert!(header(&refused, "Warning").contains("calls.no_transfer CAR-1313"), "{refused}");
    }
    rig.from(ALICE, &alice.request("BYE", "", ""));
    let bye = rig.one(BOB, "BYE");
    rig.from(BOB, &reply(&bye, "200 OK", "bt", "", ""));
    rig.is_clean();
}

/// Many phones hang up as soon as their REFER was accepted.
#[test]
fn whoever_transfers_may_hang_up_at_once() {
    for answers in [true, false] {
        let mut rig = Rig::new();
        let (mut alice, _, _, _) = talk_with(&mut rig, "", "");
        rig.from(ALICE, &refer(&mut alice, "<sip:frank@localhost>", ""));
        let at_frank = rig.one(FRANK, "INVITE");
        rig.from(ALICE, &alice.request("BYE", "", ""));
        assert!(rig.seen(BOB).iter().all(|text| !text.starts_with("BYE")), "Bob stays");
        if answers {
            rig.from(FRANK, &reply(&at_frank, "200 OK", "ft", "", &sdp(6_000)));
            rig.one(BOB, "INVITE");
        } else {
            rig.from(FRANK, &reply(&at_frank, "603 No", "ft", "", ""));
            rig.one(BOB, "BYE");
        }
    }
}

/// The one who stays hangs up while the third rings: nobody is left to be transferred.
#[test]
fn the_one_who_stays_may_go() {
    let mut rig = Rig::new();
    let (mut alice, mut bob, _, _) = talk_with(&mut rig, "", "");
    rig.from(ALICE, &refer(&mut alice, "<sip:frank@localhost>", ""));
    let at_frank = rig.one(FRANK, "INVITE");
    rig.from(FRANK, &reply(&at_frank, "180 Ringing", "ft", "", ""));
    rig.from(BOB, &bob.request("BYE", "", ""));
    let cancel = rig.one(FRANK, "CANCEL");
    rig.from(FRANK, &reply(&cancel, "200 OK", "ft", "", ""));
    rig.from(FRANK, &reply(&at_frank, "487 Gone", "ft", "", ""));
    let bye = rig.seen(ALICE).into_iter().find(|text| text.starts_with("BYE")).unwrap();
    rig.from(ALICE, &reply(&bye, "200 OK", "x", "", ""));
    rig.is_clean();
}

/// RFC 5589 §7: Alice talks to Bob and to Frank, and puts them together. On one shard, and on three.
#[test]
fn an_attended_transfer_puts_two_calls_together() {
    for shards in [1, 3] {
        for consultation in 0..4 {
            let mut rig = Rig::of(shards, calls::Config::default());
            let (mut alice, mut bob, _, _) = talk_with(&mut rig, "", "");
            let (alice2, mut frank) = consult(&mut rig, &format!("consult{consultation}"));
            let to = format!("<sip:frank@localhost?Replaces={}>", replaces(&alice2));
            rig.from(ALICE, &refer(&mut alice, &to, ""));
            // Frank stays where he is, and is told of Bob.
            let at_frank = rig.one(FRANK, "INVITE");
            assert!(has(&at_frank, "CSeq: 2 INVITE") && at_frank.contains("m=audio"), "{at_frank}");
            rig.from(FRANK, &reply(&at_frank, "200 OK", "ft", "", &sdp(6_000)));
            rig.one(FRANK, "ACK");
            let at_bob = rig.one(BOB, "INVITE");
            rig.from(BOB, &reply(&at_bob, "200 OK", "bt", "", &sdp(5_000)));
            rig.one(BOB, "ACK");
            let seen = rig.seen(ALICE);
            assert!(seen[0].starts_with("SIP/2.0 202"), "{seen:#?}");
            let done = seen.iter().find(|text| text.ends_with("SIP/2.0 200 OK\r\n")).unwrap();
            told(&mut rig, ALICE, done, "SIP/2.0 200 OK", "terminated");
            let byes: Vec<_> = seen.iter().filter(|text| text.starts_with("BYE")).collect();
            assert_eq!(byes.len(), 2, "both calls of Alice are over: {seen:#?}");
            for message in &seen {
                if message.starts_with("BYE") || message.contains("100 Trying\r\n") {
                    rig.from(ALICE, &reply(message, "200 OK", "x", "", ""));
                }
            }
            assert_eq!(rig.gauge("legs"), 2);
            // What Bob says reaches Frank, and the other way round.
            rig.from(BOB, &bob.request("INFO", "", ""));
            let info = rig.one(FRANK, "INFO");
            rig.from(FRANK, &reply(&info, "200 OK", "ft", "", ""));
            rig.one(BOB, "SIP/2.0 200");
            rig.from(FRANK, &frank.request("BYE", "", ""));
            let bye = rig.one(BOB, "BYE");
            rig.from(BOB, &reply(&bye, "200 OK", "bt", "", ""));
            if shards == 1 {
                rig.is_clean();
            } else {
                rig.wait(Duration::from_secs(120));
                assert_eq!((rig.gauge("legs"), rig.gauge("sessions")), (0, 0));
            }
        }
    }
}

/// What is named is not there, or is another's: the calls stay as they are.
#[test]
fn only_ones_own_call_is_replaced() {
    let mut rig = Rig::new();
    let (mut alice, _, _, _) = talk_with(&mut rig, "", "");
    let (mut alice2, _) = consult(&mut rig, "consult");
    alice2.call_id.push('x');
    let to = format!("<sip:frank@localhost?Replaces={}>", replaces(&alice2));
    rig.from(ALICE, &refer(&mut alice, &to, ""));
    let seen = rig.seen(ALICE);
    assert!(
        seen.iter().any(|text| text.ends_with("SIP/2.0 481 Call/Transaction Does Not Exist\r\n")),
        "{seen:#?}"
    );
    assert_eq!(rig.gauge("legs"), 4);
    let to = "<sip:frank@localhost?Replaces=only-an-id>";
    rig.from(ALICE, &refer(&mut alice, to, ""));
    assert!(rig.one(ALICE, "SIP/2.0 481").contains("calls.cannot_replace CAR-1311"));
}

/// RFC 3891 §3: a phone that was told to replaces by INVITE; it must be answered, and more than early.
#[test]
fn an_invite_takes_over_a_leg() {
    let mut rig = Rig::new();
    let (_, mut bob, _, ok) = talk_with(&mut rig, "", "");
    rig.seen(ALICE);
    // Alice's second device takes the call over.
    let named = format!("c1;to-tag={};from-tag=at", tag(header(&ok, "To")));
    let takes = |more: &str, call_id: &str| {
        let text = invite_with("bob", &format!("Replaces: {named}{more}\n"), &sdp(4_200));
        text.replace("c1\n", &format!("{call_id}\n")).replace("z9hG4bKa1", call_id)
    };
    let takes = |more: &str, id: &str| takes(more, id).replace("branch=", "branch=z9hG4bK");
    rig.from(ALICE, &takes(";early-only", "n1"));
    rig.one(ALICE, "SIP/2.0 486");
    rig.from(ALICE, &takes("", "n2"));
    let at_bob = rig.one(BOB, "INVITE");
    rig.from(BOB, &reply(&at_bob, "200 OK", "bt", "", &sdp(5_000)));
    rig.one(BOB, "ACK");
    let seen = rig.seen(ALICE);
    let answered = seen.iter().find(|text| text.starts_with("SIP/2.0 200")).unwrap();
    assert!(answered.contains("m=audio") && has(answered, "Call-ID: n2"), "{answered}");
    let bye = seen.iter().find(|text| text.starts_with("BYE")).unwrap();
    assert!(has(bye, "Call-ID: c1"), "{bye}");
    rig.from(ALICE, &reply(bye, "200 OK", "x", "", ""));
    let again = Phone::caller("alice", ALICE, answered);
    rig.from(ALICE, &again.numbered("ACK", 1, "", ""));
    rig.from(BOB, &bob.request("BYE", "", ""));
    let bye = rig.one(ALICE, "BYE");
    assert!(has(&bye, "Call-ID: n2"));
    rig.from(ALICE, &reply(&bye, "200 OK", "x", "", ""));
    rig.is_clean();
    // It is over now.
    rig.from(ALICE, &takes("", "n3"));
    assert!(rig.one(ALICE, "SIP/2.0 481").contains("calls.cannot_replace"));
    // RFC 3911: nobody joins.
    let join = invite_with("bob", "Join: c1;to-tag=a;from-tag=b\n", &sdp(4_000));
    rig.from(ALICE, &join.replace("z9hG4bKa1", "z9hG4bKj1"));
    assert!(rig.one(ALICE, "SIP/2.0 501").contains("calls.cannot_join CAR-1310"));
    let required = invite_with("bob", "Require: join, 100rel\n", &sdp(4_000));
    rig.from(ALICE, &required.replace("z9hG4bKa1", "z9hG4bKj2"));
    assert!(has(&rig.one(ALICE, "SIP/2.0 420"), "Unsupported: join"));
}

/// A stranger on another address replaces nobody.
#[test]
fn a_stranger_replaces_nobody() {
    let mut rig = Rig::new();
    let (_, _, _, ok) = talk_with(&mut rig, "", "");
    let named = format!("Replaces: c1;to-tag={};from-tag=at\n", tag(header(&ok, "To")));
    let text = invite_with("bob", &named, &sdp(4_200)).replace("c1\nCSeq", "m1\nCSeq");
    let text = text.replace("z9hG4bKa1", "z9hG4bKm1");
    rig.from("127.9.9.9:5060", &text);
    rig.one("127.9.9.9:5060", "SIP/2.0 481");
    assert_eq!(rig.gauge("legs"), 2);
}
