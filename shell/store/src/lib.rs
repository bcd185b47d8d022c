//! What must last: rows that people query, and the live state that a restart adopts.
//!
//! Picture     callers --batches--> Store (one writer thread, some readers) --> SQLite | PostgreSQL
//!             shards --entries--> keeper::Writer --> log segments --Projector--> Store
//! Rules       A write is acknowledged after its commit, an entry after its write or fsync, never before. A failed
//!             fsync is not tried again. A row of the projection and the log position behind it are one transaction.
//! Limits      Queues: `store::QUEUE_MAX`; full means `StoreFault::Unreachable` at once. Rows of one answer:
//!             `sql::ROWS_MAX`. One entry: `keeper::BODY_BYTES_MAX`. Unwritten entries: `keeper::BUFFER_BYTES_MAX`.
//! Not here    The tables and the SQL (the rooms), what an entry means (switchboard), blobs (shell/blobs).
//! Spec        RELIABILITY R1, R3, R10, R11.

mod engine;
mod fault;
pub mod keeper;
pub mod postgres;
pub mod projector;
pub mod sql;
mod store;
pub mod transfer;

pub use engine::Engine;
pub use fault::{Fault, Side};
pub use keeper::{Keeper, Position, Writer};
pub use postgres::address::{Address, AddressFault};
pub use projector::Projector;
pub use sql::Sqlite;
pub use store::{Absent, Answered, Done, QUEUE_MAX, Store};
