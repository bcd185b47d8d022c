//! The project's files, read once. Checks see this and not the disk, so samples stand in for the project.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Octets; a larger file is known by name only.
pub const FILE_MAX: u64 = 1 << 20;

/// Folders that are made, not written; `.git` is a file where the tree is one of several (`git worktree`).
const MADE: [&str; 6] = [".git", "__pycache__", "carillon-data", "dist", "node_modules", "target"];

/// Paths from the root, with `/`, and the text of each; empty where it is no text.
pub struct Tree {
    files: BTreeMap<String, String>,
}

/// The root of the workspace that this program was built from.
pub fn root() -> PathBuf {
    let mut root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.pop();
    root
}

impl Tree {
    pub fn read(root: &Path) -> Result<Self> {
        let mut files = BTreeMap::new();
        let mut folders = vec![root.to_path_buf()];
        while let Some(folder) = folders.pop() {
            let entries =
                fs::read_dir(&folder).with_context(|| format!("listing {}", folder.display()))?;
            for entry in entries {
                let entry = entry?;
                let (name, kind) = (entry.file_name(), entry.file_type()?);
                let path = entry.path();
                if MADE.iter().any(|made| name == *made) {
                    continue;
                }
                if kind.is_dir() {
                    folders.push(path);
                } else if kind.is_file() && !name.to_string_lossy().ends_with(".log") {
                    let text = if entry.metadata()?.len() > FILE_MAX {
                        String::new()
                    } else {
                        let bytes = fs::read(&path)
                            .with_context(|| format!("reading {}", path.display()))?;
                        String::from_utf8(bytes).unwrap_or_default()
                    };
                    let relative = path.strip_prefix(root)?.to_string_lossy().into_owned();
                    files.insert(relative, text);
                }
            }
        }
        Ok(Self { files })
    }

    /// A tree that a test makes up.
    pub fn of<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let files =
            files.into_iter().map(|(path, text)| (path.to_owned(), text.to_owned())).collect();
        Self { files }
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    pub fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// Whether a file or folder of this name is there.
    pub fn has(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        if self.files.contains_key(path) {
            return true;
        }
        let folder = format!("{path}/");
        self.files.range(folder.clone()..).next().is_some_and(|(next, _)| next.starts_with(&folder))
    }

    /// Folders that hold a `Cargo.toml` with a package, in alphabetical order.
    pub fn crates(&self) -> Vec<&str> {
        self.files
            .iter()
            .filter(|(_, text)| text.contains("[package]"))
            .filter_map(|(path, _)| path.strip_suffix("/Cargo.toml"))
            .collect()
    }

    /// The folder of the crate that a file belongs to: the longest that fits.
    pub fn crate_of(&self, path: &str) -> Option<&str> {
        self.crates()
            .into_iter()
            .filter(|folder| path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')))
            .max_by_key(|folder| folder.len())
    }
}
