//! Those whom a program dials, as calls of their own: shown while the caller's call lives, kept with it when they are over.
//!
//! Rules       Their names are on the slot of the caller's call, so they are found where it lives. They have no program:
//!             one can be ended, not sent elsewhere.
//! Limits      [`LEGS_MAX`] of one call; of more none is kept, and the ladder says so.
//! Spec        programmable-voice §6.2 (ParentCallSid), §6.3 (Call)

use switchboard::Effects;
use switchboard::ring::Outcome;
use types::{SessionId, tagged};

use super::ask::Ask;
use super::row::Row;
use super::say::No;
use super::{Done, shown};
use crate::Room;
use crate::call::{Call, call_sid};

/// Calls to others that are kept of one call.
pub const LEGS_MAX: usize = 50;

/// Those of one call that are over.
#[derive(Debug, Default)]
pub struct Legs(Vec<Row>);

impl Legs {
    /// Keeps one, if there is one and there is room.
    pub fn keep(&mut self, row: Option<Row>) {
        if self.0.len() < LEGS_MAX {
            self.0.extend(row);
        }
    }

    /// All of them.
    pub fn rows(&self) -> &[Row] {
        &self.0
    }

    /// As fields of one tag.
    pub fn encode(&self, tag: u8, writer: &mut tagged::Writer) {
        for row in &self.0 {
            writer.nested(tag, |writer| row.encode(writer));
        }
    }
}

impl Call {
    /// Those whom its program has dialled, also those who are still there.
    pub(super) fn leg_rows(&self) -> Vec<Row> {
        let parent = call_sid(self.session.0);
        let live = self.dialling.iter().flat_map(|dialling| &dialling.callees);
        let live = live.filter_map(|callee| callee.row(&parent)).filter(|row| row.ended.is_none());
        self.legs.rows().iter().cloned().chain(live).collect()
    }
}

impl Room {
    /// Who was dialled by a call that lives here.
    pub(super) fn known_leg(&self, sid: &str) -> Option<(SessionId, Row)> {
        let legs = |call: &Call| call.leg_rows().into_iter().find(|row| row.sid == sid);
        self.calls.values().find_map(|call| Some((call.session, legs(call)?)))
    }

    /// Somebody whom a program dialled is let go.
    ///
    /// Errors: it is over, or something else is asked than its end.
    pub(super) fn update_leg(
        &mut self,
        ask: &Ask,
        (session, row): (SessionId, Row),
        effects: &mut Effects<'_>,
    ) -> Result<Done, No> {
        if row.ended.is_some() {
            return Err(super::update::ended());
        }
        match ask.text("Status") {
            Some("completed") => {}
            Some("canceled") if row.answered.is_none() => {}
            Some(_) | None => {
                let words = "A call that a <Dial> made runs no program: Status=completed ends it; \
                             change its parent to lead both elsewhere";
                return Err(No::invalid(21220, words));
            }
        }
        let dialling = self.calls.get_mut(&session).and_then(|call| call.dialling.as_mut());
        let place = dialling.and_then(|dialling| {
            let place = dialling.callees.iter().position(|callee| callee.sid == row.sid)?;
            Some((place, dialling.give_up(place, effects)))
        });
        match place {
            Some((place, true)) => {
                let outcome = Outcome::Failed { status: 480, outcome: "missed", text: None };
                self.heed_one(session, (place, outcome), effects);
            }
            Some((_, false)) => self.end_dial(session, "completed", effects),
            None => {}
        }
        self.carry(session, effects);
        let now = self.known_leg(&row.sid).map(|(_, row)| row);
        // Its parent may have gone with it.
        let now = now.or_else(|| self.recent(&row.sid)).unwrap_or(row);
        Ok(shown(200, "Call", &now.json(&effects.apps().sid), ask.form))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_are_kept_than_may() {
        let mut legs = Legs::default();
        for _ in 0..LEGS_MAX + 3 {
            legs.keep(Some(Row::default()));
            legs.keep(None);
        }
        assert_eq!(legs.rows().len(), LEGS_MAX);
    }
}
