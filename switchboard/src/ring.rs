//! Reaching one user: bindings, waking, forking, the best answer.
//!
//! Picture     Locating --located--> Trying (branches ring, devices wake) --first answer--> Done
//!             Trying --accept by reply--> Accepted --that device registers--> its one branch --answer--> Done
//!             Trying --nobody left--> Done (failed)
//! Rules       One Call-ID, one From tag for all branches and pushes of a call. The first answer wins, whichever
//!             way it comes; every other device is told. A device with a push token gets its INVITE when it has
//!             registered after the push. With nobody awake and nobody to wake the end comes at once. Devices of lower
//!             preference ring when those above have failed or had their time; a device that cannot be reached by
//!             one of its flows is tried by the next.
//! Limits      `wake` for devices that were pushed, `level` for those of one preference, `ring` in all, CONNECT_MAX
//!             from an accept by reply to the registration; BRANCHES_MAX.
//! Not here    What the push says on its wire (services/push), when to ring (rooms), the order of devices (fork).
//! Spec        RFC 3261 §16.6 and §16.7 (order, best response), RFC 5626 §7 (flows), RFC 5627 §5.4 (one device),
//!             RFC 8599 §5 (holding), RFC 3326 (Reason of CANCEL).

mod levels;
pub mod reply;
mod wakes;

use std::collections::VecDeque;
use std::time::Duration;

use types::{CallId, Flow, Instant, LegId, SessionId, Transport, UnixTime};

use crate::directory::{Binding, Device, Located};
use crate::effects::Effects;
use crate::fork::{self, Ways};
use crate::gruu::Gruu;
use crate::input::Ticket;
use crate::leg::{InvitePlan, LegCommand, LegEvent};
use crate::notice::{Notice, WakeOver};
use crate::service::{Attachment, LegPlan};

/// From an accept by reply until the phone has registered.
pub const CONNECT_MAX: Duration = Duration::from_secs(10);
/// Branches of one call.
pub const BRANCHES_MAX: usize = 20;

/// Whom to reach, and on whose behalf.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The session that rings.
    pub session: SessionId,
    /// The user who is called.
    pub user: String,
    /// His one device that is wanted; `None`: all of them.
    pub device: Option<Gruu>,
    /// From, a name-addr without tag.
    pub from: String,
    /// To, a name-addr.
    pub to: String,
    /// Address of the caller for people.
    pub caller_uri: String,
    /// Name of the caller, when there is one.
    pub caller_name: Option<String>,
    /// The caller, when he is one of our people.
    pub caller_user: Option<String>,
    /// Where the caller's terminal is reached.
    pub caller_addr: Option<String>,
    /// The offer for the callee's side.
    pub offer: Option<Vec<u8>>,
    /// The same for those of his devices that are browsers.
    pub offer_web: Option<Vec<u8>>,
    /// The same for those that are reached by TLS, which may be asked for media with keys alone.
    pub offer_strict: Option<Vec<u8>>,
    /// Whether a phone that takes no plain media may be asked once more, with keys.
    pub keys_else: bool,
    /// Without an offer: whether the caller could answer one of a phone that rings.
    pub early_offer: bool,
    /// Hops left.
    pub max_forwards: u8,
    /// More header fields of the INVITE.
    pub headers: Vec<(String, String)>,
    /// How long devices may take to wake.
    pub wake: Duration,
    /// How long the devices of one preference ring alone before lower ones do; `None`: all ring at once.
    pub level: Option<Duration>,
    /// How long it may ring in all.
    pub ring: Duration,
}

impl Plan {
    /// The offer for whoever is reached this way.
    pub fn offer_for(&self, flow: Flow) -> Option<&Vec<u8>> {
        let own = match flow.transport {
            Transport::Ws | Transport::Wss => &self.offer_web,
            Transport::Tls => &self.offer_strict,
            Transport::Tcp | Transport::Udp => &None,
        };
        own.as_ref().or(self.offer.as_ref())
    }
}

/// One INVITE on its way.
#[derive(Clone, Debug)]
struct Branch {
    leg: LegId,
    contact: String,
    /// The token of the device, when it was woken.
    prid: Option<String>,
    live: bool,
    /// It said something: the way to it is good.
    rang: bool,
    /// The device, when it keeps flows open: it is called by one of them.
    instance: String,
    /// Other ways to the same device, the next one first.
    spares: Ways,
}

