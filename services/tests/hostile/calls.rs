//! Calls that others meddle with, and calls whose messages are lost, repeated or cross each other.

use std::time::Duration;

use crate::rig::*;

fn rig() -> Rig {
    let mut rig = Rig::new(true);
    rig.all_register();
    rig
}

const HALF_MINUTE: Duration = Duration::from_secs(33);

#[test]
fn a_call_from_beginning_to_end() {
    let mut rig = rig();
    let talk = rig.talk();
    rig.wait(Duration::from_secs(600));
    rig.still_talks(&talk, 10);
}

#[test]
fn strangers_do_not_reach_into_a_call() {
    let mut rig = rig();
    let talk = rig.talk();
    let tag = header(&talk.ok, "To").split("tag=").nth(1).unwrap().to_owned();
    for method in ["BYE", "INVITE", "OPTIONS", "UPDATE", "INFO"] {
        let body = if method == "INVITE" { sdp(MALLORY, 9_000) } else { String::new() };
        let right = talk.alice(method, 10, &format!("m{method}"), "", &body);
        let rows = [
            ("a made-up tag of ours", MALLORY, right.replace(&tag, "00112233445566778")),
            (
                "a made-up tag of ours, from the right address",
                ALICE,
                right.replace(&tag, "00ffffffffffffffff"),
            ),
            ("a made-up tag of theirs", MALLORY, right.replace("tag=f", "tag=g")),
            ("another Call-ID", ALICE, right.replace("Call-ID: c", "Call-ID: d")),
        ];
        for (what, who, text) in rows {
            let code = rig.status(who, &text);
            assert_eq!(code, 481, "{method} with {what}");
        }
        // All that names the dialog was overheard: a proof is asked for, and his own is not enough.
        let answers = rig.say(MALLORY, &right.replace(ALICE, MALLORY));
        assert_eq!(status(&answers[0]), 401, "{method}: {answers:?}");
        let uri = header(&talk.ok, "Contact").trim_matches(['<', '>']).to_owned();
        let proof = rig.proof(&answers[0], "carol", &word("carol"), method, &uri);
        let text = right.replace("Max-Forwards", &format!("{proof}Max-Forwards"));
        let text = text.replace(&format!("z9hG4bKm{method}"), &format!("z9hG4bKn{method}"));
        assert_eq!(rig.status(MALLORY, &text), 481, "{method}");
    }
    let ask = invite("bob", talk.number);
    for (who, branch) in [(ALICE, "z9hG4bKguess".to_owned()), (MALLORY, format!("{}p", ask.branch))]
    {
        let cancel = Ask {
            method: "CANCEL".into(),
            cseq: 2,
            branch,
            lines: String::new(),
            body: String::new(),
            ..ask.clone()
        };
        assert_eq!(rig.status(who, &cancel.text()), 481);
    }
    assert!(rig.seen(BOB).is_empty());
    rig.still_talks(&talk, 20);
}

#[test]
fn a_phone_that_changed_networks_proves_itself_and_goes_on() {
    let mut rig = rig();
    let talk = rig.talk();
    let moved = |text: String| text.replace(ALICE, CAROL);
    let lines = format!("Contact: <sip:alice@{CAROL}>\n");
    let change = moved(talk.alice("INVITE", 10, "w1", &lines, &sdp(CAROL, 4_002)));
    let refused = rig.say(CAROL, &change).remove(0);
    assert_eq!(status(&refused), 401, "{refused}");
    let uri = header(&talk.ok, "Contact").trim_matches(['<', '>']).to_owned();
    let proof = rig.proof(&refused, "alice", &word("alice"), "INVITE", &uri);
    let lines = format!("{lines}{proof}");
    rig.say(CAROL, &moved(talk.alice("INVITE", 11, "w2", &lines, &sdp(CAROL, 4_002))));
    let offer = rig.one(BOB, "INVITE");
    rig.say(BOB, &reply(&offer, "200 OK", BOB, &sdp(BOB, 5_000)));
    rig.one(CAROL, "SIP/2.0 200");
    rig.say(CAROL, &moved(talk.alice("ACK", 11, "w3", "", "")));
    // What we say in the dialog goes to where she is now.
    let answers = rig.say(BOB, &talk.bob("BYE", 1, "w4", "", ""));
    assert_eq!(status(&answers[0]), 200);
    let bye = rig.one(CAROL, "BYE");
    assert!(rig.seen(ALICE).is_empty());
    rig.say(CAROL, &reply(&bye, "200 OK", CAROL, ""));
    rig.is_clean();
}

