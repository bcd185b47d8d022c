//! Workers beside the shards: so many threads, so long a queue.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

/// What a worker does.
pub type Job = Box<dyn FnOnce() + Send>;

/// See the head of this file. Dropping it waits for what is queued.
pub struct Pool {
    jobs: Option<SyncSender<Job>>,
    workers: Vec<JoinHandle<()>>,
}

impl Pool {
    /// Errors: the system gives no threads.
    pub fn start(name: &str, threads: usize, queue_max: usize) -> std::io::Result<Self> {
        let (jobs, queue) = sync_channel(queue_max);
        let queue = Arc::new(Mutex::new(queue));
        let workers = (0..threads.max(1))
            .map(|_| {
                let queue = Arc::clone(&queue);
                thread::Builder::new().name(name.to_owned()).spawn(move || work(&queue))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { jobs: Some(jobs), workers })
    }

    /// Gives the job back when the queue is full.
    pub fn queue(&self, job: Job) -> Result<(), Job> {
        use std::sync::mpsc::TrySendError::{Disconnected, Full};
        let Some(jobs) = &self.jobs else { return Err(job) };
        jobs.try_send(job).map_err(|refused| match refused {
            Full(job) | Disconnected(job) => job,
        })
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.jobs = None;
        for worker in self.workers.drain(..) {
            // The last reference may be dropped by a worker itself.
            if worker.thread().id() != thread::current().id() {
                drop(worker.join());
            }
        }
    }
}

fn work(queue: &Mutex<Receiver<Job>>) {
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        if catch_unwind(AssertUnwindSafe(job)).is_err() {
            tracing::error!("sound_worker_panicked");
        }
    }
}
