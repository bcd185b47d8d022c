//! Groups with instructions in a whole shard: what phones see of each.

#[path = "hostile/rig.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod rig;

use std::time::Duration;

use rig::*;
use serde_json::{Value, json};
use switchboard::ApiRequest;

const DAVE: &str = "10.0.0.4:5060";

/// All four are here; Bob and Carol are the group `desk`, with this beside its members.
fn rig(more: &Value) -> Rig {
    let mut rig = Rig::new(true);
    rig.all_register();
    rig.register("dave", DAVE);
    let mut group = json!({
        "display_name": "Front desk",
        "members": [{"user": "bob", "priority": 5}, {"user": "carol", "skills": ["billing"]}],
    });
    for (key, value) in more.as_object().unwrap() {
        group[key] = value.clone();
    }
    let response = rig.api_with("desk", &group);
    assert_eq!(response, 201);
    rig
}

impl Rig {
    fn api_with(&mut self, name: &str, body: &Value) -> u16 {
        let endpoint = self.endpoint("groups", "PUT");
        let request = ApiRequest {
            id: 9,
            room: "groups".into(),
            endpoint,
            path: vec![name.into()],
            body: body.to_string().into_bytes(),
            ..ApiRequest::default()
        };
        let wire: &mut driver::Wire = self;
        wire.api(request).status
    }

    /// A call of this user from there; gives what he hears at once.
    fn calls(&mut self, user: &str, who: &str, to: &str, lines: &str) -> Vec<String> {
        self.seen(who); // What came of an earlier one.
        let number = self.next();
        let ask = Ask::new("INVITE", user, who, number)
            .to(to)
            .with(&format!("Contact: <sip:{user}@{who}>\n{lines}"))
            .body("application/sdp", &sdp(who, 4_000));
        self.proved(who, user, &ask)
    }

    /// A SUBSCRIBE to who takes part in the call of this address.
    fn watches(&mut self, user: &str, who: &str, address: &str) -> Vec<String> {
        self.seen(who);
        let number = self.next();
        let lines = format!("Contact: <sip:{user}@{who}>\nEvent: conference\nExpires: 600\n");
        let ask = Ask::new("SUBSCRIBE", user, who, number).to(address).with(&lines);
        self.proved(who, user, &ask)
    }

    fn writes(&mut self, user: &str, who: &str, to: &str) -> Vec<String> {
        self.seen(who);
        let number = self.next();
        let ask = Ask::new("MESSAGE", user, who, number).to(to).body("text/plain", "hello");
        self.proved(who, user, &ask)
    }

    /// The INVITE to there, which is refused or taken with this answer.
    #[track_caller]
    fn answers(&mut self, who: &str, code: &str) -> String {
        let invite = self.one(who, "INVITE");
        let body = if code.starts_with('2') { sdp(who, 5_000) } else { String::new() };
        self.say(who, &reply(&invite, code, who, &body));
        invite
    }

    #[track_caller]
    fn is_not_called(&mut self, who: &str) {
        let seen = self.seen(who);
        assert!(!seen.iter().any(|text| text.starts_with("INVITE")), "{seen:?}");
    }
}

#[test]
fn all_ring_and_the_answer_is_shown_to_the_others() {
    let mut rig = rig(&json!({"kind": "shared"}));
    rig.calls("alice", ALICE, "desk", "");
    let other = rig.one(CAROL, "INVITE");
    assert!(header(&other, "From").starts_with("<sip:alice@localhost>"), "{other}");
    rig.say(CAROL, &reply(&other, "180 Ringing", CAROL, ""));
    rig.answers(BOB, "200 OK");
    rig.one(ALICE, "SIP/2.0 200");
    let seen = rig.seen(CAROL);
    assert!(seen.iter().any(|text| text.starts_with("CANCEL")), "{seen:?}");
    let shown = seen.iter().find(|text| text.starts_with("MESSAGE")).expect("a word");
    assert_eq!(body(shown), "bob answered the call of alice to Front desk");
    assert!(!rig.seen(BOB).iter().any(|text| text.starts_with("MESSAGE")));
}

#[test]
fn members_ring_in_turn() {
    let mut rig = rig(&json!({"ring": {"plan": "in_turn", "each": 10}}));
    rig.calls("alice", ALICE, "desk", "");
    let first = rig.one(BOB, "INVITE");
    rig.say(BOB, &reply(&first, "180 Ringing", BOB, ""));
    rig.wait(Duration::from_secs(9));
    rig.is_not_called(CAROL);
    rig.wait(Duration::from_secs(2));
    rig.one(BOB, "CANCEL");
    rig.answers(CAROL, "200 OK");
    rig.one(ALICE, "SIP/2.0 200");
}

