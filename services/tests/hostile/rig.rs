//! A whole shard with all rooms, by script: SIP text in and out, virtual time, a store that answers at once.

use std::net::SocketAddr;
use std::time::Duration;

use sip::digest::{Algorithm, Challenge, Login, Password, Target, answer};
use switchboard::directory::Verifier;
use switchboard::store::{Query, Row, Value};
use switchboard::{
    ApiRequest, ApiResponse, Clock, Config, Input, Listener, Output, Reply, Service, Shard, Ticket,
};
use types::{Flow, Instant, Transport, UnixTime};

pub const ALICE: &str = "10.0.0.1:5060";
pub const BOB: &str = "10.0.0.2:5060";
pub const CAROL: &str = "10.0.0.3:5060";
pub const MALLORY: &str = "10.0.0.66:5060";
pub const US: &str = "10.0.0.100:5060";
pub const USERS: [&str; 4] = ["alice", "bob", "carol", "dave"];

pub struct Rig {
    pub shard: Shard,
    pub clock: Clock,
    pub sent: Vec<(SocketAddr, String)>,
    pub others: Vec<Output>,
    /// Every message that was said, when it is there.
    pub record: Option<Vec<(String, Vec<u8>)>>,
    /// Rooms that panicked, when they may.
    pub crashes: Option<Vec<String>>,
    crowd: usize,
    ports: u64,
    number: u32,
}

pub fn config(require_auth: bool, digest: Vec<Algorithm>) -> Config {
    Config {
        index: 0,
        shards: 1,
        seed: [1; 32],
        secret: [2; 32],
        domain: "localhost".into(),
        hosts: vec![US.into(), "10.0.0.100".into()],
        listeners: vec![Listener { transport: Transport::Udp, sent_by: US.into() }],
        require_auth,
        digest,
        media_address: "10.0.0.100".parse().unwrap(),
        media_ports: 20_000..=20_999,
        public: "http://10.0.0.100:8088".into(),
        push_wait: Duration::from_secs(20),
        ladder_memory: 1 << 20,
        timers: sip::transaction::Timers::default(),
    }
}

impl Rig {
    pub fn new(require_auth: bool) -> Self {
        Self::with(config(require_auth, vec![Algorithm::Sha256, Algorithm::Md5]))
    }

    pub fn with(config: Config) -> Self {
        Self::of(config, || services::open(&services::Config::default()))
    }

    pub fn of(config: Config, open: fn() -> Vec<Box<dyn Service>>) -> Self {
        Self::filled(config, open, 0)
    }

    /// With this many more users.
    pub fn crowd(config: Config, crowd: usize) -> Self {
        Self::filled(config, || services::open(&services::Config::default()), crowd)
    }

    fn filled(config: Config, open: fn() -> Vec<Box<dyn Service>>, crowd: usize) -> Self {
        let clock = Clock { now: Instant::seconds(1), unix: UnixTime::seconds(1_800_000_000) };
        let shard = Shard::new(config, Box::new(open));
        let (record, crashes) = (None, None);
        let (sent, others) = (Vec::new(), Vec::new());
        let mut rig =
            Self { shard, clock, sent, others, record, crashes, crowd, ports: 0, number: 0 };
        rig.ports = rig.gauge("ports_left");
        rig.handle(Input::Begin);
        assert!(rig.gauge("users") >= USERS.len() as u64);
        rig.sent.clear();
        rig.others.clear();
        rig
    }

    pub fn handle(&mut self, input: Input<'_>) {
        self.shard.handle(input, self.clock);
        let mut replies = self.collect();
        while let Some((ticket, reply)) = replies.pop() {
            self.shard.handle(Input::Reply { ticket, reply }, self.clock);
            replies.extend(self.collect());
        }
    }

