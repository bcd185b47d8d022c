//! Sound that can be taken apart and mixed: G.711, keys and silence, without encryption.

use crate::line::{Lines, words};
use crate::session::payload_type;
use crate::{Attribute, DecodeError, Kind, Section, Session, TELEPHONE_EVENT};

/// What a section of plain sound can be sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlainSound {
    /// Payload types of G.711 (0 and 8), the best first.
    pub laws: [Option<u8>; 2],
    /// The payload type of telephone events.
    pub events: Option<u8>,
}

/// What a section can be sent when everything in it is plain sound; `None` when anything else may come.
///
/// Spec: RFC 3551 §6 (static payload types), RFC 4733 §2.4.1
pub fn plain_sound(section: &Section<'_>) -> Option<PlainSound> {
    if !is_plain_audio(section) {
        return None;
    }
    let mut sound = PlainSound::default();
    for format in &section.formats {
        match plain(section, format)? {
            Plain::Law(number) => {
                let free = sound.laws.iter_mut().find(|known| known.is_none_or(|n| n == number));
                if let Some(place) = free {
                    *place = Some(number);
                }
            }
            Plain::Events(number) => sound.events = sound.events.or(Some(number)),
            Plain::Silence => (),
        }
    }
    sound.laws[0].map(|_| sound)
}

/// The same description with plain sound only, in each section that has any; the others stay as they are.
///
/// Errors: what [`Session::decode`] refuses.
pub fn only_plain(input: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let session = Session::decode(input)?;
    let narrowed = |section: &Section<'_>| {
        let law = |format: &&[u8]| matches!(plain(section, format), Some(Plain::Law(_)));
        is_plain_audio(section) && section.formats.iter().any(law)
    };
    let narrow: Vec<bool> = session.media.iter().map(narrowed).collect();
    let mut out = Vec::with_capacity(input.len());
    let mut place = None;
    for line in Lines::new(input) {
        let line = line?;
        if line.letter == b'm' {
            place = Some(place.map_or(0, |place: usize| place + 1));
        }
        let section = place.and_then(|place| {
            let narrow = narrow.get(place).copied().unwrap_or(false);
            session.media.get(place).filter(|_| narrow)
        });
        match (section, line.letter) {
            (Some(section), b'm') => {
                out.extend_from_slice(b"m=");
                for (nth, word) in words(line.value).enumerate() {
                    if nth > 2 && plain(section, word).is_none() {
                        continue;
                    }
                    if nth > 0 {
                        out.push(b' ');
                    }
                    out.extend_from_slice(word);
                }
            }
            (Some(section), b'a') if of_another(section, line.value) => continue,
            (_, _) => out.extend_from_slice(line.whole),
        }
        out.extend_from_slice(b"\r\n");
    }
    Ok(out)
}

enum Plain {
    Events(u8),
    Law(u8),
    Silence,
}

fn is_plain_audio(section: &Section<'_>) -> bool {
    let known = [&b"RTP/AVP"[..], b"RTP/AVPF"];
    section.kind == Kind::Audio
        && known.iter().any(|known| known.eq_ignore_ascii_case(section.protocol))
        // Keys offered beside the plain protocol would make it another one (RFC 8643).
        && section.attribute("crypto").is_none()
        && section.attribute("fingerprint").is_none()
}

fn plain(section: &Section<'_>, format: &[u8]) -> Option<Plain> {
    let number = payload_type(format)?;
    let map = section.rtpmap(number)?;
    let is = |name: &str| map.name.eq_ignore_ascii_case(name.as_bytes()) && map.clock == 8000;
    match number {
        0 if is("PCMU") => Some(Plain::Law(0)),
        8 if is("PCMA") => Some(Plain::Law(8)),
        13 if is("CN") => Some(Plain::Silence),
        _ if is(TELEPHONE_EVENT.name) => Some(Plain::Events(number)),
        _ => None,
    }
}

/// Whether an attribute speaks of a format that is left out.
fn of_another(section: &Section<'_>, value: &[u8]) -> bool {
    let attribute = Attribute::decode(value);
    let Some(value) = attribute.value else { return false };
    let Some(first) = words(value).next() else { return false };
    let about_format = [&b"rtpmap"[..], b"fmtp", b"rtcp-fb"].contains(&attribute.name);
    about_format && first != b"*" && plain(section, first).is_none()
}

#[cfg(test)]
mod tests {
    use types::Rng;

    use super::*;

    const RICH: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
        m=audio 4000 RTP/AVP 96 9 8 0 97 98\r\na=rtpmap:96 opus/48000/2\r\na=fmtp:96 useinbandfec=1\r\n\
        a=rtpmap:97 telephone-event/8000\r\na=fmtp:97 0-15\r\na=rtpmap:98 telephone-event/48000\r\n\
        a=sendrecv\r\nm=video 4002 RTP/AVP 99\r\na=rtpmap:99 H264/90000\r\n";

    #[test]
    fn only_what_can_be_mixed_is_left() {
        let out = String::from_utf8(only_plain(RICH.as_bytes()).unwrap()).unwrap();
        assert!(
            out.contains("m=audio 4000 RTP/AVP 8 0 97\r\na=rtpmap:97 telephone-event/8000\r\n")
        );
        assert!(!out.contains(":96") && !out.contains(":98 ") && out.contains("a=sendrecv"));
        assert!(out.contains("m=video 4002 RTP/AVP 99\r\na=rtpmap:99 H264/90000"), "{out}");
        let session = Session::decode(out.as_bytes()).unwrap();
        let sound = PlainSound { laws: [Some(8), Some(0)], events: Some(97) };
        assert_eq!(plain_sound(&session.media[0]), Some(sound));
        assert_eq!(plain_sound(&session.media[1]), None);
        assert_eq!(plain_sound(&Session::decode(RICH.as_bytes()).unwrap().media[0]), None);
    }

    #[test]
    fn what_has_no_plain_sound_stays() {
        for kept in [
            RICH.replace(" 8 0 ", " "),
            RICH.replace("RTP/AVP 96", "RTP/SAVP 96"),
            RICH.replace("a=sendrecv", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x"),
        ] {
            assert_eq!(only_plain(kept.as_bytes()).unwrap(), kept.as_bytes());
        }
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
            if let Ok(out) = only_plain(&bytes) {
                assert!(Session::decode(&out).is_ok(), "{}", String::from_utf8_lossy(&bytes));
            }
        }
    }
}
