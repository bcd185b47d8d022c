//! How calls come through, and who is silent, as the engine tells it: two phones in virtual time.

use std::net::SocketAddr;
use std::time::Duration;

use media::g711::Law;
use media::rtp::{Header, Kind, Packet};
use media::{
    Command, Engine, Event, Hush, QUALITY_EVERY, QUIET_AFTER, Quality, SILENCE_AFTER, Seat, Side,
    Sound, StreamKey, Voice, WATCH_EVERY,
};
use types::{BridgeId, Instant, Rng};

const STREAM: StreamKey = StreamKey { bridge: BridgeId(4), index: 0 };
const PORTS: [u16; 2] = [100, 102];

/// A frame that is not silence.
fn noise() -> [u8; 160] {
    std::array::from_fn(|place| if place % 2 == 0 { 0xd5 } else { 0x55 })
}

fn address(place: usize) -> SocketAddr {
    SocketAddr::from(([198, 51, 100, 7 + place as u8], 4000))
}

/// Two phones at an engine. Packets of 20 ms, as long as the test says that a side speaks.
struct Room {
    engine: Engine,
    now: Instant,
    heads: [Header; 2],
    payload: [[u8; 160]; 2],
    events: Vec<Event>,
    sent: Vec<(u16, Vec<u8>)>,
}

impl Room {
    fn new() -> Self {
        let mut engine = Engine::new();
        engine.command(Command::Open { stream: STREAM, ports: PORTS }, Instant(0));
        let heads = [0xa, 0xb].map(|ssrc| Header { payload_type: 8, ssrc, ..Header::default() });
        let (events, sent) = (Vec::new(), Vec::new());
        let payload = [noise(); 2];
        let mut room = Self { engine, now: Instant(0), heads, payload, events, sent };
        room.aim(0, true);
        room.aim(1, true);
        room
    }

    fn aim(&mut self, place: usize, receives: bool) {
        let (rtp, seat) = (address(place), Seat(place as u16));
        let aim = Command::Aim { stream: STREAM, seat, rtp, rtcp: rtp, receives };
        self.engine.command(aim, self.now);
    }

    fn datagram(&mut self, place: usize, mut wire: Vec<u8>) {
        if let Some((by, _)) = self.engine.packet(PORTS[place], address(place), &mut wire, self.now)
        {
            self.sent.push((by, wire));
        }
    }

    /// One packet time: who speaks, and what is lost on the way to us.
    fn step(&mut self, speaks: [bool; 2], lost: [bool; 2]) {
        self.now = self.now + Duration::from_millis(20);
        for place in 0..2 {
            let head = &mut self.heads[place];
            head.sequence = head.sequence.wrapping_add(1);
            head.timestamp = head.timestamp.wrapping_add(160);
            let wire = Packet { header: *head, payload: &self.payload[place] }.encode();
            if speaks[place] && !lost[place] {
                self.datagram(place, wire);
            }
        }
        if self.engine.watch_due().is_some_and(|due| due <= self.now) {
            self.engine.watch(self.now);
        }
        let sent = &mut self.sent;
        self.engine.outgoing(|by, _, wire| sent.push((by, wire.to_vec())));
        while let Some(event) = self.engine.poll() {
            self.events.push(event);
        }
    }

    fn run(&mut self, span: Duration, speaks: [bool; 2]) {
        for _ in 0..span.as_millis() / 20 {
            self.step(speaks, [false; 2]);
        }
    }

