//! The checkers are checked: each patch under `tests/planted` plants one bug, and some seed must find it.
//!
//! The sources are copied into the target folder, patched there and built into a target folder of their own: cargo
//! names the crates of two copies alike, so in a shared one a planted bug would get into what is built from here.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Folders that are no sources.
const SKIPPED: [&str; 3] = [".git", "node_modules", "target"];
/// Seeds that a bug may take until it is found.
const SEEDS: &str = "60";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Where the copy lives, and where it is built.
fn planted() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("../planted")
}

fn files(folder: &Path, inside: &Path, found: &mut BTreeSet<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder.join(inside)) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let path = inside.join(&name);
        let kind = entry.file_type().unwrap();
        if SKIPPED.iter().any(|skipped| *skipped == name) {
            continue;
        }
        if kind.is_dir() {
            files(folder, &path, found);
        } else if kind.is_file() {
            found.insert(path);
        }
    }
}

/// Brings the copy up to date. A file that is the same keeps its time, so that little is built again.
fn copy(to: &Path) {
    let (mut ours, mut theirs) = (BTreeSet::new(), BTreeSet::new());
    files(&root(), Path::new(""), &mut ours);
    files(to, Path::new(""), &mut theirs);
    for stale in theirs.difference(&ours) {
        fs::remove_file(to.join(stale)).unwrap();
    }
    for path in &ours {
        let content = fs::read(root().join(path)).unwrap();
        write(&to.join(path), &content);
    }
}

fn write(path: &Path, content: &[u8]) {
    if fs::read(path).is_ok_and(|known| known == content) {
        return;
    }
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// Applies one unified diff. A hunk is found by its lines, not by its line numbers, so that patches age slowly.
fn apply(patch: &str, to: &Path) {
    let mut file = None;
    let mut hunks: Vec<(PathBuf, String, String)> = Vec::new();
    for line in patch.lines() {
        if let Some(name) = line.strip_prefix("+++ b/") {
            file = Some(PathBuf::from(name));
        } else if line.starts_with("@@") {
            hunks.push((
                file.clone().expect("a file before its hunk"),
                String::new(),
                String::new(),
            ));
        } else if let Some((_, before, after)) = hunks.last_mut() {
            let (sign, text) = line.split_at_checked(1).unwrap_or((" ", ""));
            let whole = format!("{text}\n");
            match sign {
                " " => {
                    before.push_str(&whole);
                    after.push_str(&whole);
                }
                "-" => before.push_str(&whole),
                "+" => after.push_str(&whole),
                _ => (),
            }
        }
    }
    assert!(!hunks.is_empty(), "a patch without hunks");
    for (file, before, after) in hunks {
        let text = fs::read_to_string(to.join(&file)).unwrap();
        let places = text.matches(&before).count();
        assert_eq!(places, 1, "{}: the hunk fits {places} times:\n{before}", file.display());
        fs::write(to.join(&file), text.replace(&before, &after)).unwrap();
    }
}

/// Builds the copy; gives the binary.
fn build(tree: &Path) -> PathBuf {
    let output = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "-p", "sim", "--bin", "sim"])
        .current_dir(tree)
        .env("CARGO_TARGET_DIR", planted().join("target"))
        // What is built anew for each bug and runs for seconds is built as fast as can be.
        .env("CARGO_PROFILE_DEV_OPT_LEVEL", "0")
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the patched sources do not build:\n{words}");
    planted().join("target/debug/sim")
}

#[test]
fn every_planted_bug_is_found() {
    let tree = planted().join("sources");
    let mut patches: Vec<PathBuf> = fs::read_dir(root().join("sim/tests/planted"))
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|known| known == "patch"))
        .collect();
    patches.sort();
    assert!(patches.len() >= 5, "five bugs are planted at least");
    for path in patches {
        let patch = fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        // The first line says what the checker says.
        let expected = patch.lines().next().unwrap().strip_prefix("# ").unwrap().to_owned();
        copy(&tree);
        apply(&patch, &tree);
        let binary = build(&tree);
        let output = Command::new(binary)
            .args(["seeds", "--count", SEEDS, "--short", "--first"])
            .output()
            .unwrap();
        let words = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(!output.status.success(), "{name} was not found in {SEEDS} seeds:\n{words}");
        assert!(words.contains(&expected), "{name}: not by the words '{expected}':\n{words}");
        println!("{name} found: {}", words.lines().next().unwrap_or_default());
    }
}
