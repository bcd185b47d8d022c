//! SIP without sockets or clocks: messages, headers, URIs, framing, transactions, dialogs, digest.
//!
//! Picture     bytes --decode--> [`Message`] (borrows the bytes, one index of its header lines)
//!                         typed views, when asked for: [`Via`], [`NameAddr`], [`CSeq`], [`Uri`],
//!                         and whatever is [`Typed`](header::Typed): [`Message::read`]
//!             [`write::Writer`] --> bytes in the caller's buffer
//!             stream octets --> [`stream::Framer`] --> whole messages and keep-alives
//! Rules       Octets, not text: a wrong character in one header never hides another header.
//!             `decode` judges framing only, `check` judges what deserves a 400. What cannot be
//!             decoded can still be refused: [`Message::for_refusal`].
//!             Reading a usual message allocates nothing. A writer cannot be made to emit a line
//!             break inside a value, so no input can grow a header of its own.
//! Limits      All in [`limits`]; each overstepping is a [`DecodeError`] with a status.
//! Not here    Sockets, names and TLS (shell/net), policy (services/*), bodies (proto/sdp).
//! Spec        RFC 3261, 3263, 3581, 3966, 4475, 5118, 5626 §3.5.1, 8599 (unescaped push addresses in URIs);
//!             the RFC of each further header stands at its type
#![deny(missing_docs)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

pub mod dialog;
pub mod digest;
mod error;
pub mod header;
pub mod limits;
pub mod locate;
mod message;
mod method;
mod scan;
mod status;
pub mod stream;
pub mod transaction;
pub mod uri;
pub mod write;

pub use error::DecodeError;
pub use header::{CSeq, Contact, Name, NameAddr, Params, Via};
pub use message::{Framing, Head, Header, Message, Start};
pub use method::Method;
pub use status::reason_phrase;
pub use uri::{Scheme, Uri};
