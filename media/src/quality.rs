//! What came from one leg, as its numbers and its reports tell it: loss, jitter, delay, and how it may have sounded.
//!
//! Picture     accepted packets --[`Meter::packet`]--> figures;  reports that pass --[`Meter::report`]--> round trip
//!             figures --[`Quality::opinion`]--> an estimate of what a person would have said
//! Rules       Nothing here touches a packet. Figures are of the newest sender; one that begins anew begins them anew,
//!             but for what is summed up. The clock of a format without a fixed one is measured. What cannot be known
//!             (reports that are encrypted from end to end) is `None`, not zero.
//! Limits      Jumps of more than DROPOUT_MAX numbers are a new beginning, as RFC 3550 §A.1 has it.
//! Not here    When figures are told, and who is silent (engine/watch).
//! Spec        RFC 3550 §6.4.1, §A.3, §A.8, RFC 3611 §4.7, ITU-T G.107 §7, ITU-T G.113 Appendix I.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use types::Instant;

use crate::rtp::{self, Header};

/// Packets between which the clock of a format is measured.
const CLOCK_PACKETS: u32 = 25;

/// Rates that formats have, of which the nearest is taken.
const CLOCKS: [u32; 6] = [8_000, 16_000, 32_000, 44_100, 48_000, 90_000];

/// What came from one leg.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quality {
    /// Packets that came.
    pub packets: u64,
    /// Packets that the numbers show to be missing.
    pub lost: u64,
    /// Holes: runs of missing packets.
    pub holes: u64,
    /// The longest hole, in packets.
    pub longest: u32,
    /// Packets that came behind a later one.
    pub late: u64,
    /// Packets that came twice.
    pub twice: u64,
    /// Packets of it that were refused: nonsense, or from strangers.
    pub dropped: u64,
    /// Packets of it that were more than one leg may send.
    pub capped: u64,
    /// How unevenly packets come, as RFC 3550 §A.8 smooths it.
    pub jitter: Duration,
    /// From us to the leg and back, by its newest report.
    pub round_trip: Option<Duration>,
    /// What the leg says of what it hears: packets lost of 256, by its newest report.
    pub told_lost: Option<u8>,
    /// The opinion that the leg's own figures come to, times ten, if it tells any.
    ///
    /// Spec: RFC 3611 §4.7.5
    pub told_opinion: Option<u8>,
    /// The sound is of a codec whose loss hurts as that of G.729 does.
    pub fragile: bool,
}

impl Quality {
    /// What a person would have said of the sound, from 1.00 to 4.50, times a hundred: an estimate from loss, its bursts and delay.
    /// `None` while too little came. G.711, and every codec without figures of its own in G.113, counts as G.711 with
    /// concealment.
    ///
    /// Spec: ITU-T G.107 §7.4 (delay), §7.5 (equipment), Annex B (R to MOS), G.113 Appendix I
    pub fn opinion(&self) -> Option<u16> {
        /// R without any impairment, all parameters at their defaults.
        const R_MAX: f64 = 93.2;
        if self.packets < u64::from(CLOCK_PACKETS) {
            return None;
        }
        let (equipment, robust) = if self.fragile { (11.0, 19.0) } else { (0.0, 25.1) };
        let share = self.lost as f64 / (self.packets + self.lost) as f64;
        // Mean length of a hole, over what it would be if each packet was lost by itself.
        let mean = if self.holes == 0 { 1.0 } else { self.lost as f64 / self.holes as f64 };
        let bursts = (mean * (1.0 - share)).max(1.0);
        let percent = share * 100.0;
        let effective = equipment + (95.0 - equipment) * percent / (percent / bursts + robust);
        let trip = self.round_trip.unwrap_or_default().as_secs_f64() * 500.0;
        // One packet, and a buffer as deep as twice the jitter.
        let delay = trip + 20.0 + self.jitter.as_secs_f64() * 2_000.0;
        let r = (R_MAX - delayed(delay) - effective).clamp(0.0, 100.0);
        let opinion = 1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6;
        Some((opinion.max(1.0) * 100.0).round() as u16)
    }
}

/// Idd: what a delay of so many milliseconds takes away.
///
/// Spec: ITU-T G.107 §7.4
fn delayed(milliseconds: f64) -> f64 {
    if milliseconds <= 100.0 {
        return 0.0;
    }
    let x = (milliseconds / 100.0).log2();
    let root = |x: f64| (1.0 + x.powi(6)).powf(1.0 / 6.0);
    25.0 * (root(x) - 3.0 * root(x / 3.0) + 2.0)
}

/// The newest packet of a sender.
#[derive(Clone, Copy, Debug)]
struct Newest {
    ssrc: u32,
    sequence: u16,
    payload_type: u8,
    timestamp: u32,
    at: Instant,
}

/// Where the clock began to be measured.
#[derive(Clone, Copy, Debug)]
struct Begun {
    timestamp: u32,
    at: Instant,
    packets: u32,
}

