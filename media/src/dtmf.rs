//! Keys pressed as pairs of tones in the sound itself, for legs that know no telephone events.
//!
//! Picture     20 ms of sound --one block--> power of eight tones --two alone and alike?--> key, twice in a row --> heard
//! Rules       A key counts when the same pair is there in two blocks in a row, and again only after a block without it:
//!             40 ms of tone, 40 ms of pause. Both tones must stand out from all others and hold most of the power, so
//!             that speech and music are not taken for keys.
//! Limits      TWIST: how unlike in loudness the two may be. LOUD_MIN.
//! Not here    Telephone events (events), whose sound it is.
//! Spec        ITU-T Q.23 (frequencies), ITU-T Q.24 (times and levels).

use std::f32::consts::TAU;

use crate::codec::Rate;

/// The lower tone of each row of keys.
const ROWS: [f32; 4] = [697.0, 770.0, 852.0, 941.0];

/// The higher tone of each column.
const COLUMNS: [f32; 4] = [1209.0, 1336.0, 1477.0, 1633.0];

/// The keys where rows and columns meet.
const KEYS: [[char; 4]; 4] =
    [['1', '2', '3', 'A'], ['4', '5', '6', 'B'], ['7', '8', '9', 'C'], ['*', '0', '#', 'D']];

/// How many times as strong one of the two tones may be as the other: 8 dB, a little more than Q.24 asks for.
const TWIST: f32 = 6.3;

/// How many times as strong a tone must be as any other of its group.
const APART: f32 = 8.0;

/// The part of all power that the two tones must hold.
const SHARE: f32 = 0.6;

/// The mean of the squares of the quietest key: -36 dB of full scale.
const LOUD_MIN: f32 = 500.0 * 500.0 / 2.0;

/// See the head of this file.
#[derive(Clone, Debug, Default)]
pub struct Detector {
    /// What the last block held.
    last: Option<char>,
    /// What was heard and not let go yet.
    held: Option<char>,
}

impl Detector {
    /// Takes one frame; gives a key when a new one is pressed.
    pub fn hear(&mut self, rate: Rate, frame: &[i16]) -> Option<char> {
        let found = find(rate, frame);
        let twice = found.filter(|_| found == self.last);
        self.last = found;
        match (twice, self.held) {
            (Some(key), held) if held != Some(key) => {
                self.held = Some(key);
                Some(key)
            }
            (None, Some(_)) if found.is_none() => {
                self.held = None;
                None
            }
            (_, _) => None,
        }
    }

    /// The key that is held down now.
    pub const fn held(&self) -> Option<char> {
        self.held
    }
}

/// The key whose tones one block holds.
fn find(rate: Rate, frame: &[i16]) -> Option<char> {
    // Whole numbers, so that many are added at once.
    let squares = frame.iter().map(|sample| u64::from(i32::from(*sample).pow(2).unsigned_abs()));
    let power = squares.sum::<u64>() as f32 / frame.len() as f32;
    if frame.is_empty() || power < LOUD_MIN {
        return None;
    }
    let strongest = |tones: &[f32; 4]| {
        let powers = powers(rate, frame, tones);
        let (mut best, mut most) = (0, 0.0);
        for (place, power) in powers.into_iter().enumerate() {
            if power > most {
                (best, most) = (place, power);
            }
        }
        let others = powers.iter().enumerate().filter(|(place, _)| *place != best);
        let alone = others.into_iter().all(|(_, power)| power * APART < most);
        alone.then_some((best, most))
    };
    let ((row, low), (column, high)) = (strongest(&ROWS)?, strongest(&COLUMNS)?);
    let alike = low < high * TWIST && high < low * TWIST;
    let all = low + high > power * SHARE;
    if alike && all { KEYS.get(row)?.get(column).copied() } else { None }
}

/// The power of four tones in a block, each as the mean of its squares, by Goertzel's recurrence: side by side, since each step
/// waits for the one before.
fn powers(rate: Rate, frame: &[i16], tones: &[f32; 4]) -> [f32; 4] {
    let factors = tones.map(|tone| 2.0 * (TAU * tone / rate.hertz() as f32).cos());
    let (mut one, mut two) = ([0.0f32; 4], [0.0f32; 4]);
    for sample in frame {
        let sample = f32::from(*sample);
        for ((one, two), factor) in one.iter_mut().zip(&mut two).zip(&factors) {
            let next = sample + factor * *one - *two;
            (*two, *one) = (*one, next);
        }
    }
    let count = frame.len() as f32;
    let mut powers = [0.0; 4];
    for (power, ((one, two), factor)) in powers.iter_mut().zip(one.iter().zip(&two).zip(&factors)) {
        *power = 2.0 * (one * one + two * two - factor * one * two) / (count * count);
    }
    powers
}

