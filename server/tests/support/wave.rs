//! Sound that is never the same twice, and how alike two sounds are.

use std::f64::consts::TAU;
use std::path::Path;

use types::Rng;

/// Samples a second of everything here.
pub const RATE: usize = 8_000;

/// Seconds of silence before the signal, so that the far end's start does not cost a part of it.
const LEAD: usize = 1;
/// Seconds of silence after it: the file outlasts every call, since its end would end the sound.
const TAIL: usize = 60;

/// Loudest sample: well below what G.711 can say.
const PEAK: f64 = 9_000.0;

/// `seconds` of noise within the band of speech, in syllables of differing loudness. It follows from its seed.
///
/// Forty partials a hundred hertz apart would repeat; these stand at drawn frequencies and each syllable draws anew.
pub fn speech_like(seed: u64, seconds: usize) -> Vec<i16> {
    const SYLLABLE: usize = RATE / 8;
    const PARTIALS: usize = 40;
    let mut rng = Rng::from_number(seed);
    let mut unit = || rng.below(1 << 32) as f64 / f64::from(u32::MAX);
    let mut samples = Vec::with_capacity(seconds * RATE);
    while samples.len() < seconds * RATE {
        let loudness = 0.3 + 0.7 * unit();
        let partials: Vec<(f64, f64)> =
            (0..PARTIALS).map(|_| (300.0 + 3_000.0 * unit(), TAU * unit())).collect();
        samples.extend((0..SYLLABLE).map(|at| {
            let time = at as f64 / RATE as f64;
            let sum: f64 =
                partials.iter().map(|(pitch, phase)| (TAU * pitch * time + phase).sin()).sum();
            let sample = PEAK * loudness * sum / (PARTIALS as f64).sqrt() / 2.0;
            sample.clamp(-PEAK, PEAK) as i16
        }));
    }
    samples.truncate(seconds * RATE);
    samples
}

/// `seconds` of one tone, at half of what speech here has at most.
pub fn tone(pitch: f64, seconds: usize) -> Vec<i16> {
    let turn = TAU * pitch / RATE as f64;
    (0..seconds * RATE).map(|at| (PEAK / 2.0 * (turn * at as f64).sin()) as i16).collect()
}

/// The amplitude of a tone in some sound, by Goertzel's sum under a window that keeps neighbours apart.
pub fn loudness(heard: &[i16], pitch: f64) -> f64 {
    let turn = TAU * pitch / RATE as f64;
    let (mut one, mut two) = (0.0, 0.0);
    for (at, sample) in heard.iter().enumerate() {
        let window = 0.5 - 0.5 * (TAU * at as f64 / heard.len() as f64).cos();
        let next = f64::from(*sample) * window + 2.0 * turn.cos() * one - two;
        (two, one) = (one, next);
    }
    let power = one * one + two * two - 2.0 * turn.cos() * one * two;
    4.0 * power.max(0.0).sqrt() / heard.len().max(1) as f64
}

