//! Keys as the services want them.

use std::fmt;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use types::Secret;

use crate::http::random;

/// Tries to draw a private key; a draw fails once in 2^32.
const DRAW_MAX: usize = 8;

/// Who we are towards Web Push services.
#[derive(Clone)]
pub struct Vapid {
    /// How to reach us: `mailto:` or `https:`.
    pub subject: String,
    private_key: Secret<[u8; 32]>,
    public_key: Vec<u8>,
}

impl Vapid {
    /// An identity from its private key in base64url, as it was stored. `None`: not a P-256 key.
    pub fn from_text(subject: &str, private_key: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(private_key.trim_end_matches('=')).ok()?;
        Self::from_bytes(subject, bytes.try_into().ok()?)
    }

    /// A new identity. Make it once and keep it: subscriptions are bound to it.
    pub fn generate(subject: &str) -> Self {
        (0..DRAW_MAX)
            .find_map(|_| Self::from_bytes(subject, random()))
            .expect("one of eight random numbers is below the order of the curve")
    }

    fn from_bytes(subject: &str, private: [u8; 32]) -> Option<Self> {
        let public_key = pns::webpush::public_key(&private).ok()?;
        Some(Self { subject: subject.to_owned(), private_key: Secret::new(private), public_key })
    }

    /// The private key in base64url, to be stored.
    pub fn private_key(&self) -> Secret<String> {
        Secret::new(URL_SAFE_NO_PAD.encode(self.private_key.reveal()))
    }

    /// The public key in base64url: what a browser subscribes with, and `+sip.vapid`.
    pub fn public_key(&self) -> String {
        URL_SAFE_NO_PAD.encode(&self.public_key)
    }

    /// PKCS#8, as the signer wants it.
    pub(crate) fn pkcs8(&self) -> Option<Vec<u8>> {
        let pair = EcdsaKeyPair::from_private_key_and_public_key(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            self.private_key.reveal(),
            &self.public_key,
        )
        .ok()?;
        let der = pair.to_pkcs8v1().ok()?;
        Some(der.as_ref().to_vec())
    }
}

impl fmt::Debug for Vapid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vapid({}, {})", self.subject, self.public_key())
    }
}

/// A new EC key in PEM, as Apple gives out `.p8` files, and its public point.
pub(crate) fn ec_pem() -> Option<(String, Vec<u8>)> {
    use aws_lc_rs::signature::KeyPair as _;
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).ok()?;
    let der = pair.to_pkcs8v1().ok()?;
    Some((pem(der.as_ref()), pair.public_key().as_ref().to_vec()))
}

/// A new RSA key in PEM, as Google's account files hold it, and its public part (PKCS#1).
pub(crate) fn rsa_pem() -> Option<(String, Vec<u8>)> {
    use aws_lc_rs::rsa::{KeyPair, KeySize};
    use aws_lc_rs::signature::KeyPair as _;
    let pair = KeyPair::generate(KeySize::Rsa2048).ok()?;
    let der: Pkcs8V1Der = pair.as_der().ok()?;
    Some((pem(der.as_ref()), pair.public_key().as_ref().to_vec()))
}

/// Spec: RFC 7468 §10
fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut out = String::from("-----BEGIN PRIVATE KEY-----\n");
    for line in text.as_bytes().chunks(64) {
        out.extend(line.iter().map(|byte| char::from(*byte)));
        out.push('\n');
    }
    out.push_str("-----END PRIVATE KEY-----\n");
    out
}