/// One device that is being woken.
#[derive(Clone, Debug)]
struct Waking {
    prid: String,
    token: String,
    state: WakeState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WakeState {
    /// It cannot be woken.
    Failed,
    /// It is here: it has a branch.
    Here,
    /// Its push is out.
    Waiting,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// A device accepted by reply and is expected to register.
    Accepted {
        prid: String,
        until: Instant,
    },
    Done,
    Locating,
    Trying,
}

/// What a device said over the reply address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It takes the call, perhaps with a description.
    Accept {
        /// The answer to the offer.
        sdp: Option<Vec<u8>>,
    },
    /// It is busy.
    Busy,
    /// It does not want the call.
    Decline,
    /// It does not take the call and says something.
    Text(String),
}

/// What came of it so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Somebody answered.
    Answered {
        /// The leg.
        leg: LegId,
        /// The description.
        sdp: Option<Vec<u8>>,
    },
    /// Somebody answered over the reply address, with a description; the leg follows when the phone registers.
    AnsweredByReply {
        /// The description.
        sdp: Vec<u8>,
    },
    /// Nobody will answer.
    Failed {
        /// Status for the caller.
        status: u16,
        /// `busy`, `declined`, `missed`, `unreachable` or `failed`.
        outcome: &'static str,
        /// Words of the one who declined.
        text: Option<String>,
    },
    /// Nothing for the caller.
    Pending,
    /// The caller may hear something.
    Progress {
        /// 180 or 183.
        status: u16,
        /// A description for early media.
        sdp: Option<Vec<u8>>,
        /// Why, for people.
        why: Option<&'static str>,
    },
}

/// See the head of this file.
#[derive(Clone, Debug)]
pub struct Ring {
    plan: Plan,
    state: State,
    call_id: String,
    from_tag: String,
    ticket: Ticket,
    timer: Option<Ticket>,
    began: UnixTime,
    /// End of waking, end of ringing, end of the time of this preference.
    wake_until: Instant,
    ring_until: Instant,
    level_until: Instant,
    /// When devices of this preference were woken.
    woke: UnixTime,
    /// What the API knows of devices that registered: keys of Web Push, a second token.
    devices: Vec<Device>,
    /// Devices of lower preference, the next ones first.
    levels: VecDeque<Vec<Ways>>,
    branches: Vec<Branch>,
    wakes: Vec<Waking>,
    /// The best failure so far, and whose it is.
    best: u16,
    best_of: Option<LegId>,
    /// What phones gave as their reason, in a header of that name.
    reasons: Vec<(LegId, String)>,
    /// Why the caller gave up, in his words.
    cancel_reason: Option<String>,
    /// Who was tried and what came of it, for the ladder and refusals.
    tried: Vec<(String, String)>,
}

impl Ring {
    /// Asks where the user is.
    pub fn start(plan: Plan, effects: &mut Effects<'_>) -> Self {
        let slot = plan.session.slot();
        let call_id = effects.call_id(slot);
        let from_tag = effects.tag(slot);
        let now = effects.now();
        let until = effects.unix() + plan.ring;
        let ticket = effects.locate(&plan.user, plan.session, until);
        let (wake_until, ring_until) = (now + plan.wake, now + plan.ring);
        Self {
            state: State::Locating,
            call_id,
            from_tag,
            ticket,
            timer: None,
            began: effects.unix(),
            wake_until,
            ring_until,
            level_until: ring_until,
            woke: effects.unix(),
            devices: Vec::new(),
            levels: VecDeque::new(),
            branches: Vec::new(),
            wakes: Vec::new(),
            best: 0,
            best_of: None,
            reasons: Vec::new(),
            cancel_reason: None,
            tried: Vec::new(),
            plan,
        }
    }

    /// The Call-ID that all branches and pushes carry.
    pub fn call_id(&self) -> &str {
        &self.call_id
    }

    /// The user who is called.
    pub fn user(&self) -> &str {
        &self.plan.user
    }

    /// Whom it tried and what came of it.
    pub fn tried(&self) -> &[(String, String)] {
        &self.tried
    }

    /// Why the best failure was one, as its phone says.
    pub fn reason(&self) -> Option<&str> {
        let best = self.best_of?;
        self.reasons.iter().find(|(leg, _)| *leg == best).map(|(_, value)| value.as_str())
    }

