//! Legal conversations with seeded faults, from several sources: nothing breaks, nothing stays.

use std::time::Duration;

use types::Rng;

use crate::rig::*;

/// Messages of one run.
const MESSAGES: usize = 20_000;

/// What parsers and states trip over.
const WORDS: [&str; 26] = [
    "\r\n",
    "\r\n\r\n",
    "\0",
    "%00",
    "%0d%0a",
    "<",
    ">",
    "\"",
    ";tag=",
    ";tag=00ffffffffffffffff",
    "sip:",
    "sips:",
    "tel:+1",
    "*",
    "0",
    "-1",
    "4294967296",
    "99999999999999999999",
    "z9hG4bK",
    "INVITE",
    "BYE",
    "Require: 100rel\r\n",
    "Content-Length: 0\r\n",
    "Expires: 0\r\n",
    "Route: <sip:10.9.9.9;lr>\r\n",
    "\u{fffd}",
];

/// Everything that Alice and Bob say in a legal evening.
fn conversation(require_auth: bool) -> Vec<(String, Vec<u8>)> {
    let mut rig = Rig::new(require_auth);
    rig.record = Some(Vec::new());
    rig.all_register();
    let talk = rig.talk();
    rig.say(ALICE, &talk.alice("INVITE", 10, "l1", "", ""));
    let asked = rig.one(BOB, "INVITE");
    rig.say(BOB, &reply(&asked, "200 OK", BOB, &sdp(BOB, 5_004)));
    rig.say(ALICE, &talk.alice("ACK", 10, "l2", "", &sdp(ALICE, 4_004)));
    rig.say(BOB, &talk.bob("INVITE", 1, "l3", "", &sdp(BOB, 5_000)));
    let offer = rig.one(ALICE, "INVITE");
    rig.say(ALICE, &reply(&offer, "200 OK", ALICE, &sdp(ALICE, 4_000)));
    rig.say(BOB, &talk.bob("ACK", 1, "l4", "", ""));
    rig.say(BOB, &talk.bob("OPTIONS", 2, "l5", "", ""));
    rig.still_talks(&talk, 20);
    let (number, invite) = rig.ring();
    rig.say(BOB, &reply(&invite, "180 Ringing", BOB, ""));
    let asked = Ask { branch: format!("z9hG4bK{number}p"), ..crate::rig::invite("bob", number) };
    let cancel = Ask {
        method: "CANCEL".into(),
        cseq: 2,
        lines: String::new(),
        body: String::new(),
        ..asked
    };
    rig.say(ALICE, &cancel.text());
    rig.say(BOB, &reply(&invite, "487 Request Terminated", BOB, ""));
    rig.record.take().unwrap()
}

