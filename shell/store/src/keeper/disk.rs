//! The file operations of the keeper, and two disks: a folder, and memory that can lose power.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use types::Rng;

use crate::fault::Fault;

/// One flat folder of files that only grow.
pub trait Disk: Send + Sync {
    /// Creates a new file for appending; it is an error when the name is taken.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// Shortens a file.
    fn cut(&self, name: &str, length: u64) -> io::Result<()>;
    /// All names, in any order.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Where the folder is, for messages.
    fn place(&self) -> PathBuf;
    /// Up to `length` bytes from `offset` on; fewer at the end of the file.
    fn read(&self, name: &str, offset: u64, length: usize) -> io::Result<Vec<u8>>;
    /// Deletes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Forces the content of a file that is not open to the disk.
    fn sync(&self, name: &str) -> io::Result<()>;
    /// Forces creations and deletions to the disk.
    fn sync_names(&self) -> io::Result<()>;
}

/// An open file.
pub trait DiskFile: Send + Sync {
    /// Takes back what stands behind `length`.
    fn cut(&self, length: u64) -> io::Result<()>;
    /// Sets `octets` aside behind `length`, which is what the file has; the file does not grow by it. A disk that knows
    /// no such thing says `Ok`, and its end comes without a warning.
    fn reserve(&self, length: u64, octets: u64) -> io::Result<()>;
    /// Forces what was written to the disk.
    fn sync(&self) -> io::Result<()>;
    /// Appends all of `bytes`, in one system call if the system takes them.
    fn write(&self, bytes: &[u8]) -> io::Result<()>;
}

/// A folder, locked against a second process as long as this lives.
pub struct RealDisk {
    folder: PathBuf,
    _lock: File,
}

impl RealDisk {
    /// Opens the folder and creates it if need be.
    pub fn open(folder: &Path) -> Result<Self, Fault> {
        let fault = |doing| {
            let path = folder.to_owned();
            move |source| Fault::Disk { doing, path, source }
        };
        fs::create_dir_all(folder).map_err(fault("create"))?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(folder.join("lock"))
            .map_err(fault("lock"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { folder: folder.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(Fault::InUse { path: folder.to_owned() }),
            Err(TryLockError::Error(source)) => Err(fault("lock")(source)),
        }
    }
}

impl Disk for RealDisk {
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let path = self.folder.join(name);
        Ok(Arc::new(OpenOptions::new().create_new(true).append(true).open(path)?))
    }

    fn cut(&self, name: &str, length: u64) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(self.folder.join(name))?;
        file.set_len(length)?;
        file.sync_all()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        fs::read_dir(&self.folder)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    }

    fn place(&self) -> PathBuf {
        self.folder.clone()
    }

    fn read(&self, name: &str, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let file = File::open(self.folder.join(name))?;
        let there = file.metadata()?.len().saturating_sub(offset);
        let mut bytes = vec![0; length.min(usize::try_from(there).unwrap_or(usize::MAX))];
        file.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.folder.join(name))
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        File::open(self.folder.join(name))?.sync_all()
    }

    fn sync_names(&self) -> io::Result<()> {
        File::open(&self.folder)?.sync_all()
    }
}

impl DiskFile for File {
    fn cut(&self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn reserve(&self, length: u64, octets: u64) -> io::Result<()> {
        use nix::errno::Errno;
        use nix::fcntl::{FallocateFlags, fallocate};
        let (from, octets) = (length.cast_signed(), octets.cast_signed());
        match fallocate(self, FallocateFlags::FALLOC_FL_KEEP_SIZE, from, octets) {
            Err(Errno::EOPNOTSUPP | Errno::ENOSYS) | Ok(()) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let mut file = self;
        file.write_all(bytes)
    }
}

/// Files in memory: for a server that keeps nothing, and for tests that cut the power. Clones share the files.
#[derive(Clone, Default)]
pub struct MemoryDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Clone, Default)]
struct State {
    files: BTreeMap<String, Memory>,
    /// Deleted, but a power cut may bring them back.
    removed: BTreeMap<String, Memory>,
    fail_sync: bool,
    /// Bytes that still fit; more is "no space left".
    space: Option<u64>,
}

#[derive(Clone, Default)]
struct Memory {
    bytes: Vec<u8>,
    /// This many survive a power cut.
    synced: usize,
    /// Where each write since the last sync ended.
    ends: Vec<usize>,
    /// Whether the name survives a power cut.
    named: bool,
    /// Octets behind the last that are set aside.
    reserved: usize,
}

struct OpenMemory {
    disk: MemoryDisk,
    name: String,
}

/// What a power cut may leave behind a torn write: the length has grown, the content has not come.
const ZEROS_MAX: u64 = 64;

