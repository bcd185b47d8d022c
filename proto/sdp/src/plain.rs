//! Sound that can be taken apart: the codecs that a mix or a bridge between unlike phones knows, keys and silence,
//! without encryption; and descriptions with other formats than they came with.

use std::borrow::Cow;

use crate::line::{Lines, words};
use crate::offer::parameters;
use crate::session::payload_type;
use crate::{Amr, AmrKnown, Attribute, DecodeError, Kind, Section, Session, TELEPHONE_EVENT};

/// Formats of one section that are looked at; the others count as unknown.
pub const PLAIN_MAX: usize = 12;

/// What a format holds, of those that can be taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoken {
    /// AMR or AMR-WB.
    Amr(Amr),
    /// Keys, with the ticks per second of their durations.
    Events(u32),
    /// G.722.
    G722,
    /// Samples as they are, so many a second.
    L16(u32),
    /// Opus.
    Opus,
    /// G.711 A-law.
    Pcma,
    /// G.711 µ-law.
    Pcmu,
    /// Comfort noise.
    Silence,
}

impl Spoken {
    /// Whether it is sound, and not something beside it.
    pub const fn is_sound(self) -> bool {
        !matches!(self, Self::Events(_) | Self::Silence)
    }

    /// Ticks per second of its timestamps.
    pub const fn clock(self) -> u32 {
        match self {
            Self::Amr(form) => form.clock(),
            Self::Events(clock) | Self::L16(clock) => clock,
            Self::Opus => 48_000,
            Self::G722 | Self::Pcma | Self::Pcmu | Self::Silence => 8000,
        }
    }

    /// The payload type that the registry gives it.
    ///
    /// Spec: RFC 3551 §6
    pub const fn fixed(self) -> Option<u8> {
        match self {
            Self::Pcmu => Some(0),
            Self::Pcma => Some(8),
            Self::G722 => Some(9),
            Self::Silence => Some(13),
            Self::Amr(_) | Self::Events(_) | Self::L16(_) | Self::Opus => None,
        }
    }

    /// Whether packets of one can be read as the other.
    pub fn is_same(self, other: Self) -> bool {
        match (self, other) {
            (Self::Amr(own), Self::Amr(other)) => own.is_same(other),
            (own, other) => own == other,
        }
    }

    /// What is written behind `a=rtpmap:` and `a=fmtp:`.
    ///
    /// Spec: RFC 7587 §7 (Opus says two channels, always), RFC 4733 §2.4.1, RFC 4867 §8.3
    fn words(self) -> (String, Option<Cow<'static, str>>) {
        let clock = self.clock();
        match self {
            Self::Amr(form) => (format!("{}/{clock}", form.name()), form.words().map(Cow::Owned)),
            Self::Events(_) => (format!("telephone-event/{clock}"), Some("0-16".into())),
            Self::G722 => ("G722/8000".to_owned(), None),
            Self::L16(_) => (format!("L16/{clock}"), None),
            Self::Opus => ("opus/48000/2".to_owned(), Some("useinbandfec=1".into())),
            Self::Pcma => ("PCMA/8000".to_owned(), None),
            Self::Pcmu => ("PCMU/8000".to_owned(), None),
            Self::Silence => ("CN/8000".to_owned(), None),
        }
    }
}

/// One such format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlainFormat {
    /// Its number in the description.
    pub payload_type: u8,
    /// What it holds.
    pub spoken: Spoken,
}

/// What a section of plain sound can be sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlainSound {
    /// Its formats, the best first.
    pub formats: [Option<PlainFormat>; PLAIN_MAX],
    /// Nothing else may come.
    pub alone: bool,
    /// The best format of the section is one of them, so that nothing else comes as a rule.
    pub leads: bool,
}

impl PlainSound {
    /// Of these formats alone.
    pub fn of(formats: impl IntoIterator<Item = PlainFormat>) -> Self {
        let mut sound = Self { alone: true, leads: true, ..Self::default() };
        for (place, format) in sound.formats.iter_mut().zip(formats) {
            *place = Some(format);
        }
        sound
    }

    /// Its formats, the best first.
    pub fn iter(&self) -> impl Iterator<Item = PlainFormat> + '_ {
        self.formats.iter().flatten().copied()
    }

    /// Those that are sound.
    pub fn sounds(&self) -> impl Iterator<Item = PlainFormat> + '_ {
        self.iter().filter(|format| format.spoken.is_sound())
    }

    /// Telephone events: those at this clock, else any.
    pub fn events(&self, clock: u32) -> Option<PlainFormat> {
        let any = || self.iter().filter(|format| matches!(format.spoken, Spoken::Events(_)));
        any().find(|format| format.spoken.clock() == clock).or_else(|| any().next())
    }
}

