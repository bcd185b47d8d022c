//! Pump threads: the sockets and the clock around the media engine.
//!
//! Picture     switchboard --Command--> queue + eventfd --> pump thread --Event--> callback
//!             pump thread: { epoll, sockets, Engine }
//!             one more socket for all browsers, whose packets the engine opens and seals; those who cannot send datagrams come there by TCP
//!             pairs of sockets that many phones share
//!             datagrams: recvmmsg -> Engine::packet -> sendmmsg, on the same thread
//!             AMR by libraries of the system, where they are
//!             clips that are lent, taps: sink(frame) on the pump's thread, or a bounded queue to another
//! Rules       A pump never waits for a shard, nor for whoever taps it. Commands are obeyed in the order they were sent;
//!             each turn takes some commands and then packets, so neither starves the other.
//!             What mixes send is due on a grid of 20 ms that never drifts; the wait for packets is the timer.
//!             Sockets outlive their bridge: a port that comes again costs no bind.
//! Limits      [`COMMANDS_MAX`] waiting (beyond: `send` says no), [`COMMANDS_PER_TURN`],
//!             [`IDLE_MAX`] sockets without a stream (beyond: the longest idle is closed),
//!             [`DATAGRAM_MAX`] (longer: dropped), [`BATCH`] per call. From [`GATHER_FROM`] packets a second on a pump
//!             lets them gather for [`GATHER`] between two looks.
//! Not here    Which packet passes (media), which port a stream gets (media::Ports, on the shard).
//! Spec        RFC 4594 §4.1 (Expedited Forwarding for telephony).
#![deny(missing_docs, unsafe_code)]

mod amr;
mod pump;
mod sockets;
mod streams;
mod sys;

