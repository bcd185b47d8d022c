//! Hostile octets: whatever arrives, nothing panics, and what is written from it is whole.

use sip::header::{HistoryInfo, ReferTo, Typed};
use sip::stream::{Frame, Framer};
use sip::write::{self, Writer};
use sip::{Framing, Message, Name, NameAddr, Uri, header};
use types::Rng;

const MESSAGES: &[&[u8]] = &[
    b"INVITE sip:bob;x=%41@[2001:db8::1]:5060;lr SIP/2.0\r\nVia: SIP/2.0/UDP [2001:db8::9]:5070;branch=z9hG4bKa;rport,\
      SIP / 2.0 / TCP  b:1;received=[::1]\r\nMax-Forwards: 70\r\nFrom: \"A \\\" , B\" <sip:a@h>;tag=1\r\nTo: Bob <sip:b@h;p=v>\r\n\
      Call-ID: 1@h\r\nCSeq: 1 INVITE\r\nContact: *, <sip:x@h;pn-prid=https://p/a>;q=0.5;expires=60\r\nContent-Length: 3\r\n\r\nabc",
    b"SIP/2.0 401 No\r\nv: SIP/2.0/WSS h.invalid;branch=z9hG4bKb\r\nf: sip:a@h;tag=1\r\nt: sip:b@h;tag=2\r\ni: 1\r\nCSeq: 4294967295 REGISTER\r\n\
      WWW-Authenticate: Digest realm=\"a,b\\\"\",nonce=\"x\", qop=\"auth,auth-int\",\r\n stale=false\r\nExpires: 99999999999\r\nl: 0\r\n\r\n",
    b"\r\n\r\nREGISTER tel:+1-2;phone-context=h SIP/2.0\r\nSubject : folded\r\n once\r\n\ttwice\r\nOdd:\"\\\0\"\r\nl:0\r\n\r\n\r\n\r\nBYE sip:h SIP/2.0\r\nContent-Length: 1\r\n\r\n!",
    b"OPTIONS soap.beep://h SIP/2.0\r\nVia: SIP/2.0/UDP h;;a=\"b;c\";x\r\nFrom: <sip:a@h>;x=\"\r\nTo: \"\r\nContact: <,<>,\"<\",;\r\nl: 2\r\n\r\nxy",
];

/// Pieces that parsers stumble over.
const PIECES: &[&[u8]] = &[
    b"\r\n",
    b"\r\n\r\n",
    b"\r\n ",
    b"\"",
    b"\\",
    b"<",
    b">",
    b";",
    b",",
    b"=",
    b":",
    b"@",
    b"%",
    b"%4",
    b"%00",
    b"[",
    b"]",
    b"\0",
    b"\xff",
    b" ",
    b"\t",
    b"SIP/2.0",
    b"-1",
    b"18446744073709551616",
    b"Content-Length: 5\r\n",
    b"?",
];

/// Values of typed headers: each is read under every name, its own too.
const VALUES: &[&[u8]] = &[
    b"776656 1 INVITE",
    b"4000;refresher=uac",
    b"98\"<@h;to-tag=7;from-tag=6;early-only",
    b"1@h;local-tag=7;remote-tag=6",
    b"\"C\" <sip:c@h;method=REFER?Replaces=9%40h%3Bto-tag%3D7%3Bfrom-tag%3D6&Reason=SIP%3Bcause%3D1>;cid=\"x\"",
    b"presence.winfo;id=1;x=\"y\"",
    b"terminated;reason=probation;retry-after=5;expires=9",
    b"id;header;critical",
    b"<sip:b@h?Privacy=history&Reason=Q.850%3Bcause%3D17>;index=1.2.1;mp=1.1",
    b"tel:+1-2(3);phone-context=x;ext=4;reason=no-answer;counter=2;privacy=full",
    b"Q.850;cause=16;text=\"a \\\" b\"",
    b"<http://h/a,b>;purpose=icon",
    b"Auto;require",
    b"18000 (a (b) \\) c);duration=3600",
    b"application/sdp;level=1;q=0.5",
    b"<sip:a@192.0.2.1;ob;gr>;+sip.instance=\"<urn:uuid:1>\";reg-id=2;pub-gruu=\"sip:a@h;gr=1\";q=0.5",
];

/// What one value means cannot change by reading and writing it, and our spelling is one line.
#[test]
fn mutated_values_of_typed_headers_never_panic_and_read_back() {
    let mut rng = Rng::from_number(0x7e9);
    let mut read = 0;
    for round in 0..20_000 {
        let mut bytes = VALUES[round % VALUES.len()].to_vec();
        if round >= VALUES.len() {
            mutate(&mut rng, &mut bytes);
        }
        for name in Name::ALL {
            let Some(Ok(written)) = header::rewrite(*name, &bytes) else { continue };
            read += 1;
            assert!(!written.contains(char::is_control), "{name}: {written:?}");
            let again = header::rewrite(*name, written.as_bytes());
            assert_eq!(again, Some(Ok(written)), "{name}: {}", bytes.escape_ascii());
        }
        touch_addresses(&bytes);
    }
    assert!(read > 10_000, "the mutator is too wild: {read}");
}

