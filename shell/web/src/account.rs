//! Signing in and out, links and tokens: what the edge answers itself beside GET.

use std::net::SocketAddr;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, COOKIE, HOST, LOCATION, ORIGIN, SET_COOKIE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use crate::edge::{Edge, bearer, unix_now};
use crate::refusal::Refusal;
use crate::routes;
use crate::sessions::{SESSION_LIFE, Session};

/// Octets of a body here.
const BODY_MAX: usize = 1_024;
/// Letters of a user's name.
const USER_MAX: usize = 256;
/// The cookie.
const COOKIE_NAME: &str = "carillon_session";

impl Edge {
    /// Answers what concerns accounts; `Err` inside gives the body back: it is for somebody else.
    pub async fn account(
        &self,
        parts: &Parts,
        names: &[&str],
        body: Body,
        from: SocketAddr,
    ) -> Result<Result<Response, Refusal>, Body> {
        let answer = match (names, &parts.method) {
            (["v1", "session"], &Method::POST) => self.sign_in(parts, body).await,
            (["v1", "session"], &Method::DELETE) => self.sign_out(parts),
            (["v1", "session"], &Method::GET) => self.who(parts),
            (["v1", "session"], _) => refuse("GET, POST, DELETE"),
            (["v1", "session", "push"], &Method::PUT) => self.subscribe(parts, body).await,
            (["v1", "session", "push"], &Method::DELETE) => self.unsubscribe(parts, body).await,
            (["v1", "session", "push"], _) => refuse("DELETE, PUT"),
            (["v1", "links"], &Method::POST) => self.make_link(parts, body, from).await,
            (["v1", "tokens"], &Method::POST) => self.make_token(parts, body, from).await,
            (["v1", "links" | "tokens"], _) => refuse("POST"),
            _ => return Err(body),
        };
        Ok(answer)
    }

    /// Who is signed in, by the cookie of the request. A page of others cannot use it: browsers do not send it along,
    /// and what changes something must come from our own page.
    pub fn session(&self, parts: &Parts) -> Option<Session> {
        let cookies = parts.headers.get_all(COOKIE).into_iter();
        let mut cookies =
            cookies.filter_map(|one| one.to_str().ok()).flat_map(|one| one.split(';'));
        let value = cookies.find_map(|one| {
            let (name, value) = one.trim().split_once('=')?;
            (name == COOKIE_NAME).then_some(value)
        })?;
        let asks_only = matches!(parts.method, Method::GET | Method::HEAD);
        let upgrades = parts.headers.contains_key(axum::http::header::UPGRADE);
        if (!asks_only || upgrades) && !is_own_page(&parts.headers) {
            return None;
        }
        self.sessions.read(value, unix_now())
    }

    /// Lets the administrator in, by token or as somebody who is signed in.
    pub fn administrator(&self, parts: &Parts, from: SocketAddr) -> Result<(), Refusal> {
        let token = bearer(&parts.headers);
        if token.is_none() && self.session(parts).is_some_and(|session| session.admin) {
            return Ok(());
        }
        self.guard.admit(from.ip(), token, std::time::Instant::now())
    }

    fn who(&self, parts: &Parts) -> Result<Response, Refusal> {
        let body = match self.session(parts) {
            Some(session) => json!({
                "user": session.user,
                "admin": session.admin,
                "expires": session.until.to_string(),
                "push_key": self.push_key,
            }),
            // A page asks this first: nobody is an answer, not a fault.
            None => json!({"user": null, "admin": false, "expires": null, "push_key": null}),
        };
        Ok(json_answer(StatusCode::OK, &body))
    }

