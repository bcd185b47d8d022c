//! One phone against a script: what it is told, what the server sends, what it must do.

use std::net::SocketAddr;
use std::time::Duration;

use sip::{Framing, Message, Name};
use types::{Instant, Rng, Seconds, Secret};

use crate::{Action, Config, Event, Phone, PhoneEvent, Push};

pub fn server() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 5060))
}

pub fn config() -> Config {
    let contact = SocketAddr::from(([192, 0, 2, 9], 5070));
    let media = SocketAddr::from(([192, 0, 2, 9], 4000));
    let mut config = Config::new("1001", "example.org", contact, media);
    config.server = Some(server());
    config.password = Secret::new("wonderland".to_owned());
    config
}

/// One phone and what it did since it was looked at.
pub struct Bench {
    pub phone: Phone,
    pub now: Instant,
    pub sent: Vec<String>,
    pub said: Vec<PhoneEvent>,
    pub done: Vec<Action>,
}

impl Bench {
    pub fn new(config: Config) -> Self {
        let phone = Phone::new(config, Rng::from_number(1));
        let now = Instant::default();
        Self { phone, now, sent: Vec::new(), said: Vec::new(), done: Vec::new() }
    }

    pub fn event(&mut self, event: Event) {
        (self.sent, self.said, self.done) = Default::default();
        self.phone.handle(event, self.now);
        while let Some(action) = self.phone.poll() {
            match action {
                Action::Send { to, bytes } => {
                    assert_eq!(to, server());
                    self.sent.push(String::from_utf8(bytes).unwrap());
                }
                Action::Said(event) => self.said.push(event),
                other => self.done.push(other),
            }
        }
    }

    pub fn receive(&mut self, text: &str) {
        self.event(Event::Received { from: server(), bytes: text.as_bytes().to_vec() });
    }

    /// Lets time pass to the next deadline.
    pub fn pass(&mut self) {
        self.now = self.phone.deadline().expect("a deadline").max(self.now);
        self.event(Event::Deadline);
    }

    #[track_caller]
    pub fn one(&self) -> &str {
        assert_eq!(self.sent.len(), 1, "{:?} {:?}", self.sent, self.said);
        &self.sent[0]
    }

    /// Answers the one message that was sent.
    #[track_caller]
    pub fn respond(&mut self, status: u16, extra: &str) {
        let text = response(self.one(), status, extra, "");
        self.receive(&text);
    }
}

pub fn response(request: &str, status: u16, extra: &str, body: &str) -> String {
    let message = Message::decode(request.as_bytes(), Framing::Datagram).unwrap();
    let line = |name| String::from_utf8(message.first(name).unwrap().to_vec()).unwrap();
    let tag = if line(Name::To).contains("tag=") || status == 100 { "" } else { ";tag=theirs" };
    format!(
        "SIP/2.0 {status} Said So\r\nVia: {}\r\nFrom: {}\r\nTo: {}{tag}\r\nCall-ID: {}\r\n\
         CSeq: {}\r\n{extra}Content-Length: {}\r\n\r\n{body}",
        line(Name::Via),
        line(Name::From),
        line(Name::To),
        line(Name::CallId),
        line(Name::CSeq),
        body.len()
    )
}

pub const SDP: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
    m=audio 20000 RTP/AVP 8 101\r\na=rtpmap:101 telephone-event/8000\r\n";

pub fn request(method: &str, call_id: &str, branch: &str, extra: &str, body: &str) -> String {
    let to_tag = extra.split("TAG=").nth(1).map_or(String::new(), |tag| format!(";tag={tag}"));
    let extra = if to_tag.is_empty() { extra } else { "" };
    let cseq = match method {
        "INVITE" | "ACK" | "CANCEL" => 7,
        _ => 8,
    };
    format!(
        "{method} sip:1001@192.0.2.9:5070 SIP/2.0\r\n\
         Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK{branch}\r\nMax-Forwards: 70\r\n\
         From: \"Bob\" <sip:1002@example.org>;tag=bob\r\nTo: <sip:1001@example.org>{to_tag}\r\n\
         Call-ID: {call_id}\r\nCSeq: {cseq} {method}\r\nContact: <sip:192.0.2.1:5060>\r\n\
         {extra}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The value of a header.
#[track_caller]
pub fn header<'a>(message: &'a str, name: &str) -> &'a str {
    let find = |line: &&'a str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(": "));
    let line = message.lines().find(find).unwrap_or_else(|| panic!("no {name} in {message}"));
    &line[name.len() + 2..]
}

