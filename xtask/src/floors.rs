//! Manifests against the tables of ARCHITECTURE.md: who may name whom, and which outside crates may come in.

use std::collections::BTreeMap;

use toml::{Table, Value};

use crate::finding::Finding;
use crate::table::{self, Row};
use crate::tree::Tree;

const DOCUMENT: &str = "ARCHITECTURE.md";

/// Crates that wait, draw lots or touch the outside. Where nothing may wait they are refused in tests as well.
const RUNTIME: [&str; 17] = [
    "async-std",
    "chrono",
    "crossbeam",
    "crossbeam-channel",
    "futures-executor",
    "getrandom",
    "libc",
    "mio",
    "nix",
    "parking_lot",
    "rand",
    "rayon",
    "rustix",
    "smol",
    "socket2",
    "time",
    "tokio",
];

/// One row of the table `floors`.
struct Floor<'a> {
    name: &'a str,
    crates: Vec<&'a str>,
    may_name: Vec<&'a str>,
    tests_may_name: Vec<&'a str>,
    /// Outside crates come from the table `outside` only.
    listed_only: bool,
    may_wait: bool,
}

/// One dependency of one manifest.
struct Edge {
    name: String,
    dev: bool,
}

pub fn check(tree: &Tree) -> Vec<Finding> {
    let text = tree.text(DOCUMENT).unwrap_or_default();
    let (Some(floors), Some(outside), Some(narrow)) =
        (table::rows(text, "floors"), table::rows(text, "outside"), table::rows(text, "narrow"))
    else {
        return vec![Finding::new(
            DOCUMENT,
            0,
            "has not the three tables floors, outside and narrow",
        )];
    };
    let floors: Vec<Floor> = floors.iter().map(Floor::of).collect();
    let mut house = House { tree, floors, folders: BTreeMap::new(), findings: Vec::new() };
    let manifests = house.manifests();
    for (folder, manifest) in &manifests {
        house.check_crate(folder, manifest, &outside, &narrow);
    }
    house.check_documents(&outside);
    house.check_lifted_bans();
    house.findings
}

struct House<'a> {
    tree: &'a Tree,
    floors: Vec<Floor<'a>>,
    /// Package name to folder.
    folders: BTreeMap<String, String>,
    findings: Vec<Finding>,
}

impl<'a> Floor<'a> {
    fn of(row: &'a Row) -> Self {
        Self {
            name: row.cells.first().map_or("", String::as_str),
            crates: row.words(1),
            may_name: row.words(2),
            tests_may_name: row.words(3),
            listed_only: row.words(4) == ["listed"],
            may_wait: row.words(5) == ["yes"],
        }
    }

    fn holds(&self, folder: &str) -> bool {
        self.crates.iter().any(|pattern| fits(pattern, folder))
    }
}

/// `proto/*` fits each folder directly below; any other pattern fits itself.
fn fits(pattern: &str, folder: &str) -> bool {
    match pattern.strip_suffix("/*") {
        Some(parent) => folder.rsplit_once('/').is_some_and(|(above, _)| above == parent),
        None => pattern == folder,
    }
}

/// As `cargo fuzz` marks its manifests.
fn is_fuzz(manifest: &Table) -> bool {
    let metadata = manifest.get("package").and_then(|package| package.get("metadata"));
    metadata.and_then(|metadata| metadata.get("cargo-fuzz")).and_then(Value::as_bool) == Some(true)
}

