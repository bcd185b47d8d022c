//! Clips and recordings: their lasting addresses, and what an administrator does with them.
//!
//! Rules       Whoever knows the address may fetch what is there, as nobody guesses one. The list is the administrator's.
//!             An address always gives the same octets or none.
//! Limits      [`UPLOAD_MAX`] octets of a body, [`LIST_MAX`] items of a list.
//! Not here    Decoding and keeping (the roof hands a [`Sounds`] in).
//! Spec        RFC 9110 §13.1.2 (If-None-Match), §13.1.5 (If-Range), §14 (Range); RFC 8246 (immutable)

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_NONE_MATCH, IF_RANGE,
    LOCATION, RANGE,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use serde_json::{Value, json};
use switchboard::{ApiResponse, ClipFact, SoundFault};
use tokio::sync::oneshot;

use crate::edge::{Edge, carry};
use crate::refusal::Refusal;
use crate::routes;

/// Octets of a file that is uploaded. What is a little more is refused by the worker's own words.
pub const UPLOAD_MAX: usize = 41 << 20;
/// Items of one list; `next` tells how to go on.
pub const LIST_MAX: usize = 200;
/// Letters of a hash.
const HASH_LETTERS: usize = 64;
/// What is behind an address never changes.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// Called once with what became of an upload.
pub type Uploaded = Box<dyn FnOnce(Result<ClipFact, SoundFault>) + Send>;

/// One file of the library.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// Its name.
    pub hash: String,
    /// Where it is fetched.
    pub address: String,
    /// Its size.
    pub octets: u64,
    /// How long it plays, where its head says so.
    pub seconds: Option<f64>,
}

/// Clips and recordings, as the edge shows them. All but `add` wait for the disk.
pub trait Sounds: Send + Sync {
    /// Makes a clip of a file. `even`: brought to the loudness of all others.
    fn add(&self, bytes: Vec<u8>, even: bool, done: Uploaded);
    /// Deletes a file; `false`: there was none.
    fn forget(&self, hash: &str) -> bool;
    /// Files in the order of their names, behind `after`.
    fn list(&self, after: &str, max: usize) -> Vec<Kept>;
    /// The octets of a file.
    fn read(&self, hash: &str) -> Option<Vec<u8>>;
}

impl Edge {
    /// Answers what concerns the library; `Err` inside gives the body back: it is for somebody else.
    pub async fn media(
        &self,
        parts: &Parts,
        names: &[&str],
        body: Body,
        from: SocketAddr,
    ) -> Result<Result<Response, Refusal>, Body> {
        let Some(sounds) = self.sounds.clone() else { return Err(body) };
        let refuse = |allow: &str| Err(Refusal::MethodNotAllowed { allow: allow.into() });
        Ok(match (names, &parts.method) {
            (["media", file], &(Method::GET | Method::HEAD)) => {
                fetch(sounds, file, &parts.headers).await
            }
            (["media", _], _) => refuse("GET, HEAD"),
            (["v1", "media"], &(Method::GET | Method::HEAD)) => {
                self.list(parts, from, sounds).await
            }
            (["v1", "media"], &Method::POST) => self.upload(parts, body, from, sounds).await,
            (["v1", "media"], _) => refuse("GET, HEAD, POST"),
            (["v1", "media", hash], &Method::DELETE) => {
                self.forget(parts, from, sounds, (*hash).to_owned()).await
            }
            (["v1", "media", _], _) => refuse("DELETE"),
            _ => return Err(body),
        })
    }

