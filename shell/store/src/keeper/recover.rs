//! Reading the log at the start: last entries win, torn tails are cut, flipped bits are told.

use std::collections::BTreeMap;
use std::fmt;

use switchboard::store::Entry;

use super::disk::Disk;
use super::record::{HEADER_LEN, Header, Met, Walk};
use super::{Segment, disk_fault};
use crate::fault::Fault;

/// What the log remembers.
#[derive(Debug, Default)]
pub struct Recovered {
    /// The last entry of each kind and key, in their order, without the things that are over.
    pub entries: Vec<Entry>,
    /// What was wrong with the files.
    pub damage: Vec<Damage>,
    /// The last entries of things that are over, as far as the log still has them: something of them may be unsaid.
    pub over: Vec<Entry>,
}

/// Something wrong with a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Damage {
    /// Octets in the middle are no record; what stands behind them was read.
    Flipped {
        /// The file.
        segment: String,
        /// Where in the file.
        offset: u64,
        /// How many octets are lost.
        bytes: u64,
    },
    /// Neither copy of the header can be read, so nothing of this file was. It is left as it is.
    Header {
        /// The file.
        segment: String,
    },
    /// The file ended in octets that are no whole record, as after a crash; they were cut off.
    Torn {
        /// The file.
        segment: String,
        /// Where it was cut.
        offset: u64,
        /// How many octets were cut.
        bytes: u64,
    },
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flipped { segment, offset, bytes } => {
                write!(f, "{segment}: {bytes} damaged bytes at offset {offset} were skipped")
            }
            Self::Header { segment } => write!(f, "{segment}: the header cannot be read"),
            Self::Torn { segment, offset, bytes } => {
                write!(f, "{segment}: a torn tail of {bytes} bytes was cut at offset {offset}")
            }
        }
    }
}

/// The segments found, by age, and the sequence that the next one gets.
pub(super) struct Found {
    pub segments: BTreeMap<(u64, u16), Segment>,
    pub sequence: u64,
}

/// Reads everything. Sequences start anew behind all others at every start, so that order by sequence is order by
/// age even for keys that changed their writer between two starts.
pub(super) fn recover(disk: &dyn Disk) -> Result<(Recovered, Found), Fault> {
    let mut names: Vec<(u64, u16)> = disk
        .list()
        .map_err(disk_fault(disk, "list"))?
        .iter()
        .filter_map(|name| Header::parse_name(name))
        .map(|(writer, sequence)| (sequence, writer))
        .collect();
    names.sort_unstable();
    let sequence = names.last().map_or(1, |(sequence, _)| sequence + 1);
    let mut found = Found { segments: BTreeMap::new(), sequence };
    let mut recovered = Recovered::default();
    let mut live = BTreeMap::new();
    for (sequence, writer) in names {
        let segment = read_segment(disk, writer, sequence, &mut live, &mut recovered.damage)?;
        if let Some(segment) = segment {
            found.segments.insert((sequence, writer), segment);
        }
    }
    // What was read was perhaps only written; from now on it counts as synced.
    disk.sync_names().map_err(disk_fault(disk, "sync"))?;
    (recovered.over, recovered.entries) = live.into_values().partition(|entry: &Entry| entry.last);
    Ok((recovered, found))
}

fn read_segment(
    disk: &dyn Disk,
    writer: u16,
    sequence: u64,
    live: &mut BTreeMap<(u8, u128), Entry>,
    damage: &mut Vec<Damage>,
) -> Result<Option<Segment>, Fault> {
    let name = Header::name(writer, sequence);
    let bytes = disk.read(&name, 0, usize::MAX).map_err(disk_fault(disk, "read"))?;
    let known = |header: &Header| header.writer == writer && header.sequence == sequence;
    let Some(header) = Header::decode(&bytes).filter(known) else {
        // A crash between the creation of a file and its first sync leaves nothing of worth: a piece of a header,
        // perhaps with zeros where the content did not come.
        let content = bytes.iter().rposition(|octet| *octet != 0).map_or(0, |last| last + 1);
        if content < HEADER_LEN {
            disk.remove(&name).map_err(disk_fault(disk, "remove"))?;
            damage.push(Damage::Torn { segment: name, offset: 0, bytes: bytes.len() as u64 });
        } else {
            damage.push(Damage::Header { segment: name });
        }
        return Ok(None);
    };
    let records = &bytes[HEADER_LEN..];
    let mut walk = Walk::new(records, header.base, true);
    let mut segment = Segment::new(header.base);
    segment.inherited = true;
    for met in walk.by_ref() {
        match met {
            Met::Damage { offset, length } => damage.push(Damage::Flipped {
                segment: name.clone(),
                offset: (HEADER_LEN + offset) as u64,
                bytes: length as u64,
            }),
            Met::Whole { entry, end } => {
                if entry.last {
                    segment.last_end = header.base + end as u64;
                }
                live.insert((entry.kind, entry.key), entry);
            }
        }
    }
    let end = walk.at();
    segment.end = Some(header.base + end as u64);
    if end < records.len() {
        let offset = (HEADER_LEN + end) as u64;
        disk.cut(&name, offset).map_err(disk_fault(disk, "cut"))?;
        let bytes = (records.len() - end) as u64;
        damage.push(Damage::Torn { segment: name.clone(), offset, bytes });
    }
    disk.sync(&name).map_err(disk_fault(disk, "sync"))?;
    Ok(Some(segment))
}