impl House<'_> {
    fn find(&mut self, path: &str, line: usize, what: impl Into<String>) {
        self.findings.push(Finding::new(path, line, what));
    }

    /// Every manifest with a package, read; fills `folders`.
    fn manifests(&mut self) -> Vec<(String, Table)> {
        let mut manifests = Vec::new();
        for folder in self.tree.crates() {
            let path = format!("{folder}/Cargo.toml");
            let manifest = match self.tree.text(&path).unwrap_or_default().parse::<Table>() {
                Ok(manifest) => manifest,
                Err(error) => {
                    self.find(&path, 0, format!("is not TOML: {}", error.message()));
                    continue;
                }
            };
            // Targets of libFuzzer are a workspace of their own, for another compiler, and no part of the house.
            if is_fuzz(&manifest) {
                continue;
            }
            let package = manifest.get("package").and_then(|package| package.get("name"));
            let name = package.and_then(Value::as_str).unwrap_or_default().to_owned();
            if let Some(other) = self.folders.insert(name.clone(), folder.to_owned()) {
                self.find(&path, 0, format!("{other} already has the package name {name}"));
            }
            manifests.push((folder.to_owned(), manifest));
        }
        manifests
    }

    fn floor(&self, folder: &str) -> Option<&Floor<'_>> {
        self.floors.iter().find(|floor| floor.holds(folder))
    }

    fn check_crate(&mut self, folder: &str, manifest: &Table, outside: &[Row], narrow: &[Row]) {
        let path = format!("{folder}/Cargo.toml");
        if manifest.get("lints").and_then(|lints| lints.get("workspace"))
            != Some(&Value::Boolean(true))
        {
            self.find(&path, 0, "lacks `[lints] workspace = true`, so no ban holds in it");
        }
        let mut wrong = Vec::new();
        let Some(floor) = self.floor(folder) else {
            self.find(
                &path,
                0,
                format!("{folder} stands on no floor: give it a row in {DOCUMENT}"),
            );
            return;
        };
        for edge in edges(manifest) {
            let ours = self.folders.get(&edge.name);
            if let Some(target) = ours
                && !self.may(floor, target, edge.dev)
            {
                let (own, other) = (floor.name, self.floor(target).map_or("?", |floor| floor.name));
                wrong.push(format!(
                    "may not name {target}: no edge from {own} to {other} in {DOCUMENT}"
                ));
            }
            if let Some(only) = narrow.iter().find(|row| row.cells.first() == Some(&edge.name))
                && !only.words(1).iter().any(|pattern| fits(pattern, folder))
                && !(edge.dev && floor.tests_may_name.contains(&"*"))
            {
                wrong.push(format!(
                    "may not name {}: only {} may",
                    edge.name,
                    only.words(1).join(", ")
                ));
            }
            if ours.is_some() {
                continue;
            }
            if !floor.may_wait && RUNTIME.contains(&edge.name.as_str()) {
                wrong.push(format!(
                    "names {}, which waits, draws lots or touches the outside",
                    edge.name
                ));
            } else if floor.listed_only
                && !edge.dev
                && !outside.iter().any(|row| row.cells.first() == Some(&edge.name))
            {
                wrong.push(format!(
                    "names {}, which the table `outside` of {DOCUMENT} does not list",
                    edge.name
                ));
            }
        }
        for what in wrong {
            self.find(&path, 0, what);
        }
    }

    fn may(&self, floor: &Floor<'_>, target: &str, dev: bool) -> bool {
        let target_floor = self.floor(target).map_or("", |floor| floor.name);
        let named =
            |list: &[&str]| list.iter().any(|word| ["*", target, target_floor].contains(word));
        named(&floor.may_name) || (dev && named(&floor.tests_may_name))
    }

    /// Each outside crate that the table ties to a decision has that decision.
    fn check_documents(&mut self, outside: &[Row]) {
        for row in outside {
            for decision in row.words(2) {
                if !self.tree.has(&format!("docs/decisions/{decision}.md")) {
                    self.find(
                        DOCUMENT,
                        row.line,
                        format!("there is no docs/decisions/{decision}.md"),
                    );
                }
            }
        }
    }

    /// A `clippy.toml` below the root lifts the bans: only above crates that may wait.
    fn check_lifted_bans(&mut self) {
        let tree = self.tree;
        for (path, _) in tree.iter() {
            let Some(folder) = path.strip_suffix("/clippy.toml") else { continue };
            let below = format!("{folder}/");
            let waits = |krate: &str| self.floor(krate).is_some_and(|floor| floor.may_wait);
            let held = tree
                .crates()
                .into_iter()
                .find(|krate| (*krate == folder || krate.starts_with(&below)) && !waits(krate));
            if let Some(held) = held {
                self.find(path, 0, format!("lifts the bans for {held}, which may not wait"));
            }
        }
    }
}

/// Whether files of this crate may wait, read clocks and touch the outside.
pub fn may_wait(tree: &Tree, folder: &str) -> bool {
    let rows = table::rows(tree.text(DOCUMENT).unwrap_or_default(), "floors").unwrap_or_default();
    rows.iter().map(Floor::of).any(|floor| floor.holds(folder) && floor.may_wait)
}

/// All dependencies of a manifest under their true names, those of one platform included.
fn edges(manifest: &Table) -> Vec<Edge> {
    let mut edges = Vec::new();
    let mut take = |part: &Table| {
        for (section, dev) in
            [("dependencies", false), ("build-dependencies", false), ("dev-dependencies", true)]
        {
            for (key, value) in part.get(section).and_then(Value::as_table).into_iter().flatten() {
                let renamed = value.get("package").and_then(Value::as_str);
                edges.push(Edge { name: renamed.unwrap_or(key).to_owned(), dev });
            }
        }
    };
    take(manifest);
    for (_, part) in manifest.get("target").and_then(Value::as_table).into_iter().flatten() {
        if let Some(part) = part.as_table() {
            take(part);
        }
    }
    edges
}
