//! Within a call: BYE, re-INVITE, INFO, ACK, hanging up.
//!
//! Spec: RFC 3261 §14, §15; RFC 3264 §8; RFC 6086 (INFO, in the old form that phones use for keys)

use std::net::SocketAddr;

use sip::dialog::Dialog;
use sip::transaction::server_invite::{AnswerAction, AnswerEvent};
use sip::{Message, Method, Name};
use types::Instant;

use crate::callee::{Answering, Side};
use crate::phone::{Call, Phone, Stage};
use crate::request::Purpose;
use crate::wire;
use crate::words::{PhoneEvent, Why};

impl Phone {
    /// Ends whatever call there is.
    pub(crate) fn hang_up(&mut self, now: Instant) {
        match self.call.as_ref().map(|call| &call.stage) {
            Some(Stage::Calling(_)) => self.give_up(Why::Ours, now),
            Some(Stage::Ringing { .. }) => self.stop_ringing(603, Why::Ours, now),
            Some(Stage::Woken(_)) => self.refuse_woken(603, None),
            Some(Stage::Talking { .. }) => self.leave(Why::Ours, now),
            None => (),
        }
    }

    /// Ends the talk with a BYE.
    fn leave(&mut self, why: Why, now: Instant) {
        let Some(mut call) = self.call.take() else { return };
        if let Stage::Talking { dialog, .. } = &mut call.stage {
            self.bye(dialog, call.to, now);
        }
        self.end(call, why, None);
    }

    pub(crate) fn bye(&mut self, dialog: &mut Dialog, to: SocketAddr, now: Instant) {
        let branch = wire::branch(&mut self.rng);
        let (via, lines) = (self.via(&branch), self.credentials(b"BYE", dialog.target()));
        let mut out = Vec::new();
        let mut writer = dialog.request(Method::Bye, &mut out, &via);
        for (name, value) in lines {
            writer.header(name, value);
        }
        writer.end();
        self.request(Purpose::Bye, branch, to, out, now);
    }

    pub(crate) fn bye_came(&mut self, request: &Message<'_>, from: SocketAddr, now: Instant) {
        let Some(status) = self.judge(request) else {
            self.reply(request, from, 200, now, |_| ());
            if let Some(call) = self.call.take() {
                self.end(call, Why::Theirs, None);
            }
            return;
        };
        self.reply(request, from, status, now, |_| ());
    }

    pub(crate) fn info_came(&mut self, request: &Message<'_>, from: SocketAddr, now: Instant) {
        let Some(status) = self.judge(request) else {
            self.reply(request, from, 200, now, |_| ());
            if let Some(key) = key_pressed(request) {
                self.say(PhoneEvent::Key(key));
            }
            return;
        };
        self.reply(request, from, status, now, |_| ());
    }

    /// Why a request within the call is refused; `None` when it is not.
    fn judge(&mut self, request: &Message<'_>) -> Option<u16> {
        match self.call.as_mut().map(|call| &mut call.stage) {
            Some(Stage::Talking { dialog, .. }) => {
                dialog.accept(request).err().map(|verdict| verdict.status())
            }
            Some(Stage::Calling(_) | Stage::Ringing { .. } | Stage::Woken(_)) | None => Some(481),
        }
    }

    /// The other side changes the session: hold, resume, another address.
    pub(crate) fn reinvited(&mut self, request: &Message<'_>, from: SocketAddr, now: Instant) {
        let refused = self.judge(request);
        let asking = self.inviting.iter().any(crate::caller::Inviting::is_open);
        let Some(mut call) = self.call.take_if(|_| refused.is_none()) else {
            return self.refuse_invite(request, from, refused.unwrap_or(481), now);
        };
        let pending = match &call.stage {
            Stage::Talking { answering, .. } => answering.is_some(),
            Stage::Calling(_) | Stage::Ringing { .. } | Stage::Woken(_) => true,
        };
        call.version += 1;
        let ours = self.description(&call);
        let theirs = sdp::Session::decode(request.body()).ok();
        let stream = theirs.as_ref().and_then(|_| wire::stream(request.body(), &ours));
        let status = match (&theirs, stream) {
            // Spec: RFC 3261 §14.2
            _ if asking || pending => 491,
            (None, _) if !request.body().is_empty() => 488,
            (Some(_), None) => 488,
            (None, _) | (Some(_), Some(_)) => 200,
        };
        if status != 200 {
            self.call = Some(call);
            return self.refuse_invite(request, from, status, now);
        }
        let (offer, body) = match &theirs {
            Some(theirs) => (Side::Theirs, sdp::answer(theirs, &ours)),
            None => (Side::Ours, ours.encode()),
        };
        self.accept_change(&mut call, request, from, (offer, &body), now);
        self.flow(&mut call, stream);
        self.call = Some(call);
    }

