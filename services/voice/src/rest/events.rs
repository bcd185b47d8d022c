//! What a call's apps were asked and what they said, for whoever looks for a fault.
//!
//! Rules       A pair is noted when the answer is there. Pairs live with the call and, after it, with whoever still tells
//!             of it; when nothing is left to be told they are written down, once. A restart forgets those of before.
//! Limits      [`PAIRS_MAX`] pairs and [`OCTETS_MAX`] octets of one call, of more the oldest go; [`BODY_MAX`] of an answer.
//! Spec        programmable-voice §6.2 (`/Calls/{CA}/Events`), §6.3 (Event pair)

use std::collections::VecDeque;

use serde_json::{Map, Value, json};
use switchboard::Effects;
use switchboard::fetch::{FetchFault, Fetched};
use switchboard::store::Row as Cells;
use types::{SessionId, UnixTime};

use super::ask::Ask;
use super::conferences::paged;
use super::say::{Named, No, Page};
use super::things::fresh_sid;
use super::{Done, Waiting, session_of};
use crate::Room;
use crate::call::{Call, call_sid, date};
use crate::hook::Asking;
use crate::store::{self, Thing};

/// Pairs that are kept of one call.
pub const PAIRS_MAX: usize = 50;
/// Octets of them, about.
pub const OCTETS_MAX: usize = 64 << 10;
/// Octets of an answer that are shown.
pub const BODY_MAX: usize = 2 << 10;
/// Parts of what is kept of one call that are read: what is told after the end may come in several.
const PARTS_MAX: usize = 8;
/// How events of a call are called in the store.
pub const KIND: &str = "events";

const EVENTS: Named = Named { key: "events", one: "Event" };

/// Pairs of one call, oldest first.
#[derive(Debug, Default)]
pub struct Events {
    pairs: VecDeque<Pair>,
    octets: usize,
}

/// A question and its answer.
#[derive(Debug)]
struct Pair {
    method: &'static str,
    url: String,
    parameters: Vec<(String, String)>,
    /// `None`: nothing came, and why.
    status: Option<u16>,
    millis: u64,
    content_type: String,
    body: String,
    at: UnixTime,
    octets: usize,
}

impl Events {
    /// Notes what came of a question.
    pub fn note(&mut self, asking: &Asking, fetched: &Result<Fetched, FetchFault>, now: UnixTime) {
        let (method, url, parameters) = asking.asked();
        let (status, millis, content_type, body) = match fetched {
            Ok(fetched) => {
                let body = fetched.body.get(..BODY_MAX).unwrap_or(&fetched.body);
                let kind = fetched.header("content-type").unwrap_or("").to_owned();
                let body = String::from_utf8_lossy(body).into_owned();
                (Some(fetched.status), fetched.took.as_millis() as u64, kind, body)
            }
            Err(fault) => (None, 0, String::new(), fault.to_string()),
        };
        let said = parameters.iter().map(|(name, value)| name.len() + value.len());
        let octets = url.len() + content_type.len() + body.len() + said.sum::<usize>();
        let parameters = parameters.to_vec();
        let at = now;
        let pair = Pair { method, url, parameters, status, millis, content_type, body, at, octets };
        self.octets += octets;
        self.pairs.push_back(pair);
        self.trim();
    }

    /// Those of another follow.
    pub fn append(&mut self, mut more: Self) {
        self.octets += more.octets;
        self.pairs.append(&mut more.pairs);
        self.trim();
    }

    fn trim(&mut self) {
        while self.pairs.len() > PAIRS_MAX || self.octets > OCTETS_MAX {
            let Some(oldest) = self.pairs.pop_front() else { return };
            self.octets -= oldest.octets;
        }
    }

    /// As the API shows them.
    pub fn json(&self) -> Vec<Value> {
        self.pairs.iter().map(Pair::json).collect()
    }

