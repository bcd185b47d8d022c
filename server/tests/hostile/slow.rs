//! Classes 66 to 71: connections that say nothing, too little, too much, or nonsense.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::letter::Letter;
use crate::siege::{PATIENCE, Siege, on_stream};
use crate::support::program::find;
use crate::support::raw::Heard;
use crate::support::{STEP, until};

/// What a closed connection says; `None`: it stands.
fn is_closed(stream: &mut TcpStream) -> bool {
    stream.set_nonblocking(true).expect("a socket of ours");
    let mut room = [0; 4_096];
    let closed = loop {
        match stream.read(&mut room) {
            Ok(0) => break true,
            Ok(_) => (), // A last word.
            Err(fault) => break fault.kind() != ErrorKind::WouldBlock,
        }
    };
    stream.set_nonblocking(false).expect("a socket of ours");
    closed
}

/// Waits until the server has closed all of them.
#[track_caller]
fn all_close(what: &str, mut streams: Vec<TcpStream>) {
    until(PATIENCE, &format!("{what}: all are closed"), || {
        streams.retain_mut(|stream| !is_closed(stream));
        streams.is_empty().then_some(())
    });
}

/// Each of them is silent for 15 seconds at most, and one address has 512 at most.
#[test]
fn row_66_silent_connections_make_room_and_end() {
    let mut siege = Siege::lay();
    let mut good = siege.line("TCP");
    let options =
        String::from_utf8(Letter::new("OPTIONS").octets("TCP", "good.invalid")).expect("text");
    good.send(&options);
    assert_eq!(good.response("OPTIONS").status(), 200);
    let silent = siege.dials(2_000, 5060);
    until(STEP, "room for others", || {
        (siege.gauge("carillon_flows{transport=\"tcp\"}") <= 512).then_some(())
    });
    // Whoever has spoken stays, and a newcomer is heard.
    good.send(&options.replace("branch=z9hG4bK", "branch=z9hG4bKagain"));
    assert_eq!(good.response("OPTIONS").status(), 200);
    let mut fresh = siege.line("TCP");
    fresh.send(&options);
    assert_eq!(fresh.response("OPTIONS").status(), 200);
    all_close("silent connections", silent);
    drop((good, fresh));
    siege.stands("silent connections", &["flows_refused"]);
}

/// A first message has 15 seconds, a request of HTTP as many for its head, a handshake 10.
#[test]
fn row_67_dripping_peers_are_dropped() {
    let mut siege = Siege::lay();
    let invite = Letter::user("INVITE", "bob").offer("127.0.0.1").octets("TCP", "slow.invalid");
    let hello = [0x16, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3];
    let mut drips: Vec<(TcpStream, &[u8], usize)> = Vec::new();
    for _ in 0..40 {
        drips.push((siege.dial(5060), &invite, 0));
        drips.push((siege.dial(5061), &hello, 0));
        drips.push((
            siege.dial(5062),
            b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nX: x",
            0,
        ));
        drips.push((
            siege.dial(8088),
            b"POST /v1/users HTTP/1.1\r\nHost: x\r\nX: xxxxxxxxxxxxxxxxxxxxxx",
            0,
        ));
    }
    // An octet each in turn, until the server has had enough of all.
    until(PATIENCE, "all are dropped", || {
        drips.retain_mut(|(stream, octets, at)| {
            let octet = octets.get(*at).copied().unwrap_or(b'x');
            *at += 1;
            stream.write_all(&[octet]).is_ok() && !is_closed(stream)
        });
        drips.is_empty().then_some(())
    });
    siege.stands("dripping peers", &["flows_refused"]);
}

#[test]
fn row_68_what_never_ends_is_cut_at_the_limit() {
    let mut siege = Siege::lay();
    let before = siege.resident();
    for length in ["2147483648", "4294967296", "99999999999"] {
        let letter = Letter { length: Some(length.to_owned()), ..Letter::new("OPTIONS") };
        let mut stream = siege.dial(5060);
        let (heard, closed) = on_stream(&mut stream, &letter.octets("TCP", "long.invalid"));
        let statuses: Vec<_> = heard.iter().map(Heard::status).collect();
        assert!(closed && matches!(statuses[..], [400 | 413 | 513]), "{length}: {heard:?}");
    }
    let mut most = 0;
    for port in [5060, 5062, 8088] {
        let mut stream = siege.dial(port);
        let begin =
            if port == 5060 { "OPTIONS sip:x SIP/2.0\r\nX: " } else { "GET / HTTP/1.1\r\nX: " };
        stream.write_all(begin.as_bytes()).expect("the server reads");
        let block = [b'x'; 65_536];
        let taken = (0..512).take_while(|_| stream.write_all(&block).is_ok()).count();
        most = most.max(siege.resident().saturating_sub(before));
        assert!(taken < 512, "{port}: all of 32 MB was taken");
        all_close("a line of 32 MB", vec![stream]);
    }
    assert!(most < 32 << 20, "{most} octets more");
    siege.stands("endless lines", &["sip.nonsense", "flows_refused"]);
}

