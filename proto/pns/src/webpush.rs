//! Encryption of Web Push messages: one record, one receiver.
//!
//! Picture     salt 16 | record size 4 | 65 | sender's key 65 | AES-128-GCM(plaintext, 0x02) with tag 16
//! Rules       The sender's key pair and the salt are new for every message and come from outside.
//! Limits      PLAIN_MAX, so that the whole is at most BODY_MAX.
//! Not here    Randomness, the request, who the sender is (vapid).
//! Spec        RFC 8188 §2, RFC 8291 §3, §4

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{ECDH_P256, PrivateKey, UnparsedPublicKey, agree};
use aws_lc_rs::hmac;

/// What every push service must take. Units: octets. Spec: RFC 8030 §7.2
pub const BODY_MAX: usize = 4_096;
/// Largest plaintext. Units: octets. Spec: RFC 8291 §4
pub const PLAIN_MAX: usize = BODY_MAX - HEADER - 1 - TAG;
const SALT: usize = 16;
const POINT: usize = 65;
const HEADER: usize = SALT + 4 + 1 + POINT;
const TAG: usize = 16;
/// One record holds it all.
const RECORD: u32 = BODY_MAX as u32;
/// Marks the last record.
const DELIMITER: u8 = 2;

/// Why a message could not be sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CryptoError {
    /// Sealed for somebody else, or changed on the way.
    #[error("the message does not open with these keys")]
    Forged,
    /// A key that is no point of the curve, no number below its order, or of a wrong length.
    #[error("not a P-256 key")]
    Key,
    /// A body that is no single aes128gcm record.
    #[error("not one aes128gcm record")]
    Malformed,
    /// More than [`PLAIN_MAX`].
    #[error("plaintext over the limit")]
    TooLong,
}

/// Seals `plaintext` for the receiver with the public key `p256dh` and the secret `auth`.
/// `ephemeral_private` and `salt` must never be used again.
pub fn encrypt(
    plaintext: &[u8],
    p256dh: &[u8],
    auth: &[u8],
    ephemeral_private: &[u8; 32],
    salt: [u8; SALT],
) -> Result<Vec<u8>, CryptoError> {
    if plaintext.len() > PLAIN_MAX {
        return Err(CryptoError::TooLong);
    }
    let sender = public_key(ephemeral_private)?;
    let secret = Secret {
        shared: shared(ephemeral_private, p256dh)?,
        auth,
        receiver: p256dh,
        sender: &sender,
    };
    let (key, nonce) = secret.derive(&salt)?;
    let mut record = plaintext.to_vec();
    record.push(DELIMITER);
    key.seal_in_place_append_tag(nonce, Aad::empty(), &mut record)
        .map_err(|_| CryptoError::TooLong)?;
    let mut body = Vec::with_capacity(HEADER + record.len());
    body.extend_from_slice(&salt);
    body.extend_from_slice(&RECORD.to_be_bytes());
    body.push(POINT as u8);
    body.extend_from_slice(&sender);
    body.append(&mut record);
    Ok(body)
}

/// Opens `body` with the receiver's private key and secret.
pub fn decrypt(body: &[u8], private: &[u8; 32], auth: &[u8]) -> Result<Vec<u8>, CryptoError> {
    let (salt, rest) = body.split_first_chunk::<SALT>().ok_or(CryptoError::Malformed)?;
    let (size, rest) = rest.split_first_chunk::<4>().ok_or(CryptoError::Malformed)?;
    let (length, rest) = rest.split_first().ok_or(CryptoError::Malformed)?;
    if usize::from(*length) != POINT {
        return Err(CryptoError::Malformed);
    }
    let (sender, record) = rest.split_at_checked(POINT).ok_or(CryptoError::Malformed)?;
    let record_max = usize::try_from(u32::from_be_bytes(*size)).unwrap_or(usize::MAX);
    if record.len() > record_max || record.len() <= TAG || body.len() > BODY_MAX {
        return Err(CryptoError::Malformed);
    }
    let receiver = public_key(private)?;
    let secret = Secret { shared: shared(private, sender)?, auth, receiver: &receiver, sender };
    let (key, nonce) = secret.derive(salt)?;
    let mut record = record.to_vec();
    let opened =
        key.open_in_place(nonce, Aad::empty(), &mut record).map_err(|_| CryptoError::Forged)?;
    // Padding is zeros after the delimiter.
    let end = opened.iter().rposition(|byte| *byte != 0).ok_or(CryptoError::Malformed)?;
    match opened.split_at_checked(end) {
        Some((plain, [DELIMITER, ..])) => Ok(plain.to_vec()),
        Some(_) | None => Err(CryptoError::Malformed),
    }
}

/// The public key of a private one, uncompressed: 65 octets.
pub fn public_key(private: &[u8; 32]) -> Result<Vec<u8>, CryptoError> {
    let key = PrivateKey::from_private_key(&ECDH_P256, private).map_err(|_| CryptoError::Key)?;
    Ok(key.compute_public_key().map_err(|_| CryptoError::Key)?.as_ref().to_vec())
}

