//! The server under siege, those around it, and what must hold behind each class.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;
use serde_json::Value;
use sip::digest::{Challenge, Login, Password, Target, answer};

use crate::drill::{DOMAIN, Drill, PASSWORD};
use crate::letter::{Letter, number};
use crate::support::certificate::certify;
use crate::support::line::Line;
use crate::support::raw::Heard;
use crate::support::{STEP, until};

/// Nobody has asked for anything there, so nothing may come there.
pub const CANARY: &str = "127.0.0.9";
/// How long something may take that ends by a timer of the server, 64*T1 as a rule.
pub const PATIENCE: Duration = Duration::from_secs(75);

/// Descriptors that the server opens once, when it first wants them: each reader of its database has two or three.
const OPENED_LATER: usize = 8;

/// The ports of media that the server has by itself.
const MEDIA: std::ops::RangeInclusive<u16> = 20_000..=20_999;

/// See the head of this file.
pub struct Siege {
    pub drill: Drill,
    pub authority: CertificateDer<'static>,
    canary: (UdpSocket, TcpListener),
    began: Instant,
    /// Descriptors of the server at rest.
    descriptors: usize,
    counters: BTreeMap<String, u64>,
    /// Lines of its log that were looked at.
    lines: AtomicUsize,
}

impl Siege {
    /// A server with the defaults that it ships with, on loopback by every transport.
    #[track_caller]
    pub fn lay() -> Self {
        Self::lay_with("", "")
    }

    /// The same with further lines in `[sip]` and behind all sections.
    #[track_caller]
    pub fn lay_with(sip: &str, more: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let authority = certify(folder.path());
        let at = |name: &str| folder.path().join(name);
        let (data, certificate, key) = (at("data"), at("certificate.pem"), at("key.pem"));
        let text = format!(
            "[node]\ndata = {data:?}\ndomain = \"{DOMAIN}\"\n\
             [sip]\nlisten = [\"udp://127.0.0.1:5060\", \"tcp://127.0.0.1:5060\", \
             \"tls://127.0.0.1:5061\", \"ws://127.0.0.1:5062\"]\n{sip}\n\
             [tls]\ncertificate = {certificate:?}\nkey = {key:?}\n\
             [http]\nlisten = \"127.0.0.1:8088\"\n{more}\n"
        );
        let drill = Drill::start_in(folder, &data, &[], &text);
        let canary = drill.host.enter(|| {
            let datagrams = UdpSocket::bind((CANARY, 5060)).expect("nobody else is there");
            let streams = TcpListener::bind((CANARY, 5060)).expect("nobody else is there");
            datagrams.set_nonblocking(true).expect("a socket of ours");
            streams.set_nonblocking(true).expect("a socket of ours");
            (datagrams, streams)
        });
        let mut siege = Self {
            drill,
            authority,
            canary,
            began: Instant::now(),
            descriptors: 0,
            counters: BTreeMap::new(),
            lines: AtomicUsize::new(0),
        };
        // Whatever is opened once and kept is open now.
        for user in ["alice", "bob"] {
            assert_eq!(siege.drill.put_user(user).status, 201);
        }
        for transport in ["TCP", "TLS", "WS"] {
            let mut line = siege.line(transport);
            let letter = Letter::new("OPTIONS").octets(transport, "warm.invalid");
            line.send(&String::from_utf8_lossy(&letter));
            line.response("OPTIONS");
        }
        siege.counters = siege.counted();
        siege.descriptors = until(STEP, "descriptors at rest", || {
            let flows = siege.gauge("carillon_flows{");
            let first = siege.open_descriptors();
            (flows == 0 && first == siege.open_descriptors()).then_some(first)
        });
        siege
    }

    /// Somebody at 127.0.0.`host`, who hears what is sent to the port of SIP there.
    #[track_caller]
    pub fn stranger(&self, host: u8) -> Stranger {
        self.stranger_at(&format!("127.0.0.{host}"))
    }

