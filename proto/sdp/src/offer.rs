//! The descriptions that a simple phone writes itself: one audio section, a few codecs.

use std::net::IpAddr;

use crate::relay::address_words;
use crate::session::payload_type;
use crate::{Amr, Direction, Kind, Section, Session};

/// A codec, as offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Codec {
    /// The payload type that we offer it under.
    pub payload_type: u8,
    /// Its name.
    pub name: &'static str,
    /// Ticks per second.
    pub clock: u32,
    /// Channels, as the description has to say them.
    pub channels: u8,
    /// Its parameters.
    pub fmtp: Option<&'static str>,
    /// Those of AMR, in place of the words.
    pub amr: Option<Amr>,
}

/// G.711 µ-law.
pub const PCMU: Codec =
    Codec { payload_type: 0, name: "PCMU", clock: 8000, channels: 1, fmtp: None, amr: None };

/// G.711 A-law.
pub const PCMA: Codec =
    Codec { payload_type: 8, name: "PCMA", clock: 8000, channels: 1, fmtp: None, amr: None };

/// Keys pressed.
///
/// Spec: RFC 4733 §2.4.1
pub const TELEPHONE_EVENT: Codec = Codec { clock: 8000, fmtp: Some("0-16"), ..event(101) };

/// Keys pressed beside sound at 16000 ticks a second.
///
/// Spec: RFC 4867 §3.2 (clock), RFC 4733 §2.5.1.2 (the clock of the sound beside it)
pub const TELEPHONE_EVENT_16: Codec = Codec { clock: 16_000, fmtp: Some("0-16"), ..event(105) };

/// Keys pressed beside sound at 48000 ticks a second.
///
/// Spec: RFC 7587 §4.1 (clock), RFC 4733 §2.5.1.2 (the clock of the sound beside it)
pub const TELEPHONE_EVENT_48: Codec = Codec { clock: 48_000, fmtp: Some("0-16"), ..event(110) };

const fn event(payload_type: u8) -> Codec {
    Codec { payload_type, name: "telephone-event", clock: 8000, channels: 1, fmtp: None, amr: None }
}

/// G.722: 16000 samples a second, under a clock of 8000.
///
/// Spec: RFC 3551 §4.5.2
pub const G722: Codec =
    Codec { payload_type: 9, name: "G722", clock: 8000, channels: 1, fmtp: None, amr: None };

/// Opus. It says two channels whatever it has.
///
/// Spec: RFC 7587 §7
pub const OPUS: Codec = Codec {
    payload_type: 111,
    name: "opus",
    clock: 48_000,
    channels: 2,
    fmtp: Some("useinbandfec=1"),
    amr: None,
};

/// AMR, in whole octets.
///
/// Spec: RFC 4867 §8.1
pub const AMR: Codec = amr(102, Amr::ours(false));

/// AMR-WB, in whole octets.
///
/// Spec: RFC 4867 §8.2
pub const AMR_WB: Codec = amr(104, Amr::ours(true));

const fn amr(payload_type: u8, form: Amr) -> Codec {
    let (name, clock) = (form.name(), form.clock());
    Codec { payload_type, name, clock, channels: 1, fmtp: None, amr: Some(form) }
}

/// What we are ready for: offered as it is, or the measure of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Names our session in o=.
    pub session: u64,
    /// Grows with each change.
    pub version: u64,
    /// Where we want media.
    pub address: IpAddr,
    /// Our RTP port; RTCP is the next one.
    pub port: u16,
    /// Codecs, the best first, with telephone events among them.
    pub codecs: Vec<Codec>,
    /// Which way.
    pub direction: Direction,
}

impl Offer {
    /// The description.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.head(None);
        let types: Vec<(u8, &Codec)> =
            self.codecs.iter().map(|codec| (codec.payload_type, codec)).collect();
        write_audio(&mut out, self, b"RTP/AVP", &types, self.direction);
        out
    }

    fn head(&self, time: Option<&[u8]>) -> Vec<u8> {
        let place = address_words(self.address);
        let (session, version) = (self.session, self.version);
        let head = format!("v=0\r\no=- {session} {version} {place}\r\ns=-\r\nc={place}\r\nt=");
        let mut out = head.into_bytes();
        out.extend_from_slice(time.unwrap_or(b"0 0"));
        out.extend_from_slice(b"\r\n");
        out
    }
}

/// What both sides can do, in one section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// Place of the m= line.
    pub section: usize,
    /// The codec of sound, under the payload type that the description gives it.
    pub codec: Codec,
    /// Telephone events at the clock of that codec, where both know them.
    pub events: Option<u8>,
    /// Which way, seen from us.
    pub direction: Direction,
}

