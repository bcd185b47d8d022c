//! What a room may ask for. Nothing here waits: answers come by ticket, events by the owner's door.

use std::net::IpAddr;

use sip::{Message, Name};
use types::{
    CallId, Flow, Instant, LegId, Refuse, Rng, Seconds, Secret, SessionId, Slot, UnixTime, tagged,
};

use crate::binding::binding_key;
use crate::core::{Core, Keys};
use crate::directory::{Binding, Device, Directory, Known, User};
use crate::group::{Deed, Speaker};
use crate::input::{ApiRequest, ApiResponse, Mail, Output, Ticket};
use crate::ladder::Lane;
use crate::leg_run::SERVER;
use crate::lines::{Allowance, Line};
use crate::notice::{Notice, Reach};
use crate::requests::{Login, RequestPlan};
use crate::route::{Change, Trunk};
use crate::seal;
use crate::service::{RequestId, Service};
use crate::store::{Durability, Entry, kinds};
use crate::subscription::{SubscriptionState, Terms};

mod asks;
mod legs;

/// A room's place on the corridor; `None` while it speaks itself.
pub(crate) type Rooms = [Option<Box<dyn Service>>];

/// Given to a room at each of its doors.
pub struct Effects<'a> {
    pub(crate) core: &'a mut Core,
    pub(crate) rooms: &'a mut Rooms,
    pub(crate) room: usize,
}

impl std::fmt::Debug for Effects<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Effects of room {}", self.room)
    }
}

