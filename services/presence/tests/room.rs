//! The room `presence` as a script: each package, and each rule of its RFC, with phones that watch.

use driver::phones::reply_to;
use driver::text::{body, header};
use driver::{Out, Phones};
use presence::{Config, FAST_GAP, PUBLICATIONS_MAX, REFUSALS, Refusal, Room, SLOW_GAP};
use serde_json::json;
use switchboard::notice::CallFacts;
use switchboard::{Notice, Service};
use types::SessionId;

fn room() -> Box<dyn Service> {
    Box::new(Room::new(Config::default()))
}

fn house() -> Phones {
    Phones::new(room)
}

/// Subscribes from phone 1; the answer and the first NOTIFY.
#[track_caller]
fn watch(house: &mut Phones, user: &str, package: &str) -> (String, String) {
    let out = subscribe(house, user, package, "Expires: 600\r\n");
    let sent = out.sent();
    assert_eq!(out.statuses(), [200], "{sent:?}");
    house.answer(&sent[1], "200 OK", "");
    (sent[0].clone(), sent[1].clone())
}

fn subscribe(house: &mut Phones, user: &str, package: &str, more: &str) -> Out {
    let headers = format!("Contact: <sip:w@192.0.2.1>\r\nEvent: {package}\r\n{more}");
    house.ask(1, "SUBSCRIBE", user, &headers, "")
}

/// A request in the dialog that this answer made.
fn within(house: &mut Phones, answer: &str, cseq: u32, event: &str, expires: u32) -> Out {
    let (from, to) = (header(answer, "From"), header(answer, "To"));
    let call = header(answer, "Call-ID");
    let text = format!(
        "SUBSCRIBE sip:198.51.100.1:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK{call}x{cseq}\r\n\
         Max-Forwards: 70\r\nFrom: {from}\r\nTo: {to}\r\nCall-ID: {call}\r\nCSeq: {cseq} SUBSCRIBE\r\n\
         Contact: <sip:w@192.0.2.1>\r\nEvent: {event}\r\nExpires: {expires}\r\n\r\n"
    );
    house.say(1, &text)
}

/// The one NOTIFY that left; it is answered.
#[track_caller]
fn news(house: &mut Phones, out: &Out) -> String {
    let mut found = out.requests("NOTIFY");
    found.dedup(); // It is repeated while nobody answers it.
    assert_eq!(found.len(), 1, "{found:?}");
    house.answer(&found[0], "200 OK", "");
    found[0].clone()
}

fn publish(house: &mut Phones, headers: &str, body: &str) -> Out {
    let kind = if body.is_empty() { "" } else { "Content-Type: application/pidf+xml\r\n" };
    house.speaker = "bob";
    let headers = format!("Event: presence\r\n{kind}{headers}");
    let out = house.ask(2, "PUBLISH", "bob", &headers, body);
    house.speaker = "alice";
    out
}

/// The tag of the publication that was answered so.
#[track_caller]
fn tag(out: &Out) -> String {
    let sent = out.sent();
    let answer = sent.iter().find(|text| text.starts_with("SIP/2.0 200")).unwrap();
    header(answer, "SIP-ETag").to_owned()
}

fn facts(from: &str, to: &str) -> CallFacts {
    CallFacts {
        session: SessionId(77),
        from: format!("sip:{from}@example.org"),
        to: format!("sip:{to}@example.org"),
        from_name: "Somebody".into(),
        call_id: "abc".into(),
        ..CallFacts::default()
    }
}

#[test]
fn every_refusal_has_its_row() {
    driver::check_refusals("presence", 1801, &Refusal::ALL, REFUSALS);
}

#[test]
fn presence_follows_registration_rfc_3856() {
    let mut house = house();
    let (answer, first) = watch(&mut house, "bob", "presence");
    assert_eq!(header(&answer, "Expires"), "600");
    assert_eq!(header(&first, "Content-Type"), "application/pidf+xml");
    assert_eq!(header(&first, "Subscription-State"), "active;expires=600");
    assert!(
        body(&first).contains("entity=\"sip:bob@example.org\"")
            && body(&first).contains("<basic>closed<")
    );
    house.seconds(SLOW_GAP.as_secs());
    let out = house.bind("bob", 2);
    assert!(body(&news(&mut house, &out)).contains("<basic>open<"));
    house.seconds(SLOW_GAP.as_secs());
    let out = house.bind("bob", 2);
    assert!(out.requests("NOTIFY").is_empty(), "a refresh is no news");
    let out = house.unbind("bob", 2);
    assert!(body(&news(&mut house, &out)).contains("<basic>closed<"));
}

