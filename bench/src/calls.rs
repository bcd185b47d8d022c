//! Calls as a load: both sides in one scenario.

use std::net::SocketAddr;
use std::time::Duration;

use types::Instant;

use crate::callee::Callee;
use crate::caller::Caller;
use crate::generator::{Door, Scenario, Wires};
use crate::tally::Tally;
use crate::wire::scan;

/// INVITE, 180, 200, ACK, BYE, 200 through a server.
pub struct Calls {
    caller: Caller,
    callee: Callee,
}

impl Calls {
    /// Calls to `u0` … of `users`, each held for `hold`.
    pub fn new(run: &str, server: SocketAddr, users: usize, hold: Duration) -> Self {
        Self { caller: Caller::new(run, server, users, hold), callee: Callee::new(run) }
    }
}

impl Scenario for Calls {
    fn start(&mut self, now: Instant, wires: &mut Wires) {
        self.caller.start(now, wires);
    }

    fn receive(
        &mut self,
        door: Door,
        from: SocketAddr,
        bytes: &[u8],
        now: Instant,
        wires: &mut Wires,
    ) {
        let Some(seen) = scan(bytes) else {
            return self.caller.tally.note_wrong("not a SIP message", bytes);
        };
        match (door, seen.status) {
            (Door::Callee(socket), 0) => {
                self.callee.on_request(&seen, (socket, from), bytes, now, wires);
            }
            (Door::Caller, 1..) => self.caller.on_response(&seen, bytes, now, wires),
            (Door::Callee(_), 1..) | (Door::Caller, 0) => {
                self.caller.tally.note_wrong("a message at the wrong door", bytes);
            }
        }
    }

    fn tick(&mut self, now: Instant, wires: &mut Wires) {
        self.caller.tick(now, wires);
        self.callee.tick(now, wires);
    }

    fn deadline(&self) -> Option<Instant> {
        [self.caller.deadline(), self.callee.deadline()].into_iter().flatten().min()
    }

    fn in_flight(&self) -> usize {
        self.caller.in_flight()
    }

    fn finish(self: Box<Self>) -> Tally {
        let Self { caller, callee } = *self;
        let mut tally = caller.tally;
        tally.retransmitted += callee.retransmitted;
        tally.repeated += callee.repeated;
        tally.wrong += callee.wrong;
        tally.wrong_first = tally.wrong_first.or(callee.wrong_first);
        tally
    }
}
