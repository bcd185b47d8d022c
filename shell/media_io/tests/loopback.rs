//! Real sockets on this machine: two peers, a stranger, and a pump between them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use types::BridgeId;

use media::g711::Law;
use media::rtp::{Header, Packet};
use media::{
    Clip, ClipId, Command, Direction, Ending, Event, Play, Rate, Seat, Side, Sound, StreamKey,
    TapId, Voice,
};
use media_io::{Doors, Pump};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Samples in a packet: 20 ms of G.711.
const FRAME: usize = 160;

/// The end of every wait in these tests.
const PATIENCE: Duration = Duration::from_secs(10);

/// An RTP and an RTCP socket of one peer.
struct Peer {
    rtp: UdpSocket,
    rtcp: UdpSocket,
}

impl Peer {
    fn new() -> Self {
        let open = || {
            let socket = UdpSocket::bind((HERE, 0)).unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket
        };
        Self { rtp: open(), rtcp: open() }
    }

    fn aim(&self, side: Side) -> Command {
        let rtp = self.rtp.local_addr().unwrap();
        let rtcp = self.rtcp.local_addr().unwrap();
        Command::Aim { stream: STREAM, seat: side.into(), rtp, rtcp, receives: true }
    }
}

const STREAM: StreamKey = StreamKey { bridge: BridgeId(7), index: 0 };

/// Even ports whose pair is free, as the system gives them.
fn free_pairs<const N: usize>() -> [u16; N] {
    let mut held = Vec::new();
    let mut found = Vec::new();
    while found.len() < N {
        let one = UdpSocket::bind((HERE, 0)).unwrap();
        let port = one.local_addr().unwrap().port() & !1;
        let other = one.local_addr().unwrap().port() ^ 1;
        if let Ok(other) = UdpSocket::bind((HERE, other)) {
            found.push(port);
            held.push(other);
        }
        held.push(one); // So that the next one is another.
    }
    found.try_into().unwrap()
}

fn start() -> (Pump, Receiver<Event>) {
    let (sender, events) = channel();
    let pump = Pump::start(
        HERE,
        media_io::IDLE_MAX,
        Doors::default(),
        media::Coders::default(),
        move |event| sender.send(event).unwrap_or(()),
    )
    .unwrap();
    (pump, events)
}

fn rtp(sequence: u16) -> Vec<u8> {
    let header = Header { sequence, ssrc: 9, ..Header::default() };
    Packet { header, payload: &[0xff; 160] }.encode()
}

const RTCP: [u8; 8] = [0x80, 201, 0, 1, 0, 0, 0, 9];

/// Waits until the pump has obeyed all that was sent: it answers every close, and in order.
#[track_caller]
fn obeyed(pump: &Pump, events: &Receiver<Event>) {
    let bridge = BridgeId(u128::MAX);
    assert!(pump.send(Command::Close { bridge }));
    let closed = Event::Closed { bridge, counts: Vec::new() };
    assert_eq!(events.recv_timeout(PATIENCE), Ok(closed));
}

/// Opens the stream on two free pairs. Another program may take a port in between: then on others.
fn open(pump: &Pump, events: &Receiver<Event>) -> [u16; 2] {
    loop {
        let ports = free_pairs();
        assert!(pump.send(Command::Open { stream: STREAM, ports }));
        assert!(pump.send(Command::Close { bridge: BridgeId(u128::MAX) }));
        match events.recv_timeout(PATIENCE).unwrap() {
            Event::Closed { .. } => return ports,
            Event::Failed { .. } => drop(events.recv_timeout(PATIENCE).unwrap()),
            other => panic!("nobody spoke: {other:?}"),
        }
    }
}

/// One packet in, the next packet out is that one.
#[track_caller]
fn passes(from: &UdpSocket, by: u16, wire: &[u8], to: &UdpSocket, leaves: u16) {
    let mut room = [0; 2048];
    from.send_to(wire, (HERE, by)).unwrap();
    let (length, sender) = to.recv_from(&mut room).unwrap();
    assert_eq!(&room[..length], wire);
    assert_eq!(sender, SocketAddr::new(HERE, leaves));
}

