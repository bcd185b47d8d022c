//! URIs: sip, sips, tel, and others that pass through unread.

mod compare;
mod parts;
mod tel;

use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr};

use crate::scan::{self, OctetSet};
use crate::{DecodeError, Params};

/// What no URI may hold.
pub(crate) static NOT_IN_URI: OctetSet = OctetSet::new(false, b" <>\"").and_controls();

/// What a host name may hold.
static HOST_NAME: OctetSet = OctetSet::new(true, b"-._");

/// The scheme of a URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// One this crate does not take apart: not an error, but a 416 where it would have to be
    /// routed.
    Other,
    /// `sip`.
    Sip,
    /// `sips`.
    Sips,
    /// `tel`.
    Tel,
}

/// A URI, taken apart but not unescaped.
///
/// Spec: RFC 3261 §19.1, RFC 3966
#[derive(Clone, Copy, Debug)]
pub struct Uri<'a> {
    /// Its scheme.
    pub scheme: Scheme,
    /// The user, or the number of a `tel`, still escaped.
    pub user: Option<&'a [u8]>,
    /// The password, still escaped.
    pub password: Option<&'a [u8]>,
    /// The host, brackets of an IPv6 address kept; empty unless the scheme is sip or sips.
    pub host: &'a [u8],
    /// The port.
    pub port: Option<u16>,
    /// The parameters; those of an unknown scheme are not read.
    pub params: Params<'a>,
    /// What follows the `?`, without it.
    pub headers: &'a [u8],
    bytes: &'a [u8],
}

impl<'a> Uri<'a> {
    /// Reads a URI without brackets or space around it.
    ///
    /// More liberal than the grammar in parameters, which are often addresses in their own right:
    /// whatever is no separator may stand there (RFC 8599 `pn-prid=https://…`). Strict about what
    /// decides where a request goes: one `@`, a real host, a real port.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let (scheme, rest) = scan::split_once(bytes, b':').ok_or(DecodeError::UriScheme)?;
        let letter =
            |octet: &u8| octet.is_ascii_alphanumeric() || matches!(octet, b'+' | b'-' | b'.');
        if !scheme.first().is_some_and(u8::is_ascii_alphabetic) || !scheme.iter().all(letter) {
            return Err(DecodeError::UriScheme);
        }
        if rest.is_empty() || NOT_IN_URI.has_any(rest) {
            return Err(DecodeError::UriText);
        }
        if scheme.eq_ignore_ascii_case(b"sip") {
            Self::decode_sip(Scheme::Sip, rest, bytes)
        } else if scheme.eq_ignore_ascii_case(b"sips") {
            Self::decode_sip(Scheme::Sips, rest, bytes)
        } else if scheme.eq_ignore_ascii_case(b"tel") {
            Self::decode_tel(rest, bytes)
        } else {
            Ok(Self { scheme: Scheme::Other, ..Self::empty(bytes) })
        }
    }

    fn decode_sip(scheme: Scheme, rest: &'a [u8], bytes: &'a [u8]) -> Result<Self, DecodeError> {
        check_escapes(rest)?;
        // The user part may hold `;` and `?`, so the `@` decides first. A second `@` would let two
        // readers disagree about the host.
        let (userinfo, rest) = match scan::split_once(rest, b'@') {
            Some((userinfo, rest)) => (Some(userinfo), rest),
            None => (None, rest),
        };
        if memchr::memchr(b'@', rest).is_some() {
            return Err(DecodeError::UriText);
        }
        let (user, password) = match userinfo {
            None => (None, None),
            Some(userinfo) => match scan::split_once(userinfo, b':') {
                Some((user, password)) => (Some(user), Some(password)),
                None => (Some(userinfo), None),
            },
        };
        if user.is_some_and(<[u8]>::is_empty) {
            return Err(DecodeError::UriText);
        }
        let host_end = memchr::memchr2(b';', b'?', rest).unwrap_or(rest.len());
        let (sent_to, rest) = scan::split(rest, host_end);
        let (host, port) = host_and_port(sent_to)?;
        let (params, headers) = scan::split_once(rest, b'?').unwrap_or((rest, &[]));
        let params = Params::of_uri(params);
        Ok(Self { scheme, user, password, host, port, params, headers, bytes })
    }

    fn decode_tel(rest: &'a [u8], bytes: &'a [u8]) -> Result<Self, DecodeError> {
        check_escapes(rest)?;
        let end = memchr::memchr(b';', rest).unwrap_or(rest.len());
        let (number, params) = scan::split(rest, end);
        if !tel::is_number(number) {
            return Err(DecodeError::UriText);
        }
        let params = Params::of_uri(params);
        Ok(Self { scheme: Scheme::Tel, user: Some(number), params, ..Self::empty(bytes) })
    }

    fn empty(bytes: &'a [u8]) -> Self {
        Self {
            scheme: Scheme::Other,
            user: None,
            password: None,
            host: &[],
            port: None,
            params: Params::of_uri(&[]),
            headers: &[],
            bytes,
        }
    }

    /// The whole URI as it was read.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The user with its escapes undone. May hold any octet, NUL and line breaks too.
    pub fn user_unescaped(&self) -> Option<Cow<'a, [u8]>> {
        self.user.map(unescape)
    }

    /// The host as an address, when it is one and not a name.
    pub fn ip(&self) -> Option<IpAddr> {
        ip(self.host)
    }

    /// Writes the address of record: scheme, user and host in one canonical spelling, nothing else
    /// (a local telephone number keeps its context). Two spellings of a user give the same octets, two users never do.
    ///
    /// Spec: RFC 3261 §10.3 step 5
    pub fn write_address(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(match self.scheme {
            Scheme::Sip => b"sip:",
            Scheme::Sips => b"sips:",
            Scheme::Tel => {
                out.extend_from_slice(b"tel:");
                return tel::write_canonical(self, out);
            }
            Scheme::Other => return out.extend_from_slice(self.bytes),
        });
        if let Some(user) = self.user_unescaped() {
            crate::write::escape_user_into(out, &user);
            out.push(b'@');
        }
        out.extend(self.host.iter().map(u8::to_ascii_lowercase));
    }
}

