//! Classes 1 to 27: what is no message, or one with absurd numbers and sizes.

use std::io::{Read as _, Write as _};

use types::Rng;

use crate::drill::DOMAIN;
use crate::letter::{Letter, number};
use crate::siege::{CANARY, Siege, Stranger, on_stream};
use crate::support::STEP;
use crate::support::raw::Heard;

/// Silence is one of the answers.
const NOTHING: u16 = 0;

/// One way to be wrong, and the answers that it may get. Alone of its class it stands with its number.
struct Case {
    class: u8,
    what: String,
    octets: Vec<u8>,
    answers: Vec<u16>,
}

fn case(class: u8, what: &str, octets: Vec<u8>, answers: &[u16]) -> Case {
    Case { class, what: what.to_owned(), octets, answers: answers.to_vec() }
}

/// Octets of a letter from the stranger at 127.0.0.66.
fn octets(letter: &Letter) -> Vec<u8> {
    letter.octets("UDP", "127.0.0.66")
}

#[track_caller]
fn judge(stranger: &Stranger, cases: &[Case]) {
    let mut faults = String::new();
    for Case { class, what, octets, answers } in cases {
        let found = stranger.statuses(octets);
        let silent = found.is_empty() && answers.contains(&NOTHING);
        let fits = found.len() == 1 && answers.contains(&found[0]);
        if !silent && !fits {
            faults += &format!("\n{class}, {what}: {found:?}, not {answers:?}");
        }
    }
    assert!(faults.is_empty(), "{faults}");
}

/// OPTIONS, which a stranger may ask, with something changed.
fn options(change: impl FnOnce(&mut Letter)) -> Vec<u8> {
    let mut letter = Letter::new("OPTIONS");
    change(&mut letter);
    octets(&letter)
}

#[test]
fn rows_1_to_5_numbers_and_names_without_measure() {
    let mut siege = Siege::lay();
    let stranger = siege.stranger(66);
    let mut cases = Vec::new();
    for length in [300, 3_000, 20_000] {
        let method = "M".repeat(length);
        let cseq = options(|letter| letter.cseq = format!("1 {method}"));
        cases.push(case(1, &format!("{length} characters in CSeq"), cseq, &[400, 501]));
        cases.push(case(1, "in both places", octets(&Letter::new(&method)), &[400, 501]));
    }
    for number in
        ["-1", "2147483648", "4294967296", "4294967297", "100000000000000000000", "", "0x1"]
    {
        let cseq = options(|letter| letter.cseq = format!("{number} OPTIONS"));
        cases.push(case(2, &format!("CSeq {number}"), cseq, &[400]));
    }
    let long = "x".repeat(5_000);
    cases.push(case(3, "From tag", options(|letter| letter.from += &long), &[400]));
    cases.push(case(3, "Call-ID", options(|letter| letter.call_id += &long), &[400]));
    let via = format!("SIP/2.0/UDP 127.0.0.66;branch=z9hG4bK{long}");
    cases.push(case(3, "branch", options(|letter| letter.via = via), &[400]));
    let colours = format!("{}\u{1b}[31m\u{7}", "c".repeat(4_000));
    cases.push(case(4, "Call-ID", options(|letter| letter.call_id = colours), &[400]));
    let accepts = format!("Accept: {}\n", "a".repeat(400)).repeat(50);
    let subscribe = Letter::user("SUBSCRIBE", "bob").with("Event: presence\n").with(&accepts);
    cases.push(case(5, "50 Accept", octets(&subscribe), &[401]));
    judge(&stranger, &cases);
    // The same from somebody who may.
    let mut alice = siege.phone("alice", 11);
    let heard = alice.proved(&subscribe.by("alice"), "alice");
    assert!((200..500).contains(&heard.status()), "{}", heard.text);
    // As long as it may be, and no text at all: kept and shown without harm.
    let id = format!("{}\u{1b}[31m\u{7}\u{202e}", "c".repeat(1_000));
    let letter = Letter::user("MESSAGE", "bob").by("alice").body("text/plain", "hello");
    let heard = alice.proved(&Letter { call_id: id, ..letter }, "alice");
    assert!((200..500).contains(&heard.status()), "{}", heard.text);
    siege.drill.door.get("/v1/messages?user=bob");
    drop((alice, stranger));
    siege.stands("numbers and names", &["sip.malformed", "sip.nonsense"]);
}

/// An OPTIONS with this Content-Length, and octets behind it.
fn of_length(length: &str, body: &[u8]) -> Letter {
    let letter = Letter::new("OPTIONS").body("", body);
    Letter { length: Some(length.to_owned()), ..letter }
}

