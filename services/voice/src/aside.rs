//! What a call hears while its own program waits: until a conference begins, on hold, in a queue, before it is bridged.
//!
//! Rules       One at a time, a program of its own that only plays and asks. It ends before the seat moves. What a queue plays
//!             is asked for again when it is at its end, not more often than every [`GAP`].
//! Spec        programmable-voice §1.3 (waiting documents)

use std::time::Duration;

use switchboard::Effects;
use twiml::Wait;
use types::{CallId, Instant, SessionId};

use crate::Room;
use crate::call::{Call, Playing};
use crate::meeting::Meeting;
use crate::program::{Ask, Event, Program, Scope};
use crate::word::{Between, ToConference, ToQueue, Why};

/// A document for those who wait in a queue is asked for again after this at the earliest.
pub const GAP: Duration = Duration::from_secs(1);

/// See the head of this file.
#[derive(Debug)]
pub struct Aside {
    pub kind: Kind,
    pub program: Program,
    music: bool,
    began: Instant,
}

/// What it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Its conference says something to it.
    Announcement,
    /// It is on hold.
    Hold,
    /// It waits in a queue.
    Queue,
    /// Its conference has not begun.
    Wait,
    /// It was fetched out of a queue and is told something first.
    Whisper,
}

impl Call {
    /// From now on it hears this.
    pub(crate) fn wait(
        &mut self,
        kind: Kind,
        wait: &Wait,
        more: Vec<(String, String)>,
        effects: &mut Effects<'_>,
    ) {
        self.end_aside(effects);
        let scope = if kind == Kind::Queue { Scope::Queue } else { Scope::Wait };
        let program = match wait {
            Wait::Music => Program::music(),
            Wait::Silence => return,
            Wait::Url(hook) => {
                let ask = Ask { url: hook.url.clone(), method: hook.method, more };
                Program::aside(ask, scope)
            }
        };
        let (music, began) = (*wait == Wait::Music, effects.now());
        self.aside = Some(Aside { kind, program, music, began });
    }

    /// It hears its own program again, and nothing of this.
    pub(crate) fn end_aside(&mut self, effects: &mut Effects<'_>) {
        if self.aside.take().is_some() {
            self.asking = None;
            if !matches!(self.playing, Playing::Nothing) {
                self.hush(effects);
            }
        }
    }

    /// Nothing is played to it any more.
    pub(crate) fn hush(&mut self, effects: &mut Effects<'_>) {
        self.playing = Playing::Nothing;
        let (stream, seat) = (self.seat.stream(), Some(self.seat.place()));
        effects.media(media::Command::Stop { stream, seat, sound: None });
    }

    /// Tells the program that is heard.
    pub(crate) fn tell(&mut self, event: Event, now: Instant) {
        let aside = self.aside.as_mut().map(|aside| &mut aside.program);
        match event {
            Event::Answered(_)
            | Event::Failed(_)
            | Event::Sounded(_)
            | Event::Spoke
            | Event::Understood(_) => {
                aside.unwrap_or(&mut self.program).handle(event, now);
            }
            Event::Key(_) => {
                self.program.handle(event.clone(), now);
                if let Some(aside) = aside {
                    aside.handle(event, now);
                }
            }
            Event::Woke => {
                for program in [Some(&mut self.program), aside].into_iter().flatten() {
                    if program.deadline().is_some_and(|at| at <= now) {
                        program.handle(Event::Woke, now);
                    }
                }
            }
            Event::Bridged
            | Event::Dialled(_)
            | Event::Disconnected
            | Event::Gone
            | Event::Recorded(_)
            | Event::Referred(_)
            | Event::Silent
            | Event::Unqueued(_) => self.program.handle(event, now),
        }
    }

    /// When it wants [`Event::Woke`].
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let aside = self.aside.as_ref().and_then(|aside| aside.program.deadline());
        self.program.deadline().into_iter().chain(aside).min()
    }

    /// Something that its app should hear of.
    pub(crate) fn note_error(&self, code: u16, sentence: &str, effects: &mut Effects<'_>) {
        effects.count("voice.errors");
        let words = format!("error {code}: {sentence}");
        effects.ladder(CallId(self.session.0), switchboard::ladder::Lane::Note, &words);
    }
}

impl Room {
    /// What was heard meanwhile is at its end.
    pub(crate) fn aside_done(
        &mut self,
        session: SessionId,
        failed: Option<u16>,
        effects: &mut Effects<'_>,
    ) {
        let now = effects.now();
        let Some(call) = self.calls.get_mut(&session) else { return };
        let Some(aside) = &mut call.aside else { return };
        if aside.music {
            aside.program = Program::music();
            return;
        }
        let (kind, began) = (aside.kind, aside.began);
        match kind {
            Kind::Queue if failed.is_none() && now.since(began) < GAP => {
                aside.program = Program::rest(GAP, now);
                return;
            }
            Kind::Announcement | Kind::Hold | Kind::Queue | Kind::Wait | Kind::Whisper => {
                call.end_aside(effects);
            }
        }
        match (kind, &call.meeting) {
            (Kind::Queue, _) if failed.is_some() => self.unqueue(session, "error", effects),
            (Kind::Queue, Some(Meeting::Queue { with, .. })) => {
                ToQueue::Where.tell(session, *with, effects);
            }
            // What comes first cannot be had: there is no conference for this call.
            (Kind::Wait, _) if failed.is_some() => {
                self.depart(session, Why::HungUp, "failed", effects);
            }
            (Kind::Whisper, Some(Meeting::Queue { agent: Some(agent), standing, .. })) => {
                let (sid, waited) = (standing.sid.clone(), standing.waited);
                Between::Come { sid, waited }.tell(session, *agent, effects);
            }
            (Kind::Announcement, Some(Meeting::Conference { with, .. })) => {
                ToConference::Announced { failed: failed.is_some() }.tell(session, *with, effects);
            }
            // Silence follows.
            (_, _) => {}
        }
    }
}
