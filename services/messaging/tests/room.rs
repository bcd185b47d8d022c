//! The room `messaging` as a script: RFC 3428, and what is stored for those who are away.

use driver::phones::request;
use driver::text::{body, header};
use driver::{Out, Phones, rows};
use messaging::letter::Record;
use messaging::{Config, REFUSALS, Refusal, Room};
use serde_json::json;
use switchboard::store::{Durability, Value};
use switchboard::{Notice, Output, Service};
use types::{MessageId, SessionId, UnixTime};

const TEXT: &str = "Content-Type: text/plain\r\n";

fn room() -> Box<dyn Service> {
    Box::new(Room::new(Config::default()))
}

fn house() -> Phones {
    Phones::new(room)
}

fn send(house: &mut Phones, to: &str, text: &str) -> Out {
    house.ask(1, "MESSAGE", to, TEXT, text)
}

fn waiting(house: &Phones) -> Vec<u32> {
    let heard = house.heard().into_iter().filter_map(|notice| match notice {
        Notice::MessagesWaiting { count, .. } => Some(count),
        _ => None,
    });
    heard.collect()
}

#[test]
fn every_refusal_has_its_row() {
    driver::check_refusals("messaging", 1701, &Refusal::ALL, REFUSALS);
}

#[test]
fn a_message_goes_to_every_phone_and_the_first_success_is_the_answer() {
    let mut house = house();
    house.bind("bob", 2);
    house.bind("bob", 3);
    house.heard();
    let out = house.ask(1, "MESSAGE", "bob", &format!("{TEXT}Subject: tea\r\n"), "hello");
    let copies = out.requests("MESSAGE");
    assert_eq!((copies.len(), out.statuses().len()), (2, 0));
    assert!(copies[0].starts_with("MESSAGE sip:bob@192.0.2."));
    assert_eq!(
        header(&copies[0], "From").split(";tag=").next(),
        Some("\"Alice\" <sip:alice@example.org>")
    );
    assert_eq!(header(&copies[0], "To"), "<sip:bob@example.org>");
    assert_eq!((header(&copies[0], "Subject"), body(&copies[0])), ("tea", "hello"));
    assert!(!copies[0].contains("\r\nContact:"), "RFC 3428 §4");
    assert_eq!(header(&copies[0], "Call-ID"), header(&copies[1], "Call-ID"));
    assert!(house.answer(&copies[1], "486 Busy Here", "").statuses().is_empty());
    let out = house.answer(&copies[0], "200 OK", "");
    assert_eq!((out.statuses(), out.kinds()), (vec![200], vec!["message.delivered".to_owned()]));
    assert!(house.sessions_kept() == 0 && house.gauge("sessions") == 0);
    let sent = house.heard().into_iter().find_map(|notice| match notice {
        Notice::MessageSent(facts) => Some(*facts),
        _ => None,
    });
    let sent = sent.unwrap();
    assert_eq!(
        (sent.from_user.as_str(), sent.to.as_str(), sent.body),
        ("alice", "bob", b"hello".to_vec())
    );
}

#[test]
fn what_phones_do_not_know_is_passed_on_as_it_came() {
    let mut house = house();
    house.bind("bob", 2);
    let cpim = "From: <im:a>\r\n\r\nContent-type: text/plain\r\n\r\n\u{1f600}";
    let headers = "Content-Type: message/cpim;charset=utf-8\r\nContent-Language: de\r\n";
    let out = house.ask(1, "MESSAGE", "bob", headers, cpim);
    let copy = &out.requests("MESSAGE")[0];
    assert_eq!(header(copy, "Content-Type"), "message/cpim;charset=utf-8");
    assert_eq!((header(copy, "Content-Language"), body(copy)), ("de", cpim));
}

#[test]
fn for_an_absent_user_it_is_on_disk_before_the_answer_leaves() {
    let mut house = house();
    let out = send(&mut house, "bob", "later");
    assert_eq!((out.statuses(), out.kinds()), (vec![202], vec!["message.stored".to_owned()]));
    let saved = out.list.iter().find_map(|output| match output {
        Output::Save { mark, durability: Durability::Synced, .. } => Some(*mark),
        _ => None,
    });
    let answer = out.list.iter().find_map(|output| match output {
        Output::Send { after, .. } => Some(*after),
        _ => None,
    });
    assert!(saved.is_some() && answer == Some(saved));
    assert_eq!(waiting(&house), [1]);
    house.seconds(100);
    let out = house.bind("bob", 2);
    let copies = out.requests("MESSAGE");
    assert_eq!((copies.len(), body(&copies[0])), (1, "later"));
    assert_eq!(header(&copies[0], "Date"), "Fri, 15 Jan 2027 08:00:00 GMT");
    let out = house.answer(&copies[0], "200 OK", "");
    assert_eq!(out.kinds(), ["message.delivered"]);
    assert_eq!(waiting(&house), [0]);
    assert!(house.sessions_kept() == 0);
    assert!(house.bind("bob", 2).requests("MESSAGE").is_empty(), "each once");
}

