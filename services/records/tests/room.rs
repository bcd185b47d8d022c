//! The room `records` as a script.

use driver::{Alone, UNREACHABLE, phone, rows};
use records::{Config, REFUSALS, Refusal, Room, store};
use serde_json::json;
use switchboard::directory::Binding;
use switchboard::notice::{CallFacts, GuestFacts, RecordingFacts};
use switchboard::store::{Entry, Value, kinds};
use switchboard::{Input, Notice, Reply, Service};
use types::{CallId, SessionId, Slot, UnixTime, tagged};

fn room() -> Box<dyn Service> {
    Box::new(Room::new(Config::default()))
}

fn house() -> Alone {
    let mut house = Alone::new(room);
    house.give(Input::Begin);
    house
}

fn facts() -> CallFacts {
    CallFacts {
        session: SessionId(9),
        from: "sip:1001@example.org".into(),
        to: "sip:1002@example.org".into(),
        from_name: "A\0nn".into(),
        began: UnixTime::seconds(100),
        rang: Some(UnixTime::seconds(101)),
        answered: Some(UnixTime::seconds(103)),
        ended: Some(UnixTime::seconds(115)),
        outcome: "answered".into(),
        hung_up_by: "caller".into(),
        status: 200,
        refusal: String::new(),
        call_id: "abc".into(),
        answered_by: String::new(),
        video: false,
        guests: vec![GuestFacts {
            user: "1003".into(),
            joined: true,
            began: UnixTime::seconds(104),
            ended: None,
            quality: None,
        }],
        quality: Some(Box::default()),
        recordings: vec![RecordingFacts { name: "rec_1".into(), ..RecordingFacts::default() }],
    }
}

fn entry(record: Option<&[u8]>, kind: u8, last: bool) -> Entry {
    let mut writer = tagged::Writer::new();
    writer.text(1, "some room");
    if let Some(record) = record {
        writer.bytes(2, record);
    }
    Entry { slot: Slot(0), kind, key: 9, body: writer.finish(), last }
}

#[test]
fn every_refusal_has_its_row() {
    driver::check_refusals("records", 1501, &Refusal::ALL, REFUSALS);
}

#[test]
fn the_end_of_a_call_becomes_a_row_and_nothing_else_does() {
    let record = facts().encode();
    let statements = store::project(&entry(Some(&record), kinds::SESSION, true));
    assert_eq!(statements.len(), 1);
    let values = &statements[0].values;
    assert_eq!(values[0].text(), Some(CallId(9).to_string().as_str()));
    assert_eq!(values[3].text(), Some("A nn"));
    assert_eq!(values[7].int(), Some(115_000_000));
    for other in [
        entry(Some(&record), kinds::SESSION, false),
        entry(Some(&record), kinds::BINDING, true),
        entry(Some(b"a conference"), kinds::SESSION, true),
        entry(None, kinds::SESSION, true),
    ] {
        assert!(store::project(&other).is_empty());
    }
}

#[test]
fn records_are_asked_for_and_shown() {
    let mut house = house();
    let query = [("since", "2026-01-31T12:00:00Z"), ("user", "1001"), ("limit", "5")];
    let out = house.ask("GET /v1/records", &[], &query, b"");
    let (ticket, asked) = out.loads()[0];
    let since = UnixTime::parse("2026-01-31T12:00:00Z").unwrap();
    assert_eq!(asked.values, [since.into(), "sip:1001@example.org".into(), Value::Int(5)]);
    let row: Vec<Value> = vec![
        "call_9".into(),
        "sip:1001@example.org".into(),
        "sip:1002@example.org".into(),
        "".into(),
        100_000_000.into(),
        Value::Null,
        103_000_000.into(),
        115_500_000.into(),
        12.into(),
        "answered".into(),
        "caller".into(),
        200.into(),
        "".into(),
        "abc".into(),
        "[]".into(),
        "null".into(),
        r#"[{"name":"rec_1"}]"#.into(),
    ];
    let out = house.reply(ticket, rows(vec![row]));
    let (response, shown) = out.answer();
    let item = &shown["items"][0];
    assert_eq!((response.status, &shown["next"]), (200, &json!(null)));
    assert_eq!((&item["quality"], &item["guests"]), (&json!(null), &json!([])));
    assert_eq!(item["recordings"], json!([{"name": "rec_1"}]));
    assert_eq!(item["ended_at"], "1970-01-01T00:01:55.500Z");
    assert_eq!((&item["rang_at"], &item["talk_seconds"]), (&json!(null), &json!(12)));
    let out = house.ask("GET /v1/records", &[], &[], b"");
    let (ticket, asked) = out.loads()[0];
    assert_eq!(asked.values, [Value::Int(0), "".into(), Value::Int(100)]);
    let out = house.reply(ticket, Reply::Rows(Err(UNREACHABLE)));
    assert_eq!(out.answer().1["code"], "records.store_unreachable");
    for query in [("since", "yesterday"), ("limit", "0"), ("limit", "1001"), ("limit", "x")] {
        let out = house.ask("GET /v1/records", &[], &[query], b"");
        assert_eq!(out.answer().1["tried"]["field"], query.0);
    }
}

#[test]
fn questions_are_bounded() {
    let mut house = house();
    for _ in 0..records::QUESTIONS_MAX {
        house.ask("GET /v1/records", &[], &[], b"");
    }
    let out = house.ask("GET /v1/records", &[], &[], b"");
    assert_eq!(out.answer().1["code"], "records.too_many_questions");
}

#[test]
fn facts_become_events_without_tokens() {
    let mut house = house();
    let out = house.notice(Notice::CallBegan(CallFacts { ended: None, ..facts() }.into()));
    assert_eq!(out.events()[0].0, "call.began");
    assert!(out.events()[0].1.get("outcome").is_none());
    let out = house.notice(Notice::CallEnded(facts().into()));
    let (kind, data) = &out.events()[0];
    assert_eq!((kind.as_str(), &data["talk_seconds"]), ("call.ended", &json!(12)));
    let binding = Binding {
        contact: "sip:1001@192.0.2.7:5060;pn-prid=token".into(),
        flow: phone(5060),
        ..Binding::default()
    };
    let binding = binding.into();
    let out = house.notice(Notice::BindingArrived { user: "1001".into(), binding });
    let expected = json!({"user": "1001", "contact": "sip:1001@192.0.2.7:5060"});
    assert_eq!(out.events(), [("binding.arrived".to_owned(), expected)]);
    let (contact, why) = ("sip:192.0.2.7;x".into(), "expired".into());
    let out = house.notice(Notice::BindingGone { user: "1001".into(), contact, why });
    assert_eq!(out.events()[0].1["contact"], "sip:192.0.2.7");
}
