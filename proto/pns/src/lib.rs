//! Push notification services: what a wake-up says, how it fits each channel, and what the answers mean.
//!
//! Picture     Notification + Target --encode--> Delivery --(shell/push_io)--> answer --outcome--> Outcome
//!             phone: body --Notification::decode--> Notification
//! Rules       One set of fields on all channels, under the same names. A call never loses its id, its reply
//!             address or its end; what does not fit goes in a fixed order: inline image, name, media, then
//!             the rest. Names are cut between graphemes. All text is escaped by serde_json.
//! Limits      FCM_DATA_MAX, APNS_MAX, APNS_VOIP_MAX, webpush::PLAIN_MAX; the token and text limits
//!             of `parameters`. Over a budget with everything optional gone: EncodeError::Oversize.
//! Not here    Sockets, tokens of authorisation, key files (shell/push_io); whom to wake (services/push).
//! Spec        RFC 8599 (SIP parameters), RFC 8030, 8188, 8291, 8292 (Web Push); Apple's and Google's
//!             published request formats.
#![deny(missing_docs)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

mod decode;
mod encode;
mod notification;
mod outcome;
pub mod parameters;
mod target;
pub mod vapid;
pub mod webpush;

pub use decode::DecodeError;
pub use encode::{
    APNS_COLLAPSE_MAX, APNS_MAX, APNS_VOIP_MAX, Delivery, EncodeError, FCM_DATA_MAX, Priority,
    PushType, encode,
};
pub use notification::{Cancel, Image, Invite, Media, Notification, Why};
pub use outcome::{
    Answer, Outcome, REASON_MAX, outcome, outcome_apns, outcome_fcm, outcome_webpush,
};
pub use parameters::{Parameters, ParametersError};
pub use target::{Provider, Target};
