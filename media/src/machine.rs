//! Whether a person or a machine answered a call, by what is heard of them.
//!
//! Picture     Waiting --voice--> Speaking --a pause after little speech--> human
//!                                Speaking --more speech than that--> a machine --[`Terms::to_end`]--> Greeting --tone | pause--> its end
//!             Waiting --1,100 or 2,100 Hz--> fax;  Waiting --nothing, or the time is up--> unknown
//! Rules       People say their name and wait; machines talk on. A tone after speech, or before it at another pitch than
//!             those of a fax, is a machine's beep, and its end is told, so that what is said then is recorded. A tone has
//!             nearly all that is heard at one pitch, for [`TONE_MIN`].
//! Limits      [`Terms::timeout`].
//! Not here    Who wants to know (rooms), what is said then.
//! Spec        ITU-T T.30 §4.1 (CNG, 1,100 Hz), ITU-T V.25 (2,100 Hz); programmable-voice §1.3 (machineDetection), §2 (AMD callback)

use std::f64::consts::TAU;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use types::Instant;

use crate::vad::{Change, Speech};

/// Samples a second.
pub const RATE: u32 = 8_000;
/// So long one pitch is heard that is a tone.
pub const TONE_MIN: Duration = Duration::from_millis(160);
/// So long a fax is heard that is one: half a second by the book, and the first of it may be lost.
const FAX_MIN: Duration = Duration::from_millis(360);
/// The pitches of a fax, and how far off it may be. Units: hertz.
const FAX: [(f64, f64); 2] = [(1_100.0, 40.0), (2_100.0, 25.0)];
/// Where beeps are. Units: hertz.
const PITCHES: std::ops::RangeInclusive<f64> = 350.0..=2_600.0;
/// How far a pitch may wander within a tone. Units: hertz.
const WANDER: f64 = 30.0;
/// How much of a frame its tone has, of 1.
const PURE: f64 = 0.8;
/// The mean of a frame below which nothing is a tone.
const QUIET: u32 = 100;
/// One frame.
const FRAME: Duration = Duration::from_millis(20);

/// Who answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answerer {
    /// A fax.
    Fax,
    /// A person.
    Human,
    /// A machine, whose beep is over.
    MachineEndBeep,
    /// A machine that talks on.
    MachineEndOther,
    /// A machine that has said what it says.
    MachineEndSilence,
    /// A machine that begins to talk.
    MachineStart,
    /// Nobody knows.
    Unknown,
}

/// What tells people from machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// Wait for the end of what a machine says.
    pub to_end: bool,
    /// The longest that anybody listens.
    pub timeout: Duration,
    /// Who speaks for so long without a pause is a machine.
    pub speech: Duration,
    /// So long a silence ends what is said.
    pub pause: Duration,
    /// So long a silence at the beginning means that nobody knows.
    pub silence: Duration,
}

/// See the head of this file.
#[derive(Clone, Debug)]
pub struct Judge {
    terms: Terms,
    stage: Stage,
    voice: Speech,
    tone: Option<Tone>,
    /// What was heard so far.
    heard: Duration,
    /// Where the next frame is expected.
    next: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// A machine speaks; its end is awaited.
    Greeting,
    /// Somebody speaks.
    Speaking,
    /// Nobody has spoken.
    Waiting,
}

#[derive(Clone, Copy, Debug)]
struct Tone {
    hertz: f64,
    lasts: Duration,
}

impl Judge {
    /// One who has heard nothing.
    pub fn new(terms: Terms) -> Self {
        let voice = Speech::new(terms.pause, Instant(0));
        let (tone, heard, next) = (None, Duration::ZERO, None);
        Self { terms, stage: Stage::Waiting, voice, tone, heard, next }
    }

    /// How long it has listened.
    pub fn heard(&self) -> Duration {
        self.heard
    }

