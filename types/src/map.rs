//! Maps whose order cannot be guessed from outside and yet is the same in a replay.

#![expect(clippy::disallowed_types, reason = "the one place where the maps of std are wrapped")]

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hasher};

use siphasher::sip::SipHasher13;

/// A hash map with keys from the injected generator: `Map::with_hasher(hash_key)`.
pub type Map<K, V> = HashMap<K, V, HashKey>;

/// A hash set with keys from the injected generator.
pub type Set<K> = HashSet<K, HashKey>;

/// The secret of a map. Portable: the same key gives the same order on every machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HashKey(pub u64, pub u64);

impl HashKey {
    /// One stable hash of some bytes, for slots and the like.
    pub fn hash_bytes(self, bytes: &[u8]) -> u64 {
        let mut hasher = self.build_hasher();
        hasher.write(bytes);
        hasher.finish()
    }
}

impl BuildHasher for HashKey {
    type Hasher = SipHasher13;
    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.0, self.1)
    }
}
