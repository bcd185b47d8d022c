//! Who sees what of whom: presence, lines, waiting messages, registrations.
//!
//! Picture     SUBSCRIBE --may he?--> a watch on the user's home --> NOTIFY with the whole state, at each change again.
//!             PUBLISH --> publication --> the newest one is the user's presence. Facts of other rooms --> the rest.
//! Rules       Everything of a user is at his home slot. A document is the whole state: one that is skipped is not
//!             missed. Presence is what a phone published last, else whether a phone is registered. Watches,
//!             publications and the lines of watched users outlive a restart.
//! Limits      WATCHERS_MAX and PUBLICATIONS_MAX per user, DOCUMENT_MAX octets of a publication, LINES_MAX calls of a
//!             user; NOTIFYs of a watch at least its gap apart; `expires_min` to `expires_max`.
//! Not here    Dialogs of subscriptions, retransmission, limits per watcher (switchboard). Lists of people (RFC 4662),
//!             watcher information; who takes part in a call (the room of calls says it).
//! Spec        RFC 6665, RFC 3903, RFC 3856, RFC 4235, RFC 3842, RFC 3680, RFC 4575
#![deny(missing_docs)]

mod config;
mod document;
mod publish;
pub mod refusal;
pub mod saved;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};
use sip::{Message, Method, Name};
use switchboard::notice::{CallFacts, ConferenceFacts, LineFacts, LineState};
use switchboard::{
    Access, ApiRequest, ApiResponse, Bounds, Caller, Effects, Endpoint, Event, Manifest, Notice,
    RequestId, Scope, Service, Session, SubscriptionEvent, Ticket,
};
use types::{Refuse, Seconds, SessionId};

pub use config::Config;
pub use refusal::{REFUSALS, Refusal};
use saved::{Package, Publication, Saved, Watch};

/// Watchers of one user; more are refused with `presence.too_many`.
pub const WATCHERS_MAX: usize = 1_000;
/// Publications of one user; more are refused with `presence.too_many`.
pub const PUBLICATIONS_MAX: usize = 10;
/// Octets of a published document; a longer one is refused with `presence.too_long`.
pub const DOCUMENT_MAX: usize = 16 << 10;
/// Calls of one user that watchers are shown; the oldest give way.
pub const LINES_MAX: usize = 32;
/// Presence and registrations are told at most so often to one watcher (RFC 3856 §6.10, RFC 3680 §4.10).
pub const SLOW_GAP: Duration = Duration::from_secs(5);
/// Lines and waiting messages are told at most so often to one watcher (RFC 4235 §3.9, RFC 3842 §3.8).
pub const FAST_GAP: Duration = Duration::from_secs(1);
/// Publications that ended are looked for this often.
const SWEEP: Seconds = Seconds(10);

/// Requests of the API.
pub const ENDPOINTS: &[Endpoint] = &[Endpoint {
    method: "GET",
    path: "/v1/presence",
    doc: "What watchers see of a user and who they are; of all users of whom there is something to see without `user`.",
    access: Access::Admin,
    scope: Scope::UserQuery("user"),
    body_max: 0,
    request: "",
    response: r#"{"items":[{"user":"1001","reachable":true,"published":1,"waiting":0,"lines":[{"id":"call_…","state":"confirmed","direction":"initiator"}],"watchers":[{"watcher":"1002","package":"dialog"}]}],"next":null}"#,
}];

static MANIFEST: Manifest = Manifest {
    name: "presence",
    purpose: "Presence, lines, waiting messages and registrations for those who may see them.",
    settings: Config::REFERENCE,
    endpoints: ENDPOINTS,
    refusals: REFUSALS,
    ..Manifest::EMPTY
};

/// See the head of this file.
#[derive(Debug)]
pub struct Room {
    config: Config,
    people: BTreeMap<String, Person>,
    watches: BTreeMap<SessionId, Watch>,
    publications: BTreeMap<SessionId, Publication>,
    /// Calls that ended before everything was adopted: their lines do not come back.
    ended: Option<BTreeSet<SessionId>>,
    /// Set only while something is published.
    sweep: Option<Ticket>,
}

/// What is to be seen of a user whose home is here.
#[derive(Debug, Default)]
struct Person {
    /// Sessions of those who watch.
    watches: BTreeSet<SessionId>,
    /// Sessions of what he published.
    publications: BTreeSet<SessionId>,
    /// His calls, oldest first.
    lines: Vec<LineFacts>,
    /// Messages that wait for him.
    waiting: u32,
    /// Whether watchers were told that he can be reached.
    open: bool,
    /// Who takes part, where this is the address of a call and not of a person.
    conference: Option<Box<ConferenceFacts>>,
}

impl Person {
    fn is_empty(&self) -> bool {
        self.watches.is_empty()
            && self.publications.is_empty()
            && self.lines.is_empty()
            && self.waiting == 0
            && self.conference.is_none()
    }
}

