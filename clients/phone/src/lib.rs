//! A SIP phone without sockets, clock or sound card: the far end of everything the server does.
//!
//! Picture     Event --Phone::handle--> Action: bytes to send, what to tell the person, media to
//!             start and stop, push replies. [`Voice`] makes and takes the packets of a talk.
//!             Awake --Sleep--> Asleep --Pushed--> Awake: a phone with push parameters closes its
//!             flow and forgets nothing else.
//! Rules       One call at a time; a second one hears 486. A phone with a server takes requests from
//!             that server alone. Every realm is answered once per request, nonces are counted and
//!             used again. Deterministic: the same events and the same seed give the same actions.
//! Limits      [`RING_MAX`], [`REALMS_MAX`], [`TRANSACTIONS_MAX`], [`FORGOTTEN_MAX`],
//!             [`RETRY_MIN`] and [`RETRY_MAX`], [`RECORD_MAX`]; the timers of sip::transaction.
//! Not here    Sockets, names, files and HTTP (server/src/role/phone), transfer, video.
//! Spec        RFC 3261, RFC 3264, RFC 3581, RFC 4733, RFC 8599
#![deny(missing_docs)]

mod address;
mod callee;
mod caller;
mod config;
mod login;
mod phone;
mod register;
mod request;
mod talk;
mod voice;
mod wake;
mod wire;
mod words;

pub use address::address;
pub use config::{AnswerBy, Config, Push, RING_MAX};
pub use login::REALMS_MAX;
pub use phone::{FORGOTTEN_MAX, Phone, TRANSACTIONS_MAX};
pub use register::{RETRY_MAX, RETRY_MIN};
pub use voice::{RECORD_MAX, TICK, Voice};
pub use words::{Action, Event, Media, PhoneEvent, Stream, Why};

#[cfg(test)]
mod tests;
