//! The jitter buffer: packets come when they come, one frame leaves every tick.
//!
//! Picture     packet --put(ssrc, timestamp, payload)--> waiting by time --take, decode in order--> 20 ms, always
//! Rules       Sound waits as long as the network makes it: a packet that comes too late moves the playout back to
//!             where it can be heard, and a window in which nothing came close to its time moves it forward by one
//!             frame at most. Payloads wait undecoded, so that a codec with memory sees them in the order of the
//!             sender. A gap is filled by what the codec knows of it, else by the frame before it, fading, then by
//!             silence, or by the noise that the sender asked for. Another sender (SSRC) counts when it has shown
//!             itself twice in a row.
//! Limits      [`DELAY_MAX`]: beyond, what is oldest is skipped. [`WINDOW`]. WAITING_MAX packets, whose octets are
//!             kept for the next ones.
//! Not here    Whose packet it is, other rates than the codec's.
//! Spec        RFC 3550 §5.1 (timestamps), §A.1 (probation of a source), RFC 3389 §3 (comfort noise).

use std::collections::VecDeque;
use std::time::Duration;

use crate::codec::{Codec, Coders, Decoder, FRAME_MAX, PACKET_MAX, PAYLOAD_MAX, Rate};

/// The longest that sound may wait here.
pub const DELAY_MAX: Duration = Duration::from_millis(200);

/// [`DELAY_MAX`] in frames.
const FRAMES_MAX: u32 = 10;

/// Packets that are watched before the delay is made smaller: two seconds of 20 ms each.
pub const WINDOW: u32 = 100;

/// The delay at the beginning, 40 ms, before anything is known of the network. In frames.
const FRAMES_START: u32 = 2;

/// Packets that wait: those of the longest delay, 2.5 ms each.
const WAITING_MAX: usize = 80;

/// Frames of a gap that are filled by what was before.
const CONCEALED_MAX: u32 = 3;

/// Frames for which a silence that the sender described goes on without another word of it: a second.
const RESTING_MAX: u32 = 50;

/// Packets in a row by which a new sender shows that it is one.
const PROBATION: u8 = 2;

/// Packets whose times are remembered, so that a second copy is known from a latecomer.
const KNOWN: usize = 16;

/// See the head of this file.
#[derive(Debug)]
pub struct Jitter {
    /// The rate that is wanted, where the codec leaves the choice.
    wanted: Rate,
    decoder: Option<Decoder>,
    /// By time, the next one in front.
    waiting: VecDeque<Waiting>,
    /// Octets of payloads for reuse.
    spare: Vec<Vec<u8>>,
    /// What was decoded and not taken.
    left: Left,
    source: Option<Source>,
    /// Somebody who may be the sender from now on: who, and how often in a row.
    newcomer: Option<(u32, u8)>,
    /// The frame that left last, for a gap.
    last: Box<[i16; FRAME_MAX]>,
    /// Frames without a sample since the last one with some.
    missed: u32,
    /// How loud the noise is that stands for silence, and where its chance has got to.
    comfort: Option<(i16, u32)>,
    counts: Counts,
}

/// What went through a jitter buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Packets that came after their time had been taken.
    pub late: u64,
    /// Frames without any sample while somebody was heard before.
    pub concealed: u64,
    /// Times that the playout was set anew: another sender, or a jump.
    pub restarts: u64,
}

#[derive(Debug)]
struct Waiting {
    timestamp: u32,
    ticks: u32,
    payload: Vec<u8>,
}

impl Waiting {
    const fn end(&self) -> u32 {
        self.timestamp.wrapping_add(self.ticks)
    }
}

/// Samples of the packet that was decoded last.
#[derive(Debug)]
struct Left {
    pcm: Box<[i16; PACKET_MAX]>,
    /// Which of them are left.
    from: usize,
    end: usize,
}

#[derive(Clone, Copy, Debug)]
struct Source {
    ssrc: u32,
    codec: Codec,
    /// The timestamp that is taken next.
    next: u32,
    /// The end of the newest packet.
    end: u32,
    /// The end of what was decoded.
    decoded: Option<u32>,
    /// Times of packets that were decoded, and where the next one is noted.
    known: ([u32; KNOWN], usize),
    /// The least that a packet of this window was ahead of its time.
    low: i32,
    /// Packets of this window.
    seen: u32,
    /// Ticks that may be left out at the next quiet frame.
    surplus: u32,
}

