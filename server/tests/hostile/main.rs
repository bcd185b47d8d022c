//! Hostile input on the real server, with the defaults it ships with: classes 1 to 79, each with the answer that it must
//! get. `rows.rs` says which test shows which class.
//!
//! Picture     strangers and people at 127.0.0.x --> the server at 127.0.0.1; nobody may reach the canary at 127.0.0.9
//! Rules       Behind each class the same is looked at: the process lives, nothing got a 500, a stranger's OPTIONS is
//!             answered, the canary heard nothing, the descriptors are back, the class was counted, and the log has at
//!             most one line about each source and second.
//! Limits      STEP for what answers at once; PATIENCE for what ends by a timer of the server.
//! Not here    HTTP (shell/web), one shard by script (services/tests/hostile).
//! Spec        none

#[allow(dead_code, reason = "each test program uses a part of what they share")]
#[path = "../drill/mod.rs"]
mod drill;
#[allow(dead_code, reason = "each test program uses a part of what they share")]
#[path = "../support/mod.rs"]
mod support;

mod dialog;
mod digest;
mod flood;
mod letter;
mod media;
mod memory;
mod parser;
mod rows;
mod siege;
mod slow;
