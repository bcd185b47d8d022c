//! The session keys of one direction, and what is done with them.

use std::fmt;

use aes::cipher::generic_array::GenericArray;
use aes::cipher::{BlockEncrypt, KeyInit, KeyIvInit, StreamCipher};
use aes::{Aes128, Aes256};
use aes_gcm::aead::AeadInPlace;
use aes_gcm::{Aes128Gcm, Aes256Gcm};
use hmac::{Hmac, Mac};
use sha1::Sha1;

use crate::{CONTROL_CLEAR, ENCRYPTED, Refused, Suite};

/// Octets of the authentication key of HMAC.
const HMAC_KEY: usize = 20;
/// The tag of control is never the short one (RFC 3711 §5.2).
const CONTROL_TAG: usize = 10;

pub(crate) enum Cipher {
    /// Key of the cipher, salt, keyed hash, octets of the tag.
    Counter([u8; 16], [u8; 14], Hmac<Sha1>, usize),
    Gcm128(Box<Aes128Gcm>, [u8; 12]),
    Gcm256(Box<Aes256Gcm>, [u8; 12]),
}

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cipher") // Keys are nobody's business.
    }
}

/// The keys of media and of control.
///
/// Spec: RFC 3711 §4.3, RFC 7714 §11
pub(crate) fn derive(suite: Suite, key: &[u8], salt: &[u8]) -> Option<(Cipher, Cipher)> {
    if key.len() != suite.key() || salt.len() != suite.salt() {
        return None;
    }
    Some((cipher(suite, key, salt, 0)?, cipher(suite, key, salt, 3)?))
}

/// `label`: 0 for media, 3 for control; the next two are the keys that belong to it.
fn cipher(suite: Suite, key: &[u8], salt: &[u8], label: u8) -> Option<Cipher> {
    let (mut own, mut own_salt) = (vec![0; suite.key()], [0; 14]);
    stretch(key, salt, label, &mut own)?;
    stretch(key, salt, label + 2, own_salt.get_mut(..suite.salt())?)?;
    let short = || own_salt.first_chunk::<12>().copied();
    Some(match suite {
        Suite::AeadAes128Gcm => {
            Cipher::Gcm128(Box::new(Aes128Gcm::new_from_slice(&own).ok()?), short()?)
        }
        Suite::AeadAes256Gcm => {
            Cipher::Gcm256(Box::new(Aes256Gcm::new_from_slice(&own).ok()?), short()?)
        }
        Suite::AesCm128HmacSha1Tag32 | Suite::AesCm128HmacSha1Tag80 => {
            let mut proof = [0; HMAC_KEY];
            stretch(key, salt, label + 1, &mut proof)?;
            let mac = <Hmac<Sha1> as Mac>::new_from_slice(&proof).ok()?;
            let tag = if label == 0 { suite.tag() } else { CONTROL_TAG };
            Cipher::Counter(own.try_into().ok()?, own_salt, mac, tag)
        }
    })
}

/// The stream of the cipher under the master key, from a place that the label names.
///
/// Spec: RFC 3711 §4.3.3, RFC 6188 §3
pub(crate) fn stretch(key: &[u8], salt: &[u8], label: u8, out: &mut [u8]) -> Option<()> {
    let mut block = [0; 16];
    for (octet, salt) in block.iter_mut().zip(salt) {
        *octet = *salt;
    }
    *block.get_mut(7)? ^= label;
    for (count, part) in (0u16..).zip(out.chunks_mut(16)) {
        let [h, l] = count.to_be_bytes();
        *block.get_mut(14)? = h;
        *block.get_mut(15)? = l;
        let mut stream = GenericArray::from(block);
        match key.len() {
            16 => Aes128::new_from_slice(key).ok()?.encrypt_block(&mut stream),
            _ => Aes256::new_from_slice(key).ok()?.encrypt_block(&mut stream),
        }
        for (octet, stream) in part.iter_mut().zip(stream) {
            *octet = stream;
        }
    }
    Some(())
}

impl Cipher {
    pub(crate) fn seal_rtp(
        &self,
        packet: &mut Vec<u8>,
        start: usize,
        source: u32,
        index: u64,
    ) -> Result<(), Refused> {
        let (clear, secret) = packet.split_at_mut_checked(start).ok_or(Refused::Malformed)?;
        let nonce = |salt| media_nonce(salt, source, index);
        let tag = match self {
            Self::Counter(key, salt, mac, tag) => {
                count(key, salt, source, index, secret);
                let proof = prove(mac, &[packet, &roll_over(index)]);
                packet.extend(proof.iter().take(*tag));
                return Ok(());
            }
            Self::Gcm128(cipher, salt) => seal(&**cipher, nonce(salt), clear, secret)?,
            Self::Gcm256(cipher, salt) => seal(&**cipher, nonce(salt), clear, secret)?,
        };
        packet.extend_from_slice(&tag);
        Ok(())
    }

