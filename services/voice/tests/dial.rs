//! `<Dial>`: whispers, keys, recordings, callbacks of those who are dialled, addresses outside, pushes, restarts.

mod common;

use std::net::SocketAddr;

use common::*;
use driver::Phones;
use driver::text::header;
use media::{Command, Play};
use serde_json::Value;
use switchboard::{ApiRequest, Hop, Input, Output, Reply, Ticket};
use types::Transport;

/// The caller is answered, and the document of his program runs.
fn runs(house: &mut Phones, inner: &str) -> driver::Out {
    let (out, _) = called(house);
    let (ticket, _) = fetch(&out);
    house.reply(ticket, document(inner))
}

/// What was played to a seat.
fn played(out: &driver::Out, seat: u16) -> Vec<(u64, Play)> {
    let own = |command: Command| match command {
        Command::Play { seat: Some(to), play, sound, .. } if to.0 == seat => Some((sound, play)),
        _ => None,
    };
    media(out).into_iter().filter_map(own).collect()
}

/// A sound was heard to its end.
fn heard(house: &mut Phones, out: &driver::Out, sound: u64) -> driver::Out {
    let stream = media(out).into_iter().find_map(|command| match command {
        Command::Play { stream, .. } => Some(stream),
        _ => None,
    });
    let (stream, seat) = (stream.expect("something was played"), Some(media::Seat(3)));
    let (how, after) = (media::Ending::Ended, std::time::Duration::from_secs(1));
    house.give(Input::Media(media::Event::Played { stream, seat, sound, after, how }))
}

/// Whether the caller and who was dialled hear each other from now on.
fn bridged(out: &driver::Out) -> bool {
    let both = |command: &Command| {
        matches!(command, Command::Take { voice: media::Voice::All, seat: media::Seat(3), .. })
    };
    media(out).iter().any(both)
}

#[test]
fn keys_and_a_whisper_come_before_the_bridge() {
    let mut house = house();
    house.bind("bob", 2);
    let dial = "<Dial action='/done'><Client url='/whisper'>bob</Client></Dial>";
    let out = runs(&mut house, dial);
    let invite = out.requests("INVITE").pop().expect("bob is called");
    let out = house.say(2, &ok_with_sound(&invite, "bob", 2));
    assert!(!bridged(&out), "not yet");
    let (ticket, question) = fetch(&out);
    assert_eq!(&*question.url, "http://app.example/whisper");
    assert_eq!(said(question, "Direction"), "outbound-dial");
    assert_eq!(said(question, "To"), "client%3Abob");
    assert!(said(question, "ParentCallSid").starts_with("CA"));
    let out = house.reply(
        ticket,
        document("<Gather numDigits='1' action='/take'><Play>w.wav</Play></Gather><Hangup/>"),
    );
    let out = house.reply(clip(&out), made());
    let (_, play) = played(&out, 3).pop().expect("bob hears it");
    assert!(matches!(play, Play::Clips { .. }));
    let stream = media(&out).into_iter().find_map(|command| match command {
        Command::Play { stream, .. } => Some(stream),
        _ => None,
    });
    let (stream, seat) = (stream.unwrap(), media::Seat(3));
    let held = std::time::Duration::from_millis(90);
    let out = house.give(Input::Media(media::Event::Key { stream, seat, key: b'1', held }));
    let (ticket, question) = fetch(&out);
    assert_eq!((&*question.url, &*said(question, "Digits")), ("http://app.example/take", "1"));
    let out = house.reply(ticket, document(""));
    assert!(bridged(&out), "{:?}", media(&out));
    let out = house.say(2, &bye_of(&invite, 2));
    let (_, question) = fetch(&out);
    assert_eq!(said(question, "DialBridged"), "true");
}

#[test]
fn who_hangs_up_in_the_whisper_is_not_bridged() {
    let mut house = house();
    house.bind("bob", 2);
    let dial = "<Dial action='/done'><Client url='/whisper'>bob</Client></Dial>";
    let out = runs(&mut house, dial);
    let invite = out.requests("INVITE").pop().expect("bob is called");
    let out = house.say(2, &ok_with_sound(&invite, "bob", 2));
    let (ticket, _) = fetch(&out);
    // A document for him that dials is an error, and he hears that.
    let out = house.reply(ticket, document("<Dial>carol</Dial>"));
    assert_eq!(house.counted("voice.errors"), 1);
    let out = house.reply(clip(&out), made());
    let (sound, _) = played(&out, 3).pop().expect("bob hears the apology");
    let out = heard(&mut house, &out, sound);
    let (_, question) = fetch(&out);
    assert_eq!(&*question.url, "http://app.example/done");
    let pair = (said(question, "DialCallStatus"), said(question, "DialBridged"));
    assert_eq!(pair, ("completed".into(), "false".into()));
}

