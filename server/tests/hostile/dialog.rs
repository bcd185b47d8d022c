//! Classes 28 to 48: calls that others meddle with, and ways out that nobody may have.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::json;

use crate::drill::{DOMAIN, PASSWORD};
use crate::letter::{Letter, number};
use crate::siege::{CANARY, PATIENCE, Siege, Stranger, Talk, fresh, on_stream};
use crate::support::raw::Heard;
use crate::support::{STEP, unhalted, until};

fn statuses(heard: &[Heard]) -> Vec<u16> {
    heard.iter().map(Heard::status).collect()
}

#[test]
fn rows_28_to_30_guessed_dialogs_get_481() {
    let mut siege = Siege::lay();
    let stranger = siege.stranger(66);
    let (mut alice, bob) = (siege.phone("alice", 11), siege.phone("bob", 12));
    // Our own tags are eighteen digits, so those are guessed as well.
    for method in ["BYE", "UPDATE", "INFO", "PRACK", "INVITE", "REFER", "NOTIFY", "MESSAGE"] {
        for tag in ["guess", "00ffffffffffffffff", "7f0123456789abcdef"] {
            let letter = Letter::user(method, "bob").tagged(tag).offer("127.0.0.66");
            assert_eq!(statuses(&stranger.say(&letter)), [481], "{method} {tag}");
            let mut stream = siege.dial(5060);
            let octets = letter.again().octets("TCP", "stream.invalid");
            let (heard, _) = on_stream(&mut stream, &octets);
            assert_eq!(statuses(&heard), [481], "{method} {tag} by TCP");
        }
    }
    let talk = Talk::begin(&mut alice, &bob);
    for method in ["BYE", "INVITE", "UPDATE", "INFO", "OPTIONS"] {
        let right = talk.within(method).offer("127.0.0.66");
        let tagless = |address: &str| address.split(";tag=").next().unwrap_or_default().to_owned();
        let wrong = [
            Letter { from: format!("{};tag=g", tagless(&right.from)), ..right.again() },
            Letter {
                to: format!("{};tag=00ffffffffffffffff", tagless(&right.to)),
                ..right.again()
            },
            Letter { call_id: format!("{}x", right.call_id), ..right.again() },
        ];
        for letter in &wrong {
            assert_eq!(statuses(&stranger.say(letter)), [481], "{method}");
        }
        // All of it overheard: a proof of the caller is asked for before anything happens.
        assert_eq!(statuses(&stranger.say(&right)), [401], "{method}");
    }
    assert!(bob.heard().is_empty() && alice.heard().is_empty(), "nobody was touched");
    talk.end(&alice, &bob);
    // One that rings: taken back by a stranger, or with another branch.
    let talk = Talk::ring(&mut alice, &bob);
    let cancel = Letter {
        method: "CANCEL".to_owned(),
        cseq: talk.invite.cseq.replace("INVITE", "CANCEL"),
        more: String::new(),
        kind: String::new(),
        body: Vec::new(),
        ..talk.invite.clone()
    };
    let via = |text: &str| Heard { text: text.to_owned() }.field("Via").expect("a Via").to_owned();
    let right = Letter { via: via(&talk.sent), ..cancel.clone() };
    assert_eq!(statuses(&stranger.say(&cancel)), [481]);
    assert_eq!(statuses(&stranger.say(&right)), [481]);
    alice.post(&cancel);
    let wait = |heard: &Heard| heard.method() == "CANCEL";
    assert_eq!(alice.wait(STEP, "481", wait).status(), 481);
    assert!(bob.heard().is_empty(), "it still rings");
    alice.post(&right);
    assert_eq!(alice.wait(STEP, "200", wait).status(), 200);
    let refused = alice.answer_to(&talk.invite);
    alice.acknowledge(&talk.sent, &refused);
    let taken = bob.request("CANCEL");
    bob.reply(&taken, "200 OK", "", false);
    bob.reply(&talk.rung, "487 Request Terminated", "", false);
    bob.request("ACK");
    drop((alice, bob, stranger));
    siege.empties("guesses");
    siege.stands("guesses", &["sip.no_dialog", "sip.no_transaction"]);
}

