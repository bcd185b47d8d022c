//! Calls of an agent.

use std::time::Duration;

use sip::dialog::Dialog;
use sip::transaction::AnswerRetransmit;
use sip::transaction::server_invite::{AnswerAction, AnswerEvent};
use sip::write::Writer;
use sip::{Framing, Message, Method, Name};
use types::Instant;

use super::wire::offer;
use super::{Act, Agent, Alarm, Key, PATIENCE, Purpose, RING_MAX};

/// What a caller is going to do.
#[derive(Clone, Debug, Default)]
pub struct CallPlan {
    /// The user part of whom it calls.
    pub to: String,
    /// The Call-ID; made up without.
    pub call_id: Option<String>,
    /// Gives up after this, answered or not.
    pub cancel_after: Option<Duration>,
    /// Hangs up so long after the answer.
    pub hang_up_after: Option<Duration>,
    /// Changes the session so long after the answer.
    pub reinvite_after: Option<Duration>,
    /// It knows session timers, and refreshes the session so long after the answer.
    pub refresh_after: Option<Duration>,
    /// Acknowledgements of the answer that are never sent.
    pub acks_withheld: u8,
    /// The INVITE has no description: the answer brings the offer.
    pub offerless: bool,
}

/// What a called agent does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduct {
    /// Rings, then answers.
    Answer(Duration),
    /// Answers 486 at once.
    Busy,
    /// Does not react at all, as a phone without power.
    Dead,
    /// Rings, then answers 603.
    Decline(Duration),
    /// Rings for ever.
    Ring,
}

/// Where a call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Our 200 is out, its ACK awaited.
    Answered,
    /// Our INVITE is out.
    Calling,
    /// Our CANCEL is out, or waits until it may go.
    Cancelling,
    /// It is over.
    Over,
    /// It rings here.
    Ringing,
    /// Both talk.
    Up,
}

/// One call.
#[derive(Debug)]
pub struct Call {
    /// Where it stands.
    pub phase: Phase,
    /// Whether this agent called.
    pub outgoing: bool,
    /// The last status that decided something: a final answer, or 0.
    pub status: u16,
    /// Whether it ever talked.
    pub talked: bool,
    /// When it was over.
    pub ended: Option<Instant>,
    /// Call-ID.
    pub call_id: Vec<u8>,
    /// Our tag.
    pub tag: String,
    pub(crate) remote_tag: Vec<u8>,
    pub(crate) plan: CallPlan,
    pub(crate) conduct: Conduct,
    pub(crate) dialog: Option<Dialog>,
    pub(crate) invite: Key,
    pub(crate) answer: Option<AnswerRetransmit>,
    pub(crate) ack: Vec<u8>,
    pub(crate) ack_cseq: u32,
    pub(crate) reinvite: Option<Vec<u8>>,
    pub(crate) cseq: u32,
    pub(crate) proofs: u8,
    pub(crate) hang_up_wanted: bool,
    pub(crate) version: u64,
}

impl Call {
    /// Whether the phone believes to be in it.
    pub fn is_alive(&self) -> bool {
        self.phase != Phase::Over
    }
}

/// Header fields of a phone that knows session timers.
fn timed(writer: &mut Writer<'_>) {
    writer.header(Name::Supported, "timer").header(Name::SessionExpires, "90");
    writer.header(Name::Allow, "INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE");
}

impl Agent {
    /// Notes which calls are over now.
    pub fn note_ends(&mut self, now: Instant) {
        for call in self.calls.values_mut().filter(|call| !call.is_alive()) {
            call.ended.get_or_insert(now);
        }
    }

    /// Calls somebody.
    pub fn call(&mut self, plan: CallPlan, now: Instant) -> u32 {
        self.next += 1;
        let id = self.next;
        let call_id = plan.call_id.clone().unwrap_or_else(|| self.token()).into_bytes();
        let tag = self.token();
        if let Some(after) = plan.cancel_after {
            self.set_alarm(after, Alarm::Cancel(id), now);
        }
        self.set_alarm(RING_MAX, Alarm::GiveUp(id), now);
        let call = Call {
            phase: Phase::Calling,
            outgoing: true,
            status: 0,
            talked: false,
            ended: None,
            call_id,
            tag,
            remote_tag: Vec::new(),
            plan,
            conduct: Conduct::Ring,
            dialog: None,
            invite: Key::default(),
            answer: None,
            ack: Vec::new(),
            ack_cseq: 0,
            reinvite: None,
            cseq: 0,
            proofs: 0,
            hang_up_wanted: false,
            version: 1,
        };
        self.calls.insert(id, call);
        self.send_invite(id, None, now);
        id
    }

