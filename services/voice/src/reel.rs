//! Recordings of a call that go on beside its documents: by `<Start><Recording>`, or by request.
//!
//! Picture     start --tap at the caller's seat--> Running <--pause, resume--> Paused
//!             stop | the call's end --> Stopping --the file--> kept, told
//! Rules       The tap goes wherever the caller's seat goes: into a `<Dial>`, a conference, to who fetched him out of a queue.
//!             What he says is the left channel, what he hears (also what only he hears) the right one; with one channel
//!             both are in it. A recording has its name from its beginning on. A restart ends its file where it
//!             was, and another begins: the first one is told as any that is over, and requests that name it reach the second.
//! Limits      [`REELS_MAX`] of one call at one time; as long as any recording may be (shell).
//! Not here    Files (shell/sound), the resource (rest), `<Record>` (act) and what a `<Dial>` records (dial).
//! Spec        programmable-voice §1.3 (Recording), §2 (recordingStatusCallback), §6.2 (`/Calls/{CA}/Recordings`)

use std::time::Duration;

use media::{Command, Direction, Rate, TapId};
use switchboard::clip::{RecordFormat, RecordedFact, Recording, SoundFault};
use switchboard::ladder::Lane;
use switchboard::{Effects, Ticket};
use twiml::{CallRecording, Class, Hook, Track};
use types::{CallId, SessionId, UnixTime, tagged};

use crate::Room;
use crate::act::note;
use crate::call::{Call, date, read_hook, write_hook};
use crate::dial::tape_sid;
use crate::events::kept;
use crate::program::Recorded;
use crate::rest::notes;
use crate::rest::say::No;
use crate::told::{Late, pairs};

/// Recordings of one call that go on at one time, beside those of its verbs.
pub const REELS_MAX: usize = 3;
/// How a request names whichever runs.
pub const CURRENT: &str = "Twilio.CURRENT";

/// Who asked for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// The request that made the call.
    Made,
    /// A request of its own.
    Request,
    /// The document.
    #[default]
    Start,
}

impl Source {
    /// All of them; saved by their places.
    const ALL: [Self; 3] = [Self::Made, Self::Request, Self::Start];

    /// Whether this is the word of one of them.
    pub fn is_word(word: &str) -> bool {
        Self::ALL.iter().any(|source| source.word() == word)
    }

    /// The vendor's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Made => "OutboundAPI",
            Self::Request => "StartCallRecordingAPI",
            Self::Start => "StartCallRecordingTwiML",
        }
    }
}

/// How it stands with a recording.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// What is said is left out.
    Paused {
        /// Silence stands in its place.
        silent: bool,
    },
    /// It records.
    #[default]
    Running,
    /// Its file is being finished.
    Stopping,
}

impl State {
    /// The vendor's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Paused { .. } => "paused",
            Self::Running => "in-progress",
            Self::Stopping => "stopped",
        }
    }
}

/// What a request wants of a recording that goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Leave out what is said.
    Pause {
        /// Silence stands in its place.
        silent: bool,
    },
    /// Go on.
    Resume,
    /// End.
    Stop,
}

/// A recording that goes on.
#[derive(Clone, Debug)]
pub struct Reel {
    /// `RE…`
    pub sid: String,
    /// How it was called before a restart; else the same.
    pub first: String,
    /// How it is recorded, and who hears of it.
    pub wanted: CallRecording,
    /// Who asked for it.
    pub source: Source,
    /// When it began.
    pub began: UnixTime,
    /// How it stands.
    pub state: State,
    tap: TapId,
    ticket: Ticket,
}

/// Beginnings and changes, for documents and requests.
impl Room {
    /// `<Start><Recording>`.
    pub(crate) fn start_recording(
        &mut self,
        session: SessionId,
        wanted: CallRecording,
        effects: &mut Effects<'_>,
    ) {
        if let Err(no) = self.start_reel(session, (wanted, Source::Start), effects)
            && let Some(call) = self.calls.get_mut(&session)
        {
            let code = u16::try_from(no.code).unwrap_or(12400);
            note(call, (Class::Warning, code), &no.message, effects);
        }
    }