#[test]
fn media_and_control_pass_both_ways_and_a_stranger_does_not() {
    let (pump, events) = start();
    let [a, b] = open(&pump, &events);
    let (alice, bob, stranger) = (Peer::new(), Peer::new(), Peer::new());
    assert!(pump.send(alice.aim(Side::A)));
    assert!(pump.send(bob.aim(Side::B)));
    obeyed(&pump, &events);
    passes(&alice.rtp, a, &rtp(1), &bob.rtp, b);
    passes(&bob.rtp, b, &rtp(1), &alice.rtp, a);
    passes(&alice.rtcp, a + 1, &RTCP, &bob.rtcp, b + 1);
    passes(&bob.rtcp, b + 1, &RTCP, &alice.rtcp, a + 1);

    // The stranger's packets reach the pump before Alice's next one, and only that one comes out.
    for sequence in 0..20 {
        stranger.rtp.send_to(&rtp(sequence), (HERE, a)).unwrap();
        stranger.rtcp.send_to(&RTCP, (HERE, a + 1)).unwrap();
    }
    passes(&alice.rtp, a, &rtp(77), &bob.rtp, b);
    passes(&alice.rtcp, a + 1, &RTCP, &bob.rtcp, b + 1);

    // A re-INVITE moves Bob.
    let moved = Peer::new();
    assert!(pump.send(moved.aim(Side::B)));
    obeyed(&pump, &events);
    passes(&alice.rtp, a, &rtp(78), &moved.rtp, b);
    passes(&moved.rtp, b, &rtp(78), &alice.rtp, a);

    assert!(pump.send(Command::Close { bridge: STREAM.bridge }));
    let Event::Closed { bridge, counts } = events.recv_timeout(PATIENCE).unwrap() else {
        panic!("no end");
    };
    assert_eq!((bridge, counts.len()), (STREAM.bridge, 1));
    let (index, [from_a, from_b]) = counts[0];
    assert_eq!(index, 0);
    assert_eq!((from_a.packets, from_a.rtcp, from_a.dropped), (3, 2, 40));
    assert_eq!((from_b.packets, from_b.rtcp, from_b.dropped), (2, 1, 0));
    pump.stop();
}

#[test]
fn sockets_stay_bound_for_the_next_bridge_and_close_with_the_pump() {
    let (pump, events) = start();
    let [a, b] = open(&pump, &events);
    for _ in 0..3 {
        let (alice, bob) = (Peer::new(), Peer::new());
        pump.send(Command::Open { stream: STREAM, ports: [a, b] });
        pump.send(alice.aim(Side::A));
        pump.send(bob.aim(Side::B));
        obeyed(&pump, &events);
        passes(&alice.rtp, a, &rtp(1), &bob.rtp, b);
        pump.send(Command::Close { bridge: STREAM.bridge });
        assert!(matches!(events.recv_timeout(PATIENCE), Ok(Event::Closed { .. })));
        assert!(UdpSocket::bind((HERE, a)).is_err());
    }
    drop(pump);
    for port in [a, a + 1, b, b + 1] {
        UdpSocket::bind((HERE, port)).unwrap();
    }
}

#[test]
fn a_port_in_use_is_told_and_the_pump_goes_on() {
    let ([a, b], (pump, events)) = (free_pairs(), start());
    let Ok(held) = UdpSocket::bind((HERE, b + 1)) else { return }; // Somebody else holds it.
    pump.send(Command::Open { stream: STREAM, ports: [a, b] });
    let told = events.recv_timeout(PATIENCE);
    assert!(
        matches!(told, Ok(Event::Failed { stream: STREAM, seat: Seat::B, port }) if port == b + 1)
    );
    drop(held);
    let (alice, bob) = (Peer::new(), Peer::new());
    let [a, c] = open(&pump, &events);
    pump.send(alice.aim(Side::A));
    pump.send(bob.aim(Side::B));
    obeyed(&pump, &events);
    passes(&alice.rtp, a, &rtp(1), &bob.rtp, c);
}

#[test]
fn a_dual_stack_pump_reaches_old_addresses() {
    let (sender, events) = channel();
    let any = IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED);
    let Ok(_) = UdpSocket::bind((any, 0)) else { return }; // A machine without IPv6.
    let pump = Pump::start(
        any,
        media_io::IDLE_MAX,
        Doors::default(),
        media::Coders::default(),
        move |event| sender.send(event).unwrap_or(()),
    )
    .unwrap();
    let [a, b] = open(&pump, &events);
    let (alice, bob) = (Peer::new(), Peer::new());
    pump.send(alice.aim(Side::A));
    pump.send(bob.aim(Side::B));
    obeyed(&pump, &events);
    passes(&alice.rtp, a, &rtp(1), &bob.rtp, b);
    passes(&bob.rtp, b, &rtp(1), &alice.rtp, a);
}

#[test]
fn a_burst_of_commands_is_obeyed_to_the_last() {
    let (pump, events) = start();
    for number in 0..2000 {
        assert!(pump.send(Command::Close { bridge: BridgeId(number) }));
    }
    for number in 0..2000 {
        let closed = Event::Closed { bridge: BridgeId(number), counts: Vec::new() };
        assert_eq!(events.recv_timeout(PATIENCE), Ok(closed));
    }
}

