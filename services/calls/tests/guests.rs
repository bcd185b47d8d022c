//! Others in a call of two: they call its address, listen in or join, and leave.

mod rig;

use std::time::Duration;

use calls::GUESTS_MAX;
use media::{Command, Seat, Shield, StreamKey, Voice};
use rig::phones::*;
use rig::*;
use switchboard::group::{Group, Instruction, Member, Others, Role};
use switchboard::notice::CallFacts;
use switchboard::part::Part;
use switchboard::{Input, Output};
use types::{SessionId, tagged};

/// Alice and Carol are a group whose members let the others do this with their calls; Frank listens there only.
fn rig_of(shards: usize, others: Others) -> Rig {
    let member = |user: &str, role| Member { user: user.into(), role, ..Member::default() };
    let mut group = Group {
        name: "desk".into(),
        members: vec![
            member("alice", Role::Talk),
            member("carol", Role::Talk),
            member("frank", Role::Listen),
        ],
        ..Group::default()
    };
    group.instructions.call = Instruction { others: Some(others), ..Instruction::default() };
    Rig::with(shards, calls::Config::default(), Some(group))
}

fn rig(others: Others) -> Rig {
    rig_of(1, others)
}

/// The call that goes on, as the room tells of it.
fn call_of(rig: &Rig) -> SessionId {
    let found = rig.others.iter().rev().find_map(|output| match output {
        Output::Save { entry, .. } if !entry.last => saved_call(&entry.body),
        _ => None,
    });
    found.expect("a call was kept")
}

/// The facts somewhere in what was kept of a session.
fn saved_call(bytes: &[u8]) -> Option<SessionId> {
    record(bytes).map(|facts| facts.session)
}

fn record(bytes: &[u8]) -> Option<CallFacts> {
    CallFacts::decode(bytes).or_else(|| {
        tagged::Reader::new(bytes).find_map(|(_, field)| {
            let inner = field.0;
            CallFacts::decode(inner).or_else(|| {
                tagged::Reader::new(inner).find_map(|(_, field)| CallFacts::decode(field.0))
            })
        })
    })
}

/// An INVITE of this user to the address of the call.
fn comes(rig: &mut Rig, user: &'static str, who: &'static str, part: Part, body: &str) -> String {
    let call = call_of(rig);
    asks(rig, user, who, &part.address(call), body)
}

fn asks(rig: &mut Rig, user: &'static str, who: &'static str, to: &str, body: &str) -> String {
    rig.seen(who);
    let text = invite_with(to, "", body)
        .replace(ALICE, who)
        .replace("\"Alice\" <sip:alice@localhost>;tag=at", &format!("<sip:{user}@localhost>;tag=g"))
        .replace("sip:alice@", &format!("sip:{user}@"))
        .replace("c1", &format!("guest-of-{user}-{}", rig.clock.now.0))
        .replace("z9hG4bKa1", &format!("z9hG4bK{user}{}", rig.clock.now.0));
    rig.from(who, &text);
    rig.wait(Duration::from_millis(1));
    rig.seen(who).pop().expect("an answer")
}

/// Carol's phone in her dialog: the Contact that she got names the conference, behind it stands `isfocus`.
fn guest(ok: &str) -> Phone {
    let phone = Phone::caller("carol", CAROL, ok);
    let target = phone.target.replace(">;isfocus", "");
    Phone { target, ..phone }
}

/// What the pump was told since the last look.
fn media(rig: &mut Rig) -> Vec<Command> {
    let told = rig.others.iter().filter_map(|output| match output {
        Output::Media(command) => Some(command.clone()),
        _ => None,
    });
    let told = told.collect();
    rig.others.retain(|output| !matches!(output, Output::Media(_)));
    told
}

/// Who takes which part, in the order in which it was said.
fn parts(told: &[Command]) -> Vec<(u16, Voice)> {
    let parts = told.iter().filter_map(|command| match command {
        Command::Take { seat, voice, sound: Some(_), .. } => Some((seat.0, *voice)),
        _ => None,
    });
    parts.collect()
}

fn acks(rig: &mut Rig, phone: &Phone) {
    rig.from(phone.address, &phone.numbered("ACK", 1, "", ""));
}

