//! The generator's own digest: MD5 with qop=auth. Spec: RFC 7616 §3.4, RFC 8760 (which keeps MD5 for old phones).

use md5::{Digest, Md5};

/// What a challenge says, as far as an answer needs it.
#[derive(Debug, PartialEq, Eq)]
pub struct Challenge {
    realm: String,
    nonce: String,
    opaque: Option<String>,
    with_qop: bool,
}

impl Challenge {
    /// Reads one `WWW-Authenticate` value. `None`: not MD5, or nonsense.
    pub fn decode(value: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(value).ok()?;
        let mut rest = text
            .get(..7)
            .filter(|scheme| scheme.eq_ignore_ascii_case("digest "))
            .map(|_| &text[7..])?;
        let (mut realm, mut nonce, mut opaque, mut qop) = (None, None, None, None);
        while let Some((name, after)) = rest.split_once('=') {
            let name = name.trim_matches([' ', ',', '\t']);
            let (value, next) = match after.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"')?,
                None => after.split_at(after.find(',').unwrap_or(after.len())),
            };
            match name.to_ascii_lowercase().as_str() {
                "realm" => realm = Some(value.to_owned()),
                "nonce" => nonce = Some(value.to_owned()),
                "opaque" => opaque = Some(value.to_owned()),
                "qop" => qop = Some(value),
                "algorithm" if !value.trim().eq_ignore_ascii_case("md5") => return None,
                _ => (),
            }
            rest = next;
        }
        let with_qop = qop.is_some_and(|list| list.split(',').any(|one| one.trim() == "auth"));
        Some(Self { realm: realm?, nonce: nonce?, opaque, with_qop })
    }

    /// The value of the `Authorization` header.
    pub fn answer(
        &self,
        user: &str,
        password: &str,
        method: &str,
        uri: &str,
        cnonce: &str,
    ) -> String {
        let Self { realm, nonce, opaque, with_qop } = self;
        let a1 = hex(&format!("{user}:{realm}:{password}"));
        let a2 = hex(&format!("{method}:{uri}"));
        let (response, tail) = if *with_qop {
            (
                hex(&format!("{a1}:{nonce}:00000001:{cnonce}:auth:{a2}")),
                format!(", qop=auth, nc=00000001, cnonce=\"{cnonce}\""),
            )
        } else {
            (hex(&format!("{a1}:{nonce}:{a2}")), String::new())
        };
        let opaque =
            opaque.as_ref().map_or(String::new(), |opaque| format!(", opaque=\"{opaque}\""));
        format!(
            "Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", \
             response=\"{response}\", algorithm=MD5{tail}{opaque}"
        )
    }
}

fn hex(text: &str) -> String {
    Md5::digest(text.as_bytes()).iter().map(|octet| format!("{octet:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Spec: RFC 7616 §3.9.1 (with MD5).
    #[test]
    fn the_example_of_the_rfc() {
        let challenge = Challenge::decode(
            b"Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm=MD5, \
              nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", \
              opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"",
        )
        .unwrap();
        let answer = challenge.answer(
            "Mufasa",
            "Circle of Life",
            "GET",
            "/dir/index.html",
            "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
        );
        assert!(answer.contains("response=\"8ca523f5e9506fed4657c9700eebdbec\""), "{answer}");
    }

    #[test]
    fn another_algorithm_is_left_to_others() {
        assert_eq!(Challenge::decode(b"Digest realm=\"a\", nonce=\"b\", algorithm=SHA-256"), None);
        assert_eq!(Challenge::decode(b"Basic realm=\"a\""), None);
        assert_eq!(Challenge::decode(b""), None);
    }
}
