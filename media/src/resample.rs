//! One rate of samples to another, in steps of 20 ms.
//!
//! Picture     frame at one rate --low-pass at the lower half--> frame at the other
//! Rules       Rates are whole multiples of each other, so one table of a window of sinc serves each pair, shared by
//!             all streams; a stream keeps nothing but its last samples. Equal rates cost nothing and change nothing.
//!             What one frame gives is as long as the frame.
//! Limits      [`HISTORY_MAX`] samples are remembered: 2 ms at the lower rate.
//! Not here    Rates that are no multiples (clips are brought to ours before they get here).
//! Spec        none; a polyphase filter as in any text book.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::codec::{FRAME_MAX, Rate};

/// Samples of the lower rate that one output looks at.
const TAPS: usize = 24;

/// The largest ratio of two rates.
const RATIO_MAX: usize = 6;

/// Samples that are kept for the next frame.
const HISTORY_MAX: usize = TAPS * RATIO_MAX;

/// Where the filter begins to fall, as a part of half the lower rate.
const CUT: f64 = 0.92;

/// The filters for the ratios 2, 3 and 6: `TAPS * ratio` values each.
static FILTERS: LazyLock<BTreeMap<u32, Vec<f32>>> =
    LazyLock::new(|| [2, 3, 6].map(|ratio| (ratio, filter(ratio as usize))).into());

/// A window of sinc, over `TAPS` periods of the lower rate. The sum is 1.
fn filter(ratio: usize) -> Vec<f32> {
    use std::f64::consts::PI;
    let count = TAPS * ratio;
    let middle = (count as f64 - 1.0) / 2.0;
    let at = |place: usize| {
        let x = (place as f64 - middle) / ratio as f64;
        let turn = PI * x * CUT;
        let sinc = if turn.abs() < 1e-9 { 1.0 } else { turn.sin() / turn };
        // Blackman: side lobes at -58 dB.
        let phase = 2.0 * PI * (place as f64 + 0.5) / count as f64;
        sinc * (0.42 - 0.5 * phase.cos() + 0.08 * (2.0 * phase).cos())
    };
    let sum: f64 = (0..count).map(at).sum();
    (0..count).map(|place| (at(place) / sum) as f32).collect()
}

/// See the head of this file.
#[derive(Clone, Debug)]
pub struct Resampler {
    from: Rate,
    to: Rate,
    /// The last samples of the frame before, then the frame.
    window: Box<[f32; HISTORY_MAX + FRAME_MAX]>,
    /// The filter as it is used: by phase, each reversed where samples are made more.
    taps: Vec<f32>,
}

impl Resampler {
    /// From one rate to another.
    pub fn new(from: Rate, to: Rate) -> Self {
        let ratio = from.hertz().max(to.hertz()) / from.hertz().min(to.hertz());
        let filter = FILTERS.get(&ratio).map(Vec::as_slice).unwrap_or_default();
        let mut taps = Vec::new();
        if to > from {
            let ratio = ratio as usize;
            for phase in 0..ratio {
                let branch = filter.iter().skip(phase).step_by(ratio);
                taps.extend(branch.map(|tap| tap * ratio as f32));
            }
            for branch in taps.chunks_mut(TAPS) {
                branch.reverse();
            }
        } else if to < from {
            taps.extend_from_slice(filter); // Symmetric: its reverse is itself.
        }
        Self { from, to, window: Box::new([0.0; HISTORY_MAX + FRAME_MAX]), taps }
    }

    /// Whether it goes from one of these to the other.
    pub fn is(&self, from: Rate, to: Rate) -> bool {
        (self.from, self.to) == (from, to)
    }

