//! The whole vocabulary of facts between rooms, in the past tense, with the reach of each.
//!
//! A fact is published by the owner of what it tells of. Rooms read notices with `if let`: each hears
//! only what it names.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use types::{MessageId, SessionId, UnixTime};

use crate::directory::{Device, Known, User};
use crate::group::Group;
use crate::route::Change;

/// Who hears a fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach<'a> {
    /// Every shard: the directory's facts.
    Everywhere,
    /// The shard that keeps this user's bindings.
    Home(&'a str),
    /// The shard of this session.
    Session(SessionId),
}

/// A fact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Notice {
    /// A device registered, or refreshed.
    BindingArrived {
        /// Whose.
        user: String,
        /// Where it is now.
        binding: Known,
    },
    /// A binding ended.
    BindingGone {
        /// Whose.
        user: String,
        /// Its contact URI.
        contact: String,
        /// `expired`, `flow gone`, `unregistered`, `replaced` or `token gone`.
        why: String,
    },
    /// The two sides of a call hear each other.
    CallAnswered(#[serde(with = "shared")] Arc<CallFacts>),
    /// Somebody calls.
    CallBegan(#[serde(with = "shared")] Arc<CallFacts>),
    /// A call is over; this is its record.
    CallEnded(#[serde(with = "shared")] Arc<CallFacts>),
    /// A provider said that a token is dead: nobody can be woken by it any more.
    DeviceGone {
        /// Whose.
        user: String,
        /// Which provider.
        provider: String,
        /// The token.
        prid: String,
    },
    /// Who takes part in a call that others may hear, said at the home of its address at each change.
    ConferenceChanged(Box<ConferenceFacts>),
    /// A device with a push token made itself known, by REGISTER or by the API.
    DeviceSeen {
        /// Whose.
        user: String,
        /// The device.
        device: Device,
    },
    /// The way to a device is gone, as the proxy in front of it says; its binding is of no use any more.
    FlowFailed {
        /// Whose.
        user: String,
        /// The contact URI of the binding.
        contact: String,
    },
    /// A call came to a group, and its members ring in turn.
    GroupCalled {
        /// Which.
        name: String,
    },
    /// A group was made or changed.
    GroupChanged(Box<Group>),
    /// A group was deleted.
    GroupGone {
        /// Which.
        name: String,
    },
    /// Somebody wrote to a group: a member's word to him is the reply.
    GroupWritten {
        /// Which.
        name: String,
        /// His address.
        from: String,
    },
    /// A call of a user began, was answered or ended: what those see who watch his line.
    LineChanged {
        /// Whose line.
        user: String,
        /// The call, seen from him.
        line: LineFacts,
    },
    /// A message is to be delivered that nobody of ours sent: a copy, or a word of the server.
    LetterWanted(Box<LetterPlan>),
    /// A round of a group begins with somebody else from now on.
    GroupTurned {
        /// Which.
        name: String,
        /// The user.
        first: String,
    },
    /// One of our people, or somebody in his name by the API, sent a message that was taken.
    MessageSent(Box<MessageFacts>),
    /// A message waits for its user, on disk.
    MessageStored {
        /// Whose.
        user: String,
        /// Which.
        message: MessageId,
    },
    /// How many messages wait for a user now. Said at each change, and for whom any wait when the shard begins.
    MessagesWaiting {
        /// Whose.
        user: String,
        /// How many.
        count: u32,
    },
    /// This room's instance is new: the one before it panicked. Told to that room only.
    Restarted,
    /// A fact that routes calls was made, changed or deleted.
    RoutingChanged(Box<Change>),
    /// The shard begins: everything that lasted has been adopted.
    Started,
    /// A user was made or changed.
    UserChanged(Box<User>),
    /// A user was deleted.
    UserGone {
        /// Who.
        name: String,
    },
    /// The people of the store were read: strangers and friends can be told apart.
    UsersLoaded,
    /// A number of ours is to be made, changed (`Some`) or deleted, by whoever may; `RoutingChanged` follows when that is
    /// written.
    NumberWanted {
        /// In E.164 form with its `+`.
        number: String,
        /// What it does.
        wanted: Option<Box<crate::route::Number>>,
    },
    /// A wake ended: what became of one push.
    WakeEnded {
        /// The session that wanted it.
        session: SessionId,
        /// The device, by its token.
        prid: String,
        /// Whether the provider took it.
        accepted: bool,
        /// What the provider said, in a few words.
        why: String,
    },
    /// A sleeping device is wanted.
    WakeNeeded(Box<Wake>),
    /// Nobody needs to wake up for this call any more.
    WakeOver {
        /// The user whose devices were woken.
        user: String,
        /// The Call-ID of the INVITE to come.
        call_id: String,
        /// `cancelled`, `answered_elsewhere` or `missed`.
        why: WakeOver,
        /// The token of the device that answered, which needs no word.
        answered_by: Option<String>,
    },
    // Behind the others: what was recorded before knows variants by their place.
    /// One session told another of the same room something, in words of that room.
    Told {
        /// Who hears it.
        session: SessionId,
        /// Who said it.
        from: SessionId,
        /// What.
        words: Vec<u8>,
    },
}

/// Why a wake is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WakeOver {
    /// Another device of the same user took the call.
    AnsweredElsewhere,
    /// The caller gave up.
    Cancelled,
    /// Nobody answered in time, or the callee declined on another device.
    Missed,
}

/// Who is wanted, and everything that the push may say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Wake {
    /// The session that waits.
    pub session: SessionId,
    /// The user.
    pub user: String,
    /// The device.
    pub device: Device,
    /// What the push carries; the token and the sizes are the push room's business.
    pub invite: pns::Invite,
    /// When waiting ends.
    pub until: UnixTime,
}

