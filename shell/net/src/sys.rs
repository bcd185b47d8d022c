//! The system calls that std does not offer: the only file of this crate with `unsafe`.
//!
//! Picture     safe arguments in, one call each, `io::Result` out.
//! Rules       Every pointer handed to the kernel points into a slice or a local that outlives the call; every length is
//!             that slice's own. No pointer is kept. What the kernel wrote is read only as far as it says it wrote.
//! Limits      [`BATCH`] messages per call.
//! Not here    What to do about an error (udp, poll).
//! Spec        recvmmsg(2), sendmmsg(2), epoll_pwait2(2), eventfd(2), sched_setaffinity(2).
#![allow(unsafe_code)]

use std::io;
use std::mem;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;
use std::time::Duration;

/// Datagrams per system call.
pub const BATCH: usize = 64;

/// Room for one datagram: no UDP payload is longer.
pub const DATAGRAM_MAX: usize = 65_536;

/// An address as the kernel writes it.
#[derive(Clone, Copy)]
#[repr(C)]
union RawAddr {
    family: libc::sa_family_t,
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

const RAW_ADDR_ZERO: RawAddr =
    // SAFETY: all-zero octets are a valid value of each member: integers only.
    unsafe { mem::zeroed() };

impl RawAddr {
    fn new(addr: SocketAddr) -> (Self, libc::socklen_t) {
        let mut raw = RAW_ADDR_ZERO;
        match addr {
            SocketAddr::V4(addr) => {
                raw.v4 = libc::sockaddr_in {
                    sin_family: libc::AF_INET as libc::sa_family_t,
                    sin_port: addr.port().to_be(),
                    sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(addr.ip().octets()) },
                    sin_zero: [0; 8],
                };
                (raw, mem::size_of::<libc::sockaddr_in>() as libc::socklen_t)
            }
            SocketAddr::V6(addr) => {
                raw.v6 = libc::sockaddr_in6 {
                    sin6_family: libc::AF_INET6 as libc::sa_family_t,
                    sin6_port: addr.port().to_be(),
                    sin6_flowinfo: addr.flowinfo(),
                    sin6_addr: libc::in6_addr { s6_addr: addr.ip().octets() },
                    sin6_scope_id: addr.scope_id(),
                };
                (raw, mem::size_of::<libc::sockaddr_in6>() as libc::socklen_t)
            }
        }
    }

    fn decode(&self) -> Option<SocketAddr> {
        // SAFETY: the union was zeroed before the kernel wrote, so all octets are initialised, and each member is made
        // of integers, for which every pattern is valid.
        unsafe {
            match i32::from(self.family) {
                libc::AF_INET => Some(SocketAddr::V4(SocketAddrV4::new(
                    Ipv4Addr::from(self.v4.sin_addr.s_addr.to_ne_bytes()),
                    u16::from_be(self.v4.sin_port),
                ))),
                libc::AF_INET6 => Some(SocketAddr::V6(SocketAddrV6::new(
                    Ipv6Addr::from(self.v6.sin6_addr.s6_addr),
                    u16::from_be(self.v6.sin6_port),
                    self.v6.sin6_flowinfo,
                    self.v6.sin6_scope_id,
                ))),
                _ => None,
            }
        }
    }
}

