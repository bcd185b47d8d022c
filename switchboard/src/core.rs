//! What rooms and SIP share on one shard: clocks, directory, transactions, legs, outputs.
//!
//! Everything that may be asked for by a room ends here as data in [`Outputs`]; everything that a room must hear
//! waits in `queue` until the room that speaks now has returned.

use std::collections::{BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};
use sip::digest::{Algorithm, Nonces};
use sip::transaction::{
    Client, ClientInvite, Timers as SipTimers, client, client_invite, server, server_invite,
};
use sip::{Head, Message};
use types::{
    BridgeId, CallId, Flow, HashKey, LegId, Map, Rng, Seconds, SessionId, Slot, Transport, UnixTime,
};

use crate::directory::{Directory, Known};
use crate::flight::Flight;
use crate::guard::Guard;
use crate::input::{Clock, Mail, Mark, Output, Outputs, Reply, Ticket};
use crate::ladder::{LINE_MAX, Ladder, Lane, Line};
use crate::leg::{Leg, LegEvent};
use crate::lines::Lines;
use crate::notice::Notice;
use crate::requests::Requests;
use crate::service::Event;
use crate::subscription::Subscriptions;
use crate::suspects::Suspects;
use crate::timers::{Reason, Timers};
use crate::transactions::{
    Asker, Branch, ClientEntry, ClientMachine, ServerMachine, Tag, Transactions, hex,
};
use crate::turned_away::TurnedAway;

/// Where we listen, as SIP messages name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// How.
    pub transport: Transport,
    /// Host and port for Via and Contact.
    pub sent_by: String,
}

/// Where browsers reach our media, and who we are to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Door {
    /// What their descriptions carry.
    pub address: SocketAddr,
    /// SHA-256 of the certificate of this process.
    pub fingerprint: [u8; 32],
    /// They reach us there by TCP as well.
    pub streams: bool,
}

/// The account of apps that were written for a known cloud: what they name, and the key of what we sign for them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Apps {
    /// Its name.
    pub sid: String,
    /// Its key.
    pub token: types::Secret<String>,
}

/// What a shard is told at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which shard this is.
    pub index: usize,
    /// How many there are.
    pub shards: usize,
    /// Chance of this run.
    pub seed: [u8; 32],
    /// The node's lasting secret: slots, nonces, signed links.
    pub secret: [u8; 32],
    /// SIP domain and digest realm of our people.
    pub domain: String,
    /// `host` and `host:port` forms that mean us as well.
    pub hosts: Vec<String>,
    /// Our listeners, in the order of `sip.listen`.
    pub listeners: Vec<Listener>,
    /// Whether an INVITE needs a proof.
    pub require_auth: bool,
    /// What a challenge offers, in order.
    pub digest: Vec<Algorithm>,
    /// What SDP carries.
    pub media_address: IpAddr,
    /// RTP ports of the node.
    pub media_ports: RangeInclusive<u16>,
    /// Where browsers reach us; `None`: there is no such port, and they are refused.
    pub door: Option<Door>,
    /// The first of the ports that many phones share, one for each shard, two apart; `None`: each leg has its own.
    pub shared_port: Option<u16>,
    /// What the media engine knows of AMR.
    pub amr: sdp::AmrKnown,
    /// Base of the addresses that we hand out.
    pub public: String,
    /// How long an INVITE is held for a woken device (`push.wait`).
    pub push_wait: std::time::Duration,
    /// The account of apps.
    pub apps: Apps,
    /// Octets of the ladder of this shard.
    pub ladder_memory: usize,
    /// Durations of SIP's timers.
    pub timers: SipTimers,
}

/// Keys that follow from the node's lasting secret.
#[derive(Clone, Copy, Debug)]
pub struct Keys {
    /// Of the slots.
    pub slots: HashKey,
    /// Of signed links.
    pub links: [u8; 32],
    /// Of what is kept sealed in the store.
    pub seal: [u8; 32],
    nonces: [u8; 32],
    /// Of addresses that name one device.
    pub(crate) devices: [u8; 32],
}

impl Keys {
    /// The same secret gives the same keys in every run.
    pub fn new(secret: [u8; 32]) -> Self {
        let mut rng = Rng::new(secret);
        let slots = rng.hash_key();
        let (mut links, mut nonces) = ([0; 32], [0; 32]);
        let (mut seal, mut devices) = ([0; 32], [0; 32]);
        rng.fill(&mut links);
        rng.fill(&mut nonces);
        rng.fill(&mut seal);
        rng.fill(&mut devices);
        Self { slots, links, nonces, devices, seal }
    }

