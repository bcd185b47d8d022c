//! Thousands of phones on one socket: they register, call each other through the server, and keep what every call is,
//! so that a test can kill the server and ask each of them afterwards.
//!
//! Picture     ask --(repeated by RFC 3261's timers)--> server --> answered, or done with 408 of our own
//! Rules       A request of ours stays until its final answer; a request of the server's is answered each time it comes.
//! Limits      WINDOW requests at once; GIVE_UP for each.
//! Not here    Sound (`sound`).
//! Spec        RFC 3261 §12 (dialogs), §13.3.1.4 (200 until its ACK), §17.1 (timers).

pub mod sound;

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use nix::sys::socket::{setsockopt, sockopt};

use crate::support::namespace::Namespace;
use crate::support::raw::{Ask, Heard, credentials};

/// Requests of a batch that are on their way at once: no more than sockets hold when the server pauses, and, with what
/// phones answer meanwhile, fewer than keep its batches full; a burst that does is refused with 503 after a while.
const WINDOW: usize = 40;
/// Timer T1, and the longest pause between two copies. Spec: RFC 3261 §17.1.2.2
const T1: Duration = Duration::from_millis(500);
const T2: Duration = Duration::from_secs(4);
/// When a request without an answer is over: Timer B and F. Spec: RFC 3261 §17.1.1.2
const GIVE_UP: Duration = Duration::from_secs(32);
/// How long one look at the socket may take.
const LOOK: Duration = Duration::from_millis(2);
/// What the socket should hold while the server restarts.
const ROOM: usize = 8 << 20;

/// What an end of a call has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Its INVITE has no final answer.
    Trying,
    /// It rings there or here, and nobody has answered.
    Ringing,
    /// Answered, and the other side knows it.
    Up,
    /// Ended by a BYE of ours that was answered, or by one that came.
    Over,
    /// Our INVITE was refused, or the INVITE that came was taken back.
    Refused(u16),
}

/// One end of a call.
#[derive(Clone, Debug)]
pub struct End {
    pub state: State,
    /// What its description says after `s=`: both ends of a call say the same.
    pub topic: String,
    pub call_id: String,
    /// Of our side and of the other, as From and To of requests from here.
    local: String,
    remote: String,
    target: String,
    count: u32,
    /// The media port that the other end's last description names.
    pub media: Option<u16>,
    body: String,
    /// The answer to the INVITE that came: said again when it comes again.
    answer: String,
    /// What it will say when it picks up.
    accept: String,
    /// The ACK to the answer that came.
    ack: String,
    /// The status of our last request but INVITE.
    pub last: u16,
}

impl End {
    fn is_begun(&self) -> bool {
        matches!(self.state, State::Trying | State::Ringing)
    }
}

/// A request on its way, or an answer without its ACK.
struct Flight {
    bytes: String,
    began: Instant,
    next: Instant,
    pause: Duration,
    end: usize,
    method: &'static str,
}

/// What to do when an INVITE comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    Answer,
    Ring,
}

/// All of them.
pub struct Crowd {
    socket: UdpSocket,
    pub own: SocketAddr,
    server: SocketAddr,
    pub manner: Manner,
    /// Where the sound of the one who is called goes, by topic; a topic that is not here has none.
    pub ports: BTreeMap<String, u16>,
    pub ends: Vec<End>,
    /// By Call-ID: a call's two ends have one each.
    by_call: BTreeMap<String, usize>,
    /// By topic: who was called about it last.
    called: BTreeMap<String, usize>,
    /// By branch of a request; by Call-ID of an answer that waits for its ACK.
    flights: BTreeMap<String, Flight>,
    /// Statuses of requests outside of calls, by Call-ID.
    pub said: BTreeMap<String, Heard>,
    /// Texts that came by MESSAGE.
    pub texts: Vec<String>,
    branches: u64,
    pub repeated: u64,
    /// What came and fits nothing.
    pub strange: Vec<String>,
}

