//! What taps hear becomes files: threads beside the pumps, each with some of the recordings.
//!
//! Picture     pump --sink--> queue --> take --> file --end--> blobs --> answer
//!             shard --begin, pause, resume, finish-----^
//! Rules       The pump never waits: frames that find the queue full are lost, counted, and silence in the file. What a
//!             shard says is never lost, and comes in its order among the frames. A recording is answered once, when it
//!             is kept; its file is then on the disk. What the process could not end is mended when it is asked for.
//! Limits      [`FRAMES_MAX`] frames wait for each of [`THREADS`]; [`RECORDINGS_MAX`]; [`NAME_MAX`]; [`KEPT_FOR`],
//!             [`UNCLAIMED_FOR`].
//! Not here    Taps (media), one file (take), who may record (rooms).
//! Spec        none.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use std::{fs, io};

use media::{Heard, Sink, Taken, TapId};
use switchboard::{RecordEnd, RecordFormat, RecordedFact, Recording, SoundFault};

use crate::clips::Clips;
use crate::take::{Ended, Take, mend};

/// Threads that write recordings. One encodes Opus for about a hundred of them.
pub const THREADS: usize = 2;
/// Frames of 20 ms that may wait for one thread: two seconds of a hundred recordings with two channels.
pub const FRAMES_MAX: usize = 20_000;
/// Recordings that may go on at one time.
pub const RECORDINGS_MAX: usize = 2_000;
/// Letters of a recording's name.
pub const NAME_MAX: usize = 64;
/// How long it is known by its name what a recording became.
pub const KEPT_FOR: Duration = Duration::from_secs(7 * 86_400);
/// How long a recording waits that its process did not end: whoever began it has so long to ask for it by its name.
pub const UNCLAIMED_FOR: Duration = Duration::from_secs(30 * 86_400);
/// What is noted of a recording that is kept.
const KEPT: &str = "kept";
/// The folder of what goes on, beside the blobs.
const FOLDER: &str = "recordings";

/// Called once, at the end of a recording.
pub type Done = Box<dyn FnOnce(Result<RecordedFact, SoundFault>) + Send>;

enum Order {
    Begin(Recording, Done),
    Finish(TapId),
    Frame(TapId, Taken),
    Pause(TapId, bool),
    Recovered(String, Done),
    Resume(TapId),
    Stop,
}

/// What waits for one thread.
#[derive(Default)]
struct Queue {
    orders: Mutex<Orders>,
    wake: Condvar,
}

#[derive(Default)]
struct Orders {
    list: VecDeque<Order>,
    frames: usize,
}

impl Queue {
    /// A frame; `false`: there is no room.
    fn frame(&self, tap: TapId, frame: Taken) -> bool {
        let mut orders = lock(&self.orders);
        if orders.frames >= FRAMES_MAX {
            return false;
        }
        orders.frames += 1;
        orders.list.push_back(Order::Frame(tap, frame));
        self.wake.notify_one();
        true
    }

    fn order(&self, order: Order) {
        lock(&self.orders).list.push_back(order);
        self.wake.notify_one();
    }

