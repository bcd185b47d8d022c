//! Recording servers: what a call says and hears, sent to one of those that are configured, as a call of its own.
//!
//! Picture     start --look up, INVITE (offer + metadata)--> Calling --200--> Running: taps poured into seats, track by track
//!             the call changes --UPDATE (metadata)-->;  stop, or the end of the call --BYE--> stopped
//! Rules       Each track has a seat of its own, where only what its tap hears is played: the call is tapped and not touched,
//!             so a server that refuses, is silent, hangs up or loses packets never hurts it. What was begun lasts as long as
//!             the call, and goes on after a restart: in the same dialog where there was one, else from the beginning.
//!             Another change is told when the one before was answered; a server that takes none is told no more.
//! Limits      [`RECORDERS_MAX`] of one call; [`ANSWER_MAX`] until a server has answered; those of `outside`, `story`.
//! Not here    Taps (media), the document (proto/xml), the lookup and the tries (dial::outside).
//! Spec        RFC 7866, RFC 7865; programmable-voice §1.3 (Siprec), §5 (319xx)

mod describe;
mod plan;
mod saved;
mod story;

use std::time::Duration;

use media::{Codec, Command, Direction, FeedId, Play, Rate, StreamKey, TapId, Voice};
use switchboard::hop::Hop;
use switchboard::ladder::Lane;
use switchboard::leg::{LegCommand, LegEvent};
use switchboard::ring::Outcome;
use switchboard::seat::Seat;
use switchboard::{Effects, Passed, Ticket};
use twiml::{Siprec, Track};
use types::{BridgeId, CallId, LegId, SessionId};
use xml::RecordingMetadata;

use crate::Room;
use crate::call::Call;
use crate::config::Connector;
use crate::dial::Outside;
use crate::rest::notes;
use plan::{offer, plan, scene};
use story::Story;

/// Recording sessions of one call at one time.
pub const RECORDERS_MAX: usize = 2;
/// A recording server answers within this, or is given up.
pub const ANSWER_MAX: Duration = Duration::from_secs(20);
/// What the metadata is to whoever gets it.
///
/// Spec: RFC 7866 §9.1
const DISPOSITION: &str = "recording-session";
/// Of a track in its stream: nobody else sits there.
const PLACE: media::Seat = media::Seat::FIRST_GUEST;

/// See the head of this file.
#[derive(Debug)]
pub struct Recorder {
    /// How the app knows it.
    pub sid: String,
    pub what: Siprec,
    state: State,
    bridge: BridgeId,
    lines: Vec<Line>,
    story: Story,
    /// Numbers what it is told.
    sequence: u64,
}

#[derive(Debug)]
enum State {
    /// Its server is looked up and called.
    Calling(Box<Outside>),
    /// It records.
    Running {
        leg: LegId,
        /// It owes the answer to an offer of ours.
        owes: bool,
        news: News,
    },
}

/// Whether it hears of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    /// It does.
    Heard,
    /// It has not answered the last one, of this number.
    Asked(u64),
    /// It takes none.
    Refused,
}

/// One track on its way.
#[derive(Debug)]
struct Line {
    seat: Seat,
    direction: Direction,
    tap: TapId,
}

/// Whose sound; saved by its place.
const TRACKS: [(Track, &[Direction]); 3] = [
    (Track::Both, &[Direction::In, Direction::Out]),
    (Track::Inbound, &[Direction::In]),
    (Track::Outbound, &[Direction::Out]),
];

/// Why a recording server does not record (any more): the vendor's number, and a sentence.
type Why = (u16, String);

/// For documents and for the API.
impl Room {
    /// Begins to send a call to a recording server: how the app knows that, or what is wrong with it.
    ///
    /// Errors: no such server 31940, too many 31960, no ports 31904.
    pub(crate) fn start_siprec(
        &mut self,
        session: SessionId,
        what: Siprec,
        effects: &mut Effects<'_>,
    ) -> Result<String, Why> {
        let sid = format!("SR{:016x}{:016x}", effects.rng().next_u64(), effects.rng().next_u64());
        let begun = self.record_at(session, (sid.clone(), what), effects);
        if let Err((code, sentence)) = &begun
            && let Some(call) = self.calls.get_mut(&session)
        {
            note(call, *code, sentence, effects);
        }
        begun.map(|()| sid)
    }

