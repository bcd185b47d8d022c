//! A phone that sleeps.

use serde_json::json;
use types::{Instant, UnixTime};

use super::script::{Bench, SDP, config, request};
use crate::{Action, AnswerBy, Event, Media, PhoneEvent, Push, Why};

const AT: UnixTime = UnixTime::seconds(1_800_000_000);

/// Registered and asleep.
fn asleep(answer_by: AnswerBy) -> Bench {
    let mut config = config();
    config.push = Some(Push {
        provider: "fcm".to_owned(),
        prid: "token".to_owned(),
        param: Some("project".to_owned()),
    });
    config.answer_by = answer_by;
    let mut bench = Bench::new(config);
    bench.event(Event::Register);
    bench.respond(200, "Expires: 3600\r\n");
    bench.event(Event::Sleep);
    assert_eq!(
        (&bench.said[..], &bench.done[..]),
        (&[PhoneEvent::Slept][..], &[Action::Close][..])
    );
    bench
}

fn pushed(kind: &str, call_id: &str) -> Event {
    let payload = json!({
        "t": kind,
        "call_id": call_id,
        "caller": { "uri": "sip:1002@example.org", "name": "Bob" },
        "media": ["audio"],
        "reply": { "url": "http://192.0.2.1/reply", "token": "secret" },
        "exp": AT.as_seconds() + 30,
    });
    Event::Pushed { payload: payload.to_string().into_bytes(), at: AT }
}

fn opened() -> Event {
    Event::Opened { contact: "192.0.2.9:7000".parse().unwrap() }
}

fn reply(body: serde_json::Value) -> Action {
    let (url, token) = ("http://192.0.2.1/reply".to_owned(), "secret".to_owned());
    Action::Reply { url, token, body: body.to_string() }
}

fn answered(bench: &Bench) -> bool {
    bench.said.iter().any(|event| matches!(event, PhoneEvent::Answered { .. }))
}

fn why(bench: &Bench) -> Option<Why> {
    bench.said.iter().find_map(|event| match event {
        PhoneEvent::Ended { why, .. } => Some(*why),
        _ => None,
    })
}

#[test]
fn answered_by_registering() {
    let mut bench = asleep(AnswerBy::Register);
    bench.event(pushed("call.invite", "one"));
    assert_eq!(bench.done, [Action::Open]);
    assert!(matches!(&bench.said[..], [PhoneEvent::Incoming { pushed: true, .. }]));
    bench.event(pushed("call.invite", "one"));
    assert_eq!((bench.done.len(), bench.said.len()), (0, 0)); // By a second channel.
    bench.event(opened());
    assert!(bench.one().contains("\r\nContact: <sip:1001@192.0.2.9:7000;pn-provider=fcm"));
    bench.respond(200, "Expires: 3600\r\n");
    bench.event(Event::Answer);
    assert_eq!(bench.sent.len(), 0);
    bench.receive(&request("INVITE", "one", "1", "", SDP));
    assert_eq!(bench.sent.len(), 2);
    assert!(bench.sent[0].starts_with("SIP/2.0 180"));
    assert!(bench.sent[1].starts_with("SIP/2.0 200"));
    assert!(answered(&bench));
}

#[test]
fn the_invite_rings_on_until_the_person_answers() {
    let mut bench = asleep(AnswerBy::Register);
    bench.event(pushed("call.invite", "one"));
    bench.event(opened());
    bench.respond(200, "Expires: 3600\r\n");
    bench.receive(&request("INVITE", "one", "1", "", SDP));
    assert!(bench.one().starts_with("SIP/2.0 180"));
    assert_eq!(bench.said, []);
    bench.event(Event::Answer);
    assert!(bench.one().starts_with("SIP/2.0 200"));
}

#[test]
fn answered_by_reply() {
    for status in [204, 401, 0] {
        let mut bench = asleep(AnswerBy::Reply);
        bench.event(pushed("call.invite", "one"));
        assert_eq!(bench.done, []);
        bench.event(Event::Answer);
        assert_eq!(bench.done, [reply(json!({ "action": "accept" }))]);
        bench.event(Event::ReplyAnswered { status });
        assert_eq!(bench.done, [Action::Open]); // Refused or not, registering answers as well.
        bench.event(opened());
        assert!(bench.one().starts_with("REGISTER"));
        bench.receive(&request("INVITE", "one", "1", "", SDP));
        assert!(answered(&bench));
    }
}

#[test]
fn answered_by_a_reply_with_a_description() {
    for body in [SDP.to_owned(), json!({ "sdp": SDP }).to_string()] {
        let mut bench = asleep(AnswerBy::ReplySdp);
        bench.event(pushed("call.invite", "one"));
        bench.event(Event::Answer);
        assert!(matches!(&bench.done[..], [Action::Fetch { token, .. }] if token == "secret"));
        bench.event(Event::Fetched { status: 200, body: body.into_bytes() });
        let [Action::Reply { body, .. }] = &bench.done[..] else { panic!("{:?}", bench.done) };
        assert!(body.contains("m=audio 4000 RTP/AVP 8 101"), "{body}");
        bench.event(Event::ReplyAnswered { status: 200 });
        assert!(answered(&bench) && bench.phone.is_talking());
        assert!(matches!(&bench.done[..], [Action::Media(Media::Start(_)), Action::Open]));
        bench.event(opened());
        bench.receive(&request("INVITE", "one", "1", "", SDP));
        assert!(bench.sent[1].starts_with("SIP/2.0 200"));
        assert_eq!((bench.said.len(), bench.done.len()), (0, 0)); // They talk already.
    }
}

