//! A call that is in a conference or in a queue, and what it is told there.
//!
//! Picture     Conference --Join--> Wait | Enter: the seat goes there --Out, star, end--> the seat comes home, the program goes on
//!             Enqueue --> Standing: the waiting document, again and again --Go--> whisper --Come--> Place: beside the agent
//!             Dial Queue --Want--> (the caller) Come --> Place --Over--> the program goes on
//! Rules       The leg stays with its call, whatever shard the others are on; only its seat moves. It is taken home before
//!             anybody is told that it left. While it is away, what happens to it there comes as words. After a restart
//!             the verb runs again: who is known where he was is in his place again.
//! Not here    Who may come in (conference), the order (queue), documents beside the program (aside).

use media::Seat;
use switchboard::Effects;
use twiml::{Conference, Enqueue, Front, Meet, Wait};
use types::SessionId;

use crate::Room;
use crate::aside::Kind;
use crate::call::{Call, call_sid};
use crate::dial::SEAT;
use crate::program::{Dialled, Event, Unqueued};
use crate::word::{
    Between, FromConference, FromQueue, Joining, Link, Standing, ToConference, ToQueue, Why, Word,
};

/// Where a call is, beside its own stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meeting {
    /// In a conference.
    Conference {
        /// Its session.
        with: SessionId,
        /// What it hears until it begins.
        wait: Wait,
        /// The conference's name for apps.
        sid: String,
    },
    /// In a queue, or fetched out of it.
    Queue {
        /// Its session.
        with: SessionId,
        /// What it hears.
        wait: Wait,
        /// How it stood last.
        standing: Standing,
        /// Who wants it.
        agent: Option<SessionId>,
        /// They talk.
        talks: bool,
    },
    /// It wants somebody out of a queue.
    Agent {
        /// The queue's session.
        with: SessionId,
        /// Who came, with the queue's name for apps and how long he waited.
        caller: Option<(SessionId, String, u64)>,
    },
}

/// Beginnings.
impl Room {
    /// `<Dial>` into a conference, or to the first of a queue.
    pub(crate) fn meet(&mut self, session: SessionId, meet: Meet, effects: &mut Effects<'_>) {
        match meet {
            Meet::Conference(conference) => self.join(session, *conference, effects),
            Meet::Queue(front) => self.want(session, front, effects),
        }
    }

    fn join(&mut self, session: SessionId, noun: Conference, effects: &mut Effects<'_>) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        let with = open(&noun.name, crate::conference::KIND, effects);
        let wait = noun.wait.clone();
        call.meeting = Some(Meeting::Conference { with, wait, sid: String::new() });
        Self::keep(call, effects);
        ToConference::Join(Box::new(joining(noun))).tell(session, with, effects);
    }

    fn want(&mut self, session: SessionId, front: Front, effects: &mut Effects<'_>) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        let with = open(&front.queue, crate::queue::KIND, effects);
        // Whoever was with it before a restart comes by himself.
        let known =
            call.meeting.take_if(|known| matches!(known, Meeting::Agent { caller: Some(_), .. }));
        let comes = known.is_some();
        call.meeting = known.or(Some(Meeting::Agent { with, caller: None }));
        Self::keep(call, effects);
        if !comes {
            let whisper = front.whisper.map(Link::from);
            ToQueue::Want { whisper }.tell(session, with, effects);
        }
    }

    /// `<Enqueue>`.
    pub(crate) fn enqueue(&mut self, session: SessionId, noun: Enqueue, effects: &mut Effects<'_>) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        let Enqueue { queue, wait, most, .. } = noun;
        let with = open(&queue, crate::queue::KIND, effects);
        if let Some(Meeting::Queue { agent: Some(agent), talks: true, standing, .. }) =
            &call.meeting
        {
            // He talked when the process ended.
            let (sid, waited) = (standing.sid.clone(), standing.waited);
            return Between::Come { sid, waited }.tell(session, *agent, effects);
        }
        // Who wanted him did not get him before the process ended: he is the next one.
        let back = matches!(call.meeting, Some(Meeting::Queue { agent: Some(_), .. }));
        let standing = Standing::default();
        call.meeting = Some(Meeting::Queue { with, wait, standing, agent: None, talks: false });
        Self::keep(call, effects);
        if back {
            return ToQueue::Unqueue { back }.tell(session, with, effects);
        }
        ToQueue::Enqueue { most }.tell(session, with, effects);
    }
}

