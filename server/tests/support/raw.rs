//! A SIP end made of a UDP socket and text: says exactly what a test wants, wrong things too.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use sip::digest::{Challenge, Login, Password, Target, answer};

use super::STEP;
use super::namespace::Namespace;

/// One socket, which is one phone.
pub struct Raw {
    socket: UdpSocket,
    pub own: SocketAddr,
    /// Where its Contact says that it is.
    pub reached: SocketAddr,
    server: SocketAddr,
    count: u32,
    /// The INVITE that was sent last.
    invite: String,
}

/// A message that came.
#[derive(Clone, Debug)]
pub struct Heard {
    pub text: String,
}

impl Heard {
    /// Status of a response; 0: a request.
    pub fn status(&self) -> u16 {
        let rest = self.text.strip_prefix("SIP/2.0 ");
        rest.and_then(|rest| rest.get(..3)?.parse().ok()).unwrap_or(0)
    }

    /// Method of a request, or the one that a response is about.
    pub fn method(&self) -> &str {
        let line = if self.status() == 0 { Some(&*self.text) } else { None };
        let method = line.and_then(|line| line.split(' ').next());
        method.or_else(|| self.field("CSeq")?.split(' ').nth(1)).unwrap_or_default()
    }

    /// The first field of this name.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields(name).next()
    }

    pub fn fields<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        let head = self.text.split("\r\n\r\n").next().unwrap_or_default();
        head.lines()
            .skip(1)
            .filter_map(|line| line.split_once(':'))
            .filter(move |(key, _)| key.trim().eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    }

    /// The URI of the Contact.
    #[track_caller]
    pub fn contact(&self) -> String {
        let contact = self.field("Contact").expect("a Contact");
        let uri = contact.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
        uri.map_or(contact, |(uri, _)| uri).to_owned()
    }

    /// The `tag` of a From or To.
    pub fn tag(&self, field: &str) -> Option<&str> {
        let (_, rest) = self.field(field)?.split_once(";tag=")?;
        rest.split(';').next()
    }
}

/// A request that can be said again with credentials.
#[derive(Clone)]
pub struct Ask<'a> {
    pub method: &'a str,
    pub uri: &'a str,
    pub from: &'a str,
    pub to: &'a str,
    pub call_id: &'a str,
    /// Further fields, each ended by CR LF.
    pub more: &'a str,
    pub body: &'a str,
}

impl Raw {
    /// A phone at `address` on `host`, at a port that the system chooses.
    #[track_caller]
    pub fn new(host: &Namespace, address: &str, server: SocketAddr) -> Self {
        let socket = host.enter(|| UdpSocket::bind((address, 0))).expect("a free port");
        let own = socket.local_addr().expect("a bound socket has an address");
        Self { socket, own, reached: own, server, count: 0, invite: String::new() }
    }

    pub fn send(&self, octets: impl AsRef<[u8]>) {
        self.socket.send_to(octets.as_ref(), self.server).expect("a datagram leaves");
    }

    /// A description for a body: G.711 to a port that is ours alone in name.
    pub fn sdp(&self) -> String {
        let ip = self.own.ip();
        format!(
            "v=0\r\no=raw 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\n\
             m=audio 40000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
        )
    }

    /// The request as text, with a branch and a CSeq of its own.
    pub fn text(&mut self, ask: &Ask<'_>) -> String {
        self.count += 1;
        let Ask { method, uri, from, to, call_id, more, body } = ask;
        let (own, reached, count) = (self.own, self.reached, self.count);
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        let text = format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bK-{count}-{call_id}\r\n\
             Max-Forwards: 70\r\nFrom: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\n\
             CSeq: {count} {method}\r\nContact: <sip:raw@{reached}>\r\n{more}{kind}\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        if *method == "INVITE" {
            self.invite.clone_from(&text);
        }
        text
    }

    /// Sends a request and returns its final response; INVITEs that are refused are acknowledged.
    #[track_caller]
    pub fn ask(&mut self, ask: &Ask<'_>) -> Heard {
        let text = self.text(ask);
        self.send(&text);
        let response = self.response(ask.method);
        if ask.method == "INVITE" && response.status() >= 300 {
            self.acknowledge(&response);
        }
        response
    }

    /// The same, answering one challenge.
    #[track_caller]
    pub fn ask_as(&mut self, ask: &Ask<'_>, user: &str, password: &str) -> Heard {
        let first = self.ask(ask);
        let Some(fields) = credentials(&first, ask, user, password) else { return first };
        let more = format!("{}{fields}", ask.more);
        self.ask(&Ask { more: &more, ..ask.clone() })
    }

    /// The final response to the request of this method that was sent last.
    #[track_caller]
    pub fn response(&self, method: &str) -> Heard {
        let count = self.count;
        self.hear(&format!("a final response to {method}"), |heard| {
            let own =
                heard.field("CSeq").is_some_and(|field| field.starts_with(&format!("{count} ")));
            own && heard.status() >= 200 && heard.method() == method
        })
    }

