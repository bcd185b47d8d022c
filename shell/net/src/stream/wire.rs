//! What stands between octets and messages on one connection: SIP's own framing, or WebSocket's.

use sip::stream::{Broken, Frame, Framer};
use sip::{DecodeError, Framing, Message};
use tungstenite::protocol::frame::coding::CloseCode;

use super::web_socket::{Step, WebSocket, wrap};

/// The answer to a ping. Spec: RFC 5626 §3.5.1.
const PONG: &[u8] = b"\r\n";

/// What came off the wire.
pub(super) enum Got {
    /// One whole message.
    Message(Vec<u8>),
    /// Nonsense; nothing follows.
    Bad(Vec<u8>, DecodeError),
    /// A keep-alive.
    Ping,
    /// To be written as it is.
    Reply(Vec<u8>),
    /// To be written as it is; nothing follows. Why, when the peer is to blame.
    Last(Vec<u8>, Option<&'static str>),
}

pub(super) enum Wire {
    Octets { framer: Framer, pong: bool },
    Web(Box<WebSocket>),
}

impl Wire {
    pub fn octets() -> Self {
        Self::Octets { framer: Framer::new(), pong: false }
    }

    pub fn web(origins: &[String]) -> Self {
        Self::Web(Box::new(WebSocket::new(origins)))
    }

    pub fn push(&mut self, octets: &[u8]) {
        match self {
            Self::Octets { framer, .. } => framer.push(octets),
            Self::Web(socket) => socket.push(octets),
        }
    }

    /// Whether something has begun that is not whole.
    pub fn is_within_message(&self) -> bool {
        match self {
            Self::Octets { framer, .. } => framer.is_within_message(),
            Self::Web(socket) => socket.is_within_message(),
        }
    }

    /// What ends the conversation in the peer's language, when it is closed for its manners.
    pub fn farewell(&mut self) -> Option<Vec<u8>> {
        let Self::Web(socket) = self else { return None };
        socket.end(CloseCode::Policy);
        match socket.last() {
            Some(Step::Last(octets)) => Some(octets),
            Some(Step::Message(_) | Step::Ping | Step::Reply(_)) | None => None,
        }
    }

    /// A message of ours as it stands on the wire of a WebSocket.
    pub fn wrap(is_web: bool, message: &[u8], out: &mut Vec<u8>) {
        if is_web {
            out.extend_from_slice(&wrap(message));
        } else {
            out.extend_from_slice(message);
        }
    }
}

impl Iterator for Wire {
    type Item = Got;

    fn next(&mut self) -> Option<Got> {
        match self {
            Self::Octets { framer, pong } => {
                if std::mem::take(pong) {
                    return Some(Got::Reply(PONG.to_vec()));
                }
                match framer.next()? {
                    Ok(Frame::Message(bytes)) => Some(Got::Message(bytes)),
                    Ok(Frame::Ping) => {
                        *pong = true;
                        Some(Got::Ping)
                    }
                    Ok(Frame::Pong) => Some(Got::Ping),
                    Err(Broken { error, head }) => Some(Got::Bad(head, error)),
                }
            }
            Self::Web(socket) => Some(match socket.next()? {
                Step::Message(bytes) => match Message::decode(&bytes, Framing::Datagram) {
                    Ok(_) => Got::Message(bytes),
                    Err(why) => Got::Bad(bytes, why),
                },
                Step::Ping => Got::Ping,
                Step::Reply(octets) => Got::Reply(octets),
                Step::Last(octets) => Got::Last(octets, socket.blame()),
            }),
        }
    }
}
