//! Tables, round trips, an independent parser as judge, and hostile bytes.

use std::net::{IpAddr, SocketAddr};

use sdp::{
    Agreed, DecodeError, Direction, Kind, Offer, PCMA, PCMU, Reach, Relay, Session,
    TELEPHONE_EVENT, Wanted, agreed, aims, answer, media_wanted, reach, relay, settle,
};
use types::Rng;

const WIRE: [&[u8]; 4] = [
    include_bytes!("wire/phone.txt"),
    include_bytes!("wire/browser.txt"),
    include_bytes!("wire/keyed_video.txt"),
    include_bytes!("wire/group.txt"),
];

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A description with these lines behind the head.
fn with(lines: &str) -> Vec<u8> {
    format!("v=0\r\no=- 1 1 IN IP4 h\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n{lines}").into_bytes()
}

#[track_caller]
fn refused(lines: &str, error: DecodeError) {
    let body = with(lines);
    assert_eq!(Session::decode(&body).map(|_| ()), Err(error), "{lines:.80}");
    assert_eq!(relay(&body, &plan(&[])), Err(error));
}

fn plan(ports: &[Option<u16>]) -> Relay {
    Relay { session: 77, version: 3, address: ip("203.0.113.9"), ports: ports.to_vec() }
}

#[test]
fn a_phone_is_read() {
    let session = Session::decode(WIRE[0]).unwrap();
    assert_eq!((session.origin.user, session.origin.version), (&b"alice"[..], &b"2890844527"[..]));
    assert_eq!(session.origin.host, b"host.example.net");
    assert_eq!(session.connection, Some(ip("192.0.2.10")));
    assert_eq!((session.bandwidth[0].kind, session.bandwidth[0].value), (&b"AS"[..], 84));
    let [audio, video] = &session.media[..] else { panic!("{:?}", session.media) };
    assert_eq!((audio.kind, audio.port, audio.port_count), (Kind::Audio, 49_170, 1));
    assert_eq!(audio.formats, [&b"0"[..], b"8", b"96", b"101"]);
    assert_eq!(audio.rtpmap(0).map(|map| map.name), Some(&b"PCMU"[..]));
    assert_eq!(audio.rtpmap(8).map(|map| map.name), Some(&b"PCMA"[..])); // No rtpmap: static.
    let opus = audio.rtpmap(96).unwrap();
    assert_eq!((opus.name, opus.clock, opus.channels), (&b"opus"[..], 48_000, 2));
    assert_eq!(audio.rtpmap(97), None);
    assert_eq!(audio.fmtp(b"101"), Some(&b"0-16"[..]));
    assert_eq!((audio.ptime(), audio.direction), (Some(20), Direction::SendOnly));
    assert_eq!(video.direction, Direction::RecvOnly); // From the session part.
    assert_eq!(video.connection, Some(ip("2001:db8::7")));
}

#[test]
fn aims_say_where_packets_go() {
    let aims = aims(&Session::decode(WIRE[0]).unwrap());
    let (audio, video) = (aims[0], aims[1]);
    assert_eq!((audio.rtp, audio.rtcp), (at("192.0.2.10:49170"), at("192.0.2.11:53020")));
    assert!(audio.sends && !audio.receives && audio.held && !audio.rejected && !audio.mux);
    assert_eq!((video.rtp, video.rtcp), (at("[2001:db8::7]:51372"), at("[2001:db8::7]:51373")));
    assert!(!video.sends && video.receives && !video.held && video.is_rtp);
}

