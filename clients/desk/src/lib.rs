//! The SIP half of a browser phone: the page speaks JSON and keeps the sound, the desk keeps registration and calls.
//!
//! Picture     page --Command--> Line --Command--> Desk --Action::Send--> a flow of the switchboard, which sees a device
//!             page <--numbered-- Line <---Said--- Desk <--Event::Received-- that speaks WebSocket
//! Rules       Descriptions are the page's own and pass as they are. Several calls at a time, each by its Call-ID. The
//!             flow loses nothing, so nothing is sent twice; a signed pass takes the place of a password. What a page
//!             has not heard when its socket breaks is said again when it comes back; one that has forgotten all, as
//!             after a reload, is told which calls there are and offers anew. A page that is away and can be
//!             woken takes no new call here: it says that it is back, and the call comes then. Deterministic: the
//!             same events and the same seed give the same actions.
//! Limits      [`CALLS_MAX`], [`RING_MAX`], [`ANSWER_MAX`], [`REQUESTS_MAX`], [`KEYS_MAX`], [`EVENTS_KEPT`],
//!             [`SDP_MAX`], [`ENDPOINT_MAX`], [`RETRY`].
//! Not here    WebSockets, sign-in, clocks (shell/web, server/src/host/phones.rs); what the page shows (console).
//! Spec        RFC 3261, RFC 3264, RFC 3311, RFC 3515, RFC 3891, RFC 7118, RFC 8898
#![deny(missing_docs)]

mod call;
mod desk;
mod line;
mod request;
mod talk;
mod wire;
mod words;

pub use desk::{CALLS_MAX, Config, Desk, ENDPOINT_MAX, REFRESH, REGISTRATION, REQUESTS_MAX, RETRY};
pub use line::{EVENTS_KEPT, Gap, Line};
pub use talk::{ANSWER_MAX, KEYS_MAX, RING_MAX};
pub use words::{Action, Command, Event, Kept, No, SDP_MAX, Said, Standing, Why};

#[cfg(test)]
mod tests;
