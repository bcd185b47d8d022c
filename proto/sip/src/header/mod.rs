//! Typed views of header values. Each is a function over the octets of one value; nothing is
//! copied.

pub mod auth;
mod cseq;
mod name;
mod name_addr;
mod params;
mod via;

pub use cseq::CSeq;
pub(crate) use name::COUNT as NAME_COUNT;
pub use name::Name;
pub use name_addr::{Contact, NameAddr};
pub use params::Params;
pub use via::Via;

use crate::scan;

/// The values of a comma-separated header line, trimmed, with quotes and `<>` respected. Not for
/// the headers of authentication, whose commas separate parameters.
///
/// Spec: RFC 3261 §7.3.1
pub fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    scan::Elements(value)
}

/// A value that is one number, such as Expires or Min-SE; parameters behind a `;` and comments are
/// left aside. Saturates; `None` when it is not a number.
pub fn seconds(value: &[u8]) -> Option<u32> {
    let end = value.iter().position(|octet| matches!(octet, b';' | b'(')).unwrap_or(value.len());
    let number = scan::number(scan::trim(scan::split(value, end).0))?;
    Some(u32::try_from(number).unwrap_or(u32::MAX))
}

/// The first part of a value, before any parameters: the type of Content-Type, the package of
/// Event.
pub fn head(value: &[u8]) -> &[u8] {
    let end = scan::find_outside(value, b';', true).unwrap_or(value.len());
    scan::trim(scan::split(value, end).0)
}

/// The parameters behind the first part of a value, as in `multipart/mixed;boundary=x`.
pub fn tail(value: &[u8]) -> Params<'_> {
    let end = scan::find_outside(value, b';', true).unwrap_or(value.len());
    Params::of_header(scan::split(value, end).1)
}