/// Words.
impl Room {
    /// A call was told something.
    pub(crate) fn call_told(
        &mut self,
        session: SessionId,
        (from, word): (SessionId, Word),
        effects: &mut Effects<'_>,
    ) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        if let Word::Heard(event) = &word {
            if call.seat.stream() != call.stream {
                self.media(session, event, effects);
            }
            return;
        }
        let meeting = call.meeting.clone();
        match (word, meeting) {
            (Word::FromConference(word), Some(Meeting::Conference { with, wait, .. }))
                if with == from =>
            {
                self.conference_said(session, (word, wait), effects);
            }
            (Word::Nobody, Some(Meeting::Conference { with, .. })) if with == from => {
                self.depart(session, Why::HungUp, "failed", effects);
            }
            (Word::FromQueue(word), Some(Meeting::Queue { with, .. })) if with == from => {
                self.queue_said(session, word, effects);
            }
            (Word::Nobody, Some(Meeting::Queue { with, .. })) if with == from => {
                self.unqueue(session, "system-error", effects);
            }
            (word, Some(Meeting::Queue { agent, .. })) if agent == Some(from) => {
                self.agent_said(session, word, effects);
            }
            (word, Some(Meeting::Agent { .. })) => {
                self.caller_said(session, (from, word), effects);
            }
            // It is not there any more.
            (word, Some(_) | None) => not_there(session, (from, word), effects),
        }
        self.carry(session, effects);
    }

    fn conference_said(
        &mut self,
        session: SessionId,
        (word, wait): (FromConference, Wait),
        effects: &mut Effects<'_>,
    ) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        match word {
            FromConference::Wait { sid } => {
                let more = vec![("ConferenceSid".to_owned(), sid.clone())];
                call.in_conference(sid);
                call.wait(Kind::Wait, &wait, more, effects);
            }
            FromConference::Enter { sid, stream, seat, voice, listen } => {
                call.in_conference(sid);
                call.end_aside(effects);
                call.seat.travel(stream, seat, effects);
                call.seat.speak(voice, effects);
                if listen {
                    call.listen(Some(crate::conference::SPEECH_GAP), effects);
                }
                call.program.handle(Event::Bridged, effects.now());
                Self::keep(call, effects);
                let Some(Meeting::Conference { with, .. }) = call.meeting else { return };
                ToConference::Entered.tell(session, with, effects);
            }
            FromConference::Speak(voice) => call.seat.speak(voice, effects),
            FromConference::Hold(link) => {
                call.go_home(effects);
                let wait = link.map_or(Wait::Music, |link| Wait::Url(hook(link)));
                call.wait(Kind::Hold, &wait, Vec::new(), effects);
            }
            FromConference::Announce(link) => {
                let wait = Wait::Url(hook(link));
                call.wait(Kind::Announcement, &wait, Vec::new(), effects);
            }
            FromConference::Kick => self.depart(session, Why::Kicked, "answered", effects),
            FromConference::Out => self.depart(session, Why::HungUp, "answered", effects),
            FromConference::Turned { code } => {
                call.note_error(code, "the conference does not let it in", effects);
                call.meeting = None;
                let dialled = Dialled { status: "failed", ..Dialled::default() };
                call.program.handle(Event::Dialled(dialled), effects.now());
                Self::keep(call, effects);
            }
        }
    }

    fn queue_said(&mut self, session: SessionId, word: FromQueue, effects: &mut Effects<'_>) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        let Some(Meeting::Queue { wait, standing, agent, .. }) = &mut call.meeting else {
            return;
        };
        match word {
            FromQueue::Divert(link) => {
                call.program.divert(link.ask(Vec::new()));
            }
            FromQueue::Full => self.unqueue(session, "queue-full", effects),
            FromQueue::Standing(now) => {
                if agent.is_none() {
                    *standing = now;
                    let (more, wait) = (standing_pairs(standing), wait.clone());
                    call.wait(Kind::Queue, &wait, more, effects);
                }
            }
            FromQueue::Go { agent: wants, sid, whisper, standing: now } => {
                (*standing, *agent) = (now, Some(wants));
                let more = vec![
                    ("QueueSid".to_owned(), standing.sid.clone()),
                    ("QueueTime".to_owned(), standing.waited.to_string()),
                    ("DequeingCallSid".to_owned(), sid),
                ];
                let (queue, waited) = (standing.sid.clone(), standing.waited);
                call.end_aside(effects);
                match whisper {
                    Some(link) => call.wait(Kind::Whisper, &Wait::Url(hook(link)), more, effects),
                    None => {
                        Between::Come { sid: queue, waited }.tell(session, wants, effects);
                    }
                }
                Self::keep(call, effects);
            }
        }
    }

    /// To who was fetched out of a queue, by who wanted him.
    fn agent_said(&mut self, session: SessionId, word: Word, effects: &mut Effects<'_>) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        let Some(Meeting::Queue { with, agent, talks, .. }) = &mut call.meeting else { return };
        match word {
            Word::Between(Between::Place { stream, seat }) => {
                *talks = true;
                call.end_aside(effects);
                call.seat.travel(stream, seat, effects);
                Self::keep(call, effects);
            }
            Word::Between(Between::Over) | Word::Nobody if *talks => {
                self.unqueue(session, "bridged", effects);
            }
            // Who wanted him is gone: he waits on, as the next one.
            Word::Between(Between::Over) | Word::Nobody => {
                let queue = *with;
                *agent = None;
                call.end_aside(effects);
                ToQueue::Unqueue { back: true }.tell(session, queue, effects);
            }
            Word::Between(Between::Come { .. })
            | Word::FromConference(_)
            | Word::FromQueue(_)
            | Word::Heard(_)
            | Word::ToConference(_)
            | Word::ToQueue(_) => {}
        }
    }

    /// To who wants somebody out of a queue.
    fn caller_said(
        &mut self,
        session: SessionId,
        (from, word): (SessionId, Word),
        effects: &mut Effects<'_>,
    ) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        let stream = call.stream;
        let Some(Meeting::Agent { caller, .. }) = &mut call.meeting else { return };
        let known = caller.as_ref().map(|(caller, ..)| *caller);
        let free = known.is_none_or(|known| known == from);
        if let (Word::Between(Between::Come { sid, waited }), true) = (&word, free) {
            *caller = Some((from, sid.clone(), *waited));
            call.program.handle(Event::Bridged, effects.now());
            Self::keep(call, effects);
            Between::Place { stream, seat: SEAT }.tell(session, from, effects);
        } else if matches!(word, Word::Between(Between::Over) | Word::Nobody) && known == Some(from)
        {
            self.depart(session, Why::HungUp, "completed", effects);
        } else {
            not_there(session, (from, word), effects);
        }
    }
}

