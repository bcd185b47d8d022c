//! One loop: an input goes in, rooms speak, outputs come out.
//!
//! Picture     handle(input) --> receive --> offer | leg | transaction --> queue --> rooms --> queue … --> outputs
//! Rules       A handler runs to its end before the next one starts. A panic drops that room's instance on this
//!             shard and opens a new one: its saved sessions come back by `adopt`, the others end.
//! Limits      REOPENS_MAX; ROUNDS_MAX dispatches per input: rooms that keep talking to each other are a bug, and are cut off.
//! Not here    Sockets, disk, clocks.
//! Spec        none

mod api;

use std::panic::{AssertUnwindSafe, catch_unwind};

use sip::{Framing, Message, Method};
use types::{Instant, LegId, SessionId, tagged};

use crate::binding::decode_binding;
use crate::core::{Config, Core, SessionEntry, Work};
use crate::directory::Known;
use crate::effects::Effects;
use crate::flight::Crash;
use crate::input::{Clock, Input, Mail, Mark, Output, Outputs, Reply};
use crate::leg::{LegCommand, LegEvent};
use crate::leg_run::ALLOW;
use crate::notice::Notice;
use crate::receive::Admitted;
use crate::refusal::Refusal;
use crate::service::{Event, Service, Session};
use crate::store::{Durability, Entry, kinds};
use crate::timers::Reason;

/// Dispatches that one input may cause, beside those that its handling left in the queue.
pub const ROUNDS_MAX: usize = 10_000;
/// Instances of a room that may panic one after the other while they take over; the next gets no sessions.
pub const REOPENS_MAX: usize = 8;
/// Bindings that ended and failures of the past are looked for this often.
const SWEEP: types::Seconds = types::Seconds(5);

/// Makes the rooms of one shard, in corridor order. Called again for a room that panicked.
pub type Corridor = fn() -> Vec<Box<dyn Service>>;

/// A shard: see the head of this file.
pub struct Shard {
    core: Core,
    rooms: Vec<Option<Box<dyn Service>>>,
    open: Box<dyn FnMut() -> Vec<Box<dyn Service>> + Send>,
    /// Rooms whose new instance takes over just now.
    reopening: Vec<usize>,
    /// Rooms that panicked whenever they were opened again.
    given_up: Vec<usize>,
}

impl std::fmt::Debug for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Shard {}", self.core.config.index)
    }
}

impl Shard {
    /// A shard without any state. `open` makes its own copies of the rooms.
    pub fn new(config: Config, mut open: Box<dyn FnMut() -> Vec<Box<dyn Service>> + Send>) -> Self {
        let rooms: Vec<_> = open().into_iter().map(Some).collect();
        let mut core = Core::new(config);
        core.room_names = rooms.iter().flatten().map(|room| room.manifest().name).collect();
        Self { core, rooms, open, reopening: Vec::new(), given_up: Vec::new() }
    }

    /// Applies one input. Outputs gather in [`outputs`](Self::outputs) until they are cleared.
    pub fn handle(&mut self, input: Input<'_>, clock: Clock) {
        self.core.clock = clock;
        self.core.after = None;
        self.core.flight.note(&input, clock);
        match input {
            Input::Adopt(entry) => self.adopt(entry),
            Input::Api(request) => self.api(request),
            Input::Begin => self.begin(),
            Input::Crowded(crowded) => self.core.crowded = crowded,
            Input::Drain => self.core.draining = true,
            Input::FlowClosed { flow } => {
                let Self { core, rooms, .. } = self;
                crate::flows::closed(flow, &mut Effects { core, rooms, room: 0 });
            }
            Input::LogBack => self.core.log_paused = false,
            Input::LogFailed => self.log_failed(),
            Input::LogPaused { unsaved } => self.log_paused(unsaved),
            Input::Mail(Mail::Api(request)) => self.api(request),
            Input::Mail(mail) => self.core.deliver(mail),
            Input::Media(event) => self.media(event),
            Input::Message { flow, bytes } => self.message(flow, bytes),
            Input::Reply { ticket, reply } => {
                if let Some(reply) = self.core.patient_reply(ticket, reply) {
                    self.core.reply(ticket, reply);
                }
            }
            Input::Tick => self.tick(),
            Input::Undelivered { flow, bytes } => self.core.undelivered(flow, &bytes),
        }
        self.drain();
    }