    /// The slot of a user, a group or a Call-ID.
    pub fn slot(&self, name: &[u8]) -> Slot {
        Slot((self.slots.hash_bytes(name) >> 56) as u8)
    }
}

/// Which room owns a session, and what of it was saved last.
#[derive(Debug)]
pub(crate) struct SessionEntry {
    pub room: usize,
    pub legs: Vec<LegId>,
    /// The room's state as it was saved last; what a room that panicked gets back.
    pub saved: Option<Vec<u8>>,
    /// The number of the input that it was saved by.
    pub saved_by: u64,
    /// As tagged fields of its last entry: whom a BYE has left for, should it die with the process.
    pub parting: Vec<u8>,
}

impl SessionEntry {
    /// One without legs.
    pub fn new(room: usize, saved: Option<Vec<u8>>) -> Self {
        Self { room, legs: Vec::new(), saved, saved_by: 0, parting: Vec::new() }
    }
}

/// A binding that was changed, should its save fail.
#[derive(Debug)]
pub(crate) struct Undo {
    pub mark: Mark,
    pub user: String,
    pub binding: Known,
    pub before: Option<Known>,
}

/// Changes of bindings that can be taken back: more than one turn of a shard makes. What is older is on the disk.
pub(crate) const UNDO_MAX: usize = 512;

/// Octets that the room for answers keeps.
const DRAFT_KEPT: usize = 4_096;

/// Something for a room, when its turn comes.
#[derive(Debug)]
pub(crate) enum Work {
    Event {
        session: SessionId,
        event: Event,
    },
    Notice(Notice),
    Open {
        session: SessionId,
        key: String,
        why: String,
    },
    Reply {
        room: usize,
        ticket: Ticket,
        reply: Reply,
    },
    /// A caller has waited for his first answer: he gets 100 once his call is kept.
    Trying {
        transaction: u64,
    },
}

/// See the head of this file.
#[derive(Debug)]
pub struct Core {
    pub(crate) config: Config,
    pub(crate) keys: Keys,
    pub(crate) clock: Clock,
    pub(crate) rng: Rng,
    pub(crate) directory: Directory,
    pub(crate) transactions: Transactions,
    /// Boxed: half of a table's places may be free.
    pub(crate) legs: Map<LegId, Box<Leg>>,
    pub(crate) dialogs: Map<u64, LegId>,
    pub(crate) sessions: Map<SessionId, SessionEntry>,
    pub(crate) bridges: Map<BridgeId, SessionId>,
    pub(crate) lines: Lines,
    pub(crate) requests: Requests,
    pub(crate) subscriptions: Subscriptions,
    pub(crate) tickets: Map<Ticket, usize>,
    pub(crate) timers: Timers,
    pub(crate) patient: crate::patient::Patient,
    /// Legs by the time at which we do something to hear whether they live.
    pub(crate) watches: std::collections::BTreeSet<(UnixTime, LegId)>,
    /// How long a session lasts without a refresh.
    pub(crate) session_expires: Seconds,
    pub(crate) ladder: Ladder,
    pub(crate) out: Outputs,
    pub(crate) queue: VecDeque<Work>,
    /// See [`draft`](Self::draft).
    draft: Vec<u8>,
    pub(crate) counters: std::collections::BTreeMap<&'static str, u64>,
    pub(crate) ports: media::Ports,
    /// Which room has a port: what a room that panicked leaves behind is taken from it.
    pub(crate) ports_taken: std::collections::BTreeMap<u16, usize>,
    /// Legs that go by our shared port.
    pub(crate) shared: crate::shared::Shared,
    pub(crate) nonces: Nonces,
    pub(crate) guard: Guard,
    pub(crate) suspects: Suspects,
    pub(crate) turned_away: TurnedAway,
    pub(crate) flight: Flight,
    /// Outputs of the dispatch at hand wait for this entry.
    pub(crate) after: Option<Mark>,
    pub(crate) log_failed: bool,
    pub(crate) log_paused: bool,
    /// Rooms that have not read all of theirs from the store.
    pub(crate) reading: BTreeSet<&'static str>,
    /// Bindings as they were before their newest saves, at most `UNDO_MAX`.
    pub(crate) undo: VecDeque<Undo>,
    pub(crate) draining: bool,
    /// More comes than can be done.
    pub(crate) crowded: bool,
    pub(crate) room_names: Vec<&'static str>,
    next_mark: u64,
    next_ticket: u64,
}

