//! Rows on PostgreSQL: the same server, and what goes on while the database is away.

#[allow(dead_code, reason = "each test program uses a part of what they share")]
mod drill;
#[allow(dead_code, reason = "each test program uses a part of what they share")]
mod support;

use std::env;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use cluster::{Cluster, rows};
use drill::{Call, DOMAIN, Drill, OPEN, PASSWORD};
use rusqlite::Connection;
use serde_json::{Value, json};
use support::http::Answer;
use support::raw::{Ask, Raw, credentials};
use support::{STEP, until};

/// The longest time that the API takes for an answer.
const API_MAX: Duration = Duration::from_secs(30);
/// Seconds for which the database stays away at least; without it as long as what is looked at takes.
const OUTAGE: &str = "CARILLON_TEST_OUTAGE";
/// Calls that are made while it is away.
const CALLS: usize = 3;

fn put(drill: &Drill, path: &str, body: &Value) -> Answer {
    let body = body.to_string();
    drill.door.ask("PUT", path, Some(&drill.door.token), "application/json", body.as_bytes())
}

fn get(drill: &Drill, path: &str) -> Answer {
    drill.door.ask("GET", path, Some(&drill.door.token), "", b"")
}

/// Calls that stand in the view, and those among them that are different ones.
fn records(cluster: &Cluster, database: &str) -> (usize, usize) {
    let said = cluster.run(database, "select count(*), count(distinct call_id) from v_calls");
    let (all, different) = said.trim().split_once('|').expect("two numbers");
    (all.parse().expect("a number"), different.parse().expect("a number"))
}

/// The name at the end of an address.
fn name(address: &str) -> &str {
    address.rsplit('/').next().expect("a name")
}

/// A refusal by a store that is away: when to come again, and a code.
#[track_caller]
fn assert_away(answer: &Answer, code: &str) {
    let said = String::from_utf8_lossy(&answer.body);
    assert_eq!(answer.status, 503, "{said}");
    assert_eq!(answer.json()["code"], code, "{said}");
    assert!(answer.retry_after.parse().is_ok_and(|seconds: u32| seconds > 0), "{said}");
}

/// A REGISTER with its proof; the status of what comes of it.
fn register(phone: &mut Raw, user: &str) -> (u16, Option<String>) {
    let (uri, address) = (format!("sip:{DOMAIN}"), format!("<sip:{user}@{DOMAIN}>"));
    let ask = Ask {
        method: "REGISTER",
        uri: &uri,
        from: &format!("{address};tag=1"),
        to: &address,
        call_id: &format!("away-{}", phone.own.port()),
        more: "Expires: 600\r\n",
        body: "",
    };
    let first = phone.ask(&ask);
    let heard = match credentials(&first, &ask, user, PASSWORD) {
        Some(proof) => phone.ask(&Ask { more: &format!("{}{proof}", ask.more), ..ask.clone() }),
        None => first,
    };
    (heard.status(), heard.field("Retry-After").map(str::to_owned))
}

/// A number whose app is never asked, since its address may not be.
const PROGRAM: &str = "+15550188";

/// Calls a program that fails: a notification comes of it.
fn failing_program(alice: &mut Raw) {
    let (uri, from) = (format!("sip:{PROGRAM}@{DOMAIN}"), format!("<sip:alice@{DOMAIN}>;tag=p"));
    let (to, body) = (format!("<{uri}>"), alice.sdp());
    let (call_id, more) = ("program", "");
    let (method, own) = ("INVITE", &*from);
    let invite = Ask { method, uri: &uri, from: own, to: &to, call_id, more, body: &body };
    let answer = alice.ask(&invite);
    assert!(answer.status() == 200 || answer.status() >= 400, "{}", answer.text);
    if answer.status() == 200 {
        // Somebody speaks here, and says that an error has occurred.
        alice.acknowledge(&answer);
        let (uri, to) = (answer.contact(), answer.field("To").expect("a To"));
        let (method, body) = ("BYE", "");
        alice.ask(&Ask { method, uri: &uri, from: own, to, call_id, more, body });
    }
}

/// Notifications of failed programs.
fn notifications(cluster: &Cluster, database: &str) -> usize {
    let ask = "select count(*) from voice_things where kind = 'notification'";
    cluster.run(database, ask).trim().parse().expect("a number")
}