#[test]
fn each_call_begins_with_the_next_one() {
    let mut rig = rig(&json!({"ring": {"plan": "round_robin", "each": 10}}));
    for (first, second) in [(BOB, CAROL), (CAROL, BOB), (BOB, CAROL)] {
        rig.calls("alice", ALICE, "desk", "");
        rig.is_not_called(second);
        rig.answers(first, "486 Busy Here");
        rig.answers(second, "486 Busy Here");
        rig.one(ALICE, "SIP/2.0 486");
        rig.is_clean();
    }
}

#[test]
fn who_has_the_skill_rings() {
    let skills = json!({
        "addresses": [{"address": "+15550112", "skill": "billing"}],
        "ring": {"plan": "skill", "each": 10},
    });
    let mut rig = rig(&skills);
    for address in ["desk~billing", "+15550112"] {
        rig.calls("alice", ALICE, address, "");
        rig.is_not_called(BOB);
        rig.answers(CAROL, "486 Busy Here");
        rig.one(ALICE, "SIP/2.0 486");
        rig.is_clean();
    }
    rig.calls("alice", ALICE, "desk", "");
    rig.one(BOB, "INVITE");
    rig.one(CAROL, "INVITE");
}

#[test]
fn a_member_calls_as_the_group_and_the_others_are_told() {
    let mut rig = rig(&json!({"kind": "shared"}));
    rig.calls("bob", BOB, "dave", "");
    let invite = rig.answers(DAVE, "486 Busy Here");
    assert!(header(&invite, "From").starts_with("\"Front desk\" <sip:desk@localhost>"), "{invite}");
    assert!(!invite.contains("bob@localhost"), "{invite}");
    let told = rig.one(CAROL, "MESSAGE");
    assert_eq!(body(&told), "bob calls dave");
    // He may say that he calls for himself, and among themselves members do.
    rig.calls("bob", BOB, "dave", "P-Preferred-Identity: <sip:bob@localhost>\n");
    let invite = rig.answers(DAVE, "486 Busy Here");
    assert!(header(&invite, "From").starts_with("<sip:bob@localhost>"), "{invite}");
    rig.calls("bob", BOB, "carol", "");
    let invite = rig.answers(CAROL, "486 Busy Here");
    assert!(header(&invite, "From").starts_with("<sip:bob@localhost>"), "{invite}");
}

#[test]
fn a_member_s_own_instruction_comes_first() {
    let members = json!([
        {"user": "bob", "instructions": {"call": {"identity": "member", "others": "none"}}},
        {"user": "carol"},
    ]);
    let mut rig = rig(&json!({"kind": "shared", "members": members}));
    rig.calls("bob", BOB, "dave", "");
    let invite = rig.answers(DAVE, "486 Busy Here");
    assert!(header(&invite, "From").starts_with("<sip:bob@localhost>"), "{invite}");
    assert!(rig.seen(CAROL).is_empty());
    rig.calls("carol", CAROL, "dave", "");
    let invite = rig.answers(DAVE, "486 Busy Here");
    assert!(header(&invite, "From").contains("sip:desk@localhost"), "{invite}");
}

#[test]
fn a_message_goes_out_as_the_group_with_copies_to_the_others() {
    let mut rig = rig(&json!({"kind": "shared"}));
    rig.writes("bob", BOB, "dave");
    let message = rig.one(DAVE, "MESSAGE");
    assert!(header(&message, "From").starts_with("\"Front desk\" <sip:desk@localhost>"));
    let copy = rig.one(CAROL, "MESSAGE");
    assert!(header(&copy, "From").starts_with("\"bob to dave\" <sip:bob@localhost>"), "{copy}");
    assert_eq!((body(&message), body(&copy)), ("hello", "hello"));
    assert!(!rig.seen(BOB).iter().any(|text| text.starts_with("MESSAGE")));
}

#[test]
fn a_message_to_the_group_reaches_all_and_the_reply_is_shown() {
    let shown = json!({"instructions": {"message": {"result": "shown"}}});
    let mut rig = rig(&shown);
    assert_eq!(status(&rig.writes("dave", DAVE, "desk")[0]), 202);
    for who in [BOB, CAROL] {
        let message = rig.one(who, "MESSAGE");
        assert!(header(&message, "From").starts_with("<sip:dave@localhost>"), "{message}");
        rig.say(who, &reply(&message, "200 OK", who, ""));
    }
    rig.writes("bob", BOB, "alice");
    rig.one(ALICE, "MESSAGE");
    assert!(rig.seen(CAROL).is_empty());
    rig.writes("bob", BOB, "dave");
    let copy = rig.one(CAROL, "MESSAGE");
    assert_eq!(body(&copy), "hello");
}

