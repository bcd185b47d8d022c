//! Legs that speak unlike codecs: each hears the other's tone, in its own codec, through loss, keys and joins.

use std::f64::consts::TAU;
use std::net::SocketAddr;
use std::time::Duration;

use media::g711::Law;
use media::rtp::{Header, Kind, Packet};
use media::{
    Codec, Command, Decoder, Encoder, Engine, Events, Format, PACKET_MAX, PAYLOAD_MAX, Rate, Seat,
    Sound, StreamKey, Voice,
};
use types::{BridgeId, Instant, Rng};

const STREAM: StreamKey = StreamKey { bridge: BridgeId(9), index: 0 };
const KEYS: u8 = 101;

/// One phone with a codec of its own.
struct Phone {
    seat: Seat,
    port: u16,
    address: SocketAddr,
    format: Format,
    tone: f64,
    encoder: Encoder,
    decoder: Decoder,
    header: Header,
    said: usize,
    /// The two tones of a key that it presses in its sound.
    key: Option<[f32; 2]>,
    heard: Vec<i16>,
    heads: Vec<Header>,
    keys: Vec<(Header, Vec<u8>)>,
}

impl Phone {
    fn rate(&self) -> Rate {
        self.encoder.rate()
    }

    fn packet(&mut self) -> Vec<u8> {
        let rate = self.rate();
        let tones = match self.key {
            Some(tones) => tones.map(f64::from).to_vec(),
            None => vec![self.tone],
        };
        let turn = |tone: f64, n: usize| TAU * tone * n as f64 / f64::from(rate.hertz());
        let at = |n: usize| tones.iter().map(|tone| turn(*tone, n).sin() * 6000.0).sum::<f64>();
        let pcm: Vec<i16> = (self.said..self.said + rate.frame()).map(|n| at(n) as i16).collect();
        self.said += rate.frame();
        let mut payload = [0; PAYLOAD_MAX];
        let octets = self.encoder.encode(&pcm, &mut payload);
        let wire = Packet { header: self.header, payload: &payload[..octets] }.encode();
        self.header.sequence = self.header.sequence.wrapping_add(1);
        self.header.timestamp = self.header.timestamp.wrapping_add(self.format.codec.pace());
        wire
    }

    fn receive(&mut self, wire: &[u8]) {
        let Packet { header, payload } = Packet::decode(wire).unwrap();
        if header.payload_type == KEYS {
            self.keys.push((header, payload.to_vec()));
            return;
        }
        assert_eq!(header.payload_type, self.format.payload_type, "in its own codec only");
        let mut room = [0; PACKET_MAX];
        self.heard.extend_from_slice(self.decoder.decode(payload, &mut room).unwrap());
        self.heads.push(header);
    }
}

struct Room {
    engine: Engine,
    phones: Vec<Phone>,
    now: Instant,
    rng: Rng,
    lost: u8,
    silent: Vec<usize>,
    /// Seats without telephone events.
    keyless: Vec<u16>,
}

fn format(codec: Codec) -> Format {
    let payload_type = match codec {
        Codec::Amr(_) => 96,
        Codec::G711(law) => law.payload_type(),
        Codec::G722 => 9,
        Codec::L16(_) => 97,
        Codec::Opus => 111,
    };
    Format { payload_type, codec }
}

impl Room {
    /// Two sides that share no codec.
    fn call(seed: u64, codecs: [Codec; 2]) -> Self {
        Self::keyless(seed, codecs, Vec::new())
    }

    /// The same where some know no telephone events.
    fn keyless(seed: u64, codecs: [Codec; 2], keyless: Vec<u16>) -> Self {
        let mut room = Self {
            engine: Engine::new(),
            phones: Vec::new(),
            now: Instant::seconds(5),
            rng: Rng::from_number(seed),
            lost: 0,
            silent: Vec::new(),
            keyless,
        };
        room.engine.command(Command::Open { stream: STREAM, ports: [100, 102] }, room.now);
        for (side, codec) in codecs.into_iter().enumerate() {
            room.sit(Seat(side as u16), 100 + side as u16 * 2, codec, Voice::All, false);
        }
        room
    }

    fn join(&mut self, codec: Codec, voice: Voice) -> usize {
        let seat = Seat(self.phones.len() as u16);
        let port = 200 + seat.0 * 2;
        self.engine.command(Command::Admit { stream: STREAM, seat, port }, self.now);
        self.sit(seat, port, codec, voice, true);
        self.phones.len() - 1
    }

