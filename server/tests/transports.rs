//! Phones on every transport: registrations and calls between all pairs of UDP, TCP, TLS, WS and WSS, IPv4 and IPv6;
//! certificates that change, keep-alives, and flows that are gone.

#[allow(dead_code, reason = "each test program uses a part of what they share")]
mod drill;
#[allow(dead_code, reason = "each test program uses a part of what they share")]
mod support;

use std::fs;
use std::net::{SocketAddr, TcpStream};

use drill::{DOMAIN, Drill, PASSWORD};
use nix::sys::signal::Signal;
use rustls::pki_types::CertificateDer;
use support::certificate::certify;
use support::line::{Line, secured};
use support::namespace::Namespace;
use support::raw::{Ask, Heard};
use support::server::Server;
use support::{STEP, until};

const SDP: &str = "v=0\r\no=raw 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
                   m=audio 40000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n";

const LISTEN: &str = "\"udp://127.0.0.1:5060\", \"tcp://127.0.0.1:5060\", \"tls://127.0.0.1:5061\", \
                      \"ws://127.0.0.1:5062\", \"wss://127.0.0.1:5063\"";
const LISTEN_SIX: &str = "\"udp://[::1]:5060\", \"tcp://[::1]:5060\", \"tls://[::1]:5061\", \
                          \"ws://[::1]:5062\", \"wss://[::1]:5063\"";

const TRANSPORTS: [(&str, u16); 5] =
    [("UDP", 5060), ("TCP", 5060), ("TLS", 5061), ("WS", 5062), ("WSS", 5063)];

struct House {
    drill: Drill,
    authority: CertificateDer<'static>,
}

impl House {
    #[track_caller]
    fn open(listen: &str, sip: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let authority = certify(folder.path());
        let at = |name: &str| folder.path().join(name);
        let (data, certificate, key) = (at("data"), at("certificate.pem"), at("key.pem"));
        let text = format!(
            "[node]\ndata = {data:?}\ndomain = \"{DOMAIN}\"\n\
             [sip]\nlisten = [{listen}]\nrequire_auth = false\ndigest = [\"MD5\"]\n{sip}\n\
             [tls]\ncertificate = {certificate:?}\nkey = {key:?}\n\
             [http]\nlisten = \"127.0.0.1:8088\"\n"
        );
        let drill = Drill::start_in(folder, &data, &[], &text);
        Self { drill, authority }
    }

    #[track_caller]
    fn line(&self, ip: &str, transport: &'static str) -> Line {
        let port = TRANSPORTS.iter().find(|(name, _)| *name == transport).expect("a transport").1;
        let server = SocketAddr::new(ip.parse().expect("an address"), port);
        Line::open(&self.drill.host, transport, server, &self.authority)
    }

    /// A registered phone of a user who is made for it.
    #[track_caller]
    fn phone(&self, ip: &str, transport: &'static str) -> (String, Line) {
        let user = transport.to_lowercase();
        assert_eq!(self.drill.put_user(&user).status, 201);
        let mut line = self.line(ip, transport);
        line.register(DOMAIN, &user, PASSWORD);
        (user, line)
    }
}

#[track_caller]
fn invite(caller: &mut Line, user: &str, call_id: &str) {
    let uri = format!("sip:{user}@{DOMAIN}");
    let text = caller.text(&Ask {
        method: "INVITE",
        uri: &uri,
        from: &format!("<sip:caller@{DOMAIN}>;tag=c"),
        to: &format!("<{uri}>"),
        call_id,
        more: "",
        body: SDP,
    });
    caller.send(&text);
}

fn within(caller: &mut Line, method: &str, answer: &Heard) -> String {
    let call_id = answer.field("Call-ID").expect("a Call-ID").to_owned();
    let text = caller.text(&Ask {
        method,
        uri: &answer.contact(),
        from: answer.field("From").expect("a From"),
        to: answer.field("To").expect("a To"),
        call_id: &call_id,
        more: "",
        body: "",
    });
    let cseq = answer.field("CSeq").expect("a CSeq").replace("INVITE", "ACK");
    let lines = text.split_inclusive("\r\n");
    let line = |line: &str| match line.starts_with("CSeq") && method == "ACK" {
        true => format!("CSeq: {cseq}\r\n"),
        false => line.to_owned(),
    };
    lines.map(line).collect()
}

/// A whole call; gives the INVITE as the callee heard it.
#[track_caller]
fn call(caller: &mut Line, callee: &mut Line, user: &str, call_id: &str) -> Heard {
    invite(caller, user, call_id);
    let rung = callee.request("INVITE");
    callee.answer(&rung, "180 Ringing", "");
    callee.answer(&rung, "200 OK", SDP);
    let answer = caller.response("INVITE");
    assert_eq!(answer.status(), 200, "{}", answer.text);
    let ack = within(caller, "ACK", &answer);
    caller.send(&ack);
    callee.request("ACK");
    let bye = within(caller, "BYE", &answer);
    caller.send(&bye);
    assert_eq!(caller.response("BYE").status(), 200);
    let bye = callee.request("BYE");
    callee.answer(&bye, "200 OK", "");
    rung
}

