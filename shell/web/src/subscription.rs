//! Web Push of the console's page: what its browser subscribed to becomes a device of whoever is signed in there.
//!
//! Rules       One subscription is one device, named after its endpoint, so that doing it again changes nothing. Whoever
//!             is signed in keeps devices of himself only, and only from our own page.
//! Limits      SUBSCRIPTION_MAX; those of the room that keeps devices, whose refusals pass as they are.
//! Not here    What a device is (the room of people), what is pushed and when.
//! Spec        W3C Push API §8 (a subscription as JSON), RFC 8291 §3.1

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use switchboard::{ApiRequest, ApiResponse};
use tokio::time::Instant;

use crate::edge::{Edge, carry};
use crate::refusal::Refusal;
use crate::routes::Found;

/// Octets of a subscription: its endpoint and two keys.
pub const SUBSCRIPTION_MAX: usize = 4_096;

impl Edge {
    /// The page's browser can be woken from now on.
    pub async fn subscribe(&self, parts: &Parts, body: Body) -> Result<Response, Refusal> {
        let (user, subscription) = self.subscription(parts, body).await?;
        let device = json!({"kind": "browser", "push": {
            "provider": "webpush",
            "param": "",
            "prid": subscription["endpoint"],
            "p256dh": subscription["keys"]["p256dh"],
            "auth": subscription["keys"]["auth"],
        }});
        let body = device.to_string().into_bytes();
        let answer = self.device(Method::PUT, user, &subscription, body).await?;
        if answer.status >= 300 {
            carry(answer)
        } else {
            Ok(StatusCode::NO_CONTENT.into_response())
        }
    }

    /// It is woken no more. One that is forgotten already is no fault.
    pub async fn unsubscribe(&self, parts: &Parts, body: Body) -> Result<Response, Refusal> {
        let (user, subscription) = self.subscription(parts, body).await?;
        let answer = self.device(Method::DELETE, user, &subscription, Vec::new()).await?;
        let forgotten = answer.status < 300 || answer.status == 404;
        if forgotten { Ok(StatusCode::NO_CONTENT.into_response()) } else { carry(answer) }
    }

    /// Who is signed in, and a subscription as `PushSubscription.toJSON()` gives it; what browsers add is not looked at.
    async fn subscription(&self, parts: &Parts, body: Body) -> Result<(String, Value), Refusal> {
        let session = self.session(parts).ok_or(Refusal::SignedOut)?;
        let user = session.user.ok_or(Refusal::SignedOut)?;
        let (octets, _held) = self.body(&parts.headers, body, SUBSCRIPTION_MAX).await?;
        let read: Value = serde_json::from_slice(&octets).map_err(|_| Refusal::BadSignIn)?;
        if read["endpoint"].is_string() { Ok((user, read)) } else { Err(Refusal::BadSignIn) }
    }

    /// Asks the room that keeps devices, as the administrator would.
    async fn device(
        &self,
        method: Method,
        user: String,
        subscription: &Value,
        body: Vec<u8>,
    ) -> Result<ApiResponse, Refusal> {
        let endpoint = subscription["endpoint"].as_str().unwrap_or_default();
        let name = format!("page-{:016x}", self.keys.slots.hash_bytes(endpoint.as_bytes()));
        let path = ["v1", "users", &user, "devices", &name].map(str::to_owned);
        let Found::Endpoint(route, path) = self.routes.find(method.as_str(), &path) else {
            return Err(Refusal::NotFound);
        };
        let request = ApiRequest {
            id: 0,
            room: route.room.into(),
            endpoint: route.index,
            path,
            query: Vec::new(),
            content_type: "application/json".into(),
            bearer: String::new(),
            body,
        };
        let deadline = Instant::now() + self.limits.api_wait;
        self.rooms.ask(route.endpoint.scope, request, deadline).await
    }
}
