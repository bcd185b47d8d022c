//! From octets to the index of a message.

use smallvec::SmallVec;

use super::{Known, Message, Slot, Start};
use crate::header::{self, Name};
use crate::{DecodeError, Method, limits, scan};

/// How the end of a message is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// One datagram, or one WebSocket message: without Content-Length the body is all the rest.
    Datagram,
    /// Cut from a stream: Content-Length is mandatory.
    Stream,
}

impl<'a> Message<'a> {
    /// Reads one message. Line breaks in front are skipped, octets behind the body ignored.
    ///
    /// Errors: whatever makes the extent of the message, of a header or of the start line doubtful.
    /// The values of headers are not judged here but for Content-Length.
    ///
    /// Spec: RFC 3261 §7, §7.5, §18.3
    pub fn decode(bytes: &'a [u8], framing: Framing) -> Result<Self, DecodeError> {
        let bytes = skip_line_breaks(bytes);
        let (mut message, fault) = read(bytes);
        if let Some(fault) = fault {
            return Err(fault);
        }
        let present = bytes.len() - message.body_at;
        let length = match (message.content_length()?, framing) {
            (Some(length), _) => length,
            (None, Framing::Datagram) => present,
            (None, Framing::Stream) => return Err(DecodeError::ContentLengthMissing),
        };
        if length > present {
            return Err(DecodeError::Truncated { missing: length - present });
        }
        message.bytes = scan::split(bytes, message.body_at + length).0;
        Ok(message)
    }

    /// As much of a request as it takes to refuse it, whatever its fault: use it with
    /// [`write::response_to`](crate::write::response_to) after [`decode`](Self::decode) failed, and
    /// for nothing else. `None` when this is no request, asks for no answer (ACK), or has no top
    /// Via to answer to.
    pub fn for_refusal(bytes: &'a [u8]) -> Option<Self> {
        let (message, _) = read(skip_line_breaks(bytes));
        let answerable = message.is_request()
            && message.method() != Method::Ack
            && message.first(Name::Via).is_some()
            && !message.call_id().is_empty();
        answerable.then_some(message)
    }

    /// The length that all Content-Length lines agree on; saturates.
    ///
    /// Spec: RFC 3261 §20.14
    pub(crate) fn content_length(&self) -> Result<Option<usize>, DecodeError> {
        let mut agreed = None;
        for value in self.all(Name::ContentLength) {
            let length = scan::number(value).ok_or(DecodeError::ContentLength)?;
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            if agreed.is_some_and(|agreed| agreed != length) {
                return Err(DecodeError::ContentLengthDiffers);
            }
            agreed = Some(length);
        }
        Ok(agreed)
    }

    fn push(&mut self, slot: Slot) -> Result<(), DecodeError> {
        if self.slots.len() == limits::HEADERS_MAX {
            return Err(DecodeError::HeadersMany);
        }
        self.slots.push(slot);
        if let Some(first) = self.firsts.get_mut(slot.name as usize)
            && *first == 0
        {
            *first = self.slots.len() as u16; // At most HEADERS_MAX.
        }
        Ok(())
    }
}

/// Reads start line and header lines as far as possible, and names the first fault. The framing of
/// the body is left to the caller.
pub(crate) fn read(bytes: &[u8]) -> (Message<'_>, Option<DecodeError>) {
    let (mut message, fault) = read_lines(bytes);
    message.learn();
    (message, fault)
}

fn read_lines(bytes: &[u8]) -> (Message<'_>, Option<DecodeError>) {
    let mut message = Message {
        bytes,
        start: Start::Response { status: 0, reason: &[] },
        slots: SmallVec::new(),
        firsts: [0; header::NAME_COUNT],
        body_at: bytes.len(),
        known: Known::NOTHING,
    };
    let mut fault = (bytes.len() > limits::MESSAGE_MAX).then_some(DecodeError::MessageLong);
    // Offsets are 16 bits wide, and nobody reads on beyond the limit.
    let section = scan::split(bytes, limits::HEADER_SECTION_MAX).0;
    let mut at = match line_end(section, 0) {
        Ok(end) => {
            let (start, start_fault) = start_line(scan::split(section, end).0);
            message.start = start;
            fault = fault.or(start_fault);
            end + 2
        }
        Err(error) => return (message, fault.or(Some(error))),
    };
    loop {
        if section.get(at..at + 2) == Some(b"\r\n") {
            message.body_at = at + 2;
            return (message, fault);
        }
        match header_line(section, at) {
            Ok((slot, next)) => {
                at = next;
                match slot {
                    Ok(slot) => {
                        if let Err(error) = message.push(slot) {
                            return (message, fault.or(Some(error)));
                        }
                    }
                    Err(error) => fault = fault.or(Some(error)),
                }
            }
            Err(error) => return (message, fault.or(Some(error))),
        }
    }
}

