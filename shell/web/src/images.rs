//! Pictures behind signed links: no login, one image, until one moment.

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::Response;
use switchboard::link;
use types::UnixTime;

use crate::Blobs;
use crate::refusal::Refusal;

/// Longest time that a phone may keep an image. Units: seconds.
const CACHE_MAX: u64 = 86_400;
/// Letters of a hash.
const HASH_MAX: usize = 128;

/// Answers one link.
pub async fn answer(
    hash: &str,
    query: &[(String, String)],
    key: &[u8; 32],
    blobs: &Blobs,
    now: UnixTime,
) -> Result<Response, Refusal> {
    let part =
        |name: &str| query.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value);
    let (exp, path) = (part("exp"), format!("/v1/images/{hash}"));
    // At the beginning of time nothing has expired: this asks for the signature alone.
    if !link::verify(key, &path, exp, part("sig"), UnixTime::seconds(0)) {
        return Err(Refusal::LinkForged);
    }
    if !link::verify(key, &path, exp, part("sig"), now) {
        return Err(Refusal::LinkExpired);
    }
    let plain = hash.len() <= HASH_MAX && hash.bytes().all(|letter| letter.is_ascii_alphanumeric());
    if !plain {
        return Err(Refusal::NotFound);
    }
    let (blobs, name) = (blobs.clone(), hash.to_owned());
    let octets = tokio::task::spawn_blocking(move || blobs(&name)).await;
    let octets = octets.map_err(|_| Refusal::BadAnswer)?.ok_or(Refusal::NotFound)?;
    let left = exp.parse::<u64>().unwrap_or(0).saturating_sub(now.as_seconds()).min(CACHE_MAX);
    Response::builder()
        .header(CONTENT_TYPE, content_type(&octets))
        .header(CACHE_CONTROL, format!("private, max-age={left}, immutable"))
        .body(Body::from(octets))
        .map_err(|_| Refusal::BadAnswer)
}

/// The kind of picture by its first octets; anything else is only octets.
fn content_type(octets: &[u8]) -> &'static str {
    match octets {
        [0xff, 0xd8, 0xff, ..] => "image/jpeg",
        [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, ..] => "image/png",
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => "image/webp",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_known_by_their_first_octets() {
        assert_eq!(content_type(b"\xff\xd8\xff\xe0"), "image/jpeg");
        assert_eq!(content_type(b"\x89PNG\r\n\x1a\n"), "image/png");
        assert_eq!(content_type(b"RIFF1234WEBPVP8 "), "image/webp");
        for other in [&b""[..], b"RIFF1234WAVE", b"<svg>", b"\xff\xd8"] {
            assert_eq!(content_type(other), "application/octet-stream");
        }
    }
}
