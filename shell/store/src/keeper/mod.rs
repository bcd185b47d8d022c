//! The keeper: an append log per writer, from which a restart adopts bindings, dialogs and other live state.
//!
//! Picture     Writer --append--> buffer --write--> segment file --sync round--> disk --> waker --> the shard
//!             releases what it held. Superseded segments that the projector has read are deleted.
//! Rules       The last entry of a `(kind, key)` is its state. `synced` moves only after an fsync that succeeded;
//!             one that failed ends the lane for good. Segments are deleted oldest first, so that an entry never
//!             goes before an older one of its key. Those of earlier starts go after all writers made a snapshot.
//! Limits      `BODY_BYTES_MAX`, `BUFFER_BYTES_MAX`, `SEGMENT_BYTES_MAX`.
//! Not here    What entries mean; where SQL gets them (projector).
//! Spec        RELIABILITY R1, R3, R10.

mod disk;
mod record;
mod recover;
mod tail;
mod writer;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

pub use disk::{Disk, DiskFile, MemoryDisk, RealDisk};
pub use recover::{Damage, Recovered};
pub use writer::Writer;

use crate::fault::Fault;
use crate::sql::MEMORY;
use record::Header;

/// The largest body of an entry.
pub const BODY_BYTES_MAX: usize = 1 << 20;

/// Octets of one writer that may wait for a write; entries beyond are refused.
pub const BUFFER_BYTES_MAX: usize = 16 << 20;

/// A segment that is larger is followed by a new one.
pub const SEGMENT_BYTES_MAX: u64 = 64 << 20;

/// Octets that a writer sets aside on the disk behind what it wrote: a full disk is noticed while what was begun can
/// still be kept.
pub const RESERVE_BYTES: u64 = 2 << 20;

/// With less than this it sets aside anew.
const RESERVE_BYTES_MIN: u64 = RESERVE_BYTES / 2;

/// How far positions skip at a start: more than can be lost between two syncs, so that none is used twice.
const POSITION_SKIP: u64 = 1 << 32;

/// How long a wanted sync waits for others: each costs the processor as much as ten registrations.
const SYNC_GATHER: Duration = Duration::from_millis(4);

/// What nobody wanted synced is so after this time nevertheless; the projector waits for it.
const SYNC_IDLE: Duration = Duration::from_millis(100);

/// A place in the log of one writer. Grows always, also over restarts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(pub u64);

impl Position {
    /// The place that is never reached: outputs behind it never leave.
    pub const NEVER: Self = Self(u64::MAX);
}

/// Called when a writer's `synced` has moved or its lane has failed. Must not block.
pub type Waker = Arc<dyn Fn() + Send + Sync>;

/// The log of this node. Clones share it.
#[derive(Clone)]
pub struct Keeper {
    shared: Arc<Shared>,
}

struct Shared {
    disk: Arc<dyn Disk>,
    lanes: Vec<Lane>,
    state: Mutex<State>,
    /// Held while segments are deleted, which may take long; never by a shard.
    sweeping: Mutex<()>,
    listeners: Mutex<Vec<Waker>>,
    /// Some writer has made a snapshot since the start.
    snapshot_made: AtomicBool,
    stopped: AtomicBool,
    /// Of the segments that this start begins.
    first_sequence: u64,
    sync_thread: OnceLock<Thread>,
    sync_handle: Mutex<Option<JoinHandle<()>>>,
}

/// What the writer, the sync thread and the projector share about one log.
struct Lane {
    taken: AtomicBool,
    written: AtomicU64,
    wanted: AtomicU64,
    synced: AtomicU64,
    failed: AtomicBool,
    /// A file was created since the names were synced.
    unnamed: AtomicBool,
    /// Files with something to sync; the last one is still written to.
    open: Mutex<Vec<Arc<dyn DiskFile>>>,
    waker: Mutex<Option<Waker>>,
}

struct State {
    /// By age: sequence, then writer.
    segments: BTreeMap<(u64, u16), Segment>,
    /// Per lane: the snapshot that is complete when the lane is synced up to its end.
    snapshots: Vec<Option<Snapshot>>,
    /// Per lane: whether it made a snapshot since the start.
    snapshotted: Vec<bool>,
    /// Per writer: what the projector has brought to SQL.
    projected: BTreeMap<u16, u64>,
}

#[derive(Clone, Copy)]
struct Snapshot {
    first: u64,
    end: u64,
}

struct Segment {
    base: u64,
    /// `None` while it is written to.
    end: Option<u64>,
    /// Behind the newest entry that is the last of its key; 0 when there is none.
    last_end: u64,
    /// From an earlier start.
    inherited: bool,
    superseded: bool,
}

impl Segment {
    fn new(base: u64) -> Self {
        Self { base, end: None, last_end: 0, inherited: false, superseded: false }
    }
}

