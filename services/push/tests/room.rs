//! The room `push` as a script.

use std::time::Duration;

use driver::{Alone, Out};
use pns::{Notification, Outcome, Provider, Target};
use push::{Config, REFUSALS, Refusal, Room};
use switchboard::directory::Device;
use switchboard::notice::{Wake, WakeOver};
use switchboard::{Input, Notice, Reply, Service, Ticket};
use types::{CallId, SessionId};

const CALL: &str = "5f0c1c52-6f5e-4a44-9d3c-1b8f7a8f0001";

fn room() -> Box<dyn Service> {
    Box::new(Room::new(Config::default()))
}

fn house() -> Alone {
    let mut house = Alone::new(room);
    house.give(Input::Begin);
    house.heard();
    house
}

fn wake(house: &Alone, provider: Provider, prid: &str) -> Notice {
    let target = Target {
        provider,
        prid: prid.into(),
        prid_alert: None,
        param: "project".into(),
        p256dh: None,
        auth: None,
    };
    let until = house.clock.unix + Duration::from_secs(20);
    Notice::WakeNeeded(Box::new(Wake {
        session: SessionId(7),
        user: "1002".into(),
        device: Device { name: "d".into(), kind: "phone".into(), target },
        invite: pns::Invite {
            call_id: CALL.into(),
            caller_uri: "sip:1001@example.org".into(),
            to: "sip:1002@example.org".into(),
            reply_url: "http://example.org/r".into(),
            reply_token: "t".into(),
            iat: driver::START,
            exp: until.as_seconds(),
            ..pns::Invite::default()
        },
        until,
    }))
}

fn over(why: WakeOver, answered_by: Option<&str>) -> Notice {
    let answered_by = answered_by.map(str::to_owned);
    Notice::WakeOver { user: "1002".into(), call_id: CALL.into(), why, answered_by }
}

fn answer(house: &mut Alone, ticket: Ticket, outcome: Outcome) -> Out {
    house.reply(ticket, Reply::Push(outcome))
}

fn accepted() -> Outcome {
    Outcome::Accepted { id: Some("m1".into()) }
}

/// What the one push says, and its ticket.
#[track_caller]
fn only(out: &Out) -> (Ticket, &'static str) {
    let pushes = out.pushes();
    assert_eq!(pushes.len(), 1, "{:?}", out.list);
    (pushes[0].0, Notification::decode(&pushes[0].1.body).unwrap().kind())
}

/// What wakes came to since the last look.
fn ends(house: &Alone) -> Vec<(bool, String)> {
    let found = house.heard().into_iter().filter_map(|notice| match notice {
        Notice::WakeEnded { accepted, why, .. } => Some((accepted, why)),
        _ => None,
    });
    found.collect()
}

#[test]
fn every_refusal_has_its_row() {
    driver::check_refusals("push", 1401, &Refusal::ALL, REFUSALS);
}

#[test]
fn a_device_is_woken_once_and_told_when_the_caller_gives_up() {
    let mut house = house();
    let wanted = wake(&house, Provider::Fcm, "token-0123456789");
    let (ticket, kind) = only(&house.notice(wanted.clone()));
    assert_eq!(kind, "call.invite");
    assert!(house.notice(wanted).pushes().is_empty());
    answer(&mut house, ticket, accepted());
    assert_eq!(ends(&house), [(true, "m1".into())]);
    let (ticket, kind) = only(&house.notice(over(WakeOver::Cancelled, None)));
    assert_eq!(kind, "call.cancel");
    assert!(house.notice(over(WakeOver::Cancelled, None)).pushes().is_empty());
    let out = answer(&mut house, ticket, Outcome::Unreachable);
    assert!(out.pushes().is_empty());
    let (ticket, _) = only(&house.pass(Duration::from_secs(1)));
    answer(&mut house, ticket, accepted());
    assert!(ends(&house).is_empty());
    assert!(house.pass(Duration::from_secs(600)).pushes().is_empty());
    let counters = house.shard.counters();
    assert_eq!(
        (counters["push.sent"], counters["push.accepted"], counters["push.retried"]),
        (3, 2, 1)
    );
    // What is over is forgotten: the same call may be tried anew.
    assert_eq!(
        only(&house.notice(wake(&house, Provider::Fcm, "token-0123456789"))).1,
        "call.invite"
    );
    assert!(CallId(7).slot().0 == 0);
}