/// What a section can be sent of what can be taken apart; `None` when that is no sound. `amr`: what we know of AMR.
///
/// Spec: RFC 3551 §6 (static payload types), RFC 4733 §2.4.1, RFC 7587 §7
pub fn plain_sound(section: &Section<'_>, amr: AmrKnown) -> Option<PlainSound> {
    if !is_plain_audio(section) {
        return None;
    }
    let formats = || section.formats.iter().map(|format| plain(section, format, amr));
    let mut sound = PlainSound::of(formats().flatten());
    sound.alone = formats().all(|format| format.is_some()) && formats().count() <= PLAIN_MAX;
    sound.leads = formats().next().flatten().is_some();
    sound.sounds().next()?;
    Some(sound)
}

/// The same description with plain sound only, in each section that has any; the others stay as they are.
///
/// Errors: what [`Session::decode`] refuses.
pub fn only_plain(input: &[u8], amr: AmrKnown) -> Result<Vec<u8>, DecodeError> {
    let session = Session::decode(input)?;
    let narrowed = |section: &Section<'_>| {
        let sound = plain_sound(section, amr).filter(|sound| !sound.alone)?;
        let kept = sound.iter().map(|format| format.payload_type).collect();
        Some(Reformat { kept, added: Vec::new() })
    };
    let plan: Vec<Option<Reformat>> = session.media.iter().map(narrowed).collect();
    reformat(input, &session, &plan)
}

/// Other formats for one section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reformat {
    /// Payload types that stay, as they are.
    pub kept: Vec<u8>,
    /// What comes behind them.
    pub added: Vec<PlainFormat>,
}

/// The same description with other formats in the sections that the plan names. `session` is what `input` reads as.
///
/// Errors: none where `session` is that of `input`.
pub fn reformat(
    input: &[u8],
    session: &Session<'_>,
    plan: &[Option<Reformat>],
) -> Result<Vec<u8>, DecodeError> {
    let mut out = Vec::with_capacity(input.len() + 128);
    let mut place = None;
    // Lines of added formats that still have to be written.
    let mut due: Option<&Reformat> = None;
    for line in Lines::new(input) {
        let line = line?;
        if line.letter == b'm' {
            write_added(&mut out, due.take());
            place = Some(place.map_or(0, |place: usize| place + 1));
            due = place.and_then(|place| plan.get(place)?.as_ref());
        }
        let section = place.and_then(|place| session.media.get(place));
        let change = place.and_then(|place| plan.get(place)?.as_ref());
        match (section.zip(change), line.letter) {
            (Some((_, change)), b'm') => write_media(&mut out, line.value, change),
            (Some((_, change)), b'a') => {
                write_added(&mut out, due.take());
                if of_another(change, line.value) {
                    continue;
                }
                out.extend_from_slice(line.whole);
            }
            (_, _) => out.extend_from_slice(line.whole),
        }
        out.extend_from_slice(b"\r\n");
    }
    write_added(&mut out, due);
    Ok(out)
}

/// The media line with the formats of the plan.
fn write_media(out: &mut Vec<u8>, value: &[u8], change: &Reformat) {
    out.extend_from_slice(b"m=");
    for (nth, word) in words(value).enumerate() {
        if nth > 2 && !payload_type(word).is_some_and(|number| change.kept.contains(&number)) {
            continue;
        }
        if nth > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(word);
    }
    for format in &change.added {
        out.extend_from_slice(format!(" {}", format.payload_type).as_bytes());
    }
}

fn write_added(out: &mut Vec<u8>, change: Option<&Reformat>) {
    for PlainFormat { payload_type, spoken } in change.into_iter().flat_map(|plan| &plan.added) {
        let (map, fmtp) = spoken.words();
        out.extend_from_slice(format!("a=rtpmap:{payload_type} {map}\r\n").as_bytes());
        if let Some(fmtp) = fmtp {
            out.extend_from_slice(format!("a=fmtp:{payload_type} {fmtp}\r\n").as_bytes());
        }
    }
}

fn is_plain_audio(section: &Section<'_>) -> bool {
    let known = [&b"RTP/AVP"[..], b"RTP/AVPF"];
    section.kind == Kind::Audio
        && known.iter().any(|known| known.eq_ignore_ascii_case(section.protocol))
        // Keys offered beside the plain protocol would make it another one (RFC 8643).
        && section.attribute("crypto").is_none()
        && section.attribute("fingerprint").is_none()
}

