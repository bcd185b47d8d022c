//! What callers say, in words: for `<Gather>`, for `<Start><Transcription>`, and of recordings.
//!
//! Picture     Listen | Transcribe --tap--> ear --Began, Words--> the program | a callback;  Record --its file--> words --> callback
//! Rules       Sound goes from media to the ear, never by here. Words that nobody found are a warning in the ladder, and the
//!             caller may try again. What is heard of a call that is over is told nobody, but the words of its recordings are.
//! Limits      [`EARS_MAX`] of one call; those of the door.
//! Not here    Where speech ends and what it means (shell), what follows (program).
//! Spec        programmable-voice §1.2 (Gather, Record), §1.3 (Transcription), §2

use std::time::Duration;

use media::{Command, Direction, Rate, TapId};
use serde_json::json;
use switchboard::ladder::Lane;
use switchboard::{EarPlan, Effects, Hearing, Ticket, Tongue};
use twiml::{Hook, Track, Transcription};
use types::{CallId, SessionId};

use crate::Room;
use crate::call::Call;
use crate::cookies::Jar;
use crate::hook::Question;
use crate::program::{Event, Listen, Recorded, Words};
use crate::rest::things::TRANSCRIPTION;
use crate::socket::Kind;
use crate::store::{self, Thing};

/// Ears of one call at one time.
pub const EARS_MAX: usize = 3;
/// So long a silence parts what is said for `<Transcription>`.
const PAUSE: Duration = Duration::from_millis(800);
/// So much is said at a time for `<Transcription>`.
const LENGTH_MAX: Duration = Duration::from_secs(30);

/// An ear that listens to a call.
#[derive(Debug)]
pub struct Listening {
    tap: TapId,
    /// The question that is out.
    ticket: Ticket,
    /// Whom it tells; `None`: the program.
    told: Option<Transcribing>,
}

#[derive(Clone, Debug)]
struct Transcribing {
    sid: String,
    wanted: Transcription,
    /// Callbacks so far.
    count: u64,
}

/// A recording whose words are being found.
#[derive(Debug)]
pub struct Reading {
    session: SessionId,
    said: Vec<(String, String)>,
    jar: Jar,
    hook: Hook,
    /// How it is kept; its words are not there yet.
    thing: Thing,
    seconds: u64,
}

impl Listening {
    /// How apps know it, id and name; `None`: it listens for the program.
    pub(crate) fn named(&self) -> Option<(&str, &str)> {
        self.told.as_ref().map(|told| (&*told.sid, &*told.wanted.name))
    }
}

impl Room {
    /// Listens for the program.
    pub(crate) fn listen(&mut self, session: SessionId, listen: Listen, effects: &mut Effects<'_>) {
        let Listen { silence, length_max, language, hints } = listen;
        let tongue = Tongue { language, hints };
        let tap = TapId(effects.rng().next_u64());
        let direction = Direction::In;
        let plan = EarPlan { tap, direction, silence, length_max, tongue };
        self.open_ear(session, plan, None, effects);
    }

    /// Listens for an app, until it says otherwise or the call ends.
    pub(crate) fn transcribe(
        &mut self,
        session: SessionId,
        wanted: Transcription,
        effects: &mut Effects<'_>,
    ) {
        let tongue = Tongue { language: wanted.language.clone(), hints: wanted.hints.clone() };
        let direction = match wanted.track {
            Track::Both => Direction::Both,
            Track::Inbound => Direction::In,
            Track::Outbound => Direction::Out,
        };
        let tap = TapId(effects.rng().next_u64());
        let plan = EarPlan { tap, direction, silence: PAUSE, length_max: LENGTH_MAX, tongue };
        let sid = format!("GT{:016x}{:016x}", effects.rng().next_u64(), effects.rng().next_u64());
        let told = Transcribing { sid, wanted, count: 0 };
        if self.open_ear(session, plan, Some(told), effects) {
            self.tell_transcribing(session, tap, ("started", Vec::new()), effects);
        }
    }

