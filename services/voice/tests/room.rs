//! The room: a caller, an app that the test plays, what is heard, what lasts.

mod common;

use common::*;
use media::{Command, Play};
use switchboard::fetch::FetchFault;
use switchboard::{Output, Reply};
use voice::Refusal;

#[test]
fn a_menu_hears_a_key_and_hangs_up() {
    let mut house = house();
    let (out, _) = called(&mut house);
    let (ticket, first) = fetch(&out);
    assert_eq!((&*first.method, &*first.url), ("POST", "http://app.example/start"));
    let sid = said(first, "CallSid");
    assert!(sid.len() == 34 && sid.starts_with("CA"), "{sid}");
    assert_eq!(said(first, "CallStatus"), "ringing");
    assert_eq!(said(first, "To"), "%2B15550100");
    assert_eq!(said(first, "SipHeader_X-Shop"), "7");
    assert!(first.headers.iter().any(|(name, _)| name == "x-twilio-signature"));
    assert!(out.sent().iter().all(|text| !text.starts_with("SIP/2.0 200")));
    let menu = "<Gather numDigits='1' action='/got'><Play>menu.wav</Play></Gather>";
    let out = house.reply(ticket, document(menu));
    let ok = ok_of(&out);
    assert!(ok.contains("m=audio") && ok.contains("telephone-event"), "{ok}");
    house.say(1, &in_dialog("ACK", &ok, 1));
    let out = house.reply(clip(&out), made());
    let told = media(&out);
    let plays = told.iter().any(|command| {
        matches!(command, Command::Play { play: Play::Clips { times: 1, .. }, alone: true, .. })
    });
    assert!(plays, "{told:?}");
    let out = house.give(key(&told, b'4'));
    assert!(media(&out).iter().any(|command| matches!(command, Command::Stop { .. })));
    let (ticket, second) = fetch(&out);
    assert_eq!((&*second.url, said(second, "Digits")), ("http://app.example/got", "4".into()));
    assert_eq!((said(second, "CallSid"), said(second, "CallStatus")), (sid, "in-progress".into()));
    assert!(second.headers.contains(&("cookie".into(), "s=1".into())), "{:?}", second.headers);
    let out = house.reply(ticket, document("<Hangup/>"));
    assert!(out.sent()[0].starts_with("BYE "), "{:?}", out.sent());
    let (told, status) = fetch(&out);
    assert_eq!(&*status.url, "http://app.example/status");
    assert_eq!(said(status, "CallStatus"), "completed");
    assert_eq!(said(status, "CallbackSource"), "call-progress-events");
    house.reply(told, fine());
    let facts = record(&house);
    assert_eq!((&*facts.outcome, &*facts.hung_up_by, facts.status), ("answered", "server", 200));
    assert_eq!(house.sessions_kept(), 0);
}

#[test]
fn apps_that_fail_are_heard_of() {
    let mut house = house();
    let (out, _) = called(&mut house);
    let (ticket, _) = fetch(&out);
    let out = house.reply(ticket, Reply::Fetched(Err(FetchFault::Refused)));
    // Nobody speaks here: the call ends.
    ok_of(&out);
    let out = house.reply(clip(&out), Reply::Clip(Err(switchboard::SoundFault::NoVoice)));
    // A BYE waits for the ACK of the answer.
    assert!(out.sent().is_empty());
    assert_eq!(&*record(&house).outcome, "answered");
    assert_eq!(house.counted("voice.errors"), 1);
}

#[test]
fn a_program_may_refuse() {
    let mut house = house();
    let (out, _) = called(&mut house);
    let (ticket, _) = fetch(&out);
    let out = house.reply(ticket, document("<Reject reason='busy'/>"));
    assert_eq!(out.statuses(), [486]);
    assert_eq!(&*record(&house).outcome, "busy");
    // The caller goes before the app says anything.
    let (out, invite) = called_again(&mut house);
    let (ticket, _) = fetch(&out);
    let cancel = invite.replace("INVITE sip", "CANCEL sip").replace("1 INVITE", "1 CANCEL");
    let cancel =
        cancel.split("Content-Type").next().unwrap().to_owned() + "Content-Length: 0\r\n\r\n";
    house.say(1, &cancel);
    assert_eq!(&*record(&house).outcome, "cancelled");
    let out = house.reply(ticket, document("<Say>late</Say>"));
    assert!(out.sent().is_empty() && media(&out).is_empty());
}

