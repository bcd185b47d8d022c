//! Via.

use std::net::IpAddr;

use crate::{DecodeError, Params, scan, uri};

/// One hop a request has taken.
///
/// Spec: RFC 3261 §20.42
#[derive(Clone, Copy, Debug)]
pub struct Via<'a> {
    /// `UDP`, `TCP`, `TLS`, `WSS` …, in whatever case it came.
    pub transport: &'a [u8],
    /// Host of the sent-by, brackets of an IPv6 address kept.
    pub host: &'a [u8],
    /// Port of the sent-by.
    pub port: Option<u16>,
    /// Its parameters.
    pub params: Params<'a>,
    /// Everything before the parameters.
    head: &'a [u8],
}

impl<'a> Via<'a> {
    /// Reads one value. Errors: another SIP version, no transport, a malformed host, port or
    /// parameter.
    pub fn decode(value: &'a [u8]) -> Result<Self, DecodeError> {
        let end = memchr::memchr(b';', value).unwrap_or(value.len());
        let (head, params) = scan::split(value, end);
        let params = Params::of_header(params);
        let rest = scan::trim(head);
        let (protocol, rest) = slash(rest)?;
        let (version, rest) = slash(rest)?;
        if !protocol.eq_ignore_ascii_case(b"SIP") {
            return Err(DecodeError::Via);
        }
        if version != b"2.0" {
            return Err(DecodeError::Version);
        }
        let (transport, rest) = scan::token(rest);
        let sent_by = scan::trim_start(rest);
        if transport.is_empty() || sent_by.len() == rest.len() || !params.are_well_formed() {
            return Err(DecodeError::Via);
        }
        let (host, port) = uri::host_and_port(sent_by).map_err(|_| DecodeError::Via)?;
        Ok(Self { transport, host, port, params, head: scan::trim(head) })
    }

    /// The branch.
    pub fn branch(&self) -> Option<&'a [u8]> {
        self.params.get("branch").filter(|branch| !branch.is_empty())
    }

    /// The branch, if its sender keeps to RFC 3261: it identifies the transaction. The cookie alone
    /// does not.
    ///
    /// Spec: RFC 3261 §17.2.3
    pub fn unique_branch(&self) -> Option<&'a [u8]> {
        let cookie = |branch: &&[u8]| {
            branch.len() > 7 && branch.get(..7).is_some_and(|b| b.eq_ignore_ascii_case(b"z9hG4bK"))
        };
        self.branch().filter(cookie)
    }

    /// Whether the sender asks for the answer to come back to its source port.
    ///
    /// Spec: RFC 3581 §3
    pub fn asks_rport(&self) -> bool {
        self.params.has("rport")
    }

    /// The port that a hop saw this come from.
    pub fn rport(&self) -> Option<u16> {
        self.params.get("rport").and_then(uri::port)
    }

    /// The address that a hop saw this come from, as it stands on the wire.
    pub fn received(&self) -> Option<&'a [u8]> {
        self.params.get("received").filter(|received| !received.is_empty())
    }

    /// The address of `received`, with or without brackets.
    ///
    /// Spec: RFC 5118 §4.5
    pub fn received_ip(&self) -> Option<IpAddr> {
        self.received().and_then(uri::ip)
    }

    /// The address of the sent-by, when it is one and not a name.
    pub fn ip(&self) -> Option<IpAddr> {
        uri::ip(self.host)
    }

    /// Everything before the parameters.
    pub(crate) fn head(&self) -> &'a [u8] {
        self.head
    }
}

/// A token, then a slash, with white space around either.
fn slash(bytes: &[u8]) -> Result<(&[u8], &[u8]), DecodeError> {
    let (token, rest) = scan::token(bytes);
    let rest = scan::trim_start(rest).strip_prefix(b"/").ok_or(DecodeError::Via)?;
    Ok((token, scan::trim_start(rest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_addresses_and_ports() {
        let via =
            Via::decode(b"SIP  / 2.0\r\n /UDP  [2001:db8::1] : 5070 ; branch = z9hG4bKx;rport")
                .unwrap();
        assert_eq!(
            (via.transport, via.host, via.port),
            (&b"UDP"[..], &b"[2001:db8::1]"[..], Some(5070))
        );
        assert_eq!(via.unique_branch(), Some(&b"z9hG4bKx"[..]));
        assert_eq!((via.asks_rport(), via.rport()), (true, None));
        assert_eq!(via.ip(), "2001:db8::1".parse().ok());
        for received in ["[2001:db8::9]", "2001:db8::9"] {
            let text = format!("SIP/2.0/SCTP a.example;received={received};rport=9");
            let via = Via::decode(text.as_bytes()).unwrap();
            assert_eq!((via.received_ip(), via.rport()), ("2001:db8::9".parse().ok(), Some(9)));
        }
        let cookie = Via::decode(b"SIP/2.0/UDP a;branch=z9hG4bK").unwrap();
        assert!(cookie.branch().is_some() && cookie.unique_branch().is_none());
    }

    #[test]
    fn malformed() {
        for bad in [
            "",
            "SIP/2.0",
            "SIP/2.0/UDP",
            "SIP/2.0/UDP ",
            "SIP/2.0/UDP a;;",
            "SIP/2.0/UDP a:x",
            "SIP/2.0/ a",
            "HTTP/2.0/UDP a",
            "SIP/7.0/UDP a",
            "SIP/2.0/UDP 2001:db8::1",
            "SIP/2.0/UDP [2001:db8::1",
            "SIP/2.0/UDP a b",
        ] {
            assert!(Via::decode(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