    /// Ends what [`start_siprec`](Self::start_siprec) began, by its name or its id; an empty one: the last. False: there is
    /// no such thing.
    pub(crate) fn stop_siprec(
        &mut self,
        session: SessionId,
        name: &str,
        effects: &mut Effects<'_>,
    ) -> bool {
        let Some(call) = self.calls.get_mut(&session) else { return false };
        let fits = |one: &Recorder| name.is_empty() || one.what.name == name || one.sid == name;
        match call.recorders.iter().rposition(fits) {
            Some(place) => {
                let one = call.recorders.remove(place);
                self.recorder_over(session, one, None, effects);
                true
            }
            None => {
                let sentence = format!("no recording session of this call is called {name}");
                note(call, 31952, &sentence, effects);
                false
            }
        }
    }
}

/// From the beginning to the first sound.
impl Room {
    fn record_at(
        &mut self,
        session: SessionId,
        (sid, what): (String, Siprec),
        effects: &mut Effects<'_>,
    ) -> Result<(), Why> {
        let connector = self.connector(&what.connector).cloned();
        let Some(connector) = connector else {
            let known = "see [[voice.siprec]] of the configuration";
            return Err((
                31940,
                format!("no recording server is called {}: {known}", what.connector),
            ));
        };
        let guarded = self.config.sip_targets != "any" && !connector.is_literal();
        let Some(call) = self.calls.get_mut(&session) else { return Ok(()) };
        if call.recorders.len() >= RECORDERS_MAX {
            return Err((31960, format!("a call has {RECORDERS_MAX} recording sessions at most")));
        }
        let tracks = TRACKS.iter().find(|(track, _)| *track == what.track);
        let tracks = tracks.map(|(_, tracks)| *tracks).unwrap_or_default();
        let bridge = effects.bridge(session);
        let mut lines = Vec::new();
        for (index, direction) in (0u8..).zip(tracks) {
            let seat = Seat::new(StreamKey { bridge, index }, PLACE, Voice::Nobody, effects);
            let Ok(seat) = seat else {
                close(&mut lines, bridge, effects);
                return Err((31904, "all RTP ports are taken".to_owned()));
            };
            lines.push(Line { seat, direction: *direction, tap: TapId(effects.rng().next_u64()) });
        }
        let scene = scene(call, effects);
        let (now, rng) = (effects.unix(), effects.rng());
        let story = Story::new(scene, tracks, now, || {
            u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64())
        });
        let plan = plan(call, &connector, (&mut lines, story.whole(&what.parameters)), effects);
        let words = format!("recording session to {}", connector.name);
        effects.ladder(CallId(session.0), Lane::Note, &words);
        let until = effects.now() + ANSWER_MAX;
        let (outside, outcome) = Outside::call_up(plan, (None, guarded, until), effects);
        for ticket in outside.tickets() {
            self.tickets.insert(ticket, session);
        }
        let state = State::Calling(Box::new(outside));
        call.recorders.push(Recorder { sid, what, state, bridge, lines, story, sequence: 0 });
        effects.count("voice.recording_sessions");
        keep(call, effects);
        let place = call.recorders.len() - 1;
        self.recorder_outcome(session, place, outcome, effects);
        Ok(())
    }

    /// A server by its name; the only one needs none.
    fn connector(&self, name: &str) -> Option<&Connector> {
        match self.config.siprec.as_slice() {
            [only] if name.is_empty() => Some(only),
            known => known.iter().find(|one| one.name == name),
        }
    }

    /// A name leads somewhere. False: that was asked for something else.
    pub(crate) fn recorder_resolved(
        &mut self,
        session: SessionId,
        (ticket, found): (Ticket, &Result<Vec<Hop>, String>),
        effects: &mut Effects<'_>,
    ) -> bool {
        self.recorder_calling(session, ticket, effects, |outside, effects| {
            outside.resolved(ticket, found, effects)
        })
    }

    /// A server has not answered in time. False: that was something else's time.
    pub(crate) fn recorder_timer(
        &mut self,
        session: SessionId,
        ticket: Ticket,
        effects: &mut Effects<'_>,
    ) -> bool {
        self.recorder_calling(session, ticket, effects, |outside, effects| {
            outside.timer(ticket, effects)
        })
    }

    fn recorder_calling(
        &mut self,
        session: SessionId,
        ticket: Ticket,
        effects: &mut Effects<'_>,
        tell: impl FnOnce(&mut Outside, &mut Effects<'_>) -> Outcome,
    ) -> bool {
        let Some(call) = self.calls.get_mut(&session) else { return false };
        let waits = |one: &Recorder| one.tickets().contains(&ticket);
        let Some(place) = call.recorders.iter().position(waits) else { return false };
        let Some(State::Calling(outside)) = call.recorders.get_mut(place).map(|one| &mut one.state)
        else {
            return false;
        };
        let outcome = tell(outside, effects);
        for ticket in outside.tickets() {
            self.tickets.insert(ticket, session);
        }
        self.recorder_outcome(session, place, outcome, effects);
        true
    }

    fn recorder_outcome(
        &mut self,
        session: SessionId,
        place: usize,
        outcome: Outcome,
        effects: &mut Effects<'_>,
    ) {
        match outcome {
            Outcome::Answered { leg, sdp } => {
                self.recorder_runs(session, place, (leg, sdp), effects)
            }
            Outcome::Failed { status, .. } => {
                let why = match status {
                    404 => (31904, "the recording server cannot be reached".to_owned()),
                    408 | 480 | 487 => (31901, "the recording server did not answer".to_owned()),
                    _ => (31902, format!("the recording server refused with {status}")),
                };
                self.recorder_lost(session, place, Some(why), effects);
            }
            Outcome::AnsweredByReply { .. } | Outcome::Pending | Outcome::Progress { .. } => {}
        }
    }

    /// A server has answered: sound goes there from now on.
    fn recorder_runs(
        &mut self,
        session: SessionId,
        place: usize,
        (leg, sdp): (LegId, Option<Vec<u8>>),
        effects: &mut Effects<'_>,
    ) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        let at = (call.seat.stream(), call.seat.place());
        let Some(one) = call.recorders.get_mut(place) else { return };
        if let State::Calling(outside) = &mut one.state {
            for ticket in outside.tickets() {
                self.tickets.remove(&ticket);
            }
            outside.stop_clock(effects);
        }
        one.state = State::Running { leg, owes: false, news: News::Heard };
        if one.settle(sdp.as_deref(), effects) == 0 {
            let why = (31902, "the recording server takes no sound that we have".to_owned());
            return self.recorder_lost(session, place, Some(why), effects);
        }
        one.flow(at, effects);
        keep(call, effects);
        self.tell_recorder(session, place, ("siprec-started", None), effects);
    }
}