/// Ends.
impl Room {
    /// A call leaves the conference, or lets go of whom it fetched; its program hears how that was.
    pub(crate) fn depart(
        &mut self,
        session: SessionId,
        why: Why,
        status: &'static str,
        effects: &mut Effects<'_>,
    ) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        let Some(dialled) = call.part(why, status, effects) else { return };
        call.program.handle(Event::Dialled(dialled), effects.now());
        Self::keep(call, effects);
    }

    /// A call goes on with another document, and leaves where it is.
    pub(crate) fn abandon(
        &mut self,
        session: SessionId,
        action: Option<twiml::Hook>,
        effects: &mut Effects<'_>,
    ) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        call.part(Why::Redirected, "completed", effects);
        let Some(Meeting::Queue { talks, .. }) = &call.meeting else { return };
        let result = if *talks { "redirected-from-bridged" } else { "redirected" };
        let mut more = vec![("QueueResult".to_owned(), result.to_owned())];
        more.extend(call.leave_queue(effects));
        let Some(call) = self.calls.remove(&session) else { return };
        if let Some(hook) = action {
            self.tell_hook(&call, &hook, more, effects);
        }
        self.calls.insert(session, call);
    }

    /// A call leaves the queue, and its program goes on.
    pub(crate) fn unqueue(
        &mut self,
        session: SessionId,
        result: &'static str,
        effects: &mut Effects<'_>,
    ) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        let more = call.leave_queue(effects);
        call.program.handle(Event::Unqueued(Unqueued { result, more }), effects.now());
        Self::keep(call, effects);
    }
}

impl Call {
    fn in_conference(&mut self, known: String) {
        if let Some(Meeting::Conference { sid, .. }) = &mut self.meeting {
            *sid = known;
        }
    }

