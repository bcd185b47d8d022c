//! Keys in descriptions (SDES): they pass between two who have them, and end here for everybody else (RFC 4568).

mod rig;

use media::{Command, Seat, Shield};
use rig::phones::*;
use rig::*;
use switchboard::{Input, Output};

const ALICES: &str = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj";
const BOBS: &str = "NzB4d1BINUAvLEw6UzF3WSJ+PSdFcGdUJShpX1Zj";
const SUITE: &str = "AES_CM_128_HMAC_SHA1_80";

/// A phone's description with keys, in the protocol that demands them.
fn strict(port: u16, tag: u32, key: &str) -> String {
    let lines = format!("{}a=crypto:{tag} {SUITE} inline:{key}|2^31\n", sdp(port));
    lines.replace("RTP/AVP", "RTP/SAVP")
}

fn crypto(message: &str) -> Vec<&str> {
    message.lines().filter_map(|line| line.strip_prefix("a=crypto:")).collect()
}

fn shields(rig: &Rig) -> Vec<(Seat, Shield)> {
    let shields = rig.others.iter().filter_map(|output| match output {
        Output::Media(Command::Shield { seat, shield, .. }) => Some((*seat, shield.clone())),
        _ => None,
    });
    shields.collect()
}

fn page(ufrag: &str, setup: &str) -> String {
    format!(
        "v=0\no=- 1 2 IN IP4 127.0.0.1\ns=-\nt=0 0\na=group:BUNDLE 0\n\
         m=audio 9 UDP/TLS/RTP/SAVPF 8 0\nc=IN IP4 0.0.0.0\n\
         a=ice-ufrag:{ufrag}\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\n\
         a=fingerprint:sha-256 D2:FA:0E:C3:22:59:5E:14:95:69:92:3D:13:B4:84:24:2C:C2:A2:C0:3E:FD:34:8E:5E:EA:6F:AF:52:CE:E6:0F\n\
         a=setup:{setup}\na=mid:0\na=rtcp-mux\n"
    )
}

/// RFC 8643 §3: who knows no keys leaves them, and the caller's end at us. A hold changes no key.
#[test]
fn a_phone_with_keys_calls_one_without() {
    let mut rig = Rig::new();
    rig.from(ALICE, &invite_with("bob", "", &strict(4_000, 7, ALICES)));
    let at_bob = rig.one(BOB, "INVITE");
    assert!(at_bob.contains(" RTP/AVP "), "{at_bob}");
    assert_eq!(crypto(&at_bob), [format!("7 {SUITE} inline:{ALICES}|2^31")]);
    rig.from(BOB, &reply(&at_bob, "200 OK", "bt", "", &sdp(5_000)));
    rig.one(BOB, "ACK");
    let ok = rig.one(ALICE, "SIP/2.0 200");
    assert!(ok.contains(" RTP/SAVP "), "{ok}");
    let [ours] = &crypto(&ok)[..] else { panic!("{ok}") };
    assert!(ours.starts_with(&format!("7 {SUITE} inline:")) && !ours.contains(ALICES), "{ok}");
    let told = shields(&rig);
    let [(Seat::A, Shield::Keys(keys))] = &told[..] else { panic!("{told:?}") };
    assert_eq!((keys.suite.word(), keys.ours.len(), keys.theirs.len()), (SUITE, 30, 30));
    assert!(!format!("{told:?}").contains(&format!("{:?}", keys.ours)));
    let mut alice = Phone::caller("alice", ALICE, &ok);
    rig.from(ALICE, &alice.numbered("ACK", 1, "", ""));

    let held = strict(4_000, 7, ALICES).replace("1 1 IN", "1 2 IN") + "a=sendonly\n";
    rig.from(ALICE, &alice.request("INVITE", "Content-Type: application/sdp\n", &held));
    let at_bob = rig.one(BOB, "INVITE");
    assert!(crypto(&at_bob).is_empty() && at_bob.contains(" RTP/AVP "), "{at_bob}");
    rig.from(BOB, &reply(&at_bob, "200 OK", "bt", "", &sdp(5_000)));
    let again = rig.one(ALICE, "SIP/2.0 200");
    assert_eq!(crypto(&again), [*ours]);
    let (_, shield) = shields(&rig).pop().unwrap();
    assert_eq!(shield, Shield::Keys(keys.clone()));
}