    /// All that waits, when there is something.
    fn take(&self) -> VecDeque<Order> {
        let mut orders = lock(&self.orders);
        while orders.list.is_empty() {
            orders = self.wake.wait(orders).unwrap_or_else(PoisonError::into_inner);
        }
        orders.frames = 0;
        std::mem::take(&mut orders.list)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// See the head of this file. What goes on when it is dropped is left for [`recovered`](Self::recovered).
pub struct Recorder {
    queues: Vec<Arc<Queue>>,
    threads: Vec<JoinHandle<()>>,
    going: Arc<AtomicUsize>,
    lost: Arc<AtomicU64>,
    /// Where a node that keeps nothing writes.
    _temporary: Option<tempfile::TempDir>,
}

impl Recorder {
    /// Starts the threads. Errors: no threads, or the folder cannot be made.
    pub fn start(clips: &Clips) -> io::Result<Self> {
        let (folder, temporary) = match clips.blobs().folder() {
            Some(folder) => (folder.join(FOLDER), None),
            None => {
                let temporary = tempfile::tempdir()?;
                (temporary.path().to_owned(), Some(temporary))
            }
        };
        fs::create_dir_all(&folder)?;
        sweep(&folder)?;
        let queues: Vec<Arc<Queue>> = (0..THREADS).map(|_| Arc::default()).collect();
        let going = Arc::new(AtomicUsize::new(0));
        let threads = queues.iter().map(|queue| {
            let desk = Desk {
                clips: clips.clone(),
                folder: folder.clone(),
                takes: BTreeMap::new(),
                going: Arc::clone(&going),
            };
            let queue = Arc::clone(queue);
            let thread = thread::Builder::new().name("recorder".to_owned());
            thread.spawn(move || desk.run(&queue))
        });
        let threads = threads.collect::<Result<_, _>>()?;
        let lost = Arc::default();
        Ok(Self { queues, threads, going, lost, _temporary: temporary })
    }

    /// Begins a recording; [`sink`](Self::sink) says what it hears.
    pub fn begin(&self, recording: Recording, done: Done) {
        if !is_name(&recording.name) {
            return done(Err(SoundFault::Missing));
        }
        if self.going.fetch_add(1, Ordering::Relaxed) >= RECORDINGS_MAX {
            self.going.fetch_sub(1, Ordering::Relaxed);
            return done(Err(SoundFault::Busy));
        }
        let tap = recording.tap;
        self.order(tap, Order::Begin(recording, done));
    }

    /// What the pump hands the frames of a tap to. When the pump lets go of it, the recording ends.
    pub fn sink(&self, tap: TapId) -> Sink {
        let (mut last, lost) = (Last { queue: self.queue(tap), tap }, Arc::clone(&self.lost));
        Box::new(move |heard: Heard<'_>| {
            if !last.frame(heard.taken()) {
                lost.fetch_add(1, Ordering::Relaxed);
            }
        })
    }

    /// What comes from now on is left out; `silent`: silence stands in its place.
    pub fn pause(&self, tap: TapId, silent: bool) {
        self.order(tap, Order::Pause(tap, silent));
    }

    /// What was paused goes on.
    pub fn resume(&self, tap: TapId) {
        self.order(tap, Order::Resume(tap));
    }

    /// The end; harmless where there is no such recording.
    pub fn finish(&self, tap: TapId) {
        self.order(tap, Order::Finish(tap));
    }

    /// What became of a recording that an earlier process did not end.
    pub fn recovered(&self, name: &str, done: Done) {
        if !is_name(name) {
            return done(Err(SoundFault::Missing));
        }
        self.order(TapId(0), Order::Recovered(name.to_owned(), done));
    }

    /// Frames that were lost since the writers were behind.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Recordings that go on.
    pub fn going(&self) -> usize {
        self.going.load(Ordering::Relaxed)
    }

    fn queue(&self, tap: TapId) -> Option<Arc<Queue>> {
        let place = tap.0 as usize % self.queues.len().max(1);
        self.queues.get(place).cloned()
    }

    fn order(&self, tap: TapId, order: Order) {
        if let Some(queue) = self.queue(tap) {
            queue.order(order);
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.queues.iter().for_each(|queue| queue.order(Order::Stop));
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("recorder_thread_panicked");
            }
        }
    }
}

/// Tells the end of a tap when the pump lets go of its sink.
struct Last {
    queue: Option<Arc<Queue>>,
    tap: TapId,
}

impl Last {
    fn frame(&mut self, frame: Taken) -> bool {
        self.queue.as_ref().is_some_and(|queue| queue.frame(self.tap, frame))
    }
}

impl Drop for Last {
    fn drop(&mut self) {
        if let Some(queue) = &self.queue {
            queue.order(Order::Finish(self.tap));
        }
    }
}

/// A name that is a file's: nothing in it leads anywhere.
fn is_name(name: &str) -> bool {
    let plain = |letter: u8| letter.is_ascii_alphanumeric() || letter == b'_';
    (1..=NAME_MAX).contains(&name.len()) && name.bytes().all(plain)
}

const fn extension(format: RecordFormat) -> &'static str {
    match format {
        RecordFormat::OggOpus => "ogg",
        RecordFormat::Wav => "wav",
    }
}

/// What one thread has before it.
struct Desk {
    clips: Clips,
    folder: PathBuf,
    takes: BTreeMap<TapId, Going>,
    going: Arc<AtomicUsize>,
}

struct Going {
    take: Take,
    path: PathBuf,
    done: Done,
}

impl Desk {
    fn run(mut self, queue: &Queue) {
        loop {
            for order in queue.take() {
                match order {
                    Order::Begin(recording, done) => self.begin(recording, done),
                    Order::Finish(tap) => self.end(tap, RecordEnd::Asked),
                    Order::Frame(tap, frame) => self.frame(tap, &frame),
                    Order::Pause(tap, silent) => {
                        let going = self.takes.get_mut(&tap);
                        let over = going.and_then(|going| going.take.pause(silent));
                        self.over(tap, over);
                    }
                    Order::Recovered(name, done) => done(self.recovered(&name)),
                    Order::Resume(tap) => {
                        if let Some(going) = self.takes.get_mut(&tap) {
                            going.take.resume();
                        }
                    }
                    // Nobody is there to hear of them any more: they are mended when the next process is asked.
                    Order::Stop => return,
                }
            }
        }
    }