/// The record of the call that ended.
fn the_record(rig: &Rig) -> CallFacts {
    let found = rig.others.iter().rev().find_map(|output| match output {
        Output::Save { entry, .. } if entry.last => record(&entry.body),
        _ => None,
    });
    found.expect("a record")
}

#[test]
fn a_member_listens_in_and_leaves() {
    let mut rig = rig(Others::Listen);
    let (mut alice, _, _, _) = talk_with(&mut rig, "", "");
    media(&mut rig);
    let ok = comes(&mut rig, "carol", CAROL, Part::Listen, &sdp(6_000));
    assert!(ok.starts_with("SIP/2.0 200") && ok.contains("RTP/AVP 0"), "{ok}");
    let mut carol = guest(&ok);
    acks(&mut rig, &carol);
    let told = media(&mut rig);
    let all = [(0, Voice::All), (1, Voice::All), (2, Voice::Nobody)];
    assert_eq!(parts(&told), all, "{told:?}");
    let aimed = told.iter().any(|command| {
        matches!(command, Command::Aim { seat: Seat(2), rtp, receives: true, .. } if rtp.port() == 6_000)
    });
    assert!(aimed, "{told:?}");
    assert!(rig.seen(ALICE).is_empty() && rig.seen(BOB).is_empty(), "the two notice nothing");
    // He holds, and comes back.
    let hold = sdp(6_000) + "a=inactive\n";
    rig.from(CAROL, &carol.request("INVITE", "", &hold));
    assert!(rig.one(CAROL, "SIP/2.0 200").contains("a=inactive"));
    acks_of(&mut rig, &mut carol);
    assert!(
        media(&mut rig).iter().any(|command| {
            matches!(command, Command::Aim { seat: Seat(2), receives: false, .. })
        })
    );
    let stream = told.iter().find_map(|command| match command {
        Command::Admit { stream, .. } => Some(*stream),
        _ => None,
    });
    let quality = Box::new(media::Quality { packets: 7, ..media::Quality::default() });
    let figures =
        media::Event::Figures { stream: stream.expect("a stream"), seat: Seat(2), quality };
    rig.handle(Input::Media(figures));
    let (_, shown) = rig.api(0, "");
    assert_eq!(shown["items"][0]["guests"][0]["quality"]["packets"], 7, "{shown}");
    rig.from(CAROL, &carol.request("BYE", "", ""));
    rig.one(CAROL, "SIP/2.0 200");
    assert!(media(&mut rig).iter().any(|told| matches!(told, Command::Leave { .. })));
    assert_eq!(rig.gauge("ports_left"), 48, "his port is free");
    rig.from(ALICE, &alice.request("BYE", "", ""));
    let bye = rig.one(BOB, "BYE");
    rig.from(BOB, &reply(&bye, "200 OK", "bt", "", ""));
    let [guest] = &the_record(&rig).guests[..] else { panic!("one guest") };
    assert!(guest.user == "carol" && !guest.joined && guest.ended.is_some(), "{guest:?}");
    assert_eq!(guest.quality.as_ref().map(|quality| quality.packets), Some(7));
    rig.is_clean();
}

/// What a page says of itself.
fn page() -> String {
    let print = ["AB"; 32].join(":");
    format!(
        "v=0\no=- 1 2 IN IP4 127.0.0.1\ns=-\nt=0 0\na=group:BUNDLE 0\n\
         m=audio 9 UDP/TLS/RTP/SAVPF 111 0\nc=IN IP4 0.0.0.0\na=ice-ufrag:carol\n\
         a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\na=fingerprint:sha-256 {print}\n\
         a=setup:actpass\na=mid:0\na=rtcp-mux\na=rtpmap:111 opus/48000/2\na=ssrc:1 cname:x\n"
    )
}

fn shield(told: &[Command], seat: Seat) -> Option<Shield> {
    told.iter().find_map(|command| match command {
        Command::Shield { seat: whose, shield, .. } if *whose == seat => Some(shield.clone()),
        _ => None,
    })
}

