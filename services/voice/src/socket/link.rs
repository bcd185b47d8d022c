//! The talk with one app on one web socket, for all of its calls.
//!
//! Picture     Idle --something to say--> Opening --> Open --lost--> Waiting --in vain, or not--> Opening | Open
//!             Open --nothing to say, no call goes on--> Idle
//! Rules       A question waits for its answer, also over a socket that was lost meanwhile: what was not answered is said
//!             again, in order, with the same `seq` and `id`. News are said again until the app confirms them, as far as
//!             they are kept. A command is obeyed once, however often it comes. An app that was never there since
//!             [`RESUME_MAX`] costs its calls no wait: they fall back at once, as over HTTP.
//! Limits      [`ITEMS_MAX`] and [`OCTETS_MAX`] wait to be said or answered: one question more gets `FetchFault::Busy`, news
//!             are dropped and counted (`lost` of the next ones). [`NEWS_KEPT`] news are kept until they are confirmed.
//!             [`COMMANDS_MAX`] commands run at once, [`RESULTS_KEPT`] results are known. [`NONSENSE_MAX`] messages that
//!             cannot be read end the socket.
//! Not here    The socket and the clock (roof), what a command does (room).
//! Spec        None: docs/programs.md.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use serde_json::{Value, json};
use switchboard::StreamFault;
use switchboard::fetch::FetchFault;
use types::Instant;

use super::Kind;

/// What waits to be said or answered.
pub const ITEMS_MAX: usize = 1_000;
/// The same. Units: octets.
pub const OCTETS_MAX: usize = 4 * 1024 * 1024;
/// News that were said and not confirmed.
pub const NEWS_KEPT: usize = 256;
/// Commands of one app that run.
pub const COMMANDS_MAX: usize = 64;
/// Results of commands that are told again when a command is.
pub const RESULTS_KEPT: usize = 256;
/// Octets of the name of a command.
pub const ID_MAX: usize = 128;
/// Octets of a message of an app.
pub const MESSAGE_MAX: usize = 256 * 1024;
/// Messages on one socket that mean nothing.
pub const NONSENSE_MAX: u32 = 100;
/// Calls that are remembered to go on.
pub const CALLS_MAX: usize = 100_000;
/// How long a lost socket may be away until what it knew is forgotten.
pub const RESUME_MAX: Duration = Duration::from_secs(30);
/// Between losing a socket and trying again.
pub const RETRY_MIN: Duration = Duration::from_millis(200);
/// The same, when that fails again and again.
pub const RETRY_MAX: Duration = Duration::from_secs(10);
/// How long a socket is kept that nobody needs.
pub const IDLE_MAX: Duration = Duration::from_secs(60);

/// Something for the app.
#[derive(Clone, Debug)]
pub struct Saying {
    /// Names the answer.
    pub key: u64,
    /// A message of the room: an object, as text.
    pub text: String,
    /// How long it may wait for a socket.
    pub connect: Duration,
    /// How long it may take altogether.
    pub total: Duration,
}

/// What happens.
#[derive(Clone, Debug)]
pub enum Event {
    /// The time that [`Link::deadline`] named has come.
    Deadline,
    /// A command was obeyed, or not.
    Done {
        /// Its name.
        id: String,
        /// As the API says it.
        status: u16,
        /// As the API says it.
        body: Vec<u8>,
    },
    /// The app said something.
    Heard(String),
    /// The socket is gone.
    Lost,
    /// There is no socket.
    NotOpened(StreamFault),
    /// There is a socket.
    Opened,
    /// A room has something to say.
    Say(Saying),
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Something that was said has come to this.
    Answer {
        /// As it was said.
        key: u64,
        /// Status and document.
        answer: Result<(u16, Vec<u8>), FetchFault>,
    },
    /// End the socket.
    Close,
    /// Have a call obey; [`Event::Done`] follows.
    Command {
        /// Its name.
        id: String,
        /// Which call, as apps know it.
        call: String,
        /// As the API takes it.
        body: Vec<u8>,
    },
    /// Make a socket; [`Event::Opened`] or [`Event::NotOpened`] follows.
    Open,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    Open { idle: Option<Instant> },
    Opening,
    Waiting { until: Instant },
}

#[derive(Debug)]
struct Item {
    seq: u64,
    text: String,
    kind: Said,
}

#[derive(Debug)]
enum Said {
    /// It is kept until it is confirmed.
    News,
    /// It is kept until it is answered.
    Question { key: u64, id: String, connect: Duration, reach: Instant, until: Instant },
    /// It is said once.
    Result,
}

