//! The HTTP door as a stranger's program sees it: one connection for each request.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use super::STEP;
use super::namespace::Namespace;

/// Where to ask, from which host, and as whom.
#[derive(Clone)]
pub struct Door {
    pub host: Namespace,
    pub address: SocketAddr,
    pub token: String,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub kind: String,
    /// When to ask again; empty when that is not said.
    pub retry_after: String,
    pub body: Vec<u8>,
}

impl Answer {
    #[track_caller]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|why| panic!("{why}: {}", String::from_utf8_lossy(&self.body)))
    }
}

impl Door {
    /// The JSON at `path`, which must be there.
    #[track_caller]
    pub fn get(&self, path: &str) -> Value {
        let answer = self.ask("GET", path, Some(&self.token), "", b"");
        assert_eq!(answer.status, 200, "GET {path}: {}", String::from_utf8_lossy(&answer.body));
        answer.json()
    }

    /// The list at `path`, over all its pages.
    #[track_caller]
    pub fn items(&self, path: &str) -> Vec<Value> {
        let mut items = Vec::new();
        let mut page = path.to_owned();
        loop {
            let mut list = self.get(&page);
            items.append(list["items"].as_array_mut().expect("a list"));
            let Some(next) = list["next"].as_str() else { return items };
            page = if next.starts_with('/') {
                next.to_owned()
            } else {
                format!("{path}{}after={next}", if path.contains('?') { '&' } else { '?' })
            };
        }
    }

    /// Makes or replaces a resource.
    #[track_caller]
    pub fn put(&self, path: &str, kind: &str, body: &[u8]) -> Value {
        let answer = self.ask("PUT", path, Some(&self.token), kind, body);
        let text = String::from_utf8_lossy(&answer.body);
        assert!(matches!(answer.status, 200 | 201), "PUT {path}: {} {text}", answer.status);
        answer.json()
    }

    /// Any request.
    #[track_caller]
    pub fn ask(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        kind: &str,
        body: &[u8],
    ) -> Answer {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.address);
        head += "Connection: close\r\n";
        if let Some(token) = token {
            head += &format!("Authorization: Bearer {token}\r\n");
        }
        if !kind.is_empty() {
            head += &format!("Content-Type: {kind}\r\n");
        }
        head += &format!("Content-Length: {}\r\n\r\n", body.len());
        let mut stream = self.host.enter(|| TcpStream::connect(self.address)).expect("HTTP is up");
        stream.set_read_timeout(Some(STEP)).expect("a wait has a limit");
        stream.write_all(head.as_bytes()).expect("the server listens");
        stream.write_all(body).expect("the server listens");
        let mut octets = Vec::new();
        stream.read_to_end(&mut octets).expect("the server answers in time");
        read(&octets)
    }
}

#[track_caller]
fn read(octets: &[u8]) -> Answer {
    let end = octets.windows(4).position(|four| four == b"\r\n\r\n").expect("a whole header");
    let head = String::from_utf8_lossy(&octets[..end]).into_owned();
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a status line");
    let field = |name: &str| {
        let found = head.lines().filter_map(|line| line.split_once(':'));
        let mut found = found.filter(|(key, _)| key.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    };
    let body = &octets[end + 4..];
    let body = if field("transfer-encoding").eq_ignore_ascii_case("chunked") {
        joined(body)
    } else {
        body.to_vec()
    };
    let (kind, retry_after) = (field("content-type"), field("retry-after"));
    Answer { status: status.parse().expect("a status"), kind, retry_after, body }
}

/// The octets of all chunks. Spec: RFC 9112 §7.1
fn joined(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
        let size = String::from_utf8_lossy(&rest[..end]);
        let size = usize::from_str_radix(size.split(';').next().unwrap_or_default().trim(), 16);
        let Ok(size @ 1..) = size else { break };
        body.extend_from_slice(&rest[end + 2..end + 2 + size]);
        rest = &rest[end + 2 + size + 2..];
    }
    body
}
