use types::Instant;

use super::*;
use crate::core::{Config, Listener};
use crate::input::{Clock, Output};

const FAR: &str = "192.0.2.9:5060";

fn core(transports: &[Transport]) -> Core {
    let listener = |(place, transport): (usize, &Transport)| Listener {
        transport: *transport,
        sent_by: format!("192.0.2.1:{}", 5060 + place),
    };
    let mut core = Core::new(Config {
        index: 0,
        shards: 1,
        seed: [1; 32],
        secret: [2; 32],
        domain: "home.test".into(),
        hosts: Vec::new(),
        listeners: transports.iter().enumerate().map(listener).collect(),
        require_auth: true,
        digest: Vec::new(),
        media_address: [192, 0, 2, 1].into(),
        media_ports: 20_000..=20_999,
        door: None,
        shared_port: None,
        amr: sdp::AmrKnown::default(),
        public: String::new(),
        push_wait: std::time::Duration::from_secs(20),
        apps: crate::Apps::default(),
        ladder_memory: 1 << 16,
        timers: sip::transaction::Timers::default(),
    });
    core.clock = Clock { now: Instant(1), ..Clock::default() };
    core
}

fn options(via: &[u8], size: usize) -> Vec<u8> {
    let mut out = b"OPTIONS sip:x@192.0.2.9 SIP/2.0\r\nVia: ".to_vec();
    out.extend_from_slice(via);
    out.extend_from_slice(
        b"\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:x@b>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\nSubject: ",
    );
    out.resize(size, b'x');
    out.extend_from_slice(b"\r\nContent-Length: 0\r\n\r\n");
    out
}

/// What was sent since the last look.
fn sent(core: &mut Core) -> Vec<(Flow, String)> {
    let mut found = Vec::new();
    for output in &core.out.list {
        if let Output::Send { flow, range, .. } = output {
            let bytes = core.out.arena[range.clone()].to_vec();
            found.push((*flow, String::from_utf8(bytes).unwrap()));
        }
    }
    core.out.clear();
    found
}

fn hop() -> Flow {
    Flow { connection: Flow::FREE, ..Flow::udp(FAR.parse().unwrap()) }
}

fn ask(core: &mut Core, flow: Flow, size: usize) -> u64 {
    core.request(flow, Slot(3), None, false, |via| options(via, size))
}

#[test]
fn a_large_request_goes_by_tcp_and_by_udp_when_nobody_takes_it() {
    let mut core = core(&[Transport::Udp, Transport::Tcp]);
    let id = ask(&mut core, hop(), 2_000);
    let (flow, text) = sent(&mut core).pop().unwrap();
    assert_eq!((flow.transport, flow.listener, flow.connection), (Transport::Tcp, 1, 0));
    assert!(flow.is_to_be_dialled());
    assert!(text.contains("\r\nVia: SIP/2.0/TCP 192.0.2.1:5061;branch="), "{text}");
    core.undelivered(flow, text.as_bytes());
    let (again, retry) = sent(&mut core).pop().unwrap();
    assert_eq!(again, hop());
    assert!(retry.contains("\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch="), "{retry}");
    let branch = |text: &str| text.split(";branch=").nth(1).unwrap()[..25].to_owned();
    assert_eq!(branch(&text), branch(&retry));
    // The same news again changes nothing; UDP repeats by itself, and has no way after it.
    core.undelivered(flow, text.as_bytes());
    assert!(core.transactions.clients.get(id).is_some());
    core.undelivered(again, retry.as_bytes());
    assert!(core.transactions.clients.get(id).is_none());
}

#[test]
fn small_requests_fixed_flows_and_nodes_without_tcp_stay() {
    let mut both = core(&[Transport::Udp, Transport::Tcp]);
    ask(&mut both, hop(), 900);
    ask(&mut both, Flow::udp(FAR.parse().unwrap()), 2_000);
    let mut alone = core(&[Transport::Udp]);
    ask(&mut alone, hop(), 2_000);
    for (flow, text) in sent(&mut both).into_iter().chain(sent(&mut alone)) {
        assert_eq!(flow.transport, Transport::Udp);
        assert!(text.contains("SIP/2.0/UDP"), "{text}");
    }
}

#[test]
fn a_request_that_cannot_leave_fails_at_once_and_strangers_words_do_nothing() {
    let mut core = core(&[Transport::Udp, Transport::Ws]);
    let gone = Flow { transport: Transport::Ws, connection: 77, listener: 1, ..hop() };
    let id = ask(&mut core, gone, 300);
    let (flow, text) = sent(&mut core).pop().unwrap();
    let elsewhere = Flow { remote: "192.0.2.8:1".parse().unwrap(), ..flow };
    core.undelivered(elsewhere, text.as_bytes());
    core.undelivered(flow, text.replace("OPTIONS", "CANCEL").as_bytes());
    core.undelivered(flow, b"\0\0");
    assert!(core.transactions.clients.get(id).is_some());
    core.undelivered(flow, text.as_bytes());
    assert!(core.transactions.clients.get(id).is_none());
    assert_eq!(sent(&mut core), []);
}

#[test]
fn a_response_without_its_connection_goes_to_the_address_of_its_via_once() {
    let mut core = core(&[Transport::Tcp]);
    let response = "SIP/2.0 200 OK\r\nVia: SIP/2.0/TCP 203.0.113.5:5088;branch=z9hG4bKx;received=192.0.2.9\r\n\
                    From: <sip:a@b>;tag=1\r\nTo: <sip:x@b>;tag=2\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n\
                    Content-Length: 0\r\n\r\n";
    let by = Flow { transport: Transport::Tcp, connection: 5, ..hop() };
    core.undelivered(by, response.as_bytes());
    let (flow, text) = sent(&mut core).pop().unwrap();
    assert_eq!((flow.remote, flow.connection), ("192.0.2.9:5088".parse().unwrap(), 0));
    assert_eq!(text, response, "to where it came from, at the port of its Via");
    core.undelivered(flow, response.as_bytes());
    core.undelivered(Flow { transport: Transport::Wss, ..by }, response.as_bytes());
    assert_eq!(sent(&mut core), []);
}
