//! Many seeds, one after the other, and what came of them.

use std::collections::BTreeMap;

use crate::cover::Coverage;
use crate::plan;

/// What came of one seed.
#[derive(Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// What did not hold.
    pub violations: Vec<String>,
    /// Calls placed.
    pub calls: u64,
    /// Users.
    pub users: u64,
    /// Kills and power cuts.
    pub kills: u64,
    /// Pushes that providers were asked for.
    pub pushes: u64,
    /// Events of the world.
    pub events: u64,
    /// Final answers, by status.
    pub answers: BTreeMap<u16, u64>,
    /// Answers of the reply address, by status.
    pub replies: BTreeMap<u16, u64>,
    /// Calls that a person ended because of the silence, and streams whose port was in use.
    pub oddities: [u64; 2],
    /// Pairs of state and event that were met.
    pub coverage: Coverage,
}

/// Runs one seed.
pub fn run(seed: u64, trace: bool) -> Report {
    let world = plan::run(seed, trace);
    Report {
        seed,
        calls: world.checks.calls,
        users: world.checks.users().len() as u64,
        kills: world.checks.kills,
        pushes: world.providers.asked,
        events: world.events,
        oddities: [world.checks.forgotten, world.checks.port_conflicts],
        answers: world.checks.answers.clone(),
        replies: world.checks.replies.clone(),
        violations: world.checks.violations,
        coverage: world.coverage,
    }
}

/// The report of a world that fell apart.
pub fn panicked(seed: u64, why: &str) -> Report {
    Report {
        seed,
        violations: vec![format!("panic outside of a room: {why}")],
        calls: 0,
        users: 0,
        kills: 0,
        pushes: 0,
        events: 0,
        oddities: [0; 2],
        answers: BTreeMap::new(),
        replies: BTreeMap::new(),
        coverage: Coverage::default(),
    }
}

/// The line that runs one seed again and tells its story.
pub fn again(seed: u64) -> String {
    format!("cargo run -p sim -- seeds --from {seed} --count 1 --trace")
}

/// All reports together.
#[derive(Debug, Default)]
pub struct Summary {
    /// Seeds that ran.
    pub seeds: u64,
    /// Seeds in which something did not hold, with what it was.
    pub failed: Vec<(u64, Vec<String>)>,
    /// Pairs of state and event that were met.
    pub coverage: Coverage,
    calls: u64,
    users: u64,
    kills: u64,
    pushes: u64,
    events: u64,
    answers: BTreeMap<u16, u64>,
    replies: BTreeMap<u16, u64>,
    oddities: [u64; 2],
    calls_min: Option<u64>,
    users_min: Option<u64>,
}

impl Summary {
    /// Adds one report.
    pub fn add(&mut self, report: Report) {
        self.seeds += 1;
        self.calls += report.calls;
        self.users += report.users;
        self.kills += report.kills;
        self.pushes += report.pushes;
        self.events += report.events;
        for (sum, more) in self.oddities.iter_mut().zip(report.oddities) {
            *sum += more;
        }
        let least = |known: Option<u64>, new| Some(known.map_or(new, |known| known.min(new)));
        self.calls_min = least(self.calls_min, report.calls);
        self.users_min = least(self.users_min, report.users);
        for (status, count) in report.answers {
            *self.answers.entry(status).or_default() += count;
        }
        for (status, count) in report.replies {
            *self.replies.entry(status).or_default() += count;
        }
        self.coverage.add(&report.coverage);
        if !report.violations.is_empty() {
            self.failed.push((report.seed, report.violations));
        }
    }

    /// Fewest users and fewest calls of a seed.
    pub fn least(&self) -> (u64, u64) {
        (self.users_min.unwrap_or(0), self.calls_min.unwrap_or(0))
    }

    /// The words for people.
    pub fn lines(&self, with_coverage: bool) -> Vec<String> {
        let mut lines = Vec::new();
        if with_coverage {
            lines.push("state × event pairs of legs that were met:".into());
            lines.extend(self.coverage.lines().into_iter().map(|line| format!("  {line}")));
        }
        for (seed, violations) in &self.failed {
            lines.push(format!("seed {seed} failed; to see it: {}", again(*seed)));
            lines.extend(violations.iter().map(|what| format!("  {what}")));
        }
        let by_status = |counts: &BTreeMap<u16, u64>| {
            let parts: Vec<String> =
                counts.iter().map(|(status, count)| format!("{status}: {count}")).collect();
            parts.join(", ")
        };
        lines.push(format!("final answers: {}", by_status(&self.answers)));
        lines.push(format!("answers of the reply address: {}", by_status(&self.replies)));
        let [silent, ports] = self.oddities;
        lines.push(format!(
            "{silent} calls lost their BYE in a kill, {ports} streams found their port in use"
        ));
        lines.push(format!(
            "{} seeds, {} failed: {} users (at least {} each), {} calls (at least {} each), {} kills, \
             {} pushes, {} pairs of state and event, {} events",
            self.seeds,
            self.failed.len(),
            self.users,
            self.users_min.unwrap_or(0),
            self.calls,
            self.calls_min.unwrap_or(0),
            self.kills,
            self.pushes,
            self.coverage.len(),
            self.events,
        ));
        lines
    }
}
