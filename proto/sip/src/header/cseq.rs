//! CSeq.

use crate::{DecodeError, Method, limits, scan};

/// The order of a request within its dialog.
///
/// Spec: RFC 3261 §20.16
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CSeq<'a> {
    /// Below 2^31.
    pub number: u32,
    /// The method of the request.
    pub method: Method<'a>,
}

impl<'a> CSeq<'a> {
    /// Reads a value. Errors: no number, a number of 2^31 or more, no method, a method that is no
    /// token.
    pub fn decode(value: &'a [u8]) -> Result<Self, DecodeError> {
        let value = scan::trim(value);
        let digits = value.iter().take_while(|octet| octet.is_ascii_digit()).count();
        let (number, rest) = scan::split(value, digits);
        let number = scan::number(number)
            .and_then(|number| u32::try_from(number).ok())
            .filter(|number| *number <= limits::CSEQ_MAX)
            .ok_or(DecodeError::CSeq)?;
        let method = scan::trim_start(rest);
        if method.len() == rest.len() || !Method::is_well_formed(method) {
            return Err(DecodeError::CSeq);
        }
        Ok(Self { number, method: Method::from_bytes(method) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_never_wrap() {
        let read = |text: &'static str| CSeq::decode(text.as_bytes()).ok();
        assert_eq!(read("0009\r\n  INVITE").unwrap().number, 9);
        assert_eq!(read("2147483647 BYE").unwrap().number, limits::CSEQ_MAX);
        let unknown = read("1 invite").unwrap().method;
        assert_eq!(unknown, Method::Other(b"invite"));
        for bad in [
            "",
            "INVITE",
            "1",
            "1INVITE",
            "-1 BYE",
            "2147483648 BYE",
            "4294967297 BYE",
            "0x1 BYE",
            "1 A B",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert!(CSeq::decode(&[&b"1 "[..], &[b'A'; 3000]].concat()).is_err());
        assert!(CSeq::decode(&[&[b'1'; 300][..], b" BYE"].concat()).is_err());
    }
}
