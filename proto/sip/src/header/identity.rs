//! Who somebody is to those who trust each other: P-Asserted-Identity, P-Preferred-Identity,
//! Privacy.

use super::typed::{Typed, text};
use super::{Name, NameAddr};
use crate::{DecodeError, Message, Scheme, scan};

/// Values of P-Asserted-Identity or P-Preferred-Identity in a message: one sip or sips address, one
/// tel. More are left aside.
///
/// Spec: RFC 3325 §9.1, §9.2
pub const IDENTITIES_MAX: usize = 2;

macro_rules! identities {
    ($($(#[$doc:meta])* $kind:ident)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $kind<'a>(pub NameAddr<'a>);

        impl<'a> Typed<'a> for $kind<'a> {
            const NAME: Name = Name::$kind;

            fn decode(value: &'a [u8]) -> Result<Self, DecodeError> {
                let address = NameAddr::decode(value).map_err(|_| Self::malformed())?;
                let uri = address.uri().map_err(|_| Self::malformed())?;
                match uri.scheme {
                    Scheme::Sip | Scheme::Sips | Scheme::Tel => Ok(Self(address)),
                    Scheme::Other => Err(Self::malformed()),
                }
            }

            fn encode(&self) -> String {
                self.0.encode()
            }
        }
    )+};
}

identities! {
    /// Who a trusted peer says that the sender is.
    ///
    /// Spec: RFC 3325 §9.1
    PAssertedIdentity
    /// Which of his identities a user would like to be asserted.
    ///
    /// Spec: RFC 3325 §9.2
    PPreferredIdentity
}

impl<'a> Message<'a> {
    /// The asserted identities that can be read, at most [`IDENTITIES_MAX`].
    pub fn asserted(&self) -> impl Iterator<Item = NameAddr<'a>> {
        let values = self.read_all::<PAssertedIdentity<'a>>().take(IDENTITIES_MAX);
        values.filter_map(|value| value.ok().map(|identity| identity.0))
    }
}

/// What a user wants hidden.
///
/// Spec: RFC 3323 §4.2, RFC 3325 §9.3, RFC 7044 §10.1
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Privacy {
    /// `critical`: rather refuse than not hide it.
    pub critical: bool,
    /// `header`: what a user cannot take out himself, such as Via.
    pub header: bool,
    /// `history`: the History-Info.
    pub history: bool,
    /// `id`: the asserted identity.
    pub id: bool,
    /// `none`: hide nothing, whatever the provider does by default.
    pub none: bool,
    /// `session`: the addresses of the media.
    pub session: bool,
    /// `user`: From and the like.
    pub user: bool,
}

impl Privacy {
    /// Whether the caller's identity must not be shown.
    pub fn hides_identity(&self) -> bool {
        !self.none && (self.id || self.user || self.header)
    }
}

impl Typed<'_> for Privacy {
    const NAME: Name = Name::Privacy;

    /// Words that nobody knows are left aside; a comma counts as a semicolon, as some phones have
    /// it.
    fn decode(value: &[u8]) -> Result<Self, DecodeError> {
        let mut privacy = Self::default();
        for word in value.split(|octet| matches!(octet, b';' | b',')) {
            let word = scan::trim(word);
            if !scan::is_token_text(word) {
                return Err(Self::malformed());
            }
            match word.to_ascii_lowercase().as_slice() {
                b"critical" => privacy.critical = true,
                b"header" => privacy.header = true,
                b"history" => privacy.history = true,
                b"id" => privacy.id = true,
                b"none" => privacy.none = true,
                b"session" => privacy.session = true,
                b"user" => privacy.user = true,
                _ => (),
            }
        }
        Ok(privacy)
    }

    fn encode(&self) -> String {
        let words = [
            (self.header, "header"),
            (self.session, "session"),
            (self.user, "user"),
            (self.id, "id"),
            (self.history, "history"),
            (self.none, "none"),
            (self.critical, "critical"),
        ];
        let words: Vec<_> = words.iter().filter(|(is, _)| *is).map(|(_, word)| *word).collect();
        // The header has no empty form.
        if words.is_empty() { "none".into() } else { text(words.join(";").as_bytes()) }
    }
}
