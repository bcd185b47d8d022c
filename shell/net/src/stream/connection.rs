//! One connection: a reader and a writer in one task; when either ends, the connection does.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sip::{Framing, Message};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use types::{Flow, Transport};

use super::wire::{Got, Wire};
use super::{Shared, StreamEvent};

/// The port of SIP by TLS, where a Via names none.
const TLS_PORT: u16 = 5061;
/// Octets per read.
const READ_ROOM: usize = 16 << 10;
/// Messages per write.
const WRITE_BATCH: usize = 64;
/// First and last pause before an event that found no room is offered again.
const PRESSURE_PAUSE_MIN: Duration = Duration::from_millis(1);
const PRESSURE_PAUSE_MAX: Duration = Duration::from_millis(50);

/// One thing to be written.
pub(super) enum Item {
    /// A SIP message; who hears that it was not written.
    Message(Vec<u8>),
    /// Octets of the wire itself: a keep-alive, the answer to an upgrade.
    Octets(Vec<u8>),
}

impl Item {
    pub fn len(&self) -> usize {
        match self {
            Self::Message(bytes) | Self::Octets(bytes) => bytes.len(),
        }
    }
}

/// The connection's side of what the registry holds.
pub(super) struct Ends {
    pub queue: mpsc::Receiver<Item>,
    pub queued: Arc<AtomicUsize>,
    pub kill: Arc<Notify>,
    pub dialled: bool,
    /// A caller by TLS who proved who he is: he may want what goes to him by this connection.
    pub proved: bool,
}

/// Serves a connection from Opened to Closed.
pub(super) async fn run<R, W>(
    shared: &Shared,
    flow: Flow,
    halves: (R, W),
    wire: Wire,
    mut ends: Ends,
) where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    give(shared, StreamEvent::Opened { flow }).await;
    let (reader, writer) = halves;
    let mut batch = Vec::new();
    let Ends { queue, queued, kill, dialled, proved } = &mut ends;
    tokio::select! {
        () = read(shared, flow, reader, wire, (*dialled, *proved)) => (),
        () = write(shared, flow, writer, queue, queued, &mut batch) => (),
        () = kill.notified() => shared.refuse(flow, "pushed out, or did not read"),
    }
    finish(shared, flow, ends, batch).await;
}

/// Takes the connection off the books, then says what it did not carry, and that it is gone.
pub(super) async fn finish(shared: &Shared, flow: Flow, mut ends: Ends, batch: Vec<Item>) {
    shared.registry().close(flow.connection);
    let told = if ends.dialled { Flow { connection: 0, ..flow } } else { flow };
    let mut left = batch;
    ends.queue.close();
    while let Ok(item) = ends.queue.try_recv() {
        left.push(item);
    }
    for item in left {
        if let Item::Message(bytes) = item {
            give(shared, StreamEvent::Undelivered { flow: told, bytes }).await;
        }
    }
    give(shared, StreamEvent::Closed { flow }).await;
}

async fn give(shared: &Shared, mut event: StreamEvent) {
    let mut pause = PRESSURE_PAUSE_MIN;
    while let Err(back) = (shared.deliver)(event) {
        event = back;
        sleep(pause).await;
        pause = (pause * 2).min(PRESSURE_PAUSE_MAX);
    }
}

/// Keep-alives of one peer: who sends them without end is not kept alive.
struct Pings {
    since: Instant,
    count: u32,
}

impl Pings {
    fn too_many(&mut self, shared: &Shared) -> bool {
        let now = Instant::now();
        if now - self.since > shared.limits.pings_span {
            *self = Self { since: now, count: 0 };
        }
        self.count += 1;
        self.count > shared.limits.pings_max
    }
}

