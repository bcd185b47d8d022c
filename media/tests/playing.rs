//! What is played to legs: heard by who shall hear it, as long as it shall, and by nobody else. And what they press.

mod room;

use std::time::Duration;

use media::events::Tone;
use media::tones::{Country, Signal};
use media::{Clip, ClipId, Command, Direction, Ending, Event, Play, Rate, Seat, TapId, Voice};
use room::{Room, STREAM, level};

const CLIP: ClipId = ClipId(7);
const PITCH: f64 = 1900.0;
const SOUND: u64 = 42;

/// A second of a tone.
fn clip() -> Clip {
    let form = |rate: Rate| {
        let turn = |n: usize| std::f64::consts::TAU * PITCH * n as f64 / f64::from(rate.hertz());
        (0..rate.hertz() as usize).map(|n| (turn(n).sin() * 2500.0) as i16).collect()
    };
    Clip { forms: Rate::ALL.map(form) }
}

fn play(room: &mut Room, seat: Option<Seat>, play: Play, alone: bool) {
    let command = Command::Play { stream: STREAM, seat, play, sound: SOUND, alone };
    room.engine.command(command, room.now);
}

fn clips(times: u32, from_ms: u64) -> Play {
    Play::Clips { clips: vec![CLIP], from: Duration::from_millis(from_ms), times }
}

fn loud(room: &Room, phone: usize, pitch: f64) -> f64 {
    level(&room.phones[phone].recent(3200), pitch)
}

/// Runs until something that was played has ended; how much of it was heard, and how it ended.
#[track_caller]
fn ended(room: &mut Room, who: Option<Seat>) -> (Duration, Ending) {
    for _ in 0..6000 {
        room.advance(1);
        if let Some(event) = room.events.pop() {
            let Event::Played { stream: STREAM, seat, sound: SOUND, after, how } = event else {
                panic!("{event:?}")
            };
            assert_eq!(seat, who);
            return (after, how);
        }
    }
    panic!("it never ended");
}

/// A phone that we answer ourselves: nobody else is there.
fn alone(seed: u64) -> Room {
    let mut room = Room::empty(seed);
    room.join(Voice::Nobody);
    room.engine.lend(CLIP, clip());
    room
}

#[test]
fn one_of_two_who_talk_hears_a_clip_beside_the_other() {
    let mut room = Room::call(1, 2);
    room.engine.lend(CLIP, clip());
    room.run(300);
    play(&mut room, Some(Seat::A), clips(1, 0), false);
    room.run(700);
    let other = room.phones[1].tone;
    assert!(loud(&room, 0, PITCH) > 1500.0 && loud(&room, 0, other) > 1500.0);
    assert!(loud(&room, 1, PITCH) < 60.0);
    room.run(2000);
    // It is over: packets pass again.
    assert_eq!(room.engine.deadline(), None);
    assert!(loud(&room, 0, PITCH) < 60.0 && loud(&room, 0, other) > 1500.0);
}

#[test]
fn music_on_hold_is_heard_alone_and_without_end() {
    let mut room = Room::call(2, 2);
    room.engine.lend(CLIP, clip());
    room.run(300);
    play(&mut room, Some(Seat::B), clips(0, 0), true);
    room.run(6000);
    let other = room.phones[0].tone;
    assert!(loud(&room, 1, PITCH) > 2000.0 && loud(&room, 1, other) < 60.0);
    assert!(loud(&room, 0, room.phones[1].tone) > 2000.0);
    let stop = |sound| Command::Stop { stream: STREAM, seat: Some(Seat::B), sound };
    room.engine.command(stop(Some(1)), room.now); // Another one: nothing changes.
    room.run(1000);
    assert!(room.events.is_empty() && loud(&room, 1, PITCH) > 2000.0);
    room.engine.command(stop(Some(SOUND)), room.now);
    room.run(1000);
    assert!(loud(&room, 1, PITCH) < 60.0 && loud(&room, 1, other) > 2000.0);
    let [Event::Played { seat: Some(Seat::B), how: Ending::Stopped, after, .. }] = room.events[..]
    else {
        panic!("{:?}", room.events)
    };
    assert!((6800..7100).contains(&after.as_millis()), "{after:?}");
    assert_eq!(room.engine.deadline(), None);
}

