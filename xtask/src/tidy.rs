//! Names, sizes, heads, stub words, error enums, bans lifted in passing, and paths that documents name.
//!
//! What breaks a rule is a finding; what merely stands out is a note for a person to judge.

mod documents;
mod heads;
mod names;
mod sizes;
mod words;

use crate::finding::Finding;
use crate::floors;
use crate::rust_file::RustFile;
use crate::tree::Tree;

/// Samples of bad files, which `tidy` would find wanting.
const SAMPLES: &str = "xtask/tests/tidy/";

#[derive(Default)]
pub struct Report {
    pub findings: Vec<Finding>,
    pub notes: Vec<Finding>,
}

/// One Rust file with what its place says about it.
struct Source<'a> {
    path: &'a str,
    text: &'a str,
    folder: &'a str,
    file: RustFile,
    may_wait: bool,
}

pub fn check(tree: &Tree) -> Report {
    let mut report = Report::default();
    let glossary = names::Glossary::read(tree, &mut report);
    for (path, text) in tree.iter().filter(|(path, _)| !path.starts_with(SAMPLES)) {
        words::foreign(path, text, &mut report);
        if path.ends_with(".py") {
            words::python(path, text, &mut report);
        }
        let (Some(folder), true) = (tree.crate_of(path), path.ends_with(".rs")) else { continue };
        let in_test = path.contains("/tests/") || path.ends_with("/tests.rs");
        let file = match RustFile::read(text, in_test) {
            Ok(file) => file,
            Err(error) => {
                report.findings.push(Finding::new(
                    path,
                    0,
                    format!("cannot be read as Rust: {error}"),
                ));
                continue;
            }
        };
        let may_wait = floors::may_wait(tree, folder);
        let source = Source { path, text, folder, file, may_wait };
        names::check(&source, &glossary, &mut report);
        sizes::check(&source, &mut report);
        words::rust(&source, &mut report);
        heads::check(&source, &mut report);
    }
    documents::check(tree, &mut report);
    report.findings.sort();
    report.notes.sort();
    report
}
