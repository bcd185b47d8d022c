//! The house's own checks and generators, in the product's language.
//!
//! Picture     tree (the files, in memory) --> floors, tidy, reference, licences, new_service: findings or pages
//!             install, cargo, console, ci, bench: commands that run other programs
//! Rules       A check takes a `Tree` and gives `Finding`s: it reads nothing else, so each is tested on samples.
//!             What a check compares with stands in a document (ARCHITECTURE.md, deny.toml), never here as well.
//! Limits      Files above `tree::FILE_MAX` are known by name only.
//! Not here    Anything the server needs: nothing may depend on this crate.
//! Spec        None.

pub mod bench;
pub mod cargo;
pub mod ci;
pub mod console;
pub mod finding;
pub mod floors;
pub mod fuzz;
pub mod install;
pub mod licences;
pub mod new_service;
pub mod reference;
pub mod rust_file;
pub mod side_by_side;
pub mod table;
pub mod tidy;
pub mod tree;
