//! A program that begins, or goes on, with what somebody else than its documents says.

use twiml::Hook;
use types::Instant;

use super::{Act, Ask, Program, State};
use crate::hook::Answer;

impl Program {
    /// One that has nothing to do yet: nobody has answered.
    pub fn none(fallback: Option<Hook>) -> Self {
        let mut program = Self::idle(fallback);
        program.answered = true;
        program
    }

    /// One that begins by asking, for somebody who has answered already.
    pub fn of_answered(ask: Ask, fallback: Option<Hook>) -> Self {
        let mut program = Self::none(fallback);
        program.ask(ask);
        program
    }

    /// Leaves what runs, and asks.
    pub fn divert(&mut self, ask: Ask) {
        self.leave();
        self.ask(ask);
    }

    /// Leaves what runs, and goes on with this document.
    pub fn replace(&mut self, answer: Answer, now: Instant) {
        self.leave();
        self.state = State::Asking;
        self.load(answer, now);
    }

    /// Whom to ask when an app fails, from now on.
    pub fn fall_back(&mut self, hook: Hook) {
        self.fallback = Some(hook);
    }

    /// What runs ends, and nothing of it goes on.
    fn leave(&mut self) {
        self.deadline = None;
        self.falling = false;
        self.acts.clear();
        self.deafen();
        match &self.state {
            State::Apologising | State::Gathering { .. } | State::Sounding => {
                self.acts.push_back(Act::Hush);
            }
            State::Dialling { dial, .. } if dial.meet.is_some() => {
                self.acts.push_back(Act::Abandon(None));
            }
            State::Connected { .. } => self.acts.push_back(Act::Disconnect),
            State::Dialling { .. } => self.acts.push_back(Act::EndDial),
            State::Queued { .. } => self.acts.push_back(Act::Abandon(self.queue_action())),
            State::Referring { .. } => self.acts.push_back(Act::EndRefer),
            State::Recording { begun: false, .. } => self.acts.push_back(Act::Hush),
            State::Recording { .. } => self.acts.push_back(Act::EndRecord),
            State::Asking | State::Over | State::Pausing => {}
        }
        self.state = State::Asking;
    }
}
