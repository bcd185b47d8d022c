//! Google's service: access tokens and messages.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Form, Path, State as Shared};
use axum::http::HeaderMap;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use pns::{FCM_DATA_MAX, Provider};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::state::{ACCESS_LIFE, Kind, Plan, State, as_payload};
use super::{PROJECT, Reply, silence};
use crate::http::{random, unix_now};

/// Longest time that a message may be kept. Units: seconds.
const TTL_MAX: f64 = 2_419_200.0;
/// Longest life of a request for an access token. Units: seconds.
const GRANT_LIFE_MAX: u64 = 3_600;
/// How far clocks may differ. Units: seconds.
const SKEW_MAX: u64 = 60;
/// What Google's own libraries name as the audience, wherever they then ask.
const GOOGLE_AUDIENCE: &str = "https://oauth2.googleapis.com/token";
const SCOPES: [&str; 2] = [
    "https://www.googleapis.com/auth/firebase.messaging",
    "https://www.googleapis.com/auth/cloud-platform",
];
const MESSAGE_FIELDS: [&str; 10] = [
    "name",
    "data",
    "notification",
    "android",
    "webpush",
    "apns",
    "fcm_options",
    "fcmOptions",
    "token",
    "topic",
];

#[derive(Deserialize)]
pub struct Grant {
    #[serde(default)]
    grant_type: String,
    #[serde(default)]
    assertion: String,
}

#[derive(Deserialize)]
struct Claims {
    iat: u64,
    exp: u64,
    #[serde(default)]
    scope: String,
}

/// `POST /token`
///
/// Spec: RFC 7523 §3.1
pub async fn grant(Shared(state): Shared<Arc<State>>, Form(asked): Form<Grant>) -> Reply {
    if asked.grant_type != "urn:ietf:params:oauth:grant-type:jwt-bearer" {
        return no_grant("unsupported_grant_type", "Invalid grant_type");
    }
    let mut validation = Validation::new(Algorithm::RS256);
    validation.set_audience(&[state.token_endpoint(), GOOGLE_AUDIENCE.to_owned()]);
    validation.set_issuer(&[state.client_email()]);
    validation.set_required_spec_claims(&["exp", "aud", "iss"]);
    let key = DecodingKey::from_rsa_der(&state.fcm_public);
    let Ok(token) = decode::<Claims>(&asked.assertion, &key, &validation) else {
        return no_grant("invalid_grant", "Invalid JWT Signature.");
    };
    let Claims { iat, exp, scope } = token.claims;
    let too_long = exp.saturating_sub(iat) > GRANT_LIFE_MAX + SKEW_MAX;
    if too_long || iat > unix_now() + SKEW_MAX {
        let why = "Invalid JWT: Token must be a short-lived token (60 minutes)";
        return no_grant("invalid_grant", why);
    }
    if !scope.split(' ').any(|scope| SCOPES.contains(&scope)) {
        return no_grant("invalid_scope", "Invalid OAuth scope or ID token audience provided.");
    }
    let body = json!({
        "access_token": state.new_access(),
        "expires_in": ACCESS_LIFE,
        "token_type": "Bearer",
    });
    Reply::new(200, "granted", body.to_string())
}

fn no_grant(error: &str, why: &str) -> Reply {
    let body = json!({ "error": error, "error_description": why });
    Reply::new(400, error, body.to_string())
}

