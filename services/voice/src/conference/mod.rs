//! A conference: who takes part, when it begins and ends, what its app is told of it.
//!
//! Picture     call --Join--> Wait | Enter(seat) --Entered--> in the mix --Left--> gone;  the last one, or who ends it --> Out to all
//!             what happens --> Teller --> statusCallback
//! Rules       It is a session on the slot of its name, so that all who name it meet. Legs stay with their calls, on whichever
//!             shard; what comes here is the seat: the call moves it to our stream when we name a place, and takes it home
//!             before it says that it left. A place is given away again after that. It begins with two, one of whom
//!             starts it; before, each hears what it waits with, at home. The first one says where to tell what happens.
//!             Events are numbered from 1 and told in their order.
//! Limits      `maxParticipants` of who comes, `media::GUESTS_MAX`; [`RETURN_MAX`] after a restart.
//! Not here    What is heard (media), what a call hears at home (aside), what is told how (teller).
//! Spec        programmable-voice §1.3, §2 (Conference)

mod members;
mod record;
mod saved;
pub mod teller;
mod update;

use media::{Play, StreamKey, Voice};
use switchboard::clip::{ClipFact, ClipSource, SoundFault};
use switchboard::fetch::{FetchFault, Fetched};
use switchboard::ladder::Lane;
use switchboard::store::Durability;
use switchboard::{Effects, Ticket};
use types::{BridgeId, CallId, Seconds, SessionId, UnixTime};

use crate::call::{call_sid, date};
use crate::rest::conferences;
use crate::store;
use crate::word::{FromConference, Joining, Link, Why, Word};
pub use members::Member;
use record::Taping;
pub use saved::KIND;
use teller::Teller;
pub use update::Change;

/// How long after a restart a conference waits for those who were in it.
pub const RETURN_MAX: Seconds = Seconds(20);
/// Silence after which somebody does not speak any more, for who wants to be told.
pub const SPEECH_GAP: std::time::Duration = std::time::Duration::from_millis(800);

/// See the head of this file.
#[derive(Debug)]
pub struct Conference {
    /// The session of its name, for all conferences that bear it one after the other.
    pub session: SessionId,
    /// Its name.
    pub name: String,
    /// Its name for apps, and its only one; empty: nobody has come yet.
    pub sid: String,
    /// When the first one came.
    pub began: UnixTime,
    /// When something last changed.
    pub changed: UnixTime,
    /// It runs.
    pub started: bool,
    /// Those who take part, in the order of their coming.
    pub members: Vec<Member>,
    bridge: BridgeId,
    /// Calls that shall take their seats home, and will say that they did.
    leaving: Vec<(SessionId, media::Seat)>,
    /// How many events were told.
    numbered: u64,
    status: Option<(Link, Vec<String>)>,
    teller: Teller,
    record: Option<record::Wish>,
    taping: Option<Taping>,
    /// Recordings that have ended, and are being kept.
    kept: Vec<Taping>,
    /// Sounds at the door that are being made.
    beeps: Vec<Ticket>,
    sounds: u64,
    /// When those who did not come back are given up.
    pub returning: Option<Ticket>,
}

/// What the room has to do for a conference: tickets whose answers are its own.
pub type Tickets = Vec<Ticket>;

impl Conference {
    /// One that nobody has come to.
    pub fn new(session: SessionId, name: &str, effects: &mut Effects<'_>) -> Self {
        Self {
            session,
            name: name.to_owned(),
            sid: String::new(),
            began: UnixTime(0),
            changed: UnixTime(0),
            started: false,
            members: Vec::new(),
            bridge: effects.bridge(session),
            leaving: Vec::new(),
            numbered: 0,
            status: None,
            teller: Teller::default(),
            record: None,
            taping: None,
            kept: Vec::new(),
            beeps: Vec::new(),
            sounds: 0,
            returning: None,
        }
    }

    /// Where everybody sits.
    pub fn stream(&self) -> StreamKey {
        StreamKey { bridge: self.bridge, index: 0 }
    }

    /// Whether nobody is in it, and nothing is left to be told.
    pub fn is_over(&self) -> bool {
        self.members.is_empty()
            && self.leaving.is_empty()
            && self.teller.is_idle()
            && self.taping.is_none()
            && self.kept.is_empty()
    }

    /// Writes down how it stands.
    pub fn keep(&self, effects: &mut Effects<'_>) {
        effects.save(self.session, self.encode(), Durability::Written);
    }

    fn note(&self, words: &str, effects: &mut Effects<'_>) {
        effects.ladder(CallId(self.session.0), Lane::Note, words);
    }
}

