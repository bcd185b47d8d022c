//! Watchers who want to know that news come from whom they asked, in a whole shard.

#[path = "hostile/rig.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod rig;

use std::time::Duration;

use rig::*;
use sip::digest::{Challenge, Login, Password, Target, answer};

/// Alice watches Bob. Gives the first NOTIFY.
fn watch(rig: &mut Rig) -> String {
    let number = rig.next();
    let lines = format!("Event: presence\nContact: <sip:alice@{ALICE}>\nExpires: 600\n");
    let ask = Ask::new("SUBSCRIBE", "alice", ALICE, number).to("bob").with(&lines);
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
    let notify = watch(&mut rig);
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
        let notify = watch(&mut rig);
        assert!(challenged(&mut rig, &notify, &challenge(realm, "one")).is_empty());
        assert_eq!(rig.gauge("subscriptions"), 0);
    }
}
