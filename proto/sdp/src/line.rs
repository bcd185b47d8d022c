//! Lines of `letter=value`, and the words in them.

use std::net::IpAddr;

use crate::{DecodeError, LINE_MAX};

/// One line without its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line<'a> {
    /// Counted from 1.
    pub number: u16,
    pub letter: u8,
    pub value: &'a [u8],
    /// Letter, equals sign and value, as they came.
    pub whole: &'a [u8],
}

/// Goes through the lines. Empty lines at the end are left out.
#[derive(Clone, Debug)]
pub(crate) struct Lines<'a> {
    rest: &'a [u8],
    number: u16,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(body: &'a [u8]) -> Self {
        let blank = body.iter().rev().take_while(|octet| matches!(octet, b'\r' | b'\n')).count();
        let rest = body.get(..body.len() - blank).unwrap_or_default();
        Self { rest, number: 0 }
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Result<Line<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        self.number = self.number.saturating_add(1);
        let (whole, rest) = match split_once(self.rest, b'\n') {
            Some((line, rest)) => (line.strip_suffix(b"\r").unwrap_or(line), rest),
            None => (self.rest, &[][..]),
        };
        self.rest = rest;
        let number = self.number;
        if whole.len() > LINE_MAX {
            return Some(Err(DecodeError::LineMax { line: number }));
        }
        let clean = memchr::memchr2(0, b'\r', whole).is_none();
        Some(match whole {
            [letter @ b'a'..=b'z', b'=', value @ ..] if clean => {
                Ok(Line { number, letter: *letter, value, whole })
            }
            [..] => Err(DecodeError::Line { line: number }),
        })
    }
}

/// The parts before and behind the first `mark`.
pub(crate) fn split_once(bytes: &[u8], mark: u8) -> Option<(&[u8], &[u8])> {
    let place = memchr::memchr(mark, bytes)?;
    Some((bytes.get(..place)?, bytes.get(place + 1..)?))
}

/// The words between spaces; several spaces count as one.
pub(crate) fn words(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|octet| matches!(octet, b' ' | b'\t')).filter(|word| !word.is_empty())
}

/// Decimal digits and nothing else.
pub(crate) fn number(word: &[u8]) -> Option<u64> {
    if word.is_empty() {
        return None;
    }
    word.iter().try_fold(0u64, |number, octet| {
        let digit = octet.is_ascii_digit().then(|| u64::from(octet - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

/// A number from 1 to `max`.
pub(crate) fn positive(word: &[u8], max: u64) -> Option<u64> {
    number(word).filter(|value| (1..=max).contains(value))
}

/// `IN IP4 192.0.2.1`, with `/ttl` and a count for multicast.
///
/// Spec: RFC 8866 §5.7. A host name is not taken: media goes to addresses, and nobody here
/// resolves.
pub(crate) fn address<'a>(mut words: impl Iterator<Item = &'a [u8]>) -> Option<IpAddr> {
    let (net, family, text) = (words.next()?, words.next()?, words.next()?);
    if !net.eq_ignore_ascii_case(b"IN") || words.next().is_some() {
        return None;
    }
    let mut parts = text.split(|octet| *octet == b'/');
    let ip: IpAddr = std::str::from_utf8(parts.next()?).ok()?.parse().ok()?;
    if !parts.by_ref().take(2).all(|part| number(part).is_some_and(|n| n <= 255)) {
        return None;
    }
    let fits = if ip.is_ipv4() { b"IP4" } else { b"IP6" };
    (parts.next().is_none() && family.eq_ignore_ascii_case(fits)).then_some(ip)
}
