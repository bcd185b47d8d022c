//! Written messages from one user to another: delivered at once, or kept until the user is there.
//!
//! Picture     MESSAGE | POST --> Letter in the user's queue --> a copy to each live binding --2xx--> delivered, 200.
//!             nobody takes it --> keeper, fsync --> 202 --> the user registers --> copies --> delivered.
//! Rules       One letter of a user is tried at a time, in the order in which they came. A letter is delivered when one
//!             phone took it; the others get their copy all the same. 202 leaves after the letter is on disk. A phone may
//!             get a letter twice when we crashed between its 200 and our log; never another letter in its place.
//!             The body is passed on as it came. Its text is in no log line, event or table; the report of a panic over the
//!             letter itself has it.
//! Limits      `user_max` letters and OCTETS_MAX octets wait; BODY_MAX and DATAGRAM_BODY_MAX for one; `deliver_wait`,
//!             `expires_max`; LIMIT_MAX and QUESTIONS_MAX for lists.
//! Not here    Other domains and trunks, groups (they hear `MessageSent`), sessions of messages (MSRP). A sleeping phone
//!             without a binding is not woken: a push of ours carries calls only.
//! Spec        RFC 3428
#![deny(missing_docs)]

mod api;
mod config;
mod delivery;
pub mod letter;
pub mod refusal;
pub mod store;

use std::collections::BTreeMap;

use serde_json::json;
use sip::{Message, Method, Name};
use switchboard::group::Deed;
use switchboard::notice::{LetterPlan, MessageFacts};
use switchboard::{
    Access, Caller, Effects, Endpoint, Manifest, Notice, Reply, RequestId, Scope, Service, Session,
    Ticket,
};
use types::{Flow, Seconds, SessionId, Transport};

pub use config::Config;
use delivery::{Queue, Sender, Waiting};
use letter::Letter;
pub use refusal::{REFUSALS, Refusal};

/// Octets of one message; a longer one is refused with `messaging.too_long`.
pub const BODY_MAX: usize = switchboard::requests::BODY_MAX;
/// Octets of a message that came as a datagram; a longer one is refused with `messaging.long_datagram`.
///
/// Spec: RFC 3428 §8
pub const DATAGRAM_BODY_MAX: usize = 1_300;
/// Octets of waiting messages of one shard; more are refused with `messaging.full`.
pub const OCTETS_MAX: usize = 64 << 20;
/// Messages of one answer of the API at most.
pub const LIMIT_MAX: u16 = 1_000;
/// Questions of one shard that wait for the store at most.
pub const QUESTIONS_MAX: usize = 256;
/// Messages that are over, or to be tried again, are looked for this often.
const SWEEP: Seconds = Seconds(10);

/// Header fields that travel with a message, beside its type.
const TRAVELS: &[Name] = &[
    Name::ContentDisposition,
    Name::ContentEncoding,
    Name::ContentLanguage,
    Name::InReplyTo,
    Name::Priority,
    Name::ReplyTo,
    Name::Subject,
];

/// Requests of the API.
pub const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        method: "GET",
        path: "/v1/messages",
        doc: "Messages of one `user`, newest first, at most `limit`: those that wait for him, and those to and from him that are over. Texts are not told.",
        access: Access::Admin,
        scope: Scope::UserQuery("user"),
        body_max: 0,
        request: "",
        response: r#"{"items":[{"id":"msg_…","from":"sip:1001@localhost","to":"sip:1002@localhost","content_type":"text/plain","size":5,"sent_at":"2026-01-31T12:00:00.000Z","ended_at":"2026-01-31T12:00:00.120Z","state":"delivered"},{"id":"msg_…","from":"sip:1001@localhost","to":"sip:1002@localhost","content_type":"text/plain","size":5,"sent_at":"2026-01-31T12:00:00.000Z","until":"2026-02-07T12:00:00.000Z","state":"waiting"}],"next":null}"#,
    },
    Endpoint {
        method: "POST",
        path: "/v1/messages",
        doc: "Sends a text in the name of a user to a user. 200 when a phone took it, 202 when it waits.",
        access: Access::Admin,
        scope: Scope::Any,
        body_max: BODY_MAX + 4_096,
        request: r#"{"from":"1001","to":"1002","text":"hello"}"#,
        response: r#"{"id":"msg_…","from":"sip:1001@localhost","to":"sip:1002@localhost","state":"delivered"}"#,
    },
];

