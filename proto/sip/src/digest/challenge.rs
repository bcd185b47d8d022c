//! What a server asks for, and what a client answers.

use std::borrow::Cow;

use super::params::{self, Malformed, once, quote};
use super::{Algorithm, Count, Ha1, Target, ha1, response};
use crate::DecodeError;

/// One `WWW-Authenticate` or `Proxy-Authenticate` value. Send one header per algorithm, strongest
/// first (RFC 8760 §2.3); they may share the nonce.
///
/// Spec: RFC 7616 §3.3
pub fn challenge_header(realm: &str, nonce: &str, algorithm: Algorithm, stale: bool) -> String {
    let mut out = b"Digest realm=".to_vec();
    quote(&mut out, realm.as_bytes());
    out.extend_from_slice(b", nonce=");
    quote(&mut out, nonce.as_bytes());
    out.extend_from_slice(b", algorithm=");
    out.extend_from_slice(algorithm.name().as_bytes());
    out.extend_from_slice(b", qop=\"auth\"");
    if stale {
        out.extend_from_slice(b", stale=true");
    }
    // Made of text and ASCII only.
    String::from_utf8_lossy(&out).into_owned()
}

/// A challenge as a client reads it.
///
/// Spec: RFC 7616 §3.3
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge<'a> {
    /// Which password is asked for.
    pub realm: Cow<'a, [u8]>,
    /// To be hashed and sent back.
    pub nonce: Cow<'a, [u8]>,
    /// To be sent back.
    pub opaque: Option<Cow<'a, [u8]>>,
    /// `None`: one that we do not have. Without the parameter it is MD5.
    pub algorithm: Option<Algorithm>,
    /// Quality of protection on offer.
    pub offer: Offer,
    /// The password was right, only the nonce was too old.
    pub stale: bool,
}

/// What protection a challenge offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// None: a server of the time of RFC 2069.
    Absent,
    /// `auth`, perhaps among others.
    Auth,
    /// Only such as we do not have.
    Unknown,
}

impl<'a> Challenge<'a> {
    /// Reads a header value. Errors: not `Digest`, a missing, repeated or malformed parameter.
    pub fn decode(value: &'a [u8]) -> Result<Self, DecodeError> {
        Self::read(value).map_err(|Malformed| DecodeError::Digest)
    }

    fn read(value: &'a [u8]) -> Result<Self, Malformed> {
        let (mut realm, mut nonce, mut opaque) = (None, None, None);
        let (mut algorithm, mut qop, mut stale) = (None, None, None);
        params::each(value, |name, text| match name.to_ascii_lowercase().as_slice() {
            b"realm" => once(&mut realm, text),
            b"nonce" => once(&mut nonce, text),
            b"opaque" => once(&mut opaque, text),
            b"algorithm" => once(&mut algorithm, Algorithm::parse(&text)),
            b"qop" => once(&mut qop, offer(&text)),
            b"stale" => once(&mut stale, text.eq_ignore_ascii_case(b"true")),
            _ => Ok(()), // Extensions are ignored (RFC 7616 §3.3).
        })?;
        Ok(Self {
            realm: realm.ok_or(Malformed)?,
            nonce: nonce.ok_or(Malformed)?,
            opaque,
            algorithm: algorithm.unwrap_or(Some(Algorithm::Md5)),
            offer: qop.unwrap_or(Offer::Absent),
            stale: stale.unwrap_or(false),
        })
    }

    fn is_answerable(&self) -> bool {
        self.algorithm.is_some() && self.offer != Offer::Unknown
    }
}

fn offer(list: &[u8]) -> Offer {
    let auth =
        list.split(|byte| *byte == b',').any(|qop| qop.trim_ascii().eq_ignore_ascii_case(b"auth"));
    if auth { Offer::Auth } else { Offer::Unknown }
}

/// The challenge to answer: the one with the strongest algorithm that we have; of equals the first.
/// The order of the server does not count: whoever could reorder its challenges could weaken us.
///
/// Spec: RFC 8760 §2.4
pub fn strongest<'a>(challenges: impl IntoIterator<Item = Challenge<'a>>) -> Option<Challenge<'a>> {
    challenges
        .into_iter()
        .filter(Challenge::is_answerable)
        .reduce(|best, other| if other.algorithm > best.algorithm { other } else { best })
}

/// What a client knows for one realm.
#[derive(Clone, Copy, Debug)]
pub struct Login<'a> {
    /// Name of the user.
    pub user: &'a [u8],
    /// The password, or its hash.
    pub password: Password<'a>,
    /// The realm it is for: no other gets an answer. `None` only where every peer is trusted.
    pub realm: Option<&'a [u8]>,
}

/// A password as it is at hand.
#[derive(Clone, Copy)]
pub enum Password<'a> {
    /// Already hashed for one algorithm.
    Hashed(Ha1),
    /// As typed.
    Text(&'a [u8]),
}

impl std::fmt::Debug for Password<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(secret)")
    }
}

/// The `Authorization` or `Proxy-Authorization` value for a challenge.
///
/// `nc` counts the uses of this nonce from 1. `None`: an algorithm or protection we do not have, a
/// password hashed for another algorithm, or a realm that the login is not for.
///
/// Spec: RFC 7616 §3.4
pub fn answer(
    challenge: &Challenge<'_>,
    login: &Login<'_>,
    target: Target<'_>,
    cnonce: &[u8],
    nc: u32,
) -> Option<Vec<u8>> {
    let algorithm = challenge.algorithm?;
    if !challenge.is_answerable() || login.realm.is_some_and(|realm| *realm != *challenge.realm) {
        return None;
    }
    let secret = match login.password {
        Password::Hashed(ha1) => Some(ha1).filter(|ha1| ha1.algorithm() == algorithm)?,
        Password::Text(text) => ha1(algorithm, login.user, &challenge.realm, text),
    };
    let nc = format!("{nc:08x}");
    let count = (challenge.offer == Offer::Auth).then_some(Count { nc: nc.as_bytes(), cnonce });
    let proof = response(&secret, &challenge.nonce, count, target).hex();

    let mut out = b"Digest".to_vec();
    let mut quoted = |separator: &str, name: &str, text: &[u8]| {
        out.extend_from_slice(separator.as_bytes());
        out.extend_from_slice(name.as_bytes());
        out.push(b'=');
        quote(&mut out, text);
    };
    quoted(" ", "username", login.user);
    quoted(", ", "realm", &challenge.realm);
    quoted(", ", "nonce", &challenge.nonce);
    quoted(", ", "uri", target.uri);
    quoted(", ", "response", proof.as_bytes());
    if let Some(opaque) = &challenge.opaque {
        quoted(", ", "opaque", opaque);
    }
    if count.is_some() {
        quoted(", ", "cnonce", cnonce);
        out.extend_from_slice(b", qop=auth, nc=");
        out.extend_from_slice(nc.as_bytes());
    }
    out.extend_from_slice(b", algorithm=");
    out.extend_from_slice(algorithm.name().as_bytes());
    Some(out)
}
