//! A Web Push service.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State as Shared};
use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use pns::{Provider, webpush};
use serde::Deserialize;
use serde_json::{Value, json};

use super::state::{Kind, Plan, State, as_payload};
use super::{Reply, silence};
use crate::http::unix_now;

/// Longest time that a message is kept; longer ones are cut to it. Units: seconds.
const TTL_MAX: u64 = 2_592_000;
/// Longest life of a sender's token. Units: seconds. Spec: RFC 8292 §2
const TOKEN_LIFE_MAX: u64 = 24 * 3_600;
/// Longest `Topic`. Spec: RFC 8030 §5.4
const TOPIC_MAX: usize = 32;

#[derive(Deserialize)]
struct Claims {
    exp: u64,
}

/// `POST` to a push resource.
///
/// Spec: RFC 8030 §5
pub async fn receive(
    Shared(state): Shared<Arc<State>>,
    Path(token): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Reply {
    let prid = format!("{}/wp/{token}", state.base());
    let mut payload = Value::Null;
    let reply = match judge(&state, &prid, &headers, &body) {
        Ok((plain, ttl)) => {
            payload = plain;
            match state.planned(Provider::Webpush) {
                Some(Plan::Silent) => return silence().await,
                Some(plan) => planned(plan),
                None => accepted(&state, ttl),
            }
        }
        Err(reply) => reply,
    };
    state.record(Provider::Webpush, &prid, &headers, (payload, body.len()), &reply);
    reply
}

/// `DELETE` of a message resource.
///
/// Spec: RFC 8030 §6.2
pub async fn withdraw(Shared(state): Shared<Arc<State>>, Path(id): Path<String>) -> Reply {
    if state.withdraw(&id) {
        Reply::new(204, "withdrawn", String::new())
    } else {
        refuse(404, 102, "Not Found", "no such message")
    }
}

fn accepted(state: &State, ttl: u64) -> Reply {
    let location = format!("{}/wp/message/{}", state.base(), state.new_message());
    Reply::new(201, "accepted", String::new())
        .with("location", location)
        .with("ttl", ttl.to_string())
}

fn planned(plan: Plan) -> Reply {
    match plan {
        Plan::Gone => refuse(410, 103, "Gone", "expired subscription"),
        Plan::RateLimited { retry_after } => {
            refuse(429, 203, "Too Many Requests", "slow down").retry_after(retry_after)
        }
        Plan::Silent => refuse(503, 201, "Service Unavailable", "ill"),
        Plan::Unavailable { retry_after } => {
            refuse(503, 201, "Service Unavailable", "ill").retry_after(retry_after)
        }
    }
}

/// The plaintext and the time to live, when all is well.
fn judge(
    state: &State,
    prid: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<(Value, u64), Reply> {
    let token = state.token(prid).ok_or_else(|| refuse(404, 102, "Not Found", "bad endpoint"))?;
    let Kind::Webpush { private, auth } = token.kind else {
        return Err(refuse(404, 102, "Not Found", "bad endpoint"));
    };
    if token.revoked.is_some() {
        return Err(refuse(410, 103, "Gone", "expired subscription"));
    }
    authorise(state, headers)?;
    let ttl = judge_headers(headers)?;
    if body.len() > webpush::BODY_MAX {
        return Err(refuse(413, 104, "Payload Too Large", "over 4096 octets"));
    }
    if body.is_empty() {
        return Ok((Value::Null, ttl)); // A push without content is only a knock.
    }
    if header(headers, "content-encoding") != Some("aes128gcm") {
        return Err(refuse(400, 110, "Bad Request", "content-encoding must be aes128gcm"));
    }
    let plain = webpush::decrypt(body, private.reveal(), &auth)
        .map_err(|error| refuse(400, 110, "Bad Request", &error.to_string()))?;
    Ok((as_payload(&plain), ttl))
}

/// Spec: RFC 8292 §4.2
fn authorise(state: &State, headers: &HeaderMap) -> Result<(), Reply> {
    let no = |why: &str| refuse(401, 109, "Unauthorized", why);
    let shown = header(headers, "authorization").ok_or_else(|| no("missing vapid"))?;
    let (scheme, rest) = shown.split_once(' ').ok_or_else(|| no("malformed"))?;
    let part = |name: &str| {
        rest.split(',').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='))
    };
    let (Some(token), Some(key)) = (part("t"), part("k")) else {
        return Err(no("wants t and k"));
    };
    if !scheme.eq_ignore_ascii_case("vapid") {
        return Err(no("wants the scheme vapid"));
    }
    let point = URL_SAFE_NO_PAD
        .decode(key.trim_end_matches('='))
        .ok()
        .filter(|point| point.len() == 65)
        .ok_or_else(|| no("k is no key"))?;
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_audience(&[state.base()]);
    validation.set_required_spec_claims(&["exp", "aud"]);
    let claims = decode::<Claims>(token, &DecodingKey::from_ec_der(&point), &validation)
        .map_err(|error| no(&error.to_string()))?
        .claims;
    if claims.exp > unix_now() + TOKEN_LIFE_MAX {
        return Err(no("exp more than 24 hours ahead"));
    }
    Ok(())
}

/// The time to live, when all headers read.
fn judge_headers(headers: &HeaderMap) -> Result<u64, Reply> {
    let bad = |errno, why: &str| Err(refuse(400, errno, "Bad Request", why));
    let Some(ttl) = header(headers, "ttl") else { return bad(111, "missing TTL") };
    let Ok(ttl) = ttl.parse::<u64>() else { return bad(112, "TTL is no number") };
    let urgency = header(headers, "urgency").unwrap_or("normal");
    if !matches!(urgency, "very-low" | "low" | "normal" | "high") {
        return bad(111, "unknown Urgency");
    }
    let topic = header(headers, "topic").unwrap_or_default();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if topic.len() > TOPIC_MAX || !topic.bytes().all(plain) {
        return bad(113, "Topic wants at most 32 characters of base64url");
    }
    Ok(ttl.min(TTL_MAX))
}

fn refuse(code: u16, errno: u16, error: &str, why: &str) -> Reply {
    let body = json!({ "code": code, "errno": errno, "error": error, "message": why });
    Reply::new(code, why, body.to_string())
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
