use super::*;
use crate::{Framing, Start};

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn what_is_written_reads_back() {
    let mut out = b"kept".to_vec();
    Writer::request(&mut out, b"INVITE", b"sip:b@h")
        .header(Name::Via, "SIP/2.0/UDP a;branch=z9hG4bK1")
        .header_parts(Name::From, &[quote("A \"B\"").as_bytes(), b" <sip:a@h>;tag=", b"77"])
        .header(Name::To, "<sip:b@h>")
        .number(Name::MaxForwards, 70)
        .header(Name::CallId, b"id")
        .header(Name::CSeq, "1 INVITE")
        .raw_header(b"X-Thing", "y")
        .body("text/plain", b"\r\nhello");
    let message = Message::decode(&out[4..], Framing::Stream).unwrap();
    assert_eq!(message.check(), Ok(()));
    assert_eq!(message.start(), Start::Request { method: crate::Method::Invite, uri: b"sip:b@h" });
    assert_eq!(message.from().unwrap().display_text(), "A \"B\"");
    assert_eq!(message.from().unwrap().tag(), Some(&b"77"[..]));
    assert_eq!(message.max_forwards(), Ok(Some(70)));
    assert_eq!(message.content_type(), Some(&b"text/plain"[..]));
    assert_eq!(message.first_named("x-thing"), Some(&b"y"[..]));
    assert_eq!(message.body(), b"\r\nhello");
    assert_eq!(message.bytes().len(), out.len() - 4);
}

#[test]
fn nothing_passed_in_becomes_a_line() {
    let evil = b"x\r\nRoute: <sip:evil>\r\n\r\n\0y";
    let mut out = Vec::new();
    let mut writer = Writer::request(&mut out, evil, evil);
    writer.header(Name::Subject, evil).header_parts(Name::Event, &[b"a\r", b"\nb"]);
    writer.raw_header(evil, evil).raw_header(b"\r\n:", b"gone").header(Name::Other, "gone");
    writer.header(Name::ContentLength, "999").raw_header(b"l", "999");
    writer.body(evil, b"z");
    writer.header(Name::Route, "late");
    writer.end();
    let message = Message::decode(&out, Framing::Stream).unwrap();
    assert_eq!(message.request_uri(), Some(&b"x%0D%0ARoute:%20<sip:evil>%0D%0A%0D%0A%00y"[..]));
    assert_eq!(message.headers().count(), 5);
    assert_eq!(message.first(Name::Route), None);
    assert_eq!(message.first(Name::Subject), Some(&b"x Route: <sip:evil> y"[..]));
    assert_eq!(message.first(Name::Event), Some(&b"a  b"[..]));
    assert_eq!(message.body(), b"z");

    let mut out = Vec::new();
    Writer::response(&mut out, 200, Some("O\r\nK: ")).end();
    assert_eq!(text(&out), "SIP/2.0 200 O K: \r\nContent-Length: 0\r\n\r\n");
}

const REQUEST: &[u8] = b"INVITE sip:b@h SIP/2.0\r\n\
    v: SIP / 2.0/UDP  host:5062 ;rport ;branch=z9hG4bK1;received=9.9.9.9,SIP/2.0/UDP b\r\nVia: SIP/2.0/TCP c\r\n\
    From: <sip:a@h>\r\n ;tag=1\r\nTo: <sip:b@h>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\nTimestamp: 9\r\n\
    Record-Route: <sip:p>\r\nX-Odd: x\r\n y\r\n\r\n";

fn answer(status: u16, tag: Option<&[u8]>, source: Option<&str>) -> String {
    let request = Message::decode(REQUEST, Framing::Datagram).unwrap();
    let mut out = Vec::new();
    let source = source.map(|source| source.parse().unwrap());
    response_to(&mut out, &request, status, None, tag, source).end();
    text(&out).to_string()
}

