//! One session: its settings, its lock, statements and rows.

use std::cell::Cell;
use std::collections::HashMap;
use std::error::Error as _;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use switchboard::store::{Batch, Query, Row, StoreFault, Value};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Error, SimpleQueryMessage, Statement};
use tokio_stream::StreamExt as _;

use super::server::{Former, Role, Server};
use crate::fault::Fault;
use crate::sql::ROWS_MAX;

/// Prepared statements that one session keeps.
const STATEMENTS_MAX: usize = 256;

/// The first half of our locks' keys; the second is the schema.
const LOCK: i32 = 0x4341_5249;

/// What every session is told. The server gives up a little before we do, and does not keep a session (and its lock)
/// whose other end is gone.
const SETTINGS: &str = "set statement_timeout = '4s'; set lock_timeout = '1s'; \
     set idle_in_transaction_session_timeout = '10s'; \
     set tcp_keepalives_idle = 10; set tcp_keepalives_interval = 5; set tcp_keepalives_count = 3; \
     set tcp_user_timeout = '20s'";

/// Acknowledged means forced to the disk, whatever the database is set to.
const FORCE: &str = "select set_config('synchronous_commit', 'on', false) \
     where current_setting('synchronous_commit') = 'off'";

const READ_ONLY: &str = "set default_transaction_read_only = on";

/// Why something was not done.
#[derive(Debug)]
pub enum Failed {
    /// The session is of no use any more.
    Lost(String),
    /// The database said no, and nothing has changed.
    Refused {
        fault: StoreFault,
        /// Whose statement it was, among the batches that were tried together.
        batch: Option<usize>,
    },
}

impl Failed {
    /// There is no session, and it is not our turn to open one.
    pub fn gone() -> Self {
        Self::Lost("the server is lost".to_owned())
    }
}

pub struct Session {
    client: Client,
    prepared: HashMap<&'static str, Statement>,
    /// The commit was sent and not answered: whether it happened is not known.
    committing: Cell<bool>,
    connection: JoinHandle<()>,
}

impl Drop for Session {
    fn drop(&mut self) {
        // It would wait for answers of a server that is gone.
        self.connection.abort();
    }
}

