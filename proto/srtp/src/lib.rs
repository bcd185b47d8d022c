//! SRTP and SRTCP: packets of one direction sealed with the keys of its sender, or opened with them.
//!
//! Picture     master key and salt --derive--> session keys; packet --seal--> protected --open--> packet
//! Rules       What does not prove where it comes from is refused and changes nothing. No index is opened twice, and
//!             none is sealed twice, since that would give the stream of the cipher away. Roll-overs are counted for
//!             each source by itself.
//! Limits      [`WINDOW`] packets may come late; [`SOURCES_MAX`] sources in one direction, further ones are refused;
//!             2³¹ control packets; [`ROLLS_MAX`] for a sender that began before us.
//! Not here    Where keys come from (DTLS in media, SDP in proto/sdp), key derivation rates, MKI, unencrypted SRTCP.
//! Spec        RFC 3711, RFC 4568 §6.2, RFC 7714, RFC 6188 §3 (derivation with 256 bits).
#![deny(missing_docs)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

mod cipher;
mod index;
mod suite;

use cipher::Cipher;
use index::Sources;
pub use index::{SOURCES_MAX, WINDOW};
pub use suite::Suite;

use thiserror::Error;

/// Octets that sealing adds at most: a tag, and the index of control.
pub const GROWTH_MAX: usize = 20;

/// Roll-overs that the first source of all may have behind it when we begin to hear it: a day of sound in packets of
/// 20 ms. It is searched for until its first packet was opened.
pub const ROLLS_MAX: u64 = 66;

/// Octets of an RTP header without sources and extension.
const HEADER_MIN: usize = 12;
/// Octets of control that stay in the clear.
const CONTROL_CLEAR: usize = 8;
/// Control whose content is encrypted says so by this bit of its index.
const ENCRYPTED: u32 = 1 << 31;

/// Why a packet was not sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refused {
    /// It is no RTP or RTCP packet, or too short for its tag.
    #[error("the packet is malformed")]
    Malformed,
    /// Its tag is not that of the keys.
    #[error("the packet is not authentic")]
    NotAuthentic,
    /// Its index was used before, or is too old to tell.
    #[error("the packet was there before, or comes too late")]
    Replayed,
    /// More than [`SOURCES_MAX`] sources.
    #[error("too many sources")]
    TooManySources,
    /// All indices of control are used.
    #[error("the keys are used up")]
    UsedUp,
}

/// Seals what one end sends.
#[derive(Debug)]
pub struct Sealer {
    media: Cipher,
    control: Cipher,
    sources: Sources,
    /// Of the next control packet.
    next: u32,
}

/// Opens what the other end sends.
#[derive(Debug)]
pub struct Opener {
    media: Cipher,
    control: Cipher,
    sources: Sources,
    controls: Sources,
}

impl Sealer {
    /// From a master key and a master salt; `None` when their lengths are not those of the suite.
    pub fn new(suite: Suite, key: &[u8], salt: &[u8]) -> Option<Self> {
        let (media, control) = cipher::derive(suite, key, salt)?;
        Some(Self { media, control, sources: Sources::default(), next: 1 })
    }

    /// Seals an RTP packet in its place.
    ///
    /// Spec: RFC 3711 §3.3, RFC 7714 §8
    pub fn seal_rtp(&mut self, packet: &mut Vec<u8>) -> Result<(), Refused> {
        let (source, sequence, start) = header(packet)?;
        let index = self.sources.guess(source, sequence)?;
        self.media.seal_rtp(packet, start, source, index)?;
        self.sources.note(source, index)
    }

    /// Seals a compound RTCP packet in its place.
    ///
    /// Spec: RFC 3711 §3.4, RFC 7714 §9
    pub fn seal_rtcp(&mut self, packet: &mut Vec<u8>) -> Result<(), Refused> {
        let source = control_source(packet)?;
        let index = self.next;
        if index >= ENCRYPTED {
            return Err(Refused::UsedUp);
        }
        self.control.seal_rtcp(packet, source, index)?;
        self.next += 1;
        Ok(())
    }
}

impl Opener {
    /// From a master key and a master salt; `None` when their lengths are not those of the suite.
    pub fn new(suite: Suite, key: &[u8], salt: &[u8]) -> Option<Self> {
        let (media, control) = cipher::derive(suite, key, salt)?;
        let (sources, controls) = (Sources::default(), Sources::default());
        Some(Self { media, control, sources, controls })
    }

    /// Opens an SRTP packet in its place: the length of what it holds.
    ///
    /// Spec: RFC 3711 §3.3, RFC 7714 §8
    pub fn open_rtp(&mut self, packet: &mut [u8]) -> Result<usize, Refused> {
        let (source, sequence, start) = header(packet)?;
        let index = self.sources.guess(source, sequence)?;
        let mut opened =
            self.media.open_rtp(packet, start, source, index).map(|length| (length, index));
        if opened == Err(Refused::NotAuthentic) && self.sources.is_empty() {
            // Nobody says how often a sender that began before us has rolled over: the proof does.
            let rolled = (1..=ROLLS_MAX).map(|rolls| rolls << 16 | u64::from(sequence));
            opened = rolled
                .map(|index| Ok((self.media.open_rtp(packet, start, source, index)?, index)))
                .find(|tried| *tried != Err(Refused::NotAuthentic))
                .unwrap_or(opened);
        }
        let (length, index) = opened?;
        self.sources.note(source, index)?;
        Ok(length)
    }

    /// Opens an SRTCP packet in its place: the length of what it holds.
    ///
    /// Spec: RFC 3711 §3.4, RFC 7714 §9
    pub fn open_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, Refused> {
        let source = control_source(packet)?;
        let (index, length) = self
            .control
            .open_rtcp(packet, source, |index| self.controls.is_fresh(source, index.into()))?;
        self.controls.note(source, index.into())?;
        Ok(length)
    }
}

/// Source, sequence, and where the payload begins.
fn header(packet: &[u8]) -> Result<(u32, u16, usize), Refused> {
    let (fixed, rest) = packet.split_first_chunk::<HEADER_MIN>().ok_or(Refused::Malformed)?;
    let [flags, _, s0, s1, _, _, _, _, i0, i1, i2, i3] = *fixed;
    if flags >> 6 != 2 {
        return Err(Refused::Malformed);
    }
    let sources = usize::from(flags & 0x0f) * 4;
    let mut start = HEADER_MIN + sources;
    if flags & 0x10 != 0 {
        let extension = rest.get(sources..).and_then(|rest| rest.first_chunk::<4>());
        let [_, _, l0, l1] = *extension.ok_or(Refused::Malformed)?;
        start += 4 + usize::from(u16::from_be_bytes([l0, l1])) * 4;
    }
    if start > packet.len() {
        return Err(Refused::Malformed);
    }
    Ok((u32::from_be_bytes([i0, i1, i2, i3]), u16::from_be_bytes([s0, s1]), start))
}

fn control_source(packet: &[u8]) -> Result<u32, Refused> {
    let [flags, _, _, _, source @ ..] =
        *packet.first_chunk::<CONTROL_CLEAR>().ok_or(Refused::Malformed)?;
    if flags >> 6 != 2 {
        return Err(Refused::Malformed);
    }
    Ok(u32::from_be_bytes(source))
}

#[cfg(test)]
mod tests;
