//! The console's files: built by `cargo xtask console`, inside of the binary, compressed already.

use axum::body::Body;
use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};

/// Most octets of all files together, compressed.
pub const ASSETS_MAX: usize = 200 * 1024;
/// The name of a file with a hash never means anything else.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// One file.
#[derive(Clone, Copy, Debug)]
pub struct Asset {
    /// Its path below `/`, such as `assets/main-1a2b3c4d.js`.
    pub path: &'static str,
    /// Its type.
    pub kind: &'static str,
    /// Its hash, for `ETag`.
    pub tag: &'static str,
    /// Its octets.
    pub plain: &'static [u8],
    /// The same in gzip.
    pub gzip: &'static [u8],
}

/// What was there when this was built; empty without `cargo xtask console`.
pub fn embedded() -> &'static [Asset] {
    include!(concat!(env!("OUT_DIR"), "/console.rs"))
}

pub fn find<'a>(assets: &'a [Asset], path: &str) -> Option<&'a Asset> {
    assets.iter().find(|asset| asset.path == path)
}

/// One file as an answer: compressed for whoever can read that, nothing for whoever has it.
pub fn answer(asset: &'static Asset, headers: &HeaderMap) -> Response {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let tag = format!("\"{}\"", asset.tag);
    let known = text(IF_NONE_MATCH).is_some_and(|known| known.contains(&tag));
    let packs = text(ACCEPT_ENCODING).is_some_and(|accepted| accepted.contains("gzip"));
    let mut response = match (known, packs) {
        (true, _) => StatusCode::NOT_MODIFIED.into_response(),
        (false, true) => Body::from(asset.gzip).into_response(),
        (false, false) => Body::from(asset.plain).into_response(),
    };
    let cached = if asset.path.starts_with("assets/") { FOR_EVER } else { "no-cache" };
    let answered = response.headers_mut();
    if packs && !known {
        answered.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    answered.insert(CONTENT_TYPE, HeaderValue::from_static(asset.kind));
    answered.insert(CACHE_CONTROL, HeaderValue::from_static(cached));
    answered.insert(VARY, HeaderValue::from_static("accept-encoding"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        answered.insert(ETAG, tag);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASSET: Asset = Asset {
        path: "assets/a-1.js",
        kind: "text/javascript",
        tag: "1",
        plain: b"plain",
        gzip: b"packed",
    };

    #[test]
    fn the_console_is_small() {
        let octets: usize = embedded().iter().map(|asset| asset.gzip.len()).sum();
        assert!(octets <= ASSETS_MAX, "{octets} octets of console");
    }

    #[test]
    fn files_are_packed_and_sent_once() {
        let asset: &'static Asset = &ASSET;
        let mut headers = HeaderMap::new();
        assert!(!answer(asset, &headers).headers().contains_key(CONTENT_ENCODING));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("br, gzip"));
        let packed = answer(asset, &headers);
        assert_eq!(packed.headers()[CONTENT_ENCODING], "gzip");
        assert_eq!(packed.headers()[CACHE_CONTROL], FOR_EVER);
        headers.insert(IF_NONE_MATCH, packed.headers()[ETAG].clone());
        assert_eq!(answer(asset, &headers).status(), StatusCode::NOT_MODIFIED);
        assert!(find(&[ASSET], "assets/b").is_none());
    }
}
