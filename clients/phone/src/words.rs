//! What goes into a phone and what comes out of it.

use std::net::SocketAddr;

use media::g711::Law;
use types::UnixTime;

/// What happens to a phone, and what its person wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Take the call that rings.
    Answer,
    /// Refuse the call that rings: we are in another one.
    Busy,
    /// Call a URI; [`address`](crate::address) makes one of what a person types.
    Call {
        /// Whom to call.
        uri: String,
    },
    /// The time of [`Phone::deadline`](crate::Phone::deadline) has come.
    Deadline,
    /// Refuse the call that rings.
    Decline,
    /// The answer to [`Action::Fetch`]; status 0 when none came.
    Fetched {
        /// HTTP status.
        status: u16,
        /// The body.
        body: Vec<u8>,
    },
    /// End the call, or give up calling.
    HangUp,
    /// Tell the other side to send nothing.
    Hold,
    /// The flow broke: what was sent last did not arrive.
    Lost,
    /// The flow that [`Action::Open`] asked for is there.
    Opened {
        /// Our end of it.
        contact: SocketAddr,
    },
    /// A push arrived.
    Pushed {
        /// As the push service delivers it.
        payload: Vec<u8>,
        /// When.
        at: UnixTime,
    },
    /// A message came: one datagram, or one message of a stream.
    Received {
        /// From where.
        from: SocketAddr,
        /// The message.
        bytes: Vec<u8>,
    },
    /// Be reachable from now on.
    Register,
    /// The answer to [`Action::Reply`]; status 0 when none came.
    ReplyAnswered {
        /// HTTP status.
        status: u16,
    },
    /// Take the other side back from hold.
    Resume,
    /// Close the flow as soon as nothing is under way; a push opens it again.
    Sleep,
    /// Refuse the call that rings and say why. Heard by the caller only when the call came by push.
    Text(String),
    /// Be reachable no more.
    Unregister,
}

/// What is to be done for a phone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Close the flow; keep the phone.
    Close,
    /// GET the offer of a call; answer with [`Event::Fetched`].
    Fetch {
        /// From where.
        url: String,
        /// Bearer token.
        token: String,
    },
    /// Start, change or stop sound.
    Media(Media),
    /// Open a flow; answer with [`Event::Opened`].
    Open,
    /// POST an answer to a call, as JSON; answer with [`Event::ReplyAnswered`].
    Reply {
        /// To where.
        url: String,
        /// Bearer token.
        token: String,
        /// A JSON object.
        body: String,
    },
    /// Tell the person.
    Said(PhoneEvent),
    /// Send a message.
    Send {
        /// To where.
        to: SocketAddr,
        /// The message.
        bytes: Vec<u8>,
    },
}

/// What sound does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// Begin, or go on like this.
    Start(Stream),
    /// End.
    Stop,
}

/// One stream of sound as both sides agreed on it. A packet lasts 20 ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Where the other side takes RTP.
    pub remote: SocketAddr,
    /// The codec.
    pub law: Law,
    /// Its payload type in this session.
    pub payload_type: u8,
    /// Payload type of pressed keys.
    pub keys: Option<u8>,
    /// Whether we send.
    pub sends: bool,
    /// Whether we hear.
    pub receives: bool,
}

/// What a person, or the script in their place, learns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PhoneEvent {
    /// The call is answered, by either side.
    Answered {
        /// Which call.
        call_id: String,
    },
    /// The call is over, or never was.
    Ended {
        /// Which call.
        call_id: String,
        /// Who ended it, and how.
        why: Why,
        /// The SIP status where there was one, or 0.
        status: u16,
        /// Its phrase.
        reason: String,
        /// The text of its Warning header.
        warning: Option<String>,
    },
    /// Somebody calls.
    Incoming {
        /// Which call.
        call_id: String,
        /// The caller's address.
        from: String,
        /// The caller's name.
        name: String,
        /// Address of the caller's picture.
        call_info: Option<String>,
        /// Whether it came by push, before any INVITE.
        pushed: bool,
    },
    /// The other side pressed a key and said so by INFO.
    Key(char),
    /// The phone can be reached.
    Registered {
        /// For so many seconds.
        expires: u32,
        /// Whether the server will wake it by push.
        push: bool,
    },
    /// The phone cannot be reached.
    RegistrationFailed {
        /// The SIP status; 408 when nothing was heard, 503 when nothing could be sent.
        status: u16,
        /// Its phrase.
        reason: String,
        /// The text of its Warning header.
        warning: Option<String>,
        /// Whether the phone will try again by itself.
        retries: bool,
    },
    /// The other side is being told.
    Ringing {
        /// Which call.
        call_id: String,
        /// 180 to 199.
        status: u16,
        /// Its phrase.
        reason: String,
        /// The text of its Warning header.
        warning: Option<String>,
    },
    /// The flow is closed: only a push reaches this phone.
    Slept,
    /// The phone has taken back its registration.
    Unregistered,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Another device of ours took it.
    AnsweredElsewhere,
    /// The caller gave up.
    Cancelled,
    /// What was to be called is no address that this phone can reach, or it is in a call already.
    Impossible,
    /// We were told too late: it is a missed call.
    Missed,
    /// Nobody answered in time.
    NoAnswer,
    /// The other side said no.
    Refused,
    /// The other side hung up.
    Theirs,
    /// We hung up, gave up or refused.
    Ours,
    /// Nothing was heard from the other side, or nothing could be sent.
    Unreachable,
}

impl Why {
    /// One stable word, for scripts.
    pub const fn word(self) -> &'static str {
        match self {
            Self::AnsweredElsewhere => "answered_elsewhere",
            Self::Cancelled => "cancelled",
            Self::Impossible => "impossible",
            Self::Missed => "missed",
            Self::NoAnswer => "no_answer",
            Self::Refused => "refused",
            Self::Theirs => "theirs",
            Self::Ours => "ours",
            Self::Unreachable => "unreachable",
        }
    }
}
