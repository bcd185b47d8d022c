//! Subscriptions as dialogs: RFC 6665 from the notifier's side, RFC 3515 §2.4 for REFER.

mod common;

use std::time::Duration;

use common::{Heard, House, header};
use switchboard::{
    Bounds, Effects, Event, Session, SubscriptionEvent, SubscriptionState, Terms, subscription,
};
use types::{Seconds, SessionId};

const TEXT: &str = "text/plain";

/// Takes every SUBSCRIBE and REFER and tells its version.
fn offer(session: &Session<'_>, effects: &mut Effects<'_>) -> bool {
    let Session::Request { request, .. } = session else { return false };
    let bounds = Bounds { min: Seconds(60), default: Seconds(600), max: Seconds(3_600) };
    let terms = Terms { watcher: "a".into(), bounds, gap: Duration::from_secs(2) };
    if let Some(session) = effects.subscribe(*request, terms, b"kept".to_vec()) {
        tell(session, effects);
    }
    true
}

fn tell(session: SessionId, effects: &mut Effects<'_>) {
    let body = format!("version {}", effects.version(session)).into_bytes();
    effects.notify(session, SubscriptionState::Active, TEXT, body);
}

/// Says the state again when asked, and three times when it was refreshed.
fn on_event(session: SessionId, event: &Event, effects: &mut Effects<'_>) {
    if let Event::Subscription(SubscriptionEvent::Due | SubscriptionEvent::Closing) = event {
        tell(session, effects);
        tell(session, effects);
    }
}

fn subscribe(call: &str, cseq: u32, to_tag: &str, expires: &str) -> String {
    request("SUBSCRIBE", call, cseq, to_tag, &format!("Event: presence\r\n{expires}"))
}

fn request(method: &str, call: &str, cseq: u32, to_tag: &str, headers: &str) -> String {
    let tag = if to_tag.is_empty() { String::new() } else { format!(";tag={to_tag}") };
    format!(
        "{method} sip:b@example.org SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK{call}{cseq}{method}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:a@example.org>;tag=mine\r\nTo: <sip:b@example.org>{tag}\r\n\
         Call-ID: {call}\r\nCSeq: {cseq} {method}\r\nContact: <sip:a@192.0.2.7>\r\n{headers}\r\n"
    )
}

fn tag(message: &str) -> String {
    header(message, "To").split(";tag=").nth(1).unwrap().to_owned()
}

/// Subscribes and answers the first NOTIFY; our tag.
fn begin(house: &mut House, call: &str) -> String {
    let sent = house.say(&subscribe(call, 1, "", "Expires: 120\r\n"));
    house.answer(&sent[1], "200 OK", "");
    tag(&sent[0])
}

fn body(message: &str) -> &str {
    message.split("\r\n\r\n").nth(1).unwrap()
}

#[test]
fn a_subscribe_is_answered_and_a_notify_follows_at_once() {
    let mut house = House::new(offer, on_event);
    let sent = house.say(&subscribe("one", 1, "", "Expires: 120\r\n"));
    assert_eq!(sent.len(), 2, "{sent:?}");
    assert!(sent[0].starts_with("SIP/2.0 200 OK\r\n"));
    assert_eq!(header(&sent[0], "Expires"), "120");
    assert_eq!(header(&sent[0], "Contact"), "<sip:198.51.100.1:5060>");
    let notify = &sent[1];
    assert!(notify.starts_with("NOTIFY sip:a@192.0.2.7 SIP/2.0\r\n"));
    assert_eq!(header(notify, "Event"), "presence");
    assert_eq!(header(notify, "Subscription-State"), "active;expires=120");
    assert_eq!(header(notify, "To"), "<sip:a@example.org>;tag=mine");
    assert_eq!(header(notify, "From").split(";tag=").nth(1), Some(tag(&sent[0]).as_str()));
    assert_eq!((header(notify, "CSeq"), body(notify)), ("1 NOTIFY", "version 0"));
    // The NOTIFY is repeated by its transaction until it is answered.
    assert_eq!(house.seconds(1), std::slice::from_ref(notify));
    house.answer(notify, "200 OK", "");
    assert!(house.seconds(40).is_empty());
    assert_eq!(house.gauge("subscriptions"), 1);
}

#[test]
fn the_event_id_comes_back_and_names_the_subscription() {
    let mut house = House::new(offer, on_event);
    let with = |cseq, tag: &str, event: &str| {
        request("SUBSCRIBE", "id", cseq, tag, &format!("Event: dialog{event}\r\nExpires: 90\r\n"))
    };
    let sent = house.say(&with(1, "", "; id=7"));
    assert_eq!(header(&sent[1], "Event"), "dialog;id=7");
    let sent = house.say(&with(2, &tag(&sent[0]), ";id=8"));
    assert!(sent[0].starts_with("SIP/2.0 481 "));
}

