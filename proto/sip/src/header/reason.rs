//! Reason: why a request or answer was sent, in SIP's words or those of the telephone network.

use std::borrow::Cow;

use super::typed::{Typed, text};
use super::{Name, head, name_addr, tail};
use crate::{DecodeError, scan, write};

/// Whose causes a Reason speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol<'a> {
    /// ITU-T Q.850.
    Q850,
    /// SIP statuses.
    Sip,
    /// Another one.
    Other(&'a [u8]),
}

/// One reason.
///
/// Spec: RFC 3326 §2
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason<'a> {
    /// Whose causes.
    pub protocol: Protocol<'a>,
    /// The cause.
    pub cause: Option<u16>,
    /// What it means, for people.
    pub text: Option<Cow<'a, str>>,
}

impl<'a> Reason<'a> {
    /// A SIP status with a text.
    pub fn sip(status: u16, text: &'a str) -> Self {
        let text = Some(text).filter(|text| !text.is_empty()).map(Cow::Borrowed);
        Self { protocol: Protocol::Sip, cause: Some(status), text }
    }

    /// A cause of Q.850.
    pub fn q850(cause: u16) -> Self {
        Self { protocol: Protocol::Q850, cause: Some(cause), text: None }
    }

    /// The SIP status that this stands for, if any.
    pub fn status(&self) -> Option<u16> {
        match self.protocol {
            Protocol::Sip => self.cause.filter(|cause| (100..700).contains(cause)),
            Protocol::Q850 => self.cause.and_then(status_of_q850),
            Protocol::Other(_) => None,
        }
    }
}

impl<'a> Typed<'a> for Reason<'a> {
    const NAME: Name = Name::Reason;

    fn decode(value: &'a [u8]) -> Result<Self, DecodeError> {
        let (word, params) = (head(value), tail(value));
        let protocol = match word {
            word if word.eq_ignore_ascii_case(b"SIP") => Protocol::Sip,
            word if word.eq_ignore_ascii_case(b"Q.850") => Protocol::Q850,
            word if scan::is_token_text(word) => Protocol::Other(word),
            _ => return Err(Self::malformed()),
        };
        let cause = match params.get("cause") {
            None => None,
            Some(digits) => {
                let cause = scan::number(digits).and_then(|cause| u16::try_from(cause).ok());
                Some(cause.ok_or_else(Self::malformed)?)
            }
        };
        Ok(Self { protocol, cause, text: params.get("text").map(name_addr::unescape_text) })
    }

    fn encode(&self) -> String {
        let mut out = match self.protocol {
            Protocol::Sip => "SIP".into(),
            Protocol::Q850 => "Q.850".into(),
            Protocol::Other(word) => text(word),
        };
        if let Some(cause) = self.cause {
            out.push_str(&format!(";cause={cause}"));
        }
        if let Some(text) = &self.text {
            out.push_str(";text=");
            out.push_str(&write::quote(text));
        }
        out
    }
}

/// The status that says in SIP what a cause says on the telephone network; `None` for causes that
/// end a call in good order.
///
/// Spec: RFC 3398 §7.2.4.1
pub fn status_of_q850(cause: u16) -> Option<u16> {
    Some(match cause {
        1..=3 => 404,
        16 => return None,
        17 => 486,
        18 => 408,
        19 | 20 => 480,
        21 => 403,
        22 | 23 => 410,
        26 => 404,
        27 => 502,
        28 => 484,
        29 => 501,
        31 => 480,
        34 | 38 | 41 | 42 | 47 => 503,
        55 | 57 | 87 => 403,
        58 | 88 => 503,
        65 | 70 => 488,
        79 => 501,
        102 => 504,
        // A class whose member nobody knows reads as its most general one (§7.2.4.1).
        1..=15 | 24..=30 => 480,
        32..=47 => 503,
        48..=63 => 503,
        64..=79 => 501,
        80..=95 => 503,
        96..=127 => 500,
        _ => return None,
    })
}

/// The cause that says on the telephone network what a failure says in SIP.
///
/// Spec: RFC 3398 §8.2.6.1
pub fn q850_of_status(status: u16) -> u16 {
    match status {
        401 | 402 | 403 | 407 | 603 => 21,
        404 | 485 | 604 => 1,
        405 => 63,
        406 | 415 | 501 => 79,
        408 | 504 => 102,
        410 => 22,
        480 => 18,
        482 | 483 => 25,
        484 => 28,
        486 | 600 => 17,
        488 | 606 => 65,
        502 => 38,
        400 | 481 | 500 | 503 => 41,
        200..=299 | 487 => 16,
        400..=499 | 505..=699 => 127,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_of_the_telephone_network() {
        for (cause, status) in
            [(1, Some(404)), (16, None), (17, Some(486)), (19, Some(480)), (34, Some(503))]
        {
            assert_eq!(status_of_q850(cause), status);
        }
        assert_eq!((q850_of_status(486), q850_of_status(404), q850_of_status(487)), (17, 1, 16));
        for cause in 0..=u16::MAX {
            assert!(status_of_q850(cause).is_none_or(|status| (400..600).contains(&status)));
            assert!((1..=127).contains(&q850_of_status(cause)));
        }
        assert_eq!(Reason::q850(17).status(), Some(486));
        assert_eq!(Reason::sip(200, "Call completed elsewhere").status(), Some(200));
    }
}