/// Clocks, chance, facts from memory.
impl Effects<'_> {
    /// For intervals.
    pub fn now(&self) -> Instant {
        self.core.clock.now
    }

    /// For people.
    pub fn unix(&self) -> UnixTime {
        self.core.clock.unix
    }

    /// This shard's stream of chance.
    pub fn rng(&mut self) -> &mut Rng {
        &mut self.core.rng
    }

    /// People everywhere, homes here.
    pub fn directory(&self) -> &Directory {
        &self.core.directory
    }

    /// Keys of the node, for signed links.
    pub fn keys(&self) -> Keys {
        self.core.keys
    }

    /// SIP domain and digest realm.
    pub fn domain(&self) -> &str {
        &self.core.config.domain
    }

    /// Base of the addresses that we hand out.
    pub fn public(&self) -> &str {
        &self.core.config.public
    }

    /// The account of apps.
    pub fn apps(&self) -> &crate::Apps {
        &self.core.config.apps
    }

    /// What SDP carries as our address.
    pub fn media_address(&self) -> IpAddr {
        self.core.config.media_address
    }

    /// Where browsers reach our media.
    pub fn door(&self) -> Option<crate::Door> {
        self.core.config.door
    }

    /// What the media engine knows of AMR.
    pub fn amr(&self) -> sdp::AmrKnown {
        self.core.config.amr
    }

    /// Whether a leg comes or goes over a WebSocket: its end is a browser, until its description says otherwise.
    pub fn is_browser(&self, leg: LegId) -> bool {
        self.flow_of(leg).is_some_and(is_browser)
    }

    /// How long an INVITE is held for a woken device.
    pub fn push_wait(&self) -> std::time::Duration {
        self.core.config.push_wait
    }

    /// Our Contact on a flow, with its brackets.
    pub fn contact(&self, flow: Flow) -> String {
        self.core.contact(flow)
    }

    /// Algorithms that a challenge offers when the user has no list of his own.
    pub fn digest(&self) -> &[sip::digest::Algorithm] {
        &self.core.config.digest
    }

    /// Whether a URI names our domain or one of our listeners.
    pub fn is_ours(&self, uri: &sip::Uri<'_>) -> bool {
        self.core.is_ours(uri)
    }

    /// The user whom an address of ours names, also when it is that of one device of his, or hides him.
    pub fn user_at(&self, address: &[u8]) -> Option<String> {
        let uri = sip::Uri::decode(address).ok().filter(|uri| self.is_ours(uri))?;
        self.core.user_in(&uri)
    }

    /// The same for whom a request is, which was let in with whatever host it names.
    pub fn addressee(&self, message: &sip::Message<'_>) -> Option<String> {
        self.core.user_in(&sip::Uri::decode(message.request_uri()?).ok()?)
    }

    /// The one device that an address of ours names; `None`: all of its user's.
    pub fn gruu(&self, uri: &sip::Uri<'_>) -> Option<crate::gruu::Gruu> {
        crate::gruu::Gruu::read(&self.core.keys, uri).filter(|_| self.core.is_ours(uri))
    }

    /// A new address of the device of a binding, good while that registration stands.
    pub fn temporary_gruu(&mut self, user: &str, binding: &Binding) -> Option<String> {
        let core = &mut *self.core;
        crate::gruu::temporary(&core.keys, &mut core.rng, user, &core.config.domain, binding)
    }

    /// The group in whose name a user acts with this request; `None`: in his own.
    ///
    /// Spec: RFC 3325 §9.2 (P-Preferred-Identity)
    pub fn speaker(&self, user: &str, deed: Deed, message: &Message<'_>) -> Option<Speaker> {
        let wish = message.name_addr(Name::PPreferredIdentity).ok();
        let wish = wish.and_then(|wish| wish.uri().ok());
        let wish =
            wish.and_then(|wish| String::from_utf8(wish.user_unescaped()?.into_owned()).ok());
        let to = message.request_uri().and_then(|uri| sip::Uri::decode(uri).ok());
        let to = to.and_then(|to| String::from_utf8(to.user_unescaped()?.into_owned()).ok());
        let (to, wish) = (to.unwrap_or_default(), wish.as_deref());
        let group = self.core.directory.groups.acting(user, &to, deed, wish)?;
        let name = sip::write::escape_user(group.name.as_bytes());
        Some(Speaker {
            name: group.display_name.clone(),
            uri: format!("sip:{name}@{}", self.core.config.domain),
            number: group.number.clone(),
        })
    }

    /// The slot that keeps a user's bindings.
    pub fn home(&self, user: &str) -> Slot {
        self.core.home(user)
    }

    /// Whether this shard hosts a slot.
    pub fn hosts(&self, slot: Slot) -> bool {
        self.core.hosts(slot)
    }

    /// Which way a leg came or goes.
    pub fn flow_of(&self, leg: LegId) -> Option<Flow> {
        self.core.legs.get(&leg).map(|leg| leg.flow)
    }

    /// Live sessions of this room here.
    pub fn sessions(&self) -> Vec<SessionId> {
        let own = |(id, entry): (&SessionId, &crate::core::SessionEntry)| {
            (entry.room == self.room).then_some(*id)
        };
        let mut found: Vec<_> = self.core.sessions.iter().filter_map(own).collect();
        found.sort_unstable();
        found
    }

    /// Whether the server takes no new calls any more, since it is about to end.
    pub fn is_draining(&self) -> bool {
        self.core.draining
    }

    /// Counts under a stable name.
    pub fn count(&mut self, name: &'static str) {
        self.core.count(name);
    }

    /// Adds a line of words to a call's ladder.
    pub fn ladder(&mut self, call: CallId, lane: Lane, text: &str) {
        self.core.note(call, lane, None, text.as_bytes());
    }

    /// The host and port of ours that a flow comes to.
    pub fn sent_by(&self, flow: types::Flow) -> &str {
        self.core.sent_by(flow)
    }

    /// The ladder of a call that lives here.
    pub fn ladder_of(&self, call: CallId) -> Vec<crate::ladder::Line> {
        self.core.ladder.of(call)
    }
}

