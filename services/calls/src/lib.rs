//! Person-to-person calls: always two legs bridged, whoever answers and however he was found.
//!
//! Picture     INVITE --> Ringing --answer--> Talking --BYE--> gone
//!             Ringing --answer over the push's reply address--> TalkingAhead --phone registers--> Talking
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
mod refusal;

use media::Side;
use sip::{Message, Name};
use switchboard::hunt::{Brief, Hunt};
use switchboard::ladder::Lane;
use switchboard::leg::{LegCommand, LegEvent};
use switchboard::lines::{Allowance, Line};
use switchboard::notice::{CallFacts, Notice};
use switchboard::pair::Pair;
use switchboard::ring::{Outcome, Plan};
use switchboard::route::{self, Decision, Origin};
use switchboard::store::Durability;
use switchboard::{Caller, Effects, Event, Manifest, Reply, Service, Session, Ticket};
use types::{CallId, LegId, Map, Refuse, Seconds, SessionId};

use call::{Call, Saved, State};
use caller::identity;
pub use config::Config;
pub use refusal::Refusal;

/// This room.
#[derive(Debug)]
pub struct Room {
    config: Config,
    /// Boxed: half of a table's places may be free.
    calls: Map<SessionId, Box<Call>>,
    /// Calls by the Call-ID of their callee's side, while a push may be answered.
    replies: Map<String, SessionId>,
    /// Tickets and timers of rings.
    tickets: Map<Ticket, SessionId>,
    /// Ends of calls whose callee answered by reply and whose phone may never come.
    ahead: Map<Ticket, SessionId>,
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
            Event::Leg(leg, event) => self.leg(session, leg, event, effects),
            Event::Media(event) => self.media(session, &event, effects),
            Event::Subscription(_) => (), // This room has none.
        }
    }

    fn on_notice(&mut self, notice: &Notice, effects: &mut Effects<'_>) {
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
        }
    }

    fn on_timer(&mut self, ticket: Ticket, effects: &mut Effects<'_>) {
        if let Some(session) = self.ahead.remove(&ticket) {
            self.never_came(session, effects);
            return;
        }
        let Some(session) = self.tickets.remove(&ticket) else { return };
        self.ringing(session, effects, |hunt, effects| hunt.timer(ticket, effects));
    }

    fn save(&self, session: SessionId) -> Option<Vec<u8>> {
        self.calls.get(&session).map(|call| call.encode())
    }

    fn adopt(&mut self, session: SessionId, state: &[u8], effects: &mut Effects<'_>) {
        let saved = Saved::decode(state, session);
        let pair = Pair::restore(&saved.pair, session, effects);
        let (a, facts) = (saved.a, saved.facts);
        let Some(b) = saved.b else {
            // It rang: its caller gets his final answer now.
            let headers = Effects::refusal_headers(&Refusal::Interrupted);
            effects.leg(session, a, LegCommand::End { status: 480, headers });
            let state = State::Talking { b: LegId::default() };
            let lines = Vec::new();
            let call = Call { facts, a, pair, state, late: None, changing: None, lines };
            self.calls.insert(session, Box::new(call));
            self.finish(session, End::failed(480, "failed", "server"), effects);
            return;
        };
        let state = State::Talking { b };
        let lines = saved.lines;
        for line in &lines {
            // It had them before the restart: no limit takes them away.
            effects.seize(line.clone(), session, Allowance::default());
        }
        let call = Call { facts, a, pair, state, late: None, changing: None, lines };
        self.calls.insert(session, Box::new(call));
    }
}

/// How a call ended, for its record.
struct End {
    status: u16,
    outcome: &'static str,
    by: &'static str,
}

