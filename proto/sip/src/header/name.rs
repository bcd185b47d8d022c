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

/// Places of the table of names: more than twice as many as there are names.
const PLACES: usize = 512;

/// The names by their mark, those that share one behind each other; `Other` where there is none.
static BY_MARK: [Name; PLACES] = by_mark();

/// What tells most names apart: length, first and last letter, and the one in the middle.
const fn mark(length: usize, first: u8, middle: u8, last: u8) -> usize {
    let letters =
        (first | 0x20) as usize * 5 + (middle | 0x20) as usize * 31 + (last | 0x20) as usize;
    (letters + length * 67) % PLACES
}

#[expect(
    clippy::indexing_slicing,
    reason = "runs in the compiler, where a wrong index is an error"
)]
const fn by_mark() -> [Name; PLACES] {
    let mut table = [Name::Other; PLACES];
    let mut at = 0;
    while at < Name::ALL.len() {
        let text = Name::ALL[at].as_str().as_bytes();
        let mut place = mark(text.len(), text[0], text[text.len() / 2], text[text.len() - 1]);
        while !matches!(table[place], Name::Other) {
            place = (place + 1) % PLACES;
        }
        table[place] = Name::ALL[at];
        at += 1;
    }
    table
}

impl Name {
    /// The name of these octets, in any case, long or compact; `Other` when there is none.
    ///
    /// Spec: RFC 3261 §7.3.3
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return Self::Other };
        if bytes.len() == 1 {
            return Self::compact(*first);
        }
        let middle = bytes.get(bytes.len() / 2).copied().unwrap_or_default();
        let mut place = mark(bytes.len(), *first, middle, *last);
        // The table has free places, so this ends.
        loop {
            let name = BY_MARK.get(place).copied().unwrap_or(Self::Other);
            let text = name.as_str().as_bytes();
            // Most spell it as the standard does.
            if name == Self::Other || text == bytes || text.eq_ignore_ascii_case(bytes) {
                return name;
            }
            place = (place + 1) % PLACES;
        }
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