    /// Hears a frame of a tap; `at`: samples since it began. `Some`: it is known, and nothing more need be heard.
    pub fn frame(&mut self, at: u64, samples: &[i16]) -> Option<Answerer> {
        let missing = self.next.map_or(0, |next| at.saturating_sub(next)) / 160;
        self.next = Some(at + samples.len() as u64);
        // Gaps are silence, and no more of them than anybody listens.
        for _ in 0..missing {
            if let Some(known) = self.hear(&[]) {
                return Some(known);
            }
        }
        self.hear(samples)
    }

    fn hear(&mut self, samples: &[i16]) -> Option<Answerer> {
        self.heard += FRAME;
        let sum: u64 = samples.iter().map(|sample| u64::from(sample.unsigned_abs())).sum();
        let level = u32::try_from(sum / samples.len().max(1) as u64).unwrap_or(u32::MAX);
        let ended = self.hear_tone(level, samples);
        let due = Instant(0) + self.heard;
        let change = self.voice.hear(level, due);
        if let Some(known) = self.of_tone(ended) {
            return Some(known);
        }
        // A tone is no word, whatever its loudness.
        if self.is_tone() {
            return self.late();
        }
        match (self.stage, change) {
            (Stage::Waiting, Some(Change::Voiced)) => self.stage = Stage::Speaking,
            (Stage::Speaking, Some(Change::Silent(spoke))) if spoke < self.terms.speech => {
                return Some(Answerer::Human);
            }
            (Stage::Greeting | Stage::Speaking, Some(Change::Silent(_))) => {
                return Some(self.machine(Answerer::MachineEndSilence));
            }
            (Stage::Waiting, _) if self.heard >= self.terms.silence => {
                return Some(Answerer::Unknown);
            }
            (Stage::Speaking, _) if self.voice.spoken() >= self.terms.speech => {
                if !self.terms.to_end {
                    return Some(Answerer::MachineStart);
                }
                self.stage = Stage::Greeting;
            }
            (Stage::Greeting | Stage::Speaking | Stage::Waiting, _) => {}
        }
        self.late()
    }

    fn late(&self) -> Option<Answerer> {
        let known = match self.stage {
            Stage::Greeting => Answerer::MachineEndOther,
            Stage::Speaking | Stage::Waiting => Answerer::Unknown,
        };
        (self.heard >= self.terms.timeout).then_some(known)
    }

    fn machine(&self, end: Answerer) -> Answerer {
        if self.terms.to_end { end } else { Answerer::MachineStart }
    }

    fn is_tone(&self) -> bool {
        self.tone.is_some_and(|tone| tone.lasts >= TONE_MIN)
    }

    /// What a tone says that goes on, or that has just ended.
    fn of_tone(&mut self, ended: Option<Tone>) -> Option<Answerer> {
        let spoken = self.stage != Stage::Waiting && self.voice_before_tone();
        let fax = |tone: &Tone| {
            FAX.iter().any(|(hertz, off)| (tone.hertz - hertz).abs() <= *off) && !spoken
        };
        if self.tone.is_some_and(|tone| fax(&tone) && tone.lasts >= FAX_MIN) {
            return Some(Answerer::Fax);
        }
        let beep = ended.is_some_and(|tone| tone.lasts >= TONE_MIN && !fax(&tone));
        beep.then(|| self.machine(Answerer::MachineEndBeep))
    }

    /// Whether what was taken for speech was more than the tone itself.
    fn voice_before_tone(&self) -> bool {
        let tone = self.tone.map_or(Duration::ZERO, |tone| tone.lasts);
        self.voice.spoken() > tone + TONE_MIN
    }

    /// The tone that has ended with this frame.
    fn hear_tone(&mut self, level: u32, samples: &[i16]) -> Option<Tone> {
        let pitch = pitch(samples).filter(|_| level > QUIET);
        match (&mut self.tone, pitch) {
            (Some(tone), Some(hertz)) if (tone.hertz - hertz).abs() <= WANDER => {
                tone.lasts += FRAME;
                None
            }
            (_, pitch) => {
                let new = pitch.map(|hertz| Tone { hertz, lasts: FRAME });
                std::mem::replace(&mut self.tone, new)
            }
        }
    }
}

