//! The words every floor shares: ids, time, limits, secrets, flows, settings and refusals.
//!
//! Picture     everything stands on this crate; it stands on nothing of ours.
//! Rules       Time, chance and identity are values that somebody handed in. Nothing here reads a clock,
//!             the environment or an entropy source.
//! Limits      Durations are microseconds in a `u64`: 584,000 years.
//! Not here    Formats (proto/*), waiting and sockets (shell/*), policy (services/*).
//! Spec        RFC 3339 for times in text.
#![deny(missing_docs)]

pub mod digits;
mod flow;
mod id;
mod map;
mod public;
mod refuse;
mod rng;
mod secret;
mod settings;
pub mod tagged;
mod time;

pub use flow::{Flow, Transport};
pub use id::*;
pub use map::{HashKey, Map, Set};
pub use public::is_public;
pub use refuse::{Refuse, Verdict};
pub use rng::Rng;
pub use secret::{Pii, Secret};
pub use settings::{Setting, parse_duration};
pub use time::{Instant, Seconds, UnixTime};

/// States what must never be: in tests it panics, in production it gives `false` so that the caller
/// ends the one session it serves and not the process.
#[macro_export]
macro_rules! never {
    ($($why:tt)*) => {{
        if cfg!(test) { panic!($($why)*); }
        false
    }};
}