    /// Outputs of the last input; gives what the store says to them.
    fn collect(&mut self) -> Vec<(Ticket, Reply)> {
        let mut replies = Vec::new();
        let outputs = self.shard.outputs();
        for output in outputs.list.drain(..) {
            match output {
                Output::Send { flow, range, .. } => {
                    let text = String::from_utf8_lossy(&outputs.arena[range]).into_owned();
                    self.sent.push((flow.remote, text));
                }
                Output::Load { ticket, query } => {
                    let users = query.sql.contains("people_users");
                    let rows = if users { page(&query, self.crowd) } else { vec![] };
                    replies.push((ticket, Reply::Rows(Ok(rows))));
                }
                Output::Write { ticket, .. } => replies.push((ticket, Reply::Written(Ok(())))),
                Output::Crashed { room, why, .. } => match &mut self.crashes {
                    Some(crashes) => crashes.push(room.to_owned()),
                    None => panic!("{room} crashed: {why}"),
                },
                other => self.others.push(other),
            }
        }
        outputs.clear();
        replies
    }

    /// One message from there; gives what went back to there.
    pub fn say(&mut self, who: &str, text: &str) -> Vec<String> {
        self.bytes(who, crlf(text).as_bytes());
        self.seen(who)
    }

    /// The first status that a message gets.
    pub fn status(&mut self, who: &str, text: &str) -> u16 {
        self.say(who, text).first().map_or(0, |answer| status(answer))
    }

    pub fn bytes(&mut self, who: &str, bytes: &[u8]) {
        let flow = Flow::udp(who.parse().unwrap());
        if let Some(record) = &mut self.record {
            record.push((who.to_owned(), bytes.to_vec()));
        }
        self.handle(Input::Message { flow, bytes });
    }

    /// Virtual time goes on, deadline by deadline.
    pub fn wait(&mut self, span: Duration) {
        let end = self.clock.now + span;
        while let Some(at) = self.shard.deadline().filter(|at| *at <= end) {
            self.to(at.max(self.clock.now));
            self.handle(Input::Tick);
        }
        self.to(end);
    }

    fn to(&mut self, at: Instant) {
        self.clock.unix = self.clock.unix + at.since(self.clock.now);
        self.clock.now = at;
    }

    /// The messages to one peer since the last look.
    pub fn seen(&mut self, who: &str) -> Vec<String> {
        let who: SocketAddr = who.parse().unwrap();
        let (found, rest) =
            std::mem::take(&mut self.sent).into_iter().partition(|sent| sent.0 == who);
        self.sent = rest;
        let found: Vec<_> = found;
        found.into_iter().map(|(_, text)| text).collect()
    }

    /// The message to one peer that begins so, since the last look.
    #[track_caller]
    pub fn one(&mut self, who: &str, begin: &str) -> String {
        let seen = self.seen(who);
        let found = seen.iter().find(|text| text.starts_with(begin));
        found.unwrap_or_else(|| panic!("no {begin} to {who} in {seen:#?}")).clone()
    }

    pub fn gauge(&self, name: &str) -> u64 {
        self.shard.gauges().iter().find(|(known, _)| *known == name).unwrap().1
    }

    pub fn counted(&self, name: &str) -> u64 {
        self.shard.counters().get(name).copied().unwrap_or(0)
    }

    /// Five minutes later nothing of it is left.
    #[track_caller]
    pub fn is_clean(&mut self) {
        self.wait(Duration::from_secs(300));
        for name in ["client_transactions", "legs", "server_transactions", "sessions"] {
            assert_eq!(self.gauge(name), 0, "{name} are left");
        }
        assert!(self.gauge("timers") <= 1, "{} timers are left", self.gauge("timers"));
        assert_eq!(self.gauge("ports_left"), self.ports, "ports are left");
        self.sent.clear();
        self.others.clear();
    }

    pub fn next(&mut self) -> u32 {
        self.number += 1;
        self.number
    }

    /// A proof for a request, from the challenge in this answer.
    pub fn proof(
        &self,
        challenge: &str,
        user: &str,
        word: &str,
        method: &str,
        uri: &str,
    ) -> String {
        let value = header(challenge, "WWW-Authenticate");
        let challenge = Challenge::decode(value.as_bytes()).unwrap();
        let login = Login {
            user: user.as_bytes(),
            password: Password::Text(word.as_bytes()),
            realm: Some(b"localhost"),
        };
        let target = Target { method: method.as_bytes(), uri: uri.as_bytes() };
        let proof = answer(&challenge, &login, target, b"cnonce", 1).unwrap();
        format!("Authorization: {}\n", String::from_utf8(proof).unwrap())
    }

