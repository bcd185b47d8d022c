//! The thread of one shard: waits, feeds the switchboard, and does what it says.
//!
//! Picture     sockets | boxes | deadline --> inputs --> outputs --> one write of the log --> released --> sockets, doors
//! Rules       All inputs of a turn come first, then their outputs in order: entries are appended, written together, and
//!             only then leaves what stands behind them. A log that failed is told once and nothing held leaves. While
//!             the disk has no room new work is refused; what a write that failed did not keep is not told.
//! Limits      TURN_MAX items of a box a turn; HELD_MAX; the boxes' own.
//! Not here    What anything means (switchboard).
//! Spec        DESIGN §5 (order of outputs and entries)

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use net::poll::{Poll, Ready};
use net::stun;
use net::udp::{Batch, Outbox, Udp};
use store::Writer;
use switchboard::{Input, Keys, Mark, Output, Shard, locate};
use types::{Flow, Instant, Rng, Transport};

use super::clock::Ticker;
use super::crashes::Crashes;
use super::credentials::random;
use super::crowd::Crowd;
use super::doors::Doors;
use super::held::{Gate, HELD_MAX, Held, Item, Marks, Reached};
use super::meters::{Meters, Reading, counter_of};
use super::post::{Door, Post};
use super::tape::Head;

/// How often a shard says how it is and looks after its log.
const HOUSEKEEPING: Duration = Duration::from_secs(1);
/// How long after a write that failed the next is tried.
const WRITE_RETRY: Duration = Duration::from_millis(200);
/// Octets of a snapshot between two writes: below what the log's buffer takes.
const SNAPSHOT_STEP: usize = 4 << 20;
/// How long the pump may hear later that streams have ended: it then hears of many at once.
const CLOSE_WAIT: Duration = Duration::from_millis(20);
/// How long the end waits for the log to be synced.
const STOP_MAX: Duration = Duration::from_secs(2);

/// A datagram socket of this thread.
struct Socket {
    listener: u8,
    udp: Udp,
    outbox: Outbox,
    asks_to_write: bool,
}

/// What a shard thread is made of.
pub struct Parts {
    pub index: usize,
    pub config: switchboard::Config,
    pub open: super::Rooms,
    pub rooms: services::Config,
    pub keys: Keys,
    pub sockets: Vec<(u8, Udp)>,
    pub writer: Writer,
    pub doors: Arc<Doors>,
    pub meters: Meters,
    pub clock: Ticker,
    pub head: Option<Head>,
    pub crashes: Crashes,
}

/// How the log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Log {
    Failed,
    /// The disk has no room; what is set aside may still take what was begun.
    Paused,
    Writable,
}

/// See the head of this file.
pub struct Loop {
    index: usize,
    shard: Shard,
    keys: Keys,
    sockets: Vec<Socket>,
    poll: Poll,
    door: Door,
    writer: Writer,
    doors: Arc<Doors>,
    meters: Meters,
    clock: Ticker,
    head: Option<Head>,
    crashes: Crashes,
    /// Taken out while its datagrams are handled.
    batch: Option<Batch>,
    posts: Vec<Post>,
    /// Datagrams for other shards, by shard.
    foreign: Vec<Vec<Post>>,
    marks: Marks,
    held: Held,
    /// How far the log was when held outputs were looked at last.
    reached: Option<Reached>,
    released: Vec<Item>,
    counters: BTreeMap<&'static str, u64>,
    /// When to ask again for room on the disk.
    retry: Option<Instant>,
    log: Log,
    /// What the switchboard was told of it last.
    told: Log,
    crowd: Crowd,
    /// Whether the media pump refused the last command.
    media_stuck: bool,
    /// When the media pump is woken for the commands that it has got: once for a turn, or for a little while when they
    /// only end streams.
    media_wake: Option<Instant>,
    next_housekeeping: Instant,
    stopping: bool,
}

