//! A name and an address: From, To, Contact, Route and their like.

use std::borrow::Cow;

use crate::{DecodeError, Params, Uri, header, scan};

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
            _ => match value.iter().position(|octet| matches!(octet, b'<' | b'"')) {
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
        let in_uri = |octet: &u8| scan::is_space(*octet) || matches!(octet, b'<' | b'>' | b'"' | 0);
        let params = scan::trim(params);
        if uri.is_empty()
            || uri.iter().any(in_uri)
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

    /// The address, taken apart.
    pub fn uri(&self) -> Result<Uri<'a>, DecodeError> {
        Uri::decode(self.uri)
    }
}

/// One value of Contact.
///
/// Spec: RFC 3261 §20.10
#[derive(Clone, Copy, Debug)]
pub enum Contact<'a> {
    /// Where somebody can be reached.
    Address(NameAddr<'a>),
    /// `*`: all bindings.
    Star,
}

impl<'a> Contact<'a> {
    /// Reads one value.
    pub fn decode(value: &'a [u8]) -> Result<Self, DecodeError> {
        match scan::trim(value) {
            b"*" => Ok(Self::Star),
            value => NameAddr::decode(value).map(Self::Address),
        }
    }

    /// The address; `None` for the star.
    pub fn address(&self) -> Option<&NameAddr<'a>> {
        match self {
            Self::Address(address) => Some(address),
            Self::Star => None,
        }
    }
}

impl NameAddr<'_> {
    /// The `expires` parameter of a contact: `None` when it is missing or not a number; saturates.
    pub fn expires(&self) -> Option<u32> {
        self.params.get("expires").and_then(header::seconds)
    }

    /// The `q` parameter in thousandths; `None` when it is missing or malformed.
    ///
    /// Spec: RFC 3261 §25.1 (qvalue)
    pub fn q(&self) -> Option<u16> {
        let text = self.params.get("q")?;
        let (whole, part) = scan::split_once(text, b'.').unwrap_or((text, b""));
        let whole = scan::number(if whole.is_empty() { b"0" } else { whole })?;
        if part.len() > 3 || !part.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let mut thousandths = 0;
        for place in 0..3 {
            let digit = part.get(place).map_or(0, |octet| u16::from(octet - b'0'));
            thousandths = thousandths * 10 + digit;
        }
        match (whole, thousandths) {
            (0, thousandths) => Some(thousandths),
            (1, 0) => Some(1000),
            _ => None,
        }
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

    #[test]
    fn q_values() {
        for (text, q) in
            [("1", Some(1000)), ("0.75", Some(750)), ("1.0", Some(1000)), (".5", Some(500))]
        {
            let value = format!("<sip:a@b>;q={text}");
            assert_eq!(NameAddr::decode(value.as_bytes()).unwrap().q(), q);
        }
        for text in ["2", "1.1", "0.1234", "-1", "x", ""] {
            let value = format!("<sip:a@b>;q={text}");
            assert_eq!(
                NameAddr::decode(value.as_bytes()).unwrap().q().filter(|q| *q > 0),
                None,
                "{text}"
            );
        }
    }
}