/// What calls say.
impl Conference {
    /// A call wants in. `promised`: what apps were told that it will be called.
    pub fn join(
        &mut self,
        call: SessionId,
        (joining, promised): (Joining, Option<String>),
        effects: &mut Effects<'_>,
    ) -> Tickets {
        if let Some(place) = self.members.iter().position(|member| member.call == call) {
            return self.returned(place, effects);
        }
        if let Err(code) = self.may_join(&joining) {
            FromConference::Turned { code }.tell(self.session, call, effects);
            return Vec::new();
        }
        if self.members.is_empty() {
            self.begin(&joining, promised, effects);
        }
        let member = Member::new(call, joining, effects.unix());
        self.members.push(member);
        self.note(&format!("{} takes part in {}", call_sid(call.0), self.name), effects);
        let mut tickets = self.event("participant-join", Some(call), Vec::new(), effects);
        tickets.extend(self.start(effects));
        if self.started {
            self.enter(call, effects);
        } else {
            FromConference::Wait { sid: self.sid.clone() }.tell(self.session, call, effects);
        }
        self.keep(effects);
        tickets
    }

    /// Errors: what the vendor calls it.
    ///
    /// Spec: programmable-voice §5
    fn may_join(&self, joining: &Joining) -> Result<(), u16> {
        let label = &joining.label;
        let seats = self.members.len() + self.leaving.len();
        if self.members.len() >= joining.most.into() || seats >= media::GUESTS_MAX.into() {
            return Err(16020);
        }
        let call = label.len() == 34 && label.starts_with("CA");
        if label.chars().count() > twiml::LABEL_MAX || label.contains('/') || call {
            return Err(16023);
        }
        if !label.is_empty() && self.members.iter().any(|member| member.label == *label) {
            return Err(16025);
        }
        let known = |sid: &str| self.members.iter().any(|member| call_sid(member.call.0) == sid);
        if joining.coach.is_empty() || known(&joining.coach) { Ok(()) } else { Err(13240) }
    }

    /// The first one of a conference says how it is.
    fn begin(&mut self, joining: &Joining, promised: Option<String>, effects: &mut Effects<'_>) {
        let id = effects.session_id(self.session.slot());
        self.sid = promised.unwrap_or_else(|| format!("CF{:032x}", id.0));
        self.began = effects.unix();
        (self.started, self.numbered) = (false, 0);
        self.status = joining.status.clone();
        self.record = joining
            .record
            .then(|| record::Wish { trim: joining.trim, link: joining.recording.clone() });
        effects.count("voice.conferences");
    }

    /// It begins, if it may.
    fn start(&mut self, effects: &mut Effects<'_>) -> Tickets {
        let there = self.members.iter().filter(|member| !member.hold);
        if self.started || there.count() < 2 || !self.members.iter().any(|member| member.starts) {
            return Vec::new();
        }
        self.started = true;
        let tickets = self.event("conference-start", None, Vec::new(), effects);
        let waiting: Vec<_> =
            self.members.iter().filter(|member| !member.hold).map(|member| member.call).collect();
        // Who came last is called in by whoever calls this.
        for call in waiting.iter().rev().skip(1).rev() {
            self.enter(*call, effects);
        }
        tickets
    }

    /// Gives a call its place in the mix.
    fn enter(&mut self, call: SessionId, effects: &mut Effects<'_>) {
        let Some(seat) = self.free() else { return };
        let listen = self.wants("participant-speech-start");
        let Some(member) = self.members.iter_mut().find(|member| member.call == call) else {
            return;
        };
        let seat = *member.seat.get_or_insert(seat);
        let voice = self.voice(call);
        let (sid, stream) = (self.sid.clone(), self.stream());
        FromConference::Enter { sid, stream, seat, voice, listen }.tell(
            self.session,
            call,
            effects,
        );
    }

    /// A place that nobody has and nobody is about to leave.
    fn free(&self) -> Option<media::Seat> {
        let taken = |seat: media::Seat| {
            self.members.iter().any(|member| member.seat == Some(seat))
                || self.leaving.iter().any(|(_, known)| *known == seat)
        };
        let first = media::Seat::FIRST_GUEST.0;
        (first..first + media::GUESTS_MAX).map(media::Seat).find(|seat| !taken(*seat))
    }

