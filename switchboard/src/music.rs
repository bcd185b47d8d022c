//! The music of those who wait, where nobody named another: a slow round of broken chords, made here. Rooms that let
//! somebody wait lend it to the engine as they lend any other clip.

use std::sync::OnceLock;

/// Samples a second.
const RATE: u32 = 8_000;
/// How long one note is struck before the next. Units: samples.
const STEP: u32 = RATE / 4;
/// How long a note rings on, as its loudness falls by half. Units: seconds.
const HALF: f64 = 0.35;
/// Loudness of one note, of 32,767.
const LOUD: f64 = 2_600.0;

/// The chords, a bar each: semitones above the A of 220 Hz. A minor, F, C, G; they lead back to the first.
const CHORDS: [[i32; 4]; 4] = [[0, 3, 7, 12], [-4, 0, 3, 8], [3, 7, 10, 15], [-2, 2, 5, 10]];
/// Which notes of its chord a bar strikes.
const FIGURE: [usize; 8] = [0, 1, 2, 3, 2, 3, 2, 1];

/// As a file: the same octets each time, so it is one clip for all. It is played again and again, and does not click where it
/// begins anew, since what rings at its end rings on at its beginning.
pub fn wav() -> &'static [u8] {
    static FILE: OnceLock<Vec<u8>> = OnceLock::new();
    FILE.get_or_init(|| crate::clip::file(RATE, &samples()))
}

fn samples() -> Vec<i16> {
    let notes = CHORDS.len() * FIGURE.len();
    let length = notes * STEP as usize;
    let mut sum = vec![0.0_f64; length];
    let struck = CHORDS.iter().flat_map(|chord| {
        FIGURE.iter().map(|place| chord.get(*place).copied().unwrap_or_default())
    });
    for (place, semitones) in struck.enumerate() {
        let pitch = 220.0 * (f64::from(semitones) / 12.0).exp2();
        let begin = place * STEP as usize;
        // After two seconds nothing is heard of it.
        for at in 0..2 * RATE {
            let time = f64::from(at) / f64::from(RATE);
            let turn = time * pitch * std::f64::consts::TAU;
            // It swells for 8 ms, so that it does not click.
            let swell = (time / 0.008).min(1.0);
            let fade = (-time / HALF * std::f64::consts::LN_2).exp();
            let tone = turn.sin() + 0.3 * (2.0 * turn).sin() + 0.1 * (3.0 * turn).sin();
            if let Some(sample) = sum.get_mut((begin + at as usize) % length) {
                *sample += tone * swell * fade * LOUD;
            }
        }
    }
    sum.into_iter().map(|sample| sample as i16).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_heard_and_neither_clips_nor_clicks() {
        let samples = samples();
        assert_eq!(samples.len(), 8 * RATE as usize);
        let loudest = samples.iter().map(|sample| sample.unsigned_abs()).max().unwrap();
        assert!((4_000..20_000).contains(&loudest), "{loudest}");
        let jump = samples.iter().zip(samples.iter().cycle().skip(1));
        let jump = jump.map(|(one, next)| one.abs_diff(*next)).max().unwrap();
        assert!(jump < 6_000, "{jump}");
        assert!(std::ptr::eq(wav(), wav()));
    }
}
