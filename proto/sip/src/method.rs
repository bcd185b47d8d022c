//! Methods.

use std::fmt;

use crate::scan;

macro_rules! methods {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)*) => {
        /// What a request asks for. Case matters, and an unknown method is not an error.
        ///
        /// Spec: RFC 3261 §7.1
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Method<'a> {
            $($(#[$doc])* $variant,)*
            /// A method this crate has no name for.
            Other(&'a [u8]),
        }

        impl<'a> Method<'a> {
            /// The method with this text.
            pub fn from_bytes(bytes: &'a [u8]) -> Self {
                $(if bytes == $text.as_bytes() { return Self::$variant; })*
                Self::Other(bytes)
            }

            /// Its text.
            pub fn as_bytes(&self) -> &'a [u8] {
                match self {
                    $(Self::$variant => $text.as_bytes(),)*
                    Self::Other(bytes) => bytes,
                }
            }

            /// The same method without its lifetime; `None` for an unknown one.
            pub fn known(self) -> Option<Method<'static>> {
                match self {
                    $(Self::$variant => Some(Method::$variant),)*
                    Self::Other(_) => None,
                }
            }
        }

        /// Every method with a name of its own.
        #[cfg(test)]
        const KNOWN: &[Method<'static>] = &[$(Method::$variant,)*];
    };
}

methods! {
    /// Confirms a final answer to INVITE.
    Ack = "ACK",
    /// Ends a dialog's session.
    Bye = "BYE",
    /// Withdraws an unanswered INVITE.
    Cancel = "CANCEL",
    /// Application data within a dialog.
    Info = "INFO",
    /// Begins or changes a session.
    Invite = "INVITE",
    /// A page-mode message.
    Message = "MESSAGE",
    /// News for a subscriber.
    Notify = "NOTIFY",
    /// Asks what a peer can do.
    Options = "OPTIONS",
    /// Confirms a provisional answer.
    Prack = "PRACK",
    /// Publishes event state.
    Publish = "PUBLISH",
    /// Asks a peer to send a request.
    Refer = "REFER",
    /// Tells where a user can be reached.
    Register = "REGISTER",
    /// Asks for news.
    Subscribe = "SUBSCRIBE",
    /// Changes a session that is not yet answered.
    Update = "UPDATE",
}

impl Method<'_> {
    /// Whether the text is a token and not over its limit.
    pub(crate) fn is_well_formed(bytes: &[u8]) -> bool {
        bytes.len() <= crate::limits::METHOD_MAX && scan::is_token_text(bytes)
    }
}

impl fmt::Display for Method<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.as_bytes().escape_ascii(), f)
    }
}

impl fmt::Debug for Method<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_methods_round_trip_and_case_matters() {
        for method in KNOWN {
            assert_eq!(Method::from_bytes(method.as_bytes()), *method);
            assert_eq!(method.known(), Some(*method));
        }
        assert_eq!(Method::from_bytes(b"invite"), Method::Other(b"invite"));
        assert_eq!(Method::from_bytes(b"INVITE\0"), Method::Other(b"INVITE\0"));
        assert_eq!(Method::Other(b"a\r\nb").to_string(), "a\\r\\nb");
    }
}
