//! The projector: brings what is over from the log into SQL.
//!
//! Picture     log --synced entries with `last`--> project --> one batch: position, rows --> Store
//! Rules       In log order per writer. The position moves in the transaction of the rows and only from where we
//!             know it to be, so a crash or a lost answer neither loses nor doubles a row. Unreachable: wait and
//!             try again. An entry whose rows are refused for another reason is passed over, counted and told.
//! Limits      `ENTRIES_MAX` per batch; waits from `RETRY_MIN` to `RETRY_MAX`.
//! Not here    What the rows are (the room's `project`), reading files (keeper).
//! Spec        DESIGN §5; RELIABILITY R1, R11.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use switchboard::store::{Batch, Entry, Migration, Query, Row, Statement, StoreFault, Value};

use crate::fault::Fault;
use crate::keeper::{Keeper, Position, Waker};
use crate::store::Store;

/// The room under which the migrations are recorded.
pub const ROOM: &str = "keeper";

/// The table of the positions; every database of ours has it.
pub const MIGRATIONS: &[Migration] = &[Migration {
    name: "0001_keeper_position",
    sqlite: "create table keeper_position (writer integer primary key not null, position integer not null)",
    postgres: "create table keeper_position (writer bigint primary key not null, position bigint not null)",
}];

/// How far each writer's log is in SQL.
pub const POSITIONS: &str = "select writer, position from keeper_position order by writer";

/// Moves a position that stands where we think.
const ADVANCE: &str = "insert into keeper_position (writer, position) values (?1, ?2) \
     on conflict (writer) do update set position = excluded.position where keeper_position.position = ?3";

/// Entries of one batch.
const ENTRIES_MAX: usize = 1000;

/// The first wait after SQL was out of reach.
const RETRY_MIN: Duration = Duration::from_millis(50);

/// The longest wait after SQL was out of reach.
const RETRY_MAX: Duration = Duration::from_secs(2);

/// How long rows gather before they are read: a log is synced hundreds of times a second, and one transaction for many
/// rows costs little more than one for a few.
const GATHER: Duration = Duration::from_millis(40);

/// How long they gather when there are many: pages of an index that one transaction changes a hundred times are written
/// once.
const GATHER_BUSY: Duration = Duration::from_millis(200);

/// From so many entries on, since it was idle last, there are many.
const BUSY: usize = 32;

/// How long the thread sleeps when nobody wakes it.
const IDLE: Duration = Duration::from_secs(1);

/// The rows of an entry whose thing is over.
type Project = Box<dyn Fn(&Entry) -> Vec<Statement> + Send>;

/// The projection without its thread, so that the simulator can drive it.
pub struct Projection {
    keeper: Keeper,
    project: Project,
    cursors: BTreeMap<u16, Cursor>,
    /// How far each log was read, for `caught_up`.
    read: Arc<Mutex<BTreeMap<u16, u64>>>,
    refused: u64,
}

#[derive(Clone, Copy)]
struct Cursor {
    /// What the table says.
    stored: u64,
    /// Up to here everything is in SQL or did not belong there.
    read: u64,
    /// Entries of the next page: halved when rows are refused, until the one to blame is found.
    entries_max: usize,
}

impl Cursor {
    fn at(stored: u64, read: u64) -> Self {
        Self { stored, read, entries_max: ENTRIES_MAX }
    }
}

/// What the next transaction brings.
pub struct Page {
    /// The position, then the rows.
    pub batch: Batch,
    writer: u16,
    upto: u64,
    entries: usize,
}

/// What to do after a page was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Take the next page.
    GoOn,
    /// Read the positions again: somebody else moved one.
    Load,
    /// Wait, then take a page again.
    Wait,
}

impl Projection {
    /// Nothing is read before [`load`](Self::load).
    pub fn new(
        keeper: Keeper,
        project: impl Fn(&Entry) -> Vec<Statement> + Send + 'static,
    ) -> Self {
        let read = Arc::default();
        let cursors = BTreeMap::new();
        Self { keeper, project: Box::new(project), cursors, read, refused: 0 }
    }

