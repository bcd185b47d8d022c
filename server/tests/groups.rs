//! Groups with instructions, each shown with three foreign phones that call through `carillon serve`.
//!
//! 1001 is outside; 1002 and 1003 are the group `desk`. What is told in words goes out as MESSAGE, which this phone takes
//! without a word of its own: what left is looked at over the API.

#[allow(dead_code, reason = "each test program uses a part of what they share")]
mod support;

use serde_json::{Value, json};
use support::baresip::{Baresip, Login};
use support::namespace::{Namespace, SERVER};
use support::server::{PASSWORD, Server};
use support::wave::{RATE, loudness, speech_like, tone};
use support::{STEP, turn, until};

/// The server on one host, three phones on the other.
struct House {
    server: Server,
    outside: Baresip,
    first: Baresip,
    second: Baresip,
}

impl House {
    /// The members ring and speak as this says.
    fn new(more: &Value) -> Self {
        let says = speech_like(1, 1);
        Self::saying(more, [&says, &says, &says])
    }

    /// The same, and each phone says this: that of the one outside first.
    fn saying(more: &Value, says: [&[i16]; 3]) -> Self {
        let (host, phones) = Namespace::pair();
        let server = Server::serve(&host, SERVER, "", "");
        let mut group = json!({
            "display_name": "Front desk",
            "members": [{"user": "1002", "priority": 5}, {"user": "1003", "skills": ["billing"]}],
        });
        for (key, value) in more.as_object().expect("an object") {
            group[key] = value.clone();
        }
        for user in ["1001", "1002", "1003"] {
            server.make_user(user);
        }
        server.door.put("/v1/groups/desk", "application/json", group.to_string().as_bytes());
        let start = |user: &str, port, says: &[i16]| {
            let place = server.sip.to_string();
            let login = Login { user, password: PASSWORD, server: &place, transport: "udp", port };
            let phone = Baresip::start(&phones, &login, says);
            server.bindings(user, 1);
            phone
        };
        let outside = start("1001", 5070, says[0]);
        let first = start("1002", 5080, says[1]);
        let second = start("1003", 5090, says[2]);
        Self { server, outside, first, second }
    }

    /// The outsider calls the group by this name.
    fn call(&mut self, name: &str) {
        self.outside.dial(&format!("sip:{name}@{}", self.server.sip));
    }

    /// How many messages to this user a phone has taken.
    #[track_caller]
    fn took_messages(&self, user: &str, count: usize) {
        let to = format!("sip:{user}@");
        until(STEP, &format!("{count} messages to {user}"), || {
            let items = self.server.door.items(&format!("/v1/messages?user={user}"));
            let taken = items.iter().filter(|item| {
                item["state"] == "delivered"
                    && item["to"].as_str().is_some_and(|known| known.starts_with(&to))
            });
            (taken.count() == count).then_some(())
        });
    }
}

#[test]
fn all_ring_and_the_others_see_who_answered() {
    let _turn = turn();
    let mut house = House::new(&json!({"kind": "shared"}));
    house.call("desk");
    house.first.event(STEP, "CALL_INCOMING");
    house.second.event(STEP, "CALL_INCOMING");
    house.second.answer();
    house.outside.event(STEP, "CALL_ESTABLISHED");
    house.first.event(STEP, "CALL_CLOSED");
    house.took_messages("1002", 1);
    house.took_messages("1003", 0);
    house.outside.hang_up();
    house.second.event(STEP, "CALL_CLOSED");
}

#[test]
fn members_ring_in_turn() {
    let _turn = turn();
    let mut house = House::new(&json!({"ring": {"plan": "in_turn", "each": 2}}));
    house.call("desk");
    house.first.event(STEP, "CALL_INCOMING");
    house.first.event(STEP, "CALL_CLOSED");
    house.second.event(STEP, "CALL_INCOMING");
    house.second.answer();
    house.outside.event(STEP, "CALL_ESTABLISHED");
    house.outside.hang_up();
    house.second.event(STEP, "CALL_CLOSED");
}

#[test]
fn each_call_begins_with_the_next_one() {
    let _turn = turn();
    let mut house = House::new(&json!({"ring": {"plan": "round_robin", "each": 60}}));
    house.call("desk");
    house.first.event(STEP, "CALL_INCOMING");
    house.outside.hang_up();
    house.first.event(STEP, "CALL_CLOSED");
    house.call("desk");
    house.second.event(STEP, "CALL_INCOMING");
    house.outside.hang_up();
    house.second.event(STEP, "CALL_CLOSED");
}

#[test]
fn who_has_the_skill_rings() {
    let _turn = turn();
    let skills = json!({
        "addresses": [{"address": "billing", "skill": "billing"}],
        "ring": {"plan": "skill", "each": 60},
    });
    let mut house = House::new(&skills);
    house.call("billing");
    house.second.event(STEP, "CALL_INCOMING");
    house.second.answer();
    house.outside.event(STEP, "CALL_ESTABLISHED");
    house.outside.hang_up();
    house.second.event(STEP, "CALL_CLOSED");
}

