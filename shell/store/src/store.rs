//! The threads around the engine: one writer that gathers, readers that answer.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use switchboard::store::{Batch, Migration, Query, Row, StoreFault};

use crate::fault::Fault;
use crate::sql::{MEMORY, Sqlite};

/// Requests that may wait for each of the two queues; one more is `Unreachable` at once.
pub const QUEUE_MAX: usize = 8192;

/// How long the first batch of a commit waits for company.
const GATHER: Duration = Duration::from_millis(2);

/// Batches of one commit.
const GATHER_MAX: usize = 512;

/// Connections that answer queries.
const READERS: usize = 2;

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
        let fail = Arc::new(AtomicBool::new(false));
        let (writer, jobs) = sync_channel(QUEUE_MAX);
        let mut handles = vec![spawn("sql-writer", writer_loop(engine, jobs, Arc::clone(&fail)))?];
        let mut readers = writer.clone();
        let mut readers_running = 0;
        if place != Path::new(MEMORY) {
            let (sender, jobs) = sync_channel(QUEUE_MAX);
            let jobs = Arc::new(Mutex::new(jobs));
            readers = sender;
            readers_running = READERS;
            for _ in 0..READERS {
                let engine = Sqlite::open_reader(place)?;
                let work = reader_loop(engine, Arc::clone(&jobs), Arc::clone(&fail));
                handles.push(spawn("sql-reader", work)?);
            }
        }
        let closed = AtomicBool::new(false);
        let handles = Mutex::new(handles);
        let threads = Threads { writer, readers, readers_running, fail, closed, handles };
        Ok(Self { threads: Arc::new(threads) })
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
    mut engine: Sqlite,
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
    mut engine: Sqlite,
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

fn answer(engine: &mut Sqlite, fail: &AtomicBool, query: &Query, reply: Reply<Vec<Row>>) {
    if fail.load(Ordering::Acquire) {
        reply.say(Err(StoreFault::Unreachable));
    } else {
        reply.say(engine.query(query));
    }
}

#[cfg(test)]
mod tests;
