//! The servers under load: how each is started, made ready and ended.

mod carillon;
mod kamailio;
mod rtpengine;

use std::fs;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::process;

/// How long a server may take to become ready.
const READY_MAX: Duration = Duration::from_secs(20);
/// How long a server may take to end.
const END_MAX: Duration = Duration::from_secs(10);
/// Between two looks while waiting.
const LOOK: Duration = Duration::from_millis(20);

/// A server that can be measured.
#[derive(Clone, Debug)]
pub enum Peer {
    /// Ours: the program, and text to add to its configuration.
    Carillon {
        /// The program.
        program: PathBuf,
        /// Lines added to the configuration that the bench writes.
        extra: String,
        /// `sip.shards`.
        shards: u16,
        /// Whether phones share a port.
        shared: bool,
    },
    /// The peer for calls, from Debian.
    Kamailio,
    /// The peer for media, from Debian.
    Rtpengine,
}

impl Peer {
    /// Its word in the report.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Carillon { shared: true, .. } => "carillon-shared",
            Self::Carillon { .. } => "carillon",
            Self::Kamailio => "kamailio",
            Self::Rtpengine => "rtpengine",
        }
    }

    /// Starts it on `cores` and waits until it is ready.
    pub fn start(&self, cores: &[usize], generator_cores: &[usize]) -> anyhow::Result<Running> {
        // What a thread starts inherits its cores.
        pin(cores)?;
        let started = match self {
            Self::Carillon { program, extra, shards, shared } => {
                carillon::start(program, extra, *shards, *shared)
            }
            Self::Kamailio => kamailio::start(),
            Self::Rtpengine => rtpengine::start(),
        };
        pin(generator_cores)?;
        started.with_context(|| format!("starting {}", self.name()))
    }
}

fn pin(cores: &[usize]) -> anyhow::Result<()> {
    if cores.is_empty() { Ok(()) } else { net::pin_thread(cores).context("choosing cores") }
}

/// A server that runs. Dropping it ends it and removes its folder.
pub struct Running {
    child: Child,
    folder: Folder,
    /// Its UDP listener: of SIP, or of its control protocol.
    pub sip: SocketAddr,
    /// Where users are made, and the token; `None` when every user exists.
    pub admin: Option<(SocketAddr, String)>,
}

impl Running {
    /// Processor time so far.
    pub fn cpu(&self) -> Duration {
        process::cpu(self.child.id())
    }

    /// Resident octets now.
    pub fn memory(&self) -> u64 {
        process::memory(self.child.id())
    }

    /// An error when it has ended by itself.
    pub fn check(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("the server ended with {status}: {}", self.folder.tail()),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let tree = process::tree(self.child.id());
        signal("TERM", &tree[..1]);
        let begun = Instant::now();
        while begun.elapsed() < END_MAX && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(LOOK);
        }
        if matches!(self.child.try_wait(), Ok(None)) {
            signal("KILL", &tree); // All of them were started by us, through it.
            let _ = self.child.wait();
        }
    }
}

fn signal(name: &str, pids: &[u32]) {
    let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
    let script = format!("kill -{name} {}", pids.join(" "));
    let _ = Command::new("sh").args(["-c", &script]).status();
}

/// A folder that goes away with its server.
struct Folder(PathBuf);

impl Folder {
    fn make(name: &str) -> anyhow::Result<Self> {
        let unique = format!("carillon-bench-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(unique);
        let _ = fs::remove_dir_all(&path); // Of an earlier start of this very run.
        fs::create_dir_all(&path).with_context(|| format!("making {}", path.display()))?;
        Ok(Self(path))
    }

    fn path(&self) -> &Path {
        &self.0
    }

    /// Where the server's messages go.
    fn log(&self) -> anyhow::Result<fs::File> {
        fs::File::create(self.0.join("log")).context("making the server's log")
    }

    /// The end of what the server said.
    fn tail(&self) -> String {
        let log = fs::read_to_string(self.0.join("log")).unwrap_or_default();
        let rows: Vec<&str> = log.lines().collect();
        rows[rows.len().saturating_sub(12)..].join("\n")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A port that was free a moment ago for both transports.
fn free_port() -> anyhow::Result<u16> {
    for _ in 0..16 {
        let udp = UdpSocket::bind("127.0.0.1:0")?;
        let port = udp.local_addr()?.port();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port on loopback")
}
