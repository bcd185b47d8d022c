//! A shard and the virtual clock by which it lives.

use std::time::Duration;

use sip::digest::Algorithm;
use switchboard::{Clock, Config, Input, Listener, Output, Reply, Service, Shard, Ticket};
use types::{Instant, Transport, UnixTime};

use crate::Out;

/// The second at which every test begins.
pub const START: u64 = 1_800_000_000;

/// One shard with its rooms.
pub struct House {
    /// For a look inside: counters, gauges, deadlines.
    pub shard: Shard,
    /// What the next input gets as now.
    pub clock: Clock,
    /// Rooms that panicked, in a test that lets them.
    pub crashes: Option<Vec<String>>,
    /// What the flight recorder had of each.
    pub reports: Vec<Vec<u8>>,
}

/// A shard that has the house to itself, at 198.51.100.1.
pub fn config() -> Config {
    let us = "198.51.100.1:5060";
    let listener = |transport| Listener { transport, sent_by: us.into() };
    Config {
        index: 0,
        shards: 1,
        seed: [1; 32],
        secret: [2; 32],
        domain: "example.org".into(),
        hosts: vec![us.into()],
        listeners: vec![listener(Transport::Udp), listener(Transport::Tcp)],
        require_auth: true,
        digest: vec![Algorithm::Sha256, Algorithm::Md5],
        media_address: [198, 51, 100, 1].into(),
        media_ports: 20_000..=20_099,
        public: "http://example.org".into(),
        ladder_memory: 1 << 20,
        push_wait: Duration::from_secs(20),
        timers: sip::transaction::Timers::default(),
    }
}

impl House {
    /// A house at `START` that was not begun yet.
    pub fn new(
        config: Config,
        open: impl FnMut() -> Vec<Box<dyn Service>> + Send + 'static,
    ) -> Self {
        let shard = Shard::new(config, Box::new(open));
        let clock = Clock { now: Instant::seconds(100), unix: UnixTime::seconds(START) };
        let mut house = Self { shard, clock, crashes: None, reports: Vec::new() };
        house.shard.outputs().clear();
        house
    }

    /// One input, and what it brought.
    pub fn give(&mut self, input: Input<'_>) -> Out {
        self.shard.handle(input, self.clock);
        let outputs = self.shard.outputs();
        let out = Out::take(outputs);
        outputs.clear();
        for output in &out.list {
            let Output::Crashed { room, why, report, .. } = output else { continue };
            self.reports.push(report.clone());
            match &mut self.crashes {
                Some(crashes) => crashes.push((*room).to_owned()),
                None => panic!("{room} crashed: {why}"),
            }
        }
        out
    }

    /// The answer to a ticket.
    pub fn reply(&mut self, ticket: Ticket, reply: Reply) -> Out {
        self.give(Input::Reply { ticket, reply })
    }

    /// Lets time pass and gives the ticks that fall due.
    pub fn pass(&mut self, span: Duration) -> Out {
        let end = self.clock.now + span;
        let mut out = Out::default();
        while self.advance(end) {
            out.add(self.give(Input::Tick));
        }
        out
    }

    /// Sets the clock to the next deadline up to `end`, or else to `end`. Returns: whether a tick is due.
    pub fn advance(&mut self, end: Instant) -> bool {
        let due = self.shard.deadline().filter(|at| *at <= end);
        let at = due.unwrap_or(end).max(self.clock.now);
        self.clock.unix = self.clock.unix + at.since(self.clock.now);
        self.clock.now = at;
        due.is_some()
    }

    /// The gauge of this name.
    #[track_caller]
    pub fn gauge(&self, name: &str) -> u64 {
        let gauges = self.shard.gauges();
        let found = gauges.iter().find(|(known, _)| *known == name);
        found.unwrap_or_else(|| panic!("no gauge {name}")).1
    }

    /// How often this counter counted.
    pub fn counted(&self, name: &str) -> u64 {
        self.shard.counters().get(name).copied().unwrap_or(0)
    }
}
