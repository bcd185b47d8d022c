//! Session descriptions: read without copies, rewritten by an edit list, and the offers and answers
//! of a simple phone.
//!
//! Picture     bytes --decode--> Session --aims--> where each section wants its packets
//!             bytes --relay(plan)--> the same description with our addresses and ports in it
//!             bytes --only_plain, reformat--> the same with sound that can be mixed, with other formats
//!             keyed bytes --keys::without--> plain bytes --keys::with--> bytes with other keys
//!             browser's bytes --web::undress--> plain bytes --web::dress--> bytes for a browser
//!             Offer --encode--> bytes; (Session, Offer) --answer--> bytes
//! Rules       Bytes, not text. What is not ours to judge passes as it came. Lines may end in LF
//!             alone; we write CRLF. A value that exists is in range: ports, payload types, clock
//!             rates, packet times, addresses.
//! Limits      [`BODY_MAX`], [`LINE_MAX`], [`MEDIA_MAX`], [`ATTRIBUTES_MAX`], [`FORMATS_MAX`],
//!             [`TOKEN_MAX`], [`PORT_COUNT_MAX`], [`CLOCK_MAX`], [`PTIME_MAX`]. Beyond:
//!             `DecodeError`, which the caller answers with 488.
//! Not here    Host names as media addresses (never resolved), checks of ICE, SRTP; whether an address may be
//!             a target ([`reach`] tells what it is, the switchboard decides).
//! Spec        RFC 8866, RFC 3264, RFC 3605, RFC 5761 §5.1.1, RFC 4733 §2.4.1, RFC 4568, RFC 4867 §8.
#![deny(missing_docs)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

mod aim;
mod amr;
mod decode;
mod direct;
pub mod keys;
mod line;
mod offer;
mod plain;
mod relay;
mod session;
pub mod web;

pub use aim::{Aim, Reach, Wanted, aims, media_wanted, reach, settle};
pub use amr::{Amr, AmrKnown};
pub use decode::DecodeError;
pub use direct::directed;
pub use offer::{
    AMR, AMR_WB, Agreed, Codec, G722, OPUS, Offer, PCMA, PCMU, TELEPHONE_EVENT, TELEPHONE_EVENT_16,
    TELEPHONE_EVENT_48, agreed, answer,
};
pub use plain::{
    PLAIN_MAX, PlainFormat, PlainSound, Reformat, Spoken, only_plain, plain_sound, reformat,
};
pub use relay::{Relay, relay, relay_decoded};
pub use session::{
    Attribute, Bandwidth, Direction, Kind, Origin, RtcpAttribute, RtpMap, Section, Session,
};

/// Octets of a whole description.
pub const BODY_MAX: usize = 64 * 1024;

/// Octets of one line.
pub const LINE_MAX: usize = 8192;

/// Media sections.
pub const MEDIA_MAX: usize = 64;

/// Attributes of one section, or of the session part.
pub const ATTRIBUTES_MAX: usize = 256;

/// Formats (payload types) of one section.
pub const FORMATS_MAX: usize = 128;

/// Octets of a media kind, a protocol, a format or a codec's name.
pub const TOKEN_MAX: usize = 64;

/// Octets of a host name in o=.
pub const HOST_MAX: usize = 255;

/// Ports of one section, `m=audio 49170/2`.
pub const PORT_COUNT_MAX: u16 = 16;

/// Ticks per second of an RTP clock.
pub const CLOCK_MAX: u32 = 1_000_000;

/// Milliseconds of sound in one packet.
pub const PTIME_MAX: u16 = 3000;
