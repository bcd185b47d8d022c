//! One request: what it is for, whether it may, and what goes back.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::{Body, HttpBody as _};
use axum::http::header::{
    ALLOW, AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_SECURITY_POLICY,
    CONTENT_TYPE, EXPECT, REFERRER_POLICY, TRANSFER_ENCODING, UPGRADE, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use switchboard::{Access, ApiRequest, ApiResponse, Keys};
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_stream::StreamExt as _;
use types::UnixTime;

use crate::events::Events;
use crate::guard::{Guard, is_key};
use crate::pages::Pages;
use crate::refusal::Refusal;
use crate::rooms::Rooms;
use crate::routes::{self, Found, Route, Routes};
use crate::sessions::Sessions;
use crate::socket::{Phones, Sockets};
use crate::{
    Asset, Blobs, Fault, Limits, Metrics, Ready, Sounds, WebConfig, console, images, openapi,
};

/// Octets of an unwanted body that are read, so that its sender gets to see the refusal.
const DRAIN_MAX: usize = 1024 * 1024;
/// How long that may take.
const DRAIN_WAIT_MAX: Duration = Duration::from_secs(2);
/// Octets of a bearer token; longer ones are none.
const TOKEN_MAX: usize = 4_096;
/// What a page may do: show itself, run our own script, and ask nobody but us.
const POLICY: &str = "default-src 'self'; style-src 'self'; frame-ancestors 'none'; object-src 'none'; base-uri 'none'; form-action 'self'";

pub struct Edge {
    pub limits: Limits,
    pub rooms: Rooms,
    pub events: Events,
    pub guard: Guard,
    /// Of the account of apps; `None`: there is none.
    apps: Option<Guard>,
    pub sessions: Sessions,
    pub sockets: Sockets,
    pub phones: Option<Phones>,
    pub public: String,
    pub stopped: watch::Receiver<Option<Duration>>,
    console: &'static [Asset],
    pub routes: Routes,
    pub keys: Keys,
    pages: Pages,
    description: Bytes,
    asyncapi: Bytes,
    blobs: Blobs,
    pub sounds: Option<Arc<dyn Sounds>>,
    pub push_key: Option<String>,
    ready: Ready,
    metrics: Metrics,
    dev: Option<TowerToHyperService<axum::Router>>,
    /// Octets of bodies that may still be held.
    bodies: Semaphore,
    counts: Counts,
}

/// Answers by hundreds of their status, and refusals by code.
#[derive(Default)]
struct Counts {
    classes: [AtomicU64; 6],
    refusals: Mutex<BTreeMap<&'static str, u64>>,
}

impl Edge {
    pub fn new(
        config: WebConfig,
        limits: Limits,
        stopped: watch::Receiver<Option<Duration>>,
    ) -> Result<Self, Fault> {
        let WebConfig { token, apps, public, keys, manifests, .. } = config;
        let account = format!("{}:{}", apps.sid, apps.token.reveal());
        Ok(Self {
            limits,
            rooms: Rooms::new(keys, config.shards, config.submit, limits.in_flight),
            events: Events::new(&public, &limits, unix_now(), stopped.clone()),
            sessions: Sessions::new(keys.links, config.chance),
            sockets: Sockets::default(),
            phones: config.phones,
            stopped,
            console: config.console,
            routes: Routes::new(&manifests)?,
            guard: Guard::new(keys.links, token.reveal()),
            apps: (!apps.token.reveal().is_empty()).then(|| Guard::new(keys.links, &account)),
            keys,
            asyncapi: config.asyncapi.into(),
            description: openapi::describe(&manifests, &public).to_string().into(),
            pages: Pages::new(&manifests, &public),
            public,
            blobs: config.blobs,
            sounds: config.sounds,
            ready: config.ready,
            metrics: config.metrics,
            push_key: config.push_key,
            dev: config.dev.map(TowerToHyperService::new),
            bodies: Semaphore::new(limits.bodies_memory.min(Semaphore::MAX_PERMITS)),
            counts: Counts::default(),
        })
    }

    /// Answers one request. Never fails: what goes wrong has a status.
    pub async fn serve(self: &Arc<Self>, request: Request<Body>, from: SocketAddr) -> Response {
        let (method, began) = (request.method().clone(), Instant::now());
        let path = request.uri().path().to_owned();
        let mut response = match self.dispatch(request, from).await {
            Ok(response) => response,
            Err(refusal) => self.refuse(&refusal),
        };
        let headers = response.headers_mut();
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        let status = response.status().as_u16();
        if let Some(class) = self.counts.classes.get(usize::from(status / 100)) {
            class.fetch_add(1, Ordering::Relaxed);
        }
        let micros = began.elapsed().as_micros() as u64;
        tracing::debug!(%method, path, status, micros, %from, "http_request");
        response
    }

    async fn dispatch(
        self: &Arc<Self>,
        request: Request<Body>,
        from: SocketAddr,
    ) -> Result<Response, Refusal> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path();
        if path.starts_with("/v1/dev/")
            && let Some(dev) = &self.dev
        {
            let response = dev.call(Request::from_parts(parts, body)).await;
            return own_problem(response.unwrap_or_else(|never| match never {}));
        }
        let segments = routes::segments(path);
        let names: Vec<&str> = segments.iter().flatten().map(String::as_str).collect();
        if names == ["v1", "phone"] && parts.method == Method::GET {
            return self.phone(parts, from).await;
        }
        let body = match self.account(&parts, &names, body, from).await {
            Ok(answer) => return answer,
            Err(body) => body,
        };
        let body = match self.media(&parts, &names, body, from).await {
            Ok(answer) => return answer,
            Err(body) => body,
        };
        let answer = match segments {
            Ok(segments) => match self.own(&parts, &segments, from).await {
                Some(answer) => answer,
                None => return self.room(&parts, &segments, body, from).await,
            },
            Err(refusal) => Err(refusal),
        };
        drain(&parts.headers, body).await;
        answer
    }

    /// What the edge answers itself; `None`: it may be a room's.
    async fn own(
        &self,
        parts: &Parts,
        segments: &[String],
        from: SocketAddr,
    ) -> Option<Result<Response, Refusal>> {
        let names: Vec<&str> = segments.iter().map(String::as_str).collect();
        if !is_own(&names) {
            return None;
        }
        if parts.method != Method::GET && parts.method != Method::HEAD {
            return Some(Err(Refusal::MethodNotAllowed { allow: "GET, HEAD".into() }));
        }
        Some(match names.as_slice() {
            [""] => match console::find(self.console, "index.html") {
                Some(page) => Ok(console::answer(page, &parts.headers)),
                None => Ok(text("text/html", self.pages.console(&(self.ready)()))),
            },
            ["about"] => Ok(text("text/html", self.pages.console(&(self.ready)()))),
            ["sign-in"] => Ok(text("text/html", self.pages.sign_in())),
            ["sign-in.js"] => Ok(text("text/javascript", crate::pages::SIGN_IN)),
            ["assets", name] => match console::find(self.console, &format!("assets/{name}")) {
                Some(asset) => Ok(console::answer(asset, &parts.headers)),
                None => Err(Refusal::NotFound),
            },
            ["service-worker.js"] => match console::find(self.console, "service-worker.js") {
                Some(asset) => Ok(console::answer(asset, &parts.headers)),
                None => Err(Refusal::NotFound),
            },
            ["console.css"] => Ok(lasting(text("text/css", crate::pages::STYLE))),
            ["icon.svg"] => Ok(lasting(text("image/svg+xml", crate::pages::ICON))),
            ["livez"] => Ok(text("text/plain", "ok\n")),
            ["readyz"] => Ok(self.readyz()),
            ["metrics"] => Ok(text("text/plain; version=0.0.4", self.metrics_text())),
            ["asyncapi.json"] => Ok(text("application/json", self.asyncapi.clone())),
            ["openapi.json"] => Ok(text("application/json", self.description.clone())),
            ["llms.txt"] => Ok(text("text/plain", self.pages.llms())),
            ["help"] => Ok(text("text/html", self.pages.index())),
            ["help", code] => match self.pages.help(code) {
                Some(page) => Ok(text("text/html", page)),
                None => Err(Refusal::NotFound),
            },
            ["v1", "events"] => self.stream(parts, from),
            ["v1", "images", hash] => {
                let query = routes::query(parts.uri.query().unwrap_or(""));
                images::answer(hash, &query, &self.keys.links, &self.blobs, unix_now()).await
            }
            _ => Err(Refusal::NotFound),
        })
    }

    fn readyz(&self) -> Response {
        let parts = (self.ready)();
        let ready = parts.iter().all(|(_, part)| part.is_ready());
        let parts: serde_json::Map<String, serde_json::Value> =
            parts.into_iter().map(|(name, part)| (name, part.word().into())).collect();
        let body = serde_json::json!({"ready": ready, "parts": parts}).to_string();
        let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        (status, text("application/json", body)).into_response()
    }

    fn metrics_text(&self) -> String {
        let mut out = (self.metrics)();
        if !out.is_empty() && !out.ends_with('\n') {
            out.push('\n');
        }
        out.push_str("# TYPE carillon_http_answers_total counter\n");
        for (class, count) in self.counts.classes.iter().enumerate().skip(1) {
            let count = count.load(Ordering::Relaxed);
            out.push_str(&format!("carillon_http_answers_total{{class=\"{class}xx\"}} {count}\n"));
        }
        out.push_str("# TYPE carillon_http_refusals_total counter\n");
        for (code, count) in self.counts.refusals().iter() {
            out.push_str(&format!("carillon_http_refusals_total{{code=\"{code}\"}} {count}\n"));
        }
        out.push_str("# TYPE carillon_http_in_flight gauge\n");
        out.push_str(&format!("carillon_http_in_flight {}\n", self.rooms.in_flight()));
        out.push_str("# TYPE carillon_phone_sockets gauge\n");
        out.push_str(&format!("carillon_phone_sockets {}\n", self.sockets.open()));
        out.push_str("# TYPE carillon_http_event_streams gauge\n");
        out.push_str(&format!("carillon_http_event_streams {}\n", self.events.open()));
        out
    }

    fn stream(&self, parts: &Parts, from: SocketAddr) -> Result<Response, Refusal> {
        self.administrator(parts, from)?;
        let body = if parts.method == Method::HEAD {
            Body::empty()
        } else {
            // Bytes that are no text are no number of ours either.
            let last = parts.headers.get("last-event-id");
            self.events.stream(last.map(|last| last.to_str().unwrap_or("0")))?
        };
        Ok(([(CONTENT_TYPE, "text/event-stream")], body).into_response())
    }

    async fn room(
        &self,
        parts: &Parts,
        segments: &[String],
        body: Body,
        from: SocketAddr,
    ) -> Result<Response, Refusal> {
        let asked = self.ask(parts, segments, body, from).await;
        let Some(reword) = self.routes.reword(segments) else { return carry(asked?) };
        let answer = match asked {
            Ok(answer) => answer,
            Err(refusal) => {
                *self
                    .counts
                    .refusals()
                    .entry(types::Refuse::verdict(&refusal).code)
                    .or_default() += 1;
                ApiResponse::refusal(&refusal, &serde_json::Value::Null)
            }
        };
        let answer = match answer.content_type.as_str() {
            "application/problem+json" => reword(segments, answer),
            _ => answer,
        };
        let mut response = carry(answer)?;
        if response.status() == StatusCode::UNAUTHORIZED {
            let realm = HeaderValue::from_static("Basic realm=\"carillon\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, realm);
        }
        Ok(response)
    }

    /// What a room says, or the edge before it.
    async fn ask(
        &self,
        parts: &Parts,
        segments: &[String],
        body: Body,
        from: SocketAddr,
    ) -> Result<ApiResponse, Refusal> {
        let deadline = Instant::now() + self.limits.api_wait;
        let (route, path) = match self.admit(parts, segments, from) {
            Ok(found) => found,
            Err(refusal) => {
                drain(&parts.headers, body).await;
                return Err(refusal);
            }
        };
        let endpoint = route.endpoint;
        let (body, _held) = self.body(&parts.headers, body, endpoint.body_max).await?;
        let header = |name| parts.headers.get(name).map(HeaderValue::as_bytes).unwrap_or_default();
        let token = match endpoint.access {
            // Proved already; it shall not be recorded. A key is named: it may be there no more.
            Access::Account => app_key(&parts.headers).unwrap_or_default(),
            Access::Admin => String::new(),
            Access::Token => bearer(&parts.headers).unwrap_or("").to_owned(),
        };
        let request = ApiRequest {
            id: 0,
            room: route.room.into(),
            endpoint: route.index,
            path,
            query: routes::query(parts.uri.query().unwrap_or("")),
            content_type: String::from_utf8_lossy(header(CONTENT_TYPE)).into_owned(),
            bearer: token,
            body,
        };
        self.rooms.ask(endpoint.scope, request, deadline).await
    }

    fn admit(
        &self,
        parts: &Parts,
        segments: &[String],
        from: SocketAddr,
    ) -> Result<(&Route, Vec<String>), Refusal> {
        let method = if parts.method == Method::HEAD { "GET" } else { parts.method.as_str() };
        let (route, path) = match self.routes.find(method, segments) {
            Found::Endpoint(route, path) => (route, path),
            Found::Nothing => return Err(Refusal::NotFound),
            Found::OtherMethods(allow) => return Err(Refusal::MethodNotAllowed { allow }),
        };
        match route.endpoint.access {
            Access::Account => {
                let shown = basic(&parts.headers);
                let guard = self.apps.as_ref().ok_or(Refusal::Unauthorized)?;
                guard.admit_app(from.ip(), shown.as_deref(), std::time::Instant::now())?;
            }
            Access::Admin => self.administrator(parts, from)?,
            Access::Token => (),
        }
        Ok((route, path))
    }

    /// The whole body, with the memory that it was given.
    pub async fn body(
        &self,
        headers: &HeaderMap,
        body: Body,
        max: usize,
    ) -> Result<(Vec<u8>, SemaphorePermit<'_>), Refusal> {
        let hint = body.size_hint();
        // What is announced, or else the most that it may become.
        let needed = hint.upper().map_or(max, |upper| usize::try_from(upper).unwrap_or(usize::MAX));
        if hint.lower() > max as u64 || needed > max {
            drain(headers, body).await;
            return Err(Refusal::BodyTooLarge { max });
        }
        let needed = u32::try_from(needed).map_err(|_| Refusal::Busy)?;
        let Ok(held) = self.bodies.try_acquire_many(needed) else {
            drain(headers, body).await;
            return Err(Refusal::Busy);
        };
        let mut whole = Vec::new();
        let mut chunks = body.into_data_stream();
        let read = async {
            while let Some(chunk) = chunks.next().await {
                let chunk = chunk.map_err(|_| Refusal::BadBody)?;
                if whole.len() + chunk.len() > max {
                    return Err(Refusal::BodyTooLarge { max });
                }
                whole.extend_from_slice(&chunk);
            }
            Ok(())
        };
        timeout_at(Instant::now() + self.limits.body_wait, read)
            .await
            .map_err(|_| Refusal::BodyLate)??;
        Ok((whole, held))
    }

    fn refuse(&self, refusal: &Refusal) -> Response {
        *self.counts.refusals().entry(types::Refuse::verdict(refusal).code).or_default() += 1;
        let problem = ApiResponse::refusal(refusal, &serde_json::Value::Null);
        let mut response = carry(problem).unwrap_or_default();
        let headers = response.headers_mut();
        match refusal {
            Refusal::MethodNotAllowed { allow } => {
                if let Ok(allow) = HeaderValue::from_str(allow) {
                    headers.insert(ALLOW, allow);
                }
            }
            Refusal::Unauthorized => {
                let realm = HeaderValue::from_static("Bearer realm=\"carillon\"");
                headers.insert(WWW_AUTHENTICATE, realm);
            }
            Refusal::BadAnswer
            | Refusal::BadBody
            | Refusal::BadPath
            | Refusal::BodyLate
            | Refusal::BodyTooLarge { .. }
            | Refusal::Busy
            | Refusal::LinkExpired
            | Refusal::LinkForged
            | Refusal::NotFound
            | Refusal::TimedOut
            | Refusal::TooManyFailures
            | Refusal::BadCommand { .. }
            | Refusal::BadSignIn
            | Refusal::LinkUsed
            | Refusal::NoHello
            | Refusal::NoSuchPhoneCall
            | Refusal::NotADescription
            | Refusal::NotAnAddress
            | Refusal::NotAWebSocket
            | Refusal::PhoneGone
            | Refusal::SignedOut
            | Refusal::TokenEnded
            | Refusal::TooManyCalls
            | Refusal::TooManyPhones
            | Refusal::WrongMoment => (),
        }
        response
    }
}

impl Counts {
    fn refusals(&self) -> std::sync::MutexGuard<'_, BTreeMap<&'static str, u64>> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The paths that [`Edge::own`] answers.
fn is_own(names: &[&str]) -> bool {
    matches!(
        names,
        ["" | "asyncapi.json"
            | "livez"
            | "readyz"
            | "metrics"
            | "openapi.json"
            | "llms.txt"
            | "help"]
            | ["about"
                | "console.css"
                | "icon.svg"
                | "service-worker.js"
                | "sign-in"
                | "sign-in.js"]
            | ["assets", _]
            | ["help", _]
            | ["v1", "events"]
            | ["v1", "images", _]
    )
}

/// Reads and forgets a body that nobody wants: a sender in the middle of it would miss the answer.
async fn drain(headers: &HeaderMap, body: Body) {
    // Whoever asks first has not sent anything.
    if body.is_end_stream() || headers.contains_key(EXPECT) {
        return;
    }
    let mut chunks = body.into_data_stream();
    let mut rest = DRAIN_MAX;
    let read = async {
        while let Some(Ok(chunk)) = chunks.next().await {
            let Some(less) = rest.checked_sub(chunk.len()) else { return };
            rest = less;
        }
    };
    // Too slow: the connection ends, which is all that is left.
    timeout(DRAIN_WAIT_MAX, read).await.unwrap_or(());
}

/// The token after `Bearer`.
///
/// Spec: RFC 6750 §2.1; RFC 9110 §11.1 (the scheme in any case)
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    let fits = scheme.eq_ignore_ascii_case("bearer") && (1..=TOKEN_MAX).contains(&token.len());
    fits.then_some(token)
}

/// Name and password of HTTP Basic, with the colon between them.
///
/// Spec: RFC 7617 §2
fn basic(headers: &HeaderMap) -> Option<String> {
    let (scheme, shown) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let fits = scheme.eq_ignore_ascii_case("basic") && shown.len() <= TOKEN_MAX;
    let octets = fits.then(|| STANDARD.decode(shown.trim()).ok()).flatten()?;
    String::from_utf8(octets).ok()
}

/// The key that an app shows in place of the account's token.
fn app_key(headers: &HeaderMap) -> Option<String> {
    let shown = basic(headers)?;
    let (name, _) = shown.split_once(':')?;
    is_key(name).then(|| name.to_owned())
}

/// A room's answer as it is, but for what belongs to the connection.
pub fn carry(answer: ApiResponse) -> Result<Response, Refusal> {
    let status = StatusCode::from_u16(answer.status).map_err(|_| Refusal::BadAnswer)?;
    // 1xx and 304 would need what only the edge knows.
    if !(200..600).contains(&answer.status) || status == StatusCode::NOT_MODIFIED {
        return Err(Refusal::BadAnswer);
    }
    let content_type = match (answer.content_type.as_str(), answer.body.is_empty()) {
        ("", false) => "application/json",
        (given, _) => given,
    };
    let content_type = HeaderValue::from_str(content_type).map_err(|_| Refusal::BadAnswer)?;
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = status;
    if !content_type.is_empty() {
        response.headers_mut().insert(CONTENT_TYPE, content_type);
    }
    for (name, value) in &answer.headers {
        let name = HeaderName::from_bytes(name.as_bytes());
        let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) else { continue };
        if ![CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE].contains(&name) {
            response.headers_mut().append(name, value);
        }
    }
    Ok(response)
}

/// The plain 404 and 405 of a foreign router become problems like all others.
fn own_problem(response: Response) -> Result<Response, Refusal> {
    let bare = !response.headers().contains_key(CONTENT_TYPE);
    match response.status() {
        StatusCode::NOT_FOUND if bare => Err(Refusal::NotFound),
        StatusCode::METHOD_NOT_ALLOWED if bare => {
            let allow = response.headers().get(ALLOW).and_then(|allow| allow.to_str().ok());
            Err(Refusal::MethodNotAllowed {
                allow: allow.unwrap_or("other methods").replace(',', ", "),
            })
        }
        _ => Ok(response),
    }
}

fn text(content_type: &'static str, body: impl Into<Body>) -> Response {
    let utf8 = match content_type {
        "text/html" => "text/html; charset=utf-8",
        "text/css" => "text/css; charset=utf-8",
        "text/javascript" => "text/javascript; charset=utf-8",
        "text/plain" => "text/plain; charset=utf-8",
        other => other,
    };
    ([(CONTENT_TYPE, utf8)], body.into()).into_response()
}

fn lasting(mut response: Response) -> Response {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("max-age=3600"));
    response
}

pub fn unix_now() -> UnixTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixTime(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}