/// Finds the first audio section of the other side's description that we can serve, and its first
/// codec that is ours too. `None` when there is nothing in common.
///
/// Spec: RFC 3264 §6.1, §7
pub fn agreed(theirs: &Session<'_>, ours: &Offer) -> Option<Agreed> {
    theirs.media.iter().enumerate().find_map(|(place, section)| {
        let plain = [&b"RTP/AVP"[..], b"RTP/AVPF"];
        let known = plain.iter().any(|known| known.eq_ignore_ascii_case(section.protocol));
        if section.kind != Kind::Audio || section.port == 0 || !known {
            return None;
        }
        let common = common(section, &ours.codecs);
        let events = |codec: &Codec| codec.name == TELEPHONE_EVENT.name;
        let codec = *common.iter().find(|codec| !events(codec))?;
        // A phone on hold in the old way, 0.0.0.0, does not hear us.
        let heard = section.connection.is_some_and(|ip| !ip.is_unspecified());
        let wished = section.direction.reversed();
        let direction = Direction::of(
            wished.sends() && heard && ours.direction.sends(),
            wished.receives() && ours.direction.receives(),
        );
        let events = common.iter().find(|known| events(known) && known.clock == codec.clock);
        Some(Agreed { section: place, codec, events: events.map(|e| e.payload_type), direction })
    })
}

/// Our codecs that a section lists, in its order and under its payload types.
fn common(section: &Section<'_>, ours: &[Codec]) -> Vec<Codec> {
    let types = section.formats.iter().filter_map(|format| payload_type(format));
    types
        .filter_map(|payload_type| {
            let map = section.rtpmap(payload_type)?;
            let own = ours.iter().find(|own| {
                own.name.as_bytes().eq_ignore_ascii_case(map.name)
                    && own.clock == map.clock
                    && map.channels == own.channels
            })?;
            // The parameters are the other side's: what is answered has them as they came.
            let amr = match own.amr {
                Some(form) => Some(Amr::read(form.wide, parameters(section, payload_type))?),
                None => None,
            };
            Some(Codec { payload_type, amr, ..*own })
        })
        .collect()
}

/// The parameters of a payload type.
pub(crate) fn parameters<'a>(section: &Section<'a>, number: u8) -> Option<&'a [u8]> {
    let mut formats = section.formats.iter();
    section.fmtp(formats.find(|format| payload_type(format) == Some(number))?)
}

/// Answers an offer: as many sections as it has; the one that [`agreed`] finds is taken, with one
/// codec and telephone events, all others are rejected.
///
/// Spec: RFC 3264 §6
pub fn answer(offer: &Session<'_>, ours: &Offer) -> Vec<u8> {
    let taken = agreed(offer, ours);
    let mut out = ours.head(offer.time);
    for (place, section) in offer.media.iter().enumerate() {
        match taken.filter(|taken| taken.section == place) {
            Some(taken) => {
                let mut types = vec![(taken.codec.payload_type, &taken.codec)];
                let event = Codec { clock: taken.codec.clock, ..TELEPHONE_EVENT };
                types.extend(taken.events.map(|number| (number, &event)));
                write_audio(&mut out, ours, section.protocol, &types, taken.direction);
            }
            None => {
                out.extend_from_slice(b"m=");
                out.extend_from_slice(section.word);
                out.extend_from_slice(b" 0 ");
                out.extend_from_slice(section.protocol);
                for format in &section.formats {
                    out.push(b' ');
                    out.extend_from_slice(format);
                }
                out.extend_from_slice(b"\r\n");
            }
        }
    }
    out
}

fn write_audio(
    out: &mut Vec<u8>,
    ours: &Offer,
    protocol: &[u8],
    types: &[(u8, &Codec)],
    direction: Direction,
) {
    out.extend_from_slice(format!("m=audio {} ", ours.port).as_bytes());
    out.extend_from_slice(protocol);
    for (number, _) in types {
        out.extend_from_slice(format!(" {number}").as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    for (number, codec) in types {
        let channels =
            if codec.channels > 1 { format!("/{}", codec.channels) } else { String::new() };
        let map = format!("a=rtpmap:{number} {}/{}{channels}\r\n", codec.name, codec.clock);
        out.extend_from_slice(map.as_bytes());
        let words = codec.amr.and_then(Amr::words);
        if let Some(fmtp) = words.as_deref().or(codec.fmtp) {
            out.extend_from_slice(format!("a=fmtp:{number} {fmtp}\r\n").as_bytes());
        }
    }
    out.extend_from_slice(format!("a=ptime:20\r\na={}\r\n", direction.word()).as_bytes());
}