impl Loop {
    /// Opens the rooms, which stay on this thread, and watches the sockets. Errors: no descriptor left.
    pub fn new(parts: Parts) -> std::io::Result<Self> {
        let Parts { index, config, open, rooms, keys, sockets, writer, .. } = parts;
        let Parts { doors, meters, clock, head, crashes, .. } = parts;
        let (mut writer, mut clock) = (writer, clock);
        let shard = Shard::new(config, Box::new(move || open(&rooms)));
        let none = || std::io::Error::other("a shard without a door");
        let door = doors.shards.get(index).ok_or_else(none)?.clone();
        let poll = Poll::new(&door.waker)?;
        let sockets: Vec<_> = sockets
            .into_iter()
            .map(|(listener, udp)| Socket {
                listener,
                udp,
                outbox: Outbox::new(),
                asks_to_write: false,
            })
            .collect();
        for (token, socket) in (0..).zip(&sockets) {
            poll.add(&socket.udp, token)?;
        }
        let waker = door.waker.clone();
        writer.set_waker(Arc::new(move || waker.wake()));
        let foreign = doors.shards.iter().map(|_| Vec::new()).collect();
        let next_housekeeping = clock.read().now;
        Ok(Self {
            index,
            shard,
            keys,
            sockets,
            poll,
            door,
            writer,
            doors,
            meters,
            clock,
            head,
            crashes,
            batch: Some(Batch::new()),
            posts: Vec::new(),
            foreign,
            marks: Marks::default(),
            held: Held::default(),
            reached: None,
            released: Vec::new(),
            counters: BTreeMap::new(),
            retry: None,
            log: Log::Writable,
            told: Log::Writable,
            crowd: Crowd::default(),
            media_stuck: false,
            media_wake: None,
            next_housekeeping,
            stopping: false,
        })
    }

    /// Gives the entries of the log back, and begins.
    pub fn adopt(&mut self, entries: Vec<switchboard::store::Entry>) {
        for entry in entries {
            self.feed(Input::Adopt(entry));
        }
        self.feed(Input::Begin);
        // The first entry shall not be the one that finds the disk full.
        self.retry = Some(self.clock.read().now);
        self.settle();
    }

    /// Until a `Stop` comes.
    pub fn run(&mut self) {
        let mut ready = Vec::new();
        while !self.stopping {
            let timeout = self.timeout();
            if let Err(error) = self.poll.wait(Some(timeout), &mut ready) {
                // The set itself is broken: nothing can be heard any more.
                tracing::error!(%error, shard = self.index, "shard_wait_failed");
                self.doors.parts.set("sip", self.index, Some("the sockets cannot be waited for"));
                return;
            }
            for event in &ready {
                match event {
                    Ready::Readable(token) => self.read(*token),
                    Ready::Woken => (),
                    Ready::Writable(token) => self.flush(*token as usize),
                }
            }
            self.collect();
            if self.shard.deadline().is_some_and(|at| at <= self.clock.read().now) {
                self.feed(Input::Tick);
            }
            self.settle();
            self.housekeeping();
        }
        self.end();
    }

    fn timeout(&mut self) -> Duration {
        let now = self.clock.read().now;
        let mut at = self.next_housekeeping;
        at = self.shard.deadline().map_or(at, |deadline| deadline.min(at));
        at = self.retry.map_or(at, |retry| retry.min(at));
        at = self.media_wake.map_or(at, |wake| wake.min(at));
        at.since(now)
    }

    fn count(&mut self, name: &'static str, by: u64) {
        if by > 0 {
            *self.counters.entry(name).or_default() += by;
        }
    }

    /// One input, recorded if somebody wants that.
    fn feed(&mut self, input: Input<'_>) {
        let clock = self.clock.read();
        let Some(head) = &mut self.head else { return self.shard.handle(input, clock) };
        head.input(&input, clock);
        let before = self.shard.outputs().list.len();
        self.shard.handle(input, clock);
        head.outputs(self.shard.outputs(), before);
    }

