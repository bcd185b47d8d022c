//! AMR and AMR-WB: what stands in a packet, and the libraries that know the rest.
//!
//! Picture     payload --`Payload::decode`--> wish, frames --a [`Library`] of the shell--> samples, and back
//! Rules       A frame goes to and comes from the libraries in the form of a file: an octet with its type and whether it
//!             is good, then its bits. What is damaged or was lost is told to the decoder as such, and it fills the gap.
//!             Who asks for a mode gets it, if its description allows it: one step in every second frame, as networks
//!             want. Nobody is asked for another mode than it sends.
//! Limits      [`FRAMES_MAX`] frames of a packet; [`FRAME_OCTETS`].
//! Not here    The codecs themselves (system libraries, shell/media_io). Interleaving, checksums and sorting of bits, which are never
//!             agreed on.
//! Spec        RFC 4867 §3.4, §4.3, §4.4, §5.3, 3GPP TS 26.101 §4, 3GPP TS 26.201 §4.

use std::fmt::Debug;

use serde::{Deserialize, Serialize};

use crate::codec::Rate;

/// Frames of one packet, 20 ms each. One with more is dropped.
pub const FRAMES_MAX: usize = 6;

/// Octets of the longest frame, with the one before it that says its type.
pub const FRAME_OCTETS: usize = 64;

/// Frame type: nothing was sent.
const NOTHING: u8 = 15;

/// Frame type: sound was lost. AMR-WB only.
const LOST: u8 = 14;

/// Bits of a frame of each type.
///
/// Spec: 3GPP TS 26.101 table 1, 3GPP TS 26.201 table 2
const NARROW_BITS: [u16; 9] = [95, 103, 118, 134, 148, 159, 204, 244, 39];
const WIDE_BITS: [u16; 10] = [132, 177, 253, 285, 317, 365, 397, 461, 477, 40];

/// Which of the two, and how a description says that it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amr {
    /// 16,000 samples a second.
    pub wide: bool,
    /// Each part of a packet begins with an octet of its own.
    pub aligned: bool,
    /// By bit: the modes that may be sent.
    pub modes: u16,
}

impl Amr {
    /// Of the samples.
    pub const fn rate(self) -> Rate {
        if self.wide { Rate::Wide } else { Rate::Narrow }
    }

    /// The modes that there are.
    const fn all(self) -> u16 {
        if self.wide { 0x1ff } else { 0xff }
    }

    /// Whether a mode may be sent.
    const fn allows(self, mode: u8) -> bool {
        mode < 9 && self.allowed() >> mode & 1 == 1
    }

    /// The modes that may be sent; all where the description allows none that there is.
    const fn allowed(self) -> u16 {
        let modes = self.modes & self.all();
        if modes == 0 { self.all() } else { modes }
    }

    /// The best mode that may be sent.
    const fn best(self) -> u8 {
        (15 - self.allowed().leading_zeros()) as u8
    }

    /// Bits of a frame; `None` for a type that nobody may send.
    fn bits(self, kind: u8) -> Option<usize> {
        let table: &[u16] = if self.wide { &WIDE_BITS } else { &NARROW_BITS };
        match table.get(usize::from(kind)) {
            Some(bits) => Some((*bits).into()),
            None => (kind == NOTHING || (kind == LOST && self.wide)).then_some(0),
        }
    }

    /// The type of comfort noise.
    const fn quiet(self) -> u8 {
        if self.wide { 9 } else { 8 }
    }
}

/// The libraries that know AMR, as far as they are there.
pub trait Library: Debug + Send + Sync {
    /// One that has heard nothing.
    fn decoder(&self, wide: bool) -> Option<Box<dyn Decode>>;
    /// One that has said nothing.
    fn encoder(&self, wide: bool) -> Option<Box<dyn Encode>>;
}

/// Makes samples of frames.
pub trait Decode: Send {
    /// One frame in the form of a file; fills `pcm`, 20 ms. `bad`: what the frame holds is damaged, or nothing.
    fn decode(&mut self, frame: &[u8; FRAME_OCTETS], bad: bool, pcm: &mut [i16]);
}

/// Makes frames of samples.
pub trait Encode: Send {
    /// One frame of `pcm`, 20 ms, in the form of a file; how many octets it has.
    fn encode(&mut self, mode: u8, pcm: &[i16], frame: &mut [u8; FRAME_OCTETS]) -> usize;
}

/// One packet, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Payload<'a> {
    form: Amr,
    octets: &'a [u8],
    /// The mode that the sender asks for.
    pub(crate) wish: Option<u8>,
    /// How many frames.
    pub(crate) count: usize,
    /// By frame: type, whether it is good, its first bit.
    frames: [(u8, bool, usize); FRAMES_MAX],
}

