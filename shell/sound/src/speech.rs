//! Words become sound: by a program of the system, a program of the operator's, or a server.
//!
//! Picture     text --> one voice door --> a file --> a clip like any other, kept under its content
//! Rules       No shell reads a text, and no text is a word of a command line. A program that is late is ended, with what it started, by
//!             its number; what it said goes to the log. The same words by the same voice are made once.
//! Limits      [`TEXT_MAX`]; [`SPEECH_TIME_MAX`]; as many programs at once as `clips::SPEECH_THREADS`; files as of all clips.
//! Not here    Keeping and lending (clips), the HTTP client (the roof gives it).
//! Spec        BCP 47 for languages.

use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use blobs::Hash;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use switchboard::SoundFault;

use crate::clips::source;
use crate::decode::CLIP_BYTES_MAX;

/// Octets of a text.
pub const TEXT_MAX: usize = 4_096;
/// How long speaking may take.
pub const SPEECH_TIME_MAX: Duration = Duration::from_secs(15);
/// Letters of a voice or a language.
const NAME_MAX: usize = 64;
/// Octets of a program's complaints that go to the log.
const COMPLAINT_MAX: u64 = 1_000;
/// How often a program that has closed its output is looked after.
const LOOK: Duration = Duration::from_millis(5);

/// The voices of flite that are one of its own: another name would be a file or an address to it.
const FLITE_VOICES: [&str; 5] = ["awb", "kal", "kal16", "rms", "slt"];
/// The one that is clearest on a phone.
const FLITE_VOICE: &str = "slt";

/// What a server of voices is asked: text, voice. Runs on a worker and may wait.
pub type Ask = Arc<dyn Fn(&str, &str) -> Result<Vec<u8>, SoundFault> + Send + Sync>;

/// Who speaks.
#[derive(Clone, Default)]
pub enum Door {
    /// A program of the operator's and its words; `{language}` and `{voice}` are filled in. It reads the text and writes
    /// a file of sound.
    Command(Vec<String>),
    /// A server.
    Server(Ask),
    /// `flite` for English, `espeak-ng` for the rest.
    #[default]
    System,
}

/// See the head of this file.
#[derive(Clone)]
pub struct Voices {
    door: Door,
    /// Who speaks when nobody is named.
    voice: String,
    time: Duration,
}

impl Voices {
    /// `voice`: who speaks when nobody is named; empty: the door's own.
    pub fn new(door: Door, voice: &str) -> Self {
        Self { door, voice: voice.to_owned(), time: SPEECH_TIME_MAX }
    }

    /// The name of what these words by this voice become, in the list of sources; or why they cannot be spoken.
    pub fn source(&self, text: &str, language: &str, voice: &str) -> Result<Hash, SoundFault> {
        if text.trim().is_empty() || text.len() > TEXT_MAX {
            return Err(SoundFault::TextBounds);
        }
        let plain = |name: &str| {
            let letter = |letter: u8| letter.is_ascii_alphanumeric() || b"-_.+".contains(&letter);
            name.len() <= NAME_MAX && name.bytes().all(letter) && !name.starts_with('-')
        };
        if !plain(language) || !plain(voice) {
            return Err(SoundFault::NoVoice);
        }
        let voice = self.voice(voice).as_bytes();
        Ok(source(&[b"speech", text.as_bytes(), language.as_bytes(), voice]))
    }

    /// A file of these words. Waits until they are spoken.
    pub fn speak(&self, text: &str, language: &str, voice: &str) -> Result<Vec<u8>, SoundFault> {
        let voice = self.voice(voice);
        match &self.door {
            Door::Command(words) => self.command(words, text, language, voice),
            Door::Server(ask) => ask(text, voice),
            Door::System => self.system(text, language, voice),
        }
    }

    fn voice<'a>(&'a self, voice: &'a str) -> &'a str {
        if voice.is_empty() { &self.voice } else { voice }
    }

    fn command(
        &self,
        words: &[String],
        text: &str,
        language: &str,
        voice: &str,
    ) -> Result<Vec<u8>, SoundFault> {
        let (program, words) = words.split_first().ok_or(SoundFault::NoVoice)?;
        let fill = |word: &String| word.replace("{language}", language).replace("{voice}", voice);
        self.run(Command::new(program).args(words.iter().map(fill)), Some(text))
    }

    /// The programs that Debian has. A voice that neither knows is a wish that is not heard: somebody speaks all the same.
    fn system(&self, text: &str, language: &str, voice: &str) -> Result<Vec<u8>, SoundFault> {
        let folder = tempfile::tempdir().map_err(|_| SoundFault::Store)?;
        let (words, sound) = (folder.path().join("text"), folder.path().join("speech.wav"));
        fs::write(&words, text).map_err(|_| SoundFault::Store)?;
        let english = language.is_empty() || language.to_ascii_lowercase().starts_with("en");
        if english {
            let known = FLITE_VOICES.into_iter().find(|known| *known == voice);
            let mut flite = Command::new("flite");
            flite.args(["-voice", known.unwrap_or(FLITE_VOICE), "-f"]).arg(&words);
            match self.run(flite.arg("-o").arg(&sound), None) {
                // Not installed: the other speaks English as well.
                Err(SoundFault::NoVoice) => (),
                spoken => return spoken.and_then(|_| read(&sound)),
            }
        }
        let language = if language.is_empty() { "en" } else { language };
        let mut espeak = Command::new("espeak-ng");
        espeak.args(["-v", &language.to_ascii_lowercase(), "-b", "1", "-f"]).arg(&words);
        self.run(espeak.arg("-w").arg(&sound), None)?;
        read(&sound)
    }

