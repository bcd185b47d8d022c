//! The UDP sockets of a pump, by port. They stay open when their stream ends, since its port will
//! come again.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use crate::sys::{Epoll, Ready};

/// Sockets that may stay open without a stream, when nothing smaller is asked: every port there is. Opening one costs
/// three system calls, and each call wants four of them.
pub const IDLE_MAX: usize = 65_536;

/// Octets that the kernel keeps for one port until we read: a second of sound, one frame of
/// pictures.
pub const RECEIVE_BUFFER: usize = 128 * 1024;

/// The same for ports that have the packets of many.
pub const DOOR_BUFFER: usize = 4 * 1024 * 1024;

/// Expedited Forwarding, as the traffic class octet has it.
const EXPEDITED: u32 = 46 << 2;

/// The sockets and what waits for them.
pub(crate) struct Sockets {
    address: IpAddr,
    /// At most [`IDLE_MAX`].
    idle_max: usize,
    epoll: Epoll,
    /// By port.
    table: Vec<Option<Entry>>,
    /// Sockets without a stream, the longest idle first.
    idle: BTreeMap<u64, u16>,
    /// Counts how often a socket went idle; never used twice.
    stamp: u64,
}

struct Entry {
    socket: Socket,
    idle: Option<u64>,
    /// Its buffer and its class are set: with its first packet, for most calls in set-up have none yet.
    dressed: bool,
    /// It was bound elsewhere, never rests, and has the packets of many.
    kept: bool,
}

impl Sockets {
    pub(crate) fn new(address: IpAddr, idle_max: usize, wake: BorrowedFd<'_>) -> io::Result<Self> {
        let epoll = Epoll::new()?;
        epoll.add_wake(wake)?;
        let idle_max = idle_max.min(IDLE_MAX);
        Ok(Self { address, idle_max, epoll, table: Vec::new(), idle: BTreeMap::new(), stamp: 0 })
    }

    /// Waits for datagrams or the doorbell, or until `patience` ends.
    pub(crate) fn wait(&self, ready: &mut Ready, patience: Option<Duration>) -> io::Result<()> {
        self.epoll.wait(ready, patience)
    }

    pub(crate) const fn epoll(&self) -> &Epoll {
        &self.epoll
    }

    pub(crate) fn get(&self, port: u16) -> Option<BorrowedFd<'_>> {
        self.table.get(usize::from(port))?.as_ref().map(|entry| entry.socket.as_fd())
    }

    /// An address as our sockets want it: an IPv6 socket reaches IPv4 hosts by mapped addresses.
    pub(crate) fn written(&self, to: SocketAddr) -> SocketAddr {
        match (self.address, to.ip()) {
            (IpAddr::V6(_), IpAddr::V4(ip)) => {
                SocketAddr::new(ip.to_ipv6_mapped().into(), to.port())
            }
            (IpAddr::V4(_) | IpAddr::V6(_), _) => to,
        }
    }

    /// Whether the socket of `port` has the packets of many.
    pub(crate) fn is_kept(&self, port: u16) -> bool {
        matches!(self.table.get(usize::from(port)), Some(Some(entry)) if entry.kept)
    }

    /// Makes sure that a socket is bound to `port`, and takes it out of the idle ones.
    pub(crate) fn bind(&mut self, port: u16) -> io::Result<()> {
        let place = usize::from(port);
        if place >= self.table.len() {
            self.table.resize_with(place + 1, || None);
        }
        if let Some(entry) = &mut self.table[place] {
            if let Some(stamp) = entry.idle.take() {
                self.idle.remove(&stamp);
            }
            return Ok(());
        }
        let socket = match self.open(port) {
            // Out of descriptors: an idle socket gives one up.
            Err(fault) if fault.raw_os_error() == Some(libc::EMFILE) && self.close_oldest() => {
                self.open(port)?
            }
            other => other?,
        };
        self.epoll.add(socket.as_fd(), port)?;
        self.table[place] = Some(Entry { socket, idle: None, dressed: false, kept: false });
        Ok(())
    }

    /// The stream of `port` has ended.
    pub(crate) fn rest(&mut self, port: u16) {
        let Some(Some(entry)) = self.table.get_mut(usize::from(port)) else { return };
        if entry.idle.is_some() {
            return;
        }
        self.stamp += 1;
        entry.idle = Some(self.stamp);
        self.idle.insert(self.stamp, port);
        if self.idle.len() > self.idle_max {
            self.close_oldest();
        }
    }

    fn close_oldest(&mut self) -> bool {
        let Some((_, port)) = self.idle.pop_first() else { return false };
        // Closing takes it out of epoll as well.
        self.table[usize::from(port)] = None;
        true
    }

    /// Takes in a socket that was bound elsewhere and never rests: its port.
    pub(crate) fn keep(&mut self, socket: Socket) -> io::Result<u16> {
        let bound = socket.local_addr()?.as_socket();
        let port = bound.ok_or(io::ErrorKind::AddrNotAvailable)?.port();
        let place = usize::from(port);
        if place >= self.table.len() {
            self.table.resize_with(place + 1, || None);
        }
        self.epoll.add(socket.as_fd(), port)?;
        self.table[place] = Some(Entry { socket, idle: None, dressed: true, kept: true });
        Ok(port)
    }

    fn open(&self, port: u16) -> io::Result<Socket> {
        let address = SocketAddr::new(self.address, port);
        let datagrams = Type::DGRAM.nonblocking();
        let socket = Socket::new(Domain::for_address(address), datagrams, Some(Protocol::UDP))?;
        socket.bind(&address.into())?;
        Ok(socket)
    }

    /// A packet passes through `port`, in or out: its socket gets what packets want.
    pub(crate) fn dress(&mut self, port: u16) {
        let Some(Some(entry)) = self.table.get_mut(usize::from(port)) else { return };
        if std::mem::replace(&mut entry.dressed, true) {
            return;
        }
        // A system that does not let us choose still carries the packets.
        let _ = entry.socket.set_recv_buffer_size(RECEIVE_BUFFER);
        let _ = match self.address {
            IpAddr::V4(_) => entry.socket.set_tos_v4(EXPEDITED),
            IpAddr::V6(_) => entry.socket.set_tclass_v6(EXPEDITED),
        };
    }
}

/// A port that many come by, bound before the pump starts.
#[derive(Debug)]
pub struct Door(pub(crate) Socket);

impl Door {
    /// Binds it.
    ///
    /// Errors: what the kernel says.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        open(address, DOOR_BUFFER).map(Self)
    }

    /// Binds a pair that many phones share: this even port, and the one above it.
    ///
    /// Errors: what the kernel says, of either.
    pub fn bind_pair(rtp: SocketAddr) -> io::Result<[Self; 2]> {
        let above = rtp.port().checked_add(1).filter(|above| above % 2 == 1);
        let above = above.ok_or(io::ErrorKind::InvalidInput)?;
        Ok([Self::bind(rtp)?, Self::bind(SocketAddr::new(rtp.ip(), above))?])
    }

    /// Where it is.
    ///
    /// Errors: what the kernel says.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()?.as_socket().ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
    }
}

/// A bound socket that is ready for packets at once.
fn open(address: SocketAddr, buffer: usize) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    socket.set_recv_buffer_size(buffer)?;
    // A network that does not let us choose the class still carries the packets.
    let _ = match address.ip() {
        IpAddr::V4(_) => socket.set_tos_v4(EXPEDITED),
        IpAddr::V6(_) => socket.set_tclass_v6(EXPEDITED),
    };
    socket.bind(&address.into())?;
    Ok(socket)
}
