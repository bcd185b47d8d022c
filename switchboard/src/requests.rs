//! Requests of rooms outside of any call: MESSAGE, OPTIONS to a trunk, REGISTER at a carrier and the like.
//!
//! Picture     RequestPlan --> client transaction --> 401 | 407 --> the same again, signed --> Reply::Response
//! Rules       Every plan gets exactly one reply: the final response, or 408 (nobody answered), 503 (it could not be
//!             sent, or too many wait), 513 (its body is too long) made here. A realm is answered once, and once more
//!             when it says that only the nonce was too old. A restart forgets requests: whoever must know asks again.
//! Limits      REQUESTS_MAX under way, BODY_MAX octets, REALMS_MAX realms; 64*T1 for each try.
//! Not here    Dialogs: calls (leg), subscriptions (subscription). Which way a request goes: the plan says it.
//! Spec        RFC 3261 §8.1, §17.1.2, §22; RFC 7616 for the proof

use serde::{Deserialize, Serialize};
use sip::digest::{self, Challenge, Password};
use sip::write::Writer;
use sip::{Message, Name};
use types::{CallId, Flow, Map, Secret, Slot};

use crate::core::Core;
use crate::input::{Reply, Ticket};
use crate::leg_run::SERVER;
use crate::transactions::Asker;

/// Requests of rooms that one shard has under way; more are answered 503 at once.
pub const REQUESTS_MAX: usize = 100_000;
/// Octets of a body that a room may send; a longer one is answered 513 at once.
pub const BODY_MAX: usize = 60_000;
/// Realms that one request answers; the challenge of one more is the final response.
pub const REALMS_MAX: usize = 3;
/// Header lines of a response that the room is shown.
pub const HEADERS_MAX: usize = 64;

/// A name and a password for whoever challenges a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The user name.
    pub user: String,
    /// The password.
    pub password: Secret<String>,
}

/// A request to be sent.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestPlan {
    /// A slot of this shard, to which the answer comes back; of another it is replaced by one of this shard.
    pub slot: Slot,
    /// The call in whose ladder it stands.
    pub call: Option<CallId>,
    /// The method; neither INVITE nor ACK nor CANCEL.
    pub method: String,
    /// Request-URI.
    pub uri: String,
    /// The way out.
    pub flow: Flow,
    /// Values of Route, already joined; empty without.
    pub route: String,
    /// From without its tag: a name-addr.
    pub from: String,
    /// Our tag; `None`: a new one.
    pub from_tag: Option<String>,
    /// To: a name-addr.
    pub to: String,
    /// Call-ID; `None`: a new one.
    pub call_id: Option<String>,
    /// CSeq number of the first try; each further one counts up.
    pub cseq: u32,
    /// Hops left.
    pub max_forwards: u8,
    /// More header fields.
    pub headers: Vec<(String, String)>,
    /// Type of the body.
    pub content_type: String,
    /// The body; may be empty.
    pub body: Vec<u8>,
    /// Answers challenges.
    pub login: Option<Login>,
}

impl RequestPlan {
    /// A plan with nothing but the necessary.
    pub fn new(slot: Slot, method: &str, uri: &str, flow: Flow) -> Self {
        Self {
            slot,
            call: None,
            method: method.to_owned(),
            uri: uri.to_owned(),
            flow,
            route: String::new(),
            from: format!("<{uri}>"),
            from_tag: None,
            to: format!("<{uri}>"),
            call_id: None,
            cseq: 1,
            max_forwards: 70,
            headers: Vec::new(),
            content_type: String::new(),
            body: Vec::new(),
            login: None,
        }
    }
}

/// What became of a request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// 200 to 699.
    pub status: u16,
    /// Its reason phrase.
    pub phrase: String,
    /// Header fields as they were spelt, at most [`HEADERS_MAX`]; none when we made the response.
    pub headers: Vec<(String, String)>,
    /// Type of the body.
    pub content_type: String,
    /// The body.
    pub body: Vec<u8>,
    /// The way it came; the way of the request when we made it.
    pub flow: Option<Flow>,
}