    /// Begins to record a call: the name of the recording.
    pub fn start_reel(
        &mut self,
        session: SessionId,
        (wanted, source): (CallRecording, Source),
        effects: &mut Effects<'_>,
    ) -> Result<String, No> {
        let Some(call) = self.calls.get_mut(&session) else { return Err(No::missing("Call")) };
        if call.outgoing.is_some() {
            let words = "Nobody has answered the call: only one that is in-progress is recorded";
            return Err(No::invalid(21220, words));
        }
        if call.reels.iter().filter(|reel| reel.state != State::Stopping).count() >= REELS_MAX {
            let words = format!("{REELS_MAX} recordings of this call go on: stop one of them");
            return Err(No::invalid(21220, words));
        }
        let reel = Reel::start(call, (wanted, source), effects);
        self.begin_reel(session, reel, effects)
    }

    fn begin_reel(
        &mut self,
        session: SessionId,
        reel: Reel,
        effects: &mut Effects<'_>,
    ) -> Result<String, No> {
        self.tickets.insert(reel.ticket, session);
        let sid = reel.sid.clone();
        let Some(mut call) = self.calls.remove(&session) else { return Err(No::missing("Call")) };
        self.tell_reel(&call, &reel, ("in-progress", None), effects);
        reel.note(session, effects);
        call.reels.push(reel);
        keep_answered(&call, effects);
        self.calls.insert(session, call);
        Ok(sid)
    }

    /// Pauses, resumes or stops a recording of a call, by its name or [`CURRENT`]: it as it stands then.
    pub fn change_reel(
        &mut self,
        session: SessionId,
        (name, wish): (&str, Wish),
        effects: &mut Effects<'_>,
    ) -> Result<&Reel, No> {
        let missing = || No::missing(&format!("Recording {name}, which would go on,"));
        let Some(call) = self.calls.get_mut(&session) else { return Err(missing()) };
        let fits = |reel: &Reel| {
            let named = name == CURRENT || reel.sid == name || reel.first == name;
            named && reel.state != State::Stopping
        };
        let found = call.reels.iter().rposition(fits);
        let Some(place) = found else { return Err(missing()) };
        if let Some(reel) = call.reels.get_mut(place) {
            reel.change(wish, effects);
            reel.note(session, effects);
        }
        keep_answered(call, effects);
        call.reels.get(place).ok_or_else(missing)
    }
}

/// Ends.
impl Room {
    /// A recording ended. False: it is none of these.
    pub(crate) fn reel_recorded(
        &mut self,
        session: SessionId,
        ticket: Ticket,
        recorded: &Result<RecordedFact, SoundFault>,
        effects: &mut Effects<'_>,
    ) -> bool {
        let Some(mut call) = self.calls.remove(&session) else { return false };
        let place = call.reels.iter().position(|reel| reel.ticket == ticket);
        if let Some(place) = place {
            let reel = call.reels.remove(place);
            effects.media(Command::Untap { tap: reel.tap });
            if let Err(fault) = recorded {
                effects.ladder(CallId(session.0), Lane::Note, &format!("no recording: {fault}"));
            }
            let found = kept(recorded.clone().ok(), &reel.sid, effects);
            if let (Some(found), Ok(fact)) = (&found, recorded) {
                let track = track_word(reel.wanted.track);
                let about = (reel.source.word(), reel.channels(), track);
                notes::recorded_track(session, (found, fact), about, effects);
            } else {
                notes::absent(session, (&reel.sid, reel.source.word()), reel.began, effects);
            }
            let event = if found.is_some() { "completed" } else { "absent" };
            self.tell_reel(&call, &reel, (event, found.as_ref()), effects);
            keep_answered(&call, effects);
        }
        self.calls.insert(session, call);
        place.is_some()
    }

