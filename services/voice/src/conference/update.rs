//! What is changed of a conference from outside: who is heard, who holds, what is announced, who goes.

use switchboard::Effects;
use types::SessionId;

use super::{Conference, Tickets};
use crate::word::{FromConference, Link};

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

/// What changes of somebody who takes part; `None`: it stays.
#[derive(Clone, Debug, Default)]
pub struct Change {
    pub muted: Option<bool>,
    pub hold: Option<bool>,
    /// What he hears on hold.
    pub hold_link: Option<Link>,
    pub ends: Option<bool>,
    pub beep_on_exit: Option<bool>,
    /// Whom he coaches.
    pub coach: Option<Option<SessionId>>,
}

impl Conference {
    /// How it stands, in the vendor's word.
    pub fn status(&self) -> &'static str {
        if self.started { "in-progress" } else { "init" }
    }

    /// Says something to one, or to all.
    pub fn announce(&self, call: Option<SessionId>, link: &Link, effects: &mut Effects<'_>) {
        let heard =
            self.members.iter().filter(|member| call.is_none_or(|call| call == member.call));
        for member in heard {
            FromConference::Announce(link.clone()).tell(self.session, member.call, effects);
        }
    }

    /// Sends somebody away; his call says that he left.
    pub fn kick(&self, call: SessionId, effects: &mut Effects<'_>) {
        FromConference::Kick.tell(self.session, call, effects);
    }

    /// Changes how somebody takes part.
    pub fn change(
        &mut self,
        call: SessionId,
        change: Change,
        effects: &mut Effects<'_>,
    ) -> Tickets {
        let Some(member) = self.members.iter_mut().find(|member| member.call == call) else {
            return Vec::new();
        };
        let mut names = Vec::new();
        if let Some(muted) = change.muted.filter(|muted| *muted != member.muted) {
            member.muted = muted;
            names.push(if muted { "participant-mute" } else { "participant-unmute" });
        }
        if change.ends.is_some() || change.beep_on_exit.is_some() || change.coach.is_some() {
            member.ends = change.ends.unwrap_or(member.ends);
            member.beep_on_exit = change.beep_on_exit.unwrap_or(member.beep_on_exit);
            member.coach = change.coach.unwrap_or(member.coach);
            names.push("participant-modify");
        }
        let holds = change.hold.filter(|hold| *hold != member.hold);
        if let Some(hold) = holds {
            member.hold = hold;
            member.hold_link = change.hold_link.filter(|_| hold);
            names.push(if hold { "participant-hold" } else { "participant-unhold" });
        }
        member.changed = effects.unix();
        let (link, inside) = (member.hold_link.clone(), member.inside());
        let mut tickets = Vec::new();
        for name in names {
            tickets.extend(self.event(name, Some(call), Vec::new(), effects));
        }
        match holds {
            Some(true) => FromConference::Hold(link).tell(self.session, call, effects),
            Some(false) => {
                tickets.extend(self.start(effects));
                if self.started {
                    self.enter(call, effects);
                } else {
                    let sid = self.sid.clone();
                    FromConference::Wait { sid }.tell(self.session, call, effects);
                }
            }
            None if inside => {
                FromConference::Speak(self.voice(call)).tell(self.session, call, effects);
            }
            None => {}
        }
        self.keep(effects);
        tickets
    }
}
