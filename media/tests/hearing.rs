//! Legs that we answer ourselves: who speaks, what is fed to them, and how they go from one stream to another.

mod room;

use std::time::Duration;

use media::{Command, Direction, Ending, Event, FeedId, Play, Rate, Seat, StreamKey, TapId, Voice};
use room::{Room, STREAM, level};

const OTHER: StreamKey = StreamKey { index: 1, ..STREAM };
const FEED: FeedId = FeedId(3);
const PITCH: f64 = 1900.0;

fn loud(room: &Room, phone: usize, pitch: f64) -> f64 {
    level(&room.phones[phone].recent(3200), pitch)
}

fn move_to(room: &mut Room, phone: usize, to: StreamKey, place: Seat) {
    let room::Phone { stream, seat, .. } = room.phones[phone];
    room.engine.command(Command::Move { stream, seat, to, place }, room.now);
    (room.phones[phone].stream, room.phones[phone].seat) = (to, place);
}

#[test]
fn who_speaks_and_falls_silent_is_told() {
    let mut room = Room::empty(1);
    room.join(Voice::Nobody);
    let seat = Seat(2);
    let silence = Some(Duration::from_secs(1));
    room.engine.command(Command::Listen { stream: STREAM, seat, silence }, room.now);
    for _ in 0..150 {
        room.advance(10);
    }
    room.run(600);
    for _ in 0..150 {
        room.advance(10);
    }
    let told: Vec<&Event> = room.events.iter().collect();
    let [Event::Silent { after: Duration::ZERO, .. }, Event::Voiced { .. }, last] = told[..] else {
        panic!("{told:?}")
    };
    let Event::Silent { stream: STREAM, seat: Seat(2), after } = last else { panic!("{last:?}") };
    assert!((480..720).contains(&after.as_millis()), "{after:?}");
    room.engine.command(Command::Listen { stream: STREAM, seat, silence: None }, room.now);
    room.run(500);
    room.hear();
    assert_eq!(room.events.len(), 3);
}

/// A side of a call whose packets pass: it is heard, and nothing changes for it.
#[test]
fn who_speaks_in_a_call_is_told_while_packets_pass() {
    let mut room = Room::call(2, 2);
    let silence = Some(Duration::from_secs(1));
    room.engine.command(Command::Listen { stream: STREAM, seat: Seat::B, silence }, room.now);
    room.run(500);
    assert_eq!(room.events, [Event::Voiced { stream: STREAM, seat: Seat::B }]);
    assert_eq!(room.touched, 0);
    room.engine.command(Command::Listen { stream: STREAM, seat: Seat::B, silence: None }, room.now);
    assert_eq!(room.engine.deadline(), None);
}

#[test]
fn what_is_fed_is_heard_and_marks_tell_how_far() {
    let mut room = Room::empty(3);
    room.join(Voice::All);
    let turn = |n: usize| std::f64::consts::TAU * PITCH * n as f64 / 16_000.0;
    let second: Vec<i16> = (0..16_000).map(|n| (turn(n).sin() * 2500.0) as i16).collect();
    assert_eq!(room.engine.feed(FEED, &second), second.len(), "nobody hears it yet");
    let play = Play::Feed { feed: FEED, rate: Rate::Wide };
    let (stream, seat, sound, alone) = (STREAM, Some(Seat(2)), 1, true);
    room.engine.command(Command::Play { stream, seat, play, sound, alone }, room.now);
    assert_eq!(room.engine.feed(FEED, &second), 0);
    room.engine.mark(FEED, 7);
    room.run(800);
    assert!(loud(&room, 0, PITCH) > 2000.0);
    assert_eq!(room.events, []);
    room.run(400);
    let fed = |mark| Event::Fed { stream: STREAM, seat, feed: FEED, mark };
    assert_eq!(room.events, [fed(7)]);
    assert!(room.phones[0].recent(160).iter().all(|sample| sample.abs() < 16));
    // What is cleared is not heard.
    room.engine.feed(FEED, &second);
    room.engine.mark(FEED, 8);
    room.engine.clear(FEED);
    room.run(100);
    assert_eq!(room.events, [fed(7), fed(8)]);
    let quiet = room.phones[0].recent(640);
    assert!(quiet.iter().all(|sample| sample.abs() < 16));
    room.engine.command(Command::Stop { stream, seat, sound: None }, room.now);
    room.hear();
    let how = Ending::Stopped;
    let Some(Event::Played { how: Ending::Stopped, .. }) = room.events.pop() else {
        panic!("{how:?}")
    };
    assert_eq!(room.engine.feed(FEED, &second), second.len());
}

/// Who records hears two legs at places of his own, each alone.
#[test]
fn what_a_tap_hears_is_poured_into_another_stream() {
    let mut room = Room::empty(5);
    let (one, two) = (room.join_at(STREAM, Voice::All), room.join_at(STREAM, Voice::All));
    let recorder = room.join_at(OTHER, Voice::Nobody);
    let seat = Seat(2 + recorder as u16);
    let play = Play::Feed { feed: FEED, rate: Rate::Narrow };
    let playing = Command::Play { stream: OTHER, seat: Some(seat), play, sound: 1, alone: true };
    room.engine.command(playing, room.now);
    let tap = TapId(1);
    room.engine.command(Command::Pour { tap, feed: FEED }, room.now);
    let (rate, direction) = (Rate::Narrow, Direction::In);
    let tapping = Command::Tap { stream: STREAM, seat: Some(Seat(2)), tap, rate, direction };
    room.engine.command(tapping, room.now);
    room.run(1000);
    assert_eq!(room.taken, [], "nobody else is given it");
    let [first, second] = [one, two].map(|phone| room.phones[phone].tone);
    assert!(loud(&room, recorder, first) > 1500.0 && loud(&room, recorder, second) < 60.0);
    assert!(loud(&room, one, second) > 1500.0, "the call does not notice");
    room.engine.command(Command::Untap { tap }, room.now);
    room.run(500);
    assert!(room.phones[recorder].recent(1600).iter().all(|sample| sample.abs() < 16));
    assert_eq!(room.events, [Event::Untapped { stream: STREAM, tap }]);
}

