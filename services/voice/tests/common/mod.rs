//! The house of these tests: one number with an app that the test plays, callers, and what is seen of media and questions.
#![allow(dead_code, reason = "each test program uses a part of what they share")]

use std::time::Duration;

use driver::Phones;
use driver::phones::request;
use driver::text::header;
use media::Command;
use switchboard::clip::{ClipFact, RecordEnd, RecordedFact};
use switchboard::fetch::{Fetch, Fetched};
use switchboard::notice::{CallFacts, Notice};
use switchboard::route::{Change, Number};
use switchboard::store::Entry;
use switchboard::{Input, Output, Reply, Service, Ticket};
use voice::{Config, Room};

pub const SDP: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
                   m=audio 4000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n";

pub fn house_from(log: Vec<Entry>) -> Phones {
    house_of(log, "")
}

/// Its app has a second address, for when the first one fails.
pub fn house_with_fallback() -> Phones {
    house_of(Vec::new(), "http://app.example/sorry#rc=0")
}

/// With a room that is not configured as usual.
pub fn house_with(log: Vec<Entry>, room: fn() -> Box<dyn Service>) -> Phones {
    house_as(log, "", room)
}

fn house_of(log: Vec<Entry>, fallback: &str) -> Phones {
    house_as(log, fallback, || Box::new(Room::new(Config::default())))
}

fn house_as(log: Vec<Entry>, fallback: &str, room: fn() -> Box<dyn Service>) -> Phones {
    let mut house = Phones::with_log(room, log, 0);
    let number = Number {
        voice_fallback_url: fallback.into(),
        number: "+15550100".into(),
        voice_url: "http://app.example/start#rc=0".into(),
        status_callback: "http://app.example/status".into(),
        ..Number::default()
    };
    let change = Change::Number(number.number.clone(), Some(number));
    house.notice(Notice::RoutingChanged(Box::new(change)));
    house
}

pub fn house() -> Phones {
    house_from(Vec::new())
}

/// The question that went out.
pub fn fetch(out: &driver::Out) -> (Ticket, &Fetch) {
    let found = out.list.iter().find_map(|output| match output {
        Output::Fetch { ticket, fetch, .. } => Some((*ticket, &**fetch)),
        _ => None,
    });
    found.expect("a question")
}

/// What was said in it.
pub fn said(fetch: &Fetch, name: &str) -> String {
    let body = String::from_utf8(fetch.body.clone()).unwrap();
    let found = body.split('&').find_map(|pair| {
        let (known, value) = pair.split_once('=')?;
        (known == name).then(|| value.to_owned())
    });
    found.unwrap_or_default()
}

pub fn document(inner: &str) -> Reply {
    Reply::Fetched(Ok(Box::new(Fetched {
        status: 200,
        headers: vec![
            ("content-type".into(), "text/xml".into()),
            ("set-cookie".into(), "s=1; Path=/".into()),
        ],
        body: format!("<Response>{inner}</Response>").into_bytes(),
        url: String::new(),
        took: Duration::from_millis(3),
    })))
}

pub fn media(out: &driver::Out) -> Vec<Command> {
    let command = |output: &Output| match output {
        Output::Media(command) => Some(command.clone()),
        _ => None,
    };
    out.list.iter().filter_map(command).collect()
}

pub fn record(house: &Phones) -> CallFacts {
    let ended = house.heard().into_iter().find_map(|notice| match notice {
        Notice::CallEnded(facts) => Some((*facts).clone()),
        _ => None,
    });
    ended.expect("the call ended")
}

/// Somebody calls the number; the question to the app follows.
pub fn called(house: &mut Phones) -> (driver::Out, String) {
    let headers =
        "Contact: <sip:alice@192.0.2.1>\r\nX-Shop: 7\r\nContent-Type: application/sdp\r\n";
    let invite = request("INVITE", "alice", 1, "+15550100", 900, headers, SDP);
    (house.say(1, &invite), invite)
}

pub fn in_dialog(method: &str, ok: &str, cseq: u32) -> String {
    format!(
        "{method} sip:+15550100@198.51.100.1:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKd{method}{cseq}\r\n\
         Max-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\nContent-Length: 0\r\n\r\n",
        header(ok, "From"),
        header(ok, "To"),
        header(ok, "Call-ID"),
    )
}

pub fn ok_of(out: &driver::Out) -> String {
    out.sent().into_iter().find(|text| text.starts_with("SIP/2.0 200")).expect("200")
}

pub fn key(out: &[Command], key: u8) -> Input<'static> {
    let stream = out.iter().find_map(|command| match command {
        Command::Play { stream, .. } => Some(*stream),
        _ => None,
    });
    let (seat, held) = (media::Seat::FIRST_GUEST, Duration::from_millis(100));
    Input::Media(media::Event::Key { stream: stream.expect("sound"), seat, key, held })
}

pub fn clip(out: &driver::Out) -> Ticket {
    let found = out.list.iter().find_map(|output| match output {
        Output::Sound(switchboard::SoundOrder::Clip { ticket, .. }) => Some(*ticket),
        _ => None,
    });
    found.expect("a clip")
}

pub fn made() -> Reply {
    let (id, length) = (media::ClipId(5), Duration::from_secs(2));
    Reply::Clip(Ok(ClipFact { id, length, address: "/media/5.wav".into(), octets: 9 }))
}

pub fn called_again(house: &mut Phones) -> (driver::Out, String) {
    let headers = "Contact: <sip:alice@192.0.2.1>\r\nContent-Type: application/sdp\r\n";
    let invite = request("INVITE", "alice", 1, "+15550100", 901, headers, SDP);
    (house.say(1, &invite), invite)
}

/// The recording that began.
pub fn recording(out: &driver::Out) -> Ticket {
    let found = out.list.iter().find_map(|output| match output {
        Output::Sound(switchboard::SoundOrder::Record { ticket, .. }) => Some(*ticket),
        _ => None,
    });
    found.expect("a recording")
}

/// It is kept, and somebody is on it.
pub fn kept() -> Reply {
    Reply::Recorded(Ok(RecordedFact {
        hash: "ab".repeat(32),
        address: "/media/ab.wav".into(),
        length: Duration::from_secs(4),
        octets: 64_044,
        loudest: Some(9_000),
        end: RecordEnd::Asked,
    }))
}

/// An app heard something.
pub fn fine() -> Reply {
    let url = String::new();
    let (headers, body, took) = (Vec::new(), Vec::new(), Duration::ZERO);
    Reply::Fetched(Ok(Box::new(Fetched { status: 200, headers, body, url, took })))
}

/// A phone answers with sound.
pub fn ok_with_sound(invite: &str, user: &str, phone: u8) -> String {
    let body = SDP.replace("192.0.2.1", &format!("192.0.2.{phone}"));
    let headers =
        format!("Contact: <sip:{user}@192.0.2.{phone}>\r\nContent-Type: application/sdp\r\n");
    let whole = format!("Content-Length: {}\r\n\r\n{body}", body.len());
    driver::phones::reply_to(invite, "200 OK", &headers)
        .replace("Content-Length: 0\r\n\r\n", &whole)
}

/// A phone that was called hangs up.
pub fn bye_of(invite: &str, phone: u8) -> String {
    format!(
        "BYE sip:x@198.51.100.1:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.{phone};branch=z9hG4bKbye{phone}\r\nMax-Forwards: 70\r\n\
         From: {};tag=theirs\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n",
        header(invite, "To"),
        header(invite, "From"),
        header(invite, "Call-ID"),
    )
}
