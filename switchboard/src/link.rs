//! Links that answer without a login because they are signed, and only until they expire.

use hmac::{Hmac, Mac};
use sha2::Sha256;
use types::UnixTime;

/// `path?exp=…&sig=…`: signs a path until a moment.
pub fn sign(key: &[u8; 32], path: &str, until: UnixTime) -> String {
    let exp = until.as_seconds();
    format!("{path}?exp={exp}&sig={}", signature(key, path, exp))
}

/// Whether a signature fits and has not expired.
pub fn verify(key: &[u8; 32], path: &str, exp: &str, sig: &str, unix: UnixTime) -> bool {
    let Ok(seconds) = exp.parse::<u64>() else { return false };
    seconds >= unix.as_seconds() && same(signature(key, path, seconds).as_bytes(), sig.as_bytes())
}

/// A token that proves knowledge of `what`, for one purpose: 128 bits in hex.
pub fn token(key: &[u8; 32], purpose: &str, what: &str) -> String {
    signature(key, &format!("{purpose}\n{what}"), 0)
}

/// The secret of an app's key of this name.
pub fn key_secret(key: &[u8; 32], name: &str) -> String {
    token(key, "key of an app", name)
}

/// Compares without telling by its time where the difference is.
pub fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |sum, (x, y)| sum | (x ^ y)) == 0
}

fn signature(key: &[u8; 32], path: &str, exp: u64) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return String::new() };
    mac.update(path.as_bytes());
    mac.update(&exp.to_be_bytes());
    let octets = mac.finalize().into_bytes();
    octets.iter().take(16).map(|octet| format!("{octet:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_of_a_key_is_its_own() {
        let secret = key_secret(&[3; 32], "SK1");
        assert_eq!(secret.len(), 32);
        assert_ne!(secret, key_secret(&[3; 32], "SK2"));
        assert_ne!(secret, key_secret(&[4; 32], "SK1"));
    }

    #[test]
    fn a_link_answers_until_it_expires_and_not_for_another_path() {
        let key = [3; 32];
        let link = sign(&key, "/v1/images/ab", UnixTime::seconds(100));
        let (path, query) = link.split_once('?').unwrap();
        let part = |name: &str| {
            query.split('&').find_map(|pair| pair.strip_prefix(name)).unwrap().to_owned()
        };
        let (exp, sig) = (part("exp="), part("sig="));
        assert!(verify(&key, path, &exp, &sig, UnixTime::seconds(100)));
        assert!(!verify(&key, path, &exp, &sig, UnixTime::seconds(101)));
        assert!(!verify(&key, "/v1/images/cd", &exp, &sig, UnixTime::seconds(1)));
        assert!(!verify(&key, path, "200", &sig, UnixTime::seconds(1)));
    }
}