impl Default for Jitter {
    fn default() -> Self {
        Self::new()
    }
}

impl Jitter {
    /// A buffer that has heard nobody.
    pub fn new() -> Self {
        Self {
            wanted: Rate::Narrow,
            decoder: None,
            waiting: VecDeque::new(),
            spare: Vec::new(),
            left: Left { pcm: Box::new([0; PACKET_MAX]), from: 0, end: 0 },
            source: None,
            newcomer: None,
            last: Box::new([0; FRAME_MAX]),
            missed: CONCEALED_MAX,
            comfort: None,
            counts: Counts::default(),
        }
    }

    /// What went through it.
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// The rate at which sound is wanted; a codec that has one of its own keeps it.
    pub fn want(&mut self, rate: Rate) {
        self.wanted = rate;
    }

    /// How much sound waits, in frames.
    pub fn waiting(&self) -> u32 {
        self.source.map_or(0, |source| {
            let ahead = source.end.wrapping_sub(source.next) as i32;
            ahead.max(0).unsigned_abs().div_ceil(source.codec.pace())
        })
    }

    /// Whether sound came lately: what [`take`](Self::take) gave last was heard or concealed.
    pub fn speaks(&self) -> bool {
        self.missed < CONCEALED_MAX || self.comfort.is_some() || self.rests()
    }

    /// Whether the codec goes on with a silence that the sender described.
    fn rests(&self) -> bool {
        self.missed < RESTING_MAX && self.decoder.as_ref().is_some_and(Decoder::rests)
    }

    /// The mode in which the sender wants to be spoken to.
    pub fn wish(&self) -> Option<u8> {
        self.decoder.as_ref().and_then(Decoder::wish)
    }

    /// Whether anybody was ever heard.
    pub const fn has_heard(&self) -> bool {
        self.source.is_some() || self.comfort.is_some()
    }

    /// Lays one packet at its time; false when it holds no sound of that codec.
    pub fn put(&mut self, ssrc: u32, timestamp: u32, codec: Codec, payload: &[u8]) -> bool {
        let Some(ticks) = codec.ticks(payload).filter(|_| payload.len() <= PAYLOAD_MAX) else {
            return false;
        };
        let known = self.source.filter(|source| source.ssrc == ssrc && source.codec == codec);
        if known.is_some() {
            self.newcomer = None;
        } else if self.source.is_some_and(|source| source.ssrc != ssrc) && !self.proves(ssrc) {
            return true;
        }
        let far = FRAMES_MAX * codec.pace();
        let mut source = known
            .filter(|source| (timestamp.wrapping_sub(source.next) as i32).unsigned_abs() <= far)
            .unwrap_or_else(|| self.restart(ssrc, timestamp, codec));
        let ahead = timestamp.wrapping_sub(source.next) as i32;
        source.watch(ahead);
        let end = timestamp.wrapping_add(ticks);
        let past = source.decoded.is_some_and(|decoded| end.wrapping_sub(decoded) as i32 <= 0);
        if ahead < 0 && !(past && source.known.0.contains(&timestamp)) {
            self.counts.late += 1;
            source.next = source.next.wrapping_sub(ahead.unsigned_abs());
        }
        if end.wrapping_sub(source.end) as i32 > 0 {
            source.end = end;
        }
        // Too much waits: what is oldest is skipped.
        let excess = source.end.wrapping_sub(source.next) as i32 - far as i32;
        if excess > 0 {
            source.next = source.next.wrapping_add(excess.unsigned_abs());
        }
        self.source = Some(source);
        if !past {
            self.queue(timestamp, ticks, payload);
        }
        true
    }

