//! Where a call goes: one pure decision for live calls, `carillon route explain` and the API.
//!
//! Picture     Question (who, what was dialled, when) + facts of the directory --decide--> Decision
//!             Decision: stages, each with targets, joined by "after that one failed so"; every candidate and why
//! Rules       The same question and facts give the same decision, chance included: it is part of the question.
//!             Our user first, then routes that ring or refuse, then our numbers, then routes that go out.
//!             A number of ours never leaves by a trunk. A stranger never does, and a trunk's call only where a
//!             route names trunks. Who calls for help is sent out exactly as he dialled.
//! Limits      FORWARDS_MAX in a row, STAGES_MAX and CANDIDATES_MAX of one decision.
//! Not here    Ringing (hunt), limits of trunks (lines), where facts come from (services/people, services/trunks).
//! Spec        RFC 5806 and RFC 7044 for what forwarding tells, ITU-T E.164 and RFC 3966 for numbers.

mod engine;
mod explain;
mod facts;
mod number;
mod refusal;
mod schedule;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use types::UnixTime;

pub use engine::decide;
pub(crate) use explain::headers;
pub use facts::{
    CallSettings, Change, Format, HOP_FAILED_FOR, HOPS_FAILED_MAX, Health, NO_ANSWER_AFTER, Number,
    Pattern, Route, Routing, Rung, Source, Trunk, Way,
};
pub use number::{DIGITS_MAX, DIGITS_MIN, DialPlan, Dialled, Rule, is_number};
pub use refusal::{ROWS, Refusal};
pub use schedule::{DATES_MAX, Day, Minute, Schedule, WINDOWS_MAX, Window};

/// Forwardings in a row; the next one is refused as a loop.
pub const FORWARDS_MAX: usize = 5;
/// Stages of one decision; what would come after them is left out, and said so.
pub const STAGES_MAX: usize = 16;
/// Candidates that a decision lists; later ones are judged, but not listed.
pub const CANDIDATES_MAX: usize = 200;

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody that we know.
    Stranger,
    /// A trunk of this name.
    Trunk(String),
    /// A user of ours.
    User(String),
}

impl Origin {
    /// `user/NAME`, `trunk/NAME` or `stranger`.
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once('/') {
            Some(("trunk", name)) if !name.is_empty() => Some(Self::Trunk(name.to_owned())),
            Some(("user", name)) if !name.is_empty() => Some(Self::User(name.to_owned())),
            None if text == "stranger" => Some(Self::Stranger),
            Some(_) | None => None,
        }
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stranger => f.write_str("stranger"),
            Self::Trunk(name) => write!(f, "trunk/{name}"),
            Self::User(name) => write!(f, "user/{name}"),
        }
    }
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Who calls.
    pub origin: Origin,
    /// The number that the caller shows, if any.
    pub shows: Option<String>,
    /// What was dialled: a name, a number, a `tel` URI.
    pub dialled: String,
    /// When.
    pub time: UnixTime,
    /// Chance, for shares among trunks.
    pub chance: u64,
}

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// What was dialled, understood.
    pub dialled: Dialled,
    /// In order. The first one begins; another follows the one that its `after` names. Empty: see `refusal`.
    pub stages: Vec<Stage>,
    /// The number whose call program answers; then there are no stages.
    pub program: Option<String>,
    /// What was considered, in order.
    pub candidates: Vec<Candidate>,
    /// Why there is no stage.
    pub refusal: Option<Refusal>,
}

/// Who rings at the same time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stage {
    /// Whom.
    pub aims: Vec<Aim>,
    /// How long. Units: seconds. `None`: as long as calls ring.
    pub ring: Option<u32>,
    /// It follows this stage when that failed so; `None`: it begins.
    pub after: Option<(usize, When)>,
}

/// One target and how the call came to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aim {
    /// Whom.
    pub target: Target,
    /// Who forwarded the call, the first one first.
    pub history: Vec<Diverted>,
}

/// Whom to reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A number at a trunk.
    Trunk {
        /// The trunk's name.
        name: String,
        /// As it is sent there.
        number: String,
        /// The number to show there; `None`: none is allowed.
        identity: Option<String>,
        /// It calls for help: no limit holds it.
        emergency: bool,
    },
    /// All phones of a user.
    User {
        /// His name.
        name: String,
        /// A second call rings while he talks.
        waiting: bool,
    },
}

/// How a stage failed, or must have for another to follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum When {
    /// In whichever way; never a way in which something fails.
    Any,
    /// Somebody talks already.
    Busy,
    /// Somebody does not want it.
    Declined,
    /// It rang long enough.
    NoAnswer,
    /// The trunk cannot carry it; nobody was asked.
    TrunkFailed,
    /// No phone is there.
    Unreachable,
}

impl When {
    /// Whether a stage that waits for `self` follows a failure of this kind.
    pub fn follows(self, failed: Self) -> bool {
        self == Self::Any || self == failed
    }
}

/// One forwarding that a call has behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diverted {
    /// The user who forwards.
    pub from: String,
    /// Whereto, as he wrote it.
    pub to: String,
    /// Why.
    pub cause: Cause,
}

/// Why a call was forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// He wants all of them elsewhere.
    Always,
    /// He talks.
    Busy,
    /// He does not want to be disturbed.
    DoNotDisturb,
    /// He did not answer.
    NoAnswer,
    /// He was not there.
    Unreachable,
}

/// Something that was considered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// `default`, `forward`, `group`, `identity`, `number`, `route`, `trunk` or `user`.
    pub kind: &'static str,
    /// Which one.
    pub name: String,
    /// Whether it is part of the decision.
    pub fits: bool,
    /// Why, for people.
    pub why: String,
}