    #[track_caller]
    pub fn stranger_at(&self, own: &str) -> Stranger {
        let socket = self.drill.host.enter(|| UdpSocket::bind((own, 5060)));
        let socket = socket.expect("nobody else is there");
        // A flood of answers shall not be lost on our side.
        let _ =
            nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::RcvBuf, &(4 << 20));
        Stranger { socket, own: own.to_owned(), server: self.drill.sip, uses: 0 }
    }

    /// A user's phone at 127.0.0.`host`, registered.
    #[track_caller]
    pub fn phone(&self, user: &str, host: u8) -> Stranger {
        let mut phone = self.stranger(host);
        let contact = format!("Contact: <sip:{user}@127.0.0.{host}:5060>\nExpires: 600\n");
        let letter = Letter::new("REGISTER").by(user).with(&contact);
        let letter = Letter { to: format!("<sip:{user}@{DOMAIN}>"), ..letter };
        let heard = phone.proved(&letter, user);
        assert_eq!(heard.status(), 200, "{}", heard.text);
        phone
    }

    /// A phone without a login on a transport.
    #[track_caller]
    pub fn line(&self, transport: &'static str) -> Line {
        let port = match transport {
            "TLS" => 5061,
            "WS" => 5062,
            _ => 5060,
        };
        let server = SocketAddr::from(([127, 0, 0, 1], port));
        Line::open(&self.drill.host, transport, server, &self.authority)
    }

    /// A connection to one of its ports.
    #[track_caller]
    pub fn dial(&self, port: u16) -> TcpStream {
        self.dials(1, port).remove(0)
    }

    /// So many connections to one of its ports.
    #[track_caller]
    pub fn dials(&self, count: usize, port: u16) -> Vec<TcpStream> {
        let streams: Vec<_> = self.drill.host.enter(|| {
            let dial = |_| TcpStream::connect(("127.0.0.1", port)).expect("it listens");
            (0..count).map(dial).collect()
        });
        for stream in &streams {
            stream.set_read_timeout(Some(STEP)).expect("a wait has a limit");
            stream.set_write_timeout(Some(STEP)).expect("a wait has a limit");
        }
        streams
    }

    /// What must hold behind a class. `counted`: counters of which each has grown since the last time.
    #[track_caller]
    pub fn stands(&mut self, what: &str, counted: &[&str]) {
        assert!(self.drill.program.poll_end().is_none(), "{what}: the server ended");
        let probe = self.stranger(3);
        let heard = probe.say(&Letter::new("OPTIONS"));
        assert_eq!(heard.iter().map(Heard::status).collect::<Vec<_>>(), [200], "{what}");
        self.assert_canary(what);
        until(STEP * 2, &format!("{what}: the descriptors are back"), || {
            (self.open_descriptors() <= self.descriptors + OPENED_LATER).then_some(())
        });
        let before = std::mem::take(&mut self.counters);
        let grown =
            |after: &BTreeMap<String, u64>, name: &&&str| after.get(**name) > before.get(**name);
        self.counters = until(STEP, &format!("{what}: {counted:?} are counted"), || {
            let after = self.counted();
            counted.iter().all(|name| grown(&after, &name)).then_some(after)
        });
        assert_eq!(self.counters.get("switchboard.room_panicked"), None, "{what}");
        self.assert_log(what);
    }

    #[track_caller]
    fn assert_canary(&self, what: &str) {
        let mut room = [0; 2_048];
        if let Ok((count, from)) = self.canary.0.recv_from(&mut room) {
            let text = String::from_utf8_lossy(&room[..count]);
            panic!("{what}: the canary heard of {from}: {text}");
        }
        assert!(self.canary.1.accept().is_err(), "{what}: somebody dialled the canary");
    }

    /// At most one line about each source and second, and none with control characters in it.
    #[track_caller]
    fn assert_log(&self, what: &str) {
        let said = self.drill.program.said();
        let from = self.lines.swap(said.len(), Ordering::Relaxed);
        for line in &said[from..] {
            assert!(!line.contains(char::is_control), "{what}: {}", line.escape_debug());
            assert!(line.len() < 4_096, "{what}: a line of {} octets", line.len());
        }
        let mut sources = BTreeMap::<(String, bool), u64>::new();
        for line in said.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            if line["message"] == "sip_suspect" {
                let source: SocketAddr =
                    line["source"].as_str().and_then(|text| text.parse().ok()).expect("a source");
                let key = (source.ip().to_string(), line["transport"] == "udp");
                *sources.entry(key).or_default() += 1;
            }
        }
        let most = self.began.elapsed().as_secs() + 2;
        let loud = sources.iter().find(|(_, lines)| **lines > most);
        assert!(loud.is_none(), "{what}: {loud:?} lines in {most} seconds");
    }

    /// Descriptors without those of media ports, which stay open by design: their ports come again.
    fn open_descriptors(&self) -> usize {
        let process = format!("/proc/{}", self.drill.program.id());
        let sockets = fs::read_to_string(format!("{process}/net/udp")).unwrap_or_default();
        let port = |line: &str| {
            let (_, port) = line.split_whitespace().nth(1)?.split_once(':')?;
            u16::from_str_radix(port, 16).ok()
        };
        let media = sockets.lines().filter_map(port).filter(|port| MEDIA.contains(port)).count();
        fs::read_dir(format!("{process}/fd")).map_or(0, Iterator::count).saturating_sub(media)
    }

    /// Resident octets of the server.
    pub fn resident(&self) -> u64 {
        let path = format!("/proc/{}/status", self.drill.program.id());
        let text = fs::read_to_string(path).expect("the process is there");
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
        let kib = line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number");
        kib << 10
    }

    fn metrics(&self) -> String {
        self.drill.door.ask("GET", "/metrics", None, "", b"").text()
    }

    /// The sum of all metrics whose line begins so.
    pub fn gauge(&self, begin: &str) -> u64 {
        let text = self.metrics();
        let lines = text.lines().filter(|line| line.starts_with(begin));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    }

    /// A gauge of the switchboard.
    pub fn kept(&self, name: &str) -> u64 {
        self.gauge(&format!("carillon_gauge{{name=\"{name}\"}}"))
    }

    /// Counters by their names.
    fn counted(&self) -> BTreeMap<String, u64> {
        let text = self.metrics();
        let own = |line: &str| {
            let line = line.strip_prefix("carillon_counter_total{name=\"")?;
            let (name, value) = line.split_once("\"} ")?;
            Some((name.to_owned(), value.parse().ok()?))
        };
        let mut all: BTreeMap<_, _> = text.lines().filter_map(own).collect();
        let refused =
            text.lines().find_map(|line| line.strip_prefix("carillon_flows_refused_total "));
        all.insert("flows_refused".to_owned(), refused.and_then(|n| n.parse().ok()).unwrap_or(0));
        all
    }

    /// Waits until no call is left.
    #[track_caller]
    pub fn empties(&self, what: &str) {
        self.until_none(what, &["legs", "sessions"]);
    }

    /// Waits until nothing is left at all. What was said by datagrams stays for 32 seconds, by the rules of SIP.
    #[track_caller]
    pub fn forgets(&self, what: &str) {
        self.until_none(what, &["legs", "sessions", "server_transactions", "client_transactions"]);
    }

    #[track_caller]
    fn until_none(&self, what: &str, names: &[&str]) {
        for name in names {
            until(PATIENCE, &format!("{what}: {name} are gone"), || {
                (self.kept(name) == 0).then_some(())
            });
        }
    }
}