pub(crate) fn mutate(rng: &mut Rng, bytes: &mut Vec<u8>) {
    for _ in 0..rng.below(4) {
        let length = bytes.len() as u64;
        if length < 4 {
            return;
        }
        let at = rng.below(length) as usize;
        let end = (at + 1 + rng.below(40) as usize).min(bytes.len());
        match rng.below(8) {
            0 => bytes[at] = rng.next_u64() as u8,
            1 => bytes[at] ^= 1 << rng.below(8),
            2 => drop(bytes.drain(at..end)),
            3 => {
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            4 | 5 => {
                let word = WORDS[rng.below(WORDS.len() as u64) as usize];
                bytes.splice(at..at, word.bytes());
            }
            6 => swap_lines(rng, bytes),
            _ => {
                if rng.percent(20) {
                    bytes.truncate(at);
                }
            }
        }
    }
}

fn swap_lines(rng: &mut Rng, bytes: &mut Vec<u8>) {
    let mut lines: Vec<Vec<u8>> =
        bytes.split_inclusive(|octet| *octet == b'\n').map(<[u8]>::to_vec).collect();
    let count = lines.len() as u64;
    let (a, b) = (rng.below(count) as usize, rng.below(count) as usize);
    if rng.percent(50) {
        lines.swap(a, b);
    } else {
        let line = lines[a].clone();
        lines.insert(b, line);
    }
    *bytes = lines.concat();
}

/// What a phone says next to what it got, or starts by itself.
fn next(
    rng: &mut Rng,
    rig: &mut Rig,
    talk: &mut Option<Talk>,
    cseq: &mut u32,
) -> (String, Vec<u8>) {
    *cseq += 1;
    let who = [ALICE, BOB][rng.below(2) as usize];
    let heard: Vec<_> = rig.seen(who);
    let requests = ["INVITE", "BYE", "CANCEL"];
    let asked = heard.iter().rev().find(|text| requests.iter().any(|name| text.starts_with(name)));
    let codes = [
        "100 Trying",
        "180 Ringing",
        "183 Progress",
        "200 OK",
        "302 Moved",
        "408 X",
        "481 X",
        "486 X",
        "487 X",
        "491 X",
        "503 X",
        "603 X",
    ];
    if let Some(asked) = asked
        && rng.percent(80)
    {
        let body = if rng.percent(70) { sdp(who, 5_000) } else { String::new() };
        let code = codes[rng.below(codes.len() as u64) as usize];
        if asked.starts_with("INVITE")
            && let Some(ok) = heard.iter().find(|text| answers_invite(text))
        {
            *talk = Some(Talk { invite: asked.clone(), ok: ok.clone(), number: *cseq });
        }
        return (who.into(), crlf(&reply(asked, code, who, &body)).into_bytes());
    }
    let methods = ["INVITE", "ACK", "BYE", "OPTIONS", "INFO", "UPDATE", "CANCEL"];
    let method = methods[rng.below(methods.len() as u64) as usize];
    let body = if rng.percent(50) { sdp(who, 6_000) } else { String::new() };
    match talk {
        Some(talk) if rng.percent(70) => {
            let text = if who == ALICE {
                talk.alice(method, *cseq, &format!("n{cseq}"), "", &body)
            } else {
                talk.bob(method, *cseq, &format!("n{cseq}"), "", &body)
            };
            (who.into(), crlf(&text).into_bytes())
        }
        Some(_) | None => (ALICE.into(), crlf(&invite("bob", *cseq).text()).into_bytes()),
    }
}

fn run(seed: u64, require_auth: bool) {
    let recorded = conversation(require_auth);
    let mut rng = Rng::from_number(seed);
    let mut rig = Rig::new(require_auth);
    rig.all_register();
    let (mut talk, mut cseq) = (None, 1_000);
    let mut most = 0;
    for round in 0..MESSAGES {
        let (mut who, mut bytes) = if rng.percent(50) {
            recorded[rng.below(recorded.len() as u64) as usize].clone()
        } else {
            next(&mut rng, &mut rig, &mut talk, &mut cseq)
        };
        if rng.percent(70) {
            mutate(&mut rng, &mut bytes);
        }
        if rng.percent(10) {
            who = [ALICE, BOB, CAROL, MALLORY][rng.below(4) as usize].into();
        }
        rig.bytes(&who, &bytes);
        if rng.percent(20) {
            rig.wait(Duration::from_millis(rng.below(2_000)));
        }
        if rng.percent(2) {
            rig.api("calls", rng.below(6) as u16, &["x"]);
            rig.api("registrar", 0, &[]);
        }
        if round % 50 == 0 {
            most = most.max(rig.gauge("legs"));
            rig.forget();
            assert!(rig.gauge("legs") <= 2_000 && rig.gauge("sessions") <= 1_000);
            assert!(rig.gauge("server_transactions") <= 5_000);
        }
    }
    let counters = rig.shard.counters();
    println!("seed {seed}: at most {most} legs; {counters:?}");
    assert_eq!(rig.counted("switchboard.rounds_cut_off"), 0);
    // Calls that nobody ended by name are ended by hand; what is left then goes by itself.
    rig.seen(ALICE);
    rig.end_all_calls();
    rig.is_clean();
    rig.wait(Duration::from_secs(7_300));
    assert_eq!(rig.gauge("bindings"), 0);
    rig.all_register();
    let talk = rig.talk();
    rig.still_talks(&talk, 10);
}

#[test]
fn broken_messages_break_nothing() {
    run(1, true);
    run(2, false);
    run(3, false);
}

fn answers_invite(text: &str) -> bool {
    text.starts_with("SIP/2.0 200")
        && text.contains("\r\nContact: ")
        && text.contains(" INVITE\r\n")
}
