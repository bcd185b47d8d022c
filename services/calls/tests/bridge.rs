//! Calls through a shard, by script: SIP text in, SIP text out, virtual time.

use std::net::SocketAddr;
use std::time::Duration;

use switchboard::directory::{Binding, User};
use switchboard::{
    ApiRequest, Clock, Config, Effects, Input, Listener, Manifest, Notice, Output, Service, Shard,
};
use types::{Flow, Instant, Transport, UnixTime};

const ALICE: &str = "127.0.0.1:5071";
const BOB: &str = "127.0.0.1:5072";

/// Puts people and one binding into the directory, as other rooms would.
struct Seed;

static SEED: Manifest = Manifest { name: "seed", ..Manifest::EMPTY };

impl Service for Seed {
    fn manifest(&self) -> &'static Manifest {
        &SEED
    }

    fn on_notice(&mut self, notice: &Notice, effects: &mut Effects<'_>) {
        if matches!(notice, Notice::Started) {
            for name in ["alice", "bob", "carol"] {
                effects.put_user(User { name: name.into(), ..User::default() });
            }
            let binding = Binding {
                contact: format!("sip:bob@{BOB}"),
                flow: Flow::udp(BOB.parse().unwrap()),
                path: String::new(),
                until: UnixTime::seconds(100_000),
                seen: UnixTime::seconds(1),
                q: 1_000,
                call_id: "r".into(),
                cseq: 1,
                instance: String::new(),
                user_agent: String::new(),
                push: None,
            };
            effects.bind("bob", binding);
        }
    }
}

struct Rig {
    shard: Shard,
    clock: Clock,
    sent: Vec<(SocketAddr, String)>,
    others: Vec<Output>,
}

impl Rig {
    fn new() -> Self {
        let config = Config {
            index: 0,
            shards: 1,
            seed: [1; 32],
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
        let open = Box::new(|| -> Vec<Box<dyn Service>> {
            vec![Box::new(Seed), Box::new(calls::Room::new(calls::Config::default()))]
        });
        let clock = Clock { now: Instant::seconds(1), unix: UnixTime::seconds(1_000) };
        let shard = Shard::new(config, open);
        let mut rig = Self { shard, clock, sent: Vec::new(), others: Vec::new() };
        rig.handle(Input::Begin);
        rig.sent.clear();
        rig.others.clear();
        rig
    }

    fn handle(&mut self, input: Input<'_>) {
        self.shard.handle(input, self.clock);
        let outputs = self.shard.outputs();
        for output in outputs.list.drain(..) {
            match output {
                Output::Send { flow, range, .. } => {
                    let text = String::from_utf8_lossy(&outputs.arena[range]).into_owned();
                    self.sent.push((flow.remote, text));
                }
                other => self.others.push(other),
            }
        }
        outputs.clear();
    }

    fn from(&mut self, who: &str, text: &str) {
        let text = text.replace('\n', "\r\n");
        let flow = Flow::udp(who.parse().unwrap());
        self.handle(Input::Message { flow, bytes: text.as_bytes() });
    }

    /// Virtual time goes on, deadline by deadline.
    fn wait(&mut self, span: Duration) {
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
    fn seen(&mut self, who: &str) -> Vec<String> {
        let who: SocketAddr = who.parse().unwrap();
        let found = self.sent.iter().filter(|(to, _)| *to == who).map(|(_, text)| text.clone());
        let found = found.collect();
        self.sent.retain(|(to, _)| *to != who);
        found
    }

    fn gauge(&self, name: &str) -> u64 {
        self.shard.gauges().iter().find(|(known, _)| *known == name).unwrap().1
    }

    fn api(&mut self, endpoint: u16, path: &str) -> (u16, serde_json::Value) {
        self.handle(Input::Api(ApiRequest {
            id: 9,
            room: "calls".into(),
            endpoint,
            path: vec![path.into()],
            ..ApiRequest::default()
        }));
        let found = self.others.drain(..).rev().find_map(|output| match output {
            Output::Api { response, .. } => Some(response),
            _ => None,
        });
        let response = found.expect("an answer");
        let body = serde_json::from_slice(&response.body).unwrap_or_default();
        (response.status, body)
    }
}

fn header<'a>(message: &'a str, name: &str) -> &'a str {
    message
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        .unwrap_or_else(|| panic!("no {name} in {message}"))
}

fn sdp(port: u16) -> String {
    format!("v=0\no=- 1 1 IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio {port} RTP/AVP 0\n")
}

