//! One user, several phones, and proxies that fork behind us.

use std::time::Duration;

use crate::rig::*;

const PHONES: [&str; 4] = [BOB, "10.0.0.4:5060", "10.0.0.5:5060", "10.0.0.6:5060"];

/// Bob has this many phones; Alice calls him. Gives the INVITE of each.
fn ring(phones: usize) -> (Rig, u32, Vec<String>) {
    let mut rig = Rig::new(true);
    rig.register("alice", ALICE);
    for who in &PHONES[..phones] {
        rig.register("bob", who);
    }
    let number = rig.next();
    rig.proved(ALICE, "alice", &invite("bob", number));
    let invites = PHONES[..phones].iter().map(|who| rig.one(who, "INVITE")).collect();
    (rig, number, invites)
}

#[test]
fn the_best_answer_of_many() {
    let rows: [(&[&str], u16); 8] = [
        (&["486 Busy Here", "408 Request Timeout", "404 Not Found"], 486),
        (&["408 Request Timeout", "486 Busy Here", "603 Decline"], 603),
        (&["486 Busy Here", "603 Decline"], 603),
        (&["503 Service Unavailable", "503 Service Unavailable"], 480),
        (&["401 Unauthorized"], 480),
        (&["407 Proxy Authentication Required", "404 Not Found"], 404),
        (&["302 Moved Temporarily"], 480),
        (&["500 Server Internal Error", "480 Temporarily Unavailable"], 500),
    ];
    for (answers, wants) in rows {
        let (mut rig, _, invites) = ring(answers.len());
        for (place, code) in answers.iter().enumerate() {
            let sent = rig.say(PHONES[place], &reply(&invites[place], code, PHONES[place], ""));
            assert!(sent.iter().any(|text| text.starts_with("ACK")), "{answers:?}: {sent:?}");
        }
        let finals: Vec<u16> =
            rig.seen(ALICE).iter().map(|text| status(text)).filter(|code| *code >= 200).collect();
        assert_eq!(finals, [wants], "{answers:?}");
        rig.is_clean();
    }
}

#[test]
fn a_decline_for_all_stops_the_others() {
    let (mut rig, _, invites) = ring(3);
    for place in 0..3 {
        rig.say(PHONES[place], &reply(&invites[place], "180 Ringing", PHONES[place], ""));
    }
    rig.say(PHONES[0], &reply(&invites[0], "603 Decline", PHONES[0], ""));
    assert!(rig.seen(ALICE).iter().any(|text| text.starts_with("SIP/2.0 603")));
    rig.one(PHONES[1], "CANCEL");
    rig.one(PHONES[2], "CANCEL");
    rig.is_clean();
}

#[test]
fn two_phones_answer_at_once() {
    let (mut rig, number, invites) = ring(2);
    for place in 0..2 {
        rig.say(PHONES[place], &reply(&invites[place], "180 Ringing", PHONES[place], ""));
    }
    rig.say(PHONES[0], &reply(&invites[0], "200 OK", PHONES[0], &sdp(PHONES[0], 5_000)));
    let cancel = rig.one(PHONES[1], "CANCEL");
    assert!(cancel.contains("cause=200"), "{cancel}");
    let sent = rig.say(PHONES[1], &reply(&invites[1], "200 OK", PHONES[1], &sdp(PHONES[1], 5_000)));
    assert!(sent[0].starts_with("ACK") && sent[1].starts_with("BYE"), "{sent:?}");
    let oks = rig.seen(ALICE).into_iter().filter(|text| text.starts_with("SIP/2.0 200"));
    let oks: Vec<_> = oks.collect();
    assert_eq!(oks.len(), 1);
    let talk = Talk { invite: invites[0].clone(), ok: oks[0].clone(), number };
    rig.say(ALICE, &talk.ack());
    rig.still_talks(&talk, 10);
}

#[test]
fn a_proxy_behind_us_forks_and_both_answer() {
    let (mut rig, number, invites) = ring(1);
    let first = reply(&invites[0], "200 OK", BOB, &sdp(BOB, 5_000));
    rig.say(BOB, &first);
    let ok = rig.one(ALICE, "SIP/2.0 200");
    for n in 0..100 {
        let second = first.replace(";tag=t2", &format!(";tag=other{n}"));
        for again in 0..3 {
            let sent = rig.say(BOB, &second);
            let kinds: Vec<_> = sent.iter().map(|text| &text[..3]).collect();
            match (n, again) {
                (0..16, 0) => assert_eq!(kinds, ["ACK", "BYE"]),
                (0..16, _) => assert_eq!(kinds, ["ACK"], "the BYE repeats itself"),
                // One INVITE is not to be made into thousands of transactions.
                (_, _) => assert!(kinds.is_empty()),
            }
        }
    }
    let talk = Talk { invite: invites[0].clone(), ok, number };
    rig.say(ALICE, &talk.ack());
    rig.wait(Duration::from_secs(60));
    assert!(rig.seen(ALICE).is_empty());
    rig.still_talks(&talk, 10);
}

#[test]
fn early_media_and_then_another_phone_answers() {
    let (mut rig, number, invites) = ring(2);
    rig.say(
        PHONES[0],
        &reply(&invites[0], "183 Session Progress", PHONES[0], &sdp(PHONES[0], 5_000)),
    );
    let early = rig.one(ALICE, "SIP/2.0 183");
    assert!(body(&early).contains("10.0.0.100"));
    rig.say(PHONES[1], &reply(&invites[1], "200 OK", PHONES[1], &sdp(PHONES[1], 6_000)));
    let ok = rig.one(ALICE, "SIP/2.0 200");
    assert_eq!(port(&early), port(&ok), "our port stays");
    let talk = Talk { invite: invites[1].clone(), ok, number };
    rig.say(ALICE, &talk.ack());
    let answers = rig.say(ALICE, &talk.alice("BYE", 10, "e1", "", ""));
    assert_eq!(status(&answers[0]), 200);
    rig.one(PHONES[1], "BYE");
    rig.is_clean();
}

fn port(message: &str) -> &str {
    body(message).lines().find(|line| line.starts_with("m=")).unwrap().split(' ').nth(1).unwrap()
}