#[test]
fn news_are_throttled_and_the_newest_leaves() {
    let mut house = house();
    watch(&mut house, "bob", "presence");
    for _ in 0..5 {
        assert!(house.bind("bob", 2).requests("NOTIFY").is_empty());
        assert!(house.unbind("bob", 2).requests("NOTIFY").is_empty());
    }
    house.bind("bob", 2);
    let out = house.seconds(SLOW_GAP.as_secs());
    assert!(body(&news(&mut house, &out)).contains("<basic>open<"));
}

#[test]
fn a_publication_is_shown_as_it_came_rfc_3903() {
    let mut house = house();
    watch(&mut house, "bob", "presence");
    house.seconds(10);
    let document = "<presence entity=\"sip:bob@example.org\"><note>\u{e4}</note></presence>";
    let out = publish(&mut house, "Expires: 300\r\n", document);
    let answer = out.sent().into_iter().find(|text| text.starts_with("SIP/2.0 200")).unwrap();
    assert_eq!(header(&answer, "Expires"), "300");
    let first = tag(&out);
    assert_eq!(body(&news(&mut house, &out)), document);
    // A refresh gets another tag and is no news; the old tag is worth nothing then.
    house.seconds(10);
    let out = publish(&mut house, &format!("SIP-If-Match: {first}\r\nExpires: 300\r\n"), "");
    let second = tag(&out);
    assert!(second != first && out.requests("NOTIFY").is_empty());
    let out = publish(&mut house, &format!("SIP-If-Match: {first}\r\n"), document);
    assert_eq!(out.statuses(), [412]);
    // A change.
    let other = document.replace("note", "other");
    let out = publish(&mut house, &format!("SIP-If-Match: {second}\r\nExpires: 300\r\n"), &other);
    let third = tag(&out);
    assert_eq!(body(&news(&mut house, &out)), other);
    // Its removal: what the registrar knows is shown again.
    house.seconds(10);
    let out = publish(&mut house, &format!("SIP-If-Match: {third}\r\nExpires: 0\r\n"), "");
    assert_eq!(out.statuses(), [200]);
    assert!(body(&news(&mut house, &out)).contains("<basic>closed<"));
    assert_eq!(publish(&mut house, &format!("SIP-If-Match: {third}\r\n"), "").statuses(), [412]);
}

#[test]
fn a_publication_ends_by_itself_and_survives_a_restart() {
    let mut house = house();
    publish(&mut house, "Expires: 300\r\n", "<presence/>");
    watch(&mut house, "bob", "presence");
    let mut house = Phones::with_log(room, house.shard.snapshot(), 100);
    let out = house.seconds(20);
    assert_eq!(body(&news(&mut house, &out)), "<presence/>");
    let out = house.seconds(200);
    assert!(body(&news(&mut house, &out)).contains("<basic>closed<"));
    assert_eq!(house.sessions_kept(), 1);
}

#[test]
fn publications_are_checked() {
    let mut house = house();
    let statuses =
        |house: &mut Phones, headers: &str, body: &str| publish(house, headers, body).statuses();
    assert_eq!(statuses(&mut house, "", ""), [400]);
    let out = publish(&mut house, "Expires: 5\r\n", "<presence/>");
    assert_eq!((out.statuses(), header(&out.sent()[0], "Min-Expires")), (vec![423], "60"));
    let long = "x".repeat(presence::DOCUMENT_MAX + 1);
    assert_eq!(statuses(&mut house, "", &long), [413]);
    let wrong = "Event: presence\r\nContent-Type: text/plain\r\n";
    house.speaker = "bob";
    let out = house.ask(2, "PUBLISH", "bob", wrong, "x");
    assert_eq!(
        (out.statuses(), header(&out.sent()[0], "Accept")),
        (vec![415], "application/pidf+xml")
    );
    let out = house.ask(2, "PUBLISH", "bob", "Event: dialog\r\n", "x");
    assert_eq!(out.statuses(), [489]);
    let out = house.ask(2, "PUBLISH", "carol", "Event: presence\r\n", "x");
    assert_eq!(out.statuses(), [403]);
    for _ in 0..PUBLICATIONS_MAX {
        assert_eq!(statuses(&mut house, "", "<presence/>"), [200]);
    }
    assert_eq!(statuses(&mut house, "", "<presence/>"), [480]);
}

