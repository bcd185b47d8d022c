//! Phones that call each other through one shard or several, by script: the room `calls`, and a stand-in for the
//! directory.
#![allow(dead_code)] // Each test file uses its part.

use std::net::SocketAddr;
use std::time::Duration;

use switchboard::directory::{Binding, User};
use switchboard::{
    Clock, Config, Effects, Input, Keys, Listener, Manifest, Notice, Output, Service, Shard, locate,
};
use types::{Flow, Instant, Transport, UnixTime};

pub const ALICE: &str = "127.0.0.1:5071";
pub const BOB: &str = "127.0.0.1:5072";
pub const CAROL: &str = "127.0.0.1:5073";
pub const FRANK: &str = "127.0.0.1:5074";

/// Puts people and their bindings into the directory, as other rooms would.
struct Seed;

static SEED: Manifest = Manifest { name: "seed", ..Manifest::EMPTY };

impl Service for Seed {
    fn manifest(&self) -> &'static Manifest {
        &SEED
    }

    fn on_notice(&mut self, notice: &Notice, effects: &mut Effects<'_>) {
        if matches!(notice, Notice::Started) {
            for name in ["alice", "bob", "carol", "frank"] {
                effects.put_user(User { name: name.into(), ..User::default() });
            }
            for (name, address) in [("bob", BOB), ("frank", FRANK)] {
                if effects.hosts(effects.home(name)) {
                    effects.bind(name, binding(name, address));
                }
            }
        }
    }
}

fn binding(user: &str, address: &str) -> Binding {
    Binding {
        contact: format!("sip:{user}@{address}"),
        flow: Flow::udp(address.parse().unwrap()),
        until: UnixTime::seconds(100_000),
        seen: UnixTime::seconds(1),
        call_id: "r".into(),
        cseq: 1,
        ..Binding::default()
    }
}

pub struct Rig {
    shards: Vec<Shard>,
    pub clock: Clock,
    sent: Vec<(SocketAddr, String)>,
    pub others: Vec<Output>,
}

impl Rig {
    pub fn new() -> Self {
        Self::of(1, calls::Config::default())
    }

    /// With this many shards, and these settings.
    pub fn of(count: usize, settings: calls::Config) -> Self {
        let config = |index: usize| Config {
            index,
            shards: count,
            seed: [1 + index as u8; 32],
            secret: [2; 32],
            domain: "localhost".into(),
            hosts: vec!["127.0.0.1:5060".into()],
            listeners: vec![Listener {
                transport: Transport::Udp,
                sent_by: "127.0.0.1:5060".into(),
            }],
            require_auth: false,
            digest: vec![sip::digest::Algorithm::Md5],
            media_address: "127.0.0.1".parse().unwrap(),
            media_ports: 20_000..=20_099,
            public: "http://127.0.0.1:8088".into(),
            push_wait: Duration::from_secs(20),
            ladder_memory: 1 << 20,
            timers: sip::transaction::Timers::default(),
        };
        let open = |settings: calls::Config| {
            Box::new(move || -> Vec<Box<dyn Service>> {
                vec![Box::new(Seed), Box::new(calls::Room::new(settings.clone()))]
            })
        };
        let clock = Clock { now: Instant::seconds(1), unix: UnixTime::seconds(1_000) };
        let shards =
            (0..count).map(|index| Shard::new(config(index), open(settings.clone()))).collect();
        let mut rig = Self { shards, clock, sent: Vec::new(), others: Vec::new() };
        rig.handle(Input::Begin);
        rig.sent.clear();
        rig.others.clear();
        rig
    }

    /// Gives an input to the shard that it is for; a beginning goes to all.
    pub fn handle(&mut self, input: Input<'_>) {
        let count = self.shards.len();
        let keys = Keys::new([2; 32]);
        match &input {
            Input::Message { bytes, .. } => {
                let shard = locate(bytes, &keys).map_or(0, |slot| slot.shard(count));
                self.feed(shard, input);
            }
            Input::Adopt(entry) => self.feed(entry.slot.shard(count), input),
            Input::Begin | Input::Tick => {
                for shard in 0..count {
                    self.feed(shard, input.clone());
                }
            }
            _ => self.feed(0, input),
        }
    }

