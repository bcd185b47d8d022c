//! Asking a message for typed headers, and writing them.

use sip::header::{
    self, Answering, CallInfo, Diversion, Event, HistoryInfo, Mapping, PAssertedIdentity, Path,
    Protocol, RAck, RSeq, Reason, ReferTo, Refresher, Replaces, RetryAfter, SessionExpires,
    Standing, SubscriptionState, Typed,
};
use sip::write::Writer;
use sip::{DecodeError, Framing, Message, Method, Name, NameAddr};

const REQUEST: &[u8] = b"REFER sip:b@h SIP/2.0\r\n\
    Reason: SIP;cause=302;text=\"a, b\" , Q.850;cause=17\r\nReason: x\r\n\
    r: <sip:carol@h;method=INVITE;user=phone?Replaces=90%40h%3Bto-tag%3D7%3Bfrom-tag%3D6%3Bearly-only&x=y>\r\n\
    P-Asserted-Identity: <sip:a@h>\r\nP-Asserted-Identity: <tel:+1>, <sip:third@h>\r\n\
    Accept: application/sdp, text/*;q=0.5, image/png;q=0.0\r\nAllow: INVITE, UPDATE\r\n\
    Event: dialog\r\nEvent: dialog\r\nRSeq: x\r\nPath: <sip:p1;lr>,<sip:p2;lr>\r\n\
    History-Info: <sip:bob@h?Reason=SIP%3Bcause%3D486&Privacy=history>;index=1,<sip:c@h>;index=1.1;mp=1\r\n\r\n";

fn message() -> Message<'static> {
    Message::decode(REQUEST, Framing::Datagram).unwrap()
}