/// Receives up to [`BATCH`] datagrams without waiting. `arena` is cut into rooms of [`DATAGRAM_MAX`]; `out` gets the
/// sender and the length of each room that was filled, `None` for a sender that is neither IPv4 nor IPv6.
pub fn recv_many(
    fd: BorrowedFd<'_>,
    arena: &mut [u8],
    out: &mut Vec<(Option<SocketAddr>, usize)>,
) -> io::Result<usize> {
    out.clear();
    let mut addrs = [RAW_ADDR_ZERO; BATCH];
    // SAFETY: null pointers and zero lengths are valid values of both structures.
    let (mut parts, mut heads): ([libc::iovec; BATCH], [libc::mmsghdr; BATCH]) =
        unsafe { (mem::zeroed(), mem::zeroed()) };
    let mut count = 0;
    for (((room, addr), part), head) in
        arena.chunks_exact_mut(DATAGRAM_MAX).zip(&mut addrs).zip(&mut parts).zip(&mut heads)
    {
        part.iov_base = room.as_mut_ptr().cast();
        part.iov_len = room.len();
        head.msg_hdr.msg_name = ptr::from_mut(addr).cast();
        head.msg_hdr.msg_namelen = mem::size_of::<RawAddr>() as libc::socklen_t;
        head.msg_hdr.msg_iov = part;
        head.msg_hdr.msg_iovlen = 1;
        count += 1;
    }
    // SAFETY: the first `count` heads point to distinct rooms of `arena`, to `addrs` and to `parts`, all of which are
    // alive and exclusively ours until the call returns; a null time-out is allowed.
    let filled = unsafe {
        libc::recvmmsg(
            fd.as_raw_fd(),
            heads.as_mut_ptr(),
            count,
            libc::MSG_DONTWAIT as _,
            ptr::null_mut(),
        )
    };
    let filled = usize::try_from(filled).map_err(|_| io::Error::last_os_error())?;
    out.extend(
        heads
            .iter()
            .zip(&addrs)
            .take(filled)
            .map(|(head, addr)| (addr.decode(), (head.msg_len as usize).min(DATAGRAM_MAX))),
    );
    Ok(filled)
}

