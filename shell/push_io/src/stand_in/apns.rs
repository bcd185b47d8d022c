//! Apple's service.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State as Shared};
use axum::http::{HeaderMap, Method, Version};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use pns::{APNS_COLLAPSE_MAX, APNS_MAX, APNS_VOIP_MAX, Provider};
use serde::Deserialize;
use serde_json::{Value, json};

use super::state::{Kind, Plan, State, Token, as_payload, hex};
use super::{BUNDLE, Reply, TEAM, silence};
use crate::http::{random, unix_now};

/// Oldest signed token that is taken. Units: seconds.
const TOKEN_AGE_MAX: u64 = 3_600;
/// How far in the future a token may be made. Units: seconds.
const SKEW_MAX: u64 = 60;

const PUSH_TYPES: [&str; 10] = [
    "alert",
    "background",
    "complication",
    "controls",
    "fileprovider",
    "liveactivity",
    "location",
    "mdm",
    "pushtotalk",
    "voip",
];

#[derive(Deserialize)]
struct Claims {
    iss: String,
    iat: u64,
}

/// `POST /3/device/TOKEN`
pub async fn receive(
    Shared(state): Shared<Arc<State>>,
    Path(token): Path<String>,
    method: Method,
    version: Version,
    headers: HeaderMap,
    body: Bytes,
) -> Reply {
    if version != Version::HTTP_2 {
        // Apple closes such a connection; this says why.
        return refuse(505, "HttpVersionNotSupported");
    }
    let reply = match judge(&state, &token, &method, &headers, &body) {
        Ok(()) => match state.planned(Provider::Apns) {
            Some(Plan::Silent) => return silence().await,
            Some(plan) => planned(plan),
            None => Reply::new(200, "accepted", String::new()),
        },
        Err(reply) => reply,
    };
    let given = header(&headers, "apns-id").map(str::to_owned);
    let reply = reply.with("apns-id", given.unwrap_or_else(new_id));
    let payload = (as_payload(&body), body.len());
    state.record(Provider::Apns, &token, &headers, payload, &reply);
    reply
}

/// Any other address.
pub async fn no_path() -> Reply {
    refuse(404, "BadPath")
}

fn refuse(status: u16, reason: &str) -> Reply {
    Reply::new(status, reason, json!({ "reason": reason }).to_string())
}

fn planned(plan: Plan) -> Reply {
    match plan {
        Plan::Gone => unregistered(unix_now()),
        Plan::RateLimited { retry_after } => {
            refuse(429, "TooManyRequests").retry_after(retry_after)
        }
        Plan::Silent => refuse(503, "Shutdown"),
        Plan::Unavailable { retry_after } => {
            refuse(503, "ServiceUnavailable").retry_after(retry_after)
        }
    }
}

fn unregistered(since: u64) -> Reply {
    let body = json!({ "reason": "Unregistered", "timestamp": since * 1_000 });
    Reply::new(410, "Unregistered", body.to_string())
}

