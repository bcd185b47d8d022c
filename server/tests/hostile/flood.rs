//! Classes 62 to 65 and 72: too much of what is right by itself.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use crate::drill::{DOMAIN, PASSWORD};
use crate::letter::{Letter, number};
use crate::siege::{CANARY, Siege, Talk};
use crate::support::raw::Heard;
use crate::support::{STEP, until};

/// The shortest request that is whole.
fn short(method: &str, uri: &str, more: &str) -> Vec<u8> {
    let number = number();
    format!(
        "{method} {uri} SIP/2.0\r\nv:SIP/2.0/UDP h;branch=z9hG4bK{number}\r\nf:<sip:a@b>;tag=1\r\n\
         t:<sip:a@b>\r\ni:{number}\r\nCSeq:1 {method}\r\n{more}\r\n"
    )
    .into_bytes()
}

/// Nothing of an unproved INVITE is kept, so nothing of it is ever said again: that is how twelve datagrams in 35 seconds
/// are kept to.
#[test]
fn row_62_a_stranger_gets_three_times_his_octets_at_most() {
    let mut siege = Siege::lay_with("digest = [\"SHA-512-256\", \"SHA-256\", \"MD5\"]", "");
    let stranger = siege.stranger(66);
    let methods =
        ["OPTIONS", "REGISTER", "SUBSCRIBE", "MESSAGE", "INVITE", "BYE", "CANCEL", "PUBLISH", "X"];
    for method in methods {
        for uri in
            [format!("sip:{DOMAIN}"), format!("sip:bob@{DOMAIN}"), "sip:x@y".into(), "x:y".into()]
        {
            for more in
                ["", "Require:x\r\n", "Max-Forwards:0\r\n", "l:9\r\n", "f:x\r\n", "Event:x\r\n"]
            {
                let sent = short(method, &uri, more);
                stranger.send(&sent);
                let heard = stranger.heard();
                let got: usize = heard.iter().map(|heard| heard.text.len()).sum();
                assert!(
                    heard.len() <= 1 && got <= 3 * sent.len(),
                    "{method} {uri} {more}: {heard:?}"
                );
            }
        }
    }
    // As phones send it the answer is there, and small enough.
    for method in methods.into_iter().filter(|method| !matches!(*method, "BYE" | "CANCEL")) {
        let letter = Letter::user(method, "bob")
            .with("User-Agent: a phone/1.0\nSupported: replaces, timer\n");
        let sent = stranger.post(&letter.with("Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, INFO\n"));
        let got: usize = stranger.heard().iter().map(|heard| heard.text.len()).sum();
        assert!(got > 0 && got <= 3 * sent.len(), "{method}: {} in, {got} out", sent.len());
    }
    // Binding requests of STUN as well.
    let mut request = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
    request.extend(1..=12);
    stranger.send(&request);
    let got: usize = stranger.heard().iter().map(|heard| heard.text.len()).sum();
    assert!(got <= 3 * request.len());
    drop(stranger);
    siege.forgets("short requests");
    siege.stands("short requests", &["sip.answer_too_long", "sip.challenged"]);
}

#[test]
fn row_63_a_via_names_nobody_else() {
    let mut siege = Siege::lay();
    let stranger = siege.stranger(66);
    for via in [
        format!("SIP/2.0/UDP {CANARY}:5060"),
        format!("SIP/2.0/UDP {CANARY}"),
        format!("SIP/2.0/UDP {CANARY}:5060;received={CANARY}"),
        format!("SIP/2.0/UDP {CANARY}:5060;received={CANARY};rport=5060"),
        format!("SIP/2.0/UDP {CANARY}:5060;maddr={CANARY};rport"),
        format!("SIP/2.0/UDP {CANARY}:5060;maddr={CANARY};ttl=16"),
        format!("SIP/2.0/TCP {CANARY}:5060"),
        "SIP/2.0/UDP 255.255.255.255:5060".to_owned(),
        "SIP/2.0/UDP 224.0.0.1:5060;maddr=224.0.0.1".to_owned(),
    ] {
        for method in ["OPTIONS", "REGISTER", "INVITE", "BYE", "CANCEL"] {
            let letter = Letter::new(method);
            let letter = Letter { via: format!("{via};branch=z9hG4bK{}", number()), ..letter };
            let heard = stranger.say(&letter);
            assert_eq!(heard.len(), 1, "{via} {method}: {heard:?}");
        }
    }
    drop(stranger);
    siege.stands("Via", &["sip.challenged"]);
}

