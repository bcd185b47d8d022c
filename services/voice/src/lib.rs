//! Call programs: an app says by HTTP what happens to a call.
//!
//! Picture     INVITE to a number with `voice_url` --> program --acts--> webhooks, sound, recordings, a second leg
//!             answers, keys, ends of sounds --events--> program;  BYE --> status callback, record
//! Rules       The caller's leg is answered by us and sits alone at a stream; whoever is dialled sits down beside it. What
//!             an app is asked leaves after what we know was written down, so that a call goes on after a restart: with
//!             the verb that ran, its keys and its cookies. Each question and its answer stand in the ladder.
//! Limits      `voice.calls_max`; those of `program`, `hook`, `cookies`.
//! Not here    Reading documents (proto/twiml), sending questions and guarding where they go (shell), making sound
//!             (shell/sound), mixing it (media), reaching users (switchboard::hunt).
//! Spec        programmable-voice §1 to §5
#![deny(clippy::wildcard_enum_match_arm)]

mod act;
pub mod address;
mod api;
mod aside;
mod beep;
mod call;
mod conference;
mod config;
pub mod cookies;
mod dial;
mod events;
mod hall;
pub mod hook;
mod listen;
mod machine;
mod meeting;
pub mod program;
mod queue;
pub mod reel;
mod refer;
mod refusal;
pub mod rest;
pub mod sign;
mod siprec;
pub mod socket;
pub mod store;
pub mod stream;
mod told;
mod word;

use media::StreamKey;
use serde_json::json;
use sip::Message;
use switchboard::hunt::Hunt;
use switchboard::ladder::Lane;
use switchboard::leg::LegCommand;
use switchboard::notice::{CallFacts, Notice};
use switchboard::ring::Outcome;
use switchboard::route::{self, Origin};
use switchboard::seat::Seat;
use switchboard::store::Durability;
use switchboard::{Caller, Effects, Event, Manifest, Reply, Service, Session, Ticket};
use types::{BridgeId, CallId, LegId, Map, Refuse, SessionId};

use call::{Call, Hooks, Kept, Playing};
use conference::Conference;
pub use config::{Config, Connector};
use cookies::Jar;
use dial::{Dialling, Way};
use listen::Reading;
use program::{Ask, Program};
use queue::Queue;
pub use refusal::{REFUSALS, Refusal};
use told::Late;
pub use told::QUEUE_MAX;
use told::Teller;

/// This room.
#[derive(Debug)]
pub struct Room {
    config: Config,
    calls: Map<SessionId, Box<Call>>,
    conferences: Map<SessionId, Box<Conference>>,
    queues: Map<SessionId, Box<Queue>>,
    tickets: Map<Ticket, SessionId>,
    /// Bridges of calls that are over, at which somebody sits who was fetched out of a queue.
    lingering: Map<SessionId, BridgeId>,
    /// Calls that go on after a restart when all that they may need is here again.
    returning: Map<Ticket, SessionId>,
    /// Recordings that end after their calls, whose they were.
    late: Map<Ticket, SessionId>,
    /// What apps are told, by call.
    tellers: Map<SessionId, Box<Teller>>,
    telling: Map<Ticket, SessionId>,
    /// Calls of which something is told as soon as all has come back after a restart.
    soon: Map<Ticket, SessionId>,
    adopting: bool,
    /// Calls that push somebody, by the Call-ID of the push.
    replies: Map<String, SessionId>,
    /// What apps ask of the API.
    pub(crate) rest: rest::Rest,
    /// Recordings whose words are being found.
    readings: Map<Ticket, Box<Reading>>,
}

static MANIFEST: Manifest = Manifest {
    name: "voice",
    purpose: "Call programs: apps that say by HTTP what happens to a call.",
    settings: Config::REFERENCE,
    migrations: store::MIGRATIONS,
    tables: store::TABLES,
    endpoints: api::ENDPOINTS,
    shares: api::SHARES,
    refusals: REFUSALS,
    project: Some(store::project),
    reword: Some(rest::say::reword),
};

impl Room {
    /// A room without calls.
    pub fn new(config: Config) -> Self {
        let key = types::HashKey::default();
        Self {
            config,
            calls: Map::with_hasher(key),
            conferences: Map::with_hasher(key),
            queues: Map::with_hasher(key),
            tickets: Map::with_hasher(key),
            lingering: Map::with_hasher(key),
            returning: Map::with_hasher(key),
            late: Map::with_hasher(key),
            tellers: Map::with_hasher(key),
            telling: Map::with_hasher(key),
            soon: Map::with_hasher(key),
            adopting: false,
            replies: Map::with_hasher(key),
            rest: rest::Rest::default(),
            readings: Map::with_hasher(key),
        }
    }
}

