//! The loop that drives a load: sockets, clock and pace. One thread, both ends.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use net::poll::{Poll, Ready};
use net::udp::{Batch, Outbox, Udp};
use net::wake::Waker;
use types::{Instant, Rng};

use crate::caller::GIVE_UP;
use crate::tally::Tally;

/// Sockets of each side. More than one, so that a server with several workers gets work for all of them.
const SOCKETS: usize = 4;
/// Units in flight: what an open loop may pile up before the rest counts as lost.
pub const IN_FLIGHT_MAX: usize = 20_000;
/// Units begun before the sockets are looked at again.
const START_BURST: usize = 16;

/// How units of load are begun.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// So many in flight, always: the next begins when one ends.
    Closed(usize),
    /// So many at most in flight until so many in all were begun; the span is only a limit.
    Count {
        /// In flight.
        in_flight: usize,
        /// In all.
        total: u64,
    },
    /// So many a second, whether or not the server keeps up, at intervals of chance (Poisson).
    Open(f64),
}

/// Where a datagram came in.
#[derive(Clone, Copy, Debug)]
pub enum Door {
    /// The answering side, socket number.
    Callee(usize),
    /// The calling side.
    Caller,
}

/// A kind of load. Pure: time comes in, datagrams go out through [`Wires`].
pub trait Scenario {
    /// Begins one unit.
    fn start(&mut self, now: Instant, wires: &mut Wires);
    /// A datagram came.
    fn receive(
        &mut self,
        door: Door,
        from: SocketAddr,
        bytes: &[u8],
        now: Instant,
        wires: &mut Wires,
    );
    /// Does what is due.
    fn tick(&mut self, now: Instant, wires: &mut Wires);
    /// When `tick` is next of use.
    fn deadline(&self) -> Option<Instant>;
    /// Units that have not ended.
    fn in_flight(&self) -> usize;
    /// What it gave.
    fn finish(self: Box<Self>) -> Tally;
}

/// The sockets' outgoing side: callers first, then callees.
pub struct Wires {
    outboxes: Vec<Outbox>,
    addrs: Vec<SocketAddr>,
}

impl Wires {
    /// The socket of the caller at `place`, for `send`, and its address.
    pub fn caller(&self, place: u32) -> (usize, SocketAddr) {
        let socket = place as usize % SOCKETS;
        // Callers' sockets are numbered behind the callees', whose numbers are public.
        (SOCKETS + socket, self.addrs[SOCKETS + socket])
    }

    /// Without sockets, for tests of the scenarios.
    #[cfg(test)]
    pub fn detached() -> Self {
        let addr = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let outboxes = (0..2 * SOCKETS).map(|_| Outbox::new()).collect();
        Self { outboxes, addrs: (0..2 * SOCKETS).map(|n| addr(40_000 + n as u16)).collect() }
    }

    /// What was queued, socket by socket.
    #[cfg(test)]
    pub fn take(&mut self) -> Vec<Vec<u8>> {
        let empty = self.outboxes.iter().map(|_| Outbox::new()).collect();
        let full: Vec<Outbox> = std::mem::replace(&mut self.outboxes, empty);
        full.iter().flat_map(|outbox| outbox.iter().map(|(_, bytes)| bytes.to_vec())).collect()
    }

    /// How many sockets the answering side has.
    pub fn callees(&self) -> usize {
        SOCKETS
    }

    /// The address of an answering socket.
    pub fn callee_addr(&self, socket: usize) -> SocketAddr {
        self.addrs[socket]
    }

    /// Queues what `write` writes.
    pub fn send(&mut self, socket: usize, to: SocketAddr, write: impl FnOnce(&mut Vec<u8>)) {
        self.outboxes[socket].push_with(to, write);
    }
}

/// Sockets and a clock, used for step after step.
pub struct Generator {
    sockets: Vec<Udp>,
    wires: Wires,
    poll: Poll,
    batch: Batch,
    rng: Rng,
    start: std::time::Instant,
}

impl Generator {
    /// Opens the sockets on loopback.
    pub fn new() -> anyhow::Result<Self> {
        let poll = Poll::new(&Waker::new()?)?;
        let mut sockets = Vec::new();
        for token in 0..2 * SOCKETS {
            let socket = Udp::bind(SocketAddr::from(([127, 0, 0, 1], 0)), false)
                .context("opening a socket of the generator")?;
            poll.add(&socket, token as u32)?;
            sockets.push(socket);
        }
        let wires = Wires {
            outboxes: sockets.iter().map(|_| Outbox::new()).collect(),
            addrs: sockets.iter().map(Udp::local).collect(),
        };
        let start = std::time::Instant::now();
        Ok(Self { sockets, wires, poll, batch: Batch::new(), rng: Rng::from_number(1), start })
    }

    /// The first answering address: for a run without a server.
    pub fn callee_addr(&self) -> SocketAddr {
        self.wires.callee_addr(0)
    }