/// Somebody on the wire, who may say anything.
pub struct Stranger {
    pub socket: UdpSocket,
    pub own: String,
    server: SocketAddr,
    uses: u32,
}

impl Stranger {
    #[track_caller]
    pub fn send(&self, octets: &[u8]) {
        self.socket.send_to(octets, self.server).expect("a datagram leaves");
    }

    /// Sends a letter; gives it as it went out.
    #[track_caller]
    pub fn post(&self, letter: &Letter) -> String {
        let octets = letter.octets("UDP", &self.own);
        self.send(&octets);
        String::from_utf8_lossy(&octets).into_owned()
    }

    /// What is heard before the answer to an OPTIONS that follows: what the server says on sight, it has said then.
    #[track_caller]
    pub fn heard(&self) -> Vec<Heard> {
        let barrier = Letter::new("OPTIONS");
        self.post(&barrier);
        let end = Instant::now() + STEP;
        let mut found = Vec::new();
        loop {
            let heard = self.next_within(end.saturating_duration_since(Instant::now()));
            let heard = heard.unwrap_or_else(|| panic!("OPTIONS has no answer; heard {found:?}"));
            if heard.field("Call-ID") == Some(&*barrier.call_id) {
                return found;
            }
            found.push(heard);
        }
    }

    /// A letter, and what is said to it on sight.
    #[track_caller]
    pub fn say(&self, letter: &Letter) -> Vec<Heard> {
        self.post(letter);
        self.heard()
    }

    /// The statuses that octets get on sight.
    #[track_caller]
    pub fn statuses(&self, octets: &[u8]) -> Vec<u16> {
        self.send(octets);
        self.heard().iter().map(Heard::status).collect()
    }

    fn next_within(&self, limit: Duration) -> Option<Heard> {
        let end = Instant::now() + limit;
        let mut octets = [0; 65_536];
        let count = loop {
            let left = end.saturating_duration_since(Instant::now());
            let left = left.max(Duration::from_millis(1));
            self.socket.set_read_timeout(Some(left)).expect("a limit");
            match self.socket.recv_from(&mut octets) {
                Ok((count, _)) => break count,
                Err(fault) if fault.kind() == ErrorKind::Interrupted => (),
                Err(_) => return None,
            }
        };
        let heard = Heard { text: String::from_utf8_lossy(&octets[..count]).into_owned() };
        assert_ne!(heard.status(), 500, "{}", heard.text);
        Some(heard)
    }