#[test]
fn the_first_of_two_wins_and_apps_hear_of_both() {
    let mut house = house();
    house.bind("bob", 2);
    house.bind("carol", 3);
    let told = "statusCallbackEvent='initiated ringing answered completed'";
    let dial = format!(
        "<Dial ringTone='de'><Client statusCallback='/bob' {told}>bob</Client>\
         <Client statusCallback='/carol'>carol</Client></Dial><Hangup/>"
    );
    let out = runs(&mut house, &dial);
    let invites = out.requests("INVITE");
    let [bob, carol] = &invites[..] else { panic!("{invites:?}") };
    let (ticket, first) = fetch(&out);
    assert_eq!((&*first.url, &*said(first, "CallStatus")), ("http://app.example/bob", "initiated"));
    let sid = said(first, "CallSid");
    let ring = house.answer(bob, "180 Ringing", "");
    let german = played(&ring, 2)
        .into_iter()
        .any(|(_, play)| matches!(play, Play::Tone { country: media::tones::Country::De, .. }));
    assert!(german, "{:?}", media(&ring));
    let out = house.say(3, &ok_with_sound(carol, "carol", 3));
    assert!(out.requests("CANCEL").iter().any(|text| text.contains("192.0.2.2")), "bob is let go");
    // In order: ringing, then his end; carol's is told when she goes.
    let mut ticket = ticket;
    let mut order = Vec::new();
    for _ in 0..2 {
        let out = house.reply(ticket, fine());
        let (next, question) = fetch(&out);
        assert_eq!(said(question, "CallSid"), sid);
        order.push(said(question, "CallStatus"));
        ticket = next;
    }
    assert_eq!(order, ["ringing", "canceled"]);
    house.reply(ticket, fine());
    let out = house.say(3, &bye_of(carol, 3));
    let (_, question) = fetch(&out);
    let found = (&*question.url, &*said(question, "CallStatus"));
    assert_eq!(found, ("http://app.example/carol", "completed"));
}

#[test]
fn a_recording_of_both_is_in_the_action() {
    let mut house = house();
    house.bind("bob", 2);
    let dial = "<Dial action='/done' record='record-from-answer-dual' recordingStatusCallback='/tape' \
                recordingStatusCallbackEvent='in-progress completed'><Client>bob</Client></Dial>";
    let out = runs(&mut house, dial);
    let invite = out.requests("INVITE").pop().expect("bob is called");
    let out = house.say(2, &ok_with_sound(&invite, "bob", 2));
    let ticket = recording(&out);
    let both = media(&out).into_iter().any(|command| {
        let own = media::Seat::FIRST_GUEST;
        matches!(command, Command::Tap { seat: Some(seat), direction: media::Direction::Both, .. } if seat == own)
    });
    assert!(both);
    let (told, question) = fetch(&out);
    let sid = said(question, "RecordingSid");
    assert_eq!(said(question, "RecordingStatus"), "in-progress");
    house.reply(told, fine());
    // The action waits for the file.
    let out = house.say(2, &bye_of(&invite, 2));
    assert!(out.list.iter().all(|output| !matches!(output, Output::Fetch { .. })));
    let out = house.reply(ticket, kept());
    let questions: Vec<_> = out
        .list
        .iter()
        .filter_map(|output| match output {
            Output::Fetch { fetch, .. } => Some(&**fetch),
            _ => None,
        })
        .collect();
    let [tape, done] = questions[..] else { panic!("{questions:?}") };
    assert_eq!((said(tape, "RecordingSid"), said(tape, "RecordingChannels")), (sid, "2".into()));
    assert_eq!(said(tape, "RecordingSource"), "DialVerb");
    assert_eq!(said(done, "RecordingUrl"), "http%3A%2F%2Fexample.org%2Fmedia%2Fab.wav");
}

fn lookup(out: &driver::Out) -> Option<(Ticket, String)> {
    out.list.iter().find_map(|output| match output {
        Output::Resolve { ticket, question } => Some((*ticket, question.host.clone())),
        _ => None,
    })
}

fn hop(address: &str) -> Reply {
    let address: SocketAddr = address.parse().expect("an address");
    Reply::Resolved(Ok(vec![Hop { transport: Transport::Udp, address, peer: 0 }]))
}