    fn send_invite(&mut self, id: u32, proof: Option<Vec<u8>>, now: Instant) {
        let (via, branch) = self.via();
        let sdp = offer(self, 1).encode();
        let contact = format!("<{}>", self.contact());
        let from = format!("<sip:{}@{}>", self.user, self.domain);
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.cseq += 1;
        call.invite = (branch.clone(), b"INVITE".to_vec());
        let uri = format!("sip:{}@{}", call.plan.to, self.domain);
        let mut out = Vec::with_capacity(900);
        let mut writer = Writer::request(&mut out, b"INVITE", uri.as_bytes());
        writer
            .header(Name::Via, via)
            .number(Name::MaxForwards, 70)
            .header(Name::From, format!("{from};tag={}", call.tag))
            .header(Name::To, format!("<{uri}>"))
            .header(Name::CallId, &call.call_id)
            .header(Name::CSeq, format!("{} INVITE", call.cseq))
            .header(Name::Contact, contact);
        if call.plan.refresh_after.is_some() {
            timed(&mut writer);
        }
        if let Some(proof) = proof {
            writer.header(Name::Authorization, proof);
        }
        if call.plan.offerless {
            writer.end()
        } else {
            writer.body("application/sdp", &sdp)
        }
        self.start_client(branch, "INVITE", out, Purpose::Invite(id), now);
    }

    pub(crate) fn answered(
        &mut self,
        purpose: Purpose,
        key: &Key,
        message: &Message<'_>,
        now: Instant,
    ) {
        match purpose {
            Purpose::Register => self.registered(message, now),
            Purpose::Bye | Purpose::Cancel => (),
            Purpose::Invite(id) => self.invite_answered(id, key, message, now),
            Purpose::Refresh(id) => self.refreshed(id, message.status().unwrap_or(0)),
            Purpose::Reinvite(id) => self.reinvite_answered(id, message, now),
        }
    }

    pub(crate) fn unanswered(&mut self, purpose: Purpose, now: Instant) {
        match purpose {
            Purpose::Register => self.register_failed(now),
            Purpose::Bye | Purpose::Cancel => (),
            Purpose::Invite(id) => {
                if let Some(call) = self.calls.get_mut(&id) {
                    call.phase = Phase::Over;
                    call.status = 408;
                }
            }
            Purpose::Refresh(id) => self.refreshed(id, 408),
            Purpose::Reinvite(id) => {
                if let Some(call) = self.calls.get_mut(&id) {
                    call.reinvite = None;
                }
                // RFC 3261 §12.2.1.2: no answer at all within a dialog ends it.
                self.hang_up(id, now);
            }
        }
    }

    fn invite_answered(&mut self, id: u32, key: &Key, message: &Message<'_>, now: Instant) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let status = message.status().unwrap_or(0);
        if call.invite != *key {
            return; // The INVITE that was challenged.
        }
        match status {
            100..=199 => {
                if call.phase == Phase::Cancelling {
                    self.cancel(id, now);
                }
            }
            200..=299 => self.success(id, message, now),
            401 if call.proofs == 0 && call.phase == Phase::Calling => {
                call.proofs = 1;
                let uri = format!("sip:{}@{}", call.plan.to, self.domain);
                let proof = self.proof(message, b"INVITE", uri.as_bytes());
                self.send_invite(id, proof, now);
            }
            _ => {
                call.phase = Phase::Over;
                call.status = status;
            }
        }
    }

    fn success(&mut self, id: u32, message: &Message<'_>, now: Instant) {
        let tag = message.to().ok().and_then(|to| to.tag()).unwrap_or_default();
        let Some(call) = self.calls.get_mut(&id) else { return };
        if matches!(call.phase, Phase::Up | Phase::Over) {
            self.success_again(message, now);
            return;
        }
        let Ok(dialog) = Dialog::uac(message, call.tag.as_bytes()) else { return };
        call.remote_tag = tag.to_vec();
        call.dialog = Some(dialog);
        call.ack_cseq = call.cseq;
        call.status = message.status().unwrap_or(200);
        let cancelled = call.phase == Phase::Cancelling;
        call.phase = Phase::Up;
        call.talked = true;
        let offered = call.plan.offerless.then(|| message.body().to_vec());
        self.send_ack(id, offered.as_deref(), now);
        if cancelled {
            self.hang_up(id, now); // The answer was faster.
            return;
        }
        let Some(call) = self.calls.get(&id) else { return };
        let plan = call.plan.clone();
        if let Some(after) = plan.hang_up_after {
            self.set_alarm(after, Alarm::HangUp(id), now);
        }
        if let Some(after) = plan.reinvite_after {
            self.set_alarm(after, Alarm::Reinvite(id), now);
        }
        if let Some(after) = plan.refresh_after {
            self.set_alarm(after, Alarm::Refresh(id), now);
        }
    }

