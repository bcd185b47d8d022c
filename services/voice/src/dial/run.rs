//! A `<Dial>` in its call: begun, rung, bridged, ended, and what apps hear of it.
//!
//! Rules       What the caller hears while it rings is a tone, once he was answered; it ends with the bridge. The action
//!             of the `<Dial>` is asked when everything of it is over, its recording too.
//! Spec        programmable-voice §1.2 (Dial), §2 (Dial action)

use media::{Command, Play, Voice};
use switchboard::clip::{RecordedFact, SoundFault};
use switchboard::ladder::Lane;
use switchboard::leg::LegEvent;
use switchboard::ring::Outcome;
use switchboard::seat::{Seat, key_of};
use switchboard::{Effects, Passed, Ticket};
use twiml::Dial;
use types::{CallId, LegId, SessionId};

use super::{Dialler, Dialling, Greeting, Reach, SEAT, Tape, Way};
use crate::Room;
use crate::call::{Call, Playing};
use crate::events::kept;
use crate::hook::Question;
use crate::machine::Whose;
use crate::program::{Dialled, Event};
use crate::rest::notes;
use crate::socket::Kind;
use crate::told::Late;

/// From the beginning to the bridge.
impl Room {
    pub(crate) fn dial(&mut self, session: SessionId, dial: &Dial, effects: &mut Effects<'_>) {
        let public_only = self.config.sip_targets != "any";
        let Some(call) = self.calls.get_mut(&session) else { return };
        let said = |wanted: &str| {
            let found = call.said.iter().find(|(name, _)| name == wanted);
            found.map(|(_, value)| value.clone()).unwrap_or_default()
        };
        let (number, from) = (said("To"), said("From"));
        let (uri, name) = (call.facts.from.clone(), call.facts.from_name.clone());
        let caller = (&*uri, &*from);
        let dialler = Dialler { session, number: &number, caller, name: &name, public_only };
        let greets = Dialling::greets(dial);
        let voice = if greets { Voice::Nobody } else { Voice::All };
        let Ok(seat) = Seat::new(call.stream, SEAT, voice, effects) else {
            let dialled = Dialled { status: "failed", ..Dialled::default() };
            return call.program.handle(Event::Dialled(dialled), effects.now());
        };
        if Tape::wanted(dial) == Some(true) {
            self.tape(session, dial, effects);
        }
        let (dialling, outcomes) = Dialling::start(dial, &dialler, seat, effects);
        let Some(call) = self.calls.get_mut(&session) else { return };
        call.dialling = Some(dialling);
        self.heed(session, Vec::new(), outcomes, effects);
    }

    /// Begins to record.
    fn tape(&mut self, session: SessionId, dial: &Dial, effects: &mut Effects<'_>) {
        // One of a `<Dial>` before, which an app left in the middle, may not be kept yet.
        if let Some(mut call) = self.calls.remove(&session) {
            self.leave_tape(&mut call, effects);
            self.calls.insert(session, call);
        }
        let Some(call) = self.calls.get_mut(&session) else { return };
        let tape = Tape::start(dial, (call.stream, call.seat.place()), effects);
        if let Some((ticket, _)) = tape.runs {
            self.tickets.insert(ticket, session);
        }
        let said = tape.said("in-progress", None);
        call.tape = Some(tape);
        self.tell_of_tape(session, said, effects);
    }

    fn tell_of_tape(
        &mut self,
        session: SessionId,
        said: Option<(twiml::Hook, Vec<(String, String)>)>,
        effects: &mut Effects<'_>,
    ) {
        let Some((hook, more)) = said else { return };
        let Some(call) = self.calls.remove(&session) else { return };
        self.tell_hook(&call, &hook, more, effects);
        self.calls.insert(session, call);
    }

    /// Tells all who ring for a call something, and does what comes of it.
    pub(crate) fn ringing(
        &mut self,
        session: SessionId,
        effects: &mut Effects<'_>,
        tell: impl FnMut(&mut Way, &mut Effects<'_>) -> Outcome,
    ) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        let Some(dialling) = call.dialling.as_mut() else { return };
        let before = dialling.tickets();
        let outcomes = dialling.each(effects, tell);
        self.heed(session, before, outcomes, effects);
        self.carry(session, effects);
    }

    /// What came of ringing. `before`: what the ways waited for until now.
    fn heed(
        &mut self,
        session: SessionId,
        before: Vec<Ticket>,
        outcomes: Vec<(usize, Outcome)>,
        effects: &mut Effects<'_>,
    ) {
        for (place, outcome) in outcomes {
            self.outcome(session, (place, outcome), effects);
        }
        for ticket in before {
            self.tickets.remove(&ticket);
        }
        self.note_ways(session);
        self.tell_news(session, effects);
    }

