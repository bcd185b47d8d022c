//! Places that are used again, each use with a number of its own so that a late word finds nothing.
//!
//! They come in chunks, so that a table that grows moves nothing, and one that a storm has filled gives its memory back.

/// Places of a chunk: one bit each in a word.
const CHUNK: usize = 64;

/// A place: its use number, and what is there.
type Place<T> = (u32, Option<T>);

/// Chunks of places.
#[derive(Debug)]
pub struct Slab<T> {
    chunks: Vec<Chunk<T>>,
    /// Chunks with a free place, the next one to take from last.
    open: Vec<u32>,
    /// The places of the chunk that became empty last: a table that goes up and down by one asks for nothing.
    spare: Option<Box<[Place<T>]>>,
    live: usize,
}

#[derive(Debug)]
struct Chunk<T> {
    /// A bit for each place that is taken.
    taken: u64,
    /// Nothing while none is taken.
    places: Box<[Place<T>]>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), open: Vec::new(), spare: None, live: 0 }
    }
}

/// Chunk, place in it and use, of one number.
fn split(id: u64) -> (usize, usize, u32) {
    let place = (id & 0xffff_ffff) as usize;
    (place / CHUNK, place % CHUNK, (id >> 32) as u32)
}

fn join(chunk: usize, place: usize, use_number: u32) -> u64 {
    u64::from(use_number) << 32 | (chunk * CHUNK + place) as u64
}

impl<T> Slab<T> {
    /// Where the next one goes.
    fn next(&self) -> (usize, usize) {
        let Some(chunk) = self.open.last() else { return (self.chunks.len(), 0) };
        let taken = self.chunks.get(*chunk as usize).map_or(0, |chunk| chunk.taken);
        (*chunk as usize, taken.trailing_ones() as usize)
    }

    /// The id that the next [`insert`](Self::insert) with this `use_number` will get: the caller may need it
    /// inside of what it inserts.
    pub fn reserve(&self, use_number: u32) -> u64 {
        let (chunk, place) = self.next();
        join(chunk, place, use_number)
    }

    /// Puts `value` where [`reserve`](Self::reserve) said.
    pub fn insert(&mut self, use_number: u32, value: T) -> u64 {
        let (number, place) = self.next();
        if number == self.chunks.len() {
            self.chunks.push(Chunk { taken: 0, places: Box::default() });
            self.open.push(number as u32);
        }
        if let Some(chunk) = self.chunks.get_mut(number) {
            if chunk.places.is_empty() {
                let fresh = || (0..CHUNK).map(|_| (0, None)).collect();
                chunk.places = self.spare.take().unwrap_or_else(fresh);
            }
            if let Some(free) = chunk.places.get_mut(place) {
                *free = (use_number, Some(value));
            }
            chunk.taken |= 1 << place;
            if chunk.taken == u64::MAX {
                self.open.pop();
            }
        }
        self.live += 1;
        join(number, place, use_number)
    }

    /// What has this id.
    pub fn get(&self, id: u64) -> Option<&T> {
        let (chunk, place, use_number) = split(id);
        let place = self.chunks.get(chunk)?.places.get(place)?;
        if place.0 == use_number { place.1.as_ref() } else { None }
    }

    /// What has this id, to change it.
    pub fn get_mut(&mut self, id: u64) -> Option<&mut T> {
        let (chunk, place, use_number) = split(id);
        let place = self.chunks.get_mut(chunk)?.places.get_mut(place)?;
        if place.0 == use_number { place.1.as_mut() } else { None }
    }

    /// Takes it out.
    pub fn remove(&mut self, id: u64) -> Option<T> {
        let (number, place, use_number) = split(id);
        let chunk = self.chunks.get_mut(number)?;
        let found = chunk.places.get_mut(place).filter(|(known, _)| *known == use_number)?;
        let value = found.1.take()?;
        if chunk.taken == u64::MAX {
            self.open.push(number as u32);
        }
        chunk.taken &= !(1 << place);
        if chunk.taken == 0 {
            self.spare = Some(std::mem::take(&mut chunk.places));
        }
        self.live -= 1;
        Some(value)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.live
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use types::Rng;

    use super::*;

    #[test]
    fn every_id_finds_its_own_and_an_old_one_finds_nothing() {
        let mut rng = Rng::from_number(64);
        let (mut slab, mut model) = (Slab::default(), BTreeMap::new());
        let mut gone = Vec::new();
        for turn in 0..20_000u32 {
            // The table grows to some thousands and shrinks again, twice.
            let grows = turn / 5_000 % 2 == 0;
            if rng.below(10) < if grows { 8 } else { 2 } {
                let id = slab.reserve(turn);
                assert_eq!(slab.insert(turn, turn), id);
                assert_eq!(model.insert(id, turn), None);
            } else if let Some(id) = model.keys().nth(rng.below(9) as usize).copied() {
                assert_eq!(slab.remove(id), model.remove(&id));
                gone.push(id);
            }
            assert_eq!(slab.len(), model.len());
        }
        for (id, value) in &model {
            assert_eq!(slab.get(*id), Some(value));
            assert_eq!(slab.get_mut(*id).copied(), Some(*value));
        }
        assert!(gone.iter().all(|id| slab.get(*id).is_none() && slab.remove(*id).is_none()));
    }

    #[test]
    fn what_a_storm_filled_is_given_back() {
        let mut slab = Slab::default();
        let ids: Vec<_> = (0..10_000).map(|n| slab.insert(n, n)).collect();
        for id in ids {
            assert!(slab.remove(id).is_some());
        }
        assert!(slab.chunks.iter().all(|chunk| chunk.places.is_empty()));
        let next = slab.reserve(1);
        assert_eq!((slab.len(), slab.insert(1, 1)), (0, next));
    }
}