fn challenge(nonce: &str, stale: bool) -> String {
    let value =
        sip::digest::challenge_header("example.org", nonce, sip::digest::Algorithm::Md5, stale);
    format!("WWW-Authenticate: {value}\r\n")
}

#[test]
fn registering_answers_the_challenge_counts_and_refreshes() {
    let mut bench = Bench::new(config());
    bench.event(Event::Register);
    assert!(bench.one().starts_with("REGISTER sip:example.org SIP/2.0\r\n"));
    assert!(!bench.one().contains("Authorization"));
    bench.respond(401, &challenge("n1", false));
    assert_eq!(header(bench.one(), "CSeq"), "2 REGISTER");
    assert!(header(bench.one(), "Authorization").contains("nc=00000001"));
    let contact = header(bench.one(), "Contact").to_owned();
    assert!(contact.starts_with("<sip:1001@192.0.2.9:5070>;+sip.instance="), "{contact}");
    bench.respond(
        200,
        &format!("Contact: {contact};expires=100\r\nContact: <sip:x@y>;expires=9\r\n"),
    );
    assert_eq!(bench.said, [PhoneEvent::Registered { expires: 100, push: false }]);
    assert!(bench.phone.is_registered());
    bench.pass(); // Timer K.
    assert!(bench.sent.is_empty());
    bench.pass();
    while bench.sent.is_empty() {
        bench.pass();
    }
    assert_eq!(bench.now, Instant::seconds(75));
    assert!(header(bench.one(), "Authorization").contains("nc=00000002"));
    // The nonce was too old: once more with the new one.
    bench.respond(401, &challenge("n2", true));
    assert!(header(bench.one(), "Authorization").contains("nc=00000001"));
    bench.respond(200, "Expires: 60\r\n");
    assert_eq!(bench.said, [PhoneEvent::Registered { expires: 60, push: false }]);
    bench.event(Event::Unregister);
    assert_eq!(header(bench.one(), "Expires"), "0");
    bench.respond(200, "");
    assert_eq!(bench.said, [PhoneEvent::Unregistered]);
    assert!(!bench.phone.is_registered());
}

#[test]
fn a_wrong_password_is_tried_once_and_faults_are_tried_again() {
    let mut bench = Bench::new(config());
    bench.event(Event::Register);
    bench.respond(401, &challenge("n1", false));
    bench.respond(401, &challenge("n2", false));
    let failed = |status, retries| PhoneEvent::RegistrationFailed {
        status,
        reason: "Said So".to_owned(),
        warning: Some("push.gone CAR-1".to_owned()).filter(|_| status == 503),
        retries,
    };
    assert_eq!((bench.sent.len(), &bench.said[..]), (0, &[failed(401, false)][..]));
    bench.event(Event::Register);
    bench.respond(423, "Min-Expires: 7200\r\n");
    assert_eq!(header(bench.one(), "Expires"), "7200");
    bench.respond(503, "Retry-After: 40\r\nWarning: 399 carillon \"push.gone CAR-1\"\r\n");
    assert_eq!(bench.said, [failed(503, true)]);
    let failed_at = bench.now;
    while bench.sent.is_empty() {
        bench.pass();
    }
    let waited = bench.now.since(failed_at);
    assert!((40..=50).contains(&waited.as_secs()), "{waited:?}");
    assert!(bench.one().starts_with("REGISTER"));
}

