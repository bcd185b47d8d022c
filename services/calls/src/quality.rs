//! How a call comes through: what the pump tells of it goes to the record, the ladder and the counters.

use media::{Event, Side};
use switchboard::Effects;
use switchboard::ladder::Lane;
use types::{CallId, SessionId};

use crate::Room;

impl Room {
    /// Takes what the pump says about the media of a call.
    pub(crate) fn judge(&mut self, session: SessionId, event: &Event, effects: &mut Effects<'_>) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        if call.pair.bridge() != event.bridge() {
            return; // Of a bridge that a transfer has left.
        }
        let mut note = |words: String| effects.ladder(CallId(session.0), Lane::Note, &words);
        // The first section is the sound of all phones that we know.
        if let Event::Quality { stream, sides } = event
            && stream.index == 0
        {
            call.facts.quality = Some(sides.clone());
        }
        if let Event::Figures { seat, quality, .. } = event {
            call.judge_guest(*seat, quality);
        }
        if let Event::Back { stream, side, after } = event {
            let (name, place, seconds) = (name(*side), stream.index, after.as_secs());
            note(format!("the {name} is heard again (section {place}) after {seconds} s"));
        }
        if let Event::Quiet { stream, side, why } = event {
            let (name, place, why) = (name(*side), stream.index, why.words());
            note(format!("the {name} is silent (section {place}): {why}"));
            effects.count("media.fell_silent");
        }
    }
}

fn name(side: Side) -> &'static str {
    match side {
        Side::A => "caller",
        Side::B => "callee",
    }
}
