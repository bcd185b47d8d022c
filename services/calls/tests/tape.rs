//! A call is recorded because the API asks for it: what the pump and the recorder are told, and what the record says.

mod rig;

use std::time::Duration;

use media::{Command, Direction, Rate, Seat};
use rig::phones::*;
use rig::*;
use serde_json::{Value, json};
use switchboard::clip::{RecordEnd, SoundOrder};
use switchboard::notice::CallFacts;
use switchboard::store::Entry;
use switchboard::{
    ApiRequest, Input, Output, RecordFormat, RecordedFact, Recording, Reply, SoundFault, Ticket,
};
use types::{CallId, tagged};

const BEGIN: u16 = 6;
const LIST: u16 = 7;
const END: u16 = 8;
const PAUSE: u16 = 9;
const RESUME: u16 = 10;

/// What the recorder was told since the last look.
fn orders(rig: &mut Rig) -> Vec<SoundOrder> {
    let told = rig.others.iter().filter_map(|output| match output {
        Output::Sound(order) => Some(order.clone()),
        _ => None,
    });
    let told = told.collect();
    rig.others.retain(|output| !matches!(output, Output::Sound(_)));
    told
}

fn began(rig: &mut Rig) -> (Ticket, Recording) {
    let found = orders(rig).into_iter().find_map(|order| match order {
        SoundOrder::Record { ticket, recording } => Some((ticket, recording)),
        _ => None,
    });
    found.expect("a recording")
}

fn tapped(rig: &Rig) -> (Option<Seat>, Rate, Direction) {
    let found = rig.others.iter().rev().find_map(|output| match output {
        Output::Media(Command::Tap { seat, rate, direction, .. }) => {
            Some((*seat, *rate, *direction))
        }
        _ => None,
    });
    found.expect("a tap")
}

fn kept(rig: &mut Rig, ticket: Ticket, end: RecordEnd) {
    let fact = RecordedFact {
        hash: "ab".repeat(32),
        address: "/media/ab.wav".into(),
        length: Duration::from_millis(1_500),
        octets: 24_044,
        loudest: Some(9),
        end,
    };
    rig.handle(Input::Reply { ticket, reply: Reply::Recorded(Ok(fact)) });
}

/// What the request with the number 77 was answered.
fn answered(rig: &mut Rig) -> Option<Value> {
    let mine = |output: &Output| matches!(output, Output::Api { id: 77, .. });
    let place = rig.others.iter().position(mine)?;
    match rig.others.remove(place) {
        Output::Api { response, .. } => serde_json::from_slice(&response.body).ok(),
        other => panic!("{other:?}"),
    }
}

/// The id of the one call that lives.
fn call(rig: &mut Rig) -> String {
    let (_, list) = rig.api(0, "");
    list["items"][0]["id"].as_str().expect("a call").to_owned()
}

fn record(rig: &Rig) -> Option<CallFacts> {
    rig.others.iter().rev().find_map(|output| match output {
        Output::Save { entry, .. } if entry.last => {
            let mut fields = tagged::Reader::new(&entry.body);
            CallFacts::decode(fields.find(|(tag, _)| *tag == 2)?.1.0)
        }
        _ => None,
    })
}

fn saved(rig: &Rig) -> Entry {
    let found = rig.others.iter().rev().find_map(|output| match output {
        Output::Save { entry, .. } => Some(entry.clone()),
        _ => None,
    });
    found.expect("the call")
}

