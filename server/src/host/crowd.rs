//! Whether more comes than can be done, from how full the batches of the sockets and the box of the streams are.
//!
//! Picture     full batch after full batch while we worked for CROWDED_AFTER --> crowded --a batch half empty--> not
//!             a box with POSTS_CROWDED messages at once --> crowded --a box with a quarter of them--> not
//! Rules       A full batch alone is only a burst. Our own work counts, not the clock: a thread that had to wait for its
//!             processor or its disk finds full batches, and empties them in no time. Only when that goes on for
//!             STUCK_AFTER by the clock is it a crowd whatever the cause. Refusing is cheap, so the queue of the kernel is
//!             soon short again and the next calls are taken: both states change many times a second while more comes than
//!             can be done.
//! Limits      The kernel's buffer: what does not fit there is lost before anybody looks.
//! Not here    What is refused, and to whom (switchboard).
//! Spec        RFC 6357

use std::time::Duration;

use net::udp::BATCH;
use types::Instant;

/// How long we worked on a queue that was never empty.
const CROWDED_AFTER: Duration = Duration::from_millis(40);

/// Messages of streams and of other shards that were found waiting at once: about as much work as [`CROWDED_AFTER`].
const POSTS_CROWDED: usize = 1_024;

/// How long a queue may stay full whatever the cause.
const STUCK_AFTER: Duration = Duration::from_millis(400);

/// One shard's view.
#[derive(Debug, Default)]
pub struct Crowd {
    /// When the first of the full batches came, and what this thread had worked until then.
    full_since: Option<(Instant, Duration)>,
    in_sockets: bool,
    in_box: bool,
}

impl Crowd {
    /// A batch of so many datagrams has come; gives what has changed by it. `worked`: the processor time of this thread.
    pub fn note(
        &mut self,
        count: usize,
        now: Instant,
        worked: impl FnOnce() -> Duration,
    ) -> Option<bool> {
        let before = self.is_crowd();
        if count >= BATCH {
            let worked = worked();
            let (since, first) = *self.full_since.get_or_insert((now, worked));
            self.in_sockets |=
                worked.saturating_sub(first) >= CROWDED_AFTER || now.since(since) >= STUCK_AFTER;
        } else {
            self.full_since = None;
            self.in_sockets &= count >= BATCH / 2;
        }
        self.changed(before)
    }

    /// So many messages were in the box.
    pub fn note_posts(&mut self, count: usize) -> Option<bool> {
        let before = self.is_crowd();
        self.in_box = count >= if self.in_box { POSTS_CROWDED / 4 } else { POSTS_CROWDED };
        self.changed(before)
    }

    fn is_crowd(&self) -> bool {
        self.in_sockets || self.in_box
    }

    fn changed(&self, before: bool) -> Option<bool> {
        let after = self.is_crowd();
        (after != before).then_some(after)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// What one message costs a shard, and what a refusal does.
    const MESSAGE: u64 = 30;
    const REFUSAL: u64 = 12;
    /// Messages of a call: INVITE, 180, 200, ACK, BYE, 200.
    const MESSAGES: u8 = 6;
    /// Datagrams that the kernel keeps.
    const KERNEL_MAX: usize = 1_800;
    /// From a message of ours to the next one of the far end.
    const TRIP: u64 = 500;

    /// A second of calls at this rate through a shard of those costs: calls that were served whole, calls that began.
    fn second(rate: u64, sheds: bool) -> (u64, u64) {
        let (mut crowd, mut crowded) = (Crowd::default(), false);
        let mut queue: VecDeque<u8> = VecDeque::new();
        let mut coming: VecDeque<(u64, u8)> = VecDeque::new();
        let (mut now, mut begun, mut whole) = (0, 0, 0);
        while now < 1_000_000 {
            while begun * 1_000_000 / rate <= now {
                begun += 1;
                if queue.len() < KERNEL_MAX {
                    queue.push_back(0);
                }
            }
            while let Some((_, step)) = coming.pop_front_if(|(at, _)| *at <= now) {
                if queue.len() < KERNEL_MAX {
                    queue.push_back(step);
                }
            }
            let batch: Vec<u8> = queue.drain(..queue.len().min(BATCH)).collect();
            if let Some(change) =
                crowd.note(batch.len(), Instant(now), || Duration::from_micros(now))
            {
                crowded = change && sheds;
            }
            now += 5; // To wait, and to fetch.
            for step in batch {
                if crowded && step == 0 {
                    now += REFUSAL;
                    continue;
                }
                now += MESSAGE;
                if step + 1 == MESSAGES {
                    whole += 1;
                } else {
                    coming.push_back((now + TRIP, step + 1));
                }
            }
        }
        (whole, begun)
    }

    #[test]
    fn at_twice_the_knee_nine_tenths_of_the_knee_are_served() {
        let knee = 1_000_000 / (MESSAGE * u64::from(MESSAGES)) * 95 / 100;
        let (served, begun) = second(knee, true);
        assert!(served * 100 >= begun * 98, "{served} of {begun} at the knee");
        let (at_twice, _) = second(knee * 2, true);
        assert!(at_twice * 100 >= served * 90, "{at_twice} of {served}");
        // What it is for: without refusals calls that began are lost in the middle.
        let (without, _) = second(knee * 2, false);
        assert!(without * 100 < served * 70, "{without} of {served}");
    }

    #[test]
    fn a_burst_is_no_crowd_and_its_end_is_said_once() {
        let mut crowd = Crowd::default();
        let mut note = |count, now, worked| {
            crowd.note(count, Instant::millis(now), || Duration::from_millis(worked))
        };
        assert_eq!(note(BATCH, 1, 1), None);
        assert_eq!(note(BATCH, 10, 10), None);
        assert_eq!(note(BATCH - 1, 19, 19), None);
        assert_eq!(note(BATCH, 30, 30), None);
        assert_eq!(note(BATCH, 70, 70), Some(true));
        assert_eq!(note(BATCH, 80, 80), None);
        assert_eq!(note(BATCH - 1, 81, 81), None);
        assert_eq!(note(3, 82, 82), Some(false));
        assert_eq!(note(3, 83, 83), None);
    }

    #[test]
    fn a_thread_that_had_to_wait_is_not_crowded_until_that_takes_too_long() {
        let mut crowd = Crowd::default();
        let mut note = |count, now, worked| {
            crowd.note(count, Instant::millis(now), || Duration::from_millis(worked))
        };
        assert_eq!(note(BATCH, 0, 5), None);
        assert_eq!(note(BATCH, 200, 6), None);
        assert_eq!(note(BATCH, 399, 8), None);
        assert_eq!(note(BATCH, 400, 9), Some(true));
        assert_eq!(note(1, 401, 9), Some(false));
    }

    #[test]
    fn a_full_box_of_streams_is_a_crowd_until_it_is_a_quarter_full() {
        let mut crowd = Crowd::default();
        assert_eq!(crowd.note_posts(POSTS_CROWDED - 1), None);
        assert_eq!(crowd.note_posts(POSTS_CROWDED), Some(true));
        assert_eq!(crowd.note_posts(POSTS_CROWDED / 4), None);
        // Sockets that are empty meanwhile say nothing of it.
        assert_eq!(crowd.note(0, Instant::millis(1), || Duration::ZERO), None);
        assert_eq!(crowd.note_posts(POSTS_CROWDED / 4 - 1), Some(false));
    }
}
