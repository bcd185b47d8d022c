//! Phones whose keys stand in their descriptions (SDES): their packets are opened as they come, and sealed as they go.
//!
//! Picture     datagram --opener--> the same as of any phone;  what goes to the phone --sealer--> datagram
//! Rules       A phone has a key, we have one for it; neither is any other leg's. The same keys said again change
//!             nothing, for their numbers go on. What a phone hears comes under a source that was made up for these
//!             keys, so that no key ever meets the same number twice, not in the next process either.
//! Limits      Those of proto/srtp.
//! Not here    Who agreed on which keys (switchboard), who may send at all (source).
//! Spec        RFC 4568 §6.4, RFC 3711 §9.1 (no key stream twice).

use std::collections::BTreeMap;
use std::net::SocketAddr;

use srtp::{Opener, Sealer};

use crate::outbox::Outbox;
use crate::rtp::Kind;
use crate::words::Keys;

/// The keys of all legs, by their even port.
#[derive(Debug, Default)]
pub(crate) struct Keyrings {
    by_port: BTreeMap<u16, Box<Keyring>>,
}

#[derive(Debug)]
struct Keyring {
    keys: Keys,
    sealer: Sealer,
    opener: Opener,
}

impl Keyring {
    fn new(keys: Keys) -> Option<Self> {
        let half = |key: &[u8]| {
            let (key, salt) = key.split_at_checked(keys.suite.key())?;
            Some((key.to_vec(), salt.to_vec()))
        };
        let ((ours, our_salt), (theirs, their_salt)) = (half(&keys.ours)?, half(&keys.theirs)?);
        let sealer = Sealer::new(keys.suite, &ours, &our_salt)?;
        let opener = Opener::new(keys.suite, &theirs, &their_salt)?;
        Some(Self { keys, sealer, opener })
    }
}

impl Keyrings {
    /// Whether the leg of this port has keys.
    pub(crate) fn has(&self, port: u16) -> bool {
        !self.by_port.is_empty() && self.by_port.contains_key(&(port & !1))
    }

    /// The leg of this port has these keys from now on; whether they can be used, and whether ours is a new one.
    pub(crate) fn give(&mut self, port: u16, keys: Keys) -> Option<bool> {
        if let Some(known) = self.by_port.get_mut(&port) {
            if known.keys == keys {
                return Some(false);
            }
            // A phone may take another key for itself and leave ours as it is.
            if (known.keys.suite, &known.keys.ours) == (keys.suite, &keys.ours) {
                let fresh = Keyring::new(keys)?;
                (known.keys, known.opener) = (fresh.keys, fresh.opener);
                return Some(false);
            }
        }
        self.by_port.insert(port, Box::new(Keyring::new(keys)?));
        Some(true)
    }

    /// The leg of this port is gone, or has no keys any more.
    pub(crate) fn forget(&mut self, port: u16) {
        self.by_port.remove(&port);
    }

    /// Opens a datagram in its place: the octets of it that count. `None` when it is not what these keys sealed.
    pub(crate) fn open(&mut self, port: u16, bytes: &mut [u8]) -> Option<usize> {
        let ring = self.by_port.get_mut(&(port & !1))?;
        match Kind::of(bytes)? {
            Kind::Rtp => ring.opener.open_rtp(bytes).ok(),
            Kind::Rtcp => ring.opener.open_rtcp(bytes).ok(),
            Kind::Dtls => None,
        }
    }

    /// Seals a packet for the phone at this leg, and sends it.
    pub(crate) fn send(&mut self, port: u16, to: SocketAddr, packet: &[u8], out: &mut Outbox) {
        let Some(ring) = self.by_port.get_mut(&(port & !1)) else { return };
        let mut sealed = out.room();
        sealed.extend_from_slice(packet);
        let done = match Kind::of(packet) {
            Some(Kind::Rtp) => ring.sealer.seal_rtp(&mut sealed).is_ok(),
            Some(Kind::Rtcp) => ring.sealer.seal_rtcp(&mut sealed).is_ok(),
            Some(Kind::Dtls) | None => false,
        };
        if !done {
            sealed.clear(); // The box keeps the memory and sends nothing.
        }
        out.push(port, to, sealed);
    }
}
