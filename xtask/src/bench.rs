//! `bench`: our server and a peer in turn, on the same load.

use anyhow::{Result, bail};

use crate::cargo::{cargo, locked, run, target_folder};
use crate::install::{Purpose, install};

/// What will be measured; only those marked are there.
const BENCHES: [(&str, bool); 5] =
    [("cache", false), ("media", false), ("ptt", false), ("sip", true), ("voice", false)];

/// Whether `bench` takes this name, there or still to come.
pub fn is_known(name: &str) -> bool {
    BENCHES.iter().any(|(known, _)| *known == name)
}

/// Builds server and generator with the release profile, then measures.
pub fn bench(name: &str, words: &[String]) -> Result<()> {
    if !BENCHES.contains(&(name, true)) {
        bail!("the bench `{name}` does not exist yet");
    }
    install(Purpose::Bench)?;
    run(cargo(["build", "--release", "--package", "server", "--package", "bench"]).args(locked()))?;
    let mut command = cargo(["run", "--release", "--quiet", "--package", "bench", "--", name]);
    run(command.args(words).env("CARILLON_BIN", target_folder().join("release/carillon")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_before_they_are_there() {
        assert!(is_known("sip") && is_known("ptt") && !is_known("tea"));
        assert_eq!(
            bench("ptt", &[]).unwrap_err().to_string(),
            "the bench `ptt` does not exist yet"
        );
    }
}