    /// Takes the rows of [`POSITIONS`].
    pub fn load(&mut self, rows: &[Row]) {
        self.cursors = self.keeper.writers().into_iter().map(|w| (w, Cursor::at(0, 0))).collect();
        for row in rows {
            let [Value::Int(writer), Value::Int(position)] = row.as_slice() else { continue };
            let Ok(writer) = u16::try_from(*writer) else { continue };
            let stored = u64::try_from(*position).unwrap_or(0);
            // A table that is ahead of the log belongs to a log that was deleted: start with what is there.
            let read = if self.keeper.is_foreign(writer, stored) { 0 } else { stored };
            self.cursors.insert(writer, Cursor::at(stored, read));
            self.keeper.projected(writer, Position(read));
        }
        self.note_read();
    }

    /// The next rows to insert; `None` when everything synced has been read.
    pub fn page(&mut self) -> Result<Option<Page>, Fault> {
        let mut page = None;
        for (writer, cursor) in &mut self.cursors {
            if cursor.stored > cursor.read {
                // The log started over: the table must say so before the log has grown beyond its old position.
                let statements = vec![advance(*writer, cursor.read, cursor.stored)];
                let (batch, upto) = (Batch { statements }, cursor.read);
                page = Some(Page { batch, writer: *writer, upto, entries: 0 });
                break;
            }
            while let Some(tail) = self.keeper.read_on(*writer, cursor.read)? {
                let over: Vec<_> = tail.entries.iter().filter(|(entry, _)| entry.last).collect();
                let taken = over.get(..cursor.entries_max.min(over.len())).unwrap_or_default();
                let upto = match taken.last() {
                    Some((_, end)) if taken.len() < over.len() => *end,
                    _ => tail.upto,
                };
                if taken.is_empty() {
                    cursor.read = upto; // Nothing for SQL: the position there may stay.
                    continue;
                }
                let mut statements = vec![advance(*writer, upto, cursor.stored)];
                for (entry, _) in taken {
                    statements.extend((self.project)(entry));
                }
                let entries = taken.len();
                page = Some(Page { batch: Batch { statements }, writer: *writer, upto, entries });
                break;
            }
            if page.is_some() {
                break;
            }
        }
        self.note_read();
        Ok(page)
    }

    /// Takes the outcome of a page.
    pub fn settle(&mut self, page: &Page, result: Result<(), StoreFault>) -> Next {
        let Some(cursor) = self.cursors.get_mut(&page.writer) else { return Next::Load };
        match result {
            Ok(()) => {
                let entries_max = (cursor.entries_max * 2).min(ENTRIES_MAX);
                *cursor = Cursor { entries_max, ..Cursor::at(page.upto, page.upto) };
                self.keeper.projected(page.writer, Position(page.upto));
                self.note_read();
                Next::GoOn
            }
            Err(StoreFault::Unreachable) => Next::Wait,
            Err(StoreFault::Mismatch { statement: 0 }) => Next::Load,
            Err(StoreFault::Broken | StoreFault::Conflict | StoreFault::Mismatch { .. }) => {
                if page.entries > 1 {
                    cursor.entries_max = page.entries / 2;
                } else {
                    tracing::error!(
                        writer = page.writer,
                        position = page.upto,
                        ?result,
                        "projection_refused"
                    );
                    self.refused += 1;
                    cursor.read = page.upto;
                    self.note_read();
                }
                Next::GoOn
            }
        }
    }

    /// Entries that were passed over because their rows were refused.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    fn note_read(&self) {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        *read = self.cursors.iter().map(|(writer, cursor)| (*writer, cursor.read)).collect();
    }
}

fn advance(writer: u16, upto: u64, stored: u64) -> Statement {
    let position = |position| Value::Int(i64::try_from(position).unwrap_or(i64::MAX));
    let values = vec![Value::Int(i64::from(writer)), position(upto), position(stored)];
    Statement { sql: ADVANCE, values, expect: Some(1) }
}

