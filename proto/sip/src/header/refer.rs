//! Refer-To, Referred-By and Refer-Sub.

use std::borrow::Cow;

use super::typed::Typed;
use super::{Name, NameAddr, Replaces, head};
use crate::{DecodeError, Method, Uri, write};

/// Where the receiver of a REFER is asked to go. Its address can be read.
///
/// Spec: RFC 3515 §2.1
#[derive(Clone, Copy, Debug)]
pub struct ReferTo<'a> {
    /// The value as it came.
    pub address: NameAddr<'a>,
    /// Its address, taken apart.
    pub uri: Uri<'a>,
}

impl<'a> ReferTo<'a> {
    /// The method of the request that is asked for; INVITE when none is named.
    ///
    /// Spec: RFC 3261 §19.1.1, RFC 3515 §2.4.2
    pub fn method(&self) -> Method<'a> {
        self.uri.params.get("method").map_or(Method::Invite, Method::from_bytes)
    }

    /// The value of the Replaces that the new call shall carry, unescaped: an attended transfer.
    /// Read it with [`Replaces::decode`].
    ///
    /// Spec: RFC 3891 §4, §7.1
    pub fn replaces(&self) -> Option<Cow<'a, [u8]>> {
        self.uri.header(Name::Replaces)
    }

    /// The address to send the new request to: without method and headers, which are not part of a
    /// Request-URI.
    ///
    /// Spec: RFC 3261 §19.1.5
    pub fn target(&self) -> Vec<u8> {
        self.uri.for_request()
    }
}

impl<'a> Typed<'a> for ReferTo<'a> {
    const NAME: Name = Name::ReferTo;

    fn decode(value: &'a [u8]) -> Result<Self, DecodeError> {
        let address = NameAddr::decode(value).map_err(|_| Self::malformed())?;
        let uri = address.uri().map_err(|_| Self::malformed())?;
        Ok(Self { address, uri })
    }

    fn encode(&self) -> String {
        self.address.encode()
    }
}

/// The value of a Refer-To for this address; with `replaces`, for an attended transfer.
///
/// Spec: RFC 3515 §2.1, RFC 3891 §4
pub fn refer_to(uri: &str, replaces: Option<&Replaces<'_>>) -> String {
    let Some(replaces) = replaces else { return write::name_addr("", uri) };
    let value = write::escape_header(replaces.encode().as_bytes());
    let separator = if uri.contains('?') { '&' } else { '?' };
    write::name_addr("", &format!("{uri}{separator}Replaces={value}"))
}

/// Who asked for this request by a REFER.
///
/// Spec: RFC 3892 §3
#[derive(Clone, Copy, Debug)]
pub struct ReferredBy<'a> {
    /// Who.
    pub address: NameAddr<'a>,
}

impl<'a> ReferredBy<'a> {
    /// The part of the body that proves it, if there is one.
    pub fn cid(&self) -> Option<&'a [u8]> {
        self.address.params.get("cid")
    }
}

impl<'a> Typed<'a> for ReferredBy<'a> {
    const NAME: Name = Name::ReferredBy;

    fn decode(value: &'a [u8]) -> Result<Self, DecodeError> {
        let address = NameAddr::decode(value).map_err(|_| Self::malformed())?;
        Ok(Self { address })
    }

    fn encode(&self) -> String {
        self.address.encode()
    }
}

/// Whether a REFER wants to be told of its progress.
///
/// Spec: RFC 4488 §4
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReferSub(pub bool);

impl Typed<'_> for ReferSub {
    const NAME: Name = Name::ReferSub;

    fn decode(value: &[u8]) -> Result<Self, DecodeError> {
        match head(value) {
            value if value.eq_ignore_ascii_case(b"true") => Ok(Self(true)),
            value if value.eq_ignore_ascii_case(b"false") => Ok(Self(false)),
            _ => Err(Self::malformed()),
        }
    }

    fn encode(&self) -> String {
        self.0.to_string()
    }
}