impl Crowd {
    /// A crowd at `address`, which is not the server's: its media ports are no concern of ours.
    #[track_caller]
    pub fn new(host: &Namespace, address: &str, server: SocketAddr) -> Self {
        let socket = host.enter(|| UdpSocket::bind((address, 0))).expect("a free port");
        socket.set_read_timeout(Some(LOOK)).expect("a wait has a limit");
        // Root gets it whatever the system's own bound is; others get what that allows.
        let forced = setsockopt(&socket, sockopt::RcvBufForce, &ROOM);
        forced.or_else(|_| setsockopt(&socket, sockopt::RcvBuf, &ROOM)).expect("a larger buffer");
        let own = socket.local_addr().expect("a bound socket has an address");
        Self {
            socket,
            own,
            server,
            manner: Manner::Answer,
            ports: BTreeMap::new(),
            ends: Vec::new(),
            by_call: BTreeMap::new(),
            called: BTreeMap::new(),
            flights: BTreeMap::new(),
            said: BTreeMap::new(),
            texts: Vec::new(),
            branches: 0,
            repeated: 0,
            strange: Vec::new(),
        }
    }

    /// Begins a call to `user` that is about `topic`; `port`: where its sound would go, 0 for a call without.
    pub fn call(&mut self, user: &str, domain: &str, topic: &str, port: u16) -> usize {
        let end = End {
            state: State::Trying,
            topic: topic.to_owned(),
            call_id: format!("{topic}@{}", self.own),
            local: format!("<sip:{topic}@elsewhere.test>;tag=c{topic}"),
            remote: format!("<sip:{user}@{domain}>"),
            target: format!("sip:{user}@{domain}"),
            count: 0,
            media: None,
            body: description(self.own, topic, port),
            answer: String::new(),
            accept: String::new(),
            ack: String::new(),
            last: 0,
        };
        self.by_call.insert(end.call_id.clone(), self.ends.len());
        self.ends.push(end);
        let place = self.ends.len() - 1;
        self.invite(place);
        place
    }

    /// Who called about this topic.
    pub fn caller(&self, topic: &str) -> Option<usize> {
        self.by_call.get(&format!("{topic}@{}", self.own)).copied()
    }

    /// INVITE, the first or another one.
    pub fn invite(&mut self, end: usize) {
        let body = self.ends[end].body.clone();
        self.request(end, "INVITE", "", &body);
    }

    /// BYE.
    pub fn bye(&mut self, end: usize) {
        self.request(end, "BYE", "", "");
    }

    /// Who was called by this one.
    pub fn callee(&self, caller: usize) -> Option<usize> {
        self.called.get(&self.ends[caller].topic).copied()
    }

    /// Whether anything of this end's waits for an answer.
    pub fn waits(&self, end: usize) -> bool {
        self.flights.values().any(|flight| flight.end == end)
    }

    /// UPDATE that only says that the call is alive. Spec: RFC 4028 §7.2
    pub fn refresh(&mut self, end: usize) {
        self.request(
            end,
            "UPDATE",
            "Supported: timer\r\nSession-Expires: 1800;refresher=uac\r\n",
            "",
        );
    }

    /// A request outside of calls; its answer will be in `said` by this Call-ID.
    pub fn ask(&mut self, ask: &Ask<'_>, count: u32) {
        let method = if ask.method == "MESSAGE" { "MESSAGE" } else { "REGISTER" };
        let branch = self.branch();
        let kind = if ask.body.is_empty() { "" } else { "Content-Type: text/plain\r\n" };
        let bytes = format!(
            "{method} {} SIP/2.0\r\nVia: SIP/2.0/UDP {};branch={branch}\r\nMax-Forwards: 70\r\nFrom: {}\r\n\
             To: {}\r\nCall-ID: {}\r\nCSeq: {count} {method}\r\n{}{kind}Content-Length: {}\r\n\r\n{}",
            ask.uri,
            self.own,
            ask.from,
            ask.to,
            ask.call_id,
            ask.more,
            ask.body.len(),
            ask.body
        );
        self.fly(branch, bytes, usize::MAX, method);
    }

