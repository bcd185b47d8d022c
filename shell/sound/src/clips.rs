//! The clips of this node: made by workers, kept in the blobs, lent to the engine.
//!
//! Rules       A source that was made before is not made again. A clip that the engine no longer holds is lent again
//!             when it is asked for by its name; one that plays goes on when it is forgotten.
//! Limits      [`QUEUE_MAX`] wait for [`THREADS`] workers; [`FORMS_MEMORY`] octets of samples are lent at once, those that
//!             were asked for longest ago go first; [`KNOWN_MAX`] sources are remembered.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use blobs::{Blobs, Hash};
use media::{Clip, ClipId, Rate};
use switchboard::{ClipFact, SoundFault};

use crate::decode::{Bounds, CLIP_BYTES_MAX, Decoded, decode, length};
use crate::pool::Pool;
use crate::rate::convert;
use crate::speech::Voices;
use crate::{loudness, wav};

/// Threads that decode.
pub const THREADS: usize = 2;
/// Threads that speak, and so programs that speak at once.
pub const SPEECH_THREADS: usize = 2;
/// Clips that may wait for them.
pub const QUEUE_MAX: usize = 64;
/// Octets of samples that the engine holds for us.
pub const FORMS_MEMORY: usize = 256 << 20;
/// Sources whose clip is remembered; when there are more, all are forgotten, and made anew when asked for.
pub const KNOWN_MAX: usize = 16_384;

/// The samples of a clip at each rate that a mix may have. Errors: rates that cannot be turned, which are not ours.
pub fn forms(clip: &Decoded) -> Result<Clip, SoundFault> {
    let form = |rate: Rate| -> Result<Arc<[i16]>, SoundFault> {
        if rate == clip.rate {
            return Ok(clip.samples.as_slice().into());
        }
        Ok(convert(&clip.samples, clip.rate, rate)?.into())
    };
    Ok(Clip { forms: [form(Rate::Narrow)?, form(Rate::Wide)?, form(Rate::Full)?] })
}

/// A file that is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    /// Its name.
    pub hash: String,
    /// Where it is fetched.
    pub address: String,
    /// Its size.
    pub octets: u64,
    /// How long it plays, where its head says so.
    pub seconds: Option<f64>,
}

/// The engine, as it takes clips.
pub trait Lender: Send + Sync {
    /// Holds a clip, so that it can be played; `false`: it takes nothing now.
    fn lend(&self, id: ClipId, clip: Clip) -> bool;
    /// Holds it no more; what plays goes on.
    fn forget(&self, id: ClipId);
}

/// Called once, on a worker, or at once when there is nothing to do or no room.
pub type Done = Box<dyn FnOnce(Result<ClipFact, SoundFault>) + Send>;

/// Gives the octets of a file, for instance by having it spoken; runs on a worker.
type Maker = Box<dyn FnOnce() -> Result<Vec<u8>, SoundFault> + Send>;

/// See the head of this file. Clones share them.
#[derive(Clone)]
pub struct Clips {
    shared: Arc<Shared>,
    pool: Arc<Pool>,
    speakers: Arc<Pool>,
}

struct Shared {
    blobs: Blobs,
    lender: Box<dyn Lender>,
    shelf: Mutex<Shelf>,
    bounds: Bounds,
    memory: usize,
}

#[derive(Default)]
struct Shelf {
    /// Files by the name that the engine has for them.
    files: BTreeMap<ClipId, Hash>,
    /// What a source became.
    sources: BTreeMap<Hash, ClipId>,
    /// What the engine holds.
    lent: BTreeMap<ClipId, Lent>,
    octets: usize,
    turn: u64,
}

struct Lent {
    fact: ClipFact,
    octets: usize,
    /// When it was asked for last.
    turn: u64,
}

impl Clips {
    /// Starts the workers and looks what is kept. Errors: no threads, or the folder cannot be listed.
    pub fn start(blobs: Blobs, lender: Box<dyn Lender>) -> std::io::Result<Self> {
        Self::start_with(blobs, lender, Bounds::default(), FORMS_MEMORY)
    }

    /// The same with smaller limits, for tests.
    pub fn start_with(
        blobs: Blobs,
        lender: Box<dyn Lender>,
        bounds: Bounds,
        memory: usize,
    ) -> std::io::Result<Self> {
        let shelf = Mutex::new(Shelf::default());
        let kept = blobs.older_than(SystemTime::now()).map_err(std::io::Error::other)?;
        lock(&shelf).files.extend(kept.into_iter().map(|hash| (name(&hash), hash)));
        let shared = Arc::new(Shared { blobs, lender, shelf, bounds, memory });
        let pool = Arc::new(Pool::start("clips", THREADS, QUEUE_MAX)?);
        // Apart: a voice that is slow keeps no file waiting.
        let speakers = Arc::new(Pool::start("speech", SPEECH_THREADS, QUEUE_MAX)?);
        Ok(Self { shared, pool, speakers })
    }