fn disk_fault(disk: &dyn Disk, doing: &'static str) -> impl FnOnce(io::Error) -> Fault {
    let path = disk.place();
    move |source| Fault::Disk { doing, path, source }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Keeper {
    /// Opens the folder, or `:memory:`, for `writers` writers, reads what is there and starts the sync thread.
    pub fn open(place: impl AsRef<Path>, writers: u16) -> Result<(Self, Recovered), Fault> {
        let place = place.as_ref();
        let disk: Arc<dyn Disk> = if place == Path::new(MEMORY) {
            Arc::new(MemoryDisk::new())
        } else {
            Arc::new(RealDisk::open(place)?)
        };
        let (keeper, recovered) = Self::on(disk, writers)?;
        keeper.start_sync()?;
        Ok((keeper, recovered))
    }

    /// As [`open`](Self::open) on any disk and without a thread: the caller runs [`sync_round`](Self::sync_round).
    pub fn on(disk: Arc<dyn Disk>, writers: u16) -> Result<(Self, Recovered), Fault> {
        let (recovered, found) = recover::recover(&*disk)?;
        for damage in &recovered.damage {
            tracing::error!(%damage, "keeper_damage_found");
        }
        let lanes = (0..writers)
            .map(|writer| {
                let ends = found.segments.iter().filter(|((_, owner), _)| *owner == writer);
                let end = ends.filter_map(|(_, segment)| segment.end).max();
                Lane::new(end.map_or(0, |end| end + POSITION_SKIP))
            })
            .collect();
        let state = State {
            segments: found.segments,
            snapshots: vec![None; usize::from(writers)],
            snapshotted: vec![false; usize::from(writers)],
            projected: BTreeMap::new(),
        };
        let shared = Shared {
            disk,
            lanes,
            state: Mutex::new(state),
            sweeping: Mutex::new(()),
            listeners: Mutex::new(Vec::new()),
            snapshot_made: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            first_sequence: found.sequence,
            sync_thread: OnceLock::new(),
            sync_handle: Mutex::new(None),
        };
        Ok((Self { shared: Arc::new(shared) }, recovered))
    }

    /// The log of one writer; each is taken once.
    pub fn writer(&self, index: u16) -> Writer {
        let taken = self.shared.lane(index).taken.swap(true, Ordering::AcqRel);
        assert!(!taken, "a writer is taken once");
        let old: u64 = lock(&self.shared.state).segments.values().map(Segment::len).sum();
        let share = old / self.shared.lanes.len() as u64;
        Writer::new(Arc::clone(&self.shared), index, share)
    }

    /// Called after each round that synced something.
    pub fn on_synced(&self, listener: Waker) {
        lock(&self.shared.listeners).push(listener);
    }

    /// The sync round that the thread runs: forces what was written to the disk, tells, and deletes what is not
    /// needed any more. For those who open a keeper without a thread.
    pub fn sync_round(&self) {
        self.shared.sync_round();
    }

    /// Says that SQL holds everything of `writer` up to `position`. The projector says so; who has none passes
    /// [`Position::NEVER`] at the start.
    pub fn projected(&self, writer: u16, position: Position) {
        {
            let mut state = lock(&self.shared.state);
            let known = state.projected.entry(writer).or_default();
            *known = position.0.max(*known);
        }
        self.shared.sweep();
    }

    /// Syncs once more and ends the thread. Writers write before.
    pub fn stop(&self) {
        self.shared.stopped.store(true, Ordering::Release);
        self.shared.unpark();
        if let Some(handle) = lock(&self.shared.sync_handle).take() {
            drop(handle.join());
        }
        self.shared.sync_round();
    }

    fn start_sync(&self) -> Result<(), Fault> {
        let weak = Arc::downgrade(&self.shared);
        let handle = thread::Builder::new()
            .name("keeper-sync".to_owned())
            .spawn(move || sync_loop(&weak))
            .map_err(|source| Fault::Thread { source })?;
        let _ = self.shared.sync_thread.set(handle.thread().clone());
        *lock(&self.shared.sync_handle) = Some(handle);
        Ok(())
    }
}

impl Lane {
    fn new(start: u64) -> Self {
        Self {
            taken: AtomicBool::new(false),
            written: AtomicU64::new(start),
            wanted: AtomicU64::new(0),
            synced: AtomicU64::new(start),
            failed: AtomicBool::new(false),
            unnamed: AtomicBool::new(false),
            open: Mutex::new(Vec::new()),
            waker: Mutex::new(None),
        }
    }

    fn wants_sync(&self) -> bool {
        !self.failed.load(Ordering::Acquire)
            && self.wanted.load(Ordering::Acquire) > self.synced.load(Ordering::Acquire)
    }

    /// Forces the lane to the disk. Gives the new synced position, `None` when there was nothing to do.
    fn sync(&self, disk: &dyn Disk) -> io::Result<Option<u64>> {
        // What is written when the files are collected is in these files.
        let written = self.written.load(Ordering::Acquire);
        // A new segment is synced even without a record: its header carries the position on.
        let unnamed = self.unnamed.swap(false, Ordering::AcqRel);
        if written <= self.synced.load(Ordering::Acquire) && !unnamed {
            return Ok(None);
        }
        let files = lock(&self.open).clone();
        for file in &files {
            file.sync()?;
        }
        if unnamed {
            disk.sync_names()?;
        }
        lock(&self.open).drain(..files.len().saturating_sub(1));
        self.synced.store(written, Ordering::Release);
        Ok(Some(written))
    }

    fn wake(&self) {
        let waker = lock(&self.waker).clone();
        if let Some(waker) = waker {
            waker();
        }
    }
}

impl Segment {
    fn len(&self) -> u64 {
        self.end.map_or(0, |end| end - self.base)
    }
}

impl Shared {
    fn lane(&self, index: u16) -> &Lane {
        &self.lanes[usize::from(index)]
    }

    fn unpark(&self) {
        if let Some(thread) = self.sync_thread.get() {
            thread.unpark();
        }
    }

    fn sync_round(&self) {
        let mut moved = false;
        for (index, lane) in self.lanes.iter().enumerate() {
            if lane.failed.load(Ordering::Acquire) {
                continue;
            }
            match lane.sync(&*self.disk) {
                Ok(None) => {}
                Ok(Some(synced)) => {
                    self.end_snapshot(index, synced);
                    lane.wake();
                    moved = true;
                }
                Err(error) => {
                    // The pages may be gone although they look clean: another fsync would lie.
                    tracing::error!(%error, "keeper_sync_failed");
                    lane.failed.store(true, Ordering::Release);
                    lane.wake();
                }
            }
        }
        self.sweep();
        if moved {
            let listeners = lock(&self.listeners).clone();
            listeners.iter().for_each(|listener| listener());
        }
    }

    fn end_snapshot(&self, index: usize, synced: u64) {
        // A snapshot without a record has only its header to sync, and a position says nothing about that.
        if self.lanes[index].unnamed.load(Ordering::Acquire) {
            return;
        }
        let mut state = lock(&self.state);
        let Some(Snapshot { first, .. }) = state.snapshots[index].take_if(|s| s.end <= synced)
        else {
            return;
        };
        state.snapshotted[index] = true;
        self.snapshot_made.store(true, Ordering::Release);
        for ((sequence, writer), segment) in &mut state.segments {
            if usize::from(*writer) == index && *sequence < first && !segment.inherited {
                segment.superseded = true;
            }
        }
    }

    /// Deletes what no restart and no projector needs, one file after the other.
    fn sweep(&self) {
        let Ok(_only_one) = self.sweeping.try_lock() else { return };
        loop {
            let Some(key) = lock(&self.state).deletable() else { return };
            let name = Header::name(key.1, key.0);
            // The next one goes when this one is gone for certain.
            let gone = match self.disk.remove(&name) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                Ok(()) | Err(_) => self.disk.sync_names(),
            };
            if let Err(error) = gone {
                tracing::warn!(%error, segment = name, "keeper_delete_failed");
                return; // Tried again after the next round.
            }
            lock(&self.state).segments.remove(&key);
        }
    }
}