impl Room {
    /// A room in which nobody sees anybody.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            people: BTreeMap::new(),
            watches: BTreeMap::new(),
            publications: BTreeMap::new(),
            ended: Some(BTreeSet::new()),
            sweep: None,
        }
    }

    fn bounds(&self) -> Bounds {
        let Config { expires_min: min, expires_default: default, expires_max: max, .. } =
            self.config;
        Bounds { min, default, max }
    }

    /// Forgets a person of whom there is nothing to see.
    fn tidy(&mut self, user: &str) {
        if self.people.get(user).is_some_and(Person::is_empty) {
            self.people.remove(user);
        }
    }

    /// Looks for old publications later, while there are any.
    fn set_sweep(&mut self, effects: &mut Effects<'_>) {
        if self.sweep.is_none() && !self.publications.is_empty() {
            self.sweep = Some(effects.set_timer(effects.now() + SWEEP));
        }
    }

    fn started(&mut self, effects: &mut Effects<'_>) {
        self.ended = None;
        self.set_sweep(effects);
        for (user, person) in &mut self.people {
            person.open = reachable(user, effects);
        }
        let watches: Vec<SessionId> = self.watches.keys().copied().collect();
        for session in watches {
            self.tell(session, None, effects);
        }
    }

    fn list(&self, request: &ApiRequest, effects: &mut Effects<'_>) {
        let wanted = request.query("user");
        let people = self.people.iter().filter(|(_, person)| person.conference.is_none());
        let shown = people.filter(|(user, _)| wanted.is_none_or(|name| name == *user));
        let mut items: Vec<Value> =
            shown.map(|(user, person)| self.show(user, person, effects)).collect();
        if let (Some(user), true) = (wanted, items.is_empty()) {
            if effects.directory().user(user).is_none() {
                effects.refuse_api(request.id, &Refusal::NoSuchUser);
                return;
            }
            items.push(self.show(user, &Person::default(), effects));
        }
        let list = json!({"items": items, "next": null});
        effects.answer(request.id, ApiResponse::json(200, &list));
    }

    fn show(&self, user: &str, person: &Person, effects: &Effects<'_>) -> Value {
        let lines = person.lines.iter().map(|line| {
            json!({
                "id": types::CallId(line.call.0).to_string(),
                "state": format!("{:?}", line.state).to_lowercase(),
                "direction": if line.calls { "initiator" } else { "recipient" },
            })
        });
        let watchers = person.watches.iter().filter_map(|session| self.watches.get(session));
        let watchers = watchers
            .map(|watch| json!({"watcher": watch.watcher, "package": watch.package.name()}));
        json!({
            "user": user,
            "reachable": reachable(user, effects),
            "published": person.publications.len(),
            "waiting": person.waiting,
            "lines": lines.collect::<Vec<_>>(),
            "watchers": watchers.collect::<Vec<_>>(),
        })
    }
}

impl Service for Room {
    fn manifest(&self) -> &'static Manifest {
        &MANIFEST
    }

    fn offer(&mut self, session: &Session<'_>, effects: &mut Effects<'_>) -> bool {
        match session {
            Session::Api(request) => {
                self.list(request, effects);
                true
            }
            Session::Request { request, message, caller, .. } => {
                let done = match message.method() {
                    // News of a subscription that we never asked for (RFC 6665 §4.1.3).
                    Method::Notify => {
                        effects.respond(*request, 481, &[]);
                        Ok(())
                    }
                    Method::Subscribe => self.subscribe(*request, message, caller, effects),
                    Method::Publish => self.publish(*request, message, caller, effects),
                    _ => return false,
                };
                if let Err(refusal) = done {
                    self.refuse(*request, refusal, effects);
                }
                true
            }
            Session::Invite { .. } | Session::Opened { .. } => false,
        }
    }

    fn on_event(&mut self, session: SessionId, event: Event, effects: &mut Effects<'_>) {
        let Event::Subscription(event) = event else { return };
        match event {
            SubscriptionEvent::Due => self.tell(session, None, effects),
            SubscriptionEvent::Closing => {
                self.tell(session, None, effects);
                self.forget_watch(session);
            }
            SubscriptionEvent::Failed { .. } => self.forget_watch(session),
        }
    }

    fn on_notice(&mut self, notice: &Notice, effects: &mut Effects<'_>) {
        match notice {
            Notice::BindingArrived { user, .. } => self.reach_changed(user, None, effects),
            Notice::BindingGone { user, contact, why } => {
                self.reach_changed(user, Some((contact, why)), effects);
            }
            Notice::CallBegan(facts) => {
                self.call_changed(facts, [LineState::Trying, LineState::Early], effects);
            }
            Notice::CallAnswered(facts) => {
                self.call_changed(facts, [LineState::Confirmed; 2], effects);
            }
            Notice::CallEnded(facts) => {
                self.call_changed(facts, [LineState::Terminated; 2], effects);
            }
            Notice::ConferenceChanged(facts) => self.conference_changed(facts, effects),
            Notice::LineChanged { user, line } => self.line_changed(user, line.clone(), effects),
            Notice::MessagesWaiting { user, count } => {
                self.people.entry(user.clone()).or_default().waiting = *count;
                self.tell_all(user, Package::MessageSummary, None, effects);
                self.tidy(user);
            }
            Notice::Restarted | Notice::Started => self.started(effects),
            Notice::UserGone { name } => self.user_gone(name, effects),
            _ => (),
        }
    }

    fn on_timer(&mut self, ticket: Ticket, effects: &mut Effects<'_>) {
        if self.sweep == Some(ticket) {
            self.sweep = None;
            self.sweep_publications(effects);
            self.set_sweep(effects);
        }
    }

    fn adopt(&mut self, session: SessionId, state: &[u8], effects: &mut Effects<'_>) {
        match Saved::decode(state) {
            Some(Saved::Publication(publication)) => {
                self.adopt_publication(session, publication);
                self.set_sweep(effects);
            }
            Some(Saved::Watch(watch, lines)) => {
                let ended = self.ended.as_ref();
                let person = self.people.entry(watch.user.clone()).or_default();
                for line in lines {
                    let over = ended.is_some_and(|ended| ended.contains(&line.call));
                    if !over && !person.lines.iter().any(|known| known.call == line.call) {
                        person.lines.push(line);
                    }
                }
                person.watches.insert(session);
                self.watches.insert(session, watch);
                // A panic of this room: the others have gone on meanwhile.
                if self.ended.is_none() {
                    self.tell(session, None, effects);
                }
            }
            None => effects.end(session, None),
        }
    }
}