#[test]
fn rows_31_to_33_answers_to_nothing_go_nowhere() {
    let mut siege = Siege::lay();
    let stranger = siege.stranger(66);
    let (mut alice, bob) = (siege.phone("alice", 11), siege.phone("bob", 12));
    let talk = Talk::ring(&mut alice, &bob);
    let branch = talk.rung.field("Via").expect("a Via").to_owned();
    for first in ["127.0.0.1:5060;branch=z9hG4bK00deadbeef00000001", "255.255.255.255", CANARY] {
        for status in ["200 OK", "180 Ringing", "401 No", "302 Moved"] {
            let text = format!(
                "SIP/2.0 {status}\r\nVia: SIP/2.0/UDP {first}\r\nVia: SIP/2.0/UDP {CANARY}:5060\r\n\
                 From: <sip:a@{DOMAIN}>;tag=1\r\nTo: <sip:b@{DOMAIN}>;tag=2\r\nCall-ID: {}\r\n\
                 CSeq: 1 INVITE\r\nContact: <sip:x@{CANARY}>\r\nContent-Length: 0\r\n\r\n",
                fresh("stray")
            );
            assert!(stranger.statuses(text.as_bytes()).is_empty(), "{first} {status}");
        }
    }
    // The right branch from another address, and absurd numbers from the right one.
    let forged = |who: &Stranger, status: &str| {
        let text = format!(
            "SIP/2.0 {status}\r\nVia: {branch}\r\nFrom: {}\r\nTo: {};tag=callee\r\nCall-ID: {}\r\nCSeq: {}\r\n\
             Contact: <sip:x@{CANARY}>\r\nContent-Length: 0\r\n\r\n",
            talk.rung.field("From").unwrap_or_default(),
            talk.rung.field("To").unwrap_or_default(),
            talk.rung.field("Call-ID").unwrap_or_default(),
            talk.rung.field("CSeq").unwrap_or_default(),
        );
        assert!(who.statuses(text.as_bytes()).is_empty(), "{status}");
    };
    forged(&stranger, "200 OK");
    forged(&stranger, "486 Busy Here");
    for status in
        ["4294967301 OK", "7 OK", "1000 OK", "-5 OK", "4294967496 OK", "099 OK", " 200 OK"]
    {
        forged(&bob, status);
    }
    let so_far = alice.heard();
    assert!(so_far.iter().all(|heard| heard.status() < 200), "{so_far:?}");
    bob.reply(&talk.rung, "486 Busy Here", "", false);
    let refused = alice.answer_to(&talk.invite);
    assert_eq!(refused.status(), 486);
    alice.acknowledge(&talk.sent, &refused);
    drop((alice, bob, stranger));
    siege.empties("stray answers");
    siege.stands("stray answers", &["sip.stray_response", "sip.forged_response", "sip.nonsense"]);
}

#[test]
fn rows_34_to_36_nothing_is_relayed() {
    let mut siege = Siege::lay();
    let stranger = siege.stranger(66);
    let rows: [(&str, String, String, &[u16]); 14] = [
        (
            "INVITE",
            format!("sip:bob@{DOMAIN}"),
            format!("Route: <sip:{CANARY};lr>\n"),
            &[401, 403, 404],
        ),
        ("INVITE", format!("sip:x@{CANARY}"), format!("Route: <sip:{CANARY};lr>\n"), &[403, 404]),
        ("INVITE", format!("sip:x@{CANARY}"), "Route: <sip:127.0.0.1;lr>\n".into(), &[403, 404]),
        ("INVITE", format!("sip:bob@{DOMAIN};maddr={CANARY}"), String::new(), &[401, 403]),
        ("INVITE", "sip:x@elsewhere.example".into(), String::new(), &[403, 404]),
        ("INVITE", "tel:+4990012345678".into(), String::new(), &[401, 403, 407]),
        (
            "REFER",
            format!("sip:bob@{DOMAIN}"),
            format!("Refer-To: <sip:x@{CANARY}>\n"),
            &[401, 403],
        ),
        ("REFER", format!("sip:x@{CANARY}"), format!("Refer-To: <sip:x@{CANARY}>\n"), &[401, 403]),
        ("SUBSCRIBE", format!("sip:x@{CANARY}"), "Event: presence\n".into(), &[401, 403]),
        ("MESSAGE", format!("sip:x@{CANARY}"), String::new(), &[401, 403]),
        ("OPTIONS", format!("sip:{CANARY}"), String::new(), &[401, 403]),
        ("REGISTER", format!("sip:{CANARY}"), format!("Contact: <sip:x@{CANARY}>\n"), &[401, 403]),
        ("PUBLISH", format!("sip:x@{CANARY}"), "Event: presence\n".into(), &[401, 403]),
        ("NOTIFY", format!("sip:x@{CANARY}"), "Event: presence\n".into(), &[401, 403, 481]),
    ];
    for (method, uri, lines, answers) in &rows {
        let letter = Letter::to(method, uri).with(lines);
        let letter = letter.with(&format!("Contact: <sip:x@{CANARY}>\n"));
        let heard = stranger.say(&letter);
        assert!(
            heard.len() == 1 && answers.contains(&heard[0].status()),
            "{method} {uri}: {heard:?}"
        );
        let heard = stranger.say(&letter.again().tagged("00ffffffffffffffff"));
        assert!(
            heard.len() == 1 && matches!(heard[0].status(), 403 | 481),
            "{method} {uri}: {heard:?}"
        );
    }
    // Nor for those who may call.
    let mut alice = siege.phone("alice", 11);
    for uri in [format!("sip:x@{CANARY}"), "tel:+4990012345678".to_owned()] {
        for method in ["INVITE", "MESSAGE"] {
            let letter =
                Letter::to(method, &uri).by("alice").with("Contact: <sip:alice@127.0.0.11>\n");
            alice.post(&letter.offer("127.0.0.11"));
            let refused = alice.wait(STEP, "an answer", |heard| heard.status() >= 200);
            assert!(matches!(refused.status(), 401 | 403), "{uri}: {}", refused.text);
        }
    }
    let letter = Letter::to("INVITE", "tel:+4990012345678").by("alice").offer("127.0.0.11");
    let heard = alice.proved(&letter.with("Contact: <sip:alice@127.0.0.11>\n"), "alice");
    assert!((400..500).contains(&heard.status()), "no route goes there: {}", heard.text);
    drop((alice, stranger));
    siege.empties("relaying");
    siege.stands("relaying", &["sip.not_for_us", "sip.no_dialog"]);
}

