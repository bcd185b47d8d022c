//! Cutting a stream into messages.
//!
//! Spec: RFC 3261 §18.3, RFC 5626 §3.5.1

use crate::message::{read, skip_line_breaks};
use crate::{DecodeError, limits, scan};

/// What came out of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// One whole message, to be read with [`Framing::Stream`](crate::Framing::Stream).
    Message(Vec<u8>),
    /// Two line breaks: the peer wants one back (`Pong`, which a server writes as CR LF).
    Ping,
    /// One line break: the answer to a ping, or the first half of one. Servers ignore it.
    Pong,
}

/// The stream cannot be cut any further: refuse and close.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Why.
    pub error: DecodeError,
    /// What there was of the message, for [`Message::for_refusal`](crate::Message::for_refusal).
    pub head: Vec<u8>,
}

/// Takes octets as they arrive and gives messages as they become whole. Holds at most one push more
/// than [`MESSAGE_MAX`](limits::MESSAGE_MAX) octets when drained after each push.
#[derive(Debug, Default)]
pub struct Framer {
    buffer: Vec<u8>,
    /// Octets at the front that were handed out.
    taken: usize,
    state: State,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    /// Between messages.
    #[default]
    Between,
    /// Between messages, behind one line break.
    HalfPing,
    /// Within the headers; the first `searched` octets do not hold their end.
    Head { searched: usize },
    /// Headers are whole; waiting for this many octets in all.
    Body { total: usize },
    /// Nothing that follows can be trusted.
    Closed,
}

impl Framer {
    /// An empty stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds what arrived. Drain the iterator afterwards.
    pub fn push(&mut self, bytes: &[u8]) {
        if matches!(self.state, State::Closed) {
            return;
        }
        self.buffer.drain(..self.taken.min(self.buffer.len()));
        self.taken = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether the stream is within a message: then a long silence is a reason to close.
    pub fn is_within_message(&self) -> bool {
        matches!(self.state, State::Head { .. } | State::Body { .. })
    }

    fn pending(&self) -> &[u8] {
        scan::skip(&self.buffer, self.taken)
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        let taken = scan::split(self.pending(), count).0.to_vec();
        self.taken += taken.len();
        taken
    }

    fn fail(&mut self, error: DecodeError) -> Broken {
        let pending = self.pending();
        let head = scan::split(pending, limits::HEADER_SECTION_MAX).0.to_vec();
        *self = Self { state: State::Closed, ..Self::default() };
        Broken { error, head }
    }

    /// A line break is a keep-alive, anything else begins a message.
    fn between(&mut self, after_pong: bool) -> Option<Frame> {
        match self.pending() {
            [] | [b'\r'] => None,
            [b'\r', b'\n', ..] => {
                self.taken += 2;
                self.state = if after_pong { State::Between } else { State::HalfPing };
                Some(if after_pong { Frame::Ping } else { Frame::Pong })
            }
            _ => {
                self.state = State::Head { searched: 0 };
                None
            }
        }
    }

    /// Looks for the end of the headers and reads how much follows.
    fn head(&mut self, searched: usize) -> Result<bool, DecodeError> {
        let pending = self.pending();
        // No method begins otherwise: this is TLS, STUN or noise, and waiting would not help.
        if !pending.first().is_some_and(|first| scan::is_token(*first)) {
            return Err(DecodeError::StartLine);
        }
        let found = memchr::memmem::find(scan::skip(pending, searched), b"\r\n\r\n");
        let head = match found {
            Some(at) => searched + at + 4,
            None if pending.len() >= limits::HEADER_SECTION_MAX => {
                return Err(DecodeError::HeaderSectionLong);
            }
            None => {
                self.state = State::Head { searched: pending.len().saturating_sub(3) };
                return Ok(false);
            }
        };
        let total = total_len(scan::split(pending, head).0)?;
        self.state = State::Body { total };
        Ok(true)
    }
}

impl Iterator for Framer {
    type Item = Result<Frame, Broken>;

    /// The next frame; `None` until more is pushed, and for ever after an error.
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.state {
                State::Closed => return None,
                State::Between | State::HalfPing => {
                    let frame = self.between(matches!(self.state, State::HalfPing));
                    if frame.is_some() || !matches!(self.state, State::Head { .. }) {
                        return frame.map(Ok);
                    }
                }
                State::Head { searched } => match self.head(searched) {
                    Ok(true) => (),
                    Ok(false) => return None,
                    Err(error) => return Some(Err(self.fail(error))),
                },
                State::Body { total } => {
                    if self.pending().len() < total {
                        return None;
                    }
                    self.state = State::Between;
                    return Some(Ok(Frame::Message(self.take(total))));
                }
            }
        }
    }
}

/// Octets of the message with this head. A fault that leaves its extent in no doubt is not one
/// here: the message goes out whole and is refused by who decodes it.
fn total_len(head: &[u8]) -> Result<usize, DecodeError> {
    let (message, fault) = read(skip_line_breaks(head));
    match fault {
        None
        | Some(
            DecodeError::HeaderLine { .. }
            | DecodeError::Status
            | DecodeError::UriLong
            | DecodeError::Version,
        ) => (),
        // A start line that is SIP but malformed. What names another protocol goes on in that.
        Some(DecodeError::StartLine) if names_sip(head) => (),
        Some(fault) => return Err(fault),
    }
    let length = message.content_length()?.ok_or(DecodeError::ContentLengthMissing)?;
    match head.len().checked_add(length) {
        Some(total) if total <= limits::MESSAGE_MAX => Ok(total),
        _ => Err(DecodeError::MessageLong),
    }
}

/// Whether the first line says that this is SIP.
fn names_sip(head: &[u8]) -> bool {
    let line = scan::split_once(skip_line_breaks(head), b'\n').map_or(head, |(line, _)| line);
    line.windows(4).any(|four| four.eq_ignore_ascii_case(b"SIP/"))
}

#[cfg(test)]
mod tests;
