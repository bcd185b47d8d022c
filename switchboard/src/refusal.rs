//! What the switchboard itself refuses.

use types::{Refuse, Seconds, Verdict};

use crate::service::RefusalRow;

/// See each variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A planned stop is under way.
    #[error("the server is draining: it takes no new calls")]
    Draining,
    /// No room wanted the session.
    #[error("nobody here handles this request")]
    NobodyCares,
    /// Too many transactions, or the log cannot be written.
    #[error("the server cannot take more work now")]
    Overloaded,
}

impl Refuse for Refusal {
    fn verdict(&self) -> Verdict {
        let (code, number, sip, http, fix) = match self {
            Self::Draining => (
                "switchboard.draining",
                1001,
                503,
                503,
                "use another node, or wait until the restart is over",
            ),
            Self::NobodyCares => {
                ("switchboard.nobody_cares", 1002, 404, 404, "check the address and the method")
            }
            Self::Overloaded => (
                "switchboard.overloaded",
                1003,
                503,
                503,
                "wait; if it stays, look at /readyz and at the disk",
            ),
        };
        Verdict { code, number, sip, http, fix }
    }

    fn retry_after(&self) -> Option<Seconds> {
        match self {
            Self::Draining => Some(Seconds(30)),
            Self::NobodyCares => None,
            Self::Overloaded => Some(Seconds(5)),
        }
    }
}

/// The rows for help pages.
pub const ROWS: &[RefusalRow] = &[
    RefusalRow {
        verdict: Verdict {
            code: "switchboard.draining",
            number: 1001,
            sip: 503,
            http: 503,
            fix: "use another node, or wait until the restart is over",
        },
        sentence: "The server is draining: it takes no new calls.",
        page: "Somebody sent SIGTERM, for an upgrade as a rule. Calls that run go on for at most `node.drain`; new ones are refused with Retry-After, so that phones with a second server go there.",
    },
    RefusalRow {
        verdict: Verdict {
            code: "switchboard.nobody_cares",
            number: 1002,
            sip: 404,
            http: 404,
            fix: "check the address and the method",
        },
        sentence: "Nobody here handles this request.",
        page: "No room of the server accepts this method for this address. Unknown methods end here, and requests to addresses that are neither a user nor a number nor a group.",
    },
    RefusalRow {
        verdict: Verdict {
            code: "switchboard.overloaded",
            number: 1003,
            sip: 503,
            http: 503,
            fix: "wait; if it stays, look at /readyz and at the disk",
        },
        sentence: "The server cannot take more work now.",
        page: "Either the number of transactions is at its limit, or the log cannot be written (a full or broken disk): nothing may be acknowledged that would be lost. `/readyz` names the part.",
    },
];
