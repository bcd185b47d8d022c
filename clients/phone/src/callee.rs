//! Requests of the other side: what each is answered, and the calls that come in.
//!
//! Picture     INVITE --180--> Ringing --Answer--> 200, repeated until its ACK --> Talking
//!             Ringing --Decline, Busy--> 603, 486; --CANCEL--> 487; --ring_max--> 480
//! Rules       A repeated request meets its transaction and changes nothing. A second call hears
//!             486, the same call by another branch 482, an INVITE without anything in common 488.
//!             What we do not do is 405, what nobody knows 501.
//! Limits      TRANSACTIONS_MAX of each kind: beyond, the answer is sent once and forgotten.
//! Not here    Requests within a call (talk.rs).
//! Spec        RFC 3261 §8.2, §9.2, §11.2, §13.3

use std::net::SocketAddr;

use sip::dialog::Dialog;
use sip::transaction::server::{self, Server};
use sip::transaction::server_invite::{self, ServerInvite};
use sip::transaction::{AnswerRetransmit, Timers};
use sip::write::{Writer, response_to};
use sip::{Framing, Message, Method, Name};
use types::Instant;

use crate::phone::{Phone, Stage, TRANSACTIONS_MAX};
use crate::wire;
use crate::words::{PhoneEvent, Why};

/// What finds a transaction of the peer.
///
/// Spec: RFC 3261 §17.2.3
pub(crate) type Key = Vec<u8>;

/// A request that is no INVITE.
#[derive(Debug)]
pub(crate) struct Served {
    key: Key,
    method: Vec<u8>,
    to: SocketAddr,
    pub machine: Server,
}

/// An INVITE.
#[derive(Debug)]
pub(crate) struct Offered {
    pub key: Key,
    to: SocketAddr,
    pub machine: ServerInvite,
}

/// A success of ours that waits for its ACK.
#[derive(Debug)]
pub(crate) struct Answering {
    pub cseq: u32,
    /// Whether our answer was the offer, so that the ACK brings theirs.
    pub offer: Side,
    pub machine: AnswerRetransmit,
}

/// Whose description came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Ours,
    Theirs,
}

fn key(request: &Message<'_>) -> Option<Key> {
    let via = request.via().ok()?;
    let mut key = via.branch()?.to_vec();
    key.push(b'@');
    key.extend_from_slice(via.host);
    key.extend_from_slice(&via.port.unwrap_or(5060).to_be_bytes());
    Some(key)
}

impl Phone {
    pub(crate) fn on_request(&mut self, request: &Message<'_>, from: SocketAddr, now: Instant) {
        let Some(key) = key(request) else { return };
        let method = request.method();
        if matches!(method, Method::Invite | Method::Ack) {
            let place = self.offered.iter().position(|offered| offered.key == key);
            let event = match method {
                Method::Ack => server_invite::Event::Ack,
                _ => server_invite::Event::Request,
            };
            if let Some(place) = place {
                let mut offered = self.offered.swap_remove(place);
                offered.machine.handle(event, now);
                return self.run_offered(offered);
            }
        } else if let Some(place) = self
            .served
            .iter()
            .position(|served| served.key == key && served.method == method.as_bytes())
        {
            let mut served = self.served.swap_remove(place);
            served.machine.handle(server::Event::Request, now);
            return self.run_served(served);
        }
        let inside = request.to().is_ok_and(|to| to.tag().is_some());
        match method {
            Method::Ack => self.acknowledged(request, now),
            Method::Invite if inside => self.reinvited(request, from, now),
            Method::Invite => self.invited(request, from, now),
            Method::Cancel => self.cancelled(request, from, &key, now),
            Method::Bye => self.bye_came(request, from, now),
            Method::Info if inside => self.info_came(request, from, now),
            Method::Options => self.reply(request, from, 200, now, |writer| {
                writer.header(Name::Allow, wire::ALLOW).header(Name::Accept, wire::SDP);
            }),
            Method::Info
            | Method::Message
            | Method::Notify
            | Method::Prack
            | Method::Publish
            | Method::Refer
            | Method::Register
            | Method::Subscribe
            | Method::Update => self.refuse_request(request, from, 405, now),
            Method::Other(_) => self.refuse_request(request, from, 501, now),
        }
    }