#[test]
fn row_64_a_loud_address_is_not_answered_and_harms_nobody() {
    const MESSAGES: usize = 20_000;
    let mut siege = Siege::lay();
    let (mut alice, bob) = (siege.phone("alice", 11), siege.phone("bob", 12));
    let talk = Talk::begin(&mut alice, &bob);
    let loud = siege.stranger(66);
    let octets = Letter::new("OPTIONS").octets("UDP", "127.0.0.66");
    let began = Instant::now();
    let answers = thread::scope(|scope| {
        let counting = scope.spawn(|| count(&loud.socket));
        for turn in 0..MESSAGES {
            loud.send(&octets);
            // In pieces that the kernel holds, or most of it would never arrive.
            if turn % 100 == 0 {
                siege.stranger(13).say(&Letter::new("OPTIONS"));
            }
        }
        counting.join().expect("no panic")
    });
    let most = 2_000 + 500 * (began.elapsed().as_secs() as usize + 1);
    println!("{answers} answers to {MESSAGES} requests");
    assert!(answers <= most && answers < MESSAGES, "{answers}, at most {most}");
    // All the while others were answered; and a call goes on.
    talk.end(&alice, &bob);
    drop((alice, bob, loud));
    siege.empties("a loud address");
    let counted: &[&str] = if answers < MESSAGES / 2 { &["sip.stranger_unanswered"] } else { &[] };
    siege.stands("a loud address", counted);
}

/// What comes until it has been quiet for a while.
fn count(socket: &std::net::UdpSocket) -> usize {
    socket.set_read_timeout(Some(Duration::from_secs(3))).expect("a limit");
    let mut room = [0; 2_048];
    let mut count = 0;
    while socket.recv(&mut room).is_ok() {
        count += 1;
    }
    count
}

/// A flood of all methods from many addresses; how much memory it takes is looked at in `memory.rs`.
#[test]
fn row_65_floods_of_seven_methods_leave_nothing() {
    const METHODS: [&str; 7] =
        ["INVITE", "REGISTER", "OPTIONS", "SUBSCRIBE", "MESSAGE", "CANCEL", "BYE"];
    let mut siege = Siege::lay();
    let strangers: Vec<_> = (30..60).map(|host| siege.stranger(host)).collect();
    let mut statuses = BTreeMap::<u16, usize>::new();
    for round in 0..300 {
        let stranger = &strangers[round % strangers.len()];
        for method in METHODS {
            stranger
                .post(&Letter::user(method, "bob").with("Event: presence\n").offer("127.0.0.30"));
        }
        for heard in stranger.heard() {
            *statuses.entry(heard.status()).or_default() += 1;
        }
    }
    println!("{statuses:?}");
    assert!(statuses.keys().all(|status| matches!(status, 401 | 481)), "{statuses:?}");
    drop(strangers);
    siege.forgets("floods");
    siege.stands("floods", &["sip.challenged"]);
}

/// The share that a busy house takes from each: `benchmarks.md` has the figures.
#[test]
fn row_72_a_full_house_refuses_at_once_and_lets_calls_end() {
    const CALLS: usize = 5;
    let mut siege = Siege::lay_with("", &format!("[calls]\ncalls_max = {CALLS}\n"));
    let (mut alice, bob) = (siege.phone("alice", 11), siege.phone("bob", 12));
    let talks: Vec<_> = (0..CALLS).map(|_| Talk::begin(&mut alice, &bob)).collect();
    let contact = "Contact: <sip:alice@127.0.0.11:5060>\n";
    for _ in 0..4 * CALLS {
        let letter = Letter::user("INVITE", "bob").by("alice").with(contact).offer("127.0.0.11");
        let heard = alice.proved(&letter, "alice");
        assert_eq!(
            (heard.status(), heard.field("Retry-After")),
            (503, Some("5")),
            "{}",
            heard.text
        );
    }
    let change = talks[0].within("INVITE").offer("127.0.0.11").with(contact);
    alice.post(&change);
    let asked = bob.request("INVITE");
    bob.reply(&asked, "200 OK", "", true);
    assert_eq!(alice.answer_to(&change).status(), 200, "what runs goes on");
    let cseq = change.cseq.replace("INVITE", "ACK");
    alice.post(&Letter { cseq, ..talks[0].within("ACK") });
    talks.iter().for_each(|talk| talk.end(&alice, &bob));
    siege.empties("a full house");
    Talk::begin(&mut alice, &bob).end(&alice, &bob);
    drop((alice, bob));
    siege.empties("a full house");
    siege.stands("a full house", &["calls.too_many"]);
}

/// A registered user is heard however loud the others at his address are, and wherever else he is.
#[test]
fn row_64_whoever_proves_himself_is_heard_behind_a_loud_address() {
    let mut siege = Siege::lay();
    let mut alice = siege.stranger(66);
    let letter = Letter::new("REGISTER").by("alice").with("Contact: <sip:alice@127.0.0.66>\n");
    let letter = Letter { to: format!("<sip:alice@{DOMAIN}>"), ..letter };
    let right = alice.prove(&letter, "alice", PASSWORD);
    let options = Letter::new("OPTIONS").octets("UDP", "127.0.0.66");
    // Until nothing is said any more.
    until(STEP * 2, "silence", || {
        for _ in 0..500 {
            alice.send(&options);
        }
        let silent = siege.gauge("carillon_counter_total{name=\"sip.stranger_unanswered\"}") > 0;
        silent.then_some(())
    });
    alice.post(&right);
    let heard = alice.wait(STEP, "an answer", |heard: &Heard| heard.method() == "REGISTER");
    assert_eq!(heard.status(), 200, "{}", heard.text);
    drop(alice);
    siege.stands("behind a loud address", &["sip.stranger_unanswered"]);
}