#[test]
fn forged_answers_are_not_heard() {
    let mut rig = rig();
    let (_, invite) = rig.ring();
    let ok = reply(&invite, "200 OK", BOB, &sdp(MALLORY, 9_000));
    assert!(rig.say(MALLORY, &ok).is_empty());
    let branch = header(&invite, "Via").split("branch=").nth(1).unwrap();
    let branch = branch.split(';').next().unwrap();
    let last = if branch.ends_with('0') { "1" } else { "0" };
    let other = format!("{}{last}", &branch[..branch.len() - 1]);
    assert!(rig.say(BOB, &ok.replace(branch, &other)).is_empty());
    assert!(rig.say(BOB, &ok.replace(branch, "z9hG4bKx")).is_empty());
    // The right branch for another method.
    assert!(rig.say(BOB, &ok.replace("CSeq: 1 INVITE", "CSeq: 1 BYE")).is_empty());
    assert!(rig.seen(ALICE).is_empty());
    rig.say(BOB, &reply(&invite, "486 Busy Here", BOB, ""));
    assert_eq!(status(&rig.one(ALICE, "SIP/2.0 486")), 486);
    rig.is_clean();
}

#[test]
fn one_invite_is_one_call_however_often_it_comes() {
    let mut rig = rig();
    let number = rig.next();
    let refused = rig.say(ALICE, &invite("bob", number).text()).remove(0);
    let proof = rig.proof(&refused, "alice", &word("alice"), "INVITE", "sip:bob@localhost");
    let ask = Ask { cseq: 2, branch: "z9hG4bKrep".into(), ..invite("bob", number).with(&proof) };
    for _ in 0..200 {
        rig.say(ALICE, &ask.text());
        rig.wait(Duration::from_millis(150));
    }
    assert_eq!((rig.gauge("sessions"), rig.gauge("legs")), (1, 2));
    let invites = rig.seen(BOB);
    assert!(invites.len() < 12 && invites.iter().all(|text| text.starts_with("INVITE")));
    // Somebody who saw its branch does not take its place.
    assert_eq!(rig.status(MALLORY, &ask.text()), 401);
    assert_eq!(rig.status(ALICE, &ask.text()), 100);
    assert_eq!(rig.gauge("sessions"), 1);
    let cancel = Ask { method: "CANCEL".into(), lines: String::new(), body: String::new(), ..ask };
    let answers = rig.say(ALICE, &cancel.text());
    assert_eq!((status(&answers[0]), status(&answers[1])), (200, 487), "{answers:?}");
    let tag = |text: &str| header(text, "To").to_owned();
    assert_eq!(tag(&answers[0]), tag(&answers[1]), "RFC 3261 §9.2");
    rig.is_clean();
}

#[test]
fn nobody_answers_a_storm_of_acks() {
    let mut rig = rig();
    let talk = rig.talk();
    for n in 0..2_000 {
        let ack = talk.alice("ACK", 2, &format!("storm{n}"), "", "");
        assert!(rig.say(ALICE, &ack).is_empty());
        assert!(rig.say(MALLORY, &ack.replace("tag=f", "tag=g")).is_empty());
    }
    assert!(rig.sent.is_empty());
    rig.still_talks(&talk, 10);
}

