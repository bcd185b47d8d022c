//! The whole check, at a desk and on a build machine alike, with a table of where its time went.

use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::cargo::{Count, Show, cargo, locked, run, run_counted, target_folder, test};
use crate::finding::judge;
use crate::install::{Purpose, install};
use crate::tree::{Tree, root};
use crate::{console, floors, licences, reference, side_by_side, tidy};

/// Data from outside the project, where it is there. Tests whose names hold `outside_data` run over it.
const OUTSIDE_DATA: &str = "../shared/data";

#[derive(Default)]
struct Steps {
    done: Vec<(&'static str, Duration, bool)>,
}

impl Steps {
    /// Runs one step and goes on after a failure: one run tells all that is wrong.
    fn step<T>(&mut self, name: &'static str, work: impl FnOnce() -> Result<T>) -> Option<T> {
        println!("\n== {name}");
        let began = Instant::now();
        let result = work();
        if let Err(error) = &result {
            eprintln!("{name} failed: {error:#}");
        }
        self.done.push((name, began.elapsed(), result.is_ok()));
        result.ok()
    }

    fn table(&self) -> String {
        let total: Duration = self.done.iter().map(|(_, time, _)| *time).sum();
        let row = |name: &str, time: Duration, note: &str| {
            let share = 100.0 * time.as_secs_f64() / total.as_secs_f64().max(0.001);
            format!("  {name:<22} {:>8.1} s {share:>4.0} %{note}\n", time.as_secs_f64())
        };
        let rows: String = self
            .done
            .iter()
            .map(|(name, time, good)| row(name, *time, if *good { "" } else { "   FAILED" }))
            .collect();
        format!("Where the time went\n{rows}{}", row("total", total, ""))
    }
}

pub fn ci() -> Result<()> {
    let mut steps = Steps::default();
    steps.step("toolchain", components);
    steps.step("fmt", || run(&mut cargo(["fmt", "--all", "--check"])));
    steps.step("floors", || judge("floors", floors::check(&Tree::read(&root())?)));
    steps.step("tidy", run_tidy);
    steps.step("licences", || judge("licences", licences::check()?));
    steps.step("install", || install(Purpose::Test));
    // Before anything is built: the binary takes it in.
    steps.step("console", console::make);
    steps.step("clippy", || {
        let words = ["clippy", "--workspace", "--all-targets"];
        run(cargo(words).args(locked()).args(["--", "--deny", "warnings"]))
    });
    // Built here so that the table parts building from testing; the binary that this leaves is the one that the
    // black-box tests and the reference use.
    steps.step("build tests", || run(&mut test(&["--no-run".to_owned()])));
    steps.step("reference", || reference::run(reference::Mode::Check, reference::Binary::AsBuilt));
    let mut count = Count::default();
    steps.step("tests", || side_by_side::run_all(&mut count));
    // The thousand seeds; `cargo test` has run a few. Built with the tests, so that it is the same profile.
    steps.step("seeds", || {
        let words = ["seeds", "--from", "0", "--count", "1000"];
        run(Command::new(target_folder().join("debug/sim")).args(words))
    });
    let outside = steps.step("outside data", outside_data);
    steps.step("docs", || {
        let words = ["doc", "--workspace", "--no-deps"];
        run(cargo(words).args(locked()).env("RUSTDOCFLAGS", "--deny warnings"))
    });
    println!("\n{}", steps.table());
    println!(
        "{}",
        outside.unwrap_or_else(|| format!("outside data: the runs over {OUTSIDE_DATA} failed"))
    );
    println!("{count}");
    let failed: Vec<&str> =
        steps.done.iter().filter(|(_, _, good)| !good).map(|(name, ..)| *name).collect();
    if !failed.is_empty() {
        bail!("ci failed: {}", failed.join(", "));
    }
    Ok(())
}

/// Prints what merely stands out; fails on what breaks a rule.
pub fn run_tidy() -> Result<()> {
    let report = tidy::check(&Tree::read(&root())?);
    for note in &report.notes {
        println!("stands out: {note}");
    }
    judge("tidy", report.findings)
}

/// A minimal toolchain lacks the formatter and the linter.
fn components() -> Result<()> {
    for (program, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        let there =
            cargo([program, "--version"]).output().is_ok_and(|output| output.status.success());
        if !there {
            println!("Installing the component {component} of the toolchain");
            run(Command::new("rustup").args(["component", "add", component]))?;
        }
    }
    Ok(())
}

/// Runs the tests over outside data where it is there; says whether it did.
fn outside_data() -> Result<String> {
    let folder = root().join(OUTSIDE_DATA);
    let Ok(folder) = folder.canonicalize() else {
        return Ok(format!("outside data: {OUTSIDE_DATA} is not there, so nothing ran over it"));
    };
    let words = ["--tests", "outside_data"].map(str::to_owned);
    let mut count = Count::default();
    let mut command = test(&words);
    run_counted(command.env("CARILLON_OUTSIDE_DATA", folder), Show::OnFailure, &mut count)?;
    Ok(match count.passed {
        0 => format!("outside data: {OUTSIDE_DATA} is there, but no test reads it"),
        some => format!("outside data: {OUTSIDE_DATA} is there and was run: {some} passed"),
    })
}

/// Builds `carillon dev` and becomes it, so that signals and exit status are the server's own.
pub fn dev(words: &[String]) -> Result<()> {
    install(Purpose::Build)?;
    console::make()?;
    run(cargo(["build", "--release", "--package", "server", "--bin", "carillon"]).args(locked()))?;
    let program = target_folder().join("release/carillon");
    let error = Command::new(&program).arg("dev").args(words).exec();
    Err(error).with_context(|| format!("starting {}", program.display()))
}

/// Installs what is missing, then runs every test, those that judge the store on both, or those that `words` choose.
pub fn run_tests(words: &[String]) -> Result<()> {
    install(Purpose::Test)?;
    console::make()?;
    let mut count = Count::default();
    let result = match words {
        [] => side_by_side::run_all(&mut count),
        chosen => run_counted(&mut test(chosen), Show::Always, &mut count),
    };
    println!("\n{count}");
    result
}
