//! Phones on TCP: registrations and calls through raw connections, whole, in pieces and several at once; and a phone
//! whose connection is gone.

#[allow(dead_code, reason = "each test program uses a part of what they share")]
mod drill;
#[allow(dead_code, reason = "each test program uses a part of what they share")]
mod support;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use drill::{DOMAIN, Drill, OPEN, PASSWORD};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, setsockopt, socket, sockopt,
};
use support::namespace::Namespace;
use support::raw::{Ask, Heard, credentials};
use support::{STEP, until};

const SDP: &str = "v=0\r\no=raw 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
                   m=audio 40000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n";

/// One end of one connection.
struct Wire {
    stream: TcpStream,
    own: SocketAddr,
    octets: Vec<u8>,
    count: u32,
}

impl Wire {
    #[track_caller]
    fn dial(host: &Namespace, server: SocketAddr) -> Self {
        Self::on(host.enter(|| TcpStream::connect(server)).expect("it listens"))
    }

    /// From a port where the phone can listen afterwards.
    #[track_caller]
    fn dial_from(host: &Namespace, own: SocketAddr, server: SocketAddr) -> Self {
        let stream = host.enter(|| {
            let end = socket(AddressFamily::Inet, SockType::Stream, SockFlag::empty(), None)?;
            setsockopt(&end, sockopt::ReuseAddr, &true)?;
            let address = |address| match address {
                SocketAddr::V4(address) => SockaddrIn::from(address),
                SocketAddr::V6(_) => unreachable!("loopback of IPv4"),
            };
            bind(end.as_raw_fd(), &address(own))?;
            connect(end.as_raw_fd(), &address(server))?;
            nix::Result::Ok(TcpStream::from(end))
        });
        Self::on(stream.expect("it listens"))
    }

    fn on(stream: TcpStream) -> Self {
        let own = stream.local_addr().expect("a connection has two ends");
        Self { stream, own, octets: Vec::new(), count: 0 }
    }