impl Service for Room {
    fn manifest(&self) -> &'static Manifest {
        &MANIFEST
    }

    fn offer(&mut self, session: &Session<'_>, effects: &mut Effects<'_>) -> bool {
        match session {
            Session::Api(request) => self.api(request, effects),
            Session::Invite { session, leg, message, caller, target } => {
                let Some(number) = program_of(caller, target, effects) else { return false };
                let began = self.begin((*session, *leg), message, caller, &number, effects);
                if let Err(refusal) = began {
                    refuse(*session, *leg, refusal, effects);
                }
                true
            }
            Session::Opened { session, key, why } => self.opened(*session, (key, why), effects),
            Session::Request { .. } => false,
        }
    }

    fn on_event(&mut self, session: SessionId, event: Event, effects: &mut Effects<'_>) {
        match event {
            Event::Arrived { user, binding } => {
                self.hunting(session, effects, |hunt, effects| {
                    hunt.arrived(&user, &binding, effects)
                });
            }
            Event::Leg(leg, event) => self.leg(session, leg, event, effects),
            Event::Media(event) if self.conferences.contains_key(&session) => {
                self.confer(session, effects, |conference, effects| {
                    conference.heard(event, effects)
                });
            }
            Event::Media(event) => self.media(session, &event, effects),
            Event::Subscription(_) => (), // This room has none.
        }
        self.tell_recorders(session, effects);
    }

    fn on_notice(&mut self, notice: &Notice, effects: &mut Effects<'_>) {
        if let Notice::RoutingChanged(change) = notice {
            self.number_changed(change, effects);
        }
        if let Notice::WakeEnded { session, prid, accepted, why } = notice {
            self.hunting(*session, effects, |hunt, effects| {
                hunt.wake_ended(prid, *accepted, why, effects)
            });
        } else if let Notice::Told { session, from, words } = notice {
            self.said(*session, (*from, words), effects);
        }
    }

    fn on_reply(&mut self, ticket: Ticket, reply: Reply, effects: &mut Effects<'_>) {
        if let Some(call) = self.telling.remove(&ticket) {
            if let Reply::Fetched(fetched) = reply {
                self.told(call, fetched.map(|fetched| *fetched), effects);
            }
            return;
        }
        if let Some(reading) = self.readings.remove(&ticket) {
            if let Reply::Heard(hearing) = reply {
                self.read(*reading, hearing, effects);
            }
            return;
        }
        if let Some(call) = self.late.remove(&ticket) {
            if let Reply::Recorded(recorded) = reply {
                self.late_recorded(call, ticket, recorded, effects);
            }
            return;
        }
        let Some(reply) = self.rest_reply(ticket, reply, effects) else { return };
        let Some(session) = self.tickets.remove(&ticket) else { return };
        let Some(reply) = self.conference_reply(session, (ticket, reply), effects) else { return };
        if let Reply::Located(located) = reply {
            self.hunting(session, effects, |hunt, effects| {
                hunt.located(ticket, located.clone(), effects)
            });
        } else if let Reply::Seized(granted) = reply {
            self.hunting(session, effects, |hunt, effects| hunt.seized(ticket, granted, effects));
        } else if let Reply::Resolved(found) = reply {
            if self.recorder_resolved(session, (ticket, &found), effects) {
                return;
            }
            self.ringing(session, effects, |way, effects| match way {
                Way::Hunt(_) => Outcome::Pending,
                Way::Outside(outside) => outside.resolved(ticket, &found, effects),
            });
        } else if let Reply::Fetched(fetched) = reply {
            self.fetched(session, ticket, fetched.map(|fetched| *fetched), effects);
        } else if let Reply::Clip(made) = reply {
            self.clip_made(session, ticket, made, effects);
        } else if let Reply::Recorded(recorded) = reply {
            self.recorded(session, ticket, recorded, effects);
        } else if let Reply::Heard(hearing) = reply {
            self.heard(session, (ticket, hearing), effects);
        } else if matches!(reply, Reply::StreamBegan(_) | Reply::StreamEnded(_)) {
            self.streamed(session, (ticket, &reply), effects);
        }
        self.tell_recorders(session, effects);
    }

    fn on_timer(&mut self, ticket: Ticket, effects: &mut Effects<'_>) {
        if self.number_late(ticket, effects) || self.looks_again(ticket, effects) {
            return;
        }
        if let Some(call) = self.soon.remove(&ticket) {
            return self.tell_next(call, effects);
        }
        let Some(session) = self.tickets.remove(&ticket) else { return };
        if self.calls.get(&session).is_some_and(|call| call.limit == Some(ticket)) {
            return self.finish(session, (480, "failed", "server"), effects);
        }
        if self.hall_timer(session, ticket, effects)
            || self.recorder_timer(session, ticket, effects)
        {
            return;
        }
        let woke = self.calls.get_mut(&session).is_some_and(|call| {
            let due = call.timer.is_some_and(|(_, timer)| timer == ticket);
            if due {
                call.timer = None;
            }
            due
        });
        if woke {
            self.drive(session, program::Event::Woke, effects);
        } else if !self.greeting_woke(session, ticket, effects) {
            self.hunting(session, effects, |hunt, effects| hunt.timer(ticket, effects));
            self.ringing(session, effects, |way, effects| match way {
                Way::Hunt(_) => Outcome::Pending,
                Way::Outside(outside) => outside.timer(ticket, effects),
            });
        }
    }

    fn save(&self, session: SessionId) -> Option<Vec<u8>> {
        self.calls.get(&session).map(|call| call.encode())
    }

    fn adopt(&mut self, session: SessionId, state: &[u8], effects: &mut Effects<'_>) {
        self.adopting = true;
        if !self.adopt_teller(session, state, effects)
            && !self.hall_adopted(session, state, effects)
        {
            self.adopt_call(session, state, effects);
        }
        self.adopting = false;
    }
}

