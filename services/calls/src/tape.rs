//! Recordings of a call that somebody asked for by the API.
//!
//! Picture     POST --> runs --pause, resume--> runs --DELETE, the end of the call--> its file is finished --> kept, in the record
//! Rules       Those who talk hear nothing of it, and their packets pass as before. A transfer or a kill in the middle
//!             begins another file, and both are in the record, which waits until the last file is kept.
//! Limits      [`RECORDINGS_MAX`] files of one call, WAITING_MAX requests that wait for the end of one.
//! Not here    Files (shell), taps (media), recordings of call programs (voice).
//! Spec        none.

use std::time::Duration;

use media::{Command, Direction, Seat, TapId};
use serde_json::{Value, json};
use switchboard::clip::RecordEnd;
use switchboard::facts::recording_json;
use switchboard::ladder::Lane;
use switchboard::notice::{CallFacts, Notice, RecordingFacts};
use switchboard::store::Durability;
use switchboard::{
    ApiRequest, ApiResponse, Effects, RecordFormat, RecordedFact, Recording, SoundFault, Ticket,
};
use types::{CallId, Refuse, SessionId, tagged};

use crate::call::{Call, State};
use crate::{Refusal, Room};

/// Files that one call may have; more are refused with `calls.recordings_full`.
pub const RECORDINGS_MAX: usize = 32;
/// Requests that wait until a file is kept; further ones are answered at once.
const WAITING_MAX: usize = 8;

/// Somebody wants this call to be recorded.
#[derive(Clone, Debug, Default)]
pub struct Tape {
    wish: Wish,
    paused: bool,
    /// It shall end.
    over: bool,
    /// What runs.
    tap: Option<(Ticket, TapId)>,
    /// Requests that want to hear of its end.
    asked: Vec<u64>,
}

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wish {
    channels: u8,
    format: RecordFormat,
    trim: bool,
}

impl Default for Wish {
    fn default() -> Self {
        Self { channels: 1, format: RecordFormat::Wav, trim: false }
    }
}

/// A file that is not finished yet.
#[derive(Clone, Debug)]
pub struct Piece {
    ticket: Ticket,
    facts: RecordingFacts,
}

/// A call that is over and whose record waits for its files.
#[derive(Debug)]
pub struct Over {
    facts: CallFacts,
    pieces: Vec<Piece>,
}

impl Wish {
    /// `{"channels":2,"format":"ogg","trim":true}`, or nothing.
    fn read(body: &[u8]) -> Option<Self> {
        let mut wish = Self::default();
        if body.is_empty() {
            return Some(wish);
        }
        let Value::Object(fields) = serde_json::from_slice(body).ok()? else { return None };
        for (name, value) in &fields {
            match name.as_str() {
                "channels" => wish.channels = value.as_u64().filter(|n| (1..=2).contains(n))? as u8,
                "format" => {
                    wish.format = match value.as_str()? {
                        "wav" => RecordFormat::Wav,
                        "ogg" => RecordFormat::OggOpus,
                        _ => return None,
                    }
                }
                "trim" => wish.trim = value.as_bool()?,
                _ => return None,
            }
        }
        Some(wish)
    }
}

impl Tape {
    pub fn write(&self, writer: &mut tagged::Writer) {
        let ogg = self.wish.format == RecordFormat::OggOpus;
        let flags = [self.paused, self.over, self.wish.trim, ogg].into_iter().enumerate();
        let flags = flags.fold(0, |sum, (place, flag)| sum | u128::from(flag) << place);
        writer.number(1, self.wish.channels.into()).number(2, flags);
    }

    pub fn read(bytes: &[u8]) -> Self {
        let mut tape = Self::default();
        for (tag, field) in tagged::Reader::new(bytes) {
            let number = field.number().unwrap_or(0);
            match tag {
                1 => tape.wish.channels = if number == 2 { 2 } else { 1 },
                2 => {
                    let flag = |place: u32| number >> place & 1 == 1;
                    (tape.paused, tape.over, tape.wish.trim) = (flag(0), flag(1), flag(2));
                    let format = [RecordFormat::Wav, RecordFormat::OggOpus];
                    tape.wish.format = format[usize::from(flag(3))];
                }
                _ => (), // A field of a newer version.
            }
        }
        tape
    }
}

