//! Calls through a shard, by script: SIP text in, SIP text out, virtual time.

mod rig;

use std::time::Duration;

use rig::*;
use switchboard::{Input, Output};

/// Alice and Bob talk; gives the 200 that Alice got and the INVITE that Bob got.
fn talk(rig: &mut Rig) -> (String, String) {
    rig.from(ALICE, &invite("bob"));
    let to_bob = rig.seen(BOB);
    assert_eq!(to_bob.len(), 1, "{to_bob:?}");
    let at_bob = to_bob[0].clone();
    assert!(at_bob.starts_with(&format!("INVITE sip:bob@{BOB} SIP/2.0\r\n")), "{at_bob}");
    assert!(at_bob.contains("m=audio 20") && !at_bob.contains("m=audio 4000"), "{at_bob}");
    assert_eq!(header(&at_bob, "Max-Forwards"), "69");
    rig.from(BOB, &answer(&at_bob, "180 Ringing", ""));
    rig.from(BOB, &answer(&at_bob, "200 OK", &sdp(5_000)));
    let to_bob = rig.seen(BOB);
    assert!(to_bob[0].starts_with("ACK "), "{to_bob:?}");
    let to_alice = rig.seen(ALICE);
    let first_lines: Vec<_> = to_alice.iter().map(|text| text.lines().next().unwrap()).collect();
    assert_eq!(first_lines, ["SIP/2.0 180 Ringing", "SIP/2.0 200 OK"]);
    let ok = to_alice[1].clone();
    rig.from(ALICE, &in_dialog("ACK", &ok, 1, "a2"));
    (ok, at_bob)
}

#[test]
fn a_call_is_two_legs_and_ends_with_either() {
    let mut rig = Rig::new();
    let (ok, _) = talk(&mut rig);
    assert!(ok.contains("m=audio 20"));
    let (_, calls) = rig.api(0, "");
    assert_eq!(calls["items"][0]["state"], "talking");
    let id = calls["items"][0]["id"].as_str().unwrap().to_owned();
    rig.from(ALICE, &in_dialog("BYE", &ok, 2, "a3"));
    assert!(rig.seen(ALICE)[0].starts_with("SIP/2.0 200 OK"));
    let to_bob = rig.seen(BOB);
    assert!(to_bob[0].starts_with("BYE "), "{to_bob:?}");
    rig.from(BOB, &answer(&to_bob[0], "200 OK", ""));
    let ended =
        rig.others.iter().any(|output| matches!(output, Output::Save { entry, .. } if entry.last));
    assert!(ended);
    rig.wait(Duration::from_secs(120));
    for name in ["sessions", "legs", "server_transactions", "client_transactions"] {
        assert_eq!(rig.gauge(name), 0, "{name}");
    }
    assert_eq!(rig.gauge("ports_left"), 50);
    let (status, ladder) = rig.api(3, &id);
    assert_eq!(status, 200);
    let text = ladder.to_string();
    for word in ["INVITE", "180 Ringing", "ACK", "BYE"] {
        assert!(text.contains(word), "{word}");
    }
}

/// RFC 3264 §5: an offer may hold no stream at all; the two add them later. It takes no ports.
#[test]
fn a_call_may_begin_without_any_stream() {
    let mut rig = Rig::new();
    let sections = |text: &str| text.lines().filter(|line| line.starts_with("m=")).count();
    let without = |text: &str| {
        let at = text.find("m=audio").expect("a section");
        text[..at].to_owned()
    };
    let nothing = without(&sdp(4_000));
    rig.from(ALICE, &phones::invite_with("bob", "", &nothing));
    let at_bob = rig.seen(BOB).remove(0);
    assert!(at_bob.starts_with("INVITE ") && sections(&at_bob) == 0, "{at_bob}");
    rig.from(BOB, &answer(&at_bob, "200 OK", &nothing));
    rig.seen(BOB);
    let ok = rig.seen(ALICE).pop().expect("an answer");
    assert!(ok.starts_with("SIP/2.0 200") && sections(&ok) == 0, "{ok}");
    rig.from(ALICE, &in_dialog("ACK", &ok, 1, "a2"));
    assert_eq!(rig.gauge("ports_left"), 50);
    let (_, calls) = rig.api(0, "");
    assert_eq!(calls["items"][0]["state"], "talking");
}

