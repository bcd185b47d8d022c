//! Event and Subscription-State.

use super::typed::{Typed, exact, text};
use super::{Name, Params, head, tail};
use crate::{DecodeError, scan};

/// Of what a subscription tells.
///
/// Spec: RFC 6665 §8.2.1
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// The package, templates included (`presence.winfo`). Case matters.
    pub package: &'a [u8],
    /// Tells subscriptions to one package within one dialog apart.
    pub id: Option<&'a [u8]>,
    /// All parameters, the `id` too.
    pub params: Params<'a>,
}

impl Event<'_> {
    /// Whether both are of one subscription: package and `id` octet by octet, nothing else.
    ///
    /// Spec: RFC 6665 §8.2.1
    pub fn is_same(&self, other: &Event<'_>) -> bool {
        self.package == other.package && self.id == other.id
    }
}

impl<'a> Typed<'a> for Event<'a> {
    const NAME: Name = Name::Event;

    fn decode(value: &'a [u8]) -> Result<Self, DecodeError> {
        let (package, params) = (head(value), tail(value));
        if !scan::is_token_text(package) {
            return Err(Self::malformed());
        }
        let id = params.get("id").filter(|id| !id.is_empty());
        Ok(Self { package, id, params })
    }

    fn encode(&self) -> String {
        let mut out = text(self.package);
        self.params.encode(&mut out);
        out
    }
}

/// How far a subscription is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing<'a> {
    /// Accepted; news come.
    Active,
    /// Received, but nobody allowed it yet.
    Pending,
    /// Over.
    Terminated,
    /// A word that this house does not know: as good as active (RFC 6665 §4.1.3).
    Other(&'a [u8]),
}

/// What a NOTIFY says of its subscription.
///
/// Spec: RFC 6665 §4.1.3, §8.2.3
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscriptionState<'a> {
    /// How far it is.
    pub standing: Standing<'a>,
    /// Seconds that are left.
    pub expires: Option<u32>,
    /// Why it is over: `deactivated`, `giveup`, `invariant`, `noresource`, `probation`, `rejected`,
    /// `timeout` or another word.
    pub reason: Option<&'a [u8]>,
    /// Seconds to wait before the next attempt.
    pub retry_after: Option<u32>,
}

impl SubscriptionState<'static> {
    /// Accepted, for so many seconds more.
    pub fn active(expires: u32) -> Self {
        let expires = Some(expires);
        Self { standing: Standing::Active, expires, reason: None, retry_after: None }
    }

    /// Over, for this reason.
    pub fn terminated(reason: &'static str) -> Self {
        let reason = Some(reason.as_bytes());
        Self { standing: Standing::Terminated, expires: None, reason, retry_after: None }
    }
}

impl<'a> Typed<'a> for SubscriptionState<'a> {
    const NAME: Name = Name::SubscriptionState;

    fn decode(value: &'a [u8]) -> Result<Self, DecodeError> {
        let (word, params) = (head(value), tail(value));
        let standing = match word {
            word if word.eq_ignore_ascii_case(b"active") => Standing::Active,
            word if word.eq_ignore_ascii_case(b"pending") => Standing::Pending,
            word if word.eq_ignore_ascii_case(b"terminated") => Standing::Terminated,
            word if scan::is_token_text(word) => Standing::Other(word),
            _ => return Err(Self::malformed()),
        };
        let number = |name| match params.get(name) {
            None => Ok(None),
            Some(digits) => exact(digits).map(Some).ok_or_else(Self::malformed),
        };
        let reason = params.get("reason").filter(|reason| scan::is_token_text(reason));
        let (expires, retry_after) = (number("expires")?, number("retry-after")?);
        Ok(Self { standing, expires, reason, retry_after })
    }

    fn encode(&self) -> String {
        let mut out = match self.standing {
            Standing::Active => "active".into(),
            Standing::Pending => "pending".into(),
            Standing::Terminated => "terminated".into(),
            Standing::Other(word) => text(word),
        };
        if let Some(reason) = self.reason {
            out.push_str(";reason=");
            out.push_str(&text(reason));
        }
        if let Some(expires) = self.expires {
            out.push_str(&format!(";expires={expires}"));
        }
        if let Some(seconds) = self.retry_after {
            out.push_str(&format!(";retry-after={seconds}"));
        }
        out
    }
}
