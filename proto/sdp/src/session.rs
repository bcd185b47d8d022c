//! What a description says, borrowed from its bytes.

use std::net::IpAddr;

use crate::line::{address, number, positive, split_once, words};
use crate::{CLOCK_MAX, PTIME_MAX};

/// A whole description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session<'a> {
    /// o=: who made it.
    pub origin: Origin<'a>,
    /// s=: a name, `-` most of the time.
    pub name: &'a [u8],
    /// c= of the session part.
    pub connection: Option<IpAddr>,
    /// t=: the first time line.
    pub time: Option<&'a [u8]>,
    /// b= of the session part.
    pub bandwidth: Vec<Bandwidth<'a>>,
    /// a= of the session part.
    pub attributes: Vec<Attribute<'a>>,
    /// The m= sections.
    pub media: Vec<Section<'a>>,
}

/// Who made a description.
///
/// Spec: RFC 8866 §5.2
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin<'a> {
    /// A login, or `-`.
    pub user: &'a [u8],
    /// Digits that name the session.
    pub id: &'a [u8],
    /// Digits that grow with each change.
    pub version: &'a [u8],
    /// An address or host name.
    pub host: &'a [u8],
}

/// A bandwidth line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bandwidth<'a> {
    /// `AS`, `TIAS`, `CT`, …
    pub kind: &'a [u8],
    /// Its figure, in the unit of its kind.
    pub value: u64,
}

/// An attribute: a property, or a name with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// Before the colon.
    pub name: &'a [u8],
    /// Behind the colon.
    pub value: Option<&'a [u8]>,
}

impl<'a> Attribute<'a> {
    /// Splits the value of an a= line.
    pub fn decode(value: &'a [u8]) -> Self {
        match split_once(value, b':') {
            Some((name, value)) => Self { name, value: Some(value) },
            None => Self { name: value, value: None },
        }
    }
}

/// What a section carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `application`
    Application,
    /// `audio`
    Audio,
    /// `image`
    Image,
    /// `message`
    Message,
    /// Any other word.
    Other,
    /// `text`
    Text,
    /// `video`
    Video,
}

impl Kind {
    /// The kind of a word of an m= line.
    pub fn decode(word: &[u8]) -> Self {
        const KINDS: [(&[u8], Kind); 6] = [
            (b"application", Kind::Application),
            (b"audio", Kind::Audio),
            (b"image", Kind::Image),
            (b"message", Kind::Message),
            (b"text", Kind::Text),
            (b"video", Kind::Video),
        ];
        let known = KINDS.iter().find(|(name, _)| name.eq_ignore_ascii_case(word));
        known.map_or(Self::Other, |(_, kind)| *kind)
    }
}

/// Which way media flows, seen from who wrote the description.
///
/// Spec: RFC 3264 §5.1
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Neither way.
    Inactive,
    /// Towards the writer only.
    RecvOnly,
    /// From the writer only.
    SendOnly,
    /// Both ways, the default.
    #[default]
    SendRecv,
}

impl Direction {
    /// Reads an attribute's name.
    pub fn decode(name: &[u8]) -> Option<Self> {
        let all = [Self::Inactive, Self::RecvOnly, Self::SendOnly, Self::SendRecv];
        all.into_iter().find(|direction| direction.word().as_bytes() == name)
    }

    /// The attribute's name.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::RecvOnly => "recvonly",
            Self::SendOnly => "sendonly",
            Self::SendRecv => "sendrecv",
        }
    }

    /// From its two halves.
    pub const fn of(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (false, false) => Self::Inactive,
            (false, true) => Self::RecvOnly,
            (true, false) => Self::SendOnly,
            (true, true) => Self::SendRecv,
        }
    }

    /// Whether the writer sends.
    pub const fn sends(self) -> bool {
        matches!(self, Self::SendOnly | Self::SendRecv)
    }

    /// Whether the writer receives.
    pub const fn receives(self) -> bool {
        matches!(self, Self::RecvOnly | Self::SendRecv)
    }

    /// The same, seen from the other side.
    pub const fn reversed(self) -> Self {
        Self::of(self.receives(), self.sends())
    }
}

/// One m= section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section<'a> {
    /// What it carries.
    pub kind: Kind,
    /// The word for it.
    pub word: &'a [u8],
    /// The port; 0 rejects the section.
    pub port: u16,
    /// Ports, or pairs of them; 1 most of the time.
    pub port_count: u16,
    /// `RTP/AVP` and the like.
    pub protocol: &'a [u8],
    /// Payload types for RTP.
    pub formats: Vec<&'a [u8]>,
    /// c= of the section, else of the session.
    pub connection: Option<IpAddr>,
    /// Its direction, else the session's.
    pub direction: Direction,
    /// b= lines.
    pub bandwidth: Vec<Bandwidth<'a>>,
    /// a= lines.
    pub attributes: Vec<Attribute<'a>>,
}

