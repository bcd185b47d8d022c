//! What lasts of a program.

use twiml::{Hook, Verb};
use types::Instant;

use super::read::read;
use super::{Act, Answer, Ask, Program, State};

/// A program as it was written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// The document that ran.
    pub source: Answer,
    /// The place in it.
    pub at: usize,
    /// Keys that were pressed.
    pub digits: String,
    /// What was being asked.
    pub ask: Option<Ask>,
    /// The caller talked with somebody who was dialled.
    pub talking: bool,
    /// What the app wants to hear again.
    pub told: Option<String>,
}

impl Program {
    /// The document that runs, the place in it, and the keys that were pressed so far.
    pub fn position(&self) -> (&Answer, usize, &str) {
        let State::Gathering { digits, .. } = &self.state else {
            return (&self.source, self.at, "");
        };
        (&self.source, self.at, digits)
    }

    /// How many documents were read since it began, or since a restart.
    pub fn documents(&self) -> u32 {
        self.documents
    }

    /// Whether the caller talks with somebody who was dialled.
    pub fn is_talking(&self) -> bool {
        matches!(self.state, State::Dialling { bridged: true, .. })
    }

    /// Whether it is where others are, or waits for them.
    pub fn meets(&self) -> bool {
        let dials = matches!(&self.state, State::Dialling { dial, .. } if dial.meet.is_some());
        dials || matches!(self.state, State::Queued { .. })
    }

    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// Goes on after a restart with the verb that ran, from its beginning; keys that were pressed count.
    pub fn resume(saved: Saved, fallback: Option<Hook>, now: Instant) -> Self {
        let Saved { source, at, digits: pressed, ask, talking, told } = saved;
        let mut program = Self::idle(fallback);
        program.answered = true;
        program.told = told;
        if let Ok((document, ..)) = read(&source) {
            program.document = document;
        }
        (program.source, program.at) = (source, at);
        if let Some(ask) = ask {
            program.ask(ask);
            return program;
        }
        let step = program.document.steps.get(at).map(|step| step.verb.clone());
        if let (true, Some(Verb::Dial(dial))) = (talking, step)
            && dial.meet.is_none()
        {
            program.deadline = Some(now + dial.time_limit);
            program.state = State::Dialling { dial, bridged: true };
            return program;
        }
        program.run(now);
        if !pressed.is_empty()
            && let State::Gathering { digits, prompt, .. } = &mut program.state
        {
            // He has heard the prompt, or did not want to.
            *digits = pressed;
            *prompt = None;
            program.acts.retain(|act| !matches!(act, Act::Play { .. }));
            program.prompt(usize::MAX, now);
        }
        program
    }
}
