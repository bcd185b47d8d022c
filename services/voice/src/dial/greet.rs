//! What somebody who was dialled hears alone, before he talks with the caller: keys, then a document of his own.
//!
//! Picture     answer --> keys played --> whisper: a program of his --no verb left--> bridged;  Hangup --> the dial is over
//! Rules       The caller hears ringing on. The document's questions are about the call to him; cookies are those of
//!             the whole call. It may say, play, gather, wait and hang up; a Dial in it is an error (13201).
//! Limits      Those of `program`. A restart ends it: the caller's `<Dial>` begins again.
//! Not here    Bridging (run).
//! Spec        programmable-voice §1.3 (url, sendDigits)

use media::{Command, Play};
use switchboard::clip::{ClipFact, SoundFault};
use switchboard::fetch::{FetchFault, Fetched};
use switchboard::ladder::Lane;
use switchboard::{Effects, Ticket};
use twiml::Hook;
use types::{CallId, Instant, SessionId};

use super::{Reach, SEAT};
use crate::Room;
use crate::act::{note, source};
use crate::call::{Call, Playing};
use crate::events::arrived;
use crate::hook::{Asking, Question, Turn};
use crate::program::{Act, Ask, Event, Heard, Piece, Program};
use crate::socket::Kind;

/// See the head of this file.
#[derive(Debug, Default)]
pub struct Greeting {
    /// Keys that are played first.
    keys: Option<String>,
    /// The document that follows them.
    whisper: Option<Hook>,
    program: Option<Program>,
    asking: Option<(Ticket, Asking, Ask)>,
    timer: Option<(Instant, Ticket)>,
    playing: Playing,
}

impl Greeting {
    /// For one who answered; `None`: he talks at once.
    pub fn of(target: &twiml::Target) -> Option<Self> {
        let (keys, whisper) = (target.send_digits.clone(), target.whisper.clone());
        let any = keys.is_some() || whisper.is_some();
        any.then(|| Self { keys, whisper, ..Self::default() })
    }

    /// What it waits for.
    pub fn tickets(&self) -> Vec<Ticket> {
        let asking = self.asking.as_ref().map(|(ticket, ..)| *ticket);
        let making = match self.playing {
            Playing::Making(ticket, _) => Some(ticket),
            Playing::Nothing | Playing::Sound(_) => None,
        };
        let timer = self.timer.map(|(_, ticket)| ticket);
        [asking, making, timer].into_iter().flatten().collect()
    }

    pub fn close(&mut self, effects: &mut Effects<'_>) {
        if let Some((_, ticket)) = self.timer.take() {
            effects.cancel_timer(ticket);
        }
    }

    fn tell(&mut self, event: Event, effects: &Effects<'_>) {
        if let Some(program) = &mut self.program {
            program.handle(event, effects.now());
        }
    }
}

/// The greeting that runs.
fn greeting(call: &mut Call) -> Option<&mut Greeting> {
    match &mut call.dialling.as_mut()?.reach {
        Reach::Greeting(_, _, greeting) => Some(greeting),
        Reach::Ringing | Reach::Talking(..) => None,
    }
}

/// What happens.
impl Room {
    /// An answer that the document waits for. False: it is not its.
    pub(crate) fn greeting_fetched(
        &mut self,
        session: SessionId,
        ticket: Ticket,
        fetched: &Result<Fetched, FetchFault>,
        effects: &mut Effects<'_>,
    ) -> bool {
        let Some(call) = self.calls.get_mut(&session) else { return false };
        let (unix, now) = (effects.unix(), effects.now());
        let mut jar = std::mem::take(&mut call.jar);
        let Some(greeting) = greeting(call) else {
            call.jar = jar;
            return false;
        };
        let waits = greeting.asking.as_ref().is_some_and(|(known, ..)| *known == ticket);
        let Some((_, mut asking, ask)) = greeting.asking.take_if(|_| waits) else {
            call.jar = jar;
            return false;
        };
        effects.ladder(CallId(session.0), Lane::Web, &arrived(fetched));
        call.events.note(&asking, fetched, unix);
        let Some(greeting) = self::greeting(call) else { return false };
        let again = match asking.answered(fetched.clone(), &mut jar, unix, now) {
            Turn::Again => true,
            Turn::Done(answer) => {
                greeting.tell(Event::Answered(answer), effects);
                false
            }
            Turn::Failed(failure) => {
                greeting.tell(Event::Failed(failure), effects);
                false
            }
        };
        call.jar = jar;
        if again {
            self.greeting_send(session, (asking, ask), effects);
        } else {
            self.greeting_carry(session, effects);
        }
        true
    }