#[test]
fn hold_and_rejection_have_many_spellings() {
    for (lines, sends, receives, held, rejected) in [
        ("m=audio 4000 RTP/AVP 0\r\n", true, true, false, false),
        ("m=audio 4000 RTP/AVP 0\r\na=sendonly\r\n", true, false, true, false),
        ("m=audio 4000 RTP/AVP 0\r\na=inactive\r\n", false, false, true, false),
        ("m=audio 4000 RTP/AVP 0\r\na=recvonly\r\n", false, true, false, false),
        ("m=audio 4000 RTP/AVP 0\r\nc=IN IP4 0.0.0.0\r\n", true, false, true, false),
        ("m=audio 4000 RTP/AVP 0\nc=IN IP6 ::\n", true, false, true, false),
        ("a=inactive\r\nm=audio 4000 RTP/AVP 0\r\na=sendrecv\r\n", true, true, false, false),
        ("m=audio 0 RTP/AVP 0\r\n", false, false, false, true),
    ] {
        let body = with(lines);
        let aim = aims(&Session::decode(&body).unwrap())[0];
        let seen = (aim.sends, aim.receives, aim.held, aim.rejected);
        assert_eq!(seen, (sends, receives, held, rejected), "{lines}");
    }
}

#[test]
fn multiplexing_needs_both() {
    let muxed = with("m=audio 4000 RTP/AVP 0\r\na=rtcp-mux\r\n");
    let plain = with("m=audio 6000 RTP/AVP 0\r\n");
    let aims_of = |body: &[u8]| aims(&Session::decode(body).unwrap());
    let (mut offer, mut plain_answer) = (aims_of(&muxed), aims_of(&plain));
    settle(&mut offer, &mut plain_answer);
    assert_eq!(offer[0].rtcp.port(), 4001);
    let mut muxed_answer = aims_of(&muxed);
    settle(&mut offer, &mut muxed_answer);
    assert_eq!((offer[0].rtcp.port(), muxed_answer[0].rtcp.port()), (4000, 4000));
}

#[test]
fn values_out_of_range_are_refused() {
    use DecodeError::*;
    let m = "m=audio 4000 RTP/AVP 0\r\n";
    for port in [
        "-1",
        "65536",
        "4000/1000000000",
        "4000/0",
        "65534/2",
        "+1",
        "x",
        "4000/",
        "99999999999999999999",
    ] {
        refused(&format!("m=audio {port} RTP/AVP 0\r\n"), Port { line: 6 });
    }
    for pt in ["4294967296", "128", "-1", "x", "0\u{7f}"] {
        refused(&format!("m=audio 4000 RTP/AVP {pt}\r\n"), Format { line: 6 });
    }
    for map in [
        "0 PCMU/0",
        "0 PCMU/-8000",
        "0 PCMU",
        "0",
        "",
        "128 X/8000",
        "0 /8000",
        "0 X/8000/0",
        "0 X/8000000000",
    ] {
        refused(&format!("{m}a=rtpmap:{map}\r\n"), Codec { line: 7 });
    }
    for ptime in ["0", "100000000000", "-20", "", "x", "0.5"] {
        refused(&format!("{m}a=ptime:{ptime}\r\n"), Ptime { line: 7 });
        refused(&format!("{m}a=maxptime:{ptime}\r\n"), Ptime { line: 7 });
    }
    refused(&format!("{m}a=ptime\r\n"), Ptime { line: 7 });
    for rtcp in ["0", "65536", "-1", ""] {
        refused(&format!("{m}a=rtcp:{rtcp}\r\n"), Port { line: 7 });
    }
    refused(&format!("{m}a=rtcp:5 IN IP4\r\n"), Address { line: 7 });
    for place in [
        "IN IP4 256.0.0.1",
        "IN IP4 ::1",
        "IN IP6 192.0.2.1",
        "IN IP6 2001::db8::1",
        "IN IP4",
        "",
        "IP4 1.2.3.4",
        "IN IP4 media.example.net",
        "IN IP4 192.0.2.1 x",
        "IN IP4 224.1.1.1/1/2/3",
        "IN IP4 224.1.1.1/999",
        "IN IP4 1.2.3",
    ] {
        refused(&format!("{m}c={place}\r\n"), Address { line: 7 });
    }
    refused(&format!("{m}c=IN IP4 {}\r\n", "1".repeat(512)), Address { line: 7 });
}