fn plain(section: &Section<'_>, format: &[u8], amr: AmrKnown) -> Option<PlainFormat> {
    let payload_type = payload_type(format)?;
    let map = section.rtpmap(payload_type)?;
    let is = |name: &str| map.name.eq_ignore_ascii_case(name.as_bytes());
    let spoken = match (map.clock, map.channels) {
        (8000, 1) if is("PCMU") => Spoken::Pcmu,
        (8000, 1) if is("PCMA") => Spoken::Pcma,
        (8000, 1) if is("G722") => Spoken::G722,
        (8000, 1) if is("CN") => Spoken::Silence,
        (48_000, 2) if is("opus") => Spoken::Opus,
        (clock @ (8000 | 16_000 | 48_000), 1) if is("L16") => Spoken::L16(clock),
        (clock, 1) if is(TELEPHONE_EVENT.name) && clock >= 8000 => Spoken::Events(clock),
        (clock, 1) => {
            let wide = Amr::named(map.name, clock).filter(|wide| amr.has(*wide))?;
            Spoken::Amr(Amr::read(wide, parameters(section, payload_type))?)
        }
        _ => return None,
    };
    // What has a number of its own under another one is somebody else's idea; so is another codec under its number.
    let fits = match spoken.fixed() {
        Some(fixed) => fixed == payload_type,
        None => payload_type >= 35 || !matches!(payload_type, 0 | 8 | 9 | 13),
    };
    fits.then_some(PlainFormat { payload_type, spoken })
}

/// Whether an attribute speaks of a format that is left out.
fn of_another(change: &Reformat, value: &[u8]) -> bool {
    let attribute = Attribute::decode(value);
    let Some(value) = attribute.value else { return false };
    let Some(first) = words(value).next() else { return false };
    let about_format = [&b"rtpmap"[..], b"fmtp", b"rtcp-fb"].contains(&attribute.name);
    let kept = || payload_type(first).is_some_and(|number| change.kept.contains(&number));
    about_format && first != b"*" && !kept()
}

#[cfg(test)]
mod tests {
    use types::Rng;

    use super::*;

    const RICH: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
        m=audio 4000 RTP/AVP 96 9 18 8 0 97 98\r\na=rtpmap:96 opus/48000/2\r\na=fmtp:96 useinbandfec=1\r\n\
        a=fmtp:18 annexb=no\r\n\
        a=rtpmap:97 telephone-event/8000\r\na=fmtp:97 0-15\r\na=rtpmap:98 telephone-event/48000\r\n\
        a=sendrecv\r\nm=video 4002 RTP/AVP 99\r\na=rtpmap:99 H264/90000\r\n";

    const KNOWN: AmrKnown = AmrKnown { narrow: true, wide: true, offered: false };

    fn format(payload_type: u8, spoken: Spoken) -> PlainFormat {
        PlainFormat { payload_type, spoken }
    }

    fn sound(sdp: &[u8]) -> Option<PlainSound> {
        plain_sound(&Session::decode(sdp).unwrap().media[0], KNOWN)
    }

    #[test]
    fn only_what_can_be_mixed_is_left() {
        let out = String::from_utf8(only_plain(RICH.as_bytes(), KNOWN).unwrap()).unwrap();
        assert!(out.contains("m=audio 4000 RTP/AVP 96 9 8 0 97 98\r\na=rtpmap:96 opus"), "{out}");
        assert!(!out.contains(":18 ") && out.contains("a=sendrecv"));
        assert!(out.contains("m=video 4002 RTP/AVP 99\r\na=rtpmap:99 H264/90000"), "{out}");
        let expected = PlainSound::of([
            format(96, Spoken::Opus),
            format(9, Spoken::G722),
            format(8, Spoken::Pcma),
            format(0, Spoken::Pcmu),
            format(97, Spoken::Events(8000)),
            format(98, Spoken::Events(48_000)),
        ]);
        assert_eq!(sound(out.as_bytes()), Some(expected));
        assert_eq!(sound(RICH.as_bytes()), Some(PlainSound { alone: false, ..expected }));
        assert_eq!(expected.events(48_000), Some(format(98, Spoken::Events(48_000))));
        assert_eq!(expected.events(16_000), Some(format(97, Spoken::Events(8000))));
        assert_eq!(plain_sound(&Session::decode(out.as_bytes()).unwrap().media[1], KNOWN), None);
    }

