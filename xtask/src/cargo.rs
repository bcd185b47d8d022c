//! Running other programs, cargo first among them.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fmt};

use anyhow::{Context, Result, bail};

use crate::install;
use crate::tree::root;

/// Where builds go.
pub fn target_folder() -> PathBuf {
    let chosen =
        env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    root().join(chosen)
}

/// Cargo, in the root, without what the outer `cargo run` said about this package: some build
/// scripts would take it for a change and build again.
pub fn cargo<'a>(words: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(words).current_dir(root());
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}

/// `--locked` where nobody could commit a changed lock file.
pub fn locked() -> Option<&'static str> {
    env::var_os("CI").map(|_| "--locked")
}

/// Runs to the end. Errors: it could not start, or did not exit with 0.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("starting {}", shown(command)))?;
    if !status.success() {
        bail!("{} ended with {status}", shown(command));
    }
    Ok(())
}

/// The command line as a person would type it.
pub fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    let words = command.get_args().map(|word| word.to_string_lossy());
    std::iter::once(program.to_string_lossy()).chain(words).collect::<Vec<_>>().join(" ")
}

/// What test runs said in their closing lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub passed: u64,
    pub failed: u64,
}

impl Count {
    /// Adds `test result: ok. 3 passed; 0 failed; …`; other lines say nothing.
    pub fn add(&mut self, line: &str) {
        if !line.starts_with("test result:") {
            return;
        }
        let words: Vec<&str> =
            line.split([' ', ';', '.']).filter(|word| !word.is_empty()).collect();
        for pair in words.windows(2) {
            let number = pair[0].parse::<u64>().unwrap_or(0);
            match pair[1] {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                _ => (),
            }
        }
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tests: {} passed, {} failed", self.passed, self.failed)
    }
}

/// Whether a counted run's lines are shown as they come, or only when it fails.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Show {
    Always,
    OnFailure,
}

/// Runs a `cargo test` and adds what its closing lines say to `count`, after a failure as well.
pub fn run_counted(command: &mut Command, show: Show, count: &mut Count) -> Result<()> {
    let name = shown(command);
    command.stdout(Stdio::piped());
    if show == Show::OnFailure {
        command.stderr(Stdio::null());
    }
    let mut child = command.spawn().with_context(|| format!("starting {name}"))?;
    let mut held = Vec::new();
    for line in BufReader::new(child.stdout.take().context("its output is ours")?).lines() {
        let line = line?;
        count.add(&line);
        match show {
            Show::Always => println!("{line}"),
            Show::OnFailure => held.push(line),
        }
    }
    let status = child.wait()?;
    if !status.success() {
        held.iter().for_each(|line| println!("{line}"));
        bail!("{name} ended with {status}");
    }
    Ok(())
}

/// `cargo test` as `ci` and `test` run it: one profile, the whole workspace unless `words` choose.
pub fn test(words: &[String]) -> Command {
    let chosen = words.iter().any(|word| word == "-p" || word.starts_with("--package"));
    let mut command = cargo(["test", "--no-fail-fast"]);
    command.args(locked()).args((!chosen).then_some("--workspace")).args(words);
    command.envs(test_environment());
    command
}

/// What test programs are told besides.
pub fn test_environment() -> Vec<(&'static str, String)> {
    let python = install::python().map(|path| path.to_string_lossy().into_owned());
    python.map(|path| ("CARILLON_TEST_PYTHON", path)).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_are_added_up() {
        let mut count = Count::default();
        count.add("test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out");
        count.add("test result: FAILED. 1 passed; 2 failed; 0 ignored");
        count.add("40 passed; 40 failed");
        assert_eq!(count.to_string(), "tests: 13 passed, 2 failed");
    }
}