/// Returns when the peer closed, broke a limit or spoke nonsense.
async fn read(
    shared: &Shared,
    flow: Flow,
    mut reader: impl AsyncRead + Unpin,
    mut wire: Wire,
    (dialled, proved): (bool, bool),
) {
    let limits = &shared.limits;
    let mut room = vec![0; READ_ROOM];
    // Whom we dialled need not speak first.
    let mut spoken = dialled;
    let mut quiet_since = Instant::now();
    let mut begun: Option<Instant> = None;
    let mut pings = Pings { since: quiet_since, count: 0 };
    loop {
        let calm = quiet_since + if spoken { limits.idle_max } else { limits.first_message_max };
        let deadline = begun.map_or(calm, |begun| calm.min(begun + limits.message_max));
        let count = match timeout_at(deadline, reader.read(&mut room)).await {
            Ok(Ok(count @ 1..)) => count,
            Ok(_) => return,
            Err(_) => return shared.refuse(flow, "too slow"),
        };
        wire.push(&room[..count]);
        while let Some(got) = wire.next() {
            begun = None;
            match got {
                Got::Message(bytes) => {
                    if !spoken {
                        spoken = true;
                        shared.registry().spoke(flow.connection);
                    }
                    if proved && let Some(port) = alias_port(&bytes) {
                        shared.registry().alias(flow.connection, port);
                    }
                    give(shared, StreamEvent::Message { flow, bytes }).await;
                }
                Got::Ping if pings.too_many(shared) => {
                    shared.refuse(flow, "too many keep-alives");
                    return last(shared, flow, wire.farewell()).await;
                }
                Got::Ping => (),
                Got::Reply(octets) => {
                    if shared.queue(flow.connection, Item::Octets(octets)).is_err() {
                        return;
                    }
                }
                Got::Bad(bytes, why) => {
                    give(shared, StreamEvent::Bad { flow, bytes, why }).await;
                    return sleep(limits.bad_linger).await;
                }
                Got::Last(octets, why) => {
                    if let Some(why) = why {
                        shared.refuse(flow, why);
                    }
                    return last(shared, flow, Some(octets)).await;
                }
            }
        }
        let now = Instant::now();
        if spoken {
            quiet_since = now;
        }
        begun = wire.is_within_message().then(|| begun.unwrap_or(now));
    }
}

/// The port of a request's sender that its connection stands for, when he says so.
///
/// Spec: RFC 5923 §8.2
fn alias_port(bytes: &[u8]) -> Option<u16> {
    let message = Message::decode(bytes, Framing::Stream).ok().filter(Message::is_request)?;
    let via = message.via().ok().filter(|via| via.params.has("alias"))?;
    Some(via.port.unwrap_or(TLS_PORT)).filter(|port| *port != 0)
}

/// Takes the connection off the books: its writer ends it once this and what waits is out, or the peer does.
async fn last(shared: &Shared, flow: Flow, octets: Option<Vec<u8>>) {
    if let Some(octets) = octets {
        let _ = shared.queue(flow.connection, Item::Octets(octets));
    }
    shared.registry().close(flow.connection);
    sleep(shared.limits.bad_linger).await;
}

/// Returns when the connection was taken off the books and its queue is written, or the peer takes no more; what was not
/// written stays in `batch`.
async fn write(
    shared: &Shared,
    flow: Flow,
    mut writer: impl AsyncWrite + Unpin,
    queue: &mut mpsc::Receiver<Item>,
    queued: &AtomicUsize,
    batch: &mut Vec<Item>,
) {
    let is_web = matches!(flow.transport, Transport::Ws | Transport::Wss);
    let mut joined = Vec::new();
    while queue.recv_many(batch, WRITE_BATCH).await > 0 {
        for item in batch.iter() {
            match item {
                Item::Message(bytes) => Wire::wrap(is_web, bytes, &mut joined),
                Item::Octets(octets) => joined.extend_from_slice(octets),
            }
        }
        let writing = async {
            writer.write_all(&joined).await?;
            writer.flush().await
        };
        if !matches!(timeout(shared.limits.write_max, writing).await, Ok(Ok(()))) {
            return;
        }
        queued.fetch_sub(batch.drain(..).map(|item| item.len()).sum(), Ordering::Relaxed);
        joined.clear();
    }
    // The peer hears the end in order; if it does not listen any more, nothing is lost.
    let _ = timeout(shared.limits.write_max, writer.shutdown()).await;
}