    /// A call has sat down.
    pub fn entered(&mut self, call: SessionId, effects: &mut Effects<'_>) -> Tickets {
        let Some(member) = self.members.iter_mut().find(|member| member.call == call) else {
            return Vec::new();
        };
        let first = !std::mem::replace(&mut member.entered, true);
        let beep = first && member.beep_on_enter;
        self.speak_anew(effects);
        let mut tickets = self.tape(effects);
        if beep {
            tickets.extend(self.beep(true, effects));
        }
        self.keep(effects);
        tickets
    }

    /// Coaches whisper to where those sit now whom they coach.
    fn speak_anew(&mut self, effects: &mut Effects<'_>) {
        let coaches =
            self.members.iter().filter(|member| member.coach.is_some() && member.inside());
        let coaches: Vec<_> = coaches.map(|member| member.call).collect();
        for call in coaches {
            FromConference::Speak(self.voice(call)).tell(self.session, call, effects);
        }
    }

    /// Who hears a call.
    fn voice(&self, call: SessionId) -> Voice {
        let found = |call: SessionId| self.members.iter().find(|member| member.call == call);
        let Some(member) = found(call).filter(|member| !member.muted) else { return Voice::Nobody };
        match member.coach {
            None => Voice::All,
            Some(coached) => {
                found(coached).and_then(|coached| coached.seat).map_or(Voice::Nobody, Voice::One)
            }
        }
    }

    /// A call is not in it any more; its seat is at home.
    pub fn left(&mut self, call: SessionId, why: Why, effects: &mut Effects<'_>) -> Tickets {
        self.leaving.retain(|(known, _)| *known != call);
        let Some(place) = self.members.iter().position(|member| member.call == call) else {
            return Vec::new();
        };
        let reason = match why {
            Why::HungUp => "participant_hung_up",
            Why::Kicked => "participant_kicked",
            Why::Redirected => "participant_updated_via_api",
        };
        let mut tickets = self.departs(place, reason, effects);
        let member = self.members.remove(place);
        let kicked = why == Why::Kicked;
        if member.ends {
            let reason = if kicked {
                "participant-with-end-conference-on-exit-kicked"
            } else {
                "participant-with-end-conference-on-exit-left"
            };
            tickets.extend(self.end(reason, Some(call), effects));
        } else if self.members.is_empty() {
            let reason = if kicked { "last-participant-kicked" } else { "last-participant-left" };
            tickets.extend(self.end(reason, Some(call), effects));
        } else {
            if member.beep_on_exit && self.started {
                tickets.extend(self.beep(false, effects));
            }
            self.speak_anew(effects);
        }
        self.keep(effects);
        tickets
    }

    fn departs(&mut self, place: usize, reason: &str, effects: &mut Effects<'_>) -> Tickets {
        let Some(call) = self.members.get(place).map(|member| member.call) else {
            return Vec::new();
        };
        let why = ("ReasonParticipantLeft".to_owned(), reason.to_owned());
        self.event("participant-leave", Some(call), vec![why], effects)
    }

    /// It is over for all.
    pub fn end(
        &mut self,
        reason: &'static str,
        by: Option<SessionId>,
        effects: &mut Effects<'_>,
    ) -> Tickets {
        let mut tickets = Vec::new();
        for place in 0..self.members.len() {
            tickets.extend(self.departs(place, "conference_ended", effects));
        }
        for member in std::mem::take(&mut self.members) {
            self.leaving.extend(member.seat.map(|seat| (member.call, seat)));
            FromConference::Out.tell(self.session, member.call, effects);
        }
        self.end_taping(effects);
        let by = by.map(|call| call_sid(call.0)).unwrap_or_default();
        self.note(&format!("{} is over: {reason}", self.name), effects);
        if !self.sid.is_empty() {
            let over = conferences::over(self, (reason, &by), effects);
            effects.write_patiently(store::put_in_order(&over));
        }
        let more = vec![
            ("CallSidEndingConference".to_owned(), by),
            ("ReasonConferenceEnded".to_owned(), reason.to_owned()),
        ];
        tickets.extend(self.event("conference-end", None, more, effects));
        self.keep(effects);
        tickets
    }
}

/// What is told and heard.
impl Conference {
    /// Whether its app wants to be told of this.
    fn wants(&self, name: &str) -> bool {
        let kind = match name {
            "conference-start" => "start",
            "conference-end" => "end",
            "participant-join" => "join",
            "participant-leave" => "leave",
            "participant-mute" | "participant-unmute" => "mute",
            "participant-hold" | "participant-unhold" => "hold",
            "participant-modify" => "modify",
            "participant-speech-start" | "participant-speech-stop" => "speaker",
            _ => "announcement",
        };
        self.status.as_ref().is_some_and(|(_, events)| events.iter().any(|known| known == kind))
    }