impl End {
    fn failed(status: u16, outcome: &'static str, by: &'static str) -> Self {
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
        let who = identity(caller, message, effects);
        let (who, speaker) = who.acting(message, effects);
        let question = caller::question(caller, &who, message, target, effects);
        let decision = route::decide(effects.directory(), &question);
        explain(session, &decision, effects);
        if let Some(refusal) = decision.refusal {
            let from_trunk = matches!(question.origin, Origin::Trunk(_));
            return Err(refused(refusal, from_trunk, decision.dialled.international));
        }
        let mut pair = Pair::new(session, effects);
        let offer = description(message);
        let towards_b = match offer.map(|sdp| pair.offer(Side::A, sdp, effects)) {
            Some(Ok(sdp)) => Some(sdp),
            Some(Err(refusal)) => {
                pair.close(effects);
                return Err(Box::new(refusal));
            }
            None => None,
        };
        let gate = gate(&question, &decision, session, effects);
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
                .map(|contact| String::from_utf8_lossy(contact.uri).into_owned()),
            offer: towards_b,
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
            ..CallFacts::default()
        };
        effects.publish(Notice::CallBegan(facts.clone()));
        let brief = Brief { plan, stages: decision.stages, gate, private };
        let (hunt, outcome) = Hunt::start(brief, effects);
        let late = offer.is_none().then_some(Side::A);
        let state = State::Ringing(Box::new(hunt));
        let call = Call { facts, a: leg, pair, state, late, changing: None, lines: Vec::new() };
        self.calls.insert(session, Box::new(call));
        self.index(session);
        self.outcome(session, outcome, effects);
        Ok(())
    }

    /// Notes the tickets that a ring waits for.
    fn index(&mut self, session: SessionId) {
        let Some(call) = self.calls.get(&session) else { return };
        let (State::Ringing(hunt) | State::TalkingAhead(hunt)) = &call.state else { return };
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
        let Some(call) = self.calls.get_mut(&session) else { return };
        let (State::Ringing(hunt) | State::TalkingAhead(hunt)) = &mut call.state else { return };
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

    fn progress(
        &mut self,
        session: SessionId,
        status: u16,
        sdp: Option<Vec<u8>>,
        why: Option<&'static str>,
        effects: &mut Effects<'_>,
    ) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        if !matches!(call.state, State::Ringing(_)) {
            return;
        }
        // Early media of an offer that went out; a late offer waits for the final answer.
        let sdp = match (sdp, call.late) {
            (Some(sdp), None) => call.pair.answer(Side::B, &sdp, effects).ok(),
            (_, _) => None,
        };
        let first = call.facts.rang.is_none();
        if first {
            call.facts.rang = Some(effects.unix());
            effects.save(session, call.encode(), Durability::Written);
        }
        let headers = why.map_or_else(Vec::new, |why| {
            vec![("Reason".to_owned(), format!("SIP;cause={status};text=\"{why}\""))]
        });
        effects.leg(session, call.a, LegCommand::Ring { status, sdp, headers });
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
        let towards_a = match (&sdp, call.late) {
            (Some(sdp), None) => call.pair.answer(Side::B, sdp, effects).map(Some),
            (Some(sdp), Some(_)) => call.pair.offer(Side::B, sdp, effects).map(Some),
            (None, _) => Ok(None),
        };
        let before = std::mem::replace(&mut call.state, State::Talking { b });
        if let State::Ringing(ring) | State::TalkingAhead(ring) = before {
            ring.answered_by().clone_into(&mut call.facts.answered_by);
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
        // What is kept shows the leg as answered; the shell writes it before the 200 leaves.
        effects.leg(session, call.a, LegCommand::Answer { sdp: towards_a });
        effects.save(session, call.encode(), Durability::Written);
        effects.publish(Notice::CallAnswered(call.facts.clone()));
        effects.count("calls.answered");
    }

    /// The callee took the call over the push's reply address and said where his media goes.
    fn answered_ahead(&mut self, session: SessionId, sdp: &[u8], effects: &mut Effects<'_>) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        let Ok(towards_a) = call.pair.answer(Side::B, sdp, effects) else { return };
        let state = std::mem::replace(&mut call.state, State::Talking { b: LegId::default() });
        call.state = match state {
            State::Ringing(ring) | State::TalkingAhead(ring) => {
                ring.answered_by().clone_into(&mut call.facts.answered_by);
                State::TalkingAhead(ring)
            }
            State::Talking { b } => State::Talking { b },
        };
        call.facts.answered = Some(effects.unix());
        call.facts.status = 200;
        effects.leg(session, call.a, LegCommand::Answer { sdp: Some(towards_a) });
        effects.save(session, call.encode(), Durability::Written);
        effects.publish(Notice::CallAnswered(call.facts.clone()));
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
        if let Some(text) = text {
            let words = sip::write::quote(&text);
            headers.push(("Reason".to_owned(), format!("SIP;cause={status};text={words}")));
        }
        effects.leg(session, call.a, LegCommand::End { status, headers });
        self.finish(session, End::failed(status, outcome, "callee"), effects);
    }
}