#[test]
fn it_begins_pauses_goes_on_and_ends_with_its_file() {
    let mut rig = Rig::new();
    let (mut alice, _, _, _) = talk_with(&mut rig, "", "");
    let call = call(&mut rig);
    assert_eq!(rig.ask(END, &call, "", "").0, 409);
    assert_eq!(rig.ask(BEGIN, &call, "", r#"{"channels":9}"#).0, 400);
    let wish = r#"{"channels":2,"format":"ogg","trim":true}"#;
    let (status, shown) = rig.ask(BEGIN, &call, "", wish);
    assert_eq!((status, &shown["state"]), (201, &json!("recording")), "{shown}");
    let (ticket, recording) = began(&mut rig);
    assert_eq!((recording.channels, recording.format), (2, RecordFormat::OggOpus));
    assert!(recording.trim && recording.rate == Rate::Narrow);
    assert_eq!(tapped(&rig), (Some(Seat::A), Rate::Narrow, Direction::Both));
    assert_eq!(rig.ask(BEGIN, &call, "", "").0, 409, "one at a time");
    assert_eq!(rig.heard("recording.began").len(), 1);
    assert!(rig.seen(ALICE).is_empty() && rig.seen(BOB).is_empty(), "the two notice nothing");

    assert_eq!(rig.ask(PAUSE, &call, "", "").1["state"], "paused");
    assert_eq!(orders(&mut rig), [SoundOrder::Pause { tap: recording.tap, silent: false }]);
    assert_eq!(rig.ask(RESUME, &call, "", "").1["state"], "recording");
    assert_eq!(orders(&mut rig), [SoundOrder::Resume(recording.tap)]);

    // The answer waits for the file.
    let request = ApiRequest {
        id: 77,
        room: "calls".into(),
        endpoint: END,
        path: vec![call.clone()],
        ..ApiRequest::default()
    };
    rig.handle(Input::Api(request));
    assert_eq!(answered(&mut rig), None);
    assert_eq!(orders(&mut rig), [SoundOrder::Finish(recording.tap)]);
    assert_eq!(rig.api(LIST, &call).1["items"][0]["state"], "finishing");
    kept(&mut rig, ticket, RecordEnd::Asked);
    assert_eq!(answered(&mut rig).expect("an answer")["address"], "/media/ab.wav");
    let (status, list) = rig.api(LIST, &call);
    assert_eq!((status, &list["items"][0]["state"]), (200, &json!("kept")), "{list}");
    assert_eq!(list["items"][0]["address"], "/media/ab.wav");
    assert_eq!(rig.heard("recording.ended").len(), 1);

    // Another one, of all on one channel.
    let (status, _) = rig.ask(BEGIN, &call, "", "");
    assert_eq!(status, 201);
    let (second, recording) = began(&mut rig);
    assert!(recording.channels == 1 && tapped(&rig).0.is_none());
    rig.from(ALICE, &alice.request("BYE", "", ""));
    let bye = rig.one(BOB, "BYE");
    rig.from(BOB, &reply(&bye, "200 OK", "bt", "", ""));
    assert_eq!(orders(&mut rig), [SoundOrder::Finish(recording.tap)]);
    assert!(record(&rig).is_none(), "the record waits for the file");
    kept(&mut rig, second, RecordEnd::Asked);
    let record = record(&rig).expect("a record");
    let ends: Vec<_> = record.recordings.iter().map(|one| one.address.as_str()).collect();
    assert_eq!(ends, ["/media/ab.wav"; 2]);
    rig.is_clean();
}

/// A pair that a transfer left takes its tap along: what is said from then on is another file.
#[test]
fn a_file_that_ends_by_itself_is_followed_by_another_unless_it_may_not() {
    let mut rig = Rig::new();
    talk_with(&mut rig, "", "");
    let call = call(&mut rig);
    rig.ask(BEGIN, &call, "", "");
    let (ticket, first) = began(&mut rig);
    kept(&mut rig, ticket, RecordEnd::Asked);
    let (ticket, second) = began(&mut rig);
    assert_ne!(first.name, second.name);
    kept(&mut rig, ticket, RecordEnd::Disk);
    assert_eq!(orders(&mut rig), []);
    let (_, list) = rig.api(LIST, &call);
    let ends: Vec<_> = list["items"].as_array().unwrap().iter().map(|one| &one["end"]).collect();
    assert_eq!(ends, ["asked", "disk"]);
    // One that was lost is said to be, too.
    rig.ask(BEGIN, &call, "", "");
    let (ticket, _) = began(&mut rig);
    rig.handle(Input::Reply { ticket, reply: Reply::Recorded(Err(SoundFault::Busy)) });
    let (_, list) = rig.api(LIST, &call);
    assert_eq!(
        (&list["items"][2]["state"], &list["items"][2]["end"]),
        (&json!("lost"), &json!("sound.busy"))
    );
}

#[test]
fn a_call_that_rings_or_cannot_be_heard_is_not_recorded() {
    let mut rig = Rig::new();
    rig.from(ALICE, &invite("bob"));
    let at_bob = rig.one(BOB, "INVITE");
    let ringing = call(&mut rig);
    let (status, refused) = rig.ask(BEGIN, &ringing, "", "");
    assert_eq!((status, &refused["code"]), (409, &json!("calls.not_answered")));
    // What both speak is nothing that we know.
    let odd = |port| sdp(port).replace("RTP/AVP 0", "RTP/AVP 18");
    rig.from(BOB, &reply(&at_bob, "486 Busy", "bt", "", ""));
    rig.one(ALICE, "SIP/2.0 486");
    let mut rig = Rig::new();
    rig.from(ALICE, &invite_with("bob", "", &odd(4_000)));
    let at_bob = rig.one(BOB, "INVITE");
    rig.from(BOB, &reply(&at_bob, "200 OK", "bt", "", &odd(5_000)));
    rig.one(ALICE, "SIP/2.0 200");
    let odd = call(&mut rig);
    let (status, refused) = rig.ask(BEGIN, &odd, "", "");
    assert_eq!((status, &refused["code"]), (409, &json!("calls.cannot_record")), "{refused}");
    let none = CallId(7).to_string();
    assert_eq!(rig.ask(BEGIN, &none, "", "").0, 404);
}

/// How loud the two are is measured while somebody waits for it.
#[test]
fn levels_are_told_after_half_a_second() {
    let mut rig = Rig::new();
    talk_with(&mut rig, "", "");
    let id = call(&mut rig);
    let request = ApiRequest {
        id: 77,
        room: "calls".into(),
        endpoint: 11,
        path: vec![id],
        ..ApiRequest::default()
    };
    rig.handle(Input::Api(request));
    let gauges = |rig: &Rig| -> Vec<_> {
        let told = rig.others.iter().filter_map(|output| match output {
            Output::Media(Command::Gauge { stream, seat, every }) => Some((*stream, *seat, *every)),
            _ => None,
        });
        told.collect()
    };
    let [(stream, Some(Seat::A), Some(_)), (_, Some(Seat::B), Some(_))] = gauges(&rig)[..] else {
        panic!("both are measured")
    };
    for level in [40, 23, 31] {
        rig.handle(Input::Media(media::Event::Level { stream, seat: Seat::A, level }));
    }
    assert_eq!(answered(&mut rig), None);
    rig.wait(Duration::from_millis(700));
    let wanted = json!({ "caller": { "dbov": -23 }, "callee": { "dbov": -127 } });
    assert_eq!(answered(&mut rig), Some(wanted));
    assert!(gauges(&rig)[2..].iter().all(|(_, _, every)| every.is_none()));
}

/// The file of the process that died is asked for by its name, and another one begins.
#[test]
fn it_goes_on_after_a_kill() {
    let mut rig = Rig::new();
    let (mut alice, _, _, _) = talk_with(&mut rig, "", "");
    let id = call(&mut rig);
    rig.ask(BEGIN, &id, "", r#"{"channels":2}"#);
    let (_, first) = began(&mut rig);
    rig.ask(PAUSE, &id, "", "");
    let mut next = Rig::new();
    next.handle(Input::Adopt(saved(&rig)));
    next.handle(Input::Begin);
    let orders = orders(&mut next);
    let [
        SoundOrder::Recovered { ticket, name },
        SoundOrder::Record { recording, .. },
        SoundOrder::Pause { tap, .. },
    ] = &orders[..]
    else {
        panic!("{orders:?}")
    };
    assert!(*name == first.name && recording.channels == 2 && recording.tap == *tap);
    kept(&mut next, *ticket, RecordEnd::Interrupted);
    let (_, list) = next.api(LIST, &id);
    assert_eq!(list["items"][0]["end"], "interrupted");
    assert_eq!(list["items"][1]["state"], "paused");

    // It dies again, after the call and before the file is kept: the record comes with the next process.
    rig.from(ALICE, &alice.request("BYE", "", ""));
    assert!(record(&rig).is_none());
    let mut last = Rig::new();
    last.handle(Input::Adopt(saved(&rig)));
    last.handle(Input::Begin);
    let found = self::orders(&mut last).into_iter().find_map(|order| match order {
        SoundOrder::Recovered { ticket, .. } => Some(ticket),
        _ => None,
    });
    assert!(record(&last).is_none());
    kept(&mut last, found.expect("its file"), RecordEnd::Interrupted);
    let record = record(&last).expect("a record");
    assert_eq!((record.recordings.len(), record.outcome.as_str()), (1, "answered"));
}
