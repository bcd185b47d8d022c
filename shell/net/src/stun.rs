//! Keep-alives on a datagram port of SIP: STUN binding requests, and datagrams of nothing but line breaks.
//!
//! Picture     datagram --answer(from)--> the binding response, in a buffer of fixed size
//! Rules       A request is answered with the address that it came from and nothing else. What is no binding request, or is
//!             not well formed, has no answer. An answer is never longer than three times its request.
//! Limits      ANSWER_MAX; ATTRIBUTES_MAX.
//! Not here    Passwords and the rest of ICE (media).
//! Spec        RFC 8489 §5, §6, §14.2 (XOR-MAPPED-ADDRESS), §14.7 (FINGERPRINT); RFC 5626 §4.4.2, §8

use std::net::{IpAddr, SocketAddr};

/// Octets of the longest answer: the head, an IPv6 address, a fingerprint.
pub const ANSWER_MAX: usize = 20 + 24 + 8;
/// Attributes of a request that are looked at; more make it nonsense.
pub const ATTRIBUTES_MAX: usize = 16;

const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const REQUEST: [u8; 2] = [0, 1];
const SUCCESS: [u8; 2] = [1, 1];
const ERROR: [u8; 2] = [1, 0x11];
const XOR_MAPPED_ADDRESS: u16 = 0x20;
const ERROR_CODE: u16 = 9;
const UNKNOWN_ATTRIBUTES: u16 = 10;
const FINGERPRINT: u16 = 0x8028;
/// What a checksum is mixed with, so that it fits no other protocol's.
const FINGERPRINT_MIX: u32 = 0x5354_554e;

/// Whether this is a keep-alive of line breaks or of nothing, which wants no answer.
pub fn is_blank(datagram: &[u8]) -> bool {
    datagram.len() <= 4 && datagram.iter().all(|octet| matches!(octet, b'\r' | b'\n' | 0))
}

/// Whether this is STUN rather than SIP, well formed or not.
pub fn is_stun(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|first| *first < 4) && datagram.get(4..8) == Some(&COOKIE)
}

/// The answer to a binding request. `None`: no answer.
pub fn answer(datagram: &[u8], from: SocketAddr) -> Option<Vec<u8>> {
    let (head, body) = datagram.split_at_checked(20)?;
    let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
    if !is_stun(datagram) || head[..2] != REQUEST || length != body.len() || length % 4 != 0 {
        return None;
    }
    let transaction = head.get(4..20)?;
    let seen = attributes(datagram)?;
    let mut out = Vec::with_capacity(ANSWER_MAX);
    out.extend_from_slice(if seen.unknown.is_empty() { &SUCCESS } else { &ERROR });
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(transaction);
    if seen.unknown.is_empty() {
        attribute(&mut out, XOR_MAPPED_ADDRESS, &mapped(from, transaction));
    } else {
        attribute(&mut out, ERROR_CODE, &[0, 0, 4, 20]);
        let unknown: Vec<u8> = seen.unknown.iter().flat_map(|kind| kind.to_be_bytes()).collect();
        attribute(&mut out, UNKNOWN_ATTRIBUTES, &unknown);
    }
    if seen.fingerprint {
        set_length(&mut out, 8);
        let sum = crc32(&out) ^ FINGERPRINT_MIX;
        attribute(&mut out, FINGERPRINT, &sum.to_be_bytes());
    }
    set_length(&mut out, 0);
    (out.len() <= datagram.len() * 3).then_some(out)
}

#[derive(Default)]
struct Seen {
    fingerprint: bool,
    /// Such as must be understood and are not: at most two are told.
    unknown: Vec<u16>,
}

/// `None`: not well formed, or a fingerprint that does not fit.
fn attributes(datagram: &[u8]) -> Option<Seen> {
    let mut seen = Seen::default();
    let mut at = 20;
    for _ in 0..=ATTRIBUTES_MAX {
        if at == datagram.len() {
            return Some(seen);
        }
        if seen.fingerprint {
            return None; // It is the last one.
        }
        let head = datagram.get(at..at + 4)?;
        let kind = u16::from_be_bytes([head[0], head[1]]);
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let value = datagram.get(at + 4..at + 4 + length)?;
        if kind == FINGERPRINT {
            let sum = crc32(datagram.get(..at)?) ^ FINGERPRINT_MIX;
            if value != sum.to_be_bytes() {
                return None;
            }
            seen.fingerprint = true;
        } else if kind < 0x8000 && seen.unknown.len() < 2 {
            seen.unknown.push(kind);
        }
        at += 4 + length.next_multiple_of(4);
    }
    None
}

fn attribute(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&(value.len() as u16).to_be_bytes());
    out.extend_from_slice(value);
    out.resize(out.len().next_multiple_of(4), 0);
}

fn set_length(out: &mut [u8], more: usize) {
    let length = (out.len() - 20 + more) as u16;
    out[2..4].copy_from_slice(&length.to_be_bytes());
}

