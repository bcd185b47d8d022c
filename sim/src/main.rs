//! `seeds`: runs worlds. `replay`: runs a recording of a real server again, or shows the report of a panic.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use sim::seeds::{Report, Summary, run};

/// Worlds that run at the same time.
const THREADS: u64 = 2;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |name: &str| {
        let place = words.iter().position(|word| word == name)?;
        words.get(place + 1)?.parse::<u64>().ok()
    };
    let flag = |name: &str| words.iter().any(|word| word == name);
    match words.first().map(String::as_str) {
        Some("seeds") => seeds(
            number("--from").unwrap_or(0),
            number("--count").unwrap_or(200),
            Manner {
                trace: flag("--trace"),
                with_coverage: !flag("--short"),
                until_first: flag("--first"),
            },
        ),
        Some("replay") => match words.get(1) {
            Some(file) => replay(file),
            None => usage(),
        },
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!("sim seeds [--from N] [--count N] [--trace] [--short] [--first]\nsim replay FILE");
    ExitCode::from(2)
}

/// How seeds are run and told.
#[derive(Clone, Copy)]
struct Manner {
    /// Prints what happens.
    trace: bool,
    /// Prints the pairs that were met.
    with_coverage: bool,
    /// Stops at the first failure.
    until_first: bool,
}

fn seeds(from: u64, count: u64, manner: Manner) -> ExitCode {
    // A room that panics is a finding of its own; its stack is of no use here.
    std::panic::set_hook(Box::new(|_| ()));
    let next = AtomicU64::new(from);
    let worker = || {
        let mut reports = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= from + count {
                return reports;
            }
            let report = guarded(seed, manner.trace);
            if !report.violations.is_empty() {
                if manner.until_first {
                    next.store(from + count, Ordering::Relaxed);
                }
                println!("seed {seed}: {}", report.violations[0]);
            }
            reports.push(report);
        }
    };
    let mut reports: Vec<Report> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS.min(count.max(1))).map(|_| scope.spawn(worker)).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).flatten().collect()
    });
    reports.sort_by_key(|report| report.seed);
    let mut summary = Summary::default();
    reports.into_iter().for_each(|report| summary.add(report));
    let whole = summary.seeds == count && summary.failed.is_empty();
    summary.lines(manner.with_coverage).iter().for_each(|line| println!("{line}"));
    if whole { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A panic outside of the rooms ends its world, not the run.
fn guarded(seed: u64, trace: bool) -> Report {
    std::panic::catch_unwind(|| run(seed, trace)).unwrap_or_else(|why| {
        let text = why
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| why.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            .unwrap_or_default();
        sim::seeds::panicked(seed, &text)
    })
}

fn replay(file: &str) -> ExitCode {
    let bytes = match std::fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) => {
            eprintln!("cannot read {file}: {error}");
            return ExitCode::FAILURE;
        }
    };
    if let Some(lines) = sim::replay::show(&bytes) {
        lines.iter().for_each(|line| println!("{line}"));
        return ExitCode::SUCCESS;
    }
    match sim::replay::run(&bytes) {
        Ok(outcome) => {
            println!("{outcome}");
            if outcome.differs.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(why) => {
            eprintln!("{file}: {why}");
            ExitCode::FAILURE
        }
    }
}
