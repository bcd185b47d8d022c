//! Calls of ours: INVITE, its answers, CANCEL, ACK; re-INVITE for hold.
//!
//! Picture     Call --> Calling --18x--> (ringing) --2xx--> Talking
//!             Calling --HangUp--> CANCEL once a provisional answer came --487--> ended
//! Rules       Every success is acknowledged, also repeated ones and those of other branches; what
//!             we did not want is ended with BYE. A 401 or 407 begins the INVITE anew with the next
//!             number.
//! Limits      ring_max from INVITE to answer; then CANCEL.
//! Not here    What happens within the call (talk.rs).
//! Spec        RFC 3261 §13, §9.1; RFC 3264 §8.4 (hold)

use std::net::SocketAddr;

use sdp::Direction;
use sip::dialog::Dialog;
use sip::transaction::client_invite::{Action, ClientInvite, Event};
use sip::transaction::{ack_for, cancel_for};
use sip::{Framing, Message, Method, Name};
use types::Instant;

use crate::login::Tried;
use crate::phone::{Call, Phone, Stage};
use crate::request::Purpose;
use crate::wire::{self, Outline};
use crate::words::{PhoneEvent, Why};

/// One INVITE and its transaction.
#[derive(Debug)]
pub(crate) struct Inviting {
    pub branch: Vec<u8>,
    pub to: SocketAddr,
    pub tag: Vec<u8>,
    pub purpose: Invitation,
    pub tried: Tried,
    pub machine: ClientInvite,
    /// As sent: the transaction forgets it with the answer, ACK and CANCEL need it.
    wire: Vec<u8>,
    /// The ACK of the success, to be sent again, and the tag that it acknowledged.
    acked: Option<(Vec<u8>, Vec<u8>)>,
}

/// What an INVITE is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Invitation {
    Call,
    Redirect,
}

/// A call of ours that is not answered.
#[derive(Debug)]
pub(crate) struct Calling {
    pub branch: Vec<u8>,
    pub cseq: u32,
    pub until: Instant,
    leaving: Leaving,
}

/// Whether we gave up, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaving {
    /// CANCEL is on its way.
    Cancelled(Why),
    No,
    /// No provisional answer came: a CANCEL might overtake its INVITE.
    Wanted(Why),
}

impl Inviting {
    pub fn is_open(&self) -> bool {
        // Behind a success the transaction keeps nothing, behind a failure the ACK.
        self.acked.is_none() && !self.machine.message().starts_with(b"ACK")
    }
}

impl Phone {
    pub(crate) fn begin_call(&mut self, uri: String, now: Instant) {
        let id = wire::uuid(&mut self.rng);
        let hop = self.hop(uri.as_bytes());
        let (Some(to), None) = (hop, &self.call) else {
            let reason = if hop.is_none() { "no address to call" } else { "in a call" };
            return self.say(PhoneEvent::Ended {
                call_id: id,
                why: Why::Impossible,
                status: 0,
                reason: reason.to_owned(),
                warning: None,
            });
        };
        let (branch, tag) = (wire::branch(&mut self.rng), wire::tag(&mut self.rng));
        let until = now + self.config.ring_max;
        let calling = Calling { branch: branch.clone(), cseq: 1, until, leaving: Leaving::No };
        let call = self.new_call(id, to, Stage::Calling(calling));
        let target = format!("<{uri}>");
        let outline = Outline {
            method: Method::Invite,
            uri: uri.as_bytes(),
            to: target.as_bytes(),
            tag: &tag,
            call_id: call.id.as_bytes(),
            cseq: 1,
        };
        let (contact, body) = (self.contact(false), self.description(&call).encode());
        let mut out = Vec::new();
        let mut writer = self.begin(&outline, &branch, &mut out);
        writer.header(Name::Contact, contact).header(Name::Allow, wire::ALLOW);
        writer.header(Name::Accept, wire::SDP).body(wire::SDP, &body);
        self.call = Some(call);
        self.invite(Invitation::Call, (branch, tag), (to, Tried::default()), out, now);
    }

