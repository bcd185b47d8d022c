//! Challenges and credentials: a scheme and its parameters. The arithmetic is in [`crate::digest`].
//!
//! Spec: RFC 3261 §20.7, §20.44; RFC 7616 §3.3

use crate::scan;

/// The scheme, such as `Digest`; compare it without regard to case.
pub fn scheme(value: &[u8]) -> &[u8] {
    scan::token(scan::trim_start(value)).0
}

/// The parameters behind the scheme, in order. Values lose their quotes and keep their backslashes,
/// as the digest is computed over them so. What has no name or no `=` is skipped.
pub fn params(value: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let rest = scan::token(scan::trim_start(value)).1;
    scan::Elements(rest).filter_map(|element| {
        let (name, value) = scan::split_once(element, b'=')?;
        let name = scan::trim(name);
        scan::is_token_text(name).then(|| (name, scan::unquote(scan::trim(value))))
    })
}

/// The value of one parameter, its name in any case.
pub fn param<'a>(value: &'a [u8], name: &str) -> Option<&'a [u8]> {
    params(value).find(|(key, _)| key.eq_ignore_ascii_case(name.as_bytes())).map(|(_, found)| found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_commas_and_spaces() {
        let value =
            b" Digest realm = \"a, b\\\"c\",\r\n\tqop=\"auth,auth-int\" , stale=FALSE,,=x,y,nc=1";
        assert_eq!(scheme(value), b"Digest");
        let pairs: Vec<_> = params(value).collect();
        assert_eq!(
            pairs,
            [
                (&b"realm"[..], &b"a, b\\\"c"[..]),
                (b"qop", b"auth,auth-int"),
                (b"stale", b"FALSE"),
                (b"nc", b"1"),
            ]
        );
        assert_eq!(param(value, "NC"), Some(&b"1"[..]));
        assert_eq!(params(b"Digest").count() + params(b"").count(), 0);
    }
}
