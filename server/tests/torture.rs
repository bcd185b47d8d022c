//! Torture: each message of RFC 4475 and RFC 5118, as `proto/sip/tests/wire` has them in our words, over UDP and TCP; and
//! as others wrote them down, where `CARILLON_OUTSIDE_DATA` names a folder of them, as `cargo xtask ci` does.
//! The answer is one of those that its case names, and behind it the server answers OPTIONS as before.

#[allow(dead_code, reason = "each test program uses a part of what they share")]
mod drill;
#[allow(dead_code, reason = "each test program uses a part of what they share")]
mod support;

use std::cell::RefCell;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use drill::{DOMAIN, Drill, OPEN};
use serde_json::Value;
use support::STEP;
use support::raw::Heard;

/// Where the senders are; the server is on 127.0.0.1 of the same host.
const SENDER: &str = "127.0.0.2";

/// Ports that the cases name in their topmost Via, where answers to datagrams go: 5060 when none is named.
const PORTS: [u16; 5] = [5050, 5060, 5070, 6050, 19823];

/// One message, and what may be said to it.
struct Case {
    name: String,
    octets: Vec<u8>,
    udp: String,
    tcp: String,
}

/// Spec: RFC 4475, RFC 5118
#[test]
fn torture_messages_get_their_answers_over_datagrams() {
    let mut server = Drill::start("", OPEN, "");
    assert_eq!(server.put_user("bob").status, 201);
    let sender = Sender::new(&server);
    let mut faults = String::new();
    for case in cases() {
        sender.send(&case.octets);
        let answers = sender.answers(&case);
        judge(&mut faults, &case.name, "udp", &case.udp, &answers);
        sender.assert_options();
    }
    assert!(server.program.poll_end().is_none(), "the server ended");
    assert!(faults.is_empty(), "\n{faults}");
}

/// Spec: RFC 4475, RFC 5118, RFC 3261 §18.3
#[test]
fn torture_messages_get_their_answers_over_streams() {
    let mut server = Drill::start("", OPEN, "");
    assert_eq!(server.put_user("bob").status, 201);
    let sender = Sender::new(&server);
    let mut faults = String::new();
    for case in cases() {
        // A connection for each, as some leave it in doubt where the next message begins.
        let sip = server.sip;
        let mut stream = server.host.enter(|| TcpStream::connect(sip)).expect("it listens");
        stream.write_all(&case.octets).expect("the server reads");
        let answers =
            if case.tcp == "wait" { Vec::new() } else { stream_answers(&mut stream, &case.tcp) };
        judge(&mut faults, &case.name, "tcp", &case.tcp, &answers);
        sender.assert_options();
    }
    assert!(server.program.poll_end().is_none(), "the server ended");
    assert!(faults.is_empty(), "\n{faults}");
}

/// The Call-ID of what stands behind the end of a message in the same datagram, which nobody answers.
const BEHIND: &str = "dblreq.0ha0isndda977644900765@192.0.2.15";

/// Spec: RFC 4475, RFC 5118
#[test]
fn outside_data_gets_its_answers_over_datagrams() {
    let Some(cases) = outside_cases() else { return };
    let mut server = Drill::start("", OPEN, "");
    assert_eq!(server.put_user("user").status, 201);
    let sender = Sender::new(&server);
    let mut faults = String::new();
    for case in &cases {
        sender.send(&case.octets);
        let answers = sender.answers(case);
        judge(&mut faults, &case.name, "udp", &case.udp, &answers);
        sender.assert_options();
    }
    assert!(!sender.said.borrow().iter().any(|heard| heard.contains(BEHIND)), "{BEHIND}");
    assert_eq!(server.door.items("/v1/bindings"), Vec::<Value>::new(), "nobody proved himself");
    assert!(server.program.poll_end().is_none(), "the server ended");
    assert!(faults.is_empty(), "\n{faults}");
}

