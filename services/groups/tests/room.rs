//! The room `groups` as a script: the API, the store, notices.

use std::time::Duration;

use driver::{Alone, Out, Phones, UNREACHABLE, rows, written};
use groups::{Config, POSTED_AFTER, REFUSALS, Refusal, Room};
use serde_json::{Value, json};
use switchboard::directory::User;
use switchboard::group::{Group, Member};
use switchboard::notice::{CallFacts, LetterPlan, MessageFacts};
use switchboard::store::{Durability, Value as Cell};
use switchboard::{Input, Notice, Output, Service};
use types::UnixTime;

fn room() -> Box<dyn Service> {
    Box::new(Room::new(Config { groups_max: 2, ..Config::default() }))
}

/// A house whose groups are read: none yet.
fn house() -> Alone {
    let mut house = Alone::new(room);
    let out = house.give(Input::Begin);
    let ticket = out.loads()[0].0;
    house.reply(ticket, rows(Vec::new()));
    for name in ["ann", "bob", "cas", "dan"] {
        let user = User { name: name.into(), ..User::default() };
        house.notice(Notice::UserChanged(Box::new(user)));
    }
    house.heard();
    house
}

/// Makes a group; the store takes it.
#[track_caller]
fn put(house: &mut Alone, name: &str, body: &Value) -> Out {
    let out = house.api("PUT /v1/groups/{name}", &[name], body.to_string().as_bytes());
    let ticket = out.writes().first().unwrap_or_else(|| panic!("{:?}", out.list)).0;
    house.reply(ticket, written())
}

fn shared() -> Value {
    json!({
        "kind": "shared",
        "display_name": "Front desk",
        "number": "+15550111",
        "members": [
            {"user": "ann", "priority": 5, "skills": ["billing"]},
            {"user": "bob"},
            {"user": "cas", "role": "listen", "instructions": {"call": {"hears": false}}},
        ],
        "ring": {"plan": "round_robin", "each": 15},
    })
}

/// Letters since the last look: whom for, from whom, the words.
fn letters(house: &Alone) -> Vec<(String, String, String)> {
    let plan = |notice: Notice| match notice {
        Notice::LetterWanted(plan) => Some(*plan),
        _ => None,
    };
    let text =
        |plan: LetterPlan| (plan.to, plan.from, String::from_utf8_lossy(&plan.body).into_owned());
    house.heard().into_iter().filter_map(plan).map(text).collect()
}

/// Whom letters were wanted for.
fn wanted(told: Vec<Notice>) -> Vec<String> {
    let to = |notice: Notice| match notice {
        Notice::LetterWanted(plan) => Some(plan.to),
        _ => None,
    };
    told.into_iter().filter_map(to).collect()
}

#[test]
fn every_refusal_has_its_row() {
    driver::check_refusals_but("groups", 1901, &[1904], &Refusal::ALL, REFUSALS);
}

#[test]
fn a_group_is_made_shown_replaced_and_deleted() {
    let mut house = house();
    let out = put(&mut house, "desk", &shared());
    let (response, body) = out.answer();
    assert_eq!(response.status, 201, "{body}");
    assert_eq!((&body["name"], &body["address"]), (&json!("desk"), &json!("sip:desk@example.org")));
    assert_eq!(body["members"][2]["role"], "listen");
    assert_eq!(body["instructions"], json!({"call": {}, "message": {}, "video": {}}));
    assert!(house.heard().iter().any(|notice| matches!(notice, Notice::GroupChanged(_))));
    // What is shown can be put again, without what the path says.
    let mut again = body.clone();
    again.as_object_mut().unwrap().retain(|key, _| key != "name" && key != "address");
    again["kind"] = "ring".into();
    assert_eq!(put(&mut house, "desk", &again).answer().0.status, 200);
    let out = house.api("GET /v1/groups/{name}", &["desk"], b"");
    assert_eq!(out.answer().1["kind"], "ring");
    let out = house.api("GET /v1/groups", &[], b"");
    assert_eq!(out.answer().1["items"][0]["name"], "desk");
    let out = house.api("DELETE /v1/groups/{name}", &["desk"], b"");
    let ticket = out.writes()[0].0;
    assert_eq!(house.reply(ticket, written()).answer().0.status, 204);
    for row in ["GET /v1/groups/{name}", "DELETE /v1/groups/{name}"] {
        assert_eq!(house.api(row, &["desk"], b"").answer().1["code"], "groups.no_such_group");
    }
}

