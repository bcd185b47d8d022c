//! A process that a test started: its output, what it is told, its end.

use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::log::Log;
use super::namespace::Namespace;
use super::{STEP, until};

/// Lines that are shown of a program when its test fails.
const SHOWN: usize = 40;

/// Where a program is; fails with what to do when it is nowhere.
#[track_caller]
pub fn find(name: &str) -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    let program = folders.map(|folder| folder.join(name)).find(|program| program.is_file());
    program.unwrap_or_else(|| {
        panic!("{name} is not installed: run `cargo xtask test`, which installs it")
    })
}

/// What is to be started, and on which host. Can be started again.
#[derive(Clone)]
pub struct Launch {
    program: PathBuf,
    words: Vec<String>,
    environment: Vec<(String, String)>,
    folder: Option<PathBuf>,
    host: Option<Namespace>,
}

impl Launch {
    /// An installed program.
    #[track_caller]
    pub fn installed(name: &str) -> Self {
        Self::built(&find(name).to_string_lossy())
    }

    /// A program at this path.
    pub fn built(path: &str) -> Self {
        Self {
            program: path.into(),
            words: Vec::new(),
            environment: Vec::new(),
            folder: None,
            host: None,
        }
    }

    pub fn words<'a>(mut self, words: impl IntoIterator<Item = &'a str>) -> Self {
        self.words.extend(words.into_iter().map(str::to_owned));
        self
    }

    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Where it runs in the file system.
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Where it runs on the network.
    pub fn on(mut self, host: &Namespace) -> Self {
        self.host = Some(host.clone());
        self
    }

    /// Starts it. It ends with the returned value, and with the thread that called.
    #[track_caller]
    pub fn start(&self) -> Program {
        let name = self.program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // Each of these becomes the next, so the child is the program itself. The first sees to it that a test that is
        // killed leaves nothing behind.
        let mut words = vec!["--pdeathsig".into(), "KILL".into()];
        if let Some(host) = &self.host {
            words.push(find("ip"));
            words.extend(["netns", "exec", host.name()].map(PathBuf::from));
        }
        words.push(self.program.clone());
        let mut command = Command::new(find("setpriv"));
        command.args(words).args(&self.words);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.current_dir(self.folder.clone().unwrap_or_else(env::temp_dir));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.process_group(0).spawn().expect("setpriv starts");
        let output = Arc::new(Log::default());
        follow(child.stdout.take().expect("its output is ours"), &output);
        follow(child.stderr.take().expect("its output is ours"), &output);
        let words = child.stdin.take();
        Program { name, child, ended: None, words, output, next: 0 }
    }
}

/// How long the last words of a program that has ended are waited for: somebody whom it started may keep the pipe.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A running program. Dropped, it is killed with all that it started.
pub struct Program {
    name: String,
    child: Child,
    ended: Option<ExitStatus>,
    words: Option<ChildStdin>,
    output: Arc<Log<String>>,
    /// Lines that were looked at.
    next: usize,
}

/// Adds each line of a pipe to the log; ends with the pipe.
fn follow(pipe: impl Read + Send + 'static, log: &Arc<Log<String>>) {
    let log = Arc::clone(log);
    log.begin();
    thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
            log.push(String::from_utf8_lossy(&line).into_owned());
        }
        log.end();
    });
}

impl Program {
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What `wanted` takes from the first line, among those not looked at yet, that it wants.
    #[track_caller]
    pub fn line<T>(
        &mut self,
        limit: Duration,
        what: &str,
        wanted: impl Fn(&str) -> Option<T>,
    ) -> T {
        let Self { name, child, ended, output, next, .. } = self;
        let over = || {
            if ended.is_none() {
                *ended = child.try_wait().ok().flatten();
                ended.inspect(|_| output.settle(LAST_WORDS));
            }
            ended.map(|status| format!("{name} ended ({status})"))
        };
        output.find(limit, &format!("{name}: {what}"), next, |line| wanted(line), over)
    }

    /// Everything it has said so far.
    pub fn said(&self) -> Vec<String> {
        self.output.entries().clone()
    }

    /// Gives it one line.
    #[track_caller]
    pub fn tell(&mut self, line: &str) {
        let words = self.words.as_mut().expect("it still listens");
        writeln!(words, "{line}").and_then(|()| words.flush()).expect("it still listens");
    }

    /// Its standard input, for somebody else to write to; `tell` is over then.
    #[track_caller]
    pub fn take_words(&mut self) -> ChildStdin {
        self.words.take().expect("it still listens")
    }

    pub fn signal(&mut self, signal: Signal) {
        if self.poll_end().is_none() {
            // Not waited for yet, so the number is still its own. It may have ended all the same.
            let _ = killpg(Pid::from_raw(self.child.id().cast_signed()), signal);
        }
    }

    /// Its exit status, once it has one.
    #[track_caller]
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let what = format!("the end of {}", self.name);
        until(limit, &what, || self.poll_end())
    }

    /// Asks it to end and waits.
    #[track_caller]
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.wait(STEP)
    }

    /// Ends it as a power cut would.
    #[track_caller]
    pub fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        self.wait(STEP);
    }

    pub fn poll_end(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().expect("a child of ours can be waited for");
            // What it said last may still be in the pipe.
            self.ended.inspect(|_| self.output.settle(LAST_WORDS));
        }
        self.ended
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
        let _ = self.child.wait();
        if thread::panicking() {
            let lines = self.output.entries();
            let from = lines.len().saturating_sub(SHOWN);
            eprintln!("--- {} said last:", self.name);
            lines[from..].iter().for_each(|line| eprintln!("    {line}"));
        }
    }
}

/// The interpreter with the Python packages of the tests; fails with what to do when it is nowhere.
#[track_caller]
pub fn python() -> PathBuf {
    let python = match env::var_os("CARILLON_TEST_PYTHON") {
        Some(path) => PathBuf::from(path),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/venv/bin/python"),
    };
    assert!(python.exists(), "no {}: `cargo xtask test` installs it", python.display());
    python
}
