//! The reading end of a log, for the projector.

use std::io;
use std::sync::atomic::Ordering;

use switchboard::store::Entry;

use super::record::{HEADER_LEN, Header, Met, RECORD_BYTES_MAX, Walk};
use super::{Keeper, Shared, disk_fault, lock};
use crate::fault::Fault;

/// Octets that are read at once.
const PIECE_LEN: usize = 256 << 10;

/// What was read of a log.
pub(crate) struct Tail {
    /// Each with the position behind it.
    pub entries: Vec<(Entry, u64)>,
    /// The position up to which the log was read.
    pub upto: u64,
}

impl Keeper {
    /// Writers with a log, those of earlier starts included.
    pub(crate) fn writers(&self) -> Vec<u16> {
        let mut writers: Vec<u16> = (0..).zip(&self.shared.lanes).map(|(index, _)| index).collect();
        writers.extend(lock(&self.shared.state).segments.keys().map(|(_, writer)| *writer));
        writers.sort_unstable();
        writers.dedup();
        writers
    }

    /// Whether `position` lies beyond all that this start of the writer has written: then it is of another log.
    pub(crate) fn is_foreign(&self, writer: u16, position: u64) -> bool {
        let lane = self.shared.lanes.get(usize::from(writer));
        lane.is_some_and(|lane| position > lane.written.load(Ordering::Acquire))
    }

    /// Whether all that was written is synced and nothing of it lies behind `read`.
    pub(crate) fn is_read(&self, writer: u16, read: u64) -> bool {
        let lane = self.shared.lanes.get(usize::from(writer));
        let synced = lane.is_none_or(|lane| {
            lane.written.load(Ordering::Acquire) <= lane.synced.load(Ordering::Acquire)
        });
        synced && self.shared.piece(writer, read).is_none()
    }

    /// The synced entries of `writer` behind `from`, as many as one piece of a file holds, each with the position
    /// behind it, and the position up to which the log was read. `None`: no more.
    pub(crate) fn read_on(&self, writer: u16, from: u64) -> Result<Option<Tail>, Fault> {
        let Some(piece) = self.shared.piece(writer, from) else { return Ok(None) };
        let mut length = PIECE_LEN;
        loop {
            let there = piece.end - piece.start;
            let complete = there <= length as u64;
            let wanted = length.min(usize::try_from(there).unwrap_or(usize::MAX));
            let offset = HEADER_LEN as u64 + (piece.start - piece.base);
            let bytes = match self.shared.disk.read(&piece.name, offset, wanted) {
                Ok(bytes) => bytes,
                // Deleted meanwhile, so nothing in it was of interest.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Ok(Some(Tail { entries: Vec::new(), upto: piece.end }));
                }
                Err(source) => return Err(disk_fault(&*self.shared.disk, "read")(source)),
            };
            let mut walk = Walk::new(&bytes, piece.start, complete);
            let mut entries = Vec::new();
            for met in walk.by_ref() {
                match met {
                    Met::Damage { offset, length } => {
                        tracing::error!(segment = piece.name, offset, length, "keeper_damage_read");
                    }
                    Met::Whole { entry, end } => entries.push((entry, piece.start + end as u64)),
                }
            }
            let at = walk.at();
            if complete {
                return Ok(Some(Tail { entries, upto: piece.end }));
            }
            if at > 0 {
                return Ok(Some(Tail { entries, upto: piece.start + at as u64 }));
            }
            if length > RECORD_BYTES_MAX {
                // Not one record in so many octets: they are damage, but the last may be a record's beginning.
                return Ok(Some(Tail {
                    entries,
                    upto: piece.start + (length - RECORD_BYTES_MAX) as u64,
                }));
            }
            length = 2 * RECORD_BYTES_MAX;
        }
    }
}

/// A part of a segment that was not read yet.
struct Piece {
    name: String,
    base: u64,
    start: u64,
    end: u64,
}

impl Shared {
    /// The first segment of `writer` with synced octets behind `from`.
    fn piece(&self, writer: u16, from: u64) -> Option<Piece> {
        let synced = self
            .lanes
            .get(usize::from(writer))
            .map_or(u64::MAX, |lane| lane.synced.load(Ordering::Acquire));
        let state = lock(&self.state);
        let mut own = state.segments.iter().filter(|((_, owner), _)| *owner == writer);
        own.find_map(|((sequence, _), segment)| {
            // Inherited segments were synced at the start.
            let end = segment
                .end
                .map_or(synced, |end| if segment.inherited { end } else { end.min(synced) });
            let start = from.max(segment.base);
            let name = Header::name(writer, *sequence);
            (start < end).then_some(Piece { name, base: segment.base, start, end })
        })
    }
}
