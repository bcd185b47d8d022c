//! What is played to legs: clips one after another, tones, keys, silence.
//!
//! Picture     lend(id, clip) --shared--> Play { clips, from, times } --20 ms at a time--> who shall hear it
//!             its end --> Played { after, how }
//! Rules       A clip is made once, at every rate that a mix may have, and shared by all who hear it; what is played is
//!             a place in it. A clip that is not there is skipped; where none of a list is there, it is missing.
//!             Keys are telephone events for a leg that knows them, and tones for one that does not.
//! Limits      [`CLIPS_MAX`] in one list; [`CLIP_MAX`] of each; [`KEYS_SENT_MAX`] keys at once. What is beyond is cut off.
//! Not here    Files (shell), when something is played (rooms), to whom (engine).
//! Spec        RFC 4733 §2.5.1 (keys), ITU-T Q.24 (how long a key lasts).

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use types::Instant;

use crate::clip::{Clip, ClipId};
use crate::codec::{self, Rate};
use crate::engine::TICK;
use crate::events::{self, END_REPEATS};
use crate::feed::{Feed, FeedId};
use crate::tones::{Chord, Country, Signal};

/// Clips of one list.
pub const CLIPS_MAX: usize = 64;

/// The longest clip that is lent. Longer ones are refused by whoever makes them.
pub const CLIP_MAX: Duration = Duration::from_secs(3600);

/// Keys of one [`Play::Keys`].
pub const KEYS_SENT_MAX: usize = 128;

/// Frames that a key sounds, and that it is quiet after it: 100 ms each, as the standard has room for.
const KEY_FRAMES: u32 = 5;

/// The peak of each of the two tones of a key: about -10 dBm0.
const KEY_LOUD: f32 = 6000.0;

/// The clips that were lent to an engine.
pub(crate) type Clips = BTreeMap<ClipId, Clip>;

/// What somebody shall hear.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Play {
    /// Clips in turn. Of more than [`CLIPS_MAX`] the first are played.
    Clips {
        /// Which.
        clips: Vec<ClipId>,
        /// How far into the first of them it begins, the first time.
        from: Duration,
        /// How often the whole list is played; 0 is without end.
        times: u32,
    },
    /// What is fed from outside, as it comes, until it is stopped.
    Feed {
        /// By whom.
        feed: FeedId,
        /// Samples a second of it.
        rate: Rate,
    },
    /// Keys, pressed one after another; `w` waits for half a second and `W` for a whole one. Whatever else stands
    /// among them is left out.
    Keys {
        /// `0-9*#A-DwW`.
        digits: String,
    },
    /// Nothing, for so long.
    Silence {
        /// How long.
        length: Duration,
    },
    /// A tone of the network, without end.
    Tone {
        /// As it is known where.
        country: Country,
        /// What it says.
        signal: Signal,
    },
}

/// How something that was played came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// By itself: all of it was heard.
    Ended,
    /// Nothing of it could be heard: no clip of it is there, or nobody who could hear it.
    Missing,
    /// Somebody stopped it, or played something else in its place.
    Stopped,
}

/// Something that is being played.
#[derive(Debug)]
pub(crate) struct Playing {
    /// How its room calls it.
    pub(crate) sound: u64,
    /// Nothing else is heard meanwhile.
    pub(crate) alone: bool,
    source: Source,
    /// Frames of it that were heard.
    heard: u32,
}

/// What the next 20 ms are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Samples.
    Sound,
    /// Samples, which who knows telephone events hears as this one instead.
    Key(Press),
    /// There is nothing more.
    Over(Ending),
}

/// A moment of a key that is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Press {
    pub(crate) began: Instant,
    pub(crate) payload: [u8; 4],
    /// It is the first of its key.
    pub(crate) first: bool,
    /// How often it is said.
    pub(crate) repeats: usize,
}

#[derive(Debug)]
enum Source {
    Clips {
        clips: Vec<ClipId>,
        /// Which of them, and frames into it.
        place: (usize, usize),
        /// Rounds that are left; `None` is without end.
        left: Option<u32>,
    },
    Feed(Box<Feed>),
    Keys {
        keys: Vec<u8>,
        /// Which of them, and frames into it.
        place: (usize, u32),
        began: Instant,
        chord: Chord,
    },
    Silence {
        /// Frames that are left.
        left: u32,
    },
    Tone(Chord),
}

