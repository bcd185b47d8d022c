//! XML that rides in SIP: a reader behind limits, a writer, and the documents that several rooms
//! share.
//!
//! Picture     bytes --[`Element::decode`]--> a tree with its namespaces resolved
//!             bytes --decode--> [`Reginfo`], [`DialogInfo`], [`Presence`], [`Conference`],
//!             [`ResourceLists`], [`MessageSummary`] (which is plain text) --encode--> text
//!             [`RecordingMetadata`] --encode--> text: nobody sends us any
//! Rules       No DTD, no entities but the five of XML and characters by number, UTF-8 only, so a
//!             small document stays small when it is read. Elements and attributes that a document
//!             type does not know are skipped, as its RFC has it; what we do not keep we do not
//!             write. Nothing that a caller passes in can begin an element or end an attribute.
//! Limits      [`DOCUMENT_MAX`], [`DEPTH_MAX`], [`ELEMENTS_MAX`], [`ATTRIBUTES_MAX`],
//!             [`NAMESPACE_MAX`]. Beyond: `DecodeError`, which a room answers with 400 or 413.
//! Not here    Who may see what (services/presence), schemas, patches (RFC 5261), filters.
//! Spec        XML 1.0, Namespaces in XML 1.0; RFC 3680, 3842, 3863, 4235, 4480, 4575, 4826, 5364, 7865
#![deny(missing_docs)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

mod conference;
mod decode;
mod dialog_info;
mod error;
mod presence;
mod recording;
mod reginfo;
mod resource_lists;
mod summary;
mod tree;
mod words;
mod write;

pub use conference::{Conference, Endpoint, EndpointStatus, Media, User};
pub use dialog_info::{Dialog, DialogInfo, DialogReference, DialogState, Participant};
pub use error::DecodeError;
pub use presence::{ACTIVITIES, Person, Presence, Tuple};
pub use recording::{
    RecordedParticipant, RecordedSession, RecordedShare, RecordedStream, RecordingId,
    RecordingMetadata, Span,
};
pub use reginfo::{Contact, ContactEvent, ContactState, Reginfo, Registration, RegistrationState};
pub use resource_lists::{CopyControl, Entry, List, ResourceLists};
pub use summary::{MessageSummary, Waiting};
pub use tree::{Attribute, Element, Node};
pub use write::Writer;

/// Octets of a whole document, as many as a SIP message can hold.
pub const DOCUMENT_MAX: usize = 64 * 1024;

/// Elements within each other.
pub const DEPTH_MAX: usize = 32;

/// Elements of a document.
pub const ELEMENTS_MAX: usize = 4_096;

/// Attributes of one element, declarations of namespaces included.
pub const ATTRIBUTES_MAX: usize = 32;

/// Octets of the name of a namespace.
pub const NAMESPACE_MAX: usize = 256;
