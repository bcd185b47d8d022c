//! Every path that a document names is there.

use crate::finding::Finding;
use crate::tidy::Report;
use crate::tree::Tree;

const DOCUMENTS: [&str; 5] =
    ["AGENTS.md", "ARCHITECTURE.md", "README.md", "SECURITY.md", "STYLE.md"];
const RECIPES: &str = "docs/recipes/";

/// Made by a build or a run, so not in the tree.
const MADE: [&str; 3] = ["carillon-data", "node_modules", "target"];

/// `image/png` is no path.
const MEDIA_TYPES: [&str; 7] =
    ["application", "audio", "image", "message", "multipart", "text", "video"];

/// Stand for any name in a recipe.
const PLACEHOLDERS: [&str; 3] = ["NAME", "NNNN", "FILE"];

/// Endings of files that a document may name without their folder. Not `.rs`: each crate has a `lib.rs`.
const ENDINGS: [&str; 3] = [".md", ".sh", ".toml"];

pub(super) fn check(tree: &Tree, report: &mut Report) {
    for document in DOCUMENTS.iter().filter(|document| !tree.has(document)) {
        report.findings.push(Finding::new(*document, 0, "is missing"));
    }
    let read = |path: &str| DOCUMENTS.contains(&path) || path.starts_with(RECIPES);
    for (path, text) in tree.iter().filter(|(path, _)| read(path)) {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut fenced = false;
        for (index, line) in text.lines().enumerate() {
            if line.trim_start().starts_with("```") {
                fenced = !fenced;
            }
            if fenced {
                continue;
            }
            for named in quoted(line).into_iter().chain(linked(line)).filter(|named| is_path(named))
            {
                let trimmed = named.trim_end_matches('*').trim_end_matches('/');
                if !tree.has(trimmed) && !tree.has(&joined(folder, trimmed)) {
                    report.findings.push(Finding::new(
                        path,
                        index + 1,
                        format!("there is no {named}"),
                    ));
                }
            }
        }
    }
}

/// What stands between back-quotes.
fn quoted(line: &str) -> Vec<&str> {
    line.split('`').skip(1).step_by(2).collect()
}

/// Targets of `[text](target)` without their anchors.
fn linked(line: &str) -> Vec<&str> {
    let targets = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets
        .filter_map(|target| target.split('#').next())
        .filter(|target| !target.contains(':'))
        .collect()
}

fn is_path(text: &str) -> bool {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "_-./*".contains(letter);
    let first = text.trim_start_matches("./").split('/').next().unwrap_or_default();
    let looks = text.contains('/') || ENDINGS.iter().any(|ending| text.ends_with(ending));
    looks
        && text.chars().all(plain)
        && !first.is_empty()
        && !MADE.contains(&first)
        && !MEDIA_TYPES.contains(&first)
        && !PLACEHOLDERS.iter().any(|word| text.contains(word))
}

/// `../b` seen from the folder `a` is `b`.
fn joined(folder: &str, path: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => (),
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}
