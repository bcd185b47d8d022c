//! A SIP end on any transport, made of text: UDP, TCP, TLS, WebSocket, and WebSocket by TLS.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tungstenite::client::IntoClientRequest as _;
use tungstenite::http::HeaderValue;
use tungstenite::{Message, WebSocket};

use super::namespace::Namespace;
use super::raw::{Ask, Heard, credentials};
use super::{STEP, unhalted};

/// What octets go through.
pub trait Pipe: Read + Write + Send {}
impl<T: Read + Write + Send> Pipe for T {}

enum Wire {
    Datagrams(UdpSocket, SocketAddr),
    Octets(Box<dyn Pipe>, Vec<u8>),
    Web(Box<WebSocket<Box<dyn Pipe>>>),
}

/// One phone.
pub struct Line {
    wire: Wire,
    /// As a Via says it.
    transport: &'static str,
    /// Host and port that Via and Contact name.
    own: String,
    count: u32,
}

/// A connection by TLS whose peer proved `name` to these authorities. Errors: it did not.
pub fn secured(
    stream: TcpStream,
    name: &str,
    authority: &CertificateDer<'static>,
) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone()).expect("an authority");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the library's own versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let connection = ClientConnection::new(Arc::new(config), name).expect("a valid configuration");
    let mut stream = StreamOwned::new(connection, stream);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream)
}

impl Line {
    /// A phone by this transport. By TLS the server must be `localhost` to `authority`.
    #[track_caller]
    pub fn open(
        host: &Namespace,
        transport: &'static str,
        server: SocketAddr,
        authority: &CertificateDer<'static>,
    ) -> Self {
        if transport == "UDP" {
            let any = SocketAddr::new(server.ip(), 0);
            let socket = host.enter(|| UdpSocket::bind(any)).expect("a free port");
            socket.set_read_timeout(Some(STEP)).expect("a wait has a limit");
            let own = socket.local_addr().expect("a bound socket has an address").to_string();
            return Self { wire: Wire::Datagrams(socket, server), transport, own, count: 0 };
        }
        let stream = host.enter(|| TcpStream::connect(server)).expect("it listens");
        stream.set_read_timeout(Some(STEP)).expect("a wait has a limit");
        let mut own = stream.local_addr().expect("a connection has two ends").to_string();
        let pipe: Box<dyn Pipe> = match transport {
            "TLS" | "WSS" => {
                Box::new(secured(stream, "localhost", authority).expect("a handshake"))
            }
            _ => Box::new(stream),
        };
        let wire = if matches!(transport, "WS" | "WSS") {
            // A page knows neither its address nor its port. Spec: RFC 7118 §5.3
            own = format!("{}.invalid", own.replace(['.', ':', '[', ']'], "-"));
            let mut request = format!("ws://{server}/").into_client_request().expect("a request");
            let sip = HeaderValue::from_static("sip");
            request.headers_mut().insert("Sec-WebSocket-Protocol", sip);
            let (socket, answer) = tungstenite::client(request, pipe).expect("an upgrade");
            assert_eq!(answer.headers()["Sec-WebSocket-Protocol"], "sip");
            Wire::Web(Box::new(socket))
        } else {
            Wire::Octets(pipe, Vec::new())
        };
        Self { wire, transport, own, count: 0 }
    }

    #[track_caller]
    pub fn send(&mut self, text: &str) {
        let sent = match &mut self.wire {
            Wire::Datagrams(socket, server) => socket.send_to(text.as_bytes(), *server).map(drop),
            Wire::Octets(pipe, _) => pipe.write_all(text.as_bytes()).and_then(|()| pipe.flush()),
            Wire::Web(socket) => {
                socket.send(Message::text(text)).expect("an open WebSocket");
                Ok(())
            }
        };
        sent.expect("the server reads");
    }

    /// One datagram.
    #[track_caller]
    pub fn send_octets(&mut self, octets: &[u8]) {
        let Wire::Datagrams(socket, server) = &self.wire else {
            panic!("not on {}", self.transport)
        };
        socket.send_to(octets, *server).expect("a datagram leaves");
    }

