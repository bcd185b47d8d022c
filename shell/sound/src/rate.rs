//! From any rate to one of ours, in pieces of any size.
//!
//! Rules       As many samples come out as fit the time that went in: the delay of the filter is cut off at the start
//!             and filled up at the end.
//! Limits      CHUNK samples wait for the rest of their chunk.

use media::Rate;
use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler as _, WindowFunction};
use switchboard::SoundFault;

/// Samples that are turned at once.
const CHUNK: usize = 4_096;

/// See the head of this file.
pub struct Conversion {
    /// `None`: the rates are the same.
    turn: Option<Fft<f32>>,
    from: u32,
    to: u32,
    waiting: Vec<f32>,
    turned: Vec<f32>,
    /// Samples to leave out still.
    skip: usize,
    taken: u64,
    given: u64,
}

impl Conversion {
    /// Errors: a pair of rates that cannot be turned.
    pub fn new(from: u32, to: Rate) -> Result<Self, SoundFault> {
        let to = to.hertz();
        let turn = if from == to {
            None
        } else {
            // One transform for a whole chunk: the longer it is, the closer to the corner sound is kept.
            let (window, fixed) = (WindowFunction::BlackmanHarris2, FixedSync::Input);
            let made = Fft::new_custom(from as usize, to as usize, CHUNK, 1, 1, window, fixed);
            Some(made.map_err(|_| SoundFault::Unsupported)?)
        };
        let skip = turn.as_ref().map_or(0, |turn| turn.output_delay());
        let (waiting, turned) = (Vec::new(), Vec::new());
        Ok(Self { turn, from, to, waiting, turned, skip, taken: 0, given: 0 })
    }

    /// Takes samples, whose full scale is 1, and adds what they become.
    pub fn push(&mut self, samples: &[f32], out: &mut Vec<i16>) -> Result<(), SoundFault> {
        self.taken += samples.len() as u64;
        if self.turn.is_none() {
            self.given += samples.len() as u64;
            out.extend(samples.iter().map(|sample| whole(*sample)));
            return Ok(());
        }
        self.waiting.extend_from_slice(samples);
        self.turn_chunks(out)
    }

    /// Adds what is left.
    pub fn end(&mut self, out: &mut Vec<i16>) -> Result<(), SoundFault> {
        let Some(turn) = &self.turn else { return Ok(()) };
        let chunk = turn.input_frames_next().max(1);
        let due = (self.taken * u64::from(self.to)).div_ceil(u64::from(self.from.max(1)));
        while self.given < due {
            let filled = self.waiting.len().next_multiple_of(chunk).max(chunk);
            self.waiting.resize(filled, 0.0);
            let before = self.given;
            self.turn_chunks(out)?;
            if self.given == before && self.skip == 0 {
                return Err(SoundFault::Damaged); // It would go on for ever.
            }
        }
        let more = usize::try_from(self.given - due).unwrap_or(usize::MAX);
        out.truncate(out.len().saturating_sub(more));
        self.given = due;
        Ok(())
    }

    fn turn_chunks(&mut self, out: &mut Vec<i16>) -> Result<(), SoundFault> {
        let Some(turn) = &mut self.turn else { return Ok(()) };
        let mut used = 0;
        loop {
            let needed = turn.input_frames_next();
            let Some(chunk) = self.waiting.get(used..used + needed) else { break };
            self.turned.resize(turn.output_frames_max(), 0.0);
            let room = self.turned.len();
            let no = |_| SoundFault::Damaged;
            let input = InterleavedSlice::new(chunk, 1, needed).map_err(no)?;
            let mut output = InterleavedSlice::new_mut(&mut self.turned, 1, room).map_err(no)?;
            let turned = turn.process_into_buffer(&input, &mut output, None);
            let (_, made) = turned.map_err(|_| SoundFault::Damaged)?;
            used += needed;
            let skipped = self.skip.min(made);
            self.skip -= skipped;
            let made = self.turned.get(skipped..made).unwrap_or_default();
            self.given += made.len() as u64;
            out.extend(made.iter().map(|sample| whole(*sample)));
        }
        self.waiting.drain(..used);
        Ok(())
    }
}

/// Samples at another of our rates.
pub fn convert(samples: &[i16], from: Rate, to: Rate) -> Result<Vec<i16>, SoundFault> {
    let mut conversion = Conversion::new(from.hertz(), to)?;
    let mut out = Vec::with_capacity(samples.len() * to.hertz() as usize / from.hertz() as usize);
    for piece in samples.chunks(CHUNK) {
        let piece: Vec<f32> = piece.iter().map(|sample| f32::from(*sample) / 32_768.0).collect();
        conversion.push(&piece, &mut out)?;
    }
    conversion.end(&mut out)?;
    Ok(out)
}

/// Cut at full scale by the cast.
fn whole(sample: f32) -> i16 {
    (sample * 32_768.0).round() as i16
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;
    use crate::hear::level;

    #[test]
    fn tones_keep_height_loudness_and_time() {
        for from in [8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000] {
            for to in [Rate::Narrow, Rate::Wide, Rate::Full] {
                let count = from as usize; // One second.
                let at = |n: usize| (TAU * 1_000.0 * n as f64 / f64::from(from)).sin() * 0.25;
                let samples: Vec<f32> = (0..count).map(|n| at(n) as f32).collect();
                let (mut conversion, mut out) = (Conversion::new(from, to).unwrap(), Vec::new());
                for piece in samples.chunks(777) {
                    conversion.push(piece, &mut out).unwrap();
                }
                conversion.end(&mut out).unwrap();
                assert_eq!(out.len(), to.hertz() as usize, "{from} {to:?}");
                let measured = level(&out, 1_000.0, to.hertz());
                assert!((measured - 8_192.0).abs() < 150.0, "{from} {to:?}: {measured}");
                // Nothing is late: the first quarter of a wave is where it was.
                let peak = out.get(to.hertz() as usize / 2 + to.hertz() as usize / 4_000);
                assert!(peak.is_some_and(|peak| *peak > 7_500), "{from} {to:?}: {peak:?}");
            }
        }
    }

    #[test]
    fn what_the_lower_rate_cannot_hold_is_left_out() {
        let at = |n: usize| (TAU * 7_000.0 * n as f64 / 48_000.0).sin() * 8_000.0;
        let high: Vec<i16> = (0..48_000).map(|n| at(n) as i16).collect();
        let low = convert(&high, Rate::Full, Rate::Narrow).unwrap();
        assert_eq!(low.len(), 8_000);
        assert!(level(&low, 1_000.0, 8_000) < 20.0);
    }

    #[test]
    fn a_little_or_nothing_is_no_trouble() {
        for count in [0, 1, 5, 1_023, 4_096, 4_097] {
            let out = convert(&vec![100; count], Rate::Full, Rate::Narrow).unwrap();
            assert_eq!(out.len(), count.div_ceil(6));
        }
    }
}
