//! Whether two URIs are the same resource.

use super::{Scheme, Uri, ip, tel, unescape};
use crate::{Params, scan};

impl Uri<'_> {
    /// Whether these are the same resource by the rules for comparison: an absent port is not 5060,
    /// some parameters count when only one side has them, and order never counts. Addresses are
    /// compared as numbers.
    ///
    /// Spec: RFC 3261 §19.1.4, RFC 3966 §4, RFC 5954 §4.2
    pub fn is_same(&self, other: &Uri<'_>) -> bool {
        match (self.scheme, other.scheme) {
            (Scheme::Sip, Scheme::Sip) | (Scheme::Sips, Scheme::Sips) => {
                same_text(self.user, other.user)
                    && same_text(self.password, other.password)
                    && same_host(self.host, other.host)
                    && self.port == other.port
                    && params_agree(self.params, other.params)
                    && params_agree(other.params, self.params)
                    && same_headers(self.headers, other.headers)
            }
            (Scheme::Tel, Scheme::Tel) => tel::same(self, other),
            (Scheme::Other, Scheme::Other) => {
                let (mine, theirs) = (in_parts(self), in_parts(other));
                mine.0.eq_ignore_ascii_case(theirs.0) && mine.1 == theirs.1
            }
            (Scheme::Other | Scheme::Sip | Scheme::Sips | Scheme::Tel, _) => false,
        }
    }
}

/// Scheme and all the rest.
fn in_parts<'u>(uri: &Uri<'u>) -> (&'u [u8], &'u [u8]) {
    scan::split_once(uri.bytes, b':').unwrap_or_default()
}

fn same_text(one: Option<&[u8]>, other: Option<&[u8]>) -> bool {
    one.map(unescape) == other.map(unescape)
}

fn same_host(one: &[u8], other: &[u8]) -> bool {
    one.eq_ignore_ascii_case(other) || ip(one).is_some_and(|address| ip(other) == Some(address))
}

/// Parameters that make a difference even when only one side has them.
const DECISIVE: [&[u8]; 6] = [b"gr", b"maddr", b"method", b"transport", b"ttl", b"user"];

/// A name that stands twice agrees when one of its values does.
fn params_agree(mine: Params<'_>, theirs: Params<'_>) -> bool {
    mine.into_iter().all(|(name, value)| {
        let (name, value) = (unescape(name), unescape(value.unwrap_or_default()));
        let mut named =
            theirs.filter(|(other, _)| unescape(other).eq_ignore_ascii_case(&name)).peekable();
        if named.peek().is_none() {
            return !DECISIVE.iter().any(|decisive| decisive.eq_ignore_ascii_case(&name));
        }
        named.any(|(_, other)| unescape(other.unwrap_or_default()).eq_ignore_ascii_case(&value))
    })
}

/// Headers count in full: neither side may have one that the other has not.
fn same_headers(mine: &[u8], theirs: &[u8]) -> bool {
    let parts = |headers: &[u8]| {
        let mut parts: Vec<_> = headers
            .split(|octet| *octet == b'&')
            .filter(|part| !part.is_empty())
            .map(|part| {
                let (name, value) = scan::split_once(part, b'=').unwrap_or((part, &[]));
                (unescape(name).to_ascii_lowercase(), unescape(value).into_owned())
            })
            .collect();
        parts.sort();
        parts
    };
    parts(mine) == parts(theirs)
}
