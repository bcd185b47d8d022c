//! What can be wrong with a document.

/// A peer sent nonsense. Each variant says where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// An attribute is malformed or stands twice.
    #[error("malformed attribute near octet {at}")]
    Attribute {
        /// Octets from the start.
        at: usize,
    },
    /// More than [`ATTRIBUTES_MAX`](crate::ATTRIBUTES_MAX) attributes.
    #[error("too many attributes near octet {at}")]
    AttributesMany {
        /// Octets from the start.
        at: usize,
    },
    /// A character that XML does not have.
    #[error("forbidden character near octet {at}")]
    Character {
        /// Octets from the start.
        at: usize,
    },
    /// More than [`DEPTH_MAX`](crate::DEPTH_MAX) elements within each other.
    #[error("elements too deep")]
    Depth,
    /// A document type, which could define entities.
    #[error("document type declarations are refused")]
    Doctype,
    /// More than [`ELEMENTS_MAX`](crate::ELEMENTS_MAX) elements.
    #[error("too many elements")]
    ElementsMany,
    /// Not UTF-8, or declared to be something else.
    #[error("not UTF-8")]
    Encoding,
    /// An entity that is not one of the five of XML.
    #[error("unknown entity near octet {at}")]
    Entity {
        /// Octets from the start.
        at: usize,
    },
    /// An attribute or element that this document must have is not there.
    #[error("{0} missing")]
    Missing(&'static str),
    /// A prefix that nobody declared, or a name of a namespace that is too long.
    #[error("malformed namespace near octet {at}")]
    Namespace {
        /// Octets from the start.
        at: usize,
    },
    /// Another document than the one that was asked for.
    #[error("not a {0} document")]
    Root(&'static str),
    /// The tags do not make one tree.
    #[error("malformed XML near octet {at}")]
    Syntax {
        /// Octets from the start.
        at: usize,
    },
    /// More than [`DOCUMENT_MAX`](crate::DOCUMENT_MAX) octets.
    #[error("document too long")]
    TooLong,
    /// A value that this document does not know or that is out of range.
    #[error("malformed {0}")]
    Value(&'static str),
}
