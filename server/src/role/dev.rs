//! What only `dev` has: people to try things with, and a view of the push stand-ins.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{Query, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use pns::Provider;
use push_io::stand_in::StandIns;
use switchboard::ApiRequest;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::{Stream, StreamExt as _};
use types::Secret;

use crate::host::Host;
use crate::rooms;

/// The people of `dev`.
pub const PEOPLE: [&str; 4] = ["1001", "1002", "1003", "1004"];
const NAMES: [&str; 4] = ["Alice", "Bob", "Carol", "Dave"];
const USERS_PATH: &str = "/v1/users/{name}";
/// The number of `dev`, and whom it rings.
pub const NUMBER: &str = "+15550100";
const NUMBERS_PATH: &str = "/v1/numbers/{e164}";

/// Makes the people that are not there yet, by the road that the API takes.
pub async fn people(host: &Host) -> Result<(), String> {
    for (name, display) in PEOPLE.iter().zip(NAMES) {
        let known = ask(host, "GET", USERS_PATH, name, Vec::new()).await;
        if known == Some(200) {
            continue;
        }
        let password = host.credentials.sip_password.reveal();
        let body = serde_json::json!({
            "password": password, "display_name": display, "digest": ["MD5"],
        });
        match ask(host, "PUT", USERS_PATH, name, body.to_string().into_bytes()).await {
            Some(200 | 201) => (),
            Some(status) => return Err(format!("user {name} was refused with {status}")),
            None => return Err(format!("user {name} cannot be made")),
        }
    }
    number(host).await
}

/// Makes the number when it is not there yet: it rings the first of the people.
async fn number(host: &Host) -> Result<(), String> {
    if ask(host, "GET", NUMBERS_PATH, NUMBER, Vec::new()).await == Some(200) {
        return Ok(());
    }
    let body = serde_json::json!({"rings": [format!("user/{}", PEOPLE[0])]});
    match ask(host, "PUT", NUMBERS_PATH, NUMBER, body.to_string().into_bytes()).await {
        Some(200 | 201) => Ok(()),
        Some(status) => Err(format!("number {NUMBER} was refused with {status}")),
        None => Err(format!("number {NUMBER} cannot be made")),
    }
}

async fn ask(host: &Host, method: &str, path: &str, name: &str, body: Vec<u8>) -> Option<u16> {
    let (room, endpoint, _) = rooms::endpoint(method, path)?;
    let request = ApiRequest {
        room: room.to_owned(),
        endpoint,
        path: vec![name.to_owned()],
        content_type: "application/json".to_owned(),
        body,
        ..ApiRequest::default()
    };
    host.ask_user(name, request).await.map(|response| response.status)
}

/// `/v1/dev/pushes`, for whoever holds the administrator's token.
pub fn routes(services: Arc<StandIns>, token: Secret<String>) -> Router {
    Router::new()
        .route("/v1/dev/pushes", get(received))
        .route("/v1/dev/pushes/stream", get(stream))
        .route("/v1/dev/pushes/tokens", post(issue))
        .with_state(services)
        .layer(from_fn_with_state(Arc::new(token), admin))
}

async fn admin(State(token): State<Arc<Secret<String>>>, request: Request, next: Next) -> Response {
    let shown = request.headers().get("authorization").and_then(|value| value.to_str().ok());
    let shown = shown.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    // Both are hashed, so that the time of the comparison says nothing of the token.
    let hash = |text: &str| <sha2::Sha256 as sha2::Digest>::digest(text.as_bytes());
    if hash(shown) == hash(token.reveal()) {
        next.run(request).await
    } else {
        StatusCode::UNAUTHORIZED.into_response()
    }
}

async fn received(State(services): State<Arc<StandIns>>) -> Json<serde_json::Value> {
    Json(serde_json::json!({ "items": services.received(), "next": null }))
}

async fn stream(
    State(services): State<Arc<StandIns>>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    let Some(prid) = query.get("prid") else { return StatusCode::BAD_REQUEST.into_response() };
    Sse::new(events(&services, prid)).keep_alive(KeepAlive::default()).into_response()
}

/// What comes in for one device. Who lags behind loses the oldest.
fn events(
    services: &StandIns,
    prid: &str,
) -> impl Stream<Item = Result<Event, Infallible>> + use<> {
    BroadcastStream::new(services.subscribe(prid)).filter_map(|push| {
        let push = push.ok()?;
        let event = Event::default().event("push").id(push.number.to_string());
        Some(Ok(event.json_data(&push).unwrap_or_default()))
    })
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    provider: Provider,
}

async fn issue(State(services): State<Arc<StandIns>>, Json(wanted): Json<Wanted>) -> Response {
    (StatusCode::CREATED, Json(services.issue(wanted.provider))).into_response()
}