/// Those whose ends a reader of a stream finds; the others are what `torture_messages_…_over_streams` is about.
///
/// Spec: RFC 4475, RFC 5118, RFC 3261 §18.3
#[test]
fn outside_data_gets_its_answers_over_streams() {
    let Some(cases) = outside_cases() else { return };
    let mut server = Drill::start("", OPEN, "");
    assert_eq!(server.put_user("user").status, 201);
    let sender = Sender::new(&server);
    let (mut faults, mut count) = (String::new(), 0);
    for case in cases.iter().filter(|case| is_framed(&case.octets)) {
        count += 1;
        let sip = server.sip;
        let mut stream = server.host.enter(|| TcpStream::connect(sip)).expect("it listens");
        stream.write_all(&case.octets).expect("the server reads");
        let answers = stream_answers(&mut stream, &case.tcp);
        judge(&mut faults, &case.name, "tcp", &case.tcp, &answers);
        sender.assert_options();
    }
    assert!(count > 40, "only {count} messages say where they end");
    assert_eq!(server.door.items("/v1/bindings"), Vec::<Value>::new(), "nobody proved himself");
    assert!(server.program.poll_end().is_none(), "the server ended");
    assert!(faults.is_empty(), "\n{faults}");
}

fn judge(faults: &mut String, name: &str, way: &str, allowed: &str, answers: &[u16]) {
    let silence = allowed == "wait" || may_be_silent(allowed);
    let fits = |status: &u16| permits(allowed, &status.to_string());
    if !(answers.iter().all(fits) && (silence || !answers.is_empty())) {
        let _ = writeln!(faults, "{name}, {way}: {answers:?}, not {allowed}");
    }
}

/// Whether nothing at all may be said.
fn may_be_silent(allowed: &str) -> bool {
    permits(allowed, "-")
}

/// Whether a list of answers holds this one. Ours: `401 4 -`, a digit for its class. Those of outside tables:
/// `400,4xx,-`, or behind a `!` those that are wrong; a word with a question mark is tolerated.
fn permits(allowed: &str, answer: &str) -> bool {
    let (wrong, list) = allowed.strip_prefix('!').map_or((false, allowed), |list| (true, list));
    let named = list.split([' ', ',']).any(|word| {
        let (word, tolerated) = word.strip_suffix('?').map_or((word, false), |word| (word, true));
        let class = word.strip_suffix("xx").unwrap_or(word);
        let fits = word == answer || class.len() == 1 && class != "-" && answer.starts_with(class);
        fits && !(tolerated && wrong)
    });
    named != wrong
}

/// The sender of datagrams: hears what goes to any of [`PORTS`].
struct Sender {
    socket: UdpSocket,
    server: SocketAddr,
    heard: Receiver<Heard>,
    /// All that was heard so far.
    said: RefCell<Vec<String>>,
}

impl Sender {
    fn new(server: &Drill) -> Self {
        let (out, heard) = mpsc::channel();
        let mut first = None;
        for port in PORTS {
            let socket = server.host.enter(|| UdpSocket::bind((SENDER, port)));
            let socket = socket.expect("nobody else is on this host");
            let reader = socket.try_clone().expect("a socket can be shared");
            let out = out.clone();
            // Ends with the test program at the latest: a thread that waits for a socket hears nothing of its end.
            thread::spawn(move || {
                let mut octets = [0; 65_536];
                while let Ok((count, _)) = reader.recv_from(&mut octets) {
                    let text = String::from_utf8_lossy(&octets[..count]).into_owned();
                    if out.send(Heard { text }).is_err() {
                        return;
                    }
                }
            });
            if port == 5060 {
                first = Some(socket);
            }
        }
        Self {
            socket: first.expect("5060 is one of them"),
            server: server.sip,
            heard,
            said: RefCell::default(),
        }
    }

    fn send(&self, octets: &[u8]) {
        self.socket.send_to(octets, self.server).expect("a datagram leaves");
    }