impl Piece {
    pub fn write(&self, writer: &mut tagged::Writer) {
        self.facts.write(writer);
    }

    /// A file that an earlier process did not finish is asked for by its name.
    pub fn recover(bytes: &[u8], effects: &mut Effects<'_>) -> Option<Self> {
        let facts = RecordingFacts::read(bytes)?;
        let ticket = effects.recovered_recording(&facts.name);
        Some(Self { ticket, facts })
    }

    pub fn ticket(&self) -> Ticket {
        self.ticket
    }
}

impl Call {
    /// Its recordings, those that run first said last.
    pub fn recordings(&self) -> Vec<Value> {
        let kept = self.facts.recordings.iter().map(recording_json);
        let runs = self.pieces.iter().map(|piece| {
            let tape = self.tape.as_deref().filter(|tape| tape.runs(piece.ticket));
            let mut shown = recording_json(&piece.facts);
            shown["state"] = match tape {
                Some(tape) if tape.over => "finishing",
                Some(tape) if tape.paused => "paused",
                Some(_) => "recording",
                None => "finishing",
            }
            .into();
            shown
        });
        kept.chain(runs).collect()
    }

    /// Begins a file; whether there is one now.
    fn roll(&mut self, effects: &mut Effects<'_>) -> Result<(), Refusal> {
        let Some(tape) = self.tape.as_deref_mut() else { return Ok(()) };
        if self.facts.recordings.len() + self.pieces.len() >= RECORDINGS_MAX {
            return Err(Refusal::RecordingsFull);
        }
        let stream = self.pair.take_apart(effects).ok_or(Refusal::CannotRecord)?;
        let Wish { channels, format, trim } = tape.wish;
        let (seat, rate) = ((channels == 2).then_some(Seat::A), self.pair.rate());
        let tap = TapId(effects.rng().next_u64());
        let direction = Direction::Both;
        effects.media(Command::Tap { stream, seat, tap, rate, direction });
        let name = format!("rec_{:016x}{:016x}", tap.0, effects.unix().0);
        let max = Duration::ZERO;
        let ticket = effects.record(Recording {
            tap,
            name: name.clone(),
            rate,
            channels,
            format,
            trim,
            max,
        });
        if tape.paused {
            effects.pause_recording(tap, false);
        }
        tape.tap = Some((ticket, tap));
        let facts = RecordingFacts { name, began: effects.unix(), channels, ..Default::default() };
        self.pieces.push(Piece { ticket, facts });
        Ok(())
    }

    /// Ends what runs; its file comes with its ticket.
    pub fn stop_tape(&mut self, effects: &mut Effects<'_>) {
        let Some(tape) = self.tape.as_deref_mut() else { return };
        if let Some((_, tap)) = tape.tap.filter(|_| !tape.over) {
            effects.finish_recording(tap);
            effects.media(Command::Untap { tap });
        }
        tape.over = true;
    }
}

impl Tape {
    fn runs(&self, ticket: Ticket) -> bool {
        self.tap.is_some_and(|(own, _)| own == ticket)
    }
}

/// Requests of the API.
impl Room {
    pub(crate) fn begin_tape(
        &mut self,
        request: &ApiRequest,
        effects: &mut Effects<'_>,
    ) -> Result<ApiResponse, Refusal> {
        let wish = Wish::read(&request.body).ok_or(Refusal::BadBody)?;
        let (session, call) = self.find_mut(request.arg(0))?;
        let talks = matches!(call.state, State::Talking { .. }) && call.facts.answered.is_some();
        if !talks {
            return Err(Refusal::NotAnswered);
        }
        if call.tape.is_some() {
            return Err(Refusal::Recorded);
        }
        if call.is_unsettled() {
            return Err(Refusal::TransferPending);
        }
        call.tape = Some(Box::new(Tape { wish, ..Tape::default() }));
        if let Err(refusal) = call.roll(effects) {
            call.tape = None;
            return Err(refusal);
        }
        let shown = call.recordings().pop().unwrap_or_default();
        let name = shown["name"].as_str().unwrap_or_default().to_owned();
        let ticket = call.pieces.last().map(Piece::ticket);
        effects.ladder(CallId(session.0), Lane::Note, &format!("recording {name} begins"));
        effects.event("recording.began", &CallId(session.0).to_string(), &shown);
        effects.count("calls.recorded");
        effects.save(session, call.encode(), Durability::Written);
        self.tickets.extend(ticket.map(|ticket| (ticket, session)));
        Ok(ApiResponse::json(201, &shown))
    }

