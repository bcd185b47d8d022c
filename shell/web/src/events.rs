//! The event log's stream: a ring of numbered lines, and readers that each keep their own place in it.
//!
//! Picture     event -> ring -> (place of a reader) -> a few chunks -> socket
//! Rules       Numbers only grow, over restarts too: they begin with the clock. A reader that comes back says the last
//!             number it saw and misses nothing that is kept; what is not is told once, by `events.gap`. A reader
//!             that is too slow is sent away and may come back.
//! Limits      EVENTS_KEPT, EVENTS_MEMORY, EVENT_MAX, STREAMS_MAX, CHUNK_MAX × CHUNKS_MAX per reader, SEND_WAIT_MAX
//! Spec        CloudEvents 1.0 (JSON format); HTML living standard, server-sent events

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use serde_json::{Value, json};
use switchboard::input::EventLine;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::timeout;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use types::UnixTime;

use crate::Limits;
use crate::refusal::Refusal;

/// Lines that are kept for readers that come back.
pub const EVENTS_KEPT: usize = 10_000;
/// Octets of kept lines; the oldest give way.
pub const EVENTS_MEMORY: usize = 32 * 1024 * 1024;
/// Octets of one line's data; longer data is left out.
pub const EVENT_MAX: usize = 64 * 1024;
/// Readers at once; then `web.busy`.
pub const STREAMS_MAX: usize = 256;
/// Octets that are handed to a connection at once, plus one line.
const CHUNK_MAX: usize = 16 * 1024;
/// Lines that are looked at for one chunk: none is shorter than a hundred octets.
const BATCH_MAX: usize = CHUNK_MAX / 100;
/// Chunks that wait for one connection.
const CHUNKS_MAX: usize = 4;
/// How long a reader may leave them waiting.
const SEND_WAIT_MAX: Duration = Duration::from_secs(10);

pub struct Events {
    ring: Arc<Ring>,
    streams: Arc<Semaphore>,
    streams_max: usize,
    heartbeat: Duration,
    stopped: watch::Receiver<Option<Duration>>,
}

struct Ring {
    source: String,
    lines: Mutex<Lines>,
    kept_max: usize,
    newest: watch::Sender<u64>,
}

struct Lines {
    /// By number; written out when they are read.
    kept: VecDeque<Arc<EventLine>>,
    octets: usize,
    next: u64,
}

impl Events {
    pub fn new(
        public: &str,
        limits: &Limits,
        now: UnixTime,
        stopped: watch::Receiver<Option<Duration>>,
    ) -> Self {
        // Room for a million events a second, and exact in a double.
        let next = now.as_seconds() * 1_000_000 + 1;
        let lines = Mutex::new(Lines { kept: VecDeque::new(), octets: 0, next });
        let source = if public.is_empty() { "/".into() } else { public.into() };
        let (kept_max, newest) = (limits.events_kept, watch::Sender::new(0));
        let ring = Ring { source, lines, kept_max, newest };
        Self {
            ring: Arc::new(ring),
            streams: Arc::new(Semaphore::new(limits.streams)),
            streams_max: limits.streams,
            heartbeat: limits.heartbeat,
            stopped,
        }
    }

    pub fn push(&self, line: EventLine) {
        self.ring.push(line);
    }

    /// Readers that are there now.
    pub fn open(&self) -> usize {
        self.streams_max - self.streams.available_permits()
    }

    /// A stream that begins behind the number `last`, or with the next event.
    pub fn stream(&self, last: Option<&str>) -> Result<Body, Refusal> {
        let permit = Arc::clone(&self.streams).try_acquire_owned().map_err(|_| Refusal::Busy)?;
        let (sender, receiver) = mpsc::channel(CHUNKS_MAX);
        let reader = Reader {
            ring: Arc::clone(&self.ring),
            sender,
            heartbeat: self.heartbeat,
            stopped: self.stopped.clone(),
            _permit: permit,
        };
        // What is no number was not ours: the reader has seen nothing.
        let last = last.map(|text| text.trim().parse().unwrap_or(0));
        tokio::spawn(reader.run(last));
        Ok(Body::from_stream(ReceiverStream::new(receiver).map(Ok::<_, Infallible>)))
    }
}

/// What a reader gets next.
struct Batch {
    /// The number of the last line in it.
    last: u64,
    octets: Vec<u8>,
    /// The oldest line that is kept, when lines before it were missed.
    missed: Option<u64>,
}

impl Ring {
    fn push(&self, line: EventLine) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let number = lines.next;
        lines.next += 1;
        lines.octets += size(&line);
        lines.kept.push_back(Arc::new(line));
        while lines.kept.len() > self.kept_max || lines.octets > EVENTS_MEMORY {
            let Some(oldest) = lines.kept.pop_front() else { break };
            lines.octets -= size(&oldest);
        }
        drop(lines);
        self.newest.send_replace(number);
    }

    /// The newest number so far.
    fn end(&self) -> u64 {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).next - 1
    }

    fn after(&self, last: u64) -> Batch {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = lines.next - lines.kept.len() as u64;
        // A number from the future was given by a clock that went back: nothing is known about it.
        let missed = (last + 1 < oldest || last >= lines.next).then_some(oldest);
        let mut batch = Batch {
            last: if missed.is_some() { oldest - 1 } else { last },
            octets: Vec::new(),
            missed,
        };
        let from = usize::try_from(batch.last + 1 - oldest).unwrap_or(usize::MAX);
        let next: Vec<_> = lines.kept.iter().skip(from).take(BATCH_MAX).cloned().collect();
        // Whoever adds a line shall not wait until these are written out.
        drop(lines);
        for line in next {
            if batch.octets.len() >= CHUNK_MAX {
                break;
            }
            batch.last += 1;
            write(&self.source, batch.last, &line, &mut batch.octets);
        }
        batch
    }
}

