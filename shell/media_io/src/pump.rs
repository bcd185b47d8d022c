//! The thread: waits, obeys commands, moves packets, ticks the mixes.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant as Clock};

use types::Instant;

use media::{Coders, Command, Engine, Event, Identity, Seat, Side, Sink, StreamKey, TICK, TapId};

use crate::sockets::{Door, Sockets};
use crate::streams::Streams;
use crate::sys::{BATCH, Inbox, Outbox, Ready};
use crate::{COMMANDS_PER_TURN, Doorbell, Order};

/// Datagrams of one leg that are read at once: most have one, and room for more is not free.
const FEW: usize = 4;

/// Batches that are read from one socket before others have their turn.
const BATCHES: usize = 8;

/// How long a pump lets packets gather when it is under load: what a packet may be late for it, beside the millisecond
/// that a wait is rounded to.
pub const GATHER: Duration = Duration::from_millis(1);

/// Packets a second from which that is load.
pub const GATHER_FROM: u128 = 2_000;

/// Everything a pump thread owns.
pub(crate) struct Turn<F> {
    engine: Engine,
    sockets: Sockets,
    streams: Streams,
    queue: Receiver<Order>,
    doorbell: Arc<Doorbell>,
    strangers: Arc<AtomicU64>,
    events: F,
    sinks: BTreeMap<TapId, Sink>,
    inbox: Inbox,
    outbox: Outbox,
    /// Decisions about the datagrams of one inbox: which of them, by which port, where to.
    passed: Vec<(usize, u16, SocketAddr)>,
    started: Clock,
    /// Since when packets are counted, and how many came.
    window: (Instant, usize),
    /// More than [`GATHER_FROM`] came in the last one.
    busy: bool,
    /// Some wait that were not read yet.
    left: bool,
}

impl<F: Fn(Event)> Turn<F> {
    pub(crate) fn new(
        address: IpAddr,
        idle_max: usize,
        queue: Receiver<Order>,
        doorbell: Arc<Doorbell>,
        strangers: Arc<AtomicU64>,
        events: F,
    ) -> std::io::Result<Self> {
        let sockets = Sockets::new(address, idle_max, doorbell.wake.fd())?;
        Ok(Self {
            engine: Engine::new(),
            sockets,
            streams: Streams::default(),
            queue,
            doorbell,
            strangers,
            events,
            sinks: BTreeMap::new(),
            inbox: Inbox::new(),
            outbox: Outbox::new(),
            passed: Vec::new(),
            started: Clock::now(),
            window: (Instant(0), 0),
            busy: false,
            left: false,
        })
    }

    /// Takes what the system knows beside what is built in. Before anything else.
    pub(crate) fn know(&mut self, coders: Coders) {
        self.engine = Engine::with_coders(coders);
    }

    /// Takes in ports that many legs share, RTP and RTCP of each.
    pub(crate) fn serve_many(&mut self, pairs: Vec<[Door; 2]>) -> std::io::Result<()> {
        for [rtp, rtcp] in pairs {
            self.sockets.keep(rtcp.0)?;
            let port = self.sockets.keep(rtp.0)?;
            self.engine.serve_many(port);
        }
        Ok(())
    }

    /// Takes the port of browsers in, and where those come who cannot send datagrams.
    pub(crate) fn serve_browsers(
        &mut self,
        (door, identity): (Door, Identity),
        listener: Option<TcpListener>,
    ) -> std::io::Result<()> {
        let port = self.sockets.keep(door.0)?;
        self.engine.serve_browsers(port, identity, self.started);
        match listener {
            Some(listener) => self.streams.listen(listener, self.sockets.epoll()),
            None => Ok(()),
        }
    }

    /// Until the doorbell says stop.
    pub(crate) fn run(&mut self) {
        let mut ready = Ready::new();
        let mut more = false;
        loop {
            let due = self.engine.deadline().into_iter().chain(self.engine.watch_due()).min();
            let patience = match due {
                _ if more => Some(Duration::ZERO),
                Some(due) => Some(due.since(self.now())),
                None => None,
            };
            if let Err(fault) = self.sockets.wait(&mut ready, patience) {
                tracing::error!(error = %fault, "pump_wait_failed");
                return;
            }
            let now = self.now();
            if self.doorbell.stop.load(Ordering::Acquire) {
                return;
            }
            if more || ready.contains_wake() {
                self.doorbell.answer();
                more = self.obey(now);
            }
            let mut came = 0;
            for port in ready.ports() {
                came += self.forward(port, now);
            }
            came += self.serve_streams(&ready, now);
            self.tick();
            self.engine.watch(self.now());
            self.strangers.store(self.engine.strangers(), Ordering::Relaxed);
            self.outgoing();
            self.taken();
            self.report();
            self.gather(came, now);
        }
    }

