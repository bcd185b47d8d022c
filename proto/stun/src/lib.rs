//! STUN as far as the lite end of ICE needs it: connectivity checks are read, judged and answered.
//!
//! Picture     datagram --[`Check::decode`]--> who is meant; --[`Check::is_by`] password--> [`Check::answer`]
//! Rules       Only Binding requests with a user name, a proof and a right fingerprint are checks. What does not
//!             prove its password gets no answer, so that nobody can be made to send to others.
//! Limits      [`USERNAME_MAX`]; [`ATTRIBUTES_MAX`]; requests with attributes that must be understood and are not: none.
//! Not here    Which end is meant (media), candidates and roles: a lite end has one and is controlled. TURN.
//! Spec        RFC 8489, RFC 8445 §2.5, §7.3, RFC 7983 §7.
#![deny(missing_docs)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

use std::net::{IpAddr, SocketAddr};

use hmac::{Hmac, Mac};
use sha1::Sha1;
use thiserror::Error;

/// Octets of a user name.
///
/// Spec: RFC 8489 §14.3
pub const USERNAME_MAX: usize = 513;

/// Attributes of one message.
pub const ATTRIBUTES_MAX: usize = 32;

const HEADER: usize = 20;
const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const BINDING_REQUEST: u16 = 0x0001;
const BINDING_SUCCESS: u16 = 0x0101;
const USERNAME: u16 = 0x0006;
const INTEGRITY: u16 = 0x0008;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const PRIORITY: u16 = 0x0024;
const USE_CANDIDATE: u16 = 0x0025;
const FINGERPRINT: u16 = 0x8028;
/// From here on attributes may be skipped.
const OPTIONAL: u16 = 0x8000;
/// Octets of a proof.
const PROOF: usize = 20;

/// Why a datagram is no check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// An attribute is longer than the message, or there are too many.
    #[error("an attribute does not fit")]
    Attribute,
    /// The sum at the end is wrong, or not there.
    #[error("the fingerprint is wrong")]
    Fingerprint,
    /// Not STUN, or its length is not that of the datagram.
    #[error("the header is not that of STUN")]
    Header,
    /// It lacks a user name or a proof.
    #[error("the request has no user name or no proof")]
    Incomplete,
    /// An answer, an indication, or a request for something else.
    #[error("the message is no Binding request")]
    OtherKind,
    /// It asks for something that must be understood.
    #[error("an attribute is not known and must be")]
    Unknown,
}

/// A connectivity check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check<'a> {
    /// Names the request.
    transaction: [u8; 12],
    /// Our user fragment: the part of the user name before the colon.
    pub ours: &'a str,
    /// The user fragment of the one who asks.
    pub theirs: &'a str,
    /// The controlling end has chosen this path.
    pub nominates: bool,
    /// What is proved, and the proof.
    proved: &'a [u8],
    proof: [u8; PROOF],
}

/// Whether a datagram is for this crate, by its first octets.
///
/// Spec: RFC 7983 §7
pub fn is_stun(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|first| *first < 4) && datagram.get(4..8) == Some(&COOKIE[..])
}

impl<'a> Check<'a> {
    /// Reads a request; whether it may ask is said by [`is_by`](Self::is_by).
    ///
    /// Spec: RFC 8489 §5, §14, RFC 8445 §7.1
    pub fn decode(datagram: &'a [u8]) -> Result<Self, DecodeError> {
        let (head, body) = datagram.split_first_chunk::<HEADER>().ok_or(DecodeError::Header)?;
        let [k0, k1, l0, l1, c0, c1, c2, c3, transaction @ ..] = *head;
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        if !is_stun(datagram) || [c0, c1, c2, c3] != COOKIE || length != body.len() {
            return Err(DecodeError::Header);
        }
        if u16::from_be_bytes([k0, k1]) != BINDING_REQUEST {
            return Err(DecodeError::OtherKind);
        }
        let (mut name, mut proof, mut nominates, mut sound) = (None, None, false, false);
        let mut at = HEADER;
        for count in 0.. {
            let Some((kind, value, next)) = attribute(datagram, at)? else { break };
            if count >= ATTRIBUTES_MAX || sound {
                return Err(DecodeError::Attribute); // Nothing stands behind the fingerprint.
            }
            match kind {
                FINGERPRINT => {
                    let sum = crc32(datagram.get(..at).unwrap_or_default()) ^ 0x5354_554e;
                    sound = value == sum.to_be_bytes();
                    if !sound {
                        return Err(DecodeError::Fingerprint);
                    }
                }
                // What stands behind the proof is not proved.
                _ if proof.is_some() => (),
                INTEGRITY => {
                    let value = value.try_into().map_err(|_| DecodeError::Attribute)?;
                    proof = Some((datagram.get(..at).unwrap_or_default(), value));
                }
                PRIORITY => (),
                USERNAME if value.len() <= USERNAME_MAX => name = std::str::from_utf8(value).ok(),
                USE_CANDIDATE => nominates = true,
                _ if kind < OPTIONAL => return Err(DecodeError::Unknown),
                _ => (),
            }
            at = next;
        }
        if !sound {
            return Err(DecodeError::Fingerprint);
        }
        let (ours, theirs) =
            name.and_then(|name| name.split_once(':')).ok_or(DecodeError::Incomplete)?;
        let (proved, proof) = proof.ok_or(DecodeError::Incomplete)?;
        Ok(Self { transaction, ours, theirs, nominates, proved, proof })
    }

