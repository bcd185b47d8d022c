//! `<Gather>`: keys that callers press and words that they say, with prompts before them.
//!
//! Spec: programmable-voice §1.2

use std::time::Duration;

use twiml::{Gather, Play, Prompt};
use types::Instant;

use super::sound::spoken;
use super::{Act, Program, State, Words};

/// How long a silence ends what somebody says, where the document leaves it to us.
const PAUSE: Duration = Duration::from_millis(1_000);
/// The longest that somebody may speak, where the document leaves it to us.
const SPEECH_MAX: Duration = Duration::from_secs(60);
/// How long words may take to be found.
const WORDS_WAIT: Duration = Duration::from_secs(35);

/// Somebody shall be listened to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// So long a silence ends what he says.
    pub silence: Duration,
    /// The longest that he may speak at a time.
    pub length_max: Duration,
    /// The language's tag.
    pub language: String,
    /// Words that are likely.
    pub hints: String,
}

/// Whether words are waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speech {
    /// Nobody listens.
    Deaf,
    /// He may speak.
    Listening,
    /// He speaks, or has spoken and is being understood.
    Speaking,
}

impl Program {
    pub(super) fn gather(&mut self, gather: Box<Gather>, now: Instant) {
        self.answer();
        let early = gather.speech && gather.speech_terms.barge_in;
        let (digits, prompt, speech) = (String::new(), None, Speech::Deaf);
        self.state = State::Gathering { gather, digits, prompt, speech };
        if early {
            self.listen();
        }
        self.prompt(0, now);
    }

    /// Begins a prompt of the `<Gather>` that runs, or waits for keys when there is none left.
    pub(super) fn prompt(&mut self, place: usize, now: Instant) {
        let State::Gathering { gather, prompt, .. } = &mut self.state else { return };
        let wanted = gather.prompts.get(place).cloned();
        *prompt = wanted.as_ref().map(|_| place);
        let timeout = gather.timeout;
        match wanted {
            None => {
                self.deadline = Some(now + timeout);
                self.listen();
            }
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
        let State::Gathering { gather, digits, prompt, speech } = &mut self.state else { return };
        if !gather.keys {
            return;
        }
        // Whoever presses keys does not speak.
        if std::mem::replace(speech, Speech::Deaf) != Speech::Deaf {
            self.acts.push_back(Act::Deafen);
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
        self.deafen();
        if digits.is_empty() && !gather.action_on_empty {
            return self.next(now);
        }
        let to = gather.action.unwrap_or_default();
        self.hand_over(&to, gather.method, vec![("Digits".to_owned(), digits)]);
    }

    /// Listens, where the document wants words and nobody has pressed a key.
    fn listen(&mut self) {
        let State::Gathering { gather, digits, speech: speech @ Speech::Deaf, .. } =
            &mut self.state
        else {
            return;
        };
        if !gather.speech || !digits.is_empty() {
            return;
        }
        *speech = Speech::Listening;
        let terms = &gather.speech_terms;
        let listen = Listen {
            silence: terms.silence.unwrap_or(PAUSE),
            length_max: terms.length_max.unwrap_or(SPEECH_MAX),
            language: terms.language.clone(),
            hints: terms.hints.clone(),
        };
        self.acts.push_back(Act::Listen(Box::new(listen)));
    }

    /// Nobody listens any more.
    pub(super) fn deafen(&mut self) {
        if let State::Gathering { speech, .. } = &mut self.state
            && std::mem::replace(speech, Speech::Deaf) != Speech::Deaf
        {
            self.acts.push_back(Act::Deafen);
        }
    }

    /// He begins to speak: prompts end, and there is time for his words.
    pub(super) fn spoke(&mut self, now: Instant) {
        let State::Gathering { gather, prompt, speech: speech @ Speech::Listening, .. } =
            &mut self.state
        else {
            return;
        };
        *speech = Speech::Speaking;
        if prompt.take().is_some() {
            self.acts.push_back(Act::Hush);
        }
        let terms = &gather.speech_terms;
        let longest = terms.length_max.unwrap_or(SPEECH_MAX);
        self.deadline = Some(now + longest + terms.silence.unwrap_or(PAUSE) + WORDS_WAIT);
    }

    /// What he said; where it was nothing, he may try again.
    pub(super) fn understood(&mut self, words: Option<Words>, now: Instant) {
        let State::Gathering { gather, speech: speech @ Speech::Speaking, .. } = &mut self.state
        else {
            return;
        };
        let Some(words) = words.filter(|words| !words.text.is_empty()) else {
            *speech = Speech::Listening;
            self.deadline = Some(now + gather.timeout);
            return;
        };
        let (to, method) = (gather.action.clone().unwrap_or_default(), gather.method);
        self.deafen();
        let sure = f32::from(words.confidence) / 100.0;
        let more = [("SpeechResult", words.text), ("Confidence", sure.to_string())];
        let more = more.map(|(name, value)| (name.to_owned(), value)).to_vec();
        self.hand_over(&to, method, more);
    }
}
