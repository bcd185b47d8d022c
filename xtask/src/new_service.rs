//! Writes the folder of a new room and its lines in the corridor and the workspace.

use std::fs;

use anyhow::{Context, Result, bail};

use crate::tree::{Tree, root};

/// A file to write, by its path from the root.
type File = (String, String);

/// Errors: the name is no name for a crate, is taken, or a file to edit is not as expected.
pub fn write(name: &str) -> Result<()> {
    let tree = Tree::read(&root())?;
    for (path, text) in files(&tree, name)? {
        let place = root().join(&path);
        fs::create_dir_all(place.parent().context("each file has a folder")?)?;
        fs::write(&place, text).with_context(|| format!("writing {path}"))?;
        println!("wrote {path}");
    }
    println!("Next: read docs/recipes/room.md, then `cargo test -p {name}`.");
    Ok(())
}

/// Everything that changes, computed before anything is written.
fn files(tree: &Tree, name: &str) -> Result<Vec<File>> {
    let plain = |letter: char| letter.is_ascii_lowercase() || letter == '_';
    if name.is_empty() || !name.chars().all(plain) || name.starts_with('_') {
        bail!("a room's name has small letters and `_` only: {name:?}");
    }
    let taken = tree.crates().into_iter().find(|folder| folder.rsplit('/').next() == Some(name));
    if let Some(folder) = taken {
        bail!("the name is taken: {folder}");
    }
    let text = |path: &str| tree.text(path).with_context(|| format!("{path} is missing"));
    let filled = |template: &str| template.replace("NAME", name);
    let folder = format!("services/{name}");
    Ok(vec![
        (format!("{folder}/Cargo.toml"), filled(MANIFEST)),
        (format!("{folder}/src/lib.rs"), filled(LIB)),
        (format!("{folder}/src/config.rs"), filled(CONFIG)),
        (format!("{folder}/src/store.rs"), filled(STORE)),
        (format!("{folder}/migrations/README.md"), filled(MIGRATIONS)),
        (format!("{folder}/tests/room.rs"), filled(TEST)),
        ("Cargo.toml".to_owned(), workspace(text("Cargo.toml")?, name)?),
        ("services/Cargo.toml".to_owned(), dependency(text("services/Cargo.toml")?, name)?),
        ("services/src/lib.rs".to_owned(), corridor(text("services/src/lib.rs")?, name)?),
    ])
}

/// A member line in its alphabetical place, and the path under its name.
fn workspace(text: &str, name: &str) -> Result<String> {
    let member = format!("  \"services/{name}\",");
    let path = format!("{name} = {{ path = \"services/{name}\" }}");
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let is_room = |line: &String| line.starts_with("  \"services/");
    let after = lines.iter().rposition(|line| is_room(line) && *line < member);
    let at = after.map(|at| at + 1).or_else(|| lines.iter().position(is_room));
    lines.insert(at.context("Cargo.toml lists no room as a member")?, member);
    let last = lines.iter().rposition(|line| line.contains("= { path = \"services/"));
    lines.insert(last.context("Cargo.toml has no path of a room")? + 1, path);
    Ok(lines.join("\n") + "\n")
}

/// A line behind the last dependency of the corridor.
fn dependency(text: &str, name: &str) -> Result<String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let begin = lines
        .iter()
        .position(|line| line == "[dependencies]")
        .context("services has no dependencies")?;
    let length = lines[begin..].iter().take_while(|line| !line.is_empty()).count();
    lines.insert(begin + length, format!("{name}.workspace = true"));
    Ok(lines.join("\n") + "\n")
}

/// A line above the room that takes what nobody else wanted, which is the last one.
fn corridor(text: &str, name: &str) -> Result<String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let begin = lines.iter().position(|line| line.starts_with("corridor! {"));
    let begin = begin.context("services/src/lib.rs has no `corridor! {`")?;
    let length =
        lines[begin..].iter().position(|line| line == "}").context("the corridor does not end")?;
    let is_room =
        |line: &&String| !line.trim_start().starts_with("//") && line.trim_end().ends_with(',');
    let last =
        lines[begin..begin + length].iter().rposition(|line| is_room(&line)).unwrap_or(length)
            + begin;
    let comment =
        lines[..last].iter().rev().take_while(|line| line.trim_start().starts_with("///")).count();
    let at = last - comment;
    lines.insert(at, format!("    {name},"));
    lines.insert(at, format!("    /// What {name} does, in one line."));
    Ok(lines.join("\n") + "\n")
}

const MANIFEST: &str = r#"[package]
name = "NAME"
version.workspace = true
edition.workspace = true
license.workspace = true
publish.workspace = true

