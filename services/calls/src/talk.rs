//! Talking and ending: what the two legs of a call say to each other.

use media::Side;
use switchboard::leg::{LegCommand, LegEvent};
use switchboard::store::Durability;
use switchboard::{Effects, Passed, RequestId};
use types::{LegId, SessionId};

use crate::call::State;
use crate::transfer::Moving;
use crate::{End, Room, lamps};

/// Candidates that a browser found after it described itself.
///
/// Spec: RFC 8840 §4.3
fn is_trickle(passed: &Passed) -> bool {
    passed.method == "INFO"
        && passed.content_type.eq_ignore_ascii_case("application/trickle-ice-sdpfrag")
}

impl Room {
    pub(crate) fn leg(
        &mut self,
        session: SessionId,
        leg: LegId,
        event: LegEvent,
        effects: &mut Effects<'_>,
    ) {
        if self.replacing.contains_key(&session) || self.arriving.contains_key(&session) {
            self.leg_between_calls(session, leg, event, effects);
            return;
        }
        let Some(call) = self.calls.get_mut(&session) else { return };
        if call.ring().is_some_and(|ring| ring.has(leg)) {
            self.branch(session, leg, event, effects);
            return;
        }
        if call.guests.iter().any(|guest| guest.leg == leg) {
            self.guest_leg(session, leg, event, effects);
            return;
        }
        if let LegEvent::Offered { version, waiting, sdp, note, .. } = event {
            if let Some(wish) = crate::guest::wish(&note) {
                self.guest_offered(session, leg, (version, waiting, sdp), wish, effects);
                return;
            }
            self.offered(session, leg, (version, waiting, sdp), &note, effects);
            return;
        }
        if matches!(call.moving.as_deref(), Some(Moving::Joining(joining)) if joining.waits_for(leg))
        {
            self.newcomer(session, event, effects);
            return;
        }
        let Some(side) = call.side(leg) else { return };
        match event {
            LegEvent::Cancelled => {
                self.finish(session, End::failed(487, "cancelled", "caller"), effects);
            }
            LegEvent::Changed { sdp } => self.changed(session, side, sdp, effects),
            LegEvent::ChangeAnswered { status, sdp } => {
                self.change_answered(session, side, status, sdp, effects);
            }
            LegEvent::Confirmed { sdp } => self.confirmed(session, side, sdp, effects),
            LegEvent::Declined { .. } => self.declined(session, effects),
            LegEvent::Ended { why } => self.ended(session, side, &why, effects),
            LegEvent::Failed { status, .. } => {
                self.finish(session, End::failed(status, "failed", "server"), effects);
            }
            LegEvent::Handed { .. } => self.handed(session, side, effects),
            LegEvent::Reason { value } => call.reason = Some(value),
            LegEvent::Request { request, passed } => {
                self.request(session, side, request, passed, effects);
            }
            LegEvent::Response(response) => self.response(session, side, response, effects),
            LegEvent::Answered { .. }
            | LegEvent::Offered { .. }
            | LegEvent::Provisional { .. }
            | LegEvent::Restored => (),
        }
    }

    /// Something that one side asks: the other answers, but for what is ours to do.
    pub(crate) fn request(
        &mut self,
        session: SessionId,
        side: Side,
        request: RequestId,
        passed: Box<Passed>,
        effects: &mut Effects<'_>,
    ) {
        let Some(call) = self.calls.get(&session) else { return };
        let Some(leg) = call.leg(side) else { return };
        if passed.method == "REFER" {
            self.refer(session, side, request, &passed, effects);
            return;
        }
        if is_trickle(&passed) {
            // Its path ends at us, and our lite end of it asks for no candidates.
            let response = Passed::status(200);
            effects.leg(session, leg, LegCommand::Respond { request, response });
            return;
        }
        match call.leg(side.other()) {
            Some(other) => effects.leg(session, other, LegCommand::Request(passed)),
            None => {
                let response = Passed::status(480);
                effects.leg(session, leg, LegCommand::Respond { request, response });
            }
        }
    }

    /// The answer of one side to what the other asked.
    pub(crate) fn response(
        &mut self,
        session: SessionId,
        side: Side,
        mut response: Box<Passed>,
        effects: &mut Effects<'_>,
    ) {
        // NOTIFYs of ours have no number: nobody waits for their answer.
        let Some(number) = Some(response.number).filter(|number| *number != 0) else { return };
        let asker = self.calls.get(&session).and_then(|call| call.leg(side.other()));
        let Some(asker) = asker else { return };
        if matches!(response.status, 401 | 407) {
            response.status = 500; // The challenge is ours, and we have no answer.
        }
        let request = RequestId::from_number(number);
        effects.leg(session, asker, LegCommand::Respond { request, response });
    }

