//! What rooms ask of the store and the keeper, as data. The connection belongs to the shell.

use serde::{Deserialize, Serialize};
use types::Slot;

/// One value of a statement or a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Value {
    /// SQL null.
    Null,
    /// 64-bit signed number; times are microseconds since 1970.
    Int(i64),
    /// UTF-8 text.
    Text(String),
    /// Octets.
    Blob(Vec<u8>),
}

/// One row of an answer, in the order of the select list.
pub type Row = Vec<Value>;

/// A question. `sql` numbers its values `?1`, `?2`, …; ids and times are values, never made by the database.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// The text, in the common subset of SQLite and PostgreSQL.
    pub sql: &'static str,
    /// Its values.
    pub values: Vec<Value>,
}

/// One change, with the number of rows that it must touch.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    /// The text.
    pub sql: &'static str,
    /// Its values.
    pub values: Vec<Value>,
    /// Rows that it must change; another number undoes the whole batch. `None`: any number will do.
    pub expect: Option<u64>,
}

/// Changes that happen together or not at all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// In order.
    pub statements: Vec<Statement>,
}

/// Why the store said no.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StoreFault {
    /// A statement touched another number of rows than it expected; nothing was changed.
    Mismatch {
        /// Its place in the batch.
        statement: u32,
    },
    /// A uniqueness or reference rule was broken; nothing was changed.
    Conflict,
    /// The database does not answer.
    Unreachable,
    /// The database answered with an error that is our mistake.
    Broken,
}

/// One step of a room's schema, the same meaning in two dialects.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// `0001_users`: orders the steps of one room.
    pub name: &'static str,
    /// For SQLite.
    pub sqlite: &'static str,
    /// For PostgreSQL.
    pub postgres: &'static str,
}

/// What the keeper remembers: the last entry of a `(kind, key)` is its state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The slot that it belongs to.
    pub slot: Slot,
    /// What sort of thing it is; numbers are given out in [`kinds`].
    pub kind: u8,
    /// Which one.
    pub key: u128,
    /// Tagged fields (`types::tagged`).
    pub body: Vec<u8>,
    /// The thing is over: nothing is adopted from this entry. Its body is the record that SQL gets, if any.
    pub last: bool,
}

/// How far an entry must be before outputs behind it may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Durability {
    /// Handed to the operating system: survives a killed process.
    Written,
    /// Forced to the disk: survives a power cut.
    Synced,
}

/// The kinds of keeper entries. A number is never used for something else.
pub mod kinds {
    /// A binding of the registrar; the key is derived from user and contact.
    pub const BINDING: u8 = 1;
    /// A session with its legs; the key is the `SessionId`.
    pub const SESSION: u8 = 2;
    /// A leg whose owner lives on another slot; the key is the `LegId`.
    pub const LEG: u8 = 3;
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<Vec<u8>> for Value {
    fn from(octets: Vec<u8>) -> Self {
        Self::Blob(octets)
    }
}

impl From<types::UnixTime> for Value {
    fn from(time: types::UnixTime) -> Self {
        Self::Int(i64::try_from(time.0).unwrap_or(i64::MAX))
    }
}

impl Value {
    /// The text, when it is one.
    pub fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The number, when it is one.
    pub fn int(&self) -> Option<i64> {
        if let Self::Int(number) = self { Some(*number) } else { None }
    }

    /// The octets, when they are some.
    pub fn blob(&self) -> Option<&[u8]> {
        if let Self::Blob(octets) = self { Some(octets) } else { None }
    }
}
