//! The proof that a client sends, read and checked by a server.

use std::borrow::Cow;

use super::params::{self, Malformed, once};
use super::{Algorithm, Count, Ha1, Hash, Target, response};
use crate::uri::unescape;
use crate::{DecodeError, Scheme, Uri};

/// An `Authorization` or `Proxy-Authorization` value.
///
/// Spec: RFC 7616 §3.4
#[derive(Clone)]
pub struct Credentials<'a> {
    /// Whose password is proved.
    pub username: Cow<'a, [u8]>,
    /// Realm of the challenge that is answered.
    pub realm: Cow<'a, [u8]>,
    /// Nonce of the challenge that is answered.
    pub nonce: Cow<'a, [u8]>,
    /// The Request-URI as the client sent it.
    pub uri: Cow<'a, [u8]>,
    /// `None`: one that we do not have. Without the parameter it is MD5.
    pub algorithm: Option<Algorithm>,
    /// Of the challenge, unchanged.
    pub opaque: Option<Cow<'a, [u8]>>,
    /// Quality of protection.
    pub qop: Qop<'a>,
    response: Hash,
}

/// What a proof covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Qop<'a> {
    /// The old form of RFC 2069: nothing counts the uses of a nonce. [`Credentials::verify`]
    /// refuses it.
    Absent,
    /// Method and URI, with a count.
    Auth {
        /// How often this nonce was used, the first time being 1.
        nc: u32,
        /// `nc` as sent, which is what the hash covers.
        nc_text: Cow<'a, [u8]>,
        /// The client's own nonce.
        cnonce: Cow<'a, [u8]>,
    },
    /// One that we never offer.
    Unknown,
}

impl<'a> Credentials<'a> {
    /// Reads a header value. Errors: not `Digest`, a missing, repeated or malformed parameter.
    pub fn decode(value: &'a [u8]) -> Result<Self, DecodeError> {
        let mut raw = Raw::default();
        params::each(value, |name, text| raw.take(name, text))
            .and_then(|()| raw.finish())
            .map_err(|Malformed| DecodeError::Digest)
    }

    /// Whether the proof fits the password and the request. `None` stands for an unknown user: it
    /// takes the same time and never fits.
    ///
    /// The form without `qop` is refused: every phone of the last twenty years sends it when it is
    /// offered, and without it a proof could be used again.
    pub fn verify(&self, ha1: Option<&Ha1>, target: Target<'_>) -> bool {
        let algorithm = self.algorithm.unwrap_or(Algorithm::Sha256);
        // Not a secret; so it must not be able to prove anything: `known` below.
        let decoy = Ha1 { algorithm, hash: Hash::of(&[0; super::HASH_MAX]) };
        let known = ha1.is_some_and(|ha1| Some(ha1.algorithm) == self.algorithm);
        let ha1 = ha1.filter(|_| known).unwrap_or(&decoy);
        let Qop::Auth { nc_text, cnonce, .. } = &self.qop else { return false };
        let count = Some(Count { nc: nc_text, cnonce });
        let signed = Target { method: target.method, uri: &self.uri };
        let expected = response(ha1, &self.nonce, count, signed);
        let fits = expected.equals(&self.response);
        fits && known && uri_matches(&self.uri, target.uri)
    }
}

#[derive(Default)]
struct Raw<'a> {
    username: Option<Cow<'a, [u8]>>,
    realm: Option<Cow<'a, [u8]>>,
    nonce: Option<Cow<'a, [u8]>>,
    uri: Option<Cow<'a, [u8]>>,
    response: Option<Cow<'a, [u8]>>,
    algorithm: Option<Cow<'a, [u8]>>,
    cnonce: Option<Cow<'a, [u8]>>,
    opaque: Option<Cow<'a, [u8]>>,
    qop: Option<Cow<'a, [u8]>>,
    nc: Option<Cow<'a, [u8]>>,
}

impl<'a> Raw<'a> {
    fn take(&mut self, name: &[u8], text: Cow<'a, [u8]>) -> Result<(), Malformed> {
        match name.to_ascii_lowercase().as_slice() {
            b"username" => once(&mut self.username, text),
            b"realm" => once(&mut self.realm, text),
            b"nonce" => once(&mut self.nonce, text),
            b"uri" => once(&mut self.uri, text),
            b"response" => once(&mut self.response, text),
            b"algorithm" => once(&mut self.algorithm, text),
            b"cnonce" => once(&mut self.cnonce, text),
            b"opaque" => once(&mut self.opaque, text),
            b"qop" => once(&mut self.qop, text),
            b"nc" => once(&mut self.nc, text),
            _ => Ok(()), // Extensions are ignored (RFC 7616 §3.4).
        }
    }

    fn finish(self) -> Result<Credentials<'a>, Malformed> {
        let qop = match (self.qop, self.nc, self.cnonce) {
            (None, _, _) => Qop::Absent,
            (Some(qop), Some(nc_text), Some(cnonce)) if qop.eq_ignore_ascii_case(b"auth") => {
                Qop::Auth { nc: count(&nc_text)?, nc_text, cnonce }
            }
            (Some(qop), _, _) if qop.eq_ignore_ascii_case(b"auth") => return Err(Malformed),
            (Some(_), _, _) => Qop::Unknown,
        };
        let algorithm = match self.algorithm {
            Some(token) => Algorithm::parse(&token),
            None => Some(Algorithm::Md5),
        };
        Ok(Credentials {
            username: self.username.ok_or(Malformed)?,
            realm: self.realm.ok_or(Malformed)?,
            nonce: self.nonce.ok_or(Malformed)?,
            uri: self.uri.ok_or(Malformed)?,
            algorithm,
            opaque: self.opaque,
            qop,
            response: Hash::from_hex(&self.response.ok_or(Malformed)?).ok_or(Malformed)?,
        })
    }
}

/// Exactly eight hexadecimal digits.
fn count(text: &[u8]) -> Result<u32, Malformed> {
    match super::from_hex(text).as_deref() {
        Some([a, b, c, d]) => Ok(u32::from_be_bytes([*a, *b, *c, *d])),
        _ => Err(Malformed),
    }
}

/// Whether the URI in a proof names what the Request-URI names.
///
/// Phones write the two a little differently (a default port, a parameter): scheme, user, host and
/// port must be the same, and parameters may differ, since nothing is decided by them here.
///
/// Spec: RFC 3261 §22.4, RFC 7616 §3.4.6
pub fn uri_matches(signed: &[u8], request_uri: &[u8]) -> bool {
    if signed == request_uri {
        return true;
    }
    let (Ok(signed), Ok(sent)) = (Uri::decode(signed), Uri::decode(request_uri)) else {
        return false;
    };
    let port = |uri: &Uri<'_>| match uri.scheme {
        Scheme::Sip => Some(uri.port.unwrap_or(5060)),
        Scheme::Sips => Some(uri.port.unwrap_or(5061)),
        Scheme::Tel | Scheme::Other => None, // Compared octet by octet, above.
    };
    signed.scheme == sent.scheme
        && port(&signed).is_some_and(|signed| port(&sent) == Some(signed))
        && signed.user.map(unescape) == sent.user.map(unescape)
        && signed.host.eq_ignore_ascii_case(sent.host)
}