#[test]
fn the_callee_may_hang_up() {
    let mut rig = Rig::new();
    let (ok, at_bob) = talk(&mut rig);
    let bye = format!(
        "BYE sip:127.0.0.1:5060 SIP/2.0\nVia: SIP/2.0/UDP {BOB};branch=z9hG4bKb1\nMax-Forwards: 70\n\
         From: <sip:bob@localhost>;tag=bt\nTo: {}\nCall-ID: {}\nCSeq: 1 BYE\nContent-Length: 0\n\n",
        header(&at_bob, "From"),
        header(&at_bob, "Call-ID"),
    );
    rig.from(BOB, &bye);
    assert!(rig.seen(BOB)[0].starts_with("SIP/2.0 200 OK"));
    let to_alice = rig.seen(ALICE);
    assert!(to_alice[0].starts_with(&format!("BYE sip:alice@{ALICE}")), "{to_alice:?}");
    assert!(header(&ok, "From").ends_with(header(&to_alice[0], "To")));
}

#[test]
fn who_hears_nothing_for_200_ms_gets_100_once_and_for_each_copy() {
    // RFC 3261 §17.2.1
    let mut rig = Rig::new();
    rig.from(ALICE, &invite("bob"));
    let at_bob = rig.seen(BOB).remove(0);
    rig.wait(Duration::from_millis(199));
    rig.from(ALICE, &invite("bob"));
    assert!(rig.seen(ALICE).is_empty());
    rig.wait(Duration::from_millis(1));
    let seen = rig.seen(ALICE);
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert!(seen[0].starts_with("SIP/2.0 100 Trying\r\n"), "{seen:?}");
    assert_eq!(header(&seen[0], "To"), "<sip:bob@localhost>", "without a tag");
    rig.from(ALICE, &invite("bob"));
    assert_eq!(rig.seen(ALICE), seen);
    rig.from(BOB, &answer(&at_bob, "180 Ringing", ""));
    assert!(rig.seen(ALICE)[0].starts_with("SIP/2.0 180"));
    rig.wait(Duration::from_secs(1));
    assert!(rig.seen(ALICE).is_empty());
}

#[test]
fn a_cancelled_call_stops_ringing_everywhere() {
    let mut rig = Rig::new();
    rig.from(ALICE, &invite("bob"));
    let at_bob = rig.seen(BOB).remove(0);
    rig.from(BOB, &answer(&at_bob, "180 Ringing", ""));
    rig.seen(ALICE);
    let cancel = invite("bob").split("Contact").next().unwrap().replace("INVITE", "CANCEL");
    let cancel_of_alice = format!("{cancel}Content-Length: 0\n\n");
    rig.from(ALICE, &cancel_of_alice);
    let to_alice = rig.seen(ALICE);
    assert!(
        to_alice[0].starts_with("SIP/2.0 200 OK")
            && header(&to_alice[0], "CSeq").ends_with("CANCEL")
    );
    assert!(to_alice[1].starts_with("SIP/2.0 487"), "{to_alice:?}");
    let to_bob = rig.seen(BOB);
    assert!(to_bob[0].starts_with("CANCEL "), "{to_bob:?}");
    rig.from(BOB, &answer(&to_bob[0], "200 OK", ""));
    rig.from(BOB, &answer(&at_bob, "487 Request Terminated", ""));
    assert!(rig.seen(BOB)[0].starts_with("ACK "));
    rig.wait(Duration::from_secs(120));
    assert_eq!((rig.gauge("sessions"), rig.gauge("legs")), (0, 0));
}

#[test]
fn nobody_reachable_is_said_at_once_with_what_was_tried() {
    let mut rig = Rig::new();
    rig.from(ALICE, &invite("carol"));
    let to_alice = rig.seen(ALICE);
    assert!(to_alice[0].starts_with("SIP/2.0 480"), "{to_alice:?}");
    assert!(header(&to_alice[0], "Warning").contains("calls.nobody_reachable CAR-1303"));
    let record = rig.others.iter().find_map(|output| match output {
        Output::Save { entry, .. } if entry.last => Some(entry.key),
        _ => None,
    });
    let id = types::CallId(record.expect("a record")).to_string();
    let (_, ladder) = rig.api(3, &id);
    assert!(ladder["tried"][0].as_str().unwrap().contains("no device"), "{ladder}");
}