#[test]
fn what_is_no_group() {
    let mut house = house();
    put(&mut house, "desk", &shared());
    let many: Vec<Value> = (0..101).map(|n| json!({"user": format!("u{n}")})).collect();
    let skills: Vec<String> = (0..17).map(|n| format!("s{n}")).collect();
    for (name, body, code) in [
        ("desk~x", json!({}), "malformed"),
        ("", json!({}), "malformed"),
        ("ann", json!({}), "address_taken"),
        ("two", json!([]), "malformed"),
        ("two", json!({"kind": "choir"}), "malformed"),
        ("two", json!({"colour": "red"}), "malformed"),
        ("two", json!({"name": "two"}), "malformed"),
        ("two", json!({"number": "15550111"}), "malformed"),
        ("two", json!({"number": "+15550111"}), "address_taken"),
        ("two", json!({"addresses": [{"address": "desk"}]}), "address_taken"),
        ("two", json!({"addresses": [{"address": "bob"}]}), "address_taken"),
        ("two", json!({"addresses": [{"address": "x"}, {"address": "x"}]}), "malformed"),
        ("two", json!({"addresses": [{"address": "x", "skill": "a b"}]}), "malformed"),
        ("two", json!({"members": [{"user": "zoe"}]}), "no_such_user"),
        ("two", json!({"members": [{"user": "ann"}, {"user": "ann"}]}), "malformed"),
        ("two", json!({"members": [{"user": "ann", "skills": skills}]}), "malformed"),
        ("two", json!({"members": many}), "malformed"),
        ("two", json!({"ring": {"plan": "all", "each": 0}}), "malformed"),
        ("two", json!({"display_name": "a\nb"}), "malformed"),
        ("two", json!({"instructions": {"call": {"others": "sing"}}}), "malformed"),
    ] {
        let out = house.api("PUT /v1/groups/{name}", &[name], body.to_string().as_bytes());
        let answer = out.answer().1;
        assert_eq!(answer["code"], format!("groups.{code}"), "{name} {body}: {answer}");
        assert!(!answer["tried"].is_null(), "{answer}");
    }
    put(&mut house, "two", &json!({}));
    let out = house.api("PUT /v1/groups/{name}", &["three"], b"{}");
    assert_eq!(out.answer().1["code"], "groups.too_many");
}

#[test]
fn groups_come_back_from_the_store() {
    let mut house = Alone::new(room);
    let out = house.give(Input::Begin);
    let (ticket, query) = out.loads()[0];
    assert!(query.sql.contains("groups_groups"));
    assert_eq!(house.api("GET /v1/groups", &[], b"").answer().1["code"], "groups.loading");
    house.reply(ticket, switchboard::Reply::Rows(Err(UNREACHABLE)));
    let out = house.pass(Duration::from_secs(3));
    let ticket = out.loads()[0].0;
    let row = |name: &str, body: &str| vec![Cell::Text(name.into()), Cell::Text(body.into())];
    let stored = r#"{"name":"desk","kind":"shared","display_name":"D","number":"","addresses":[],
        "members":[{"user":"ann","priority":1,"role":"talk","skills":[],"instructions":{}}]}"#;
    house.reply(ticket, rows(vec![row("bad", "no json"), row("desk", stored)]));
    let out = house.api("GET /v1/groups", &[], b"");
    let body = out.answer().1;
    assert_eq!(body["items"].as_array().map(Vec::len), Some(1), "{body}");
    assert_eq!(body["items"][0]["members"][0]["user"], "ann");
}

