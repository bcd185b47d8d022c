//! One queue of deadlines per shard. Entries are never taken out early: what they point at is asked again.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use types::{Instant, LegId, SessionId};

use crate::input::Ticket;

/// Which part asked to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// A server transaction, by its id.
    Server(u64),
    /// A client transaction, by its id.
    Client(u64),
    /// A leg: what it said is not acknowledged yet, its ringing ends, or an INVITE is to be sent again.
    Leg(LegId),
    /// Rows that wait for the store.
    Patient,
    /// A timer of a room.
    Room(Ticket),
    /// A subscription: it ends, or news that waited may leave.
    Subscription(SessionId),
    /// Old bindings and failure counts are swept.
    Sweep,
}

/// The queue.
///
/// A transaction that was answered waits for its end, 32 s for most: these are asked for in the order in which they
/// come, so they stand in a line, where each is half as large and nothing is sorted.
#[derive(Debug, Default)]
pub struct Timers {
    heap: BinaryHeap<Reverse<(Instant, Reason)>>,
    /// Of transactions, by time; each not before the one in front of it.
    line: VecDeque<(Instant, Transaction)>,
}

#[derive(Clone, Copy, Debug)]
enum Transaction {
    Client(u64),
    Server(u64),
}

impl From<Transaction> for Reason {
    fn from(transaction: Transaction) -> Self {
        match transaction {
            Transaction::Client(id) => Self::Client(id),
            Transaction::Server(id) => Self::Server(id),
        }
    }
}

/// Places that an empty line keeps.
const LINE_KEPT: usize = 1_024;

impl Timers {
    /// Asks to be woken at `at`.
    pub fn push(&mut self, at: Instant, reason: Reason) {
        let transaction = match reason {
            Reason::Client(id) => Some(Transaction::Client(id)),
            Reason::Server(id) => Some(Transaction::Server(id)),
            Reason::Leg(_)
            | Reason::Patient
            | Reason::Room(_)
            | Reason::Subscription(_)
            | Reason::Sweep => None,
        };
        let last = self.line.back().map_or(Instant(0), |(last, _)| *last);
        match transaction.filter(|_| at >= last) {
            Some(transaction) => self.line.push_back((at, transaction)),
            None => self.heap.push(Reverse((at, reason))),
        }
    }

    /// The next reason whose time has come.
    pub fn pop(&mut self, now: Instant) -> Option<Reason> {
        let heap = self.heap.peek().map(|Reverse(first)| *first);
        let line = self.line.front().map(|(at, transaction)| (*at, Reason::from(*transaction)));
        let from_line = match (heap, line) {
            (Some(heap), Some(line)) => line <= heap,
            (heap, _) => heap.is_none(),
        };
        let (at, reason) = if from_line { line? } else { heap? };
        if at > now {
            return None;
        }
        if from_line {
            self.line.pop_front();
            if self.line.is_empty() {
                self.line.shrink_to(LINE_KEPT); // What a storm has filled.
            }
        } else {
            self.heap.pop();
        }
        Some(reason)
    }

    /// When to look again.
    pub fn deadline(&self) -> Option<Instant> {
        let heap = self.heap.peek().map(|Reverse((at, _))| *at);
        let line = self.line.front().map(|(at, _)| *at);
        [heap, line].into_iter().flatten().min()
    }

    /// Entries in the queue, stale ones included.
    pub fn len(&self) -> usize {
        self.heap.len() + self.line.len()
    }
}

#[cfg(test)]
mod tests {
    use types::Rng;

    use super::*;

    #[test]
    fn reasons_come_in_the_order_of_their_times() {
        let mut rng = Rng::from_number(17);
        let mut timers = Timers::default();
        let mut waiting = Vec::new();
        let mut now = 0;
        for n in 0..5_000u64 {
            now += rng.below(50);
            let (wait, reason) = match rng.below(4) {
                0 => (500, Reason::Client(n)),
                1 => (rng.below(60_000), Reason::Room(Ticket(n))),
                _ => (32_000, Reason::Server(n)),
            };
            timers.push(Instant(now + wait), reason);
            waiting.push((Instant(now + wait), reason));
            let due = |waiting: &[(Instant, Reason)]| waiting.iter().map(|(at, _)| *at).min();
            while let Some(reason) = timers.pop(Instant(now)) {
                let first = due(&waiting);
                let place = waiting.iter().position(|(_, known)| *known == reason).unwrap();
                assert_eq!(Some(waiting.swap_remove(place).0), first);
            }
            assert_eq!(timers.deadline(), due(&waiting));
            assert!(timers.deadline().is_none_or(|at| at > Instant(now)));
        }
        assert!(timers.line.len() > 100, "{}", timers.line.len());
        assert_eq!(timers.len(), waiting.len());
    }
}
