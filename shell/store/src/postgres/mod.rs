//! The PostgreSQL engine: what `Sqlite` does, on a server that may go away and come back.
//!
//! Picture     apply: begin, all statements of all batches in one go, commit; the batch that is refused is found by
//!             splitting. query: on a session that can only read. A lost session is opened anew by whoever needs it next.
//! Rules       A batch happens whole or not at all. What was asked of a lost session is `Unreachable`, unless it is
//!             certain that nothing of it happened: then it is tried once more, on a session that was lost while idle.
//!             Acknowledged means forced to the server's disk. One Carillon has the database, by a lock of its session.
//! Limits      `CONNECT_MAX`, `SETUP_MAX`, `QUERY_MAX`, `TRANSACTION_MAX`, `MIGRATION_MAX`, `server::PAUSE`,
//!             `sql::ROWS_MAX`, `session::STATEMENTS_MAX`.
//! Not here    Gathering the batches of many callers (`Store`).
//! Spec        PostgreSQL's error codes (SQLSTATE), classes 08 to 58.

pub mod address;
mod schema;
pub mod server;
mod session;
mod tls;

use std::sync::Arc;
use std::time::{Duration, Instant};

use switchboard::store::{Batch, Query, Row, StoreFault};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use crate::fault::Fault;
use server::{Role, Server};
use session::{Failed, Session};

/// Opening a connection and proving who we are.
const CONNECT_MAX: Duration = Duration::from_secs(3);

/// Settings, the lock and a look at the schema.
const SETUP_MAX: Duration = Duration::from_secs(4);

/// The answer to a question.
const QUERY_MAX: Duration = Duration::from_secs(5);

/// One transaction with everything in it.
const TRANSACTION_MAX: Duration = Duration::from_secs(5);

/// All steps of a schema that is brought up to date: they may build indexes.
const MIGRATION_MAX: Duration = Duration::from_secs(600);

/// At the start: until the session of a process that was killed has gone from the server.
const START_MAX: Duration = Duration::from_secs(5);

/// Between two tries at the start.
const START_LOOK: Duration = Duration::from_millis(50);

/// One session, and the thread's own runtime below it.
pub struct Postgres {
    runtime: Runtime,
    server: Arc<Server>,
    role: Role,
    session: Option<Session>,
}