/// Undoes percent escapes. A percent sign without two hexadecimal digits stands for itself.
pub fn unescape(bytes: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'%', bytes).is_none() {
        return Cow::Borrowed(bytes);
    }
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, tail)) = rest.split_first() {
        match (first, tail) {
            (b'%', [high, low, behind @ ..])
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                out.push(hex(*high) << 4 | hex(*low));
                rest = behind;
            }
            (octet, tail) => {
                out.push(*octet);
                rest = tail;
            }
        }
    }
    Cow::Owned(out)
}

/// Host and port, such as `a.example:5070` or `[2001:db8::1]`; white space may stand around the
/// colon.
pub(crate) fn host_and_port(bytes: &[u8]) -> Result<(&[u8], Option<u16>), DecodeError> {
    let end = match bytes.first() {
        Some(b'[') => memchr::memchr(b']', bytes).ok_or(DecodeError::UriHost)? + 1,
        _ => memchr::memchr(b':', bytes).unwrap_or(bytes.len()),
    };
    let (host, rest) = scan::split(bytes, end);
    let host = scan::trim_end(host);
    let fits = match host.first() {
        Some(b'[') => ip(host).is_some(),
        Some(_) => HOST_NAME.has_all(host),
        None => false,
    };
    if !fits {
        return Err(DecodeError::UriHost);
    }
    match scan::trim_start(rest).split_first() {
        None => Ok((host, None)),
        Some((b':', digits)) => {
            port(scan::trim(digits)).map(|port| (host, Some(port))).ok_or(DecodeError::UriPort)
        }
        Some(_) => Err(DecodeError::UriHost),
    }
}

/// Whether an octet may stand in a host or an address in brackets.
pub(crate) fn is_host_octet(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_' | b':' | b'[' | b']')
}

/// A port: digits alone, 1 to 65535.
pub(crate) fn port(bytes: &[u8]) -> Option<u16> {
    scan::number(bytes).and_then(|number| u16::try_from(number).ok()).filter(|port| *port > 0)
}

/// An address, in brackets or not; one of IPv4 in the clothes of IPv6 comes out as IPv4.
///
/// Spec: RFC 5118 §4.9
pub(crate) fn ip(host: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(host).ok()?;
    let address = match text.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => text.parse().ok(),
    };
    address.map(|address| address.to_canonical())
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        b'A'..=b'F' => digit - b'A' + 10,
        _ => 0, // Only called with hexadecimal digits.
    }
}

fn check_escapes(bytes: &[u8]) -> Result<(), DecodeError> {
    let mut rest = bytes;
    while let Some(at) = memchr::memchr(b'%', rest) {
        match scan::skip(rest, at) {
            [_, high, low, behind @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                rest = behind
            }
            _ => return Err(DecodeError::UriEscape),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