/// Talking and ending.
impl Room {
    fn leg(&mut self, session: SessionId, leg: LegId, event: LegEvent, effects: &mut Effects<'_>) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        if let State::Ringing(ring) | State::TalkingAhead(ring) = &mut call.state
            && ring.has(leg)
        {
            self.ringing(session, effects, |ring, effects| ring.leg(leg, event, effects));
            return;
        }
        let Some(side) = call.side(leg) else { return };
        match event {
            LegEvent::Cancelled => {
                self.finish(session, End::failed(487, "cancelled", "caller"), effects);
            }
            LegEvent::Ended { why } => self.ended(session, side, &why, effects),
            LegEvent::Failed { status, .. } => {
                self.finish(session, End::failed(status, "failed", "server"), effects);
            }
            LegEvent::Confirmed { sdp } => self.confirmed(session, side, sdp, effects),
            LegEvent::Changed { sdp } => self.changed(session, side, sdp, effects),
            LegEvent::ChangeAnswered { status, sdp } => {
                self.change_answered(session, side, status, sdp, effects);
            }
            LegEvent::Answered { .. }
            | LegEvent::Handed { .. }
            | LegEvent::Offered { .. }
            | LegEvent::Provisional { .. }
            | LegEvent::Restored => (),
        }
    }

    fn ended(&mut self, session: SessionId, side: Side, why: &str, effects: &mut Effects<'_>) {
        let Some(call) = self.calls.get(&session) else { return };
        let by = match (side, why) {
            (Side::A, "bye") => "caller",
            (Side::B, "bye") => "callee",
            (_, _) => "server",
        };
        let answered = call.facts.answered.is_some();
        let end = if answered {
            End::failed(200, "answered", by)
        } else {
            End::failed(487, "cancelled", by)
        };
        self.finish(session, end, effects);
    }

