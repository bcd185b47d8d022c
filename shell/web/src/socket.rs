//! The WebSocket of phones: upgrade, who it is, and text to and fro. What the texts mean is not known here.
//!
//! Picture     page --hello--> who? --PhoneSocket--> the roof;  then texts both ways until one of them goes
//! Rules       Somebody signed in is known by the cookie, which counts on our own pages only; a page of others shows a
//!             token in its first message, so that no token stands in an address. A page that does not read or does
//!             not answer pings is gone.
//! Limits      SOCKETS_MAX, HELLO_WAIT, MESSAGE_MAX, QUEUE_MAX, PING_EVERY, SILENCE_MAX.
//! Not here    Calls (clients/desk), sessions that outlive their socket (server/src/host/phones.rs).
//! Spec        RFC 6455

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::extract::FromRequestParts as _;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::http::request::Parts;
use axum::response::Response;
use serde_json::{Value, json};
use switchboard::ApiResponse;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, interval, timeout};

use crate::edge::{Edge, unix_now};
use crate::refusal::Refusal;

/// Open sockets of phones; more get `phone.too_many`.
pub const SOCKETS_MAX: usize = 2_048;
/// How long a socket may be open before it says who it is.
pub const HELLO_WAIT: Duration = Duration::from_secs(10);
/// Octets of one message of a page: a description, escaped.
pub const MESSAGE_MAX: usize = 96 * 1024;
/// Messages that wait for a page, or for its phone; a page that has more waiting is cut off, and comes back.
pub const QUEUE_MAX: usize = 256;
/// Between two pings.
pub const PING_EVERY: Duration = Duration::from_secs(15);
/// How long a page may be silent, pings included.
pub const SILENCE_MAX: Duration = Duration::from_secs(40);
/// The subprotocol.
pub const PROTOCOL: &str = "carillon.phone.1";

/// What a phone hears last of a page that was closed, as against one whose socket was lost.
pub const LEFT: &str = r#"{"left":true}"#;
/// Spec: RFC 6455 §7.4.1 (what browsers say when a page goes away)
const GOING_AWAY: u16 = 1_001;

/// A page that has said who it is.
#[derive(Debug)]
pub struct PhoneSocket {
    /// Whose phone it is.
    pub user: String,
    /// From where.
    pub from: SocketAddr,
    /// The phone that it wants back.
    pub session: Option<String>,
    /// The number of the last event that it has heard of it; none: it knows nothing any more, as after a reload.
    pub after: Option<u64>,
    /// What the page says; ends with its socket.
    pub from_page: mpsc::Receiver<String>,
    /// What it is told; dropping it ends the socket.
    pub to_page: mpsc::Sender<String>,
}

/// Takes pages that have said who they are.
pub type Phones = Arc<dyn Fn(PhoneSocket) + Send + Sync>;

/// A refusal as pages hear it.
pub fn problem(refusal: &Refusal) -> Value {
    let body = ApiResponse::refusal(refusal, &Value::Null).body;
    serde_json::from_slice(&body).unwrap_or_default()
}

/// Counts open sockets.
#[derive(Default)]
pub struct Sockets(Arc<AtomicUsize>);

struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Sockets {
    fn take(&self) -> Option<Place> {
        let place = Place(Arc::clone(&self.0));
        (self.0.fetch_add(1, Ordering::Relaxed) < SOCKETS_MAX).then_some(place)
    }

    pub fn open(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Edge {
    /// Answers `/v1/phone`.
    pub async fn phone(
        self: &Arc<Self>,
        mut parts: Parts,
        from: SocketAddr,
    ) -> Result<Response, Refusal> {
        let Some(phones) = self.phones.clone() else { return Err(Refusal::NotFound) };
        let place = self.sockets.take().ok_or(Refusal::TooManyPhones)?;
        let session = self.session(&parts);
        let upgrade = WebSocketUpgrade::from_request_parts(&mut parts, &()).await;
        let upgrade = upgrade.map_err(|_| Refusal::NotAWebSocket)?;
        let upgrade =
            upgrade.protocols([PROTOCOL]).max_message_size(MESSAGE_MAX).max_frame_size(MESSAGE_MAX);
        if upgrade.selected_protocol().is_none() {
            return Err(Refusal::NotAWebSocket);
        }
        let edge = Arc::clone(self);
        let known = session.and_then(|session| session.user);
        Ok(upgrade.on_upgrade(async move |socket| {
            edge.serve_phone(socket, known, from, &phones).await;
            drop(place);
        }))
    }

    async fn serve_phone(
        &self,
        mut socket: WebSocket,
        known: Option<String>,
        from: SocketAddr,
        phones: &Phones,
    ) {
        let hello = match timeout(HELLO_WAIT, next_text(&mut socket)).await {
            Ok(Some(text)) => self.greet(&text, known),
            Ok(None) => return,
            Err(_) => Err(Refusal::NoHello),
        };
        let hello = match hello {
            Ok(hello) => hello,
            Err(refusal) => {
                let text = json!({ "problem": problem(&refusal) }).to_string();
                // Gone already, or it hears why.
                let _ = socket.send(Message::Text(text.into())).await;
                let _ = socket.send(closing(4_001, "refused")).await;
                return;
            }
        };
        let (to_page, outgoing) = mpsc::channel(QUEUE_MAX);
        let (incoming, from_page) = mpsc::channel(QUEUE_MAX);
        let Hello { user, session, after } = hello;
        phones(PhoneSocket { user, from, session, after, from_page, to_page });
        pass(socket, incoming, outgoing, self.stopped.clone()).await;
    }

    /// Who says hello: by a token, or else as whoever is signed in.
    fn greet(&self, text: &str, known: Option<String>) -> Result<Hello, Refusal> {
        let value: Value = serde_json::from_str(text).map_err(|_| Refusal::NoHello)?;
        let hello = value.get("hello").filter(|hello| hello.is_object()).ok_or(Refusal::NoHello)?;
        let user = match hello["token"].as_str() {
            Some(token) => {
                Some(self.sessions.of_token(token, unix_now()).ok_or(Refusal::TokenEnded)?)
            }
            None => known,
        };
        Ok(Hello {
            user: user.ok_or(Refusal::SignedOut)?,
            session: hello["session"].as_str().map(str::to_owned),
            after: hello["after"].as_u64(),
        })
    }
}

struct Hello {
    user: String,
    session: Option<String>,
    after: Option<u64>,
}

async fn next_text(socket: &mut WebSocket) -> Option<String> {
    loop {
        match socket.recv().await?.ok()? {
            Message::Text(text) => return Some(text.to_string()),
            Message::Close(_) => return None,
            Message::Binary(_) | Message::Ping(_) | Message::Pong(_) => (),
        }
    }
}

fn closing(code: u16, reason: &'static str) -> Message {
    Message::Close(Some(CloseFrame { code, reason: reason.into() }))
}

async fn pass(
    mut socket: WebSocket,
    incoming: mpsc::Sender<String>,
    mut outgoing: mpsc::Receiver<String>,
    mut stopped: watch::Receiver<Option<Duration>>,
) {
    let mut pings = interval(PING_EVERY);
    let mut heard = Instant::now();
    loop {
        let sent = tokio::select! {
            received = socket.recv() => {
                heard = Instant::now();
                match received {
                    Some(Ok(Message::Text(text))) => {
                        if incoming.send(text.to_string()).await.is_err() { break }
                        continue;
                    }
                    Some(Ok(Message::Binary(_) | Message::Ping(_) | Message::Pong(_))) => continue,
                    Some(Ok(Message::Close(frame))) => {
                        if frame.is_some_and(|frame| frame.code == GOING_AWAY) {
                            // A phone that has no room for it takes the socket for lost.
                            let _ = incoming.try_send(LEFT.to_owned());
                        }
                        return;
                    }
                    Some(Err(_)) | None => return,
                }
            }
            text = outgoing.recv() => match text {
                Some(text) => timeout(SILENCE_MAX, socket.send(Message::Text(text.into()))).await,
                None => break,
            },
            _ = pings.tick() => {
                if heard.elapsed() > SILENCE_MAX { return }
                timeout(SILENCE_MAX, socket.send(Message::Ping(Vec::new().into()))).await
            }
            _ = stopped.changed() => break,
        };
        if !matches!(sent, Ok(Ok(()))) {
            return;
        }
    }
    // Whoever is gone already does not miss it.
    let _ = timeout(Duration::from_secs(1), socket.send(closing(1_001, "over"))).await;
}
