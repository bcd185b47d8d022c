//! What browsers say: their descriptions in the plain form that phones understand, and back.
//!
//! Picture     browser's description --[`undress`]--> plain; plain --[`dress`]--> a description for a browser
//! Rules       The plain form has no keys, no candidates, no bundle and no header extensions: they belong to the path
//!             between the browser and us. Codecs, their parameters, directions and feedback pass. Sections that are
//!             no RTP are rejected towards a browser.
//! Limits      Those of decoding; [`WORD_MAX`] for what names a path.
//! Not here    Which end is a browser, keys and names (the switchboard's `pair`).
//! Spec        RFC 8829 §5, RFC 8839 §5, RFC 8122 §5, RFC 8842 §5, RFC 9143 §7, RFC 5761 §5.1.

use std::net::{IpAddr, SocketAddr};

use types::digits::{push_address, push_number};

use crate::line::{Lines, words};
use crate::relay::push_address_words;
use crate::{Attribute, DecodeError, Section, Session};

/// Octets of a user fragment, a password or the name of a section.
///
/// Spec: RFC 8839 §5.4
pub const WORD_MAX: usize = 256;

/// Which end begins the handshake, as a description says it.
///
/// Spec: RFC 4145 §4, RFC 8842 §5.3
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setup {
    /// The writer begins.
    Active,
    /// Either: the answer decides.
    ActPass,
    /// The other end begins.
    Passive,
}

impl Setup {
    const fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::ActPass => "actpass",
            Self::Passive => "passive",
        }
    }

    fn decode(word: &[u8]) -> Option<Self> {
        let all = [Self::Active, Self::ActPass, Self::Passive];
        all.into_iter().find(|setup| setup.word().as_bytes().eq_ignore_ascii_case(word))
    }
}

/// The browser's end of its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Browser {
    /// Its user fragment.
    pub ufrag: String,
    /// SHA-256 of its certificate.
    pub fingerprint: [u8; 32],
    /// Who begins the handshake.
    pub setup: Setup,
    /// The names of its sections; empty where it gave none.
    pub mids: Vec<String>,
}

/// Our end of a path to a browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dress {
    /// Our user fragment.
    pub ufrag: String,
    /// Our password.
    pub password: String,
    /// SHA-256 of our certificate.
    pub fingerprint: [u8; 32],
    /// Who begins the handshake.
    pub setup: Setup,
    /// The names of the sections, as the browser gave them or will get them.
    pub mids: Vec<String>,
    /// Where browsers reach us.
    pub address: SocketAddr,
    /// Whether they reach us there by TCP as well.
    pub streams: bool,
}

/// Whether a section is one of a browser: keyed by a handshake, on a path found by checks.
pub fn is_web(section: &Section<'_>) -> bool {
    let known = [&b"UDP/TLS/RTP/SAVPF"[..], b"UDP/TLS/RTP/SAVP", b"RTP/SAVPF"];
    known.iter().any(|known| known.eq_ignore_ascii_case(section.protocol))
}

/// What the description of a browser says of its path. `None` when it is the description of a phone: no section is
/// keyed by a handshake on a path of ICE, or its certificate is named by no SHA-256.
pub fn browser(session: &Session<'_>) -> Option<Browser> {
    let used = |section: &&Section<'_>| {
        is_web(section) && (section.port != 0 || section.attribute("bundle-only").is_some())
    };
    let section = session.media.iter().find(used)?;
    let all = || section.attributes.iter().chain(&session.attributes);
    let value = |name: &str| {
        let named = all().filter(|attribute| attribute.name == name.as_bytes());
        named.filter_map(|attribute| attribute.value).next()
    };
    let fingerprints = all().filter(|attribute| attribute.name == b"fingerprint");
    let fingerprint = fingerprints.filter_map(|attribute| sha256(attribute.value?)).next()?;
    let setup = value("setup").and_then(Setup::decode).unwrap_or(Setup::ActPass);
    let mid = |section: &Section<'_>| {
        section.attribute("mid").and_then(|attribute| word(attribute.value?)).unwrap_or_default()
    };
    Some(Browser {
        ufrag: word(value("ice-ufrag")?)?,
        fingerprint,
        setup,
        mids: session.media.iter().map(mid).collect(),
    })
}

/// A word of ICE or the name of a section, which stands in lines of ours again.
fn word(value: &[u8]) -> Option<String> {
    let known = |octet: &u8| octet.is_ascii_graphic();
    let fits = !value.is_empty() && value.len() <= WORD_MAX && value.iter().all(known);
    fits.then(|| String::from_utf8_lossy(value).into_owned())
}

