//! What legs do: commands of owners, messages of the far end, deadlines. The states stand in [`leg`](crate::leg).

use sip::dialog::Dialog;
use sip::transaction::server_invite::{AnswerAction, AnswerEvent};
use sip::transaction::{AnswerRetransmit, client_invite};
use sip::write::Writer;
use sip::{Framing, Message, Method, Name};
use types::{LegId, SessionId};

use crate::core::Core;
use crate::ladder::Lane;
use crate::leg::{Cancel, Change, InvitePlan, Leg, LegCommand, LegEvent, Phase};
use crate::leg_watch::{keeps_said, terms};
use crate::service::RequestId;
use crate::store::Durability;
use crate::timers::Reason;
use crate::transactions::{ClientMachine, STRAYS_MAX};

/// Methods that we take, for Allow.
pub(crate) const ALLOW: &str = "ACK, BYE, CANCEL, INFO, INVITE, MESSAGE, OPTIONS, PRACK, PUBLISH, REFER, REGISTER, SUBSCRIBE, UPDATE";
/// Extensions that we have, inside of calls.
pub(crate) const SUPPORTED: &str = "100rel, norefersub, replaces, timer";
/// The same for an INVITE without an offer: nobody could answer one that rings.
const SUPPORTED_LATE: &str = "norefersub, replaces, timer";
/// What we call ourselves.
pub(crate) const SERVER: &str = concat!("Carillon/", env!("CARGO_PKG_VERSION"));
pub(crate) const SDP: &str = "application/sdp";

impl Core {
    /// A command of an owner. Only the owner is obeyed, but for the taker of an offered leg.
    pub(crate) fn leg_command(&mut self, id: LegId, from: SessionId, command: LegCommand) {
        if let LegCommand::Invite(plan) = command {
            self.leg_invite(id, *plan);
            return;
        }
        let Some(leg) = self.legs.get(&id) else {
            // It ended while the command was on its way.
            self.tell(from, id, LegEvent::Ended { why: "gone".into() });
            return;
        };
        if let LegCommand::Accept { version } = command {
            self.leg_accept(id, from, version);
            return;
        }
        if let LegCommand::Decline { version } = command {
            self.leg_declined(id, from, version);
            return;
        }
        if leg.owner != from {
            self.count("switchboard.command_of_a_stranger");
            return;
        }
        match command {
            LegCommand::Accept { .. } | LegCommand::Decline { .. } | LegCommand::Invite(_) => (),
            LegCommand::Ack { sdp } => self.leg_late_ack(id, sdp),
            LegCommand::Answer { sdp } => self.leg_answer(id, sdp),
            LegCommand::AnswerChange { status, sdp } => self.leg_answer_change(id, status, sdp),
            LegCommand::Change { sdp } => self.leg_change(id, sdp),
            LegCommand::End { status, headers } => self.leg_end(id, status, &headers),
            LegCommand::Hand { to, note } => self.leg_hand(id, to, note),
            LegCommand::Request(asked) => self.leg_ask(id, &asked),
            LegCommand::Respond { request, response } => {
                self.leg_respond(id, request, &response);
            }
            LegCommand::Ring { status, sdp, headers } => self.leg_ring(id, status, sdp, &headers),
        }
        self.leg_arm(id);
    }