    /// Whether who asks knows our password.
    ///
    /// Spec: RFC 8489 §14.5
    pub fn is_by(&self, password: &str) -> bool {
        // The length of the header counts up to the end of the proof.
        let length = self.proved.len() + 4 + PROOF - HEADER;
        let Some(mac) = prove(password, self.proved, length) else { return false };
        mac.verify_slice(&self.proof).is_ok()
    }

    /// The answer: `from` is where the request was seen to come from.
    ///
    /// Spec: RFC 8489 §6.3.1, RFC 8445 §7.3.1
    pub fn answer(&self, from: SocketAddr, password: &str, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(&BINDING_SUCCESS.to_be_bytes());
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&COOKIE);
        out.extend_from_slice(&self.transaction);
        push(out, XOR_MAPPED_ADDRESS, &self.mapped(from));
        set_length(out, 4 + PROOF);
        let proof = prove(password, out, out.len() + 4 + PROOF - HEADER);
        let proof = proof.map(|mac| mac.finalize().into_bytes()).unwrap_or_default();
        push(out, INTEGRITY, &proof);
        set_length(out, 8);
        let sum = crc32(out) ^ 0x5354_554e;
        push(out, FINGERPRINT, &sum.to_be_bytes());
    }

    /// Spec: RFC 8489 §14.2
    fn mapped(&self, from: SocketAddr) -> Vec<u8> {
        let mask: Vec<u8> = COOKIE.into_iter().chain(self.transaction).collect();
        let [p0, p1] = from.port().to_be_bytes();
        let [c0, c1, ..] = COOKIE;
        let (family, address) = match from.ip().to_canonical() {
            IpAddr::V4(ip) => (1, ip.octets().to_vec()),
            IpAddr::V6(ip) => (2, ip.octets().to_vec()),
        };
        let mut value = vec![0, family, p0 ^ c0, p1 ^ c1];
        value.extend(address.iter().zip(mask).map(|(octet, mask)| octet ^ mask));
        value
    }
}

/// A check as a browser would send it: for tests of what answers.
pub fn check(ours: &str, theirs: &str, password: &str, nominates: bool, id: [u8; 12]) -> Vec<u8> {
    let mut out = BINDING_REQUEST.to_be_bytes().to_vec();
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(&COOKIE);
    out.extend_from_slice(&id);
    push(&mut out, USERNAME, format!("{ours}:{theirs}").as_bytes());
    push(&mut out, PRIORITY, &[0x6e, 0, 0x1e, 0xff]);
    if nominates {
        push(&mut out, USE_CANDIDATE, b"");
    }
    set_length(&mut out, 4 + PROOF);
    let proof = prove(password, &out, out.len() + 4 + PROOF - HEADER);
    let proof = proof.map(|mac| mac.finalize().into_bytes()).unwrap_or_default();
    push(&mut out, INTEGRITY, &proof);
    set_length(&mut out, 8);
    let sum = crc32(&out) ^ 0x5354_554e;
    push(&mut out, FINGERPRINT, &sum.to_be_bytes());
    out
}

/// An attribute: its kind, its value, and where the next one begins.
type Attribute<'a> = (u16, &'a [u8], usize);

/// The attribute at a place. `None` at the end.
fn attribute(message: &[u8], at: usize) -> Result<Option<Attribute<'_>>, DecodeError> {
    let rest = message.get(at..).ok_or(DecodeError::Attribute)?;
    if rest.is_empty() {
        return Ok(None);
    }
    let ([k0, k1, l0, l1], rest) = rest.split_first_chunk::<4>().ok_or(DecodeError::Attribute)?;
    let length = usize::from(u16::from_be_bytes([*l0, *l1]));
    let value = rest.get(..length).ok_or(DecodeError::Attribute)?;
    let next = at + 4 + length.next_multiple_of(4);
    if next > message.len() {
        return Err(DecodeError::Attribute);
    }
    Ok(Some((u16::from_be_bytes([*k0, *k1]), value, next)))
}

fn push(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&(value.len() as u16).to_be_bytes());
    out.extend_from_slice(value);
    out.resize(out.len().next_multiple_of(4), 0);
}