    /// What is to be done, in order. The caller clears it.
    pub fn outputs(&mut self) -> &mut Outputs {
        &mut self.core.out
    }

    /// When to give `Input::Tick` next.
    pub fn deadline(&self) -> Option<Instant> {
        self.core.timers.deadline()
    }

    /// Counters by name.
    pub fn counters(&self) -> &std::collections::BTreeMap<&'static str, u64> {
        &self.core.counters
    }

    /// How much there is of everything, for metrics and limits.
    pub fn gauges(&self) -> [(&'static str, u64); 10] {
        let core = &self.core;
        let bindings: usize = core.directory.homes().map(|(_, bindings)| bindings.len()).sum();
        [
            ("bindings", bindings as u64),
            ("client_transactions", core.transactions.clients.len() as u64),
            ("legs", core.legs.len() as u64),
            ("ports_left", core.ports.left() as u64),
            ("requests", core.requests.len() as u64),
            ("server_transactions", core.transactions.servers.len() as u64),
            ("sessions", core.sessions.len() as u64),
            ("subscriptions", core.subscriptions.known.len() as u64),
            ("timers", core.timers.len() as u64),
            ("users", core.directory.count() as u64),
        ]
    }

    /// Every live entry of the keeper, for a snapshot.
    pub fn snapshot(&mut self) -> Vec<Entry> {
        let Self { core, rooms, .. } = self;
        let effects = Effects { core, rooms, room: 0 };
        let mut found = Vec::new();
        for (user, bindings) in effects.core.directory.homes() {
            found.extend(bindings.iter().map(|binding| effects.core.binding_entry(user, binding)));
        }
        let mut sessions: Vec<_> = effects.core.sessions.keys().copied().collect();
        sessions.sort_unstable();
        for session in sessions {
            if let Some(body) = effects.core.session_body(session) {
                let slot = session.slot();
                let kind = kinds::SESSION;
                found.push(Entry { slot, kind, key: session.0, body, last: false });
            }
        }
        let apart = effects.core.legs.values().filter(|leg| leg.apart).map(|leg| leg.id);
        let mut apart: Vec<_> = apart.collect();
        apart.sort_unstable();
        found.extend(apart.into_iter().filter_map(|leg| effects.core.leg_entry(leg)));
        found
    }

    fn message(&mut self, flow: types::Flow, bytes: &[u8]) {
        let message = match Message::decode(bytes, Framing::Datagram) {
            Ok(message) => message,
            Err(why) => {
                self.core.suspect(flow, "sip.nonsense");
                if let Some(broken) = Message::for_refusal(bytes) {
                    self.core.stateless(flow, &broken, why.status(), &[]);
                }
                return;
            }
        };
        let Some(admitted) = self.core.receive(flow, &message) else { return };
        match admitted {
            Admitted::Invite { session, leg, caller, target } => {
                let offer = Session::Invite {
                    session,
                    leg,
                    message: &message,
                    caller: &caller,
                    target: &target,
                };
                let entry = SessionEntry { legs: vec![leg], ..SessionEntry::new(usize::MAX, None) };
                self.core.sessions.insert(session, entry);
                if !self.offer(&offer, Some(session)) {
                    self.core.sessions.remove(&session);
                    let headers = Effects::refusal_headers(&Refusal::NobodyCares);
                    self.core.count("switchboard.nobody_cares");
                    self.core.leg_end(leg, 404, &headers);
                }
                self.core.leg_arm(leg);
            }
            Admitted::Request { request, caller, flow } => {
                let offer = Session::Request { request, message: &message, flow, caller: &caller };
                if self.offer(&offer, None) {
                    return;
                }
                if message.method() == Method::Options {
                    self.core.answer_options(request, &message);
                } else {
                    self.core.count("sip.method_not_allowed");
                    // RFC 3261 §8.2.1: one that nobody here has a name for is another thing than one out of place.
                    let unknown = matches!(message.method(), sip::Method::Other(_));
                    let status = if unknown { 501 } else { 405 };
                    self.core.answer_plainly(request, status, &[("Allow", ALLOW)]);
                }
            }
        }
    }

    /// Walks the corridor until a room takes the session.
    fn offer(&mut self, offer: &Session<'_>, session: Option<SessionId>) -> bool {
        for place in 0..self.rooms.len() {
            // The owner is noted before the door opens: events and saves in the same breath need it.
            if let Some(entry) = session.and_then(|id| self.core.sessions.get_mut(&id)) {
                entry.room = place;
            }
            if self.visit(place, session, |room, effects| room.offer(offer, effects)) == Some(true)
            {
                return true;
            }
            // A room that panicked over a session ended it: there is nothing left to offer.
            if session.is_some_and(|id| !self.core.sessions.contains_key(&id)) {
                return true;
            }
        }
        false
    }

    /// Runs one door of one room. A panic ends the room's instance, not the shard.
    fn visit<R>(
        &mut self,
        place: usize,
        session: Option<SessionId>,
        door: impl FnOnce(&mut dyn Service, &mut Effects<'_>) -> R,
    ) -> Option<R> {
        let mut room = self.rooms.get_mut(place)?.take()?;
        self.core.after = None;
        if let Some(session) = session {
            self.core.flight.touch(session);
        }
        let Self { core, rooms, .. } = self;
        let mut effects = Effects { core, rooms, room: place };
        let result = catch_unwind(AssertUnwindSafe(|| door(room.as_mut(), &mut effects)));
        match result {
            Ok(value) => {
                if let Some(home) = self.rooms.get_mut(place) {
                    *home = Some(room);
                }
                Some(value)
            }
            Err(why) => {
                self.reopen(place, session, &words(why.as_ref()));
                None
            }
        }
    }

    /// A room panicked: a new instance takes its saved sessions over, the others end.
    fn reopen(&mut self, place: usize, session: Option<SessionId>, why: &str) {
        self.core.count("switchboard.room_panicked");
        let room = self.core.room_names.get(place).copied().unwrap_or("");
        let report = self.report(room, session, why);
        let why = why.to_owned();
        self.core.out.list.push(Output::Crashed { room, session, why, report });
        // The room that it asked for attachments was out as well, and is gone with it.
        let gone: Vec<usize> =
            (0..self.rooms.len()).filter(|place| self.rooms[*place].is_none()).collect();
        for (home, fresh) in self.rooms.iter_mut().zip((self.open)()) {
            home.get_or_insert(fresh);
        }
        for place in gone {
            // One that panics while it takes over is tried again by who gave it its sessions.
            if !self.reopening.contains(&place) {
                self.reopening.push(place);
                self.take_over(place, session);
                self.reopening.pop();
            }
        }
    }

    /// What is known of a panic, for its file.
    fn report(&self, room: &str, session: Option<SessionId>, why: &str) -> Vec<u8> {
        let core = &self.core;
        let saved = session.and_then(|id| {
            let body = core.session_body(id)?;
            let by = core.sessions.get(&id)?.saved_by;
            let kind = kinds::SESSION;
            Some((Entry { slot: id.slot(), kind, key: id.0, body, last: false }, by))
        });
        let crash = Crash { room: room.to_owned(), session, why: why.to_owned(), missing: 0 };
        core.flight.report(core.config.index, crash, saved, core.clock)
    }

    /// A fresh instance of a room takes over what the old one had saved, but the session in which it happened: it would
    /// do it again. An instance that panics over that is replaced as well, at most `REOPENS_MAX` times: the last one
    /// gets nothing.
    fn take_over(&mut self, place: usize, session: Option<SessionId>) {
        let mut broken: Vec<SessionId> = session.into_iter().collect();
        let mut ports = Vec::new();
        for round in 0..=REOPENS_MAX {
            let taken = &mut self.core.ports_taken;
            ports.extend(taken.extract_if(.., |_, room| *room == place).map(|(port, _)| port));
            let mut own: Vec<_> =
                self.core.sessions.iter().filter(|(_, entry)| entry.room == place).collect();
            own.sort_unstable_by_key(|(id, _)| **id);
            let own: Vec<_> =
                own.into_iter().map(|(id, entry)| (*id, entry.saved.clone())).collect();
            if round == REOPENS_MAX {
                self.core.count("switchboard.room_given_up");
                own.into_iter().for_each(|(id, _)| self.end_broken(place, id));
                self.say_given_up(place, true);
                break;
            }
            match self.adopt_again(place, own, &broken) {
                Ok(()) => {
                    self.say_given_up(place, false);
                    break;
                }
                Err(culprit) => broken.extend(culprit),
            }
        }
        // What nobody claimed again belongs to nobody.
        ports.sort_unstable();
        ports.dedup();
        ports.retain(|port| !self.core.ports_taken.contains_key(port));
        let Self { core, rooms, .. } = self;
        Effects { core, rooms, room: place }.give_back(&ports);
    }

    /// One try of an instance. Errors: it panicked, over this session if it was one.
    fn adopt_again(
        &mut self,
        place: usize,
        own: Vec<(SessionId, Option<Vec<u8>>)>,
        broken: &[SessionId],
    ) -> Result<(), Option<SessionId>> {
        let restarted = |room: &mut dyn Service, effects: &mut Effects<'_>| {
            room.on_notice(&Notice::Restarted, effects);
        };
        self.visit(place, None, restarted).ok_or(None)?;
        for (id, saved) in own {
            match saved {
                Some(state) if !broken.contains(&id) => {
                    self.visit(place, Some(id), |room, effects| room.adopt(id, &state, effects))
                        .ok_or(Some(id))?;
                }
                Some(_) | None => self.end_broken(place, id),
            }
        }
        Ok(())
    }

    /// Ends a session that its room cannot have back.
    fn end_broken(&mut self, place: usize, session: SessionId) {
        let Self { core, rooms, .. } = self;
        let bridges = core.bridges.iter().filter(|(_, owner)| **owner == session);
        let mut bridges: Vec<_> = bridges.map(|(bridge, _)| *bridge).collect();
        bridges.sort_unstable();
        let mut effects = Effects { core, rooms, room: place };
        for bridge in bridges {
            effects.media(media::Command::Close { bridge });
        }
        effects.end(session, None);
    }

    /// Says whether a room goes on although it could not be opened as it should.
    fn say_given_up(&mut self, place: usize, given_up: bool) {
        if given_up == self.given_up.contains(&place) {
            return;
        }
        if given_up {
            self.given_up.push(place);
        } else {
            self.given_up.retain(|known| *known != place);
        }
        let name = self.core.name_of(place);
        let why = "this room panics whenever it is opened: see the files under `crashes`";
        self.core.out.list.push(Output::Part { name, fault: given_up.then_some(why) });
    }

    /// Lets rooms hear what waits for them, until nothing does.
    fn drain(&mut self) {
        // What waits already is no talk without end: a sweep may end a hundred thousand bindings.
        let most = ROUNDS_MAX + self.core.queue.len().saturating_mul(4);
        for _ in 0..most {
            let Some(work) = self.core.queue.pop_front() else { return };
            self.core.after = None;
            self.dispatch(work);
        }
        self.core.count("switchboard.rounds_cut_off");
        self.core.queue.clear();
    }

    fn dispatch(&mut self, work: Work) {
        match work {
            Work::Event { session, event } => {
                let Some(place) = self.core.sessions.get(&session).map(|entry| entry.room) else {
                    self.orphan(session, &event);
                    return;
                };
                let gone = matches!(
                    event,
                    Event::Subscription(crate::subscription::SubscriptionEvent::Failed { .. })
                );
                self.visit(place, Some(session), |room, effects| {
                    room.on_event(session, event, effects);
                });
                if gone {
                    self.core.forget_subscription(session);
                }
            }
            Work::Notice(notice) => {
                for place in 0..self.rooms.len() {
                    self.visit(place, None, |room, effects| room.on_notice(&notice, effects));
                }
            }
            Work::Open { session, key, why } => {
                // It may be open already: all who open one key meet there.
                if self.core.sessions.contains_key(&session) {
                    return;
                }
                let entry = SessionEntry::new(usize::MAX, None);
                self.core.sessions.insert(session, entry);
                let offer = Session::Opened { session, key: &key, why: &why };
                if !self.offer(&offer, Some(session)) {
                    self.core.sessions.remove(&session);
                }
            }
            Work::Reply { room, ticket, reply } => {
                self.visit(room, None, |room, effects| room.on_reply(ticket, reply, effects));
            }
            Work::Trying { transaction } => self.trying(transaction),
        }
    }

    /// Who hears 100 does not say his INVITE again, so from then on his call must outlive the process: it is kept as
    /// one that rings is, and ends with a final answer after a restart.
    fn trying(&mut self, transaction: u64) {
        if let Some(session) = self.core.unkept(transaction) {
            let place = self.core.sessions.get(&session).map_or(usize::MAX, |entry| entry.room);
            self.visit(place, Some(session), |room, effects| {
                if let Some(state) = room.save(session) {
                    effects.save(session, state, Durability::Written);
                }
            });
        }
        self.core.trying(transaction);
    }

    /// An event for a session that is over: its leg ends too, or it would live for ever.
    fn orphan(&mut self, session: SessionId, event: &Event) {
        let Event::Leg(leg, event) = event else { return };
        match event {
            LegEvent::Cancelled
            | LegEvent::Declined { .. }
            | LegEvent::Ended { .. }
            | LegEvent::Failed { .. }
            | LegEvent::Handed { .. }
            | LegEvent::Reason { .. }
            | LegEvent::Response(_) => (),
            // The giver still owns it, and shall not wait.
            LegEvent::Offered { version, .. } => {
                let command = LegCommand::Decline { version: *version };
                let mail = Mail::Command { leg: *leg, from: session, command };
                self.core.mail(leg.slot(), mail);
            }
            LegEvent::Answered { .. }
            | LegEvent::Changed { .. }
            | LegEvent::ChangeAnswered { .. }
            | LegEvent::Confirmed { .. }
            | LegEvent::Provisional { .. }
            | LegEvent::Request { .. }
            | LegEvent::Restored => {
                self.core.count("switchboard.orphan_ended");
                let command = LegCommand::End { status: 500, headers: Vec::new() };
                let mail = Mail::Command { leg: *leg, from: session, command };
                self.core.mail(leg.slot(), mail);
            }
        }
    }

    fn tick(&mut self) {
        let now = self.core.clock.now;
        // At most what is due now; what a handler sets for now comes with the next tick.
        let mut due = Vec::new();
        while let Some(reason) = self.core.timers.pop(now) {
            due.push(reason);
        }
        for reason in due {
            match reason {
                Reason::Client(_) | Reason::Server(_) => self.core.transaction_timer(reason),
                Reason::Leg(leg) => self.core.leg_timer(leg),
                Reason::Room(ticket) => {
                    if let Some(place) = self.core.tickets.remove(&ticket) {
                        self.visit(place, None, |room, effects| room.on_timer(ticket, effects));
                    }
                }
                Reason::Subscription(session) => self.core.subscription_timer(session),
                Reason::Patient => self.core.patient_timer(),
                Reason::Sweep => self.sweep(),
            }
            self.drain();
        }
    }

    fn sweep(&mut self) {
        let (now, unix) = (self.core.clock.now, self.core.clock.unix);
        self.core.guard.sweep(now);
        self.core.suspects.sweep(now);
        self.core.watch_due();
        let mut over: Vec<(String, Known)> = Vec::new();
        for (user, bindings) in self.core.directory.homes() {
            let ended = bindings.iter().filter(|binding| binding.until <= unix);
            over.extend(ended.map(|binding| (user.clone(), binding.clone())));
        }
        over.sort_by(|a, b| {
            (&a.0, &a.1.contact, a.1.reg_id).cmp(&(&b.0, &b.1.contact, b.1.reg_id))
        });
        let Self { core, rooms, .. } = self;
        let mut effects = Effects { core, rooms, room: 0 };
        for (user, binding) in over {
            effects.unbind(&user, &binding, "expired");
        }
        self.core.timers.push(now + SWEEP, Reason::Sweep);
    }

    fn media(&mut self, event: media::Event) {
        if let Some(session) = self.core.bridges.get(&event.bridge()).copied() {
            let event = Event::Media(event);
            self.core.queue.push_back(Work::Event { session, event });
        }
    }

    /// Nothing may be acknowledged any more: calls in set-up end with 503, running ones go on.
    fn log_failed(&mut self) {
        self.core.log_failed = true;
        self.core
            .out
            .list
            .push(Output::Part { name: "keeper", fault: Some("the log cannot be written") });
        let waiting: Vec<LegId> = {
            let mut found: Vec<_> = self
                .core
                .legs
                .values()
                .filter(|leg| matches!(leg.phase, crate::leg::Phase::Incoming { .. }))
                .map(|leg| leg.id)
                .collect();
            found.sort_unstable();
            found
        };
        for leg in waiting {
            let owner = self.core.legs.get(&leg).map(|leg| leg.owner);
            self.core.leg_end(leg, 503, &[("Retry-After".into(), "30".into())]);
            if let Some(owner) = owner {
                self.core.tell(owner, leg, LegEvent::Ended { why: "log failed".into() });
            }
        }
    }

    /// New work is refused. Bindings whose saves were not written are as they were before, as nobody was told of the
    /// change; the log hears of that behind them.
    fn log_paused(&mut self, unsaved: Option<Mark>) {
        self.core.log_paused = true;
        let Some(first) = unsaved else { return };
        let mut undone = std::mem::take(&mut self.core.undo);
        undone.retain(|undo| undo.mark >= first);
        let Self { core, rooms, .. } = self;
        let mut effects = Effects { core, rooms, room: 0 };
        for undo in undone.into_iter().rev() {
            effects.count("switchboard.binding_undone");
            match undo.before {
                Some(before) => effects.bind(&undo.user, before),
                None => effects.unbind(&undo.user, &undo.binding, "not kept"),
            }
        }
        // They stand behind what they take back.
        self.core.undo.clear();
    }

    fn adopt(&mut self, entry: Entry) {
        match entry.kind {
            kinds::SESSION if entry.last => self.core.part_again(&entry.body),
            _ if entry.last => (),
            kinds::BINDING => {
                if let Some((user, mut binding)) = decode_binding(&entry.body) {
                    if binding.flow.transport == types::Transport::Tcp {
                        binding.flow.connection = 0;
                    }
                    self.core.directory.bind(&user, binding.into());
                }
            }
            kinds::LEG => self.core.restore_leg(&entry.body),
            kinds::SESSION => self.adopt_session(SessionId(entry.key), &entry.body),
            _ => self.core.count("switchboard.unknown_entry"),
        }
    }

    fn adopt_session(&mut self, session: SessionId, body: &[u8]) {
        let (mut name, mut state) = ("", Vec::new());
        let mut legs = Vec::new();
        let mut subscription = None;
        for (tag, field) in tagged::Reader::new(body) {
            match tag {
                1 => name = field.text().unwrap_or(""),
                2 => state = field.0.to_vec(),
                3 => legs.push(field.0),
                4 => subscription = Some(field.0),
                _ => (),
            }
        }
        let Some(place) = self.core.room_names.iter().position(|known| *known == name) else {
            self.core.count("switchboard.unknown_room");
            return;
        };
        let saved = Some(state.clone());
        let entry = SessionEntry::new(place, saved);
        self.core.sessions.insert(session, entry);
        for leg in legs {
            self.core.restore_leg(leg);
        }
        if let Some(bytes) = subscription {
            self.core.restore_subscription(session, bytes);
        }
        self.visit(place, None, |room, effects| room.adopt(session, &state, effects));
    }

    fn begin(&mut self) {
        let now = self.core.clock.now;
        self.core.timers.push(now + SWEEP, Reason::Sweep);
        let mut apart: Vec<_> = self
            .core
            .legs
            .values()
            .filter(|leg| leg.apart)
            .map(|leg| (leg.id, leg.owner))
            .collect();
        apart.sort_unstable();
        for (leg, owner) in apart {
            self.core.tell(owner, leg, LegEvent::Restored);
        }
        self.core.queue.push_back(Work::Notice(Notice::Started));
    }
}

fn words(why: &(dyn std::any::Any + Send)) -> String {
    why.downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| why.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without words".to_owned())
}

impl Reply {
    /// What a push came to, when this is about one.
    pub fn push(&self) -> Option<&pns::Outcome> {
        if let Self::Push(outcome) = self { Some(outcome) } else { None }
    }
}
