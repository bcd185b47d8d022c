//! Telephone numbers: tel URIs, and SIP URIs that hold one.
//!
//! Spec: RFC 3966

use super::{Scheme, Uri, unescape};
use crate::{Params, scan};

/// Whether an octet only makes a number easier to read.
///
/// Spec: RFC 3966 §3 (visual-separator)
fn is_separator(octet: u8) -> bool {
    matches!(octet, b'-' | b'.' | b'(' | b')')
}

/// Whether these octets are a number: a global one has digits alone behind its `+`, a local one
/// also the letters A to F, `*` and `#`. Something must be left without the separators.
///
/// Spec: RFC 3966 §3
pub(super) fn is_number(number: &[u8]) -> bool {
    let significant = number.iter().any(|octet| !is_separator(*octet) && *octet != b'+');
    significant
        && match number.strip_prefix(b"+") {
            Some(digits) => {
                digits.iter().all(|octet| octet.is_ascii_digit() || is_separator(*octet))
            }
            None => number.iter().all(|octet| {
                octet.is_ascii_hexdigit() || is_separator(*octet) || matches!(octet, b'*' | b'#')
            }),
        }
}

/// A number without what only makes it easier to read, letters in lower case.
fn digits(number: &[u8]) -> Vec<u8> {
    let significant = number.iter().filter(|octet| !is_separator(**octet));
    significant.map(u8::to_ascii_lowercase).collect()
}

/// Spec: RFC 3966 §4 (comparison), §5.1.5 (a context that is a number)
pub(super) fn same(one: &Uri<'_>, other: &Uri<'_>) -> bool {
    digits(one.user.unwrap_or_default()) == digits(other.user.unwrap_or_default())
        && one.params.count() == other.params.count()
        && one.params.into_iter().all(|(name, value)| has_param(other.params, name, value))
}

fn has_param(params: Params<'_>, name: &[u8], value: Option<&[u8]>) -> bool {
    let name = unescape(name);
    let plain = |value: Option<&[u8]>| {
        let value = unescape(value.unwrap_or_default()).to_ascii_lowercase();
        let is_number = name.eq_ignore_ascii_case(b"phone-context") && value.first() == Some(&b'+')
            || name.eq_ignore_ascii_case(b"ext");
        if is_number { digits(&value) } else { value }
    };
    let wanted = plain(value);
    let mut named = params.filter(|(other, _)| unescape(other).eq_ignore_ascii_case(&name));
    named.any(|(_, found)| plain(found) == wanted)
}

/// The one spelling of a number, with the context that a local one has its meaning from.
pub(super) fn write_canonical(uri: &Uri<'_>, out: &mut Vec<u8>) {
    let number = digits(uri.user.unwrap_or_default());
    out.extend_from_slice(&number);
    if let Some(context) = uri.params.get("phone-context").filter(|_| !number.starts_with(b"+")) {
        out.extend_from_slice(b";phone-context=");
        let context = context.to_ascii_lowercase();
        out.extend(if context.starts_with(b"+") { digits(&context) } else { context });
    }
}

impl Uri<'_> {
    /// The telephone number that this holds, without visual separators, a global one with its `+`:
    /// that of a tel URI, or the user of a SIP URI that says `user=phone` or begins with a `+`.
    ///
    /// Spec: RFC 3966 §5.1.1, RFC 3261 §19.1.6
    pub fn telephone_number(&self) -> Option<String> {
        let number = match self.scheme {
            Scheme::Tel => self.user?.into(),
            Scheme::Sip | Scheme::Sips => {
                let user = self.user_unescaped()?;
                let says = self.params.get("user");
                let says = says.is_some_and(|word| word.eq_ignore_ascii_case(b"phone"));
                if !says && user.first() != Some(&b'+') {
                    return None;
                }
                user
            }
            Scheme::Other => return None,
        };
        // A number in a SIP URI keeps the parameters of its tel URI in the user part.
        let end = memchr::memchr(b';', &number).unwrap_or(number.len());
        let number = scan::split(&number, end).0;
        is_number(number).then(|| String::from_utf8_lossy(&digits(number)).into_owned())
    }

    /// Where a local number has its meaning: a domain or the first digits of a global number.
    ///
    /// Spec: RFC 3966 §5.1.5
    pub fn phone_context(&self) -> Option<&[u8]> {
        match self.scheme {
            Scheme::Tel => self.params.get("phone-context").filter(|context| !context.is_empty()),
            Scheme::Other | Scheme::Sip | Scheme::Sips => None,
        }
    }
}