#[test]
fn a_lamp_follows_the_calls_of_a_line_rfc_4235() {
    let mut house = house();
    let (_, first) = watch(&mut house, "bob", "dialog");
    assert_eq!(header(&first, "Content-Type"), "application/dialog-info+xml");
    assert!(body(&first).contains("version=\"0\" state=\"full\" entity=\"sip:bob@example.org\"/>"));
    let states = [
        (Notice::CallBegan(facts("carol", "bob").into()), "<state>early</state>"),
        (Notice::CallAnswered(facts("carol", "bob").into()), "<state>confirmed</state>"),
        (Notice::CallEnded(facts("carol", "bob").into()), "<state>terminated</state>"),
    ];
    for (place, (notice, state)) in states.into_iter().enumerate() {
        house.seconds(FAST_GAP.as_secs());
        let out = house.notice(notice);
        let news = news(&mut house, &out);
        assert!(body(&news).contains(state), "{news}");
        assert!(body(&news).contains(&format!("version=\"{}\"", place + 1)));
        assert!(
            body(&news).contains("direction=\"recipient\"")
                && body(&news).contains("display=\"Somebody\">sip:carol@example.org<")
        );
    }
    // The caller's side, and nothing of the call that is over.
    house.seconds(1);
    let call = CallFacts { session: SessionId(78), ..facts("bob", "carol") };
    let out = house.notice(Notice::CallBegan(call.into()));
    let text = news(&mut house, &out);
    assert!(body(&text).contains("direction=\"initiator\"><state>trying</state>"));
    assert_eq!(body(&text).matches("<dialog ").count(), 1);
}

#[test]
fn a_call_that_is_there_already_is_seen_and_a_restart_keeps_the_lamp() {
    let mut house = house();
    house.notice(Notice::CallAnswered(facts("carol", "bob").into()));
    let (_, first) = watch(&mut house, "bob", "dialog");
    assert!(body(&first).contains("<state>confirmed</state>"));
    let mut house = Phones::with_log(room, house.shard.snapshot(), 5);
    let out = house.seconds(15);
    assert!(body(&news(&mut house, &out)).contains("<state>confirmed</state>"));
    house.seconds(1);
    let out = house.notice(Notice::CallEnded(facts("carol", "bob").into()));
    assert!(body(&news(&mut house, &out)).contains("<state>terminated</state>"));
}

#[test]
fn a_call_that_another_answered_is_on_his_line_only() {
    let mut house = house();
    watch(&mut house, "bob", "dialog");
    house.seconds(1);
    let out = house.notice(Notice::CallBegan(facts("alice", "bob").into()));
    news(&mut house, &out);
    house.seconds(1);
    let call = CallFacts { answered_by: "carol".into(), ..facts("alice", "bob") };
    let out = house.notice(Notice::CallAnswered(call.clone().into()));
    assert!(body(&news(&mut house, &out)).contains("<state>terminated</state>"));
    let (_, first) = watch(&mut house, "carol", "dialog");
    assert!(body(&first).contains("<state>confirmed</state>"));
    house.seconds(1);
    let out = house.notice(Notice::CallEnded(call.into()));
    assert!(body(&news(&mut house, &out)).contains("<state>terminated</state>"));
}

