//! Messages and subscriptions that others meddle with: strangers get nothing, broken ones break nothing, nothing stays.

use std::time::Duration;

use types::Rng;

use crate::mutator::mutate;
use crate::rig::*;

/// Messages of one run.
const MESSAGES: usize = 10_000;
/// Longer than anything that waits: a message lives seven days.
const EVER: Duration = Duration::from_secs(8 * 86_400);

const PIDF: &str = "<presence entity=\"sip:alice@localhost\"/>\n";

fn subscribe(user: &str, package: &str, number: u32) -> Ask {
    Ask::new("SUBSCRIBE", "alice", ALICE, number)
        .to(user)
        .with(&format!("Contact: <sip:alice@{ALICE}>\nEvent: {package}\nExpires: 300\n"))
}

fn message(user: &str, number: u32) -> Ask {
    Ask::new("MESSAGE", "alice", ALICE, number).to(user).body("text/plain", "hello\n")
}

fn publish(number: u32, more: &str) -> Ask {
    Ask::new("PUBLISH", "alice", ALICE, number)
        .to("alice")
        .with(&format!("Event: presence\nExpires: 300\n{more}"))
        .body("application/pidf+xml", PIDF)
}

/// Answers every request that this phone got.
fn answer_all(rig: &mut Rig, who: &str, code: &str) -> Vec<String> {
    let seen = rig.seen(who);
    for text in &seen {
        if text.starts_with("NOTIFY") || text.starts_with("MESSAGE") {
            rig.from(who, &reply(text, code, who, ""));
        }
    }
    seen
}

/// A refresh of what this answer granted.
fn refresh(granted: &str, cseq: u32, expires: u32) -> String {
    let side = Side {
        who: ALICE,
        target: header(granted, "Contact"),
        from: header(granted, "From"),
        to: header(granted, "To"),
        call_id: header(granted, "Call-ID"),
    };
    let package = "Event: presence\n";
    let lines = format!("{package}Contact: <sip:alice@{ALICE}>\nExpires: {expires}\n");
    side.request("SUBSCRIBE", cseq, &format!("r{cseq}"), &lines, "")
}

/// Everything that is said in a legal evening of messages and lamps.
fn conversation() -> Vec<(String, Vec<u8>)> {
    let mut rig = Rig::new(false);
    rig.record = Some(Vec::new());
    rig.all_register();
    let mut granted = String::new();
    for (number, (user, package)) in
        [("alice", "reg"), ("alice", "message-summary"), ("bob", "dialog"), ("bob", "presence")]
            .into_iter()
            .enumerate()
    {
        rig.from(ALICE, &subscribe(user, package, 100 + number as u32).text());
        granted = answer_all(&mut rig, ALICE, "200 OK").remove(0);
        assert!(granted.starts_with("SIP/2.0 200"), "{granted}");
    }
    rig.from(ALICE, &refresh(&granted, 2, 200));
    answer_all(&mut rig, ALICE, "200 OK");
    rig.from(ALICE, &message("bob", 200).text());
    assert_eq!(answer_all(&mut rig, BOB, "200 OK").len(), 1);
    rig.one(ALICE, "SIP/2.0 200");
    let published = rig.say(ALICE, &publish(300, "").text()).remove(0);
    let tag = format!("SIP-If-Match: {}\n", header(&published, "SIP-ETag"));
    assert_eq!(rig.status(ALICE, &publish(301, &tag).text()), 200);
    rig.from(ALICE, &refresh(&granted, 3, 0));
    answer_all(&mut rig, ALICE, "200 OK");
    rig.record.take().unwrap()
}

#[test]
fn strangers_neither_watch_nor_write_nor_publish() {
    let mut rig = Rig::new(true);
    rig.all_register();
    for ask in [subscribe("bob", "presence", 1), message("bob", 2), publish(3, "")] {
        assert_eq!(rig.status(MALLORY, &ask.text()), 401);
        // Her own proof does not make her somebody else.
        let answers = rig.say(MALLORY, &ask.text().replace("z9hG4bK", "z9hG4bKx"));
        let proof = rig.proof(&answers[0], "alice", "guessed", &ask.method, &ask.uri);
        assert_eq!(rig.status(MALLORY, &ask.clone().with(&proof).text()), 401);
    }
    assert_eq!((rig.gauge("subscriptions"), rig.seen(BOB).len()), (0, 0));
    // Who overheard a subscription does not end it from elsewhere.
    let granted = rig.proved(ALICE, "alice", &subscribe("bob", "presence", 9)).remove(0);
    answer_all(&mut rig, ALICE, "200 OK");
    let text = refresh(&granted, 50, 0).replace(ALICE, MALLORY);
    assert_eq!(rig.status(MALLORY, &text), 401);
    assert_eq!(rig.gauge("subscriptions"), 1);
    rig.wait(Duration::from_secs(400));
    rig.is_clean();
}

#[test]
fn broken_news_break_nothing() {
    let recorded = conversation();
    for seed in [4, 5] {
        let mut rng = Rng::from_number(seed);
        let mut rig = Rig::new(false);
        rig.all_register();
        for round in 0..MESSAGES {
            let (mut who, mut bytes) = recorded[rng.below(recorded.len() as u64) as usize].clone();
            if rng.percent(70) {
                mutate(&mut rng, &mut bytes);
            }
            if rng.percent(10) {
                who = [ALICE, BOB, CAROL, MALLORY][rng.below(4) as usize].into();
            }
            // Numbers of its own, so that most are no repetition.
            let text = String::from_utf8_lossy(&bytes)
                .replace("branch=z9hG4bK", &format!("branch=z9hG4bK{round}q"));
            rig.bytes(&who, text.as_bytes());
            if rng.percent(30) {
                let code = ["200 OK", "200 OK", "481 X", "503 X", "415 X"][rng.below(5) as usize];
                answer_all(&mut rig, [ALICE, BOB][rng.below(2) as usize], code);
            }
            if rng.percent(20) {
                rig.wait(Duration::from_millis(rng.below(3_000)));
            }
            if round % 50 == 0 {
                rig.forget();
                assert!(rig.gauge("subscriptions") <= 500 && rig.gauge("requests") <= 5_000);
            }
        }
        assert_eq!(rig.counted("switchboard.rounds_cut_off"), 0);
        rig.wait(EVER);
        for name in ["bindings", "requests", "subscriptions"] {
            assert_eq!(rig.gauge(name), 0, "{name} are left");
        }
        rig.is_clean();
    }
}
