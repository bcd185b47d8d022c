//! Header names: the list, the compact forms, and the way from octets to a name.

use std::fmt;

macro_rules! names {
    ($($variant:ident = $text:literal $($compact:literal)?,)*) => {
        /// A header that this house knows by name. Whoever needs another one reads `raw_name`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        #[allow(missing_docs, reason = "each variant is the header of its name")]
        pub enum Name { $($variant,)* Other }

        impl Name {
            /// Every name but `Other`, in alphabetical order.
            pub const ALL: &'static [Name] = &[$(Name::$variant,)*];

            /// The long form. That of `Other` is empty.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* Self::Other => "" }
            }

            fn compact(letter: u8) -> Self {
                match letter.to_ascii_lowercase() {
                    $($($compact => Self::$variant,)?)*
                    _ => Self::Other,
                }
            }
        }
    };
}

names! {
    Accept = "Accept",
    AcceptContact = "Accept-Contact" b'a',
    AcceptEncoding = "Accept-Encoding",
    AcceptLanguage = "Accept-Language",
    AlertInfo = "Alert-Info",
    Allow = "Allow",
    AllowEvents = "Allow-Events" b'u',
    AnswerMode = "Answer-Mode",
    AuthenticationInfo = "Authentication-Info",
    Authorization = "Authorization",
    CSeq = "CSeq",
    CallId = "Call-ID" b'i',
    CallInfo = "Call-Info",
    Contact = "Contact" b'm',
    ContentDisposition = "Content-Disposition",
    ContentEncoding = "Content-Encoding" b'e',
    ContentLanguage = "Content-Language",
    ContentLength = "Content-Length" b'l',
    ContentType = "Content-Type" b'c',
    Date = "Date",
    Diversion = "Diversion",
    ErrorInfo = "Error-Info",
    Event = "Event" b'o',
    Expires = "Expires",
    FeatureCaps = "Feature-Caps",
    FlowTimer = "Flow-Timer",
    From = "From" b'f',
    Geolocation = "Geolocation",
    HistoryInfo = "History-Info",
    Identity = "Identity" b'y',
    IdentityInfo = "Identity-Info" b'n',
    InReplyTo = "In-Reply-To",
    InfoPackage = "Info-Package",
    Join = "Join",
    MaxBreadth = "Max-Breadth",
    MaxForwards = "Max-Forwards",
    MimeVersion = "MIME-Version",
    MinExpires = "Min-Expires",
    MinSe = "Min-SE",
    Organization = "Organization",
    PAccessNetworkInfo = "P-Access-Network-Info",
    PAnswerState = "P-Answer-State",
    PAssertedIdentity = "P-Asserted-Identity",
    PAssertedService = "P-Asserted-Service",
    PAssociatedUri = "P-Associated-URI",
    PCalledPartyId = "P-Called-Party-ID",
    PEarlyMedia = "P-Early-Media",
    PPreferredIdentity = "P-Preferred-Identity",
    PPreferredService = "P-Preferred-Service",
    Path = "Path",
    Priority = "Priority",
    PrivAnswerMode = "Priv-Answer-Mode",
    Privacy = "Privacy",
    ProxyAuthenticate = "Proxy-Authenticate",
    ProxyAuthorization = "Proxy-Authorization",
    ProxyRequire = "Proxy-Require",
    RAck = "RAck",
    RSeq = "RSeq",
    Reason = "Reason",
    RecordRoute = "Record-Route",
    RecvInfo = "Recv-Info",
    ReferSub = "Refer-Sub",
    ReferTo = "Refer-To" b'r',
    ReferredBy = "Referred-By" b'b',
    RejectContact = "Reject-Contact" b'j',
    Replaces = "Replaces",
    ReplyTo = "Reply-To",
    RequestDisposition = "Request-Disposition" b'd',
    Require = "Require",
    ResourcePriority = "Resource-Priority",
    RetryAfter = "Retry-After",
    Route = "Route",
    Server = "Server",
    ServiceRoute = "Service-Route",
    SessionExpires = "Session-Expires" b'x',
    SipEtag = "SIP-ETag",
    SipIfMatch = "SIP-If-Match",
    Subject = "Subject" b's',
    SubscriptionState = "Subscription-State",
    Supported = "Supported" b'k',
    SuppressIfMatch = "Suppress-If-Match",
    TargetDialog = "Target-Dialog",
    Timestamp = "Timestamp",
    To = "To" b't',
    Unsupported = "Unsupported",
    UserAgent = "User-Agent",
    UserToUser = "User-to-User",
    Via = "Via" b'v',
    Warning = "Warning",
    WwwAuthenticate = "WWW-Authenticate",
}

