//! Person-to-person calls: two legs bridged, whoever answers and however he was found, and perhaps guests.
//!
//! Picture     INVITE --> Ringing --answer--> Talking --BYE--> gone
//!             Ringing --answer over the push's reply address--> TalkingAhead --phone registers--> Talking
//!             Talking --INVITE of a guest--> the same, mixed (guest)
//!             Talking --REFER--> somebody else is called, or takes a place --> Talking (transfer)
//! Rules       The caller gets one final answer. His description is the answer to ours and never passes us
//!             by. The end of one side ends the other. A call leaves one record, however it ended.
//! Limits      AHEAD_MAX; ring_max, calls_max (settings of `calls`); `push.wait` for sleeping phones.
//! Not here    How a user is reached (switchboard::ring), what descriptions say (switchboard::pair), pushes.
//! Spec        RFC 3261 §13 to §15, RFC 3264, RFC 8599 §5.
#![deny(clippy::wildcard_enum_match_arm)]

mod api;
mod call;
mod caller;
mod config;
mod early;
mod guest;
mod hold;
mod level;
mod quality;
mod reason;
mod refusal;
mod talk;
mod tape;
mod transfer;

use media::Side;
use sip::{Message, Name};
use switchboard::group::Deed;
use switchboard::hunt::{Brief, Hunt};
use switchboard::ladder::Lane;
use switchboard::leg::LegCommand;
use switchboard::lines::{Allowance, Line};
use switchboard::notice::{CallFacts, LineFacts, LineState, Notice};
use switchboard::pair::Pair;
use switchboard::part::Part;
use switchboard::ring::{Outcome, Plan};
use switchboard::route::{self, Decision, Origin};
use switchboard::store::Durability;
use switchboard::{Caller, Effects, Event, Manifest, Reply, Service, Session, Ticket};
use types::{CallId, LegId, Map, Refuse, Seconds, SessionId};

use call::{Call, Saved, State};
use caller::{extras, identity};
pub use config::Config;
pub use guest::{ARRIVING_MAX, GUESTS_MAX, GUESTS_TOLD};
use guest::{Arriving, Guest};
pub use refusal::Refusal;
pub use tape::RECORDINGS_MAX;
use tape::{Over, Piece};
use transfer::Replacing;

/// The header by which an INVITE of ours is known when it comes back.
const BEEN_HERE: &str = "X-Carillon-Been-Here";
/// People for whom one INVITE may have been here; more is a loop.
const ROUNDS_MAX: usize = 10;

/// This room.
#[derive(Debug)]
pub struct Room {
    config: Config,
    /// Boxed: half of a table's places may be free.
    calls: Map<SessionId, Box<Call>>,
    /// Calls by the Call-ID of their callee's side, while a push may be answered.
    replies: Map<String, SessionId>,
    /// Tickets and timers of rings, questions for dialogs.
    tickets: Map<Ticket, SessionId>,
    /// Ends of calls whose callee answered by reply and whose phone may never come.
    ahead: Map<Ticket, SessionId>,
    /// INVITEs that want the place of somebody in another call.
    replacing: Map<SessionId, Replacing>,
    /// INVITEs of those who want to take part in a call of others.
    arriving: Map<SessionId, Arriving>,
    /// What those hear who wait, once it was made.
    music: Option<media::ClipId>,
    /// Calls that are over and whose records wait for files.
    over: Map<SessionId, Box<Over>>,
    /// Calls whose loudness is measured.
    levels: Map<SessionId, Box<level::Gauging>>,
}

/// How long a call goes on that was answered by reply and whose phone does not come: nobody could hang up there.
pub const AHEAD_MAX: Seconds = Seconds(120);

static MANIFEST: Manifest = Manifest {
    name: "calls",
    purpose: "Person-to-person calls: forking, waking, bridging.",
    settings: Config::REFERENCE,
    endpoints: api::ENDPOINTS,
    refusals: refusal::ROWS,
    ..Manifest::EMPTY
};

