//! Outside crates against deny.toml: licences that we may ship, crates that we refuse, one source.

use anyhow::{Context, Result, bail};
use toml::{Table, Value};

use crate::cargo::{cargo, locked, shown};
use crate::finding::Finding;
use crate::tree::{Tree, root};

const DOCUMENT: &str = "deny.toml";

pub fn check() -> Result<Vec<Finding>> {
    let tree = Tree::read(&root())?;
    let words = [
        "tree",
        "--workspace",
        "--edges",
        "normal,build",
        "--prefix",
        "none",
        "--format",
        "{p}|{l}",
    ];
    let mut command = cargo(words);
    let output =
        command.args(locked()).output().with_context(|| format!("starting {}", shown(&command)))?;
    if !output.status.success() {
        bail!("{} failed: {}", shown(&command), String::from_utf8_lossy(&output.stderr));
    }
    let policy = tree.text(DOCUMENT).unwrap_or_default();
    let lock = tree.text("Cargo.lock").unwrap_or_default();
    judge_crates(policy, &String::from_utf8_lossy(&output.stdout), lock)
}

/// `crates` has lines `name v1.2.3|MIT OR Apache-2.0`.
fn judge_crates(policy: &str, crates: &str, lock: &str) -> Result<Vec<Finding>> {
    let policy: Table = policy.parse().context("reading deny.toml")?;
    let allowed = texts(policy.get("licenses").and_then(|part| part.get("allow")));
    let refused = texts(policy.get("bans").and_then(|part| part.get("deny")));
    let mut lines: Vec<&str> = crates.lines().filter(|line| !line.is_empty()).collect();
    lines.sort_unstable();
    lines.dedup();
    let mut findings = Vec::new();
    for line in lines {
        let (package, licence) =
            line.trim_end_matches(" (*)").split_once('|').unwrap_or((line, ""));
        if !Expression::new(licence).holds(&allowed) {
            findings.push(Finding::new(
                DOCUMENT,
                0,
                format!("{package} has the licence `{licence}`, not allowed"),
            ));
        }
    }
    let lock: Table = lock.parse().context("reading Cargo.lock")?;
    for package in lock.get("package").and_then(Value::as_array).into_iter().flatten() {
        let text = |key| package.get(key).and_then(Value::as_str).unwrap_or_default();
        if text("source").starts_with("git+") {
            findings.push(Finding::new(
                "Cargo.lock",
                0,
                format!("{} comes from a git repository", text("name")),
            ));
        }
        if refused.contains(&text("name")) {
            findings.push(Finding::new(
                "Cargo.lock",
                0,
                format!("{} is refused in {DOCUMENT}", text("name")),
            ));
        }
    }
    Ok(findings)
}

/// A list of strings, or of tables with a `crate`.
fn texts(list: Option<&Value>) -> Vec<&str> {
    let items = list.and_then(Value::as_array).into_iter().flatten();
    items.filter_map(|item| item.get("crate").unwrap_or(item).as_str()).collect()
}

/// A licence expression: `(MIT OR Apache-2.0) AND Unicode-3.0`; an old `/` means OR.
struct Expression {
    words: Vec<String>,
    at: usize,
}

impl Expression {
    fn new(text: &str) -> Self {
        let spaced = text.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
        let words =
            spaced.replace(" WITH ", "+WITH+").split_whitespace().map(str::to_owned).collect();
        Self { words, at: 0 }
    }

    fn holds(mut self, allowed: &[&str]) -> bool {
        let held = self.any(allowed);
        held && self.at == self.words.len()
    }

    fn any(&mut self, allowed: &[&str]) -> bool {
        let mut held = self.all(allowed);
        while self.take("OR") {
            held |= self.all(allowed);
        }
        held
    }

    fn all(&mut self, allowed: &[&str]) -> bool {
        let mut held = self.one(allowed);
        while self.take("AND") {
            held &= self.one(allowed);
        }
        held
    }

    fn one(&mut self, allowed: &[&str]) -> bool {
        if self.take("(") {
            let held = self.any(allowed);
            return self.take(")") && held;
        }
        let word = self.words.get(self.at).map(|word| word.replace("+WITH+", " WITH "));
        self.at += 1;
        word.is_some_and(|word| allowed.contains(&word.as_str()))
    }

    fn take(&mut self, wanted: &str) -> bool {
        let here = self.words.get(self.at).is_some_and(|word| word == wanted);
        self.at += usize::from(here);
        here
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licence_expressions_are_understood() {
        let allowed = ["MIT", "Apache-2.0", "Unicode-3.0", "Apache-2.0 WITH LLVM-exception"];
        let good = [
            "MIT",
            "GPL-3.0 OR MIT",
            "MIT/GPL-2.0",
            "(MIT OR BSL-1.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception",
        ];
        let bad = ["", "GPL-3.0", "MIT AND GPL-3.0", "(MIT", "MIT)", "MIT MIT"];
        assert!(good.iter().all(|text| Expression::new(text).holds(&allowed)));
        assert!(!bad.iter().any(|text| Expression::new(text).holds(&allowed)));
    }

    #[test]
    fn refused_crates_and_git_sources_are_found() {
        let policy = "[licenses]\nallow = [\"MIT\"]\n[bans]\ndeny = [{ crate = \"openssl\" }]\n";
        let lock = "[[package]]\nname = \"openssl\"\nversion = \"1.0.0\"\n\
                    [[package]]\nname = \"b\"\nversion = \"1.0.0\"\nsource = \"git+https://x\"\n";
        let findings =
            judge_crates(policy, "a v1.0.0|MIT\nc v1.0.0|GPL-3.0\na v1.0.0|MIT (*)\n", lock)
                .unwrap();
        let whats: Vec<&str> = findings.iter().map(|finding| finding.what.as_str()).collect();
        assert_eq!(
            whats,
            [
                "c v1.0.0 has the licence `GPL-3.0`, not allowed",
                "openssl is refused in deny.toml",
                "b comes from a git repository",
            ]
        );
    }
}