/// How many names there are, `Other` included.
pub(crate) const COUNT: usize = Name::ALL.len() + 1;

/// Octets of the longest name.
const LENGTH_MAX: usize = 32;

/// Most names of one length.
const SAME_LENGTH_MAX: usize = 16;

/// The names of one length, each behind its first letter in lower case; filled up with zeros.
type Candidates = [(u8, Name); SAME_LENGTH_MAX];

/// For each length, the names that long.
const BY_LENGTH: [Candidates; LENGTH_MAX] = by_length();

#[expect(
    clippy::indexing_slicing,
    reason = "runs in the compiler, where a wrong index is an error"
)]
const fn by_length() -> [Candidates; LENGTH_MAX] {
    let mut table = [[(0, Name::Other); SAME_LENGTH_MAX]; LENGTH_MAX];
    let mut used = [0; LENGTH_MAX];
    let mut at = 0;
    while at < Name::ALL.len() {
        let text = Name::ALL[at].as_str().as_bytes();
        let letter = text[0].to_ascii_lowercase();
        table[text.len()][used[text.len()]] = (letter, Name::ALL[at]);
        used[text.len()] += 1;
        at += 1;
    }
    table
}

impl Name {
    /// The name of these octets, in any case, long or compact; `Other` when there is none. The
    /// length leaves a handful of candidates and the first letter mostly one.
    ///
    /// Spec: RFC 3261 §7.3.3
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let Some(first) = bytes.first() else { return Self::Other };
        if bytes.len() == 1 {
            return Self::compact(*first);
        }
        let letter = first.to_ascii_lowercase();
        let candidates = BY_LENGTH.get(bytes.len()).map_or(&[][..], |names| names);
        for (_, name) in candidates.iter().filter(|(first, _)| *first == letter) {
            if name.as_str().as_bytes().eq_ignore_ascii_case(bytes) {
                return *name;
            }
        }
        Self::Other
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every compact form of the registry (IANA, SIP Parameters, Header Fields).
    const COMPACT: [(&str, Name); 20] = [
        ("a", Name::AcceptContact),
        ("B", Name::ReferredBy),
        ("c", Name::ContentType),
        ("d", Name::RequestDisposition),
        ("e", Name::ContentEncoding),
        ("f", Name::From),
        ("I", Name::CallId),
        ("j", Name::RejectContact),
        ("k", Name::Supported),
        ("l", Name::ContentLength),
        ("m", Name::Contact),
        ("n", Name::IdentityInfo),
        ("o", Name::Event),
        ("r", Name::ReferTo),
        ("s", Name::Subject),
        ("T", Name::To),
        ("u", Name::AllowEvents),
        ("v", Name::Via),
        ("x", Name::SessionExpires),
        ("y", Name::Identity),
    ];

    #[test]
    fn every_name_is_found_in_any_case() {
        for name in Name::ALL {
            let text = name.as_str();
            assert_eq!(Name::from_bytes(text.as_bytes()), *name);
            assert_eq!(Name::from_bytes(text.to_uppercase().as_bytes()), *name);
            assert_eq!(Name::from_bytes(text.to_lowercase().as_bytes()), *name);
        }
        assert!(Name::ALL.is_sorted());
        for (text, name) in COMPACT {
            assert_eq!(Name::from_bytes(text.as_bytes()), name);
        }
        for text in ["", "q", "Vial", "C%6Fntact", "X-Contact", "Fron"] {
            assert_eq!(Name::from_bytes(text.as_bytes()), Name::Other, "{text}");
        }
        assert_eq!(Name::from_bytes(&[b'A'; 5000]), Name::Other);
    }
}