impl Room {
    /// A room without calls.
    pub fn new(config: Config) -> Self {
        let key = types::HashKey::default();
        Self {
            config,
            calls: Map::with_hasher(key),
            replies: Map::with_hasher(key),
            tickets: Map::with_hasher(key),
            ahead: Map::with_hasher(key),
            replacing: Map::with_hasher(key),
            arriving: Map::with_hasher(key),
            music: None,
            over: Map::with_hasher(key),
            levels: Map::with_hasher(key),
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
            Session::Invite { session, leg, message, caller, .. }
                if message.first(Name::Replaces).is_some() =>
            {
                if let Err(refusal) = self.replace(*session, *leg, message, caller, effects) {
                    refuse(*session, *leg, &refusal, effects);
                }
                true
            }
            Session::Invite { session, leg, message, caller, target }
                if Part::read(target).is_some() =>
            {
                let wish = Part::read(target).ok_or(Refusal::NoSuchCall);
                let here = (*session, *leg);
                let arrived =
                    wish.and_then(|wish| self.arrive(here, wish, message, caller, effects));
                if let Err(refusal) = arrived {
                    refuse(*session, *leg, &refusal, effects);
                }
                true
            }
            Session::Invite { session, leg, message, caller, target } => {
                let began = self.begin(*session, *leg, message, (caller, target), effects);
                if let Err(refusal) = began {
                    refuse(*session, *leg, refusal.as_ref(), effects);
                }
                true
            }
            Session::Opened { .. } | Session::Request { .. } => false,
        }
    }

    fn on_event(&mut self, session: SessionId, event: Event, effects: &mut Effects<'_>) {
        match event {
            Event::Arrived { user, binding } => {
                self.ringing(session, effects, |hunt, effects| {
                    hunt.arrived(&user, &binding, effects)
                });
            }
            Event::Leg(leg, event) => {
                self.leg(session, leg, event, effects);
                self.see_hold(session, effects);
                self.see_tape(session, effects);
            }
            Event::Media(event) => self.media(session, &event, effects),
            Event::Subscription(_) => (), // This room has none.
        }
    }

    fn on_notice(&mut self, notice: &Notice, effects: &mut Effects<'_>) {
        if matches!(notice, Notice::Started | Notice::Restarted) {
            effects.set_session_expires(self.config.session_expires);
        }
        if let Notice::WakeEnded { session, prid, accepted, why } = notice {
            self.ringing(*session, effects, |hunt, effects| {
                hunt.wake_ended(prid, *accepted, why, effects)
            });
        }
    }

    fn on_reply(&mut self, ticket: Ticket, reply: Reply, effects: &mut Effects<'_>) {
        let Some(session) = self.tickets.remove(&ticket) else { return };
        if let Reply::Located(located) = reply {
            self.ringing(session, effects, |hunt, effects| hunt.located(ticket, located, effects));
        } else if let Reply::Seized(granted) = reply {
            self.ringing(session, effects, |hunt, effects| hunt.seized(ticket, granted, effects));
        } else if let Reply::Found(found) = reply {
            self.found(session, ticket, found, effects);
        } else if let Reply::Clip(came) = reply {
            self.music_came(session, came, effects);
        } else if let Reply::Recorded(kept) = reply {
            self.recorded(session, ticket, kept, effects);
        }
    }

    fn on_timer(&mut self, ticket: Ticket, effects: &mut Effects<'_>) {
        if let Some(session) = self.ahead.remove(&ticket) {
            self.never_came(session, effects);
            return;
        }
        let Some(session) = self.tickets.remove(&ticket) else { return };
        if self.tell_levels(session, ticket, effects) {
            return;
        }
        if self.arriving.contains_key(&session) {
            self.not_arrived(session, effects);
            return;
        }
        self.ringing(session, effects, |hunt, effects| hunt.timer(ticket, effects));
    }

    fn save(&self, session: SessionId) -> Option<Vec<u8>> {
        self.calls.get(&session).map(|call| call.encode())
    }

