//! Calls that are put through: by a document, and by phones that talk in a `<Dial>`.

mod common;

use common::*;
use driver::Phones;
use driver::phones::reply_to;
use driver::text::header;
use switchboard::Output;

/// A caller whose program runs this; the 200 that he got.
fn runs(house: &mut Phones, inner: &str) -> (driver::Out, String) {
    let (out, _) = called(house);
    let (ticket, _) = fetch(&out);
    let out = house.reply(ticket, document(inner));
    let ok = out.sent().into_iter().find(|text| text.starts_with("SIP/2.0 200"));
    (out, ok.unwrap_or_default())
}

/// A request of the phone that was asked, in the dialog of what it was asked.
fn within(method: &str, asked: &str, cseq: u32, more: &str, body: &str) -> String {
    format!(
        "{method} sip:x@198.51.100.1:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKw{cseq}\r\nMax-Forwards: 70\r\n\
         From: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\n{more}Content-Length: {}\r\n\r\n{body}",
        header(asked, "To"),
        header(asked, "From"),
        header(asked, "Call-ID"),
        body.len(),
    )
}

fn notify(asked: &str, cseq: u32, line: &str) -> String {
    let more = "Event: refer\r\nSubscription-State: active;expires=60\r\nContent-Type: message/sipfrag\r\n";
    within("NOTIFY", asked, cseq, more, line)
}

#[test]
fn a_phone_is_asked_to_call_somebody_else_and_tells_how_that_went() {
    let mut house = house();
    let refer = "<Refer action='/over'><Sip>sip:bob@example.org?x-why=1</Sip></Refer>";
    let (out, ok) = runs(&mut house, refer);
    assert_eq!(out.requests("REFER"), Vec::<String>::new(), "not before his ACK");
    let out = house.say(1, &in_dialog("ACK", &ok, 1));
    let asked = out.requests("REFER").pop().expect("now");
    assert_eq!(header(&asked, "Refer-To"), "<sip:bob@example.org?x-why=1>");
    assert!(header(&asked, "Referred-By").contains("+15550100"), "{asked}");
    house.say(1, &reply_to(&asked, "202 Accepted", ""));
    let out = house.say(1, &notify(&asked, 2, "SIP/2.0 180 Ringing\r\n"));
    assert!(out.sent().iter().any(|text| text.starts_with("SIP/2.0 200")), "{:?}", out.sent());
    assert!(out.list.iter().all(|output| !matches!(output, Output::Fetch { .. })));
    let out = house.say(1, &notify(&asked, 3, "SIP/2.0 486 Busy Here\r\n"));
    let (ticket, question) = fetch(&out);
    assert_eq!(&*question.url, "http://app.example/over");
    assert_eq!(said(question, "ReferCallStatus"), "busy");
    assert_eq!(said(question, "ReferSipResponseCode"), "202");
    assert_eq!(said(question, "NotifySipResponseCode"), "486");
    // What comes later belongs to nobody; the call goes on.
    let out = house.say(1, &notify(&asked, 4, "SIP/2.0 200 OK\r\n"));
    assert!(out.sent().iter().any(|text| text.starts_with("SIP/2.0 481")));
    let out = house.reply(ticket, document("<Hangup/>"));
    assert_eq!(out.requests("BYE").len(), 1);
}

#[test]
fn a_wish_that_is_refused_or_comes_to_nothing_is_told() {
    for (answer, passes, word, code) in
        [("603 Decline", 0, "failed", "603"), ("202 Accepted", 181, "no-answer", "202")]
    {
        let mut house = house();
        let (_, ok) =
            runs(&mut house, "<Refer action='/over'><Sip>sip:bob@example.org</Sip></Refer>");
        let out = house.say(1, &in_dialog("ACK", &ok, 1));
        let asked = out.requests("REFER").pop().expect("asked");
        let mut out = house.say(1, &reply_to(&asked, answer, ""));
        out.add(house.seconds(passes));
        let (_, question) = fetch(&out);
        assert_eq!(
            (&*said(question, "ReferCallStatus"), &*said(question, "ReferSipResponseCode")),
            (word, code)
        );
    }
    // A phone that makes no subscription is believed; one that hangs up has done as it was asked.
    let mut house = house();
    let (_, ok) = runs(&mut house, "<Refer action='/over'><Sip>sip:bob@example.org</Sip></Refer>");
    let out = house.say(1, &in_dialog("ACK", &ok, 1));
    let asked = out.requests("REFER").pop().expect("asked");
    house.say(1, &reply_to(&asked, "202 Accepted", ""));
    house.say(1, &notify(&asked, 2, "SIP/2.0 100 Trying\r\n"));
    let out = house.say(1, &within("BYE", &asked, 3, "", ""));
    let (_, question) = fetch(&out);
    assert_eq!(
        (&*question.url, &*said(question, "ReferCallStatus")),
        ("http://app.example/over", "in-progress")
    );
}