    /// Turns one frame into another; its samples. A frame of another length than that of the rate is nothing.
    pub fn frame<'a>(&mut self, input: &[i16], out: &'a mut [i16; FRAME_MAX]) -> &'a [i16] {
        let (from, to) = (self.from.frame(), self.to.frame());
        let Some(out) = out.get_mut(..to).filter(|_| input.len() == from) else { return &[] };
        if from == to {
            out.copy_from_slice(input);
            return out;
        }
        if let Some(new) = self.window.get_mut(HISTORY_MAX..HISTORY_MAX + from) {
            for (place, sample) in new.iter_mut().zip(input) {
                *place = f32::from(*sample);
            }
        }
        if to > from {
            self.up(to / from, out)
        } else {
            self.down(from / to, out)
        }
        self.window.copy_within(from..from + HISTORY_MAX, 0);
        out
    }

    fn up(&self, ratio: usize, out: &mut [i16]) {
        for (place, samples) in out.chunks_exact_mut(ratio).enumerate() {
            let first = HISTORY_MAX + place + 1 - TAPS;
            let Some(window) = self.window.get(first..first + TAPS) else { return };
            for (sample, taps) in samples.iter_mut().zip(self.taps.chunks_exact(TAPS)) {
                *sample = sum(window, taps);
            }
        }
    }

    fn down(&self, ratio: usize, out: &mut [i16]) {
        let count = TAPS * ratio;
        for (place, sample) in out.iter_mut().enumerate() {
            let first = HISTORY_MAX + (place + 1) * ratio - count;
            let Some(window) = self.window.get(first..first + count) else { return };
            *sample = sum(window, &self.taps);
        }
    }
}

/// Products added up in eight lanes, which the compiler turns into vectors.
fn sum(window: &[f32], taps: &[f32]) -> i16 {
    let mut lanes = [0.0f32; 8];
    for (window, taps) in window.chunks_exact(8).zip(taps.chunks_exact(8)) {
        for ((lane, sample), tap) in lanes.iter_mut().zip(window).zip(taps) {
            *lane += sample * tap;
        }
    }
    lanes.iter().sum::<f32>().round() as i16 // Cut at full scale by the cast.
}

/// A frame at another rate, by the resampler that is kept for it.
pub(crate) fn resampled<'a>(
    kept: &mut Option<Resampler>,
    (from, pcm): (Rate, &'a [i16]),
    to: Rate,
    room: &'a mut [i16; FRAME_MAX],
) -> &'a [i16] {
    if from == to {
        *kept = None;
        return pcm;
    }
    if !kept.as_ref().is_some_and(|kept| kept.is(from, to)) {
        *kept = Some(Resampler::new(from, to));
    }
    kept.as_mut().map_or(&[], |kept| kept.frame(pcm, room))
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;
    use crate::hear::level;

    fn tone(rate: Rate, hertz: f64, frames: usize) -> Vec<i16> {
        let count = frames * rate.frame();
        let at = |n: usize| (TAU * hertz * n as f64 / f64::from(rate.hertz())).sin() * 8000.0;
        (0..count).map(|n| at(n) as i16).collect()
    }

    fn run(from: Rate, to: Rate, input: &[i16]) -> Vec<i16> {
        let mut resampler = Resampler::new(from, to);
        let mut out = [0; FRAME_MAX];
        let frames = input.chunks(from.frame());
        frames.flat_map(|frame| resampler.frame(frame, &mut out).to_vec()).collect()
    }

    #[test]
    fn a_tone_stays_as_high_and_as_loud() {
        for from in Rate::ALL {
            for to in Rate::ALL {
                for hertz in [200.0, 440.0, 1000.0, 3000.0] {
                    let out = run(from, to, &tone(from, hertz, 50));
                    assert_eq!(out.len(), 50 * to.frame());
                    let measured = level(&out[5 * to.frame()..], hertz, to);
                    assert!(
                        (measured - 8000.0).abs() < 200.0,
                        "{from:?} {to:?} {hertz}: {measured}"
                    );
                    let mirrored = f64::from(from.hertz()) - hertz;
                    if to > from {
                        let mirrored = level(&out[5 * to.frame()..], mirrored, to);
                        assert!(mirrored < 25.0, "{from:?} {to:?} {hertz}: image {mirrored}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_the_lower_rate_cannot_hold_is_not_folded_into_it() {
        for (from, to, hertz) in
            [(Rate::Wide, Rate::Narrow, 5200.0), (Rate::Full, Rate::Narrow, 7000.0)]
        {
            let out = run(from, to, &tone(from, hertz, 50));
            let folded = f64::from(to.hertz()) - hertz;
            let measured = level(&out, folded.abs(), to);
            assert!(measured < 30.0, "{from:?} {hertz}: {measured}");
        }
    }

    #[test]
    fn full_scale_is_cut_and_nothing_else_is_lost() {
        let out = run(Rate::Narrow, Rate::Full, &[i16::MAX; 1600]);
        assert!(out[2000..].iter().all(|sample| *sample > 32_700));
        assert!(
            Resampler::new(Rate::Narrow, Rate::Wide).frame(&[1; 3], &mut [0; FRAME_MAX]).is_empty()
        );
    }
}