    pub(crate) fn open_rtp(
        &self,
        packet: &mut [u8],
        start: usize,
        source: u32,
        index: u64,
    ) -> Result<usize, Refused> {
        let octets = match self {
            Self::Counter(_, _, _, tag) => *tag,
            Self::Gcm128(..) | Self::Gcm256(..) => GCM_TAG,
        };
        let length = packet.len().checked_sub(octets).ok_or(Refused::Malformed)?;
        let (body, tag) = packet.split_at_mut_checked(length).ok_or(Refused::Malformed)?;
        let nonce = |salt| media_nonce(salt, source, index);
        if let Self::Counter(_, _, mac, _) = self {
            same(&prove(mac, &[body, &roll_over(index)]), tag)?;
        }
        let (clear, secret) = body.split_at_mut_checked(start).ok_or(Refused::Malformed)?;
        match self {
            Self::Counter(key, salt, ..) => count(key, salt, source, index, secret),
            Self::Gcm128(cipher, salt) => open(&**cipher, nonce(salt), clear, secret, tag)?,
            Self::Gcm256(cipher, salt) => open(&**cipher, nonce(salt), clear, secret, tag)?,
        }
        Ok(length)
    }

    pub(crate) fn seal_rtcp(
        &self,
        packet: &mut Vec<u8>,
        source: u32,
        index: u32,
    ) -> Result<(), Refused> {
        let (clear, secret) =
            packet.split_at_mut_checked(CONTROL_CLEAR).ok_or(Refused::Malformed)?;
        let word = (index | ENCRYPTED).to_be_bytes();
        let nonce = |salt| control_nonce(salt, source, index);
        let tag = match self {
            Self::Counter(key, salt, mac, tag) => {
                count(key, salt, source, index.into(), secret);
                packet.extend_from_slice(&word);
                let proof = prove(mac, &[packet]);
                packet.extend(proof.iter().take(*tag));
                return Ok(());
            }
            Self::Gcm128(cipher, salt) => {
                seal(&**cipher, nonce(salt), &known(clear, word)?, secret)?
            }
            Self::Gcm256(cipher, salt) => {
                seal(&**cipher, nonce(salt), &known(clear, word)?, secret)?
            }
        };
        packet.extend_from_slice(&tag);
        packet.extend_from_slice(&word);
        Ok(())
    }

    /// `fresh` judges the index before anything else is done.
    pub(crate) fn open_rtcp(
        &self,
        packet: &mut [u8],
        source: u32,
        fresh: impl FnOnce(u32) -> Result<(), Refused>,
    ) -> Result<(u32, usize), Refused> {
        // Counter mode: content, index, tag. AEAD: content, tag, index.
        let behind = match self {
            Self::Counter(_, _, _, tag) => *tag,
            Self::Gcm128(..) | Self::Gcm256(..) => 0,
        };
        let end = packet.len().checked_sub(behind).ok_or(Refused::Malformed)?;
        let (front, tag) = packet.split_at_mut_checked(end).ok_or(Refused::Malformed)?;
        let (_, word) = front.split_last_chunk::<4>().ok_or(Refused::Malformed)?;
        let word = *word;
        let index = u32::from_be_bytes(word);
        if index & ENCRYPTED == 0 {
            return Err(Refused::Malformed); // Nobody agreed on control in the clear.
        }
        let index = index & !ENCRYPTED;
        fresh(index)?;
        if let Self::Counter(_, _, mac, _) = self {
            same(&prove(mac, &[front]), tag)?;
        }
        let body = front.len().saturating_sub(word.len());
        let body = front.get_mut(..body).ok_or(Refused::Malformed)?;
        let (clear, secret) = body.split_at_mut_checked(CONTROL_CLEAR).ok_or(Refused::Malformed)?;
        let nonce = |salt| control_nonce(salt, source, index);
        let length = match self {
            Self::Counter(key, salt, ..) => {
                count(key, salt, source, index.into(), secret);
                secret.len()
            }
            Self::Gcm128(..) | Self::Gcm256(..) => {
                let length = secret.len().checked_sub(GCM_TAG).ok_or(Refused::Malformed)?;
                let (secret, tag) =
                    secret.split_at_mut_checked(length).ok_or(Refused::Malformed)?;
                let known = known(clear, word)?;
                match self {
                    Self::Gcm128(cipher, salt) => {
                        open(&**cipher, nonce(salt), &known, secret, tag)?;
                    }
                    Self::Gcm256(cipher, salt) => {
                        open(&**cipher, nonce(salt), &known, secret, tag)?;
                    }
                    Self::Counter(..) => (),
                }
                length
            }
        };
        Ok((index, CONTROL_CLEAR + length))
    }
}

