//! The network between phones and server: datagrams are late, lost, doubled and out of order.

use std::time::Duration;

use types::Rng;

/// What a link does to datagrams.
#[derive(Clone, Copy, Debug)]
pub struct Network {
    /// Datagrams in a hundred that are lost, each way.
    pub lost: u8,
    /// Datagrams in a hundred that come twice.
    pub doubled: u8,
    /// Shortest way.
    pub delay_min: Duration,
    /// What is added to it at most; datagrams overtake each other within it.
    pub jitter: Duration,
    /// Datagrams in a hundred that are late by up to [`LATE_MAX`].
    pub late: u8,
}

/// How late a straggler may be.
pub const LATE_MAX: Duration = Duration::from_millis(1_500);

/// Datagrams of one way that are lost in a row, at most: a request that is repeated as its RFC says gets through.
pub const LOST_MAX: u8 = 3;

impl Network {
    /// Nothing is lost, all come in order.
    pub const PERFECT: Self = Self {
        lost: 0,
        doubled: 0,
        delay_min: Duration::from_millis(1),
        jitter: Duration::ZERO,
        late: 0,
    };

    /// The network of one seed.
    pub fn of(rng: &mut Rng) -> Self {
        let pick = |rng: &mut Rng, from: &[u8]| from[rng.below(from.len() as u64) as usize];
        Self {
            lost: pick(rng, &[0, 0, 1, 2, 5, 5, 10, 20]),
            doubled: pick(rng, &[0, 0, 1, 5, 30]),
            delay_min: Duration::from_millis(1 + rng.below(60)),
            jitter: Duration::from_millis(rng.below(80)),
            late: pick(rng, &[0, 0, 1, 5, 30]),
        }
    }

    /// When the copies of one datagram arrive, counted from now. `lost`: how many before it on this way were lost in
    /// a row.
    pub fn fate(&self, lost: &mut u8, rng: &mut Rng) -> Vec<Duration> {
        let copies = 1 + u8::from(rng.percent(self.doubled));
        let mut ways = Vec::with_capacity(2);
        for _ in 0..copies {
            if rng.percent(self.lost) && *lost < LOST_MAX {
                continue;
            }
            let jitter = rng.below(self.jitter.as_micros() as u64 + 1);
            let late =
                if rng.percent(self.late) { rng.below(LATE_MAX.as_micros() as u64) } else { 0 };
            ways.push(self.delay_min + Duration::from_micros(jitter + late));
        }
        *lost = if ways.is_empty() { *lost + 1 } else { 0 };
        ways
    }
}