    /// Whether this ticket is its question for the user.
    pub fn asked(&self, ticket: Ticket) -> bool {
        self.ticket == ticket && self.state == State::Locating
    }

    /// Whether this ticket is its timer.
    pub fn timed(&self, ticket: Ticket) -> bool {
        self.timer == Some(ticket)
    }

    /// The tickets that it waits for: its question, its timer.
    pub fn tickets(&self) -> impl Iterator<Item = Ticket> + use<> {
        let question = (self.state == State::Locating).then_some(self.ticket);
        [question, self.timer].into_iter().flatten()
    }

    /// Whether this leg is one of its branches.
    pub fn has(&self, leg: LegId) -> bool {
        self.branches.iter().any(|branch| branch.leg == leg)
    }

    /// Whether the push of this token is out and may still bring a device.
    pub fn is_waking(&self, prid: &str) -> bool {
        self.wakes.iter().any(|wake| wake.prid == prid && wake.state == WakeState::Waiting)
    }

    /// Whether this device was pushed.
    pub fn woke(&self, prid: &str) -> bool {
        self.wakes.iter().any(|wake| wake.prid == prid)
    }

    /// Whether some device is being woken: the caller's wait should be kept safe.
    pub fn wakes(&self) -> bool {
        !self.wakes.is_empty()
    }

    /// The user's home answered.
    pub fn located(&mut self, located: Located, effects: &mut Effects<'_>) -> Outcome {
        if self.state != State::Locating {
            return Outcome::Pending;
        }
        self.state = State::Trying;
        let located = self.wanted(located, effects);
        let Located { bindings, devices } = located;
        // Devices that are known by the API alone have no preference: they belong to the first.
        let (known, first) =
            devices.into_iter().partition(|device| levels::has_binding(device, &bindings));
        self.devices = known;
        self.levels = fork::levels(bindings, self.plan.level.is_some()).into();
        self.next_level(effects);
        for device in first {
            self.wake(device, effects);
        }
        if self.branches.is_empty() && self.wakes.is_empty() {
            self.tried.push((
                self.plan.user.clone(),
                "no device is registered and none can be woken".into(),
            ));
        }
        let waking = self.wakes.iter().any(|wake| wake.state == WakeState::Waiting);
        let outcome = self.verdict(effects);
        self.arm(effects);
        match outcome {
            Outcome::Pending if waking => {
                Outcome::Progress { status: 180, sdp: None, why: Some("waking the callee's phone") }
            }
            outcome @ (Outcome::Pending
            | Outcome::Answered { .. }
            | Outcome::AnsweredByReply { .. }
            | Outcome::Failed { .. }
            | Outcome::Progress { .. }) => outcome,
        }
    }

    /// The user registered somewhere.
    pub fn arrived(&mut self, binding: &Binding, effects: &mut Effects<'_>) -> Outcome {
        let keys = effects.keys();
        if self.gruu().is_some_and(|gruu| !gruu.names(&keys, binding)) {
            return Outcome::Pending;
        }
        let prid = binding.push.as_ref().map(|target| target.prid.clone());
        match &self.state {
            State::Accepted { prid: accepted, .. } => {
                if prid.as_ref() == Some(accepted) {
                    self.state = State::Trying;
                    self.woken(binding, prid, effects);
                }
            }
            State::Trying => self.woken(binding, prid, effects),
            // The answer to our question will contain it.
            State::Locating | State::Done => (),
        }
        self.arm(effects);
        Outcome::Pending
    }

    fn woken(&mut self, binding: &Binding, prid: Option<String>, effects: &mut Effects<'_>) {
        let known = self.branches.iter().any(|branch| {
            branch.live
                && (branch.contact == binding.contact
                    || (prid.is_some() && branch.prid == prid)
                    || (binding.is_outbound() && branch.instance == binding.instance))
        });
        if known {
            return;
        }
        for wake in &mut self.wakes {
            if Some(&wake.prid) == prid.as_ref() {
                wake.state = WakeState::Here;
            }
        }
        self.invite(binding, prid, Ways::new(), effects);
    }