    pub(crate) fn tapes(&self, request: &ApiRequest) -> Result<ApiResponse, Refusal> {
        let (_, call) = self.find(request.arg(0))?;
        Ok(ApiResponse::json(200, &json!({ "items": call.recordings(), "next": null })))
    }

    /// Pauses what runs, or lets it go on.
    pub(crate) fn pause_tape(
        &mut self,
        request: &ApiRequest,
        pause: bool,
        effects: &mut Effects<'_>,
    ) -> Result<ApiResponse, Refusal> {
        let (session, call) = self.find_mut(request.arg(0))?;
        let tape = call.tape.as_deref_mut().filter(|tape| !tape.over);
        let tape = tape.ok_or(Refusal::NotRecorded)?;
        tape.paused = pause;
        match tape.tap {
            Some((_, tap)) if pause => effects.pause_recording(tap, false),
            Some((_, tap)) => effects.resume_recording(tap),
            None => (),
        }
        effects.save(session, call.encode(), Durability::Written);
        Ok(ApiResponse::json(200, &call.recordings().pop().unwrap_or_default()))
    }

    /// Ends what runs; answered when its file is kept.
    pub(crate) fn end_tape(
        &mut self,
        request: &ApiRequest,
        effects: &mut Effects<'_>,
    ) -> Result<Option<ApiResponse>, Refusal> {
        let (session, call) = self.find_mut(request.arg(0))?;
        if call.tape.is_none() {
            return Err(Refusal::NotRecorded);
        }
        call.stop_tape(effects);
        let shown = call.recordings().pop().unwrap_or_default();
        let waits = call.tape.as_deref_mut().is_some_and(|tape| {
            let waits = tape.tap.is_some() && tape.asked.len() < WAITING_MAX;
            if waits {
                tape.asked.push(request.id);
            }
            waits
        });
        call.tape.take_if(|tape| tape.tap.is_none());
        effects.save(session, call.encode(), Durability::Written);
        Ok((!waits).then(|| ApiResponse::json(200, &shown)))
    }
}

/// What becomes of files.
impl Room {
    /// A transfer, or a kill, left a call without a file though it is to be recorded: another one begins.
    pub(crate) fn see_tape(&mut self, session: SessionId, effects: &mut Effects<'_>) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        let wanted = |tape: &Tape| tape.tap.is_none() && !tape.over;
        if !call.tape.as_deref().is_some_and(wanted) || call.is_unsettled() {
            return;
        }
        match call.roll(effects) {
            Ok(()) => {
                let ticket = call.pieces.last().map(Piece::ticket);
                self.tickets.extend(ticket.map(|ticket| (ticket, session)));
                effects.save(session, call.encode(), Durability::Written);
            }
            Err(refusal) => {
                let words = format!("it is not recorded any more: {}", refusal.verdict().code);
                effects.ladder(CallId(session.0), Lane::Note, &words);
                call.tape = None;
            }
        }
    }