/// A REGISTER of Alice with these lines.
fn register(lines: &str) -> Letter {
    let letter = Letter::new("REGISTER").by("alice").with(lines);
    Letter { to: format!("<sip:alice@{DOMAIN}>"), ..letter }
}

#[test]
fn rows_37_to_39_registrations_that_would_harm() {
    let mut siege = Siege::lay();
    let mut alice = siege.stranger(11);
    let many: String =
        (0..500).map(|n| format!("Contact: <sip:a@127.0.0.11:{}>\n", 6_000 + n)).collect();
    let few: String =
        (0..100).map(|n| format!("Contact: <sip:a@127.0.0.11:{}>\n", 6_000 + n)).collect();
    for (what, lines, answers) in [
        ("our own address", "Contact: <sip:alice@127.0.0.1:5060>\n".to_owned(), vec![400, 403]),
        ("our own domain", format!("Contact: <sip:alice@{DOMAIN}>\n"), vec![400, 403]),
        ("500 contacts", many, vec![400, 403, 513]),
        ("100 contacts", few, vec![400, 403]),
        ("* with a life", "Contact: *\nExpires: 60\n".to_owned(), vec![400]),
        ("* alone", "Contact: *\n".to_owned(), vec![400]),
        (
            "a long life",
            "Contact: <sip:alice@127.0.0.11>\nExpires: 100000000000000000000\n".to_owned(),
            vec![200, 400, 423],
        ),
        (
            "a negative life",
            "Contact: <sip:alice@127.0.0.11>\nExpires: -1\n".to_owned(),
            vec![200, 400, 423],
        ),
        (
            "a negative life of one",
            "Contact: <sip:alice@127.0.0.11>;expires=-1\n".to_owned(),
            vec![200, 400, 423],
        ),
    ] {
        let heard = alice.proved(&register(&lines), "alice");
        assert!(answers.contains(&heard.status()), "{what}: {}", heard.text);
        for contact in heard.fields("Contact") {
            let life = contact.split(";expires=").nth(1).expect("a life");
            assert!(life.parse::<u32>().is_ok_and(|life| life <= 7_200), "{what}: {contact}");
        }
    }
    // A circle of wishes is walked once.
    for (user, target) in [("alice", "bob"), ("bob", "alice")] {
        let body = json!({ "forward_always": target }).to_string();
        let path = format!("/v1/users/{user}/calls");
        siege.drill.door.put(&path, "application/json", body.as_bytes());
    }
    let letter =
        Letter::user("INVITE", "bob").by("alice").with("Contact: <sip:alice@127.0.0.11>\n");
    let heard = alice.proved(&letter.offer("127.0.0.11"), "alice");
    assert!(matches!(heard.status(), 480 | 482 | 483), "{}", heard.text);
    drop(alice);
    siege.empties("loops");
    siege.stands("registrations", &[]);
}