#[test]
fn with_whom_somebody_talks_may_be_hidden() {
    fn discreet() -> Box<dyn Service> {
        Box::new(Room::new(Config { watch_parties: false, ..Config::default() }))
    }
    let mut house = Phones::new(discreet);
    house.notice(Notice::CallAnswered(facts("carol", "bob").into()));
    let (_, first) = watch(&mut house, "bob", "dialog");
    assert!(body(&first).contains("confirmed") && !body(&first).contains("carol"));
    fn closed() -> Box<dyn Service> {
        let config = Config { watch_lines: false, watch_presence: false, ..Config::default() };
        Box::new(Room::new(config))
    }
    let mut house = Phones::new(closed);
    for package in ["dialog", "presence"] {
        assert_eq!(subscribe(&mut house, "bob", package, "").statuses(), [403]);
        assert_eq!(subscribe(&mut house, "alice", package, "").statuses(), [200]);
    }
}

#[test]
fn waiting_messages_are_counted_for_their_user_rfc_3842() {
    let mut house = house();
    house.notice(Notice::MessagesWaiting { user: "alice".into(), count: 2 });
    let (_, first) = watch(&mut house, "alice", "message-summary");
    assert_eq!(header(&first, "Content-Type"), "application/simple-message-summary");
    assert_eq!(
        body(&first),
        "Messages-Waiting: yes\r\nMessage-Account: sip:alice@example.org\r\nText-Message: 2/0\r\n"
    );
    house.seconds(1);
    let out = house.notice(Notice::MessagesWaiting { user: "alice".into(), count: 0 });
    assert!(body(&news(&mut house, &out)).starts_with("Messages-Waiting: no\r\n"));
    assert_eq!(subscribe(&mut house, "bob", "message-summary", "").statuses(), [403]);
}

#[test]
fn registrations_are_shown_to_their_user_rfc_3680() {
    let mut house = house();
    house.bind("alice", 3);
    let (_, first) = watch(&mut house, "alice", "reg");
    assert_eq!(header(&first, "Content-Type"), "application/reginfo+xml");
    assert!(
        body(&first)
            .contains("version=\"0\" state=\"full\"><registration aor=\"sip:alice@example.org\"")
    );
    assert!(body(&first).contains("state=\"active\" event=\"registered\" expires=\"3600\""));
    assert!(body(&first).contains("<uri>sip:alice@192.0.2.3</uri>"));
    house.seconds(SLOW_GAP.as_secs());
    let out = house.unbind("alice", 3);
    let text = news(&mut house, &out);
    assert!(body(&text).contains("state=\"terminated\" event=\"unregistered\""));
    assert!(body(&text).contains("version=\"1\""));
    assert_eq!(subscribe(&mut house, "bob", "reg", "").statuses(), [403]);
}

#[test]
fn a_subscription_is_refreshed_and_ended_rfc_6665() {
    let mut house = house();
    let (answer, _) = watch(&mut house, "bob", "presence");
    let out = within(&mut house, &answer, 2, "presence", 1_000);
    assert_eq!((out.statuses(), header(&out.sent()[0], "Expires")), (vec![200], "1000"));
    let text = news(&mut house, &out);
    assert_eq!(header(&text, "Subscription-State"), "active;expires=1000");
    let out = within(&mut house, &answer, 3, "presence", 0);
    let text = news(&mut house, &out);
    assert_eq!(header(&text, "Subscription-State"), "terminated;reason=timeout");
    assert!(body(&text).contains("closed"));
    assert_eq!(within(&mut house, &answer, 4, "presence", 600).statuses(), [481]);
    assert!(house.bind("bob", 2).requests("NOTIFY").is_empty());
    assert_eq!((house.gauge("sessions"), house.sessions_kept()), (0, 0));
    // Not refreshed.
    watch(&mut house, "bob", "presence");
    let out = house.seconds(600);
    let text = news(&mut house, &out);
    assert_eq!(header(&text, "Subscription-State"), "terminated;reason=timeout");
    assert!(house.unbind("bob", 2).requests("NOTIFY").is_empty());
}

#[test]
fn a_fetch_is_one_look() {
    let mut house = house();
    let out = subscribe(&mut house, "bob", "presence", "Expires: 0\r\n");
    let text = news(&mut house, &out);
    assert_eq!(header(&text, "Subscription-State"), "terminated;reason=timeout");
    assert!(body(&text).contains("closed"));
    assert!(house.bind("bob", 2).requests("NOTIFY").is_empty());
    assert_eq!(house.gauge("sessions"), 0);
}