    /// The first message that is wanted; what comes before it is dropped.
    #[track_caller]
    pub fn wait(&self, limit: Duration, what: &str, wanted: impl Fn(&Heard) -> bool) -> Heard {
        let end = Instant::now() + limit;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            if let Some(heard) = self.next_within(left).filter(&wanted) {
                return heard;
            }
        }
        panic!("{}: {what}: not within {limit:?}", self.own)
    }

    #[track_caller]
    pub fn request(&self, method: &str) -> Heard {
        self.wait(STEP, method, |heard| heard.status() == 0 && heard.method() == method)
    }

    /// The final answer to a letter.
    #[track_caller]
    pub fn answer_to(&self, letter: &Letter) -> Heard {
        self.wait(STEP, &format!("an answer to {}", letter.cseq), |heard| {
            heard.status() >= 200 && heard.field("CSeq") == Some(&*letter.cseq)
        })
    }

    /// Sends it, and with a proof when one is asked for; the final answer, acknowledged when it refuses an INVITE.
    #[track_caller]
    pub fn proved(&mut self, letter: &Letter, user: &str) -> Heard {
        self.post(letter);
        let first = self.answer_to(letter);
        if first.status() != 401 {
            return first; // Refused before anybody asked who it is.
        }
        let again = self.proof(&first, letter, user, PASSWORD);
        let octets = again.octets("UDP", &self.own);
        self.send(&octets);
        let heard = self.answer_to(&again);
        if again.method == "INVITE" && heard.status() >= 300 {
            self.acknowledge(&String::from_utf8_lossy(&octets), &heard);
        }
        heard
    }

    /// The letter with a proof, to a challenge that it was sent for.
    #[track_caller]
    pub fn prove(&mut self, letter: &Letter, user: &str, password: &str) -> Letter {
        self.post(letter);
        let refused = self.answer_to(letter);
        assert_eq!(refused.status(), 401, "{}", refused.text);
        self.proof(&refused, letter, user, password)
    }

    /// The letter with a proof to this challenge.
    #[track_caller]
    pub fn proof(
        &mut self,
        refused: &Heard,
        letter: &Letter,
        user: &str,
        password: &str,
    ) -> Letter {
        self.uses += 1;
        let value = refused.field("WWW-Authenticate").expect("a challenge");
        let challenge = Challenge::decode(value.as_bytes()).expect("a challenge");
        let password = Password::Text(password.as_bytes());
        let login = Login { user: user.as_bytes(), password, realm: None };
        let target = Target { method: letter.method.as_bytes(), uri: letter.uri.as_bytes() };
        let proof = answer(&challenge, &login, target, b"0a4f113b", 1).expect("an algorithm");
        let line = format!("Authorization: {}\n", String::from_utf8_lossy(&proof));
        letter.again().with(&line)
    }

    /// The ACK of a refusal. Spec: RFC 3261 §17.1.1.3
    pub fn acknowledge(&self, invite: &str, refusal: &Heard) {
        let invite = Heard { text: invite.to_owned() };
        let field = |name: &str| invite.field(name).unwrap_or_default().to_owned();
        let uri = invite.text.split(' ').nth(1).unwrap_or_default();
        let count = field("CSeq").split(' ').next().unwrap_or_default().to_owned();
        let text = format!(
            "ACK {uri} SIP/2.0\r\nVia: {}\r\nMax-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\n\
             CSeq: {count} ACK\r\nContent-Length: 0\r\n\r\n",
            field("Via"),
            field("From"),
            refusal.field("To").unwrap_or_default(),
            field("Call-ID"),
        );
        self.send(text.as_bytes());
    }

    /// Answers a request that came.
    pub fn reply(&self, request: &Heard, status: &str, more: &str, offer: bool) {
        let own = &self.own;
        let mut text = format!("SIP/2.0 {status}\r\n");
        for name in ["Via", "Record-Route", "From", "To", "Call-ID", "CSeq"] {
            for value in request.fields(name) {
                let tag = if name == "To" && !value.contains(";tag=") { ";tag=callee" } else { "" };
                text += &format!("{name}: {value}{tag}\r\n");
            }
        }
        let body = if offer { Letter::new("X").offer(own).body } else { Vec::new() };
        let kind = if offer { "Content-Type: application/sdp\r\n" } else { "" };
        text += &format!(
            "Contact: <sip:x@{own}:5060>\r\n{}{kind}Content-Length: {}\r\n\r\n{}",
            more.replace('\n', "\r\n"),
            body.len(),
            String::from_utf8_lossy(&body)
        );
        self.send(text.as_bytes());
    }
}