    /// Registers the contacts `names` of these users, with proof. Fails where one is refused.
    #[track_caller]
    pub fn register(&mut self, domain: &str, password: &str, names: &[(String, String)]) {
        let uri = format!("sip:{domain}");
        let texts: Vec<_> = names
            .iter()
            .map(|(user, contact)| {
                let address = format!("<sip:{user}@{domain}>");
                let more = format!("Contact: <sip:{contact}@{}>\r\nExpires: 3600\r\n", self.own);
                (address, format!("r-{contact}"), more)
            })
            .collect();
        let ask = |(address, call_id, _): &(String, String, String)| {
            (format!("{address};tag=r"), address.clone(), call_id.clone())
        };
        for count in [1, 2] {
            self.batch(
                &texts,
                |crowd, text| {
                    let (from, to, call_id) = ask(text);
                    let mut one = Ask {
                        method: "REGISTER",
                        uri: &uri,
                        from: &from,
                        to: &to,
                        call_id: &call_id,
                        more: &text.2,
                        body: "",
                    };
                    if count == 1 {
                        return crowd.ask(&one, count);
                    }
                    let refused = crowd.said.remove(&call_id).expect("an answer to the first");
                    let user = to.trim_start_matches("<sip:").split('@').next().unwrap_or_default();
                    let proof = credentials(&refused, &one, user, password);
                    let proof = proof.unwrap_or_else(|| panic!("no challenge: {}", refused.text));
                    let more = format!("{}{proof}", text.2);
                    one.more = &more;
                    crowd.ask(&one, count);
                },
                |crowd, text| crowd.said.contains_key(&text.1),
            );
        }
        for (_, call_id, _) in &texts {
            let heard = self.said.remove(call_id).expect("an answer");
            assert_eq!(heard.status(), 200, "{}", heard.text);
        }
    }

    /// Begins for each of `items`, `WINDOW` at once, and goes on until all are done.
    #[track_caller]
    pub fn batch<T>(
        &mut self,
        items: &[T],
        mut begin: impl FnMut(&mut Self, &T),
        done: impl Fn(&Self, &T) -> bool,
    ) {
        let (mut next, mut open): (usize, Vec<usize>) = (0, Vec::new());
        let mut moved = Instant::now();
        while next < items.len() || !open.is_empty() {
            while next < items.len() && open.len() < WINDOW {
                begin(self, &items[next]);
                open.push(next);
                next += 1;
            }
            self.turn();
            let before = open.len();
            open.retain(|item| !done(self, &items[*item]));
            if open.len() < before {
                moved = Instant::now();
            }
            assert!(
                moved.elapsed() < GIVE_UP + T2,
                "{} of {} stand still; ends: {:?}",
                open.len(),
                items.len(),
                self.states()
            );
        }
    }

    /// Goes on for so long.
    pub fn go_on(&mut self, span: Duration) {
        let end = Instant::now() + span;
        while Instant::now() < end {
            self.turn();
        }
    }

    /// Goes on until `done`, or fails after `limit`.
    #[track_caller]
    pub fn until(&mut self, limit: Duration, what: &str, done: impl Fn(&Self) -> bool) {
        let end = Instant::now() + limit;
        while !done(self) {
            assert!(
                Instant::now() < end,
                "{what}: not within {limit:?}; ends: {:?}",
                self.states()
            );
            self.turn();
        }
    }

    /// How many ends are in which state, for whoever reads why a test failed.
    fn states(&self) -> BTreeMap<String, usize> {
        let mut states = BTreeMap::new();
        for end in &self.ends {
            *states.entry(format!("{:?}", end.state)).or_default() += 1;
        }
        states
    }

    /// Reads what has come and says again what is due.
    pub fn turn(&mut self) {
        let mut octets = [0; 65_536];
        if let Ok((count, _)) = self.socket.recv_from(&mut octets) {
            self.hear(&octets[..count]);
            self.socket.set_nonblocking(true).expect("a socket of ours");
            for _ in 0..WINDOW {
                let Ok((count, _)) = self.socket.recv_from(&mut octets) else { break };
                self.hear(&octets[..count]);
            }
            self.socket.set_nonblocking(false).expect("a socket of ours");
        }
        let now = Instant::now();
        let mut over = Vec::new();
        for (key, flight) in &mut self.flights {
            if now < flight.next {
                continue;
            }
            if now > flight.began + GIVE_UP {
                over.push(key.clone());
                continue;
            }
            self.repeated += 1;
            // One that cannot leave is lost, as on any wire.
            let _ = self.socket.send_to(flight.bytes.as_bytes(), self.server);
            flight.pause = T2.min(flight.pause * 2);
            flight.next = now + flight.pause;
        }
        for key in over {
            let Some(flight) = self.flights.remove(&key) else { continue };
            if let Some(end) = self.ends.get_mut(flight.end) {
                match flight.method {
                    "INVITE" if end.is_begun() => end.state = State::Refused(408),
                    _ => end.last = 408,
                }
            }
        }
    }

    fn hear(&mut self, octets: &[u8]) {
        let heard = Heard { text: String::from_utf8_lossy(octets).into_owned() };
        if heard.status() > 0 { self.response(heard) } else { self.asked(&heard) }
    }

