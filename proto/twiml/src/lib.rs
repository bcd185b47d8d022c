//! Documents that say what happens to a call, in the vendor's words: read, checked, explained.
//!
//! Picture     octets --[`read`], or [`read_json`]--> a tree with places --the table--> findings, and the
//!             [`Document`] that runs unless one of them is an error
//! Rules       A warning costs an attribute or an element, never the call: the default is used and
//!             the rest runs. An error costs the document. Both carry the vendor's number. No
//!             document type, no entities but the five of XML and characters by number, UTF-8 only,
//!             so a small document stays small when it is read. What this server does not do is
//!             said when the document is read, not in the middle of the call.
//! Limits      [`DOCUMENT_MAX`], [`DEPTH_MAX`], [`ELEMENTS_MAX`], [`ATTRIBUTES_MAX`]; ten targets of
//!             a `<Dial>`.
//! Not here    Running it (services/voice), fetching it, addresses relative to it.
//! Spec        programmable-voice §1, §5; XML 1.0
#![deny(missing_docs)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

mod check;
mod finding;
mod json;
mod lint;
mod meet;
mod schema;
mod streams;
mod tree;
mod verbs;

pub use finding::{Class, Finding, Place, summary};
pub use lint::Use;
pub use meet::{Conference, Enqueue, Front, LABEL_MAX, Meet, QUEUE_NAME_MAX, Wait};
pub use streams::{CallRecording, Connect, Siprec, Start, Stop, Stream, Transcription};
pub use verbs::{
    Dial, DialRecord, Document, Gather, Hook, Machine, Method, Play, Prompt, Record, Refer, Say,
    Sound, SpeechTerms, Step, Target, Track, Verb, Who,
};

/// Octets of a whole document.
///
/// Spec: programmable-voice §1.1
pub const DOCUMENT_MAX: usize = 64 * 1024;

/// Elements within each other.
pub const DEPTH_MAX: usize = 16;

/// Elements of a document.
pub const ELEMENTS_MAX: usize = 2_048;

/// Attributes of one element.
pub const ATTRIBUTES_MAX: usize = 48;

/// Octets of what a document in JSON wants to hear again.
pub const STATE_MAX: usize = 4 * 1024;

/// What came of reading a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// What runs; none when one of the findings is an error.
    pub document: Option<Document>,
    /// What is wrong, in the order of the document.
    pub findings: Vec<Finding>,
    /// What a document in JSON wants to hear again with each question, as it was written.
    pub state: Option<String>,
}

/// Reads a document, for running it.
pub fn read(bytes: &[u8]) -> Reading {
    match tree::read(bytes) {
        Err(finding) => refused(finding),
        Ok(root) => reading(&root, check::check(&root)),
    }
}

/// Reads a document that came as JSON, for running it.
pub fn read_json(bytes: &[u8]) -> Reading {
    match json::read(bytes) {
        Err(finding) => refused(finding),
        Ok(json::Read { root, state, mut findings }) => {
            findings.extend(check::check(&root));
            Reading { state, ..reading(&root, findings) }
        }
    }
}

fn refused(finding: Finding) -> Reading {
    Reading { document: None, findings: vec![finding], state: None }
}

/// Reads a document for whoever writes it: with what runs, but hardly as it was meant.
pub fn lint(bytes: &[u8], purpose: Use) -> Reading {
    match tree::read(bytes) {
        Err(finding) => refused(finding),
        Ok(root) => {
            let mut findings = check::check(&root);
            findings.extend(lint::lint(&root, purpose));
            reading(&root, findings)
        }
    }
}

fn reading(root: &tree::Element, mut findings: Vec<Finding>) -> Reading {
    findings.sort_by_key(|finding| finding.place.at);
    let fatal = findings.iter().any(|finding| finding.class == Class::Error);
    Reading { document: (!fatal).then(|| Document::of(root)), findings, state: None }
}