/// The two tones of a key, in hertz.
pub fn tones(key: char) -> Option<[f32; 2]> {
    let key = key.to_ascii_uppercase();
    KEYS.iter().zip(ROWS).find_map(|(keys, low)| {
        let column = keys.iter().position(|known| *known == key)?;
        Some([low, *COLUMNS.get(column)?])
    })
}

#[cfg(test)]
mod tests {
    use types::Rng;

    use super::*;

    const ALL: &str = "123A456B789C*0#D";

    /// So many milliseconds of the sum of some tones, from sample `from` on.
    fn sound(rate: Rate, tones: &[(f32, f32)], from: usize, ms: usize) -> Vec<i16> {
        let count = rate.hertz() as usize * ms / 1000;
        let at = |n: usize| {
            let turn = |tone: f32| f64::from(tone) * n as f64 / f64::from(rate.hertz());
            let parts = tones
                .iter()
                .map(|(tone, loud)| (std::f64::consts::TAU * turn(*tone)).sin() * f64::from(*loud));
            parts.sum::<f64>() as i16
        };
        (from..from + count).map(at).collect()
    }

    fn keys(rate: Rate, sound: &[i16]) -> String {
        let mut detector = Detector::default();
        sound.chunks_exact(rate.frame()).filter_map(|frame| detector.hear(rate, frame)).collect()
    }

    #[test]
    fn every_key_is_heard_once_for_each_press() {
        for rate in Rate::ALL {
            for shift in [0, 37, 100] {
                let mut all = vec![0; shift * rate.frame() / 160];
                for key in ALL.chars().chain("1155".chars()) {
                    let [low, high] = tones(key).unwrap();
                    all.extend(sound(rate, &[(low, 4000.0), (high, 5000.0)], 0, 80));
                    all.extend(sound(rate, &[], 0, 60));
                }
                assert_eq!(keys(rate, &all), format!("{ALL}1155"), "{rate:?} {shift}");
            }
        }
    }

    #[test]
    fn noise_level_and_twist_within_the_standard_do_not_matter() {
        let mut rng = Rng::from_number(4);
        for (low, high) in
            [(800.0, 800.0), (10_000.0, 10_000.0), (2000.0, 4000.0), (4000.0, 2000.0)]
        {
            let [one, two] = tones('7').unwrap();
            // A percent and a half off, as the standard lets them be.
            let tones = [(one * 1.015, low), (two * 0.985, high)];
            let mut all = sound(Rate::Narrow, &tones, 0, 100);
            for sample in &mut all {
                *sample = sample.saturating_add(rng.below(200) as i16 - 100);
            }
            assert_eq!(keys(Rate::Narrow, &all), "7", "{low} {high}");
        }
    }

    #[test]
    fn nothing_else_is_a_key() {
        let rate = Rate::Narrow;
        let alone = sound(rate, &[(770.0, 8000.0)], 0, 200);
        let ring = sound(rate, &[(440.0, 4000.0), (480.0, 4000.0)], 0, 200);
        let crooked = sound(rate, &[(770.0, 400.0), (1336.0, 8000.0)], 0, 200);
        let many = [(697.0, 3000.0), (770.0, 3000.0), (1209.0, 3000.0), (1336.0, 3000.0)];
        let short = sound(rate, &[(770.0, 4000.0), (1336.0, 4000.0)], 0, 20);
        let quiet = sound(rate, &[(770.0, 150.0), (1336.0, 150.0)], 0, 200);
        for (what, sound) in [
            ("one tone", alone),
            ("ringing", ring),
            ("unlike", crooked),
            ("four tones", sound(rate, &many, 0, 200)),
            ("too short", short),
            ("too quiet", quiet),
            ("silence", vec![0; 1600]),
        ] {
            assert_eq!(keys(rate, &sound), "", "{what}");
        }
    }

    /// An hour of what is like speech: sums of partials that change eight times a second.
    #[test]
    fn speech_presses_no_keys() {
        let mut rng = Rng::from_number(9);
        let mut detector = Detector::default();
        let mut heard = 0;
        for _ in 0..4_000 {
            let pitch = 80.0 + rng.below(180) as f32;
            let partials: Vec<(f32, f32)> = (1..18)
                .map(|n| (pitch * n as f32, rng.below(3000) as f32 / (1.0 + n as f32 / 4.0)))
                .collect();
            for frame in sound(Rate::Narrow, &partials, rng.below(800) as usize, 120).chunks(160) {
                heard += usize::from(detector.hear(Rate::Narrow, frame).is_some());
            }
        }
        assert!(heard <= 2, "{heard} keys in eight minutes");
    }
}
