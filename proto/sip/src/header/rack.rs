//! RSeq and RAck: provisional answers that are confirmed.

use super::typed::{Typed, exact, text};
use super::{CSeq, Name};
use crate::{DecodeError, Method, scan};

/// The number of a reliable provisional answer, from 1 on.
///
/// Spec: RFC 3262 §7.1
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RSeq(pub u32);

/// The first RSeq of a transaction is at most this, so that it never wraps.
///
/// Spec: RFC 3262 §3
pub const RSEQ_FIRST_MAX: u32 = 0x7fff_ffff;

impl Typed<'_> for RSeq {
    const NAME: Name = Name::RSeq;

    fn decode(value: &[u8]) -> Result<Self, DecodeError> {
        let number = exact(scan::trim(value)).filter(|number| *number > 0);
        number.map(Self).ok_or_else(Self::malformed)
    }

    fn encode(&self) -> String {
        self.0.to_string()
    }
}

/// Which provisional answer a PRACK confirms.
///
/// Spec: RFC 3262 §7.2
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RAck<'a> {
    /// The RSeq of the answer.
    pub rseq: u32,
    /// The CSeq number of the answer.
    pub cseq: u32,
    /// The method of the answer's CSeq.
    pub method: Method<'a>,
}

impl<'a> Typed<'a> for RAck<'a> {
    const NAME: Name = Name::RAck;

    fn decode(value: &'a [u8]) -> Result<Self, DecodeError> {
        let value = scan::trim(value);
        let end = value.iter().position(|octet| scan::is_space(*octet)).unwrap_or(value.len());
        let (rseq, rest) = scan::split(value, end);
        let rseq = exact(rseq).filter(|number| *number > 0).ok_or_else(Self::malformed)?;
        let cseq = CSeq::decode(rest).map_err(|_| Self::malformed())?;
        Ok(Self { rseq, cseq: cseq.number, method: cseq.method })
    }

    fn encode(&self) -> String {
        format!("{} {} {}", self.rseq, self.cseq, text(self.method.as_bytes()))
    }
}