/// RFC 8829, RFC 4568: a page and a phone with keys listen as any phone does, each by what protects its media.
#[test]
fn a_browser_and_a_phone_with_keys_listen_in() {
    let mut rig = rig(Others::Listen);
    let (mut alice, _, _, _) = talk_with(&mut rig, "", "");
    media(&mut rig);
    let ok = comes(&mut rig, "carol", CAROL, Part::Listen, &page());
    assert!(ok.starts_with("SIP/2.0 200") && ok.contains("UDP/TLS/RTP/SAVPF 111"), "{ok}");
    for line in ["a=ice-lite", "a=setup:passive", "a=mid:0", "a=rtcp-mux"] {
        assert!(has(&ok, line), "{line}: {ok}");
    }
    let carol = guest(&ok);
    acks(&mut rig, &carol);
    let told = media(&mut rig);
    let Some(Shield::Web(path)) = shield(&told, Seat(2)) else { panic!("{told:?}") };
    assert_eq!((path.peer.as_str(), &path.types[..]), ("carol", &[111, 0][..]));
    // Its path is gone: it leaves, and the two go on.
    let stream = told.iter().find_map(|command| match command {
        Command::Admit { stream, .. } => Some(*stream),
        _ => None,
    });
    let (stream, seat, why) = (stream.expect("a stream"), Seat(2), media::Loss::Consent);
    rig.handle(Input::Media(media::Event::Lost { stream, seat, why }));
    let bye = rig.one(CAROL, "BYE");
    rig.from(CAROL, &reply(&bye, "200 OK", "g", "", ""));
    assert!(media(&mut rig).iter().any(|told| matches!(told, Command::Leave { .. })));
    assert!(rig.seen(ALICE).is_empty() && rig.seen(BOB).is_empty());
    let key =
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5\n";
    let keyed = sdp(6_000).replace("RTP/AVP", "RTP/SAVP") + key;
    let ok = comes(&mut rig, "carol", CAROL, Part::Listen, &keyed);
    assert!(ok.contains("RTP/SAVP 0") && ok.contains("a=crypto:1 AES_CM_128"), "{ok}");
    let told = media(&mut rig);
    let Some(Shield::Keys(keys)) = shield(&told, Seat(2)) else { panic!("{told:?}") };
    assert!(keys.theirs.starts_with(b"0123456789") && keys.theirs != keys.ours);
    let carol = guest(&ok);
    acks(&mut rig, &carol);
    rig.from(ALICE, &alice.request("BYE", "", ""));
    for who in [BOB, CAROL] {
        let bye = rig.one(who, "BYE");
        rig.from(who, &reply(&bye, "200 OK", "g", "", ""));
    }
    rig.is_clean();
}

fn acks_of(rig: &mut Rig, phone: &mut Phone) {
    let text = phone.numbered("ACK", phone.cseq, "", "");
    rig.from(phone.address, &text);
}

/// The phone that comes, the call and its two may live on different shards.
#[test]
fn a_member_joins_and_the_end_of_the_call_is_his() {
    for others in 0..4 {
        let mut rig = rig_of(4, Others::Join);
        let (mut alice, _, _, _) = talk_with(&mut rig, "", "");
        media(&mut rig);
        rig.wait(Duration::from_millis(others));
        let ok = comes(&mut rig, "carol", CAROL, Part::Join, &sdp(6_000));
        assert!(ok.starts_with("SIP/2.0 200"), "{ok}");
        let carol = guest(&ok);
        acks(&mut rig, &carol);
        let told = media(&mut rig);
        assert_eq!(parts(&told), [(0, Voice::All), (1, Voice::All), (2, Voice::All)]);
        rig.from(ALICE, &alice.request("BYE", "", ""));
        let bye = rig.one(CAROL, "BYE");
        rig.from(CAROL, &reply(&bye, "200 OK", "g", "", ""));
        let bye = rig.one(BOB, "BYE");
        rig.from(BOB, &reply(&bye, "200 OK", "bt", "", ""));
        let [guest] = &the_record(&rig).guests[..] else { panic!("one guest") };
        assert!(guest.joined && guest.ended.is_some(), "{guest:?}");
        rig.wait(Duration::from_secs(120));
        for name in ["sessions", "legs", "server_transactions", "client_transactions"] {
            assert_eq!(rig.gauge(name), 0, "{name} are left");
        }
    }
}

#[test]
fn an_invite_without_a_description_gets_our_offer() {
    let mut rig = rig(Others::Join);
    talk_with(&mut rig, "", "");
    media(&mut rig);
    let ok = comes(&mut rig, "carol", CAROL, Part::Join, "");
    assert!(ok.contains("RTP/AVP 111 9 0 8 101 110\r\na=rtpmap:111 opus/48000/2\r\n"), "{ok}");
    assert!(parts(&media(&mut rig)).iter().all(|(seat, _)| *seat < 2));
    let carol = guest(&ok);
    rig.from(CAROL, &carol.numbered("ACK", 1, "", &sdp(6_000)));
    assert_eq!(parts(&media(&mut rig)), [(2, Voice::All)]);
}