fn judge(
    state: &State,
    token: &str,
    method: &Method,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<(), Reply> {
    if method != Method::POST {
        return Err(refuse(405, "MethodNotAllowed"));
    }
    authorise(state, headers)?;
    let push_type = judge_headers(headers)?;
    let is_hex = token.bytes().all(|byte| byte.is_ascii_hexdigit());
    let known = state.token(token).filter(|_| is_hex).ok_or(refuse(400, "BadDeviceToken"))?;
    judge_topic(headers, push_type, &known)?;
    judge_body(push_type, body)?;
    match known.revoked {
        Some(since) => Err(unregistered(since)),
        None => Ok(()),
    }
}

fn authorise(state: &State, headers: &HeaderMap) -> Result<(), Reply> {
    let shown = header(headers, "authorization").ok_or(refuse(403, "MissingProviderToken"))?;
    let (scheme, token) = shown.split_once(' ').ok_or(refuse(403, "InvalidProviderToken"))?;
    let invalid = || refuse(403, "InvalidProviderToken");
    let head = decode_header(token).map_err(|_| invalid())?;
    let known_key = head.kid.as_deref() == Some(&state.apns_key_id);
    if !scheme.eq_ignore_ascii_case("bearer") || head.alg != Algorithm::ES256 || !known_key {
        return Err(invalid());
    }
    let mut validation = Validation::new(Algorithm::ES256);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    let key = DecodingKey::from_ec_der(&state.apns_public);
    let claims = decode::<Claims>(token, &key, &validation).map_err(|_| invalid())?.claims;
    let now = unix_now();
    if claims.iss != TEAM || claims.iat > now + SKEW_MAX {
        return Err(invalid());
    }
    if claims.iat + TOKEN_AGE_MAX < now {
        return Err(refuse(403, "ExpiredProviderToken"));
    }
    Ok(())
}

/// The push type, when all headers read.
fn judge_headers(headers: &HeaderMap) -> Result<&str, Reply> {
    // Apple guesses a missing type on old systems only; ours must state it.
    let push_type = header(headers, "apns-push-type").unwrap_or_default();
    if !PUSH_TYPES.contains(&push_type) {
        return Err(refuse(400, "InvalidPushType"));
    }
    match (header(headers, "apns-priority"), push_type) {
        (Some("5"), _) => (),
        // A background push at once is what Apple refuses.
        (None | Some("1" | "10"), "background") => return Err(refuse(400, "BadPriority")),
        (None | Some("1" | "10"), _) => (),
        (Some(_), _) => return Err(refuse(400, "BadPriority")),
    }
    if header(headers, "apns-expiration").is_some_and(|text| text.parse::<u64>().is_err()) {
        return Err(refuse(400, "BadExpirationDate"));
    }
    if header(headers, "apns-id").is_some_and(|id| !is_uuid(id)) {
        return Err(refuse(400, "BadMessageId"));
    }
    let collapse = header(headers, "apns-collapse-id").unwrap_or_default();
    if collapse.len() > APNS_COLLAPSE_MAX {
        return Err(refuse(400, "BadCollapseId"));
    }
    Ok(push_type)
}

fn judge_topic(headers: &HeaderMap, push_type: &str, token: &Token) -> Result<(), Reply> {
    let topic = header(headers, "apns-topic").ok_or(refuse(400, "MissingTopic"))?;
    let (bundle, voip_topic) = match topic.strip_suffix(".voip") {
        Some(bundle) => (bundle, true),
        None => (topic, false),
    };
    if bundle != BUNDLE {
        return Err(refuse(400, "TopicDisallowed"));
    }
    if voip_topic != (push_type == "voip") {
        return Err(refuse(400, "BadTopic"));
    }
    let matches = match token.kind {
        Kind::ApnsAlert => !voip_topic,
        Kind::ApnsVoip => voip_topic,
        Kind::Fcm | Kind::Webpush { .. } => return Err(refuse(400, "BadDeviceToken")),
    };
    if matches { Ok(()) } else { Err(refuse(400, "DeviceTokenNotForTopic")) }
}

fn judge_body(push_type: &str, body: &[u8]) -> Result<(), Reply> {
    let limit = if push_type == "voip" { APNS_VOIP_MAX } else { APNS_MAX };
    if body.len() > limit {
        return Err(refuse(413, "PayloadTooLarge"));
    }
    let value: Value = serde_json::from_slice(body).map_err(|_| refuse(400, "PayloadEmpty"))?;
    let aps = value.get("aps").and_then(Value::as_object).ok_or(refuse(400, "PayloadEmpty"))?;
    if push_type == "background" && aps.get("content-available") != Some(&json!(1)) {
        return Err(refuse(400, "PayloadEmpty"));
    }
    Ok(())
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// 8-4-4-4-12 hexadecimal digits.
fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

fn new_id() -> String {
    let part = |bytes: &[u8]| hex(bytes);
    let (a, b, c, d) = (random::<4>(), random::<2>(), random::<2>(), random::<2>());
    let id = [part(&a), part(&b), part(&c), part(&d), part(&random::<6>())];
    id.join("-").to_uppercase()
}