    /// The sender falls silent and says how its silence sounds.
    ///
    /// Spec: RFC 3389 §3.1 (the level, in -dBov; the spectrum is not looked at)
    pub fn hush(&mut self, payload: &[u8]) {
        let Some(level) = payload.first().map(|level| level & 0x7f) else { return };
        // Six decibels are half the amplitude; between, two thirds of the way.
        let (halves, rest) = (level / 6, i32::from(level % 6));
        let loud = (i32::from(i16::MAX) >> halves.min(15)) * (12 - rest) / 12;
        let chance = self.comfort.map_or(1, |(_, chance)| chance);
        self.comfort = Some((loud as i16, chance));
    }

    /// The next frame and its rate. Whether any of it was received is in [`speaks`](Self::speaks) and
    /// [`counts`](Self::counts): a gap gives what the codec makes of it, then silence.
    pub fn take<'a>(
        &mut self,
        coders: &Coders,
        frame: &'a mut [i16; FRAME_MAX],
    ) -> (Rate, &'a [i16], bool) {
        let Some(mut source) = self.source else {
            frame.fill(0);
            return (Rate::Narrow, frame.get(..Rate::Narrow.frame()).unwrap_or_default(), false);
        };
        self.ready(source.codec, coders);
        let rate = self.decoder.as_ref().map_or(Rate::Narrow, Decoder::rate);
        let out = frame.get_mut(..rate.frame()).unwrap_or_default();
        let heard = self.fill(&mut source, rate, out);
        if heard {
            (self.missed, self.comfort) = (0, None);
        } else {
            self.counts.concealed += u64::from(self.missed < CONCEALED_MAX);
            self.missed = self.missed.saturating_add(1);
        }
        if let Some(last) = self.last.get_mut(..out.len()) {
            last.copy_from_slice(out);
        }
        source.next = source.next.wrapping_add(source.codec.pace());
        if source.surplus > 0 && (!heard || quiet(out)) {
            source.next = source.next.wrapping_add(source.surplus);
            source.surplus = 0;
        }
        self.source = Some(source);
        (rate, out, heard)
    }

    /// A decoder for this codec at the rate that is wanted now.
    fn ready(&mut self, codec: Codec, coders: &Coders) {
        let rate = codec.works_at(self.wanted);
        let fits = |known: &Decoder| known.codec() == codec && known.rate() == rate;
        if !self.decoder.as_ref().is_some_and(fits) {
            self.decoder = coders.decoder(codec, rate);
            (self.left.from, self.left.end) = (0, 0);
        }
    }

    /// Fills a frame from `source.next` on; whether any of it was received.
    fn fill(&mut self, source: &mut Source, rate: Rate, out: &mut [i16]) -> bool {
        let clock = Ticks { clock: source.codec.clock(), rate };
        let (mut filled, mut heard) = (0, false);
        while filled < out.len() {
            let at = source.next.wrapping_add(clock.of(filled));
            let rest = out.get_mut(filled..).unwrap_or_default();
            let missing = match self.left.start(source, clock) {
                Some(start) => {
                    let gap = start.wrapping_sub(at) as i32;
                    if gap <= 0 {
                        self.left.skip(clock.samples(gap.unsigned_abs()));
                        let count = self.left.take(rest);
                        (filled, heard) = (filled + count, heard || count > 0);
                        continue;
                    }
                    clock.samples(gap.unsigned_abs()).max(1)
                }
                None => match self.next_gap(source, at) {
                    Some(0) => {
                        self.decode(source);
                        continue;
                    }
                    Some(gap) => clock.samples(gap).max(1),
                    None => usize::MAX,
                },
            };
            let count = missing.min(rest.len());
            if let Some(gap) = rest.get_mut(..count) {
                self.conceal(filled, missing == count, gap);
            }
            filled += count;
        }
        heard
    }

    /// Ticks until the first packet that waits, 0 when its time has come; `None` when none waits. What was decoded
    /// already is forgotten.
    fn next_gap(&mut self, source: &Source, at: u32) -> Option<u32> {
        loop {
            let first = self.waiting.front()?;
            let over = |time: u32| first.end().wrapping_sub(time) as i32 <= 0;
            if !over(at) && !source.decoded.is_some_and(over) {
                return Some((first.timestamp.wrapping_sub(at) as i32).max(0).unsigned_abs());
            }
            let first = self.waiting.pop_front()?;
            self.keep(first.payload);
        }
    }

    /// Decodes the first packet that waits.
    fn decode(&mut self, source: &mut Source) {
        let Some(first) = self.waiting.pop_front() else { return };
        source.decoded = Some(first.end());
        let (known, place) = &mut source.known;
        if let Some(slot) = known.get_mut(*place % KNOWN) {
            *slot = first.timestamp;
        }
        *place = (*place + 1) % KNOWN;
        let decoder = self.decoder.as_mut();
        let pcm = decoder.and_then(|decoder| decoder.decode(&first.payload, &mut self.left.pcm));
        (self.left.from, self.left.end) = (0, pcm.map_or(0, <[i16]>::len));
        self.keep(first.payload);
    }

    /// Fills a part of a frame, which begins at `place`, with what may have been there. `meets`: the first packet
    /// that waits follows at once.
    fn conceal(&mut self, place: usize, meets: bool, gap: &mut [i16]) {
        if let Some((loud, chance)) = &mut self.comfort {
            for sample in gap {
                // Numbers by a linear recurrence: noise needs no better chance.
                *chance = chance.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *sample = ((i32::from(*loud) * ((*chance >> 16) as i16 as i32)) >> 15) as i16;
            }
            return;
        }
        if self.missed >= CONCEALED_MAX && !self.rests() {
            gap.fill(0);
            return;
        }
        let next = self.waiting.front().filter(|_| meets).map(|first| first.payload.as_slice());
        if self.decoder.as_mut().is_some_and(|decoder| decoder.conceal(next, gap)) {
            return;
        }
        for (sample, last) in gap.iter_mut().zip(self.last.iter().skip(place)) {
            *sample = last / 2 + last / 4;
        }
    }

    /// Puts a packet among those that wait.
    fn queue(&mut self, timestamp: u32, ticks: u32, payload: &[u8]) {
        let before = |known: &Waiting| (known.timestamp.wrapping_sub(timestamp) as i32) < 0;
        let place = self.waiting.partition_point(before);
        if self.waiting.get(place).is_some_and(|known| known.timestamp == timestamp) {
            return; // A second copy.
        }
        if self.waiting.len() >= WAITING_MAX {
            return; // The excess has moved the playout on; the next frame makes room.
        }
        let mut octets = self.spare.pop().unwrap_or_default();
        octets.clear();
        octets.extend_from_slice(payload);
        self.waiting.insert(place, Waiting { timestamp, ticks, payload: octets });
    }

    fn keep(&mut self, payload: Vec<u8>) {
        if self.spare.len() < WAITING_MAX {
            self.spare.push(payload);
        }
    }

    /// Whether an unknown sender has shown itself often enough to be the one.
    fn proves(&mut self, ssrc: u32) -> bool {
        let count = match self.newcomer {
            Some((known, count)) if known == ssrc => count + 1,
            Some(_) | None => 1,
        };
        self.newcomer = Some((ssrc, count)).filter(|_| count < PROBATION);
        count >= PROBATION
    }

    fn restart(&mut self, ssrc: u32, timestamp: u32, codec: Codec) -> Source {
        self.counts.restarts += u64::from(self.source.is_some());
        self.newcomer = None;
        while let Some(packet) = self.waiting.pop_front() {
            self.keep(packet.payload);
        }
        (self.left.from, self.left.end) = (0, 0);
        let next = timestamp.wrapping_sub(FRAMES_START * codec.pace());
        Source {
            ssrc,
            codec,
            next,
            end: timestamp,
            decoded: None,
            known: ([timestamp.wrapping_sub(1); KNOWN], 0),
            low: i32::MAX,
            seen: 0,
            surplus: 0,
        }
    }
}

