//! A browser at the door of the engine: checks, a handshake by the same library in the other role, packets both ways.
//!
//! It stands here and not in `media`, since handshakes go by the clock of the system, which nothing there may read.

use std::net::SocketAddr;
use std::time::{Duration, Instant as Clock};

use dimpl::{Config, Dtls, DtlsCertificate, Output, SrtpProfile};
use media::rtp::{Header, Packet};
use media::{CONSENT_MAX, Command, Engine, Event, Identity, Loss, Seat, Shield, StreamKey, Web};
use srtp::{Opener, Sealer, Suite};
use types::{BridgeId, Instant, Rng};

const BRIDGE: BridgeId = BridgeId(1);
const STREAM: StreamKey = StreamKey { bridge: BRIDGE, index: 0 };
const A: &str = "198.51.100.1:4000";
const B: &str = "198.51.100.2:5000";
const EVIL: &str = "203.0.113.66:9";
const BYE: [u8; 8] = [0x81, 203, 0, 1, 0, 0, 0, 5];
const DOOR: u16 = 21_000;
const BROWSER: &str = "198.51.100.7:7000";

fn identity() -> Identity {
    // Both ends have the same one: who is who is told by names.
    Identity {
        certificate: include_bytes!("identity/certificate.der").to_vec(),
        key: include_bytes!("identity/key.der").to_vec(),
    }
}

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

fn bridge() -> Engine {
    let mut engine = Engine::new();
    engine.command(Command::Open { stream: STREAM, ports: [100, 200] }, Instant(0));
    for (seat, rtp) in [(Seat::A, A), (Seat::B, B)] {
        let (rtp, rtcp) = (at(rtp), up(rtp));
        let aim = Command::Aim { stream: STREAM, seat, rtp, rtcp, receives: true };
        engine.command(aim, Instant(0));
    }
    engine
}

fn web(fingerprint: [u8; 32], active: bool) -> Shield {
    Shield::Web(Box::new(Web {
        ufrag: "ours".into(),
        password: "secret".into(),
        peer: "theirs".into(),
        fingerprint,
        active,
        types: vec![0],
    }))
}

/// A browser as side A, a phone as side B.
fn house(shield: Shield, epoch: Clock) -> Engine {
    let mut engine = bridge();
    engine.serve_browsers(DOOR, identity(), epoch);
    let seat = Seat::A;
    engine.command(Command::Shield { stream: STREAM, seat, shield, chance: Some(7) }, Instant(0));
    engine
}

fn sent(engine: &mut Engine) -> Vec<(u16, SocketAddr, Vec<u8>)> {
    let mut sent = Vec::new();
    engine.outgoing(|port, to, bytes| sent.push((port, to, bytes.to_vec())));
    sent
}

/// The browser's end.
struct Page {
    dtls: Dtls,
    keys: Option<(Sealer, Opener)>,
    epoch: Clock,
}

impl Page {
    fn new(active: bool, epoch: Clock) -> Self {
        let Identity { certificate, key } = identity();
        let certificate = DtlsCertificate { certificate, private_key: key };
        let mut dtls = Dtls::new_auto(Config::default().into(), certificate, epoch);
        dtls.set_active(active);
        Self { dtls, keys: None, epoch }
    }

    /// Gives it a datagram; what it says to that.
    fn hear(&mut self, datagram: Option<&[u8]>, now: Instant) -> Vec<Vec<u8>> {
        self.dtls.handle_timeout(self.epoch + Duration::from_micros(now.0)).unwrap();
        if let Some(datagram) = datagram {
            self.dtls.handle_packet(datagram).unwrap();
        }
        let (mut said, mut room) = (Vec::new(), [0; 2048]);
        loop {
            match self.dtls.poll_output(&mut room) {
                Output::Packet(flight) => said.push(flight.to_vec()),
                Output::Timeout(_) => return said,
                Output::KeyingMaterial(material, profile) => {
                    let suite = match profile {
                        SrtpProfile::AEAD_AES_256_GCM => Suite::AeadAes256Gcm,
                        SrtpProfile::AEAD_AES_128_GCM => Suite::AeadAes128Gcm,
                        _ => Suite::AesCm128HmacSha1Tag80,
                    };
                    let (key, salt) = (suite.key(), suite.salt());
                    let part = |at: usize, length: usize| &material[at..at + length];
                    let client = (part(0, key), part(2 * key, salt));
                    let server = (part(key, key), part(2 * key + salt, salt));
                    let active = self.dtls.is_active();
                    let (own, other) = if active { (client, server) } else { (server, client) };
                    self.keys = Some((
                        Sealer::new(suite, own.0, own.1).unwrap(),
                        Opener::new(suite, other.0, other.1).unwrap(),
                    ));
                }
                _ => (),
            }
        }
    }
}

