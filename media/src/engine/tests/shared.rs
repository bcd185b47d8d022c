//! Many legs on one port: each hears its own far side only, and nobody else gets in.

use srtp::{Opener, Sealer, Suite};

use super::*;
use crate::words::{Keys, Shield};

/// The port that all share.
const MANY: u16 = 900;

fn phone(bridge: u16, side: Side) -> String {
    format!("198.51.100.{}:{}", 1 + side.index(), 4000 + 2 * bridge)
}

fn stream(bridge: u16) -> StreamKey {
    StreamKey { bridge: BridgeId(u128::from(bridge) + 1), index: 0 }
}

fn names(bridge: u16) -> [u16; 2] {
    [100 + 4 * bridge, 102 + 4 * bridge]
}

fn aim(bridge: u16, side: Side, rtp: &str) -> Command {
    let (stream, seat, rtp) = (stream(bridge), side.into(), at(rtp));
    let rtcp = SocketAddr::new(rtp.ip(), rtp.port() + 1);
    Command::Aim { stream, seat, rtp, rtcp, receives: true }
}

/// A call of two phones, both on the shared port.
fn call(engine: &mut Engine, bridge: u16, now: Instant) {
    engine.serve_many(MANY);
    for port in names(bridge) {
        engine.command(Command::Share { port, by: MANY }, now);
    }
    engine.command(Command::Open { stream: stream(bridge), ports: names(bridge) }, now);
    for side in Side::BOTH {
        engine.command(aim(bridge, side, &phone(bridge, side)), now);
    }
}

fn calls(count: u16) -> Engine {
    let mut engine = Engine::new();
    (0..count).for_each(|bridge| call(&mut engine, bridge, Instant(0)));
    engine
}

#[test]
fn each_phone_hears_its_own_far_side_by_one_port() {
    let mut engine = calls(50);
    let now = Instant::millis(1);
    for bridge in 0..50 {
        let [a, b] = Side::BOTH.map(|side| phone(bridge, side));
        assert_eq!(engine.packet(MANY, at(&a), &mut rtp(1), now), Some((MANY, at(&b))));
        assert_eq!(engine.packet(MANY, at(&b), &mut rtp(1), now), Some((MANY, at(&a))));
        let control = engine.packet(MANY + 1, up(&a), &mut BYE.clone(), now);
        assert_eq!(control, Some((MANY + 1, up(&b))));
    }
    assert_eq!(engine.strangers(), 0);
    assert!(engine.shares(100) && engine.shares(101) && !engine.shares(MANY));
}

#[test]
fn strangers_and_phones_of_other_calls_get_into_none() {
    let mut engine = calls(2);
    let now = Instant::millis(1);
    for bridge in 0..2 {
        for side in Side::BOTH {
            assert!(engine.packet(MANY, at(&phone(bridge, side)), &mut rtp(1), now).is_some());
        }
    }
    let mut sent = 0;
    for n in 0..200u16 {
        let now = Instant::millis(u64::from(n) * 20);
        for evil in [EVIL, "198.51.100.1:1", "198.51.100.2:61000", "192.168.0.4:4000"] {
            for (port, mut bytes) in [(MANY, rtp(n)), (MANY + 1, rtp(n)), (MANY, vec![22; 40])] {
                assert_eq!(engine.packet(port, at(evil), &mut bytes, now), None, "{evil}");
                sent += 1;
            }
            assert_eq!(engine.packet(MANY, at(evil), &mut BYE.clone(), now), None);
            assert_eq!(engine.packet(MANY + 1, at(evil), &mut BYE.clone(), now), None);
            sent += 2;
        }
    }
    assert_eq!(engine.strangers(), sent);
    assert_eq!(engine.poll(), None);
    // What comes to the ports that only name the legs is for nobody: nothing is bound there.
    engine.command(Command::Close { bridge: stream(0).bridge }, now);
    let a = phone(0, Side::A);
    assert_eq!(engine.packet(MANY, at(&a), &mut rtp(2), now), None);
    assert!(!engine.shares(100));
}

#[test]
fn a_phone_whose_port_was_changed_on_its_way_is_learned_when_it_is_the_only_one() {
    let mut engine = calls(2);
    let nat = at("198.51.100.1:61000");
    let tries = |engine: &mut Engine, from: SocketAddr, since: u64| {
        let passed = (0..20u16).filter(|n| {
            let now = Instant::millis(since + u64::from(*n) * 20);
            engine.packet(MANY, from, &mut rtp(*n), now).is_some()
        });
        passed.count()
    };
    // Two are waited for at this host: it could be either.
    assert_eq!(tries(&mut engine, nat, 0), 0);
    assert_eq!(engine.strangers(), 20);
    // One of them is heard where it should be: it is the other.
    let other = phone(1, Side::A);
    assert!(engine.packet(MANY, at(&other), &mut rtp(1), Instant::millis(500)).is_some());
    assert_eq!(tries(&mut engine, nat, 1000), 10);
    let latched = Event::Latched { stream: stream(0), seat: Seat::A, from: nat };
    assert_eq!(engine.poll(), Some(latched));
    let b = phone(0, Side::B);
    let now = Instant::seconds(3);
    assert_eq!(engine.packet(MANY, at(&b), &mut rtp(1), now), Some((MANY, nat)));
    // Its call is over and it goes on: whoever sits there next does not get it.
    engine.command(Command::Close { bridge: stream(0).bridge }, now);
    call(&mut engine, 2, now);
    assert_eq!(tries(&mut engine, nat, 4000), 0);
    // Nobody is learned from another host, though a private address was signalled.
    engine.command(aim(2, Side::A, "192.168.0.4:4000"), now);
    assert_eq!(tries(&mut engine, at(EVIL), 5000), 0);
}

