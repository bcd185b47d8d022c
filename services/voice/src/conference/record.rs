//! The recording of a conference: from the first two who hear each other to its end.

use media::{Command, Direction, Rate, TapId};
use switchboard::clip::{RecordFormat, RecordedFact, Recording, SoundFault};
use switchboard::{Effects, Ticket};
use types::{CallId, UnixTime};

use super::{Conference, Tickets};
use crate::call::date;
use crate::events::whole_seconds;
use crate::rest::notes::Tape;
use crate::word::Link;

/// How it is recorded, if it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    pub trim: bool,
    /// Where to say that it is ready.
    pub link: Option<Link>,
}

/// A recording that runs, or is being kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taping {
    pub ticket: Ticket,
    pub tap: TapId,
    /// How apps know it, and how it is found again after a restart.
    pub name: String,
    pub since: UnixTime,
    /// Of which conference.
    pub sid: String,
    pub link: Option<Link>,
}

impl Taping {
    /// Whether apps call it so; `Twilio.CURRENT` is the one that runs.
    fn is(&self, sid: &str) -> bool {
        self.name == sid || sid == "Twilio.CURRENT"
    }

    /// As the API shows it.
    pub fn shown(&self) -> Tape<'_> {
        let (sid, conference, source) = (&*self.name, &*self.sid, "Conference");
        Tape { sid, conference, source, ..Tape::NONE }
    }
}

impl Conference {
    /// Begins to record, when it is time.
    pub(super) fn tape(&mut self, effects: &mut Effects<'_>) -> Tickets {
        let inside = self.members.iter().filter(|member| member.inside()).count();
        let Some(wish) = self.record.clone().filter(|_| inside >= 2 && self.taping.is_none())
        else {
            return Vec::new();
        };
        let tap = TapId(effects.rng().next_u64());
        let (rate, direction) = (Rate::Narrow, Direction::In);
        effects.media(Command::Tap { stream: self.stream(), seat: None, tap, rate, direction });
        let name = format!("RE{:016x}{:016x}", tap.0, effects.unix().0);
        let ticket = effects.record(Recording {
            tap,
            name: name.clone(),
            rate,
            channels: 1,
            format: RecordFormat::Wav,
            trim: wish.trim,
            max: std::time::Duration::ZERO,
        });
        let (since, sid, link) = (effects.unix(), self.sid.clone(), wish.link);
        let taping = Taping { ticket, tap, name, since, sid, link };
        taping.shown().write(since, ("in-progress", None), effects);
        self.taping = Some(taping);
        vec![ticket]
    }

    /// An app wants the recording that runs to pause, to go on or to end; false: it is not this one.
    pub fn steer_taping(&mut self, sid: &str, status: &str, effects: &mut Effects<'_>) -> bool {
        let Some(taping) = self.taping.as_ref().filter(|taping| taping.is(sid)) else {
            return false;
        };
        match status {
            "paused" => effects.pause_recording(taping.tap, true),
            "in-progress" => effects.resume_recording(taping.tap),
            _ => {
                self.record = None;
                self.end_taping(effects);
                self.keep(effects);
                return true;
            }
        }
        taping.shown().write(taping.since, (status, None), effects);
        true
    }

    /// The recording that runs, by its name for apps; `None`: another one, or none runs.
    pub fn taping(&self, sid: &str) -> Option<&Taping> {
        self.taping.as_ref().filter(|taping| taping.is(sid))
    }

    /// The recording ends, if one runs.
    pub(super) fn end_taping(&mut self, effects: &mut Effects<'_>) {
        if let Some(taping) = self.taping.take() {
            effects.finish_recording(taping.tap);
            effects.media(Command::Untap { tap: taping.tap });
            self.kept.push(taping);
        }
    }

    /// A recording has ended.
    pub fn recorded(
        &mut self,
        ticket: Ticket,
        recorded: Result<RecordedFact, SoundFault>,
        effects: &mut Effects<'_>,
    ) -> Tickets {
        // Its disk may have ended it.
        if self.taping.as_ref().is_some_and(|taping| taping.ticket == ticket) {
            self.kept.extend(self.taping.take());
            self.record = None;
        }
        let Some(place) = self.kept.iter().position(|taping| taping.ticket == ticket) else {
            return Vec::new();
        };
        let taping = self.kept.remove(place);
        let fact = match recorded {
            Ok(fact) => fact,
            Err(fault) => {
                self.note(&format!("no recording: {fault}"), effects);
                taping.shown().write(taping.since, ("absent", None), effects);
                return Vec::new();
            }
        };
        taping.shown().write(taping.since, ("completed", Some(&fact)), effects);
        let Some(link) = taping.link else { return Vec::new() };
        let pairs = [
            ("AccountSid", effects.apps().sid.clone()),
            ("ConferenceSid", taping.sid),
            ("RecordingSid", taping.name),
            ("RecordingUrl", format!("{}{}", effects.public(), fact.address)),
            ("RecordingStatus", "completed".to_owned()),
            ("RecordingDuration", whole_seconds(fact.length).to_string()),
            ("RecordingChannels", "1".to_owned()),
            ("RecordingStartTime", date(taping.since)),
            ("RecordingSource", "Conference".to_owned()),
        ];
        let said = pairs.map(|(name, value)| (name.to_owned(), value)).to_vec();
        let id = CallId(self.session.0);
        self.teller.tell(id, link, said, effects).into_iter().collect()
    }
}