impl Left {
    /// The time of its first sample; `None` when nothing is left.
    fn start(&self, source: &Source, clock: Ticks) -> Option<u32> {
        let count = self.end.checked_sub(self.from).filter(|count| *count > 0)?;
        Some(source.decoded?.wrapping_sub(clock.of(count)))
    }

    fn skip(&mut self, count: usize) {
        self.from = self.from.saturating_add(count).min(self.end);
    }

    fn take(&mut self, out: &mut [i16]) -> usize {
        let held = self.pcm.get(self.from..self.end).unwrap_or_default();
        let count = held.len().min(out.len());
        for (sample, held) in out.iter_mut().zip(held) {
            *sample = *held;
        }
        self.from += count;
        count
    }
}

/// Ticks of a codec's clock and samples of a rate, into each other.
#[derive(Clone, Copy, Debug)]
struct Ticks {
    clock: u32,
    rate: Rate,
}

impl Ticks {
    fn of(self, samples: usize) -> u32 {
        let ticks = samples as u64 * u64::from(self.clock) / u64::from(self.rate.hertz());
        u32::try_from(ticks).unwrap_or(u32::MAX)
    }

    fn samples(self, ticks: u32) -> usize {
        (u64::from(ticks) * u64::from(self.rate.hertz()) / u64::from(self.clock)) as usize
    }
}

