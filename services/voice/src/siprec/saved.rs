//! What lasts of a recording session, and how it goes on after a restart.

use media::TapId;
use switchboard::Effects;
use switchboard::seat::Seat;
use twiml::Siprec;
use types::{BridgeId, LegId, SessionId, tagged};

use super::story::Story;
use super::{Line, News, Recorder, State, TRACKS, note};
use crate::Room;
use crate::call::{read_hook, read_pair, write_hook, write_pairs};

/// After a restart.
impl Room {
    /// Goes on with what was kept: those that ran run, the others begin again.
    pub(crate) fn restore_recorders(
        &mut self,
        session: SessionId,
        kept: Vec<Vec<u8>>,
        effects: &mut Effects<'_>,
    ) {
        for bytes in kept {
            let kept = Kept::decode(&bytes);
            let Some(call) = self.calls.get_mut(&session) else { return };
            let at = (call.seat.stream(), call.seat.place());
            match kept.restore(session, effects) {
                Ok(one) => {
                    one.flow(at, effects);
                    call.recorders.push(one);
                }
                Err(again) => {
                    let begun = self.record_at(session, *again, effects);
                    if let (Err((code, sentence)), Some(call)) =
                        (begun, self.calls.get_mut(&session))
                    {
                        note(call, code, &sentence, effects);
                    }
                }
            }
        }
    }
}

impl Recorder {
    /// As tagged fields.
    pub(crate) fn encode(&self, writer: &mut tagged::Writer) {
        let Siprec { name, connector, track, status, parameters } = &self.what;
        writer.text(1, &self.sid).text(2, name).text(3, connector);
        let place = TRACKS.iter().position(|(known, _)| known == track).unwrap_or(0);
        writer.number(4, place as u128);
        if let Some(hook) = status {
            writer.nested(5, |writer| write_hook(hook, writer));
        }
        write_pairs(6, parameters, writer);
        let State::Running { leg, owes, news } = &self.state else { return };
        writer.number(7, leg.0).number(8, (*owes).into());
        writer.number(9, (*news == News::Refused).into()).number(10, self.bridge.0);
        writer.nested(11, |writer| self.story.encode(writer));
        writer.number(12, self.sequence.into());
        for line in &self.lines {
            writer.bytes(13, &line.seat.encode());
        }
    }
}

/// One as the keeper had it.
#[derive(Default)]
struct Kept {
    sid: String,
    what: Siprec,
    leg: Option<LegId>,
    owes: bool,
    refused: bool,
    bridge: u128,
    story: Story,
    sequence: u64,
    seats: Vec<Vec<u8>>,
}

impl Kept {
    fn decode(bytes: &[u8]) -> Self {
        let mut kept = Self::default();
        for (tag, field) in tagged::Reader::new(bytes) {
            let number = || field.number().unwrap_or(0);
            match tag {
                1 => kept.sid = field.string().unwrap_or_default(),
                2 => kept.what.name = field.string().unwrap_or_default(),
                3 => kept.what.connector = field.string().unwrap_or_default(),
                4 => {
                    let found = TRACKS.get(number() as usize);
                    kept.what.track = found.map(|(track, _)| *track).unwrap_or_default();
                }
                5 => kept.what.status = Some(read_hook(field.0)),
                6 => kept.what.parameters.push(read_pair(field.0)),
                7 => kept.leg = Some(LegId(number())),
                8 => kept.owes = number() == 1,
                9 => kept.refused = number() == 1,
                10 => kept.bridge = number(),
                11 => kept.story = Story::decode(field.0),
                12 => kept.sequence = number() as u64,
                13 => kept.seats.push(field.0.to_vec()),
                _ => (), // A field of a newer version.
            }
        }
        kept
    }

    /// As it was; or what has to begin again.
    fn restore(
        self,
        session: SessionId,
        effects: &mut Effects<'_>,
    ) -> Result<Recorder, Box<(String, Siprec)>> {
        let Some(leg) = self.leg else { return Err(Box::new((self.sid, self.what))) };
        let tracks = TRACKS.iter().find(|(track, _)| *track == self.what.track);
        let tracks = tracks.map(|(_, tracks)| *tracks).unwrap_or_default();
        let mut lines = Vec::new();
        for (bytes, direction) in self.seats.iter().zip(tracks) {
            if let Some(seat) = Seat::restore(bytes, session, effects) {
                let tap = TapId(effects.rng().next_u64());
                lines.push(Line { seat, direction: *direction, tap });
            }
        }
        // An answer that was on its way at the end may be lost: nobody waits for it.
        let news = if self.refused { News::Refused } else { News::Heard };
        let state = State::Running { leg, owes: self.owes, news };
        let bridge = BridgeId(self.bridge);
        let Self { sid, what, story, sequence, .. } = self;
        Ok(Recorder { sid, what, state, bridge, lines, story, sequence })
    }
}
