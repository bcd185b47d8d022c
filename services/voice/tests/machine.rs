//! Whether a person or a machine answered: calls that apps make, and those whom a `<Dial>` reaches.

mod common;

use std::time::Duration;

use common::*;
use driver::Phones;
use media::machine::{Answerer, Terms};
use media::{Command, TapId};
use switchboard::fetch::Fetch;
use switchboard::{ApiRequest, EarOrder, Hearing, Input, JudgePlan, Output, Reply, Ticket};

/// An app calls bob, with these wishes.
fn calls(house: &mut Phones, wishes: &[(&str, &str)]) -> driver::Out {
    let mut form = vec![("To", "client:bob"), ("From", "+15550100")];
    form.push(("Url", "http://app.example/hello"));
    form.extend(wishes);
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let form: Vec<_> = form.iter().map(own).collect();
    let path = "Accounts/AC00000000000000000000000000000000/Calls.json";
    house.give(Input::Api(ApiRequest {
        id: 7,
        room: "voice".into(),
        endpoint: 2,
        path: path.split('/').map(str::to_owned).collect(),
        body: voice::address::form(&form).into_bytes(),
        ..ApiRequest::default()
    }))
}

fn status(out: &driver::Out) -> u16 {
    let found = out.list.iter().find_map(|output| match output {
        Output::Api { response, .. } => Some(response.status),
        _ => None,
    });
    found.expect("an answer")
}

fn judge(out: &driver::Out) -> (Ticket, JudgePlan) {
    let found = out.list.iter().find_map(|output| match output {
        Output::Ear(EarOrder::Judge { ticket, plan }) => Some((*ticket, *plan)),
        _ => None,
    });
    found.expect("somebody listens")
}

fn asked(out: &driver::Out, url: &str) -> Option<(Ticket, Fetch)> {
    out.list.iter().find_map(|output| match output {
        Output::Fetch { ticket, fetch, .. } if fetch.url == url => {
            Some((*ticket, (**fetch).clone()))
        }
        _ => None,
    })
}

fn taps(out: &driver::Out, tap: TapId) -> Option<media::Seat> {
    media(out).iter().find_map(|command| match command {
        Command::Tap { seat, tap: known, .. } if *known == tap => *seat,
        _ => None,
    })
}

fn found(by: Answerer) -> Reply {
    Reply::Heard(Hearing::Answered { by, after: Duration::from_millis(2_900) })
}

#[test]
fn the_first_question_says_who_answered() {
    let mut house = house();
    house.bind("bob", 2);
    let wishes = [("MachineDetection", "DetectMessageEnd"), ("MachineDetectionTimeout", "10")];
    let out = calls(&mut house, &wishes);
    let invite = out.requests("INVITE").pop().expect("bob is called");
    let out = house.say(2, &ok_with_sound(&invite, "bob", 2));
    let (ticket, plan) = judge(&out);
    let wanted = Terms {
        to_end: true,
        timeout: Duration::from_secs(10),
        speech: Duration::from_millis(2_400),
        pause: Duration::from_millis(1_200),
        silence: Duration::from_secs(5),
    };
    assert_eq!(plan.terms, wanted);
    assert_eq!(taps(&out, plan.tap), Some(media::Seat::FIRST_GUEST));
    assert!(asked(&out, "http://app.example/hello").is_none(), "it waits");
    let out = house.seconds(3);
    assert!(asked(&out, "http://app.example/hello").is_none());
    let out = house.reply(ticket, found(Answerer::MachineEndBeep));
    let (_, question) = asked(&out, "http://app.example/hello").expect("now");
    assert_eq!(said(&question, "AnsweredBy"), "machine_end_beep");
    assert_eq!(said(&question, "MachineDetectionDuration"), "2900");
    let untaps = Command::Untap { tap: plan.tap };
    assert!(media(&out).contains(&untaps));
}

#[test]
fn beside_the_program_the_callback_hears_it() {
    let mut house = house();
    house.bind("bob", 2);
    let wishes = [
        ("MachineDetection", "Enable"),
        ("AsyncAmd", "true"),
        ("AsyncAmdStatusCallback", "http://app.example/amd"),
        ("MachineDetectionSpeechThreshold", "99"),
    ];
    let out = calls(&mut house, &wishes);
    assert!(format!("{:?}", out.list).contains("21263"), "a number that does not fit is told");
    let invite = out.requests("INVITE").pop().expect("bob is called");
    let out = house.say(2, &ok_with_sound(&invite, "bob", 2));
    let (ticket, plan) = judge(&out);
    assert_eq!(plan.terms.speech, Duration::from_millis(2_400), "what does not fit is left out");
    assert!(asked(&out, "http://app.example/hello").is_some(), "it does not wait");
    let out = house.reply(ticket, found(Answerer::Human));
    let (_, question) = asked(&out, "http://app.example/amd").expect("it is told");
    assert_eq!(said(&question, "AnsweredBy"), "human");
    // A value that means nothing is an error.
    assert_eq!(status(&calls(&mut house, &[("MachineDetection", "Maybe")])), 400);
}

#[test]
fn a_kill_leaves_it_unknown_and_the_program_begins() {
    let mut house = house();
    house.bind("bob", 2);
    let out = calls(&mut house, &[("MachineDetection", "Enable")]);
    let invite = out.requests("INVITE").pop().expect("bob is called");
    house.say(2, &ok_with_sound(&invite, "bob", 2));
    let log = house.log.clone();
    let mut house = common::house();
    let mut out = driver::Out::default();
    for entry in log {
        out.add(house.give(Input::Adopt(entry)));
    }
    let (_, question) = asked(&out, "http://app.example/hello").expect("it is asked");
    assert_eq!(said(&question, "AnsweredBy"), "unknown");
}

#[test]
fn who_is_dialled_is_told_from_a_machine_while_he_talks() {
    let mut house = house();
    house.bind("bob", 2);
    let (out, _) = called(&mut house);
    let (ticket, _) = fetch(&out);
    let dial = "<Dial><Sip machineDetection='Enable' machineDetectionSilenceTimeout='3000' \
                amdStatusCallback='/amd'>sip:bob@example.org</Sip></Dial>";
    let out = house.reply(ticket, document(dial));
    let invite = out.requests("INVITE").pop().expect("bob is called");
    let out = house.say(2, &ok_with_sound(&invite, "bob", 2));
    let (ticket, plan) = judge(&out);
    assert_eq!(plan.terms.silence, Duration::from_secs(3));
    assert_eq!(taps(&out, plan.tap), Some(media::Seat(3)));
    let out = house.reply(ticket, found(Answerer::MachineStart));
    let (_, question) = asked(&out, "http://app.example/amd").expect("it is told");
    assert_eq!(said(&question, "AnsweredBy"), "machine_start");
    assert_eq!(said(&question, "Direction"), "outbound-dial");
    assert!(said(&question, "ParentCallSid").starts_with("CA"));
    // Who hangs up before is listened to no more.
    house.say(2, &bye_of(&invite, 2));
}
