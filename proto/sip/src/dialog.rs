//! Dialogs: what two ends must remember to find each other again.
//!
//! Picture     INVITE or SUBSCRIBE of the peer --uas--> Dialog
//!             response to ours, with a To tag --uac--> Dialog
//!             Dialog --request, ack--> a message that its caller completes
//!             message of the peer --matches, accept--> judged
//! Rules       Plain data: no timer, no transaction, no early or confirmed; that is the leg's to
//!             know. Numbers of ours never repeat: they are reserved in blocks, and one that was
//!             read back goes on behind its block. A target or route that is not a SIP URI is
//!             refused, its escaped headers are dropped.
//! Limits      ROUTES_MAX routes, DIALOG_BYTES_MAX octets in all: a dialog is kept as long as its
//!             call.
//! Not here    Whether a request may be sent now, session descriptions, sending.
//! Spec        RFC 3261 §12

use types::tagged;

use crate::header::NameAddr;
use crate::limits::CSEQ_MAX;
use crate::transaction::MAX_FORWARDS;
use crate::write::Writer;
use crate::{DecodeError, Message, Method, Name, Scheme, Uri};

/// Most routes of a dialog. Above: 400.
pub const ROUTES_MAX: usize = 32;

/// Most octets of a dialog, routes included. Above: 513.
pub const DIALOG_BYTES_MAX: usize = 8_192;

/// How many CSeq numbers are reserved at once: one save of the dialog serves so many requests.
pub const CSEQ_BLOCK: u32 = 32;

/// One dialog, seen from our end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialog {
    call_id: Box<[u8]>,
    local_tag: Box<[u8]>,
    /// Empty for a peer of RFC 2543.
    remote_tag: Box<[u8]>,
    local_uri: Box<[u8]>,
    remote_uri: Box<[u8]>,
    target: Box<[u8]>,
    /// Route values in the order in which they are written.
    routes: Box<[Box<[u8]>]>,
    /// The number used last; 0 when there was none.
    local_cseq: u32,
    /// Numbers up to here may be used before the dialog is saved again.
    reserved_cseq: u32,
    /// The highest number the peer has used.
    remote_cseq: Option<u32>,
    secure: bool,
}

/// Why a request within a dialog is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Verdict {
    /// Its CSeq cannot be read.
    #[error("malformed CSeq")]
    Malformed,
    /// It belongs to another dialog, or to none.
    #[error("no such dialog")]
    NoDialog,
    /// A request with this number or a higher one came before.
    #[error("CSeq number out of order")]
    OutOfOrder,
}

impl Verdict {
    /// The status to answer. An ACK gets no answer.
    ///
    /// Spec: RFC 3261 §12.2.2
    pub const fn status(self) -> u16 {
        match self {
            Self::Malformed => 400,
            Self::NoDialog => 481,
            Self::OutOfOrder => 500,
        }
    }
}

impl Dialog {
    /// The dialog that a request of the peer begins, which we answer with `local_tag`.
    ///
    /// Errors: no Contact or one that is not a SIP URI, a malformed From, To, CSeq or Record-Route,
    /// a To tag that is not ours, a limit.
    ///
    /// Spec: RFC 3261 §12.1.1
    pub fn uas(request: &Message<'_>, local_tag: &[u8]) -> Result<Self, DecodeError> {
        let uri = request.request_uri().ok_or(DecodeError::StartLine)?;
        let (from, to) = (request.from()?, request.to()?);
        if to.tag().is_some_and(|tag| tag != local_tag) {
            return Err(DecodeError::Header(Name::To));
        }
        let target = target(request)?.ok_or(DecodeError::Missing(Name::Contact))?;
        Self {
            call_id: request.call_id().into(),
            local_tag: local_tag.into(),
            remote_tag: from.tag().unwrap_or_default().into(),
            local_uri: to.uri.into(),
            remote_uri: from.uri.into(),
            target,
            routes: routes(request, Order::AsWritten)?,
            local_cseq: 0,
            reserved_cseq: CSEQ_BLOCK,
            remote_cseq: Some(request.cseq()?.number),
            secure: Uri::decode(uri)?.scheme == Scheme::Sips,
        }
        .bounded()
    }