/// What goes on without the database, and what is refused.
fn away(drill: &Drill, alice: &mut Raw, bob: &mut Raw, cluster_hangs: bool) {
    let began = Instant::now();
    assert_away(&drill.put_user("carol"), "people.store_unreachable");
    assert_away(&get(drill, "/v1/records"), "records.store_unreachable");
    assert!(began.elapsed() < API_MAX * 2, "{:?}", began.elapsed());
    drill.until_part(503, "store", false);
    let (_, parts) = drill.parts();
    let why = parts["store"].as_str().expect("a word");
    assert!(why.contains("postgres://") && !why.contains("p@ss"), "{why}");
    println!("hangs: {cluster_hangs}; refused after {:?}: {why}", began.elapsed());
    assert_eq!(parts["keeper"], "ok");
    // Nobody waits again for a server that is known to be away.
    let group = json!({ "kind": "ring", "members": [{ "user": "bob" }] });
    assert_away(&put(drill, "/v1/groups/desk", &group), "groups.store_unreachable");
    let trunk = json!({ "server": "192.0.2.1:5060" });
    assert_away(&put(drill, "/v1/trunks/acme", &trunk), "trunks.store_unreachable");
    failing_program(alice);
    for number in 0..CALLS {
        let call = Call::begin(alice, bob, "bob", &format!("away-{cluster_hangs}-{number}"));
        call.end(alice, bob);
    }
    // Another phone of Bob registers and is called from now on.
    let mut other = Raw::new(&drill.host, "127.0.0.1", drill.sip);
    assert_eq!(register(&mut other, "alice").0, 200);
    let unbind = Ask {
        method: "OPTIONS",
        uri: &format!("sip:{DOMAIN}"),
        from: "<sip:bob@example.com>;tag=o",
        to: &format!("<sip:{DOMAIN}>"),
        call_id: "alive",
        more: "",
        body: "",
    };
    assert_eq!(other.ask(&unbind).status(), 200);
    let least = env::var(OUTAGE).ok().map(|text| text.parse().expect("seconds"));
    let least = Duration::from_secs(least.unwrap_or(0));
    let mut more = 0;
    while began.elapsed() < least {
        assert_eq!(register(&mut other, "alice").0, 200);
        assert_away(&drill.put_user("carol"), "people.store_unreachable");
        more += 1;
    }
    println!("away for {:?}; {more} more registrations and refusals", began.elapsed());
}

/// Without a database for a while: by a server that ended, or that hangs with its connections open.
fn survives_an_outage(hangs: bool) {
    let cluster = Cluster::start();
    let address = cluster.database();
    let drill = Drill::start("", OPEN, &rows::of(&address));
    assert_eq!(drill.parts().1["store"], "ok");
    let (mut alice, mut bob) = (drill.phone("alice"), drill.phone("bob"));
    let lasting = Call::begin(&mut alice, &mut bob, "bob", "lasts");
    Call::begin(&mut alice, &mut bob, "bob", "before").end(&mut alice, &mut bob);
    until(STEP, "the first record", || (records(&cluster, name(&address)).0 == 1).then_some(()));
    let program = json!({ "voice_url": "http://127.0.0.1:9/" });
    assert_eq!(put(&drill, &format!("/v1/numbers/{PROGRAM}"), &program).status / 100, 2);
    if hangs {
        cluster.freeze()
    } else {
        cluster.stop()
    }
    away(&drill, &mut alice, &mut bob, hangs);
    if hangs {
        cluster.thaw()
    } else {
        cluster.resume_or_start()
    }
    let back = Instant::now();
    // One more is that of the program.
    let wanted = 1 + CALLS + 1;
    until(STEP * 2, "the records", || {
        (records(&cluster, name(&address)).0 == wanted).then_some(())
    });
    println!("{wanted} records {:?} after it was back", back.elapsed());
    until(STEP, "the program's notification", || {
        (notifications(&cluster, name(&address)) == 1).then_some(())
    });
    drill.until_part(200, "store", true);
    assert_eq!(drill.put_user("carol").status / 100, 2);
    lasting.end(&mut alice, &mut bob);
    // One more, so that whatever would come twice has come.
    let wanted = wanted + 1;
    until(STEP * 2, "the last record", || {
        (records(&cluster, name(&address)).0 >= wanted).then_some(())
    });
    assert_eq!(records(&cluster, name(&address)), (wanted, wanted));
    assert_eq!(drill.door.items("/v1/records").len(), wanted);
}

#[test]
fn a_server_that_ends_stops_no_calls_and_no_row_is_lost_or_doubled() {
    survives_an_outage(false);
}

#[test]
fn a_server_that_hangs_stops_no_calls_and_no_row_is_lost_or_doubled() {
    survives_an_outage(true);
}

