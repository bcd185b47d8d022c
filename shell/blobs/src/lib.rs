//! Blobs: octets named by the hash of their content, in a folder or in memory; and the pictures made for them.
//!
//! Picture     put: temporary file -> fsync -> rename -> fsync of the folder. get: read, hash, compare.
//! Rules       Equal content is stored once. Content that does not fit its name is a fault and never handed out.
//!             What `put` has named survives a power cut.
//! Limits      `BLOB_BYTES_MAX`; for pictures see [`picture`].
//! Not here    Which rows refer to a blob, and so which blobs nobody needs (the rooms).
//! Spec        FIPS 180-4 (SHA-256).

pub mod picture;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use sha2::{Digest, Sha256};

/// The largest blob.
pub const BLOB_BYTES_MAX: usize = 256 << 20;

/// The place that keeps nothing.
pub const MEMORY: &str = ":memory:";

/// The name of a blob: the SHA-256 of its content, in text as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// The name of this content.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Reads the text form, in small letters; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        let digit = |octet: u8| match octet {
            b'0'..=b'9' => Some(octet - b'0'),
            b'a'..=b'f' => Some(octet - b'a' + 10),
            _ => None,
        };
        let mut hash = [0; 32];
        if text.len() != 64 {
            return None;
        }
        for (octet, pair) in hash.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let &[high, low] = pair else { return None };
            *octet = digit(high)? << 4 | digit(low)?;
        }
        Some(Self(hash))
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a blob was not kept or given.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The content does not fit the name: the disk or somebody else changed it.
    #[error("blob {hash} is damaged")]
    Damaged {
        /// Its name.
        hash: Hash,
    },
    /// A file operation failed.
    #[error("cannot {doing} {}", path.display())]
    Disk {
        /// The verb.
        doing: &'static str,
        /// What it was done to.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no such blob.
    #[error("blob {hash} is not here")]
    Missing {
        /// Its name.
        hash: Hash,
    },
    /// The content is over the limit.
    #[error("a blob of {bytes} bytes is over the limit")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
}

impl Fault {
    /// Whether the same request may succeed later.
    pub fn retry_helps(&self) -> bool {
        matches!(self, Self::Disk { .. })
    }
}

/// The blobs of this node. Clones share them; calls block on the disk, so no shard makes them.
#[derive(Clone)]
pub struct Blobs {
    place: Arc<Place>,
    damaged: Arc<AtomicU64>,
}

enum Place {
    Folder { folder: PathBuf, next: AtomicU64 },
    Memory(Mutex<BTreeMap<Hash, Vec<u8>>>),
}

/// The folder for what is being written; what is left there after a crash has no name and is deleted.
const UNFINISHED: &str = "unfinished";

impl Blobs {
    /// Opens the folder, and creates it if need be, or `:memory:`. One process has it open.
    pub fn open(place: impl AsRef<Path>) -> Result<Self, Fault> {
        let folder = place.as_ref();
        if folder == Path::new(MEMORY) {
            let place = Arc::new(Place::Memory(Mutex::default()));
            return Ok(Self { place, damaged: Arc::default() });
        }
        let unfinished = folder.join(UNFINISHED);
        fs::create_dir_all(&unfinished).map_err(fault("create", &unfinished))?;
        for left in fs::read_dir(&unfinished).map_err(fault("list", &unfinished))? {
            let left = left.map_err(fault("list", &unfinished))?.path();
            fs::remove_file(&left).map_err(fault("delete", &left))?;
        }
        let place = Place::Folder { folder: folder.to_owned(), next: AtomicU64::new(0) };
        Ok(Self { place: Arc::new(place), damaged: Arc::default() })
    }

    /// Keeps the content and gives its name. Content that is here already is not written again.
    pub fn put(&self, bytes: &[u8]) -> Result<Hash, Fault> {
        if bytes.len() > BLOB_BYTES_MAX {
            return Err(Fault::TooLarge { bytes: bytes.len() });
        }
        let hash = Hash::of(bytes);
        match &*self.place {
            Place::Memory(blobs) => drop(lock(blobs).insert(hash, bytes.to_vec())),
            Place::Folder { folder, next } => {
                // Damaged content is no reason to refuse a good copy: it takes its place.
                if self.get(&hash).is_err() {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let unfinished = folder.join(UNFINISHED).join(number.to_string());
                    let written = write(&unfinished, &file(folder, &hash), bytes);
                    if written.is_err() {
                        drop(fs::remove_file(&unfinished));
                    }
                    written?;
                }
            }
        }
        Ok(hash)
    }

