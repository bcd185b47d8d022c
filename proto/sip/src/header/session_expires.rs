//! Session-Expires: how long a session lives without a refresh.

use super::typed::Typed;
use super::{Name, seconds, tail};
use crate::DecodeError;

/// The shortest session interval that anybody may ask for, in seconds. Below: 422 with Min-SE.
///
/// Spec: RFC 4028 §4
pub const SESSION_EXPIRES_MIN: u32 = 90;

/// Who refreshes a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refresher {
    /// Who sent the request that this stands in or answers.
    Uac,
    /// Who answers it.
    Uas,
}

/// The session interval and who keeps it up.
///
/// Spec: RFC 4028 §4
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionExpires {
    /// Seconds; saturates.
    pub seconds: u32,
    /// Who refreshes, if it is said: a request may leave it open, an answer may not.
    pub refresher: Option<Refresher>,
}

impl Typed<'_> for SessionExpires {
    const NAME: Name = Name::SessionExpires;

    fn decode(value: &[u8]) -> Result<Self, DecodeError> {
        let seconds = seconds(value).ok_or_else(Self::malformed)?;
        let refresher = match tail(value).get("refresher") {
            None => None,
            Some(who) if who.eq_ignore_ascii_case(b"uac") => Some(Refresher::Uac),
            Some(who) if who.eq_ignore_ascii_case(b"uas") => Some(Refresher::Uas),
            Some(_) => return Err(Self::malformed()),
        };
        Ok(Self { seconds, refresher })
    }

    fn encode(&self) -> String {
        let refresher = match self.refresher {
            None => "",
            Some(Refresher::Uac) => ";refresher=uac",
            Some(Refresher::Uas) => ";refresher=uas",
        };
        format!("{}{refresher}", self.seconds)
    }
}