    #[track_caller]
    fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).expect("the server reads");
    }

    /// The request as text, with the next number.
    fn text(&mut self, ask: &Ask<'_>) -> String {
        self.count += 1;
        self.numbered(ask, self.count)
    }

    fn numbered(&self, ask: &Ask<'_>, count: u32) -> String {
        let Ask { method, uri, from, to, call_id, more, body } = ask;
        let own = self.own;
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/TCP {own};branch=z9hG4bK-{method}-{count}-{call_id}\r\n\
             Max-Forwards: 70\r\nFrom: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\n\
             CSeq: {count} {method}\r\nContact: <sip:raw@{own};transport=tcp>\r\n{more}{kind}\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    /// The next whole message; `None`: the server has closed.
    #[track_caller]
    fn next(&mut self, limit: Duration) -> Option<Heard> {
        let end = Instant::now() + limit;
        loop {
            if let Some(message) = self.cut() {
                return Some(message);
            }
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no message within {limit:?}");
            self.stream.set_read_timeout(Some(left)).expect("a wait has a limit");
            let mut room = [0; 65_536];
            match self.stream.read(&mut room) {
                Ok(0) => return None,
                Ok(count) => self.octets.extend_from_slice(&room[..count]),
                Err(_) => continue,
            }
        }
    }

    /// A message off the front, if one is whole. Spec: RFC 3261 §18.3
    fn cut(&mut self) -> Option<Heard> {
        while self.octets.starts_with(b"\r\n") {
            self.octets.drain(..2);
        }
        let head = self.octets.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
        let heard = |octets: &[u8]| Heard { text: String::from_utf8_lossy(octets).into_owned() };
        let length = heard(&self.octets[..head]).field("Content-Length")?.parse::<usize>().ok()?;
        let message = heard(self.octets.get(..head + length)?);
        self.octets.drain(..head + length);
        Some(message)
    }

    #[track_caller]
    fn hear(&mut self, what: &str, wanted: impl Fn(&Heard) -> bool) -> Heard {
        loop {
            let heard = self.next(STEP).unwrap_or_else(|| panic!("{what}: the server closed"));
            if wanted(&heard) {
                return heard;
            }
        }
    }

    #[track_caller]
    fn response(&mut self, method: &str) -> Heard {
        let wanted = |heard: &Heard| heard.status() >= 200 && heard.method() == method;
        self.hear(&format!("a final response to {method}"), wanted)
    }

    fn answer(&mut self, request: &Heard, status: &str, more: &str, body: &str) {
        let mut text = format!("SIP/2.0 {status}\r\n");
        for name in ["Via", "Record-Route", "From", "To", "Call-ID", "CSeq"] {
            for value in request.fields(name) {
                let tag = if name == "To" && !value.contains(";tag=") { ";tag=callee" } else { "" };
                text += &format!("{name}: {value}{tag}\r\n");
            }
        }
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        let (own, length) = (self.own, body.len());
        text += &format!(
            "Contact: <sip:raw@{own};transport=tcp>\r\n{more}{kind}Content-Length: {length}\r\n\r\n{body}"
        );
        self.send(&text);
    }

    #[track_caller]
    fn register(&mut self, user: &str) {
        let (uri, address) = (format!("sip:{DOMAIN}"), format!("<sip:{user}@{DOMAIN}>"));
        let ask = Ask {
            method: "REGISTER",
            uri: &uri,
            from: &format!("{address};tag=1"),
            to: &address,
            call_id: &format!("tcp-{user}"),
            more: "Expires: 600\r\n",
            body: "",
        };
        let text = self.text(&ask);
        self.send(&text);
        let challenge = self.response("REGISTER");
        let proof = credentials(&challenge, &ask, user, PASSWORD).expect("a challenge");
        let text = self.text(&Ask { more: &format!("{}{proof}", ask.more), ..ask.clone() });
        // In pieces, as a network may cut it.
        for piece in text.as_bytes().chunks(97) {
            self.stream.write_all(piece).expect("the server reads");
        }
        assert_eq!(self.response("REGISTER").status(), 200);
    }

    fn invite(&mut self, user: &str, call_id: &str) -> String {
        self.text(&Ask {
            method: "INVITE",
            uri: &format!("sip:{user}@{DOMAIN}"),
            from: &format!("<sip:caller@{DOMAIN}>;tag={call_id}"),
            to: &format!("<sip:{user}@{DOMAIN}>"),
            call_id,
            more: "",
            body: SDP,
        })
    }

    /// ACK or BYE within the call that was answered so.
    fn within(&mut self, method: &str, answer: &Heard) -> String {
        let field = |name: &str| answer.field(name).expect("a whole answer").to_owned();
        let (from, to, call_id) = (field("From"), field("To"), field("Call-ID"));
        let uri = answer.contact();
        let ask =
            Ask { method, uri: &uri, from: &from, to: &to, call_id: &call_id, more: "", body: "" };
        if method != "ACK" {
            return self.text(&ask);
        }
        // It has the number of its INVITE.
        let number = field("CSeq").split(' ').next().and_then(|number| number.parse().ok());
        self.numbered(&ask, number.expect("a number"))
    }
}

fn invited(heard: &Heard) -> bool {
    heard.text.starts_with("INVITE ")
}

