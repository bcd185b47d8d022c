//! What legs hear in their dialogs: requests, ACK, CANCEL. The states stand in [`leg`](crate::leg).

use sip::transaction::server_invite::AnswerEvent;
use sip::{Message, Method};
use types::{Flow, LegId};

use crate::core::Core;
use crate::leg::{Change, LegEvent, Phase};
use crate::leg_run::{ALLOW, SDP, SUPPORTED, description};
use crate::service::RequestId;

impl Core {
    /// A request inside of this leg's dialog. `request`: its transaction; `way`: where its peer is reached now.
    pub(crate) fn leg_request(
        &mut self,
        id: LegId,
        request: RequestId,
        way: Flow,
        message: &Message<'_>,
    ) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let Some(dialog) = leg.dialog_mut(message) else { return };
        if let Err(verdict) = dialog.accept(message) {
            self.answer_plainly(request, verdict.status(), &[]);
            return;
        }
        if matches!(leg.phase, Phase::Answered { restored: true, .. }) {
            leg.phase = Phase::Established; // Who speaks in the dialog has our answer.
        }
        match message.method() {
            // Only the caller may end what is not answered this way (RFC 3261 §15).
            Method::Bye if matches!(leg.phase, Phase::Calling { .. }) => {
                self.answer_plainly(request, 481, &[]);
            }
            Method::Bye => {
                let (owner, ending) = (leg.owner, matches!(leg.phase, Phase::Ending { .. }));
                // A re-INVITE or INVITE that still waits gets its answer (RFC 3261 §15.1.2).
                if let Change::Incoming { request: waiting, .. } = leg.change {
                    self.answer_plainly(waiting, 487, &[]);
                }
                if let Some(Phase::Incoming { request: waiting }) =
                    self.legs.get(&id).map(|leg| &leg.phase)
                {
                    let waiting = *waiting;
                    self.answer_plainly(waiting, 487, &[]);
                }
                self.answer_plainly(request, 200, &[]);
                self.leg_gone(id);
                if !ending {
                    self.tell_reason(owner, id, message);
                    self.tell(owner, id, LegEvent::Ended { why: "bye".into() });
                }
            }
            Method::Info | Method::Message | Method::Refer => {
                self.leg_passed(id, request, message);
            }
            Method::Invite if matches!(leg.phase, Phase::Calling { .. }) => {
                self.answer_plainly(request, 491, &[]);
            }
            Method::Invite => {
                leg.flow = way; // A phone that changed networks says so by its re-INVITE.
                self.leg_reinvited(id, request, message);
            }
            // What a REFER of ours came to (RFC 3515 §2.4.4).
            Method::Notify if leg.refers => self.leg_passed(id, request, message),
            // We ask for no other subscription inside of a call (RFC 6665 §4.1.3).
            Method::Notify => self.answer_plainly(request, 481, &[]),
            Method::Options => {
                let headers = [("Accept", SDP), ("Allow", ALLOW), ("Supported", SUPPORTED)];
                self.answer_plainly(request, 200, &headers);
            }
            Method::Prack => self.leg_pracked(id, request, message),
            Method::Update => self.leg_updated(id, request, message),
            Method::Ack
            | Method::Cancel
            | Method::Publish
            | Method::Register
            | Method::Subscribe => self.answer_plainly(request, 405, &[("Allow", ALLOW)]),
            Method::Other(_) => self.answer_plainly(request, 501, &[("Allow", ALLOW)]),
        }
        self.leg_arm(id);
    }

    /// An ACK for a success of ours.
    pub(crate) fn leg_ack(&mut self, id: LegId, ack: &Message<'_>) {
        let now = self.clock.now;
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let owner = leg.owner;
        let sdp = description(ack);
        if let Change::Answered { retransmit } = &mut leg.change {
            retransmit.handle(AnswerEvent::Ack, now);
            leg.change = Change::Idle;
            self.tell(owner, id, LegEvent::Confirmed { sdp });
            return;
        }
        match &mut leg.phase {
            Phase::Answered { retransmit, .. } => {
                retransmit.handle(AnswerEvent::Ack, now);
                leg.phase = Phase::Established;
                leg.early = None;
                if sdp.is_some() {
                    leg.sdp.clone_from(&sdp);
                }
                self.tell(owner, id, LegEvent::Confirmed { sdp });
            }
            Phase::Ending { .. } => self.leg_bye(id, &[]),
            Phase::Accepted { .. }
            | Phase::Calling { .. }
            | Phase::Established
            | Phase::Incoming { .. } => (), // Repeated.
        }
    }

    /// The caller gives up.
    pub(crate) fn leg_cancelled(&mut self, id: LegId, message: &Message<'_>) {
        let Some(leg) = self.legs.get(&id) else { return };
        let Phase::Incoming { request } = leg.phase else { return };
        let owner = leg.owner;
        self.answer_plainly(request, 487, &[]);
        self.leg_gone(id);
        self.tell_reason(owner, id, message);
        self.tell(owner, id, LegEvent::Cancelled);
    }
}
