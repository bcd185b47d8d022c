//! Passwords of others and keys of media, as they are kept: of no use without the node's key.
//!
//! Form: one octet of version, twelve of nonce, then AES-256-GCM over the text with its tag.

use std::borrow::Cow;

use aes_gcm::aead::{Aead, KeyInit};
use aes_gcm::{Aes256Gcm, Nonce};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use types::Rng;

const VERSION: u8 = 1;
const NONCE: usize = 12;

/// Seals some octets; `rng` makes the nonce.
pub fn seal(key: &[u8; 32], plain: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut nonce = [0; NONCE];
    rng.fill(&mut nonce);
    with_nonce(key, plain, nonce)
}

fn with_nonce(key: &[u8; 32], plain: &[u8], nonce: [u8; NONCE]) -> Vec<u8> {
    let sealed = Aes256Gcm::new(key.into()).encrypt(Nonce::from_slice(&nonce), plain);
    let mut out = vec![VERSION];
    out.extend_from_slice(&nonce);
    out.extend(sealed.unwrap_or_default()); // It fails only beyond 64 GB.
    out
}

/// Opens what [`seal`] made; `None` with another key, or when it was changed.
pub fn open(key: &[u8; 32], sealed: &[u8]) -> Option<Vec<u8>> {
    let rest = sealed.strip_prefix(&[VERSION])?;
    let (nonce, text) = rest.split_at_checked(NONCE)?;
    Aes256Gcm::new(key.into()).decrypt(Nonce::from_slice(nonce), text).ok()
}

/// A SIP message or a description as it may be kept: sealed when keys of media stand in it. The same octets give the same, so
/// no chance is wanted.
pub(crate) fn keyless<'a>(key: &[u8; 32], words: &'a [u8]) -> Cow<'a, [u8]> {
    const MARK: &[u8] = b"a=crypto:";
    if !words.windows(MARK.len()).any(|part| part == MARK) {
        return Cow::Borrowed(words);
    }
    let mut nonce = [0; NONCE];
    if let Ok(mut mac) = <Hmac<Sha256> as Mac>::new_from_slice(key) {
        mac.update(words);
        let proof = mac.finalize().into_bytes();
        nonce.iter_mut().zip(proof).for_each(|(octet, made)| *octet = made);
    }
    Cow::Owned(with_nonce(key, words, nonce))
}

/// What [`keyless`] kept. Words begin with a letter, so a version tells what was sealed.
pub(crate) fn unsealed(key: &[u8; 32], kept: Vec<u8>) -> Vec<u8> {
    if kept.first() == Some(&VERSION) { open(key, &kept).unwrap_or_default() } else { kept }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_key_opens() {
        let mut rng = Rng::from_number(1);
        let sealed = seal(&[1; 32], b"secret", &mut rng);
        assert!(!sealed.windows(6).any(|part| part == b"secret"));
        assert_eq!(open(&[1; 32], &sealed).as_deref(), Some(&b"secret"[..]));
        assert_ne!(sealed, seal(&[1; 32], b"secret", &mut rng));
        assert_eq!(open(&[2; 32], &sealed), None);
        for place in 0..sealed.len() {
            let mut broken = sealed.clone();
            broken[place] ^= 1;
            assert_eq!(open(&[1; 32], &broken), None);
            assert_eq!(open(&[1; 32], &sealed[..place]), None);
        }
    }

    #[test]
    fn keys_of_media_are_not_kept_in_the_clear() {
        let key = [3; 32];
        let plain = b"v=0\r\nm=audio 1 RTP/SAVP 0\r\na=crypto:1 X inline:hush\r\n";
        let kept = keyless(&key, plain).into_owned();
        assert!(!kept.windows(4).any(|part| part == b"hush"));
        assert_eq!(kept, keyless(&key, plain).into_owned());
        assert_eq!(unsealed(&key, kept), plain);
        assert_eq!(keyless(&key, b"v=0"), &b"v=0"[..]);
        assert_eq!(unsealed(&key, b"v=0".to_vec()), b"v=0");
    }
}