#[test]
fn phones_on_tcp_call_each_other() {
    let drill = Drill::start("", OPEN, "");
    for user in ["alice", "bob"] {
        assert_eq!(drill.put_user(user).status, 201);
    }
    let mut alice = Wire::dial(&drill.host, drill.sip);
    let mut bob = Wire::dial(&drill.host, drill.sip);
    alice.register("alice");
    bob.register("bob");
    let bindings = drill.door.items("/v1/bindings?user=bob");
    assert_eq!(bindings.len(), 1, "{bindings:?}");
    assert!(bindings[0].to_string().to_lowercase().contains("tcp"), "{bindings:?}");

    let invite = alice.invite("bob", "tcp-call");
    // A keep-alive and two requests in one segment: each is answered.
    let options = alice.text(&Ask {
        method: "OPTIONS",
        uri: &format!("sip:{DOMAIN}"),
        from: "<sip:alice@example.com>;tag=o",
        to: "<sip:example.com>",
        call_id: "between",
        more: "",
        body: "",
    });
    alice.send(&format!("\r\n\r\n{options}{invite}"));
    assert_eq!(alice.response("OPTIONS").status(), 200);
    let rung = bob.hear("the INVITE", invited);
    assert!(rung.field("Via").expect("a Via").starts_with("SIP/2.0/TCP"), "{}", rung.text);
    assert!(rung.contact().to_lowercase().contains("transport=tcp"), "{}", rung.text);
    bob.answer(&rung, "180 Ringing", "", "");
    alice.hear("it rings", |heard| heard.status() == 180);
    bob.answer(&rung, "200 OK", "", SDP);
    let answer = alice.response("INVITE");
    assert_eq!(answer.status(), 200, "{}", answer.text);
    let ack = alice.within("ACK", &answer);
    alice.send(&ack);
    bob.hear("the ACK", |heard| heard.text.starts_with("ACK "));
    let bye = alice.within("BYE", &answer);
    alice.send(&bye);
    assert_eq!(alice.response("BYE").status(), 200);
    let bye = bob.hear("the BYE", |heard| heard.text.starts_with("BYE "));
    bob.answer(&bye, "200 OK", "", "");
    assert_eq!(drill.parts().0, 200);
}

/// Waits until the server has noticed that only one connection is left: before that it would write into the other.
#[track_caller]
fn gone(drill: &Drill) {
    until(STEP, "the end of a connection", || {
        let metrics = drill.door.ask("GET", "/metrics", None, "", b"").text();
        metrics.contains("\ncarillon_flows{transport=\"tcp\"} 1\n").then_some(())
    });
}

/// Waits until the server dials.
#[track_caller]
fn dialled(phone: &TcpListener) -> Wire {
    let (stream, _) = until(STEP, "a connection of the server's", || phone.accept().ok());
    stream.set_nonblocking(false).expect("a socket that waits");
    Wire::on(stream)
}

#[test]
fn a_phone_that_listens_is_dialled_when_its_connection_is_gone() {
    let drill = Drill::start("", OPEN, "");
    for user in ["alice", "bob"] {
        assert_eq!(drill.put_user(user).status, 201);
    }
    let mut alice = Wire::dial(&drill.host, drill.sip);
    alice.register("alice");
    // Bob's port is known to be free: nothing else is on this host.
    let own: SocketAddr = "127.0.0.1:5071".parse().unwrap();
    let mut first = Wire::dial_from(&drill.host, own, drill.sip);
    first.register("bob");
    drop(first);
    gone(&drill);
    let phone = drill.host.enter(|| TcpListener::bind(own)).expect("its own port");
    phone.set_nonblocking(true).expect("a socket that does not wait");

    let invite = alice.invite("bob", "dialled");
    alice.send(&invite);
    let mut second = dialled(&phone);
    let rung = second.hear("the INVITE", invited);
    second.answer(&rung, "200 OK", "", SDP);
    let answer = alice.response("INVITE");
    assert_eq!(answer.status(), 200, "{}", answer.text);
    let ack = alice.within("ACK", &answer);
    alice.send(&ack);
    second.hear("the ACK", |heard| heard.text.starts_with("ACK "));
    drop(second);
    gone(&drill);

    let bye = alice.within("BYE", &answer);
    alice.send(&bye);
    assert_eq!(alice.response("BYE").status(), 200);
    let mut third = dialled(&phone);
    let bye = third.hear("the BYE", |heard| heard.text.starts_with("BYE "));
    third.answer(&bye, "200 OK", "", "");
}

#[test]
fn what_is_no_sip_ends_its_connection_and_no_other() {
    let drill = Drill::start("", OPEN, "");
    assert_eq!(drill.put_user("alice").status, 201);
    let mut good = Wire::dial(&drill.host, drill.sip);
    for nonsense in ["GET / HTTP/1.1\r\nHost: x\r\n\r\n", "\u{1}\u{2}\u{3}\r\n\r\n"] {
        let mut bad = Wire::dial(&drill.host, drill.sip);
        bad.send(nonsense);
        while bad.next(STEP).is_some() {}
    }
    good.register("alice");
}