#[test]
fn rows_40_to_43_requests_about_dialogs_that_are_not() {
    let mut siege = Siege::lay();
    let stranger = siege.stranger(66);
    let (mut alice, bob) = (siege.phone("alice", 11), siege.phone("bob", 12));
    let contact = "Contact: <sip:alice@127.0.0.11:5060>\n";
    let replaces = |count: usize| -> String {
        (0..count).map(|n| format!("Replaces: none{n};to-tag=1;from-tag=2\n")).collect()
    };
    for (count, answers) in [(1, [481, 481]), (100, [400, 481])] {
        let letter = Letter::user("INVITE", "bob").by("alice").with(contact).with(&replaces(count));
        let heard = alice.proved(&letter.offer("127.0.0.11"), "alice");
        assert!(answers.contains(&heard.status()), "{count}: {}", heard.text);
    }
    assert!(bob.heard().is_empty(), "his phone did not ring");
    let talk = Talk::begin(&mut alice, &bob);
    for target in [
        format!("<sip:x@{CANARY};method=BYE>"),
        format!("<sip:bob@{DOMAIN};method=BYE>"),
        format!("<sip:carol@{DOMAIN}?Route=%3Csip:{CANARY}%3Blr%3E>"),
        format!("<sip:x@{CANARY}>"),
        format!("<sip:carol@{DOMAIN}?Replaces=no%3Bto-tag%3D1%3Bfrom-tag%3D2>"),
        "<im:x@y>".to_owned(),
    ] {
        let letter = talk.within("REFER").with(&format!("Refer-To: {target}\n")).with(contact);
        alice.post(&letter);
        let heard = alice.answer_to(&letter);
        assert!((202..500).contains(&heard.status()), "{target}: {}", heard.text);
        if heard.status() == 202 {
            // What came of it is told to her and nobody else.
            let told = alice.wait(STEP, "the end of the transfer", |heard| {
                heard.method() == "NOTIFY" && heard.text.contains("terminated")
            });
            alice.reply(&told, "200 OK", "", false);
        }
    }
    assert!(bob.heard().is_empty(), "he still talks");
    talk.end(&alice, &bob);
    let letter = Letter::user("NOTIFY", "bob").by("alice").with("Event: presence\n");
    let heard = alice.proved(&letter.with("Subscription-State: active\n"), "alice");
    assert!(matches!(heard.status(), 405 | 481), "{}", heard.text);
    for _ in 0..500 {
        let letter = Letter::user("NOTIFY", "bob").with("Event: presence\n").tagged("none");
        let heard = stranger.say(&letter.with("Subscription-State: active\n"));
        assert_eq!(statuses(&heard), [481]);
    }
    for method in ["SUBSCRIBE", "PUBLISH", "MESSAGE"] {
        let letter = Letter::user(method, "bob").with("Event: presence\n").by("bob");
        let heard = stranger.say(&letter.body("text/plain", "hello"));
        assert_eq!(statuses(&heard), [401], "{method}");
    }
    drop((alice, bob, stranger));
    siege.empties("no dialogs");
    siege.stands("no dialogs", &["sip.no_dialog"]);
}

#[test]
fn row_44_a_flood_of_calls_that_is_reset_leaves_nothing() {
    // How long a phone rings is two minutes else.
    let mut siege = Siege::lay_with("", "[calls]\nring_max = \"5s\"\n");
    let bob = siege.phone("bob", 12);
    let mut stream = siege.dial(5060);
    let own = stream.local_addr().expect("an address").to_string();
    let mut alice = siege.stranger(11);
    for _ in 0..50 {
        let contact = format!("Contact: <sip:alice@{own};transport=tcp>\n");
        let letter = Letter::user("INVITE", "bob").by("alice").with(&contact).offer("127.0.0.1");
        let heard = exchange(&mut stream, &letter.octets("TCP", &own), 401);
        let again = alice.proof(&heard, &letter, "alice", PASSWORD);
        exchange(&mut stream, &again.octets("TCP", &own), 100);
    }
    assert!(siege_holds(&siege, 1), "calls are being set up");
    reset(stream);
    drop((alice, bob));
    siege.forgets("a flood that was reset");
    siege.stands("a flood that was reset", &["sip.challenged"]);
}

fn siege_holds(siege: &Siege, calls: u64) -> bool {
    until(STEP, "calls", || (siege.kept("sessions") >= calls).then_some(true))
}

