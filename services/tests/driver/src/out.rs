//! What came out of a shard.

use std::net::SocketAddr;

use pns::Delivery;
use switchboard::store::{Batch, Query};
use switchboard::{ApiResponse, Output, Outputs, Ticket};

/// What came out for one input, or for a span of time.
#[derive(Debug, Default)]
pub struct Out {
    /// Everything, in order; SIP messages without their text.
    pub list: Vec<Output>,
    /// SIP messages and where they went, in order.
    pub letters: Vec<(SocketAddr, String)>,
}

impl Out {
    pub(crate) fn take(outputs: &mut Outputs) -> Self {
        let list = std::mem::take(&mut outputs.list);
        let text = |range: &std::ops::Range<usize>| {
            String::from_utf8_lossy(&outputs.arena[range.clone()]).into_owned()
        };
        let letters = list.iter().filter_map(|output| match output {
            Output::Send { flow, range, .. } => Some((flow.remote, text(range))),
            _ => None,
        });
        Self { letters: letters.collect(), list }
    }

    /// What came after it.
    pub fn add(&mut self, more: Self) {
        self.list.extend(more.list);
        self.letters.extend(more.letters);
    }

    fn each<'a, T>(&'a self, pick: impl Fn(&'a Output) -> Option<T>) -> Vec<T> {
        self.list.iter().filter_map(pick).collect()
    }

    /// Batches for the store.
    pub fn writes(&self) -> Vec<(Ticket, &Batch)> {
        self.each(|output| match output {
            Output::Write { ticket, batch } => Some((*ticket, batch)),
            _ => None,
        })
    }

    /// Questions to the store.
    pub fn loads(&self) -> Vec<(Ticket, &Query)> {
        self.each(|output| match output {
            Output::Load { ticket, query } => Some((*ticket, query)),
            _ => None,
        })
    }

    /// Pushes to be delivered.
    pub fn pushes(&self) -> Vec<(Ticket, &Delivery)> {
        self.each(|output| match output {
            Output::Deliver { ticket, delivery, .. } => Some((*ticket, &**delivery)),
            _ => None,
        })
    }

    /// SIP messages that left, as text.
    pub fn sent(&self) -> Vec<String> {
        self.letters.iter().map(|(_, text)| text.clone()).collect()
    }

    /// Requests of one method that left.
    pub fn requests(&self, method: &str) -> Vec<String> {
        let begin = format!("{method} ");
        let found = self.letters.iter().filter(|(_, text)| text.starts_with(&begin));
        found.map(|(_, text)| text.clone()).collect()
    }

    /// Status codes of the answers that left.
    pub fn statuses(&self) -> Vec<u16> {
        let codes = self.letters.iter().map(|(_, text)| crate::text::status(text));
        codes.filter(|code| *code > 0).collect()
    }

    /// Kinds of the event lines.
    pub fn kinds(&self) -> Vec<String> {
        self.events().into_iter().map(|(kind, _)| kind).collect()
    }

    /// Kinds and data of the event lines.
    pub fn events(&self) -> Vec<(String, serde_json::Value)> {
        self.each(|output| match output {
            Output::Event(line) => Some((
                line.kind.clone().into_owned(),
                serde_json::from_str(&line.data.text()).expect("events are JSON"),
            )),
            _ => None,
        })
    }

    /// The one answer of the API.
    #[track_caller]
    pub fn answer(&self) -> (&ApiResponse, serde_json::Value) {
        let found = self.each(|output| match output {
            Output::Api { response, .. } => Some(response),
            _ => None,
        });
        assert_eq!(found.len(), 1, "{:?}", self.list);
        (found[0], serde_json::from_slice(&found[0].body).unwrap_or_default())
    }
}
