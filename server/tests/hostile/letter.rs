//! Messages made of text, right by default and wrong where a test says so.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::drill::DOMAIN;

/// A request to be. What a test leaves alone is right.
#[derive(Clone)]
pub struct Letter {
    pub method: String,
    pub uri: String,
    /// Behind `SIP/2.0/UDP host`; a branch of its own is added when it is empty.
    pub via: String,
    pub from: String,
    pub to: String,
    pub call_id: String,
    pub cseq: String,
    pub max_forwards: String,
    /// Further lines, each ended by CR LF.
    pub more: String,
    pub kind: String,
    pub body: Vec<u8>,
    /// The value of Content-Length, when it is not the truth.
    pub length: Option<String>,
}

/// A number that no other letter has.
pub fn number() -> u32 {
    static COUNT: AtomicU32 = AtomicU32::new(1);
    COUNT.fetch_add(1, Ordering::Relaxed)
}

impl Letter {
    /// To the domain itself.
    pub fn new(method: &str) -> Self {
        Self::to(method, &format!("sip:{DOMAIN}"))
    }

    /// To this address.
    pub fn to(method: &str, uri: &str) -> Self {
        let number = number();
        Self {
            method: method.to_owned(),
            uri: uri.to_owned(),
            via: String::new(),
            from: format!("<sip:mallory@{DOMAIN}>;tag=f{number}"),
            to: format!("<{uri}>"),
            call_id: format!("letter-{number}"),
            cseq: format!("{number} {method}"),
            max_forwards: "70".to_owned(),
            more: String::new(),
            kind: String::new(),
            body: Vec::new(),
            length: None,
        }
    }

    /// To a user of ours.
    pub fn user(method: &str, user: &str) -> Self {
        Self::to(method, &format!("sip:{user}@{DOMAIN}"))
    }

    /// With these lines as well, written with `\n`.
    pub fn with(mut self, lines: &str) -> Self {
        self.more += &lines.replace('\n', "\r\n");
        self
    }

    pub fn body(mut self, kind: &str, body: impl Into<Vec<u8>>) -> Self {
        (self.kind, self.body) = (kind.to_owned(), body.into());
        self
    }

    /// From a user of ours.
    pub fn by(mut self, user: &str) -> Self {
        self.from = format!("<sip:{user}@{DOMAIN}>;tag=f{}", number());
        self
    }

    /// In a dialog, or what claims to be one.
    pub fn tagged(mut self, tag: &str) -> Self {
        self.to += &format!(";tag={tag}");
        self
    }

    /// A description that asks for sound at the sender's address.
    pub fn offer(self, ip: &str) -> Self {
        let body = format!(
            "v=0\r\no=x 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\n"
        );
        self.body("application/sdp", body)
    }

    /// The same asked again: another branch, the next number.
    pub fn again(&self) -> Self {
        Self { cseq: format!("{} {}", number(), self.method), ..self.clone() }
    }

    /// What goes out by this transport from this host, with a port where it has one.
    pub fn octets(&self, transport: &str, host: &str) -> Vec<u8> {
        let via = if self.via.is_empty() {
            format!("SIP/2.0/{transport} {host};branch=z9hG4bK-letter{}", number())
        } else {
            self.via.clone()
        };
        let Self { method, uri, from, to, call_id, cseq, max_forwards, more, .. } = self;
        let kind = match self.kind.as_str() {
            "" => String::new(),
            kind => format!("Content-Type: {kind}\r\n"),
        };
        let length = self.length.clone().unwrap_or_else(|| self.body.len().to_string());
        let head = format!(
            "{method} {uri} SIP/2.0\r\nVia: {via}\r\nMax-Forwards: {max_forwards}\r\nFrom: {from}\r\n\
             To: {to}\r\nCall-ID: {call_id}\r\nCSeq: {cseq}\r\n{more}{kind}Content-Length: {length}\r\n\r\n"
        );
        [head.as_bytes(), &self.body].concat()
    }
}
