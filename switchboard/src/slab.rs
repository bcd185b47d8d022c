//! Places that are used again, each use with a number of its own so that a late word finds nothing.

/// A vector with free places.
#[derive(Debug)]
pub struct Slab<T> {
    places: Vec<(u32, Option<T>)>,
    free: Vec<u32>,
    live: usize,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { places: Vec::new(), free: Vec::new(), live: 0 }
    }
}

/// Place and use, in one number.
fn split(id: u64) -> (usize, u32) {
    ((id & 0xffff_ffff) as usize, (id >> 32) as u32)
}

impl<T> Slab<T> {
    /// The id that the next [`insert`](Self::insert) with this `use_number` will get: the caller may need it
    /// inside of what it inserts.
    pub fn reserve(&self, use_number: u32) -> u64 {
        let place = self.free.last().copied().unwrap_or(self.places.len() as u32);
        u64::from(use_number) << 32 | u64::from(place)
    }

    /// Puts `value` where [`reserve`](Self::reserve) said.
    pub fn insert(&mut self, use_number: u32, value: T) -> u64 {
        self.live += 1;
        let place = match self.free.pop() {
            Some(place) => {
                if let Some(free) = self.places.get_mut(place as usize) {
                    *free = (use_number, Some(value));
                }
                place
            }
            None => {
                self.places.push((use_number, Some(value)));
                (self.places.len() - 1) as u32
            }
        };
        u64::from(use_number) << 32 | u64::from(place)
    }

    /// What has this id.
    pub fn get(&self, id: u64) -> Option<&T> {
        let (place, use_number) = split(id);
        self.places.get(place).filter(|(number, _)| *number == use_number)?.1.as_ref()
    }

    /// What has this id, to change it.
    pub fn get_mut(&mut self, id: u64) -> Option<&mut T> {
        let (place, use_number) = split(id);
        self.places.get_mut(place).filter(|(number, _)| *number == use_number)?.1.as_mut()
    }

    /// Takes it out.
    pub fn remove(&mut self, id: u64) -> Option<T> {
        let (place, use_number) = split(id);
        let found = self.places.get_mut(place).filter(|(number, _)| *number == use_number)?;
        let value = found.1.take()?;
        self.free.push(place as u32);
        self.live -= 1;
        Some(value)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.live
    }
}
