//! SIP that comes in: to which transaction, leg or room it belongs, and who may go on.
//!
//! Order       broken → 400 or a counter; response → its transaction; ACK, CANCEL, repeated request → its transaction;
//!             in a dialog → its leg; else admission (limits, proof), then the corridor.
//! Rules       A stranger gets the same challenge for known and unknown names, without any state of ours. Answers to
//!             datagrams go to the address that they came from, never to one that a header names.
//!             Nothing is relayed: a request for another domain ends here.
//! Spec        RFC 3261 §8.2, §17.2.3, §22; RFC 3581; RFC 5393 for Max-Forwards.

use std::net::SocketAddr;

use sip::digest::{Admission, Credentials, Target};
use sip::transaction::{Server, ServerInvite, server, server_invite};
use sip::{Message, Method, Name, Scheme, Start, Uri};
use types::{Flow, LegId, SessionId, Transport};

use crate::core::Core;
use crate::flows::is_near;
use crate::gruu::Gruu;
use crate::ladder::Lane;
use crate::leg::{Leg, Phase};
use crate::leg_run::{ALLOW, SERVER, SUPPORTED};
use crate::pass;
use crate::refusal::Refusal;
use crate::service::{Caller, RequestId};
use crate::transactions::{Branch, NewServer, ServerMachine, TRANSACTIONS_MAX, Tag};

/// An answer without a trace is at most this many times as long as its datagram; else it is not sent.
const AMPLIFICATION_MAX: usize = 3;

/// A request that passed admission and waits for a room.
pub(crate) enum Admitted {
    /// An INVITE: its leg and session are there.
    Invite { session: SessionId, leg: LegId, caller: Caller, target: String },
    /// Any other request.
    Request { request: RequestId, caller: Caller, flow: Flow },
}

impl Core {
    /// Takes one message as far as it goes without a room.
    pub(crate) fn receive(&mut self, flow: Flow, message: &Message<'_>) -> Option<Admitted> {
        match message.start() {
            Start::Response { status, .. } => {
                self.receive_response(flow, status, message);
                None
            }
            Start::Request { method, uri } => self.receive_request(flow, method, uri, message),
        }
    }

    fn receive_response(&mut self, flow: Flow, status: u16, message: &Message<'_>) {
        let branch = message.via().ok().and_then(|via| via.branch());
        let Some((_, id)) = branch.and_then(Branch::parse) else {
            self.suspect(flow, "sip.stray_response");
            return;
        };
        let now = self.clock.now;
        let Some(entry) = self.transactions.clients.get_mut(id) else {
            if !self.acknowledge_again(flow, status, message) {
                self.suspect(flow, "sip.stray_response");
            }
            return;
        };
        if entry.flow.remote.ip() != flow.remote.ip() {
            self.suspect(flow, "sip.forged_response");
            return;
        }
        let (leg, call) = (entry.asker.leg(), entry.call);
        let is_invite = message.method() == Method::Invite;
        // RFC 3261 §17.1.3: branch and method. The answer to a CANCEL has the branch of its INVITE.
        let fits = match &entry.machine {
            crate::transactions::ClientMachine::Invite(_) => {
                is_invite || message.method() == Method::Cancel
            }
            crate::transactions::ClientMachine::Other(_) => !is_invite,
        };
        if !fits {
            self.suspect(flow, "sip.stray_response");
            return;
        }
        match &mut entry.machine {
            crate::transactions::ClientMachine::Invite(machine) if is_invite => {
                machine.handle(sip::transaction::client_invite::Event::Response(status), now);
            }
            crate::transactions::ClientMachine::Invite(_) => {
                if let Some(call) = call {
                    self.note(call, Lane::SipIn, Some(flow), message.bytes());
                }
                if let Some(leg) = leg {
                    self.leg_cancel_answered(leg);
                }
                return;
            }
            crate::transactions::ClientMachine::Other(machine) => {
                machine.handle(sip::transaction::client::Event::Response(status), now);
            }
        }
        if let Some(call) = call {
            self.note(call, Lane::SipIn, Some(flow), message.bytes());
        }
        self.drive_client(id, Some(message));
    }

