//! The threads around the engine: one writer that gathers, readers that answer.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use switchboard::store::{Batch, Migration, Query, Row, StoreFault};

use crate::engine::Engine;
use crate::fault::Fault;
use crate::postgres::Postgres;
use crate::postgres::address::Address;
use crate::postgres::server::{Role, Server};
use crate::sql::{MEMORY, Sqlite};

/// Requests that may wait for each of the two queues; one more is `Unreachable` at once.
pub const QUEUE_MAX: usize = 8192;

/// How long the first batch of a commit waits for company.
const GATHER: Duration = Duration::from_millis(2);

/// Batches of one commit.
const GATHER_MAX: usize = 512;

/// Connections that answer queries from a file.
const READERS: usize = 2;

/// Sessions that answer queries on a server, where each waits for the network. With the writer's they are the pool.
const SERVER_READERS: usize = 4;

/// What to do when the server of the database does not answer at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// Do not start: nobody knows whether it was ever there.
    Refuse,
    /// Start without: everything is `Unreachable` until it comes.
    Wait,
}

/// Called once with the outcome, on a thread of the store; on the caller's own when the queue is full.
pub type Done = Box<dyn FnOnce(Result<(), StoreFault>) + Send>;

/// Called once with the rows; where is as for [`Done`].
pub type Answered = Box<dyn FnOnce(Result<Vec<Row>, StoreFault>) + Send>;

/// The database as the shards see it. Clones share it; the last one to go writes out what waits.
#[derive(Clone)]
pub struct Store {
    threads: Arc<Threads>,
}

struct Threads {
    writer: SyncSender<Job>,
    /// The same queue as the writer's when the database is in memory, where one connection is all there is.
    readers: SyncSender<Job>,
    readers_running: usize,
    server: Option<Arc<Server>>,
    fail: Arc<AtomicBool>,
    closed: AtomicBool,
    handles: Mutex<Vec<JoinHandle<()>>>,
}

enum Job {
    Ask(Query, Reply<Vec<Row>>),
    Stop,
    Write(Batch, Reply<()>),
}

/// An answer that is never forgotten: dropped without one, it says `Unreachable`.
struct Reply<T>(Option<Callback<T>>);

type Callback<T> = Box<dyn FnOnce(Result<T, StoreFault>) + Send>;

impl<T> Reply<T> {
    fn say(mut self, result: Result<T, StoreFault>) {
        if let Some(done) = self.0.take() {
            done(result);
        }
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        if let Some(done) = self.0.take() {
            done(Err(StoreFault::Unreachable));
        }
    }
}

impl Store {
    /// Opens the database as [`Sqlite::open`] does and starts its threads.
    pub fn open(
        place: impl AsRef<Path>,
        migrations: &[(&'static str, &'static [Migration])],
    ) -> Result<Self, Fault> {
        let place = place.as_ref();
        let engine = Sqlite::open(place, migrations)?;
        let mut readers = Vec::new();
        if place != Path::new(MEMORY) {
            for _ in 0..READERS {
                readers.push(Engine::Sqlite(Sqlite::open_reader(place)?));
            }
        }
        Self::start(Engine::Sqlite(engine), readers, None)
    }

    /// Opens the database on a server and starts its threads, each with a session of its own. What the server refuses
    /// is a fault; what to do when it does not answer says `absent`.
    pub fn open_postgres(
        address: Address,
        migrations: &[(&'static str, &'static [Migration])],
        absent: Absent,
    ) -> Result<Self, Fault> {
        let server = Arc::new(Server::new(address, migrations)?);
        // Sessions wait on runtimes of their own, which the caller may not while it is on one itself.
        let opened = thread::scope(|scope| {
            scope.spawn(|| sessions(&server, absent)).join().map_err(|_| Fault::Thread {
                source: io::Error::other("the thread that opens the database has panicked"),
            })
        });
        let (writer, readers) = opened??;
        Self::start(writer, readers, Some(server))
    }

    /// Without `readers` the writer answers the questions.
    fn start(
        engine: Engine,
        engines: Vec<Engine>,
        server: Option<Arc<Server>>,
    ) -> Result<Self, Fault> {
        let fail = Arc::new(AtomicBool::new(false));
        let (writer, jobs) = sync_channel(QUEUE_MAX);
        let mut handles = vec![spawn("sql-writer", writer_loop(engine, jobs, Arc::clone(&fail)))?];
        let mut readers = writer.clone();
        let readers_running = engines.len();
        if readers_running > 0 {
            let (sender, jobs) = sync_channel(QUEUE_MAX);
            let jobs = Arc::new(Mutex::new(jobs));
            readers = sender;
            for engine in engines {
                let work = reader_loop(engine, Arc::clone(&jobs), Arc::clone(&fail));
                handles.push(spawn("sql-reader", work)?);
            }
        }
        let closed = AtomicBool::new(false);
        let handles = Mutex::new(handles);
        let threads = Threads { writer, readers, readers_running, server, fail, closed, handles };
        Ok(Self { threads: Arc::new(threads) })
    }

    /// What keeps us from a database on a server, for people; `None`: nothing that we know of.
    pub fn trouble(&self) -> Option<String> {
        self.threads.server.as_ref()?.trouble()
    }

    /// Asks for a change; `done` hears of it after the commit.
    pub fn write(&self, batch: Batch, done: Done) {
        self.threads.send(&self.threads.writer, Job::Write(batch, Reply(Some(done))));
    }

