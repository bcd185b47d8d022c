//! What goes into a shard and what comes out: the whole contract with the shell.
//!
//! Both sides are data. Inputs are recorded as they are and replayed; outputs are hashed.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use types::{CallId, Flow, Instant, SessionId, Slot, UnixTime};

use crate::leg::{LegCommand, LegEvent};
use crate::lines::{Allowance, Full, Line};
use crate::notice::Notice;
use crate::store::{Batch, Durability, Entry, Query, Row, StoreFault};
use types::LegId;

/// Both clocks at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    /// For intervals.
    pub now: Instant,
    /// For people.
    pub unix: UnixTime,
}

/// Names something that a room asked for, until its answer comes. Unique within one run of a shard.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Ticket(pub u64);

/// A counter of the `Save` outputs of one shard: how far the log must be before an output may leave.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Mark(pub u64);

/// Everything that can happen to a shard.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Input<'a> {
    /// An entry of the keeper, before anything else happens.
    Adopt(Entry),
    /// All entries were given: the shard begins.
    Begin,
    /// A SIP message: a datagram, or one whole message of a stream.
    Message {
        /// The way it came.
        flow: Flow,
        /// Its octets.
        #[serde(borrow)]
        bytes: &'a [u8],
    },
    /// A connection ended.
    FlowClosed {
        /// Which.
        flow: Flow,
    },
    /// A request of the native API.
    Api(ApiRequest),
    /// Something from another shard, or from this one by the same road.
    Mail(Mail),
    /// The answer to a ticket.
    Reply {
        /// Whose.
        ticket: Ticket,
        /// What.
        reply: Reply,
    },
    /// A word from the media pump.
    Media(media::Event),
    /// The deadline that the shard named has come.
    Tick,
    /// There is room for the keeper again.
    LogBack,
    /// The keeper cannot write any more.
    LogFailed,
    /// The keeper has no room for more than it has begun: new work is refused until `LogBack`.
    LogPaused {
        /// The first save that is not written; what waited behind it and those after it was refused by the shell.
        unsaved: Option<Mark>,
    },
    /// A message of ours did not leave: its connection is gone, or could not be made.
    Undelivered {
        /// The way that it was to go.
        flow: Flow,
        /// The message.
        bytes: Vec<u8>,
    },
    /// No new sessions from now on.
    Drain,
    // Behind the others: what was recorded before knows variants by their place.
    /// More comes than can be done (true): new requests are refused until that is over (false).
    Crowded(bool),
}