/// Sends, and reads until the answer with this status.
#[track_caller]
fn exchange(stream: &mut TcpStream, octets: &[u8], status: u16) -> Heard {
    stream.write_all(octets).expect("the server reads");
    let (mut came, mut room) = (Vec::new(), [0; 65_536]);
    loop {
        let count = unhalted(|| stream.read(&mut room)).expect("an answer in time");
        assert!(count > 0, "closed before {status}");
        came.extend_from_slice(&room[..count]);
        let text = String::from_utf8_lossy(&came).into_owned();
        let begin = format!("SIP/2.0 {status} ");
        if let Some(at) = text.find(&begin).filter(|_| text.ends_with("\r\n\r\n")) {
            return Heard { text: text[at..].to_owned() };
        }
    }
}

/// Ends a connection without a farewell.
pub fn reset(stream: TcpStream) {
    let linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };
    let _ = nix::sys::socket::setsockopt(&stream, nix::sys::socket::sockopt::Linger, &linger);
    drop(stream);
}

/// A carrier that is never content.
#[test]
fn row_45_a_realm_is_answered_once_and_59_no_proof_for_others() {
    let mut siege = Siege::lay();
    let carrier = siege.stranger(40);
    let body = json!({
        "server": "127.0.0.40:5060", "user": "88231", "password": "trunk-secret",
        "identity": "+15550111", "register": true,
    });
    siege.drill.door.put("/v1/trunks/carrier", "application/json", body.to_string().as_bytes());
    let challenge = |realm: &str| {
        let nonce = fresh("n");
        format!(
            "WWW-Authenticate: Digest realm=\"{realm}\", nonce=\"{nonce}\", algorithm=MD5, qop=\"auth\"\n"
        )
    };
    // Each REGISTER is refused with a new nonce: one proof follows, and then nothing before the next try.
    let mut proofs = 0;
    let mut known = Vec::new();
    loop {
        let asked = carrier.wait(PATIENCE, "the next request", |heard| {
            let cseq = heard.field("CSeq").map(str::to_owned);
            heard.status() == 0 && !known.contains(&(heard.method().to_owned(), cseq))
        });
        known.push((asked.method().to_owned(), asked.field("CSeq").map(str::to_owned)));
        if asked.method() != "REGISTER" {
            carrier.reply(&asked, "200 OK", "", false);
            continue;
        }
        match asked.field("Authorization") {
            Some(_) => proofs += 1,
            None if known.iter().filter(|(method, _)| method == "REGISTER").count() > 1 => break,
            None => (),
        }
        assert!(proofs <= 1, "a realm is answered once");
        carrier.reply(&asked, "401 Unauthorized", &challenge("carrier"), false);
    }
    assert_eq!(proofs, 1);
    // A phone that asks for the carrier's proof gets none.
    let (mut alice, bob) = (siege.phone("alice", 11), siege.phone("bob", 12));
    let contact = "Contact: <sip:alice@127.0.0.11:5060>\n";
    let letter = Letter::user("INVITE", "bob").by("alice").with(contact).offer("127.0.0.11");
    let invite = alice.prove(&letter, "alice", PASSWORD);
    let sent = alice.post(&invite);
    let rung = bob.request("INVITE");
    let asks = challenge("carrier").replace("WWW", "Proxy");
    bob.reply(&rung, "407 Proxy Authentication Required", &asks, false);
    let refused = alice.answer_to(&invite);
    assert!(refused.status() >= 400, "{}", refused.text);
    alice.acknowledge(&sent, &refused);
    let rest = bob.heard();
    let leaks = rest.iter().filter(|heard| heard.text.contains("uthorization: Digest"));
    assert_eq!(leaks.count(), 0, "{rest:?}");
    assert!(!refused.text.contains("trunk-secret") && !refused.text.contains("88231"));
    assert_eq!(
        siege
            .drill
            .door
            .ask("DELETE", "/v1/trunks/carrier", Some(&siege.drill.door.token), "", b"")
            .status,
        204
    );
    drop((alice, bob, carrier));
    siege.empties("challenges");
    siege.stands("challenges", &[]);
}

#[test]
fn row_46_one_invite_is_one_call() {
    let mut siege = Siege::lay();
    let (mut alice, bob) = (siege.phone("alice", 11), siege.phone("bob", 12));
    let talk = Talk::ring(&mut alice, &bob);
    for _ in 0..200 {
        alice.send(talk.sent.as_bytes());
    }
    alice.heard();
    assert!(bob.heard().is_empty(), "one call, one INVITE");
    // The gauges are told once a second.
    until(STEP, "one call", || {
        (siege.kept("sessions") == 1 && siege.kept("legs") == 2).then_some(())
    });
    bob.reply(&talk.rung, "486 Busy Here", "", false);
    let refused = alice.answer_to(&talk.invite);
    alice.acknowledge(&talk.sent, &refused);
    drop((alice, bob));
    siege.empties("copies");
    siege.stands("copies", &[]);
}

