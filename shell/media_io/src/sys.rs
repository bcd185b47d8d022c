//! The system calls that std does not have: epoll, eventfd, recvmmsg, sendmmsg. All `unsafe` of
//! this crate is here.
#![allow(unsafe_code, reason = "calls to the kernel that no safe wrapper of ours offers")]

use std::fs::File;
use std::io::{self, Read, Write};
use std::mem;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;
use std::time::Duration;

use socket2::{SockAddr, SockAddrStorage};

/// Datagrams per system call.
pub const BATCH: usize = 32;

/// Octets of a datagram; longer ones are dropped.
pub const DATAGRAM_MAX: usize = 2048;

/// Sockets that one wait can report.
const READY_MAX: usize = 512;

/// The token of the doorbell; ports are below.
const WAKE: u64 = 1 << 16;

/// The token of the listener for streams.
const LISTENER: u64 = WAKE + 1;

/// Tokens of streams: their numbers stand in the lower half.
const STREAM: u64 = 1 << 32;

/// Takes over a descriptor that the kernel has just made.
fn own(fd: libc::c_int) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a non-negative result of epoll_create1 or eventfd is a new descriptor that nobody
    // else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// An eventfd: one thread waits for it, others write to it.
#[derive(Debug)]
pub(crate) struct Wake(File);

impl Wake {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: takes two numbers and no pointer.
        let fd = own(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
        Ok(Self(File::from(fd)))
    }

    pub(crate) fn signal(&self) {
        // Fails only when 2⁶⁴-2 signals wait already, and then the thread wakes anyway.
        let _ = (&self.0).write(&1u64.to_ne_bytes());
    }

    pub(crate) fn clear(&self) {
        // Fails only when there is nothing to clear.
        let _ = (&self.0).read(&mut [0; 8]);
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// What one wait reported.
pub(crate) struct Ready {
    events: Vec<libc::epoll_event>,
    count: usize,
}

impl Ready {
    pub(crate) fn new() -> Self {
        Self { events: vec![libc::epoll_event { events: 0, u64: 0 }; READY_MAX], count: 0 }
    }

    fn tokens(&self) -> impl Iterator<Item = u64> {
        self.events.iter().take(self.count).map(|event| event.u64)
    }

    pub(crate) fn contains_wake(&self) -> bool {
        self.tokens().any(|token| token == WAKE)
    }

    pub(crate) fn ports(&self) -> impl Iterator<Item = u16> {
        self.tokens().filter(|token| *token < WAKE).map(|token| token as u16)
    }

    pub(crate) fn contains_listener(&self) -> bool {
        self.tokens().any(|token| token == LISTENER)
    }

    pub(crate) fn streams(&self) -> impl Iterator<Item = u32> {
        self.tokens().filter(|token| *token >= STREAM).map(|token| token as u32)
    }
}

/// Waits for many sockets. Level-triggered: what is not read is reported again.
pub(crate) struct Epoll(OwnedFd);

impl Epoll {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: takes a number and no pointer.
        own(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) }).map(Self)
    }

    pub(crate) fn add(&self, socket: BorrowedFd<'_>, port: u16) -> io::Result<()> {
        self.register(socket, port.into())
    }

    pub(crate) fn add_wake(&self, wake: BorrowedFd<'_>) -> io::Result<()> {
        self.register(wake, WAKE)
    }

    pub(crate) fn add_listener(&self, listener: BorrowedFd<'_>) -> io::Result<()> {
        self.register(listener, LISTENER)
    }

    pub(crate) fn add_stream(&self, stream: BorrowedFd<'_>, number: u32) -> io::Result<()> {
        self.register(stream, STREAM | u64::from(number))
    }

    fn register(&self, fd: BorrowedFd<'_>, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: token };
        // SAFETY: both descriptors are open (borrowed); the kernel reads `event` during the call
        // only.
        let result = unsafe {
            let add = libc::EPOLL_CTL_ADD;
            libc::epoll_ctl(self.0.as_raw_fd(), add, fd.as_raw_fd(), &raw mut event)
        };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Waits, at most for `patience`, which is rounded up to whole milliseconds: never too early.
    pub(crate) fn wait(&self, ready: &mut Ready, patience: Option<Duration>) -> io::Result<()> {
        let (pointer, length) = (ready.events.as_mut_ptr(), ready.events.len() as libc::c_int);
        let timeout = patience.map_or(-1, |patience| {
            libc::c_int::try_from(patience.as_micros().div_ceil(1000)).unwrap_or(libc::c_int::MAX)
        });
        // SAFETY: `pointer` leads to `length` events that live and are ours alone during the call.
        let count = unsafe { libc::epoll_wait(self.0.as_raw_fd(), pointer, length, timeout) };
        ready.count = usize::try_from(count).unwrap_or(0);
        if count >= 0 {
            return Ok(());
        }
        let fault = io::Error::last_os_error();
        if fault.kind() == io::ErrorKind::Interrupted { Ok(()) } else { Err(fault) }
    }
}

/// Room for one batch of received datagrams.
pub(crate) struct Inbox {
    bytes: Vec<[u8; DATAGRAM_MAX]>,
    names: Vec<SockAddrStorage>,
    /// Length and sender of what was received last; `None` for what was cut off.
    received: Vec<Option<(usize, SocketAddr)>>,
}

impl Inbox {
    pub(crate) fn new() -> Self {
        Self {
            bytes: vec![[0; DATAGRAM_MAX]; BATCH],
            names: (0..BATCH).map(|_| SockAddrStorage::zeroed()).collect(),
            received: Vec::with_capacity(BATCH),
        }
    }