/// What a shard wants done, in order.
#[derive(Clone, Debug)]
pub enum Output {
    /// Appends to the keeper. Outputs that name `mark` wait for it.
    Save {
        /// Its number; they grow by one.
        mark: Mark,
        /// What.
        entry: Entry,
        /// How far it must be before outputs behind it may leave.
        durability: Durability,
    },
    /// A SIP message; its octets stand in the arena.
    Send {
        /// The way out.
        flow: Flow,
        /// Where in [`Outputs::arena`].
        range: std::ops::Range<usize>,
        /// Leaves when the log has passed this entry.
        after: Option<Mark>,
    },
    /// Something for another shard.
    Mail {
        /// Which shard.
        shard: usize,
        /// What.
        mail: Mail,
        /// Leaves when the log has passed this entry.
        after: Option<Mark>,
    },
    /// A change of the database; answered by `Reply::Written`.
    Write {
        /// Names the answer.
        ticket: Ticket,
        /// The change.
        batch: Batch,
    },
    /// A question to the database; answered by `Reply::Rows`.
    Load {
        /// Names the answer.
        ticket: Ticket,
        /// The question.
        query: Query,
    },
    /// A name to look up; answered by `Reply::Resolved`.
    Resolve {
        /// Names the answer.
        ticket: Ticket,
        /// The name, and what is known about it.
        question: crate::hop::Question,
    },
    /// A picture to make; answered by `Reply::Picture`.
    Render {
        /// Names the answer.
        ticket: Ticket,
        /// The octets as they were offered.
        bytes: Vec<u8>,
        /// What the sender said they are.
        content_type: String,
    },
    /// A push; answered by `Reply::Push`.
    Deliver {
        /// Names the answer.
        ticket: Ticket,
        /// The push.
        delivery: Box<pns::Delivery>,
        /// Leaves when the log has passed this entry.
        after: Option<Mark>,
    },
    /// A question to an address of the outside; answered by `Reply::Fetched`.
    Fetch {
        /// Names the answer.
        ticket: Ticket,
        /// The question.
        fetch: Box<crate::fetch::Fetch>,
        /// Leaves when the log has passed this entry.
        after: Option<Mark>,
    },
    /// A command to the media pump.
    Media(media::Command),
    /// The answer to an API request.
    Api {
        /// Which request.
        id: u64,
        /// The answer.
        response: ApiResponse,
        /// Leaves when the log has passed this entry.
        after: Option<Mark>,
    },
    /// A line of the event log.
    Event(EventLine),
    /// Words that callers say.
    Ear(crate::hearing::EarOrder),
    /// Readiness of one part of this shard.
    Part {
        /// Its name in `/readyz`.
        name: &'static str,
        /// `None` when it is ready, else why not.
        fault: Option<&'static str>,
    },
    /// Clips and recordings.
    Sound(crate::clip::SoundOrder),
    /// Sound to and from apps.
    Stream(crate::stream::StreamOrder),
    /// Somebody tried in vain what no good phone does; for the log, at most once a second for each source.
    Suspect {
        /// From where.
        flow: Flow,
        /// What: the name of its counter.
        what: &'static str,
        /// Such tries of this source since the last line about it, this one too.
        times: u64,
    },
    /// A room panicked and was opened again; what is known of it.
    Crashed {
        /// The room.
        room: &'static str,
        /// The session that it served.
        session: Option<SessionId>,
        /// The panic's words.
        why: String,
        /// Frames for a file that `sim replay` shows (see [`crate::flight`]).
        report: Vec<u8>,
    },
}

/// The outputs of one or more inputs, with the octets that they send.
#[derive(Debug, Default)]
pub struct Outputs {
    /// In order.
    pub list: Vec<Output>,
    /// Octets of the `Send`s.
    pub arena: Vec<u8>,
}

impl Outputs {
    /// Forgets all, keeps the memory.
    pub fn clear(&mut self) {
        self.list.clear();
        self.arena.clear();
    }
}

/// A dialog of ours that somebody named.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// Its leg.
    pub leg: LegId,
    /// Who owns it.
    pub session: SessionId,
    /// It is not answered yet.
    pub early: bool,
    /// We called; only of early dialogs.
    pub ours: bool,
    /// Who is at the far end.
    pub peer: String,
    /// Where the far end is.
    pub flow: Flow,
}

/// Answers to tickets.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Reply {
    /// A clip that can be played, or why not.
    Clip(Result<crate::clip::ClipFact, crate::clip::SoundFault>),
    /// What an address of the outside said.
    Fetched(Result<Box<crate::fetch::Fetched>, crate::fetch::FetchFault>),
    /// The dialog that was asked for.
    Found(Option<Found>),
    /// The binding list of a user, from the slot that keeps it.
    Located(crate::directory::Located),
    /// A picture was made, or why not.
    Picture(Result<Picture, String>),
    /// What the push provider said.
    Push(pns::Outcome),
    /// A recording that has ended, or why there is none.
    Recorded(Result<crate::clip::RecordedFact, crate::clip::SoundFault>),
    /// Where a name leads, best first; or why nowhere.
    Resolved(Result<Vec<crate::hop::Hop>, String>),
    /// What became of a request of the room's.
    Response(Box<crate::requests::Response>),
    /// Whether a line has room for one call more.
    Seized(Result<(), Full>),
    /// Rows of a query.
    Rows(Result<Vec<Row>, StoreFault>),
    /// A change is durable, or was undone.
    Written(Result<(), StoreFault>),
    // Behind the others: what was recorded before knows variants by their place.
    /// What somebody said.
    Heard(crate::hearing::Hearing),
    /// A stream of sound has begun, or why not.
    StreamBegan(Result<(), crate::stream::StreamFault>),
    /// A stream of sound is over.
    StreamEnded(crate::stream::StreamEnd),
}

