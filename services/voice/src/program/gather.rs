//! `<Gather>`: keys that callers press, with prompts before them.
//!
//! Spec: programmable-voice §1.2

use twiml::{Gather, Play, Prompt};
use types::Instant;

use super::sound::spoken;
use super::{Act, Program, State};

impl Program {
    pub(super) fn gather(&mut self, gather: Box<Gather>, now: Instant) {
        self.answer();
        self.state = State::Gathering { gather, digits: String::new(), prompt: None };
        self.prompt(0, now);
    }

    /// Begins a prompt of the `<Gather>` that runs, or waits for keys when there is none left.
    pub(super) fn prompt(&mut self, place: usize, now: Instant) {
        let State::Gathering { gather, prompt, .. } = &mut self.state else { return };
        let wanted = gather.prompts.get(place).cloned();
        *prompt = wanted.as_ref().map(|_| place);
        let timeout = gather.timeout;
        match wanted {
            None => self.deadline = Some(now + timeout),
            Some(Prompt::Pause(length)) => self.deadline = Some(now + length),
            Some(Prompt::Play(Play { sound, times })) => match self.piece(sound) {
                Some(piece) => self.play(piece, times),
                None => self.prompt(place + 1, now),
            },
            Some(Prompt::Say(say)) => {
                let times = say.times;
                self.play(spoken(say), times);
            }
        }
    }

    pub(super) fn gathering_key(&mut self, key: char, now: Instant) {
        let State::Gathering { gather, digits, prompt } = &mut self.state else { return };
        if !gather.keys {
            return;
        }
        if prompt.take().is_some() {
            self.acts.push_back(Act::Hush);
        }
        let enough = if gather.finish_on == Some(key) {
            true
        } else {
            digits.push(key);
            gather.digits_max.is_some_and(|most| digits.len() >= most)
        };
        self.deadline = Some(now + gather.timeout);
        if enough {
            self.gathered(now);
        }
    }

    /// Enough keys, or too long none. Nothing at all falls through to the next verb.
    pub(super) fn gathered(&mut self, now: Instant) {
        let State::Gathering { gather, digits, .. } = &mut self.state else { return };
        let (gather, digits) = (gather.clone(), std::mem::take(digits));
        if digits.is_empty() && !gather.action_on_empty {
            return self.next(now);
        }
        let to = gather.action.unwrap_or_default();
        self.hand_over(&to, gather.method, vec![("Digits".to_owned(), digits)]);
    }
}
