//! What the engine asks of the allocator while packets run: nothing.
//!
//! Spec: none; it is what lets one pump serve many streams.
#![allow(unsafe_code, reason = "a counting allocator can only be written with it")]

mod room;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use media::rtp::{Header, Packet};
use media::tones::{Country, Signal};
use media::{
    Clip, ClipId, Codec, Command, Direction, Encoder, Engine, Format, PAYLOAD_MAX, Play, Rate,
    Seat, Sound, TapId, Voice,
};
use room::{Room, STREAM};
use types::Instant;

struct Counting;

std::thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged; counting touches a number of this thread alone.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = COUNT.try_with(|count| count.set(count.get() + 1));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let _ = COUNT.try_with(|count| count.set(count.get() + 1));
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Packets of all phones and the ticks between, ten seconds of them, without the phones of the test itself.
fn run(room: &mut Room, packets: &mut [Vec<u8>]) -> (u64, usize) {
    let mut sent = 0;
    let before = COUNT.get();
    for turn in 0..500u32 {
        room.now = room.now + media::TICK;
        for (phone, wire) in room.phones.iter().zip(packets.iter_mut()) {
            wire[2..4].copy_from_slice(&(turn as u16).to_be_bytes());
            wire[4..8].copy_from_slice(&(turn * 160).to_be_bytes());
            wire[8..12].copy_from_slice(&phone.ssrc.to_be_bytes()); // Renumbered by the last turn.
            let passed = room.engine.packet(phone.port, phone.address, wire, room.now);
            sent += usize::from(passed.is_some());
        }
        room.engine.tick(room.now, |_, _, _| sent += 1);
        room.engine.taken(|_| ());
    }
    (COUNT.get() - before, sent)
}

fn packets(room: &Room) -> Vec<Vec<u8>> {
    let each = room.phones.iter().map(|phone| {
        let header = Header {
            payload_type: phone.law.payload_type(),
            ssrc: phone.ssrc,
            ..Header::default()
        };
        Packet { header, payload: &[0x31; 160] }.encode()
    });
    each.collect()
}

#[test]
fn no_packet_allocates() {
    for (guests, voice) in [(0, Voice::All), (1, Voice::Nobody), (1, Voice::All), (248, Voice::All)]
    {
        let mut room = Room::call(1, 2);
        for _ in 0..guests {
            room.join(voice);
        }
        let mut packets = packets(&room);
        run(&mut room, &mut packets); // The rooms that are made once.
        let (allocated, sent) = run(&mut room, &mut packets);
        assert_eq!(allocated, 0, "{guests} guests");
        assert!(sent >= 500 * (2 + guests) - 10, "{guests} guests: {sent} packets");
    }
}

/// A clip to one, a tone to another, an announcement to all, and taps of what they say and hear.
#[test]
fn nothing_that_is_played_or_tapped_allocates() {
    let mut room = Room::call(2, 2);
    room.join(Voice::All);
    room.join(Voice::Nobody);
    let form = |rate: Rate| vec![700; rate.frame() * 50].into();
    room.engine.lend(ClipId(1), Clip { forms: Rate::ALL.map(form) });
    let clips = || Play::Clips { clips: vec![ClipId(1)], from: Duration::ZERO, times: 0 };
    let (country, signal) = (Country::Us, Signal::Busy);
    let plays = [
        (Some(Seat::A), clips(), true),
        (Some(Seat(2)), Play::Tone { country, signal }, false),
        (None, clips(), false),
    ];
    for (seat, play, alone) in plays {
        let command = Command::Play { stream: STREAM, seat, play, sound: 1, alone };
        room.engine.command(command, room.now);
    }
    for (tap, seat) in [(1, None), (2, Some(Seat::B)), (3, Some(Seat(3)))] {
        let (tap, rate, direction) = (TapId(tap), Rate::Wide, Direction::Both);
        room.engine.command(Command::Tap { stream: STREAM, seat, tap, rate, direction }, room.now);
    }
    let mut packets = packets(&room);
    run(&mut room, &mut packets);
    let (allocated, sent) = run(&mut room, &mut packets);
    assert_eq!(allocated, 0);
    assert!(sent >= 500 * 4, "{sent} packets");
}

