//! Who sends a Web Push: the claims of the token that the sender signs.

use serde::Serialize;

/// Longest life of a token; the standard allows 24 hours. Units: seconds.
pub const LIFE: u64 = 12 * 3_600;

/// What the sender states.
///
/// Spec: RFC 8292 §2
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Claims {
    /// Origin of the push resource.
    pub aud: String,
    /// Units: seconds since 1970.
    pub exp: u64,
    /// How to reach the sender: a `mailto:` or `https:` address.
    pub sub: String,
}

/// The claims for a push to `endpoint`; `None` when that is no HTTP address.
pub fn claims(endpoint: &str, subject: &str, now: u64) -> Option<Claims> {
    let aud = origin(endpoint)?;
    Some(Claims { aud, exp: now.saturating_add(LIFE), sub: subject.to_owned() })
}

/// The value of `Authorization`.
///
/// Spec: RFC 8292 §3
pub fn authorization(token: &str, public_key: &str) -> String {
    format!("vapid t={token}, k={public_key}")
}

/// Scheme, host and port of an address, in lower case and without a default port.
///
/// Spec: RFC 6454 §6.2
pub fn origin(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let default_port = match scheme.as_str() {
        "https" => ":443",
        "http" => ":80",
        _ => return None,
    };
    let host = rest.split(['/', '?', '#']).next()?.to_ascii_lowercase();
    if host.is_empty() || host.contains(['@', ' ', '\\']) {
        return None;
    }
    let host = host.strip_suffix(default_port).unwrap_or(&host);
    Some(format!("{scheme}://{host}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins() {
        for (url, expected) in [
            ("https://Push.Example/abc?x#y", Some("https://push.example")),
            ("https://push.example:443/abc", Some("https://push.example")),
            ("http://127.0.0.1:8080/wp/1", Some("http://127.0.0.1:8080")),
            ("https://u@push.example/", None),
            ("ftp://push.example/", None),
            ("https:///x", None),
            ("nonsense", None),
        ] {
            assert_eq!(origin(url).as_deref(), expected, "{url}");
        }
        let claims = claims("https://push.example/a", "mailto:ops@example.org", 1_000).unwrap();
        assert_eq!(claims.exp, 1_000 + LIFE);
        assert_eq!(authorization("T", "K"), "vapid t=T, k=K");
    }
}