    fn send_ack(&mut self, id: u32, offered: Option<&[u8]>, _now: Instant) {
        let (via, _) = self.via();
        let ours = offer(self, 1);
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Some(dialog) = &call.dialog else { return };
        let mut out = Vec::with_capacity(500);
        let mut writer = dialog.ack(call.ack_cseq, &mut out, &via);
        match offered.and_then(|offer| sdp::Session::decode(offer).ok()) {
            Some(theirs) => writer.body("application/sdp", &sdp::answer(&theirs, &ours)),
            None => writer.end(),
        }
        call.ack = out.clone();
        if call.plan.acks_withheld > 0 {
            call.plan.acks_withheld -= 1;
        } else {
            self.acts.push(Act::Send(out));
        }
    }

    /// A success for an INVITE that was answered already: the same again, or one that nobody wants.
    pub(crate) fn success_again(&mut self, message: &Message<'_>, now: Instant) {
        let tag = message.to().ok().and_then(|to| to.tag()).unwrap_or_default();
        let cseq = message.cseq().map_or(0, |cseq| cseq.number);
        let found = self.calls.iter_mut().find(|(_, call)| {
            call.call_id == message.call_id() && call.remote_tag == tag && call.ack_cseq == cseq
        });
        if let Some((_, call)) = found {
            if call.plan.acks_withheld > 0 {
                call.plan.acks_withheld -= 1;
            } else if !call.ack.is_empty() {
                let ack = call.ack.clone();
                self.acts.push(Act::Send(ack));
            }
            return;
        }
        let own = message.from().ok().and_then(|from| from.tag()).unwrap_or_default();
        let Ok(mut dialog) = Dialog::uac(message, own) else { return };
        let (via, _) = self.via();
        let mut ack = Vec::new();
        dialog.ack(cseq, &mut ack, &via).end();
        self.acts.push(Act::Send(ack));
        let (via, branch) = self.via();
        let mut bye = Vec::new();
        dialog.request(Method::Bye, &mut bye, &via).end();
        self.start_client(branch, "BYE", bye, Purpose::Bye, now);
    }

