//! Small made-up projects and what the checks say about them, one file each in `tidy/` and `floors/`.
//!
//! A sample is a list of files, each after a line `=== PATH`, and what is found after `=== findings`. Every sample also
//! has the files of `base.txt`, unless it brings its own. To accept new findings: `XTASK_ACCEPT=1 cargo test -p xtask`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{env, fs};

use xtask::tree::Tree;
use xtask::{floors, tidy};

const FINDINGS: &str = "findings";

/// Files by path; [`FINDINGS`] is one of them.
fn read(path: &Path) -> BTreeMap<String, String> {
    let text = fs::read_to_string(path).unwrap();
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    let mut name = String::new();
    for line in text.lines() {
        match line.strip_prefix("=== ") {
            Some(next) => name = next.to_owned(),
            None => {
                let file = files.entry(name.clone()).or_default();
                file.push_str(line);
                file.push('\n');
            }
        }
    }
    files
}

#[track_caller]
fn check(folder: &str, judge: impl Fn(&Tree) -> Vec<String>) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let base = read(&folder.join("base.txt"));
    let mut samples: Vec<PathBuf> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    samples.sort();
    for sample in samples {
        let mut files = base.clone();
        files.extend(read(&sample));
        let expected = files.remove(FINDINGS).unwrap_or_default();
        let tree = Tree::of(files.iter().map(|(path, text)| (path.as_str(), text.as_str())));
        let found: String = judge(&tree).iter().map(|line| format!("{line}\n")).collect();
        if env::var_os("XTASK_ACCEPT").is_some() {
            let text = fs::read_to_string(&sample).unwrap();
            let head = text.split("=== findings\n").next().unwrap_or_default();
            fs::write(&sample, format!("{head}=== findings\n{found}")).unwrap();
        } else {
            assert_eq!(found, expected, "{}", sample.display());
        }
    }
}

#[test]
fn tidy_finds_what_the_samples_plant() {
    check("tidy", |tree| {
        let report = tidy::check(tree);
        let notes = report.notes.iter().map(|note| format!("note {note}"));
        report.findings.iter().map(ToString::to_string).chain(notes).collect()
    });
}

#[test]
fn floors_find_what_the_samples_plant() {
    check("floors", |tree| {
        let mut findings = floors::check(tree);
        findings.sort();
        findings.iter().map(ToString::to_string).collect()
    });
}

#[test]
fn tidy_notes_long_functions_and_refuses_very_long_files() {
    let function = format!("fn long() {{\n{}}}\n", "    step();\n".repeat(75));
    let long = format!("{function}{}", "// A line.\n".repeat(730));
    let tree = Tree::of([
        ("services/calls/Cargo.toml", "[package]"),
        ("services/calls/src/long.rs", long.as_str()),
        ("services/calls/src/middle.rs", &long[long.len() / 4..]),
    ]);
    let report = tidy::check(&tree);
    let sizes = report.findings.iter().filter(|finding| finding.path.ends_with("long.rs"));
    let found: Vec<String> = sizes.chain(&report.notes).map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "services/calls/src/long.rs: 807 lines: above 800 it must become two files",
            "services/calls/src/long.rs:1: long has 77 lines; a screen is 70",
            "services/calls/src/middle.rs: 610 lines; one sitting is 500",
        ]
    );
}