    /// Reads what is there, at most `COUNT` datagrams, which are [`BATCH`] at most. Never waits.
    pub(crate) fn receive<const COUNT: usize>(
        &mut self,
        socket: BorrowedFd<'_>,
    ) -> io::Result<usize> {
        self.received.clear();
        // SAFETY: iovec and mmsghdr are plain C structures for which all zeros is a valid value.
        let (mut parts, mut headers): ([libc::iovec; COUNT], [libc::mmsghdr; COUNT]) =
            unsafe { (mem::zeroed(), mem::zeroed()) };
        let rooms = self.bytes.iter_mut().zip(&mut self.names);
        for ((part, header), (bytes, name)) in parts.iter_mut().zip(&mut headers).zip(rooms) {
            part.iov_base = bytes.as_mut_ptr().cast();
            part.iov_len = DATAGRAM_MAX;
            header.msg_hdr.msg_name = ptr::from_mut(name).cast();
            header.msg_hdr.msg_namelen = name.size_of();
            header.msg_hdr.msg_iov = part;
            header.msg_hdr.msg_iovlen = 1;
        }
        let count = COUNT.min(BATCH) as libc::c_uint;
        // SAFETY: each header that counts names one part and one address room, each part one buffer of the
        // length it states; all of them outlive the call and nobody else touches them during it. No
        // timeout is given.
        let count = unsafe {
            let list = headers.as_mut_ptr();
            libc::recvmmsg(
                socket.as_raw_fd(),
                list,
                count,
                libc::MSG_DONTWAIT as _,
                ptr::null_mut(),
            )
        };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        for (header, name) in headers.iter().zip(&self.names).take(count) {
            let whole = header.msg_hdr.msg_flags & libc::MSG_TRUNC == 0;
            // SAFETY: the kernel wrote an address of `msg_namelen` octets into this room.
            let name = unsafe { SockAddr::new(copy(name), header.msg_hdr.msg_namelen) };
            let from = name.as_socket().filter(|_| whole);
            self.received.push(from.map(|from| (header.msg_len as usize, from)));
        }
        Ok(count)
    }

    /// One of the datagrams received last, to be changed in its place.
    pub(crate) fn datagram_mut(&mut self, place: usize) -> Option<(&mut [u8], SocketAddr)> {
        let (length, from) = (*self.received.get(place)?)?;
        Some((self.bytes.get_mut(place)?.get_mut(..length)?, from))
    }

    /// One of the datagrams received last.
    pub(crate) fn datagram(&self, place: usize) -> Option<(&[u8], SocketAddr)> {
        let (length, from) = (*self.received.get(place)?)?;
        Some((self.bytes.get(place)?.get(..length)?, from))
    }
}

/// The storage again, since it is not `Copy`.
fn copy(name: &SockAddrStorage) -> SockAddrStorage {
    // SAFETY: plain octets without ownership, and always initialised: they began as zeros.
    unsafe { ptr::read(name) }
}

/// Sends batches.
pub(crate) struct Outbox {
    names: Vec<SockAddr>,
}

impl Outbox {
    pub(crate) fn new() -> Self {
        Self { names: Vec::with_capacity(BATCH) }
    }

    /// Sends one datagram, as ticks do: for it a batch costs more than it saves. What the kernel does not take is lost.
    pub(crate) fn send_one(socket: BorrowedFd<'_>, bytes: &[u8], to: SocketAddr) {
        let (to, flags) = (SockAddr::from(to), libc::MSG_DONTWAIT);
        let _ = socket2::SockRef::from(&socket).send_to_with_flags(bytes, &to, flags);
    }

    /// Sends datagrams from one socket, at most [`BATCH`]. What the kernel does not take is lost,
    /// as on any network.
    pub(crate) fn send<'a>(
        &mut self,
        socket: BorrowedFd<'_>,
        datagrams: impl Iterator<Item = (&'a [u8], SocketAddr)>,
    ) {
        self.names.clear();
        // SAFETY: iovec and mmsghdr are plain C structures for which all zeros is a valid value.
        let (mut parts, mut headers): ([libc::iovec; BATCH], [libc::mmsghdr; BATCH]) =
            unsafe { (mem::zeroed(), mem::zeroed()) };
        for (part, (bytes, to)) in parts.iter_mut().zip(datagrams) {
            self.names.push(SockAddr::from(to));
            // The kernel only reads; the type of C has no way to say so.
            part.iov_base = bytes.as_ptr().cast_mut().cast();
            part.iov_len = bytes.len();
        }
        for ((header, name), part) in headers.iter_mut().zip(&self.names).zip(&mut parts) {
            header.msg_hdr.msg_name = name.as_ptr().cast_mut().cast();
            header.msg_hdr.msg_namelen = name.len();
            header.msg_hdr.msg_iov = part;
            header.msg_hdr.msg_iovlen = 1;
        }
        let count = self.names.len();
        let mut next = 0;
        while let Some(waiting) = headers.get_mut(next..count).filter(|list| !list.is_empty()) {
            let length = waiting.len() as libc::c_uint;
            // SAFETY: each header names one address in `self` and one part on this stack, each part
            // bytes that the caller lends for `'a`; all of them outlive the call, and the kernel
            // only reads them.
            let sent = unsafe {
                let list = waiting.as_mut_ptr();
                libc::sendmmsg(socket.as_raw_fd(), list, length, libc::MSG_DONTWAIT as _)
            };
            // An error concerns the first one: it is left out and the others follow.
            next += usize::try_from(sent).unwrap_or(0).max(1);
        }
    }
}