#[test]
fn structure_is_judged() {
    use DecodeError::*;
    let m = "m=audio 4000 RTP/AVP 0\r\n";
    refused(&format!("{m}a=fmtp:0 \0\r\n"), Line { line: 7 });
    refused("x\r\n", Line { line: 6 });
    refused("\r\nm=audio 1 x y\r\n", Line { line: 6 });
    refused("a=one\rtwo\r\n", Line { line: 6 });
    refused("m=audio 4000\r\n", Media { line: 6 });
    refused(&format!("m={} 4000 RTP/AVP 0\r\n", "x".repeat(1024)), Media { line: 6 });
    refused("m=audio 4000 RTP/AVP\r\n", FormatsMax { line: 6 });
    refused("o=- 1 1 IN IP4 h\r\n", Misplaced { line: 6 });
    refused(&format!("{m}o=- 1 1 IN IP4 h\r\n"), Misplaced { line: 7 });
    refused("v=0\r\n", Misplaced { line: 6 });
    for (body, error) in [
        ("", Version),
        ("v=1\r\n", Version),
        ("o=- 1 1 IN IP4 h\r\nv=0\r\n", Version),
        ("v=0\r\n", Origin),
        ("v=0\r\no=- 1 1 IN IP4\r\n", Origin),
        ("v=0\r\no=- -1 1 IN IP4 h\r\n", Origin),
        ("v=0\r\no=- 1 1 IN IP4 h\r\nm=audio 4000 RTP/AVP 0\r\n", ConnectionMissing),
    ] {
        assert_eq!(Session::decode(body.as_bytes()).map(|_| ()), Err(error), "{body}");
    }
    // An origin inside free text is text.
    let body = with(
        "i=o=evil 1 1 IN IP4 198.51.100.66\r\nm=audio 4000 RTP/AVP 0\r\na=mid:0\r\na=mid:0\r\n",
    );
    assert_eq!(Session::decode(&body).unwrap().origin.user, b"-");
}

#[test]
fn every_limit_holds_at_its_edge() {
    use DecodeError::*;
    let m = "m=audio 4000 RTP/AVP 0\r\n";
    assert!(Session::decode(&with(&m.repeat(sdp::MEDIA_MAX))).is_ok());
    refused(&m.repeat(sdp::MEDIA_MAX + 1), MediaMax);
    refused(&m.repeat(1000), MediaMax);
    let many = |count| format!("{m}{}", "a=x\r\n".repeat(count));
    assert!(Session::decode(&with(&many(sdp::ATTRIBUTES_MAX))).is_ok());
    refused(&many(4000), AttributesMax { line: 7 + sdp::ATTRIBUTES_MAX as u16 });
    let types = |count: usize| format!("m=audio 4000 RTP/AVP{}\r\n", " 0".repeat(count));
    assert!(Session::decode(&with(&types(sdp::FORMATS_MAX))).is_ok());
    refused(&types(2000), FormatsMax { line: 6 });
    let line = |count: usize| format!("{m}a={}\r\n", "x".repeat(count - 2));
    assert!(Session::decode(&with(&line(sdp::LINE_MAX))).is_ok());
    refused(&line(sdp::LINE_MAX + 1), LineMax { line: 7 });
    refused(&"b=AS:1\r\n".repeat(1000), AttributesMax { line: 6 + sdp::ATTRIBUTES_MAX as u16 });
    assert_eq!(Session::decode(&vec![b'v'; sdp::BODY_MAX + 1]).map(|_| ()), Err(BodyMax));
}

#[test]
fn relayed_descriptions_lead_through_us() {
    let got = relay(WIRE[0], &plan(&[Some(20_000), Some(20_002)])).unwrap();
    assert_eq!(
        String::from_utf8(got).unwrap(),
        include_str!("wire/phone_relayed.txt").replace('\n', "\r\n")
    );
    let got = relay(WIRE[2], &plan(&[Some(20_000), Some(20_002)])).unwrap();
    let expected = include_str!("wire/keyed_video_relayed.txt").replace('\n', "\r\n");
    assert_eq!(String::from_utf8(got).unwrap(), expected);
}

