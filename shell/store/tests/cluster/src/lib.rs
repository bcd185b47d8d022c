//! A PostgreSQL of the test's own: made in a temporary folder, reached by a Unix socket in it, ended with the value.
//!
//! Picture     initdb -> postgres -k FOLDER (our child) -> one database for each test, made by `psql`
//! Rules       The programs are Debian's. They refuse root, so root starts them as another user. Texts are sorted by the
//!             rules of a language, so that a statement which relies on the order of octets shows itself.
//! Limits      READY_MAX until it answers.
//! Not here    What is asked of it.
//! Spec        none
#![deny(missing_docs)]

pub mod rows;

use std::fs::{self, File, Permissions};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Gid, Pid, Uid, User};
use tempfile::TempDir;

/// Who owns the databases.
const OWNER: &str = "carillon";
/// Some signs that an address must write as %XX.
const PASSWORD: &str = "p@ss/w:rd%";
/// The same in an address.
const PASSWORD_IN_ADDRESS: &str = "p%40ss%2Fw%3Ard%25";
/// Names the Unix socket, where there is no other.
const PORT: u16 = 5432;
/// Where Debian puts the programs, one folder for each version.
const PROGRAMS: &str = "/usr/lib/postgresql";
/// A cluster must answer within this.
const READY_MAX: Duration = Duration::from_secs(60);
/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Waits for the end of the test program; then ends the server and removes the folder, if they are still there.
const WATCH: &str = "read line; kill -QUIT $1; kill -CONT $1; \
     while kill -0 $1; do sleep 0.1; done; rm -rf -- \"$2\"";

/// A running server with its data. Dropped, both go.
pub struct Cluster {
    folder: TempDir,
    user: Option<(Uid, Gid)>,
    server: Mutex<Option<Running>>,
    /// Whether it listens on loopback as well, and with which certificate.
    tls: bool,
    next: AtomicU32,
}

/// The server, and a shell that ends it when a killed test leaves it behind.
struct Running {
    server: Child,
    watch: Child,
    port: u16,
}

/// The cluster that the tests of one program share; it goes with the last of them.
static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());

