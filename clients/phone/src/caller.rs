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
            Stage::Talking { dialog, answering: None } if !asking && call.direction != direction => {
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
            Stage::Talking { .. }
            | Stage::Calling(_)
            | Stage::Ringing { .. }
            | Stage::Woken(_) => self.call = Some(call),
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
                    if let Some(ack) = response.and_then(|response| acknowledge(&inviting, response))
                    {
                        inviting.machine.set_ack(ack);
                    }
                }
                Action::Failed => self.invite_failed(&inviting, 503, now),
                Action::TimedOut => self.invite_failed(&inviting, 408, now),
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
            return self.send(inviting.to, ack.clone()); // The success came again: the ACK was lost.
        }
        let Ok(mut dialog) = Dialog::uac(response, &inviting.tag) else { return };
        let mine = inviting.acked.is_none();
        let call = self.call.take();
        if mine && let (Some(mut call), Invitation::Redirect) = (call.as_ref().is_some(), inviting.purpose).then_call(call) {
            let _ = (&mut call, &mut dialog);
        }
        let _ = now;
    }
}