    /// One batch of one socket; what is left makes the socket readable again.
    fn read(&mut self, token: u32) {
        let Some(socket) = self.sockets.get_mut(token as usize) else { return };
        let listener = socket.listener;
        let Some(mut batch) = self.batch.take() else { return };
        match socket.udp.recv_batch(&mut batch) {
            Ok(count) => {
                let now = self.clock.read().now;
                if let Some(crowded) = self.crowd.note(count, now, worked) {
                    self.feed(Input::Crowded(crowded));
                }
            }
            Err(error) => {
                tracing::warn!(%error, listener, "sip_receive_failed");
                self.count("sip.receive_failed", 1);
            }
        }
        let shards = self.doors.shards.len();
        for (remote, bytes) in batch.iter() {
            if stun::is_blank(bytes) {
                self.count("sip.keepalives", 1);
                continue;
            }
            if stun::is_stun(bytes) {
                self.count("sip.keepalives", 1);
                self.answer_stun(token, remote, bytes);
                continue;
            }
            let flow = Flow { transport: Transport::Udp, listener, connection: 0, remote };
            let home = match shards {
                1 => self.index,
                _ => locate(bytes, &self.keys).map_or(self.index, |slot| slot.shard(shards)),
            };
            if home == self.index {
                self.count(counter_of(bytes), 1);
                self.feed(Input::Message { flow, bytes });
            } else if let Some(waiting) = self.foreign.get_mut(home) {
                waiting.push(Post::Message { flow, bytes: bytes.to_vec() });
            }
        }
        self.batch = Some(batch);
        let mut dropped = 0;
        for (door, waiting) in self.doors.shards.iter().zip(&mut self.foreign) {
            door.work.send_batch(waiting);
            dropped += waiting.len();
            waiting.clear();
        }
        self.count("sip.datagrams_dropped", dropped as u64);
    }

    fn answer_stun(&mut self, token: u32, remote: SocketAddr, bytes: &[u8]) {
        let socket = self.sockets.get_mut(token as usize);
        if let (Some(socket), Some(answer)) = (socket, stun::answer(bytes, remote)) {
            socket.outbox.push(remote, &answer);
        }
    }

    /// Empties both boxes; facts first, so that answers are not behind new work.
    fn collect(&mut self) {
        let mut posts = std::mem::take(&mut self.posts);
        self.door.facts.drain(&mut posts);
        for post in posts.drain(..) {
            self.take(post);
        }
        self.door.work.drain(&mut posts);
        if let Some(crowded) = self.crowd.note_posts(posts.len()) {
            self.feed(Input::Crowded(crowded));
        }
        for post in posts.drain(..) {
            self.take(post);
        }
        self.posts = posts;
    }

    fn take(&mut self, post: Post) {
        match post {
            Post::Api(request) => self.feed(Input::Api(request)),
            Post::Drain => self.feed(Input::Drain),
            Post::FlowClosed(flow) => self.feed(Input::FlowClosed { flow }),
            Post::Mail(mail) => self.feed(Input::Mail(*mail)),
            Post::Media(event) => self.feed(Input::Media(event)),
            Post::Message { flow, bytes } => {
                self.count(counter_of(&bytes), 1);
                self.feed(Input::Message { flow, bytes: &bytes });
            }
            Post::Reply { ticket, reply } => self.feed(Input::Reply { ticket, reply }),
            Post::Stop => self.stopping = true,
            Post::Undelivered { flow, bytes } => self.feed(Input::Undelivered { flow, bytes }),
        }
    }