#[test]
fn an_answer_that_nobody_acknowledges_is_repeated_and_then_ended() {
    let mut rig = rig();
    let (_, invite) = rig.ring();
    rig.say(BOB, &reply(&invite, "200 OK", BOB, &sdp(BOB, 5_000)));
    rig.wait(HALF_MINUTE);
    let seen = rig.seen(ALICE);
    let oks = seen.iter().filter(|text| text.starts_with("SIP/2.0 200")).count();
    assert!((9..=12).contains(&oks), "{oks}");
    let bye = seen.iter().find(|text| text.starts_with("BYE")).expect("a BYE").clone();
    rig.say(ALICE, &reply(&bye, "200 OK", ALICE, ""));
    assert!(rig.seen(BOB).iter().any(|text| text.starts_with("BYE")));
    rig.is_clean();
}

#[test]
fn a_callee_who_says_nothing_is_given_up() {
    let mut rig = rig();
    rig.ring();
    rig.wait(HALF_MINUTE);
    let last = rig.seen(ALICE).pop().unwrap();
    assert_eq!(status(&last), 480);
    let sent = rig.seen(BOB);
    assert!(sent.len() <= 7 && sent.iter().all(|text| text.starts_with("INVITE")), "{sent:#?}");
    rig.is_clean();
    // One who rings for ever is given up as well, and told so.
    let (_, invite) = rig.ring();
    rig.say(BOB, &reply(&invite, "180 Ringing", BOB, ""));
    rig.wait(Duration::from_secs(121));
    assert!(rig.seen(ALICE).iter().any(|text| text.starts_with("SIP/2.0 480")));
    assert!(rig.seen(BOB).iter().any(|text| text.starts_with("CANCEL")));
    rig.is_clean();
}

fn cancel_of(number: u32) -> String {
    let ask = invite("bob", number);
    let branch = format!("{}p", ask.branch);
    Ask {
        method: "CANCEL".into(),
        cseq: 2,
        branch,
        lines: String::new(),
        body: String::new(),
        ..ask
    }
    .text()
}

#[test]
fn cancel_and_answer_cross() {
    // The CANCEL comes first: the late 200 is acknowledged and ended.
    let mut rig = rig();
    let (number, invite) = rig.ring();
    rig.say(BOB, &reply(&invite, "180 Ringing", BOB, ""));
    rig.seen(ALICE);
    let answers = rig.say(ALICE, &cancel_of(number));
    assert_eq!((status(&answers[0]), status(&answers[1])), (200, 487));
    rig.one(BOB, "CANCEL");
    let sent = rig.say(BOB, &reply(&invite, "200 OK", BOB, &sdp(BOB, 5_000)));
    assert!(sent[0].starts_with("ACK") && sent[1].starts_with("BYE"), "{sent:?}");
    // Repeated because the ACK was lost: acknowledged again, not ended again.
    let sent = rig.say(BOB, &reply(&invite, "200 OK", BOB, &sdp(BOB, 5_000)));
    assert!(sent[0].starts_with("ACK"), "{sent:?}");
    assert!(rig.seen(ALICE).is_empty());
    rig.is_clean();
    // The CANCEL comes before any answer of Bob: it waits for his first word.
    let (number, invite) = rig.ring();
    rig.say(ALICE, &cancel_of(number));
    assert!(rig.seen(BOB).is_empty());
    let sent = rig.say(BOB, &reply(&invite, "100 Trying", BOB, ""));
    assert!(sent[0].starts_with("CANCEL"), "{sent:?}");
    rig.say(BOB, &reply(&sent[0], "200 OK", BOB, ""));
    let sent = rig.say(BOB, &reply(&invite, "487 Request Terminated", BOB, ""));
    assert!(sent[0].starts_with("ACK"), "{sent:?}");
    rig.is_clean();
    // The 200 comes first: the CANCEL has no effect.
    let (number, invite) = rig.ring();
    rig.say(BOB, &reply(&invite, "200 OK", BOB, &sdp(BOB, 5_000)));
    let ok = rig.one(ALICE, "SIP/2.0 200");
    let answers = rig.say(ALICE, &cancel_of(number));
    assert_eq!((answers.len(), status(&answers[0])), (1, 200), "{answers:?}");
    let talk = Talk { invite, ok, number };
    rig.say(ALICE, &talk.ack());
    rig.still_talks(&talk, 10);
}

