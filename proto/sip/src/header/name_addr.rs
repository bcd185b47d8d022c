//! A name and an address: From, To, Contact, Route and their like.

use std::borrow::Cow;

use super::typed::text;
use crate::{DecodeError, Params, Uri, scan, uri};

/// `"Name" <uri>;params` or `uri;params`.
///
/// Spec: RFC 3261 §20.10, §25.1 (name-addr, addr-spec)
#[derive(Clone, Copy, Debug)]
pub struct NameAddr<'a> {
    /// The name as it stands on the wire, quotes included; empty when there is none.
    pub display: &'a [u8],
    /// The address, without its angle brackets.
    pub uri: &'a [u8],
    /// The parameters of the header, which are not those of the URI.
    pub params: Params<'a>,
}

impl<'a> NameAddr<'a> {
    /// Reads one value. Errors: an open quote or bracket, a comma or quote inside an unquoted name,
    /// white space inside the address, and a `?` or no address at all without brackets.
    pub fn decode(value: &'a [u8]) -> Result<Self, DecodeError> {
        let value = scan::trim(value);
        let name_end = match value.first() {
            Some(b'"') => scan::quoted_end(value).ok_or(DecodeError::NameAddr)?,
            _ => match memchr::memchr2(b'<', b'"', value) {
                Some(at) if value.get(at) == Some(&b'<') => at,
                // A quote before any bracket: it can only be the value of a parameter.
                _ => return Self::decode_plain(value),
            },
        };
        let (display, rest) = scan::split(value, name_end);
        let display = scan::trim(display);
        // `sip:a@b;x=<y>` would give a name with a semicolon: no name has one unless quoted.
        if display.first() != Some(&b'"')
            && display.iter().any(|octet| matches!(octet, b',' | b';'))
        {
            return Err(DecodeError::NameAddr);
        }
        let rest = scan::trim_start(rest).strip_prefix(b"<").ok_or(DecodeError::NameAddr)?;
        let (uri, params) = scan::split_once(rest, b'>').ok_or(DecodeError::NameAddr)?;
        Self::build(display, uri, params)
    }

    /// Without brackets, a semicolon ends the address and no `?` may follow.
    ///
    /// Spec: RFC 3261 §20.10
    fn decode_plain(value: &'a [u8]) -> Result<Self, DecodeError> {
        let end = memchr::memchr(b';', value).unwrap_or(value.len());
        let (uri, params) = scan::split(value, end);
        let uri = scan::trim_end(uri);
        if memchr::memchr2(b'?', b',', uri).is_some() {
            return Err(DecodeError::NameAddr);
        }
        Self::build(&[], uri, params)
    }

    fn build(display: &'a [u8], uri: &'a [u8], params: &'a [u8]) -> Result<Self, DecodeError> {
        let params = scan::trim(params);
        if uri.is_empty()
            || uri::NOT_IN_URI.has_any(uri)
            || !matches!(params.first(), None | Some(b';'))
            || !scan::quotes_close(params)
        {
            return Err(DecodeError::NameAddr);
        }
        Ok(Self { display, uri, params: Params::of_header(params) })
    }

    /// The name as people read it: unquoted, unescaped, unfolded, wrong UTF-8 and control
    /// characters replaced.
    pub fn display_text(&self) -> String {
        let inner = scan::unquote(self.display);
        let bytes =
            if inner.len() == self.display.len() { Cow::Borrowed(inner) } else { unescape(inner) };
        let text = String::from_utf8_lossy(&bytes);
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
    }

    /// The tag, if there is one.
    pub fn tag(&self) -> Option<&'a [u8]> {
        self.params.get("tag").filter(|tag| !tag.is_empty())
    }

    /// The value in our spelling: name, address in brackets, parameters.
    pub fn encode(&self) -> String {
        let mut out = text(self.display).trim().to_owned();
        if !out.is_empty() {
            out.push(' ');
        }
        out.push('<');
        out.push_str(&text(self.uri));
        out.push('>');
        self.params.encode(&mut out);
        out
    }

    /// The address, taken apart.
    pub fn uri(&self) -> Result<Uri<'a>, DecodeError> {
        Uri::decode(self.uri)
    }
}

/// The inside of a quoted string as people read it.
pub(super) fn unescape_text(inner: &[u8]) -> Cow<'_, str> {
    match unescape(inner) {
        Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
        Cow::Owned(bytes) => String::from_utf8_lossy(&bytes).into_owned().into(),
    }
}

fn unescape(bytes: &[u8]) -> Cow<'_, [u8]> {
    if !bytes.contains(&b'\\') {
        return Cow::Borrowed(bytes);
    }
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter();
    while let Some(octet) = rest.next() {
        // A backslash at the very end stands for itself.
        out.push(if *octet == b'\\' { *rest.next().unwrap_or(octet) } else { *octet });
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_a_name_and_address() {
        let read = |text: &'static str| NameAddr::decode(text.as_bytes()).unwrap();
        let from = read("\"J \\\\\\\"R\\\"\"  <sip:j@a;lr?x=y>\r\n ;\r\n tag = 9");
        assert_eq!(from.display_text(), "J \\\"R\"");
        assert_eq!(from.uri, b"sip:j@a;lr?x=y");
        assert_eq!(from.tag(), Some(&b"9"[..]));
        let plain = read("sip:j@a;tag=1;x=\"<\"");
        assert_eq!((plain.uri, plain.tag()), (&b"sip:j@a"[..], Some(&b"1"[..])));
        assert_eq!(read("caller<sip:a@b>").display_text(), "caller");
        assert_eq!(read("<sip:a@b>").display_text(), "");
        assert_eq!(read("a b\r\n c <sip:a@b>").display_text(), "a b   c");
        let push = read("<sip:b@h;pn-prid=https://p.example/a>;reg-id=1;+sip.instance=\"<urn:x>\"");
        assert_eq!(push.params.get("+SIP.instance"), Some(&b"<urn:x>"[..]));
        assert_eq!(push.tag(), None);
    }

    #[test]
    fn malformed_names_and_addresses() {
        for bad in [
            "",
            "<>",
            "<sip:a@b",
            "\"x <sip:a@b>",
            "\"x\" sip:a@b",
            "A, B <sip:a@b>",
            "< sip:a@b >",
            "sip:a@b?Route=x",
            "<sip:a@b> x",
            "<sip:a@b>;x=\"y",
            "a;b <sip:a@b>",
            "<sip:<a@b>",
            "a b",
        ] {
            assert!(NameAddr::decode(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
