//! Watchers in a whole shard: lamps of those who ring for others, and phones that want to know who sends them news.

#[path = "hostile/rig.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod rig;

use std::time::Duration;

use std::ops::DerefMut;

use rig::*;
use sip::digest::{Challenge, Login, Password, Target, answer};
use switchboard::ApiRequest;

/// Alice watches this of a user. Gives the first NOTIFY.
fn watch(rig: &mut Rig, user: &str, package: &str) -> String {
    let number = rig.next();
    let lines = format!("Event: {package}\nContact: <sip:alice@{ALICE}>\nExpires: 600\n");
    let ask = Ask::new("SUBSCRIBE", "alice", ALICE, number).to(user).with(&lines);
    let answers = rig.proved(ALICE, "alice", &ask);
    let notify = answers.iter().find(|text| text.starts_with("NOTIFY "));
    notify.unwrap_or_else(|| panic!("no NOTIFY in {answers:#?}")).clone()
}

fn challenge(realm: &str, nonce: &str) -> String {
    format!("Digest realm=\"{realm}\", nonce=\"{nonce}\", algorithm=MD5, qop=\"auth\"")
}

/// Her phone does not believe a NOTIFY. Gives what it hears then.
fn challenged(rig: &mut Rig, notify: &str, challenge: &str) -> Vec<String> {
    let refused = reply(notify, "401 Unauthorized", ALICE, "");
    let asks = format!("WWW-Authenticate: {challenge}\nContent-Length");
    rig.say(ALICE, &refused.replace("Content-Length", &asks))
}

