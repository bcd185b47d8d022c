//! Calls that an app makes: somebody is reached first, and the program begins when he answers.
//!
//! Picture     POST --checked--> a session with a seat --hunt--> ringing --answer--> the call of a program like others
//! Rules       It is routed with the rights of a user, as whoever a program dials. Its seat is there from the first offer
//!             on. What ended before the answer has its record and its last word as well.
//! Limits      `voice.calls_max`; those of `hunt` and `route`; [`TIMEOUT_MAX`], [`DOCUMENT_MAX`].
//! Not here    What follows the answer (program), how users are reached (switchboard::hunt).
//! Spec        programmable-voice §6.2 (`/Calls` POST)

use std::time::Duration;

use media::StreamKey;
use switchboard::hunt::{Brief, Hunt};
use switchboard::leg::{LegCommand, LegEvent};
use switchboard::notice::{CallFacts, Notice};
use switchboard::ring::{Outcome, Plan};
use switchboard::route::{self, Origin, Question};
use switchboard::seat::Seat;
use switchboard::{ApiRequest, Effects};
use twiml::{CallRecording, Hook, Method};
use types::{LegId, SessionId, Slot};

use super::ask::Ask;
use super::participants::Invited;
use super::progress::{Progress, Stage};
use super::recordings;
use super::say::No;
use super::{Done, Waiting, shown};
use crate::Room;
use crate::address::Address;
use crate::call::{Call, Hooks, Playing, VERSION, call_sid};
use crate::cookies::Jar;
use crate::dial::word;
use crate::hook::Answer;
use crate::machine::{self, Whose};
use crate::program::{self, Program, RING_MORE};
use crate::reel::Source;
use crate::store::{self, Thing};

/// How long phones ring at most.
pub const TIMEOUT_MAX: u64 = 600;
/// How long they ring unless the app says otherwise.
const TIMEOUT: u64 = 60;
/// How long a call lasts at most unless the app says otherwise.
const TIME_LIMIT: u64 = 14_400;
/// Letters of a document that comes with the request.
pub const DOCUMENT_MAX: usize = 4_000;
/// Keys that are sent after the answer.
const DIGITS_MAX: usize = 32;
/// Names the slot that a call shall live on, when a request is sent on.
const SLOT: &str = "\u{1}slot";

/// What a program begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum First {
    /// It is asked for.
    Ask(Hook),
    /// It came with the request.
    Document(String),
}

/// Who is called, by whom, and what for.
#[derive(Clone, Debug)]
pub struct Wish {
    /// A number, `client:NAME` or `sip:…`, as the app wrote it.
    pub to: String,
    /// One of our numbers, or a name.
    pub from: String,
    /// What the program begins with.
    pub first: First,
    /// Where else it is asked for, and who is told.
    pub hooks: Hooks,
    /// What is told.
    pub stages: Vec<String>,
    /// Keys after the answer.
    pub digits: String,
    /// How long phones ring.
    pub timeout: Duration,
    /// How long the call may last.
    pub limit: Duration,
    /// How it is recorded, if it is.
    pub record: Option<CallRecording>,
    /// What else every question says.
    pub said: Vec<(String, String)>,
    /// How it is found out whether a machine answered.
    pub machine: Option<machine::Wish>,
}

/// A call that nobody has answered yet.
#[derive(Debug)]
pub struct Outgoing {
    hunt: Hunt,
    first: First,
    digits: String,
    limit: Duration,
    machine: Option<machine::Wish>,
    /// How it is recorded from the answer on, if it is.
    record: Option<CallRecording>,
    /// Where he goes when he answers, if that is a conference.
    pub invited: Option<Invited>,
    /// An app does not want it any more.
    pub canceled: bool,
}

impl Outgoing {
    /// What it waits for.
    pub fn tickets(&self) -> Vec<switchboard::Ticket> {
        self.hunt.tickets()
    }

    /// Ends whatever rings.
    pub fn close(&mut self, effects: &mut Effects<'_>) {
        self.hunt.cancel(effects);
    }
}