    fn response(&mut self, heard: Heard) {
        let branch = heard.field("Via").and_then(|via| via.split("branch=").nth(1));
        let branch = branch.and_then(|rest| rest.split(';').next()).unwrap_or_default().to_owned();
        let call_id = heard.field("Call-ID").unwrap_or_default().to_owned();
        let (status, method) = (heard.status(), heard.method().to_owned());
        let Some(flight) = self.flights.get_mut(&branch) else {
            // An answer said again: our ACK was lost.
            if let Some(end) = self.by_call.get(&call_id).filter(|_| method == "INVITE") {
                let ack = self.ends[*end].ack.clone();
                if status >= 200 {
                    self.send(&ack);
                }
            }
            return;
        };
        if status < 200 {
            // Ringing: the INVITE is not said again, but its end has a limit as before.
            flight.next = flight.began + GIVE_UP;
            let end = self.ends.get_mut(flight.end).filter(|end| end.state == State::Trying);
            if let Some(end) = end.filter(|_| status > 100) {
                end.state = State::Ringing;
            }
            return;
        }
        let flight = self.flights.remove(&branch).expect("it was there");
        let Some(end) = self.ends.get_mut(flight.end) else {
            self.said.insert(call_id, heard);
            return;
        };
        match (flight.method, status) {
            ("INVITE", 200..=299) => {
                end.target = heard.contact();
                end.remote = heard.field("To").unwrap_or_default().to_owned();
                end.media = media(&heard.text);
                (end.state, end.last) = (State::Up, status);
                let count = end.count;
                let ack = self.text(flight.end, "ACK", count, "", "").1;
                self.ends[flight.end].ack.clone_from(&ack);
                self.send(&ack);
            }
            ("INVITE", _) => {
                if end.is_begun() {
                    end.state = State::Refused(status);
                }
                end.last = status;
                let (uri, via) = (flight.bytes.split(' ').nth(1), flight.bytes.lines().nth(1));
                end.ack = format!(
                    "ACK {} SIP/2.0\r\n{}\r\nMax-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {call_id}\r\n\
                     CSeq: {} ACK\r\nContent-Length: 0\r\n\r\n",
                    uri.unwrap_or_default(),
                    via.unwrap_or_default(),
                    end.local,
                    heard.field("To").unwrap_or_default(),
                    end.count
                );
                let ack = end.ack.clone();
                self.send(&ack);
            }
            ("BYE", _) => (end.state, end.last) = (State::Over, status),
            _ => end.last = status,
        }
    }

    fn asked(&mut self, heard: &Heard) {
        let call_id = heard.field("Call-ID").unwrap_or_default().to_owned();
        let known = self.by_call.get(&call_id).copied();
        match (heard.method(), known) {
            ("ACK", Some(end)) => {
                self.flights.remove(&call_id);
                let end = &mut self.ends[end];
                if end.state == State::Ringing && end.answer.starts_with("SIP/2.0 200") {
                    end.state = State::Up;
                }
            }
            ("ACK", None) => (),
            ("INVITE", None) => self.invited(heard, call_id),
            ("INVITE", Some(end)) => {
                let new = heard.tag("To").is_some();
                if new {
                    let body = self.ends[end].body.clone();
                    self.ends[end].media = media(&heard.text);
                    self.ends[end].answer = self.respond(heard, "200 OK", &body);
                }
                let answer = self.ends[end].answer.clone();
                self.send(&answer);
            }
            ("BYE", Some(end)) => {
                self.flights.remove(&call_id);
                self.ends[end].state = State::Over;
                let answer = self.respond(heard, "200 OK", "");
                self.send(&answer);
            }
            ("CANCEL", Some(end)) => {
                let answer = self.respond(heard, "200 OK", "");
                self.send(&answer);
                if self.ends[end].state == State::Ringing {
                    self.ends[end].state = State::Refused(487);
                    let answer = self.ends[end].answer.replacen("180 Ringing", "487 Cancelled", 1);
                    self.ends[end].answer.clone_from(&answer);
                    self.send(&answer);
                }
            }
            ("MESSAGE", _) => {
                let text = heard.text.split("\r\n\r\n").nth(1).unwrap_or_default().to_owned();
                self.texts.push(text);
                let answer = self.respond(heard, "200 OK", "");
                self.send(&answer);
            }
            ("OPTIONS" | "UPDATE" | "NOTIFY", _) => {
                let answer = self.respond(heard, "200 OK", "");
                self.send(&answer);
            }
            _ => self.strange.push(heard.text.clone()),
        }
    }