    /// Outputs of this turn, and what the log lets go of those before.
    fn settle(&mut self) {
        if self.writer.failed() {
            self.fail_log();
        }
        let mut outputs = std::mem::take(self.shard.outputs());
        let mut first = None;
        for output in &mut outputs.list {
            if let Output::Save { mark, entry, durability } = output {
                let position = self.writer.append(entry);
                self.marks.note(*mark, position, *durability);
                first.get_or_insert(*mark);
            }
        }
        let due = self.retry.is_some_and(|at| at <= self.clock.read().now);
        if first.is_some() || due {
            self.write(due);
        }
        let reached = Reached { written: self.writer.written(), synced: self.writer.synced() };
        let unsaved = first.filter(|mark| {
            let gate = self.marks.gate(*mark);
            self.log == Log::Paused && gate.is_some_and(|gate| gate.written() > reached.written)
        });
        self.let_go(reached);
        // What follows an entry that could not be written waits for it. An end is told all the same.
        let mut behind = None;
        for output in outputs.list.drain(..) {
            if let Output::Save { mark, entry, .. } = &output
                && unsaved.is_some()
                && !entry.last
            {
                behind = self.marks.gate(*mark).map(Gate::written_only);
            }
            let (after, flow, waits) = match &output {
                Output::Send { after, flow, .. } => (*after, Some(*flow), true),
                Output::Api { after, .. }
                | Output::Deliver { after, .. }
                | Output::Fetch { after, .. }
                | Output::Mail { after, .. } => (*after, None, true),
                Output::Crashed { .. }
                | Output::Ear(_)
                | Output::Event(_)
                | Output::Load { .. }
                | Output::Media(_)
                | Output::Part { .. }
                | Output::Render { .. }
                | Output::Resolve { .. }
                | Output::Save { .. }
                | Output::Sound(_)
                | Output::Stream(_)
                | Output::Suspect { .. }
                | Output::Write { .. } => (None, None, false),
            };
            let bytes = match &output {
                Output::Send { range, .. } => outputs.arena.get(range.clone()),
                _ => None,
            };
            let gate = after.and_then(|mark| self.marks.gate(mark));
            let gate = gate.filter(|gate| !reached.passed(*gate)).or(behind.filter(|_| waits));
            self.hold_or_do(output, bytes.unwrap_or_default(), gate, flow);
        }
        self.marks.forget(reached);
        if let Some(position) = self.held.wanted() {
            self.writer.want_sync(position);
        }
        outputs.clear();
        *self.shard.outputs() = outputs;
        for place in 0..self.sockets.len() {
            self.flush(place);
        }
        if self.media_wake.is_some_and(|at| at <= self.clock.read().now) {
            self.media_wake = None;
            self.doors.pump.wake();
        }
        self.tell_log(unsaved, reached);
    }

    /// Tells the switchboard how the log is, when that has changed. What it says comes with the next turn.
    fn tell_log(&mut self, unsaved: Option<Mark>, reached: Reached) {
        if self.told == self.log {
            return;
        }
        self.told = self.log;
        match self.log {
            Log::Failed => self.feed(Input::LogFailed),
            Log::Paused => {
                if unsaved.is_some() {
                    let refused = self.held.refuse(reached.written);
                    self.count("keeper.outputs_refused", refused as u64);
                    self.reached = None;
                }
                self.feed(Input::LogPaused { unsaved });
            }
            Log::Writable => self.feed(Input::LogBack),
        }
        self.door.waker.wake();
    }

    fn hold_or_do(&mut self, output: Output, bytes: &[u8], gate: Option<Gate>, flow: Option<Flow>) {
        let behind = self.held.len() > 0 && flow.is_some_and(|flow| self.held.holds_flow(flow));
        if gate.is_none() && !behind {
            self.act(output, bytes);
        } else if self.log == Log::Failed {
            self.count("keeper.outputs_dropped", 1);
        } else {
            self.held.push(gate, output, bytes.to_vec());
            if self.held.len() > HELD_MAX {
                self.fail_log();
            }
        }
    }

    /// Writes what was appended. `due`: it is time to ask again for room.
    fn write(&mut self, due: bool) {
        let mut outcome = self.writer.write().map(drop);
        if outcome.is_ok() && due {
            outcome = self.writer.reserve();
        }
        match outcome {
            _ if self.writer.failed() => self.fail_log(),
            Ok(()) if self.writer.short() => {
                self.pause(due, "the room that was set aside is in use")
            }
            Ok(()) => self.go_on(),
            Err(fault) => {
                self.count("keeper.write_failed", 1);
                // Otherwise one entry was refused, and the others are written.
                if fault.retry_helps() {
                    self.pause(due, &fault.to_string());
                }
            }
        }
    }

    /// The disk has no room: it is asked again until it has.
    fn pause(&mut self, due: bool, fault: &str) {
        if due || self.retry.is_none() {
            self.retry = Some(self.clock.read().now + WRITE_RETRY);
        }
        if self.log == Log::Writable {
            self.log = Log::Paused;
            tracing::error!(fault, shard = self.index, "keeper_paused");
            let why = "the log cannot be written: look at the disk of node.data";
            self.doors.parts.set("keeper", self.index, Some(why));
        }
    }

