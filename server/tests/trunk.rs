//! Kamailio as a carrier's edge, in front of our server and behind it: calls both ways, with Record-Route and digest.
//!
//! Kamailio and whoever is in the world behind it are on the phones' host.

#[allow(dead_code, reason = "each test program uses a part of what they share")]
mod support;

use std::fs;

use serde_json::json;
use support::baresip::{Baresip, Login};
use support::capture::{CALL, Capture, TALK};
use support::names::{self, Record};
use support::namespace::{Namespace, PHONES, SERVER};
use support::phone::Phone;
use support::program::{Launch, Program};
use support::server::{PASSWORD, Server};
use support::wave::{assert_heard, speech_like};
use support::{STEP, turn, until};
use tempfile::TempDir;

const SECONDS: usize = 3;
const HEARD: usize = SECONDS + 2;

/// Where the world's phone listens for SIP.
const WORLD: &str = "198.18.0.2:6070";
/// Our number at the carrier.
const OURS: &str = "+15550111";

/// Our server, a carrier, and 1001 with a baresip.
struct House {
    phones: Namespace,
    server: Server,
    capture: Option<Capture>,
    _carrier: Program,
    _folder: TempDir,
}

impl House {
    fn new() -> Self {
        let (host, phones) = Namespace::pair();
        let capture = Capture::start(&host);
        let names = names::serve(&phones, PHONES, carrier());
        let server = Server::serve(&host, SERVER, &format!("resolver = [\"{names}\"]"), "");
        server.make_user("1001");
        let folder = tempfile::tempdir().expect("a folder for Kamailio");
        let text =
            include_str!("trunk/kamailio.cfg").replace("OURS", SERVER).replace("WORLD", WORLD);
        let file = folder.path().join("kamailio.cfg");
        fs::write(&file, text).expect("the test's folder can be written");
        let carrier = Launch::installed("kamailio")
            .words(["-DD", "-E", "-f", &*file.to_string_lossy()])
            .words(["-Y", &*folder.path().to_string_lossy()])
            .words(["-P", &*folder.path().join("pid").to_string_lossy()])
            .words(["-l", &*format!("udp:{PHONES}:5060"), "-l", &*format!("tcp:{PHONES}:5060")])
            .folder(folder.path())
            .on(&phones)
            .start();
        Self { phones, server, capture: Some(capture), _carrier: carrier, _folder: folder }
    }

    fn put(&self, path: &str, body: &serde_json::Value) {
        self.server.door.put(path, "application/json", body.to_string().as_bytes());
    }

    /// The trunk to the carrier, with what one test wants besides; ready once the carrier answers.
    fn trunk(&self, name: &str, server: &str, more: &serde_json::Value) {
        let mut body = json!({
            "server": server, "user": "88231", "password": "trunk-secret", "identity": OURS,
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            body[key] = value.clone();
        }
        self.put(&format!("/v1/trunks/{name}"), &body);
        self.put(&format!("/v1/numbers/{OURS}"), &json!({ "rings": ["user/1001"] }));
    }

    fn is_up(&self, name: &str, up: bool) {
        until(STEP * 2, &format!("the health of {name}"), || {
            let trunk = self.server.door.get(&format!("/v1/trunks/{name}"));
            (trunk["health"]["up"] == up).then_some(())
        });
    }

    fn baresip(&self) -> Baresip {
        let server = self.server.sip.to_string();
        let login = Login {
            user: "1001",
            password: PASSWORD,
            server: &server,
            transport: "udp",
            port: 5_080,
        };
        let phone = Baresip::start(&self.phones, &login, &ours());
        self.server.bindings("1001", 1);
        phone
    }

    fn judge(mut self, protocols: &[&str]) {
        self.capture.take().expect("judged once").judge(SERVER, protocols);
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.server.show_ladders();
        }
    }
}

/// The carrier by name: two addresses, and nobody is at the first.
fn carrier() -> Vec<Record> {
    let service = "_sip._tcp.carrier.example";
    let address = |name| Record::Address(name, [198, 18, 0, 2]);
    vec![
        Record::Service(service, 1, 5_999, "dead.carrier.example"),
        Record::Service(service, 2, 5_060, "edge.carrier.example"),
        address("dead.carrier.example"),
        address("edge.carrier.example"),
    ]
}

fn ours() -> Vec<i16> {
    speech_like(1001, SECONDS)
}

fn theirs() -> Vec<i16> {
    speech_like(4711, SECONDS)
}

