//! The HTTP edge: probes, pages, signed images, the event stream, and the API that rooms answer.
//!
//! Picture     socket -> connections -> edge --match--> routes -> guard -> rooms --submit--> shard
//!                                        '-> pages, images, media, events answer(id, ..) <--'
//! Rules       Routes come from the manifests, nothing is listed twice. Every "no" is a problem document with a code
//!             and a remedy. Whoever holds no token learns nothing but what probes and help pages say. An answer of a
//!             room goes out as it is. No page has a script beside the
//!             console's own, and none asks another host for anything.
//! Limits      Named in `Limits` and beside what they bound: connections, headers, bodies, waits, events, failures.
//! Not here    What an endpoint does (rooms), TLS, SIP over WebSocket (shell/net), what webhooks say (rooms).
//! Spec        RFC 9110, 9112 (HTTP), 9457 (problems), 6750 (bearer tokens), CloudEvents 1.0, OpenAPI 3.1
#![deny(missing_docs)]

mod account;
pub mod app_socket;
pub mod client;
mod connections;
mod console;
mod edge;
mod events;
mod guard;
mod images;
mod media;
mod openapi;
mod pages;
pub mod refusal;
mod rooms;
mod routes;
mod sessions;
mod socket;
mod subscription;
#[cfg(test)]
mod tests;

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use switchboard::input::EventLine;
use switchboard::{ApiRequest, ApiResponse, Keys, Manifest};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use types::Secret;

pub use console::{ASSETS_MAX, Asset, embedded};
pub use events::{EVENT_MAX, EVENTS_KEPT, EVENTS_MEMORY, STREAMS_MAX};
pub use guard::{ADDRESSES_MAX, FAILURES_MAX};
pub use media::{Kept, LIST_MAX, Sounds, UPLOAD_MAX, Uploaded};
pub use sessions::{LINK_LIFE, LINKS_MAX, SESSION_LIFE, SIGNED_OUT_MAX, TOKEN_LIFE};
pub use socket::{
    HELLO_WAIT, LEFT, MESSAGE_MAX, PING_EVERY, PROTOCOL, PhoneSocket, Phones, QUEUE_MAX,
    SILENCE_MAX, SOCKETS_MAX, problem,
};
pub use subscription::SUBSCRIPTION_MAX;

/// Longest time from a request to its answer; then `web.timed_out`.
pub const API_WAIT_MAX: Duration = Duration::from_secs(30);
/// Longest time that a body may take to arrive; then `web.body_late`.
pub const BODY_WAIT_MAX: Duration = Duration::from_secs(20);
/// Octets of bodies that are held at once; then `web.busy`.
pub const BODIES_MEMORY: usize = 64 * 1024 * 1024;
/// Open connections; more are closed at once.
pub const CONNECTIONS_MAX: usize = 4_096;
/// Open connections of one address; more are closed at once.
pub const CONNECTIONS_PER_ADDRESS_MAX: usize = 1_024;
/// Octets of a request line with its header; then 431.
pub const HEADER_MAX: usize = 32 * 1024;
/// Longest time that a header may take to arrive, and that an unused connection is kept.
pub const HEADER_WAIT_MAX: Duration = Duration::from_secs(15);
/// Between two comments that keep an event stream alive.
pub const HEARTBEAT: Duration = Duration::from_secs(15);
/// Requests that wait for rooms; then `web.busy`.
pub const IN_FLIGHT_MAX: usize = 4_096;
/// How long a peer may leave what we write unread; then its connection ends.
pub const WRITE_STALL_MAX: Duration = Duration::from_secs(30);

/// Hands a request to a shard. `Err`: its queue is full.
pub type Submit = Arc<dyn Fn(usize, ApiRequest) -> Result<(), ()> + Send + Sync>;
/// Octets of a blob by its hash, if they are kept.
pub type Blobs = Arc<dyn Fn(&str) -> Option<Vec<u8>> + Send + Sync>;
/// Parts of the node by name, and how each is.
pub type Ready = Arc<dyn Fn() -> Vec<(String, Part)> + Send + Sync>;
/// Counters as Prometheus text.
pub type Metrics = Arc<dyn Fn() -> String + Send + Sync>;

/// Octets that nobody guesses.
pub type Chance = Arc<dyn Fn() -> [u8; 32] + Send + Sync>;

/// How a part of the node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// What keeps it, and with it the node, from being ready.
    Fault(String),
    /// It does what it should.
    Ready,
    /// Nobody asked for it: the node is ready without it.
    Unused,
}

impl Part {
    /// Whether the node can be ready with it.
    pub fn is_ready(&self) -> bool {
        !matches!(self, Self::Fault(_))
    }

    /// What probes and pages say of it.
    pub fn word(&self) -> &str {
        match self {
            Self::Fault(why) => why,
            Self::Ready => "ok",
            Self::Unused => "not set up",
        }
    }
}