#[test]
fn a_bye_before_the_ack() {
    let mut rig = rig();
    let (number, invite) = rig.ring();
    rig.say(BOB, &reply(&invite, "200 OK", BOB, &sdp(BOB, 5_000)));
    let ok = rig.one(ALICE, "SIP/2.0 200");
    let talk = Talk { invite, ok, number };
    // Bob ends it: Alice's BYE waits for her ACK.
    let answers = rig.say(BOB, &talk.bob("BYE", 1, "bb", "", ""));
    assert_eq!(status(&answers[0]), 200);
    assert!(!rig.seen(ALICE).iter().any(|text| text.starts_with("BYE")));
    let sent = rig.say(ALICE, &talk.ack());
    assert!(sent[0].starts_with("BYE"), "{sent:?}");
    rig.say(ALICE, &reply(&sent[0], "200 OK", ALICE, ""));
    rig.is_clean();
    // Alice ends it without an ACK.
    let (number, invite) = rig.ring();
    rig.say(BOB, &reply(&invite, "200 OK", BOB, &sdp(BOB, 5_000)));
    let ok = rig.one(ALICE, "SIP/2.0 200");
    let talk = Talk { invite, ok, number };
    rig.hangs_up(&talk, 3);
}

#[test]
fn a_bye_while_it_rings() {
    let mut rig = rig();
    let (number, invite) = rig.ring();
    rig.say(BOB, &reply(&invite, "180 Ringing", BOB, ""));
    let ok = rig.one(ALICE, "SIP/2.0 180");
    let talk = Talk { invite, ok, number };
    let answers = rig.say(ALICE, &talk.alice("BYE", 3, "early", "", ""));
    let codes: Vec<u16> = answers.iter().map(|answer| status(answer)).collect();
    assert!(codes.contains(&200) && codes.contains(&487), "{codes:?}");
    rig.one(BOB, "CANCEL");
    rig.is_clean();
}

#[test]
fn both_hang_up_at_once() {
    let mut rig = rig();
    let talk = rig.talk();
    let answers = rig.say(ALICE, &talk.alice("BYE", 3, "x1", "", ""));
    assert_eq!(status(&answers[0]), 200);
    rig.one(BOB, "BYE");
    let answers = rig.say(BOB, &talk.bob("BYE", 1, "x2", "", ""));
    assert!(matches!(status(&answers[0]), 200 | 481), "{answers:?}");
    rig.is_clean();
}

#[test]
fn lost_messages_are_said_again() {
    let mut rig = rig();
    let (number, invite) = rig.ring();
    let ok = reply(&invite, "200 OK", BOB, &sdp(BOB, 5_000));
    rig.say(BOB, &ok);
    let first = rig.one(ALICE, "SIP/2.0 200");
    // Our ACK to Bob was lost: he says 200 again, and gets it again.
    for _ in 0..3 {
        rig.wait(Duration::from_millis(500));
        let sent = rig.say(BOB, &ok);
        assert!(sent.len() == 1 && sent[0].starts_with("ACK"), "{sent:?}");
    }
    // Our 200 to Alice was lost, or her ACK.
    assert_eq!(rig.seen(ALICE).iter().filter(|text| **text == first).count(), 2);
    let talk = Talk { invite, ok: first, number };
    rig.say(ALICE, &talk.ack());
    rig.wait(Duration::from_secs(40));
    assert!(rig.seen(ALICE).is_empty() && rig.seen(BOB).is_empty());
    // The BYE of Alice comes twice; ours to Bob is lost thrice.
    let bye = talk.alice("BYE", 10, "lost", "", "");
    let once = rig.say(ALICE, &bye);
    assert_eq!(once, rig.say(ALICE, &bye));
    rig.wait(Duration::from_secs(4));
    let byes = rig.seen(BOB);
    assert!(byes.len() >= 3 && byes.iter().all(|text| *text == byes[0]));
    rig.say(BOB, &reply(&byes[0], "200 OK", BOB, ""));
    rig.wait(Duration::from_secs(20));
    assert!(rig.seen(BOB).is_empty());
    rig.is_clean();
}