    /// Answers a request that is no INVITE, and keeps the answer for its repetitions.
    pub(crate) fn reply(
        &mut self,
        request: &Message<'_>,
        from: SocketAddr,
        status: u16,
        now: Instant,
        more: impl FnOnce(&mut Writer<'_>),
    ) {
        let tag = wire::tag(&mut self.rng);
        let mut out = Vec::new();
        let mut writer = response_to(&mut out, request, status, None, Some(&tag), Some(from));
        more(&mut writer);
        writer.end();
        let Some(key) = key(request).filter(|_| self.served.len() < TRANSACTIONS_MAX) else {
            return self.send(from, out);
        };
        let mut machine = Server::new(self.reliable(), self.config.timers);
        machine.handle(server::Event::Respond { status, message: out }, now);
        let method = request.method().as_bytes().to_vec();
        self.run_served(Served { key, method, to: from, machine });
    }

    pub(crate) fn refuse_request(
        &mut self,
        request: &Message<'_>,
        from: SocketAddr,
        status: u16,
        now: Instant,
    ) {
        if request.method() == Method::Invite {
            return self.refuse_invite(request, from, status, now);
        }
        self.reply(request, from, status, now, |writer| {
            if status == 405 {
                writer.header(Name::Allow, wire::ALLOW);
            }
        });
    }

    /// Refuses an INVITE that never was a call here.
    pub(crate) fn refuse_invite(
        &mut self,
        request: &Message<'_>,
        from: SocketAddr,
        status: u16,
        now: Instant,
    ) {
        let Some(key) = self.offer(request, from, now) else { return };
        let tag = wire::tag(&mut self.rng);
        let require = request.values(Name::Require).fold(Vec::new(), |mut all, one| {
            all.extend_from_slice(if all.is_empty() { b"" } else { b", " });
            all.extend_from_slice(one);
            all
        });
        self.respond(&key, request, status, &tag, now, |writer| {
            if status == 420 {
                writer.header(Name::Unsupported, require);
            }
            writer.end();
        });
    }

    /// Begins the transaction of an INVITE. `None`: there are too many; the peer tries again.
    pub(crate) fn offer(
        &mut self,
        request: &Message<'_>,
        from: SocketAddr,
        now: Instant,
    ) -> Option<Key> {
        let key = key(request).filter(|_| self.offered.len() < TRANSACTIONS_MAX)?;
        let machine = ServerInvite::new(self.reliable(), self.config.timers, now);
        self.offered.push(Offered { key: key.clone(), to: from, machine });
        Some(key)
    }

    /// Answers an INVITE. `more` writes the rest and ends it.
    pub(crate) fn respond(
        &mut self,
        key: &[u8],
        request: &Message<'_>,
        status: u16,
        tag: &[u8],
        now: Instant,
        more: impl FnOnce(&mut Writer<'_>),
    ) -> Option<AnswerRetransmit> {
        let place = self.offered.iter().position(|offered| offered.key == key)?;
        let mut offered = self.offered.swap_remove(place);
        let mut message = Vec::new();
        let mut writer =
            response_to(&mut message, request, status, None, Some(tag), Some(offered.to));
        if status < 300 {
            writer.copy(request, Name::RecordRoute);
        }
        more(&mut writer);
        offered.machine.handle(server_invite::Event::Respond { status, message }, now);
        self.run_offered(offered);
        if !(200..300).contains(&status) {
            return None;
        }
        let timers: Timers = self.config.timers;
        let offered = self.offered.iter_mut().find(|offered| offered.key == key)?;
        Some(AnswerRetransmit::new(offered.machine.take_message()?, timers, now))
    }

    pub(crate) fn served_passed(&mut self, now: Instant) {
        for mut served in std::mem::take(&mut self.served) {
            served.machine.handle(server::Event::Deadline, now);
            self.run_served(served);
        }
    }

    pub(crate) fn offered_passed(&mut self, now: Instant) {
        for mut offered in std::mem::take(&mut self.offered) {
            offered.machine.handle(server_invite::Event::Deadline, now);
            self.run_offered(offered);
        }
    }

    fn run_served(&mut self, mut served: Served) {
        let mut over = false;
        while let Some(action) = served.machine.poll() {
            match action {
                server::Action::Transmit => {
                    self.send(served.to, served.machine.message().to_vec());
                }
                // Over a reliable transport the answer has left with its transmission.
                server::Action::Failed | server::Action::Terminated => over = true,
            }
        }
        if !over {
            self.served.push(served);
        }
    }

    fn run_offered(&mut self, mut offered: Offered) {
        let mut over = false;
        while let Some(action) = offered.machine.poll() {
            match action {
                server_invite::Action::Transmit => {
                    self.send(offered.to, offered.machine.message().to_vec());
                }
                // The ACK of a success has a branch of its own and comes by `acknowledged`.
                server_invite::Action::Acked => (),
                // It rings, or it has answered: more than 100 was said.
                server_invite::Action::Try => (),
                server_invite::Action::Failed
                | server_invite::Action::TimedOut
                | server_invite::Action::Terminated => over = true,
            }
        }
        if !over {
            self.offered.push(offered);
        }
    }

    /// A call comes in.
    fn invited(&mut self, request: &Message<'_>, from: SocketAddr, now: Instant) {
        let call_id = String::from_utf8_lossy(request.call_id()).into_owned();
        let over = self.forgotten.iter().find(|(known, _)| *known == call_id);
        let required = request.values(Name::Require).next().is_some();
        let same = self.call.as_ref().is_some_and(|call| call.id == call_id);
        let woken = same && self.is_woken();
        let status = match over {
            Some((_, status)) => *status,
            None if required => 420,
            None if woken => return self.woken_invited(request, from, now),
            None if same => 482,
            None if self.call.is_some() => 486,
            None => return self.ring(request, from, call_id, now),
        };
        self.refuse_invite(request, from, status, now);
    }

    fn ring(&mut self, request: &Message<'_>, from: SocketAddr, call_id: String, now: Instant) {
        let until = now + self.config.ring_max;
        let Some(stage) = self.take_invite(request, from, until, now) else { return };
        let caller = request.from().ok();
        let event = PhoneEvent::Incoming {
            call_id: call_id.clone(),
            from: caller.map_or_else(String::new, |from| text(from.uri)),
            name: caller.map_or_else(String::new, |from| from.display_text()),
            call_info: icon(request),
            pushed: false,
        };
        self.call = Some(self.new_call(call_id, from, stage));
        self.say(event);
    }

    /// Answers 180 to an INVITE that may become a call. `None`: it was refused.
    pub(crate) fn take_invite(
        &mut self,
        request: &Message<'_>,
        from: SocketAddr,
        until: Instant,
        now: Instant,
    ) -> Option<Stage> {
        let tag = wire::tag(&mut self.rng);
        if let Err(error) = Dialog::uas(request, &tag) {
            self.refuse_invite(request, from, error.status(), now);
            return None;
        }
        if !request.body().is_empty() {
            let ours = crate::phone::probe(self.config.media);
            if wire::stream(request.body(), &ours).is_none() {
                self.refuse_invite(request, from, 488, now);
                return None;
            }
        }
        let (key, contact) = (self.offer(request, from, now)?, self.contact(false));
        self.respond(&key, request, 180, &tag, now, |writer| {
            writer.header(Name::Contact, contact).end();
        });
        Some(Stage::Ringing { key, invite: request.bytes().to_vec(), tag, until })
    }

    /// Takes the call that rings.
    pub(crate) fn answer(&mut self, now: Instant) {
        let Some(mut call) = self.call.take() else { return };
        let Stage::Ringing { key, invite, tag, .. } = &call.stage else {
            let woken = matches!(call.stage, Stage::Woken(_));
            self.call = Some(call);
            if woken {
                self.answer_woken();
            }
            return;
        };
        let framing = if self.reliable() { Framing::Stream } else { Framing::Datagram };
        let (key, invite, tag) = (key.clone(), invite.clone(), tag.clone());
        let Ok(request) = Message::decode(&invite, framing) else { return };
        let Ok(dialog) = Dialog::uas(&request, &tag) else { return };
        let ours = self.description(&call);
        let (offer, body, stream) = match sdp::Session::decode(request.body()) {
            Ok(theirs) => {
                let stream = wire::stream(request.body(), &ours);
                (Side::Theirs, sdp::answer(&theirs, &ours), stream)
            }
            Err(_) => (Side::Ours, ours.encode(), None),
        };
        let contact = self.contact(false);
        let machine = self.respond(&key, &request, 200, &tag, now, |writer| {
            writer.header(Name::Contact, contact).header(Name::Allow, wire::ALLOW);
            writer.body(wire::SDP, &body);
        });
        let cseq = request.cseq().map_or(0, |cseq| cseq.number);
        let answering = machine.map(|machine| Answering { cseq, offer, machine });
        call.stage = Stage::Talking { dialog: Box::new(dialog), answering };
        if call.stream.is_none() {
            // Otherwise they talk already: the answer went by a reply.
            self.say(PhoneEvent::Answered { call_id: call.id.clone() });
        }
        self.flow(&mut call, stream);
        self.call = Some(call);
    }

    /// Refuses the call that rings.
    pub(crate) fn refuse(&mut self, status: u16, text: Option<String>, now: Instant) {
        match self.call.as_ref().map(|call| &call.stage) {
            Some(Stage::Ringing { .. }) => self.stop_ringing(status, Why::Ours, now),
            Some(Stage::Woken(_)) => self.refuse_woken(status, text),
            Some(Stage::Calling(_) | Stage::Talking { .. }) | None => (),
        }
    }

    /// Ends the call that rings with this status.
    pub(crate) fn stop_ringing(&mut self, status: u16, why: Why, now: Instant) {
        let ringing = |call: &mut crate::phone::Call| matches!(call.stage, Stage::Ringing { .. });
        let Some(call) = self.call.take_if(ringing) else { return };
        if let Stage::Ringing { key, invite, tag, .. } = &call.stage
            && let Ok(request) = Message::decode(invite, Framing::Datagram)
        {
            self.respond(key, &request, status, tag, now, |writer| writer.end());
        }
        let reason = sip::reason_phrase(status).to_owned();
        self.end_with(call, why, (status, reason, None));
    }

    fn cancelled(&mut self, request: &Message<'_>, from: SocketAddr, key: &[u8], now: Instant) {
        let known = self.offered.iter().any(|offered| offered.key == key);
        self.reply(request, from, if known { 200 } else { 481 }, now, |_| ());
        let rings = self.call.as_ref().is_some_and(
            |call| matches!(&call.stage, Stage::Ringing { key: ringing, .. } if ringing == key),
        );
        if rings {
            // Spec: RFC 3326 §2 (the call was taken by another device)
            let elsewhere = request.all(Name::Reason).any(|reason| {
                sip::header::tail(reason).get("cause").is_some_and(|cause| cause == b"200")
            });
            let why = if elsewhere { Why::AnsweredElsewhere } else { Why::Cancelled };
            self.stop_ringing(487, why, now);
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The address of the caller's picture.
///
/// Spec: RFC 3261 §20.9
fn icon(request: &Message<'_>) -> Option<String> {
    let mut values = request.values(Name::CallInfo);
    values.find_map(|value| {
        let value = text(value);
        let (url, params) = value.strip_prefix('<')?.split_once('>')?;
        params.contains("purpose=icon").then(|| url.to_owned())
    })
}
