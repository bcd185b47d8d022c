//! Who is put on hold hears music: who it is, when it plays, and what both phones are told.

mod rig;

use std::time::Duration;

use media::{ClipId, Command, Event, Play, Seat, StreamKey};
use rig::phones::*;
use rig::*;
use switchboard::clip::SoundOrder;
use switchboard::{ClipFact, ClipSource, Input, Output, Reply, SoundFault, Ticket};

const SUITE: &str = "AES_CM_128_HMAC_SHA1_80";
const ALICES: &str = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj";
const BOBS: &str = "NzB4d1BINUAvLEw6UzF3WSJ+PSdFcGdUJShpX1Zj";

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

/// The clip that is asked for, and the ticket of its answer.
fn asked(rig: &mut Rig) -> Option<(Ticket, ClipSource)> {
    let place = rig.others.iter().position(|output| matches!(output, Output::Sound(_)))?;
    match rig.others.remove(place) {
        Output::Sound(SoundOrder::Clip { ticket, source }) => Some((ticket, source)),
        other => panic!("{other:?}"),
    }
}

fn answers(rig: &mut Rig, ticket: Ticket, clip: Result<u128, SoundFault>) {
    let fact = |id| ClipFact {
        id: ClipId(id),
        length: Duration::from_secs(8),
        address: "/media/x.wav".into(),
        octets: 9,
    };
    rig.handle(Input::Reply { ticket, reply: Reply::Clip(clip.map(fact)) });
}

fn listens(told: &[Command]) -> Option<(StreamKey, Seat, bool)> {
    told.iter().find_map(|command| match command {
        Command::Listen { stream, seat, silence } => Some((*stream, *seat, silence.is_some())),
        _ => None,
    })
}

fn plays(told: &[Command]) -> Option<Seat> {
    told.iter().find_map(|command| match command {
        Command::Play { seat, play: Play::Clips { times: 0, .. }, alone: true, .. } => *seat,
        _ => None,
    })
}

fn stops(told: &[Command]) -> bool {
    told.iter().any(|command| matches!(command, Command::Stop { .. }))
}

