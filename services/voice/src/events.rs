//! What happens to a call: its legs, its media, the answers it waits for.

use media::{Command, Ending, Play};
use switchboard::clip::{ClipFact, RecordedFact, SoundFault};
use switchboard::fetch::{FetchFault, Fetched};
use switchboard::hunt::Hunt;
use switchboard::ladder::Lane;
use switchboard::leg::{LegCommand, LegEvent};
use switchboard::ring::Outcome;
use switchboard::seat::key_of;
use switchboard::{Effects, Passed, Ticket};
use types::{CallId, LegId, SessionId};

use crate::Room;
use crate::call::Playing;
use crate::dial::{Reach, word};
use crate::hook::Turn;
use crate::program::{Event, Heard, Recorded};
use crate::rest::notes;

/// A recording whose loudest sample is below this has nobody on it.
const LOUD_MIN: u16 = 300;

/// A recording as apps know it; `None`: nobody is on it.
pub(crate) fn kept(fact: Option<RecordedFact>, effects: &Effects<'_>) -> Option<Recorded> {
    let fact = fact.filter(|fact| fact.loudest.is_none_or(|loudest| loudest >= LOUD_MIN))?;
    Some(Recorded {
        url: format!("{}{}", effects.public(), fact.address),
        sid: format!("RE{}", fact.hash.get(..32).unwrap_or(&fact.hash)),
        seconds: fact.length.as_secs(),
    })
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
        let Some(call) = self.calls.get_mut(&session) else { return };
        let waits = call.asking.as_ref().is_some_and(|(known, ..)| *known == ticket);
        let Some((_, mut asking, ask)) = call.asking.take_if(|_| waits) else { return };
        let words = match &fetched {
            Ok(fetched) => format!(
                "{} {} octets of {} in {} ms",
                fetched.status,
                fetched.body.len(),
                fetched.header("content-type").unwrap_or("nothing"),
                fetched.took.as_millis()
            ),
            Err(fault) => fault.to_string(),
        };
        effects.ladder(CallId(session.0), Lane::Web, &words);
        let (unix, now) = (effects.unix(), effects.now());
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
        let Some(call) = self.calls.get_mut(&session) else { return };
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
        let Some(call) = self.calls.get_mut(&session) else { return };
        let waits = call.recording.is_some_and(|(known, _)| known == ticket);
        let Some((_, tap)) = call.recording.take_if(|_| waits) else { return };
        effects.media(Command::Untap { tap });
        call.listen(None, effects);
        if let Err(fault) = &recorded {
            let words = format!("no recording: {fault}");
            effects.ladder(CallId(session.0), Lane::Note, &words);
        }
        let fact = recorded.as_ref().ok().cloned();
        let kept = kept(recorded.ok(), effects);
        if let (Some(kept), Some(fact)) = (&kept, &fact) {
            notes::recorded(call, (kept, fact), ("RecordVerb", 1), effects);
        }
        self.tell_recorded(session, kept.as_ref(), effects);
        self.drive(session, Event::Recorded(kept), effects);
    }

    /// Tells the hunt of a call something, and does what comes of it.
    pub(crate) fn ringing(
        &mut self,
        session: SessionId,
        effects: &mut Effects<'_>,
        tell: impl FnOnce(&mut Hunt, &mut Effects<'_>) -> Outcome,
    ) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        if call.outgoing.is_some() {
            return self.reaching(session, effects, tell);
        }
        let Some(hunt) = call.dialling.as_mut().and_then(|dialling| dialling.hunt()) else {
            return;
        };
        let old = hunt.tickets();
        let outcome = tell(hunt, effects);
        let new = hunt.tickets();
        for ticket in old {
            self.tickets.remove(&ticket);
        }
        for ticket in new {
            self.tickets.insert(ticket, session);
        }
        self.outcome(session, outcome, effects);
        self.carry(session, effects);
    }

    /// What came of ringing, for the program; it goes on after this.
    pub(crate) fn outcome(
        &mut self,
        session: SessionId,
        outcome: Outcome,
        effects: &mut Effects<'_>,
    ) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        let Some(dialling) = call.dialling.as_mut() else { return };
        match outcome {
            Outcome::Answered { leg, sdp } => {
                let settled = sdp.is_some_and(|sdp| dialling.seat.settle(&sdp, effects).is_ok());
                let rang = std::mem::take(&mut dialling.rings);
                if let Reach::Ringing(hunt) = &dialling.reach {
                    for ticket in hunt.tickets() {
                        self.tickets.remove(&ticket);
                    }
                    hunt.answered_by().clone_into(&mut call.facts.answered_by);
                }
                dialling.reach = Reach::Talking(leg, effects.unix());
                if rang {
                    let seat = Some(call.seat.place());
                    effects.media(Command::Stop { stream: call.stream, seat, sound: None });
                }
                if settled {
                    call.program.handle(Event::Bridged, effects.now());
                    Self::keep(call, effects);
                } else {
                    self.end_dial(session, "failed", effects);
                }
            }
            Outcome::Failed { status, outcome, .. } => match dialling.next(effects) {
                Some(next) => {
                    for ticket in dialling.tickets() {
                        self.tickets.insert(ticket, session);
                    }
                    self.outcome(session, next, effects);
                }
                None => self.end_dial(session, word(outcome, status), effects),
            },
            Outcome::Progress { .. } if !dialling.rings => {
                dialling.rings = true;
                call.facts.rang.get_or_insert(effects.unix());
                if call.facts.answered.is_some() {
                    let signal = media::tones::Signal::Ringing;
                    let play = Play::Tone { country: media::tones::Country::Us, signal };
                    call.sound(play, effects);
                    // Nobody waits for its end.
                    call.playing = Playing::Nothing;
                }
            }
            // The phone that took it over its push comes by itself.
            Outcome::AnsweredByReply { .. } | Outcome::Pending | Outcome::Progress { .. } => {}
        }
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
        let Some(call) = self.calls.get_mut(&session) else { return };
        if call.is_of_guest(event, effects) {
            return;
        }
        let ours = call.seat.place();
        if let media::Event::Failed { seat, .. } = event {
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
            && *seat == ours
        {
            self.drive(session, Event::Key(char::from(*key)), effects);
        } else if let media::Event::Silent { seat, .. } = event
            && *seat == ours
        {
            self.drive(session, Event::Silent, effects);
        } else if let media::Event::Played { sound, how, .. } = event
            && matches!(call.playing, Playing::Sound(known) if known == *sound)
        {
            call.playing = Playing::Nothing;
            let heard = if *how == Ending::Missing { Heard::Nothing } else { Heard::All };
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
        let Some(call) = self.calls.get_mut(&session) else { return };
        if call.outgoing.is_some() {
            return self.reaching_leg(session, leg, event, effects);
        }
        if leg == call.leg {
            return self.caller(session, event, effects);
        }
        let Some(dialling) = call.dialling.as_mut() else { return };
        if dialling.leg() == Some(leg) {
            return self.callee(session, leg, event, effects);
        }
        let own = dialling.hunt().is_some_and(|hunt| hunt.has(leg));
        if own {
            self.ringing(session, effects, |hunt, effects| hunt.leg(leg, event, effects));
        }
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
                let answer = match sdp {
                    Some(sdp) => call.seat.answer(&sdp, effects).ok(),
                    None => {
                        call.late = true;
                        Some(call.seat.offer(effects))
                    }
                };
                let status = if answer.is_some() { 200 } else { 488 };
                effects.leg(session, leg, LegCommand::AnswerChange { status, sdp: answer });
                Self::keep(call, effects);
            }
            LegEvent::Confirmed { sdp } => {
                if std::mem::take(&mut call.late) {
                    let settled = sdp.is_some_and(|sdp| call.seat.settle(&sdp, effects).is_ok());
                    if settled {
                        Self::keep(call, effects);
                    } else {
                        self.gone(session, (488, "failed"), effects);
                    }
                }
            }
            LegEvent::Request { request, passed } => {
                let key = key_of(&passed).map(|(key, _)| char::from(key));
                let response = Passed::status(if key.is_some() { 200 } else { 480 });
                effects.leg(session, leg, LegCommand::Respond { request, response });
                if let Some(key) = key {
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
            | LegEvent::Response(_)
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

    fn callee(
        &mut self,
        session: SessionId,
        leg: LegId,
        event: LegEvent,
        effects: &mut Effects<'_>,
    ) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        let Some(dialling) = call.dialling.as_mut() else { return };
        match event {
            LegEvent::Cancelled | LegEvent::Ended { .. } | LegEvent::Failed { .. } => {
                self.end_dial(session, "completed", effects);
                self.carry(session, effects);
            }
            LegEvent::Changed { sdp } => {
                let answer = sdp.and_then(|sdp| dialling.seat.answer(&sdp, effects).ok());
                let status = if answer.is_some() { 200 } else { 488 };
                effects.leg(session, leg, LegCommand::AnswerChange { status, sdp: answer });
                Self::keep(call, effects);
            }
            LegEvent::Request { request, .. } => {
                let response = Passed::status(480);
                effects.leg(session, leg, LegCommand::Respond { request, response });
            }
            LegEvent::Answered { .. }
            | LegEvent::ChangeAnswered { .. }
            | LegEvent::Confirmed { .. }
            | LegEvent::Declined { .. }
            | LegEvent::Handed { .. }
            | LegEvent::Offered { .. }
            | LegEvent::Provisional { .. }
            | LegEvent::Reason { .. }
            | LegEvent::Response(_)
            | LegEvent::Restored => (),
        }
    }
}