    /// The content of this name, checked.
    pub fn get(&self, hash: &Hash) -> Result<Vec<u8>, Fault> {
        let bytes = match &*self.place {
            Place::Memory(blobs) => {
                lock(blobs).get(hash).cloned().ok_or(Fault::Missing { hash: *hash })?
            }
            Place::Folder { folder, .. } => {
                let path = file(folder, hash);
                fs::read(&path).map_err(|source| match source.kind() {
                    io::ErrorKind::NotFound => Fault::Missing { hash: *hash },
                    _ => Fault::Disk { doing: "read", path, source },
                })?
            }
        };
        if Hash::of(&bytes) != *hash {
            self.damaged.fetch_add(1, Ordering::Relaxed);
            tracing::error!(%hash, "blob_damaged");
            return Err(Fault::Damaged { hash: *hash });
        }
        Ok(bytes)
    }

    /// The first octets of a blob and how many it has, unchecked: for lists.
    pub fn head(&self, hash: &Hash, count: usize) -> Result<(Vec<u8>, u64), Fault> {
        let missing = || Fault::Missing { hash: *hash };
        match &*self.place {
            Place::Memory(blobs) => {
                let blobs = lock(blobs);
                let bytes = blobs.get(hash).ok_or_else(missing)?;
                Ok((bytes.iter().take(count).copied().collect(), bytes.len() as u64))
            }
            Place::Folder { folder, .. } => {
                let path = file(folder, hash);
                let mut head = Vec::new();
                let read = |file: File| {
                    let octets = file.metadata()?.len();
                    file.take(count as u64).read_to_end(&mut head)?;
                    Ok(octets)
                };
                let octets = File::open(&path).and_then(read).map_err(|source| {
                    if source.kind() == io::ErrorKind::NotFound {
                        missing()
                    } else {
                        Fault::Disk { doing: "read", path, source }
                    }
                })?;
                Ok((head, octets))
            }
        }
    }

    /// Where a file may be written that [`adopt`](Self::adopt) takes: the same disk. `None`: in memory.
    pub fn folder(&self) -> Option<&Path> {
        match &*self.place {
            Place::Memory(_) => None,
            Place::Folder { folder, .. } => Some(folder),
        }
    }

    /// Keeps a finished file, which is moved here, and gives its name with its octets.
    pub fn adopt(&self, path: &Path) -> Result<(Hash, u64), Fault> {
        let mut content = File::open(path).map_err(fault("read", path))?;
        let octets = content.metadata().map_err(fault("read", path))?.len();
        if octets > BLOB_BYTES_MAX as u64 {
            return Err(Fault::TooLarge { bytes: usize::try_from(octets).unwrap_or(usize::MAX) });
        }
        let Some(folder) = self.folder() else {
            let mut bytes = Vec::new();
            content.read_to_end(&mut bytes).map_err(fault("read", path))?;
            let hash = self.put(&bytes)?;
            fs::remove_file(path).map_err(fault("delete", path))?;
            return Ok((hash, octets));
        };
        let mut digest = Sha256::new();
        io::copy(&mut content, &mut digest).map_err(fault("read", path))?;
        let hash = Hash(digest.finalize().into());
        content.sync_all().map_err(fault("sync", path))?;
        name(path, &file(folder, &hash))?;
        Ok((hash, octets))
    }

    /// How often a read found content that is not what was written.
    pub fn damaged(&self) -> u64 {
        self.damaged.load(Ordering::Relaxed)
    }