impl Room {
    fn refuse(&self, request: RequestId, refusal: Refusal, effects: &mut Effects<'_>) {
        effects.count(refusal.verdict().code);
        let mut headers: Vec<(Name, String)> = Vec::new();
        for (name, value) in Effects::refusal_headers(&refusal) {
            let name = if name == "Warning" { Name::Warning } else { Name::RetryAfter };
            headers.push((name, value));
        }
        match refusal {
            Refusal::BadEvent => {
                let names = Package::ALL.map(Package::name).join(", ");
                headers.push((Name::AllowEvents, names));
            }
            Refusal::TooBrief => {
                headers.push((Name::MinExpires, self.config.expires_min.0.to_string()));
            }
            Refusal::UnsupportedType => {
                headers.push((Name::Accept, Package::Presence.content_type().to_owned()));
            }
            _ => (),
        }
        effects.respond(request, refusal.verdict().sip, &headers);
    }

    /// Tells the homes of both sides how far a call is: the caller's state, then the callee's. Whoever was called and
    /// did not answer himself has the call no more.
    fn call_changed(
        &mut self,
        facts: &CallFacts,
        states: [LineState; 2],
        effects: &mut Effects<'_>,
    ) {
        let [caller, called] = [&facts.from, &facts.to].map(|address| user_of(address, effects));
        let answered = Some(facts.answered_by.clone()).filter(|user| !user.is_empty());
        let over = answered.is_some() && answered != called;
        let called_state = if over { LineState::Terminated } else { states[1] };
        let answered = answered.filter(|_| over);
        let sides = [
            (caller, true, &facts.to, "", states[0]),
            (called, false, &facts.from, facts.from_name.as_str(), called_state),
            (answered, false, &facts.from, facts.from_name.as_str(), states[1]),
        ];
        for (user, calls, remote, remote_name, state) in sides {
            let Some(user) = user else { continue };
            let line = LineFacts {
                call: facts.session,
                call_id: facts.call_id.clone(),
                calls,
                remote: remote.clone(),
                remote_name: remote_name.to_owned(),
                state,
            };
            // No other room has use for it.
            if effects.hosts(effects.home(&user)) {
                self.line_changed(&user, line, effects);
            } else {
                effects.publish(Notice::LineChanged { user, line });
            }
        }
    }
}

/// The user whose address this is.
fn user_of(address: &str, effects: &Effects<'_>) -> Option<String> {
    let user = effects.user_at(address.as_bytes())?;
    effects.directory().user(&user).map(|user| user.name.clone())
}

/// The user that a request is about.
fn target(message: &Message<'_>, effects: &Effects<'_>) -> Result<String, Refusal> {
    let user = effects.addressee(message).unwrap_or_default();
    if effects.directory().user(&user).is_some() {
        return Ok(user);
    }
    let nobody = effects.directory().count() == 0;
    Err(if nobody { Refusal::Starting } else { Refusal::NoSuchUser })
}

/// Who asks: one of ours, by proof or because `sip.require_auth` is off.
fn asker(caller: &Caller, effects: &Effects<'_>) -> Result<String, Refusal> {
    match caller {
        Caller::User(user) => Ok(user.clone()),
        Caller::Claimed(address) => user_of(address, effects).ok_or(Refusal::NotAllowed),
        Caller::Trunk(_) => Err(Refusal::NotAllowed),
    }
}

/// The address of a user.
fn address(user: &str, effects: &Effects<'_>) -> String {
    format!("sip:{}@{}", sip::write::escape_user(user.as_bytes()), effects.domain())
}

fn reachable(user: &str, effects: &Effects<'_>) -> bool {
    effects.directory().bindings(user).iter().any(|binding| binding.until > effects.unix())
}