#[test]
fn answers_find_their_way_back() {
    assert_eq!(
        answer(180, Some(b"t2"), Some("192.0.2.9:4444")),
        "SIP/2.0 180 Ringing\r\n\
         Via: SIP / 2.0/UDP  host:5062;branch=z9hG4bK1;rport=4444;received=192.0.2.9\r\n\
         Via: SIP/2.0/UDP b\r\nVia: SIP/2.0/TCP c\r\nFrom: <sip:a@h> ;tag=1\r\nTo: <sip:b@h>;tag=t2\r\n\
         Call-ID: 1\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
    );
    assert!(answer(100, None, None).contains("To: <sip:b@h>\r\n"));
    assert!(answer(100, None, None).contains("Timestamp: 9\r\n"));
    assert!(answer(100, None, None).contains(",SIP/2.0/UDP b\r\nVia: SIP/2.0/TCP c\r\n"));
    assert!(
        answer(200, None, Some("[2001:db8::1]:5")).contains(";rport=5;received=2001:db8::1\r\n")
    );
    assert!(answer(200, None, Some("[::ffff:192.0.2.9]:5")).contains(";received=192.0.2.9\r\n"));
}

#[test]
fn received_is_added_only_when_it_tells_something() {
    let via = |sent_by: &str, source: &str| {
        let request = format!("BYE sip:h SIP/2.0\r\nVia: SIP/2.0/UDP {sent_by};branch=b\r\n\r\n");
        let request = Message::decode(request.as_bytes(), Framing::Datagram).unwrap();
        let mut out = Vec::new();
        response_to(&mut out, &request, 200, None, None, Some(source.parse().unwrap())).end();
        let answer = Message::decode(&out, Framing::Datagram).unwrap();
        answer.via().unwrap().received_ip().is_some()
    };
    assert!(!via("192.0.2.1:9", "192.0.2.1:5"));
    assert!(!via("[2001:db8::1]", "[2001:db8::1]:5"));
    assert!(via("192.0.2.2", "192.0.2.1:5"));
    assert!(via("h.example", "192.0.2.1:5"));
}

#[test]
fn a_tag_is_not_added_twice_and_a_broken_via_goes_back_as_it_came() {
    let request = b"BYE sip:h SIP/2.0\r\nVia: ;;x\r\nTo: sip:b@h;tag=old\r\nCall-ID: 1\r\n\r\n";
    let request = Message::for_refusal(request).unwrap();
    let mut out = Vec::new();
    response_to(
        &mut out,
        &request,
        400,
        Some("Malformed Via"),
        Some(b"new"),
        "192.0.2.1:5".parse().ok(),
    )
    .end();
    assert_eq!(
        text(&out),
        "SIP/2.0 400 Malformed Via\r\nVia: ;;x\r\nTo: sip:b@h;tag=old\r\nCall-ID: 1\r\nContent-Length: 0\r\n\r\n"
    );
}

#[test]
fn forwarding_keeps_order_and_spelling_and_takes_folds_out() {
    let request = Message::decode(REQUEST, Framing::Datagram).unwrap();
    let mut out = Vec::new();
    let mut writer = Writer::request(&mut out, b"INVITE", b"sip:c@h");
    writer.copy_where(&request, |name| name != Name::RecordRoute).copy(&request, Name::RecordRoute);
    writer.end();
    let copy = Message::decode(&out, Framing::Datagram).unwrap();
    let names: Vec<_> = copy.headers().map(|header| text(header.raw_name)).collect();
    assert_eq!(
        names,
        [
            "v",
            "Via",
            "From",
            "To",
            "Call-ID",
            "CSeq",
            "Timestamp",
            "X-Odd",
            "Record-Route",
            "Content-Length"
        ]
    );
    assert_eq!(copy.first_named("X-Odd"), Some(&b"x y"[..]));
    assert_eq!(unfold(b"a\r\n\r\n \t b\n"), b"a b ");
}

#[test]
fn text_for_quotes_users_hosts_and_numbers() {
    assert_eq!(quote("a\\\"\r\nb"), "\"a\\\\\\\"  b\"");
    assert_eq!(escape_user("a b@c:\0%ü;".as_bytes()), "a%20b%40c%3A%00%25%C3%BC;");
    assert_eq!(escape_param(b"https://x/?a=b;c"), "https://x/%3Fa%3Db%3Bc");
    assert_eq!(host("::1".parse().unwrap()), "[::1]");
    assert_eq!(host("::ffff:1.2.3.4".parse().unwrap()), "1.2.3.4");
    assert_eq!(uri(Some(b"a@b"), b"h>\r\n", Some(5070)), "sip:a%40b@h:5070");
    for number in [0, 9, 10, u64::MAX] {
        assert_eq!(text(types::digits::decimal(number, &mut [0; 20])), number.to_string());
    }
}