#[test]
fn a_member_calls_as_the_group_and_the_others_are_told() {
    let _turn = turn();
    let mut house = House::new(&json!({"kind": "shared"}));
    house.first.dial(&format!("sip:1001@{}", house.server.sip));
    let incoming = house.outside.event(STEP, "CALL_INCOMING");
    let from = incoming["peeruri"].as_str().expect("who calls");
    assert!(from.starts_with("sip:desk@"), "{incoming}");
    house.took_messages("1003", 1);
    house.outside.answer();
    house.first.event(STEP, "CALL_ESTABLISHED");
    house.took_messages("1003", 2);
    house.first.hang_up();
    house.outside.event(STEP, "CALL_CLOSED");
}

#[test]
fn messages_of_a_member_and_to_the_group_reach_the_others() {
    let _turn = turn();
    let house = House::new(&json!({"kind": "shared"}));
    let send = |from: &str, to: &str| {
        let body = json!({"from": from, "to": to, "text": "hello"}).to_string();
        let token = Some(house.server.door.token.as_str());
        let door = &house.server.door;
        door.ask("POST", "/v1/messages", token, "application/json", body.as_bytes()).status
    };
    assert_eq!(send("1002", "1001"), 200);
    house.took_messages("1001", 1);
    house.took_messages("1003", 1);
}

/// What the phone outside says, then the two members, in one call of all.
const TONES: [f64; 3] = [500.0, 900.0, 1_300.0];

/// A house in which each says a tone of his own, the first member calls the one outside, and the other one is about to
/// take part as he may. Gives the id of the call.
fn talking(others: &str) -> (House, String) {
    let says = TONES.map(|pitch| tone(pitch, 50));
    let more = json!({"instructions": {"call": {"others": others}}});
    let mut house = House::saying(&more, [&says[0], &says[1], &says[2]]);
    house.first.dial(&format!("sip:1001@{}", house.server.sip));
    house.outside.event(STEP, "CALL_INCOMING");
    house.outside.answer();
    house.first.event(STEP, "CALL_ESTABLISHED");
    // The word that somebody calls, and the word that he talks, with the addresses.
    house.took_messages("1003", 2);
    hears_now(&house.first, &[0]);
    let call = house.server.call();
    (house, call)
}

/// Waits until the last half second at a phone holds just these tones.
#[track_caller]
fn hears_now(phone: &Baresip, wanted: &[usize]) {
    until(STEP, &format!("just the tones {wanted:?}"), || {
        let heard = phone.heard();
        let recent = heard.get(heard.len().checked_sub(RATE / 2)?..)?;
        let there = TONES.map(|pitch| loudness(recent, pitch) > 1_000.0);
        let silent = TONES.map(|pitch| loudness(recent, pitch) < 200.0);
        let fits =
            (0..3).all(|tone| if wanted.contains(&tone) { there[tone] } else { silent[tone] });
        fits.then_some(())
    });
}

/// Through the whole of what a phone has heard so far, nothing of this tone.
#[track_caller]
fn never_heard(phone: &Baresip, tone: usize) {
    for part in phone.heard().chunks_exact(RATE / 2) {
        let loud = loudness(part, TONES[tone]);
        assert!(loud < 200.0, "{loud} of tone {tone}");
    }
}

#[test]
fn a_member_listens_in_and_is_not_heard() {
    let _turn = turn();
    let (mut house, call) = talking("listen");
    house.second.dial(&format!("sip:join-{call}@{}", house.server.sip));
    house.second.event(STEP, "CALL_CLOSED"); // He may not.
    house.second.dial(&format!("sip:listen-{call}@{}", house.server.sip));
    house.second.event(STEP, "CALL_ESTABLISHED");
    hears_now(&house.second, &[0, 1]);
    house.second.hears(4); // He has spoken for three seconds, which the others would have heard.
    hears_now(&house.first, &[0]);
    hears_now(&house.outside, &[1]);
    house.second.hang_up();
    house.first.hears(8);
    hears_now(&house.first, &[0]);
    never_heard(&house.first, 2);
    never_heard(&house.outside, 2);
    house.first.hang_up();
    house.outside.event(STEP, "CALL_CLOSED");
    let record = house.server.record(&call);
    assert_eq!(record["guests"][0]["user"], "1003", "{record}");
    assert_eq!(record["guests"][0]["as"], "listened", "{record}");
}

#[test]
fn a_member_joins_and_all_hear_all_even_after_a_kill() {
    let _turn = turn();
    let (mut house, call) = talking("join");
    house.second.dial(&format!("sip:join-{call}@{}", house.server.sip));
    house.second.event(STEP, "CALL_ESTABLISHED");
    let all = |house: &House| {
        hears_now(&house.second, &[0, 1]);
        hears_now(&house.first, &[0, 2]);
        hears_now(&house.outside, &[1, 2]);
    };
    all(&house);
    house.server.kill_and_restart();
    // What they hear from now on comes from the process that took the call over.
    let second = house.second.heard().len() / RATE;
    house.second.hears(second + 3);
    all(&house);
    house.second.hang_up();
    hears_now(&house.first, &[0]);
    hears_now(&house.outside, &[1]);
    house.first.hang_up();
    house.outside.event(STEP, "CALL_CLOSED");
    let record = house.server.record(&call);
    assert_eq!(record["guests"][0]["as"], "joined", "{record}");
    assert!(record["guests"][0]["until"].is_string(), "{record}");
}
