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
    file(RATE, &(0..LENGTH).map(sample).collect::<Vec<_>>())
}

/// Samples of one channel as a file.
pub fn file(rate: u32, samples: &[i16]) -> Vec<u8> {
    let mut out = Vec::with_capacity(44 + samples.len() * 2);
    let octets = u32::try_from(samples.len() * 2).unwrap_or(u32::MAX);
    out.extend_from_slice(b"RIFF");
    out.extend_from_slice(&octets.saturating_add(36).to_le_bytes());
    out.extend_from_slice(b"WAVEfmt ");
    out.extend_from_slice(&16_u32.to_le_bytes());
    out.extend_from_slice(&1_u16.to_le_bytes());
    out.extend_from_slice(&1_u16.to_le_bytes());
    out.extend_from_slice(&rate.to_le_bytes());
    out.extend_from_slice(&(rate * 2).to_le_bytes());
    out.extend_from_slice(&2_u16.to_le_bytes());
    out.extend_from_slice(&16_u16.to_le_bytes());
    out.extend_from_slice(b"data");
    out.extend_from_slice(&octets.to_le_bytes());
    out.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    out
}
