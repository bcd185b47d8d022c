//! Waking a shard thread that waits in [`Poll`](crate::poll::Poll).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::sys;

/// Wakes one thread from any other. Clones wake the same thread; many wakes before it looks are one.
#[derive(Clone, Debug)]
pub struct Waker(Arc<Bell>);

#[derive(Debug)]
struct Bell {
    fd: OwnedFd,
    rung: AtomicBool,
}

impl Waker {
    /// A bell of its own. Errors: no descriptor left.
    pub fn new() -> io::Result<Self> {
        Ok(Self(Arc::new(Bell { fd: sys::eventfd()?, rung: AtomicBool::new(false) })))
    }

    /// Wakes the thread. Put what it shall find where it looks *before* calling this.
    pub fn wake(&self) {
        if !self.0.rung.swap(true, Ordering::AcqRel) {
            sys::eventfd_add(self.0.fd.as_fd());
        }
    }

    /// Silences the bell. Called by the woken thread before it looks for work, so that a wake in between is either seen
    /// now (its work lies there already) or rings again.
    pub(crate) fn clear(&self) {
        sys::eventfd_clear(self.0.fd.as_fd());
        self.0.rung.swap(false, Ordering::AcqRel);
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.0.fd.as_fd()
    }
}