impl Core {
    pub(crate) fn new(config: Config) -> Self {
        let keys = Keys::new(config.secret);
        let mut rng = Rng::new(config.seed);
        let map = rng.hash_key();
        let share = (config.index as u16, config.shards as u16);
        Self {
            keys,
            clock: Clock::default(),
            directory: Directory::new(rng.hash_key()),
            transactions: Transactions::new(rng.hash_key()),
            legs: Map::with_hasher(map),
            dialogs: Map::with_hasher(map),
            sessions: Map::with_hasher(map),
            bridges: Map::with_hasher(map),
            lines: Lines::default(),
            requests: Map::with_hasher(map),
            subscriptions: Subscriptions::new(map),
            tickets: Map::with_hasher(map),
            timers: Timers::default(),
            patient: crate::patient::Patient::default(),
            watches: std::collections::BTreeSet::new(),
            session_expires: crate::leg_watch::INTERVAL,
            ladder: Ladder::new(config.ladder_memory),
            out: Outputs::default(),
            queue: VecDeque::new(),
            draft: Vec::new(),
            counters: std::collections::BTreeMap::new(),
            ports: media::Ports::new(config.media_ports.clone(), share, rng.fork()),
            ports_taken: std::collections::BTreeMap::new(),
            shared: crate::shared::Shared::default(),
            nonces: Nonces::new(keys.nonces, &mut rng),
            guard: Guard::new(rng.hash_key()),
            suspects: Suspects::new(map),
            turned_away: TurnedAway::new(map),
            flight: Flight::new(),
            after: None,
            log_failed: false,
            log_paused: false,
            reading: BTreeSet::new(),
            undo: VecDeque::new(),
            draining: false,
            crowded: false,
            room_names: Vec::new(),
            next_mark: 0,
            next_ticket: 0,
            rng,
            config,
        }
    }

    pub(crate) fn count(&mut self, name: &'static str) {
        *self.counters.entry(name).or_default() += 1;
    }

    /// Counts what a stranger tried in vain, and has it logged, at most once a second for each source.
    pub(crate) fn suspect(&mut self, flow: Flow, what: &'static str) {
        self.count(what);
        if let Some(times) = self.suspects.line(flow, self.clock.now) {
            self.out.list.push(Output::Suspect { flow, what, times });
        }
    }

    pub(crate) fn ticket(&mut self, room: usize) -> Ticket {
        self.next_ticket += 1;
        let ticket = Ticket(self.next_ticket);
        self.tickets.insert(ticket, room);
        ticket
    }

    pub(crate) fn mark(&mut self) -> Mark {
        self.next_mark += 1;
        Mark(self.next_mark)
    }

    pub(crate) fn home(&self, user: &str) -> Slot {
        self.keys.slot(user.as_bytes())
    }

    /// Whether this shard hosts a slot.
    pub(crate) fn hosts(&self, slot: Slot) -> bool {
        slot.shard(self.config.shards) == self.config.index
    }

    /// Sends mail to the shard of a slot; to this one by the queue.
    pub(crate) fn mail(&mut self, slot: Slot, mail: Mail) {
        let shard = slot.shard(self.config.shards);
        if shard == self.config.index {
            self.deliver(mail);
        } else {
            self.out.list.push(Output::Mail { shard, mail, after: self.after });
        }
    }