/// Calls what reads further into an address.
fn touch_addresses(bytes: &[u8]) {
    if let Ok(refer) = ReferTo::decode(bytes) {
        let _ = (refer.method(), refer.replaces());
        if let Ok(uri) = Uri::decode(&refer.target()) {
            assert!(uri.headers.is_empty() && uri.params.get("method").is_none());
        }
    }
    if let Ok(entry) = HistoryInfo::decode(bytes) {
        let _ = (entry.reason(), entry.is_private(), entry.mapping());
    }
    if let Ok(contact) = NameAddr::decode(bytes) {
        let _ = (contact.instance(), contact.reg_id(), contact.pub_gruu(), contact.temp_gruu());
        if let Ok(uri) = contact.uri() {
            let _ = (uri.telephone_number(), uri.phone_context(), uri.maddr(), uri.gruu());
            let _ = uri.escaped_headers().count();
            assert!(uri.is_same(&uri));
        }
    }
}

fn mutate(rng: &mut Rng, bytes: &mut Vec<u8>) {
    for _ in 0..=rng.below(6) {
        let at = rng.below(bytes.len() as u64 + 1) as usize;
        match rng.below(6) {
            0 => bytes.truncate(at),
            1 if at < bytes.len() => bytes[at] = rng.next_u64() as u8,
            2 if at < bytes.len() => drop(bytes.remove(at)),
            3 => {
                let end = (at + rng.below(80) as usize).min(bytes.len());
                let copy = bytes[at..end].repeat(rng.below(5) as usize);
                bytes.splice(at..at, copy);
            }
            4 => {
                let other = MESSAGES[rng.below(MESSAGES.len() as u64) as usize];
                let from = rng.below(other.len() as u64) as usize;
                bytes.splice(at..at, other[from..].iter().copied().take(60));
            }
            _ => {
                let piece = PIECES[rng.below(PIECES.len() as u64) as usize];
                bytes.splice(at..at, piece.iter().copied());
            }
        }
    }
}

#[test]
fn mutated_messages_never_panic_and_copies_read_back() {
    let mut rng = Rng::from_number(0x51b);
    let (mut decoded, mut checked) = (0, 0);
    for round in 0..30_000 {
        let mut bytes = MESSAGES[round % MESSAGES.len()].to_vec();
        mutate(&mut rng, &mut bytes);
        for framing in [Framing::Datagram, Framing::Stream] {
            if let Ok(message) = Message::decode(&bytes, framing) {
                decoded += 1;
                checked += usize::from(touch(&message));
                copies_read_back(&message);
            }
        }
        if let Some(message) = Message::for_refusal(&bytes) {
            touch(&message);
            copies_read_back(&message);
        }
        frames_do_not_depend_on_the_cut(&mut rng, &bytes);
    }
    assert!(decoded > 1_000 && checked > 100, "the mutator is too wild: {decoded}, {checked}");
}

/// Calls everything that reads.
fn touch(message: &Message<'_>) -> bool {
    let addresses = [message.from(), message.to(), message.name_addr(Name::Contact)];
    for address in addresses.into_iter().flatten() {
        let _ = (address.display_text(), address.tag(), address.q(), address.expires());
        if let Ok(uri) = address.uri() {
            let mut out = Vec::new();
            uri.write_address(&mut out);
            let _ = (uri.user_unescaped(), uri.ip(), uri.params.get("lr"));
            assert!(uri.is_same(&uri));
        }
    }
    if let Ok(via) = message.via() {
        let _ = (via.branch(), via.unique_branch(), via.rport(), via.received_ip(), via.ip());
    }
    let _ = (
        message.method(),
        message.status(),
        message.cseq(),
        message.max_forwards(),
        message.expires(),
    );
    let _ = (message.body(), message.content_type(), message.contacts().count());
    for header in message.headers() {
        let _ = header::auth::params(header.value).count();
        let _ = header::elements(header.value).count();
        let _ = (
            header::seconds(header.value),
            header::head(header.value),
            header::tail(header.value).count(),
        );
    }
    message.check().is_ok()
}

