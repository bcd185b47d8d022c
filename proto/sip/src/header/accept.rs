//! Accept and Allow: what a peer takes.

use super::typed::{Typed, text};
use super::{Name, Params, head, tail};
use crate::{DecodeError, Message, Method, scan};

/// A kind of body that a peer takes.
///
/// Spec: RFC 3261 §20.1
#[derive(Clone, Copy, Debug)]
pub struct Accept<'a> {
    /// The type before the slash, or `*`.
    pub kind: &'a [u8],
    /// The type behind the slash, or `*`.
    pub subkind: &'a [u8],
    /// Its parameters.
    pub params: Params<'a>,
}

impl Accept<'_> {
    /// Whether a body of this type, such as `application/sdp`, is meant.
    pub fn takes(&self, kind: &str) -> bool {
        let (kind, subkind) = scan::split_once(kind.as_bytes(), b'/').unwrap_or_default();
        let fits = |mine: &[u8], theirs: &[u8]| mine == b"*" || mine.eq_ignore_ascii_case(theirs);
        fits(self.kind, kind) && fits(self.subkind, subkind) && !self.is_refusal()
    }

    /// `q=0`: this kind is not wanted.
    fn is_refusal(&self) -> bool {
        let zero = |q: &[u8]| q.first() == Some(&b'0') && q.iter().all(|o| matches!(o, b'0' | b'.'));
        self.params.get("q").is_some_and(zero)
    }
}

impl<'a> Typed<'a> for Accept<'a> {
    const NAME: Name = Name::Accept;

    fn decode(value: &'a [u8]) -> Result<Self, DecodeError> {
        let (kind, subkind) = scan::split_once(head(value), b'/').ok_or_else(Self::malformed)?;
        let (kind, subkind) = (scan::trim(kind), scan::trim(subkind));
        if !scan::is_token_text(kind) || !scan::is_token_text(subkind) {
            return Err(Self::malformed());
        }
        Ok(Self { kind, subkind, params: tail(value) })
    }

    fn encode(&self) -> String {
        let mut out = format!("{}/{}", text(self.kind), text(self.subkind));
        self.params.encode(&mut out);
        out
    }
}

impl Message<'_> {
    /// Whether the sender takes bodies of this type; `None` when it does not say. An Accept without
    /// any value takes none.
    ///
    /// Spec: RFC 3261 §20.1
    pub fn accepts(&self, kind: &str) -> Option<bool> {
        self.first(Name::Accept)?;
        Some(self.read_all::<Accept<'_>>().any(|range| range.is_ok_and(|range| range.takes(kind))))
    }

    /// Whether the sender takes requests with this method; `None` when it does not say.
    ///
    /// Spec: RFC 3261 §20.5
    pub fn allows(&self, method: Method<'_>) -> Option<bool> {
        self.first(Name::Allow)?;
        Some(self.values(Name::Allow).any(|value| value == method.as_bytes()))
    }
}
