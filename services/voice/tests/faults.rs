//! What apps may do wrong: the number of each fault, and what the caller hears (docs/call-program-faults.md).

mod common;

use std::time::Duration;

use common::*;
use driver::Phones;
use switchboard::clip::{RecordEnd, RecordedFact};
use switchboard::fetch::{FetchFault, Fetched};
use switchboard::store::StoreFault;
use switchboard::{ClipSource, Output, Reply, SoundFault, SoundOrder, Ticket};
use voice::program::APOLOGY;

fn answer(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Reply::Fetched(Ok(Box::new(Fetched {
        status,
        headers: headers.iter().map(own).collect(),
        body: body.to_vec(),
        url: String::new(),
        took: Duration::ZERO,
    })))
}

fn xml(body: &[u8]) -> Reply {
    answer(200, &[("content-type", "text/xml")], body)
}

fn missed(fault: FetchFault) -> Reply {
    Reply::Fetched(Err(fault))
}

/// What a caller is told whose app failed and has no fallback: the text that is spoken.
fn spoken(out: &driver::Out) -> Option<String> {
    out.list.iter().find_map(|output| match output {
        Output::Sound(SoundOrder::Clip { source: ClipSource::Speech { text, .. }, .. }) => {
            Some(text.clone())
        }
        _ => None,
    })
}

/// One bad answer: the fallback hears the number, and when it fails as well the caller hears the apology.
fn costs(name: &str, code: u16, reply: &dyn Fn() -> Reply) {
    let mut house = house_with_fallback();
    let (mut out, _) = called(&mut house);
    // An app that leads on and on is followed so far.
    for _ in 0..=voice::hook::HOPS_MAX {
        let (ticket, question) = fetch(&out);
        if question.url.contains("/sorry") {
            break;
        }
        out = house.reply(ticket, reply());
    }
    let (ticket, question) = fetch(&out);
    assert_eq!(&*question.url, "http://app.example/sorry", "{name}");
    assert_eq!(said(question, "ErrorCode"), code.to_string(), "{name}");
    assert_eq!(said(question, "ErrorUrl"), "http%3A%2F%2Fapp.example%2Fstart", "{name}");
    assert!(out.statuses().iter().all(|status| *status < 200), "{name}: nobody has answered yet");
    let out = house.reply(ticket, missed(FetchFault::Refused));
    assert_eq!(spoken(&out).as_deref(), Some(APOLOGY), "{name}");
    ok_of(&out);
    assert_eq!(house.counted("voice.errors"), 2, "{name}");
}

#[test]
fn apps_that_do_not_answer_have_numbers() {
    for (name, code, fault) in [
        ("dead", 11202, FetchFault::Refused),
        ("no way there", 11201, FetchFault::ConnectTimeout),
        ("broken off at the start", 11205, FetchFault::Connection),
        ("hanging", 11200, FetchFault::ReadTimeout),
        ("dripping", 11203, FetchFault::TotalTimeout),
        ("stands still in the middle", 11200, FetchFault::Stalled),
        ("giant, or endless", 11750, FetchFault::Long),
        ("no HTTP", 11206, FetchFault::Syntax),
        ("a bad certificate", 11220, FetchFault::Tls),
        ("no such name", 11210, FetchFault::Resolve),
        ("an address that may not be asked", 11200, FetchFault::Target),
        ("too many questions at once", 11200, FetchFault::Busy),
    ] {
        costs(name, code, &|| missed(fault));
    }
}

#[test]
fn bad_answers_have_numbers() {
    let deep = "<Response>".repeat(2_000);
    let bomb = "<!DOCTYPE r [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;&a;\">]><Response><Say>&b;</Say></Response>";
    let one: [(&str, u16, &[u8]); 7] = [
        ("entity bomb", 12100, bomb.as_bytes()),
        ("deep nesting", 12100, deep.as_bytes()),
        ("not UTF-8", 12100, b"<Response><Say>\xff\xfe</Say></Response>"),
        ("not well-formed", 12100, b"<Response><Say>"),
        ("another root", 12102, b"<html/>"),
        ("empty", 11770, b""),
        ("not offered", 13750, b"<Response><Echo/></Response>"),
    ];
    for (name, code, body) in one {
        costs(name, code, &|| xml(body));
    }
    costs("500", 11200, &|| answer(500, &[], b"oh"));
    costs("404", 11200, &|| answer(404, &[], b"oh"));
    costs("a picture", 12300, &|| answer(200, &[("content-type", "image/png")], b"x"));
    costs("a bad cookie", 11206, &|| answer(200, &[("set-cookie", "=")], b"x"));
}

#[test]
fn loops_of_redirections_end() {
    let mut house = house_with_fallback();
    let (mut out, _) = called(&mut house);
    for hop in 0..=voice::hook::HOPS_MAX {
        let (ticket, question) = fetch(&out);
        assert!(!question.url.contains("/sorry"), "hop {hop}");
        out = house.reply(ticket, answer(302, &[("location", "/start")], b""));
    }
    let (_, question) = fetch(&out);
    assert_eq!(said(question, "ErrorCode"), "11215");
}