    /// Sends an INVITE within the call, so that the other side learns a new direction.
    pub(crate) fn redirect(&mut self, direction: Direction, now: Instant) {
        let Some(mut call) = self.call.take() else { return };
        let asking = self.inviting.iter().any(Inviting::is_open);
        match &mut call.stage {
            Stage::Talking { dialog, answering: None }
                if !asking && call.direction != direction =>
            {
                (call.direction, call.version) = (direction, call.version + 1);
                let branch = wire::branch(&mut self.rng);
                let (via, contact) = (self.via(&branch), self.contact(false));
                let lines = self.credentials(b"INVITE", dialog.target());
                let mut out = Vec::new();
                let mut writer = dialog.request(Method::Invite, &mut out, &via);
                let tag = dialog.local_tag().to_vec();
                writer.header(Name::Contact, contact).header(Name::Allow, wire::ALLOW);
                for (name, value) in lines {
                    writer.header(name, value);
                }
                let to = call.to;
                writer.body(wire::SDP, &self.description(&call).encode());
                self.call = Some(call);
                self.invite(Invitation::Redirect, (branch, tag), (to, Tried::default()), out, now);
            }
            // Not now: nobody to tell, or the last word is still under way.
            Stage::Talking { .. } | Stage::Calling(_) | Stage::Ringing { .. } | Stage::Woken(_) => {
                self.call = Some(call)
            }
        }
    }

    fn invite(
        &mut self,
        purpose: Invitation,
        (branch, tag): (Vec<u8>, Vec<u8>),
        (to, tried): (SocketAddr, Tried),
        wire: Vec<u8>,
        now: Instant,
    ) {
        let machine = ClientInvite::start(wire.clone(), self.reliable(), self.config.timers, now);
        let inviting = Inviting { branch, to, tag, purpose, tried, machine, wire, acked: None };
        self.run_invite(inviting, None, now);
    }

    pub(crate) fn on_invite_response(
        &mut self,
        response: &Message<'_>,
        branch: &[u8],
        now: Instant,
    ) {
        let Some(place) = self.inviting.iter().position(|i| i.branch == branch) else { return };
        let mut inviting = self.inviting.swap_remove(place);
        inviting.machine.handle(Event::Response(response.status().unwrap_or(0)), now);
        self.run_invite(inviting, Some(response), now);
    }

    pub(crate) fn inviting_passed(&mut self, now: Instant) {
        for mut inviting in std::mem::take(&mut self.inviting) {
            if inviting.machine.deadline().is_some_and(|at| at <= now) {
                inviting.machine.handle(Event::Deadline, now);
            }
            self.run_invite(inviting, None, now);
        }
    }

    pub(crate) fn inviting_lost(&mut self, now: Instant) {
        for mut inviting in std::mem::take(&mut self.inviting) {
            inviting.machine.handle(Event::TransportFailed, now);
            self.run_invite(inviting, None, now);
        }
    }

    fn run_invite(&mut self, mut inviting: Inviting, response: Option<&Message<'_>>, now: Instant) {
        let mut over = false;
        while let Some(action) = inviting.machine.poll() {
            match action {
                Action::Transmit => self.send(inviting.to, inviting.machine.message().to_vec()),
                Action::Deliver => {
                    if let Some(response) = response {
                        self.invite_answered(&mut inviting, response, now);
                    }
                }
                Action::SendAck => {
                    if let Some(ack) =
                        response.and_then(|response| acknowledge(&inviting, response))
                    {
                        inviting.machine.set_ack(ack);
                    }
                }
                Action::Failed => self.invite_failed(&inviting, 503),
                Action::TimedOut => self.invite_failed(&inviting, 408),
                Action::Terminated => over = true,
            }
        }
        if !over {
            self.inviting.push(inviting);
        }
    }

    fn invite_answered(&mut self, inviting: &mut Inviting, response: &Message<'_>, now: Instant) {
        match response.status().unwrap_or(0) {
            0..=199 => self.provisional(inviting, response, now),
            200..=299 => self.succeeded(inviting, response, now),
            401 | 407 if self.invite_again(inviting, response, now) => (),
            300.. => self.refused(inviting, response),
        }
    }

    fn provisional(&mut self, inviting: &mut Inviting, response: &Message<'_>, now: Instant) {
        let Some(mut call) = self.call.take_if(|call| call.is_calling(&inviting.branch)) else {
            return;
        };
        let Stage::Calling(calling) = &mut call.stage else { return };
        if let Leaving::Wanted(why) = calling.leaving {
            calling.leaving = Leaving::Cancelled(why);
            self.cancel(inviting, now);
        } else if let Some(status) = response.status().filter(|status| *status > 100) {
            let (reason, warning) = wire::explained(response);
            let call_id = call.id.clone();
            self.say(PhoneEvent::Ringing { call_id, status, reason, warning });
            let early = wire::stream(response.body(), &self.description(&call));
            self.flow(&mut call, early);
        }
        self.call = Some(call);
    }