    /// The dialog that a response to a request of ours begins, whose From has `local_tag`.
    ///
    /// A response without Contact makes a dialog as well, with the peer's address of record as
    /// target: an answered call must at least be acknowledged and ended.
    ///
    /// Errors: another From tag, no To tag in a success, a malformed header, a limit.
    ///
    /// Spec: RFC 3261 §12.1.2
    pub fn uac(response: &Message<'_>, local_tag: &[u8]) -> Result<Self, DecodeError> {
        let (from, to) = (response.from()?, response.to()?);
        if response.is_request() || from.tag() != Some(local_tag) {
            return Err(DecodeError::Header(Name::From));
        }
        let remote_tag = to.tag().ok_or(DecodeError::Header(Name::To))?;
        let local_cseq = response.cseq()?.number;
        let target = target(response)?.unwrap_or_else(|| to.uri.into());
        let secure = Uri::decode(&target).is_ok_and(|uri| uri.scheme == Scheme::Sips);
        Self {
            call_id: response.call_id().into(),
            local_tag: local_tag.into(),
            remote_tag: remote_tag.into(),
            local_uri: from.uri.into(),
            remote_uri: to.uri.into(),
            target,
            routes: routes(response, Order::Reversed)?,
            local_cseq,
            reserved_cseq: block_from(local_cseq),
            remote_cseq: None,
            secure,
        }
        .bounded()
    }

    /// Whether a message of the peer belongs here: a request, or a response to a request of ours.
    ///
    /// Spec: RFC 3261 §12.2.2, §12.2.1.2
    pub fn matches(&self, message: &Message<'_>) -> bool {
        let (Ok(from), Ok(to)) = (message.from(), message.to()) else { return false };
        let (ours, theirs) = if message.is_request() { (to, from) } else { (from, to) };
        *self.call_id == *message.call_id()
            && ours.tag() == Some(&self.local_tag)
            && theirs.tag().unwrap_or_default() == &*self.remote_tag
    }

    /// Judges a request of the peer within the dialog and remembers its number.
    ///
    /// Repetitions must have met their transaction before: here the same number is out of order.
    /// ACK and CANCEL repeat the number of their INVITE, which other requests may have overtaken.
    ///
    /// Spec: RFC 3261 §12.2.2
    pub fn accept(&mut self, request: &Message<'_>) -> Result<(), Verdict> {
        if !request.is_request() || !self.matches(request) {
            return Err(Verdict::NoDialog);
        }
        let cseq = request.cseq().map_err(|_| Verdict::Malformed)?;
        let highest = self.remote_cseq;
        if matches!(request.method(), Method::Ack | Method::Cancel) {
            let known = highest.is_some_and(|highest| cseq.number <= highest);
            return if known { Ok(()) } else { Err(Verdict::OutOfOrder) };
        }
        if highest.is_some_and(|highest| cseq.number <= highest) {
            return Err(Verdict::OutOfOrder);
        }
        self.remote_cseq = Some(cseq.number);
        Ok(())
    }

    /// Takes the Contact of a request that refreshes the target (INVITE, UPDATE, SUBSCRIBE, NOTIFY,
    /// REFER), or of its success. `true`: it changed, so the dialog wants to be saved. A bad
    /// Contact changes nothing.
    ///
    /// Spec: RFC 3261 §12.2
    pub fn refresh_target(&mut self, message: &Message<'_>) -> bool {
        match target(message) {
            Ok(Some(target)) if target != self.target => {
                let fits = self.bytes() - self.target.len() + target.len() <= DIALOG_BYTES_MAX;
                if fits {
                    self.target = target;
                }
                fits
            }
            _ => false,
        }
    }

    /// An early dialog of ours is confirmed: route set and target are those of the success. Errors
    /// leave the dialog as it was.
    ///
    /// Spec: RFC 3261 §13.2.2.4
    pub fn confirm(&mut self, response: &Message<'_>) -> Result<(), DecodeError> {
        let routes = routes(response, Order::Reversed)?;
        let target = target(response)?.unwrap_or_else(|| self.target.clone());
        *self = Self { routes, target, ..self.clone() }.bounded()?;
        Ok(())
    }

    /// Makes sure that the next number of ours is covered by what was saved. `true`: a new block
    /// was begun; save the dialog before the request leaves.
    pub fn reserve(&mut self) -> bool {
        let spent = self.local_cseq >= self.reserved_cseq;
        if spent {
            self.reserved_cseq = block_from(self.local_cseq);
        }
        spent
    }