/// After a restart.
impl Room {
    fn adopt_call(&mut self, session: SessionId, state: &[u8], effects: &mut Effects<'_>) {
        let kept = Kept::decode(state, session);
        let Some(seat) = Seat::restore(&kept.seat, session, effects) else {
            effects.end(session, None);
            return;
        };
        let stream = StreamKey { bridge: types::BridgeId(kept.bridge), index: 0 };
        let dialling = kept.dialling.and_then(|one| Dialling::restore(&one, session, effects));
        let (answered, talks) = (kept.facts.answered.is_some(), dialling.is_some());
        let mut saved = kept.program;
        saved.talking &= talks;
        let program = Program::resume(saved, kept.hooks.fallback.clone(), effects.now());
        let mut call = Call {
            session,
            facts: kept.facts,
            leg: kept.leg,
            seat,
            stream,
            answer: None,
            late: false,
            acked: answered,
            referring: None,
            judging: Vec::new(),
            program,
            hooks: kept.hooks,
            said: kept.said,
            jar: kept.jar,
            beside: socket::Beside::default(),
            asking: None,
            timer: None,
            sounds: 0,
            playing: Playing::Nothing,
            recording: None,
            dialling,
            progress: kept.progress,
            outgoing: None,
            limit: None,
            meeting: kept.meeting,
            aside: None,
            tape: None,
            streams: Vec::new(),
            ears: Vec::new(),
            legs: kept.legs,
            events: rest::events::Events::default(),
            reels: Vec::new(),
            recorders: Vec::new(),
        };
        // What was recorded until then is kept; those hear of it who would have.
        if let Some(tape) = kept.tape {
            let ticket = effects.recovered_recording(&tape.sid);
            self.tape_later(&call, &tape, ticket, effects);
        }
        if let Some(sid) = kept.recording {
            self.record_later(&call, sid, effects);
        }
        if call.seat.voice() != media::Voice::All {
            call.seat.speak(media::Voice::All, effects);
        }
        let meets = call.program.meets();
        self.calls.insert(session, Box::new(call));
        self.limit(session, effects);
        if let Some(call) = self.calls.get(&session) {
            // Its app may be waiting to hear that it goes on.
            call.news("resumed", json!({}), effects);
        }
        if answered {
            self.restart_streams(session, kept.streams, effects);
            self.restart_reels(session, kept.reels, effects);
            self.unjudged(session, kept.judging, effects);
            self.restore_recorders(session, kept.recorders, effects);
        }
        if answered && meets {
            // Whom it meets may come back after it.
            let ticket = effects.set_timer(effects.now());
            self.tickets.insert(ticket, session);
            self.returning.insert(ticket, session);
        } else if answered {
            self.carry(session, effects);
        } else {
            // Nobody had answered him: he gets his final answer now.
            let headers = Effects::refusal_headers(&Refusal::Interrupted);
            let command = LegCommand::End { status: 480, headers };
            effects.leg(session, kept.leg, command);
            self.finish(session, (480, "failed", "server"), effects);
        }
    }
}