    /// Deletes a blob; one that is not here is deleted already.
    pub fn remove(&self, hash: &Hash) -> Result<(), Fault> {
        match &*self.place {
            Place::Memory(blobs) => drop(lock(blobs).remove(hash)),
            Place::Folder { folder, .. } => {
                let path = file(folder, hash);
                match fs::remove_file(&path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(fault("delete", &path)(error));
                    }
                    Ok(()) | Err(_) => {}
                }
            }
        }
        Ok(())
    }

    /// The blobs that were kept before `time`, for the sweep of those that nothing refers to.
    pub fn older_than(&self, time: SystemTime) -> Result<Vec<Hash>, Fault> {
        let folder = match &*self.place {
            Place::Memory(blobs) => return Ok(lock(blobs).keys().copied().collect()),
            Place::Folder { folder, .. } => folder,
        };
        let mut found = Vec::new();
        let error = |source| fault("list", folder)(source);
        for shelf in fs::read_dir(folder).map_err(error)? {
            let shelf = shelf.map_err(error)?.path();
            if !shelf.is_dir() {
                continue;
            }
            for blob in fs::read_dir(&shelf).map_err(error)? {
                let blob = blob.map_err(error)?;
                let Some(hash) = blob.file_name().to_str().and_then(Hash::parse) else { continue };
                if blob.metadata().and_then(|known| known.modified()).map_err(error)? < time {
                    found.push(hash);
                }
            }
        }
        found.sort_unstable();
        Ok(found)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn fault(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Fault {
    let path = path.to_owned();
    move |source| Fault::Disk { doing, path, source }
}

/// `ab/abcd…`: so that no folder holds them all.
fn file(folder: &Path, hash: &Hash) -> PathBuf {
    let name = hash.to_string();
    folder.join(&name[..2]).join(name)
}

fn write(unfinished: &Path, path: &Path, bytes: &[u8]) -> Result<(), Fault> {
    let mut file = File::create(unfinished).map_err(fault("create", unfinished))?;
    file.write_all(bytes).map_err(fault("write to", unfinished))?;
    file.sync_all().map_err(fault("sync", unfinished))?;
    name(unfinished, path)
}

/// Gives a synced file its name, so that it survives a power cut.
fn name(unfinished: &Path, path: &Path) -> Result<(), Fault> {
    let shelf = path.parent().unwrap_or(path);
    if !shelf.exists() {
        fs::create_dir_all(shelf).map_err(fault("create", shelf))?;
        sync_folder(shelf.parent().unwrap_or(shelf))?;
    }
    fs::rename(unfinished, path).map_err(fault("name", path))?;
    sync_folder(shelf)
}

fn sync_folder(folder: &Path) -> Result<(), Fault> {
    File::open(folder).and_then(|open| open.sync_all()).map_err(fault("sync", folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_comes_back_and_is_stored_once() {
        let folder = tempfile::tempdir().unwrap();
        for place in [folder.path(), Path::new(MEMORY)] {
            let blobs = Blobs::open(place).unwrap();
            let hash = blobs.put(b"abc").unwrap();
            let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
            assert_eq!(hash.to_string(), text);
            assert_eq!(Hash::parse(text), Some(hash));
            assert_eq!(blobs.put(b"abc").unwrap(), hash);
            let other = blobs.put(b"").unwrap();
            assert_eq!(blobs.get(&hash).unwrap(), b"abc");
            assert_eq!(blobs.get(&other).unwrap(), b"");
            let future = SystemTime::now() + std::time::Duration::from_secs(60);
            assert_eq!(blobs.older_than(future).unwrap().len(), 2);
            blobs.remove(&hash).unwrap();
            blobs.remove(&hash).unwrap();
            assert!(matches!(blobs.get(&hash), Err(Fault::Missing { .. })));
        }
        let again = Blobs::open(folder.path()).unwrap();
        assert_eq!(again.get(&Hash::of(b"")).unwrap(), b"");
        assert!(again.older_than(SystemTime::UNIX_EPOCH).unwrap().is_empty());
    }

    #[test]
    fn finished_files_are_taken_and_heads_are_read() {
        let folder = tempfile::tempdir().unwrap();
        for place in [folder.path().join("blobs"), PathBuf::from(MEMORY)] {
            let blobs = Blobs::open(&place).unwrap();
            let path = folder.path().join("file");
            fs::write(&path, b"recording").unwrap();
            let (hash, octets) = blobs.adopt(&path).unwrap();
            assert_eq!((hash, octets), (Hash::of(b"recording"), 9));
            assert!(!path.exists());
            assert_eq!(blobs.get(&hash).unwrap(), b"recording");
            assert_eq!(blobs.head(&hash, 3).unwrap(), (b"rec".to_vec(), 9));
            assert_eq!(blobs.head(&hash, 30).unwrap().0.len(), 9);
            let other = Hash::of(b"other");
            assert!(matches!(blobs.head(&other, 3), Err(Fault::Missing { .. })));
            assert!(matches!(blobs.adopt(&path), Err(Fault::Disk { .. })));
        }
    }

    #[test]
    fn damaged_content_is_never_given_and_a_good_copy_takes_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(folder.path()).unwrap();
        let hash = blobs.put(b"voice").unwrap();
        fs::write(file(folder.path(), &hash), b"noise").unwrap();
        assert!(matches!(blobs.get(&hash), Err(Fault::Damaged { .. })));
        assert_eq!(blobs.damaged(), 1);
        assert_eq!(blobs.put(b"voice").unwrap(), hash);
        assert_eq!(blobs.get(&hash).unwrap(), b"voice");
    }

    #[test]
    fn what_a_crash_left_is_swept_at_the_start() {
        let folder = tempfile::tempdir().unwrap();
        drop(Blobs::open(folder.path()).unwrap());
        let left = folder.path().join(UNFINISHED).join("7");
        fs::write(&left, b"half").unwrap();
        drop(Blobs::open(folder.path()).unwrap());
        assert!(!left.exists());
    }

    #[test]
    fn names_that_are_no_hash_are_refused() {
        let good = Hash::of(b"x").to_string();
        for bad in [
            "",
            "../../etc/passwd",
            &good[1..],
            &good.to_uppercase(),
            &good.replace(&good[..1], "é"),
        ] {
            assert_eq!(Hash::parse(bad), None, "{bad}");
        }
    }
}
