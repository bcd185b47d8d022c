//! The room `trunks` as a script.

use std::time::Duration;

use driver::{Alone, Out, UNREACHABLE, rows, written};
use serde_json::{Value, json};
use switchboard::hop::Hop;
use switchboard::route::Change;
use switchboard::store::Value as Cell;
use switchboard::{Input, Notice, Output, Reply, Service};
use trunks::{Config, DOWN_AFTER, REFUSALS, Refusal, Room, UP_AFTER};
use types::{Flow, Transport};

const TRUNK: &str = "PUT /v1/trunks/{name}";
const NUMBER: &str = "PUT /v1/numbers/{e164}";
const ROUTE: &str = "PUT /v1/routes/{name}";
const EXPLAIN: &str = "GET /v1/route/explain";
const CARRIER: &str = "198.51.100.20:5060";

fn room() -> Box<dyn Service> {
    Box::new(Room::new(Config::default()))
}

fn house() -> Alone {
    let mut house = Alone::new(room);
    let out = house.give(Input::Begin);
    let out = house.reply(out.loads()[0].0, rows(Vec::new()));
    assert!(matches!(out.list[..], [Output::Part { name: "trunks", fault: None }]));
    house
}

/// Makes something, and gives what came out when it was written.
#[track_caller]
fn make(house: &mut Alone, row: &str, name: &str, body: Value) -> Out {
    let out = house.api(row, &[name], body.to_string().as_bytes());
    let writes = out.writes();
    assert_eq!(writes.len(), 1, "{:?}", out.list);
    let out = house.reply(writes[0].0, written());
    assert!(matches!(out.answer().0.status, 200 | 201), "{:?}", out.list);
    out
}

fn acme() -> Value {
    json!({"server": "198.51.100.20", "probe": false, "identity": "+15550199"})
}

/// The answer of the trunk to one request that we sent.
fn answer(house: &mut Alone, request: &str, status: &str, headers: &str) -> Out {
    let mut text = format!("SIP/2.0 {status}\r\n");
    for line in request.lines() {
        let copied = ["Via:", "From:", "Call-ID:", "CSeq:"];
        if copied.iter().any(|name| line.starts_with(name)) {
            text.push_str(&format!("{line}\r\n"));
        }
        if line.starts_with("To:") {
            text.push_str(&format!("{line};tag=x\r\n"));
        }
    }
    text.push_str(&format!("{headers}Content-Length: 0\r\n\r\n"));
    let flow = Flow::udp(CARRIER.parse().unwrap());
    house.give(Input::Message { flow, bytes: text.as_bytes() })
}

fn one_sent(out: &Out, method: &str) -> String {
    let sent = out.sent();
    let found: Vec<_> = sent.iter().filter(|text| text.starts_with(method)).collect();
    assert_eq!(found.len(), 1, "{sent:?}");
    found[0].clone()
}

/// The first request of this method to there.
fn one_of(out: &Out, to: &str, method: &str) -> String {
    let fits = |(known, text): &&(std::net::SocketAddr, String)| {
        known.to_string() == to && text.starts_with(method)
    };
    out.letters.iter().find(fits).expect("a request").1.clone()
}

fn trunk(house: &mut Alone, name: &str) -> Value {
    house.api("GET /v1/trunks/{name}", &[name], b"").answer().1
}

#[test]
fn every_refusal_has_its_row() {
    driver::check_refusals("trunks", 1601, &Refusal::ALL, REFUSALS);
}

