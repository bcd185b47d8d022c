//! What is changed of a conference from outside: who is heard, who holds, what is announced, who goes.

use switchboard::Effects;
use types::SessionId;

use super::{Conference, Tickets};
use crate::word::FromConference;

impl Conference {
    /// A call has heard what was announced to it, or it could not be had.
    pub fn announced(
        &mut self,
        call: SessionId,
        failed: bool,
        effects: &mut Effects<'_>,
    ) -> Tickets {
        let name = if failed { "announcement-fail" } else { "announcement-end" };
        let tickets = self.event(name, Some(call), Vec::new(), effects);
        // At home it goes on with what it heard there before.
        let Some(member) = self.members.iter().find(|member| member.call == call) else {
            return tickets;
        };
        if member.hold {
            FromConference::Hold(member.hold_link.clone()).tell(self.session, call, effects);
        } else if !self.started {
            FromConference::Wait { sid: self.sid.clone() }.tell(self.session, call, effects);
        }
        tickets
    }
}