#[test]
fn a_restart_without_the_database_goes_on_and_is_ready_when_it_comes() {
    let cluster = Cluster::start();
    let address = cluster.database();
    let mut drill = Drill::start("", OPEN, &rows::of(&address));
    let (mut alice, mut bob) = (drill.phone("alice"), drill.phone("bob"));
    let lasting = Call::begin(&mut alice, &mut bob, "bob", "lasts");
    cluster.stop();
    Call::begin(&mut alice, &mut bob, "bob", "unwritten").end(&mut alice, &mut bob);
    drill.kill_and_start();
    drill.heard("started_without_the_database");
    assert_eq!(drill.parts().0, 503);
    assert_away(&drill.put_user("carol"), "people.loading");
    assert_away(&get(&drill, "/v1/records"), "records.store_unreachable");
    // Who somebody is stands in the database alone.
    let mut other = Raw::new(&drill.host, "127.0.0.1", drill.sip);
    let (status, after) = register(&mut other, "bob");
    assert_eq!((status, after.is_some()), (503, true));
    // What the log holds goes on.
    assert_eq!(drill.door.items("/v1/bindings?user=bob").len(), 1);
    lasting.end(&mut alice, &mut bob);
    assert!(!drill.program.said().iter().any(|line| line.contains("\"ready\":true")));
    cluster.resume_or_start();
    drill.until_ready();
    drill.until_part(200, "store", true);
    assert_eq!(register(&mut other, "bob").0, 200);
    assert_eq!(drill.put_user("carol").status, 201);
    until(STEP * 2, "both records", || (records(&cluster, name(&address)).0 == 2).then_some(()));
    assert_eq!(records(&cluster, name(&address)), (2, 2));
    Call::begin(&mut alice, &mut other, "bob", "after").end(&mut alice, &mut other);
}

/// Rows of each kind that are moved.
const ROWS: u32 = 3_000;

/// Thousands of rows, each like one that the server wrote itself.
fn multiply(database: &Path) {
    let rows = Connection::open(database).expect("a database");
    let numbers =
        format!("with recursive n(i) as (select 1 union all select i + 1 from n where i < {ROWS})");
    let copies = [
        "people_users (name, display_name, digest, verifiers, picture_tiny, created_at, updated_at) \
         select 'u' || i, 'Zoë ' || i || ' \u{1f514}', digest, verifiers, \
         case i % 3 when 0 then null else randomblob(i % 50) end, i, -i from people_users, n where name = 'alice'",
        "people_devices select 'u' || (i / 2), name || i, kind, provider, prid || i, prid_alert, param, \
         randomblob(65), randomblob(16), seen_at + i from people_devices, n where name = 'phone'",
        "groups_groups select 'g' || i, kind, display_name, '', \
         json_set(body, '$.name', 'g' || i, '$.number', ''), i, i from groups_groups, n where name = 'desk'",
        "trunks_facts select kind, '+1555' || (1000000 + i), \
         json_set(body, '$.number', '+1555' || (1000000 + i)), sealed, i from trunks_facts, n \
         where kind = 'number' and name = '+15550100'",
        "records_calls select call_id || i, from_uri, to_uri, from_name, began_at + i, rang_at, answered_at, \
         ended_at + i, outcome, hung_up_by, status, refusal, sip_call_id, guests, quality, recordings \
         from records_calls, n",
        "messaging_messages select 'msg_' || i, 'sip:a@example.com', 'sip:u' || (i % 9) || '@example.com', \
         'text/plain', i, i, i, 'delivered' from n",
    ];
    for copy in copies {
        let sql = format!("{numbers} insert or ignore into {copy}");
        rows.execute_batch(&sql).unwrap_or_else(|why| panic!("{why}: {sql}"));
    }
}

/// Every answer that stands in the store.
fn answers(drill: &Drill) -> Vec<Value> {
    let lists = ["users", "groups", "trunks", "numbers", "routes", "records"];
    let mut found: Vec<Value> =
        lists.iter().map(|list| drill.door.items(&format!("/v1/{list}")).into()).collect();
    for user in ["alice", "bob", "u1", "u77", "u1234", "u2999"] {
        for path in [format!("users/{user}"), format!("users/{user}/calls")] {
            found.push(drill.door.get(&format!("/v1/{path}")));
        }
        found.push(drill.door.items(&format!("/v1/users/{user}/devices")).into());
        found.push(drill.door.items(&format!("/v1/messages?user={user}")).into());
        found.push(drill.door.items(&format!("/v1/bindings?user={user}")).into());
    }
    found.push(drill.door.get("/v1/dial-plan"));
    found.push(drill.door.get("/v1/groups/g17"));
    for value in &mut found {
        forget(value, "health");
    }
    found
}

/// How a trunk is doing is not stored.
fn forget(value: &mut Value, field: &str) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| forget(item, field)),
        Value::Object(fields) => {
            fields.remove(field);
            fields.values_mut().for_each(|inner| forget(inner, field));
        }
        _ => {}
    }
}

/// `carillon store move` with this target.
fn move_to(drill: &Drill, to: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_carillon"));
    command.args(["store", "move", "--config"]).arg(&drill.file).args(["--to", to]);
    command.output().expect("it starts")
}

