//! Calls that change hands: by REFER, by Replaces, by what their user wants done with them.

use serde_json::{Value, json};

use crate::house::House;

/// Spec: RFC 3515 §2.4, RFC 5589 §6
#[test]
fn rfc3515_a_call_is_transferred_and_its_progress_told() {
    let house = House::enter();
    let (alice, bob, carol) = (house.person(), house.person(), house.person());
    let stays = house.callee(&bob, "transferred.xml");
    let third = house.callee(&carol, "answer.xml");
    let to = format!("sip:{carol}@example.com");
    house.caller_with(&alice, &bob, "transfer.xml", &["-key", "third", &to]).done();
    stays.done();
    third.done();
}

/// Spec: RFC 3515 §2.4.5
#[test]
fn rfc3515_a_transfer_to_somebody_busy_leaves_the_call_as_it_was() {
    let house = House::enter();
    let (alice, bob, carol) = (house.person(), house.person(), house.person());
    let stays = house.callee(&bob, "answer.xml");
    let third = house.callee(&carol, "busy.xml");
    let to = format!("sip:{carol}@example.com");
    house.caller_with(&alice, &bob, "transfer-refused.xml", &["-key", "third", &to]).done();
    stays.done();
    third.done();
}

/// Spec: RFC 3891, RFC 5589 §7
#[test]
fn rfc3891_two_calls_are_put_together() {
    let house = House::enter();
    let (alice, bob, carol) = (house.person(), house.person(), house.person());
    let third = house.callee(&carol, "moved-over.xml");
    let asked = house.caller(&alice, &carol, "noted-call.xml");
    let named = asked.logged().replace('@', "%40").replace(';', "%3B").replace('=', "%3D");
    let stays = house.callee(&bob, "transferred.xml");
    let to = format!("sip:{carol}@example.com?Replaces={named}");
    house.caller_with(&alice, &bob, "transfer.xml", &["-key", "third", &to]).done();
    asked.done();
    stays.done();
    third.done();
}

/// Spec: RFC 3891 §3
#[test]
fn rfc3891_another_phone_takes_a_call_over() {
    let house = House::enter();
    let (alice, bob) = (house.person(), house.person());
    let callee = house.callee(&bob, "transferred.xml");
    let first = house.caller(&alice, &bob, "noted-call.xml");
    let dialog = first.logged();
    let second = house.caller_with(&alice, &bob, "take-over.xml", &["-key", "dialog", &dialog]);
    first.done();
    callee.done();
    second.done();
}

/// A call to somebody who wants this done with his calls, and has this phone; how it was forwarded, as the third was
/// told.
#[track_caller]
fn forwarded(settings: impl Fn(&str) -> Value, phone: Option<&str>) -> String {
    let house = House::enter();
    let (alice, bob, carol) = (house.person(), house.person(), house.person());
    house.put(&format!("/v1/users/{bob}/calls"), &settings(&carol));
    let phone = phone.map(|file| house.callee(&bob, file));
    let third = house.callee(&carol, "forwarded.xml");
    house.caller(&alice, &bob, "call-forwarded.xml").done();
    let why = third.logged();
    third.done();
    if let Some(phone) = phone {
        phone.done();
    }
    why
}

/// Spec: RFC 5806, RFC 7044
#[test]
fn rfc5806_rfc7044_a_call_that_is_always_forwarded_says_so() {
    let why = forwarded(|carol| json!({ "forward_always": carol }), None);
    assert_eq!(why, "unconditional 302");
}

/// Spec: RFC 5806, RFC 7044
#[test]
fn rfc5806_rfc7044_a_call_to_a_busy_phone_is_forwarded() {
    let why = forwarded(|carol| json!({ "forward_busy": carol }), Some("busy.xml"));
    assert_eq!(why, "user-busy 486");
}

/// Spec: RFC 5806, RFC 7044
#[test]
fn rfc5806_rfc7044_a_call_that_nobody_answers_is_forwarded() {
    let settings = |carol: &str| json!({ "forward_no_answer": carol, "no_answer_after": 5 });
    assert_eq!(forwarded(settings, Some("ring.xml")), "no-answer 408");
}

/// Spec: RFC 5806, RFC 7044
#[test]
fn rfc5806_rfc7044_a_call_to_nobody_is_forwarded() {
    let why = forwarded(|carol| json!({ "forward_unreachable": carol }), None);
    assert_eq!(why, "unavailable 503");
}