impl Source {
    /// Notes how early a packet came. At the end of a window the delay that nobody needed is to go.
    fn watch(&mut self, ahead: i32) {
        self.low = self.low.min(ahead.max(0));
        self.seen += 1;
        if self.seen < WINDOW {
            return;
        }
        // What the closest packet shall have left is one frame, since a tick takes a whole one.
        let frame = self.codec.pace() as i32;
        self.surplus = (self.low - frame).clamp(0, frame).unsigned_abs();
        (self.low, self.seen) = (i32::MAX, 0);
    }
}

/// Whether leaving something out after this frame can hardly be heard.
fn quiet(frame: &[i16]) -> bool {
    frame.iter().all(|sample| sample.unsigned_abs() < 256)
}

#[cfg(test)]
mod tests {
    use types::Rng;

    use super::*;
    use crate::codec::Encoder;
    use crate::hear::level;

    const SSRC: u32 = 7;
    const PLAIN: Codec = Codec::L16(Rate::Narrow);
    const FRAME: usize = 160;

    fn samples(value: i16, count: usize) -> Vec<u8> {
        value.to_be_bytes().repeat(count)
    }

    fn lay(jitter: &mut Jitter, ssrc: u32, timestamp: u32, value: i16) {
        assert!(jitter.put(ssrc, timestamp, PLAIN, &samples(value, FRAME)));
    }

    /// The first sample of the next frame, and whether it was received.
    fn take(jitter: &mut Jitter) -> (bool, i16) {
        let mut frame = [0; FRAME_MAX];
        let (_, pcm, heard) = jitter.take(&Coders::default(), &mut frame);
        (heard, pcm[0])
    }

    /// One packet per tick, each delayed by so many ticks: what comes out, as packet numbers; 0 is silence.
    fn run(start: u32, delays: &[u32]) -> (Vec<i16>, Counts) {
        let mut jitter = Jitter::new();
        let mut out = Vec::new();
        for tick in 0..delays.len() as u32 + 20 {
            for (packet, delay) in delays.iter().enumerate() {
                let packet = packet as u32;
                if packet + delay == tick {
                    let value = packet as i16 + 1;
                    lay(&mut jitter, SSRC, start.wrapping_add(packet * 160), value);
                }
            }
            let (heard, value) = take(&mut jitter);
            out.push(if heard { value } else { 0 });
        }
        (out, jitter.counts())
    }

    #[test]
    fn the_longest_frame_of_plain_samples_fits() {
        let mut jitter = Jitter::new();
        let full = Codec::L16(Rate::Full);
        for packet in 0..3 {
            assert!(jitter.put(SSRC, packet * 960, full, &samples(packet as i16 + 1, 960)));
        }
        assert!(!jitter.put(SSRC, 2880, full, &samples(4, 961)));
        assert_eq!([take(&mut jitter), take(&mut jitter)], [(false, 0), (false, 0)]);
        assert_eq!([take(&mut jitter), take(&mut jitter)], [(true, 1), (true, 2)]);
    }

    #[test]
    fn sound_leaves_in_order_after_the_first_delay() {
        for start in [0, u32::MAX - 500] {
            let (out, counts) = run(start, &[0; 50]);
            let expected: Vec<i16> = (1..=50).collect();
            assert_eq!(out[..2], [0, 0]);
            assert_eq!(out[2..52], expected);
            assert_eq!(counts, Counts { concealed: 3, ..Counts::default() });
        }
    }

