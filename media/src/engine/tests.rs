//! Scripts: commands and packets in, routes and events out.

use types::{BridgeId, Rng};

use super::*;
use crate::rtp::Packet;

mod shared;

const BRIDGE: BridgeId = BridgeId(1);
const STREAM: StreamKey = StreamKey { bridge: BRIDGE, index: 0 };
const A: &str = "198.51.100.1:4000";
const B: &str = "198.51.100.2:5000";
const EVIL: &str = "203.0.113.66:9";

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn up(text: &str) -> SocketAddr {
    let address = at(text);
    SocketAddr::new(address.ip(), address.port() + 1)
}

fn rtp(sequence: u16) -> Vec<u8> {
    let header = Header { sequence, ssrc: 5, ..Header::default() };
    Packet { header, payload: &[0; 160] }.encode()
}

const BYE: [u8; 8] = [0x81, 203, 0, 1, 0, 0, 0, 5];

fn aim_at(side: Side, rtp: &str, receives: bool) -> Command {
    Command::Aim { stream: STREAM, seat: side.into(), rtp: at(rtp), rtcp: up(rtp), receives }
}

fn bridge() -> Engine {
    let mut engine = Engine::new();
    engine.command(Command::Open { stream: STREAM, ports: [100, 200] }, Instant(0));
    engine.command(aim_at(Side::A, A, true), Instant(0));
    engine.command(aim_at(Side::B, B, true), Instant(0));
    engine
}

fn closed(engine: &mut Engine) -> [Count; 2] {
    engine.command(Command::Close { bridge: BRIDGE }, Instant(0));
    let last = std::iter::from_fn(|| engine.poll()).last();
    let Some(Event::Closed { bridge: BRIDGE, counts }) = last else { panic!("{last:?}") };
    counts[0].1
}

#[test]
fn packets_cross_and_are_counted() {
    let mut engine = bridge();
    let now = Instant(0);
    assert_eq!(engine.packet(100, at(A), &mut rtp(1), now), Some((200, at(B))));
    assert_eq!(engine.packet(200, at(B), &mut rtp(1), now), Some((100, at(A))));
    assert_eq!(engine.packet(101, up(A), &mut BYE.clone(), now), Some((201, up(B))));
    assert_eq!(engine.packet(201, up(B), &mut BYE.clone(), now), Some((101, up(A))));
    assert_eq!(engine.packet(100, at(A), &mut rtp(5), now), Some((200, at(B))));
    assert_eq!(engine.packet(100, at(A), &mut rtp(4), now), Some((200, at(B))));
    let [a, b] = closed(&mut engine);
    assert_eq!(a, Count { packets: 3, bytes: 516, rtcp: 1, lost: 2, dropped: 0 });
    assert_eq!(b, Count { packets: 1, bytes: 172, rtcp: 1, lost: 0, dropped: 0 });
    assert_eq!(engine.packet(100, at(A), &mut rtp(6), now), None);
}

#[test]
fn nothing_leaves_before_both_sides_are_known() {
    let mut engine = Engine::new();
    let now = Instant(0);
    assert_eq!(engine.packet(100, at(A), &mut rtp(1), now), None);
    engine.command(Command::Open { stream: STREAM, ports: [100, 200] }, now);
    assert_eq!(engine.packet(100, at(A), &mut rtp(1), now), None);
    engine.command(aim_at(Side::A, A, true), now);
    assert_eq!(engine.packet(100, at(A), &mut rtp(2), now), None);
    assert_eq!(engine.packet(200, at(EVIL), &mut rtp(2), now), None);
    // A stranger who fires while it rings has latched nothing.
    for n in 0..100 {
        let ms = Instant::millis(n * 20);
        assert_eq!(engine.packet(100, at("198.51.100.1:9"), &mut rtp(n as u16), ms), None);
    }
    engine.command(aim_at(Side::B, B, true), Instant::seconds(3));
    assert_eq!(engine.packet(200, at(B), &mut rtp(2), Instant::seconds(3)), Some((100, at(A))));
}