    fn accept_change(
        &mut self,
        call: &mut Call,
        request: &Message<'_>,
        from: SocketAddr,
        (offer, body): (Side, &[u8]),
        now: Instant,
    ) {
        let Some(key) = self.offer(request, from, now) else { return };
        let Stage::Talking { dialog, answering } = &mut call.stage else { return };
        dialog.refresh_target(request);
        let contact = self.contact(false);
        let machine = self.respond(&key, request, 200, dialog.local_tag(), now, |writer| {
            writer.header(Name::Contact, contact).header(Name::Allow, wire::ALLOW);
            writer.body(wire::SDP, body);
        });
        let cseq = request.cseq().map_or(0, |cseq| cseq.number);
        *answering = machine.map(|machine| Answering { cseq, offer, machine });
    }

    /// The ACK of a success of ours.
    pub(crate) fn acknowledged(&mut self, request: &Message<'_>, now: Instant) {
        let Some(mut call) = self.call.take() else { return };
        let ours = self.description(&call);
        if let Stage::Talking { dialog, answering: waiting } = &mut call.stage
            && dialog.accept(request).is_ok()
            && let Some(answering) = waiting
            && request.cseq().is_ok_and(|cseq| cseq.number == answering.cseq)
        {
            let offer = answering.offer;
            answering.machine.handle(AnswerEvent::Ack, now);
            *waiting = None;
            if offer == Side::Ours {
                let stream = wire::stream(request.body(), &ours);
                self.flow(&mut call, stream);
            }
        }
        self.call = Some(call);
    }

    pub(crate) fn call_passed(&mut self, now: Instant) {
        let Some(call) = &mut self.call else { return };
        match &mut call.stage {
            Stage::Calling(calling) if calling.until <= now => self.calling_passed(now),
            Stage::Ringing { until, .. } if *until <= now => {
                self.stop_ringing(480, Why::NoAnswer, now);
            }
            Stage::Woken(woken) if woken.until <= now => self.woken_passed(),
            Stage::Talking { answering: Some(answering), .. } => {
                answering.machine.handle(AnswerEvent::Deadline, now);
                let action = answering.machine.poll();
                let (bytes, to) = (answering.machine.message().to_vec(), call.to);
                match action {
                    Some(AnswerAction::Transmit) => self.send(to, bytes),
                    // Spec: RFC 3261 §13.3.1.4
                    Some(AnswerAction::TimedOut) => self.leave(Why::Unreachable, now),
                    Some(AnswerAction::Acked) | None => (),
                }
            }
            Stage::Calling(_)
            | Stage::Ringing { .. }
            | Stage::Talking { answering: None, .. }
            | Stage::Woken(_) => (),
        }
    }
}

/// The key in an INFO: `Signal=5` of application/dtmf-relay, or the bare key of application/dtmf.
fn key_pressed(request: &Message<'_>) -> Option<char> {
    let kind = request.content_type()?.to_ascii_lowercase();
    let body = String::from_utf8_lossy(request.body()).into_owned();
    let text = match kind.as_slice() {
        b"application/dtmf-relay" => body.lines().find_map(|line| {
            let (name, value) = line.split_once('=')?;
            name.trim().eq_ignore_ascii_case("signal").then(|| value.trim().to_owned())
        })?,
        b"application/dtmf" => body.trim().to_owned(),
        _ => return None,
    };
    let key = text.chars().next()?;
    media::events::code(key).map(|_| key)
}