    /// Sends a request of this user until it is let in. Gives the answers to the last one.
    pub fn proved(&mut self, who: &str, user: &str, ask: &Ask) -> Vec<String> {
        let refused = self.say(who, &ask.text());
        if !refused.first().is_some_and(|text| text.starts_with("SIP/2.0 401")) {
            return refused;
        }
        let proof = self.proof(&refused[0], user, &word(user), &ask.method, &ask.uri);
        let branch = format!("{}p", ask.branch);
        let again = Ask { cseq: ask.cseq + 1, branch, ..ask.clone() }.with(&proof);
        self.say(who, &again.text())
    }

    pub fn register(&mut self, user: &str, who: &str) {
        let number = self.next();
        let ask = Ask::new("REGISTER", user, who, number)
            .to(user)
            .at("sip:localhost")
            .with(&format!("Contact: <sip:{user}@{who}>\n"));
        let answers = self.proved(who, user, &ask);
        assert!(answers[0].starts_with("SIP/2.0 200"), "{answers:?}");
    }

    /// Alice, Bob and Carol are here.
    pub fn all_register(&mut self) {
        for (user, who) in [("alice", ALICE), ("bob", BOB), ("carol", CAROL)] {
            self.register(user, who);
        }
    }

    pub fn api(&mut self, room: &str, endpoint: u16, path: &[&str]) -> u16 {
        self.handle(Input::Api(ApiRequest {
            id: 9,
            room: room.into(),
            endpoint,
            path: path.iter().map(|part| (*part).to_owned()).collect(),
            ..ApiRequest::default()
        }));
        self.answer().status
    }

    /// Every call is ended over the API.
    pub fn end_all_calls(&mut self) {
        assert_eq!(self.api("calls", 0, &[]), 200);
        let list: serde_json::Value = serde_json::from_str(&self.last_api()).unwrap();
        for call in list["items"].as_array().unwrap() {
            assert_eq!(self.api("calls", 2, &[call["id"].as_str().unwrap()]), 204);
        }
    }

    /// The body of the last answer of the API.
    pub fn last_api(&self) -> String {
        String::from_utf8_lossy(&self.answer().body).into_owned()
    }

    fn answer(&self) -> &ApiResponse {
        let mut answers = self.others.iter().filter_map(|output| match output {
            Output::Api { response, .. } => Some(response),
            _ => None,
        });
        answers.next_back().expect("an answer")
    }
}

/// The users behind the name that the question gives, by name.
fn page(query: &Query, crowd: usize) -> Vec<Row> {
    let [Value::Text(after), Value::Int(most)] = query.values.as_slice() else {
        panic!("{query:?}")
    };
    let row = |name: String| -> Row {
        let verifiers = Verifier::all(&name, "localhost", &word(&name));
        vec![
            Value::Text(name),
            Value::Text(String::new()),
            Value::Text(String::new()),
            Value::Text(serde_json::to_string(&verifiers).unwrap()),
            Value::Null,
            Value::Null,
        ]
    };
    let names = USERS.iter().map(|name| (*name).to_owned()).chain((0..crowd).map(crowd_name));
    names.filter(|name| name > after).take(*most as usize).map(row).collect()
}

/// The name of one of the crowd; behind all others in the order of names.
pub fn crowd_name(number: usize) -> String {
    format!("user{number:06}")
}

/// The password of a user.
pub fn word(user: &str) -> String {
    format!("secret of {user}")
}

/// Breaks lines as SIP does, and counts the body.
pub fn crlf(text: &str) -> String {
    let text = text.replace('\n', "\r\n");
    let length = text.split_once("\r\n\r\n").map_or(0, |(_, body)| body.len());
    text.replace("LENGTH", &length.to_string())
}

pub fn status(answer: &str) -> u16 {
    answer.strip_prefix("SIP/2.0 ").and_then(|rest| rest.get(..3)?.parse().ok()).unwrap_or(0)
}