/// A call of Alice to Bob, and what names it on her side.
pub struct Talk {
    /// Her INVITE, the one with the proof.
    pub invite: Letter,
    /// As it went out.
    pub sent: String,
    /// Bob's INVITE.
    pub rung: Heard,
    /// What she heard.
    pub ok: Option<Heard>,
}

impl Talk {
    /// Alice calls, Bob's phone rings.
    #[track_caller]
    pub fn ring(alice: &mut Stranger, bob: &Stranger) -> Self {
        let contact = format!("Contact: <sip:alice@{}:5060>\n", alice.own);
        let letter = Letter::user("INVITE", "bob").by("alice").with(&contact).offer(&alice.own);
        let invite = alice.prove(&letter, "alice", PASSWORD);
        let sent = alice.post(&invite);
        let rung = bob.request("INVITE");
        bob.reply(&rung, "180 Ringing", "", false);
        Self { invite, sent, rung, ok: None }
    }

    /// He takes it, and all is acknowledged.
    #[track_caller]
    pub fn begin(alice: &mut Stranger, bob: &Stranger) -> Self {
        let mut talk = Self::ring(alice, bob);
        bob.reply(&talk.rung, "200 OK", "", true);
        let ok = alice.answer_to(&talk.invite);
        assert_eq!(ok.status(), 200, "{}", ok.text);
        talk.ok = Some(ok);
        alice.post(&talk.ack());
        bob.request("ACK");
        talk
    }

    /// A request of Alice in the call, which is answered.
    #[track_caller]
    pub fn within(&self, method: &str) -> Letter {
        let ok = self.ok.as_ref().expect("an answered call");
        let letter = Letter::to(method, &ok.contact());
        Letter {
            from: ok.field("From").expect("a From").to_owned(),
            to: ok.field("To").expect("a To").to_owned(),
            call_id: self.invite.call_id.clone(),
            ..letter
        }
    }

    #[track_caller]
    pub fn ack(&self) -> Letter {
        let cseq = self.invite.cseq.replace("INVITE", "ACK");
        Letter { cseq, ..self.within("ACK") }
    }

    /// Alice hangs up, and Bob hears it.
    #[track_caller]
    pub fn end(&self, alice: &Stranger, bob: &Stranger) {
        let bye = self.within("BYE");
        alice.post(&bye);
        assert_eq!(alice.answer_to(&bye).status(), 200);
        let heard = bob.request("BYE");
        bob.reply(&heard, "200 OK", "", false);
    }
}

/// What comes on a stream until the server closes it or has answered the OPTIONS that is sent behind `octets`.
#[track_caller]
pub fn on_stream(stream: &mut TcpStream, octets: &[u8]) -> (Vec<Heard>, bool) {
    let barrier = Letter::new("OPTIONS");
    // What is closed already takes nothing more.
    let _ = stream.write_all(octets);
    let _ = stream.write_all(&barrier.octets("TCP", "stream.invalid"));
    let (mut came, mut room) = (Vec::new(), [0; 65_536]);
    let closed = loop {
        match stream.read(&mut room) {
            Ok(0) => break true,
            Ok(count) => came.extend_from_slice(&room[..count]),
            Err(fault) if fault.kind() == ErrorKind::ConnectionReset => break true,
            Err(fault) if fault.kind() == ErrorKind::Interrupted => (),
            Err(fault) => panic!("neither an answer nor an end: {fault}"),
        }
        let text = String::from_utf8_lossy(&came);
        if text.ends_with("\r\n\r\n") && text.contains(&format!("Call-ID: {}\r\n", barrier.call_id))
        {
            break false;
        }
    };
    let text = String::from_utf8_lossy(&came).into_owned();
    let heard = text.split_inclusive("\r\n\r\n").map(|text| Heard { text: text.to_owned() });
    let heard = heard.filter(|heard| heard.status() > 0);
    let heard: Vec<_> =
        heard.filter(|heard| heard.field("Call-ID") != Some(&*barrier.call_id)).collect();
    assert!(heard.iter().all(|heard| heard.status() != 500), "{heard:?}");
    (heard, closed)
}

/// A word that nobody has said before.
pub fn fresh(word: &str) -> String {
    format!("{word}{}", number())
}
