//! Datagrams in batches: one call of the kernel brings or takes up to [`BATCH`] of them.
//!
//! Picture     Udp --recv_batch--> Batch (64 rooms of 64 KB, made once a thread)
//!             Outbox (one arena, ranges, addresses) --flush--> Udp; what the kernel does not take stays in the Outbox
//! Rules       An error about one peer (ICMP, no route, too long) costs that datagram and is counted; it never ends a loop.
//! Limits      BATCH, SOCKET_BUFFER, OUTBOX_BYTES_MAX.
//! Not here    Retransmission (proto/sip), limits per source (the switchboard's guard).
//! Spec        RFC 3261 §18.1, RFC 768.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};

use socket2::{Domain, Protocol, Socket, Type};

use crate::sys;
pub use crate::sys::{BATCH, DATAGRAM_MAX};

/// What each socket asks of the kernel in both directions: a burst while the thread is busy must not be lost.
pub const SOCKET_BUFFER: usize = 4 << 20;

/// Octets that may wait for the kernel; a datagram that would exceed this is dropped and counted.
pub const OUTBOX_BYTES_MAX: usize = 4 << 20;

/// Errors in a row that one `recv_batch` or `flush` fetches before it gives up for this time.
const ERRORS_MAX: usize = BATCH;

/// A datagram socket of one thread.
#[derive(Debug)]
pub struct Udp {
    socket: Socket,
    local: SocketAddr,
}

/// What the kernel gave of [`SOCKET_BUFFER`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// Octets of incoming datagrams that may wait.
    pub receive: usize,
    /// Octets of outgoing datagrams that may wait.
    pub send: usize,
}

impl Udp {
    /// Binds without waiting ever after. `reuse_port` lets several threads bind one address, and the kernel spreads the
    /// peers over them. An IPv6 socket is IPv6 only. Errors: those of the system, the address named by the caller.
    pub fn bind(addr: SocketAddr, reuse_port: bool) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        if addr.is_ipv6() {
            socket.set_only_v6(true)?; // Else one IPv4 peer could wear two addresses.
        }
        if reuse_port {
            socket.set_reuse_port(true)?;
        }
        // Less than asked for is not an error: `granted` tells.
        let _ = socket.set_recv_buffer_size(SOCKET_BUFFER);
        let _ = socket.set_send_buffer_size(SOCKET_BUFFER);
        socket.bind(&addr.into())?;
        let local = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Self { socket, local })
    }

    /// The address that it got, with the port.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// What the kernel gave of [`SOCKET_BUFFER`]. (Linux reports double, for its own bookkeeping; this is undone here.)
    pub fn granted(&self) -> io::Result<Granted> {
        let (receive, send) = (self.socket.recv_buffer_size()?, self.socket.send_buffer_size()?);
        Ok(Granted { receive: receive / 2, send: send / 2 })
    }

    /// Fetches what has come, at most [`BATCH`] datagrams, and replaces what `batch` held. `Ok(0)`: nothing there.
    pub fn recv_batch(&mut self, batch: &mut Batch) -> io::Result<usize> {
        for _ in 0..ERRORS_MAX {
            match sys::recv_many(self.socket.as_fd(), &mut batch.arena, &mut batch.filled) {
                Ok(count) => return Ok(count),
                Err(fault) if fault.kind() == io::ErrorKind::WouldBlock => return Ok(0),
                // An ICMP error of an earlier send, or a signal: fetched, so the next call sees what lies behind it.
                Err(fault) if about_one_peer(&fault) => (),
                Err(fault) => return Err(fault),
            }
        }
        Ok(0)
    }

    /// Sends what lies in `outbox` until it is empty or the kernel takes no more; gives how many went.
    pub fn flush(&mut self, outbox: &mut Outbox) -> usize {
        let mut total = 0;
        while !outbox.is_empty() {
            match sys::send_many(self.socket.as_fd(), outbox.iter()) {
                Ok(count) => {
                    outbox.forget(count);
                    total += count;
                }
                Err(fault) => match fault.raw_os_error() {
                    Some(libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM) => break,
                    Some(libc::EINTR) => (),
                    _ => {
                        outbox.forget(1);
                        outbox.failed += 1;
                    }
                },
            }
        }
        outbox.sent += total as u64;
        total
    }
}

