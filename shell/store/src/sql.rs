//! The SQLite engine: synchronous, without threads or clocks, so that the simulator runs it as well.
//!
//! Picture     apply: begin immediate, one savepoint per batch, commit with fsync. query: read only.
//! Rules       A batch happens whole or not at all and does not disturb its neighbours in the same commit. A
//!             migration runs once and its text never changes afterwards.
//! Limits      `ROWS_MAX`, `STATEMENTS_MAX`, `BUSY_WAIT`.
//! Not here    Gathering the batches of many callers (`Store`).
//! Spec        SQLite result codes.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags, ToSql, TransactionBehavior, params_from_iter};
use sha2::{Digest, Sha256};

use switchboard::store::{Batch, Migration, Query, Row, Statement, StoreFault, Value};

use crate::fault::Fault;
use crate::projector;
use crate::transfer::MARK;

/// The place that keeps nothing.
pub const MEMORY: &str = ":memory:";

/// Rows of one answer; a query that finds more is our mistake (it lacks a limit).
pub const ROWS_MAX: usize = 100_000;

/// Prepared statements that one connection keeps.
const STATEMENTS_MAX: usize = 256;

/// How long a statement waits for a lock that another process holds.
const BUSY_WAIT: Duration = Duration::from_secs(1);

/// The database of one process.
pub struct Sqlite {
    connection: Connection,
}

impl Sqlite {
    /// Opens the file, or `:memory:`, and brings each room's schema up to date, in the order given.
    ///
    /// The table of the projector's positions is added. Migrations that a newer version has applied are left
    /// alone, so that the version before can go back to work.
    pub fn open(
        place: impl AsRef<Path>,
        migrations: &[(&'static str, &'static [Migration])],
    ) -> Result<Self, Fault> {
        Self::open_marked(place.as_ref(), migrations, false)
    }

    /// The same; `may_be_marked`: it may be the target of a copy that has not ended.
    pub(crate) fn open_marked(
        place: &Path,
        migrations: &[(&'static str, &'static [Migration])],
        may_be_marked: bool,
    ) -> Result<Self, Fault> {
        let connection = connect(place, OpenFlags::default())?;
        let sql = |source| Fault::Sql { doing: "set up the database", source };
        connection.pragma_update(None, "journal_mode", "wal").map_err(sql)?;
        // Acknowledged means forced to the disk; the commits are few because batches are gathered.
        connection.pragma_update(None, "synchronous", "full").map_err(sql)?;
        connection.pragma_update(None, "foreign_keys", true).map_err(sql)?;
        connection
            .execute_batch(
                "create table if not exists applied_migration (room text not null, name text not null, \
                 checksum text not null, primary key (room, name))",
            )
            .map_err(sql)?;
        let mut engine = Self { connection };
        if !may_be_marked {
            engine.refuse_half(place).map_err(sql)??;
        }
        engine.migrate(projector::ROOM, projector::MIGRATIONS)?;
        for (room, steps) in migrations {
            engine.migrate(room, steps)?;
        }
        Ok(engine)
    }

    fn refuse_half(&self, place: &Path) -> Result<Result<(), Fault>, rusqlite::Error> {
        let sql = "select name from applied_migration where room = ?1";
        let mut marks = self.connection.prepare(sql)?;
        let mut marks = marks.query([MARK])?;
        Ok(match marks.next()? {
            Some(mark) => {
                let place = place.display().to_string();
                Err(Fault::HalfMoved { place, from: mark.get(0)? })
            }
            None => Ok(()),
        })
    }

    /// A connection that only answers queries.
    pub(crate) fn open_reader(place: &Path) -> Result<Self, Fault> {
        let connection = connect(place, OpenFlags::default() & !OpenFlags::SQLITE_OPEN_CREATE)?;
        connection
            .pragma_update(None, "query_only", true)
            .map_err(|source| Fault::Sql { doing: "set up a reader", source })?;
        Ok(Self { connection })
    }