    /// By the page's script with JSON, or by the form, which works without one.
    async fn sign_in(&self, parts: &Parts, body: Body) -> Result<Response, Refusal> {
        let (octets, _held) = self.body(&parts.headers, body, BODY_MAX).await?;
        let kind = parts.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let is_form =
            kind.is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
        let key = if is_form {
            let text = String::from_utf8_lossy(&octets).into_owned();
            routes::query(&text).into_iter().find(|(name, _)| name == "key").map(|(_, key)| key)
        } else {
            read(&octets)?["key"].as_str().map(str::to_owned)
        };
        let key = key.unwrap_or_default();
        let opened = self.sessions.open(key.trim(), unix_now()).ok_or(Refusal::LinkUsed)?;
        let (_, cookie) = opened;
        let mut response = match is_form {
            true => {
                (StatusCode::SEE_OTHER, [(LOCATION, HeaderValue::from_static("/"))]).into_response()
            }
            false => StatusCode::NO_CONTENT.into_response(),
        };
        self.set_cookie(&mut response, &cookie, SESSION_LIFE.as_secs());
        Ok(response)
    }

    fn sign_out(&self, parts: &Parts) -> Result<Response, Refusal> {
        let session = self.session(parts).ok_or(Refusal::SignedOut)?;
        self.sessions.end(&session, unix_now());
        let mut response = StatusCode::NO_CONTENT.into_response();
        self.set_cookie(&mut response, "", 0);
        Ok(response)
    }

    async fn make_link(
        &self,
        parts: &Parts,
        body: Body,
        from: SocketAddr,
    ) -> Result<Response, Refusal> {
        self.administrator(parts, from)?;
        let (octets, _held) = self.body(&parts.headers, body, BODY_MAX).await?;
        let body = read(&octets)?;
        let user = named(&body)?;
        let admin = body["admin"].as_bool().unwrap_or(false);
        if user.is_none() && !admin {
            return Err(Refusal::BadSignIn);
        }
        let (key, until) = self.sessions.link(user, admin, unix_now());
        let base =
            if self.public.is_empty() { own_base(&parts.headers) } else { self.public.clone() };
        let body = json!({"url": format!("{base}/sign-in#k={key}"), "expires": until.to_string()});
        Ok(json_answer(StatusCode::CREATED, &body))
    }

    async fn make_token(
        &self,
        parts: &Parts,
        body: Body,
        from: SocketAddr,
    ) -> Result<Response, Refusal> {
        self.administrator(parts, from)?;
        let (octets, _held) = self.body(&parts.headers, body, BODY_MAX).await?;
        let user = named(&read(&octets)?)?.ok_or(Refusal::BadSignIn)?;
        let (token, until) = self.sessions.token(&user, unix_now());
        let body = json!({"token": token, "expires": until.to_string()});
        Ok(json_answer(StatusCode::CREATED, &body))
    }

    fn set_cookie(&self, response: &mut Response, value: &str, life: u64) {
        let secure = if self.public.starts_with("https:") { "; Secure" } else { "" };
        let text = format!(
            "{COOKIE_NAME}={value}; Path=/; Max-Age={life}; HttpOnly; SameSite=Strict{secure}"
        );
        // Hexadecimal and dots always fit into a header.
        if let Ok(value) = HeaderValue::from_str(&text) {
            response.headers_mut().insert(SET_COOKIE, value);
        }
    }
}

/// Whether a browser says that the request comes from a page of this very server.
fn is_own_page(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let origin = text(ORIGIN).and_then(|origin| Some(origin.split_once("://")?.1));
    origin.is_some() && origin == text(HOST)
}

/// The address that the asker used, when we know none of our own.
fn own_base(headers: &HeaderMap) -> String {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    format!("http://{host}")
}

fn refuse(allow: &str) -> Result<Response, Refusal> {
    Err(Refusal::MethodNotAllowed { allow: allow.into() })
}

fn read(octets: &[u8]) -> Result<Value, Refusal> {
    let value: Value = serde_json::from_slice(octets).map_err(|_| Refusal::BadSignIn)?;
    if value.is_object() { Ok(value) } else { Err(Refusal::BadSignIn) }
}

/// The user that a body names.
fn named(body: &Value) -> Result<Option<String>, Refusal> {
    match &body["user"] {
        Value::Null => Ok(None),
        Value::String(user) if !user.is_empty() && user.len() <= USER_MAX => Ok(Some(user.clone())),
        _ => Err(Refusal::BadSignIn),
    }
}

fn json_answer(status: StatusCode, body: &Value) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}