impl Room {
    /// `POST /Calls`.
    pub(super) fn make_call(
        &mut self,
        ask: &Ask,
        request: &ApiRequest,
        effects: &mut Effects<'_>,
    ) -> Result<Done, No> {
        if let Some(sid) = ask.text("ApplicationSid") {
            let (ask, request) = (ask.clone(), Box::new(request.clone()));
            let load = store::thing("application", sid);
            let waiting = Waiting::Apply { ask, request };
            return self.wait(waiting, |effects| effects.load(load), effects);
        }
        let chosen = request.query(SLOT).and_then(|slot| slot.parse().ok().map(Slot));
        // Calls are spread over all shards.
        let slot = chosen.unwrap_or_else(|| Slot((effects.rng().next_u64() & 0xff) as u8));
        let mut onward = request.clone();
        onward.query.push((SLOT.to_owned(), slot.0.to_string()));
        if effects.send_on(&onward, slot) {
            return Ok(Done::Later);
        }
        let wish = Wish::read(ask, first(ask)?, effects)?;
        let session = self.call_out(wish, (slot, None), effects)?;
        let row = self.calls.get(&session).map(|call| call.row());
        // It may have failed at once: then it is remembered.
        let row = row.or_else(|| self.rest.recent.back().cloned()).unwrap_or_default();
        let row =
            super::row::Row { status: "queued".to_owned(), answered: None, ended: None, ..row };
        Ok(shown(201, "Call", &row.json(&effects.apps().sid), ask.form))
    }

    /// The same with the addresses of an application in place of those of the request.
    ///
    /// Spec: programmable-voice §6.2 (ApplicationSid)
    pub(super) fn make_call_of(
        &mut self,
        ask: &Ask,
        request: &ApiRequest,
        application: &Thing,
        effects: &mut Effects<'_>,
    ) -> Result<Done, No> {
        let body: serde_json::Value = serde_json::from_str(&application.body).unwrap_or_default();
        let pairs = [
            ("Url", "voice_url"),
            ("Method", "voice_method"),
            ("FallbackUrl", "voice_fallback_url"),
            ("FallbackMethod", "voice_fallback_method"),
            ("StatusCallback", "status_callback"),
            ("StatusCallbackMethod", "status_callback_method"),
        ];
        let mut form = ask.parameters.clone();
        let ignored = |name: &str| {
            matches!(name, "ApplicationSid" | "Twiml") || pairs.iter().any(|(own, _)| *own == name)
        };
        form.retain(|(name, _)| !ignored(name));
        let said = pairs.iter().filter_map(|(name, property)| {
            Some(((*name).to_owned(), body[property].as_str()?.to_owned()))
        });
        form.extend(said);
        let body = crate::address::form(&form).into_bytes();
        let request = ApiRequest { query: Vec::new(), body, ..request.clone() };
        let ask = Ask::read(&request, "POST");
        self.make_call(&ask, &request, effects)
    }