fn mapped(from: SocketAddr, transaction: &[u8]) -> Vec<u8> {
    let family = if from.is_ipv4() { 1 } else { 2 };
    let [high, low] = from.port().to_be_bytes();
    let mut value = vec![0, family, high ^ COOKIE[0], low ^ COOKIE[1]];
    let mut mix = |octets: &[u8]| value.extend(octets.iter().zip(transaction).map(|(a, b)| a ^ b));
    match from.ip() {
        IpAddr::V4(ip) => mix(&ip.octets()),
        IpAddr::V6(ip) => mix(&ip.octets()),
    }
    value
}

/// Spec: ITU V.42, as RFC 8489 §14.7 names it.
fn crc32(octets: &[u8]) -> u32 {
    let mut sum = u32::MAX;
    for octet in octets {
        sum ^= u32::from(*octet);
        for _ in 0..8 {
            sum = (sum >> 1) ^ if sum & 1 == 1 { 0xedb8_8320 } else { 0 };
        }
    }
    !sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(attributes: &[u8]) -> Vec<u8> {
        let mut out = [&REQUEST[..], &(attributes.len() as u16).to_be_bytes(), &COOKIE].concat();
        out.extend(1..=12);
        out.extend_from_slice(attributes);
        out
    }

    #[test]
    fn a_binding_request_hears_where_it_came_from() {
        let plain = request(&[]);
        let answered = answer(&plain, "192.0.2.1:32853".parse().unwrap()).unwrap();
        assert_eq!(answered[..4], [1, 1, 0, 12]);
        assert_eq!(answered[4..20], plain[4..20]);
        // The mapped address of RFC 5769 §2.2.
        assert_eq!(answered[20..], [0, 0x20, 0, 8, 0, 1, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43]);
        let six = answer(&plain, "[2001:db8::1]:5060".parse().unwrap()).unwrap();
        assert_eq!((six.len(), six[23], six[25]), (44, 20, 2));
    }

    #[test]
    fn a_fingerprint_is_checked_and_answered() {
        let mut asked = request(&[]);
        asked[3] = 8;
        let sum = (crc32(&asked) ^ FINGERPRINT_MIX).to_be_bytes();
        attribute(&mut asked, FINGERPRINT, &sum);
        let from = "192.0.2.1:5".parse().unwrap();
        let answered = answer(&asked, from).unwrap();
        let (front, last) = answered.split_at(answered.len() - 8);
        assert_eq!(last[..4], [0x80, 0x28, 0, 4]);
        assert_eq!(last[4..], (crc32(front) ^ FINGERPRINT_MIX).to_be_bytes());
        *asked.last_mut().unwrap() ^= 1;
        assert_eq!(answer(&asked, from), None);
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn what_must_be_understood_and_is_not_is_named() {
        let from = "192.0.2.1:5".parse().unwrap();
        let answered = answer(&request(&[0, 3, 0, 4, 0, 0, 0, 6]), from).unwrap();
        assert_eq!(answered[..2], ERROR);
        assert_eq!(answered[20..28], [0, 9, 0, 4, 0, 0, 4, 20]);
        assert_eq!(answered[28..34], [0, 10, 0, 2, 0, 3]);
        // A description of the program needs no understanding.
        let answered = answer(&request(&[0x80, 0x22, 0, 3, b'a', b'b', b'c', 0]), from).unwrap();
        assert_eq!(answered[..2], SUCCESS);
    }

    #[test]
    fn other_datagrams_have_no_answer() {
        let from = "192.0.2.1:5".parse().unwrap();
        let good = request(&[0x80, 0x22, 0, 0]);
        for length in 0..good.len() {
            assert_eq!(answer(&good[..length], from), None);
        }
        let long = [&good[..], &[0; 4]].concat();
        assert_eq!(answer(&long, from), None, "longer than it says");
        assert_eq!(answer(b"OPTIONS sip:a SIP/2.0\r\n\r\n", from), None);
        let many = request(&[0x80, 0x22, 0, 0].repeat(ATTRIBUTES_MAX + 1));
        assert_eq!(answer(&many, from), None);
        assert!(is_blank(b"\r\n\r\n") && is_blank(b"") && is_blank(&[0; 4]) && !is_blank(b"\r\nx"));
    }

    #[test]
    fn no_octets_make_it_panic_or_shout() {
        let mut rng = types::Rng::from_number(5);
        let from = "[2001:db8::1]:5060".parse().unwrap();
        for _ in 0..50_000 {
            let mut attributes = vec![0; rng.below(10) as usize * 4];
            rng.fill(&mut attributes);
            let mut datagram = request(&attributes);
            if rng.percent(50) {
                let place = rng.below(datagram.len() as u64) as usize;
                datagram[place] = rng.next_u64() as u8;
            }
            if let Some(answered) = answer(&datagram, from) {
                assert!(answered.len() <= datagram.len() * 3 && answered.len() <= ANSWER_MAX);
            }
        }
    }
}
