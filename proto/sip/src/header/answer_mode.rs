//! Answer-Mode and Priv-Answer-Mode: whether a phone should answer by itself.

use super::typed::{Typed, text};
use super::{Name, head, tail};
use crate::{DecodeError, scan};

/// How a call should be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answering<'a> {
    /// At once, by the phone.
    Auto,
    /// By a person.
    Manual,
    /// A word that this house does not know.
    Other(&'a [u8]),
}

macro_rules! modes {
    ($($(#[$doc:meta])* $kind:ident)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $kind<'a> {
            /// How.
            pub answering: Answering<'a>,
            /// Whether to refuse the call when that cannot be had.
            pub required: bool,
        }

        impl<'a> Typed<'a> for $kind<'a> {
            const NAME: Name = Name::$kind;

            fn decode(value: &'a [u8]) -> Result<Self, DecodeError> {
                let answering = match head(value) {
                    word if word.eq_ignore_ascii_case(b"Auto") => Answering::Auto,
                    word if word.eq_ignore_ascii_case(b"Manual") => Answering::Manual,
                    word if scan::is_token_text(word) => Answering::Other(word),
                    _ => return Err(Self::malformed()),
                };
                Ok(Self { answering, required: tail(value).has("require") })
            }

            fn encode(&self) -> String {
                let mut out = match self.answering {
                    Answering::Auto => "Auto".into(),
                    Answering::Manual => "Manual".into(),
                    Answering::Other(word) => text(word),
                };
                if self.required {
                    out.push_str(";require");
                }
                out
            }
        }
    )+};
}

modes! {
    /// What the caller would like; the answer says what was done.
    ///
    /// Spec: RFC 5373 §4.1
    AnswerMode
    /// The same for callers with a right to it, over whatever the callee has set.
    ///
    /// Spec: RFC 5373 §4.1
    PrivAnswerMode
}