    fn cancel(&mut self, inviting: &mut Inviting, now: Instant) {
        let mut out = Vec::new();
        let Ok(invite) = Message::decode(&inviting.wire, Framing::Datagram) else { return };
        if cancel_for(&invite, None, &mut out).is_err() {
            return;
        }
        inviting.machine.handle(Event::Cancelled, now);
        self.request(Purpose::Cancel, inviting.branch.clone(), inviting.to, out, now);
    }

    fn succeeded(&mut self, inviting: &mut Inviting, response: &Message<'_>, now: Instant) {
        let theirs = response.to().ok().and_then(|to| to.tag()).unwrap_or_default();
        if let Some((ack, tag)) = &inviting.acked
            && **tag == *theirs
        {
            return self.send(inviting.to, ack.clone()); // It came again: the ACK was lost.
        }
        match inviting.purpose {
            Invitation::Call => self.call_succeeded(inviting, response, now),
            Invitation::Redirect => self.redirect_succeeded(inviting, response),
        }
    }

    fn call_succeeded(&mut self, inviting: &mut Inviting, response: &Message<'_>, now: Instant) {
        let Ok(mut dialog) = Dialog::uac(response, &inviting.tag) else { return };
        self.acknowledge_success(inviting, &dialog, response);
        let Some(mut call) = self.call.take_if(|call| call.is_calling(&inviting.branch)) else {
            // Another branch of a fork was faster, or we gave up before.
            return self.bye(&mut dialog, inviting.to, now);
        };
        let leaving = match &call.stage {
            Stage::Calling(calling) => calling.leaving,
            Stage::Ringing { .. } | Stage::Talking { .. } | Stage::Woken(_) => Leaving::No,
        };
        let stream = wire::stream(response.body(), &self.description(&call)).or(call.stream);
        match (leaving, stream) {
            (Leaving::No, Some(stream)) => {
                call.stage = Stage::Talking { dialog: Box::new(dialog), answering: None };
                self.say(PhoneEvent::Answered { call_id: call.id.clone() });
                self.flow(&mut call, Some(stream));
                self.call = Some(call);
            }
            (Leaving::No, None) => {
                self.bye(&mut dialog, inviting.to, now);
                let why = (488, "No Common Codec".to_owned(), None);
                self.end_with(call, Why::Refused, why);
            }
            // The answer and our CANCEL crossed.
            (Leaving::Cancelled(why) | Leaving::Wanted(why), _) => {
                self.bye(&mut dialog, inviting.to, now);
                self.end(call, why, None);
            }
        }
    }

    fn redirect_succeeded(&mut self, inviting: &mut Inviting, response: &Message<'_>) {
        let Some(mut call) = self.call.take() else { return };
        if let Stage::Talking { dialog, .. } = &mut call.stage
            && dialog.matches(response)
        {
            dialog.refresh_target(response);
            let dialog = dialog.clone();
            self.acknowledge_success(inviting, &dialog, response);
            let stream = wire::stream(response.body(), &self.description(&call));
            self.flow(&mut call, stream);
        }
        self.call = Some(call);
    }

    /// Sends the ACK of a success and keeps it for repetitions.
    fn acknowledge_success(
        &mut self,
        inviting: &mut Inviting,
        dialog: &Dialog,
        response: &Message<'_>,
    ) {
        let (Ok(cseq), Ok(to)) = (response.cseq(), response.to()) else { return };
        let branch = wire::branch(&mut self.rng);
        let mut out = Vec::new();
        let mut writer = dialog.ack(cseq.number, &mut out, &self.via(&branch));
        // Spec: RFC 3261 §13.2.2.4 (the credentials of the INVITE)
        if let Ok(invite) = Message::decode(&inviting.wire, Framing::Datagram) {
            writer.copy(&invite, Name::Authorization).copy(&invite, Name::ProxyAuthorization);
        }
        writer.end();
        self.send(inviting.to, out.clone());
        inviting.acked = Some((out, to.tag().unwrap_or_default().to_vec()));
    }

