//! Rows that nobody waits for, and that are written all the same when the store was away.
//!
//! Picture     write_patiently --> sent --Written--> the room, as of any write;  Unreachable --> waiting --a while--> sent ...
//! Rules       While one waits, whatever comes after it waits behind it, so rows are made in their order. The first of those
//!             that wait asks whether the store is back; when it is, the others follow. A row that the store refuses is
//!             not tried again. What waits is lost with the process.
//! Limits      [`PATIENT_MAX`] rows of a shard that are on their way or wait; more are not written, and counted
//!             (`switchboard.rows_dropped`). [`AGAIN`] between two tries.
//! Not here    Records of calls, which wait in the log (records); rows that somebody waits for, who is refused.
//! Spec        none

use std::collections::VecDeque;
use std::time::Duration;

use crate::core::Core;
use crate::effects::Effects;
use crate::input::{Output, Reply, Ticket};
use crate::store::{Batch, StoreFault};
use crate::timers::Reason;

/// Rows of a shard that are on their way or wait.
pub const PATIENT_MAX: usize = 2_000;
/// Between two questions whether the store is back.
pub const AGAIN: Duration = Duration::from_secs(2);
/// Rows that are sent at once when it is.
const SENT_MAX: usize = 100;

/// See the head of this file.
#[derive(Debug, Default)]
pub(crate) struct Patient {
    /// On their way, in the order of being sent.
    sent: VecDeque<(Ticket, Batch)>,
    /// In their order.
    waiting: VecDeque<(Ticket, Batch)>,
    /// Somebody will ask whether the store is back.
    asks: bool,
}

impl Effects<'_> {
    /// A change of the database that is made later when the store is away; `on_reply` gets `Reply::Written` when it was
    /// made, or refused. `None`: too many wait, and it is dropped.
    pub fn write_patiently(&mut self, batch: Batch) -> Option<Ticket> {
        let patient = &self.core.patient;
        if patient.sent.len() + patient.waiting.len() >= PATIENT_MAX {
            self.count("switchboard.rows_dropped");
            return None;
        }
        let ticket = self.core.ticket(self.room);
        if self.core.patient.waiting.is_empty() {
            self.core.send_patiently(ticket, batch);
        } else {
            self.core.patient.waiting.push_back((ticket, batch));
        }
        Some(ticket)
    }
}

impl Core {
    fn send_patiently(&mut self, ticket: Ticket, batch: Batch) {
        self.patient.sent.push_back((ticket, batch.clone()));
        self.out.list.push(Output::Write { ticket, batch });
    }

    /// The store has answered: what the room hears of it. `None`: nothing yet.
    pub(crate) fn patient_reply(&mut self, ticket: Ticket, reply: Reply) -> Option<Reply> {
        let Reply::Written(written) = &reply else { return Some(reply) };
        let place = self.patient.sent.iter().position(|(known, _)| *known == ticket);
        let Some((_, batch)) = place.and_then(|place| self.patient.sent.remove(place)) else {
            return Some(reply);
        };
        if written == &Err(StoreFault::Unreachable) {
            // Those that were sent together come back in any order.
            let before = self.patient.waiting.partition_point(|(known, _)| *known < ticket);
            self.patient.waiting.insert(before, (ticket, batch));
            if !std::mem::replace(&mut self.patient.asks, true) {
                self.timers.push(self.clock.now + AGAIN, Reason::Patient);
            }
            return None;
        }
        if !self.patient.asks {
            self.go_on_patiently(SENT_MAX);
        }
        Some(reply)
    }

    /// The first of those that wait asks whether the store is back.
    pub(crate) fn patient_timer(&mut self) {
        self.patient.asks = false;
        self.go_on_patiently(1);
    }

    fn go_on_patiently(&mut self, most: usize) {
        while self.patient.sent.len() < most
            && let Some((ticket, batch)) = self.patient.waiting.pop_front()
        {
            self.send_patiently(ticket, batch);
        }
    }
}
