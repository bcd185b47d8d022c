//! Sends pushes to Apple, Google and Web Push services, and stands in for them in development.
//!
//! Picture     pns::Delivery --Sender::deliver--> HTTPS --> service --> pns::Outcome
//!             stand_in::StandIns: the same three services on one loopback listener, strict as the real ones
//! Rules       A delivery always ends in an outcome within the limit; nothing is retried here but a request whose
//!             authorisation had run out. Plain http goes to loopback only. No redirects, no proxies: a Web Push
//!             address comes from a stranger, is resolved once, and only public addresses are connected to.
//! Limits      Config::limit (LIMIT), IN_FLIGHT_MAX, ANSWER_MAX; those of the stand-ins stand in `stand_in`.
//! Not here    Formats and what answers mean (proto/pns), whom to wake and when to try again (services/push).
//! Spec        RFC 8030, 8291, 8292 (Web Push); RFC 7523 (FCM's grant); Apple's provider API
#![deny(missing_docs)]

mod apns;
mod fcm;
pub mod guard;
mod http;
mod keys;
mod sender;
pub mod stand_in;
mod webpush;

pub use apns::Apns;
pub use fcm::Fcm;
pub use keys::Vapid;
pub use sender::{Config, Fault, IN_FLIGHT_MAX, LIMIT, Sender};
