//! The desk itself: which part of it an event is for, and its registration.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use sip::write::{Writer, escape_param, response_to};
use sip::{Framing, Message, Method, Name};
use types::{Instant, Rng, Seconds, Secret};

use crate::call::{Call, Stage};
use crate::request::{Purpose, Request};
use crate::wire::{self, Outline};
use crate::words::{Action, Command, Event, Kept, No, Said};

/// Calls of one desk at a time, those that ring included; a further one hears 486.
pub const CALLS_MAX: usize = 8;
/// Requests that wait for answers; beyond, nobody waits for them.
pub const REQUESTS_MAX: usize = 64;
/// Wished life of a registration: short, since a page may be gone without a word.
pub const REGISTRATION: Seconds = Seconds(120);
/// How long before its end a registration is refreshed.
pub const REFRESH: Duration = Duration::from_secs(60);
/// How long after a registration failed it is tried again.
pub const RETRY: Duration = Duration::from_secs(5);
/// Octets of the endpoint of a push subscription; a longer one is refused.
pub const ENDPOINT_MAX: usize = 2_048;

/// Whose desk it is.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name of the user.
    pub user: String,
    /// Domain of the user.
    pub domain: String,
    /// The far end of the flow: Via and Contact.
    pub contact: SocketAddr,
}

/// One desk.
#[derive(Debug)]
pub struct Desk {
    pub(crate) config: Config,
    pub(crate) rng: Rng,
    pub(crate) pass: Secret<String>,
    pub(crate) calls: Vec<Call>,
    pub(crate) requests: Vec<Request>,
    pub(crate) actions: VecDeque<Action>,
    pub(crate) closing: bool,
    away: bool,
    registration: Registration,
}

#[derive(Debug)]
struct Registration {
    instance: String,
    call_id: String,
    tag: Vec<u8>,
    cseq: u32,
    wanted: bool,
    /// The endpoint by which the page can be woken.
    push: Option<String>,
    /// What the page heard last.
    told: bool,
    again: Option<Instant>,
}

impl Desk {
    /// A desk that has done nothing yet. `rng`: a stream of its own; `pass`: as
    /// [`Event::Pass`] renews it.
    pub fn new(config: Config, pass: Secret<String>, mut rng: Rng) -> Self {
        let registration = Registration {
            instance: wire::uuid(&mut rng),
            call_id: wire::uuid(&mut rng),
            tag: wire::tag(&mut rng),
            cseq: 0,
            wanted: false,
            push: None,
            told: false,
            again: None,
        };
        Self {
            config,
            rng,
            pass,
            calls: Vec::new(),
            requests: Vec::new(),
            actions: VecDeque::new(),
            closing: false,
            away: false,
            registration,
        }
    }