#[test]
fn facts_are_made_shown_and_deleted() {
    let mut house = house();
    let out = make(&mut house, TRUNK, "acme", acme());
    assert_eq!(out.answer().0.status, 201);
    assert_eq!(make(&mut house, TRUNK, "acme", acme()).answer().0.status, 200);
    let body = json!({"rings": ["user/1001", "group/desk"]});
    let out = make(&mut house, NUMBER, "+15550100", body);
    assert_eq!(out.answer().1["rings"], json!(["user/1001", "group/desk"]));
    let body = json!({"voice_url": "http://localhost/voice", "voice_method": "POST"});
    make(&mut house, NUMBER, "+15550101", body);
    let body = json!({"to": ["+*"], "trunks": [{"trunk": "acme"}], "priority": 3});
    make(&mut house, ROUTE, "out", body);
    let body = json!({
        "rings": ["user/1001"],
        "when": {"zone": "Europe/Berlin", "windows": [{"days": ["mon"], "from": "09:00", "to": "18:00"}]},
    });
    make(&mut house, ROUTE, "office hours", body);
    let routes = house.api("GET /v1/routes", &[], b"").answer().1;
    assert_eq!(routes["items"][0]["name"], "office hours");
    assert_eq!(routes["items"][1]["trunks"][0]["weight"], 1);
    assert_eq!(
        house.api("GET /v1/numbers", &[], b"").answer().1["items"].as_array().unwrap().len(),
        2
    );
    let plan = json!({"country": "49", "national_prefix": "0"});
    let out = house.api("PUT /v1/dial-plan", &[], plan.to_string().as_bytes());
    let out = house.reply(out.writes()[0].0, written());
    assert_eq!(out.answer().1["international_prefixes"], json!(["00"]));
    assert_eq!(house.api("GET /v1/dial-plan", &[], b"").answer().1["country"], "49");
    for (path, name) in [("trunks", "acme"), ("routes", "out")] {
        let row = format!("DELETE /v1/{path}/{{name}}");
        let out = house.api(&row, &[name], b"");
        let out = house.reply(out.writes()[0].0, written());
        assert_eq!(out.answer().0.status, 204);
        assert_eq!(house.api(&row, &[name], b"").answer().0.status, 404);
    }
    let changes = house.heard().into_iter().filter(|notice| {
        matches!(notice, Notice::RoutingChanged(change) if !matches!(**change, Change::TrunkHealth(..)))
    });
    assert_eq!(changes.count(), 9);
}

