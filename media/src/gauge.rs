//! How loud a leg is, in numbers.
//!
//! Picture     frames --energy--> the loudest of an interval --> decibels below the loudest that can be said
//! Rules       One number for an interval, silence once. A frame is as loud as its root mean square: full scale in both
//!             directions is 0, the loudest sine 3.
//! Limits      [`GAUGE_MIN`], [`SILENT`].
//! Not here    Who wants to know (engine). Levels that senders write into their packets: no description of ours agrees on them.
//! Spec        RFC 6464 §3, RFC 6465 §3.

use std::time::Duration;

use types::Instant;

/// The shortest time between two tellings.
pub const GAUGE_MIN: Duration = Duration::from_millis(100);

/// The level of silence.
pub const SILENT: u8 = 127;

/// The mean of the squares of a frame.
pub(crate) fn energy(frame: &[i16]) -> u32 {
    let squares = frame.iter().map(|sample| u64::from(sample.unsigned_abs()).pow(2));
    let mean = squares.sum::<u64>() / (frame.len() as u64).max(1);
    u32::try_from(mean).unwrap_or(u32::MAX)
}

/// The level of such a mean.
///
/// Spec: RFC 6464 §3, RFC 6465 appendix A
fn level(energy: u32) -> u8 {
    const FULL: f64 = 32_767.0 * 32_767.0;
    if energy == 0 {
        return SILENT;
    }
    let below = -10.0 * (f64::from(energy) / FULL).log10();
    below.round().clamp(0.0, f64::from(SILENT)) as u8
}

/// See the head of this file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gauge {
    /// The loudest frame since it was told.
    loudest: u32,
    /// When it was told last, or heard first.
    since: Option<Instant>,
    told: u8,
}

impl Default for Gauge {
    fn default() -> Self {
        Self { loudest: 0, since: None, told: SILENT }
    }
}

impl Gauge {
    /// Takes one frame; the level where it is time to tell.
    pub(crate) fn hear(&mut self, energy: u32, every: Duration, due: Instant) -> Option<u8> {
        self.loudest = self.loudest.max(energy);
        let since = *self.since.get_or_insert(due);
        if due.since(since) < every {
            return None;
        }
        let level = level(self.loudest);
        let before = std::mem::replace(&mut self.told, level);
        (self.loudest, self.since) = (0, Some(due));
        (level != SILENT || before != SILENT).then_some(level)
    }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    #[test]
    fn the_scale_is_that_of_the_registry() {
        let sine = |peak: f64| -> Vec<i16> {
            (0..160).map(|n| ((TAU * f64::from(n) / 8.0).sin() * peak) as i16).collect()
        };
        for (frame, expected) in [
            (vec![32_767; 160], 0),
            (vec![i16::MIN; 160], 0),
            (sine(32_767.0), 3),
            (sine(3_276.7), 23),
            (sine(327.0), 43),
            (vec![1; 160], 90),
            (vec![0; 160], SILENT),
            (Vec::new(), SILENT),
        ] {
            assert_eq!(level(energy(&frame)), expected, "{:?}", frame.first());
        }
    }

    #[test]
    fn the_loudest_of_an_interval_is_told_and_silence_once() {
        let mut gauge = Gauge::default();
        let frames = [0, 0, 0, 0, 0, 900, 10_000, 900, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let each = frames.into_iter().zip(0_u64..);
        let told = each.filter_map(|(energy, frame)| {
            Some((frame, gauge.hear(energy, GAUGE_MIN, Instant(frame * 20_000))?))
        });
        assert_eq!(told.collect::<Vec<_>>(), [(5, 61), (10, 50), (15, SILENT)]);
    }
}
