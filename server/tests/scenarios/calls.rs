//! Calls of two: begun, taken, ended, repeated, taken back.

use crate::house::House;

/// One calls another: what either of them does is in these files. Gives who was called.
#[track_caller]
pub fn call(house: &House, caller: &str, callee: &str) -> String {
    let (alice, bob) = (house.person(), house.person());
    let callee = house.callee(&bob, callee);
    house.caller(&alice, &bob, caller).done();
    callee.done();
    bob
}

/// The same by a caller who takes each repetition as a message.
#[track_caller]
fn call_without_repetition(house: &House, caller: &str, callee: &str) -> String {
    let (alice, bob) = (house.person(), house.person());
    let callee = house.callee(&bob, callee);
    house.caller_with(&alice, &bob, caller, &["-nr"]).done();
    callee.done();
    bob
}

/// Spec: RFC 3261 §13, §15
#[test]
fn rfc3261_a_caller_hangs_up() {
    let house = House::enter();
    let bob = call(&house, "call.xml", "answer.xml");
    let record = house.record(&bob);
    assert_eq!((&record["outcome"], &record["hung_up_by"]), (&"answered".into(), &"caller".into()));
}

/// Spec: RFC 3261 §15
#[test]
fn rfc3261_a_callee_hangs_up() {
    let house = House::enter();
    let bob = call(&house, "hung-up.xml", "answer-and-hang-up.xml");
    let record = house.record(&bob);
    assert_eq!((&record["outcome"], &record["hung_up_by"]), (&"answered".into(), &"callee".into()));
}

/// Spec: RFC 3261 §13.3.1.4
#[test]
fn rfc3261_an_answer_is_repeated_until_it_is_acknowledged() {
    let house = House::enter();
    call_without_repetition(&house, "answer-repeated.xml", "answer-and-hang-up.xml");
}

/// Spec: RFC 3261 §17.2.2
#[test]
fn rfc3261_a_bye_that_is_repeated_is_answered_again() {
    let house = House::enter();
    call_without_repetition(&house, "bye-repeated.xml", "answer.xml");
}

/// Spec: RFC 3261 §17.2.1
#[test]
fn rfc3261_an_invite_that_is_repeated_calls_once() {
    let house = House::enter();
    let bob = call_without_repetition(&house, "invite-repeated.xml", "ring.xml");
    let record = house.record(&bob);
    let ladder = house.server.ladder(record["id"].as_str().expect("an id"));
    assert_eq!(ladder.invites_out().len(), 1, "{ladder:#?}");
}

/// Spec: RFC 3261 §9
#[test]
fn rfc3261_a_call_that_rings_is_cancelled() {
    let house = House::enter();
    let bob = call(&house, "cancel.xml", "ring.xml");
    assert_eq!(house.record(&bob)["outcome"], "cancelled");
}

/// Spec: RFC 3261 §9.1
#[test]
fn rfc3261_a_cancel_waits_for_a_phone_that_has_said_nothing() {
    let house = House::enter();
    call(&house, "cancel-at-once.xml", "ring-late.xml");
}

/// Spec: RFC 3261 §9.1, §15
#[test]
fn rfc3261_an_answer_that_crosses_a_cancel_is_acknowledged_and_ended() {
    let house = House::enter();
    call(&house, "cancel.xml", "answer-crossing.xml");
}

/// Spec: RFC 3261 §9.2
#[test]
fn rfc3261_a_cancel_behind_the_answer_changes_nothing() {
    let house = House::enter();
    let bob = call(&house, "cancel-too-late.xml", "answer.xml");
    assert_eq!(house.record(&bob)["outcome"], "answered");
}

/// Spec: RFC 3261 §15
#[test]
fn rfc3261_a_caller_may_hang_up_while_it_rings() {
    let house = House::enter();
    let bob = call(&house, "bye-while-ringing.xml", "ring.xml");
    assert_eq!(house.record(&bob)["outcome"], "cancelled");
}

/// Spec: RFC 3261 §8.2.1, §11.2, §12.2.2, RFC 3428 §2, RFC 3326
#[test]
fn rfc3261_rfc3326_requests_inside_of_a_call_are_answered_or_carried() {
    call(&House::enter(), "ask-inside.xml", "asked-inside.xml");
}

/// Spec: RFC 3261 §18
#[test]
fn rfc3261_a_caller_on_tcp_reaches_a_phone_on_udp() {
    let house = House::enter();
    let (alice, bob) = (house.person(), house.person());
    let callee = house.callee(&bob, "answer-and-hang-up.xml");
    house.caller_with(&alice, &bob, "hung-up.xml", &["-t", "t1"]).done();
    callee.done();
}
