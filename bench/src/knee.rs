//! The knee: the highest offered rate at which a server still does what is asked.

use std::time::Duration;

use crate::tally::Tally;

/// Share of the offered units that must complete.
pub const GOODPUT_MIN: f64 = 0.98;
/// The set-up time that 99 of 100 units may take.
pub const P99_MAX: Duration = Duration::from_millis(100);
/// Share of its cores from which a server counts as saturated.
pub const BUSY_MAX: f64 = 0.98;
/// Rates closer than this are one.
const NEAR: f64 = 1.05;
/// How much more is offered as long as nothing fails.
const GROWTH: f64 = 1.5;
/// The highest rate that is ever offered.
const RATE_MAX: f64 = 100_000.0;

/// One step of load with the server's side of it.
#[derive(Clone, Debug)]
pub struct Step {
    /// Offered units a second.
    pub rate: f64,
    /// What the generator saw.
    pub tally: Tally,
    /// Processor time of the server.
    pub cpu: Duration,
    /// Share of its cores that it used.
    pub busy: f64,
}

impl Step {
    /// Whether the server did what was asked.
    pub fn passed(&self) -> bool {
        self.tally.goodput() >= GOODPUT_MIN
            && self.tally.quantile(99.0) <= P99_MAX
            && self.busy < BUSY_MAX
    }

    /// Processor seconds for a thousand completed units.
    pub fn cpu_per_thousand(&self) -> f64 {
        self.cpu.as_secs_f64() * 1_000.0 / (self.tally.completed.max(1) as f64)
    }
}

/// Raises the rate from below `capacity` (what a closed loop reached) until a step fails, then halves the gap. Gives the
/// best step that passed, `None` if none did within `steps_max`. A step that fails is run once more before it counts:
/// one hiccup of the machine would otherwise bound the whole search, for whichever server it happened to.
pub fn search(
    capacity: f64,
    steps_max: usize,
    mut run: impl FnMut(f64) -> anyhow::Result<Step>,
) -> anyhow::Result<Option<Step>> {
    let (mut best, mut ceiling): (Option<Step>, Option<f64>) = (None, None);
    let mut rate = capacity * 0.7;
    for _ in 0..steps_max {
        let first = run(rate)?;
        let step = if first.passed() { first } else { run(rate)? };
        if step.passed() {
            best = Some(step);
        } else {
            ceiling = Some(rate);
        }
        let floor = best.as_ref().map(|step| step.rate);
        rate = match (floor, ceiling) {
            (Some(low), Some(high)) if high / low < NEAR => break,
            (Some(low), Some(high)) => (low * high).sqrt(),
            (Some(low), None) => (low * GROWTH).min(RATE_MAX),
            (None, _) => rate / 2.0,
        };
    }
    Ok(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(rate: f64, good: bool) -> Step {
        let tally =
            Tally { offered: 100, completed: if good { 100 } else { 50 }, ..Tally::default() };
        Step { rate, tally, cpu: Duration::ZERO, busy: 0.5 }
    }

    #[test]
    fn the_knee_is_found_from_either_side() {
        for capacity in [1_000.0, 9_000.0] {
            let mut steps = 0;
            let found = search(capacity, 14, |rate| {
                steps += 1;
                Ok(step(rate, rate < 3_000.0))
            });
            let rate = found.unwrap().unwrap().rate;
            assert!((2_800.0..3_000.0).contains(&rate), "{rate} after {steps}");
        }
    }

    #[test]
    fn one_hiccup_bounds_nothing() {
        let mut steps = 0;
        let found = search(1_000.0, 14, |rate| {
            steps += 1;
            Ok(step(rate, steps != 1 && rate < 3_000.0))
        });
        assert!(found.unwrap().unwrap().rate > 2_800.0);
    }

    #[test]
    fn a_server_that_does_nothing_has_no_knee() {
        assert!(search(100.0, 5, |rate| Ok(step(rate, false))).unwrap().is_none());
    }
}
