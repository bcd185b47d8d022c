//! One message: its start line, an index of its header lines, and its body.

mod decode;
mod head;

use smallvec::SmallVec;

pub use decode::Framing;
pub(crate) use decode::{read, skip_line_breaks};
pub use head::Head;

use crate::header::{self, CSeq, Contact, Name, NameAddr, Via};
use crate::{DecodeError, Method, Uri, limits, scan};

/// A message that borrows the bytes it came in.
///
/// All values are octets as they stand on the wire, trimmed; a folded value keeps its fold, which
/// counts as white space for every typed view and which the [`Writer`](crate::write::Writer) takes
/// out.
#[derive(Clone)]
pub struct Message<'a> {
    /// Without line breaks in front and stray octets behind.
    bytes: &'a [u8],
    start: Start<'a>,
    slots: SmallVec<[Slot; limits::HEADERS_INLINE]>,
    /// For each name, one more than the slot of its first line; 0 when it is not there.
    firsts: [u16; header::NAME_COUNT],
    body_at: usize,
    known: Known<'a>,
}

/// What everybody asks for, several times: read once, with the message.
#[derive(Clone)]
struct Known<'a> {
    from: Result<NameAddr<'a>, DecodeError>,
    to: Result<NameAddr<'a>, DecodeError>,
    via: Result<Via<'a>, DecodeError>,
}

impl Known<'_> {
    /// Nothing is there.
    const NOTHING: Self = Self {
        from: Err(DecodeError::Missing(Name::From)),
        to: Err(DecodeError::Missing(Name::To)),
        via: Err(DecodeError::Missing(Name::Via)),
    };
}

/// Where one header line is. Offsets fit, since a message is at most 65,536 octets and ends its
/// header section with a line break.
#[derive(Clone, Copy, Debug)]
struct Slot {
    name: Name,
    name_at: u16,
    name_end: u16,
    value_at: u16,
    value_end: u16,
}

/// The first line of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start<'a> {
    /// A request line.
    Request {
        /// What is asked.
        method: Method<'a>,
        /// The Request-URI as it stands there.
        uri: &'a [u8],
    },
    /// A status line.
    Response {
        /// 100 to 699.
        status: u16,
        /// The phrase, which may be empty and need not be UTF-8.
        reason: &'a [u8],
    },
}

/// One header line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// Its name, whichever way it was spelt.
    pub name: Name,
    /// Its name as it was spelt.
    pub raw_name: &'a [u8],
    /// Its value, trimmed, maybe folded.
    pub value: &'a [u8],
}

