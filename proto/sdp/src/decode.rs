//! Reading a description, with its limits.

use std::net::IpAddr;

use thiserror::Error;

use crate::line::{Line, Lines, address, number, positive, split_once, words};
use crate::session::payload_type;
use crate::{
    ATTRIBUTES_MAX, Attribute, BODY_MAX, Bandwidth, Direction, FORMATS_MAX, HOST_MAX, Kind,
    MEDIA_MAX, Origin, PORT_COUNT_MAX, PTIME_MAX, RtcpAttribute, RtpMap, Section, Session,
    TOKEN_MAX,
};

/// Why some bytes are not a description that we take. Lines count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// c= or a=rtcp without an IP address that fits its family.
    #[error("line {line}: not an IP address")]
    Address {
        /// Where.
        line: u16,
    },
    /// More than [`ATTRIBUTES_MAX`].
    #[error("line {line}: too many attributes")]
    AttributesMax {
        /// Where.
        line: u16,
    },
    /// Longer than [`BODY_MAX`].
    #[error("the description is too long")]
    BodyMax,
    /// An rtpmap whose payload type, clock rate or channels are out of range.
    #[error("line {line}: not a payload type with its codec and clock rate")]
    Codec {
        /// Where.
        line: u16,
    },
    /// A section in use, and neither it nor the session has c=.
    #[error("a media section has no connection address")]
    ConnectionMissing,
    /// A payload type out of range, or a format that is too long.
    #[error("line {line}: not a payload type")]
    Format {
        /// Where.
        line: u16,
    },
    /// More than [`FORMATS_MAX`], or none.
    #[error("line {line}: too many payload types, or none")]
    FormatsMax {
        /// Where.
        line: u16,
    },
    /// Not a letter, an equals sign and a value without NUL.
    #[error("line {line}: not of the form letter=value")]
    Line {
        /// Where.
        line: u16,
    },
    /// Longer than [`crate::LINE_MAX`].
    #[error("line {line}: too long")]
    LineMax {
        /// Where.
        line: u16,
    },
    /// m= without its words, or with one that is too long.
    #[error("line {line}: not a media line")]
    Media {
        /// Where.
        line: u16,
    },
    /// More than [`MEDIA_MAX`].
    #[error("too many media sections")]
    MediaMax,
    /// A line that belongs before the first m=, or occurs twice.
    #[error("line {line}: out of place")]
    Misplaced {
        /// Where.
        line: u16,
    },
    /// o= is missing or not of six words.
    #[error("no origin that can be read")]
    Origin,
    /// A port or a count of ports out of range.
    #[error("line {line}: port out of range")]
    Port {
        /// Where.
        line: u16,
    },
    /// ptime or maxptime out of range.
    #[error("line {line}: packet time out of range")]
    Ptime {
        /// Where.
        line: u16,
    },
    /// Does not begin with v=0.
    #[error("does not begin with v=0")]
    Version,
}

impl<'a> Session<'a> {
    /// Reads a description.
    ///
    /// Errors: see [`DecodeError`]; the answer to all of them is 488 (Not Acceptable Here).
    /// Spec: RFC 8866 §5, §9
    pub fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        if body.len() > BODY_MAX {
            return Err(DecodeError::BodyMax);
        }
        let mut lines = Lines::new(body);
        match lines.next() {
            Some(Ok(line)) if line.letter == b'v' && line.value.trim_ascii() == b"0" => (),
            Some(Err(error)) => return Err(error),
            Some(Ok(_)) | None => return Err(DecodeError::Version),
        }
        let mut reading = Reading::default();
        for line in lines {
            reading.line(line?)?;
        }
        reading.finish()
    }
}

/// A description in the making.
#[derive(Default)]
struct Reading<'a> {
    origin: Option<Origin<'a>>,
    name: Option<&'a [u8]>,
    connection: Option<IpAddr>,
    time: Option<&'a [u8]>,
    direction: Direction,
    bandwidth: Vec<Bandwidth<'a>>,
    attributes: Vec<Attribute<'a>>,
    media: Vec<(Section<'a>, Option<Direction>)>,
}

impl<'a> Reading<'a> {
    fn line(&mut self, line: Line<'a>) -> Result<(), DecodeError> {
        let at = line.number;
        match line.letter {
            b'a' => self.attribute(line),
            b'b' => {
                let section = self.media.last_mut().map(|(section, _)| &mut section.bandwidth);
                let list = section.unwrap_or(&mut self.bandwidth);
                if list.len() >= ATTRIBUTES_MAX {
                    return Err(DecodeError::AttributesMax { line: at });
                }
                // A figure that cannot be read is not ours to judge: the line passes as it came.
                list.extend(bandwidth(line.value));
                Ok(())
            }
            b'c' => {
                let ip = address(words(line.value)).ok_or(DecodeError::Address { line: at })?;
                let section = self.media.last_mut().map(|(section, _)| &mut section.connection);
                section.unwrap_or(&mut self.connection).get_or_insert(ip);
                Ok(())
            }
            b'm' if self.media.len() == MEDIA_MAX => Err(DecodeError::MediaMax),
            b'm' => section(line).map(|section| self.media.push((section, None))),
            b'o' | b's' | b'v' if !self.media.is_empty() => {
                Err(DecodeError::Misplaced { line: at })
            }
            b'o' if self.origin.is_none() => {
                self.origin = Some(origin(line.value).ok_or(DecodeError::Origin)?);
                Ok(())
            }
            b's' if self.name.is_none() => {
                self.name = Some(line.value);
                Ok(())
            }
            b'o' | b's' | b'v' => Err(DecodeError::Misplaced { line: at }),
            b't' if self.media.is_empty() => {
                self.time.get_or_insert(line.value);
                Ok(())
            }
            // i=, k=, e=, p=, u=, r=, z= and letters of tomorrow pass unread.
            _ => Ok(()),
        }
    }