    /// Writes them down; nobody waits for it, so a store that is away has none of that time.
    pub fn leave(self, call: SessionId, effects: &mut Effects<'_>) {
        if self.pairs.is_empty() {
            return;
        }
        let now = effects.unix();
        let thing = Thing {
            kind: KIND,
            sid: fresh_sid("EV", effects),
            owner: call_sid(call.0),
            body: Value::Array(self.json()).to_string(),
            made: now,
            updated: now,
            ..Thing::default()
        };
        effects.write_patiently(store::put_for_now(&thing));
    }
}

impl Pair {
    /// Spec: programmable-voice §6.3 (Event pair)
    fn json(&self) -> Value {
        let said = self.parameters.iter().map(|(name, value)| (name.clone(), json!(value)));
        json!({
            "request": {
                "method": self.method,
                "url": self.url,
                "parameters": Map::from_iter(said),
            },
            "response": {
                "response_code": self.status,
                "request_duration": self.millis,
                "content_type": self.content_type,
                "response_body": self.body,
                "date_created": date(self.at),
            },
        })
    }
}

impl Room {
    /// `/Calls/{CA}/Events`.
    pub(super) fn events_of(
        &mut self,
        ask: &Ask,
        sid: &str,
        effects: &mut Effects<'_>,
    ) -> Result<Done, No> {
        if ask.method != "GET" {
            return Err(super::method_not_allowed(ask));
        }
        let page = Page::of(ask)?;
        if let Some(session) = session_of(sid, "CA") {
            let live = self.calls.get(&session).map(|call| call.events.json());
            let told = self.tellers.get(&session).map(|teller| teller.events.json());
            if live.is_some() || told.is_some() {
                let rows = live.into_iter().chain(told).flatten().collect();
                return Ok(paged(ask, EVENTS, &page, rows));
            }
        }
        let waiting = Waiting::Events { ask: ask.clone(), page };
        let filter = store::Wanted { owner: sid.to_owned(), ..store::Wanted::default() };
        let load = store::things(KIND, &filter, PARTS_MAX);
        self.wait(waiting, |effects| effects.load(load), effects)
    }

    /// A call is over: its pairs go with whoever still tells of it, or into the store.
    pub(crate) fn leave_events(&mut self, call: &mut Call, effects: &mut Effects<'_>) {
        let mut events = std::mem::take(&mut call.events);
        match self.tellers.get_mut(&call.session) {
            Some(teller) => {
                events.append(std::mem::take(&mut teller.events));
                teller.events = events;
            }
            None => events.leave(call.session, effects),
        }
    }
}

/// Those of a call that is over.
pub(super) fn found(ask: &Ask, page: &Page, rows: &[Cells]) -> Done {
    let parts = rows.iter().rev().filter_map(|row| store::thing_of(KIND, row));
    let pairs = parts.filter_map(|thing| serde_json::from_str::<Vec<Value>>(&thing.body).ok());
    paged(ask, EVENTS, page, pairs.flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hook::Question;
    use types::Instant;

    #[test]
    fn the_newest_pairs_stay() {
        let mut events = Events::default();
        let note = |events: &mut Events, path: &str, body: usize| {
            let question =
                Question { url: format!("http://a.example/{path}"), ..Question::default() };
            let asking = Asking::new(question, "t".to_owned(), Instant::default()).unwrap();
            let fetched = Fetched {
                status: 200,
                headers: Vec::new(),
                body: vec![b'x'; body],
                url: String::new(),
                took: std::time::Duration::from_millis(7),
            };
            events.note(&asking, &Ok(fetched), UnixTime(1));
        };
        for at in 0..PAIRS_MAX + 2 {
            note(&mut events, &at.to_string(), 1);
        }
        let shown = events.json();
        assert_eq!(shown.len(), PAIRS_MAX);
        assert_eq!(shown[0]["request"]["url"], "http://a.example/2");
        for at in 0..PAIRS_MAX {
            note(&mut events, &at.to_string(), BODY_MAX * 2);
        }
        assert!(events.octets <= OCTETS_MAX && events.pairs.len() < PAIRS_MAX);
        let shown = &events.json()[3]["response"];
        assert_eq!(shown["response_body"].as_str().map(str::len), Some(BODY_MAX));
        assert_eq!((&shown["response_code"], &shown["request_duration"]), (&json!(200), &json!(7)));
    }
}
