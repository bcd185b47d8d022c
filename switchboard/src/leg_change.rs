//! What a leg does about changes of its session, ours and theirs: re-INVITE, and UPDATE where there is no answer yet.
//! The states stand in [`leg`](crate::leg).

use std::time::Duration;

use sip::transaction::{AnswerRetransmit, client_invite};
use sip::{Framing, Message, Method, Name};
use types::{Flow, LegId};

use crate::core::Core;
use crate::leg::{Change, GLARE_MAX, Leg, LegEvent, Offered, Phase};
use crate::leg_run::{ALLOW, SERVER, description, finish};
use crate::leg_watch::{keeps_said, refreshing, terms};
use crate::service::RequestId;
use crate::transactions::ClientMachine;

/// The longest that the far end is asked to wait after two offers of its own met.
///
/// Spec: RFC 3311 §5.2
const RETRY_AFTER_MAX: u64 = 10;

/// How an offer of ours can reach the far end now.
enum Way {
    Invite,
    None,
    Update,
}

fn way(leg: &Leg) -> Way {
    match leg.phase {
        Phase::Established if leg.dialog.is_some() => Way::Invite,
        Phase::Incoming { .. } | Phase::Calling { .. } if leg.agreed_early() && leg.updates => {
            Way::Update
        }
        Phase::Accepted { .. }
        | Phase::Answered { .. }
        | Phase::Calling { .. }
        | Phase::Ending { .. }
        | Phase::Established
        | Phase::Incoming { .. } => Way::None,
    }
}

/// Ours.
impl Core {
    /// Offers a change: by re-INVITE, or by UPDATE in a dialog that is not answered. When one is under way, or none
    /// can be made, the owner hears 491 or 488 at once.
    pub(crate) fn leg_change(&mut self, id: LegId, sdp: Option<Vec<u8>>) {
        let Some(leg) = self.legs.get(&id) else { return };
        let owner = leg.owner;
        let status = match (way(leg), &leg.change) {
            (Way::Invite, Change::Idle) => {
                self.leg_reinvite(id, Offered { sdp, tries: 0, own: false });
                return;
            }
            (Way::Update, Change::Idle) if sdp.is_some() => {
                self.leg_update(id, Offered { sdp, tries: 0, own: false });
                return;
            }
            (Way::None | Way::Update, Change::Idle)
                if !matches!(leg.phase, Phase::Answered { .. }) =>
            {
                488
            }
            (_, _) => 491,
        };
        self.tell(owner, id, LegEvent::ChangeAnswered { status, sdp: None });
    }

    pub(crate) fn leg_reinvite(&mut self, id: LegId, offer: Offered) {
        let Some(leg) = self.legs.get(&id) else { return };
        let contact = self.contact(leg.flow);
        let watch = leg.watch;
        let sdp = offer.sdp.as_deref();
        let Some(mut dialog) = self.legs.get_mut(&id).and_then(|leg| leg.dialog.take()) else {
            return;
        };
        let Some(flow) = self.legs.get(&id).map(|leg| leg.flow) else { return };
        let new_block = dialog.reserve();
        let transaction = self.request(flow, id.slot(), Some(id), true, |via| {
            let mut out = Vec::with_capacity(800);
            let mut writer = dialog.request(Method::Invite, &mut out, via);
            writer.header(Name::Contact, &contact).header(Name::Allow, ALLOW);
            if let Some(watch) = &watch {
                refreshing(&mut writer, watch);
            }
            writer.header(Name::UserAgent, SERVER);
            finish(&mut writer, sdp);
            out
        });
        if let Some(leg) = self.legs.get_mut(&id) {
            leg.dialog = Some(dialog);
        }
        self.leg_offered(id, transaction, offer);
        // The shell writes the log before it sends, so the new block of CSeq numbers is known in time.
        if new_block {
            self.leg_keep(id);
        }
    }

    /// Spec: RFC 3311 §5.1
    fn leg_update(&mut self, id: LegId, offer: Offered) {
        let Some(leg) = self.legs.get(&id) else { return };
        let contact = self.contact(leg.flow);
        let sdp = offer.sdp.clone();
        let transaction = self.leg_in_dialog(id, Method::Update, |writer| {
            writer.header(Name::Contact, &contact).header(Name::Allow, ALLOW);
            writer.header(Name::UserAgent, SERVER);
            finish(writer, sdp.as_deref());
        });
        if let Some(transaction) = transaction {
            self.leg_offered(id, transaction, offer);
        }
    }

