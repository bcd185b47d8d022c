//! The flight recorder: what went into each shard, so that the same run can be had again.
//!
//! Picture     Recorder --frames--> file --Replay--> Start, then (Input, Clock, hash) in order
//! Rules       Pure: octets out, octets in. A frame is a length (u32, little-endian) and that many octets: one octet for
//!             its kind, two for its shard (little-endian), then postcard. A torn tail ends the replay, it is no fault.
//!             The hash of an input's outputs follows from the outputs alone, not from where they lie in the arena.
//! Limits      FRAME_BYTES_MAX.
//! Not here    The file.
//! Spec        postcard's wire format; FNV-1a, 64 bits.

use std::fmt::{self, Write as _};
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sip::digest::Algorithm;
use sip::transaction::Timers;
use types::{Secret, Transport};

use crate::core::{Apps, Config, Door, Listener};
pub use crate::flight::Crash;
use crate::input::{Clock, Input, Output, Outputs};

/// What a recording begins with.
pub const MAGIC: &[u8; 8] = b"CARREC04";
/// The longest frame that is read.
pub const FRAME_BYTES_MAX: usize = 8 << 20;

const START: u8 = 1;
const STEP: u8 = 2;
const CRASH: u8 = 3;

/// What one shard was started with. It holds the node's secret: keep the file as well as that.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Start {
    index: u16,
    shards: u16,
    seed: [u8; 32],
    secret: [u8; 32],
    domain: String,
    hosts: Vec<String>,
    listeners: Vec<(Transport, String)>,
    require_auth: bool,
    digest: Vec<String>,
    media_address: IpAddr,
    media_ports: (u16, u16),
    door: Option<Door>,
    shared_port: Option<u16>,
    amr: [bool; 3],
    public: String,
    push_wait_millis: u32,
    apps: (String, String),
    ladder_memory: u64,
    timers_millis: [u32; 3],
    /// The rooms' sections of the configuration, as TOML.
    pub rooms: String,
}

impl Start {
    /// What `config` and the rooms' sections say.
    pub fn new(config: &Config, rooms: &str) -> Self {
        let millis = |span: Duration| u32::try_from(span.as_millis()).unwrap_or(u32::MAX);
        let timers = config.timers;
        Self {
            index: config.index as u16,
            shards: config.shards as u16,
            seed: config.seed,
            secret: config.secret,
            domain: config.domain.clone(),
            hosts: config.hosts.clone(),
            listeners: config.listeners.iter().map(|l| (l.transport, l.sent_by.clone())).collect(),
            require_auth: config.require_auth,
            digest: config.digest.iter().map(|known| known.name().to_owned()).collect(),
            media_address: config.media_address,
            media_ports: (*config.media_ports.start(), *config.media_ports.end()),
            door: config.door,
            shared_port: config.shared_port,
            amr: [config.amr.narrow, config.amr.wide, config.amr.offered],
            public: config.public.clone(),
            push_wait_millis: millis(config.push_wait),
            apps: (config.apps.sid.clone(), config.apps.token.reveal().clone()),
            ladder_memory: config.ladder_memory as u64,
            timers_millis: [millis(timers.t1()), millis(timers.t2()), millis(timers.t4())],
            rooms: rooms.to_owned(),
        }
    }

    /// The configuration of the shard.
    pub fn config(&self) -> Config {
        let span = |millis: u32| Duration::from_millis(u64::from(millis));
        let [t1, t2, t4] = self.timers_millis;
        let [narrow, wide, offered] = self.amr;
        let listener = |(transport, sent_by): &(Transport, String)| Listener {
            transport: *transport,
            sent_by: sent_by.clone(),
        };
        Config {
            index: usize::from(self.index),
            shards: usize::from(self.shards),
            seed: self.seed,
            secret: self.secret,
            domain: self.domain.clone(),
            hosts: self.hosts.clone(),
            listeners: self.listeners.iter().map(listener).collect(),
            require_auth: self.require_auth,
            digest: self.digest.iter().filter_map(|n| Algorithm::parse(n.as_bytes())).collect(),
            media_address: self.media_address,
            media_ports: self.media_ports.0..=self.media_ports.1,
            door: self.door,
            shared_port: self.shared_port,
            amr: sdp::AmrKnown { narrow, wide, offered },
            public: self.public.clone(),
            push_wait: span(self.push_wait_millis),
            apps: Apps { sid: self.apps.0.clone(), token: Secret::new(self.apps.1.clone()) },
            ladder_memory: usize::try_from(self.ladder_memory).unwrap_or(usize::MAX),
            timers: Timers::new(span(t1), span(t2), span(t4)),
        }
    }
}

/// Writes the frames of one shard.
#[derive(Debug)]
pub struct Recorder {
    shard: u16,
    step: Vec<u8>,
}

