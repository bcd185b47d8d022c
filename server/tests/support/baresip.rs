//! A baresip process: a foreign phone with a file for a microphone and files for ears.

use std::fs::{self, File};
use std::io::{Read, Seek as _, SeekFrom, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::log::Log;
use super::namespace::{Namespace, PHONES};
use super::program::{Launch, Program};
use super::wave::RATE;
use super::{STEP, until};

/// Octets before the samples of its recordings.
const WAVE_HEAD: u64 = 44;

/// Who it is and how it speaks.
pub struct Login<'a> {
    pub user: &'a str,
    pub password: &'a str,
    /// HOST:PORT of the server.
    pub server: &'a str,
    /// `udp` or `tcp`.
    pub transport: &'a str,
    /// Port of its own on the phones' host; the one above takes our commands.
    pub port: u16,
}

/// A running baresip.
pub struct Baresip {
    _program: Program,
    commands: TcpStream,
    events: Arc<Log<Value>>,
    next: usize,
    /// Files that it was given to say after its first.
    said: usize,
    folder: TempDir,
}

impl Baresip {
    /// Starts it on the phones' host and waits until it is registered. It says `signal` in every call.
    #[track_caller]
    pub fn start(host: &Namespace, login: &Login<'_>, signal: &[i16]) -> Self {
        Self::start_with(host, login, signal, &["g711"])
    }

    /// The same with these codecs, the best first. `srtp` among them is none: it takes no media without keys then.
    #[track_caller]
    pub fn start_with(
        host: &Namespace,
        login: &Login<'_>,
        signal: &[i16],
        codecs: &[&str],
    ) -> Self {
        let folder = tempfile::tempdir().expect("a folder for baresip");
        super::wave::write(&folder.path().join("says.wav"), signal);
        let program = Launch::installed("baresip")
            .words(["-4", "-f", &folder.path().to_string_lossy()])
            .folder(folder.path())
            .on(host);
        fs::write(folder.path().join("config"), config(folder.path(), login.port, codecs))
            .expect("its folder can be written");
        let Login { user, password, server, transport, .. } = login;
        let keys = if codecs.contains(&"srtp") { ";mediaenc=srtp-mand" } else { "" };
        let line = format!(
            "<sip:{user}@{server};transport={transport}>;auth_pass={password};regint=60{keys}\n"
        );
        fs::write(folder.path().join("accounts"), line).expect("its folder can be written");
        // baresip asks who the user is when this is not there.
        fs::write(folder.path().join("contacts"), "").expect("its folder can be written");
        let mut program = program.start();
        let door = ("127.0.0.1", login.port + 1);
        let commands = until(STEP, "baresip's door for commands", || {
            assert!(program.poll_end().is_none(), "baresip ended at once");
            host.enter(|| TcpStream::connect(door)).ok()
        });
        let events = Arc::new(Log::default());
        let (heard, stream) = (Arc::clone(&events), commands.try_clone().expect("a second handle"));
        thread::spawn(move || follow(stream, &heard));
        program.line(STEP, "registered", |line| line.contains(" binding]").then_some(()));
        Self { _program: program, commands, events, next: 0, said: 0, folder }
    }

    /// Waits for an event of this type, among those not waited for yet.
    #[track_caller]
    pub fn event(&mut self, limit: Duration, kind: &str) -> Value {
        let wanted = |event: &Value| (event["type"] == kind).then(|| event.clone());
        self.events.find(limit, &format!("baresip: {kind}"), &mut self.next, wanted, || None)
    }

    #[track_caller]
    pub fn dial(&mut self, uri: &str) {
        self.command("dial", uri);
    }

    /// Takes the call that rings.
    #[track_caller]
    pub fn answer(&mut self) {
        self.command("accept", "");
    }

    /// From now on it says this, after a second, and nothing afterwards.
    #[track_caller]
    pub fn says(&mut self, signal: &[i16]) {
        // A file of its own: it reads the old one until it is told.
        let path = self.folder.path().join(format!("says-{}.wav", self.said));
        self.said += 1;
        super::wave::write(&path, signal);
        self.command("ausrc", &format!("aufile,{}", path.display()));
    }

    /// Presses these keys in its call.
    #[track_caller]
    pub fn press(&mut self, keys: &str) {
        self.command("sndcode", keys);
    }

    /// Leaves the other side to somebody else.
    #[track_caller]
    pub fn transfer(&mut self, uri: &str) {
        self.command("transfer", uri);
    }

    /// Ends or refuses the call.
    #[track_caller]
    pub fn hang_up(&mut self) {
        self.command("hangup", "");
    }

    #[track_caller]
    fn command(&mut self, command: &str, words: &str) {
        let text = json!({ "command": command, "params": words }).to_string();
        // A netstring: its length, a colon, itself, a comma.
        write!(self.commands, "{}:{text},", text.len()).expect("baresip listens");
    }

