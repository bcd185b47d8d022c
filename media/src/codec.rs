//! Payloads to samples and back: the seam at which a further codec joins the mixer.
//!
//! Every stream of samples here has 8000 a second ([`g711::RATE`]). A codec of another rate decodes to and encodes
//! from that one until the mixer learns rates; a codec with memory keeps it in [`Decoder`] and [`Encoder`].

use serde::{Deserialize, Serialize};

use crate::g711::{self, Law};

/// Samples of one tick: 20 ms.
pub const FRAME: usize = 160;

/// Samples that one packet may hold: 120 ms. Longer packets are dropped by whoever decodes.
pub const PACKET_MAX: usize = 960;

/// How a leg sounds: what we send it, and what else it understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sound {
    /// The law that it is sent.
    pub law: Law,
    /// The payload type of telephone events, where it takes them.
    pub events: Option<u8>,
}

/// Turns payloads of one sender into samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decoder {
    G711(Law),
}

impl Decoder {
    /// The decoder of a payload type; `None` for what is not sound that we know.
    pub(crate) const fn of(payload_type: u8) -> Option<Self> {
        match Law::of(payload_type) {
            Some(law) => Some(Self::G711(law)),
            None => None,
        }
    }

    /// The samples of a payload; `None` when there are none, or more than [`PACKET_MAX`].
    pub(crate) fn decode<'a>(
        &mut self,
        payload: &[u8],
        room: &'a mut [i16; PACKET_MAX],
    ) -> Option<&'a [i16]> {
        match self {
            Self::G711(law) => {
                let pcm = room.get_mut(..payload.len()).filter(|pcm| !pcm.is_empty())?;
                for (sample, octet) in pcm.iter_mut().zip(payload) {
                    *sample = law.decode(*octet);
                }
                Some(pcm)
            }
        }
    }
}

/// Turns samples into the payloads of one receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoder {
    G711(Law),
}

impl Encoder {
    pub(crate) const fn of(sound: Sound) -> Self {
        Self::G711(sound.law)
    }

    pub(crate) const fn payload_type(self) -> u8 {
        match self {
            Self::G711(law) => law.payload_type(),
        }
    }

    /// Whether two receivers who shall hear the same may get the same octets.
    pub(crate) fn shares(self, other: Self) -> bool {
        self == other
    }

    /// Writes the payload of one frame; how many octets it has.
    pub(crate) fn encode(&mut self, pcm: &[i16; FRAME], payload: &mut [u8; FRAME]) -> usize {
        match self {
            Self::G711(law) => {
                for (octet, sample) in payload.iter_mut().zip(pcm) {
                    *octet = law.encode(*sample);
                }
                FRAME
            }
        }
    }
}

/// Samples in a length of time, to the nearest whole frame.
pub(crate) fn frames(span: std::time::Duration) -> u32 {
    let frame = FRAME as u64 * 1_000_000 / u64::from(g711::RATE);
    let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
    u32::try_from(micros.saturating_add(frame / 2) / frame).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_sound_that_fits_is_decoded() {
        let mut room = [0; PACKET_MAX];
        let mut decoder = Decoder::of(8).unwrap();
        assert_eq!(decoder.decode(&[0xd5, 0x55], &mut room), Some(&[8, -8][..]));
        assert_eq!(decoder.decode(&[], &mut room), None);
        assert_eq!(decoder.decode(&[0; PACKET_MAX + 1], &mut room), None);
        assert_eq!(Decoder::of(101), None);
    }

    #[test]
    fn a_frame_becomes_a_payload() {
        let sound = Sound { law: Law::Mu, events: None };
        let mut payload = [0; FRAME];
        let mut encoder = Encoder::of(sound);
        assert_eq!(encoder.encode(&[132; FRAME], &mut payload), FRAME);
        assert_eq!(payload, [0xef; FRAME]);
        assert!(!encoder.shares(Encoder::of(Sound { law: Law::A, events: None })));
    }

    #[test]
    fn time_is_counted_in_whole_frames() {
        for (ms, count) in [(0, 0), (9, 0), (10, 1), (29, 1), (30, 2), (60_000, 3000)] {
            assert_eq!(frames(Duration::from_millis(ms)), count);
        }
    }
}
