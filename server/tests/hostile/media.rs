//! Classes 73 to 79: what comes to the ports of media while others talk, and files that lie.
//!
//! A call of Alice and Bob goes on all the while: behind each class a packet of each reaches the other, octet by octet.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use types::Rng;

use crate::siege::{Siege, Stranger, Talk};
use crate::support::raw::Heard;
use crate::support::{STEP, until};

/// Where the descriptions of these phones say that they hear.
const OWN: u16 = 40_000;
/// The port of browsers, as it ships.
const BROWSERS: u16 = 21_000;
/// Broken datagrams of one class.
const BROKEN: usize = 2_000;
/// A packet of RTP with 20 ms of sound. Units: octets.
const PACKET: usize = 12 + 160;

/// A phone's end of the sound.
struct Ear {
    socket: UdpSocket,
    /// Our port for it.
    server: SocketAddr,
    ssrc: u32,
    sequence: u16,
}

impl Ear {
    #[track_caller]
    fn open(siege: &Siege, own: &str, description: &Heard, ssrc: u32) -> Self {
        let port = description.text.split("\r\nm=audio ").nth(1).expect("a section of sound");
        let port: u16 = port.split(' ').next().and_then(|port| port.parse().ok()).expect("a port");
        let socket = siege.drill.host.enter(|| UdpSocket::bind((own, OWN))).expect("a free port");
        let server = SocketAddr::from(([127, 0, 0, 1], port));
        Self { socket, server, ssrc, sequence: 1 }
    }

    /// The next packet, whose sound is one octet again and again.
    fn packet(&mut self, sound: u8) -> Vec<u8> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut packet = vec![0x80, 0];
        packet.extend(self.sequence.to_be_bytes());
        packet.extend((u32::from(self.sequence) * 160).to_be_bytes());
        packet.extend(self.ssrc.to_be_bytes());
        packet.resize(PACKET, sound);
        packet
    }

    fn send(&self, octets: &[u8]) {
        self.socket.send_to(octets, self.server).expect("a datagram leaves");
    }

    /// The next datagram that came, if one comes within this time.
    fn next(&self, limit: Duration) -> Option<Vec<u8>> {
        let mut room = [0; 2_048];
        self.socket.set_read_timeout(Some(limit)).expect("a wait has a limit");
        loop {
            match self.socket.recv_from(&mut room) {
                Ok((count, _)) => return Some(room[..count].to_vec()),
                Err(fault) if fault.kind() == ErrorKind::Interrupted => (),
                Err(_) => return None,
            }
        }
    }

    /// All that came so far.
    fn came(&self) -> Vec<Vec<u8>> {
        let mut room = [0; 2_048];
        self.socket.set_nonblocking(true).expect("a socket of ours");
        let next =
            || self.socket.recv_from(&mut room).ok().map(|(count, _)| room[..count].to_vec());
        let came = std::iter::from_fn(next).collect();
        self.socket.set_nonblocking(false).expect("a socket of ours");
        came
    }
}

/// A call with sound, and both ends of it.
struct Talking {
    talk: Talk,
    phones: [Stranger; 2],
    ears: [Ear; 2],
    /// What the next packet that must arrive holds.
    sound: u8,
}

impl Talking {
    #[track_caller]
    fn begin(siege: &Siege) -> Self {
        let (mut alice, bob) = (siege.phone("alice", 11), siege.phone("bob", 12));
        let talk = Talk::begin(&mut alice, &bob);
        let answer = talk.ok.as_ref().expect("an answered call");
        let ears = [
            Ear::open(siege, "127.0.0.11", answer, 0x0a11_ce00),
            Ear::open(siege, "127.0.0.12", &talk.rung, 0x0b0b_0000),
        ];
        let mut talking = Self { talk, phones: [alice, bob], ears, sound: 0 };
        talking.goes_on("the beginning");
        talking
    }

