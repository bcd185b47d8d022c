//! What is said and heard at a stream, for whoever records it or passes it on.
//!
//! Picture     Tap { seat, rate, direction } --every 20 ms--> Heard { channel, at, samples };  Untap --> no more
//!             Pour { tap, feed } --> the frames are played where that feed is
//! Rules       Frames of a tap come in the order of time and never overlap. What was left out (a pump that was held up)
//!             shows as a jump of `at`, and stands for silence. Channel 0 is what a leg says, or the mix; channel 1
//!             what it hears. Silence is told, too.
//! Limits      [`TAPS_MAX`] at one stream; [`TAKEN_MAX`] samples that nobody fetched: what is beyond is lost.
//! Not here    Files (shell), who may listen (rooms).
//! Spec        none.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::clip::TapId;
use crate::codec::Rate;
use crate::feed::FeedId;

/// Taps of one stream. One more ends at once.
pub const TAPS_MAX: usize = 8;

/// Samples that wait to be fetched, of all taps of an engine.
pub const TAKEN_MAX: usize = 1 << 21;

/// Which of the sounds of a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Direction {
    /// What it says, and what it hears.
    Both,
    /// What it says.
    In,
    /// What it hears.
    Out,
}

impl Direction {
    pub(crate) fn has(self, channel: u8) -> bool {
        match self {
            Self::Both => true,
            Self::In => channel == 0,
            Self::Out => channel == 1,
        }
    }
}

/// 20 ms of a tap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard<'a> {
    /// Whose.
    pub tap: TapId,
    /// 0: what the leg says, or the mix; 1: what it hears.
    pub channel: u8,
    /// Samples since the tap began.
    pub at: u64,
    /// At the rate that was asked for.
    pub samples: &'a [i16],
}

impl Heard<'_> {
    /// The same, to keep.
    pub fn taken(&self) -> Taken {
        Taken { channel: self.channel, at: self.at, samples: self.samples.to_vec() }
    }
}

/// 20 ms of a tap, on their way to another thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// 0: what the leg says, or the mix; 1: what it hears.
    pub channel: u8,
    /// Samples since the tap began. A jump stands for silence.
    pub at: u64,
    /// At the rate that was asked for.
    pub samples: Vec<i16>,
}

/// Takes what a tap heard, on the pump's thread: it must not wait.
pub type Sink = Box<dyn FnMut(Heard<'_>) + Send>;

/// What taps of one engine heard, until it is fetched or poured out.
#[derive(Debug, Default)]
pub(crate) struct Takes {
    samples: Vec<i16>,
    /// Whose, which channel, since when, how many samples.
    takes: Vec<(TapId, u8, u64, usize)>,
    /// Feeds that taps of this engine fill.
    pours: BTreeMap<TapId, FeedId>,
    /// What goes to feeds of one tick: where, how many samples.
    poured: Vec<(FeedId, usize)>,
    pouring: Vec<i16>,
}

impl Takes {
    pub(crate) fn push(&mut self, tap: TapId, channel: u8, at: u64, samples: &[i16]) {
        if let Some(feed) = self.pours.get(&tap) {
            self.poured.push((*feed, samples.len()));
            self.pouring.extend_from_slice(samples);
        } else if self.samples.len() + samples.len() <= TAKEN_MAX {
            self.samples.extend_from_slice(samples);
            self.takes.push((tap, channel, at, samples.len()));
        }
    }

    /// This tap fills that feed.
    pub(crate) fn pour(&mut self, tap: TapId, feed: FeedId) {
        self.pours.insert(tap, feed);
    }

    /// A tap has ended.
    pub(crate) fn forget(&mut self, tap: TapId) {
        self.pours.remove(&tap);
    }

    /// Gives feeds what a tick has for them.
    pub(crate) fn pour_out(&mut self, mut fill: impl FnMut(FeedId, &[i16])) {
        let mut rest = self.pouring.as_slice();
        for (feed, count) in self.poured.drain(..) {
            let Some((samples, behind)) = rest.split_at_checked(count) else { break };
            rest = behind;
            fill(feed, samples);
        }
        self.pouring.clear();
    }

    pub(crate) fn drain(&mut self, mut sink: impl FnMut(Heard<'_>)) {
        let mut rest = self.samples.as_slice();
        for (tap, channel, at, count) in self.takes.drain(..) {
            let Some((samples, behind)) = rest.split_at_checked(count) else { break };
            rest = behind;
            sink(Heard { tap, channel, at, samples });
        }
        self.samples.clear();
    }
}

/// The rate of a tap, and how many samples it has had by a tick.
pub(crate) const fn at(rate: Rate, frames: u32) -> u64 {
    frames as u64 * rate.frame() as u64
}