#[test]
fn rows_6_to_9_lengths_that_are_no_truth() {
    const LENGTHS: [&str; 7] =
        ["-1", "4294967301", "18446744073709551621", "5, 5", "", "+5", "0x5"];
    let mut siege = Siege::lay();
    let stranger = siege.stranger(66);
    let mut cases = Vec::new();
    for length in LENGTHS {
        let letter = of_length(length, b"12345");
        cases.push(case(6, &format!("Content-Length {length}"), octets(&letter), &[400]));
    }
    let twice = of_length("0\r\nContent-Length: 5", b"12345");
    cases.push(case(7, "two lengths", octets(&twice), &[400]));
    let compact = of_length("5\r\nl : 4", b"12345");
    cases.push(case(7, "two lengths, one compact", octets(&compact), &[400]));
    cases.push(case(8, "longer than there is", octets(&of_length("500", b"12345")), &[400]));
    let smuggled = octets(&Letter::user("INVITE", "bob"));
    cases.push(case(9, "another message behind", octets(&of_length("0", &smuggled)), &[200]));
    judge(&stranger, &cases);
    for length in LENGTHS.into_iter().chain(["99999", "0\r\nContent-Length: 5", "5\r\nl : 4"]) {
        let mut stream = siege.dial(5060);
        let behind = Letter::new("OPTIONS").octets("TCP", "smuggled.invalid");
        let text = of_length(length, &behind).octets("TCP", "stream.invalid");
        let (heard, closed) = on_stream(&mut stream, &text);
        let statuses: Vec<_> = heard.iter().map(Heard::status).collect();
        assert!(closed && matches!(statuses[..], [400 | 513]), "{length:?}: {heard:?} {closed}");
    }
    siege.stands("lengths", &["sip.nonsense"]);
}

#[test]
fn rows_10_to_14_more_of_it_than_there_may_be() {
    let mut siege = Siege::lay();
    let stranger = siege.stranger(66);
    let via = |count: usize, joined: &str| {
        let one = "SIP/2.0/UDP 127.0.0.66;branch=z9hG4bKv";
        (0..count).map(|n| format!("{one}{n}x{}", number())).collect::<Vec<_>>().join(joined)
    };
    let mut cases = Vec::new();
    for (count, answers) in
        [(70, [200, 482, 483]), (71, [400, 482, 483]), (900, [400, 482, NOTHING])]
    {
        for joined in [",", "\r\nVia: "] {
            let octets = options(|letter| letter.via = via(count, joined));
            cases.push(case(10, &format!("{count} Via"), octets, &answers));
        }
    }
    let many = "Subject: x\n".repeat(1_000);
    cases.push(case(11, "1000 lines", octets(&Letter::new("OPTIONS").with(&many)), &[400, 513]));
    let long = format!("Subject: {}\n", "x".repeat(50_000));
    cases.push(case(11, "50 kB", octets(&Letter::new("OPTIONS").with(&long)), &[400, 513]));
    let name = format!("{}: x\n", "N".repeat(10_000));
    cases.push(case(
        11,
        "a name of 10 kB",
        octets(&Letter::new("OPTIONS").with(&name)),
        &[400, 513],
    ));
    for (what, tail) in [
        ("1000 parameters", ";parameter=1".repeat(1_000)),
        ("1000 headers", format!("?a=1{}", "&a=1".repeat(1_000))),
        ("20 kB", format!(";x={}", "x".repeat(20_000))),
    ] {
        let letter = Letter::to("OPTIONS", &format!("sip:bob@{DOMAIN}{tail}"));
        let letter = Letter { to: format!("<sip:bob@{DOMAIN}>"), ..letter };
        cases.push(case(12, what, octets(&letter), &[400, 414]));
    }
    for hops in ["-1", "256", "10000000000", "many", ""] {
        let octets = options(|letter| letter.max_forwards = hops.to_owned());
        cases.push(case(13, &format!("Max-Forwards {hops}"), octets, &[400]));
    }
    for (what, octets) in [
        ("nothing", Vec::new()),
        ("a line break", b"\r\n".to_vec()),
        ("two", b"\r\n\r\n".to_vec()),
        ("NULs", vec![0; 600]),
        ("0xff", vec![0xff; 1_200]),
        ("one octet", b"x".to_vec()),
        ("all that fits", vec![b'x'; 65_507]),
        ("line breaks that fill it", b"\r\n".repeat(30_000)),
    ] {
        cases.push(case(14, what, octets, &[NOTHING, 513]));
    }
    let full = Letter::new("OPTIONS").body("text/plain", vec![b'x'; 65_000]);
    cases.push(case(14, "a datagram that is full", octets(&full), &[200, 513]));
    judge(&stranger, &cases);
    let mut alice = siege.phone("alice", 11);
    let letter = Letter::user("INVITE", "bob").by("alice").offer("127.0.0.11");
    let last = Letter { max_forwards: "0".to_owned(), ..letter };
    assert_eq!(alice.proved(&last, "alice").status(), 483);
    let mut stream = siege.dial(5060);
    stream.write_all(b"\r\n\r\n").expect("the server reads");
    let mut pong = [0; 2];
    stream.read_exact(&mut pong).expect("a keep-alive is answered");
    assert_eq!(&pong, b"\r\n");
    drop((stream, alice, stranger));
    siege.stands("too much", &["sip.malformed", "sip.nonsense"]);
}