/// Whatever a message holds, its copy has the same lines and no more.
fn copies_read_back(message: &Message<'_>) {
    let mut out = Vec::new();
    let mut writer = Writer::request(&mut out, b"OPTIONS", b"sip:h");
    writer.copy_where(message, |name| name != Name::ContentLength);
    writer.body("", b"body");
    let copy = Message::decode(&out, Framing::Stream).unwrap();
    let before = message.headers().filter(|header| header.name != Name::ContentLength);
    let after = copy.headers().filter(|header| header.name != Name::ContentLength);
    for (before, after) in before.zip(after) {
        assert_eq!((before.name, before.raw_name), (after.name, after.raw_name));
        assert_eq!(write::unfold(before.value).trim_ascii(), after.value.trim_ascii());
    }
    assert_eq!(copy.body(), b"body");

    let mut out = Vec::new();
    let source = "192.0.2.1:5060".parse().ok();
    write::response_to(&mut out, message, 400, None, Some(b"tag"), source).end();
    let answer = Message::decode(&out, Framing::Stream).unwrap();
    assert_eq!(answer.status(), Some(400));
    if message.check().is_ok() {
        assert_eq!(answer.check(), Ok(()));
        assert_eq!(answer.call_id(), message.call_id());
        assert!(answer.to().unwrap().tag().is_some());
        assert_eq!(answer.via().unwrap().branch(), message.via().unwrap().branch());
        assert_eq!(answer.values(Name::Via).count(), message.values(Name::Via).count());
    }
}

fn frames_do_not_depend_on_the_cut(rng: &mut Rng, bytes: &[u8]) {
    let mut whole = Framer::new();
    whole.push(bytes);
    let whole: Vec<_> = whole.map(|frame| frame.map_err(|broken| broken.error)).collect();
    let (mut framer, mut seen, mut rest) = (Framer::new(), Vec::new(), bytes);
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at((1 + rng.below(40) as usize).min(rest.len()));
        framer.push(piece);
        seen.extend(framer.by_ref().map(|frame| frame.map_err(|broken| broken.error)));
        rest = behind;
    }
    assert_eq!(seen, whole);
    for frame in whole.into_iter().flatten() {
        if let Frame::Message(bytes) = frame {
            let _ = Message::decode(&bytes, Framing::Stream);
        }
    }
}

const URIS: &[&[u8]] = &[
    b"sip:bob;x=%41@[2001:db8::1]:5060;lr;transport=tcp?Subject=a&Route=%3Csip:h%3E",
    b"sips:a%00b%3b@H.example:65535;maddr=192.0.2.1;gr=urn:uuid:1",
    b"tel:+1-201-555(0123);phone-context=+1;isub=2",
    b"SIP:+15550100@192.0.2.1;user=phone",
];

/// One spelling of an address is the spelling of its spelling, and names the same.
#[test]
fn mutated_addresses_have_one_spelling() {
    let mut rng = Rng::from_number(0x3986);
    let mut read = 0;
    for round in 0..40_000 {
        let mut bytes = URIS[round % URIS.len()].to_vec();
        if round >= URIS.len() {
            mutate(&mut rng, &mut bytes);
        }
        let Ok(uri) = Uri::decode(&bytes) else { continue };
        read += 1;
        let (mut once, mut twice) = (Vec::new(), Vec::new());
        uri.write_address(&mut once);
        assert!(!once.iter().any(|octet| *octet <= b' '), "{}", once.escape_ascii());
        if let Ok(again) = Uri::decode(&once) {
            again.write_address(&mut twice);
            assert_eq!(once, twice, "{}", bytes.escape_ascii());
        }
        let _ = (uri.escaped_headers().count(), uri.maddr(), uri.gruu(), uri.telephone_number());
    }
    assert!(read > 1_000, "the mutator is too wild: {read}");
}

/// What is written from a Via reads as the same hop.
#[test]
fn mutated_vias_read_back_as_the_same_hop() {
    let seeds: [&[u8]; 3] = [
        b"SIP/2.0/UDP [2001:db8::9]:5070;branch=z9hG4bKa;rport;received=192.0.2.1",
        b"SIP / 2.0 / TCP  b.example : 1 ;ttl=16;maddr=224.0.0.1;x=\"a;b\"",
        b"SIP/2.0/WSS df7jal23ls0d.invalid;branch=z9hG4bK56sdasks;;",
    ];
    let source = "192.0.2.9:5060".parse().ok();
    let mut rng = Rng::from_number(0x3581);
    let mut read = 0;
    for round in 0..20_000 {
        let mut value = seeds[round % seeds.len()].to_vec();
        mutate(&mut rng, &mut value);
        let text = [b"OPTIONS sip:h SIP/2.0\r\nVia: ", &value[..], b"\r\n\r\n"].concat();
        let Ok(request) = Message::decode(&text, Framing::Datagram) else { continue };
        let Ok(before) = request.via() else { continue };
        read += 1;
        let mut out = Vec::new();
        write::response_to(&mut out, &request, 200, None, None, source).end();
        let answer = Message::decode(&out, Framing::Stream).unwrap();
        let after = answer.via().unwrap();
        assert_eq!((before.branch(), before.port), (after.branch(), after.port));
        assert_eq!((before.host, before.transport), (after.host, after.transport));
        assert_eq!(request.values(Name::Via).count(), answer.values(Name::Via).count());
    }
    assert!(read > 1_000, "the mutator is too wild: {read}");
}
