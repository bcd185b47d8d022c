//! Measuring tones, for tests of this crate.
//!
//! Spec: none; Goertzel's recurrence.

use std::f64::consts::TAU;

/// How loud a tone is in some sound: its amplitude, under a window that keeps neighbours apart.
pub fn level(pcm: &[i16], tone: f64, hertz: u32) -> f64 {
    let (count, step) = (pcm.len() as f64, TAU * tone / f64::from(hertz));
    let factor = 2.0 * step.cos();
    let (mut one, mut two) = (0.0, 0.0);
    for (place, sample) in pcm.iter().enumerate() {
        let window = 0.5 - 0.5 * (TAU * place as f64 / count).cos();
        let next = f64::from(*sample) * window + factor * one - two;
        (two, one) = (one, next);
    }
    let power = one * one + two * two - factor * one * two;
    4.0 * power.max(0.0).sqrt() / count
}