#[track_caller]
pub fn header<'a>(message: &'a str, name: &str) -> &'a str {
    message
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        .unwrap_or_else(|| panic!("no {name} in {message}"))
}

pub fn body(message: &str) -> &str {
    message.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

pub fn sdp(who: &str, port: u16) -> String {
    let ip = who.split(':').next().unwrap();
    format!("v=0\no=- 1 1 IN IP4 {ip}\ns=-\nc=IN IP4 {ip}\nt=0 0\nm=audio {port} RTP/AVP 0\n")
}

/// A request outside of a dialog, to be.
#[derive(Clone)]
pub struct Ask {
    pub method: String,
    pub uri: String,
    pub via: String,
    pub branch: String,
    pub from: String,
    pub to: String,
    pub call_id: String,
    pub cseq: u32,
    pub lines: String,
    pub body: String,
}

impl Ask {
    /// From this user at this address, to the domain.
    pub fn new(method: &str, user: &str, who: &str, number: u32) -> Self {
        Self {
            method: method.into(),
            uri: "sip:localhost".into(),
            via: format!("SIP/2.0/UDP {who}"),
            branch: format!("z9hG4bK{number}"),
            from: format!("<sip:{user}@localhost>;tag=f{number}"),
            to: "<sip:localhost>".into(),
            call_id: format!("c{number}"),
            cseq: 1,
            lines: String::new(),
            body: String::new(),
        }
    }

    pub fn to(mut self, user: &str) -> Self {
        self.uri = format!("sip:{user}@localhost");
        self.to = format!("<sip:{user}@localhost>");
        self
    }

    pub fn at(mut self, uri: &str) -> Self {
        self.uri = uri.into();
        self
    }

    pub fn with(mut self, lines: &str) -> Self {
        self.lines.push_str(lines);
        self
    }

    pub fn body(mut self, kind: &str, body: &str) -> Self {
        self.lines.push_str(&format!("Content-Type: {kind}\n"));
        self.body = body.into();
        self
    }

    pub fn text(&self) -> String {
        let Self { method, uri, via, branch, from, to, call_id, cseq, lines, body } = self;
        let hops = if lines.contains("Max-Forwards") { "" } else { "Max-Forwards: 70\n" };
        format!(
            "{method} {uri} SIP/2.0\nVia: {via};branch={branch}\n{hops}From: {from}\nTo: {to}\n\
             Call-ID: {call_id}\nCSeq: {cseq} {method}\n{lines}Content-Length: LENGTH\n\n{body}"
        )
    }
}

/// An INVITE of Alice.
pub fn invite(user: &str, number: u32) -> Ask {
    Ask::new("INVITE", "alice", ALICE, number)
        .to(user)
        .with(&format!("Contact: <sip:alice@{ALICE}>\n"))
        .body("application/sdp", &sdp(ALICE, 4_000))
}

/// An answer of Bob (or whoever `who` is) to a request.
pub fn reply(request: &str, code: &str, who: &str, body: &str) -> String {
    let mut out = format!("SIP/2.0 {code}\n");
    for name in ["Via", "From", "Call-ID", "CSeq"] {
        out.push_str(&format!("{name}: {}\n", header(request, name)));
    }
    let to = header(request, "To");
    let tag = if to.contains("tag=") { String::new() } else { format!(";tag=t{}", &who[7..8]) };
    out.push_str(&format!("To: {to}{tag}\nContact: <sip:x@{who}>\n"));
    if !body.is_empty() {
        out.push_str("Content-Type: application/sdp\n");
    }
    out.push_str(&format!("Content-Length: LENGTH\n\n{body}"));
    out
}

/// A call of Alice to Bob: what names it on both sides.
#[derive(Clone)]
pub struct Talk {
    /// The INVITE that Bob got.
    pub invite: String,
    /// The answer that Alice got.
    pub ok: String,
    pub number: u32,
}

impl Talk {
    /// A request of Alice in the dialog.
    pub fn alice(&self, method: &str, cseq: u32, branch: &str, lines: &str, body: &str) -> String {
        let uri = header(&self.ok, "Contact").trim_matches(['<', '>']);
        let (from, to) = (header(&self.ok, "From"), header(&self.ok, "To"));
        let id = header(&self.ok, "Call-ID");
        within(method, uri, ALICE, branch, (from, to, id), cseq, lines, body)
    }

    /// A request of Bob in the dialog.
    pub fn bob(&self, method: &str, cseq: u32, branch: &str, lines: &str, body: &str) -> String {
        let uri = header(&self.invite, "Contact").trim_matches(['<', '>']);
        let from = format!("{};tag=t2", header(&self.invite, "To"));
        let id = header(&self.invite, "Call-ID");
        within(
            method,
            uri,
            BOB,
            branch,
            (&from, header(&self.invite, "From"), id),
            cseq,
            lines,
            body,
        )
    }

    pub fn ack(&self) -> String {
        let cseq = header(&self.ok, "CSeq").split(' ').next().unwrap().parse().unwrap();
        self.alice("ACK", cseq, &format!("ack{}", self.number), "", "")
    }
}

#[expect(clippy::too_many_arguments, reason = "the parts of a request")]
fn within(
    method: &str,
    uri: &str,
    who: &str,
    branch: &str,
    (from, to, id): (&str, &str, &str),
    cseq: u32,
    lines: &str,
    body: &str,
) -> String {
    let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\n" };
    format!(
        "{method} {uri} SIP/2.0\nVia: SIP/2.0/UDP {who};branch=z9hG4bK{branch}\nMax-Forwards: 70\n\
         From: {from}\nTo: {to}\nCall-ID: {id}\nCSeq: {cseq} {method}\n{lines}{kind}\
         Content-Length: LENGTH\n\n{body}"
    )
}

impl Rig {
    /// Alice calls; Bob's phone rings. Gives the INVITE that it got.
    #[track_caller]
    pub fn ring(&mut self) -> (u32, String) {
        let number = self.next();
        let answers = self.proved(ALICE, "alice", &invite("bob", number));
        assert_eq!(status(&answers[0]), 100, "{answers:?}");
        (number, self.one(BOB, "INVITE"))
    }

    /// Alice and Bob talk, all acknowledged.
    #[track_caller]
    pub fn talk(&mut self) -> Talk {
        let (number, invite) = self.ring();
        self.say(BOB, &reply(&invite, "180 Ringing", BOB, ""));
        let acks = self.say(BOB, &reply(&invite, "200 OK", BOB, &sdp(BOB, 5_000)));
        assert!(acks[0].starts_with("ACK "), "{acks:?}");
        let ok = self.one(ALICE, "SIP/2.0 200");
        let talk = Talk { invite, ok, number };
        assert!(self.say(ALICE, &talk.ack()).is_empty());
        talk
    }

    /// Whether the call still stands: a re-INVITE goes through, and then the BYE.
    #[track_caller]
    pub fn still_talks(&mut self, talk: &Talk, cseq: u32) {
        self.seen(BOB);
        let branch = format!("still{cseq}");
        self.say(ALICE, &talk.alice("INVITE", cseq, &branch, "", &sdp(ALICE, 4_000)));
        let change = self.one(BOB, "INVITE");
        self.say(BOB, &reply(&change, "200 OK", BOB, &sdp(BOB, 5_000)));
        self.one(ALICE, "SIP/2.0 200");
        self.say(ALICE, &talk.alice("ACK", cseq, &format!("{branch}a"), "", ""));
        self.hangs_up(talk, cseq + 1);
    }

    #[track_caller]
    pub fn hangs_up(&mut self, talk: &Talk, cseq: u32) {
        let branch = format!("bye{}x{cseq}", talk.number);
        let answers = self.say(ALICE, &talk.alice("BYE", cseq, &branch, "", ""));
        assert!(answers.iter().any(|answer| status(answer) == 200), "{answers:?}");
        let bye = self.one(BOB, "BYE");
        self.say(BOB, &reply(&bye, "200 OK", BOB, ""));
        self.is_clean();
    }
}