/// A masked frame, as a page sends it.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut octets = vec![first];
    match payload.len() {
        length @ 0..126 => octets.push(0x80 | length as u8),
        length @ 126..65_536 => {
            octets.push(0x80 | 126);
            octets.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            octets.push(0x80 | 127);
            octets.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    octets.extend_from_slice(&[0; 4]);
    octets.extend_from_slice(payload);
    octets
}

/// A WebSocket that stands.
#[track_caller]
fn page(siege: &Siege) -> TcpStream {
    let mut stream = siege.dial(5062);
    let hello = "GET /sip HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                 Sec-WebSocket-Protocol: sip\r\n\r\n";
    stream.write_all(hello.as_bytes()).expect("the server reads");
    let (mut came, mut octet) = (Vec::new(), [0]);
    while !came.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut octet).expect("an upgrade");
        came.push(octet[0]);
    }
    assert!(came.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&came));
    stream
}

/// Reads to the end; the code of the close frame that came last.
#[track_caller]
fn close_code(stream: &mut TcpStream) -> Option<u16> {
    let mut came = Vec::new();
    // A reset is an end as well.
    let _ = stream.read_to_end(&mut came);
    let at = came.len().checked_sub(4)?;
    (came[at..at + 2] == [0x88, 2]).then(|| u16::from_be_bytes([came[at + 2], came[at + 3]]))
}

#[test]
fn row_69_websocket_frames_that_break_the_rules() {
    let mut siege = Siege::lay();
    let mut huge = vec![0x82, 0xff];
    huge.extend_from_slice(&(1u64 << 63).to_be_bytes());
    huge.extend_from_slice(&[0; 4]);
    let rows: [(&str, Vec<u8>, &[u16]); 11] = [
        ("a length of 2^63", huge, &[1002, 1009]),
        ("a reserved bit", frame(0xc1, b"x"), &[1002]),
        ("all reserved bits", frame(0xf1, b"x"), &[1002]),
        ("an unknown opcode", frame(0x83, b"x"), &[1002]),
        ("an unknown control frame", frame(0x8b, b"x"), &[1002]),
        ("not masked", vec![0x81, 1, b'x'], &[1002]),
        ("a ping in pieces", frame(0x09, b"x"), &[1002]),
        ("a long ping", frame(0x89, &[b'x'; 126]), &[1002]),
        ("a piece of nothing", frame(0x80, b"x"), &[1002]),
        ("a close code of one octet", frame(0x88, &[3]), &[1002]),
        ("a close code that is none", frame(0x88, &999u16.to_be_bytes()), &[1002]),
    ];
    for (what, octets, codes) in rows {
        let mut stream = page(&siege);
        stream.write_all(&octets).expect("the server reads");
        let code = close_code(&mut stream);
        // Closed in any case; whoever closes with a word that is none need not hear one.
        let silent = code.is_none() && what.contains("close code");
        assert!(silent || code.is_some_and(|code| codes.contains(&code)), "{what}: {code:?}");
    }
    // 40 MB in pieces: closed at the limit of a message.
    let mut stream = page(&siege);
    let mut sent = stream.write_all(&frame(0x02, &[0; 1_024])).is_ok();
    let mut pieces = 0;
    let piece = frame(0x00, &[0; 32_768]);
    while sent && pieces < 1_280 {
        pieces += 1;
        sent = stream.write_all(&piece).is_ok();
    }
    assert!(!sent, "all of 40 MB was taken");
    // Pings: forty in ten seconds are answered.
    let mut stream = page(&siege);
    let ping = frame(0x89, b"?").repeat(100);
    let began = Instant::now();
    let all = (0..200).all(|_| stream.write_all(&ping).is_ok());
    all_close("pings without end", vec![stream]);
    println!("20000 pings: all were written: {all}; closed after {:?}", began.elapsed());
    // Whoever keeps to it is served.
    let mut line = siege.line("WS");
    line.send(
        &String::from_utf8(Letter::new("OPTIONS").octets("WS", "page.invalid")).expect("text"),
    );
    assert_eq!(line.response("OPTIONS").status(), 200);
    drop(line);
    siege.stands("WebSocket frames", &["flows_refused"]);
}