/// Octets of the tag of AEAD.
const GCM_TAG: usize = 16;

fn roll_over(index: u64) -> [u8; 4] {
    ((index >> 16) as u32).to_be_bytes()
}

/// Adds the stream of counter mode.
///
/// Spec: RFC 3711 §4.1.1
fn count(key: &[u8; 16], salt: &[u8; 14], source: u32, index: u64, secret: &mut [u8]) {
    let [s0, s1, s2, s3] = source.to_be_bytes();
    let [_, _, i0, i1, i2, i3, i4, i5] = index.to_be_bytes();
    let place = [0, 0, 0, 0, s0, s1, s2, s3, i0, i1, i2, i3, i4, i5];
    let mut block = [0; 16];
    for (octet, (salt, place)) in block.iter_mut().zip(salt.iter().zip(place)) {
        *octet = salt ^ place;
    }
    let mut stream = ctr::Ctr128BE::<Aes128>::new(key.into(), &block.into());
    stream.apply_keystream(secret);
}

fn prove(mac: &Hmac<Sha1>, parts: &[&[u8]]) -> [u8; 20] {
    let mut mac = mac.clone();
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// Compares as many octets as the tag has, in the same time wherever they differ.
fn same(proof: &[u8; 20], tag: &[u8]) -> Result<(), Refused> {
    let pairs = proof.iter().zip(tag);
    let differs = pairs.fold(0, |differs, (ours, theirs)| differs | (ours ^ theirs));
    if differs == 0 { Ok(()) } else { Err(Refused::NotAuthentic) }
}

/// Spec: RFC 7714 §8.1
fn media_nonce(salt: &[u8; 12], source: u32, index: u64) -> [u8; 12] {
    let [s0, s1, s2, s3] = source.to_be_bytes();
    let [_, _, i0, i1, i2, i3, i4, i5] = index.to_be_bytes();
    salted(salt, [0, 0, s0, s1, s2, s3, i0, i1, i2, i3, i4, i5])
}

/// Spec: RFC 7714 §9.1
fn control_nonce(salt: &[u8; 12], source: u32, index: u32) -> [u8; 12] {
    let [s0, s1, s2, s3] = source.to_be_bytes();
    let [i0, i1, i2, i3] = index.to_be_bytes();
    salted(salt, [0, 0, s0, s1, s2, s3, 0, 0, i0, i1, i2, i3])
}

fn salted(salt: &[u8; 12], mut place: [u8; 12]) -> [u8; 12] {
    for (octet, salt) in place.iter_mut().zip(salt) {
        *octet ^= salt;
    }
    place
}

/// What the tag of control proves besides its content.
fn known(clear: &[u8], word: [u8; 4]) -> Result<[u8; 12], Refused> {
    let [a, b, c, d, e, f, g, h] = *clear.first_chunk::<8>().ok_or(Refused::Malformed)?;
    let [i, j, k, l] = word;
    Ok([a, b, c, d, e, f, g, h, i, j, k, l])
}

fn seal(
    cipher: &impl AeadInPlace,
    nonce: [u8; 12],
    known: &[u8],
    secret: &mut [u8],
) -> Result<[u8; GCM_TAG], Refused> {
    let nonce = GenericArray::from_slice(&nonce);
    let tag = cipher.encrypt_in_place_detached(nonce, known, secret);
    let tag = tag.map_err(|_| Refused::Malformed)?;
    tag.as_slice().try_into().map_err(|_| Refused::Malformed)
}

fn open(
    cipher: &impl AeadInPlace,
    nonce: [u8; 12],
    known: &[u8],
    secret: &mut [u8],
    tag: &[u8],
) -> Result<(), Refused> {
    let opened = cipher.decrypt_in_place_detached(
        GenericArray::from_slice(&nonce),
        known,
        secret,
        GenericArray::from_slice(tag),
    );
    opened.map_err(|_| Refused::NotAuthentic)
}
