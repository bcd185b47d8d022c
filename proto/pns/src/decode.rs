//! Bodies back to notifications: the phone's side.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::{Cancel, Image, Invite, Media, Notification, Why};

/// What is wrong with a received body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A field that must be there is missing or of another type.
    #[error("field {0} is missing or malformed")]
    Field(&'static str),
    /// Neither an invite nor the end of a call.
    #[error("field t names no known kind")]
    Kind,
    /// Not a JSON object.
    #[error("not a JSON object")]
    NotJson,
}

impl Notification {
    /// Reads what [`encode`](crate::encode) wrote, as the device gets it: the body of APNs or Web Push, or
    /// FCM's `data` (or the whole FCM request, in which `data` is found).
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let value: Value = serde_json::from_slice(body).map_err(|_| DecodeError::NotJson)?;
        let fields = match value.pointer("/message/data") {
            Some(data) => data,
            None => &value,
        };
        if !fields.is_object() {
            return Err(DecodeError::NotJson);
        }
        let why = match fields.get("t").and_then(Value::as_str) {
            Some("call.invite") => None,
            Some("call.answered_elsewhere") => Some(Why::AnsweredElsewhere),
            Some("call.cancel") => Some(Why::Cancelled),
            Some("call.missed") => Some(Why::Missed),
            Some(_) | None => return Err(DecodeError::Kind),
        };
        match why {
            None => invite(fields).map(Self::Invite),
            Some(why) => cancel(fields, why).map(Self::Cancel),
        }
    }
}

fn invite(fields: &Value) -> Result<Invite, DecodeError> {
    let caller = part(fields, "caller").ok_or(DecodeError::Field("caller"))?;
    let reply = part(fields, "reply").ok_or(DecodeError::Field("reply"))?;
    let media = part(fields, "media").unwrap_or_default();
    let offered = |name: &str| {
        media.as_array().is_some_and(|list| list.iter().any(|kind| kind.as_str() == Some(name)))
    };
    Ok(Invite {
        call_id: text(fields, "call_id").ok_or(DecodeError::Field("call_id"))?,
        caller_uri: text(&caller, "uri").ok_or(DecodeError::Field("caller.uri"))?,
        caller_name: text(&caller, "name"),
        caller_user: text(&caller, "user"),
        caller_addr: text(&caller, "addr"),
        to: text(fields, "to").unwrap_or_default(),
        media: Media { audio: offered("audio"), video: offered("video") },
        reply_url: text(&reply, "url").ok_or(DecodeError::Field("reply.url"))?,
        reply_token: text(&reply, "token").ok_or(DecodeError::Field("reply.token"))?,
        iat: number(fields, "iat").unwrap_or(0),
        exp: number(fields, "exp").ok_or(DecodeError::Field("exp"))?,
        image: part(fields, "img").and_then(|img| {
            let inline = text(&img, "inline").and_then(|inline| STANDARD.decode(inline).ok());
            Some(Image { url: text(&img, "url")?, inline })
        }),
    })
}

fn cancel(fields: &Value, why: Why) -> Result<Cancel, DecodeError> {
    let caller = part(fields, "caller").unwrap_or_default();
    Ok(Cancel {
        call_id: text(fields, "call_id").ok_or(DecodeError::Field("call_id"))?,
        why,
        caller_uri: text(&caller, "uri").unwrap_or_default(),
        caller_name: text(&caller, "name"),
        to: text(fields, "to").unwrap_or_default(),
        iat: number(fields, "iat").unwrap_or(0),
        exp: number(fields, "exp").unwrap_or(0),
    })
}

/// A part that is an object or list, or JSON text of one as FCM carries it.
fn part(fields: &Value, key: &str) -> Option<Value> {
    match fields.get(key)? {
        Value::String(json) => serde_json::from_str(json).ok(),
        other => Some(other.clone()),
    }
}

fn text(fields: &Value, key: &str) -> Option<String> {
    fields.get(key)?.as_str().map(str::to_owned)
}

fn number(fields: &Value, key: &str) -> Option<u64> {
    let value = fields.get(key)?;
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}
