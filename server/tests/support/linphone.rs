//! A linphonec process: a foreign phone that takes its orders as lines.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::ChildStdin;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use super::baresip::Login;
use super::namespace::Namespace;
use super::program::{Launch, Program};

/// How often it says its signal in one call: what is recorded of two times holds one whole.
const TIMES: usize = 4;

/// A running linphonec.
pub struct Linphone {
    program: Program,
    orders: Sender<String>,
    folder: TempDir,
}

impl Linphone {
    /// Starts it on the phones' host; whether it is registered only the server knows, since it says nothing.
    #[track_caller]
    pub fn start(host: &Namespace, login: &Login<'_>, signal: &[i16]) -> Self {
        Self::start_with(host, login, signal, "")
    }

    /// The same with further settings of its SIP, each ended by a line break.
    #[track_caller]
    pub fn start_with(host: &Namespace, login: &Login<'_>, signal: &[i16], sip: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder for linphonec");
        let home = folder.path().to_string_lossy().into_owned();
        // It writes its database there and does not make the folder.
        fs::create_dir_all(folder.path().join(".local/share/linphone")).expect("its folder");
        // It stops sending when it plays silence, so it says its signal again and again.
        super::wave::write(&folder.path().join("says.wav"), &signal.repeat(TIMES));
        let file = folder.path().join("linphonerc");
        fs::write(&file, settings(login.port, sip)).expect("its folder can be written");
        let mut program = Launch::installed("linphonec")
            .words(["-c", &*file.to_string_lossy()])
            .environment("HOME", &home)
            .folder(folder.path())
            .on(host)
            .start();
        let (orders, queue) = channel();
        let words = program.take_words();
        thread::spawn(move || prompt(words, &queue));
        let phone = Self { program, orders, folder };
        phone.tell("soundcard use files");
        let Login { user, password, server, transport, .. } = login;
        phone.tell(&format!(
            "register sip:{user}@{server} sip:{server};transport={transport} {password}"
        ));
        phone
    }

    /// Waits for a line that holds these words, among those not waited for yet.
    #[track_caller]
    pub fn says(&mut self, limit: Duration, words: &str) -> String {
        self.program.line(limit, words, |line| line.contains(words).then(|| line.to_owned()))
    }

    #[track_caller]
    pub fn tell(&self, line: &str) {
        self.orders.send(line.to_owned()).expect("it still listens");
    }

    /// Says its signal in the running call and records what it hears.
    #[track_caller]
    pub fn speak_and_record(&self) {
        let [says, hears] = ["says.wav", "hears.wav"].map(|name| self.path(name));
        self.tell(&format!("record {}", hears.display()));
        self.tell(&format!("play {}", says.display()));
    }

    /// Samples of what it has heard since so far.
    pub fn hears(&self) -> usize {
        fs::metadata(self.path("hears.wav")).map_or(0, |file| file.len() as usize / 2)
    }

    /// What it heard since, once the call is over.
    #[track_caller]
    pub fn heard(&self) -> Vec<i16> {
        super::wave::read(&self.path("hears.wav"))
    }

    /// The same where its codec may be of another rate: with how many samples a second.
    #[track_caller]
    pub fn heard_at(&self) -> (Vec<i16>, usize) {
        let mut file = hound::WavReader::open(self.path("hears.wav")).expect("its recording");
        let rate = file.spec().sample_rate as usize;
        (file.samples().map_while(Result::ok).collect(), rate)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// Passes orders on. Between them come empty lines: it looks at its network only when its input gives it something.
fn prompt(mut words: ChildStdin, queue: &Receiver<String>) {
    const PAUSE: Duration = Duration::from_millis(50);
    loop {
        let line = match queue.recv_timeout(PAUSE) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => String::new(),
            Err(RecvTimeoutError::Disconnected) => return,
        };
        if writeln!(words, "{line}").and_then(|()| words.flush()).is_err() {
            return;
        }
    }
}

fn settings(port: u16, sip: &str) -> String {
    let sound = port + 1_000;
    format!(
        "[sip]\nsip_port={port}\nsip_tcp_port={port}\nsip_tls_port=-1\nuse_ipv6=0\nguess_hostname=1\n\
         verify_server_certs=0\nverify_server_cn=0\n{sip}\
         [rtp]\naudio_rtp_port={sound}\n\
         [sound]\nec=0\n\
         [video]\nenabled=0\nautomatically_initiate=0\nautomatically_accept=0\n"
    )
}
