//! RTP and RTCP as far as a relay and a simple phone look into them.

use thiserror::Error;

/// Octets of an RTP header without sources and extension.
pub const HEADER_MIN: usize = 12;

/// Why some bytes are not an RTP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The header extension is longer than the packet.
    #[error("the header extension is longer than the packet")]
    Extension,
    /// More padding than payload, or padding of no length.
    #[error("the padding does not fit the payload")]
    Padding,
    /// Shorter than its own header.
    #[error("the packet is shorter than its header")]
    Truncated,
    /// Not version 2.
    #[error("the version is not 2")]
    Version,
}

/// What a datagram on a media port is, by its first octets.
///
/// Spec: RFC 7983 §7, RFC 5761 §4
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A DTLS record, which keys a stream end to end.
    Dtls,
    /// Control.
    Rtcp,
    /// Media.
    Rtp,
}

impl Kind {
    /// Looks at a datagram; `None` for what no media port takes. The payload may be encrypted: only
    /// what stays in the clear is judged.
    pub fn of(datagram: &[u8]) -> Option<Self> {
        let (&first, &second) = (datagram.first()?, datagram.get(1)?);
        match first {
            20..=63 => (datagram.len() >= 13).then_some(Self::Dtls),
            128..=191 if matches!(second, 192..=223) => {
                let words = u16::from_be_bytes([*datagram.get(2)?, *datagram.get(3)?]);
                let length = (usize::from(words) + 1) * 4;
                (length >= 8 && length <= datagram.len()).then_some(Self::Rtcp)
            }
            128..=191 => Header::decode(datagram).is_ok().then_some(Self::Rtp),
            0..=19 | 64..=127 | 192..=255 => None,
        }
    }
}

/// The fixed part of an RTP header.
///
/// Spec: RFC 3550 §5.1
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Marks the first packet of a talk spurt, or the start of a tone.
    pub marker: bool,
    /// What the payload is, 0 to 127.
    pub payload_type: u8,
    /// Counts packets.
    pub sequence: u16,
    /// Counts samples.
    pub timestamp: u32,
    /// Who sends.
    pub ssrc: u32,
}

impl Header {
    /// Reads a header and says where the payload begins.
    pub fn decode(packet: &[u8]) -> Result<(Self, usize), DecodeError> {
        let Some((fixed, rest)) = packet.split_first_chunk::<HEADER_MIN>() else {
            return Err(DecodeError::Truncated);
        };
        let [flags, kind, s0, s1, t0, t1, t2, t3, i0, i1, i2, i3] = *fixed;
        if flags >> 6 != 2 {
            return Err(DecodeError::Version);
        }
        let sources = usize::from(flags & 0x0f) * 4;
        let mut start = HEADER_MIN + sources;
        let after = rest.get(sources..).ok_or(DecodeError::Truncated)?;
        if flags & 0x10 != 0 {
            let [_, _, l0, l1] = *after.first_chunk::<4>().ok_or(DecodeError::Extension)?;
            start += 4 + usize::from(u16::from_be_bytes([l0, l1])) * 4;
        }
        if start > packet.len() {
            return Err(DecodeError::Extension);
        }
        let header = Self {
            marker: kind & 0x80 != 0,
            payload_type: kind & 0x7f,
            sequence: u16::from_be_bytes([s0, s1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            ssrc: u32::from_be_bytes([i0, i1, i2, i3]),
        };
        Ok((header, start))
    }

    /// Writes the twelve octets over the first ones of `packet`; nothing when there is no room.
    pub(crate) fn write(&self, packet: &mut [u8]) {
        if let Some(flags) = packet.first_mut() {
            *flags = 0x80;
        }
        self.renumber(packet);
    }

    /// Writes all but what says which optional parts follow.
    pub(crate) fn renumber(&self, packet: &mut [u8]) {
        let [s0, s1] = self.sequence.to_be_bytes();
        let [t0, t1, t2, t3] = self.timestamp.to_be_bytes();
        let [i0, i1, i2, i3] = self.ssrc.to_be_bytes();
        let kind = u8::from(self.marker) << 7 | (self.payload_type & 0x7f);
        if let Some(place) = packet.first_chunk_mut::<HEADER_MIN>() {
            let [flags, ..] = *place;
            *place = [flags, kind, s0, s1, t0, t1, t2, t3, i0, i1, i2, i3];
        }
    }

    /// Appends the twelve octets.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(0x80);
        out.push(u8::from(self.marker) << 7 | (self.payload_type & 0x7f));
        out.extend_from_slice(&self.sequence.to_be_bytes());
        out.extend_from_slice(&self.timestamp.to_be_bytes());
        out.extend_from_slice(&self.ssrc.to_be_bytes());
    }
}

/// A packet that is not encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// The header.
    pub header: Header,
    /// The payload without padding.
    pub payload: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Reads a packet.
    pub fn decode(packet: &'a [u8]) -> Result<Self, DecodeError> {
        let (header, start) = Header::decode(packet)?;
        let mut payload = packet.get(start..).ok_or(DecodeError::Truncated)?;
        if packet.first().is_some_and(|flags| flags & 0x20 != 0) {
            let padding = payload.last().copied().map_or(0, usize::from);
            let kept = payload.len().checked_sub(padding).filter(|_| padding > 0);
            payload = kept.and_then(|length| payload.get(..length)).ok_or(DecodeError::Padding)?;
        }
        Ok(Self { header, payload })
    }

