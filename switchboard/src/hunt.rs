//! Following a decision: the targets of one stage at once, stage after stage, until somebody answers.
//!
//! Picture     start --gate?--> stage: claims (lines asked for) --> rings (users), attempts (trunks)
//!             first answer --> the others end;  all failed --> the stage that follows such a failure, or the end
//! Rules       The first answer wins, in whichever part it comes. A trunk that cannot carry the call gives way to
//!             the next, and before that each of its addresses to the next one; what the far end says of itself is final. A stage begins only when the one before is over.
//! Limits      `ring` in all stages together; those of `route` for how many there are.
//! Not here    Reaching one user (ring), choosing (route), counting (lines).
//! Spec        RFC 3261 §16.7, RFC 3263 §4.3 for the addresses of a trunk, RFC 3325 §9 and RFC 3323 §4 for identities at trunks, RFC 5806, RFC 7044

use std::time::Duration;

use types::{CallId, Flow, Instant, LegId};

use crate::directory::{Binding, Located};
use crate::effects::Effects;
use crate::fork;
use crate::input::Ticket;
use crate::ladder::Lane;
use crate::leg::{InvitePlan, LegCommand, LegEvent};
use crate::lines::{Allowance, Full, Line};
use crate::ring::{Answer, Outcome, Plan, Ring, better};
use crate::route::{Aim, Refusal, Stage, Target, Trunk, When, headers};

/// What is hunted, and for whom.
#[derive(Clone, Debug, Default)]
pub struct Brief {
    /// The caller's side; `user`, `to` and `headers` are filled in for each target. `ring`: in all.
    pub plan: Plan,
    /// What was decided.
    pub stages: Vec<Stage>,
    /// The line that the caller's side needs first.
    pub gate: Option<(Line, Allowance)>,
    /// The caller wants to stay unknown (RFC 3323).
    pub private: bool,
}

/// A user's phones.
#[derive(Clone, Debug)]
struct Running {
    ring: Ring,
    /// Somebody's phone rang.
    rang: bool,
    live: bool,
}

/// A target that waits for its line.
#[derive(Clone, Debug)]
struct Claim {
    ticket: Ticket,
    line: Line,
    aim: Aim,
}

/// One INVITE at a trunk.
#[derive(Clone, Debug)]
struct Attempt {
    leg: LegId,
    trunk: String,
    timer: Ticket,
    live: bool,
    /// Somebody there has answered, if only provisionally.
    heard: bool,
    hop: Flow,
    /// The other addresses of the trunk, and what goes there when this one fails.
    spare: Option<Box<Spare>>,
}

/// What the next address of a trunk gets.
#[derive(Clone, Debug)]
struct Spare {
    plan: InvitePlan,
    /// Best last.
    hops: Vec<Flow>,
}

/// How a part of a stage failed.
#[derive(Clone, Debug)]
struct Failure {
    status: u16,
    outcome: &'static str,
    when: When,
    text: Option<String>,
    refusal: Option<Refusal>,
}

/// See the head of this file.
#[derive(Clone, Debug)]
pub struct Hunt {
    brief: Brief,
    /// Ends the whole hunt.
    until: Instant,
    gate: Option<Ticket>,
    /// Which stage runs.
    place: usize,
    claims: Vec<Claim>,
    rings: Vec<Running>,
    attempts: Vec<Attempt>,
    failure: Option<Failure>,
    refusal: Option<Refusal>,
    /// The user whose phone answered.
    answered_by: String,
    /// Of stages that are over.
    tried: Vec<(String, String)>,
    /// Why the last stage failed, in the words of its far end.
    reason: Option<String>,
    /// Why the caller gave up, in his words.
    cancel_reason: Option<String>,
    /// Whose phones ring, as [`turned`](Self::turned) told it last.
    told: Vec<String>,
    done: bool,
}

