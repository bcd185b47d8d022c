//! The phone itself: which part of it an event is for.
//!
//! Picture     Event -> transaction (request.rs) -> register.rs | caller.rs, callee.rs | talk.rs |
//!             wake.rs -> Action
//! Rules       A machine leaves its list while it is handled and returns unless it has ended, so
//!             that nothing is looked up twice. `settle` closes the flow of a drowsy phone.
//! Limits      TRANSACTIONS_MAX of each kind: beyond, requests of the peer are answered and
//!             forgotten. FORGOTTEN_MAX calls that must not ring again.
//! Not here    The transactions themselves (sip::transaction).
//! Spec        RFC 3261 §8, §17

use std::collections::VecDeque;
use std::net::SocketAddr;

use sdp::{Direction, Offer, PCMA, PCMU, TELEPHONE_EVENT};
use sip::{Framing, Message, Method};
use types::{Instant, Rng};

use crate::callee::{Answering, Key, Offered, Served};
use crate::caller::{Calling, Inviting};
use crate::config::Config;
use crate::login::Realms;
use crate::register::Registration;
use crate::request::Request;
use crate::wake::Woken;
use crate::words::{Action, Event, Media, PhoneEvent, Stream, Why};

/// Transactions of each kind that one phone keeps.
pub const TRANSACTIONS_MAX: usize = 64;

/// Calls that were refused before their INVITE came, and must not ring again.
pub const FORGOTTEN_MAX: usize = 8;

/// Commands that wait for the flow to open.
const COMMANDS_MAX: usize = 4;

/// One phone.
#[derive(Debug)]
pub struct Phone {
    pub(crate) config: Config,
    pub(crate) rng: Rng,
    pub(crate) line: Line,
    pub(crate) instance: String,
    pub(crate) realms: Realms,
    pub(crate) registration: Registration,
    pub(crate) requests: Vec<Request>,
    pub(crate) inviting: Vec<Inviting>,
    pub(crate) served: Vec<Served>,
    pub(crate) offered: Vec<Offered>,
    pub(crate) call: Option<Call>,
    /// Call-IDs, newest last, with what their INVITE hears.
    pub(crate) forgotten: VecDeque<(String, u16)>,
    pub(crate) waiting: Vec<Event>,
    pub(crate) actions: VecDeque<Action>,
}

/// Whether there is a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// None: a push or a command opens it.
    Asleep,
    /// There is one.
    Awake,
    /// There is one until nothing is under way.
    Drowsy,
    /// One was asked for, to stay.
    Opening,
    /// One was asked for, to refresh the registration and sleep on.
    Stirring,
}

/// One call.
#[derive(Debug)]
pub(crate) struct Call {
    pub id: String,
    /// Where its messages go.
    pub to: SocketAddr,
    /// Names our descriptions in o=.
    pub session: u64,
    pub version: u64,
    /// What we want; `SendOnly` while we hold the other side.
    pub direction: Direction,
    pub stream: Option<Stream>,
    pub stage: Stage,
}

/// How far a call is.
#[derive(Debug)]
pub(crate) enum Stage {
    /// We call.
    Calling(Calling),
    /// An INVITE rings here until `until`.
    Ringing { key: Key, invite: Vec<u8>, tag: Vec<u8>, until: Instant },
    /// Both talk. `answering`: a success of ours that is not acknowledged yet.
    Talking { dialog: Box<sip::dialog::Dialog>, answering: Option<Answering> },
    /// A push told of it; its INVITE is to come.
    Woken(Box<Woken>),
}

impl Phone {
    /// A phone that is awake and has done nothing yet. `rng`: a stream of its own.
    pub fn new(config: Config, mut rng: Rng) -> Self {
        let instance = crate::wire::uuid(&mut rng);
        Self {
            registration: Registration::new(&mut rng),
            config,
            rng,
            line: Line::Awake,
            instance,
            realms: Realms::default(),
            requests: Vec::new(),
            inviting: Vec::new(),
            served: Vec::new(),
            offered: Vec::new(),
            call: None,
            forgotten: VecDeque::new(),
            waiting: Vec::new(),
            actions: VecDeque::new(),
        }
    }

    /// Applies one event. `now` never goes backwards. Drain [`poll`](Self::poll) after each call.
    pub fn handle(&mut self, event: Event, now: Instant) {
        self.handle_unsettled(event, now);
        self.settle();
    }