    /// Something came of ringing one of them, without an answer of his.
    pub(crate) fn heed_one(
        &mut self,
        session: SessionId,
        outcome: (usize, Outcome),
        effects: &mut Effects<'_>,
    ) {
        let dialling = self.calls.get(&session).and_then(|call| call.dialling.as_ref());
        let before = dialling.map(Dialling::tickets).unwrap_or_default();
        self.heed(session, before, vec![outcome], effects);
    }

    /// Remembers whom the answers of this call's ways are for.
    fn note_ways(&mut self, session: SessionId) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        let Some(dialling) = call.dialling.as_mut() else { return };
        for ticket in dialling.tickets() {
            self.tickets.insert(ticket, session);
        }
        let ids = dialling.hunts().flat_map(switchboard::hunt::Hunt::call_ids);
        let new = ids.filter(|id| !dialling.pushed.iter().any(|known| known == id));
        let new: Vec<String> = new.map(str::to_owned).collect();
        for id in new {
            self.replies.insert(id.clone(), session);
            dialling.pushed.push(id);
        }
    }

    fn forget_replies(&mut self, pushed: &[String]) {
        for id in pushed {
            self.replies.remove(id);
        }
    }

    /// Apps hear what they want to hear of those who are dialled.
    pub(crate) fn tell_news(&mut self, session: SessionId, effects: &mut Effects<'_>) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        let Some(dialling) = call.dialling.as_mut() else { return };
        let news = std::mem::take(&mut dialling.news);
        let about = questions(call, news, effects);
        let jar = call.jar.clone();
        for question in about {
            self.tell(session, &jar, question, effects);
        }
    }

    fn outcome(
        &mut self,
        session: SessionId,
        (place, outcome): (usize, Outcome),
        effects: &mut Effects<'_>,
    ) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        let Some(dialling) = call.dialling.as_mut() else { return };
        match outcome {
            Outcome::Answered { leg, sdp } => self.answered(session, place, (leg, sdp), effects),
            Outcome::Failed { status, outcome, .. } => {
                if !dialling.lost(place, (status, outcome)) {
                    return;
                }
                match dialling.next(effects) {
                    Some(next) => self.outcome(session, next, effects),
                    None => {
                        let word = dialling.why_not();
                        self.end_dial(session, word, effects);
                    }
                }
            }
            // Waking is no ringing: nobody has heard anything yet.
            Outcome::Progress { why: Some(_), .. } => {}
            Outcome::Progress { .. } => {
                dialling.rang(place);
                if dialling.rings {
                    return;
                }
                dialling.rings = true;
                call.facts.rang.get_or_insert(effects.unix());
                if call.facts.answered.is_some() {
                    let signal = media::tones::Signal::Ringing;
                    let play = Play::Tone { country: dialling.country, signal };
                    // Nobody waits for its end.
                    call.sound_at(call.seat.place(), play, effects);
                }
            }
            // The phone that took it over its push comes by itself.
            Outcome::AnsweredByReply { .. } | Outcome::Pending => {}
        }
    }

    fn answered(
        &mut self,
        session: SessionId,
        place: usize,
        (leg, sdp): (LegId, Option<Vec<u8>>),
        effects: &mut Effects<'_>,
    ) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        let Some(dialling) = call.dialling.as_mut() else { return };
        for ticket in dialling.tickets() {
            self.tickets.remove(&ticket);
        }
        call.facts.answered_by = dialling.won(place, effects);
        let greeting = dialling.callees.get(place).and_then(|one| Greeting::of(&one.target));
        dialling.reach = match greeting {
            Some(greeting) => Reach::Greeting(place, leg, Box::new(greeting)),
            None => Reach::Talking(place, leg, effects.unix()),
        };
        let settled = sdp.is_some_and(|sdp| dialling.seat.settle(&sdp, effects).is_ok());
        if !settled {
            let words = "whoever answered describes no sound that we have";
            effects.ladder(CallId(session.0), Lane::Note, words);
            dialling.reach = Reach::Ringing;
            let end = switchboard::LegCommand::End { status: 488, headers: Vec::new() };
            effects.leg(session, leg, end);
            dialling.tell(place, "failed");
            return self.end_dial(session, "failed", effects);
        }
        dialling.tell(place, "in-progress");
        let machine = dialling.callees.get(place).and_then(|one| one.target.machine.clone());
        if let Some(machine) = machine {
            self.judge(session, (&machine, Whose::Callee(place)), effects);
        }
        let Some(call) = self.calls.get_mut(&session) else { return };
        let Some(dialling) = call.dialling.as_mut() else { return };
        if matches!(dialling.reach, Reach::Greeting(..)) {
            // What he hears is for him alone.
            call.seat.speak(Voice::Nobody, effects);
            self.greeting_carry(session, effects);
        } else {
            self.bridge(session, effects);
        }
    }

    /// Whoever answered talks with the caller from now on.
    pub(crate) fn bridge(&mut self, session: SessionId, effects: &mut Effects<'_>) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        let Some(dialling) = call.dialling.as_mut() else { return };
        let mut greeted = Vec::new();
        if let Reach::Greeting(place, leg, greeting) = &mut dialling.reach {
            greeted = greeting.tickets();
            greeting.close(effects);
            dialling.reach = Reach::Talking(*place, *leg, effects.unix());
            call.seat.speak(Voice::All, effects);
        }
        if dialling.seat.voice() != Voice::All {
            dialling.seat.speak(Voice::All, effects);
        }
        if std::mem::take(&mut dialling.rings) {
            let seat = Some(call.seat.place());
            effects.media(Command::Stop { stream: call.stream, seat, sound: None });
        }
        for ticket in greeted {
            self.tickets.remove(&ticket);
        }
        let dial = call.program.dial_that_runs();
        if let Some(dial) = dial.filter(|dial| Tape::wanted(dial) == Some(false)) {
            self.tape(session, &dial, effects);
        }
        let Some(call) = self.calls.get_mut(&session) else { return };
        call.program.handle(Event::Bridged, effects.now());
        Self::keep(call, effects);
        self.tell_news(session, effects);
        self.carry(session, effects);
    }
}