static MANIFEST: Manifest = Manifest {
    name: "messaging",
    purpose: "Messages between users, kept for those who are away.",
    settings: Config::REFERENCE,
    migrations: store::MIGRATIONS,
    tables: store::TABLES,
    endpoints: ENDPOINTS,
    refusals: REFUSALS,
    project: Some(store::project),
    ..Manifest::EMPTY
};

/// See the head of this file.
#[derive(Debug)]
pub struct Room {
    config: Config,
    /// By user; only those for whom something waits.
    queues: BTreeMap<String, Queue>,
    tickets: BTreeMap<Ticket, Purpose>,
    /// Of all queues.
    octets: usize,
    questions: usize,
    /// A sweep is set: only while something waits.
    sweeping: bool,
}

/// What a ticket is for.
#[derive(Debug)]
enum Purpose {
    /// The sender of this letter has waited long enough.
    Alarm { user: String, session: SessionId },
    /// A copy of this letter is out.
    Copy { user: String, session: SessionId },
    /// Rows for the API.
    List { api: u64, user: String },
    /// Old letters are looked for.
    Sweep,
}

impl Room {
    /// A room without letters.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            queues: BTreeMap::new(),
            tickets: BTreeMap::new(),
            octets: 0,
            questions: 0,
            sweeping: false,
        }
    }

    /// A MESSAGE came.
    ///
    /// Spec: RFC 3428 §7
    fn message(
        &mut self,
        request: RequestId,
        message: &Message<'_>,
        (flow, caller): (Flow, &Caller),
        effects: &mut Effects<'_>,
    ) -> Result<(), Refusal> {
        let user = effects.addressee(message).ok_or(Refusal::NoSuchUser)?;
        known(&user, effects)?;
        let body = message.body();
        match body.len() {
            long if long > BODY_MAX => return Err(Refusal::TooLong),
            long if long > DATAGRAM_BODY_MAX && flow.transport == Transport::Udp => {
                return Err(Refusal::LongDatagram);
            }
            _ => (),
        }
        let expires = message.expires().map_err(|_| Refusal::Malformed)?;
        let text = |value: &[u8]| String::from_utf8_lossy(&sip::write::unfold(value)).into_owned();
        let headers = TRAVELS
            .iter()
            .filter_map(|name| Some((name.as_str().to_owned(), text(message.first(*name)?))));
        let from = sender(caller, message, effects);
        let letter = Letter {
            from: from.name_addr,
            from_uri: from.uri,
            headers: headers.collect(),
            content_type: message.first(Name::ContentType).map_or("text/plain".into(), text),
            body: body.to_vec(),
            ..self.letter(&user, expires, effects)
        };
        self.submit(letter, &from.user, Sender::Sip(request), effects)
    }

    /// The server itself wants a letter delivered. It brings no copies, whoever it speaks for.
    fn wanted(&mut self, plan: &LetterPlan, effects: &mut Effects<'_>) {
        let expires = if plan.keep { None } else { Some(0) };
        let letter = Letter {
            from: plan.from.clone(),
            from_uri: plan.from_uri.clone(),
            content_type: plan.content_type.clone(),
            body: plan.body.clone(),
            ..self.letter(&plan.to, expires, effects)
        };
        let taken = known(&plan.to, effects)
            .and_then(|()| self.submit(letter, "", Sender::Nobody, effects));
        if taken.is_err() {
            effects.count("messaging.letters_dropped");
        }
    }

    /// A letter without a text for a user.
    fn letter(&self, user: &str, expires: Option<u32>, effects: &Effects<'_>) -> Letter {
        let sent = effects.unix();
        let most = self.config.expires_max.0;
        let life = expires.unwrap_or(most).min(most);
        Letter {
            to: user.to_owned(),
            sent,
            until: sent + Seconds(life).into(),
            ..Letter::default()
        }
    }

    /// Takes a letter, or says why not.
    fn submit(
        &mut self,
        mut letter: Letter,
        from_user: &str,
        sender: Sender,
        effects: &mut Effects<'_>,
    ) -> Result<(), Refusal> {
        let user = letter.to.clone();
        let waiting = self.queues.get(&user).map_or(0, |queue| queue.letters.len());
        if waiting >= usize::from(self.config.user_max) {
            return Err(Refusal::UserFull);
        }
        if self.octets + letter.octets() > OCTETS_MAX {
            return Err(Refusal::Full);
        }
        let reachable = effects.directory().bindings(&user).iter();
        let reachable = reachable.into_iter().any(|binding| binding.until > effects.unix());
        if !reachable && letter.until <= letter.sent {
            return Err(Refusal::NobodyReachable);
        }
        let home = effects.home(&user);
        letter.session = effects.start(home);
        let session = letter.session;
        if !from_user.is_empty() {
            effects.publish(Notice::MessageSent(Box::new(MessageFacts {
                message: letter.id(),
                from_user: from_user.to_owned(),
                from: letter.from_uri.clone(),
                to: user.clone(),
                content_type: letter.content_type.clone(),
                body: letter.body.clone(),
                sent: letter.sent,
            })));
        }
        let alarm = effects.set_timer(effects.now() + self.config.deliver_wait);
        self.tickets.insert(alarm, Purpose::Alarm { user: user.clone(), session });
        self.octets += letter.octets();
        let one = Waiting { letter, sender, alarm: Some(alarm), stored: false };
        self.queues.entry(user.clone()).or_default().letters.push_back(one);
        self.begin(&user, effects);
        Ok(())
    }
}