    async fn upload(
        &self,
        parts: &Parts,
        body: Body,
        from: SocketAddr,
        sounds: Arc<dyn Sounds>,
    ) -> Result<Response, Refusal> {
        self.administrator(parts, from)?;
        let (bytes, _held) = self.body(&parts.headers, body, UPLOAD_MAX).await?;
        let query = routes::query(parts.uri.query().unwrap_or(""));
        let even = query.iter().any(|(name, value)| name == "loudness" && value == "even");
        let (told, heard) = oneshot::channel();
        // Who asked may have gone: then nobody misses the answer.
        sounds.add(bytes, even, Box::new(move |made| drop(told.send(made))));
        let made = tokio::time::timeout(self.limits.api_wait, heard).await;
        match made.map_err(|_| Refusal::TimedOut)?.map_err(|_| Refusal::BadAnswer)? {
            Ok(fact) => {
                let hash = fact.address.trim_start_matches("/media/").trim_end_matches(".wav");
                let kept = Kept {
                    hash: hash.to_owned(),
                    address: fact.address.clone(),
                    octets: fact.octets,
                    seconds: Some(fact.length.as_secs_f64()),
                };
                let mut answer = json_answer(StatusCode::CREATED, &self.item(&kept));
                if let Ok(place) = HeaderValue::from_str(&fact.address) {
                    answer.headers_mut().insert(LOCATION, place);
                }
                Ok(answer)
            }
            Err(fault) => carry(ApiResponse::refusal(&fault, &Value::Null)),
        }
    }

    async fn list(
        &self,
        parts: &Parts,
        from: SocketAddr,
        sounds: Arc<dyn Sounds>,
    ) -> Result<Response, Refusal> {
        self.administrator(parts, from)?;
        let query = routes::query(parts.uri.query().unwrap_or(""));
        let after = query.into_iter().find(|(name, _)| name == "after");
        let after = after.map(|(_, value)| value).unwrap_or_default();
        let listed = tokio::task::spawn_blocking(move || sounds.list(&after, LIST_MAX)).await;
        let listed = listed.map_err(|_| Refusal::BadAnswer)?;
        let next = listed.last().filter(|_| listed.len() >= LIST_MAX).map(|last| &last.hash);
        let items: Vec<Value> = listed.iter().map(|kept| self.item(kept)).collect();
        Ok(json_answer(StatusCode::OK, &json!({"items": items, "next": next})))
    }

    async fn forget(
        &self,
        parts: &Parts,
        from: SocketAddr,
        sounds: Arc<dyn Sounds>,
        hash: String,
    ) -> Result<Response, Refusal> {
        self.administrator(parts, from)?;
        let gone = tokio::task::spawn_blocking(move || sounds.forget(&hash)).await;
        if gone.map_err(|_| Refusal::BadAnswer)? {
            Ok(StatusCode::NO_CONTENT.into_response())
        } else {
            carry(ApiResponse::refusal(&SoundFault::Missing, &Value::Null))
        }
    }

    fn item(&self, kept: &Kept) -> Value {
        json!({
            "hash": kept.hash,
            "address": kept.address,
            "url": format!("{}{}", self.public, kept.address),
            "octets": kept.octets,
            "seconds": kept.seconds,
        })
    }
}

fn json_answer(status: StatusCode, body: &Value) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

/// One file, or the part of it that is asked for.
async fn fetch(
    sounds: Arc<dyn Sounds>,
    file: &str,
    headers: &HeaderMap,
) -> Result<Response, Refusal> {
    let (hash, extension) = file.split_once('.').ok_or(Refusal::NotFound)?;
    // Apps of a known cloud put the form that they want behind the address of a recording that they were told. Players
    // and readers go by the kind that is answered: there is no MP3.
    let wanted = [".wav", ".mp3"].iter().find_map(|form| extension.strip_suffix(form));
    let extension = wanted.unwrap_or(extension);
    let plain = hash.len() == HASH_LETTERS && hash.bytes().all(|one| one.is_ascii_hexdigit());
    if !plain {
        return Err(Refusal::NotFound);
    }
    let name = hash.to_owned();
    let octets = tokio::task::spawn_blocking(move || sounds.read(&name)).await;
    let octets = octets.map_err(|_| Refusal::BadAnswer)?.ok_or(Refusal::NotFound)?;
    let kind = match (extension, octets.as_slice()) {
        ("wav", [b'R', b'I', b'F', b'F', ..]) => "audio/wav",
        ("ogg", [b'O', b'g', b'g', b'S', ..]) => "audio/ogg",
        _ => return Err(Refusal::NotFound),
    };
    Ok(part(hash, kind, octets.into(), headers))
}

