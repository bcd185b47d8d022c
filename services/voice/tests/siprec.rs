//! The room: a call that is sent to a recording server.

mod common;

use std::time::Duration;

use common::*;
use driver::Phones;
use driver::phones::reply_to;
use driver::text::header;
use media::{Command, Direction, Play};
use switchboard::Service;
use switchboard::store::Entry;
use voice::{Config, Connector, Room};

const RECORDER: &str = "192.0.2.9";

fn room() -> Box<dyn Service> {
    let siprec = ["one", "two"]
        .map(|name| Connector { name: name.into(), address: format!("sip:{name}@{RECORDER}") });
    Box::new(Room::new(Config { siprec: siprec.to_vec(), ..Config::default() }))
}

fn recorded_from(log: Vec<Entry>) -> Phones {
    house_with(log, room)
}

/// It takes both tracks.
fn taken(invite: &str) -> String {
    let body = "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n\
                m=audio 7000 RTP/AVP 0\r\na=recvonly\r\nm=audio 7002 RTP/AVP 0\r\na=recvonly\r\n";
    let headers = format!(
        "Contact: <sip:one@{RECORDER}>\r\nAllow: INVITE, ACK, BYE, UPDATE\r\nContent-Type: application/sdp\r\n"
    );
    let whole = format!("Content-Length: {}\r\n\r\n{body}", body.len());
    reply_to(invite, "200 OK", &headers).replace("Content-Length: 0\r\n\r\n", &whole)
}

/// A call that is answered, and whose recording server is called: the caller's 200, and the INVITE.
fn recorded(house: &mut Phones, siprec: &str) -> (String, String, driver::Out) {
    let (out, _) = called(house);
    let (ticket, _) = fetch(&out);
    let first = house.reply(ticket, document(&format!("<Say>a</Say><Start>{siprec}</Start><Pause length='60'/><Stop><Siprec name='rec'/></Stop><Pause length='60'/>")));
    let ok = ok_of(&first);
    house.say(1, &in_dialog("ACK", &ok, 1));
    let said = clip(&first);
    let told = media(&house.reply(said, made()));
    let at = told.iter().find_map(|command| match command {
        Command::Play { stream, sound, .. } => Some((*stream, *sound)),
        _ => None,
    });
    let (stream, sound) = at.expect("it is said");
    let (seat, after) = (Some(media::Seat::FIRST_GUEST), Duration::from_secs(1));
    let how = media::Ending::Ended;
    let played = media::Event::Played { stream, seat, sound, after, how };
    let out = house.give(switchboard::Input::Media(played));
    let invite = out.sent().into_iter().find(|text| text.starts_with("INVITE sip:one@"));
    (ok, invite.unwrap_or_default(), out)
}

const BOTH: &str = "<Siprec name='rec' connectorName='one' statusCallback='/told'>\
                    <Parameter name='case' value='7'/></Siprec>";

/// What an app was told of it.
fn told(house: &mut Phones, out: &driver::Out) -> String {
    let (ticket, question) = fetch(out);
    assert_eq!(question.url, "http://app.example/told");
    assert!(said(question, "SiprecSid").starts_with("SR"));
    assert_eq!(said(question, "SiprecName"), "rec");
    let event = said(question, "SiprecEvent");
    let event = match &*said(question, "SiprecErrorCode") {
        "" => event,
        code => format!("{event} {code}"),
    };
    house.reply(ticket, fine());
    event
}

#[test]
fn a_recording_server_gets_both_tracks_and_who_speaks() {
    let mut house = recorded_from(Vec::new());
    let (ok, invite, _) = recorded(&mut house, BOTH);
    assert_eq!(header(&invite, "Require"), "siprec");
    assert!(header(&invite, "Contact").ends_with(">;+sip.src"), "{invite}");
    let kind = header(&invite, "Content-Type");
    let boundary = kind.strip_prefix("multipart/mixed;boundary=").expect("two parts");
    let body = invite.split_once("\r\n\r\n").expect("a body").1;
    let parts: Vec<&str> = body.split(&format!("--{boundary}")).collect();
    assert_eq!((parts.len(), parts[0], parts[3]), (4, "", "--\r\n"));
    let sdp = parts[1].strip_prefix("\r\nContent-Type: application/sdp\r\n\r\n").expect("an offer");
    let session = sdp::Session::decode(sdp.trim_end().as_bytes()).expect("a description");
    assert_eq!(session.media.len(), 2);
    for (section, label) in session.media.iter().zip(["1", "2"]) {
        assert_eq!(section.direction, sdp::Direction::SendOnly);
        assert!(sdp.contains(&format!("a=sendonly\r\na=label:{label}\r\n")), "{sdp}");
    }
    let (head, document) = parts[2].split_once("\r\n\r\n").expect("metadata");
    assert!(head.contains("Content-Type: application/rs-metadata+xml"), "{head}");
    assert!(head.contains("Content-Disposition: recording-session"), "{head}");
    let root = xml::Element::decode(document.trim_end().as_bytes()).expect("well-formed");
    let people: Vec<_> = root
        .all("participant")
        .filter_map(|one| one.first("nameID")?.attribute("aor").map(str::to_owned))
        .collect();
    assert_eq!(people.len(), 2);
    assert!(people[0].starts_with("sip:alice@") && people[1].starts_with("sip:+15550100@"));
    assert_eq!(root.all("stream").count(), 2);
    assert!(document.contains(">7</parameter>"), "{document}");
    // It answers: each track is what is tapped of the call, and nothing else.
    let out = house.say(9, &taken(&invite));
    assert!(out.sent().iter().any(|text| text.starts_with("ACK sip:one@")));
    assert_eq!(told(&mut house, &out), "siprec-started");
    let commands = media(&out);
    let aims: Vec<_> = commands
        .iter()
        .filter_map(|command| match command {
            Command::Aim { rtp, receives, .. } => Some((rtp.port(), *receives)),
            _ => None,
        })
        .collect();
    assert_eq!(aims, [(7000, true), (7002, true)]);
    for direction in [Direction::In, Direction::Out] {
        let tap = commands.iter().find_map(|command| match command {
            Command::Tap { tap, direction: known, .. } if *known == direction => Some(*tap),
            _ => None,
        });
        let feed = commands.iter().find_map(|command| match command {
            Command::Pour { tap: known, feed } if Some(*known) == tap => Some(*feed),
            _ => None,
        });
        let fed = |command: &Command| matches!(command, Command::Play { play: Play::Feed { feed: known, .. }, .. } if Some(*known) == feed);
        assert!(tap.is_some() && commands.iter().any(fed), "{commands:?}");
    }
    // It ends with the call.
    let out = house.say(1, &in_dialog("BYE", &ok, 2));
    assert!(out.sent().iter().any(|text| text.starts_with("BYE sip:one@")));
    assert_eq!(told(&mut house, &out), "siprec-stopped");
}