/// How far a call on a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum LineState {
    /// He calls and nobody answered yet.
    Trying,
    /// He is called and did not answer yet.
    Early,
    /// Both hear each other.
    Confirmed,
    /// It is over.
    Terminated,
}

/// A call seen from one of its users.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LineFacts {
    /// The call's session.
    pub call: SessionId,
    /// SIP Call-ID of the caller's leg.
    pub call_id: String,
    /// Whether he called.
    pub calls: bool,
    /// The other side's address.
    pub remote: String,
    /// The other side's name, when it is known.
    pub remote_name: String,
    /// How far it is.
    pub state: LineState,
}

/// A message that was taken, for rooms that send copies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MessageFacts {
    /// The message.
    pub message: MessageId,
    /// The user who sent it; empty for somebody without a proof.
    pub from_user: String,
    /// The sender's address.
    pub from: String,
    /// The user it is for.
    pub to: String,
    /// Type of the body.
    pub content_type: String,
    /// The body as it came.
    pub body: Vec<u8>,
    /// When it was taken.
    pub sent: UnixTime,
}

/// A message that the server itself wants delivered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LetterPlan {
    /// The user it is for.
    pub to: String,
    /// From: a name-addr.
    pub from: String,
    /// The sender's address.
    pub from_uri: String,
    /// Type of the body.
    pub content_type: String,
    /// The body.
    pub body: Vec<u8>,
    /// Whether it is kept for a user who is away.
    pub keep: bool,
}

/// What is told and kept of a call.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CallFacts {
    /// The call's session; its text form with the prefix `call_` is the call's id.
    pub session: SessionId,
    /// Calling address.
    pub from: String,
    /// Called address.
    pub to: String,
    /// Name to show for the caller.
    pub from_name: String,
    /// The INVITE came.
    pub began: UnixTime,
    /// Ringing was first heard.
    pub rang: Option<UnixTime>,
    /// The answer went out.
    pub answered: Option<UnixTime>,
    /// It is over.
    pub ended: Option<UnixTime>,
    /// `answered`, `busy`, `declined`, `cancelled`, `missed`, `refused` or `failed`.
    pub outcome: String,
    /// `caller`, `callee` or `server`.
    pub hung_up_by: String,
    /// SIP status of the end of set-up.
    pub status: u16,
    /// Stable code of our refusal, if it was one.
    pub refusal: String,
    /// SIP Call-ID of the caller's leg.
    pub call_id: String,
    /// The user who answered; empty before, and when it was nobody of ours.
    pub answered_by: String,
    /// The caller offered a picture.
    pub video: bool,
    /// Who listened in or joined, in the order of their coming.
    pub guests: Vec<GuestFacts>,
    /// How the first media of caller and callee came through, as it was told last: up to ten seconds before the end, and since
    /// the last transfer. Of a call of a program: of its caller, and of whom it dialled last.
    pub quality: Option<Box<[media::Quality; 2]>>,
    /// Files that somebody had made of its sound, in the order of their ends.
    pub recordings: Vec<RecordingFacts>,
}

