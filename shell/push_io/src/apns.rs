//! Apple: HTTP/2, one signed token for many pushes.

use std::sync::{Mutex, PoisonError};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use pns::{Delivery, Outcome, Provider, PushType};
use reqwest::Url;
use serde::Serialize;
use types::Secret;

use crate::Fault;
use crate::http::{ask, builder, endpoint, unix_now};

/// Age at which the signed token is replaced. Apple wants 20 to 60 minutes. Units: seconds.
const TOKEN_AGE_MAX: u64 = 40 * 60;
/// A token younger than this is never replaced, or Apple answers TooManyProviderTokenUpdates. Units: seconds.
const TOKEN_AGE_MIN: u64 = 20 * 60;
/// Longest device token in hex.
const DEVICE_TOKEN_MAX: usize = 200;

/// Our account with Apple (`[push.apns]`).
#[derive(Clone, Debug)]
pub struct Apns {
    /// Text of the `.p8` file.
    pub key_pem: Secret<String>,
    /// Name of that key.
    pub key_id: String,
    /// Our team.
    pub team_id: String,
    /// Bundle id of the app; VoIP pushes go to it with `.voip` added.
    pub topic: String,
    /// Base to which `/3/device/TOKEN` is added.
    pub endpoint: String,
}

impl Apns {
    /// Apple's service for apps from its store.
    pub const ENDPOINT: &'static str = "https://api.push.apple.com";
}

pub struct Client {
    config: Apns,
    base: Url,
    key: EncodingKey,
    http: reqwest::Client,
    token: Mutex<Option<Signed>>,
}

#[derive(Clone)]
struct Signed {
    text: String,
    iat: u64,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    iat: u64,
}

impl Client {
    pub fn new(config: Apns) -> Result<Self, Fault> {
        let base = endpoint("push.apns.endpoint", &config.endpoint)?;
        let key = EncodingKey::from_ec_pem(config.key_pem.reveal().as_bytes())
            .map_err(|_| Fault::Key { key: "push.apns.key_file" })?;
        let http = match base.scheme() {
            // Without TLS nothing negotiates the version, and Apple speaks HTTP/2 only.
            "http" => builder().http2_prior_knowledge(),
            _ => builder().https_only(true),
        };
        let http =
            http.build().map_err(|source| Fault::Client { service: Provider::Apns, source })?;
        let client = Self { config, base, key, http, token: Mutex::new(None) };
        client.sign(unix_now()).ok_or(Fault::Key { key: "push.apns.key_file" })?;
        Ok(client)
    }

    pub async fn send(&self, delivery: &Delivery) -> Outcome {
        let token = &delivery.target.prid;
        let is_hex = token.bytes().all(|byte| byte.is_ascii_hexdigit());
        if token.is_empty() || token.len() > DEVICE_TOKEN_MAX || !is_hex {
            return Outcome::TokenGone { since: None }; // It would change the path.
        }
        let now = unix_now();
        let Some(signed) = self.current(now) else { return Outcome::refused(0, "cannot sign") };
        let Some(first) = self.ask(delivery, &signed).await else { return Outcome::Unreachable };
        let expired = first == Outcome::refused(403, "ExpiredProviderToken");
        if !expired || now < signed.iat + TOKEN_AGE_MIN {
            return first;
        }
        self.forget(&signed);
        let Some(signed) = self.current(now) else { return first };
        self.ask(delivery, &signed).await.unwrap_or(Outcome::Unreachable)
    }

    async fn ask(&self, delivery: &Delivery, signed: &Signed) -> Option<Outcome> {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["3", "device", &delivery.target.prid]);
        }
        let push_type = delivery.push_type.unwrap_or(PushType::Alert);
        let topic = match push_type {
            PushType::Voip => format!("{}.voip", self.config.topic),
            PushType::Alert | PushType::Background => self.config.topic.clone(),
        };
        let mut request = self
            .http
            .post(url)
            .header("authorization", format!("bearer {}", signed.text))
            .header("apns-topic", topic)
            .header("apns-push-type", push_type.name())
            .header("apns-priority", delivery.priority.apns().to_string())
            .header("apns-expiration", delivery.expires.to_string())
            .header("apns-id", &delivery.id)
            .header("content-type", "application/json")
            .body(delivery.body.clone());
        if let Some(collapse) = &delivery.collapse {
            request = request.header("apns-collapse-id", collapse);
        }
        Some(ask(Provider::Apns, request).await?.outcome(Provider::Apns))
    }

    /// The token to show now; a new one when the old is too old.
    fn current(&self, now: u64) -> Option<Signed> {
        let mut kept = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            // A clock that went back makes `iat` lie in the future, which Apple refuses.
            Some(signed) if (signed.iat..signed.iat + TOKEN_AGE_MAX).contains(&now) => {
                Some(signed.clone())
            }
            Some(_) | None => {
                *kept = self.sign(now);
                kept.clone()
            }
        }
    }

    fn forget(&self, signed: &Signed) {
        let mut kept = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        // Somebody else may have replaced it already.
        kept.take_if(|kept| kept.text == signed.text);
    }

    fn sign(&self, iat: u64) -> Option<Signed> {
        let header =
            Header { kid: Some(self.config.key_id.clone()), ..Header::new(Algorithm::ES256) };
        let claims = Claims { iss: &self.config.team_id, iat };
        let text = jsonwebtoken::encode(&header, &claims, &self.key).ok()?;
        Some(Signed { text, iat })
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "apns::Client({})", self.base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_lives_forty_minutes() {
        let client = Client::new(Apns {
            key_pem: Secret::new(crate::keys::ec_pem().unwrap().0),
            key_id: "K".into(),
            team_id: "T".into(),
            topic: "b".into(),
            endpoint: Apns::ENDPOINT.into(),
        })
        .unwrap();
        let first = client.current(10_000).unwrap();
        assert_eq!(client.current(10_000 + TOKEN_AGE_MAX - 1).unwrap().text, first.text);
        let second = client.current(10_000 + TOKEN_AGE_MAX).unwrap();
        assert_eq!(second.iat, 10_000 + TOKEN_AGE_MAX);
        assert_eq!(client.current(10_000).unwrap().iat, 10_000, "a clock that went back");
    }
}