    /// A sound that it waits for. False: it is not its.
    pub(crate) fn greeting_clip(
        &mut self,
        session: SessionId,
        ticket: Ticket,
        made: &Result<ClipFact, SoundFault>,
        effects: &mut Effects<'_>,
    ) -> bool {
        let Some(call) = self.calls.get_mut(&session) else { return false };
        let Some(greeting) = greeting(call) else { return false };
        let Playing::Making(known, times) = greeting.playing else { return false };
        if known != ticket {
            return false;
        }
        match made {
            Ok(fact) => {
                let (clips, from) = (vec![fact.id], std::time::Duration::ZERO);
                let playing = call.sound_at(SEAT, Play::Clips { clips, from, times }, effects);
                if let Some(greeting) = self::greeting(call) {
                    greeting.playing = playing;
                }
            }
            Err(fault) => {
                effects.ladder(CallId(session.0), Lane::Note, &format!("no sound: {fault}"));
                greeting.playing = Playing::Nothing;
                greeting.tell(Event::Sounded(Heard::Nothing), effects);
                self.greeting_carry(session, effects);
            }
        }
        true
    }

    /// He heard it all. False: it was not for him.
    pub(crate) fn greeting_played(
        &mut self,
        session: SessionId,
        (sound, heard): (u64, Heard),
        effects: &mut Effects<'_>,
    ) -> bool {
        let Some(call) = self.calls.get_mut(&session) else { return false };
        let Some(greeting) = greeting(call) else { return false };
        if !matches!(greeting.playing, Playing::Sound(known) if known == sound) {
            return false;
        }
        greeting.playing = Playing::Nothing;
        if greeting.program.is_some() {
            greeting.tell(Event::Sounded(heard), effects);
        }
        self.greeting_carry(session, effects);
        true
    }

    /// He pressed a key.
    pub(crate) fn greeting_key(
        &mut self,
        session: SessionId,
        key: char,
        effects: &mut Effects<'_>,
    ) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        if let Some(greeting) = greeting(call) {
            greeting.tell(Event::Key(key), effects);
            self.greeting_carry(session, effects);
        }
    }

    /// A timer of this call came. False: it is not its.
    pub(crate) fn greeting_woke(
        &mut self,
        session: SessionId,
        ticket: Ticket,
        effects: &mut Effects<'_>,
    ) -> bool {
        let Some(call) = self.calls.get_mut(&session) else { return false };
        let Some(greeting) = greeting(call) else { return false };
        if greeting.timer.take_if(|(_, timer)| *timer == ticket).is_none() {
            return false;
        }
        greeting.tell(Event::Woke, effects);
        self.greeting_carry(session, effects);
        true
    }
}

/// What is done.
impl Room {
    /// Goes on with what he hears; bridges him when there is nothing more.
    pub(crate) fn greeting_carry(&mut self, session: SessionId, effects: &mut Effects<'_>) {
        while let Some(call) = self.calls.get_mut(&session) {
            let Some(greeting) = greeting(call) else { return };
            if let Some(keys) = greeting.keys.take() {
                let playing = call.sound_at(SEAT, Play::Keys { digits: keys }, effects);
                if let Some(greeting) = self::greeting(call) {
                    greeting.playing = playing;
                }
                return;
            }
            if let Some(hook) = greeting.whisper.take() {
                let Hook { url, method } = hook;
                greeting.program = Some(Program::whisper(Ask { url, method, more: Vec::new() }));
            }
            let Some(program) = &mut greeting.program else {
                return self.bridge(session, effects);
            };
            match program.poll() {
                Some(Act::Done { .. }) => return self.bridge(session, effects),
                Some(Act::Hangup) => {
                    self.end_dial(session, "completed", effects);
                    return self.carry(session, effects);
                }
                Some(act) => self.greeting_perform(session, act, effects),
                None => return self.greeting_wake(session, effects),
            }
        }
    }