/// While it lasts, and its end.
impl Room {
    /// What the leg of a recording server says. False: it is no such leg.
    pub(crate) fn recorder_leg(
        &mut self,
        session: SessionId,
        (leg, event): (LegId, &LegEvent),
        effects: &mut Effects<'_>,
    ) -> bool {
        let Some(call) = self.calls.get_mut(&session) else { return false };
        let Some(place) = call.recorders.iter().position(|one| one.leg() == Some(leg)) else {
            return false;
        };
        let Some(one) = call.recorders.get_mut(place) else { return false };
        if let LegEvent::Request { request, .. } = event {
            let response = Passed::status(480);
            effects.leg(session, leg, LegCommand::Respond { request: *request, response });
            return true;
        }
        match &mut one.state {
            State::Calling(outside) => {
                let outcome = outside.event(leg, event, effects);
                self.recorder_outcome(session, place, outcome, effects);
            }
            State::Running { owes, news, .. } => match event {
                LegEvent::Cancelled | LegEvent::Failed { .. } => {
                    self.recorder_lost(session, place, None, effects);
                }
                LegEvent::Ended { why } => {
                    // A server that has enough says so.
                    let fault = (why != "bye")
                        .then(|| (31903, format!("the recording server is gone: {why}")));
                    self.recorder_lost(session, place, fault, effects);
                }
                LegEvent::Changed { sdp: Some(sdp) } => {
                    let sdp = one.answer(sdp, effects);
                    let status = if sdp.is_some() { 200 } else { 488 };
                    effects.leg(session, leg, LegCommand::AnswerChange { status, sdp });
                    keep(call, effects);
                }
                LegEvent::Changed { sdp: None } => {
                    *owes = true;
                    let sdp = Some(offer(&mut one.lines, effects));
                    effects.leg(session, leg, LegCommand::AnswerChange { status: 200, sdp });
                    keep(call, effects);
                }
                LegEvent::Confirmed { sdp } => {
                    if std::mem::take(owes) && one.settle(sdp.as_deref(), effects) == 0 {
                        let why =
                            (31902, "the recording server takes no sound any more".to_owned());
                        self.recorder_lost(session, place, Some(why), effects);
                    }
                }
                LegEvent::Response(answer) if *news == News::Asked(answer.number) => {
                    let heard = (200..300).contains(&answer.status);
                    *news = if heard { News::Heard } else { News::Refused };
                    if !heard {
                        effects.count("voice.recording_news_refused");
                    }
                }
                LegEvent::Answered { .. }
                | LegEvent::ChangeAnswered { .. }
                | LegEvent::Declined { .. }
                | LegEvent::Handed { .. }
                | LegEvent::Offered { .. }
                | LegEvent::Provisional { .. }
                | LegEvent::Reason { .. }
                | LegEvent::Request { .. }
                | LegEvent::Response(_)
                | LegEvent::Restored => (),
            },
        }
        true
    }

