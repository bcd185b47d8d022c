//! The octets of a segment: a header, then records.
//!
//! Header (twice, so that a flipped bit in one copy does no harm), all numbers little-endian:
//! `CARKEEP1`, version u16, writer u16, sequence u64, base position u64, reserved u32, crc32 of these u32.
//! Record: payload length u32, crc32 u32, then the payload: slot u8, kind u8, flags u8 (1 = last), key u128, body.
//! The checksum covers the record's position as well, so that octets of another place or time never pass.

use switchboard::store::Entry;
use types::Slot;

use super::{BODY_BYTES_MAX, Position};

/// Octets before the first record.
pub const HEADER_LEN: usize = 2 * COPY_LEN;

/// Octets before the payload of a record.
pub const HEAD_LEN: usize = 8;

/// Octets of the payload before the body.
const FIXED_LEN: usize = 1 + 1 + 1 + 16;

/// The largest record.
pub const RECORD_BYTES_MAX: usize = HEAD_LEN + FIXED_LEN + BODY_BYTES_MAX;

const COPY_LEN: usize = 36;
const MAGIC: &[u8; 8] = b"CARKEEP1";
const VERSION: u16 = 1;
const FLAG_LAST: u8 = 1;

/// Octets that the search for the next good record may check; a segment that needs more is given up from there on.
const SEARCH_BYTES_MAX: usize = 256 << 20;

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Whose log it is a part of.
    pub writer: u16,
    /// Which part.
    pub sequence: u64,
    /// The position of its first record.
    pub base: u64,
}

impl Header {
    /// The name of the file.
    pub fn name(writer: u16, sequence: u64) -> String {
        format!("w{writer:03}-{sequence:010}.log")
    }

    /// Writer and sequence of a file's name; `None` when it is no segment.
    pub fn parse_name(name: &str) -> Option<(u16, u64)> {
        let (writer, sequence) = name.strip_prefix('w')?.strip_suffix(".log")?.split_once('-')?;
        Some((writer.parse().ok()?, sequence.parse().ok()?))
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut copy = Vec::with_capacity(HEADER_LEN);
        copy.extend_from_slice(MAGIC);
        copy.extend_from_slice(&VERSION.to_le_bytes());
        copy.extend_from_slice(&self.writer.to_le_bytes());
        copy.extend_from_slice(&self.sequence.to_le_bytes());
        copy.extend_from_slice(&self.base.to_le_bytes());
        copy.extend_from_slice(&[0; 4]);
        let crc = crc32fast::hash(&copy);
        copy.extend_from_slice(&crc.to_le_bytes());
        let again = copy.clone();
        copy.extend_from_slice(&again);
        copy
    }

    /// The header at the start of `bytes`; `None` when neither copy is whole.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let copies = bytes.get(..HEADER_LEN)?.chunks_exact(COPY_LEN);
        copies.into_iter().find_map(|copy| {
            let (content, crc) = copy.split_at(COPY_LEN - 4);
            let whole = crc32fast::hash(content).to_le_bytes() == crc
                && content.starts_with(MAGIC)
                && number(content, 8, 2)? == u64::from(VERSION);
            whole.then_some(())?;
            Some(Self {
                writer: u16::try_from(number(content, 10, 2)?).ok()?,
                sequence: number(content, 12, 8)?,
                base: number(content, 20, 8)?,
            })
        })
    }
}

fn number(bytes: &[u8], offset: usize, length: usize) -> Option<u64> {
    let octets = bytes.get(offset..offset + length)?;
    Some(octets.iter().rev().fold(0, |n, octet| n << 8 | u64::from(*octet)))
}

/// Appends the record of `entry`, which will stand at `position`. The body is within its limit.
pub fn encode(entry: &Entry, position: Position, out: &mut Vec<u8>) {
    let start = out.len();
    let length = (FIXED_LEN + entry.body.len()) as u32;
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&[entry.slot.0, entry.kind, if entry.last { FLAG_LAST } else { 0 }]);
    out.extend_from_slice(&entry.key.to_le_bytes());
    out.extend_from_slice(&entry.body);
    let crc = checksum(position, length, &out[start + HEAD_LEN..]);
    out[start + 4..start + HEAD_LEN].copy_from_slice(&crc.to_le_bytes());
}

/// The record's length of an entry.
pub fn length(entry: &Entry) -> usize {
    HEAD_LEN + FIXED_LEN + entry.body.len()
}

fn checksum(position: Position, length: u32, payload: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&position.0.to_le_bytes());
    crc.update(&length.to_le_bytes());
    crc.update(payload);
    crc.finalize()
}

/// Why there is no record here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    /// Length or checksum is wrong.
    Bad,
    /// The octets end before the record does.
    Cut,
}