/// See the head of this file.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Meter {
    pub figures: Quality,
    newest: Option<Newest>,
    clock: Option<u32>,
    begun: Option<Begun>,
    /// Jitter in sixteenths of a microsecond.
    jitter: u64,
    /// The sender reports that the leg got last: the middle of their time, and when.
    reported: [Option<(u32, Instant)>; 2],
    /// Highest number with its roll-overs, and the first, for reports of ours.
    extended: (u32, u32),
    /// The sender report that came last: the middle of its time, and when.
    heard_report: Option<(u32, Instant)>,
}

impl Meter {
    /// A packet was accepted.
    pub(crate) fn packet(&mut self, header: Header, now: Instant) {
        /// A jump beyond this is a sender that began anew, not loss.
        ///
        /// Spec: RFC 3550 §A.1 (MAX_DROPOUT)
        const DROPOUT_MAX: u16 = 3000;
        self.figures.packets += 1;
        let Header { ssrc, sequence, payload_type, timestamp, .. } = header;
        let this = Newest { ssrc, sequence, payload_type, timestamp, at: now };
        let same = self.newest.filter(|newest| {
            newest.ssrc == ssrc
                && rtp::ahead(sequence, newest.sequence).unsigned_abs() <= DROPOUT_MAX
        });
        let Some(newest) = same else {
            *self = Self { figures: self.figures, reported: self.reported, ..Self::default() };
            self.figures.fragile = matches!(payload_type, 4 | 18);
            self.extended = (sequence.into(), sequence.into());
            self.newest = Some(this);
            return;
        };
        let gap = rtp::ahead(sequence, newest.sequence);
        match gap {
            ..0 => {
                self.figures.late += 1;
                self.figures.lost = self.figures.lost.saturating_sub(1);
                return;
            }
            0 => {
                self.figures.twice += 1;
                return;
            }
            1 => (),
            2.. => {
                let missing = gap as u32 - 1;
                self.figures.lost += u64::from(missing);
                self.figures.holes += 1;
                self.figures.longest = self.figures.longest.max(missing);
            }
        }
        self.extended.0 = self.extended.0.wrapping_add(u32::from(gap.unsigned_abs()));
        self.time(newest, this);
        self.newest = Some(this);
    }

    /// Compares the time between two packets with the time that they say.
    ///
    /// Spec: RFC 3550 §A.8
    fn time(&mut self, before: Newest, this: Newest) {
        let ticks = this.timestamp.wrapping_sub(before.timestamp) as i32;
        // Keys beside sound, frames of pictures in many packets: their times say nothing.
        if ticks <= 0 || this.payload_type != before.payload_type {
            return;
        }
        if self.clock.is_none() {
            self.clock = fixed(this.payload_type).or_else(|| self.measured(this));
        }
        let Some(clock) = self.clock else { return };
        let said = i64::from(ticks) * 1_000_000 / i64::from(clock);
        let passed = this.at.since(before.at).as_micros() as i64;
        let apart = (passed - said).unsigned_abs().min(10_000_000);
        self.jitter = self.jitter + apart - (self.jitter + 8) / 16;
        self.figures.jitter = Duration::from_micros(self.jitter / 16);
    }

    /// The clock, once enough packets came to tell.
    fn measured(&mut self, this: Newest) -> Option<u32> {
        let fresh = Begun { timestamp: this.timestamp, at: this.at, packets: 0 };
        let begun = self.begun.get_or_insert(fresh);
        begun.packets += 1;
        if begun.packets < CLOCK_PACKETS {
            return None;
        }
        let ticks = u64::from(this.timestamp.wrapping_sub(begun.timestamp));
        let passed = this.at.since(begun.at).as_micros() as u64;
        self.begun = None;
        let rate = ticks.checked_mul(1_000_000)?.checked_div(passed)?;
        CLOCKS.into_iter().min_by_key(|clock| u64::from(*clock).abs_diff(rate))
    }

    /// A sender report goes to the leg.
    pub(crate) fn told(&mut self, middle: u32, now: Instant) {
        self.reported = [Some((middle, now)), self.reported[0]];
    }

    /// The leg reports what it hears: `middle` and `held` are those of the sender report that it got last.
    ///
    /// Spec: RFC 3550 §6.4.1 (round trip)
    pub(crate) fn heard(&mut self, lost: u8, (middle, held): (u32, u32), now: Instant) {
        self.figures.told_lost = Some(lost);
        let known = self.reported.iter().flatten().find(|(known, _)| *known == middle);
        let Some((_, at)) = known.filter(|_| middle != 0) else { return };
        let held = Duration::from_micros(u64::from(held) * 1_000_000 / 65_536);
        if let Some(trip) = now.since(*at).checked_sub(held) {
            self.figures.round_trip = Some(trip);
        }
    }

    /// The leg sent a sender report.
    pub(crate) fn reports(&mut self, middle: u32, now: Instant) {
        self.heard_report = Some((middle, now));
    }