/// Sides that share no codec, and a third with one of his own: every decoder, encoder and filter at work.
#[test]
fn no_packet_that_is_turned_allocates() {
    let mut engine = Engine::new();
    let mut now = Instant::seconds(1);
    engine.command(Command::Open { stream: STREAM, ports: [100, 102] }, now);
    engine.command(Command::Admit { stream: STREAM, seat: Seat(2), port: 104 }, now);
    let codecs = [Codec::Opus, Codec::G722, Codec::G711(media::g711::Law::A)];
    let mut packets = Vec::new();
    for (place, codec) in codecs.into_iter().enumerate() {
        let (seat, port) = (Seat(place as u16), 100 + 2 * place as u16);
        let payload_type = [111, 9, 8][place];
        let sound = Sound::of(Format { payload_type, codec }, None);
        let (passes, voice, chance) = (false, Voice::All, 7);
        let sound = Some(Sound { passes, ..sound });
        let rtp = std::net::SocketAddr::from(([198, 51, 100, 7], 4000 + port));
        let aim = Command::Aim { stream: STREAM, seat, rtp, rtcp: rtp, receives: true };
        engine.command(aim, now);
        engine.command(Command::Take { stream: STREAM, seat, sound, voice, chance }, now);
        let mut encoder = Encoder::new(codec, Rate::Wide).expect("an encoder");
        let mut payload = [0; PAYLOAD_MAX];
        let octets = encoder.encode(&vec![900; encoder.rate().frame()], &mut payload);
        let header = Header { payload_type, ssrc: 7, ..Header::default() };
        let wire = Packet { header, payload: &payload[..octets] }.encode();
        packets.push((port, rtp, codec.pace(), wire));
    }
    let mut sent = 0;
    let mut run = |turns: std::ops::Range<u32>| {
        let before = COUNT.get();
        for turn in turns {
            for (port, from, pace, wire) in &mut packets {
                if turn % 20 == 7 {
                    continue; // Lost, and concealed.
                }
                wire[2..4].copy_from_slice(&(turn as u16).to_be_bytes());
                wire[4..8].copy_from_slice(&(turn * *pace).to_be_bytes());
                engine.packet(*port, *from, wire, now);
            }
            now = now + media::TICK;
            engine.tick(now, |_, _, _| sent += 1);
        }
        COUNT.get() - before
    };
    run(0..200);
    assert_eq!(run(200..700), 0);
    assert!(sent >= 3 * 690, "{sent} packets");
}

/// A phone with keys in its description beside one without: what is opened and what is sealed.
#[test]
fn no_packet_that_is_sealed_or_opened_allocates() {
    let (suite, mut engine) = (media::Suite::AesCm128HmacSha1Tag80, Engine::new());
    engine.command(Command::Open { stream: STREAM, ports: [100, 102] }, Instant(0));
    let rtp = |port: u16| std::net::SocketAddr::from(([198, 51, 100, 7], 4000 + port));
    for (seat, port) in [(Seat::A, 100), (Seat::B, 102)] {
        let (rtp, receives) = (rtp(port), true);
        let aim = Command::Aim { stream: STREAM, seat, rtp, rtcp: rtp, receives };
        engine.command(aim, Instant(0));
    }
    let keys = media::Keys { suite, ours: vec![1; 30], theirs: vec![2; 30] };
    let shield = media::Shield::Keys(Box::new(keys));
    let command = Command::Shield { stream: STREAM, seat: Seat::A, shield, chance: Some(5) };
    engine.command(command, Instant(0));
    let mut sealer = srtp::Sealer::new(suite, &[2; 16], &[2; 14]).expect("a sealer");
    let mut wires: Vec<[Vec<u8>; 2]> = (0..1_000u32)
        .map(|turn| {
            let (sequence, timestamp) = (turn as u16, turn * 160);
            let header = Header { payload_type: 8, sequence, timestamp, ..Header::default() };
            let plain =
                Packet { header: Header { ssrc: 9, ..header }, payload: &[3; 160] }.encode();
            let mut sealed = Packet { header, payload: &[3; 160] }.encode();
            sealer.seal_rtp(&mut sealed).expect("a packet");
            [sealed, plain]
        })
        .collect();
    let mut sent = 0;
    let mut run = |wires: &mut [[Vec<u8>; 2]], from: u64| {
        let before = COUNT.get();
        for (turn, [sealed, plain]) in (from..).zip(wires) {
            let now = Instant::millis(20 * turn);
            assert!(engine.packet(100, rtp(100), sealed, now).is_none());
            assert!(engine.packet(102, rtp(102), plain, now).is_none());
            engine.watch(now);
            engine.outgoing(|_, _, wire| sent += usize::from(wire.len() >= 172));
        }
        COUNT.get() - before
    };
    let (first, rest) = wires.split_at_mut(90);
    run(first, 0); // The rooms that are made once; until the figures are told.
    assert_eq!(run(&mut rest[..9], 90), 0);
    assert!(run(&mut rest[9..], 99) <= 8, "figures that are told are boxed, a few times in all");
    assert_eq!(sent, 2_000);
}
