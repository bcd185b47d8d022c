//! SIP over streams: listeners and connections as tasks, whole messages out, whole messages in.
//!
//! Picture     accept | connect --> admit (Registry) --> Opened --> read: octets -> Framer -> Message | ping -> CRLF
//!                                                             \--> write: queue -> socket
//!             either half ends --> Closed
//! Rules       Each connection gives Opened, then messages in order, then Closed once; a failed dial gives Closed alone.
//!             A reader that finds no room at `deliver` stops reading: the peer's TCP window is the back-pressure.
//!             A peer that does not read what it asked for is closed when its queue is full.
//!             A newcomer at a full house takes the place of the oldest connection that has not sent a whole message yet.
//! Limits      [`Limits`], whose defaults are the constants here.
//! Not here    TLS and WebSocket (they hand in another pair of halves), what a message means, resolving names.
//! Spec        RFC 3261 §18, §18.3 (framing is `sip::stream`); RFC 5626 §3.5.1 (ping).

mod connection;
mod registry;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sip::DecodeError;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::watch;
use types::{Flow, Transport};

use self::connection::Ends;
use self::registry::Registry;

/// Connections of all listeners together.
pub const CONNECTIONS_MAX: usize = 20_000;
/// Connections of one IPv4 address or one IPv6 /64: a large office behind one translator fits.
pub const ADDRESS_CONNECTIONS_MAX: usize = 512;
/// How long a connection that has spoken may be silent. Longer than a usual registration, whose refresh speaks.
pub const IDLE_MAX: Duration = Duration::from_secs(3_900);
/// How long an accepted connection may take to its first whole message; pings do not count.
pub const FIRST_MESSAGE_MAX: Duration = Duration::from_secs(15);
/// How long one message may take from its first octet to its last.
pub const MESSAGE_MAX: Duration = Duration::from_secs(20);
/// How long a connection attempt may take.
pub const DIAL_MAX: Duration = Duration::from_secs(10);
/// How long the peer may take to accept one write.
pub const WRITE_MAX: Duration = Duration::from_secs(20);
/// How long a connection that sent nonsense stays open for our answer.
pub const BAD_LINGER: Duration = Duration::from_secs(2);
/// Messages that may wait for one peer.
pub const QUEUE_MAX: usize = 256;
/// Octets that may wait for one peer.
pub const QUEUE_BYTES_MAX: usize = 1 << 20;

/// How often a dead peer is looked for below SIP.
const KEEPALIVE: Duration = Duration::from_secs(120);
/// Pause after a failed accept: descriptors are short, and others must finish first.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Connections that the kernel may hold for us.
const BACKLOG: i32 = 1_024;

/// The limits of a set of streams.
#[derive(Clone, Debug)]
pub struct Limits {
    /// See [`CONNECTIONS_MAX`].
    pub connections_max: usize,
    /// See [`ADDRESS_CONNECTIONS_MAX`].
    pub address_connections_max: usize,
    /// See [`IDLE_MAX`].
    pub idle_max: Duration,
    /// See [`FIRST_MESSAGE_MAX`].
    pub first_message_max: Duration,
    /// See [`MESSAGE_MAX`].
    pub message_max: Duration,
    /// See [`DIAL_MAX`].
    pub dial_max: Duration,
    /// See [`WRITE_MAX`].
    pub write_max: Duration,
    /// See [`BAD_LINGER`].
    pub bad_linger: Duration,
    /// See [`QUEUE_MAX`].
    pub queue_max: usize,
    /// See [`QUEUE_BYTES_MAX`].
    pub queue_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: CONNECTIONS_MAX,
            address_connections_max: ADDRESS_CONNECTIONS_MAX,
            idle_max: IDLE_MAX,
            first_message_max: FIRST_MESSAGE_MAX,
            message_max: MESSAGE_MAX,
            dial_max: DIAL_MAX,
            write_max: WRITE_MAX,
            bad_linger: BAD_LINGER,
            queue_max: QUEUE_MAX,
            queue_bytes_max: QUEUE_BYTES_MAX,
        }
    }
}

/// What happened on a stream.
#[derive(Debug, PartialEq, Eq)]
pub enum StreamEvent {
    /// The peer sent what is no SIP message. Answer within [`BAD_LINGER`] or not at all; then it is closed.
    Bad {
        /// Which connection.
        flow: Flow,
        /// What was read of it, for an answer and the recorder.
        bytes: Vec<u8>,
        /// What is wrong with it.
        why: DecodeError,
    },
    /// The connection is gone, or a dial failed. Nothing follows.
    Closed {
        /// Which connection.
        flow: Flow,
    },
    /// One whole message.
    Message {
        /// Which connection.
        flow: Flow,
        /// The message as it was sent.
        bytes: Vec<u8>,
    },
    /// A connection stands, accepted or dialled.
    Opened {
        /// Which connection.
        flow: Flow,
    },
}

/// Why [`Streams::send`] or [`Streams::connect`] did not take it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsent {
    /// There is no such connection (any more).
    Closed,
    /// A limit is reached: the peer's queue, which closes it, or the number of connections.
    Full,
}

/// Where events go. It must not wait; what it cannot take it gives back, and is asked again a little later.
pub type Deliver = dyn Fn(StreamEvent) -> Result<(), StreamEvent> + Send + Sync;

