//! Mail for a shard thread: bounded, many senders, one reader, one wake-up for a batch.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::wake::Waker;

/// A bounded queue to one shard thread. Clones are the same queue.
#[derive(Debug)]
pub struct Mailbox<T>(Arc<Slot<T>>);

#[derive(Debug)]
struct Slot<T> {
    queue: Mutex<Vec<T>>,
    capacity: usize,
    waker: Waker,
}

impl<T> Clone for Mailbox<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Mailbox<T> {
    /// An empty queue that rings `waker` when it gets something.
    pub fn new(capacity: usize, waker: Waker) -> Self {
        Self(Arc::new(Slot { queue: Mutex::new(Vec::new()), capacity, waker }))
    }

    /// Puts one in. Errors: the queue is full; the item comes back.
    pub fn send(&self, item: T) -> Result<(), T> {
        let mut queue = self.queue();
        if queue.len() >= self.0.capacity {
            return Err(item);
        }
        queue.push(item);
        drop(queue);
        self.0.waker.wake();
        Ok(())
    }

    /// Moves as many as fit from the front of `items` and rings once; what did not fit stays in `items`.
    pub fn send_batch(&self, items: &mut Vec<T>) -> usize {
        if items.is_empty() {
            return 0;
        }
        let mut queue = self.queue();
        let count = items.len().min(self.0.capacity.saturating_sub(queue.len()));
        queue.extend(items.drain(..count));
        drop(queue);
        if count > 0 {
            self.0.waker.wake();
        }
        count
    }

    /// Moves all mail, oldest first, to the end of `out`. Give the same `out`, emptied, each time: the two buffers then
    /// change places and nothing is allocated.
    pub fn drain(&self, out: &mut Vec<T>) {
        let mut queue = self.queue();
        if out.is_empty() {
            std::mem::swap(&mut *queue, out);
        } else {
            out.append(&mut queue);
        }
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.queue().len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A sender that panicked between two whole pushes left a whole queue: go on with it.
    fn queue(&self) -> MutexGuard<'_, Vec<T>> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::poll::Poll;

    #[test]
    fn full_gives_the_item_back_and_draining_makes_room() {
        let mailbox = Mailbox::new(3, Waker::new().unwrap());
        assert_eq!(mailbox.send(1), Ok(()));
        let mut batch = vec![2, 3, 4, 5];
        assert_eq!(mailbox.send_batch(&mut batch), 2);
        assert_eq!(batch, [4, 5]);
        assert_eq!(mailbox.send(6), Err(6));
        let mut out = vec![0];
        mailbox.drain(&mut out);
        assert_eq!(out, [0, 1, 2, 3]);
        assert!(mailbox.is_empty());
        assert_eq!(mailbox.send(7), Ok(()));
        assert_eq!(mailbox.len(), 1);
    }

    #[test]
    fn four_senders_lose_nothing() {
        const EACH: usize = 10_000;
        let waker = Waker::new().unwrap();
        let (poll, mailbox) = (Poll::new(&waker).unwrap(), Mailbox::new(256, waker));
        let senders: Vec<_> = (0..4)
            .map(|sender| {
                let mailbox = mailbox.clone();
                std::thread::spawn(move || {
                    for number in 0..EACH {
                        let mut item = (sender, number);
                        while let Err(back) = mailbox.send(item) {
                            item = back;
                            std::thread::yield_now();
                        }
                    }
                })
            })
            .collect();
        let (mut out, mut ready, mut next) = (Vec::new(), Vec::new(), [0; 4]);
        while next.iter().sum::<usize>() < 4 * EACH {
            poll.wait(None, &mut ready).unwrap();
            mailbox.drain(&mut out);
            for (sender, number) in out.drain(..) {
                assert_eq!(number, next[sender], "each sender's order holds");
                next[sender] += 1;
            }
        }
        senders.into_iter().for_each(|sender| sender.join().unwrap());
    }
}
