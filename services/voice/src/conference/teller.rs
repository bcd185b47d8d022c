//! What an app is told of a conference: one thing after the other, each when the one before was answered.
//!
//! Rules       The next one leaves when the one before was answered or given up, so that they arrive in their order. What was not
//!             told yet is kept with the conference. An answer changes nothing; a failure is a warning in the ladder.
//! Limits      [`WAITING_MAX`]; of more the oldest is not told.

use std::collections::VecDeque;

use switchboard::fetch::{FetchFault, Fetched};
use switchboard::ladder::Lane;
use switchboard::{Effects, Ticket};
use types::{CallId, tagged};

use crate::cookies::Jar;
use crate::hook::{Asking, Question, Turn};
use crate::socket::Kind;
use crate::word::Link;

/// Things that wait to be told about one conference.
pub const WAITING_MAX: usize = 2_000;

/// See the head of this file.
#[derive(Debug, Default)]
pub struct Teller {
    waiting: VecDeque<(Link, Vec<(String, String)>)>,
    out: Option<(Ticket, Asking)>,
    /// Cookies of whoever is told, for as long as the conference lasts.
    jar: Jar,
}

impl Teller {
    /// Tells this behind the others. Returns: the question that went out, if one did.
    pub fn tell(
        &mut self,
        call: CallId,
        link: Link,
        said: Vec<(String, String)>,
        effects: &mut Effects<'_>,
    ) -> Option<Ticket> {
        if self.waiting.len() >= WAITING_MAX {
            self.waiting.pop_front();
            effects.count("voice.callbacks_dropped");
        }
        self.waiting.push_back((link, said));
        self.next(call, effects)
    }

    /// Whether all was told.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Tells the next one, unless somebody is being told something.
    pub fn next(&mut self, call: CallId, effects: &mut Effects<'_>) -> Option<Ticket> {
        while self.out.is_none() {
            let (link, said) = self.waiting.front()?;
            let asks = link.ask(Vec::new());
            let (parameters, kind) = (said.clone(), Kind::Status);
            let question = Question { url: asks.url, method: asks.method, parameters, kind };
            let (high, low) = (effects.rng().next_u64(), effects.rng().next_u64());
            match Asking::new(question, format!("{high:016x}{low:016x}"), effects.now()) {
                Ok(asking) => return Some(self.send(call, asking, effects)),
                Err(failure) => self.failed(call, &failure.sentence, effects),
            }
        }
        None
    }

    fn send(&mut self, call: CallId, asking: Asking, effects: &mut Effects<'_>) -> Ticket {
        let fetch = asking.put(&self.jar, call, effects);
        let ticket = effects.fetch(fetch);
        self.out = Some((ticket, asking));
        ticket
    }

    fn failed(&mut self, call: CallId, sentence: &str, effects: &mut Effects<'_>) {
        self.waiting.pop_front();
        effects.count("voice.callbacks_failed");
        effects.ladder(call, Lane::Note, &format!("warning 15003: {sentence}"));
    }

    /// Whether this is the answer that it waits for.
    pub fn waits_for(&self, ticket: Ticket) -> bool {
        self.out.as_ref().is_some_and(|(known, _)| *known == ticket)
    }

    /// The answer. Returns: the question that went out, if one did.
    pub fn answered(
        &mut self,
        call: CallId,
        fetched: Result<Fetched, FetchFault>,
        effects: &mut Effects<'_>,
    ) -> Option<Ticket> {
        let (_, mut asking) = self.out.take()?;
        let (unix, now) = (effects.unix(), effects.now());
        match asking.answered(fetched, &mut self.jar, unix, now) {
            Turn::Again => return Some(self.send(call, asking, effects)),
            Turn::Done(_) => {
                self.waiting.pop_front();
            }
            Turn::Failed(failure) => self.failed(call, &failure.sentence, effects),
        }
        self.next(call, effects)
    }

    /// As tagged fields.
    pub fn encode(&self, writer: &mut tagged::Writer) {
        for (link, said) in &self.waiting {
            writer.nested(1, |writer| {
                writer.text(1, &link.url).number(2, link.get.into());
                for (name, value) in said {
                    writer.nested(3, |writer| {
                        writer.text(1, name).text(2, value);
                    });
                }
            });
        }
        writer.nested(2, |writer| self.jar.encode(writer));
    }

    /// What [`encode`](Self::encode) wrote; nothing goes out before [`next`](Self::next).
    pub fn decode(bytes: &[u8]) -> Self {
        let mut teller = Self::default();
        for (tag, field) in tagged::Reader::new(bytes) {
            match tag {
                1 => {
                    let (mut link, mut said) = (Link::default(), Vec::new());
                    for (tag, field) in tagged::Reader::new(field.0) {
                        match tag {
                            1 => link.url = field.string().unwrap_or_default(),
                            2 => link.get = field.number() == Some(1),
                            3 => said.push(crate::call::read_pair(field.0)),
                            _ => (), // A field of a newer version.
                        }
                    }
                    teller.waiting.push_back((link, said));
                }
                2 => teller.jar = Jar::decode(field.0),
                _ => (), // A field of a newer version.
            }
        }
        teller
    }
}