#[test]
fn a_call_answers_two_realms_and_tells_why_it_failed() {
    let mut bench = Bench::new(config());
    bench.event(Event::Call { uri: "sip:1002@example.org".to_owned() });
    assert_eq!(header(bench.one(), "CSeq"), "1 INVITE");
    let invite = bench.one().to_owned();
    let proxy = challenge("p1", false).replace("WWW-", "Proxy-").replace("example.org", "gate");
    bench.receive(&response(&invite, 407, &proxy, ""));
    assert_eq!(bench.sent.len(), 2, "ACK and INVITE");
    let again = bench.sent.iter().find(|sent| sent.starts_with("INVITE")).unwrap().clone();
    assert_eq!(header(&again, "CSeq"), "2 INVITE");
    assert_eq!(header(&again, "From"), header(&invite, "From"));
    assert!(header(&again, "Proxy-Authorization").contains("realm=\"gate\""));
    bench.receive(&response(&again, 401, &challenge("w1", false), ""));
    let third = bench.sent.iter().find(|sent| sent.starts_with("INVITE")).unwrap().clone();
    assert!(header(&third, "Proxy-Authorization").contains("nc=00000002"));
    assert!(header(&third, "Authorization").contains("nc=00000001"));
    bench.receive(&response(&third, 183, "Warning: 399 carillon \"waking\"\r\n", SDP));
    assert!(
        matches!(&bench.said[..], [PhoneEvent::Ringing { status: 183, warning: Some(w), .. }] if w == "waking")
    );
    assert!(matches!(&bench.done[..], [Action::Media(crate::Media::Start(_))]));
    let warning = "Warning: 399 carillon \"calls.no_such_user CAR-2001\"\r\n";
    bench.receive(&response(&third, 404, warning, ""));
    assert!(bench.one().starts_with("ACK sip:1002@example.org"));
    assert!(matches!(
        &bench.said[..],
        [PhoneEvent::Ended { why: crate::Why::Refused, status: 404, warning: Some(w), .. }]
            if w == "calls.no_such_user CAR-2001"
    ));
    assert!(matches!(&bench.done[..], [Action::Media(crate::Media::Stop)]));
}

#[test]
fn a_success_is_acknowledged_each_time_and_other_branches_are_ended() {
    let mut bench = Bench::new(config());
    bench.event(Event::Call { uri: "sip:1002@example.org".to_owned() });
    let invite = bench.one().to_owned();
    let success = response(&invite, 200, "Contact: <sip:1002@192.0.2.1>\r\n", SDP);
    bench.receive(&success);
    let ack = bench.one().to_owned();
    assert!(ack.starts_with("ACK sip:1002@192.0.2.1 SIP/2.0"));
    assert!(bench.phone.is_talking());
    bench.receive(&success);
    assert_eq!(bench.one(), ack);
    bench.receive(&success.replace("theirs", "other"));
    assert_eq!(bench.sent.len(), 2);
    assert!(bench.sent[0].starts_with("ACK") && bench.sent[1].starts_with("BYE"));
    assert!(bench.phone.is_talking());
}

#[test]
fn requests_of_the_server_are_answered_and_strangers_are_not() {
    let mut bench = Bench::new(config());
    let statuses = |bench: &Bench| -> Vec<String> {
        bench.sent.iter().map(|sent| sent[8..11].to_owned()).collect()
    };
    for (text, expected) in [
        (request("OPTIONS", "o", "o", "", ""), "200"),
        (request("MESSAGE", "m", "m", "", ""), "405"),
        (request("WINK", "w", "w", "", ""), "501"),
        (request("BYE", "b", "b", "", ""), "481"),
        (request("CANCEL", "c", "c", "", ""), "481"),
        (request("INVITE", "r", "r", "Require: 100rel\r\n", SDP), "420"),
        (request("INVITE", "v", "v", "", &SDP.replace("8 101", "18")), "488"),
        (request("INVITE", "t", "t", "TAG=guessed", SDP), "481"),
    ] {
        bench.receive(&text);
        assert_eq!(statuses(&bench), [expected], "{text}");
        assert_eq!(bench.said, []);
        let first = bench.sent.clone();
        bench.receive(&text);
        assert_eq!(bench.sent, first, "the same answer again: {text}");
    }
    bench.receive(&request("OPTIONS", "x", "x", "", "").replace("8 OPTIONS", "8 BYE"));
    assert_eq!(statuses(&bench), ["400"]);
    bench.receive(&request("ACK", "a", "a", "", ""));
    assert_eq!(bench.sent.len(), 0);
    let stranger = SocketAddr::from(([203, 0, 113, 5], 5060));
    let bytes = request("INVITE", "s", "s", "", SDP).into_bytes();
    bench.event(Event::Received { from: stranger, bytes });
    assert_eq!((bench.sent.len(), bench.said.len()), (0, 0));
}