impl Playing {
    pub(crate) fn new(play: Play, sound: u64, alone: bool) -> Self {
        let source = match play {
            Play::Clips { mut clips, from, times } => {
                clips.truncate(CLIPS_MAX);
                let frames = from.as_millis() / TICK.as_millis();
                let place = (0, usize::try_from(frames).unwrap_or(usize::MAX));
                Source::Clips { clips, place, left: (times > 0).then_some(times) }
            }
            Play::Feed { feed, rate } => Source::Feed(Box::new(Feed::new(feed, rate))),
            Play::Keys { digits } => {
                let known = |key: &u8| b"wW".contains(key) || events::code((*key).into()).is_some();
                let keys = digits.bytes().filter(known).take(KEYS_SENT_MAX).collect();
                let chord = Chord::of([0.0; 2], KEY_LOUD);
                Source::Keys { keys, place: (0, 0), began: Instant(0), chord }
            }
            Play::Silence { length } => Source::Silence { left: codec::frames(length) },
            Play::Tone { country, signal } => Source::Tone(Chord::new(country, signal)),
        };
        Self { sound, alone, source, heard: 0 }
    }

    /// The feed that it comes from.
    pub(crate) fn feed(&mut self) -> Option<&mut Feed> {
        match &mut self.source {
            Source::Feed(feed) => Some(feed),
            Source::Clips { .. }
            | Source::Keys { .. }
            | Source::Silence { .. }
            | Source::Tone(_) => None,
        }
    }

    /// How much of it was heard.
    pub(crate) fn after(&self) -> Duration {
        TICK * self.heard
    }

    /// The next frame.
    pub(crate) fn next(
        &mut self,
        known: &Clips,
        rate: Rate,
        due: Instant,
        out: &mut [i16],
    ) -> Step {
        let step = match &mut self.source {
            Source::Clips { clips, place, left } => {
                match clip_frame(clips, place, left, known, rate) {
                    Some(frame) => {
                        let silence = std::iter::repeat(&0);
                        for (sample, said) in out.iter_mut().zip(frame.iter().chain(silence)) {
                            *sample = *said;
                        }
                        Step::Sound
                    }
                    None if self.heard == 0 => Step::Over(Ending::Missing),
                    None => Step::Over(Ending::Ended),
                }
            }
            Source::Feed(feed) => {
                feed.fill(rate, out);
                Step::Sound
            }
            Source::Keys { keys, place, began, chord } => {
                key_frame(keys, place, (began, due), chord, (rate, out))
            }
            Source::Silence { left } => match left.checked_sub(1) {
                Some(rest) => {
                    *left = rest;
                    out.fill(0);
                    Step::Sound
                }
                None => Step::Over(Ending::Ended),
            },
            Source::Tone(chord) => {
                chord.fill(rate, out);
                Step::Sound
            }
        };
        self.heard = self.heard.saturating_add(u32::from(!matches!(step, Step::Over(_))));
        step
    }
}

/// The next frame of a list of clips; the last one of a clip may be shorter.
fn clip_frame<'a>(
    clips: &[ClipId],
    (clip, frame): &mut (usize, usize),
    left: &mut Option<u32>,
    known: &'a Clips,
    rate: Rate,
) -> Option<&'a [i16]> {
    // Each clip is looked at once a frame, and the first one twice, so that a list of nothing ends.
    for _ in 0..=clips.len() {
        if *clip >= clips.len() {
            if let Some(rounds) = left {
                *rounds = rounds.saturating_sub(1);
                if *rounds == 0 {
                    return None;
                }
            }
            (*clip, *frame) = (0, 0);
        }
        let samples = clips.get(*clip).and_then(|id| known.get(id)).map(|clip| clip.at(rate));
        let start = frame.saturating_mul(rate.frame());
        let rest = samples.and_then(|samples| samples.get(start..)).unwrap_or_default();
        if rest.is_empty() {
            (*clip, *frame) = (*clip + 1, 0);
            continue;
        }
        *frame += 1;
        return Some(rest.get(..rate.frame()).unwrap_or(rest));
    }
    None
}

