//! Some seeds on every run; `sim seeds` runs as many as one likes.

use sim::seeds::{Summary, run};

/// Seeds of the ordinary test run.
const SEEDS: u64 = 60;

#[test]
fn the_checkers_hold_for_some_seeds() {
    let mut summary = Summary::default();
    for seed in 0..SEEDS {
        summary.add(run(seed, false));
    }
    let lines = summary.lines(true);
    lines.iter().for_each(|line| println!("{line}"));
    assert!(summary.failed.is_empty(), "{}", lines.join("\n"));
    assert!(summary.least().0 >= 50 && summary.least().1 >= 200);
    assert!(summary.coverage.len() > 80, "only {} pairs were met", summary.coverage.len());
}

#[test]
fn a_seed_is_a_reproduction() {
    let (one, two) = (run(7, false), run(7, false));
    assert_eq!((one.events, one.answers, one.pushes), (two.events, two.answers, two.pushes));
    assert_eq!(one.coverage.lines(), two.coverage.lines());
}
