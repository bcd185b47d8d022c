//! Something like a voice, and how a recording of it compares with what was sent: place by place, not as a whole.
//!
//! Picture     sent --network, jitter buffer--> heard;  heard, in blocks of 20 ms --each where it was sent--> Judgement
//! Rules       A block may stand a millisecond from its place; where the buffer has moved all that follows, the place is
//!             found anew. A block is unlike what was sent where it does not follow it or where it jumps.
//! Limits      STRAY, DELAY_MAX, FIRST_MAX.
//! Not here    Where recordings come from: the engine alone (`lossy.rs` beside this), the whole server (its own tests).
//! Spec        none

use std::f64::consts::TAU;

/// Samples a second of everything here.
pub const RATE: usize = 8_000;
/// Samples of a block that is compared: 20 ms.
pub const BLOCK: usize = RATE / 50;
/// How far a block may be from its place: 1 ms.
const STRAY: usize = 8;
/// What the delay is found anew by when the buffer has moved it: 100 ms.
const ANCHOR: usize = 800;
/// The longest delay that the network and the buffer make: 300 ms.
const DELAY_MAX: usize = 2_400;
/// The longest time that a recording may run before anybody speaks: two seconds. It is judged from there on.
const FIRST_MAX: usize = 2 * RATE;

/// Something like a voice: a pitch that glides, five overtones, four syllables a second, never silent.
pub fn voice(seconds: usize) -> Vec<i16> {
    let mut phase = 0.0;
    (0..seconds * RATE)
        .map(|n| {
            let time = n as f64 / RATE as f64;
            let pitch = 140.0 + 30.0 * (TAU * 0.37 * time).sin() + 15.0 * (TAU * 1.3 * time).sin();
            phase += TAU * pitch / RATE as f64;
            let tones = (1..=5).map(|over| (phase * f64::from(over)).sin() / f64::from(over));
            let syllable = 0.6 - 0.4 * (TAU * 4.0 * time).cos();
            (tones.sum::<f64>() * syllable * 6_000.0) as i16
        })
        .collect()
}

/// What came of a comparison.
#[derive(Clone, Copy, Debug)]
pub struct Judgement {
    /// Blocks that were compared.
    pub count: usize,
    /// Blocks among them that are unlike what was sent.
    pub bad: usize,
    /// The longest run of those. Units: milliseconds.
    pub longest: usize,
    /// How alike they are, on average: 1 is the same.
    pub score: f64,
    /// How often the buffer moved.
    pub moved: usize,
    /// How late the sound was at the beginning and at the end. Units: milliseconds.
    pub late: [usize; 2],
}

/// Compares a recording with what was sent, but where `excused` says so of a place in what was sent.
pub fn judge(heard: &[i16], sent: &[i16], excused: impl Fn(usize) -> bool) -> Judgement {
    // How late the sound is at a place of the recording, and how sure that is.
    let delay = |at: usize, max: usize| {
        let (place, alike) = find(&heard[at..at + ANCHOR], sent, at - max, max);
        (at - place, alike)
    };
    let steepest = step(sent);
    let first = delay(FIRST_MAX, FIRST_MAX).0;
    let (mut count, mut bad, mut longest, mut run, mut score, mut moved) = (0, 0, 0, 0, 0.0, 0);
    let mut late = first;
    for at in (FIRST_MAX..heard.len() - ANCHOR).step_by(BLOCK) {
        let block = &heard[at..at + BLOCK];
        let mut alike = find(block, sent, at - late - STRAY, 2 * STRAY).1;
        if alike < 0.9 {
            let (now, sure) = delay(at, first + DELAY_MAX);
            if sure > 0.95 {
                moved += usize::from(now.abs_diff(late) > STRAY);
                late = now;
                alike = find(block, sent, at - late - STRAY, 2 * STRAY).1;
            }
        }
        if excused(at - late) {
            run = 0;
            continue;
        }
        let clicks = alike < 0.7 || step(block) > 2 * steepest;
        run = if clicks { run + 1 } else { 0 };
        count += 1;
        score += alike;
        bad += usize::from(clicks);
        longest = longest.max(run);
    }
    let milliseconds = |samples: usize| samples * 1_000 / RATE;
    Judgement {
        count,
        bad,
        longest: milliseconds(longest * BLOCK),
        score: score / count as f64,
        moved,
        late: [first, late].map(milliseconds),
    }
}

/// The greatest step from one sample to the next.
fn step(sound: &[i16]) -> u32 {
    let steps = sound.windows(2).map(|two| i32::from(two[1]).abs_diff(two[0].into()));
    steps.max().unwrap_or(0)
}

/// How alike two pieces are, whatever their loudness: 1 is the same.
fn alike(one: &[i16], other: &[i16]) -> f64 {
    let [mut both, mut first, mut second] = [1e-9; 3];
    for (a, b) in one.iter().zip(other) {
        let (a, b) = (f64::from(*a), f64::from(*b));
        both += a * b;
        first += a * a;
        second += b * b;
    }
    both / (first * second).sqrt()
}

/// Where in what was sent a piece is found best, from `from` on, and how alike it is.
fn find(piece: &[i16], sent: &[i16], from: usize, count: usize) -> (usize, f64) {
    let places = (from..from + count).filter_map(|place| {
        let there = sent.get(place..place + piece.len())?;
        Some((place, alike(piece, there)))
    });
    places.max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((from, 0.0))
}
