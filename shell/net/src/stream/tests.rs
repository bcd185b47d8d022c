//! Over loopback, with the limits made small so that no test waits long.

use std::sync::mpsc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::*;
use crate::tls::{Files, self_signed};

const PATIENCE: Duration = Duration::from_secs(10);

fn message(number: usize) -> Vec<u8> {
    let body = "x".repeat(number % 50);
    let length = body.len();
    format!(
        "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP c;branch=z9hG4bK{number}\r\nCall-ID: {number}\r\n\
         From: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\nCSeq: 1 OPTIONS\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

fn small() -> Limits {
    Limits {
        first_message_max: Duration::from_millis(200),
        message_max: Duration::from_millis(200),
        bad_linger: Duration::from_millis(300),
        dial_max: Duration::from_millis(300),
        ..Limits::default()
    }
}

/// A running set on one listener of the system's choice, and what it delivers.
struct House {
    streams: Streams,
    events: tokio::sync::mpsc::UnboundedReceiver<StreamEvent>,
}

impl House {
    fn open(limits: Limits) -> Self {
        Self::of(Transport::Tcp, Setup::default(), limits)
    }

    fn of(transport: Transport, setup: Setup, limits: Limits) -> Self {
        let (sender, events) = tokio::sync::mpsc::unbounded_channel();
        let address = "127.0.0.1:0".parse().unwrap();
        let listen = [Listen { place: 1, transport, address }];
        let streams = Streams::start(&listen, setup, limits, move |event| {
            sender.send(event).map_err(|unsent| unsent.0)
        })
        .unwrap();
        Self { streams, events }
    }

    async fn caller(&mut self) -> (TcpStream, Flow) {
        let stream = TcpStream::connect(self.streams.local(1).unwrap()).await.unwrap();
        let StreamEvent::Opened { flow } = self.next().await else { panic!("no Opened") };
        assert_eq!((flow.transport, flow.listener), (Transport::Tcp, 1));
        assert_eq!(flow.remote, stream.local_addr().unwrap());
        (stream, flow)
    }

    async fn next(&mut self) -> StreamEvent {
        timeout(PATIENCE, self.events.recv()).await.expect("an event in time").unwrap()
    }
}

/// Reads until the peer closes.
async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A reset is an end too.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("closed in time");
    bytes
}

#[tokio::test]
async fn messages_cross_whole_in_both_directions_however_they_are_cut() {
    let mut house = House::open(Limits::default());
    let (mut stream, flow) = house.caller().await;
    let wire: Vec<u8> = (0..40).flat_map(message).collect();
    let mut rng = types::Rng::from_number(7);
    let mut from = 0;
    while from < wire.len() {
        let to = (from + 1 + rng.below(300) as usize).min(wire.len());
        stream.write_all(&wire[from..to]).await.unwrap();
        tokio::task::yield_now().await;
        from = to;
    }
    for number in 0..40 {
        let bytes = message(number);
        assert_eq!(house.next().await, StreamEvent::Message { flow, bytes });
        house.streams.send(flow, message(number)).unwrap();
    }
    house.streams.close(flow);
    assert_eq!(rest(&mut stream).await, wire, "what was queued before closing is written");
    assert_eq!(house.next().await, StreamEvent::Closed { flow });
    assert_eq!(house.streams.send(flow, message(0)), Err(Unsent::Closed));
    assert_eq!(house.streams.count(), 0);
}

#[tokio::test]
async fn a_ping_is_answered_and_is_no_message() {
    let mut house = House::open(small());
    let (mut stream, flow) = house.caller().await;
    stream.write_all(b"\r\n\r\n").await.unwrap();
    assert_eq!(rest(&mut stream).await, b"\r\n", "then the first-message limit closes it");
    assert_eq!(house.next().await, StreamEvent::Closed { flow });
}

#[tokio::test]
async fn the_silent_and_the_dripping_are_dropped_and_others_stay() {
    let mut house = House::open(small());
    let (mut good, good_flow) = house.caller().await;
    good.write_all(&message(1)).await.unwrap();
    house.next().await;
    let (mut silent, silent_flow) = house.caller().await;
    assert_eq!(rest(&mut silent).await, b"");
    assert_eq!(house.next().await, StreamEvent::Closed { flow: silent_flow });
    let begun = std::time::Instant::now();
    good.write_all(b"OPTIONS sip:a@b SIP/2.0\r\n").await.unwrap();
    assert_eq!(house.next().await, StreamEvent::Closed { flow: good_flow });
    assert!(begun.elapsed() >= Duration::from_millis(200), "half a message gets message_max");
}

#[tokio::test]
async fn nonsense_can_be_answered_and_is_closed() {
    for nonsense in
        ["\u{16}\u{3}\u{1}hello\r\n\r\n", "OPTIONS sip:a SIP/2.0\r\nContent-Length: -1\r\n\r\n"]
    {
        let mut house = House::open(small());
        let (mut stream, flow) = house.caller().await;
        stream.write_all(nonsense.as_bytes()).await.unwrap();
        let StreamEvent::Bad { flow: of, bytes, why: _ } = house.next().await else {
            panic!("not Bad")
        };
        assert_eq!(of, flow);
        assert!(!bytes.is_empty() && nonsense.as_bytes().starts_with(&bytes), "{bytes:?}");
        house.streams.send(flow, b"SIP/2.0 400 Bad Request\r\n\r\n".to_vec()).unwrap();
        assert_eq!(rest(&mut stream).await, b"SIP/2.0 400 Bad Request\r\n\r\n");
        assert_eq!(house.next().await, StreamEvent::Closed { flow });
    }
}

#[tokio::test]
async fn a_newcomer_takes_the_place_of_the_oldest_silent_one() {
    let limits = Limits { address_connections_max: 3, ..Limits::default() };
    let mut house = House::open(limits);
    let mut standing = Vec::new();
    for number in 0..3 {
        let (mut stream, flow) = house.caller().await;
        if number != 1 {
            stream.write_all(&message(number)).await.unwrap();
            house.next().await;
        }
        standing.push((stream, flow));
    }
    let mut newcomer = TcpStream::connect(house.streams.local(1).unwrap()).await.unwrap();
    let mut pair = [house.next().await, house.next().await];
    pair.sort_by_key(|event| matches!(event, StreamEvent::Opened { .. }));
    assert_eq!(pair[0], StreamEvent::Closed { flow: standing[1].1 });
    newcomer.write_all(&message(9)).await.unwrap();
    assert!(matches!(house.next().await, StreamEvent::Message { .. }));
    // Now all three have spoken: the next one is turned away.
    let mut refused = TcpStream::connect(house.streams.local(1).unwrap()).await.unwrap();
    assert_eq!(rest(&mut refused).await, b"");
    assert_eq!(house.streams.count(), 3);
}

#[tokio::test]
async fn who_does_not_read_is_closed_when_the_queue_is_full() {
    let limits = Limits { queue_bytes_max: 100_000, ..Limits::default() };
    let mut house = House::open(limits);
    let (stream, flow) = house.caller().await;
    let mut sent = 0;
    while house.streams.send(flow, vec![b'x'; 50_000]).is_ok() {
        sent += 1;
        assert!(sent < 10_000, "the queue has no end");
        tokio::task::yield_now().await;
    }
    let mut back = 0;
    loop {
        match house.next().await {
            StreamEvent::Undelivered { flow: of, .. } if of == flow => back += 1,
            last => break assert_eq!(last, StreamEvent::Closed { flow }),
        }
    }
    assert!(back > 0, "what waited is told");
    drop(stream);
}

#[tokio::test]
async fn dialling_reuses_a_standing_connection_and_reports_a_failure() {
    let mut there = House::open(Limits::default());
    let mut here = House::open(small());
    let remote = there.streams.local(1).unwrap();
    let asked = Flow { transport: Transport::Tcp, listener: 1, connection: 0, remote };
    let flow = here.streams.connect(asked).unwrap();
    here.streams.send(flow, message(5)).unwrap();
    assert_eq!(here.next().await, StreamEvent::Opened { flow });
    assert_eq!(here.streams.connect(asked), Ok(flow));
    let StreamEvent::Opened { flow: arrived } = there.next().await else { panic!("no Opened") };
    assert_eq!(there.next().await, StreamEvent::Message { flow: arrived, bytes: message(5) });
    there.streams.send(arrived, message(6)).unwrap();
    assert_eq!(here.next().await, StreamEvent::Message { flow, bytes: message(6) });
    there.streams.stop();
    assert_eq!(here.next().await, StreamEvent::Closed { flow });
    let again = here.streams.connect(asked).unwrap();
    assert_ne!(again, flow);
    here.streams.send(again, message(7)).unwrap();
    let back =
        StreamEvent::Undelivered { flow: Flow { connection: 0, ..again }, bytes: message(7) };
    assert_eq!(here.next().await, back);
    assert_eq!(here.next().await, StreamEvent::Closed { flow: again }, "nobody listens any more");
}

#[tokio::test]
async fn a_full_mailbox_slows_the_peer_and_loses_nothing() {
    let (sender, receiver) = mpsc::sync_channel(2);
    let address = "127.0.0.1:0".parse().unwrap();
    let listen = [Listen { place: 0, transport: Transport::Tcp, address }];
    let streams = Streams::start(&listen, Setup::default(), Limits::default(), move |event| {
        sender.try_send(event).map_err(|full| match full {
            mpsc::TrySendError::Full(event) | mpsc::TrySendError::Disconnected(event) => event,
        })
    })
    .unwrap();
    let mut stream = TcpStream::connect(streams.local(0).unwrap()).await.unwrap();
    let wire: Vec<u8> = (0..100).flat_map(message).collect();
    stream.write_all(&wire).await.unwrap();
    drop(stream);
    let seen = tokio::task::spawn_blocking(move || {
        let mut seen = Vec::new();
        loop {
            match receiver.recv_timeout(PATIENCE).expect("an event in time") {
                StreamEvent::Message { bytes, .. } => seen.extend(bytes),
                StreamEvent::Closed { .. } => return seen,
                StreamEvent::Opened { .. }
                | StreamEvent::Bad { .. }
                | StreamEvent::Undelivered { .. } => (),
            }
        }
    });
    assert_eq!(seen.await.unwrap(), wire);
}

/// A certificate of our own in files of our own; who is to trust it reads the same files.
fn secured(folder: &tempfile::TempDir, name: &str) -> (Files, Setup) {
    secured_by(folder, name, false)
}

fn secured_by(folder: &tempfile::TempDir, name: &str, ask_callers: bool) -> (Files, Setup) {
    let at = |file: &str| folder.path().join(file);
    let (certificate, key) = self_signed(&[name.to_owned()]).unwrap();
    std::fs::write(at("certificate"), &certificate).unwrap();
    std::fs::write(at("authorities"), &certificate).unwrap();
    std::fs::write(at("key"), key).unwrap();
    let served = Some((at("certificate"), at("key")));
    let files = Files { served, authorities: Some(at("authorities")), ask_callers };
    let tls = Some(Arc::new(Tls::open(files.clone()).unwrap()));
    (files, Setup { tls, ..Setup::default() })
}

#[tokio::test]
async fn by_tls_the_name_is_checked_and_a_new_certificate_drops_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let (_, setup) = secured(&folder, "sip.example");
    let tls = setup.tls.clone().unwrap();
    let mut there = House::of(Transport::Tls, setup.clone(), Limits::default());
    let mut here = House::of(Transport::Tls, setup, Limits::default());
    let remote = there.streams.local(1).unwrap();
    let asked = |here: &House, name: &str| {
        let connection = here.streams.peer(name);
        Flow { transport: Transport::Tls, listener: 1, connection, remote }
    };
    for wrong in [asked(&here, "other.example"), Flow { connection: 0, ..asked(&here, "x") }] {
        let flow = here.streams.connect(wrong).unwrap();
        here.streams.send(flow, message(1)).unwrap();
        assert!(matches!(here.next().await, StreamEvent::Undelivered { .. }));
        assert_eq!(here.next().await, StreamEvent::Closed { flow });
        let refused = there.next().await;
        assert!(matches!(refused, StreamEvent::Closed { .. }), "{refused:?}");
    }
    assert_eq!((here.streams.refused(), there.streams.refused()), (2, 2));
    let right = asked(&here, "sip.example");
    let flow = here.streams.connect(right).unwrap();
    here.streams.send(flow, message(2)).unwrap();
    assert_eq!(here.next().await, StreamEvent::Opened { flow });
    let StreamEvent::Opened { flow: arrived } = there.next().await else { panic!("no Opened") };
    assert_eq!(there.next().await, StreamEvent::Message { flow: arrived, bytes: message(2) });
    assert_eq!(there.streams.count_of(Transport::Tls), 1);
    // Another certificate from now on; who is connected goes on.
    secured(&folder, "new.example");
    tls.reload().unwrap();
    there.streams.send(arrived, message(3)).unwrap();
    assert_eq!(here.next().await, StreamEvent::Message { flow, bytes: message(3) });
    let fresh = here.streams.connect(asked(&here, "new.example")).unwrap();
    assert_eq!(here.next().await, StreamEvent::Opened { flow: fresh });
}

