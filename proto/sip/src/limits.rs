//! The limits of the message layer. Each has a name, a reason and a stated answer.

/// Octets of a whole message, on every transport. Above: 513.
pub const MESSAGE_MAX: usize = 65_536;

/// Octets from the start line to the empty line. Above: 513. A tenth of it is already a long
/// request.
pub const HEADER_SECTION_MAX: usize = 32_768;

/// Header lines of a message. Above: 400.
pub const HEADERS_MAX: usize = 256;

/// Header lines of a message that are indexed without an allocation.
pub const HEADERS_INLINE: usize = 64;

/// Octets of a header name. Above: 400.
pub const HEADER_NAME_MAX: usize = 128;

/// Via values of a message, as many as a full Max-Forwards can make. Above: 400.
pub const VIA_MAX: usize = 70;

/// Octets of a Request-URI. Above: 414. Push addresses in contacts reach about 1,000.
pub const URI_MAX: usize = 4_096;

/// Octets of a method, in the start line and in CSeq. Above: 400.
pub const METHOD_MAX: usize = 128;

/// Octets of a Call-ID, of a tag and of a branch: they are kept as long as their call. Above: 400.
pub const IDENTIFIER_MAX: usize = 1_024;

/// The largest CSeq number.
///
/// Spec: RFC 3261 §8.1.1.5
pub const CSEQ_MAX: u32 = 0x7fff_ffff;
