//! People who have proved nothing, or prove what is not theirs.

use std::time::Duration;

use sip::digest::Algorithm;
use switchboard::Output;

use crate::rig::*;

/// An answer without what may differ between two of them.
fn plain(answer: &str) -> String {
    let mut out = String::new();
    for line in answer.replace("bot", "bob").lines() {
        let mut line = line.to_owned();
        for mark in ["nonce=\"", ";tag=", ";branch="] {
            if let Some((before, after)) = line.clone().split_once(mark)
                && !line.starts_with("From")
            {
                let end = after.find(['"', ';', '\r']).unwrap_or(after.len());
                line = format!("{before}{}", &after[end..]);
            }
        }
        out.push_str(&line);
        out.push('\n');
    }
    out
}

#[test]
fn a_stranger_cannot_tell_who_exists() {
    for method in ["REGISTER", "INVITE", "OPTIONS", "MESSAGE", "SUBSCRIBE", "PUBLISH", "REFER"] {
        let mut rig = Rig::new(true);
        rig.all_register();
        rig.wait(Duration::from_secs(40));
        let mut ask = |user: &str, number| {
            let ask = Ask::new(method, user, MALLORY, number)
                .to(user)
                .with(&format!("Contact: <sip:x@{MALLORY}>\n"));
            let mut found = rig.say(MALLORY, &ask.text());
            let proof = rig.proof(&found[0], user, "wrong", method, &ask.uri);
            let branch = format!("{}q", ask.branch);
            found.extend(rig.say(MALLORY, &Ask { cseq: 2, branch, ..ask.with(&proof) }.text()));
            found.iter().map(|answer| plain(answer)).collect::<Vec<_>>()
        };
        let (known, unknown) = (ask("bob", 700), ask("bot", 700));
        assert_eq!(known.len(), 2);
        assert!(known.iter().all(|answer| answer.starts_with("SIP/2.0 401")), "{known:?}");
        assert_eq!(known, unknown, "{method}");
        assert!(rig.seen(BOB).is_empty());
        assert_eq!(rig.gauge("server_transactions"), 0, "{method} leaves a trace");
    }
}

#[test]
fn guessing_is_throttled_and_the_victim_gets_in() {
    let mut rig = Rig::new(true);
    rig.register("alice", ALICE);
    rig.wait(Duration::from_secs(70));
    let guess = |rig: &mut Rig, who: &str, user: &str| {
        let number = rig.next();
        let ask = Ask::new("REGISTER", user, who, number).to(user).at("sip:localhost");
        let refused = rig.say(who, &ask.text()).remove(0);
        let proof = rig.proof(&refused, user, "wrong", "REGISTER", "sip:localhost");
        rig.status(who, &Ask { branch: format!("z9hG4bKg{number}"), ..ask.with(&proof) }.text())
    };
    let answers: Vec<u16> = (0..60).map(|_| guess(&mut rig, MALLORY, "alice")).collect();
    assert_eq!(answers.iter().filter(|status| **status == 401).count(), 30);
    assert_eq!(answers[59], 403);
    rig.register("bob", BOB);
    rig.register("alice", ALICE);
    // From many addresses at once: whoever was there before gets in all the same.
    for n in 0..200 {
        guess(&mut rig, &format!("10.1.{}.{}:5060", n / 100, n % 100), "alice");
    }
    assert_eq!(guess(&mut rig, CAROL, "alice"), 403);
    rig.register("alice", ALICE);
    // Nor does one of IPv6 get a new try with each of his addresses.
    let status: Vec<u16> =
        (1..60).map(|n| guess(&mut rig, &format!("[2001:db8::{n}]:5060"), "dave")).collect();
    assert_eq!(status.iter().filter(|status| **status == 401).count(), 30);
    rig.wait(Duration::from_secs(70));
    assert_eq!(guess(&mut rig, MALLORY, "alice"), 401);
    rig.is_clean();
}