    /// The statuses of final answers to a case. Where silence is allowed, an OPTIONS behind it ends the wait: what the
    /// server refuses on sight, it has refused before it reads on.
    fn answers(&self, case: &Case) -> Vec<u16> {
        let silence = may_be_silent(&case.udp);
        let barrier = if silence { self.options() } else { String::new() };
        let end = Instant::now() + STEP;
        let mut found = Vec::new();
        loop {
            let Some(heard) = self.next(end) else { return found };
            let call_id = heard.field("Call-ID").unwrap_or_default();
            if silence && call_id == barrier {
                return found;
            }
            if is_of(&heard, case) && heard.status() >= 200 {
                found.push(heard.status());
                if !silence {
                    return found;
                }
            }
        }
    }

    /// The next message, if one comes before this moment.
    fn next(&self, end: Instant) -> Option<Heard> {
        let left = end.saturating_duration_since(Instant::now());
        let heard = self.heard.recv_timeout(left).ok()?;
        self.said.borrow_mut().push(heard.text.clone());
        Some(heard)
    }

    /// Sends an OPTIONS; gives its Call-ID.
    fn options(&self) -> String {
        let (call_id, text) = options("UDP");
        self.send(text.as_bytes());
        call_id
    }

    #[track_caller]
    fn assert_options(&self) {
        let call_id = self.options();
        let end = Instant::now() + STEP;
        loop {
            let heard = self.next(end).expect("the server answers OPTIONS as before");
            if heard.field("Call-ID") == Some(&*call_id) {
                assert_eq!(heard.status(), 200, "{}", heard.text);
                return;
            }
        }
    }
}

/// Whether an answer is to this case: by its branch, or its Call-ID where there is none.
fn is_of(heard: &Heard, case: &Case) -> bool {
    let sent = String::from_utf8_lossy(&case.octets);
    let call_id = heard.field("Call-ID").unwrap_or_default();
    if call_id.is_empty() {
        let via = heard.field("Via").unwrap_or_default();
        let branch = via.split("branch=").nth(1).and_then(|rest| rest.split(';').next());
        return branch.is_some_and(|branch| sent.contains(branch));
    }
    sent.contains(call_id)
}