/// The length that the message will have with `more` octets behind those of now.
fn set_length(out: &mut [u8], more: usize) {
    let length = (out.len() + more - HEADER) as u16;
    if let Some(place) = out.get_mut(2..4) {
        place.copy_from_slice(&length.to_be_bytes());
    }
}

/// The proof over `message`, as if its header said `length`.
fn prove(password: &str, message: &[u8], length: usize) -> Option<Hmac<Sha1>> {
    let mut mac = <Hmac<Sha1> as Mac>::new_from_slice(password.as_bytes()).ok()?;
    mac.update(message.get(..2)?);
    mac.update(&u16::try_from(length).ok()?.to_be_bytes());
    mac.update(message.get(4..)?);
    Some(mac)
}

/// Spec: RFC 8489 §14.7
fn crc32(octets: &[u8]) -> u32 {
    let mut sum = u32::MAX;
    for octet in octets {
        sum ^= u32::from(*octet);
        for _ in 0..8 {
            sum = sum >> 1 ^ (0xedb8_8320 & 0u32.wrapping_sub(sum & 1));
        }
    }
    !sum
}

#[cfg(test)]
mod tests {
    use types::Rng;

    use super::*;

    /// RFC 5769 §2.1, with its padding of spaces.
    const SAMPLE: &str = "000100582112a442b7e7a701bc34d686fa87dfae\
        802200105354554e207465737420636c69656e74\
        002400046e0001ff80290008932ff9b151263b36\
        00060009 6576746a3a68367659202020\
        000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2\
        80280004e57a3bcf";

    fn sample() -> Vec<u8> {
        let digits: Vec<char> = SAMPLE.chars().filter(|c| !c.is_whitespace()).collect();
        let pairs = digits.chunks(2).map(|pair| pair.iter().collect::<String>());
        pairs.map(|pair| u8::from_str_radix(&pair, 16).unwrap()).collect()
    }

    #[test]
    fn the_sample_of_the_rfc_is_read_and_proved() {
        let sample = sample();
        let check = Check::decode(&sample).unwrap();
        assert_eq!((check.ours, check.theirs, check.nominates), ("evtj", "h6vY", false));
        assert!(check.is_by("VOkJxbRl1RmTxUk/WvJxBt"));
        assert!(!check.is_by("VOkJxbRl1RmTxUk/WvJxBT"));
    }

    /// RFC 5769 §2.2 has the same answer with a SOFTWARE attribute; here the parts are looked at.
    #[test]
    fn an_answer_says_where_the_request_came_from() {
        for (from, address) in [
            ("192.0.2.1:32853", "0001a147e112a643"),
            (
                "[2001:db8:1234:5678:11:2233:4455:6677]:32853",
                "0002a1470113a9faa5d3f179bc25f4b5bed2b9d9",
            ),
        ] {
            let sample = sample();
            let check = Check::decode(&sample).unwrap();
            let mut out = Vec::new();
            check.answer(from.parse().unwrap(), "VOkJxbRl1RmTxUk/WvJxBt", &mut out);
            assert_eq!(out[..2], [1, 1]);
            assert_eq!(out[8..20], sample[8..20]);
            let (kind, value, next) = attribute(&out, HEADER).unwrap().unwrap();
            let shown: String = value.iter().map(|octet| format!("{octet:02x}")).collect();
            assert_eq!((kind, shown.as_str()), (XOR_MAPPED_ADDRESS, address));
            let (kind, proof, next) = attribute(&out, next).unwrap().unwrap();
            assert_eq!((kind, proof.len()), (INTEGRITY, PROOF));
            assert_eq!(attribute(&out, next).unwrap().unwrap().0, FINGERPRINT);
            assert_eq!(usize::from(u16::from_be_bytes([out[2], out[3]])), out.len() - HEADER);
        }
    }

    #[test]
    fn checks_are_read_as_they_were_written() {
        for nominates in [false, true] {
            let wire = check("ours", "theirs", "secret", nominates, [7; 12]);
            let read = Check::decode(&wire).unwrap();
            assert_eq!((read.ours, read.theirs, read.nominates), ("ours", "theirs", nominates));
            assert!(read.is_by("secret") && !read.is_by("Secret"));
            assert!(is_stun(&wire));
        }
    }

    #[test]
    fn hostile_octets_never_panic_and_prove_nothing() {
        let mut rng = Rng::from_number(11);
        let good = check("ours", "theirs", "secret", true, [7; 12]);
        for _ in 0..50_000 {
            let mut wire = good.clone();
            for _ in 0..=rng.below(3) {
                let at = rng.below(wire.len() as u64) as usize;
                wire[at] = rng.below(256) as u8;
            }
            wire.truncate(rng.below(wire.len() as u64 + 20) as usize);
            if let Ok(check) = Check::decode(&wire) {
                assert!(!check.is_by("secret") || wire == good);
            }
        }
    }
}