    fn now(&self) -> Instant {
        Instant(u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// Drives `scenario` for `span`, then waits, at most [`GIVE_UP`] and a little, for what is in flight.
    pub fn run(
        &mut self,
        mut scenario: Box<dyn Scenario>,
        pace: Pace,
        span: Duration,
    ) -> anyhow::Result<Tally> {
        self.drain();
        let used = net::thread_usage();
        let begun = self.now();
        let (end, mut next_start, mut started) = (begun + span, begun, 0);
        let last = end + GIVE_UP + Duration::from_secs(2);
        let (mut ready, mut over, mut not_begun) = (Vec::new(), begun, 0);
        loop {
            let now = self.now();
            scenario.tick(now, &mut self.wires);
            let open = now < end && !matches!(pace, Pace::Count { total, .. } if started >= total);
            if !open && (scenario.in_flight() == 0 || now >= last) {
                break;
            }
            if open {
                let before = started;
                self.begin(&mut *scenario, pace, &mut next_start, &mut started, &mut not_begun)?;
                if started > before {
                    over = now;
                }
            }
            self.flush();
            let wake = [scenario.deadline(), Some(if open { end } else { last })];
            let paced = (open && matches!(pace, Pace::Open(_))).then_some(next_start);
            let until = wake.into_iter().chain([paced]).flatten().min().unwrap_or(last);
            self.poll.wait(Some(until.since(self.now())), &mut ready)?;
            let alive = scenario.in_flight();
            self.receive(&mut *scenario, &ready)?;
            if scenario.in_flight() < alive {
                over = self.now();
            }
        }
        let mut tally = scenario.finish();
        tally.offered += not_begun;
        tally.lost += not_begun;
        // An open loop lasts as long as it was offered, even when all answers came early.
        tally.span = match pace {
            Pace::Open(_) => over.since(begun).max(span),
            Pace::Closed(_) | Pace::Count { .. } => over.since(begun),
        };
        let usage = net::thread_usage();
        tally.own = (usage.user + usage.system).saturating_sub(used.user + used.system);
        Ok(tally)
    }

    fn begin(
        &mut self,
        scenario: &mut dyn Scenario,
        pace: Pace,
        next_start: &mut Instant,
        started: &mut u64,
        not_begun: &mut u64,
    ) -> anyhow::Result<()> {
        for _ in 0..START_BURST {
            let now = self.now();
            match pace {
                Pace::Closed(in_flight) if scenario.in_flight() >= in_flight => break,
                Pace::Count { in_flight, total }
                    if scenario.in_flight() >= in_flight || *started >= total =>
                {
                    break;
                }
                Pace::Open(_) if *next_start > now => break,
                Pace::Open(rate) => *next_start = *next_start + chance(&mut self.rng, rate),
                Pace::Closed(_) | Pace::Count { .. } => (),
            }
            *started += 1;
            if scenario.in_flight() >= IN_FLIGHT_MAX {
                *not_begun += 1;
            } else {
                scenario.start(now, &mut self.wires);
            }
        }
        Ok(())
    }

    fn receive(&mut self, scenario: &mut dyn Scenario, ready: &[Ready]) -> anyhow::Result<()> {
        for event in ready {
            let Ready::Readable(token) = event else { continue };
            let token = *token as usize;
            let door = if token < SOCKETS { Door::Callee(token) } else { Door::Caller };
            self.sockets[token].recv_batch(&mut self.batch).context("receiving")?;
            let now = self.now();
            for (from, bytes) in self.batch.iter() {
                scenario.receive(door, from, bytes, now, &mut self.wires);
            }
            self.flush();
        }
        Ok(())
    }

    fn flush(&mut self) {
        for (socket, outbox) in self.sockets.iter_mut().zip(&mut self.wires.outboxes) {
            if !outbox.is_empty() {
                socket.flush(outbox);
            }
        }
    }

    /// Throws away what an earlier step left behind.
    fn drain(&mut self) {
        for socket in &mut self.sockets {
            while matches!(socket.recv_batch(&mut self.batch), Ok(1..)) {}
        }
    }
}

/// The time to the next arrival when arrivals know nothing of each other.
fn chance(rng: &mut Rng, rate: f64) -> Duration {
    let unit = (rng.below(1 << 53) + 1) as f64 / (1u64 << 53) as f64;
    Duration::from_secs_f64((-unit.ln() / rate).min(10.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calls::Calls;

    /// The generator against itself: every call must complete, and nothing may be found wrong.
    #[test]
    fn calls_without_a_server_complete() {
        for pace in [Pace::Count { in_flight: 20, total: 500 }, Pace::Open(2_000.0)] {
            let mut generator = Generator::new().unwrap();
            let calls = Calls::new("t", generator.callee_addr(), 10, Duration::ZERO);
            let tally = generator.run(Box::new(calls), pace, Duration::from_millis(300)).unwrap();
            assert!(tally.completed > 100, "{tally:?}");
            assert_eq!(
                (tally.completed, tally.wrong),
                (tally.offered, 0),
                "{:?}",
                tally.wrong_first
            );
            assert_eq!(tally.setup.len() as u64, tally.completed);
        }
    }

    #[test]
    fn arrivals_come_at_the_rate() {
        let mut rng = Rng::from_number(3);
        let total: Duration = (0..10_000).map(|_| chance(&mut rng, 100.0)).sum();
        assert!((90..110).contains(&total.as_secs()), "{total:?}");
    }
}