    fn adopt(&mut self, session: SessionId, state: &[u8], effects: &mut Effects<'_>) {
        let saved = Saved::decode(state, session);
        if saved.is_over {
            return self.adopt_over(session, saved.facts, &saved.pieces, effects);
        }
        let pair = Pair::restore(&saved.pair, session, effects);
        let (a, facts) = (saved.a, saved.facts);
        let Some(b) = saved.b else {
            // It rang: its caller gets his final answer now.
            let headers = Effects::refusal_headers(&Refusal::Interrupted);
            effects.leg(session, a, LegCommand::End { status: 480, headers });
            let state = State::Talking { b: LegId::default() };
            self.calls.insert(session, Box::new(Call::new(facts, a, pair, state)));
            self.finish(session, End::failed(480, "failed", "server"), effects);
            return;
        };
        let state = State::Talking { b };
        let lines = saved.lines;
        for line in &lines {
            // It had them before the restart: no limit takes them away.
            effects.seize(line.clone(), session, Allowance::default());
        }
        let guests = saved.guests.iter().filter_map(|one| Guest::restore(one, session, effects));
        let guests: Vec<Guest> = guests.collect();
        let mut call = Call { lines, guests, ..Call::new(facts, a, pair, state) };
        self.entertain(&mut call.pair);
        call.tape = saved.tape;
        let pieces = saved.pieces.iter().filter_map(|piece| Piece::recover(piece, effects));
        call.pieces = pieces.collect();
        self.tickets.extend(call.pieces.iter().map(|piece| (piece.ticket(), session)));
        call.show(session, effects);
        self.calls.insert(session, Box::new(call));
        self.see_hold(session, effects);
        self.see_tape(session, effects);
    }
}

/// How a call ended, for its record.
pub(crate) struct End {
    status: u16,
    outcome: &'static str,
    by: &'static str,
}

impl End {
    pub(crate) fn failed(status: u16, outcome: &'static str, by: &'static str) -> Self {
        Self { status, outcome, by }
    }
}

/// Setting up.
impl Room {
    fn begin(
        &mut self,
        session: SessionId,
        leg: LegId,
        message: &Message<'_>,
        (caller, target): (&Caller, &str),
        effects: &mut Effects<'_>,
    ) -> Result<(), Box<dyn Refuse>> {
        if self.calls.len() >= self.config.calls_max as usize {
            return Err(Box::new(Refusal::TooMany));
        }
        if message.first(Name::Join).is_some() {
            return Err(Box::new(Refusal::CannotJoin));
        }
        let mark = been_here(target, message, effects)
            .map_err(|loops| -> Box<dyn Refuse> { Box::new(loops) })?;
        let mut headers = extras(caller, message, &self.config, effects);
        headers.push(mark);
        let early_offer = message.has_token(Name::Supported, "100rel")
            || message.has_token(Name::Require, "100rel");
        let who = identity(caller, message, effects);
        let (who, speaker) = who.acting(message, effects);
        let question = caller::question(caller, &who, message, target, effects);
        let decision = route::decide(effects.directory(), &question);
        explain(session, &decision, effects);
        if let Some(refusal) = decision.no_phone() {
            let from_trunk = matches!(question.origin, Origin::Trunk(_));
            return Err(refused(refusal, from_trunk, decision.dialled.international));
        }
        let mut pair = Pair::new(session, effects);
        self.entertain(&mut pair);
        let deed = caller::deed(message);
        let member = who.user.as_deref();
        if member.is_some_and(|user| effects.directory().groups().opens(user, target, deed)) {
            pair.keep_plain();
        }
        let offer = description(message);
        if offer.is_none() && effects.is_browser(leg) {
            pair.expect_browser(Side::A, effects);
        }
        if rings_at_hand(&decision, effects) {
            pair.expect_direct(Side::B);
        }
        let towards_b = match offer.map(|sdp| pair.offer(Side::A, sdp, effects)) {
            Some(Ok(sdp)) => Some(sdp),
            Some(Err(refusal)) => {
                pair.close(effects);
                return Err(Box::new(refusal));
            }
            None => None,
        };
        let offer_web =
            towards_b.as_deref().and_then(|plain| pair.for_browsers(Side::B, plain, effects));
        let offer_strict = towards_b.as_deref().and_then(|sdp| pair.demanding(Side::B, sdp));
        let most = matches!(caller, Caller::User(_)).then_some(self.config.user_calls_max);
        let gate = gate(&question, &decision, session, most, effects);
        let (private, from) = (who.private, who.uri.clone());
        let who = match speaker {
            _ if private => who.hidden(),
            Some(speaker) => who.behind(speaker),
            None => who,
        };
        let plan = Plan {
            session,
            user: target.to_owned(),
            device: message
                .request_uri()
                .and_then(|uri| sip::Uri::decode(uri).ok())
                .and_then(|uri| effects.gruu(&uri)),
            from: who.header(),
            caller_uri: who.uri.clone(),
            caller_name: who.name.clone(),
            caller_user: who.user.clone(),
            caller_addr: message
                .name_addr(Name::Contact)
                .ok()
                .filter(|_| !private)
                .map(|contact| String::from_utf8_lossy(contact.uri).into_owned()),
            offer: towards_b,
            offer_web,
            offer_strict,
            keys_else: pair.may_be_keyed(Side::B),
            early_offer,
            headers,
            max_forwards: message.max_forwards().ok().flatten().unwrap_or(70).saturating_sub(1),
            wake: effects.push_wait(),
            level: self.config.fork_by_q.then(|| self.config.fork_wait.into()),
            ring: self.config.ring_max.into(),
            ..Plan::default()
        };
        let facts = CallFacts {
            session,
            from,
            to: format!("sip:{}@{}", question.dialled, effects.domain()),
            from_name: who.name.unwrap_or_default(),
            began: effects.unix(),
            call_id: String::from_utf8_lossy(message.call_id()).into_owned(),
            video: deed == Deed::Video,
            ..CallFacts::default()
        };
        effects.publish(Notice::CallBegan(facts.clone().into()));
        let brief = Brief { plan, stages: decision.stages, gate, private };
        let (hunt, outcome) = Hunt::start(brief, effects);
        let late = offer.is_none().then_some(Side::A);
        let state = State::Ringing(Box::new(hunt));
        let call = Call { late, ..Call::new(facts, leg, pair, state) };
        self.calls.insert(session, Box::new(call));
        self.index(session);
        self.outcome(session, outcome, effects);
        Ok(())
    }

