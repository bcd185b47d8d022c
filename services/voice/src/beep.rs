//! The sound before a recording, and those at the door of a conference.

/// Samples a second.
const RATE: u32 = 8_000;
/// How long it is, in samples.
const LENGTH: u32 = 2_400;
/// How high. Units: hertz.
const PITCH: f64 = 1_000.0;
/// The same of who comes.
const ENTER: f64 = 800.0;
/// The same of who goes.
const EXIT: f64 = 480.0;

/// As a file: the same octets each time, so it is one clip for all.
pub fn wav() -> Vec<u8> {
    tone(PITCH)
}

/// When somebody comes into a conference, or leaves it.
pub fn door(enters: bool) -> Vec<u8> {
    tone(if enters { ENTER } else { EXIT })
}

fn tone(pitch: f64) -> Vec<u8> {
    let sample = |place: u32| {
        let turn = f64::from(place) * pitch / f64::from(RATE) * std::f64::consts::TAU;
        // It swells and fades for 10 ms, so that it does not click.
        let edge = f64::from(place.min(LENGTH - place).min(80)) / 80.0;
        (turn.sin() * edge * 8_000.0) as i16
    };
    switchboard::clip::file(RATE, &(0..LENGTH).map(sample).collect::<Vec<_>>())
}
