//! An engine with phones around it, in a time of our own.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::f64::consts::TAU;
use std::net::SocketAddr;
use std::time::Duration;

use media::g711::Law;
use media::rtp::{Header, Kind, Packet};
use media::{Command, Engine, Events, Seat, Sound, StreamKey, Voice};
use types::{BridgeId, Instant, Rng};

pub const STREAM: StreamKey = StreamKey { bridge: BridgeId(9), index: 0 };
pub const EVENTS: u8 = 101;

/// One phone: it says a tone, and keeps what it hears.
pub struct Phone {
    pub stream: StreamKey,
    pub seat: Seat,
    pub port: u16,
    pub address: SocketAddr,
    pub tone: f64,
    pub loud: i16,
    pub law: Law,
    pub ssrc: u32,
    pub heard: Vec<i16>,
    pub heads: Vec<Header>,
    pub keys: Vec<(Header, Vec<u8>)>,
    pub reports: Vec<Vec<u8>>,
    sequence: u16,
    timestamp: u32,
    said: u64,
    next: Instant,
    gone: bool,
}

impl Phone {
    /// The newest samples that it heard.
    pub fn recent(&self, count: usize) -> Vec<i16> {
        self.heard[self.heard.len().saturating_sub(count)..].to_vec()
    }
}

pub struct Room {
    pub engine: Engine,
    pub phones: Vec<Phone>,
    pub now: Instant,
    pub rng: Rng,
    /// Packets that are late by up to so many milliseconds.
    pub jitter_max: u64,
    /// Packets that are lost, of a hundred.
    pub lost: u8,
    /// Small tones, so that many fit into one sum.
    pub quiet: bool,
    /// Packets of the sides that came out otherwise than they went in.
    pub touched: usize,
    /// Where the ticks lie within 20 ms.
    pub phase: u64,
    /// What the engine told.
    pub events: Vec<media::Event>,
    /// What taps heard: whose, which channel, since when, the samples.
    pub taken: Vec<(media::TapId, u8, u64, Vec<i16>)>,
    /// Packets under way: when they arrive, from whom.
    wire: Vec<(Instant, usize, Vec<u8>)>,
}

impl Room {
    pub fn empty(seed: u64) -> Self {
        Self {
            engine: Engine::new(),
            phones: Vec::new(),
            now: Instant::seconds(1),
            rng: Rng::from_number(seed),
            jitter_max: 0,
            lost: 0,
            quiet: false,
            touched: 0,
            phase: 0,
            events: Vec::new(),
            taken: Vec::new(),
            wire: Vec::new(),
        }
    }

    /// Two phones that talk.
    pub fn call(seed: u64, sides: u16) -> Self {
        let mut room = Self::empty(seed);
        room.now = Instant(1_000_000 + room.rng.below(20_000));
        room.engine.command(Command::Open { stream: STREAM, ports: [100, 102] }, room.now);
        for side in 0..sides {
            let phone = room.phone(Seat(side), 100 + side * 2);
            room.aim(phone, true);
            room.voice(phone, Voice::All);
        }
        room
    }

    /// One more takes part.
    pub fn join(&mut self, voice: Voice) -> usize {
        self.join_at(STREAM, voice)
    }

    /// One more takes part in another stream.
    pub fn join_at(&mut self, stream: StreamKey, voice: Voice) -> usize {
        let used = self.phones.iter().map(|phone| phone.seat.0 + 1).max().unwrap_or(0);
        let seat = Seat(used.max(2));
        let port = 200 + seat.0 * 2;
        self.engine.command(Command::Admit { stream, seat, port }, self.now);
        let phone = self.phone(seat, port);
        self.phones[phone].stream = stream;
        self.aim(phone, true);
        self.voice(phone, voice);
        let due = self.engine.deadline().map(|due| due.0 % 20_000);
        self.phase = due.unwrap_or(0);
        phone
    }

    pub fn leave(&mut self, phone: usize) {
        self.phones[phone].gone = true;
        let Phone { seat, stream, .. } = self.phones[phone];
        self.engine.command(Command::Leave { stream, seat }, self.now);
    }

    pub fn voice(&mut self, phone: usize, voice: Voice) {
        let Phone { seat, law, stream, .. } = self.phones[phone];
        let sound = Some(Sound::of(law.into(), Some(Events { payload_type: EVENTS, clock: 8000 })));
        let chance = self.rng.next_u64();
        let command = Command::Take { stream, seat, sound, voice, chance };
        self.engine.command(command, self.now);
    }

    pub fn aim(&mut self, phone: usize, receives: bool) {
        let Phone { seat, address: rtp, stream, .. } = self.phones[phone];
        let rtcp = SocketAddr::new(rtp.ip(), rtp.port() + 1);
        let command = Command::Aim { stream, seat, rtp, rtcp, receives };
        self.engine.command(command, self.now);
    }

    fn phone(&mut self, seat: Seat, port: u16) -> usize {
        let place = self.phones.len();
        let address = SocketAddr::new([198, 51, 100, 1 + (place / 200) as u8].into(), 4000 + port);
        // The sides of a call speak the same law, as their descriptions agreed.
        let law = if seat.0 > 1 && self.rng.percent(50) { Law::A } else { Law::Mu };
        let next = self.now + Duration::from_micros(self.rng.below(20_000));
        self.phones.push(Phone {
            stream: STREAM,
            seat,
            port,
            address,
            tone: 300.0 + 62.0 * (place % 50) as f64,
            loud: if self.quiet { 500 } else { 2500 },
            law,
            ssrc: self.rng.next_u64() as u32,
            heard: Vec::new(),
            heads: Vec::new(),
            keys: Vec::new(),
            reports: Vec::new(),
            sequence: self.rng.next_u64() as u16,
            timestamp: self.rng.next_u64() as u32,
            said: 0,
            next,
            gone: false,
        });
        place
    }