/// What the next packet at `socket` sounds like: its numbers, and its first sample.
#[track_caller]
fn sample(socket: &UdpSocket) -> (Header, i16) {
    let mut room = [0; 2048];
    let (length, _) = socket.recv_from(&mut room).unwrap();
    let packet = Packet::decode(&room[..length]).unwrap();
    assert_eq!(packet.payload.len(), FRAME);
    (packet.header, Law::Mu.decode(packet.payload[0]))
}

/// Lets a guest sit down on free ports.
fn admit(pump: &Pump, events: &Receiver<Event>, seat: Seat) -> u16 {
    loop {
        let [port] = free_pairs();
        assert!(pump.send(Command::Admit { stream: STREAM, seat, port }));
        assert!(pump.send(Command::Close { bridge: BridgeId(u128::MAX) }));
        match events.recv_timeout(PATIENCE).unwrap() {
            Event::Failed { .. } => drop(events.recv_timeout(PATIENCE).unwrap()),
            Event::Closed { .. } => return port,
            other => panic!("nobody spoke: {other:?}"),
        }
    }
}

/// One phone, answered by us: it hears a clip that was lent, and what it hears is tapped.
#[test]
fn a_leg_alone_hears_a_clip_and_a_tap_hears_it_too() {
    let (pump, events) = start();
    let seat = Seat::FIRST_GUEST;
    admit(&pump, &events, seat);
    let phone = Peer::new();
    let (rtp, rtcp) = (phone.rtp.local_addr().unwrap(), phone.rtcp.local_addr().unwrap());
    let (id, tap) = (ClipId(5), TapId(6));
    let form = |rate: Rate| vec![3000; rate.frame() * 10].into();
    assert!(pump.lend(id, Clip { forms: Rate::ALL.map(form) }));
    let (sink, taken) = media_io::waiting(100, || panic!("nothing is lost"));
    assert!(pump.tap(tap, sink));
    let (rate, direction) = (Rate::Narrow, Direction::Out);
    assert!(pump.send(Command::Tap { stream: STREAM, seat: Some(seat), tap, rate, direction }));
    assert!(pump.send(Command::Aim { stream: STREAM, seat, rtp, rtcp, receives: true }));
    let sound = Some(Sound::of(Law::Mu.into(), None));
    let part = Command::Take { stream: STREAM, seat, sound, voice: Voice::All, chance: 1 };
    assert!(pump.send(part));
    let play = Play::Clips { clips: vec![id], from: Duration::ZERO, times: 1 };
    let (seat, sound, alone) = (Some(seat), 9, true);
    assert!(pump.send(Command::Play { stream: STREAM, seat, play, sound, alone }));
    let mut heard = 0;
    while heard < 10 {
        heard += usize::from((2900..3100).contains(&sample(&phone.rtp).1));
    }
    let (after, how) = (Duration::from_millis(200), Ending::Ended);
    let played = Event::Played { stream: STREAM, seat, sound, after, how };
    assert_eq!(events.recv_timeout(PATIENCE), Ok(played));
    assert!(pump.forget(id) && pump.send(Command::Untap { tap }));
    assert_eq!(events.recv_timeout(PATIENCE), Ok(Event::Untapped { stream: STREAM, tap }));
    // The end of the tap is the end of its frames.
    let loud = taken.iter().filter(|frame| frame.samples.iter().all(|sample| *sample == 3000));
    assert_eq!(loud.count(), 10);
}

