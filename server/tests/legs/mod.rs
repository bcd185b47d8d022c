//! Phones that are a few sockets of the test: each says one tone all through its call and keeps what it hears.
//!
//! Picture     Leg::call --INVITE, digest--> server;  Choir (a thread): a packet from each every 20 ms, what comes --> heard
//! Rules       The choir keeps the pace of the clock and catches up after a pause, as a phone's sound card does.
//!             What came is one run of samples in the order of coming: the wires of these tests turn nothing round.
//! Limits      STEP for each request.
//! Not here    Phones that are programs (support::phone, support::baresip).
//! Spec        RFC 3550 §5.1, RFC 3551 §4.5.14

pub mod relay;

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use media::g711::Law;

use relay::Relay;

use crate::support::namespace::Namespace;
use crate::support::raw::{Ask, Heard, Raw};
use crate::support::wave::RATE;

/// Between two packets, and samples of one.
const TICK: Duration = Duration::from_millis(20);
const FRAME: usize = RATE / 50;
/// Octets before the sound.
const HEAD: usize = 12;

/// Who calls, and as whom.
pub struct Caller<'a> {
    pub host: &'a Namespace,
    /// Its own address.
    pub address: &'a str,
    pub server: SocketAddr,
    pub domain: &'a str,
    pub user: &'a str,
    pub password: &'a str,
}

/// One call.
pub struct Leg {
    phone: Raw,
    answer: Heard,
    sound: UdpSocket,
    /// Where the server wants its sound.
    far: SocketAddr,
    /// What it says again and again.
    says: Vec<i16>,
}

impl Leg {
    /// Calls `number` and is answered. What it says is repeated.
    #[track_caller]
    pub fn call(caller: &Caller<'_>, number: &str, says: Vec<i16>) -> Self {
        Self::call_behind(caller, None, number, says)
    }

    /// The same behind a network of this kind.
    #[track_caller]
    pub fn call_behind(
        caller: &Caller<'_>,
        network: Option<&Relay>,
        number: &str,
        says: Vec<i16>,
    ) -> Self {
        let Caller { host, address, server, domain, user, password } = *caller;
        let sound = host.enter(|| UdpSocket::bind((address, 0))).expect("a free port");
        sound.set_nonblocking(true).expect("a socket of ours");
        let port = sound.local_addr().expect("a bound socket").port();
        let mut phone = Raw::new(host, address, server);
        let named = network.map_or(port, |relay| relay.door.port());
        let body = format!(
            "v=0\r\no=leg 1 1 IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\n\
             m=audio {named} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
        );
        let ask = Ask {
            method: "INVITE",
            uri: &format!("sip:{number}@{domain}"),
            from: &format!("<sip:{user}@{domain}>;tag={port}"),
            to: &format!("<sip:{number}@{domain}>"),
            call_id: &format!("leg-{port}"),
            more: "",
            body: &body,
        };
        let answer = phone.ask_as(&ask, user, password);
        assert_eq!(answer.status(), 200, "{}", answer.text);
        phone.acknowledge(&answer);
        let far = described(&answer.text).expect("where to send sound");
        let far = network
            .map_or(far, |relay| relay.join(sound.local_addr().expect("a bound socket"), far));
        Self { phone, answer, sound, far, says }
    }

    /// Ends its call.
    #[track_caller]
    pub fn hang_up(&mut self) {
        let field = |name: &str| self.answer.field(name).unwrap_or_default().to_owned();
        let (from, to, call_id) = (field("From"), field("To"), field("Call-ID"));
        let uri = self.answer.contact();
        let (method, more, body) = ("BYE", "", "");
        let bye = Ask { method, uri: &uri, from: &from, to: &to, call_id: &call_id, more, body };
        let answer = self.phone.ask(&bye);
        assert_eq!(answer.status(), 200, "{}", answer.text);
    }

    /// Waits until the server ends its call.
    #[track_caller]
    pub fn hung_up(&mut self) {
        let bye = self.phone.hear("a BYE", |heard| heard.text.starts_with("BYE "));
        self.phone.answer(&bye, "200 OK", "", "", "");
    }

    /// Says its packet of this number. Nobody may listen yet, or any more.
    fn say(&self, number: usize) {
        let from = number * FRAME % self.says.len();
        let mut packet = vec![0x80, Law::Mu.payload_type()];
        packet.extend_from_slice(&(number as u16).to_be_bytes());
        packet.extend_from_slice(&((number * FRAME) as u32).to_be_bytes());
        packet.extend_from_slice(&u32::from(self.phone.own.port()).to_be_bytes());
        let samples = self.says.iter().cycle().skip(from).take(FRAME);
        packet.extend(samples.map(|sample| Law::Mu.encode(*sample)));
        let _ = self.sound.send_to(&packet, self.far);
    }

    /// Adds what has come.
    fn listen(&self, heard: &mut Vec<i16>) {
        let mut octets = [0; 2_048];
        while let Ok((count, _)) = self.sound.recv_from(&mut octets) {
            let packet = &octets[..count];
            if packet.len() > HEAD && packet[1] & 0x7f == Law::Mu.payload_type() {
                heard.extend(Law::Mu.decode_all(&packet[HEAD..]));
            }
        }
    }
}

/// Address and port of the first stream of a description.
fn described(text: &str) -> Option<SocketAddr> {
    let after = |mark: &str| text.lines().find_map(|line| line.strip_prefix(mark));
    let port = after("m=audio ")?.split(' ').next()?.parse().ok()?;
    Some(SocketAddr::new(after("c=IN IP4 ")?.trim().parse().ok()?, port))
}

/// Legs that speak and listen.
pub struct Choir {
    heard: Arc<Vec<Mutex<Vec<i16>>>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<Leg>>>,
}

impl Choir {
    /// From now on each says what it says.
    pub fn start(legs: Vec<Leg>) -> Self {
        let heard: Arc<Vec<_>> = Arc::new(legs.iter().map(|_| Mutex::default()).collect());
        let over = Arc::new(AtomicBool::new(false));
        let (ears, ended) = (Arc::clone(&heard), Arc::clone(&over));
        let sing = move || {
            let began = Instant::now();
            let mut number = 0;
            while !ended.load(Ordering::Relaxed) {
                legs.iter().for_each(|leg| leg.say(number));
                for (leg, heard) in legs.iter().zip(ears.iter()) {
                    leg.listen(&mut heard.lock().expect("nobody panicked with it"));
                }
                number += 1;
                let next = began + TICK * number as u32;
                while let Some(left) = next.checked_duration_since(Instant::now())
                    && !left.is_zero()
                {
                    thread::park_timeout(left);
                }
            }
            legs
        };
        Self { heard, over, thread: Some(thread::spawn(sing)) }
    }

    /// All that one of them has heard.
    pub fn heard(&self, leg: usize) -> Vec<i16> {
        self.heard[leg].lock().expect("nobody panicked with it").clone()
    }

    /// They fall silent, and talk no more.
    #[track_caller]
    pub fn end(mut self) -> Vec<Leg> {
        self.over.store(true, Ordering::Relaxed);
        self.thread.take().expect("it runs").join().expect("it does not panic")
    }
}

impl Drop for Choir {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}