    /// Notes the tickets that a ring waits for.
    fn index(&mut self, session: SessionId) {
        let Some(hunt) = self.calls.get(&session).and_then(|call| call.ring()) else { return };
        for ticket in hunt.tickets() {
            self.tickets.insert(ticket, session);
        }
        for call_id in hunt.call_ids() {
            if !self.replies.contains_key(call_id) {
                self.replies.insert(call_id.to_owned(), session);
            }
        }
    }

    /// Tells the hunt of a call something, and does what comes of it.
    fn ringing(
        &mut self,
        session: SessionId,
        effects: &mut Effects<'_>,
        tell: impl FnOnce(&mut Hunt, &mut Effects<'_>) -> Outcome,
    ) {
        let hunt = self.calls.get_mut(&session).and_then(|call| call.ring_mut());
        let Some(hunt) = hunt else { return };
        let old = hunt.tickets();
        let replies: Vec<String> = hunt.call_ids().map(str::to_owned).collect();
        let outcome = tell(hunt, effects);
        for ticket in old {
            self.tickets.remove(&ticket);
        }
        for call_id in replies {
            self.replies.remove(&call_id);
        }
        self.index(session);
        self.outcome(session, outcome, effects);
    }

    /// Forgets what led to a hunt.
    fn unindex(&mut self, hunt: &Hunt) {
        for ticket in hunt.tickets() {
            self.tickets.remove(&ticket);
        }
        for call_id in hunt.call_ids() {
            self.replies.remove(call_id);
        }
    }

    fn outcome(&mut self, session: SessionId, outcome: Outcome, effects: &mut Effects<'_>) {
        if let Some(call) = self.calls.get_mut(&session)
            && let State::Ringing(hunt) = &mut call.state
        {
            lamps(hunt, &call.facts, effects);
        }
        if self.calls.get(&session).is_some_and(|call| call.moving.is_some()) {
            self.called(session, outcome, effects);
            return;
        }
        match outcome {
            Outcome::Answered { leg, sdp } => self.answered(session, leg, sdp, effects),
            Outcome::AnsweredByReply { sdp } => self.answered_ahead(session, &sdp, effects),
            Outcome::Failed { status, outcome, text } => {
                self.failed(session, (status, outcome), text, effects);
            }
            Outcome::Pending => (),
            Outcome::Progress { status, sdp, why } => {
                self.progress(session, status, sdp, why, effects);
            }
        }
    }

    fn answered(
        &mut self,
        session: SessionId,
        b: LegId,
        sdp: Option<Vec<u8>>,
        effects: &mut Effects<'_>,
    ) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        let ahead = matches!(call.state, State::TalkingAhead(_));
        let early = call.early.take();
        let retold = early.as_ref().is_some_and(|early| early.told && early.leg != b);
        let sdp_of_early = early.filter(|early| early.leg == b).and_then(|early| early.answer);
        call.pair.speaks(Side::B, b);
        let towards_a = match (&sdp, call.late) {
            (Some(sdp), None) => call.pair.answer(Side::B, sdp, effects).map(Some),
            (Some(sdp), Some(_)) => call.pair.offer(Side::B, sdp, effects).map(Some),
            // It was said while it rang, to a caller who perhaps did not hear it.
            (None, _) => Ok(sdp_of_early),
        };
        let before = std::mem::replace(&mut call.state, State::Talking { b });
        if let State::Ringing(mut ring) | State::TalkingAhead(mut ring) = before {
            ring.answered_by().clone_into(&mut call.facts.answered_by);
            lamps(&mut ring, &call.facts, effects);
            self.unindex(&ring);
        }
        let Ok(towards_a) = towards_a else {
            // What the callee said cannot be used: both sides are ended.
            self.finish(session, End::failed(488, "failed", "server"), effects);
            return;
        };
        let Some(call) = self.calls.get_mut(&session) else { return };
        if ahead {
            // The caller has had his answer; only the callee's address may be new.
            effects.save(session, call.encode(), Durability::Written);
            return;
        }
        call.facts.answered = Some(effects.unix());
        call.facts.status = 200;
        call.lines = effects.lines_of(session);
        if retold && let Some(sdp) = &towards_a {
            // Another phone than the one whose media the caller has settled with: he is told once he acknowledged.
            call.moving = Some(Box::new(transfer::Moving::Retelling { sdp: sdp.clone() }));
        }
        // What is kept shows the leg as answered; the shell writes it before the 200 leaves.
        effects.leg(session, call.a, LegCommand::Answer { sdp: towards_a });
        effects.save(session, call.encode(), Durability::Written);
        effects.publish(Notice::CallAnswered(call.facts.clone().into()));
        effects.count("calls.answered");
        call.show(session, effects);
    }

