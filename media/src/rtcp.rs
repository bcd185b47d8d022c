//! Control that passes under other numbers, as its media does: who sends, and whom it speaks of.
//!
//! Spec: RFC 3550 §6.4, §6.5, RFC 4585 §6.1, RFC 7667 §3.6 (a translator changes reports as it changes media)

use crate::trail::Trail;

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const DESCRIPTION: u8 = 202;
const BYE: u8 = 203;
const TRANSPORT_FEEDBACK: u8 = 205;
const PICTURE_FEEDBACK: u8 = 206;

/// Octets of one report about a source.
const REPORT: usize = 24;

/// Renumbers a compound packet in its place. `near`: what its sender has heard; `far`: what its receiver hears.
/// Sources that neither knows stay as they are.
pub(crate) fn renumber(compound: &mut [u8], near: &Trail, far: &Trail) {
    if !near.is_shifted() && !far.is_shifted() {
        return;
    }
    let mut rest = compound;
    while let Some(&[flags, kind, l0, l1]) = rest.first_chunk::<4>() {
        let length = (usize::from(u16::from_be_bytes([l0, l1])) + 1) * 4;
        let Some((packet, next)) = std::mem::take(&mut rest).split_at_mut_checked(length) else {
            return;
        };
        rest = next;
        let count = usize::from(flags & 0x1f);
        let sender = number(packet, 4).and_then(|source| far.outward(source));
        match kind {
            SENDER_REPORT | RECEIVER_REPORT => {
                let begin = if kind == SENDER_REPORT { 28 } else { 8 };
                if let (Some((_, shift)), SENDER_REPORT) = (sender, kind) {
                    let time = number(packet, 16).unwrap_or(0);
                    write(packet, 16, time.wrapping_add(shift));
                }
                for report in 0..count {
                    reported(packet, begin + report * REPORT, near);
                }
            }
            TRANSPORT_FEEDBACK | PICTURE_FEEDBACK => {
                if let Some((source, _)) = number(packet, 8).and_then(|source| near.inward(source))
                {
                    write(packet, 8, source);
                }
            }
            DESCRIPTION | BYE => (),
            _ => continue,
        }
        if let Some((source, _)) = sender {
            write(packet, 4, source);
        }
    }
}

/// One report: its source, and the highest number that was heard of it.
fn reported(packet: &mut [u8], at: usize, near: &Trail) {
    let Some((source, shift)) = number(packet, at).and_then(|source| near.inward(source)) else {
        return;
    };
    write(packet, at, source);
    if let Some(highest) = number(packet, at + 8) {
        let (cycles, sequence) = (highest & 0xffff_0000, highest as u16);
        write(packet, at + 8, cycles | u32::from(sequence.wrapping_sub(shift)));
    }
}

fn number(packet: &[u8], at: usize) -> Option<u32> {
    packet.get(at..)?.first_chunk::<4>().map(|octets| u32::from_be_bytes(*octets))
}

fn write(packet: &mut [u8], at: usize, number: u32) {
    if let Some(place) = packet.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<4>()) {
        *place = number.to_be_bytes();
    }
}

#[cfg(test)]
mod tests {
    use types::{Instant, Rng};

    use super::*;
    use crate::rtp::Header;

    /// A trail on which 5 passes as another source, and that source.
    fn shifted() -> (Trail, Header) {
        let mut trail = Trail::default();
        trail.own_source(&mut Rng::from_number(1));
        let header = Header { sequence: 700, timestamp: 90, ssrc: 5, ..Header::default() };
        let passed = trail.pass(header, Instant::millis(1)).unwrap();
        (trail, passed)
    }

    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    #[test]
    fn reports_speak_of_what_each_side_knows() {
        let ((near, heard), (far, passed)) = (shifted(), shifted());
        let highest = 3 << 16 | u32::from(heard.sequence);
        let mut wire = words(&[
            0x81c8_000c,
            5,
            0,
            0,
            90,
            7,
            8,
            heard.ssrc,
            0,
            highest,
            0,
            0,
            0, // SR with one report
            0x81ca_0002,
            5,
            0, // SDES
            0x81ce_0002,
            5,
            heard.ssrc, // PLI
        ]);
        renumber(&mut wire, &near, &far);
        let wanted = words(&[
            0x81c8_000c,
            passed.ssrc,
            0,
            0,
            passed.timestamp,
            7,
            8,
            5,
            0,
            3 << 16 | 700,
            0,
            0,
            0,
            0x81ca_0002,
            passed.ssrc,
            0, //
            0x81ce_0002,
            passed.ssrc,
            5,
        ]);
        assert_eq!(wire, wanted);
    }

    #[test]
    fn hostile_octets_never_panic_and_keep_their_length() {
        let ((near, heard), (far, _)) = (shifted(), shifted());
        let mut rng = Rng::from_number(2);
        for _ in 0..20_000 {
            let mut wire = words(&[0x85c8_000c, 5, 0, 0, 90, 7, 8, heard.ssrc, 0, 1, 0, 0, 0]);
            for _ in 0..rng.below(4) {
                let at = rng.below(wire.len() as u64) as usize;
                wire[at] = rng.below(256) as u8;
            }
            wire.truncate(rng.below(wire.len() as u64 + 1) as usize);
            let length = wire.len();
            renumber(&mut wire, &near, &far);
            assert_eq!(wire.len(), length);
        }
    }
}
