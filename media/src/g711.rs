//! G.711: one octet per sample, 8000 a second, in the two laws.
//!
//! Spec: ITU-T G.711, RFC 3551 §4.5.14

use serde::{Deserialize, Serialize};

/// Samples per second of both laws.
pub const RATE: u32 = 8000;

/// What µ-law adds to every sample so that its segments are powers of two.
const BIAS: i32 = 0x84;

/// One of the two laws.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Law {
    /// Payload type 8.
    A,
    /// Payload type 0.
    Mu,
}

impl Law {
    /// The law of a static payload type.
    pub const fn of(payload_type: u8) -> Option<Self> {
        match payload_type {
            0 => Some(Self::Mu),
            8 => Some(Self::A),
            1..=7 | 9..=255 => None,
        }
    }

    /// The static payload type.
    pub const fn payload_type(self) -> u8 {
        match self {
            Self::A => 8,
            Self::Mu => 0,
        }
    }

    /// The octet nearest to a sample.
    pub const fn encode(self, sample: i16) -> u8 {
        match self {
            Self::A => a_encode(sample),
            Self::Mu => mu_encode(sample),
        }
    }

    /// The sample of an octet.
    pub const fn decode(self, octet: u8) -> i16 {
        match self {
            Self::A => a_decode(octet),
            Self::Mu => mu_decode(octet),
        }
    }

    /// Writes the octets of samples, as many as there are of both.
    pub fn encode_into(self, pcm: &[i16], out: &mut [u8]) {
        // One loop for each law, without a branch in it, so that many samples are written at once.
        match self {
            Self::A => {
                out.iter_mut().zip(pcm).for_each(|(octet, sample)| *octet = a_encode(*sample))
            }
            Self::Mu => {
                out.iter_mut().zip(pcm).for_each(|(octet, sample)| *octet = mu_encode(*sample));
            }
        }
    }

    /// Reads the samples of octets, as many as there are of both.
    pub fn decode_into(self, payload: &[u8], out: &mut [i16]) {
        let table = match self {
            Self::A => &A_SAMPLES,
            Self::Mu => &MU_SAMPLES,
        };
        for (sample, octet) in out.iter_mut().zip(payload) {
            *sample = table.get(usize::from(*octet)).copied().unwrap_or_default();
        }
    }

    /// All samples of a payload.
    pub fn decode_all(self, payload: &[u8]) -> Vec<i16> {
        payload.iter().map(|octet| self.decode(*octet)).collect()
    }

    /// A payload of all samples.
    pub fn encode_all(self, pcm: &[i16]) -> Vec<u8> {
        pcm.iter().map(|sample| self.encode(*sample)).collect()
    }
}

/// The sample of each octet.
const MU_SAMPLES: [i16; 256] = samples(Law::Mu);
const A_SAMPLES: [i16; 256] = samples(Law::A);

const fn samples(law: Law) -> [i16; 256] {
    let (mut all, mut octet) = ([0; 256], 0);
    while octet < 256 {
        if let (_, [place, ..]) = all.split_at_mut(octet) {
            *place = law.decode(octet as u8);
        }
        octet += 1;
    }
    all
}

/// The highest bit of a number that is none of those below `lowest`, counted from there, and the four bits below it: as a
/// floating-point number has them, which can be asked for many at once.
const fn segment_and_step(size: i32, lowest: i32) -> i32 {
    /// What is added to the exponent of an `f32`, and the bits below the four that are wanted.
    const EXPONENT: i32 = 127;
    const BELOW: i32 = 19;
    ((size as f32).to_bits() as i32 >> BELOW) - ((EXPONENT + lowest) << 4)
}

const fn mu_encode(sample: i16) -> u8 {
    let sample = sample as i32;
    let (sign, size) = (sample >> 31 & 0x80, sample.abs());
    let size = if size > 0x7fff - BIAS { 0x7fff } else { size + BIAS };
    // The highest bit, 7 to 14, names the segment; the four bits below it the step.
    !(sign | segment_and_step(size, 7)) as u8
}

const fn mu_decode(octet: u8) -> i16 {
    let code = !octet as i32;
    let (segment, step) = ((code >> 4) & 7, code & 0x0f);
    let size = (((step << 3) + BIAS) << segment) - BIAS;
    (if code & 0x80 != 0 { -size } else { size }) as i16
}