/// The next frame of some keys.
fn key_frame(
    keys: &[u8],
    (key, frame): &mut (usize, u32),
    (began, due): (&mut Instant, Instant),
    chord: &mut Chord,
    (rate, out): (Rate, &mut [i16]),
) -> Step {
    let Some(pressed) = keys.get(*key).copied() else { return Step::Over(Ending::Ended) };
    let now = *frame;
    let (code, lasts) = match pressed {
        b'w' => (None, 25),
        b'W' => (None, 50),
        key => (events::code(key.into()), 2 * KEY_FRAMES),
    };
    *frame += 1;
    if *frame >= lasts {
        (*key, *frame) = (*key + 1, 0);
    }
    out.fill(0);
    let Some(event) = code else { return Step::Sound };
    if now == 0 {
        *began = due;
        *chord = Chord::of(crate::dtmf::tones(pressed.into()).unwrap_or_default(), KEY_LOUD);
    }
    if now > KEY_FRAMES {
        return Step::Sound;
    }
    let end = now == KEY_FRAMES;
    if !end {
        chord.fill(rate, out);
    }
    let frames = (now + 1).min(KEY_FRAMES);
    let duration = (frames * Rate::Narrow.frame() as u32) as u16;
    let payload = events::Tone { event, end, volume: events::VOLUME, duration }.encode();
    let repeats = if end { END_REPEATS } else { 1 };
    Step::Key(Press { began: *began, payload, first: now == 0, repeats })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clip(value: i16, frames: usize) -> Clip {
        let form = |rate: Rate| vec![value; rate.frame() * frames].into();
        Clip { forms: Rate::ALL.map(form) }
    }

    fn play(clips: &[u128], from: u64, times: u32) -> (Vec<i16>, Option<Ending>) {
        let known = Clips::from([(ClipId(1), clip(1, 2)), (ClipId(2), clip(2, 3))]);
        let clips = clips.iter().map(|id| ClipId(*id)).collect();
        let play = Play::Clips { clips, from: Duration::from_millis(from), times };
        let mut playing = Playing::new(play, 1, true);
        let (mut out, mut frame) = (Vec::new(), [0; 320]);
        while out.len() < 20 {
            match playing.next(&known, Rate::Wide, Instant(0), &mut frame) {
                Step::Sound => out.push(frame[0]),
                Step::Over(how) => {
                    assert_eq!(playing.after(), TICK * out.len() as u32);
                    return (out, Some(how));
                }
                Step::Key(_) => panic!("no key"),
            }
            assert!(frame.iter().all(|sample| *sample == frame[0]));
        }
        (out, None)
    }

    #[test]
    fn lists_are_played_in_turn_as_often_as_asked_for() {
        let ended = Some(Ending::Ended);
        assert_eq!(play(&[1, 2], 0, 1), (vec![1, 1, 2, 2, 2], ended));
        assert_eq!(play(&[1, 2], 20, 2), (vec![1, 2, 2, 2, 1, 1, 2, 2, 2], ended));
        assert_eq!(play(&[2], 0, 0), (vec![2; 20], None));
        // What is not there is skipped; a list of nothing is missing, even one without end.
        assert_eq!(play(&[7, 1, 7], 0, 1), (vec![1, 1], ended));
        assert_eq!(play(&[7], 0, 0), (vec![], Some(Ending::Missing)));
        assert_eq!(play(&[], 0, 0), (vec![], Some(Ending::Missing)));
        assert_eq!(play(&[1, 2], 60_000, 1), (vec![2, 2, 2], ended));
    }

    #[test]
    fn a_clip_that_ends_within_a_frame_ends_in_silence() {
        let form = |rate: Rate| vec![9; rate.frame() * 3 / 2].into();
        let known = Clips::from([(ClipId(1), Clip { forms: Rate::ALL.map(form) })]);
        let clips = Play::Clips { clips: vec![ClipId(1)], from: Duration::ZERO, times: 1 };
        let mut playing = Playing::new(clips, 1, true);
        let mut frame = [1; 160];
        let mut next = || {
            let step = playing.next(&known, Rate::Narrow, Instant(0), &mut frame);
            (step, frame[0], frame[159])
        };
        assert_eq!(next(), (Step::Sound, 9, 9));
        assert_eq!(next(), (Step::Sound, 9, 0));
        assert_eq!(next().0, Step::Over(Ending::Ended));
        assert_eq!(known[&ClipId(1)].length(), Duration::from_millis(30));
    }

    #[test]
    fn keys_are_events_and_tones_and_pauses() {
        let mut playing = Playing::new(Play::Keys { digits: "5xw#".into() }, 1, false);
        let (mut detector, mut heard) = (crate::dtmf::Detector::default(), String::new());
        let (mut frames, mut said, mut starts) = (0, Vec::new(), Vec::new());
        loop {
            let mut frame = [0; 160];
            match playing.next(&Clips::new(), Rate::Narrow, Instant(frames * 20_000), &mut frame) {
                Step::Over(how) => {
                    assert_eq!(how, Ending::Ended);
                    break;
                }
                Step::Key(press) => {
                    if press.first {
                        starts.push(frames);
                    }
                    let tone = events::Tone::decode(&press.payload).expect("a report");
                    if tone.end {
                        assert_eq!((tone.duration, press.repeats), (800, 3));
                        said.extend(tone.key());
                    }
                }
                Step::Sound => (),
            }
            heard.extend(detector.hear(Rate::Narrow, &frame));
            frames += 1;
        }
        assert_eq!((heard.as_str(), said.as_slice()), ("5#", &['5', '#'][..]));
        assert_eq!((starts, frames), (vec![0, 35], 45));
    }

    #[test]
    fn silence_lasts_as_long_as_it_shall() {
        let length = Duration::from_millis(500);
        let mut playing = Playing::new(Play::Silence { length }, 1, true);
        let mut frame = [7; 160];
        let mut next = || playing.next(&Clips::new(), Rate::Narrow, Instant(0), &mut frame);
        assert_eq!((0..100).take_while(|_| next() == Step::Sound).count(), 25);
        assert_eq!((frame, playing.after()), ([0; 160], length));
    }
}
