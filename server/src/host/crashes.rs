//! Files of caught panics: what the flight recorder had of the session, for `sim replay`.
//!
//! Picture     report of the switchboard --> DATA/crashes/UNIX-ROOM-SESSION.car
//! Rules       Only the owner may read one: it holds what people said to the server, without their proofs. A file that
//!             cannot be written is told in the log and keeps nobody.
//! Limits      FILES_MAX: the oldest goes; GAP between two files of one shard.
//! Not here    What a report holds (switchboard::flight).
//! Spec        none

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use switchboard::record::MAGIC;
use types::UnixTime;

/// Files that are kept.
pub const FILES_MAX: usize = 20;
/// A room that panics without end leaves a file this often.
pub const GAP: Duration = Duration::from_secs(1);
/// How their names end.
const SUFFIX: &str = "car";

/// Where one shard leaves its files.
#[derive(Clone, Debug)]
pub struct Crashes {
    folder: Option<PathBuf>,
    next: UnixTime,
}

impl Crashes {
    /// `None`: this node keeps nothing.
    pub fn new(folder: Option<PathBuf>) -> Self {
        Self { folder, next: UnixTime(0) }
    }

    /// Writes one; gives its name when it was.
    pub fn write(
        &mut self,
        unix: UnixTime,
        room: &str,
        session: Option<&str>,
        report: &[u8],
    ) -> Option<PathBuf> {
        let folder = self.folder.as_deref()?;
        if unix < self.next {
            return None;
        }
        self.next = unix + GAP;
        let seconds = unix.0 / 1_000_000;
        let session = session.unwrap_or("none");
        let file = folder.join(format!("{seconds}-{room}-{session}.{SUFFIX}"));
        match put(folder, &file, report) {
            Ok(()) => Some(file),
            Err(error) => {
                tracing::error!(%error, file = %file.display(), "crash_not_written");
                None
            }
        }
    }
}

fn put(folder: &Path, file: &Path, report: &[u8]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut there: Vec<PathBuf> = fs::read_dir(folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|end| end == SUFFIX) && path != file)
        .collect();
    // Their names begin with the time.
    there.sort();
    let surplus = (there.len() + 1).saturating_sub(FILES_MAX);
    for old in there.iter().take(surplus) {
        fs::remove_file(old)?;
    }
    let mut how = OpenOptions::new();
    let mut open = how.write(true).create(true).truncate(true).mode(0o600).open(file)?;
    open.write_all(MAGIC)?;
    open.write_all(report)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_newest_files_stay_and_only_their_owner_reads_them() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("crashes");
        let mut crashes = Crashes::new(Some(folder.clone()));
        let at = |second: u64| UnixTime::seconds(1_800_000_000 + second);
        let mut last = None;
        for second in 0..30 {
            last = crashes.write(at(second), "odd", Some("call_1"), b"report");
            assert_eq!(
                crashes.write(at(second), "odd", None, b""),
                None,
                "a second has not passed"
            );
        }
        let last = last.unwrap();
        assert!(last.ends_with("1800000029-odd-call_1.car"), "{}", last.display());
        let mut names: Vec<_> =
            fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names.len(), FILES_MAX);
        assert_eq!(names[0], "1800000010-odd-call_1.car");
        assert_eq!(fs::metadata(&last).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read(&last).unwrap(), [MAGIC.as_slice(), b"report"].concat());
        assert_eq!(Crashes::new(None).write(at(99), "odd", None, b""), None);
    }
}