#[test]
fn nonsense_is_refused_with_its_field() {
    let mut house = house();
    let table: &[(&str, &str, &str, &str)] = &[
        (TRUNK, "acme", "{}", "server"),
        (TRUNK, "a b", r#"{"server":"192.0.2.1"}"#, "name"),
        (TRUNK, "acme", r#"{"server":"192.0.2.1:0"}"#, "server"),
        (TRUNK, "acme", r#"{"server":"a>b"}"#, "server"),
        (TRUNK, "acme", r#"{"server":"192.0.2.1","register":true}"#, "user"),
        (TRUNK, "acme", r#"{"server":"192.0.2.1","sources":["0.0.0.0/0"]}"#, "body"),
        (TRUNK, "acme", r#"{"server":"192.0.2.1","sealed":[1]}"#, "sealed"),
        (TRUNK, "acme", r#"{"server":"192.0.2.1","password":7}"#, "password"),
        (TRUNK, "acme", r#"{"server":"192.0.2.1","identity":"0301234"}"#, "identity"),
        (TRUNK, "acme", r#"{"server":"192.0.2.1","colour":"red"}"#, "body"),
        (NUMBER, "15550100", r#"{"rings":["user/1001"]}"#, "number"),
        (NUMBER, "+15550100", "{}", "rings"),
        (NUMBER, "+15550100", r#"{"rings":["1001"]}"#, "body"),
        (NUMBER, "+15550100", r#"{"rings":["user/1001"],"voice_url":"http://x/"}"#, "rings"),
        (NUMBER, "+15550100", r#"{"voice_url":"http://x/ "}"#, "voice_url"),
        (NUMBER, "+15550100", "[]", "body"),
        (NUMBER, "+15550100", "{", "body"),
        (ROUTE, "r", "{}", "rings"),
        (ROUTE, "r", r#"{"rings":["user/1"],"reject":404}"#, "rings"),
        (ROUTE, "r", r#"{"reject":200}"#, "reject"),
        (ROUTE, "r", r#"{"reject":404,"from":["everybody"]}"#, "from"),
        (ROUTE, "r", r#"{"reject":404,"when":{"zone":"Mars/Olympus"}}"#, "when.zone"),
        (ROUTE, "r", r#"{"reject":404,"when":{"zone":"UTC","not_on":["soon"]}}"#, "when.not_on"),
        ("PUT /v1/dial-plan", "", r#"{"country":"+49"}"#, "country"),
        ("PUT /v1/dial-plan", "", r#"{"emergency":["help"]}"#, "emergency"),
    ];
    for (row, name, body, field) in table {
        let out = house.api(row, &[name], body.as_bytes());
        let (response, problem) = out.answer();
        assert_eq!(response.status, 400, "{row} {body}");
        assert_eq!(problem["tried"]["field"], *field, "{row} {body}: {problem}");
        assert!(problem["tried"]["wants"].is_string());
    }
}

#[test]
fn a_password_is_sealed_kept_and_never_shown() {
    let mut house = house();
    let body =
        json!({"server": "198.51.100.20", "probe": false, "user": "88231", "password": "hunter2"});
    let out = house.api(TRUNK, &["acme"], body.to_string().as_bytes());
    let (ticket, batch) = out.writes()[0];
    let said = format!("{batch:?}");
    assert!(!said.contains("hunter2"), "{said}");
    let sealed = batch.statements[0].values[3].clone();
    assert!(matches!(&sealed, Cell::Blob(octets) if octets.len() > 20));
    let out = house.reply(ticket, written());
    assert_eq!(out.answer().1["has_password"], true);
    assert!(!format!("{:?}{:?}", out.list, house.heard()).contains("hunter2"));
    // Without a word of it the old one stays; an empty one takes it away.
    let body = json!({"server": "198.51.100.20", "probe": false, "user": "88231"});
    let out = house.api(TRUNK, &["acme"], body.to_string().as_bytes());
    assert_eq!(out.writes()[0].1.statements[0].values[3], sealed);
    house.reply(out.writes()[0].0, written());
    let body = json!({"server": "198.51.100.20", "probe": false, "user": "88231", "password": ""});
    assert_eq!(make(&mut house, TRUNK, "acme", body).answer().1["has_password"], false);
}

#[test]
fn everything_is_read_at_the_start_and_a_silent_store_is_asked_again() {
    let mut house = Alone::new(room);
    let out = house.give(Input::Begin);
    let out = house.reply(out.loads()[0].0, Reply::Rows(Err(UNREACHABLE)));
    assert!(matches!(out.list[..], [Output::Part { name: "trunks", fault: Some(_) }]));
    assert_eq!(house.ask(EXPLAIN, &[], &[], b"").answer().0.status, 503);
    let out = house.pass(Duration::from_secs(3));
    let row = |kind: &str, name: &str, body: &str| {
        vec![kind.into(), name.into(), body.into(), Cell::Blob(Vec::new())]
    };
    let out = house.reply(
        out.loads()[0].0,
        rows(vec![
            row("number", "+15550100", r#"{"number":"+15550100","rings":["user/1001"]}"#),
            row("route", "out", r#"{"name":"out","trunks":[{"trunk":"acme"}]}"#),
            row("route", "torn", r#"{"name":"#),
            row("trunk", "acme", r#"{"name":"acme","server":"198.51.100.20","probe":false}"#),
            row("future", "x", "{}"),
        ]),
    );
    assert!(out.list.iter().any(|output| matches!(output, Output::Part { fault: None, .. })));
    assert_eq!(house.shard.counters()["trunks.row_unreadable"], 2);
    let query = [("from", "trunk/acme"), ("to", "+15550100"), ("at", "2026-11-22T10:00:00Z")];
    let out = house.ask(EXPLAIN, &[], &query, b"");
    assert_eq!(out.answer().1["candidates"][1]["why"], "is a number of ours");
}

#[test]
fn explain_says_what_was_considered() {
    let mut house = house();
    make(&mut house, TRUNK, "acme", acme());
    make(&mut house, NUMBER, "+15550100", json!({"rings": ["user/1001"]}));
    let query = [("from", "trunk/acme"), ("to", "15550100")];
    let out = house.ask(EXPLAIN, &[], &query, b"");
    let (response, said) = out.answer();
    assert_eq!(response.status, 200);
    assert_eq!(said["refusal"]["code"], "trunks.no_route");
    assert!(said.to_string().contains("differ only by +"), "{said}");
    // A plus that was not escaped.
    let query = [("from", "trunk/acme"), ("to", " 15550100")];
    assert_eq!(house.ask(EXPLAIN, &[], &query, b"").answer().1["to"], "+15550100");
    for (query, field) in [
        (&[("to", "1")][..], "from"),
        (&[("from", "me"), ("to", "1")], "from"),
        (&[("from", "user/9999"), ("to", "1")], "from"),
        (&[("from", "stranger")], "to"),
        (&[("from", "stranger"), ("to", "1"), ("at", "noon")], "at"),
    ] {
        assert_eq!(house.ask(EXPLAIN, &[], query, b"").answer().1["tried"]["field"], field);
    }
    let query = [("from", "trunk/other"), ("to", "1")];
    assert_eq!(house.ask(EXPLAIN, &[], &query, b"").answer().0.status, 404);
}

#[test]
fn options_tell_whether_a_trunk_is_well() {
    let mut house = house();
    let out = make(&mut house, TRUNK, "acme", json!({"server": "198.51.100.20"}));
    let mut request = one_sent(&out, "OPTIONS sip:198.51.100.20 SIP/2.0");
    assert_eq!(trunk(&mut house, "acme")["health"]["up"], true);
    answer(&mut house, &request, "200 OK", "");
    for round in 1..=DOWN_AFTER {
        let out = house.pass(Duration::from_secs(30));
        request = one_sent(&out, "OPTIONS");
        answer(&mut house, &request, "503 Service Unavailable", "");
        assert_eq!(trunk(&mut house, "acme")["health"]["up"], round < DOWN_AFTER);
    }
    for round in 1..=UP_AFTER {
        let out = house.pass(Duration::from_secs(30));
        let request = one_sent(&out, "OPTIONS");
        // Whatever it says of OPTIONS: it lives.
        answer(&mut house, &request, "405 Method Not Allowed", "");
        assert_eq!(trunk(&mut house, "acme")["health"]["up"], round >= UP_AFTER);
    }
    // Nobody answers at all: each probe lasts 32 seconds, and the next follows.
    house.pass(Duration::from_secs(150));
    let health = trunk(&mut house, "acme")["health"].clone();
    assert_eq!(health["up"], false);
    assert!(health["why"].as_str().unwrap().contains("408"), "{health}");
    let told = house.heard().into_iter().filter(|notice| {
        matches!(notice, Notice::RoutingChanged(change) if matches!(**change, Change::TrunkHealth(..)))
    });
    assert_eq!(told.count(), 4, "only what is new is told");
}

#[test]
fn a_trunk_is_registered_renewed_and_given_up() {
    let mut house = house();
    let body = json!({
        "server": "198.51.100.20", "probe": false, "register": true, "user": "88231", "password": "hunter2",
    });
    let out = make(&mut house, TRUNK, "acme", body);
    let request = one_sent(&out, "REGISTER sip:198.51.100.20 SIP/2.0");
    assert!(request.contains("Contact: <sip:88231@198.51.100.1:5060>"), "{request}");
    assert!(request.contains("To: <sip:88231@198.51.100.20>"), "{request}");
    assert_eq!(trunk(&mut house, "acme")["health"]["up"], false);
    let challenge =
        "WWW-Authenticate: Digest realm=\"acme\", nonce=\"n1\", algorithm=MD5, qop=\"auth\"\r\n";
    let out = answer(&mut house, &request, "401 Unauthorized", challenge);
    let request = one_sent(&out, "REGISTER");
    assert!(request.contains("Authorization: Digest username=\"88231\""), "{request}");
    answer(
        &mut house,
        &request,
        "200 OK",
        "Contact: <sip:88231@198.51.100.1:5060>;expires=100\r\n",
    );
    let health = trunk(&mut house, "acme")["health"].clone();
    assert_eq!(health["up"], true, "{health}");
    assert!(health["registered_until"].is_string());
    // Renewed when four fifths are over.
    assert!(house.pass(Duration::from_secs(79)).list.is_empty());
    let out = house.pass(Duration::from_millis(1_200));
    let renewal = one_sent(&out, "REGISTER");
    answer(&mut house, &renewal, "403 Forbidden", "");
    assert_eq!(trunk(&mut house, "acme")["health"]["up"], true, "the old one still holds");
    // Refused until it is over: then nothing is sent there, and the tries grow rarer.
    let mut tries = 0;
    for _ in 0..300 {
        // Shorter than the first repetition of a request.
        let out = house.pass(Duration::from_millis(400));
        for request in out.sent() {
            tries += 1;
            answer(&mut house, &request, "403 Forbidden", "");
        }
    }
    assert!((3..=6).contains(&tries), "{tries}");
    let health = trunk(&mut house, "acme")["health"].clone();
    assert_eq!(health["why"], "registration got 403 Forbidden");
}

#[test]
fn a_deleted_trunk_unregisters() {
    let mut house = house();
    let body =
        json!({"server": "198.51.100.20", "probe": false, "register": true, "user": "88231"});
    let out = make(&mut house, TRUNK, "acme", body);
    let request = one_sent(&out, "REGISTER");
    answer(&mut house, &request, "200 OK", "Expires: 100\r\n");
    let out = house.api("DELETE /v1/trunks/{name}", &["acme"], b"");
    let out = house.reply(out.writes()[0].0, written());
    assert!(one_sent(&out, "REGISTER").contains("Expires: 0\r\n"));
    house.pass(Duration::from_secs(600));
    assert_eq!(house.shard.deadline().map(|_| ()), Some(()), "only the sweep is left");
}

#[test]
fn a_server_by_name_is_looked_up_and_again() {
    let asked = |out: &Out| {
        let found = out.list.iter().find_map(|output| match output {
            Output::Resolve { ticket, question } => Some((*ticket, question.clone())),
            _ => None,
        });
        found.expect("a question for the name")
    };
    let mut house = house();
    let out = make(&mut house, TRUNK, "acme", json!({"server": "sip.acme.example;transport=tcp"}));
    let (ticket, question) = asked(&out);
    assert_eq!((question.host.as_str(), question.secure), ("sip.acme.example", false));
    house.reply(ticket, Reply::Resolved(Err("no such name".into())));
    let health = trunk(&mut house, "acme")["health"].clone();
    assert_eq!(health["why"], "its server is not found: no such name");
    let (ticket, _) = asked(&house.pass(Duration::from_secs(30)));
    let hop = Hop { transport: Transport::Tcp, address: CARRIER.parse().unwrap(), peer: 0 };
    let out = house.reply(ticket, Reply::Resolved(Ok(vec![hop])));
    one_sent(&out, "OPTIONS sip:sip.acme.example;transport=tcp SIP/2.0");
    assert_eq!(trunk(&mut house, "acme")["health"]["up"], true);
    // A name that is gone for a moment leaves it where it was.
    let (ticket, _) = asked(&house.pass(Duration::from_secs(300)));
    house.reply(ticket, Reply::Resolved(Err("timed out".into())));
    let health = trunk(&mut house, "acme")["health"].clone();
    assert_eq!(health["addresses"].as_array().unwrap().len(), 1, "{health}");
}

#[test]
fn the_next_address_is_asked_when_one_is_silent() {
    let mut house = house();
    let body = json!({
        "server": "sip.acme.example", "register": true, "user": "88231", "password": "hunter2",
    });
    let out = make(&mut house, TRUNK, "acme", body);
    let ticket = out.list.iter().find_map(|output| match output {
        Output::Resolve { ticket, .. } => Some(*ticket),
        _ => None,
    });
    let hop = |address: &str| Hop {
        transport: Transport::Udp,
        address: address.parse().unwrap(),
        peer: 0,
    };
    let hops = vec![hop("198.51.100.66:5060"), hop(CARRIER)];
    let out = house.reply(ticket.expect("a question for the name"), Reply::Resolved(Ok(hops)));
    let to = |out: &Out, method: &str| -> Vec<String> {
        let found = out.letters.iter().filter(|(_, text)| text.starts_with(method));
        found.map(|(to, _)| to.to_string()).collect()
    };
    assert_eq!(to(&out, "OPTIONS"), ["198.51.100.66:5060"]);
    assert_eq!(to(&out, "REGISTER"), ["198.51.100.66:5060"]);
    // Nobody answers there within 32 seconds: the next try of each goes to the other one.
    let out = house.pass(Duration::from_secs(38));
    let (options, register) = (one_of(&out, CARRIER, "OPTIONS"), one_of(&out, CARRIER, "REGISTER"));
    answer(&mut house, &options, "200 OK", "");
    answer(&mut house, &register, "200 OK", "Expires: 3000\r\n");
    let health = trunk(&mut house, "acme")["health"].clone();
    assert_eq!(health["up"], true, "{health}");
    assert_eq!(health["failed"].as_array().unwrap().len(), 1, "{health}");
}

#[test]
fn a_store_that_fails_changes_nothing() {
    let mut house = house();
    let out = house.api(TRUNK, &["acme"], acme().to_string().as_bytes());
    let out = house.reply(out.writes()[0].0, Reply::Written(Err(UNREACHABLE)));
    assert_eq!(out.answer().0.status, 503);
    assert_eq!(house.api("GET /v1/trunks/{name}", &["acme"], b"").answer().0.status, 404);
    assert!(house.heard().iter().all(|notice| !matches!(notice, Notice::RoutingChanged(_))));
}

#[test]
fn hostile_bodies_never_panic() {
    let mut house = house();
    let mut rng = types::Rng::from_number(5);
    let seeds = [
        (TRUNK, acme().to_string()),
        (NUMBER, json!({"rings": ["user/1001"]}).to_string()),
        (ROUTE, json!({"to": ["+*"], "reject": 404, "when": {"zone": "UTC", "windows": [{"from": "00:00", "to": "24:00"}]}}).to_string()),
        ("PUT /v1/dial-plan", json!({"country": "49", "rules": [{"dialled": "9*", "strip": 1}]}).to_string()),
    ];
    for _ in 0..4_000 {
        let (row, body) = &seeds[rng.below(4) as usize];
        let mut body = body.clone().into_bytes();
        for _ in 0..=rng.below(4) {
            let place = rng.below(body.len() as u64) as usize;
            match rng.below(3) {
                0 => body[place] = rng.next_u64() as u8,
                1 => drop(body.remove(place)),
                _ => body.insert(place, b"\"{}[]+0,:9"[rng.below(10) as usize]),
            }
        }
        let out = house.api(row, &["+15550100"], &body);
        for (ticket, _) in out.writes() {
            house.reply(ticket, written());
        }
    }
    let query = [("from", "stranger"), ("to", "+15550100")];
    assert_eq!(house.ask(EXPLAIN, &[], &query, b"").answer().0.status, 200);
}