    #[test]
    fn amr_is_plain_sound_where_it_is_known_and_is_said_as_it_came() {
        let of = |wide, aligned, modes| Spoken::Amr(Amr { wide, aligned, modes });
        let told = RICH.replace("96 9 18 8 0", "104 102 96 103").replace(
            "a=rtpmap:96 ",
            "a=rtpmap:104 amr-wb/16000\r\na=fmtp:104 mode-set=0,1,2; octet-align=1\r\n\
             a=rtpmap:102 AMR/8000/1\r\na=rtpmap:103 AMR/8000\r\na=fmtp:103 crc=1\r\na=rtpmap:96 ",
        );
        let all = sound(told.as_bytes()).unwrap();
        let first = [format(104, of(true, true, 7)), format(102, of(false, false, 0xff))];
        assert_eq!(all.sounds().take(2).collect::<Vec<_>>(), first);
        assert!(!all.alone && all.iter().all(|format| format.payload_type != 103));
        let session = Session::decode(told.as_bytes()).unwrap();
        let none = plain_sound(&session.media[0], AmrKnown::default()).unwrap();
        assert_eq!(none.sounds().next(), Some(format(96, Spoken::Opus)));
        let plan = [Some(Reformat { kept: vec![96], added: first.to_vec() })];
        let out = String::from_utf8(reformat(told.as_bytes(), &session, &plan).unwrap()).unwrap();
        let expected = "RTP/AVP 96 104 102\r\na=rtpmap:104 AMR-WB/16000\r\n\
            a=fmtp:104 octet-align=1;mode-set=0,1,2\r\na=rtpmap:102 AMR/8000\r\na=rtpmap:96";
        assert!(out.contains(expected), "{out}");
        let (one, two) = (of(true, true, 1), of(true, true, 2));
        assert!(one.is_same(two) && !one.is_same(of(true, false, 1)) && one != two);
    }

    #[test]
    fn what_has_no_plain_sound_stays() {
        for kept in [
            RICH.replace("96 9 18 8 0", "18"),
            RICH.replace("RTP/AVP 96", "RTP/SAVP 96"),
            RICH.replace("a=sendrecv", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x"),
        ] {
            assert_eq!(only_plain(kept.as_bytes(), KNOWN).unwrap(), kept.as_bytes());
        }
    }

    #[test]
    fn a_codec_under_the_number_of_another_is_not_known() {
        let foreign = RICH.replace("a=rtpmap:96 opus/48000/2", "a=rtpmap:0 opus/48000/2");
        assert!(sound(foreign.as_bytes()).unwrap().sounds().all(|known| known.payload_type != 0));
        let moved = RICH.replace("opus/48000/2", "PCMU/8000");
        assert!(sound(moved.as_bytes()).unwrap().sounds().all(|known| known.payload_type != 96));
    }

    #[test]
    fn formats_come_and_go_with_their_lines() {
        let session = Session::decode(RICH.as_bytes()).unwrap();
        let added = vec![format(0, Spoken::Pcmu), format(101, Spoken::Events(8000))];
        let plan = [Some(Reformat { kept: vec![96, 98], added })];
        let out = reformat(RICH.as_bytes(), &session, &plan).unwrap();
        let out = String::from_utf8(out).unwrap();
        let expected = "m=audio 4000 RTP/AVP 96 98 0 101\r\na=rtpmap:0 PCMU/8000\r\n\
            a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=rtpmap:96 opus/48000/2\r\n\
            a=fmtp:96 useinbandfec=1\r\na=rtpmap:98 telephone-event/48000\r\na=sendrecv\r\nm=video";
        assert!(out.contains(expected), "{out}");
        // Without any attribute the lines stand at the end of their section.
        let bare = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\n\
            c=IN IP4 192.0.2.1\r\nm=audio 0 RTP/AVP 0\r\n";
        let session = Session::decode(bare.as_bytes()).unwrap();
        let added = vec![format(111, Spoken::Opus)];
        let plan = [Some(Reformat { kept: vec![8], added })];
        let out = String::from_utf8(reformat(bare.as_bytes(), &session, &plan).unwrap()).unwrap();
        let expected = "m=audio 4000 RTP/AVP 8 111\r\nc=IN IP4 192.0.2.1\r\n\
            a=rtpmap:111 opus/48000/2\r\na=fmtp:111 useinbandfec=1\r\nm=audio 0";
        assert!(out.contains(expected), "{out}");
    }

    #[test]
    fn hostile_octets_never_panic_and_stay_readable() {
        let mut rng = Rng::from_number(77);
        for _ in 0..20_000 {
            let mut bytes = RICH.as_bytes().to_vec();
            for _ in 0..=rng.below(4) {
                let at = rng.below(bytes.len() as u64) as usize;
                bytes[at] = rng.below(256) as u8;
            }
            bytes.truncate(rng.below(bytes.len() as u64 + 1) as usize);
            if let Ok(out) = only_plain(&bytes, KNOWN) {
                assert!(Session::decode(&out).is_ok(), "{}", String::from_utf8_lossy(&bytes));
            }
            if let Ok(session) = Session::decode(&bytes) {
                let added = vec![format(rng.below(128) as u8, Spoken::Opus)];
                let plan = [Some(Reformat { kept: vec![8, 96], added })];
                let out = reformat(&bytes, &session, &plan).unwrap();
                assert!(Session::decode(&out).is_ok(), "{}", String::from_utf8_lossy(&bytes));
            }
        }
    }
}