    /// Calls somebody for an app, on a slot of this shard: the session of the call.
    pub(crate) fn call_out(
        &mut self,
        wish: Wish,
        (slot, invited): (Slot, Option<Invited>),
        effects: &mut Effects<'_>,
    ) -> Result<SessionId, No> {
        if effects.is_draining() {
            return Err(No::new(503, 20503, "The server is draining: it takes no new calls"));
        }
        if self.calls.len() >= self.config.calls_max as usize {
            return Err(No::new(429, 20429, "As many calls run programs as may: voice.calls_max"));
        }
        let session = effects.start(slot);
        let bridge = effects.bridge(session);
        let stream = StreamKey { bridge, index: 0 };
        let place = media::Seat::FIRST_GUEST;
        let Ok(mut seat) = Seat::new(stream, place, media::Voice::All, effects) else {
            effects.media(media::Command::Close { bridge });
            effects.end(session, None);
            return Err(No::new(503, 20503, "No media port is free: widen media.ports"));
        };
        let facts = CallFacts {
            session,
            from: address(&wish.from, effects),
            to: address(&wish.to, effects),
            began: effects.unix(),
            ..CallFacts::default()
        };
        effects.publish(Notice::CallBegan(facts.clone().into()));
        effects.count("voice.calls_made");
        let brief = brief(session, &wish, &facts, &mut seat, effects);
        let (hunt, outcome) = match brief {
            Some(brief) => Hunt::start(brief, effects),
            None => {
                let failed = Outcome::Failed { status: 404, outcome: "failed", text: None };
                (Hunt::start(Brief::default(), effects).0, failed)
            }
        };
        let Wish { first, hooks, stages, digits, limit, to, from, said, record, machine, .. } =
            wish;
        let wished = machine.clone();
        let canceled = false;
        let outgoing = Outgoing { hunt, first, digits, limit, machine, record, invited, canceled };
        let pairs = [
            ("CallSid", call_sid(session.0)),
            ("AccountSid", effects.apps().sid.clone()),
            ("ApiVersion", VERSION.to_owned()),
            ("Direction", "outbound-api".to_owned()),
            ("From", from.clone()),
            ("Caller", from),
            ("To", to.clone()),
            ("Called", to),
        ]
        .map(|(name, value)| (name.to_owned(), value));
        let pairs = pairs.into_iter().chain(said).collect();
        let call = Call {
            session,
            facts,
            leg: LegId(0),
            seat,
            stream,
            answer: None,
            late: false,
            acked: true,
            referring: None,
            judging: Vec::new(),
            program: Program::none(hooks.fallback.clone()),
            hooks,
            said: pairs,
            jar: Jar::default(),
            beside: crate::socket::Beside::default(),
            asking: None,
            timer: None,
            sounds: 0,
            playing: Playing::Nothing,
            recording: None,
            dialling: None,
            tape: None,
            progress: Progress { made: true, stages, ..Progress::default() },
            outgoing: Some(Box::new(outgoing)),
            limit: None,
            meeting: None,
            aside: None,
            streams: Vec::new(),
            ears: Vec::new(),
            legs: Default::default(),
            events: Default::default(),
            reels: Vec::new(),
            recorders: Vec::new(),
        };
        for ticket in call.tickets() {
            self.tickets.insert(ticket, session);
        }
        Self::keep(&call, effects);
        self.calls.insert(session, Box::new(call));
        if let Some(wish) = wished {
            self.complain_of_wish(session, &wish, effects);
        }
        self.tell_stage(session, Stage::Initiated, effects);
        self.reached(session, outcome, effects);
        Ok(session)
    }

    /// Tells the hunt of a call that an app makes something.
    pub(crate) fn reaching(
        &mut self,
        session: SessionId,
        effects: &mut Effects<'_>,
        tell: impl FnOnce(&mut Hunt, &mut Effects<'_>) -> Outcome,
    ) {
        let Some(outgoing) = self.calls.get_mut(&session).and_then(|call| call.outgoing.as_mut())
        else {
            return;
        };
        let old = outgoing.hunt.tickets();
        let outcome = tell(&mut outgoing.hunt, effects);
        let new = outgoing.hunt.tickets();
        for ticket in old {
            self.tickets.remove(&ticket);
        }
        for ticket in new {
            self.tickets.insert(ticket, session);
        }
        self.reached(session, outcome, effects);
    }

    /// An event of a leg of a call that an app makes.
    pub(crate) fn reaching_leg(
        &mut self,
        session: SessionId,
        leg: LegId,
        event: LegEvent,
        effects: &mut Effects<'_>,
    ) {
        let call = self.calls.get(&session);
        let outgoing = call.and_then(|call| call.outgoing.as_ref());
        if outgoing.is_some_and(|outgoing| outgoing.hunt.has(leg)) {
            self.reaching(session, effects, |hunt, effects| hunt.leg(leg, event, effects));
        }
    }

    /// What came of reaching somebody.
    fn reached(&mut self, session: SessionId, outcome: Outcome, effects: &mut Effects<'_>) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        match outcome {
            Outcome::Answered { leg, sdp } => {
                let Some(outgoing) = call.outgoing.take() else { return };
                for ticket in outgoing.tickets() {
                    self.tickets.remove(&ticket);
                }
                outgoing.hunt.answered_by().clone_into(&mut call.facts.answered_by);
                let settled = sdp.is_some_and(|sdp| call.seat.settle(&sdp, effects).is_ok());
                call.leg = leg;
                if settled {
                    self.begin_made(session, *outgoing, effects);
                } else {
                    let end = LegCommand::End { status: 488, headers: Vec::new() };
                    effects.leg(session, leg, end);
                    self.finish(session, (488, "failed", "server"), effects);
                }
            }
            Outcome::Failed { status, outcome, .. } => {
                let canceled = call.outgoing.as_ref().is_some_and(|outgoing| outgoing.canceled);
                let outcome = match word(outcome, status) {
                    _ if canceled => "cancelled",
                    "busy" => "busy",
                    "no-answer" => "missed",
                    _ => "failed",
                };
                self.finish(session, (status, outcome, "callee"), effects);
            }
            Outcome::Progress { .. } if !call.progress.rang => {
                call.progress.rang = true;
                call.facts.rang.get_or_insert(effects.unix());
                self.tell_stage(session, Stage::Ringing, effects);
            }
            // The phone that took it over its push comes by itself.
            Outcome::AnsweredByReply { .. } | Outcome::Pending | Outcome::Progress { .. } => {}
        }
    }

