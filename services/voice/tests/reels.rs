//! Recordings of a call that go on beside its documents.

mod common;

use common::*;
use driver::Phones;
use media::{Command, Direction, TapId};
use switchboard::clip::{Recording, SoundOrder};
use switchboard::{Input, Output, Ticket};

const START: &str = "<Start><Recording channels='dual' recordingStatusCallback='http://app.example/tape' \
                     recordingStatusCallbackEvent='in-progress completed absent'/></Start>";

/// The recording that began.
fn began(out: &driver::Out) -> (Ticket, Recording) {
    let found = out.list.iter().find_map(|output| match output {
        Output::Sound(SoundOrder::Record { ticket, recording }) => {
            Some((*ticket, recording.clone()))
        }
        _ => None,
    });
    found.expect("a recording")
}

fn ended(out: &driver::Out, tap: TapId) -> bool {
    let finishes = |output: &Output| matches!(output, Output::Sound(SoundOrder::Finish(known)) if *known == tap);
    out.list.iter().any(finishes)
}

/// All that was asked, by address.
fn asked(out: &driver::Out, url: &str) -> Option<(Ticket, switchboard::fetch::Fetch)> {
    out.list.iter().find_map(|output| match output {
        Output::Fetch { ticket, fetch, .. } if fetch.url == url => {
            Some((*ticket, (**fetch).clone()))
        }
        _ => None,
    })
}

fn starts(house: &mut Phones, inner: &str) -> driver::Out {
    let (out, _) = called(house);
    let (ticket, _) = fetch(&out);
    house.reply(ticket, document(inner))
}

#[test]
fn it_outlives_its_document_and_a_dial_and_is_told_when_it_is_kept() {
    let mut house = house();
    house.bind("bob", 2);
    let out = starts(&mut house, &format!("{START}<Pause/><Redirect>/next</Redirect>"));
    let (recorded, recording) = began(&out);
    assert_eq!((recording.channels, recording.trim), (2, false));
    let taps = |command: &Command| {
        let Command::Tap { seat, tap, direction, .. } = command else { return false };
        let caller = Some(media::Seat::FIRST_GUEST);
        *tap == recording.tap && *seat == caller && *direction == Direction::Both
    };
    assert!(media(&out).iter().any(taps), "{:?}", media(&out));
    let (told, question) = asked(&out, "http://app.example/tape").expect("it is told");
    assert_eq!(said(&question, "RecordingSid"), recording.name);
    assert_eq!(said(&question, "RecordingStatus"), "in-progress");
    assert_eq!(said(&question, "RecordingSource"), "StartCallRecordingTwiML");
    house.reply(told, fine());
    // A second passes: the next document dials.
    let out = house.seconds(1);
    let (next, _) = asked(&out, "http://app.example/next").expect("it goes on");
    let out = house.reply(next, document("<Dial action='/done'><Client>bob</Client></Dial>"));
    assert!(!ended(&out, recording.tap));
    let ok = ok_of(&out);
    house.say(1, &in_dialog("ACK", &ok, 1));
    let invite = out.requests("INVITE").pop().expect("bob is called");
    let out = house.say(2, &ok_with_sound(&invite, "bob", 2));
    assert!(!ended(&out, recording.tap));
    let out = house.say(2, &bye_of(&invite, 2));
    assert!(!ended(&out, recording.tap));
    let out = house.say(1, &in_dialog("BYE", &ok, 2));
    assert!(ended(&out, recording.tap));
    let (over, _) = asked(&out, "http://app.example/status").expect("the end is told");
    house.reply(over, fine());
    let out = house.reply(recorded, kept());
    let (_, question) = asked(&out, "http://app.example/tape").expect("it is kept");
    assert_eq!(said(&question, "RecordingStatus"), "completed");
    assert_eq!(
        (said(&question, "RecordingChannels"), said(&question, "RecordingDuration")),
        ("2".into(), "4".into())
    );
    assert_eq!(said(&question, "RecordingSid"), recording.name);
}

#[test]
fn after_a_kill_the_first_part_is_told_and_a_second_begins() {
    let mut house = house();
    let out = starts(&mut house, &format!("<Say>a</Say>{START}<Pause length='60'/>"));
    let ok = ok_of(&out);
    house.say(1, &in_dialog("ACK", &ok, 1));
    let out = house.reply(clip(&out), made());
    let sound = media(&out).into_iter().find_map(|command| match command {
        Command::Play { stream, sound, .. } => Some((stream, sound)),
        _ => None,
    });
    let (stream, sound) = sound.expect("it is said");
    let (after, how) = (std::time::Duration::from_secs(2), media::Ending::Ended);
    let seat = Some(media::Seat::FIRST_GUEST);
    let played = media::Event::Played { stream, seat, sound, after, how };
    let out = house.give(Input::Media(played));
    let (_, first) = began(&out);
    let log = house.log.clone();
    let mut house = common::house();
    let mut out = driver::Out::default();
    for entry in log {
        out.add(house.give(Input::Adopt(entry)));
    }
    let (_, second) = began(&out);
    assert!(second.name != first.name && second.channels == 2);
    let recovered = out.list.iter().find_map(|output| match output {
        Output::Sound(SoundOrder::Recovered { ticket, name }) if *name == first.name => {
            Some(*ticket)
        }
        _ => None,
    });
    let recovered = recovered.expect("it is asked for");
    // What was told before is told again, then the second's beginning.
    let out = house.seconds(1);
    let (told, question) = asked(&out, "http://app.example/tape").expect("told again");
    assert_eq!(said(&question, "RecordingSid"), first.name);
    let out = house.reply(told, fine());
    let (told, question) = asked(&out, "http://app.example/tape").expect("the second");
    assert_eq!(
        (said(&question, "RecordingSid"), said(&question, "RecordingStatus")),
        (second.name.clone(), "in-progress".into())
    );
    house.reply(told, fine());
    let out = house.reply(recovered, kept());
    let (told, question) = asked(&out, "http://app.example/tape").expect("the first is kept");
    assert_eq!(
        (said(&question, "RecordingSid"), said(&question, "RecordingStatus")),
        (first.name, "completed".into())
    );
    house.reply(told, fine());
    let out = house.say(1, &in_dialog("BYE", &ok, 2));
    assert!(ended(&out, second.tap));
}