/// Setting up and ending.
impl Room {
    fn begin(
        &mut self,
        (session, leg): (SessionId, LegId),
        message: &Message<'_>,
        caller: &Caller,
        number: &route::Number,
        effects: &mut Effects<'_>,
    ) -> Result<(), Refusal> {
        if self.calls.len() >= self.config.calls_max as usize {
            return Err(Refusal::TooMany);
        }
        let bridge = effects.bridge(session);
        let stream = StreamKey { bridge, index: 0 };
        let place = media::Seat::FIRST_GUEST;
        let seat = Seat::new(stream, place, media::Voice::All, effects);
        let mut seat = seat.map_err(|_| Refusal::NoPorts)?;
        let offer = description(message);
        let answer = match offer {
            Some(sdp) => seat.answer(sdp, effects),
            None if effects.is_browser(leg) => {
                seat.offer_web(effects).ok_or(switchboard::pair::Refusal::NoDoor)
            }
            None => Ok(seat.offer(effects)),
        };
        let Ok(answer) = answer else {
            seat.close(effects);
            effects.media(media::Command::Close { bridge });
            return Err(Refusal::Description);
        };
        let (uri, told) = call::caller_of(caller, message, effects);
        let remote = effects.flow_of(leg).map(|flow| flow.remote);
        let said = call::said(session, (&told, &number.number), (caller, message, remote), effects);
        let name = message.from().ok().map(|from| from.display_text()).unwrap_or_default();
        let facts = CallFacts {
            session,
            from: uri,
            to: format!("sip:{}@{}", number.number, effects.domain()),
            from_name: name,
            began: effects.unix(),
            call_id: String::from_utf8_lossy(message.call_id()).into_owned(),
            ..CallFacts::default()
        };
        effects.publish(Notice::CallBegan(facts.clone().into()));
        effects.count("voice.calls");
        let hooks = Hooks::of(number);
        let ask =
            Ask { url: hooks.first.url.clone(), method: hooks.first.method, more: Vec::new() };
        let call = Call {
            session,
            facts,
            leg,
            seat,
            stream,
            answer: Some(answer),
            late: offer.is_none(),
            acked: false,
            referring: None,
            judging: Vec::new(),
            program: Program::new(ask, hooks.fallback.clone()),
            hooks,
            said,
            jar: Jar::default(),
            beside: socket::Beside::default(),
            asking: None,
            timer: None,
            sounds: 0,
            playing: Playing::Nothing,
            recording: None,
            dialling: None,
            progress: rest::progress::Progress::default(),
            outgoing: None,
            limit: None,
            meeting: None,
            aside: None,
            tape: None,
            streams: Vec::new(),
            ears: Vec::new(),
            legs: rest::legs::Legs::default(),
            events: rest::events::Events::default(),
            reels: Vec::new(),
            recorders: Vec::new(),
        };
        self.calls.insert(session, Box::new(call));
        self.carry(session, effects);
        Ok(())
    }

    /// Tells the program of a call something, and does what it wants.
    pub(crate) fn drive(
        &mut self,
        session: SessionId,
        event: program::Event,
        effects: &mut Effects<'_>,
    ) {
        let now = effects.now();
        let Some(call) = self.calls.get_mut(&session) else { return };
        call.tell(event, now);
        self.carry(session, effects);
    }

