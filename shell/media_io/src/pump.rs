//! The thread: waits, obeys commands, moves packets.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::time::Instant as Clock;

use types::Instant;

use media::{Command, Engine, Event, Side};

use crate::sockets::Sockets;
use crate::sys::{Inbox, Outbox, Ready};
use crate::{COMMANDS_PER_TURN, Doorbell};

/// Everything a pump thread owns.
pub(crate) struct Turn<F> {
    engine: Engine,
    sockets: Sockets,
    queue: Receiver<Command>,
    doorbell: Arc<Doorbell>,
    events: F,
    inbox: Inbox,
    outbox: Outbox,
    /// Decisions about the datagrams of one inbox: which of them, by which port, where to.
    passed: Vec<(usize, u16, SocketAddr)>,
    started: Clock,
}

impl<F: Fn(Event)> Turn<F> {
    pub(crate) fn new(
        address: IpAddr,
        idle_max: usize,
        queue: Receiver<Command>,
        doorbell: Arc<Doorbell>,
        events: F,
    ) -> std::io::Result<Self> {
        let sockets = Sockets::new(address, idle_max, doorbell.wake.fd())?;
        Ok(Self {
            engine: Engine::new(),
            sockets,
            queue,
            doorbell,
            events,
            inbox: Inbox::new(),
            outbox: Outbox::new(),
            passed: Vec::new(),
            started: Clock::now(),
        })
    }

    /// Until the doorbell says stop.
    pub(crate) fn run(&mut self) {
        let mut ready = Ready::new();
        let mut more = false;
        loop {
            if let Err(fault) = self.sockets.wait(&mut ready, more) {
                tracing::error!(error = %fault, "pump_wait_failed");
                return;
            }
            let now = Instant(self.started.elapsed().as_micros() as u64);
            if self.doorbell.stop.load(Ordering::Acquire) {
                return;
            }
            if more || ready.contains_wake() {
                self.doorbell.answer();
                more = self.obey(now);
            }
            for port in ready.ports() {
                self.forward(port, now);
            }
            self.report();
        }
    }

    /// Takes some commands; whether more may wait.
    fn obey(&mut self, now: Instant) -> bool {
        for _ in 0..COMMANDS_PER_TURN {
            let Ok(command) = self.queue.try_recv() else { return false };
            match command {
                Command::Open { stream, ports } => self.open(stream, ports, now),
                Command::Close { bridge } => {
                    let ports = self.engine.ports(bridge);
                    self.engine.command(command, now);
                    self.release(&ports);
                }
                Command::Aim { .. } => self.engine.command(command, now),
            }
        }
        true
    }

    /// Binds what is not bound yet, then lets the engine open its doors.
    fn open(&mut self, stream: media::StreamKey, ports: [u16; 2], now: Instant) {
        let before = self.engine.ports(stream.bridge);
        let mut failed = None;
        for side in Side::BOTH {
            let rtp = ports[side.index()];
            // A port that no pair can begin with is refused by the engine.
            if rtp == 0 || rtp % 2 == 1 {
                continue;
            }
            for port in [rtp, rtp + 1] {
                if let Err(fault) = self.sockets.bind(port) {
                    tracing::warn!(port, error = %fault, "media_port_refused");
                    failed.get_or_insert(Event::Failed { stream, side, port });
                }
            }
        }
        match failed {
            Some(event) => (self.events)(event),
            None => self.engine.command(Command::Open { stream, ports }, now),
        }
        // What the stream had before, and what was bound in vain.
        self.release(&before);
        self.release(&ports);
    }

    /// Sockets without a stream go to the idle ones.
    fn release(&mut self, ports: &[u16]) {
        for rtp in ports {
            if !self.engine.listens(*rtp) {
                self.sockets.rest(*rtp);
                self.sockets.rest(rtp.saturating_add(1));
            }
        }
    }

    /// One batch of one socket. What is left wakes the pump again at once.
    fn forward(&mut self, port: u16, now: Instant) {
        let Some(socket) = self.sockets.get(port) else { return };
        let count = match self.inbox.receive(socket) {
            Ok(count) => count,
            // Nothing there after all, or an error of an earlier send: the next packet tells.
            Err(_) => return,
        };
        self.passed.clear();
        for place in 0..count {
            let Some((bytes, from)) = self.inbox.datagram(place) else { continue };
            if let Some((by, to)) = self.engine.packet(port, from, bytes, now) {
                self.passed.push((place, by, self.sockets.written(to)));
            }
        }
        for run in self.passed.chunk_by(|one, next| one.1 == next.1) {
            let Some(socket) = run.first().and_then(|(_, by, _)| self.sockets.get(*by)) else {
                continue;
            };
            let datagrams = run.iter().filter_map(|(place, _, to)| {
                self.inbox.datagram(*place).map(|(bytes, _)| (bytes, *to))
            });
            self.outbox.send(socket, datagrams);
        }
    }

    fn report(&mut self) {
        while let Some(event) = self.engine.poll() {
            (self.events)(event);
        }
    }
}