#[test]
fn rows_15_to_20_lines_and_languages_of_others() {
    let mut siege = Siege::lay();
    let stranger = siege.stranger(66);
    let right = Letter::new("OPTIONS");
    let mut cases = Vec::new();
    let replaced = |from: &str, to: &str| {
        String::from_utf8_lossy(&octets(&right.again())).replace(from, to).into_bytes()
    };
    cases.push(case(15, "LF alone", replaced("\r\n", "\n"), &[NOTHING, 400]));
    cases.push(case(15, "CR alone", replaced("\r\n", "\r"), &[NOTHING, 400]));
    for (what, line) in [
        ("LF in a value", "Subject: a\u{a}Require: magic"),
        ("CR in a value", "Subject: a\rRequire: magic"),
        ("NUL in a value", "Subject: a\0Require: magic"),
        ("NUL in a name", "Sub\0ject: a"),
        ("CR in a name", "Sub\rject: a"),
    ] {
        let octets = options(|letter| letter.more = format!("{line}\r\n"));
        cases.push(case(15, what, octets, &[400]));
    }
    // Recognised as that header, so each has its effect.
    for space in [" ", "\t", " \t  "] {
        for (line, answer) in [
            (format!("Require{space}: magic\n"), 420),
            (format!("Content-Length{space}: 7\n"), 400),
            (format!("l{space}: 7\n"), 400),
            (format!("CSeq{space}: 1 OPTIONS\n"), 400),
            (format!("Max-Forwards{space}: 3\n"), 400),
        ] {
            let octets = octets(&right.again().with(&line));
            cases.push(case(16, &line.escape_debug().to_string(), octets, &[answer]));
        }
    }
    let folds = format!("Subject: a{}\n", "\n b".repeat(2_000));
    cases.push(case(17, "2000 folds", octets(&right.again().with(&folds)), &[200]));
    for method in ["invite", "Options", &"M".repeat(500), "IN(VITE", "IN\"VITE", "IN,VITE"] {
        let letter = Letter::user(method, "bob");
        cases.push(case(18, method, octets(&letter), &[400, 401, 405, 501]));
    }
    for version in ["SIP/7.0", "SIP/2.1", "SIP/1.0", "SIP/22.0"] {
        let line = format!("OPTIONS sip:{DOMAIN} {version}\r\n");
        let octets = replaced(&format!("OPTIONS sip:{DOMAIN} SIP/2.0\r\n"), &line);
        cases.push(case(19, version, octets, &[505]));
    }
    for (what, octets) in foreign() {
        cases.push(case(20, what, octets, &[NOTHING]));
    }
    judge(&stranger, &cases);
    let mut alice = siege.phone("alice", 11);
    for (method, answer) in [("invite", 501), ("FROB", 501)] {
        assert_eq!(
            alice.proved(&Letter::user(method, "bob").by("alice"), "alice").status(),
            answer
        );
    }
    for (what, octets) in foreign() {
        let mut stream = siege.dial(5060);
        let (heard, closed) = on_stream(&mut stream, &octets);
        assert!(heard.is_empty() && closed, "{what}: {heard:?}");
    }
    let mut stream = siege.dial(5060);
    let (heard, closed) = on_stream(&mut stream, &replaced("SIP/2.0\r\nVia", "SIP/7.0\r\nVia"));
    assert_eq!((heard[0].status(), heard.len(), closed), (505, 1, false));
    drop((stream, alice, stranger));
    siege.stands("lines", &["sip.malformed", "sip.nonsense"]);
}

