//! A whole shard with all rooms, by script: SIP text in and out, virtual time, a store that answers at once.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

pub use driver::text::*;
use driver::{Database, House, Wire};
use sip::digest::{Algorithm, Challenge, Login, Password, Target, answer};
use switchboard::directory::Verifier;
use switchboard::store::{Query, Row, Value};
use switchboard::{ApiRequest, Config, Listener, Service};
use types::Transport;

pub const ALICE: &str = "10.0.0.1:5060";
pub const BOB: &str = "10.0.0.2:5060";
pub const CAROL: &str = "10.0.0.3:5060";
pub const MALLORY: &str = "10.0.0.66:5060";
pub const US: &str = "10.0.0.100:5060";
pub const USERS: [&str; 4] = ["alice", "bob", "carol", "dave"];

pub struct Rig {
    wire: Wire,
    ports: u64,
    /// Timers of a house in which nothing happens: those of its sweeps.
    timers: u64,
    number: u32,
    /// The body of the last answer of the API.
    pub last_api: String,
}

pub fn config(require_auth: bool, digest: Vec<Algorithm>) -> Config {
    Config {
        domain: "localhost".into(),
        hosts: vec![US.into(), "10.0.0.100".into()],
        listeners: vec![Listener { transport: Transport::Udp, sent_by: US.into() }],
        require_auth,
        digest,
        media_address: [10, 0, 0, 100].into(),
        media_ports: 20_000..=20_999,
        shared_port: None,
        amr: Default::default(),
        door: None,
        public: "http://10.0.0.100:8088".into(),
        ..driver::config()
    }
}

impl Deref for Rig {
    type Target = Wire;

    fn deref(&self) -> &Wire {
        &self.wire
    }
}

impl DerefMut for Rig {
    fn deref_mut(&mut self) -> &mut Wire {
        &mut self.wire
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

    /// With this many shards.
    pub fn sharded(count: usize) -> Self {
        let config = config(true, vec![Algorithm::Sha256, Algorithm::Md5]);
        let open: fn() -> _ = || services::open(&services::Config::default());
        Self::housed(House::several(count, &config, open), 0)
    }

    fn filled(config: Config, open: fn() -> Vec<Box<dyn Service>>, crowd: usize) -> Self {
        Self::housed(House::new(config, open), crowd)
    }

    fn housed(house: House, crowd: usize) -> Self {
        let store = move |query: &Query| {
            let users = query.sql.contains("people_users");
            if users { page(query, crowd) } else { vec![] }
        };
        let rig = Self::around(Wire::begin(house, store));
        assert!(rig.gauge("users") >= USERS.len() as u64);
        rig
    }

    /// On this database, where nobody may live yet; `later` than other houses.
    pub fn on(database: Box<dyn Database>, later: Duration) -> Self {
        let config = config(true, vec![Algorithm::Sha256, Algorithm::Md5]);
        let mut house = House::new(config, || services::open(&services::Config::default()));
        house.clock.now = house.clock.now + later;
        house.clock.unix = house.clock.unix + later;
        Self::around(Wire::on(house, database))
    }

    fn around(wire: Wire) -> Self {
        let (ports, timers) = (wire.gauge("ports_left"), wire.gauge("timers"));
        Self { wire, ports, timers, number: 0, last_api: String::new() }
    }

    /// Five minutes later nothing of it is left.
    #[track_caller]
    pub fn is_clean(&mut self) {
        self.wait(Duration::from_secs(300));
        for name in ["client_transactions", "legs", "server_transactions", "sessions"] {
            assert_eq!(self.gauge(name), 0, "{name} are left");
        }
        let timers = self.gauge("timers");
        assert!(timers <= self.timers, "{timers} timers are left, {} is usual", self.timers);
        assert_eq!(self.gauge("ports_left"), self.ports, "ports are left");
        self.forget();
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
        let response = self.wire.api(ApiRequest {
            id: 9,
            room: room.into(),
            endpoint,
            path: path.iter().map(|part| (*part).to_owned()).collect(),
            ..ApiRequest::default()
        });
        self.last_api = String::from_utf8_lossy(&response.body).into_owned();
        response.status
    }

    /// The first endpoint of a room with this method.
    pub fn endpoint(&self, room: &str, method: &str) -> u16 {
        let manifests = services::open(&services::Config::default());
        let room = manifests.iter().find(|known| known.manifest().name == room).unwrap();
        let endpoints = room.manifest().endpoints;
        endpoints.iter().position(|endpoint| endpoint.method == method).unwrap() as u16
    }

    /// Every call is ended over the API.
    pub fn end_all_calls(&mut self) {
        assert_eq!(self.api("calls", 0, &[]), 200);
        let list: serde_json::Value = serde_json::from_str(&self.last_api).unwrap();
        for call in list["items"].as_array().unwrap() {
            assert_eq!(self.api("calls", 2, &[call["id"].as_str().unwrap()]), 204);
        }
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

/// An INVITE of Alice.
pub fn invite(user: &str, number: u32) -> Ask {
    Ask::new("INVITE", "alice", ALICE, number)
        .to(user)
        .with(&format!("Contact: <sip:alice@{ALICE}>\n"))
        .body("application/sdp", &sdp(ALICE, 4_000))
}

/// An answer of Bob (or whoever `who` is) to a request.
pub fn reply(request: &str, code: &str, who: &str, body: &str) -> String {
    response(request, code, &format!("t{}", &who[7..8]), &format!("sip:x@{who}"), body)
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
        let side = Side {
            who: ALICE,
            target: header(&self.ok, "Contact"),
            from: header(&self.ok, "From"),
            to: header(&self.ok, "To"),
            call_id: header(&self.ok, "Call-ID"),
        };
        side.request(method, cseq, branch, lines, body)
    }

    /// A request of Bob in the dialog.
    pub fn bob(&self, method: &str, cseq: u32, branch: &str, lines: &str, body: &str) -> String {
        let side = Side {
            who: BOB,
            target: header(&self.invite, "Contact"),
            from: &format!("{};tag=t2", header(&self.invite, "To")),
            to: header(&self.invite, "From"),
            call_id: header(&self.invite, "Call-ID"),
        };
        side.request(method, cseq, branch, lines, body)
    }

    pub fn ack(&self) -> String {
        let cseq = header(&self.ok, "CSeq").split(' ').next().unwrap().parse().unwrap();
        self.alice("ACK", cseq, &format!("ack{}", self.number), "", "")
    }
}

impl Rig {
    /// Alice calls; Bob's phone rings. Gives the INVITE that it got.
    #[track_caller]
    pub fn ring(&mut self) -> (u32, String) {
        let number = self.next();
        let answers = self.proved(ALICE, "alice", &invite("bob", number));
        // Nothing, or that a phone of his is being woken.
        assert!(answers.iter().all(|answer| status(answer) == 180), "{answers:?}");
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

    /// Alice hangs up, and nothing is left.
    #[track_caller]
    pub fn hangs_up(&mut self, talk: &Talk, cseq: u32) {
        self.bye(talk, cseq);
        self.is_clean();
    }

    /// Alice hangs up.
    #[track_caller]
    pub fn bye(&mut self, talk: &Talk, cseq: u32) {
        let branch = format!("bye{}x{cseq}", talk.number);
        let answers = self.say(ALICE, &talk.alice("BYE", cseq, &branch, "", ""));
        assert!(answers.iter().any(|answer| status(answer) == 200), "{answers:?}");
        let bye = self.one(BOB, "BYE");
        self.say(BOB, &reply(&bye, "200 OK", BOB, ""));
    }
}