impl Response {
    /// The first header field of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.as_str())
    }

    /// Whether it is a success.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    fn ours(status: u16, flow: Flow) -> Self {
        let phrase = sip::reason_phrase(status).to_owned();
        Self { status, phrase, flow: Some(flow), ..Self::default() }
    }

    fn theirs(status: u16, flow: Flow, message: &Message<'_>) -> Self {
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        let headers = message.headers().take(HEADERS_MAX);
        Self {
            status,
            phrase: text(message.reason().unwrap_or_default()),
            headers: headers.map(|one| (text(one.raw_name), text(one.value))).collect(),
            content_type: text(message.content_type().unwrap_or_default()),
            body: message.body().to_vec(),
            flow: Some(flow),
        }
    }
}

/// A realm that challenged, and what it said last.
#[derive(Debug)]
struct Realm {
    /// Where the proof goes.
    answer: Name,
    name: Vec<u8>,
    challenge: Vec<u8>,
    /// Uses of this nonce.
    uses: u32,
    /// A second challenge was answered because the first nonce was too old.
    renewed: bool,
}

/// A request under way.
#[derive(Debug)]
pub(crate) struct Pending {
    pub call: Option<CallId>,
    flow: Flow,
    /// What a further try needs; only with a login.
    again: Option<Box<RequestPlan>>,
    realms: Vec<Realm>,
}

/// Requests of rooms, by their tickets.
pub(crate) type Requests = Map<Ticket, Pending>;

impl Core {
    /// Sends what a room planned.
    pub(crate) fn room_request(&mut self, ticket: Ticket, mut plan: RequestPlan) {
        let refused = match plan.method.as_str() {
            "INVITE" | "ACK" | "CANCEL" => Some(501), // These have machines of their own.
            _ if plan.body.len() > BODY_MAX => Some(513),
            _ if self.requests.len() >= REQUESTS_MAX => Some(503),
            _ => None,
        };
        if let Some(status) = refused {
            self.count("switchboard.request_refused");
            let response = Response::ours(status, plan.flow);
            self.reply(ticket, Reply::Response(Box::new(response)));
            return;
        }
        if !self.hosts(plan.slot) {
            plan.slot = Slot(self.config.index as u8);
        }
        if plan.from_tag.is_none() {
            let tag = self.tag(plan.slot);
            plan.from_tag = Some(String::from_utf8_lossy(&tag.0).into_owned());
        }
        if plan.call_id.is_none() {
            plan.call_id = Some(self.new_call_id(plan.slot));
        }
        let (call, flow) = (plan.call, plan.flow);
        let again = plan.login.is_some().then(|| Box::new(plan.clone()));
        self.requests.insert(ticket, Pending { call, flow, again, realms: Vec::new() });
        self.send_plan(ticket, &plan, &[]);
    }

    fn send_plan(&mut self, ticket: Ticket, plan: &RequestPlan, proofs: &[(Name, Vec<u8>)]) {
        self.start_request(plan.flow, plan.slot, Asker::Room(ticket), |via| {
            write(plan, proofs, via)
        });
    }

    /// A response to a room's request came.
    pub(crate) fn room_response(&mut self, ticket: Ticket, flow: Flow, message: &Message<'_>) {
        let Some(status) = message.status().filter(|status| *status >= 200) else { return };
        let Some(mut pending) = self.requests.remove(&ticket) else { return };
        if matches!(status, 401 | 407) && self.sign_again(ticket, &mut pending, message) {
            return;
        }
        let response = Response::theirs(status, flow, message);
        self.reply(ticket, Reply::Response(Box::new(response)));
    }

    /// Nobody answered a room's request, or it could not be sent.
    pub(crate) fn room_unanswered(&mut self, ticket: Ticket, status: u16) {
        let Some(pending) = self.requests.remove(&ticket) else { return };
        let response = Response::ours(status, pending.flow);
        self.reply(ticket, Reply::Response(Box::new(response)));
    }

    /// Chance for a proof.
    pub(crate) fn cnonce(&mut self) -> String {
        format!("{:016x}", self.rng.next_u64())
    }

