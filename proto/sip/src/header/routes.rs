//! Headers whose values are ways: Path, Service-Route, Route, Record-Route.

use super::typed::Typed;
use super::{Name, NameAddr};
use crate::{DecodeError, Uri};

macro_rules! routes {
    ($($(#[$doc:meta])* $kind:ident)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $kind<'a> {
            /// The value as it came.
            pub address: NameAddr<'a>,
            /// The address of the hop, taken apart.
            pub uri: Uri<'a>,
        }

        impl<'a> Typed<'a> for $kind<'a> {
            const NAME: Name = Name::$kind;

            fn decode(value: &'a [u8]) -> Result<Self, DecodeError> {
                let address = NameAddr::decode(value).map_err(|_| Self::malformed())?;
                let uri = address.uri().map_err(|_| Self::malformed())?;
                Ok(Self { address, uri })
            }

            fn encode(&self) -> String {
                self.address.encode()
            }
        }
    )+};
}

routes! {
    /// A hop between a registrar and a phone.
    ///
    /// Spec: RFC 3327 §4
    Path
    /// A hop that wants to stay on the way of a dialog.
    ///
    /// Spec: RFC 3261 §20.30
    RecordRoute
    /// A hop that a request must pass.
    ///
    /// Spec: RFC 3261 §20.34
    Route
    /// A hop that requests of a registered phone must pass.
    ///
    /// Spec: RFC 3608 §5
    ServiceRoute
}