#[test]
fn who_talks_without_an_invite_still_hears_the_end() {
    for (kind, expected) in [
        (Some("call.cancel"), Why::Theirs),
        (Some("call.missed"), Why::Theirs),
        (None, Why::Unreachable),
    ] {
        let mut bench = asleep(AnswerBy::ReplySdp);
        bench.event(pushed("call.invite", "one"));
        bench.event(Event::Answer);
        bench.event(Event::Fetched { status: 200, body: SDP.as_bytes().to_vec() });
        bench.event(Event::ReplyAnswered { status: 200 });
        bench.event(pushed("call.answered_elsewhere", "one")); // That was us.
        assert!(bench.phone.is_talking());
        match kind {
            Some(kind) => bench.event(pushed(kind, "one")),
            None => {
                while why(&bench).is_none() {
                    bench.pass();
                }
            }
        }
        assert_eq!(why(&bench), Some(expected));
        assert!(bench.done.contains(&Action::Media(Media::Stop)));
        bench.event(opened());
        bench.receive(&request("INVITE", "one", "1", "", SDP));
        assert!(bench.sent.iter().any(|sent| sent.starts_with("SIP/2.0 48")));
    }
}

#[test]
fn refused_by_reply_and_not_rung_again() {
    for (event, body, status) in [
        (Event::Decline, json!({ "action": "decline" }), "603"),
        (Event::Busy, json!({ "action": "busy" }), "486"),
        (Event::Text("Later".into()), json!({ "action": "text", "text": "Later" }), "603"),
    ] {
        let mut bench = asleep(AnswerBy::Reply);
        bench.event(pushed("call.invite", "one"));
        bench.event(event);
        assert_eq!(bench.done, [reply(body)]);
        bench.event(Event::ReplyAnswered { status: 200 });
        assert_eq!(why(&bench), Some(Why::Ours));
        bench.event(pushed("call.invite", "one"));
        assert_eq!((bench.done.len(), bench.said.len()), (0, 0));
        bench.event(Event::Register);
        bench.event(opened());
        bench.receive(&request("INVITE", "one", "1", "", SDP));
        assert!(bench.one().contains(status));
    }
}

#[test]
fn the_end_of_a_call_stops_the_ringing() {
    for (kind, expected) in [
        ("call.cancel", Why::Cancelled),
        ("call.answered_elsewhere", Why::AnsweredElsewhere),
        ("call.missed", Why::Missed),
    ] {
        let mut bench = asleep(AnswerBy::Register);
        bench.event(pushed("call.invite", "one"));
        bench.event(pushed(kind, "one"));
        assert_eq!(why(&bench), Some(expected));
        assert_eq!(bench.phone.call_id(), None);
        let mut bench = asleep(AnswerBy::Register);
        bench.event(pushed("call.invite", "one"));
        bench.event(opened());
        bench.receive(&request("INVITE", "one", "1", "", SDP));
        bench.event(pushed(kind, "one"));
        assert_eq!(why(&bench), Some(expected));
        assert!(bench.one().starts_with("SIP/2.0 487"));
        // Pushes overtake each other: what is over does not ring.
        let mut bench = asleep(AnswerBy::Register);
        bench.event(pushed(kind, "two"));
        assert_eq!(why(&bench), Some(expected).filter(|why| *why == Why::Missed));
        bench.event(pushed("call.invite", "two"));
        assert_eq!((bench.done.len(), bench.said.len()), (0, 0));
    }
}

#[test]
fn a_woken_phone_rings_only_until_the_end_of_the_push() {
    let mut bench = asleep(AnswerBy::Reply);
    let begun = bench.now;
    bench.event(pushed("call.invite", "one"));
    while bench.said.is_empty() || why(&bench).is_none() {
        bench.pass();
    }
    assert_eq!(why(&bench), Some(Why::NoAnswer));
    assert_eq!(bench.now, begun + std::time::Duration::from_secs(30));
    let Event::Pushed { payload, .. } = pushed("call.invite", "late") else { panic!() };
    bench.event(Event::Pushed { payload, at: UnixTime::seconds(AT.as_seconds() + 31) });
    assert_eq!(bench.said, []);
}

#[test]
fn a_second_call_hears_busy_by_reply() {
    let mut bench = asleep(AnswerBy::Reply);
    bench.event(pushed("call.invite", "one"));
    bench.event(pushed("call.invite", "two"));
    assert_eq!(bench.done, [reply(json!({ "action": "busy" }))]);
    assert_eq!((bench.said.len(), bench.phone.call_id()), (0, Some("one")));
}

#[test]
fn a_sleeper_refreshes_and_sleeps_on() {
    let mut bench = asleep(AnswerBy::Register);
    bench.pass();
    assert_eq!((&bench.done[..], bench.now), (&[Action::Open][..], Instant::seconds(3540)));
    bench.event(opened());
    assert!(bench.one().starts_with("REGISTER"));
    bench.respond(200, "Expires: 3600\r\n");
    assert_eq!(bench.done, [Action::Close]);
    assert!(bench.said.contains(&PhoneEvent::Slept));
    assert!(bench.phone.is_registered());
}
