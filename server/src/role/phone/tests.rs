//! Two phones on loopback, without a server: what one plays the other records.

use std::path::{Path, PathBuf};

use clap::Parser;
use types::Rng;

use super::runner::Runner;
use super::{Arguments, plan, sound};

/// Samples of the windows that are compared.
const WINDOW: usize = 3_000;

#[derive(Debug, Parser)]
struct Words {
    #[command(flatten)]
    arguments: Arguments,
}

async fn phone(words: &str) -> Runner {
    let words = std::iter::once("phone").chain(words.split_whitespace());
    let words = Words::try_parse_from(words).expect("the words are right");
    let plan = plan::Plan::of(words.arguments).await.expect("a plan");
    Runner::new(plan).await.expect("a phone")
}

/// Three seconds that never repeat.
fn noise(folder: &Path, seed: u64) -> (PathBuf, Vec<i16>) {
    let mut rng = Rng::from_number(seed);
    let mut last = 0.0;
    let sound: Vec<i16> = (0..24_000)
        .map(|_| {
            last = 0.6 * last + rng.below(12_001) as f64 - 6_000.0;
            last as i16
        })
        .collect();
    let file = folder.join(format!("played-{seed}.wav"));
    sound::write(&file, &sound).expect("a file");
    (file, sound)
}

/// The best correlation of a stretch of `sent` with any place in the first half of `heard`.
fn likeness(sent: &[i16], heard: &[i16]) -> f64 {
    let sent = &sent[WINDOW..2 * WINDOW];
    let heard = &heard[..heard.len().min(4 * WINDOW)];
    let product = |one: &[i16], other: &[i16]| -> i64 {
        one.iter().zip(other).map(|(a, b)| i64::from(*a) * i64::from(*b)).sum()
    };
    let squares = |samples: &[i16]| product(samples, samples);
    let (size, mut power) = (squares(sent) as f64, squares(&heard[..WINDOW]));
    let mut best: f64 = 0.0;
    for at in 0..heard.len() - WINDOW {
        let like = product(sent, &heard[at..at + WINDOW]) as f64;
        best = best.max(like / (size * power as f64).sqrt().max(1.0));
        power += squares(&heard[at + WINDOW..=at + WINDOW]) - squares(&heard[at..=at]);
    }
    best
}

#[tokio::test]
async fn each_records_what_the_other_plays() {
    let folder = tempfile::tempdir().expect("a folder");
    let ((played_a, sound_a), (played_b, sound_b)) =
        (noise(folder.path(), 1), noise(folder.path(), 2));
    let (heard_a, heard_b) = (folder.path().join("a.wav"), folder.path().join("b.wav"));
    let talk = |played: &Path, heard: &Path| {
        format!("--play {} --record {}", played.display(), heard.display())
    };
    let answer = format!("--direct --user 1002 answer {}", talk(&played_b, &heard_b));
    let callee = phone(&answer).await;
    let address = callee.address().expect("an address");
    let call = format!("--direct call sip:1002@{address} --for 3s {}", talk(&played_a, &heard_a));
    let caller = phone(&call).await;
    let (callee, caller) = tokio::join!(callee.run(), caller.run());
    assert_eq!((callee.expect("no fault"), caller.expect("no fault")), (0, 0));
    let heard_a = sound::read(&heard_a).expect("a recording");
    let heard_b = sound::read(&heard_b).expect("a recording");
    for (sent, heard, other) in [(&sound_b, &heard_a, &sound_a), (&sound_a, &heard_b, &sound_b)] {
        let (like, unlike) = (likeness(sent, heard), likeness(other, heard));
        assert!(like >= 0.95 && unlike < 0.2, "{like} {unlike}");
    }
}

#[tokio::test]
async fn a_refused_call_has_failed_and_a_refusal_has_not() {
    for (how, keys) in [("--busy", "--dtmf 1"), ("--decline", "--dtmf 2")] {
        let callee = phone(&format!("--direct --user 1002 answer {how}")).await;
        let address = callee.address().expect("an address");
        let caller = phone(&format!("--direct --json call sip:1002@{address} {keys}")).await;
        let (callee, caller) = tokio::join!(callee.run(), caller.run());
        assert_eq!((callee.expect("no fault"), caller.expect("no fault")), (0, 1));
    }
}

#[tokio::test]
async fn wrong_words_are_named() {
    for (words, key) in [
        ("--direct register", "--direct"),
        ("--direct --transport tcp answer", "--transport"),
        ("--local nowhere answer", "--local"),
        ("--push fcm answer", "--push"),
        ("--env /does/not/exist answer", "--env"),
        ("call sip:", "URI"),
        ("call 1002 --play /does/not/exist.wav", "--play"),
    ] {
        let words = std::iter::once("phone").chain(words.split_whitespace());
        let words = Words::try_parse_from(words).expect("the words can be read");
        let Err(fault) = plan::Plan::of(words.arguments).await else { panic!("{key}") };
        assert_eq!(fault.code(), 2);
        assert!(fault.to_string().starts_with(key), "{fault}");
    }
}
