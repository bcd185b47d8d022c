//! Which pairs of state and event the legs of the server met, as one who listens at its door sees it.
//!
//! Picture     message --> its dialog by Call-ID and the phone's tag --> (state, event) counted, next state
//! Rules       Seen from outside: states are those of the legs (incoming, calling, answered, …), events are
//!             messages, repetitions (which are deadlines) and kills.
//! Limits      none: one entry per leg of a seed.
//! Not here    Whether a pair is right (check).
//! Spec        none

use std::collections::BTreeMap;

use sip::{Framing, Message, Method, Name};

/// State of a leg, seen from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    /// Nothing of it was seen yet.
    New,
    /// Their INVITE waits.
    Incoming,
    /// Their INVITE waits, and they know that it rings.
    Ringing,
    /// Our 200 is out.
    Answered,
    /// Our INVITE is out.
    Calling,
    /// They said that it rings.
    CallingRings,
    /// Our CANCEL is out.
    Cancelling,
    /// Both sides agree.
    Established,
    /// A re-INVITE of ours is out.
    Changing,
    /// A re-INVITE of theirs waits, or its 200 is not acknowledged.
    Changed,
    /// A BYE or a failure went over.
    Over,
}

/// Counts of pairs.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    pairs: BTreeMap<(State, String), u64>,
    legs: BTreeMap<Vec<u8>, State>,
}

impl Coverage {
    /// A message reached the server.
    pub fn came(&mut self, bytes: &[u8]) {
        self.note(bytes, "in");
    }

    /// A message left it.
    pub fn left(&mut self, bytes: &[u8]) {
        self.note(bytes, "out");
    }

    /// The server was killed: every living leg met that.
    pub fn killed(&mut self) {
        for state in self.legs.values().filter(|state| **state != State::Over) {
            *self.pairs.entry((*state, "kill".into())).or_default() += 1;
        }
    }

    /// Adds what another world met.
    pub fn add(&mut self, other: &Self) {
        for (pair, count) in &other.pairs {
            *self.pairs.entry(pair.clone()).or_default() += count;
        }
    }

    /// One line per pair, with its count.
    pub fn lines(&self) -> Vec<String> {
        self.pairs
            .iter()
            .map(|((state, event), count)| {
                format!("{:<14} {event:<22} {count}", format!("{state:?}"))
            })
            .collect()
    }

    /// How many different pairs were met.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether none was met.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    fn note(&mut self, bytes: &[u8], way: &str) {
        let Ok(message) = Message::decode(bytes, Framing::Datagram) else { return };
        let Ok(cseq) = message.cseq() else { return };
        if cseq.method == Method::Register || cseq.method == Method::Options {
            return;
        }
        // The far end's tag names the leg where it is known; before that the branch does.
        let request = message.is_request();
        let tags = (message.from().ok(), message.to().ok());
        let (Some(from), Some(to)) = tags else { return };
        let ours_first = (way == "out") == request;
        let key = if ours_first { from.tag() } else { to.tag() };
        let leg = match key.filter(|tag| tag.len() == 18) {
            // Legs that we began share a tag within one fork: the phone's address parts them.
            Some(tag) if ours_first => {
                let mut key = tag.to_vec();
                let far =
                    if request { message.request_uri() } else { message.first(Name::Contact) };
                let _ = far;
                key.extend_from_slice(
                    message.via().ok().and_then(|via| via.branch()).unwrap_or_default(),
                );
                let dialog = to.tag().unwrap_or_default();
                if cseq.method != Method::Invite || !dialog.is_empty() {
                    key = tag.to_vec();
                    key.extend_from_slice(dialog);
                }
                key
            }
            Some(tag) => tag.to_vec(),
            None => {
                let mut key = message.call_id().to_vec();
                key.extend_from_slice(from.tag().unwrap_or_default());
                key
            }
        };
        let event = name(&message, cseq.method, to.tag().is_some());
        let state = self.legs.get(&leg).copied().unwrap_or(State::New);
        *self.pairs.entry((state, format!("{way} {event}"))).or_default() += 1;
        let next = next(state, way, &event);
        self.legs.insert(leg, next);
    }
}

fn name(message: &Message<'_>, method: Method<'_>, in_dialog: bool) -> String {
    let method = String::from_utf8_lossy(method.as_bytes()).into_owned();
    match message.status() {
        None if in_dialog && method == "INVITE" => "re-INVITE".into(),
        None => method,
        Some(100) => format!("100 {method}"),
        Some(status @ (401 | 481 | 487 | 491)) => format!("{status} {method}"),
        Some(status) => format!("{}xx {method}", status / 100),
    }
}

fn next(state: State, way: &str, event: &str) -> State {
    match (way, event) {
        (_, "BYE") => State::Over,
        ("in", "INVITE") if state == State::New => State::Incoming,
        ("out", "1xx INVITE") if state == State::Incoming => State::Ringing,
        ("out", "2xx INVITE") if matches!(state, State::New | State::Incoming | State::Ringing) => {
            State::Answered
        }
        ("in", "ACK") if matches!(state, State::Answered | State::Changed) => State::Established,
        ("out", "INVITE") if state == State::New => State::Calling,
        ("in", "1xx INVITE") if state == State::Calling => State::CallingRings,
        ("out", "CANCEL") => State::Cancelling,
        ("out", "ACK") if state != State::Over => State::Established,
        ("out", "re-INVITE") if state == State::Established => State::Changing,
        ("in", "re-INVITE") if state == State::Established => State::Changed,
        ("out", "3xx INVITE" | "4xx INVITE" | "5xx INVITE" | "6xx INVITE" | "487 INVITE")
            if matches!(state, State::New | State::Incoming | State::Ringing) =>
        {
            State::Over
        }
        ("in", "3xx INVITE" | "4xx INVITE" | "5xx INVITE" | "6xx INVITE" | "487 INVITE")
            if matches!(state, State::Calling | State::CallingRings | State::Cancelling) =>
        {
            State::Over
        }
        (_, _) => state,
    }
}