    /// Asks a question. It sees every change that was acknowledged before.
    pub fn query(&self, query: Query, done: Answered) {
        self.threads.send(&self.threads.readers, Job::Ask(query, Reply(Some(done))));
    }

    /// Asks and waits, for start-up and tests; never on a shard.
    pub fn query_wait(&self, query: Query) -> Result<Vec<Row>, StoreFault> {
        let (sender, answer) = sync_channel(1);
        self.query(query, Box::new(move |rows| drop(sender.send(rows))));
        answer.recv().unwrap_or(Err(StoreFault::Unreachable))
    }

    /// Writes and waits, for start-up and tests; never on a shard.
    pub fn write_wait(&self, batch: Batch) -> Result<(), StoreFault> {
        let (sender, answer) = sync_channel(1);
        self.write(batch, Box::new(move |result| drop(sender.send(result))));
        answer.recv().unwrap_or(Err(StoreFault::Unreachable))
    }

    /// While this is true the database is out of reach: the switch by which tests and drills cut it off.
    pub fn fail(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.threads.fail)
    }

    /// Commits what was asked for before, ends the threads, and refuses what comes later.
    pub fn shutdown(&self) {
        self.threads.stop();
    }
}

/// The writer's session, connected unless its server is absent and may be; and those of the readers, to be connected.
fn sessions(server: &Arc<Server>, absent: Absent) -> Result<(Engine, Vec<Engine>), Fault> {
    let engine = |role| Postgres::new(Arc::clone(server), role).map(Box::new);
    let mut writer = engine(Role::Writer)?;
    match writer.open() {
        Err(Fault::DatabaseUnreachable { .. }) if absent == Absent::Wait => {}
        done => done?,
    }
    let readers = (0..SERVER_READERS).map(|_| engine(Role::Reader).map(Engine::Postgres));
    Ok((Engine::Postgres(writer), readers.collect::<Result<_, _>>()?))
}

impl Threads {
    fn send(&self, queue: &SyncSender<Job>, job: Job) {
        if self.closed.load(Ordering::Acquire) {
            return; // The dropped reply says `Unreachable`.
        }
        match queue.try_send(job) {
            Ok(()) => {}
            Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) => drop(job),
        }
    }

    fn stop(&self) {
        if self.closed.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut handles = self.handles.lock().unwrap_or_else(PoisonError::into_inner);
        // The last clone may go inside an answer. A thread does not wait for itself: there the queues end by
        // losing their senders.
        if handles.iter().any(|handle| handle.thread().id() == thread::current().id()) {
            return;
        }
        // These wait for a place in the queue: what is before them is done first.
        drop(self.writer.send(Job::Stop));
        for _ in 0..self.readers_running {
            drop(self.readers.send(Job::Stop));
        }
        for handle in handles.drain(..) {
            drop(handle.join());
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.stop();
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Fault> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map_err(|source| Fault::Thread { source })
}

fn writer_loop(
    mut engine: Engine,
    jobs: Receiver<Job>,
    fail: Arc<AtomicBool>,
) -> impl FnOnce() + Send {
    move || {
        let mut batches = Vec::new();
        let mut replies = Vec::new();
        loop {
            let after = gather(&jobs, &mut batches, &mut replies);
            let results = if fail.load(Ordering::Acquire) {
                vec![Err(StoreFault::Unreachable); batches.len()]
            } else if batches.is_empty() {
                Vec::new()
            } else {
                engine.apply(&batches)
            };
            batches.clear();
            for (reply, result) in replies.drain(..).zip(results) {
                Reply::say(reply, result);
            }
            match after {
                After::Answer(query, reply) => answer(&mut engine, &fail, &query, reply),
                After::GoOn => {}
                After::Stop => return,
            }
        }
    }
}

/// What ended the gathering.
enum After {
    Answer(Query, Reply<Vec<Row>>),
    GoOn,
    Stop,
}

fn gather(jobs: &Receiver<Job>, batches: &mut Vec<Batch>, replies: &mut Vec<Reply<()>>) -> After {
    let mut until: Option<Instant> = None;
    while batches.len() < GATHER_MAX {
        let job = match until {
            None => jobs.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(until) => jobs.recv_timeout(until.saturating_duration_since(Instant::now())),
        };
        match job {
            Ok(Job::Write(batch, reply)) => {
                until.get_or_insert_with(|| Instant::now() + GATHER);
                batches.push(batch);
                replies.push(reply);
            }
            Ok(Job::Ask(query, reply)) => return After::Answer(query, reply),
            Ok(Job::Stop) | Err(RecvTimeoutError::Disconnected) => return After::Stop,
            Err(RecvTimeoutError::Timeout) => return After::GoOn,
        }
    }
    After::GoOn
}

fn reader_loop(
    mut engine: Engine,
    jobs: Arc<Mutex<Receiver<Job>>>,
    fail: Arc<AtomicBool>,
) -> impl FnOnce() + Send {
    move || {
        loop {
            let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
            match job {
                Ok(Job::Ask(query, reply)) => answer(&mut engine, &fail, &query, reply),
                Ok(Job::Write(..)) => {} // Never sent here; its reply says `Unreachable`.
                Ok(Job::Stop) | Err(_) => return,
            }
        }
    }
}

fn answer(engine: &mut Engine, fail: &AtomicBool, query: &Query, reply: Reply<Vec<Row>>) {
    if fail.load(Ordering::Acquire) {
        reply.say(Err(StoreFault::Unreachable));
    } else {
        reply.say(engine.query(query));
    }
}

#[cfg(test)]
mod tests;
