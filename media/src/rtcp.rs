//! Control that passes under other numbers, as its media does: who sends, and whom it speaks of.
//!
//! Spec: RFC 3550 §6.4, §6.5, RFC 4585 §6.1, RFC 5104 §4.3.1, RFC 3611 §4.7, RFC 7667 §3.6 (a translator changes reports as it changes media)

use crate::trail::Trail;

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const DESCRIPTION: u8 = 202;
const BYE: u8 = 203;
const TRANSPORT_FEEDBACK: u8 = 205;
const PICTURE_FEEDBACK: u8 = 206;

const EXTENDED: u8 = 207;
/// The feedback that asks for a whole picture and names its sources one by one.
///
/// Spec: RFC 5104 §4.3.1
const FULL_INTRA: u8 = 4;
/// The extended report that tells of calls.
///
/// Spec: RFC 3611 §4.7
const CALL_METRICS: u8 = 7;

/// Octets of one report about a source.
const REPORT: usize = 24;

/// What reports say, as far as we read them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// How it hears a source: packets lost of 256, the middle of the newest sender report, and for how long it was held.
    Hears { source: u32, lost: u8, reported: (u32, u32) },
    /// Its opinion of what it hears, times ten.
    Opinion(u8),
    /// It sends, by a clock of which this is the middle.
    Sends { middle: u32 },
}

/// Reads a compound packet.
pub(crate) fn read(compound: &[u8], mut tell: impl FnMut(Said)) {
    let mut rest = compound;
    while let Some(&[flags, kind, l0, l1]) = rest.first_chunk::<4>() {
        let length = (usize::from(u16::from_be_bytes([l0, l1])) + 1) * 4;
        let Some((packet, next)) = rest.split_at_checked(length) else { return };
        rest = next;
        match kind {
            SENDER_REPORT | RECEIVER_REPORT => {
                let begin = if kind == SENDER_REPORT { 28 } else { 8 };
                if let (SENDER_REPORT, Some(high), Some(low)) =
                    (kind, number(packet, 8), number(packet, 12))
                {
                    tell(Said::Sends { middle: high << 16 | low >> 16 });
                }
                for report in 0..usize::from(flags & 0x1f) {
                    let at = begin + report * REPORT;
                    let [source, lost, middle, held] =
                        [0, 4, 16, 20].map(|place| number(packet, at + place));
                    let (Some(source), Some(lost), Some(middle), Some(held)) =
                        (source, lost, middle, held)
                    else {
                        break;
                    };
                    let (lost, reported) = ((lost >> 24) as u8, (middle, held));
                    tell(Said::Hears { source, lost, reported });
                }
            }
            EXTENDED => {
                let mut at = 8;
                while let Some(head) = number(packet, at) {
                    // 127 stands for what it does not know.
                    let opinions =
                        number(packet, at + 24).filter(|_| head >> 24 == u32::from(CALL_METRICS));
                    let opinion = opinions.map(|word| (word >> 8) as u8);
                    if let Some(opinion) = opinion.filter(|opinion| (10..=50).contains(opinion)) {
                        tell(Said::Opinion(opinion));
                    }
                    at += (usize::from(head as u16) + 1) * 4;
                }
            }
            _ => (),
        }
    }
}

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
                if kind == PICTURE_FEEDBACK && flags & 0x1f == FULL_INTRA {
                    let mut at = 12;
                    while let Some(named) = number(packet, at) {
                        if let Some((source, _)) = near.inward(named) {
                            write(packet, at, source);
                        }
                        at += 8;
                    }
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
    fn reports_are_read() {
        let wire = words(&[
            0x81c8_000c,
            5,
            0x1111_2222,
            0x3333_4444,
            90,
            7,
            8, // SR
            77,
            0x4000_0002,
            700,
            0,
            0x2222_3333,
            0x8000, // a report
            0x80cf_000a,
            5, // XR
            0x0700_0008,
            77,
            0,
            0,
            0,
            0,
            0x5d7f_292a,
            0,
            0, // calls: R 93, opinions 41 and 42
            0x81ce_0002,
            5,
            77, // PLI
        ]);
        let mut said = Vec::new();
        read(&wire, |one| said.push(one));
        let hears = Said::Hears { source: 77, lost: 64, reported: (0x2222_3333, 0x8000) };
        assert_eq!(said, [Said::Sends { middle: 0x2222_3333 }, hears, Said::Opinion(41)]);
    }

    #[test]
    fn a_request_for_a_picture_names_the_sender_that_there_is() {
        let ((near, heard), (far, passed)) = (shifted(), shifted());
        let mut wire = words(&[0x84ce_0004, 5, 0, heard.ssrc, 0x0100_0000]);
        wire[3] = 4;
        renumber(&mut wire, &near, &far);
        assert_eq!(wire, words(&[0x84ce_0004, passed.ssrc, 0, 5, 0x0100_0000]));
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
            read(&wire, |_| ());
            renumber(&mut wire, &near, &far);
            assert_eq!(wire.len(), length);
        }
    }
}
