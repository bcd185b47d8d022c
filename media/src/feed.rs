//! Sound that comes from outside, piece by piece, and is played as it comes.
//!
//! Picture     Play::Feed --> feed(samples) --waits for a little--> 20 ms a tick --> who shall hear it
//!             mark --behind what was fed before--> Event::Fed when that was heard
//! Rules       Where nothing is there it is quiet, and whatever comes next waits until there is a little more of it, so
//!             that pieces that come unevenly make no gaps. What is cleared was never heard, but its marks are told.
//! Limits      [`FEED_MAX`] waits; what is beyond is lost. [`MARKS_MAX`] marks; one more is told at once.
//! Not here    Where it comes from (shell), who hears it (engine).
//! Spec        none.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::codec::{FRAME_MAX, Rate};
use crate::resample::{Resampler, resampled};

/// Sound of one feed that may wait.
pub const FEED_MAX: Duration = Duration::from_secs(120);

/// Marks of one feed that may wait.
pub const MARKS_MAX: usize = 256;

/// Frames that wait before any is heard, and ticks that they are waited for.
const PRIMED: usize = 3;

/// The name of a feed: who feeds chooses it, once in the life of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FeedId(pub u64);

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Feed {
    pub(crate) id: FeedId,
    rate: Rate,
    samples: VecDeque<i16>,
    /// Each behind so many samples of all that were ever fed.
    marks: VecDeque<(u64, u64)>,
    /// Samples that were taken or cleared.
    gone: u64,
    /// Ticks that the first samples have waited; `None` while they are heard, until there are none.
    waited: Option<usize>,
    resampler: Option<Resampler>,
}

impl Feed {
    pub(crate) fn new(id: FeedId, rate: Rate) -> Self {
        let (samples, marks, resampler) = (VecDeque::new(), VecDeque::new(), None);
        Self { id, rate, samples, marks, gone: 0, waited: Some(0), resampler }
    }

    /// Takes samples; how many of them had no room.
    pub(crate) fn put(&mut self, samples: &[i16]) -> usize {
        let most = FEED_MAX.as_secs() as usize * self.rate.hertz() as usize;
        let room = most.saturating_sub(self.samples.len()).min(samples.len());
        self.samples.extend(samples.get(..room).unwrap_or_default());
        samples.len() - room
    }

    /// Forgets what waits.
    pub(crate) fn clear(&mut self) {
        self.gone += self.samples.len() as u64;
        self.samples.clear();
        self.waited = Some(0);
    }

    /// Wants to know when all that was fed so far has been heard.
    pub(crate) fn mark(&mut self, mark: u64) {
        let behind = if self.marks.len() < MARKS_MAX { self.samples.len() as u64 } else { 0 };
        self.marks.push_back((self.gone + behind, mark));
    }

    /// A mark that has been reached.
    pub(crate) fn reached(&mut self) -> Option<u64> {
        let place = self.marks.iter().position(|(behind, _)| *behind <= self.gone)?;
        self.marks.remove(place).map(|(_, mark)| mark)
    }

    /// The next 20 ms.
    pub(crate) fn fill(&mut self, rate: Rate, out: &mut [i16]) {
        let frame = self.rate.frame();
        if self.waited.is_none() && self.samples.is_empty() {
            self.waited = Some(0);
        }
        if let Some(waited) = &mut self.waited {
            *waited += usize::from(!self.samples.is_empty());
            if self.samples.len() >= PRIMED * frame || *waited > PRIMED {
                self.waited = None;
            }
        }
        let mut pcm = [0; FRAME_MAX];
        let pcm = pcm.get_mut(..frame).unwrap_or_default();
        if self.waited.is_none() {
            let count = frame.min(self.samples.len());
            for (place, sample) in pcm.iter_mut().zip(self.samples.drain(..count)) {
                *place = sample;
            }
            self.gone += count as u64;
        }
        let mut room = [0; FRAME_MAX];
        let pcm = resampled(&mut self.resampler, (self.rate, pcm), rate, &mut room);
        for (place, sample) in out.iter_mut().zip(pcm) {
            *place = *sample;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(feed: &mut Feed) -> i16 {
        let mut out = [7; 160];
        feed.fill(Rate::Narrow, &mut out);
        assert!(out.iter().all(|sample| *sample == out[0]));
        out[0]
    }

    #[test]
    fn pieces_that_come_unevenly_make_no_gap() {
        let mut feed = Feed::new(FeedId(1), Rate::Narrow);
        assert_eq!(next(&mut feed), 0);
        let mut heard = Vec::new();
        for pieces in [1, 0, 2, 0, 2, 1, 0, 0, 2, 1] {
            feed.put(&vec![5; pieces * 160]);
            heard.push(next(&mut feed));
        }
        assert_eq!(heard, [0, 0, 5, 5, 5, 5, 5, 5, 5, 5]);
        assert_eq!(next(&mut feed), 5);
        assert_eq!(next(&mut feed), 0);
        // The last piece is heard though nothing comes behind it.
        feed.put(&[9; 160]);
        assert_eq!([next(&mut feed), next(&mut feed), next(&mut feed)], [0, 0, 0]);
        assert_eq!([next(&mut feed), next(&mut feed)], [9, 0]);
    }

    #[test]
    fn marks_are_reached_when_what_is_before_them_was_heard_or_cleared() {
        let mut feed = Feed::new(FeedId(1), Rate::Narrow);
        feed.mark(1);
        assert_eq!((feed.reached(), feed.reached()), (Some(1), None));
        feed.put(&[5; 480]);
        feed.mark(2);
        feed.put(&[5; 160]);
        feed.mark(3);
        for _ in 0..3 {
            assert_eq!(feed.reached(), None);
            next(&mut feed);
        }
        assert_eq!((feed.reached(), feed.reached()), (Some(2), None));
        feed.clear();
        assert_eq!((feed.reached(), feed.reached()), (Some(3), None));
        assert_eq!(next(&mut feed), 0);
        for mark in 0..MARKS_MAX as u64 + 1 {
            feed.put(&[1]);
            feed.mark(mark);
        }
        assert_eq!((feed.reached(), feed.reached()), (Some(MARKS_MAX as u64), None));
    }

    #[test]
    fn more_than_may_wait_is_lost() {
        let mut feed = Feed::new(FeedId(1), Rate::Narrow);
        assert_eq!(feed.put(&vec![1; 8000 * 121]), 8000);
        assert_eq!(feed.put(&[1]), 1);
    }
}
