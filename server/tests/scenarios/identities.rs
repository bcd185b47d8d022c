//! Who is believed to be whom, and who sees it.

use serde_json::json;

use crate::house::House;

/// Spec: RFC 3325 §5, RFC 3261 §20.4
#[test]
fn rfc3325_a_trusted_trunk_says_who_calls() {
    let house = House::enter();
    let bob = house.person();
    let trunk = json!({
        "server": "127.0.0.50", "sources": ["127.0.0.50"], "asserts": true, "probe": false,
    });
    house.put("/v1/trunks/trusted", &trunk);
    house.put("/v1/numbers/+15550150", &json!({ "rings": [format!("user/{bob}")] }));
    let callee = house.callee(&bob, "called-by-trusted.xml");
    let from = ["-i", "127.0.0.50"];
    house.caller_with("+15550151", "+15550150", "call-with-identity.xml", &from).done();
    callee.done();
}

/// Spec: RFC 3325 §5, §8
#[test]
fn rfc3325_nobody_else_says_who_calls() {
    let house = House::enter();
    let (alice, bob) = (house.person(), house.person());
    let callee = house.callee(&bob, "called-by-stranger.xml");
    house.caller(&alice, &bob, "call-with-identity.xml").done();
    callee.done();
}

/// Spec: RFC 3323 §4.1, §5
#[test]
fn rfc3323_a_caller_who_hides_is_not_seen() {
    let house = House::enter();
    let (alice, bob) = (house.person(), house.person());
    let callee = house.callee(&bob, "called-by-hidden.xml");
    house.caller(&alice, &bob, "call-hidden.xml").done();
    callee.done();
}

/// Spec: RFC 3325 §7, RFC 3323
#[test]
fn rfc3325_a_trusted_trunk_learns_who_hides() {
    let house = House::enter();
    let alice = house.person();
    let carrier = house.server_of("carrier.xml");
    let trunk = json!({
        "server": format!("127.0.0.1:{}", carrier.port), "asserts": true, "probe": false,
    });
    house.put("/v1/trunks/outward", &trunk);
    house.put("/v1/numbers/+15550123", &json!({ "rings": [format!("user/{alice}")] }));
    house.put(
        "/v1/routes/outward",
        &json!({ "to": ["+4479*"], "trunks": [{ "trunk": "outward" }] }),
    );
    house.caller(&alice, "+447900900123", "call-out-hidden.xml").done();
    carrier.done();
}
