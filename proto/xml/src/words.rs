//! Words of which a document knows a few.

/// An enum whose values are words of a document.
macro_rules! words {
    ($(#[$doc:meta])* $kind:ident in $what:literal {
        $($(#[$value:meta])* $variant:ident = $text:literal,)+
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $kind { $($(#[$value])* $variant,)+ }

        impl $kind {
            /// Its word.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// The value of a word.
            pub(crate) fn read(word: &str) -> Result<Self, $crate::DecodeError> {
                match word.trim() {
                    $($text => Ok(Self::$variant),)+
                    _ => Err($crate::DecodeError::Value($what)),
                }
            }
        }
    };
}

pub(crate) use words;

use crate::{DecodeError, Element};

/// The root of a document, if it is of this kind.
pub(crate) fn root(
    bytes: &[u8],
    namespace: &str,
    name: &'static str,
) -> Result<Element, DecodeError> {
    let root = Element::decode(bytes)?;
    if root.is(namespace, name) { Ok(root) } else { Err(DecodeError::Root(name)) }
}

/// An attribute that must be there.
pub(crate) fn need(element: &Element, name: &'static str) -> Result<String, DecodeError> {
    element.attribute(name).map(str::to_owned).ok_or(DecodeError::Missing(name))
}

/// A number that may be there.
pub(crate) fn number(text: Option<&str>, what: &'static str) -> Result<Option<u32>, DecodeError> {
    let Some(text) = text.map(str::trim) else { return Ok(None) };
    let plain = !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit());
    let number = text.parse().ok().filter(|_| plain);
    number.map(Some).ok_or(DecodeError::Value(what))
}

/// Whether a document with this `state` is whole.
pub(crate) fn is_full(element: &Element) -> Result<bool, DecodeError> {
    match element.attribute("state") {
        None | Some("full") => Ok(true),
        Some("partial") => Ok(false),
        Some(_) => Err(DecodeError::Value("state")),
    }
}

/// The word for it.
pub(crate) fn full(full: bool) -> &'static str {
    if full { "full" } else { "partial" }
}