/// Takes 64*T1, which is 32 seconds.
#[test]
fn row_47_an_answer_that_nobody_acknowledges_is_taken_back() {
    let mut siege = Siege::lay();
    let (mut alice, bob) = (siege.phone("alice", 11), siege.phone("bob", 12));
    let talk = Talk::ring(&mut alice, &bob);
    bob.reply(&talk.rung, "200 OK", "", true);
    let mut answers = 0;
    let bye = loop {
        let heard =
            alice.wait(PATIENCE, "a BYE", |heard| matches!(heard.method(), "INVITE" | "BYE"));
        if heard.method() == "BYE" {
            break heard;
        }
        answers += u32::from(heard.status() == 200);
    };
    assert!((5..=13).contains(&answers), "{answers} times");
    alice.reply(&bye, "200 OK", "", false);
    let bye = bob.request("BYE");
    bob.reply(&bye, "200 OK", "", false);
    drop((alice, bob));
    siege.empties("no ACK");
    siege.stands("no ACK", &[]);
}

#[test]
fn row_48_requests_that_cross_each_other() {
    let mut siege = Siege::lay();
    let (mut alice, bob) = (siege.phone("alice", 11), siege.phone("bob", 12));
    // A BYE while it rings ends it (RFC 5407 §3.1.2).
    let mut talk = Talk::ring(&mut alice, &bob);
    let ringing = alice.wait(STEP, "180", |heard| heard.status() == 180);
    talk.ok = Some(ringing);
    alice.post(&talk.within("BYE"));
    let refused = alice.wait(STEP, "487", |heard| heard.status() == 487);
    alice.acknowledge(&talk.sent, &refused);
    let taken = bob.request("CANCEL");
    bob.reply(&taken, "200 OK", "", false);
    bob.reply(&talk.rung, "487 Request Terminated", "", false);
    // A CANCEL behind the answer has no effect.
    let talk = Talk::begin(&mut alice, &bob);
    let via = Heard { text: talk.sent.clone() }.field("Via").expect("a Via").to_owned();
    let cancel = Letter {
        method: "CANCEL".to_owned(),
        cseq: talk.invite.cseq.replace("INVITE", "CANCEL"),
        via,
        more: String::new(),
        kind: String::new(),
        body: Vec::new(),
        ..talk.invite.clone()
    };
    alice.post(&cancel);
    let heard = alice.wait(STEP, "an answer", |heard| heard.method() == "CANCEL");
    assert!(matches!(heard.status(), 200 | 481), "{}", heard.text);
    assert!(bob.heard().is_empty(), "they still talk");
    // Both change it at once: one of them comes again later (RFC 3261 §14.1).
    let mine = talk.within("INVITE").offer("127.0.0.11").with("Contact: <sip:alice@127.0.0.11>\n");
    alice.post(&mine);
    bob.request("INVITE");
    let theirs = bobs(&talk, "INVITE");
    bob.post(&theirs);
    let heard = bob.answer_to(&theirs);
    assert_eq!(heard.status(), 491, "{}", heard.text);
    // Both hang up at once.
    let (one, other) = (talk.within("BYE"), bobs(&talk, "BYE"));
    alice.post(&one);
    bob.post(&other);
    assert!(matches!(alice.answer_to(&one).status(), 200 | 481));
    assert!(matches!(bob.answer_to(&other).status(), 200 | 481));
    drop((alice, bob));
    siege.empties("crossing");
    siege.stands("crossing", &[]);
}

/// A request of Bob in the call.
fn bobs(talk: &Talk, method: &str) -> Letter {
    let letter = Letter::to(method, &talk.rung.contact());
    let letter = Letter {
        from: format!("{};tag=callee", talk.rung.field("To").unwrap_or_default()),
        to: talk.rung.field("From").unwrap_or_default().to_owned(),
        call_id: talk.rung.field("Call-ID").unwrap_or_default().to_owned(),
        cseq: format!("{} {method}", number()),
        ..letter
    };
    if method == "INVITE" {
        return letter.offer("127.0.0.12").with("Contact: <sip:bob@127.0.0.12>\n");
    }
    letter
}
