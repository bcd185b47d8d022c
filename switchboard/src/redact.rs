//! What nobody may read in a ladder: credentials, push tokens, signed links, keys of media, digits that were dialled.
//!
//! Picture     a SIP message, or words of ours --> the same with `(redacted)` or stars where a secret stood
//! Rules       A header's secret gives way to a word; a body's to as many stars, for its length is said elsewhere. What
//!             cannot be read as a message is treated as headers, which hides more.
//! Limits      None: the ladder bounds what comes in.
//! Not here    Addresses and names of people, which are what a ladder is read for.
//! Spec        RFC 3261 §7.3.1 (folded lines), RFC 8599 §9, RFC 4568 §9.1, RFC 8839 §5.4

/// Stands for what was taken out.
const MASK: &[u8] = b"(redacted)";

/// Headers that are all secret.
const SECRET_HEADERS: [&[u8]; 2] = [b"authorization", b"proxy-authorization"];

/// Schemes of credentials, which are no secret.
const SCHEMES: [&[u8]; 3] = [b"Basic", b"Bearer", b"Digest"];

/// Takes secrets out of a SIP message, or of words, before a person reads it.
pub fn redact(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len());
    let (mut in_body, mut secret, mut digits) = (false, false, false);
    for line in message.split_inclusive(|octet| *octet == b'\n') {
        let text = line.trim_ascii_end();
        let ending = line.get(text.len()..).unwrap_or_default();
        if in_body {
            body_line(text, digits, &mut out);
            out.extend_from_slice(ending);
            continue;
        }
        if text.is_empty() {
            in_body = true;
        }
        let folded = matches!(line.first(), Some(b' ' | b'\t'));
        if folded && secret {
            continue;
        }
        let name = text.split(|octet| *octet == b':').next().unwrap_or_default();
        let is = |known: &[u8]| name.trim_ascii().eq_ignore_ascii_case(known);
        secret = !folded && SECRET_HEADERS.iter().any(|known| is(known));
        if secret {
            out.extend_from_slice(name.trim_ascii());
            out.extend_from_slice(b": ");
            out.extend_from_slice(scheme(text.get(name.len() + 1..).unwrap_or_default()));
            out.push(b' ');
            out.extend_from_slice(MASK);
        } else {
            digits |= (is(b"content-type") || is(b"c")) && find(text, b"dtmf").is_some();
            header_line(text, &mut out);
        }
        out.extend_from_slice(ending);
    }
    out
}

/// The scheme of credentials: other programs look for one.
fn scheme(value: &[u8]) -> &'static [u8] {
    let value = value.trim_ascii_start();
    let word = value.split(u8::is_ascii_whitespace).next().unwrap_or_default();
    let known = SCHEMES.into_iter().find(|scheme| scheme.eq_ignore_ascii_case(word));
    known.unwrap_or(b"Unknown")
}

/// A header with its push tokens and the queries of its links masked.
fn header_line(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some((before, secret, after)) = next_secret(rest) {
        out.extend_from_slice(before);
        if !secret.is_empty() {
            out.extend_from_slice(MASK);
        }
        rest = after;
    }
    out.extend_from_slice(rest);
}

/// The first secret of a line, with what stands before and behind it.
fn next_secret(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let token = find(text, b"pn-prid").and_then(|at| {
        // A space may stand before the value, and quotes around it.
        let value = text.get(at + b"pn-prid".len()..)?;
        let skipped = value.iter().take_while(|octet| b" \t=\"".contains(octet)).count();
        span(text, at + b"pn-prid".len() + skipped, b";>, \t\"")
    });
    let link = find(text, b"http").and_then(|at| {
        let (before, link, _) = span(text, at, b"<> \t\",")?;
        let query = link.iter().position(|octet| *octet == b'?').unwrap_or(link.len());
        span(text, before.len() + (query + 1).min(link.len()), b"<> \t\",")
    });
    match (token, link) {
        (Some(token), Some(link)) => Some(if token.0.len() < link.0.len() { token } else { link }),
        (token, link) => token.or(link),
    }
}

/// The text from `begin` up to one of these octets, with what stands before and behind it.
fn span<'a>(text: &'a [u8], begin: usize, ends: &[u8]) -> Option<(&'a [u8], &'a [u8], &'a [u8])> {
    let (before, rest) = text.split_at_checked(begin)?;
    let length = rest.iter().position(|octet| ends.contains(octet)).unwrap_or(rest.len());
    let (found, after) = rest.split_at_checked(length)?;
    Some((before, found, after))
}