    /// A success of a call that stands, said again: our ACK died with the process, or on the wire when its transaction
    /// was over.
    ///
    /// Spec: RFC 3261 §13.2.2.4
    fn acknowledge_again(&mut self, flow: Flow, status: u16, message: &Message<'_>) -> bool {
        if message.method() != Method::Invite || !(200..300).contains(&status) {
            return false;
        }
        let (Ok(from), Ok(to), Ok(cseq)) = (message.from(), message.to(), message.cseq()) else {
            return false;
        };
        let (local, remote) = (from.tag().unwrap_or_default(), to.tag().unwrap_or_default());
        let key = self.dialog_key(message.call_id(), local, remote);
        let Some(id) = self.dialogs.get(&key).copied() else { return false };
        let is_his = |leg: &Leg| {
            matches!(leg.phase, Phase::Established) && leg.flow.remote.ip() == flow.remote.ip()
        };
        if !self.legs.get(&id).is_some_and(|leg| is_his(leg)) {
            return false;
        }
        self.leg_send_ack(id, cseq.number, None);
        true
    }

    fn receive_request(
        &mut self,
        flow: Flow,
        method: Method<'_>,
        uri: &[u8],
        message: &Message<'_>,
    ) -> Option<Admitted> {
        if let Err(why) = message.check() {
            self.suspect(flow, "sip.malformed");
            // An ACK has no answer.
            if method != Method::Ack && message.via().is_ok() {
                self.stateless(flow, message, why.status(), &[]);
            }
            return None;
        }
        let key_method = if method == Method::Ack { Method::Invite } else { method };
        let key = self.transactions.key(message, key_method, flow.remote.ip());
        if let Some(id) = self.transactions.find(key) {
            self.receive_again(flow, id, method, message);
            return None;
        }
        let in_dialog = message.to().ok().and_then(|to| to.tag()).is_some();
        if method != Method::Ack && method != Method::Cancel {
            if !in_dialog {
                return self.admit(flow, key, method, uri, message);
            }
            self.receive_in_dialog(flow, key, (method, uri), message);
            return None;
        }
        if method == Method::Cancel {
            self.receive_cancel(flow, key, message);
        } else if let Some(leg) = self.find_leg(message) {
            self.note_in(leg, flow, message);
            self.leg_ack(leg, message);
            self.leg_arm(leg);
        }
        None
    }

    /// The same request again, or the ACK of a failure.
    fn receive_again(&mut self, flow: Flow, id: u64, method: Method<'_>, message: &Message<'_>) {
        let now = self.clock.now;
        if let Some(call) = self.transactions.servers.get(id).and_then(|entry| entry.call) {
            self.note(call, Lane::SipIn, Some(flow), message.bytes());
        }
        let Some(entry) = self.transactions.servers.get_mut(id) else { return };
        // It may acknowledge what a process before this one said: only the tag of our answer tells (RFC 3261 §17.1.1.3).
        let tag = message.to().ok().and_then(|to| to.tag());
        if method == Method::Ack && tag.is_some_and(|tag| tag != entry.tag.0) {
            self.count("sip.stray_ack");
            return;
        }
        match &mut entry.machine {
            ServerMachine::Invite(machine) => {
                let event = if method == Method::Ack {
                    server_invite::Event::Ack
                } else {
                    server_invite::Event::Request
                };
                machine.handle(event, now);
            }
            ServerMachine::Other(machine) => machine.handle(server::Event::Request, now),
        }
        self.drive_server(id, Some(message));
    }

    fn receive_cancel(&mut self, flow: Flow, key: u64, message: &Message<'_>) {
        let invite = self.transactions.key(message, Method::Invite, flow.remote.ip());
        let found = self.transactions.find(invite);
        let known = found.and_then(|id| self.transactions.servers.get(id));
        let Some((leg, tag)) = known.map(|entry| (entry.leg, entry.tag)) else {
            self.suspect(flow, "sip.no_transaction");
            self.stateless(flow, message, 481, &[]);
            return;
        };
        // The same To tag as in the answer to the INVITE (RFC 3261 §9.2).
        let request = self.begin(flow, key, message, tag);
        if let Some(leg) = leg {
            self.note_in(leg, flow, message);
            if let Some(entry) = self.transactions.servers.get_mut(request.0) {
                entry.leg = Some(leg);
            }
        }
        self.answer_plainly(request, 200, &[]);
        if let Some(leg) = leg {
            self.leg_cancelled(leg, message);
        }
    }

