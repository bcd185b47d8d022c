//! What the switchboard itself refuses.

use sip::{Framing, Message, Method, Name, Start};
use types::{Refuse, Seconds, Verdict};

use crate::leg_run::SERVER;
use crate::service::RefusalRow;

/// When to come again.
const RETRY: Seconds = Seconds(5);

/// See each variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A planned stop is under way.
    #[error("the server is draining: it takes no new calls")]
    Draining,
    /// A subscription is to last a shorter time than we take.
    #[error("the subscription would end too soon")]
    IntervalTooBrief,
    /// The keeper has no room, or its disk is broken.
    #[error("the server cannot keep anything now")]
    LogUnwritable,
    /// No room wanted the session.
    #[error("nobody here handles this request")]
    NobodyCares,
    /// Too many transactions.
    #[error("the server cannot take more work now")]
    Overloaded,
    /// Who lives here is still being read from the store.
    #[error("the server has not read all users, groups and numbers yet")]
    Reading,
    /// As many subscriptions as a shard keeps.
    #[error("the server has as many subscriptions as it keeps")]
    SubscriptionsFull,
    /// As many subscriptions as one watcher may have.
    #[error("this user has as many subscriptions as one may have")]
    SubscriptionsOfUser,
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
            Self::IntervalTooBrief => (
                "switchboard.interval_too_brief",
                1004,
                423,
                423,
                "ask for at least what Min-Expires says",
            ),
            Self::LogUnwritable => (
                "switchboard.log_unwritable",
                1009,
                503,
                503,
                "wait; if it stays, make room on the disk of `node.data`: /readyz says when it is over",
            ),
            Self::NobodyCares => {
                ("switchboard.nobody_cares", 1002, 404, 404, "check the address and the method")
            }
            Self::Overloaded => (
                "switchboard.overloaded",
                1003,
                503,
                503,
                "wait; if it stays, give the server more to run on",
            ),
            Self::Reading => (
                "switchboard.reading",
                1010,
                503,
                503,
                "wait; if it stays, the store does not answer: /readyz says why",
            ),
            Self::SubscriptionsFull => (
                "switchboard.subscriptions_full",
                1005,
                503,
                503,
                "wait; if it stays, run more shards or watch fewer people",
            ),
            Self::SubscriptionsOfUser => (
                "switchboard.subscriptions_of_user",
                1006,
                480,
                429,
                "let the phone watch fewer people",
            ),
        };
        Verdict { code, number, sip, http, fix }
    }

    fn retry_after(&self) -> Option<Seconds> {
        match self {
            Self::Draining => Some(Seconds(30)),
            Self::IntervalTooBrief | Self::NobodyCares | Self::SubscriptionsOfUser => None,
            Self::LogUnwritable | Self::Overloaded | Self::Reading => Some(RETRY),
            Self::SubscriptionsFull => Some(Seconds(60)),
        }
    }
}

/// Turns a success that was never sent, since what it tells was not kept, into a refusal. `None`: it is no success, or
/// one of an INVITE, whose call waits.
pub fn unsaved(response: &[u8]) -> Option<Vec<u8>> {
    let message = Message::decode(response, Framing::Datagram).ok()?;
    if !matches!(message.start(), Start::Response { status: 200..=299, .. })
        || message.method() == Method::Invite
    {
        return None;
    }
    let mut out = Vec::with_capacity(response.len());
    let refusal = Refusal::LogUnwritable;
    let mut writer =
        sip::write::response_to(&mut out, &message, refusal.verdict().sip, None, None, None);
    writer.header(Name::RetryAfter, RETRY.0.to_string());
    writer.header(Name::Server, SERVER);
    writer.end();
    Some(out)
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
            code: "switchboard.interval_too_brief",
            number: 1004,
            sip: 423,
            http: 423,
            fix: "ask for at least what Min-Expires says",
        },
        sentence: "The subscription would end too soon.",
        page: "A phone asked for news for a shorter time than the package's `expires_min`. The answer carries Min-Expires; a phone that is right asks again with it.",
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
            fix: "wait; if it stays, give the server more to run on",
        },
        sentence: "The server cannot take more work now.",
        page: "The number of transactions of a shard is at its limit.",
    },
    RefusalRow {
        verdict: Verdict {
            code: "switchboard.log_unwritable",
            number: 1009,
            sip: 503,
            http: 503,
            fix: "wait; if it stays, make room on the disk of `node.data`: /readyz says when it is over",
        },
        sentence: "The server cannot keep anything now.",
        page: "The log under `node.data` cannot grow (a full disk) or cannot be written (a broken one). Nothing may be acknowledged that would be lost, so registrations, new calls and changes by the API (PUT, POST) are refused with Retry-After; calls that run go on and can be ended. `/readyz` names `keeper`. When the disk has room again all of it is over within a second, without a restart; after an error of the disk itself the node must be started anew.",
    },
    RefusalRow {
        verdict: Verdict {
            code: "switchboard.reading",
            number: 1010,
            sip: 503,
            http: 503,
            fix: "wait; if it stays, the store does not answer: /readyz says why",
        },
        sentence: "The server has not read all users, groups and numbers yet.",
        page: "Just after a start, users, groups, numbers and trunks are read from the store. Until that is done nobody is turned away as a stranger who may be a friend: registrations, calls and messages from or to a name that is not known yet are refused with Retry-After. It takes moments, unless the server was started while its database was away: then it lasts until the database is back, while calls that ran before go on. `/readyz` names the parts `people`, `groups`, `trunks` and `store`.",
    },
    RefusalRow {
        verdict: Verdict {
            code: "switchboard.subscriptions_full",
            number: 1005,
            sip: 503,
            http: 503,
            fix: "wait; if it stays, run more shards or watch fewer people",
        },
        sentence: "The server has as many subscriptions as it keeps.",
        page: "Every shard keeps at most 200,000 subscriptions (presence, busy lamps, message counts). The gauge `subscriptions` in `/metrics` shows how many there are.",
    },
    RefusalRow {
        verdict: Verdict {
            code: "switchboard.subscriptions_of_user",
            number: 1006,
            sip: 480,
            http: 429,
            fix: "let the phone watch fewer people",
        },
        sentence: "This user has as many subscriptions as one may have.",
        page: "One user may have 500 subscriptions on one shard. Phones that lose their memory subscribe anew each time; their old subscriptions end by themselves when they are not refreshed.",
    },
];
