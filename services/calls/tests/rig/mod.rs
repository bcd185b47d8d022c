//! A shard with the room `calls` and a stand-in for the others, by script.
#![allow(dead_code)] // Each test file uses its part.

use std::net::SocketAddr;
use std::time::Duration;

use switchboard::directory::{Binding, Device, User};
use switchboard::{
    ApiRequest, Clock, Config, Effects, Input, Listener, Manifest, Notice, Output, Service, Shard,
};
use types::{Flow, Instant, Transport, UnixTime};

pub const ALICE: &str = "127.0.0.1:5071";
pub const BOB: &str = "127.0.0.1:5072";
pub const CAROL: &str = "127.0.0.1:5073";

/// Puts people, a binding and a device into the directory, and says what became of pushes, as other rooms would.
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
            effects.bind("bob", binding("bob", BOB));
            for name in ["dave", "eve"] {
                effects.put_user(User { name: name.into(), ..User::default() });
                for token in ["one", "two"] {
                    effects.put_device(name, device(&format!("{name}-{token}")));
                }
            }
        }
        if let Notice::WakeNeeded(wake) = notice {
            let invite = &wake.invite;
            let told = serde_json::json!({
                "prid": wake.device.target.prid,
                "call_id": invite.call_id,
                "token": invite.reply_token,
                "name": invite.caller_name,
            });
            effects.event("wake", "", &told);
            let (session, prid) = (wake.session, wake.device.target.prid.clone());
            let accepted = wake.user != "eve";
            effects.publish(Notice::WakeEnded {
                session,
                prid,
                accepted,
                why: "token gone".into(),
            });
        }
        if let Notice::WakeOver { why, .. } = notice {
            effects.event("over", "", &serde_json::json!(format!("{why:?}")));
        }
        if let Notice::UserGone { name } = notice {
            // The test's way to say: this token registered.
            let user = name.split('-').next().unwrap_or_default().to_owned();
            effects.bind(&user, woken(name));
        }
    }
}

fn device(token: &str) -> Device {
    Device { name: token.into(), kind: "phone".into(), target: target(token) }
}

fn target(token: &str) -> pns::Target {
    pns::Target {
        provider: pns::Provider::Fcm,
        prid: token.into(),
        prid_alert: None,
        param: "project".into(),
        p256dh: None,
        auth: None,
    }
}

fn binding(user: &str, address: &str) -> Binding {
    Binding {
        contact: format!("sip:{user}@{address}"),
        flow: Flow::udp(address.parse().unwrap()),
        path: String::new(),
        until: UnixTime::seconds(100_000),
        seen: UnixTime::seconds(1),
        q: 1_000,
        call_id: "r".into(),
        cseq: 1,
        instance: String::new(),
        user_agent: String::new(),
        push: None,
    }
}

/// Where the woken device of this token is.
fn woken(token: &str) -> Binding {
    let address = if token.ends_with("one") { BOB } else { CAROL };
    Binding { push: Some(target(token)), ..binding(token, address) }
}

pub struct Rig {
    shard: Shard,
    pub clock: Clock,
    sent: Vec<(SocketAddr, String)>,
    pub others: Vec<Output>,
}

impl Rig {
    pub fn new() -> Self {
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

    pub fn handle(&mut self, input: Input<'_>) {
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

    pub fn from(&mut self, who: &str, text: &str) {
        let text = text.replace('\n', "\r\n");
        let flow = Flow::udp(who.parse().unwrap());
        self.handle(Input::Message { flow, bytes: text.as_bytes() });
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

    /// What the stand-in heard of one kind since the last look.
    pub fn heard(&mut self, kind: &str) -> Vec<serde_json::Value> {
        let lines = self.others.iter().filter_map(|output| match output {
            Output::Event(line) if line.kind == kind => serde_json::from_str(&line.data).ok(),
            _ => None,
        });
        let found = lines.collect();
        self.others.retain(|output| !matches!(output, Output::Event(line) if line.kind == kind));
        found
    }

    /// The device with this token registers.
    pub fn registers(&mut self, token: &str) {
        let notice = Notice::UserGone { name: token.into() };
        self.handle(Input::Mail(switchboard::Mail::Notice(notice)));
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
        self.shard.gauges().iter().find(|(known, _)| *known == name).unwrap().1
    }

    pub fn api(&mut self, endpoint: u16, path: &str) -> (u16, serde_json::Value) {
        self.ask(endpoint, path, "", "")
    }

    pub fn ask(
        &mut self,
        endpoint: u16,
        path: &str,
        bearer: &str,
        body: &str,
    ) -> (u16, serde_json::Value) {
        self.handle(Input::Api(ApiRequest {
            id: 9,
            room: "calls".into(),
            endpoint,
            path: vec![path.into()],
            bearer: bearer.into(),
            body: body.as_bytes().to_vec(),
            ..ApiRequest::default()
        }));
        let place = self.others.iter().rposition(|output| matches!(output, Output::Api { .. }));
        let found = place.map(|place| self.others.remove(place)).and_then(|output| match output {
            Output::Api { response, .. } => Some(response),
            _ => None,
        });
        let response = found.expect("an answer");
        let body = serde_json::from_slice(&response.body).unwrap_or_default();
        (response.status, body)
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

pub fn answer(request: &str, status: &str, body: &str) -> String {
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

pub fn in_dialog(method: &str, response: &str, cseq: u32, branch: &str) -> String {
    let contact = header(response, "Contact");
    format!(
        "{method} {} SIP/2.0\nVia: SIP/2.0/UDP {ALICE};branch=z9hG4bK{branch}\nMax-Forwards: 70\n\
         From: {}\nTo: {}\nCall-ID: c1\nCSeq: {cseq} {method}\nContent-Length: 0\n\n",
        contact.trim_matches(['<', '>']),
        header(response, "From"),
        header(response, "To"),
    )
}
