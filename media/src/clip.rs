//! Clips that are played, and the names of what is played and of what is listened in on.
//!
//! Spec: none.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::codec::Rate;

/// The name of a clip: the first 16 octets of the SHA-256 of the file that is kept of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClipId(pub u128);

impl fmt::Debug for ClipId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "clip {:032x}", self.0)
    }
}

/// The samples of a clip, shared by all who hear it.
#[derive(Clone, Debug)]
pub struct Clip {
    /// One form for each rate of [`Rate::ALL`], the lowest first; all of the same length in time.
    pub forms: [Arc<[i16]>; 3],
}

impl Clip {
    /// The samples at one rate.
    pub fn at(&self, rate: Rate) -> &[i16] {
        let [narrow, wide, full] = &self.forms;
        match rate {
            Rate::Narrow => narrow,
            Rate::Wide => wide,
            Rate::Full => full,
        }
    }

    /// How long it is.
    pub fn length(&self) -> Duration {
        let samples = self.at(Rate::Narrow).len() as u64;
        Duration::from_micros(samples * 1_000_000 / u64::from(Rate::Narrow.hertz()))
    }
}

/// The name of a tap: who taps chooses it, once in the life of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TapId(pub u64);
