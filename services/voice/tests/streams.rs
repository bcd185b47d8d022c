//! The room: streams to apps, and words of callers.

mod common;

use std::time::Duration;

use common::*;
use media::{Command, Play};
use switchboard::clip::{RecordEnd, RecordedFact};
use switchboard::{
    EarOrder, Hearing, Input, Output, Reply, StreamEnd, StreamOrder, StreamPlan, Ticket,
};

fn stream(out: &driver::Out) -> (Ticket, Ticket, StreamPlan) {
    let found = out.list.iter().find_map(|output| match output {
        Output::Stream(StreamOrder::Open { began, ended, plan }) => {
            Some((*began, *ended, (**plan).clone()))
        }
        _ => None,
    });
    found.expect("a stream")
}

fn orders(out: &driver::Out) -> Vec<StreamOrder> {
    let order = |output: &Output| match output {
        Output::Stream(order) => Some(order.clone()),
        _ => None,
    };
    out.list.iter().filter_map(order).collect()
}

#[test]
fn an_app_has_the_call_by_a_stream() {
    let mut house = house();
    let (out, _) = called(&mut house);
    let (ticket, first) = fetch(&out);
    let sid = said(first, "CallSid");
    let connect = "<Connect action='/over'><Stream url='wss://bot.example/media#ct=100&amp;rt=200' name='bot' \
                   statusCallback='/told'><Parameter name='who' value='me'/></Stream></Connect>";
    let out = house.reply(ticket, document(connect));
    let ok = ok_of(&out);
    let (began, ended, plan) = stream(&out);
    assert_eq!((&*plan.url, plan.patience.as_millis()), ("wss://bot.example/media", 300));
    let signature = voice::sign::signature("12345", &plan.url, &[]);
    assert!(plan.headers.contains(&("x-twilio-signature".into(), signature)), "{:?}", plan.headers);
    assert!(plan.headers.iter().all(|(name, _)| name != "cookie"), "that is another origin");
    let [account, call, name] = &plan.names;
    assert!(account.starts_with("AC") && *call == sid && name.starts_with("MZ"), "{plan:?}");
    assert_eq!(plan.parameters, [("who".to_owned(), "me".to_owned())]);
    let told = media(&out);
    let feed = plan.feed.expect("he hears the app");
    let taps = |command: &Command| matches!(command, Command::Tap { tap, .. } if *tap == plan.tap);
    assert!(told.iter().any(taps), "{told:?}");
    let plays = |command: &Command| matches!(command, Command::Play { play: Play::Feed { feed: known, .. }, alone: true, .. } if *known == feed);
    assert!(told.iter().any(plays), "{told:?}");
    house.say(1, &in_dialog("ACK", &ok, 1));
    let out = house.reply(began, Reply::StreamBegan(Ok(())));
    let (callback, status) = fetch(&out);
    assert_eq!(
        (&*status.url, &*said(status, "StreamEvent")),
        ("http://app.example/told", "stream-started")
    );
    assert_eq!(
        (said(status, "StreamSid"), said(status, "StreamName")),
        (name.clone(), "bot".into())
    );
    house.reply(callback, fine());
    // Keys and marks find their way.
    let out = house.give(key(&told, b'7'));
    assert_eq!(orders(&out), [StreamOrder::Key { tap: plan.tap, key: '7' }]);
    let stream = told.iter().find_map(|command| match command {
        Command::Play { stream, .. } => Some(*stream),
        _ => None,
    });
    let seat = Some(media::Seat::FIRST_GUEST);
    let fed = media::Event::Fed { stream: stream.expect("one"), seat, feed, mark: 3 };
    let out = house.give(Input::Media(fed));
    assert_eq!(orders(&out), [StreamOrder::Mark { tap: plan.tap, mark: 3 }]);
    // The app ends it: the program goes on.
    let out = house.reply(ended, Reply::StreamEnded(StreamEnd::default()));
    let asked: Vec<_> = out
        .list
        .iter()
        .filter_map(|output| match output {
            Output::Fetch { fetch, .. } => Some((fetch.url.clone(), said(fetch, "StreamEvent"))),
            _ => None,
        })
        .collect();
    let over = ("http://app.example/over".to_owned(), String::new());
    assert_eq!(asked, [("http://app.example/told".into(), "stream-stopped".into()), over]);
    let told = media(&out);
    assert!(
        told.iter().any(|command| matches!(command, Command::Untap { tap } if *tap == plan.tap))
    );
    assert!(told.iter().any(|command| matches!(command, Command::Stop { .. })));
}

#[test]
fn a_forked_stream_outlives_its_document_and_a_restart() {
    let mut house = house();
    let (out, _) = called(&mut house);
    let (ticket, _) = fetch(&out);
    let start = "<Say>a</Say><Start><Stream url='/media' name='one' track='both_tracks'/></Start><Pause length='60'/>";
    let out = house.reply(ticket, document(start));
    let ok = ok_of(&out);
    house.say(1, &in_dialog("ACK", &ok, 1));
    let said = clip(&out);
    let told = media(&house.reply(said, made()));
    let stream_of = told.iter().find_map(|command| match command {
        Command::Play { stream, sound, .. } => Some((*stream, *sound)),
        _ => None,
    });
    let (at, sound) = stream_of.expect("it is said");
    let seat = Some(media::Seat::FIRST_GUEST);
    let (after, how) = (Duration::from_secs(2), media::Ending::Ended);
    let played = media::Event::Played { stream: at, seat, sound, after, how };
    let out = house.give(Input::Media(played));
    let (_, _, plan) = stream(&out);
    assert_eq!((&*plan.url, plan.direction), ("ws://app.example/media", media::Direction::Both));
    assert!(plan.headers.contains(&("cookie".into(), "s=1".into())), "that is the app's origin");
    assert_eq!(plan.feed, None);
    // Killed: it goes on, until the call ends.
    let mut house = house_from(house.log.clone());
    let out = house.say(1, &in_dialog("BYE", &ok, 2));
    assert!(matches!(orders(&out)[..], [StreamOrder::Close(tap)] if tap != plan.tap));
}

