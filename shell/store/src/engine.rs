//! One engine of two: which one is the only thing that a store chooses by.

use switchboard::store::{Batch, Query, Row, StoreFault};

use crate::postgres::Postgres;
use crate::sql::Sqlite;

/// What a thread of the store drives.
pub enum Engine {
    /// On a server.
    Postgres(Box<Postgres>),
    /// In a file, or in memory.
    Sqlite(Sqlite),
}

impl Engine {
    /// See [`Sqlite::apply`].
    pub fn apply(&mut self, batches: &[Batch]) -> Vec<Result<(), StoreFault>> {
        match self {
            Self::Postgres(engine) => engine.apply(batches),
            Self::Sqlite(engine) => engine.apply(batches),
        }
    }

    /// See [`Sqlite::query`].
    pub fn query(&mut self, query: &Query) -> Result<Vec<Row>, StoreFault> {
        match self {
            Self::Postgres(engine) => engine.query(query),
            Self::Sqlite(engine) => engine.query(query),
        }
    }

    /// Hands over the rows of an answer of any size, one by one.
    pub(crate) fn each(
        &mut self,
        query: &Query,
        take: &mut dyn FnMut(Row),
    ) -> Result<(), StoreFault> {
        match self {
            Self::Postgres(engine) => engine.each(query, take),
            Self::Sqlite(engine) => engine.each(query, take),
        }
    }

    /// From now on an answer may take as long as it likes, if only its rows keep coming.
    pub(crate) fn take_time(&mut self) -> Result<(), StoreFault> {
        match self {
            Self::Postgres(engine) => engine.take_time(),
            Self::Sqlite(_) => Ok(()),
        }
    }
}
