//! What goes into a desk and what comes out of it.

use serde::{Deserialize, Serialize};
use types::Secret;

/// Octets of one description; a longer one is refused.
pub const SDP_MAX: usize = 32 * 1024;

/// What happens to a desk.
#[derive(Clone, Debug)]
pub enum Event {
    /// The page cannot be heard for the moment: it may come back, or be woken.
    Away,
    /// The page is back.
    Back,
    /// The page is gone for good: all calls end, the registration is taken back.
    Close,
    /// What the page wants; `id` is its own number for the answer.
    Command {
        /// Of the page.
        id: u64,
        /// What.
        command: Command,
    },
    /// The time of [`Desk::deadline`](crate::Desk::deadline) has come.
    Deadline,
    /// A fresh pass: the old one ends soon.
    Pass(Secret<String>),
    /// A message of the switchboard.
    Received(Vec<u8>),
    /// A page that knows nothing of what was before takes this desk's calls: [`Desk::kept`](crate::Desk::kept). What
    /// waited for a word of the one before is refused for the moment.
    TakenUp,
}

/// What a page may want. `call` is the Call-ID that events name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "do", rename_all = "lowercase", deny_unknown_fields)]
pub enum Command {
    /// Answers a change of the other side.
    Agree {
        /// Which call.
        call: String,
        /// Our answer, or our offer when they gave none.
        sdp: String,
    },
    /// Takes a call that rings.
    Answer {
        /// Which call.
        call: String,
        /// Our answer, or our offer when they gave none.
        sdp: String,
    },
    /// Calls somebody.
    Call {
        /// A user, a number or a SIP address.
        to: String,
        /// Our offer.
        sdp: String,
    },
    /// Offers the other side a change: hold, resume, another network.
    Change {
        /// Which call.
        call: String,
        /// Our offer.
        sdp: String,
    },
    /// Refuses a call that rings, on all devices.
    Decline {
        /// Which call.
        call: String,
    },
    /// Ends a call, or gives it up.
    Hangup {
        /// Which call.
        call: String,
    },
    /// Presses keys.
    Keys {
        /// Which call.
        call: String,
        /// `0` to `9`, `*`, `#`, `A` to `D`.
        keys: String,
    },
    /// Be reachable.
    Register {
        /// Where a push service takes what wakes the page when it is closed: the endpoint of its subscription.
        #[serde(default)]
        push: Option<String>,
    },
    /// Gives the other side to somebody else.
    Transfer {
        /// Which call.
        call: String,
        /// To a user or address who is to be called.
        #[serde(default)]
        to: Option<String>,
        /// To the other side of this call of ours.
        #[serde(default)]
        with: Option<String>,
    },
    /// Be reachable no more.
    Unregister,
}

/// What is to be done for a desk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Over: drop the desk.
    Closed,
    /// Tell the page.
    Said(Said),
    /// Hand a message to the switchboard.
    Send(Vec<u8>),
}

/// What a page hears.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Said {
    /// Our change was accepted.
    Agreed {
        /// Which call.
        call: String,
        /// Their answer.
        sdp: String,
    },
    /// Both may talk.
    Answered {
        /// Which call.
        call: String,
        /// Their answer; none when ours was the answer.
        #[serde(skip_serializing_if = "Option::is_none")]
        sdp: Option<String>,
    },
    /// The other side changes the session: [`Command::Agree`] is due within [`ANSWER_MAX`](crate::ANSWER_MAX).
    Change {
        /// Which call.
        call: String,
        /// Their offer; none: they ask for ours.
        #[serde(skip_serializing_if = "Option::is_none")]
        sdp: Option<String>,
    },
    /// A command was taken.
    Done {
        /// Its number.
        id: u64,
        /// The call that it began.
        #[serde(skip_serializing_if = "Option::is_none")]
        call: Option<String>,
    },
    /// A call is over, or never was.
    Ended {
        /// Which call.
        call: String,
        /// Why.
        why: Why,
        /// The SIP status where there was one, or 0.
        status: u16,
        /// Its phrase.
        reason: String,
        /// What the server adds for people whom it knows.
        #[serde(skip_serializing_if = "Option::is_none")]
        warning: Option<String>,
    },
    /// Somebody calls.
    Incoming {
        /// Which call.
        call: String,
        /// The caller's address.
        from: String,
        /// The caller's name, which may be empty.
        name: String,
        /// Address of the caller's picture.
        #[serde(skip_serializing_if = "Option::is_none")]
        picture: Option<String>,
        /// Their offer; none: they ask for ours.
        #[serde(skip_serializing_if = "Option::is_none")]
        sdp: Option<String>,
    },
    /// The other side pressed a key.
    Key {
        /// In which call.
        call: String,
        /// Which.
        key: char,
    },
    /// The other side cannot change now, or does not want what we offered: the call goes on as it was.
    Refused {
        /// Which call.
        call: String,
        /// The SIP status.
        status: u16,
        /// Its phrase.
        reason: String,
    },
    /// The phone can be reached.
    Registered,
    /// The other side is being told.
    Ringing {
        /// Which call.
        call: String,
        /// 180 to 199.
        status: u16,
        /// An early answer, with sound before the call is taken.
        #[serde(skip_serializing_if = "Option::is_none")]
        sdp: Option<String>,
    },
    /// How a transfer goes.
    Transfer {
        /// Which call is given away.
        call: String,
        /// What was heard from the third side: below 200 it goes on, from 300 on it failed.
        status: u16,
    },
    /// The phone cannot be reached.
    Unreachable {
        /// The SIP status; 408 when nothing was heard.
        status: u16,
        /// Its phrase.
        reason: String,
        /// What the server adds.
        #[serde(skip_serializing_if = "Option::is_none")]
        warning: Option<String>,
        /// Whether the desk tries again by itself.
        retries: bool,
    },
    /// The registration is taken back.
    Unregistered,
    /// A command was not taken.
    #[serde(skip)]
    Unwilling {
        /// Its number.
        id: u64,
        /// Why.
        no: No,
    },
}

/// A call as a page finds it that takes it up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// Which call.
    pub call: String,
    /// Where it stands.
    pub standing: Standing,
    /// The other side's address.
    pub peer: String,
    /// A caller's name, which may be empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Address of a caller's picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub picture: Option<String>,
    /// The offer of a call that rings here; none: they ask for ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sdp: Option<String>,
}

/// Where a call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// We call; nobody has taken it.
    Calling,
    /// It rings here.
    Incoming,
    /// Both talk: a [`Command::Change`] with a path of its own brings the sound to this page.
    Talking,
}

/// Why a command was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum No {
    /// There is no such call.
    NoSuchCall,
    /// Nobody can be called by this address, or keys are none.
    NotAnAddress,
    /// The description is empty or too long.
    NotADescription,
    /// No push service is there.
    NotAnEndpoint,
    /// As many calls or requests as one desk has.
    TooMany,
    /// The call is not in a state for it.
    WrongMoment,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Another device of ours took it.
    AnsweredElsewhere,
    /// The caller gave up.
    Cancelled,
    /// Nobody answered in time.
    NoAnswer,
    /// We hung up, gave up or refused.
    Ours,
    /// The other side said no.
    Refused,
    /// The other side hung up.
    Theirs,
    /// Nothing was heard from the other side.
    Unreachable,
}