#[test]
fn a_proof_is_good_once_here_and_for_this() {
    let mut rig = Rig::new(true);
    let ask = Ask::new("REGISTER", "alice", ALICE, 1)
        .to("alice")
        .at("sip:localhost")
        .with(&format!("Contact: <sip:alice@{ALICE}>\n"));
    let refused = rig.say(ALICE, &ask.text()).remove(0);
    let proof = rig.proof(&refused, "alice", &word("alice"), "REGISTER", "sip:localhost");
    let with = |branch: &str, cseq, ask: &Ask| Ask {
        branch: format!("z9hG4bK{branch}"),
        cseq,
        ..ask.clone().with(&proof)
    };
    // What it does not fit.
    let rows = [
        ("another address", MALLORY, with("1", 2, &ask), 401),
        ("another URI", ALICE, with("2", 2, &ask.clone().at("sip:bob@localhost")), 401),
        (
            "another method",
            ALICE,
            {
                let method = "MESSAGE".to_owned();
                with("3", 2, &Ask { method, ..ask.clone() })
            },
            401,
        ),
        ("itself", ALICE, with("4", 2, &ask), 200),
        ("the same count again", ALICE, with("5", 3, &ask), 401),
        ("and from elsewhere", MALLORY, with("6", 4, &ask), 401),
    ];
    for (what, who, ask, wants) in rows {
        let answers = rig.say(who, &ask.text());
        assert_eq!(status(&answers[0]), wants, "{what}: {answers:?}");
        let stale = what == "the same count again";
        assert_eq!(answers[0].contains("stale=true"), stale, "{what}: {answers:?}");
    }
    assert_eq!(rig.gauge("bindings"), 1);
    let odd = [
        "Digest".to_owned(),
        "Digest username=\"alice\"".to_owned(),
        format!("Digest username=\"{}\", realm=\"localhost\"", "x".repeat(9_000)),
        format!("Basic {}", "A".repeat(500)),
        proof.trim().trim_start_matches("Authorization: ").replace("localhost", "elsewhere"),
        proof.trim().trim_start_matches("Authorization: ").replace("nonce=\"", "nonce=\"0"),
        proof.trim().trim_start_matches("Authorization: ").replace("qop=auth, nc=00000001, ", ""),
        proof.trim().trim_start_matches("Authorization: ").replace("SHA-256", "SHA-512-256"),
        proof.trim().trim_start_matches("Authorization: ").replace("SHA-256", "SHA-1"),
    ];
    for (place, value) in odd.iter().enumerate() {
        let lines = format!("Authorization: {value}\n");
        let ask = Ask { branch: format!("z9hG4bKo{place}"), cseq: 9, ..ask.clone().with(&lines) };
        let code = rig.status(ALICE, &ask.text());
        assert!(matches!(code, 400 | 401), "{value}: {code}");
    }
    let many = format!("Authorization: {}\n", odd[1]).repeat(100);
    assert_eq!(
        rig.status(ALICE, &Ask { branch: "z9hG4bKm".into(), ..ask.with(&many) }.text()),
        401
    );
    rig.is_clean();
}