    /// Waits until it has heard the other side for so many seconds.
    #[track_caller]
    pub fn hears(&self, seconds: usize) {
        let wanted = 44 + 2 * RATE as u64 * seconds as u64;
        until(STEP + Duration::from_secs(seconds as u64), "sound from the other side", || {
            let length = fs::metadata(self.ear()?).ok()?.len();
            (length >= wanted).then_some(())
        });
    }

    /// What it heard in its last call.
    #[track_caller]
    pub fn heard(&self) -> Vec<i16> {
        super::wave::read(&self.ear().expect("a recording of the call"))
    }

    /// What it has heard in its newest call, and at how many samples a second.
    pub fn heard_so_far(&self) -> Option<(Vec<i16>, usize)> {
        let octets = fs::read(self.ear()?).ok()?;
        let rate = u32::from_le_bytes(octets.get(24..28)?.try_into().ok()?);
        let channels = usize::from(*octets.get(22)?).max(1);
        let data = octets.windows(4).position(|four| four == b"data")? + 8;
        let samples = octets.get(data..)?.chunks_exact(2).step_by(channels);
        let heard = samples.map(|two| i16::from_le_bytes([two[0], two[1]])).collect();
        Some((heard, rate as usize))
    }

    /// The last samples that it has heard in its newest call, once there are so many.
    pub fn heard_last(&self, count: usize) -> Option<Vec<i16>> {
        let octets = 2 * count as u64;
        let mut file = File::open(self.ear()?).ok()?;
        // Whole samples, behind the head.
        let end = file.metadata().ok()?.len().checked_sub(WAVE_HEAD)? / 2 * 2 + WAVE_HEAD;
        let from = end.checked_sub(octets).filter(|from| *from >= WAVE_HEAD)?;
        file.seek(SeekFrom::Start(from)).ok()?;
        let mut last = vec![0; 2 * count];
        file.read_exact(&mut last).ok()?;
        Some(last.chunks_exact(2).map(|two| i16::from_le_bytes([two[0], two[1]])).collect())
    }

    /// What it has said in its newest call.
    pub fn said_so_far(&self) -> Option<Vec<i16>> {
        Some(super::wave::read(&self.newest("-enc.wav")?))
    }

    /// The newest recording of what came in.
    fn ear(&self) -> Option<PathBuf> {
        self.newest("-dec.wav")
    }

    /// The newest recording whose name ends so.
    fn newest(&self, end: &str) -> Option<PathBuf> {
        let files = fs::read_dir(self.folder.path()).ok()?.flatten().map(|entry| entry.path());
        files.filter(|path| path.to_string_lossy().ends_with(end)).max()
    }
}

/// Puts the events among the netstrings that come into the log.
fn follow(mut stream: TcpStream, events: &Log<Value>) {
    let mut held = Vec::new();
    let mut octets = [0; 4_096];
    while let Ok(count @ 1..) = stream.read(&mut octets) {
        held.extend_from_slice(&octets[..count]);
        while let Some((text, used)) = netstring(&held) {
            let value: Value = serde_json::from_slice(text).unwrap_or_default();
            if value["event"] == true {
                events.push(value);
            }
            held.drain(..used);
        }
    }
}

/// The first netstring and how many octets it takes with its marks.
fn netstring(octets: &[u8]) -> Option<(&[u8], usize)> {
    let colon = octets.iter().position(|octet| *octet == b':')?;
    let length: usize = std::str::from_utf8(&octets[..colon]).ok()?.parse().ok()?;
    let text = octets.get(colon + 1..colon + 1 + length)?;
    (octets.len() > colon + 1 + length).then_some((text, colon + length + 2))
}

/// Its file and its ear have one rate, whatever the codec has. Without a jitter buffer, for the wire has no jitter: that of this phone measures a stream by the numbers of the one
/// before it, so that after a transfer it plays nothing where the new sender happens to count lower.
fn config(folder: &Path, port: u16, codecs: &[&str]) -> String {
    let (folder, door) = (folder.display(), port + 1);
    let codecs: String = codecs.iter().map(|codec| format!("module {codec}.so\n")).collect();
    format!(
        "module_path /usr/lib/baresip/modules\n\
         {codecs}\
         module aufile.so\n\
         module aubridge.so\n\
         module sndfile.so\n\
         module_app account.so\n\
         module_app menu.so\n\
         module_app ctrl_tcp.so\n\
         ctrl_tcp_listen 127.0.0.1:{door}\n\
         snd_path {folder}\n\
         audio_source aufile,{folder}/says.wav\n\
         audio_player aubridge,{port}\n\
         audio_alert aubridge,alert{port}\n\
         ausrc_srate {RATE}\n\
         ausrc_channels 1\n\
         auplay_srate {RATE}\n\
         auplay_channels 1\n\
         jitter_buffer_delay 0-0\n\
         sip_listen {PHONES}:{port}\n"
    )
}