/// RFC 3261 §16: somebody in the world calls our number through the carrier; both are heard, and the callee hangs up.
#[test]
fn a_carrier_in_front_brings_a_call() {
    let _turn = turn();
    let house = House::new();
    house.trunk("carrier", &format!("{PHONES}:5060"), &json!({}));
    house.is_up("carrier", true);
    let mut callee = house.baresip();
    let uri = format!("sip:{OURS}@{PHONES}:5060");
    let login = ["--direct", "--local", WORLD, "--user", "+4930123456"];
    let mut caller = Phone::start(&house.phones, &login, &["call", &uri], &theirs());
    callee.event(STEP, "CALL_INCOMING");
    let call = house.server.call();
    callee.answer();
    callee.hears(HEARD);
    callee.hang_up();
    caller.event(STEP, "ended");
    caller.ended();
    assert_heard("our phone", &callee.heard(), &theirs(), &ours());
    assert_heard("the world", &caller.heard(), &ours(), &theirs());
    let record = house.server.record(&call);
    assert_eq!((&record["outcome"], &record["hung_up_by"]), (&json!("answered"), &json!("callee")));
    house.judge(TALK);
}

/// RFC 3261 §22, §16: our phone calls the world; the carrier wants to know who we are, and gives way to another.
#[test]
fn a_carrier_behind_takes_a_call_and_a_dead_one_gives_way() {
    let _turn = turn();
    let house = House::new();
    // Nobody listens there, and nobody has found out yet.
    house.trunk("dead", &format!("{PHONES}:5999;transport=tcp"), &json!({ "probe": false }));
    house.trunk("carrier", &format!("{PHONES}:5060"), &json!({}));
    house.put(
        "/v1/routes/world",
        &json!({ "to": ["+*"], "trunks": [
            { "trunk": "dead", "priority": 1 }, { "trunk": "carrier", "priority": 2 },
        ] }),
    );
    house.is_up("carrier", true);
    let mut caller = house.baresip();
    let login = ["--direct", "--local", WORLD, "--user", "world"];
    let mut callee = Phone::start(&house.phones, &login, &["answer"], &theirs());
    callee.event(STEP, "listening");
    caller.dial(&format!("sip:+4930999@{}", house.server.sip));
    callee.event(STEP * 3, "answered");
    let call = house.server.call();
    caller.event(STEP, "CALL_ESTABLISHED");
    caller.hears(HEARD);
    caller.hang_up();
    callee.event(STEP, "ended");
    callee.ended();
    assert_heard("our phone", &caller.heard(), &theirs(), &ours());
    assert_heard("the world", &callee.heard(), &ours(), &theirs());
    let ladder = house.server.ladder(&call);
    ladder.assert_holds(&[
        "INVITE ",
        "INVITE ",
        "SIP/2.0 407",
        "ACK ",
        "INVITE ",
        "SIP/2.0 200",
        "ACK ",
        "BYE ",
    ]);
    // It goes out under the number that we have there.
    let invites = ladder.invites_out();
    let invite = invites.last().expect("one went out");
    let from = invite.lines().find(|line| line.starts_with("From:")).expect("a From");
    assert!(from.contains(&format!("<sip:{OURS}@")), "{from}");
    house.judge(TALK);
}

/// RFC 3263 §4.3: one trunk with two addresses; the first is dead, so the call goes to the second, and the next call at
/// once.
#[test]
fn the_next_address_of_a_carrier_takes_a_call() {
    let _turn = turn();
    let house = House::new();
    house.trunk("carrier", "carrier.example;transport=tcp", &json!({ "probe": false }));
    house.put("/v1/routes/world", &json!({ "to": ["+*"], "trunks": [{ "trunk": "carrier" }] }));
    let health = || house.server.door.get("/v1/trunks/carrier")["health"].clone();
    let count = |list: &serde_json::Value| list.as_array().map_or(0, Vec::len);
    until(STEP, "both addresses", || (count(&health()["addresses"]) == 2).then_some(()));
    let mut caller = house.baresip();
    let login = ["--direct", "--local", WORLD, "--user", "world"];
    let mut callee = Phone::start(&house.phones, &login, &["answer"], &theirs());
    callee.event(STEP, "listening");
    caller.dial(&format!("sip:+4930999@{}", house.server.sip));
    callee.event(STEP * 3, "answered");
    let call = house.server.call();
    caller.event(STEP, "CALL_ESTABLISHED");
    assert_eq!(count(&health()["failed"]), 1, "{}", health());
    caller.hang_up();
    callee.event(STEP, "ended");
    callee.ended();
    let ladder = house.server.ladder(&call);
    let notes = ladder.lane("note");
    let next = |note: &&&str| note.starts_with("trying the next address of trunk carrier");
    assert_eq!(notes.iter().filter(next).count(), 1, "{notes:?}");
    house.judge(CALL);
}

/// RFC 3261 §10: a trunk that registers shows its login to the carrier.
#[test]
fn a_trunk_registers_at_the_carrier() {
    let _turn = turn();
    let house = House::new();
    house.trunk("carrier", &format!("{PHONES}:5060"), &json!({ "register": true }));
    until(STEP, "the registration", || {
        let trunk = house.server.door.get("/v1/trunks/carrier");
        trunk["health"]["registered_until"].as_str().map(drop)
    });
    house.judge(&["sip"]);
}