impl Recorder {
    /// The recorder of a shard and its first frame, appended to `out`.
    pub fn new(shard: usize, start: &Start, out: &mut Vec<u8>) -> Self {
        let recorder = Self { shard: shard as u16, step: Vec::new() };
        let body = postcard::to_allocvec(start).unwrap_or_default();
        recorder.frame(START, &body, out);
        recorder
    }

    /// Notes an input before it is handled.
    pub fn input(&mut self, input: &Input<'_>, clock: Clock) {
        self.step = postcard::to_allocvec(&(clock, input)).unwrap_or_default();
    }

    /// Notes what came of it, and appends the frame to `out`.
    pub fn outputs(&mut self, hash: u64, out: &mut Vec<u8>) {
        let mut body = hash.to_le_bytes().to_vec();
        body.append(&mut self.step);
        self.frame(STEP, &body, out);
    }

    fn frame(&self, kind: u8, body: &[u8], out: &mut Vec<u8>) {
        frame(self.shard, kind, body, out);
    }
}

fn frame(shard: u16, kind: u8, body: &[u8], out: &mut Vec<u8>) {
    let length = u32::try_from(body.len() + 3).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_le_bytes());
    out.push(kind);
    out.extend_from_slice(&shard.to_le_bytes());
    out.extend_from_slice(body);
}

/// Writes the report of a panic: frames that are shown, not walked through again.
#[derive(Debug)]
pub(crate) struct Frames {
    shard: u16,
    out: Vec<u8>,
}

impl Frames {
    pub(crate) fn new(shard: usize) -> Self {
        Self { shard: shard as u16, out: Vec::new() }
    }

    pub(crate) fn crash(&mut self, crash: &Crash) {
        let body = postcard::to_allocvec(crash).unwrap_or_default();
        frame(self.shard, CRASH, &body, &mut self.out);
    }

    pub(crate) fn step(&mut self, clock: Clock, input: &Input<'_>) {
        let mut body = 0u64.to_le_bytes().to_vec();
        body = postcard::to_extend(&(clock, input), body).unwrap_or_default();
        frame(self.shard, STEP, &body, &mut self.out);
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.out
    }
}

/// One frame of a recording.
#[derive(Clone, Debug)]
pub enum Frame<'a> {
    /// What follows is no recording but the report of a panic.
    Crash(Crash),
    /// A shard begins.
    Start(Box<Start>),
    /// An input, and the hash of what came of it.
    Step {
        /// Both clocks.
        clock: Clock,
        /// The input.
        input: Input<'a>,
        /// What [`hash_outputs`] gave; 0 in a report.
        hash: u64,
    },
}

/// Reads a recording; ends at its end or at the first frame that is torn or not understood.
#[derive(Clone, Debug)]
pub struct Replay<'a> {
    rest: &'a [u8],
}

impl<'a> Replay<'a> {
    /// Reads `bytes`; `None`: no recording of this version.
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        bytes.strip_prefix(MAGIC).map(|rest| Self { rest })
    }

    /// Octets that were not read (a torn tail, when the iterator has ended).
    pub fn left(&self) -> usize {
        self.rest.len()
    }
}

impl<'a> Iterator for Replay<'a> {
    type Item = (usize, Frame<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let (length, rest) = self.rest.split_first_chunk::<4>()?;
        let length = u32::from_le_bytes(*length) as usize;
        if length > FRAME_BYTES_MAX {
            return None;
        }
        let (frame, rest) = rest.split_at_checked(length)?;
        let (kind, frame) = frame.split_first()?;
        let (shard, body) = frame.split_first_chunk::<2>()?;
        let shard = usize::from(u16::from_le_bytes(*shard));
        let frame = match *kind {
            CRASH => Frame::Crash(postcard::from_bytes(body).ok()?),
            START => Frame::Start(Box::new(postcard::from_bytes(body).ok()?)),
            STEP => {
                let (hash, body) = body.split_first_chunk::<8>()?;
                let (clock, input) = postcard::from_bytes(body).ok()?;
                Frame::Step { clock, input, hash: u64::from_le_bytes(*hash) }
            }
            _ => return None,
        };
        self.rest = rest;
        Some((shard, frame))
    }
}

/// A hash over outputs that is the same on every machine and in every run.
pub fn hash_outputs(outputs: &Outputs) -> u64 {
    hash_outputs_from(outputs, 0)
}