/// Writes a file that a phone can play all through a call.
pub fn write(path: &Path, signal: &[i16]) {
    let form = hound::WavSpec {
        channels: 1,
        sample_rate: RATE as u32,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut file = hound::WavWriter::create(path, form).expect("the test's folder can be written");
    let silence = |seconds: usize| std::iter::repeat_n(0, seconds * RATE);
    for sample in silence(LEAD).chain(signal.iter().copied()).chain(silence(TAIL)) {
        file.write_sample(sample).expect("the test's folder can be written");
    }
    file.finalize().expect("the test's folder can be written");
}

/// All samples of a recording. A recorder that is still at work has not written the true length yet, so the samples are
/// counted by the file's own.
pub fn read(path: &Path) -> Vec<i16> {
    let octets = std::fs::read(path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
    let field = |at: usize| u16::from_le_bytes([octets[at], octets[at + 1]]);
    assert_eq!(&octets[..4], b"RIFF", "{}", path.display());
    assert_eq!(
        (field(22), field(24), field(34)),
        (1, RATE as u16, 16),
        "one channel, 8 kHz, 16 bit"
    );
    let data = octets.windows(4).position(|four| four == b"data").expect("a data chunk") + 8;
    octets[data..].chunks_exact(2).map(|two| i16::from_le_bytes([two[0], two[1]])).collect()
}

/// Fails unless `heard` holds all of `sent` and nothing of `control`.
#[track_caller]
pub fn assert_heard(what: &str, heard: &[i16], sent: &[i16], control: &[i16]) {
    let (alike, crossed) = (likeness(sent, heard), likeness(control, heard));
    let seconds = heard.len() as f64 / RATE as f64;
    println!(
        "{what}: {alike:.4} with what was sent, {crossed:.4} with the control, {seconds:.1} s"
    );
    assert!(alike >= 0.95, "{what}: {alike:.3} with what was sent, in {seconds:.1} s");
    assert!(crossed < 0.2, "{what}: {crossed:.3} with what the other side sent");
}

/// Fails unless `heard` holds one second of `sent` and nothing of `control`: for phones whose jitter buffer leaves
/// frames out when the machine is busy, which shifts what comes after.
#[track_caller]
pub fn assert_heard_in_part(what: &str, heard: &[i16], sent: &[i16], control: &[i16]) {
    let best =
        |of: &[i16]| of.chunks_exact(RATE).map(|part| likeness(part, heard)).fold(0.0, f64::max);
    let (alike, crossed) = (best(sent), best(control));
    println!("{what}: {alike:.4} with a second of what was sent, {crossed:.4} with the control");
    assert!(alike >= 0.95, "{what}: {alike:.3} with the best second of what was sent");
    assert!(crossed < 0.3, "{what}: {crossed:.3} with what the other side sent");
}

/// The normalised cross-correlation of `wanted` with the part of `heard` where it is greatest: 1 is the same.
pub fn likeness(wanted: &[i16], heard: &[i16]) -> f64 {
    if heard.len() < wanted.len() {
        return 0.0;
    }
    let size = (heard.len() + wanted.len()).next_power_of_two();
    let mut products = spectrum(heard, size);
    for (product, other) in products.iter_mut().zip(spectrum(wanted, size)) {
        *product = product.times(other.conjugate());
    }
    transform(&mut products, 1.0);
    let energy =
        |samples: &[i16]| -> f64 { samples.iter().map(|sample| f64::from(*sample).powi(2)).sum() };
    let own = energy(wanted);
    let mut theirs = energy(&heard[..wanted.len()]);
    let mut best = 0.0_f64;
    for lag in 0..=heard.len() - wanted.len() {
        if lag > 0 {
            theirs += f64::from(heard[lag + wanted.len() - 1]).powi(2);
            theirs -= f64::from(heard[lag - 1]).powi(2);
        }
        // Near silence everything is like everything.
        if theirs > own / 1_000.0 {
            best = best.max(products[lag].0 / size as f64 / (own * theirs).sqrt());
        }
    }
    best
}

#[derive(Clone, Copy)]
struct Complex(f64, f64);

impl Complex {
    fn times(self, other: Self) -> Self {
        Self(self.0 * other.0 - self.1 * other.1, self.0 * other.1 + self.1 * other.0)
    }

    fn conjugate(self) -> Self {
        Self(self.0, -self.1)
    }
}

fn spectrum(samples: &[i16], size: usize) -> Vec<Complex> {
    let mut values: Vec<Complex> =
        samples.iter().map(|sample| Complex(f64::from(*sample), 0.0)).collect();
    values.resize(size, Complex(0.0, 0.0));
    transform(&mut values, -1.0);
    values
}

/// The fast Fourier transform in place, by halves; `sign` 1.0 is the inverse without its factor.
fn transform(values: &mut [Complex], sign: f64) {
    let bits = values.len().trailing_zeros();
    for at in 0..values.len() {
        let mirrored = at.reverse_bits() >> (usize::BITS - bits);
        if at < mirrored {
            values.swap(at, mirrored);
        }
    }
    let mut half = 1;
    while half < values.len() {
        let step = sign * TAU / (2 * half) as f64;
        let turns: Vec<Complex> = (0..half)
            .map(|at| Complex((step * at as f64).cos(), (step * at as f64).sin()))
            .collect();
        for block in values.chunks_exact_mut(2 * half) {
            let (low, high) = block.split_at_mut(half);
            for ((low, high), turn) in low.iter_mut().zip(high).zip(&turns) {
                let (a, b) = (*low, high.times(*turn));
                *low = Complex(a.0 + b.0, a.1 + b.1);
                *high = Complex(a.0 - b.0, a.1 - b.1);
            }
        }
        half *= 2;
    }
}
