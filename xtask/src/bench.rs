//! `bench`: our server and a peer in turn, on the same load.

use anyhow::{Context, Result, bail};

use crate::cargo::{cargo, locked, run, shown, target_folder};
use crate::install::{Purpose, install};
use crate::tree::root;

/// What will be measured; only those marked are there.
const BENCHES: [(&str, bool); 7] = [
    ("cache", false),
    ("instructions", true),
    ("media", true),
    ("parser", true),
    ("ptt", false),
    ("sip", true),
    ("voice", true),
];
/// Units of which instructions are counted: the program runs fifty times slower under the counter.
const COUNTED: u64 = 200;
/// Units of which allocations are counted.
const UNITS: u64 = 2_000;
/// The picture of what live calls cost.
const GROWTH: &str = "docs/growth.svg";

/// Whether `bench` takes this name, there or still to come.
pub fn is_known(name: &str) -> bool {
    BENCHES.iter().any(|(known, _)| *known == name)
}

/// Builds the server as it is published (profile `dist`) and the generator with the release profile, then measures.
pub fn bench(name: &str, words: &[String]) -> Result<()> {
    if !BENCHES.contains(&(name, true)) {
        bail!("the bench `{name}` does not exist yet");
    }
    install(Purpose::Bench)?;
    if name == "instructions" {
        return instructions();
    }
    if name == "parser" {
        return run(
            cargo(["bench", "--quiet", "--package", "sip", "--bench", "parser"]).args(locked())
        );
    }
    let mut command = cargo(["run", "--release", "--quiet", "--package", "bench"]);
    command.args(locked()).args(["--", name]).args(words);
    if !words.iter().any(|word| word == "--carillon" || word.starts_with("--carillon=")) {
        run(cargo(["build", "--profile", "dist", "--package", "server"]).args(locked()))?;
        command.arg("--carillon").arg(target_folder().join("dist/carillon"));
    }
    run(&mut command)
}

/// What one call and one registration cost a shard, without sockets, clocks and neighbours; and what a call costs
/// beside many that are live.
fn instructions() -> Result<()> {
    let program = ["bench", "--quiet", "--package", "services", "--bench", "instructions"];
    for kind in ["calls", "registers"] {
        let units = UNITS.to_string();
        run(cargo(program).args(locked()).args(["--", kind, &units]))?;
        let counted = COUNTED.to_string();
        // Whatever the target: its programs run under the counter, which counts inside of one function.
        let out = target_folder().join(format!("callgrind.{kind}"));
        let runner = format!(
            "target.'cfg(all())'.runner=['valgrind','--tool=callgrind','--collect-atstart=no',\
             '--toggle-collect=measured','--callgrind-out-file={}']",
            out.display()
        );
        let mut command = cargo(program);
        command.args(locked()).args(["--config", &runner, "--", kind, &counted]);
        let said = command.output().with_context(|| format!("starting {}", shown(&command)))?;
        let said = String::from_utf8_lossy(&said.stderr).into_owned();
        let total = collected(&said).with_context(|| format!("no count in:\n{said}"))?;
        println!("{kind}: {} instructions each (profile: {})", total / COUNTED, out.display());
    }
    let picture = root().join(GROWTH);
    run(cargo(program).args(locked()).args(["--", "growth"]).arg(picture))
}

/// The total in what callgrind says at its end: `Collected : 123`.
fn collected(said: &str) -> Option<u64> {
    let row = said.lines().find_map(|row| row.split_once("Collected :"))?;
    row.1.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_found() {
        assert_eq!(collected("==7== x\n==7== Collected : 142455500\n"), Some(142_455_500));
        assert_eq!(collected("==7== x"), None);
    }

    #[test]
    fn names_are_known_before_they_are_there() {
        assert!(is_known("sip") && is_known("ptt") && !is_known("tea"));
        assert_eq!(
            bench("ptt", &[]).unwrap_err().to_string(),
            "the bench `ptt` does not exist yet"
        );
    }
}
