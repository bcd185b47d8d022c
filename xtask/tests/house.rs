//! The checks over this repository itself: what `cargo xtask ci` runs as steps, `cargo test` runs too.

use xtask::finding::Finding;
use xtask::tree::{Tree, root};
use xtask::{floors, licences, reference, tidy};

#[track_caller]
fn expect_none(findings: &[Finding]) {
    let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "\n{}\n", lines.join("\n"));
}

fn tree() -> Tree {
    Tree::read(&root()).unwrap()
}

#[test]
fn crates_stand_on_their_floors() {
    expect_none(&floors::check(&tree()));
}

#[test]
fn sources_and_documents_are_tidy() {
    expect_none(&tidy::check(&tree()).findings);
}

#[test]
fn licences_are_ones_that_we_may_ship() {
    expect_none(&licences::check().unwrap());
}

/// Pages that the binary writes are compared by `cargo xtask ci`, which has just built it.
#[test]
fn pages_from_the_sources_are_fresh() {
    let (tree, pages) = (tree(), reference::from_sources(&tree()));
    let stale: Vec<&String> = pages
        .iter()
        .filter(|(path, text)| tree.text(path) != Some(text))
        .map(|(path, _)| path)
        .collect();
    assert!(stale.is_empty(), "stale, run `cargo xtask reference`: {stale:?}");
}