/// Octets that a kept line counts for.
fn size(line: &EventLine) -> usize {
    line.kind.len() + line.subject.len() + line.data.size() + size_of::<EventLine>()
}

/// One line as it is sent.
fn write(source: &str, number: u64, line: &EventLine, out: &mut Vec<u8>) {
    let kind: String = line.kind.chars().filter(|letter| !letter.is_control()).collect();
    let mut event = json!({
        "specversion": "1.0",
        "id": number.to_string(),
        "source": source,
        "type": kind,
        "time": line.time.to_string(),
    });
    if !line.subject.is_empty() {
        event["subject"] = line.subject.as_str().into();
    }
    let data = line.data.text();
    if data.len() <= EVENT_MAX {
        event["datacontenttype"] = "application/json".into();
        event["data"] = serde_json::from_str(&data).unwrap_or(Value::String(data.into_owned()));
    } else {
        event["datadropped"] = true.into();
    }
    out.extend_from_slice(format!("id: {number}\nevent: {kind}\ndata: {event}\n\n").as_bytes());
}

/// One connection's place in the ring.
struct Reader {
    ring: Arc<Ring>,
    sender: mpsc::Sender<Bytes>,
    heartbeat: Duration,
    stopped: watch::Receiver<Option<Duration>>,
    _permit: OwnedSemaphorePermit,
}

impl Reader {
    /// Sends until the far end goes, is too slow, or the edge stops.
    async fn run(mut self, resume: Option<u64>) {
        let mut newest = self.ring.newest.subscribe();
        let mut last = match resume {
            Some(last) => last.min(u64::MAX - 1),
            None => self.ring.end(),
        };
        if !self.send(Bytes::from_static(b": carillon events\nretry: 2000\n\n")).await {
            return;
        }
        let mut first = true;
        loop {
            newest.borrow_and_update();
            let batch = self.ring.after(last);
            if let Some(oldest) = batch.missed {
                // 0 asks for all that is kept, so that it misses nothing; in mid-stream it is a reader that fell behind.
                if !first || (last != 0 && !self.send(gap(last, oldest)).await) {
                    return;
                }
            }
            first = false;
            last = batch.last;
            if !batch.octets.is_empty() {
                if !self.send(batch.octets.into()).await {
                    return;
                }
                continue;
            }
            tokio::select! {
                changed = newest.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(self.heartbeat) => {
                    if !self.send(Bytes::from_static(b": still here\n\n")).await {
                        return;
                    }
                }
                () = self.sender.closed() => return,
                _ = self.stopped.changed() => return,
            }
        }
    }

    async fn send(&self, chunk: Bytes) -> bool {
        matches!(timeout(SEND_WAIT_MAX, self.sender.send(chunk)).await, Ok(Ok(())))
    }
}

/// It has no number: whoever comes back names a line that was kept.
fn gap(last: u64, oldest: u64) -> Bytes {
    let event = json!({
        "specversion": "1.0",
        "id": format!("gap-{last}-{oldest}"),
        "source": "/",
        "type": "events.gap",
        "datacontenttype": "application/json",
        "data": {"after": last.to_string(), "oldest": oldest.to_string()},
    });
    Bytes::from(format!("event: events.gap\ndata: {event}\n\n"))
}

#[cfg(test)]
mod tests {
    use switchboard::input::EventText;

    use super::*;

    fn events(kept: usize) -> (Events, watch::Sender<Option<Duration>>) {
        let (stop, stopped) = watch::channel(None);
        let limits = Limits { events_kept: kept, ..Limits::default() };
        (Events::new("", &limits, UnixTime::seconds(1), stopped), stop)
    }

    fn line(n: u64, data: &str) -> EventLine {
        EventLine {
            kind: "a\nb".into(),
            subject: n.to_string(),
            time: UnixTime(0),
            data: EventText::Text(data.into()),
        }
    }

    #[test]
    fn places_in_the_ring() {
        let (events, _stop) = events(3);
        let base = events.ring.end();
        assert_eq!(base, 1_000_000);
        assert_eq!(events.ring.after(base).missed, None);
        assert_eq!(events.ring.after(base - 1).missed, Some(base + 1), "an earlier run");
        assert_eq!(events.ring.after(base + 1).missed, Some(base + 1), "from the future");
        for n in 1..=5 {
            events.push(line(n, "{}"));
        }
        let batch = events.ring.after(base + 2);
        assert_eq!((batch.last, batch.missed), (base + 5, None));
        let batch = events.ring.after(base + 1);
        assert_eq!((batch.last, batch.missed), (base + 5, Some(base + 3)));
        assert_eq!(String::from_utf8(batch.octets).unwrap().matches("event: ab\n").count(), 3);
        assert!(events.ring.after(base + 5).octets.is_empty());
        events.ring.after(u64::MAX - 1);
    }

    #[test]
    fn long_data_is_left_out_and_memory_is_bounded() {
        let (events, _stop) = events(EVENTS_KEPT);
        events.push(line(1, &"x".repeat(EVENT_MAX + 1)));
        let text = |batch: Batch| String::from_utf8(batch.octets).unwrap();
        assert!(text(events.ring.after(1_000_000)).contains("datadropped"));
        for n in 0..600 {
            events.push(line(n, &"x\n".repeat(EVENT_MAX / 2)));
        }
        let lines = events.ring.lines.lock().unwrap();
        assert!(lines.octets <= EVENTS_MEMORY && lines.kept.len() > 100);
    }
}
