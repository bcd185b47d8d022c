//! What happens to a call: its legs, its media, the answers it waits for.

use std::time::Duration;

use media::{Command, Ending, Play};
use switchboard::clip::{ClipFact, RecordedFact, SoundFault};
use switchboard::fetch::{FetchFault, Fetched};
use switchboard::ladder::Lane;
use switchboard::leg::{LegCommand, LegEvent};
use switchboard::ring::Outcome;
use switchboard::seat::key_of;
use switchboard::{Effects, Passed, Ticket};
use types::{CallId, LegId, SessionId};

use crate::Room;
use crate::call::Playing;
use crate::dial::Way;
use crate::hook::Turn;
use crate::program::{Event, Heard, Recorded};
use crate::rest::notes;

/// A recording whose loudest sample is below this has nobody on it.
const LOUD_MIN: u16 = 300;

/// A recording as apps know it, by the name that it has from its beginning on; `None`: nobody is on it.
pub(crate) fn kept(
    fact: Option<RecordedFact>,
    sid: &str,
    effects: &Effects<'_>,
) -> Option<Recorded> {
    let fact = fact.filter(|fact| fact.loudest.is_none_or(|loudest| loudest >= LOUD_MIN))?;
    Some(Recorded {
        url: format!("{}{}", effects.public(), fact.address),
        sid: sid.to_owned(),
        hash: fact.hash,
        seconds: whole_seconds(fact.length),
    })
}

/// The length of a recording as apps are told it: the nearest second, since two seconds may lack a packet.
pub(crate) const fn whole_seconds(length: Duration) -> u64 {
    length.saturating_add(Duration::from_millis(500)).as_secs()
}

/// What came of a question, for the ladder.
pub(crate) fn arrived(fetched: &Result<Fetched, FetchFault>) -> String {
    match fetched {
        Ok(fetched) => format!(
            "{} {} octets of {} in {} ms",
            fetched.status,
            fetched.body.len(),
            fetched.header("content-type").unwrap_or("nothing"),
            fetched.took.as_millis()
        ),
        Err(fault) => fault.to_string(),
    }
}

/// Answers.
impl Room {
    pub(crate) fn fetched(
        &mut self,
        session: SessionId,
        ticket: Ticket,
        fetched: Result<Fetched, FetchFault>,
        effects: &mut Effects<'_>,
    ) {
        if self.greeting_fetched(session, ticket, &fetched, effects) {
            return;
        }
        let Some(call) = self.calls.get_mut(&session) else { return };
        let waits = call.asking.as_ref().is_some_and(|(known, ..)| *known == ticket);
        let Some((_, mut asking, ask)) = call.asking.take_if(|_| waits) else { return };
        effects.ladder(CallId(session.0), Lane::Web, &arrived(&fetched));
        let (unix, now) = (effects.unix(), effects.now());
        call.events.note(&asking, &fetched, unix);
        match asking.answered(fetched, &mut call.jar, unix, now) {
            Turn::Again => self.send(session, (asking, ask), effects),
            Turn::Done(answer) => {
                call.tell(Event::Answered(answer), now);
                if call.facts.answered.is_some() {
                    Self::keep(call, effects);
                }
                self.carry(session, effects);
            }
            Turn::Failed(failure) => self.drive(session, Event::Failed(failure), effects),
        }
    }

    pub(crate) fn clip_made(
        &mut self,
        session: SessionId,
        ticket: Ticket,
        made: Result<ClipFact, SoundFault>,
        effects: &mut Effects<'_>,
    ) {
        if self.greeting_clip(session, ticket, &made, effects) {
            return;
        }
        let Some(call) = self.calls.get_mut(&session) else { return };
        if call.over_made(ticket, &made, effects) {
            return;
        }
        let Playing::Making(known, times) = call.playing else { return };
        if known != ticket {
            return; // It was hushed meanwhile.
        }
        match made {
            Ok(fact) => {
                let (clips, from) = (vec![fact.id], std::time::Duration::ZERO);
                call.sound(Play::Clips { clips, from, times }, effects);
            }
            Err(fault) => {
                let words = format!("no sound: {fault}");
                effects.ladder(CallId(session.0), Lane::Note, &words);
                call.mute(effects);
                self.carry(session, effects);
            }
        }
    }

    pub(crate) fn recorded(
        &mut self,
        session: SessionId,
        ticket: Ticket,
        recorded: Result<RecordedFact, SoundFault>,
        effects: &mut Effects<'_>,
    ) {
        if self.dial_recorded(session, ticket, &recorded, effects)
            || self.reel_recorded(session, ticket, &recorded, effects)
        {
            return;
        }
        let Some(call) = self.calls.get_mut(&session) else { return };
        let waits = call.recording.as_ref().is_some_and(|(known, ..)| *known == ticket);
        let Some((_, tap, sid)) = call.recording.take_if(|_| waits) else { return };
        effects.media(Command::Untap { tap });
        call.listen(None, effects);
        if let Err(fault) = &recorded {
            let words = format!("no recording: {fault}");
            effects.ladder(CallId(session.0), Lane::Note, &words);
        }
        let fact = recorded.as_ref().ok().cloned();
        let kept = kept(recorded.ok(), &sid, effects);
        if let (Some(kept), Some(fact)) = (&kept, &fact) {
            notes::recorded(session, (kept, fact), ("RecordVerb", 1), effects);
        }
        self.tell_recorded(session, kept.as_ref(), effects);
        self.drive(session, Event::Recorded(kept), effects);
    }
}

