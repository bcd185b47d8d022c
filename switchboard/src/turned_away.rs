//! INVITEs that were refused before anything was made of them, so that a copy hears the same.
//!
//! Picture     refused --note--> by transaction, for [`KEPT`] --a copy--> the same refusal
//! Rules       Whoever was told no has gone elsewhere: a copy of his INVITE that is on its way must not ring anybody.
//! Limits      [`TURNED_AWAY_MAX`]; beyond, the oldest is forgotten, and its copy is looked at as if it were the first.
//! Not here    Why something is refused (receive, strangers).
//! Spec        RFC 3261 §17.2.1

use std::collections::VecDeque;
use std::time::Duration;

use types::{HashKey, Instant, Map};

use crate::refusal::Refusal;

/// Refused INVITEs that are remembered.
pub(crate) const TURNED_AWAY_MAX: usize = 65_536;

/// As long as a caller repeats an INVITE, and what a network may hold back. Spec: RFC 3261 §17.1.1.2 (Timer B)
pub(crate) const KEPT: Duration = Duration::from_secs(32);

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct TurnedAway {
    refusals: Map<u64, Refusal>,
    order: VecDeque<(Instant, u64)>,
}

impl TurnedAway {
    pub(crate) fn new(key: HashKey) -> Self {
        Self { refusals: Map::with_hasher(key), order: VecDeque::new() }
    }

    /// The INVITE of this transaction was refused.
    pub(crate) fn note(&mut self, key: u64, refusal: Refusal, now: Instant) {
        self.forget(now);
        if self.order.len() >= TURNED_AWAY_MAX {
            self.forget_first();
        }
        if self.refusals.insert(key, refusal).is_none() {
            self.order.push_back((now, key));
        }
    }

    /// What its first copy was told.
    pub(crate) fn told(&mut self, key: u64, now: Instant) -> Option<Refusal> {
        self.forget(now);
        self.refusals.get(&key).copied()
    }

    fn forget(&mut self, now: Instant) {
        while self.order.front().is_some_and(|(at, _)| now.since(*at) >= KEPT) {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        if let Some((_, key)) = self.order.pop_front() {
            self.refusals.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use types::Rng;

    use super::*;

    #[test]
    fn a_refusal_is_remembered_for_as_long_as_copies_come_and_no_longer() {
        let mut turned = TurnedAway::new(Rng::from_number(1).hash_key());
        turned.note(1, Refusal::Overloaded, Instant::millis(0));
        turned.note(2, Refusal::Draining, Instant::millis(1));
        let last = Instant::millis(31_999);
        assert_eq!(turned.told(1, last), Some(Refusal::Overloaded));
        assert_eq!(turned.told(2, last), Some(Refusal::Draining));
        assert_eq!(turned.told(3, last), None);
        assert_eq!(turned.told(1, Instant::millis(32_000)), None);
        assert_eq!(turned.told(2, Instant::millis(32_000)), Some(Refusal::Draining));
    }

    #[test]
    fn a_flood_forgets_the_oldest_and_grows_no_further() {
        let mut turned = TurnedAway::new(Rng::from_number(1).hash_key());
        let now = Instant::millis(0);
        for key in 0..TURNED_AWAY_MAX as u64 + 10 {
            turned.note(key, Refusal::Overloaded, now);
        }
        assert_eq!(turned.order.len(), TURNED_AWAY_MAX);
        assert_eq!(turned.refusals.len(), TURNED_AWAY_MAX);
        assert_eq!((turned.told(9, now), turned.told(10, now)), (None, Some(Refusal::Overloaded)));
    }
}