    /// Whether somebody sits at its stream whom it fetched out of a queue.
    pub(crate) fn has_guest(&self) -> bool {
        matches!(self.meeting, Some(Meeting::Agent { caller: Some(_), .. }))
    }

    /// Whether something happened to whom it fetched out of a queue, who was told then.
    pub(crate) fn is_of_guest(&self, event: &media::Event, effects: &mut Effects<'_>) -> bool {
        let Some(Meeting::Agent { caller: Some((caller, ..)), .. }) = &self.meeting else {
            return false;
        };
        let guest = match event {
            media::Event::Failed { seat, .. }
            | media::Event::Figures { seat, .. }
            | media::Event::Key { seat, .. }
            | media::Event::Lost { seat, .. } => *seat == SEAT,
            media::Event::Played { seat, .. } => *seat == Some(SEAT),
            media::Event::Back { .. }
            | media::Event::Closed { .. }
            | media::Event::Fed { .. }
            | media::Event::Latched { .. }
            | media::Event::Level { .. }
            | media::Event::Quality { .. }
            | media::Event::Quiet { .. }
            | media::Event::Silent { .. }
            | media::Event::Untapped { .. }
            | media::Event::Voiced { .. } => false,
        };
        if guest {
            Word::Heard(event.clone()).tell(self.session, *caller, effects);
        }
        guest
    }

    /// Its seat comes back to its own stream, if it is away.
    pub(crate) fn go_home(&mut self, effects: &mut Effects<'_>) {
        self.end_aside(effects);
        if self.seat.stream() != self.stream {
            self.listen(None, effects);
            self.seat.travel(self.stream, Seat::FIRST_GUEST, effects);
            self.seat.speak(media::Voice::All, effects);
        }
    }

    /// Leaves a conference, or lets go of whom it fetched. Returns: how that was; `None`: it is in none.
    pub(crate) fn part(
        &mut self,
        why: Why,
        status: &'static str,
        effects: &mut Effects<'_>,
    ) -> Option<Dialled> {
        let session = self.session;
        match self.meeting.take() {
            Some(Meeting::Conference { with, .. }) => {
                self.go_home(effects);
                ToConference::Left(why).tell(session, with, effects);
                Some(Dialled { status: "answered", ..Dialled::default() })
            }
            Some(Meeting::Agent { with, caller: None }) => {
                ToQueue::Enough.tell(session, with, effects);
                let status = if status == "canceled" { "no-answer" } else { status };
                Some(Dialled { status, ..Dialled::default() })
            }
            Some(Meeting::Agent { caller: Some((caller, sid, waited)), .. }) => {
                Between::Over.tell(session, caller, effects);
                let more = vec![
                    ("QueueSid".to_owned(), sid),
                    ("QueueTime".to_owned(), waited.to_string()),
                ];
                let sid = call_sid(caller.0);
                Some(Dialled { status: "completed", sid, more, ..Dialled::default() })
            }
            queued => {
                self.meeting = queued;
                None
            }
        }
    }

    /// The call is over. Returns: how waiting in a queue ended, if it waited in one.
    pub(crate) fn leaves_for_good(
        &mut self,
        effects: &mut Effects<'_>,
    ) -> Option<Vec<(String, String)>> {
        self.part(Why::HungUp, "completed", effects);
        let Some(Meeting::Queue { talks, .. }) = &self.meeting else { return None };
        let result = if *talks { "bridged" } else { "hangup" };
        let mut more = vec![("QueueResult".to_owned(), result.to_owned())];
        more.extend(self.leave_queue(effects));
        Some(more)
    }

    /// Leaves the queue, or who fetched it out of it. Returns: what is said of that.
    pub(crate) fn leave_queue(&mut self, effects: &mut Effects<'_>) -> Vec<(String, String)> {
        let session = self.session;
        let Some(Meeting::Queue { with, mut standing, agent, .. }) =
            self.meeting.take_if(|meeting| matches!(meeting, Meeting::Queue { .. }))
        else {
            return Vec::new();
        };
        self.go_home(effects);
        match agent {
            Some(agent) => Between::Over.tell(session, agent, effects),
            None => {
                standing.waited = effects.unix().since(standing.since).as_secs();
                ToQueue::Unqueue { back: false }.tell(session, with, effects);
            }
        }
        if standing.sid.is_empty() {
            return Vec::new(); // It never stood in it.
        }
        vec![
            ("QueueSid".to_owned(), standing.sid),
            ("QueueTime".to_owned(), standing.waited.to_string()),
        ]
    }
}