/// See the head of this file.
#[derive(Debug)]
pub struct Link {
    name: String,
    session: u64,
    state: State,
    /// The app was there in this session, and this is when it was lost.
    known: Option<Option<Instant>>,
    retry: Duration,
    seq: u64,
    items: VecDeque<Item>,
    octets: usize,
    /// How many of them were said on this socket.
    sent: usize,
    hello: Option<String>,
    calls: BTreeSet<String>,
    running: BTreeSet<String>,
    results: VecDeque<(String, String)>,
    lost: u64,
    nonsense: u32,
    actions: VecDeque<Action>,
}

impl Link {
    /// A talk that has not begun. `name`: one that no other has.
    pub fn new(name: String) -> Self {
        Self {
            name,
            session: 0,
            state: State::Idle,
            known: None,
            retry: RETRY_MIN,
            seq: 0,
            items: VecDeque::new(),
            octets: 0,
            sent: 0,
            hello: None,
            calls: BTreeSet::new(),
            running: BTreeSet::new(),
            results: VecDeque::new(),
            lost: 0,
            nonsense: 0,
            actions: VecDeque::new(),
        }
    }

    /// What is to be done next.
    pub fn poll(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Whether there is something to say on the socket.
    pub fn has_text(&self) -> bool {
        let open = matches!(self.state, State::Open { .. });
        open && (self.hello.is_some() || self.sent < self.items.len())
    }

    /// What is said next on the socket that is open. [`Event::Deadline`] is due after each.
    pub fn text(&mut self) -> Option<String> {
        if !self.has_text() {
            return None;
        }
        if let Some(hello) = self.hello.take() {
            return Some(hello);
        }
        let item = self.items.get(self.sent)?;
        if matches!(item.kind, Said::Result) {
            return self.remove(self.sent).map(|item| item.text);
        }
        let text = item.text.clone();
        self.sent += 1;
        self.trim();
        Some(text)
    }

    /// Whether it can be forgotten.
    pub fn is_over(&self) -> bool {
        self.state == State::Idle && !self.is_needed()
    }

    /// When it wants [`Event::Deadline`].
    pub fn deadline(&self) -> Option<Instant> {
        let open = matches!(self.state, State::Open { .. });
        let due = |item: &Item| match item.kind {
            Said::Question { reach, until, .. } => {
                Some(if open { until } else { until.min(reach) })
            }
            Said::News | Said::Result => None,
        };
        let own = match self.state {
            State::Idle | State::Opening => None,
            State::Open { idle } => idle,
            State::Waiting { until } => Some(until),
        };
        self.items.iter().filter_map(due).chain(own).min()
    }

    /// What happened. Drain [`poll`](Self::poll) after each.
    pub fn handle(&mut self, event: Event, now: Instant) {
        match event {
            Event::Deadline => self.late(now),
            Event::Done { id, status, body } => self.done(id, (status, &body)),
            Event::Heard(text) => self.heard(&text, now),
            Event::Lost => self.gone(now),
            Event::NotOpened(fault) => self.in_vain(fault, now),
            Event::Opened => self.opened(),
            Event::Say(saying) => self.say(saying, now),
        }
        self.settle(now);
    }

    /// Something keeps the socket.
    fn is_needed(&self) -> bool {
        !self.calls.is_empty() || !self.running.is_empty() || self.waits()
    }

    /// A question or a result waits.
    fn waits(&self) -> bool {
        self.items.iter().any(|item| !matches!(item.kind, Said::News))
            || self.sent < self.items.len()
    }

    /// Opens, keeps or ends the socket, as it is needed.
    fn settle(&mut self, now: Instant) {
        let needed = self.is_needed();
        match self.state {
            State::Idle if needed => self.open(),
            State::Open { idle: None } if !needed => {
                self.state = State::Open { idle: Some(now + IDLE_MAX) };
            }
            State::Open { idle: Some(_) } if needed => self.state = State::Open { idle: None },
            State::Waiting { .. } if !needed => self.rest(),
            // It is as it should be, or about to change by itself.
            State::Idle | State::Open { .. } | State::Opening | State::Waiting { .. } => {}
        }
    }

    fn open(&mut self) {
        self.state = State::Opening;
        self.actions.push_back(Action::Open);
    }

    /// Nobody needs the app any more; the next talk is a new one.
    fn rest(&mut self) {
        self.state = State::Idle;
        self.forget();
    }

    /// The session is over.
    fn forget(&mut self) {
        self.known = None;
        self.results.clear();
        let old = std::mem::take(&mut self.items);
        (self.octets, self.sent) = (0, 0);
        for item in old {
            if matches!(item.kind, Said::Question { .. }) {
                self.push(item);
            }
        }
    }
}

/// What rooms say.
impl Link {
    fn say(&mut self, saying: Saying, now: Instant) {
        let Saying { key, text, connect, total } = saying;
        let said: Value = serde_json::from_str(&text).unwrap_or_default();
        let word = |name: &str| said.get(name).and_then(Value::as_str).unwrap_or_default();
        let (kind, call) = (word("type"), word("call"));
        if kind == Kind::New.word() || word("event") == "resumed" {
            if self.calls.len() < CALLS_MAX {
                self.calls.insert(call.to_owned());
            }
        } else if word("event") == "ended" {
            self.calls.remove(call);
        }
        let is_news = kind == "call.event";
        if self.items.len() >= ITEMS_MAX || self.octets + text.len() > OCTETS_MAX {
            self.lost += u64::from(is_news);
            return self.answer(key, Err(FetchFault::Busy));
        }
        self.seq += 1;
        let seq = self.seq;
        let kind = if is_news {
            self.answer(key, Ok((204, Vec::new())));
            Said::News
        } else {
            let (reach, until) = (now + connect, now + total);
            Said::Question { key, id: word("id").to_owned(), connect, reach, until }
        };
        let text = self.numbered(said, seq);
        self.push(Item { seq, text, kind });
        // Somebody waits: it is worth a try at once.
        if !is_news && matches!(self.state, State::Waiting { .. }) {
            self.open();
        }
    }