    /// The packet as octets.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_MIN + self.payload.len());
        self.header.encode(&mut out);
        out.extend_from_slice(self.payload);
        out
    }
}

/// How far `sequence` is ahead of `than`, over the wrap; negative when it is behind.
pub const fn ahead(sequence: u16, than: u16) -> i16 {
    sequence.wrapping_sub(than) as i16
}

#[cfg(test)]
mod tests {
    use types::Rng;

    use super::*;

    const HEADER: Header = Header {
        marker: true,
        payload_type: 101,
        sequence: 65535,
        timestamp: 7,
        ssrc: 0xdead_beef,
    };

    #[test]
    fn packets_round_trip() {
        for payload in [&b""[..], b"x", &[0; 160]] {
            let sent = Packet { header: HEADER, payload };
            let wire = sent.encode();
            assert_eq!(Packet::decode(&wire), Ok(sent));
            assert_eq!(Kind::of(&wire), Some(Kind::Rtp));
        }
    }

    #[test]
    fn sources_extension_and_padding_are_skipped() {
        let mut wire = Packet { header: HEADER, payload: b"" }.encode();
        wire[0] = 0xb2;
        wire.extend_from_slice(&[0; 8]);
        wire.extend_from_slice(&[0xbe, 0xde, 0, 1, 1, 2, 3, 4]);
        wire.extend_from_slice(b"data\0\0\x03");
        assert_eq!(Packet::decode(&wire).map(|packet| packet.payload), Ok(&b"data"[..]));
        let last = wire.len() - 1;
        wire[last] = 0;
        assert_eq!(Packet::decode(&wire), Err(DecodeError::Padding));
        wire[last] = 8;
        assert_eq!(Packet::decode(&wire), Err(DecodeError::Padding));
        assert_eq!(Packet::decode(&wire[..23]), Err(DecodeError::Extension));
        assert_eq!(Packet::decode(&wire[..13]), Err(DecodeError::Truncated));
        assert_eq!(Packet::decode(&wire[1..]), Err(DecodeError::Version));
    }

    #[test]
    fn first_octets_tell_what_it_is() {
        let bye = [0x81, 203, 0, 1, 1, 2, 3, 4];
        assert_eq!(Kind::of(&bye), Some(Kind::Rtcp));
        assert_eq!(Kind::of(&bye[..7]), None);
        let stun = [0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(Kind::of(&stun), None);
        assert_eq!(Kind::of(&[22; 13]), Some(Kind::Dtls));
        assert_eq!(Kind::of(&[]), None);
    }

    #[test]
    fn hostile_bytes_never_panic() {
        let mut rng = Rng::from_number(1);
        for round in 0..50_000 {
            let mut wire = vec![0; rng.below(64) as usize];
            rng.fill(&mut wire);
            if let Some(first) = wire.first_mut().filter(|_| round % 2 == 0) {
                *first = *first & 0x3f | 0x80;
            }
            let _ = Kind::of(&wire);
            if let Ok(packet) = Packet::decode(&wire) {
                assert!(packet.payload.len() + HEADER_MIN <= wire.len());
            }
        }
    }
}