#[test]
fn an_unknown_user_is_404_and_a_foreign_domain_403() {
    let mut rig = Rig::new();
    rig.from(ALICE, &invite("nobody"));
    assert!(rig.seen(ALICE)[0].starts_with("SIP/2.0 404"));
    let foreign = invite("bob")
        .replace("INVITE sip:bob@localhost", "INVITE sip:bob@example.com")
        .replace("z9hG4bKa1", "z9hG4bKa9");
    rig.from(ALICE, &foreign);
    assert!(rig.seen(ALICE)[0].starts_with("SIP/2.0 403"));
    assert!(rig.seen(BOB).is_empty());
}

#[test]
fn a_killed_process_keeps_its_call() {
    let mut rig = Rig::new();
    let (ok, _) = talk(&mut rig);
    let entries: Vec<_> = rig
        .others
        .iter()
        .filter_map(|output| match output {
            Output::Save { entry, .. } => Some(entry.clone()),
            _ => None,
        })
        .collect();
    let mut next = Rig::new();
    next.handle(Input::Adopt(entries.last().unwrap().clone()));
    next.handle(Input::Begin);
    assert_eq!(next.gauge("legs"), 2);
    assert!(
        next.others
            .iter()
            .any(|output| matches!(output, Output::Media(media::Command::Open { .. })))
    );
    next.from(ALICE, &in_dialog("BYE", &ok, 2, "a3"));
    assert!(next.seen(ALICE)[0].starts_with("SIP/2.0 200 OK"));
    assert!(next.seen(BOB)[0].starts_with("BYE "));
}

/// What was kept, the last first.
fn kept(rig: &Rig) -> Vec<switchboard::store::Entry> {
    let saved = |output: &Output| match output {
        Output::Save { entry, .. } => Some(entry.clone()),
        _ => None,
    };
    rig.others.iter().rev().filter_map(saved).collect()
}

#[test]
fn a_bye_that_died_with_the_process_is_said_again() {
    let mut rig = Rig::new();
    let (ok, at_bob) = talk(&mut rig);
    rig.from(ALICE, &in_dialog("BYE", &ok, 2, "a3"));
    let said = rig.seen(BOB).remove(0);
    let entry = kept(&rig).remove(0);
    assert!(entry.last);

    let mut next = Rig::new();
    next.handle(Input::Adopt(entry.clone()));
    next.handle(Input::Begin);
    let seen = next.seen(BOB);
    assert_eq!(seen.len(), 1, "{seen:?}");
    for name in ["From", "To", "Call-ID"] {
        assert_eq!(header(&seen[0], name), header(&said, name));
    }
    let number =
        |text: &str| header(text, "CSeq").split(' ').next().unwrap().parse::<u32>().unwrap();
    assert!(number(&seen[0]) > number(&said), "of what was said before it is no copy");
    assert_eq!(header(&seen[0], "To").split(";tag=").nth(1), Some("bt"));
    assert_eq!(header(&seen[0], "Call-ID"), header(&at_bob, "Call-ID"));
    next.wait(Duration::from_millis(500));
    assert_eq!(next.seen(BOB), seen, "by UDP it is repeated");
    next.from(BOB, &answer(&seen[0], "481 Call/Transaction Does Not Exist", ""));
    next.wait(Duration::from_secs(40));
    assert!(next.seen(BOB).is_empty() && next.seen(ALICE).is_empty());
    let again = kept(&next).into_iter().find(|one| one.key == entry.key);
    assert_eq!(again, None, "one record is enough");

    let mut late = Rig::new();
    late.wait(Duration::from_secs(33));
    late.handle(Input::Adopt(entry));
    late.handle(Input::Begin);
    assert!(late.seen(BOB).is_empty(), "by now it would have been given up");
}

#[test]
fn an_acknowledgement_that_died_with_the_process_is_said_again() {
    let mut rig = Rig::new();
    let (_, at_bob) = talk(&mut rig);
    let mut next = Rig::new();
    next.handle(Input::Adopt(kept(&rig).remove(0)));
    next.handle(Input::Begin);
    next.seen(BOB);
    next.from(BOB, &answer(&at_bob, "200 OK", &sdp(5_000)));
    let seen = next.seen(BOB);
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert!(seen[0].starts_with("ACK ") && header(&seen[0], "CSeq") == "1 ACK", "{seen:?}");
    // Of a call that nobody knows it is nothing.
    next.from(BOB, &answer(&at_bob, "200 OK", &sdp(5_000)).replace(";tag=bt", ";tag=no"));
    assert!(next.seen(BOB).is_empty());
}