    fn go_on(&mut self) {
        self.retry = None;
        if self.log == Log::Paused {
            self.log = Log::Writable;
            tracing::info!(shard = self.index, "keeper_written_again");
            self.doors.parts.set("keeper", self.index, None);
        }
    }

    /// The log is lost: the switchboard hears it once, and nobody hears what was not kept.
    fn fail_log(&mut self) {
        if self.log == Log::Failed {
            return;
        }
        self.log = Log::Failed;
        self.retry = None;
        let dropped = self.held.clear();
        self.count("keeper.outputs_dropped", dropped as u64);
    }

    /// Does what the log does not hold any more.
    fn let_go(&mut self, reached: Reached) {
        if self.held.len() == 0 || self.reached == Some(reached) {
            return;
        }
        self.reached = Some(reached);
        let mut released = std::mem::take(&mut self.released);
        self.held.release(reached, &mut released);
        for item in released.drain(..) {
            self.act(item.output, &item.bytes);
        }
        self.released = released;
    }

    fn act(&mut self, output: Output, bytes: &[u8]) {
        let index = self.index;
        match output {
            Output::Api { id, response, .. } => self.doors.answer(id, response),
            Output::Crashed { room, session, why, report } => {
                let session = session.map(|session| session.to_string());
                let unix = self.clock.read().unix;
                let file = self.crashes.write(unix, room, session.as_deref(), &report);
                let file = file.map(|file| file.display().to_string());
                tracing::error!(room, session, why, file, "room_panicked");
            }
            Output::Deliver { ticket, delivery, .. } => {
                self.doors.deliver(index, ticket, *delivery);
            }
            Output::Ear(order) => self.doors.ear_order(index, order),
            Output::Event(line) => self.doors.event(line),
            Output::Fetch { ticket, fetch, .. } => self.doors.fetch(index, ticket, *fetch),
            Output::Load { ticket, query } => self.doors.load(index, ticket, query),
            Output::Mail { shard, mail, .. } => {
                if let Some(door) = self.doors.shards.get(shard) {
                    door.tell(Post::Mail(Box::new(mail)));
                }
            }
            Output::Media(command) => {
                let soon = match &command {
                    media::Command::Close { .. } => CLOSE_WAIT,
                    media::Command::Admit { .. }
                    | media::Command::Aim { .. }
                    | media::Command::Gauge { .. }
                    | media::Command::Leave { .. }
                    | media::Command::Listen { .. }
                    | media::Command::Move { .. }
                    | media::Command::Open { .. }
                    | media::Command::Play { .. }
                    | media::Command::Pour { .. }
                    | media::Command::Share { .. }
                    | media::Command::Shield { .. }
                    | media::Command::Stop { .. }
                    | media::Command::Take { .. }
                    | media::Command::Tap { .. }
                    | media::Command::Untap { .. } => Duration::ZERO,
                };
                let wake = self.clock.read().now + soon;
                self.media_wake = Some(self.media_wake.map_or(wake, |known| known.min(wake)));
                let taken = self.doors.pump.queue(command);
                if !taken {
                    self.count("media.commands_dropped", 1);
                }
                if self.media_stuck == taken {
                    self.media_stuck = !taken;
                    let why = "the media pump takes no commands: restart the node if it stays";
                    let fault = web::Part::Fault(why.to_owned());
                    self.doors.parts.say("media", if taken { web::Part::Ready } else { fault });
                }
            }
            Output::Part { name, fault } => self.doors.parts.set(name, index, fault),
            Output::Resolve { ticket, question } => {
                let chance = Rng::new(random());
                self.doors.resolve(index, ticket, question, chance);
            }
            Output::Render { ticket, bytes, content_type } => {
                self.doors.render(index, ticket, bytes, &content_type);
            }
            // Appended before.
            Output::Save { .. } => (),
            Output::Send { flow, .. } => self.send(flow, bytes),
            Output::Sound(order) => self.doors.sound(index, order),
            Output::Stream(order) => self.doors.stream_order(index, order),
            Output::Suspect { flow, what, times } => {
                let transport = flow.transport.param();
                tracing::info!(source = %flow.remote, transport, what, times, "sip_suspect");
            }
            Output::Write { ticket, batch } => self.doors.write(index, ticket, batch),
        }
    }

