//! The parameters behind `Digest`: `name=token` or `name="quoted"`, with commas between.

use std::borrow::Cow;

use crate::scan::{self, is_space};

/// Longest header value that is read.
pub const VALUE_MAX: usize = 4_096;

/// Most parameters that are read in one value.
pub const PARAMS_MAX: usize = 32;

/// A value that cannot be read; the caller knows which header it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Calls `take` for each parameter of a `Digest` value, the value without quotes and escapes.
pub(super) fn each<'a>(
    value: &'a [u8],
    mut take: impl FnMut(&'a [u8], Cow<'a, [u8]>) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    if value.len() > VALUE_MAX {
        return Err(Malformed);
    }
    let (scheme, mut rest) = scan::token(scan::trim_start(value));
    if !scheme.eq_ignore_ascii_case(b"Digest") {
        return Err(Malformed);
    }
    let mut count = 0;
    loop {
        rest = scan::trim_start(rest);
        let Some((first, tail)) = rest.split_first() else { return Ok(()) };
        if *first == b',' {
            rest = tail; // Empty list elements are allowed (RFC 9110 §5.6.1).
            continue;
        }
        count += 1;
        if count > PARAMS_MAX {
            return Err(Malformed);
        }
        let (name, text, tail) = one(rest)?;
        take(name, text)?;
        rest = scan::trim_start(tail);
        if !matches!(rest.first(), None | Some(b',')) {
            return Err(Malformed);
        }
    }
}

/// A name, its text, and what follows.
type Parameter<'a> = (&'a [u8], Cow<'a, [u8]>, &'a [u8]);

/// One parameter and what follows it.
fn one(input: &[u8]) -> Result<Parameter<'_>, Malformed> {
    let (name, rest) = scan::split_once(input, b'=').ok_or(Malformed)?;
    let (name, rest) = (scan::trim_end(name), scan::trim_start(rest));
    if !scan::is_token_text(name) {
        return Err(Malformed);
    }
    match rest.split_first() {
        Some((b'"', quoted)) => {
            let (text, tail) = unquote(quoted)?;
            Ok((name, text, tail))
        }
        _ => {
            // Not only token characters: clients leave out the quotes of a nonce or a URI.
            let end = rest.iter().position(|byte| *byte == b',' || is_space(*byte));
            let (text, tail) = scan::split(rest, end.unwrap_or(rest.len()));
            if text.is_empty() || !text.iter().all(|byte| is_text(*byte) && *byte != b'"') {
                return Err(Malformed);
            }
            Ok((name, Cow::Borrowed(text), tail))
        }
    }
}

/// The text of a quoted string whose opening quote is gone, and what follows the closing one.
fn unquote(input: &[u8]) -> Result<(Cow<'_, [u8]>, &[u8]), Malformed> {
    let stop = memchr::memchr2(b'"', b'\\', input).ok_or(Malformed)?;
    let (head, mut rest) = scan::split(input, stop);
    if !head.iter().copied().all(is_text) {
        return Err(Malformed);
    }
    if let Some((b'"', tail)) = rest.split_first() {
        return Ok((Cow::Borrowed(head), tail));
    }
    let mut text = head.to_vec();
    loop {
        let (byte, tail) = match rest {
            [b'"', tail @ ..] => return Ok((Cow::Owned(text), tail)),
            [b'\\', escaped, tail @ ..] => (*escaped, tail),
            [byte, tail @ ..] => (*byte, tail),
            [] => return Err(Malformed),
        };
        if !is_text(byte) {
            return Err(Malformed); // A control character has no honest use and reaches logs.
        }
        text.push(byte);
        rest = tail;
    }
}

const fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// Keeps `value` in `slot`; a second one of the same name is refused, since the next reader may
/// take the other.
pub(super) fn once<T>(slot: &mut Option<T>, value: T) -> Result<(), Malformed> {
    match slot.replace(value) {
        Some(_) => Err(Malformed),
        None => Ok(()),
    }
}

/// Writes `text` between quotes. Control characters are left out: nothing may begin a new header.
pub(super) fn quote(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    for byte in text.iter().copied().filter(|byte| is_text(*byte)) {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}