    fn migrate(&mut self, room: &'static str, steps: &[Migration]) -> Result<(), Fault> {
        let sql = |source| Fault::Sql { doing: "read the applied migrations", source };
        let mut applied = self
            .connection
            .prepare("select name, checksum from applied_migration where room = ?1")
            .and_then(|mut found| {
                found
                    .query_map([room], |row| Ok((row.get(0)?, row.get(1)?)))?
                    .collect::<Result<BTreeMap<String, String>, _>>()
            })
            .map_err(sql)?;
        for step in steps {
            let checksum = checksum(step.sqlite);
            match applied.get(step.name) {
                Some(known) if *known == checksum => continue,
                Some(_) => return Err(Fault::MigrationChanged { room, name: step.name }),
                None => {}
            }
            if applied.last_key_value().is_some_and(|(newest, _)| newest.as_str() > step.name) {
                return Err(Fault::MigrationOrder { room, name: step.name });
            }
            self.migrate_once(room, step, &checksum)
                .map_err(|source| Fault::Sql { doing: "apply a migration", source })?;
            tracing::info!(room, name = step.name, "migration_applied");
            applied.insert(step.name.to_owned(), checksum);
        }
        Ok(())
    }

    fn migrate_once(
        &mut self,
        room: &str,
        step: &Migration,
        checksum: &str,
    ) -> Result<(), rusqlite::Error> {
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(step.sqlite)?;
        transaction.execute(
            "insert into applied_migration (room, name, checksum) values (?1, ?2, ?3)",
            [room, step.name, checksum],
        )?;
        transaction.commit()
    }

    /// Applies all batches in one transaction. Each has its own answer; one that is refused changes nothing and
    /// does not touch the others. When the transaction itself fails, all are `Unreachable`.
    pub fn apply(&mut self, batches: &[Batch]) -> Vec<Result<(), StoreFault>> {
        match self.apply_together(batches) {
            Ok(results) => results,
            // A deferred rule was broken at the commit and does not say by whom: each alone, to find out.
            Err(StoreFault::Conflict) if batches.len() > 1 => {
                batches.iter().map(|batch| self.apply_alone(batch)).collect()
            }
            Err(fault) => vec![Err(fault); batches.len()],
        }
    }

    fn apply_alone(&mut self, batch: &Batch) -> Result<(), StoreFault> {
        self.apply_together(std::slice::from_ref(batch))?.into_iter().collect()
    }