/// Media.
impl Room {
    pub(crate) fn media(
        &mut self,
        session: SessionId,
        event: &media::Event,
        effects: &mut Effects<'_>,
    ) {
        if self.recorder_media(session, event, effects) {
            return;
        }
        let Some(call) = self.calls.get_mut(&session) else { return };
        if call.is_of_guest(event, effects) {
            return;
        }
        let ours = call.seat.place();
        if let media::Event::Figures { seat, quality, .. } = event {
            let side = usize::from(*seat != ours);
            if let Some(known) = call.facts.quality.get_or_insert_default().get_mut(side) {
                known.clone_from(quality);
            }
        } else if let media::Event::Failed { seat, .. } = event {
            effects.count("voice.port_not_free");
            if *seat == ours {
                call.seat.spoil(effects);
                self.finish(session, (503, "failed", "server"), effects);
            } else {
                self.end_dial(session, "failed", effects);
                self.carry(session, effects);
            }
        } else if let media::Event::Lost { seat, .. } = event {
            // Nobody would hear anything any more.
            effects.count("voice.browser_lost");
            if *seat == ours {
                self.finish(session, (408, "failed", "server"), effects);
            } else {
                self.end_dial(session, "completed", effects);
                self.carry(session, effects);
            }
        } else if let media::Event::Key { seat, key, .. } = event
            && *seat != ours
        {
            self.greeting_key(session, char::from(*key), effects);
        } else if let media::Event::Key { key, .. } = event {
            call.hear_key(char::from(*key), effects);
            self.drive(session, Event::Key(char::from(*key)), effects);
        } else if let media::Event::Fed { feed, mark, .. } = event {
            call.stream_mark(*feed, *mark, effects);
        } else if let media::Event::Silent { seat, .. } = event
            && *seat == ours
        {
            self.drive(session, Event::Silent, effects);
        } else if let media::Event::Played { sound, how, .. } = event {
            let heard = if *how == Ending::Missing { Heard::Nothing } else { Heard::All };
            if self.greeting_played(session, (*sound, heard), effects) {
                return;
            }
            let Some(call) = self.calls.get_mut(&session) else { return };
            if call.over_played(*sound, heard == Heard::All, effects) {
                return;
            }
            if !matches!(call.playing, Playing::Sound(known) if known == *sound) {
                return;
            }
            call.playing = Playing::Nothing;
            self.drive(session, Event::Sounded(heard), effects);
        }
    }
}

/// Legs.
impl Room {
    pub(crate) fn leg(
        &mut self,
        session: SessionId,
        leg: LegId,
        event: LegEvent,
        effects: &mut Effects<'_>,
    ) {
        if self.recorder_leg(session, (leg, &event), effects) {
            return;
        }
        let Some(call) = self.calls.get_mut(&session) else { return };
        if call.outgoing.is_some() {
            return self.reaching_leg(session, leg, event, effects);
        }
        if leg == call.leg {
            return self.caller(session, event, effects);
        }
        let Some(dialling) = call.dialling.as_ref() else { return };
        if dialling.leg() == Some(leg) {
            return self.callee(session, leg, event, effects);
        }
        self.ringing(session, effects, |way, effects| match way {
            Way::Hunt(hunt) if hunt.has(leg) => hunt.leg(leg, event.clone(), effects),
            Way::Outside(outside) => outside.event(leg, &event, effects),
            Way::Hunt(_) => Outcome::Pending,
        });
    }

    fn caller(&mut self, session: SessionId, event: LegEvent, effects: &mut Effects<'_>) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        let leg = call.leg;
        match event {
            LegEvent::Cancelled => self.gone(session, (487, "cancelled"), effects),
            LegEvent::Ended { .. } | LegEvent::Failed { .. } => {
                self.gone(session, (487, "failed"), effects);
            }
            LegEvent::Changed { sdp } => {
                let told = call.seat.change(sdp.as_deref(), &mut call.late, effects);
                effects.leg(session, leg, told);
                Self::keep(call, effects);
            }
            LegEvent::Confirmed { sdp } => {
                call.acked(effects);
                match call.seat.confirm(sdp.as_deref(), &mut call.late, effects) {
                    Some(true) => Self::keep(call, effects),
                    Some(false) => self.gone(session, (488, "failed"), effects),
                    None => (),
                }
            }
            LegEvent::Request { request, passed } if passed.method == "NOTIFY" => {
                self.refer_told(session, (request, &passed), effects);
            }
            LegEvent::Request { request, passed } if passed.method == "REFER" => {
                self.phone_refers(session, (leg, request, &passed), effects);
            }
            LegEvent::Response(answer) => self.refer_answered(session, &answer, effects),
            LegEvent::Request { request, passed } => {
                let key = key_of(&passed).map(|(key, _)| char::from(key));
                let response = Passed::status(if key.is_some() { 200 } else { 480 });
                effects.leg(session, leg, LegCommand::Respond { request, response });
                if let Some(key) = key {
                    call.hear_key(key, effects);
                    self.drive(session, Event::Key(key), effects);
                }
            }
            LegEvent::Answered { .. }
            | LegEvent::ChangeAnswered { .. }
            | LegEvent::Declined { .. }
            | LegEvent::Handed { .. }
            | LegEvent::Offered { .. }
            | LegEvent::Provisional { .. }
            | LegEvent::Reason { .. }
            | LegEvent::Restored => (),
        }
    }

    /// The caller is gone, and nothing of his program runs any more.
    fn gone(
        &mut self,
        session: SessionId,
        (status, outcome): (u16, &'static str),
        effects: &mut Effects<'_>,
    ) {
        self.finish(session, (status, outcome, "caller"), effects);
    }
}