/// Facts and the directory.
impl Effects<'_> {
    /// Publishes a fact to all who hear it by its reach.
    pub fn publish(&mut self, notice: Notice) {
        match notice.reach() {
            Reach::Everywhere => {
                for shard in 0..self.core.config.shards {
                    let mail = Mail::Notice(notice.clone());
                    if shard == self.core.config.index {
                        self.core.deliver(mail);
                    } else {
                        let after = self.core.after;
                        self.core.out.list.push(Output::Mail { shard, mail, after });
                    }
                }
            }
            Reach::Home(user) => {
                let slot = self.core.home(user);
                self.core.mail(slot, Mail::Notice(notice));
            }
            Reach::Session(session) => self.core.mail(session.slot(), Mail::Notice(notice)),
        }
    }

    /// Asks where a user is; `on_reply` gets `Reply::Located`. Later bindings come as `Event::Arrived` until
    /// `until`.
    pub fn locate(&mut self, user: &str, session: SessionId, until: UnixTime) -> Ticket {
        let ticket = self.core.ticket(self.room);
        let slot = self.core.home(user);
        self.core.mail(slot, Mail::Locate { user: user.to_owned(), session, ticket, until });
        ticket
    }

    /// Ends the watch of [`locate`](Self::locate).
    pub fn unwatch(&mut self, user: &str, session: SessionId) {
        let slot = self.core.home(user);
        self.core.mail(slot, Mail::Unwatch { user: user.to_owned(), session });
    }

    /// Adds or refreshes a binding of a user whose home is here, and keeps it: what this room says afterwards
    /// waits until it is on disk.
    pub fn bind(&mut self, user: &str, binding: impl Into<Known>) {
        let binding = binding.into();
        let entry = self.core.binding_entry(user, &binding);
        // A flow that comes from another address leaves its old contact behind.
        let known = self.core.directory.bindings(user).iter();
        let replaced: Vec<Known> = known
            .filter(|known| {
                known.is_same(&binding)
                    && binding_key(&self.core.keys, user, known)
                        != binding_key(&self.core.keys, user, &binding)
            })
            .cloned()
            .collect();
        for known in replaced {
            self.unbind(user, &known, "replaced");
        }
        let mark = self.core.keep(entry, Durability::Synced);
        let before = self.core.directory.bind(user, binding.clone());
        self.core.can_undo(mark, user, &binding, before);
        let watchers: Vec<_> = self
            .core
            .directory
            .homes
            .get(user)
            .map(|home| home.watchers.clone())
            .unwrap_or_default();
        for (session, until) in watchers {
            if until > self.core.clock.unix {
                let (user, binding) = (user.to_owned(), binding.clone());
                self.core.mail(session.slot(), Mail::Arrived { session, user, binding });
            } else {
                self.core.directory.unwatch(user, session);
            }
        }
        self.publish(Notice::BindingArrived { user: user.to_owned(), binding });
    }

    /// Ends a binding of a user whose home is here.
    pub fn unbind(&mut self, user: &str, binding: &Binding, why: &str) {
        let Some(gone) = self.core.directory.unbind(user, binding) else { return };
        let entry = Entry {
            slot: self.core.home(user),
            kind: kinds::BINDING,
            key: binding_key(&self.core.keys, user, &gone),
            body: Vec::new(),
            last: true,
        };
        let mark = self.core.keep(entry, Durability::Synced);
        let contact = gone.contact.clone();
        self.core.can_undo(mark, user, &gone, Some(gone.clone()));
        self.publish(Notice::BindingGone { user: user.to_owned(), contact, why: why.to_owned() });
    }

    /// A person, as every shard knows him; for the room that hears `UserChanged`.
    pub fn put_user(&mut self, user: User) {
        self.core.directory.put_user(user);
    }

    /// A person is gone; his bindings with him.
    pub fn remove_user(&mut self, name: &str) {
        if self.hosts(self.home(name)) {
            for known in self.directory().bindings(name).to_vec() {
                self.unbind(name, &known, "unregistered");
            }
        }
        self.core.directory.remove_user(name);
    }

    /// A fact that routes calls; for the room that hears `RoutingChanged`.
    pub fn put_routing(&mut self, change: Change) {
        self.core.directory.put_routing(change);
    }

    /// A group, as every shard knows it; for the room that hears `GroupChanged`.
    pub fn put_group(&mut self, group: crate::group::Group) {
        self.core.directory.groups.put(group);
    }

    /// A group is gone.
    pub fn remove_group(&mut self, name: &str) {
        self.core.directory.groups.remove(name);
    }

    /// The next round of a group begins with this user; for the room that hears `GroupTurned`.
    pub fn turn_group(&mut self, name: &str, first: &str) {
        self.core.directory.groups.turn(name, first.to_owned());
    }

    /// A device that can be woken; for the room that hears `DeviceSeen`.
    pub fn put_device(&mut self, user: &str, device: Device) {
        self.core.directory.put_device(user, device);
    }

    /// Devices of a user that `gone` names are forgotten.
    pub fn remove_device(&mut self, user: &str, gone: impl Fn(&Device) -> bool) {
        self.core.directory.remove_device(user, gone);
    }
}