    fn sit(&mut self, seat: Seat, port: u16, codec: Codec, voice: Voice, passes: bool) {
        let format = format(codec);
        let address = SocketAddr::new([198, 51, 100, 7].into(), 4000 + port);
        let rtcp = SocketAddr::new(address.ip(), address.port() + 1);
        let aim = Command::Aim { stream: STREAM, seat, rtp: address, rtcp, receives: true };
        self.engine.command(aim, self.now);
        let events = Events { payload_type: KEYS, clock: codec.clock() };
        let events = Some(events).filter(|_| !self.keyless.contains(&seat.0));
        let sound = Some(Sound { passes, ..Sound::of(format, events) });
        let chance = self.rng.next_u64();
        let part = Command::Take { stream: STREAM, seat, sound, voice, chance };
        self.engine.command(part, self.now);
        let rate = codec.rate();
        let header = Header {
            marker: false,
            payload_type: format.payload_type,
            sequence: self.rng.next_u64() as u16,
            timestamp: self.rng.next_u64() as u32,
            ssrc: self.rng.next_u64() as u32,
        };
        self.phones.push(Phone {
            seat,
            port,
            address,
            format,
            tone: 500.0 + 170.0 * f64::from(seat.0),
            encoder: Encoder::new(codec, rate).unwrap(),
            decoder: Decoder::new(codec, rate).unwrap(),
            header,
            said: 0,
            key: None,
            heard: Vec::new(),
            heads: Vec::new(),
            keys: Vec::new(),
        });
    }

    fn run(&mut self, frames: usize) {
        for _ in 0..frames {
            for place in 0..self.phones.len() {
                let mut wire = self.phones[place].packet();
                if self.silent.contains(&place) || self.rng.percent(self.lost) {
                    continue;
                }
                self.send(place, &mut wire);
            }
            self.now = self.now + Duration::from_millis(20);
            let Self { engine, phones, now, .. } = self;
            engine.tick(*now, |port, to, wire| {
                if Kind::of(wire) == Some(Kind::Rtp) {
                    let phone = phones.iter_mut().find(|phone| phone.address == to).unwrap();
                    assert_eq!(port, phone.port);
                    phone.receive(wire);
                }
            });
        }
    }

    fn send(&mut self, place: usize, wire: &mut [u8]) {
        let (port, from) = (self.phones[place].port, self.phones[place].address);
        let passed = self.engine.packet(port, from, wire, self.now);
        assert_eq!(passed, None, "what the other does not know never passes");
    }

    #[track_caller]
    fn hears(&self, phone: usize, others: &[usize], loud: f64) {
        let known = &self.phones[phone];
        let recent = &known.heard[known.heard.len().saturating_sub(40 * known.rate().frame())..];
        for (place, other) in self.phones.iter().enumerate() {
            let measured = level(recent, other.tone, known.rate());
            if others.contains(&place) {
                assert!(measured > loud, "{phone} hears {measured} of {place}");
            } else {
                assert!(measured < 300.0, "{phone} hears {measured} of {place}");
            }
        }
    }
}

fn level(pcm: &[i16], tone: f64, rate: Rate) -> f64 {
    let step = TAU * tone / f64::from(rate.hertz());
    let (mut sine, mut cosine) = (0.0, 0.0);
    for (place, sample) in pcm.iter().enumerate() {
        let window = 0.5 - 0.5 * (TAU * place as f64 / pcm.len() as f64).cos();
        sine += (step * place as f64).sin() * window * f64::from(*sample);
        cosine += (step * place as f64).cos() * window * f64::from(*sample);
    }
    4.0 * (sine * sine + cosine * cosine).sqrt() / pcm.len() as f64
}

const CODECS: [Codec; 5] =
    [Codec::G711(Law::A), Codec::G711(Law::Mu), Codec::G722, Codec::L16(Rate::Wide), Codec::Opus];

#[test]
fn any_codec_is_heard_by_any_other() {
    for a in CODECS {
        for b in CODECS.into_iter().filter(|b| *b != a) {
            let mut room = Room::call(1, [a, b]);
            room.run(120);
            room.hears(0, &[1], 4500.0);
            room.hears(1, &[0], 4500.0);
            for phone in &room.phones {
                // One packet a tick, numbered without a gap, at the clock of the codec, from one source.
                assert!(phone.heads.len() >= 119, "{a:?} {b:?}");
                for pair in phone.heads.windows(2) {
                    assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1));
                    let step = pair[1].timestamp.wrapping_sub(pair[0].timestamp);
                    assert_eq!((step, pair[1].ssrc), (phone.format.codec.pace(), pair[0].ssrc));
                }
            }
        }
    }
}

#[test]
fn loss_is_concealed() {
    for a in [Codec::Opus, Codec::G722] {
        let mut room = Room::call(2, [a, Codec::G711(Law::A)]);
        room.run(50);
        room.lost = 5;
        room.run(200);
        room.hears(0, &[1], 2500.0);
        room.hears(1, &[0], 2500.0);
        // A single lost packet leaves no hole: no frame is silent.
        let rate = room.phones[1].rate();
        let silent = room.phones[1].heard[20 * rate.frame()..]
            .chunks(rate.frame())
            .filter(|frame| frame.iter().all(|sample| sample.abs() < 200));
        assert_eq!(silent.count(), 0, "{a:?}");
    }
}

