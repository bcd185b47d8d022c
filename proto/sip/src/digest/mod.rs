//! Digest: proof of a password without sending it.
//!
//! Picture     server: Nonces::mint -> challenge_header .. Credentials::decode -> Nonces::admit
//!             client: Challenge::decode -> strongest -> answer
//! Rules       A response counts once: its nonce is ours, young, minted for this source, and its nc
//!             is new. The digest uri names what the Request-URI names. Hashes are compared in
//!             constant time, and an unknown user costs what a known one does.
//! Limits      VALUE_MAX, PARAMS_MAX for what is read; NONCE_LIFE, NONCES_MAX for what is
//!             remembered.
//! Not here    `-sess` algorithms, `auth-int` and `userhash`: never offered, and not met among
//!             phones. Which algorithms are offered, to whom credentials are given, how often we
//!             try again: policy above.
//! Spec        RFC 7616, RFC 8760, RFC 3261 §22

use std::fmt;

use hmac::digest::Digest;

mod challenge;
mod credentials;
mod nonces;
mod params;

pub use challenge::{Challenge, Login, Offer, Password, answer, challenge_header, strongest};
pub use credentials::{Credentials, Qop, uri_matches};
pub use nonces::{Admission, NONCE_LIFE, NONCES_MAX, NonceVerdict, Nonces};
pub use params::{PARAMS_MAX, VALUE_MAX};

/// The hash functions of RFC 8760, weakest first, so that `max` picks the strongest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// What old phones have.
    Md5,
    /// The one that RFC 8760 asks for.
    Sha256,
    /// SHA-512 cut to 256 bits, with initial values of its own.
    Sha512_256,
}

impl Algorithm {
    /// All of them, strongest first: the order of challenges (RFC 8760 §2.3).
    pub const ALL: [Self; 3] = [Self::Sha512_256, Self::Sha256, Self::Md5];

    /// The token on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
            Self::Sha512_256 => "SHA-512-256",
        }
    }

    /// Reads the token; `None` for those we do not have.
    pub fn parse(token: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|known| token.eq_ignore_ascii_case(known.name().as_bytes()))
    }

    /// The hash of `parts` joined by colons.
    fn hash(self, parts: &[&[u8]]) -> Hash {
        match self {
            Self::Md5 => Hash::of(&joined(md5::Md5::new(), parts)),
            Self::Sha256 => Hash::of(&joined(sha2::Sha256::new(), parts)),
            Self::Sha512_256 => Hash::of(&joined(sha2::Sha512_256::new(), parts)),
        }
    }
}

fn joined<D: Digest>(mut digest: D, parts: &[&[u8]]) -> Vec<u8> {
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            digest.update(b":");
        }
        digest.update(part);
    }
    digest.finalize().to_vec()
}

/// What one request proves: the two parts of it that the hash covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// The method as sent.
    pub method: &'a [u8],
    /// The Request-URI as sent.
    pub uri: &'a [u8],
}

/// The hash of user, realm and password: all that a server needs to keep of a password.
///
/// It is as good as the password within its realm, so it never prints itself.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Ha1 {
    algorithm: Algorithm,
    hash: Hash,
}

impl Ha1 {
    /// Reads what [`hex`](Self::hex) wrote.
    pub fn from_hex(algorithm: Algorithm, text: &[u8]) -> Option<Self> {
        let hash = Hash::from_hex(text)?;
        let length = if algorithm == Algorithm::Md5 { 16 } else { 32 };
        (usize::from(hash.length) == length).then_some(Self { algorithm, hash })
    }

    /// In lower-case hexadecimal, to be stored.
    pub fn hex(&self) -> String {
        self.hash.hex().as_bytes().iter().copied().map(char::from).collect()
    }

    /// The hash function it was made with.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl fmt::Debug for Ha1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ha1({}, secret)", self.algorithm.name())
    }
}

/// Hashes a password.
///
/// Spec: RFC 7616 §3.4.2
pub fn ha1(algorithm: Algorithm, user: &[u8], realm: &[u8], password: &[u8]) -> Ha1 {
    Ha1 { algorithm, hash: algorithm.hash(&[user, realm, password]) }
}

/// A proof of some kind: `None` stands for the old form of RFC 2069, without nc and cnonce.
#[derive(Clone, Copy)]
struct Count<'a> {
    nc: &'a [u8],
    cnonce: &'a [u8],
}

/// The response value.
///
/// Spec: RFC 7616 §3.4.1; RFC 2617 §3.2.2.1 for the form without qop
fn response(ha1: &Ha1, nonce: &[u8], count: Option<Count<'_>>, target: Target<'_>) -> Hash {
    let algorithm = ha1.algorithm;
    let secret = ha1.hash.hex();
    let request = algorithm.hash(&[target.method, target.uri]).hex();
    match count {
        Some(Count { nc, cnonce }) => {
            algorithm.hash(&[secret.as_bytes(), nonce, nc, cnonce, b"auth", request.as_bytes()])
        }
        None => algorithm.hash(&[secret.as_bytes(), nonce, request.as_bytes()]),
    }
}

/// Longest hash in octets.
const HASH_MAX: usize = 32;

/// A hash of 16 or 32 octets; what lies behind `length` is zero.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Hash {
    octets: [u8; HASH_MAX],
    length: u8,
}

impl Hash {
    /// Cuts what is longer, which no algorithm gives.
    fn of(bytes: &[u8]) -> Self {
        let mut octets = [0; HASH_MAX];
        octets.iter_mut().zip(bytes).for_each(|(octet, byte)| *octet = *byte);
        Self { octets, length: bytes.len().min(HASH_MAX) as u8 }
    }

    /// 32 or 64 hexadecimal digits of either case.
    fn from_hex(text: &[u8]) -> Option<Self> {
        let octets = from_hex(text)?;
        matches!(octets.len(), 16 | 32).then(|| Self::of(&octets))
    }

    fn hex(&self) -> Hex {
        let mut digits = [0; 2 * HASH_MAX];
        for (pair, octet) in digits.chunks_exact_mut(2).zip(self.octets) {
            if let [high, low] = pair {
                (*high, *low) = (digit(octet >> 4), digit(octet & 15));
            }
        }
        Hex { digits, length: self.length * 2 }
    }

    /// Takes the same time wherever the first difference lies.
    fn equals(&self, other: &Self) -> bool {
        let difference = self
            .octets
            .iter()
            .zip(other.octets)
            .fold(0, |sum, (ours, theirs)| sum | (ours ^ theirs));
        std::hint::black_box(difference | (self.length ^ other.length)) == 0
    }
}

struct Hex {
    digits: [u8; 2 * HASH_MAX],
    length: u8,
}

impl Hex {
    fn as_bytes(&self) -> &[u8] {
        self.digits.get(..usize::from(self.length)).unwrap_or_default()
    }
}

/// One lower-case hexadecimal digit of a number below 16.
const fn digit(value: u8) -> u8 {
    if value < 10 { b'0' + value } else { b'a' + (value - 10) }
}

/// Octets of an even number of hexadecimal digits.
fn from_hex(text: &[u8]) -> Option<Vec<u8>> {
    let value = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    if !text.len().is_multiple_of(2) || text.len() > 4 * HASH_MAX {
        return None;
    }
    text.chunks_exact(2)
        .map(|pair| match pair {
            [high, low] => Some(value(*high)? << 4 | value(*low)?),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests;