impl Hunt {
    /// Begins with the first stage, or with the line that the caller needs.
    pub fn start(brief: Brief, effects: &mut Effects<'_>) -> (Self, Outcome) {
        let until = effects.now() + brief.plan.ring;
        let gate = brief
            .gate
            .clone()
            .map(|(line, allowance)| effects.seize(line, brief.plan.session, allowance));
        let mut hunt = Self {
            brief,
            until,
            gate,
            place: 0,
            claims: Vec::new(),
            rings: Vec::new(),
            attempts: Vec::new(),
            failure: None,
            refusal: None,
            answered_by: String::new(),
            tried: Vec::new(),
            reason: None,
            cancel_reason: None,
            told: Vec::new(),
            done: false,
        };
        if hunt.gate.is_some() {
            return (hunt, Outcome::Pending);
        }
        hunt.begin(effects);
        let outcome = hunt.judge(effects);
        (hunt, outcome)
    }

    /// The Call-IDs that pushes of this hunt carry.
    pub fn call_ids(&self) -> impl Iterator<Item = &str> {
        self.rings.iter().filter(|one| one.ring.wakes()).map(|one| one.ring.call_id())
    }

    /// Whom it tried and what came of it.
    pub fn tried(&self) -> Vec<(String, String)> {
        let running = self.rings.iter().flat_map(|one| one.ring.tried().iter().cloned());
        self.tried.iter().cloned().chain(running).collect()
    }

    /// Why it failed, when the reason was ours.
    pub fn refusal(&self) -> Option<Refusal> {
        self.refusal
    }

    /// The user who answered; empty before, and when a trunk did.
    pub fn answered_by(&self) -> &str {
        &self.answered_by
    }

    /// Whose phones have begun to ring since this was asked last, and whose ring no more; `but`: not this user.
    pub fn turned(&mut self, but: &str) -> (Vec<String>, Vec<String>) {
        let live = |name: &str| self.rings.iter().any(|one| one.live && one.ring.user() == name);
        let (told, over): (Vec<_>, _) =
            std::mem::take(&mut self.told).into_iter().partition(|name| live(name));
        let mut began = Vec::new();
        for one in self.rings.iter().filter(|one| one.live) {
            let name = one.ring.user();
            if name != but && !told.iter().chain(&began).any(|known| known == name) {
                began.push(name.to_owned());
            }
        }
        self.told = told;
        self.told.extend(began.iter().cloned());
        (began, over)
    }

    /// The tickets that it waits for.
    pub fn tickets(&self) -> Vec<Ticket> {
        let rings = self.rings.iter().filter(|one| one.live).flat_map(|one| one.ring.tickets());
        let claims = self.claims.iter().map(|claim| claim.ticket);
        let attempts = self.attempts.iter().filter(|one| one.live).map(|one| one.timer);
        self.gate.into_iter().chain(rings).chain(claims).chain(attempts).collect()
    }

    /// Whether this leg is one of its own.
    pub fn has(&self, leg: LegId) -> bool {
        self.rings.iter().any(|one| one.ring.has(leg))
            || self.attempts.iter().any(|one| one.leg == leg)
    }

    /// Whether some device is being woken.
    pub fn wakes(&self) -> bool {
        self.rings.iter().any(|one| one.ring.wakes())
    }

    /// The answer to a question for a user.
    pub fn located(
        &mut self,
        ticket: Ticket,
        located: Located,
        effects: &mut Effects<'_>,
    ) -> Outcome {
        self.each(
            |ring| ring.asked(ticket),
            |ring, effects| ring.located(located, effects),
            effects,
        )
    }

    /// The answer to a question for a line.
    pub fn seized(
        &mut self,
        ticket: Ticket,
        granted: Result<(), Full>,
        effects: &mut Effects<'_>,
    ) -> Outcome {
        if self.gate == Some(ticket) {
            self.gate = None;
            if granted.is_ok() {
                self.begin(effects);
                return self.judge(effects);
            }
            if let Some((line, _)) = &self.brief.gate {
                effects.release(line, self.brief.plan.session);
            }
            self.done = true;
            self.refusal = Some(match &self.brief.gate {
                Some((Line::User(_), _)) => Refusal::UserFull,
                Some((Line::Trunk(_), _)) | None => Refusal::TrunkFull,
            });
            return Outcome::Failed { status: 503, outcome: "refused", text: None };
        }
        let Some(place) = self.claims.iter().position(|claim| claim.ticket == ticket) else {
            return Outcome::Pending;
        };
        let claim = self.claims.remove(place);
        match granted {
            Ok(()) => self.aim(claim.aim, effects),
            Err(full) => {
                effects.release(&claim.line, self.brief.plan.session);
                self.refused(&claim, full);
            }
        }
        self.judge(effects)
    }

