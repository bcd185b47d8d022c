//! Rewriting a description so that its media runs through us.
//!
//! Picture     line --edit--> keep | drop | replace
//! Rules       o=, c= and the ports of m= become ours. a=rtcp goes, since our RTCP is on the next
//!             port. ICE goes, since its candidates would lead past us. Everything else passes as
//!             it came: codecs, directions, keys. Rewriting twice by one plan is the same as once.
//! Limits      Those of decoding; what cannot be decoded is not rewritten.
//! Not here    Choosing ports, growing the version (the switchboard's `pair`).
//! Spec        RFC 3264 §8 (version), RFC 8839 §5 (ICE attributes).

use std::net::IpAddr;

use crate::line::{Line, Lines, words};
use crate::{Attribute, DecodeError, Section, Session};

/// Our side of one leg.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relay {
    /// Names our session towards this leg in o=.
    pub session: u64,
    /// Grows by one with each description that differs from the last one sent on this leg.
    pub version: u64,
    /// Where this leg sends its media to: our advertised address.
    pub address: IpAddr,
    /// Our RTP port per m= line; `None`, or nothing at that place, rejects the section.
    pub ports: Vec<Option<u16>>,
}

/// Attributes that would lead media past us.
const DROPPED: [&[u8]; 10] = [
    b"candidate",
    b"end-of-candidates",
    b"ice-lite",
    b"ice-mismatch",
    b"ice-options",
    b"ice-pacing",
    b"ice-pwd",
    b"ice-ufrag",
    b"remote-candidates",
    b"rtcp",
];

/// What becomes of a line.
enum Edit {
    Drop,
    Keep,
    Replace(Vec<u8>),
}

/// Rewrites `input` by `plan`.
///
/// Errors: what [`Session::decode`] refuses.
pub fn relay(input: &[u8], plan: &Relay) -> Result<Vec<u8>, DecodeError> {
    let session = Session::decode(input)?;
    let mut out = Vec::with_capacity(input.len() + 64);
    let (mut section, mut connected) = (None, false);
    for line in Lines::new(input) {
        let line = line?;
        if line.letter == b'm' {
            section = Some(section.map_or(0, |place| place + 1));
            connected = false;
        }
        let edit = match line.letter {
            b'a' if DROPPED.contains(&Attribute::decode(line.value).name) => Edit::Drop,
            b'c' if connected => Edit::Drop, // One of several, for multicast.
            b'c' => {
                connected = true;
                Edit::Replace(connection(plan.address))
            }
            b'm' => match section.and_then(|place| Some((place, session.media.get(place)?))) {
                Some((place, described)) => {
                    let port = plan.ports.get(place).copied().flatten();
                    Edit::Replace(media(line, described, port))
                }
                None => Edit::Keep,
            },
            b'o' => Edit::Replace(origin(plan)),
            _ => Edit::Keep,
        };
        match edit {
            Edit::Drop => continue,
            Edit::Keep => out.extend_from_slice(line.whole),
            Edit::Replace(line) => out.extend_from_slice(&line),
        }
        out.extend_from_slice(b"\r\n");
    }
    Ok(out)
}

/// `IN IP4 192.0.2.1`
pub(crate) fn address_words(ip: IpAddr) -> String {
    let ip = ip.to_canonical();
    format!("IN {} {ip}", if ip.is_ipv4() { "IP4" } else { "IP6" })
}

fn connection(ip: IpAddr) -> Vec<u8> {
    format!("c={}", address_words(ip)).into_bytes()
}

fn origin(plan: &Relay) -> Vec<u8> {
    format!("o=- {} {} {}", plan.session, plan.version, address_words(plan.address)).into_bytes()
}

/// The media line with our port; the words behind it stay.
fn media(line: Line<'_>, section: &Section<'_>, port: Option<u16>) -> Vec<u8> {
    let port = port.filter(|_| section.port != 0).unwrap_or(0).to_string();
    let mut out = b"m=".to_vec();
    for (place, word) in words(line.value).enumerate() {
        if place > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(if place == 1 { port.as_bytes() } else { word });
    }
    out
}
