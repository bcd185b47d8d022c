//! Parameters and headers of a URI that decide something.

use std::borrow::Cow;
use std::io::Write as _;

use super::{Scheme, Uri, unescape};
use crate::header::Name;
use crate::scan;

impl<'a> Uri<'a> {
    /// The headers that the URI asks for in the request made of it, names and values unescaped.
    /// They are wishes of a stranger: take out what the purpose needs and no more.
    ///
    /// Spec: RFC 3261 §19.1.1, §19.1.5
    pub fn escaped_headers(
        &self,
    ) -> impl Iterator<Item = (Cow<'a, [u8]>, Cow<'a, [u8]>)> + use<'a> {
        let parts = self.headers.split(|octet| *octet == b'&').filter(|part| !part.is_empty());
        parts.map(|part| {
            let (name, value) = scan::split_once(part, b'=').unwrap_or((part, &[]));
            (unescape(name), unescape(value))
        })
    }

    /// The value of the one escaped header with this name, long or compact; `None` also when it
    /// stands there twice, as nobody can say which is meant.
    pub fn header(&self, name: Name) -> Option<Cow<'a, [u8]>> {
        let mut named = self.escaped_headers().filter(|(raw, _)| Name::from_bytes(raw) == name);
        let (_, value) = named.next()?;
        named.next().is_none().then_some(value)
    }

    /// Whether this hop routes as RFC 3261 has it: Request-URI and Route stay apart.
    ///
    /// Spec: RFC 3261 §16.12
    pub fn is_loose(&self) -> bool {
        self.params.has("lr")
    }

    /// What makes this a GRUU: the device, empty for a temporary one.
    ///
    /// Spec: RFC 5627 §5.1, §9
    pub fn gruu(&self) -> Option<&'a [u8]> {
        self.params.get("gr")
    }

    /// Whether requests in a dialog with this contact, or to this hop, shall use the flow that it
    /// came by.
    ///
    /// Spec: RFC 5626 §4.3, §5.3
    pub fn wants_same_flow(&self) -> bool {
        self.params.has("ob")
    }

    /// The address to send to in place of the host. Sources of requests choose it, so obey it only
    /// where the sender is trusted.
    ///
    /// Spec: RFC 3261 §19.1.1
    pub fn maddr(&self) -> Option<&'a [u8]> {
        self.params.get("maddr").filter(|host| !host.is_empty())
    }

    /// The transport it asks for: `udp`, `tcp`, `tls`, `ws` …, in whatever case it came.
    ///
    /// Spec: RFC 3261 §19.1.1, RFC 7118 §5.2
    pub fn transport(&self) -> Option<&'a [u8]> {
        self.params.get("transport").filter(|transport| !transport.is_empty())
    }

    /// The URI fit to be a Request-URI: without headers and `method`.
    ///
    /// Spec: RFC 3261 §19.1.5
    pub fn for_request(&self) -> Vec<u8> {
        if !matches!(self.scheme, Scheme::Sip | Scheme::Sips) {
            return self.bytes.to_vec();
        }
        let mut out = Vec::with_capacity(self.bytes.len());
        out.extend_from_slice(if self.scheme == Scheme::Sip { b"sip:" } else { b"sips:" });
        if let Some(user) = self.user {
            out.extend_from_slice(user);
            if let Some(password) = self.password {
                out.push(b':');
                out.extend_from_slice(password);
            }
            out.push(b'@');
        }
        out.extend_from_slice(self.host);
        if let Some(port) = self.port {
            // Writing into a vector cannot fail.
            let _ = write!(out, ":{port}");
        }
        for (name, value) in self.params {
            if unescape(name).eq_ignore_ascii_case(b"method") {
                continue;
            }
            out.push(b';');
            out.extend_from_slice(name);
            if let Some(value) = value {
                out.push(b'=');
                out.extend_from_slice(value);
            }
        }
        out
    }
}
