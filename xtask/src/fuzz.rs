//! `fuzz`: the targets of libFuzzer in `fuzz/`, each for a while, where a nightly compiler is at hand.
//!
//! The seeded mutators in the parsers' own tests run with every test run and need nothing; these look deeper.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::cargo::{run, target_folder};
use crate::tree::root;

/// How long each target runs when nobody says.
const SPAN: Duration = Duration::from_secs(10);
/// The longest input. Spec: a datagram's payload, RFC 768.
const INPUT_MAX: u32 = 65_507;
/// The longest that one input may take, in seconds.
const INPUT_TIME: u32 = 5;
/// What tells libFuzzer which way an input took, and the sanitizer that sees what safe code cannot show.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Zsanitizer=address -Ccodegen-units=1";
/// What each family of targets begins from.
const SEEDS: [(&str, &str); 4] = [
    ("sdp_", "proto/sdp/tests/wire"),
    ("sip_", "proto/sip/tests/wire"),
    ("xml_", "proto/xml/tests/wire"),
    ("", "fuzz/none"),
];

/// Builds all targets and runs each; what a target finds stands in `artifacts` of the folder that is named.
pub fn fuzz(words: &[String]) -> Result<()> {
    let span = match words {
        [] => SPAN,
        [flag, span] if flag == "--for" => seconds(span)?,
        _ => bail!("`fuzz` takes `--for 30s` or nothing"),
    };
    let host = nightly()?;
    let target = target_folder().join("fuzz");
    let mut build = Command::new("cargo");
    build.args(["+nightly", "build", "--release", "--locked", "--target", &host]);
    build.current_dir(root().join("fuzz")).env("RUSTFLAGS", FLAGS).env("CARGO_TARGET_DIR", &target);
    // Of the compiler that runs this: not of the one that is asked for.
    build.env_remove("CARGO").env_remove("RUSTUP_TOOLCHAIN");
    run(&mut build)?;
    let targets = root().join("fuzz/fuzz_targets");
    let mut names: Vec<String> = fs::read_dir(&targets)
        .with_context(|| format!("reading {}", targets.display()))?
        .filter_map(|entry| Some(entry.ok()?.path().file_stem()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    ensure!(!names.is_empty(), "there is no target in {}", targets.display());
    let programs = target.join(&host).join("release");
    for name in &names {
        println!("{name}, {} s", span.as_secs());
        one(&programs, &target, name, span)
            .with_context(|| format!("{name}: see {}", target.join("artifacts").display()))?;
    }
    println!("{} targets, nothing found", names.len());
    Ok(())
}

fn one(programs: &Path, target: &Path, name: &str, span: Duration) -> Result<()> {
    let corpus = target.join("corpus").join(name);
    let artifacts = target.join("artifacts");
    fs::create_dir_all(&corpus)?;
    fs::create_dir_all(&artifacts)?;
    let seeds = SEEDS.iter().find(|(family, _)| name.starts_with(family)).map(|(_, seeds)| seeds);
    let seeds = seeds.map(|seeds| root().join(seeds)).filter(|seeds| seeds.is_dir());
    let mut command = Command::new(programs.join(name));
    command.arg(&corpus).args(seeds);
    command.arg(format!("-max_total_time={}", span.as_secs()));
    command.arg(format!("-max_len={INPUT_MAX}")).arg(format!("-timeout={INPUT_TIME}"));
    command
        .arg(format!("-artifact_prefix={}/{name}-", artifacts.display()))
        .args(["-verbosity=0", "-print_funcs=0"]);
    run(&mut command)
}

/// The platform of the nightly compiler; an error that says what to install where there is none.
fn nightly() -> Result<String> {
    let mut command = Command::new("rustc");
    command.args(["+nightly", "-vV"]).env_remove("RUSTUP_TOOLCHAIN");
    let said = command.output().ok().filter(|output| output.status.success());
    let said = said.context("no nightly compiler here: `rustup toolchain install nightly`")?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let host = said.lines().find_map(|row| row.strip_prefix("host: "));
    host.map(str::to_owned).with_context(|| format!("no platform in {said:?}"))
}

/// `30s` or `30`.
fn seconds(text: &str) -> Result<Duration> {
    let number = text.strip_suffix('s').unwrap_or(text).parse();
    let number: u64 = number.with_context(|| format!("`{text}` is no number of seconds"))?;
    Ok(Duration::from_secs(number.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_seconds() {
        assert_eq!(seconds("30s").unwrap(), Duration::from_secs(30));
        assert_eq!(seconds("0").unwrap(), Duration::from_secs(1));
        assert!(seconds("soon").is_err());
        let error = fuzz(&["--until".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("--for 30s"), "{error}");
    }

    /// Each target has its line in the manifest, or it would never be built.
    #[test]
    fn the_manifest_names_every_target() {
        let manifest = fs::read_to_string(root().join("fuzz/Cargo.toml")).unwrap();
        for entry in fs::read_dir(root().join("fuzz/fuzz_targets")).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(manifest.contains(&format!("\"fuzz_targets/{name}\"")), "{name}");
        }
        for (_, seeds) in &SEEDS[..3] {
            assert!(root().join(seeds).is_dir(), "{seeds}");
        }
    }
}
