//! The room trait, what rooms are offered, and the manifest that the rest of the house generates from.

use sip::Message;
use types::{CallId, Flow, LegId, SessionId, Setting};

use crate::effects::Effects;
use crate::input::{ApiRequest, ApiResponse, Reply, Ticket};
use crate::leg::LegEvent;
use crate::notice::Notice;
use crate::store::{Entry, Migration, Statement};

/// One room on the corridor. Runs on a switchboard thread: never blocks, never awaits.
pub trait Service {
    /// Name, purpose, settings, tables, endpoints: the source of docs, routes and forms.
    fn manifest(&self) -> &'static Manifest;

    /// A new session arrived. The first room to return `true` owns it until it ends.
    fn offer(&mut self, _session: &Session<'_>, _effects: &mut Effects<'_>) -> bool {
        false
    }

    /// A leg is planned that another room owns: headers and the like to add. From memory, at once.
    fn attach(&mut self, _plan: &LegPlan<'_>, _effects: &mut Effects<'_>) -> Vec<Attachment> {
        Vec::new()
    }

    /// Something happened in a session this room owns.
    fn on_event(&mut self, _session: SessionId, _event: Event, _effects: &mut Effects<'_>) {}

    /// A fact another room published.
    fn on_notice(&mut self, _notice: &Notice, _effects: &mut Effects<'_>) {}

    /// The answer to something this room asked for.
    fn on_reply(&mut self, _ticket: Ticket, _reply: Reply, _effects: &mut Effects<'_>) {}

    /// A timer this room set has come.
    fn on_timer(&mut self, _ticket: Ticket, _effects: &mut Effects<'_>) {}

    /// The state of a session as tagged fields, asked for when its caller gets 100 and nothing was kept of it;
    /// `None` when it need not last.
    fn save(&self, _session: SessionId) -> Option<Vec<u8>> {
        None
    }

    /// A session of this room comes back after a restart; its legs are there already.
    fn adopt(&mut self, _session: SessionId, _state: &[u8], _effects: &mut Effects<'_>) {}
}

/// A new session, as it is offered along the corridor.
#[derive(Debug)]
pub enum Session<'a> {
    /// A request of the API; offered to the rooms that share its endpoint, then to the room whose endpoint it is.
    Api(&'a ApiRequest),
    /// Somebody calls. The leg waits for an answer; the session's id is minted already.
    Invite {
        /// Id of the session that begins.
        session: SessionId,
        /// The caller's leg.
        leg: LegId,
        /// The INVITE.
        message: &'a Message<'a>,
        /// Who sent it, as far as we know.
        caller: &'a Caller,
        /// The user part of the Request-URI, unescaped.
        target: &'a str,
    },
    /// A room asked for this session with [`Effects::open`].
    Opened {
        /// Its id.
        session: SessionId,
        /// What it is about.
        key: &'a str,
        /// Which kind.
        why: &'a str,
    },
    /// Any other SIP request outside of a dialog. The room that takes it answers by [`Effects::respond`].
    Request {
        /// Names the answer.
        request: RequestId,
        /// The request.
        message: &'a Message<'a>,
        /// The way it came.
        flow: Flow,
        /// Who sent it.
        caller: &'a Caller,
    },
}

/// A SIP request that waits for our response.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct RequestId(pub(crate) u64);

impl RequestId {
    /// A number that no other request of its shard has now.
    pub fn number(self) -> u64 {
        self.0
    }

    /// The request with this number.
    pub fn from_number(number: u64) -> Self {
        Self(number)
    }
}

/// Who sent a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// A trunk of this name: the request came from an address that is its own.
    Trunk(String),
    /// Proved by digest, or trusted because `sip.require_auth` is off: one of our people.
    User(String),
    /// Let in without proof (`sip.require_auth = false`): the address that he claims.
    Claimed(String),
}

impl Caller {
    /// The user, when it is one of ours that proved it.
    pub fn user(&self) -> Option<&str> {
        match self {
            Self::User(name) => Some(name),
            Self::Claimed(_) | Self::Trunk(_) => None,
        }
    }
}

/// What happens in a session, for its owner.
#[derive(Clone, Debug)]
pub enum Event {
    /// A user that the session watches registered.
    Arrived {
        /// Who.
        user: String,
        /// Where he is now.
        binding: crate::directory::Known,
    },
    /// A leg of the session.
    Leg(LegId, LegEvent),
    /// The pump's word about a bridge of the session.
    Media(media::Event),
    /// The session is a subscription.
    Subscription(crate::subscription::SubscriptionEvent),
}

/// A leg that somebody plans, for [`Service::attach`].
#[derive(Debug)]
pub struct LegPlan<'a> {
    /// The session that plans it.
    pub session: SessionId,
    /// The call that it is part of.
    pub call: CallId,
    /// The user who will be called.
    pub callee: &'a str,
    /// The user who calls, when he is one of ours.
    pub caller: Option<&'a str>,
    /// When the offer ends.
    pub until: types::UnixTime,
}

/// What a room adds to a leg of another room. A closed list; attachments commute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attachment {
    /// A header of the INVITE.
    Header(String, String),
}

/// What a room is, as data.
#[derive(Debug)]
pub struct Manifest {
    /// The room's name: its folder, its section of the configuration, the prefix of its refusals.
    pub name: &'static str,
    /// One line.
    pub purpose: &'static str,
    /// Rows of the settings reference.
    pub settings: &'static [Setting],
    /// The steps of its schema.
    pub migrations: &'static [Migration],
    /// Tables and views that the migrations make: the schema test compares both engines with it.
    pub tables: &'static [&'static str],
    /// Requests of the API.
    pub endpoints: &'static [Endpoint],
    /// Requests of other rooms that this one answers for what is its own: method and path. It is asked before the room
    /// of the endpoint, with [`ApiRequest::shared`], and leaves what it does not know; lists are joined.
    pub shares: &'static [(&'static str, &'static str)],
    /// Every refusal, for help pages and counters.
    pub refusals: &'static [RefusalRow],
    /// The rows that one finished keeper entry becomes, if it is this room's.
    pub project: Option<fn(&Entry) -> Vec<Statement>>,
    /// How a problem document is put to those who ask for paths of [`Access::Account`], by the parts of the path.
    pub reword: Option<fn(&[String], ApiResponse) -> ApiResponse>,
}

impl Manifest {
    /// A room with nothing, to be filled by struct update.
    pub const EMPTY: Self = Self {
        name: "",
        purpose: "",
        settings: &[],
        migrations: &[],
        tables: &[],
        endpoints: &[],
        shares: &[],
        refusals: &[],
        project: None,
        reword: None,
    };
}

/// One request of the API.
#[derive(Debug)]
pub struct Endpoint {
    /// `GET`, `PUT`, `POST` or `DELETE`.
    pub method: &'static str,
    /// `/v1/users/{name}`. A last part `{name..}` is all parts from there on, one at least; the room takes them apart.
    pub path: &'static str,
    /// What it does, for the description.
    pub doc: &'static str,
    /// Who may ask.
    pub access: Access,
    /// Which shard answers.
    pub scope: Scope,
    /// Largest body in octets.
    pub body_max: usize,
    /// An example of the body, JSON or empty.
    pub request: &'static str,
    /// An example of the answer, JSON or empty.
    pub response: &'static str,
}

impl Endpoint {
    /// For the administrator, by JSON: method and path, what it does, who answers, the largest body, and examples of a
    /// body and an answer.
    pub const fn admin(
        (method, path): (&'static str, &'static str),
        doc: &'static str,
        scope: Scope,
        body_max: usize,
        (request, response): (&'static str, &'static str),
    ) -> Self {
        Self { method, path, doc, access: Access::Admin, scope, body_max, request, response }
    }
}

/// Who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// An app that shows the account of apps by HTTP Basic. Such paths are no part of the native API: they stand outside
    /// of `/v1` and of its description.
    Account,
    /// Whoever holds the administrator's token.
    Admin,
    /// The room itself checks the bearer token of the request.
    Token,
}

/// Which shard answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Whichever; what it asks is known everywhere, or stands in the store.
    Any,
    /// The slot in the first octet of the UUID in this path value: a Call-ID of ours.
    CallId(usize),
    /// All of them; each answers `{"items":[…]}` and the lists are joined.
    Every,
    /// The slot of the id in this path value.
    Id(usize),
    /// The slot in the first two hexadecimal digits behind two letters of this path value: the name that apps give a
    /// session. Other values are anybody's.
    Named(usize),
    /// The home slot of the user in this path value.
    User(usize),
    /// The home slot of the user in this query parameter; without it as [`Scope::Every`].
    UserQuery(&'static str),
}

/// One refusal, for its help page.
#[derive(Clone, Copy, Debug)]
pub struct RefusalRow {
    /// Code, number, statuses and fix.
    pub verdict: types::Verdict,
    /// The sentence, with its placeholders in words.
    pub sentence: &'static str,
    /// The page: causes, most likely first.
    pub page: &'static str,
}