    /// Begins a request within the dialog: request line, Via, Route, Max-Forwards, From, To,
    /// Call-ID and a new CSeq. `via` is the whole value. The caller adds Contact and the rest and
    /// ends it.
    ///
    /// Spec: RFC 3261 §12.2.1.1
    pub fn request<'b>(
        &mut self,
        method: Method<'_>,
        out: &'b mut Vec<u8>,
        via: &[u8],
    ) -> Writer<'b> {
        self.reserve();
        self.local_cseq = (self.local_cseq + 1).min(CSEQ_MAX);
        self.begin(method, self.local_cseq, out, via)
    }

    /// Begins the ACK of a success to the INVITE of ours with this number. `via` has a branch of
    /// its own; the caller copies the credentials of the INVITE.
    ///
    /// Spec: RFC 3261 §13.2.2.4
    pub fn ack<'b>(&self, cseq: u32, out: &'b mut Vec<u8>, via: &[u8]) -> Writer<'b> {
        self.begin(Method::Ack, cseq, out, via)
    }

    /// The URI whose address the next request goes to: the first route, or else the target.
    ///
    /// Spec: RFC 3261 §12.2.1.1, §8.1.2
    pub fn next_hop(&self) -> &[u8] {
        let first = self.routes.first().and_then(|route| NameAddr::decode(route).ok());
        first.map_or(&self.target, |route| route.uri)
    }

    /// Octets that the dialog takes, its allocations included.
    pub fn bytes(&self) -> usize {
        let texts = [
            &self.call_id,
            &self.local_tag,
            &self.remote_tag,
            &self.local_uri,
            &self.remote_uri,
            &self.target,
        ];
        let routes: usize = self.routes.iter().map(|route| size_of_val(route) + route.len()).sum();
        size_of::<Self>() + texts.into_iter().map(|text| text.len()).sum::<usize>() + routes
    }

    /// Call-ID.
    pub fn call_id(&self) -> &[u8] {
        &self.call_id
    }

    /// The tag that we chose.
    pub fn local_tag(&self) -> &[u8] {
        &self.local_tag
    }

    /// The tag that the peer chose.
    pub fn remote_tag(&self) -> &[u8] {
        &self.remote_tag
    }

    /// Who we are in this dialog, without brackets.
    pub fn local_uri(&self) -> &[u8] {
        &self.local_uri
    }

    /// Who the peer is in this dialog, without brackets.
    pub fn remote_uri(&self) -> &[u8] {
        &self.remote_uri
    }

    /// Where the peer is reached, without brackets.
    pub fn target(&self) -> &[u8] {
        &self.target
    }

    /// Route values.
    pub fn routes(&self) -> impl Iterator<Item = &[u8]> {
        self.routes.iter().map(|route| &**route)
    }

    /// The number of our last request; 0 before the first.
    pub const fn local_cseq(&self) -> u32 {
        self.local_cseq
    }

    /// The highest number of the peer.
    pub const fn remote_cseq(&self) -> Option<u32> {
        self.remote_cseq
    }

    /// Whether it was begun with a `sips` URI: then it stays on TLS.
    pub const fn is_secure(&self) -> bool {
        self.secure
    }

    fn begin<'b>(
        &self,
        method: Method<'_>,
        cseq: u32,
        out: &'b mut Vec<u8>,
        via: &[u8],
    ) -> Writer<'b> {
        // A strict router wants itself as Request-URI and the target as the last route.
        let first = self.routes.first().and_then(|route| NameAddr::decode(route).ok());
        let strict = first.filter(|route| !route.uri().is_ok_and(|uri| uri.params.has("lr")));
        let (uri, skipped) = strict.map_or((&*self.target, 0), |route| (route.uri, 1));
        let mut writer = Writer::request(out, method.as_bytes(), uri);
        writer.header(Name::Via, via);
        for route in self.routes.iter().skip(skipped) {
            writer.header(Name::Route, route);
        }
        if strict.is_some() {
            writer.header_parts(Name::Route, &[b"<", &self.target, b">"]);
        }
        let number = cseq.to_string();
        writer
            .number(Name::MaxForwards, MAX_FORWARDS)
            .header_parts(Name::From, &[b"<", &self.local_uri, b">;tag=", &self.local_tag]);
        if self.remote_tag.is_empty() {
            writer.header_parts(Name::To, &[b"<", &self.remote_uri, b">"]);
        } else {
            let parts: [&[u8]; 4] = [b"<", &self.remote_uri, b">;tag=", &self.remote_tag];
            writer.header_parts(Name::To, &parts);
        }
        writer
            .header(Name::CallId, &self.call_id)
            .header_parts(Name::CSeq, &[number.as_bytes(), b" ", method.as_bytes()]);
        writer
    }

    fn bounded(self) -> Result<Self, DecodeError> {
        if self.call_id.is_empty() {
            return Err(DecodeError::Missing(Name::CallId));
        }
        if self.bytes() > DIALOG_BYTES_MAX {
            return Err(DecodeError::HeaderSectionLong);
        }
        Ok(self)
    }
}

/// Tags of the saved form. A number is never given a second meaning.
mod tag {
    pub const CALL_ID: u8 = 1;
    pub const LOCAL_TAG: u8 = 2;
    pub const REMOTE_TAG: u8 = 3;
    pub const LOCAL_URI: u8 = 4;
    pub const REMOTE_URI: u8 = 5;
    pub const TARGET: u8 = 6;
    /// Once per route, in order.
    pub const ROUTE: u8 = 7;
    pub const RESERVED_CSEQ: u8 = 8;
    /// Absent while the peer has sent no request.
    pub const REMOTE_CSEQ: u8 = 9;
    pub const SECURE: u8 = 10;
}