    fn numbered(&mut self, mut said: Value, seq: u64) -> String {
        if let Some(fields) = said.as_object_mut() {
            fields.insert("seq".to_owned(), seq.into());
            if self.lost > 0 {
                fields.insert("lost".to_owned(), std::mem::take(&mut self.lost).into());
            }
        }
        said.to_string()
    }

    fn push(&mut self, item: Item) {
        self.octets += item.text.len();
        self.items.push_back(item);
    }

    fn remove(&mut self, place: usize) -> Option<Item> {
        let item = self.items.remove(place)?;
        self.octets = self.octets.saturating_sub(item.text.len());
        if place < self.sent {
            self.sent -= 1;
        }
        Some(item)
    }

    /// The oldest news that were said give way.
    fn trim(&mut self) {
        let said = |item: &Item| matches!(item.kind, Said::News);
        if self.items.iter().take(self.sent).filter(|item| said(item)).count() > NEWS_KEPT
            && let Some(place) = self.items.iter().position(said)
        {
            self.remove(place);
        }
    }

    fn answer(&mut self, key: u64, answer: Result<(u16, Vec<u8>), FetchFault>) {
        self.actions.push_back(Action::Answer { key, answer });
    }
}

/// The socket.
impl Link {
    fn opened(&mut self) {
        let resumed = self.known.is_some();
        if !resumed {
            self.session += 1;
        }
        self.known = Some(None);
        (self.sent, self.nonsense, self.retry) = (0, 0, RETRY_MIN);
        self.state = State::Open { idle: None };
        let hello = json!({
            "type": "hello",
            "version": 1,
            "session": format!("{}-{}", self.name, self.session),
            "resumed": resumed,
        });
        self.hello = Some(hello.to_string());
    }

    fn gone(&mut self, now: Instant) {
        if !matches!(self.state, State::Open { .. }) {
            return; // It was ours to end.
        }
        self.known = Some(Some(now));
        self.hello = None;
        self.sent = 0;
        for item in &mut self.items {
            if let Said::Question { connect, reach, .. } = &mut item.kind {
                *reach = now + *connect;
            }
        }
        self.items.retain(|item| !matches!(item.kind, Said::Result));
        self.octets = self.items.iter().map(|item| item.text.len()).sum();
        self.wait(now);
    }

    fn wait(&mut self, now: Instant) {
        self.state = State::Waiting { until: now + self.retry };
        self.retry = (self.retry * 2).min(RETRY_MAX);
    }

    fn in_vain(&mut self, fault: StreamFault, now: Instant) {
        if self.state != State::Opening {
            return;
        }
        let lost = self.known.flatten();
        if lost.is_none_or(|lost| now.since(lost) >= RESUME_MAX) {
            self.forget();
            let fault = named(fault);
            for item in std::mem::take(&mut self.items) {
                if let Said::Question { key, .. } = item.kind {
                    self.answer(key, Err(fault));
                }
            }
            (self.octets, self.sent) = (0, 0);
        }
        self.wait(now);
    }

