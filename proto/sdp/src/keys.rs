//! Keys of media in descriptions (SDES): read, taken out, and put in.
//!
//! Picture     keyed description --[`read`]--> lines;  --[`without`]--> plain --[`with`]--> keyed by other lines
//! Rules       A section is keyed when it has a=crypto and no handshake; its protocol says in which [`Manner`]. A line
//!             that asks for what we do not do (several keys, names of keys, no encryption) can be passed on as it came,
//!             not used. Keys stand in no `Debug`.
//! Limits      [`LINES_MAX`] lines of a section are looked at; [`KEY_MAX`] octets of key and salt.
//! Not here    Which suites there are and what they do (proto/srtp), which side gets which keys (switchboard).
//! Spec        RFC 4568 §4 to §7, RFC 8643 §3 (keys beside the plain protocol), RFC 7714 §14.

use std::fmt;

use base64::Engine;
use base64::engine::GeneralPurposeConfig;
use base64::engine::general_purpose::{GeneralPurpose, STANDARD};

use crate::line::{self, number, split_once, words};
use crate::{Attribute, DecodeError, Section, Session};

/// Lines of keys of one section that are looked at.
pub const LINES_MAX: usize = 16;

/// Octets of a master key with its salt.
pub const KEY_MAX: usize = 64;

/// How a section asks for its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Beside the plain protocol: whoever does not know them leaves them.
    Beside,
    /// By the protocol: who has none must refuse.
    Strict,
}

/// One line of keys.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyLine {
    /// Its number: the answer names the line that it takes.
    pub tag: u32,
    /// The word of its suite.
    pub suite: String,
    /// Master key and salt; `None` when the line asks for something that we do not do.
    pub key: Option<Vec<u8>>,
    /// What stands behind `a=crypto:`.
    pub value: Vec<u8>,
}

impl fmt::Debug for KeyLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyLine").field("tag", &self.tag).field("suite", &self.suite).finish()
    }
}

impl KeyLine {
    /// A line of ours.
    pub fn new(tag: u32, suite: &str, key: &[u8]) -> Self {
        let value = format!("{tag} {suite} inline:{}", STANDARD.encode(key)).into_bytes();
        Self { tag, suite: suite.to_owned(), key: Some(key.to_vec()), value }
    }

    /// Reads what stands behind `a=crypto:`.
    ///
    /// Spec: RFC 4568 §9.1
    pub fn decode(value: &[u8]) -> Option<Self> {
        let mut parts = words(value);
        let tag = number(parts.next()?).filter(|tag| *tag < 1_000_000_000)? as u32;
        let suite = std::str::from_utf8(parts.next()?).ok()?.to_owned();
        let params = parts.next()?;
        // Hints for windows and rates of zero change nothing; all else would be another protocol.
        let known = |word: &[u8]| word.starts_with(b"WSH=") || word == b"KDR=0";
        let key = parts.all(known).then(|| inline(params)).flatten();
        Some(Self { tag, suite, key, value: value.to_vec() })
    }
}

/// `inline:` with one key, perhaps with its lifetime, but without a name in each packet.
///
/// Spec: RFC 4568 §6.1
fn inline(params: &[u8]) -> Option<Vec<u8>> {
    /// Some leave the filling at the end out, RFC 4568 wants it.
    const FORGIVING: GeneralPurpose = GeneralPurpose::new(
        &base64::alphabet::STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent),
    );
    let (method, text) = split_once(params, b':')?;
    let mut fields = text.split(|octet| *octet == b'|');
    let key = fields.next()?;
    let named = |field: &[u8]| field.contains(&b':');
    if !method.eq_ignore_ascii_case(b"inline") || text.contains(&b';') || fields.any(named) {
        return None;
    }
    if key.len() > KEY_MAX * 4 / 3 + 4 {
        return None;
    }
    FORGIVING.decode(key).ok().filter(|key| !key.is_empty() && key.len() <= KEY_MAX)
}

/// The keys of one section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keyed {
    /// How it asks for them.
    pub manner: Manner,
    /// Its lines, the best first.
    pub lines: Vec<KeyLine>,
}

/// The keys of each section; `None` where it has none in the description.
pub fn read(session: &Session<'_>) -> Vec<Option<Keyed>> {
    session.media.iter().map(keyed).collect()
}

fn keyed(section: &Section<'_>) -> Option<Keyed> {
    let manner = manner(section.protocol)?;
    if section.port == 0 || section.attribute("fingerprint").is_some() {
        return None;
    }
    let lines = section.attributes.iter().filter(|attribute| attribute.name == b"crypto");
    let lines = lines.filter_map(|attribute| KeyLine::decode(attribute.value?));
    let lines: Vec<KeyLine> = lines.take(LINES_MAX).collect();
    (!lines.is_empty()).then_some(Keyed { manner, lines })
}