/// All stream listeners and connections of a node. Clones are the same set; any thread may use them.
#[derive(Clone)]
pub struct Streams(Arc<Shared>);

struct Shared {
    deliver: Box<Deliver>,
    limits: Limits,
    registry: Mutex<Registry>,
    next: AtomicU64,
    runtime: Handle,
    listening: Vec<(u8, SocketAddr)>,
    stopping: watch::Sender<bool>,
}

impl Streams {
    /// Binds each address (with its place in `sip.listen`) and begins to accept. To be called on a tokio runtime, which
    /// then carries all tasks. Errors: an address cannot be bound; nothing was started then.
    pub fn start(
        listen: &[(u8, SocketAddr)],
        limits: Limits,
        deliver: impl Fn(StreamEvent) -> Result<(), StreamEvent> + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let mut listeners = Vec::with_capacity(listen.len());
        let mut listening = Vec::with_capacity(listen.len());
        for (place, addr) in listen {
            let listener = bind(*addr)?;
            listening.push((*place, listener.local_addr()?));
            listeners.push((*place, listener));
        }
        let shared = Arc::new(Shared {
            deliver: Box::new(deliver),
            limits,
            registry: Mutex::default(),
            next: AtomicU64::new(1), // 0 means UDP.
            runtime: Handle::current(),
            listening,
            stopping: watch::Sender::new(false),
        });
        for (place, listener) in listeners {
            shared.runtime.spawn(accept(Arc::clone(&shared), place, listener));
        }
        Ok(Self(shared))
    }

    /// The address that a listener got, with the port.
    pub fn local(&self, listener: u8) -> Option<SocketAddr> {
        self.0.listening.iter().find(|(place, _)| *place == listener).map(|(_, addr)| *addr)
    }

    /// Queues one message for a connection. Errors: it is gone; or its queue is full, and it is closed for that.
    pub fn send(&self, flow: Flow, bytes: Vec<u8>) -> Result<(), Unsent> {
        self.0.send(flow.connection, bytes)
    }

    /// A flow to `remote`: the standing one that we dialled before, else a new one, which may be sent to at once; a dial
    /// that fails gives [`StreamEvent::Closed`].
    pub fn connect(&self, listener: u8, remote: SocketAddr) -> Result<Flow, Unsent> {
        let (flow, ends) = {
            let mut registry = self.0.registry();
            if let Some(flow) = registry.dialled(listener, remote) {
                return Ok(flow);
            }
            let flow = self.0.new_flow(listener, remote);
            let ends = registry.admit(flow, true, &self.0.limits).ok_or(Unsent::Full)?;
            (flow, ends)
        };
        self.0.runtime.spawn(dial(Arc::clone(&self.0), flow, ends));
        Ok(flow)
    }

    /// Closes a connection after what is queued for it was written.
    pub fn close(&self, flow: Flow) {
        self.0.registry().close(flow.connection);
    }

    /// How many connections stand or are being dialled.
    pub fn count(&self) -> usize {
        self.0.registry().len()
    }

    /// Stops accepting and closes all connections after what is queued for them was written.
    pub fn stop(&self) {
        self.0.stopping.send_replace(true);
        self.0.registry().clear();
    }
}

impl Shared {
    fn new_flow(&self, listener: u8, remote: SocketAddr) -> Flow {
        let connection = self.next.fetch_add(1, Ordering::Relaxed);
        Flow { transport: Transport::Tcp, listener, connection, remote }
    }

    fn send(&self, connection: u64, bytes: Vec<u8>) -> Result<(), Unsent> {
        self.registry().send(connection, bytes, &self.limits)
    }

    /// No code that holds the lock can panic half-way through a change.
    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?; // A restart must not wait for the last run's closed connections.
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Both options are kindnesses: a socket without them works too.
fn tune(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let probes = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 4);
    let _ = SockRef::from(stream).set_tcp_keepalive(&probes);
}

async fn accept(shared: Arc<Shared>, place: u8, listener: TcpListener) {
    let mut stopping = shared.stopping.subscribe();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopping.wait_for(|stop| *stop) => return,
        };
        let (stream, remote) = match accepted {
            Ok(accepted) => accepted,
            Err(fault) => {
                tracing::warn!(%fault, "net.accept_failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let flow = shared.new_flow(place, remote);
        let Some(ends) = shared.registry().admit(flow, false, &shared.limits) else {
            continue; // Dropped: the house is full of peers that have spoken.
        };
        tune(&stream);
        let shared = Arc::clone(&shared);
        tokio::spawn(
            async move { connection::run(&shared, flow, stream.into_split(), ends).await },
        );
    }
}

async fn dial(shared: Arc<Shared>, flow: Flow, ends: Ends) {
    let dialled = tokio::select! {
        dialled = tokio::time::timeout(shared.limits.dial_max, TcpStream::connect(flow.remote)) => dialled,
        () = ends.kill.notified() => return connection::finish(&shared, flow).await,
    };
    match dialled {
        Ok(Ok(stream)) => {
            tune(&stream);
            connection::run(&shared, flow, stream.into_split(), ends).await;
        }
        Ok(Err(_)) | Err(_) => connection::finish(&shared, flow).await,
    }
}