    fn send(&mut self, flow: Flow, bytes: &[u8]) {
        if flow.transport != Transport::Udp {
            if self.doors.stream(flow, bytes.to_vec()).is_err() {
                self.count("sip.stream_unsent", 1);
                // It is heard in the next turn.
                self.door.tell(Post::Undelivered { flow, bytes: bytes.to_vec() });
            }
            return;
        }
        let same_family = |socket: &Socket| socket.udp.local().is_ipv4() == flow.remote.is_ipv4();
        let fits = |socket: &Socket| socket.listener == flow.listener && same_family(socket);
        let own = self.sockets.iter().position(fits);
        let place = own.or_else(|| self.sockets.iter().position(same_family));
        let Some(socket) = place.and_then(|place| self.sockets.get_mut(place)) else {
            self.count("sip.no_listener", 1);
            return self.door.tell(Post::Undelivered { flow, bytes: bytes.to_vec() });
        };
        socket.outbox.push(flow.remote, bytes);
    }

    fn flush(&mut self, place: usize) {
        let Some(socket) = self.sockets.get_mut(place) else { return };
        if socket.outbox.is_empty() && !socket.asks_to_write {
            return;
        }
        socket.udp.flush(&mut socket.outbox);
        let asks = !socket.outbox.is_empty();
        if asks != socket.asks_to_write {
            socket.asks_to_write = asks;
            // Without it the next turn flushes.
            let _ = self.poll.want_write(&socket.udp, place as u32, asks);
        }
    }

    fn housekeeping(&mut self) {
        let now = self.clock.read().now;
        if now < self.next_housekeeping {
            return;
        }
        self.next_housekeeping = now + HOUSEKEEPING;
        let mut counters = self.shard.counters().clone();
        counters.extend(self.counters.iter().map(|(name, value)| (*name, *value)));
        let total =
            |of: fn(&Outbox) -> u64| self.sockets.iter().map(|s| of(&s.outbox)).sum::<u64>();
        counters.insert("sip.datagrams_sent", total(Outbox::sent));
        counters.insert("sip.datagrams_refused", total(Outbox::failed));
        counters.insert("sip.outbox_full", total(Outbox::dropped));
        let mut gauges = self.shard.gauges().to_vec();
        gauges.push(("outputs_held", self.held.len() as u64));
        gauges.push(("keeper_bytes", self.writer.size()));
        self.meters.tell(self.index, Reading { counters, gauges });
        if let Some(head) = &self.head {
            head.flush();
        }
        if self.log == Log::Writable && self.retry.is_none() {
            // Now and then the disk is asked before its room is needed.
            self.retry = Some(now);
        }
        if self.log == Log::Writable && self.writer.wants_snapshot() {
            self.snapshot();
        }
    }

    /// Writes all live entries again, so that older segments can go.
    fn snapshot(&mut self) {
        let made = self.writer.begin_snapshot().and_then(|()| {
            let mut octets = 0;
            for entry in self.shard.snapshot() {
                octets += entry.body.len();
                self.writer.append(&entry);
                if octets > SNAPSHOT_STEP {
                    self.writer.write()?;
                    octets = 0;
                }
            }
            self.writer.finish_snapshot()
        });
        if let Err(fault) = made {
            tracing::error!(%fault, shard = self.index, "keeper_snapshot_failed");
            self.retry = Some(self.clock.read().now + WRITE_RETRY);
        }
    }

    /// What was promised is brought to the disk and said; the rest of the boxes is not looked at.
    fn end(&mut self) {
        let until = self.clock.read().now + STOP_MAX;
        let mut ready = Vec::new();
        self.settle();
        while self.held.len() > 0 && self.log != Log::Failed && self.clock.read().now < until {
            if self.poll.wait(Some(WRITE_RETRY), &mut ready).is_err() {
                break;
            }
            self.settle();
        }
        self.write(false);
        if let Some(head) = &self.head {
            head.flush();
        }
    }
}

/// The processor time of this thread.
fn worked() -> Duration {
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID)
        .map_or(Duration::ZERO, Duration::from)
}