    /// Tells that something happened.
    ///
    /// Spec: programmable-voice §2 (Conference statusCallback)
    pub fn event(
        &mut self,
        name: &str,
        call: Option<SessionId>,
        more: Vec<(String, String)>,
        effects: &mut Effects<'_>,
    ) -> Tickets {
        self.changed = effects.unix();
        let Some((link, _)) = self.status.clone().filter(|_| self.wants(name)) else {
            return Vec::new();
        };
        self.numbered += 1;
        let mut said: Vec<(String, String)> = Vec::new();
        let mut say = |name: &str, value: String| said.push((name.to_owned(), value));
        say("ConferenceSid", self.sid.clone());
        say("FriendlyName", self.name.clone());
        say("AccountSid", effects.apps().sid.clone());
        say("SequenceNumber", self.numbered.to_string());
        say("Timestamp", date(effects.unix()));
        say("StatusCallbackEvent", name.to_owned());
        if let Some(member) = self.members.iter().find(|member| Some(member.call) == call) {
            say("CallSid", call_sid(member.call.0));
            say("Muted", member.muted.to_string());
            say("Hold", member.hold.to_string());
            say("Coaching", member.coach.is_some().to_string());
            say("EndConferenceOnExit", member.ends.to_string());
            say("StartConferenceOnEnter", member.starts.to_string());
            if !member.label.is_empty() {
                say("ParticipantLabel", member.label.clone());
            }
        }
        said.extend(more);
        let id = CallId(self.session.0);
        self.teller.tell(id, link, said, effects).into_iter().collect()
    }

    /// A sound for all.
    fn beep(&mut self, enters: bool, effects: &mut Effects<'_>) -> Tickets {
        if !self.members.iter().any(Member::inside) {
            return Vec::new();
        }
        let bytes = crate::beep::door(enters);
        let ticket = effects.clip(ClipSource::Bytes { bytes, even: false });
        self.beeps.push(ticket);
        vec![ticket]
    }

    /// A sound for all was made.
    pub fn clip_made(
        &mut self,
        ticket: Ticket,
        made: &Result<ClipFact, SoundFault>,
        effects: &mut Effects<'_>,
    ) {
        let known = self.beeps.len();
        self.beeps.retain(|beep| *beep != ticket);
        if let Ok(fact) = made
            && self.beeps.len() < known
        {
            self.sounds += 1;
            let (clips, from) = (vec![fact.id], std::time::Duration::ZERO);
            effects.media(media::Command::Play {
                stream: self.stream(),
                seat: None,
                play: Play::Clips { clips, from, times: 1 },
                sound: self.sounds,
                alone: false,
            });
        }
    }

    /// The app answered what it was told.
    pub fn fetched(
        &mut self,
        ticket: Ticket,
        fetched: Result<Fetched, FetchFault>,
        effects: &mut Effects<'_>,
    ) -> Tickets {
        if !self.teller.waits_for(ticket) {
            return Vec::new();
        }
        let next = self.teller.answered(CallId(self.session.0), fetched, effects);
        if self.members.is_empty() {
            self.keep(effects);
        }
        next.into_iter().collect()
    }

    /// Something happened at its stream: whose seat it is hears of it.
    pub fn heard(&mut self, event: media::Event, effects: &mut Effects<'_>) -> Tickets {
        let seat = match &event {
            media::Event::Failed { seat, .. }
            | media::Event::Figures { seat, .. }
            | media::Event::Key { seat, .. }
            | media::Event::Lost { seat, .. }
            | media::Event::Silent { seat, .. }
            | media::Event::Voiced { seat, .. } => Some(*seat),
            media::Event::Fed { seat, .. } | media::Event::Played { seat, .. } => *seat,
            media::Event::Back { .. }
            | media::Event::Closed { .. }
            | media::Event::Latched { .. }
            | media::Event::Level { .. }
            | media::Event::Quality { .. }
            | media::Event::Quiet { .. }
            | media::Event::Untapped { .. } => None,
        };
        let member = self.members.iter().find(|member| seat.is_some() && member.seat == seat);
        let Some(call) = member.map(|member| member.call) else { return Vec::new() };
        let spoke = if matches!(event, media::Event::Voiced { .. }) {
            "participant-speech-start"
        } else if matches!(event, media::Event::Silent { .. }) {
            "participant-speech-stop"
        } else {
            Word::Heard(event).tell(self.session, call, effects);
            return Vec::new();
        };
        self.event(spoke, Some(call), Vec::new(), effects)
    }
}
