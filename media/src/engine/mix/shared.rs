//! What hearers of one tick have in common.

use crate::codec::{Codec, PAYLOAD_MAX};

/// What all who are not in the sum hear: written once for each codec that keeps nothing.
#[derive(Debug)]
pub(super) struct Shared {
    codecs: [Option<Codec>; SHARED],
    payloads: [[u8; PAYLOAD_MAX]; SHARED],
    octets: [usize; SHARED],
}

/// Codecs whose payload is shared in one tick: the two laws.
const SHARED: usize = 2;

impl Default for Shared {
    fn default() -> Self {
        Self { codecs: [None; SHARED], payloads: [[0; PAYLOAD_MAX]; SHARED], octets: [0; SHARED] }
    }
}

impl Shared {
    pub(super) fn of(&self, codec: Codec) -> Option<&[u8]> {
        let place = self.codecs.iter().position(|known| *known == Some(codec))?;
        self.payloads.get(place)?.get(..*self.octets.get(place)?)
    }

    pub(super) fn keep(&mut self, codec: Codec, payload: &[u8]) {
        let free = self.codecs.iter().position(Option::is_none);
        let Some(place) = free else { return };
        let slots = (self.codecs.get_mut(place), self.payloads.get_mut(place));
        if let ((Some(known), Some(octets)), Some(count)) = (slots, self.octets.get_mut(place)) {
            (*known, *count) = (Some(codec), payload.len());
            for (octet, value) in octets.iter_mut().zip(payload) {
                *octet = *value;
            }
        }
    }
}
