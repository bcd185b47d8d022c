//! A small disk that can be filled: a tmpfs of the test's own.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

use super::program::find;

/// Its size.
const DISK: &str = "size=16m";
/// A small disk of its own.
pub struct Disk {
    pub folder: PathBuf,
}

impl Disk {
    #[track_caller]
    pub fn mount(folder: PathBuf) -> Self {
        fs::create_dir(&folder).expect("a folder");
        let mut mount = Command::new(find("mount"));
        let done = mount.args(["-t", "tmpfs", "-o", DISK, "tmpfs"]).arg(&folder).status();
        assert!(done.expect("mount starts").success(), "mounting is for root");
        Self { folder }
    }

    fn filler(&self) -> PathBuf {
        self.folder.join("filler")
    }

    /// Until not one octet more fits.
    pub fn fill(&self) {
        let mut filler = File::create(self.filler()).expect("a file");
        for block in [65_536, 4_096, 1] {
            let octets = vec![0; block];
            while filler.write_all(&octets).is_ok() {}
        }
    }

    pub fn free(&self) {
        fs::remove_file(self.filler()).expect("the filler is there");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Failing here would hide why a test failed.
        let _ = Command::new(find("umount")).arg("--lazy").arg(&self.folder).status();
    }
}