    /// The octets that come next, as they come.
    #[track_caller]
    pub fn octets(&mut self) -> Vec<u8> {
        let mut room = [0; 65_536];
        let count = match &mut self.wire {
            Wire::Datagrams(socket, _) => {
                unhalted(|| socket.recv(&mut room)).expect("a datagram in time")
            }
            Wire::Octets(pipe, _) => unhalted(|| pipe.read(&mut room)).expect("octets in time"),
            Wire::Web(socket) => {
                return loop {
                    match socket.read().expect("a message in time") {
                        Message::Text(text) => break text.as_bytes().to_vec(),
                        Message::Binary(bytes) => break bytes.to_vec(),
                        _ => (),
                    }
                };
            }
        };
        room[..count].to_vec()
    }

    /// The next whole message.
    #[track_caller]
    pub fn next(&mut self) -> Heard {
        let heard = |octets: &[u8]| Heard { text: String::from_utf8_lossy(octets).into_owned() };
        loop {
            if let Wire::Octets(_, octets) = &mut self.wire
                && let Some(head) = octets.windows(4).position(|four| four == b"\r\n\r\n")
            {
                let length = heard(&octets[..head + 4]);
                let length = length.field("Content-Length").expect("on a stream it is named");
                let total = head + 4 + length.parse::<usize>().expect("a number");
                if octets.len() >= total {
                    let message: Vec<_> = octets.drain(..total).collect();
                    return heard(&message);
                }
            }
            let came = self.octets();
            match &mut self.wire {
                Wire::Octets(_, octets) => {
                    assert!(!came.is_empty(), "the server closed");
                    octets.extend(came);
                }
                Wire::Datagrams(..) | Wire::Web(_) => return heard(&came),
            }
        }
    }

    #[track_caller]
    pub fn hear(&mut self, wanted: impl Fn(&Heard) -> bool) -> Heard {
        loop {
            let heard = self.next();
            if wanted(&heard) {
                return heard;
            }
        }
    }

    #[track_caller]
    pub fn request(&mut self, method: &str) -> Heard {
        self.hear(|heard| heard.status() == 0 && heard.method() == method)
    }

    #[track_caller]
    pub fn response(&mut self, method: &str) -> Heard {
        self.hear(|heard| heard.status() >= 200 && heard.method() == method)
    }

    fn contact(&self) -> String {
        let param = if self.transport == "WSS" { "WS" } else { self.transport };
        format!("<sip:raw@{};transport={}>", self.own, param.to_lowercase())
    }

    /// The request as text, with the next number.
    pub fn text(&mut self, ask: &Ask<'_>) -> String {
        self.count += 1;
        let Ask { method, uri, from, to, call_id, more, body } = ask;
        let (own, count, transport) = (&self.own, self.count, self.transport);
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        format!(
            "{method} {uri} SIP/2.0\r\n\
             Via: SIP/2.0/{transport} {own};branch=z9hG4bK-{count}-{call_id};rport\r\n\
             Max-Forwards: 70\r\nFrom: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\n\
             CSeq: {count} {method}\r\nContact: {}\r\n{more}{kind}Content-Length: {}\r\n\r\n{body}",
            self.contact(),
            body.len()
        )
    }

    #[track_caller]
    pub fn ask(&mut self, ask: &Ask<'_>) -> Heard {
        let text = self.text(ask);
        self.send(&text);
        self.response(ask.method)
    }

    pub fn answer(&mut self, request: &Heard, status: &str, body: &str) {
        let mut text = format!("SIP/2.0 {status}\r\n");
        for name in ["Via", "Record-Route", "From", "To", "Call-ID", "CSeq"] {
            for value in request.fields(name) {
                let tag = if name == "To" && !value.contains(";tag=") { ";tag=callee" } else { "" };
                text += &format!("{name}: {value}{tag}\r\n");
            }
        }
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        let (contact, length) = (self.contact(), body.len());
        text += &format!("Contact: {contact}\r\n{kind}Content-Length: {length}\r\n\r\n{body}");
        self.send(&text);
    }

    #[track_caller]
    pub fn register(&mut self, domain: &str, user: &str, password: &str) {
        let (uri, address) = (format!("sip:{domain}"), format!("<sip:{user}@{domain}>"));
        let ask = Ask {
            method: "REGISTER",
            uri: &uri,
            from: &format!("{address};tag=1"),
            to: &address,
            call_id: &format!("{}-{user}", self.transport),
            more: "Expires: 600\r\n",
            body: "",
        };
        let challenge = self.ask(&ask);
        let proof = credentials(&challenge, &ask, user, password).expect("a challenge");
        let done = self.ask(&Ask { more: &format!("{}{proof}", ask.more), ..ask.clone() });
        assert_eq!(done.status(), 200, "{}", done.text);
    }
}