    /// The callee took the call over the push's reply address and said where his media goes.
    fn answered_ahead(&mut self, session: SessionId, sdp: &[u8], effects: &mut Effects<'_>) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        let Ok(towards_a) = call.pair.answer(Side::B, sdp, effects) else { return };
        let state = std::mem::replace(&mut call.state, State::Talking { b: LegId::default() });
        call.state = match state {
            State::Ringing(mut ring) | State::TalkingAhead(mut ring) => {
                ring.answered_by().clone_into(&mut call.facts.answered_by);
                lamps(&mut ring, &call.facts, effects);
                State::TalkingAhead(ring)
            }
            State::Talking { b } => State::Talking { b },
        };
        call.facts.answered = Some(effects.unix());
        call.facts.status = 200;
        effects.leg(session, call.a, LegCommand::Answer { sdp: Some(towards_a) });
        effects.save(session, call.encode(), Durability::Written);
        effects.publish(Notice::CallAnswered(call.facts.clone().into()));
        effects.count("calls.answered_by_reply");
        let ticket = effects.set_timer(effects.now() + AHEAD_MAX);
        self.ahead.insert(ticket, session);
    }

    /// `AHEAD_MAX` is over: a call whose phone has not come by now ends.
    fn never_came(&mut self, session: SessionId, effects: &mut Effects<'_>) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        if !matches!(call.state, State::TalkingAhead(_)) {
            return;
        }
        let verdict = Refusal::PhoneNeverCame.verdict();
        effects.count(verdict.code);
        call.facts.refusal = verdict.code.to_owned();
        let words = format!("ended: {}", Refusal::PhoneNeverCame);
        effects.ladder(CallId(session.0), Lane::Note, &words);
        self.finish(session, End::failed(verdict.sip, "failed", "server"), effects);
    }

    fn failed(
        &mut self,
        session: SessionId,
        (status, outcome): (u16, &'static str),
        text: Option<String>,
        effects: &mut Effects<'_>,
    ) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        if matches!(call.state, State::TalkingAhead(_)) {
            // The phone that answered ahead did not register: media goes on until AHEAD_MAX.
            let words = "the phone that answered its push has not registered";
            effects.ladder(CallId(session.0), Lane::Note, words);
            return;
        }
        let State::Ringing(ring) = &call.state else { return };
        let (tried, ours) = (ring.tried(), ring.refusal());
        for (who, why) in &tried {
            let line = format!("tried {who}: {why}");
            effects.ladder(CallId(session.0), Lane::Note, &line);
        }
        let mut headers = Vec::new();
        let refusal: Option<&dyn Refuse> = match (&ours, outcome) {
            (Some(refusal), _) => Some(refusal),
            (None, "unreachable") => Some(&Refusal::NobodyReachable),
            (None, _) => None,
        };
        if let Some(refusal) = refusal {
            headers = Effects::refusal_headers(refusal);
            let code = refusal.verdict().code;
            call.facts.refusal = code.to_owned();
            effects.count(code);
            effects.ladder(CallId(session.0), Lane::Note, &format!("refused {status} {code}"));
        }
        let reason = match text {
            Some(text) => Some(format!("SIP;cause={status};text={}", sip::write::quote(&text))),
            None => ring.reason().map(str::to_owned).or_else(|| reason::of_status(status)),
        };
        headers.extend(reason.map(|value| ("Reason".to_owned(), value)));
        effects.leg(session, call.a, LegCommand::End { status, headers });
        self.finish(session, End::failed(status, outcome, "callee"), effects);
    }
}

