//! Browsers and phones: each gets the description that it understands, and the pump hears of the path.

mod rig;

use media::{Command, Seat, Shield};
use rig::phones::*;
use rig::*;
use switchboard::Output;

const FINGERPRINT: &str = "D2:FA:0E:C3:22:59:5E:14:95:69:92:3D:13:B4:84:24:2C:C2:A2:C0:3E:FD:34:8E:5E:EA:6F:AF:52:CE:E6:0F";

/// What a browser says. `more` stands in its section.
fn web(ufrag: &str, setup: &str, more: &str) -> String {
    format!(
        "v=0\no=- 1 2 IN IP4 127.0.0.1\ns=-\nt=0 0\na=group:BUNDLE audio\n\
         m=audio 9 UDP/TLS/RTP/SAVPF 111 8 0\nc=IN IP4 0.0.0.0\na=rtcp:9 IN IP4 0.0.0.0\n\
         a=ice-ufrag:{ufrag}\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\n\
         a=fingerprint:sha-256 {FINGERPRINT}\na=setup:{setup}\na=mid:audio\n{more}\
         a=rtcp-mux\na=rtpmap:111 opus/48000/2\na=ssrc:1 cname:x\n"
    )
}

fn shields(rig: &mut Rig) -> Vec<(Seat, Shield)> {
    let shields = rig.others.iter().filter_map(|output| match output {
        Output::Media(Command::Shield { seat, shield, .. }) => Some((*seat, shield.clone())),
        _ => None,
    });
    let shields = shields.collect();
    rig.forget();
    shields
}

#[track_caller]
fn is_plain(message: &str) {
    assert!(message.contains(" RTP/AVP "), "{message}");
    for word in ["ice-", "candidate", "fingerprint", "a=mid", "BUNDLE", "ssrc", "rtcp-mux"] {
        assert!(!message.contains(word), "{word}: {message}");
    }
}

#[track_caller]
fn is_for_browsers(message: &str, setup: &str, mid: &str) {
    for line in [
        "a=ice-lite",
        &*format!("a=group:BUNDLE {mid}"),
        &*format!("a=mid:{mid}"),
        &*format!("a=setup:{setup}"),
        "a=rtcp-mux",
        "a=candidate:1 1 udp 2130706431 192.0.2.1 21000 typ host",
    ] {
        assert!(has(message, line), "{line}: {message}");
    }
    assert!(message.contains("m=audio 21000 UDP/TLS/RTP/SAVPF "), "{message}");
    assert!(message.contains("a=fingerprint:sha-256 AB:AB:"), "{message}");
}

fn value(message: &str, name: &str) -> String {
    let line = message.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("no {name} in {message}")).to_owned()
}

/// RFC 8829: Alice's page calls Bob's phone, holds and finds a new path.
#[test]
fn a_browser_calls_a_phone() {
    let mut rig = Rig::new();
    rig.from(ALICE, &invite_with("bob", "", &web("one", "actpass", "")));
    let at_bob = rig.one(BOB, "INVITE");
    is_plain(&at_bob);
    assert!(has(&at_bob, "a=rtpmap:111 opus/48000/2"), "{at_bob}");
    rig.from(BOB, &reply(&at_bob, "200 OK", "bt", "", &sdp(5_000)));
    rig.one(BOB, "ACK");
    let ok = rig.one(ALICE, "SIP/2.0 200");
    is_for_browsers(&ok, "passive", "audio");
    let first = value(&ok, "a=ice-ufrag:");
    let told = shields(&mut rig);
    let [(Seat::A, Shield::Web(path))] = &told[..] else { panic!("{told:?}") };
    assert_eq!((&path.ufrag, path.peer.as_str(), path.active), (&first, "one", false));
    assert_eq!((path.fingerprint[0], &path.types[..]), (0xd2, &[111, 8, 0][..]));
    let mut alice = Phone::caller("alice", ALICE, &ok);
    rig.from(ALICE, &alice.numbered("ACK", 1, "", ""));
    // RFC 8840 §4.3: what its path is found by is between the page and us.
    let fragment = "a=ice-ufrag:one\na=candidate:1 1 udp 1 198.18.0.2 9 typ host\n";
    let kind = "Info-Package: trickle-ice\nContent-Type: application/trickle-ice-sdpfrag\n";
    rig.from(ALICE, &alice.request("INFO", kind, fragment));
    rig.one(ALICE, "SIP/2.0 200");
    assert!(rig.seen(BOB).is_empty());
    for (ufrag, kept) in [("one", true), ("two", false)] {
        let again =
            web(ufrag, "actpass", "a=sendonly\n").replace("1 2 IN", &format!("1 3{ufrag} IN"));
        let again = again.replace("3one", "3").replace("3two", "4");
        rig.from(ALICE, &alice.request("INVITE", "Content-Type: application/sdp\n", &again));
        let at_bob = rig.one(BOB, "INVITE");
        is_plain(&at_bob);
        assert!(has(&at_bob, "a=sendonly"), "{at_bob}");
        rig.from(BOB, &reply(&at_bob, "200 OK", "bt", "", &sdp(5_000)));
        rig.one(BOB, "ACK");
        let ok = rig.one(ALICE, "SIP/2.0 200");
        assert_eq!(value(&ok, "a=ice-ufrag:") == first, kept, "{ok}");
        rig.from(ALICE, &alice.numbered("ACK", value(&ok, "CSeq: ")[..1].parse().unwrap(), "", ""));
    }
    // Its path is gone: the call is over for both.
    let aimed = rig.others.iter().find_map(|output| match output {
        Output::Media(Command::Aim { stream, .. }) => Some(*stream),
        _ => None,
    });
    let stream = aimed.expect("a stream");
    let lost = media::Event::Lost { stream, seat: Seat::A, why: media::Loss::Consent };
    rig.handle(switchboard::Input::Media(lost));
    for who in [ALICE, BOB] {
        let bye = rig.one(who, "BYE");
        rig.from(who, &reply(&bye, "200 OK", "x", "", ""));
    }
    rig.is_clean();
}

/// Bob has a phone and a page: each is offered what it understands, and the page answers.
#[test]
fn a_phone_calls_a_phone_and_a_browser() {
    let mut rig = Rig::new();
    rig.binds_browser("bob", CAROL);
    rig.from(ALICE, &invite("bob"));
    let (at_phone, at_page) = (rig.one(BOB, "INVITE"), rig.one(CAROL, "INVITE"));
    is_plain(&at_phone);
    is_for_browsers(&at_page, "actpass", "0");
    let answer = web("page", "active", "").replace("audio\n", "0\n");
    rig.from(CAROL, &reply(&at_page, "200 OK", "ct", "", &answer));
    rig.one(CAROL, "ACK");
    let ok = rig.one(ALICE, "SIP/2.0 200");
    is_plain(&ok);
    let told = shields(&mut rig);
    let [(Seat::B, Shield::Web(path))] = &told[..] else { panic!("{told:?}") };
    assert_eq!(path.ufrag, value(&at_page, "a=ice-ufrag:"));
    assert_eq!((path.peer.as_str(), path.active), ("page", false));
}