#[test]
fn one_call_rings_and_a_second_hears_busy() {
    let mut bench = Bench::new(config());
    let extra = "Call-Info: <http://192.0.2.1/face.webp>;purpose=icon\r\n";
    bench.receive(&request("INVITE", "one", "1", extra, SDP));
    assert!(bench.one().starts_with("SIP/2.0 180 "));
    let icon = Some("http://192.0.2.1/face.webp".to_owned());
    assert_eq!(
        bench.said,
        [PhoneEvent::Incoming {
            call_id: "one".to_owned(),
            from: "sip:1002@example.org".to_owned(),
            name: "Bob".to_owned(),
            call_info: icon,
            pushed: false,
        }]
    );
    bench.receive(&request("INVITE", "two", "2", "", SDP));
    assert!(bench.one().starts_with("SIP/2.0 486 "));
    bench.receive(&request("INVITE", "one", "3", "", SDP));
    assert!(bench.one().starts_with("SIP/2.0 482 "));
    let cancel = request("CANCEL", "one", "1", "", "")
        .replace("Content-Length", "Reason: SIP;cause=200\r\nContent-Length");
    bench.receive(&cancel);
    assert_eq!(bench.sent.len(), 2);
    assert!(bench.sent[0].starts_with("SIP/2.0 200 "));
    assert!(bench.sent[1].starts_with("SIP/2.0 487 "));
    assert!(matches!(
        &bench.said[..],
        [PhoneEvent::Ended { why: crate::Why::AnsweredElsewhere, .. }]
    ));
    bench.receive(&request("ACK", "one", "1", "", ""));
    assert_eq!((bench.sent.len(), bench.phone.offered.len()), (0, 3));
}

#[test]
fn an_answer_is_repeated_until_its_ack_and_keys_come_by_info() {
    let mut bench = Bench::new(config());
    bench.receive(&request("INVITE", "one", "1", "Record-Route: <sip:192.0.2.1;lr>\r\n", SDP));
    bench.event(Event::Answer);
    let answer = bench.one().to_owned();
    assert!(answer.starts_with("SIP/2.0 200 OK"));
    assert_eq!(header(&answer, "Record-Route"), "<sip:192.0.2.1;lr>");
    assert!(answer.contains("m=audio 4000 RTP/AVP 8 101\r\n"), "{answer}");
    let tag = header(&answer, "To").split("tag=").nth(1).unwrap().to_owned();
    bench.pass();
    assert_eq!(bench.one(), answer);
    bench.receive(&request("ACK", "one", "ack", &format!("TAG={tag}"), ""));
    assert_eq!(bench.sent.len(), 0);
    let info =
        request("INFO", "one", "info", &format!("TAG={tag}"), "Signal=5\r\nDuration=160\r\n")
            .replace("Content-Length", "Content-Type: application/dtmf-relay\r\nContent-Length");
    bench.receive(&info);
    assert_eq!(bench.said, [PhoneEvent::Key('5')]);
    let bye = request("BYE", "one", "bye", &format!("TAG={tag}"), "").replace("8 BYE", "9 BYE");
    bench.receive(&bye);
    assert!(bench.one().starts_with("SIP/2.0 200 OK"));
    assert!(matches!(&bench.said[..], [PhoneEvent::Ended { why: crate::Why::Theirs, .. }]));
}

#[test]
fn without_an_ack_the_call_is_ended() {
    let mut bench = Bench::new(config());
    bench.receive(&request("INVITE", "one", "1", "", SDP));
    bench.event(Event::Answer);
    bench.pass();
    while bench.said.is_empty() {
        bench.pass();
    }
    assert!(bench.now >= Instant::seconds(32));
    assert!(bench.one().starts_with("BYE sip:192.0.2.1:5060"));
    assert!(matches!(&bench.said[..], [PhoneEvent::Ended { why: crate::Why::Unreachable, .. }]));
}