    /// Takes mail that is for this shard.
    pub(crate) fn deliver(&mut self, mail: Mail) {
        match mail {
            Mail::Api(_) => (), // The shell routes these.
            Mail::Arrived { session, user, binding } => {
                self.queue
                    .push_back(Work::Event { session, event: Event::Arrived { user, binding } });
            }
            Mail::Command { leg, from, command } => self.leg_command(leg, from, command),
            Mail::Event { session, leg, event } => {
                self.queue.push_back(Work::Event { session, event: Event::Leg(leg, event) });
            }
            Mail::Find { call_id, local, remote, session, ticket } => {
                let found = self.find_dialog(&call_id, &local, &remote);
                self.mail(session.slot(), Mail::Found { ticket, session, found });
            }
            Mail::Found { ticket, found, .. } => self.reply(ticket, Reply::Found(found)),
            Mail::Ladder { call, line } => {
                self.ladder.add(call, &line);
            }
            Mail::Locate { user, session, ticket, until } => {
                let located = self.directory.locate(&user, self.clock.unix);
                if until > self.clock.unix {
                    self.directory.watch(&user, session, until);
                }
                self.mail(session.slot(), Mail::Located { ticket, session, located });
            }
            Mail::Located { ticket, located, .. } => self.reply(ticket, Reply::Located(located)),
            Mail::Notice(notice) => self.queue.push_back(Work::Notice(notice)),
            Mail::Open { session, key, why } => {
                self.queue.push_back(Work::Open { session, key, why });
            }
            Mail::Release { line, session } => self.line_release(&line, session),
            Mail::Seize { line, session, allowance, ticket } => {
                self.line_seize(line, session, allowance, ticket);
            }
            Mail::Seized { ticket, granted, .. } => self.reply(ticket, Reply::Seized(granted)),
            Mail::Unwatch { user, session } => self.directory.unwatch(&user, session),
        }
    }

    pub(crate) fn reply(&mut self, ticket: Ticket, reply: Reply) {
        if let Some(room) = self.tickets.remove(&ticket) {
            self.queue.push_back(Work::Reply { room, ticket, reply });
        }
    }

    /// Tells the owner of a leg, wherever it lives.
    pub(crate) fn tell(&mut self, session: SessionId, leg: LegId, event: LegEvent) {
        self.mail(session.slot(), Mail::Event { session, leg, event });
    }

    pub(crate) fn note(&mut self, call: CallId, lane: Lane, flow: Option<Flow>, text: &[u8]) {
        if self.hosts(call.slot()) {
            self.ladder.note(call, self.clock.unix, lane, flow, text);
        } else {
            let size = u32::try_from(text.len()).unwrap_or(u32::MAX);
            let text = text.get(..LINE_MAX).unwrap_or(text).to_vec();
            let line = Line { time: self.clock.unix, lane, flow, size, text };
            self.mail(call.slot(), Mail::Ladder { call, line });
        }
    }

    /// Room to write an answer in: that of the one before.
    pub(crate) fn draft(&mut self) -> Vec<u8> {
        let mut draft = std::mem::take(&mut self.draft);
        draft.clear();
        draft.shrink_to(DRAFT_KEPT);
        draft
    }

    /// Gives the room of a [`draft`](Self::draft) back, where [`respond`](Self::respond) does not.
    pub(crate) fn keep_draft(&mut self, draft: Vec<u8>) {
        self.draft = draft;
    }

    /// Puts a message into the arena and asks the shell to send it.
    pub(crate) fn send(&mut self, flow: Flow, bytes: &[u8], after: Option<Mark>) {
        let start = self.out.arena.len();
        self.out.arena.extend_from_slice(bytes);
        let range = start..self.out.arena.len();
        self.out.list.push(Output::Send { flow, range, after });
    }

    /// The host and port that name the listener of a flow.
    pub(crate) fn sent_by(&self, flow: Flow) -> &str {
        let listener = self
            .config
            .listeners
            .get(usize::from(flow.listener))
            .filter(|listener| listener.transport == flow.transport)
            .or_else(|| {
                self.config.listeners.iter().find(|listener| listener.transport == flow.transport)
            })
            .or(self.config.listeners.first());
        listener.map_or(self.config.domain.as_str(), |listener| &listener.sent_by)
    }

    /// Our Contact on a flow, with its brackets.
    pub(crate) fn contact(&self, flow: Flow) -> String {
        let transport = match flow.transport {
            Transport::Udp => return format!("<sip:{}>", self.sent_by(flow)),
            // A URI knows one word for WebSocket, by TLS or not (RFC 7118 §5.2).
            Transport::Wss => Transport::Ws,
            other @ (Transport::Tcp | Transport::Tls | Transport::Ws) => other,
        };
        format!("<sip:{};transport={}>", self.sent_by(flow), transport.param())
    }

