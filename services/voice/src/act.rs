//! What programs want, done.

use std::time::Duration;

use media::{Command, Direction, Play, Rate, TapId};
use switchboard::Effects;
use switchboard::clip::{ClipSource, RecordFormat, Recording};
use switchboard::ladder::Lane;
use switchboard::leg::LegCommand;
use switchboard::notice::Notice;
use switchboard::seat::Seat;
use twiml::{Class, Dial, Record};
use types::{CallId, Refuse, SessionId};

use crate::call::{Call, Playing};
use crate::dial::{Dialler, Dialling, SEAT};
use crate::hook::{Asking, Signer};
use crate::program::{Act, Ask, Dialled, Event, Heard, Piece};
use crate::rest::notes;
use crate::{Refusal, Room, beep};

impl Room {
    /// Does what the program of a call wants, until it wants nothing more.
    pub(crate) fn carry(&mut self, session: SessionId, effects: &mut Effects<'_>) {
        while let Some(call) = self.calls.get_mut(&session) {
            let beside = || call.aside.as_mut().and_then(|aside| aside.program.poll());
            let Some(act) = call.program.poll().or_else(beside) else {
                self.wake(session, effects);
                return;
            };
            self.perform(session, act, effects);
        }
    }

    fn perform(&mut self, session: SessionId, act: Act, effects: &mut Effects<'_>) {
        match act {
            Act::Hangup => return self.finish(session, (480, "failed", "server"), effects),
            Act::Reject { busy } => return self.reject(session, busy, effects),
            Act::Ask(ask) => return self.ask(session, ask, effects),
            Act::Dial(dial) => return self.dial(session, &dial, effects),
            Act::Abandon(action) => return self.abandon(session, action, effects),
            Act::Done { failed } => return self.aside_done(session, failed, effects),
            Act::EndDial => return self.end_dial(session, "canceled", effects),
            Act::Enqueue(noun) => return self.enqueue(session, *noun, effects),
            Act::Leave => return self.unqueue(session, "leave", effects),
            Act::Meet(meet) => return self.meet(session, *meet, effects),
            Act::Play { piece, times } => return self.play(session, piece, times, effects),
            Act::Record(record) => return self.record(session, &record, effects),
            Act::Answer | Act::EndRecord | Act::Hush | Act::Note { .. } | Act::Ring => {}
        }
        let Some(call) = self.calls.get_mut(&session) else { return };
        match act {
            Act::Answer => answer(call, effects),
            Act::EndRecord => match call.recording {
                Some((_, tap)) => effects.finish_recording(tap),
                None => call.program.handle(Event::Recorded(None), effects.now()),
            },
            Act::Hush => {
                call.hush(effects);
            }
            Act::Note { class, code, sentence } => {
                let class = match class {
                    Class::Error => "error",
                    Class::Hint => "hint",
                    Class::Warning => "warning",
                };
                if class == "error" {
                    effects.count("voice.errors");
                }
                let words = format!("{class} {code}: {sentence}");
                effects.ladder(CallId(session.0), Lane::Note, &words);
                if class != "hint" {
                    notes::note(call, (class, code), &sentence, effects);
                }
            }
            Act::Ring => {
                let ring = LegCommand::Ring { status: 180, sdp: None, headers: Vec::new() };
                effects.leg(session, call.leg, ring);
                call.facts.rang.get_or_insert(effects.unix());
            }
            Act::Abandon(_)
            | Act::Ask(_)
            | Act::Dial(_)
            | Act::Done { .. }
            | Act::EndDial
            | Act::Enqueue(_)
            | Act::Hangup
            | Act::Leave
            | Act::Meet(_)
            | Act::Play { .. }
            | Act::Record(_)
            | Act::Reject { .. } => {}
        }
    }