    /// Under load, lets some packets come before the next look: a wait, a read and a send for each costs more than the
    /// packets themselves.
    fn gather(&mut self, came: usize, now: Instant) {
        let (since, count) = &mut self.window;
        *count += came;
        let passed = now.since(*since);
        if passed >= TICK {
            self.busy = *count as u128 * 1_000_000 > GATHER_FROM * passed.as_micros();
            (*since, *count) = (now, 0);
        }
        if self.busy && came > 0 && !std::mem::take(&mut self.left) {
            std::thread::sleep(GATHER);
        }
    }

    fn now(&self) -> Instant {
        Instant(self.started.elapsed().as_micros() as u64)
    }

    /// The one timer of a pump: what the hearers of mixes get by now. The engine keeps the grid, so that a wait that
    /// ends late moves no later one.
    fn tick(&mut self) {
        if self.engine.deadline().is_some() {
            let now = self.now();
            let Self { engine, sockets, .. } = self;
            engine.tick(now, |port, to, bytes| {
                sockets.dress(port);
                if let Some(socket) = sockets.get(port) {
                    Outbox::send_one(socket, bytes, sockets.written(to));
                }
            });
        }
    }

    /// What browsers say over TCP: how many frames.
    fn serve_streams(&mut self, ready: &Ready, now: Instant) -> usize {
        let Self { engine, sockets, streams, .. } = self;
        if ready.contains_listener() {
            streams.accept(sockets.epoll(), now);
        }
        let mut came = 0;
        for number in ready.streams() {
            streams.read(number, now, |from, bytes| {
                came += 1;
                engine.frame(number, from, bytes, now);
            });
        }
        streams.sweep(now);
        came
    }

    /// What the engine made itself, or sealed and opened.
    fn outgoing(&mut self) {
        let Self { engine, sockets, streams, .. } = self;
        engine.outgoing(|port, to, bytes| {
            if let Some(number) = media::connection(to) {
                streams.send(number, bytes);
            } else if let Some(socket) = sockets.get(port) {
                Outbox::send_one(socket, bytes, sockets.written(to));
            }
        });
    }

    /// What taps heard.
    fn taken(&mut self) {
        let Self { engine, sinks, .. } = self;
        engine.taken(|heard| {
            if let Some(sink) = sinks.get_mut(&heard.tap) {
                sink(heard);
            }
        });
    }

    /// Takes some commands; whether more may wait.
    fn obey(&mut self, now: Instant) -> bool {
        for _ in 0..COMMANDS_PER_TURN {
            let Ok(order) = self.queue.try_recv() else { return false };
            match order {
                Order::Command(command) => self.command(command, now),
                Order::Clear(feed) => self.engine.clear(feed),
                Order::Feed(feed, samples) => {
                    let lost = self.engine.feed(feed, &samples);
                    if lost > 0 {
                        tracing::debug!(feed = feed.0, lost, "media_feed_full");
                    }
                }
                Order::Mark(feed, mark) => self.engine.mark(feed, mark),
                Order::Forget(id) => self.engine.forget(id),
                Order::Lend(id, clip) => self.engine.lend(id, clip),
                Order::Sink(tap, sink) => {
                    self.sinks.insert(tap, sink);
                }
            }
        }
        true
    }

