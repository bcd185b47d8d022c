//! What programs want, done.

use std::time::Duration;

use media::{Command, Direction, Play, Rate, TapId};
use switchboard::Effects;
use switchboard::clip::{ClipSource, RecordFormat, Recording};
use switchboard::ladder::Lane;
use switchboard::leg::LegCommand;
use switchboard::notice::Notice;
use twiml::{Class, Record};
use types::{CallId, Refuse, SessionId};

use crate::address::Address;
use crate::call::{Call, Playing};
use crate::dial::{Dialling, tape_sid};
use crate::hook::Asking;
use crate::program::{Act, Ask, Event, Heard, Piece};
use crate::rest::notes;
use crate::{Refusal, Room, beep};

impl Room {
    /// Does what the program of a call wants, until it wants nothing more.
    pub(crate) fn carry(&mut self, session: SessionId, effects: &mut Effects<'_>) {
        while let Some(call) = self.calls.get_mut(&session) {
            if call.is_judged() {
                return; // Its first question says who answered.
            }
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
            Act::Connect(stream) => return self.open_stream(session, (*stream, true), effects),
            Act::Dial(dial) => return self.dial(session, &dial, effects),
            Act::Abandon(action) => return self.abandon(session, action, effects),
            Act::Done { failed } => return self.aside_done(session, failed, effects),
            Act::EndDial => return self.end_dial(session, "canceled", effects),
            Act::Enqueue(noun) => return self.enqueue(session, *noun, effects),
            Act::Leave => return self.unqueue(session, "leave", effects),
            Act::Meet(meet) => return self.meet(session, *meet, effects),
            Act::Deafen => return self.deafen(session, effects),
            Act::Disconnect => return self.disconnect(session, effects),
            Act::Fork(stream) => return self.open_stream(session, (*stream, false), effects),
            Act::Listen(listen) => return self.listen(session, *listen, effects),
            Act::Play { piece, times } => return self.play(session, piece, times, effects),
            Act::Refer(refer) => return self.refer(session, &refer, effects),
            Act::EndRefer => return self.end_refer(session, effects),
            Act::Record(record) => return self.record(session, &record, effects),
            Act::Note { class, code, sentence } => {
                let Some(call) = self.calls.get_mut(&session) else { return };
                return note(call, (class, code), &sentence, effects);
            }
            Act::Siprec(wanted) => {
                // What is wrong stands in the ladder; a document goes on.
                let _ = self.start_siprec(session, *wanted, effects);
                return;
            }
            Act::StopSiprec(name) => {
                self.stop_siprec(session, &name, effects);
                return;
            }
            Act::StopStream(name) => return self.stop_stream(session, &name, effects),
            Act::StopTranscription(name) => {
                return self.stop_transcription(session, &name, effects);
            }
            Act::Tape(wanted) => return self.start_recording(session, *wanted, effects),
            Act::Transcribe(wanted) => return self.transcribe(session, *wanted, effects),
            Act::Answer | Act::EndRecord | Act::Hush | Act::Ring => {}
        }
        let Some(call) = self.calls.get_mut(&session) else { return };
        match act {
            Act::Answer => answer(call, effects),
            Act::EndRecord => match &call.recording {
                Some((_, tap, _)) => effects.finish_recording(*tap),
                None => call.program.handle(Event::Recorded(None), effects.now()),
            },
            Act::Hush => {
                call.hush(effects);
            }
            Act::Ring => {
                let ring = LegCommand::Ring { status: 180, sdp: None, headers: Vec::new() };
                effects.leg(session, call.leg, ring);
                call.facts.rang.get_or_insert(effects.unix());
            }
            Act::Abandon(_)
            | Act::Ask(_)
            | Act::Connect(_)
            | Act::Deafen
            | Act::Dial(_)
            | Act::Disconnect
            | Act::Done { .. }
            | Act::EndDial
            | Act::EndRefer
            | Act::Enqueue(_)
            | Act::Fork(_)
            | Act::Hangup
            | Act::Leave
            | Act::Listen(_)
            | Act::Meet(_)
            | Act::Note { .. }
            | Act::Play { .. }
            | Act::Record(_)
            | Act::Refer(_)
            | Act::Reject { .. }
            | Act::Siprec(_)
            | Act::StopSiprec(_)
            | Act::StopStream(_)
            | Act::StopTranscription(_)
            | Act::Tape(_)
            | Act::Transcribe(_) => {}
        }
    }