fn ears(out: &driver::Out) -> Vec<EarOrder> {
    let order = |output: &Output| match output {
        Output::Ear(order) => Some(order.clone()),
        _ => None,
    };
    out.list.iter().filter_map(order).collect()
}

/// The question that went to an ear.
fn heard(out: &driver::Out) -> Ticket {
    let next = |order: &EarOrder| match order {
        EarOrder::Judge { ticket, .. }
        | EarOrder::Next { ticket, .. }
        | EarOrder::Read { ticket, .. } => Some(*ticket),
        EarOrder::Close(_) | EarOrder::Open(_) => None,
    };
    ears(out).iter().find_map(next).expect("somebody listens")
}

fn words(text: &str) -> Reply {
    let (text, length) = (text.to_owned(), Duration::from_secs(1));
    Reply::Heard(Hearing::Words { channel: 0, length, text, confidence: 70 })
}

#[test]
fn words_answer_a_question() {
    let mut house = house();
    let (out, _) = called(&mut house);
    let (ticket, _) = fetch(&out);
    let gather = "<Gather input='speech' action='/got'/><Say>nothing</Say>";
    let out = house.reply(ticket, document(gather));
    let ok = ok_of(&out);
    let orders = ears(&out);
    let [EarOrder::Open(plan), EarOrder::Next { ticket, .. }] = &orders[..] else {
        panic!("{orders:?}")
    };
    assert_eq!((plan.direction, &*plan.tongue.language), (media::Direction::In, "en-US"));
    let taps = |command: &Command| matches!(command, Command::Tap { tap, .. } if *tap == plan.tap);
    assert!(media(&out).iter().any(taps));
    house.say(1, &in_dialog("ACK", &ok, 1));
    let out = house.reply(*ticket, Reply::Heard(Hearing::Began { channel: 0 }));
    let out = house.reply(heard(&out), words("two pizzas"));
    let (_, got) = fetch(&out);
    assert_eq!((&*got.url, &*said(got, "SpeechResult")), ("http://app.example/got", "two+pizzas"));
    assert_eq!(said(got, "Confidence"), "0.7");
    assert!(ears(&out).contains(&EarOrder::Close(plan.tap)), "nobody listens any more");
}

#[test]
fn what_is_said_is_told_beside_all_else() {
    let mut house = house();
    let (out, _) = called(&mut house);
    let (ticket, _) = fetch(&out);
    let start = "<Gather timeout='60'/>";
    let start = format!(
        "<Start><Transcription name='t' track='both_tracks' statusCallbackUrl='/words'/></Start>{start}"
    );
    let out = house.reply(ticket, document(&start));
    let ok = ok_of(&out);
    house.say(1, &in_dialog("ACK", &ok, 1));
    let (callback, told) = fetch(&out);
    assert_eq!(
        (&*told.url, &*said(told, "TranscriptionEvent")),
        ("http://app.example/words", "transcription-started")
    );
    house.reply(callback, fine());
    let out = house.reply(heard(&out), words("hello"));
    let (callback, told) = fetch(&out);
    assert_eq!(
        (said(told, "TranscriptionEvent"), said(told, "SequenceId")),
        ("transcription-content".into(), "2".into())
    );
    assert!(
        said(told, "TranscriptionData").contains("hello") && said(told, "Track") == "inbound_track"
    );
    house.reply(callback, fine());
    let out = house.say(1, &in_dialog("BYE", &ok, 2));
    let (_, told) = fetch(&out);
    assert_eq!(said(told, "TranscriptionEvent"), "transcription-stopped");
}

#[test]
fn a_message_is_put_into_words() {
    let mut house = house();
    let (out, _) = called(&mut house);
    let (ticket, _) = fetch(&out);
    let record =
        "<Record playBeep='false' action='/left' transcribe='true' transcribeCallback='/words'/>";
    let out = house.reply(ticket, document(record));
    let ok = ok_of(&out);
    let recording = out.list.iter().find_map(|output| match output {
        Output::Sound(switchboard::SoundOrder::Record { ticket, .. }) => Some(*ticket),
        _ => None,
    });
    house.say(1, &in_dialog("ACK", &ok, 1));
    let out = house.say(1, &in_dialog("BYE", &ok, 2));
    // How it ended is told first.
    house.reply(fetch(&out).0, fine());
    let fact = RecordedFact {
        hash: "ab".repeat(32),
        address: "/media/ab.wav".into(),
        length: Duration::from_secs(4),
        octets: 64_044,
        loudest: Some(9_000),
        end: RecordEnd::Asked,
    };
    let out = house.reply(recording.expect("a recording"), Reply::Recorded(Ok(fact)));
    house.reply(fetch(&out).0, fine());
    let out = house.reply(heard(&out), words("call me back"));
    let (_, told) = fetch(&out);
    assert_eq!(
        (&*told.url, &*said(told, "TranscriptionStatus")),
        ("http://app.example/words", "completed")
    );
    assert_eq!(said(told, "TranscriptionText"), "call+me+back");
    assert!(told.headers.contains(&("cookie".into(), "s=1".into())));
}
