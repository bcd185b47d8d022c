//! Phones with keys in their descriptions: opened, sealed, mixed, and nothing else let through.

use std::net::SocketAddr;

use media::g711::Law;
use media::rtp::{Header, Kind, Packet};
use media::{Command, Engine, Event, Keys, Seat, Shield, Sound, StreamKey, Suite, Voice};
use srtp::{Opener, Sealer};
use types::{BridgeId, Instant, Rng};

const STREAM: StreamKey = StreamKey { bridge: BridgeId(4), index: 0 };
const PORTS: [u16; 2] = [100, 102];

/// What the phone has: it seals with its own key and opens with ours.
struct Phone {
    sealer: Sealer,
    opener: Opener,
    header: Header,
}

fn halves(suite: Suite, key: &[u8]) -> (&[u8], &[u8]) {
    key.split_at(suite.key())
}

impl Phone {
    fn new(keys: &Keys, ssrc: u32) -> Self {
        let (key, salt) = halves(keys.suite, &keys.theirs);
        let sealer = Sealer::new(keys.suite, key, salt).unwrap();
        let (key, salt) = halves(keys.suite, &keys.ours);
        let opener = Opener::new(keys.suite, key, salt).unwrap();
        Self { sealer, opener, header: Header { payload_type: 8, ssrc, ..Header::default() } }
    }

    fn says(&mut self) -> Vec<u8> {
        self.header.sequence = self.header.sequence.wrapping_add(1);
        self.header.timestamp = self.header.timestamp.wrapping_add(160);
        let mut wire = Packet { header: self.header, payload: &[0x55; 160] }.encode();
        self.sealer.seal_rtp(&mut wire).unwrap();
        wire
    }
}

fn address(place: usize) -> SocketAddr {
    SocketAddr::from(([198, 51, 100, 7 + place as u8], 4000))
}

fn keys(suite: Suite, mark: u8) -> Keys {
    let octets = suite.key() + suite.salt();
    Keys { suite, ours: vec![mark; octets], theirs: vec![mark + 1; octets] }
}

fn shield(engine: &mut Engine, seat: Seat, keys: &Keys, chance: u64) {
    let shield = Shield::Keys(Box::new(keys.clone()));
    let command = Command::Shield { stream: STREAM, seat, shield, chance: Some(chance) };
    engine.command(command, Instant(0));
}

fn house() -> Engine {
    let mut engine = Engine::new();
    engine.command(Command::Open { stream: STREAM, ports: PORTS }, Instant(0));
    for (place, seat) in [Seat::A, Seat::B].into_iter().enumerate() {
        let rtp = address(place);
        let aim = Command::Aim { stream: STREAM, seat, rtp, rtcp: rtp, receives: true };
        engine.command(aim, Instant(0));
    }
    engine
}

fn sent(engine: &mut Engine) -> Vec<(u16, SocketAddr, Vec<u8>)> {
    let mut sent = Vec::new();
    engine.outgoing(|by, to, bytes| sent.push((by, to, bytes.to_vec())));
    sent
}

#[test]
fn a_phone_with_keys_and_one_without_hear_each_other() {
    for suite in Suite::ALL {
        let (mut engine, keys) = (house(), keys(suite, 1));
        shield(&mut engine, Seat::A, &keys, 5);
        let mut alice = Phone::new(&keys, 0xa);
        let mut bob = Header { payload_type: 8, ssrc: 0xb, sequence: 65_530, ..Header::default() };
        let mut source = None;
        for turn in 0..200u64 {
            let now = Instant::millis(20 * turn);
            if turn == 100 {
                shield(&mut engine, Seat::A, &keys, 6); // Said again, as a hold does.
            }
            let mut wire = alice.says();
            assert_eq!(engine.packet(100, address(0), &mut wire.clone(), now), None);
            let out = sent(&mut engine);
            let [(102, to, plain)] = &out[..] else { panic!("{suite:?} {turn}: {out:?}") };
            let heard = Packet::decode(plain).unwrap();
            assert_eq!(
                (*to, heard.header, heard.payload),
                (address(1), alice.header, &[0x55; 160][..])
            );
            // Once more, or changed on the way: dropped.
            assert_eq!(engine.packet(100, address(0), &mut wire.clone(), now), None);
            wire[20] ^= 1;
            assert_eq!(engine.packet(100, address(0), &mut wire, now), None);

            bob.sequence = bob.sequence.wrapping_add(1);
            let mut wire = Packet { header: bob, payload: &[0x2a; 160] }.encode();
            assert_eq!(engine.packet(102, address(1), &mut wire, now), None);
            let mut out = sent(&mut engine);
            let [(100, to, sealed)] = &mut out[..] else { panic!("{suite:?}: {out:?}") };
            assert_eq!((*to, sealed.len() > 172), (address(0), true));
            let length = alice.opener.open_rtp(sealed).unwrap();
            let heard = Packet::decode(&sealed[..length]).unwrap();
            assert_eq!((heard.payload, heard.header.payload_type), (&[0x2a; 160][..], 8));
            // A source of ours, which stays: no number comes twice under one key.
            assert_ne!(heard.header.ssrc, 0xb);
            assert_eq!(*source.get_or_insert(heard.header.ssrc), heard.header.ssrc);
        }
        // Control is opened and sealed as well.
        let mut report = vec![0x80, 201, 0, 1, 0, 0, 0, 0xb];
        assert_eq!(engine.packet(102, address(1), &mut report, Instant::seconds(9)), None);
        let mut out = sent(&mut engine);
        let [(100, _, sealed)] = &mut out[..] else { panic!("{out:?}") };
        assert_eq!(Kind::of(sealed), Some(Kind::Rtcp));
        assert_eq!(alice.opener.open_rtcp(sealed), Ok(8));
        engine.command(Command::Close { bridge: STREAM.bridge }, Instant::seconds(9));
        let Some(Event::Closed { counts, .. }) = engine.poll() else { panic!("not closed") };
        let (_, [a, b]) = counts[0];
        assert_eq!((a.packets, a.dropped, b.packets, b.dropped), (200, 400, 200, 0));
    }
}