impl Postgres {
    /// Nothing is connected yet.
    pub fn new(server: Arc<Server>, role: Role) -> Result<Self, Fault> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| Fault::Thread { source })?;
        Ok(Self { runtime, server, role, session: None })
    }

    /// Connects now. A lock that the session of a process before us still holds is waited for a little.
    pub fn open(&mut self) -> Result<(), Fault> {
        let until = Instant::now() + START_MAX;
        loop {
            match self.connect() {
                Err(Fault::DatabaseInUse { .. }) if Instant::now() < until => {
                    std::thread::sleep(START_LOOK);
                }
                other => return other,
            }
        }
    }

    /// Applies all batches, in one transaction if none is refused. Each has its own answer; one that is refused
    /// changes nothing and does not touch the others. From a loss on all are `Unreachable`.
    pub fn apply(&mut self, batches: &[Batch]) -> Vec<Result<(), StoreFault>> {
        let mut results = Vec::with_capacity(batches.len());
        let mut ranges = std::iter::once(0..batches.len()).collect::<Vec<_>>();
        while let Some(range) = ranges.pop() {
            let part = batches.get(range.clone()).unwrap_or_default();
            match self.together(part) {
                Ok(()) => results.extend(part.iter().map(|_| Ok(()))),
                Err(Failed::Lost(_)) => break,
                Err(Failed::Refused { fault, .. }) if part.len() <= 1 => {
                    results.extend(part.iter().map(|_| Err(fault.clone())));
                }
                Err(Failed::Refused { batch, .. }) => {
                    // A rule that is checked at the commit does not say who broke it: halves, to find out.
                    let (one, next) = match batch {
                        Some(batch) => (range.start + batch, range.start + batch + 1),
                        None => (range.start + part.len() / 2, range.start + part.len() / 2),
                    };
                    // The last one is taken first.
                    let parts = [next..range.end, one..next, range.start..one];
                    ranges.extend(parts.into_iter().filter(|part| !part.is_empty()));
                }
            }
        }
        results.resize(batches.len(), Err(StoreFault::Unreachable));
        results
    }

    fn together(&mut self, batches: &[Batch]) -> Result<(), Failed> {
        loop {
            let fresh = self.ready()?;
            let Some(session) = &mut self.session else { return Err(Failed::gone()) };
            let done = async { timeout(TRANSACTION_MAX, session.transaction(batches)).await };
            let done = self.runtime.block_on(done);
            let (failed, late) = match done {
                Ok(Ok(())) => {
                    self.server.reached(self.role);
                    return Ok(());
                }
                Ok(Err(refused @ Failed::Refused { .. })) => return Err(refused),
                Ok(Err(Failed::Lost(why))) => (why, false),
                Err(_) => (format!("no answer within {TRANSACTION_MAX:?}"), true),
            };
            // Before the commit was sent nothing can have happened.
            let harmless = !session.is_committing();
            self.session = None;
            if fresh || late || !harmless {
                self.server.lost(self.role, &failed);
                return Err(Failed::Lost(failed));
            }
        }
    }

    /// Answers a question. A statement that would change something is `Broken`.
    pub fn query(&mut self, query: &Query) -> Result<Vec<Row>, StoreFault> {
        loop {
            let fresh = self.ready().map_err(|_| StoreFault::Unreachable)?;
            let Some(session) = &mut self.session else { return Err(StoreFault::Unreachable) };
            let done = async { timeout(QUERY_MAX, session.rows(query)).await };
            let done = self.runtime.block_on(done);
            let (failed, late) = match done {
                Ok(Ok(rows)) => {
                    self.server.reached(self.role);
                    return Ok(rows);
                }
                Ok(Err(Failed::Refused { fault, .. })) => return Err(fault),
                Ok(Err(Failed::Lost(why))) => (why, false),
                Err(_) => (format!("no answer within {QUERY_MAX:?}"), true),
            };
            self.session = None;
            if fresh || late {
                self.server.lost(self.role, &failed);
                return Err(StoreFault::Unreachable);
            }
        }
    }

    /// Hands over the rows of an answer of any size, one by one; each may take `QUERY_MAX` to come.
    pub(crate) fn each(
        &mut self,
        query: &Query,
        take: &mut dyn FnMut(Row),
    ) -> Result<(), StoreFault> {
        self.ready().map_err(|_| StoreFault::Unreachable)?;
        let Some(session) = &mut self.session else { return Err(StoreFault::Unreachable) };
        let mut all = |row| {
            take(row);
            true
        };
        match self.runtime.block_on(session.walk(query, QUERY_MAX, &mut all)) {
            Ok(()) => Ok(()),
            Err(Failed::Refused { fault, .. }) => Err(fault),
            Err(Failed::Lost(why)) => {
                self.session = None;
                self.server.lost(self.role, &why);
                Err(StoreFault::Unreachable)
            }
        }
    }

    /// From now on the server does not give up on a long answer.
    pub(crate) fn take_time(&mut self) -> Result<(), StoreFault> {
        self.ready().map_err(|_| StoreFault::Unreachable)?;
        let Some(session) = &self.session else { return Err(StoreFault::Unreachable) };
        let told = session.client().batch_execute("set statement_timeout = 0");
        self.runtime.block_on(told).map_err(|_| StoreFault::Unreachable)
    }

    /// Sees to it that there is a session; whether it was opened just now.
    fn ready(&mut self) -> Result<bool, Failed> {
        if let Some(session) = &self.session {
            // What the server said while nobody listened: that it ends.
            if !self.runtime.block_on(session.is_closed()) {
                return Ok(false);
            }
            self.session = None;
        }
        if !self.server.may_try(self.role) {
            return Err(Failed::gone());
        }
        self.connect().map_err(|fault| Failed::Lost(fault.to_string()))?;
        Ok(true)
    }

    fn connect(&mut self) -> Result<(), Fault> {
        let (server, role) = (Arc::clone(&self.server), self.role);
        let opened: Result<Session, Fault> = self.runtime.block_on(async {
            let late = |what: &str, limit| Fault::DatabaseUnreachable {
                address: server.address.to_string(),
                why: format!("{what} took longer than {limit:?}"),
            };
            let mut session = timeout(CONNECT_MAX, Session::open(&server))
                .await
                .map_err(|_| late("connecting", CONNECT_MAX))??;
            timeout(SETUP_MAX, session.set_up(&server, role))
                .await
                .map_err(|_| late("setting up the session", SETUP_MAX))??;
            if role == Role::Writer && !server.is_set_up() {
                timeout(MIGRATION_MAX, schema::bring_up(session.client(), &server))
                    .await
                    .map_err(|_| late("bringing the schema up to date", MIGRATION_MAX))??;
                server.set_up();
            }
            Ok(session)
        });
        match opened {
            Ok(session) => {
                self.session = Some(session);
                self.server.reached(self.role);
                Ok(())
            }
            Err(fault) => {
                self.server.lost(self.role, &fault.why());
                Err(fault)
            }
        }
    }
}
