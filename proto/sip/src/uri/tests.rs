use super::*;
use crate::Name;

fn read(text: &str) -> Uri<'_> {
    Uri::decode(text.as_bytes()).unwrap()
}

#[test]
fn parts() {
    let uri = read("sips:al%69ce:pass@[2001:db8::1]:5061;lr;transport=TCP?Subject=a%20b&x=y");
    assert_eq!(
        (uri.scheme, uri.user, uri.password),
        (Scheme::Sips, Some(&b"al%69ce"[..]), Some(&b"pass"[..]))
    );
    assert_eq!((uri.host, uri.port), (&b"[2001:db8::1]"[..], Some(5061)));
    assert_eq!(uri.ip(), "2001:db8::1".parse().ok());
    assert_eq!(uri.params.get("Transport"), Some(&b"TCP"[..]));
    assert_eq!(uri.headers, b"Subject=a%20b&x=y");
    assert_eq!(uri.user_unescaped().unwrap().as_ref(), b"alice");
    assert_eq!(read("sip:[::ffff:192.0.2.1]").ip(), "192.0.2.1".parse().ok());
    assert_eq!(read("SIP:h").user, None);
    assert_eq!(read("urn:service:sos").scheme, Scheme::Other);
}

#[test]
fn malformed() {
    for bad in [
        "",
        "sip",
        "sip:",
        ":a",
        "sip:@h",
        "sip:a@",
        "sip:a@b@c",
        "sip:a@h;x=@evil",
        "sip:a@h:",
        "sip:a@h:-1",
        "sip:a@h:0",
        "sip:a@h:65536",
        "sip:a@h:5060x",
        "sip:a@[::1",
        "sip:a@[::1]x",
        "sip:a@[h]",
        "sip:a@::1",
        "sip:a%@h",
        "sip:a%4@h",
        "sip:a%zz@h",
        "sip:a@h;x=%1",
        "sip:a b@h",
        "sip:a@h h",
        "<sip:a@h>",
        "1sip:a",
        "sip:a@\u{fc}.example",
        "sip:a\0@h",
        "tel:",
        "tel:+1 2",
        "tel:a@b",
        "tel:+",
        "tel:-.()",
        "tel:+1a",
        "tel:+1*2",
        "tel:1+2",
        "tel:++1",
        "sip:a@h?x=\r\n",
        "sip:a@h,b",
    ] {
        assert!(Uri::decode(bad.as_bytes()).is_err(), "{bad:?}");
    }
}

/// The examples of RFC 3261 §19.1.4 in our words, and of RFC 3966 §5.
#[test]
fn sameness() {
    let same = [
        ("sip:%61lice@h.example;transport=TCP", "sip:alice@H.Example;Transport=tcp"),
        ("sip:carol@h", "sip:carol@h;newparam=5"),
        ("sip:carol@h", "sip:carol@h;security=on"),
        ("sip:b@h;a=1;b=2?x=1&Y=2", "sip:b@h;b=2;a=1?y=2&X=1"),
        ("tel:+1-201-555", "TEL:+1(201)555"),
        ("tel:7;phone-context=+1;x=y", "tel:7;X=y;phone-context=+1"),
        ("tel:7;phone-context=+1-2;ext=4-5", "tel:7;ext=45;phone-context=+12"),
        ("tel:7;phone-context=A.Example", "tel:7;phone-context=a.example"),
        ("tel:aB*#", "tel:Ab*#"),
        ("sip:a@[2001:db8:0::1]", "sip:a@[2001:DB8::1]"),
        ("sip:a@h;gr=urn:uuid:1", "sip:a@h;gr=URN:UUID:1"),
        ("urn:x", "URN:x"),
    ];
    let different = [
        ("SIP:ALICE@h;Transport=udp", "sip:alice@h;Transport=UDP"),
        ("sip:bob@h", "sip:bob@h:5060"),
        ("sip:bob@h", "sip:bob@h;transport=udp"),
        ("sip:bob@h", "sip:bob@h;%6daddr=1.2.3.4"),
        ("sip:bob@h", "sip:bob@h:6000;transport=tcp"),
        ("sip:carol@h", "sip:carol@h?Subject=next"),
        ("sip:carol@h;security=on", "sip:carol@h;security=off"),
        ("sip:a@h", "sips:a@h"),
        ("sip:%00@h", "sip:%00%00@h"),
        ("sip:a:x@h", "sip:a@h"),
        ("sip:h", "sip:a@h"),
        ("tel:7;phone-context=+1", "tel:7;phone-context=+2"),
        ("tel:7", "tel:7;x=1"),
        ("tel:+7", "tel:7"),
        ("tel:7;phone-context=+1", "tel:7"),
        ("sip:a@[2001:db8::1]:5060", "sip:a@[2001:db8::1:5060]"),
        ("sip:a@h;gr=1", "sip:a@h"),
        ("urn:x", "urn:X"),
    ];
    for (one, other) in same {
        assert!(
            read(one).is_same(&read(other)) && read(other).is_same(&read(one)),
            "{one} {other}"
        );
    }
    for (one, other) in different {
        assert!(
            !read(one).is_same(&read(other)) && !read(other).is_same(&read(one)),
            "{one} {other}"
        );
    }
}