    /// The first message that is wanted; what comes before it is dropped.
    #[track_caller]
    pub fn hear(&self, what: &str, wanted: impl Fn(&Heard) -> bool) -> Heard {
        self.hear_within(STEP, wanted).unwrap_or_else(|| panic!("{what}: not within {STEP:?}"))
    }

    pub fn hear_within(&self, limit: Duration, wanted: impl Fn(&Heard) -> bool) -> Option<Heard> {
        let end = Instant::now() + limit;
        let mut octets = [0; 65_536];
        loop {
            let left = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
            self.socket.set_read_timeout(Some(left)).expect("a wait has a limit");
            let Ok((count, _)) = self.socket.recv_from(&mut octets) else { continue };
            let heard = Heard { text: String::from_utf8_lossy(&octets[..count]).into_owned() };
            if wanted(&heard) {
                return Some(heard);
            }
        }
    }

    /// Answers a request that came. `to_tag` is added where the To has none.
    pub fn answer(&self, request: &Heard, status: &str, to_tag: &str, more: &str, body: &str) {
        let mut text = format!("SIP/2.0 {status}\r\n");
        for name in ["Via", "Record-Route", "From", "To", "Call-ID", "CSeq"] {
            for value in request.fields(name) {
                let tag = name == "To" && !value.contains(";tag=") && !to_tag.is_empty();
                let tag = if tag { format!(";tag={to_tag}") } else { String::new() };
                text += &format!("{name}: {value}{tag}\r\n");
            }
        }
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        text += &format!(
            "Contact: <sip:raw@{}>\r\n{more}{kind}Content-Length: {}\r\n\r\n{body}",
            self.reached,
            body.len()
        );
        self.send(text);
    }

    /// The ACK to the final response to our last INVITE.
    ///
    /// Spec: RFC 3261 §17.1.1.3 (a refusal), §13.2.2.4 (an answer)
    pub fn acknowledge(&self, response: &Heard) {
        let invite = Heard { text: self.invite.clone() };
        let field = |name: &str| invite.field(name).unwrap_or_default().to_owned();
        let (mut uri, mut via) = (self.invite_uri().to_owned(), field("Via"));
        if response.status() < 300 {
            (uri, via) = (response.contact(), format!("{via}-ack"));
        }
        let to = response.field("To").unwrap_or_default();
        self.send(same_transaction("ACK", &uri, &via, to, &invite));
    }

    /// Takes back an INVITE of ours.
    ///
    /// Spec: RFC 3261 §9.1
    pub fn cancel(&self, invite: &str) {
        let invite = Heard { text: invite.to_owned() };
        let field = |name: &str| invite.field(name).unwrap_or_default();
        let uri = invite.text.split(' ').nth(1).unwrap_or_default();
        self.send(same_transaction("CANCEL", uri, field("Via"), field("To"), &invite));
    }

    fn invite_uri(&self) -> &str {
        self.invite.split(' ').nth(1).unwrap_or_default()
    }

    /// REGISTERs this socket.
    #[track_caller]
    pub fn register(&mut self, domain: &str, user: &str, password: &str) -> Heard {
        let (uri, address) = (format!("sip:{domain}"), format!("<sip:{user}@{domain}>"));
        let call_id = format!("register-{user}-{}", self.own.port());
        let response = self.ask_as(
            &Ask {
                method: "REGISTER",
                uri: &uri,
                from: &format!("{address};tag=1"),
                to: &address,
                call_id: &call_id,
                more: "Expires: 600\r\n",
                body: "",
            },
            user,
            password,
        );
        assert_eq!(response.status(), 200, "{}", response.text);
        response
    }
}

fn same_transaction(method: &str, uri: &str, via: &str, to: &str, invite: &Heard) -> String {
    let field = |name: &str| invite.field(name).unwrap_or_default();
    let count = field("CSeq").split(' ').next().unwrap_or_default();
    format!(
        "{method} {uri} SIP/2.0\r\nVia: {via}\r\nMax-Forwards: 70\r\nFrom: {}\r\nTo: {to}\r\n\
         Call-ID: {}\r\nCSeq: {count} {method}\r\nContent-Length: 0\r\n\r\n",
        field("From"),
        field("Call-ID"),
    )
}

/// The field that answers a challenge; `None`: there was none.
#[track_caller]
pub fn credentials(refused: &Heard, ask: &Ask<'_>, user: &str, password: &str) -> Option<String> {
    let (challenge, own) = match refused.status() {
        401 => ("WWW-Authenticate", "Authorization"),
        407 => ("Proxy-Authenticate", "Proxy-Authorization"),
        _ => return None,
    };
    let value = refused.field(challenge).expect("a challenge");
    let challenge = Challenge::decode(value.as_bytes()).expect("a challenge that can be read");
    let password = Password::Text(password.as_bytes());
    let login = Login { user: user.as_bytes(), password, realm: None };
    let target = Target { method: ask.method.as_bytes(), uri: ask.uri.as_bytes() };
    let proof = answer(&challenge, &login, target, b"0a4f113b", 1).expect("a known algorithm");
    Some(format!("{own}: {}\r\n", String::from_utf8_lossy(&proof)))
}