/// Sends up to [`BATCH`] datagrams without waiting and says how many went. An error speaks of the first datagram.
pub fn send_many<'a>(
    fd: BorrowedFd<'_>,
    datagrams: impl Iterator<Item = (SocketAddr, &'a [u8])>,
) -> io::Result<usize> {
    let mut addrs = [RAW_ADDR_ZERO; BATCH];
    // SAFETY: null pointers and zero lengths are valid values of both structures.
    let (mut parts, mut heads): ([libc::iovec; BATCH], [libc::mmsghdr; BATCH]) =
        unsafe { (mem::zeroed(), mem::zeroed()) };
    let mut count = 0;
    for ((((to, bytes), addr), part), head) in
        datagrams.zip(&mut addrs).zip(&mut parts).zip(&mut heads)
    {
        let (raw, len) = RawAddr::new(to);
        *addr = raw;
        part.iov_base = bytes.as_ptr().cast_mut().cast(); // The kernel only reads what is sent.
        part.iov_len = bytes.len();
        head.msg_hdr.msg_name = ptr::from_mut(addr).cast();
        head.msg_hdr.msg_namelen = len;
        head.msg_hdr.msg_iov = part;
        head.msg_hdr.msg_iovlen = 1;
        count += 1;
    }
    // SAFETY: the first `count` heads point to `addrs`, `parts` and the borrowed payloads, alive until the call returns.
    let sent = unsafe {
        libc::sendmmsg(
            fd.as_raw_fd(),
            heads.as_mut_ptr(),
            count,
            (libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) as _,
        )
    };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

fn owned(fd: libc::c_int) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn done(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A new counter to wake an epoll with.
pub fn eventfd() -> io::Result<OwnedFd> {
    // SAFETY: takes no pointer.
    owned(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })
}

/// Adds one to the counter. A full counter is as awake as can be, so the result does not matter.
pub fn eventfd_add(fd: BorrowedFd<'_>) {
    let one = 1u64.to_ne_bytes();
    // SAFETY: eight octets of a live array.
    unsafe { libc::write(fd.as_raw_fd(), one.as_ptr().cast(), one.len()) };
}

/// Sets the counter to zero.
pub fn eventfd_clear(fd: BorrowedFd<'_>) {
    let mut count = [0u8; 8];
    // SAFETY: eight octets of a live array, exclusively ours.
    unsafe { libc::read(fd.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
}

/// A new epoll instance.
pub fn epoll() -> io::Result<OwnedFd> {
    // SAFETY: takes no pointer.
    owned(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })
}

/// Adds a descriptor (`fresh`) or changes what is waited for on it.
pub fn epoll_set(
    epoll: BorrowedFd<'_>,
    fd: BorrowedFd<'_>,
    fresh: bool,
    token: u64,
    writable: bool,
) -> io::Result<()> {
    let wanted = libc::EPOLLIN | if writable { libc::EPOLLOUT } else { 0 };
    let mut event = libc::epoll_event { events: wanted as u32, u64: token };
    let operation = if fresh { libc::EPOLL_CTL_ADD } else { libc::EPOLL_CTL_MOD };
    // SAFETY: `event` lives until the call returns; both descriptors are borrowed, hence open.
    done(unsafe { libc::epoll_ctl(epoll.as_raw_fd(), operation, fd.as_raw_fd(), &raw mut event) })
}

/// Waits for events, at most `timeout` (`None`: for ever), and calls `each(token, readable, writable)`.
pub fn epoll_wait(
    epoll: BorrowedFd<'_>,
    timeout: Option<Duration>,
    mut each: impl FnMut(u64, bool, bool),
) -> io::Result<usize> {
    let mut events = [libc::epoll_event { events: 0, u64: 0 }; BATCH];
    let room = BATCH as libc::c_int;
    let span = timeout.map(|span| libc::timespec {
        tv_sec: libc::time_t::try_from(span.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: libc::c_long::from(span.subsec_nanos() as i32),
    });
    let span_ptr = span.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: `events` has `room` elements and `span` lives until the call returns; the signal mask may be null.
    let mut count = unsafe {
        libc::syscall(
            libc::SYS_epoll_pwait2,
            epoll.as_raw_fd(),
            events.as_mut_ptr(),
            room,
            span_ptr,
            ptr::null::<libc::sigset_t>(),
            0usize,
        )
    };
    if count < 0 && io::Error::last_os_error().raw_os_error() == Some(libc::ENOSYS) {
        // Before Linux 5.11: whole milliseconds, rounded up, because an early return would spin.
        let millis = timeout
            .map_or(-1, |span| i32::try_from(span.as_micros().div_ceil(1_000)).unwrap_or(i32::MAX));
        // SAFETY: as above.
        count = i64::from(unsafe {
            libc::epoll_wait(epoll.as_raw_fd(), events.as_mut_ptr(), room, millis)
        }) as libc::c_long;
    }
    let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
    let broken = (libc::EPOLLERR | libc::EPOLLHUP) as u32; // Reading fetches and clears the error.
    for event in events.iter().take(count) {
        let (set, token) = (event.events, event.u64);
        let readable = set & (libc::EPOLLIN as u32 | broken) != 0;
        each(token, readable, set & libc::EPOLLOUT as u32 != 0);
    }
    Ok(count)
}

/// The cores that this thread may run on, in ascending order.
pub fn available_cores() -> Vec<usize> {
    // SAFETY: an empty set is all zero.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: `set` is exclusively ours and its true size is given.
    let result =
        unsafe { libc::sched_getaffinity(0, mem::size_of::<libc::cpu_set_t>(), &raw mut set) };
    if result < 0 {
        return Vec::new();
    }
    // SAFETY: every index is below CPU_SETSIZE.
    (0..libc::CPU_SETSIZE as usize).filter(|core| unsafe { libc::CPU_ISSET(*core, &set) }).collect()
}

/// Binds this thread, and what it starts from now on, to these cores.
pub fn pin_thread(cores: &[usize]) -> io::Result<()> {
    // SAFETY: an empty set is all zero.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    for core in cores.iter().filter(|core| **core < libc::CPU_SETSIZE as usize) {
        // SAFETY: the index is below CPU_SETSIZE.
        unsafe { libc::CPU_SET(*core, &mut set) };
    }
    // SAFETY: `set` lives until the call returns and its true size is given.
    done(unsafe { libc::sched_setaffinity(0, mem::size_of::<libc::cpu_set_t>(), &raw const set) })
}

/// Processor time that this thread has used.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// In our own code.
    pub user: Duration,
    /// In the kernel on our behalf.
    pub system: Duration,
}

/// What this thread has used so far.
pub fn thread_usage() -> Usage {
    // SAFETY: all zero is a valid value; the kernel fills it.
    let mut raw: libc::rusage = unsafe { mem::zeroed() };
    // SAFETY: `raw` is exclusively ours.
    if unsafe { libc::getrusage(libc::RUSAGE_THREAD, &raw mut raw) } < 0 {
        return Usage::default();
    }
    let span = |time: libc::timeval| {
        Duration::from_secs(time.tv_sec.unsigned_abs())
            + Duration::from_micros(time.tv_usec.unsigned_abs())
    };
    Usage { user: span(raw.ru_utime), system: span(raw.ru_stime) }
}