/// The record at the start of `bytes` and its length. `work` counts the octets that were checked.
fn decode(bytes: &[u8], position: u64, work: &mut usize) -> Result<(Entry, usize), Flaw> {
    let length = number(bytes, 0, 4).ok_or(Flaw::Cut)? as u32;
    let crc = number(bytes, 4, 4).ok_or(Flaw::Cut)? as u32;
    let payload_len = length as usize;
    if !(FIXED_LEN..=FIXED_LEN + BODY_BYTES_MAX).contains(&payload_len) {
        return Err(Flaw::Bad);
    }
    let payload = bytes.get(HEAD_LEN..HEAD_LEN + payload_len).ok_or(Flaw::Cut)?;
    *work += payload_len;
    if checksum(Position(position), length, payload) != crc {
        return Err(Flaw::Bad);
    }
    let (fixed, body) = payload.split_at(FIXED_LEN);
    let key = fixed[3..].iter().rev().fold(0, |n, octet| n << 8 | u128::from(*octet));
    let entry = Entry {
        slot: Slot(fixed[0]),
        kind: fixed[1],
        key,
        body: body.to_vec(),
        last: fixed[2] & FLAG_LAST != 0,
    };
    Ok((entry, HEAD_LEN + payload_len))
}

/// What a walk over octets meets.
#[derive(Debug, PartialEq, Eq)]
pub enum Met {
    /// Octets that are no record, with whole records behind them.
    Damage {
        /// Where.
        offset: usize,
        /// How many.
        length: usize,
    },
    /// A record that ends at `end`.
    Whole {
        /// What it keeps.
        entry: Entry,
        /// The offset behind it.
        end: usize,
    },
}

/// A walk over the records of a segment or a piece of one.
pub struct Walk<'a> {
    bytes: &'a [u8],
    /// Position of the first octet.
    base: u64,
    at: usize,
    /// Whether the octets go to the end of the segment: then one that is cut off is not merely unread.
    complete: bool,
    work: usize,
}

impl<'a> Walk<'a> {
    pub fn new(bytes: &'a [u8], base: u64, complete: bool) -> Self {
        Self { bytes, base, at: 0, complete, work: 0 }
    }

    /// How far the walk came: behind it there is nothing, or nothing whole.
    pub fn at(&self) -> usize {
        self.at
    }

    fn record(&mut self, at: usize) -> Result<(Entry, usize), Flaw> {
        decode(&self.bytes[at..], self.base + at as u64, &mut self.work)
    }
}

impl Iterator for Walk<'_> {
    type Item = Met;

    fn next(&mut self) -> Option<Met> {
        if self.at == self.bytes.len() {
            return None;
        }
        match self.record(self.at) {
            Ok((entry, length)) => {
                self.at += length;
                return Some(Met::Whole { entry, end: self.at });
            }
            Err(Flaw::Cut) if !self.complete => return None,
            Err(Flaw::Bad | Flaw::Cut) => {}
        }
        let limit = self.work + SEARCH_BYTES_MAX;
        for at in self.at + 1..self.bytes.len() {
            if self.record(at).is_ok() {
                let met = Met::Damage { offset: self.at, length: at - self.at };
                self.at = at;
                return Some(met);
            }
            if self.work > limit {
                break;
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use types::Rng;

    use super::*;

    fn entries(rng: &mut Rng, count: u64) -> Vec<Entry> {
        (0..count)
            .map(|key| Entry {
                slot: Slot(rng.below(256) as u8),
                kind: 1,
                key: u128::from(key),
                body: vec![rng.below(256) as u8; rng.below(200) as usize],
                last: rng.percent(20),
            })
            .collect()
    }

    #[test]
    fn records_round_trip_and_one_flipped_bit_costs_one_record() {
        let mut rng = Rng::from_number(1);
        let sent = entries(&mut rng, 20);
        let mut wire = Vec::new();
        for entry in &sent {
            encode(entry, Position(500 + wire.len() as u64), &mut wire);
        }
        for _ in 0..500 {
            let mut bad = wire.clone();
            let at = rng.below(bad.len() as u64) as usize;
            bad[at] ^= 1 << rng.below(8);
            let mut walk = Walk::new(&bad, 500, true);
            let met: Vec<_> = walk.by_ref().collect();
            let whole = met.iter().filter(|met| matches!(met, Met::Whole { .. })).count();
            assert_eq!(whole, 19, "bit in octet {at}");
            assert!(met.len() == 20 || walk.at() < bad.len());
        }
        assert_eq!(Walk::new(&wire, 501, true).count(), 0, "octets of another place");
    }

    #[test]
    fn hostile_octets_never_panic_and_nothing_is_invented() {
        let mut rng = Rng::from_number(2);
        for _ in 0..300 {
            let mut bytes = vec![0; rng.below(300) as usize];
            rng.fill(&mut bytes);
            bytes.iter_mut().for_each(|octet| *octet &= 0x1f);
            assert_eq!(Walk::new(&bytes, 0, rng.percent(50)).count(), 0);
            assert_eq!(Header::decode(&bytes), None);
        }
    }

    #[test]
    fn header_survives_a_flipped_bit() {
        let header = Header { writer: 3, sequence: 1 << 40, base: u64::MAX - 1 };
        let wire = header.encode();
        for bit in 0..wire.len() * 8 {
            let mut bad = wire.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&bad), Some(header));
        }
        assert_eq!(Header::parse_name(&Header::name(3, 77)), Some((3, 77)));
    }
}