#[test]
fn a_registration_is_for_oneself_and_within_bounds() {
    let mut rig = Rig::new(true);
    let many: String =
        (0..500).map(|n| format!("Contact: <sip:a@10.0.0.1:{}>\n", 6_000 + n)).collect();
    let few: String =
        (0..200).map(|n| format!("Contact: <sip:a@10.0.0.1:{}>\n", 6_000 + n)).collect();
    let contact = format!("Contact: <sip:alice@{ALICE}>\n");
    let rows: [(&str, &str, &str, &[u16]); 12] = [
        ("bob", "sip:localhost", &contact, &[403]),
        ("alice", "sip:localhost", &few, &[403]),
        ("alice", "sip:localhost", &many, &[400]),
        ("alice", "sip:localhost", &format!("Contact: <sip:alice@{US}>\n"), &[403]),
        ("alice", "sip:localhost", "Contact: <sip:alice@localhost>\n", &[403]),
        ("alice", "sip:localhost", "Contact: *\nExpires: 60\n", &[400]),
        ("alice", "sip:localhost", "Contact: *\n", &[400]),
        ("alice", "sip:localhost", &format!("{contact}Expires: 99999999999999999999\n"), &[200]),
        ("alice", "sip:localhost", &format!("{contact}Expires: -1\n"), &[200, 400]),
        ("alice", "sip:localhost", &format!("{contact}Require: path\nSupported: path\n"), &[200]),
        ("alice", "sip:localhost", &format!("{contact}Require: gruu, x\n"), &[420]),
        ("alice", "sip:elsewhere.example", &contact, &[403]),
    ];
    for (to, uri, lines, wants) in rows {
        let number = rig.next();
        let ask = Ask::new("REGISTER", "alice", ALICE, number).to(to).at(uri).with(lines);
        let answers = rig.proved(ALICE, "alice", &ask);
        let code = status(&answers[0]);
        assert!(wants.contains(&code), "{to} {uri} {lines:.90}: {answers:?}");
        if code == 200 {
            assert!(!answers[0].contains("expires=99999"), "{answers:?}");
        }
    }
    assert_eq!(rig.gauge("bindings"), 1);
    rig.is_clean();
}

#[test]
fn nothing_is_relayed() {
    for require_auth in [true, false] {
        let mut rig = Rig::new(require_auth);
        rig.all_register();
        let rows: [(&str, &str, &str, &[u16]); 11] = [
            ("INVITE", "sip:bob@evil.example", "", &[401, 403]),
            ("INVITE", "sip:10.9.9.9", "", &[401, 403]),
            ("INVITE", "sip:bob@localhost", "Route: <sip:10.9.9.9;lr>\n", &[401, 0]),
            ("INVITE", "sip:bob@localhost;maddr=10.9.9.9", "", &[401, 0]),
            ("INVITE", "sip:x@evil.example", "Route: <sip:10.0.0.100:5060;lr>\n", &[403]),
            ("INVITE", "sip:bob@localhost?Route=%3Csip:10.9.9.9%3E", "", &[400]),
            ("INVITE", "tel:+4990012345", "", &[401, 404]),
            ("MESSAGE", "sip:x@evil.example", "", &[403]),
            ("REFER", "sip:bob@localhost", "Refer-To: <sip:x@evil.example>\n", &[401, 405]),
            ("INVITE", "mailto:bob@localhost", "", &[400, 416]),
            ("INVITE", "sip:bob@localhost:5060@evil.example", "", &[400, 416]),
        ];
        for (method, uri, lines, wants) in rows {
            let number = rig.next();
            let ask = Ask::new(method, "alice", MALLORY, number)
                .at(uri)
                .with(lines)
                .with(&format!("Contact: <sip:x@{MALLORY}>\n"))
                .body("application/sdp", &sdp(MALLORY, 4_000));
            let code = rig.status(MALLORY, &ask.text());
            assert!(wants.contains(&code), "{method} {uri} {lines}: {code}");
            let cancel =
                Ask { method: "CANCEL".into(), lines: String::new(), body: String::new(), ..ask };
            rig.say(MALLORY, &cancel.text());
        }
        // Whatever left for others left for those who registered.
        let known: Vec<_> =
            [BOB, MALLORY, ALICE, CAROL].iter().map(|who| who.parse().unwrap()).collect();
        assert!(rig.sent.iter().all(|(to, _)| known.contains(to)), "{:?}", rig.sent);
        rig.is_clean();
    }
}