#[test]
fn ports_stay_zero_or_become_ours_or_zero() {
    let body = with(
        "m=audio 4000/2 RTP/AVP 0\r\nm=video 0 RTP/AVP 31\r\n\
         m=message 5000 TCP/MSRP *\r\nm=text 7000 RTP/AVP 98\r\n",
    );
    let got = relay(&body, &plan(&[Some(20_000), Some(20_002), None])).unwrap();
    let lines: Vec<_> =
        got.split(|octet| *octet == b'\n').filter(|line| line.starts_with(b"m=")).collect();
    assert_eq!(
        lines,
        [
            &b"m=audio 20000 RTP/AVP 0\r"[..],
            b"m=video 0 RTP/AVP 31\r",
            b"m=message 0 TCP/MSRP *\r",
            b"m=text 0 RTP/AVP 98\r"
        ]
    );
    let six = Relay { address: ip("2001:db8::1"), ..plan(&[Some(20_000)]) };
    let got = relay(&body, &six).unwrap();
    assert!(String::from_utf8(got).unwrap().contains("\r\nc=IN IP6 2001:db8::1\r\n"));
}

#[test]
fn relaying_twice_is_relaying_once() {
    for wire in WIRE {
        let plan = plan(&[Some(20_000), Some(20_002), Some(20_004)]);
        let once = relay(wire, &plan).unwrap();
        assert_eq!(relay(&once, &plan).unwrap(), once);
        for aim in aims(&Session::decode(&once).unwrap()) {
            assert_eq!(aim.rtp.ip(), plan.address);
            assert!(aim.rejected || aim.rtcp.port() == aim.rtp.port() + 1);
        }
    }
}

fn phone(codecs: &[sdp::Codec]) -> Offer {
    Offer {
        session: 5,
        version: 1,
        address: ip("192.0.2.50"),
        port: 30_000,
        codecs: codecs.to_vec(),
        direction: Direction::SendRecv,
    }
}

#[test]
fn offer_meets_answer() {
    let (caller, callee) = (phone(&[PCMU, PCMA, TELEPHONE_EVENT]), phone(&[PCMA, TELEPHONE_EVENT]));
    let offer = caller.encode();
    let offered = Session::decode(&offer).unwrap();
    assert_eq!(media_wanted(&offered), Wanted { audio: true, video: false });
    let at_callee = agreed(&offered, &callee).unwrap();
    let body = answer(&offered, &callee);
    let answered = Session::decode(&body).unwrap();
    let at_caller = agreed(&answered, &caller).unwrap();
    assert_eq!(at_callee, at_caller);
    let expected =
        Agreed { section: 0, codec: PCMA, events: Some(101), direction: Direction::SendRecv };
    assert_eq!(at_caller, expected);
    assert_eq!(aims(&answered)[0].rtp, at("192.0.2.50:30000"));
}

#[test]
fn an_answer_has_the_sections_of_its_offer() {
    let body = with(
        "m=video 5000 RTP/AVP 31\r\nm=audio 5002 RTP/SAVP 0\r\n\
         m=audio 5004 RTP/AVP 96 97 0\r\na=rtpmap:96 telephone-event/8000\r\n\
         a=rtpmap:97 pcma/8000\r\na=sendonly\r\n\
         m=audio 5006 RTP/AVP 0\r\nm=message 5008 TCP/MSRP *\r\n",
    );
    let offer = Session::decode(&body).unwrap();
    let ours = phone(&[PCMU, PCMA, TELEPHONE_EVENT]);
    let got = answer(&offer, &ours);
    let session = Session::decode(&got).unwrap();
    let ports: Vec<u16> = session.media.iter().map(|section| section.port).collect();
    assert_eq!(ports, [0, 0, 30_000, 0, 0]);
    assert_eq!(session.media[2].formats, [&b"97"[..], b"96"]);
    assert_eq!(session.media[2].direction, Direction::RecvOnly);
    assert_eq!(session.media[1].protocol, b"RTP/SAVP");
    let nothing = with("m=audio 5002 RTP/AVP 18\r\n");
    let offer = Session::decode(&nothing).unwrap();
    assert_eq!(agreed(&offer, &ours), None);
    assert!(aims(&Session::decode(&answer(&offer, &ours)).unwrap())[0].rejected);
}