/// A program in which documents of ours lead to the next, and what the caller hears of files that are not there.
#[test]
fn a_file_that_cannot_be_had_is_left_out() {
    for fault in [SoundFault::NotFetched, SoundFault::Unsupported, SoundFault::Busy] {
        let mut house = house();
        let (out, _) = called(&mut house);
        let (ticket, _) = fetch(&out);
        let out = house.reply(ticket, document("<Play>gone.wav</Play><Redirect>/next</Redirect>"));
        let out = house.reply(clip(&out), Reply::Clip(Err(fault)));
        let (_, question) = fetch(&out);
        assert_eq!(&*question.url, "http://app.example/next", "{fault:?}");
    }
}

fn recorded(house: &mut Phones) -> (driver::Out, String) {
    let (out, _) = called(house);
    let (ticket, _) = fetch(&out);
    let verb = "<Record playBeep='false' action='/left'/><Redirect>/none</Redirect>";
    let out = house.reply(ticket, document(verb));
    let ok = ok_of(&out);
    house.say(1, &in_dialog("ACK", &ok, 1));
    (out, ok)
}

#[test]
fn a_full_disk_costs_the_rest_of_a_recording() {
    // What was written until then is kept, and the app hears of it.
    let mut house = house();
    let (out, _) = recorded(&mut house);
    let fact = RecordedFact {
        hash: "cd".repeat(32),
        address: "/media/cd.wav".into(),
        length: Duration::from_secs(2),
        octets: 32_044,
        loudest: Some(8_000),
        end: RecordEnd::Disk,
    };
    let out = house.reply(recording(&out), Reply::Recorded(Ok(fact)));
    let (_, question) = fetch(&out);
    assert_eq!(&*question.url, "http://app.example/left");
    assert_eq!(said(question, "RecordingDuration"), "2");
    // Nothing could be written: as of a caller who said nothing.
    let mut house = self::house();
    let (out, _) = recorded(&mut house);
    let out = house.reply(recording(&out), Reply::Recorded(Err(SoundFault::Store)));
    let (_, question) = fetch(&out);
    assert_eq!(&*question.url, "http://app.example/none");
}

#[test]
fn a_storm_of_callbacks_waits_in_line_and_ends() {
    let mut house = house();
    house.bind("bob", 2);
    let (out, _) = called(&mut house);
    let (ticket, _) = fetch(&out);
    let events = "statusCallbackEvent='initiated ringing answered completed'";
    let dial = format!("<Dial><Client statusCallback='/s' {events}>nobody</Client></Dial>");
    let many = dial.repeat(voice::QUEUE_MAX);
    let out = house.reply(ticket, document(&many));
    let out_now = |out: &driver::Out| {
        out.list.iter().filter(|output| matches!(output, Output::Fetch { .. })).count()
    };
    // One is on its way; of the others as many wait as may.
    assert_eq!(out_now(&out), 1);
    assert!(house.counted("voice.callbacks_dropped") > 0);
    let mut told = 1;
    let (mut ticket, _) = fetch(&out);
    loop {
        let out = house.reply(ticket, missed(FetchFault::TotalTimeout));
        if out_now(&out) == 0 {
            break;
        }
        assert_eq!(out_now(&out), 1);
        (ticket, _) = fetch(&out);
        told += 1;
    }
    assert_eq!(told, voice::QUEUE_MAX);
    assert_eq!(house.counted("voice.callbacks_failed"), told as u64);
}

/// Notifications that are to be written.
fn notes(out: &driver::Out) -> Vec<(Ticket, String)> {
    let writes = out.writes().into_iter();
    let rows = writes.filter_map(|(ticket, batch)| {
        let values = &batch.statements.first()?.values;
        let (kind, body) = (values.first()?.text()?, values.get(4)?.text()?);
        (kind == "notification").then(|| (ticket, body.to_owned()))
    });
    rows.collect()
}

#[test]
fn a_store_that_was_away_gets_its_rows_later_in_their_order() {
    let mut house = house();
    let (out, _) = called(&mut house);
    let (ticket, _) = fetch(&out);
    // None is configured: each is an error of its own.
    let names = ["one", "two", "three"];
    let starts = names.map(|name| format!("<Siprec connectorName='{name}'/>")).concat();
    let out = house.reply(ticket, document(&format!("<Start>{starts}</Start><Gather/>")));
    let rows = notes(&out);
    assert_eq!(rows.len(), 3);
    let away = || Reply::Written(Err(StoreFault::Unreachable));
    for (ticket, _) in rows.iter().rev() {
        assert_eq!(notes(&house.reply(*ticket, away())), []);
    }
    // One asks, again and again.
    for _ in 0..3 {
        let out = house.seconds(2);
        assert_eq!(notes(&out), rows[..1]);
        assert_eq!(notes(&house.reply(rows[0].0, away())), []);
    }
    let out = house.seconds(2);
    assert_eq!(notes(&out), rows[..1]);
    // It is back: the others follow.
    let out = house.reply(rows[0].0, Reply::Written(Ok(())));
    assert_eq!(notes(&out), rows[1..]);
    // One that is refused is not tried again.
    assert_eq!(notes(&house.reply(rows[1].0, Reply::Written(Err(StoreFault::Broken)))), []);
    assert_eq!(notes(&house.reply(rows[2].0, Reply::Written(Ok(())))), []);
    assert_eq!(notes(&house.seconds(4)), []);
}
