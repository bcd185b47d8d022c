//! Which connections stand, how many each address has, and which of them have not spoken yet.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;
use tokio::sync::{Notify, mpsc};
use types::{Flow, Transport};

use super::connection::{Ends, Item};
use super::{Limits, Unsent};

/// What a dialled connection is found by: it serves everybody who wants the same peer, under the same name.
type Peer = (Transport, u8, SocketAddr, u64);

/// Whom connections are counted for: an IPv4 address, or an IPv6 /64, of which one host may hold every address.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Origin {
    V4(u32),
    V6(u64),
}

impl Origin {
    pub fn of(remote: SocketAddr) -> Self {
        match remote.ip().to_canonical() {
            IpAddr::V4(ip) => Self::V4(ip.to_bits()),
            IpAddr::V6(ip) => Self::V6((ip.to_bits() >> 64) as u64),
        }
    }
}

struct Standing {
    flow: Flow,
    peer: Option<Peer>,
    queue: mpsc::Sender<Item>,
    queued: Arc<AtomicUsize>,
    kill: Arc<Notify>,
    /// Of a caller by TLS who showed one that an authority vouches for.
    certificate: Option<CertificateDer<'static>>,
    /// The address that the caller wants requests for by this connection.
    alias: Option<SocketAddr>,
}

/// Connection numbers grow, so the first of a set is its oldest.
#[derive(Default)]
struct Tally {
    count: usize,
    silent: BTreeSet<u64>,
}

#[derive(Default)]
pub(super) struct Registry {
    standing: HashMap<u64, Standing>,
    origins: HashMap<Origin, Tally>,
    silent: BTreeSet<u64>,
    dialled: HashMap<Peer, u64>,
    /// Connections of callers by TLS, by the address that they are listening at.
    aliases: HashMap<SocketAddr, u64>,
}

impl Registry {
    /// Takes a connection in, if need be in place of a silent one. `None`: all have spoken, and there are too many.
    /// `asked`: the flow that we dial it for.
    pub fn admit(&mut self, flow: Flow, asked: Option<Flow>, limits: &Limits) -> Option<Ends> {
        let dialled = asked.is_some();
        let origin = Origin::of(flow.remote);
        if !dialled
            && self
                .origins
                .get(&origin)
                .is_some_and(|tally| tally.count >= limits.address_connections_max)
        {
            let oldest = *self.origins.get(&origin)?.silent.first()?;
            self.kill(oldest);
        }
        if self.standing.len() >= limits.connections_max {
            let oldest = *self.silent.first()?;
            self.kill(oldest);
        }
        let (queue, queued_messages) = mpsc::channel(limits.queue_max.max(1));
        let (queued, kill) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let ends = Ends {
            queue: queued_messages,
            queued: Arc::clone(&queued),
            kill: Arc::clone(&kill),
            dialled,
            proved: false,
        };
        let peer = asked.map(peer_of);
        if let Some(peer) = peer {
            self.dialled.insert(peer, flow.connection);
        } else {
            self.silent.insert(flow.connection);
            let tally = self.origins.entry(origin).or_default();
            tally.count += 1;
            tally.silent.insert(flow.connection);
        }
        let standing = Standing { flow, peer, queue, queued, kill, certificate: None, alias: None };
        self.standing.insert(flow.connection, standing);
        Some(ends)
    }

    /// A caller by TLS proved who he is.
    pub fn proved(&mut self, connection: u64, certificate: CertificateDer<'static>) {
        if let Some(standing) = self.standing.get_mut(&connection) {
            standing.certificate = Some(certificate);
        }
    }

    /// The caller wants requests for this port of his by this connection, which is the newest that serves it.
    ///
    /// Spec: RFC 5923 §8.2
    pub fn alias(&mut self, connection: u64, port: u16) {
        let Some(standing) = self.standing.get_mut(&connection) else { return };
        if standing.certificate.is_none() {
            return;
        }
        let address = SocketAddr::new(standing.flow.remote.ip(), port);
        if let Some(before) = standing.alias.replace(address)
            && self.aliases.get(&before) == Some(&connection)
        {
            self.aliases.remove(&before);
        }
        self.aliases.insert(address, connection);
    }

    /// The flow of a caller who listens at that address and proved this name.
    ///
    /// Spec: RFC 5923 §9.2 (the name of the alias is checked as when dialling)
    pub fn aliased(&self, asked: Flow, name: &ServerName<'_>) -> Option<Flow> {
        let standing = self.standing.get(self.aliases.get(&asked.remote)?)?;
        let certificate = ParsedCertificate::try_from(standing.certificate.as_ref()?).ok()?;
        rustls::client::verify_server_name(&certificate, name).ok()?;
        Some(standing.flow)
    }

    /// The connection sent a whole message: it may no longer be pushed out.
    pub fn spoke(&mut self, connection: u64) {
        self.silent.remove(&connection);
        let origin =
            self.standing.get(&connection).map(|standing| Origin::of(standing.flow.remote));
        if let Some(tally) = origin.and_then(|origin| self.origins.get_mut(&origin)) {
            tally.silent.remove(&connection);
        }
    }

    /// The flow that we dialled for the same peer before.
    pub fn dialled(&self, asked: Flow) -> Option<Flow> {
        let connection = self.dialled.get(&peer_of(asked))?;
        self.standing.get(connection).map(|standing| standing.flow)
    }

    pub fn send(&mut self, connection: u64, item: Item, limits: &Limits) -> Result<(), Unsent> {
        let standing = self.standing.get(&connection).ok_or(Unsent::Closed)?;
        let len = item.len();
        let before = standing.queued.fetch_add(len, Ordering::Relaxed);
        // One message alone always fits, however long: the limit is about peers that do not read.
        let fits = before == 0 || before + len <= limits.queue_bytes_max;
        if fits && standing.queue.try_send(item).is_ok() {
            return Ok(());
        }
        self.kill(connection);
        Err(Unsent::Full)
    }

    /// Ends a connection at once. Its task gives `Closed`.
    pub fn kill(&mut self, connection: u64) {
        if let Some(standing) = self.remove(connection) {
            standing.kill.notify_one();
        }
    }

    /// Forgets a connection; without a sender its task ends when the queue is written. Again is harmless.
    fn remove(&mut self, connection: u64) -> Option<Standing> {
        let standing = self.standing.remove(&connection)?;
        if let Some(address) = standing.alias
            && self.aliases.get(&address) == Some(&connection)
        {
            self.aliases.remove(&address);
        }
        if let Some(peer) = standing.peer {
            self.dialled.remove(&peer);
            return Some(standing);
        }
        self.silent.remove(&connection);
        let origin = Origin::of(standing.flow.remote);
        if let Some(tally) = self.origins.get_mut(&origin) {
            tally.count -= 1;
            tally.silent.remove(&connection);
            if tally.count == 0 {
                self.origins.remove(&origin);
            }
        }
        Some(standing)
    }

    /// Ends a connection when its queue is written.
    pub fn close(&mut self, connection: u64) {
        self.remove(connection);
    }

    /// How many stand by each transport.
    pub fn count(&self, transport: Transport) -> usize {
        self.standing.values().filter(|standing| standing.flow.transport == transport).count()
    }

    pub fn len(&self) -> usize {
        self.standing.len()
    }

    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

fn peer_of(asked: Flow) -> Peer {
    (asked.transport, asked.listener, asked.remote, asked.connection)
}