    /// What happens to the media of a recording session. False: it is no such media.
    pub(crate) fn recorder_media(
        &mut self,
        session: SessionId,
        event: &media::Event,
        effects: &mut Effects<'_>,
    ) -> bool {
        let Some(call) = self.calls.get_mut(&session) else { return false };
        let bridge = event.bridge();
        let Some(place) = call.recorders.iter().position(|one| one.bridge == bridge) else {
            return false;
        };
        if let media::Event::Failed { stream, .. } = event {
            effects.count("voice.port_not_free");
            let one = call.recorders.get_mut(place);
            let lines = one.map(|one| std::mem::take(&mut one.lines)).unwrap_or_default();
            for mut line in lines {
                effects.media(Command::Untap { tap: line.tap });
                if line.seat.stream() == *stream {
                    line.seat.spoil(effects);
                } else {
                    line.seat.close(effects);
                }
            }
            let why = (31904, "a port of ours was not free".to_owned());
            self.recorder_lost(session, place, Some(why), effects);
        }
        true
    }

    /// Tells recording servers what has changed in a call.
    pub(crate) fn tell_recorders(&mut self, session: SessionId, effects: &mut Effects<'_>) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        if call.recorders.is_empty() {
            return;
        }
        let scene = scene(call, effects);
        let mut told = false;
        for one in &mut call.recorders {
            let State::Running { leg, news: news @ News::Heard, .. } = &mut one.state else {
                continue;
            };
            let (now, rng) = (effects.unix(), effects.rng());
            let name = || u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64());
            let Some(document) = one.story.change(scene.clone(), now, name) else { continue };
            one.sequence += 1;
            *news = News::Asked(one.sequence);
            let passed = Passed {
                number: one.sequence,
                method: "UPDATE".to_owned(),
                headers: vec![("Content-Disposition".to_owned(), DISPOSITION.to_owned())],
                content_type: RecordingMetadata::CONTENT_TYPE.to_owned(),
                body: document.into_bytes(),
                ..Passed::default()
            };
            effects.leg(session, *leg, LegCommand::Request(Box::new(passed)));
            told = true;
        }
        if told {
            keep(call, effects);
        }
    }

    /// One is over by itself.
    fn recorder_lost(
        &mut self,
        session: SessionId,
        place: usize,
        why: Option<Why>,
        effects: &mut Effects<'_>,
    ) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        if place < call.recorders.len() {
            let one = call.recorders.remove(place);
            self.recorder_over(session, one, why, effects);
        }
    }

    /// One that is not in its call any more ends, and its app hears of it.
    fn recorder_over(
        &mut self,
        session: SessionId,
        mut one: Recorder,
        why: Option<Why>,
        effects: &mut Effects<'_>,
    ) {
        let Some(mut call) = self.calls.remove(&session) else { return };
        for ticket in one.tickets() {
            self.tickets.remove(&ticket);
        }
        one.close(session, effects);
        if let Some((code, sentence)) = &why {
            note(&mut call, *code, sentence, effects);
        }
        self.tell_of_recorder(&call, &one, ("siprec-stopped", why), effects);
        keep(&call, effects);
        self.calls.insert(session, call);
    }

    fn tell_recorder(
        &mut self,
        session: SessionId,
        place: usize,
        what: (&str, Option<Why>),
        effects: &mut Effects<'_>,
    ) {
        let Some(call) = self.calls.remove(&session) else { return };
        if let Some(one) = call.recorders.get(place) {
            self.tell_of_recorder(&call, one, what, effects);
        }
        self.calls.insert(session, call);
    }

    fn tell_of_recorder(
        &mut self,
        call: &Call,
        one: &Recorder,
        (event, why): (&str, Option<Why>),
        effects: &mut Effects<'_>,
    ) {
        let Some(hook) = &one.what.status else { return };
        let event = if why.is_some() { "siprec-error" } else { event };
        let row = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let mut more = vec![
            row("SiprecSid", &one.sid),
            row("SiprecName", &one.what.name),
            row("SiprecEvent", event),
            row("Timestamp", &effects.unix().to_string()),
        ];
        if let Some((code, sentence)) = why {
            more.push(row("SiprecError", &sentence));
            more.push(row("SiprecErrorCode", &code.to_string()));
        }
        self.tell_hook(call, hook, more, effects);
    }

    /// The call is over: so are its recording sessions.
    pub(crate) fn end_recorders(&mut self, call: &mut Call, effects: &mut Effects<'_>) {
        for mut one in std::mem::take(&mut call.recorders) {
            one.close(call.session, effects);
            self.tell_of_recorder(call, &one, ("siprec-stopped", None), effects);
        }
    }
}

