//! The addresses by which others take part in a call: `sip:listen-CALL@domain`, `sip:join-CALL@domain`.
//!
//! Whoever is told of a call gets them, and calls them like anybody. The address names the call itself, so no shard
//! keeps a list; whether he may is asked when he comes.

use sip::{Message, Uri};
use types::{CallId, SessionId};

/// How somebody takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// He hears both and is heard by nobody.
    Listen,
    /// He hears all and is heard by all.
    Join,
}

impl Part {
    /// The user part of the address for a call.
    pub fn address(self, call: SessionId) -> String {
        format!("{}{}", self.mark(), CallId(call.0))
    }

    /// Reads the user part of an address; `None` for anything else.
    pub fn read(user: &str) -> Option<(Self, SessionId)> {
        let found = [Self::Listen, Self::Join].into_iter().find_map(|part| {
            let call = CallId::parse(user.strip_prefix(part.mark())?)?;
            Some((part, SessionId(call.0)))
        });
        found.filter(|(_, call)| call.0 != 0)
    }

    const fn mark(self) -> &'static str {
        match self {
            Self::Join => "join-",
            Self::Listen => "listen-",
        }
    }
}

/// Our Contact towards somebody who called the address of a call: that address, at which he may ask who takes part.
///
/// Spec: RFC 4579 §4, RFC 3840 §10.
pub(crate) fn focus(message: &Message<'_>, contact: &str) -> Option<String> {
    let uri = message.request_uri()?;
    // Most calls are to somebody else, and are not looked at any closer.
    if !uri.starts_with(b"sip:join-") && !uri.starts_with(b"sip:listen-") {
        return None;
    }
    let user = Uri::decode(uri).ok()?.user_unescaped()?.into_owned();
    let user = String::from_utf8(user).ok().filter(|user| Part::read(user).is_some())?;
    let rest = contact.strip_prefix("<sip:")?;
    Some(format!("<sip:{user}@{rest};isfocus"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_name_their_call_and_nothing_else_does() {
        let call = SessionId(5 << 120 | 77);
        for part in [Part::Listen, Part::Join] {
            assert_eq!(Part::read(&part.address(call)), Some((part, call)));
        }
        let text = Part::Join.address(call);
        let zero = Part::Join.address(SessionId(0));
        for other in ["join-", "join-bob", "listen", "", &text[5..], &text[..20], zero.as_str()] {
            assert_eq!(Part::read(other), None, "{other}");
        }
    }
}
