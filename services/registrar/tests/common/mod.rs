//! Drives one room in a shard of its own: inputs go in, outputs and notices are looked at. The clock is virtual.
#![allow(dead_code, reason = "each room uses a part of it")]

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use switchboard::store::{Batch, Query, Row, StoreFault};
use switchboard::{
    ApiRequest, ApiResponse, Clock, Config, Effects, Input, Listener, Mail, Manifest, Notice,
    Output, Reply, Service, Shard, Ticket,
};
use types::{Flow, Instant, Transport, UnixTime};

/// The second at which every test begins.
pub const START: u64 = 1_800_000_000;

/// Tells the test what rooms hear, and knows the users that tests make.
struct Witness(Sender<Notice>);

impl Service for Witness {
    fn manifest(&self) -> &'static Manifest {
        static MANIFEST: Manifest = Manifest { name: "witness", ..Manifest::EMPTY };
        &MANIFEST
    }

    fn on_notice(&mut self, notice: &Notice, effects: &mut Effects<'_>) {
        if let Notice::UserChanged(user) = notice {
            effects.put_user((**user).clone());
        }
        let _ = self.0.send(notice.clone());
    }
}

pub struct House {
    pub shard: Shard,
    pub clock: Clock,
    manifest: &'static Manifest,
    notices: Receiver<Notice>,
}

/// What came out for one input.
#[derive(Debug, Default)]
pub struct Out {
    pub list: Vec<Output>,
    pub arena: Vec<u8>,
}

impl House {
    pub fn new(room: fn() -> Box<dyn Service>) -> Self {
        let (sender, notices) = channel();
        let open = move || vec![room(), Box::new(Witness(sender.clone())) as Box<dyn Service>];
        let shard = Shard::new(config(), Box::new(open));
        let clock = Clock { now: Instant::seconds(100), unix: UnixTime::seconds(START) };
        let mut house = Self { shard, clock, manifest: room().manifest(), notices };
        house.shard.outputs().clear();
        house
    }

    pub fn give(&mut self, input: Input<'_>) -> Out {
        self.shard.handle(input, self.clock);
        let outputs = self.shard.outputs();
        let out = Out { list: outputs.list.clone(), arena: outputs.arena.clone() };
        outputs.clear();
        for output in &out.list {
            assert!(!matches!(output, Output::Crashed { .. }), "{output:?}");
        }
        out
    }

    pub fn notice(&mut self, notice: Notice) -> Out {
        self.give(Input::Mail(Mail::Notice(notice)))
    }

    pub fn reply(&mut self, ticket: Ticket, reply: Reply) -> Out {
        self.give(Input::Reply { ticket, reply })
    }

    /// Notices since the last look.
    pub fn heard(&self) -> Vec<Notice> {
        self.notices.try_iter().collect()
    }

    /// Lets time pass and gives the ticks that fall due.
    pub fn pass(&mut self, span: Duration) -> Out {
        let end = self.clock.now + span;
        let mut out = Out::default();
        while let Some(at) = self.shard.deadline().filter(|at| *at <= end) {
            self.to(at.max(self.clock.now));
            let more = self.give(Input::Tick);
            out.list.extend(more.list);
        }
        self.to(end);
        out
    }

    fn to(&mut self, at: Instant) {
        self.clock.unix = self.clock.unix + at.since(self.clock.now);
        self.clock.now = at;
    }

    /// A request of the API; the path stands as in the manifest, its values in `path`.
    pub fn api(&mut self, row: &str, path: &[&str], body: &[u8]) -> Out {
        self.ask(row, path, &[], body)
    }

    pub fn ask(&mut self, row: &str, path: &[&str], query: &[(&str, &str)], body: &[u8]) -> Out {
        let place = self
            .manifest
            .endpoints
            .iter()
            .position(|known| format!("{} {}", known.method, known.path) == row)
            .expect("the row is in the manifest");
        self.give(Input::Api(ApiRequest {
            id: 7,
            room: self.manifest.name.into(),
            endpoint: place as u16,
            path: path.iter().map(|text| (*text).to_owned()).collect(),
            query: query.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect(),
            content_type: "application/json".into(),
            bearer: String::new(),
            body: body.to_vec(),
        }))
    }
}

impl Out {
    pub fn writes(&self) -> Vec<(Ticket, &Batch)> {
        let found = self.list.iter().filter_map(|output| match output {
            Output::Write { ticket, batch } => Some((*ticket, batch)),
            _ => None,
        });
        found.collect()
    }

    pub fn loads(&self) -> Vec<(Ticket, &Query)> {
        let found = self.list.iter().filter_map(|output| match output {
            Output::Load { ticket, query } => Some((*ticket, query)),
            _ => None,
        });
        found.collect()
    }

    /// SIP messages that left, as text.
    pub fn sent(&self) -> Vec<String> {
        let found = self.list.iter().filter_map(|output| match output {
            Output::Send { range, .. } => {
                Some(String::from_utf8_lossy(&self.arena[range.clone()]).into_owned())
            }
            _ => None,
        });
        found.collect()
    }

    /// Kinds and data of the event lines.
    pub fn events(&self) -> Vec<(String, serde_json::Value)> {
        let found = self.list.iter().filter_map(|output| match output {
            Output::Event(line) => {
                Some((line.kind.clone(), serde_json::from_str(&line.data).unwrap()))
            }
            _ => None,
        });
        found.collect()
    }

    /// The one answer of the API.
    #[track_caller]
    pub fn answer(&self) -> (&ApiResponse, serde_json::Value) {
        let found: Vec<_> = self
            .list
            .iter()
            .filter_map(|output| match output {
                Output::Api { response, .. } => Some(response),
                _ => None,
            })
            .collect();
        assert_eq!(found.len(), 1, "{:?}", self.list);
        (found[0], serde_json::from_slice(&found[0].body).unwrap_or_default())
    }
}

pub const UNREACHABLE: StoreFault = StoreFault::Unreachable;

pub fn written() -> Reply {
    Reply::Written(Ok(()))
}

pub fn rows(rows: Vec<Row>) -> Reply {
    Reply::Rows(Ok(rows))
}

pub fn phone(port: u16) -> Flow {
    Flow::udp(([192, 0, 2, 7], port).into())
}

fn config() -> Config {
    Config {
        index: 0,
        shards: 1,
        seed: [1; 32],
        secret: [2; 32],
        domain: "example.org".into(),
        hosts: vec!["198.51.100.1:5060".into()],
        listeners: vec![
            Listener { transport: Transport::Udp, sent_by: "198.51.100.1:5060".into() },
            Listener { transport: Transport::Tcp, sent_by: "198.51.100.1:5060".into() },
        ],
        require_auth: true,
        digest: vec![sip::digest::Algorithm::Sha256, sip::digest::Algorithm::Md5],
        media_address: [198, 51, 100, 1].into(),
        media_ports: 20_000..=20_099,
        public: "http://example.org".into(),
        ladder_memory: 1 << 20,
        push_wait: Duration::from_secs(20),
        timers: sip::transaction::Timers::default(),
    }
}