#[test]
fn hold_and_resume_go_through() {
    let mut rig = rig();
    let talk = rig.talk();
    // What Alice says, what Bob is told of it and answers, what she hears, and where she is.
    let ways = [
        (10, ["sendonly", "sendonly", "recvonly", "recvonly"], None),
        (11, ["sendrecv", "sendrecv", "sendrecv", "sendrecv"], None),
        // She wants nothing: Bob hears music.
        (12, ["inactive", "sendonly", "recvonly", "inactive"], Some("0.0.0.0")),
    ];
    for (cseq, [way, told, back, heard], address) in ways {
        let mut body = format!("{}a={way}\n", sdp(ALICE, 4_000));
        if let Some(address) = address {
            body = body.replace("c=IN IP4 10.0.0.1", &format!("c=IN IP4 {address}"));
        }
        let body = body.replace("o=- 1 1", &format!("o=- 1 {cseq}"));
        rig.say(ALICE, &talk.alice("INVITE", cseq, &format!("h{cseq}"), "", &body));
        let offer = rig.one(BOB, "INVITE");
        assert!(body_has(&offer, &format!("a={told}")), "{offer}");
        let answer = format!("{}a={back}\n", sdp(BOB, 5_000));
        let acks = rig.say(BOB, &reply(&offer, "200 OK", BOB, &answer));
        assert!(acks[0].starts_with("ACK"));
        let ok = rig.one(ALICE, "SIP/2.0 200");
        assert!(body_has(&ok, &format!("a={heard}")) && body_has(&ok, "10.0.0.100"), "{ok}");
        rig.say(ALICE, &talk.alice("ACK", cseq, &format!("ha{cseq}"), "", ""));
    }
    rig.still_talks(&talk, 20);
}

fn body_has(message: &str, what: &str) -> bool {
    body(message).contains(what)
}

#[test]
fn a_change_that_is_refused_changes_nothing() {
    let mut rig = rig();
    let talk = rig.talk();
    rig.say(ALICE, &talk.alice("INVITE", 10, "r1", "", &sdp(ALICE, 4_010)));
    let offer = rig.one(BOB, "INVITE");
    rig.say(BOB, &reply(&offer, "488 Not Acceptable Here", BOB, ""));
    assert_eq!(status(&rig.one(ALICE, "SIP/2.0 488")), 488);
    let answers = rig.say(ALICE, &talk.alice("INVITE", 11, "r2", "", "hello\n"));
    assert_eq!(status(answers.last().unwrap()), 488, "{answers:?}");
    let answers =
        rig.say(ALICE, &talk.alice("INVITE", 12, "r3", "Require: x\n", &sdp(ALICE, 4_000)));
    assert_eq!(status(&answers[0]), 420, "{answers:?}");
    assert_eq!(rig.status(ALICE, &talk.alice("INVITE", 9, "r4", "", &sdp(ALICE, 4_000))), 500);
    assert_eq!(rig.status(ALICE, &talk.alice("PUBLISH", 14, "r5", "", "")), 405);
    rig.still_talks(&talk, 20);
}

