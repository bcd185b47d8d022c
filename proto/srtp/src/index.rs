//! Which packet this is in the life of its source: roll-overs are counted, repetitions found.
//!
//! Spec: RFC 3711 §3.3.1, §3.3.2

use crate::Refused;

/// How far behind the newest packet one may come and still be opened.
pub const WINDOW: u64 = 128;

/// Sources that one direction may have.
pub const SOURCES_MAX: usize = 64;

#[derive(Debug, Default)]
pub(crate) struct Sources(Vec<Source>);

#[derive(Debug)]
struct Source {
    id: u32,
    newest: u64,
    /// Bit n: the packet n before the newest was there.
    seen: u128,
}

impl Sources {
    /// Whether nothing was ever there.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The index of a packet, from the 16 bits of it that are sent.
    pub(crate) fn guess(&self, id: u32, sequence: u16) -> Result<u64, Refused> {
        let Some(source) = self.find(id) else {
            let room = self.0.len() < SOURCES_MAX;
            return if room { Ok(sequence.into()) } else { Err(Refused::TooManySources) };
        };
        let ahead = i64::from(sequence.wrapping_sub(source.newest as u16) as i16);
        let index = source.newest.checked_add_signed(ahead).ok_or(Refused::Replayed)?;
        if source.knows(index) { Err(Refused::Replayed) } else { Ok(index) }
    }

    /// Whether this index may still come.
    pub(crate) fn is_fresh(&self, id: u32, index: u64) -> Result<(), Refused> {
        match self.find(id) {
            Some(source) if source.knows(index) => Err(Refused::Replayed),
            None if self.0.len() >= SOURCES_MAX => Err(Refused::TooManySources),
            Some(_) | None => Ok(()),
        }
    }

    /// It was there.
    pub(crate) fn note(&mut self, id: u32, index: u64) -> Result<(), Refused> {
        let Some(source) = self.0.iter_mut().find(|source| source.id == id) else {
            if self.0.len() >= SOURCES_MAX {
                return Err(Refused::TooManySources);
            }
            self.0.push(Source { id, newest: index, seen: 1 });
            return Ok(());
        };
        if index > source.newest {
            let ahead = u32::try_from(index - source.newest).unwrap_or(u32::MAX);
            source.seen = source.seen.checked_shl(ahead).unwrap_or(0) | 1;
            source.newest = index;
        } else if source.newest - index < WINDOW {
            source.seen |= 1 << (source.newest - index);
        }
        Ok(())
    }

    fn find(&self, id: u32) -> Option<&Source> {
        self.0.iter().find(|source| source.id == id)
    }
}

impl Source {
    fn knows(&self, index: u64) -> bool {
        match self.newest.checked_sub(index) {
            Some(behind) => behind >= WINDOW || self.seen >> behind & 1 == 1,
            None => false,
        }
    }
}
