//! Call-Info, Alert-Info and Error-Info: addresses of something to show or play.

use super::Name;
use super::typed::{Typed, text};
use crate::{DecodeError, Params, scan};

macro_rules! pointers {
    ($($(#[$doc:meta])* $kind:ident)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $kind<'a> {
            /// The address, of any scheme, not judged.
            pub uri: &'a [u8],
            /// Its parameters.
            pub params: Params<'a>,
        }

        impl<'a> Typed<'a> for $kind<'a> {
            const NAME: Name = Name::$kind;

            fn decode(value: &'a [u8]) -> Result<Self, DecodeError> {
                pointer(value)
                    .map(|(uri, params)| Self { uri, params })
                    .ok_or_else(Self::malformed)
            }

            fn encode(&self) -> String {
                let mut out = format!("<{}>", text(self.uri));
                self.params.encode(&mut out);
                out
            }
        }
    )+};
}

pointers! {
    /// A ring tone that the caller or a server would like.
    ///
    /// Spec: RFC 3261 §20.4
    AlertInfo
    /// A card, an icon or another word on the caller or callee.
    ///
    /// Spec: RFC 3261 §20.9
    CallInfo
    /// More on an error.
    ///
    /// Spec: RFC 3261 §20.18
    ErrorInfo
}

impl<'a> CallInfo<'a> {
    /// `icon`, `info`, `card`, `list-management` or another word.
    pub fn purpose(&self) -> Option<&'a [u8]> {
        self.params.get("purpose")
    }
}

/// `<uri>;params`.
fn pointer(value: &[u8]) -> Option<(&[u8], Params<'_>)> {
    let rest = scan::trim(value).strip_prefix(b"<")?;
    let (uri, params) = scan::split_once(rest, b'>')?;
    let stray = |octet: &u8| *octet <= b' ' || matches!(octet, 0x7f | b'<' | b'"');
    let params = scan::trim(params);
    let fits = !uri.is_empty()
        && !uri.iter().any(stray)
        && matches!(params.first(), None | Some(b';'))
        && scan::quotes_close(params);
    fits.then(|| (uri, Params::of_header(params)))
}
