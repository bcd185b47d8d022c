//! SIP-ETag and SIP-If-Match: which version of published state is meant.

use super::Name;
use super::typed::{Typed, one_token, text};
use crate::{DecodeError, limits};

macro_rules! tags {
    ($($(#[$doc:meta])* $kind:ident = $name:ident)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $kind<'a>(pub &'a [u8]);

        impl<'a> Typed<'a> for $kind<'a> {
            const NAME: Name = Name::$name;

            fn decode(value: &'a [u8]) -> Result<Self, DecodeError> {
                let tag = one_token(value).filter(|tag| tag.len() <= limits::IDENTIFIER_MAX);
                tag.map(Self).ok_or_else(Self::malformed)
            }

            fn encode(&self) -> String {
                text(self.0)
            }
        }
    )+};
}

tags! {
    /// The version that a publication made.
    ///
    /// Spec: RFC 3903 §11.3.1
    EntityTag = SipEtag
    /// The version that a publication refreshes, changes or removes.
    ///
    /// Spec: RFC 3903 §11.3.2
    IfMatch = SipIfMatch
}