/// A side changes the session; the other answers. What each was told.
fn change(
    rig: &mut Rig,
    (who, at): (&mut Phone, &'static str),
    (offer, answer): (&str, &str),
) -> (String, String) {
    let (port, far) = if who.address == ALICE { (4_000, 5_000) } else { (5_000, 4_000) };
    rig.from(who.address, &who.request("INVITE", "", &format!("{}{offer}", sdp(port))));
    let there = rig.one(at, "INVITE");
    rig.from(at, &reply(&there, "200 OK", "x", "", &format!("{}{answer}", sdp(far))));
    rig.one(at, "ACK");
    let back = rig.one(who.address, "SIP/2.0 200");
    let ack = who.request("ACK", "", "");
    rig.from(who.address, &ack);
    (there, back)
}

fn silent(rig: &mut Rig, stream: StreamKey, seat: Seat) {
    let after = Duration::ZERO;
    rig.handle(Input::Media(Event::Silent { stream, seat, after }));
}

#[test]
fn music_plays_from_the_hold_to_the_end_of_it() {
    let mut rig = Rig::new();
    let (mut alice, mut bob, _, _) = talk_with(&mut rig, "", "");
    media(&mut rig);
    assert!(asked(&mut rig).is_none(), "nobody waits");
    change(&mut rig, (&mut alice, BOB), ("a=sendonly\n", "a=recvonly\n"));
    let (stream, seat, on) = listens(&media(&mut rig)).expect("whether Alice says something");
    assert!(on && seat == Seat::A);
    let (ticket, source) = asked(&mut rig).expect("a clip");
    assert!(matches!(source, ClipSource::Bytes { .. }), "the music of the house");
    answers(&mut rig, ticket, Ok(7));
    assert_eq!(plays(&media(&mut rig)), None, "she may play something herself");
    silent(&mut rig, stream, seat);
    assert_eq!(plays(&media(&mut rig)), Some(Seat::B));
    // Her phone plays something of its own: it is left alone for so long.
    rig.handle(Input::Media(Event::Voiced { stream, seat }));
    assert!(stops(&media(&mut rig)));
    silent(&mut rig, stream, seat);
    assert_eq!(plays(&media(&mut rig)), Some(Seat::B));
    // He keeps her waiting, too: nobody hears anything.
    change(&mut rig, (&mut bob, ALICE), ("a=inactive\n", "a=inactive\n"));
    let told = media(&mut rig);
    assert!(stops(&told) && listens(&told).is_some_and(|(_, _, on)| !on), "{told:?}");
    // He comes back, she does not: he waits again, and the clip is asked for by its name.
    let (_, back) = change(&mut rig, (&mut bob, ALICE), ("", "a=inactive\n"));
    assert!(back.contains("a=sendonly"), "he hears something: {back}");
    let (ticket, source) = asked(&mut rig).expect("a clip");
    assert_eq!(source, ClipSource::Known(ClipId(7)));
    silent(&mut rig, stream, seat);
    answers(&mut rig, ticket, Ok(7));
    assert_eq!(plays(&media(&mut rig)), Some(Seat::B));
    let (there, back) = change(&mut rig, (&mut alice, BOB), ("", ""));
    assert!(!there.contains("inactive") && !back.contains("inactive"));
    assert!(stops(&media(&mut rig)));
    rig.from(ALICE, &alice.request("BYE", "", ""));
    let bye = rig.one(BOB, "BYE");
    rig.from(BOB, &reply(&bye, "200 OK", "bt", "", ""));
    rig.is_clean();
}

/// RFC 3264 §8.4: who says that nothing shall pass keeps the other waiting as well. The other is told that he will hear
/// something, and the one who asked gets the answer that he must get. Holds of old phones name no address.
#[test]
fn all_ways_of_holding_are_known() {
    for (hold, told, answer) in [
        ("a=inactive\n", "a=sendonly", "a=recvonly\n"),
        ("a=inactive\n", "a=sendonly", "a=inactive\n"),
        ("c=IN IP4 0.0.0.0\n", "m=audio", ""),
    ] {
        let mut rig = Rig::new();
        let (_, mut bob, _, _) = talk_with(&mut rig, "", "");
        media(&mut rig);
        let (there, back) = change(&mut rig, (&mut bob, ALICE), (hold, answer));
        assert!(there.contains(told) && !there.contains("a=inactive"), "{there}");
        assert_eq!(back.contains("a=inactive"), hold.contains("inactive"), "{back}");
        // Who answers that he does not listen is played nothing.
        let listens = listens(&media(&mut rig)).map(|(_, seat, _)| seat);
        assert_eq!(listens.is_some(), !answer.contains("inactive"), "{hold}");
        assert!(listens.is_none_or(|seat| seat == Seat::B));
    }
}

#[test]
fn a_hold_that_is_refused_changes_nothing() {
    let mut rig = Rig::new();
    let (mut alice, _, _, _) = talk_with(&mut rig, "", "");
    let hold = sdp(4_000) + "a=sendonly\n";
    rig.from(ALICE, &alice.request("INVITE", "", &hold));
    let there = rig.one(BOB, "INVITE");
    rig.from(BOB, &reply(&there, "488 No", "bt", "", ""));
    rig.one(ALICE, "SIP/2.0 488");
    assert!(asked(&mut rig).is_none() && listens(&media(&mut rig)).is_none());
}

#[test]
fn the_setting_names_what_is_heard_and_can_say_nothing() {
    let url = "http://127.0.0.1:9/wait.mp3";
    for music in ["", url] {
        let settings = calls::Config { hold_music: music.into(), ..calls::Config::default() };
        let mut rig = Rig::of(1, settings);
        let (mut alice, _, _, _) = talk_with(&mut rig, "", "");
        let (there, _) = change(&mut rig, (&mut alice, BOB), ("a=inactive\n", "a=inactive\n"));
        assert_eq!(there.contains("a=inactive"), music.is_empty());
        change(&mut rig, (&mut alice, BOB), ("a=sendonly\n", "a=recvonly\n"));
        let Some((ticket, source)) = asked(&mut rig) else {
            assert!(music.is_empty());
            continue;
        };
        assert_eq!(source, ClipSource::Url { url: url.into(), even: false });
        let (stream, seat, _) = listens(&media(&mut rig)).expect("whether Alice says something");
        silent(&mut rig, stream, seat);
        answers(&mut rig, ticket, Err(SoundFault::NotFetched));
        assert_eq!(plays(&media(&mut rig)), None, "there is nothing to play");
        assert!(asked(&mut rig).is_none(), "it is asked for once");
    }
}

/// Two phones that settled their keys between themselves hear music as well, without a word about other keys.
#[test]
fn keys_that_pass_are_used() {
    let keyed = |port, key: &str| {
        let lines = format!("{}a=crypto:1 {SUITE} inline:{key}\n", sdp(port));
        lines.replace("RTP/AVP", "RTP/SAVP")
    };
    let mut rig = Rig::new();
    rig.from(ALICE, &invite_with("bob", "", &keyed(4_000, ALICES)));
    let at_bob = rig.one(BOB, "INVITE");
    let answer = keyed(5_000, BOBS).replace("RTP/SAVP", "RTP/AVP");
    rig.from(BOB, &reply(&at_bob, "200 OK", "bt", "", &answer));
    rig.one(BOB, "ACK");
    let ok = rig.one(ALICE, "SIP/2.0 200");
    let mut alice = Phone::caller("alice", ALICE, &ok);
    rig.from(ALICE, &alice.numbered("ACK", 1, "", ""));
    media(&mut rig);
    let mut again = |rig: &mut Rig, way: (&str, &str)| {
        rig.from(ALICE, &alice.request("INVITE", "", &(keyed(4_000, ALICES) + way.0)));
        let there = rig.one(BOB, "INVITE");
        assert!(there.contains(ALICES), "{there}");
        rig.from(BOB, &reply(&there, "200 OK", "bt", "", &format!("{answer}{}", way.1)));
        rig.one(BOB, "ACK");
        let back = rig.one(ALICE, "SIP/2.0 200");
        assert!(back.contains(BOBS), "{back}");
        rig.from(ALICE, &alice.request("ACK", "", ""));
        media(rig)
    };
    let keys = |told: &[Command]| {
        let found = told.iter().filter_map(|command| match command {
            Command::Shield {
                seat, shield: media::Shield::Keys(keys), chance: Some(_), ..
            } => Some((*seat, keys.ours.clone(), keys.theirs.clone())),
            _ => None,
        });
        found.collect::<Vec<_>>()
    };
    let told = again(&mut rig, ("a=sendonly\n", "a=recvonly\n"));
    let [(Seat::A, bobs, alices), (Seat::B, to_bob, of_bob)] = &keys(&told)[..] else {
        panic!("{told:?}")
    };
    assert!(bobs == of_bob && alices == to_bob && bobs != alices, "each hears the other's key");
    assert!(listens(&told).is_some());
    let told = again(&mut rig, ("", ""));
    assert_eq!(keys(&told).len(), 2, "the same keys are used from then on");

    // After a kill as well.
    let kept = rig.others.iter().rev().find_map(|output| match output {
        Output::Save { entry, .. } => Some(entry.clone()),
        _ => None,
    });
    let mut next = Rig::new();
    next.handle(Input::Adopt(kept.expect("the call")));
    next.handle(Input::Begin);
    assert_eq!(keys(&media(&mut next)).len(), 2);
}

/// The process dies while somebody waits: he hears music again.
#[test]
fn music_comes_back_after_a_kill() {
    let mut rig = Rig::new();
    let (mut alice, _, _, _) = talk_with(&mut rig, "", "");
    change(&mut rig, (&mut alice, BOB), ("a=sendonly\n", "a=recvonly\n"));
    let kept = rig.others.iter().rev().find_map(|output| match output {
        Output::Save { entry, .. } => Some(entry.clone()),
        _ => None,
    });
    let mut next = Rig::new();
    next.handle(Input::Adopt(kept.expect("the call")));
    next.handle(Input::Begin);
    let (stream, seat, _) = listens(&media(&mut next)).expect("whether Alice says something");
    let (ticket, _) = asked(&mut next).expect("a clip");
    answers(&mut next, ticket, Ok(7));
    silent(&mut next, stream, seat);
    assert_eq!(plays(&media(&mut next)), Some(Seat::B));
}