#[test]
fn who_was_told_100_gets_a_final_answer_after_a_kill() {
    let mut rig = Rig::new();
    rig.from(ALICE, &invite("bob"));
    assert!(rig.seen(BOB)[0].starts_with("INVITE "));
    rig.wait(Duration::from_millis(199));
    assert!(kept(&rig).is_empty(), "before that she asks again, and gets a new call");
    rig.wait(Duration::from_millis(1));
    assert!(rig.seen(ALICE)[0].starts_with("SIP/2.0 100"));
    let entry = kept(&rig).remove(0);

    let mut next = Rig::new();
    next.handle(Input::Adopt(entry));
    next.handle(Input::Begin);
    let seen = next.seen(ALICE);
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert!(seen[0].starts_with("SIP/2.0 480"), "{seen:?}");
    assert!(next.seen(BOB)[0].starts_with("CANCEL "), "and the phone stops ringing");
    assert_eq!(kept(&next).iter().filter(|entry| entry.last).count(), 1, "one record");
}

/// The lines of one lane of a ladder, each with its number.
fn lane<'a>(ladder: &'a serde_json::Value, lane: &str) -> Vec<(u64, &'a str)> {
    let items = ladder["items"].as_array().unwrap().iter().filter(|item| item["lane"] == lane);
    items.map(|item| (item["number"].as_u64().unwrap(), item["text"].as_str().unwrap())).collect()
}

#[test]
fn the_ladder_shows_all_and_no_secret() {
    let mut rig = Rig::new();
    let secret = "Authorization: Digest username=\"hush\",\n response=\"hush\"\nContact: ";
    let ask = invite("bob")
        .replace("Contact: ", secret)
        .replace(&format!("<sip:alice@{ALICE}>\n"), &format!("<sip:alice@{ALICE};pn-prid=hush>\n"));
    rig.from(ALICE, &ask);
    rig.from(ALICE, &ask);
    let at_bob = rig.seen(BOB).remove(0);
    rig.wait(Duration::from_millis(300));
    rig.from(ALICE, &ask);
    // Bob's phone is silent for a while: the INVITE goes out again.
    rig.wait(Duration::from_millis(1_300));
    rig.from(BOB, &answer(&at_bob, "180 Ringing", ""));
    let (_, calls) = rig.api(0, "");
    let id = calls["items"][0]["id"].as_str().unwrap().to_owned();
    let cancel = ask.split("Contact").next().unwrap().replace("INVITE", "CANCEL");
    let cancel: String = cancel
        .lines()
        .filter(|line| !line.contains("hush"))
        .map(|line| format!("{line}\n"))
        .collect();
    let cancel_of_alice = format!("{cancel}Content-Length: 0\n\n");
    rig.from(ALICE, &cancel_of_alice);
    let to_bob = rig.seen(BOB);
    let cancel = to_bob.iter().find(|text| text.starts_with("CANCEL ")).unwrap();
    rig.from(BOB, &answer(cancel, "200 OK", ""));
    rig.from(BOB, &answer(&at_bob, "487 Request Terminated", ""));
    let refused = rig.seen(ALICE).pop().unwrap();
    let ack = cancel_of_alice.replace("CANCEL", "ACK");
    let ack = ack.replace("To: <sip:bob@localhost>", &format!("To: {}", header(&refused, "To")));
    rig.from(ALICE, &ack);
    let (status, ladder) = rig.api(3, &id);
    assert_eq!(status, 200);
    assert!(!ladder.to_string().contains("hush"), "{ladder:#}");
    assert!(ladder.to_string().contains("Authorization: Digest (redacted)\\r\\n"), "{ladder:#}");

    let begin = |(number, text): &(u64, &str)| {
        let line = text.lines().next().unwrap();
        let item = &ladder["items"][*number as usize - 1];
        let again = if item["repeats"].is_null() { "" } else { " again" };
        format!(
            "{}{again} {}",
            item["remote"].as_str().unwrap(),
            line.split(" sip:").next().unwrap()
        )
    };
    let came: Vec<_> = lane(&ladder, "sip_in").iter().map(begin).collect();
    assert_eq!(
        came,
        [
            "127.0.0.1:5071 INVITE",
            "127.0.0.1:5071 again INVITE",
            "127.0.0.1:5071 again INVITE",
            "127.0.0.1:5072 SIP/2.0 180 Ringing",
            "127.0.0.1:5071 CANCEL",
            "127.0.0.1:5072 SIP/2.0 200 OK",
            "127.0.0.1:5072 SIP/2.0 487 Request Terminated",
            "127.0.0.1:5071 ACK",
        ]
    );
    let left: Vec<_> = lane(&ladder, "sip_out").iter().map(begin).collect();
    assert_eq!(
        left,
        [
            "127.0.0.1:5072 INVITE",
            "127.0.0.1:5071 SIP/2.0 100 Trying",
            "127.0.0.1:5071 again SIP/2.0 100 Trying",
            "127.0.0.1:5072 again INVITE",
            "127.0.0.1:5072 again INVITE",
            "127.0.0.1:5071 SIP/2.0 180 Ringing",
            "127.0.0.1:5071 SIP/2.0 200 OK",
            "127.0.0.1:5071 SIP/2.0 487 Request Terminated",
            "127.0.0.1:5072 CANCEL",
            "127.0.0.1:5072 ACK",
        ]
    );
    let first = &ladder["items"][lane(&ladder, "sip_in")[0].0 as usize - 1];
    assert_eq!((&first["local"], &first["cut"]), (&"127.0.0.1:5060".into(), &0.into()));
}

