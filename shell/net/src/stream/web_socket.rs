//! SIP over WebSocket, our side: the upgrade, then one SIP message in each WebSocket message. No sockets here.
//!
//! Picture     octets --push--> Shaking (HTTP head) --101--> Open (frames) --> Step: Message | Ping | Reply(octets) | Refused
//!             message --wrap--> one unmasked frame
//! Rules       The subprotocol is `sip`, and a browser's page must stand in the list of origins, when there is one. A peer
//!             that breaks the protocol is told why by a close code (or an HTTP status before the upgrade), then closed.
//! Limits      HEAD_MAX; a message is at most `sip::limits::MESSAGE_MAX`, however it is cut into frames.
//! Not here    Time limits and floods (connection), what a message means.
//! Spec        RFC 6455 §4.2, §5, §7; RFC 7118 §4, §5; RFC 5626 §3.5.1 as browsers' libraries speak it in messages.

use std::collections::VecDeque;
use std::io::{self, Read, Write};

use tungstenite::handshake::machine::TryParse;
use tungstenite::handshake::server::{Request, Response, create_response, write_response};
use tungstenite::http::{HeaderValue, StatusCode, header};
use tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tungstenite::protocol::frame::{CloseFrame, Frame};
use tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Error, Message};

/// Octets of the HTTP request that opens a WebSocket. Above: 431. Cookies of a large site fit.
pub const HEAD_MAX: usize = 16 << 10;

/// The subprotocol. Spec: RFC 7118 §8.1
const SUBPROTOCOL: &str = "sip";

/// What came out.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// One WebSocket message.
    Message(Vec<u8>),
    /// A keep-alive of the peer; `Reply` holds the answer, when one is due.
    Ping,
    /// To be written to the peer as it is.
    Reply(Vec<u8>),
    /// To be written to the peer as it is; then the connection is over.
    Last(Vec<u8>),
}

/// One accepted WebSocket.
pub struct WebSocket {
    stage: Stage,
    pipe: Pipe,
    /// Octets since the last whole message or control frame.
    pending: bool,
    /// Why it was ended, when the peer is to blame.
    blame: Option<&'static str>,
    steps: VecDeque<Step>,
}

enum Stage {
    Shaking { origins: Vec<String> },
    Open(Box<WebSocketContext>),
    Over,
}

/// What tungstenite reads from and writes to.
#[derive(Default)]
struct Pipe {
    input: Vec<u8>,
    read: usize,
    output: Vec<u8>,
}

impl Read for Pipe {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let rest = self.input.get(self.read..).unwrap_or_default();
        if rest.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = rest.len().min(room.len());
        room[..count].copy_from_slice(&rest[..count]);
        self.read += count;
        Ok(count)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl WebSocket {
    /// Before the upgrade. `origins`: pages that may connect; empty for all. A peer without an `Origin` is no browser
    /// and is let in.
    pub fn new(origins: &[String]) -> Self {
        Self {
            stage: Stage::Shaking { origins: origins.to_vec() },
            pipe: Pipe::default(),
            pending: false,
            blame: None,
            steps: VecDeque::new(),
        }
    }

    /// Why it was ended, when the peer is to blame.
    pub fn blame(&self) -> Option<&'static str> {
        self.blame
    }

