//! Replaces, Join and Target-Dialog: headers that name a dialog.

use super::typed::{Typed, text};
use super::{Name, Params};
use crate::{DecodeError, limits, scan};

/// The dialog whose place a new call takes.
///
/// Whoever looks for it compares `to_tag` with his own tag and `from_tag` with that of the far end;
/// a `from_tag` of `0` also fits a peer without any (RFC 3891 §3).
///
/// Spec: RFC 3891 §6.1
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replaces<'a> {
    /// The Call-ID.
    pub call_id: &'a [u8],
    /// The tag of who receives this.
    pub to_tag: &'a [u8],
    /// The tag of the other end.
    pub from_tag: &'a [u8],
    /// Whether only a dialog that is not yet answered may be replaced.
    pub early_only: bool,
}

impl<'a> Typed<'a> for Replaces<'a> {
    const NAME: Name = Name::Replaces;

    fn decode(value: &'a [u8]) -> Result<Self, DecodeError> {
        let (call_id, params) = call_id(value).ok_or_else(Self::malformed)?;
        let tag = |name| one_tag(params, name).ok_or_else(Self::malformed);
        let (to_tag, from_tag) = (tag("to-tag")?, tag("from-tag")?);
        Ok(Self { call_id, to_tag, from_tag, early_only: params.has("early-only") })
    }

    fn encode(&self) -> String {
        let early_only = if self.early_only { ";early-only" } else { "" };
        let (to_tag, from_tag) = (text(self.to_tag), text(self.from_tag));
        format!("{};to-tag={to_tag};from-tag={from_tag}{early_only}", text(self.call_id))
    }
}

/// The dialog that a new call would like to be mixed with.
///
/// Spec: RFC 3911 §7.1
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Join<'a> {
    /// The Call-ID.
    pub call_id: &'a [u8],
    /// The tag of who receives this.
    pub to_tag: &'a [u8],
    /// The tag of the other end.
    pub from_tag: &'a [u8],
}

impl<'a> Typed<'a> for Join<'a> {
    const NAME: Name = Name::Join;

    fn decode(value: &'a [u8]) -> Result<Self, DecodeError> {
        let (call_id, params) = call_id(value).ok_or_else(Self::malformed)?;
        let tag = |name| one_tag(params, name).ok_or_else(Self::malformed);
        Ok(Self { call_id, to_tag: tag("to-tag")?, from_tag: tag("from-tag")? })
    }

    fn encode(&self) -> String {
        let (to_tag, from_tag) = (text(self.to_tag), text(self.from_tag));
        format!("{};to-tag={to_tag};from-tag={from_tag}", text(self.call_id))
    }
}

/// The dialog that the sender of a request outside it takes part in.
///
/// Spec: RFC 4538 §7
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetDialog<'a> {
    /// The Call-ID.
    pub call_id: &'a [u8],
    /// The tag of who sends this.
    pub local_tag: &'a [u8],
    /// The tag of who receives it.
    pub remote_tag: &'a [u8],
}

impl<'a> Typed<'a> for TargetDialog<'a> {
    const NAME: Name = Name::TargetDialog;

    fn decode(value: &'a [u8]) -> Result<Self, DecodeError> {
        let (call_id, params) = call_id(value).ok_or_else(Self::malformed)?;
        let tag = |name| one_tag(params, name).ok_or_else(Self::malformed);
        Ok(Self { call_id, local_tag: tag("local-tag")?, remote_tag: tag("remote-tag")? })
    }

    fn encode(&self) -> String {
        let (local, remote) = (text(self.local_tag), text(self.remote_tag));
        format!("{};local-tag={local};remote-tag={remote}", text(self.call_id))
    }
}

/// The Call-ID in front and the parameters behind it. A Call-ID may hold quotes and brackets that
/// do not close, but neither a semicolon nor a comma.
///
/// Spec: RFC 3261 §25.1 (callid)
fn call_id(value: &[u8]) -> Option<(&[u8], Params<'_>)> {
    let value = scan::trim(value);
    let end = memchr::memchr(b';', value).unwrap_or(value.len());
    let (call_id, params) = scan::split(value, end);
    let call_id = scan::trim_end(call_id);
    let plain = |octet: &u8| octet.is_ascii_graphic() && *octet != b',';
    let fits = (1..=limits::IDENTIFIER_MAX).contains(&call_id.len()) && call_id.iter().all(plain);
    fits.then(|| (call_id, Params::of_header(params)))
}

/// A tag that stands exactly once.
fn one_tag<'a>(params: Params<'a>, name: &str) -> Option<&'a [u8]> {
    let mut named = params.filter(|(raw, _)| raw.eq_ignore_ascii_case(name.as_bytes()));
    let tag = named.next()?.1?;
    let fits = scan::is_token_text(tag) && tag.len() <= limits::IDENTIFIER_MAX;
    (fits && named.next().is_none()).then_some(tag)
}