    /// Our Via on a flow, for the client transaction that will have this id.
    pub(crate) fn via(&self, flow: Flow, slot: Slot, id: u64) -> Vec<u8> {
        let mut via = Vec::with_capacity(80);
        via.extend_from_slice(b"SIP/2.0/");
        via.extend_from_slice(flow.transport.via().as_bytes());
        via.push(b' ');
        via.extend_from_slice(self.sent_by(flow).as_bytes());
        via.extend_from_slice(b";branch=");
        via.extend_from_slice(&Branch::new(slot, id).0);
        via.extend_from_slice(b";rport");
        if flow.transport == Transport::Tls && flow.is_to_be_dialled() {
            // Who knows us by our certificate may call us by the same connection (RFC 5923 §8.1).
            via.extend_from_slice(b";alias");
        }
        via
    }

    /// A use number for a new transaction. Part of our branch, so it must not be guessed.
    pub(crate) fn use_number(&mut self) -> u32 {
        self.rng.next_u64() as u32
    }

    /// Starts a client transaction; `write` gets the Via.
    pub(crate) fn request(
        &mut self,
        flow: Flow,
        slot: Slot,
        leg: Option<LegId>,
        invite: bool,
        write: impl FnOnce(&[u8]) -> Vec<u8>,
    ) -> u64 {
        let asker = leg.map_or(Asker::Nobody, Asker::Leg);
        self.start_client(flow, slot, asker, invite, write)
    }

    /// Starts a client transaction that is not an INVITE and belongs to no leg.
    pub(crate) fn start_request(
        &mut self,
        flow: Flow,
        slot: Slot,
        asker: Asker,
        write: impl FnOnce(&[u8]) -> Vec<u8>,
    ) {
        self.start_client(flow, slot, asker, false, write);
    }

    fn start_client(
        &mut self,
        flow: Flow,
        slot: Slot,
        asker: Asker,
        invite: bool,
        write: impl FnOnce(&[u8]) -> Vec<u8>,
    ) -> u64 {
        let use_number = self.use_number();
        let id = self.transactions.clients.reserve(use_number);
        let bytes = write(&self.via(flow, slot, id));
        let (flow, bytes, fallback) = self.fitted(flow, slot, id, bytes);
        let (reliable, timers, now) =
            (flow.transport.reliable(), self.config.timers, self.clock.now);
        let machine = if invite {
            ClientMachine::Invite(ClientInvite::start(bytes, reliable, timers, now))
        } else {
            ClientMachine::Other(Client::start(bytes, reliable, timers, now))
        };
        let call = self.call_of(asker);
        self.transactions.clients.insert(
            use_number,
            ClientEntry { machine, flow, fallback, asker, call, armed: None, strays: Vec::new() },
        );
        self.drive_client(id, None);
        id
    }

    /// Does what a client transaction wants done. `message`: the response at hand.
    pub(crate) fn drive_client(&mut self, id: u64, message: Option<&Message<'_>>) {
        loop {
            let Some(entry) = self.transactions.clients.get_mut(id) else { return };
            let (asker, flow) = (entry.asker, entry.flow);
            let action = match &mut entry.machine {
                ClientMachine::Invite(machine) => machine.poll(),
                ClientMachine::Other(machine) => machine.poll().map(same_action),
            };
            let Some(action) = action else { break };
            match action {
                client_invite::Action::Deliver => {
                    if let Some(message) = message {
                        self.response_came(asker, id, flow, message);
                    }
                }
                client_invite::Action::Failed => self.unanswered(asker, id, 503),
                client_invite::Action::SendAck => self.ack_failure(id, message),
                client_invite::Action::Terminated => {
                    self.transactions.clients.remove(id);
                    return;
                }
                client_invite::Action::TimedOut => self.unanswered(asker, id, 408),
                client_invite::Action::Transmit => {
                    let Some(entry) = self.transactions.clients.get(id) else { return };
                    let (bytes, call) = (entry.machine.message(), entry.call);
                    let start = self.out.arena.len();
                    self.out.arena.extend_from_slice(bytes);
                    self.sent(flow, start, call, self.after);
                }
            }
        }
        let Some(entry) = self.transactions.clients.get_mut(id) else { return };
        if let Some(at) = entry.machine.deadline()
            && entry.armed.is_none_or(|armed| at < armed)
        {
            entry.armed = Some(at);
            self.timers.push(at, Reason::Client(id));
        }
    }

    fn response_came(&mut self, asker: Asker, id: u64, flow: Flow, message: &Message<'_>) {
        match asker {
            Asker::Leg(leg) => self.leg_response_came(leg, id, message),
            Asker::Nobody => (),
            Asker::Room(ticket) => self.room_response(ticket, flow, message),
            Asker::Subscription(session) => self.notify_answered(session, message),
        }
    }

