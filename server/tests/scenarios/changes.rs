//! What changes in a call: descriptions before the answer and behind it, by either side, both at once, refused.

use crate::calls::call;
use crate::house::House;

/// Spec: RFC 3261 §14, RFC 3264 §8.4, RFC 3311
#[test]
fn rfc3264_a_call_is_held_and_resumed_by_invite_and_by_update() {
    call(&House::enter(), "hold.xml", "held.xml");
}

/// Spec: RFC 3261 §14.1, RFC 6086
#[test]
fn rfc3261_a_refused_change_leaves_the_call_as_it_was_and_tones_cross_it() {
    call(&House::enter(), "change-refused.xml", "refuse-change.xml");
}

/// Spec: RFC 3261 §14.1
#[test]
fn rfc3261_changes_that_collide_get_491_and_come_again() {
    call(&House::enter(), "hold-once.xml", "glare.xml");
}

/// Spec: RFC 3264 §5, RFC 3261 §13.2.1
#[test]
fn rfc3264_a_call_without_an_offer_is_offered_to_with_the_answer() {
    call(&House::enter(), "late-offer.xml", "offer-in-answer.xml");
}

/// Spec: RFC 3262 §3, §4, RFC 3311 §5
#[test]
fn rfc3262_ringing_is_repeated_until_its_own_prack_and_changed_by_update() {
    let house = House::enter();
    let (alice, bob) = (house.person(), house.person());
    let callee = house.callee(&bob, "ring-reliably.xml");
    house.caller_with(&alice, &bob, "prack.xml", &["-nr"]).done();
    callee.done();
}

/// Spec: RFC 4028 §5, §9
#[test]
fn rfc4028_a_short_session_gets_422_and_a_longer_one_is_refreshed() {
    call(&House::enter(), "session-timer.xml", "answer.xml");
}

/// Spec: RFC 3261 §13.2.1, RFC 3262 §4
#[test]
fn rfc3262_ringing_is_acknowledged_for_a_caller_who_knows_nothing_of_it() {
    call(&House::enter(), "early-media.xml", "sound-before-answer.xml");
}
