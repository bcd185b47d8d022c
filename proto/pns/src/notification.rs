//! What a push says.

use serde::{Deserialize, Serialize};

/// One message to a sleeping device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Notification {
    /// The call is over for this device: stop ringing, or remember a missed call.
    Cancel(Cancel),
    /// Somebody calls.
    Invite(Invite),
}

impl Notification {
    /// The value of the field `t`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Cancel(cancel) => cancel.why.kind(),
            Self::Invite(_) => "call.invite",
        }
    }

    /// The call that this is about.
    pub fn call_id(&self) -> &str {
        match self {
            Self::Cancel(cancel) => &cancel.call_id,
            Self::Invite(invite) => &invite.call_id,
        }
    }
}

/// A call is offered. All devices and channels carry the same `call_id`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invite {
    /// Call-ID of the INVITE that the woken device will get; one UUID for all devices.
    pub call_id: String,
    /// Whom to show and to answer to.
    pub caller_uri: String,
    /// Display name.
    pub caller_name: Option<String>,
    /// User name of the originating user.
    pub caller_user: Option<String>,
    /// Where the originating terminal is reached.
    pub caller_addr: Option<String>,
    /// Address of record that is called.
    pub to: String,
    /// What is offered.
    pub media: Media,
    /// Where to answer before any REGISTER.
    pub reply_url: String,
    /// Bearer token for `reply_url`; it dies with the call.
    pub reply_token: String,
    /// When the call began. Units: seconds since 1970.
    pub iat: u64,
    /// When ringing ends. Units: seconds since 1970.
    pub exp: u64,
    /// The caller's picture.
    pub image: Option<Image>,
}

/// Kinds of media in an offer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Media {
    /// Sound.
    pub audio: bool,
    /// Pictures.
    pub video: bool,
}

impl Media {
    /// The names on the wire, sound first.
    pub(crate) fn names(self) -> Vec<&'static str> {
        [("audio", self.audio), ("video", self.video)]
            .into_iter()
            .filter_map(|(name, offered)| offered.then_some(name))
            .collect()
    }
}

/// The caller's picture, always from our own store: a foreign address would track the callee.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Signed address that answers until the call's end.
    pub url: String,
    /// A small thumbnail; the first thing to go when the payload is too large.
    pub inline: Option<Vec<u8>>,
}

/// A call has ended for this device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancel {
    /// The same id as in the invite.
    pub call_id: String,
    /// What became of the call.
    pub why: Why,
    /// Who called.
    pub caller_uri: String,
    /// Display name of the caller.
    pub caller_name: Option<String>,
    /// Address of record that was called.
    pub to: String,
    /// When this happened. Units: seconds since 1970.
    pub iat: u64,
    /// Until when it is worth delivering. Units: seconds since 1970.
    pub exp: u64,
}

/// Why a device must stop ringing, or what it slept through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Why {
    /// Another device took the call.
    AnsweredElsewhere,
    /// The caller gave up, or the call was refused elsewhere.
    Cancelled,
    /// Nobody answered in time: shown to the person.
    Missed,
}

impl Why {
    /// The value of the field `t`.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::AnsweredElsewhere => "call.answered_elsewhere",
            Self::Cancelled => "call.cancel",
            Self::Missed => "call.missed",
        }
    }
}
