//! A desk and a switchboard that a test writes by hand.

use std::time::Duration;

use sip::write::response_to;
use sip::{Framing, Message, Method, Name};
use types::{Instant, Rng, Secret};

use crate::*;

const SDP: &str =
    "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n";

struct House {
    desk: Desk,
    now: Instant,
    said: Vec<Said>,
    sent: Vec<String>,
    closed: bool,
    ids: u64,
}

impl House {
    fn new() -> Self {
        let config = Config {
            user: "1001".into(),
            domain: "localhost".into(),
            contact: "192.0.2.7:4711".parse().unwrap(),
        };
        let desk = Desk::new(config, Secret::new("pass".into()), Rng::from_number(5));
        let now = Instant(1_000_000);
        Self { desk, now, said: Vec::new(), sent: Vec::new(), closed: false, ids: 0 }
    }

    fn feed(&mut self, event: Event) {
        self.desk.handle(event, self.now);
        while let Some(action) = self.desk.poll() {
            match action {
                Action::Closed => self.closed = true,
                Action::Said(said) => self.said.push(said),
                Action::Send(bytes) => self.sent.push(String::from_utf8(bytes).unwrap()),
            }
        }
    }

    #[track_caller]
    fn wants(&mut self, command: &str) {
        self.ids += 1;
        let mut value: serde_json::Value = serde_json::from_str(command).unwrap();
        value["id"] = self.ids.into();
        let (id, command) = Line::read(&value.to_string()).unwrap();
        self.feed(Event::Command { id, command });
    }

    /// What was sent last, and only that.
    #[track_caller]
    fn one(&mut self) -> String {
        assert_eq!(self.sent.len(), 1, "{:#?}", self.sent);
        self.sent.remove(0)
    }

    #[track_caller]
    fn heard(&mut self) -> Vec<Said> {
        std::mem::take(&mut self.said)
    }

    fn answer(&mut self, request: &str, status: u16, sdp: &str) {
        let message = Message::decode(request.as_bytes(), Framing::Datagram).unwrap();
        let mut out = Vec::new();
        let mut writer = response_to(&mut out, &message, status, None, Some(b"theirs"), None);
        writer.header(Name::Contact, "<sip:127.0.0.1:5060;transport=ws>");
        if sdp.is_empty() {
            writer.end()
        } else {
            writer.body("application/sdp", sdp.as_bytes())
        }
        self.feed(Event::Received(out));
    }

