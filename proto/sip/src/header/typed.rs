//! What all typed headers have in common: how to ask a message for one, and how to write one.

use crate::header::Name;
use crate::{DecodeError, Message, scan};

/// A header whose value this house takes apart.
pub trait Typed<'a>: Sized {
    /// Its name.
    const NAME: Name;

    /// Reads one value. Errors: [`DecodeError::Header`] with the name.
    fn decode(value: &'a [u8]) -> Result<Self, DecodeError>;

    /// The value in our spelling, free of line breaks.
    fn encode(&self) -> String;

    /// The error of this header.
    fn malformed() -> DecodeError {
        DecodeError::Header(Self::NAME)
    }
}

impl<'a> Message<'a> {
    /// The one value of a header that may stand once; `None` when it is not there. Errors: a
    /// malformed value, or a second line of that name.
    pub fn read<T: Typed<'a>>(&self) -> Result<Option<T>, DecodeError> {
        let mut lines = self.all(T::NAME);
        let Some(value) = lines.next() else { return Ok(None) };
        if lines.next().is_some() {
            return Err(DecodeError::Duplicate(T::NAME));
        }
        T::decode(value).map(Some)
    }

    /// As [`read`](Self::read), of a header that must be there.
    pub fn need<T: Typed<'a>>(&self) -> Result<T, DecodeError> {
        self.read()?.ok_or(DecodeError::Missing(T::NAME))
    }

    /// Every value of a header that may repeat, over all its lines, in order.
    pub fn read_all<T: Typed<'a>>(&self) -> impl Iterator<Item = Result<T, DecodeError>> {
        self.values(T::NAME).map(T::decode)
    }
}

/// Octets as text for a header: line breaks and other control characters become spaces.
pub(crate) fn text(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A value that is one token.
pub(crate) fn one_token(value: &[u8]) -> Option<&[u8]> {
    Some(scan::trim(value)).filter(|value| scan::is_token_text(value))
}

/// A number of at most 32 bits; unlike [`seconds`](crate::header::seconds) it does not saturate.
pub(crate) fn exact(bytes: &[u8]) -> Option<u32> {
    scan::number(bytes).and_then(|number| u32::try_from(number).ok())
}

macro_rules! numbers {
    ($($(#[$doc:meta])* $kind:ident)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $kind(pub u32);

        impl Typed<'_> for $kind {
            const NAME: Name = Name::$kind;

            fn decode(value: &[u8]) -> Result<Self, DecodeError> {
                crate::header::seconds(value).map(Self).ok_or_else(Self::malformed)
            }

            fn encode(&self) -> String {
                self.0.to_string()
            }
        }
    )+};
}

numbers! {
    /// Seconds after which a flow must show life.
    ///
    /// Spec: RFC 5626 §4.4.1
    FlowTimer
    /// The shortest time that a registrar or notifier grants; goes with a 423.
    ///
    /// Spec: RFC 3261 §20.23
    MinExpires
    /// The shortest session interval that a hop bears; goes with a 422. Saturates.
    ///
    /// Spec: RFC 4028 §5
    MinSe
}
