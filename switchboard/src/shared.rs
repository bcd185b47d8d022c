//! Which legs of this shard go by the port that many share, instead of a pair of their own.
//!
//! Picture     where a phone says it is --nobody else is there, and it is there itself--> the shared port, else its own pair
//! Rules       Each shard has its own shared port, so that it knows all who are on it. A private address is believed where we
//!             have one ourselves; elsewhere the phone is behind a translator, and is heard by a pair alone. A leg keeps its
//!             place until it is gone or moves.
//! Limits      As many as there are ports that name legs.
//! Not here    Whose a packet is (media::shared), who will be called (rooms).
//! Spec        RFC 4961.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// The legs of one shard.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// By the port that names a leg: where its phone is, as far as it is known.
    legs: BTreeMap<u16, Option<SocketAddr>>,
    taken: BTreeMap<SocketAddr, u16>,
}

impl Shared {
    /// A leg wants to go by the shared port. `at`: where its phone says it is; `None`: it said nothing yet. Whether it can
    /// be told from all others.
    pub(crate) fn claim(&mut self, name: u16, at: Option<SocketAddr>, ours: IpAddr) -> bool {
        let known = self.legs.get(&name).copied().flatten();
        if let Some(at) = at {
            let free = self.taken.get(&at).is_none_or(|holder| *holder == name);
            if !free || !is_itself(at, ours) {
                return false;
            }
            if let Some(old) = known.filter(|old| *old != at) {
                self.taken.remove(&old);
            }
            self.taken.insert(at, name);
        }
        self.legs.insert(name, at.or(known));
        true
    }

    /// A leg is gone, or has a pair of its own.
    pub(crate) fn release(&mut self, name: u16) {
        if let Some(at) = self.legs.remove(&name).flatten() {
            self.taken.remove(&at);
        }
    }
}

/// Whether a phone that names this address sends from there.
fn is_itself(at: SocketAddr, ours: IpAddr) -> bool {
    let (there, ours) = (at.ip().to_canonical(), ours.to_canonical());
    let here = is_private(ours) || ours.is_loopback() || ours.is_unspecified();
    at.port() != 0 && !there.is_unspecified() && (here || !is_private(there))
}

fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let shared = matches!(ip.octets(), [100, 64..=127, ..]);
            ip.is_private() || ip.is_link_local() || shared
        }
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Option<SocketAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn who_can_be_told_apart_shares() {
        let ours: IpAddr = "198.51.100.1".parse().unwrap();
        let mut shared = Shared::default();
        assert!(shared.claim(100, at("203.0.113.5:4000"), ours));
        assert!(shared.claim(100, at("203.0.113.5:4000"), ours)); // Said again.
        assert!(!shared.claim(102, at("203.0.113.5:4000"), ours));
        assert!(shared.claim(102, None, ours) && !shared.claim(102, at("203.0.113.5:4000"), ours));
        assert!(shared.claim(102, at("203.0.113.5:4002"), ours));
        assert!(!shared.claim(104, at("192.168.1.4:4000"), ours));
        assert!(!shared.claim(104, at("100.64.1.4:4000"), ours));
        assert!(!shared.claim(104, at("0.0.0.0:4000"), ours));
        assert!(shared.claim(104, at("192.168.1.4:4000"), "10.0.0.1".parse().unwrap()));
        shared.release(100);
        assert!(shared.claim(106, at("203.0.113.5:4000"), ours));
        // Who moves leaves his old place.
        assert!(shared.claim(106, at("203.0.113.5:4004"), ours));
        assert!(shared.claim(108, at("203.0.113.5:4000"), ours));
    }
}