const fn a_encode(sample: i16) -> u8 {
    let sample = sample as i32 >> 3;
    // Negative values are mirrored around -1/2: -1 becomes 0.
    let (sign, size) = (!(sample >> 31) & 0x80, sample ^ (sample >> 31));
    let code = if size < 32 { size >> 1 } else { segment_and_step(size, 4) };
    (sign | code) as u8 ^ 0x55
}

const fn a_decode(octet: u8) -> i16 {
    let code = (octet ^ 0x55) as i32;
    let (segment, step) = ((code >> 4) & 7, code & 0x0f);
    let size = match segment {
        0 => (step << 4) + 8,
        _ => ((step << 4) + 0x108) << (segment - 1),
    };
    (if code & 0x80 != 0 { size } else { -size }) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAWS: [Law; 2] = [Law::A, Law::Mu];

    /// As the standard's tables are read, bit by bit.
    fn by_bits(law: Law, sample: i16) -> u8 {
        let highest = |size: i32| 31 - size.leading_zeros() as i32;
        match law {
            Law::Mu => {
                let sign = if sample < 0 { 0x80 } else { 0 };
                let size = (i32::from(sample).abs() + BIAS).min(0x7fff);
                let segment = highest(size) - 7;
                !(sign | (segment << 4) | (size >> (segment + 3)) & 0x0f) as u8
            }
            Law::A => {
                let sample = i32::from(sample) >> 3;
                let (sign, size) = if sample < 0 { (0, -sample - 1) } else { (0x80, sample) };
                let segment = highest(size.max(1)) - 4;
                let code = match size {
                    0..32 => size >> 1,
                    _ => (segment << 4) | ((size >> segment) & 0x0f),
                };
                (sign | code) as u8 ^ 0x55
            }
        }
    }

    #[test]
    fn every_sample_has_the_octet_of_the_standard() {
        let all: Vec<i16> = (i16::MIN..=i16::MAX).collect();
        for law in LAWS {
            let mut octets = vec![0; all.len()];
            law.encode_into(&all, &mut octets);
            for (sample, octet) in all.iter().zip(&octets) {
                assert_eq!(*octet, by_bits(law, *sample), "{law:?} {sample}");
                assert_eq!(*octet, law.encode(*sample));
            }
            let mut samples = vec![0; 256];
            law.decode_into(&(0..=255).collect::<Vec<u8>>(), &mut samples);
            assert_eq!(samples, law.decode_all(&(0..=255).collect::<Vec<u8>>()));
        }
    }

    #[test]
    fn octets_have_the_values_of_the_standard() {
        for (law, octet, sample) in [
            (Law::Mu, 0xff, 0),
            (Law::Mu, 0x7f, 0),
            (Law::Mu, 0x80, 32_124),
            (Law::Mu, 0x00, -32_124),
            (Law::Mu, 0xfe, 8),
            (Law::Mu, 0xef, 132),
            (Law::A, 0xd5, 8),
            (Law::A, 0x55, -8),
            (Law::A, 0xaa, 32_256),
            (Law::A, 0x2a, -32_256),
            (Law::A, 0xc5, 264),
        ] {
            assert_eq!(law.decode(octet), sample, "{law:?} {octet:#x}");
        }
    }

    #[test]
    fn every_octet_comes_back() {
        for law in LAWS {
            for octet in 0..=255 {
                let again = law.encode(law.decode(octet));
                // µ-law has two zeros.
                let same = again == octet || (law == Law::Mu && octet == 0x7f && again == 0xff);
                assert!(same, "{law:?} {octet:#x} {again:#x}");
            }
        }
    }

    #[test]
    fn every_sample_stays_within_its_step() {
        for law in LAWS {
            let mut previous = i16::MIN;
            for sample in i16::MIN..=i16::MAX {
                let heard = law.decode(law.encode(sample));
                assert!(heard >= previous, "{law:?} {sample} is not monotonic");
                previous = heard;
                // Sixteen steps to a segment: half a step is a thirty-second of the size. Two or
                // three of the sixteen bits are not looked at.
                let wrong = (i32::from(heard) - i32::from(sample)).abs();
                let half_step = (i32::from(sample).abs() + BIAS) / 32;
                assert!(wrong <= half_step + 8, "{law:?} {sample} {heard}");
            }
        }
    }

    #[test]
    fn payload_types_are_static() {
        for law in LAWS {
            assert_eq!(Law::of(law.payload_type()), Some(law));
        }
        assert_eq!(Law::of(101), None);
        assert_eq!(Law::Mu.decode_all(&Law::Mu.encode_all(&[0, 132])), [0, 132]);
    }
}