    fn invited(&mut self, heard: &Heard, call_id: String) {
        let topic = heard.text.lines().find_map(|line| line.strip_prefix("s="));
        let topic = topic.unwrap_or_default().to_owned();
        let swap = |field| heard.field(field).unwrap_or_default().to_owned();
        let port = self.ports.get(&topic).copied().unwrap_or_default();
        let mut end = End {
            state: State::Ringing,
            call_id: call_id.clone(),
            local: format!("{};tag=s", swap("To")),
            remote: swap("From"),
            target: heard.contact(),
            count: 0,
            media: media(&heard.text),
            body: description(self.own, &topic, port),
            answer: String::new(),
            accept: String::new(),
            ack: String::new(),
            last: 0,
            topic,
        };
        let ringing = self.respond(heard, "180 Ringing", "");
        self.send(&ringing);
        end.answer = ringing;
        end.accept = self.respond(heard, "200 OK", &end.body);
        let number = self.ends.len();
        self.by_call.insert(call_id, number);
        self.called.insert(end.topic.clone(), number);
        self.ends.push(end);
        if self.manner == Manner::Answer {
            self.pick_up(number);
        }
    }

    /// Whoever is called and rings answers.
    pub fn pick_up(&mut self, callee: usize) {
        let end = &mut self.ends[callee];
        end.answer.clone_from(&end.accept);
        let (call_id, answer) = (end.call_id.clone(), end.answer.clone());
        self.fly(call_id, answer, callee, "200");
    }

    fn request(&mut self, end: usize, method: &'static str, more: &str, body: &str) {
        self.ends[end].count += 1;
        self.ends[end].last = 0;
        let count = self.ends[end].count;
        let (branch, bytes) = self.text(end, method, count, more, body);
        self.fly(branch, bytes, end, method);
    }

    fn fly(&mut self, key: String, bytes: String, end: usize, method: &'static str) {
        self.send(&bytes);
        let now = Instant::now();
        let flight = Flight { bytes, began: now, next: now + T1, pause: T1, end, method };
        self.flights.insert(key, flight);
    }

    fn branch(&mut self) -> String {
        self.branches += 1;
        format!("z9hG4bK-{}-{}", self.own.port(), self.branches)
    }

    fn text(
        &mut self,
        end: usize,
        method: &str,
        count: u32,
        more: &str,
        body: &str,
    ) -> (String, String) {
        let branch = self.branch();
        let End { target, local, remote, call_id, .. } = &self.ends[end];
        let own = self.own;
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        let text = format!(
            "{method} {target} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch={branch}\r\nMax-Forwards: 70\r\n\
             From: {local}\r\nTo: {remote}\r\nCall-ID: {call_id}\r\nCSeq: {count} {method}\r\n\
             Contact: <sip:crowd@{own}>\r\n{more}{kind}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        (branch, text)
    }

    fn respond(&self, request: &Heard, status: &str, body: &str) -> String {
        let mut text = format!("SIP/2.0 {status}\r\n");
        for name in ["Via", "Record-Route", "From", "To", "Call-ID", "CSeq"] {
            for value in request.fields(name) {
                let tag = if name == "To" && !value.contains(";tag=") { ";tag=s" } else { "" };
                text += &format!("{name}: {value}{tag}\r\n");
            }
        }
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        text + &format!(
            "Contact: <sip:crowd@{}>\r\n{kind}Content-Length: {}\r\n\r\n{body}",
            self.own,
            body.len()
        )
    }

    fn send(&self, text: &str) {
        // One that cannot leave is lost, as on any wire.
        let _ = self.socket.send_to(text.as_bytes(), self.server);
    }
}

/// A description with one stream; port 0: one that is turned down.
fn description(own: SocketAddr, topic: &str, port: u16) -> String {
    let ip = own.ip();
    format!(
        "v=0\r\no=crowd 1 1 IN IP4 {ip}\r\ns={topic}\r\nc=IN IP4 {ip}\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
    )
}

/// The port of the first stream of a description.
fn media(text: &str) -> Option<u16> {
    let line = text.lines().find_map(|line| line.strip_prefix("m=audio "))?;
    line.split(' ').next()?.parse().ok().filter(|port| *port > 0)
}