fn says_alias(port: u16) -> Vec<u8> {
    let text = String::from_utf8(message(4)).unwrap();
    text.replace("SIP/2.0/TCP c;", &format!("SIP/2.0/TLS c:{port};alias;")).into_bytes()
}

/// RFC 5923: a caller who proved his name is reached by the connection that he opened, at the port that he says.
#[tokio::test]
async fn a_caller_who_proved_a_name_is_not_dialled() {
    for (asks, alias, reused) in [(true, true, true), (true, false, false), (false, true, false)] {
        let folder = tempfile::tempdir().unwrap();
        let (_, setup) = secured_by(&folder, "sip.example", asks);
        let mut there = House::of(Transport::Tls, setup.clone(), Limits::default());
        let mut here = House::of(Transport::Tls, setup, Limits::default());
        let own = here.streams.local(1).unwrap();
        let to = |house: &House, name: &str, remote| Flow {
            transport: Transport::Tls,
            listener: 1,
            connection: house.streams.peer(name),
            remote,
        };
        let flow = here.streams.connect(to(&here, "sip.example", there.streams.local(1).unwrap()));
        let flow = flow.unwrap();
        let first = if alias { says_alias(own.port()) } else { message(4) };
        here.streams.send(flow, first).unwrap();
        assert_eq!(here.next().await, StreamEvent::Opened { flow });
        let StreamEvent::Opened { flow: arrived } = there.next().await else { panic!("no Opened") };
        assert!(matches!(there.next().await, StreamEvent::Message { .. }));
        // What goes to his listener, under the name that he proved …
        let back = there.streams.connect(to(&there, "sip.example", own)).unwrap();
        assert_eq!(back == arrived, reused, "{asks} {alias}");
        // … and under no other.
        let other = there.streams.connect(to(&there, "other.example", own)).unwrap();
        assert_ne!(other, arrived);
        if reused {
            there.streams.send(back, message(6)).unwrap();
            assert_eq!(here.next().await, StreamEvent::Message { flow, bytes: message(6) });
            // When it is gone, he is dialled.
            here.streams.close(flow);
            while there.next().await != (StreamEvent::Closed { flow: arrived }) {}
            assert_ne!(there.streams.connect(to(&there, "sip.example", own)).unwrap(), arrived);
        }
    }
}