#[test]
fn a_deleted_user_leaves_his_groups() {
    let mut house = house();
    put(&mut house, "desk", &shared());
    let out = house.notice(Notice::UserGone { name: "bob".into() });
    let ticket = out.writes()[0].0;
    house.reply(ticket, written());
    let body = house.api("GET /v1/groups/{name}", &["desk"], b"").answer().1;
    assert_eq!(body["members"].as_array().map(Vec::len), Some(2), "{body}");
    // The store was away: he does not ring all the same.
    let out = house.notice(Notice::UserGone { name: "ann".into() });
    let ticket = out.writes()[0].0;
    house.reply(ticket, switchboard::Reply::Written(Err(UNREACHABLE)));
    assert_eq!(house.counted("groups.member_not_removed"), 1);
    let out = house.api("PUT /v1/groups/{name}", &["desk"], b"{}");
    let ticket = out.writes()[0].0;
    let out = house.reply(ticket, switchboard::Reply::Written(Err(UNREACHABLE)));
    assert_eq!(out.answer().1["code"], "groups.store_unreachable");
}

fn call(from: &str, to: &str) -> CallFacts {
    CallFacts {
        from: format!("sip:{from}@example.org"),
        to: format!("sip:{to}@example.org"),
        began: UnixTime::seconds(1),
        ..CallFacts::default()
    }
}

#[test]
fn the_others_are_told_of_an_outgoing_call_and_of_its_answer() {
    let mut house = house();
    put(&mut house, "desk", &shared());
    house.heard();
    house.notice(Notice::CallBegan(call("ann", "dan").into()));
    // The listener does not want to hear of calls.
    let words = |words: &str| words.to_owned();
    let told = [(words("bob"), words("<sip:ann@example.org>"), words("ann calls dan"))];
    assert_eq!(letters(&house), told);
    let facts = CallFacts { answered_by: "dan".into(), ..call("ann", "dan") };
    house.notice(Notice::CallAnswered(facts.into()));
    let told = [(
        words("bob"),
        words("<sip:dan@example.org>"),
        words("dan answered the call of ann to dan"),
    )];
    assert_eq!(letters(&house), told);
    // Of others' calls nobody is told.
    house.notice(Notice::CallBegan(call("dan", "ann").into()));
    assert_eq!(letters(&house), []);
    // A member's own instruction comes first.
    let mut body = shared();
    body["members"][0]["instructions"] = json!({"call": {"others": "none"}});
    put(&mut house, "desk", &body);
    house.heard();
    house.notice(Notice::CallBegan(call("ann", "dan").into()));
    assert_eq!(letters(&house), []);
    // May listen in: told at least.
    body["members"][0]["instructions"] = json!({"call": {"others": "join"}});
    put(&mut house, "desk", &body);
    house.heard();
    house.notice(Notice::CallBegan(call("ann", "dan").into()));
    assert_eq!(letters(&house).len(), 1);
}

#[test]
fn the_answer_to_a_call_of_the_group_is_shown_to_the_others() {
    let mut house = house();
    put(&mut house, "desk", &shared());
    house.heard();
    let facts = CallFacts { answered_by: "ann".into(), ..call("dan", "desk") };
    house.notice(Notice::CallAnswered(facts.clone().into()));
    let told = letters(&house);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(
        (told[0].0.as_str(), told[0].2.as_str()),
        ("bob", "ann answered the call of dan to Front desk")
    );
    let mut hidden = shared();
    hidden["instructions"] = json!({"call": {"result": "hidden"}});
    put(&mut house, "desk", &hidden);
    house.heard();
    house.notice(Notice::CallAnswered(facts.into()));
    assert_eq!(letters(&house), []);
}

#[test]
fn a_call_to_the_group_turns_its_round() {
    let mut house = house();
    put(&mut house, "desk", &shared());
    house.heard();
    for expected in ["bob", "ann"] {
        house.notice(Notice::CallBegan(call("dan", "+15550111").into()));
        let first = house.heard().into_iter().find_map(|notice| match notice {
            Notice::GroupTurned { first, .. } => Some(first),
            _ => None,
        });
        assert_eq!(first.as_deref(), Some(expected));
    }
}

fn message(from: &str, to: &str) -> Notice {
    Notice::MessageSent(Box::new(MessageFacts {
        message: types::MessageId(1),
        from_user: from.into(),
        from: format!("sip:{from}@example.org"),
        to: to.into(),
        content_type: "text/plain".into(),
        body: b"hello".to_vec(),
        sent: UnixTime::seconds(1),
    }))
}

