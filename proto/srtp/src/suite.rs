//! The suites of keys and ciphers.

use serde::{Deserialize, Serialize};

/// How packets are protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Suite {
    /// AEAD with 128 bits.
    ///
    /// Spec: RFC 7714 §12
    AeadAes128Gcm,
    /// AEAD with 256 bits.
    ///
    /// Spec: RFC 7714 §12
    AeadAes256Gcm,
    /// Counter mode with a tag of 32 bits, 80 for control.
    ///
    /// Spec: RFC 4568 §6.2.2
    AesCm128HmacSha1Tag32,
    /// Counter mode with a tag of 80 bits.
    ///
    /// Spec: RFC 4568 §6.2.1
    AesCm128HmacSha1Tag80,
}

impl Suite {
    /// All of them, the best first.
    pub const ALL: [Self; 4] = [
        Self::AeadAes256Gcm,
        Self::AeadAes128Gcm,
        Self::AesCm128HmacSha1Tag80,
        Self::AesCm128HmacSha1Tag32,
    ];

    /// The word for it in a=crypto.
    ///
    /// Spec: RFC 4568 §6.2, RFC 7714 §14.2
    pub const fn word(self) -> &'static str {
        match self {
            Self::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Self::AeadAes256Gcm => "AEAD_AES_256_GCM",
            Self::AesCm128HmacSha1Tag32 => "AES_CM_128_HMAC_SHA1_32",
            Self::AesCm128HmacSha1Tag80 => "AES_CM_128_HMAC_SHA1_80",
        }
    }

    /// The suite of a word.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| suite.word().eq_ignore_ascii_case(word))
    }

    /// Octets of the master key.
    pub const fn key(self) -> usize {
        match self {
            Self::AeadAes256Gcm => 32,
            Self::AeadAes128Gcm | Self::AesCm128HmacSha1Tag32 | Self::AesCm128HmacSha1Tag80 => 16,
        }
    }

    /// Octets of the master salt.
    pub const fn salt(self) -> usize {
        match self {
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 12,
            Self::AesCm128HmacSha1Tag32 | Self::AesCm128HmacSha1Tag80 => 14,
        }
    }

    /// Octets of the tag of media.
    pub(crate) const fn tag(self) -> usize {
        match self {
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 16,
            Self::AesCm128HmacSha1Tag32 => 4,
            Self::AesCm128HmacSha1Tag80 => 10,
        }
    }
}