#[test]
fn one_address_has_one_spelling() {
    let address = |text: &str| {
        let mut out = Vec::new();
        read(text).write_address(&mut out);
        String::from_utf8(out).unwrap()
    };
    assert_eq!(address("sip:al%69ce:pw@H.Example:5070;x=y?z=1"), "sip:alice@h.example");
    assert_eq!(address("sip:a%00@h"), "sip:a%00@h");
    assert_eq!(address("sip:a%40b@h"), "sip:a%40b@h");
    assert_eq!(address("sip:h"), "sip:h");
    assert_eq!(address("tel:+1-2"), "tel:+12");
    assert_eq!(
        address("TEL:7-A*;x=y;phone-context=Hall.Example"),
        "tel:7a*;phone-context=hall.example"
    );
    assert_eq!(address("tel:7;phone-context=+1-2"), "tel:7;phone-context=+12");
    assert_eq!(address("urn:A"), "urn:A");
    for text in ["sip:a%0d%0ab@h", "sip:a%25%40@h"] {
        let written = address(text);
        assert!(read(&written).is_same(&read(text)), "{written}");
    }
}

#[test]
fn unescape_leaves_what_is_no_escape() {
    assert_eq!(unescape(b"%41%zz%4").as_ref(), b"A%zz%4");
    assert!(matches!(unescape(b"plain"), Cow::Borrowed(_)));
}

#[test]
fn headers_inside_a_uri() {
    let uri = read(
        "sip:b:p@h:5070;method=INVITE;x=1?r%65places=1%40h%3Bto-tag%3D2%3Bfrom-tag%3D3&Subject=a%20b&&y",
    );
    assert_eq!(uri.header(Name::Replaces).unwrap().as_ref(), b"1@h;to-tag=2;from-tag=3");
    assert_eq!(uri.header(Name::Subject).unwrap().as_ref(), b"a b");
    assert_eq!(uri.header(Name::Identity).unwrap().as_ref(), b"");
    assert_eq!(uri.escaped_headers().count(), 3);
    assert_eq!(uri.for_request(), b"sip:b:p@h:5070;x=1");
    assert_eq!(read("sip:h?s=1&Subject=2").header(Name::Subject), None);
    assert_eq!(read("tel:+1;x=y").for_request(), b"tel:+1;x=y");
}

#[test]
fn parameters_that_decide() {
    let uri = read("sips:p@h;lr;ob;maddr=192.0.2.1;TRANSPORT=Tcp;gr=urn:uuid:1");
    assert!(uri.is_loose() && uri.wants_same_flow());
    assert_eq!((uri.maddr(), uri.transport()), (Some(&b"192.0.2.1"[..]), Some(&b"Tcp"[..])));
    assert_eq!(uri.gruu(), Some(&b"urn:uuid:1"[..]));
    assert_eq!(read("sip:a@h;gr").gruu(), Some(&b""[..]));
    let plain = read("sip:a@h;lrx;maddr=");
    assert!(!plain.is_loose() && !plain.wants_same_flow());
    assert_eq!((plain.maddr(), plain.gruu(), plain.transport()), (None, None, None));
}

#[test]
fn telephone_numbers() {
    for (uri, number) in [
        ("tel:+1-201-555-0123", Some("+12015550123")),
        ("tel:(863)1234;phone-context=+1-914-555", Some("8631234")),
        ("sip:+1-201@h;user=phone", Some("+1201")),
        ("sip:%2B1-201;phone-context=x@h;user=PHONE", Some("+1201")),
        ("sips:+44@h", Some("+44")),
        ("sip:7042@h;user=phone", Some("7042")),
        ("sip:7042@h", None),
        ("sip:+alice@h", None),
        ("sip:alice@h;user=phone", None),
        ("sip:h", None),
        ("urn:1", None),
    ] {
        assert_eq!(read(uri).telephone_number().as_deref(), number, "{uri}");
    }
    assert_eq!(read("tel:7;phone-context=h").phone_context(), Some(&b"h"[..]));
    assert_eq!(read("sip:7@h;phone-context=h").phone_context(), None);
}