#[test]
fn keys_that_change_are_followed_and_keys_that_fit_no_suite_close_the_leg() {
    let (mut engine, first) = (house(), keys(Suite::AesCm128HmacSha1Tag80, 1));
    shield(&mut engine, Seat::A, &first, 5);
    let mut alice = Phone::new(&first, 0xa);
    engine.packet(100, address(0), &mut alice.says(), Instant(1));
    assert_eq!(sent(&mut engine).len(), 1);
    // RFC 4568 §6.4: the phone takes another key for itself; ours goes on.
    let second = Keys { theirs: vec![9; 30], ..first.clone() };
    shield(&mut engine, Seat::A, &second, 6);
    engine.packet(100, address(0), &mut alice.says(), Instant(2));
    assert_eq!(sent(&mut engine).len(), 0);
    engine.packet(100, address(0), &mut Phone::new(&second, 0xa).says(), Instant(3));
    assert_eq!(sent(&mut engine).len(), 1);
    shield(&mut engine, Seat::A, &Keys { ours: vec![1; 3], ..first }, 7);
    let mut wire = Packet { header: Header::default(), payload: &[1; 160] }.encode();
    assert_eq!(engine.packet(102, address(1), &mut wire, Instant(4)), None);
    assert_eq!(sent(&mut engine).len(), 0);
}

#[test]
fn a_long_call_goes_on_in_a_process_that_knows_its_keys_only() {
    let (mut engine, keys) = (house(), keys(Suite::AesCm128HmacSha1Tag80, 1));
    let mut alice = Phone::new(&keys, 0xa);
    for _ in 0..140_000 {
        alice.says(); // To a process that was killed since.
    }
    shield(&mut engine, Seat::A, &keys, 77);
    for turn in 0..10 {
        engine.packet(100, address(0), &mut alice.says(), Instant::millis(20 * turn));
        assert_eq!(sent(&mut engine).len(), 1);
    }
}

#[test]
fn phones_with_keys_are_mixed() {
    let mut engine = house();
    let both = [keys(Suite::AesCm128HmacSha1Tag32, 1), keys(Suite::AeadAes256Gcm, 3)];
    let mut phones = [Phone::new(&both[0], 0xa), Phone::new(&both[1], 0xb)];
    for (seat, keys) in [Seat::A, Seat::B].into_iter().zip(&both) {
        shield(&mut engine, seat, keys, seat.0.into());
        let sound = Some(Sound { passes: false, ..Sound::of(Law::A.into(), None) });
        let voice = Voice::All;
        let take = Command::Take { stream: STREAM, seat, sound, voice, chance: 3 };
        engine.command(take, Instant(0));
    }
    let mut heard = [0, 0];
    for turn in 1..100u64 {
        let now = Instant::millis(20 * turn);
        for (place, phone) in phones.iter_mut().enumerate() {
            assert_eq!(engine.packet(PORTS[place], address(place), &mut phone.says(), now), None);
        }
        engine.tick(now, |_, _, _| panic!("nothing leaves unsealed"));
        for (by, _, mut wire) in sent(&mut engine) {
            let place = usize::from(by & !1 == 102);
            match Kind::of(&wire) {
                Some(Kind::Rtp) => {
                    phones[place].opener.open_rtp(&mut wire).unwrap();
                    heard[place] += 1;
                }
                _ => assert!(phones[place].opener.open_rtcp(&mut wire).is_ok()),
            }
        }
    }
    assert!(heard.iter().all(|heard| *heard > 90), "{heard:?}");
}

#[test]
fn hostile_datagrams_never_panic_and_never_pass() {
    let (mut engine, keys) = (house(), keys(Suite::AesCm128HmacSha1Tag32, 1));
    shield(&mut engine, Seat::A, &keys, 5);
    let (mut rng, mut alice) = (Rng::from_number(9), Phone::new(&keys, 0xa));
    for turn in 0..3_000u64 {
        let mut wire = alice.says();
        for _ in 0..=rng.below(3) {
            let at = rng.below(wire.len() as u64) as usize;
            wire[at] ^= 1 << rng.below(8);
        }
        wire.truncate(rng.below(wire.len() as u64 + 1) as usize);
        let port = if rng.percent(80) { 100 } else { 101 };
        assert_eq!(engine.packet(port, address(0), &mut wire, Instant::millis(turn)), None);
        assert!(sent(&mut engine).is_empty());
    }
}
