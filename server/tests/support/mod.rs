//! What the black-box tests share: hosts of their own, foreign programs, the server, sound.
//!
//! Picture     test --> Namespace (a host) <-- Program (a process in it) <-- Server, Baresip, Phone, Capture
//! Rules       Only what a test started is ended, by its handle. Every wait is for something and has a limit. Ports are
//!             free because each test makes the hosts that they are on.
//! Limits      STEP for what answers at once; each wait names its own otherwise.
//! Not here    What is proved (the files beside this folder).
//! Spec        none

pub mod baresip;
pub mod capture;
pub mod certificate;
pub mod http;
pub mod line;
pub mod linphone;
pub mod log;
pub mod names;
pub mod namespace;
pub mod phone;
pub mod pjsua;
pub mod program;
pub mod raw;
pub mod server;
pub mod wave;

use std::fs::File;
use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// How long something that answers at once may take on a machine that is busy.
pub const STEP: Duration = Duration::from_secs(15);

/// The right to use the machine's processors: one test at a time, over all test programs.
pub struct Turn {
    _file: File,
}

/// Waits for the turn; it ends with the value.
pub fn turn() -> Turn {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("one-at-a-time.lock");
    let file = File::create(path).expect("the build's folder for tests can be written");
    file.lock().expect("a lock file locks");
    Turn { _file: file }
}

/// Does again what a machine that was halted for a moment interrupted, as it does to any read that has a limit: signal(7).
pub fn unhalted<T>(mut read: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match read() {
            Err(fault) if fault.kind() == io::ErrorKind::Interrupted => (),
            done => return done,
        }
    }
}

/// Looks again and again until there is something; fails after `limit`.
#[track_caller]
pub fn until<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    const PAUSE: Duration = Duration::from_millis(20);
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < limit, "{what}: not within {limit:?}");
        thread::park_timeout(PAUSE);
    }
}
