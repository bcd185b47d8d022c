//! What somebody says, in order, and the wait for a certain thing in it.

use std::fmt::Debug;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Entries that a thread adds and a test waits for.
pub struct Log<T> {
    entries: Mutex<Vec<T>>,
    grew: Condvar,
    /// Threads that may still add something.
    writers: AtomicUsize,
}

impl<T> Default for Log<T> {
    fn default() -> Self {
        Self { entries: Mutex::default(), grew: Condvar::new(), writers: AtomicUsize::new(0) }
    }
}

impl<T: Debug> Log<T> {
    /// One more thread will add entries.
    pub fn begin(&self) {
        self.writers.fetch_add(1, Ordering::AcqRel);
    }

    /// That thread adds no more.
    pub fn end(&self) {
        let entries = self.entries(); // So that nobody who has just looked misses it.
        self.writers.fetch_sub(1, Ordering::AcqRel);
        drop(entries);
        self.grew.notify_all();
    }

    /// Waits until nobody adds any more, at most for so long.
    pub fn settle(&self, limit: Duration) {
        let entries = self.entries();
        let busy = |_: &mut Vec<T>| self.writers.load(Ordering::Acquire) > 0;
        drop(self.grew.wait_timeout_while(entries, limit, busy));
    }

    pub fn push(&self, entry: T) {
        self.entries().push(entry);
        self.grew.notify_all();
    }

    pub fn entries(&self) -> MutexGuard<'_, Vec<T>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What `wanted` takes from the first entry that it wants; `next` is moved behind that. `ended` says why no more
    /// can come.
    #[track_caller]
    pub fn find<R>(
        &self,
        limit: Duration,
        what: &str,
        next: &mut usize,
        wanted: impl Fn(&T) -> Option<R>,
        mut ended: impl FnMut() -> Option<String>,
    ) -> R {
        /// An end without a last word is noticed this late at most.
        const PAUSE: Duration = Duration::from_millis(100);
        let began = Instant::now();
        let first = *next;
        // Asked before looking, so that what came before the end is still seen.
        let mut over = None;
        loop {
            let entries = self.entries();
            while let Some(entry) = entries.get(*next) {
                *next += 1;
                if let Some(found) = wanted(entry) {
                    return found;
                }
            }
            let heard = || entries.iter().skip(first).collect::<Vec<_>>();
            if let Some(why) = over {
                panic!("{why} before: {what}; heard {:?}", heard());
            }
            assert!(began.elapsed() < limit, "not within {limit:?}: {what}; heard {:?}", heard());
            drop(self.grew.wait_timeout(entries, PAUSE));
            over = ended();
        }
    }
}
