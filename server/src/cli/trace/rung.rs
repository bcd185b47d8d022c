//! A line of a ladder, as the API gives it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use base64::Engine as _;
use serde_json::Value;

/// One line.
#[derive(Clone, Debug)]
pub struct Rung {
    pub number: u64,
    /// Units: microseconds since 1970.
    pub micros: u64,
    /// `note`, `push` or `web`, where it is not SIP.
    pub lane: String,
    /// The line that it repeats.
    pub repeats: Option<u64>,
    /// Octets that are missing at its end.
    pub cut: usize,
    pub text: String,
    /// The same, as it was on the wire.
    pub octets: Vec<u8>,
    /// SIP only.
    pub way: Option<Way>,
}

/// The way of a SIP message.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Way {
    /// Whether it came to us.
    pub inward: bool,
    pub transport: String,
    pub remote: SocketAddr,
    pub local: SocketAddr,
    pub connection: u64,
}

impl Rung {
    /// The lines of a ladder.
    pub fn all(ladder: &Value) -> Vec<Self> {
        ladder["items"].as_array().into_iter().flatten().map(Self::of).collect()
    }

    fn of(item: &Value) -> Self {
        let word = |name: &str| item[name].as_str().unwrap_or_default().to_owned();
        let count = |name: &str| item[name].as_u64();
        let text = word("text");
        let octets = base64::engine::general_purpose::STANDARD.decode(word("octets"));
        let octets = octets.ok().filter(|octets| !octets.is_empty());
        let lane = word("lane");
        let way = lane.starts_with("sip_").then(|| Way {
            inward: lane == "sip_in",
            transport: word("transport"),
            remote: address(&word("remote")),
            local: address(&word("local")),
            connection: count("connection").unwrap_or(0),
        });
        Self {
            number: count("number").unwrap_or(0),
            micros: count("micros").unwrap_or(0),
            repeats: count("repeats"),
            cut: count("cut").and_then(|cut| usize::try_from(cut).ok()).unwrap_or(0),
            octets: octets.unwrap_or_else(|| text.clone().into_bytes()),
            lane,
            text,
            way,
        }
    }

    /// The value of a header of a SIP message.
    pub fn header(&self, name: &str) -> Option<&str> {
        let head = self.text.split("\r\n\r\n").next().unwrap_or_default();
        let mut fields = head.lines().skip(1).filter_map(|line| line.split_once(':'));
        let found = fields.find(|(known, _)| known.trim().eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim())
    }
}

/// A name that is no address keeps its port: packets have no names.
fn address(text: &str) -> SocketAddr {
    text.parse().unwrap_or_else(|_| {
        let port = text.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port.unwrap_or(0))
    })
}