impl AsFd for Udp {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn about_one_peer(fault: &io::Error) -> bool {
    let tolerated = [
        libc::ECONNREFUSED,
        libc::ECONNRESET,
        libc::EHOSTUNREACH,
        libc::EINTR,
        libc::EMSGSIZE,
        libc::ENETUNREACH,
        libc::ENOPROTOOPT,
        libc::EPERM,
        libc::EPROTO,
    ];
    fault.raw_os_error().is_some_and(|number| tolerated.contains(&number))
}

/// Room for incoming datagrams, made once a thread: 4 MB of address space, touched as far as datagrams are long.
#[derive(Debug)]
pub struct Batch {
    arena: Box<[u8]>,
    filled: Vec<(Option<SocketAddr>, usize)>,
}

impl Default for Batch {
    fn default() -> Self {
        Self::new()
    }
}

impl Batch {
    /// Empty rooms.
    pub fn new() -> Self {
        let arena = vec![0; BATCH * DATAGRAM_MAX].into_boxed_slice();
        Self { arena, filled: Vec::with_capacity(BATCH) }
    }

    /// What the last `recv_batch` brought, in order.
    pub fn iter(&self) -> impl Iterator<Item = (SocketAddr, &[u8])> {
        self.filled
            .iter()
            .zip(self.arena.chunks_exact(DATAGRAM_MAX))
            .filter_map(|((from, len), room)| Some(((*from)?, room.get(..*len)?)))
    }
}

/// Outgoing datagrams that wait for the next flush, in one arena.
#[derive(Debug, Default)]
pub struct Outbox {
    arena: Vec<u8>,
    waiting: VecDeque<(SocketAddr, Range<usize>)>,
    sent: u64,
    failed: u64,
    dropped: u64,
}

impl Outbox {
    /// Nothing waits.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a copy of `bytes`. `false`: dropped and counted, because [`OUTBOX_BYTES_MAX`] would be exceeded.
    pub fn push(&mut self, to: SocketAddr, bytes: &[u8]) -> bool {
        self.push_with(to, |arena| arena.extend_from_slice(bytes))
    }

    /// Adds what `write` appends to the arena. It must leave alone what is there already. `false` as in [`push`](Self::push).
    pub fn push_with(&mut self, to: SocketAddr, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        self.make_room();
        let start = self.arena.len();
        write(&mut self.arena);
        if self.arena.len() > OUTBOX_BYTES_MAX || self.arena.len() < start {
            self.arena.truncate(start);
            self.dropped += 1;
            return false;
        }
        self.waiting.push_back((to, start..self.arena.len()));
        true
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// What waits, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (SocketAddr, &[u8])> {
        self.waiting.iter().filter_map(|(to, range)| Some((*to, self.arena.get(range.clone())?)))
    }

    /// Datagrams that the kernel took.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Datagrams that the kernel refused: no route, too long, not permitted.
    pub fn failed(&self) -> u64 {
        self.failed
    }

    /// Datagrams that found the outbox full.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    fn forget(&mut self, count: usize) {
        self.waiting.drain(..count.min(self.waiting.len()));
        if self.waiting.is_empty() {
            self.arena.clear();
        }
    }

