//! Retry-After.

use super::Name;
use super::typed::{Typed, exact};
use crate::{DecodeError, Params, header, scan};

/// When to try again.
///
/// Spec: RFC 3261 §20.33
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryAfter {
    /// Seconds from now; saturates.
    pub seconds: u32,
    /// How long somebody will be there from then on.
    pub duration: Option<u32>,
}

impl Typed<'_> for RetryAfter {
    const NAME: Name = Name::RetryAfter;

    /// A comment may stand between the number and the parameters, and hold a semicolon.
    fn decode(value: &[u8]) -> Result<Self, DecodeError> {
        let seconds = header::seconds(value).ok_or_else(Self::malformed)?;
        let behind = match value.iter().position(|octet| matches!(octet, b';' | b'(')) {
            None => &[][..],
            Some(at) if value.get(at) == Some(&b'(') => {
                let end = comment_end(scan::skip(value, at)).ok_or_else(Self::malformed)?;
                scan::skip(value, at + end)
            }
            Some(at) => scan::skip(value, at),
        };
        let duration = match Params::of_header(behind).get("duration") {
            None => None,
            Some(digits) => Some(exact(digits).ok_or_else(Self::malformed)?),
        };
        Ok(Self { seconds, duration })
    }

    fn encode(&self) -> String {
        match self.duration {
            None => self.seconds.to_string(),
            Some(duration) => format!("{};duration={duration}", self.seconds),
        }
    }
}

/// Where a comment ends; comments nest.
///
/// Spec: RFC 3261 §25.1 (comment)
fn comment_end(bytes: &[u8]) -> Option<usize> {
    let (mut depth, mut at) = (0usize, 0);
    loop {
        match bytes.get(at)? {
            b'\\' => at += 1,
            b'(' => depth += 1,
            b')' if depth <= 1 => return Some(at + 1),
            b')' => depth -= 1,
            _ => (),
        }
        at += 1;
    }
}
