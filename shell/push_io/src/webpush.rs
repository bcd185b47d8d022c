//! Web Push: encrypted here, for services that the devices name.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use pns::{Delivery, Outcome, Priority, Provider};
use reqwest::Url;

use crate::http::{ask, builder, random, unix_now};
use crate::{Fault, Vapid, guard};

pub struct Client {
    identity: Vapid,
    key: EncodingKey,
    http: reqwest::Client,
    allow_private: bool,
}

impl Client {
    pub fn new(identity: Vapid, allow_private: bool) -> Result<Self, Fault> {
        let der = identity.pkcs8().ok_or(Fault::Key { key: "push.webpush" })?;
        let http = if allow_private {
            builder()
        } else {
            builder().https_only(true).dns_resolver(guard::PublicOnly)
        };
        let http =
            http.build().map_err(|source| Fault::Client { service: Provider::Webpush, source })?;
        Ok(Self { identity, key: EncodingKey::from_ec_der(&der), http, allow_private })
    }

    pub async fn send(&self, delivery: &Delivery) -> Outcome {
        let Some(url) = self.admit(&delivery.target.prid) else {
            return Outcome::refused(0, "endpoint not allowed");
        };
        let (Some(p256dh), Some(auth)) = (&delivery.target.p256dh, &delivery.target.auth) else {
            return Outcome::refused(0, "no receiver keys");
        };
        let sealed = pns::webpush::encrypt(&delivery.body, p256dh, auth, &random(), random());
        let body = match sealed {
            Ok(body) => body,
            Err(error) => return Outcome::refused(0, &error.to_string()),
        };
        let Some(authorization) = self.authorization(&delivery.target.prid) else {
            return Outcome::refused(0, "cannot sign");
        };
        let urgency = match delivery.priority {
            Priority::High => "high",
            Priority::Normal => "normal",
        };
        let mut request = self
            .http
            .post(url)
            .header("authorization", authorization)
            .header("ttl", delivery.ttl_seconds.to_string())
            .header("urgency", urgency)
            .header("content-encoding", "aes128gcm")
            .header("content-type", "application/octet-stream")
            .body(body);
        if let Some(collapse) = &delivery.collapse {
            request = request.header("topic", collapse);
        }
        match ask(Provider::Webpush, request).await {
            Some(read) => read.outcome(Provider::Webpush),
            None => Outcome::Unreachable,
        }
    }

    /// The address when we may go there. Names are judged by the resolver, literals here.
    fn admit(&self, endpoint: &str) -> Option<Url> {
        let url = Url::parse(endpoint).ok()?;
        let allowed = match url.scheme() {
            "https" if self.allow_private => true,
            "https" => {
                let literal = guard::literal(&url);
                url.has_host() && literal.is_none_or(guard::is_public)
            }
            "http" => self.allow_private && guard::names_loopback(&url),
            _ => false,
        };
        (allowed && url.username().is_empty() && url.password().is_none()).then_some(url)
    }

    /// Spec: RFC 8292 §3
    fn authorization(&self, endpoint: &str) -> Option<String> {
        let claims = pns::vapid::claims(endpoint, &self.identity.subject, unix_now())?;
        let token =
            jsonwebtoken::encode(&Header::new(Algorithm::ES256), &claims, &self.key).ok()?;
        Some(pns::vapid::authorization(&token, &self.identity.public_key()))
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "webpush::Client({:?})", self.identity)
    }
}