#[test]
fn a_leg_alone_hears_it_ring() {
    let mut room = alone(3);
    let ringing = Play::Tone { country: Country::Gb, signal: Signal::Ringing };
    play(&mut room, Some(Seat(2)), ringing, true);
    for _ in 0..320 {
        room.advance(10);
    }
    // Two rings of 0.4 s with 0.2 s between, then silence for two seconds.
    let heard = &room.phones[0].heard;
    assert!(level(&heard[..3000], 400.0) > 2000.0 && level(&heard[..3000], 450.0) > 2000.0);
    assert!(heard[8160..23_000].iter().all(|sample| sample.abs() < 16));
    for pair in room.phones[0].heads.windows(2) {
        assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1));
        assert_eq!(pair[1].timestamp, pair[0].timestamp.wrapping_add(160));
    }
}

/// Nobody has answered yet: a side without the other.
#[test]
fn a_caller_whose_far_side_is_not_there_yet_hears_what_is_played() {
    let mut room = Room::call(8, 1);
    room.engine.lend(CLIP, clip());
    play(&mut room, Some(Seat::A), clips(0, 0), true);
    for _ in 0..100 {
        room.advance(10);
    }
    assert!(loud(&room, 0, PITCH) > 2000.0);
}

#[test]
fn a_clip_lasts_as_long_as_it_is_and_begins_where_it_shall() {
    for (times, from, lasts) in [(1, 0, 1000), (2, 0, 2000), (1, 600, 400), (2, 600, 1400)] {
        let mut room = alone(4);
        play(&mut room, Some(Seat(2)), clips(times, from), true);
        let (after, how) = ended(&mut room, Some(Seat(2)));
        assert_eq!((after, how), (Duration::from_millis(lasts), Ending::Ended));
        let heard = &room.phones[0].heard;
        // Something in a quarter of its wave is louder than this.
        let sounds = heard.chunks(160).filter(|frame| frame.iter().any(|s| s.abs() > 1500)).count();
        assert_eq!(sounds as u64 * 20, lasts);
    }
}

#[test]
fn what_cannot_be_heard_ends_at_once_and_never_harms() {
    let mut room = alone(5);
    room.engine.forget(CLIP);
    let missing = (Duration::ZERO, Ending::Missing);
    // A clip that nobody lent, a seat where nobody sits, a stream that is not there.
    play(&mut room, Some(Seat(2)), clips(0, 0), true);
    assert_eq!(ended(&mut room, Some(Seat(2))), missing);
    play(&mut room, Some(Seat(9)), clips(0, 0), true);
    assert_eq!(ended(&mut room, Some(Seat(9))), missing);
    let stream = media::StreamKey { index: 9, ..STREAM };
    let (seat, sound, alone) = (Some(Seat(2)), SOUND, true);
    let late = Command::Play { stream, seat, play: clips(0, 0), sound, alone };
    room.engine.command(late, room.now);
    room.hear();
    let Some(Event::Played { how: Ending::Missing, .. }) = room.events.pop() else { panic!() };
    let stop = Command::Stop { stream: STREAM, seat: Some(Seat(9)), sound: None };
    room.engine.command(stop, room.now);
    // A leg that knows nothing of ours.
    let (seat, voice) = (Seat(2), Voice::All);
    let part = Command::Take { stream: STREAM, seat, sound: None, voice, chance: 1 };
    room.engine.command(part, room.now);
    play(&mut room, Some(Seat(2)), clips(0, 0), true);
    assert_eq!(ended(&mut room, Some(Seat(2))), missing);
}

