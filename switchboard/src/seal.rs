//! Passwords of others, as they stand in the store: of no use without the node's key.
//!
//! Form: one octet of version, twelve of nonce, then AES-256-GCM over the text with its tag.

use aes_gcm::aead::{Aead, KeyInit};
use aes_gcm::{Aes256Gcm, Nonce};
use types::Rng;

const VERSION: u8 = 1;
const NONCE: usize = 12;

/// Seals some octets; `rng` makes the nonce.
pub fn seal(key: &[u8; 32], plain: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut nonce = [0; NONCE];
    rng.fill(&mut nonce);
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
}