impl Dialog {
    /// Writes the fields for the keeper. What is saved of our numbers is the end of the block.
    pub fn encode(&self, out: &mut tagged::Writer) {
        out.bytes(tag::CALL_ID, &self.call_id)
            .bytes(tag::LOCAL_TAG, &self.local_tag)
            .bytes(tag::REMOTE_TAG, &self.remote_tag)
            .bytes(tag::LOCAL_URI, &self.local_uri)
            .bytes(tag::REMOTE_URI, &self.remote_uri)
            .bytes(tag::TARGET, &self.target)
            .number(tag::RESERVED_CSEQ, self.reserved_cseq.into())
            .number(tag::SECURE, self.secure.into());
        for route in &self.routes {
            out.bytes(tag::ROUTE, route);
        }
        if let Some(number) = self.remote_cseq {
            out.number(tag::REMOTE_CSEQ, number.into());
        }
    }

    /// Reads what [`encode`](Self::encode) wrote, in this version or a neighbouring one: unknown
    /// fields are skipped. `None` when a field is missing without which there is no dialog. The
    /// first request after it gets a number behind the saved block.
    pub fn decode(fields: tagged::Reader<'_>) -> Option<Self> {
        let [mut call_id, mut local_tag, mut remote_tag] = [const { None }; 3];
        let [mut local_uri, mut remote_uri, mut target] = [const { None }; 3];
        let (mut reserved_cseq, mut remote_cseq, mut secure) = (None, None, false);
        let mut routes = Vec::new();
        let number = |field: tagged::Field<'_>| {
            field.number().and_then(|n| u32::try_from(n).ok()).filter(|n| *n <= CSEQ_MAX)
        };
        for (name, field) in fields {
            match name {
                tag::CALL_ID => call_id = Some(field.0.into()),
                tag::LOCAL_TAG => local_tag = Some(field.0.into()),
                tag::REMOTE_TAG => remote_tag = Some(field.0.into()),
                tag::LOCAL_URI => local_uri = Some(field.0.into()),
                tag::REMOTE_URI => remote_uri = Some(field.0.into()),
                tag::TARGET => target = Some(field.0.into()),
                tag::ROUTE => routes.push(field.0.into()),
                tag::RESERVED_CSEQ => reserved_cseq = number(field),
                tag::REMOTE_CSEQ => remote_cseq = number(field),
                tag::SECURE => secure = field.number() == Some(1),
                _ => (), // A newer version wrote it.
            }
        }
        let reserved_cseq = reserved_cseq?;
        Some(Self {
            call_id: call_id?,
            local_tag: local_tag?,
            remote_tag: remote_tag?,
            local_uri: local_uri?,
            remote_uri: remote_uri?,
            target: target?,
            routes: routes.into(),
            local_cseq: reserved_cseq,
            reserved_cseq,
            remote_cseq,
            secure,
        })
    }
}

/// The end of the block that begins behind `number`.
fn block_from(number: u32) -> u32 {
    number.saturating_add(CSEQ_BLOCK).min(CSEQ_MAX)
}

/// The URI of the first Contact, without escaped headers. `None`: there is no Contact.
fn target(message: &Message<'_>) -> Result<Option<Box<[u8]>>, DecodeError> {
    let bad = DecodeError::Header(Name::Contact);
    let Some(contact) = message.contacts().next() else { return Ok(None) };
    let contact = contact?;
    let address = contact.address().ok_or(bad)?;
    let uri = address.uri().map_err(|_| bad)?;
    if !matches!(uri.scheme, Scheme::Sip | Scheme::Sips) {
        return Err(bad);
    }
    // What follows the question mark would be headers of our next request, chosen by the peer.
    let plain = address.uri.split(|octet| *octet == b'?').next().unwrap_or_default();
    Ok(Some(plain.into()))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    AsWritten,
    Reversed,
}

fn routes(message: &Message<'_>, order: Order) -> Result<Box<[Box<[u8]>]>, DecodeError> {
    let bad = DecodeError::Header(Name::RecordRoute);
    let mut routes: Vec<Box<[u8]>> = Vec::new();
    for value in message.values(Name::RecordRoute) {
        let uri = NameAddr::decode(value).and_then(|route| route.uri()).map_err(|_| bad)?;
        if routes.len() == ROUTES_MAX || !matches!(uri.scheme, Scheme::Sip | Scheme::Sips) {
            return Err(bad);
        }
        routes.push(value.into());
    }
    if order == Order::Reversed {
        routes.reverse();
    }
    Ok(routes.into())
}

#[cfg(test)]
mod tests;