    fn late(&mut self, now: Instant) {
        let open = matches!(self.state, State::Open { .. });
        let mut place = 0;
        while let Some(item) = self.items.get(place) {
            let fault = match item.kind {
                Said::Question { until, .. } if until <= now => Some(FetchFault::TotalTimeout),
                Said::Question { reach, .. } if !open && reach <= now => {
                    Some(FetchFault::ConnectTimeout)
                }
                Said::News | Said::Question { .. } | Said::Result => None,
            };
            match fault.and_then(|fault| Some((fault, self.remove(place)?))) {
                Some((fault, Item { kind: Said::Question { key, .. }, .. })) => {
                    self.answer(key, Err(fault));
                }
                Some(_) | None => place += 1,
            }
        }
        match self.state {
            State::Waiting { until } if until <= now => self.open(),
            State::Open { idle: Some(idle) } if idle <= now => {
                self.actions.push_back(Action::Close);
                self.rest();
            }
            // Woken early, or for a question.
            State::Idle | State::Open { .. } | State::Opening | State::Waiting { .. } => {}
        }
    }
}

/// What the app says.
impl Link {
    fn heard(&mut self, text: &str, now: Instant) {
        if !matches!(self.state, State::Open { .. }) {
            return;
        }
        let said: Value = serde_json::from_str(text).unwrap_or_default();
        let id = said.get("id").and_then(Value::as_str).filter(|id| id.len() <= ID_MAX);
        match (said.get("type").and_then(Value::as_str), id) {
            (Some("ack"), _) => match said.get("seq").and_then(Value::as_u64) {
                Some(seq) => self.confirmed(seq),
                None => self.refuse(id, "`seq` is missing"),
            },
            (Some("answer"), Some(id)) => self.answered(id, &said),
            (Some("command"), Some(id)) => self.command(id, &said),
            (Some("answer" | "command"), None) => self.refuse(None, "`id` is missing or too long"),
            (Some(_), _) => self.refuse(id, "this `type` is not known"),
            (None, _) => self.refuse(None, "this is no object with a `type`"),
        }
        if self.nonsense > NONSENSE_MAX {
            // It may come again, and what waits is said again then.
            self.actions.push_back(Action::Close);
            self.gone(now);
        }
    }

    fn confirmed(&mut self, seq: u64) {
        let mut place = 0;
        while let Some(item) = self.items.get(place).filter(|_| place < self.sent) {
            if item.seq <= seq && matches!(item.kind, Said::News) {
                self.remove(place);
            } else {
                place += 1;
            }
        }
    }

    fn answered(&mut self, id: &str, said: &Value) {
        let waits =
            |item: &Item| matches!(&item.kind, Said::Question { id: known, .. } if known == id);
        let place = self.items.iter().take(self.sent).position(waits);
        let Some(item) = place.and_then(|place| self.remove(place)) else {
            return self
                .refuse(Some(id), "nothing waits for this answer: it was answered, or it is late");
        };
        let Said::Question { key, .. } = item.kind else { return };
        let answer = match (said.get("document"), said.get("error")) {
            (_, Some(error)) if !error.is_null() => (500, Vec::new()),
            (Some(document), _) => (200, document.to_string().into_bytes()),
            (None, _) => (200, br#"{"verbs":[]}"#.to_vec()),
        };
        self.answer(key, Ok(answer));
    }

    fn command(&mut self, id: &str, said: &Value) {
        if self.running.contains(id) {
            return; // It is told when it is done.
        }
        if let Some((_, result)) = self.results.iter().find(|(known, _)| known == id) {
            let text = result.clone();
            return self.tell(text);
        }
        if self.running.len() >= COMMANDS_MAX {
            return self.refuse(Some(id), "too many commands run: wait until some are done");
        }
        let call = said.get("call").and_then(Value::as_str).unwrap_or_default().to_owned();
        self.running.insert(id.to_owned());
        let body = said.to_string().into_bytes();
        self.actions.push_back(Action::Command { id: id.to_owned(), call, body });
    }

    fn done(&mut self, id: String, (status, body): (u16, &[u8])) {
        if !self.running.remove(&id) {
            return;
        }
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = match status {
            200..=299 => json!({"type": "done", "id": id, "state": body}),
            _ => json!({"type": "refused", "id": id, "status": status, "problem": body}),
        };
        let text = text.to_string();
        if self.results.len() >= RESULTS_KEPT {
            self.results.pop_front();
        }
        self.results.push_back((id, text.clone()));
        self.tell(text);
    }

    fn refuse(&mut self, id: Option<&str>, why: &str) {
        self.nonsense += 1;
        let problem = json!({"title": why});
        let text = json!({"type": "refused", "id": id, "status": 400, "problem": problem});
        self.tell(text.to_string());
    }

    /// Says something once, if there is room.
    fn tell(&mut self, text: String) {
        if self.items.len() < ITEMS_MAX {
            self.push(Item { seq: 0, text, kind: Said::Result });
        }
    }
}

/// What a fault of the socket is called among those of questions.
fn named(fault: StreamFault) -> FetchFault {
    match fault {
        StreamFault::Broken | StreamFault::Closed | StreamFault::Protocol => FetchFault::Connection,
        StreamFault::Busy => FetchFault::Busy,
        StreamFault::Handshake => FetchFault::Syntax,
        StreamFault::Refused => FetchFault::Refused,
        StreamFault::Target => FetchFault::Target,
        StreamFault::Timeout => FetchFault::ConnectTimeout,
        StreamFault::Tls => FetchFault::Tls,
        StreamFault::Url => FetchFault::Url,
    }
}

#[cfg(test)]
mod tests;