#[test]
fn odd_requests_get_their_answers() {
    let mut rig = Rig::new(false);
    rig.all_register();
    let base = |method: &str| {
        Ask::new(method, "alice", ALICE, 1)
            .to("bob")
            .with(&format!("Contact: <sip:alice@{ALICE}>\n"))
    };
    let long = "X".repeat(3_000);
    let rows: [(&str, Ask, &[u16]); 22] = [
        ("no hops left", base("INVITE").with("Max-Forwards: 0\n"), &[483]),
        ("hops in words", base("INVITE").with("Max-Forwards: many\n"), &[400]),
        ("too many hops", base("INVITE").with("Max-Forwards: 256\n"), &[400]),
        ("an unknown method", base("FROB"), &[405, 501]),
        ("a long method", base(&long), &[400, 501]),
        ("no room for it", base("NOTIFY"), &[405, 481]),
        ("an extension", base("INVITE").with("Require: magic\n"), &[420]),
        ("two extensions", base("INVITE").with("Require: timer\nRequire: magic\n"), &[420]),
        ("an unknown scheme", base("INVITE").at("im:bob@localhost"), &[400, 416]),
        ("no contact", Ask::new("INVITE", "alice", ALICE, 1).to("bob"), &[400]),
        ("two froms", base("INVITE").with("From: <sip:x@localhost>;tag=2\n"), &[400]),
        ("no such user", base("INVITE").to("nobody"), &[404]),
        ("a body of another kind", base("INVITE").body("text/plain", "hello\n"), &[415]),
        ("many parts", base("INVITE").body("multipart/mixed;boundary=x", "--x\n\n--x--\n"), &[415]),
        (
            "a packed body",
            base("INVITE")
                .with("Content-Encoding: gzip\n")
                .body("application/sdp", &sdp(ALICE, 4_000)),
            &[415],
        ),
        ("a dialog that is not", base("BYE").with("").to_tag("made-up"), &[481]),
        ("a dialog of ours that is not", base("INVITE").to_tag("00ffffffffffffffff"), &[481]),
        ("an update of nothing", base("UPDATE").to_tag("00ffffffffffffffff"), &[481]),
        ("a call taken back that is not", base("CANCEL"), &[481]),
        ("the domain itself", base("OPTIONS").at("sip:localhost"), &[200]),
        ("CSeq beyond all", Ask { cseq: 2_147_483_648, ..base("INVITE") }, &[400]),
        ("a foreign user with NUL", base("INVITE").at("sip:bob%00x@localhost"), &[404]),
    ];
    for (place, (what, ask, wants)) in rows.into_iter().enumerate() {
        let ask =
            Ask { branch: format!("z9hG4bKodd{place}"), call_id: format!("odd{place}"), ..ask };
        let answers = rig.say(ALICE, &ask.text());
        let code = answers.first().map_or(0, |answer| status(answer));
        assert!(wants.contains(&code), "{what}: {answers:?}");
    }
    assert!(rig.seen(BOB).is_empty(), "nothing of it reaches a phone");
    for bytes in [&b""[..], b"\r\n\r\n", &[0; 600], &[0xff; 1_200], b"x", b"GET / HTTP/1.1\r\n\r\n"]
    {
        rig.bytes(MALLORY, bytes);
        assert!(rig.seen(MALLORY).is_empty());
    }
    rig.is_clean();
}

#[test]
fn descriptions_that_cannot_be_are_refused() {
    let mut rig = Rig::new(false);
    rig.all_register();
    let good = sdp(ALICE, 4_000);
    let rows = [
        good.replace("4000", "70000"),
        good.replace("4000", "-1"),
        good.replace("4000", "4000/1000000000"),
        format!("{good}{}", "m=audio 4000 RTP/AVP 0\n".repeat(1_000)),
        format!("{good}{}", "m=audio 4000 RTP/AVP 0\n".repeat(16)),
        good.replace("c=IN IP4 10.0.0.1", "c=IN IP4 224.0.0.1/127"),
        good.replace("c=IN IP4 10.0.0.1", "c=IN IP4 255.255.255.255"),
        good.replace("c=IN IP4 10.0.0.1", "c=IN IP4 256.1.1.1"),
        good.replace("c=IN IP4 10.0.0.1", "c=IN IP4 127.0.0.1"),
        good.replace("c=IN IP4 10.0.0.1", "c=IN IP6 ::1::2"),
        "v=0\n".into(),
        "hello\n".into(),
        good.replace("m=audio", &format!("m={}", "a".repeat(1_024))),
    ];
    for (place, body) in rows.iter().enumerate() {
        let mut ask = invite("bob", 900 + place as u32);
        ask.body.clone_from(body);
        let answers = rig.say(ALICE, &ask.text());
        let last = answers.last().map_or(0, |answer| status(answer));
        assert!(matches!(last, 400 | 488), "{body:.200}: {answers:?}");
    }
    assert!(rig.seen(BOB).is_empty());
    rig.is_clean();
}