    /// Control that left, to the side with this port.
    fn control(&mut self, port: u16) -> Vec<Vec<u8>> {
        let is = |(by, wire): &mut (u16, Vec<u8>)| {
            *by & !1 == port && Kind::of(wire) == Some(Kind::Rtcp)
        };
        self.sent.extract_if(.., is).map(|(_, wire)| wire).collect()
    }
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

fn figures(events: &[Event]) -> Vec<[Quality; 2]> {
    let figures = events.iter().filter_map(|event| match event {
        Event::Quality { sides, .. } => Some(**sides),
        _ => None,
    });
    figures.collect()
}

#[test]
fn loss_and_opinion_are_told_for_each_side() {
    let (mut room, mut rng) = (Room::new(), Rng::from_number(5));
    for _ in 0..3_000 {
        room.step([true; 2], [rng.percent(5), false]);
    }
    let told = figures(&room.events);
    assert_eq!(told.len(), 9, "after 1, 2, 4, 8, 16, 26 s and so on");
    let [a, b] = told[8];
    let share = a.lost as f64 / (a.lost + a.packets) as f64;
    assert!((0.04..0.06).contains(&share), "{a:?}");
    assert!(a.holes > 100 && a.longest >= 1 && a.jitter < Duration::from_millis(5), "{a:?}");
    assert_eq!((b.lost, b.opinion()), (0, Some(441)));
    assert!((370..420).contains(&a.opinion().unwrap()), "{:?}", a.opinion());
}

#[test]
fn a_direction_that_falls_silent_is_named_with_its_reason() {
    let mut room = Room::new();
    room.run(Duration::from_secs(3), [true, false]);
    assert!(room.events.iter().all(|event| matches!(event, Event::Quality { .. })));
    room.run(QUIET_AFTER, [true, false]);
    let quiet = |side, why| Event::Quiet { stream: STREAM, side, why };
    assert!(room.events.contains(&quiet(Side::B, Hush::Never)), "{:?}", room.events);
    room.events.clear();
    room.run(WATCH_EVERY * 2, [true, true]);
    let back = |event: &Event| matches!(event, Event::Back { side: Side::B, after, .. } if *after > QUIET_AFTER);
    assert!(room.events.iter().any(back), "{:?}", room.events);
    room.run(QUIET_AFTER + WATCH_EVERY * 2, [false, true]);
    assert!(room.events.contains(&quiet(Side::A, Hush::Nothing)), "{:?}", room.events);

    // On hold nobody is silent.
    let mut room = Room::new();
    room.aim(1, false);
    room.run(QUIET_AFTER * 3, [false, false]);
    assert!(!room.events.iter().any(|event| matches!(event, Event::Quiet { side: Side::A, .. })));
    room.events.clear();
    // Somebody speaks from elsewhere.
    room.aim(1, true);
    for _ in 0..400 {
        let mut wire = Packet { header: room.heads[0], payload: &[0; 160] }.encode();
        let stranger = SocketAddr::from(([203, 0, 113, 66], 9));
        assert_eq!(room.engine.packet(100, stranger, &mut wire, room.now), None);
        room.step([false; 2], [false; 2]);
    }
    assert!(room.events.contains(&quiet(Side::A, Hush::Elsewhere)), "{:?}", room.events);
}

/// A muted phone sends packets all the same.
#[test]
fn nothing_but_silence_is_a_reason() {
    let mut room = Room::new();
    room.payload[0] = [0xd5; 160];
    room.run(SILENCE_AFTER + WATCH_EVERY * 2, [true; 2]);
    let quiet = Event::Quiet { stream: STREAM, side: Side::A, why: Hush::Silence };
    assert_eq!(room.events.iter().filter(|event| **event == quiet).count(), 1, "{:?}", room.events);
    let others = |event: &Event| matches!(event, Event::Quiet { side: Side::B, .. });
    assert!(!room.events.iter().any(others));
    room.payload[0] = noise();
    room.run(WATCH_EVERY * 2, [true; 2]);
    let back = |event: &Event| matches!(event, Event::Back { side: Side::A, after, .. } if *after > SILENCE_AFTER);
    assert!(room.events.iter().any(back), "{:?}", room.events);
    // Who keeps the other waiting may be silent.
    room.events.clear();
    room.payload[0] = [0xd5; 160];
    room.aim(0, false);
    room.run(SILENCE_AFTER * 2, [true; 2]);
    assert!(!room.events.contains(&quiet));
}

#[test]
fn a_format_that_nobody_agreed_on_is_told_where_sound_is_taken_apart() {
    let mut room = Room::new();
    for seat in [Seat::A, Seat::B] {
        let sound = Some(Sound { passes: false, ..Sound::of(Law::A.into(), None) });
        let voice = Voice::All;
        let take = Command::Take { stream: STREAM, seat, sound, voice, chance: 3 };
        room.engine.command(take, room.now);
    }
    room.heads[0].payload_type = 77;
    room.run(QUIET_AFTER + WATCH_EVERY * 2, [true, true]);
    let quiet = Event::Quiet { stream: STREAM, side: Side::A, why: Hush::Format };
    assert!(room.events.contains(&quiet), "{:?}", room.events);
}

/// RFC 3550 §6.4.1: reports that pass tell how long the way is; who gets none gets ours.
#[test]
fn reports_that_pass_are_read_and_missing_ones_are_made() {
    let mut room = Room::new();
    room.run(Duration::from_secs(1), [true; 2]);
    // B says what time it is; A has heard that 30 ms later, holds it for half a second, and 30 ms later we know.
    room.datagram(1, words(&[0x80c8_0006, 0xb, 0x1111_2222, 0x3333_4444, 0, 1, 160]));
    room.run(Duration::from_millis(560), [true; 2]);
    let seen = [0x81c9_0007, 0xa, 0xb, 0x1900_0000, 0, 0, 0x2222_3333, 0x8000];
    room.datagram(0, words(&seen));
    assert_eq!(room.control(102).len(), 1);
    room.run(QUALITY_EVERY, [true; 2]);
    let [a, b] = *figures(&room.events).last().unwrap();
    assert_eq!((a.round_trip, a.told_lost), (Some(Duration::from_millis(60)), Some(0x19)));
    assert_eq!(b.round_trip, None);
    // A reports of B again, and B says nothing more: B gets nothing but A's, A a report of ours about itself.
    room.control(100);
    room.datagram(0, words(&[0x80c8_0006, 0xa, 0x5555_6666, 0x7777_8888, 0, 1, 160]));
    room.run(media::REPORT_EVERY * 2, [true; 2]);
    let made = room.control(100);
    assert!(!made.is_empty());
    let word = |place: usize| u32::from_be_bytes(made[0][place..place + 4].try_into().unwrap());
    assert_eq!((made[0].len(), word(0), word(4), word(8)), (52, 0x81c9_0007, 0xb, 0xa));
    assert_eq!((word(24), word(32)), (0x6666_7777, 0x81ca_0004));
}

/// RFC 4585 §6.3.1: who begins to see pictures gets a whole one.
#[test]
fn pictures_are_asked_for_when_somebody_begins_to_see_them() {
    let mut room = Room::new();
    room.aim(0, false);
    for turn in 0..60u32 {
        let mut header = room.heads[1];
        (header.payload_type, header.sequence, header.timestamp) = (96, turn as u16, turn * 3_000);
        room.now = room.now + Duration::from_micros(33_333);
        room.datagram(1, Packet { header, payload: &[0x41; 900] }.encode());
    }
    room.run(Duration::from_millis(20), [false; 2]);
    assert!(room.control(102).is_empty());
    room.aim(0, true);
    room.run(Duration::from_millis(20), [false; 2]);
    let asked = room.control(102);
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0][8..], words(&[0x81ce_0002, 0, 0xb]));
    room.aim(0, true);
    room.run(Duration::from_millis(20), [false; 2]);
    assert!(room.control(102).is_empty(), "it saw them before");
}

/// A flood takes no other leg's time, and the call is heard again when it is over.
#[test]
fn what_is_too_much_for_one_leg_is_dropped_and_counted() {
    let mut room = Room::new();
    room.run(Duration::from_secs(1), [true; 2]);
    room.sent.clear();
    for number in 0..3 * media::DATAGRAMS_MAX {
        let header = Header { sequence: number as u16, ..room.heads[0] };
        room.datagram(0, Packet { header, payload: &[0; 160] }.encode());
    }
    assert!(room.sent.len() <= media::DATAGRAMS_MAX as usize, "{}", room.sent.len());
    room.sent.clear();
    room.run(QUALITY_EVERY * 2, [true; 2]);
    assert_eq!(room.sent.iter().filter(|(by, _)| *by == 102).count(), 1_000 - 49);
    let [a, b] = *figures(&room.events).last().unwrap();
    assert!(a.capped >= 2 * u64::from(media::DATAGRAMS_MAX) && b.capped == 0, "{a:?}");
}