    /// A clip of a file. `even`: brought to the loudness of all others.
    pub fn file(&self, bytes: Vec<u8>, even: bool, done: Done) {
        // What cannot pass is not worth a place in the queue.
        if bytes.len() > CLIP_BYTES_MAX {
            return done(Err(SoundFault::TooLarge));
        }
        let source = source(&[if even { b"even" } else { b"as it is" }, &bytes]);
        self.make(&self.pool, source, even, Box::new(move || Ok(bytes)), done);
    }

    /// A clip of spoken words, as loud as all others.
    pub fn spoken(&self, voices: &Voices, text: &str, (language, voice): (&str, &str), done: Done) {
        let source = match voices.source(text, language, voice) {
            Ok(source) => source,
            Err(fault) => return done(Err(fault)),
        };
        let [text, language, voice] = [text, language, voice].map(str::to_owned);
        let voices = voices.clone();
        let maker = move || voices.speak(&text, &language, &voice);
        self.make(&self.speakers, source, true, Box::new(maker), done);
    }

    /// A clip that was made before.
    pub fn known(&self, id: ClipId, done: Done) {
        if let Some(fact) = self.shared.at_hand(id) {
            return done(Ok(fact));
        }
        let shared = Arc::clone(&self.shared);
        work(&self.pool, move || shared.again(id), done);
    }

    /// A clip of what `maker` gives, unless the same source was asked for before.
    fn make(&self, pool: &Pool, source: Hash, even: bool, maker: Maker, done: Done) {
        let known = lock(&self.shared.shelf).sources.get(&source).copied();
        if let Some(fact) = known.and_then(|id| self.shared.at_hand(id)) {
            return done(Ok(fact));
        }
        let shared = Arc::clone(&self.shared);
        let make = move || match known.map(|id| shared.again(id)) {
            Some(Ok(fact)) => Ok(fact),
            // It was deleted since: it is made anew.
            Some(Err(_)) | None => shared.make(source, even, maker()?),
        };
        work(pool, make, done);
    }

    /// Files in the order of their hashes, behind `after`. Waits for the disk.
    pub fn list(&self, after: &str, max: usize) -> Vec<Listed> {
        // The names of the engine begin like the hashes: one order holds for both.
        let files: Vec<Hash> = lock(&self.shared.shelf).files.values().copied().collect();
        let behind = files.into_iter().map(|hash| (hash, hash.to_string()));
        let behind = behind.filter(|(_, text)| text.as_str() > after).take(max);
        behind.filter_map(|(hash, text)| self.listed(&hash, text)).collect()
    }

    /// Knows a file that was kept by somebody else, a recording.
    pub fn keep(&self, hash: Hash) {
        lock(&self.shared.shelf).files.insert(name(&hash), hash);
    }

    /// Where everything is kept.
    pub fn blobs(&self) -> &Blobs {
        &self.shared.blobs
    }

    fn listed(&self, hash: &Hash, text: String) -> Option<Listed> {
        let (head, octets) = self.shared.blobs.head(hash, wav::HEAD).ok()?;
        let is_wav = head.starts_with(b"RIFF");
        let address = format!("/media/{text}.{}", if is_wav { "wav" } else { "ogg" });
        let seconds = wav::seconds(&head, octets);
        Some(Listed { hash: text, address, octets, seconds })
    }

    /// Deletes what is kept under this hash, a clip or a recording; `false`: nothing was.
    pub fn forget(&self, hash: &str) -> bool {
        let Some(hash) = Hash::parse(hash) else { return false };
        let shared = Arc::clone(&self.shared);
        let id = name(&hash);
        {
            let mut shelf = lock(&shared.shelf);
            if shelf.files.get(&id) != Some(&hash) {
                return false;
            }
            shelf.files.remove(&id);
            shelf.sources.retain(|_, known| *known != id);
            if let Some(lent) = shelf.lent.remove(&id) {
                shelf.octets -= lent.octets;
                shared.lender.forget(id);
            }
        }
        let delete = move || {
            if let Err(fault) = shared.blobs.remove(&hash) {
                tracing::error!(%fault, "clip_not_deleted");
            }
        };
        if let Err(delete) = self.pool.queue(Box::new(delete)) {
            delete(); // Rare, and better than to keep what shall be gone.
        }
        true
    }

