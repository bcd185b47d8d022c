//! What apps are told whose answers change nothing: how calls go and end, that recordings are ready.
//!
//! Picture     tell --> Teller of that call: its queue --one at a time--> fetch --answer, or the last try--> next
//!             call over, queue empty --> gone
//! Rules       What is told of one call is told in order. It is written down before it leaves, in a session of its own,
//!             so that after a restart it is told again with the same token. It has the cookies of the call. A failure is a
//!             warning in the ladder.
//! Limits      [`QUEUE_MAX`] for each call; what is more is not told, with a warning.
//! Spec        programmable-voice §2 (Call statusCallback, recordingStatusCallback, Record action)

use std::collections::VecDeque;

use switchboard::clip::{RecordedFact, SoundFault};
use switchboard::fetch::{FetchFault, Fetched};
use switchboard::ladder::Lane;
use switchboard::store::Durability;
use switchboard::{Effects, Ticket};
use twiml::Hook;
use types::{CallId, SessionId, tagged};

use crate::Room;
use crate::call::{self, Call, date};
use crate::cookies::Jar;
use crate::events::kept;
use crate::hook::{Asking, Failure, Question, Turn};
use crate::program::{Ask, Recorded};
use crate::reel::Source;
use crate::rest::events::Events;
use crate::rest::notes;
use crate::rest::progress::Stage;
use crate::socket::Kind;

/// What may wait to be told of one call.
pub const QUEUE_MAX: usize = 200;
/// Recordings of one call that end after it, or after a restart.
const LATE_MAX: usize = 8;
/// Marks the state of a teller among those of this room: no call has this field.
const TELLER: u8 = 100;

/// Tells apps of one call. It outlives the call as long as something is to be told.
#[derive(Debug, Default)]
pub struct Teller {
    /// What came of what was told, and of the call when that is over.
    pub events: Events,
    /// Errors and warnings that were kept.
    notes: u32,
    /// Its own session, which keeps it.
    session: SessionId,
    call: SessionId,
    jar: Jar,
    queue: VecDeque<Telling>,
    out: Option<(Ticket, Asking)>,
    late: Vec<Late>,
}

/// Something that is to be told.
#[derive(Clone, Debug)]
struct Telling {
    question: Question,
    token: String,
}

/// A recording that ends after its call, and who hears of that.
#[derive(Clone, Debug, Default)]
pub struct Late {
    pub ticket: Ticket,
    pub sid: String,
    /// What questions say.
    pub said: Vec<(String, String)>,
    pub action: Option<Hook>,
    pub status: Option<Hook>,
    /// What the latter hears beside the usual.
    pub more: Vec<(String, String)>,
    /// Who wants to know what was said.
    pub words: Option<Hook>,
    /// Who wants to know that nobody is on it.
    pub absent: Option<Hook>,
}

impl Room {
    /// Tells whoever wants to know that a call is over.
    pub(crate) fn tell_end(&mut self, call: &mut Call, effects: &mut Effects<'_>) {
        let (began, ended) = (call.facts.answered, call.facts.ended.unwrap_or_default());
        let seconds = began.map_or(0, |began| ended.since(began).as_secs());
        let more = pairs([
            ("CallDuration", seconds.to_string()),
            ("SipResponseCode", call.facts.status.to_string()),
        ]);
        self.tell_progress(call, Stage::Completed, more, effects);
    }

    /// Tells whoever wants to know how far a call is.
    pub(crate) fn tell_stage(
        &mut self,
        session: SessionId,
        stage: Stage,
        effects: &mut Effects<'_>,
    ) {
        let Some(mut call) = self.calls.remove(&session) else { return };
        self.tell_progress(&mut call, stage, Vec::new(), effects);
        self.calls.insert(session, call);
    }

    fn tell_progress(
        &mut self,
        call: &mut Call,
        stage: Stage,
        more: Vec<(String, String)>,
        effects: &mut Effects<'_>,
    ) {
        let Some(hook) = call.hooks.status.clone().filter(|_| call.progress.tells(stage)) else {
            return;
        };
        let mut said = pairs([
            ("Timestamp", date(effects.unix())),
            ("CallbackSource", "call-progress-events".to_owned()),
            ("SequenceNumber", call.progress.number()),
        ]);
        said.extend(more);
        self.tell_hook(call, &hook, said, effects);
    }