    fn refused(&mut self, claim: &Claim, full: Full) {
        let failure = match &claim.line {
            Line::Trunk(name) => {
                let why = match full {
                    Full::Calls => "carries as many calls as it may",
                    Full::Rate => "gets as many new calls a second as it may",
                };
                self.tried.push((format!("trunk/{name}"), why.to_owned()));
                Failure {
                    status: 503,
                    outcome: "failed",
                    when: When::TrunkFailed,
                    text: None,
                    refusal: Some(Refusal::TrunkFull),
                }
            }
            Line::User(name) => {
                self.tried.push((name.clone(), "talks, and call waiting is off".to_owned()));
                Failure {
                    status: 486,
                    outcome: "busy",
                    when: When::Busy,
                    text: None,
                    refusal: Some(Refusal::UserBusy),
                }
            }
        };
        self.fail(failure);
    }

    /// A user registered somewhere.
    pub fn arrived(&mut self, user: &str, binding: &Binding, effects: &mut Effects<'_>) -> Outcome {
        self.each(
            |ring| ring.user() == user,
            |ring, effects| ring.arrived(binding, effects),
            effects,
        )
    }

    /// What became of a push.
    pub fn wake_ended(
        &mut self,
        prid: &str,
        accepted: bool,
        why: &str,
        effects: &mut Effects<'_>,
    ) -> Outcome {
        let waits = |ring: &Ring| ring.is_waking(prid);
        self.each(waits, |ring, effects| ring.wake_ended(prid, accepted, why, effects), effects)
    }

    /// A timer came.
    pub fn timer(&mut self, ticket: Ticket, effects: &mut Effects<'_>) -> Outcome {
        if let Some(attempt) = self.attempts.iter_mut().find(|one| one.live && one.timer == ticket)
        {
            attempt.live = false;
            let (leg, trunk) = (attempt.leg, attempt.trunk.clone());
            let command = LegCommand::End { status: 487, headers: Vec::new() };
            effects.leg(self.brief.plan.session, leg, command);
            effects.release(&Line::Trunk(trunk.clone()), self.brief.plan.session);
            self.tried.push((format!("trunk/{trunk}"), "rang and nobody answered".to_owned()));
            self.fail(Failure {
                status: 480,
                outcome: "missed",
                when: When::NoAnswer,
                text: None,
                refusal: None,
            });
            return self.judge(effects);
        }
        self.each(|ring| ring.timed(ticket), |ring, effects| ring.timer(effects), effects)
    }

    /// Something happened to one of its legs.
    pub fn leg(&mut self, leg: LegId, event: LegEvent, effects: &mut Effects<'_>) -> Outcome {
        if let Some(place) = self.attempts.iter().position(|one| one.leg == leg) {
            return self.attempt_event(place, event, effects);
        }
        self.each(|ring| ring.has(leg), |ring, effects| ring.leg(leg, event, effects), effects)
    }

    /// The device whose reply token this is.
    pub fn device(&self, token: &str) -> Option<&str> {
        self.rings.iter().find_map(|one| one.ring.device(token))
    }

    /// What the push says, for those who ask at the reply address.
    pub fn invite_of(&self, token: &str, effects: &Effects<'_>) -> Option<pns::Invite> {
        self.rings.iter().find_map(|one| one.ring.invite_of(token, effects))
    }

    /// The offer for the callee's side.
    pub fn offer(&self) -> Option<&[u8]> {
        self.brief.plan.offer.as_deref()
    }