#[test]
fn the_others_get_copies_of_messages() {
    let mut house = house();
    put(&mut house, "desk", &shared());
    house.heard();
    house.notice(message("ann", "dan"));
    let from = "\"ann to dan\" <sip:ann@example.org>";
    let copy = |to: &str| (to.to_owned(), from.to_owned(), "hello".to_owned());
    assert_eq!(letters(&house), [copy("bob"), copy("cas")]);
    // Whom it is for has it already.
    house.notice(message("ann", "bob"));
    assert_eq!(letters(&house).len(), 1);
    house.notice(message("dan", "ann"));
    assert_eq!(letters(&house), []);
    // A ring group keeps its messages apart, unless it says so for one member.
    let body = json!({"members": [{"user": "ann"}, {"user": "bob",
        "instructions": {"message": {"copies": true}}}]});
    put(&mut house, "desk", &body);
    house.heard();
    house.notice(message("ann", "dan"));
    assert_eq!(letters(&house), []);
    house.notice(message("bob", "dan"));
    assert_eq!(letters(&house).len(), 1);
}

#[test]
fn a_reply_is_shown_where_messages_are_not_copied() {
    let mut house = house();
    let body = json!({"members": [{"user": "ann"}, {"user": "bob"}],
        "instructions": {"message": {"result": "shown"}}});
    put(&mut house, "desk", &body);
    house.heard();
    house.notice(message("ann", "dan"));
    assert_eq!(letters(&house), []);
    let wrote = Notice::GroupWritten { name: "desk".into(), from: "sip:dan@example.org".into() };
    house.notice(wrote);
    house.notice(message("ann", "dan"));
    assert_eq!(letters(&house).len(), 1);
    house.pass(groups::REPLY_MAX.into());
    house.notice(message("ann", "dan"));
    assert_eq!(letters(&house), []);
}

#[test]
fn hostile_bodies_never_panic() {
    let seed = shared().to_string().into_bytes();
    let mut rng = types::Rng::from_number(19);
    let mut house = house();
    for _ in 0..5_000 {
        let mut bytes = seed.clone();
        for _ in 0..=rng.below(4) {
            let at = rng.below(bytes.len() as u64) as usize;
            bytes[at] = *b"{}[]\",:0a-n\xff".get(rng.below(12) as usize).unwrap();
        }
        let out = house.api("PUT /v1/groups/{name}", &["two"], &bytes);
        if let Some((ticket, _)) = out.writes().first() {
            house.reply(*ticket, written());
        }
    }
}

#[test]
fn a_message_to_a_group_is_kept_until_every_member_has_his() {
    let mut house = Phones::new(room);
    let member = |user: &str| Member { user: user.into(), ..Member::default() };
    let members = ["alice", "bob", "carol"].map(member).into();
    let group = Group { name: "desk".into(), members, ..Group::default() };
    house.notice(Notice::GroupChanged(Box::new(group)));
    house.heard();
    let out = house.ask(1, "MESSAGE", "desk", "Content-Type: text/plain\r\n", "tea?");
    let saved = out.list.iter().find_map(|output| match output {
        Output::Save { mark, durability: Durability::Synced, .. } => Some(*mark),
        _ => None,
    });
    let sent = out.list.iter().find_map(|output| match output {
        Output::Send { after, .. } => Some(*after),
        _ => None,
    });
    assert!(saved.is_some() && sent == Some(saved), "the 202 waits for the disk: {:?}", out.list);
    assert_eq!(wanted(house.heard()), ["bob", "carol"]);
    let log = house.log.clone();
    assert_eq!(house.sessions_kept(), 1);

    // Killed before the members' letters were kept: they are wanted once more.
    let mut again = Phones::with_log(room, log, 60);
    assert_eq!(wanted(std::mem::take(&mut again.begun)), ["bob", "carol"]);
    again.seconds(POSTED_AFTER.0.into());
    assert_eq!(again.sessions_kept(), 0);

    house.seconds(POSTED_AFTER.0.into());
    assert_eq!(house.sessions_kept(), 0);
}