impl<'a> Payload<'a> {
    /// `None` when it is nothing that may be sent.
    pub(crate) fn decode(form: Amr, octets: &'a [u8]) -> Option<Self> {
        let (head, entry) = if form.aligned { (8, 8) } else { (4, 6) };
        let wish = bits(octets, 0, 4)?;
        let wish = Some(wish).filter(|mode| usize::from(*mode) < if form.wide { 9 } else { 8 });
        let (mut frames, mut count, mut more) = ([(NOTHING, false, 0); FRAMES_MAX], 0, true);
        while more {
            let at = head + count * entry;
            let toc = bits(octets, at, 6)?;
            more = toc & 0x20 != 0;
            *frames.get_mut(count)? = (toc >> 1 & 0xf, toc & 1 == 1, 0);
            count += 1;
        }
        let mut at = head + count * entry;
        for (kind, _, first) in frames.iter_mut().take(count) {
            *first = at;
            let bits = form.bits(*kind)?;
            at += if form.aligned { bits.next_multiple_of(8) } else { bits };
        }
        (at <= octets.len() * 8).then_some(Self { form, octets, wish, count, frames })
    }

    /// A frame in the form of a file, its type, and whether it is good.
    pub(crate) fn frame(&self, place: usize) -> Option<([u8; FRAME_OCTETS], u8, bool)> {
        let (kind, good, first) = *self.frames.get(..self.count)?.get(place)?;
        let mut frame = [0; FRAME_OCTETS];
        let (head, rest) = frame.split_first_mut()?;
        *head = kind << 3 | u8::from(good) << 2;
        let mut left = self.form.bits(kind)?;
        for (octet, place) in rest.iter_mut().zip(0_usize..) {
            let count = left.min(8);
            if count == 0 {
                break;
            }
            *octet = bits(self.octets, first + place * 8, count)? << (8 - count);
            left -= count;
        }
        Some((frame, kind, good))
    }
}

/// Writes one frame as a packet; how many octets it has. 0: it is no frame.
///
/// Spec: RFC 4867 §4.3.1, §4.4.1 (no mode is asked for)
pub(crate) fn encode(form: Amr, frame: &[u8], payload: &mut [u8]) -> usize {
    let Some((head, rest)) = frame.split_first() else { return 0 };
    let (kind, good) = (head >> 3 & 0xf, head >> 2 & 1);
    let Some(count) = form.bits(kind).filter(|bits| rest.len() * 8 >= *bits) else { return 0 };
    let shift = if form.aligned { 16 } else { 10 };
    let octets = (shift + count).div_ceil(8);
    let Some(room) = payload.get_mut(..octets) else { return 0 };
    room.fill(0);
    let entry = u16::from(kind) << 1 | u16::from(good);
    let first = if form.aligned { 0xf000 | entry << 2 } else { 0xf000 | entry << 6 };
    for (octet, value) in room.iter_mut().zip(first.to_be_bytes()) {
        *octet = value;
    }
    for (place, octet) in rest.iter().take(count.div_ceil(8)).enumerate() {
        let at = shift + place * 8;
        let pair = u16::from(*octet) << (8 - at % 8);
        for (place, value) in room.iter_mut().skip(at / 8).zip(pair.to_be_bytes()) {
            *place |= value;
        }
    }
    octets
}

/// Up to eight bits from a place on.
fn bits(octets: &[u8], at: usize, count: usize) -> Option<u8> {
    let first = *octets.get(at / 8)?;
    let next = octets.get(at / 8 + 1).copied();
    if at % 8 + count > 8 && next.is_none() {
        return None;
    }
    let pair = u16::from(first) << 8 | u16::from(next.unwrap_or(0));
    Some(((pair << (at % 8)) >> 8) as u8 >> (8 - count))
}

/// What one sender says.
pub(crate) struct Hearing {
    form: Amr,
    coder: Box<dyn Decode>,
    /// The mode that it asked for last.
    pub(crate) wish: Option<u8>,
    /// It fell silent, and told how its silence sounds.
    pub(crate) rests: bool,
}

impl Hearing {
    pub(crate) fn new(form: Amr, coder: Box<dyn Decode>) -> Self {
        Self { form, coder, wish: None, rests: false }
    }

    /// The samples of a packet; how many.
    pub(crate) fn decode(&mut self, payload: &[u8], room: &mut [i16]) -> Option<usize> {
        let payload = Payload::decode(self.form, payload)?;
        self.wish = payload.wish.or(self.wish);
        let size = self.form.rate().frame();
        for (place, pcm) in (0..payload.count).zip(room.chunks_exact_mut(size)) {
            let (frame, kind, good) = payload.frame(place)?;
            if kind != NOTHING && kind != LOST && good {
                self.rests = kind == self.form.quiet();
                self.coder.decode(&frame, false, pcm);
            } else {
                self.miss(pcm);
            }
        }
        Some(payload.count * size)
    }

