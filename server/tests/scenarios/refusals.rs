//! What is refused, and how it is said.

use crate::house::House;

/// What one asks alone, of one of our people who has no phone.
#[track_caller]
fn ask(file: &str) {
    let house = House::enter();
    let (alice, bob) = (house.person(), house.person());
    house.caller(&alice, &bob, file).done();
}

/// Spec: RFC 3261 §12.2.2, §9.2, RFC 3311 §5.2, RFC 6665 §4.1.3
#[test]
fn rfc3261_requests_in_unknown_dialogs_get_481() {
    ask("unknown-dialog.xml");
}

/// Spec: RFC 3261 §11.2, §16.3
#[test]
fn rfc3261_options_tell_what_the_server_takes() {
    ask("options.xml");
}

/// Spec: RFC 3261 §8.2.1, §21.4.6, §21.4.14, §21.5.2
#[test]
fn rfc3261_methods_and_schemes_that_are_not_ours_get_501_405_and_416() {
    ask("methods.xml");
}

/// Spec: RFC 3261 §8.2.2.3, §8.2.3
#[test]
fn rfc3261_a_required_extension_gets_420_and_a_strange_body_415() {
    ask("extension-unknown.xml");
}

/// Spec: RFC 3911
#[test]
fn rfc3911_joining_is_refused() {
    ask("join.xml");
}

/// Spec: RFC 3261 §16.3
#[test]
fn rfc3261_an_invite_without_hops_left_gets_483() {
    ask("hops.xml");
}