    /// Tells whoever wants to know that a recording of a call that goes on is ready.
    pub(crate) fn tell_recorded(
        &mut self,
        session: SessionId,
        recorded: Option<&Recorded>,
        effects: &mut Effects<'_>,
    ) {
        let Some(call) = self.calls.remove(&session) else { return };
        let status = call.program.recorders().and_then(|(_, status)| status);
        if let (Some(recorded), Some(hook)) = (recorded, call.program.transcriber()) {
            let about = (call.said_now(), call.jar.clone());
            self.read_recording(session, about, (recorded, hook), effects);
        }
        if let (Some(recorded), Some(hook)) = (recorded, status) {
            self.tell_hook(&call, &hook, ready(recorded), effects);
        }
        self.calls.insert(session, call);
    }

    /// Tells an app something about a call that the usual does not say.
    pub(crate) fn tell_hook(
        &mut self,
        call: &Call,
        hook: &Hook,
        more: Vec<(String, String)>,
        effects: &mut Effects<'_>,
    ) {
        let question = call.question(&Ask { url: hook.url.clone(), method: hook.method, more });
        self.tell(call.session, &call.jar, question, effects);
    }

    /// Tells an app something of a call, after what it was told before.
    pub(crate) fn tell(
        &mut self,
        call: SessionId,
        jar: &Jar,
        mut question: Question,
        effects: &mut Effects<'_>,
    ) {
        question.kind = Kind::Status;
        let token = format!("{:016x}{:016x}", effects.rng().next_u64(), effects.rng().next_u64());
        let teller = self.teller(call, jar, effects);
        if teller.queue.len() >= QUEUE_MAX {
            let sentence = "too much waits to be told; this is not told".to_owned();
            let failure = Failure { code: 15003, sentence, url: question.url };
            return teller.not_told("voice.callbacks_dropped", &failure, effects);
        }
        teller.queue.push_back(Telling { question, token });
        self.tell_next(call, effects);
    }

    fn teller(&mut self, call: SessionId, jar: &Jar, effects: &mut Effects<'_>) -> &mut Teller {
        self.tellers.entry(call).or_insert_with(|| {
            let session = effects.start(call.slot());
            Box::new(Teller { session, call, jar: jar.clone(), ..Teller::default() })
        })
    }

    /// Tells what is next, when nothing is out; ends the teller when nothing is left.
    pub(crate) fn tell_next(&mut self, call: SessionId, effects: &mut Effects<'_>) {
        let Some(teller) = self.tellers.get_mut(&call) else { return };
        if self.adopting {
            // What was to be told before the restart comes first, and may not be here yet.
            self.soon.insert(effects.set_timer(effects.now()), call);
        }
        if self.adopting || teller.out.is_some() {
            return teller.keep(effects);
        }
        while let Some(next) = teller.queue.front() {
            match Asking::new(next.question.clone(), next.token.clone(), effects.now()) {
                Ok(asking) => {
                    teller.keep(effects);
                    return self.send_telling(call, asking, effects);
                }
                Err(failure) => {
                    teller.not_told("voice.callbacks_failed", &failure, effects);
                    teller.queue.pop_front();
                }
            }
        }
        if teller.late.is_empty() {
            effects.end(teller.session, None);
            if let Some(teller) = self.tellers.remove(&call) {
                match self.calls.get_mut(&call) {
                    Some(call) => call.events.append(teller.events),
                    None => teller.events.leave(call, effects),
                }
            }
        } else {
            teller.keep(effects);
        }
    }

    fn send_telling(&mut self, call: SessionId, asking: Asking, effects: &mut Effects<'_>) {
        let Some(teller) = self.tellers.get_mut(&call) else { return };
        let fetch = asking.put(&teller.jar, CallId(call.0), effects);
        let ticket = effects.fetch(fetch);
        teller.out = Some((ticket, asking));
        self.telling.insert(ticket, call);
    }

    /// An app was told, or not.
    pub(crate) fn told(
        &mut self,
        call: SessionId,
        fetched: Result<Fetched, FetchFault>,
        effects: &mut Effects<'_>,
    ) {
        let Some(teller) = self.tellers.get_mut(&call) else { return };
        let Some((_, mut asking)) = teller.out.take() else { return };
        let (unix, now) = (effects.unix(), effects.now());
        teller.events.note(&asking, &fetched, unix);
        match asking.answered(fetched, &mut teller.jar, unix, now) {
            Turn::Again => return self.send_telling(call, asking, effects),
            Turn::Done(_) => (),
            Turn::Failed(failure) => teller.not_told("voice.callbacks_failed", &failure, effects),
        }
        teller.queue.pop_front();
        self.tell_next(call, effects);
    }
}