    /// Fills 20 ms of which nothing came.
    pub(crate) fn conceal(&mut self, gap: &mut [i16]) -> bool {
        let whole = gap.len() == self.form.rate().frame();
        if whole {
            self.miss(gap);
        }
        whole
    }

    /// Nothing came while it rests: its silence goes on. Else sound was lost.
    fn miss(&mut self, pcm: &mut [i16]) {
        let kind = if self.form.wide && !self.rests { LOST } else { NOTHING };
        let mut frame = [0; FRAME_OCTETS];
        if let Some(head) = frame.first_mut() {
            *head = kind << 3 | u8::from(self.rests) << 2;
        }
        self.coder.decode(&frame, !self.rests, pcm);
    }
}

/// What one receiver is told.
pub(crate) struct Saying {
    form: Amr,
    coder: Box<dyn Encode>,
    mode: u8,
    wanted: u8,
    /// A frame of each pair in which the mode may change.
    changes: bool,
}

impl Saying {
    pub(crate) fn new(form: Amr, coder: Box<dyn Encode>) -> Self {
        Self { form, coder, mode: form.best(), wanted: form.best(), changes: false }
    }

    /// Asks for a mode; nothing where it may not be sent.
    ///
    /// Spec: RFC 4867 §3.3 (requests for modes outside of the set are not obeyed)
    pub(crate) fn wish(&mut self, mode: u8) {
        if self.form.allows(mode) {
            self.wanted = mode;
        }
    }

    /// The packet of 20 ms; how many octets it has.
    pub(crate) fn encode(&mut self, pcm: &[i16], payload: &mut [u8]) -> usize {
        self.step();
        let mut frame = [0; FRAME_OCTETS];
        let count = self.coder.encode(self.mode, pcm, &mut frame);
        encode(self.form, frame.get(..count).unwrap_or_default(), payload)
    }