#[test]
fn nobody_else_notifies_a_call() {
    let mut house = house();
    let (_, ok) = runs(&mut house, "<Say>a</Say>");
    house.say(1, &in_dialog("ACK", &ok, 1));
    let own = in_dialog("NOTIFY", &ok, 2);
    let out = house.say(1, &own.replace("Content-Length", "Event: refer\r\nContent-Length"));
    assert!(out.sent().iter().any(|text| text.starts_with("SIP/2.0 481")), "{:?}", out.sent());
}

const DIAL: &str = "<Dial action='/done' referUrl='/moved'><Client>bob</Client></Dial>";
const TO_CAROL: &str = "Refer-To: <sip:carol@example.org>\r\nContact: <sip:p@192.0.2.9>\r\n";

#[test]
fn who_was_dialled_puts_the_caller_through() {
    let mut house = house();
    for name in ["bob", "carol"] {
        house.bind(name, if name == "bob" { 2 } else { 3 });
    }
    let (out, ok) = runs(&mut house, DIAL);
    house.say(1, &in_dialog("ACK", &ok, 1));
    let invite = out.requests("INVITE").pop().expect("bob is called");
    let out = house.say(2, &ok_with_sound(&invite, "bob", 2));
    let ack = out.requests("ACK").pop().expect("an ACK");
    let refer = within("REFER", &ack, 7, TO_CAROL, "").replace("192.0.2.1;", "192.0.2.2;");
    let out = house.say(2, &refer);
    assert!(out.sent().iter().any(|text| text.starts_with("SIP/2.0 202")), "{:?}", out.sent());
    let told = out.requests("NOTIFY").pop().expect("it is told");
    assert!(told.contains("Event: refer;id=7") && told.ends_with("SIP/2.0 200 OK\r\n"), "{told}");
    assert_eq!(out.requests("BYE").len(), 1, "bob is let go");
    let (ticket, question) = fetch(&out);
    assert_eq!(&*question.url, "http://app.example/moved");
    assert_eq!(said(question, "ReferTransferTarget"), "sip%3Acarol%40example.org");
    let out = house.reply(ticket, document("<Dial><Client>carol</Client></Dial>"));
    assert!(out.requests("INVITE").pop().is_some_and(|text| text.contains("carol")));
}

#[test]
fn a_caller_who_puts_the_call_through_leaves_the_other_in_his_place() {
    let mut house = house();
    house.bind("bob", 2);
    let (out, ok) = runs(&mut house, DIAL);
    house.say(1, &in_dialog("ACK", &ok, 1));
    let invite = out.requests("INVITE").pop().expect("bob is called");
    let out = house.say(2, &ok_with_sound(&invite, "bob", 2));
    let ack = out.requests("ACK").pop().expect("an ACK");
    let refer =
        in_dialog("REFER", &ok, 2).replace("Content-Length", &format!("{TO_CAROL}Content-Length"));
    let out = house.say(1, &refer);
    let bye = out.requests("BYE").pop().expect("the caller is let go");
    assert_eq!(header(&bye, "Call-ID"), header(&ok, "Call-ID"));
    let moves = |command: &media::Command| matches!(command, media::Command::Move { seat, place, .. } if seat.0 == 3 && *place == media::Seat::FIRST_GUEST);
    assert!(media(&out).iter().any(moves), "{:?}", media(&out));
    let (ticket, _) = fetch(&out);
    // The program goes on with bob, whose end is the call's.
    let out = house.reply(ticket, document("<Pause length='60'/>"));
    assert_eq!(out.requests("BYE"), Vec::<String>::new());
    let out = house.say(2, &within("BYE", &ack, 8, "", "").replace("192.0.2.1;", "192.0.2.2;"));
    let (_, question) = fetch(&out);
    assert_eq!(&*question.url, "http://app.example/status");
    assert_eq!(said(question, "CallStatus"), "completed");
}

#[test]
fn without_an_address_nobody_is_put_through() {
    let mut house = house();
    house.bind("bob", 2);
    let (out, ok) = runs(&mut house, "<Dial><Client>bob</Client></Dial>");
    house.say(1, &in_dialog("ACK", &ok, 1));
    let invite = out.requests("INVITE").pop().expect("bob is called");
    house.say(2, &ok_with_sound(&invite, "bob", 2));
    let refer =
        in_dialog("REFER", &ok, 2).replace("Content-Length", &format!("{TO_CAROL}Content-Length"));
    let out = house.say(1, &refer);
    assert!(out.sent().iter().any(|text| text.starts_with("SIP/2.0 603")), "{:?}", out.sent());
    assert_eq!(house.counted("voice.errors"), 1);
}