impl Room {
    fn media(&mut self, session: SessionId, event: &media::Event, effects: &mut Effects<'_>) {
        if let media::Event::Lost { stream, seat, why } = event {
            match seat.side() {
                Some(_) => self.browser_lost(session, *stream, *why, effects),
                None => self.guest_lost(session, *seat, effects),
            }
        }
        self.judge(session, event, effects);
        self.holder_heard(session, event, effects);
        self.measured(session, event);
        let media::Event::Failed { stream, seat, .. } = event else { return };
        effects.count("calls.port_not_free");
        if seat.side().is_none() {
            self.guest_failed(session, *seat, effects);
            return;
        }
        if let Some(call) = self.calls.get_mut(&session)
            && call.pair.bridge() == stream.bridge
        {
            call.pair.spoil(stream.index, effects);
        }
        let words = format!("port of media section {} could not be opened", stream.index);
        effects.ladder(CallId(session.0), Lane::Note, &words);
        // Both sides were told this port: the call cannot be heard and is ended, which frees the others.
        self.finish(session, End::failed(503, "failed", "server"), effects);
    }
}

impl Room {
    /// A browser's path is gone: nobody would hear anything any more, so the call ends.
    fn browser_lost(
        &mut self,
        session: SessionId,
        stream: media::StreamKey,
        why: media::Loss,
        effects: &mut Effects<'_>,
    ) {
        let of_it = |call: &Call| call.pair.bridge() == stream.bridge;
        if !self.calls.get(&session).is_some_and(|call| of_it(call)) {
            return;
        }
        let (code, words) = match why {
            media::Loss::Consent => ("calls.browser_silent", "a browser gave no sign of life"),
            media::Loss::Handshake => {
                ("calls.browser_not_proven", "the handshake of a browser failed")
            }
        };
        effects.count(code);
        effects.ladder(CallId(session.0), Lane::Note, words);
        self.finish(session, End::failed(408, "failed", "server"), effects);
    }
}

/// Refuses an INVITE that never became a call; it leaves a record all the same.
fn refuse(session: SessionId, leg: LegId, refusal: &dyn Refuse, effects: &mut Effects<'_>) {
    let verdict = refusal.verdict();
    effects.count(verdict.code);
    let words = format!("refused {} {} CAR-{:04}", verdict.sip, verdict.code, verdict.number);
    effects.ladder(CallId(session.0), Lane::Note, &words);
    let headers = Effects::refusal_headers(refusal);
    effects.leg(session, leg, LegCommand::End { status: verdict.sip, headers });
    effects.end(session, None);
}

