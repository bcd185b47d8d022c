//! The four transactions: what makes one request and its answers survive a lossy network.
//!
//! Picture     one file per machine; each has `handle(event, now)`, `poll() -> Option<Action>` and
//!             `deadline() -> Option<Instant>`. The drawing of its states stands at its head.
//! Rules       Drain `poll` after each `handle` (and after creation). `Transmit` means: send
//!             `message()` now. `Terminated` is the last action; the machine then ignores
//!             everything and may be dropped. Nothing is allocated per event; the only octets kept
//!             are those that may have to be sent again.
//! Limits      Every state ends by a timer, except `Proceeding`, which waits for the user of the
//!             transaction: bound it by a ring limit, or by `Event::Cancelled` at the client.
//! Not here    Which transaction a message belongs to (branch, sent-by, method: the caller's
//!             table), where it is sent to, and what the answers mean.
//! Spec        RFC 3261 §17, RFC 6026, RFC 4320.

use std::time::Duration;

use types::Instant;

pub mod client;
pub mod client_invite;
mod hop;
pub mod server;
pub mod server_invite;

pub use client::Client;
pub use client_invite::ClientInvite;
pub(crate) use hop::MAX_FORWARDS;
pub use hop::{ack_for, cancel_for};
pub use server::Server;
pub use server_invite::{AnswerRetransmit, ServerInvite};

/// A wait of the transactions is this many times T1 before they give up (timers B, D, F, H, J, L,
/// M).
const GIVE_UP: u32 = 64;

/// The three durations from which every timer of the transactions follows.
///
/// Units: kept in milliseconds, so that a machine stays small.
///
/// Spec: RFC 3261 §17.1.1.1, table 4
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    t1: u32,
    t2: u32,
    t4: u32,
}

impl Timers {
    /// Other durations than those of the RFC, for networks that are slow or tests that compare.
    pub fn new(t1: Duration, t2: Duration, t4: Duration) -> Self {
        let millis = |span: Duration| u32::try_from(span.as_millis()).unwrap_or(u32::MAX);
        Self { t1: millis(t1), t2: millis(t2), t4: millis(t4) }
    }

    /// T1: the estimate of a round trip.
    pub const fn t1(self) -> Duration {
        Duration::from_millis(self.t1 as u64)
    }

    /// T2: the longest gap between two retransmissions of anything but an INVITE.
    pub const fn t2(self) -> Duration {
        Duration::from_millis(self.t2 as u64)
    }

    /// T4: how long a message may wander in the network.
    pub const fn t4(self) -> Duration {
        Duration::from_millis(self.t4 as u64)
    }

    /// 64 times T1: after this the other side is taken for gone.
    pub fn give_up(self) -> Duration {
        self.t1().saturating_mul(GIVE_UP)
    }
}

impl Default for Timers {
    fn default() -> Self {
        Self { t1: 500, t2: 4_000, t4: 5_000 }
    }
}

/// When something is sent again, and the gap that led there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Resend {
    at: Instant,
    gap_ms: u32,
}

impl Resend {
    /// The first repetition comes after `gap`.
    fn first(gap: Duration, now: Instant) -> Self {
        Self { at: now + gap, gap_ms: u32::try_from(gap.as_millis()).unwrap_or(u32::MAX) }
    }

    /// The next repetition: twice the gap, at most `limit`. Counted from `now`, so that a late
    /// caller does not send a burst.
    fn doubled(self, limit: Duration, now: Instant) -> Self {
        let gap = Duration::from_millis(u64::from(self.gap_ms.saturating_mul(2)));
        Self::first(gap.min(limit), now)
    }
}

/// Room for the actions of one event. The longest row of any machine has three.
const QUEUE_MAX: usize = 4;

/// Actions that wait for `poll`, inline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Queue<A>([Option<A>; QUEUE_MAX]);

impl<A: Copy> Queue<A> {
    const fn new() -> Self {
        Self([None; QUEUE_MAX])
    }

    /// Adds an action. A caller that never drains loses the newest; a peer cannot cause that.
    fn push(&mut self, action: A) {
        match self.0.iter_mut().find(|slot| slot.is_none()) {
            Some(slot) => *slot = Some(action),
            None => {
                types::never!("actions of a transaction were not drained");
            }
        }
    }

    fn pop(&mut self) -> Option<A> {
        let [first, ..] = &mut self.0;
        let action = first.take();
        self.0.rotate_left(1);
        action
    }
}

/// What may be said of a status code: is it a step on the way, a success or a failure?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Provisional,
    Success,
    Failure,
}

impl Class {
    /// Codes below 100 do not pass the parser; here they count as provisional, those above as
    /// failures.
    const fn of(status: u16) -> Self {
        match status {
            0..=199 => Self::Provisional,
            200..=299 => Self::Success,
            300.. => Self::Failure,
        }
    }
}

#[cfg(test)]
mod tests;