/// The shortest requests that are whole, each with what it may come to.
fn short(method: &str, uri: &str, more: &str) -> String {
    format!(
        "{method} {uri} SIP/2.0\nv:SIP/2.0/UDP h;branch=z9hG4bK1;rport\nf:<sip:a@b>;tag=1\nt:<sip:a@b>\n\
         i:1\nCSeq:1 {method}\n{more}\n"
    )
}

#[test]
fn an_answer_to_a_stranger_is_at_most_three_times_as_long() {
    let all = vec![Algorithm::Sha512_256, Algorithm::Sha256, Algorithm::Md5];
    let mut worst = (0, String::new());
    let mut normal = Rig::with(config(true, all.clone()));
    for method in ["REGISTER", "INVITE", "MESSAGE", "SUBSCRIBE"] {
        let ask = Ask::new(method, "alice", MALLORY, 1).to("alice").with(&format!(
            "Contact: <sip:alice@{MALLORY}>\nUser-Agent: a phone/1.0\nAllow: INVITE, ACK, BYE, CANCEL\n"
        ));
        let sent = crlf(&ask.text()).len();
        let got: usize = normal.say(MALLORY, &ask.text()).iter().map(String::len).sum();
        assert!(got > 0 && got <= 3 * sent, "{method}: {sent} octets in, {got} out");
        println!("{method}, as phones send it: {sent} octets in, {got} out");
    }
    for digest in [vec![Algorithm::Sha256], vec![Algorithm::Sha256, Algorithm::Md5], all] {
        for method in ["REGISTER", "INVITE", "OPTIONS", "MESSAGE", "BYE", "CANCEL", "X"] {
            for (uri, more) in [
                ("sip:localhost", ""),
                ("sip:x@localhost", ""),
                ("sip:evil.example", ""),
                ("x:y", ""),
                ("sip:localhost", "Require:\u{fffd}\u{fffd}\n"),
                ("sip:localhost", "Max-Forwards:0\n"),
                ("sip:localhost", "l:9\n"),
                ("sip:localhost", "f:x\n"),
            ] {
                let mut rig = Rig::with(config(true, digest.clone()));
                let text = crlf(&short(method, uri, more));
                let bytes: Vec<u8> = text.replace('\u{fffd}', "\u{7f}").into_bytes();
                let bytes: Vec<u8> =
                    bytes.iter().map(|octet| if *octet == 0x7f { 0xff } else { *octet }).collect();
                rig.bytes(MALLORY, &bytes);
                rig.wait(Duration::from_secs(35));
                let got: usize = rig.sent.iter().map(|(_, text)| text.len()).sum();
                let gain = got * 100 / bytes.len();
                if gain > worst.0 {
                    worst = (gain, format!("{method} {uri} {more:?}, {} algorithms", digest.len()));
                }
                assert!(gain <= 300, "{text}\n{:?}", rig.sent);
                assert_eq!(rig.gauge("server_transactions"), 0);
            }
        }
    }
    println!("most: {} % by {}", worst.0, worst.1);
}

#[test]
fn an_unproved_caller_gets_twelve_datagrams_at_most() {
    let mut rig = Rig::new(false);
    rig.all_register();
    let mut ask = invite("nobody", 5);
    ask.via = format!("SIP/2.0/UDP {MALLORY}");
    rig.bytes(MALLORY, crlf(&ask.text()).as_bytes());
    rig.wait(Duration::from_secs(35));
    let answers = rig.seen(MALLORY);
    assert!(answers.len() <= 12, "{}", answers.len());
    rig.is_clean();
}