/// A certificate that nobody vouches for ends the handshake; none at all does not.
#[tokio::test]
async fn a_caller_who_is_asked_may_be_nobody_but_no_liar() {
    let (folder, liar) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (files, setup) = secured_by(&folder, "sip.example", true);
    let mut there = House::of(Transport::Tls, setup, Limits::default());
    let remote = there.streams.local(1).unwrap();
    let (strange, _) = secured(&liar, "sip.example");
    for (served, welcome) in [(None, true), (strange.served, false)] {
        let tls = Tls::open(Files { served, ..files.clone() }).unwrap();
        let setup = Setup { tls: Some(Arc::new(tls)), ..Setup::default() };
        let here = House::of(Transport::Tls, setup, Limits::default());
        let connection = here.streams.peer("sip.example");
        let asked = Flow { transport: Transport::Tls, listener: 1, connection, remote };
        let flow = here.streams.connect(asked).unwrap();
        here.streams.send(flow, says_alias(5061)).unwrap();
        let came = there.next().await;
        assert_eq!(matches!(came, StreamEvent::Opened { .. }), welcome, "{came:?}");
        if welcome {
            assert!(matches!(there.next().await, StreamEvent::Message { .. }));
            here.streams.close(flow);
            assert!(matches!(there.next().await, StreamEvent::Closed { .. }));
        }
    }
}

