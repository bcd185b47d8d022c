//! The jitter buffer: packets come when they come, one frame leaves every tick.
//!
//! Picture     packet --put(ssrc, timestamp, samples)--> ring by timestamp --take--> 160 samples, always
//! Rules       Sound waits as long as the network makes it: a packet that comes too late moves the playout back to
//!             where it can be heard, and a window in which nothing came close to its time moves it forward by one
//!             frame at most. A gap is filled by the frame before it, fading, then by silence. Another sender (SSRC)
//!             counts when it has shown itself twice in a row.
//! Limits      [`DELAY_MAX`]: beyond, what is oldest is skipped. [`WINDOW`]. One ring of 4096 samples, made once.
//! Not here    Decoding, whose packet it is.
//! Spec        RFC 3550 §5.1 (timestamps), §A.1 (probation of a source).

use crate::codec::FRAME;

/// The longest that sound may wait here. Units: samples, 200 ms.
pub const DELAY_MAX: u32 = 1600;

/// Packets that are watched before the delay is made smaller: two seconds of 20 ms each.
pub const WINDOW: u32 = 100;

/// The delay at the beginning, 40 ms, before anything is known of the network.
const DELAY_START: u32 = 2 * FRAME as u32;

/// What the closest packet of a window shall have had left: one frame, since a tick takes a whole one.
const SPARE: i32 = FRAME as i32;

/// Samples of the ring: more than the longest delay and the longest packet together.
const RING: usize = 4096;

/// A place without a sample. No codec gives this value: it is moved by one.
const EMPTY: i16 = i16::MIN;

/// Frames of a gap that are filled by what was before.
const CONCEALED_MAX: u32 = 3;

/// Packets in a row by which a new sender shows that it is one.
const PROBATION: u8 = 2;

/// See the head of this file.
#[derive(Clone, Debug)]
pub struct Jitter {
    ring: Box<[i16; RING]>,
    source: Option<Source>,
    /// Somebody who may be the sender from now on: who, and how often in a row.
    newcomer: Option<(u32, u8)>,
    /// The frame that left last, for a gap.
    last: [i16; FRAME],
    /// Frames without a sample since the last one with some.
    missed: u32,
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

#[derive(Clone, Copy, Debug)]
struct Source {
    ssrc: u32,
    /// The timestamp that is taken next.
    next: u32,
    /// The end of the newest packet.
    end: u32,
    /// The least that a packet of this window was ahead of its time.
    low: i32,
    /// Packets of this window.
    seen: u32,
    /// Samples that may be left out at the next quiet frame.
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
            ring: Box::new([EMPTY; RING]),
            source: None,
            newcomer: None,
            last: [0; FRAME],
            missed: CONCEALED_MAX,
            counts: Counts::default(),
        }
    }

    /// What went through it.
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// How much sound waits, in samples.
    pub fn waiting(&self) -> u32 {
        let ahead = self.source.map_or(0, |source| source.end.wrapping_sub(source.next) as i32);
        ahead.max(0).unsigned_abs()
    }

    /// Whether sound came lately: what [`take`](Self::take) gave last was heard or concealed.
    pub const fn speaks(&self) -> bool {
        self.missed < CONCEALED_MAX
    }

    /// Lays the samples of one packet at their time. Longer ones than the longest delay are cut.
    pub fn put(&mut self, ssrc: u32, timestamp: u32, pcm: &[i16]) {
        let known = self.source.filter(|source| source.ssrc == ssrc);
        if known.is_some() {
            self.newcomer = None;
        } else if self.source.is_some() && !self.proves(ssrc) {
            return;
        }
        let ahead = known.map(|source| timestamp.wrapping_sub(source.next) as i32);
        let mut source = match (known, ahead) {
            (Some(source), Some(ahead)) if ahead.unsigned_abs() <= DELAY_MAX => source,
            (_, _) => self.restart(ssrc, timestamp),
        };
        let ahead = timestamp.wrapping_sub(source.next) as i32;
        if ahead < 0 {
            self.counts.late += 1;
            source.next = source.next.wrapping_sub(ahead.unsigned_abs());
        }
        source.watch(ahead);
        let pcm = pcm.get(..DELAY_MAX as usize).unwrap_or(pcm);
        let end = timestamp.wrapping_add(pcm.len() as u32);
        if end.wrapping_sub(source.end) as i32 > 0 {
            source.end = end;
        }
        // Too much waits: what is oldest is skipped.
        let excess = (source.end.wrapping_sub(source.next) as i32) - DELAY_MAX as i32;
        if excess > 0 {
            self.clear(source.next, excess.unsigned_abs());
            source.next = source.next.wrapping_add(excess.unsigned_abs());
        }
        for (place, sample) in pcm.iter().enumerate() {
            let at = timestamp.wrapping_add(place as u32);
            if (at.wrapping_sub(source.next) as i32) >= 0
                && let Some(slot) = self.ring.get_mut(at as usize % RING)
            {
                *slot = (*sample).max(EMPTY + 1);
            }
        }
        self.source = Some(source);
    }

    /// The next frame. Whether any of it was received: a gap gives the frame before, fading, then silence.
    pub fn take(&mut self, frame: &mut [i16; FRAME]) -> bool {
        let Some(mut source) = self.source else {
            *frame = [0; FRAME];
            return false;
        };
        let heard = self.read(source.next, frame);
        source.next = source.next.wrapping_add(FRAME as u32);
        if source.surplus > 0 && (!heard || quiet(frame)) {
            self.clear(source.next, source.surplus);
            source.next = source.next.wrapping_add(source.surplus);
            source.surplus = 0;
        }
        self.source = Some(source);
        heard
    }

    /// Takes the samples out; the places without one get what was at the same place a frame before, fading.
    fn read(&mut self, next: u32, frame: &mut [i16; FRAME]) -> bool {
        let mut heard = false;
        for (place, (sample, last)) in frame.iter_mut().zip(&self.last).enumerate() {
            let at = next.wrapping_add(place as u32) as usize % RING;
            let slot = self.ring.get_mut(at);
            let found = slot.map_or(EMPTY, |slot| std::mem::replace(slot, EMPTY));
            if found == EMPTY {
                *sample = if self.missed < CONCEALED_MAX { last / 2 + last / 4 } else { 0 };
            } else {
                (*sample, heard) = (found, true);
            }
        }
        if heard {
            self.missed = 0;
        } else {
            self.counts.concealed += u64::from(self.missed < CONCEALED_MAX);
            self.missed = self.missed.saturating_add(1);
        }
        self.last = *frame;
        heard
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

    fn restart(&mut self, ssrc: u32, timestamp: u32) -> Source {
        self.counts.restarts += u64::from(self.source.is_some());
        self.newcomer = None;
        self.ring.fill(EMPTY);
        let next = timestamp.wrapping_sub(DELAY_START);
        Source { ssrc, next, end: timestamp, low: i32::MAX, seen: 0, surplus: 0 }
    }

    fn clear(&mut self, from: u32, count: u32) {
        for place in 0..count.min(RING as u32) {
            if let Some(slot) = self.ring.get_mut(from.wrapping_add(place) as usize % RING) {
                *slot = EMPTY;
            }
        }
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
        self.surplus = (self.low - SPARE).clamp(0, FRAME as i32).unsigned_abs();
        (self.low, self.seen) = (i32::MAX, 0);
    }
}

