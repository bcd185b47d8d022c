//! What this room refuses.

use std::fmt;

use switchboard::RefusalRow;
use types::{Refuse, Seconds, Verdict};

/// See the rows of [`REFUSALS`], which stand in the same order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Trunks and routes are being read from the store.
    Loading,
    /// The body or the query does not say what the endpoint wants.
    Malformed,
    /// There is no number like this.
    NoSuchNumber,
    /// There is no route of this name.
    NoSuchRoute,
    /// There is no trunk of this name.
    NoSuchTrunk,
    /// The store refused for a reason of ours.
    StoreBroken,
    /// The store does not answer.
    StoreUnreachable,
    /// There are as many as there may be.
    TooMany,
}

impl Refusal {
    /// Every variant, in order.
    pub const ALL: [Self; 8] = [
        Self::Loading,
        Self::Malformed,
        Self::NoSuchNumber,
        Self::NoSuchRoute,
        Self::NoSuchTrunk,
        Self::StoreBroken,
        Self::StoreUnreachable,
        Self::TooMany,
    ];

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
            Self::Loading => Some(Seconds(1)),
            Self::StoreUnreachable => Some(Seconds(5)),
            Self::Malformed
            | Self::NoSuchNumber
            | Self::NoSuchRoute
            | Self::NoSuchTrunk
            | Self::StoreBroken
            | Self::TooMany => None,
        }
    }
}

const fn verdict(code: &'static str, number: u16, status: u16, fix: &'static str) -> Verdict {
    Verdict { code, number, sip: status, http: status, fix }
}

/// The rows for help pages, in the order of the variants.
pub const REFUSALS: &[RefusalRow] = &[
    RefusalRow {
        verdict: verdict("trunks.loading", 1601, 503, "wait until /readyz says ready"),
        sentence: "trunks, numbers and routes are being read from the store",
        page: "Just after a start each shard reads them. `/readyz` names the part `trunks` until that is done. If it stays, the store does not answer.",
    },
    RefusalRow {
        verdict: verdict(
            "trunks.malformed",
            1602,
            400,
            "look at `tried` for the field, and at /openapi.json for its form",
        ),
        sentence: "the request says something that this resource does not have or cannot be",
        page: "The body is no JSON object, has a key that we do not know, or a value that is not allowed. `tried.field` names it, `tried.wants` says what would do.",
    },
    RefusalRow {
        verdict: verdict("trunks.no_such_number", 1603, 404, "list them with GET /v1/numbers"),
        sentence: "there is no number like this",
        page: "Numbers are named in E.164 form with their `+`, such as /v1/numbers/+15550100.",
    },
    RefusalRow {
        verdict: verdict("trunks.no_such_route", 1604, 404, "list them with GET /v1/routes"),
        sentence: "there is no route of this name",
        page: "Names are compared letter by letter; a space in a path is written %20.",
    },
    RefusalRow {
        verdict: verdict("trunks.no_such_trunk", 1605, 404, "list them with GET /v1/trunks"),
        sentence: "there is no trunk of this name",
        page: "Names are compared letter by letter, capitals included.",
    },
    RefusalRow {
        verdict: verdict(
            "trunks.store_broken",
            1606,
            500,
            "look into the log of the store; this is a fault of ours",
        ),
        sentence: "the store refused the change",
        page: "The database answered with an error that a correct server does not cause. The log names the statement. Nothing was changed.",
    },
    RefusalRow {
        verdict: verdict(
            "trunks.store_unreachable",
            1607,
            503,
            "see whether the database of `store.url` answers",
        ),
        sentence: "the store does not answer, nothing was changed",
        page: "Trunks, numbers and routes live in SQL. While it does not answer, calls go on with what is in memory, and changes are refused.",
    },
    RefusalRow {
        verdict: verdict("trunks.too_many", 1608, 409, "delete what is not used any more"),
        sentence: "there are as many of these as there may be",
        page: "Every shard keeps all trunks, numbers and routes in memory, and looks at all routes for a call that goes out: at most 500 trunks, 1,000 routes and 100,000 numbers.",
    },
];