/// The description of the API of these rooms, as `/openapi.json` gives it; `public` as in [`WebConfig`].
pub fn openapi(manifests: &[&'static Manifest], public: &str) -> serde_json::Value {
    openapi::describe(manifests, public)
}

/// What the edge needs from the roof.
pub struct WebConfig {
    /// The administrator's bearer token; never empty.
    pub token: Secret<String>,
    /// The account of apps; with an empty key nobody has it.
    pub apps: switchboard::Apps,
    /// Base of the addresses that we hand out; empty: none known.
    pub public: String,
    /// Of slots and signed links.
    pub keys: Keys,
    /// The rooms, for routes, description and help.
    pub manifests: Vec<&'static Manifest>,
    /// How many shards run.
    pub shards: usize,
    /// The way to a shard.
    pub submit: Submit,
    /// Where images are.
    pub blobs: Blobs,
    /// Clips and recordings; without it there is no library.
    pub sounds: Option<Arc<dyn Sounds>>,
    /// What `/readyz` says.
    pub ready: Ready,
    /// What `/metrics` says, beside the edge's own lines.
    pub metrics: Metrics,
    /// `/v1/dev/…`, in `dev` only.
    pub dev: Option<axum::Router>,
    /// For keys of links.
    pub chance: Chance,
    /// Who takes browser phones; without it there are none.
    pub phones: Option<Phones>,
    /// The description of the messages of apps on web sockets, as `/asyncapi.json` gives it.
    pub asyncapi: String,
    /// What pages subscribe to pushes with, in base64url; without it they cannot be woken.
    pub push_key: Option<String>,
    /// The console's files; empty: a plain page stands in for it.
    pub console: &'static [Asset],
}

/// The edge while it runs. Clones are the same edge; it stops when the last is dropped.
#[derive(Clone)]
pub struct Web {
    edge: Arc<edge::Edge>,
    address: SocketAddr,
    stop: Arc<watch::Sender<Option<Duration>>>,
    task: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Web {
    /// Binds and serves on the runtime that the caller has entered.
    pub fn start(listen: SocketAddr, config: WebConfig) -> Result<Self, Fault> {
        Self::start_with(listen, config, Limits::default())
    }

    pub(crate) fn start_with(
        listen: SocketAddr,
        config: WebConfig,
        limits: Limits,
    ) -> Result<Self, Fault> {
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| Fault::NoRuntime)?;
        if config.token.reveal().is_empty() {
            return Err(Fault::NoToken);
        }
        let fault = |source| Fault::Listen { address: listen, source };
        let listener = TcpListener::bind(listen).map_err(fault)?;
        listener.set_nonblocking(true).map_err(fault)?;
        let listener = tokio::net::TcpListener::from_std(listener).map_err(fault)?;
        let address = listener.local_addr().map_err(fault)?;
        let (stop, stopped) = watch::channel(None);
        let edge = Arc::new(edge::Edge::new(config, limits, stopped.clone())?);
        let task = runtime.spawn(connections::serve(listener, Arc::clone(&edge), stopped));
        let task = Arc::new(Mutex::new(Some(task)));
        Ok(Self { edge, address, stop: Arc::new(stop), task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The answer to a request that was submitted. Answers that nobody waits for are dropped.
    pub fn answer(&self, id: u64, response: ApiResponse) {
        self.edge.rooms.answer(id, response);
    }

    /// Adds a line to the event log and wakes its readers.
    pub fn event(&self, line: EventLine) {
        self.edge.events.push(line);
    }

    /// Makes a sign-in link that works once; `base` is where people reach us.
    pub fn link(&self, user: Option<String>, admin: bool, base: &str) -> String {
        let (key, _) = self.edge.sessions.link(user, admin, edge::unix_now());
        format!("{base}/sign-in#k={key}")
    }

    /// Takes no more requests, lets those that run finish for at most `grace`, and ends event streams at once.
    pub async fn stop(&self, grace: Duration) {
        self.stop.send_replace(Some(grace));
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            // An error would mean that the task panicked: it has ended either way.
            task.await.unwrap_or_else(|error| tracing::error!(%error, "web_task_failed"));
        }
    }
}

/// The limits that tests make smaller.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub api_wait: Duration,
    pub bodies_memory: usize,
    pub body_wait: Duration,
    pub connections: usize,
    pub connections_per_address: usize,
    pub events_kept: usize,
    pub header_wait: Duration,
    pub heartbeat: Duration,
    pub in_flight: usize,
    pub streams: usize,
    pub write_stall: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            api_wait: API_WAIT_MAX,
            bodies_memory: BODIES_MEMORY,
            body_wait: BODY_WAIT_MAX,
            connections: CONNECTIONS_MAX,
            connections_per_address: CONNECTIONS_PER_ADDRESS_MAX,
            events_kept: EVENTS_KEPT,
            header_wait: HEADER_WAIT_MAX,
            heartbeat: HEARTBEAT,
            in_flight: IN_FLIGHT_MAX,
            streams: STREAMS_MAX,
            write_stall: WRITE_STALL_MAX,
        }
    }
}

/// Why the edge could not start.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The address is in use, or not ours.
    #[error("cannot listen on {address} (http.listen)")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The caller is in no runtime.
    #[error("the HTTP edge was started outside of a runtime")]
    NoRuntime,
    /// Without a token everybody would be the administrator.
    #[error("the administrator's token is empty (admin.token)")]
    NoToken,
    /// Two rows of the manifests say the same, or one cannot be matched.
    #[error("the endpoint {method} {path} of {room} {why}")]
    Route {
        /// The room.
        room: &'static str,
        /// Its method.
        method: &'static str,
        /// Its path.
        path: &'static str,
        /// What is wrong.
        why: &'static str,
    },
}

impl Fault {
    /// Whether the same start may succeed later: an address may become free.
    pub fn retry_helps(&self) -> bool {
        matches!(self, Self::Listen { .. })
    }
}