#[test]
fn who_may_take_part_is_told_how_and_does() {
    let join = json!({"kind": "shared", "instructions": {"call": {"others": "join"}}});
    let mut rig = rig(&join);
    let number = rig.next();
    let ask = Ask::new("INVITE", "bob", BOB, number)
        .to("alice")
        .with(&format!("Contact: <sip:bob@{BOB}>\n"))
        .body("application/sdp", &sdp(BOB, 4_000));
    rig.proved(BOB, "bob", &ask);
    let told = rig.one(CAROL, "MESSAGE");
    assert_eq!(body(&told), "bob calls alice");
    rig.say(CAROL, &reply(&told, "200 OK", CAROL, ""));
    rig.answers(ALICE, "200 OK");
    rig.one(BOB, "SIP/2.0 200");
    let told = rig.one(CAROL, "MESSAGE");
    rig.say(CAROL, &reply(&told, "200 OK", CAROL, ""));
    let words: Vec<&str> = body(&told).lines().collect();
    let [said, listen, join] = words[..] else { panic!("{told}") };
    assert_eq!(said, "alice answered the call of bob to alice");
    assert!(listen.starts_with("Listen in: sip:listen-call_"), "{told}");
    let address = join.strip_prefix("Join: sip:").unwrap().strip_suffix("@localhost").unwrap();
    let answers = rig.calls("carol", CAROL, address, "");
    let ok = answers.last().unwrap();
    assert!(status(ok) == 200 && ok.contains("m=audio"), "{ok}");
    // The answer names the conference; whoever may be in it may watch it (RFC 4579 §4, RFC 4575).
    let contact = header(ok, "Contact");
    assert!(contact.starts_with(&format!("<sip:{address}@")), "{contact}");
    assert!(contact.ends_with(">;isfocus"), "{contact}");
    assert_eq!(status(&rig.watches("dave", DAVE, address)[0]), 403);
    let answers = rig.watches("carol", CAROL, address);
    assert_eq!(status(&answers[0]), 200, "{answers:?}");
    let users = |notify: &str| -> Vec<(String, bool)> {
        let document = xml::Conference::decode(body(notify).as_bytes()).unwrap();
        assert_eq!(document.user_count, Some(document.users.len() as u32));
        assert_eq!(document.entity, format!("sip:{address}@localhost"));
        let heard = |user: &xml::User| {
            let media = &user.endpoints[0].media[0];
            (user.entity.clone(), media.status.as_deref() == Some("sendrecv"))
        };
        document.users.iter().map(heard).collect()
    };
    let notify = answers.iter().find(|text| text.starts_with("NOTIFY")).expect("the state");
    let all = ["bob", "alice", "carol"].map(|user| (format!("sip:{user}@localhost"), true));
    assert_eq!(users(notify), all);
    rig.say(CAROL, &reply(notify, "200 OK", CAROL, ""));
    rig.wait(Duration::from_secs(2));
    // She leaves, and her watch goes on until the call is over.
    let side = Side {
        who: CAROL,
        target: header(ok, "Contact").trim_end_matches(";isfocus"),
        from: header(ok, "From"),
        to: header(ok, "To"),
        call_id: header(ok, "Call-ID"),
    };
    let answers = rig.say(CAROL, &side.request("BYE", 7, "leave", "", ""));
    assert!(answers.iter().any(|text| status(text) == 200), "{answers:?}");
    let notify = answers.iter().find(|text| text.starts_with("NOTIFY")).expect("the change");
    assert_eq!(users(notify), all[..2]);
    rig.say(CAROL, &reply(notify, "200 OK", CAROL, ""));
    rig.wait(Duration::from_secs(2));
    rig.seen(CAROL);
    rig.end_all_calls();
    let last = rig.one(CAROL, "NOTIFY");
    assert_eq!(header(&last, "Subscription-State"), "terminated;reason=noresource");
    rig.say(CAROL, &reply(&last, "200 OK", CAROL, ""));
    assert_eq!(status(&rig.watches("carol", CAROL, address)[0]), 404);
}

#[test]
fn what_is_not_possible_yet_says_so() {
    let mut rig = rig(&json!({"kind": "talk"}));
    let answers = rig.calls("alice", ALICE, "desk", "");
    let refused = answers.last().unwrap();
    assert_eq!(status(refused), 501, "{refused}");
    assert!(header(refused, "Warning").contains("groups.talk_group CAR-1909"), "{refused}");
    let body = json!({"kind": "shared", "members": [{"user": "bob"}],
        "instructions": {"call": {"others": "join"}}});
    assert_eq!(rig.api_with("desk", &body), 200);
    let answers = rig.calls("carol", CAROL, "desk", "Join: a@b;to-tag=1;from-tag=2\n");
    let refused = answers.last().unwrap();
    assert_eq!(status(refused), 501, "{refused}");
    assert!(header(refused, "Warning").contains("calls.cannot_join CAR-1310"), "{refused}");
}