#[test]
fn a_recording_session_hears_of_changes_and_outlives_a_restart() {
    let mut house = recorded_from(Vec::new());
    let (ok, invite, _) = recorded(&mut house, BOTH);
    house.say(9, &taken(&invite));
    // The caller holds.
    let hold = SDP.to_owned() + "a=sendonly\r\n";
    let change = in_dialog("INVITE", &ok, 2).replace(
        "Content-Length: 0\r\n\r\n",
        &format!(
            "Contact: <sip:alice@192.0.2.1>\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{hold}",
            hold.len()
        ),
    );
    let out = house.say(1, &change);
    let update = out.sent().into_iter().find(|text| text.starts_with("UPDATE sip:one@"));
    let update = update.expect("the server hears that he does not hear");
    assert_eq!(header(&update, "Content-Type"), "application/rs-metadata+xml");
    assert_eq!(header(&update, "Content-Disposition"), "recording-session");
    assert!(update.contains("<datamode>partial</datamode><participantstreamassoc"), "{update}");
    house.say(9, &reply_to(&update, "200 OK", ""));
    // Killed: the same dialog and the same ports, tapped anew.
    let mut house = recorded_from(house.log.clone());
    let out = house.say(1, &in_dialog("BYE", &ok, 3));
    let untapped = media(&out).iter().filter(|it| matches!(it, Command::Untap { .. })).count();
    assert_eq!(untapped, 2);
    let bye = out.sent().into_iter().find(|text| text.starts_with("BYE sip:one@"));
    assert_eq!(header(&bye.expect("it ends"), "Call-ID"), header(&invite, "Call-ID"));
}

#[test]
fn a_recording_server_never_hurts_the_call() {
    // It refuses.
    let mut house = recorded_from(Vec::new());
    let (ok, invite, _) = recorded(&mut house, BOTH);
    let out = house.say(9, &reply_to(&invite, "603 Decline", ""));
    assert_eq!(told(&mut house, &out), "siprec-error 31902");
    assert!(!out.sent().iter().any(|text| text.starts_with("BYE ")), "the call goes on");
    house.say(1, &in_dialog("BYE", &ok, 2));
    assert_eq!(record(&house).outcome, "answered");
    // It is silent.
    let mut house = recorded_from(Vec::new());
    let (_, invite, _) = recorded(&mut house, BOTH);
    assert!(!invite.is_empty());
    let out = house.seconds(21);
    assert_eq!(told(&mut house, &out), "siprec-error 31901");
    // It takes no sound.
    let mut house = recorded_from(Vec::new());
    let (_, invite, _) = recorded(&mut house, BOTH);
    let odd = taken(&invite).replace("RTP/AVP 0", "RTP/AVP 4");
    let out = house.say(9, &odd);
    assert!(out.sent().iter().any(|text| text.starts_with("BYE sip:one@")));
    assert_eq!(told(&mut house, &out), "siprec-error 31902");
    // It has enough.
    let mut house = recorded_from(Vec::new());
    let (_, invite, _) = recorded(&mut house, BOTH);
    house.say(9, &taken(&invite));
    let out = house.say(9, &bye_of(&invite, 9));
    let untapped = media(&out).iter().filter(|it| matches!(it, Command::Untap { .. })).count();
    assert_eq!(untapped, 2);
}

#[test]
fn documents_stop_and_name_them() {
    let mut house = recorded_from(Vec::new());
    let (_, invite, _) = recorded(&mut house, BOTH);
    house.say(9, &taken(&invite));
    let out = house.seconds(61);
    assert!(out.sent().iter().any(|text| text.starts_with("BYE sip:one@")), "stopped by name");
    // Nobody is called so; with two servers one has to be named.
    for odd in ["<Siprec connectorName='three'/>", "<Siprec/>"] {
        let mut house = recorded_from(Vec::new());
        let (_, invite, _) = recorded(&mut house, odd);
        assert_eq!(invite, "", "{odd}");
    }
    // One track is one section.
    let mut house = recorded_from(Vec::new());
    let one = "<Siprec connectorName='one' track='inbound_track'/>";
    let (_, invite, _) = recorded(&mut house, one);
    assert_eq!(invite.matches("m=audio").count(), 1);
}