    /// A leg of one of its branches.
    pub fn leg(&mut self, leg: LegId, event: LegEvent, effects: &mut Effects<'_>) -> Outcome {
        let Some(place) = self.branches.iter().position(|branch| branch.leg == leg) else {
            return Outcome::Pending;
        };
        match event {
            LegEvent::Answered { sdp } => {
                let winner = self.branches.get(place).and_then(|branch| branch.prid.clone());
                self.settle(Some(leg), WakeOver::AnsweredElsewhere, winner, effects);
                Outcome::Answered { leg, sdp }
            }
            LegEvent::Ended { why } => self.branch_failed(place, 480, &why, effects),
            LegEvent::Failed { status, phrase } => {
                self.branch_failed(place, status, &phrase, effects)
            }
            LegEvent::Provisional { status, sdp } => {
                if let Some(branch) = self.branches.get_mut(place) {
                    branch.rang = true;
                }
                let status = if sdp.is_some() { 183 } else { status.clamp(180, 183) };
                Outcome::Progress { status, sdp, why: None }
            }
            LegEvent::Reason { value } => {
                self.reasons.push((leg, value));
                Outcome::Pending
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
            | LegEvent::Restored => Outcome::Pending,
        }
    }

    fn branch_failed(
        &mut self,
        place: usize,
        status: u16,
        phrase: &str,
        effects: &mut Effects<'_>,
    ) -> Outcome {
        let (mut way, mut asleep) = (None, None);
        if let Some(branch) = self.branches.get_mut(place) {
            branch.live = false;
            self.tried.push((branch.contact.clone(), format!("{status} {phrase}")));
            if status == 430 {
                let (user, contact) = (self.plan.user.clone(), branch.contact.clone());
                effects.publish(Notice::FlowFailed { user, contact });
            }
            if fork::is_of_the_way(status, branch.rang) && self.state == State::Trying {
                let mut spares = std::mem::take(&mut branch.spares).into_iter();
                way = spares.next().map(|way| (way, branch.prid.clone(), spares.collect()));
                asleep = branch.prid.clone().filter(|_| way.is_none());
            }
        }
        if let Some((way, prid, spares)) = way {
            self.invite(&way, prid, spares, effects);
            return self.verdict(effects);
        }
        if let Some(prid) = asleep {
            self.fall_back(&prid, effects);
        }
        let best = better(self.best, status);
        if best != self.best {
            self.best_of = self.branches.get(place).map(|branch| branch.leg);
        }
        self.best = best;
        if status >= 600 {
            // RFC 3261 §16.7 step 5: nobody else is asked.
            self.settle(None, WakeOver::Cancelled, None, effects);
            return Outcome::Failed { status, outcome: "declined", text: None };
        }
        self.verdict(effects)
    }

    /// What became of a push.
    pub fn wake_ended(
        &mut self,
        prid: &str,
        accepted: bool,
        why: &str,
        effects: &mut Effects<'_>,
    ) -> Outcome {
        if accepted {
            return Outcome::Pending;
        }
        let waiting = self
            .wakes
            .iter_mut()
            .find(|wake| wake.prid == prid && wake.state == WakeState::Waiting);
        if let Some(wake) = waiting {
            wake.state = WakeState::Failed;
            self.tried.push((types::Pii(prid).to_string(), why.to_owned()));
        }
        self.verdict(effects)
    }

    /// The timer came.
    pub fn timer(&mut self, effects: &mut Effects<'_>) -> Outcome {
        self.timer = None;
        let now = effects.now();
        if let State::Accepted { until, .. } = &self.state
            && *until <= now
        {
            self.tried
                .push((self.plan.user.clone(), "accepted, but did not register in time".into()));
            self.settle(None, WakeOver::Cancelled, None, effects);
            return Outcome::Failed { status: 480, outcome: "unreachable", text: None };
        }
        if now >= self.ring_until {
            self.tried.push((self.plan.user.clone(), "rang and nobody answered".into()));
            let rang = !self.branches.is_empty();
            self.settle(None, WakeOver::Missed, None, effects);
            let outcome = if rang { "missed" } else { "unreachable" };
            return Outcome::Failed { status: 480, outcome, text: None };
        }
        if now >= self.level_until && !self.levels.is_empty() {
            self.leave_level(effects);
            self.next_level(effects);
        }
        if now >= self.wake_until {
            for wake in &mut self.wakes {
                if wake.state == WakeState::Waiting {
                    wake.state = WakeState::Failed;
                    let name = types::Pii(&wake.prid).to_string();
                    self.tried.push((name, "pushed, but did not register in time".into()));
                }
            }
        }
        let outcome = self.verdict(effects);
        self.arm(effects);
        outcome
    }

    /// The device whose reply token this is.
    pub fn device(&self, token: &str) -> Option<&str> {
        let fits = |wake: &&Waking| crate::link::same(wake.token.as_bytes(), token.as_bytes());
        self.wakes.iter().find(fits).map(|wake| wake.prid.as_str())
    }

    /// What the push says, for those who ask at the reply address.
    pub fn invite_of(&self, token: &str, effects: &Effects<'_>) -> Option<pns::Invite> {
        self.device(token)?;
        Some(self.push_invite(token.to_owned(), effects))
    }

    /// The offer for the callee's side.
    pub fn offer(&self) -> Option<&[u8]> {
        self.plan.offer.as_deref()
    }

    /// A device answered over the reply address.
    pub fn answered(&mut self, prid: &str, answer: Answer, effects: &mut Effects<'_>) -> Outcome {
        if !matches!(self.state, State::Trying) {
            return Outcome::Pending;
        }
        match answer {
            Answer::Accept { sdp } => {
                let own = self
                    .branches
                    .iter()
                    .find(|branch| branch.live && branch.prid.as_deref() == Some(prid))
                    .map(|branch| branch.leg);
                let user = self.plan.user.clone();
                self.settle(own, WakeOver::AnsweredElsewhere, Some(prid.to_owned()), effects);
                // It stays on watch: its registration is still to come.
                let until = effects.unix() + CONNECT_MAX;
                if own.is_none() {
                    self.ticket = effects.locate(&user, self.plan.session, until);
                    let until = effects.now() + CONNECT_MAX;
                    self.state = State::Accepted { prid: prid.to_owned(), until };
                } else {
                    self.state = State::Trying;
                }
                self.ring_until = effects.now() + CONNECT_MAX;
                self.arm(effects);
                match sdp {
                    Some(sdp) => Outcome::AnsweredByReply { sdp },
                    None => Outcome::Progress { status: 183, sdp: None, why: Some("connecting") },
                }
            }
            Answer::Busy => self.refused(prid, 486, "busy", None, effects),
            Answer::Decline => self.refused(prid, 603, "declined", None, effects),
            Answer::Text(text) => self.refused(prid, 603, "declined", Some(text), effects),
        }
    }

    fn refused(
        &mut self,
        prid: &str,
        status: u16,
        outcome: &'static str,
        text: Option<String>,
        effects: &mut Effects<'_>,
    ) -> Outcome {
        self.tried.push((types::Pii(prid).to_string(), format!("answered the push: {outcome}")));
        self.settle(None, WakeOver::Cancelled, Some(prid.to_owned()), effects);
        Outcome::Failed { status, outcome, text }
    }

    /// The caller gave up, or somebody ended the call.
    pub fn cancel(&mut self, effects: &mut Effects<'_>) {
        self.cancel_because(None, effects);
    }

    /// The same, with the value of a Reason header for the phones that ring.
    pub fn cancel_because(&mut self, reason: Option<String>, effects: &mut Effects<'_>) {
        if self.state == State::Done {
            return;
        }
        self.cancel_reason = reason;
        self.settle(None, WakeOver::Cancelled, None, effects);
    }

    /// Ends everything but the winner, and tells all others why.
    fn settle(
        &mut self,
        winner: Option<LegId>,
        why: WakeOver,
        answered_by: Option<String>,
        effects: &mut Effects<'_>,
    ) {
        let elsewhere = why == WakeOver::AnsweredElsewhere;
        for branch in &mut self.branches {
            if !branch.live || Some(branch.leg) == winner {
                continue;
            }
            branch.live = false;
            let headers = if elsewhere {
                let reason = "SIP;cause=200;text=\"Call completed elsewhere\"";
                vec![("Reason".to_owned(), reason.to_owned())]
            } else {
                let reason = self.cancel_reason.iter();
                reason.map(|value| ("Reason".to_owned(), value.clone())).collect()
            };
            let command = LegCommand::End { status: 487, headers };
            effects.leg(self.plan.session, branch.leg, command);
        }
        if !self.wakes.is_empty() {
            effects.publish(Notice::WakeOver {
                user: self.plan.user.clone(),
                call_id: self.call_id.clone(),
                why,
                answered_by,
            });
        }
        effects.unwatch(&self.plan.user, self.plan.session);
        if let Some(timer) = self.timer.take() {
            effects.cancel_timer(timer);
        }
        self.state = State::Done;
    }

    /// Whether anybody is left who may answer.
    fn verdict(&mut self, effects: &mut Effects<'_>) -> Outcome {
        loop {
            let live = self.branches.iter().any(|branch| branch.live);
            let waiting = self.wakes.iter().any(|wake| wake.state == WakeState::Waiting);
            if live || waiting || !matches!(self.state, State::Trying) {
                return Outcome::Pending;
            }
            if !self.next_level(effects) {
                break;
            }
            self.arm(effects);
        }
        let why = if self.branches.is_empty() { WakeOver::Missed } else { WakeOver::Cancelled };
        self.settle(None, why, None, effects);
        let (status, outcome) = match self.best {
            0 => (480, "unreachable"),
            status @ (486 | 600) => (status, "busy"),
            status @ 603 => (status, "declined"),
            // What says something about our own requests is not the caller's business (RFC 3261 §16.7).
            401 | 407 | 503 => (480, "failed"),
            408 => (480, "missed"),
            // Where the callee went is not followed, and our own caller could not.
            300..=399 => (480, "failed"),
            status => (status, "failed"),
        };
        Outcome::Failed { status, outcome, text: None }
    }

    fn invite(
        &mut self,
        binding: &Binding,
        prid: Option<String>,
        spares: Ways,
        effects: &mut Effects<'_>,
    ) {
        if self.branches.len() >= BRANCHES_MAX {
            return;
        }
        let attachments = effects.attachments(&LegPlan {
            session: self.plan.session,
            call: CallId(self.plan.session.0),
            callee: &self.plan.user,
            caller: self.plan.caller_user.as_deref(),
            until: self.began + self.plan.ring,
        });
        let mut headers = self.plan.headers.clone();
        headers
            .extend(attachments.into_iter().map(|Attachment::Header(name, value)| (name, value)));
        let offer = self.plan.offer_for(binding.flow).cloned();
        let leg = effects.invite(InvitePlan {
            session: self.plan.session,
            flow: binding.flow,
            uri: binding.contact.clone(),
            route: binding.path.clone(),
            from: self.plan.from.clone(),
            from_tag: self.from_tag.clone(),
            to: self.plan.to.clone(),
            call_id: self.call_id.clone(),
            cseq: 1,
            max_forwards: self.plan.max_forwards,
            headers,
            sdp: offer,
            // Two phones that ring with offers of their own could not both be answered.
            beside: None,
            early_offer: self.plan.early_offer && self.branches.is_empty(),
            login: None,
            keys_else: self.plan.keys_else,
        });
        let instance = if binding.is_outbound() { binding.instance.clone() } else { String::new() };
        self.branches.push(Branch {
            leg,
            contact: binding.contact.clone(),
            prid,
            live: true,
            rang: false,
            instance,
            spares,
        });
    }

    /// Sets the timer for whatever ends first.
    fn arm(&mut self, effects: &mut Effects<'_>) {
        if let Some(timer) = self.timer.take() {
            effects.cancel_timer(timer);
        }
        let waiting = self.wakes.iter().any(|wake| wake.state == WakeState::Waiting);
        let at = match &self.state {
            State::Accepted { until, .. } => *until,
            State::Trying if waiting => self.wake_until.min(self.level_until).min(self.ring_until),
            State::Trying => self.level_until.min(self.ring_until),
            State::Done | State::Locating => return,
        };
        self.timer = Some(effects.set_timer(at));
    }
}

/// The better of two failures, for the caller (RFC 3261 §16.7 step 6): the lowest class, and in it what says most.
pub(crate) fn better(known: u16, new: u16) -> u16 {
    let rank = |status: u16| match status {
        0 => 1_000,
        600..=699 => 0,
        486 => 1,
        // The callee's own trouble says more than a time-out.
        480 => 20,
        408 | 487 => 30,
        401 | 407 | 503 => 40,
        status => 2 + status / 100,
    };
    if rank(new) < rank(known) { new } else { known }
}

#[cfg(test)]
mod tests {
    use super::better;

    #[test]
    fn the_best_failure_says_most() {
        assert_eq!(better(0, 480), 480);
        assert_eq!(better(480, 486), 486);
        assert_eq!(better(486, 404), 486);
        assert_eq!(better(486, 603), 603);
        assert_eq!(better(503, 408), 408);
    }
}
