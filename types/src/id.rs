//! Ids: one alphabetical list. Each explains itself in a log line and names the slot that hosts it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Rng;

/// One of 256 parts that sessions, users and groups fall into. Threads and nodes merely host slots.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Slot(pub u8);

impl Slot {
    /// The shard that hosts this slot when `shards` of them run.
    pub fn shard(self, shards: usize) -> usize {
        usize::from(self.0) % shards.max(1)
    }
}

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// 128 bits as 26 letters, the highest bits first.
fn write_base32(value: u128, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut letters = [0; 26];
    for (step, letter) in letters.iter_mut().rev().enumerate() {
        *letter = ALPHABET[(value >> (step * 5)) as usize & 31];
    }
    f.write_str(std::str::from_utf8(&letters).unwrap_or_default())
}

fn read_base32(text: &str) -> Option<u128> {
    if text.len() != 26 {
        return None;
    }
    text.bytes().try_fold(0u128, |value, letter| {
        let digit = ALPHABET.iter().position(|known| *known == letter)?;
        // 26 letters carry 130 bits: the first may use three only.
        if value >> 123 != 0 {
            return None;
        }
        Some(value << 5 | digit as u128)
    })
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub u128);

        impl $name {
            /// A new id that lives on `slot`.
            pub fn mint(slot: Slot, rng: &mut Rng) -> Self {
                let rest = u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64());
                Self(u128::from(slot.0) << 120 | rest >> 8)
            }

            /// The slot that hosts what this names.
            pub fn slot(self) -> Slot {
                Slot((self.0 >> 120) as u8)
            }

            /// Reads the text form; `None` for any other text.
            pub fn parse(text: &str) -> Option<Self> {
                read_base32(text.strip_prefix($prefix)?.strip_prefix('_')?).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!($prefix, "_"))?;
                write_base32(self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )*};
}

ids! {
    /// Media that legs share: packets that enter by one port leave by another.
    BridgeId = "brdg";
    /// A call: legs bridged.
    CallId = "call";
    /// Where a user can be reached through one program or piece of equipment.
    DeviceId = "dev";
    /// One side of a call.
    LegId = "leg";
    /// A written message.
    MessageId = "msg";
    /// One push on its way to one device.
    PushId = "push";
    /// The switchboard's unit of ownership.
    SessionId = "sess";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_round_trips_and_keeps_the_slot() {
        let mut rng = Rng::new([7; 32]);
        for slot in 0..=255 {
            let id = CallId::mint(Slot(slot), &mut rng);
            assert_eq!(id.slot(), Slot(slot));
            assert_eq!(CallId::parse(&id.to_string()), Some(id));
        }
        assert_eq!(CallId::parse("leg_00000000000000000000000000"), None);
        assert_eq!(CallId::parse("call_zzzzzzzzzzzzzzzzzzzzzzzzzz"), None);
    }
}