#[test]
fn changes_of_both_sides_at_once() {
    let mut rig = rig();
    let talk = rig.talk();
    rig.say(ALICE, &talk.alice("INVITE", 10, "g1", "", &sdp(ALICE, 4_000)));
    let offer = rig.one(BOB, "INVITE");
    let answers = rig.say(BOB, &talk.bob("INVITE", 1, "g2", "", &sdp(BOB, 5_000)));
    assert_eq!(status(answers.last().unwrap()), 491, "{answers:?}");
    rig.say(BOB, &reply(&offer, "491 Request Pending", BOB, ""));
    // It is tried again, later than Bob's would be: the Call-ID is ours.
    rig.wait(Duration::from_millis(4_001));
    let offer = rig.one(BOB, "INVITE");
    rig.say(BOB, &reply(&offer, "200 OK", BOB, &sdp(BOB, 5_000)));
    rig.one(ALICE, "SIP/2.0 200");
    rig.say(ALICE, &talk.alice("ACK", 10, "g6", "", ""));
    // A second one while the first waits.
    rig.say(ALICE, &talk.alice("INVITE", 11, "g3", "", &sdp(ALICE, 4_000)));
    let offer = rig.one(BOB, "INVITE");
    let answers = rig.say(ALICE, &talk.alice("INVITE", 12, "g4", "", &sdp(ALICE, 4_000)));
    assert!(matches!(status(answers.last().unwrap()), 491 | 500), "{answers:?}");
    rig.say(BOB, &reply(&offer, "200 OK", BOB, &sdp(BOB, 5_000)));
    rig.one(ALICE, "SIP/2.0 200");
    rig.say(ALICE, &talk.alice("ACK", 11, "g5", "", ""));
    rig.still_talks(&talk, 20);
}

#[test]
fn a_change_that_is_heard_and_never_answered() {
    let mut rig = rig();
    let talk = rig.talk();
    rig.say(ALICE, &talk.alice("INVITE", 10, "n1", "", &sdp(ALICE, 4_000)));
    let offer = rig.one(BOB, "INVITE");
    rig.say(BOB, &reply(&offer, "100 Trying", BOB, ""));
    // The answer to the first INVITE, again, is no answer to this one.
    let sent = rig.say(BOB, &reply(&talk.invite, "200 OK", BOB, &sdp(BOB, 5_000)));
    assert!(sent.len() == 1 && sent[0].starts_with("ACK"), "{sent:?}");
    assert!(rig.seen(ALICE).iter().all(|text| status(text) < 200));
    rig.wait(Duration::from_secs(61));
    assert!(rig.seen(ALICE).iter().any(|text| status(text) == 504));
    let cancel = rig.one(BOB, "CANCEL");
    rig.say(BOB, &reply(&cancel, "200 OK", BOB, ""));
    rig.say(BOB, &reply(&offer, "487 Request Terminated", BOB, ""));
    // The same, and the call ends meanwhile.
    rig.say(ALICE, &talk.alice("INVITE", 11, "n2", "", &sdp(ALICE, 4_000)));
    let offer = rig.one(BOB, "INVITE");
    rig.say(BOB, &reply(&offer, "100 Trying", BOB, ""));
    rig.hangs_up(&talk, 20);
}

