//! Which of our ports a new stream gets: none that a stranger could guess, none that is still warm.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::time::Duration;

use types::{Instant, Rng};

/// How long a port rests after use, so that nothing of the old stream meets a new one: not late packets, and not a phone that
/// never heard that its call is over. When all others are taken, the one that rested longest is used earlier: its
/// streams are strict on their sources.
pub const QUARANTINE: Duration = Duration::from_secs(120);

/// How long a port that could not be opened is left alone: another program has it.
pub const SPOILED: Duration = Duration::from_secs(600);

/// The even ports that one shard may give to streams; the odd one above each belongs to it.
#[derive(Debug)]
pub struct Ports {
    range: RangeInclusive<u16>,
    share: (u16, u16),
    free: Vec<u16>,
    /// For each port of the range: where it is. A place in `free`, or one of the two marks below.
    places: Vec<u32>,
    resting: VecDeque<(Instant, u16)>,
    spoiled: VecDeque<(Instant, u16)>,
    rng: Rng,
}

/// A port that a stream has.
const TAKEN: u32 = u32::MAX;
/// A port that rests.
const RESTING: u32 = u32::MAX - 1;

impl Ports {
    /// The part of `range` that belongs to shard `share.0` of `share.1`.
    pub fn new(range: RangeInclusive<u16>, share: (u16, u16), rng: Rng) -> Self {
        let span = usize::from(*range.end()).saturating_sub(usize::from(*range.start())) + 1;
        let mut ports = Self {
            range,
            share,
            free: Vec::new(),
            places: vec![TAKEN; span],
            resting: VecDeque::new(),
            spoiled: VecDeque::new(),
            rng,
        };
        for port in ports.range.clone() {
            if ports.owns(port) {
                ports.put(port);
            }
        }
        ports
    }

    /// A random free port, even. `None` when every one is in use.
    pub fn take(&mut self) -> Option<u16> {
        if self.free.is_empty() {
            let (_, port) = self.resting.pop_front()?;
            self.mark(port, TAKEN);
            return Some(port);
        }
        let place = self.rng.below(self.free.len() as u64) as usize;
        Some(self.pick(place))
    }

    /// Marks a port as taken, for a stream that survived a restart. Whether it was to be had.
    pub fn claim(&mut self, port: u16) -> bool {
        let place = self.place(port).filter(|place| *place != TAKEN && *place != RESTING);
        place.map(|place| self.pick(place as usize)).is_some()
    }

    /// A stream has ended; its port rests for [`QUARANTINE`]. A port that is not ours, or not
    /// taken, is ignored.
    pub fn give_back(&mut self, port: u16, now: Instant) {
        while let Some((_, rested)) = self.resting.pop_front_if(|(until, _)| *until <= now) {
            self.put(rested);
        }
        while let Some((_, spoiled)) = self.spoiled.pop_front_if(|(until, _)| *until <= now) {
            self.put(spoiled);
        }
        if self.owns(port) && self.place(port) == Some(TAKEN) {
            self.mark(port, RESTING);
            self.resting.push_back((now + QUARANTINE, port));
        }
    }

    /// A port that another program has: it comes again only after [`SPOILED`].
    pub fn spoil(&mut self, port: u16, now: Instant) {
        if self.owns(port) && self.place(port) == Some(TAKEN) {
            self.mark(port, RESTING);
            self.spoiled.push_back((now + SPOILED, port));
        }
    }

    fn place(&self, port: u16) -> Option<u32> {
        let index = port.checked_sub(*self.range.start())?;
        self.places.get(usize::from(index)).copied()
    }

    fn mark(&mut self, port: u16, place: u32) {
        let index = usize::from(port.saturating_sub(*self.range.start()));
        if let Some(known) = self.places.get_mut(index) {
            *known = place;
        }
    }

    fn put(&mut self, port: u16) {
        self.mark(port, self.free.len() as u32);
        self.free.push(port);
    }

    /// Takes out the free port at `place`; the last one moves there.
    fn pick(&mut self, place: usize) -> u16 {
        let port = self.free.swap_remove(place);
        if let Some(moved) = self.free.get(place).copied() {
            self.mark(moved, place as u32);
        }
        self.mark(port, TAKEN);
        port
    }

    /// How many more streams' sides could be served now.
    pub fn left(&self) -> usize {
        self.free.len() + self.resting.len() + self.spoiled.len()
    }

    fn owns(&self, port: u16) -> bool {
        let (index, count) = self.share;
        port != 0
            && port.is_multiple_of(2)
            && self.range.contains(&port)
            && port < *self.range.end()
            && (port / 2) % count.max(1) == index
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn shares_do_not_overlap_and_cover_the_range() {
        let mut seen = BTreeSet::new();
        for index in 0..3 {
            let mut ports = Ports::new(20_000..=20_999, (index, 3), Rng::from_number(1));
            while let Some(port) = ports.take() {
                assert!(port % 2 == 0 && seen.insert(port), "{port}");
            }
        }
        assert_eq!(seen.len(), 500);
        assert_eq!(Ports::new(7..=9, (0, 1), Rng::from_number(1)).left(), 1);
        assert_eq!(Ports::new(0..=8, (0, 1), Rng::from_number(1)).left(), 3);
        assert_eq!(Ports::new(65_534..=65_535, (0, 1), Rng::from_number(1)).left(), 1);
    }

    #[test]
    fn the_order_is_not_the_order_of_numbers() {
        let mut ports = Ports::new(20_000..=20_999, (0, 1), Rng::from_number(9));
        let taken: Vec<u16> = std::iter::from_fn(|| ports.take()).collect();
        let steps = taken.windows(2).filter(|pair| pair[1].abs_diff(pair[0]) == 2).count();
        assert!(steps < 10, "{steps}");
    }

    #[test]
    fn a_port_rests_before_it_comes_again() {
        let mut ports = Ports::new(100..=105, (0, 1), Rng::from_number(2));
        let first = ports.take().unwrap();
        ports.give_back(first, Instant::seconds(1));
        ports.give_back(first, Instant::seconds(1)); // Said twice: counted once.
        ports.give_back(21, Instant::seconds(1)); // Not ours.
        assert_eq!(ports.left(), 3);
        let others = [ports.take().unwrap(), ports.take().unwrap()];
        assert!(!others.contains(&first));
        assert_eq!(ports.take(), Some(first)); // Better warm than none.
        assert_eq!(ports.take(), None);
        ports.give_back(others[0], Instant::seconds(2));
        ports.give_back(others[1], Instant::seconds(121));
        assert!(ports.free.is_empty());
        ports.give_back(first, Instant::seconds(122));
        assert_eq!(ports.free, [others[0]]);
        assert!(ports.claim(others[0]) && !ports.claim(others[0]));
    }
}