    /// What we would report about what it sends: source, loss, highest number, jitter, its newest report.
    ///
    /// Spec: RFC 3550 §6.4.1
    pub(crate) fn block(&self, now: Instant) -> Option<[u8; 24]> {
        let newest = self.newest?;
        let Quality { lost, packets, .. } = self.figures;
        let share = (lost * 256).checked_div(lost + packets).unwrap_or(0).min(255);
        let first = (share << 24) | lost.min(0x7f_ffff);
        let clock = u64::from(self.clock.unwrap_or(8_000));
        let jitter = self.figures.jitter.as_micros() as u64 * clock / 1_000_000;
        let (middle, held) = self.heard_report.map_or((0, 0), |(middle, at)| {
            (middle, (now.since(at).as_micros() as u64 * 65_536 / 1_000_000) as u32)
        });
        let words = [newest.ssrc, first as u32, self.extended.0, jitter as u32, middle, held];
        let mut block = [0; 24];
        for (octet, value) in block.iter_mut().zip(words.iter().flat_map(|word| word.to_be_bytes()))
        {
            *octet = value;
        }
        Some(block)
    }

    /// Whether it sends pictures, by the clock.
    pub(crate) fn is_pictures(&self) -> bool {
        self.clock == Some(90_000)
    }

    /// The source of its newest packet.
    pub(crate) fn source(&self) -> Option<u32> {
        self.newest.map(|newest| newest.ssrc)
    }
}

/// The clock of a fixed payload type of sound.
///
/// Spec: RFC 3551 §6
fn fixed(payload_type: u8) -> Option<u32> {
    matches!(payload_type, 0 | 3 | 4 | 8 | 9 | 13 | 18).then_some(8_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(sequence: u16, timestamp: u32, payload_type: u8) -> Header {
        Header { sequence, timestamp, payload_type, ssrc: 7, marker: false }
    }

    #[test]
    fn loss_holes_latecomers_and_twins_are_told_apart() {
        let mut meter = Meter::default();
        for number in [65_534u16, 65_535, 1, 2, 2, 6, 5, 7] {
            let timestamp = u32::from(number) * 160;
            meter.packet(header(number, timestamp, 0), Instant::millis(u64::from(number) * 20));
        }
        let Quality { packets, lost, holes, longest, late, twice, .. } = meter.figures;
        // 0, 3 and 4 are missing.
        assert_eq!((packets, lost, holes, longest, late, twice), (8, 3, 2, 3, 1, 1));
        assert_eq!(meter.extended, (65_536 + 7, 65_534));
        meter.packet(Header { ssrc: 8, ..header(30_000, 5, 0) }, Instant::seconds(9));
        assert_eq!((meter.figures.lost, meter.figures.packets), (3, 9));
    }

    #[test]
    fn jitter_is_that_of_the_arrivals_whatever_the_clock() {
        for (payload_type, clock) in [(0u8, 8_000u32), (111, 48_000), (96, 90_000), (97, 16_000)] {
            let jitter = |wobble: u64| {
                let mut meter = Meter::default();
                for number in 0..500u16 {
                    let at = u64::from(number) * 20_000 + if number % 2 == 0 { wobble } else { 0 };
                    let ticks = u32::from(number) * (clock / 50);
                    meter.packet(header(number, ticks, payload_type), Instant(at));
                }
                meter.figures.jitter.as_micros() as u64
            };
            assert!(jitter(0) < 20, "{clock}");
            let shaken = jitter(10_000);
            assert!(shaken.abs_diff(10_000) < 300, "{clock}: {shaken}");
        }
    }

    #[test]
    fn the_round_trip_is_what_is_left_of_the_time() {
        let mut meter = Meter::default();
        meter.told(77, Instant::millis(1_000));
        meter.told(78, Instant::millis(6_000));
        // It held the report for half a second.
        meter.heard(12, (78, 32_768), Instant::millis(6_580));
        assert_eq!(meter.figures.round_trip, Some(Duration::from_millis(80)));
        assert_eq!(meter.figures.told_lost, Some(12));
        meter.heard(0, (5, 0), Instant::millis(9_000));
        meter.heard(0, (0, 0), Instant::millis(9_000));
        assert_eq!(meter.figures.round_trip, Some(Duration::from_millis(80)));
    }

    #[test]
    fn opinions_are_those_of_the_model() {
        let of = |lost: u64, holes: u64, trip: u64| {
            let round_trip = Some(Duration::from_millis(trip));
            let packets = 1000 - lost;
            Quality { packets, lost, holes, round_trip, ..Quality::default() }.opinion().unwrap()
        };
        // R 93.2 is 4.41; 1% and 5% of loss by themselves with Bpl 25.1 are R 89.6 and 77.4.
        assert_eq!(of(0, 0, 0), 441);
        assert_eq!(of(10, 10, 0), 433);
        assert_eq!(of(50, 50, 0), 392);
        assert!(of(50, 10, 0) < of(50, 50, 0), "bursts hurt more");
        // 400 ms one way take about 24 of R.
        assert!((340..=360).contains(&of(0, 0, 760)), "{}", of(0, 0, 760));
        assert_eq!(of(900, 1, 0), 100);
        assert_eq!(Quality::default().opinion(), None);
    }
}