#[track_caller]
fn assert_says(output: &Output, code: i32, words: &str) {
    let said =
        [&output.stdout, &output.stderr].map(|octets| String::from_utf8_lossy(octets).into_owned());
    assert_eq!(output.status.code(), Some(code), "{said:?}");
    assert!(said.concat().contains(words), "{words}: {said:?}");
    assert!(!said.concat().contains("p@ss") && !said.concat().contains("p%40ss"), "{said:?}");
}

#[test]
fn all_rows_move_to_a_server_and_back_and_every_answer_stays_the_same() {
    let cluster = Cluster::start();
    let address = cluster.database();
    let mut drill = Drill::start("", OPEN, "[store]\nurl = \"\"\n");
    let (mut alice, mut bob) = (drill.phone("alice"), drill.phone("bob"));
    Call::begin(&mut alice, &mut bob, "bob", "kept").end(&mut alice, &mut bob);
    let push = json!({ "provider": "fcm", "param": "p", "prid": "t" });
    put(&drill, "/v1/users/alice/devices/phone", &json!({ "kind": "phone", "push": push }));
    let group = json!({ "kind": "ring", "members": [{ "user": "bob" }] });
    put(&drill, "/v1/groups/desk", &group);
    put(&drill, "/v1/trunks/acme", &json!({ "server": "127.0.0.1:9", "probe": false }));
    put(&drill, "/v1/numbers/+15550100", &json!({ "rings": ["user/alice"] }));
    put(&drill, "/v1/routes/out", &json!({ "to": ["+*"], "trunks": [{ "trunk": "acme" }] }));
    assert_says(&move_to(&drill, &address), 1, "the server runs");
    drill.stop_now();
    let embedded = drill.folder.path().join("data/carillon.sqlite");
    multiply(&embedded);
    drill.start_again();
    let before = answers(&drill);
    assert!(
        before.iter().filter(|list| list.as_array().is_some_and(|list| list.len() > 1_000)).count()
            >= 3
    );
    drill.stop_now();

    assert_says(&move_to(&drill, "postgres://nobody"), 2, "names no user");
    assert_says(&move_to(&drill, "sqlite"), 2, "is where the rows are");
    let foreign = cluster.database();
    cluster.run(name(&foreign), "create table other (a int)");
    assert_says(&move_to(&drill, &foreign), 1, "other tables");
    // PostgreSQL takes no NUL in a text: this row stops the first try in the midst of a table.
    let rows = Connection::open(&embedded).expect("a database");
    let set = |text: &str| {
        rows.execute("update people_users set display_name = ?1 where name = 'u2500'", [text])
    };
    set("a\0b").expect("one row");
    assert_says(&move_to(&drill, &address), 1, "(people_users) refuses a row");
    let half = cluster.run(name(&address), "select count(*) from people_users");
    let half: u32 = half.trim().parse().expect("a number");
    assert!(half > 0 && half < ROWS, "{half}");
    let served = |drill: &Drill| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_carillon"));
        command.args(["serve", "--config"]).arg(&drill.file).env("CARILLON_STORE__URL", &address);
        command.output().expect("it starts")
    };
    assert_says(&served(&drill), 1, "is not complete");
    set("Zoë 2500 \u{1f514}").expect("one row");
    drop(rows);
    let moved = move_to(&drill, &address);
    assert_says(&moved, 0, "An earlier try had brought");
    assert_says(&moved, 0, "people_users: 3002 rows are the same");
    assert_says(&moved, 0, "set store.url");
    println!("{}", String::from_utf8_lossy(&moved.stdout));
    assert_says(&move_to(&drill, &address), 1, "is not empty");

    let text = fs::read_to_string(&drill.file).expect("the file");
    fs::write(&drill.file, text.replace("url = \"\"", &format!("url = {address:?}")))
        .expect("the file");
    drill.start_again();
    assert_eq!(answers(&drill), before);
    // Who somebody is has moved with his proofs; what comes later is there as well when the rows come back.
    let (mut alice, mut bob) = (
        Raw::new(&drill.host, "127.0.0.1", drill.sip),
        Raw::new(&drill.host, "127.0.0.1", drill.sip),
    );
    alice.register(DOMAIN, "alice", PASSWORD);
    bob.register(DOMAIN, "bob", PASSWORD);
    assert_eq!(drill.put_user("zoe").status, 201);
    let before = answers(&drill);
    drill.stop_now();
    assert_says(&move_to(&drill, "sqlite"), 1, "is not empty");
    fs::remove_file(&embedded).expect("the old rows");
    assert_says(&move_to(&drill, "sqlite"), 0, "take store.url out");
    fs::write(&drill.file, text).expect("the file");
    drill.start_again();
    assert_eq!(answers(&drill), before);
}