impl Recorder {
    /// Its leg.
    fn leg(&self) -> Option<LegId> {
        match &self.state {
            State::Calling(outside) => outside.leg(),
            State::Running { leg, .. } => Some(*leg),
        }
    }

    /// What it waits for.
    pub(crate) fn tickets(&self) -> Vec<Ticket> {
        match &self.state {
            State::Calling(outside) => outside.tickets(),
            State::Running { .. } => Vec::new(),
        }
    }

    /// Takes the answer to our offer; how many tracks it takes.
    fn settle(&mut self, sdp: Option<&[u8]>, effects: &mut Effects<'_>) -> usize {
        let parts = describe::apart(sdp.unwrap_or_default());
        let settled = self.lines.iter_mut().zip(&parts);
        settled.filter_map(|(line, part)| line.seat.settle(part, effects).ok()).count()
    }

    /// Answers an offer of the server; `None`: it does not fit, and nothing changes.
    fn answer(&mut self, sdp: &[u8], effects: &mut Effects<'_>) -> Option<Vec<u8>> {
        let parts = describe::apart(sdp);
        if parts.len() != self.lines.len() {
            return None;
        }
        let answers = self.lines.iter_mut().zip(&parts);
        let answers: Option<Vec<_>> =
            answers.map(|(line, part)| line.seat.answer(part, effects).ok()).collect();
        answers.map(|answers| describe::join(&answers))
    }

    /// Sound goes from the call, which sits there, to the server.
    fn flow(&self, (stream, seat): (StreamKey, media::Seat), effects: &mut Effects<'_>) {
        for line in &self.lines {
            let narrow = line.seat.codec().is_none_or(|codec| matches!(codec, Codec::G711(_)));
            let rate = if narrow { Rate::Narrow } else { Rate::Wide };
            let (tap, feed) = (line.tap, FeedId(effects.rng().next_u64()));
            let (to, place) = (line.seat.stream(), Some(line.seat.place()));
            let play = Play::Feed { feed, rate };
            effects.media(Command::Play { stream: to, seat: place, play, sound: 0, alone: true });
            effects.media(Command::Pour { tap, feed });
            let (seat, direction) = (Some(seat), line.direction);
            effects.media(Command::Tap { stream, seat, tap, rate, direction });
        }
    }

    /// Nothing of it is left.
    fn close(&mut self, session: SessionId, effects: &mut Effects<'_>) {
        match &mut self.state {
            State::Calling(outside) => outside.cancel(effects),
            State::Running { leg, .. } => {
                let end = LegCommand::End { status: 487, headers: Vec::new() };
                effects.leg(session, *leg, end);
            }
        }
        close(&mut self.lines, self.bridge, effects);
    }
}

impl Call {
    /// What recording sessions wait for.
    pub(crate) fn recorder_tickets(&self) -> impl Iterator<Item = Ticket> {
        self.recorders.iter().flat_map(Recorder::tickets)
    }
}

/// Its taps and seats end, and their ports are free.
fn close(lines: &mut Vec<Line>, bridge: BridgeId, effects: &mut Effects<'_>) {
    for mut line in lines.drain(..) {
        effects.media(Command::Untap { tap: line.tap });
        line.seat.close(effects);
    }
    effects.media(Command::Close { bridge });
}

fn keep(call: &Call, effects: &mut Effects<'_>) {
    if call.facts.answered.is_some() {
        Room::keep(call, effects);
    }
}

/// Tells of a call what is wrong, in its ladder and for whoever asks the API.
fn note(call: &mut Call, code: u16, sentence: &str, effects: &mut Effects<'_>) {
    effects.count("voice.errors");
    effects.ladder(CallId(call.session.0), Lane::Note, &format!("error {code}: {sentence}"));
    notes::note(call, ("error", code), sentence, effects);
}
