//! Telephone events: keys pressed, as packets beside the sound.
//!
//! Spec: RFC 4733 §2

use thiserror::Error;

use crate::rtp::Packet;
use crate::sender::RtpSender;

/// How often the end of an event is said, since one packet may be lost.
///
/// Spec: RFC 4733 §2.5.1.4
pub const END_REPEATS: usize = 3;

/// The volume that we send: -10 dBm0.
pub const VOLUME: u8 = 10;

/// The keys in the order of their codes.
const KEYS: &[u8; 16] = b"0123456789*#ABCD";

/// Why a payload is not a telephone event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a telephone event has four octets")]
pub struct DecodeError;

/// One report about an event that goes on.
///
/// Spec: RFC 4733 §2.3
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tone {
    /// What happens; 0 to 15 are keys.
    pub event: u8,
    /// Whether it is over.
    pub end: bool,
    /// Power in -dBm0, 0 to 63.
    pub volume: u8,
    /// How long it has lasted, in timestamp units.
    pub duration: u16,
}

impl Tone {
    /// Reads a payload. Redundant reports behind the first are not looked at.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let [event, flags, d0, d1] = *payload.first_chunk::<4>().ok_or(DecodeError)?;
        Ok(Self {
            event,
            end: flags & 0x80 != 0,
            volume: flags & 0x3f,
            duration: u16::from_be_bytes([d0, d1]),
        })
    }

    /// The payload.
    pub const fn encode(self) -> [u8; 4] {
        let [d0, d1] = self.duration.to_be_bytes();
        [self.event, (self.end as u8) << 7 | (self.volume & 0x3f), d0, d1]
    }

    /// The key, where the event is one.
    pub fn key(self) -> Option<char> {
        KEYS.get(usize::from(self.event)).copied().map(char::from)
    }
}

/// The key of a code, in ASCII.
pub fn key(code: u8) -> Option<u8> {
    KEYS.get(usize::from(code)).copied()
}

/// The code of a key: `0-9*#A-D`.
pub fn code(key: char) -> Option<u8> {
    let key = u8::try_from(key).ok()?.to_ascii_uppercase();
    KEYS.iter().position(|known| *known == key).map(|place| place as u8)
}

/// The packets of one key press: one per `step` samples, then the end three times. The sender's
/// time moves on by the length of the press. `None` for what is not a key.
pub fn press(
    sender: &mut RtpSender,
    payload_type: u8,
    key: char,
    samples: u16,
    step: u16,
) -> Option<Vec<Vec<u8>>> {
    let event = code(key)?;
    let began = sender.timestamp();
    let (step, mut packets, mut duration) = (step.max(1), Vec::new(), 0u16);
    while duration < samples {
        duration = duration.saturating_add(step).min(samples);
        let tone = Tone { event, end: false, volume: VOLUME, duration };
        let first = packets.is_empty();
        packets.push(sender.packet_at(began, payload_type, first, &tone.encode()));
    }
    let tone = Tone { event, end: true, volume: VOLUME, duration };
    for _ in 0..END_REPEATS {
        packets.push(sender.packet_at(began, payload_type, false, &tone.encode()));
    }
    sender.skip(samples.into());
    Some(packets)
}

/// Hears each key once, though it comes in many packets.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    heard: Option<(u32, u32)>,
}

impl Keys {
    /// Takes a packet of the event payload type; gives the key when it is a new one.
    pub fn hear(&mut self, packet: &Packet<'_>) -> Option<char> {
        let key = Tone::decode(packet.payload).ok()?.key()?;
        let moment = (packet.header.ssrc, packet.header.timestamp);
        (self.heard.replace(moment) != Some(moment)).then_some(key)
    }
}

#[cfg(test)]
mod tests {
    use types::Rng;

    use super::*;

    #[test]
    fn reports_round_trip() {
        for event in 0..=255 {
            for (end, volume, duration) in [(false, 0, 0), (true, 63, u16::MAX), (true, 10, 160)] {
                let tone = Tone { event, end, volume, duration };
                assert_eq!(Tone::decode(&tone.encode()), Ok(tone));
            }
        }
        assert_eq!(Tone::decode(&[1, 2, 3]), Err(DecodeError));
    }

    #[test]
    fn presses_are_heard_once_each() {
        let mut sender = RtpSender::new(&mut Rng::from_number(8));
        let mut keys = Keys::default();
        let mut heard = String::new();
        for key in "159#*0dD11".chars() {
            let packets = press(&mut sender, 101, key, 800, 160).unwrap();
            assert_eq!(packets.len(), 5 + END_REPEATS);
            for wire in packets {
                heard.extend(keys.hear(&Packet::decode(&wire).unwrap()));
            }
        }
        assert_eq!(heard, "159#*0DD11");
        assert_eq!(press(&mut sender, 101, 'x', 800, 160), None);
    }
}