#[tokio::test]
async fn a_handshake_that_drips_or_is_none_ends() {
    let folder = tempfile::tempdir().unwrap();
    let (_, setup) = secured(&folder, "sip.example");
    let limits = Limits { handshake_max: Duration::from_millis(200), ..small() };
    let house = House::of(Transport::Tls, setup, limits);
    let record = |kind: u8, length: u16| {
        let [high, low] = length.to_be_bytes();
        let mut octets = vec![kind, 3, 1, high, low];
        octets.resize(5 + usize::from(length), 0);
        octets
    };
    let half_hello = record(22, 500)[..40].to_vec();
    let nonsense = [half_hello, record(22, 20), record(23, 9), record(99, 0xffff), message(1)];
    let count = nonsense.len() as u64;
    for bytes in nonsense {
        let mut stream = TcpStream::connect(house.streams.local(1).unwrap()).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        rest(&mut stream).await;
    }
    assert_eq!(house.streams.refused(), count);
    assert_eq!(house.streams.count(), 0);
}

#[tokio::test]
async fn who_only_pings_without_end_is_closed() {
    let limits = Limits { pings_max: 5, ..Limits::default() };
    let mut house = House::open(limits);
    let (mut stream, flow) = house.caller().await;
    stream.write_all(&b"\r\n\r\n".repeat(50)).await.unwrap();
    let answers = rest(&mut stream).await;
    assert!(answers.len() <= 10, "{answers:?}");
    assert_eq!(house.next().await, StreamEvent::Closed { flow });
}