    fn leg_offered(&mut self, id: LegId, transaction: u64, offer: Offered) {
        let until = self.clock.now + crate::leg::CHANGE_MAX;
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let offer = Offered { tries: offer.tries + 1, ..offer };
        if keeps_said(leg) && offer.sdp.is_some() {
            leg.said = offer.sdp.clone().map(Vec::into_boxed_slice);
        }
        leg.change = Change::Outgoing { offer, transaction, until };
    }

    pub(crate) fn leg_change_answered(&mut self, id: LegId, status: u16, message: &Message<'_>) {
        if status < 200 {
            return;
        }
        let sdp = description(message);
        let cseq = message.cseq().map_or(1, |cseq| cseq.number);
        let invite = message.method() == Method::Invite;
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let owner = leg.owner;
        if !matches!(leg.change, Change::Outgoing { .. }) {
            return;
        }
        let Change::Outgoing { offer, .. } = std::mem::replace(&mut leg.change, Change::Idle)
        else {
            return;
        };
        let own = offer.own;
        if status == 491 && offer.tries < GLARE_MAX && !matches!(leg.phase, Phase::Ending { .. }) {
            self.leg_glared(id, offer);
            return;
        }
        if status < 300 {
            leg.sdp.clone_from(&sdp);
            if let Some(dialog) = leg.dialog.as_mut() {
                dialog.refresh_target(message);
            }
            if invite && offer.sdp.is_some() {
                self.leg_send_ack(id, cseq, None);
            } else if invite {
                leg.change = Change::Accepted { cseq };
            }
            if invite {
                self.watch_asked(id, message);
            }
        }
        if own && !matches!(status, 408 | 481) {
            self.refreshed(id, status, Some(message));
            return;
        }
        if !own {
            self.tell(owner, id, LegEvent::ChangeAnswered { status, sdp });
        }
        // RFC 3261 §12.2.1.2: these say that the dialog is gone at the other side.
        let established = self.legs.get(&id).is_some_and(|leg| leg.phase.is_established());
        if matches!(status, 408 | 481) && established {
            self.tell(owner, id, LegEvent::Ended { why: "gone".into() });
            self.leg_bye(id, &[]);
        }
    }

    /// Both sides changed at once: whoever made the Call-ID waits longer.
    ///
    /// Spec: RFC 3261 §14.1
    fn leg_glared(&mut self, id: LegId, offer: Offered) {
        self.count("switchboard.glare");
        let Some(leg) = self.legs.get(&id) else { return };
        // A Call-ID of ours begins with its slot; theirs may as well, and then both wait the longer time.
        let own = leg.dialog.as_ref().is_some_and(|dialog| is_own_call_id(dialog.call_id(), id));
        let steps = if own { 210 + self.rng.below(191) } else { self.rng.below(201) };
        let at = self.clock.now + Duration::from_millis(10 * steps);
        if let Some(leg) = self.legs.get_mut(&id) {
            leg.change = Change::Glared { at, offer };
        }
    }