#[test]
fn a_clip_that_is_taken_back_ends() {
    let mut room = alone(6);
    play(&mut room, Some(Seat(2)), clips(0, 0), true);
    for _ in 0..50 {
        room.advance(10);
    }
    room.engine.forget(CLIP);
    let (after, how) = ended(&mut room, Some(Seat(2)));
    assert_eq!(how, Ending::Ended);
    assert!((480..=520).contains(&after.as_millis()), "{after:?}");
}

#[test]
fn something_else_takes_the_place_of_what_was_played() {
    let mut room = alone(7);
    play(&mut room, Some(Seat(2)), clips(0, 0), true);
    room.run(500);
    let length = Duration::from_millis(300);
    play(&mut room, Some(Seat(2)), Play::Silence { length }, true);
    room.hear();
    let Some(Event::Played { how: Ending::Stopped, .. }) = room.events.pop() else { panic!() };
    assert_eq!(ended(&mut room, Some(Seat(2))), (length, Ending::Ended));
}

#[test]
fn a_guest_hears_what_is_played_to_him_alone() {
    let mut room = Room::call(7, 2);
    room.engine.lend(CLIP, clip());
    let third = room.join(Voice::Nobody);
    play(&mut room, Some(Seat(2)), clips(0, 0), false);
    room.run(1500);
    assert!(loud(&room, third, PITCH) > 1500.0 && loud(&room, third, room.phones[0].tone) > 1500.0);
    assert!(loud(&room, 0, PITCH) < 60.0 && loud(&room, 1, PITCH) < 60.0);
    assert_eq!(room.touched, 0);
    room.leave(third);
    room.run(200);
    assert_eq!(room.engine.deadline(), None);
}

#[test]
fn an_announcement_is_heard_by_all_beside_the_others_or_alone() {
    let mut room = Room::call(8, 2);
    room.engine.lend(CLIP, clip());
    let third = room.join(Voice::All);
    for alone in [false, true] {
        play(&mut room, None, clips(0, 0), alone);
        room.run(1500);
        for phone in 0..3 {
            assert!(loud(&room, phone, PITCH) > 1500.0, "{phone}");
            for other in (0..3).filter(|other| *other != phone) {
                let heard = loud(&room, phone, room.phones[other].tone);
                assert!(if alone { heard < 60.0 } else { heard > 1500.0 }, "{phone} {other}");
            }
            assert!(loud(&room, phone, room.phones[phone].tone) < 60.0, "never oneself");
        }
    }
    play(&mut room, None, clips(1, 0), true);
    room.run(2000);
    assert!(loud(&room, third, PITCH) < 60.0 && loud(&room, third, room.phones[0].tone) > 1500.0);
    let last = room.events.pop();
    assert!(matches!(last, Some(Event::Played { seat: None, how: Ending::Ended, .. })), "{last:?}");
}

#[test]
fn keys_are_sent_as_events_to_who_knows_them() {
    let mut room = alone(9);
    play(&mut room, Some(Seat(2)), Play::Keys { digits: "42#".into() }, false);
    let (after, how) = ended(&mut room, Some(Seat(2)));
    assert_eq!((after, how), (Duration::from_millis(600), Ending::Ended));
    let mut said = String::new();
    let mut last = None;
    for (header, payload) in &room.phones[0].keys {
        let tone = Tone::decode(payload).unwrap();
        if last.replace(header.timestamp) != Some(header.timestamp) {
            assert!(header.marker);
            said.extend(tone.key());
        }
    }
    assert_eq!(said, "42#");
    assert_eq!(room.phones[0].keys.len(), 3 * 8);
    assert!(room.phones[0].heard.iter().all(|sample| sample.abs() < 16), "no tone beside it");
}

