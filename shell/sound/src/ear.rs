//! Where what somebody says begins and ends.
//!
//! Picture     frames --level--> quiet | speaking --silence, or too long--> what was said, as one piece
//! Rules       A piece begins a little before the voice was loud enough to be one. Gaps of the tap are silence. Nothing that
//!             nobody said is kept.
//! Limits      [`BEFORE`] of each piece is from before the voice; [`EarPlan::length_max`], and [`PIECE_MAX`] whatever it says.
//! Not here    Words (listener), who speaks (`media::vad` knows loud from quiet, no more).
//! Spec        none.

use std::time::Duration;

use media::vad::{Change, Speech};
use switchboard::EarPlan;
use types::Instant;

/// Samples a second.
pub const RATE: u32 = 8_000;
/// How much of the time before a voice belongs to it.
pub const BEFORE: Duration = Duration::from_millis(400);
/// The longest piece.
pub const PIECE_MAX: Duration = Duration::from_secs(120);

/// What an ear makes of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// Somebody begins to speak.
    Began {
        /// On which channel.
        channel: u8,
    },
    /// He has spoken.
    Piece {
        /// On which channel.
        channel: u8,
        /// How long he spoke.
        length: Duration,
        /// What was heard, at [`RATE`].
        samples: Vec<i16>,
    },
}

/// See the head of this file.
#[derive(Debug)]
pub struct Ear {
    silence: Duration,
    length_max: Duration,
    sides: [Side; 2],
}

#[derive(Debug)]
struct Side {
    speech: Speech,
    samples: Vec<i16>,
    speaks: bool,
    /// Where the next frame is expected.
    next: Option<u64>,
}

impl Ear {
    /// An ear that has heard nothing.
    pub fn new(plan: &EarPlan) -> Self {
        let side = || Side {
            speech: Speech::new(plan.silence, Instant(0)),
            samples: Vec::new(),
            speaks: false,
            next: None,
        };
        let length_max = plan.length_max.min(PIECE_MAX);
        Self { silence: plan.silence, length_max, sides: [side(), side()] }
    }

    /// Hears a frame of a tap.
    pub fn frame(&mut self, channel: u8, at: u64, samples: &[i16]) -> Option<Said> {
        let Self { silence, length_max, sides: [said, heard] } = self;
        let side = if channel == 0 { said } else { heard };
        let due = Instant(at * 1_000_000 / u64::from(RATE));
        let missing = side.next.map_or(0, |next| at.saturating_sub(next));
        let most = count(PIECE_MAX);
        let missing = usize::try_from(missing).unwrap_or(most).min(most);
        side.samples.resize(side.samples.len() + missing, 0);
        side.next = Some(at + samples.len() as u64);
        side.samples.extend_from_slice(samples);
        let sum: u64 = samples.iter().map(|sample| u64::from(sample.unsigned_abs())).sum();
        let level = u32::try_from(sum / samples.len().max(1) as u64).unwrap_or(u32::MAX);
        match side.speech.hear(level, due) {
            Some(Change::Voiced) => {
                side.speaks = true;
                return Some(Said::Began { channel });
            }
            Some(Change::Silent(length)) if side.speaks => {
                side.speaks = false;
                let samples = std::mem::take(&mut side.samples);
                return Some(Said::Piece { channel, length, samples });
            }
            Some(Change::Silent(_)) | None => {}
        }
        if side.speaks && side.samples.len() >= count(*length_max) {
            (side.speaks, side.speech) = (false, Speech::new(*silence, due));
            let samples = std::mem::take(&mut side.samples);
            return Some(Said::Piece { channel, length: *length_max, samples });
        }
        if !side.speaks {
            let spare = side.samples.len().saturating_sub(count(BEFORE));
            side.samples.drain(..spare);
        }
        None
    }
}

fn count(length: Duration) -> usize {
    usize::try_from(length.as_millis()).unwrap_or(usize::MAX) / 1_000 * RATE as usize
        + usize::try_from(length.as_millis() % 1_000).unwrap_or(0) * RATE as usize / 1_000
}

#[cfg(test)]
mod tests {
    use media::{Direction, TapId};
    use switchboard::Tongue;

    use super::*;

    fn ear(length_max: u64) -> Ear {
        Ear::new(&EarPlan {
            tap: TapId(1),
            direction: Direction::In,
            silence: Duration::from_millis(500),
            length_max: Duration::from_secs(length_max),
            tongue: Tongue::default(),
        })
    }

    /// Frames of this loudness; what was made of them, and after how many frames.
    fn hear(ear: &mut Ear, at: &mut u64, parts: &[(usize, i16)]) -> Vec<(u64, Said)> {
        let mut said = Vec::new();
        for (frames, loud) in parts {
            for _ in 0..*frames {
                said.extend(ear.frame(0, *at, &[*loud; 160]).map(|one| (*at / 160, one)));
                *at += 160;
            }
        }
        said
    }

    #[test]
    fn a_piece_has_its_beginning_and_its_end() {
        let (mut ear, mut at) = (ear(60), 0);
        let said = hear(&mut ear, &mut at, &[(100, 0), (50, 3_000), (60, 0)]);
        let [(102, Said::Began { channel: 0 }), (frame, Said::Piece { length, samples, .. })] =
            &said[..]
        else {
            panic!("{said:?}");
        };
        assert!((170..=176).contains(frame), "half a second behind the voice: {frame}");
        assert!((900..=1_000).contains(&length.as_millis()), "{length:?}");
        let first = samples.iter().position(|sample| *sample != 0).unwrap();
        assert!((2_000..=3_200).contains(&first), "what stands before it: {first}");
        assert_eq!(samples.iter().filter(|sample| **sample != 0).count(), 50 * 160);
        // Silence alone is nothing, however long.
        assert_eq!(hear(&mut ear, &mut at, &[(5_000, 0)]), []);
    }

    #[test]
    fn who_never_stops_is_cut() {
        let (mut ear, mut at) = (ear(2), 0);
        let said = hear(&mut ear, &mut at, &[(250, 3_000)]);
        let pieces: Vec<_> = said
            .iter()
            .filter_map(|(_, said)| match said {
                Said::Piece { samples, .. } => Some(samples.len()),
                Said::Began { .. } => None,
            })
            .collect();
        assert_eq!(pieces, [16_000, 16_000]);
    }

    #[test]
    fn a_jump_of_the_tap_is_bounded() {
        let mut ear = ear(60);
        ear.frame(0, 0, &[0; 160]);
        ear.frame(0, u64::MAX / 2_000_000, &[0; 160]);
        assert!(ear.sides[0].samples.len() <= count(BEFORE));
    }
}