    /// The ACK of a side came; with a description it answers an offer of the other side.
    fn confirmed(
        &mut self,
        session: SessionId,
        side: Side,
        sdp: Option<Vec<u8>>,
        effects: &mut Effects<'_>,
    ) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        if call.late != Some(side) {
            return;
        }
        call.late = None;
        let Some(other) = call.leg(side.other()) else { return };
        let answer = sdp.and_then(|sdp| call.pair.answer(side, &sdp, effects).ok());
        if answer.is_none() {
            call.pair.rollback(effects);
        }
        effects.leg(session, other, LegCommand::Ack { sdp: answer });
        effects.save(session, call.encode(), Durability::Written);
    }

    fn changed(
        &mut self,
        session: SessionId,
        side: Side,
        sdp: Option<Vec<u8>>,
        effects: &mut Effects<'_>,
    ) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        let leg = if side == Side::A { Some(call.a) } else { call.leg(Side::B) };
        let (Some(leg), other) = (leg, call.leg(side.other())) else { return };
        let refuse = |status, effects: &mut Effects<'_>| {
            effects.leg(session, leg, LegCommand::AnswerChange { status, sdp: None });
        };
        let Some(other) = other else {
            refuse(488, effects);
            return;
        };
        if call.changing.is_some() || call.late.is_some() {
            refuse(491, effects);
            return;
        }
        let offer = match sdp.as_deref().map(|sdp| call.pair.offer(side, sdp, effects)) {
            Some(Ok(offer)) => Some(offer),
            Some(Err(_)) => {
                call.pair.rollback(effects);
                refuse(488, effects);
                return;
            }
            None => {
                call.late = Some(side);
                None
            }
        };
        call.changing = Some(side);
        effects.leg(session, other, LegCommand::Change { sdp: offer });
    }

    /// The other side answered a change.
    fn change_answered(
        &mut self,
        session: SessionId,
        side: Side,
        status: u16,
        sdp: Option<Vec<u8>>,
        effects: &mut Effects<'_>,
    ) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        let Some(asker) = call.changing.take() else { return };
        if asker == side {
            return;
        }
        let Some(leg) = call.leg(asker) else { return };
        let passed = match (&sdp, call.late, status) {
            (Some(sdp), None, 200..=299) => call.pair.answer(side, sdp, effects).ok(),
            (Some(sdp), Some(_), 200..=299) => call.pair.offer(side, sdp, effects).ok(),
            (_, _, _) => None,
        };
        let status = if passed.is_some() { 200 } else { status.max(400) };
        if passed.is_none() {
            call.late = None;
            call.pair.rollback(effects);
        }
        effects.leg(session, leg, LegCommand::AnswerChange { status, sdp: passed });
        effects.save(session, call.encode(), Durability::Written);
    }

    fn media(&mut self, session: SessionId, event: &media::Event, effects: &mut Effects<'_>) {
        let media::Event::Failed { stream, .. } = event else { return };
        effects.count("calls.port_not_free");
        if let Some(call) = self.calls.get_mut(&session) {
            call.pair.spoil(stream.index, effects);
        }
        let words = format!("port of media section {} could not be opened", stream.index);
        effects.ladder(CallId(session.0), Lane::Note, &words);
        // Both sides were told this port: the call cannot be heard and is ended, which frees the others.
        self.finish(session, End::failed(503, "failed", "server"), effects);
    }

    /// Ends whatever is left of a call, and leaves its record.
    fn finish(&mut self, session: SessionId, end: End, effects: &mut Effects<'_>) {
        let Some(mut call) = self.calls.remove(&session) else { return };
        match &mut call.state {
            State::Ringing(ring) | State::TalkingAhead(ring) => {
                self.unindex(ring);
                ring.cancel(effects);
            }
            State::Talking { b } => {
                let command = LegCommand::End { status: 487, headers: Vec::new() };
                effects.leg(session, *b, command);
            }
        }
        let command = LegCommand::End { status: end.status, headers: Vec::new() };
        effects.leg(session, call.a, command);
        call.pair.close(effects);
        call.facts.ended = Some(effects.unix());
        call.facts.status = if call.facts.answered.is_some() { 200 } else { end.status };
        let outcome = if call.facts.answered.is_some() { "answered" } else { end.outcome };
        call.facts.outcome = outcome.to_owned();
        call.facts.hung_up_by = end.by.to_owned();
        effects.end(session, Some(call.facts.encode()));
        effects.publish(Notice::CallEnded(call.facts));
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

/// Writes into the ladder what was considered, when there was anything to consider.
fn explain(session: SessionId, decision: &Decision, effects: &mut Effects<'_>) {
    if decision.candidates.len() < 2 && decision.refusal.is_none() {
        return;
    }
    for line in decision.lines() {
        effects.ladder(CallId(session.0), Lane::Note, &format!("route {line}"));
    }
}

/// A decision's "no" in the words of this room, where it has some of its own.
fn refused(refusal: route::Refusal, from_trunk: bool, international: bool) -> Box<dyn Refuse> {
    match refusal {
        // A short number may as well be meant for a user.
        route::Refusal::NoRoute if !from_trunk && !international => Box::new(Refusal::NoSuchUser),
        refusal => Box::new(refusal),
    }
}

/// The line that the caller's side needs first: that of a trunk with limits. A user who wants no second call is busy
/// from now on.
fn gate(
    question: &route::Question,
    decision: &Decision,
    session: SessionId,
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
            None
        }
    }
}

/// The offer in an INVITE.
fn description<'a>(message: &Message<'a>) -> Option<&'a [u8]> {
    let kind = message.content_type()?;
    let body = message.body();
    (!body.is_empty() && kind.eq_ignore_ascii_case(b"application/sdp")).then_some(body)
}