/// Its end.
impl Room {
    /// Whoever was dialled goes; the program hears how it was, when its recording is kept.
    pub(crate) fn end_dial(
        &mut self,
        session: SessionId,
        status: &'static str,
        effects: &mut Effects<'_>,
    ) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        if call.meeting.is_some() {
            return self.depart(session, crate::word::Why::HungUp, status, effects);
        }
        let Some(dialling) = call.dialling.as_mut() else { return };
        for ticket in dialling.tickets() {
            self.tickets.remove(&ticket);
        }
        let dialled = dialling.ended(status, effects.unix());
        dialling.close(effects);
        let pushed = std::mem::take(&mut dialling.pushed);
        if dialling.rings {
            let seat = Some(call.seat.place());
            effects.media(Command::Stop { stream: call.stream, seat, sound: None });
        }
        if call.seat.voice() != Voice::All {
            call.seat.speak(Voice::All, effects);
        }
        self.forget_replies(&pushed);
        self.tell_news(session, effects);
        if let Some(mut call) = self.calls.remove(&session) {
            self.forget_judged(&mut call, effects);
            self.calls.insert(session, call);
        }
        let Some(call) = self.calls.get_mut(&session) else { return };
        call.dialling = None;
        match &mut call.tape {
            Some(tape) if tape.runs.is_some() => {
                tape.finish(effects);
                tape.over = Some(dialled);
            }
            Some(_) | None => {
                call.tape = None;
                call.program.handle(Event::Dialled(dialled), effects.now());
            }
        }
        Self::keep(call, effects);
    }

    /// The recording of a `<Dial>` ended. False: it is not this one.
    pub(crate) fn dial_recorded(
        &mut self,
        session: SessionId,
        ticket: Ticket,
        recorded: &Result<RecordedFact, SoundFault>,
        effects: &mut Effects<'_>,
    ) -> bool {
        let Some(call) = self.calls.get_mut(&session) else { return false };
        let own = call
            .tape
            .as_ref()
            .is_some_and(|tape| tape.runs.is_some_and(|(known, _)| known == ticket));
        let Some(mut tape) = call.tape.take_if(|_| own) else { return false };
        if let Some((_, tap)) = tape.runs.take() {
            effects.media(Command::Untap { tap });
        }
        if let Err(fault) = recorded {
            effects.ladder(CallId(session.0), Lane::Note, &format!("no recording: {fault}"));
        }
        let kept = kept(recorded.clone().ok(), &tape.sid, effects);
        if let (Some(kept), Ok(fact)) = (&kept, recorded) {
            notes::recorded(session, (kept, fact), (super::tape::SOURCE, tape.channels()), effects);
        }
        let event = if kept.is_some() { "completed" } else { "absent" };
        let said = tape.said(event, kept.as_ref());
        self.tell_of_tape(session, said, effects);
        if let Some(mut dialled) = tape.over.take() {
            dialled.recording = kept.map(|kept| kept.url);
            self.drive(session, Event::Dialled(dialled), effects);
        }
        true
    }

    /// The call is over in the middle of a `<Dial>`: its recording ends without it.
    pub(crate) fn leave_tape(&mut self, call: &mut Call, effects: &mut Effects<'_>) {
        let Some(tape) = call.tape.take() else { return };
        let Some((ticket, _)) = tape.runs else { return };
        tape.finish(effects);
        self.tickets.remove(&ticket);
        self.tape_later(call, &tape, ticket, effects);
    }

    /// Who wants to know that a recording is kept hears of it when it is.
    pub(crate) fn tape_later(
        &mut self,
        call: &Call,
        tape: &Tape,
        ticket: Ticket,
        effects: &mut Effects<'_>,
    ) {
        let (said, more) = (call.said_now(), tape.facts("completed"));
        let (status, absent) = (tape.hook("completed"), tape.hook("absent"));
        let sid = tape.sid.clone();
        let late = Late { ticket, sid, said, status, more, absent, ..Late::default() };
        self.tell_later(call, late, effects);
    }

    /// The call is over: so are those who were dialled, and apps hear of it.
    pub(crate) fn leave_dial(&mut self, call: &mut Call, effects: &mut Effects<'_>) {
        let Some(mut dialling) = call.dialling.take() else { return };
        let _ = dialling.ended("canceled", effects.unix());
        dialling.close(effects);
        self.forget_replies(&std::mem::take(&mut dialling.pushed));
        let news = std::mem::take(&mut dialling.news);
        call.dialling = Some(dialling);
        let about = questions(call, news, effects);
        call.dialling = None;
        for question in about {
            self.tell(call.session, &call.jar, question, effects);
        }
    }
}