    /// A device answered over the reply address.
    pub fn answered(&mut self, prid: &str, answer: Answer, effects: &mut Effects<'_>) -> Outcome {
        let woke = |ring: &Ring| ring.woke(prid);
        self.each(woke, |ring, effects| ring.answered(prid, answer, effects), effects)
    }

    /// Why nobody answered, as the far end says in a header of that name.
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// The caller gave up, or somebody ended the call.
    pub fn cancel(&mut self, effects: &mut Effects<'_>) {
        self.cancel_because(None, effects);
    }

    /// The same, with the value of a Reason header for those who ring.
    pub fn cancel_because(&mut self, reason: Option<String>, effects: &mut Effects<'_>) {
        self.cancel_reason = reason;
        self.done = true;
        self.gate = None;
        self.claims.clear();
        self.end_others(None, effects);
    }

    /// Tells the one ring that fits, and judges what comes of it.
    fn each(
        &mut self,
        fits: impl Fn(&Ring) -> bool,
        tell: impl FnOnce(&mut Ring, &mut Effects<'_>) -> Outcome,
        effects: &mut Effects<'_>,
    ) -> Outcome {
        let Some(place) = self.rings.iter().position(|one| one.live && fits(&one.ring)) else {
            return Outcome::Pending;
        };
        let Some(one) = self.rings.get_mut(place) else { return Outcome::Pending };
        match tell(&mut one.ring, effects) {
            Outcome::Answered { leg, sdp } => {
                one.ring.user().clone_into(&mut self.answered_by);
                self.end_others(Some(leg), effects);
                Outcome::Answered { leg, sdp }
            }
            Outcome::AnsweredByReply { sdp } => {
                one.ring.user().clone_into(&mut self.answered_by);
                self.end_but(place, effects);
                Outcome::AnsweredByReply { sdp }
            }
            Outcome::Failed { status, outcome, text } => {
                let rang = one.rang;
                one.live = false;
                let when = match outcome {
                    "busy" => When::Busy,
                    "declined" => When::Declined,
                    "missed" if rang => When::NoAnswer,
                    _ => When::Unreachable,
                };
                self.fail(Failure { status, outcome, when, text, refusal: None });
                self.judge(effects)
            }
            Outcome::Progress { status, sdp, why } => {
                // Waking is no ringing: nobody has heard anything yet.
                one.rang |= why.is_none();
                Outcome::Progress { status, sdp, why }
            }
            Outcome::Pending => Outcome::Pending,
        }
    }

    fn fail(&mut self, failure: Failure) {
        let says_more = self
            .failure
            .as_ref()
            .is_none_or(|known| better(known.status, failure.status) == failure.status);
        if says_more {
            self.failure = Some(failure);
        }
    }

    /// Begins the stage at `place`.
    fn begin(&mut self, effects: &mut Effects<'_>) {
        let aims = self.brief.stages.get(self.place).map(|stage| stage.aims.clone());
        for aim in aims.unwrap_or_default() {
            match self.line_for(&aim, effects) {
                Some((line, allowance)) => {
                    let ticket = effects.seize(line.clone(), self.brief.plan.session, allowance);
                    self.claims.push(Claim { ticket, line, aim });
                }
                None => self.aim(aim, effects),
            }
        }
    }

    /// The line that a target needs, when somebody limits it.
    fn line_for(&self, aim: &Aim, effects: &Effects<'_>) -> Option<(Line, Allowance)> {
        match &aim.target {
            Target::User { waiting: true, .. } => None,
            Target::User { name, waiting: false } => {
                let one = Allowance { calls: Some(1), per_second: None };
                Some((Line::User(name.clone()), one))
            }
            Target::Trunk { name, emergency, .. } => {
                let trunk = effects.directory().routing().trunks.get(name)?;
                let allowance = trunk.allowance()?;
                let allowance = if *emergency { Allowance::default() } else { allowance };
                Some((Line::Trunk(name.clone()), allowance))
            }
        }
    }

    fn aim(&mut self, aim: Aim, effects: &mut Effects<'_>) {
        match &aim.target {
            Target::User { name, .. } => self.ring(name, &aim, effects),
            Target::Trunk { name, number, identity, .. } => {
                let trunk = effects.directory().routing().trunks.get(name).cloned();
                let sent = trunk.and_then(|trunk| {
                    self.attempt(&trunk, number, identity.as_deref(), &aim, effects)
                });
                if sent.is_none() {
                    let why = "its address is not known, or it was deleted".to_owned();
                    self.tried.push((format!("trunk/{name}"), why));
                    effects.release(&Line::Trunk(name.clone()), self.brief.plan.session);
                    self.trunk_failed(503);
                }
            }
        }
    }

    fn ring(&mut self, name: &str, aim: &Aim, effects: &mut Effects<'_>) {
        let user = sip::write::escape_user(name.as_bytes());
        let mut plan = self.brief.plan.clone();
        plan.to = format!("<sip:{user}@{}>", effects.domain());
        plan.ring = self.patience(effects.now());
        plan.headers.extend(headers(&aim.history, name, |user| address(user, effects)));
        name.clone_into(&mut plan.user);
        let ring = Ring::start(plan, effects);
        self.rings.push(Running { ring, rang: false, live: true });
    }

    /// How long the stage at hand may ring.
    fn patience(&self, now: Instant) -> Duration {
        let left = self.until.since(now);
        let own = self.brief.stages.get(self.place).and_then(|stage| stage.ring);
        own.map_or(left, |seconds| left.min(Duration::from_secs(seconds.into())))
    }

    fn attempt(
        &mut self,
        trunk: &Trunk,
        number: &str,
        identity: Option<&str>,
        aim: &Aim,
        effects: &mut Effects<'_>,
    ) -> Option<()> {
        let mut hops = effects.directory().routing().hops_of(&trunk.name, effects.unix());
        hops.reverse();
        let flow = hops.pop()?;
        let plan = &self.brief.plan;
        let session = plan.session;
        let user = sip::write::escape_user(number.as_bytes());
        let phone = if number.starts_with('+') { ";user=phone" } else { "" };
        let domain = match trunk.from_domain.as_str() {
            "" => trunk.host(),
            domain => domain,
        };
        let own = identity
            .map(|number| format!("sip:{}@{domain}", sip::write::escape_user(number.as_bytes())));
        let shown = own.as_ref().filter(|_| !self.brief.private);
        let from = match (shown, &plan.caller_name) {
            (Some(uri), Some(name)) => format!("{} <{uri}>", sip::write::quote(name)),
            (Some(uri), None) => format!("<{uri}>"),
            (None, _) => "\"Anonymous\" <sip:anonymous@anonymous.invalid>".to_owned(),
        };
        let mut more = plan.headers.clone();
        if let (true, Some(uri)) = (trunk.asserts, &own) {
            more.push(("P-Asserted-Identity".to_owned(), format!("<{uri}>")));
        }
        if self.brief.private {
            more.push(("Privacy".to_owned(), "id".to_owned()));
        }
        more.extend(headers(&aim.history, number, |user| address(user, effects)));
        let line = format!("trying trunk {} with {number} at {flow:?}", trunk.name);
        let invite = InvitePlan {
            session,
            flow,
            uri: format!("sip:{user}@{}{phone}", trunk.server),
            route: String::new(),
            from,
            from_tag: effects.tag(session.slot()),
            to: format!("<sip:{user}@{}>", trunk.host()),
            call_id: effects.call_id(session.slot()),
            cseq: 1,
            max_forwards: plan.max_forwards,
            headers: more,
            sdp: plan.offer_for(flow).cloned(),
            beside: None,
            early_offer: plan.early_offer,
            login: effects.login(trunk),
            keys_else: plan.keys_else,
        };
        effects.ladder(CallId(session.0), Lane::Note, &line);
        let spare = (!hops.is_empty()).then(|| Box::new(Spare { plan: invite.clone(), hops }));
        let leg = effects.invite(invite);
        let timer = effects.set_timer(effects.now() + self.patience(effects.now()));
        let trunk = trunk.name.clone();
        self.attempts.push(Attempt {
            leg,
            trunk,
            timer,
            live: true,
            heard: false,
            hop: flow,
            spare,
        });
        Some(())
    }

    /// The address at hand failed: the same goes to the next one of the trunk, while the time of the stage lasts. False:
    /// there is none.
    ///
    /// Spec: RFC 3263 §4.3 (the same request in a new transaction)
    fn next_hop(&mut self, place: usize, why: &str, effects: &mut Effects<'_>) -> bool {
        let Some(attempt) = self.attempts.get_mut(place) else { return false };
        let Some((mut spare, hop)) = attempt.spare.take().and_then(|mut spare| {
            let hop = spare.hops.pop()?;
            Some((spare, hop))
        }) else {
            return false;
        };
        let (trunk, failed) = (&attempt.trunk, attempt.hop);
        self.tried.push((format!("trunk/{trunk}"), format!("{why} at {failed:?}")));
        let line = format!("trying the next address of trunk {trunk}: {hop:?}");
        spare.plan.flow = hop;
        effects.ladder(CallId(spare.plan.session.0), Lane::Note, &line);
        attempt.leg = effects.invite(spare.plan.clone());
        attempt.hop = hop;
        attempt.spare = Some(spare);
        true
    }

    fn trunk_failed(&mut self, status: u16) {
        self.fail(Failure {
            status,
            outcome: "failed",
            when: When::TrunkFailed,
            text: None,
            refusal: Some(Refusal::NoneUp),
        });
    }

    fn attempt_event(
        &mut self,
        place: usize,
        event: LegEvent,
        effects: &mut Effects<'_>,
    ) -> Outcome {
        let Some(attempt) = self.attempts.get_mut(place).filter(|one| one.live) else {
            return Outcome::Pending;
        };
        let (status, phrase) = match event {
            LegEvent::Answered { sdp } => {
                let leg = attempt.leg;
                self.end_others(Some(leg), effects);
                return Outcome::Answered { leg, sdp };
            }
            LegEvent::Provisional { status, sdp } => {
                attempt.heard = true;
                let status = if sdp.is_some() { 183 } else { status.clamp(180, 183) };
                return Outcome::Progress { status, sdp, why: None };
            }
            LegEvent::Ended { why } => (480, why),
            LegEvent::Failed { status, phrase } => (status, phrase),
            LegEvent::Reason { value } => {
                self.reason = Some(value);
                return Outcome::Pending;
            }
            LegEvent::Cancelled
            | LegEvent::Changed { .. }
            | LegEvent::ChangeAnswered { .. }
            | LegEvent::Confirmed { .. }
            | LegEvent::Declined { .. }
            | LegEvent::Handed { .. }
            | LegEvent::Offered { .. }
            | LegEvent::Request { .. }
            | LegEvent::Response(_)
            | LegEvent::Restored => return Outcome::Pending,
        };
        let (hop, of_the_way) = (attempt.hop, fork::is_of_the_way(status, attempt.heard));
        let trunk = attempt.trunk.clone();
        if of_the_way {
            effects.hop_failed(&trunk, hop);
            if self.next_hop(place, &format!("{status} {phrase}"), effects) {
                return Outcome::Pending;
            }
        }
        let Some(attempt) = self.attempts.get_mut(place) else { return Outcome::Pending };
        attempt.live = false;
        effects.cancel_timer(attempt.timer);
        effects.release(&Line::Trunk(trunk.clone()), self.brief.plan.session);
        self.tried.push((format!("trunk/{trunk}"), format!("{status} {phrase}")));
        match said(status) {
            (When::TrunkFailed, _) => self.trunk_failed(503),
            (when, outcome) => {
                self.fail(Failure { status, outcome, when, text: None, refusal: None });
            }
        }
        self.judge(effects)
    }

    /// Whether the stage is over, and what follows.
    fn judge(&mut self, effects: &mut Effects<'_>) -> Outcome {
        loop {
            let waits = !self.claims.is_empty()
                || self.rings.iter().any(|one| one.live)
                || self.attempts.iter().any(|one| one.live);
            if waits || self.done {
                return Outcome::Pending;
            }
            self.tried = self.tried();
            let said = self.rings.iter().find_map(|one| one.ring.reason()).map(str::to_owned);
            self.reason = said.or(self.reason.take());
            self.rings.clear();
            self.attempts.clear();
            let failure = self.failure.take().unwrap_or(Failure {
                status: 480,
                outcome: "unreachable",
                when: When::Unreachable,
                text: None,
                refusal: None,
            });
            let next = self.brief.stages.iter().position(|stage| {
                stage.after.is_some_and(|(before, when)| {
                    before == self.place && when.follows(failure.when)
                })
            });
            let left = !self.until.since(effects.now()).is_zero();
            match next.filter(|next| left && *next > self.place) {
                Some(next) => {
                    let words = format!("stage {} follows: {}", next + 1, failure.when.word());
                    effects.ladder(CallId(self.brief.plan.session.0), Lane::Note, &words);
                    self.place = next;
                    self.begin(effects);
                }
                None => {
                    self.done = true;
                    self.refusal = failure.refusal;
                    let Failure { status, outcome, text, .. } = failure;
                    return Outcome::Failed { status, outcome, text };
                }
            }
        }
    }

    /// Somebody answered, or nobody is wanted: all others end.
    fn end_others(&mut self, winner: Option<LegId>, effects: &mut Effects<'_>) {
        let session = self.brief.plan.session;
        for one in &mut self.rings {
            if winner.is_none_or(|winner| !one.ring.has(winner)) {
                one.ring.cancel_because(self.cancel_reason.clone(), effects);
                one.live = false;
            }
        }
        for attempt in &mut self.attempts {
            effects.cancel_timer(attempt.timer);
            if attempt.live && Some(attempt.leg) != winner {
                let reason = self.cancel_reason.iter();
                let headers = reason.map(|value| ("Reason".to_owned(), value.clone())).collect();
                effects.leg(session, attempt.leg, LegCommand::End { status: 487, headers });
                effects.release(&Line::Trunk(attempt.trunk.clone()), session);
            }
            attempt.live = false;
        }
        self.claims.clear();
    }

    /// One ring goes on by itself.
    fn end_but(&mut self, place: usize, effects: &mut Effects<'_>) {
        let winner = self.rings.remove(place);
        self.end_others(None, effects);
        self.rings = vec![winner];
        // Nobody follows him: his answer stands.
        self.brief.stages.truncate(self.place + 1);
    }
}

/// What a trunk's refusal says: of itself, or of whoever was called there.
fn said(status: u16) -> (When, &'static str) {
    match status {
        486 | 600 => (When::Busy, "busy"),
        603 | 607 => (When::Declined, "declined"),
        480 => (When::Unreachable, "unreachable"),
        // Nobody there has been asked: our login, their trouble, no answer at all.
        401 | 403 | 407 | 408 | 500..=599 => (When::TrunkFailed, "failed"),
        _ => (When::Declined, "failed"),
    }
}

/// A user as the outside knows him: by his number, when he has one.
fn address(user: &str, effects: &Effects<'_>) -> String {
    let routing = effects.directory().routing();
    let number = routing.numbers_of(user).next().map(|number| number.number.as_str());
    let user = sip::write::escape_user(number.unwrap_or(user).as_bytes());
    format!("sip:{user}@{}", effects.domain())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trunk_gives_way_only_for_its_own_trouble() {
        for status in [401, 403, 407, 408, 500, 502, 503, 504] {
            assert_eq!(said(status).0, When::TrunkFailed, "{status}");
        }
        for status in [404, 410, 480, 484, 486, 487, 488, 600, 603, 604] {
            assert_ne!(said(status).0, When::TrunkFailed, "{status}");
        }
        assert_eq!(said(486), (When::Busy, "busy"));
    }
}