/// Lines and trunks.
impl Effects<'_> {
    /// Asks for one call more on a line; `on_reply` gets `Reply::Seized`. The end of the session lets it go.
    pub fn seize(&mut self, line: Line, session: SessionId, allowance: Allowance) -> Ticket {
        let ticket = self.core.ticket(self.room);
        self.core.seize(line, session, allowance, ticket);
        ticket
    }

    /// Lets a line go before the session ends.
    pub fn release(&mut self, line: &Line, session: SessionId) {
        self.core.release(line, session);
    }

    /// Lines that a session of this shard holds.
    pub fn lines_of(&self, session: SessionId) -> Vec<Line> {
        self.core.lines.of(session)
    }

    /// Calls on a line whose home is this shard.
    pub fn line_count(&self, line: &Line) -> usize {
        self.core.lines.count(line)
    }

    /// What a trunk wants to be shown when it asks who we are.
    pub fn login(&self, trunk: &Trunk) -> Option<Login> {
        if trunk.user.is_empty() {
            return None;
        }
        let password = seal::open(&self.core.keys.seal, &trunk.sealed).unwrap_or_default();
        let password = Secret::new(String::from_utf8_lossy(&password).into_owned());
        Some(Login { user: trunk.user.clone(), password })
    }
}

/// Answers, sessions and the keeper.
impl Effects<'_> {
    /// Answers an API request.
    pub fn answer(&mut self, id: u64, response: ApiResponse) {
        let after = self.core.after;
        self.core.out.list.push(Output::Api { id, response, after });
    }

    /// Answers an API request with a refusal.
    pub fn refuse_api(&mut self, id: u64, refusal: &dyn Refuse) {
        self.core.count(refusal.verdict().code);
        self.answer(id, ApiResponse::refusal(refusal, &serde_json::Value::Null));
    }

    /// Answers a SIP request. `headers` stand between the fixed ones and the body.
    pub fn respond(&mut self, request: RequestId, status: u16, headers: &[(Name, String)]) {
        let mut out = self.core.draft();
        let Some(entry) = self.core.transactions.servers.get(request.0) else { return };
        let Some(message) = entry.request.message() else { return };
        let mut writer = sip::write::response_to(
            &mut out,
            &message,
            status,
            None,
            Some(&entry.tag.0),
            Some(entry.flow.remote),
        );
        for (name, value) in headers {
            writer.header(*name, value);
        }
        writer.header(Name::Server, SERVER);
        writer.end();
        self.core.respond(request.0, status, out);
    }

    /// Answers a SIP request with a refusal, its reason in a Warning: only for people that we know.
    pub fn refuse(&mut self, request: RequestId, refusal: &dyn Refuse) {
        let verdict = refusal.verdict();
        self.core.count(verdict.code);
        let mut headers = vec![(Name::Warning, warning(refusal))];
        if let Some(delay) = refusal.retry_after() {
            headers.push((Name::RetryAfter, delay.0.to_string()));
        }
        self.respond(request, verdict.sip, &headers);
    }

    /// Header fields that explain a refusal to the far end of a leg.
    pub fn refusal_headers(refusal: &dyn Refuse) -> Vec<(String, String)> {
        let mut headers = vec![("Warning".to_owned(), warning(refusal))];
        if let Some(Seconds(delay)) = refusal.retry_after() {
            headers.push(("Retry-After".to_owned(), delay.to_string()));
        }
        headers
    }

    /// Keeps the state of a session and of its legs here. What this room says afterwards waits for it.
    pub fn save(&mut self, session: SessionId, mut state: Vec<u8>, durability: Durability) {
        let Some(entry) = self.core.sessions.get_mut(&session) else { return };
        state.shrink_to_fit(); // It stays as long as the session.
        entry.saved = Some(state);
        entry.saved_by = self.core.flight.number();
        self.core.save_session(session, durability);
    }

    /// Begins a session of this room on a slot of this shard. It lasts when [`save`](Self::save) keeps it.
    pub fn start(&mut self, slot: Slot) -> SessionId {
        let session = SessionId::mint(slot, &mut self.core.rng);
        let entry = crate::core::SessionEntry::new(self.room, None);
        self.core.sessions.insert(session, entry);
        session
    }

    /// Sends a request of the API on to the home of a user; false when that is here.
    pub fn forward(&mut self, request: &ApiRequest, user: &str) -> bool {
        let slot = self.core.home(user);
        let away = !self.core.hosts(slot);
        if away {
            self.core.mail(slot, Mail::Api(request.clone()));
        }
        away
    }

    /// Sends a request of the API on to a slot; false when that is here.
    pub fn send_on(&mut self, request: &ApiRequest, slot: Slot) -> bool {
        let away = !self.core.hosts(slot);
        if away {
            self.core.mail(slot, Mail::Api(request.clone()));
        }
        away
    }

    /// Sends a request of the API on to the shard after this one; false: this is the last. What each of them knows is
    /// gathered so, in the body.
    pub fn next_shard(&mut self, request: &ApiRequest) -> bool {
        let shard = self.core.config.index + 1;
        let more = shard < self.core.config.shards;
        if more {
            let (mail, after) = (Mail::Api(request.clone()), self.core.after);
            self.core.out.list.push(Output::Mail { shard, mail, after });
        }
        more
    }

    /// Ends a session: `record` is what SQL gets. Legs that are left are ended.
    pub fn end(&mut self, session: SessionId, record: Option<Vec<u8>>) {
        self.core.abandon_subscription(session);
        let Some(entry) = self.core.sessions.remove(&session) else { return };
        self.core.release_all(session);
        if entry.saved.is_some() || record.is_some() {
            let mut writer = tagged::Writer::onto(entry.parting);
            writer.text(1, self.core.name_of(entry.room));
            if let Some(record) = &record {
                writer.bytes(2, record);
            }
            writer.number(6, self.core.clock.unix.0.into());
            let (slot, body) = (session.slot(), writer.finish());
            let entry = Entry { slot, kind: kinds::SESSION, key: session.0, body, last: true };
            self.core.keep(entry, Durability::Written);
        }
        for leg in entry.legs {
            self.core.leg_end(leg, 500, &[]);
            self.core.leg_arm(leg);
        }
    }

    /// Asks for a new session about `key` on the slot of that key. The id is known at once; the room that takes
    /// it gets `Session::Opened`.
    pub fn open(&mut self, key: &str, why: &str) -> SessionId {
        let slot = self.core.home(key);
        // The same key gives the same id, so that all who open it meet.
        let keys = self.core.keys.slots;
        let (high, low) = (keys.hash_bytes(key.as_bytes()), keys.hash_bytes(why.as_bytes()));
        let id = u128::from(slot.0) << 120
            | (u128::from(high) << 64 | u128::from(low ^ high.rotate_left(17))) >> 8;
        let session = SessionId(id);
        let (key, why) = (key.to_owned(), why.to_owned());
        self.core.mail(slot, Mail::Open { session, key, why });
        session
    }
}

