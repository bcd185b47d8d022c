//! Forwarding, trunks and limits through a shard, by script.

mod rig;

use std::time::Duration;

use driver::text::{Ask, Side, response, status};
use rig::*;
use switchboard::Notice;
use switchboard::directory::User;
use switchboard::route::{
    CallSettings, Change, HOP_FAILED_FOR, Health, Number, Pattern, Route, Rung, Source, Trunk, Way,
};
use types::Flow;

const ACME: &str = "127.0.0.1:5080";
const BEST: &str = "127.0.0.1:5081";
/// Further addresses of `acme`.
const SECOND: &str = "127.0.0.1:5082";
const THIRD: &str = "127.0.0.1:5083";
const MALLORY: &str = "127.0.0.1:5099";

fn change(rig: &mut Rig, change: Change) {
    rig.tell(Notice::RoutingChanged(Box::new(change)));
}

fn settings(rig: &mut Rig, name: &str, calls: CallSettings) {
    let calls = Some(Box::new(calls));
    rig.tell(Notice::UserChanged(Box::new(User { name: name.into(), calls, ..User::default() })));
}

fn to(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn trunk(rig: &mut Rig, name: &str, address: &str, more: Trunk) {
    let trunk = Trunk { name: name.into(), server: address.into(), ..more };
    change(rig, Change::Trunk(name.into(), Some(Box::new(trunk))));
    let hops = vec![Flow::udp(address.parse().unwrap())];
    change(rig, Change::TrunkHealth(name.into(), Health { hops, ..Health::default() }));
}

fn number(rig: &mut Rig, number: &str, user: &str) {
    let rings = vec![Rung::User(user.into())];
    let known = Number { number: number.into(), rings, ..Number::default() };
    change(rig, Change::Number(number.into(), Some(known)));
}

/// Everything with a plus goes out by `acme`, then by `best`. Alice has a number.
fn outward(rig: &mut Rig, acme: Trunk) {
    trunk(rig, "acme", ACME, acme);
    trunk(rig, "best", BEST, Trunk::default());
    number(rig, "+15550101", "alice");
    let way = |trunk: &str, priority| Way { trunk: trunk.into(), priority, weight: 1 };
    let route = Route {
        name: "out".into(),
        to: vec![Pattern("+*".into())],
        ways: vec![way("acme", 1), way("best", 2)],
        ..Route::default()
    };
    change(rig, Change::Route("out".into(), Some(Box::new(route))));
}

fn ask(user: &str, who: &str, target: &str, id: u32) -> Ask {
    Ask::new("INVITE", user, who, id)
        .to(target)
        .with(&format!("Contact: <sip:{user}@{who}>\n"))
        .body("application/sdp", &sdp(4_000))
}

fn call(rig: &mut Rig, target: &str, id: u32) -> Vec<String> {
    rig.say(ALICE, &ask("alice", ALICE, target, id).text())
}

/// The last status that the caller has heard.
#[track_caller]
fn last(rig: &mut Rig, who: &str) -> (u16, String) {
    let seen = rig.seen(who);
    let last = seen.last().unwrap_or_else(|| panic!("{who} heard nothing"));
    (status(last), last.clone())
}

fn acked(rig: &mut Rig, who: &str, failure: &str) {
    let side = Side {
        who,
        target: "sip:x@localhost",
        from: header(failure, "From"),
        to: header(failure, "To"),
        call_id: header(failure, "Call-ID"),
    };
    let branch = header(failure, "Via").split("z9hG4bK").nth(1).unwrap();
    let branch = branch.split(';').next().unwrap().to_owned();
    rig.from(who, &side.request("ACK", 1, &branch, "", ""));
}

fn says(rig: &mut Rig, who: &str, request: &str, code: &str) {
    let body = if code.starts_with("200") { sdp(5_000) } else { String::new() };
    rig.from(who, &response(request, code, "bt", &format!("sip:x@{who}"), &body));
}

#[test]
fn a_call_that_is_always_forwarded_tells_where_it_has_been() {
    let mut rig = Rig::new();
    settings(
        &mut rig,
        "bob",
        CallSettings { forward_always: to("frank"), ..CallSettings::default() },
    );
    call(&mut rig, "bob", 1);
    assert!(rig.seen(BOB).is_empty());
    let invite = rig.one(FRANK, "INVITE sip:frank@");
    assert!(header(&invite, "From").starts_with("<sip:alice@localhost>"), "{invite}");
    assert_eq!(header(&invite, "Diversion"), "<sip:bob@localhost>;reason=unconditional;counter=1");
    assert_eq!(
        header(&invite, "History-Info"),
        "<sip:bob@localhost>;index=1, <sip:frank@localhost;cause=302>;index=1.1;mp=1"
    );
    says(&mut rig, FRANK, &invite, "200 OK");
    assert_eq!(last(&mut rig, ALICE).0, 200);
}

#[test]
fn busy_is_forwarded_and_the_caller_hears_one_answer() {
    let mut rig = Rig::new();
    settings(
        &mut rig,
        "bob",
        CallSettings { forward_busy: to("frank"), ..CallSettings::default() },
    );
    call(&mut rig, "bob", 1);
    let invite = rig.one(BOB, "INVITE");
    assert!(!invite.contains("Diversion"), "{invite}");
    says(&mut rig, BOB, &invite, "486 Busy Here");
    assert!(rig.seen(ALICE).is_empty(), "nothing of the first try");
    let invite = rig.one(FRANK, "INVITE");
    assert!(header(&invite, "Diversion").contains("reason=user-busy"), "{invite}");
    says(&mut rig, FRANK, &invite, "486 Busy Here");
    assert_eq!(last(&mut rig, ALICE).0, 486);
    // Declining is no being busy: it is final.
    call(&mut rig, "bob", 2);
    let invite = rig.one(BOB, "INVITE");
    says(&mut rig, BOB, &invite, "603 Decline");
    assert_eq!(last(&mut rig, ALICE).0, 603);
    assert!(rig.seen(FRANK).iter().all(|text| !text.starts_with("INVITE")));
}

#[test]
fn no_answer_is_forwarded_after_its_time() {
    let mut rig = Rig::new();
    let forward = CallSettings {
        forward_no_answer: to("frank"),
        no_answer_after: 15,
        ..CallSettings::default()
    };
    settings(&mut rig, "bob", forward);
    call(&mut rig, "bob", 1);
    let invite = rig.one(BOB, "INVITE");
    says(&mut rig, BOB, &invite, "180 Ringing");
    assert_eq!(last(&mut rig, ALICE).0, 180);
    rig.wait(Duration::from_secs(14));
    assert!(rig.seen(FRANK).is_empty());
    rig.wait(Duration::from_secs(2));
    rig.one(BOB, "CANCEL");
    let invite = rig.one(FRANK, "INVITE");
    assert!(header(&invite, "Diversion").contains("reason=no-answer"), "{invite}");
    says(&mut rig, FRANK, &invite, "180 Ringing");
    // All stages together ring no longer than one call may.
    rig.wait(Duration::from_secs(105));
    assert_eq!(last(&mut rig, ALICE).0, 480);
}

#[test]
fn whoever_cannot_be_reached_is_forwarded_at_once() {
    let mut rig = Rig::new();
    let forward = CallSettings { forward_unreachable: to("frank"), ..CallSettings::default() };
    settings(&mut rig, "carol", forward.clone());
    call(&mut rig, "carol", 1);
    let invite = rig.one(FRANK, "INVITE");
    assert!(header(&invite, "Diversion").contains("reason=unavailable"), "{invite}");
    // A phone that is silent altogether is as good as none.
    settings(&mut rig, "bob", forward);
    call(&mut rig, "bob", 2);
    rig.wait(Duration::from_secs(33));
    let invites = rig.seen(FRANK);
    assert!(invites.iter().any(|text| text.contains("sip:bob@localhost>;reason=unavailable")));
}

#[test]
fn who_does_not_want_to_be_disturbed_is_not() {
    let mut rig = Rig::new();
    settings(&mut rig, "bob", CallSettings { do_not_disturb: true, ..CallSettings::default() });
    call(&mut rig, "bob", 1);
    assert!(rig.seen(BOB).is_empty());
    let refused = call(&mut rig, "bob", 2).pop().unwrap();
    assert_eq!(status(&refused), 480);
    assert!(header(&refused, "Warning").contains("route.do_not_disturb"), "{refused}");
    let calls =
        CallSettings { do_not_disturb: true, forward_busy: to("frank"), ..CallSettings::default() };
    settings(&mut rig, "bob", calls);
    call(&mut rig, "bob", 3);
    let invite = rig.one(FRANK, "INVITE");
    assert!(header(&invite, "Diversion").contains("reason=do-not-disturb"), "{invite}");
}

#[test]
fn forwarding_in_a_circle_is_refused() {
    let mut rig = Rig::new();
    settings(
        &mut rig,
        "bob",
        CallSettings { forward_always: to("frank"), ..CallSettings::default() },
    );
    settings(
        &mut rig,
        "frank",
        CallSettings { forward_always: to("bob"), ..CallSettings::default() },
    );
    let refused = call(&mut rig, "bob", 1).pop().unwrap();
    assert_eq!(status(&refused), 482);
    assert!(header(&refused, "Warning").contains("route.forward_loop"), "{refused}");
}

#[test]
fn without_call_waiting_a_second_call_is_busy_until_the_first_is_over() {
    let mut rig = Rig::new();
    let single = CallSettings { call_waiting: false, ..CallSettings::default() };
    settings(&mut rig, "bob", single);
    call(&mut rig, "bob", 1);
    let first = rig.one(BOB, "INVITE");
    says(&mut rig, BOB, &first, "180 Ringing");
    let refused = rig.say(MALLORY, &ask("mallory", MALLORY, "bob", 2).text()).pop().unwrap();
    assert_eq!(status(&refused), 486);
    assert!(header(&refused, "Warning").contains("route.user_busy"), "{refused}");
    assert!(rig.seen(BOB).is_empty());
    says(&mut rig, BOB, &first, "200 OK");
    let (code, ok) = last(&mut rig, ALICE);
    assert_eq!(code, 200);
    acked(&mut rig, ALICE, &ok);
    rig.seen(BOB);
    let refused = rig.say(MALLORY, &ask("mallory", MALLORY, "bob", 3).text()).pop().unwrap();
    assert_eq!(status(&refused), 486);
    let side = Side {
        who: ALICE,
        target: header(&ok, "Contact"),
        from: header(&ok, "From"),
        to: header(&ok, "To"),
        call_id: header(&ok, "Call-ID"),
    };
    rig.from(ALICE, &side.request("BYE", 2, "bye", "", ""));
    rig.seen(BOB);
    rig.say(MALLORY, &ask("mallory", MALLORY, "bob", 4).text());
    let second = rig.one(BOB, "INVITE");
    says(&mut rig, BOB, &second, "486 Busy Here");
    // His own call keeps him busy as well.
    rig.from(BOB, &ask("bob", BOB, "frank", 5).text());
    rig.seen(BOB);
    let refused = rig.say(MALLORY, &ask("mallory", MALLORY, "bob", 6).text()).pop().unwrap();
    assert_eq!(status(&refused), 486);
}

#[test]
fn a_call_goes_out_under_the_number_of_its_user() {
    let mut rig = Rig::new();
    outward(&mut rig, Trunk { asserts: true, ..Trunk::default() });
    call(&mut rig, "+442071838750", 1);
    let invite = rig.one(ACME, "INVITE sip:+442071838750@127.0.0.1:5080;user=phone SIP/2.0");
    assert!(header(&invite, "From").starts_with("<sip:+15550101@127.0.0.1>"), "{invite}");
    assert_eq!(header(&invite, "To"), "<sip:+442071838750@127.0.0.1>");
    assert_eq!(header(&invite, "P-Asserted-Identity"), "<sip:+15550101@127.0.0.1>");
    assert!(!invite.contains("alice"), "{invite}");
    says(&mut rig, ACME, &invite, "183 Session Progress");
    says(&mut rig, ACME, &invite, "200 OK");
    assert_eq!(last(&mut rig, ALICE).0, 200);
    // Whoever wants to stay unknown is known to the trunk alone.
    let private = ask("alice", ALICE, "+442071838750", 2).with("Privacy: id\n");
    rig.say(ALICE, &private.text());
    let invite = rig.one(ACME, "INVITE");
    assert!(header(&invite, "From").contains("sip:anonymous@anonymous.invalid"), "{invite}");
    assert_eq!(header(&invite, "Privacy"), "id");
    assert_eq!(header(&invite, "P-Asserted-Identity"), "<sip:+15550101@127.0.0.1>");
    outward(&mut rig, Trunk::default());
    rig.say(ALICE, &ask("alice", ALICE, "+442071838750", 3).with("Privacy: id\n").text());
    let invite = rig.one(ACME, "INVITE");
    assert!(!invite.contains("+15550101") && !invite.contains("alice"), "{invite}");
}

#[test]
fn a_trunk_in_trouble_gives_way_and_a_busy_line_is_final() {
    let mut rig = Rig::new();
    outward(&mut rig, Trunk::default());
    call(&mut rig, "+442071838750", 1);
    let invite = rig.one(ACME, "INVITE");
    says(&mut rig, ACME, &invite, "503 Service Unavailable");
    let second = rig.one(BEST, "INVITE");
    assert_ne!(header(&invite, "Call-ID"), header(&second, "Call-ID"));
    says(&mut rig, BEST, &second, "486 Busy Here");
    assert_eq!(last(&mut rig, ALICE).0, 486);
    // Nothing comes back at all: timer B.
    call(&mut rig, "+442071838750", 2);
    rig.wait(Duration::from_secs(33));
    let invite = rig.one(BEST, "INVITE");
    says(&mut rig, BEST, &invite, "404 Not Found");
    assert_eq!(last(&mut rig, ALICE).0, 404);
    // Both fail.
    call(&mut rig, "+442071838750", 3);
    let seen = rig.seen(ACME);
    let invite = seen.iter().rfind(|text| text.starts_with("INVITE")).unwrap().clone();
    says(&mut rig, ACME, &invite, "500 Server Internal Error");
    let invite = rig.one(BEST, "INVITE");
    says(&mut rig, BEST, &invite, "403 Forbidden");
    let (code, refused) = last(&mut rig, ALICE);
    assert_eq!(code, 503);
    assert!(header(&refused, "Warning").contains("trunks.none_up"), "{refused}");
    // An unknown number of ours, and one of nobody.
    change(&mut rig, Change::Route("out".into(), None));
    let refused = call(&mut rig, "+442071838750", 4).pop().unwrap();
    assert_eq!(status(&refused), 404);
    assert!(header(&refused, "Warning").contains("trunks.no_route"), "{refused}");
}

#[test]
fn a_caller_who_gives_up_cancels_at_the_trunk() {
    let mut rig = Rig::new();
    outward(&mut rig, Trunk::default());
    call(&mut rig, "+442071838750", 1);
    let invite = rig.one(ACME, "INVITE");
    says(&mut rig, ACME, &invite, "180 Ringing");
    let cancel = Ask {
        method: "CANCEL".into(),
        ..Ask::new("INVITE", "alice", ALICE, 1).to("+442071838750")
    };
    rig.from(ALICE, &cancel.text());
    let statuses: Vec<u16> = rig.seen(ALICE).iter().map(|text| status(text)).collect();
    assert!(statuses.contains(&200) && statuses.contains(&487), "{statuses:?}");
    rig.one(ACME, "CANCEL");
}

#[test]
fn a_trunk_brings_calls_to_our_numbers_and_nobody_else_does() {
    let mut rig = Rig::new();
    outward(&mut rig, Trunk { asserts: true, ..Trunk::default() });
    number(&mut rig, "+15550100", "bob");
    let from = |who: &str, id: u32| {
        let ask = ask("+442071838750", who, "x", id)
            .with("P-Asserted-Identity: \"Carol C\" <sip:+442071838751@carrier.example>\n");
        // A carrier may write its own name for us.
        ask.at("sip:+15550100@carrier.example")
    };
    rig.from(ACME, &from(ACME, 1).text());
    let invite = rig.one(BOB, "INVITE");
    assert!(
        header(&invite, "From").starts_with("\"Carol C\" <sip:+442071838751@localhost>"),
        "{invite}"
    );
    says(&mut rig, BOB, &invite, "200 OK");
    assert_eq!(last(&mut rig, ACME).0, 200);
    // From anywhere else that host is not ours, and who is not asserted is not believed.
    assert_eq!(rig.status(MALLORY, &from(MALLORY, 2).text()), 403);
    let stranger = ask("stranger", MALLORY, "+442071838750", 3);
    let refused = rig.say(MALLORY, &stranger.text()).pop().unwrap();
    assert_eq!(status(&refused), 404, "strangers do not go out");
    let unknown = from(ACME, 4).at("sip:+15550177@localhost");
    let refused = rig.say(ACME, &unknown.text()).pop().unwrap();
    assert_eq!(status(&refused), 404);
    assert!(header(&refused, "Warning").contains("trunks.no_route CAR-1653"), "{refused}");
    let by_name = from(ACME, 5).at("sip:bob@localhost");
    assert_eq!(status(rig.say(ACME, &by_name.text()).last().unwrap()), 404);
    // Its other addresses.
    let sources = vec![Source::try_from("127.0.0.1:5099".to_owned()).unwrap()];
    trunk(&mut rig, "acme", ACME, Trunk { sources, ..Trunk::default() });
    rig.from(MALLORY, &from(MALLORY, 6).text());
    let invite = rig.one(BOB, "INVITE");
    assert!(
        header(&invite, "From").contains("<sip:+442071838750@localhost>"),
        "not asserted: {invite}"
    );
}

#[test]
fn a_forwarded_call_goes_out_with_its_history() {
    let mut rig = Rig::new();
    outward(&mut rig, Trunk::default());
    number(&mut rig, "+15550100", "bob");
    settings(
        &mut rig,
        "bob",
        CallSettings { forward_always: to("+442071838750"), ..CallSettings::default() },
    );
    rig.from(BEST, &ask("+49301234", BEST, "+15550100", 1).text());
    let invite = rig.one(ACME, "INVITE");
    assert!(header(&invite, "From").starts_with("<sip:+15550100@"), "{invite}");
    assert!(
        header(&invite, "Diversion").starts_with("<sip:+15550100@localhost>;reason=unconditional"),
        "{invite}"
    );
    trunk(&mut rig, "acme", ACME, Trunk { keeps_caller: true, ..Trunk::default() });
    rig.from(BEST, &ask("+49301234", BEST, "+15550100", 2).text());
    let invite = rig.one(ACME, "INVITE");
    assert!(header(&invite, "From").starts_with("<sip:+49301234@"), "{invite}");
}

#[test]
fn a_trunk_carries_no_more_calls_than_it_may() {
    let mut rig = Rig::new();
    outward(&mut rig, Trunk { calls_max: Some(1), ..Trunk::default() });
    number(&mut rig, "+15550100", "bob");
    call(&mut rig, "+442071838750", 1);
    let first = rig.one(ACME, "INVITE");
    says(&mut rig, ACME, &first, "200 OK");
    let (_, ok) = last(&mut rig, ALICE);
    acked(&mut rig, ALICE, &ok);
    rig.seen(ACME);
    // Out: the next trunk takes it. In: 503.
    call(&mut rig, "+442071838750", 2);
    let second = rig.one(BEST, "INVITE");
    says(&mut rig, BEST, &second, "486 Busy Here");
    let refused = rig.say(ACME, &ask("+49301234", ACME, "+15550100", 3).text()).pop().unwrap();
    assert_eq!(status(&refused), 503);
    assert!(header(&refused, "Warning").contains("trunks.full"), "{refused}");
    assert!(rig.seen(BOB).is_empty());
    let side = Side {
        who: ALICE,
        target: header(&ok, "Contact"),
        from: header(&ok, "From"),
        to: header(&ok, "To"),
        call_id: header(&ok, "Call-ID"),
    };
    rig.from(ALICE, &side.request("BYE", 2, "bye", "", ""));
    rig.from(ACME, &ask("+49301234", ACME, "+15550100", 4).text());
    let invite = rig.one(BOB, "INVITE");
    // A refused call gives its line back too.
    says(&mut rig, BOB, &invite, "486 Busy Here");
    rig.from(ACME, &ask("+49301234", ACME, "+15550100", 5).text());
    rig.one(BOB, "INVITE");
}

#[test]
fn new_calls_keep_to_the_rate_of_a_trunk() {
    let mut rig = Rig::new();
    outward(&mut rig, Trunk { calls_per_second: Some(2), ..Trunk::default() });
    for id in 1..=3 {
        call(&mut rig, "+442071838750", id);
    }
    assert_eq!(rig.seen(ACME).len(), 2);
    assert_eq!(rig.seen(BEST).len(), 1);
    rig.wait(Duration::from_millis(499));
    rig.seen(ACME);
    rig.wait(Duration::from_millis(501));
    rig.seen(ACME);
    rig.seen(BEST);
    for id in 4..=5 {
        call(&mut rig, "+442071838750", id);
    }
    assert_eq!(rig.seen(ACME).len(), 2);
    assert!(rig.seen(BEST).is_empty());
    // Whoever calls for help is not counted out.
    let route = Route {
        name: "help".into(),
        to: vec![Pattern("112".into())],
        ways: vec![Way { trunk: "acme".into(), priority: 0, weight: 1 }],
        ..Route::default()
    };
    change(&mut rig, Change::Route("help".into(), Some(Box::new(route))));
    call(&mut rig, "112", 6);
    rig.one(ACME, "INVITE sip:112@");
}

#[test]
fn a_number_that_rings_two_ends_one_when_the_other_answers() {
    let mut rig = Rig::new();
    let rings = vec![Rung::User("bob".into()), Rung::User("frank".into())];
    let known = Number { number: "+15550100".into(), rings, ..Number::default() };
    change(&mut rig, Change::Number("+15550100".into(), Some(known)));
    call(&mut rig, "+15550100", 1);
    let (bob, frank) = (rig.one(BOB, "INVITE"), rig.one(FRANK, "INVITE"));
    says(&mut rig, BOB, &bob, "180 Ringing");
    says(&mut rig, FRANK, &frank, "180 Ringing");
    // One declines for himself only.
    says(&mut rig, BOB, &bob, "603 Decline");
    assert_eq!(last(&mut rig, ALICE).0, 180);
    says(&mut rig, FRANK, &frank, "200 OK");
    assert_eq!(last(&mut rig, ALICE).0, 200);
    call(&mut rig, "+15550100", 2);
    rig.seen(BOB);
    let frank = rig.one(FRANK, "INVITE");
    says(&mut rig, FRANK, &frank, "200 OK");
    rig.wait(Duration::from_millis(1));
    assert_eq!(rig.gauge("sessions"), 2);
}

/// `acme` has three addresses, `best` one.
fn outward_with_three_addresses(rig: &mut Rig) {
    outward(rig, Trunk::default());
    let hops = [ACME, SECOND, THIRD].map(|address| Flow::udp(address.parse().unwrap())).to_vec();
    change(rig, Change::TrunkHealth("acme".into(), Health { hops, ..Health::default() }));
}

#[test]
fn each_address_of_a_trunk_is_tried_before_the_next_trunk() {
    let mut rig = Rig::new();
    outward_with_three_addresses(&mut rig);
    call(&mut rig, "+442071838750", 1);
    let first = rig.one(ACME, "INVITE");
    says(&mut rig, ACME, &first, "503 Service Unavailable");
    rig.wait(Duration::from_millis(1));
    let second = rig.one(SECOND, "INVITE");
    // The same request in a new transaction.
    for name in ["Call-ID", "CSeq", "From", "To"] {
        assert_eq!(header(&first, name), header(&second, name));
    }
    assert_eq!(first.lines().next(), second.lines().next());
    assert_ne!(header(&first, "Via"), header(&second, "Via"));
    // Nobody says a word there.
    rig.wait(Duration::from_secs(33));
    let third = rig.one(THIRD, "INVITE");
    says(&mut rig, THIRD, &third, "503 Service Unavailable");
    rig.wait(Duration::from_millis(1));
    let other = rig.one(BEST, "INVITE");
    says(&mut rig, BEST, &other, "200 OK");
    assert_eq!(last(&mut rig, ALICE).0, 200);
    // What failed is remembered: all have, so they are asked in their order.
    for who in [ACME, SECOND] {
        rig.seen(who);
    }
    call(&mut rig, "+442071838750", 2);
    let first = rig.one(ACME, "INVITE");
    says(&mut rig, ACME, &first, "486 Busy Here");
    assert_eq!(last(&mut rig, ALICE).0, 486, "what the far end says of itself is final");
    assert!(rig.seen(SECOND).iter().all(|text| !text.starts_with("INVITE")));
}

#[test]
fn an_address_that_failed_is_tried_last_for_a_while() {
    let mut rig = Rig::new();
    outward_with_three_addresses(&mut rig);
    call(&mut rig, "+442071838750", 1);
    let first = rig.one(ACME, "INVITE");
    says(&mut rig, ACME, &first, "503 Service Unavailable");
    rig.wait(Duration::from_millis(1));
    let second = rig.one(SECOND, "INVITE");
    says(&mut rig, SECOND, &second, "180 Ringing");
    // Somebody was asked there: his answer is the trunk's, and no way to the next address.
    says(&mut rig, SECOND, &second, "503 Service Unavailable");
    rig.wait(Duration::from_millis(1));
    let other = rig.one(BEST, "INVITE");
    says(&mut rig, BEST, &other, "486 Busy Here");
    assert!(rig.seen(THIRD).is_empty());
    rig.seen(ACME);
    call(&mut rig, "+442071838750", 2);
    let second = rig.one(SECOND, "INVITE");
    says(&mut rig, SECOND, &second, "486 Busy Here");
    assert!(rig.seen(ACME).is_empty());
    rig.wait(HOP_FAILED_FOR);
    call(&mut rig, "+442071838750", 3);
    rig.one(ACME, "INVITE");
}

#[test]
fn a_caller_who_gives_up_ends_the_search_for_an_address() {
    let mut rig = Rig::new();
    outward_with_three_addresses(&mut rig);
    call(&mut rig, "+442071838750", 1);
    let first = rig.one(ACME, "INVITE");
    says(&mut rig, ACME, &first, "503 Service Unavailable");
    rig.wait(Duration::from_millis(1));
    let second = rig.one(SECOND, "INVITE");
    says(&mut rig, SECOND, &second, "180 Ringing");
    let cancel = Ask {
        method: "CANCEL".into(),
        ..Ask::new("INVITE", "alice", ALICE, 1).to("+442071838750")
    };
    rig.from(ALICE, &cancel.text());
    rig.one(SECOND, "CANCEL");
    says(&mut rig, SECOND, &second, "487 Request Terminated");
    rig.wait(Duration::from_secs(40));
    assert!(rig.seen(THIRD).is_empty() && rig.seen(BEST).is_empty());
    assert_eq!(rig.gauge("legs"), 0);
}

#[test]
fn a_trunk_that_asks_who_we_are_is_told() {
    let mut rig = Rig::new();
    let key = switchboard::Keys::new(driver::config().secret).seal;
    let sealed = switchboard::seal::seal(&key, b"hunter2", &mut types::Rng::from_number(1));
    outward(&mut rig, Trunk { user: "88231".into(), sealed, ..Trunk::default() });
    call(&mut rig, "+442071838750", 1);
    let invite = rig.one(ACME, "INVITE");
    assert!(!invite.contains("uthorization"), "{invite}");
    let challenge = response(&invite, "407 Proxy Authentication Required", "bt", "sip:x@x", "")
        .replace(
            "Content-Length",
            "Proxy-Authenticate: Digest realm=\"acme\", nonce=\"n\", algorithm=MD5\nContent-Length",
        );
    rig.from(ACME, &challenge);
    // Behind the ACK of the challenge, with the next tick.
    rig.wait(std::time::Duration::from_millis(1));
    let again = rig.one(ACME, "INVITE");
    assert!(header(&again, "Proxy-Authorization").contains("username=\"88231\""), "{again}");
    // Who is refused all the same goes to the next trunk.
    let second = response(&again, "403 Forbidden", "bt", "sip:x@x", "");
    rig.from(ACME, &second);
    rig.one(BEST, "INVITE");
}
