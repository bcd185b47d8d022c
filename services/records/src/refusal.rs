//! What this room refuses.

use switchboard::RefusalRow;

switchboard::refusals! {
    /// See the rows of [`REFUSALS`], which stand in the same order.
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
    rows REFUSALS;
    retry 5: StoreUnreachable;
    retry 1: TooManyQuestions;
    usual Malformed, StoreBroken, StoreUnreachable;
}

/// The rows for help pages, in the order of the variants.
pub const REFUSALS: &[RefusalRow] = &[
    RefusalRow::new(
        ("records.malformed", 1501, 400, 400),
        "give `since` as 2026-01-31T12:00:00Z and `limit` as a number from 1 to 1000",
        "a parameter of the question cannot be read",
        "`tried.field` names the parameter. Times are RFC 3339 in UTC, with a `Z` at the end; in an address a `+` must be written `%2B`.",
    ),
    RefusalRow::new(
        ("records.store_broken", 1502, 500, 500),
        "look into the log of the store; this is a fault of ours",
        "the store refused the question",
        "The database answered with an error that a correct server does not cause. The log names the statement.",
    ),
    RefusalRow::new(
        ("records.store_unreachable", 1503, 503, 503),
        "see whether the database of `store.url` answers",
        "the store does not answer",
        "Records are read from SQL. No record is lost while it is away: they wait in the log of the node and follow when it is back.",
    ),
    RefusalRow::new(
        ("records.too_many_questions", 1504, 503, 503),
        "ask less often, or with a smaller limit",
        "too many questions about records wait for the store",
        "Each shard lets at most 256 questions wait, so that a slow database cannot fill the memory.",
    ),
];
