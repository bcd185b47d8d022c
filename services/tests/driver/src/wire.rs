//! SIP text in and out of a house of one shard or several, whose store, of the script or of the world, answers at once.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use switchboard::store::{Batch, Entry, Query, Row, StoreFault};
use switchboard::{ApiRequest, ApiResponse, Input, Output, Reply};
use types::Flow;

use crate::text::{crlf, status};
use crate::{House, Out};

/// What stands behind the house.
pub trait Database {
    /// Answers a question.
    fn query(&mut self, query: &Query) -> Result<Vec<Row>, StoreFault>;

    /// Takes a change.
    fn write(&mut self, batch: &Batch) -> Result<(), StoreFault>;

    /// Takes what the log keeps.
    fn save(&mut self, entry: &Entry);
}

/// Knows an answer to each question, takes everything and keeps nothing.
struct Script<F>(F);

impl<F: Fn(&Query) -> Vec<Row>> Database for Script<F> {
    fn query(&mut self, query: &Query) -> Result<Vec<Row>, StoreFault> {
        Ok((self.0)(query))
    }

    fn write(&mut self, _: &Batch) -> Result<(), StoreFault> {
        Ok(())
    }

    fn save(&mut self, _: &Entry) {}
}

/// A house, and all that it said until the test looks.
pub struct Wire {
    house: House,
    /// SIP messages and where they went.
    pub sent: Vec<(SocketAddr, String)>,
    /// What else came out.
    pub others: Vec<Output>,
    /// Every message that was said to the house, in a test that asks for it.
    pub record: Option<Vec<(String, Vec<u8>)>>,
    database: Box<dyn Database>,
}

impl Wire {
    /// A begun house; `store` gives the rows to each question.
    pub fn begin(house: House, store: impl Fn(&Query) -> Vec<Row> + 'static) -> Self {
        Self::on(house, Box::new(Script(store)))
    }

    /// A begun house on this database.
    pub fn on(house: House, database: Box<dyn Database>) -> Self {
        let mut wire = Self { house, sent: Vec::new(), others: Vec::new(), record: None, database };
        wire.handle(Input::Begin);
        wire.forget();
        wire
    }

    /// One input, and all that the store and other shards say to what it brings.
    pub fn handle(&mut self, input: Input<'_>) {
        let mut follows = VecDeque::new();
        for shard in self.house.whom(&input) {
            let out = self.house.feed(shard, input.clone());
            self.take(shard, out, &mut follows);
        }
        while let Some((shard, input)) = follows.pop_front() {
            let out = self.house.feed(shard, input);
            self.take(shard, out, &mut follows);
        }
    }

    fn take(&mut self, of: usize, mut out: Out, follows: &mut VecDeque<(usize, Input<'static>)>) {
        self.sent.append(&mut out.letters);
        for output in out.list {
            match output {
                Output::Load { ticket, query } => {
                    let reply = Reply::Rows(self.database.query(&query));
                    follows.push_back((of, Input::Reply { ticket, reply }));
                }
                Output::Write { ticket, batch } => {
                    let reply = Reply::Written(self.database.write(&batch));
                    follows.push_back((of, Input::Reply { ticket, reply }));
                }
                Output::Mail { shard, mail, .. } => follows.push_back((shard, Input::Mail(mail))),
                Output::Send { .. } | Output::Crashed { .. } => {}
                other => {
                    if let Output::Save { entry, .. } = &other {
                        self.database.save(entry);
                    }
                    self.others.push(other);
                }
            }
        }
    }

    /// One message from there.
    pub fn bytes(&mut self, who: &str, bytes: &[u8]) {
        let flow = Flow::udp(who.parse().expect("an address"));
        if let Some(record) = &mut self.record {
            record.push((who.to_owned(), bytes.to_vec()));
        }
        self.handle(Input::Message { flow, bytes });
    }

    /// One message from there, its lines ended as SIP does.
    pub fn from(&mut self, who: &str, text: &str) {
        self.bytes(who, crlf(text).as_bytes());
    }

    /// One message from there; gives what went back to there.
    pub fn say(&mut self, who: &str, text: &str) -> Vec<String> {
        self.from(who, text);
        self.seen(who)
    }

    /// The first status that a message gets.
    pub fn status(&mut self, who: &str, text: &str) -> u16 {
        self.say(who, text).first().map_or(0, |answer| status(answer))
    }

    /// Virtual time goes on, deadline by deadline.
    pub fn wait(&mut self, span: Duration) {
        let end = self.house.clock.now + span;
        while self.house.advance(end) {
            self.handle(Input::Tick);
        }
    }

    /// The messages to one peer since the last look.
    pub fn seen(&mut self, who: &str) -> Vec<String> {
        let who: SocketAddr = who.parse().expect("an address");
        let found = self.sent.extract_if(.., |(to, _)| *to == who).map(|(_, text)| text);
        found.collect()
    }

    /// The message to one peer that begins so, since the last look.
    #[track_caller]
    pub fn one(&mut self, who: &str, begin: &str) -> String {
        let seen = self.seen(who);
        let found = seen.iter().find(|text| text.starts_with(begin));
        found.unwrap_or_else(|| panic!("no {begin} to {who} in {seen:#?}")).clone()
    }

    /// The events of one kind since the last look.
    pub fn events(&mut self, kind: &str) -> Vec<serde_json::Value> {
        let of_kind =
            |output: &mut Output| matches!(output, Output::Event(line) if line.kind == kind);
        let found = self.others.extract_if(.., of_kind).filter_map(|output| match output {
            Output::Event(line) => serde_json::from_str(&line.data.text()).ok(),
            _ => None,
        });
        found.collect()
    }

    /// A request of the API, and its answer.
    #[track_caller]
    pub fn api(&mut self, request: ApiRequest) -> ApiResponse {
        self.handle(Input::Api(request));
        let mut answers = self
            .others
            .extract_if(.., |output| matches!(output, Output::Api { .. }))
            .filter_map(|output| match output {
                Output::Api { response, .. } => Some(response),
                _ => None,
            });
        answers.next().expect("an answer")
    }

    /// As if all that was said had been looked at.
    pub fn forget(&mut self) {
        self.sent.clear();
        self.others.clear();
    }
}

impl Deref for Wire {
    type Target = House;

    fn deref(&self) -> &House {
        &self.house
    }
}

impl DerefMut for Wire {
    fn deref_mut(&mut self) -> &mut House {
        &mut self.house
    }
}