/// A description with these formats.
fn speaks(port: u16, formats: &str, lines: &str) -> String {
    sdp(port).replace("RTP/AVP 0\n", &format!("RTP/AVP {formats}\n{lines}"))
}

/// What the pump was told of the sound of both sides: what each is sent, and whether it passes.
fn sounds(rig: &mut Rig) -> Vec<(media::Codec, bool)> {
    let outputs = std::mem::take(&mut rig.others).into_iter();
    let sounds = outputs.filter_map(|output| match output {
        Output::Media(media::Command::Take { sound, .. }) => {
            sound.map(|sound| (sound.sent.codec, sound.passes))
        }
        _ => None,
    });
    sounds.collect()
}

#[test]
fn phones_without_a_common_codec_are_turned_into_each_other() {
    use media::Codec::{G711, Opus};
    use media::g711::Law::Mu;
    const OPUS: &str = "a=rtpmap:96 opus/48000/2\na=fmtp:96 stereo=0\n";
    const KEYS: &str = "a=rtpmap:101 telephone-event/8000\n";
    let mut rig = Rig::new();
    let keyed = format!("{OPUS}{KEYS}");
    let offer = invite("bob").replace(&sdp(4_000), &speaks(4_000, "96 101", &keyed));
    rig.from(ALICE, &offer);
    let at_bob = rig.seen(BOB).remove(0);
    assert!(at_bob.contains("RTP/AVP 96 101 9 8 0 110\r\n"), "{at_bob}");
    let bob = speaks(5_000, "0 101", KEYS);
    rig.from(BOB, &answer(&at_bob, "200 OK", &bob));
    let ok = rig.seen(ALICE).into_iter().find(|text| text.starts_with("SIP/2.0 200")).unwrap();
    let told = "RTP/AVP 96 101\r\na=rtpmap:96 opus/48000/2\r\n";
    assert!(ok.contains(told) && !ok.contains("PCMU"), "{ok}");
    assert_eq!(sounds(&mut rig), [(Opus, false), (G711(Mu), false)]);
    rig.seen(BOB);
    rig.from(ALICE, &in_dialog("ACK", &ok, 1, "a2"));
    // Alice can do both now: what she says passes from here on.
    let both = speaks(4_000, "0 96 101", &keyed);
    let head = in_dialog("INVITE", &ok, 2, "a3");
    let head = head.trim_end().replace("Content-Length: 0", "");
    let again = format!(
        "{}\nContent-Type: application/sdp\nContent-Length: {}\n\n{both}",
        head.trim_end(),
        both.replace('\n', "\r\n").len()
    );
    rig.from(ALICE, &again);
    let at_bob = rig.seen(BOB).remove(0);
    assert!(at_bob.contains("RTP/AVP 0 96 101"), "{at_bob}");
    rig.from(BOB, &answer(&at_bob, "200 OK", &bob));
    assert_eq!(sounds(&mut rig), [(G711(Mu), true), (G711(Mu), true)]);
}

