//! What a service's answer means for the call and for the token.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Provider;

/// Longest reason that we keep of an answer. Units: octets.
pub const REASON_MAX: usize = 200;

/// What became of one delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The service took it.
    Accepted {
        /// The service's name for the message.
        id: Option<String>,
    },
    /// Not now: the service asks for patience, or it is ill.
    RetryAfter {
        /// How long it asked for.
        seconds: Option<u32>,
    },
    /// No, and the token may still be good: our request or our credentials are at fault.
    Refused {
        /// HTTP status; 0 when we did not ask because we have no such service configured.
        status: u16,
        /// The service's word for it, at most [`REASON_MAX`].
        reason: String,
    },
    /// The app is gone from the device, or the token never was one: drop the binding.
    TokenGone {
        /// Since when the service knows; a registration after it stays. Units: seconds since 1970.
        since: Option<u64>,
    },
    /// No answer in time, or no connection.
    Unreachable,
}

impl Outcome {
    /// A refusal with a reason cut to [`REASON_MAX`].
    pub fn refused(status: u16, reason: &str) -> Self {
        let mut end = reason.len().min(REASON_MAX);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        Self::Refused { status, reason: reason.get(..end).unwrap_or_default().to_owned() }
    }
}

/// The parts of an HTTP answer that carry meaning here.
#[derive(Clone, Copy, Debug, Default)]
pub struct Answer<'a> {
    /// HTTP status.
    pub status: u16,
    /// `Retry-After`; only the form in seconds is understood.
    pub retry_after: Option<&'a str>,
    /// `apns-id`, or `Location` of Web Push.
    pub id: Option<&'a str>,
    /// The body, or its beginning.
    pub body: &'a [u8],
}

impl Answer<'_> {
    fn retry(&self) -> Outcome {
        Outcome::RetryAfter { seconds: self.retry_after.and_then(|text| text.trim().parse().ok()) }
    }

    fn json(&self) -> Value {
        serde_json::from_slice(self.body).unwrap_or_default()
    }

    fn accepted(&self) -> Outcome {
        Outcome::Accepted { id: self.id.map(str::to_owned) }
    }
}

/// The meaning of `answer` from `provider`.
pub fn outcome(provider: Provider, answer: &Answer<'_>) -> Outcome {
    match provider {
        Provider::Apns => outcome_apns(answer),
        Provider::Fcm => outcome_fcm(answer),
        Provider::Webpush => outcome_webpush(answer),
    }
}

/// APNs: a reason in the body of every answer but 200.
pub fn outcome_apns(answer: &Answer<'_>) -> Outcome {
    let body = answer.json();
    let reason = body.get("reason").and_then(Value::as_str).unwrap_or_default();
    match (answer.status, reason) {
        (200, _) => answer.accepted(),
        (410, _) => {
            // Milliseconds on the wire.
            let since = body.get("timestamp").and_then(Value::as_u64).map(|millis| millis / 1_000);
            Outcome::TokenGone { since }
        }
        // DeviceTokenNotForTopic is not here: it says that the topic is wrong, the token may live.
        (400, "BadDeviceToken") => Outcome::TokenGone { since: None },
        (429 | 500..=599, _) => answer.retry(),
        (status, reason) => Outcome::refused(status, reason),
    }
}

/// FCM: the `details` tell an error of FCM from a bad request.
pub fn outcome_fcm(answer: &Answer<'_>) -> Outcome {
    let body = answer.json();
    if answer.status == 200 {
        let id = body.get("name").and_then(Value::as_str).map(str::to_owned);
        return Outcome::Accepted { id };
    }
    let details = body.pointer("/error/details").and_then(Value::as_array);
    let code = details
        .and_then(|list| list.iter().find_map(|detail| detail.get("errorCode")?.as_str()))
        .or_else(|| body.pointer("/error/status")?.as_str())
        .unwrap_or_default();
    match (answer.status, code) {
        (404, "UNREGISTERED") | (403, "SENDER_ID_MISMATCH") => Outcome::TokenGone { since: None },
        (400, _) if blames_token(details) => Outcome::TokenGone { since: None },
        (429 | 500..=599, _) => answer.retry(),
        (status, code) => Outcome::refused(status, code),
    }
}

/// Whether a 400 names the token as the field that is wrong.
fn blames_token(details: Option<&Vec<Value>>) -> bool {
    let violations = details
        .into_iter()
        .flatten()
        .filter_map(|detail| detail.get("fieldViolations")?.as_array());
    violations
        .flatten()
        .any(|violation| violation.get("field").and_then(Value::as_str) == Some("message.token"))
}

/// Web Push: the status says it all.
///
/// Spec: RFC 8030 §5, §7.3, §8.4
pub fn outcome_webpush(answer: &Answer<'_>) -> Outcome {
    match answer.status {
        200..=299 => answer.accepted(),
        404 | 410 => Outcome::TokenGone { since: None },
        429 | 500..=599 => answer.retry(),
        status => Outcome::refused(status, &String::from_utf8_lossy(answer.body)),
    }
}