/// A picture in the sizes that we hand out; octets are kept by the shell under these names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Picture {
    /// Hash of the large form.
    pub full: String,
    /// Hash of the 256×256 form.
    pub thumbnail: String,
    /// Octets of the 48×48 form, small enough to ride in a push.
    pub tiny: Vec<u8>,
    /// MIME type of all three.
    pub content_type: String,
}

/// A request of the API, already matched to an endpoint and authorised as its row asks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ApiRequest {
    /// Names the answer; the shell's business.
    pub id: u64,
    /// Which room's table.
    pub room: String,
    /// Which row of it.
    pub endpoint: u16,
    /// Values of the path's `{names}`, in order, percent-decoded.
    pub path: Vec<String>,
    /// Query parameters.
    pub query: Vec<(String, String)>,
    /// `Content-Type`.
    pub content_type: String,
    /// Token after `Bearer`, for endpoints with [`Access::Token`](crate::service::Access).
    pub bearer: String,
    /// The body.
    pub body: Vec<u8>,
}

impl ApiRequest {
    /// Set in [`endpoint`](Self::endpoint) when another room's endpoint is shared: what is left is the row of `shares`.
    pub const SHARED: u16 = 0x8000;

    /// Which row of `shares` it is, when the endpoint is another room's.
    pub fn shared(&self) -> Option<u16> {
        (self.endpoint & Self::SHARED != 0).then_some(self.endpoint & !Self::SHARED)
    }

    /// The n-th path value, empty when there is none.
    pub fn arg(&self, n: usize) -> &str {
        self.path.get(n).map_or("", String::as_str)
    }

    /// A query parameter.
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// An answer of the API.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ApiResponse {
    /// HTTP status.
    pub status: u16,
    /// `application/json` unless said otherwise; empty with an empty body.
    pub content_type: String,
    /// More header fields.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl ApiResponse {
    /// A JSON answer.
    pub fn json(status: u16, value: &serde_json::Value) -> Self {
        Self {
            status,
            content_type: "application/json".into(),
            headers: Vec::new(),
            body: value.to_string().into_bytes(),
        }
    }

    /// An answer without a body.
    pub fn empty(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    /// A refusal as RFC 9457 problem+json, with what was tried.
    pub fn refusal(refusal: &dyn types::Refuse, tried: &serde_json::Value) -> Self {
        let verdict = refusal.verdict();
        let mut problem = serde_json::json!({
            "type": format!("/help/CAR-{:04}", verdict.number),
            "title": refusal.to_string(),
            "status": verdict.http,
            "code": verdict.code,
            "number": format!("CAR-{:04}", verdict.number),
            "fix": verdict.fix,
            "help": format!("/help/CAR-{:04}", verdict.number),
        });
        if !tried.is_null() {
            problem["tried"] = tried.clone();
        }
        let mut response = Self::json(verdict.http, &problem);
        response.content_type = "application/problem+json".into();
        if let Some(delay) = refusal.retry_after() {
            response.headers.push(("Retry-After".into(), delay.0.to_string()));
        }
        response
    }
}

/// One line of the ordered event log, before the shell gives it its number.
#[derive(Clone, Debug)]
pub struct EventLine {
    /// CloudEvents `type`, such as `call.ended`.
    pub kind: Cow<'static, str>,
    /// CloudEvents `subject`.
    pub subject: String,
    /// When.
    pub time: UnixTime,
    /// CloudEvents `data`.
    pub data: EventText,
}

/// What a line of the event log tells. Most lines are never read, so what is dear to write is written by who reads.
#[derive(Clone)]
pub enum EventText {
    /// Makes it.
    Later(Arc<dyn Fn() -> serde_json::Value + Send + Sync>),
    /// JSON.
    Text(String),
}

impl EventText {
    /// Octets that it keeps; a guess where it is not written yet.
    pub fn size(&self) -> usize {
        match self {
            Self::Later(_) => 512,
            Self::Text(text) => text.len(),
        }
    }

    /// As JSON.
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Later(make) => Cow::Owned(make().to_string()),
            Self::Text(text) => Cow::Borrowed(text),
        }
    }
}

