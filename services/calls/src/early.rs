//! What the caller hears before the answer.

use media::Side;
use switchboard::leg::{LegCommand, LegEvent};
use switchboard::store::Durability;
use switchboard::{Effects, Passed};
use types::{LegId, SessionId};

use crate::Room;
use crate::call::{Early, State};

impl Room {
    /// A phone that rings, for this call or for a transfer of it.
    pub(crate) fn branch(
        &mut self,
        session: SessionId,
        leg: LegId,
        event: LegEvent,
        effects: &mut Effects<'_>,
    ) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        let settled = call.early_leg() == Some(leg);
        let event = match event {
            LegEvent::Changed { sdp } if settled => {
                self.changed(session, Side::B, sdp, effects);
                return;
            }
            LegEvent::ChangeAnswered { status, sdp } if settled => {
                self.change_answered(session, Side::B, status, sdp, effects);
                return;
            }
            LegEvent::Changed { .. } => {
                // Its media is not what the caller hears.
                let refuse = LegCommand::AnswerChange { status: 488, sdp: None };
                effects.leg(session, leg, refuse);
                return;
            }
            LegEvent::Request { request, passed } if settled => {
                self.request(session, Side::B, request, passed, effects);
                return;
            }
            LegEvent::Request { request, .. } => {
                let response = Passed::status(480);
                effects.leg(session, leg, LegCommand::Respond { request, response });
                return;
            }
            LegEvent::Response(response) => {
                self.response(session, Side::B, response, effects);
                return;
            }
            LegEvent::Provisional { status, sdp } => {
                // Of several phones the caller hears the one that spoke first: he has one dialog with us.
                let heard = match (&mut call.early, &call.state) {
                    (Some(early), State::Ringing(_)) => early.leg == leg,
                    (early @ None, State::Ringing(_)) if sdp.is_some() => {
                        *early = Some(Box::new(Early { leg, answer: None, told: false }));
                        true
                    }
                    (_, _) => false,
                };
                LegEvent::Provisional { status, sdp: sdp.filter(|_| heard) }
            }
            event @ (LegEvent::Answered { .. }
            | LegEvent::Cancelled
            | LegEvent::ChangeAnswered { .. }
            | LegEvent::Confirmed { .. }
            | LegEvent::Declined { .. }
            | LegEvent::Ended { .. }
            | LegEvent::Failed { .. }
            | LegEvent::Handed { .. }
            | LegEvent::Offered { .. }
            | LegEvent::Reason { .. }
            | LegEvent::Restored) => event,
        };
        self.ringing(session, effects, |ring, effects| ring.leg(leg, event, effects));
    }

    /// The caller may hear something.
    pub(crate) fn progress(
        &mut self,
        session: SessionId,
        status: u16,
        sdp: Option<Vec<u8>>,
        why: Option<&'static str>,
        effects: &mut Effects<'_>,
    ) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        if !matches!(call.state, State::Ringing(_)) {
            return;
        }
        if let Some(early) = &call.early {
            call.pair.speaks(Side::B, early.leg);
        }
        let sdp = match (sdp, call.late) {
            (Some(sdp), None) => {
                let answer = call.pair.answer(Side::B, &sdp, effects).ok();
                if let Some(early) = &mut call.early {
                    early.answer.clone_from(&answer);
                }
                answer
            }
            // An offer that the caller can answer before the call is: with his PRACK.
            (Some(sdp), Some(_)) => call.pair.offer(Side::B, &sdp, effects).ok(),
            (None, _) => None,
        };
        let first = call.facts.rang.is_none();
        if first {
            call.facts.rang = Some(effects.unix());
            effects.save(session, call.encode(), Durability::Written);
        }
        let headers = why.map_or_else(Vec::new, |why| {
            vec![("Reason".to_owned(), format!("SIP;cause={status};text=\"{why}\""))]
        });
        effects.leg(session, call.a, LegCommand::Ring { status, sdp, headers });
    }
}
