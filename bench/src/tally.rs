//! What one step of load gave.

use std::collections::BTreeMap;
use std::time::Duration;

/// Counts and times of one step.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Units (calls, registrations) begun.
    pub offered: u64,
    /// Units that ended as they should.
    pub completed: u64,
    /// Final answers that were not wanted, by status.
    pub refused: BTreeMap<u16, u64>,
    /// Units that got no answer in time.
    pub lost: u64,
    /// Messages that we had to send again.
    pub retransmitted: u64,
    /// Messages that the server sent us again.
    pub repeated: u64,
    /// Messages that break the protocol: wrong branch, no tag, no body, a stranger's call.
    pub wrong: u64,
    /// The first such, for the report.
    pub wrong_first: Option<String>,
    /// Time from the request to its 200, in microseconds, unsorted.
    pub setup: Vec<u32>,
    /// From the first unit to the end of the last, without the wait for lost ones.
    pub span: Duration,
    /// Processor time of the generator.
    pub own: Duration,
}

/// The time, of these in microseconds, that `percent` of them did not exceed; none of nothing.
pub fn quantile(times: &[u32], percent: f64) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    let micros = sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default();
    Duration::from_micros(micros.into())
}

/// The middle one.
pub fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied()
}

impl Tally {
    /// Notes a message that breaks the protocol.
    pub fn note_wrong(&mut self, why: &str, bytes: &[u8]) {
        self.wrong += 1;
        if self.wrong_first.is_none() {
            let head = bytes.get(..bytes.len().min(400)).unwrap_or_default();
            self.wrong_first = Some(format!("{why}: {}", String::from_utf8_lossy(head)));
        }
    }

    /// Completed units of those offered.
    pub fn goodput(&self) -> f64 {
        if self.offered == 0 { 0.0 } else { self.completed as f64 / self.offered as f64 }
    }

    /// Completed units a second.
    pub fn per_second(&self) -> f64 {
        self.completed as f64 / self.span.as_secs_f64().max(1e-6)
    }

    /// The time that `percent` of the units did not exceed.
    pub fn quantile(&self, percent: f64) -> Duration {
        quantile(&self.setup, percent)
    }

    /// All units that failed in any way.
    pub fn failed(&self) -> u64 {
        self.lost + self.refused.values().sum::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_ranks() {
        let tally = Tally { setup: (1..=100).rev().collect(), ..Tally::default() };
        assert_eq!(tally.quantile(50.0), Duration::from_micros(50));
        assert_eq!(tally.quantile(99.0), Duration::from_micros(99));
        assert_eq!(Tally::default().quantile(99.0), Duration::ZERO);
    }
}
