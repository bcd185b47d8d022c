//! Against a name server of the test's own, on loopback.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::net::UdpSocket;
use types::Transport;

use super::*;

const WAYS: [Way; 3] = [(Transport::Udp, false), (Transport::Tcp, false), (Transport::Tls, false)];

const A: u16 = 1;
const SRV: u16 = 33;
const NAPTR: u16 = 35;

/// Records of a zone: by name and type, the data of each answer.
type Zone = BTreeMap<(String, u16), Vec<Vec<u8>>>;

/// An authoritative server, just enough of one.
struct Server {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
    zone: Arc<Mutex<Zone>>,
}

impl Server {
    async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let (asked, zone) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Zone::new())));
        let (count, records) = (Arc::clone(&asked), Arc::clone(&zone));
        tokio::spawn(async move {
            let mut room = [0; 1_500];
            while let Ok((length, from)) = socket.recv_from(&mut room).await {
                count.fetch_add(1, Ordering::SeqCst);
                let answer = answer(&room[..length], &records.lock().unwrap());
                let _ = socket.send_to(&answer, from).await;
            }
        });
        Self { address, asked, zone }
    }

    fn put(&self, name: &str, kind: u16, data: Vec<u8>) {
        let key = (name.to_owned(), kind);
        self.zone.lock().unwrap().entry(key).or_default().push(data);
    }
}

/// A name as labels.
fn labels(name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        out.push(label.len() as u8);
        out.extend_from_slice(label.as_bytes());
    }
    out.push(0);
    out
}

fn answer(query: &[u8], zone: &Zone) -> Vec<u8> {
    let (mut at, mut name) = (12, Vec::new());
    while query[at] != 0 {
        let end = at + 1 + usize::from(query[at]);
        name.push(String::from_utf8_lossy(&query[at + 1..end]).to_ascii_lowercase());
        at = end;
    }
    let kind = u16::from_be_bytes([query[at + 1], query[at + 2]]);
    let question = &query[12..at + 5];
    let none = Vec::new();
    let found = zone.get(&(name.join("."), kind)).unwrap_or(&none);
    let mut out = query[..2].to_vec();
    let count = found.len() as u8;
    // An authoritative answer without an error; one question. Nothing is said with how long that holds.
    out.extend_from_slice(&[0x85, 0x80, 0, 1, 0, count, 0, u8::from(count == 0), 0, 0]);
    out.extend_from_slice(question);
    if count == 0 {
        let times = [1u32, 60, 60, 60, 60].map(u32::to_be_bytes).concat();
        let soa = [labels("ns.example"), labels("admin.example"), times].concat();
        out.extend_from_slice(&labels("example"));
        out.extend_from_slice(&[0, 6, 0, 1, 0, 0, 0, 60]);
        out.extend_from_slice(&(soa.len() as u16).to_be_bytes());
        out.extend_from_slice(&soa);
    }
    for data in found {
        out.extend_from_slice(&[0xc0, 12]);
        out.extend_from_slice(&kind.to_be_bytes());
        out.extend_from_slice(&[0, 1, 0, 0, 1, 0]);
        out.extend_from_slice(&(data.len() as u16).to_be_bytes());
        out.extend_from_slice(data);
    }
    out
}

fn srv_data(priority: u16, port: u16, target: &str) -> Vec<u8> {
    let numbers = [priority, 0, port].map(u16::to_be_bytes).concat();
    [numbers, labels(target)].concat()
}

fn naptr_data(order: u16, service: &str, target: &str) -> Vec<u8> {
    let mut data = [order, 0].map(u16::to_be_bytes).concat();
    for text in ["s", service, ""] {
        data.push(text.len() as u8);
        data.extend_from_slice(text.as_bytes());
    }
    [data, labels(target)].concat()
}

fn question(host: &str) -> Question {
    Question { host: host.to_owned(), ..Question::default() }
}

#[tokio::test]
async fn naptr_srv_and_addresses_with_failover_and_a_cache() {
    let server = Server::start().await;
    server.put("carrier.example", NAPTR, naptr_data(20, "SIP+D2U", "udp.carrier.example"));
    server.put("carrier.example", NAPTR, naptr_data(10, "SIPS+D2T", "tls.carrier.example"));
    server.put("tls.carrier.example", SRV, srv_data(2, 5061, "b.carrier.example"));
    server.put("tls.carrier.example", SRV, srv_data(1, 5061, "a.carrier.example"));
    server.put("udp.carrier.example", SRV, srv_data(1, 5070, "a.carrier.example"));
    server.put("a.carrier.example", A, vec![192, 0, 2, 1]);
    server.put("b.carrier.example", A, vec![192, 0, 2, 2]);
    let resolver = Resolver::start(&[server.address], WAYS.to_vec()).unwrap();
    let rng = Rng::from_number(1);
    let hops = resolver.resolve(question("carrier.example"), rng.clone()).await.unwrap();
    let text: Vec<_> =
        hops.iter().map(|hop| format!("{} {}", hop.transport.param(), hop.address)).collect();
    assert_eq!(text, ["tls 192.0.2.1:5061", "tls 192.0.2.2:5061", "udp 192.0.2.1:5070"]);
    let asked = server.asked.load(Ordering::SeqCst);
    assert!(asked >= 5, "{asked}");
    let again = resolver.resolve(question("CARRIER.example"), rng).await.unwrap();
    assert_eq!(again, hops);
    assert_eq!(server.asked.load(Ordering::SeqCst), asked, "the second time from the cache");
}

#[tokio::test]
async fn what_is_nowhere_says_so_and_an_address_asks_nobody() {
    let server = Server::start().await;
    let resolver = Resolver::start(&[server.address], WAYS.to_vec()).unwrap();
    let rng = Rng::from_number(1);
    let why = resolver.resolve(question("nobody.example"), rng.clone()).await.unwrap_err();
    assert!(why.starts_with("nobody.example: "), "{why}");
    let asked = server.asked.load(Ordering::SeqCst);
    let hops = resolver.resolve(question("192.0.2.9"), rng).await.unwrap();
    assert_eq!(hops[0].address, "192.0.2.9:5060".parse().unwrap());
    assert_eq!(server.asked.load(Ordering::SeqCst), asked);
}
