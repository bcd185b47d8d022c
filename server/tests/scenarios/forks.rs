//! Calls to several phones of one person, and calls that go on elsewhere.

use serde_json::json;

use crate::house::House;

/// Spec: RFC 3261 §13.2.2.4, §16.7
#[test]
fn rfc3261_of_two_phones_that_answer_one_is_kept_and_the_other_acknowledged_and_ended() {
    let house = House::enter();
    let (alice, bob) = (house.person(), house.person());
    let second = house.callee(&bob, "answer-crossing.xml");
    let first = house.callee(&bob, "answer.xml");
    house.caller(&alice, &bob, "call.xml").done();
    first.done();
    second.done();
    assert_eq!(house.record(&bob)["outcome"], "answered");
}

/// Spec: RFC 3261 §16.7
#[test]
fn rfc3261_a_busy_phone_does_not_keep_the_other_from_answering() {
    let house = House::enter();
    let (alice, bob) = (house.person(), house.person());
    let busy = house.callee(&bob, "busy.xml");
    let other = house.callee(&bob, "answer.xml");
    house.caller(&alice, &bob, "call.xml").done();
    busy.done();
    other.done();
}

/// Spec: RFC 3261 §16.7, RFC 3326
#[test]
fn rfc3326_a_caller_hears_that_the_line_is_busy_and_why() {
    let house = House::enter();
    let (alice, bob) = (house.person(), house.person());
    let busy = house.callee(&bob, "busy.xml");
    house.caller(&alice, &bob, "refused-486.xml").done();
    busy.done();
    assert_eq!(house.record(&bob)["outcome"], "busy");
}

/// Spec: RFC 3261 §8.1.3.4, §16.7
#[test]
fn rfc3261_a_phone_that_redirects_is_not_followed() {
    let house = House::enter();
    let (alice, bob, carol) = (house.person(), house.person(), house.person());
    let elsewhere = format!("{carol}@example.com");
    let moved = house.callee_with(&bob, "moved.xml", &["-key", "elsewhere", &elsewhere]);
    house.caller(&alice, &bob, "refused-480.xml").done();
    moved.done();
}

/// Spec: RFC 3261 §8.2.2.2
#[test]
fn rfc3261_an_invite_that_comes_by_two_ways_is_taken_once() {
    let house = House::enter();
    let (alice, bob) = (house.person(), house.person());
    let callee = house.callee(&bob, "ring.xml");
    house.caller(&alice, &bob, "merged.xml").done();
    callee.done();
}

/// Spec: RFC 3261 §16.3
#[test]
fn rfc3261_a_trunk_that_leads_back_to_us_is_a_loop() {
    let house = House::enter();
    let alice = house.person();
    house.put("/v1/trunks/mirror", &json!({ "server": house.server.sip.to_string() }));
    let routed = json!({ "to": ["+4477*"], "trunks": [{ "trunk": "mirror" }] });
    house.put("/v1/routes/mirror", &routed);
    house.caller(&alice, "+447700900123", "refused-482.xml").done();
}

/// Spec: RFC 3261 §16.7
#[test]
fn rfc3261_a_decline_for_all_ends_the_ringing_of_the_others() {
    let house = House::enter();
    let (alice, bob) = (house.person(), house.person());
    let other = house.callee(&bob, "ring.xml");
    let decline = house.callee(&bob, "decline.xml");
    house.caller(&alice, &bob, "refused-603.xml").done();
    decline.done();
    other.done();
    assert_eq!(house.record(&bob)["outcome"], "declined");
}