impl Session {
    /// Connects. The connection lives on the runtime of this thread.
    pub async fn open(server: &Server) -> Result<Self, Fault> {
        let config = server.address.config();
        let (client, connection) =
            config.connect(server.tls.clone()).await.map_err(|error| fault(server, &error))?;
        let connection = tokio::spawn(async move {
            // Who uses the client hears of it.
            let _ = connection.await;
        });
        Ok(Self { client, prepared: HashMap::new(), committing: Cell::new(false), connection })
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    pub fn is_committing(&self) -> bool {
        self.committing.get()
    }

    /// Settings; for the writer also the lock.
    pub async fn set_up(&mut self, server: &Server, role: Role) -> Result<(), Fault> {
        let fault = |error: Error| fault(server, &error);
        self.client.batch_execute(SETTINGS).await.map_err(fault)?;
        let encoding = self.word("show server_encoding").await.map_err(fault)?;
        if encoding.as_deref() != Some("UTF8") {
            let encoding = encoding.unwrap_or_default();
            return Err(Fault::DatabaseEncoding { address: server.address.to_string(), encoding });
        }
        match role {
            Role::Reader => self.client.batch_execute(READ_ONLY).await.map_err(fault),
            Role::Writer => {
                self.client.batch_execute(FORCE).await.map_err(fault)?;
                self.lock(server).await
            }
        }
    }

    async fn lock(&self, server: &Server) -> Result<(), Fault> {
        let fault = |error: Error| fault(server, &error);
        let schema = "(select oid from pg_namespace where nspname = current_schema())";
        let take = format!("select pg_try_advisory_lock({LOCK}, {schema}::int)::text");
        if self.word(&take).await.map_err(fault)?.as_deref() != Some("true") {
            if let Some(Former { pid, began }) = server.former() {
                // Our own session of before, which the server believes to be alive.
                let end = format!(
                    "select pg_terminate_backend(held.pid)::text from pg_locks held \
                     join pg_stat_activity session on session.pid = held.pid \
                     where held.locktype = 'advisory' and held.classid = {LOCK} and held.objid = {schema} \
                     and session.pid = {pid} and session.backend_start::text = '{began}'"
                );
                self.word(&end).await.map_err(fault)?;
            }
            return Err(Fault::DatabaseInUse { address: server.address.to_string() });
        }
        let own =
            "select pid || ' ' || backend_start from pg_stat_activity where pid = pg_backend_pid()";
        let own = self.word(own).await.map_err(fault)?.unwrap_or_default();
        if let Some((pid, began)) = own.split_once(' ')
            && let Ok(pid) = pid.parse()
        {
            server.remember(Former { pid, began: began.to_owned() });
        }
        Ok(())
    }

    /// The first value of the first row, as text.
    async fn word(&self, sql: &str) -> Result<Option<String>, Error> {
        let rows = self.client.simple_query(sql).await?;
        let found = rows.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        });
        Ok(found)
    }

    /// Whether the server has ended the session, as far as its words have reached us.
    pub async fn is_closed(&self) -> bool {
        // The first turn reads the socket, the second lets the connection look at what came.
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        self.client.is_closed()
    }

    /// All batches in one transaction, its statements sent without waiting for each answer.
    pub async fn transaction(&mut self, batches: &[Batch]) -> Result<(), Failed> {
        for (place, batch) in batches.iter().enumerate() {
            for statement in &batch.statements {
                self.prepare(statement.sql)
                    .await
                    .map_err(|error| refused(&error, statement.sql, Some(place)))?;
            }
        }
        type Asked<'a> = Pin<Box<dyn Future<Output = Result<u64, Error>> + 'a>>;
        let client = &self.client;
        let begin = async { client.batch_execute("begin").await.map(|()| 0) };
        let mut asked: Vec<Asked<'_>> = vec![Box::pin(begin)];
        let mut whose = Vec::new();
        for (place, batch) in batches.iter().enumerate() {
            for (number, statement) in (0..).zip(&batch.statements) {
                let Some(prepared) = self.prepared.get(statement.sql) else { continue };
                asked.push(Box::pin(
                    client.execute_raw(prepared, statement.values.iter().map(Bound)),
                ));
                whose.push((place, number, statement));
            }
        }
        let mut answers = in_order(asked).await.into_iter();
        let begun = answers.next().transpose().map(drop);
        let mut outcome = begun.map_err(|error| refused(&error, "begin", None));
        for ((place, number, statement), answer) in whose.into_iter().zip(answers) {
            if outcome.is_err() {
                break;
            }
            outcome = match answer {
                Ok(rows) if statement.expect.is_none_or(|expected| expected == rows) => Ok(()),
                Ok(_) => Err(Failed::Refused {
                    fault: StoreFault::Mismatch { statement: number },
                    batch: Some(place),
                }),
                Err(error) => Err(refused(&error, statement.sql, Some(place))),
            };
        }
        match outcome {
            Ok(()) => {
                self.committing.set(true);
                let done = self.client.batch_execute("commit").await;
                let done = done.map_err(|error| refused(&error, "commit", None));
                if !matches!(done, Err(Failed::Lost(_))) {
                    self.committing.set(false);
                }
                done
            }
            Err(lost @ Failed::Lost(_)) => Err(lost),
            Err(refused) => {
                let undone = self.client.batch_execute("rollback").await;
                undone.map_err(|error| Failed::Lost(words(&error)))?;
                Err(refused)
            }
        }
    }

    /// The rows of an answer. More than we take are our mistake.
    pub async fn rows(&mut self, query: &Query) -> Result<Vec<Row>, Failed> {
        let mut rows = Vec::new();
        let mut take = |row| {
            let fits = rows.len() < ROWS_MAX;
            rows.push(row);
            fits
        };
        self.walk(query, Duration::MAX, &mut take).await?;
        Ok(rows)
    }

    /// Gives each row to `take`, which says whether it wants more; each has `patience` to come. A value that has no place
    /// in [`Value`] is our mistake.
    pub async fn walk(
        &mut self,
        query: &Query,
        patience: Duration,
        take: &mut dyn FnMut(Row) -> bool,
    ) -> Result<(), Failed> {
        let broken = || {
            tracing::error!(sql = query.sql, "sql_query_refused");
            Failed::Refused { fault: StoreFault::Broken, batch: None }
        };
        let failed = |error: &Error| match error.code() {
            Some(code) if *code == SqlState::READ_ONLY_SQL_TRANSACTION => broken(),
            _ => refused(error, query.sql, None),
        };
        self.prepare(query.sql).await.map_err(|error| failed(&error))?;
        let Some(prepared) = self.prepared.get(query.sql) else { return Err(Failed::gone()) };
        let values = query.values.iter().map(Bound);
        let found =
            self.client.query_raw(prepared, values).await.map_err(|error| failed(&error))?;
        let mut found = pin!(found);
        loop {
            let late = |_| Failed::Lost(format!("no row within {patience:?}"));
            let Some(row) = timeout(patience, found.next()).await.map_err(late)? else {
                return Ok(());
            };
            let row = row.map_err(|error| failed(&error))?;
            if !take(read(&row).ok_or_else(broken)?) {
                return Err(broken());
            }
        }
    }

    async fn prepare(&mut self, sql: &'static str) -> Result<(), Error> {
        if !self.prepared.contains_key(sql) {
            if self.prepared.len() == STATEMENTS_MAX {
                self.prepared.clear();
            }
            let prepared = self.client.prepare(&dollars(sql)).await?;
            self.prepared.insert(sql, prepared);
        }
        Ok(())
    }
}

/// Polls each once, in order, so that all are sent in order; then waits for the answers, which come in order.
async fn in_order<F: Future + Unpin>(mut futures: Vec<F>) -> Vec<F::Output> {
    let mut answers: Vec<Option<F::Output>> = Vec::new();
    poll_fn(|context| {
        for future in &mut futures {
            answers.push(match Pin::new(future).poll(context) {
                Poll::Ready(answer) => Some(answer),
                Poll::Pending => None,
            });
        }
        Poll::Ready(())
    })
    .await;
    let mut done = Vec::with_capacity(futures.len());
    for (future, answer) in futures.into_iter().zip(answers) {
        done.push(match answer {
            Some(answer) => answer,
            None => future.await,
        });
    }
    done
}

