//! The door of sound: foreign files become clips, words become speech, what taps hear becomes files.
//!
//! Picture     file | address | text --worker--> decode -> one channel -> one WAV in the blobs -> forms lent to the engine
//!             tap --> recorder --> WAV or Ogg Opus in the blobs
//!             tap --> ear --> what was said at a time --> a listener --> words
//! Rules       Nothing here runs on a shard or a pump. Every clip is kept once, as a WAV of 16 bits at the lowest of our
//!             rates that holds it, named by its content; the forms for legs are made of that. Whoever is refused hears
//!             why by a row of `switchboard::clip`.
//! Limits      [`decode::CLIP_BYTES_MAX`], [`decode::CLIP_LENGTH_MAX`], [`decode::DECODE_TIME_MAX`];
//!             [`clips::QUEUE_MAX`], [`clips::FORMS_MEMORY`], [`clips::KNOWN_MAX`]; [`recorder::RECORDINGS_MAX`],
//!             [`take::RECORD_LENGTH_MAX`];
//!             [`speech::TEXT_MAX`], [`speech::SPEECH_TIME_MAX`]; [`listener::LISTEN_TIME_MAX`].
//! Not here    Fetching an address (the roof has the guarded client), playing (media), who may ask (rooms).
//! Spec        RIFF WAVE; RFC 3533, RFC 7845 (Opus in Ogg); ISO/IEC 14496-12 for edit lists; ITU-R BS.1770 for loudness.
#![deny(missing_docs)]

pub mod clips;
pub mod decode;
pub mod ear;
mod edits;
#[cfg(test)]
mod hear;
pub mod listener;
pub mod loudness;
pub mod ogg;
mod pool;
mod rate;
pub mod recorder;
pub mod speech;
pub mod take;
pub mod wav;

pub use clips::{Clips, Lender, Listed};
pub use decode::{Bounds, Decoded, decode};
pub use recorder::Recorder;
pub use speech::Voices;
