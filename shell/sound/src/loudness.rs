//! How loud a clip is to people, and bringing it to where all clips are.
//!
//! Rules       Gain is one number for the whole clip; peaks stay below full scale, even if the clip then stays quieter.
//! Limits      [`GAIN_MAX`].
//! Spec        ITU-R BS.1770-4, EBU R 128 (gates of -70 LUFS and -10 LU, blocks of 400 ms).

use std::f64::consts::PI;

use crate::decode::Decoded;

/// Where clips are brought to. Units: LUFS, of one channel.
pub const LOUDNESS: f64 = -19.0;
/// The most that a quiet clip is raised. Units: dB.
pub const GAIN_MAX: f64 = 30.0;
/// The highest peak that is left. Units: dBFS.
const PEAK_MAX: f64 = -1.0;
/// Blocks quieter than this are pauses. Units: LUFS.
const GATE: f64 = -70.0;
/// And those so much below the mean of the others. Units: LU.
const GATE_BELOW: f64 = -10.0;

/// The loudness of a clip; `None`: it is only silence. Units: LUFS.
pub fn loudness(clip: &Decoded) -> Option<f64> {
    let mut filters = weighting(f64::from(clip.rate.hertz()));
    let weighted = clip.samples.iter().map(|sample| {
        let sample = f64::from(*sample) / 32_768.0;
        filters.iter_mut().fold(sample, |sample, filter| filter.next(sample)).powi(2)
    });
    // Power of every 100 ms; four of them are a block.
    let step = clip.rate.hertz() as usize / 10;
    let weighted: Vec<f64> = weighted.collect();
    let steps: Vec<f64> =
        weighted.chunks(step).map(|part| part.iter().sum::<f64>() / part.len() as f64).collect();
    let width = steps.len().clamp(1, 4);
    let blocks: Vec<f64> =
        steps.windows(width).map(|block| block.iter().sum::<f64>() / width as f64).collect();
    let first = mean(&blocks, GATE)?;
    mean(&blocks, GATE.max(first + GATE_BELOW))
}

/// Brings a clip to [`LOUDNESS`].
pub fn even(clip: &mut Decoded) {
    let Some(loudness) = loudness(clip) else { return };
    let peak = clip.samples.iter().map(|sample| sample.unsigned_abs()).max().unwrap_or(0);
    let room = PEAK_MAX - decibel((f64::from(peak) / 32_768.0).powi(2));
    let gain = (LOUDNESS - loudness).min(room.max(0.0)).min(GAIN_MAX);
    let factor = 10f64.powf(gain / 20.0);
    for sample in &mut clip.samples {
        *sample = (f64::from(*sample) * factor).round() as i16; // Cut at full scale by the cast.
    }
}

/// Of the blocks above a gate. Units: LUFS.
fn mean(blocks: &[f64], gate: f64) -> Option<f64> {
    let loud = |power: f64| -0.691 + decibel(power);
    let above: Vec<f64> = blocks.iter().copied().filter(|power| loud(*power) > gate).collect();
    (!above.is_empty()).then(|| loud(above.iter().sum::<f64>() / above.len() as f64))
}

fn decibel(power: f64) -> f64 {
    10.0 * power.max(1e-20).log10()
}

/// One section of a filter with two poles.
struct Section {
    zeros: [f64; 3],
    poles: [f64; 2],
    state: [f64; 2],
}

impl Section {
    fn next(&mut self, sample: f64) -> f64 {
        let [one, two] = self.state;
        let out = self.zeros[0] * sample + one;
        self.state = [
            self.zeros[1] * sample - self.poles[0] * out + two,
            self.zeros[2] * sample - self.poles[1] * out,
        ];
        out
    }
}

/// What the head does to sound, and that low sound is felt less: the two filters of BS.1770, turned from the
/// recommendation's 48 kHz to any rate by their analogue forms.
fn weighting(hertz: f64) -> [Section; 2] {
    let shelf = {
        // The corner is above half of 8 kHz's range only beyond what it holds: it stays below it.
        let corner = (PI * 1_681.974_450_955_533 / hertz).tan();
        let quality = 0.707_175_236_955_419_6;
        let high = 10f64.powf(3.999_843_853_973_347 / 20.0);
        let middle = high.powf(0.499_666_774_154_541_6);
        let whole = 1.0 + corner / quality + corner * corner;
        Section {
            zeros: [
                (high + middle * corner / quality + corner * corner) / whole,
                2.0 * (corner * corner - high) / whole,
                (high - middle * corner / quality + corner * corner) / whole,
            ],
            poles: [
                2.0 * (corner * corner - 1.0) / whole,
                (1.0 - corner / quality + corner * corner) / whole,
            ],
            state: [0.0; 2],
        }
    };
    let low = {
        let corner = (PI * 38.135_470_876_024_44 / hertz).tan();
        let quality = 0.500_327_037_323_877_3;
        let whole = 1.0 + corner / quality + corner * corner;
        Section {
            zeros: [1.0, -2.0, 1.0],
            poles: [
                2.0 * (corner * corner - 1.0) / whole,
                (1.0 - corner / quality + corner * corner) / whole,
            ],
            state: [0.0; 2],
        }
    };
    [shelf, low]
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use media::Rate;

    use super::*;

    /// A sine of so many dBFS (0: full scale), for two seconds.
    fn tone(rate: Rate, hertz: f64, decibel: f64) -> Decoded {
        let amplitude = 32_767.0 * 10f64.powf(decibel / 20.0);
        let step = TAU * hertz / f64::from(rate.hertz());
        let samples =
            (0..2 * rate.hertz()).map(|n| ((step * f64::from(n)).sin() * amplitude) as i16);
        Decoded { rate, samples: samples.collect() }
    }

    #[test]
    fn the_recommendations_tone_has_its_loudness() {
        // BS.1770: a sine of 997 Hz at 0 dBFS in one channel is -3.01 LKFS.
        for rate in Rate::ALL {
            let measured = loudness(&tone(rate, 997.0, -20.0)).unwrap();
            assert!((measured + 23.01).abs() < 0.1, "{rate:?}: {measured}");
        }
        let low = loudness(&tone(Rate::Full, 30.0, -20.0)).unwrap();
        assert!(low < -28.0, "{low}");
    }

    #[test]
    fn quiet_and_loud_come_to_the_same() {
        for decibel in [-45.0, -30.0, -6.0, 0.0] {
            let mut clip = tone(Rate::Wide, 997.0, decibel);
            even(&mut clip);
            let measured = loudness(&clip).unwrap();
            assert!((measured - LOUDNESS).abs() < 0.2, "{decibel}: {measured}");
        }
    }

    #[test]
    fn pauses_do_not_count_silence_stays_and_peaks_are_kept() {
        let mut clip = tone(Rate::Narrow, 997.0, -20.0);
        let whole = loudness(&clip).unwrap();
        clip.samples.extend([0; 160_000]);
        assert!((loudness(&clip).unwrap() - whole).abs() < 0.5);
        let mut silence = Decoded { rate: Rate::Narrow, samples: vec![0; 8_000] };
        assert_eq!(loudness(&silence), None);
        even(&mut silence);
        assert!(silence.samples.iter().all(|sample| *sample == 0));
        // One click at full scale leaves no room.
        let mut clicked = tone(Rate::Narrow, 997.0, -40.0);
        clicked.samples[5_000] = i16::MAX;
        let before = clicked.clone();
        even(&mut clicked);
        assert_eq!(clicked, before);
        assert_eq!(loudness(&Decoded { rate: Rate::Narrow, samples: Vec::new() }), None);
    }
}