impl Service for Room {
    fn manifest(&self) -> &'static Manifest {
        &MANIFEST
    }

    fn offer(&mut self, session: &Session<'_>, effects: &mut Effects<'_>) -> bool {
        match session {
            Session::Api(request) => {
                self.api(request, effects);
                true
            }
            Session::Request { request, message, flow, caller }
                if message.method() == Method::Message =>
            {
                if message.max_forwards() == Ok(Some(0)) {
                    effects.respond(*request, 483, &[]);
                } else if let Err(refusal) =
                    self.message(*request, message, (*flow, caller), effects)
                {
                    effects.refuse(*request, &refusal);
                }
                true
            }
            Session::Invite { .. } | Session::Opened { .. } | Session::Request { .. } => false,
        }
    }

    fn on_notice(&mut self, notice: &Notice, effects: &mut Effects<'_>) {
        match notice {
            Notice::BindingArrived { user, binding } => self.arrived(user, binding, effects),
            Notice::LetterWanted(plan) => self.wanted(plan, effects),
            Notice::Restarted => self.sweep(effects),
            Notice::Started => {
                self.set_sweep(effects);
                let users: Vec<String> = self.queues.keys().cloned().collect();
                for user in users {
                    self.tell_count(&user, effects);
                }
            }
            Notice::UserGone { name } => self.drop_user(name, effects),
            _ => (),
        }
    }

    fn on_reply(&mut self, ticket: Ticket, reply: Reply, effects: &mut Effects<'_>) {
        match (self.tickets.remove(&ticket), reply) {
            (Some(Purpose::Copy { user, session }), Reply::Response(response)) => {
                self.copy_answered(&user, session, (ticket, response.status), effects);
            }
            (Some(Purpose::List { api, user }), Reply::Rows(rows)) => {
                self.questions -= 1;
                self.listed(api, &user, rows, effects);
            }
            _ => (), // No other answer fits a question of ours.
        }
    }

    fn on_timer(&mut self, ticket: Ticket, effects: &mut Effects<'_>) {
        match self.tickets.remove(&ticket) {
            Some(Purpose::Alarm { user, session }) => self.alarm(&user, session, effects),
            Some(Purpose::Sweep) => {
                self.sweeping = false;
                self.sweep(effects);
            }
            Some(Purpose::Copy { .. } | Purpose::List { .. }) | None => (),
        }
    }

    fn adopt(&mut self, session: SessionId, state: &[u8], effects: &mut Effects<'_>) {
        let Some(letter) = Letter::decode(session, state) else {
            effects.end(session, None);
            return;
        };
        self.octets += letter.octets();
        let queue = self.queues.entry(letter.to.clone()).or_default();
        let order = |letter: &Letter| (letter.sent, letter.session);
        let place = queue.letters.partition_point(|one| order(&one.letter) < order(&letter));
        let one = Waiting { letter, sender: Sender::Nobody, alarm: None, stored: true };
        queue.letters.insert(place, one);
        self.set_sweep(effects);
    }
}