    /// He answered: the program begins.
    fn begin_made(&mut self, session: SessionId, outgoing: Outgoing, effects: &mut Effects<'_>) {
        let (unix, now) = (effects.unix(), effects.now());
        let Some(call) = self.calls.get_mut(&session) else { return };
        call.facts.answered = Some(unix);
        call.facts.status = 200;
        call.progress.until = Some(unix + outgoing.limit);
        let waits = outgoing.machine.as_ref().is_some_and(|wish| wish.waits);
        call.program = match with_keys(outgoing.first, &outgoing.digits) {
            First::Ask(hook) if waits => {
                let mut program = Program::none(call.hooks.fallback.clone());
                program.replace(document(machine::asking(&hook)), now);
                program
            }
            First::Ask(hook) => {
                let ask = program::Ask { url: hook.url, method: hook.method, more: Vec::new() };
                Program::of_answered(ask, call.hooks.fallback.clone())
            }
            First::Document(text) => {
                let mut program = Program::none(call.hooks.fallback.clone());
                program.replace(document(text), now);
                program
            }
        };
        if let Some(wish) = &outgoing.machine {
            self.judge(session, (&wish.machine, Whose::Call { waits }), effects);
        }
        let Some(call) = self.calls.get_mut(&session) else { return };
        Self::keep(call, effects);
        effects.publish(Notice::CallAnswered(call.facts.clone().into()));
        self.limit(session, effects);
        self.tell_stage(session, Stage::Answered, effects);
        if let Some(record) = outgoing.record {
            // A call that has just begun has no others.
            let _ = self.start_reel(session, (record, Source::Made), effects);
        }
        self.carry(session, effects);
    }

    /// Sets the timer that ends a call which lasts too long.
    pub(crate) fn limit(&mut self, session: SessionId, effects: &mut Effects<'_>) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        if let Some(old) = call.limit.take() {
            self.tickets.remove(&old);
            effects.cancel_timer(old);
        }
        let Some(until) = call.progress.until else { return };
        let left = Duration::from_micros(until.0.saturating_sub(effects.unix().0));
        let ticket = effects.set_timer(effects.now() + left);
        call.limit = Some(ticket);
        self.tickets.insert(ticket, session);
    }
}

/// A document that came with a request.
pub(crate) fn document(text: String) -> Answer {
    let (content_type, url) = ("text/xml".to_owned(), String::new());
    Answer { content_type, body: text.into_bytes(), url }
}

/// The keys go out before anything else happens.
fn with_keys(first: First, digits: &str) -> First {
    if digits.is_empty() {
        return first;
    }
    let keys = format!("<Play digits=\"{digits}\"/>");
    match first {
        First::Ask(hook) => {
            let method = if hook.method == Method::Get { "GET" } else { "POST" };
            let url = hook.url.replace('&', "&amp;").replace('<', "&lt;");
            let next = format!("<Redirect method=\"{method}\">{url}</Redirect>");
            First::Document(format!("<Response>{keys}{next}</Response>"))
        }
        First::Document(text) => First::Document(match text.find("<Response>") {
            Some(at) => {
                let (head, rest) = text.split_at(at + "<Response>".len());
                format!("{head}{keys}{rest}")
            }
            None => text,
        }),
    }
}