/// A mark that tells the next time that this INVITE comes to us for this person.
///
/// Errors: it was here before, or has been round too often.
fn been_here(
    target: &str,
    message: &Message<'_>,
    effects: &Effects<'_>,
) -> Result<(String, String), Refusal> {
    let mark = format!("{:016x}", effects.keys().slots.hash_bytes(target.as_bytes()));
    let known = message.first_named(BEEN_HERE).unwrap_or_default();
    let known = String::from_utf8_lossy(known);
    let mut marks = known.split(',').map(str::trim).filter(|mark| !mark.is_empty());
    if marks.clone().count() >= ROUNDS_MAX || marks.any(|known| known == mark) {
        return Err(Refusal::Loop);
    }
    let value = if known.is_empty() { mark } else { format!("{known}, {mark}") };
    Ok((BEEN_HERE.to_owned(), value))
}

/// Writes into the ladder what was considered, when there was anything to consider.
pub(crate) fn explain(session: SessionId, decision: &Decision, effects: &mut Effects<'_>) {
    if decision.candidates.len() < 2 && decision.refusal.is_none() {
        return;
    }
    for line in decision.lines() {
        effects.ladder(CallId(session.0), Lane::Note, &format!("route {line}"));
    }
}

/// A decision's "no" in the words of this room, where it has some of its own.
pub(crate) fn refused(
    refusal: route::Refusal,
    from_trunk: bool,
    international: bool,
) -> Box<dyn Refuse> {
    // A short number may as well be meant for a user.
    if refusal == route::Refusal::NoRoute && !from_trunk && !international {
        return Box::new(Refusal::NoSuchUser);
    }
    Box::new(refusal)
}

/// The line that the caller's side needs first: that of a trunk with limits, or that of a user who may have `most` calls.
/// One who wants no second call is busy from now on.
pub(crate) fn gate(
    question: &route::Question,
    decision: &Decision,
    session: SessionId,
    most: Option<u32>,
    effects: &mut Effects<'_>,
) -> Option<(Line, Allowance)> {
    match &question.origin {
        Origin::Stranger => None,
        Origin::Trunk(name) => {
            let allowance = effects.directory().routing().trunks.get(name)?.allowance()?;
            let help = decision.dialled.emergency;
            Some((Line::Trunk(name.clone()), if help { Allowance::default() } else { allowance }))
        }
        Origin::User(name) => {
            let calls = effects.directory().user(name).and_then(|user| user.calls.as_deref());
            if calls.is_some_and(|calls| !calls.call_waiting) {
                effects.seize(Line::User(name.clone()), session, Allowance::default());
            }
            let calls = most.filter(|_| !decision.dialled.emergency)?;
            let allowance = Allowance { calls: Some(calls), per_second: None };
            Some((Line::User(name.clone()), allowance))
        }
    }
}

/// Whether all who will ring are phones that send from where their signalling comes from: those of one user, none of which
/// sleeps.
fn rings_at_hand(decision: &Decision, effects: &Effects<'_>) -> bool {
    let [stage] = decision.stages.as_slice() else { return false };
    stage.aims.iter().all(|aim| match &aim.target {
        route::Target::User { name, .. } => {
            effects.directory().devices(name).is_empty() && effects.is_direct(name)
        }
        route::Target::Trunk { .. } => false,
    })
}

/// The offer in an INVITE.
fn description<'a>(message: &Message<'a>) -> Option<&'a [u8]> {
    let kind = message.content_type()?;
    let body = message.body();
    (!body.is_empty() && kind.eq_ignore_ascii_case(b"application/sdp")).then_some(body)
}

/// Tells the lines of those who ring for whom was called: members of a group, whom a number or a forwarding leads to.
/// His own line, and that of whoever answers, follow the call itself.
///
/// Spec: RFC 4235 §3.7.1
fn lamps(hunt: &mut Hunt, facts: &CallFacts, effects: &mut Effects<'_>) {
    let dialled = facts.to.strip_prefix("sip:").and_then(|rest| rest.rsplit_once('@'));
    let (began, over) = hunt.turned(dialled.map_or("", |(user, _)| user));
    let over = over.into_iter().filter(|user| *user != facts.answered_by);
    let began = began.into_iter().map(|user| (user, LineState::Early));
    for (user, state) in began.chain(over.map(|user| (user, LineState::Terminated))) {
        let line = LineFacts {
            call: facts.session,
            call_id: facts.call_id.clone(),
            calls: false,
            remote: facts.from.clone(),
            remote_name: facts.from_name.clone(),
            state,
        };
        effects.publish(Notice::LineChanged { user, line });
    }
}
