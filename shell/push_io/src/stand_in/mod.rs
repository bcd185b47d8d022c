//! Development push services: APNs, FCM and Web Push on one loopback listener.
//!
//! Picture     sender --HTTP--> judge of the service --verdict--> recorded, published, answered
//! Rules       As strict as the real ones about authorisation, headers, sizes and tokens, with their error bodies,
//!             so that what passes here passes there. Every request is recorded, refused ones too. Two differences,
//!             on purpose: plain http (APNs as HTTP/2 with prior knowledge), and the Web Push service holds the
//!             receivers' keys, so that it can say when a body does not open and show what it says.
//! Limits      RECEIVED_MAX, TOKENS_MAX, STREAM_MAX, PLANS_MAX, REQUEST_MAX.
//! Not here    The HTTP API of `dev` that shows all this (shell/web).
//! Spec        RFC 8030 §5, RFC 8292 §2, RFC 7523 §3.1

mod apns;
mod fcm;
mod state;
mod webpush;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, delete, post};
use pns::Provider;
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;
use types::Secret;

use state::State;
pub use state::{Issued, Plan, Received};

use crate::{Apns, Config, Fault, Fcm, LIMIT, Vapid};

/// Requests that are remembered; the oldest go first.
pub const RECEIVED_MAX: usize = 1_000;
/// Tokens that are remembered; the oldest go first.
pub const TOKENS_MAX: usize = 10_000;
/// What a slow subscriber may lag behind before it loses the oldest.
pub const STREAM_MAX: usize = 64;
/// Planned answers of one service.
pub const PLANS_MAX: usize = 10_000;
/// Largest request that is read at all. Units: octets.
pub const REQUEST_MAX: usize = 64 * 1024;

/// Team of the development account with Apple.
pub const TEAM: &str = "CARILLONDV";
/// Bundle id of the development app.
pub const BUNDLE: &str = "org.carillon.phone";
/// Project of the development account with Google.
pub const PROJECT: &str = "carillon-dev";

/// The three services, listening until dropped.
#[derive(Debug)]
pub struct StandIns {
    state: Arc<State>,
    server: JoinHandle<()>,
}

impl StandIns {
    /// Makes keys and accounts, and listens.
    pub async fn start(listen: SocketAddr) -> Result<Self, Fault> {
        let fault = |source| Fault::Listen { address: listen, source };
        let listener = TcpListener::bind(listen).await.map_err(fault)?;
        let address = listener.local_addr().map_err(fault)?;
        let state = Arc::new(State::new(address)?);
        let router = router(state.clone());
        let server = tokio::spawn(async move {
            // It ends with an error only when the listener itself is lost, and then so are its clients.
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "push_stand_ins_stopped");
            }
        });
        Ok(Self { state, server })
    }

    /// Where they listen.
    pub fn address(&self) -> SocketAddr {
        self.state.address
    }

    /// Their base address, the same for all three.
    pub fn base(&self) -> String {
        self.state.base()
    }

    /// Credentials and endpoints with which a [`Sender`](crate::Sender) reaches them. The Web Push identity is new at
    /// every call; a server puts its own in its place.
    pub fn config(&self) -> Config {
        Config {
            apns: Some(self.apns()),
            fcm: Some(self.fcm()),
            webpush: Some(Vapid::generate("mailto:dev@localhost")),
            allow_private: true,
            limit: LIMIT,
        }
    }

    /// Settings for APNs, with the `.p8` key.
    pub fn apns(&self) -> Apns {
        Apns {
            key_pem: self.state.apns_key_pem.clone(),
            key_id: self.state.apns_key_id.clone(),
            team_id: TEAM.to_owned(),
            topic: BUNDLE.to_owned(),
            endpoint: self.base(),
        }
    }

    /// Settings for FCM, with the service account.
    pub fn fcm(&self) -> Fcm {
        Fcm {
            service_account_json: Secret::new(self.state.service_account()),
            endpoint: self.base(),
            token_endpoint: Some(self.state.token_endpoint()),
        }
    }

    /// Gives out a token, as an app gets one when it registers with its system.
    pub fn issue(&self, provider: Provider) -> Issued {
        self.state.issue(provider)
    }

    /// The app is removed from the device: its tokens answer 410 (FCM 404) from now on.
    /// `false`: no such token.
    pub fn revoke(&self, prid: &str) -> bool {
        self.state.revoke(prid)
    }

    /// The next `count` requests to `provider` that reach it get this answer.
    pub fn plan(&self, provider: Provider, plan: Plan, count: usize) {
        self.state.plan(provider, plan, count);
    }

    /// Takes back all access tokens of FCM before their time.
    pub fn expire_access(&self) {
        self.state.expire_access();
    }

    /// What came in, oldest first.
    pub fn received(&self) -> Vec<Received> {
        self.state.received()
    }

    /// What comes in from now on for the device with this token (either of two).
    pub fn subscribe(&self, prid: &str) -> broadcast::Receiver<Received> {
        self.state.subscribe(prid)
    }
}

impl Drop for StandIns {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn router(state: Arc<State>) -> Router {
    Router::new()
        .route("/3/device/{token}", any(apns::receive))
        .route("/token", post(fcm::grant))
        .route("/v1/projects/{project}/{method}", post(fcm::receive))
        .route("/wp/{token}", post(webpush::receive))
        .route("/wp/message/{id}", delete(webpush::withdraw))
        .fallback(apns::no_path)
        .layer(DefaultBodyLimit::max(REQUEST_MAX))
        .with_state(state)
}

/// What a service answers.
struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
    /// The word for the record.
    reason: String,
}

impl Reply {
    fn new(status: u16, reason: &str, body: String) -> Self {
        Self { status, headers: Vec::new(), body, reason: reason.to_owned() }
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn retry_after(self, seconds: Option<u32>) -> Self {
        match seconds {
            Some(seconds) => self.with("retry-after", seconds.to_string()),
            None => self,
        }
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::BAD_GATEWAY);
        let mut response = (status, self.body).into_response();
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().insert(HeaderName::from_static(name), value);
            }
        }
        if status.is_client_error() || status.is_server_error() || status == StatusCode::OK {
            let json = HeaderValue::from_static("application/json");
            response.headers_mut().insert("content-type", json);
        }
        response
    }
}

/// A service that never answers: its caller's limit is what ends this.
async fn silence() -> Reply {
    // Longer than any sane caller waits, so that a forgotten connection ends all the same.
    tokio::time::sleep(Duration::from_secs(600)).await;
    Reply::new(504, "silent", String::new())
}