    /// Runs a program with a text on its input, and gives its output. `NoVoice`: it is not there.
    fn run(&self, command: &mut Command, text: Option<&str>) -> Result<Vec<u8>, SoundFault> {
        let input = text.map(|text| text.as_bytes().to_vec());
        run(command, input, self.time).map_err(|missing| match missing {
            Ran::Failed => SoundFault::SpeechFailed,
            Ran::Missing => SoundFault::NoVoice,
        })
    }
}

/// Why a program gave nothing.
pub(crate) enum Ran {
    /// It ended with an error, or not in time; the log has its words.
    Failed,
    /// It is not there.
    Missing,
}

/// Runs a program with this on its input, and gives its output.
pub(crate) fn run(
    command: &mut Command,
    input: Option<Vec<u8>>,
    time: Duration,
) -> Result<Vec<u8>, Ran> {
    let until = Instant::now() + time;
    let name = command.get_program().to_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    command.env_clear().env("PATH", path).env("LC_ALL", "C.UTF-8");
    // A group of its own: what it starts ends with it.
    command.process_group(0);
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().map_err(|error| {
        tracing::warn!(program = ?name, %error, "voice_not_started");
        if error.kind() == io::ErrorKind::NotFound { Ran::Missing } else { Ran::Failed }
    })?;
    let mut child = Ended(child);
    let spoken = talk(&mut child.0, input, until);
    let fault = |why: &str, said: &[u8]| {
        let said = String::from_utf8_lossy(said);
        tracing::warn!(program = ?name, why, %said, "voice_failed");
        Ran::Failed
    };
    let Talk { output, complaint } = spoken.map_err(|why| fault(why, b""))?;
    let status = loop {
        match child.0.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < until => thread::sleep(LOOK),
            Ok(None) | Err(_) => return Err(fault("it did not end in time", &complaint)),
        }
    };
    if !status.success() {
        return Err(fault("it ended with an error", &complaint));
    }
    Ok(output)
}

/// A program that is ended when we are done with it, whatever it does.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended by itself, what it started as well.
        if let Ok(group) = i32::try_from(self.0.id()) {
            let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
        }
        drop(self.0.wait());
    }
}

struct Talk {
    output: Vec<u8>,
    complaint: Vec<u8>,
}

/// Gives a program its text and takes what it says, each on a thread of its own: none of them can stop the others. The
/// threads end with the program's pipes.
fn talk(child: &mut Child, text: Option<Vec<u8>>, until: Instant) -> Result<Talk, &'static str> {
    let threads = "the system gives no threads";
    if let (Some(mut input), Some(text)) = (child.stdin.take(), text) {
        // A program that does not read its text says so by how it ends.
        let write = move || drop(input.write_all(&text));
        thread::Builder::new().name("voice".to_owned()).spawn(write).map_err(|_| threads)?;
    }
    let (told, heard) = sync_channel(2);
    let outputs: [(Option<Box<dyn Read + Send>>, u64); 2] = [
        (child.stdout.take().map(|pipe| Box::new(pipe) as _), CLIP_BYTES_MAX as u64 + 1),
        (child.stderr.take().map(|pipe| Box::new(pipe) as _), COMPLAINT_MAX),
    ];
    for (place, (pipe, max)) in outputs.into_iter().enumerate() {
        let (Some(mut pipe), told) = (pipe, told.clone()) else { continue };
        let read = move || {
            let mut said = Vec::new();
            // What was read counts, whatever ended it.
            drop(pipe.by_ref().take(max).read_to_end(&mut said));
            drop(told.send((place, said)));
            // Complaints beyond are read and forgotten; the sound beyond is none of ours.
            if place == 1 {
                drop(io::copy(&mut pipe, &mut io::sink()));
            }
        };
        thread::Builder::new().name("voice".to_owned()).spawn(read).map_err(|_| threads)?;
    }
    let mut said = [Vec::new(), Vec::new()];
    let mut output_ended = false;
    while !output_ended {
        let left = until.saturating_duration_since(Instant::now());
        let (place, octets) = heard.recv_timeout(left).map_err(|late| match late {
            RecvTimeoutError::Timeout => "it took too long",
            RecvTimeoutError::Disconnected => "its output is gone",
        })?;
        output_ended = place == 0;
        if let Some(known) = said.get_mut(place) {
            *known = octets;
        }
    }
    let [output, mut complaint] = said;
    if output.len() > CLIP_BYTES_MAX {
        return Err("it said more than a clip may have");
    }
    if let Ok((1, octets)) = heard.recv_timeout(Duration::from_millis(50)) {
        complaint = octets;
    }
    Ok(Talk { output, complaint })
}

fn read(path: &Path) -> Result<Vec<u8>, SoundFault> {
    let mut sound = Vec::new();
    let file = File::open(path).map_err(|_| SoundFault::SpeechFailed)?;
    let read = file.take(CLIP_BYTES_MAX as u64 + 1).read_to_end(&mut sound);
    read.map_err(|_| SoundFault::Store)?;
    Ok(sound)
}

#[cfg(test)]
mod tests;