use std::net::{IpAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use thiserror::Error;

use media::{Clip, ClipId, Coders, Command, Event, FeedId, Identity, Sink, Taken, TapId};

pub use amr::Amr;
pub use pump::{GATHER, GATHER_FROM};
pub use sockets::{DOOR_BUFFER, Door, IDLE_MAX, RECEIVE_BUFFER};
pub use streams::{ADDRESS_CONNECTIONS_MAX, CONNECTIONS_MAX, SILENCE_MAX, WAITING_MAX};
pub use sys::{BATCH, DATAGRAM_MAX};

/// Commands that may wait for a pump.
pub const COMMANDS_MAX: usize = 65_536;

/// Commands that a pump obeys before it looks at packets again.
pub const COMMANDS_PER_TURN: usize = 256;

/// Why a pump could not start: our environment gave out.
#[derive(Debug, Error)]
pub enum Fault {
    /// The kernel gave no epoll or eventfd descriptor.
    #[error("cannot open what a pump waits on")]
    Poll(#[source] std::io::Error),
    /// The kernel gave no thread.
    #[error("cannot start a pump thread")]
    Thread(#[source] std::io::Error),
}

/// What other threads want of a pump.
pub(crate) enum Order {
    Clear(FeedId),
    Command(Command),
    Feed(FeedId, Vec<i16>),
    Forget(ClipId),
    Lend(ClipId, Clip),
    Mark(FeedId, u64),
    Sink(TapId, Sink),
}

/// Frames of a tap that wait for another thread: `count` at most. Those beyond are lost and counted with `lost`, and
/// silence takes their place for whoever goes by [`Taken::at`]. The end of the tap closes the receiver.
pub fn waiting(count: usize, lost: impl Fn() + Send + 'static) -> (Sink, Receiver<Taken>) {
    let (frames, receiver) = sync_channel(count);
    let sink = move |heard: media::Heard<'_>| {
        if let Err(TrySendError::Full(_)) = frames.try_send(heard.taken()) {
            lost();
        }
    };
    (Box::new(sink), receiver)
}

/// Ports that are open for as long as a pump.
#[derive(Debug, Default)]
pub struct Doors {
    /// The port that all browsers come by, and who we are to them.
    pub browsers: Option<(Door, Identity)>,
    /// Where browsers come that cannot send datagrams: the same port, for TCP.
    pub streams: Option<TcpListener>,
    /// Ports that many phones share: an even one for RTP, the one above it for RTCP.
    pub shared: Vec<[Door; 2]>,
}

/// A running pump. Dropping it stops the thread and waits for its end.
#[derive(Debug)]
pub struct Pump {
    orders: SyncSender<Order>,
    doorbell: Arc<Doorbell>,
    strangers: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

/// How other threads wake a pump. One ring is enough however many commands wait.
#[derive(Debug)]
pub(crate) struct Doorbell {
    wake: sys::Wake,
    rung: AtomicBool,
    stop: AtomicBool,
}

impl Doorbell {
    fn ring(&self) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            self.wake.signal();
        }
    }

    /// Before the queue is looked at, so that a command behind the look rings again.
    fn answer(&self) {
        self.wake.clear();
        // A swap and not a store: whoever found the bell rung has queued before, and this sees it.
        self.rung.swap(false, Ordering::AcqRel);
    }
}

impl Pump {
    /// Starts a pump whose sockets are bound to `address`. At most `idle_max` of them, and never more than
    /// [`IDLE_MAX`], stay open without a stream. `doors`: ports that are open for as long as the pump. `coders`: what the system has beside what is built in. `events` runs on the
    /// pump's thread and must not wait.
    ///
    /// Errors: [`Fault`], when the kernel has no descriptor or thread left.
    pub fn start(
        address: IpAddr,
        idle_max: usize,
        doors: Doors,
        coders: Coders,
        events: impl Fn(Event) + Send + 'static,
    ) -> Result<Self, Fault> {
        let wake = sys::Wake::new().map_err(Fault::Poll)?;
        let (rung, stop) = (AtomicBool::new(false), AtomicBool::new(false));
        let doorbell = Arc::new(Doorbell { wake, rung, stop });
        let (orders, queue) = sync_channel(COMMANDS_MAX);
        let strangers = Arc::<AtomicU64>::default();
        let (bell, count) = (Arc::clone(&doorbell), Arc::clone(&strangers));
        let mut turn =
            pump::Turn::new(address, idle_max, queue, bell, count, events).map_err(Fault::Poll)?;
        turn.know(coders);
        if let Some(browsers) = doors.browsers {
            turn.serve_browsers(browsers, doors.streams).map_err(Fault::Poll)?;
        }
        turn.serve_many(doors.shared).map_err(Fault::Poll)?;
        let thread = std::thread::Builder::new()
            .name("pump".to_owned())
            .spawn(move || turn.run())
            .map_err(Fault::Thread)?;
        Ok(Self { orders, doorbell, strangers, thread: Some(thread) })
    }

    /// Hands over one command; whether it was taken. Never waits. A command is refused only when
    /// [`COMMANDS_MAX`] others wait, or when the pump has ended.
    pub fn send(&self, command: Command) -> bool {
        let taken = self.queue(command);
        self.wake();
        taken
    }

    /// The same without waking the pump: for who has more than one command and calls [`wake`](Self::wake) behind the
    /// last. A woken thread on a busy core costs more than its commands.
    pub fn queue(&self, command: Command) -> bool {
        self.put(Order::Command(command))
    }

    /// Lends a clip to whatever is played from now on. Whether it was taken, as with [`send`](Self::send).
    pub fn lend(&self, id: ClipId, clip: Clip) -> bool {
        self.order(Order::Lend(id, clip))
    }

    /// Samples for whoever hears [`media::Play::Feed`] of this name, at its rate. What has no room is lost.
    pub fn feed(&self, feed: FeedId, samples: Vec<i16>) -> bool {
        self.order(Order::Feed(feed, samples))
    }

    /// Forgets what waits of a feed; its marks are told.
    pub fn clear(&self, feed: FeedId) -> bool {
        self.order(Order::Clear(feed))
    }

    /// [`Event::Fed`] tells when all that was fed so far has been heard.
    pub fn mark(&self, feed: FeedId, mark: u64) -> bool {
        self.order(Order::Mark(feed, mark))
    }

    /// Takes a clip back.
    pub fn forget(&self, id: ClipId) -> bool {
        self.order(Order::Forget(id))
    }

    /// Gives what a tap hears to `sink`, on the pump's thread, from the command that begins the tap until it ends, in
    /// whichever order the two come. A sink that has no tap is kept until another one takes its name, or
    /// [`Command::Untap`] comes. See [`waiting`] for one that hands frames to another thread.
    pub fn tap(&self, tap: TapId, sink: Sink) -> bool {
        self.order(Order::Sink(tap, sink))
    }

    fn order(&self, order: Order) -> bool {
        let taken = self.put(order);
        self.wake();
        taken
    }

    fn put(&self, order: Order) -> bool {
        match self.orders.try_send(order) {
            Ok(()) => true,
            Err(TrySendError::Disconnected(_)) => false,
            Err(TrySendError::Full(_)) => {
                self.wake();
                false
            }
        }
    }

    /// Wakes the pump for what was queued.
    pub fn wake(&self) {
        self.doorbell.ring();
    }

    /// Datagrams on shared ports so far that were of no leg.
    pub fn strangers(&self) -> u64 {
        self.strangers.load(Ordering::Relaxed)
    }

    /// Ends the thread and waits until it has ended. Commands that still wait are not obeyed.
    pub fn stop(mut self) {
        self.join();
    }

    fn join(&mut self) {
        self.doorbell.stop.store(true, Ordering::Release);
        // Not through `ring`: that one may believe that somebody else has woken the thread.
        self.doorbell.wake.signal();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("pump_panicked");
        }
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.join();
    }
}
