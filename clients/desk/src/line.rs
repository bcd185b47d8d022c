//! The page's end: JSON in, numbered JSON out, kept until a page that lost its socket has heard it.

use std::collections::VecDeque;

use serde_json::{Value, json};

use crate::words::{Command, No, Said};

/// Events that are kept for a page that comes back; whoever missed more begins anew.
pub const EVENTS_KEPT: usize = 512;

/// The events that a page asks for are not kept any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap;

/// Numbers what a page hears.
#[derive(Debug, Default)]
pub struct Line {
    last: u64,
    kept: VecDeque<(u64, String)>,
}

impl Line {
    /// Reads one message of a page: its number and what it wants. Errors: what is wrong, for the refusal.
    pub fn read(text: &str) -> Result<(u64, Command), String> {
        let mut value: Value =
            serde_json::from_str(text).map_err(|why| format!("it is no JSON: {why}"))?;
        let fields = value.as_object_mut().ok_or("it is no object")?;
        let id = fields.remove("id").and_then(|id| id.as_u64()).ok_or("it has no number `id`")?;
        let command = serde_json::from_value(value).map_err(|why| why.to_string())?;
        Ok((id, command))
    }

    /// One event as the page hears it. `refused` words a command that was not taken.
    pub fn write(&mut self, said: &Said, refused: impl FnOnce(No) -> Value) -> String {
        let value = match said {
            Said::Unwilling { id, no } => {
                json!({ "event": "unwilling", "id": id, "problem": refused(*no) })
            }
            // Texts and numbers always become JSON.
            said => serde_json::to_value(said).unwrap_or_default(),
        };
        self.number(value)
    }

    /// A problem outside of any command of the desk; `id`: of the message that it answers.
    pub fn problem(&mut self, id: Option<u64>, problem: Value) -> String {
        self.number(json!({ "event": "unwilling", "id": id, "problem": problem }))
    }

    /// What a page that heard everything up to `after` has missed.
    pub fn after(&self, after: u64) -> Result<Vec<String>, Gap> {
        let first = self.kept.front().map_or(self.last + 1, |(number, _)| *number);
        if after > self.last || after + 1 < first {
            return Err(Gap);
        }
        let missed = self.kept.iter().filter(|(number, _)| *number > after);
        Ok(missed.map(|(_, text)| text.clone()).collect())
    }

    /// The number of the last event.
    pub fn last(&self) -> u64 {
        self.last
    }

    fn number(&mut self, mut value: Value) -> String {
        self.last += 1;
        value["n"] = self.last.into();
        let text = value.to_string();
        if self.kept.len() == EVENTS_KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back((self.last, text.clone()));
        text
    }
}