#[test]
fn a_key_that_is_pressed_is_told_once_with_its_length() {
    let mut room = alone(10);
    room.run(200);
    for key in *b"159" {
        room.press(0, key);
        room.run(200);
    }
    let told: Vec<(u8, u128)> = room
        .events
        .drain(..)
        .map(|event| match event {
            Event::Key { stream: STREAM, seat: Seat(2), key, held } => (key, held.as_millis()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(told, [(b'1', 100), (b'5', 100), (b'9', 100)]);
}

#[test]
fn a_tap_hears_what_is_said_and_what_is_heard_at_its_own_rate() {
    let mut room = Room::call(11, 2);
    room.engine.lend(CLIP, clip());
    room.run(300);
    let tap = |tap, seat, rate, direction| {
        let tap = TapId(tap);
        Command::Tap { stream: STREAM, seat, tap, rate, direction }
    };
    room.engine.command(tap(1, Some(Seat::A), Rate::Narrow, Direction::Both), room.now);
    room.engine.command(tap(2, None, Rate::Wide, Direction::Both), room.now);
    room.run(1000);
    assert_eq!(room.touched, 0, "packets pass as they are");
    let (a, b) = (room.phones[0].tone, room.phones[1].tone);
    let sound = |room: &Room, tap: u64, channel: u8| {
        let frames = room.taken.iter().filter(|taken| (taken.0, taken.1) == (TapId(tap), channel));
        let mut all: Vec<i16> = Vec::new();
        for (_, _, at, samples) in frames {
            assert_eq!(*at, all.len() as u64, "no gap");
            all.extend(samples);
        }
        all
    };
    let last = |pcm: &[i16], tone: f64| level(&pcm[pcm.len() - 3200..], tone);
    let (said, heard) = (sound(&room, 1, 0), sound(&room, 1, 1));
    assert!((49..=50).contains(&(said.len() / 160)), "{}", said.len());
    assert!(last(&said, a) > 2000.0 && last(&said, b) < 60.0);
    assert!(last(&heard, b) > 2000.0 && last(&heard, a) < 60.0);
    let mix = sound(&room, 2, 0);
    // At twice the rate, by the measure of half of it.
    assert!(last(&mix, a / 2.0) > 1800.0 && last(&mix, b / 2.0) > 1800.0);
    assert_eq!(sound(&room, 2, 1), []);
    // What is played to it is heard, too.
    play(&mut room, Some(Seat::A), clips(0, 0), true);
    room.run(1000);
    let heard = sound(&room, 1, 1);
    assert!(last(&heard, PITCH) > 2000.0 && last(&heard, b) < 60.0);
    room.engine.command(Command::Untap { tap: TapId(1) }, room.now);
    let count = room.taken.len();
    room.engine
        .command(Command::Stop { stream: STREAM, seat: Some(Seat::A), sound: None }, room.now);
    room.engine.command(Command::Close { bridge: STREAM.bridge }, room.now);
    room.hear();
    let untapped = room.events.iter().filter_map(|event| match event {
        Event::Untapped { tap, .. } => Some(tap.0),
        _ => None,
    });
    assert_eq!(untapped.collect::<Vec<_>>(), [1, 2]);
    assert_eq!((room.taken.len(), room.engine.deadline()), (count, None));
}

#[test]
fn a_tap_of_nobody_or_one_too_many_ends_at_once() {
    let mut room = alone(12);
    let tap = |tap, seat| {
        let (tap, rate, direction) = (TapId(tap), Rate::Narrow, Direction::In);
        Command::Tap { stream: STREAM, seat, tap, rate, direction }
    };
    room.engine.command(tap(1, Some(Seat(3))), room.now);
    for id in 2..3 + media::TAPS_MAX as u64 {
        room.engine.command(tap(id, Some(Seat(2))), room.now);
    }
    room.hear();
    let last = TapId(2 + media::TAPS_MAX as u64);
    let ended = [TapId(1), last].map(|tap| Event::Untapped { stream: STREAM, tap });
    assert_eq!(room.events, ended);
    room.run(100);
    assert_eq!(room.taken.len(), 5 * media::TAPS_MAX);
    room.leave(0);
    room.hear();
    assert_eq!(room.events.len(), 2 + media::TAPS_MAX);
}