#[test]
fn amr_is_answered_in_the_form_in_which_it_was_offered() {
    let ours = phone(&[PCMU, sdp::AMR_WB, sdp::AMR, TELEPHONE_EVENT, sdp::TELEPHONE_EVENT_16]);
    let answered = |formats: &str, lines: &str| {
        let body = with(&format!("m=audio 5004 RTP/AVP {formats}\r\n{lines}"));
        let got = answer(&Session::decode(&body).unwrap(), &ours);
        String::from_utf8(got).unwrap()
    };
    let wide = "a=rtpmap:96 AMR-WB/16000/1\r\na=fmtp:96 mode-change-period=2; mode-set=0,1,2\r\n\
        a=rtpmap:97 AMR-WB/16000\r\na=fmtp:97 octet-align=1\r\na=rtpmap:98 telephone-event/8000\r\n\
        a=rtpmap:99 telephone-event/16000\r\n";
    let first = answered("96 97 98 99", wide);
    let expected = "RTP/AVP 96 99\r\na=rtpmap:96 AMR-WB/16000\r\na=fmtp:96 mode-set=0,1,2\r\n\
        a=rtpmap:99 telephone-event/16000\r\na=fmtp:99 0-16\r\n";
    assert!(first.contains(expected), "{first}");
    let second = answered("97 98", wide);
    let expected = "RTP/AVP 97\r\na=rtpmap:97 AMR-WB/16000\r\na=fmtp:97 octet-align=1\r\na=ptime";
    assert!(second.contains(expected), "{second}");
    // What we cannot take apart is passed over for what follows.
    let sorted = "a=rtpmap:96 AMR/8000\r\na=fmtp:96 octet-align=1; robust-sorting=1\r\n\
        a=rtpmap:97 amr/8000\r\n";
    assert!(answered("96 97", sorted).contains("RTP/AVP 97\r\na=rtpmap:97 AMR/8000\r\na=ptime"));
    assert!(answered("96", sorted).contains("m=audio 0 RTP/AVP 96\r\n"));
    let offered = String::from_utf8(ours.encode()).unwrap();
    assert!(offered.contains("a=fmtp:104 octet-align=1\r\na=rtpmap:102 AMR/8000"), "{offered}");
}

#[test]
fn directions_meet_in_the_middle() {
    use Direction::*;
    for (theirs, ours, expected) in [
        (SendRecv, SendRecv, SendRecv),
        (SendOnly, SendRecv, RecvOnly),
        (RecvOnly, SendRecv, SendOnly),
        (Inactive, SendRecv, Inactive),
        (SendRecv, SendOnly, SendOnly),
        (SendOnly, SendOnly, Inactive),
        (SendRecv, Inactive, Inactive),
    ] {
        let body = Offer { direction: theirs, ..phone(&[PCMU]) }.encode();
        let ours = Offer { direction: ours, ..phone(&[PCMU]) };
        let seen = agreed(&Session::decode(&body).unwrap(), &ours).unwrap().direction;
        assert_eq!(seen, expected, "{theirs:?} {:?}", ours.direction);
    }
    let held = with("m=audio 4000 RTP/AVP 0\r\nc=IN IP4 0.0.0.0\r\n");
    let seen = agreed(&Session::decode(&held).unwrap(), &phone(&[PCMU])).unwrap();
    assert_eq!((seen.direction, seen.events), (RecvOnly, None));
}