/// Two phones that both have keys are left alone, and their packets too.
#[test]
fn keys_of_two_phones_pass() {
    let mut rig = Rig::new();
    rig.from(ALICE, &invite_with("bob", "", &strict(4_000, 1, ALICES)));
    let at_bob = rig.one(BOB, "INVITE");
    let answer = strict(5_000, 1, BOBS).replace("RTP/SAVP", "RTP/AVP");
    rig.from(BOB, &reply(&at_bob, "200 OK", "bt", "", &answer));
    rig.one(BOB, "ACK");
    let ok = rig.one(ALICE, "SIP/2.0 200");
    assert!(ok.contains(" RTP/SAVP "), "{ok}");
    assert_eq!(crypto(&ok), [format!("1 {SUITE} inline:{BOBS}|2^31")]);
    assert_eq!(shields(&rig), []);
    let kept = kept(&rig);
    assert!(!kept.is_empty());
    for secret in [ALICES, BOBS] {
        let stands = |body: &Vec<u8>| body.windows(20).any(|part| part == &secret.as_bytes()[..20]);
        assert!(!kept.iter().any(|entry| stands(&entry.body)), "a key is kept in the clear");
    }
}

fn kept(rig: &Rig) -> Vec<switchboard::store::Entry> {
    let saved = |output: &Output| match output {
        Output::Save { entry, .. } => Some(entry.clone()),
        _ => None,
    };
    rig.others.iter().filter_map(saved).collect()
}

/// A page has its path, the phone its keys with us. The phone is offered them, since the page's media is protected.
#[test]
fn a_page_and_a_phone_with_keys_call_each_other() {
    let mut rig = Rig::new();
    rig.from(ALICE, &invite_with("bob", "", &page("one", "actpass")));
    let at_bob = rig.one(BOB, "INVITE");
    assert!(at_bob.contains(" RTP/AVP ") && crypto(&at_bob).len() == 4, "{at_bob}");
    let line = crypto(&at_bob).into_iter().find(|line| line.contains(SUITE)).unwrap().to_owned();
    let tag: u32 = line[..1].parse().unwrap();
    let answer = strict(5_000, tag, BOBS).replace("RTP/SAVP", "RTP/AVP");
    rig.from(BOB, &reply(&at_bob, "200 OK", "bt", "", &answer));
    rig.one(BOB, "ACK");
    let ok = rig.one(ALICE, "SIP/2.0 200");
    assert!(crypto(&ok).is_empty(), "{ok}");
    let told = shields(&rig);
    let [(Seat::A, Shield::Web(_)), (Seat::B, Shield::Keys(keys))] = &told[..] else {
        panic!("{told:?}")
    };
    assert_eq!(keys.suite.word(), SUITE);

    let mut rig = Rig::new();
    rig.binds_browser("carol", CAROL);
    rig.from(ALICE, &invite_with("carol", "", &strict(4_000, 1, ALICES)));
    let at_page = rig.one(CAROL, "INVITE");
    assert!(at_page.contains("UDP/TLS/RTP/SAVPF") && crypto(&at_page).is_empty(), "{at_page}");
    rig.from(CAROL, &reply(&at_page, "200 OK", "ct", "", &page("page", "active")));
    let ok = rig.one(ALICE, "SIP/2.0 200");
    assert!(ok.contains(" RTP/SAVP ") && crypto(&ok).len() == 1, "{ok}");
    assert_eq!(shields(&rig).len(), 2);
}

/// A phone that demands keys by the protocol refuses them beside the plain one, and is asked again as it wants it.
#[test]
fn a_phone_that_demands_keys_gets_them() {
    let mut rig = Rig::new();
    rig.from(ALICE, &invite_with("bob", "", &page("one", "actpass")));
    let at_bob = rig.one(BOB, "INVITE");
    rig.from(BOB, &reply(&at_bob, "488 Not Acceptable Here", "bt", "", ""));
    rig.wait(std::time::Duration::from_millis(1));
    let again = rig.one(BOB, "INVITE");
    assert!(again.contains(" RTP/SAVP ") && has(&again, "CSeq: 2 INVITE"), "{again}");
    assert_eq!(crypto(&again), crypto(&at_bob));
    let line = crypto(&again).into_iter().find(|line| line.contains(SUITE)).unwrap();
    let answer = strict(5_000, line[..1].parse().unwrap(), BOBS);
    rig.from(BOB, &reply(&again, "200 OK", "bt", "", &answer));
    rig.one(BOB, "ACK");
    rig.one(ALICE, "SIP/2.0 200");
    assert_eq!(shields(&rig).len(), 2);

    let mut rig = Rig::new();
    rig.from(ALICE, &invite_with("bob", "", &strict(4_000, 1, ALICES)));
    for _ in 0..2 {
        let at_bob = rig.one(BOB, "INVITE");
        rig.from(BOB, &reply(&at_bob, "488 Not Acceptable Here", "bt", "", ""));
        rig.wait(std::time::Duration::from_millis(1));
    }
    rig.one(ALICE, "SIP/2.0 488");
}

/// Suites that are not ours pass between two who know them, and are refused where we had to know them.
#[test]
fn keys_that_we_cannot_use_are_refused_where_we_must() {
    let odd = strict(4_000, 1, ALICES).replace(SUITE, "ARIA_128_CTR_HMAC_SHA1_80");
    for (answer, status) in [(odd.clone(), "SIP/2.0 200"), (sdp(5_000), "SIP/2.0 488")] {
        let mut rig = Rig::new();
        rig.from(ALICE, &invite_with("bob", "", &odd));
        let at_bob = rig.one(BOB, "INVITE");
        rig.from(BOB, &reply(&at_bob, "200 OK", "bt", "", &answer));
        rig.one(ALICE, status);
        assert_eq!(shields(&rig), []);
    }
}

