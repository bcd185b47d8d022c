//! Sound put in order by its time: packets come late, twice, or not at all; the samples leave in
//! sequence.

use std::collections::VecDeque;

/// How far ahead of what was taken a packet may lie, in samples: ten seconds at 8 kHz. Beyond, the
/// sender began anew and the track follows it.
pub const AHEAD_MAX: usize = 80_000;

/// Received samples of one stream, by timestamp. Gaps are silence.
#[derive(Clone, Debug, Default)]
pub struct Track {
    /// The timestamp of the first sample held.
    start: Option<u32>,
    samples: VecDeque<i16>,
    late: u64,
}

impl Track {
    /// A track that has heard nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lays the samples of one packet at their time. What is older than the last sample taken is
    /// dropped.
    pub fn put(&mut self, timestamp: u32, pcm: &[i16]) {
        let start = *self.start.get_or_insert(timestamp);
        let ahead = timestamp.wrapping_sub(start) as i32;
        let (mut place, mut skip) = (0, 0);
        if ahead >= 0 {
            place = ahead as usize;
        } else {
            skip = ahead.unsigned_abs() as usize;
        }
        if place > AHEAD_MAX || skip > AHEAD_MAX {
            self.start = Some(timestamp.wrapping_sub(self.samples.len() as u32));
            (place, skip) = (self.samples.len(), 0);
        }
        if skip >= pcm.len() && !pcm.is_empty() {
            self.late += 1;
            return;
        }
        let pcm = pcm.get(skip..).unwrap_or_default();
        let room = (AHEAD_MAX * 2).saturating_sub(place);
        let pcm = pcm.get(..room).unwrap_or(pcm);
        let end = place + pcm.len();
        if end > self.samples.len() {
            self.samples.resize(end, 0);
        }
        for (held, heard) in self.samples.range_mut(place..end).zip(pcm) {
            *held = *heard;
        }
    }

    /// Samples that are there.
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Whether nothing is there.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// Packets that came after their time was taken.
    pub const fn late(&self) -> u64 {
        self.late
    }

    /// Takes the oldest samples but leaves the newest `kept` to wait for latecomers.
    pub fn take(&mut self, kept: usize) -> Vec<i16> {
        let count = self.samples.len().saturating_sub(kept);
        self.start = self.start.map(|start| start.wrapping_add(count as u32));
        self.samples.drain(..count).collect()
    }
}

#[cfg(test)]
mod tests {
    use types::Rng;

    use super::*;

    #[test]
    fn packets_in_any_order_give_the_same_sound() {
        let mut rng = Rng::from_number(5);
        let sound: Vec<i16> = (0..1600).map(|n| n as i16).collect();
        for start in [0u32, u32::MAX - 700] {
            let mut order: Vec<usize> = (1..10).collect();
            for place in (1..order.len()).rev() {
                order.swap(place, rng.below(place as u64 + 1) as usize);
            }
            let mut track = Track::new();
            for packet in [0].into_iter().chain(order) {
                let at = start.wrapping_add(packet as u32 * 160);
                track.put(at, &sound[packet * 160..][..160]);
            }
            assert_eq!(track.take(0), sound);
        }
    }

    #[test]
    fn gaps_are_silence_and_latecomers_are_dropped() {
        let mut track = Track::new();
        track.put(1000, &[1; 4]);
        track.put(1008, &[3; 4]);
        assert_eq!(track.take(4), [1, 1, 1, 1, 0, 0, 0, 0]);
        track.put(1004, &[2; 4]);
        track.put(1006, &[2; 4]); // Half of it is still in time.
        assert_eq!(track.take(0), [2, 2, 3, 3]);
        assert_eq!(track.late(), 1);
    }

    #[test]
    fn a_jump_follows_the_sender_and_never_grows_without_end() {
        let mut track = Track::new();
        let mut rng = Rng::from_number(6);
        for _ in 0..2000 {
            track.put(rng.next_u64() as u32, &[7; 160]);
            if track.len() > AHEAD_MAX {
                track.take(0);
            }
            assert!(track.len() <= AHEAD_MAX * 2 + 160);
        }
        track.put(1, &vec![1; AHEAD_MAX * 3]);
        assert!(track.len() <= AHEAD_MAX * 2);
    }
}
