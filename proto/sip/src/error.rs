//! What can be wrong with a message.

use crate::Name;

/// A peer sent nonsense. Each variant says where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A CR, LF or NUL stands alone in the header section.
    #[error("stray CR, LF or NUL at octet {at}")]
    BareLineBreak {
        /// Octets from the start of the message.
        at: usize,
    },
    /// Content-Length is not a plain number.
    #[error("Content-Length is not a number")]
    ContentLength,
    /// Two Content-Length lines disagree.
    #[error("Content-Length lines disagree")]
    ContentLengthDiffers,
    /// A stream carried a message without Content-Length.
    #[error("Content-Length missing on a stream")]
    ContentLengthMissing,
    /// CSeq is not a number below 2^31 and a method.
    #[error("malformed CSeq")]
    CSeq,
    /// The method of CSeq is not that of the request.
    #[error("CSeq method differs from the request")]
    CSeqMethod,
    /// A challenge or credentials that do not follow their grammar.
    #[error("malformed authentication")]
    Digest,
    /// A header that may stand once stands twice.
    #[error("more than one {}", .0.as_str())]
    Duplicate(Name),
    /// The value of this header does not follow its grammar.
    #[error("malformed {}", .0.as_str())]
    Header(Name),
    /// A header line has no name or no colon.
    #[error("malformed header line at octet {at}")]
    HeaderLine {
        /// Octets from the start of the message.
        at: usize,
    },
    /// The empty line behind the headers is missing.
    #[error("header section does not end")]
    HeaderSectionEnd,
    /// More than [`HEADER_SECTION_MAX`](crate::limits::HEADER_SECTION_MAX) octets of headers.
    #[error("header section too long")]
    HeaderSectionLong,
    /// More than [`HEADERS_MAX`](crate::limits::HEADERS_MAX) header lines.
    #[error("too many header lines")]
    HeadersMany,
    /// A Call-ID, tag or branch above [`IDENTIFIER_MAX`](crate::limits::IDENTIFIER_MAX).
    #[error("identifier too long in {}", .0.as_str())]
    IdentifierLong(Name),
    /// More than [`MESSAGE_MAX`](crate::limits::MESSAGE_MAX) octets.
    #[error("message too long")]
    MessageLong,
    /// A mandatory header is not there.
    #[error("{} missing", .0.as_str())]
    Missing(Name),
    /// A display name, its quotes or its angle brackets are malformed.
    #[error("malformed name and address")]
    NameAddr,
    /// The Request-URI carries headers.
    #[error("Request-URI carries headers")]
    RequestUriHeaders,
    /// The first line is neither a request line nor a status line.
    #[error("malformed start line")]
    StartLine,
    /// The status is not between 100 and 699.
    #[error("status out of range")]
    Status,
    /// The message ends before its Content-Length is reached.
    #[error("message ends {missing} octets early")]
    Truncated {
        /// Octets that should have followed.
        missing: usize,
    },
    /// A percent sign without two hexadecimal digits.
    #[error("malformed escape in URI")]
    UriEscape,
    /// The host of a URI is empty or malformed.
    #[error("malformed host in URI")]
    UriHost,
    /// More than [`URI_MAX`](crate::limits::URI_MAX) octets.
    #[error("URI too long")]
    UriLong,
    /// The port of a URI is not a number from 1 to 65535.
    #[error("malformed port in URI")]
    UriPort,
    /// No scheme, or one with characters that schemes do not have.
    #[error("malformed URI scheme")]
    UriScheme,
    /// The user part is empty or a character cannot stand in a URI.
    #[error("malformed URI")]
    UriText,
    /// Another SIP version than 2.0.
    #[error("unsupported SIP version")]
    Version,
    /// The top Via is malformed.
    #[error("malformed Via")]
    Via,
    /// More than [`VIA_MAX`](crate::limits::VIA_MAX) Via values.
    #[error("too many Via values")]
    ViasMany,
}

impl DecodeError {
    /// The status with which a request that has this fault is refused.
    pub fn status(self) -> u16 {
        match self {
            Self::UriLong => 414,
            Self::Version => 505,
            Self::HeaderSectionLong | Self::MessageLong => 513,
            Self::BareLineBreak { .. }
            | Self::ContentLength
            | Self::ContentLengthDiffers
            | Self::ContentLengthMissing
            | Self::CSeq
            | Self::CSeqMethod
            | Self::Digest
            | Self::Duplicate(_)
            | Self::Header(_)
            | Self::HeaderLine { .. }
            | Self::HeaderSectionEnd
            | Self::HeadersMany
            | Self::IdentifierLong(_)
            | Self::Missing(_)
            | Self::NameAddr
            | Self::RequestUriHeaders
            | Self::StartLine
            | Self::Status
            | Self::Truncated { .. }
            | Self::UriEscape
            | Self::UriHost
            | Self::UriPort
            | Self::UriScheme
            | Self::UriText
            | Self::Via
            | Self::ViasMany => 400,
        }
    }
}