    fn leg_hand(&mut self, id: LegId, to: SessionId, note: Vec<u8>) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        leg.offered = Some(to);
        leg.version += 1;
        let event = LegEvent::Offered {
            from: leg.owner,
            version: leg.version,
            waiting: matches!(leg.phase, Phase::Incoming { .. }),
            sdp: leg.sdp.clone(),
            note,
        };
        self.tell(to, id, event);
    }

    /// The taker does not want it.
    fn leg_declined(&mut self, id: LegId, taker: SessionId, version: u32) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        if leg.offered == Some(taker) && leg.version == version {
            leg.offered = None;
            let giver = leg.owner;
            self.tell(giver, id, LegEvent::Declined { by: taker });
        }
    }

    fn leg_accept(&mut self, id: LegId, taker: SessionId, version: u32) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        if leg.offered != Some(taker) || leg.version != version {
            self.tell(taker, id, LegEvent::Ended { why: "gone".into() });
            return;
        }
        let giver = leg.owner;
        leg.offered = None;
        leg.owner = taker;
        let was_apart = leg.apart;
        leg.apart = taker.slot() != id.slot();
        let apart = leg.apart;
        if let Some(entry) = self.sessions.get_mut(&giver) {
            entry.legs.retain(|known| *known != id);
        }
        if let Some(entry) = self.sessions.get_mut(&taker) {
            entry.legs.push(id);
        }
        // Whoever has it now remembers it first; then the giver's side may forget.
        if apart {
            self.save_leg(id);
        } else {
            self.save_session(taker, Durability::Written);
            if was_apart {
                self.forget_leg(id);
            }
        }
        self.tell(giver, id, LegEvent::Handed { to: taker });
    }

    fn leg_invite(&mut self, id: LegId, plan: InvitePlan) {
        let phase = Phase::Calling { transaction: 0, cancel: Cancel::No, since: self.clock.now };
        let mut leg = Leg::new(id, plan.session, phase, plan.flow);
        leg.offer_sent = plan.sdp.is_some();
        leg.keys_else = plan.keys_else;
        leg.apart = plan.session.slot() != id.slot();
        if let Some(login) = plan.login {
            leg.early_mut().login = Some(login);
        }
        self.legs.insert(id, Box::new(leg));
        if let Some(entry) = self.sessions.get_mut(&plan.session) {
            entry.legs.push(id);
        }
        let mut contact = self.contact(plan.flow);
        contact.push_str(plan.beside.as_ref().map_or("", |beside| &beside.contact));
        let interval = self.session_expires.0.to_string();
        let write = |via: &[u8]| {
            let mut out = Vec::with_capacity(900 + plan.sdp.as_ref().map_or(0, Vec::len));
            let mut writer = Writer::request(&mut out, b"INVITE", plan.uri.as_bytes());
            writer.header(Name::Via, via).number(Name::MaxForwards, plan.max_forwards.into());
            if !plan.route.is_empty() {
                writer.header(Name::Route, &plan.route);
            }
            writer.header_parts(
                Name::From,
                &[plan.from.as_bytes(), b";tag=", plan.from_tag.as_bytes()],
            );
            writer.header(Name::To, &plan.to).header(Name::CallId, &plan.call_id);
            writer.header_parts(Name::CSeq, &[plan.cseq.to_string().as_bytes(), b" INVITE"]);
            writer.header(Name::Contact, &contact).header(Name::Allow, ALLOW);
            let early = plan.sdp.is_some() || plan.early_offer;
            writer.header(Name::Supported, if early { SUPPORTED } else { SUPPORTED_LATE });
            // The phone behind its NAT is the one that should speak.
            let parts = [interval.as_bytes(), b";refresher=uas"];
            writer.header_parts(Name::SessionExpires, &parts);
            writer.header(Name::UserAgent, SERVER);
            extra(&mut writer, &plan.headers);
            match (&plan.beside, &plan.sdp) {
                (Some(beside), Some(sdp)) => {
                    // Our tag is made of chance, so nobody can have written it into a part.
                    let (kind, whole) = beside.with(sdp, &format!("part-{}", plan.from_tag));
                    writer.body(&kind, &whole);
                }
                (_, sdp) => finish(&mut writer, sdp.as_deref()),
            }
            out
        };
        let transaction = self.request(plan.flow, id.slot(), Some(id), true, write);
        if let Some(leg) = self.legs.get_mut(&id)
            && let Phase::Calling { transaction: place, .. } = &mut leg.phase
        {
            *place = transaction;
        }
        self.leg_arm(id);
    }

    /// Writes an answer to the INVITE or re-INVITE of this transaction.
    pub(crate) fn leg_response(
        &mut self,
        id: LegId,
        request: RequestId,
        status: u16,
        sdp: Option<&[u8]>,
        headers: &[(String, String)],
    ) -> Option<Vec<u8>> {
        let leg = self.legs.get(&id)?;
        let contact = self.contact(leg.flow);
        let entry = self.transactions.servers.get(request.0)?;
        let message = entry.request.message()?;
        let contact = crate::part::focus(&message, &contact).unwrap_or(contact);
        let mut out = Vec::with_capacity(600 + sdp.map_or(0, <[u8]>::len));
        let mut writer = sip::write::response_to(
            &mut out,
            &message,
            status,
            None,
            Some(&entry.tag.0),
            Some(entry.flow.remote),
        );
        if status < 300 {
            writer.copy(&message, Name::RecordRoute).header(Name::Contact, &contact);
            writer.header(Name::Allow, ALLOW);
        }
        if status / 100 == 2 && message.method() != Method::Prack {
            writer.header(Name::Supported, SUPPORTED);
            if let Some(terms) = terms(&message, self.session_expires) {
                terms.write(&mut writer);
            }
        }
        writer.header(Name::Server, SERVER);
        extra(&mut writer, headers);
        finish(&mut writer, sdp);
        Some(out)
    }

    pub(crate) fn leg_answer(&mut self, id: LegId, sdp: Option<Vec<u8>>) {
        let Some(leg) = self.legs.get(&id) else { return };
        let Phase::Incoming { request } = leg.phase else { return };
        if self.answer_waits(id, &sdp) {
            return;
        }
        let agreed = self.legs.get(&id).is_some_and(|leg| leg.agreed_early());
        let sdp = if agreed { None } else { sdp }; // A PRACK settled it.
        let terms = self.transactions.servers.get(request.0).and_then(|entry| {
            let invite = entry.request.message()?;
            terms(&invite, self.session_expires)
        });
        let Some(bytes) = self.leg_response(id, request, 200, sdp.as_deref(), &[]) else { return };
        self.respond(request.0, 200, bytes);
        let said = self.just_answered(request.0);
        let retransmit = AnswerRetransmit::new(said, self.config.timers, self.clock.now);
        let until = self.clock.unix + self.config.timers.give_up();
        self.watch_answered(id, terms);
        if let Some(leg) = self.legs.get_mut(&id) {
            if keeps_said(leg) {
                leg.said = sdp.map(Vec::into_boxed_slice);
            }
            leg.phase = Phase::Answered { retransmit, until, restored: false };
            // Its owner's entry does not contain it: after a restart it must not wait for an answer again.
            if leg.apart {
                self.save_leg(id);
            }
        }
    }

    /// Ends a leg in the way that fits its phase.
    pub(crate) fn leg_end(&mut self, id: LegId, status: u16, headers: &[(String, String)]) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        match &mut leg.phase {
            Phase::Incoming { request } => {
                let request = *request;
                let status = if status < 300 { 487 } else { status };
                if let Some(bytes) = self.leg_response(id, request, status, None, headers) {
                    self.respond(request.0, status, bytes);
                }
                self.leg_gone(id);
            }
            Phase::Calling { cancel: cancel @ Cancel::No, .. } => {
                *cancel = Cancel::Wanted;
                if leg.early.as_mut().is_some_and(|early| early.again.take().is_some()) {
                    self.leg_gone(id); // Its INVITE failed, and is not sent again.
                    return;
                }
                self.leg_cancel(id, headers);
            }
            Phase::Calling { .. } => (),
            Phase::Answered { .. } => {
                // BYE may not overtake the 200: it waits for the ACK, or for the end of patience.
                let phase = std::mem::replace(&mut leg.phase, Phase::Established);
                if let Phase::Answered { retransmit, .. } = phase {
                    leg.phase = Phase::Ending { retransmit };
                }
            }
            Phase::Accepted { cseq } => {
                let cseq = *cseq;
                self.leg_send_ack(id, cseq, None);
                self.leg_bye(id, headers);
            }
            Phase::Established => {
                if let Change::Accepted { cseq } = leg.change {
                    self.leg_send_ack(id, cseq, None); // Or its answer is repeated.
                }
                self.leg_bye(id, headers);
            }
            Phase::Ending { .. } => (),
        }
    }

    /// Sends CANCEL, if it is allowed already, and says when it will be sent again.
    fn leg_cancel(&mut self, id: LegId, headers: &[(String, String)]) {
        let now = self.clock.now;
        let timers = self.config.timers;
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let Phase::Calling { transaction, cancel, .. } = &mut leg.phase else { return };
        let (transaction, call) = (*transaction, leg.call);
        let Some(entry) = self.transactions.clients.get_mut(transaction) else { return };
        // The way of the INVITE, which need not be that of the dialog.
        let flow = entry.flow;
        let ClientMachine::Invite(machine) = &mut entry.machine else { return };
        if !machine.is_cancellable() {
            return;
        }
        let mut bytes = Vec::new();
        let Ok(invite) = Message::decode(machine.message(), Framing::Datagram) else { return };
        let reason =
            headers.iter().find(|(name, _)| name == "Reason").map(|(_, value)| value.as_bytes());
        if sip::transaction::cancel_for(&invite, reason, &mut bytes).is_err() {
            return;
        }
        let gap = match *cancel {
            Cancel::Sent { gap, .. } => (gap * 2).min(timers.t2()),
            Cancel::Answered | Cancel::No | Cancel::Wanted => timers.t1(),
        };
        *cancel = if flow.transport.reliable() {
            Cancel::Answered
        } else {
            Cancel::Sent { at: now + gap, gap }
        };
        machine.handle(client_invite::Event::Cancelled, now);
        self.drive_client(transaction, None);
        self.note(call, Lane::SipOut, Some(flow), &bytes);
        self.send(flow, &bytes, self.after);
    }

    /// The other side has our CANCEL.
    pub(crate) fn leg_cancel_answered(&mut self, id: LegId) {
        if let Some(leg) = self.legs.get_mut(&id)
            && let Phase::Calling { cancel: cancel @ Cancel::Sent { .. }, .. } = &mut leg.phase
        {
            *cancel = Cancel::Answered;
        }
    }

    pub(crate) fn leg_bye(&mut self, id: LegId, headers: &[(String, String)]) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let flow = leg.flow;
        let Some(mut dialog) = leg.dialog.take() else {
            self.leg_gone(id);
            return;
        };
        if let Some(entry) = self.sessions.get_mut(&leg.owner) {
            entry.parting =
                crate::restore::parting(std::mem::take(&mut entry.parting), leg, &dialog);
        }
        self.request(flow, id.slot(), Some(id), false, |via| {
            let mut out = Vec::with_capacity(500);
            let mut writer = dialog.request(Method::Bye, &mut out, via);
            writer.header(Name::UserAgent, SERVER);
            extra(&mut writer, headers);
            writer.end();
            out
        });
        if let Some(leg) = self.legs.get_mut(&id) {
            leg.dialog = Some(dialog);
        }
        // The transaction repeats the BYE by itself; nothing of the leg is needed for that.
        self.leg_gone(id);
    }

    pub(crate) fn leg_send_ack(&mut self, id: LegId, cseq: u32, sdp: Option<&[u8]>) {
        let Some(leg) = self.legs.get(&id) else { return };
        let (flow, call) = (leg.flow, leg.call);
        let Some(dialog) = &leg.dialog else { return };
        // An ACK for a success is a transaction of its own, without an answer.
        let number = u64::from(cseq) << 32 | 0xffff_ffff;
        let via = self.via(flow, id.slot(), number);
        let mut out = Vec::with_capacity(500);
        let mut writer = dialog.ack(cseq, &mut out, &via);
        finish(&mut writer, sdp);
        self.note(call, Lane::SipOut, Some(flow), &out);
        self.send(flow, &out, self.after);
    }

    fn leg_late_ack(&mut self, id: LegId, sdp: Option<Vec<u8>>) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        if matches!(leg.phase, Phase::Calling { .. }) {
            self.leg_prack_owed(id, sdp.as_deref());
            return;
        }
        let cseq = match (&leg.phase, &leg.change) {
            (Phase::Accepted { cseq }, _) => *cseq,
            (_, Change::Accepted { cseq }) => *cseq,
            (_, _) => return,
        };
        if matches!(leg.phase, Phase::Accepted { .. }) {
            leg.phase = Phase::Established;
        } else {
            leg.change = Change::Idle;
        }
        self.leg_send_ack(id, cseq, sdp.as_deref());
    }

    /// A response to a request of this leg.
    pub(crate) fn leg_response_came(&mut self, id: LegId, transaction: u64, message: &Message<'_>) {
        let Some(status) = message.status() else { return };
        if message.method() != Method::Invite {
            // Of a BYE nothing is left to do: the leg has gone already.
            let change = self.legs.get(&id).map(|leg| &leg.change);
            if matches!(change, Some(Change::Outgoing { transaction: ours, .. }) if *ours == transaction)
            {
                self.leg_change_answered(id, status, message);
            } else {
                self.leg_asked(id, transaction, status, Some(message));
            }
            self.leg_arm(id);
            return;
        }
        let Some(leg) = self.legs.get(&id) else {
            self.leg_stray_success(id, transaction, message);
            return;
        };
        match &leg.phase {
            Phase::Calling { cancel, transaction: ours, .. }
                if *ours == transaction || *ours == 0 =>
            {
                let cancel = *cancel;
                if cancel == Cancel::No && self.leg_again(id, transaction, message) {
                    return;
                }
                self.leg_calling(id, cancel, status, message);
            }
            // Not the INVITE's own success, said again because its ACK was lost.
            Phase::Established if matches!(leg.change, Change::Outgoing { transaction: ours, .. } if ours == transaction) =>
            {
                self.leg_change_answered(id, status, message);
            }
            Phase::Calling { .. } | Phase::Incoming { .. } => (),
            Phase::Accepted { .. }
            | Phase::Established
            | Phase::Answered { .. }
            | Phase::Ending { .. } => {
                if status / 100 == 2 {
                    self.leg_success_again(id, transaction, message);
                }
            }
        }
        self.leg_arm(id);
    }

    fn leg_calling(&mut self, id: LegId, cancel: Cancel, status: u16, message: &Message<'_>) {
        let ending = cancel != Cancel::No;
        let Some(owner) = self.legs.get(&id).map(|leg| leg.owner) else { return };
        let sdp = description(message);
        match status {
            100..=199 if cancel == Cancel::Wanted => self.leg_cancel(id, &[]),
            100 => (),
            101..=199 => {
                let offered = self.legs.get(&id).is_some_and(|leg| leg.offer_sent);
                // What is said unreliably cannot be an offer (RFC 3261 §13.2.1).
                let offers = message.has_token(Name::Require, "100rel");
                let sdp = if offered || offers { sdp } else { None };
                if self.leg_reliable(id, message) && !ending {
                    self.tell(owner, id, LegEvent::Provisional { status, sdp });
                }
            }
            200..=299 => {
                let cseq = message.cseq().map_or(1, |cseq| cseq.number);
                if !self.leg_enter_dialog(id, message) {
                    self.leg_gone(id);
                    let event = LegEvent::Failed { status: 502, phrase: "Bad answer".into() };
                    if !ending {
                        self.tell(owner, id, event);
                    }
                    return;
                }
                self.watch_asked(id, message);
                let Some(leg) = self.legs.get_mut(&id) else { return };
                leg.hears_allow(message);
                if sdp.is_some() {
                    leg.sdp.clone_from(&sdp);
                }
                if ending {
                    self.leg_send_ack(id, cseq, None);
                    self.leg_bye(id, &[]);
                    return;
                }
                if leg.offer_sent {
                    leg.phase = Phase::Established;
                    self.leg_send_ack(id, cseq, None);
                } else {
                    leg.phase = Phase::Accepted { cseq };
                }
                self.tell(owner, id, LegEvent::Answered { sdp });
            }
            _ => {
                self.leg_gone(id);
                if !ending {
                    self.tell_reason(owner, id, message);
                    let phrase = String::from_utf8_lossy(message.reason().unwrap_or_default());
                    self.tell(owner, id, LegEvent::Failed { status, phrase: phrase.into_owned() });
                }
            }
        }
    }

    /// Makes the dialog of a success; false when the answer cannot make one.
    fn leg_enter_dialog(&mut self, id: LegId, message: &Message<'_>) -> bool {
        let tag = message.to().ok().and_then(|to| to.tag()).unwrap_or_default();
        let early = self.legs.get_mut(&id).and_then(|leg| leg.early.take());
        let known = early.and_then(|mut early| {
            let known = early.take(tag);
            self.early_over(id, &early);
            known
        });
        // Its numbers go on where the PRACKs left them.
        let known = known.and_then(|mut known| known.confirm(message).is_ok().then_some(known));
        let fresh = || Dialog::uac(message, tag_of_from(message)).ok();
        let Some(dialog) = known.or_else(fresh) else { return false };
        self.leg_index(id, &dialog);
        if let Some(leg) = self.legs.get_mut(&id) {
            leg.dialog = Some(Box::new(dialog));
        }
        true
    }

    /// What the far end gives as its reason goes before the event that it explains.
    ///
    /// Spec: RFC 3326
    pub(crate) fn tell_reason(&mut self, owner: SessionId, id: LegId, message: &Message<'_>) {
        if let Some(value) = message.first(Name::Reason) {
            let value = String::from_utf8_lossy(&sip::write::unfold(value)).into_owned();
            self.tell(owner, id, LegEvent::Reason { value });
        }
    }

    pub(crate) fn leg_index(&mut self, id: LegId, dialog: &Dialog) {
        let key = self.dialog_key(dialog.call_id(), dialog.local_tag(), dialog.remote_tag());
        self.dialogs.insert(key, id);
    }

    /// A 2xx to an INVITE that was answered already: the same one again, or another branch downstream.
    fn leg_success_again(&mut self, id: LegId, transaction: u64, message: &Message<'_>) {
        let Some(leg) = self.legs.get(&id) else { return };
        let tag = message.to().ok().and_then(|to| to.tag()).unwrap_or_default();
        let same = leg.dialog.as_ref().is_some_and(|dialog| dialog.remote_tag() == tag);
        let cseq = message.cseq().map_or(1, |cseq| cseq.number);
        if !same {
            self.leg_stray_success(id, transaction, message);
        } else if !matches!(leg.phase, Phase::Accepted { .. }) {
            self.leg_send_ack(id, cseq, None); // Our ACK was lost.
        }
    }

    /// A success that nobody wants any more: acknowledged and ended at once (RFC 3261 §13.2.2.4).
    fn leg_stray_success(&mut self, id: LegId, transaction: u64, message: &Message<'_>) {
        if message.status().is_none_or(|status| status / 100 != 2) {
            return;
        }
        let Ok(mut dialog) = Dialog::uac(message, tag_of_from(message)) else { return };
        let tag = self.keys.slots.hash_bytes(dialog.remote_tag());
        let Some(entry) = self.transactions.clients.get_mut(transaction) else { return };
        let (flow, again) = (entry.flow, entry.strays.contains(&tag));
        if !again {
            if entry.strays.len() >= STRAYS_MAX {
                return;
            }
            entry.strays.push(tag);
        }
        let cseq = message.cseq().map_or(1, |cseq| cseq.number);
        let via = self.via(flow, id.slot(), u64::from(cseq) << 32 | 0xffff_ffff);
        let mut ack = Vec::new();
        dialog.ack(cseq, &mut ack, &via).end();
        if let Some(call) = self.legs.get(&id).map(|leg| leg.call) {
            self.note(call, Lane::SipOut, Some(flow), &ack);
        }
        self.send(flow, &ack, self.after);
        if again {
            return; // The BYE repeats itself.
        }
        self.request(flow, id.slot(), None, false, |via| {
            let mut out = Vec::new();
            dialog.request(Method::Bye, &mut out, via).end();
            out
        });
    }

    /// No answer at all came to a request of this leg.
    pub(crate) fn leg_unanswered(&mut self, id: LegId, transaction: u64, status: u16) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let owner = leg.owner;
        if leg.asked.iter().any(|asked| asked.transaction == transaction) {
            self.leg_asked(id, transaction, status, None);
            return;
        }
        match (&leg.phase, &leg.change) {
            (Phase::Calling { transaction: ours, cancel, .. }, _) if *ours == transaction => {
                let ending = *cancel != Cancel::No;
                self.leg_gone(id);
                if !ending {
                    let phrase = sip::reason_phrase(status).to_owned();
                    self.tell(owner, id, LegEvent::Failed { status, phrase });
                }
            }
            (phase, Change::Outgoing { transaction: ours, .. }) if *ours == transaction => {
                let established = phase.is_established();
                leg.change = Change::Idle;
                self.tell(owner, id, LegEvent::ChangeAnswered { status, sdp: None });
                if !established {
                    return; // The INVITE has an end of its own.
                }
                // Without any answer nobody is there (RFC 3261 §14.1, §12.2.1.2).
                self.tell(owner, id, LegEvent::Ended { why: "timeout".into() });
                self.leg_bye(id, &[]);
            }
            (_, _) => (),
        }
    }

    pub(crate) fn leg_timer(&mut self, id: LegId) {
        if let Some(leg) = self.legs.get_mut(&id) {
            leg.armed = None;
            self.leg_due(id);
            self.leg_arm(id);
        }
    }

    fn leg_due(&mut self, id: LegId) {
        let now = self.clock.now;
        let Some(leg) = self.legs.get(&id) else { return };
        if leg.early.is_some() {
            self.leg_sent_again(id);
            self.early_timer(id);
        }
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let flow = leg.flow;
        match &leg.change {
            Change::Outgoing { transaction, until, offer } if *until <= now => {
                let (transaction, own) = (*transaction, offer.own);
                leg.change = Change::Idle;
                let owner = leg.owner;
                self.change_given_up(flow, transaction);
                if own {
                    self.refreshed(id, 504, None);
                } else {
                    self.tell(owner, id, LegEvent::ChangeAnswered { status: 504, sdp: None });
                }
                return;
            }
            Change::Glared { at, .. } if *at <= now => {
                self.leg_change_again(id);
                return;
            }
            Change::Accepted { .. }
            | Change::Answered { .. }
            | Change::Glared { .. }
            | Change::Idle
            | Change::Incoming { .. }
            | Change::Outgoing { .. } => (),
        }
        let in_change = matches!(leg.change, Change::Answered { .. });
        let retransmit = match (&mut leg.phase, &mut leg.change) {
            (_, Change::Answered { retransmit })
            | (Phase::Answered { retransmit, .. } | Phase::Ending { retransmit }, _) => retransmit,
            (Phase::Calling { since, cancel, .. }, _) => {
                if matches!(cancel, Cancel::Sent { at, .. } if *at <= now) {
                    self.leg_cancel(id, &[]);
                } else if now >= *since + crate::leg::RING_MAX && *cancel == Cancel::No {
                    let owner = leg.owner;
                    self.leg_end(id, 408, &[]);
                    let event = LegEvent::Failed { status: 408, phrase: "Request Timeout".into() };
                    self.tell(owner, id, event);
                }
                return;
            }
            (_, _) => return,
        };
        retransmit.handle(AnswerEvent::Deadline, now);
        match retransmit.poll() {
            Some(AnswerAction::Transmit) => {
                let bytes = retransmit.message().to_vec();
                let call = leg.call;
                self.note(call, Lane::SipOut, Some(flow), &bytes);
                self.send(flow, &bytes, None);
            }
            Some(AnswerAction::TimedOut) => {
                if matches!(leg.phase, Phase::Answered { restored: true, .. }) && !in_change {
                    // Its ACK came before the restart, and it does not hear old answers any more.
                    leg.phase = Phase::Established;
                    return;
                }
                let (owner, ending) = (leg.owner, matches!(leg.phase, Phase::Ending { .. }));
                if in_change {
                    leg.change = Change::Idle;
                }
                self.leg_bye(id, &[]);
                if !ending {
                    self.tell(owner, id, LegEvent::Ended { why: "no ack".into() });
                }
            }
            Some(AnswerAction::Acked) | None => (),
        }
    }

    pub(crate) fn leg_arm(&mut self, id: LegId) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        if let Some(at) = leg.deadline()
            && leg.armed.is_none_or(|armed| at < armed)
        {
            leg.armed = Some(at);
            self.timers.push(at, Reason::Leg(id));
        }
    }

    /// Forgets a leg.
    pub(crate) fn leg_gone(&mut self, id: LegId) {
        let Some(leg) = self.legs.remove(&id) else { return };
        // What still waits gets its answer (RFC 3261 §15.1.2).
        if let Change::Incoming { request, .. } = leg.change {
            self.answer_plainly(request, 487, &[]);
        }
        for request in &leg.passed {
            self.answer_plainly(*request, 481, &[]);
        }
        if let Some(watch) = leg.watch {
            self.watches.remove(&(watch.next, id));
        }
        if let Some(early) = &leg.early {
            self.early_over(id, early);
        }
        if let Change::Outgoing { transaction, .. } = leg.change {
            self.change_given_up(leg.flow, transaction);
        }
        if let Some(dialog) = &leg.dialog {
            let key = self.dialog_key(dialog.call_id(), dialog.local_tag(), dialog.remote_tag());
            if self.dialogs.get(&key) == Some(&id) {
                self.dialogs.remove(&key);
            }
        }
        if let Some(entry) = self.sessions.get_mut(&leg.owner) {
            entry.legs.retain(|known| *known != id);
        }
        if leg.apart {
            self.forget_leg(id);
        }
    }

    /// Answers a request without a leg's help.
    pub(crate) fn answer_plainly(
        &mut self,
        request: RequestId,
        status: u16,
        headers: &[(&str, &str)],
    ) {
        let mut out = self.draft();
        let Some(entry) = self.transactions.servers.get(request.0) else { return };
        let Some(message) = entry.request.message() else { return };
        let mut writer = sip::write::response_to(
            &mut out,
            &message,
            status,
            None,
            Some(&entry.tag.0),
            Some(entry.flow.remote),
        );
        writer.header(Name::Server, SERVER);
        for (name, value) in headers {
            writer.raw_header(name.as_bytes(), value);
        }
        writer.end();
        self.respond(request.0, status, out);
    }
}

/// The tag of From: on answers to our requests it is ours.
fn tag_of_from<'a>(message: &Message<'a>) -> &'a [u8] {
    message.from().ok().and_then(|from| from.tag()).unwrap_or_default()
}

/// The description in a message; other bodies are not looked at.
pub(crate) fn description(message: &Message<'_>) -> Option<Vec<u8>> {
    let body = message.body();
    let kind = message.content_type().unwrap_or_default();
    let kind = kind.split(|octet| *octet == b';').next().unwrap_or_default().trim_ascii();
    (!body.is_empty() && kind.eq_ignore_ascii_case(SDP.as_bytes())).then(|| body.to_vec())
}

fn extra(writer: &mut Writer<'_>, headers: &[(String, String)]) {
    for (name, value) in headers {
        writer.raw_header(name.as_bytes(), value);
    }
}

pub(crate) fn finish(writer: &mut Writer<'_>, sdp: Option<&[u8]>) {
    match sdp {
        Some(sdp) => writer.body(SDP, sdp),
        None => writer.end(),
    }
}