    /// Each hears the other, octet by octet. A leg whose second is full of nonsense takes no more in it, so it is said
    /// again until it is heard. Gives what else came.
    #[track_caller]
    fn goes_on(&mut self, what: &str) -> Vec<Vec<u8>> {
        let mut others = Vec::new();
        for (from, to) in [(0, 1), (1, 0)] {
            self.sound = self.sound.wrapping_add(1);
            let sound = self.sound;
            until(STEP, &format!("{what}: {from} is heard by {to}"), || {
                let packet = self.ears[from].packet(sound);
                self.ears[from].send(&packet);
                let heard = self.ears[to].next(Duration::from_millis(50))?;
                let is_it = heard.len() == PACKET && heard[12..] == packet[12..];
                if !is_it {
                    others.push(heard);
                }
                is_it.then_some(())
            });
        }
        others.extend(self.ears.iter().flat_map(Ear::came));
        others
    }

    #[track_caller]
    fn end(self) {
        let [alice, bob] = &self.phones;
        self.talk.end(alice, bob);
    }
}

/// One of these with some octets changed, cut or added.
fn broken(good: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
    let mut octets = good[rng.below(good.len() as u64) as usize].clone();
    for _ in 0..=rng.below(8) {
        let place = rng.below(octets.len().max(1) as u64) as usize;
        match rng.below(4) {
            0 => octets.truncate(place),
            1 => octets.extend((0..rng.below(64)).map(|_| rng.below(256) as u8)),
            _ => octets
                .iter_mut()
                .skip(place)
                .take(1)
                .for_each(|octet| *octet = rng.below(256) as u8),
        }
    }
    octets
}

/// RTP, two reports in one, a check of ICE with its proof, and the first words of a handshake.
fn good(ear: &mut Ear) -> Vec<Vec<u8>> {
    let mut report = vec![0x81, 201, 0, 7];
    report.extend(ear.ssrc.to_be_bytes());
    report.resize(32, 0);
    report.extend([0x81, 202, 0, 2]);
    report.extend(ear.ssrc.to_be_bytes());
    report.extend([1, 1, b'x', 0]);
    let mut check = vec![0, 1, 0, 36, 0x21, 0x12, 0xa4, 0x42];
    check.extend(1..=12);
    check.extend([0, 6, 0, 3, b'a', b':', b'b', 0, 0, 0x24, 0, 4, 0, 0, 0, 1, 0, 8, 0, 20]);
    check.resize(20 + 36, 7);
    let mut hello = vec![22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 60, 1, 0, 0, 48, 0, 0, 0, 0, 0];
    hello.resize(13 + 60, 3);
    vec![ear.packet(0xff), report, check, hello]
}

#[test]
fn rows_73_to_76_what_comes_to_the_ports_of_a_call() {
    let mut siege = Siege::lay();
    let mut rng = Rng::from_number(73);
    let mut talking = Talking::begin(&siege);
    let third = siege.drill.host.enter(|| UdpSocket::bind(("127.0.0.66", OWN))).expect("free");
    third.set_nonblocking(true).expect("a socket of ours");

    // 73: by the phone itself, to the port of sound and to that of reports.
    let forms = good(&mut talking.ears[0]);
    for turn in 0..BROKEN {
        let octets = broken(&forms, &mut rng);
        let ear = &talking.ears[0];
        let port = ear.server.port() + (turn % 2) as u16;
        ear.socket.send_to(&octets, (ear.server.ip(), port)).expect("a datagram leaves");
    }
    talking.goes_on("nonsense of a phone");

    // 74: by a third address, right in all but where it comes from.
    for turn in 0..BROKEN {
        let ear = &mut talking.ears[turn % 2];
        let packet = ear.packet(0xee);
        third.send_to(&packet, ear.server).expect("a datagram leaves");
        third.send_to(&broken(&forms, &mut rng), ear.server).expect("a datagram leaves");
    }
    // Behind a packet that arrives, all that came before it has been looked at.
    let heard = talking.goes_on("a third address");
    let heard = heard.iter().find(|octets| octets.contains(&0xee));
    assert_eq!(heard, None, "somebody else was heard");
    assert!(third.recv_from(&mut [0; 2_048]).is_err(), "the third address heard something");

    // 75: more than a leg takes.
    let began = Instant::now();
    let flood = talking.ears[0].packet(0xdd);
    while began.elapsed() < Duration::from_secs(1) {
        (0..100).for_each(|_| drop(third.send_to(&flood, talking.ears[0].server)));
    }
    talking.goes_on("a flood");
    assert!(third.recv_from(&mut [0; 2_048]).is_err(), "the third address heard something");

    // 76: the port of browsers, to which nobody here belongs.
    let browsers = SocketAddr::from(([127, 0, 0, 1], BROWSERS));
    let mut sent = 0;
    for _ in 0..BROKEN {
        let octets = broken(&forms, &mut rng);
        sent += octets.len();
        third.send_to(&octets, browsers).expect("a datagram leaves");
    }
    talking.goes_on("noise at the port of browsers");
    let mut room = [0; 2_048];
    let got: usize =
        std::iter::from_fn(|| third.recv_from(&mut room).ok()).map(|(count, _)| count).sum();
    assert!(got <= sent, "{got} octets for {sent}");

    talking.end();
    siege.stands("media", &[]);
}

