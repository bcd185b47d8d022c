//! What a person types, as a URI.

use sip::Uri;
use sip::write::escape_user;

/// The URI of what a person types: `1002`, `+15550100`, `bob@example.com` or a whole URI. `None`
/// when no URI comes of it.
pub fn address(typed: &str, domain: &str) -> Option<String> {
    let typed = typed.trim();
    let is_uri = ["sip:", "sips:"]
        .iter()
        .any(|scheme| typed.get(..scheme.len()).is_some_and(|s| s.eq_ignore_ascii_case(scheme)));
    let uri = match typed.rsplit_once('@') {
        _ if is_uri => typed.to_owned(),
        Some((user, host)) => format!("sip:{}@{host}", escape_user(user.as_bytes())),
        None => format!("sip:{}@{domain}", escape_user(typed.as_bytes())),
    };
    let read = Uri::decode(uri.as_bytes()).ok()?;
    (read.user.is_none_or(|user| !user.is_empty()) && !typed.is_empty()).then_some(uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_type_becomes_a_uri() {
        for (typed, uri) in [
            ("1002", Some("sip:1002@localhost")),
            (" +15550100 ", Some("sip:+15550100@localhost")),
            ("bob@example.com", Some("sip:bob@example.com")),
            ("SIP:bob@127.0.0.1:5062;transport=tcp", Some("SIP:bob@127.0.0.1:5062;transport=tcp")),
            ("a b", Some("sip:a%20b@localhost")),
            ("", None),
            ("sip:", None),
            ("bob@", None),
        ] {
            assert_eq!(address(typed, "localhost").as_deref(), uri, "{typed:?}");
        }
    }
}
