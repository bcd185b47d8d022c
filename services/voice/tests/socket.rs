//! A number whose app talks with us over a web socket: questions, news, commands, a restart.

mod common;

use common::*;
use driver::Phones;
use media::{Command, Play};
use serde_json::{Value, json};
use switchboard::fetch::{Fetch, Fetched};
use switchboard::notice::Notice;
use switchboard::route::{Change, Number};
use switchboard::store::Entry;
use switchboard::{ApiRequest, ApiResponse, Input, Output, Reply, Ticket};
use voice::{Config, Room};

const APP: &str = "wss://app.example/voice";
/// The row of commands in the manifest.
const COMMANDS: u16 = 4;

fn house_of(log: Vec<Entry>) -> Phones {
    let mut house = Phones::with_log(|| Box::new(Room::new(Config::default())), log, 0);
    let number = Number { number: "+15550100".into(), voice_url: APP.into(), ..Number::default() };
    let change = Change::Number(number.number.clone(), Some(number));
    house.notice(Notice::RoutingChanged(Box::new(change)));
    house
}

/// What the app hears, in order.
fn heard(out: &driver::Out) -> Vec<(Ticket, Value)> {
    let said = |fetch: &Fetch| {
        assert_eq!((&*fetch.method, &*fetch.url), ("SOCKET", APP));
        assert!(fetch.headers.iter().any(|(name, _)| name == "x-twilio-signature"));
        serde_json::from_slice(&fetch.body).unwrap()
    };
    let found = out.list.iter().filter_map(|output| match output {
        Output::Fetch { ticket, fetch, .. } => Some((*ticket, said(fetch))),
        _ => None,
    });
    found.collect()
}

/// The one of this type.
fn one(out: &driver::Out, kind: &str) -> (Ticket, Value) {
    let found = heard(out).into_iter().find(|(_, said)| said["type"] == kind);
    found.unwrap_or_else(|| panic!("{kind} in {:?}", heard(out)))
}

fn news(out: &driver::Out) -> Vec<String> {
    let events = heard(out).into_iter().filter(|(_, said)| said["type"] == "call.event");
    events.map(|(_, said)| said["event"].as_str().unwrap().to_owned()).collect()
}

fn answer(document: &Value) -> Reply {
    Reply::Fetched(Ok(Box::new(Fetched {
        status: 200,
        headers: vec![("content-type".into(), "application/json".into())],
        body: document.to_string().into_bytes(),
        url: String::new(),
        took: std::time::Duration::ZERO,
    })))
}

fn menu() -> Value {
    let prompt = json!({"verb": "play", "text": "menu.wav"});
    json!({"state": {"step": 1}, "verbs": [{"verb": "gather", "numDigits": 1, "action": "?got", "verbs": [prompt]}]})
}

/// Says it to the API, as the app's own socket does.
fn command_of(
    house: &mut Phones,
    app: &str,
    call: &str,
    said: &Value,
) -> (ApiResponse, driver::Out) {
    let number = u128::from_str_radix(call.strip_prefix("CA").unwrap(), 16).unwrap();
    let request = ApiRequest {
        id: 7,
        room: "voice".into(),
        endpoint: COMMANDS,
        path: vec![types::CallId(number).to_string()],
        query: vec![("app".into(), app.into())],
        body: said.to_string().into_bytes(),
        ..ApiRequest::default()
    };
    let out = house.give(Input::Api(request));
    let found = out.list.iter().find_map(|output| match output {
        Output::Api { response, .. } => Some(response.clone()),
        _ => None,
    });
    (found.expect("an answer"), out)
}

fn command(house: &mut Phones, call: &str, said: &Value) -> (ApiResponse, driver::Out) {
    command_of(house, APP, call, said)
}