    #[test]
    fn order_is_that_of_the_sender() {
        let (out, counts) = run(9000, &[0, 1, 0, 2, 0, 0, 1, 0]);
        assert_eq!(out[2..10], [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(counts.late, 0);
    }

    #[test]
    fn what_comes_too_late_makes_the_delay_longer() {
        let mut delays = [5; 80];
        delays[..10].fill(0);
        let (out, counts) = run(1, &delays);
        assert!(counts.late >= 1 && counts.late <= 3, "{counts:?}");
        // Nothing is lost: there is a pause, and then all goes on.
        let heard: Vec<i16> = out.iter().copied().filter(|packet| *packet != 0).collect();
        assert_eq!(heard, (1..=80).collect::<Vec<i16>>());
    }

    #[test]
    fn packets_that_overtake_each_other_are_waited_for_after_the_first() {
        // Every fifth one is late by more than the first delay.
        let delays: Vec<u32> = (0..200).map(|packet| if packet % 5 == 3 { 4 } else { 0 }).collect();
        let (out, counts) = run(77, &delays);
        let heard: Vec<i16> = out.iter().copied().filter(|packet| *packet != 0).collect();
        assert!(heard.windows(2).all(|pair| pair[0] < pair[1]), "{heard:?}");
        assert!(heard.len() >= 198 && counts.late <= 2, "{} {counts:?}", heard.len());
    }

    #[test]
    fn second_copies_change_nothing() {
        let mut jitter = Jitter::new();
        let mut heard = Vec::new();
        for packet in 0..50u32 {
            lay(&mut jitter, SSRC, packet * 160, packet as i16 + 1);
            for copy in [packet, packet.saturating_sub(2), packet.saturating_sub(6)] {
                lay(&mut jitter, SSRC, copy * 160, copy as i16 + 1);
            }
            heard.push(take(&mut jitter).1);
        }
        assert_eq!(heard[2..], (1..=48).collect::<Vec<i16>>());
        assert_eq!(jitter.counts().late, 0);
    }

    #[test]
    fn delay_that_nobody_needs_goes_in_quiet_moments() {
        let mut jitter = Jitter::new();
        let mut waits = Vec::new();
        for packet in 0..1000u32 {
            // Six early packets pile up; silence after them gives room to catch up.
            lay(&mut jitter, SSRC, packet * 160, 0);
            if !(20..26).contains(&packet) {
                take(&mut jitter);
            }
            waits.push(jitter.waiting());
        }
        assert!(waits[30] >= 7, "{}", waits[30]);
        assert!(*waits.last().unwrap() <= 2, "{}", waits.last().unwrap());
        assert_eq!(jitter.counts().late, 0);
    }

    #[test]
    fn the_longest_delay_is_never_passed() {
        let mut rng = Rng::from_number(8);
        for codec in [PLAIN, Codec::G722, Codec::L16(Rate::Full)] {
            let mut jitter = Jitter::new();
            let mut timestamp = 0u32;
            for _ in 0..10_000 {
                timestamp = match rng.below(50) {
                    0 => rng.next_u64() as u32,
                    1 => timestamp.wrapping_sub(rng.below(2000) as u32),
                    _ => timestamp.wrapping_add(rng.below(400) as u32),
                };
                let length = rng.below(960) as usize + 1;
                jitter.put(rng.below(3) as u32, timestamp, codec, &vec![100; length]);
                if rng.percent(70) {
                    take(&mut jitter);
                }
                assert!(jitter.waiting() <= FRAMES_MAX, "{}", jitter.waiting());
                assert!(jitter.waiting.len() + jitter.spare.len() <= 2 * WAITING_MAX);
            }
        }
    }

    #[test]
    fn a_gap_fades_and_then_is_silent() {
        let mut jitter = Jitter::new();
        lay(&mut jitter, SSRC, 0, 1000);
        let heard: Vec<(bool, i16)> = (0..7).map(|_| take(&mut jitter)).collect();
        let faded = [(false, 750), (false, 562), (false, 421), (false, 0)];
        assert_eq!(heard[..3], [(false, 0), (false, 0), (true, 1000)]);
        assert_eq!(heard[3..], faded);
    }

    #[test]
    fn silence_sounds_as_the_sender_said() {
        let mut jitter = Jitter::new();
        lay(&mut jitter, SSRC, 0, 1000);
        for _ in 0..3 {
            take(&mut jitter);
        }
        jitter.hush(&[]);
        jitter.hush(&[40]);
        let (mut frame, mut noise) = ([0; FRAME_MAX], Vec::new());
        for _ in 0..20 {
            noise.extend_from_slice(jitter.take(&Coders::default(), &mut frame).1);
            assert!(jitter.speaks());
        }
        let loud = noise.iter().map(|sample| sample.unsigned_abs()).max().unwrap();
        assert!((200..450).contains(&loud), "{loud}"); // -40 dB of 32,767.
        lay(&mut jitter, SSRC, 23 * 160, 1000);
        for _ in 0..20 {
            take(&mut jitter);
        }
        assert!(!jitter.speaks()); // The noise was for that silence, not for this loss.
    }

    #[test]
    fn a_stranger_needs_two_packets_in_a_row() {
        let mut jitter = Jitter::new();
        for packet in 0..50u32 {
            lay(&mut jitter, SSRC, packet * 160, 50);
            lay(&mut jitter, 99, 5_000_000 + packet * 160, -50); // Never twice in a row.
            assert!(take(&mut jitter).1 >= 0);
        }
        let mut last = 0;
        for packet in 50..60u32 {
            lay(&mut jitter, 99, packet * 160, -50); // The sender began anew.
            last = take(&mut jitter).1;
        }
        assert_eq!((last, jitter.counts().restarts), (-50, 1));
    }

    /// Packets of any length, lost one in ten: as much sound leaves as time passed, and the tone is heard.
    #[test]
    fn every_codec_is_heard_through_loss() {
        use std::f64::consts::TAU;
        for codec in [Codec::G722, Codec::Opus, Codec::G711(crate::g711::Law::A), PLAIN] {
            for wanted in Rate::ALL {
                let mut encoder = Encoder::new(codec, wanted).unwrap();
                let rate = encoder.rate();
                let mut jitter = Jitter::new();
                jitter.want(wanted);
                let (mut out, mut frame) = (Vec::new(), [0; FRAME_MAX]);
                for tick in 0..150u32 {
                    let turn = |n: usize| {
                        TAU * 400.0 * (tick as usize * rate.frame() + n) as f64
                            / f64::from(rate.hertz())
                    };
                    let pcm: Vec<i16> =
                        (0..rate.frame()).map(|n| (turn(n).sin() * 8000.0) as i16).collect();
                    let mut payload = [0; PAYLOAD_MAX];
                    let octets = encoder.encode(&pcm, &mut payload);
                    if tick % 10 != 7 {
                        jitter.put(SSRC, tick * codec.pace(), codec, &payload[..octets]);
                    }
                    let (got, pcm, _) = jitter.take(&Coders::default(), &mut frame);
                    assert!(tick == 0 || got == rate);
                    out.extend_from_slice(pcm);
                }
                let measured = level(&out[rate.frame() * 20..], 400.0, rate);
                // What is made up for a tenth does not keep the phase.
                assert!((4500.0..9500.0).contains(&measured), "{codec:?} {wanted:?} {measured}");
                assert_eq!(jitter.counts().late, 0);
            }
        }
    }

    #[test]
    fn long_packets_are_taken_frame_by_frame() {
        let mut jitter = Jitter::new();
        let ramp: Vec<u8> = (0..640i16).flat_map(i16::to_be_bytes).collect();
        assert!(jitter.put(SSRC, 500, PLAIN, &ramp));
        let firsts: Vec<i16> = (0..6).map(|_| take(&mut jitter).1).collect();
        assert_eq!(firsts, [0, 0, 0, 160, 320, 480]);
        assert!(!jitter.put(SSRC, 900, PLAIN, &samples(1, 961)));
        assert!(!jitter.put(SSRC, 900, PLAIN, &[]));
    }
}
