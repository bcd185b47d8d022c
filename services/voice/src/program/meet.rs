//! `<Dial>` into a conference or to a queue, `<Enqueue>` and `<Leave>`; and documents for those who wait.
//!
//! A document for those who wait is a program of its own beside the one that waits. It answers nobody, dials nobody, and says
//! by [`Act::Done`] that it is at its end.
//!
//! Spec: programmable-voice §1.2, §1.3

use std::time::Duration;

use twiml::{Class, Dial, Enqueue, Hook, Meet, Verb, Wait};
use types::Instant;

use super::{Act, Ask, Piece, Program, State};

/// What a document may say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// Everything.
    #[default]
    Call,
    /// What those hear who wait in a queue.
    Queue,
    /// What those hear who wait for a conference, are on hold, or hear an announcement.
    Wait,
}

impl Scope {
    /// Spec: programmable-voice §1.3 (waiting documents)
    fn allows(self, verb: &Verb) -> bool {
        let waits =
            matches!(verb, Verb::Pause(_) | Verb::Play(_) | Verb::Redirect(_) | Verb::Say(_));
        let queued = matches!(verb, Verb::Gather(_) | Verb::Hangup | Verb::Leave);
        match self {
            Self::Call => true,
            Self::Queue => waits || queued,
            Self::Wait => waits,
        }
    }
}

/// How waiting in a queue ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unqueued {
    /// In the vendor's word.
    pub result: &'static str,
    /// What else is said of it.
    pub more: Vec<(String, String)>,
}

/// Documents for those who wait.
impl Program {
    /// A document that is asked for.
    pub fn aside(ask: Ask, scope: Scope) -> Self {
        let mut program = Self::idle(None);
        (program.answered, program.scope) = (true, scope);
        program.ask(ask);
        program
    }

    /// The music that comes with the server, without end.
    pub fn music() -> Self {
        let mut program = Self::idle(None);
        (program.answered, program.scope) = (true, Scope::Wait);
        program.state = State::Sounding;
        program.play(Piece::Music, 0);
        program
    }

    /// Nothing for so long.
    pub fn rest(length: Duration, now: Instant) -> Self {
        let mut program = Self::idle(None);
        (program.answered, program.scope) = (true, Scope::Queue);
        (program.state, program.deadline) = (State::Pausing, Some(now + length));
        program
    }

    /// Whether it is a document for those who wait.
    pub(super) fn is_aside(&self) -> bool {
        self.scope != Scope::Call
    }

    /// It is at its end.
    pub(super) fn done(&mut self, failed: Option<u16>) {
        self.state = State::Over;
        self.deadline = None;
        self.acts.push_back(Act::Done { failed });
    }

    /// Whether this verb may stand in it; otherwise that was said, and it is over.
    pub(super) fn may_run(&mut self, verb: &Verb) -> bool {
        let may = self.scope.allows(verb);
        if !may {
            let url = self.source.url.clone();
            self.fail(13238, "a document for those who wait may not say this", &url);
        }
        may
    }

    /// `<Leave>`: outside of a queue there is nothing to leave.
    pub(super) fn leave_queue(&mut self, now: Instant) {
        if self.scope == Scope::Queue {
            self.state = State::Over;
            self.acts.push_back(Act::Leave);
        } else {
            self.next(now);
        }
    }
}

/// Conferences and queues.
impl Program {
    /// `<Dial>` that rings nobody.
    pub(super) fn meet(&mut self, dial: Box<Dial>, meet: Meet, now: Instant) {
        let meet = match meet {
            Meet::Conference(mut conference) => {
                conference.wait = self.wait(conference.wait);
                let status = conference.status.take();
                conference.status =
                    status.and_then(|(hook, events)| Some((self.whole(&hook)?, events)));
                conference.recording = conference.recording.and_then(|hook| self.whole(&hook));
                self.deadline = Some(now + dial.time_limit);
                Meet::Conference(conference)
            }
            Meet::Queue(mut front) => {
                front.whisper = front.whisper.and_then(|hook| self.whole(&hook));
                self.deadline = Some(now + dial.timeout);
                Meet::Queue(front)
            }
        };
        self.answer();
        self.acts.push_back(Act::Meet(Box::new(meet)));
        self.state = State::Dialling { dial, bridged: false };
    }

    pub(super) fn enqueue(&mut self, mut enqueue: Box<Enqueue>) {
        self.answer();
        enqueue.wait = self.wait(enqueue.wait);
        self.acts.push_back(Act::Enqueue(enqueue.clone()));
        self.state = State::Queued { enqueue };
    }

    /// Waiting is over.
    pub(super) fn unqueued(&mut self, unqueued: Unqueued, now: Instant) {
        let State::Queued { enqueue } = &self.state else { return };
        let Unqueued { result, mut more } = unqueued;
        let (action, method) = (enqueue.action.clone(), enqueue.method);
        let Some(action) = action else { return self.next(now) };
        more.insert(0, ("QueueResult".to_owned(), result.to_owned()));
        self.hand_over(&action, method, more);
    }

    /// Who hears how waiting ended when nobody is there any more to go on with.
    pub fn queue_action(&self) -> Option<Hook> {
        let State::Queued { enqueue } = &self.state else { return None };
        let url = enqueue.action.clone()?;
        self.whole(&Hook { url, method: enqueue.method })
    }

    /// The same with an address of its own.
    pub(super) fn whole(&self, hook: &Hook) -> Option<Hook> {
        Some(Hook { url: self.address(&hook.url)?, method: hook.method })
    }

    fn wait(&mut self, wait: Wait) -> Wait {
        let Wait::Url(hook) = wait else { return wait };
        if let Some(hook) = self.whole(&hook) {
            return Wait::Url(hook);
        }
        let sentence = format!("`{}` is no address; nothing is heard", hook.url);
        self.acts.push_back(Act::Note { class: Class::Warning, code: 13233, sentence });
        Wait::Silence
    }
}