    fn tell_reel(
        &mut self,
        call: &Call,
        reel: &Reel,
        (event, recorded): (&str, Option<&Recorded>),
        effects: &mut Effects<'_>,
    ) {
        let Some(hook) = reel.hook(event) else { return };
        let mut said = reel.facts(event);
        if let Some(recorded) = recorded {
            said.push(("RecordingUrl".to_owned(), recorded.url.clone()));
            said.push(("RecordingDuration".to_owned(), recorded.seconds.to_string()));
        }
        self.tell_hook(call, &hook, said, effects);
    }

    /// The call is over, and so are its recordings; who wants to know hears of each when it is kept.
    pub(crate) fn end_reels(&mut self, call: &mut Call, effects: &mut Effects<'_>) {
        for mut reel in std::mem::take(&mut call.reels) {
            self.tickets.remove(&reel.ticket);
            reel.change(Wish::Stop, effects);
            let ticket = reel.ticket;
            self.reel_later(call, &reel, ticket, effects);
        }
    }

    /// After a restart: what was recorded until then is kept, and what went on begins anew.
    pub(crate) fn restart_reels(
        &mut self,
        session: SessionId,
        reels: Vec<Reel>,
        effects: &mut Effects<'_>,
    ) {
        for old in reels {
            let Some(mut call) = self.calls.remove(&session) else { return };
            let ticket = effects.recovered_recording(&old.sid);
            self.reel_later(&call, &old, ticket, effects);
            let new = (old.state != State::Stopping).then(|| {
                let mut new = Reel::start(&mut call, (old.wanted, old.source), effects);
                new.first = old.first;
                if let State::Paused { silent } = old.state {
                    new.change(Wish::Pause { silent }, effects);
                }
                new
            });
            self.calls.insert(session, call);
            if let Some(new) = new {
                // Its call is there.
                let _ = self.begin_reel(session, new, effects);
            }
        }
    }

    fn reel_later(&mut self, call: &Call, reel: &Reel, ticket: Ticket, effects: &mut Effects<'_>) {
        let (said, more) = (call.said_now(), reel.facts("completed"));
        let (status, absent) = (reel.hook("completed"), reel.hook("absent"));
        let sid = reel.sid.clone();
        let late = Late { ticket, sid, said, status, more, absent, ..Late::default() };
        self.tell_later(call, late, effects);
    }
}

impl Reel {
    /// Begins to record what the caller says and hears.
    fn start(
        call: &mut Call,
        (wanted, source): (CallRecording, Source),
        effects: &mut Effects<'_>,
    ) -> Self {
        let (stream, seat) = (call.seat.stream(), Some(call.seat.place()));
        let (tap, rate) = (TapId(effects.rng().next_u64()), Rate::Narrow);
        let direction = match wanted.track {
            Track::Both => Direction::Both,
            Track::Inbound => Direction::In,
            Track::Outbound => Direction::Out,
        };
        effects.media(Command::Tap { stream, seat, tap, rate, direction });
        let sid = tape_sid(tap, effects);
        let (began, state, first) = (effects.unix(), State::Running, sid.clone());
        let ticket = Ticket::default();
        let mut reel = Self { sid, first, wanted, source, began, state, tap, ticket };
        reel.ticket = effects.record(Recording {
            tap,
            name: reel.sid.clone(),
            rate,
            channels: reel.channels(),
            format: RecordFormat::Wav,
            trim: reel.wanted.trim,
            max: Duration::ZERO,
        });
        reel
    }

    fn change(&mut self, wish: Wish, effects: &mut Effects<'_>) {
        match (self.state, wish) {
            (State::Stopping, _) | (State::Running, Wish::Resume) => {}
            (State::Paused { .. } | State::Running, Wish::Pause { silent }) => {
                effects.pause_recording(self.tap, silent);
                self.state = State::Paused { silent };
            }
            (State::Paused { .. }, Wish::Resume) => {
                effects.resume_recording(self.tap);
                self.state = State::Running;
            }
            (State::Paused { .. } | State::Running, Wish::Stop) => {
                effects.finish_recording(self.tap);
                effects.media(Command::Untap { tap: self.tap });
                self.state = State::Stopping;
            }
        }
    }

    /// 1, or one for each.
    pub fn channels(&self) -> u8 {
        if self.wanted.dual && self.wanted.track == Track::Both { 2 } else { 1 }
    }

