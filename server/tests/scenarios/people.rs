//! Who is where, who he says he is, what waits for him, and who sees that.

use crate::house::House;
use crate::support::raw::{Ask, Raw, credentials};
use crate::support::server::{DOMAIN, PASSWORD};

/// Spec: RFC 3261 §10.2, §10.3, §22, RFC 7616 §3.3
#[test]
fn rfc3261_a_phone_registers_fetches_and_unregisters_and_too_brief_is_423() {
    let house = House::enter();
    let bob = house.person();
    let login = ["-au", &*bob, "-ap", PASSWORD, "-auth_uri", DOMAIN];
    house.caller_with(&bob, &bob, "bindings.xml", &login).done();
    house.server.bindings(&bob, 0);
}

/// Spec: RFC 3261 §22.2, §22.3
#[test]
fn rfc3261_a_call_needs_a_proof_where_that_is_asked_for() {
    let house = House::enter_guarded();
    let (alice, bob) = (house.person(), house.person());
    let callee = house.callee(&bob, "answer.xml");
    let address = format!("{bob}@{DOMAIN}");
    let login = ["-au", &*alice, "-ap", PASSWORD, "-auth_uri", &*address];
    house.caller_with(&alice, &bob, "login.xml", &login).done();
    callee.done();
}

/// A proof that is said again is told to be stale; with the new nonce it is taken.
///
/// Spec: RFC 7616 §3.3
#[test]
fn rfc7616_a_proof_that_was_used_is_stale() {
    let house = House::enter();
    let bob = house.person();
    let mut phone = Raw::new(&house.host, "127.0.0.1", house.server.sip);
    let address = format!("<sip:{bob}@example.com>");
    let from = format!("{address};tag=1");
    let ask = Ask {
        method: "REGISTER",
        uri: "sip:example.com",
        from: &from,
        to: &address,
        call_id: "stale",
        more: "",
        body: "",
    };
    let refused = phone.ask(&ask);
    let proof = credentials(&refused, &ask, &bob, PASSWORD).expect("a challenge");
    let proven = Ask { more: &proof, ..ask.clone() };
    assert_eq!(phone.ask(&proven).status(), 200);
    let stale = phone.ask(&proven);
    assert_eq!(stale.status(), 401, "{}", stale.text);
    let challenge = stale.field("WWW-Authenticate").expect("a challenge");
    assert!(challenge.contains("stale=true"), "{challenge}");
    let proof = credentials(&stale, &ask, &bob, PASSWORD).expect("a challenge");
    assert_eq!(phone.ask(&Ask { more: &proof, ..ask }).status(), 200);
}

/// Spec: RFC 3428 §5, §7
#[test]
fn rfc3428_a_message_reaches_a_phone_and_waits_for_one_that_is_away() {
    let house = House::enter();
    let (alice, bob, carol) = (house.person(), house.person(), house.person());
    let phone = house.callee(&bob, "read.xml");
    house.caller(&alice, &bob, "message.xml").done();
    phone.done();
    house.caller(&alice, &carol, "message-kept.xml").done();
    house.callee(&carol, "read.xml").done();
}

/// Spec: RFC 6665 §4, RFC 3856, RFC 3903 §4
#[test]
fn rfc3856_rfc3903_what_somebody_publishes_is_seen_by_those_who_watch() {
    let house = House::enter();
    let (alice, bob) = (house.person(), house.person());
    let watcher = house.caller(&alice, &bob, "watch-presence.xml");
    watcher.logged();
    house.caller(&bob, &bob, "publish.xml").done();
    watcher.done();
}

/// Spec: RFC 4235
#[test]
fn rfc4235_a_lamp_shows_a_call_until_it_is_over() {
    let house = House::enter();
    let (alice, bob, carol) = (house.person(), house.person(), house.person());
    let lamp = house.caller(&carol, &bob, "watch-line.xml");
    lamp.logged();
    let callee = house.callee(&bob, "ring.xml");
    // The call lasts until the lamp shows it: shorter ones are seen by their end alone.
    let mut caller = Raw::new(&house.host, "127.0.0.1", house.server.sip);
    let sdp = caller.sdp();
    let invite = caller.text(&Ask {
        method: "INVITE",
        uri: &format!("sip:{bob}@{DOMAIN}"),
        from: &format!("<sip:{alice}@{DOMAIN}>;tag=lamp"),
        to: &format!("<sip:{bob}@{DOMAIN}>"),
        call_id: "lamp",
        more: "",
        body: &sdp,
    });
    caller.send(&invite);
    lamp.logged_line(1);
    caller.cancel(&invite);
    caller.acknowledge(&caller.response("INVITE"));
    callee.done();
    lamp.done();
}

/// Spec: RFC 3842
#[test]
fn rfc3842_a_message_that_waits_is_counted() {
    let house = House::enter();
    let (alice, bob) = (house.person(), house.person());
    let lamp = house.caller(&bob, &bob, "watch-letters.xml");
    lamp.logged();
    house.caller(&alice, &bob, "message-kept.xml").done();
    lamp.done();
}

/// Spec: RFC 3680
#[test]
fn rfc3680_a_registration_is_shown_to_its_user() {
    let house = House::enter();
    let bob = house.person();
    let watcher = house.caller(&bob, &bob, "watch-registrations.xml");
    watcher.logged();
    let phone = house.callee(&bob, "read.xml");
    watcher.done();
    house.caller(&bob, &bob, "message.xml").done();
    phone.done();
}

/// Spec: RFC 6665 §4.2.1, §8.2
#[test]
fn rfc6665_what_cannot_be_watched_is_refused() {
    let house = House::enter();
    let (alice, bob) = (house.person(), house.person());
    house.caller(&alice, &bob, "watch-refused.xml").done();
}

/// Spec: RFC 5626 §6, RFC 5627 §5.1
#[test]
fn rfc5626_rfc5627_a_device_keeps_its_flow_and_has_an_address_of_its_own() {
    let house = House::enter();
    let bob = house.person();
    let login = ["-au", &*bob, "-ap", PASSWORD, "-auth_uri", DOMAIN];
    house.caller_with(&bob, &bob, "register-outbound.xml", &login).done();
    house.server.bindings(&bob, 1);
}

/// Spec: RFC 3327 §5
#[test]
fn rfc3327_calls_take_the_path_by_which_a_phone_registered() {
    let house = House::enter();
    let (alice, bob) = (house.person(), house.person());
    let proxy = house.server_of("behind-path.xml");
    let path = format!("127.0.0.1:{}", proxy.port);
    let login = ["-au", &*bob, "-ap", PASSWORD, "-auth_uri", DOMAIN, "-key", "path", &*path];
    house.caller_with(&bob, &bob, "register-path.xml", &login).done();
    house.caller(&alice, &bob, "cancel.xml").done();
    proxy.done();
}