impl MemoryDisk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// The power goes: of each file the synced part stays, then some whole writes, then a piece of one. Names
    /// that were not synced may be gone, deleted ones may be back. Gives the disk as the next start finds it.
    #[must_use]
    pub fn crash(&self, rng: &mut Rng) -> Self {
        let before = self.lock().clone();
        let mut after = State::default();
        for (name, mut file) in before.files {
            if !file.named && rng.percent(50) {
                continue;
            }
            let kept = rng.below(file.ends.len() as u64 + 1) as usize;
            let whole = kept.checked_sub(1).map_or(file.synced, |last| file.ends[last]);
            let next = file.ends.get(kept).copied().unwrap_or(whole);
            let torn = whole + rng.below((next - whole) as u64 + 1) as usize;
            file.bytes.truncate(torn);
            if torn < next && rng.percent(30) {
                file.bytes.resize(torn + rng.below(ZEROS_MAX) as usize, 0);
            }
            after.files.insert(name, file.settled());
        }
        for (name, file) in before.removed {
            if rng.percent(50) {
                after.files.entry(name).or_insert(file.settled());
            }
        }
        Self { state: Arc::new(Mutex::new(after)) }
    }

    /// The process dies: all that was written stays. Gives the disk as the next start finds it.
    #[must_use]
    pub fn kill(&self) -> Self {
        let mut after = self.lock().clone();
        after.fail_sync = false;
        after.space = None;
        Self { state: Arc::new(Mutex::new(after)) }
    }

    /// From now on every sync fails, or none.
    pub fn fail_sync(&self, fail: bool) {
        self.lock().fail_sync = fail;
    }

    /// Bytes that still fit; `None`: no end.
    pub fn space(&self, space: Option<u64>) {
        self.lock().space = space;
    }

    /// Turns one bit of a file over.
    pub fn flip(&self, name: &str, offset: usize, bit: u8) {
        if let Some(octet) =
            self.lock().files.get_mut(name).and_then(|file| file.bytes.get_mut(offset))
        {
            *octet ^= 1 << (bit & 7);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    fn settled(mut self) -> Self {
        self.synced = self.bytes.len();
        self.ends.clear();
        self.named = true;
        self
    }

    fn cut(&mut self, length: u64) {
        self.bytes.truncate(usize::try_from(length).unwrap_or(usize::MAX));
        self.reserved = 0;
        let length = self.bytes.len();
        self.synced = self.synced.min(length);
        self.ends.retain(|end| *end <= length);
    }

    fn sync(&mut self) {
        self.synced = self.bytes.len();
        self.ends.clear();
    }
}

impl State {
    fn file(&mut self, name: &str) -> io::Result<&mut Memory> {
        self.files.get_mut(name).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn check_sync(&self) -> io::Result<()> {
        if self.fail_sync { Err(io::Error::other("the disk reports an error")) } else { Ok(()) }
    }
}

impl Disk for MemoryDisk {
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.lock();
        if state.files.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.files.insert(name.to_owned(), Memory::default());
        Ok(Arc::new(OpenMemory { disk: self.clone(), name: name.to_owned() }))
    }

    fn cut(&self, name: &str, length: u64) -> io::Result<()> {
        let mut state = self.lock();
        let file = state.file(name)?;
        file.cut(length);
        file.sync();
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.lock().files.keys().cloned().collect())
    }

    fn place(&self) -> PathBuf {
        PathBuf::from(crate::sql::MEMORY)
    }

    fn read(&self, name: &str, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut state = self.lock();
        let bytes = &state.file(name)?.bytes;
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        Ok(bytes[start..bytes.len().min(start.saturating_add(length))].to_vec())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.lock();
        let file = state.files.remove(name).ok_or(io::ErrorKind::NotFound)?;
        if file.named {
            state.removed.insert(name.to_owned(), file);
        }
        Ok(())
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.check_sync()?;
        state.file(name)?.sync();
        Ok(())
    }

    fn sync_names(&self) -> io::Result<()> {
        let mut state = self.lock();
        state.check_sync()?;
        state.files.values_mut().for_each(|file| file.named = true);
        state.removed.clear();
        Ok(())
    }
}

impl DiskFile for OpenMemory {
    fn cut(&self, length: u64) -> io::Result<()> {
        self.disk.lock().file(&self.name)?.cut(length);
        Ok(())
    }

    fn reserve(&self, _length: u64, octets: u64) -> io::Result<()> {
        let mut state = self.disk.lock();
        let more = octets.saturating_sub(state.file(&self.name)?.reserved as u64);
        match &mut state.space {
            Some(space) if *space < more => return Err(io::ErrorKind::StorageFull.into()),
            Some(space) => *space -= more,
            None => (),
        }
        state.file(&self.name)?.reserved += more as usize;
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.lock();
        state.check_sync()?;
        // A file that was deleted while it is open has nothing left to lose.
        if let Ok(file) = state.file(&self.name) {
            file.sync();
        }
        Ok(())
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.lock();
        let own = state.file(&self.name)?.reserved;
        let fits = state.space.map_or(bytes.len(), |space| bytes.len().min(own + space as usize));
        if let Some(space) = &mut state.space {
            *space -= fits.saturating_sub(own) as u64;
        }
        let file = state.file(&self.name)?;
        file.reserved = own.saturating_sub(fits);
        file.bytes.extend_from_slice(&bytes[..fits]);
        file.ends.push(file.bytes.len());
        if fits < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}
