//! The media engine: packets of two sides that meet on a bridge, and of those who join them, decided
//! without a socket or a clock.
//!
//! Picture     Command --> Engine --> Event;  packet(port, from, bytes, now) --> (port, to) or none
//!             side A --> port of A | stream | port of B --> side B, and back; RTCP one port higher
//!             many phones --one port: by their source--> the legs that they are
//!             browser --sealed--> path: opened | the same stream | sealed --> path of the other browser
//!             clips, tones, keys --> whoever shall hear them;  what is said and heard --> taps
//!             sides and guests --> jitter buffers --tick(now)--> all but one's own voice --> each
//! Rules       Nothing is sent before both sides have an address. One packet in, at most one out,
//!             never longer. A packet passes only from the address that was signalled, or from the
//!             one sender that was latched because the signalled address stayed silent. A packet
//!             from the signalled address ends any latch. RTCP follows the latch of its RTP and
//!             never starts one. A browser's packets pass only by its path, which its checks and its
//!             handshake have proved; it hears one source, whoever speaks, and so does a phone whose keys we have.
//! Limits      [`LATCH_WAIT`], [`LATCH_PACKETS`], [`LATCH_WINDOW`]; [`QUARANTINE`] for ports; one
//!             stream takes two even ports, so an engine holds 16,384 streams at most. Beyond: the
//!             stream fails. [`GUESTS_MAX`] join one stream, [`LOUDEST_MAX`] of them are heard at once;
//!             [`DELAY_MAX`] in a jitter buffer; a packet of more than 120 ms is dropped.
//!             [`GAUGE_MIN`] between two tellings of a level. [`CONSENT_MAX`] and [`ADDRESSES_MAX`] for browsers. [`CLIPS_MAX`] and [`CLIP_MAX`] of what is played,
//!             [`FEED_MAX`] of what is fed, [`TAPS_MAX`] at one stream. [`DATAGRAMS_MAX`] a second to one leg.
//!             [`RESTING_MAX`] sources that a shared port remembers.
//! Not here    Sockets and threads (shell/media_io), what the addresses are (proto/sdp,
//!             switchboard), keys that two phones agreed on between themselves: their packets pass, with headers in the clear.
//! Spec        RFC 3550, RFC 3551, RFC 3389, RFC 4568, RFC 4733, RFC 4867, RFC 5764, RFC 7587, RFC 7675, RFC 8445 §2.5, RFC 5761 §4,
//!             RFC 7667 §3.6, RFC 7983, ITU-T G.711, ITU-T G.722.
#![deny(missing_docs)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

pub mod amr;
mod clip;
mod codec;
pub mod dtmf;
mod engine;
pub mod events;
mod feed;
pub mod g711;
mod gauge;
#[cfg(test)]
mod hear;
mod jitter;
mod keyed;
pub mod machine;
mod mixer;
mod outbox;
mod play;
mod ports;
mod quality;
mod resample;
mod rtcp;
pub mod rtp;
mod sender;
mod shared;
mod source;
mod tap;
pub mod tones;
mod track;
mod trail;
pub mod vad;
mod webrtc;
mod words;

pub use clip::{Clip, ClipId, TapId};
pub use codec::{
    Codec, Coders, Decoder, Encoder, Events, FRAME_MAX, Format, HEARD_MAX, PACKET_MAX, PAYLOAD_MAX,
    Rate, Sound,
};
pub use engine::{
    DATAGRAMS_MAX, Engine, QUALITY_EVERY, QUIET_AFTER, REPORT_EVERY, SILENCE_AFTER, TICK,
    TICKS_LATE_MAX, WATCH_EVERY,
};
pub use feed::{FEED_MAX, FeedId, MARKS_MAX};
pub use gauge::{GAUGE_MIN, SILENT};
pub use jitter::{Counts, DELAY_MAX, Jitter, WINDOW};
pub use mixer::LOUDEST_MAX;
pub use play::{CLIP_MAX, CLIPS_MAX, Ending, KEYS_SENT_MAX, Play};
pub use ports::{Ports, QUARANTINE, SPOILED};
pub use quality::Quality;
pub use resample::Resampler;
pub use sender::RtpSender;
pub use shared::RESTING_MAX;
pub use source::{LATCH_PACKETS, LATCH_WAIT, LATCH_WINDOW};
pub use srtp::Suite;
pub use tap::{Direction, Heard, Sink, TAKEN_MAX, TAPS_MAX, Taken};
pub use track::{AHEAD_MAX, Track};
pub use webrtc::{ADDRESSES_MAX, CONSENT_MAX, Identity, connection};
pub use words::{
    Command, Count, Event, GUESTS_MAX, Hush, Keys, Loss, Seat, Shield, Side, StreamKey, Voice, Web,
};