/// Requests and subscriptions outside of calls.
impl Effects<'_> {
    /// Sends a request that belongs to no call; `on_reply` gets `Reply::Response`, once.
    pub fn request(&mut self, plan: RequestPlan) -> Ticket {
        let ticket = self.core.ticket(self.room);
        self.core.room_request(ticket, plan);
        ticket
    }

    /// Accepts a SUBSCRIBE or REFER: it is answered, and the subscription is a session of this room, kept with
    /// `state`. The room owes it a [`notify`](Self::notify) now. `None`: it was refused, the answer has left.
    pub fn subscribe(
        &mut self,
        request: RequestId,
        terms: Terms,
        state: Vec<u8>,
    ) -> Option<SessionId> {
        self.core.subscribe(self.room, request, terms, state)
    }

    /// Tells a watcher the whole state. A subscription that is over hears it as its last word, and so does one that
    /// `state` ends; the session ends with it.
    pub fn notify(
        &mut self,
        session: SessionId,
        state: SubscriptionState,
        content_type: &str,
        body: Vec<u8>,
    ) {
        if self.core.sessions.get(&session).is_some_and(|entry| entry.room == self.room) {
            self.core.notify(session, state, content_type, body);
        }
    }

    /// The version that the body of the next NOTIFY shall carry: 0 for the first, one more for each that follows;
    /// a restart may leave some out.
    pub fn version(&self, session: SessionId) -> u32 {
        self.core.notify_version(session)
    }
}

/// Whether browsers come this way.
///
/// Spec: RFC 7118
pub(crate) fn is_browser(flow: Flow) -> bool {
    match flow.transport {
        types::Transport::Ws | types::Transport::Wss => true,
        types::Transport::Udp | types::Transport::Tcp | types::Transport::Tls => false,
    }
}

fn warning(refusal: &dyn Refuse) -> String {
    let verdict = refusal.verdict();
    format!(
        "399 carillon {}",
        sip::write::quote(&format!("{} CAR-{:04}", verdict.code, verdict.number))
    )
}
