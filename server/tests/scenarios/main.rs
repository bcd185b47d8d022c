//! Scenarios of sipp, one for each behaviour that an RFC asks of us: the files are in `server/tests/sipp`.
//!
//! Picture     one server; sipp (a caller) --> server --> sipp (a callee), each test with people and ports of its own
//! Rules       A scenario checks what it hears and fails on what it does not expect; a test looks at what the server
//!             kept of the call where that matters. Timers that go off late are waited for together (`alarms`).
//! Limits      END for each scenario.
//! Not here    Sound, and phones that people use (`phones.rs`, `baresip.rs`).
//! Spec        RFC 3261, 3262, 3311, 3903, 4028 and others, named at each test.

mod alarms;
mod calls;
mod changes;
mod forks;
mod house;
mod identities;
mod people;
mod refusals;
mod script;
#[allow(dead_code, reason = "each test program uses a part of what they share")]
#[path = "../support/mod.rs"]
mod support;
mod transfers;