    fn hook(&self, event: &str) -> Option<Hook> {
        let (hook, events) = self.wanted.status.as_ref()?;
        events.iter().any(|wanted| wanted == event).then(|| hook.clone())
    }

    fn facts(&self, event: &str) -> Vec<(String, String)> {
        pairs([
            ("RecordingSid", self.sid.clone()),
            ("RecordingStatus", event.to_owned()),
            ("RecordingChannels", self.channels().to_string()),
            ("RecordingStartTime", date(self.began)),
            ("RecordingSource", self.source.word().to_owned()),
            ("RecordingTrack", track_word(self.wanted.track).to_owned()),
        ])
    }

    /// As tagged fields.
    pub fn write(&self, writer: &mut tagged::Writer) {
        let place = Source::ALL.iter().position(|one| *one == self.source).unwrap_or(0);
        let state = match self.state {
            State::Running => 0,
            State::Paused { silent: true } => 1,
            State::Paused { silent: false } => 2,
            State::Stopping => 3,
        };
        let CallRecording { status, trim, track, dual } = &self.wanted;
        writer.text(1, &self.sid).text(2, &self.first).time(3, self.began);
        writer.number(4, place as u128).number(5, state);
        writer.number(6, (*trim).into()).text(7, track_word(*track)).number(8, (*dual).into());
        if let Some((hook, events)) = status {
            writer.nested(9, |writer| write_hook(hook, writer)).text(10, &events.join(" "));
        }
    }

    /// What [`write`](Self::write) wrote.
    pub fn read(bytes: &[u8]) -> Self {
        let wanted = CallRecording { status: None, trim: false, track: Track::Both, dual: true };
        let (sid, first, tap) = (String::new(), String::new(), TapId(0));
        let (source, began, state) = (Source::Start, UnixTime(0), State::Running);
        let ticket = Ticket::default();
        let mut reel = Self { sid, first, wanted, source, began, state, tap, ticket };
        let (mut hook, mut events) = (None, Vec::new());
        for (tag, field) in tagged::Reader::new(bytes) {
            match tag {
                1 => reel.sid = field.string().unwrap_or_default(),
                2 => reel.first = field.string().unwrap_or_default(),
                3 => reel.began = field.time().unwrap_or_default(),
                4 => {
                    let place = field.number().and_then(|place| usize::try_from(place).ok());
                    let found = place.and_then(|place| Source::ALL.get(place));
                    reel.source = found.copied().unwrap_or_default();
                }
                5 => {
                    reel.state = match field.number() {
                        Some(1) => State::Paused { silent: true },
                        Some(2) => State::Paused { silent: false },
                        Some(3) => State::Stopping,
                        Some(_) | None => State::Running,
                    }
                }
                6 => reel.wanted.trim = field.number() == Some(1),
                7 => {
                    reel.wanted.track = match field.text() {
                        Some("inbound") => Track::Inbound,
                        Some("outbound") => Track::Outbound,
                        Some(_) | None => Track::Both,
                    }
                }
                8 => reel.wanted.dual = field.number() == Some(1),
                9 => hook = Some(read_hook(field.0)),
                10 => {
                    let text = field.string().unwrap_or_default();
                    events = text.split_whitespace().map(str::to_owned).collect();
                }
                _ => (), // A field of a newer version.
            }
        }
        reel.wanted.status = hook.map(|hook| (hook, events));
        reel
    }
}

impl Call {
    /// What its recordings wait for.
    pub(crate) fn reel_tickets(&self) -> impl Iterator<Item = Ticket> {
        self.reels.iter().map(|reel| reel.ticket)
    }
}

/// The vendor's word for whose sound it is.
pub(crate) fn track_word(track: Track) -> &'static str {
    match track {
        Track::Both => "both",
        Track::Inbound => "inbound",
        Track::Outbound => "outbound",
    }
}

fn keep_answered(call: &Call, effects: &mut Effects<'_>) {
    if call.facts.answered.is_some() {
        Room::keep(call, effects);
    }
}
