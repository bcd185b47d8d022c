//! A shard, or several, and the virtual clock by which they live.

use std::time::Duration;

use sip::digest::Algorithm;
use switchboard::{
    Clock, Config, Input, Keys, Listener, Output, Reply, Service, Shard, Ticket, locate,
};
use types::{Instant, Transport, UnixTime};

use crate::Out;

/// The second at which every test begins.
pub const START: u64 = 1_800_000_000;

/// One shard with its rooms, or several.
pub struct House {
    /// For a look inside: counters, gauges, deadlines. The first, where there are several.
    pub shard: Shard,
    more: Vec<Shard>,
    keys: Keys,
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
        shared_port: None,
        amr: Default::default(),
        door: Some(switchboard::Door {
            address: ([192, 0, 2, 1], 21_000).into(),
            fingerprint: [0xab; 32],
            streams: true,
        }),
        public: "http://example.org".into(),
        ladder_memory: 1 << 20,
        push_wait: Duration::from_secs(20),
        apps: switchboard::Apps {
            sid: format!("AC{}", "0".repeat(32)),
            token: types::Secret::new("12345".to_owned()),
        },
        timers: sip::transaction::Timers::default(),
    }
}

impl House {
    /// A house at `START` that was not begun yet.
    pub fn new(
        config: Config,
        open: impl FnMut() -> Vec<Box<dyn Service>> + Send + 'static,
    ) -> Self {
        let keys = Keys::new(config.secret);
        Self::built(vec![Shard::new(config, Box::new(open))], keys)
    }

    /// The same with several shards.
    pub fn several(
        count: usize,
        config: &Config,
        open: impl FnMut() -> Vec<Box<dyn Service>> + Clone + Send + 'static,
    ) -> Self {
        let shard = |index: usize| {
            let seed = [1 + index as u8; 32];
            let config = Config { index, shards: count, seed, ..config.clone() };
            Shard::new(config, Box::new(open.clone()))
        };
        Self::built((0..count).map(shard).collect(), Keys::new(config.secret))
    }

    fn built(mut shards: Vec<Shard>, keys: Keys) -> Self {
        for shard in &mut shards {
            shard.outputs().clear();
        }
        let clock = Clock { now: Instant::seconds(100), unix: UnixTime::seconds(START) };
        let shard = shards.remove(0);
        Self { shard, more: shards, keys, clock, crashes: None, reports: Vec::new() }
    }

    fn shards(&self) -> impl Iterator<Item = &Shard> {
        std::iter::once(&self.shard).chain(&self.more)
    }

    /// Which shards an input is for.
    pub fn whom(&self, input: &Input<'_>) -> std::ops::Range<usize> {
        let count = self.more.len() + 1;
        let one = match input {
            Input::Message { bytes, .. } => {
                locate(bytes, &self.keys).map_or(0, |slot| slot.shard(count))
            }
            Input::Adopt(entry) => entry.slot.shard(count),
            Input::Begin | Input::Drain | Input::Tick | Input::FlowClosed { .. } => {
                return 0..count;
            }
            _ => 0,
        };
        one..one + 1
    }

    /// One input for the only shard, and what it brought.
    pub fn give(&mut self, input: Input<'_>) -> Out {
        self.feed(0, input)
    }

    /// One input for one of the shards, and what it brought.
    pub fn feed(&mut self, shard: usize, input: Input<'_>) -> Out {
        let shard = match shard {
            0 => &mut self.shard,
            place => &mut self.more[place - 1],
        };
        shard.handle(input, self.clock);
        let outputs = shard.outputs();
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
        let due = self.shards().filter_map(Shard::deadline).min().filter(|at| *at <= end);
        let at = due.unwrap_or(end).max(self.clock.now);
        self.clock.unix = self.clock.unix + at.since(self.clock.now);
        self.clock.now = at;
        due.is_some()
    }

    /// The gauge of this name, over all shards.
    #[track_caller]
    pub fn gauge(&self, name: &str) -> u64 {
        let of = |shard: &Shard| {
            let gauges = shard.gauges();
            let found = gauges.iter().find(|(known, _)| *known == name);
            found.unwrap_or_else(|| panic!("no gauge {name}")).1
        };
        self.shards().map(of).sum()
    }

    /// How often this counter counted, over all shards.
    pub fn counted(&self, name: &str) -> u64 {
        self.shards().map(|shard| shard.counters().get(name).copied().unwrap_or(0)).sum()
    }
}
