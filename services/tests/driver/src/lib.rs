//! One shard, or a few, driven by script: what the tests of all rooms share.
//!
//! Picture     a test --> `House` (shards, their clock) --> `Out` (what one input brought)
//!             `Alone` is one room beside a witness, `Phones` one room with phones and a keeper; `Wire` speaks SIP text with a house whose store answers at once.
//! Rules       Named by tests only, never by a room. The clock is virtual: only `pass` and `wait` move it. A room that
//!             panics fails the test, unless the test allows it.
//! Limits      None of its own: what a test gathers, it holds.
//! Not here    Mail that is late, loss, restarts and a disk: crate `sim`. Sockets: the tests of `server`.
//! Spec        None.
#![deny(missing_docs)]

mod alone;
mod house;
mod out;
pub mod phones;
mod refusals;
pub mod text;
mod wire;

pub use alone::Alone;
pub use house::{House, START, config};
pub use out::Out;
pub use phones::Phones;
pub use refusals::{check_refusals, check_refusals_but};
use switchboard::Reply;
use switchboard::store::{Row, StoreFault};
use types::Flow;
pub use wire::{Database, Wire};

/// The store does not answer.
pub const UNREACHABLE: StoreFault = StoreFault::Unreachable;

/// The store took what it was given.
pub fn written() -> Reply {
    Reply::Written(Ok(()))
}

/// The store found these.
pub fn rows(rows: Vec<Row>) -> Reply {
    Reply::Rows(Ok(rows))
}

/// The flow of a phone at this port of one address.
pub fn phone(port: u16) -> Flow {
    Flow::udp(([192, 0, 2, 7], port).into())
}