    /// Ends whatever is left of a call, tells who wants to know, and leaves its record.
    pub(crate) fn finish(
        &mut self,
        session: SessionId,
        (status, outcome, by): (u16, &'static str, &'static str),
        effects: &mut Effects<'_>,
    ) {
        let Some(mut call) = self.calls.remove(&session) else { return };
        for ticket in call.tickets() {
            self.tickets.remove(&ticket);
        }
        if let Some((_, timer)) = call.timer {
            effects.cancel_timer(timer);
        }
        let recording = call.recording.take();
        let recorders = call.program.recorders();
        let transcriber = call.program.transcriber();
        if let Some((_, tap, _)) = &recording {
            effects.finish_recording(*tap);
            effects.media(media::Command::Untap { tap: *tap });
        }
        if let Some(limit) = call.limit {
            effects.cancel_timer(limit);
        }
        if let Some(outgoing) = &mut call.outgoing {
            outgoing.close(effects);
        }
        self.forget_judged(&mut call, effects);
        self.leave_dial(&mut call, effects);
        let (guest, queued) = (call.has_guest(), call.leaves_for_good(effects));
        self.end_streams(&mut call, effects);
        self.end_ears(&mut call, effects);
        self.end_recorders(&mut call, effects);
        call.seat.close(effects);
        let bridge = call.stream.bridge;
        if guest {
            self.lingering.insert(session, bridge);
        } else {
            effects.media(media::Command::Close { bridge });
        }
        call.facts.ended = Some(effects.unix());
        call.facts.sum_up(effects);
        call.facts.status = if call.facts.answered.is_some() { 200 } else { status };
        let outcome = if call.facts.answered.is_some() { "answered" } else { outcome };
        call.facts.outcome = outcome.to_owned();
        call.facts.hung_up_by = by.to_owned();
        self.leave_tape(&mut call, effects);
        self.end_reels(&mut call, effects);
        if let (Some((ticket, _, sid)), Some((action, status))) = (recording, recorders) {
            let (said, more) = (call.said_now(), Vec::new());
            let words = transcriber;
            let late = Late { ticket, sid, said, action, status, more, words, absent: None };
            self.tell_later(&call, late, effects);
        }
        self.leave_refer(&mut call, effects);
        if let (Some(hook), Some(more)) = (call.program.queue_action(), queued) {
            self.tell_hook(&call, &hook, more, effects);
        }
        self.tell_end(&mut call, effects);
        self.leave_events(&mut call, effects);
        call.news("ended", json!({"status": call.status()}), effects);
        self.remember(call.row());
        for leg in call.legs.rows() {
            self.remember(leg.clone());
        }
        effects.end(session, Some(call.record()));
        effects.publish(Notice::CallEnded(call.facts.clone().into()));
    }

    /// Tells every hunt of a call something.
    fn hunting(
        &mut self,
        session: SessionId,
        effects: &mut Effects<'_>,
        mut tell: impl FnMut(&mut Hunt, &mut Effects<'_>) -> Outcome,
    ) {
        if self.calls.get(&session).is_some_and(|call| call.outgoing.is_some()) {
            return self.reaching(session, effects, tell);
        }
        self.ringing(session, effects, |way, effects| match way {
            Way::Hunt(hunt) => tell(hunt, effects),
            Way::Outside(_) => Outcome::Pending,
        });
    }

    /// Writes down how a call stands.
    pub(crate) fn keep(call: &Call, effects: &mut Effects<'_>) {
        effects.save(call.session, call.encode(), Durability::Written);
    }
}

/// The number whose program answers this call.
fn program_of(caller: &Caller, target: &str, effects: &mut Effects<'_>) -> Option<route::Number> {
    let routing = effects.directory().routing();
    // Most servers have no such number, and most calls go elsewhere.
    if routing.numbers.values().all(|number| number.voice_url.is_empty()) {
        return None;
    }
    let origin = match caller {
        Caller::Trunk(name) => Origin::Trunk(name.clone()),
        Caller::User(name) => Origin::User(name.clone()),
        Caller::Claimed(uri) => match effects.user_at(uri.as_bytes()) {
            Some(user) => Origin::User(user),
            None => Origin::Stranger,
        },
    };
    let (dialled, time) = (target.to_owned(), effects.unix());
    let question = route::Question { origin, shows: None, dialled, time, chance: 0 };
    let decision = route::decide(effects.directory(), &question);
    effects.directory().routing().numbers.get(&decision.program?).cloned()
}

/// The offer in an INVITE.
fn description<'a>(message: &Message<'a>) -> Option<&'a [u8]> {
    let kind = message.content_type()?;
    let body = message.body();
    (!body.is_empty() && kind.eq_ignore_ascii_case(b"application/sdp")).then_some(body)
}

/// Refuses an INVITE that never became a call.
fn refuse(session: SessionId, leg: LegId, refusal: Refusal, effects: &mut Effects<'_>) {
    let verdict = refusal.verdict();
    effects.count(verdict.code);
    let words = format!("refused {} {} CAR-{:04}", verdict.sip, verdict.code, verdict.number);
    effects.ladder(CallId(session.0), Lane::Note, &words);
    let headers = Effects::refusal_headers(&refusal);
    effects.leg(session, leg, LegCommand::End { status: verdict.sip, headers });
    effects.end(session, None);
}