    /// No final answer came (408), or the request could not be sent (503).
    fn unanswered(&mut self, asker: Asker, id: u64, status: u16) {
        match asker {
            Asker::Leg(leg) => self.leg_unanswered(leg, id, status),
            Asker::Nobody => (),
            Asker::Room(ticket) => self.room_unanswered(ticket, status),
            Asker::Subscription(session) => self.notify_failed(session, status),
        }
    }

    /// The call in whose ladder a request of ours stands.
    pub(crate) fn call_of(&self, asker: Asker) -> Option<CallId> {
        match asker {
            Asker::Leg(leg) => self.legs.get(&leg).map(|leg| leg.call),
            Asker::Nobody | Asker::Subscription(_) => None,
            Asker::Room(ticket) => self.requests.get(&ticket).and_then(|one| one.call),
        }
    }

    /// Lists what was put into the arena from `start` on, and notes it in the ladder of its call.
    fn sent(&mut self, flow: Flow, start: usize, call: Option<CallId>, after: Option<Mark>) {
        let range = start..self.out.arena.len();
        self.out.list.push(Output::Send { flow, range: range.clone(), after });
        let Some(call) = call else { return };
        if self.hosts(call.slot()) {
            let bytes = self.out.arena.get(range).unwrap_or_default();
            self.ladder.note(call, self.clock.unix, Lane::SipOut, Some(flow), bytes);
        } else {
            let bytes = self.out.arena.get(range).unwrap_or_default().to_vec();
            self.note(call, Lane::SipOut, Some(flow), &bytes);
        }
    }

    /// The ACK of a failure belongs to its transaction.
    fn ack_failure(&mut self, id: u64, response: Option<&Message<'_>>) {
        let Some(entry) = self.transactions.clients.get_mut(id) else { return };
        let ClientMachine::Invite(machine) = &mut entry.machine else { return };
        let invite = Message::decode(machine.message(), sip::Framing::Datagram);
        let mut ack = Vec::new();
        if let (Ok(invite), Some(response)) = (invite, response) {
            // What lacks a header gets an empty ACK, which is not sent.
            let _ = sip::transaction::ack_for(&invite, response, &mut ack);
        }
        machine.set_ack(ack);
    }

    /// Answers a request by its transaction.
    pub(crate) fn respond(&mut self, id: u64, status: u16, bytes: Vec<u8>) {
        // It is kept for half a minute: with what it takes, not with the room that it was written in.
        let message = bytes.as_slice().to_vec();
        self.draft = bytes;
        let (now, after) = (self.clock.now, self.after);
        let Some(entry) = self.transactions.servers.get_mut(id) else { return };
        if status >= 200 {
            entry.request = Head::default();
            entry.after = after;
        }
        match &mut entry.machine {
            ServerMachine::Invite(machine) => {
                machine.handle(server_invite::Event::Respond { status, message }, now);
            }
            ServerMachine::Other(machine) => {
                machine.handle(server::Event::Respond { status, message }, now);
            }
        }
        self.drive_server(id, None);
    }

    /// The success that was just sent to an INVITE, for who says it again: the transaction does not, and one copy is
    /// enough.
    pub(crate) fn just_answered(&mut self, id: u64) -> Vec<u8> {
        let machine = self.transactions.servers.get_mut(id).map(|entry| &mut entry.machine);
        let taken = match machine {
            Some(ServerMachine::Invite(machine)) => machine.take_message(),
            Some(ServerMachine::Other(_)) | None => None,
        };
        taken.unwrap_or_else(|| self.draft.clone())
    }

