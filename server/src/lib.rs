//! The roof: read config, pick the role, build, run, drain.
//!
//! Picture     main --> cli --> role --config--> host --> { shards, doors }   until a signal
//! Rules       Words and files that are wrong end with 2, things that fail with 1, both with one line that names the key
//!             to change. Only here and in the shell does anything wait.
//! Limits      Named beside what they bound, in `config` and `host`.
//! Not here    What a call is (services), what a message means (proto, switchboard).
//! Spec        none
#![deny(missing_docs)]

mod cli;
pub mod config;
pub mod host;
mod role;
mod rooms;

pub use cli::main;
