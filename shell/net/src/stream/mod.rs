//! SIP over streams: listeners and connections as tasks, whole messages out, whole messages in.
//!
//! Picture     accept | connect --> admit (Registry) --(TLS)--> Opened --> read: octets -> Wire -> Message | ping -> CRLF
//!                                                                     \--> write: queue -> socket
//!             either half ends --> Undelivered for what was not written --> Closed
//! Rules       Each connection gives Opened, then messages in order, then Closed once; a failed dial or handshake gives no
//!             Opened. A message that was queued and not written comes back as Undelivered, before Closed.
//!             A reader that finds no room at `deliver` stops reading: the peer's TCP window is the back-pressure.
//!             A peer that does not read what it asked for is closed when its queue is full.
//!             A newcomer at a full house takes the place of the oldest connection that has not sent a whole message yet.
//!             Whom we dial by TLS must prove the name that stands behind the flow, else its address.
//!             WebSockets are accepted, never dialled: nobody listens behind a page.
//!             A caller by TLS who proved a name and says `alias` in his Via is not dialled at the address that he gives
//!             there: what goes to that name there goes by his connection. By TCP nobody proves anything: no aliases.
//! Limits      [`Limits`], whose defaults are the constants here; PEERS_MAX.
//! Not here    Certificates (tls), what a message means, resolving names (dns).
//! Spec        RFC 3261 §18, §18.3 (framing is `sip::stream`); RFC 5626 §3.5.1 (ping); RFC 7118; RFC 5923 (reuse of
//!             connections, aliases).

mod connection;
mod registry;
#[cfg(test)]
mod tests;
mod web_socket;
mod wire;

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use sip::DecodeError;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::watch;
use types::{Flow, Transport};

use self::connection::{Ends, Item};
use self::registry::{Origin, Registry};
use self::wire::Wire;
use crate::tls::Tls;

pub use self::web_socket::HEAD_MAX;

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
/// How long a TLS handshake may take, in either direction.
pub const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// Keep-alives of one peer within [`PINGS_SPAN`]; one more closes the connection.
pub const PINGS_MAX: u32 = 40;
/// See [`PINGS_MAX`].
pub const PINGS_SPAN: Duration = Duration::from_secs(10);
/// Names of peers that are remembered; the oldest are forgotten first, and flows to them cannot be dialled any more.
pub const PEERS_MAX: usize = 16_384;
/// How long the peer may take to accept one write.
pub const WRITE_MAX: Duration = Duration::from_secs(20);
/// How long a connection that sent nonsense stays open for our answer.
pub const BAD_LINGER: Duration = Duration::from_secs(2);
/// Messages that may wait for one peer.
pub const QUEUE_MAX: usize = 256;
/// Octets that may wait for one peer.
pub const QUEUE_BYTES_MAX: usize = 1 << 20;

/// Log lines about connections that were refused or cut, in [`LINES_SPAN`]: one about each address. The rest is counted.
const LINES_MAX: usize = 20;
/// See [`LINES_MAX`].
const LINES_SPAN: Duration = Duration::from_secs(1);
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
    /// See [`HANDSHAKE_MAX`].
    pub handshake_max: Duration,
    /// See [`PINGS_MAX`].
    pub pings_max: u32,
    /// See [`PINGS_SPAN`].
    pub pings_span: Duration,
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
            handshake_max: HANDSHAKE_MAX,
            pings_max: PINGS_MAX,
            pings_span: PINGS_SPAN,
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
    /// A message of ours was not written before its connection ended. Part of it may have left.
    Undelivered {
        /// Which connection; one that we dialled has number 0.
        flow: Flow,
        /// The message.
        bytes: Vec<u8>,
    },
}

/// A listener to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Its place in `sip.listen`.
    pub place: u8,
    /// How: anything but UDP.
    pub transport: Transport,
    /// Where.
    pub address: SocketAddr,
}

/// What listeners and dials need beside addresses.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// For TLS and WSS; without it neither is accepted or dialled.
    pub tls: Option<Arc<Tls>>,
    /// Pages that may open a WebSocket; empty for all.
    pub origins: Vec<String>,
    /// The first connection's number is one above: so that a number of an earlier run means nobody.
    pub before: u64,
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
    setup: Setup,
    limits: Limits,
    registry: Mutex<Registry>,
    peers: Mutex<Peers>,
    next: AtomicU64,
    refused: AtomicU64,
    told: Mutex<Told>,
    runtime: Handle,
    listening: Vec<Listen>,
    stopping: watch::Sender<bool>,
}

/// Whom the log has heard of since when.
#[derive(Default)]
struct Told {
    since: Option<Instant>,
    origins: HashSet<Origin>,
}

impl Told {
    /// Whether a line about this one is due.
    fn is_due(&mut self, origin: Origin, now: Instant) -> bool {
        if self.since.is_none_or(|since| now - since >= LINES_SPAN) {
            self.since = Some(now);
            self.origins.clear();
        }
        self.origins.len() < LINES_MAX && self.origins.insert(origin)
    }
}

