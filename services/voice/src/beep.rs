//! The sound before a recording.

/// Samples a second.
const RATE: u32 = 8_000;
/// How long it is, in samples.
const LENGTH: u32 = 2_400;
/// How high. Units: hertz.
const PITCH: f64 = 1_000.0;

/// As a file: the same octets each time, so it is one clip for all.
pub fn wav() -> Vec<u8> {
    let mut out = Vec::new();
    let octets = LENGTH * 2;
    out.extend_from_slice(b"RIFF");
    out.extend_from_slice(&(36 + octets).to_le_bytes());
    out.extend_from_slice(b"WAVEfmt ");
    out.extend_from_slice(&16_u32.to_le_bytes());
    out.extend_from_slice(&1_u16.to_le_bytes());
    out.extend_from_slice(&1_u16.to_le_bytes());
    out.extend_from_slice(&RATE.to_le_bytes());
    out.extend_from_slice(&(RATE * 2).to_le_bytes());
    out.extend_from_slice(&2_u16.to_le_bytes());
    out.extend_from_slice(&16_u16.to_le_bytes());
    out.extend_from_slice(b"data");
    out.extend_from_slice(&octets.to_le_bytes());
    for place in 0..LENGTH {
        let turn = f64::from(place) * PITCH / f64::from(RATE) * std::f64::consts::TAU;
        // It swells and fades for 10 ms, so that it does not click.
        let edge = f64::from(place.min(LENGTH - place).min(80)) / 80.0;
        let sample = (turn.sin() * edge * 8_000.0) as i16;
        out.extend_from_slice(&sample.to_le_bytes());
    }
    out
}