impl State {
    /// The next segment to delete: see the rules of this module for the order.
    fn deletable(&self) -> Option<(u64, u16)> {
        let projected = |writer: u16, segment: &Segment| {
            segment.last_end <= self.projected.get(&writer).copied().unwrap_or(0)
        };
        if let Some((key, segment)) = self.segments.iter().find(|(_, segment)| segment.inherited) {
            let all = self.snapshotted.iter().all(|done| *done);
            return (all && projected(key.1, segment)).then_some(*key);
        }
        // The oldest of each writer.
        let mut seen = Vec::new();
        self.segments.iter().find_map(|(key, segment)| {
            let oldest = !seen.contains(&key.1);
            seen.push(key.1);
            (oldest && segment.superseded && projected(key.1, segment)).then_some(*key)
        })
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Release);
        self.unpark();
    }
}

fn sync_loop(weak: &Weak<Shared>) {
    loop {
        thread::park_timeout(SYNC_IDLE);
        let Some(shared) = weak.upgrade() else { return };
        if shared.stopped.load(Ordering::Acquire) {
            return;
        }
        if shared.lanes.iter().any(Lane::wants_sync) {
            thread::sleep(SYNC_GATHER);
        }
        shared.sync_round();
    }
}

#[cfg(test)]
mod tests;