    fn greeting_perform(&mut self, session: SessionId, act: Act, effects: &mut Effects<'_>) {
        match act {
            Act::Ask(ask) => self.greeting_ask(session, ask, effects),
            Act::Hush => {
                let Some(call) = self.calls.get_mut(&session) else { return };
                if let Some(greeting) = greeting(call) {
                    greeting.playing = Playing::Nothing;
                }
                let (stream, seat) = (call.stream, Some(SEAT));
                effects.media(Command::Stop { stream, seat, sound: None });
            }
            Act::Note { class, code, sentence } => {
                let Some(call) = self.calls.get_mut(&session) else { return };
                note(call, (class, code), &sentence, effects);
            }
            Act::Play { piece, times } => self.greeting_play(session, piece, times, effects),
            // He is there, and of these nothing is done in such a document.
            Act::Abandon(_)
            | Act::Answer
            | Act::Connect(_)
            | Act::Deafen
            | Act::Dial(_)
            | Act::Disconnect
            | Act::Done { .. }
            | Act::EndDial
            | Act::EndRecord
            | Act::EndRefer
            | Act::Enqueue(_)
            | Act::Fork(_)
            | Act::Hangup
            | Act::Leave
            | Act::Listen(_)
            | Act::Meet(_)
            | Act::Record(_)
            | Act::Refer(_)
            | Act::Reject { .. }
            | Act::Ring
            | Act::Siprec(_)
            | Act::StopSiprec(_)
            | Act::StopStream(_)
            | Act::StopTranscription(_)
            | Act::Tape(_)
            | Act::Transcribe(_) => {}
        }
    }

    fn greeting_ask(&mut self, session: SessionId, ask: Ask, effects: &mut Effects<'_>) {
        let token = format!("{:016x}{:016x}", effects.rng().next_u64(), effects.rng().next_u64());
        let Some(call) = self.calls.get_mut(&session) else { return };
        let Some(callee) = call.dialling.as_ref().and_then(|dialling| dialling.answerer()) else {
            return;
        };
        let mut parameters = callee.said(&call.said);
        parameters.push(("CallStatus".to_owned(), "in-progress".to_owned()));
        parameters.extend(ask.more.iter().cloned());
        let question =
            Question { url: ask.url.clone(), method: ask.method, parameters, kind: Kind::Next };
        match Asking::new(question, token, effects.now()) {
            Ok(asking) => self.greeting_send(session, (asking, ask), effects),
            Err(failure) => {
                if let Some(greeting) = greeting(call) {
                    greeting.tell(Event::Failed(failure), effects);
                }
            }
        }
    }

    fn greeting_send(
        &mut self,
        session: SessionId,
        (asking, ask): (Asking, Ask),
        effects: &mut Effects<'_>,
    ) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        let fetch = asking.put(&call.jar, CallId(session.0), effects);
        let ticket = effects.fetch(fetch);
        if let Some(greeting) = greeting(call) {
            greeting.asking = Some((ticket, asking, ask));
        }
        self.tickets.insert(ticket, session);
    }

    fn greeting_play(
        &mut self,
        session: SessionId,
        piece: Piece,
        times: u32,
        effects: &mut Effects<'_>,
    ) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        let playing = match source(piece) {
            Ok(source) => {
                let ticket = effects.clip(source);
                self.tickets.insert(ticket, session);
                Playing::Making(ticket, times)
            }
            Err(keys) => call.sound_at(SEAT, keys, effects),
        };
        if let Some(greeting) = greeting(call) {
            greeting.playing = playing;
        }
    }

    fn greeting_wake(&mut self, session: SessionId, effects: &mut Effects<'_>) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        let Some(greeting) = greeting(call) else { return };
        let wanted = greeting.program.as_ref().and_then(Program::deadline);
        if greeting.timer.map(|(at, _)| at) == wanted {
            return;
        }
        if let Some((_, ticket)) = greeting.timer.take() {
            effects.cancel_timer(ticket);
            self.tickets.remove(&ticket);
        }
        if let Some(at) = wanted {
            let ticket = effects.set_timer(at);
            greeting.timer = Some((at, ticket));
            self.tickets.insert(ticket, session);
        }
    }
}