/// As [`hash_outputs`], for the outputs from place `from` on: those of one input of several.
pub fn hash_outputs_from(outputs: &Outputs, from: usize) -> u64 {
    let mut sum = Fnv::default();
    for output in outputs.list.get(from..).unwrap_or_default() {
        // Writing into a sum cannot fail.
        let _ = if let Output::Send { flow, range, after } = output {
            // The range depends on what else lies in the arena: its octets stand for it.
            let written = write!(sum, "Send {flow:?} {after:?} ");
            sum.octets(outputs.arena.get(range.clone()).unwrap_or_default());
            written
        } else {
            write!(sum, "{output:?}")
        };
        sum.octets(&[0]);
    }
    sum.0
}

struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn octets(&mut self, octets: &[u8]) {
        for octet in octets {
            self.0 = (self.0 ^ u64::from(*octet)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

impl fmt::Write for Fnv {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.octets(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::{Flow, Instant, UnixTime};

    fn start() -> Start {
        Start {
            index: 1,
            shards: 2,
            seed: [1; 32],
            secret: [2; 32],
            domain: "localhost".into(),
            hosts: vec!["127.0.0.1".into()],
            listeners: vec![(Transport::Udp, "127.0.0.1:5060".into())],
            require_auth: true,
            digest: vec!["MD5".into()],
            media_address: [127, 0, 0, 1].into(),
            media_ports: (20_000, 20_999),
            door: Some(Door {
                address: ([127, 0, 0, 1], 21_000).into(),
                fingerprint: [7; 32],
                streams: true,
            }),
            shared_port: Some(22_000),
            amr: [true, false, true],
            public: "http://127.0.0.1:8088".into(),
            push_wait_millis: 20_000,
            apps: ("AC1".to_owned(), "key".to_owned()),
            ladder_memory: 1 << 20,
            timers_millis: [500, 4_000, 5_000],
            rooms: "[calls]\n".into(),
        }
    }

    #[test]
    fn frames_come_back_and_a_torn_tail_is_left() {
        let mut wire = MAGIC.to_vec();
        let mut recorder = Recorder::new(1, &start(), &mut wire);
        let clock = Clock { now: Instant(7), unix: UnixTime(9) };
        let flow = Flow::udp(([192, 0, 2, 1], 5060).into());
        recorder.input(&Input::Message { flow, bytes: b"OPTIONS" }, clock);
        recorder.outputs(42, &mut wire);
        for end in MAGIC.len()..wire.len() {
            assert!(Replay::new(&wire[..end]).unwrap().count() < 2);
        }
        let mut replay = Replay::new(&wire).unwrap();
        let Some((1, Frame::Start(read))) = replay.next() else { panic!("a start") };
        assert_eq!(*read, start());
        assert_eq!(Start::new(&read.config(), &read.rooms), start());
        let Some((1, Frame::Step { clock: at, input, hash: 42 })) = replay.next() else {
            panic!("a step")
        };
        assert_eq!(at, clock);
        let Input::Message { bytes: b"OPTIONS", .. } = input else { panic!("{input:?}") };
        assert!(replay.next().is_none() && replay.left() == 0);
    }

    #[test]
    fn the_hash_is_of_the_octets_and_not_of_their_place() {
        let flow = Flow::udp(([192, 0, 2, 1], 5060).into());
        let send = |range| Output::Send { flow, range, after: None };
        let one = Outputs { list: vec![send(0..3)], arena: b"abc".to_vec() };
        let two = Outputs { list: vec![send(0..1), send(1..4)], arena: b"zabc".to_vec() };
        assert_eq!(hash_outputs(&one), hash_outputs_from(&two, 1));
        assert_ne!(hash_outputs(&one), hash_outputs(&two));
        assert_eq!(hash_outputs(&Outputs::default()), 0xcbf2_9ce4_8422_2325);
    }

    #[test]
    fn hostile_octets_never_panic() {
        let mut wire = MAGIC.to_vec();
        let mut recorder = Recorder::new(1, &start(), &mut wire);
        let flow = Flow::udp(([192, 0, 2, 1], 5060).into());
        for number in 0..5 {
            let clock = Clock { now: Instant(number), unix: UnixTime(number) };
            recorder.input(&Input::Message { flow, bytes: b"OPTIONS" }, clock);
            recorder.outputs(number, &mut wire);
        }
        let mut rng = types::Rng::from_number(4);
        let mut frames = 0;
        for _ in 0..5_000 {
            let mut torn = wire.clone();
            for _ in 0..=rng.below(3) {
                let at = MAGIC.len() + rng.below((torn.len() - MAGIC.len()) as u64) as usize;
                torn[at] = rng.next_u64() as u8;
            }
            torn.truncate(MAGIC.len() + 1 + rng.below(torn.len() as u64) as usize);
            let mut replay = Replay::new(&torn).expect("the first octets were left alone");
            frames += replay.by_ref().count();
            assert!(replay.left() <= torn.len());
        }
        assert!(frames > 1_000, "the mutator is too wild: {frames}");
    }
}