    /// The octets of a file by the name in its address; `None`: it is not kept here. Waits for the disk.
    pub fn read(&self, hash: &str) -> Option<Vec<u8>> {
        self.shared.blobs.get(&Hash::parse(hash)?).ok()
    }
}

fn work(
    pool: &Pool,
    make: impl FnOnce() -> Result<ClipFact, SoundFault> + Send + 'static,
    done: Done,
) {
    // In a cell, so that it can be answered by whoever has it in the end.
    let done = Arc::new(Mutex::new(Some(done)));
    let told = Arc::clone(&done);
    let job = move || {
        let made = catch_unwind(AssertUnwindSafe(make));
        tell(&told, made.unwrap_or(Err(SoundFault::Damaged)));
    };
    if pool.queue(Box::new(job)).is_err() {
        tell(&done, Err(SoundFault::Busy));
    }
}

fn tell(done: &Mutex<Option<Done>>, made: Result<ClipFact, SoundFault>) {
    if let Some(done) = lock(done).take() {
        done(made);
    }
}

impl Shared {
    /// What the engine holds already.
    fn at_hand(&self, id: ClipId) -> Option<ClipFact> {
        let mut shelf = lock(&self.shelf);
        shelf.turn += 1;
        let turn = shelf.turn;
        let lent = shelf.lent.get_mut(&id)?;
        lent.turn = turn;
        Some(lent.fact.clone())
    }

    /// Reads a clip that is kept and lends it.
    fn again(&self, id: ClipId) -> Result<ClipFact, SoundFault> {
        let hash = lock(&self.shelf).files.get(&id).copied().ok_or(SoundFault::Missing)?;
        let file = self.blobs.get(&hash).map_err(|fault| match fault {
            blobs::Fault::Missing { .. } => SoundFault::Missing,
            blobs::Fault::Damaged { .. }
            | blobs::Fault::Disk { .. }
            | blobs::Fault::TooLarge { .. } => SoundFault::Store,
        })?;
        // A recording is decoded like a file of others.
        let clip = match wav::decode(&file) {
            Some(clip) => clip,
            None => decode(file.clone(), &self.bounds)?,
        };
        self.lend(hash, &clip, file.len())
    }

    fn make(&self, source: Hash, even: bool, bytes: Vec<u8>) -> Result<ClipFact, SoundFault> {
        let mut clip = decode(bytes, &self.bounds)?;
        if even {
            loudness::even(&mut clip);
        }
        let file = wav::encode(&clip);
        let hash = self.blobs.put(&file).map_err(|fault| {
            tracing::error!(%fault, "clip_not_kept");
            SoundFault::Store
        })?;
        let fact = self.lend(hash, &clip, file.len())?;
        let mut shelf = lock(&self.shelf);
        if shelf.sources.len() >= KNOWN_MAX {
            shelf.sources.clear();
        }
        shelf.sources.insert(source, fact.id);
        Ok(fact)
    }

    fn lend(&self, hash: Hash, clip: &Decoded, octets: usize) -> Result<ClipFact, SoundFault> {
        let (id, forms) = (name(&hash), forms(clip)?);
        let fact = ClipFact {
            id,
            length: length(clip.samples.len(), clip.rate.hertz()),
            address: format!("/media/{hash}.wav"),
            octets: octets as u64,
        };
        let octets = 2 * forms.forms.iter().map(|form| form.len()).sum::<usize>();
        let mut shelf = lock(&self.shelf);
        if !self.lender.lend(id, forms) {
            return Err(SoundFault::Busy);
        }
        shelf.turn += 1;
        let lent = Lent { fact: fact.clone(), octets, turn: shelf.turn };
        shelf.files.insert(id, hash);
        shelf.octets += lent.octets;
        if let Some(before) = shelf.lent.insert(id, lent) {
            shelf.octets -= before.octets;
        }
        while shelf.octets > self.memory {
            let others = shelf.lent.iter().filter(|(other, _)| **other != id);
            let Some(oldest) = others.min_by_key(|(_, lent)| lent.turn).map(|(id, _)| *id) else {
                break; // One clip alone may be larger.
            };
            if let Some(gone) = shelf.lent.remove(&oldest) {
                shelf.octets -= gone.octets;
                self.lender.forget(oldest);
            }
        }
        Ok(fact)
    }
}

/// How the engine calls the file of this hash.
pub fn name(hash: &Hash) -> ClipId {
    let first = hash.0.first_chunk::<16>().copied().unwrap_or_default();
    ClipId(u128::from_be_bytes(first))
}

/// The name of a source: what it was made of, in parts that cannot run into each other.
pub fn source(parts: &[&[u8]]) -> Hash {
    let hashes: Vec<u8> = parts.iter().flat_map(|part| Hash::of(part).0).collect();
    Hash::of(&hashes)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