/// Recordings that end after their calls.
impl Room {
    /// A recording of this call ends without it.
    pub(crate) fn tell_later(&mut self, call: &Call, late: Late, effects: &mut Effects<'_>) {
        let ticket = late.ticket;
        let teller = self.teller(call.session, &call.jar, effects);
        if teller.late.len() >= LATE_MAX {
            return;
        }
        teller.late.push(late);
        teller.keep(effects);
        self.late.insert(ticket, call.session);
    }

    /// A restart ended the recording of a `<Record>`, which begins again: who wants to know that a file is kept hears of this one.
    pub(crate) fn record_later(&mut self, call: &Call, sid: String, effects: &mut Effects<'_>) {
        let Some((_, status)) = call.program.recorders() else { return };
        let ticket = effects.recovered_recording(&sid);
        let (said, more) = (call.said_now(), Vec::new());
        let words = call.program.transcriber();
        let late = Late { ticket, sid, said, status, more, words, ..Late::default() };
        self.tell_later(call, late, effects);
    }

    /// It ended: its action hears of it as well, as of one that the caller ended.
    pub(crate) fn late_recorded(
        &mut self,
        call: SessionId,
        ticket: Ticket,
        recorded: Result<RecordedFact, SoundFault>,
        effects: &mut Effects<'_>,
    ) {
        let Some(teller) = self.tellers.get_mut(&call) else { return };
        let Some(place) = teller.late.iter().position(|late| late.ticket == ticket) else { return };
        let late = teller.late.remove(place);
        let jar = teller.jar.clone();
        let fact = recorded.as_ref().ok().cloned();
        let Some(recorded) = kept(recorded.ok(), &late.sid, effects) else {
            let source = late.more.iter().find(|(name, _)| name == "RecordingSource");
            if let Some((_, source)) = source.filter(|(_, source)| Source::is_word(source)) {
                notes::absent(call, (&late.sid, source), effects.unix(), effects);
            }
            self.tell_absent(call, &late, &jar, effects);
            return self.tell_next(call, effects);
        };
        if let Some(fact) = &fact {
            let more = |name: &str| {
                let found = late.more.iter().find(|(known, _)| known == name);
                found.map(|(_, value)| value.as_str())
            };
            let channels = if more("RecordingChannels") == Some("2") { 2 } else { 1 };
            let source = more("RecordingSource").unwrap_or("RecordVerb");
            let track = more("RecordingTrack").unwrap_or("both");
            let about = (source, channels, track);
            notes::recorded_track(call, (&recorded, fact), about, effects);
        }
        let about = |hook: &Hook, more: Vec<(String, String)>| {
            let mut parameters = late.said.clone();
            parameters.extend(more);
            Question { url: hook.url.clone(), method: hook.method, parameters, kind: Kind::Status }
        };
        if let Some(hook) = &late.status {
            let mut said = ready(&recorded);
            said.retain(|(name, _)| late.more.iter().all(|(known, _)| known != name));
            said.extend(late.more.iter().cloned());
            self.tell(call, &jar, about(hook, said), effects);
        }
        if let Some(hook) = late.words.clone() {
            let about = (late.said.clone(), jar.clone());
            self.read_recording(call, about, (&recorded, hook), effects);
        }
        if let Some(hook) = &late.action {
            let more = [
                ("RecordingUrl", recorded.url.clone()),
                ("RecordingSid", recorded.sid.clone()),
                ("RecordingDuration", recorded.seconds.to_string()),
                ("Digits", "hangup".to_owned()),
            ];
            self.tell(call, &jar, about(hook, pairs(more)), effects);
        }
        self.tell_next(call, effects);
    }

    fn tell_absent(&mut self, call: SessionId, late: &Late, jar: &Jar, effects: &mut Effects<'_>) {
        let Some(Hook { url, method }) = late.absent.clone() else { return };
        let mut parameters = late.said.clone();
        parameters.extend(late.more.iter().cloned());
        for (name, value) in &mut parameters {
            if name == "RecordingStatus" {
                "absent".clone_into(value);
            }
        }
        let question = Question { url, method, parameters, kind: Kind::Status };
        self.tell(call, jar, question, effects);
    }