fn check(engine: &mut Engine, password: &str, now: Instant) -> Vec<Vec<u8>> {
    let mut wire = stun::check("ours", "theirs", password, true, [1; 12]);
    assert_eq!(engine.packet(DOOR, at(BROWSER), &mut wire, now), None);
    sent(engine).into_iter().map(|(_, _, bytes)| bytes).collect()
}

/// Checks, then shakes hands until nobody says anything more.
fn shake(engine: &mut Engine, page: &mut Page, now: Instant) {
    let answers = check(engine, "secret", now);
    assert_eq!(answers[0][..2], [1, 1], "the check is answered");
    let mut to_page: Vec<Vec<u8>> = answers[1..].to_vec();
    let mut to_us = page.hear(None, now);
    for _ in 0..20 {
        for datagram in to_page.drain(..) {
            to_us.extend(page.hear(Some(&datagram), now));
        }
        for mut datagram in to_us.drain(..) {
            assert_eq!(engine.packet(DOOR, at(BROWSER), &mut datagram, now), None);
            for (port, to, bytes) in sent(engine) {
                assert_eq!((port, to), (DOOR, at(BROWSER)));
                to_page.push(bytes);
            }
        }
    }
}

#[test]
fn a_browser_and_a_phone_hear_each_other() {
    let epoch = Clock::now();
    for we_begin in [false, true] {
        let mut engine = house(web(identity().fingerprint(), we_begin), epoch);
        let mut page = Page::new(!we_begin, epoch);
        let now = Instant::millis(5);
        // Before the handshake nothing passes, and plain packets of a browser's leg never do.
        assert_eq!(engine.packet(200, at(B), &mut rtp(1), now), None);
        assert_eq!(engine.packet(100, at(A), &mut rtp(1), now), None);
        assert!(sent(&mut engine).is_empty());
        shake(&mut engine, &mut page, now);
        let (seal, open) = page.keys.as_mut().expect("keys");
        for number in 0..50 {
            let now = Instant::millis(20 * number);
            let number = number as u16;
            let mut wire = rtp(number);
            seal.seal_rtp(&mut wire).unwrap();
            assert_eq!(engine.packet(DOOR, at(BROWSER), &mut wire.clone(), now), None);
            assert_eq!(sent(&mut engine), [(200, at(B), rtp(number))]);
            // Said twice, or from elsewhere: refused.
            assert_eq!(engine.packet(DOOR, at(BROWSER), &mut wire, now), None);
            assert_eq!(engine.packet(DOOR, at(EVIL), &mut rtp(number), now), None);
            assert!(sent(&mut engine).is_empty());
            assert_eq!(engine.packet(200, at(B), &mut rtp(number), now), None);
            let [(DOOR, to, wire)] = &mut sent(&mut engine)[..] else { panic!("one packet") };
            assert_eq!(*to, at(BROWSER));
            let length = open.open_rtp(wire).unwrap();
            let (heard, start) = Header::decode(&wire[..length]).unwrap();
            let ours = Header { ssrc: heard.ssrc, ..heard };
            assert_ne!(ours.ssrc, 5, "one source of ours");
            assert_eq!(wire[start..length], rtp(number)[start..]);
        }
        let mut bye = BYE.to_vec();
        seal.seal_rtcp(&mut bye).unwrap();
        assert_eq!(engine.packet(DOOR, at(BROWSER), &mut bye, now), None);
        assert_eq!(sent(&mut engine), [(201, up(B), BYE.to_vec())]);
    }
}

