//! `<Say>` and `<Play>`: what is heard.
//!
//! Spec: programmable-voice §1.2

use twiml::{Class, Play, Say, Sound};
use types::Instant;

use super::{Act, Heard, Piece, Program, State, TIMES_MAX};

impl Program {
    pub(super) fn say(&mut self, say: Say) {
        self.answer();
        self.state = State::Sounding;
        let times = say.times;
        self.play(spoken(say), times);
    }

    pub(super) fn sound(&mut self, play: Play) {
        self.answer();
        match self.piece(play.sound) {
            Some(piece) => {
                self.state = State::Sounding;
                self.play(piece, play.times);
            }
            None => self.fail(11100, "what is to be played has no address", ""),
        }
    }

    pub(super) fn was_heard(&mut self, heard: Heard, now: Instant) {
        if heard == Heard::Nothing {
            let sentence = "what was to be heard cannot be had; the call goes on".to_owned();
            self.acts.push_back(Act::Note { class: Class::Warning, code: 12300, sentence });
        }
        self.next(now);
    }

    pub(super) fn play(&mut self, piece: Piece, times: u32) {
        let times = if times == 0 { TIMES_MAX } else { times };
        self.acts.push_back(Act::Play { piece, times });
    }

    pub(super) fn piece(&self, sound: Sound) -> Option<Piece> {
        match sound {
            Sound::Keys(keys) => Some(Piece::Keys(keys)),
            Sound::Url(url) => self.address(&url).map(Piece::Url),
        }
    }
}

/// A text as it is played.
pub(super) fn spoken(say: Say) -> Piece {
    Piece::Speech { text: say.text, language: say.language, voice: say.voice }
}