/// The thread that keeps SQL up to the log.
pub struct Projector {
    keeper: Keeper,
    read: Arc<Mutex<BTreeMap<u16, u64>>>,
    state: Arc<Shared>,
    handle: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stopped: AtomicBool,
    behind: AtomicBool,
    refused: AtomicU64,
}

impl Projector {
    /// Starts at the position that SQL knows. `wake` is called after each step: rows came in, SQL went out of
    /// reach or came back; it must not block.
    pub fn start(
        keeper: &Keeper,
        store: Store,
        project: impl Fn(&Entry) -> Vec<Statement> + Send + 'static,
        wake: Waker,
    ) -> Result<Self, Fault> {
        let projection = Projection::new(keeper.clone(), project);
        let read = Arc::clone(&projection.read);
        let state = Arc::new(Shared::default());
        let work = Work { projection, gathered: 0, store, wake, state: Arc::clone(&state) };
        let handle = thread::Builder::new()
            .name("projector".to_owned())
            .spawn(move || work.run())
            .map_err(|source| Fault::Thread { source })?;
        let thread = handle.thread().clone();
        keeper.on_synced(Arc::new(move || thread.unpark()));
        Ok(Self { keeper: keeper.clone(), read, state, handle: Some(handle) })
    }

    /// Whether everything written is synced and in SQL.
    pub fn caught_up(&self) -> bool {
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner).clone();
        !read.is_empty()
            && read.into_iter().all(|(writer, position)| self.keeper.is_read(writer, position))
    }

    /// Whether SQL is out of reach and rows wait.
    pub fn behind(&self) -> bool {
        self.state.behind.load(Ordering::Acquire)
    }

    /// Entries that were passed over because their rows were refused.
    pub fn refused(&self) -> u64 {
        self.state.refused.load(Ordering::Acquire)
    }

    /// Ends the thread after its current batch. The next start goes on where this one stood.
    pub fn stop(&mut self) {
        self.state.stopped.store(true, Ordering::Release);
        if let Some(handle) = self.handle.take() {
            handle.thread().unpark();
            drop(handle.join());
        }
    }
}

impl Drop for Projector {
    fn drop(&mut self) {
        self.stop();
    }
}

struct Work {
    projection: Projection,
    /// Entries since the thread was idle last.
    gathered: usize,
    store: Store,
    wake: Waker,
    state: Arc<Shared>,
}

impl Work {
    fn run(mut self) {
        let mut next = Next::Load;
        let mut wait = RETRY_MIN;
        while !self.state.stopped.load(Ordering::Acquire) {
            next = match next {
                Next::GoOn => self.step(),
                Next::Load => self.load(),
                Next::Wait => {
                    thread::park_timeout(wait);
                    wait = (wait * 2).min(RETRY_MAX);
                    if self.projection.cursors.is_empty() { self.load() } else { self.step() }
                }
            };
            let behind = next == Next::Wait;
            if !behind {
                wait = RETRY_MIN;
            }
            self.state.behind.store(behind, Ordering::Release);
            self.state.refused.store(self.projection.refused(), Ordering::Release);
            (self.wake)();
        }
    }

    fn load(&mut self) -> Next {
        match self.store.query_wait(Query { sql: POSITIONS, values: Vec::new() }) {
            Ok(rows) => {
                self.projection.load(&rows);
                Next::GoOn
            }
            Err(_) => Next::Wait,
        }
    }

    fn step(&mut self) -> Next {
        match self.projection.page() {
            Ok(Some(page)) => {
                self.gathered += page.entries;
                let result = self.store.write_wait(page.batch.clone());
                self.projection.settle(&page, result)
            }
            Ok(None) => {
                thread::park_timeout(IDLE);
                let many = std::mem::take(&mut self.gathered) >= BUSY;
                if !self.state.stopped.load(Ordering::Acquire) {
                    thread::sleep(if many { GATHER_BUSY } else { GATHER });
                }
                Next::GoOn
            }
            Err(fault) => {
                tracing::error!(%fault, "projection_read_failed");
                Next::Wait
            }
        }
    }
}

#[cfg(test)]
mod tests;