#[test]
fn another_certificate_than_the_promised_one_is_refused() {
    let epoch = Clock::now();
    let mut engine = house(web([0; 32], false), epoch);
    let mut page = Page::new(true, epoch);
    let now = Instant::millis(5);
    shake(&mut engine, &mut page, now);
    engine.tick(now, |_, _, _| panic!("nothing is mixed"));
    let lost = Event::Lost { stream: STREAM, seat: Seat::A, why: Loss::Handshake };
    assert_eq!(engine.poll(), Some(lost));
    assert_eq!(engine.packet(200, at(B), &mut rtp(1), now), None);
    assert!(sent(&mut engine).is_empty());
}

#[test]
fn who_gives_no_sign_of_life_is_sent_nothing_more() {
    let epoch = Clock::now();
    let mut engine = house(web(identity().fingerprint(), false), epoch);
    assert!(check(&mut engine, "Secret", Instant(0)).is_empty(), "a stranger gets no answer");
    let mut page = Page::new(true, epoch);
    shake(&mut engine, &mut page, Instant::millis(5));
    let soon = Instant::millis(5) + CONSENT_MAX / 2;
    engine.tick(soon, |_, _, _| ());
    assert_eq!(check(&mut engine, "secret", soon).len(), 1);
    engine.tick(Instant::millis(5) + CONSENT_MAX, |_, _, _| ());
    assert_eq!(engine.poll(), None);
    let late = soon + CONSENT_MAX;
    assert!(engine.deadline().is_some_and(|due| due <= late));
    engine.tick(late, |_, _, _| ());
    let lost = Event::Lost { stream: STREAM, seat: Seat::A, why: Loss::Consent };
    assert_eq!((engine.poll(), engine.poll()), (Some(lost), None));
    assert_eq!(engine.packet(200, at(B), &mut rtp(1), late), None);
    assert!(sent(&mut engine).is_empty());
    assert!(check(&mut engine, "secret", late).is_empty());
}

/// A page that goes says goodbye; loaded again, it comes by a new path in time, or is gone.
#[test]
fn who_says_goodbye_may_come_back_by_a_new_path() {
    let epoch = Clock::now();
    for comes_back in [false, true] {
        let mut engine = house(web(identity().fingerprint(), false), epoch);
        let mut page = Page::new(true, epoch);
        let now = Instant::millis(5);
        shake(&mut engine, &mut page, now);
        page.dtls.close().unwrap();
        for mut goodbye in page.hear(None, now) {
            assert_eq!(engine.packet(DOOR, at(BROWSER), &mut goodbye, now), None);
        }
        sent(&mut engine);
        engine.tick(now, |_, _, _| ());
        assert_eq!(engine.poll(), None, "nobody is told yet");
        assert_eq!(engine.packet(200, at(B), &mut rtp(1), now), None);
        assert!(sent(&mut engine).is_empty(), "nothing is sent to a page that is gone");
        assert!(check(&mut engine, "secret", now).is_empty());
        if comes_back {
            let shield = web(identity().fingerprint(), false);
            let (stream, seat) = (STREAM, Seat::A);
            engine.command(Command::Shield { stream, seat, shield, chance: Some(9) }, now);
            shake(&mut engine, &mut Page::new(true, epoch), now);
            assert_eq!(engine.packet(200, at(B), &mut rtp(2), now), None);
            assert_eq!(sent(&mut engine).len(), 1);
        } else {
            engine.tick(now + CONSENT_MAX, |_, _, _| ());
            let lost = Event::Lost { stream: STREAM, seat: Seat::A, why: Loss::Consent };
            assert_eq!(engine.poll(), Some(lost));
        }
    }
}