#[test]
fn who_may_not_is_told_why() {
    let refused = |rig: &mut Rig, user, who, to: &str, status: &str, code: &str| {
        let answer = asks(rig, user, who, to, &sdp(6_000));
        assert!(answer.starts_with(&format!("SIP/2.0 {status}")), "{answer}");
        assert!(answer.contains(code), "{answer}");
    };
    let mut rig = rig(Others::Listen);
    rig.from(ALICE, &invite_with("bob", "", &sdp(4_000)));
    let at_bob = rig.one(BOB, "INVITE");
    // Nothing of a call that rings is kept with a name of its own; the address is made from the leg's session.
    rig.from(BOB, &reply(&at_bob, "180 Ringing", "bt", "", ""));
    let call = call_of(&rig);
    let (listen, join) = (Part::Listen.address(call), Part::Join.address(call));
    refused(&mut rig, "carol", CAROL, &listen, "480", "calls.not_answered");
    rig.from(BOB, &reply(&at_bob, "200 OK", "bt", "", &sdp(5_000)));
    rig.one(BOB, "ACK");
    refused(&mut rig, "carol", CAROL, &join, "403", "calls.may_not_join");
    refused(&mut rig, "bob", BOB, &listen, "403", "calls.may_not_join");
    refused(&mut rig, "alice", ALICE, &listen, "403", "calls.may_not_join");
    refused(&mut rig, "stranger", CAROL, &listen, "403", "calls.may_not_join");
    let nowhere = Part::Listen.address(SessionId(call.0 ^ 1));
    refused(&mut rig, "carol", CAROL, &nowhere, "481", "calls.no_such_call");
    let ok = comes(&mut rig, "frank", FRANK, Part::Listen, &sdp(6_100));
    assert!(ok.starts_with("SIP/2.0 200"), "{ok}");
    let encrypted = sdp(6_000).replace("RTP/AVP", "RTP/SAVP");
    let answer = comes(&mut rig, "carol", CAROL, Part::Listen, &encrypted);
    assert!(answer.starts_with("SIP/2.0 488"), "{answer}");
    assert_eq!(rig.gauge("ports_left"), 47, "only the one who listens has a port");
}

#[test]
fn a_listener_of_the_group_never_joins() {
    let mut rig = rig(Others::Join);
    talk_with(&mut rig, "", "");
    let answer = comes(&mut rig, "frank", FRANK, Part::Join, &sdp(6_000));
    assert!(answer.starts_with("SIP/2.0 403"), "{answer}");
    let answer = comes(&mut rig, "frank", FRANK, Part::Listen, &sdp(6_000));
    assert!(answer.starts_with("SIP/2.0 200"), "{answer}");
}

#[test]
fn the_limit_of_guests_has_its_answer() {
    let mut rig = rig(Others::Join);
    talk_with(&mut rig, "", "");
    for _ in 0..GUESTS_MAX {
        rig.wait(Duration::from_millis(1));
        let answer = comes(&mut rig, "carol", CAROL, Part::Listen, &sdp(6_000));
        assert!(answer.starts_with("SIP/2.0 200"), "{answer}");
    }
    let answer = comes(&mut rig, "carol", CAROL, Part::Listen, &sdp(6_000));
    assert!(answer.starts_with("SIP/2.0 486") && answer.contains("calls.guests_full"), "{answer}");
}