#[test]
fn a_menu_is_a_conversation() {
    let mut house = house_of(Vec::new());
    let (out, _) = called(&mut house);
    let (ticket, first) = one(&out, "call.new");
    assert_eq!((&first["hook"], &first["parameters"]["To"]), (&json!(""), &json!("+15550100")));
    let call = first["call"].as_str().unwrap().to_owned();
    assert_eq!(news(&out), ["doing"]);
    let out = house.reply(ticket, answer(&menu()));
    house.say(1, &in_dialog("ACK", &ok_of(&out), 1));
    let source = out.list.iter().find_map(|output| match output {
        Output::Sound(switchboard::SoundOrder::Clip { source, .. }) => Some(format!("{source:?}")),
        _ => None,
    });
    assert!(source.unwrap().contains("https://app.example/menu.wav"));
    let out = house.reply(clip(&out), made());
    let out = house.give(key(&media(&out), b'4'));
    assert_eq!(news(&out), ["key", "doing"]);
    let (ticket, second) = one(&out, "call.next");
    assert_eq!((&second["hook"], &second["parameters"]["Digits"]), (&json!("got"), &json!("4")));
    assert_eq!(second["parameters"]["State"], r#"{"step":1}"#);
    let pause = json!({"verbs": [{"verb": "pause", "length": 60}]});
    house.reply(ticket, answer(&pause));
    // Over the pause: something is played, and heard of when it is over.
    let said = json!({"command": "play", "url": "over.wav"});
    let (response, out) = command(&mut house, &call, &said);
    assert_eq!(response.status, 200, "{response:?}");
    let out = house.reply(clip(&out), made());
    let over = media(&out).into_iter().find_map(|command| match command {
        Command::Play { stream, seat: None, sound, alone: false, play: Play::Clips { .. } } => {
            Some((stream, sound))
        }
        _ => None,
    });
    let (stream, sound) = over.expect("it is played to all");
    let how = media::Ending::Ended;
    let after = std::time::Duration::ZERO;
    let played = media::Event::Played { stream, seat: None, sound, after, how };
    let out = house.give(Input::Media(played));
    assert_eq!(news(&out), ["played"]);
    // Another document, and a bad one before it, which changes nothing.
    let bad = json!({"command": "redirect", "document": {"verbs": 3}});
    assert_eq!(command(&mut house, &call, &bad).0.status, 400);
    let other = json!({"command": "redirect", "hook": "?other"});
    let (_, out) = command(&mut house, &call, &other);
    assert_eq!(one(&out, "call.next").1["hook"], "other");
    let muted = json!({"command": "mute", "muted": true});
    let (response, out) = command(&mut house, &call, &muted);
    assert!(String::from_utf8_lossy(&response.body).contains(r#""muted":true"#));
    let speaks =
        |command: &Command| matches!(command, Command::Take { voice: media::Voice::Nobody, .. });
    assert!(media(&out).iter().any(speaks), "{:?}", media(&out));
    let (response, out) = command(&mut house, &call, &json!({"command": "hangup"}));
    assert_eq!(response.status, 200);
    assert_eq!(one(&out, "call.status").1["parameters"]["CallStatus"], "completed");
    assert_eq!(news(&out), ["ended"]);
    assert_eq!(command(&mut house, &call, &json!({"command": "hangup"})).0.status, 404);
}

#[test]
fn commands_are_refused_with_a_reason() {
    let mut house = house_of(Vec::new());
    let (out, _) = called(&mut house);
    let (ticket, first) = one(&out, "call.new");
    let call = first["call"].as_str().unwrap().to_owned();
    let early = json!({"command": "say", "text": "x"});
    assert_eq!(command(&mut house, &call, &early).0.status, 409);
    let out = house.reply(ticket, answer(&menu()));
    house.say(1, &in_dialog("ACK", &ok_of(&out), 1));
    for (said, status) in [
        (json!({}), 400),
        (json!({"command": "dance"}), 400),
        (json!({"command": "say"}), 400),
        (json!({"command": "mute"}), 400),
        (json!({"command": "keys", "digits": "12x"}), 400),
        (json!({"command": "redirect"}), 400),
        (json!({"command": "redirect", "hook": "ftp://x/"}), 400),
        (json!({"command": "hush"}), 200),
        (json!({"command": "keys", "digits": "12#"}), 200),
    ] {
        assert_eq!(command(&mut house, &call, &said).0.status, status, "{said}");
    }
    // Another app's call is nobody's.
    let other = "wss://other.example/";
    let hangup = json!({"command": "hangup"});
    assert_eq!(command_of(&mut house, other, &call, &hangup).0.status, 404);
}

#[test]
fn the_talk_goes_on_after_a_restart() {
    let mut house = house_of(Vec::new());
    let (out, _) = called(&mut house);
    let (ticket, first) = one(&out, "call.new");
    let out = house.reply(ticket, answer(&menu()));
    house.say(1, &in_dialog("ACK", &ok_of(&out), 1));
    let out = house.reply(clip(&out), made());
    let told = media(&out);
    // Killed. Keys are heard by the same verb, and the app knows its call.
    let mut house = house_of(house.log.clone());
    let out = house.give(key(&told, b'4'));
    let (_, again) = one(&out, "call.next");
    assert_eq!((&again["call"], &again["hook"]), (&first["call"], &json!("got")));
    assert_eq!(again["parameters"]["State"], r#"{"step":1}"#);
}