    /// Begins an INVITE anew with credentials. `false`: there are none to give.
    fn invite_again(
        &mut self,
        inviting: &mut Inviting,
        response: &Message<'_>,
        now: Instant,
    ) -> bool {
        let secret = !self.config.password.reveal().is_empty();
        if !secret || !self.realms.learn(response, &mut inviting.tried) {
            return false;
        }
        let wire = inviting.wire.clone();
        let Ok(old) = Message::decode(&wire, Framing::Datagram) else { return false };
        let (branch, mine) = (wire::branch(&mut self.rng), inviting.branch.clone());
        let number = match self.call.as_mut().map(|call| &mut call.stage) {
            Some(Stage::Calling(calling))
                if calling.branch == mine && calling.leaving == Leaving::No =>
            {
                calling.cseq += 1;
                calling.branch.clone_from(&branch);
                calling.cseq
            }
            Some(Stage::Talking { dialog, .. }) if inviting.purpose == Invitation::Redirect => {
                // Written for its number alone: the dialog counts what leaves.
                dialog.request(Method::Invite, &mut Vec::new(), b"").end();
                dialog.local_cseq()
            }
            Some(_) | None => return false,
        };
        let next = self.again(&old, &branch, number);
        let (to, tried) = (inviting.to, std::mem::take(&mut inviting.tried));
        self.invite(inviting.purpose, (branch, inviting.tag.clone()), (to, tried), next, now);
        true
    }

    fn refused(&mut self, inviting: &Inviting, response: &Message<'_>) {
        match inviting.purpose {
            Invitation::Call => {
                let Some(call) = self.call.take_if(|call| call.is_calling(&inviting.branch)) else {
                    return;
                };
                let why = match &call.stage {
                    Stage::Calling(Calling {
                        leaving: Leaving::Cancelled(why) | Leaving::Wanted(why),
                        ..
                    }) => *why,
                    Stage::Calling(_)
                    | Stage::Ringing { .. }
                    | Stage::Talking { .. }
                    | Stage::Woken(_) => Why::Refused,
                };
                self.end(call, why, Some(response));
            }
            Invitation::Redirect => self.redirect_refused(response.status().unwrap_or(0)),
        }
    }

    /// The other side goes on as before; a call that it does not know any more is over.
    ///
    /// Spec: RFC 3261 §14.1
    fn redirect_refused(&mut self, status: u16) {
        let Some(mut call) = self.call.take() else { return };
        if matches!(status, 408 | 481) {
            return self.end_with(call, Why::Unreachable, (status, String::new(), None));
        }
        call.direction = Direction::SendRecv;
        self.call = Some(call);
    }

    fn invite_failed(&mut self, inviting: &Inviting, status: u16) {
        match inviting.purpose {
            Invitation::Call => {
                let mine = |call: &mut Call| call.is_calling(&inviting.branch);
                let Some(call) = self.call.take_if(mine) else { return };
                let reason = sip::reason_phrase(status).to_owned();
                self.end_with(call, Why::Unreachable, (status, reason, None));
            }
            Invitation::Redirect => self.redirect_refused(status),
        }
    }

    /// Gives up a call of ours: with CANCEL, as soon as that is allowed.
    pub(crate) fn give_up(&mut self, why: Why, now: Instant) {
        let Some(Stage::Calling(calling)) = self.call.as_mut().map(|call| &mut call.stage) else {
            return;
        };
        // Bounded by the transaction from here on.
        calling.until = now + self.config.timers.give_up() * 2;
        if calling.leaving != Leaving::No {
            return;
        }
        let branch = calling.branch.clone();
        let place = self.inviting.iter().position(|i| i.branch == branch);
        // The transaction is asked whether it heard anything: then it repeats no more.
        let heard = place
            .and_then(|place| self.inviting.get(place))
            .is_some_and(|inviting| inviting.machine.deadline().is_none());
        calling.leaving = if heard { Leaving::Cancelled(why) } else { Leaving::Wanted(why) };
        if let Some(place) = place.filter(|_| heard) {
            let mut inviting = self.inviting.swap_remove(place);
            self.cancel(&mut inviting, now);
            self.inviting.push(inviting);
        }
    }

    /// A call of ours rang too long, or its end was not heard.
    pub(crate) fn calling_passed(&mut self, now: Instant) {
        let Some(call) = &self.call else { return };
        let Stage::Calling(calling) = &call.stage else { return };
        match calling.leaving {
            Leaving::No => self.give_up(Why::NoAnswer, now),
            Leaving::Cancelled(why) | Leaving::Wanted(why) => {
                if let Some(call) = self.call.take() {
                    self.end(call, why, None);
                }
            }
        }
    }
}

impl Call {
    fn is_calling(&self, branch: &[u8]) -> bool {
        match &self.stage {
            Stage::Calling(calling) => calling.branch == branch,
            Stage::Ringing { .. } | Stage::Talking { .. } | Stage::Woken(_) => false,
        }
    }
}

fn acknowledge(inviting: &Inviting, response: &Message<'_>) -> Option<Vec<u8>> {
    let invite = Message::decode(&inviting.wire, Framing::Datagram).ok()?;
    let mut out = Vec::new();
    ack_for(&invite, response, &mut out).ok()?;
    Some(out)
}
