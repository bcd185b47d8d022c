//! The reply address of a push: what it shows, and what may be said there.
//!
//! Limits      [`TEXT_MAX`] octets of a text; a description as long as the request's body may be.

use serde_json::{Value, json};

use super::Answer;
use crate::effects::Effects;
use crate::hunt::Hunt;

/// Longest text that may come instead of an answer, in octets.
pub const TEXT_MAX: usize = 1_000;

impl Answer {
    /// Reads what a device said, with the word for it; `None`: nothing that is known.
    pub fn read(body: &[u8]) -> Option<(String, Self)> {
        let body: Value = serde_json::from_slice(body).ok()?;
        let action = body["action"].as_str()?;
        let answer = match action {
            "accept" => Self::Accept { sdp: description(&body["sdp"])? },
            "busy" => Self::Busy,
            "decline" | "hangup" => Self::Decline,
            "text" => {
                let text = body["text"].as_str().filter(|text| text.len() <= TEXT_MAX)?;
                Self::Text(text.to_owned())
            }
            _ => return None,
        };
        Some((action.to_owned(), answer))
    }

    /// What comes of it: `talking`, `connecting` or `ended`.
    pub fn leads_to(&self) -> &'static str {
        match self {
            Self::Accept { sdp: Some(_) } => "talking",
            Self::Accept { sdp: None } => "connecting",
            Self::Busy | Self::Decline | Self::Text(_) => "ended",
        }
    }
}

/// `Some(None)`: none was given.
fn description(value: &Value) -> Option<Option<Vec<u8>>> {
    match value {
        Value::Null => Some(None),
        Value::String(sdp) => {
            sdp::Session::decode(sdp.as_bytes()).ok()?;
            Some(Some(sdp.clone().into_bytes()))
        }
        Value::Array(_) | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    }
}

impl Hunt {
    /// The whole offer behind a push, for the device that holds its token.
    pub fn offer_shown(&self, token: &str, effects: &Effects<'_>) -> Option<Value> {
        let invite = self.invite_of(token, effects)?;
        let sdp = self.offer().map(|sdp| String::from_utf8_lossy(sdp).into_owned());
        let media: Vec<&str> = [("audio", invite.media.audio), ("video", invite.media.video)]
            .into_iter()
            .filter_map(|(name, offered)| offered.then_some(name))
            .collect();
        Some(json!({
            "call_id": invite.call_id,
            "to": invite.to,
            "caller": {
                "uri": invite.caller_uri,
                "name": invite.caller_name,
                "user": invite.caller_user,
                "addr": invite.caller_addr,
            },
            "media": media,
            "sdp": sdp,
            "img": invite.image.map(|image| json!({ "url": image.url })),
            "iat": invite.iat,
            "exp": invite.exp,
        }))
    }
}