    #[cfg(test)]
    fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open(_))
    }

    /// Whether something has begun that is not whole.
    pub fn is_within_message(&self) -> bool {
        self.pending
    }

    /// Adds what arrived. Drain the iterator afterwards.
    pub fn push(&mut self, bytes: &[u8]) {
        if matches!(self.stage, Stage::Over) {
            return;
        }
        self.pipe.input.drain(..self.pipe.read);
        self.pipe.read = 0;
        self.pipe.input.extend_from_slice(bytes);
        self.pending = true;
        self.advance();
    }

    fn advance(&mut self) {
        if let Stage::Shaking { origins } = &self.stage {
            let asked = match shake(&self.pipe.input, origins) {
                Ok(None) => return,
                Ok(Some(shaken)) => shaken,
                Err(status) => return self.refuse(status),
            };
            let (taken, answer) = asked;
            self.pipe.read = taken;
            self.pending = false;
            self.steps.push_back(Step::Reply(answer));
            let context = WebSocketContext::new(Role::Server, Some(limits()));
            self.stage = Stage::Open(Box::new(context));
        }
        while let Stage::Open(context) = &mut self.stage {
            match context.read(&mut self.pipe) {
                Ok(message) => {
                    self.pending = self.pipe.read < self.pipe.input.len();
                    self.take(message);
                }
                Err(Error::Io(fault)) if fault.kind() == io::ErrorKind::WouldBlock => {
                    self.reply();
                    return;
                }
                Err(fault) => {
                    self.blame = Some("broken WebSocket frames");
                    return self.end(close_code(&fault));
                }
            }
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Text(text) => self.whole(text.as_bytes().to_vec()),
            Message::Binary(bytes) => self.whole(bytes.to_vec()),
            Message::Ping(_) => {
                // The answer waits in the context.
                if let Stage::Open(context) = &mut self.stage {
                    let _ = context.flush(&mut self.pipe);
                }
                self.steps.push_back(Step::Ping);
                self.reply();
            }
            Message::Pong(_) => self.steps.push_back(Step::Ping),
            Message::Close(_) => {
                if let Stage::Open(context) = &mut self.stage {
                    let _ = context.flush(&mut self.pipe);
                }
                self.over();
            }
            Message::Frame(_) => (), // Only on sending.
        }
    }

    fn whole(&mut self, bytes: Vec<u8>) {
        match bytes.as_slice() {
            b"\r\n\r\n" => {
                self.steps.push_back(Step::Ping);
                self.steps.push_back(Step::Reply(wrap(b"\r\n")));
            }
            b"\r\n" | b"" => self.steps.push_back(Step::Ping),
            _ => self.steps.push_back(Step::Message(bytes)),
        }
    }

    fn reply(&mut self) {
        if !self.pipe.output.is_empty() {
            self.steps.push_back(Step::Reply(std::mem::take(&mut self.pipe.output)));
        }
    }

    fn refuse(&mut self, status: StatusCode) {
        self.blame = Some("no upgrade to a WebSocket of SIP");
        let more = match status {
            StatusCode::UPGRADE_REQUIRED => {
                "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: sip\r\n"
            }
            _ => "",
        };
        let answer =
            format!("HTTP/1.1 {status}\r\n{more}Content-Length: 0\r\nConnection: close\r\n\r\n");
        self.pipe.output = answer.into_bytes();
        self.over();
    }

    /// Tells the peer why, then nothing more is read.
    pub fn end(&mut self, code: CloseCode) {
        let Stage::Open(context) = &mut self.stage else { return };
        let frame = CloseFrame { code, reason: "".into() };
        // Whoever closed first needs no answer.
        let _ = context.close(&mut self.pipe, Some(frame));
        let _ = context.flush(&mut self.pipe);
        self.over();
    }

    fn over(&mut self) {
        self.steps.push_back(Step::Last(std::mem::take(&mut self.pipe.output)));
        self.pending = false;
        self.stage = Stage::Over;
    }
}

impl Iterator for WebSocket {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        self.steps.pop_front()
    }
}

fn limits() -> WebSocketConfig {
    let most = Some(sip::limits::MESSAGE_MAX);
    // Written at once: nothing is gathered here.
    WebSocketConfig::default().max_message_size(most).max_frame_size(most).write_buffer_size(0)
}

fn close_code(fault: &Error) -> CloseCode {
    match fault {
        Error::Capacity(_) => CloseCode::Size,
        Error::Utf8(_) => CloseCode::Invalid,
        _ => CloseCode::Protocol,
    }
}

/// The answer to a whole upgrade request, and how long that was. Errors: the status to refuse it with.
fn shake(input: &[u8], origins: &[String]) -> Result<Option<(usize, Vec<u8>)>, StatusCode> {
    let parsed = Request::try_parse(input).map_err(|_| StatusCode::BAD_REQUEST)?;
    let Some((taken, request)) = parsed else {
        let full = input.len() > HEAD_MAX;
        return if full { Err(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE) } else { Ok(None) };
    };
    if taken > HEAD_MAX {
        return Err(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    }
    let mut response: Response =
        create_response(&request).map_err(|_| StatusCode::UPGRADE_REQUIRED)?;
    if !may_enter(&request, origins) {
        return Err(StatusCode::FORBIDDEN);
    }
    let offered = request.headers().get_all(header::SEC_WEBSOCKET_PROTOCOL);
    let mut offered = offered.iter().filter_map(|value| value.to_str().ok());
    let is_sip = |word: &str| word.trim().eq_ignore_ascii_case(SUBPROTOCOL);
    if !offered.any(|value| value.split(',').any(is_sip)) {
        return Err(StatusCode::BAD_REQUEST);
    }
    let chosen = HeaderValue::from_static(SUBPROTOCOL);
    response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, chosen);
    let mut answer = Vec::with_capacity(200);
    write_response(&mut answer, &response).map_err(|_| StatusCode::BAD_REQUEST)?;
    Ok(Some((taken, answer)))
}