/// A frame as a client sends it, masked with zeros.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let [high, low] = (payload.len() as u16).to_be_bytes();
    [&[first, 0x80 | 126, high, low, 0, 0, 0, 0], payload].concat()
}

#[tokio::test]
async fn web_sockets_carry_one_message_each_and_are_told_why_they_end() {
    const HELLO: &[u8] =
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Protocol: sip\r\n\r\n";
    let limits = Limits { pings_max: 5, ..small() };
    let mut house = House::of(Transport::Ws, Setup::default(), limits);
    let mut opened = async || {
        let mut stream = TcpStream::connect(house.streams.local(1).unwrap()).await.unwrap();
        let StreamEvent::Opened { flow } = house.next().await else { panic!("no Opened") };
        stream.write_all(HELLO).await.unwrap();
        let mut octets = Vec::new();
        while !octets.ends_with(b"\r\n\r\n") {
            octets.push(stream.read_u8().await.unwrap());
        }
        assert!(octets.starts_with(b"HTTP/1.1 101 "));
        (stream, flow)
    };
    let (mut stream, flow) = opened().await;
    let (mut flooding, flood) = opened().await;
    let (mut broken, bad) = opened().await;
    stream.write_all(&frame(0x81, &message(3))).await.unwrap();
    assert_eq!(house.next().await, StreamEvent::Message { flow, bytes: message(3) });
    house.streams.send(flow, b"hello".to_vec()).unwrap();
    let mut octets = [0; 7];
    stream.read_exact(&mut octets).await.unwrap();
    assert_eq!(octets, *b"\x81\x05hello");
    for _ in 0..6 {
        flooding.write_all(&frame(0x89, b"")).await.unwrap();
    }
    let end = rest(&mut flooding).await;
    assert!(end.ends_with(&[0x88, 2, 0x03, 0xf0]), "1008: {end:?}");
    broken.write_all(&frame(0x81, b"no SIP at all")).await.unwrap();
    rest(&mut broken).await;
    let mut ends = Vec::new();
    while ends.len() < 2 {
        match house.next().await {
            StreamEvent::Bad { flow, .. } => assert_eq!(flow, bad),
            StreamEvent::Closed { flow } => ends.push(flow),
            other => panic!("{other:?}"),
        }
    }
    ends.sort();
    assert_eq!(ends, [flood, bad]);
    assert_eq!(house.streams.connect(Flow { connection: 0, ..flow }), Err(Unsent::Closed));
}
