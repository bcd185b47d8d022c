//! A "no" that knows its answer on every wire.

use crate::Seconds;

/// What a refusal becomes: its stable name and number, its answers, and the remedy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Stable word, `room.reason`: log field, counter and API value.
    pub code: &'static str,
    /// Stable number that people read out: `CAR-2104` is 2104.
    pub number: u16,
    /// SIP status.
    pub sip: u16,
    /// HTTP status.
    pub http: u16,
    /// What the reader can do about it.
    pub fix: &'static str,
}

/// Implemented by each room's `Refusal`. `Display` is the sentence.
pub trait Refuse: std::fmt::Display {
    /// The row of the table.
    fn verdict(&self) -> Verdict;

    /// After which time a new try makes sense, where one does.
    fn retry_after(&self) -> Option<Seconds> {
        None
    }
}