#[test]
fn strangers_neither_hear_nor_speak() {
    let mut engine = bridge();
    for (n, heard) in (0..500u64).map(|n| (n, n % 2 == 0)) {
        let now = Instant::millis(n * 10);
        for evil in [EVIL, "198.51.100.1:1", "198.51.100.2:1"] {
            // Faster than the peers, on both sides, with media and with control.
            assert_eq!(engine.packet(100, at(evil), &mut rtp(n as u16), now), None);
            assert_eq!(engine.packet(200, at(evil), &mut rtp(n as u16), now), None);
            assert_eq!(engine.packet(101, at(evil), &mut BYE.clone(), now), None);
            assert_eq!(engine.packet(100, at(evil), &mut BYE.clone(), now), None);
            assert_eq!(engine.packet(201, at(evil), &mut [22; 40], now), None);
        }
        if heard {
            assert_eq!(engine.packet(100, at(A), &mut rtp(n as u16), now), Some((200, at(B))));
            assert_eq!(engine.packet(200, at(B), &mut rtp(n as u16), now), Some((100, at(A))));
        }
    }
    let [a, b] = closed(&mut engine);
    assert_eq!((a.dropped, b.dropped), (500 * 9, 500 * 6));
}

#[test]
fn a_side_behind_nat_is_latched_with_its_control() {
    let mut engine = bridge();
    let (nat, nat_control) = (at("198.51.100.1:61000"), at("198.51.100.1:61001"));
    for n in 0..=10 {
        engine.packet(100, nat, &mut rtp(n), Instant::millis(u64::from(n) * 20));
    }
    let latched = Event::Latched { stream: STREAM, seat: Seat::A, from: nat };
    assert_eq!(engine.poll(), Some(latched));
    let now = Instant::seconds(1);
    assert_eq!(engine.packet(200, at(B), &mut rtp(1), now), Some((100, nat)));
    assert_eq!(engine.packet(201, up(B), &mut BYE.clone(), now), Some((101, up(A))));
    assert_eq!(engine.packet(101, at("203.0.113.66:7"), &mut BYE.clone(), now), None);
    assert_eq!(engine.packet(101, nat_control, &mut BYE.clone(), now), Some((201, up(B))));
    assert_eq!(engine.packet(101, at("198.51.100.1:7"), &mut BYE.clone(), now), None);
    assert_eq!(engine.packet(201, up(B), &mut BYE.clone(), now), Some((101, nat_control)));
    // A new address ends the latch, a repeated one does not.
    engine.command(aim_at(Side::A, A, true), now);
    assert_eq!(engine.packet(200, at(B), &mut rtp(2), now), Some((100, nat)));
    engine.command(aim_at(Side::A, "198.51.100.9:4000", true), now);
    assert_eq!(engine.packet(200, at(B), &mut rtp(3), now), Some((100, at("198.51.100.9:4000"))));
    assert_eq!(engine.packet(100, nat, &mut rtp(3), now), None);
}

#[test]
fn hold_stops_media_but_not_control() {
    let mut engine = bridge();
    let now = Instant(0);
    engine.command(aim_at(Side::B, B, false), now);
    assert_eq!(engine.packet(100, at(A), &mut rtp(1), now), None);
    assert_eq!(engine.packet(101, up(A), &mut BYE.clone(), now), Some((201, up(B))));
    assert_eq!(engine.packet(200, at(B), &mut rtp(1), now), Some((100, at(A))));
    for nowhere in ["0.0.0.0:5000", "198.51.100.2:0", "224.0.0.1:5000", "255.255.255.255:5000"] {
        engine.command(aim_at(Side::B, nowhere, true), now);
        assert_eq!(engine.packet(100, at(A), &mut rtp(2), now), None, "{nowhere}");
    }
}

#[test]
fn multiplexed_control_crosses_to_a_side_that_has_two_ports() {
    let mut engine = bridge();
    let now = Instant(0);
    let (rtp_a, receives) = (at(A), true);
    let muxed = Command::Aim { stream: STREAM, seat: Seat::A, rtp: rtp_a, rtcp: rtp_a, receives };
    engine.command(muxed, now);
    assert_eq!(engine.packet(100, at(A), &mut BYE.clone(), now), Some((201, up(B))));
    assert_eq!(engine.packet(201, up(B), &mut BYE.clone(), now), Some((100, at(A))));
    assert_eq!(engine.packet(101, at(A), &mut rtp(1), now), None); // Media on the control port.
}

