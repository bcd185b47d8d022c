//! How a call came here: History-Info and Diversion.

use std::borrow::Cow;

use super::typed::{Typed, exact};
use super::{Name, NameAddr, Privacy, Reason};
use crate::{DecodeError, Uri, scan, write};

/// Numbers of an index of History-Info. Deeper: malformed.
pub const HISTORY_DEPTH_MAX: usize = 70;

/// One address that a request went to.
///
/// Spec: RFC 7044 §5
#[derive(Clone, Copy, Debug)]
pub struct HistoryInfo<'a> {
    /// The value as it came.
    pub address: NameAddr<'a>,
    /// The address, taken apart.
    pub uri: Uri<'a>,
    /// Its place in the tree of addresses, such as `1.2.1`.
    pub index: &'a [u8],
}

/// How an address was made of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mapping {
    /// `mp`: another user.
    Another,
    /// `np`: no change of who is meant.
    Same,
    /// `rc`: the contact of a registration.
    Contact,
}

impl<'a> HistoryInfo<'a> {
    /// How this address was made, and from the entry with which index.
    ///
    /// Spec: RFC 7044 §5.1
    pub fn mapping(&self) -> Option<(Mapping, &'a [u8])> {
        let named = |(name, mapping)| Some((mapping, self.address.params.get(name)?));
        [("rc", Mapping::Contact), ("mp", Mapping::Another), ("np", Mapping::Same)]
            .into_iter()
            .find_map(named)
    }

    /// The reason why the request left this address, still as octets of a Reason.
    ///
    /// Spec: RFC 7044 §10.2
    pub fn reason(&self) -> Option<Cow<'a, [u8]>> {
        self.uri.header(Name::Reason)
    }

    /// Whether the entry must not leave the domain.
    ///
    /// Spec: RFC 7044 §10.1
    pub fn is_private(&self) -> bool {
        let value = self.uri.header(Name::Privacy);
        let privacy = value.and_then(|value| Privacy::decode(&value).ok()).unwrap_or_default();
        !privacy.none && (privacy.history || privacy.header || privacy.session)
    }
}

impl<'a> Typed<'a> for HistoryInfo<'a> {
    const NAME: Name = Name::HistoryInfo;

    fn decode(value: &'a [u8]) -> Result<Self, DecodeError> {
        let address = NameAddr::decode(value).map_err(|_| Self::malformed())?;
        let uri = address.uri().map_err(|_| Self::malformed())?;
        let index = address.params.get("index").ok_or_else(Self::malformed)?;
        let numbers = || index.split(|octet| *octet == b'.');
        if numbers().count() > HISTORY_DEPTH_MAX || !numbers().all(|part| exact(part).is_some()) {
            return Err(Self::malformed());
        }
        Ok(Self { address, uri, index })
    }

    fn encode(&self) -> String {
        self.address.encode()
    }
}

/// The value of one History-Info entry. `reason` is why the request left that address (known only
/// later, so it is added to the entry above the new one), `mapping` how it was made.
///
/// Spec: RFC 7044 §5, §9
pub fn history_entry(
    uri: &str,
    index: &str,
    mapping: Option<(Mapping, &str)>,
    reason: Option<&Reason<'_>>,
    private: bool,
) -> String {
    let mut headers = Vec::new();
    if let Some(reason) = reason {
        let value = write::escape_header(reason.encode().as_bytes());
        headers.push(format!("Reason={value}"));
    }
    if private {
        headers.push("Privacy=history".into());
    }
    let separator = match (headers.is_empty(), uri.contains('?')) {
        (true, _) => "",
        (false, true) => "&",
        (false, false) => "?",
    };
    let mut out = write::name_addr("", &format!("{uri}{separator}{}", headers.join("&")));
    out.push_str(&format!(";index={index}"));
    if let Some((mapping, from)) = mapping {
        let name = match mapping {
            Mapping::Another => "mp",
            Mapping::Same => "np",
            Mapping::Contact => "rc",
        };
        out.push_str(&format!(";{name}={from}"));
    }
    out
}

/// Who passed a call on, and why; the last one stands in front.
///
/// Spec: RFC 5806 §4
#[derive(Clone, Copy, Debug)]
pub struct Diversion<'a> {
    /// Who passed it on.
    pub address: NameAddr<'a>,
}

impl<'a> Diversion<'a> {
    /// `unconditional`, `user-busy`, `no-answer` and so on.
    pub fn reason(&self) -> Option<&'a [u8]> {
        self.address.params.get("reason")
    }

    /// For how many diversions this stands; 1 when it does not say.
    pub fn counter(&self) -> u32 {
        self.address.params.get("counter").and_then(exact).unwrap_or(1)
    }

    /// Whether who passed it on wants to stay unnamed.
    pub fn is_private(&self) -> bool {
        let privacy = self.address.params.get("privacy");
        privacy.is_some_and(|word| !word.is_empty() && !word.eq_ignore_ascii_case(b"off"))
    }
}

impl<'a> Typed<'a> for Diversion<'a> {
    const NAME: Name = Name::Diversion;

    fn decode(value: &'a [u8]) -> Result<Self, DecodeError> {
        let address = NameAddr::decode(value).map_err(|_| Self::malformed())?;
        Ok(Self { address })
    }

    fn encode(&self) -> String {
        self.address.encode()
    }
}

/// The value of a Diversion: who, why (a token), for how many diversions.
///
/// Spec: RFC 5806 §4
pub fn diversion(display: &str, uri: &str, reason: &str, counter: u32, private: bool) -> String {
    let mut out = write::name_addr(display, uri);
    let reason: String = reason.chars().filter(|c| c.is_ascii() && scan::is_token(*c as u8)).collect();
    out.push_str(&format!(";reason={reason};counter={counter}"));
    if private {
        out.push_str(";privacy=full");
    }
    out
}
