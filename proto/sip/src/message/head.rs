//! The head of a message that outlives its octets.

use super::decode::start_line;
use super::{Framing, Known, Message, Slot};
use crate::header::Name;
use crate::{DecodeError, header, scan};

/// The head of a message, kept with its index: to be looked at time and again without being read anew.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// Empty: nothing is kept.
    bytes: Box<[u8]>,
    slots: Box<[Slot]>,
}

impl Head {
    /// Reads the head of a message; its body is left out, so it should say nothing of a length.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let message = Message::decode(bytes, Framing::Datagram)?;
        let head = message.bytes.get(..message.body_at).unwrap_or_default();
        Ok(Self { bytes: head.into(), slots: message.slots.as_slice().into() })
    }

    /// The octets.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The message, without a body. `None` when nothing is kept.
    pub fn message(&self) -> Option<Message<'_>> {
        let end = memchr::memchr(b'\r', &self.bytes)?;
        let (start, _) = start_line(scan::split(&self.bytes, end).0);
        let mut message = Message {
            bytes: &self.bytes,
            start,
            slots: self.slots.as_ref().into(),
            firsts: [0; header::NAME_COUNT],
            body_at: self.bytes.len(),
            known: Known::NOTHING,
        };
        for (place, slot) in (1..).zip(&self.slots) {
            if let Some(first) = message.firsts.get_mut(slot.name as usize).filter(|at| **at == 0) {
                *first = place;
            }
        }
        message.learn();
        Some(message)
    }
}

impl Message<'_> {
    /// The head as a message of its own that has no body: without the lines of this name, such as Content-Length.
    pub fn head_without(&self, name: Name) -> Head {
        let mut bytes = Vec::with_capacity(self.body_at);
        let mut slots = Vec::with_capacity(self.slots.len());
        let (mut kept, mut cut) = (0, 0);
        for (place, slot) in self.slots.iter().enumerate() {
            if slot.name != name {
                slots.push(slot.moved(cut));
                continue;
            }
            let next = self.slots.get(place + 1).map(|next| usize::from(next.name_at));
            // Behind the last line stands the empty one.
            let end = next.unwrap_or(self.body_at.saturating_sub(2));
            bytes.extend_from_slice(self.bytes.get(kept..slot.name_at.into()).unwrap_or_default());
            cut += end.saturating_sub(slot.name_at.into());
            kept = end;
        }
        bytes.extend_from_slice(self.bytes.get(kept..self.body_at).unwrap_or_default());
        Head { bytes: bytes.into_boxed_slice(), slots: slots.into_boxed_slice() }
    }
}

impl Slot {
    /// The same line, so many octets further to the front.
    fn moved(self, cut: usize) -> Self {
        let cut = |at: u16| at.saturating_sub(cut as u16); // Never more than what is in front of it.
        Self {
            name: self.name,
            name_at: cut(self.name_at),
            name_end: cut(self.name_end),
            value_at: cut(self.value_at),
            value_end: cut(self.value_end),
        }
    }
}

#[cfg(test)]
mod tests {
    use types::Rng;

    use super::*;

    const INVITE: &[u8] = b"INVITE sip:b@example.org SIP/2.0\r\nl: 4\r\nVia: SIP/2.0/UDP a;branch=z9hG4bKx\r\n\
        Via: SIP/2.0/UDP b;branch=z9hG4bKy\r\nFrom: <sip:a@example.org>;tag=1\r\nTo: <sip:b@example.org>\r\n\
        Call-ID: c\r\nContent-Length: 4\r\nCSeq: 1\r\n INVITE\r\nX-Own: 7\r\n\r\nbody";

    /// What the index says is what reading says.
    #[track_caller]
    fn same(head: &Head) {
        let (kept, read) =
            (head.message().unwrap(), Message::decode(head.bytes(), Framing::Datagram).unwrap());
        assert_eq!((kept.start(), kept.body()), (read.start(), read.body()));
        assert!(kept.headers().eq(read.headers()));
        for header in read.headers() {
            assert_eq!(kept.first(header.name), read.first(header.name));
        }
    }

    #[test]
    fn a_kept_head_is_the_message_without_the_line_and_the_body() {
        let message = Message::decode(INVITE, Framing::Datagram).unwrap();
        let head = message.head_without(Name::ContentLength);
        same(&head);
        let kept = head.message().unwrap();
        assert_eq!((kept.first(Name::ContentLength), kept.body()), (None, &b""[..]));
        assert_eq!(kept.headers().count(), message.headers().count() - 2);
        assert_eq!(kept.cseq().unwrap().number, 1);
        assert_eq!(kept.first_named("x-own"), Some(&b"7"[..]));
        same(&Head::decode(head.bytes()).unwrap());
        same(&kept.head_without(Name::Other));
        assert!(Head::default().message().is_none());
    }

    #[test]
    fn hostile_octets_never_panic() {
        let mut rng = Rng::from_number(3261);
        for _ in 0..20_000 {
            let mut bytes = INVITE.to_vec();
            for _ in 0..=rng.below(4) {
                let at = rng.below(bytes.len() as u64) as usize;
                bytes[at] = *b"\r\n: ;\0x".get(rng.below(7) as usize).unwrap_or(&b'l');
            }
            if let Ok(message) = Message::decode(&bytes, Framing::Datagram) {
                same(&message.head_without(Name::ContentLength));
            }
            if let Ok(head) = Head::decode(&bytes) {
                assert!(head.message().is_some());
            }
        }
    }
}