impl Cluster {
    /// The one of this program.
    pub fn shared() -> Arc<Self> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cluster) = shared.upgrade() {
            return cluster;
        }
        let cluster = Arc::new(Self::start());
        *shared = Arc::downgrade(&cluster);
        cluster
    }

    /// One of the test's own, which may be stopped.
    pub fn start() -> Self {
        Self::start_with(None)
    }

    /// One that listens on loopback as well, with this certificate and key, in PEM.
    pub fn start_tls(certificate: &str, key: &str) -> Self {
        Self::start_with(Some((certificate, key)))
    }

    fn start_with(tls: Option<(&str, &str)>) -> Self {
        let folder = tempfile::Builder::new().prefix("pg").tempdir().expect("a folder");
        let user = other_user();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).expect("our folder");
        let (certificate, key) = tls.unwrap_or_default();
        let own = |place: &Path| {
            if let Some((user, group)) = user {
                chown(place, Some(user.as_raw()), Some(group.as_raw())).expect("root may do so");
            }
        };
        own(folder.path());
        for (name, text) in [("password", PASSWORD), ("certificate", certificate), ("key", key)] {
            let place = folder.path().join(name);
            fs::write(&place, text).expect("our folder");
            fs::set_permissions(&place, Permissions::from_mode(0o600)).expect("our file");
            own(&place);
        }
        let (server, next) = (Mutex::default(), AtomicU32::new(0));
        let cluster = Self { folder, user, server, tls: tls.is_some(), next };
        let mut make = cluster.command("initdb");
        make.args(["--username", OWNER, "--auth", "scram-sha-256", "--encoding", "UTF8"]);
        make.args(["--locale-provider", "icu", "--icu-locale", "en-US", "--locale", "C.UTF-8"]);
        make.args(["--no-sync", "--pwfile", "password", "--pgdata", "data"]);
        let done = make.output().expect("initdb starts");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        cluster.resume_or_start();
        cluster
    }

    /// A new, empty database; its address.
    pub fn database(&self) -> String {
        let name = format!("test_{}", self.next.fetch_add(1, Ordering::Relaxed));
        self.run("postgres", &format!("create database {name}"));
        self.address(&name)
    }

    /// The address of a database.
    pub fn address(&self, database: &str) -> String {
        let folder = self.folder.path().to_string_lossy().replace('/', "%2F");
        format!("postgres://{OWNER}:{PASSWORD_IN_ADDRESS}@{folder}/{database}")
    }

    /// The address of a database by TLS, to this name of the server.
    pub fn address_by_tls(&self, host: &str, database: &str) -> String {
        let running = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        let port = running.as_ref().map_or(0, |running| running.port);
        format!("postgres://{OWNER}:{PASSWORD_IN_ADDRESS}@{host}:{port}/{database}?sslmode=require")
    }

    /// The folder of the socket.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What `psql` says to some statements, one row a line, columns parted by `|`.
    pub fn run(&self, database: &str, sql: &str) -> String {
        let done = self.psql(database, sql);
        assert!(done.status.success(), "{sql}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).into_owned()
    }

    /// Ends it at once, as a power cut would: what was not forced to the disk may be lost.
    pub fn stop(&self) {
        let running = self.server.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Running { mut server, mut watch, .. }) = running else { return };
        // First the watch: the server's number may be another's afterwards.
        let _ = watch.kill();
        let _ = watch.wait();
        // Immediate shutdown. It may be frozen.
        signal(&server, Signal::SIGQUIT);
        signal(&server, Signal::SIGCONT);
        let until = Instant::now() + READY_MAX;
        while server.try_wait().expect("our child").is_none() {
            assert!(Instant::now() < until, "postgres does not end");
            thread::park_timeout(LOOK);
        }
    }

    /// Starts it again, and waits until it answers.
    pub fn resume_or_start(&self) {
        let mut running = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        if running.is_none() {
            *running = Some(self.spawn());
        }
        drop(running);
        let until = Instant::now() + READY_MAX;
        while !self.psql("postgres", "select 1").status.success() {
            let log = fs::read_to_string(self.log()).unwrap_or_default();
            assert!(Instant::now() < until, "postgres is not ready: {log}");
            self.another_port();
            thread::park_timeout(LOOK);
        }
    }

    fn spawn(&self) -> Running {
        let log = File::options().create(true).append(true).open(self.log()).expect("a file");
        let mut command = self.command("postgres");
        command.args(["-D", "data", "-k"]).arg(self.folder.path());
        let mut port = PORT;
        if self.tls {
            let free =
                TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|free| free.local_addr());
            port = free.expect("a free port").port();
            for word in ["ssl=on", "ssl_cert_file=../certificate", "ssl_key_file=../key"] {
                command.args(["-c", word]);
            }
            command.args(["-c", "listen_addresses=127.0.0.1"]);
        } else {
            command.args(["-c", "listen_addresses="]);
        }
        command.args(["-p", &port.to_string()]);
        command.stdout(log.try_clone().expect("a file")).stderr(log);
        let server = command.spawn().expect("postgres starts");
        let mut watch = self.command_at(Path::new("/bin/sh"));
        watch.args(["-c", WATCH, "watch", &server.id().to_string()]).arg(self.folder.path());
        watch.stdin(Stdio::piped()).stderr(Stdio::null());
        let watch = watch.spawn().expect("a shell starts");
        Running { server, watch, port }
    }

    /// Somebody else may have taken the port that was free.
    fn another_port(&self) {
        let mut running = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Running { server, watch, .. }) = running.as_mut() else { return };
        if server.try_wait().expect("our child").is_some() {
            let _ = watch.kill();
            let _ = watch.wait();
            *running = Some(self.spawn());
        }
    }

    /// Stops all its processes in mid-air, as a machine that hangs: connections stay open and nothing answers.
    pub fn freeze(&self) {
        self.all(Signal::SIGSTOP);
    }

    /// Lets them go on.
    pub fn thaw(&self) {
        self.all(Signal::SIGCONT);
    }

    fn all(&self, what: Signal) {
        let running = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Running { server, .. }) = running.as_ref() else { return };
        signal(server, what);
        let children = format!("/proc/{0}/task/{0}/children", server.id());
        for child in fs::read_to_string(children).unwrap_or_default().split_whitespace() {
            if let Ok(child) = child.parse() {
                // It may have ended by itself.
                let _ = kill(Pid::from_raw(child), what);
            }
        }
    }

    fn psql(&self, database: &str, sql: &str) -> std::process::Output {
        let mut ask = self.command("psql");
        ask.env("PGPASSWORD", PASSWORD).args(["--no-psqlrc", "--quiet", "--tuples-only"]);
        ask.args(["--no-align", "--set", "ON_ERROR_STOP=1", "--username", OWNER, "--host"]);
        let running = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        let port = running.as_ref().map_or(PORT, |running| running.port);
        drop(running);
        ask.arg(self.folder.path()).args([
            "--port",
            &port.to_string(),
            "--dbname",
            database,
            "--command",
            sql,
        ]);
        ask.output().expect("psql starts")
    }

    fn command(&self, program: &str) -> Command {
        self.command_at(&find(program))
    }

    fn command_at(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.folder.path()).stdin(Stdio::null()).env("LC_ALL", "C.UTF-8");
        if let Some((user, group)) = self.user {
            command.uid(user.as_raw()).gid(group.as_raw());
        }
        command
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop();
    }
}

fn signal(child: &Child, what: Signal) {
    if let Ok(id) = i32::try_from(child.id()) {
        // It may have ended by itself.
        let _ = kill(Pid::from_raw(id), what);
    }
}

/// For root: whom the package has made for this, or else nobody.
fn other_user() -> Option<(Uid, Gid)> {
    if !Uid::effective().is_root() {
        return None;
    }
    let named = |name| User::from_name(name).ok().flatten();
    let user = named("postgres").or_else(|| named("nobody")).expect("a user who is not root");
    Some((user.uid, user.gid))
}

/// Where a program of the newest version is.
fn find(program: &str) -> PathBuf {
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir(PROGRAMS)
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            Some((path.file_name()?.to_str()?.parse().ok()?, path.join("bin").join(program)))
        })
        .filter(|(_, path)| path.is_file())
        .collect();
    versions.sort();
    let newest = versions.pop().map(|(_, path)| path);
    newest.unwrap_or_else(|| {
        panic!("postgresql is not installed: run `cargo xtask test`, which installs it")
    })
}