#[test]
fn a_refresh_lengthens_it_and_is_answered_by_a_notify() {
    let mut house = House::new(offer, on_event);
    let tag = begin(&mut house, "two");
    house.seconds(100);
    let sent = house.say(&subscribe("two", 2, &tag, "Expires: 300\r\n"));
    // Two were said; the second waits for the answer of the first.
    assert_eq!(sent.len(), 2);
    assert_eq!(header(&sent[0], "Expires"), "300");
    assert_eq!(header(&sent[1], "Subscription-State"), "active;expires=300");
    assert_eq!(body(&sent[1]), "version 1");
    assert!(house.answer(&sent[1], "200 OK", "").is_empty(), "news keep their gap");
    let news = house.seconds(2);
    assert_eq!(body(&news[0]), "version 2");
    house.answer(&news[0], "200 OK", "");
    assert!(house.seconds(200).is_empty());
    assert_eq!(events(&house), [SubscriptionEvent::Due]);
}

fn events(house: &House) -> Vec<SubscriptionEvent> {
    let events = house.events().into_iter().filter_map(|event| match event {
        Event::Subscription(event) => Some(event),
        _ => None,
    });
    events.collect()
}

#[test]
fn unsubscribing_ends_it_with_a_last_notify() {
    let mut house = House::new(offer, on_event);
    let tag = begin(&mut house, "three");
    let sent = house.say(&subscribe("three", 2, &tag, "Expires: 0\r\n"));
    assert_eq!(header(&sent[0], "Expires"), "0");
    assert_eq!(header(&sent[1], "Subscription-State"), "terminated;reason=timeout");
    assert_eq!(body(&sent[1]), "version 1");
    assert_eq!(events(&house), [SubscriptionEvent::Closing]);
    assert_eq!((house.gauge("subscriptions"), house.gauge("sessions")), (0, 0));
    house.answer(&sent[1], "200 OK", "");
    let late = house.say(&subscribe("three", 3, &tag, "Expires: 60\r\n"));
    assert!(late[0].starts_with("SIP/2.0 481 "));
    assert!(house.log.is_empty());
}

#[test]
fn a_fetch_is_one_notify_and_is_not_kept() {
    let mut house = House::new(offer, on_event);
    let sent = house.say(&subscribe("fetch", 1, "", "Expires: 0\r\n"));
    assert!(sent[0].starts_with("SIP/2.0 200 "));
    assert_eq!(header(&sent[1], "Subscription-State"), "terminated;reason=timeout");
    assert_eq!(body(&sent[1]), "version 0");
    assert_eq!(house.gauge("subscriptions"), 0);
    assert!(house.log.is_empty());
}

#[test]
fn it_ends_by_itself_when_it_is_not_refreshed() {
    let mut house = House::new(offer, on_event);
    begin(&mut house, "four");
    assert!(house.seconds(119).is_empty());
    let sent = house.seconds(1);
    assert_eq!(header(&sent[0], "Subscription-State"), "terminated;reason=timeout");
    assert_eq!((house.gauge("subscriptions"), house.log.len()), (0, 0));
}