/// Two legs, each alone, are put together and taken apart: their numbers go on, and so does what taps them.
#[test]
fn legs_go_from_stream_to_stream_as_one_source() {
    let mut room = Room::empty(4);
    let one = room.join_at(STREAM, Voice::All);
    let two = room.join_at(OTHER, Voice::All);
    let tap = Command::Tap {
        stream: OTHER,
        seat: Some(Seat(3)),
        tap: TapId(1),
        rate: Rate::Narrow,
        direction: Direction::Both,
    };
    room.engine.command(tap, room.now);
    room.run(1000);
    assert!(room.phones[one].recent(1600).iter().all(|sample| sample.abs() < 16));
    move_to(&mut room, two, STREAM, Seat(9));
    room.run(1000);
    for (phone, other) in [(one, two), (two, one)] {
        assert!(loud(&room, phone, room.phones[other].tone) > 1500.0);
        assert!(loud(&room, phone, room.phones[phone].tone) < 60.0);
    }
    move_to(&mut room, two, OTHER, Seat(2));
    room.run(1000);
    for phone in [one, two] {
        assert!(room.phones[phone].recent(1600).iter().all(|sample| sample.abs() < 16));
        for pair in room.phones[phone].heads.windows(2) {
            assert_eq!(pair[1].ssrc, pair[0].ssrc);
            assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1));
            assert_eq!(pair[1].timestamp, pair[0].timestamp.wrapping_add(160));
        }
    }
    assert_eq!(room.events, []);
    let frames = room.taken.iter().filter(|taken| taken.1 == 1);
    let heard: Vec<i16> = frames.flat_map(|taken| taken.3.clone()).collect();
    assert!((148..=151).contains(&(heard.len() / 160)), "{}", heard.len());
    let tone = room.phones[one].tone;
    assert!(level(&heard[11_000..15_000], tone) > 1500.0, "the tap goes with its leg");
    // Where somebody sits already nobody else does.
    let (stream, seat) = (OTHER, Seat(2));
    room.engine.command(Command::Move { stream, seat, to: STREAM, place: Seat(2) }, room.now);
    room.hear();
    let failed = Event::Failed { stream: STREAM, seat: Seat(2), port: room.phones[two].port };
    assert_eq!(room.events, [failed]);
    room.run(100);
    room.engine.command(Command::Close { bridge: STREAM.bridge }, room.now);
    assert_eq!(room.engine.deadline(), None);
    assert!(!room.engine.listens(room.phones[one].port));
}

/// Fifty who all talk: each hears the forty-nine others, and not itself.
#[test]
fn fifty_hear_each_other() {
    let mut room = Room::empty(5);
    room.quiet = true;
    for _ in 0..50 {
        room.join(Voice::All);
    }
    room.run(1500);
    for phone in 0..50 {
        let heard = room.phones[phone].recent(8000);
        for other in 0..50 {
            let measured = level(&heard, room.phones[other].tone);
            if other == phone {
                assert!(measured < 60.0, "{phone} hears itself: {measured}");
            } else {
                assert!(measured > 250.0, "{phone} hears {measured} of {other}");
            }
        }
    }
}

/// Two who talk while packets pass, and one who only listens: how loud each is, as often as was asked for.
#[test]
fn how_loud_each_is_is_told_while_packets_pass() {
    let mut room = Room::call(4, 2);
    let every = Some(Duration::from_millis(200));
    room.engine.command(Command::Gauge { stream: STREAM, seat: None, every }, room.now);
    room.run(1000);
    let levels = |room: &mut Room, of: Seat| -> Vec<u8> {
        let events = room.events.iter();
        let told = events.filter_map(|event| match event {
            Event::Level { stream: STREAM, seat, level } if *seat == of => Some(*level),
            _ => None,
        });
        told.collect()
    };
    for seat in [Seat::A, Seat::B] {
        let told = levels(&mut room, seat);
        assert!((4..=5).contains(&told.len()), "{told:?}");
        assert!(told.iter().skip(1).all(|level| (10..40).contains(level)), "{told:?}");
    }
    assert_eq!(room.touched, 0);
    // One alone, and nobody any more.
    room.events.clear();
    room.engine.command(Command::Gauge { stream: STREAM, seat: None, every: None }, room.now);
    assert_eq!(room.engine.deadline(), None);
    let one = |every| Command::Gauge { stream: STREAM, seat: Some(Seat::B), every };
    room.engine.command(one(Some(Duration::ZERO)), room.now);
    room.run(500);
    assert!(levels(&mut room, Seat::A).is_empty());
    assert!((4..=5).contains(&levels(&mut room, Seat::B).len()), "{:?}", room.events);
    room.engine.command(one(None), room.now);
    assert_eq!(room.engine.deadline(), None);
}