/// Three voices of one level each: who hears which is told by the sum.
#[test]
fn three_are_mixed_in_time_and_two_pass_again() {
    let (pump, events) = start();
    let [a, b] = open(&pump, &events);
    let (alice, bob, carol) = (Peer::new(), Peer::new(), Peer::new());
    assert!(pump.send(alice.aim(Side::A)) && pump.send(bob.aim(Side::B)));
    let seat = Seat::FIRST_GUEST;
    let c = admit(&pump, &events, seat);
    let (rtp, rtcp) = (carol.rtp.local_addr().unwrap(), carol.rtcp.local_addr().unwrap());
    assert!(pump.send(Command::Aim { stream: STREAM, seat, rtp, rtcp, receives: true }));
    for seat in [Seat::A, Seat::B, seat] {
        let sound = Some(Sound::of(Law::Mu.into(), None));
        let voice = Voice::All;
        assert!(pump.send(Command::Take { stream: STREAM, seat, sound, voice, chance: 1 }));
    }
    obeyed(&pump, &events);
    // The clock of this test is the pump's own: one packet of each for every one that Carol gets.
    let levels = [(&alice, a, 1000), (&bob, b, 2000), (&carol, c, 4000)];
    let law = Law::Mu;
    let round = |sequence: u16| {
        for (peer, port, level) in levels {
            let timestamp = u32::from(sequence) * 160;
            let ssrc = level as u32;
            let header = Header { sequence, timestamp, ssrc, ..Header::default() };
            let wire = Packet { header, payload: &[law.encode(level); FRAME] }.encode();
            peer.rtp.send_to(&wire, (HERE, port)).unwrap();
        }
    };
    let sums = [(&alice, 6000), (&bob, 5000), (&carol, 3000)];
    let close = |heard: i16, wanted: i16| (heard - wanted).abs() < 300;
    let mut right = [false; 3];
    let mut newest = None;
    for sequence in 0..500 {
        round(sequence);
        let (header, heard) = sample(&carol.rtp);
        if let Some((number, time)) = newest.replace((header.sequence, header.timestamp)) {
            assert_eq!(header.sequence.wrapping_sub(number), 1);
            assert_eq!(header.timestamp.wrapping_sub(time) % 160, 0);
        }
        right[2] |= close(heard, sums[2].1);
        for (place, (peer, wanted)) in sums.iter().enumerate().take(2) {
            let heard = sample(&peer.rtp).1;
            right[place] |= close(heard, *wanted);
        }
        if right == [true; 3] {
            break;
        }
    }
    assert_eq!(right, [true; 3]);
    assert!(pump.send(Command::Leave { stream: STREAM, seat }));
    obeyed(&pump, &events);
    // What waits of the mix is read first; then Bob's own packets come, under the source that Alice knows.
    round(1000);
    let (mut header, mut heard) = sample(&alice.rtp);
    let ssrc = header.ssrc;
    while !close(heard, 2000) {
        (header, heard) = sample(&alice.rtp);
    }
    assert_eq!(header.ssrc, ssrc);
}

/// Aims of a phone that sends and hears by one socket.
fn aimed(stream: StreamKey, side: Side, phone: &UdpSocket) -> Command {
    let rtp = phone.local_addr().unwrap();
    Command::Aim { stream, seat: side.into(), rtp, rtcp: rtp, receives: true }
}

#[test]
fn many_calls_share_one_port_and_no_stranger_gets_into_any() {
    const CALLS: usize = 20;
    let (sender, events) = channel();
    let (many, shared) = loop {
        let [port] = free_pairs();
        if let Ok(pair) = media_io::Door::bind_pair(SocketAddr::new(HERE, port)) {
            break (port, vec![pair]);
        }
    };
    let doors = Doors { shared, ..Doors::default() };
    let pump =
        Pump::start(HERE, media_io::IDLE_MAX, doors, media::Coders::default(), move |event| {
            sender.send(event).unwrap_or(())
        })
        .unwrap();
    let phones: Vec<[UdpSocket; 2]> =
        (0..CALLS).map(|_| [Peer::new().rtp, Peer::new().rtp]).collect();
    for (call, phones) in phones.iter().enumerate() {
        let stream = StreamKey { bridge: BridgeId(call as u128 + 1), index: 0 };
        // Names, at which nothing listens: another program may have them.
        let ports = [100 + 4 * call as u16, 102 + 4 * call as u16];
        for port in ports {
            assert!(pump.send(Command::Share { port, by: many }));
        }
        assert!(pump.send(Command::Open { stream, ports }));
        for (side, phone) in Side::BOTH.into_iter().zip(phones) {
            assert!(pump.send(aimed(stream, side, phone)));
        }
    }
    obeyed(&pump, &events);
    let stranger = Peer::new();
    for round in 0..20u16 {
        stranger.rtp.send_to(&rtp(round), (HERE, many)).unwrap();
        stranger.rtcp.send_to(&RTCP, (HERE, many + 1)).unwrap();
        for (call, [a, b]) in phones.iter().enumerate() {
            passes(a, many, &rtp(1000 * round + call as u16), b, many);
            passes(b, many, &rtp(1000 * round + call as u16), a, many);
        }
    }
    // All at once: whatever comes in one batch goes to whom it is for.
    for (call, [a, _]) in phones.iter().enumerate() {
        a.send_to(&rtp(call as u16), (HERE, many)).unwrap();
    }
    let mut room = [0; 2048];
    for (call, [_, b]) in phones.iter().enumerate() {
        let length = b.recv(&mut room).unwrap();
        assert_eq!(room[..length], rtp(call as u16));
    }
    for (call, [a, b]) in phones.iter().enumerate() {
        let bridge = BridgeId(call as u128 + 1);
        assert!(pump.send(Command::Close { bridge }));
        let Event::Closed { counts, .. } = events.recv_timeout(PATIENCE).unwrap() else {
            panic!("somebody was latched")
        };
        assert_eq!((counts[0].1[0].dropped, counts[0].1[1].dropped), (0, 0));
        for phone in [a, b] {
            phone.set_nonblocking(true).unwrap();
            assert!(phone.recv(&mut room).is_err(), "somebody heard too much");
        }
    }
    assert!(pump.strangers() >= 40, "{}", pump.strangers());
}