    fn command(&mut self, command: Command, now: Instant) {
        match command {
            Command::Open { stream, ports } => self.open(stream, ports, now),
            Command::Close { bridge } => {
                let ports = self.engine.ports(bridge);
                self.engine.command(command, now);
                self.release(&ports);
            }
            Command::Admit { stream, seat, port } => self.admit(stream, seat, port, now),
            Command::Leave { stream, seat } => {
                let port = self.engine.port(stream, seat);
                self.engine.command(command, now);
                self.release(port.as_slice());
            }
            Command::Share { port, by: 0 } => {
                let shared = self.engine.shares(port);
                self.engine.command(command, now);
                if let Some((stream, seat)) = self.engine.sits(port).filter(|_| shared)
                    && let Some(failed) = self.bind(stream, seat, port)
                {
                    (self.events)(failed);
                }
            }
            Command::Untap { tap } => {
                self.engine.command(command, now);
                self.sinks.remove(&tap);
            }
            Command::Aim { .. }
            | Command::Gauge { .. }
            | Command::Listen { .. }
            | Command::Move { .. }
            | Command::Play { .. }
            | Command::Pour { .. }
            | Command::Share { .. }
            | Command::Shield { .. }
            | Command::Stop { .. }
            | Command::Take { .. }
            | Command::Tap { .. } => self.engine.command(command, now),
        }
    }

    /// Binds what is not bound yet, then lets the engine open its doors.
    fn open(&mut self, stream: StreamKey, ports: [u16; 2], now: Instant) {
        let before = self.engine.ports(stream.bridge);
        let mut failed = None;
        for side in Side::BOTH {
            failed = failed.or(self.bind(stream, side.into(), ports[side.index()]));
        }
        match failed {
            Some(event) => (self.events)(event),
            None => self.engine.command(Command::Open { stream, ports }, now),
        }
        // What the stream had before, and what was bound in vain.
        self.release(&before);
        self.release(&ports);
    }

    /// The same for one guest.
    fn admit(&mut self, stream: StreamKey, seat: Seat, port: u16, now: Instant) {
        let before = self.engine.port(stream, seat);
        match self.bind(stream, seat, port) {
            Some(event) => (self.events)(event),
            None => self.engine.command(Command::Admit { stream, seat, port }, now),
        }
        self.release(before.as_slice());
        self.release(&[port]);
    }

    /// Binds the two ports of one leg; what failed. A port that no pair can begin with is refused by the engine.
    fn bind(&mut self, stream: StreamKey, seat: Seat, rtp: u16) -> Option<Event> {
        if rtp == 0 || rtp % 2 == 1 || self.engine.shares(rtp) {
            return None;
        }
        let mut failed = None;
        for port in [rtp, rtp + 1] {
            if let Err(fault) = self.sockets.bind(port) {
                tracing::warn!(port, error = %fault, "media_port_refused");
                failed.get_or_insert(Event::Failed { stream, seat, port });
            }
        }
        failed
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

    /// What came to one socket, [`BATCHES`] batches at most: how many. What is left wakes the pump again at once.
    fn forward(&mut self, port: u16, now: Instant) -> usize {
        let many = self.sockets.is_kept(port);
        let batch = if many { BATCH } else { FEW };
        let mut all = 0;
        for _ in 0..BATCHES {
            let count = self.forward_batch(port, many, now);
            all += count;
            if count < batch {
                return all;
            }
        }
        self.left = true;
        all
    }

    fn forward_batch(&mut self, port: u16, many: bool, now: Instant) -> usize {
        self.sockets.dress(port);
        let Some(socket) = self.sockets.get(port) else { return 0 };
        let Self { inbox, .. } = self;
        let received =
            if many { inbox.receive::<BATCH>(socket) } else { inbox.receive::<FEW>(socket) };
        let count = match received {
            Ok(count) => count,
            // Nothing there after all, or an error of an earlier send: the next packet tells.
            Err(_) => return 0,
        };
        self.passed.clear();
        for place in 0..count {
            let Some((bytes, from)) = self.inbox.datagram_mut(place) else { continue };
            if let Some((by, to)) = self.engine.packet(port, from, bytes, now) {
                self.sockets.dress(by);
                self.passed.push((place, by, self.sockets.written(to)));
            }
        }
        if let [(place, by, to)] = self.passed.as_slice() {
            // A batch of one costs more than it saves.
            if let (Some(socket), Some((bytes, _))) =
                (self.sockets.get(*by), self.inbox.datagram(*place))
            {
                Outbox::send_one(socket, bytes, *to);
            }
            return count;
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
        count
    }

    fn report(&mut self) {
        while let Some(event) = self.engine.poll() {
            if let Event::Untapped { tap, .. } = &event {
                self.sinks.remove(tap);
            }
            (self.events)(event);
        }
    }
}