    /// Everybody talks for so many milliseconds.
    pub fn run(&mut self, ms: u64) {
        for phone in &mut self.phones {
            phone.next = phone.next.max(self.now); // What it did not say while time only passed is left out.
        }
        for _ in 0..ms {
            self.advance(1);
            for place in 0..self.phones.len() {
                self.say(place);
            }
            self.deliver();
        }
    }

    /// Time passes; nobody says anything.
    pub fn advance(&mut self, ms: u64) {
        self.now = self.now + Duration::from_millis(ms);
        if self.engine.deadline().is_some_and(|due| due <= self.now) {
            let Self { engine, phones, now, .. } = self;
            engine.tick(*now, |port, to, wire| receive(phones, port, to, wire));
        }
        self.hear();
    }

    /// The pump is held up.
    pub fn stall(&mut self, ms: u64) {
        self.advance(ms);
    }

    /// A datagram of anybody to the port of a phone.
    pub fn datagram(&mut self, phone: usize, from: SocketAddr, wire: &mut [u8]) {
        let sent = wire.to_vec();
        let port = self.phones[phone].port;
        if let Some((port, to)) = self.engine.packet(port, from, wire, self.now) {
            self.touched += usize::from(sent != wire);
            receive(&mut self.phones, port, to, wire);
        }
        self.hear();
    }

    /// Keeps what the engine tells.
    pub fn hear(&mut self) {
        let Self { engine, events, taken, .. } = self;
        events.extend(std::iter::from_fn(|| engine.poll()));
        engine.taken(|heard| {
            taken.push((heard.tap, heard.channel, heard.at, heard.samples.to_vec()));
        });
    }

    /// Presses a key for 100 ms.
    pub fn press(&mut self, phone: usize, key: u8) {
        let timestamp = self.phones[phone].timestamp;
        for report in 0..8u16 {
            let header = Header {
                marker: report == 0,
                payload_type: EVENTS,
                sequence: self.phones[phone].sequence,
                timestamp,
                ssrc: self.phones[phone].ssrc,
            };
            self.phones[phone].sequence = header.sequence.wrapping_add(1);
            let end = if report >= 5 { 0x80 } else { 0 };
            let [d0, d1] = (report.min(5) * 160).to_be_bytes();
            let payload = [key - b'0', end | 10, d0, d1];
            let mut wire = Packet { header, payload: &payload }.encode();
            let from = self.phones[phone].address;
            self.datagram(phone, from, &mut wire);
            self.run(20);
        }
    }

    fn say(&mut self, place: usize) {
        let (now, lost, jitter) = (self.now, self.lost, self.jitter_max);
        let phone = &mut self.phones[place];
        if phone.gone || now < phone.next {
            return;
        }
        phone.next = phone.next + Duration::from_millis(20);
        let payload: Vec<u8> = (0..160u64)
            .map(|n| {
                let turn = TAU * phone.tone * (phone.said + n) as f64 / 8000.0;
                phone.law.encode((turn.sin() * f64::from(phone.loud)) as i16)
            })
            .collect();
        let header = Header {
            marker: false,
            payload_type: phone.law.payload_type(),
            sequence: phone.sequence,
            timestamp: phone.timestamp,
            ssrc: phone.ssrc,
        };
        phone.said += 160;
        phone.sequence = phone.sequence.wrapping_add(1);
        phone.timestamp = phone.timestamp.wrapping_add(160);
        let wire = Packet { header, payload: &payload }.encode();
        if !self.rng.percent(lost) {
            let late = Duration::from_millis(self.rng.below(jitter + 1));
            self.wire.push((now + late, place, wire));
        }
    }

    fn deliver(&mut self) {
        let now = self.now;
        let mut arrived: Vec<_> = self.wire.extract_if(.., |(at, _, _)| *at <= now).collect();
        for (_, place, wire) in &mut arrived {
            let from = self.phones[*place].address;
            self.datagram(*place, from, wire);
        }
    }
}

fn receive(phones: &mut [Phone], port: u16, to: SocketAddr, wire: &[u8]) {
    let control = Kind::of(wire) == Some(Kind::Rtcp);
    let to = if control { SocketAddr::new(to.ip(), to.port() - 1) } else { to };
    let phone = phones.iter_mut().find(|phone| phone.address == to);
    let phone = phone.expect("nothing goes to strangers");
    assert_eq!(port, phone.port + u16::from(control), "by the port that the phone sends to");
    if phone.gone {
        panic!("who left gets nothing");
    }
    if control {
        phone.reports.push(wire.to_vec());
        return;
    }
    let packet = Packet::decode(wire).expect("our packets can be read");
    if packet.header.payload_type == EVENTS {
        phone.keys.push((packet.header, packet.payload.to_vec()));
        return;
    }
    phone.heads.push(packet.header);
    if let Some(law) = Law::of(packet.header.payload_type) {
        phone.heard.extend(law.decode_all(packet.payload));
    }
}

/// How loud a tone is in some sound: its amplitude, after Goertzel, under a window that keeps neighbours apart.
pub fn level(pcm: &[i16], tone: f64) -> f64 {
    let (count, step) = (pcm.len() as f64, TAU * tone / 8000.0);
    let factor = 2.0 * step.cos();
    let (mut one, mut two) = (0.0, 0.0);
    for (place, sample) in pcm.iter().enumerate() {
        let window = 0.5 - 0.5 * (TAU * place as f64 / count).cos();
        let next = f64::from(*sample) * window + factor * one - two;
        (two, one) = (one, next);
    }
    let power = one * one + two * two - factor * one * two;
    4.0 * power.max(0.0).sqrt() / count
}
