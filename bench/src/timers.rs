//! Retransmission times: SIP knows few spans, so there is one queue for each and nothing is ever searched or cancelled.

use std::collections::VecDeque;
use std::time::Duration;

use types::Instant;

/// Spec: RFC 3261 §17.1.1.1.
pub const T1: Duration = Duration::from_millis(500);
/// Spec: RFC 3261 §17.1.2.2.
const T2: Duration = Duration::from_secs(4);

/// The pause before retransmission number `attempt` (from 0). `capped` as for all but INVITE requests.
pub fn pause(attempt: u8, capped: bool) -> Duration {
    let pause = T1 * (1 << attempt.min(6));
    if capped { pause.min(T2) } else { pause }
}

/// Keys that come back when their time is over.
pub struct Timers<K> {
    queues: Vec<(Duration, VecDeque<(Instant, K)>)>,
}

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Self { queues: Vec::new() }
    }
}

impl<K> Timers<K> {
    /// Gives `key` back after `span`.
    pub fn set(&mut self, span: Duration, key: K, now: Instant) {
        let place = self.queues.iter().position(|(known, _)| *known == span);
        let place = place.unwrap_or_else(|| {
            self.queues.push((span, VecDeque::new()));
            self.queues.len() - 1
        });
        self.queues[place].1.push_back((now + span, key));
    }

    /// One key whose time is over.
    pub fn due(&mut self, now: Instant) -> Option<K> {
        let queues = self.queues.iter_mut().map(|(_, queue)| queue);
        let queue =
            queues.into_iter().find(|queue| queue.front().is_some_and(|first| first.0 <= now))?;
        queue.pop_front().map(|(_, key)| key)
    }

    /// When the next key comes back.
    pub fn deadline(&self) -> Option<Instant> {
        self.queues.iter().filter_map(|(_, queue)| queue.front().map(|first| first.0)).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_back_when_due() {
        let mut timers = Timers::default();
        timers.set(T1, 'a', Instant::seconds(0));
        timers.set(T2, 'b', Instant::seconds(0));
        timers.set(T1, 'c', Instant::seconds(1));
        assert_eq!(timers.deadline(), Some(Instant::millis(500)));
        assert_eq!(timers.due(Instant::millis(499)), None);
        assert_eq!(timers.due(Instant::millis(500)), Some('a'));
        assert_eq!(timers.due(Instant::seconds(4)), Some('c'));
        assert_eq!(timers.due(Instant::seconds(4)), Some('b'));
        assert_eq!(timers.deadline(), None);
    }

    #[test]
    fn pauses_double_up_to_their_cap() {
        let millis = |capped| (0..6).map(|n| pause(n, capped).as_millis()).collect::<Vec<_>>();
        assert_eq!(millis(false), [500, 1_000, 2_000, 4_000, 8_000, 16_000]);
        assert_eq!(millis(true), [500, 1_000, 2_000, 4_000, 4_000, 4_000]);
    }
}