impl<'a> Message<'a> {
    /// The first line.
    pub fn start(&self) -> Start<'a> {
        self.start
    }

    /// The method of a request; of a response, that of its CSeq (`Other(b"")` when that is
    /// malformed).
    pub fn method(&self) -> Method<'a> {
        match self.start {
            Start::Request { method, .. } => method,
            Start::Response { .. } => self.cseq().map_or(Method::Other(b""), |cseq| cseq.method),
        }
    }

    /// The status of a response.
    pub fn status(&self) -> Option<u16> {
        match self.start {
            Start::Request { .. } => None,
            Start::Response { status, .. } => Some(status),
        }
    }

    /// The phrase of a response.
    pub fn reason(&self) -> Option<&'a [u8]> {
        match self.start {
            Start::Request { .. } => None,
            Start::Response { reason, .. } => Some(reason),
        }
    }

    /// The Request-URI of a request.
    pub fn request_uri(&self) -> Option<&'a [u8]> {
        match self.start {
            Start::Request { uri, .. } => Some(uri),
            Start::Response { .. } => None,
        }
    }

    /// Whether this is a request.
    pub fn is_request(&self) -> bool {
        matches!(self.start, Start::Request { .. })
    }

    /// All header lines, in order.
    pub fn headers(&self) -> impl Iterator<Item = Header<'a>> {
        let bytes = self.bytes;
        self.slots.iter().map(move |slot| Header {
            name: slot.name,
            raw_name: slot.raw_name(bytes),
            value: slot.value(bytes),
        })
    }

    /// The value of the first line of this name. Of [`Name::Other`], that of the first unknown
    /// header.
    pub fn first(&self, name: Name) -> Option<&'a [u8]> {
        let at = self.first_at(name)?;
        self.slots.get(at).map(|slot| slot.value(self.bytes))
    }

    /// The values of every line of this name, in order.
    pub fn all(&self, name: Name) -> impl Iterator<Item = &'a [u8]> {
        let bytes = self.bytes;
        let slots = self.first_at(name).and_then(|at| self.slots.get(at..)).unwrap_or_default();
        slots.iter().filter(move |slot| slot.name == name).map(move |slot| slot.value(bytes))
    }

    /// The comma-separated values over every line of this name, in order; quotes and `<>` are
    /// respected, empty values left out. Not for headers of authentication, whose commas separate
    /// parameters.
    pub fn values(&self, name: Name) -> impl Iterator<Item = &'a [u8]> {
        self.all(name).flat_map(header::elements)
    }

    /// The value of the first line of a header that has no [`Name`] of its own, in any case.
    pub fn first_named(&self, raw_name: &str) -> Option<&'a [u8]> {
        let mut headers = self.headers();
        headers.find(|h| h.raw_name.eq_ignore_ascii_case(raw_name.as_bytes())).map(|h| h.value)
    }

    /// Whether a header whose values are tokens (Require, Supported, Allow) has this one, in any
    /// case.
    pub fn has_token(&self, name: Name, token: &str) -> bool {
        self.values(name).any(|value| value.eq_ignore_ascii_case(token.as_bytes()))
    }

    /// The Call-ID; empty when there is none, which [`check`](Self::check) refuses.
    pub fn call_id(&self) -> &'a [u8] {
        self.first(Name::CallId).unwrap_or_default()
    }

    /// From.
    pub fn from(&self) -> Result<NameAddr<'a>, DecodeError> {
        self.known.from
    }

    /// To.
    pub fn to(&self) -> Result<NameAddr<'a>, DecodeError> {
        self.known.to
    }

    /// CSeq.
    pub fn cseq(&self) -> Result<CSeq<'a>, DecodeError> {
        CSeq::decode(self.first(Name::CSeq).ok_or(DecodeError::Missing(Name::CSeq))?)
    }

    /// The topmost Via.
    pub fn via(&self) -> Result<Via<'a>, DecodeError> {
        self.known.via
    }

    /// Every Contact.
    pub fn contacts(&self) -> impl Iterator<Item = Result<Contact<'a>, DecodeError>> {
        self.values(Name::Contact)
            .map(|value| Contact::decode(value).map_err(|_| DecodeError::Header(Name::Contact)))
    }

    /// The name and address in the first value of this header: P-Asserted-Identity, Refer-To and so
    /// on.
    pub fn name_addr(&self, name: Name) -> Result<NameAddr<'a>, DecodeError> {
        match name {
            Name::From => self.from(),
            Name::To => self.to(),
            _ => self.read_name_addr(name),
        }
    }

    /// Reads what is asked for time and again, when all lines are there.
    fn learn(&mut self) {
        let via = self.values(Name::Via).next().ok_or(DecodeError::Missing(Name::Via));
        self.known = Known {
            from: self.read_name_addr(Name::From),
            to: self.read_name_addr(Name::To),
            via: via.and_then(Via::decode),
        };
    }

    fn read_name_addr(&self, name: Name) -> Result<NameAddr<'a>, DecodeError> {
        // From and To are one value each: a comma there is an error, not a separator.
        let value = match name {
            Name::From | Name::To => self.first(name),
            _ => self.values(name).next(),
        };
        let value = value.ok_or(DecodeError::Missing(name))?;
        NameAddr::decode(value).map_err(|_| DecodeError::Header(name))
    }

    /// Max-Forwards; `None` when there is none. Errors: not a number from 0 to 255.
    pub fn max_forwards(&self) -> Result<Option<u8>, DecodeError> {
        let Some(value) = self.first(Name::MaxForwards) else { return Ok(None) };
        let hops = scan::number(value).and_then(|hops| u8::try_from(hops).ok());
        hops.map(Some).ok_or(DecodeError::Header(Name::MaxForwards))
    }

    /// Expires in seconds, saturating; `None` when there is none. Errors: not a number.
    pub fn expires(&self) -> Result<Option<u32>, DecodeError> {
        let Some(value) = self.first(Name::Expires) else { return Ok(None) };
        header::seconds(value).map(Some).ok_or(DecodeError::Header(Name::Expires))
    }

    /// Content-Type without its parameters, which [`header::tail`] reads.
    pub fn content_type(&self) -> Option<&'a [u8]> {
        self.first(Name::ContentType).map(header::head)
    }

    /// The body.
    pub fn body(&self) -> &'a [u8] {
        scan::skip(self.bytes, self.body_at)
    }

    /// The message without line breaks in front and stray octets behind.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Judges what deserves a 400 (or what [`DecodeError::status`] says): the headers every message
    /// needs are there once and well-formed, CSeq agrees with the request, the Request-URI can be
    /// read and carries no headers, counts and sizes are within limits. A missing From tag or
    /// Max-Forwards passes: RFC 2543 peers have none.
    ///
    /// Spec: RFC 3261 §8.1.1, §8.2, §16.3
    pub fn check(&self) -> Result<(), DecodeError> {
        for slot in &self.slots {
            // Only the first line of a name stands in the table, so another one is a duplicate.
            if ONCE.contains(&slot.name) && !self.is_first(slot) {
                return Err(DecodeError::Duplicate(slot.name));
            }
        }
        let via = self.via().map_err(|error| match error {
            DecodeError::Version | DecodeError::Missing(_) => error,
            _ => DecodeError::Via,
        })?;
        bounded(via.branch(), Name::Via)?;
        if self.values(Name::Via).take(limits::VIA_MAX + 1).count() > limits::VIA_MAX {
            return Err(DecodeError::ViasMany);
        }
        for name in [Name::From, Name::To] {
            let address = self.name_addr(name)?;
            address.uri().map_err(|_| DecodeError::Header(name))?;
            bounded(address.tag(), name)?;
        }
        if self.first(Name::CallId).ok_or(DecodeError::Missing(Name::CallId))?.is_empty() {
            return Err(DecodeError::Header(Name::CallId));
        }
        bounded(self.first(Name::CallId), Name::CallId)?;
        let cseq = self.cseq()?;
        self.max_forwards()?;
        if let Start::Request { method, uri } = self.start {
            if cseq.method != method {
                return Err(DecodeError::CSeqMethod);
            }
            if !Uri::decode(uri)?.headers.is_empty() {
                return Err(DecodeError::RequestUriHeaders);
            }
        }
        Ok(())
    }

    fn first_at(&self, name: Name) -> Option<usize> {
        self.firsts.get(name as usize).and_then(|at| usize::from(*at).checked_sub(1))
    }

    fn is_first(&self, slot: &Slot) -> bool {
        let first = self.first_at(slot.name).and_then(|at| self.slots.get(at));
        first.is_some_and(|first| first.name_at == slot.name_at)
    }
}

/// The headers that may stand once in any message.
const ONCE: [Name; 6] =
    [Name::CSeq, Name::CallId, Name::ContentType, Name::From, Name::MaxForwards, Name::To];

fn bounded(identifier: Option<&[u8]>, name: Name) -> Result<(), DecodeError> {
    if identifier.is_some_and(|identifier| identifier.len() > limits::IDENTIFIER_MAX) {
        return Err(DecodeError::IdentifierLong(name));
    }
    Ok(())
}

impl Slot {
    fn raw_name<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        bytes.get(usize::from(self.name_at)..usize::from(self.name_end)).unwrap_or_default()
    }

    fn value<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        bytes.get(usize::from(self.value_at)..usize::from(self.value_end)).unwrap_or_default()
    }
}

impl std::fmt::Debug for Message<'_> {
    /// Who and what, without addresses and bodies: a message holds what a log should not.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Message")
            .field("method", &self.method())
            .field("status", &self.status())
            .field("headers", &self.slots.len())
            .field("octets", &self.bytes.len())
            .finish()
    }
}

#[cfg(test)]
mod tests;