    /// One step towards what is asked for, in every second frame.
    ///
    /// Spec: RFC 4867 §8.1 (`mode-change-period`, `mode-change-neighbor`: kept whether asked for or not)
    fn step(&mut self) {
        self.changes = !self.changes;
        if self.mode == self.wanted || !self.changes {
            return;
        }
        let up = self.wanted > self.mode;
        let mut mode = self.mode;
        while mode != self.wanted {
            mode = if up { mode.saturating_add(1) } else { mode.saturating_sub(1) };
            if self.form.allows(mode) {
                self.mode = mode;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use types::Rng;

    use super::*;

    /// No mode is asked for.
    const NO_WISH: u8 = 15;

    fn forms() -> [Amr; 4] {
        let form = |wide, aligned| Amr { wide, aligned, modes: 0xffff };
        [form(false, false), form(false, true), form(true, false), form(true, true)]
    }

    /// A frame of chance in the form of a file.
    fn frame(form: Amr, kind: u8, rng: &mut Rng) -> Vec<u8> {
        let bits = form.bits(kind).unwrap();
        let mut frame = vec![kind << 3 | 4; 1 + bits.div_ceil(8)];
        rng.fill(&mut frame[1..]);
        if !bits.is_multiple_of(8) {
            *frame.last_mut().unwrap() &= 0xff << (8 - bits % 8);
        }
        frame
    }

    /// Several frames in one packet, bit by bit: another way to write than that of the encoder.
    fn packet(form: Amr, wish: u8, frames: &[Vec<u8>]) -> Vec<u8> {
        let mut all = Vec::new();
        let put = |all: &mut Vec<bool>, value: u8, count: usize| {
            all.extend((0..count).rev().map(|bit| value >> bit & 1 == 1));
        };
        put(&mut all, wish, 4);
        let fit = |all: &mut Vec<bool>| {
            if form.aligned {
                all.resize(all.len().next_multiple_of(8), false);
            }
        };
        fit(&mut all);
        for (place, frame) in frames.iter().enumerate() {
            put(&mut all, u8::from(place + 1 < frames.len()) << 5 | frame[0] >> 2 & 0x1f, 6);
            fit(&mut all);
        }
        for frame in frames {
            let bits = form.bits(frame[0] >> 3).unwrap();
            all.extend((0..bits).map(|bit| frame[1 + bit / 8] >> (7 - bit % 8) & 1 == 1));
            fit(&mut all);
        }
        all.resize(all.len().next_multiple_of(8), false);
        all.chunks(8)
            .map(|bits| bits.iter().fold(0, |octet, bit| octet << 1 | u8::from(*bit)))
            .collect()
    }

    #[test]
    fn one_frame_comes_back_as_it_was_written() {
        let mut rng = Rng::from_number(1);
        for form in forms() {
            for kind in (0..16).filter(|kind| form.bits(*kind).is_some()) {
                let frame = frame(form, kind, &mut rng);
                let mut payload = [0xff; 80];
                let count = encode(form, &frame, &mut payload);
                assert_eq!(
                    payload[..count],
                    packet(form, NO_WISH, std::slice::from_ref(&frame)),
                    "{form:?} {kind}"
                );
                let read = Payload::decode(form, &payload[..count]).unwrap();
                assert_eq!((read.wish, read.count), (None, 1));
                let (again, known, good) = read.frame(0).unwrap();
                assert_eq!((known, good), (kind, true));
                assert_eq!(again[..frame.len()], frame);
                assert!(Payload::decode(form, &payload[..count - 1]).is_none());
                assert_eq!(encode(form, &frame[..frame.len() - 1], &mut payload), 0);
            }
        }
    }

    #[test]
    fn several_frames_and_a_wish_are_read() {
        let mut rng = Rng::from_number(2);
        for form in forms() {
            for _ in 0..300 {
                let count = 1 + rng.below(FRAMES_MAX as u64) as usize;
                let kinds: Vec<u8> = (0..16).filter(|kind| form.bits(*kind).is_some()).collect();
                let one = |rng: &mut Rng| {
                    let kind = kinds[rng.below(kinds.len() as u64) as usize];
                    let mut frame = frame(form, kind, rng);
                    frame[0] &= if rng.percent(20) { !4 } else { !0 };
                    frame
                };
                let frames: Vec<Vec<u8>> = (0..count).map(|_| one(&mut rng)).collect();
                let wish = rng.below(16) as u8;
                let packet = packet(form, wish, &frames);
                let read = Payload::decode(form, &packet).unwrap();
                let known = wish < if form.wide { 9 } else { 8 };
                assert_eq!((read.wish, read.count), (known.then_some(wish), count));
                for (place, frame) in frames.iter().enumerate() {
                    let (again, kind, good) = read.frame(place).unwrap();
                    assert_eq!((kind, good), (frame[0] >> 3, frame[0] & 4 != 0));
                    assert_eq!(again[..frame.len()], *frame);
                }
                assert_eq!(read.frame(count), None);
            }
            let many = vec![frame(form, NOTHING, &mut rng); FRAMES_MAX + 1];
            assert_eq!(Payload::decode(form, &packet(form, 0, &many)), None);
            assert_eq!(
                Payload::decode(form, &packet(form, 0, &many[1..])).unwrap().count,
                FRAMES_MAX
            );
        }
    }

    #[test]
    fn hostile_packets_never_panic() {
        let mut rng = Rng::from_number(3);
        let mut good = 0;
        for _ in 0..40_000 {
            let form = forms()[rng.below(4) as usize];
            let mut octets = vec![0; rng.below(120) as usize];
            rng.fill(&mut octets);
            if rng.percent(50) {
                let frames =
                    [frame(form, rng.below(8) as u8, &mut rng), frame(form, NOTHING, &mut rng)];
                octets = packet(form, 2, &frames);
                for _ in 0..rng.below(3) {
                    let at = rng.below(octets.len() as u64) as usize;
                    octets[at] = rng.next_u64() as u8;
                }
                octets.truncate(rng.below(octets.len() as u64 + 1) as usize);
            }
            if let Some(read) = Payload::decode(form, &octets) {
                good += 1;
                for place in 0..=read.count {
                    assert_eq!(read.frame(place).is_some(), place < read.count);
                }
            }
            let mut room = [0; 70];
            assert!(encode(form, &octets, &mut room) <= 63);
        }
        assert!(good > 5000, "{good}");
    }

    /// Writes the mode where a library would write sound.
    struct Echo;

    impl Encode for Echo {
        fn encode(&mut self, mode: u8, _: &[i16], frame: &mut [u8; FRAME_OCTETS]) -> usize {
            frame[0] = mode << 3 | 4;
            FRAME_OCTETS
        }
    }

    #[test]
    fn modes_go_step_by_step_to_what_is_asked_for() {
        let form = Amr { wide: false, aligned: true, modes: 0b1001_0101 };
        let mut saying = Saying::new(form, Box::new(Echo));
        let mut said = |wish: u8| {
            saying.wish(wish);
            let mut payload = [0; 70];
            saying.encode(&[0; 160], &mut payload);
            payload[1] >> 3 & 0xf
        };
        let modes: Vec<u8> =
            [7, 7, 0, 0, 0, 0, 0, 0, 1, 4, 4, 8].into_iter().map(&mut said).collect();
        assert_eq!(modes, [7, 7, 4, 4, 2, 2, 0, 0, 0, 0, 2, 2]);
        assert_eq!(Amr { modes: 0, ..form }.best(), 7);
        assert_eq!(Amr { modes: 0xfe00, wide: true, aligned: true }.best(), 8);
    }
}