#[test]
fn somebody_is_dialled_and_talks() {
    let mut house = house();
    house.bind("bob", 2);
    let (out, _) = called(&mut house);
    let (ticket, _) = fetch(&out);
    let out = house.reply(
        ticket,
        document("<Dial action='/done' answerOnBridge='true'><Client>bob</Client></Dial>"),
    );
    let invite = out.requests("INVITE").pop().expect("bob is called");
    assert!(invite.contains("sip:bob@192.0.2.2") && invite.contains("m=audio"), "{invite}");
    house.answer(&invite, "180 Ringing", "");
    let ok = ok_with_sound(&invite, "bob", 2);
    let out = house.say(2, &ok);
    let answered = ok_of(&out);
    house.say(1, &in_dialog("ACK", &answered, 1));
    let aimed = media(&out)
        .iter()
        .any(|command| matches!(command, Command::Take { seat: media::Seat(3), .. }));
    assert!(aimed, "bob is heard");
    // Bob hangs up; the program goes on.
    let out = house.say(2, &bye_of(&invite, 2));
    let (_, fetch) = fetch(&out);
    assert_eq!(&*fetch.url, "http://app.example/done");
    assert_eq!(
        (said(fetch, "DialCallStatus"), said(fetch, "DialBridged")),
        ("completed".into(), "true".into())
    );
}

#[test]
fn a_call_goes_on_after_a_restart() {
    let mut house = house();
    let (out, _) = called(&mut house);
    let (ticket, first) = fetch(&out);
    let sid = said(first, "CallSid");
    let out = house
        .reply(ticket, document("<Gather numDigits='2' action='/got'><Play>a.wav</Play></Gather>"));
    let ok = ok_of(&out);
    house.say(1, &in_dialog("ACK", &ok, 1));
    let told = media(&house.reply(clip(&out), made()));
    // Killed. The app hears the same call and its cookie.
    let mut house = house_from(house.log.clone());
    house.give(key(&told, b'1'));
    let out = house.give(key(&told, b'2'));
    let (_, second) = fetch(&out);
    assert_eq!((said(second, "CallSid"), said(second, "Digits")), (sid, "12".into()));
    assert!(second.headers.contains(&("cookie".into(), "s=1".into())));
    let out = house.say(1, &in_dialog("BYE", &ok, 2));
    assert_eq!(out.statuses(), [200]);
    assert_eq!(record(&house).hung_up_by, "caller");
}

#[test]
fn a_message_is_kept_when_its_caller_hangs_up() {
    let mut house = house();
    let (out, _) = called(&mut house);
    let (ticket, _) = fetch(&out);
    let record = "<Record playBeep='false' action='/left' recordingStatusCallback='/ready'/>";
    let out = house.reply(ticket, document(record));
    let ok = ok_of(&out);
    let recording = recording(&out);
    house.say(1, &in_dialog("ACK", &ok, 1));
    let out = house.say(1, &in_dialog("BYE", &ok, 2));
    assert!(
        out.list
            .iter()
            .any(|output| { matches!(output, Output::Sound(switchboard::SoundOrder::Finish(_))) })
    );
    // What is told of one call is told in order: its end, then what came later.
    let (over, status) = fetch(&out);
    assert_eq!(&*status.url, "http://app.example/status");
    house.reply(recording, kept());
    let out = house.reply(over, fine());
    let (told, ready) = fetch(&out);
    assert_eq!(&*ready.url, "http://app.example/ready");
    assert_eq!(said(ready, "RecordingStatus"), "completed");
    let out = house.reply(told, fine());
    let (told, left) = fetch(&out);
    assert_eq!((&*left.url, &*said(left, "Digits")), ("http://app.example/left", "hangup"));
    assert_eq!(said(left, "RecordingUrl"), "http%3A%2F%2Fexample.org%2Fmedia%2Fab.wav");
    assert_eq!(said(left, "CallStatus"), "completed");
    assert_eq!(house.sessions_kept(), 1);
    house.reply(told, fine());
    assert_eq!(house.sessions_kept(), 0);
}

#[test]
fn refusals_have_pages() {
    driver::check_refusals("voice", 2101, &Refusal::ALL, voice::REFUSALS);
}