#[test]
fn a_watcher_that_forgot_is_forgotten() {
    let mut house = house();
    let out = subscribe(&mut house, "bob", "dialog", "");
    let first = out.requests("NOTIFY").remove(0);
    house.say(1, &reply_to(&first, "481 Subscription Does Not Exist", ""));
    assert_eq!((house.gauge("subscriptions"), house.sessions_kept()), (0, 0));
    house.seconds(10);
    assert!(
        house.notice(Notice::CallBegan(facts("carol", "bob").into())).requests("NOTIFY").is_empty()
    );
}

#[test]
fn what_cannot_be_watched_is_refused() {
    let mut house = house();
    for package in ["conferences", "Presence", "presence.winfo", ""] {
        let out = subscribe(&mut house, "bob", package, "");
        assert_eq!(out.statuses(), [489], "{package}");
        let allowed = "conference, dialog, message-summary, presence, reg";
        assert_eq!(header(&out.sent()[0], "Allow-Events"), allowed);
        assert!(header(&out.sent()[0], "Warning").contains("presence.bad_event CAR-1801"));
    }
    let out = house.ask(1, "SUBSCRIBE", "bob", "Contact: <sip:w@192.0.2.1>\r\n", "");
    assert_eq!(out.statuses(), [489]);
    let out = subscribe(&mut house, "bob", "conference", "");
    assert_eq!(out.statuses(), [404]);
    assert!(header(&out.sent()[0], "Warning").contains("presence.no_such_conference CAR-1812"));
    assert_eq!(subscribe(&mut house, "nobody", "presence", "").statuses(), [404]);
    let out = subscribe(&mut house, "bob", "presence", "Expires: 59\r\n");
    assert_eq!((out.statuses(), header(&out.sent()[0], "Min-Expires")), (vec![423], "60"));
    let out = subscribe(&mut house, "bob", "presence", "Accept: text/plain\r\n");
    assert_eq!(out.statuses(), [406]);
    let both = "Accept: text/plain, application/pidf+xml;q=0.5\r\n";
    assert_eq!(subscribe(&mut house, "bob", "presence", both).statuses(), [200]);
    house.speaker = "stranger";
    assert_eq!(subscribe(&mut house, "bob", "presence", "").statuses(), [403]);
    let out = house.ask(1, "NOTIFY", "bob", "Event: presence\r\n", "");
    assert_eq!(out.statuses(), [481]);
}

#[test]
fn who_is_deleted_is_watched_no_more() {
    let mut house = house();
    watch(&mut house, "bob", "presence");
    house.seconds(10);
    let out = house.notice(Notice::UserGone { name: "bob".into() });
    let text = news(&mut house, &out);
    assert_eq!(header(&text, "Subscription-State"), "terminated;reason=noresource");
    watch(&mut house, "carol", "presence");
    let out = house.notice(Notice::UserGone { name: "alice".into() });
    let text = news(&mut house, &out);
    assert_eq!(header(&text, "Subscription-State"), "terminated;reason=rejected");
    assert_eq!((house.gauge("sessions"), house.sessions_kept()), (0, 0));
}

#[test]
fn the_api_shows_what_is_seen_and_by_whom() {
    let mut house = house();
    watch(&mut house, "bob", "dialog");
    house.notice(Notice::CallAnswered(facts("carol", "bob").into()));
    let out = house.api("GET /v1/presence", &[("user", "bob")], "");
    let item = &out.answer().1["items"][0];
    assert_eq!(item["watchers"], json!([{"watcher": "alice", "package": "dialog"}]));
    assert_eq!(
        (&item["lines"][0]["state"], &item["reachable"]),
        (&json!("confirmed"), &json!(false))
    );
    let out = house.api("GET /v1/presence", &[], "");
    assert_eq!(out.answer().1["items"].as_array().map(Vec::len), Some(2));
    let out = house.api("GET /v1/presence", &[("user", "nobody")], "");
    assert_eq!(out.answer().1["code"], "presence.no_such_user");
}
