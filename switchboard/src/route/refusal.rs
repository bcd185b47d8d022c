//! Why a call goes nowhere.

use types::{Refuse, Seconds, Verdict};

use crate::service::RefusalRow;

/// One variant per reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The user does not want to be disturbed and forwards nothing.
    #[error("the user does not want to be disturbed")]
    DoNotDisturb,
    /// Forwardings lead back, or there are too many.
    #[error("the call is forwarded in a circle, or too often")]
    ForwardLoop,
    /// Nothing fits what was dialled.
    #[error("no user, number or route fits what was dialled")]
    NoRoute,
    /// Every trunk of the route is missing or down.
    #[error("no trunk of the route can carry the call now")]
    NoneUp,
    /// A route refuses such calls.
    #[error("a route refuses this call")]
    Rejected {
        /// With this status.
        status: u16,
    },
    /// The trunk carries as many calls as it may.
    #[error("the trunk carries as many calls as it may")]
    TrunkFull,
    /// The user talks and wants no second call.
    #[error("the user talks and has call waiting switched off")]
    UserBusy,
    /// The user has made as many calls as one may have at once.
    #[error("this user has as many calls as one may have at once")]
    UserFull,
}

const DO_NOT_DISTURB: Verdict = Verdict {
    code: "route.do_not_disturb",
    number: 1651,
    sip: 480,
    http: 409,
    fix: "call later, or set `forward_busy` in PUT /v1/users/NAME/calls",
};
const FORWARD_LOOP: Verdict = Verdict {
    code: "route.forward_loop",
    number: 1652,
    sip: 482,
    http: 409,
    fix: "ask `carillon route explain` who forwards to whom, and change one of them",
};
const NO_ROUTE: Verdict = Verdict {
    code: "trunks.no_route",
    number: 1653,
    sip: 404,
    http: 404,
    fix: "ask `carillon route explain`: it names each candidate and why it did not fit",
};
const NONE_UP: Verdict = Verdict {
    code: "trunks.none_up",
    number: 1654,
    sip: 503,
    http: 503,
    fix: "look at GET /v1/trunks for what each one says, and add a second trunk to the route",
};
const REJECTED: Verdict = Verdict {
    code: "route.rejected",
    number: 1655,
    sip: 403,
    http: 403,
    fix: "if the call should go through, change the route that `carillon route explain` names",
};
const TRUNK_FULL: Verdict = Verdict {
    code: "trunks.full",
    number: 1656,
    sip: 503,
    http: 503,
    fix: "raise `calls_max` or `calls_per_second` of the trunk, or add a second one to the route",
};
const USER_BUSY: Verdict = Verdict {
    code: "route.user_busy",
    number: 1657,
    sip: 486,
    http: 409,
    fix: "call later, or switch `call_waiting` on in PUT /v1/users/NAME/calls",
};
const USER_FULL: Verdict = Verdict {
    code: "route.user_full",
    number: 1658,
    sip: 503,
    http: 429,
    fix: "end another call first, or raise `calls.user_calls_max`",
};

impl Refuse for Refusal {
    fn verdict(&self) -> Verdict {
        match self {
            Self::DoNotDisturb => DO_NOT_DISTURB,
            Self::ForwardLoop => FORWARD_LOOP,
            Self::NoRoute => NO_ROUTE,
            Self::NoneUp => NONE_UP,
            Self::Rejected { status } => Verdict { sip: *status, ..REJECTED },
            Self::TrunkFull => TRUNK_FULL,
            Self::UserBusy => USER_BUSY,
            Self::UserFull => USER_FULL,
        }
    }

    fn retry_after(&self) -> Option<Seconds> {
        matches!(self, Self::UserFull).then_some(Seconds(5))
    }
}

/// The rows for help pages, in the order of their numbers.
pub const ROWS: &[RefusalRow] = &[
    RefusalRow {
        verdict: DO_NOT_DISTURB,
        sentence: "The user does not want to be disturbed.",
        page: "`do_not_disturb` is set in the user's call settings and he has no `forward_busy`, so his phones stay silent. GET /v1/users/NAME/calls shows the settings.",
    },
    RefusalRow {
        verdict: FORWARD_LOOP,
        sentence: "The call is forwarded in a circle, or too often.",
        page: "Users who forward to each other would pass a call round for ever. A call is forwarded at most five times in a row, never twice by the same user, and has at most sixteen stages.",
    },
    RefusalRow {
        verdict: NO_ROUTE,
        sentence: "No user, number or route fits what was dialled.",
        page: "The usual causes, most likely first: a number that lacks its `+` (set `numbers_format` of the trunk to `e164`), a number that nobody gave to us (PUT /v1/numbers/NUMBER), a route that is outside of its hours or for other callers, no route that goes out. GET /v1/route/explain lists every candidate.",
    },
    RefusalRow {
        verdict: NONE_UP,
        sentence: "No trunk of the route can carry the call now.",
        page: "Every trunk that the route names is missing, is down (it did not answer OPTIONS), or is the one from which the call came. GET /v1/trunks/NAME says since when and why.",
    },
    RefusalRow {
        verdict: REJECTED,
        sentence: "A route refuses this call.",
        page: "A route with `reject` fits the call. The status that the caller gets is the one of the route.",
    },
    RefusalRow {
        verdict: TRUNK_FULL,
        sentence: "The trunk carries as many calls as it may.",
        page: "`calls_max` counts calls of both directions, `calls_per_second` new ones. A call that finds a trunk full goes on to the next trunk of its route; this refusal comes when there is none.",
    },
    RefusalRow {
        verdict: USER_BUSY,
        sentence: "The user talks and has call waiting switched off.",
        page: "With `call_waiting` off a second call is refused with 486, or goes where `forward_busy` says. A call counts from the moment at which the setting was already off.",
    },
    RefusalRow {
        verdict: USER_FULL,
        sentence: "This user has as many calls as one may have at once.",
        page: "`calls.user_calls_max` bounds the calls that one user has made and not ended, so that a stolen password cannot fill every line. Calls to emergency numbers are not counted.",
    },
];