/// Whom to ring; `None`: nobody can be reached by what the app wrote.
fn brief(
    session: SessionId,
    wish: &Wish,
    facts: &CallFacts,
    seat: &mut Seat,
    effects: &mut Effects<'_>,
) -> Option<Brief> {
    let dialled = match wish.to.split_once(':') {
        Some(("client", name)) => name.to_owned(),
        Some(("sip" | "sips", _)) => {
            let bare = wish.to.split(['?', ';']).next().unwrap_or(&wish.to);
            effects.user_at(bare.as_bytes())?
        }
        Some(_) | None => wish.to.clone(),
    };
    let question = Question {
        origin: Origin::User(wish.from.clone()),
        shows: Some(wish.from.clone()).filter(|id| id.starts_with('+')),
        dialled,
        time: effects.unix(),
        chance: effects.rng().next_u64(),
    };
    let decision = route::decide(effects.directory(), &question);
    for line in decision.lines() {
        let words = format!("route {line}");
        effects.ladder(types::CallId(session.0), switchboard::ladder::Lane::Note, &words);
    }
    // A program does not call programs.
    if decision.no_phone().is_some() {
        return None;
    }
    let plan = Plan {
        session,
        from: format!("<{}>", facts.from),
        caller_uri: facts.from.clone(),
        offer: Some(seat.offer(effects)),
        offer_web: seat.offer_web(effects),
        max_forwards: 69,
        wake: effects.push_wait(),
        ring: wish.timeout + RING_MORE,
        ..Plan::default()
    };
    Some(Brief { plan, stages: decision.stages, gate: None, private: false })
}

/// An address for people and phones.
pub(super) fn address(who: &str, effects: &Effects<'_>) -> String {
    if who.starts_with("sip:") || who.starts_with("sips:") {
        return who.chars().filter(|c| !matches!(c, '<' | '>' | '"')).collect();
    }
    let user = who.strip_prefix("client:").unwrap_or(who);
    format!("sip:{}@{}", sip::write::escape_user(user.as_bytes()), effects.domain())
}

impl Wish {
    /// Reads what is said of whoever is to be called.
    ///
    /// Spec: programmable-voice §6.2
    pub(crate) fn read(ask: &Ask, first: First, effects: &Effects<'_>) -> Result<Self, No> {
        let to = ask.text("To").ok_or_else(|| No::invalid(21201, "No 'To' number is specified"))?;
        let from =
            ask.text("From").ok_or_else(|| No::invalid(21213, "No 'From' number is specified"))?;
        let to = callee(to)?;
        let from = caller(from, &to, effects)?;
        let digits = ask.text("SendDigits").unwrap_or_default();
        let keys = |c: char| c.is_ascii_digit() || "*#ABCDwW".contains(c);
        if digits.len() > DIGITS_MAX || !digits.chars().all(keys) {
            let words =
                format!("SendDigits is {digits}, and should be up to 32 of 0-9, A-D, *, # and w");
            return Err(No::invalid(21206, words));
        }
        let timeout = number(ask, "Timeout", 21208)?.unwrap_or(TIMEOUT).min(TIMEOUT_MAX);
        let limit = number(ask, "TimeLimit", 20422)?.unwrap_or(TIME_LIMIT).clamp(1, 86_400);
        let stages = ask.all("StatusCallbackEvent").into_iter();
        let known = |word: &&str| Stage::ALL.iter().any(|stage| stage.word() == *word);
        Ok(Self {
            to,
            from,
            hooks: hooks(ask, &first)?,
            first,
            stages: stages.filter(known).map(str::to_owned).collect(),
            digits: digits.to_owned(),
            timeout: Duration::from_secs(timeout),
            limit: Duration::from_secs(limit),
            record: match ask.flag("Record") {
                Some(true) => Some(recordings::wanted(ask, true)?),
                Some(false) | None => None,
            },
            said: Vec::new(),
            machine: machine::Wish::read(ask)?,
        })
    }
}

/// A number without its brackets and blanks, `client:NAME`, or a SIP address.
fn callee(to: &str) -> Result<String, No> {
    if to.starts_with("sip:") || to.starts_with("sips:") {
        let fits = to.len() < 255 && sip::Uri::decode(to.as_bytes()).is_ok();
        return fits.then(|| to.to_owned()).ok_or_else(|| bad_to(to));
    }
    if let Some(name) = to.strip_prefix("client:") {
        let fits = !name.is_empty() && name.len() <= 256 && !name.contains(char::is_control);
        return fits.then(|| to.to_owned()).ok_or_else(|| bad_to(to));
    }
    let bare: String = to.chars().filter(|c| !matches!(c, ' ' | '(' | ')' | '-' | '.')).collect();
    let digits = bare.strip_prefix('+').unwrap_or(&bare);
    let fits =
        (1..=32).contains(&digits.len()) && digits.bytes().all(|octet| octet.is_ascii_digit());
    fits.then_some(bare).ok_or_else(|| bad_to(to))
}