/// The pitch of a frame that is one tone.
///
/// A sine obeys x[n] + x[n-2] = 2 cos(w) x[n-1]: what fits best is where its pitch would be. It is one when that pitch has
/// nearly all that is heard; a voice has it in many.
fn pitch(samples: &[i16]) -> Option<f64> {
    let (mut cross, mut middle, mut whole) = (0.0, 0.0, 0.0);
    for three in samples.windows(3) {
        let [a, b, c] = three else { continue };
        let b = f64::from(*b);
        cross += (f64::from(*a) + f64::from(*c)) * b;
        middle += b * b;
    }
    if middle <= 0.0 {
        return None;
    }
    let step = (cross / middle / 2.0).clamp(-1.0, 1.0).acos();
    let hertz = step / TAU * f64::from(RATE);
    if !PITCHES.contains(&hertz) {
        return None;
    }
    let (mut even, mut odd) = (0.0, 0.0);
    for (place, sample) in samples.iter().enumerate() {
        let (sample, angle) = (f64::from(*sample), step * place as f64);
        even += sample * angle.cos();
        odd += sample * angle.sin();
        whole += sample * sample;
    }
    let part = 2.0 * (even * even + odd * odd) / (samples.len() as f64 * whole);
    (part >= PURE).then_some(hertz)
}

#[cfg(test)]
mod tests {
    use types::Rng;

    use super::*;

    const TERMS: Terms = Terms {
        to_end: false,
        timeout: Duration::from_secs(30),
        speech: Duration::from_millis(2_400),
        pause: Duration::from_millis(1_200),
        silence: Duration::from_millis(5_000),
    };
    const TO_END: Terms = Terms { to_end: true, ..TERMS };

    /// What somebody hears, in samples.
    #[derive(Default)]
    struct Line(Vec<i16>);

    impl Line {
        fn quiet(mut self, ms: usize) -> Self {
            let mut rng = Rng::from_number(self.0.len() as u64);
            self.0.extend((0..ms * 8).map(|_| rng.below(21) as i16 - 10));
            self
        }

        fn tone(mut self, hertz: f64, ms: usize) -> Self {
            let sine = |n: usize| (TAU * hertz * n as f64 / 8_000.0).sin() * 6_000.0;
            self.0.extend((0..ms * 8).map(|n| sine(n) as i16));
            self
        }

        /// Something like a voice: a buzz of many harmonics whose pitch wanders, in syllables.
        fn voice(mut self, ms: usize) -> Self {
            let mut rng = Rng::from_number(7 + self.0.len() as u64);
            let (mut phase, mut hertz) = (0.0, 120.0);
            for n in 0..ms * 8 {
                hertz = f64::clamp(hertz + rng.below(3) as f64 - 1.0, 90.0, 220.0);
                phase += hertz / 8_000.0;
                let syllable = if n % 2_000 < 1_500 { 1.0 } else { 0.15 };
                let buzz: f64 =
                    (1..8).map(|k| (TAU * phase * f64::from(k)).sin() / f64::from(k)).sum();
                let breath = rng.below(401) as f64 - 200.0;
                self.0.push(((buzz * 3_000.0 + breath) * syllable) as i16);
            }
            self
        }

        fn judged(&self, terms: Terms) -> (Option<Answerer>, u64) {
            let mut judge = Judge::new(terms);
            let frames = self.0.chunks_exact(160).enumerate();
            let found =
                frames.map(|(n, frame)| judge.frame(n as u64 * 160, frame)).find(Option::is_some);
            (found.flatten(), judge.heard().as_millis() as u64)
        }
    }

    fn line() -> Line {
        Line::default()
    }