/// Whether leaving something out after this frame can hardly be heard.
fn quiet(frame: &[i16; FRAME]) -> bool {
    frame.iter().all(|sample| sample.unsigned_abs() < 256)
}

#[cfg(test)]
mod tests {
    use types::Rng;

    use super::*;

    const SSRC: u32 = 7;

    fn numbered(packet: u32) -> [i16; FRAME] {
        [packet as i16 + 1; FRAME]
    }

    /// One packet per tick, each delayed by so many ticks: what comes out, as packet numbers; 0 is silence.
    fn run(start: u32, delays: &[u32]) -> (Vec<i16>, Counts) {
        let mut jitter = Jitter::new();
        let mut out = Vec::new();
        for tick in 0..delays.len() as u32 + 20 {
            for (packet, delay) in delays.iter().enumerate() {
                let packet = packet as u32;
                if packet + delay == tick {
                    jitter.put(SSRC, start.wrapping_add(packet * 160), &numbered(packet));
                }
            }
            let mut frame = [0; FRAME];
            let heard = jitter.take(&mut frame);
            out.push(if heard { frame[0] } else { 0 });
        }
        (out, jitter.counts())
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
    fn delay_that_nobody_needs_goes_in_quiet_moments() {
        let mut jitter = Jitter::new();
        let mut frame = [0; FRAME];
        let mut waits = Vec::new();
        for packet in 0..1000u32 {
            // Twenty early packets pile up 160 ms; silence after them gives room to catch up.
            jitter.put(SSRC, packet * 160, &[0; FRAME]);
            if !(20..26).contains(&packet) {
                jitter.take(&mut frame);
            }
            waits.push(jitter.waiting());
        }
        assert!(waits[30] >= 7 * 160, "{}", waits[30]);
        assert!(*waits.last().unwrap() <= 2 * 160, "{}", waits.last().unwrap());
        assert_eq!(jitter.counts().late, 0);
    }

    #[test]
    fn the_longest_delay_is_never_passed() {
        let mut jitter = Jitter::new();
        let mut rng = Rng::from_number(8);
        let mut frame = [0; FRAME];
        let mut timestamp = 0u32;
        for _ in 0..20_000 {
            timestamp = match rng.below(50) {
                0 => rng.next_u64() as u32,
                1 => timestamp.wrapping_sub(rng.below(2000) as u32),
                _ => timestamp.wrapping_add(rng.below(400) as u32),
            };
            let length = rng.below(960) as usize + 1;
            jitter.put(rng.below(3) as u32, timestamp, &vec![100; length]);
            if rng.percent(70) {
                jitter.take(&mut frame);
            }
            assert!(jitter.waiting() <= DELAY_MAX, "{}", jitter.waiting());
        }
    }

    #[test]
    fn a_gap_fades_and_then_is_silent() {
        let mut jitter = Jitter::new();
        let mut frame = [0; FRAME];
        jitter.put(SSRC, 0, &[1000; FRAME]);
        let heard: Vec<(bool, i16)> = (0..7)
            .map(|_| {
                let heard = jitter.take(&mut frame);
                (heard, frame[0])
            })
            .collect();
        let faded = [(false, 750), (false, 562), (false, 421), (false, 0)];
        assert_eq!(heard[..3], [(false, 0), (false, 0), (true, 1000)]);
        assert_eq!(heard[3..], faded);
    }

    #[test]
    fn a_stranger_needs_two_packets_in_a_row() {
        let mut jitter = Jitter::new();
        let mut frame = [0; FRAME];
        for packet in 0..50u32 {
            jitter.put(SSRC, packet * 160, &[50; FRAME]);
            jitter.put(99, 5_000_000 + packet * 160, &[-50; FRAME]); // Never twice in a row.
            jitter.take(&mut frame);
            assert!(frame[0] >= 0);
        }
        for packet in 50..60u32 {
            jitter.put(99, packet * 160, &[-50; FRAME]); // The sender began anew.
            jitter.take(&mut frame);
        }
        assert_eq!((frame[0], jitter.counts().restarts), (-50, 1));
    }
}