    /// Sets the timer that the program wants.
    fn wake(&mut self, session: SessionId, effects: &mut Effects<'_>) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        let wanted = call.deadline();
        if call.timer.map(|(at, _)| at) == wanted {
            return;
        }
        if let Some((_, ticket)) = call.timer.take() {
            effects.cancel_timer(ticket);
            self.tickets.remove(&ticket);
        }
        if let Some(at) = wanted {
            let ticket = effects.set_timer(at);
            call.timer = Some((at, ticket));
            self.tickets.insert(ticket, session);
        }
    }

    fn reject(&mut self, session: SessionId, busy: bool, effects: &mut Effects<'_>) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        let verdict = Refusal::Rejected.verdict();
        effects.count(verdict.code);
        call.facts.refusal = verdict.code.to_owned();
        let (status, outcome) = if busy { (486, "busy") } else { (verdict.sip, "refused") };
        let headers = Effects::refusal_headers(&Refusal::Rejected);
        effects.leg(session, call.leg, LegCommand::End { status, headers });
        self.finish(session, (status, outcome, "server"), effects);
    }

    /// Asks an app. What is known of the call is written down before the question leaves.
    fn ask(&mut self, session: SessionId, ask: Ask, effects: &mut Effects<'_>) {
        let token = format!("{:016x}{:016x}", effects.rng().next_u64(), effects.rng().next_u64());
        let Some(call) = self.calls.get_mut(&session) else { return };
        match Asking::new(call.question(&ask), token, effects.now()) {
            Ok(asking) => self.send(session, (asking, ask), effects),
            Err(failure) => call.tell(Event::Failed(failure), effects.now()),
        }
    }

    pub(crate) fn send(
        &mut self,
        session: SessionId,
        (asking, ask): (Asking, Ask),
        effects: &mut Effects<'_>,
    ) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        let token = effects.apps().token.clone();
        let signer = Signer { token: token.reveal() };
        let fetch = asking.request(&signer, &call.jar, effects.unix(), effects.now());
        let words = format!("{} {}", fetch.method, asking.url());
        effects.ladder(CallId(session.0), Lane::Web, &words);
        // The ticket comes with the question, which must leave after what says that it is asked.
        call.asking = Some((switchboard::Ticket::default(), asking.clone(), ask.clone()));
        if call.facts.answered.is_some() {
            Self::keep(call, effects);
        }
        let ticket = effects.fetch(fetch);
        call.asking = Some((ticket, asking, ask));
        self.tickets.insert(ticket, session);
    }

    fn play(&mut self, session: SessionId, piece: Piece, times: u32, effects: &mut Effects<'_>) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        let source = match piece {
            Piece::Beep => ClipSource::Bytes { bytes: beep::wav(), even: false },
            Piece::Keys(digits) => {
                return call.sound(Play::Keys { digits }, effects);
            }
            Piece::Music => ClipSource::Bytes { bytes: crate::music::wav().to_vec(), even: false },
            Piece::Speech { text, language, .. } => {
                // The vendor's voices are not ours: whoever speaks the language speaks.
                ClipSource::Speech { text, language, voice: String::new() }
            }
            Piece::Url(url) => {
                let bare = url.split('#').next().unwrap_or_default().to_owned();
                ClipSource::Url { url: bare, even: false }
            }
        };
        let ticket = effects.clip(source);
        call.playing = Playing::Making(ticket, times);
        self.tickets.insert(ticket, session);
    }

    fn record(&mut self, session: SessionId, record: &Record, effects: &mut Effects<'_>) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        let tap = TapId(effects.rng().next_u64());
        effects.media(Command::Tap {
            stream: call.stream,
            seat: Some(call.seat.place()),
            tap,
            rate: Rate::Narrow,
            direction: Direction::In,
        });
        let ticket = effects.record(Recording {
            tap,
            name: format!("RE{:016x}{:016x}", tap.0, effects.unix().0),
            rate: Rate::Narrow,
            channels: 1,
            format: RecordFormat::Wav,
            trim: record.trim,
            max: record.length_max,
        });
        call.recording = Some((ticket, tap));
        call.listen(record.timeout, effects);
        self.tickets.insert(ticket, session);
    }

    fn dial(&mut self, session: SessionId, dial: &Dial, effects: &mut Effects<'_>) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        let said = |wanted: &str| {
            let found = call.said.iter().find(|(name, _)| name == wanted);
            found.map(|(_, value)| value.clone()).unwrap_or_default()
        };
        let (number, from) = (said("To"), said("From"));
        let uri = call.facts.from.clone();
        let name = call.facts.from_name.clone();
        let dialler = Dialler { session, number: &number, caller: (&uri, &from), name: &name };
        let seat = Seat::new(call.stream, SEAT, media::Voice::All, effects);
        let began = match seat {
            Ok(seat) => Dialling::start(dial, &dialler, seat, effects),
            Err(_) => Err("failed"),
        };
        match began {
            Ok((dialling, outcome)) => {
                for ticket in dialling.tickets() {
                    self.tickets.insert(ticket, session);
                }
                call.dialling = Some(dialling);
                self.outcome(session, outcome, effects);
            }
            Err(status) => {
                let dialled = Dialled { status, ..Dialled::default() };
                call.program.handle(Event::Dialled(dialled), effects.now());
            }
        }
    }

    /// Whoever was dialled goes; the program hears how it was.
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
        let Some(mut dialling) = call.dialling.take() else { return };
        for ticket in dialling.tickets() {
            self.tickets.remove(&ticket);
        }
        let dialled = dialling.ended(status, effects.unix());
        dialling.close(effects);
        if dialling.rings {
            let seat = Some(call.seat.place());
            effects.media(Command::Stop { stream: call.stream, seat, sound: None });
        }
        call.program.handle(Event::Dialled(dialled), effects.now());
        Self::keep(call, effects);
    }
}