#[test]
fn wishes_and_places_are_told() {
    let browser = Session::decode(WIRE[1]).unwrap();
    assert_eq!(media_wanted(&browser), Wanted { audio: true, video: true });
    for (address, expected) in [
        ("127.0.0.1", Reach::Loopback),
        ("::1", Reach::Loopback),
        ("::ffff:127.0.0.1", Reach::Loopback),
        ("0.0.0.0", Reach::Unspecified),
        ("::", Reach::Unspecified),
        ("0.1.2.3", Reach::Unusable),
        ("255.255.255.255", Reach::Unusable),
        ("224.0.0.1", Reach::Unusable),
        ("ff02::1", Reach::Unusable),
        ("192.0.2.1", Reach::One),
        ("2001:db8::1", Reach::One),
    ] {
        assert_eq!(reach(ip(address)), expected, "{address}");
    }
}

/// What we read, an independent parser reads the same way; what we write, it reads at all.
#[test]
fn another_parser_agrees() {
    for wire in WIRE {
        let ours = Session::decode(wire).unwrap();
        let theirs = sdp_types::Session::parse(wire).unwrap();
        assert_eq!(theirs.origin.sess_id.as_bytes(), ours.origin.id);
        assert_eq!(theirs.attributes.len(), ours.attributes.len());
        assert_eq!(theirs.medias.len(), ours.media.len());
        for (their, our) in theirs.medias.iter().zip(&ours.media) {
            assert_eq!((their.port, their.media.as_bytes()), (our.port, our.word));
            assert_eq!(their.proto.as_bytes(), our.protocol);
            assert_eq!(their.fmt.as_bytes(), our.formats.join(&b' '));
            let names = their.attributes.iter().map(|attribute| attribute.attribute.as_bytes());
            assert!(names.eq(our.attributes.iter().map(|attribute| attribute.name)));
        }
        let relayed = relay(wire, &plan(&[Some(20_000)])).unwrap();
        let theirs = sdp_types::Session::parse(&relayed).unwrap();
        assert_eq!(
            theirs.connection.map(|place| place.connection_address),
            ours.connection.map(|_| "203.0.113.9".to_owned())
        );
    }
    let offer = phone(&[PCMU, PCMA, TELEPHONE_EVENT]).encode();
    let body = answer(&Session::decode(WIRE[0]).unwrap(), &phone(&[PCMU]));
    for wire in [offer, body] {
        assert!(sdp_types::Session::parse(&wire).is_ok());
    }
}

#[test]
fn hostile_bytes_never_panic() {
    let mut rng = Rng::from_number(11);
    let words: [&[u8]; 12] = [
        b"\r\n",
        b"\n",
        b"m=",
        b"c=IN IP4 ",
        b"a=rtpmap:",
        b"/",
        b" ",
        b":",
        b"4294967296",
        b"-1",
        b"\0",
        b"a=rtcp:",
    ];
    let mut good = 0;
    for _ in 0..30_000 {
        let mut wire = WIRE[rng.below(4) as usize].to_vec();
        for _ in 0..=rng.below(4) {
            let place = rng.below(wire.len() as u64) as usize;
            match rng.below(4) {
                0 => wire[place] = rng.next_u64() as u8,
                1 => wire.truncate(place.max(1)),
                2 => {
                    let word = words[rng.below(words.len() as u64) as usize];
                    wire.splice(place..place, word.iter().copied());
                }
                _ => {
                    let end = (place + rng.below(40) as usize).min(wire.len());
                    wire.drain(place..end);
                    wire.push(b'\n');
                }
            }
        }
        let Ok(session) = Session::decode(&wire) else { continue };
        good += 1;
        let _ = (aims(&session), media_wanted(&session), agreed(&session, &phone(&[PCMU])));
        let ours = answer(&session, &phone(&[PCMU]));
        let answered = Session::decode(&ours).unwrap();
        assert_eq!(answered.media.len(), session.media.len());
        let relayed = relay(&wire, &plan(&[Some(20_000), None, Some(20_004)])).unwrap();
        let again = Session::decode(&relayed).unwrap();
        assert!(
            again
                .media
                .iter()
                .all(|section| section.connection.is_none_or(|to| to == ip("203.0.113.9")))
        );
    }
    assert!(good > 1000, "{good}");
}
