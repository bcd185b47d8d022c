//! Whether somebody speaks, for end of speech and for who is talking.
//!
//! Picture     Quiet --60 ms louder than its own noise--> Speaking --no sound for `silence`--> Quiet
//! Rules       The noise of the line is learned: it follows what is quieter at once, and what is louder slowly. What is
//!             loud enough is always speech, so that a tone is. Silence is told once after each speech, and once where
//!             nothing was said at all.
//! Limits      QUIET, NOISE_MAX.
//! Not here    What is said, who wants to know (engine).
//! Spec        none.

use std::time::Duration;

use types::Instant;

/// Frames in a row that begin speech.
const BEGIN: u8 = 3;

/// A frame whose mean without sign is below this is never speech: about -50 dB of full scale.
const QUIET: u32 = 100;

/// Noise is never taken for louder than this, so that whoever speaks loudly without a pause is heard.
const NOISE_MAX: u32 = 400;

/// How many times as loud as the noise speech is.
const APART: u32 = 3;

/// Fractions of the learned noise.
const SCALE: u32 = 256;

/// See the head of this file.
#[derive(Clone, Copy, Debug)]
pub struct Speech {
    silence: Duration,
    /// The mean of a frame of noise, in parts of [`SCALE`].
    noise: u32,
    /// Loud frames in a row.
    run: u8,
    /// When speech began; `None` while nothing is said.
    since: Option<Instant>,
    /// When it was last heard, or when listening began.
    last: Instant,
    told: bool,
}

/// What has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing was said for as long as was asked for; how long it had spoken before.
    Silent(Duration),
    /// It begins to speak.
    Voiced,
}

impl Speech {
    /// Nothing was heard yet. `silence`: after how long it is told.
    pub fn new(silence: Duration, now: Instant) -> Self {
        Self { silence, noise: QUIET / 4 * SCALE, run: 0, since: None, last: now, told: false }
    }

    /// How long it has spoken until it was last heard; zero while nothing is said.
    pub fn spoken(&self) -> Duration {
        self.since.map_or(Duration::ZERO, |since| self.last.since(since))
    }

    /// Takes the mean of one frame.
    pub fn hear(&mut self, level: u32, due: Instant) -> Option<Change> {
        let level = level.min(u16::MAX.into());
        let noise = self.noise / SCALE;
        let loud = level > QUIET.max(noise.min(NOISE_MAX) * APART);
        if level * SCALE < self.noise {
            self.noise = level * SCALE;
        } else {
            // A fifth more in a second.
            self.noise = (self.noise + self.noise / SCALE + 1).min(level * SCALE);
        }
        self.run = if loud { self.run.saturating_add(1) } else { 0 };
        if self.since.is_some() && loud || self.run >= BEGIN {
            self.last = due;
        }
        if self.since.is_none() && self.run >= BEGIN {
            (self.since, self.told) = (Some(due), false);
            return Some(Change::Voiced);
        }
        if !self.told && due.since(self.last) >= self.silence {
            self.told = true;
            let spoke = self.since.take().map_or(Duration::ZERO, |since| self.last.since(since));
            return Some(Change::Silent(spoke));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use types::Rng;

    use super::*;

    /// Levels of frames go in; what changed, and in which frame.
    fn hear(silence_ms: u64, levels: impl IntoIterator<Item = u32>) -> Vec<(usize, Change)> {
        let mut speech = Speech::new(Duration::from_millis(silence_ms), Instant(0));
        let each = levels.into_iter().enumerate();
        let at = |frame: usize| Instant((frame as u64 + 1) * 20_000);
        each.filter_map(|(frame, level)| Some((frame, speech.hear(level, at(frame))?))).collect()
    }

    fn frames(level: u32, count: usize) -> impl Iterator<Item = u32> {
        std::iter::repeat_n(level, count)
    }

    #[test]
    fn speech_begins_and_ends() {
        let levels = frames(10, 50).chain(frames(900, 40)).chain(frames(10, 100));
        let spoke = Duration::from_millis(37 * 20);
        let wanted = [(52, Change::Voiced), (89 + 50, Change::Silent(spoke))];
        assert_eq!(hear(1200, levels)[..], [(wanted[0]), (89 + 60, wanted[1].1)]);
    }

    #[test]
    fn who_never_speaks_is_told_once() {
        assert_eq!(hear(500, frames(0, 500)), [(24, Change::Silent(Duration::ZERO))]);
    }

    #[test]
    fn clicks_and_noise_are_no_speech() {
        let mut rng = Rng::from_number(2);
        let clicks = (0..500).map(|n| if n % 40 == 0 { 5000 } else { 20 });
        let noise = (0..500).map(|_| 60 + rng.below(30) as u32);
        for levels in [clicks.collect::<Vec<_>>(), noise.collect()] {
            let heard = hear(60_000, levels);
            assert_eq!(heard, []);
        }
    }

    #[test]
    fn pauses_between_words_end_nothing_and_a_loud_tone_goes_on() {
        let words = (0..400).map(|n| if n % 30 < 20 { 700 } else { 15 });
        assert_eq!(hear(1000, words), [(2, Change::Voiced)]);
        assert_eq!(hear(1000, frames(3000, 5000)), [(2, Change::Voiced)]);
    }
}