#[test]
fn mapped_addresses_are_the_plain_ones() {
    let mut engine = bridge();
    engine.command(aim_at(Side::A, "[::ffff:198.51.100.1]:4000", true), Instant(0));
    let mapped = at("[::ffff:198.51.100.1]:4000");
    assert_eq!(engine.packet(100, mapped, &mut rtp(1), Instant(0)), Some((200, at(B))));
    assert_eq!(engine.packet(200, at(B), &mut rtp(1), Instant(0)), Some((100, at(A))));
}

#[test]
fn handshakes_pass_between_known_addresses() {
    let mut engine = bridge();
    assert_eq!(engine.packet(100, at(A), &mut [22; 40], Instant(0)), Some((200, at(B))));
    assert_eq!(engine.packet(100, at(EVIL), &mut [22; 40], Instant(0)), None);
}

#[test]
fn ports_that_cannot_be_had_fail() {
    let mut engine = bridge();
    let other = StreamKey { bridge: BRIDGE, index: 1 };
    let failed = |seat, port| Some(Event::Failed { stream: other, seat, port });
    for (ports, event) in [
        ([200, 300], failed(Seat::A, 200)),
        ([300, 300], failed(Seat::B, 300)),
        ([301, 400], failed(Seat::A, 301)),
        ([300, 0], failed(Seat::B, 0)),
        ([300, 400], None),
    ] {
        engine.command(Command::Open { stream: other, ports }, Instant(0));
        assert_eq!(engine.poll(), event);
    }
    assert_eq!(engine.ports(BRIDGE), [100, 200, 300, 400]);
    // The same again is harmless, other ports replace.
    engine.command(Command::Open { stream: other, ports: [300, 400] }, Instant(0));
    engine.command(Command::Open { stream: other, ports: [300, 65_534] }, Instant(0));
    assert_eq!(engine.poll(), None);
    assert!(engine.listens(65_535) && !engine.listens(400));
    engine.command(Command::Close { bridge: BRIDGE }, Instant(0));
    let Some(Event::Closed { counts, .. }) = engine.poll() else { panic!("no end") };
    assert_eq!(counts.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [0, 1]);
    engine.command(Command::Close { bridge: BRIDGE }, Instant(0));
    assert_eq!(engine.poll(), Some(Event::Closed { bridge: BRIDGE, counts: Vec::new() }));
}

/// Any commands and packets: no panic, nothing to an address that no aim named and no latch
/// learned, never a loop back to the door it came in by.
#[test]
fn hostile_traffic_never_escapes() {
    let mut rng = Rng::from_number(4);
    let places = [A, B, EVIL, "10.0.0.1:7000", "198.51.100.1:9", "0.0.0.0:1", "[::1]:5"];
    let mut engine = Engine::new();
    for step in 0..40_000u64 {
        let now = Instant::millis(step * 5);
        let pick = |rng: &mut Rng| at(places[rng.below(places.len() as u64) as usize]);
        let stream = StreamKey { bridge: BridgeId(rng.below(3).into()), index: rng.below(3) as u8 };
        let seat = Seat(rng.below(5) as u16);
        match rng.below(40) {
            0 => {
                let ports = [rng.below(24) as u16, rng.below(24) as u16];
                engine.command(Command::Open { stream, ports }, now);
            }
            1 => {
                let (rtp, rtcp, receives) = (pick(&mut rng), pick(&mut rng), rng.percent(80));
                engine.command(Command::Aim { stream, seat, rtp, rtcp, receives }, now);
            }
            2 if rng.percent(10) => {
                engine.command(Command::Close { bridge: stream.bridge }, now);
            }
            _ => {
                let (port, from) = (rng.below(26) as u16, pick(&mut rng));
                let mut wire = rtp(step as u16);
                if rng.percent(30) {
                    let place = rng.below(16) as usize;
                    wire[place] = rng.next_u64() as u8;
                }
                if let Some((by, to)) = engine.packet(port, from, &mut wire, now) {
                    assert!(by / 2 != port / 2 && engine.listens(by));
                    assert!(places.iter().any(|known| at(known) == to));
                }
            }
        }
        while engine.poll().is_some() {}
    }
}