#[test]
fn what_two_legs_claim_is_of_whoever_was_heard_there_first() {
    let mut engine = calls(1);
    let now = Instant::millis(1);
    let (victim, far) = (phone(0, Side::A), at(&phone(0, Side::B)));
    call(&mut engine, 1, now);
    let heard = |engine: &mut Engine, n| engine.packet(MANY, at(&victim), &mut rtp(n), now);
    assert_eq!(heard(&mut engine, 1), Some((MANY, far)));
    // Somebody names its address: he gets nothing, and it goes on. So it does when it is described to anew.
    engine.command(aim(1, Side::B, &victim), now);
    assert_eq!(heard(&mut engine, 2), Some((MANY, far)));
    engine.command(aim(0, Side::A, &victim), now);
    assert_eq!(heard(&mut engine, 3), Some((MANY, far)));
    // It moves: what comes from there is of the one that says so now; and back, with what is its alone again.
    engine.command(aim(0, Side::A, "192.168.0.4:4000"), now);
    let other = at(&phone(1, Side::A));
    assert_eq!(heard(&mut engine, 4), Some((MANY, other)));
    engine.command(Command::Close { bridge: stream(1).bridge }, now);
    assert_eq!(heard(&mut engine, 5), None);
    engine.command(aim(0, Side::A, &victim), now);
    assert_eq!(heard(&mut engine, 6), Some((MANY, far)));
}

#[test]
fn what_two_legs_claim_is_of_neither_before_one_was_heard() {
    let mut engine = calls(1);
    let now = Instant::millis(1);
    let victim = phone(0, Side::A);
    call(&mut engine, 1, now);
    engine.command(aim(1, Side::B, &victim), now);
    assert_eq!(engine.packet(MANY, at(&victim), &mut rtp(2), now), None);
    engine.command(Command::Close { bridge: stream(1).bridge }, now);
    let far = at(&phone(0, Side::B));
    assert_eq!(engine.packet(MANY, at(&victim), &mut rtp(3), now), Some((MANY, far)));
}

#[test]
fn a_leg_goes_over_to_a_port_of_its_own() {
    let mut engine = calls(1);
    let now = Instant::millis(1);
    let (a, b) = (phone(0, Side::A), phone(0, Side::B));
    engine.command(Command::Share { port: names(0)[0], by: 0 }, now);
    assert_eq!(engine.packet(MANY, at(&a), &mut rtp(1), now), None);
    assert_eq!(engine.packet(names(0)[0], at(&a), &mut rtp(1), now), Some((MANY, at(&b))));
    assert_eq!(engine.packet(MANY, at(&b), &mut rtp(1), now), Some((names(0)[0], at(&a))));
}

#[test]
fn a_phone_with_keys_shares_as_well() {
    let (suite, ours, theirs) = (Suite::AesCm128HmacSha1Tag80, vec![1; 30], vec![2; 30]);
    let mut sealer = Sealer::new(suite, &theirs[..16], &theirs[16..]).unwrap();
    let mut opener = Opener::new(suite, &ours[..16], &ours[16..]).unwrap();
    let keys = Keys { suite, ours, theirs };
    let mut engine = calls(1);
    let now = Instant::millis(1);
    let (a, b) = (phone(0, Side::A), phone(0, Side::B));
    let shield = Shield::Keys(Box::new(keys));
    let (stream, seat) = (stream(0), Seat::A);
    engine.command(Command::Shield { stream, seat, shield, chance: Some(1) }, now);
    let mut sealed = rtp(1);
    sealer.seal_rtp(&mut sealed).unwrap();
    assert_eq!(engine.packet(MANY, at(&a), &mut sealed, now), None);
    let mut out = Vec::new();
    engine.outgoing(|by, to, bytes| out.push((by, to, bytes.to_vec())));
    assert_eq!(out, [(MANY, at(&b), rtp(1))]);
    assert_eq!(engine.packet(MANY, at(&b), &mut rtp(1), now), None);
    let mut out = Vec::new();
    engine.outgoing(|by, to, bytes| out.push((by, to, bytes.to_vec())));
    let [(MANY, to, bytes)] = out.as_mut_slice() else { panic!("{out:?}") };
    assert_eq!(*to, at(&a));
    assert!(opener.open_rtp(bytes).is_ok());
    // What it did not seal is not its.
    assert_eq!(engine.packet(MANY, at(&a), &mut rtp(2), now), None);
}
