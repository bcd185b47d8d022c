//! The writing end of one log, owned by a shard thread.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use switchboard::store::Entry;

use super::disk::DiskFile;
use super::record::{self, HEADER_LEN, Header};
use super::{
    BODY_BYTES_MAX, BUFFER_BYTES_MAX, Lane, Position, RESERVE_BYTES, RESERVE_BYTES_MIN,
    SEGMENT_BYTES_MAX, Segment, Shared, Snapshot, Waker, disk_fault, lock,
};
use crate::fault::Fault;

/// A log below this size wants no snapshot.
const SNAPSHOT_BYTES_MIN: u64 = 16 << 20;

/// A log wants a snapshot when it is so many times larger than the last one.
const SNAPSHOT_FACTOR: u64 = 4;

/// The log of one writer. Entries are buffered by [`append`](Self::append), written together by
/// [`write`](Self::write), and synced by the keeper when somebody [wants](Self::want_sync) it.
pub struct Writer {
    shared: Arc<Shared>,
    index: u16,
    file: Option<Arc<dyn DiskFile>>,
    /// Octets of the file.
    length: u64,
    /// Where in the file ends what is set aside.
    reserved: u64,
    /// The disk had no room to set aside.
    short: bool,
    /// The sequence of the next segment.
    sequence: u64,
    buffer: Vec<u8>,
    /// The position behind the buffer.
    next: u64,
    /// Behind the newest last entry of the buffer; 0 when it has none.
    last_end: u64,
    /// The size of an entry that was refused and not yet told.
    refused: Option<usize>,
    /// Octets of the log since it was last known to be compact.
    size: u64,
    /// Octets of the last snapshot.
    snapshot_size: u64,
    /// Whether this writer finished one since the start.
    snapshot_made: bool,
    /// First segment and first position of the snapshot that is being made.
    snapshot: Option<(u64, u64)>,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, index: u16, size: u64) -> Self {
        let next = shared.lane(index).written.load(Ordering::Acquire);
        let sequence = shared.first_sequence;
        Self {
            shared,
            index,
            file: None,
            length: 0,
            reserved: 0,
            short: false,
            sequence,
            buffer: Vec::new(),
            next,
            last_end: 0,
            refused: None,
            size,
            snapshot_size: 0,
            snapshot_made: false,
            snapshot: None,
        }
    }

    /// Calls `waker` from the sync thread whenever [`synced`](Self::synced) has moved or the log has failed.
    pub fn set_waker(&mut self, waker: Waker) {
        *lock(&self.lane().waker) = Some(waker);
    }

    /// Buffers an entry and gives the position behind it. One that is over a limit is not kept: its position is
    /// [`Position::NEVER`], and the next write says so.
    pub fn append(&mut self, entry: &Entry) -> Position {
        let length = record::length(entry);
        if entry.body.len() > BODY_BYTES_MAX || self.buffer.len() + length > BUFFER_BYTES_MAX {
            self.refused = Some(length);
            return Position::NEVER;
        }
        record::encode(entry, Position(self.next), &mut self.buffer);
        self.next += length as u64;
        if entry.last {
            self.last_end = self.next;
        }
        Position(self.next)
    }

    /// Hands all that is buffered to the operating system, in one call.
    ///
    /// Errors: after a failed sync always `LogFailed`. When the disk is full the entries stay in the buffer and
    /// the next call tries again, in a new segment if need be; positions keep their meaning.
    pub fn write(&mut self) -> Result<Position, Fault> {
        if self.failed() {
            return Err(Fault::LogFailed);
        }
        self.write_buffer()?;
        match self.refused.take() {
            Some(bytes) => Err(Fault::EntryRefused { bytes }),
            None => Ok(self.written()),
        }
    }

    fn write_buffer(&mut self) -> Result<(), Fault> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let length = self.buffer.len() as u64;
        // While the disk is full a new segment would have no room: the old one has some set aside.
        if self.length + length > SEGMENT_BYTES_MAX && !self.short {
            self.close_segment();
        }
        let file = match &self.file {
            Some(file) => Arc::clone(file),
            None => self.open_segment()?,
        };
        if let Err(source) = file.write(&self.buffer) {
            // What came through is no whole record: it must not stand before the next try.
            self.reserved = self.length;
            if file.cut(self.length).is_err() {
                self.close_segment();
            }
            return Err(disk_fault(&*self.shared.disk, "write to")(source));
        }
        self.length += length;
        self.size += length;
        self.buffer.clear();
        if self.last_end > 0 {
            let mut state = lock(&self.shared.state);
            if let Some(segment) = state.segments.get_mut(&(self.sequence - 1, self.index)) {
                segment.last_end = self.last_end;
            }
            self.last_end = 0;
        }
        self.lane().written.store(self.next, Ordering::Release);
        if self.reserved < self.length + RESERVE_BYTES_MIN && !self.short {
            // The owner asks whether it is short.
            drop(self.reserve());
        }
        Ok(())
    }

    /// Sets room aside behind what is written. Errors: the disk has none, and [`short`](Self::short) is true until
    /// this succeeds; what is begun may still be written.
    pub fn reserve(&mut self) -> Result<(), Fault> {
        let file = match &self.file {
            Some(file) => Ok(Arc::clone(file)),
            None => self.open_segment(),
        };
        let set_aside = file.and_then(|file| {
            if self.reserved >= self.length + RESERVE_BYTES {
                return Ok(());
            }
            let reserved = file.reserve(self.length, RESERVE_BYTES);
            reserved.map_err(disk_fault(&*self.shared.disk, "set room aside in"))
        });
        self.short = set_aside.is_err();
        if !self.short {
            self.reserved = self.reserved.max(self.length + RESERVE_BYTES);
        }
        set_aside
    }

    /// Whether the disk had no more room to set aside, so that new work should be refused.
    pub fn short(&self) -> bool {
        self.short
    }

    /// Asks the sync thread to force the log to the disk up to `position`.
    pub fn want_sync(&self, position: Position) {
        // Nobody can want what is not written.
        let position = position.0.min(self.written().0);
        self.lane().wanted.fetch_max(position, Ordering::AcqRel);
        self.shared.unpark();
    }

    /// What a killed process does not lose.
    pub fn written(&self) -> Position {
        Position(self.lane().written.load(Ordering::Acquire))
    }

    /// What a power cut does not lose.
    pub fn synced(&self) -> Position {
        Position(self.lane().synced.load(Ordering::Acquire))
    }

    /// Whether a sync has failed. There is no way back but a restart.
    pub fn failed(&self) -> bool {
        self.lane().failed.load(Ordering::Acquire)
    }

    /// Octets of this log since it was last compact, with its share of what earlier starts left.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Whether a snapshot pays: the log has grown much larger than its last one, or another writer made its first
    /// and the segments of earlier starts wait for ours. Asked now and then, also by an idle shard.
    pub fn wants_snapshot(&self) -> bool {
        let enough = SNAPSHOT_BYTES_MIN.max(self.snapshot_size * SNAPSHOT_FACTOR);
        let awaited = !self.snapshot_made && self.shared.snapshot_made.load(Ordering::Acquire);
        self.snapshot.is_none() && (self.size > enough || awaited)
    }

    /// Starts a new segment. The owner now appends all its live entries again; others may come in between.
    pub fn begin_snapshot(&mut self) -> Result<(), Fault> {
        self.write()?;
        self.close_segment();
        self.open_segment()?;
        self.snapshot = Some((self.sequence - 1, self.next));
        self.size = 0;
        Ok(())
    }

    /// Writes the snapshot. As soon as it is synced the older segments are superseded; those that the projector
    /// has not read are deleted later. A crash at any moment finds either the older segments or the whole snapshot.
    pub fn finish_snapshot(&mut self) -> Result<Position, Fault> {
        let position = self.write()?;
        if let Some((first, start)) = self.snapshot.take() {
            self.snapshot_size = self.next - start;
            self.snapshot_made = true;
            let snapshot = Snapshot { first, end: position.0 };
            lock(&self.shared.state).snapshots[usize::from(self.index)] = Some(snapshot);
        }
        self.want_sync(position);
        Ok(position)
    }

    fn lane(&self) -> &Lane {
        self.shared.lane(self.index)
    }

    fn close_segment(&mut self) {
        if let Some(file) = self.file.take() {
            // Gives back what was set aside; a disk that does not has lost little.
            drop(file.cut(self.length));
            let end = self.written().0;
            let mut state = lock(&self.shared.state);
            if let Some(segment) = state.segments.get_mut(&(self.sequence - 1, self.index)) {
                segment.end = Some(end);
            }
        }
        (self.length, self.reserved) = (0, 0);
    }

    fn open_segment(&mut self) -> Result<Arc<dyn DiskFile>, Fault> {
        let header = Header { writer: self.index, sequence: self.sequence, base: self.written().0 };
        let name = Header::name(self.index, self.sequence);
        self.sequence += 1;
        let disk = Arc::clone(&self.shared.disk);
        let file = disk.create(&name).map_err(disk_fault(&*disk, "create a segment in"))?;
        if let Err(source) = file.write(&header.encode()) {
            // A piece of a header is harmless, only untidy.
            drop(disk.remove(&name));
            return Err(disk_fault(&*disk, "begin a segment in")(source));
        }
        lock(&self.lane().open).push(Arc::clone(&file));
        self.lane().unnamed.store(true, Ordering::Release);
        let key = (header.sequence, self.index);
        lock(&self.shared.state).segments.insert(key, Segment::new(header.base));
        self.file = Some(Arc::clone(&file));
        (self.length, self.reserved) = (HEADER_LEN as u64, HEADER_LEN as u64);
        Ok(file)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // What was appended but not written was never acknowledged; a quiet end keeps it all the same.
        drop(self.write());
    }
}