/// A transfer: the browser keeps its keys and hears one source, though its call is another one now.
#[test]
fn a_path_that_is_led_to_another_bridge_keeps_its_keys() {
    let epoch = Clock::now();
    for closed_first in [false, true] {
        let mut engine = house(web(identity().fingerprint(), false), epoch);
        let mut page = Page::new(true, epoch);
        let now = Instant::millis(5);
        shake(&mut engine, &mut page, now);
        let heard = |engine: &mut Engine, page: &mut Page| {
            let [(DOOR, _, wire)] = &mut sent(engine)[..] else { panic!("one packet") };
            let length = page.keys.as_mut().unwrap().1.open_rtp(wire).unwrap();
            Header::decode(&wire[..length]).unwrap().0
        };
        engine.packet(200, at(B), &mut rtp(1), now);
        let before = heard(&mut engine, &mut page);
        let other = StreamKey { bridge: BridgeId(2), index: 0 };
        let close = Command::Close { bridge: BRIDGE };
        if closed_first {
            engine.command(close.clone(), now);
        }
        engine.command(Command::Open { stream: other, ports: [300, 400] }, now);
        for (seat, rtp) in [(Seat::A, A), (Seat::B, EVIL)] {
            let (rtp, rtcp) = (at(rtp), up(rtp));
            engine.command(Command::Aim { stream: other, seat, rtp, rtcp, receives: true }, now);
        }
        let shield = web(identity().fingerprint(), false);
        let seat = Seat::A;
        engine.command(Command::Shield { stream: other, seat, shield, chance: Some(9) }, now);
        if !closed_first {
            engine.command(close, now);
        }
        let now = Instant::millis(25);
        engine.packet(400, at(EVIL), &mut rtp(900), now);
        let after = heard(&mut engine, &mut page);
        if !closed_first {
            assert_eq!(after.ssrc, before.ssrc);
            assert_eq!(after.sequence, before.sequence.wrapping_add(1));
        }
        let mut wire = rtp(7);
        page.keys.as_mut().unwrap().0.seal_rtp(&mut wire).unwrap();
        engine.packet(DOOR, at(BROWSER), &mut wire, now);
        assert_eq!(sent(&mut engine), [(400, at(EVIL), rtp(7))]);
        // A path that leads nowhere is forgotten.
        engine.command(Command::Close { bridge: BridgeId(2) }, now);
        engine.tick(now + CONSENT_MAX, |_, _, _| ());
        assert!(check(&mut engine, "secret", now + CONSENT_MAX).is_empty());
        assert_eq!(engine.deadline(), None);
    }
}

#[test]
fn hostile_datagrams_at_the_door_never_panic() {
    let epoch = Clock::now();
    let mut engine = house(web(identity().fingerprint(), false), epoch);
    let mut page = Page::new(true, epoch);
    let mut rng = Rng::from_number(5);
    let mut kept = vec![stun::check("ours", "theirs", "secret", true, [1; 12]), rtp(1)];
    check(&mut engine, "secret", Instant(0));
    kept.extend(page.hear(None, Instant(0)));
    for round in 0..20_000u64 {
        let now = Instant(round * 100);
        let mut wire = kept[rng.below(kept.len() as u64) as usize].clone();
        for _ in 0..=rng.below(4) {
            let at = rng.below(wire.len() as u64) as usize;
            wire[at] = rng.below(256) as u8;
        }
        wire.truncate(rng.below(wire.len() as u64 + 1) as usize);
        let from = if rng.percent(80) { BROWSER } else { EVIL };
        assert_eq!(engine.packet(DOOR, at(from), &mut wire, now), None);
        engine.tick(now, |_, _, _| ());
        for (_, to, _) in sent(&mut engine) {
            assert_ne!(to, at(EVIL), "a stranger gets no answer");
        }
    }
}

/// Who hears frames over TCP.
struct Framed(std::net::TcpStream);

impl Framed {
    fn say(&mut self, datagram: &[u8]) {
        use std::io::Write as _;
        let mut frame = (datagram.len() as u16).to_be_bytes().to_vec();
        frame.extend_from_slice(datagram);
        // In two parts, as networks may bring it.
        let (first, second) = frame.split_at(frame.len() / 2);
        self.0.write_all(first).unwrap();
        self.0.write_all(second).unwrap();
    }