    /// Answers a challenge; false when there is nothing to answer it with.
    fn sign_again(&mut self, ticket: Ticket, pending: &mut Pending, message: &Message<'_>) -> bool {
        let Some(mut plan) = pending.again.take() else { return false };
        if !learn(&mut pending.realms, message) {
            return false;
        }
        let Some(login) = plan.login.clone() else { return false };
        let mut proofs = Vec::new();
        for realm in &mut pending.realms {
            realm.uses += 1;
            let cnonce = self.cnonce();
            let Ok(challenge) = Challenge::decode(&realm.challenge) else { return false };
            let who = digest::Login {
                user: login.user.as_bytes(),
                password: Password::Text(login.password.reveal().as_bytes()),
                realm: None,
            };
            let target =
                digest::Target { method: plan.method.as_bytes(), uri: plan.uri.as_bytes() };
            let uses = realm.uses;
            let Some(proof) = digest::answer(&challenge, &who, target, cnonce.as_bytes(), uses)
            else {
                return false;
            };
            proofs.push((realm.answer, proof));
        }
        plan.cseq = plan.cseq.saturating_add(1).min(sip::limits::CSEQ_MAX);
        let (call, flow) = (pending.call, pending.flow);
        let realms = std::mem::take(&mut pending.realms);
        let again = Some(plan.clone());
        self.requests.insert(ticket, Pending { call, flow, again, realms });
        self.send_plan(ticket, &plan, &proofs);
        true
    }
}

/// Notes what a 401 or 407 asks for; false when it asks for something that was answered before.
fn learn(realms: &mut Vec<Realm>, message: &Message<'_>) -> bool {
    let places = [
        (Name::WwwAuthenticate, Name::Authorization),
        (Name::ProxyAuthenticate, Name::ProxyAuthorization),
    ];
    let mut news = false;
    for (asks, answer) in places {
        let offers = || message.all(asks).filter_map(|value| Challenge::decode(value).ok());
        let Some(best) = digest::strongest(offers()) else { continue };
        let same = |value: &&[u8]| Challenge::decode(value).is_ok_and(|one| one == best);
        let Some(value) = message.all(asks).find(same) else { continue };
        let full = realms.len() >= REALMS_MAX;
        match realms.iter_mut().find(|one| one.answer == answer && *one.name == *best.realm) {
            Some(known) if best.stale && !known.renewed => {
                known.challenge = value.to_vec();
                (known.uses, known.renewed, news) = (0, true, true);
            }
            Some(_) => return false, // The password is wrong.
            None if full => return false,
            None => {
                let (name, challenge) = (best.realm.to_vec(), value.to_vec());
                realms.push(Realm { answer, name, challenge, uses: 0, renewed: false });
                news = true;
            }
        }
    }
    news
}

fn write(plan: &RequestPlan, proofs: &[(Name, Vec<u8>)], via: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(700 + plan.body.len());
    let mut writer = Writer::request(&mut out, plan.method.as_bytes(), plan.uri.as_bytes());
    writer.header(Name::Via, via).number(Name::MaxForwards, plan.max_forwards.into());
    if !plan.route.is_empty() {
        writer.header(Name::Route, &plan.route);
    }
    let tag = plan.from_tag.as_deref().unwrap_or_default();
    writer.header_parts(Name::From, &[plan.from.as_bytes(), b";tag=", tag.as_bytes()]);
    writer.header(Name::To, &plan.to);
    writer.header(Name::CallId, plan.call_id.as_deref().unwrap_or_default());
    let number = plan.cseq.to_string();
    writer.header_parts(Name::CSeq, &[number.as_bytes(), b" ", plan.method.as_bytes()]);
    for (name, proof) in proofs {
        writer.header(*name, proof);
    }
    writer.header(Name::UserAgent, SERVER);
    for (name, value) in &plan.headers {
        writer.raw_header(name.as_bytes(), value);
    }
    if plan.body.is_empty() {
        writer.end();
    } else {
        writer.body(&plan.content_type, &plan.body);
    }
    out
}
