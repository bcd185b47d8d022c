//! One who takes part in a conference.

use switchboard::Effects;
use types::{SessionId, UnixTime, tagged};

use super::{Conference, Tickets};
use crate::word::{FromConference, Joining, Link};

/// See the head of this file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// His call.
    pub call: SessionId,
    /// How he is called in it; may be empty.
    pub label: String,
    /// He is heard by nobody.
    pub muted: bool,
    /// He hears something else, at home.
    pub hold: bool,
    /// What; `None`: music.
    pub hold_link: Option<Link>,
    /// With him, and another one, it begins.
    pub starts: bool,
    /// It ends when he goes.
    pub ends: bool,
    /// All hear that he comes.
    pub beep_on_enter: bool,
    /// All hear that he goes.
    pub beep_on_exit: bool,
    /// The call of the one who alone hears him.
    pub coach: Option<SessionId>,
    /// When he came.
    pub since: UnixTime,
    /// When something of him last changed.
    pub changed: UnixTime,
    /// His place in the mix.
    pub seat: Option<media::Seat>,
    /// He has sat down there, once at least.
    pub entered: bool,
    /// A restart is over and he did not come back yet.
    pub away: bool,
}

impl Member {
    /// One who comes.
    pub fn new(call: SessionId, joining: Joining, now: UnixTime) -> Self {
        Self {
            call,
            coach: session_of(&joining.coach),
            label: joining.label,
            muted: joining.muted,
            starts: joining.starts,
            ends: joining.ends,
            beep_on_enter: joining.beep_on_enter,
            beep_on_exit: joining.beep_on_exit,
            since: now,
            changed: now,
            ..Self::default()
        }
    }

    /// Whether he sits in the mix.
    pub fn inside(&self) -> bool {
        self.seat.is_some() && self.entered && !self.hold
    }

    /// As tagged fields.
    pub fn write(&self, writer: &mut tagged::Writer) {
        writer.number(1, self.call.0).text(2, &self.label);
        let flags = [
            self.muted,
            self.hold,
            self.starts,
            self.ends,
            self.beep_on_enter,
            self.beep_on_exit,
            self.entered,
        ];
        for (tag, flag) in (3..).zip(flags) {
            writer.number(tag, flag.into());
        }
        if let Some(coach) = self.coach {
            writer.number(10, coach.0);
        }
        writer.time(11, self.since).time(12, self.changed);
        if let Some(link) = &self.hold_link {
            writer.text(13, &link.url).number(14, link.get.into());
        }
    }

    /// What [`write`](Self::write) wrote: he is away until he comes back.
    pub fn read(bytes: &[u8]) -> Self {
        let mut member = Self { away: true, ..Self::default() };
        for (tag, field) in tagged::Reader::new(bytes) {
            let flag = field.number() == Some(1);
            match tag {
                1 => member.call = SessionId(field.number().unwrap_or(0)),
                2 => member.label = field.string().unwrap_or_default(),
                3 => member.muted = flag,
                4 => member.hold = flag,
                5 => member.starts = flag,
                6 => member.ends = flag,
                7 => member.beep_on_enter = flag,
                8 => member.beep_on_exit = flag,
                9 => member.entered = flag,
                10 => member.coach = field.number().map(SessionId),
                11 => member.since = field.time().unwrap_or_default(),
                12 => member.changed = field.time().unwrap_or_default(),
                13 => {
                    member.hold_link.get_or_insert_default().url =
                        field.string().unwrap_or_default();
                }
                14 => member.hold_link.get_or_insert_default().get = flag,
                _ => (), // A field of a newer version.
            }
        }
        member
    }
}

impl Conference {
    /// Somebody who is known comes: a restart lies between.
    pub(super) fn returned(&mut self, place: usize, effects: &mut Effects<'_>) -> Tickets {
        let Some(member) = self.members.get_mut(place) else { return Vec::new() };
        (member.away, member.seat) = (false, None);
        let (call, hold) = (member.call, member.hold);
        let link = member.hold_link.clone();
        if hold {
            FromConference::Hold(link).tell(self.session, call, effects);
        } else if self.started {
            self.enter(call, effects);
        } else {
            FromConference::Wait { sid: self.sid.clone() }.tell(self.session, call, effects);
        }
        Vec::new()
    }

    /// Those who did not come back after a restart are gone.
    pub fn give_up(&mut self, effects: &mut Effects<'_>) -> Tickets {
        self.returning = None;
        let gone: Vec<_> =
            self.members.iter().filter(|member| member.away).map(|member| member.call).collect();
        let mut tickets = Vec::new();
        for call in gone {
            tickets.extend(self.left(call, crate::word::Why::HungUp, effects));
        }
        tickets
    }
}

/// The call that apps name so.
pub fn session_of(sid: &str) -> Option<SessionId> {
    let digits = sid.strip_prefix("CA").filter(|digits| digits.len() == 32)?;
    u128::from_str_radix(digits, 16).ok().map(SessionId)
}