    /// Applies one event. `now` never goes backwards. Drain [`poll`](Self::poll) after each call.
    pub fn handle(&mut self, event: Event, now: Instant) {
        match event {
            Event::Away => self.away = true,
            Event::Back => self.back(now),
            Event::Close => self.close(now),
            Event::Command { id, command } => {
                let said = match self.command(command, now) {
                    Ok(call) => Said::Done { id, call },
                    Err(no) => Said::Unwilling { id, no },
                };
                self.say(said);
            }
            Event::Deadline => {
                self.requests_passed(now);
                self.calls_passed(now);
                if self.registration.again.is_some_and(|at| at <= now) {
                    self.register(now);
                }
            }
            Event::Pass(pass) => self.pass = pass,
            Event::Received(bytes) => self.received(&bytes, now),
            Event::TakenUp => {
                self.refuse_waiting();
                self.back(now);
            }
        }
        if self.closing && self.calls.is_empty() && self.requests.is_empty() {
            self.actions.push_back(Action::Closed);
        }
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When to call `handle(Event::Deadline, ..)` next.
    pub fn deadline(&self) -> Option<Instant> {
        let requests = self.requests.iter().map(|request| request.until);
        let calls = self.calls.iter().filter_map(Call::deadline);
        requests.chain(calls).chain(self.registration.again).min()
    }

    /// Calls that the page knows.
    pub fn calls(&self) -> usize {
        self.calls.iter().filter(|call| !call.is_left()).count()
    }

    /// The calls that a page finds which takes them up after [`Event::TakenUp`], in the order of their ids.
    pub fn kept(&self) -> Vec<Kept> {
        let known = self.calls.iter().filter(|call| !call.is_left());
        let mut kept: Vec<Kept> = known.map(Call::kept).collect();
        kept.sort_by(|one, other| one.call.cmp(&other.call));
        kept
    }

    fn command(&mut self, command: Command, now: Instant) -> Result<Option<String>, No> {
        match command {
            Command::Agree { call, sdp } => self.agree(&call, &sdp, now)?,
            Command::Answer { call, sdp } => self.answer(&call, &sdp, now)?,
            Command::Call { to, sdp } => return self.call(&to, &sdp, now).map(Some),
            Command::Change { call, sdp } => self.change(&call, &sdp, now)?,
            Command::Decline { call } => self.decline(&call)?,
            Command::Hangup { call } => self.hang_up(&call, now)?,
            Command::Keys { call, keys } => self.press(&call, &keys, now)?,
            Command::Register { push } => {
                let fits = |push: &String| {
                    push.len() <= ENDPOINT_MAX && push.bytes().all(|octet| octet.is_ascii_graphic())
                };
                if !push.as_ref().is_none_or(fits) {
                    return Err(No::NotAnEndpoint);
                }
                self.registration.push = push.filter(|push| !push.is_empty());
                (self.registration.wanted, self.registration.told) = (true, false);
                self.register(now);
            }
            Command::Transfer { call, to, with } => {
                self.transfer(&call, to.as_deref(), with.as_deref(), now)?;
            }
            Command::Unregister => self.unregister(now),
        }
        Ok(None)
    }

    /// A page that slept says that it is here: a call may wait for that.
    fn back(&mut self, now: Instant) {
        self.away = false;
        if self.registration.wanted && self.registration.push.is_some() {
            self.register(now);
        }
    }

    /// Whether a call reaches the page by a push rather than here.
    pub(crate) fn sleeps(&self) -> bool {
        self.away && self.registration.push.is_some()
    }

    fn close(&mut self, now: Instant) {
        if self.closing {
            return;
        }
        let calls: Vec<String> = self.calls.iter().map(|call| call.id.clone()).collect();
        for call in calls {
            // Those that we gave up already end by themselves.
            let _ = self.hang_up(&call, now);
        }
        if self.registration.wanted {
            self.unregister(now);
        }
        self.closing = true;
    }

    fn received(&mut self, bytes: &[u8], now: Instant) {
        let Ok(message) = Message::decode(bytes, Framing::Datagram) else { return };
        if message.is_request() {
            return self.requested(&message, now);
        }
        let Ok(via) = message.via() else { return };
        let Some(branch) = via.branch().map(<[u8]>::to_vec) else { return };
        if message.method() == Method::Invite {
            self.invite_answered(&branch, &message, now);
        } else {
            self.request_answered(&branch, &message, now);
        }
    }

    fn requested(&mut self, request: &Message<'_>, now: Instant) {
        let inside = request.to().is_ok_and(|to| to.tag().is_some());
        match request.method() {
            Method::Ack => self.acknowledged(request),
            Method::Bye => self.bye_came(request),
            Method::Cancel => self.cancel_came(request),
            Method::Info if inside => self.info_came(request),
            Method::Invite if inside => self.change_came(request, now),
            Method::Invite => self.invited(request, now),
            Method::Notify if inside => self.notify_came(request, now),
            Method::Options => self.reply(request, 200, |writer| {
                writer.header(Name::Allow, wire::ALLOW).header(Name::Accept, wire::SDP);
            }),
            Method::Update if inside => self.update_came(request),
            Method::Info
            | Method::Message
            | Method::Notify
            | Method::Prack
            | Method::Publish
            | Method::Refer
            | Method::Register
            | Method::Subscribe
            | Method::Update => self.reply(request, 405, |writer| {
                writer.header(Name::Allow, wire::ALLOW);
            }),
            Method::Other(_) => self.reply(request, 501, |_| ()),
        }
    }

    /// Answers a request under a tag of its own.
    pub(crate) fn reply(
        &mut self,
        request: &Message<'_>,
        status: u16,
        more: impl FnOnce(&mut Writer<'_>),
    ) {
        let tag = wire::tag(&mut self.rng);
        self.reply_as(request, status, &tag, |writer| {
            more(writer);
            writer.end();
        });
    }

    /// Answers a request under a known tag. `more` ends the answer.
    pub(crate) fn reply_as(
        &mut self,
        request: &Message<'_>,
        status: u16,
        tag: &[u8],
        more: impl FnOnce(&mut Writer<'_>),
    ) {
        let mut out = Vec::new();
        let mut writer = response_to(&mut out, request, status, None, Some(tag), None);
        if status < 300 && request.method() == Method::Invite {
            writer.copy(request, Name::RecordRoute);
        }
        more(&mut writer);
        self.send(out);
    }

    fn unregister(&mut self, now: Instant) {
        self.registration.wanted = false;
        self.registration.again = None;
        self.send_register(0, now);
    }

    fn register(&mut self, now: Instant) {
        self.registration.again = None;
        self.send_register(REGISTRATION.0, now);
    }

    fn send_register(&mut self, expires: u32, now: Instant) {
        // An older one must not come through behind this one.
        self.requests.retain(|known| known.purpose != Purpose::Register);
        self.registration.cseq += 1;
        let uri = sip::write::uri(None, self.config.domain.as_bytes(), None);
        let (aor, branch) = (self.aor(), wire::branch(&mut self.rng));
        let outline = Outline {
            method: Method::Register,
            uri: uri.as_bytes(),
            to: aor.as_bytes(),
            tag: &self.registration.tag,
            call_id: &self.registration.call_id,
            cseq: self.registration.cseq,
            branch: &branch,
        };
        let instance = &self.registration.instance;
        let contact = self.contact_with(&pushed(self.registration.push.as_deref()));
        let contact = format!("{contact};+sip.instance=\"<urn:uuid:{instance}>\"");
        let mut out = Vec::new();
        let mut writer = self.begin(&outline, &mut out);
        writer
            .header(Name::Contact, contact)
            .number(Name::Expires, expires.into())
            .header(Name::Allow, wire::ALLOW)
            .end();
        self.ask(Purpose::Register, branch, out, now);
    }

    pub(crate) fn register_concluded(&mut self, answer: Option<&Message<'_>>, now: Instant) {
        let (status, reason, warning) =
            answer.map_or_else(|| (408, sip::reason_phrase(408).to_owned(), None), wire::explained);
        if !self.registration.wanted {
            self.registration.told = false;
            return self.say(Said::Unregistered);
        }
        if (200..300).contains(&status) {
            self.registration.again = Some(now + REFRESH);
            if !self.registration.told {
                self.registration.told = true;
                self.say(Said::Registered);
            }
            return;
        }
        let retries = matches!(status, 408 | 480 | 500..=599);
        self.registration.again = retries.then_some(now + RETRY);
        self.registration.told = false;
        self.say(Said::Unreachable { status, reason, warning, retries });
    }

    /// The place of a call that the page knows.
    pub(crate) fn place(&self, call: &str) -> Result<usize, No> {
        let known = |known: &Call| known.id == call && !known.is_left();
        self.calls.iter().position(known).ok_or(No::NoSuchCall)
    }

    /// Takes a call that talks out of the list; it goes back with [`Self::keep`].
    pub(crate) fn take_talk(&mut self, call: &str) -> Result<(String, Box<crate::call::Talk>), No> {
        let place = self.place(call)?;
        let call = self.calls.swap_remove(place);
        match call.stage {
            Stage::Talking(talk) => Ok((call.id, talk)),
            stage @ (Stage::Calling(_) | Stage::Ringing { .. }) => {
                self.calls.push(Call { id: call.id, stage });
                Err(No::WrongMoment)
            }
        }
    }

    pub(crate) fn keep(&mut self, id: String, talk: Box<crate::call::Talk>) {
        self.calls.push(Call { id, stage: Stage::Talking(talk) });
    }
}

/// What a Contact says about waking its page.
///
/// Spec: RFC 8599 §4.1
fn pushed(endpoint: Option<&str>) -> String {
    endpoint.map_or_else(String::new, |endpoint| {
        format!(";pn-provider=webpush;pn-prid={}", escape_param(endpoint.as_bytes()))
    })
}