    /// The caller gives up.
    pub fn cancel(&mut self, id: u32, now: Instant) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if !matches!(call.phase, Phase::Calling | Phase::Cancelling) || !call.outgoing {
            return;
        }
        call.phase = Phase::Cancelling;
        let branch = call.invite.0.clone();
        self.send_cancel(&branch, now);
    }

    /// This side hangs up.
    pub fn hang_up(&mut self, id: u32, now: Instant) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        match call.phase {
            Phase::Over => return,
            Phase::Calling | Phase::Cancelling => return self.cancel(id, now),
            Phase::Ringing => {
                let key = call.invite.clone();
                let tag = call.tag.clone();
                call.phase = Phase::Over;
                self.respond(&key, 480, Some(&tag), None, now);
                return;
            }
            Phase::Answered => {
                call.hang_up_wanted = true; // BYE may not overtake the ACK.
                return;
            }
            Phase::Up => (),
        }
        call.phase = Phase::Over;
        call.answer = None;
        self.send_bye(id, now);
    }

    pub(crate) fn notice(&mut self, id: u32, since: Instant, now: Instant) {
        let Some(call) = self.calls.get(&id).filter(|call| call.phase == Phase::Up) else { return };
        self.acts.push(Act::Forgotten { call_id: call.call_id.clone(), since });
        self.hang_up(id, now);
    }

    fn send_bye(&mut self, id: u32, now: Instant) {
        let (via, branch) = self.via();
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Some(dialog) = &mut call.dialog else { return };
        let mut out = Vec::with_capacity(500);
        dialog.request(Method::Bye, &mut out, &via).end();
        self.start_client(branch, "BYE", out, Purpose::Bye, now);
    }

    pub(crate) fn reinvite(&mut self, id: u32, now: Instant) {
        let (via, branch) = self.via();
        let contact = format!("<{}>", self.contact());
        let Some(call) = self.calls.get_mut(&id) else { return };
        if call.phase != Phase::Up || call.reinvite.is_some() || call.answer.is_some() {
            return;
        }
        call.version += 1;
        let version = call.version;
        let mut sdp = offer(self, version);
        sdp.direction = if version.is_multiple_of(2) {
            sdp::Direction::SendOnly
        } else {
            sdp::Direction::SendRecv
        };
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Some(dialog) = &mut call.dialog else { return };
        let mut out = Vec::with_capacity(900);
        let mut writer = dialog.request(Method::Invite, &mut out, &via);
        writer.header(Name::Contact, contact);
        writer.body("application/sdp", &sdp.encode());
        call.reinvite = Some(branch.clone());
        self.start_client(branch, "INVITE", out, Purpose::Reinvite(id), now);
    }

    /// Refreshes the session without a word about media.
    pub(crate) fn refresh(&mut self, id: u32, now: Instant) {
        let (via, branch) = self.via();
        let contact = format!("<{}>", self.contact());
        let Some(call) = self.calls.get_mut(&id).filter(|call| call.phase == Phase::Up) else {
            return;
        };
        let Some(dialog) = &mut call.dialog else { return };
        let mut out = Vec::with_capacity(500);
        let mut writer = dialog.request(Method::Update, &mut out, &via);
        writer.header(Name::Contact, contact);
        timed(&mut writer);
        writer.end();
        self.start_client(branch, "UPDATE", out, Purpose::Refresh(id), now);
    }

    fn refreshed(&mut self, id: u32, status: u16) {
        if let (408 | 481, Some(call)) = (status, self.calls.get_mut(&id)) {
            call.phase = Phase::Over; // RFC 3261 §12.2.1.2.
            call.answer = None;
        }
    }

    /// A request that every call has an answer for, and none where there is no call.
    pub(crate) fn asked_in_call(&mut self, key: &Key, message: &Message<'_>, now: Instant) {
        let in_dialog = message.to().is_ok_and(|to| to.tag().is_some());
        let call = self.find(message).and_then(|id| self.calls.get_mut(&id));
        let status = match call {
            Some(call) => {
                let judged = call.dialog.as_mut().map(|dialog| dialog.accept(message));
                judged.and_then(Result::err).map_or(200, |verdict| verdict.status())
            }
            None if in_dialog => 481,
            None => 200,
        };
        self.respond(key, status, None, None, now);
    }

    fn reinvite_answered(&mut self, id: u32, message: &Message<'_>, now: Instant) {
        let status = message.status().unwrap_or(0);
        if status < 200 {
            return;
        }
        let again = Duration::from_millis(2_100 + self.rng.below(1_900));
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.reinvite = None;
        match status {
            200..=299 => {
                call.ack_cseq = message.cseq().map_or(0, |cseq| cseq.number);
                if let Some(dialog) = &mut call.dialog {
                    dialog.refresh_target(message);
                }
                let held = call.version.is_multiple_of(2);
                self.send_ack(id, None, now);
                if held {
                    self.set_alarm(again, Alarm::Reinvite(id), now);
                }
            }
            408 | 481 => {
                call.phase = Phase::Over;
            }
            491 => self.set_alarm(again, Alarm::Reinvite(id), now),
            _ => (),
        }
    }

    /// An INVITE came.
    pub(crate) fn invited(&mut self, key: &Key, message: &Message<'_>, now: Instant) {
        let in_dialog = message.to().ok().and_then(|to| to.tag()).is_some();
        if in_dialog {
            self.reinvited(key, message, now);
            return;
        }
        let from_tag = message.from().ok().and_then(|from| from.tag()).unwrap_or_default();
        let merged = self.calls.values().any(|call| {
            !call.outgoing
                && call.call_id == message.call_id()
                && call.remote_tag == from_tag
                && call.is_alive()
        });
        if merged {
            self.respond(key, 482, None, None, now);
            return;
        }
        let tag = self.token();
        let Ok(dialog) = Dialog::uas(message, tag.as_bytes()) else {
            self.respond(key, 400, None, None, now);
            return;
        };
        let conduct = self.conduct(message.call_id());
        self.next += 1;
        let id = self.next;
        let offerless = message.body().is_empty();
        let call = Call {
            phase: Phase::Ringing,
            outgoing: false,
            status: 0,
            talked: false,
            ended: None,
            call_id: message.call_id().to_vec(),
            tag: tag.clone(),
            remote_tag: from_tag.to_vec(),
            plan: CallPlan { offerless, ..CallPlan::default() },
            conduct,
            dialog: Some(dialog),
            invite: key.clone(),
            answer: None,
            ack: Vec::new(),
            ack_cseq: 0,
            reinvite: None,
            cseq: 0,
            proofs: 0,
            hang_up_wanted: false,
            version: 1,
        };
        self.calls.insert(id, call);
        if let Some(entry) = self.servers.get_mut(key) {
            entry.call = Some(id);
        }
        match conduct {
            Conduct::Dead => {
                // No answer, ever: the transaction is forgotten as well.
                self.servers.remove(key);
                self.calls.remove(&id);
            }
            Conduct::Busy => self.act(id, now),
            Conduct::Answer(after) | Conduct::Decline(after) => {
                if !self.rng.percent(15) {
                    self.respond(key, 180, Some(&tag), None, now);
                }
                self.set_alarm(after, Alarm::Act(id), now);
            }
            Conduct::Ring => {
                self.respond(key, 180, Some(&tag), None, now);
                self.set_alarm(RING_MAX, Alarm::HangUp(id), now);
            }
        }
    }

    fn conduct(&mut self, call_id: &[u8]) -> Conduct {
        let accepted = &mut self.registration.accepted;
        if let Some(place) = accepted.iter().position(|known| known.as_bytes() == call_id) {
            accepted.swap_remove(place);
            return Conduct::Answer(Duration::from_millis(30));
        }
        // Whole and half seconds, so that both sides often act at the same moment.
        let after = Duration::from_millis(500 * self.rng.below(12));
        if self.rng.percent(self.manners.answers) {
            return Conduct::Answer(after);
        }
        match self.rng.below(8) {
            0 | 1 => Conduct::Busy,
            2..=4 => Conduct::Decline(after),
            5 => Conduct::Dead,
            _ => Conduct::Ring,
        }
    }

    /// The callee does what it had in mind.
    pub(crate) fn act(&mut self, id: u32, now: Instant) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if call.phase != Phase::Ringing {
            return;
        }
        let (key, tag) = (call.invite.clone(), call.tag.clone());
        match call.conduct {
            Conduct::Answer(_) => self.answer(id, now),
            Conduct::Busy => {
                call.phase = Phase::Over;
                self.respond(&key, 486, Some(&tag), None, now);
            }
            Conduct::Decline(_) => {
                call.phase = Phase::Over;
                self.respond(&key, 603, Some(&tag), None, now);
            }
            Conduct::Dead | Conduct::Ring => (),
        }
    }

    fn answer(&mut self, id: u32, now: Instant) {
        let ours = offer(self, 1);
        let Some(call) = self.calls.get_mut(&id) else { return };
        let (key, tag) = (call.invite.clone(), call.tag.clone());
        let sdp = match self.servers.get(&key).map(|entry| entry.request.clone()) {
            Some(request) => match Message::decode(&request, Framing::Datagram) {
                Ok(invite) => match sdp::Session::decode(invite.body()) {
                    Ok(theirs) => sdp::answer(&theirs, &ours),
                    Err(_) => ours.encode(),
                },
                Err(_) => return,
            },
            None => return,
        };
        call.phase = Phase::Answered;
        let bytes = self.respond(&key, 200, Some(&tag), Some(&sdp), now);
        let hang_up = Duration::from_millis(500 * self.rng.below(40));
        let hangs_up = self.rng.percent(50);
        let reinvites = self.rng.percent(15);
        let timers = self.timers;
        if let Some(call) = self.calls.get_mut(&id) {
            call.talked = true;
            call.status = 200;
            call.answer = Some(AnswerRetransmit::new(bytes, timers, now));
        }
        if hangs_up {
            self.set_alarm(hang_up, Alarm::HangUp(id), now);
        }
        self.set_alarm(PATIENCE, Alarm::Notice(id, now), now);
        if reinvites {
            self.set_alarm(hang_up / 2, Alarm::Reinvite(id), now);
        }
    }

    fn reinvited(&mut self, key: &Key, message: &Message<'_>, now: Instant) {
        let Some(id) = self.find(message) else {
            self.respond(key, 481, None, None, now);
            return;
        };
        let ours_version = self.calls.get(&id).map_or(1, |call| call.version + 1);
        let ours = offer(self, ours_version);
        let Some(call) = self.calls.get_mut(&id) else { return };
        let tag = call.tag.clone();
        if let Some(dialog) = &mut call.dialog
            && let Err(verdict) = dialog.accept(message)
        {
            self.respond(key, verdict.status(), Some(&tag), None, now);
            return;
        }
        if call.phase != Phase::Up || call.answer.is_some() {
            self.respond(key, 500, Some(&tag), None, now);
            return;
        }
        if call.reinvite.is_some() {
            self.respond(key, 491, Some(&tag), None, now);
            return;
        }
        call.version = ours_version;
        let sdp = match sdp::Session::decode(message.body()) {
            Ok(theirs) => sdp::answer(&theirs, &ours),
            Err(_) => ours.encode(),
        };
        if let Some(dialog) = &mut call.dialog {
            dialog.refresh_target(message);
        }
        let bytes = self.respond(key, 200, Some(&tag), Some(&sdp), now);
        let timers = self.timers;
        if let Some(call) = self.calls.get_mut(&id) {
            call.answer = Some(AnswerRetransmit::new(bytes, timers, now));
        }
    }

    pub(crate) fn cancelled(&mut self, key: &Key, _message: &Message<'_>, now: Instant) {
        let invite: Key = (key.0.clone(), b"INVITE".to_vec());
        let Some(id) = self.servers.get(&invite).map(|entry| entry.call) else {
            self.respond(key, 481, None, None, now);
            return;
        };
        self.respond(key, 200, None, None, now);
        let Some(call) = id.and_then(|id| self.calls.get_mut(&id)) else { return };
        if call.phase == Phase::Ringing {
            let tag = call.tag.clone();
            call.phase = Phase::Over;
            self.respond(&invite, 487, Some(&tag), None, now);
        }
    }

    pub(crate) fn bye_came(&mut self, key: &Key, message: &Message<'_>, now: Instant) {
        let Some(id) = self.find(message) else {
            self.respond(key, 481, None, None, now);
            return;
        };
        let Some(call) = self.calls.get_mut(&id) else { return };
        let (tag, invite, ringing) =
            (call.tag.clone(), call.invite.clone(), call.phase == Phase::Ringing);
        call.phase = Phase::Over;
        call.answer = None;
        self.respond(key, 200, Some(&tag), None, now);
        if ringing {
            self.respond(&invite, 487, Some(&tag), None, now);
        }
    }

    pub(crate) fn acknowledged(&mut self, message: &Message<'_>, now: Instant) {
        let Some(id) = self.find(message) else { return };
        let Some(call) = self.calls.get_mut(&id) else { return };
        if let Some(answer) = &mut call.answer {
            answer.handle(AnswerEvent::Ack, now);
            call.answer = None;
        }
        if call.phase == Phase::Answered {
            call.phase = Phase::Up;
            if call.hang_up_wanted {
                self.hang_up(id, now);
            }
        }
    }

    pub(crate) fn repeat_answers(&mut self, now: Instant) {
        let due: Vec<u32> = self.calls.keys().copied().collect();
        for id in due {
            let Some(call) = self.calls.get_mut(&id) else { continue };
            let Some(answer) = &mut call.answer else { continue };
            answer.handle(AnswerEvent::Deadline, now);
            match answer.poll() {
                Some(AnswerAction::Transmit) => {
                    let bytes = answer.message().to_vec();
                    self.acts.push(Act::Send(bytes));
                }
                Some(AnswerAction::TimedOut) => {
                    call.answer = None;
                    call.phase = Phase::Over;
                    self.send_bye(id, now);
                }
                Some(AnswerAction::Acked) | None => (),
            }
        }
    }

    /// The call whose dialog a request names.
    fn find(&self, message: &Message<'_>) -> Option<u32> {
        let to = message.to().ok()?.tag()?;
        let from = message.from().ok()?.tag().unwrap_or_default();
        self.calls
            .iter()
            .find(|(_, call)| {
                call.call_id == message.call_id()
                    && call.tag.as_bytes() == to
                    && call.remote_tag == from
                    && call.is_alive()
            })
            .map(|(id, _)| *id)
    }
}