/// A call is not where it is thought to be.
fn not_there(session: SessionId, (from, word): (SessionId, Word), effects: &mut Effects<'_>) {
    match word {
        Word::FromConference(
            FromConference::Enter { .. } | FromConference::Hold(_) | FromConference::Wait { .. },
        ) => ToConference::Left(Why::HungUp).tell(session, from, effects),
        Word::Between(Between::Come { .. }) => Between::Over.tell(session, from, effects),
        Word::Between(Between::Over | Between::Place { .. })
        | Word::FromConference(_)
        | Word::FromQueue(_)
        | Word::Heard(_)
        | Word::Nobody
        | Word::ToConference(_)
        | Word::ToQueue(_) => {}
    }
}

/// The session of everybody who names it.
pub fn open(name: &str, kind: &str, effects: &mut Effects<'_>) -> SessionId {
    let key = format!("{}/{name}", effects.apps().sid);
    effects.open(&key, kind)
}

/// The slot of that session.
pub fn home(name: &str, effects: &Effects<'_>) -> types::Slot {
    effects.home(&format!("{}/{name}", effects.apps().sid))
}

fn joining(noun: Conference) -> Joining {
    Joining {
        label: noun.label.unwrap_or_default(),
        muted: noun.muted,
        starts: noun.starts,
        ends: noun.ends,
        beep_on_enter: noun.beep_on_enter,
        beep_on_exit: noun.beep_on_exit,
        most: noun.most,
        coach: noun.coach.unwrap_or_default(),
        status: noun.status.map(|(hook, events)| (hook.into(), events)),
        record: noun.record,
        trim: noun.trim,
        recording: noun.recording.map(Link::from),
    }
}

fn hook(link: Link) -> twiml::Hook {
    let asks = link.ask(Vec::new());
    twiml::Hook { url: asks.url, method: asks.method }
}

/// What the waiting document is asked with.
///
/// Spec: programmable-voice §2 (Enqueue waitUrl)
fn standing_pairs(standing: &Standing) -> Vec<(String, String)> {
    [
        ("QueuePosition", standing.position.to_string()),
        ("QueueSid", standing.sid.clone()),
        ("QueueTime", standing.waited.to_string()),
        ("AvgQueueTime", standing.average.to_string()),
        ("CurrentQueueSize", standing.size.to_string()),
        ("MaxQueueSize", standing.most.to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

/// What lasts: whom it talks with. In a conference and in a queue it is known, so nothing of those is kept.
impl Meeting {
    /// As tagged fields.
    pub fn encode(&self, writer: &mut types::tagged::Writer) {
        match self {
            Self::Conference { .. } => {}
            Self::Queue { with, standing, agent, talks, .. } => {
                writer.number(1, with.0).text(2, &standing.sid);
                writer.number(3, standing.waited.into()).number(4, (*talks).into());
                if let Some(agent) = agent {
                    writer.number(5, agent.0);
                }
            }
            Self::Agent { with, caller } => {
                writer.number(1, with.0);
                if let Some((caller, sid, waited)) = caller {
                    writer.number(6, caller.0).text(2, sid).number(3, (*waited).into());
                }
            }
        }
    }

    /// What [`encode`](Self::encode) wrote; `None`: there was nothing to be kept.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (mut with, mut agent, mut caller) = (None, None, None);
        let (mut standing, mut talks) = (Standing::default(), false);
        for (tag, field) in types::tagged::Reader::new(bytes) {
            let number = || field.number();
            match tag {
                1 => with = number().map(SessionId),
                2 => standing.sid = field.string()?,
                3 => standing.waited = number()?.try_into().ok()?,
                4 => talks = number() == Some(1),
                5 => agent = number().map(SessionId),
                6 => caller = number().map(SessionId),
                _ => (), // A field of a newer version.
            }
        }
        let with = with?;
        Some(match caller {
            Some(caller) => {
                Self::Agent { with, caller: Some((caller, standing.sid, standing.waited)) }
            }
            None => Self::Queue { with, wait: Wait::Music, standing, agent, talks },
        })
    }
}