    /// Sets the timer that the program wants.
    fn wake(&mut self, session: SessionId, effects: &mut Effects<'_>) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        call.tell_doing(effects);
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
        let fetch = asking.put(&call.jar, CallId(session.0), effects);
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
        let source = match source(piece) {
            Ok(source) => source,
            Err(keys) => return call.sound(keys, effects),
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
        let sid = tape_sid(tap, effects);
        let ticket = effects.record(Recording {
            tap,
            name: sid.clone(),
            rate: Rate::Narrow,
            channels: 1,
            format: RecordFormat::Wav,
            trim: record.trim,
            max: record.length_max,
        });
        call.recording = Some((ticket, tap, sid));
        call.listen(record.timeout, effects);
        Self::keep(call, effects);
        self.tickets.insert(ticket, session);
    }
}

impl Call {
    /// Plays something to the caller alone.
    pub(crate) fn sound(&mut self, play: Play, effects: &mut Effects<'_>) {
        self.playing = self.sound_at(self.seat.place(), play, effects);
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
        let recording = self.recording.as_ref().map(|(ticket, ..)| *ticket);
        let tape = self.tape.as_ref().and_then(|tape| Some(tape.runs?.0));
        let timer = self.timer.map(|(_, ticket)| ticket);
        let dialling = self.dialling.iter().flat_map(Dialling::tickets);
        let outgoing = self.outgoing.iter().flat_map(|outgoing| outgoing.tickets());
        let single = [asking, making, recording, tape, timer, self.limit].into_iter().flatten();
        let apart = self.stream_tickets().chain(self.ear_tickets()).chain(self.reel_tickets());
        let apart = apart.chain(self.recorder_tickets()).chain(self.beside_ticket());
        let apart = apart.chain(self.judging_tickets());
        single.chain(dialling).chain(outgoing).chain(apart).collect()
    }
}

/// Something for the log of a call.
pub(crate) fn note(
    call: &mut Call,
    (class, code): (Class, u16),
    sentence: &str,
    effects: &mut Effects<'_>,
) {
    let class = match class {
        Class::Error => "error",
        Class::Hint => "hint",
        Class::Warning => "warning",
    };
    if class == "error" {
        effects.count("voice.errors");
    }
    let words = format!("{class} {code}: {sentence}");
    effects.ladder(CallId(call.session.0), Lane::Note, &words);
    let said = serde_json::json!({"class": class, "code": code, "sentence": sentence});
    call.news("note", said, effects);
    if class != "hint" {
        notes::note(call, (class, code), sentence, effects);
    }
}

/// What a piece is made of; `Err`: keys, which the engine makes.
pub(crate) fn source(piece: Piece) -> Result<ClipSource, Play> {
    Ok(match piece {
        Piece::Beep => ClipSource::Bytes { bytes: beep::wav(), even: false },
        Piece::Keys(digits) => return Err(Play::Keys { digits }),
        Piece::Music => {
            ClipSource::Bytes { bytes: switchboard::music::wav().to_vec(), even: false }
        }
        Piece::Speech { text, language, .. } => {
            // The vendor's voices are not ours: whoever speaks the language speaks.
            ClipSource::Speech { text, language, voice: String::new() }
        }
        Piece::Url(url) => {
            let address = Address::parse(&url).map(|address| address.of_files().sent());
            ClipSource::Url { url: address.unwrap_or(url), even: false }
        }
    })
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