#[test]
fn phones_with_a_common_codec_hear_nothing_of_ours() {
    let mut rig = Rig::new();
    let (ok, at_bob) = talk(&mut rig);
    assert!(at_bob.contains("RTP/AVP 0 111\r\na=rtpmap:111 opus/48000/2\r\n"), "{at_bob}");
    assert!(ok.contains("RTP/AVP 0\r\n") && !ok.contains("opus"), "{ok}");
    assert_eq!(sounds(&mut rig), []);
}

/// What the pump tells of a call's media stands in its record.
#[test]
fn how_a_call_came_through_is_told() {
    let mut rig = Rig::new();
    let (ok, _) = talk(&mut rig);
    let opened = rig.others.iter().find_map(|output| match output {
        Output::Media(media::Command::Open { stream, .. }) => Some(*stream),
        _ => None,
    });
    let stream = opened.expect("a stream");
    let poor = media::Quality { packets: 900, lost: 100, holes: 10, ..media::Quality::default() };
    let sides = Box::new([media::Quality { packets: 1_000, ..media::Quality::default() }, poor]);
    rig.handle(Input::Media(media::Event::Quality { stream, sides }));
    let quiet = media::Event::Quiet { stream, side: media::Side::B, why: media::Hush::Nothing };
    rig.handle(Input::Media(quiet));
    rig.from(ALICE, &in_dialog("BYE", &ok, 2, "a3"));
    let bye = rig.one(BOB, "BYE");
    rig.from(BOB, &answer(&bye, "200 OK", ""));
    let record = kept(&rig).into_iter().find(|entry| entry.last).expect("a record");
    let mut fields = types::tagged::Reader::new(&record.body);
    let facts = fields
        .find(|(tag, _)| *tag == 2)
        .and_then(|(_, field)| switchboard::notice::CallFacts::decode(field.0));
    let quality = facts.and_then(|facts| facts.quality).expect("figures");
    assert_eq!((quality[0].packets, quality[1].lost), (1_000, 100));
    assert!(quality[1].opinion() < Some(310) && quality[0].opinion() == Some(441));
}

/// The legs that share a port, by the ports that name them, and what they share.
fn shares(rig: &Rig) -> Vec<(u16, u16)> {
    let shares = rig.others.iter().filter_map(|output| match output {
        Output::Media(media::Command::Share { port, by }) => Some((*port, *by)),
        _ => None,
    });
    shares.collect()
}

#[test]
fn phones_that_can_be_told_apart_share_a_port_also_after_a_kill() {
    let mut rig = Rig::sharing();
    let (ok, at_bob) = talk(&mut rig);
    for description in [&ok, &at_bob] {
        assert!(description.contains("m=audio 20200 "), "{description}");
    }
    let named = shares(&rig);
    assert!(matches!(named[..], [(a, 20_200), (b, 20_200)] if a != b), "{named:?}");
    let mut next = Rig::sharing();
    next.handle(Input::Adopt(kept(&rig).remove(0)));
    next.handle(Input::Begin);
    assert_eq!(shares(&next), named);
    // Alice's phone has another port than it had: it shares still.
    let side = driver::text::Side {
        who: ALICE,
        target: header(&ok, "Contact"),
        from: header(&ok, "From"),
        to: header(&ok, "To"),
        call_id: "c1",
    };
    let again =
        |port: u16, cseq: u32| side.request("INVITE", cseq, &format!("i{cseq}"), "", &sdp(port));
    rig.forget();
    rig.from(ALICE, &again(4_100, 3));
    let at_bob = rig.one(BOB, "INVITE");
    assert!(at_bob.contains("m=audio 20200 "), "{at_bob}");
    rig.from(BOB, &answer(&at_bob, "200 OK", &sdp(5_000)));
    assert!(rig.one(ALICE, "SIP/2.0 200").contains("m=audio 20200 "));
    assert_eq!(shares(&rig), []);
    // What is Bob's cannot be hers: she hears of a port of her own.
    rig.from(ALICE, &in_dialog("ACK", &ok, 3, "k3"));
    rig.from(ALICE, &again(5_000, 4));
    let at_bob = rig.one(BOB, "INVITE");
    rig.from(BOB, &answer(&at_bob, "200 OK", &sdp(5_000)));
    let told = rig.one(ALICE, "SIP/2.0 200");
    assert!(told.contains("m=audio 20") && !told.contains("m=audio 20200"), "{told}");
    assert_eq!(shares(&rig), [(named[0].0, 0)]);
}