#[test]
fn a_change_without_an_offer_asks_the_other_side() {
    let mut rig = rig();
    let talk = rig.talk();
    rig.say(ALICE, &talk.alice("INVITE", 10, "o1", "", ""));
    let asked = rig.one(BOB, "INVITE");
    assert!(body(&asked).is_empty());
    let acks = rig.say(BOB, &reply(&asked, "200 OK", BOB, &sdp(BOB, 5_004)));
    assert!(acks.is_empty(), "its ACK carries the answer: {acks:?}");
    let offer = rig.one(ALICE, "SIP/2.0 200");
    assert!(body_has(&offer, "c=IN IP4 10.0.0.100"));
    rig.say(ALICE, &talk.alice("ACK", 10, "o2", "", &sdp(ALICE, 4_004)));
    let ack = rig.one(BOB, "ACK");
    assert!(body_has(&ack, "c=IN IP4 10.0.0.100"), "{ack}");
    rig.still_talks(&talk, 20);
    // The same, and Alice's ACK never comes: both are ended, Bob with his ACK first.
    let talk = rig.talk();
    rig.say(ALICE, &talk.alice("INVITE", 10, "p1", "", ""));
    let asked = rig.one(BOB, "INVITE");
    rig.say(BOB, &reply(&asked, "200 OK", BOB, &sdp(BOB, 5_004)));
    rig.wait(HALF_MINUTE);
    let ends: Vec<_> = rig.seen(BOB).iter().map(|text| text[..3].to_owned()).collect();
    assert_eq!(&ends[..2], ["ACK", "BYE"], "{ends:?}");
    assert!(rig.seen(ALICE).iter().any(|text| text.starts_with("BYE")));
    rig.is_clean();
}

#[test]
fn a_call_without_an_offer() {
    let mut rig = rig();
    let number = rig.next();
    let ask = Ask::new("INVITE", "alice", ALICE, number)
        .to("bob")
        .with(&format!("Contact: <sip:alice@{ALICE}>\n"));
    rig.proved(ALICE, "alice", &ask);
    let invite = rig.one(BOB, "INVITE");
    assert!(body(&invite).is_empty());
    assert!(rig.say(BOB, &reply(&invite, "200 OK", BOB, &sdp(BOB, 5_000))).is_empty());
    let ok = rig.one(ALICE, "SIP/2.0 200");
    assert!(body_has(&ok, "c=IN IP4 10.0.0.100"));
    let talk = Talk { invite, ok, number };
    rig.say(ALICE, &talk.alice("ACK", 2, "late", "", &sdp(ALICE, 4_000)));
    assert!(body_has(&rig.one(BOB, "ACK"), "c=IN IP4 10.0.0.100"));
    rig.still_talks(&talk, 10);
}

#[test]
fn a_peer_who_is_gone_is_noticed_by_a_change() {
    let mut rig = rig();
    let talk = rig.talk();
    rig.say(ALICE, &talk.alice("INVITE", 10, "q1", "", &sdp(ALICE, 4_000)));
    rig.wait(HALF_MINUTE);
    let seen = rig.seen(ALICE);
    assert!(seen.iter().any(|text| text.starts_with("SIP/2.0 408")), "{seen:?}");
    assert!(seen.iter().any(|text| text.starts_with("BYE")), "{seen:?}");
    rig.is_clean();
    let talk = rig.talk();
    rig.say(ALICE, &talk.alice("INVITE", 10, "q2", "", &sdp(ALICE, 4_000)));
    let offer = rig.one(BOB, "INVITE");
    rig.say(BOB, &reply(&offer, "481 Call Does Not Exist", BOB, ""));
    assert!(rig.seen(ALICE).iter().any(|text| text.starts_with("BYE")));
    rig.is_clean();
}

#[test]
fn a_line_that_is_folded_does_no_harm() {
    let mut rig = Rig::new(false);
    rig.all_register();
    let ask = invite("bob", 77);
    let body = crlf(&format!("\n\n{}", ask.body)).len() - 4;
    let text = ask.text().replace("Content-Length: LENGTH", &format!("Content-Length:\n {body}"));
    let text = text.replace("Max-Forwards: 70\n", "Subject: x\n l: 9\nMax-Forwards: 70\n");
    rig.say(ALICE, &text);
    let invite = rig.one(BOB, "INVITE");
    rig.say(BOB, &reply(&invite, "200 OK", BOB, &sdp(BOB, 5_000)));
    let ok = rig.one(ALICE, "SIP/2.0 200");
    let talk = Talk { invite, ok, number: 77 };
    rig.say(ALICE, &talk.ack());
    rig.still_talks(&talk, 10);
}