/// The keys are kept, sealed, so sound comes back after a kill without a word of the phone.
#[test]
fn keys_come_back_after_a_kill() {
    let mut rig = Rig::new();
    rig.from(ALICE, &invite_with("bob", "", &strict(4_000, 7, ALICES)));
    let at_bob = rig.one(BOB, "INVITE");
    rig.from(BOB, &reply(&at_bob, "200 OK", "bt", "", &sdp(5_000)));
    rig.one(BOB, "ACK");
    let ok = rig.one(ALICE, "SIP/2.0 200");
    rig.from(ALICE, &Phone::caller("alice", ALICE, &ok).numbered("ACK", 1, "", ""));
    let told = shields(&rig);
    let kept = kept(&rig);
    let [(Seat::A, Shield::Keys(keys))] = &told[..] else { panic!("{told:?}") };
    for entry in &kept {
        for secret in [&keys.ours, &keys.theirs] {
            assert!(!entry.body.windows(30).any(|part| part == secret), "kept in the clear");
        }
    }
    let mut next = Rig::new();
    next.handle(Input::Adopt(kept.last().unwrap().clone()));
    next.handle(Input::Begin);
    assert_eq!(shields(&next), told);
}

/// RFC 4568: a plain caller reaches a phone that takes no plain media. It is asked once more, with keys of ours for it alone.
#[test]
fn a_plain_caller_reaches_a_phone_that_demands_keys() {
    let mut rig = Rig::new();
    rig.from(ALICE, &invite_with("bob", "", &sdp(4_000)));
    let at_bob = rig.one(BOB, "INVITE");
    assert!(crypto(&at_bob).is_empty(), "nobody is offered keys before he asks");
    rig.from(BOB, &reply(&at_bob, "488 Not Acceptable Here", "bt", "", ""));
    rig.wait(std::time::Duration::from_millis(1));
    let again = rig.one(BOB, "INVITE");
    assert!(again.contains(" RTP/SAVP ") && has(&again, "CSeq: 2 INVITE"), "{again}");
    let lines: Vec<String> = crypto(&again).into_iter().map(str::to_owned).collect();
    let line = lines.iter().find(|line| line.contains(SUITE)).unwrap();
    let answer = strict(5_000, line[..1].parse().unwrap(), BOBS);
    // It says so while it rings, and once more when it answers.
    rig.from(BOB, &reply(&again, "183 Session Progress", "bt", "", &answer));
    rig.from(BOB, &reply(&again, "200 OK", "bt", "", &answer));
    rig.one(BOB, "ACK");
    let seen = rig.seen(ALICE);
    let ok = seen.iter().find(|seen| seen.starts_with("SIP/2.0 200")).expect("an answer");
    assert!(ok.contains(" RTP/AVP ") && crypto(ok).is_empty(), "{ok}");
    let told = shields(&rig);
    let (seat, Shield::Keys(keys)) = told.last().expect("keys") else { panic!("{told:?}") };
    use base64::Engine as _;
    let ours = base64::engine::general_purpose::STANDARD.encode(&keys.ours);
    assert!(*seat == Seat::B && line.contains(&ours), "what he was told is what is used");
    rig.from(ALICE, &Phone::caller("alice", ALICE, ok).numbered("ACK", 1, "", ""));
    // He changes the session: his keys with us stay.
    let mut bob = Phone::callee("bob", BOB, &again, "bt");
    rig.from(BOB, &bob.request("INVITE", "", &answer.replace("1 1 IN", "1 2 IN")));
    let at_alice = rig.one(ALICE, "INVITE");
    assert!(crypto(&at_alice).is_empty(), "{at_alice}");
    rig.from(ALICE, &reply(&at_alice, "200 OK", "at", "", &sdp(4_000)));
    let back = rig.one(BOB, "SIP/2.0 200");
    assert!(crypto(&back).len() == 1 && back.contains(&ours), "{back}");

    // A phone whose refusal is about formats is not asked again, and one that refuses twice is believed.
    for (why, times) in [("Warning: 305 bob \"codec\"\n", 1), ("", 2)] {
        let mut rig = Rig::new();
        rig.from(ALICE, &invite_with("bob", "", &sdp(4_000)));
        for _ in 0..times {
            let at_bob = rig.one(BOB, "INVITE");
            rig.from(BOB, &reply(&at_bob, "488 Not Acceptable Here", "bt", why, ""));
            rig.wait(std::time::Duration::from_millis(1));
        }
        rig.one(ALICE, "SIP/2.0 488");
    }
}