/// `POST /v1/projects/PROJECT/messages:send`
pub async fn receive(
    Shared(state): Shared<Arc<State>>,
    Path((project, method)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Reply {
    if method != "messages:send" {
        return refuse(404, "NOT_FOUND", "Requested entity was not found.", &[]);
    }
    let payload = as_payload(&body);
    let prid = payload.pointer("/message/token").and_then(Value::as_str).unwrap_or_default();
    let reply = match judge(&state, &project, &headers, &payload, prid) {
        Ok(()) => match state.planned(Provider::Fcm) {
            Some(Plan::Silent) => return silence().await,
            Some(plan) => planned(plan),
            None => accepted(),
        },
        Err(reply) => reply,
    };
    let prid = prid.to_owned();
    state.record(Provider::Fcm, &prid, &headers, (payload, body.len()), &reply);
    reply
}

fn accepted() -> Reply {
    let number = u64::from_be_bytes(random());
    let name = format!("projects/{PROJECT}/messages/0:{number:020}%{:016x}", number.rotate_left(7));
    Reply::new(200, "accepted", json!({ "name": name }).to_string())
}

fn planned(plan: Plan) -> Reply {
    match plan {
        Plan::Gone => unregistered(),
        Plan::RateLimited { retry_after } => {
            fcm_error(429, "RESOURCE_EXHAUSTED", "Quota exceeded.", "QUOTA_EXCEEDED")
                .retry_after(retry_after)
        }
        Plan::Silent | Plan::Unavailable { retry_after: None } => unavailable(),
        Plan::Unavailable { retry_after } => unavailable().retry_after(retry_after),
    }
}

fn unavailable() -> Reply {
    fcm_error(503, "UNAVAILABLE", "The service is currently unavailable.", "UNAVAILABLE")
}

fn unregistered() -> Reply {
    fcm_error(404, "NOT_FOUND", "Requested entity was not found.", "UNREGISTERED")
}

fn judge(
    state: &State,
    project: &str,
    headers: &HeaderMap,
    payload: &Value,
    prid: &str,
) -> Result<(), Reply> {
    let shown = headers.get("authorization").and_then(|value| value.to_str().ok());
    let access = shown.and_then(|text| text.strip_prefix("Bearer "));
    if !access.is_some_and(|token| state.has_access(token)) {
        let why = "Request had invalid authentication credentials.";
        return Err(refuse(401, "UNAUTHENTICATED", why, &[]));
    }
    if project != PROJECT {
        let why = "Permission 'cloudmessaging.messages.create' denied on this project.";
        return Err(refuse(403, "PERMISSION_DENIED", why, &[]));
    }
    judge_message(payload)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b':');
    if prid.len() < 20 || !prid.bytes().all(plain) {
        let why = "The registration token is not a valid FCM registration token";
        return Err(invalid("message.token", why));
    }
    match state.token(prid) {
        Some(token) if matches!(token.kind, Kind::Fcm) && token.revoked.is_none() => Ok(()),
        Some(_) | None => Err(unregistered()),
    }
}

fn judge_message(payload: &Value) -> Result<(), Reply> {
    let message = payload
        .get("message")
        .and_then(Value::as_object)
        .ok_or_else(|| invalid("message", "message is required"))?;
    if let Some(unknown) = message.keys().find(|key| !MESSAGE_FIELDS.contains(&key.as_str())) {
        let why = format!("Invalid JSON payload received. Unknown name \"{unknown}\" at 'message'");
        return Err(invalid("message", &why));
    }
    if !message.get("token").is_some_and(Value::is_string) {
        return Err(invalid("message", "Recipient of the message is not set."));
    }
    if let Some(data) = message.get("data") {
        let data = data.as_object().ok_or_else(|| invalid("message.data", "wants a map"))?;
        judge_data(data)?;
    }
    match message.get("android") {
        Some(android) => judge_android(android),
        None => Ok(()),
    }
}

fn judge_data(data: &Map<String, Value>) -> Result<(), Reply> {
    let mut size = 0;
    for (key, value) in data {
        let Some(value) = value.as_str() else {
            let why = format!("Invalid value at 'message.data[{key}].value' (TYPE_STRING)");
            return Err(invalid("message.data", &why));
        };
        let reserved = matches!(key.as_str(), "from" | "gcm" | "message_type")
            || key.starts_with("google")
            || key.starts_with("gcm.");
        if reserved {
            let why = format!("Invalid data payload key: {key}");
            return Err(invalid("message.data", &why));
        }
        size += key.len() + value.len();
    }
    if size > FCM_DATA_MAX {
        return Err(invalid("message", "Android message is too big"));
    }
    Ok(())
}

fn judge_android(android: &Value) -> Result<(), Reply> {
    if let Some(priority) = android.get("priority") {
        let known = matches!(priority.as_str(), Some("normal" | "high" | "NORMAL" | "HIGH"));
        if !known {
            return Err(invalid(
                "message.android.priority",
                "Invalid value (AndroidMessagePriority)",
            ));
        }
    }
    if let Some(ttl) = android.get("ttl") {
        let seconds = ttl.as_str().and_then(|text| text.strip_suffix('s')?.parse::<f64>().ok());
        if !seconds.is_some_and(|seconds| (0.0..=TTL_MAX).contains(&seconds)) {
            return Err(invalid("message.android.ttl", "Invalid ttl"));
        }
    }
    Ok(())
}

fn invalid(field: &str, why: &str) -> Reply {
    let details = [
        json!({
            "@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError",
            "errorCode": "INVALID_ARGUMENT",
        }),
        json!({
            "@type": "type.googleapis.com/google.rpc.BadRequest",
            "fieldViolations": [{ "field": field, "description": why }],
        }),
    ];
    refuse(400, "INVALID_ARGUMENT", why, &details)
}

fn fcm_error(code: u16, status: &str, why: &str, error: &str) -> Reply {
    let detail = json!({
        "@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError",
        "errorCode": error,
    });
    let mut reply = refuse(code, status, why, &[detail]);
    error.clone_into(&mut reply.reason);
    reply
}

fn refuse(code: u16, status: &str, why: &str, details: &[Value]) -> Reply {
    let mut error = json!({ "code": code, "message": why, "status": status });
    if !details.is_empty() {
        error["details"] = json!(details);
    }
    Reply::new(code, status, json!({ "error": error }).to_string())
}
