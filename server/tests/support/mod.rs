//! What the black-box tests share: hosts of their own, foreign programs, the server, sound.
//!
//! Picture     test --> Namespace (a host) <-- Program (a process in it) <-- Server, Baresip, Phone, Capture
//! Rules       Only what a test started is ended, by its handle. Every wait is for something and has a limit. Ports are
//!             free because each test makes the hosts that they are on.
//! Limits      STEP for what answers at once; each wait names its own otherwise.
//! Not here    What is proved (the files beside this folder).
//! Spec        none

pub mod app;
pub mod baresip;
pub mod browser;
pub mod capture;
pub mod certificate;
pub mod disk;
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
pub mod recorder;
pub mod server;
pub mod wave;

use std::fs::File;
use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// How long something that answers at once may take on a machine that is busy.
pub const STEP: Duration = Duration::from_secs(15);

/// Tests with phones, browsers and other programs in real time that run at once, over all test programs.
const SEATS: usize = 2;
/// How long a test waits until others are done.
const QUEUE: Duration = Duration::from_mins(30);

/// The right to use the machine's processors; it ends with the value.
pub struct Turn {
    _seats: Vec<File>,
}

fn seat(number: usize) -> File {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("seat-{number}.lock"));
    File::create(path).expect("the build's folder for tests can be written")
}

/// Waits for one of the seats.
pub fn turn() -> Turn {
    until(QUEUE, "a seat for a test in real time", || {
        let free = (0..SEATS).map(seat).find(|seat| seat.try_lock().is_ok());
        free.map(|free| Turn { _seats: vec![free] })
    })
}

/// Waits for all seats: for whoever needs all that the machine can give.
pub fn whole_machine() -> Turn {
    let seats: Vec<File> = (0..SEATS).map(seat).collect();
    // One after the other in the same order, so that two of these do not wait for each other.
    seats.iter().for_each(|seat| seat.lock().expect("a lock file locks"));
    Turn { _seats: seats }
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