#[track_caller]
fn all_pairs(ip: &str, listen: &str, host: &str) {
    let house = House::open(listen, "");
    let mut phones: Vec<_> =
        TRANSPORTS.iter().map(|(transport, _)| house.phone(ip, transport)).collect();
    for caller in 0..phones.len() {
        for callee in 0..phones.len() {
            if caller == callee {
                continue;
            }
            let (user, name) = (phones[callee].0.clone(), format!("{caller}-to-{callee}"));
            let [(_, one), (_, other)] = phones.get_disjoint_mut([caller, callee]).expect("two");
            let rung = call(one, other, &user, &name);
            let (transport, port) = TRANSPORTS[callee];
            let via = rung.field("Via").expect("a Via");
            assert!(via.starts_with(&format!("SIP/2.0/{transport} {host}:{port};")), "{via}");
            let contact = rung.contact();
            assert!(contact.starts_with(&format!("sip:{host}:{port}")), "{contact}");
        }
    }
    let metrics = house.drill.door.ask("GET", "/metrics", None, "", b"").text();
    for transport in ["tcp", "tls", "ws", "wss"] {
        let line = format!("\ncarillon_flows{{transport=\"{transport}\"}} 1\n");
        assert!(metrics.contains(&line), "{metrics}");
    }
}

#[test]
fn every_transport_calls_every_other() {
    all_pairs("127.0.0.1", LISTEN, "127.0.0.1");
}

#[test]
fn every_transport_calls_every_other_over_ipv6() {
    all_pairs("::1", LISTEN_SIX, "[::1]");
}

#[test]
fn families_meet_and_each_sees_its_own_address() {
    let listen = format!("{LISTEN}, \"udp://[::1]:5060\"");
    let advertise = "advertise = \"tls://sip.example.com:443, udp://198.51.100.7:5090\"";
    let house = House::open(&listen, advertise);
    let (_, mut four) = house.phone("127.0.0.1", "TLS");
    let (user, mut six) = house.phone("::1", "UDP");
    let rung = call(&mut four, &mut six, &user, "four-to-six");
    assert!(rung.field("Via").expect("a Via").starts_with("SIP/2.0/UDP 198.51.100.7:5090;"));
    let rung = call(&mut six, &mut four, "tls", "six-to-four");
    assert!(rung.field("Via").expect("a Via").starts_with("SIP/2.0/TLS sip.example.com:443;"));
    assert!(rung.contact().starts_with("sip:sip.example.com:443"), "{}", rung.text);
}

#[test]
fn a_new_certificate_is_shown_to_newcomers_and_drops_nobody() {
    let mut house = House::open(LISTEN, "");
    let (user, mut phone) = house.phone("127.0.0.1", "TLS");
    let (_, mut page) = house.phone("127.0.0.1", "WSS");
    let old = house.authority.clone();
    let fresh = certify(house.drill.folder.path());
    house.drill.program.signal(Signal::SIGHUP);
    house.drill.heard("certificates_reloaded");
    let shown = |authority: &CertificateDer<'static>| {
        let dial = || TcpStream::connect("127.0.0.1:5061");
        let stream = house.drill.host.enter(dial).expect("it listens");
        stream.set_read_timeout(Some(STEP)).expect("a wait has a limit");
        secured(stream, "localhost", authority).is_ok()
    };
    assert!(shown(&fresh));
    assert!(!shown(&old), "nobody gets the old one any more");
    call(&mut page, &mut phone, &user, "after-the-change");
    // A file that is none changes nothing, and says so.
    fs::write(house.drill.folder.path().join("key.pem"), "nonsense").expect("the test's folder");
    house.drill.program.signal(Signal::SIGHUP);
    house.drill.heard("certificates_refused_nothing_changed");
    let dial = || TcpStream::connect("127.0.0.1:5061");
    let stream = house.drill.host.enter(dial).expect("it listens");
    assert!(secured(stream, "localhost", &fresh).is_ok());
    call(&mut phone, &mut page, "wss", "still-there");
}

#[test]
fn keep_alives_are_answered_on_every_transport() {
    let house = House::open(LISTEN, "");
    for transport in ["TCP", "TLS", "WS", "WSS"] {
        let mut line = house.line("127.0.0.1", transport);
        line.send("\r\n\r\n");
        assert_eq!(line.octets(), b"\r\n", "{transport}");
    }
    let mut line = house.line("127.0.0.1", "UDP");
    // Nonsense first: none of it has an answer.
    for nonsense in ["\r\n\r\n", "\0\u{1}\0\u{4}!\u{12}", "\0\u{1}"] {
        line.send(nonsense);
    }
    // The cookie of STUN is no text.
    let mut request = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
    request.extend(1..=12);
    line.send_octets(&request);
    let answer = line.octets();
    assert_eq!(answer[..4], [1, 1, 0, 12], "{answer:?}");
    assert_eq!(answer[8..20], request[8..20]);
}

#[test]
fn a_page_that_is_gone_is_known_to_be_gone() {
    let house = House::open(LISTEN, "");
    let (_, mut caller) = house.phone("127.0.0.1", "TCP");
    for transport in ["WS", "TLS"] {
        let (user, phone) = house.phone("127.0.0.1", transport);
        drop(phone);
        let gauge = format!("\ncarillon_flows{{transport=\"{user}\"}} 0\n");
        until(STEP, "the connection's end", || {
            let metrics = house.drill.door.ask("GET", "/metrics", None, "", b"").text();
            metrics.contains(&gauge).then_some(())
        });
        // Well before a transaction's own patience, which is longer than a step.
        invite(&mut caller, &user, &format!("gone-{transport}"));
        let answer = caller.response("INVITE");
        assert!(matches!(answer.status(), 480 | 503), "{}", answer.text);
    }
}

#[test]
fn dev_serves_pages_as_it_comes() {
    let host = Namespace::alone();
    let server = Server::dev(&host, "127.0.0.1");
    let nobody = CertificateDer::from(Vec::new());
    let address = "127.0.0.1:5062".parse().expect("an address");
    let mut page = Line::open(&host, "WS", address, &nobody);
    page.register("localhost", "1001", &server.written["SIP_PASSWORD"]);
}