    /// It is sent again.
    pub(crate) fn leg_change_again(&mut self, id: LegId) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let owner = leg.owner;
        let way = way(leg);
        let Change::Glared { offer, .. } = std::mem::replace(&mut leg.change, Change::Idle) else {
            return;
        };
        match way {
            Way::Invite => self.leg_reinvite(id, offer),
            Way::Update => self.leg_update(id, offer),
            Way::None => self.tell(owner, id, LegEvent::ChangeAnswered { status: 491, sdp: None }),
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

/// Whether we made this Call-ID, for a leg on this slot: [`Effects::call_id`](crate::Effects::call_id).
fn is_own_call_id(call_id: &[u8], leg: LegId) -> bool {
    call_id.len() == 36 && call_id.starts_with(format!("{:02x}", leg.slot().0).as_bytes())
}

/// Theirs.
impl Core {
    pub(crate) fn leg_answer_change(&mut self, id: LegId, status: u16, sdp: Option<Vec<u8>>) {
        let Some(leg) = self.legs.get(&id) else { return };
        let Change::Incoming { request, acked } = leg.change else { return };
        let Some(bytes) = self.leg_response(id, request, status, sdp.as_deref(), &[]) else {
            return;
        };
        let (timers, now) = (self.config.timers, self.clock.now);
        if status < 300 {
            self.refresh_answered(id, request);
        }
        if let Some(leg) = self.legs.get_mut(&id) {
            if status < 300 && keeps_said(leg) {
                leg.said = sdp.map(Vec::into_boxed_slice);
            }
            leg.change = if status < 300 && acked {
                let retransmit = AnswerRetransmit::new(bytes.clone(), timers, now);
                Change::Answered { retransmit }
            } else {
                Change::Idle
            };
        }
        self.respond(request.0, status, bytes);
    }

    /// A success to a request that refreshes the session: the terms are those that its answer names.
    fn refresh_answered(&mut self, id: LegId, request: RequestId) {
        if self.legs.get(&id).is_none_or(|leg| !leg.phase.is_established()) {
            return;
        }
        let Some(entry) = self.transactions.servers.get(request.0) else { return };
        let Some(message) = entry.request.message() else { return };
        if matches!(message.method(), Method::Invite | Method::Update) {
            let terms = terms(&message, self.session_expires);
            self.watch_answered(id, terms);
        }
    }

    pub(crate) fn leg_reinvited(&mut self, id: LegId, request: RequestId, message: &Message<'_>) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let owner = leg.owner;
        match (&leg.phase, &leg.change) {
            // One that collided waits for its next try; the owner decides what comes first.
            (Phase::Established, Change::Idle) => {
                leg.change = Change::Incoming { request, acked: true };
                let sdp = description(message);
                leg.sdp.clone_from(&sdp);
                if let Some(dialog) = &mut leg.dialog {
                    dialog.refresh_target(message);
                }
                self.tell(owner, id, LegEvent::Changed { sdp });
            }
            // Both sides changed at once (RFC 3261 §14.2).
            (
                Phase::Established,
                Change::Outgoing { .. } | Change::Accepted { .. } | Change::Glared { .. },
            ) => {
                self.answer_plainly(request, 491, &[]);
            }
            (_, _) => self.answer_plainly(request, 500, &[("Retry-After", "2")]),
        }
    }

    /// UPDATE: with an offer it changes the session, without one it refreshes target and timer.
    ///
    /// Spec: RFC 3311 §5.2
    pub(crate) fn leg_updated(&mut self, id: LegId, request: RequestId, message: &Message<'_>) {
        let sdp = description(message);
        let late = self.rng.below(RETRY_AFTER_MAX + 1).to_string();
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let owner = leg.owner;
        let settled = match leg.phase {
            Phase::Answered { .. } | Phase::Established => true,
            Phase::Calling { .. } | Phase::Incoming { .. } => leg.agreed_early(),
            Phase::Accepted { .. } | Phase::Ending { .. } => false,
        };
        match (&sdp, &leg.change) {
            (None, _) => {
                if let Some(dialog) = leg.dialog_mut(message) {
                    dialog.refresh_target(message);
                }
                if let Some(bytes) = self.leg_response(id, request, 200, None, &[]) {
                    self.refresh_answered(id, request);
                    self.respond(request.0, 200, bytes);
                }
            }
            (Some(_), Change::Idle) if settled => {
                if let Some(dialog) = leg.dialog_mut(message) {
                    dialog.refresh_target(message);
                }
                leg.change = Change::Incoming { request, acked: false };
                leg.sdp.clone_from(&sdp);
                self.tell(owner, id, LegEvent::Changed { sdp });
            }
            (
                Some(_),
                Change::Outgoing { .. } | Change::Accepted { .. } | Change::Glared { .. },
            ) => {
                self.answer_plainly(request, 491, &[]);
            }
            // An offer of theirs is not answered yet.
            (Some(_), Change::Idle | Change::Incoming { .. } | Change::Answered { .. }) => {
                self.answer_plainly(request, 500, &[("Retry-After", &late)]);
            }
        }
    }
}