/// Who sends a message.
struct Source {
    /// For the copies.
    name_addr: String,
    uri: String,
    /// Empty for somebody who is not one of ours.
    user: String,
}

/// The sender as the copies name him: what he proved, else what he says.
fn sender(caller: &Caller, message: &Message<'_>, effects: &Effects<'_>) -> Source {
    let said = message.from().ok().map(|from| from.display_text()).unwrap_or_default();
    let user = match caller {
        Caller::User(user) => Some(user.clone()),
        // Without proof a name of ours is worth as much as `sip.require_auth = false` says.
        Caller::Claimed(address) => effects.user_at(address.as_bytes()),
        Caller::Trunk(_) => None,
    };
    let known = user.and_then(|user| effects.directory().user(&user));
    if let Some(known) = known
        && let Some(speaker) = effects.speaker(&known.name, Deed::Message, message)
    {
        return Source { name_addr: speaker.header(), uri: speaker.uri, user: known.name.clone() };
    }
    let (uri, name, user) = match (known, caller) {
        (Some(known), _) => {
            let name = Some(known.display_name.clone()).filter(|name| !name.is_empty());
            (address(&known.name, effects), name.unwrap_or(said), known.name.clone())
        }
        (None, Caller::User(user)) => (address(user, effects), said, String::new()),
        (None, Caller::Claimed(uri)) => (plain(uri), said, String::new()),
        (None, Caller::Trunk(_)) => {
            let from = message.from().ok().and_then(|from| from.uri().ok());
            let from = from.map(|uri| plain(&String::from_utf8_lossy(uri.bytes())));
            (from.unwrap_or_default(), said, String::new())
        }
    };
    let name_addr = match name.as_str() {
        "" => format!("<{uri}>"),
        name => format!("{} <{uri}>", sip::write::quote(name)),
    };
    Source { name_addr, uri, user }
}

fn plain(uri: &str) -> String {
    uri.chars().filter(|letter| !matches!(letter, '<' | '>' | '"')).collect()
}

/// The address of a user.
fn address(user: &str, effects: &Effects<'_>) -> String {
    format!("sip:{}@{}", sip::write::escape_user(user.as_bytes()), effects.domain())
}

fn known(user: &str, effects: &Effects<'_>) -> Result<(), Refusal> {
    if effects.directory().user(user).is_some() {
        return Ok(());
    }
    let nobody = effects.directory().count() == 0;
    Err(if nobody { Refusal::Starting } else { Refusal::NoSuchUser })
}

/// A line of the event log about a letter; never its text.
fn event(kind: &'static str, letter: &Letter, why: &str, effects: &mut Effects<'_>) {
    let data = json!({
        "id": letter.id().to_string(),
        "from": letter.from_uri,
        "to": address(&letter.to, effects),
        "content_type": letter.content_type,
        "size": letter.body.len(),
        "sent_at": letter.sent.to_string(),
        "until": letter.until.to_string(),
        "why": why,
    });
    effects.event(kind, &letter.id().to_string(), &data);
}
