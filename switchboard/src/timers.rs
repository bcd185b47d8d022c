//! One queue of deadlines per shard. Entries are never taken out early: what they point at is asked again.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use types::{Instant, LegId, SessionId};

use crate::input::Ticket;

/// Which part asked to be woken. In the order in which equal deadlines are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// A server transaction, by its id.
    Server(u64),
    /// A client transaction, by its id.
    Client(u64),
    /// A leg: what it said is not acknowledged yet, its ringing ends, or an INVITE is to be sent again.
    Leg(LegId),
    /// A timer of a room.
    Room(Ticket),
    /// A subscription: it ends, or news that waited may leave.
    Subscription(SessionId),
    /// Old bindings and failure counts are swept.
    Sweep,
}

/// The queue.
#[derive(Debug, Default)]
pub struct Timers(BinaryHeap<Reverse<(Instant, Reason)>>);

impl Timers {
    /// Asks to be woken at `at`.
    pub fn push(&mut self, at: Instant, reason: Reason) {
        self.0.push(Reverse((at, reason)));
    }

    /// The next reason whose time has come.
    pub fn pop(&mut self, now: Instant) -> Option<Reason> {
        if self.0.peek().is_some_and(|Reverse((at, _))| *at <= now) {
            return self.0.pop().map(|Reverse((_, reason))| reason);
        }
        None
    }

    /// When to look again.
    pub fn deadline(&self) -> Option<Instant> {
        self.0.peek().map(|Reverse((at, _))| *at)
    }

    /// Entries in the queue, stale ones included.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}
