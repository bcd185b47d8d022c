//! The sending end of one RTP stream: numbers and times of its packets.

use types::Rng;

use crate::rtp::{Header, Packet};

/// Writes the packets of one stream.
///
/// Spec: RFC 3550 §5.1 (random start of number, time and source)
#[derive(Clone, Debug)]
pub struct RtpSender {
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    packets: u32,
    octets: u32,
}

impl RtpSender {
    /// A stream that starts where nobody can guess.
    pub fn new(rng: &mut Rng) -> Self {
        let (start, ssrc) = (rng.next_u64(), rng.next_u64() as u32);
        let (sequence, timestamp) = (start as u16, (start >> 16) as u32);
        Self { ssrc, sequence, timestamp, packets: 0, octets: 0 }
    }

    /// Who sends.
    pub const fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// The time of the next packet.
    pub const fn timestamp(&self) -> u32 {
        self.timestamp
    }

    /// Packets and payload octets so far, as a sender report tells them.
    pub const fn sent(&self) -> (u32, u32) {
        (self.packets, self.octets)
    }

    /// One packet of `samples` samples; the next one is that much later.
    pub fn packet(
        &mut self,
        payload_type: u8,
        marker: bool,
        samples: u32,
        payload: &[u8],
    ) -> Vec<u8> {
        let packet = self.packet_at(self.timestamp, payload_type, marker, payload);
        self.skip(samples);
        packet
    }

    /// One packet of another time, such as a tone that keeps the time of its beginning.
    pub fn packet_at(
        &mut self,
        timestamp: u32,
        payload_type: u8,
        marker: bool,
        payload: &[u8],
    ) -> Vec<u8> {
        let header =
            Header { marker, payload_type, sequence: self.sequence, timestamp, ssrc: self.ssrc };
        self.sequence = self.sequence.wrapping_add(1);
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(payload.len() as u32);
        Packet { header, payload }.encode()
    }

    /// Lets time pass without a packet: silence.
    pub fn skip(&mut self, samples: u32) {
        self.timestamp = self.timestamp.wrapping_add(samples);
    }

    /// A sender report with a name, as one compound packet. `ntp` is the time in 1/2³² seconds
    /// since 1900.
    ///
    /// Spec: RFC 3550 §6.4.1, §6.5
    pub fn report(&self, ntp: u64, name: &str) -> Vec<u8> {
        let mut out = vec![0x80, 200, 0, 6];
        out.extend_from_slice(&self.ssrc.to_be_bytes());
        out.extend_from_slice(&ntp.to_be_bytes());
        for word in [self.timestamp, self.packets, self.octets] {
            out.extend_from_slice(&word.to_be_bytes());
        }
        let name = name.as_bytes().get(..255).unwrap_or(name.as_bytes());
        let items = (2 + name.len() + 1).next_multiple_of(4); // A zero ends the list.
        out.extend_from_slice(&[0x81, 202]);
        out.extend_from_slice(&(1 + items as u16 / 4).to_be_bytes());
        out.extend_from_slice(&self.ssrc.to_be_bytes());
        out.extend_from_slice(&[1, name.len() as u8]);
        out.extend_from_slice(name);
        out.resize(out.len() + items - 2 - name.len(), 0);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::Kind;

    #[test]
    fn numbers_and_times_go_on_over_the_wrap() {
        let mut sender = RtpSender::new(&mut Rng::from_number(3));
        (sender.sequence, sender.timestamp) = (u16::MAX, u32::MAX - 100);
        let first = sender.packet(0, true, 160, &[0xff; 160]);
        let second = sender.packet(0, false, 160, &[0xff; 160]);
        let (first, second) = (Packet::decode(&first).unwrap(), Packet::decode(&second).unwrap());
        assert_eq!((second.header.sequence, second.header.timestamp), (0, 59));
        assert_eq!(first.header.ssrc, second.header.ssrc);
        assert_eq!(sender.sent(), (2, 320));
    }

    #[test]
    fn reports_are_whole_words() {
        let sender = RtpSender::new(&mut Rng::from_number(3));
        for name in ["", "a", "ab", "abc", "abcd", &"n".repeat(255), &"n".repeat(400)] {
            let report = sender.report(1 << 40, name);
            assert_eq!(report.len() % 4, 0);
            assert_eq!(Kind::of(&report), Some(Kind::Rtcp));
            let words = usize::from(u16::from_be_bytes([report[30], report[31]]));
            assert_eq!(report.len(), 28 + 4 + words * 4);
        }
    }
}