    fn begin(&mut self, recording: Recording, done: Done) {
        let tap = recording.tap;
        let file = format!("{}.{}", recording.name, extension(recording.format));
        let path = self.folder.join(file);
        // Its own number is enough: each stream has a file of its own.
        let begun = Take::begin(recording, &path, tap.0 as u32);
        match begun {
            Ok(take) if !self.takes.contains_key(&tap) => {
                self.takes.insert(tap, Going { take, path, done });
            }
            Ok(_) => {
                drop(fs::remove_file(&path));
                self.refuse(done, "the tap is recorded already");
            }
            Err(error) => self.refuse(done, &error.to_string()),
        }
    }

    fn refuse(&self, done: Done, why: &str) {
        tracing::error!(why, "recording_not_begun");
        self.going.fetch_sub(1, Ordering::Relaxed);
        done(Err(SoundFault::Store));
    }

    fn frame(&mut self, tap: TapId, frame: &Taken) {
        let Some(going) = self.takes.get_mut(&tap) else { return };
        let over = going.take.frame(frame.channel, frame.at, &frame.samples);
        self.over(tap, over);
    }

    fn over(&mut self, tap: TapId, over: Option<RecordEnd>) {
        if let Some(end) = over {
            self.end(tap, end);
        }
    }

    fn end(&mut self, tap: TapId, end: RecordEnd) {
        let Some(Going { take, path, done }) = self.takes.remove(&tap) else { return };
        self.going.fetch_sub(1, Ordering::Relaxed);
        let ended = take.end(end).or_else(|error| {
            // What the disk took is kept, made whole in place.
            tracing::error!(%error, path = %path.display(), "recording_cut_short");
            mend(&path).map(|ended| Ended { end: RecordEnd::Disk, ..ended })
        });
        done(ended.map_err(|_| SoundFault::Store).and_then(|ended| self.keep(&path, ended)));
    }

    fn recovered(&self, name: &str) -> Result<RecordedFact, SoundFault> {
        // It had ended, and its room did not live to hear of it.
        let told = fs::read(self.folder.join(format!("{name}.{KEPT}")));
        if let Some(fact) = told.ok().and_then(|told| serde_json::from_slice(&told).ok()) {
            return Ok(fact);
        }
        let paths = ["wav", "ogg"].map(|extension| self.folder.join(format!("{name}.{extension}")));
        let path = paths.into_iter().find(|path| path.exists()).ok_or(SoundFault::Missing)?;
        let mended = mend(&path).map_err(|error| {
            tracing::error!(%error, path = %path.display(), "recording_not_mended");
            SoundFault::Store
        })?;
        self.keep(&path, mended)
    }

    fn keep(&self, path: &Path, ended: Ended) -> Result<RecordedFact, SoundFault> {
        let kind = path.extension().and_then(|kind| kind.to_str()).unwrap_or_default().to_owned();
        let (hash, octets) = self.clips.blobs().adopt(path).map_err(|fault| {
            // The file stays where it is: it can be recovered by its name.
            tracing::error!(%fault, path = %path.display(), "recording_not_kept");
            SoundFault::Store
        })?;
        self.clips.keep(hash);
        let fact = RecordedFact {
            hash: hash.to_string(),
            address: format!("/media/{hash}.{kind}"),
            length: ended.length,
            octets,
            loudest: ended.loudest,
            end: ended.end,
        };
        let told = serde_json::to_vec(&fact).unwrap_or_default();
        if let Err(error) = fs::write(path.with_extension(KEPT), told) {
            tracing::warn!(%error, path = %path.display(), "recording_not_noted");
        }
        Ok(fact)
    }
}

/// Forgets what was noted of recordings whose rooms have had days to ask, and files that nobody asked for in weeks.
fn sweep(folder: &Path) -> io::Result<()> {
    for noted in fs::read_dir(folder)? {
        let path = noted?.path();
        let age = fs::metadata(&path)?.modified()?.elapsed().unwrap_or_default();
        let most = match path.extension().and_then(|kind| kind.to_str()) {
            Some(KEPT) => KEPT_FOR,
            Some("ogg" | "wav") => UNCLAIMED_FOR,
            Some(_) | None => continue,
        };
        if age > most {
            tracing::info!(path = %path.display(), "recording_unclaimed");
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
