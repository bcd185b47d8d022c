//! One connection: a reader and a writer in one task; when either ends, the connection does.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sip::stream::{Broken, Frame, Framer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use types::Flow;

use super::{Shared, StreamEvent};

/// Octets per read.
const READ_ROOM: usize = 16 << 10;
/// Messages per write.
const WRITE_BATCH: usize = 64;
/// First and last pause before an event that found no room is offered again.
const PRESSURE_PAUSE_MIN: Duration = Duration::from_millis(1);
const PRESSURE_PAUSE_MAX: Duration = Duration::from_millis(50);
/// The answer to a ping. Spec: RFC 5626 §3.5.1.
const PONG: &[u8] = b"\r\n";

/// The connection's side of what the registry holds.
pub(super) struct Ends {
    pub queue: mpsc::Receiver<Vec<u8>>,
    pub queued: Arc<AtomicUsize>,
    pub kill: Arc<Notify>,
    pub dialled: bool,
}

/// Serves a connection from Opened to Closed.
pub(super) async fn run<R, W>(shared: &Shared, flow: Flow, halves: (R, W), ends: Ends)
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    give(shared, StreamEvent::Opened { flow }).await;
    let (reader, writer) = halves;
    let Ends { queue, queued, kill, dialled } = ends;
    tokio::select! {
        () = read(shared, flow, reader, dialled) => (),
        () = write(shared, writer, queue, &queued) => (),
        () = kill.notified() => (),
    }
    finish(shared, flow).await;
}

/// Takes the connection off the books, then says so.
pub(super) async fn finish(shared: &Shared, flow: Flow) {
    shared.registry().close(flow.connection);
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

/// Returns when the peer closed, broke a limit or spoke nonsense.
async fn read(shared: &Shared, flow: Flow, mut reader: impl AsyncRead + Unpin, dialled: bool) {
    let limits = &shared.limits;
    let mut framer = Framer::new();
    let mut room = vec![0; READ_ROOM];
    // Whom we dialled need not speak first.
    let mut spoken = dialled;
    let mut quiet_since = Instant::now();
    let mut begun: Option<Instant> = None;
    loop {
        let calm = quiet_since + if spoken { limits.idle_max } else { limits.first_message_max };
        let deadline = begun.map_or(calm, |begun| calm.min(begun + limits.message_max));
        let Ok(Ok(count @ 1..)) = timeout_at(deadline, reader.read(&mut room)).await else {
            return;
        };
        framer.push(&room[..count]);
        for frame in framer.by_ref() {
            begun = None;
            match frame {
                Ok(Frame::Message(bytes)) => {
                    if !spoken {
                        spoken = true;
                        shared.registry().spoke(flow.connection);
                    }
                    give(shared, StreamEvent::Message { flow, bytes }).await;
                }
                Ok(Frame::Ping) => {
                    if shared.send(flow.connection, PONG.to_vec()).is_err() {
                        return;
                    }
                }
                Ok(Frame::Pong) => (),
                Err(Broken { error, head }) => {
                    give(shared, StreamEvent::Bad { flow, bytes: head, why: error }).await;
                    return sleep(limits.bad_linger).await;
                }
            }
        }
        let now = Instant::now();
        if spoken {
            quiet_since = now;
        }
        begun = framer.is_within_message().then(|| begun.unwrap_or(now));
    }
}

/// Returns when the connection was taken off the books and its queue is written, or the peer takes no more.
async fn write(
    shared: &Shared,
    mut writer: impl AsyncWrite + Unpin,
    mut queue: mpsc::Receiver<Vec<u8>>,
    queued: &AtomicUsize,
) {
    let (mut messages, mut joined) = (Vec::new(), Vec::new());
    while queue.recv_many(&mut messages, WRITE_BATCH).await > 0 {
        messages.drain(..).for_each(|message| joined.extend_from_slice(&message));
        let written = timeout(shared.limits.write_max, writer.write_all(&joined)).await;
        if !matches!(written, Ok(Ok(()))) {
            return;
        }
        queued.fetch_sub(joined.len(), Ordering::Relaxed);
        joined.clear();
    }
    // The peer hears the end in order; if it does not listen any more, nothing is lost.
    let _ = timeout(shared.limits.write_max, writer.shutdown()).await;
}