    /// A file is kept, or lost.
    pub(crate) fn recorded(
        &mut self,
        session: SessionId,
        ticket: Ticket,
        kept: Result<RecordedFact, SoundFault>,
        effects: &mut Effects<'_>,
    ) {
        let (call, over) = (self.calls.get_mut(&session), self.over.get_mut(&session));
        let (facts, pieces) = match (call, over) {
            (Some(call), _) => (&mut call.facts, &mut call.pieces),
            (None, Some(over)) => (&mut over.facts, &mut over.pieces),
            (None, None) => return,
        };
        let Some(place) = pieces.iter().position(|piece| piece.ticket == ticket) else { return };
        let piece = pieces.remove(place);
        let ended = finished(piece.facts, kept);
        let words = match ended.address.as_str() {
            "" => format!("recording {} is lost: {}", ended.name, ended.end),
            address => format!("recording {} is kept at {address}", ended.name),
        };
        let shown = recording_json(&ended);
        effects.ladder(CallId(session.0), Lane::Note, &words);
        effects.event("recording.ended", &CallId(session.0).to_string(), &shown);
        facts.recordings.push(ended);
        if self.over.get(&session).is_some_and(|over| over.pieces.is_empty()) {
            self.end_record(session, effects);
            return;
        }
        let Some(call) = self.calls.get_mut(&session) else { return };
        if let Some(tape) = call.tape.as_deref_mut().filter(|tape| tape.runs(ticket)) {
            tape.tap = None;
            for request in tape.asked.drain(..) {
                effects.answer(request, ApiResponse::json(200, &shown));
            }
            // Whatever ended it by itself would end the next one, too; but not the way from one stream to another.
            let end = call.facts.recordings.last().map_or("", |kept| kept.end.as_str());
            tape.over |= end != end_word(RecordEnd::Asked);
            call.tape.take_if(|tape| tape.over);
        }
        effects.save(session, call.encode(), Durability::Written);
        self.see_tape(session, effects);
    }

    /// A call is over: its record is left, at once or when its last file is kept.
    pub(crate) fn leave_record(
        &mut self,
        session: SessionId,
        mut call: Box<Call>,
        effects: &mut Effects<'_>,
    ) {
        if call.pieces.is_empty() {
            effects.end(session, Some(call.facts.encode()));
            effects.publish(Notice::CallEnded(call.facts.into()));
            return;
        }
        effects.save(session, call.encode_over(), Durability::Written);
        effects.publish(Notice::CallEnded(call.facts.clone().into()));
        if let Some(tape) = call.tape.take() {
            for request in tape.asked {
                effects.refuse_api(request, &Refusal::NoSuchCall);
            }
        }
        let over = Over { facts: call.facts, pieces: call.pieces };
        self.over.insert(session, Box::new(over));
    }

    fn end_record(&mut self, session: SessionId, effects: &mut Effects<'_>) {
        if let Some(over) = self.over.remove(&session) {
            effects.end(session, Some(over.facts.encode()));
        }
    }

    /// A call whose record waited for its files when the process died.
    pub(crate) fn adopt_over(
        &mut self,
        session: SessionId,
        facts: CallFacts,
        pieces: &[Vec<u8>],
        effects: &mut Effects<'_>,
    ) {
        let pieces: Vec<Piece> =
            pieces.iter().filter_map(|piece| Piece::recover(piece, effects)).collect();
        self.tickets.extend(pieces.iter().map(|piece| (piece.ticket, session)));
        let none = pieces.is_empty();
        self.over.insert(session, Box::new(Over { facts, pieces }));
        if none {
            self.end_record(session, effects);
        }
    }
}

/// What is known of a file when it is finished.
fn finished(facts: RecordingFacts, kept: Result<RecordedFact, SoundFault>) -> RecordingFacts {
    match kept {
        Ok(kept) => RecordingFacts {
            address: kept.address,
            length: kept.length,
            octets: kept.octets,
            end: end_word(kept.end).to_owned(),
            ..facts
        },
        Err(fault) => RecordingFacts { end: fault.verdict().code.to_owned(), ..facts },
    }
}

fn end_word(end: RecordEnd) -> &'static str {
    match end {
        RecordEnd::Asked => "asked",
        RecordEnd::Disk => "disk",
        RecordEnd::Interrupted => "interrupted",
        RecordEnd::Length => "length",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_are_read_and_nonsense_is_refused() {
        assert_eq!(Wish::read(b""), Some(Wish::default()));
        let two = Wish::read(br#"{"channels":2,"format":"ogg","trim":true}"#);
        let wanted = Wish { channels: 2, format: RecordFormat::OggOpus, trim: true };
        assert_eq!(two, Some(wanted));
        for body in ["[]", "{", r#"{"channels":3}"#, r#"{"format":"mp3"}"#, r#"{"chanels":1}"#] {
            assert_eq!(Wish::read(body.as_bytes()), None, "{body}");
        }
        let tape = Tape { wish: wanted, paused: true, ..Tape::default() };
        let mut writer = tagged::Writer::new();
        tape.write(&mut writer);
        let read = Tape::read(&writer.finish());
        assert!(read.wish == wanted && read.paused && !read.over);
    }
}