fn bad_to(to: &str) -> No {
    let words =
        format!("'To' is {to}: a number, client:NAME or sip:NAME@{{our domain}} can be called");
    No::invalid(21211, words)
}

/// One of our numbers; a name will do towards our own people.
pub(super) fn caller(from: &str, to: &str, effects: &Effects<'_>) -> Result<String, No> {
    let bare: String = from.chars().filter(|c| !matches!(c, ' ' | '(' | ')' | '-' | '.')).collect();
    if effects.directory().routing().numbers.contains_key(&bare) {
        return Ok(bare);
    }
    let name = from.strip_prefix("client:").unwrap_or(from);
    let plain = |c: char| c.is_ascii_alphanumeric() || "+-_.".contains(c);
    let inward = to.starts_with("client:") || to.starts_with("sip");
    let fits = !name.is_empty() && name.len() <= 64 && name.chars().all(plain);
    match (fits, inward) {
        (true, true) => Ok(from.to_owned()),
        (true, false) => {
            let words = format!(
                "'From' is {from}, and should be one of our numbers: PUT /v1/numbers/{{e164}}"
            );
            Err(No::invalid(21210, words))
        }
        (false, _) => Err(No::invalid(21212, format!("'From' is {from}, which is no number"))),
    }
}

fn first(ask: &Ask) -> Result<First, No> {
    if let Some(url) = ask.text("Url") {
        return Ok(First::Ask(hook(url, method(ask, "Method")?)?));
    }
    let text = ask.text("Twiml");
    let text =
        text.ok_or_else(|| No::invalid(21205, "One of Url, Twiml and ApplicationSid is needed"))?;
    inline(text).map(First::Document)
}

/// A document that came with the request.
pub(super) fn inline(text: &str) -> Result<String, No> {
    if text.chars().count() > DOCUMENT_MAX {
        let words = format!("Twiml is longer than {DOCUMENT_MAX} letters: serve it at a Url");
        return Err(No::invalid(32018, words));
    }
    Ok(text.to_owned())
}

/// An address that can be asked.
pub(crate) fn hook(url: &str, method: Method) -> Result<Hook, No> {
    if Address::parse(url).is_none() {
        return Err(No::invalid(21205, format!("{url} is no address of http, https, ws or wss")));
    }
    Ok(Hook { url: url.to_owned(), method })
}

/// `GET` or `POST`.
pub(crate) fn method(ask: &Ask, name: &str) -> Result<Method, No> {
    match ask.text(name) {
        None => Ok(Method::Post),
        Some(word) if word.eq_ignore_ascii_case("POST") => Ok(Method::Post),
        Some(word) if word.eq_ignore_ascii_case("GET") => Ok(Method::Get),
        Some(word) => {
            Err(No::invalid(21209, format!("{name} is {word}, and should be GET or POST")))
        }
    }
}

/// The other addresses of a call.
fn hooks(ask: &Ask, first: &First) -> Result<Hooks, No> {
    let some = |name: &str, way: &str| -> Result<Option<Hook>, No> {
        ask.text(name).map(|url| hook(url, method(ask, way)?)).transpose()
    };
    Ok(Hooks {
        first: match first {
            First::Ask(hook) => hook.clone(),
            First::Document(_) => Hook::default(),
        },
        fallback: some("FallbackUrl", "FallbackMethod")?,
        status: some("StatusCallback", "StatusCallbackMethod")?,
    })
}

/// A whole number.
pub(super) fn number(ask: &Ask, name: &str, code: u32) -> Result<Option<u64>, No> {
    let Some(text) = ask.text(name) else { return Ok(None) };
    let words = || format!("{name} is {text}, and should be a number of seconds");
    text.parse().map(Some).map_err(|_| No::invalid(code, words()))
}