fn shared(private: &[u8; 32], public: &[u8]) -> Result<Vec<u8>, CryptoError> {
    if public.len() != POINT {
        return Err(CryptoError::Key);
    }
    let key = PrivateKey::from_private_key(&ECDH_P256, private).map_err(|_| CryptoError::Key)?;
    let peer = UnparsedPublicKey::new(&ECDH_P256, public);
    agree(&key, peer, CryptoError::Key, |secret| Ok(secret.to_vec()))
}

/// What both sides know.
struct Secret<'a> {
    shared: Vec<u8>,
    auth: &'a [u8],
    receiver: &'a [u8],
    sender: &'a [u8],
}

impl Secret<'_> {
    /// Spec: RFC 8291 §3.4
    fn derive(&self, salt: &[u8; SALT]) -> Result<(LessSafeKey, Nonce), CryptoError> {
        let joint = [b"WebPush: info\0", self.receiver, self.sender].concat();
        let ikm = hkdf::<32>(self.auth, &self.shared, &joint);
        let key = hkdf::<16>(salt, &ikm, b"Content-Encoding: aes128gcm\0");
        let nonce = hkdf::<12>(salt, &ikm, b"Content-Encoding: nonce\0");
        let key = UnboundKey::new(&AES_128_GCM, &key).map_err(|_| CryptoError::Key)?;
        Ok((LessSafeKey::new(key), Nonce::assume_unique_for_key(nonce)))
    }
}

/// Extract and expand to one block or less, which is all that is asked here.
///
/// Spec: RFC 5869 §2
fn hkdf<const N: usize>(salt: &[u8], ikm: &[u8], purpose: &[u8]) -> [u8; N] {
    let extracted = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, salt), ikm);
    let key = hmac::Key::new(hmac::HMAC_SHA256, extracted.as_ref());
    let block = hmac::sign(&key, &[purpose, &[1]].concat());
    let mut out = [0; N];
    for (to, from) in out.iter_mut().zip(block.as_ref()) {
        *to = *from;
    }
    out
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use types::Rng;

    use super::*;

    const PLAIN: &[u8] = b"When I grow up, I want to be a watermelon";
    const BODY: &str = "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN";

    fn key(text: &str) -> [u8; 32] {
        URL_SAFE_NO_PAD.decode(text).unwrap().try_into().unwrap()
    }

    fn receiver() -> ([u8; 32], Vec<u8>) {
        let auth = URL_SAFE_NO_PAD.decode("BTBZMqHH6r4Tts7J_aSIgg").unwrap();
        (key("q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94"), auth)
    }

    /// The example of RFC 8291 §5, with its intermediate public keys.
    #[test]
    fn the_published_vector() {
        let sender = key("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw");
        let (private, auth) = receiver();
        let public = public_key(&private).unwrap();
        assert_eq!(
            URL_SAFE_NO_PAD.encode(&public),
            "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
        );
        let salt = URL_SAFE_NO_PAD.decode("DGv6ra1nlYgDCS1FRnbzlw").unwrap().try_into().unwrap();
        let body = encrypt(PLAIN, &public, &auth, &sender, salt).unwrap();
        assert_eq!(URL_SAFE_NO_PAD.encode(&body), BODY);
        assert_eq!(decrypt(&body, &private, &auth).unwrap(), PLAIN);
    }

    #[test]
    fn sizes_at_the_limit() {
        let (private, auth) = receiver();
        let public = public_key(&private).unwrap();
        let plain = vec![b'x'; PLAIN_MAX + 1];
        assert_eq!(PLAIN_MAX, 3_993);
        let body = encrypt(&plain[1..], &public, &auth, &[7; 32], [1; 16]).unwrap();
        assert_eq!(body.len(), BODY_MAX);
        assert_eq!(decrypt(&body, &private, &auth).unwrap().len(), PLAIN_MAX);
        let over = encrypt(&plain, &public, &auth, &[7; 32], [1; 16]);
        assert_eq!(over, Err(CryptoError::TooLong));
    }

    #[test]
    fn bad_keys_are_refused() {
        let (private, auth) = receiver();
        let public = public_key(&private).unwrap();
        let mut off_curve = public.clone();
        off_curve[64] ^= 1;
        for bad in [&public[..64], &off_curve, &[0; 65], &[]] {
            assert_eq!(encrypt(PLAIN, bad, &auth, &[7; 32], [1; 16]), Err(CryptoError::Key));
        }
        assert_eq!(encrypt(PLAIN, &public, &auth, &[0; 32], [1; 16]), Err(CryptoError::Key));
        assert_eq!(encrypt(PLAIN, &public, &auth, &[255; 32], [1; 16]), Err(CryptoError::Key));
    }

    #[test]
    fn a_changed_body_never_opens_and_never_panics() {
        let (private, auth) = receiver();
        let body = URL_SAFE_NO_PAD.decode(BODY).unwrap();
        for end in 0..body.len() {
            assert!(decrypt(&body[..end], &private, &auth).is_err());
        }
        let mut rng = Rng::from_number(8291);
        for _ in 0..500 {
            let mut changed = body.clone();
            let at = rng.below(changed.len() as u64) as usize;
            changed[at] ^= 1 << rng.below(8);
            let opened = decrypt(&changed, &private, &auth);
            // The record size is not authenticated; any that is large enough will do.
            assert!(opened.is_err() || (16..20).contains(&at), "octet {at}");
        }
    }
}