#[test]
fn what_waits_is_delivered_in_order_one_behind_the_other() {
    let mut house = house();
    for text in ["one", "two", "three"] {
        assert_eq!(send(&mut house, "bob", text).statuses(), [202]);
    }
    let mut out = house.bind("bob", 2);
    for text in ["one", "two", "three"] {
        let copies = out.requests("MESSAGE");
        assert_eq!((copies.len(), body(&copies[0])), (1, text));
        if text == "two" {
            // A new one waits for its turn.
            assert!(send(&mut house, "bob", "four").requests("MESSAGE").is_empty());
        }
        out = house.answer(&copies[0], "200 OK", "");
    }
    let copies = out.requests("MESSAGE");
    assert_eq!(body(&copies[0]), "four");
    assert_eq!(house.answer(&copies[0], "200 OK", "").statuses(), [200]);
}

#[test]
fn a_restart_loses_nothing_and_keeps_the_order() {
    let mut house = house();
    for text in ["one", "two"] {
        send(&mut house, "bob", text);
        house.seconds(1);
    }
    let mut log = house.shard.snapshot();
    assert_eq!(log.len(), 2);
    log.reverse();
    let mut house = Phones::with_log(room, log, 60);
    let out = house.bind("bob", 2);
    let copies = out.requests("MESSAGE");
    assert_eq!((copies.len(), body(&copies[0])), (1, "one"));
    let copies = house.answer(&copies[0], "200 OK", "").requests("MESSAGE");
    assert_eq!(body(&copies[0]), "two");
    house.answer(&copies[0], "200 OK", "");
    assert!(house.sessions_kept() == 0);
}

#[test]
fn a_phone_that_does_not_answer_makes_it_wait_and_is_tried_again() {
    let mut house = house();
    house.bind("bob", 2);
    let copies = send(&mut house, "bob", "hello").requests("MESSAGE");
    let out = house.seconds(5);
    assert_eq!(out.statuses(), [202], "deliver_wait");
    // The phone is back before its first copy was given up: it is tried again at once.
    house.seconds(20);
    assert!(house.bind("bob", 2).requests("MESSAGE").is_empty());
    let again = house.seconds(8).requests("MESSAGE");
    let again: Vec<_> = again.iter().filter(|text| **text != copies[0]).collect();
    assert_eq!(header(again[0], "CSeq"), "2 MESSAGE");
    assert_eq!(header(again[0], "Call-ID"), header(&copies[0], "Call-ID"));
    let out = house.answer(again[0], "200 OK", "");
    assert_eq!(out.kinds(), ["message.delivered"]);
    // And without a word of its own after a pause.
    let copies = send(&mut house, "bob", "more").requests("MESSAGE");
    let out = house.answer(&copies[0], "503 Service Unavailable", "");
    assert_eq!(out.statuses(), [202]);
    let again = house.seconds(75).requests("MESSAGE");
    assert_eq!(header(&again[0], "CSeq"), "2 MESSAGE");
}

#[test]
fn a_message_that_no_phone_wants_is_not_kept() {
    let mut house = house();
    house.bind("bob", 2);
    let copies = send(&mut house, "bob", "hello").requests("MESSAGE");
    let out = house.answer(&copies[0], "415 Unsupported Media Type", "");
    assert_eq!((out.statuses(), out.kinds()), (vec![415], vec!["message.refused".to_owned()]));
    // A phone without MESSAGE says nothing about the letter: another phone may take it.
    let copies = send(&mut house, "bob", "hello").requests("MESSAGE");
    assert_eq!(house.answer(&copies[0], "405 Method Not Allowed", "").statuses(), [202]);
    let copies = house.bind("bob", 3).requests("MESSAGE");
    assert_eq!(copies.len(), 2);
}

#[test]
fn expires_is_obeyed_and_cut() {
    let mut house = house();
    let brief = format!("{TEXT}Expires: 30\r\n");
    assert_eq!(house.ask(1, "MESSAGE", "bob", &brief, "brief").statuses(), [202]);
    let long = format!("{TEXT}Expires: 4000000000\r\n");
    assert_eq!(house.ask(1, "MESSAGE", "bob", &long, "long").statuses(), [202]);
    let out = house.seconds(41);
    assert_eq!(out.kinds(), ["message.expired"]);
    let copies = house.bind("bob", 2).requests("MESSAGE");
    assert_eq!(body(&copies[0]), "long");
    assert_eq!(header(&copies[0], "Expires"), (604_800 - 41).to_string());
    // Now or never.
    let never = format!("{TEXT}Expires: 0\r\n");
    let out = house.ask(1, "MESSAGE", "carol", &never, "now");
    assert_eq!(out.statuses(), [480]);
    house.bind("carol", 4);
    let copies = house.ask(1, "MESSAGE", "carol", &never, "now").requests("MESSAGE");
    assert_eq!(house.answer(&copies[0], "480 Temporarily Unavailable", "").statuses(), [480]);
    assert_eq!(house.sessions_kept(), 1);
}