/// Line breaks in front of a message are keep-alives or habits.
///
/// Spec: RFC 3261 §7.5
pub(crate) fn skip_line_breaks(mut bytes: &[u8]) -> &[u8] {
    while let Some(rest) = bytes.strip_prefix(b"\r\n") {
        bytes = rest;
    }
    bytes
}

/// Where the line that `at` is in ends, before its CR LF. A CR, LF or NUL anywhere else is an
/// error, as the next hop might read a header there; only behind a backslash a NUL is text (RFC
/// 4475 §3.1.1.2).
fn line_end(section: &[u8], at: usize) -> Result<usize, DecodeError> {
    let mut at = at;
    loop {
        let Some(found) = memchr::memchr3(b'\r', b'\n', 0, scan::skip(section, at)) else {
            return Err(if section.len() == limits::HEADER_SECTION_MAX {
                DecodeError::HeaderSectionLong
            } else {
                DecodeError::HeaderSectionEnd
            });
        };
        at += found;
        match (section.get(at), section.get(at + 1)) {
            (Some(b'\r'), Some(b'\n')) => return Ok(at),
            (Some(0), _) if at > 0 && section.get(at - 1) == Some(&b'\\') => at += 1,
            _ => return Err(DecodeError::BareLineBreak { at }),
        }
    }
}

/// The header line at `at` with its continuation lines, and where the next one begins. The inner
/// error spoils one line only, the outer one the rest of the section.
fn header_line(
    section: &[u8],
    at: usize,
) -> Result<(Result<Slot, DecodeError>, usize), DecodeError> {
    let mut end = line_end(section, at)?;
    while matches!(section.get(end + 2), Some(b' ' | b'\t')) {
        end = line_end(section, end + 2)?;
    }
    Ok((slot(section, at, end), end + 2))
}

/// Spec: RFC 3261 §7.3.1; white space before the colon is legal there, and on every header.
fn slot(section: &[u8], at: usize, end: usize) -> Result<Slot, DecodeError> {
    let line = section.get(at..end).unwrap_or_default();
    let (raw_name, rest) = scan::token(line);
    let behind = scan::trim_start(rest).strip_prefix(b":");
    let (Some(value), 1..=limits::HEADER_NAME_MAX) = (behind, raw_name.len()) else {
        return Err(DecodeError::HeaderLine { at });
    };
    let value = scan::trim_start(value);
    // All within a section of at most HEADER_SECTION_MAX octets.
    let value_at = end - value.len();
    Ok(Slot {
        name: Name::from_bytes(raw_name),
        name_at: at as u16,
        name_end: (at + raw_name.len()) as u16,
        value_at: value_at as u16,
        value_end: (value_at + scan::trim_end(value).len()) as u16,
    })
}

/// Reads the first line. Elements are separated by single spaces, so a space inside the Request-URI
/// is an error. On a fault, what could be read of a request is there for a refusal.
///
/// Spec: RFC 3261 §7.1, §7.2
pub(super) fn start_line(line: &[u8]) -> (Start<'_>, Option<DecodeError>) {
    let (first, rest) = scan::split_once(line, b' ').unwrap_or((line, &[]));
    if first.contains(&b'/') {
        return status_line(first, rest);
    }
    let (uri, version) = scan::split_once(rest, b' ').unwrap_or((rest, &[]));
    let start = Start::Request { method: Method::from_bytes(first), uri };
    let fault = if !Method::is_well_formed(first) || uri.is_empty() {
        Some(DecodeError::StartLine)
    } else if let Err(fault) = sip_version(version) {
        Some(fault)
    } else if uri.len() > limits::URI_MAX {
        Some(DecodeError::UriLong)
    } else if uri.iter().any(|octet| *octet < b' ' || *octet == 0x7f) {
        Some(DecodeError::StartLine)
    } else {
        None
    };
    (start, fault)
}

fn status_line<'a>(version: &[u8], rest: &'a [u8]) -> (Start<'a>, Option<DecodeError>) {
    let (code, reason) = scan::split_once(rest, b' ').unwrap_or((rest, &[]));
    let status = match code.len() {
        3 => scan::number(code).filter(|code| (100..700).contains(code)),
        _ => None,
    };
    let start = Start::Response { status: status.unwrap_or_default() as u16, reason };
    (start, sip_version(version).err().or(status.is_none().then_some(DecodeError::Status)))
}

fn sip_version(bytes: &[u8]) -> Result<(), DecodeError> {
    if bytes.eq_ignore_ascii_case(b"SIP/2.0") {
        return Ok(());
    }
    let other = scan::split_once(bytes, b'/').filter(|(name, _)| name.eq_ignore_ascii_case(b"SIP"));
    let digits = |text: &[u8]| scan::number(text).is_some();
    let version = other.and_then(|(_, version)| scan::split_once(version, b'.'));
    Err(match version {
        Some((major, minor)) if digits(major) && digits(minor) => DecodeError::Version,
        _ => DecodeError::StartLine,
    })
}
