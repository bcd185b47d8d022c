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

    /// All samples of a payload.
    pub fn decode_all(self, payload: &[u8]) -> Vec<i16> {
        payload.iter().map(|octet| self.decode(*octet)).collect()
    }

    /// A payload of all samples.
    pub fn encode_all(self, pcm: &[i16]) -> Vec<u8> {
        pcm.iter().map(|sample| self.encode(*sample)).collect()
    }
}

const fn mu_encode(sample: i16) -> u8 {
    let (sign, size) = if sample < 0 { (0x80, -(sample as i32)) } else { (0, sample as i32) };
    let size = if size > 0x7fff - BIAS { 0x7fff } else { size + BIAS };
    // The highest bit, 7 to 14, names the segment; the four bits below it the step.
    let segment = 24 - size.leading_zeros() as i32;
    let step = (size >> (segment + 3)) & 0x0f;
    !(sign | (segment << 4) | step) as u8
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
    let (sign, size) = if sample < 0 { (0, -sample - 1) } else { (0x80, sample) };
    let code = if size < 32 {
        size >> 1
    } else {
        let segment = 27 - size.leading_zeros() as i32;
        (segment << 4) | ((size >> segment) & 0x0f)
    };
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