/// `sha-256 AB:CD:…`
///
/// Spec: RFC 8122 §5
fn sha256(value: &[u8]) -> Option<[u8; 32]> {
    let mut words = words(value);
    if !words.next()?.eq_ignore_ascii_case(b"sha-256") {
        return None;
    }
    let mut out = [0; 32];
    let mut pairs = words.next()?.split(|octet| *octet == b':');
    for place in &mut out {
        let pair = pairs.next().filter(|pair| pair.len() == 2)?;
        *place = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    pairs.next().is_none().then_some(out)
}

/// Attributes of the path, not of what is talked about.
const OF_THE_PATH: [&[u8]; 30] = [
    b"bundle-only",
    b"candidate",
    b"crypto",
    b"end-of-candidates",
    b"extmap",
    b"extmap-allow-mixed",
    b"fingerprint",
    b"group",
    b"ice-lite",
    b"ice-mismatch",
    b"ice-options",
    b"ice-pacing",
    b"ice-pwd",
    b"ice-ufrag",
    b"identity",
    b"key-mgmt",
    b"mid",
    b"msid",
    b"msid-semantic",
    b"remote-candidates",
    b"rid",
    b"rtcp",
    b"rtcp-mux",
    b"rtcp-mux-only",
    b"rtcp-rsize",
    b"setup",
    b"simulcast",
    b"ssrc",
    b"ssrc-group",
    b"tls-id",
];

fn is_of_the_path(value: &[u8]) -> bool {
    let attribute = Attribute::decode(value);
    if OF_THE_PATH.contains(&attribute.name) {
        return true;
    }
    // Feedback that needs a header extension, or tells of the whole path.
    let about = |word: &[u8]| [&b"transport-cc"[..], b"goog-remb"].contains(&word);
    attribute.name == b"rtcp-fb"
        && attribute.value.is_some_and(|value| words(value).nth(1).is_some_and(about))
}

/// The plain form of a browser's description. `address` stands for its own, which only candidates would tell.
///
/// Errors: what [`Session::decode`] refuses.
pub fn undress(input: &[u8], address: IpAddr) -> Result<Vec<u8>, DecodeError> {
    let session = Session::decode(input)?;
    let mut out = Vec::with_capacity(input.len());
    let mut place = None;
    for line in Lines::new(input) {
        let line = line?;
        match line.letter {
            b'a' if is_of_the_path(line.value) => continue,
            b'c' => {
                out.extend_from_slice(b"c=");
                push_address_words(&mut out, address);
            }
            b'm' => {
                let next = place.map_or(0, |place: usize| place + 1);
                place = Some(next);
                match session.media.get(next).filter(|section| is_web(section)) {
                    Some(section) => push_plain(&mut out, section),
                    None => out.extend_from_slice(line.whole),
                }
            }
            _ => out.extend_from_slice(line.whole),
        }
        out.extend_from_slice(b"\r\n");
    }
    Ok(out)
}

fn push_plain(out: &mut Vec<u8>, section: &Section<'_>) {
    // A section that rides on another's path has no port of its own, yet it is wanted.
    let wanted = section.port == 0 && section.attribute("bundle-only").is_some();
    let port = if wanted { 9 } else { section.port };
    push_media(out, section, port, b"RTP/AVP");
}

fn push_media(out: &mut Vec<u8>, section: &Section<'_>, port: u16, protocol: &[u8]) {
    out.extend_from_slice(b"m=");
    out.extend_from_slice(section.word);
    out.push(b' ');
    push_number(out, port.into());
    out.push(b' ');
    out.extend_from_slice(protocol);
    for format in &section.formats {
        out.push(b' ');
        out.extend_from_slice(format);
    }
}

/// A plain description of ours as a browser wants it.
///
/// Errors: what [`Session::decode`] refuses.
pub fn dress(input: &[u8], dress: &Dress) -> Result<Vec<u8>, DecodeError> {
    let session = Session::decode(input)?;
    let mut out = Vec::with_capacity(input.len() + 512);
    let mut place: Option<usize> = None;
    for line in Lines::new(input) {
        let line = line?;
        match line.letter {
            b'a' if is_of_the_path(line.value) => continue,
            b'm' => {
                match place {
                    None => push_bundle(&mut out, &session, dress),
                    Some(place) => push_path(&mut out, &session, place, dress),
                }
                let next = place.map_or(0, |place| place + 1);
                place = Some(next);
                match session.media.get(next) {
                    Some(section) if section.is_rtp() => {
                        let port = if section.port == 0 { 0 } else { dress.address.port() };
                        push_media(&mut out, section, port, b"UDP/TLS/RTP/SAVPF");
                    }
                    Some(section) => push_media(&mut out, section, 0, section.protocol),
                    None => out.extend_from_slice(line.whole),
                }
            }
            b'c' => {
                out.extend_from_slice(b"c=");
                push_address_words(&mut out, dress.address.ip());
            }
            _ => out.extend_from_slice(line.whole),
        }
        out.extend_from_slice(b"\r\n");
    }
    if let Some(place) = place {
        push_path(&mut out, &session, place, dress);
    }
    Ok(out)
}

fn is_used(section: &Section<'_>) -> bool {
    section.is_rtp() && section.port != 0
}

fn mid(dress: &Dress, place: usize) -> String {
    let given = dress.mids.get(place).filter(|mid| !mid.is_empty());
    given.cloned().unwrap_or_else(|| place.to_string())
}

fn push_bundle(out: &mut Vec<u8>, session: &Session<'_>, dress: &Dress) {
    out.extend_from_slice(b"a=ice-lite\r\na=group:BUNDLE");
    for (place, section) in session.media.iter().enumerate() {
        if is_used(section) {
            out.push(b' ');
            out.extend_from_slice(mid(dress, place).as_bytes());
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// What belongs to the path, behind all else that a section says.
fn push_path(out: &mut Vec<u8>, session: &Session<'_>, place: usize, dress: &Dress) {
    let mut line = |name: &str, value: &str| {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    };
    line("a=mid:", &mid(dress, place));
    if !session.media.get(place).is_some_and(is_used) {
        return;
    }
    line("a=ice-ufrag:", &dress.ufrag);
    line("a=ice-pwd:", &dress.password);
    let pairs: Vec<String> = dress.fingerprint.iter().map(|octet| format!("{octet:02X}")).collect();
    line("a=fingerprint:sha-256 ", &pairs.join(":"));
    line("a=setup:", dress.setup.word());
    line("a=rtcp-mux", "");
    // One candidate of the highest preference (RFC 8445 §5.1.2.1), and behind it one for whom no datagram reaches, with the
    // preference of a passive one (RFC 6544 §4.2): a lite end has no others.
    let udp: (&[u8], &[u8]) = (b"a=candidate:1 1 udp 2130706431 ", b" typ host\r\n");
    let tcp: (&[u8], &[u8]) =
        (b"a=candidate:2 1 tcp 1518280447 ", b" typ host tcptype passive\r\n");
    for (head, tail) in [Some(udp), dress.streams.then_some(tcp)].into_iter().flatten() {
        out.extend_from_slice(head);
        push_address(out, dress.address.ip());
        out.push(b' ');
        push_number(out, dress.address.port().into());
        out.extend_from_slice(tail);
    }
    out.extend_from_slice(b"a=end-of-candidates\r\n");
}

#[cfg(test)]
mod tests {
    use types::Rng;

    use super::*;

    const OFFER: &str = "v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n\
        a=group:BUNDLE 0 1\r\na=extmap-allow-mixed\r\na=msid-semantic: WMS s\r\n\
        m=audio 51472 UDP/TLS/RTP/SAVPF 111 0 8 110\r\nc=IN IP4 0.0.0.0\r\n\
        a=rtcp:9 IN IP4 0.0.0.0\r\na=candidate:1 1 udp 2122260223 198.18.0.2 51472 typ host\r\n\
        a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\na=ice-options:trickle\r\n\
        a=fingerprint:sha-256 D2:FA:0E:C3:22:59:5E:14:95:69:92:3D:13:B4:84:24:2C:C2:A2:C0:3E:FD:34:8E:5E:EA:6F:AF:52:CE:E6:0F\r\n\
        a=setup:actpass\r\na=mid:0\r\na=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n\
        a=sendonly\r\na=msid:s t\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\n\
        a=rtcp-fb:111 transport-cc\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n\
        a=rtpmap:110 telephone-event/48000\r\na=ssrc:1 cname:x\r\n\
        m=video 0 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=bundle-only\r\na=mid:1\r\n\
        a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n\
        a=fingerprint:sha-256 D2:FA:0E:C3:22:59:5E:14:95:69:92:3D:13:B4:84:24:2C:C2:A2:C0:3E:FD:34:8E:5E:EA:6F:AF:52:CE:E6:0F\r\n\
        a=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 nack pli\r\na=rtcp-fb:96 goog-remb\r\n\
        m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:2\r\na=sctp-port:5000\r\n";

    fn ours(mids: &[String]) -> Dress {
        Dress {
            ufrag: "ours".into(),
            password: "a-password-of-two-dozen".into(),
            fingerprint: [0xab; 32],
            setup: Setup::Passive,
            mids: mids.to_vec(),
            address: "198.18.0.1:21000".parse().unwrap(),
            streams: true,
        }
    }

    #[test]
    fn a_browser_is_known_by_its_path() {
        let read = browser(&Session::decode(OFFER.as_bytes()).unwrap()).unwrap();
        assert_eq!((read.ufrag.as_str(), read.setup), ("EsAw", Setup::ActPass));
        assert_eq!((read.fingerprint[0], read.fingerprint[31]), (0xd2, 0x0f));
        assert_eq!(read.mids, ["0", "1", "2"]);
        for other in [
            OFFER.replace("UDP/TLS/RTP/SAVPF", "RTP/AVP"),
            OFFER.replace("a=ice-ufrag:EsAw\r\n", ""),
            OFFER.replace("sha-256", "sha-1"),
            OFFER.replace(":0F\r\n", "\r\n"),
        ] {
            assert_eq!(browser(&Session::decode(other.as_bytes()).unwrap()), None);
        }
    }

    #[test]
    fn the_plain_form_has_nothing_of_the_path() {
        let plain = undress(OFFER.as_bytes(), "192.0.2.1".parse().unwrap()).unwrap();
        assert_eq!(
            String::from_utf8(plain).unwrap(),
            "v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n\
             m=audio 51472 RTP/AVP 111 0 8 110\r\nc=IN IP4 192.0.2.1\r\na=sendonly\r\n\
             a=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n\
             a=rtpmap:110 telephone-event/48000\r\n\
             m=video 9 RTP/AVP 96\r\nc=IN IP4 192.0.2.1\r\na=rtpmap:96 VP8/90000\r\n\
             a=rtcp-fb:96 nack pli\r\n\
             m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 192.0.2.1\r\n\
             a=sctp-port:5000\r\n"
        );
    }

    #[test]
    fn a_browser_gets_one_path_for_all_sections() {
        let plain = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
            m=audio 20000 RTP/AVP 8\r\na=rtcp:7\r\na=sendrecv\r\nm=video 0 RTP/AVP 96\r\n";
        let dressed = dress(plain.as_bytes(), &ours(&["a".into(), String::new()])).unwrap();
        let text = String::from_utf8(dressed).unwrap();
        let session = Session::decode(text.as_bytes()).unwrap();
        assert!(text.contains("t=0 0\r\na=ice-lite\r\na=group:BUNDLE a\r\nm=audio 21000 UDP/TLS/"));
        let udp = "a=candidate:1 1 udp 2130706431 198.18.0.1 21000 typ host\r\n";
        let tcp = "a=candidate:2 1 tcp 1518280447 198.18.0.1 21000 typ host tcptype passive\r\n";
        assert!(text.contains(&format!("{udp}{tcp}a=end-of-candidates\r\n")));
        assert!(text.contains("a=sendrecv\r\na=mid:a\r\na=ice-ufrag:ours\r\n"));
        assert!(text.ends_with("m=video 0 UDP/TLS/RTP/SAVPF 96\r\na=mid:1\r\n"));
        assert!(!text.contains("a=rtcp:"));
        let read = browser(&session).unwrap();
        assert_eq!((read.ufrag.as_str(), read.setup), ("ours", Setup::Passive));
        assert_eq!(read.fingerprint, [0xab; 32]);
        assert!(session.media[0].rtcp_mux());
    }

    #[test]
    fn hostile_octets_never_panic_and_stay_readable() {
        let mut rng = Rng::from_number(78);
        for _ in 0..20_000 {
            let mut bytes = OFFER.as_bytes().to_vec();
            for _ in 0..=rng.below(4) {
                let at = rng.below(bytes.len() as u64) as usize;
                bytes[at] = rng.below(256) as u8;
            }
            bytes.truncate(rng.below(bytes.len() as u64 + 1) as usize);
            let Ok(session) = Session::decode(&bytes) else { continue };
            let mids = browser(&session).map(|browser| browser.mids).unwrap_or_default();
            let plain = undress(&bytes, "192.0.2.1".parse().unwrap()).unwrap();
            let dressed = dress(&plain, &ours(&mids)).unwrap();
            assert!(Session::decode(&dressed).is_ok(), "{}", String::from_utf8_lossy(&bytes));
        }
    }
}