/// Who may be heard by others speaks what can be mixed, and other calls what they like.
#[test]
fn only_calls_that_others_may_hear_are_narrowed() {
    let rich = sdp(4_000).replace(
        "RTP/AVP 0\n",
        "RTP/AVP 96 0 98\na=rtpmap:96 opus/48000/2\na=rtpmap:98 speex/8000\n",
    );
    let mut rig = rig(Others::Told);
    rig.from(ALICE, &invite_with("bob", "", &rich));
    assert!(rig.one(BOB, "INVITE").contains("speex"));
    let mut rig = self::rig(Others::Listen);
    rig.from(ALICE, &invite_with("bob", "", &rich));
    let at_bob = rig.one(BOB, "INVITE");
    assert!(at_bob.contains("RTP/AVP 96 0 9\r\n") && !at_bob.contains("speex"), "{at_bob}");
    // Bob has nothing of the kind: the two talk, and nobody else hears it.
    let odd = sdp(5_000).replace("RTP/AVP 0\n", "RTP/AVP 98\na=rtpmap:98 speex/8000\n");
    rig.from(BOB, &reply(&at_bob, "200 OK", "bt", "", &odd));
    rig.one(BOB, "ACK");
    rig.one(ALICE, "SIP/2.0 200");
    let answer = comes(&mut rig, "carol", CAROL, Part::Listen, &sdp(6_000));
    assert!(answer.starts_with("SIP/2.0 488") && answer.contains("calls.cannot_mix"), "{answer}");
}

/// The one who stays goes to another bridge, and the guest with him.
#[test]
fn a_transfer_takes_the_guest_along() {
    let mut rig = rig(Others::Join);
    let (mut alice, mut bob, _, _) = talk_with(&mut rig, "", "");
    let ok = comes(&mut rig, "carol", CAROL, Part::Join, &sdp(6_000));
    acks(&mut rig, &guest(&ok));
    let port = |told: &[Command]| {
        told.iter().find_map(|command| match command {
            Command::Admit { stream, port, .. } => Some((*stream, *port)),
            _ => None,
        })
    };
    let (before, own): (StreamKey, u16) = port(&media(&mut rig)).expect("a seat");
    let refer = bob.request("REFER", "Refer-To: <sip:frank@localhost>\n", "");
    rig.from(BOB, &refer);
    let at_frank = rig.one(FRANK, "INVITE");
    rig.from(FRANK, &reply(&at_frank, "200 OK", "ft", "", &sdp(6_200)));
    let again = rig.one(ALICE, "INVITE");
    rig.from(ALICE, &reply(&again, "200 OK", "at", "", &sdp(4_000)));
    let told = media(&mut rig);
    let (after, port) = port(&told).expect("a seat at the new bridge");
    assert!(after.bridge != before.bridge && port == own, "{told:?}");
    assert_eq!(parts(&told)[..], [(0, Voice::All), (1, Voice::All), (2, Voice::All)]);
    rig.from(ALICE, &alice.request("BYE", "", ""));
    let bye = rig.one(CAROL, "BYE");
    rig.from(CAROL, &reply(&bye, "200 OK", "g", "", ""));
}

#[test]
fn a_killed_process_comes_back_with_the_guest() {
    let mut rig = rig(Others::Join);
    let (mut alice, _, _, _) = talk_with(&mut rig, "", "");
    let ok = comes(&mut rig, "carol", CAROL, Part::Join, &sdp(6_000));
    let carol = guest(&ok);
    acks(&mut rig, &carol);
    let told = media(&mut rig);
    let admitted =
        |told: &[Command]| told.iter().find(|told| matches!(told, Command::Admit { .. })).cloned();
    // The newest word about each thing, as the log has it: the call, and the leg that came from another slot.
    let mut kept: Vec<switchboard::store::Entry> = Vec::new();
    for output in &rig.others {
        if let Output::Save { entry, .. } = output {
            kept.retain(|known| (known.kind, known.key) != (entry.kind, entry.key));
            kept.push(entry.clone());
        }
    }
    let mut next = self::rig(Others::Join);
    next.clock = rig.clock;
    for entry in kept.into_iter().filter(|entry| !entry.last) {
        next.handle(Input::Adopt(entry));
    }
    next.handle(Input::Begin);
    let again = media(&mut next);
    assert_eq!(admitted(&again), admitted(&told), "the same seat with the same port");
    assert_eq!(parts(&again).last(), Some(&(2, Voice::All)));
    // The ACK may have been lost with the process: the answer is said again, and so is the ACK.
    next.wait(Duration::from_secs(1));
    next.one(CAROL, "SIP/2.0 200");
    acks(&mut next, &carol);
    next.from(ALICE, &alice.request("BYE", "", ""));
    let bye = next.one(CAROL, "BYE");
    next.from(CAROL, &reply(&bye, "200 OK", "g", "", ""));
    assert_eq!(the_record(&next).guests.len(), 1);
}