/// A file of this many octets of sound that says so much of itself.
fn wave(says: u32, octets: usize) -> Vec<u8> {
    let mut file = b"RIFF".to_vec();
    file.extend(says.saturating_add(36).to_le_bytes());
    file.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    file.extend(8_000_u32.to_le_bytes());
    file.extend(16_000_u32.to_le_bytes());
    file.extend(b"\x02\0\x10\0data");
    file.extend(says.to_le_bytes());
    file.resize(44 + octets, 1);
    file
}

#[test]
fn rows_77_to_79_files_that_lie_and_uploads_that_never_end() {
    let mut siege = Siege::lay();
    let mut talking = Talking::begin(&siege);
    let door = siege.drill.door.clone();
    let upload = |body: &[u8]| {
        let token = Some(door.token.as_str());
        door.ask("POST", "/v1/media", token, "audio/wav", body)
    };

    // 77: a length that is no truth is not believed; what is there is what counts.
    for (says, octets) in [(u32::MAX - 40, 16_000), (1_000_000, 16_000), (16_000, 0), (0, 0)] {
        let answer = upload(&wave(says, octets));
        let long = answer.json()["seconds"].as_f64().unwrap_or(0.0);
        assert!(long <= octets as f64 / 16_000.0 + 0.01, "{says} {octets}: {}", answer.text());
        assert!(matches!(answer.status, 201 | 400..=499), "{says} {octets}: {}", answer.text());
    }

    // 78: what is no sound, or more of it than fifteen minutes, with a code.
    let mut rng = Rng::from_number(78);
    let noise: Vec<u8> = (0..50_000).map(|_| rng.below(256) as u8).collect();
    for body in [b"".to_vec(), b"PK\x03\x04".to_vec(), noise, wave(16_000_000, 16_000_000)] {
        let answer = upload(&body);
        let problem = answer.json();
        assert!((400..500).contains(&answer.status), "{problem}");
        assert!(problem["code"].as_str().is_some_and(|code| code.contains('.')), "{problem}");
    }
    talking.goes_on("files that lie");

    // 79: uploads that stop in the middle hold nobody up, and end.
    let stuck: Vec<TcpStream> = siege.dials(16, 8_088);
    for mut stream in &stuck {
        let head = format!(
            "POST /v1/media HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: audio/wav\r\n\
             Content-Length: 1000000\r\n\r\nRIFF",
            door.token
        );
        stream.write_all(head.as_bytes()).expect("it listens");
    }
    let began = Instant::now();
    assert_eq!(upload(&wave(16_000, 16_000)).status, 201, "others are served");
    assert!(began.elapsed() < STEP, "{:?}", began.elapsed());
    talking.goes_on("uploads that stop");
    for mut stream in stuck {
        stream.set_read_timeout(Some(STEP * 3)).expect("a wait has a limit");
        let mut said = Vec::new();
        // Closed with an answer, or without one.
        let _ = stream.read_to_end(&mut said);
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(said.is_empty() || said.contains("web.body_late"), "{said}");
    }
    talking.end();
    siege.stands("files that lie", &[]);
}