    pub(crate) fn handle_unsettled(&mut self, event: Event, now: Instant) {
        match event {
            Event::Received { from, bytes } => self.received(from, &bytes, now),
            Event::Deadline => self.passed(now),
            Event::Opened { contact } => self.opened(contact, now),
            Event::Lost => self.lost(now),
            Event::Sleep => self.drowse(),
            Event::Pushed { payload, at } => self.pushed(&payload, at, now),
            Event::Fetched { status, body } => self.fetched(status, &body),
            Event::ReplyAnswered { status } => self.reply_answered(status, now),
            Event::Call { .. } | Event::Register | Event::Unregister if !self.is_open() => {
                self.wait_for_line(event);
            }
            Event::Call { uri } => self.begin_call(uri, now),
            Event::Register => self.register(now),
            Event::Unregister => self.unregister(now),
            Event::Answer => self.answer(now),
            Event::Decline => self.refuse(603, None, now),
            Event::Busy => self.refuse(486, None, now),
            Event::Text(text) => self.refuse(603, Some(text), now),
            Event::HangUp => self.hang_up(now),
            Event::Hold => self.redirect(Direction::SendOnly, now),
            Event::Resume => self.redirect(Direction::SendRecv, now),
        }
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When to call `handle(Event::Deadline, ..)` next.
    pub fn deadline(&self) -> Option<Instant> {
        let requests = self.requests.iter().filter_map(|r| r.machine.deadline());
        let inviting = self.inviting.iter().filter_map(|i| i.machine.deadline());
        let served = self.served.iter().filter_map(|s| s.machine.deadline());
        let offered = self.offered.iter().filter_map(|o| o.machine.deadline());
        let call = self.call.as_ref().and_then(Call::deadline);
        let registration = self.registration.deadline();
        requests.chain(inviting).chain(served).chain(offered).chain(call).chain(registration).min()
    }

    /// The Call-ID of the call there is.
    pub fn call_id(&self) -> Option<&str> {
        self.call.as_ref().map(|call| call.id.as_str())
    }

    /// Whether both sides of the call there is may talk.
    pub fn is_talking(&self) -> bool {
        self.call.as_ref().is_some_and(|call| match &call.stage {
            Stage::Talking { .. } => true,
            Stage::Woken(woken) => woken.is_connected(),
            Stage::Calling(_) | Stage::Ringing { .. } => false,
        })
    }

    /// Whether the phone can be reached, awake or by push.
    pub fn is_registered(&self) -> bool {
        self.registration.is_in()
    }

    /// Whether something was sent whose answer is still to come.
    pub fn is_busy(&self) -> bool {
        self.call.is_some()
            || self.requests.iter().any(|r| !r.machine.message().is_empty())
            || self.inviting.iter().any(Inviting::is_open)
            || self.offered.iter().any(|o| !o.machine.message().is_empty())
    }

    fn received(&mut self, from: SocketAddr, bytes: &[u8], now: Instant) {
        if self.config.server.is_some_and(|server| server != from) {
            return; // We have a server: whoever else writes to us is a stranger.
        }
        let framing = if self.reliable() { Framing::Stream } else { Framing::Datagram };
        let Ok(message) = Message::decode(bytes, framing) else { return };
        if message.check().is_err() {
            if message.is_request() && message.method() != Method::Ack {
                self.refuse_request(&message, from, 400, now);
            }
            return;
        }
        if message.is_request() {
            self.on_request(&message, from, now);
        } else {
            self.on_response(&message, now);
        }
    }

    fn passed(&mut self, now: Instant) {
        self.requests_passed(now);
        self.inviting_passed(now);
        self.served_passed(now);
        self.offered_passed(now);
        self.call_passed(now);
        self.registration_passed(now);
    }

    fn opened(&mut self, contact: SocketAddr, now: Instant) {
        let (line, refresh) = match self.line {
            Line::Opening => (Line::Awake, true),
            Line::Stirring => (Line::Drowsy, true),
            Line::Asleep | Line::Awake | Line::Drowsy => (Line::Awake, false),
        };
        self.line = line;
        self.config.contact = contact;
        let waiting = std::mem::take(&mut self.waiting);
        // A new flow has another address: whoever was reachable by the old one says so first.
        let asked = waiting.iter().any(|e| matches!(e, Event::Register | Event::Unregister));
        if refresh && !asked && self.registration.is_wanted() {
            self.register(now);
        }
        for event in waiting {
            self.handle_unsettled(event, now);
        }
    }

    fn lost(&mut self, now: Instant) {
        self.requests_lost(now);
        self.inviting_lost(now);
        for mut served in std::mem::take(&mut self.served) {
            served.machine.handle(sip::transaction::server::Event::TransportFailed, now);
        }
        match self.line {
            Line::Awake if self.reliable() => {
                self.line = Line::Opening;
                self.actions.push_back(Action::Open);
            }
            // Over UDP nothing has to be opened again.
            Line::Awake | Line::Asleep | Line::Drowsy | Line::Opening | Line::Stirring => (),
        }
    }

    fn drowse(&mut self) {
        match self.line {
            Line::Awake => self.line = Line::Drowsy,
            Line::Opening => self.line = Line::Stirring,
            Line::Asleep | Line::Drowsy | Line::Stirring => (),
        }
    }

    /// Asks for a flow unless there is one. `stay`: [`Line::Opening`] or [`Line::Stirring`].
    pub(crate) fn wake(&mut self, stay: Line) {
        self.line = match (self.line, stay) {
            (Line::Asleep, stay) => {
                self.actions.push_back(Action::Open);
                stay
            }
            (Line::Drowsy, Line::Opening) => Line::Awake,
            (Line::Stirring, Line::Opening) => Line::Opening,
            (line, _) => line,
        };
    }

    pub(crate) fn is_open(&self) -> bool {
        match self.line {
            Line::Awake | Line::Drowsy => true,
            Line::Asleep | Line::Opening | Line::Stirring => false,
        }
    }

    fn wait_for_line(&mut self, event: Event) {
        self.wake(Line::Opening);
        if self.waiting.len() < COMMANDS_MAX && !self.waiting.contains(&event) {
            self.waiting.push(event);
        }
    }

    fn settle(&mut self) {
        if self.line == Line::Drowsy && !self.is_busy() {
            self.line = Line::Asleep;
            self.requests.clear();
            self.inviting.clear();
            self.served.clear();
            self.offered.clear();
            self.actions.push_back(Action::Close);
            self.say(PhoneEvent::Slept);
        }
    }

    pub(crate) fn reliable(&self) -> bool {
        self.config.transport.reliable()
    }

    pub(crate) fn say(&mut self, event: PhoneEvent) {
        self.actions.push_back(Action::Said(event));
    }

    pub(crate) fn send(&mut self, to: SocketAddr, bytes: Vec<u8>) {
        // Asleep there is nothing to send with; who repeats its message will find a flow.
        if self.is_open() && !bytes.is_empty() {
            self.actions.push_back(Action::Send { to, bytes });
        }
    }

    /// What we are ready for in the next description of this call.
    pub(crate) fn description(&self, call: &Call) -> Offer {
        let (session, version, direction) = (call.session, call.version, call.direction);
        Offer { session, version, direction, ..probe(self.config.media) }
    }

    /// Starts, changes or leaves sound as it is.
    pub(crate) fn flow(&mut self, call: &mut Call, stream: Option<Stream>) {
        if let Some(stream) = stream
            && call.stream != Some(stream)
        {
            call.stream = Some(stream);
            self.actions.push_back(Action::Media(Media::Start(stream)));
        }
    }

    pub(crate) fn new_call(&mut self, id: String, to: SocketAddr, stage: Stage) -> Call {
        Call {
            id,
            to,
            session: self.rng.next_u64() >> 2,
            version: 1,
            direction: Direction::SendRecv,
            stream: None,
            stage,
        }
    }

    /// Ends a call that was taken out of `self.call`.
    pub(crate) fn end(&mut self, call: Call, why: Why, response: Option<&Message<'_>>) {
        let (status, reason, warning) = response.map_or_else(
            || (0, String::new(), None),
            |response| {
                let (reason, warning) = crate::wire::explained(response);
                (response.status().unwrap_or(0), reason, warning)
            },
        );
        self.end_with(call, why, (status, reason, warning));
    }

    pub(crate) fn end_with(
        &mut self,
        call: Call,
        why: Why,
        (status, reason, warning): (u16, String, Option<String>),
    ) {
        if call.stream.is_some() {
            self.actions.push_back(Action::Media(Media::Stop));
        }
        self.say(PhoneEvent::Ended { call_id: call.id, why, status, reason, warning });
    }

    /// Remembers what the INVITE of a call hears that is over for us already.
    pub(crate) fn forget(&mut self, call_id: &str, status: u16) {
        self.forgotten.retain(|(known, _)| known != call_id);
        if self.forgotten.len() == FORGOTTEN_MAX {
            self.forgotten.pop_front();
        }
        self.forgotten.push_back((call_id.to_owned(), status));
    }
}

/// What we are ready for, to judge a description by; nobody gets to see it.
pub(crate) fn probe(media: SocketAddr) -> Offer {
    let codecs = vec![PCMU, PCMA, TELEPHONE_EVENT];
    let (address, port) = (media.ip(), media.port());
    Offer { session: 0, version: 0, address, port, codecs, direction: Direction::SendRecv }
}

impl Call {
    fn deadline(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Calling(calling) => Some(calling.until),
            Stage::Ringing { until, .. } => Some(*until),
            Stage::Talking { answering, .. } => answering.as_ref()?.machine.deadline(),
            Stage::Woken(woken) => Some(woken.until),
        }
    }
}
