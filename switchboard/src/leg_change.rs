//! What a leg does about re-INVITEs, ours and theirs. The states stand in [`leg`](crate::leg).

use sip::transaction::{AnswerRetransmit, client_invite};
use sip::{Framing, Message, Method, Name};
use types::{Flow, LegId};

use crate::core::Core;
use crate::leg::{Change, LegEvent, Phase};
use crate::leg_run::{ALLOW, SERVER, description, finish};
use crate::service::RequestId;
use crate::store::Durability;
use crate::transactions::ClientMachine;

impl Core {
    pub(crate) fn leg_answer_change(&mut self, id: LegId, status: u16, sdp: Option<Vec<u8>>) {
        let Some(leg) = self.legs.get(&id) else { return };
        let Change::Incoming { request } = leg.change else { return };
        let Some(bytes) = self.leg_response(id, request, status, sdp.as_deref(), &[]) else {
            return;
        };
        let (timers, now) = (self.config.timers, self.clock.now);
        if let Some(leg) = self.legs.get_mut(&id) {
            leg.change = if status < 300 {
                let retransmit = AnswerRetransmit::new(bytes.clone(), timers, now);
                Change::Answered { retransmit }
            } else {
                Change::Idle
            };
        }
        self.respond(request.0, status, bytes);
    }

    /// Sends a re-INVITE, unless one is under way: then the owner hears 491 at once.
    pub(crate) fn leg_change(&mut self, id: LegId, sdp: Option<Vec<u8>>) {
        let Some(leg) = self.legs.get(&id) else { return };
        let idle = matches!(leg.change, Change::Idle)
            && matches!(leg.phase, Phase::Established)
            && leg.dialog.is_some();
        if !idle {
            let owner = leg.owner;
            self.tell(owner, id, LegEvent::ChangeAnswered { status: 491, sdp: None });
            return;
        }
        let contact = self.contact(leg.flow);
        let flow = leg.flow;
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let Some(mut dialog) = leg.dialog.take() else { return };
        let (new_block, owner, apart) = (dialog.reserve(), leg.owner, leg.apart);
        let transaction = self.request(flow, id.slot(), Some(id), true, |via| {
            let mut out = Vec::with_capacity(800);
            let mut writer = dialog.request(Method::Invite, &mut out, via);
            writer.header(Name::Contact, &contact).header(Name::Allow, ALLOW);
            writer.header(Name::UserAgent, SERVER);
            finish(&mut writer, sdp.as_deref());
            out
        });
        let until = self.clock.now + crate::leg::CHANGE_MAX;
        if let Some(leg) = self.legs.get_mut(&id) {
            leg.dialog = Some(dialog);
            leg.change = Change::Outgoing { offered: sdp.is_some(), transaction, until };
        }
        // The shell writes the log before it sends, so the new block of CSeq numbers is known in time.
        match (new_block, apart) {
            (true, true) => self.save_leg(id),
            (true, false) => self.save_session(owner, Durability::Written),
            (false, _) => (),
        }
    }

    pub(crate) fn leg_change_answered(&mut self, id: LegId, status: u16, message: &Message<'_>) {
        if status < 200 {
            return;
        }
        let sdp = description(message);
        let cseq = message.cseq().map_or(1, |cseq| cseq.number);
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let owner = leg.owner;
        let Change::Outgoing { offered, .. } = leg.change else { return };
        leg.change = Change::Idle;
        if status < 300 {
            leg.sdp.clone_from(&sdp);
            if let Some(dialog) = &mut leg.dialog {
                dialog.refresh_target(message);
            }
            if offered {
                self.leg_send_ack(id, cseq, None);
            } else {
                leg.change = Change::Accepted { cseq };
            }
        }
        self.tell(owner, id, LegEvent::ChangeAnswered { status, sdp });
        // RFC 3261 §12.2.1.2: these say that the dialog is gone at the other side.
        if matches!(status, 408 | 481) {
            self.tell(owner, id, LegEvent::Ended { why: "gone".into() });
            self.leg_bye(id, &[]);
        }
    }

    pub(crate) fn leg_reinvited(&mut self, id: LegId, request: RequestId, message: &Message<'_>) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let owner = leg.owner;
        match (&leg.phase, &leg.change) {
            (Phase::Established, Change::Idle) => {
                leg.change = Change::Incoming { request };
                let sdp = description(message);
                leg.sdp.clone_from(&sdp);
                if let Some(dialog) = &mut leg.dialog {
                    dialog.refresh_target(message);
                }
                self.tell(owner, id, LegEvent::Changed { sdp });
            }
            // Both sides changed at once (RFC 3261 §14.2).
            (Phase::Established, Change::Outgoing { .. } | Change::Accepted { .. }) => {
                self.answer_plainly(request, 491, &[]);
            }
            (_, _) => self.answer_plainly(request, 500, &[("Retry-After", "2")]),
        }
    }

    /// A re-INVITE of ours that nobody waits for any more: the other side is told, and it ends by itself.
    pub(crate) fn change_given_up(&mut self, flow: Flow, transaction: u64) {
        let now = self.clock.now;
        let Some(entry) = self.transactions.clients.get_mut(transaction) else { return };
        let ClientMachine::Invite(machine) = &mut entry.machine else { return };
        let mut cancel = Vec::new();
        if machine.is_cancellable()
            && let Ok(invite) = Message::decode(machine.message(), Framing::Datagram)
        {
            // What lacks a header gets an empty CANCEL, which is not sent.
            let _ = sip::transaction::cancel_for(&invite, None, &mut cancel);
        }
        machine.handle(client_invite::Event::Cancelled, now);
        self.drive_client(transaction, None);
        if !cancel.is_empty() {
            self.send(flow, &cancel, self.after);
        }
    }
}
