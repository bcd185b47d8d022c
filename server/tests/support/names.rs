//! A name server that knows what a test tells it.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::thread;

use super::namespace::Namespace;

/// What it knows.
#[derive(Clone, Debug)]
pub enum Record {
    /// The address of a name.
    Address(&'static str, [u8; 4]),
    /// Where a service is: its name, the priority, the port and the name of the host.
    Service(&'static str, u16, u16, &'static str),
}

impl Record {
    fn name(&self) -> &'static str {
        let (Self::Address(name, _) | Self::Service(name, ..)) = self;
        name
    }

    /// Its type, and what it says.
    fn encode(&self) -> (u16, Vec<u8>) {
        match self {
            Self::Address(_, ip) => (1, ip.to_vec()),
            Self::Service(_, priority, port, target) => {
                let mut data = [*priority, 0, *port].map(u16::to_be_bytes).concat();
                for label in target.split('.') {
                    data.push(label.len() as u8);
                    data.extend_from_slice(label.as_bytes());
                }
                data.push(0);
                (33, data)
            }
        }
    }
}

/// Answers on port 53 of an address of `host`, as long as the test program runs.
#[track_caller]
pub fn serve(host: &Namespace, ip: &str, records: Vec<Record>) -> SocketAddr {
    let address = SocketAddr::new(ip.parse::<IpAddr>().expect("an address"), 53);
    let socket = host.enter(|| UdpSocket::bind(address)).expect("the port of names is free");
    thread::spawn(move || {
        let mut room = [0; 1_500];
        while let Ok((length, from)) = socket.recv_from(&mut room) {
            let Some(answer) = answer(&room[..length], &records) else { continue };
            // Whoever does not hear it asks again.
            let _ = socket.send_to(&answer, from);
        }
    });
    address
}

/// Spec: RFC 1035 §4.1
fn answer(query: &[u8], records: &[Record]) -> Option<Vec<u8>> {
    let (mut at, mut labels) = (12, Vec::new());
    while *query.get(at)? != 0 {
        let end = at + 1 + usize::from(query[at]);
        labels.push(String::from_utf8_lossy(query.get(at + 1..end)?).to_ascii_lowercase());
        at = end;
    }
    let kind = u16::from_be_bytes([*query.get(at + 1)?, *query.get(at + 2)?]);
    let name = labels.join(".");
    let found: Vec<_> = records
        .iter()
        .filter(|record| record.name() == name)
        .map(Record::encode)
        .filter(|(known, _)| *known == kind)
        .collect();
    // An authoritative answer to one question.
    let mut out = query[..2].to_vec();
    out.extend([0x85, 0x80, 0, 1, 0, found.len() as u8, 0, 0, 0, 0]);
    out.extend_from_slice(query.get(12..at + 5)?);
    for (kind, data) in found {
        // The name of the question, this type, of the internet, for a minute.
        out.extend([0xc0, 12]);
        out.extend(kind.to_be_bytes());
        out.extend([0, 1, 0, 0, 0, 60]);
        out.extend((data.len() as u16).to_be_bytes());
        out.extend(data);
    }
    Some(out)
}
