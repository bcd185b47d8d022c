//! Whether more comes than can be done, from how full the batches of the sockets are.
//!
//! Picture     full batch after full batch while we worked for CROWDED_AFTER --> crowded --a batch half empty--> not
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

/// How long a queue may stay full whatever the cause.
const STUCK_AFTER: Duration = Duration::from_millis(400);

/// One shard's view.
#[derive(Debug, Default)]
pub struct Crowd {
    /// When the first of the full batches came, and what this thread had worked until then.
    full_since: Option<(Instant, Duration)>,
    crowded: bool,
}

impl Crowd {
    /// A batch of so many has come; gives what has changed by it. `worked`: the processor time of this thread.
    pub fn note(
        &mut self,
        count: usize,
        now: Instant,
        worked: impl FnOnce() -> Duration,
    ) -> Option<bool> {
        if count >= BATCH {
            let worked = worked();
            let (since, before) = *self.full_since.get_or_insert((now, worked));
            let is_long =
                worked.saturating_sub(before) >= CROWDED_AFTER || now.since(since) >= STUCK_AFTER;
            let becomes = !self.crowded && is_long;
            self.crowded |= becomes;
            return becomes.then_some(true);
        }
        self.full_since = None;
        let over = self.crowded && count < BATCH / 2;
        self.crowded &= !over;
        over.then_some(false)
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
}
