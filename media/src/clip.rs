//! Names of what is played and of what is listened in on.
//!
//! Spec: none.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The name of a clip: the first 16 octets of the SHA-256 of the file that is kept of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClipId(pub u128);

impl fmt::Debug for ClipId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "clip {:032x}", self.0)
    }
}

/// The name of a tap: who taps chooses it, once in the life of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TapId(pub u64);
