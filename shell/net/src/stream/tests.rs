//! Over loopback, with the limits made small so that no test waits long.

use std::sync::mpsc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::*;

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
        let (sender, events) = tokio::sync::mpsc::unbounded_channel();
        let listen = [(1, "127.0.0.1:0".parse().unwrap())];
        let streams = Streams::start(&listen, limits, move |event| {
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
    assert_eq!(house.next().await, StreamEvent::Closed { flow });
    drop(stream);
}

#[tokio::test]
async fn dialling_reuses_a_standing_connection_and_reports_a_failure() {
    let mut there = House::open(Limits::default());
    let mut here = House::open(small());
    let remote = there.streams.local(1).unwrap();
    let flow = here.streams.connect(1, remote).unwrap();
    here.streams.send(flow, message(5)).unwrap();
    assert_eq!(here.next().await, StreamEvent::Opened { flow });
    assert_eq!(here.streams.connect(1, remote), Ok(flow));
    let StreamEvent::Opened { flow: arrived } = there.next().await else { panic!("no Opened") };
    assert_eq!(there.next().await, StreamEvent::Message { flow: arrived, bytes: message(5) });
    there.streams.send(arrived, message(6)).unwrap();
    assert_eq!(here.next().await, StreamEvent::Message { flow, bytes: message(6) });
    there.streams.stop();
    assert_eq!(here.next().await, StreamEvent::Closed { flow });
    let again = here.streams.connect(1, remote).unwrap();
    assert_ne!(again, flow);
    assert_eq!(here.next().await, StreamEvent::Closed { flow: again }, "nobody listens any more");
}

#[tokio::test]
async fn a_full_mailbox_slows_the_peer_and_loses_nothing() {
    let (sender, receiver) = mpsc::sync_channel(2);
    let listen = [(0, "127.0.0.1:0".parse().unwrap())];
    let streams = Streams::start(&listen, Limits::default(), move |event| {
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
                StreamEvent::Opened { .. } | StreamEvent::Bad { .. } => (),
            }
        }
    });
    assert_eq!(seen.await.unwrap(), wire);
}