/// Spec: RFC 6455 §10.2
fn may_enter(request: &Request, origins: &[String]) -> bool {
    let Some(origin) = request.headers().get(header::ORIGIN) else { return true };
    let known = |known: &String| origin.as_bytes().eq_ignore_ascii_case(known.as_bytes());
    origins.is_empty() || origins.iter().any(known)
}

/// A message of ours as one frame: text when it is text, for peers that know nothing else.
pub fn wrap(message: &[u8]) -> Vec<u8> {
    let kind = if std::str::from_utf8(message).is_ok() { Data::Text } else { Data::Binary };
    let frame = Frame::message(message.to_vec(), OpCode::Data(kind), true);
    let mut octets = Vec::with_capacity(message.len() + 10);
    // Writing into memory does not fail.
    let _ = frame.format(&mut octets);
    octets
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &str = "GET /sip HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
                         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                         Sec-WebSocket-Protocol: chat, sip\r\nOrigin: https://phone.example\r\n\r\n";

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [1, 2, 3, 4];
        let mut octets = vec![first];
        match payload.len() {
            length @ 0..126 => octets.push(0x80 | length as u8),
            length => {
                octets.push(0x80 | 126);
                octets.extend_from_slice(&(length as u16).to_be_bytes());
            }
        }
        octets.extend_from_slice(&mask);
        octets.extend(payload.iter().zip(mask.iter().cycle()).map(|(octet, mask)| octet ^ mask));
        octets
    }

    fn open() -> WebSocket {
        let mut socket = WebSocket::new(&[]);
        socket.push(HELLO.as_bytes());
        let Some(Step::Reply(answer)) = socket.next() else { panic!("no answer") };
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        let answer = answer.to_ascii_lowercase();
        assert!(answer.contains("sec-websocket-protocol: sip\r\n"), "{answer}");
        assert!(
            answer.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n"),
            "{answer}"
        );
        assert!(socket.is_open() && !socket.is_within_message());
        socket
    }

    fn refused(hello: &str, origins: &[String]) -> String {
        let mut socket = WebSocket::new(origins);
        socket.push(hello.as_bytes());
        let Some(Step::Last(answer)) = socket.next() else { panic!("let in: {hello}") };
        assert_eq!(socket.next(), None);
        String::from_utf8(answer).unwrap().lines().next().unwrap().to_owned()
    }

    fn closed(octets: &[u8]) -> u16 {
        let mut socket = open();
        socket.push(octets);
        let Some(Step::Last(answer)) = socket.by_ref().last() else { panic!("still open") };
        assert_eq!(answer[0], 0x88);
        socket.push(&frame(0x81, b"more"));
        assert_eq!(socket.next(), None);
        u16::from_be_bytes([answer[2], answer[3]])
    }

    #[test]
    fn messages_come_whole_however_they_are_cut() {
        let mut wire = HELLO.as_bytes().to_vec();
        wire.extend(frame(0x81, b"one"));
        wire.extend(frame(0x02, b"tw"));
        wire.extend(frame(0x89, b"?"));
        wire.extend(frame(0x80, b"o"));
        wire.extend(frame(0x82, &[7; 300]));
        for size in [1, 2, 7, 1_000] {
            let mut socket = WebSocket::new(&[]);
            let mut steps = Vec::new();
            for piece in wire.chunks(size) {
                socket.push(piece);
                steps.extend(socket.by_ref());
            }
            let replies: Vec<_> =
                steps.extract_if(.., |step| matches!(step, Step::Reply(_))).collect();
            assert_eq!(replies[1..], [Step::Reply(vec![0x8a, 1, b'?'])], "the pong");
            let message = |bytes: &[u8]| Step::Message(bytes.to_vec());
            let wanted = [message(b"one"), Step::Ping, message(b"two"), message(&[7; 300])];
            assert_eq!(steps, wanted);
            assert!(!socket.is_within_message());
        }
    }

    #[test]
    fn a_page_or_a_protocol_that_is_not_wanted_stays_outside() {
        let origins = ["https://phone.example".to_owned()];
        let mut socket = WebSocket::new(&origins);
        socket.push(HELLO.as_bytes());
        assert!(socket.is_open());
        let stranger = HELLO.replace("phone.example", "elsewhere.example");
        assert_eq!(refused(&stranger, &origins), "HTTP/1.1 403 Forbidden");
        assert_eq!(refused(&HELLO.replace("chat, sip", "chat"), &[]), "HTTP/1.1 400 Bad Request");
        let plain = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        assert_eq!(refused(plain, &[]), "HTTP/1.1 426 Upgrade Required");
        assert_eq!(refused("OPTIONS sip:a SIP/2.0\r\n\r\n", &[]), "HTTP/1.1 400 Bad Request");
        let long = format!("GET / HTTP/1.1\r\nCookie: {}", "x".repeat(HEAD_MAX));
        assert!(refused(&long, &[]).starts_with("HTTP/1.1 431 "));
    }

    #[test]
    fn who_breaks_the_protocol_hears_which_rule() {
        let most = sip::limits::MESSAGE_MAX;
        assert_eq!(closed(&[0x81, 3, b'a', b'b', b'c']), 1002, "not masked");
        assert_eq!(closed(&frame(0xf1, b"reserved bits")), 1002);
        assert_eq!(closed(&frame(0x80, b"continues nothing")), 1002);
        assert_eq!(closed(&frame(0x81, &[0xff, 0xfe])), 1007, "text that is none");
        let mut huge = vec![0x82, 0xff];
        huge.extend_from_slice(&(most as u64 + 1).to_be_bytes());
        huge.extend_from_slice(&[0; 4]);
        assert_eq!(closed(&huge), 1009, "before a single octet of it came");
        let half = most / 2 + 1;
        let pieces = [frame(0x02, &vec![0; half]), frame(0x80, &vec![0; half])].concat();
        assert_eq!(closed(&pieces), 1009, "in pieces as well");
        assert_eq!(closed(&frame(0x88, &1000u16.to_be_bytes())), 1000, "its own close is answered");
    }

    #[test]
    fn line_breaks_in_a_message_are_a_ping() {
        let mut socket = open();
        socket.push(&frame(0x81, b"\r\n\r\n"));
        let steps: Vec<_> = socket.by_ref().collect();
        assert_eq!(steps, [Step::Ping, Step::Reply(vec![0x81, 2, b'\r', b'\n'])]);
    }

    #[test]
    fn what_we_send_is_text_when_it_can_be() {
        assert_eq!(wrap(b"hi"), [0x81, 2, b'h', b'i']);
        assert_eq!(wrap(&[0xff]), [0x82, 1, 0xff]);
        assert_eq!(wrap(&[b'x'; 200])[..4], [0x81, 126, 0, 200]);
    }

    #[test]
    fn no_octets_make_it_panic_or_hoard() {
        let mut rng = types::Rng::from_number(11);
        let mut good = HELLO.as_bytes().to_vec();
        for payload in [&b"OPTIONS sip:a SIP/2.0\r\n\r\n"[..], &[9; 500], b""] {
            good.extend(frame(0x81, payload));
            good.extend(frame(0x89, b"ping"));
        }
        for _ in 0..3_000 {
            let mut wire = good.clone();
            for _ in 0..1 + rng.below(6) {
                let place = rng.below(wire.len().max(1) as u64) as usize;
                match rng.below(3) {
                    0 => wire[place] = rng.next_u64() as u8,
                    1 if wire.len() > 1 => drop(wire.remove(place)),
                    _ => wire.truncate(place.max(1)),
                }
            }
            let mut socket = WebSocket::new(&[]);
            for piece in wire.chunks(1 + rng.below(200) as usize) {
                socket.push(piece);
                socket.by_ref().for_each(drop);
                assert!(socket.pipe.input.len() - socket.pipe.read <= HEAD_MAX + 200);
            }
        }
    }
}