/// A codec behind a payload type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtpMap<'a> {
    /// Its name; compare without regard to case.
    pub name: &'a [u8],
    /// Ticks per second.
    pub clock: u32,
    /// Channels of sound, 1 when nothing is said.
    pub channels: u8,
}

impl<'a> RtpMap<'a> {
    /// Reads `0 PCMU/8000` or `111 opus/48000/2`.
    ///
    /// Spec: RFC 8866 §6.6
    pub fn decode(value: &'a [u8]) -> Option<(u8, Self)> {
        let mut words = words(value);
        let payload_type = payload_type(words.next()?)?;
        let mut parts = words.next()?.split(|octet| *octet == b'/');
        let name = parts.next().filter(|name| !name.is_empty())?;
        let clock = positive(parts.next()?, CLOCK_MAX.into())? as u32;
        let channels = parts.next().map_or(Some(1), |part| positive(part, 255))? as u8;
        Some((payload_type, Self { name, clock, channels }))
    }

    /// What a static payload type means when no rtpmap stands for it.
    ///
    /// Spec: RFC 3551 §6
    pub fn fixed(payload_type: u8) -> Option<Self> {
        let (name, clock, channels): (&[u8], _, _) = match payload_type {
            0 => (b"PCMU", 8000, 1),
            3 => (b"GSM", 8000, 1),
            4 => (b"G723", 8000, 1),
            8 => (b"PCMA", 8000, 1),
            9 => (b"G722", 8000, 1),
            10 => (b"L16", 44_100, 2),
            11 => (b"L16", 44_100, 1),
            13 => (b"CN", 8000, 1),
            18 => (b"G729", 8000, 1),
            26 => (b"JPEG", 90_000, 1),
            31 => (b"H261", 90_000, 1),
            34 => (b"H263", 90_000, 1),
            _ => return None,
        };
        Some(RtpMap { name, clock, channels })
    }
}

/// 0 to 127.
pub(crate) fn payload_type(word: &[u8]) -> Option<u8> {
    number(word).filter(|number| *number < 128).map(|number| number as u8)
}

/// Where RTCP goes when it is not the next port.
///
/// Spec: RFC 3605 §2.1
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtcpAttribute {
    /// The port, not 0.
    pub port: u16,
    /// The address, when it is another one.
    pub address: Option<IpAddr>,
}

impl RtcpAttribute {
    /// Reads `53020` or `53020 IN IP4 192.0.2.1`.
    pub fn decode(value: &[u8]) -> Option<Self> {
        let mut words = words(value).peekable();
        let port = positive(words.next()?, 65_535)? as u16;
        let more = words.peek().is_some();
        let address = more.then(|| address(words));
        match address {
            None => Some(Self { port, address: None }),
            Some(address) => Some(Self { port, address: Some(address?) }),
        }
    }
}

impl<'a> Section<'a> {
    /// Whether the protocol is RTP of some profile.
    pub fn is_rtp(&self) -> bool {
        crate::decode::is_rtp(self.protocol)
    }

    /// The first attribute of that name.
    pub fn attribute(&self, name: &str) -> Option<&Attribute<'a>> {
        self.attributes.iter().find(|attribute| attribute.name == name.as_bytes())
    }

    /// The codec of a payload type, from its rtpmap or the static table.
    pub fn rtpmap(&self, payload_type: u8) -> Option<RtpMap<'a>> {
        let maps = self.attributes.iter().filter(|attribute| attribute.name == b"rtpmap");
        maps.filter_map(|attribute| RtpMap::decode(attribute.value?))
            .find(|(number, _)| *number == payload_type)
            .map(|(_, map)| map)
            .or_else(|| RtpMap::fixed(payload_type))
    }

    /// The parameters of a format.
    pub fn fmtp(&self, format: &[u8]) -> Option<&'a [u8]> {
        let lines = self.attributes.iter().filter(|attribute| attribute.name == b"fmtp");
        lines
            .filter_map(|attribute| split_once(attribute.value?, b' '))
            .find(|(name, _)| *name == format)
            .map(|(_, parameters)| parameters)
    }

    /// Milliseconds of sound in a packet.
    pub fn ptime(&self) -> Option<u16> {
        positive(self.attribute("ptime")?.value?, PTIME_MAX.into()).map(|ms| ms as u16)
    }

    /// Where RTCP goes when it is not the next port.
    pub fn rtcp(&self) -> Option<RtcpAttribute> {
        RtcpAttribute::decode(self.attribute("rtcp")?.value?)
    }

    /// Whether RTP and RTCP may share a port.
    ///
    /// Spec: RFC 5761 §5.1.1
    pub fn rtcp_mux(&self) -> bool {
        self.attribute("rtcp-mux").is_some()
    }
}