    fn receive_in_dialog(
        &mut self,
        flow: Flow,
        key: u64,
        (method, uri): (Method<'_>, &[u8]),
        message: &Message<'_>,
    ) {
        let Some(leg) = self.find_leg(message) else {
            if let Some(session) = self.find_subscription(message) {
                self.receive_in_subscription(session, flow, key, (method, uri), message);
                return;
            }
            self.suspect(flow, "sip.no_dialog");
            self.stateless(flow, message, 481, &[]);
            return;
        };
        if !self.speaks_for(leg, flow, (method, uri), message) {
            return;
        }
        if method != Method::Bye && self.refuses_extension(flow, method, message) {
            return;
        }
        let offers = matches!(method, Method::Invite | Method::Prack | Method::Update);
        if offers && self.refuses_body(flow, message) {
            return;
        }
        if matches!(method, Method::Invite | Method::Update) && self.refuses_interval(flow, message)
        {
            return;
        }
        self.note_in(leg, flow, message);
        let request = self.begin(flow, key, message, Tag::default());
        if let Some(entry) = self.transactions.servers.get_mut(request.0) {
            entry.leg = Some(leg);
        }
        if method == Method::Invite {
            self.drive_server(request.0, None); // 100 will be due.
        }
        let way = self.dialog_flow(flow, message);
        self.leg_request(leg, request, way, message);
    }

    /// Whether this comes from the peer of a leg: from where the peer was before or says that it is; or from one
    /// of our people who proves himself, because his phone changed networks. If not, an answer has left.
    fn speaks_for(
        &mut self,
        leg: LegId,
        flow: Flow,
        (method, uri): (Method<'_>, &[u8]),
        message: &Message<'_>,
    ) -> bool {
        let Some(known) = self.legs.get(&leg) else { return false };
        let Some(dialog) = known.dialog_of(message) else { return false };
        if is_near(known.flow, dialog, flow) {
            return true;
        }
        let peer = dialog.remote_uri().to_vec();
        self.proves_peer(&peer, flow, (method, uri), message)
    }

    /// Whether one of our people, the peer of a dialog, proves himself. If not, an answer has left.
    pub(crate) fn proves_peer(
        &mut self,
        peer: &[u8],
        flow: Flow,
        (method, uri): (Method<'_>, &[u8]),
        message: &Message<'_>,
    ) -> bool {
        let peer = Uri::decode(peer).ok().filter(|uri| self.is_ours(uri));
        let user = peer.and_then(|uri| Some(uri.user_unescaped()?.into_owned()));
        let user = user.and_then(|user| String::from_utf8(user).ok());
        let user = user.filter(|user| self.directory.user(user).is_some());
        if let Some(user) = user {
            match self.caller(flow, method, uri, message, true) {
                Some(Caller::User(name)) if name == user => return true,
                Some(_) => (),
                None => return false,
            }
        }
        self.suspect(flow, "sip.dialog_of_another");
        self.stateless(flow, message, 481, &[]);
        false
    }

    /// Refuses an extension that we do not have; `true` when the answer has left.
    pub(crate) fn refuses_extension(
        &mut self,
        flow: Flow,
        method: Method<'_>,
        message: &Message<'_>,
    ) -> bool {
        let known: &[&str] = if method == Method::Register {
            &["gruu", "outbound", "path"]
        } else {
            &["100rel", "norefersub", "replaces", "timer"]
        };
        let unknown: Vec<_> = message
            .values(Name::Require)
            .filter(|value| !value.is_empty())
            .map(String::from_utf8_lossy)
            .filter(|value| !known.iter().any(|known| known.eq_ignore_ascii_case(value)))
            .collect();
        if unknown.is_empty() {
            return false;
        }
        self.stateless(flow, message, 420, &[("Unsupported", &unknown.join(", "))]);
        true
    }

    /// Refuses a session that would end too soon; `true` when the answer has left.
    ///
    /// Spec: RFC 4028 §9
    fn refuses_interval(&mut self, flow: Flow, message: &Message<'_>) -> bool {
        let refused = crate::leg_watch::too_short(message);
        if refused {
            let least = crate::leg_watch::INTERVAL_MIN.0.to_string();
            self.stateless(flow, message, 422, &[("Min-SE", &least)]);
        }
        refused
    }

    /// Refuses a body that is no plain description: without it an offer would be overheard. `true` when the
    /// answer has left.
    ///
    /// Spec: RFC 3261 §8.2.3
    fn refuses_body(&mut self, flow: Flow, message: &Message<'_>) -> bool {
        let kind = message.content_type().unwrap_or_default();
        let kind = kind.split(|octet| *octet == b';').next().unwrap_or_default().trim_ascii();
        let plain = kind.eq_ignore_ascii_case(b"application/sdp")
            && message.first(Name::ContentEncoding).is_none();
        if message.body().is_empty() || plain {
            return false;
        }
        self.stateless(flow, message, 415, &[("Accept", "application/sdp")]);
        true
    }

    /// The leg whose dialog this request names.
    fn find_leg(&self, message: &Message<'_>) -> Option<LegId> {
        let local = message.to().ok()?.tag()?;
        let remote = message.from().ok()?.tag().unwrap_or_default();
        let key = self.dialog_key(message.call_id(), local, remote);
        let leg = *self.dialogs.get(&key)?;
        self.legs.get(&leg)?.dialog_of(message)?;
        Some(leg)
    }

    fn note_in(&mut self, leg: LegId, flow: Flow, message: &Message<'_>) {
        if let Some(call) = self.legs.get(&leg).map(|leg| leg.call) {
            self.note(call, Lane::SipIn, Some(flow), message.bytes());
        }
    }

    /// Makes the server transaction of a request.
    pub(crate) fn begin(
        &mut self,
        flow: Flow,
        key: u64,
        message: &Message<'_>,
        tag: Tag,
    ) -> RequestId {
        let flow = self.reply_flow(flow, message);
        let tag = if tag == Tag::default() {
            let slot = crate::locate::slot(message, &self.keys);
            self.tag(slot)
        } else {
            tag
        };
        let (reliable, timers) = (flow.transport.reliable(), self.config.timers);
        let machine = if message.method() == Method::Invite {
            ServerMachine::Invite(ServerInvite::new(reliable, timers, self.clock.now))
        } else {
            ServerMachine::Other(Server::new(reliable, timers))
        };
        // It is read again without its body, for which a Content-Length would not hold any more.
        let request = message.head_without(Name::ContentLength);
        let use_number = self.use_number();
        let id = self.transactions.add_server(
            key,
            use_number,
            NewServer { machine, flow, request, tag },
        );
        RequestId(id)
    }

    /// The session of an INVITE that waits for its first answer and that no room has kept so far.
    pub(crate) fn unkept(&self, transaction: u64) -> Option<SessionId> {
        let leg = self.legs.get(&self.transactions.servers.get(transaction)?.leg?)?;
        let entry = self.sessions.get(&leg.owner)?;
        entry.saved.is_none().then_some(leg.owner)
    }

    /// 100 Trying: it quiets the caller's retransmissions.
    pub(crate) fn trying(&mut self, transaction: u64) {
        let mut out = self.draft();
        let Some(entry) = self.transactions.servers.get(transaction) else { return };
        let Some(message) = entry.request.message() else { return };
        let from = Some(entry.flow.remote);
        sip::write::response_to(&mut out, &message, 100, None, None, from).end();
        self.respond(transaction, 100, out);
    }

    /// Where answers to a datagram go: to the address that it came from, at the port that it came from
    /// when the sender asked so, else at the port of its Via.
    ///
    /// Spec: RFC 3261 §18.2.2, RFC 3581 §4
    fn reply_flow(&self, flow: Flow, message: &Message<'_>) -> Flow {
        if flow.transport != Transport::Udp {
            return flow;
        }
        let Ok(via) = message.via() else { return flow };
        if via.asks_rport() {
            return flow;
        }
        match via.port.unwrap_or(5060) {
            0 => flow, // Nobody is there.
            port => Flow { remote: SocketAddr::new(flow.remote.ip(), port), ..flow },
        }
    }

    /// Whether a source has had as many answers without a proof as it may. Carriers are known by their addresses, and
    /// where nobody has to prove himself nobody is a stranger.
    fn is_unheard(&mut self, flow: Flow) -> bool {
        self.config.require_auth
            && !self.suspects.answers(flow, self.clock.now)
            && self.directory.routing().trunk_at(flow.remote).is_none()
    }

    /// An answer that leaves no trace here; none when its source had too many of them.
    pub(crate) fn stateless(
        &mut self,
        flow: Flow,
        message: &Message<'_>,
        status: u16,
        headers: &[(&str, &str)],
    ) {
        if self.is_unheard(flow) {
            self.suspect(flow, "sip.stranger_unanswered");
            return;
        }
        let to = self.reply_flow(flow, message);
        let slot = self.keys.slot(message.call_id());
        // The same request again gets the same tag (RFC 3261 §8.2.7).
        let branch = message.via().ok().and_then(|via| via.branch()).unwrap_or_default();
        let from = message.from().ok().and_then(|from| from.tag()).unwrap_or_default();
        let key = self.dialog_key(message.call_id(), branch, from);
        let tag = Tag::mint(slot, &mut types::Rng::from_number(key));
        let mut out = self.draft();
        let mut writer = sip::write::response_to(
            &mut out,
            message,
            status,
            None,
            Some(&tag.0),
            Some(flow.remote),
        );
        writer.header(Name::Server, SERVER);
        for (name, value) in headers {
            writer.raw_header(name.as_bytes(), value);
        }
        writer.end();
        // Whoever writes another's address on a datagram must not turn us against him.
        let gain = out.len() > message.bytes().len().saturating_mul(AMPLIFICATION_MAX);
        if gain && flow.transport == Transport::Udp {
            self.suspect(flow, "sip.answer_too_long");
            return;
        }
        self.send(to, &out, None);
        self.keep_draft(out);
    }

    /// Limits, target, proof.
    fn admit(
        &mut self,
        flow: Flow,
        key: u64,
        method: Method<'_>,
        uri: &[u8],
        message: &Message<'_>,
    ) -> Option<Admitted> {
        if self.transactions.servers.len() >= TRANSACTIONS_MAX {
            self.refuse_early(flow, key, message, Refusal::Overloaded);
            return None;
        }
        if method == Method::Invite
            && let Some(refusal) = self.turned_away.told(key, self.clock.now)
        {
            self.refuse_early(flow, key, message, refusal);
            return None;
        }
        if self.crowded {
            self.shed(flow, key, method, message);
            return None;
        }
        if self.log_failed || self.log_paused {
            self.refuse_early(flow, key, message, Refusal::LogUnwritable);
            return None;
        }
        if self.draining && method == Method::Invite {
            self.refuse_early(flow, key, message, Refusal::Draining);
            return None;
        }
        if self.refuses_extension(flow, method, message) {
            return None;
        }
        let trunk = self.trunk(flow, method, message);
        let target = match self.target(uri, trunk.is_some()) {
            Ok(target) => target,
            Err(status) => {
                self.suspect(flow, "sip.not_for_us");
                self.stateless(flow, message, status, &[]);
                return None;
            }
        };
        if method == Method::Options && target.is_empty() {
            let headers =
                [("Accept", "application/sdp"), ("Allow", ALLOW), ("Supported", SUPPORTED)];
            self.stateless(flow, message, if self.draining { 503 } else { 200 }, &headers);
            return None;
        }
        if method != Method::Options && self.may_become_known(message, &target) {
            self.refuse_reading(flow, key, message);
            return None;
        }
        let must = self.config.require_auth || method == Method::Register;
        let caller = match trunk {
            Some(name) => Caller::Trunk(name),
            None => self.caller(flow, method, uri, message, must)?,
        };
        match message.max_forwards() {
            Ok(Some(0)) if method == Method::Invite => {
                self.stateless(flow, message, 483, &[]);
                return None;
            }
            Ok(_) => (),
            Err(_) => {
                self.stateless(flow, message, 400, &[]);
                return None;
            }
        }
        if method == Method::Invite {
            if self.refuses_body(flow, message) || self.refuses_interval(flow, message) {
                return None;
            }
            return self.begin_call(flow, key, message, caller, target);
        }
        let request = self.begin(flow, key, message, Tag::default());
        Some(Admitted::Request { request, caller, flow })
    }

    fn begin_call(
        &mut self,
        flow: Flow,
        key: u64,
        message: &Message<'_>,
        caller: Caller,
        target: String,
    ) -> Option<Admitted> {
        let twin = self.transactions.twin(message);
        if self.transactions.has_twin(twin) {
            self.count("sip.merged");
            self.stateless(flow, message, 482, &[]);
            return None;
        }
        let slot = self.keys.slot(message.call_id());
        let tag = self.tag(slot);
        let dialog = match sip::dialog::Dialog::uas(message, &tag.0) {
            Ok(dialog) => dialog,
            Err(_) => {
                self.stateless(flow, message, 400, &[]);
                return None;
            }
        };
        let request = self.begin(flow, key, message, tag);
        self.transactions.name_twin(request.0, twin);
        let leg = LegId::mint(slot, &mut self.rng);
        let session = SessionId::mint(slot, &mut self.rng);
        if let Some(entry) = self.transactions.servers.get_mut(request.0) {
            entry.leg = Some(leg);
        }
        self.leg_index(leg, &dialog);
        let sdp = (!message.body().is_empty()).then(|| message.body().to_vec());
        let phase = Phase::Incoming { request };
        let mut begun = Leg::new(leg, session, phase, self.dialog_flow(flow, message));
        begun.dialog = Some(Box::new(dialog));
        begun.updates = message.has_token(Name::Allow, "UPDATE");
        begun.offer_sent = sdp.is_some();
        begun.sdp = sdp;
        self.legs.insert(leg, Box::new(begun));
        self.note_in(leg, flow, message);
        self.drive_server(request.0, None); // 100 will be due.
        Some(Admitted::Invite { session, leg, caller, target })
    }

    /// Where our requests inside the dialog go: to the Contact when it is an address that we can reach
    /// directly, else the way the INVITE came (NAT, streams).
    pub(crate) fn dialog_flow(&self, flow: Flow, message: &Message<'_>) -> Flow {
        if flow.transport != Transport::Udp || message.first(Name::RecordRoute).is_some() {
            return flow;
        }
        let contact = message.name_addr(Name::Contact).ok();
        let contact = contact.and_then(|contact| contact.uri().ok());
        // The phone keeps this way open and wants no other (RFC 5626 §4.3, §5.3).
        if contact.is_some_and(|contact| contact.params.has("ob")) {
            return flow;
        }
        let address = contact
            .and_then(|uri| Some(SocketAddr::new(uri.ip()?, uri.port.unwrap_or(5060))))
            .filter(|address| address.port() != 0);
        match address {
            Some(remote) if remote.ip() == flow.remote.ip() => Flow { remote, ..flow },
            Some(_) | None => flow,
        }
    }

    /// The trunk whose address this comes from. Whoever shows a login is a user, wherever he stands; and nobody
    /// registers by his address.
    pub(crate) fn trunk(
        &self,
        flow: Flow,
        method: Method<'_>,
        message: &Message<'_>,
    ) -> Option<String> {
        if method == Method::Register || message.first(Name::Authorization).is_some() {
            return None;
        }
        self.directory.routing().trunk_at(flow.remote).map(|trunk| trunk.name.clone())
    }

    /// The user that a Request-URI names at our domain; empty for the domain itself. `trunk`: a carrier may write
    /// its own name for us.
    fn target(&self, uri: &[u8], trunk: bool) -> Result<String, u16> {
        let uri = Uri::decode(uri).map_err(|_| 400u16)?;
        match uri.scheme {
            Scheme::Sip | Scheme::Sips => (),
            Scheme::Tel => {
                return Ok(String::from_utf8_lossy(uri.user.unwrap_or_default()).into_owned());
            }
            Scheme::Other => return Err(416),
        }
        if !uri.headers.is_empty() {
            return Err(400);
        }
        if !trunk && !self.is_ours(&uri) {
            return Err(403);
        }
        if let Some(gruu) = Gruu::read(&self.keys, &uri) {
            return Ok(gruu.user().to_owned());
        }
        let user = uri.user_unescaped().unwrap_or_default();
        Ok(String::from_utf8_lossy(&user).into_owned())
    }

    /// Answers an OPTIONS to a user that no room took: whether there is one, and what we take.
    ///
    /// Spec: RFC 3261 §11.2
    pub(crate) fn answer_options(&mut self, request: RequestId, message: &Message<'_>) {
        let target = message.request_uri().and_then(|uri| self.target(uri, false).ok());
        let known = target.is_some_and(|user| self.directory.user(&user).is_some());
        let headers = [("Allow", ALLOW), ("Accept", "application/sdp")];
        self.answer_plainly(request, if known { 200 } else { 404 }, &headers);
    }

    /// Whether a URI's host is our domain or one of our listeners.
    pub(crate) fn is_ours(&self, uri: &Uri<'_>) -> bool {
        let host = String::from_utf8_lossy(uri.host);
        if host.eq_ignore_ascii_case(&self.config.domain) {
            return true;
        }
        let with_port = match uri.port {
            Some(port) => format!("{host}:{port}"),
            None => host.into_owned(),
        };
        self.config.hosts.iter().any(|known| known.eq_ignore_ascii_case(&with_port))
    }

    /// Who sends this; `None` when an answer (a challenge, a refusal) has left already. `must`: a proof is needed.
    fn caller(
        &mut self,
        flow: Flow,
        method: Method<'_>,
        uri: &[u8],
        message: &Message<'_>,
        must: bool,
    ) -> Option<Caller> {
        let pass = message.all(Name::Authorization).find_map(pass::shown);
        if let Some(pass) = pass {
            return self.caller_by_pass(flow, pass, message);
        }
        let proof = message
            .all(Name::Authorization)
            .filter_map(|value| Credentials::decode(value).ok())
            .find(|credentials| credentials.realm.as_ref() == self.config.domain.as_bytes());
        let Some(credentials) = proof else {
            if !must {
                return Some(self.claimed(message));
            }
            self.challenge(flow, message, false, None);
            return None;
        };
        let source = flow.remote.ip();
        let name = String::from_utf8_lossy(&credentials.username).into_owned();
        let now = self.clock.now;
        let bindings = self.directory.bindings(&name).iter();
        let at_home = bindings.into_iter().any(|binding| binding.flow.remote.ip() == source);
        if !self.guard.admits(source, &name, at_home, now) {
            self.suspect(flow, "sip.guess_throttled");
            self.stateless(flow, message, 403, &[("Retry-After", "60")]);
            return None;
        }
        let offered = self.algorithms(&name);
        let ha1 = credentials
            .algorithm
            .filter(|algorithm| offered.contains(algorithm))
            .and_then(|algorithm| self.verifier(&name, algorithm));
        let target = Target { method: method.as_bytes(), uri };
        let place = self.nonce_place(flow);
        let unix = self.clock.unix;
        match self.nonces.admit(&credentials, ha1.as_ref(), target, &place, unix) {
            Admission::Accepted => {
                self.guard.proved(source, &name);
                self.suspects.proved(flow);
                Some(Caller::User(name))
            }
            Admission::Stale => {
                self.challenge(flow, message, true, Some(&name));
                None
            }
            Admission::Forged => {
                self.challenge(flow, message, false, Some(&name));
                None
            }
            Admission::Wrong => {
                self.suspect(flow, "sip.wrong_password");
                self.guard.failed(source, &name, now);
                self.challenge(flow, message, false, Some(&name));
                None
            }
        }
    }
}