    fn hear(&mut self) -> Vec<u8> {
        use std::io::Read as _;
        let mut length = [0; 2];
        self.0.read_exact(&mut length).unwrap();
        let mut frame = vec![0; usize::from(u16::from_be_bytes(length))];
        self.0.read_exact(&mut frame).unwrap();
        frame
    }
}

#[test]
fn a_browser_that_cannot_send_datagrams_is_heard_over_tcp() {
    use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream, UdpSocket};
    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let patience = Some(Duration::from_secs(10));
    let listener = TcpListener::bind((HERE, 0)).unwrap();
    let way = listener.local_addr().unwrap();
    let door = media_io::Door::bind((HERE, 0).into()).unwrap();
    let shared = loop {
        let port = UdpSocket::bind((HERE, 0)).unwrap().local_addr().unwrap().port() & !1;
        if let Ok(pair) = media_io::Door::bind_pair((HERE, port).into()) {
            break pair;
        }
    };
    let many = shared[0].address().unwrap().port();
    let browsers = Some((door, identity()));
    let doors = media_io::Doors { browsers, streams: Some(listener), shared: vec![shared] };
    let pump = media_io::Pump::start(HERE, 8, doors, media::Coders::default(), |_| ()).unwrap();
    let phone = UdpSocket::bind((HERE, 0)).unwrap();
    phone.set_read_timeout(patience).unwrap();
    let rtp_of_phone = phone.local_addr().unwrap();
    // Ports that only name the legs.
    for port in [100, 200] {
        pump.send(Command::Share { port, by: many });
    }
    pump.send(Command::Open { stream: STREAM, ports: [100, 200] });
    for (seat, rtp) in [(Seat::A, at("0.0.0.0:9")), (Seat::B, rtp_of_phone)] {
        pump.send(Command::Aim { stream: STREAM, seat, rtp, rtcp: rtp, receives: true });
    }
    let shield = web(identity().fingerprint(), false);
    pump.send(Command::Shield { stream: STREAM, seat: Seat::A, shield, chance: Some(7) });
    // Who breaks the framing is put out, and hurts nobody.
    let mut rude = TcpStream::connect(way).unwrap();
    rude.set_read_timeout(patience).unwrap();
    std::io::Write::write_all(&mut rude, &[0xff; 100]).unwrap();
    assert!(!matches!(std::io::Read::read(&mut rude, &mut [0; 8]), Ok(1..)));
    let mut page = Page::new(true, Clock::now());
    let mut line = Framed(TcpStream::connect(way).unwrap());
    line.0.set_read_timeout(patience).unwrap();
    line.say(&stun::check("ours", "theirs", "secret", true, [1; 12]));
    assert_eq!(line.hear()[..2], [1, 1], "the check is answered");
    let began = Clock::now();
    for flight in page.hear(None, Instant(0)) {
        line.say(&flight);
    }
    while page.keys.is_none() {
        let came = line.hear();
        let now = Instant(began.elapsed().as_micros() as u64);
        for flight in page.hear(Some(&came), now) {
            line.say(&flight);
        }
    }
    let (seal, open) = page.keys.as_mut().unwrap();
    let mut room = [0; 2048];
    for number in 0..20 {
        let mut wire = rtp(number);
        seal.seal_rtp(&mut wire).unwrap();
        line.say(&wire);
        let length = phone.recv(&mut room).unwrap();
        assert_eq!(room[..length], rtp(number));
        phone.send_to(&rtp(number), (HERE, many)).unwrap();
        // The rest of the handshake comes by the same way.
        let mut wire = loop {
            let came = line.hear();
            if came.first().is_some_and(|first| first >> 6 == 2) {
                break came;
            }
        };
        let length = open.open_rtp(&mut wire).unwrap();
        assert_eq!(wire[12..length], rtp(number)[12..]);
    }
}