#[test]
fn limits_and_strangers_are_refused() {
    let mut house = house();
    let out = send(&mut house, "nobody", "hello");
    assert_eq!(out.statuses(), [404]);
    assert!(out.sent()[0].contains("messaging.no_such_user CAR-1705"));
    let long = "x".repeat(messaging::DATAGRAM_BODY_MAX + 1);
    let out = send(&mut house, "bob", &long);
    assert_eq!(out.statuses(), [413]);
    assert_eq!(send(&mut house, "bob", &long[1..]).statuses(), [202]);
    for _ in 1..Config::default().user_max {
        assert_eq!(send(&mut house, "bob", "hello").statuses(), [202]);
    }
    let out = send(&mut house, "bob", "one more");
    assert_eq!(out.statuses(), [480]);
    assert!(out.sent()[0].contains("messaging.user_full"));
    let text = request("MESSAGE", "alice", 1, "carol", 999, TEXT, "x");
    let out = house.say(1, &text.replace("Max-Forwards: 70", "Max-Forwards: 0"));
    assert_eq!(out.statuses(), [483]);
    let text = request("MESSAGE", "alice", 1, "carol", 1_000, TEXT, "x");
    let out = house
        .say(1, &text.replace("MESSAGE sip:carol@example.org", "MESSAGE sip:carol@example.net"));
    assert_eq!(out.statuses(), [403]);
}

#[test]
fn a_user_who_is_deleted_takes_what_waits_with_him() {
    let mut house = house();
    send(&mut house, "bob", "hello");
    let out = house.notice(Notice::UserGone { name: "bob".into() });
    assert_eq!(out.kinds(), ["message.dropped"]);
    assert!(house.sessions_kept() == 0);
}

#[test]
fn the_api_sends_and_lists() {
    let mut house = house();
    house.bind("bob", 2);
    let post = r#"{"from":"alice","to":"sip:bob@example.org","text":"hello"}"#;
    let out = house.api("POST /v1/messages", &[], post);
    let copies = out.requests("MESSAGE");
    let out = house.answer(&copies[0], "200 OK", "");
    let (response, value) = out.answer();
    assert_eq!((response.status, &value["state"]), (200, &json!("delivered")));
    let out = house.api("POST /v1/messages", &[], r#"{"from":"alice","to":"carol","text":"a"}"#);
    assert_eq!((out.answer().0.status, &out.answer().1["state"]), (202, &json!("waiting")));
    for (row, field) in [
        (r#"{"from":"alice","to":"nobody","text":"a"}"#, "to"),
        (r#"{"from":"nobody","to":"bob","text":"a"}"#, "from"),
        (r#"{"from":"alice","to":"bob"}"#, "body"),
        (r#"{"from":"alice","to":"bob","text":"a","x":1}"#, "body"),
        (r#"{"from":"alice","to":"bob","text":"a","content_type":"a\nb/c"}"#, "content_type"),
    ] {
        let out = house.api("POST /v1/messages", &[], row);
        let (response, value) = out.answer();
        assert!(response.status >= 400 && value["tried"]["field"] == field, "{row}: {value}");
    }
    let out = house.api("GET /v1/messages", &[("user", "carol"), ("limit", "5")], "");
    let row = vec!["msg_x", "sip:alice@example.org", "sip:carol@example.org", "text/plain"];
    let mut row: Vec<Value> = row.into_iter().map(Value::from).collect();
    row.extend([5i64, 1_000_000, 2_000_000].map(Value::from));
    row.push("delivered".into());
    let out = house.reply(out.loads()[0].0, rows(vec![row]));
    let (_, value) = out.answer();
    assert_eq!(value["items"].as_array().map(Vec::len), Some(2));
    assert_eq!(
        (&value["items"][0]["state"], &value["items"][1]["state"]),
        (&json!("waiting"), &json!("delivered"))
    );
    assert!(!value.to_string().contains("\"a\""), "the text is not told");
    let out = house.api("GET /v1/messages", &[], "");
    assert_eq!(out.answer().1["code"], "messaging.malformed");
}

#[test]
fn a_message_that_is_over_is_a_row() {
    let mut house = house();
    house.bind("bob", 2);
    let copies = send(&mut house, "bob", "hello").requests("MESSAGE");
    let out = house.answer(&copies[0], "200 OK", "");
    let rows: Vec<_> = out
        .list
        .iter()
        .filter_map(|output| match output {
            Output::Save { entry, .. } => Some(messaging::store::project(entry)),
            _ => None,
        })
        .flatten()
        .collect();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].values.last(), Some(&Value::from("delivered")));
    let record = Record { id: MessageId(SessionId(9).0), sent: UnixTime(1), ..Record::default() };
    assert_eq!(Record::decode(&record.encode()), Some(record));
}