/// A line of a body, its secrets starred out.
fn body_line(text: &[u8], digits: bool, out: &mut Vec<u8>) {
    let hidden = if digits {
        find(text, b"signal=").map_or((0, text.len()), |at| (at + 7, text.len()))
    } else if starts(text, b"a=crypto:") {
        find(text, b"inline:").map_or((0, 0), |at| (at + 7, text.len()))
    } else if starts(text, b"a=ice-pwd:") {
        (10, text.len())
    } else {
        find(text, b"sig=").map_or((0, 0), |at| {
            let (before, link, _) = span(text, at + 4, b"<> \t\"&").unwrap_or_default();
            (before.len(), before.len() + link.len())
        })
    };
    for (place, octet) in text.iter().enumerate() {
        out.push(if (hidden.0..hidden.1).contains(&place) { b'*' } else { *octet });
    }
}

fn starts(text: &[u8], word: &[u8]) -> bool {
    text.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word))
}

/// Where a word stands in any case.
fn find(text: &[u8], word: &[u8]) -> Option<usize> {
    text.windows(word.len()).position(|part| part.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::Rng;

    /// What each message must not show any more.
    const SECRET: &str = "hush";

    fn shown(message: &str) -> String {
        String::from_utf8(redact(message.as_bytes())).unwrap()
    }

    #[test]
    fn secrets_of_headers_give_way() {
        let rows = [
            "Authorization: Digest username=\"hush\"\r\nTo: y",
            "proxy-authorization : Digest response=\"hush\"\r\nTo: y",
            "Authorization: Digest username=\"a\",\r\n\tresponse=\"hush\",\r\n nonce=\"hush\"\r\nTo: y",
            "Authorization: hush\r\nTo: y",
            "Authorization: hush hush\r\nTo: y",
            "Contact: <sip:a@b;pn-provider=fcm;pn-prid=hush;pn-param=p>\r\nTo: y",
            "Contact: <sip:a@b;PN-PRID=hush>;q=1, <sip:a@c;pn-prid=\"hush\">\r\nTo: y",
            "Call-Info: <http://us/v1/images/1?exp=1&sig=hush>;purpose=icon\r\nTo: y",
            "Call-Info: <https://us/a>, <https://us/b?sig=hush>\r\nTo: y",
            "Contact: <sip:a@b;pn-prid=https://push.example/hush?hush>\r\nTo: y",
        ];
        for row in rows {
            let text = shown(&format!("INVITE sip:a SIP/2.0\r\n{row}\r\n\r\nhello"));
            assert!(!text.contains(SECRET) && text.contains("(redacted)"), "{text}");
            assert!(text.ends_with("To: y\r\n\r\nhello"), "{text}");
        }
        let text = "BYE sip:a SIP/2.0\r\nAuthorization:digest a=b\r\n\r\n";
        assert!(
            shown(text).contains("\r\nAuthorization: Digest (redacted)\r\n"),
            "{}",
            shown(text)
        );
        assert_eq!(shown("waking fcm pn-prid=hush"), "waking fcm pn-prid=(redacted)");
    }

    #[test]
    fn secrets_of_bodies_keep_their_length() {
        let rows = [
            ("application/sdp", "v=0\r\na=crypto:1 AES inline:hush|2^20\r\na=sendrecv\r\n"),
            ("application/sdp", "v=0\r\na=ice-pwd:hush\r\n"),
            ("application/dtmf-relay", "Signal=hush\r\nDuration=160\r\n"),
            ("application/dtmf", "hush"),
            ("text/plain", "see http://us/v1/images/1?exp=1&sig=hush there"),
        ];
        for (kind, body) in rows {
            let text = format!("INFO sip:a SIP/2.0\r\nContent-Type: {kind}\r\n\r\n{body}");
            let found = shown(&text);
            assert!(!found.contains(SECRET), "{found}");
            assert_eq!(found.len(), text.len());
        }
    }

    #[test]
    fn all_else_stays_as_it_was() {
        let text = "INVITE sip:a@b;transport=tcp SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\n\
                    Subject: Authorization: none\r\n folded\r\nContact: <sip:a@b;pn-prid>\r\n\
                    Content-Type: application/sdp\r\n\r\nv=0\r\no=- 1 1 IN IP4 h\r\n";
        assert_eq!(shown(text), text);
        assert_eq!(shown(""), "");
    }

    #[test]
    fn whatever_comes_is_shown_without_a_panic() {
        let words: [&[u8]; 10] = [
            b"Authorization: hush",
            b"pn-prid=",
            b"http://",
            b"?",
            b"\r\n",
            b"\r\n ",
            b"a=crypto:",
            b"inline:",
            b";\"<>,",
            &[0xff, 0x00],
        ];
        let mut rng = Rng::from_number(7);
        for _ in 0..20_000 {
            let mut message = Vec::new();
            for _ in 0..rng.below(12) {
                message.extend_from_slice(words[rng.below(words.len() as u64) as usize]);
            }
            redact(&message);
        }
    }
}