#[test]
fn a_room_without_a_last_word_is_not_waited_for() {
    fn silent(_: SessionId, _: &Event, _: &mut Effects<'_>) {}
    let mut house = House::new(offer, silent);
    begin(&mut house, "five");
    assert!(house.seconds(124).is_empty());
    let sent = house.seconds(1);
    assert_eq!(header(&sent[0], "Subscription-State"), "terminated;reason=timeout");
    assert_eq!((body(&sent[0]), house.gauge("sessions")), ("", 0));
}

#[test]
fn an_interval_without_a_wish_is_ours_and_a_brief_one_is_refused() {
    let mut house = House::new(offer, on_event);
    let sent = house.say(&subscribe("default", 1, "", ""));
    assert_eq!(header(&sent[0], "Expires"), "600");
    let sent = house.say(&subscribe("long", 1, "", "Expires: 99999\r\n"));
    assert_eq!(header(&sent[0], "Expires"), "3600");
    let sent = house.say(&subscribe("brief", 1, "", "Expires: 59\r\n"));
    assert!(sent[0].starts_with("SIP/2.0 423 Interval Too Brief\r\n"));
    assert_eq!((sent.len(), header(&sent[0], "Min-Expires")), (1, "60"));
    assert!(header(&sent[0], "Warning").contains("switchboard.interval_too_brief"));
    // The same within the dialog: the subscription stays as it was.
    let tag = begin(&mut house, "six");
    let sent = house.say(&subscribe("six", 2, &tag, "Expires: 1\r\n"));
    assert!(sent[0].starts_with("SIP/2.0 423 ") && sent.len() == 1);
    assert_eq!(house.gauge("subscriptions"), 3);
}

#[test]
fn a_notify_that_is_refused_or_not_answered_ends_it() {
    for status in ["481 Call Does Not Exist", "404 Not Found", "489 Bad Event"] {
        let mut house = House::new(offer, on_event);
        let sent = house.say(&subscribe("gone", 1, "", "Expires: 120\r\n"));
        house.answer(&sent[1], status, "");
        let number = status[..3].parse().unwrap();
        assert_eq!(events(&house), [SubscriptionEvent::Failed { status: number }]);
        assert_eq!((house.gauge("subscriptions"), house.gauge("sessions")), (0, 0));
        assert!(house.log.is_empty());
    }
    let mut house = House::new(offer, on_event);
    house.say(&subscribe("gone", 1, "", "Expires: 120\r\n"));
    house.seconds(33);
    assert_eq!(events(&house), [SubscriptionEvent::Failed { status: 408 }]);
}

#[test]
fn a_watcher_that_is_only_busy_keeps_its_subscription() {
    let mut house = House::new(offer, on_event);
    let sent = house.say(&subscribe("busy", 1, "", "Expires: 120\r\n"));
    house.answer(&sent[1], "503 Service Unavailable", "Retry-After: 5\r\n");
    assert!(events(&house).is_empty());
    assert_eq!(house.gauge("subscriptions"), 1);
}

#[test]
fn other_requests_in_the_dialog_and_old_numbers_are_refused() {
    let mut house = House::new(offer, on_event);
    let tag = begin(&mut house, "other");
    let sent = house.say(&request("INFO", "other", 2, &tag, ""));
    assert!(sent[0].starts_with("SIP/2.0 405 "));
    // A request of its own with an old number; the same branch would be the first one again.
    let old = subscribe("other", 1, &tag, "Expires: 100\r\n").replace("bKother1", "bKanother1");
    let sent = house.say(&old);
    assert!(sent[0].starts_with("SIP/2.0 500 "), "{}", sent[0]);
    // From elsewhere, without a proof.
    let text = subscribe("other", 5, &tag, "Expires: 0\r\n");
    let flow = types::Flow::udp(([203, 0, 113, 9], 5060).into());
    let sent = house.give(switchboard::Input::Message { flow, bytes: text.as_bytes() });
    assert!(sent[0].starts_with("SIP/2.0 481 "), "{}", sent[0]);
    assert_eq!(house.gauge("subscriptions"), 1);
}

#[test]
fn one_watcher_has_a_limit() {
    let mut house = House::new(offer, on_event);
    for n in 0..subscription::USER_SUBSCRIPTIONS_MAX {
        begin(&mut house, &format!("call{n}"));
    }
    let sent = house.say(&subscribe("over", 1, "", "Expires: 120\r\n"));
    assert!(sent[0].starts_with("SIP/2.0 480 ") && sent.len() == 1, "{sent:?}");
    assert!(header(&sent[0], "Warning").contains("switchboard.subscriptions_of_user CAR-1006"));
}

#[test]
fn a_restart_keeps_it() {
    let mut house = House::new(offer, on_event);
    let tag = begin(&mut house, "kept");
    let snapshot = house.shard.snapshot();
    assert_eq!(snapshot, house.log);
    let mut house = House::with_log(offer, on_event, snapshot, 30);
    let adopted = house.heard.try_iter().find_map(|heard| match heard {
        Heard::Adopted(session, state) => Some((session, state)),
        Heard::Event(..) | Heard::Reply(..) => None,
    });
    let (_, state) = adopted.unwrap();
    assert_eq!((state, house.gauge("subscriptions")), (b"kept".to_vec(), 1));
    let sent = house.say(&subscribe("kept", 2, &tag, "Expires: 100\r\n"));
    assert!(sent[0].starts_with("SIP/2.0 200 "), "{}", sent[0]);
    // Behind the block of numbers that was reserved.
    assert_eq!(header(&sent[1], "CSeq"), "33 NOTIFY");
    assert_eq!(body(&sent[1]), "version 32");
    house.answer(&sent[1], "200 OK", "");
    assert!(house.seconds(2).len() == 1 && events(&house).len() == 1);
}

#[test]
fn one_that_ran_out_while_we_were_away_is_ended() {
    let mut house = House::new(offer, on_event);
    begin(&mut house, "away");
    let mut house = House::with_log(offer, on_event, house.log.clone(), 500);
    let sent = house.seconds(1);
    assert_eq!(header(&sent[0], "Subscription-State"), "terminated;reason=timeout");
    assert!(house.log.is_empty());
}

#[test]
fn a_refer_makes_one_with_the_number_of_its_request() {
    let mut house = House::new(offer, on_event);
    let sent = house.say(&request("REFER", "refer", 4, "", "Refer-To: <sip:c@example.org>\r\n"));
    assert!(sent[0].starts_with("SIP/2.0 202 Accepted\r\n"));
    assert_eq!(header(&sent[0], "Expires"), "");
    assert_eq!(header(&sent[1], "Event"), "refer;id=4");
}