#[test]
fn row_70_streams_in_pieces_and_in_heaps() {
    let mut siege = Siege::lay();
    // Fifty at once are answered in order.
    let mut stream = siege.dial(5060);
    let letters: Vec<_> = (0..50).map(|_| Letter::new("OPTIONS")).collect();
    let heap: Vec<u8> =
        letters.iter().flat_map(|letter| letter.octets("TCP", "heap.invalid")).collect();
    let (heard, closed) = on_stream(&mut stream, &heap);
    let ids: Vec<_> = heard.iter().filter_map(|heard| heard.field("Call-ID")).collect();
    let wanted: Vec<_> = letters.iter().map(|letter| &*letter.call_id).collect();
    assert_eq!((ids, closed), (wanted, false));
    // And so is one octet by octet.
    let letter = Letter::new("OPTIONS");
    let octets = letter.octets("TCP", "drops.invalid");
    let (last, first) = octets.split_last().expect("a message");
    stream.set_nodelay(true).expect("a socket of ours");
    for octet in first {
        stream.write_all(&[*octet]).expect("the server reads");
    }
    let (heard, _) = on_stream(&mut stream, &[*last]);
    assert_eq!(heard.iter().map(Heard::status).collect::<Vec<_>>(), [200]);
    // Line breaks without end: cut, as soon as they are more than a keep-alive is.
    let mut noisy = siege.dial(5060);
    let breaks = b"\r\n".repeat(10_000);
    let _ = noisy.write_all(&breaks);
    all_close("line breaks", vec![noisy]);
    let (heard, closed) =
        on_stream(&mut stream, &Letter::new("OPTIONS").octets("TCP", "x.invalid"));
    assert_eq!((heard.len(), closed), (1, false));
    drop(stream);
    siege.stands("pieces and heaps", &["flows_refused"]);
}

/// A hello of TLS by hand: these versions and these ways to agree on a key.
fn hello(version: u16, suites: &[u16]) -> Vec<u8> {
    let mut body = version.to_be_bytes().to_vec();
    body.extend_from_slice(&[7; 32]);
    body.push(0);
    body.extend_from_slice(&(suites.len() as u16 * 2).to_be_bytes());
    body.extend(suites.iter().flat_map(|suite| suite.to_be_bytes()));
    body.extend_from_slice(&[1, 0]);
    // Curves, point formats, signatures: what any library would say.
    let extensions = [
        &[0, 10, 0, 6, 0, 4, 0, 29, 0, 23][..],
        &[0, 11, 0, 2, 1, 0],
        &[0, 13, 0, 8, 0, 6, 4, 3, 8, 4, 4, 1],
    ]
    .concat();
    body.extend_from_slice(&(extensions.len() as u16).to_be_bytes());
    body.extend(extensions);
    let length = body.len() as u32;
    let shake = [&[1, 0][..], &(length as u16).to_be_bytes(), &body].concat();
    [&[0x16, 3, 1][..], &(shake.len() as u16).to_be_bytes(), &shake].concat()
}

#[test]
fn row_71_old_ways_of_tls_are_refused() {
    const MODERN: [u16; 2] = [0xc02b, 0xc02f];
    let mut siege = Siege::lay();
    let answer = |octets: &[u8]| {
        let mut stream = siege.dial(5061);
        stream.write_all(octets).expect("the server reads");
        let mut head = [0; 6];
        stream.read_exact(&mut head).expect("an answer");
        head
    };
    // The control: the same by hand, with what is wanted, gets a hello back.
    assert_eq!(answer(&hello(0x0303, &MODERN))[0], 0x16, "a handshake goes on");
    for version in [0x0300, 0x0301, 0x0302] {
        assert_eq!(answer(&hello(version, &MODERN))[0], 0x15, "{version:#x}: an alert");
    }
    // Keys by RSA, with which ROBOT begins; anonymous ones; exported ones; none.
    for suites in [
        &[0x002f, 0x0035, 0x003c, 0x009c, 0x009d][..],
        &[0x0018, 0x0034],
        &[0x0003, 0x0008],
        &[0x0001, 0x003b],
    ] {
        assert_eq!(answer(&hello(0x0303, suites))[0], 0x15, "{suites:x?}: an alert");
    }
    // A handshake within a connection: the R of this program asks for one.
    let mut client = siege.drill.host.enter(|| {
        Command::new(find("openssl"))
            .args([
                "s_client",
                "-connect",
                "127.0.0.1:5061",
                "-tls1_2",
                "-legacy_renegotiation",
                "-quiet",
                "-no_ign_eof",
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("openssl starts")
    });
    let mut words = client.stdin.take().expect("its input is ours");
    words.write_all(b"R\n").expect("it listens");
    let ended =
        until(Duration::from_secs(45), "the end of openssl", || client.try_wait().expect("ours"));
    println!("openssl, asking for a second handshake: {ended}");
    assert!(!ended.success(), "it got a second handshake");
    siege.stands("old ways of TLS", &["flows_refused"]);
}