/// The leg that answered.
impl Room {
    pub(crate) fn callee(
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
                let told = dialling.seat.change(sdp.as_deref(), &mut dialling.owes, effects);
                effects.leg(session, leg, told);
                Self::keep(call, effects);
            }
            LegEvent::Confirmed { sdp } => {
                match dialling.seat.confirm(sdp.as_deref(), &mut dialling.owes, effects) {
                    Some(true) => Self::keep(call, effects),
                    Some(false) => {
                        self.end_dial(session, "completed", effects);
                        self.carry(session, effects);
                    }
                    None => (),
                }
            }
            LegEvent::Request { request, passed } if passed.method == "REFER" => {
                self.phone_refers(session, (leg, request, &passed), effects);
            }
            LegEvent::Request { request, passed } => {
                let key = key_of(&passed).map(|(key, _)| char::from(key));
                let response = Passed::status(if key.is_some() { 200 } else { 480 });
                effects.leg(session, leg, switchboard::LegCommand::Respond { request, response });
                if let Some(key) = key {
                    self.greeting_key(session, key, effects);
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
}

impl Call {
    /// Plays something to one seat alone; its end is told under this number.
    pub(crate) fn sound_at(
        &mut self,
        seat: media::Seat,
        play: Play,
        effects: &mut Effects<'_>,
    ) -> Playing {
        self.sounds += 1;
        // The caller may sit elsewhere for a while.
        let own = seat == self.seat.place();
        let stream = if own { self.seat.stream() } else { self.stream };
        let sound = self.sounds;
        effects.media(Command::Play { stream, seat: Some(seat), play, sound, alone: true });
        Playing::Sound(sound)
    }
}

/// What is said to apps that want to know of those who are dialled.
/// What apps are told of those who are dialled; who is gone is kept with the call.
fn questions(call: &mut Call, news: Vec<super::News>, effects: &Effects<'_>) -> Vec<Question> {
    let parent = crate::call::call_sid(call.session.0);
    let Some(dialling) = &mut call.dialling else { return Vec::new() };
    for callee in &mut dialling.callees {
        callee.stamp(effects.unix());
        call.legs.keep(callee.over(&parent));
    }
    let dialling = &*dialling;
    let question = |news: super::News| {
        let callee = dialling.callees.get(news.place)?;
        let mut parameters = callee.said(&call.said);
        parameters.extend(news.more);
        parameters.push(("Timestamp".to_owned(), crate::call::date(effects.unix())));
        Some(Question {
            url: news.hook.url,
            method: news.hook.method,
            parameters,
            kind: Kind::Status,
        })
    };
    news.into_iter().filter_map(question).collect()
}