    /// A teller comes back after a restart, and tells again what it was not seen to have told. False: this is none.
    pub(crate) fn adopt_teller(
        &mut self,
        session: SessionId,
        state: &[u8],
        effects: &mut Effects<'_>,
    ) -> bool {
        let Some(mut teller) = Teller::decode(state, session) else { return false };
        let call = teller.call;
        for late in &mut teller.late {
            late.ticket = effects.recovered_recording(&late.sid);
            self.late.insert(late.ticket, call);
        }
        if let Some(newer) = self.tellers.remove(&call) {
            teller.queue.extend(newer.queue);
            teller.late.extend(newer.late);
            effects.end(newer.session, None);
        }
        self.tellers.insert(call, Box::new(teller));
        self.tell_next(call, effects);
        true
    }
}

impl Teller {
    /// Something was told in vain.
    ///
    /// Spec: programmable-voice §5 (15003)
    fn not_told(&mut self, counter: &'static str, failure: &Failure, effects: &mut Effects<'_>) {
        effects.count(counter);
        let words = format!("warning 15003: {}", failure.sentence);
        effects.ladder(CallId(self.call.0), Lane::Note, &words);
        if self.notes < notes::NOTES_MAX {
            self.notes += 1;
            let about = (call::call_sid(self.call.0), &*failure.url);
            notes::write(about, ("warning", 15003), &failure.sentence, effects);
        }
    }

    fn keep(&mut self, effects: &mut Effects<'_>) {
        effects.save(self.session, self.encode(), Durability::Written);
    }

    fn encode(&self) -> Vec<u8> {
        let mut writer = tagged::Writer::new();
        writer.number(TELLER, self.call.0).nested(1, |writer| self.jar.encode(writer));
        for Telling { question, token } in &self.queue {
            writer.nested(2, |writer| {
                writer.nested(1, |writer| call::write_question(question, writer)).text(2, token);
            });
        }
        for late in &self.late {
            writer.nested(3, |writer| late.write(writer));
        }
        writer.finish()
    }

    fn decode(bytes: &[u8], session: SessionId) -> Option<Self> {
        let mut teller = Self { session, ..Self::default() };
        let mut call = None;
        for (tag, field) in tagged::Reader::new(bytes) {
            match tag {
                TELLER => call = field.number().map(SessionId),
                1 => teller.jar = Jar::decode(field.0),
                2 => {
                    let mut question = Question::default();
                    let mut token = String::new();
                    for (tag, field) in tagged::Reader::new(field.0) {
                        match tag {
                            1 => question = call::read_question(field.0),
                            2 => token = field.string().unwrap_or_default(),
                            _ => (), // A field of a newer version.
                        }
                    }
                    teller.queue.push_back(Telling { question, token });
                }
                3 => teller.late.push(Late::read(field.0)),
                _ => (), // A field of a newer version.
            }
        }
        teller.call = call?;
        Some(teller)
    }
}

impl Late {
    fn write(&self, writer: &mut tagged::Writer) {
        writer.text(1, &self.sid);
        call::write_pairs(2, &self.said, writer);
        for (tag, hook) in
            [(3, &self.action), (4, &self.status), (6, &self.words), (7, &self.absent)]
        {
            if let Some(hook) = hook {
                writer.nested(tag, |writer| call::write_hook(hook, writer));
            }
        }
        call::write_pairs(5, &self.more, writer);
    }

    fn read(bytes: &[u8]) -> Self {
        let mut late = Self::default();
        for (tag, field) in tagged::Reader::new(bytes) {
            match tag {
                1 => late.sid = field.string().unwrap_or_default(),
                2 => late.said.push(call::read_pair(field.0)),
                3 => late.action = Some(call::read_hook(field.0)),
                4 => late.status = Some(call::read_hook(field.0)),
                5 => late.more.push(call::read_pair(field.0)),
                6 => late.words = Some(call::read_hook(field.0)),
                7 => late.absent = Some(call::read_hook(field.0)),
                _ => (), // A field of a newer version.
            }
        }
        late
    }
}

/// What is said of a recording that is ready.
fn ready(recorded: &Recorded) -> Vec<(String, String)> {
    pairs([
        ("RecordingSid", recorded.sid.clone()),
        ("RecordingUrl", recorded.url.clone()),
        ("RecordingStatus", "completed".to_owned()),
        ("RecordingDuration", recorded.seconds.to_string()),
        ("RecordingChannels", "1".to_owned()),
        ("RecordingSource", "RecordVerb".to_owned()),
    ])
}

pub(crate) fn pairs<const N: usize>(rows: [(&str, String); N]) -> Vec<(String, String)> {
    rows.map(|(name, value)| (name.to_owned(), value)).to_vec()
}