    fn apply_together(
        &mut self,
        batches: &[Batch],
    ) -> Result<Vec<Result<(), StoreFault>>, StoreFault> {
        let mut transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|error| judge(&error, "begin"))?;
        let mut results = Vec::with_capacity(batches.len());
        for batch in batches {
            let savepoint = transaction.savepoint().map_err(|error| judge(&error, "savepoint"))?;
            let result = run(&savepoint, batch);
            match &result {
                Ok(()) => savepoint.commit().map_err(|error| judge(&error, "release"))?,
                Err(StoreFault::Unreachable) => return Err(StoreFault::Unreachable),
                Err(_) => drop(savepoint), // Undoes this batch.
            }
            // On a full disk SQLite may undo the whole transaction on its own.
            if transaction.is_autocommit() {
                return Err(StoreFault::Unreachable);
            }
            results.push(result);
        }
        transaction.commit().map_err(|error| judge(&error, "commit"))?;
        Ok(results)
    }

    /// Answers a question. A statement that would change something is `Broken`.
    pub fn query(&mut self, query: &Query) -> Result<Vec<Row>, StoreFault> {
        self.rows(query).map_err(|error| judge(&error, query.sql))?.ok_or_else(|| {
            tracing::error!(sql = query.sql, "sql_query_refused");
            StoreFault::Broken
        })
    }

    /// Hands over the rows of an answer of any size, one by one.
    pub(crate) fn each(
        &mut self,
        query: &Query,
        take: &mut dyn FnMut(Row),
    ) -> Result<(), StoreFault> {
        let mut all = |row| {
            take(row);
            true
        };
        let whole = self.walk(query, &mut all).map_err(|error| judge(&error, query.sql))?;
        if whole { Ok(()) } else { Err(StoreFault::Broken) }
    }

    /// `None`: not a question, too many rows, or a value that has no place in [`Value`].
    fn rows(&mut self, query: &Query) -> Result<Option<Vec<Row>>, rusqlite::Error> {
        let mut rows = Vec::new();
        let mut take = |row| {
            let fits = rows.len() < ROWS_MAX;
            rows.push(row);
            fits
        };
        Ok(self.walk(query, &mut take)?.then_some(rows))
    }

    /// Gives each row to `take` until it wants no more. Returns: whether it was a question, and is answered to its end.
    fn walk(
        &mut self,
        query: &Query,
        take: &mut dyn FnMut(Row) -> bool,
    ) -> Result<bool, rusqlite::Error> {
        let mut statement = self.connection.prepare_cached(query.sql)?;
        if !statement.readonly() {
            return Ok(false);
        }
        let columns = statement.column_count();
        let mut answer = statement.query(params_from_iter(query.values.iter().map(Bound)))?;
        while let Some(found) = answer.next()? {
            let mut row = Row::with_capacity(columns);
            for column in 0..columns {
                row.push(match found.get_ref(column)? {
                    ValueRef::Null => Value::Null,
                    ValueRef::Integer(number) => Value::Int(number),
                    ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
                    ValueRef::Blob(octets) => Value::Blob(octets.to_vec()),
                    ValueRef::Real(_) => return Ok(false),
                });
            }
            if !take(row) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn connect(place: &Path, flags: OpenFlags) -> Result<Connection, Fault> {
    let sql = |source| Fault::Sql { doing: "open the database", source };
    // A path is a path: a name that begins with `file:` must not carry parameters.
    let flags = flags & !OpenFlags::SQLITE_OPEN_URI;
    let connection = Connection::open_with_flags(place, flags).map_err(sql)?;
    connection.busy_timeout(BUSY_WAIT).map_err(sql)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    Ok(connection)
}

fn run(connection: &Connection, batch: &Batch) -> Result<(), StoreFault> {
    for (place, Statement { sql, values, expect }) in batch.statements.iter().enumerate() {
        let changed = connection
            .prepare_cached(sql)
            .and_then(|mut prepared| prepared.execute(params_from_iter(values.iter().map(Bound))))
            .map_err(|error| judge(&error, sql))?;
        if expect.is_some_and(|rows| rows != changed as u64) {
            return Err(StoreFault::Mismatch {
                statement: u32::try_from(place).unwrap_or(u32::MAX),
            });
        }
    }
    Ok(())
}

/// What a room is told about an error; what is our mistake is also written to the trace.
fn judge(error: &rusqlite::Error, sql: &str) -> StoreFault {
    use rusqlite::ffi;
    let fault = match error {
        rusqlite::Error::SqliteFailure(cause, _) => match (cause.code, cause.extended_code) {
            (
                ErrorCode::ConstraintViolation,
                ffi::SQLITE_CONSTRAINT_UNIQUE
                | ffi::SQLITE_CONSTRAINT_PRIMARYKEY
                | ffi::SQLITE_CONSTRAINT_ROWID
                | ffi::SQLITE_CONSTRAINT_FOREIGNKEY,
            ) => return StoreFault::Conflict,
            (
                ErrorCode::CannotOpen
                | ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseCorrupt
                | ErrorCode::DatabaseLocked
                | ErrorCode::DiskFull
                | ErrorCode::FileLockingProtocolFailed
                | ErrorCode::NotADatabase
                | ErrorCode::OutOfMemory
                | ErrorCode::PermissionDenied
                | ErrorCode::ReadOnly
                | ErrorCode::SystemIoFailure,
                _,
            ) => StoreFault::Unreachable,
            _ => StoreFault::Broken,
        },
        _ => StoreFault::Broken,
    };
    tracing::error!(sql, error = %error, ?fault, "sql_failed");
    fault
}

pub(crate) fn checksum(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|octet| format!("{octet:02x}")).collect()
}

/// A value on its way into a statement.
struct Bound<'a>(&'a Value);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            Value::Null => ValueRef::Null,
            Value::Int(number) => ValueRef::Integer(*number),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Blob(octets) => ValueRef::Blob(octets),
        }))
    }
}

#[cfg(test)]
mod tests;