    fn attribute(&mut self, line: Line<'a>) -> Result<(), DecodeError> {
        let attribute = Attribute::decode(line.value);
        check(attribute, line.number)?;
        let direction = Direction::decode(attribute.name);
        let list = match self.media.last_mut() {
            Some((section, own)) => {
                *own = direction.or(*own);
                &mut section.attributes
            }
            None => {
                self.direction = direction.unwrap_or(self.direction);
                &mut self.attributes
            }
        };
        if list.len() >= ATTRIBUTES_MAX {
            return Err(DecodeError::AttributesMax { line: line.number });
        }
        list.push(attribute);
        Ok(())
    }

    fn finish(self) -> Result<Session<'a>, DecodeError> {
        let (connection, direction) = (self.connection, self.direction);
        let media: Vec<Section<'a>> = self
            .media
            .into_iter()
            .map(|(mut section, own)| {
                section.connection = section.connection.or(connection);
                section.direction = own.unwrap_or(direction);
                section
            })
            .collect();
        if media.iter().any(|section| section.port != 0 && section.connection.is_none()) {
            return Err(DecodeError::ConnectionMissing);
        }
        Ok(Session {
            origin: self.origin.ok_or(DecodeError::Origin)?,
            name: self.name.unwrap_or(b"-"),
            connection,
            time: self.time,
            bandwidth: self.bandwidth,
            attributes: self.attributes,
            media,
        })
    }
}

/// RTP of any profile.
pub(crate) fn is_rtp(protocol: &[u8]) -> bool {
    protocol.split(|octet| *octet == b'/').any(|part| part.eq_ignore_ascii_case(b"RTP"))
}

/// Refuses attributes that we or the far side would compute with, when they are out of range.
fn check(attribute: Attribute<'_>, line: u16) -> Result<(), DecodeError> {
    let value = attribute.value.unwrap_or_default();
    match attribute.name {
        b"maxptime" | b"ptime" => {
            // Some write a fraction; its whole part is judged.
            let whole = split_once(value, b'.').map_or(value, |(whole, _)| whole).trim_ascii();
            positive(whole, PTIME_MAX.into()).map(drop).ok_or(DecodeError::Ptime { line })
        }
        b"rtcp" => {
            let port = words(value).next().and_then(|word| positive(word, 65_535));
            port.ok_or(DecodeError::Port { line })?;
            RtcpAttribute::decode(value).map(drop).ok_or(DecodeError::Address { line })
        }
        b"rtpmap" => RtpMap::decode(value).map(drop).ok_or(DecodeError::Codec { line }),
        _ => Ok(()),
    }
}

fn origin(value: &[u8]) -> Option<Origin<'_>> {
    let mut words = words(value);
    let (user, id, version) = (words.next()?, words.next()?, words.next()?);
    let (_net, _family, host) = (words.next()?, words.next()?, words.next()?);
    let digits = |word: &[u8]| word.len() <= TOKEN_MAX && word.iter().all(u8::is_ascii_digit);
    let good = digits(id) && digits(version) && host.len() <= HOST_MAX && words.next().is_none();
    good.then_some(Origin { user, id, version, host })
}

fn bandwidth(value: &[u8]) -> Option<Bandwidth<'_>> {
    let (kind, value) = split_once(value, b':')?;
    Some(Bandwidth { kind, value: number(value.trim_ascii())? })
}

/// Spec: RFC 8866 §5.14
fn section(line: Line<'_>) -> Result<Section<'_>, DecodeError> {
    let at = line.number;
    let mut words = words(line.value);
    let (Some(word), Some(ports), Some(protocol)) = (words.next(), words.next(), words.next())
    else {
        return Err(DecodeError::Media { line: at });
    };
    if word.len() > TOKEN_MAX || protocol.len() > TOKEN_MAX {
        return Err(DecodeError::Media { line: at });
    }
    let (port, port_count) = ports_of(ports).ok_or(DecodeError::Port { line: at })?;
    let formats: Vec<&[u8]> = words.by_ref().take(FORMATS_MAX).collect();
    if words.next().is_some() || formats.is_empty() {
        return Err(DecodeError::FormatsMax { line: at });
    }
    let rtp = is_rtp(protocol);
    let good =
        |format: &&[u8]| format.len() <= TOKEN_MAX && (!rtp || payload_type(format).is_some());
    if !formats.iter().all(good) {
        return Err(DecodeError::Format { line: at });
    }
    Ok(Section {
        kind: Kind::decode(word),
        word,
        port,
        port_count,
        protocol,
        formats,
        connection: None,
        direction: Direction::SendRecv,
        bandwidth: Vec::new(),
        attributes: Vec::new(),
    })
}

/// `49170` or `49170/2`; all of the pairs must be ports.
fn ports_of(word: &[u8]) -> Option<(u16, u16)> {
    let (port, count) = match split_once(word, b'/') {
        Some((port, count)) => (port, positive(count, PORT_COUNT_MAX.into())?),
        None => (word, 1),
    };
    let port = number(port).filter(|port| *port <= 65_535)?;
    (port + (count - 1) * 2 <= 65_535).then_some((port as u16, count as u16))
}