    #[test]
    fn people_say_little_and_wait() {
        let hello = line().quiet(400).voice(700).quiet(3_000);
        let (who, after) = hello.judged(TERMS);
        assert_eq!(who, Some(Answerer::Human));
        assert!((2_100..2_600).contains(&after), "{after}");
        assert_eq!(hello.judged(TO_END).0, Some(Answerer::Human));
        // Two words with a pause between them.
        let name = line().quiet(300).voice(500).quiet(600).voice(600).quiet(3_000);
        assert_eq!(name.judged(TERMS).0, Some(Answerer::Human));
    }

    #[test]
    fn machines_talk_on() {
        let greeting = line().quiet(500).voice(6_000).quiet(3_000);
        let (who, after) = greeting.judged(TERMS);
        assert_eq!(who, Some(Answerer::MachineStart));
        assert!((2_800..3_200).contains(&after), "{after}");
        let (who, after) = greeting.judged(TO_END);
        assert_eq!(who, Some(Answerer::MachineEndSilence));
        assert!((7_500..8_100).contains(&after), "{after}");
        let endless = line().voice(31_000);
        assert_eq!(endless.judged(TO_END), (Some(Answerer::MachineEndOther), 30_000));
    }

    #[test]
    fn the_beep_is_waited_for_to_its_end() {
        for hertz in [440.0, 1_000.0, 1_400.0, 2_000.0] {
            let greeting = line().quiet(300).voice(4_000).quiet(700).tone(hertz, 600).quiet(2_000);
            let (who, after) = greeting.judged(TO_END);
            assert_eq!(who, Some(Answerer::MachineEndBeep), "{hertz}");
            assert!((5_600..5_760).contains(&after), "{hertz}: {after}");
        }
        // A short greeting is a machine's when it ends with one.
        let short = line().quiet(300).voice(1_000).quiet(300).tone(1_000.0, 400).quiet(2_000);
        assert_eq!(short.judged(TERMS).0, Some(Answerer::MachineStart));
        assert_eq!(short.judged(TO_END).0, Some(Answerer::MachineEndBeep));
    }

    #[test]
    fn a_fax_and_silence() {
        for hertz in [1_100.0, 2_100.0] {
            let fax = line().quiet(1_000).tone(hertz, 500).quiet(3_000);
            let (who, after) = fax.judged(TERMS);
            assert_eq!(who, Some(Answerer::Fax), "{hertz}");
            assert!(after < 1_600, "{after}");
        }
        let beep = line().quiet(300).voice(4_000).quiet(500).tone(1_100.0, 600).quiet(900);
        assert_eq!(
            beep.judged(TO_END).0,
            Some(Answerer::MachineEndBeep),
            "behind words it is none"
        );
        assert_eq!(line().quiet(6_000).judged(TERMS), (Some(Answerer::Unknown), 5_000));
        let hurried = Terms { timeout: Duration::from_secs(3), ..TERMS };
        let slow = line().quiet(2_500).voice(900);
        assert_eq!(slow.judged(hurried), (Some(Answerer::Unknown), 3_000));
    }

    #[test]
    fn gaps_are_silence_and_bounded() {
        let mut judge = Judge::new(TERMS);
        assert_eq!(judge.frame(0, &[0; 160]), None);
        assert_eq!(judge.frame(u64::MAX / 2, &[0; 160]), Some(Answerer::Unknown));
        assert_eq!(judge.heard(), TERMS.silence);
        let mut judge = Judge::new(TERMS);
        assert_eq!((judge.frame(0, &[]), judge.frame(5, &[i16::MIN; 3])), (None, None));
    }

    #[test]
    fn nothing_that_is_heard_panics() {
        let mut rng = Rng::from_number(3);
        for _ in 0..50 {
            let mut judge = Judge::new(if rng.below(2) == 0 { TERMS } else { TO_END });
            let mut at = 0;
            for _ in 0..2_000 {
                let samples: Vec<i16> =
                    (0..rng.below(200)).map(|_| rng.next_u64() as i16).collect();
                at += rng.below(400);
                if judge.frame(at, &samples).is_some() {
                    break;
                }
            }
        }
    }
}