/// Names that dialled peers must prove, by the number that flows carry for them.
#[derive(Default)]
struct Peers {
    names: BTreeMap<u64, String>,
    numbers: BTreeMap<String, u64>,
}

impl Peers {
    fn number(&mut self, name: &str) -> u64 {
        if let Some(known) = self.numbers.get(name) {
            return *known;
        }
        let number = self.names.last_key_value().map_or(Flow::NAMED, |(last, _)| last + 1);
        if self.names.len() >= PEERS_MAX
            && let Some((_, oldest)) = self.names.pop_first()
        {
            self.numbers.remove(&oldest);
        }
        self.names.insert(number, name.to_owned());
        self.numbers.insert(name.to_owned(), number);
        number
    }
}

impl Streams {
    /// Binds each address and begins to accept. To be called on a tokio runtime, which then carries all tasks.
    /// Errors: an address cannot be bound; nothing was started then.
    pub fn start(
        listen: &[Listen],
        setup: Setup,
        limits: Limits,
        deliver: impl Fn(StreamEvent) -> Result<(), StreamEvent> + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let mut listeners = Vec::with_capacity(listen.len());
        let mut listening = Vec::with_capacity(listen.len());
        for wanted in listen {
            let listener = bind(wanted.address)?;
            let bound = Listen { address: listener.local_addr()?, ..*wanted };
            listening.push(bound);
            listeners.push((bound, listener));
        }
        let shared = Arc::new(Shared {
            deliver: Box::new(deliver),
            // 0 means UDP, or nobody yet.
            next: AtomicU64::new(setup.before.clamp(0, Flow::NAMED / 2) + 1),
            setup,
            limits,
            registry: Mutex::default(),
            peers: Mutex::default(),
            refused: AtomicU64::new(0),
            told: Mutex::default(),
            runtime: Handle::current(),
            listening,
            stopping: watch::Sender::new(false),
        });
        for (bound, listener) in listeners {
            shared.runtime.spawn(accept(Arc::clone(&shared), bound, listener));
        }
        Ok(Self(shared))
    }

    /// The address that a listener got, with the port.
    pub fn local(&self, listener: u8) -> Option<SocketAddr> {
        let found = self.0.listening.iter().find(|bound| bound.place == listener);
        found.map(|bound| bound.address)
    }

    /// Queues one message for a connection. Errors: it is gone; or its queue is full, and it is closed for that.
    pub fn send(&self, flow: Flow, bytes: Vec<u8>) -> Result<(), Unsent> {
        self.0.queue(flow.connection, Item::Message(bytes))
    }

    /// The connection number of flows to a peer that must prove `name`.
    pub fn peer(&self, name: &str) -> u64 {
        self.0.peers().number(name)
    }

    /// The connection for a flow that is to be dialled: the standing one that we dialled for it before, or that the peer
    /// opened and gave the alias of that address, else a new one, which may be sent to at once; a dial that fails gives [`StreamEvent::Closed`]. Errors: nobody can be dialled so.
    pub fn connect(&self, asked: Flow) -> Result<Flow, Unsent> {
        let is_tls = match asked.transport {
            Transport::Tcp => false,
            Transport::Tls => true,
            Transport::Udp | Transport::Ws | Transport::Wss => return Err(Unsent::Closed),
        };
        let name = if is_tls { Some(self.0.name(asked).ok_or(Unsent::Closed)?) } else { None };
        let (flow, ends) = {
            let mut registry = self.0.registry();
            let aliased = || registry.aliased(asked, name.as_ref()?);
            if let Some(flow) = registry.dialled(asked).or_else(aliased) {
                return Ok(flow);
            }
            let flow = self.0.new_flow(asked.transport, asked.listener, asked.remote);
            let ends = registry.admit(flow, Some(asked), &self.0.limits).ok_or(Unsent::Full)?;
            (flow, ends)
        };
        self.0.runtime.spawn(dial(Arc::clone(&self.0), flow, name, ends));
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

    /// The same by transport.
    pub fn count_of(&self, transport: Transport) -> usize {
        self.0.registry().count(transport)
    }

    /// Handshakes that failed or took too long, in both directions; connections that found the house full or had to make
    /// room; and those that were cut: too slow, silent for too long, too many pings, another protocol.
    pub fn refused(&self) -> u64 {
        self.0.refused.load(Ordering::Relaxed)
    }

    /// Stops accepting and closes all connections after what is queued for them was written.
    pub fn stop(&self) {
        self.0.stopping.send_replace(true);
        self.0.registry().clear();
    }
}

impl Shared {
    fn new_flow(&self, transport: Transport, listener: u8, remote: SocketAddr) -> Flow {
        let connection = self.next.fetch_add(1, Ordering::Relaxed);
        Flow { transport, listener, connection, remote }
    }

    fn queue(&self, connection: u64, item: Item) -> Result<(), Unsent> {
        self.registry().send(connection, item, &self.limits)
    }