#[test]
fn one_value_none_or_too_many() {
    let message = message();
    assert_eq!(message.read::<RAck<'_>>(), Ok(None));
    assert_eq!(message.need::<RAck<'_>>(), Err(DecodeError::Missing(Name::RAck)));
    assert_eq!(message.read::<RSeq>(), Err(DecodeError::Header(Name::RSeq)));
    assert_eq!(message.read::<Event<'_>>().unwrap_err(), DecodeError::Duplicate(Name::Event));
    assert_eq!(
        message.read_all::<Path<'_>>().filter(|hop| hop.as_ref().unwrap().uri.is_loose()).count(),
        2
    );
}

/// Spec: RFC 3515 §2.1, RFC 3891 §4
#[test]
fn an_attended_transfer() {
    let refer = message().need::<ReferTo<'_>>().unwrap();
    assert_eq!(refer.method(), Method::Invite);
    assert_eq!(refer.target(), b"sip:carol@h;user=phone");
    let value = refer.replaces().unwrap();
    let replaces = Replaces::decode(&value).unwrap();
    let expected = Replaces { call_id: b"90@h", to_tag: b"7", from_tag: b"6", early_only: true };
    assert_eq!(replaces, expected);

    for uri in ["sip:carol@h;user=phone", "sip:carol@h?x=y"] {
        let written = header::refer_to(uri, Some(&replaces));
        let read = ReferTo::decode(written.as_bytes()).unwrap();
        assert_eq!(read.replaces(), Some(value.clone()), "{written}");
        assert_eq!(read.target(), uri.split('?').next().unwrap().as_bytes());
    }
    assert_eq!(header::refer_to("sip:c@h", None), "<sip:c@h>");
    assert_eq!(header::refer_to("sip:c@h>;x=<", None), "<sip:c@h%3E;x=%3C>");
}

/// Spec: RFC 3326 §2, RFC 3325 §9.1, RFC 3261 §20.1, §20.5
#[test]
fn lists() {
    let message = message();
    let reasons: Vec<_> = message.read_all::<Reason<'_>>().map(Result::unwrap).collect();
    assert_eq!(reasons.len(), 3);
    assert_eq!((reasons[0].cause, reasons[0].text.as_deref()), (Some(302), Some("a, b")));
    assert_eq!(reasons[1].status(), Some(486));
    assert_eq!(reasons[2].protocol, Protocol::Other(b"x"));
    let asserted: Vec<_> = message.asserted().map(|address| address.uri).collect();
    assert_eq!(asserted, [&b"sip:a@h"[..], b"tel:+1"]);
    assert_eq!(message.read_all::<PAssertedIdentity<'_>>().count(), 3);
    for (kind, takes) in
        [("application/sdp", true), ("TEXT/Plain", true), ("image/png", false), ("a/b", false)]
    {
        assert_eq!(message.accepts(kind), Some(takes), "{kind}");
    }
    assert_eq!(message.allows(Method::Update), Some(true));
    assert_eq!(message.allows(Method::Info), Some(false));
    let bare = Message::decode(b"OPTIONS sip:h SIP/2.0\r\nAccept:\r\n\r\n", Framing::Datagram);
    let bare = bare.unwrap();
    assert_eq!((bare.accepts("application/sdp"), bare.allows(Method::Bye)), (Some(false), None));
}

/// Spec: RFC 7044 §5, RFC 5806 §4
#[test]
fn ways_of_a_call() {
    let message = message();
    let entries: Vec<_> = message.read_all::<HistoryInfo<'_>>().map(Result::unwrap).collect();
    assert!(entries[0].is_private() && !entries[1].is_private());
    let reason = entries[0].reason().unwrap();
    assert_eq!(Reason::decode(&reason).unwrap().status(), Some(486));
    assert_eq!(entries[1].mapping(), Some((Mapping::Another, &b"1"[..])));

    let reason = Reason::sip(486, "");
    let written = header::history_entry("sip:b@h", "1", None, Some(&reason), true);
    assert_eq!(written, "<sip:b@h?Reason=SIP%3Bcause%3D486&Privacy=history>;index=1");
    let read = HistoryInfo::decode(written.as_bytes()).unwrap();
    assert!(read.is_private() && read.reason().is_some());
    let mapping = Some((Mapping::Contact, "1.1"));
    assert_eq!(
        header::history_entry("sip:b@h", "1.1.1", mapping, None, false),
        "<sip:b@h>;index=1.1.1;rc=1.1"
    );

    let written = header::diversion("B \"b\"", "sip:b@h", "no-answer;x", 2, true);
    let read = Diversion::decode(written.as_bytes()).unwrap();
    assert_eq!((read.reason(), read.counter()), (Some(&b"no-answerx"[..]), 2));
    assert!(read.is_private());
    assert_eq!(read.address.display_text(), "B \"b\"");
    assert!(!Diversion::decode(b"<sip:b@h>;privacy=OFF").unwrap().is_private());
}

#[test]
fn written_headers_read_back() {
    let mut out = Vec::new();
    Writer::response(&mut out, 183, None)
        .typed(&RSeq(7))
        .typed(&RAck { rseq: 7, cseq: 1, method: Method::Invite })
        .typed(&SessionExpires { seconds: 1800, refresher: Some(Refresher::Uas) })
        .typed(&SubscriptionState::active(60))
        .typed(&Reason::sip(480, "no\r\none"))
        .typed(&RetryAfter { seconds: 5, duration: Some(9) })
        .typed(&CallInfo::decode(b"<sip:x@h>;purpose=card").unwrap())
        .typed(&header::AnswerMode { answering: Answering::Auto, required: true })
        .end();
    let read = Message::decode(&out, Framing::Stream).unwrap();
    assert_eq!(read.headers().count(), 9);
    assert_eq!(read.need::<RSeq>(), Ok(RSeq(7)));
    assert_eq!(read.need::<RAck<'_>>().unwrap().method, Method::Invite);
    assert_eq!(read.need::<SessionExpires>().unwrap().refresher, Some(Refresher::Uas));
    assert_eq!(read.need::<SubscriptionState<'_>>().unwrap().standing, Standing::Active);
    assert_eq!(read.need::<Reason<'_>>().unwrap().text.as_deref(), Some("no  one"));
    assert_eq!(read.need::<RetryAfter>().unwrap().duration, Some(9));
    assert_eq!(read.need::<CallInfo<'_>>().unwrap().purpose(), Some(&b"card"[..]));
    assert!(read.need::<header::AnswerMode<'_>>().unwrap().required);
    let terminated = SubscriptionState::terminated("noresource");
    assert_eq!(terminated.encode(), "terminated;reason=noresource");
    let address = sip::write::name_addr("A \"b\"\n", "sip:a@h");
    assert_eq!(NameAddr::decode(address.as_bytes()).unwrap().display_text(), "A \"b\" ");
}

/// Spec: RFC 6665 §8.2.1
#[test]
fn events_are_the_same_by_package_and_id() {
    let read = |text: &'static str| Event::decode(text.as_bytes()).unwrap();
    assert!(read("dialog;id=1;x").is_same(&read("dialog;y;id=1")));
    for other in ["dialog", "dialog;id=2", "Dialog;id=1", "presence;id=1"] {
        assert!(!read("dialog;id=1").is_same(&read(other)), "{other}");
    }
}
