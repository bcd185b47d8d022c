//! Octet-level pieces that every parser here shares.

/// Whether an octet may stand in a token.
///
/// Spec: RFC 3261 §25.1
pub(crate) fn is_token(octet: u8) -> bool {
    TOKEN.has(octet)
}

/// A set of octets, as a table: it is asked about most octets of a message.
pub(crate) struct OctetSet([bool; 256]);

impl OctetSet {
    /// The letters and digits, if wanted, and these.
    #[expect(
        clippy::indexing_slicing,
        reason = "runs in the compiler, where a wrong index is an error"
    )]
    pub(crate) const fn new(alphanumeric: bool, others: &[u8]) -> Self {
        let mut table = [false; 256];
        let mut at = 0;
        while at < table.len() {
            table[at] = alphanumeric && (at as u8).is_ascii_alphanumeric();
            at += 1;
        }
        let mut at = 0;
        while at < others.len() {
            table[others[at] as usize] = true;
            at += 1;
        }
        Self(table)
    }

    /// The same with all control characters.
    #[expect(
        clippy::indexing_slicing,
        reason = "runs in the compiler, where a wrong index is an error"
    )]
    pub(crate) const fn and_controls(mut self) -> Self {
        let mut at = 0;
        while at < b' ' as usize {
            self.0[at] = true;
            at += 1;
        }
        self.0[0x7f] = true;
        self
    }

    /// Whether this octet is in it.
    pub(crate) fn has(&self, octet: u8) -> bool {
        self.0.get(usize::from(octet)).is_some_and(|has| *has)
    }

    /// Whether one of these is in it.
    pub(crate) fn has_any(&self, bytes: &[u8]) -> bool {
        bytes.iter().any(|octet| self.has(*octet))
    }

    /// Whether all of these are in it.
    pub(crate) fn has_all(&self, bytes: &[u8]) -> bool {
        bytes.iter().all(|octet| self.has(*octet))
    }
}

static TOKEN: OctetSet = OctetSet::new(true, b"-.!%*_+`'~");

/// Whether these octets are one token.
pub(crate) fn is_token_text(bytes: &[u8]) -> bool {
    !bytes.is_empty() && TOKEN.has_all(bytes)
}

/// Whether an octet is white space; line breaks are, because a value may still be folded.
pub(crate) fn is_space(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t' | b'\r' | b'\n')
}

/// Without white space in front.
pub(crate) fn trim_start(mut bytes: &[u8]) -> &[u8] {
    while let Some((first, rest)) = bytes.split_first() {
        if !is_space(*first) {
            break;
        }
        bytes = rest;
    }
    bytes
}

/// Without white space behind.
pub(crate) fn trim_end(mut bytes: &[u8]) -> &[u8] {
    while let Some((last, rest)) = bytes.split_last() {
        if !is_space(*last) {
            break;
        }
        bytes = rest;
    }
    bytes
}

/// Without white space on either side.
pub(crate) fn trim(bytes: &[u8]) -> &[u8] {
    trim_end(trim_start(bytes))
}

/// Splits before `at`; beyond the end, the second part is empty.
pub(crate) fn split(bytes: &[u8], at: usize) -> (&[u8], &[u8]) {
    bytes.split_at_checked(at).unwrap_or((bytes, &[]))
}

/// Everything behind the first `count` octets.
pub(crate) fn skip(bytes: &[u8], count: usize) -> &[u8] {
    bytes.get(count..).unwrap_or_default()
}

/// Splits around the first `separator`, which belongs to neither part.
pub(crate) fn split_once(bytes: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr(separator, bytes)?;
    let (before, rest) = split(bytes, at);
    Some((before, skip(rest, 1)))
}

/// The token in front and what follows it.
pub(crate) fn token(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|octet| !is_token(*octet)).unwrap_or(bytes.len());
    split(bytes, end)
}

/// A number of decimal digits alone, saturating; `None` for anything else.
pub(crate) fn number(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() {
        return None;
    }
    bytes.iter().try_fold(0u64, |sum, octet| {
        octet
            .is_ascii_digit()
            .then(|| sum.saturating_mul(10).saturating_add(u64::from(octet - b'0')))
    })
}

/// `bytes` starts with a quote: where its closing quote ends. `None` when it does not close.
pub(crate) fn quoted_end(bytes: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', skip(bytes, at))?;
        if bytes.get(at) == Some(&b'"') {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// Where the first `separator` stands outside quotes and, if `angles`, outside `<>`. An open quote
/// or bracket reaches to the end.
pub(crate) fn find_outside(bytes: &[u8], separator: u8, angles: bool) -> Option<usize> {
    let mut at = 0;
    loop {
        let rest = skip(bytes, at);
        at += if angles {
            memchr::memchr3(b'"', b'<', separator, rest)?
        } else {
            memchr::memchr2(b'"', separator, rest)?
        };
        match bytes.get(at) {
            Some(b'"') => at += quoted_end(skip(bytes, at))?,
            Some(octet) if *octet == separator => return Some(at),
            _ => at += memchr::memchr(b'>', skip(bytes, at))? + 1,
        }
    }
}

/// Whether every quote closes.
pub(crate) fn quotes_close(mut bytes: &[u8]) -> bool {
    while let Some(at) = memchr::memchr(b'"', bytes) {
        let rest = skip(bytes, at);
        let Some(end) = quoted_end(rest) else { return false };
        bytes = skip(rest, end);
    }
    true
}

/// The inside of a quoted string; anything else as it is.
pub(crate) fn unquote(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(bytes)
}

/// The elements of a comma-separated list, trimmed; empty ones are left out.
#[derive(Clone, Debug)]
pub(crate) struct Elements<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while !self.0.is_empty() {
            let end = find_outside(self.0, b',', true).unwrap_or(self.0.len());
            let (element, rest) = split(self.0, end);
            self.0 = skip(rest, 1);
            let element = trim(element);
            if !element.is_empty() {
                return Some(element);
            }
        }
        None
    }
}
