//! Waiting of a shard thread: on its datagram sockets, its waker and its next deadline, at once.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use crate::sys;
use crate::wake::Waker;

/// The token under which the waker is watched.
const WAKER: u64 = u64::MAX;

/// Why [`Poll::wait`] returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// The socket added under this token has datagrams, or an error to fetch.
    Readable(u32),
    /// Somebody rang the waker.
    Woken,
    /// The socket added under this token takes datagrams again. Only while asked for by [`Poll::want_write`].
    Writable(u32),
}

/// One thread's set of things to wait for.
#[derive(Debug)]
pub struct Poll {
    epoll: OwnedFd,
    waker: Waker,
}

impl Poll {
    /// A set with nothing but the waker in it. Errors: no descriptor left.
    pub fn new(waker: &Waker) -> io::Result<Self> {
        let epoll = sys::epoll()?;
        sys::epoll_set(epoll.as_fd(), waker.fd(), true, WAKER, false)?;
        Ok(Self { epoll, waker: waker.clone() })
    }

    /// Watches a socket for datagrams. The set does not own it: closing the socket takes it out.
    pub fn add(&self, socket: &impl AsFd, token: u32) -> io::Result<()> {
        self.set(socket.as_fd(), true, token, false)
    }

    /// Asks, or stops asking, to hear when the socket takes datagrams again: while its [`Outbox`](crate::udp::Outbox)
    /// holds some that the kernel did not take.
    pub fn want_write(&self, socket: &impl AsFd, token: u32, wanted: bool) -> io::Result<()> {
        self.set(socket.as_fd(), false, token, wanted)
    }

    fn set(&self, fd: BorrowedFd<'_>, fresh: bool, token: u32, writable: bool) -> io::Result<()> {
        sys::epoll_set(self.epoll.as_fd(), fd, fresh, u64::from(token), writable)
    }

    /// Waits until something is ready or `timeout` is over (`None`: for ever) and replaces what `ready` held. An
    /// interrupting signal looks like an early time-out.
    pub fn wait(&self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()> {
        ready.clear();
        let waited = sys::epoll_wait(self.epoll.as_fd(), timeout, |token, readable, writable| {
            let Ok(socket) = u32::try_from(token) else {
                return ready.push(Ready::Woken);
            };
            if readable {
                ready.push(Ready::Readable(socket));
            }
            if writable {
                ready.push(Ready::Writable(socket));
            }
        });
        match waited {
            Err(fault) if fault.kind() != io::ErrorKind::Interrupted => return Err(fault),
            Ok(_) | Err(_) => (),
        }
        if ready.contains(&Ready::Woken) {
            self.waker.clear();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::udp::{Batch, Outbox, Udp};

    #[test]
    fn many_wakes_are_one_and_none_is_lost() {
        let waker = Waker::new().unwrap();
        let poll = Poll::new(&waker).unwrap();
        let mut ready = Vec::new();
        for _ in 0..3 {
            (0..5).for_each(|_| waker.wake());
            poll.wait(None, &mut ready).unwrap();
            assert_eq!(ready, [Ready::Woken]);
            poll.wait(Some(Duration::ZERO), &mut ready).unwrap();
            assert_eq!(ready, []);
        }
        let remote = waker.clone();
        let other = std::thread::spawn(move || remote.wake());
        poll.wait(None, &mut ready).unwrap();
        assert_eq!(ready, [Ready::Woken]);
        other.join().unwrap();
    }

    #[test]
    fn a_time_out_of_microseconds_returns() {
        let poll = Poll::new(&Waker::new().unwrap()).unwrap();
        let mut ready = vec![Ready::Woken];
        let begun = std::time::Instant::now();
        poll.wait(Some(Duration::from_micros(300)), &mut ready).unwrap();
        assert_eq!(ready, []);
        assert!(begun.elapsed() >= Duration::from_micros(300));
    }

    #[test]
    fn a_datagram_makes_its_socket_readable() {
        let loopback = "127.0.0.1:0".parse().unwrap();
        let (mut left, mut right) =
            (Udp::bind(loopback, false).unwrap(), Udp::bind(loopback, false).unwrap());
        let poll = Poll::new(&Waker::new().unwrap()).unwrap();
        poll.add(&right, 7).unwrap();
        let mut ready = Vec::new();
        poll.wait(Some(Duration::ZERO), &mut ready).unwrap();
        assert_eq!(ready, []);
        let mut outbox = Outbox::new();
        outbox.push(right.local(), b"ping");
        left.flush(&mut outbox);
        poll.wait(None, &mut ready).unwrap();
        assert_eq!(ready, [Ready::Readable(7)]);
        assert_eq!(right.recv_batch(&mut Batch::new()).unwrap(), 1);
        poll.want_write(&right, 7, true).unwrap();
        poll.wait(None, &mut ready).unwrap();
        assert_eq!(ready, [Ready::Writable(7)]);
    }
}