impl std::fmt::Debug for EventText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text())
    }
}

/// What shards tell each other.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Mail {
    /// An API request that belongs elsewhere.
    Api(ApiRequest),
    /// A command to a leg that lives there.
    Command {
        /// Which leg.
        leg: LegId,
        /// Who asks; only the owner is obeyed.
        from: SessionId,
        /// What.
        command: LegCommand,
    },
    /// An event of a leg whose owner lives there.
    Event {
        /// The owner.
        session: SessionId,
        /// The leg.
        leg: LegId,
        /// What happened.
        event: LegEvent,
    },
    /// Asks for the leg of a dialog.
    Find {
        /// Call-ID.
        call_id: Vec<u8>,
        /// Our tag.
        local: Vec<u8>,
        /// The tag of the far end.
        remote: Vec<u8>,
        /// Who asks.
        session: SessionId,
        /// Names the answer.
        ticket: Ticket,
    },
    /// The answer to `Find`.
    Found {
        /// Whose.
        ticket: Ticket,
        /// The session that asked.
        session: SessionId,
        /// The answer.
        found: Option<Found>,
    },
    /// Asks the home slot of a user where he is; later arrivals follow until `until`.
    Locate {
        /// Who.
        user: String,
        /// Who asks.
        session: SessionId,
        /// Names the answer.
        ticket: Ticket,
        /// End of the watch, for new bindings.
        until: UnixTime,
    },
    /// The answer to `Locate`.
    Located {
        /// Whose.
        ticket: Ticket,
        /// The session that asked.
        session: SessionId,
        /// The answer.
        located: crate::directory::Located,
    },
    /// A new binding of a watched user.
    Arrived {
        /// Who watches.
        session: SessionId,
        /// The user.
        user: String,
        /// Where he is now.
        binding: crate::directory::Known,
    },
    /// A session wants one call more on a line whose home is there.
    Seize {
        /// Which line.
        line: Line,
        /// For whom.
        session: SessionId,
        /// What the line bears.
        allowance: Allowance,
        /// Names the answer.
        ticket: Ticket,
    },
    /// The answer to `Seize`.
    Seized {
        /// Who asked.
        session: SessionId,
        /// Whose.
        ticket: Ticket,
        /// Whether it has it.
        granted: Result<(), Full>,
    },
    /// A session does not hold a line any more.
    Release {
        /// Which line.
        line: Line,
        /// Whose.
        session: SessionId,
    },
    /// The watch is no longer wanted.
    Unwatch {
        /// The user.
        user: String,
        /// Who watched.
        session: SessionId,
    },
    /// A fact for the rooms there.
    Notice(Notice),
    /// Offers a session on its key's slot.
    Open {
        /// Its id, minted on that slot.
        session: SessionId,
        /// What it is about, such as the name of a conference.
        key: String,
        /// Which kind of session, such as `conference`.
        why: String,
    },
    /// A line for the ladder of a call that lives there.
    Ladder {
        /// The call.
        call: CallId,
        /// The line.
        line: crate::ladder::Line,
    },
}

impl Mail {
    /// The slot that it is for; `None`: every shard.
    pub fn slot(&self, home: impl Fn(&str) -> Slot) -> Option<Slot> {
        match self {
            Self::Api(_) => None,
            Self::Command { leg, .. } => Some(leg.slot()),
            Self::Find { local, .. } => crate::transactions::Tag::slot(local),
            Self::Event { session, .. }
            | Self::Found { session, .. }
            | Self::Located { session, .. }
            | Self::Arrived { session, .. }
            | Self::Open { session, .. }
            | Self::Seized { session, .. } => Some(session.slot()),
            Self::Release { line, .. } | Self::Seize { line, .. } => Some(home(line.name())),
            Self::Locate { user, .. } | Self::Unwatch { user, .. } => Some(home(user)),
            Self::Notice(notice) => match notice.reach() {
                crate::notice::Reach::Everywhere => None,
                crate::notice::Reach::Home(user) => Some(home(user)),
                crate::notice::Reach::Session(session) => Some(session.slot()),
            },
            Self::Ladder { call, .. } => Some(call.slot()),
        }
    }
}
