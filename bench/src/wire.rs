//! The generator's own reading of SIP: a scan for the few headers that it needs. Nothing is shared with `proto/sip`,
//! so a mistake there cannot hide here.

use memchr::memchr;

/// What one message says, as slices of it.
#[derive(Debug, Default)]
pub struct Seen<'a> {
    /// 0 for a request.
    pub status: u16,
    /// Of a request: its method; of a response: that of CSeq.
    pub method: &'a [u8],
    /// The line of the topmost Via, without its name.
    pub via: &'a [u8],
    /// All Via lines, in order.
    pub vias: Vec<&'a [u8]>,
    /// All Record-Route lines, in order.
    pub record_routes: Vec<&'a [u8]>,
    /// From, without its name.
    pub from: &'a [u8],
    /// To, without its name.
    pub to: &'a [u8],
    /// Call-ID.
    pub call_id: &'a [u8],
    /// CSeq.
    pub cseq: &'a [u8],
    /// The first Contact.
    pub contact: &'a [u8],
    /// All WWW-Authenticate and Proxy-Authenticate lines.
    pub challenges: Vec<&'a [u8]>,
    /// What follows the empty line, cut at Content-Length.
    pub body: &'a [u8],
}

/// Reads one datagram. `None`: no SIP message, a mandatory header is missing, or a length lies.
pub fn scan(bytes: &[u8]) -> Option<Seen<'_>> {
    let mut seen = Seen::default();
    let (first, mut rest) = line(bytes)?;
    let mut length = None;
    loop {
        let (row, after) = line(rest)?;
        rest = after;
        if row.is_empty() {
            break;
        }
        let colon = memchr(b':', row)?;
        let (name, value) = (row[..colon].trim_ascii(), row[colon + 1..].trim_ascii());
        take(&mut seen, name, value, &mut length);
    }
    seen.via = seen.vias.first().copied()?;
    if let Some(status) = first.strip_prefix(b"SIP/2.0 ") {
        seen.status = number(status.get(..3)?)?;
        let space = memchr(b' ', seen.cseq)?;
        seen.method = seen.cseq[space..].trim_ascii();
    } else {
        first.strip_suffix(b" SIP/2.0")?;
        seen.method = first.get(..memchr(b' ', first)?)?;
    }
    seen.body = match length {
        Some(length) => rest.get(..length)?,
        None => rest,
    };
    let whole = [seen.from, seen.to, seen.call_id, seen.cseq].iter().all(|value| !value.is_empty());
    whole.then_some(seen)
}

fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr(b'\n', bytes)?;
    Some((bytes[..end].strip_suffix(b"\r")?, &bytes[end + 1..]))
}

fn take<'a>(seen: &mut Seen<'a>, name: &[u8], value: &'a [u8], length: &mut Option<usize>) {
    let is = |long: &str, short: &str| {
        name.eq_ignore_ascii_case(long.as_bytes())
            || (!short.is_empty() && name.eq_ignore_ascii_case(short.as_bytes()))
    };
    if is("Via", "v") {
        seen.vias.push(value);
    } else if is("From", "f") {
        seen.from = value;
    } else if is("To", "t") {
        seen.to = value;
    } else if is("Call-ID", "i") {
        seen.call_id = value;
    } else if is("CSeq", "") {
        seen.cseq = value;
    } else if is("Contact", "m") && seen.contact.is_empty() {
        seen.contact = value;
    } else if is("Record-Route", "") {
        seen.record_routes.push(value);
    } else if is("Content-Length", "l") {
        *length = number(value);
    } else if is("WWW-Authenticate", "") || is("Proxy-Authenticate", "") {
        seen.challenges.push(value);
    }
}

/// A decimal number and nothing else.
pub fn number<N: std::str::FromStr>(text: &[u8]) -> Option<N> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The value of `;name=` in a header value.
pub fn param<'a>(value: &'a [u8], name: &str) -> Option<&'a [u8]> {
    // After the address, so that a parameter inside the brackets is not taken for one of the header.
    let after = memchr::memrchr(b'>', value).map_or(0, |at| at + 1);
    value[after..].split(|octet| *octet == b';').skip(usize::from(after == 0)).find_map(|part| {
        let (key, value) = part.split_at(memchr(b'=', part)?);
        let key = key.trim_ascii();
        key.eq_ignore_ascii_case(name.as_bytes()).then(|| value[1..].trim_ascii())
    })
}