#[test]
fn an_address_outside_is_looked_up_judged_and_called() {
    let mut house = house();
    let dial = "<Dial action='/done'><Sip username='u' password='p' statusCallback='/s'>\
                sip:desk@pbx.example?x-shop=7<Headers><Header name='X-Two' value='2'/></Headers></Sip></Dial>";
    let out = runs(&mut house, dial);
    let (ticket, host) = lookup(&out).expect("a name is looked up");
    assert_eq!(host, "pbx.example");
    let out = house.reply(ticket, hop("203.0.113.9:5060"));
    let sent = out.requests("INVITE");
    // Documentation networks are no public ones.
    assert!(sent.is_empty(), "{sent:?}");
    let asked = |out: &driver::Out, url: &str| {
        out.list
            .iter()
            .any(|output| matches!(output, Output::Fetch { fetch, .. } if fetch.url == url))
    };
    assert!(asked(&out, "http://app.example/done"));

    let mut house = self::house();
    let out = runs(&mut house, dial);
    let (ticket, _) = lookup(&out).expect("a name is looked up");
    let out = house.reply(ticket, hop("8.8.8.8:5060"));
    let invite = out.requests("INVITE").pop().expect("an INVITE");
    assert!(invite.starts_with("INVITE sip:desk@pbx.example SIP/2.0\r\n"), "{invite}");
    assert_eq!((header(&invite, "x-shop"), header(&invite, "X-Two")), ("7", "2"));
    // A challenge is met with the name and password of the document.
    let challenge = "WWW-Authenticate: Digest realm=\"pbx\", nonce=\"n\", algorithm=SHA-256\r\n";
    let refused = driver::phones::reply_to(&invite, "401 Unauthorized", challenge);
    let flow = out.list.iter().find_map(|output| match output {
        Output::Send { flow, .. } if flow.remote.ip().to_string() == "8.8.8.8" => Some(*flow),
        _ => None,
    });
    let flow = flow.expect("the way there");
    house.give(Input::Message { flow, bytes: refused.as_bytes() });
    let again = house.seconds(1).requests("INVITE").pop().expect("once more");
    assert!(header(&again, "Authorization").contains("username=\"u\""), "{again}");
    let busy = driver::phones::reply_to(&again, "486 Busy Here", "");
    let out = house.give(Input::Message { flow, bytes: busy.as_bytes() });
    let done = out.list.iter().find_map(|output| match output {
        Output::Fetch { fetch, .. } if fetch.url.ends_with("/done") => Some(&**fetch),
        _ => None,
    });
    let done = done.expect("the action");
    let found = (said(done, "DialCallStatus"), said(done, "DialSipResponseCode"));
    assert_eq!(found, ("busy".into(), "486".into()));
}

/// Asks as the API of all calls would; the answer's status and body.
fn shared(house: &mut Phones, row: (&str, &str), arg: &str, body: &str) -> (u16, Value) {
    let shares = voice::Room::new(voice::Config::default());
    let manifest = switchboard::Service::manifest(&shares);
    let place = manifest.shares.iter().position(|known| *known == row).expect("the row is shared");
    let request = ApiRequest {
        id: 9,
        room: "voice".into(),
        endpoint: ApiRequest::SHARED | place as u16,
        path: vec![arg.into()],
        body: body.as_bytes().to_vec(),
        ..ApiRequest::default()
    };
    let out = house.give(Input::Api(request));
    let found = out.list.iter().find_map(|output| match output {
        Output::Api { response, .. } => Some(response.clone()),
        _ => None,
    });
    let response = found.expect("an answer");
    (response.status, serde_json::from_slice(&response.body).unwrap_or_default())
}

#[test]
fn calls_of_programs_are_shown_and_hung_up() {
    let mut house = house();
    runs(&mut house, "<Pause length='60'/>");
    let (_, list) = shared(&mut house, ("GET", "/v1/calls"), "", "");
    let id = list["items"][0]["id"].as_str().expect("a call").to_owned();
    assert_eq!(list["items"][0]["program"], "pausing");
    let (status, one) = shared(&mut house, ("GET", "/v1/calls/{id}"), &id, "");
    assert_eq!((status, &one["state"]), (200, &Value::from("trying")));
    let (status, _) = shared(&mut house, ("DELETE", "/v1/calls/{id}"), &id, "");
    assert_eq!(status, 204);
    assert_eq!(record(&house).outcome, "cancelled");
}

#[test]
fn what_was_not_told_is_told_again_after_a_restart() {
    let mut house = house();
    let over = runs(&mut house, "<Hangup/>");
    let ok = ok_of(&over);
    house.say(1, &in_dialog("ACK", &ok, 1));
    // Killed before the app answered.
    let token = |fetch: &switchboard::fetch::Fetch| {
        let found = fetch.headers.iter().find(|(name, _)| name == "i-twilio-idempotency-token");
        found.expect("a token").1.clone()
    };
    let first = token(fetch(&over).1);
    let mut again = house_from(house.log.clone());
    let out = again.seconds(1);
    let (ticket, asked) = fetch(&out);
    assert_eq!(&*asked.url, "http://app.example/status");
    assert_eq!((said(asked, "CallStatus"), token(asked)), ("completed".into(), first));
    again.reply(ticket, fine());
    assert_eq!(again.sessions_kept(), 0);
}

#[test]
fn a_phone_of_ours_gets_the_parameters() {
    let mut house = house();
    house.bind("bob", 2);
    let dial = "<Dial><Client><Identity>bob</Identity><Parameter name='Order' value='7'/>\
                <Parameter name='a b' value='no name of a header'/></Client></Dial>";
    let out = runs(&mut house, dial);
    let invite = out.requests("INVITE").pop().expect("bob is called");
    assert_eq!(header(&invite, "X-Order"), "7");
    assert!(!invite.contains("no name of a header"), "{invite}");
}
