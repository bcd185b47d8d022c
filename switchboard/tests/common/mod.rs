//! One shard with one room that a test scripts: doors are functions, what the room hears goes to a channel.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use switchboard::store::Entry;
use switchboard::{
    Clock, Config, Effects, Event, Input, Listener, Manifest, Output, Reply, Service, Session,
    Shard, Ticket,
};
use types::{Flow, Instant, SessionId, Transport, UnixTime};

#[allow(clippy::large_enum_variant, reason = "a handful in a test")]
/// What the room heard.
#[derive(Clone, Debug)]
pub enum Heard {
    Adopted(SessionId, Vec<u8>),
    Event(SessionId, Event),
    Reply(Ticket, Reply),
}

/// What the room does with a session that is offered.
pub type Offer = fn(&Session<'_>, &mut Effects<'_>) -> bool;
/// What the room does with an event of its session.
pub type OnEvent = fn(SessionId, &Event, &mut Effects<'_>);

struct Room {
    offer: Offer,
    on_event: OnEvent,
    heard: Sender<Heard>,
}

impl Service for Room {
    fn manifest(&self) -> &'static Manifest {
        static MANIFEST: Manifest = Manifest { name: "script", ..Manifest::EMPTY };
        &MANIFEST
    }

    fn offer(&mut self, session: &Session<'_>, effects: &mut Effects<'_>) -> bool {
        (self.offer)(session, effects)
    }

    fn on_event(&mut self, session: SessionId, event: Event, effects: &mut Effects<'_>) {
        let _ = self.heard.send(Heard::Event(session, event.clone()));
        (self.on_event)(session, &event, effects);
    }

    fn on_reply(&mut self, ticket: Ticket, reply: Reply, _effects: &mut Effects<'_>) {
        let _ = self.heard.send(Heard::Reply(ticket, reply));
    }

    fn adopt(&mut self, session: SessionId, state: &[u8], _effects: &mut Effects<'_>) {
        let _ = self.heard.send(Heard::Adopted(session, state.to_vec()));
    }
}

pub struct House {
    pub shard: Shard,
    pub clock: Clock,
    /// Entries of the keeper, by kind and key.
    pub log: Vec<Entry>,
    pub heard: Receiver<Heard>,
    /// What the pump was told and the test has not taken.
    pub media: Vec<media::Command>,
}

impl House {
    pub fn new(offer: Offer, on_event: OnEvent) -> Self {
        Self::with_log(offer, on_event, Vec::new(), 0)
    }

    /// A house that starts from a log, `later` seconds after the others.
    pub fn with_log(offer: Offer, on_event: OnEvent, log: Vec<Entry>, later: u64) -> Self {
        let (sender, heard) = channel();
        let open = move || {
            let heard = sender.clone();
            vec![Box::new(Room { offer, on_event, heard }) as Box<dyn Service>]
        };
        let shard = Shard::new(config(), Box::new(open));
        let now = Instant::seconds(100 + later);
        let clock = Clock { now, unix: UnixTime::seconds(1_800_000_000 + later) };
        let mut house = Self { shard, clock, log: Vec::new(), heard, media: Vec::new() };
        for entry in log {
            house.give(Input::Adopt(entry));
        }
        house.give(Input::Begin);
        house
    }

    /// Gives an input; SIP that left, as text.
    pub fn give(&mut self, input: Input<'_>) -> Vec<String> {
        self.shard.handle(input, self.clock);
        let outputs = self.shard.outputs();
        let mut sent = Vec::new();
        for output in &outputs.list {
            match output {
                Output::Crashed { why, .. } => panic!("{why}"),
                Output::Media(command) => self.media.push(command.clone()),
                Output::Save { entry, .. } => {
                    self.log.retain(|known| (known.kind, known.key) != (entry.kind, entry.key));
                    if !entry.last {
                        self.log.push(entry.clone());
                    }
                }
                Output::Send { range, .. } => {
                    sent.push(String::from_utf8(outputs.arena[range.clone()].to_vec()).unwrap());
                }
                _ => (),
            }
        }
        outputs.clear();
        sent
    }

    pub fn say(&mut self, text: &str) -> Vec<String> {
        self.give(Input::Message { flow: phone(), bytes: text.as_bytes() })
    }

    /// Answers a request that left.
    pub fn answer(&mut self, request: &str, status: &str, headers: &str) -> Vec<String> {
        self.say(&response(request, status, headers))
    }

    /// Lets time pass and gives the ticks that fall due.
    pub fn pass(&mut self, span: Duration) -> Vec<String> {
        let end = self.clock.now + span;
        let mut sent = Vec::new();
        while let Some(at) = self.shard.deadline().filter(|at| *at <= end) {
            self.to(at.max(self.clock.now));
            sent.extend(self.give(Input::Tick));
        }
        self.to(end);
        sent
    }

    pub fn seconds(&mut self, seconds: u64) -> Vec<String> {
        self.pass(Duration::from_secs(seconds))
    }

    fn to(&mut self, at: Instant) {
        self.clock.unix = self.clock.unix + at.since(self.clock.now);
        self.clock.now = at;
    }

    pub fn gauge(&self, name: &str) -> u64 {
        self.shard.gauges().iter().find(|(known, _)| *known == name).unwrap().1
    }

    pub fn events(&self) -> Vec<Event> {
        let events = self.heard.try_iter().filter_map(|heard| match heard {
            Heard::Event(_, event) => Some(event),
            Heard::Adopted(..) | Heard::Reply(..) => None,
        });
        events.collect()
    }

    pub fn replies(&self) -> Vec<Reply> {
        let replies = self.heard.try_iter().filter_map(|heard| match heard {
            Heard::Reply(_, reply) => Some(reply),
            Heard::Adopted(..) | Heard::Event(..) => None,
        });
        replies.collect()
    }
}

/// The value of a header line, or nothing.
pub fn header<'a>(message: &'a str, name: &str) -> &'a str {
    let mut lines = message.split("\r\n");
    let found = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    found.unwrap_or_default()
}

pub fn response(request: &str, status: &str, headers: &str) -> String {
    let line = |name| format!("{name}: {}\r\n", header(request, name));
    let to = header(request, "To");
    let tag = if to.contains("tag=") { "" } else { ";tag=theirs" };
    format!(
        "SIP/2.0 {status}\r\n{}{}To: {to}{tag}\r\n{}{}{headers}Content-Length: 0\r\n\r\n",
        line("Via"),
        line("From"),
        line("Call-ID"),
        line("CSeq"),
    )
}

pub fn phone() -> Flow {
    Flow::udp(([192, 0, 2, 7], 5060).into())
}

fn config() -> Config {
    Config {
        index: 0,
        shards: 1,
        seed: [1; 32],
        secret: [2; 32],
        domain: "example.org".into(),
        hosts: vec!["198.51.100.1:5060".into()],
        listeners: vec![Listener {
            transport: Transport::Udp,
            sent_by: "198.51.100.1:5060".into(),
        }],
        require_auth: false,
        digest: vec![sip::digest::Algorithm::Md5],
        media_address: [198, 51, 100, 1].into(),
        media_ports: 20_000..=20_099,
        shared_port: None,
        amr: sdp::AmrKnown::default(),
        door: None,
        public: "http://example.org".into(),
        ladder_memory: 1 << 20,
        push_wait: Duration::from_secs(20),
        apps: switchboard::Apps::default(),
        timers: sip::transaction::Timers::default(),
    }
}