    fn feed(&mut self, shard: usize, input: Input<'_>) {
        self.shards[shard].handle(input, self.clock);
        let outputs = self.shards[shard].outputs();
        let mut mails = Vec::new();
        for output in outputs.list.drain(..) {
            match output {
                Output::Send { flow, range, .. } => {
                    let text = String::from_utf8_lossy(&outputs.arena[range]).into_owned();
                    self.sent.push((flow.remote, text));
                }
                Output::Mail { shard, mail, .. } => mails.push((shard, mail)),
                other => self.others.push(other),
            }
        }
        outputs.clear();
        for (shard, mail) in mails {
            self.feed(shard, Input::Mail(mail));
        }
    }

    pub fn from(&mut self, who: &str, text: &str) {
        let text = text.replace('\n', "\r\n");
        let flow = Flow::udp(who.parse().unwrap());
        self.handle(Input::Message { flow, bytes: text.as_bytes() });
    }

    /// Virtual time goes on, deadline by deadline.
    pub fn wait(&mut self, span: Duration) {
        let end = self.clock.now + span;
        while let Some(at) = self.deadline().filter(|at| *at <= end) {
            self.to(at.max(self.clock.now));
            self.handle(Input::Tick);
        }
        self.to(end);
    }

    fn deadline(&self) -> Option<Instant> {
        self.shards.iter().filter_map(Shard::deadline).min()
    }

    fn to(&mut self, at: Instant) {
        self.clock.unix = self.clock.unix + at.since(self.clock.now);
        self.clock.now = at;
    }

    /// The messages to one peer since the last look.
    pub fn seen(&mut self, who: &str) -> Vec<String> {
        let who: SocketAddr = who.parse().unwrap();
        let found = self.sent.iter().filter(|(to, _)| *to == who).map(|(_, text)| text.clone());
        let found = found.collect();
        self.sent.retain(|(to, _)| *to != who);
        found
    }

    pub fn gauge(&self, name: &str) -> u64 {
        let of = |shard: &Shard| shard.gauges().into_iter().find(|(known, _)| *known == name);
        self.shards.iter().map(|shard| of(shard).unwrap().1).sum()
    }
}

pub fn header<'a>(message: &'a str, name: &str) -> &'a str {
    message
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        .unwrap_or_else(|| panic!("no {name} in {message}"))
}

pub fn sdp(port: u16) -> String {
    format!(
        "v=0\no=- 1 1 IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio {port} RTP/AVP 0\n"
    )
}

pub fn invite(user: &str) -> String {
    let body = sdp(4_000);
    // The body gets one more octet per line when its breaks become CRLF.
    let length = body.len() + body.matches('\n').count();
    format!(
        "INVITE sip:{user}@localhost SIP/2.0\nVia: SIP/2.0/UDP {ALICE};branch=z9hG4bKa1;rport\n\
         Max-Forwards: 70\nFrom: \"Alice\" <sip:alice@localhost>;tag=at\nTo: <sip:{user}@localhost>\n\
         Call-ID: c1\nCSeq: 1 INVITE\nContact: <sip:alice@{ALICE}>\n\
         Content-Type: application/sdp\nContent-Length: {length}\n\n{body}"
    )
}

/// The From value with its tag, as the other end of a dialog writes it in To.
#[derive(Clone, Debug)]
pub struct Phone {
    pub address: &'static str,
    pub user: &'static str,
    pub local: String,
    pub remote: String,
    pub call_id: String,
    pub target: String,
    pub cseq: u32,
}

impl Phone {
    /// The one who called, from the answer that he got.
    pub fn caller(user: &'static str, address: &'static str, answer: &str) -> Self {
        Self {
            address,
            user,
            local: header(answer, "From").into(),
            remote: header(answer, "To").into(),
            call_id: header(answer, "Call-ID").into(),
            target: header(answer, "Contact").trim_matches(['<', '>']).into(),
            cseq: 10,
        }
    }

    /// The one who was called, from the INVITE that he got and the tag that he gave.
    pub fn callee(user: &'static str, address: &'static str, invite: &str, tag: &str) -> Self {
        Self {
            address,
            user,
            local: format!("{};tag={tag}", header(invite, "To")),
            remote: header(invite, "From").into(),
            call_id: header(invite, "Call-ID").into(),
            target: header(invite, "Contact").trim_matches(['<', '>']).into(),
            cseq: 10,
        }
    }