    /// Does what a server transaction wants done. `ack`: the ACK at hand.
    pub(crate) fn drive_server(&mut self, id: u64, ack: Option<&Message<'_>>) {
        if let Some(entry) = self.transactions.servers.get_mut(id) {
            entry.call = entry.call.or_else(|| Some(self.legs.get(&entry.leg?)?.call));
        }
        loop {
            let Some(entry) = self.transactions.servers.get_mut(id) else { return };
            let (leg, flow, after) = (entry.leg, entry.flow, entry.after);
            let action = match &mut entry.machine {
                ServerMachine::Invite(machine) => machine.poll(),
                ServerMachine::Other(machine) => machine.poll().map(same_server_action),
            };
            let Some(action) = action else { break };
            match action {
                server_invite::Action::Acked => {
                    if let (Some(leg), Some(ack)) = (leg, ack) {
                        self.leg_ack(leg, ack);
                    }
                }
                // Nobody waits for these: the leg has gone on by itself.
                server_invite::Action::Failed | server_invite::Action::TimedOut => (),
                server_invite::Action::Terminated => {
                    self.transactions.remove_server(id);
                    return;
                }
                server_invite::Action::Try => {
                    self.queue.push_back(Work::Trying { transaction: id });
                }
                server_invite::Action::Transmit => {
                    let Some(entry) = self.transactions.servers.get(id) else { return };
                    let bytes = match &entry.machine {
                        ServerMachine::Invite(machine) => machine.message(),
                        ServerMachine::Other(machine) => machine.message(),
                    };
                    let (start, call) = (self.out.arena.len(), entry.call);
                    self.out.arena.extend_from_slice(bytes);
                    self.sent(flow, start, call, after);
                }
            }
        }
        let Some(entry) = self.transactions.servers.get_mut(id) else { return };
        if let Some(at) = entry.machine.deadline()
            && entry.armed.is_none_or(|armed| at < armed)
        {
            entry.armed = Some(at);
            self.timers.push(at, Reason::Server(id));
        }
    }

    /// A deadline of a transaction came.
    pub(crate) fn transaction_timer(&mut self, reason: Reason) {
        let now = self.clock.now;
        match reason {
            Reason::Client(id) => {
                let Some(entry) = self.transactions.clients.get_mut(id) else { return };
                entry.armed = None;
                match &mut entry.machine {
                    ClientMachine::Invite(machine) => {
                        machine.handle(client_invite::Event::Deadline, now);
                    }
                    ClientMachine::Other(machine) => machine.handle(client::Event::Deadline, now),
                }
                self.drive_client(id, None);
            }
            Reason::Server(id) => {
                let Some(entry) = self.transactions.servers.get_mut(id) else { return };
                entry.armed = None;
                match &mut entry.machine {
                    ServerMachine::Invite(machine) => {
                        machine.handle(server_invite::Event::Deadline, now);
                    }
                    ServerMachine::Other(machine) => machine.handle(server::Event::Deadline, now),
                }
                self.drive_server(id, None);
            }
            Reason::Leg(_) | Reason::Patient | Reason::Room(_) => (),
            Reason::Subscription(_) | Reason::Sweep => (),
        }
    }

    /// What names a dialog: Call-ID and both tags.
    pub(crate) fn dialog_key(&self, call_id: &[u8], local: &[u8], remote: &[u8]) -> u64 {
        use std::hash::{BuildHasher, Hasher};
        let mut hasher = self.keys.slots.build_hasher();
        for part in [call_id, local, remote] {
            hasher.write(part);
            hasher.write_u8(0);
        }
        hasher.finish()
    }

    /// A Call-ID of ours: a UUID whose first octet names the slot.
    pub(crate) fn new_call_id(&mut self, slot: Slot) -> String {
        let mut octets = [0; 16];
        self.rng.fill(&mut octets);
        octets[0] = slot.0;
        octets[6] = octets[6] & 0x0f | 0x40;
        octets[8] = octets[8] & 0x3f | 0x80;
        let mut text = String::with_capacity(36);
        for (place, octet) in octets.iter().enumerate() {
            if matches!(place, 4 | 6 | 8 | 10) {
                text.push('-');
            }
            let mut digits = [0; 2];
            hex(&mut digits, u64::from(*octet));
            text.extend(digits.map(char::from));
        }
        text
    }

    pub(crate) fn tag(&mut self, slot: Slot) -> Tag {
        Tag::mint(slot, &mut self.rng)
    }
}

/// The actions of both client machines mean the same.
fn same_action(action: client::Action) -> client_invite::Action {
    match action {
        client::Action::Deliver => client_invite::Action::Deliver,
        client::Action::Failed => client_invite::Action::Failed,
        client::Action::Terminated => client_invite::Action::Terminated,
        client::Action::TimedOut => client_invite::Action::TimedOut,
        client::Action::Transmit => client_invite::Action::Transmit,
    }
}

fn same_server_action(action: server::Action) -> server_invite::Action {
    match action {
        server::Action::Failed => server_invite::Action::Failed,
        server::Action::Terminated => server_invite::Action::Terminated,
        server::Action::Transmit => server_invite::Action::Transmit,
    }
}