#[test]
fn the_device_that_answered_hears_nothing_and_the_others_do() {
    let mut house = house();
    let mut tickets = Vec::new();
    for prid in ["token-a", "token-b", "token-c"] {
        tickets.push(only(&house.notice(wake(&house, Provider::Fcm, prid))).0);
    }
    answer(&mut house, tickets[0], accepted());
    answer(&mut house, tickets[1], accepted());
    // The third is on its way still.
    let out = house.notice(over(WakeOver::AnsweredElsewhere, Some("token-a")));
    assert_eq!(only(&out).1, "call.answered_elsewhere");
    assert_eq!(out.pushes()[0].1.target.prid, "token-b");
    let out = answer(&mut house, tickets[2], accepted());
    assert_eq!(only(&out).1, "call.answered_elsewhere");
    assert_eq!(out.pushes()[0].1.target.prid, "token-c");
}

#[test]
fn a_device_never_reached_gets_no_cancel() {
    let mut house = house();
    let (first, _) = only(&house.notice(wake(&house, Provider::Fcm, "token-a")));
    let (second, _) = only(&house.notice(wake(&house, Provider::Fcm, "token-b")));
    answer(&mut house, first, Outcome::Unreachable);
    assert!(house.notice(over(WakeOver::Missed, None)).pushes().is_empty());
    assert!(answer(&mut house, second, Outcome::Unreachable).pushes().is_empty());
    assert!(house.pass(Duration::from_secs(100)).pushes().is_empty());
    assert!(ends(&house).is_empty());
}

#[test]
fn it_tries_again_with_growing_pauses_until_the_ringing_ends() {
    let mut house = house();
    let (mut ticket, _) = only(&house.notice(wake(&house, Provider::Fcm, "token-a")));
    let began = house.clock.now;
    let mut at = Vec::new();
    loop {
        answer(&mut house, ticket, Outcome::Unreachable);
        if let [(false, why)] = &ends(&house)[..] {
            assert!(why.starts_with("push.too_late"), "{why}");
            break;
        }
        let mut out = Out::default();
        while out.pushes().is_empty() {
            out = house.pass(Duration::from_millis(500));
        }
        at.push(house.clock.now.since(began).as_millis());
        ticket = only(&out).0;
    }
    assert_eq!(at, [500, 1_500, 3_500, 7_500, 15_500]);
    // A provider that wants more time than there is.
    let (ticket, _) = only(&house.notice(wake(&house, Provider::Fcm, "token-b")));
    answer(&mut house, ticket, Outcome::RetryAfter { seconds: Some(3) });
    assert!(house.pass(Duration::from_millis(2_900)).pushes().is_empty());
    let (ticket, _) = only(&house.pass(Duration::from_millis(200)));
    answer(&mut house, ticket, Outcome::RetryAfter { seconds: Some(60) });
    assert!(!ends(&house)[0].0);
}

#[test]
fn dead_tokens_refusals_and_what_cannot_be_written() {
    let mut house = house();
    let (ticket, _) = only(&house.notice(wake(&house, Provider::Fcm, "token-a")));
    answer(&mut house, ticket, Outcome::TokenGone { since: None });
    let heard = house.heard();
    assert!(heard.iter().any(
        |notice| matches!(notice, Notice::DeviceGone { user, prid, .. } if user == "1002" && prid == "token-a")
    ));
    assert!(heard.iter().any(
        |notice| matches!(notice, Notice::WakeEnded { accepted: false, why, .. } if why.starts_with("push.token_gone"))
    ));
    let (ticket, _) = only(&house.notice(wake(&house, Provider::Fcm, "token-b")));
    answer(&mut house, ticket, Outcome::refused(401, "UNAUTHENTICATED"));
    assert_eq!(ends(&house), [(false, "push.refused (401 UNAUTHENTICATED)".into())]);
    let out = house.notice(wake(&house, Provider::Webpush, "https://push.example/x"));
    assert!(out.pushes().is_empty());
    assert!(ends(&house)[0].1.starts_with("push.not_encodable"));
    assert!(house.notice(over(WakeOver::Missed, None)).pushes().is_empty());
    assert_eq!(house.shard.counters()["push.gone"], 1);
}
