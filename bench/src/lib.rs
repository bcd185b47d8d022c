//! The load generator and the side-by-side runs: our server and a known one under the same load, in the same minutes.
//!
//! Picture     sip: start a server -> register -> closed loop -> knee -> same load for all -> table, ratios
//!             generator: callers --INVITE--> server --INVITE--> callees, all in one thread on its own core
//!             voice: start a server -> an app here -> calls of its program beside plain ones -> processor time, waits
//!             media: start a relay -> calls with sound through it -> processor time, delay, loss -> ratios
//! Rules       The generator knows nothing of our SIP stack: it writes its messages by hand and scans what it gets, so it
//!             judges both servers alike. It runs on loopback and ends only what it started. It never waits without end.
//! Limits      GIVE_UP per transaction, IN_FLIGHT_MAX calls, RATE_MAX, and a span for each step.
//! Not here    Conformance (sipp, baresip: the tests of `server`).
//! Spec        RFC 3261 §17 (timers of the load), RFC 7616 (digest of the load).
#![deny(missing_docs)]

mod callee;
mod caller;
mod calls;
mod digest;
mod generator;
mod http;
mod knee;
pub mod media;
mod peers;
mod process;
mod registers;
mod report;
pub mod sip;
mod tally;
mod timers;
pub mod voice;
mod wire;