fn invite(user: &str) -> String {
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

fn answer(request: &str, status: &str, body: &str) -> String {
    let mut out = format!("SIP/2.0 {status}\n");
    for name in ["Via", "From", "Call-ID", "CSeq"] {
        out.push_str(&format!("{name}: {}\n", header(request, name)));
    }
    let to = header(request, "To");
    let tag = if to.contains("tag=") { "" } else { ";tag=bt" };
    out.push_str(&format!("To: {to}{tag}\nContact: <sip:bob@{BOB}>\n"));
    if !body.is_empty() {
        out.push_str("Content-Type: application/sdp\n");
    }
    let length = body.len() + body.matches('\n').count();
    out.push_str(&format!("Content-Length: {length}\n\n{body}"));
    out
}

fn in_dialog(method: &str, response: &str, cseq: u32, branch: &str) -> String {
    let contact = header(response, "Contact");
    format!(
        "{method} {} SIP/2.0\nVia: SIP/2.0/UDP {ALICE};branch=z9hG4bK{branch}\nMax-Forwards: 70\n\
         From: {}\nTo: {}\nCall-ID: c1\nCSeq: {cseq} {method}\nContent-Length: 0\n\n",
        contact.trim_matches(['<', '>']),
        header(response, "From"),
        header(response, "To"),
    )
}

/// Alice and Bob talk; gives the 200 that Alice got and the INVITE that Bob got.
fn talk(rig: &mut Rig) -> (String, String) {
    rig.from(ALICE, &invite("bob"));
    let to_bob = rig.seen(BOB);
    assert_eq!(to_bob.len(), 1, "{to_bob:?}");
    let at_bob = to_bob[0].clone();
    assert!(at_bob.starts_with(&format!("INVITE sip:bob@{BOB} SIP/2.0\r\n")), "{at_bob}");
    assert!(at_bob.contains("m=audio 20") && !at_bob.contains("m=audio 4000"), "{at_bob}");
    assert_eq!(header(&at_bob, "Max-Forwards"), "69");
    rig.from(BOB, &answer(&at_bob, "180 Ringing", ""));
    rig.from(BOB, &answer(&at_bob, "200 OK", &sdp(5_000)));
    let to_bob = rig.seen(BOB);
    assert!(to_bob[0].starts_with("ACK "), "{to_bob:?}");
    let to_alice = rig.seen(ALICE);
    let first_lines: Vec<_> = to_alice.iter().map(|text| text.lines().next().unwrap()).collect();
    assert_eq!(first_lines, ["SIP/2.0 100 Trying", "SIP/2.0 180 Ringing", "SIP/2.0 200 OK"]);
    let ok = to_alice[2].clone();
    rig.from(ALICE, &in_dialog("ACK", &ok, 1, "a2"));
    (ok, at_bob)
}

#[test]
fn a_call_is_two_legs_and_ends_with_either() {
    let mut rig = Rig::new();
    let (ok, _) = talk(&mut rig);
    assert!(ok.contains("m=audio 20"));
    let (_, calls) = rig.api(0, "");
    assert_eq!(calls["items"][0]["state"], "talking");
    let id = calls["items"][0]["id"].as_str().unwrap().to_owned();
    rig.from(ALICE, &in_dialog("BYE", &ok, 2, "a3"));
    assert!(rig.seen(ALICE)[0].starts_with("SIP/2.0 200 OK"));
    let to_bob = rig.seen(BOB);
    assert!(to_bob[0].starts_with("BYE "), "{to_bob:?}");
    rig.from(BOB, &answer(&to_bob[0], "200 OK", ""));
    let ended = rig.others.iter().any(|output| matches!(output, Output::Save { entry, .. } if entry.last));
    assert!(ended);
    rig.wait(Duration::from_secs(120));
    for name in ["sessions", "legs", "server_transactions", "client_transactions"] {
        assert_eq!(rig.gauge(name), 0, "{name}");
    }
    assert_eq!(rig.gauge("ports_left"), 50);
    let (status, ladder) = rig.api(3, &id);
    assert_eq!(status, 200);
    let text = ladder.to_string();
    for word in ["INVITE", "180 Ringing", "ACK", "BYE"] {
        assert!(text.contains(word), "{word}");
    }
}

#[test]
fn the_callee_may_hang_up() {
    let mut rig = Rig::new();
    let (ok, at_bob) = talk(&mut rig);
    let bye = format!(
        "BYE sip:127.0.0.1:5060 SIP/2.0\nVia: SIP/2.0/UDP {BOB};branch=z9hG4bKb1\nMax-Forwards: 70\n\
         From: <sip:bob@localhost>;tag=bt\nTo: {}\nCall-ID: {}\nCSeq: 1 BYE\nContent-Length: 0\n\n",
        header(&at_bob, "From"),
        header(&at_bob, "Call-ID"),
    );
    rig.from(BOB, &bye);
    assert!(rig.seen(BOB)[0].starts_with("SIP/2.0 200 OK"));
    let to_alice = rig.seen(ALICE);
    assert!(to_alice[0].starts_with(&format!("BYE sip:alice@{ALICE}")), "{to_alice:?}");
    assert!(header(&ok, "From").ends_with(header(&to_alice[0], "To")));
}

#[test]
fn a_cancelled_call_stops_ringing_everywhere() {
    let mut rig = Rig::new();
    rig.from(ALICE, &invite("bob"));
    let at_bob = rig.seen(BOB).remove(0);
    rig.from(BOB, &answer(&at_bob, "180 Ringing", ""));
    rig.seen(ALICE);
    let cancel = invite("bob").split("Contact").next().unwrap().replace("INVITE", "CANCEL");
    rig.from(ALICE, &format!("{cancel}Content-Length: 0\n\n"));
    let to_alice = rig.seen(ALICE);
    assert!(to_alice[0].starts_with("SIP/2.0 200 OK") && header(&to_alice[0], "CSeq").ends_with("CANCEL"));
    assert!(to_alice[1].starts_with("SIP/2.0 487"), "{to_alice:?}");
    let to_bob = rig.seen(BOB);
    assert!(to_bob[0].starts_with("CANCEL "), "{to_bob:?}");
    rig.from(BOB, &answer(&to_bob[0], "200 OK", ""));
    rig.from(BOB, &answer(&at_bob, "487 Request Terminated", ""));
    assert!(rig.seen(BOB)[0].starts_with("ACK "));
    rig.wait(Duration::from_secs(120));
    assert_eq!((rig.gauge("sessions"), rig.gauge("legs")), (0, 0));
}

#[test]
fn nobody_reachable_is_said_at_once_with_what_was_tried() {
    let mut rig = Rig::new();
    rig.from(ALICE, &invite("carol"));
    let to_alice = rig.seen(ALICE);
    assert!(to_alice[1].starts_with("SIP/2.0 480"), "{to_alice:?}");
    assert!(header(&to_alice[1], "Warning").contains("calls.nobody_reachable CAR-1303"));
    let record = rig.others.iter().find_map(|output| match output {
        Output::Save { entry, .. } if entry.last => Some(entry.key),
        _ => None,
    });
    let id = types::CallId(record.expect("a record")).to_string();
    let (_, ladder) = rig.api(3, &id);
    assert!(ladder["tried"][0].as_str().unwrap().contains("no device"), "{ladder}");
}

#[test]
fn an_unknown_user_is_404_and_a_foreign_domain_403() {
    let mut rig = Rig::new();
    rig.from(ALICE, &invite("nobody"));
    assert!(rig.seen(ALICE)[1].starts_with("SIP/2.0 404"));
    let foreign = invite("bob")
        .replace("INVITE sip:bob@localhost", "INVITE sip:bob@example.com")
        .replace("z9hG4bKa1", "z9hG4bKa9");
    rig.from(ALICE, &foreign);
    assert!(rig.seen(ALICE)[0].starts_with("SIP/2.0 403"));
    assert!(rig.seen(BOB).is_empty());
}

#[test]
fn a_killed_process_keeps_its_call() {
    let mut rig = Rig::new();
    let (ok, _) = talk(&mut rig);
    let entries: Vec<_> = rig
        .others
        .iter()
        .filter_map(|output| match output {
            Output::Save { entry, .. } => Some(entry.clone()),
            _ => None,
        })
        .collect();
    let mut next = Rig::new();
    next.handle(Input::Adopt(entries.last().unwrap().clone()));
    next.handle(Input::Begin);
    assert_eq!(next.gauge("legs"), 2);
    assert!(next.others.iter().any(|output| matches!(output, Output::Media(media::Command::Open { .. }))));
    next.from(ALICE, &in_dialog("BYE", &ok, 2, "a3"));
    assert!(next.seen(ALICE)[0].starts_with("SIP/2.0 200 OK"));
    assert!(next.seen(BOB)[0].starts_with("BYE "));
}