    /// What the peer of a flow must prove.
    fn name(&self, flow: Flow) -> Option<ServerName<'static>> {
        self.setup.tls.as_ref()?;
        if flow.connection < Flow::NAMED {
            return Some(ServerName::from(flow.remote.ip()));
        }
        let name = self.peers().names.get(&flow.connection)?.clone();
        ServerName::try_from(name).ok()
    }

    fn refuse(&self, flow: Flow, why: &str) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_due(Origin::of(flow.remote), Instant::now()) {
            let transport = flow.transport.param();
            tracing::info!(source = %flow.remote, transport, why, "net_refused");
        }
    }

    /// No code that holds the lock can panic half-way through a change.
    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn peers(&self) -> MutexGuard<'_, Peers> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
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

async fn accept(shared: Arc<Shared>, bound: Listen, listener: TcpListener) {
    let mut stopping = shared.stopping.subscribe();
    let mut told: Option<Instant> = None;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopping.wait_for(|stop| *stop) => return,
        };
        let (stream, remote) = match accepted {
            Ok(accepted) => accepted,
            Err(fault) => {
                if told.is_none_or(|told| told.elapsed() >= LINES_SPAN) {
                    told = Some(Instant::now());
                    tracing::warn!(%fault, "net.accept_failed");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let flow = shared.new_flow(bound.transport, bound.place, remote);
        let Some(ends) = shared.registry().admit(flow, None, &shared.limits) else {
            shared.refuse(flow, "full");
            continue; // Dropped: the house is full of peers that have spoken.
        };
        tune(&stream);
        let shared = Arc::clone(&shared);
        tokio::spawn(async move { welcome(&shared, flow, stream, ends).await });
    }
}

/// A connection that somebody opened.
async fn welcome(shared: &Shared, flow: Flow, stream: TcpStream, mut ends: Ends) {
    let wire = match flow.transport {
        Transport::Udp | Transport::Tcp | Transport::Tls => Wire::octets(),
        Transport::Ws | Transport::Wss => Wire::web(&shared.setup.origins),
    };
    let acceptor = match (flow.transport, &shared.setup.tls) {
        (Transport::Tls | Transport::Wss, Some(tls)) => {
            tls.acceptor(flow.transport == Transport::Wss)
        }
        (Transport::Tls | Transport::Wss, None) => {
            return connection::finish(shared, flow, ends, Vec::new()).await;
        }
        (Transport::Udp | Transport::Tcp | Transport::Ws, _) => {
            return connection::run(shared, flow, stream.into_split(), wire, ends).await;
        }
    };
    let shaking = tokio::time::timeout(shared.limits.handshake_max, acceptor.accept(stream));
    let shaken = tokio::select! {
        shaken = shaking => shaken,
        () = ends.kill.notified() => return connection::finish(shared, flow, ends, Vec::new()).await,
    };
    match shaken {
        Ok(Ok(stream)) => {
            let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
            if let Some(certificate) = shown {
                shared.registry().proved(flow.connection, certificate.clone().into_owned());
                ends.proved = true;
            }
            connection::run(shared, flow, tokio::io::split(stream), wire, ends).await;
        }
        Ok(Err(why)) => {
            shared.refuse(flow, &why.to_string());
            connection::finish(shared, flow, ends, Vec::new()).await;
        }
        Err(_) => {
            shared.refuse(flow, "handshake too slow");
            connection::finish(shared, flow, ends, Vec::new()).await;
        }
    }
}

/// A connection that we open. `name`: by TLS, what the peer must prove.
async fn dial(shared: Arc<Shared>, flow: Flow, name: Option<ServerName<'static>>, ends: Ends) {
    let shared = shared.as_ref();
    let dialled = tokio::select! {
        dialled = reach(shared, flow, name) => dialled,
        () = ends.kill.notified() => return connection::finish(shared, flow, ends, Vec::new()).await,
    };
    match dialled {
        Ok(Reached::Plain(stream)) => {
            connection::run(shared, flow, stream.into_split(), Wire::octets(), ends).await;
        }
        Ok(Reached::Tls(stream)) => {
            connection::run(shared, flow, tokio::io::split(*stream), Wire::octets(), ends).await;
        }
        Err(why) => {
            tracing::info!(?flow, %why, "net.dial_failed");
            shared.refuse(flow, "dial failed");
            connection::finish(shared, flow, ends, Vec::new()).await;
        }
    }
}

enum Reached {
    Plain(TcpStream),
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

async fn reach(
    shared: &Shared,
    flow: Flow,
    name: Option<ServerName<'static>>,
) -> io::Result<Reached> {
    let dialling = TcpStream::connect(flow.remote);
    let stream = tokio::time::timeout(shared.limits.dial_max, dialling).await??;
    tune(&stream);
    let (Some(name), Some(tls)) = (name, &shared.setup.tls) else {
        return Ok(Reached::Plain(stream));
    };
    let shaking = tls.connector().connect(name, stream);
    let shaken = tokio::time::timeout(shared.limits.handshake_max, shaking).await??;
    Ok(Reached::Tls(Box::new(shaken)))
}
