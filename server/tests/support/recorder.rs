//! A recording server that is a few sockets of the test: takes every recording session and keeps what comes.
//!
//! Picture     INVITE --200 (recvonly, a port for each section)--> sound of each section --> heard;  UPDATE, BYE --200-->
//! Rules       It speaks TCP, as what it is told is longer than a datagram should be. It ends with the test program.
//! Limits      Two sections.
//! Not here    What is proved.
//! Spec        RFC 7866 §6.2

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;

use media::g711::Law;

use super::namespace::Namespace;
use super::raw::Heard;
use super::{STEP, until};

/// Octets before the sound.
const HEAD: usize = 12;

/// See the head of this file.
pub struct Recorder {
    pub address: SocketAddr,
    requests: Arc<Mutex<Vec<Heard>>>,
    tracks: [Arc<Mutex<Vec<i16>>>; 2],
}

impl Recorder {
    pub fn start(host: &Namespace) -> Self {
        let listener = host.enter(|| TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let tracks: [Arc<Mutex<Vec<i16>>>; 2] = Default::default();
        let ports = [0, 1].map(|track| {
            let socket = host.enter(|| UdpSocket::bind("127.0.0.1:0")).expect("a free port");
            let port = socket.local_addr().expect("a bound socket").port();
            let heard = Arc::clone(&tracks[track]);
            thread::spawn(move || listen(&socket, &heard));
            port
        });
        let requests = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&requests);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let log = Arc::clone(&log);
                thread::spawn(move || serve(stream, (address, ports), &log));
            }
        });
        Self { address, requests, tracks }
    }

    /// The request of this method.
    #[track_caller]
    pub fn asked(&self, method: &str) -> Heard {
        until(STEP, &format!("a {method} at the recording server"), || {
            let requests = self.requests.lock().expect("nobody panicked with it");
            requests.iter().find(|request| request.method() == method).cloned()
        })
    }

    /// All samples of one of its sections.
    pub fn heard(&self, track: usize) -> Vec<i16> {
        self.tracks[track].lock().expect("nobody panicked with it").clone()
    }
}

fn listen(socket: &UdpSocket, heard: &Mutex<Vec<i16>>) {
    let mut octets = [0; 2_048];
    while let Ok(count) = socket.recv(&mut octets) {
        let packet = &octets[..count];
        if packet.len() > HEAD && packet[1] & 0x7f == Law::Mu.payload_type() {
            let samples = Law::Mu.decode_all(&packet[HEAD..]);
            heard.lock().expect("nobody panicked with it").extend(samples);
        }
    }
}

/// Answers on one connection until it ends.
fn serve(mut stream: TcpStream, (own, ports): (SocketAddr, [u16; 2]), log: &Mutex<Vec<Heard>>) {
    while let Some(request) = read(&mut stream) {
        let method = request.method().to_owned();
        let offered = request.text.lines().filter(|line| line.starts_with("m=audio ")).count();
        log.lock().expect("nobody panicked with it").push(request.clone());
        if method == "ACK" {
            continue;
        }
        let mut text = "SIP/2.0 200 OK\r\n".to_owned();
        for name in ["Via", "Record-Route", "From", "To", "Call-ID", "CSeq"] {
            for value in request.fields(name) {
                let tag = if name == "To" && !value.contains(";tag=") { ";tag=srs" } else { "" };
                text += &format!("{name}: {value}{tag}\r\n");
            }
        }
        text += &format!(
            "Contact: <sip:rec@{own};transport=tcp>;+sip.srs\r\nAllow: INVITE, ACK, BYE, UPDATE\r\n"
        );
        let mut body = String::new();
        if method == "INVITE" {
            body += "v=0\r\no=rec 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n";
            for port in &ports[..offered.min(2)] {
                body += &format!("m=audio {port} RTP/AVP 0\r\na=recvonly\r\n");
            }
            text += "Content-Type: application/sdp\r\n";
        }
        text += &format!("Content-Length: {}\r\n\r\n{body}", body.len());
        if stream.write_all(text.as_bytes()).is_err() {
            return;
        }
    }
}

/// The next message; `None`: the connection ended.
fn read(stream: &mut TcpStream) -> Option<Heard> {
    let mut octets = Vec::new();
    let mut octet = [0];
    while !octets.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut octet).ok()?;
        octets.push(octet[0]);
        if octets == b"\r\n" {
            octets.clear(); // Between messages.
        }
    }
    let head = Heard { text: String::from_utf8(octets).ok()? };
    let mut body = vec![0; head.field("Content-Length")?.parse().ok()?];
    stream.read_exact(&mut body).ok()?;
    Some(Heard { text: head.text + &String::from_utf8(body).ok()? })
}
