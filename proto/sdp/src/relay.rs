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

use types::digits::{push_address, push_number};

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

/// Rewrites `input` by `plan`.
///
/// Errors: what [`Session::decode`] refuses.
pub fn relay(input: &[u8], plan: &Relay) -> Result<Vec<u8>, DecodeError> {
    relay_decoded(input, &Session::decode(input)?, plan)
}

/// The same for a description that was read already: `session` is what `input` reads as.
///
/// Errors: none where `session` is that of `input`.
pub fn relay_decoded(
    input: &[u8],
    session: &Session<'_>,
    plan: &Relay,
) -> Result<Vec<u8>, DecodeError> {
    let mut out = Vec::with_capacity(input.len() + 64);
    let (mut section, mut connected) = (None, false);
    for line in Lines::new(input) {
        let line = line?;
        match line.letter {
            b'a' if DROPPED.contains(&Attribute::decode(line.value).name) => continue,
            b'c' if connected => continue, // One of several, for multicast.
            b'c' => {
                connected = true;
                out.extend_from_slice(b"c=");
                push_address_words(&mut out, plan.address);
            }
            b'm' => {
                let place = section.map_or(0, |place: usize| place + 1);
                (section, connected) = (Some(place), false);
                match session.media.get(place) {
                    Some(described) => {
                        let port = plan.ports.get(place).copied().flatten();
                        push_media(&mut out, line, described, port);
                    }
                    None => out.extend_from_slice(line.whole),
                }
            }
            b'o' => push_origin(&mut out, plan),
            _ => out.extend_from_slice(line.whole),
        }
        out.extend_from_slice(b"\r\n");
    }
    Ok(out)
}

/// `IN IP4 192.0.2.1`
pub(crate) fn address_words(ip: IpAddr) -> String {
    let mut out = Vec::with_capacity(48);
    push_address_words(&mut out, ip);
    String::from_utf8_lossy(&out).into_owned()
}

pub(crate) fn push_address_words(out: &mut Vec<u8>, ip: IpAddr) {
    let ip = ip.to_canonical();
    out.extend_from_slice(if ip.is_ipv4() { b"IN IP4 " } else { b"IN IP6 " });
    push_address(out, ip);
}

fn push_origin(out: &mut Vec<u8>, plan: &Relay) {
    out.extend_from_slice(b"o=- ");
    push_number(out, plan.session);
    out.push(b' ');
    push_number(out, plan.version);
    out.push(b' ');
    push_address_words(out, plan.address);
}

/// The media line with our port; the words behind it stay.
fn push_media(out: &mut Vec<u8>, line: Line<'_>, section: &Section<'_>, port: Option<u16>) {
    let port = port.filter(|_| section.port != 0).unwrap_or(0);
    out.extend_from_slice(b"m=");
    for (place, word) in words(line.value).enumerate() {
        if place > 0 {
            out.push(b' ');
        }
        if place == 1 {
            push_number(out, port.into());
        } else {
            out.extend_from_slice(word);
        }
    }
}