    /// A request of the other side; `to_tag` within a dialog.
    fn ask(&mut self, method: &str, call: &str, cseq: u32, to_tag: &str, more: &str, body: &str) {
        let tag = if to_tag.is_empty() { String::new() } else { format!(";tag={to_tag}") };
        let text = format!(
            "{method} sip:1001@192.0.2.7:4711;transport=ws SIP/2.0\r\n\
             Via: SIP/2.0/WS 127.0.0.1:5060;branch=z9hG4bK{cseq}{method}\r\n\
             Max-Forwards: 70\r\nFrom: \"Ada\" <sip:1002@localhost>;tag=theirs\r\n\
             To: <sip:1001@localhost>{tag}\r\nCall-ID: {call}\r\nCSeq: {cseq} {method}\r\n\
             Contact: <sip:127.0.0.1:5060;transport=ws>\r\n{more}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.feed(Event::Received(text.into_bytes()));
    }

    /// A call that came in and was taken; its Call-ID and our tag.
    fn taken(&mut self) -> (String, String) {
        let icon =
            "Call-Info: <http://x/v1/images/1>;purpose=icon\r\nContent-Type: application/sdp\r\n";
        self.ask("INVITE", "one", 1, "", icon, SDP);
        let ringing = self.one();
        assert!(ringing.starts_with("SIP/2.0 180"), "{ringing}");
        let said = self.heard();
        let [Said::Incoming { call, name, picture, sdp, .. }] = &said[..] else {
            panic!("{said:?}")
        };
        assert_eq!((call.as_str(), name.as_str(), sdp.as_deref()), ("one", "Ada", Some(SDP)));
        assert_eq!(picture.as_deref(), Some("http://x/v1/images/1"));
        self.wants(&serde_json::json!({"do": "answer", "call": "one", "sdp": SDP}).to_string());
        let success = self.one();
        assert!(success.starts_with("SIP/2.0 200") && success.ends_with(SDP), "{success}");
        let tag = success.split("\r\nTo: ").nth(1).unwrap().split(";tag=").nth(1).unwrap();
        let tag = tag.split("\r\n").next().unwrap().to_owned();
        assert!(matches!(&self.heard()[..], [Said::Answered { sdp: None, .. }, Said::Done { .. }]));
        self.ask("ACK", "one", 1, &tag, "", "");
        assert!(self.sent.is_empty());
        ("one".into(), tag)
    }
}

const TYPED: &str = "Content-Type: application/sdp\r\n";

/// A page that can be woken says so as a telephone would; while it is away, calls go by its push service.
#[test]
fn a_page_that_is_away_is_woken_and_not_rung() {
    let mut house = House::new();
    house.wants(r#"{"do":"register","push":"https://push.example/a;b=c"}"#);
    let register = house.one();
    let push = ";pn-provider=webpush;pn-prid=https://push.example/a%3Bb%3Dc>";
    assert!(register.contains(push), "{register}");
    house.answer(&register, 200, "");
    house.heard();
    house.feed(Event::Away);
    house.ask("INVITE", "in-1", 1, "", TYPED, SDP);
    assert!(house.one().starts_with("SIP/2.0 430 "), "nobody is behind this flow");
    assert_eq!(house.heard(), []);
    house.feed(Event::Back);
    let again = house.one();
    assert!(again.starts_with("REGISTER ") && again.contains(push), "{again}");
    house.answer(&again, 200, "");
    assert_eq!(house.heard(), [], "it was registered all the time");
    house.ask("INVITE", "in-1", 1, "", TYPED, SDP);
    assert!(house.one().starts_with("SIP/2.0 180 "));
    assert!(matches!(&house.heard()[..], [Said::Incoming { call, .. }] if call == "in-1"));
}

#[test]
fn a_page_without_pushes_rings_when_it_comes_back() {
    let mut house = House::new();
    house.wants(r#"{"do":"register"}"#);
    let register = house.one();
    assert!(!register.contains("pn-"), "{register}");
    house.answer(&register, 200, "");
    house.feed(Event::Away);
    house.ask("INVITE", "in-1", 1, "", TYPED, SDP);
    assert!(house.one().starts_with("SIP/2.0 180 "));
    house.feed(Event::Back);
    assert!(house.sent.is_empty(), "{:#?}", house.sent);
    house.heard();
    house.wants(&format!(r#"{{"do":"register","push":"{}"}}"#, "x".repeat(ENDPOINT_MAX + 1)));
    assert_eq!(house.heard(), [Said::Unwilling { id: 2, no: No::NotAnEndpoint }]);
}

#[test]
fn it_registers_with_a_pass_and_refreshes() {
    let mut house = House::new();
    house.wants(r#"{"do":"register"}"#);
    let register = house.one();
    for part in [
        "REGISTER sip:localhost SIP/2.0\r\n",
        "Via: SIP/2.0/WS 192.0.2.7:4711;rport;branch=",
        "Authorization: Bearer pass\r\n",
        "Contact: <sip:1001@192.0.2.7:4711;transport=ws>;+sip.instance=\"<urn:uuid:",
        "Expires: 120\r\n",
    ] {
        assert!(register.contains(part), "{part}: {register}");
    }
    house.answer(&register, 200, "");
    assert_eq!(house.heard(), [Said::Done { id: 1, call: None }, Said::Registered]);
    house.now = house.desk.deadline().unwrap();
    house.feed(Event::Pass(Secret::new("fresh".into())));
    house.feed(Event::Deadline);
    let again = house.one();
    assert!(again.contains("CSeq: 2 REGISTER") && again.contains("Bearer fresh"), "{again}");
    house.answer(&again, 503, "");
    assert!(matches!(&house.heard()[..], [Said::Unreachable { status: 503, retries: true, .. }]));
    assert_eq!(house.desk.deadline(), Some(house.now + RETRY));
    house.wants(r#"{"do":"unregister"}"#);
    assert!(house.one().contains("Expires: 0\r\n"));
}

#[test]
fn a_call_rings_is_answered_changed_and_ended() {
    let mut house = House::new();
    house.wants(&serde_json::json!({"do": "call", "to": "1002", "sdp": SDP}).to_string());
    let invite = house.one();
    assert!(invite.starts_with("INVITE sip:1002@localhost SIP/2.0\r\n") && invite.ends_with(SDP));
    let Said::Done { call: Some(call), .. } = house.heard().remove(0) else { panic!() };
    house.answer(&invite, 180, "");
    house.answer(&invite, 200, SDP);
    let ack = house.one();
    assert!(ack.starts_with("ACK ") && ack.contains("CSeq: 1 ACK"), "{ack}");
    let answered = Said::Answered { call: call.clone(), sdp: Some(SDP.into()) };
    assert_eq!(
        house.heard(),
        [Said::Ringing { call: call.clone(), status: 180, sdp: None }, answered]
    );
    // The success that comes again is acknowledged again, and nobody hears of it.
    house.answer(&invite, 200, SDP);
    assert_eq!(house.one(), ack);
    let hold = SDP.replace("v=0", "v=0\r\na=sendonly");
    house.wants(&serde_json::json!({"do": "change", "call": call, "sdp": hold}).to_string());
    let change = house.one();
    assert!(change.starts_with("INVITE ") && change.contains("CSeq: 2 INVITE"), "{change}");
    // One change at a time.
    house.wants(&serde_json::json!({"do": "change", "call": call, "sdp": hold}).to_string());
    house.answer(&change, 200, SDP);
    assert!(house.one().contains("CSeq: 2 ACK"));
    let said = house.heard();
    assert!(matches!(
        &said[..],
        [Said::Done { .. }, Said::Unwilling { no: No::WrongMoment, .. }, Said::Agreed { .. }]
    ));
    house.wants(&serde_json::json!({"do": "keys", "call": call, "keys": "1#"}).to_string());
    let keys: Vec<String> = house.sent.drain(..).collect();
    assert!(keys[0].contains("Signal=1\r\n") && keys[1].contains("Signal=#\r\n"), "{keys:?}");
    house.wants(&serde_json::json!({"do": "hangup", "call": call}).to_string());
    assert!(house.one().starts_with("BYE "));
    assert_eq!(house.desk.calls(), 0);
}

#[test]
fn who_gives_up_cancels_and_ends_what_was_answered_meanwhile() {
    let mut house = House::new();
    house.wants(&serde_json::json!({"do": "call", "to": "1002", "sdp": SDP}).to_string());
    let invite = house.one();
    let Said::Done { call: Some(call), .. } = house.heard().remove(0) else { panic!() };
    house.wants(&serde_json::json!({"do": "hangup", "call": call}).to_string());
    assert!(house.sent.is_empty(), "a CANCEL must not overtake its INVITE");
    house.answer(&invite, 100, "");
    let cancel = house.one();
    assert!(cancel.starts_with("CANCEL sip:1002@localhost"), "{cancel}");
    assert!(matches!(&house.heard()[..], [Said::Ended { why: Why::Ours, .. }, Said::Done { .. }]));
    house.answer(&invite, 200, SDP);
    assert!(house.sent[0].starts_with("ACK ") && house.sent[1].starts_with("BYE "));
    assert!(house.heard().is_empty());
}

#[test]
fn a_call_that_is_refused_says_why() {
    let mut house = House::new();
    house.wants(&serde_json::json!({"do": "call", "to": "9", "sdp": SDP}).to_string());
    let invite = house.one();
    house.answer(&invite, 404, "");
    assert!(house.one().starts_with("ACK sip:9@localhost"));
    let said = house.heard();
    assert!(matches!(said[1], Said::Ended { why: Why::Refused, status: 404, .. }), "{said:?}");
}

#[test]
fn it_rings_is_taken_held_by_them_and_ended_by_them() {
    let mut house = House::new();
    let (call, tag) = house.taken();
    let kind = "Content-Type: application/sdp\r\n";
    house.ask("INVITE", &call, 2, &tag, kind, SDP);
    assert!(house.one().starts_with("SIP/2.0 100"));
    assert_eq!(house.heard(), [Said::Change { call: call.clone(), sdp: Some(SDP.into()) }]);
    house.ask("INVITE", &call, 3, &tag, kind, SDP);
    assert!(house.one().starts_with("SIP/2.0 491"));
    house.wants(&serde_json::json!({"do": "agree", "call": call, "sdp": SDP}).to_string());
    assert!(house.one().starts_with("SIP/2.0 200"));
    house.heard();
    // An offer is asked for: the ACK brings the answer.
    house.ask("INVITE", &call, 4, &tag, "", "");
    assert!(house.one().starts_with("SIP/2.0 100"));
    assert_eq!(house.heard(), [Said::Change { call: call.clone(), sdp: None }]);
    house.wants(&serde_json::json!({"do": "agree", "call": call, "sdp": SDP}).to_string());
    house.heard();
    house.sent.clear();
    house.ask("ACK", &call, 4, &tag, kind, SDP);
    assert_eq!(house.heard(), [Said::Agreed { call: call.clone(), sdp: SDP.into() }]);
    house.ask("UPDATE", &call, 5, &tag, "", "");
    assert!(house.one().starts_with("SIP/2.0 200"));
    let relay = "Content-Type: application/dtmf-relay\r\n";
    house.ask("INFO", &call, 6, &tag, relay, "Signal=5\r\nDuration=160\r\n");
    assert!(house.one().starts_with("SIP/2.0 200"));
    house.ask("BYE", &call, 7, &tag, "", "");
    assert!(house.one().starts_with("SIP/2.0 200"));
    let said = house.heard();
    assert!(matches!(
        &said[..],
        [Said::Key { key: '5', .. }, Said::Ended { why: Why::Theirs, .. }]
    ));
}

#[test]
fn a_page_that_does_not_answer_a_change_refuses_it() {
    let mut house = House::new();
    let (call, tag) = house.taken();
    house.ask("INVITE", &call, 2, &tag, "Content-Type: application/sdp\r\n", SDP);
    house.sent.clear();
    house.now = house.desk.deadline().unwrap();
    house.feed(Event::Deadline);
    assert!(house.one().starts_with("SIP/2.0 480"));
    assert_eq!(house.desk.calls(), 1);
}

/// A page that was loaded again finds its calls where they stand, and offers anew.
#[test]
fn a_page_that_forgot_all_takes_its_calls_up() {
    let mut house = House::new();
    let (call, tag) = house.taken();
    house.ask("INVITE", &call, 2, &tag, TYPED, SDP);
    house.ask("INVITE", "two", 1, "", TYPED, SDP);
    house.wants(&serde_json::json!({"do": "call", "to": "1003", "sdp": SDP}).to_string());
    let said = house.heard();
    let [.., Said::Done { call: Some(ours), .. }] = &said[..] else { panic!("{said:?}") };
    house.feed(Event::Away);
    house.sent.clear();
    house.feed(Event::TakenUp);
    assert!(house.one().starts_with("SIP/2.0 491"), "nobody answers it any more");
    let kept = house.desk.kept();
    let standing = |id: &str| kept.iter().find(|kept| kept.call == id).unwrap();
    assert_eq!(kept.len(), 3);
    assert_eq!(standing(&call).standing, Standing::Talking);
    assert_eq!(standing(&call).peer, "sip:1002@localhost");
    assert_eq!(standing(ours).standing, Standing::Calling);
    assert_eq!(standing(ours).peer, "sip:1003@localhost");
    let rings = standing("two");
    assert_eq!((rings.standing, &*rings.name), (Standing::Incoming, "Ada"));
    assert_eq!(rings.sdp.as_deref(), Some(SDP));
    house.wants(&serde_json::json!({"do": "change", "call": call, "sdp": SDP}).to_string());
    let invite = house.one();
    assert!(invite.starts_with("INVITE ") && invite.contains(&format!("tag={tag}")), "{invite}");
    house.answer(&invite, 200, SDP);
    let said = house.heard();
    assert!(said.contains(&Said::Agreed { call, sdp: SDP.into() }), "{said:?}");
}

#[test]
fn the_caller_may_give_up_and_another_device_may_answer() {
    let mut house = House::new();
    for (call, reason, expected) in
        [("a", "", Why::Cancelled), ("b", "Reason: SIP;cause=200\r\n", Why::AnsweredElsewhere)]
    {
        house.ask("INVITE", call, 1, "", "", "");
        house.heard();
        house.sent.clear();
        house.ask("CANCEL", call, 1, "", reason, "");
        assert!(
            house.sent[0].starts_with("SIP/2.0 200") && house.sent[1].starts_with("SIP/2.0 487")
        );
        let said = house.heard();
        assert!(matches!(&said[..], [Said::Ended { why, .. }] if *why == expected), "{said:?}");
        house.sent.clear();
    }
}

#[test]
fn it_gives_calls_away_blindly_and_attended() {
    let mut house = House::new();
    let (call, tag) = house.taken();
    house.wants(&serde_json::json!({"do": "transfer", "call": call, "to": "1003"}).to_string());
    let refer = house.one();
    assert!(refer.contains("Refer-To: <sip:1003@localhost>\r\n"), "{refer}");
    house.answer(&refer, 202, "");
    house.wants(&serde_json::json!({"do": "call", "to": "1003", "sdp": SDP}).to_string());
    let invite = house.one();
    let other = house.said.iter().find_map(|said| match said {
        Said::Done { call, .. } => call.clone(),
        _ => None,
    });
    let other = other.unwrap();
    let wanted = serde_json::json!({"do": "transfer", "call": call, "with": other}).to_string();
    house.wants(&wanted);
    assert!(matches!(house.said.last(), Some(Said::Unwilling { no: No::WrongMoment, .. })));
    house.answer(&invite, 200, SDP);
    house.sent.clear();
    house.wants(&wanted);
    let refer = house.one();
    let named = format!("<sip:1003@localhost?Replaces={other}%3Bto-tag%3Dtheirs%3Bfrom-tag%3D");
    assert!(refer.contains(&named), "{refer}");
    house.heard();
    let event = "Event: refer\r\nSubscription-State: active\r\nContent-Type: message/sipfrag\r\n";
    house.ask("NOTIFY", &call, 2, &tag, event, "SIP/2.0 180 Ringing\r\n");
    house.ask("NOTIFY", &call, 3, &tag, event, "SIP/2.0 200 OK\r\n");
    let said = house.heard();
    assert!(matches!(
        &said[..],
        [
            Said::Transfer { status: 180, .. },
            Said::Transfer { status: 200, .. },
            Said::Ended { why: Why::Ours, .. }
        ]
    ));
    assert!(house.sent.last().unwrap().starts_with("BYE "));
}

#[test]
fn limits_are_answered() {
    let mut house = House::new();
    for number in 0..CALLS_MAX {
        house.ask("INVITE", &format!("c{number}"), 1, "", "", "");
    }
    house.sent.clear();
    house.ask("INVITE", "late", 1, "", "", "");
    assert!(house.one().starts_with("SIP/2.0 486"));
    house.heard();
    for (command, no) in [
        (serde_json::json!({"do": "call", "to": "1", "sdp": SDP}), No::TooMany),
        (serde_json::json!({"do": "call", "to": "", "sdp": SDP}), No::NotAnAddress),
        (serde_json::json!({"do": "call", "to": "a@b>c", "sdp": SDP}), No::NotAnAddress),
        (serde_json::json!({"do": "call", "to": "1", "sdp": ""}), No::NotADescription),
        (serde_json::json!({"do": "answer", "call": "x", "sdp": SDP}), No::NoSuchCall),
        (serde_json::json!({"do": "keys", "call": "c0", "keys": "x"}), No::NotAnAddress),
        (serde_json::json!({"do": "transfer", "call": "c0"}), No::NotAnAddress),
        (serde_json::json!({"do": "change", "call": "c0", "sdp": SDP}), No::WrongMoment),
    ] {
        house.wants(&command.to_string());
        let said = house.heard();
        assert!(
            matches!(&said[..], [Said::Unwilling { no: found, .. }] if *found == no),
            "{said:?}"
        );
    }
}

#[test]
fn who_closes_ends_everything() {
    let mut house = House::new();
    house.wants(r#"{"do":"register"}"#);
    let register = house.one();
    house.answer(&register, 200, "");
    house.heard();
    house.taken();
    house.ask("INVITE", "two", 1, "", "", "");
    house.sent.clear();
    house.feed(Event::Close);
    let all = house.sent.join("\n");
    for part in ["BYE ", "SIP/2.0 603", "Expires: 0"] {
        assert!(all.contains(part), "{part}: {all}");
    }
    assert!(!house.closed);
    for request in house.sent.clone() {
        let message = Message::decode(request.as_bytes(), Framing::Datagram).unwrap();
        if message.is_request() && message.method() != Method::Ack {
            house.answer(&request, 200, "");
        }
    }
    assert!(house.closed);
}

#[test]
fn what_a_page_missed_is_said_again() {
    let mut line = Line::default();
    let say = |line: &mut Line| line.write(&Said::Registered, |_| serde_json::Value::Null);
    let first = say(&mut line);
    assert_eq!(first, r#"{"event":"registered","n":1}"#);
    let second = say(&mut line);
    assert_eq!(line.after(0), Ok(vec![first, second.clone()]));
    assert_eq!(line.after(1), Ok(vec![second]));
    assert_eq!(line.after(2), Ok(vec![]));
    assert_eq!(line.after(3), Err(Gap));
    for _ in 0..EVENTS_KEPT {
        say(&mut line);
    }
    assert_eq!(line.after(1), Err(Gap));
    assert_eq!(line.after(2).unwrap().len(), EVENTS_KEPT);
}

/// Whatever a page or the switchboard says, the desk goes on.
#[test]
fn nonsense_is_answered_or_dropped() {
    let mut rng = Rng::from_number(11);
    let mut house = House::new();
    let (call, tag) = house.taken();
    let samples = [
        format!("INVITE sip:1001@192.0.2.7 SIP/2.0\r\nVia: SIP/2.0/WS 127.0.0.1:5060;branch=z9hG4bKq\r\nFrom: <sip:1002@localhost>;tag=theirs\r\nTo: <sip:1001@localhost>;tag={tag}\r\nCall-ID: {call}\r\nCSeq: 9 INVITE\r\nContact: <sip:127.0.0.1>\r\nContent-Length: 0\r\n\r\n"),
        "SIP/2.0 200 OK\r\nVia: SIP/2.0/WS 192.0.2.7:4711;branch=z9hG4bKq\r\nFrom: <sip:1001@localhost>;tag=a\r\nTo: <sip:1002@localhost>;tag=b\r\nCall-ID: one\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n".to_owned(),
    ];
    let command = serde_json::json!({"id": 1, "do": "call", "to": "1002", "sdp": SDP}).to_string();
    for round in 0..20_000 {
        let mut bytes =
            if round % 3 == 2 { command.clone() } else { samples[round % 3].clone() }.into_bytes();
        for _ in 0..=rng.below(4) {
            let place = rng.below(bytes.len() as u64) as usize;
            match rng.below(3) {
                0 => bytes[place] = rng.below(256) as u8,
                1 => drop(bytes.drain(place..(place + 1 + rng.below(9) as usize).min(bytes.len()))),
                _ => bytes.insert(place, b"\r\n;:<>\"\0"[rng.below(8) as usize]),
            }
            if bytes.is_empty() {
                bytes.push(b'x');
            }
        }
        if round % 3 == 2 {
            if let Ok((id, command)) = Line::read(&String::from_utf8_lossy(&bytes)) {
                house.feed(Event::Command { id, command });
            }
        } else {
            house.desk.handle(Event::Received(bytes), house.now);
            while house.desk.poll().is_some() {}
        }
        house.sent.clear();
        house.said.clear();
        if round % 64 == 0 {
            house.now = house.now + Duration::from_secs(200);
            house.feed(Event::Deadline);
        }
    }
}