    fn open_ear(
        &mut self,
        session: SessionId,
        plan: EarPlan,
        told: Option<Transcribing>,
        effects: &mut Effects<'_>,
    ) -> bool {
        let Some(call) = self.calls.get_mut(&session) else { return false };
        if call.ears.len() >= EARS_MAX {
            let words = format!("warning 31931: a call has {EARS_MAX} listeners at most");
            effects.ladder(CallId(session.0), Lane::Note, &words);
            return false;
        }
        let (stream, seat, tap) = (call.seat.stream(), Some(call.seat.place()), plan.tap);
        let direction = plan.direction;
        effects.media(Command::Tap { stream, seat, tap, rate: Rate::Narrow, direction });
        effects.open_ear(plan);
        let ticket = effects.hear(tap);
        self.tickets.insert(ticket, session);
        call.ears.push(Listening { tap, ticket, told });
        true
    }

    /// The program wants no more words.
    pub(crate) fn deafen(&mut self, session: SessionId, effects: &mut Effects<'_>) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        let found = call.ears.iter().position(|ear| ear.told.is_none());
        if let Some(ear) = found.map(|place| call.ears.remove(place)) {
            self.tickets.remove(&ear.ticket);
            close(&ear, effects);
        }
    }

    /// Ends what `<Start><Transcription>` began, by its name or its id; an empty one: the last.
    pub(crate) fn stop_transcription(
        &mut self,
        session: SessionId,
        name: &str,
        effects: &mut Effects<'_>,
    ) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        let fits = |ear: &Listening| {
            ear.told
                .as_ref()
                .is_some_and(|told| name.is_empty() || told.wanted.name == name || told.sid == name)
        };
        let Some(place) = call.ears.iter().rposition(fits) else { return };
        let Some(tap) = call.ears.get(place).map(|ear| ear.tap) else { return };
        self.tell_transcribing(session, tap, ("stopped", Vec::new()), effects);
        let Some(call) = self.calls.get_mut(&session) else { return };
        let ear = call.ears.remove(place);
        self.tickets.remove(&ear.ticket);
        close(&ear, effects);
    }

    /// An ear of a call has heard something.
    pub(crate) fn heard(
        &mut self,
        session: SessionId,
        (ticket, hearing): (Ticket, Hearing),
        effects: &mut Effects<'_>,
    ) {
        if self.judged(session, (ticket, &hearing), effects) {
            return;
        }
        let Some(call) = self.calls.get_mut(&session) else { return };
        let place = call.ears.iter().position(|ear| ear.ticket == ticket);
        let Some(ear) = place.and_then(|place| call.ears.get_mut(place)) else { return };
        if hearing == Hearing::Over {
            let ear = place.map(|place| call.ears.remove(place));
            ear.iter().for_each(|ear| close(ear, effects));
            return self.no_words(session, "nobody listens any more", effects);
        }
        ear.ticket = effects.hear(ear.tap);
        self.tickets.insert(ear.ticket, session);
        let (tap, for_app) = (ear.tap, ear.told.is_some());
        match hearing {
            Hearing::Began { .. } if !for_app => self.drive(session, Event::Spoke, effects),
            Hearing::Answered { .. } | Hearing::Began { .. } | Hearing::Over => {}
            Hearing::Failed(fault) => {
                self.no_words(session, &fault.to_string(), effects);
                if !for_app {
                    self.drive(session, Event::Understood(None), effects);
                }
            }
            Hearing::Words { text, confidence, .. } if !for_app => {
                let words = Words { text, confidence };
                self.drive(session, Event::Understood(Some(words)), effects);
            }
            Hearing::Words { text, .. } if text.is_empty() => {}
            Hearing::Words { channel, text, confidence, .. } => {
                let track = if channel == 0 { "inbound_track" } else { "outbound_track" };
                let sure = f32::from(confidence) / 100.0;
                let data = json!({"transcript": text, "confidence": sure}).to_string();
                let more = vec![
                    ("Track", track.to_owned()),
                    ("TranscriptionData", data),
                    ("Final", "true".to_owned()),
                ];
                self.tell_transcribing(session, tap, ("content", more), effects);
            }
        }
    }

    fn no_words(&mut self, session: SessionId, why: &str, effects: &mut Effects<'_>) {
        effects.count("voice.not_understood");
        let words = format!("warning 13340: no words: {why}");
        effects.ladder(CallId(session.0), Lane::Note, &words);
    }

    fn tell_transcribing(
        &mut self,
        session: SessionId,
        tap: TapId,
        (event, more): (&str, Vec<(&str, String)>),
        effects: &mut Effects<'_>,
    ) {
        let Some(mut call) = self.calls.remove(&session) else { return };
        let ear = call.ears.iter_mut().find(|ear| ear.tap == tap);
        if let Some(told) = ear.and_then(|ear| ear.told.as_mut()) {
            told.count += 1;
            let told = told.clone();
            self.tell_transcription(&call, &told, (event, more), effects);
        }
        self.calls.insert(session, call);
    }

    fn tell_transcription(
        &mut self,
        call: &Call,
        told: &Transcribing,
        (event, more): (&str, Vec<(&str, String)>),
        effects: &mut Effects<'_>,
    ) {
        let Some(hook) = &told.wanted.status else { return };
        let [inbound, outbound] = &told.wanted.labels;
        let mut said = vec![
            ("TranscriptionSid", told.sid.clone()),
            ("TranscriptionEvent", format!("transcription-{event}")),
            ("Name", told.wanted.name.clone()),
            ("LanguageCode", told.wanted.language.clone()),
            ("InboundTrackLabel", inbound.clone()),
            ("OutboundTrackLabel", outbound.clone()),
            ("SequenceId", told.count.to_string()),
            ("Timestamp", effects.unix().to_string()),
        ];
        said.extend(more);
        let said = said.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        self.tell_hook(call, hook, said, effects);
    }

    /// The call is over: nobody listens any more.
    pub(crate) fn end_ears(&mut self, call: &mut Call, effects: &mut Effects<'_>) {
        for mut ear in std::mem::take(&mut call.ears) {
            close(&ear, effects);
            if let Some(told) = &mut ear.told {
                told.count += 1;
                self.tell_transcription(call, told, ("stopped", Vec::new()), effects);
            }
        }
    }

    /// Has the words of a recording found, for whoever wants to know them.
    pub(crate) fn read_recording(
        &mut self,
        session: SessionId,
        (mut said, jar): (Vec<(String, String)>, Jar),
        (recorded, hook): (&Recorded, Hook),
        effects: &mut Effects<'_>,
    ) {
        let sid = format!("TR{:016x}{:016x}", effects.rng().next_u64(), effects.rng().next_u64());
        let more = [
            ("TranscriptionSid", sid.clone()),
            ("RecordingSid", recorded.sid.clone()),
            ("RecordingUrl", recorded.url.clone()),
        ];
        said.extend(more.map(|(name, value)| (name.to_owned(), value)));
        let ticket = effects.read_words(&recorded.hash, Tongue::default());
        let owner = recorded.sid.clone();
        let thing = Thing { kind: TRANSCRIPTION.kind, sid, owner, ..Thing::default() };
        let reading = Reading { session, said, jar, hook, thing, seconds: recorded.seconds };
        self.readings.insert(ticket, Box::new(reading));
    }

    /// The words of a recording were found, or not.
    pub(crate) fn read(&mut self, reading: Reading, hearing: Hearing, effects: &mut Effects<'_>) {
        let Reading { session, mut said, jar, hook, mut thing, seconds } = reading;
        let (status, text) = match hearing {
            Hearing::Words { text, .. } => ("completed", text),
            Hearing::Failed(fault) => {
                self.no_words(session, &fault.to_string(), effects);
                ("failed", String::new())
            }
            Hearing::Answered { .. } | Hearing::Began { .. } | Hearing::Over => {
                ("failed", String::new())
            }
        };
        thing.body = json!({"status": status, "text": text, "seconds": seconds}).to_string();
        (thing.made, thing.updated) = (effects.unix(), effects.unix());
        // Nobody waits for it.
        effects.write_patiently(store::put_in_order(&thing));
        let more = [("TranscriptionStatus", status.to_owned()), ("TranscriptionText", text)];
        said.extend(more.map(|(name, value)| (name.to_owned(), value)));
        let question =
            Question { url: hook.url, method: hook.method, parameters: said, kind: Kind::Status };
        self.tell(session, &jar, question, effects);
    }
}

impl Call {
    /// What ears wait for.
    pub(crate) fn ear_tickets(&self) -> impl Iterator<Item = Ticket> {
        self.ears.iter().map(|ear| ear.ticket)
    }
}

fn close(ear: &Listening, effects: &mut Effects<'_>) {
    effects.close_ear(ear.tap);
    effects.media(Command::Untap { tap: ear.tap });
}