#[test]
fn keys_have_the_clock_of_who_hears_them() {
    let mut room = Room::call(3, [Codec::Opus, Codec::G711(Law::A)]);
    room.run(20);
    for (from, to, ticks) in [(0, 1, 8000), (1, 0, 48_000)] {
        let header = Header { payload_type: KEYS, marker: true, ..room.phones[from].header };
        let clock = room.phones[from].format.codec.clock();
        let [d0, d1] = u16::try_from(clock / 10).unwrap().to_be_bytes();
        let mut wire = Packet { header, payload: &[5, 0x8a, d0, d1] }.encode();
        room.send(from, &mut wire);
        room.run(2);
        let [(_, key)] = &room.phones[to].keys[..] else { panic!("{:?}", room.phones[to].keys) };
        assert_eq!(key[..2], [5, 0x8a]);
        assert_eq!(u32::from(u16::from_be_bytes([key[2], key[3]])), ticks / 10);
    }
}

#[test]
fn keys_in_the_sound_become_events() {
    let mut room = Room::keyless(7, [Codec::G711(Law::A), Codec::Opus], vec![0]);
    room.run(20);
    let mut pressed = Vec::new();
    for key in ['5', '#', '#'] {
        room.phones[0].key = media::dtmf::tones(key);
        room.run(6);
        room.phones[0].key = None;
        room.run(10);
        let keys = std::mem::take(&mut room.phones[1].keys);
        assert_eq!(keys.iter().filter(|(header, _)| header.marker).count(), 1);
        assert_eq!(keys.iter().filter(|(_, payload)| payload[1] & 0x80 != 0).count(), 3);
        assert!(keys.windows(2).all(|pair| pair[0].0.timestamp == pair[1].0.timestamp));
        let (_, last) = keys.last().unwrap();
        let ticks = u16::from_be_bytes([last[2], last[3]]);
        assert!((2_880..=6_720).contains(&ticks), "{ticks}"); // 60 to 140 ms of the hearer's clock.
        pressed.push(last[0]);
    }
    assert_eq!(pressed, [5, 11, 11]);
}

/// A third joins: everybody hears everybody else at the highest rate that two have.
#[test]
fn a_mix_has_wide_sound_where_two_legs_have_it() {
    let mut room = Room::call(4, [Codec::Opus, Codec::G711(Law::A)]);
    let third = room.join(Codec::G722, Voice::All);
    let listener = room.join(Codec::Opus, Voice::Nobody);
    // 5 kHz is beyond what G.711 can carry.
    room.phones[0].tone = 5000.0;
    room.silent = vec![listener];
    room.run(150);
    room.hears(third, &[0, 1], 3000.0);
    room.hears(listener, &[0, 1, third], 2500.0);
    room.hears(1, &[third], 3000.0);
    room.hears(0, &[1, third], 3000.0);
}

#[test]
fn what_passes_again_is_left_alone() {
    let law = Codec::G711(Law::A);
    let mut room = Room::call(5, [Codec::Opus, law]);
    room.run(20);
    // A re-INVITE made both agree on one law.
    for phone in 0..2 {
        let Phone { seat, .. } = room.phones[phone];
        let sound = Some(Sound::of(format(law), None));
        let part = Command::Take { stream: STREAM, seat, sound, voice: Voice::All, chance: 7 };
        room.engine.command(part, room.now);
    }
    let header = Header { payload_type: 8, ..room.phones[1].header };
    let mut wire = Packet { header, payload: &[0xd5; 160] }.encode();
    let (port, from) = (room.phones[1].port, room.phones[1].address);
    let passed = room.engine.packet(port, from, &mut wire, room.now);
    assert_eq!(passed, Some((100, room.phones[0].address)));
    assert_eq!(room.engine.deadline(), None);
    // Under the numbers that the hearer knows.
    let last = room.phones[0].heads.last().unwrap();
    let renumbered = Packet::decode(&wire).unwrap().header;
    assert_eq!(renumbered.ssrc, last.ssrc);
    assert_eq!(renumbered.sequence, last.sequence.wrapping_add(1));
}

/// Whatever is sent in the name of any codec: no panic, and they hear each other afterwards.
#[test]
fn hostile_payloads_stay_harmless() {
    let mut room = Room::call(6, [Codec::Opus, Codec::G722]);
    let third = room.join(Codec::L16(Rate::Wide), Voice::All);
    let mut rng = Rng::from_number(66);
    for round in 0..20_000u64 {
        let phone = [0, 1, third][rng.below(3) as usize];
        let mut payload = vec![0; rng.below(1600) as usize];
        rng.fill(&mut payload);
        let known = room.phones[phone].header;
        let header = Header {
            payload_type: [0, 8, 9, 13, 97, KEYS, 111, 127][rng.below(8) as usize],
            sequence: rng.next_u64() as u16,
            timestamp: if rng.percent(50) { rng.next_u64() as u32 } else { round as u32 * 160 },
            marker: rng.percent(5),
            ssrc: if rng.percent(50) { known.ssrc } else { rng.below(4) as u32 },
        };
        let mut wire = Packet { header, payload: &payload }.encode();
        let (port, from) = (room.phones[phone].port, room.phones[phone].address);
        room.engine.packet(port, from, &mut wire, room.now);
        if round % 5 == 0 {
            room.now = room.now + Duration::from_millis(1 + rng.below(30));
            room.engine.tick(room.now, |_, _, _| ());
        }
    }
    room.run(300);
    room.hears(0, &[1, third], 3000.0);
    room.hears(1, &[0, third], 3000.0);
}