impl Call {
    /// Plays something to the caller alone.
    pub(crate) fn sound(&mut self, play: Play, effects: &mut Effects<'_>) {
        self.sounds += 1;
        let sound = self.sounds;
        self.playing = Playing::Sound(sound);
        let (stream, seat) = (self.seat.stream(), Some(self.seat.place()));
        effects.media(Command::Play { stream, seat, play, sound, alone: true });
    }

    /// Wants to know when the caller has said nothing for so long.
    pub(crate) fn listen(&self, silence: Option<Duration>, effects: &mut Effects<'_>) {
        let (stream, seat) = (self.seat.stream(), self.seat.place());
        effects.media(Command::Listen { stream, seat, silence });
    }

    /// What was to be played was not to be had.
    pub(crate) fn mute(&mut self, effects: &Effects<'_>) {
        self.playing = Playing::Nothing;
        self.tell(Event::Sounded(Heard::Nothing), effects.now());
    }

    /// What it waits for.
    pub(crate) fn tickets(&self) -> Vec<switchboard::Ticket> {
        let asking = self.asking.as_ref().map(|(ticket, ..)| *ticket);
        let making = match self.playing {
            Playing::Making(ticket, _) => Some(ticket),
            Playing::Nothing | Playing::Sound(_) => None,
        };
        let recording = self.recording.map(|(ticket, _)| ticket);
        let timer = self.timer.map(|(_, ticket)| ticket);
        let dialling = self.dialling.iter().flat_map(Dialling::tickets);
        let outgoing = self.outgoing.iter().flat_map(|outgoing| outgoing.tickets());
        let single = [asking, making, recording, timer, self.limit].into_iter().flatten();
        single.chain(dialling).chain(outgoing).collect()
    }
}

fn answer(call: &mut Call, effects: &mut Effects<'_>) {
    if call.facts.answered.is_some() {
        return;
    }
    call.facts.answered = Some(effects.unix());
    call.facts.status = 200;
    let sdp = call.answer.take();
    // What is kept shows the leg as answered; the shell writes it before the 200 leaves.
    effects.leg(call.session, call.leg, LegCommand::Answer { sdp });
    Room::keep(call, effects);
    effects.publish(Notice::CallAnswered(call.facts.clone().into()));
}
