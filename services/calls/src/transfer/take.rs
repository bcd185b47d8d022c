//! A leg takes the place of another: from the side of the call that takes it.

use switchboard::ladder::Lane;
use switchboard::leg::{LegCommand, LegEvent};
use switchboard::pair::without_hold;
use switchboard::store::Durability;
use switchboard::{Effects, Passed};
use types::{CallId, LegId, SessionId, tagged};

use media::Side;

use super::{Joining, Moving, Then};
use crate::call::State;
use crate::{End, Room};

impl Room {
    /// A leg is offered to this call, to take somebody's place.
    pub(crate) fn offered(
        &mut self,
        session: SessionId,
        leg: LegId,
        (version, waiting, sdp): (u32, bool, Option<Vec<u8>>),
        note: &[u8],
        effects: &mut Effects<'_>,
    ) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        let (mut replaces, mut told) = (LegId::default(), &[][..]);
        for (tag, field) in tagged::Reader::new(note) {
            match tag {
                1 => replaces = LegId(field.number().unwrap_or(0)),
                2 => told = field.0,
                _ => (), // Of a newer version.
            }
        }
        let busy = call.moving.is_some() || call.changing.is_some() || call.late.is_some();
        let side =
            call.side(replaces).filter(|_| !busy && matches!(call.state, State::Talking { .. }));
        let stays = side.and_then(|side| call.leg(side.other()));
        let (Some(side), Some(stays), Some(sdp)) = (side, stays, sdp) else {
            effects.leg(session, leg, LegCommand::Decline { version });
            return;
        };
        let mut pair = call.pair.beside(side.other(), told, session, effects);
        let Ok(offer) = pair.offer(side, &without_hold(&sdp), effects) else {
            pair.close(effects);
            effects.leg(session, leg, LegCommand::Decline { version });
            return;
        };
        effects.leg(session, leg, LegCommand::Accept { version });
        let old = std::mem::replace(&mut call.pair, pair);
        let then = if waiting { Then::Answer } else { Then::Change };
        let joining = Joining { leg, side, old, then, given: true };
        call.moving = Some(Box::new(Moving::Joining(Box::new(joining))));
        effects.leg(session, stays, LegCommand::Change { sdp: Some(offer) });
    }

    /// The one who stays, or after him the new one, answered the re-INVITE.
    pub(crate) fn joined(
        &mut self,
        session: SessionId,
        status: u16,
        sdp: Option<Vec<u8>>,
        effects: &mut Effects<'_>,
    ) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        let moving = call.moving.take().map(|moving| *moving);
        let Some(Moving::Joining(mut joining)) = moving else { return };
        let stays = joining.side.other();
        let sdp = sdp.filter(|_| status < 300);
        let answer = match (&sdp, joining.then) {
            (Some(sdp), Then::Settle) => call.pair.settle(stays, sdp, effects).ok().map(|()| None),
            (Some(sdp), Then::Ack | Then::Answer | Then::Change) => {
                call.pair.answer(stays, sdp, effects).ok().map(Some)
            }
            (None, _) => None,
        };
        let Some(answer) = answer else {
            self.not_joined(session, *joining, effects);
            return;
        };
        let command = match joining.then {
            Then::Ack => LegCommand::Ack { sdp: answer },
            Then::Answer => LegCommand::Answer { sdp: answer },
            Then::Change => {
                // Its own answer settles where its packets go.
                effects.leg(session, joining.leg, LegCommand::Change { sdp: answer });
                call.moving = Some(Box::new(Moving::Joining(joining)));
                return;
            }
            Then::Settle => {
                self.in_place(session, *joining, effects);
                return;
            }
        };
        effects.leg(session, joining.leg, command);
        joining.old.close(effects);
        let old = call.leg(joining.side).filter(|_| joining.given);
        self.placed(session, joining.side, joining.leg, old, effects);
    }

    /// The new leg itself says something before it has its place.
    pub(crate) fn newcomer(
        &mut self,
        session: SessionId,
        event: LegEvent,
        effects: &mut Effects<'_>,
    ) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        let moving = call.moving.take().map(|moving| *moving);
        let Some(Moving::Joining(joining)) = moving else { return };
        let leg = joining.leg;
        match event {
            LegEvent::ChangeAnswered { status: 200..=299, sdp: Some(sdp) }
                if call.pair.settle(joining.side, &sdp, effects).is_ok() =>
            {
                self.in_place(session, *joining, effects);
            }
            LegEvent::Cancelled
            | LegEvent::ChangeAnswered { .. }
            | LegEvent::Ended { .. }
            | LegEvent::Failed { .. } => self.not_joined(session, *joining, effects),
            LegEvent::Changed { .. } => {
                call.moving = Some(Box::new(Moving::Joining(joining)));
                let refuse = LegCommand::AnswerChange { status: 491, sdp: None };
                effects.leg(session, leg, refuse);
            }
            LegEvent::Request { request, .. } => {
                call.moving = Some(Box::new(Moving::Joining(joining)));
                let response = Passed::status(480);
                effects.leg(session, leg, LegCommand::Respond { request, response });
            }
            LegEvent::Answered { .. }
            | LegEvent::Confirmed { .. }
            | LegEvent::Declined { .. }
            | LegEvent::Handed { .. }
            | LegEvent::Offered { .. }
            | LegEvent::Provisional { .. }
            | LegEvent::Reason { .. }
            | LegEvent::Response(_)
            | LegEvent::Restored => call.moving = Some(Box::new(Moving::Joining(joining))),
        }
    }

    fn in_place(&mut self, session: SessionId, mut joining: Joining, effects: &mut Effects<'_>) {
        joining.old.close(effects);
        let Some(call) = self.calls.get(&session) else { return };
        let old = call.leg(joining.side).filter(|_| joining.given);
        self.placed(session, joining.side, joining.leg, old, effects);
    }

    /// A leg has its place; whoever had it before is ended.
    fn placed(
        &mut self,
        session: SessionId,
        side: Side,
        leg: LegId,
        old: Option<LegId>,
        effects: &mut Effects<'_>,
    ) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        if let Some(old) = old {
            effects.leg(session, old, LegCommand::End { status: 480, headers: Vec::new() });
        }
        call.set_leg(side, leg);
        call.reseat_guests(effects);
        effects.ladder(CallId(session.0), Lane::Note, "somebody took a place in this call");
        effects.save(session, call.encode(), Durability::Written);
    }

    /// The place could not be taken: the old call goes on where there is one.
    fn not_joined(&mut self, session: SessionId, joining: Joining, effects: &mut Effects<'_>) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        if !joining.given {
            call.moving = Some(Box::new(Moving::Joining(Box::new(joining))));
            self.finish(session, End::failed(200, "answered", "server"), effects);
            return;
        }
        let mut pair = std::mem::replace(&mut call.pair, joining.old);
        pair.close(effects);
        let end = LegCommand::End { status: 488, headers: Vec::new() };
        effects.leg(session, joining.leg, end);
        effects.ladder(
            CallId(session.0),
            Lane::Note,
            "somebody could not take a place in this call",
        );
    }
}