    /// A request in the dialog; `more`: header lines, each with its end.
    pub fn request(&mut self, method: &str, more: &str, body: &str) -> String {
        self.cseq += 1;
        let cseq = if method == "ACK" { self.cseq - 1 } else { self.cseq };
        self.numbered(method, cseq, more, body)
    }

    pub fn numbered(&self, method: &str, cseq: u32, more: &str, body: &str) -> String {
        let Self { address, user, local, remote, call_id, target, .. } = self;
        let branch = format!("z9hG4bK{user}{method}{cseq}{}", call_id.len());
        with_body(
            &format!(
                "{method} {target} SIP/2.0\nVia: SIP/2.0/UDP {address};branch={branch};rport\n\
                 Max-Forwards: 70\nFrom: {local}\nTo: {remote}\nCall-ID: {call_id}\n\
                 CSeq: {cseq} {method}\nContact: <sip:{user}@{address}>\n{more}"
            ),
            body,
        )
    }
}

fn with_body(head: &str, body: &str) -> String {
    let kind = if body.is_empty() || head.contains("Content-Type") {
        ""
    } else {
        "Content-Type: application/sdp\n"
    };
    let length = body.len() + body.matches('\n').count();
    format!("{head}{kind}Content-Length: {length}\n\n{body}")
}

/// An INVITE with more header lines.
pub fn invite_with(user: &str, more: &str, body: &str) -> String {
    with_body(
        &format!(
            "INVITE sip:{user}@localhost SIP/2.0\nVia: SIP/2.0/UDP {ALICE};branch=z9hG4bKa1;rport\n\
             Max-Forwards: 70\nFrom: \"Alice\" <sip:alice@localhost>;tag=at\n\
             To: <sip:{user}@localhost>\nCall-ID: c1\nCSeq: 1 INVITE\n\
             Contact: <sip:alice@{ALICE}>\n{more}"
        ),
        body,
    )
}

/// An answer of a phone that gives this tag.
pub fn reply(request: &str, status: &str, tag: &str, more: &str, body: &str) -> String {
    let mut out = format!("SIP/2.0 {status}\n");
    for name in ["Via", "From", "Call-ID", "CSeq"] {
        out.push_str(&format!("{name}: {}\n", header(request, name)));
    }
    let to = header(request, "To");
    let tag = if to.contains("tag=") { String::new() } else { format!(";tag={tag}") };
    // A phone is reached where the request went.
    let uri = request.split(' ').nth(1).unwrap_or_default();
    out.push_str(&format!("To: {to}{tag}\nContact: <{uri}>\n{more}"));
    with_body(&out, body)
}

/// Alice and Bob talk, with more header lines in the INVITE and in its 200. Gives both phones, the INVITE that Bob
/// got and the 200 that Alice got.
pub fn talk_with(rig: &mut Rig, alice: &str, bob: &str) -> (Phone, Phone, String, String) {
    rig.from(ALICE, &invite_with("bob", alice, &sdp(4_000)));
    let at_bob = rig.one(BOB, "INVITE");
    rig.from(BOB, &reply(&at_bob, "200 OK", "bt", bob, &sdp(5_000)));
    rig.one(BOB, "ACK");
    let ok = rig.one(ALICE, "SIP/2.0 200");
    let a = Phone::caller("alice", ALICE, &ok);
    let b = Phone::callee("bob", BOB, &at_bob, "bt");
    rig.from(ALICE, &a.numbered("ACK", 1, "", ""));
    (a, b, at_bob, ok)
}

impl Rig {
    /// The message to one peer that begins so, since the last look.
    #[track_caller]
    pub fn one(&mut self, who: &str, begin: &str) -> String {
        let seen = self.seen(who);
        let found = seen.iter().find(|text| text.starts_with(begin));
        found.unwrap_or_else(|| panic!("no {begin} to {who} in {seen:#?}")).clone()
    }

    /// Nothing of a call is left.
    #[track_caller]
    pub fn is_clean(&mut self) {
        self.wait(Duration::from_secs(120));
        for name in ["sessions", "legs", "server_transactions", "client_transactions"] {
            assert_eq!(self.gauge(name), 0, "{name} are left");
        }
        assert_eq!(self.gauge("ports_left"), 50, "ports are left");
    }
}

/// Whether a message has this line.
pub fn has(message: &str, line: &str) -> bool {
    message.lines().any(|known| known == line)
}