/// An OPTIONS and its Call-ID.
fn options(transport: &str) -> (String, String) {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let call_id = format!("alive-{}", COUNT.fetch_add(1, Ordering::Relaxed));
    let text = format!(
        "OPTIONS sip:{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/{transport} {SENDER};branch=z9hG4bK-{call_id}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:a@mill.example>;tag=1\r\nTo: <sip:{DOMAIN}>\r\n\
         Call-ID: {call_id}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    );
    (call_id, text)
}

/// The statuses of final answers on a connection: the first, or where silence is allowed, all before that of an
/// OPTIONS or before the server closes.
#[track_caller]
fn stream_answers(stream: &mut TcpStream, allowed: &str) -> Vec<u16> {
    let barrier = may_be_silent(allowed).then(|| {
        let (call_id, text) = options("TCP");
        stream.write_all(text.as_bytes()).expect("the server reads");
        call_id
    });
    let (end, mut octets) = (Instant::now() + STEP, Vec::new());
    loop {
        let text = String::from_utf8_lossy(&octets).into_owned();
        let heard: Vec<_> =
            text.split_inclusive("\r\n\r\n").map(|text| Heard { text: text.to_owned() }).collect();
        let ours = |heard: &&Heard| {
            heard.status() >= 200 && heard.field("Call-ID").map(str::to_owned) != barrier
        };
        let found: Vec<u16> = heard.iter().filter(ours).map(Heard::status).collect();
        let passed = barrier.as_ref().is_some_and(|barrier| {
            text.ends_with("\r\n\r\n")
                && heard.iter().any(|heard| heard.field("Call-ID") == Some(barrier))
        });
        if passed || barrier.is_none() && !found.is_empty() {
            return found;
        }
        let left = end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        stream.set_read_timeout(Some(left)).expect("a wait has a limit");
        let mut room = [0; 4_096];
        match stream.read(&mut room) {
            Ok(count @ 1..) => octets.extend_from_slice(&room[..count]),
            Ok(0) => return found,
            Err(error) => panic!("neither an answer nor the end within {STEP:?}: {error}"),
        }
    }
}

/// The cases of both documents; the format is that of `proto/sip/tests/wire.rs`.
fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for file in ["rfc4475.txt", "rfc5118.txt"] {
        let path = format!("{}/../proto/sip/tests/wire/{file}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).expect("the tables of the parser");
        for line in text.lines() {
            if let Some(name) = line.strip_prefix("== ") {
                let (octets, none) = (Vec::new(), String::new());
                cases.push(Case { name: name.to_owned(), octets, udp: none.clone(), tcp: none });
            }
            let Some(case) = cases.last_mut() else { continue };
            if let Some(line) = line.strip_prefix(">-") {
                case.octets.extend(octets(line.strip_prefix(' ').unwrap_or(line)));
            } else if let Some(line) = line.strip_prefix('>') {
                case.octets.extend(octets(line.strip_prefix(' ').unwrap_or(line)));
                case.octets.extend(b"\r\n");
            } else if let Some(answers) = line.strip_prefix("udp = ") {
                answers.clone_into(&mut case.udp);
            } else if let Some(answers) = line.strip_prefix("tcp = ") {
                answers.clone_into(&mut case.tcp);
            }
        }
    }
    assert!(cases.len() > 60, "only {} cases were found", cases.len());
    for case in &cases {
        assert!(!case.udp.is_empty() && !case.tcp.is_empty(), "{} names no answer", case.name);
    }
    cases
}

/// The messages of others, with what their tables allow; `None`: there are none here.
fn outside_cases() -> Option<Vec<Case>> {
    let Some(folder) = std::env::var_os("CARILLON_OUTSIDE_DATA") else {
        println!("CARILLON_OUTSIDE_DATA names no folder, so nothing from outside was sent");
        return None;
    };
    let mut cases = Vec::new();
    for corpus in ["rfc4475", "rfc5118"] {
        let corpus = Path::new(&folder).join(corpus);
        let table = std::fs::read_to_string(corpus.join("index.tsv")).expect("a table");
        let mut lines = table.lines();
        let columns: Vec<_> = lines.next().expect("names of columns").split('\t').collect();
        for line in lines.filter(|line| !line.is_empty()) {
            let cells: Vec<_> = line.split('\t').collect();
            let cell =
                |name| cells[columns.iter().position(|column| *column == name).expect("a column")];
            let octets = std::fs::read(corpus.join(cell("file"))).expect("a message");
            let (name, allowed) = (cell("file").to_owned(), cell("ok").to_owned());
            cases.push(Case { name, octets, udp: allowed.clone(), tcp: allowed });
        }
    }
    assert!(cases.len() > 60, "only {} messages were found", cases.len());
    Some(cases)
}

/// Whether a message says where it ends, once and truly.
fn is_framed(octets: &[u8]) -> bool {
    let Some(end) = octets.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&octets[..end]);
    let fields = head.lines().filter_map(|line| line.split_once(':'));
    let is_length = |name: &str| {
        let name = name.trim();
        name.eq_ignore_ascii_case("content-length") || name.eq_ignore_ascii_case("l")
    };
    let lengths: Vec<_> =
        fields.filter(|(name, _)| is_length(name)).map(|(_, value)| value.trim()).collect();
    let body = (octets.len() - end - 4).to_string();
    matches!(lengths.as_slice(), [length] if *length == body)
}

fn octets(line: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('\\') {
        out.extend(before.bytes());
        let (escape, after) = after.split_at(1);
        rest = after;
        match escape {
            "r" => out.push(b'\r'),
            "n" => out.push(b'\n'),
            "t" => out.push(b'\t'),
            "x" => {
                let (digits, after) = rest.split_at(2);
                out.push(u8::from_str_radix(digits, 16).expect("two hexadecimal digits"));
                rest = after;
            }
            "{" => {
                let (repeat, after) = rest.split_once('}').expect("an end of what is repeated");
                let (text, count) = repeat.rsplit_once('*').expect("a count");
                let text = text.replace("\\r", "\r").replace("\\n", "\n");
                out.extend(text.repeat(count.parse().expect("a count")).bytes());
                rest = after;
            }
            other => out.extend(other.bytes()),
        }
    }
    out.extend(rest.bytes());
    out
}