/// A recording of a call.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RecordingFacts {
    /// How it is called.
    pub name: String,
    /// Its first moment.
    pub began: UnixTime,
    /// 1, or 2: what the caller says left, what he hears right.
    pub channels: u8,
    /// Where it can be fetched; empty before it is finished, and when it is lost.
    pub address: String,
    /// How long it plays.
    pub length: Duration,
    /// Octets of its file.
    pub octets: u64,
    /// Why it ended: `asked`, `disk`, `interrupted`, `length`, or the code of what lost it; empty before.
    pub end: String,
}

/// Who takes part in a call that others may hear.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ConferenceFacts {
    /// The user part of the address at which it is watched.
    pub address: String,
    /// The user who called; empty when he is none of ours.
    pub caller: String,
    /// The user part of what he called.
    pub called: String,
    /// He offered a picture.
    pub video: bool,
    /// Everybody, those who make the call first; empty when it is over.
    pub users: Vec<ConferenceUser>,
}

/// One who takes part.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ConferenceUser {
    /// His address.
    pub uri: String,
    /// The name to show; may be empty.
    pub name: String,
    /// Whether he is heard.
    pub heard: bool,
    /// He came in by the address of the call.
    pub guest: bool,
}

/// Somebody who was in a call of others.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GuestFacts {
    /// The user.
    pub user: String,
    /// Whether he was heard; otherwise he listened.
    pub joined: bool,
    /// When he came.
    pub began: UnixTime,
    /// When he left.
    pub ended: Option<UnixTime>,
    /// How what he sent came through.
    pub quality: Option<Box<media::Quality>>,
}

impl Notice {
    /// Who hears it.
    pub fn reach(&self) -> Reach<'_> {
        match self {
            Self::BindingArrived { user, .. }
            | Self::BindingGone { user, .. }
            | Self::DeviceGone { user, .. }
            | Self::DeviceSeen { user, .. }
            | Self::FlowFailed { user, .. }
            | Self::LineChanged { user, .. }
            | Self::MessageStored { user, .. }
            | Self::MessagesWaiting { user, .. }
            | Self::WakeOver { user, .. } => Reach::Home(user),
            Self::CallAnswered(facts) | Self::CallBegan(facts) | Self::CallEnded(facts) => {
                Reach::Session(facts.session)
            }
            Self::MessageSent(facts) => Reach::Home(&facts.from_user),
            Self::GroupCalled { name } => Reach::Home(name),
            Self::ConferenceChanged(facts) => Reach::Home(&facts.address),
            Self::LetterWanted(plan) => Reach::Home(&plan.to),
            Self::NumberWanted { number, .. } => Reach::Home(number),
            Self::GroupChanged(_)
            | Self::GroupGone { .. }
            | Self::GroupTurned { .. }
            | Self::GroupWritten { .. }
            | Self::Restarted
            | Self::RoutingChanged(_)
            | Self::Started
            | Self::UserChanged(_)
            | Self::UserGone { .. }
            | Self::UsersLoaded => Reach::Everywhere,
            Self::Told { session, .. } | Self::WakeEnded { session, .. } => {
                Reach::Session(*session)
            }
            Self::WakeNeeded(wake) => Reach::Home(&wake.user),
        }
    }
}

/// Facts that several hold, written as if each had his own.
mod shared {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<T: Serialize, S: Serializer>(
        facts: &Arc<T>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        facts.as_ref().serialize(to)
    }

    pub fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Arc<T>, D::Error> {
        T::deserialize(from).map(Arc::new)
    }
}