#[test]
fn answers_go_back_and_nowhere_else() {
    let mut rig = Rig::new(true);
    for via in [
        "SIP/2.0/UDP 10.9.9.9:5060",
        "SIP/2.0/UDP 10.9.9.9:5060;received=10.9.9.8",
        "SIP/2.0/UDP 10.9.9.9:5060;maddr=10.9.9.7;rport",
    ] {
        let number = rig.next();
        let ask = Ask { via: via.into(), ..Ask::new("OPTIONS", "x", MALLORY, number) };
        assert_eq!(rig.status(MALLORY, &ask.text()), 200, "{via}");
        assert!(rig.sent.is_empty(), "{via}: {:?}", rig.sent);
    }
    let ask = Ask { via: "SIP/2.0/UDP 10.9.9.9:0".into(), ..Ask::new("OPTIONS", "x", MALLORY, 99) };
    rig.say(MALLORY, &ask.text());
    assert!(rig.sent.is_empty(), "nobody is at port 0");
    // Answers to nothing are not passed on, whatever their second Via says.
    for via in ["10.0.0.100:5060;branch=z9hG4bK00deadbeef00000001", "255.255.255.255", "10.9.9.9"] {
        let text = format!(
            "SIP/2.0 200 OK\nVia: SIP/2.0/UDP {via}\nVia: SIP/2.0/UDP 10.9.9.9:5060\n\
             From: <sip:a@b>;tag=1\nTo: <sip:a@b>;tag=2\nCall-ID: 1\nCSeq: 1 INVITE\n\n"
        );
        assert!(rig.say(MALLORY, &text).is_empty() && rig.sent.is_empty());
    }
    rig.is_clean();
}

#[test]
fn requests_without_a_proof_leave_no_trace() {
    let mut rig = Rig::new(true);
    let kept = rig.gauge("timers");
    for n in 0..500 {
        for method in ["INVITE", "REGISTER", "OPTIONS", "CANCEL", "BYE", "SUBSCRIBE", "ACK"] {
            let ask = Ask::new(method, "alice", MALLORY, n).to("alice");
            rig.say(MALLORY, &ask.with(&format!("Contact: <sip:x@{MALLORY}>\n")).text());
        }
    }
    assert_eq!(rig.gauge("server_transactions"), 0);
    assert_eq!(rig.gauge("timers"), kept);
}

#[test]
fn a_flood_of_strangers_is_not_answered_and_harms_no_call() {
    let mut rig = Rig::new(true);
    rig.all_register();
    let talk = rig.talk();
    let options = |number| Ask::new("OPTIONS", "x", MALLORY, number).text();
    let answered = |rig: &mut Rig, who: &str, count: u32| {
        (0..count).filter(|n| !rig.say(who, &options(n + 1)).is_empty()).count()
    };
    assert_eq!(answered(&mut rig, MALLORY, 5_000), 2_000);
    assert_eq!(rig.counted("sip.stranger_unanswered"), 3_000);
    assert_eq!(answered(&mut rig, CAROL, 10), 10, "another address is unharmed");
    // Whoever writes Alice's address on his datagrams does not shut her out of her call, nor of her account.
    assert_eq!(answered(&mut rig, ALICE, 5_000), 2_000);
    let ask = Ask::new("REGISTER", "alice", ALICE, 77).to("alice").at("sip:localhost");
    assert!(rig.say(ALICE, &ask.text()).is_empty());
    rig.still_talks(&talk, 10);
    rig.register("alice", ALICE);
    let lines = rig.others.iter().filter(|output| matches!(output, Output::Suspect { .. }));
    assert!(lines.count() <= 4, "one line for each source and second");
}

trait ToTag {
    fn to_tag(self, tag: &str) -> Self;
}

impl ToTag for Ask {
    fn to_tag(mut self, tag: &str) -> Self {
        self.to.push_str(&format!(";tag={tag}"));
        self
    }
}