#[test]
fn an_offer_may_come_with_the_ack() {
    let mut bench = Bench::new(config());
    bench.receive(&request("INVITE", "one", "1", "", ""));
    bench.event(Event::Answer);
    assert!(bench.one().contains("m=audio 4000 RTP/AVP 0 8 101\r\n"));
    assert_eq!(bench.done, []);
    let tag = header(bench.one(), "To").split("tag=").nth(1).unwrap().to_owned();
    bench.receive(&request("ACK", "one", "ack", &format!("TAG={tag}"), SDP));
    assert!(
        matches!(&bench.done[..], [Action::Media(crate::Media::Start(stream))] if stream.payload_type == 8)
    );
}

#[test]
fn a_lost_stream_is_opened_again_and_the_phone_says_where_it_is() {
    let mut config = config();
    config.transport = types::Transport::Tcp;
    let mut bench = Bench::new(config);
    bench.event(Event::Register);
    bench.respond(200, "Expires: 3600\r\n");
    bench.event(Event::Lost);
    assert_eq!(bench.done, [Action::Open]);
    let contact = SocketAddr::from(([192, 0, 2, 9], 6000));
    bench.event(Event::Opened { contact });
    let contacts: Vec<&str> =
        bench.one().lines().filter(|line| line.starts_with("Contact: ")).collect();
    assert!(contacts[0].starts_with("Contact: <sip:1001@192.0.2.9:5070;transport=tcp>"));
    assert!(contacts[0].ends_with(";expires=0"), "{contacts:?}");
    assert!(contacts[1].starts_with("Contact: <sip:1001@192.0.2.9:6000;transport=tcp>"));
}

#[test]
fn push_parameters_stand_in_the_contact() {
    let mut config = config();
    config.push = Some(Push {
        provider: "webpush".to_owned(),
        prid: "https://push.example/a;b=c".to_owned(),
        param: Some("vapid".to_owned()),
    });
    config.expires = Seconds(60);
    let mut bench = Bench::new(config);
    bench.event(Event::Register);
    assert!(header(bench.one(), "Contact").starts_with(
        "<sip:1001@192.0.2.9:5070;pn-provider=webpush;pn-prid=https://push.example/a%3Bb%3Dc;pn-param=vapid>"
    ));
    bench.respond(200, "Feature-Caps: *;+sip.pns=\"webpush\"\r\n");
    assert_eq!(bench.said, [PhoneEvent::Registered { expires: 60, push: true }]);
    bench.event(Event::Register);
    bench.respond(555, "");
    assert!(matches!(
        &bench.said[..],
        [PhoneEvent::RegistrationFailed { status: 555, retries: false, .. }]
    ));
}

#[test]
fn hostile_bytes_never_panic() {
    let mut rng = Rng::from_number(486);
    let invite = request("INVITE", "one", "1", "", SDP);
    for round in 0..4_000 {
        let mut bench = Bench::new(config());
        bench.event(Event::Call { uri: "sip:1002@example.org".to_owned() });
        let sent = bench.one().to_owned();
        let seeds = [invite.clone(), response(&sent, 200, "Contact: <sip:192.0.2.1>\r\n", SDP)];
        for _ in 0..2 {
            let mut bytes = seeds[round % 2].clone().into_bytes();
            for _ in 0..=rng.below(4) {
                let at = rng.below(bytes.len() as u64) as usize;
                match rng.below(3) {
                    0 => bytes[at] = rng.next_u64() as u8,
                    1 => bytes.insert(at, b"<>;?@:,\"="[rng.below(9) as usize]),
                    _ => drop(bytes.remove(at)),
                }
            }
            bench.phone.handle(Event::Received { from: server(), bytes }, bench.now);
            bench.phone.handle(Event::Answer, bench.now);
            while bench.phone.poll().is_some() {}
            bench.now = bench.now + Duration::from_millis(600);
            bench.phone.handle(Event::Deadline, bench.now);
        }
    }
}

#[test]
fn a_phone_is_small() {
    assert!(size_of::<Phone>() <= 1_500, "{} octets", size_of::<Phone>());
}