/// What other protocols say first.
fn foreign() -> [(&'static str, Vec<u8>); 5] {
    let hello = [&[0x16, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3][..], &[7; 194]].concat();
    let stun = [&[0, 1, 0, 8, 0, 0, 0, 0][..], &[9; 20]].concat();
    let rtp = [&[0x80, 0, 0, 1, 0, 0, 0, 160, 1, 2, 3, 4][..], &[0x55; 160]].concat();
    [
        ("HTTP", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        ("HTTP with a body", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".to_vec()),
        ("a TLS hello", hello),
        ("STUN of old", stun),
        ("RTP", rtp),
    ]
}

#[test]
fn rows_21_to_25_addresses_that_mean_something_else() {
    let mut siege = Siege::lay();
    let stranger = siege.stranger(66);
    let (mut alice, bob) = (siege.phone("alice", 11), siege.phone("bob", 12));
    for user in ["bob%00", "bob%00x", "bob%0d%0aX-Evil:%201", "%00bob", "bob%0aRoute:x"] {
        let heard = alice
            .proved(&Letter::user("MESSAGE", user).by("alice").body("text/plain", "x"), "alice");
        assert_eq!(heard.status(), 404, "{user}: {}", heard.text);
        assert_eq!(heard.field("X-Evil").or(heard.field("Route")), None, "{}", heard.text);
        let letter = Letter::new("REGISTER").by("alice").with("Contact: <sip:x@127.0.0.11>\n");
        let letter = Letter { to: format!("<sip:{user}@{DOMAIN}>"), ..letter };
        assert_eq!(alice.proved(&letter, "alice").status(), 403, "{user}");
    }
    let mut cases = Vec::new();
    for uri in [
        format!("sip:%zz@{DOMAIN}"),
        format!("sip:%4@{DOMAIN}"),
        format!("sip:a@b@{DOMAIN}"),
        "sip:bob@".to_owned(),
        "sip:".to_owned(),
        "sip:bob@[::1".to_owned(),
        format!("sip:bob@{DOMAIN}:-1"),
        format!("sip:bob@{DOMAIN}:99999"),
        "bob".to_owned(),
        ":bob".to_owned(),
    ] {
        let letter = Letter { to: format!("<sip:bob@{DOMAIN}>"), ..Letter::to("INVITE", &uri) };
        cases.push(case(22, &uri, octets(&letter), &[400, 416]));
    }
    for uri in [format!("im:bob@{DOMAIN}"), "mailto:bob@x".to_owned(), "nobody:knows".to_owned()] {
        let letter = Letter { to: format!("<sip:bob@{DOMAIN}>"), ..Letter::to("INVITE", &uri) };
        cases.push(case(23, &uri, octets(&letter), &[416]));
    }
    let escaped = format!("sip:bob@{DOMAIN}?Route=%3Csip:{CANARY}%3Blr%3E");
    let letter = Letter { to: format!("<sip:bob@{DOMAIN}>"), ..Letter::to("INVITE", &escaped) };
    cases.push(case(24, "Route in a Request-URI", octets(&letter), &[400]));
    judge(&stranger, &cases);
    // In a Contact as well: nothing that is sent there obeys it.
    let contact = format!("Contact: <sip:alice@127.0.0.11:5060?Route=%3Csip:{CANARY}%3Blr%3E>\n");
    let letter = Letter::new("REGISTER").by("alice").with(&contact);
    let letter = Letter { to: format!("<sip:alice@{DOMAIN}>"), ..letter };
    let status = alice.proved(&letter, "alice").status();
    assert!(matches!(status, 200 | 400 | 403), "{status}");
    // What is no text passes as octets or is refused, and what shows it shows text.
    let mut invite = alice.prove(
        &Letter::user("INVITE", "bob")
            .by("alice")
            .with("Contact: <sip:alice@127.0.0.11>\n")
            .offer("127.0.0.11"),
        "alice",
        crate::drill::PASSWORD,
    );
    invite.body.splice(15..15, [0xff, 0xfe]);
    let mut text = invite.with("Subject: QQQ\nUser-Agent: QQQ\n").octets("UDP", "127.0.0.11");
    while let Some(at) = text.windows(3).position(|three| three == b"QQQ") {
        text.splice(at..at + 3, [0xff, 0xc0, 0x80]);
    }
    alice.send(&text);
    let rung = bob.request("INVITE");
    bob.reply(&rung, "486 Busy Here", "", false);
    let refused = alice.wait(STEP, "486", |heard| heard.status() >= 300);
    assert_eq!(refused.status(), 486, "{}", refused.text);
    alice.acknowledge(&String::from_utf8_lossy(&text), &refused);
    let calls = siege.drill.door.get("/v1/calls?limit=10");
    assert!(calls["items"].is_array());
    drop((alice, bob, stranger));
    siege.empties("addresses");
    siege.stands("addresses", &["sip.malformed", "sip.not_for_us"]);
}

/// As many as a test suite of old had: messages that were whole before a mutator touched them.
#[test]
fn row_26_four_and_a_half_thousand_broken_invites() {
    const WORDS: [&str; 12] = [
        "\r\n",
        "\r\n\r\n",
        "\0",
        "%00",
        "<",
        "\"",
        ";tag=",
        "sip:",
        "-1",
        "99999999999999999999",
        "Content-Length: 0\r\n",
        "%n%n%n%s",
    ];
    let mut siege = Siege::lay();
    let mut rng = Rng::from_number(4_527);
    // Several, as one would soon have had the answers that he may have.
    let strangers: Vec<_> = (60..66).map(|host| siege.stranger(host)).collect();
    for round in 0..4_527 {
        let stranger = &strangers[round / 40 % strangers.len()];
        let letter = Letter::user(["INVITE", "OPTIONS", "REGISTER"][round % 3], "bob");
        let mut bytes = octets(&letter.with("Contact: <sip:x@127.0.0.66>\n").offer("127.0.0.66"));
        for _ in 0..=rng.below(4) {
            let at = rng.below(bytes.len() as u64) as usize;
            match rng.below(4) {
                0 => bytes[at] = rng.next_u64() as u8,
                1 => {
                    let end = (at + rng.below(40) as usize).min(bytes.len());
                    bytes.drain(at..end);
                }
                2 => {
                    let word = WORDS[rng.below(WORDS.len() as u64) as usize];
                    let times = 1 + rng.below(3) as usize * rng.below(100) as usize;
                    bytes.splice(at..at, word.repeat(times).into_bytes());
                }
                _ => {
                    let part = bytes[at..].iter().take(60).copied().collect::<Vec<_>>();
                    bytes.splice(at..at, part);
                }
            }
            bytes.truncate(60_000);
            if bytes.is_empty() {
                break;
            }
        }
        stranger.send(&bytes);
        if round % 40 == 39 {
            stranger.heard();
        }
    }
    drop(strangers);
    assert_eq!(siege.kept("server_transactions"), 0);
    siege.stands("the mutator", &["sip.malformed", "sip.nonsense"]);
}

#[test]
fn row_27_bodies_of_many_parts() {
    let mut siege = Siege::lay();
    let (mut alice, bob) = (siege.phone("alice", 11), siege.phone("bob", 12));
    let mut nested = String::new();
    for depth in 0..500 {
        nested +=
            &format!("--b{depth}\r\nContent-Type: multipart/mixed;boundary=b{}\r\n\r\n", depth + 1);
    }
    let long = "b".repeat(5_000);
    let parts = "--b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n".repeat(1_000);
    let rows = [
        ("multipart/mixed;boundary=b".to_owned(), "--b\n\nv=0\n--b--\n".to_owned()),
        ("multipart/mixed".to_owned(), "--b\r\n\r\nv=0\r\n--b--\r\n".to_owned()),
        ("multipart/mixed;boundary=\"\"".to_owned(), "--\r\n\r\nv=0\r\n----\r\n".to_owned()),
        (
            format!("multipart/mixed;boundary={long}"),
            format!("--{long}\r\n\r\nv=0\r\n--{long}--\r\n"),
        ),
        ("multipart/mixed;boundary=b0".to_owned(), nested),
        ("multipart/mixed;boundary=b".to_owned(), parts),
        ("multipart/mixed;boundary=b".to_owned(), "--b\r\n\r\nv=0\r\n".to_owned()),
    ];
    for (kind, body) in &rows {
        let letter = Letter::user("INVITE", "bob").by("alice");
        let letter = letter.with("Contact: <sip:alice@127.0.0.11>\n").body(kind, body.as_bytes());
        let heard = alice.proved(&letter, "alice");
        assert!(matches!(heard.status(), 400 | 415), "{kind:.60}: {}", heard.text);
        // A message is kept and passed on as it is: nobody looks into it.
        let letter =
            Letter::user("PUBLISH", "alice").by("alice").with("Event: presence\nExpires: 60\n");
        let heard = alice.proved(&letter.body(kind, body.as_bytes()), "alice");
        assert!(matches!(heard.status(), 400 | 413 | 415), "{kind:.60}: {}", heard.text);
    }
    assert!(bob.heard().is_empty(), "nothing of it reaches a phone");
    drop((alice, bob));
    siege.empties("parts");
    siege.stands("parts", &[]);
}
