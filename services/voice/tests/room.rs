//! The room: a caller, an app that the test plays, what is heard, what lasts.

use std::time::Duration;

use driver::Phones;
use driver::phones::request;
use driver::text::header;
use media::{Command, Play};
use switchboard::clip::{ClipFact, RecordEnd, RecordedFact};
use switchboard::fetch::{Fetch, FetchFault, Fetched};
use switchboard::notice::{CallFacts, Notice};
use switchboard::route::{Change, Number};
use switchboard::store::Entry;
use switchboard::{Input, Output, Reply, Ticket};
use voice::{Config, Refusal, Room};

const SDP: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
                   m=audio 4000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n";

fn house_from(log: Vec<Entry>) -> Phones {
    let mut house = Phones::with_log(|| Box::new(Room::new(Config::default())), log, 0);
    let number = Number {
        number: "+15550100".into(),
        voice_url: "http://app.example/start#rc=0".into(),
        status_callback: "http://app.example/status".into(),
        ..Number::default()
    };
    let change = Change::Number(number.number.clone(), Some(number));
    house.notice(Notice::RoutingChanged(Box::new(change)));
    house
}

fn house() -> Phones {
    house_from(Vec::new())
}

/// The question that went out.
fn fetch(out: &driver::Out) -> (Ticket, &Fetch) {
    let found = out.list.iter().find_map(|output| match output {
        Output::Fetch { ticket, fetch, .. } => Some((*ticket, &**fetch)),
        _ => None,
    });
    found.expect("a question")
}

/// What was said in it.
fn said(fetch: &Fetch, name: &str) -> String {
    let body = String::from_utf8(fetch.body.clone()).unwrap();
    let found = body.split('&').find_map(|pair| {
        let (known, value) = pair.split_once('=')?;
        (known == name).then(|| value.to_owned())
    });
    found.unwrap_or_default()
}

fn document(inner: &str) -> Reply {
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

fn media(out: &driver::Out) -> Vec<Command> {
    let command = |output: &Output| match output {
        Output::Media(command) => Some(command.clone()),
        _ => None,
    };
    out.list.iter().filter_map(command).collect()
}

fn record(house: &Phones) -> CallFacts {
    let ended = house.heard().into_iter().find_map(|notice| match notice {
        Notice::CallEnded(facts) => Some((*facts).clone()),
        _ => None,
    });
    ended.expect("the call ended")
}

/// Somebody calls the number; the question to the app follows.
fn called(house: &mut Phones) -> (driver::Out, String) {
    let headers =
        "Contact: <sip:alice@192.0.2.1>\r\nX-Shop: 7\r\nContent-Type: application/sdp\r\n";
    let invite = request("INVITE", "alice", 1, "+15550100", 900, headers, SDP);
    (house.say(1, &invite), invite)
}

fn in_dialog(method: &str, ok: &str, cseq: u32) -> String {
    format!(
        "{method} sip:+15550100@198.51.100.1:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKd{method}{cseq}\r\n\
         Max-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\nContent-Length: 0\r\n\r\n",
        header(ok, "From"),
        header(ok, "To"),
        header(ok, "Call-ID"),
    )
}

fn ok_of(out: &driver::Out) -> String {
    out.sent().into_iter().find(|text| text.starts_with("SIP/2.0 200")).expect("200")
}

fn key(out: &[Command], key: u8) -> Input<'static> {
    let stream = out.iter().find_map(|command| match command {
        Command::Play { stream, .. } => Some(*stream),
        _ => None,
    });
    let (seat, held) = (media::Seat::FIRST_GUEST, Duration::from_millis(100));
    Input::Media(media::Event::Key { stream: stream.expect("sound"), seat, key, held })
}

fn clip(out: &driver::Out) -> Ticket {
    let found = out.list.iter().find_map(|output| match output {
        Output::Sound(switchboard::SoundOrder::Clip { ticket, .. }) => Some(*ticket),
        _ => None,
    });
    found.expect("a clip")
}

fn made() -> Reply {
    let (id, length) = (media::ClipId(5), Duration::from_secs(2));
    Reply::Clip(Ok(ClipFact { id, length, address: "/media/5.wav".into(), octets: 9 }))
}

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
    let (_, status) = fetch(&out);
    assert_eq!(&*status.url, "http://app.example/status");
    assert_eq!(said(status, "CallStatus"), "completed");
    assert_eq!(said(status, "CallbackSource"), "call-progress-events");
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

fn called_again(house: &mut Phones) -> (driver::Out, String) {
    let headers = "Contact: <sip:alice@192.0.2.1>\r\nContent-Type: application/sdp\r\n";
    let invite = request("INVITE", "alice", 1, "+15550100", 901, headers, SDP);
    (house.say(1, &invite), invite)
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
    let body = SDP.replace("192.0.2.1", "192.0.2.2");
    let ok = driver::phones::reply_to(
        &invite,
        "200 OK",
        "Contact: <sip:bob@192.0.2.2>\r\nContent-Type: application/sdp\r\n",
    )
    .replace("Content-Length: 0\r\n\r\n", &format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    let out = house.say(2, &ok);
    let answered = ok_of(&out);
    house.say(1, &in_dialog("ACK", &answered, 1));
    let aimed = media(&out)
        .iter()
        .any(|command| matches!(command, Command::Take { seat: media::Seat(3), .. }));
    assert!(aimed, "bob is heard");
    // Bob hangs up; the program goes on.
    let bye = format!(
        "BYE sip:x@198.51.100.1:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.2;branch=z9hG4bKbye\r\nMax-Forwards: 70\r\n\
         From: {};tag=theirs\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n",
        header(&invite, "To"),
        header(&invite, "From"),
        header(&invite, "Call-ID"),
    );
    let out = house.say(2, &bye);
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
    let recording = out.list.iter().find_map(|output| match output {
        Output::Sound(switchboard::SoundOrder::Record { ticket, .. }) => Some(*ticket),
        _ => None,
    });
    house.say(1, &in_dialog("ACK", &ok, 1));
    let out = house.say(1, &in_dialog("BYE", &ok, 2));
    assert!(
        out.list
            .iter()
            .any(|output| { matches!(output, Output::Sound(switchboard::SoundOrder::Finish(_))) })
    );
    let fact = RecordedFact {
        hash: "ab".repeat(32),
        address: "/media/ab.wav".into(),
        length: Duration::from_secs(4),
        octets: 64_044,
        loudest: Some(9_000),
        end: RecordEnd::Asked,
    };
    let out = house.reply(recording.expect("a recording"), Reply::Recorded(Ok(fact)));
    let told: Vec<_> = out
        .list
        .iter()
        .filter_map(|output| match output {
            Output::Fetch { fetch, .. } => Some(&**fetch),
            _ => None,
        })
        .collect();
    let [ready, left] = told[..] else { panic!("{told:?}") };
    assert_eq!(&*ready.url, "http://app.example/ready");
    assert_eq!(said(ready, "RecordingStatus"), "completed");
    assert_eq!((&*left.url, &*said(left, "Digits")), ("http://app.example/left", "hangup"));
    assert_eq!(said(left, "RecordingUrl"), "http%3A%2F%2Fexample.org%2Fmedia%2Fab.wav");
    assert_eq!(said(left, "CallStatus"), "completed");
}

#[test]
fn refusals_have_pages() {
    driver::check_refusals("voice", 2101, &Refusal::ALL, voice::REFUSALS);
}