    /// After partial flushes the front of the arena is dead: move the living part down once it is the smaller half.
    fn make_room(&mut self) {
        let Some(dead) = self.waiting.front().map(|(_, range)| range.start) else { return };
        if dead > self.arena.len() / 2 {
            self.arena.drain(..dead);
            for (_, range) in &mut self.waiting {
                *range = range.start - dead..range.end - dead;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::poll::{Poll, Ready};
    use crate::wake::Waker;

    fn pair(addr: &str) -> (Udp, Udp) {
        let addr = addr.parse().unwrap();
        (Udp::bind(addr, false).unwrap(), Udp::bind(addr, false).unwrap())
    }

    /// Receives until `count` datagrams have come.
    fn receive(socket: &mut Udp, count: usize) -> Vec<(SocketAddr, Vec<u8>)> {
        let poll = Poll::new(&Waker::new().unwrap()).unwrap();
        poll.add(socket, 0).unwrap();
        let (mut batch, mut ready, mut all) = (Batch::new(), Vec::new(), Vec::new());
        while all.len() < count {
            poll.wait(Some(Duration::from_secs(10)), &mut ready).unwrap();
            assert_eq!(ready, [Ready::Readable(0)], "a datagram was lost");
            socket.recv_batch(&mut batch).unwrap();
            all.extend(batch.iter().map(|(from, bytes)| (from, bytes.to_vec())));
        }
        all
    }

    #[test]
    fn batches_cross_in_order_over_both_families() {
        for addr in ["127.0.0.1:0", "[::1]:0"] {
            let (mut left, mut right) = pair(addr);
            let mut outbox = Outbox::new();
            let sent: Vec<Vec<u8>> = (0..200).map(|n| vec![n as u8; n * 7]).collect();
            for bytes in &sent {
                assert!(outbox.push(right.local(), bytes));
            }
            assert_eq!(left.flush(&mut outbox), 200);
            assert!(outbox.is_empty());
            let got = receive(&mut right, 200);
            assert!(got.iter().all(|(from, _)| *from == left.local()));
            assert_eq!(got.into_iter().map(|(_, bytes)| bytes).collect::<Vec<_>>(), sent);
            assert_eq!(right.recv_batch(&mut Batch::new()).unwrap(), 0);
        }
    }

    #[test]
    fn the_longest_datagram_arrives_whole_and_a_longer_one_costs_only_itself() {
        let (mut left, mut right) = pair("127.0.0.1:0");
        let mut outbox = Outbox::new();
        outbox.push(right.local(), &[1; 65_507]);
        outbox.push(right.local(), &[2; 65_508]);
        outbox.push(right.local(), &[3; 3]);
        assert_eq!(left.flush(&mut outbox), 2);
        assert_eq!((outbox.sent(), outbox.failed()), (2, 1));
        let lengths: Vec<_> = receive(&mut right, 2).iter().map(|(_, bytes)| bytes.len()).collect();
        assert_eq!(lengths, [65_507, 3]);
    }

    #[test]
    fn a_peer_that_is_gone_harms_nobody() {
        let (mut left, gone) = pair("127.0.0.1:0");
        let nobody = gone.local();
        drop(gone);
        let mut outbox = Outbox::new();
        for _ in 0..3 {
            outbox.push(nobody, b"hello?");
            left.flush(&mut outbox);
            assert_eq!(left.recv_batch(&mut Batch::new()).unwrap(), 0);
        }
        let own = left.local();
        outbox.push(own, b"still here");
        left.flush(&mut outbox);
        assert_eq!(receive(&mut left, 1), [(own, b"still here".to_vec())]);
    }

    #[test]
    fn a_full_outbox_drops_and_counts_and_keeps_the_rest_whole() {
        let to = "127.0.0.1:9".parse().unwrap();
        let mut outbox = Outbox::new();
        let room = OUTBOX_BYTES_MAX / 65_507;
        for n in 0..room + 2 {
            assert_eq!(outbox.push(to, &[n as u8; 65_507]), n < room);
        }
        assert_eq!((outbox.len(), outbox.dropped()), (room, 2));
        outbox.forget(room - 3);
        assert!(outbox.push(to, b"after")); // The arena closes ranks.
        let kept: Vec<_> = outbox.iter().map(|(_, bytes)| (bytes[0], bytes.len())).collect();
        let last = room as u8;
        assert_eq!(kept, [(last - 3, 65_507), (last - 2, 65_507), (last - 1, 65_507), (b'a', 5)]);
        assert!(outbox.arena.len() < 4 * 65_507);
    }

    #[test]
    fn one_port_may_be_shared_when_asked_and_buffers_are_reported() {
        let first = Udp::bind("127.0.0.1:0".parse().unwrap(), true).unwrap();
        assert!(Udp::bind(first.local(), true).is_ok());
        assert!(Udp::bind(first.local(), false).is_err());
        let granted = first.granted().unwrap();
        assert!(granted.receive > 0 && granted.receive <= SOCKET_BUFFER, "{granted:?}");
    }
}