[dependencies]
serde.workspace = true
switchboard.workspace = true
types.workspace = true

[dev-dependencies]
driver.workspace = true

[lints]
workspace = true
"#;

const LIB: &str = r#"//! The room NAME: one line that says what it is for.
//!
//! Picture     what comes in --> what this room does with it --> what goes out
//! Rules       What always holds, and what never happens.
//! Limits      sessions_max (a setting of `NAME`). At the limit: which refusal.
//! Not here    What a reader would look for here and where it is instead.
//! Spec        None.

mod config;
mod store;

pub use config::Config;
use switchboard::{Manifest, Service};

/// The room. One for each shard.
#[derive(Debug)]
pub struct Room {
    config: Config,
}

static MANIFEST: Manifest = Manifest {
    name: "NAME",
    purpose: "One line that says what it is for.",
    settings: Config::REFERENCE,
    migrations: store::MIGRATIONS,
    ..Manifest::EMPTY
};

impl Room {
    /// A room with nothing in it yet.
    pub fn new(config: Config) -> Self {
        Self { config }
    }

    /// What it was opened with.
    pub fn config(&self) -> &Config {
        &self.config
    }
}

impl Service for Room {
    fn manifest(&self) -> &'static Manifest {
        &MANIFEST
    }
}
"#;

const CONFIG: &str = r"//! Settings of `[NAME]`.

types::settings! {
    /// The room NAME (`[NAME]`).
    pub struct Config {
        /// Sessions of this room at one time on one shard.
        sessions_max: u32 = 10_000 => restart,
    }
}
";

const STORE: &str = r"//! What this room asks of the store; the only file of it that holds SQL.

use switchboard::store::Migration;

/// The steps of its schema, oldest first. The files lie in `migrations/`.
pub const MIGRATIONS: &[Migration] = &[];
";

const MIGRATIONS: &str = "Steps of the schema of `NAME`: `0001_word.sqlite.sql` and `0001_word.postgres.sql` side by side, with the same
meaning. A step that was released is never edited; the next one mends it.
";

const TEST: &str = r#"//! The room NAME through its doors.

use NAME::{Config, Room};
use driver::Alone;
use switchboard::{Input, Service};

fn room() -> Box<dyn Service> {
    Box::new(Room::new(Config::default()))
}

#[test]
fn the_room_opens() {
    assert_eq!(room().manifest().name, "NAME");
    let out = Alone::new(room).give(Input::Begin);
    assert!(out.sent().is_empty());
}
"#;

#[cfg(test)]
mod tests {
    use super::*;

    const WORKSPACE: &str = "[workspace]\nmembers = [\n  \"services\",\n  \"services/calls\",\n  \"services/people\",\n  \"sim\",\n]\n\n\
                             [workspace.dependencies]\ncalls = { path = \"services/calls\" }\npeople = { path = \"services/people\" }\nnet = { path = \"shell/net\" }\n";
    const SERVICES: &str = "[package]\nname = \"services\"\n\n[dependencies]\npeople.workspace = true\ncalls.workspace = true\n\n[lints]\nworkspace = true\n";
    const CORRIDOR: &str = "corridor! {\n    /// Users.\n    people,\n    /// Person-to-person calls:\n    /// takes what nobody above wanted.\n    calls,\n}\n";

    #[test]
    fn a_new_room_is_a_folder_and_its_lines() {
        let tree = Tree::of([
            ("Cargo.toml", WORKSPACE),
            ("services/Cargo.toml", SERVICES),
            ("services/src/lib.rs", CORRIDOR),
            ("services/calls/Cargo.toml", "[package]"),
        ]);
        let files = files(&tree, "parking").unwrap();
        let text =
            |path: &str| files.iter().find(|(at, _)| at == path).map_or("", |(_, text)| text);
        assert!(
            text("Cargo.toml")
                .contains("\"services/calls\",\n  \"services/parking\",\n  \"services/people\"")
        );
        assert!(text("Cargo.toml").contains("parking = { path = \"services/parking\" }\nnet ="));
        assert!(
            text("services/Cargo.toml")
                .contains("calls.workspace = true\nparking.workspace = true\n\n[lints]")
        );
        let corridor = text("services/src/lib.rs");
        assert!(corridor.contains(
            "    people,\n    /// What parking does, in one line.\n    parking,\n    /// Person"
        ));
        assert!(text("services/parking/src/lib.rs").contains("name: \"parking\""));
        assert!(super::files(&tree, "calls").is_err());
        assert!(super::files(&tree, "Parking Lot").is_err());
    }
}