fn part(hash: &str, kind: &'static str, octets: Bytes, headers: &HeaderMap) -> Response {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let tag = format!("\"{hash}\"");
    let length = octets.len();
    let same = text(IF_RANGE).is_none_or(|known| known == tag);
    let wanted = text(RANGE).filter(|_| same).and_then(|range| wanted(range, length));
    let mut response = if text(IF_NONE_MATCH).is_some_and(|known| known.contains(&tag)) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        match wanted {
            None => Body::from(octets).into_response(),
            Some(None) => StatusCode::RANGE_NOT_SATISFIABLE.into_response(),
            Some(Some(ref range)) => {
                let part = octets.slice(range.clone());
                (StatusCode::PARTIAL_CONTENT, Body::from(part)).into_response()
            }
        }
    };
    let status = response.status();
    let answered = response.headers_mut();
    let range = match wanted {
        Some(Some(range)) => Some(format!("bytes {}-{}/{length}", range.start, range.end - 1)),
        Some(None) => Some(format!("bytes */{length}")),
        None => None,
    };
    let range = range.filter(|_| status != StatusCode::NOT_MODIFIED);
    for (name, value) in [(ETAG, Some(tag)), (CONTENT_RANGE, range)] {
        // Digits and hexadecimal always fit into a header.
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
            answered.insert(name, value);
        }
    }
    answered.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answered.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    answered.insert(CACHE_CONTROL, HeaderValue::from_static(FOR_EVER));
    response
}

/// The one range that is asked for. `None`: none that we serve, which gives the whole; inside, `None`: one that the file
/// does not have.
fn wanted(text: &str, length: usize) -> Option<Option<Range<usize>>> {
    let (first, last) = text.strip_prefix("bytes=")?.trim().split_once('-')?;
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|one| one.is_ascii_digit());
        digits.then(|| text.parse::<usize>().unwrap_or(usize::MAX))
    };
    let range = match (first, last) {
        ("", last) => length.saturating_sub(number(last)?)..length,
        (first, "") => number(first)?..length,
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            if last < first {
                return None;
            }
            first..last.saturating_add(1).min(length)
        }
    };
    Some((range.start < range.end).then_some(range))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_or_left_alone() {
        let cases = [
            ("bytes=0-3", Some(Some(0..4))),
            ("bytes=4-", Some(Some(4..10))),
            ("bytes=-3", Some(Some(7..10))),
            ("bytes=-30", Some(Some(0..10))),
            ("bytes=8-99999999999999999999999", Some(Some(8..10))),
            ("bytes=10-", Some(None)),
            ("bytes=-0", Some(None)),
            ("bytes=3-2", None),
            ("bytes=0-1,4-5", None),
            ("bytes=a-", None),
            ("items=0-1", None),
            ("bytes=+1-2", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(wanted(text, 10), expected, "{text}");
        }
        assert_eq!(wanted("bytes=0-", 0), Some(None));
    }

    #[test]
    fn parts_and_what_is_known_already() {
        let octets = Bytes::from_static(b"RIFF123456");
        let ask = |pairs: &[(axum::http::HeaderName, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.insert(name, HeaderValue::from_str(value).unwrap());
            }
            part("ab", "audio/wav", octets.clone(), &headers)
        };
        let whole = ask(&[]);
        assert_eq!(whole.status(), StatusCode::OK);
        assert_eq!(whole.headers()[ETAG], "\"ab\"");
        assert_eq!(whole.headers()[CACHE_CONTROL], FOR_EVER);
        let some = ask(&[(RANGE, "bytes=2-3")]);
        assert_eq!(some.status(), StatusCode::PARTIAL_CONTENT);
        assert_eq!(some.headers()[CONTENT_RANGE], "bytes 2-3/10");
        assert_eq!(ask(&[(RANGE, "bytes=10-")]).status(), StatusCode::RANGE_NOT_SATISFIABLE);
        assert_eq!(ask(&[(IF_NONE_MATCH, "\"ab\"")]).status(), StatusCode::NOT_MODIFIED);
        let other = ask(&[(RANGE, "bytes=2-3"), (IF_RANGE, "\"cd\"")]);
        assert_eq!(other.status(), StatusCode::OK);
    }
}