/// The address of a name-addr or addr-spec.
pub fn uri(value: &[u8]) -> &[u8] {
    if let Some(open) = memchr(b'<', value) {
        let inner = &value[open + 1..];
        return &inner[..memchr(b'>', inner).unwrap_or(inner.len())];
    }
    &value[..memchr(b';', value).unwrap_or(value.len())]
}

/// The place of a unit of load in its table, and which use of that place: what our tags, branches and Call-IDs carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Which place.
    pub place: u32,
    /// How often the place was used before.
    pub turn: u32,
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:x}.{:x}", self.place, self.turn)
    }
}

impl Key {
    /// Like [`parse`](Self::parse), for a text that ends in `-` + `run`: what an earlier run left on the wire has the
    /// same keys and must not be taken for ours.
    pub fn parse_of(text: &[u8], prefix: &str, run: &str) -> Option<Self> {
        text.strip_suffix(run.as_bytes())?.strip_suffix(b"-")?;
        Self::parse(text, prefix)
    }

    /// Finds `PREFIX` + key at the start of `text`.
    pub fn parse(text: &[u8], prefix: &str) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?.strip_prefix(prefix)?;
        let (place, rest) = text.split_once('.')?;
        let end = rest.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(rest.len());
        Some(Self {
            place: u32::from_str_radix(place, 16).ok()?,
            turn: u32::from_str_radix(&rest[..end], 16).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RINGING: &[u8] = b"SIP/2.0 180 Ringing\r\nv: SIP/2.0/UDP a:1;branch=z9hG4bKx;rport=9\r\n\
        Via: SIP/2.0/UDP b\r\nrecord-route: <sip:p;lr>\r\nf: <sip:a@b;x=y>;tag=one\r\n\
        To : \"B;tag=no\" <sip:b@c>;tag=two\r\ni: id\r\nCSeq: 1  INVITE\r\nm: <sip:t@1.2.3.4:5>;q=1\r\nl: 0\r\n\r\n";

    #[test]
    fn a_response_is_read() {
        let seen = scan(RINGING).unwrap();
        assert_eq!((seen.status, seen.method, seen.vias.len()), (180, &b"INVITE"[..], 2));
        assert_eq!(param(seen.via, "branch"), Some(&b"z9hG4bKx"[..]));
        assert_eq!(param(seen.to, "tag"), Some(&b"two"[..]));
        assert_eq!(param(seen.from, "x"), None);
        assert_eq!(uri(seen.contact), b"sip:t@1.2.3.4:5");
        assert_eq!(seen.record_routes, [b"<sip:p;lr>"]);
    }

    #[test]
    fn keys_survive_the_wire() {
        let key = Key { place: 0xabc, turn: 17 };
        assert_eq!(Key::parse(format!("s{key}-rest").as_bytes(), "s"), Some(key));
        assert_eq!(Key::parse(b"sx.y", "s"), None);
        assert_eq!(Key::parse_of(b"c1.2-77v1", "c", "77v1"), Some(Key { place: 1, turn: 2 }));
        assert_eq!(Key::parse_of(b"c1.2-77v11", "c", "77v1"), None);
        assert_eq!(Key::parse_of(b"c1.2-177v1", "c", "77v1"), None);
    }

    #[test]
    fn hostile_octets_never_panic() {
        let mut rng = types::Rng::from_number(1);
        for _ in 0..20_000 {
            let mut bytes = RINGING.to_vec();
            for _ in 0..=rng.below(4) {
                let at = rng.below(bytes.len() as u64) as usize;
                match rng.below(3) {
                    0 => bytes.truncate(at.max(1)),
                    1 => bytes[at] = rng.next_u64() as u8,
                    _ => bytes.insert(at, b"\r\n:;<>= "[rng.below(8) as usize]),
                }
            }
            if let Some(seen) = scan(&bytes) {
                let _ = (param(seen.to, "tag"), uri(seen.contact), Key::parse(seen.call_id, "c"));
            }
        }
    }
}
