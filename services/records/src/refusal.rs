//! What this room refuses.

use std::fmt;

use switchboard::RefusalRow;
use types::{Refuse, Seconds, Verdict};

/// See the rows of [`REFUSALS`], which stand in the same order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A query parameter cannot be read.
    Malformed,
    /// The store refused for a reason of ours.
    StoreBroken,
    /// The store does not answer.
    StoreUnreachable,
    /// Too many questions wait for the store.
    TooManyQuestions,
}

impl Refusal {
    /// Every variant, in order.
    pub const ALL: [Self; 4] =
        [Self::Malformed, Self::StoreBroken, Self::StoreUnreachable, Self::TooManyQuestions];

    fn row(self) -> &'static RefusalRow {
        &REFUSALS[self as usize]
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row().sentence)
    }
}

impl Refuse for Refusal {
    fn verdict(&self) -> Verdict {
        self.row().verdict
    }

    fn retry_after(&self) -> Option<Seconds> {
        match self {
            Self::Malformed | Self::StoreBroken => None,
            Self::StoreUnreachable => Some(Seconds(5)),
            Self::TooManyQuestions => Some(Seconds(1)),
        }
    }
}

const fn verdict(
    code: &'static str,
    number: u16,
    sip: u16,
    http: u16,
    fix: &'static str,
) -> Verdict {
    Verdict { code, number, sip, http, fix }
}

/// The rows for help pages, in the order of the variants.
pub const REFUSALS: &[RefusalRow] = &[
    RefusalRow {
        verdict: verdict(
            "records.malformed",
            1501,
            400,
            400,
            "give `since` as 2026-01-31T12:00:00Z and `limit` as a number from 1 to 1000",
        ),
        sentence: "a parameter of the question cannot be read",
        page: "`tried.field` names the parameter. Times are RFC 3339 in UTC, with a `Z` at the end; in an address a `+` must be written `%2B`.",
    },
    RefusalRow {
        verdict: verdict(
            "records.store_broken",
            1502,
            500,
            500,
            "look into the log of the store; this is a fault of ours",
        ),
        sentence: "the store refused the question",
        page: "The database answered with an error that a correct server does not cause. The log names the statement.",
    },
    RefusalRow {
        verdict: verdict(
            "records.store_unreachable",
            1503,
            503,
            503,
            "see whether the database of `store.url` answers",
        ),
        sentence: "the store does not answer",
        page: "Records are read from SQL. No record is lost while it is away: they wait in the log of the node and follow when it is back.",
    },
    RefusalRow {
        verdict: verdict(
            "records.too_many_questions",
            1504,
            503,
            503,
            "ask less often, or with a smaller limit",
        ),
        sentence: "too many questions about records wait for the store",
        page: "Each shard lets at most 256 questions wait, so that a slow database cannot fill the memory.",
    },
];