fn manner(protocol: &[u8]) -> Option<Manner> {
    let is = |word: &[u8]| word.eq_ignore_ascii_case(protocol);
    if is(b"RTP/AVP") || is(b"RTP/AVPF") {
        Some(Manner::Beside)
    } else if is(b"RTP/SAVP") || is(b"RTP/SAVPF") {
        Some(Manner::Strict)
    } else {
        None
    }
}

/// The protocol of a section in this manner.
fn protocol(section: &Section<'_>, manner: Manner) -> &'static [u8] {
    let feedback = section.protocol.last().is_some_and(|letter| letter.eq_ignore_ascii_case(&b'f'));
    match (manner, feedback) {
        (Manner::Beside, false) => b"RTP/AVP",
        (Manner::Beside, true) => b"RTP/AVPF",
        (Manner::Strict, false) => b"RTP/SAVP",
        (Manner::Strict, true) => b"RTP/SAVPF",
    }
}

/// The keys that a section shall have: in which manner, and what stands behind each `a=crypto:`.
pub type Lines = (Manner, Vec<Vec<u8>>);

/// The same description without the keys of the sections that [`read`] found keyed, in the plain protocol.
///
/// Errors: none where `session` is that of `input`.
pub fn without(input: &[u8], session: &Session<'_>) -> Result<Vec<u8>, DecodeError> {
    let plan: Vec<Option<Keyed>> = read(session);
    let plan: Vec<Option<Lines>> =
        plan.iter().map(|keyed| keyed.as_ref().map(|_| (Manner::Beside, Vec::new()))).collect();
    with(input, session, &plan)
}

/// The same description with these lines in place of those that the named sections have. Sections that are rejected, or
/// of another protocol, stay as they are.
///
/// Errors: none where `session` is that of `input`.
pub fn with(
    input: &[u8],
    session: &Session<'_>,
    plan: &[Option<Lines>],
) -> Result<Vec<u8>, DecodeError> {
    let mut out = Vec::with_capacity(input.len() + 256);
    let mut place = None;
    // Lines of the section before, written when it ends.
    let mut due: &[Vec<u8>] = &[];
    for line in line::Lines::new(input) {
        let line = line?;
        if line.letter == b'm' {
            write(&mut out, std::mem::take(&mut due));
            place = Some(place.map_or(0, |place: usize| place + 1));
        }
        let section = place.and_then(|place| session.media.get(place));
        let change = place.and_then(|place| plan.get(place)?.as_ref());
        let change = change
            .zip(section.filter(|section| section.port != 0 && manner(section.protocol).is_some()));
        match (line.letter, change) {
            (b'm', Some(((manner, lines), section))) => {
                due = lines;
                push_media(&mut out, line.value, protocol(section, *manner));
            }
            (b'a', Some(_)) if Attribute::decode(line.value).name == b"crypto" => continue,
            (_, _) => out.extend_from_slice(line.whole),
        }
        out.extend_from_slice(b"\r\n");
    }
    write(&mut out, due);
    Ok(out)
}

fn write(out: &mut Vec<u8>, lines: &[Vec<u8>]) {
    for value in lines {
        out.extend_from_slice(b"a=crypto:");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
}

fn push_media(out: &mut Vec<u8>, value: &[u8], protocol: &[u8]) {
    out.extend_from_slice(b"m=");
    for (place, word) in words(value).enumerate() {
        if place > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(if place == 2 { protocol } else { word });
    }
}

/// A description that has keys beside the plain protocol, with the protocol that demands them. `None` when it has none.
pub fn strict(input: &[u8]) -> Option<Vec<u8>> {
    turned(input, Manner::Beside)
}

/// The same in the other manner, for a phone that took neither this one nor the sound without it.
pub fn other(input: &[u8]) -> Option<Vec<u8>> {
    turned(input, Manner::Beside).or_else(|| turned(input, Manner::Strict))
}

/// The sections of one manner in the other.
fn turned(input: &[u8], from: Manner) -> Option<Vec<u8>> {
    let session = Session::decode(input).ok()?;
    let to = match from {
        Manner::Beside => Manner::Strict,
        Manner::Strict => Manner::Beside,
    };
    let change = |keyed: Option<Keyed>| {
        let keyed = keyed.filter(|keyed| keyed.manner == from)?;
        Some((to, keyed.lines.into_iter().map(|line| line.value).collect()))
    };
    let plan: Vec<Option<Lines>> = read(&session).into_iter().map(change).collect();
    if plan.iter().all(Option::is_none) {
        return None;
    }
    with(input, &session, &plan).ok()
}

#[cfg(test)]
mod tests {
    use types::Rng;

    use super::*;

    const KEY: &str = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj";
    const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
        m=audio 4000 RTP/SAVP 8 101\r\n\
        a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:KEY|2^20|1:4 FEC_ORDER=FEC_SRTP\r\n\
        a=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:KEY|2^20 KDR=0 WSH=128\r\n\
        a=rtpmap:101 telephone-event/8000\r\n\
        m=video 4002 RTP/SAVPF 96\r\na=crypto:7 AEAD_AES_128_GCM inline:KEY\r\na=rtpmap:96 VP8/90000\r\n\
        m=text 4004 RTP/AVP 98\r\n";

    fn offer() -> String {
        OFFER.replace("KEY", KEY)
    }

    fn lines(text: &str) -> Vec<Option<Keyed>> {
        read(&Session::decode(text.as_bytes()).unwrap())
    }

    fn text(octets: Vec<u8>) -> String {
        String::from_utf8(octets).unwrap()
    }

    #[test]
    fn lines_are_read_and_what_we_do_not_do_is_told_apart() {
        let read = lines(&offer());
        let audio = read[0].as_ref().unwrap();
        assert_eq!((audio.manner, audio.lines.len()), (Manner::Strict, 2));
        assert_eq!(audio.lines[0].key, None);
        assert!(audio.lines[0].value.starts_with(b"1 AES_CM_128_HMAC_SHA1_80 inline:"));
        let second = &audio.lines[1];
        assert_eq!((second.tag, second.suite.as_str()), (2, "AES_CM_128_HMAC_SHA1_32"));
        assert_eq!(second.key.as_ref().map(Vec::len), Some(30));
        assert_eq!(read[1].as_ref().unwrap().lines[0].tag, 7);
        assert_eq!(read[2], None);
        assert!(!format!("{audio:?}").contains("d0Rm"));
        let again = KeyLine::new(3, "X", second.key.as_ref().unwrap());
        assert_eq!(KeyLine::decode(&again.value), Some(again));
        for wrong in ["", "1", "1 X", "x X inline:AA==", "1 X inline"] {
            assert_eq!(
                KeyLine::decode(wrong.as_bytes()).and_then(|line| line.key),
                None,
                "{wrong}"
            );
        }
        // RFC 4568 §6.1: several keys for one line; a key without its filling.
        let key = |params: &str| KeyLine::decode(format!("1 X {params}").as_bytes()).unwrap().key;
        assert_eq!(key("inline:AAAA;inline:AAAA"), None);
        assert_eq!(key("inline:AAAA|2^4"), Some(vec![0; 3]));
        assert_eq!(key("inline:AAA"), Some(vec![0; 2]));
        assert_eq!(key("INLINE:!"), None);
    }

    #[test]
    fn keys_are_taken_out_and_put_in() {
        let offer = offer();
        let session = Session::decode(offer.as_bytes()).unwrap();
        let plain = text(without(offer.as_bytes(), &session).unwrap());
        assert!(!plain.contains("crypto") && !plain.contains("SAVP"), "{plain}");
        assert!(plain.contains("m=video 4002 RTP/AVPF 96\r\n"), "{plain}");
        let session = Session::decode(plain.as_bytes()).unwrap();
        let ours = vec![b"1 X inline:AA==".to_vec()];
        let plan = [Some((Manner::Beside, ours.clone())), None, None];
        let beside = text(with(plain.as_bytes(), &session, &plan).unwrap());
        let wanted = "a=rtpmap:101 telephone-event/8000\r\na=crypto:1 X inline:AA==\r\nm=video";
        assert!(beside.contains(wanted), "{beside}");
        assert!(beside.contains("m=audio 4000 RTP/AVP 8 101\r\n"), "{beside}");
        let demanded = text(strict(beside.as_bytes()).unwrap());
        assert!(demanded.contains("m=audio 4000 RTP/SAVP 8 101\r\n"), "{demanded}");
        assert!(demanded.contains("m=video 4002 RTP/AVPF 96\r\n"), "{demanded}");
        assert!(demanded.contains(wanted));
        assert_eq!(strict(plain.as_bytes()), None);
        assert_eq!(other(plain.as_bytes()), None);
        assert_eq!(other(beside.as_bytes()).map(text), Some(demanded.clone()));
        let back = text(other(demanded.as_bytes()).unwrap());
        assert_eq!(back, beside);
        let last = [None, None, Some((Manner::Strict, ours))];
        let last = text(with(plain.as_bytes(), &session, &last).unwrap());
        assert!(
            last.ends_with("m=text 4004 RTP/SAVP 98\r\na=crypto:1 X inline:AA==\r\n"),
            "{last}"
        );
    }

    #[test]
    fn hostile_octets_never_panic_and_stay_readable() {
        let (mut rng, offer) = (Rng::from_number(4568), offer());
        for _ in 0..20_000 {
            let mut bytes = offer.as_bytes().to_vec();
            for _ in 0..=rng.below(4) {
                let at = rng.below(bytes.len() as u64) as usize;
                bytes[at] = rng.below(256) as u8;
            }
            bytes.truncate(rng.below(bytes.len() as u64 + 1) as usize);
            let Ok(session) = Session::decode(&bytes) else { continue };
            let found = read(&session);
            let plain = without(&bytes, &session).unwrap();
            let session = Session::decode(&plain).unwrap();
            assert!(
                read(&session).iter().zip(found).all(|(now, was)| now.is_none() || was.is_none())
            );
            if let Some(strict) = strict(&bytes) {
                assert!(Session::decode(&strict).is_ok());
            }
        }
    }
}
