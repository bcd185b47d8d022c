//! Parameters behind a semicolon, of headers and of URIs.

use super::typed;
use crate::scan::{self, OctetSet};
use crate::uri;

/// What ends the value of a parameter, unless it stands in quotes.
static SEPARATORS: OctetSet = OctetSet::new(false, b" \t\r\n\"<>,");

/// `;name=value;flag` and so on, read when asked for.
///
/// Iterating gives each name and its value as it stands on the wire, quotes included; a flag has no
/// value. Empty parameters (`;;`) are skipped.
#[derive(Clone, Copy, Debug, Default)]
pub struct Params<'a> {
    rest: &'a [u8],
    /// Names and values of URI parameters may be escaped; those of headers may hold a plain `%`.
    escaped: bool,
}

impl<'a> Params<'a> {
    /// Parameters of a header value; `bytes` starts with the first semicolon.
    pub fn of_header(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, escaped: false }
    }

    /// Parameters of a URI; `bytes` starts with the first semicolon.
    pub fn of_uri(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, escaped: true }
    }

    /// The value of the first parameter with this name, in any case, without its quotes; empty for
    /// a flag.
    pub fn get(self, name: &str) -> Option<&'a [u8]> {
        let escaped = self.escaped;
        let mut found = self.filter(|(raw, _)| is_named(raw, name, escaped));
        found.next().map(|(_, value)| scan::unquote(value.unwrap_or_default()))
    }

    /// Whether a parameter with this name is there, with or without a value.
    pub fn has(self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The octets, from the first semicolon on.
    pub fn bytes(self) -> &'a [u8] {
        self.rest
    }

    /// Writes every parameter whose name is a token behind what `out` holds, without white space
    /// and line breaks.
    pub(crate) fn encode(self, out: &mut String) {
        for (name, value) in self.filter(|(name, _)| scan::is_token_text(name)) {
            out.push(';');
            out.push_str(&typed::text(name));
            if let Some(value) = value {
                out.push('=');
                out.push_str(typed::text(value).trim());
            }
        }
    }

    /// Whether every parameter has a name and its value holds no separator.
    pub(crate) fn are_well_formed(mut self) -> bool {
        while let Some((name, value)) = self.next_raw() {
            let fits = match value {
                None => true,
                Some(value) if value.first() == Some(&b'"') => {
                    scan::quoted_end(value) == Some(value.len())
                }
                Some(value) => !SEPARATORS.has_any(value),
            };
            if !fits || !scan::is_token_text(name) {
                return false;
            }
        }
        // Whatever the iteration refused to read is not a parameter.
        scan::trim(self.rest).is_empty()
    }

    fn next_raw(&mut self) -> Option<(&'a [u8], Option<&'a [u8]>)> {
        let rest = scan::trim_start(self.rest).strip_prefix(b";")?;
        let end = scan::find_outside(rest, b';', false).unwrap_or(rest.len());
        let (part, rest) = scan::split(rest, end);
        self.rest = rest;
        Some(match scan::split_once(part, b'=') {
            Some((name, value)) => (scan::trim(name), Some(scan::trim(value))),
            None => (scan::trim(part), None),
        })
    }
}

impl<'a> Iterator for Params<'a> {
    type Item = (&'a [u8], Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let found = self.next_raw()?;
            if !found.0.is_empty() {
                return Some(found);
            }
        }
    }
}

fn is_named(raw: &[u8], name: &str, escaped: bool) -> bool {
    if escaped && raw.contains(&b'%') {
        uri::unescape(raw).eq_ignore_ascii_case(name.as_bytes())
    } else {
        raw.eq_ignore_ascii_case(name.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_spaces_flags_and_escapes() {
        let params = Params::of_header(b" ; A = \"x;y\\\"z\" ;\r\n lr;;tag=1 ; n%61me=2");
        assert_eq!(params.get("a"), Some(&b"x;y\\\"z"[..]));
        assert_eq!(params.get("LR"), Some(&b""[..]));
        assert_eq!(params.get("tag"), Some(&b"1"[..]));
        assert_eq!(params.get("name"), None);
        assert_eq!(params.count(), 4);
        assert_eq!(Params::of_uri(b";%6C%72;n%61me=2").get("name"), Some(&b"2"[..]));
        assert!(Params::of_uri(b";%6C%72").has("lr"));
        assert!(Params::of_header(b";branch=a;rport").are_well_formed());
        for bad in [";;", ";=x", ";a=\"b", ";a=b c", ";a b", "x", ";a=b,c", ";"] {
            assert!(!Params::of_header(bad.as_bytes()).are_well_formed(), "{bad}");
        }
    }
}
