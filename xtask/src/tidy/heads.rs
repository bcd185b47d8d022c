//! The theory of operation at the top of each `lib.rs`, and the lints that belong beside it.

use crate::finding::Finding;
use crate::tidy::{Report, Source};

const HEADINGS: [&str; 5] = ["Picture", "Rules", "Limits", "Not here", "Spec"];
const HEAD_LINES_MAX: usize = 60;

/// Crates whose public items must all be explained.
const DOCUMENTED: [&str; 4] = ["media", "proto/", "switchboard", "types"];

/// Crates that meet hostile bytes: a panic there would be a peer's doing.
const UNPANICKING: [&str; 2] = ["media", "proto/"];
const PANICS: [&str; 4] = ["expect_used", "indexing_slicing", "panic", "unwrap_used"];

pub(super) fn check(source: &Source<'_>, report: &mut Report) {
    if source.path != format!("{}/src/lib.rs", source.folder) {
        return;
    }
    let mut find = |what: String| report.findings.push(Finding::new(source.path, 0, what));
    let head: Vec<&str> = source.text.lines().take_while(|line| line.starts_with("//!")).collect();
    let (mut from, mut lacking) = (0, Vec::new());
    for heading in HEADINGS {
        let wanted = format!("//! {heading} ");
        match head.iter().skip(from).position(|line| line.starts_with(&wanted)) {
            Some(at) => from += at + 1,
            None => lacking.push(heading),
        }
    }
    if !lacking.is_empty() {
        find(format!("its head lacks {}, or has it out of order", lacking.join(", ")));
    }
    if head.len() > HEAD_LINES_MAX {
        find(format!("its head has {} lines; {HEAD_LINES_MAX} is the most", head.len()));
    }
    let is_one_of = |list: &[&str]| {
        list.iter().any(|known| {
            *known == source.folder || (known.ends_with('/') && source.folder.starts_with(known))
        })
    };
    let denied: String = source
        .file
        .attributes
        .iter()
        .filter(|attribute| attribute.text.contains("deny("))
        .map(|attribute| attribute.text.as_str())
        .collect();
    if is_one_of(&DOCUMENTED) && !denied.contains("missing_docs") {
        find("does not deny missing_docs".to_owned());
    }
    if is_one_of(&UNPANICKING) {
        for lint in PANICS.iter().filter(|lint| !denied.contains(**lint)) {
            find(format!("does not deny clippy::{lint} outside tests"));
        }
    }
}