/// `?1` as PostgreSQL writes it, `$1`; what stands in quotes stays.
pub fn dollars(sql: &str) -> String {
    let mut quoted = false;
    let turn = |letter| match letter {
        '\'' => {
            quoted = !quoted;
            letter
        }
        '?' if !quoted => '$',
        _ => letter,
    };
    sql.chars().map(turn).collect()
}

/// What a room is told about an error; what is our mistake is also written to the trace.
fn refused(error: &Error, sql: &str, batch: Option<usize>) -> Failed {
    let fault = match error.code() {
        Some(code) if is_passing(code) => return Failed::Lost(words(error)),
        None if error.is_closed() || is_outside(error) => return Failed::Lost(words(error)),
        Some(code)
            if [&SqlState::UNIQUE_VIOLATION, &SqlState::FOREIGN_KEY_VIOLATION].contains(&code) =>
        {
            StoreFault::Conflict
        }
        Some(_) | None => StoreFault::Broken,
    };
    if fault == StoreFault::Broken {
        tracing::error!(sql, error = words(error), ?fault, "sql_failed");
    }
    Failed::Refused { fault, batch }
}

/// Whether the server, not the statement, is the reason: connections, resources, a shutdown, another's lock, a standby.
fn is_passing(code: &SqlState) -> bool {
    let classes = ["08", "25", "40", "53", "55", "57", "58"];
    // A statement that was prepared before somebody changed a table.
    classes.iter().any(|class| code.code().starts_with(class))
        || *code == SqlState::FEATURE_NOT_SUPPORTED
}

/// Whether the network said it.
fn is_outside(error: &Error) -> bool {
    let mut source = error.source();
    while let Some(inner) = source {
        if inner.is::<std::io::Error>() {
            return true;
        }
        source = inner.source();
    }
    false
}

/// An error with all that is below it. Neither the library nor the server repeats a password.
fn words(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        source = inner.source();
    }
    text
}

/// What an error means while a session is opened.
pub fn fault(server: &Server, error: &Error) -> Fault {
    let (address, why) = (server.address.to_string(), words(error));
    match error.code() {
        Some(code) if !is_passing(code) => Fault::DatabaseRefused { address, why },
        Some(_) | None => Fault::DatabaseUnreachable { address, why },
    }
}

/// A value on its way into a statement.
#[derive(Debug)]
struct Bound<'a>(&'a Value);

impl ToSql for Bound<'_> {
    fn to_sql(
        &self,
        kind: &Type,
        out: &mut bytes::BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self.0 {
            Value::Null => Ok(IsNull::Yes),
            Value::Int(number) => match *kind {
                Type::INT8 => number.to_sql(kind, out),
                Type::INT4 => i32::try_from(*number)?.to_sql(kind, out),
                _ => Err(format!("a number for {kind}").into()),
            },
            Value::Text(text) if <&str as ToSql>::accepts(kind) => text.as_str().to_sql(kind, out),
            Value::Text(_) => Err(format!("a text for {kind}").into()),
            Value::Blob(octets) if *kind == Type::BYTEA => octets.as_slice().to_sql(kind, out),
            Value::Blob(_) => Err(format!("octets for {kind}").into()),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

fn read(found: &tokio_postgres::Row) -> Option<Row> {
    let columns = found.columns().iter().enumerate();
    columns.map(|(place, column)| value(found, place, column.type_())).collect()
}

fn value(found: &tokio_postgres::Row, place: usize, kind: &Type) -> Option<Value> {
    let value = match *kind {
        Type::INT8 => found.try_get::<_, Option<i64>>(place).ok()?.map(Value::Int),
        Type::INT4 => {
            found.try_get::<_, Option<i32>>(place).ok()?.map(|number| Value::Int(number.into()))
        }
        Type::BYTEA => found.try_get::<_, Option<Vec<u8>>>(place).ok()?.map(Value::Blob),
        Type::TEXT | Type::VARCHAR | Type::NAME => {
            found.try_get::<_, Option<String>>(place).ok()?.map(Value::Text)
        }
        _ => return None,
    };
    Some(value.unwrap_or(Value::Null))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_turned_outside_quotes() {
        let sql = "select a from b where c = ?1 and d <> '?2 ''?3' and e = ?12";
        assert_eq!(dollars(sql), "select a from b where c = $1 and d <> '?2 ''?3' and e = $12");
    }

    #[test]
    fn whose_fault_a_code_is() {
        for passing in ["57P01", "08006", "53300", "25006", "40001", "55P03", "58030", "0A000"] {
            assert!(is_passing(&SqlState::from_code(passing)), "{passing}");
        }
        for ours in ["42P01", "23505", "22021", "28P01", "3D000"] {
            assert!(!is_passing(&SqlState::from_code(ours)), "{ours}");
        }
    }
}