    fn ended(&mut self, session: SessionId, side: Side, why: &str, effects: &mut Effects<'_>) {
        let by = match (side, why) {
            (Side::A, "bye") => "caller",
            (Side::B, "bye") => "callee",
            (_, _) => "server",
        };
        if self.left_by_mover(session, side) {
            return;
        }
        let Some(call) = self.calls.get(&session) else { return };
        let end = match why {
            _ if call.facts.answered.is_some() => End::failed(200, "answered", by),
            // What its caller has heard by now (RFC 3262 §3).
            "no prack" => End::failed(504, "failed", by),
            _ => End::failed(487, "cancelled", by),
        };
        self.finish(session, end, effects);
    }

    /// The ACK or PRACK of a side came; with a description it answers an offer of the other side.
    fn confirmed(
        &mut self,
        session: SessionId,
        side: Side,
        sdp: Option<Vec<u8>>,
        effects: &mut Effects<'_>,
    ) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        if let (State::Ringing(_), Some(early)) = (&call.state, &mut call.early) {
            early.told = true;
        }
        if let Some(Moving::Retelling { sdp }) = call.moving.as_deref().filter(|_| side == Side::A)
        {
            let command = LegCommand::Change { sdp: Some(sdp.clone()) };
            effects.leg(session, call.a, command);
            call.moving = None;
        }
        if call.late != Some(side) {
            return;
        }
        call.late = None;
        let Some(other) = call.leg(side.other()) else { return };
        let answer = sdp.and_then(|sdp| call.pair.answer(side, &sdp, effects).ok());
        if answer.is_none() {
            call.pair.rollback(effects);
        }
        effects.leg(session, other, LegCommand::Ack { sdp: answer });
        effects.save(session, call.encode(), Durability::Written);
    }

    pub(crate) fn changed(
        &mut self,
        session: SessionId,
        side: Side,
        sdp: Option<Vec<u8>>,
        effects: &mut Effects<'_>,
    ) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        let (Some(leg), other) = (call.leg(side), call.leg(side.other())) else { return };
        let refuse = |status, effects: &mut Effects<'_>| {
            effects.leg(session, leg, LegCommand::AnswerChange { status, sdp: None });
        };
        let Some(other) = other else {
            refuse(488, effects);
            return;
        };
        if call.changing.is_some() || call.late.is_some() || call.moving.is_some() {
            refuse(491, effects);
            return;
        }
        let offer = match sdp.as_deref().map(|sdp| call.pair.offer(side, sdp, effects)) {
            Some(Ok(offer)) => Some(offer),
            Some(Err(_)) => {
                call.pair.rollback(effects);
                refuse(488, effects);
                return;
            }
            None => {
                call.late = Some(side);
                None
            }
        };
        call.changing = Some(side);
        effects.leg(session, other, LegCommand::Change { sdp: offer });
    }

    /// The other side answered a change.
    pub(crate) fn change_answered(
        &mut self,
        session: SessionId,
        side: Side,
        status: u16,
        sdp: Option<Vec<u8>>,
        effects: &mut Effects<'_>,
    ) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        if matches!(call.moving.as_deref(), Some(Moving::Joining(_))) {
            self.joined(session, status, sdp, effects);
            return;
        }
        let Some(asker) = call.changing.take() else { return };
        if asker == side {
            return;
        }
        let Some(leg) = call.leg(asker) else { return };
        let passed = match (&sdp, call.late, status) {
            (Some(sdp), None, 200..=299) => call.pair.answer(side, sdp, effects).ok(),
            (Some(sdp), Some(_), 200..=299) => call.pair.offer(side, sdp, effects).ok(),
            (_, _, _) => None,
        };
        let status = if passed.is_some() { 200 } else { status.max(400) };
        if passed.is_none() {
            call.late = None;
            call.pair.rollback(effects);
        }
        effects.leg(session, leg, LegCommand::AnswerChange { status, sdp: passed });
        effects.save(session, call.encode(), Durability::Written);
    }

    /// Ends whatever is left of a call, and leaves its record.
    pub(crate) fn finish(&mut self, session: SessionId, end: End, effects: &mut Effects<'_>) {
        let Some(mut call) = self.calls.remove(&session) else { return };
        self.stop_moving(session, &mut call, effects);
        let reason = call.reason.take();
        let headers: Vec<_> =
            reason.iter().map(|value| ("Reason".to_owned(), value.clone())).collect();
        match &mut call.state {
            State::Ringing(ring) | State::TalkingAhead(ring) => {
                self.unindex(ring);
                ring.cancel_because(reason, effects);
                lamps(ring, &call.facts, effects);
            }
            State::Talking { b } => {
                let command = LegCommand::End { status: 487, headers: headers.clone() };
                effects.leg(session, *b, command);
            }
        }
        effects.leg(session, call.a, LegCommand::End { status: end.status, headers });
        call.end_guests(session, effects);
        call.stop_tape(effects);
        call.facts.sum_up(effects);
        call.pair.close(effects);
        call.facts.ended = Some(effects.unix());
        call.show(session, effects);
        call.facts.status = if call.facts.answered.is_some() { 200 } else { end.status };
        let outcome = if call.facts.answered.is_some() { "answered" } else { end.outcome };
        call.facts.outcome = outcome.to_owned();
        call.facts.hung_up_by = end.by.to_owned();
        self.leave_record(session, call, effects);
    }
}