/// Fails unless it proves that it comes from somebody who knows her password.
#[track_caller]
fn assert_proved(notify: &str, challenge: &str, uses: u32) {
    let proof = header(notify, "Authorization");
    let cnonce = proof.split("cnonce=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let uri = notify.split(' ').nth(1).unwrap();
    let password = word("alice");
    let password = Password::Text(password.as_bytes());
    let login = Login { user: b"alice", password, realm: Some(b"localhost") };
    let target = Target { method: b"NOTIFY", uri: uri.as_bytes() };
    let challenge = Challenge::decode(challenge.as_bytes()).unwrap();
    let expected = answer(&challenge, &login, target, cnonce.as_bytes(), uses).unwrap();
    assert_eq!(proof, String::from_utf8(expected).unwrap());
}

/// RFC 3261 §22.1, RFC 6665 §4.2.2
#[test]
fn a_notify_that_is_challenged_is_said_again_with_a_proof() {
    let mut rig = Rig::new(true);
    rig.register("alice", ALICE);
    let notify = watch(&mut rig, "bob", "presence");
    assert!(!notify.contains("Authorization"), "{notify}");
    let first = challenge("localhost", "one");
    let heard = challenged(&mut rig, &notify, &first);
    assert_eq!(heard.len(), 1, "{heard:#?}");
    assert_proved(&heard[0], &first, 1);
    assert_eq!(body(&heard[0]), body(&notify));
    rig.say(ALICE, &reply(&heard[0], "200 OK", ALICE, ""));
    // What follows carries one at once.
    rig.register("bob", BOB);
    rig.wait(Duration::from_secs(10));
    let next = rig.one(ALICE, "NOTIFY");
    assert!(body(&next).contains("<basic>open<"), "{next}");
    assert_proved(&next, &first, 2);
    // The nonce had its time.
    let second = challenge("localhost", "two");
    let heard = challenged(&mut rig, &next, &second);
    assert_proved(&heard[0], &second, 1);
    assert_eq!(rig.gauge("subscriptions"), 1);
    // Whoever does not believe that either hears no more.
    let third = challenge("localhost", "three");
    assert!(challenged(&mut rig, &heard[0], &third).is_empty());
    assert_eq!(rig.gauge("subscriptions"), 0);
}

#[test]
fn nothing_is_proved_for_a_foreign_realm_or_to_whom_proved_nothing() {
    for (auth, realm) in [(true, "elsewhere"), (false, "localhost")] {
        let mut rig = Rig::new(auth);
        rig.register("alice", ALICE);
        let notify = watch(&mut rig, "bob", "presence");
        assert!(challenged(&mut rig, &notify, &challenge(realm, "one")).is_empty());
        assert_eq!(rig.gauge("subscriptions"), 0);
    }
}

/// Bob's calls go to Carol while he is busy.
fn forward(rig: &mut Rig) {
    let rooms = services::open(&services::Config::default());
    let people = rooms.iter().find(|room| room.manifest().name == "people").unwrap();
    let mut rows = people.manifest().endpoints.iter();
    let row = rows.position(|row| (row.method, row.path) == ("PUT", "/v1/users/{name}/calls"));
    let response = rig.deref_mut().api(ApiRequest {
        id: 9,
        room: "people".into(),
        endpoint: row.unwrap() as u16,
        path: vec!["bob".into()],
        body: br#"{"forward_busy":"carol"}"#.to_vec(),
        ..ApiRequest::default()
    });
    assert_eq!(response.status, 200);
}

/// What Alice's phone is told next of Carol's line; it says that it heard.
#[track_caller]
fn lamp(rig: &mut Rig) -> String {
    rig.wait(Duration::from_secs(2));
    let notify = rig.one(ALICE, "NOTIFY");
    rig.say(ALICE, &reply(&notify, "200 OK", ALICE, ""));
    body(&notify).to_owned()
}

/// Dave calls Bob, who is busy: Carol's phone rings. Gives his INVITE and hers.
fn diverted(rig: &mut Rig) -> (Ask, String) {
    for who in [MALLORY, BOB, CAROL] {
        rig.seen(who);
    }
    let number = rig.next();
    let ask = Ask::new("INVITE", "dave", MALLORY, number)
        .to("bob")
        .with(&format!("Contact: <sip:dave@{MALLORY}>\n"))
        .body("application/sdp", &sdp(MALLORY, 4_000));
    let answers = rig.proved(MALLORY, "dave", &ask);
    assert!(answers.iter().all(|answer| status(answer) < 200), "{answers:?}");
    let at_bob = rig.one(BOB, "INVITE");
    rig.say(BOB, &reply(&at_bob, "486 Busy Here", BOB, ""));
    let at_carol = rig.one(CAROL, "INVITE");
    rig.say(CAROL, &reply(&at_carol, "180 Ringing", CAROL, ""));
    (ask, at_carol)
}

/// RFC 4235: the line of somebody who rings for another shows it, and what becomes of it.
#[test]
fn the_lamp_of_whom_a_forwarding_rings_is_early() {
    let mut rig = Rig::new(true);
    rig.all_register();
    forward(&mut rig);
    let first = watch(&mut rig, "carol", "dialog");
    rig.say(ALICE, &reply(&first, "200 OK", ALICE, ""));
    assert!(!body(&first).contains("<dialog "), "{first}");
    // The caller gives up.
    let (ask, at_carol) = diverted(&mut rig);
    let early = lamp(&mut rig);
    assert!(early.contains("direction=\"recipient\"><state>early</state>"), "{early}");
    let branch = format!("{}p", ask.branch);
    let cancel = Ask { method: "CANCEL".into(), cseq: 2, branch, body: String::new(), ..ask };
    rig.say(MALLORY, &Ask { lines: String::new(), ..cancel }.text());
    let cancel = rig.one(CAROL, "CANCEL");
    rig.say(CAROL, &reply(&cancel, "200 OK", CAROL, ""));
    rig.say(CAROL, &reply(&at_carol, "487 Request Terminated", CAROL, ""));
    assert!(lamp(&mut rig).contains("<state>terminated</state>"));
    // She answers.
    let (_, at_carol) = diverted(&mut rig);
    assert!(lamp(&mut rig).contains("<state>early</state>"));
    rig.say(CAROL, &reply(&at_carol, "200 OK", CAROL, &sdp(CAROL, 5_000)));
    assert!(lamp(&mut rig).contains("<state>confirmed</state>"));
    rig.end_all_calls();
    assert!(lamp(&mut rig).contains("<state>terminated</state>"));
}
