//! One server with the apps of its users, the sounds that they play, and what callers hear of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::baresip::{Baresip, Login};
use crate::support::browser::Browser;
use crate::support::http::Door;
use crate::support::namespace::{Namespace, SERVER};
use crate::support::program::{Launch, Program, find, python};
use crate::support::server::{DOMAIN, PASSWORD, Server};
use crate::support::wave::{RATE, loudness, read, tone};
use crate::support::{STEP, until};

/// What the apps play, by the name of the file. Units: hertz. No tone is near another or a multiple of one.
const SOUNDS: [(&str, f64); 7] = [
    ("goodbye", 620.0),
    ("hours", 740.0),
    ("leave", 400.0),
    ("menu", 500.0),
    ("music", 680.0),
    ("whisper", 830.0),
    ("wrong", 1_130.0),
];
/// The number that the shop calls from.
pub const SHOP: &str = "+15550203";
/// Where pages come in.
const PAGES: u16 = 5_062;
/// How loud a tone must be to be the one that is heard: most of what it is sent with, so that where one follows another
/// only one of them is.
const HEARD_MIN: f64 = 3_200.0;
/// What is looked at at once: a quarter of a second.
const LOOK: usize = RATE / 4;

/// Everything that the stories share.
pub struct House {
    pub server: Server,
    pub phones: Namespace,
    /// The app in Flask.
    pub shop: App,
    /// The app in Express.
    pub desk: App,
    /// Plain files.
    pub shelf: App,
    /// Where it keeps what callers said.
    pub letters: PathBuf,
    ports: AtomicU16,
    _listener: Program,
    _folder: TempDir,
}

impl House {
    #[track_caller]
    pub fn open() -> Self {
        let folder = tempfile::tempdir().expect("a folder for the apps");
        let [sounds, letters] = ["sounds", "letters"].map(|name| {
            let path = folder.path().join(name);
            fs::create_dir(&path).expect("the folder can be written");
            path
        });
        for (name, pitch) in SOUNDS {
            play(&sounds.join(format!("{name}.wav")), &tone(pitch, 2));
        }
        let (host, phones) = Namespace::pair();
        let (listener, words) = python_program("listener.py", Launch::clone, &host);
        let more = format!(
            "[guard]\nhttp_targets = \"any\"\n\
             [transcription]\nurl = \"{words}/v1/audio/transcriptions\"\n"
        );
        let server = serve(&host, &more);
        let keys = ["CARILLON_URL", "TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN"];
        let told = |launch: &Launch| {
            let launch = launch
                .clone()
                .environment("SOUNDS", &sounds.to_string_lossy())
                .environment("LETTERS", &letters.to_string_lossy())
                .environment("NUMBER", SHOP);
            keys.iter().fold(launch, |launch, key| launch.environment(key, &server.written[*key]))
        };
        let shop = App::of(python_program("shop.py", told, &host), &host);
        let desk = told(&Launch::installed("node").words([&*script("desk.js")]));
        let desk = App::of(running(desk.on(&host).start()), &host);
        let shelf = App::of(plain_files(folder.path(), &host), &host);
        let ports = AtomicU16::new(6_000);
        Self {
            server,
            phones,
            shop,
            desk,
            shelf,
            letters,
            ports,
            _listener: listener,
            _folder: folder,
        }
    }

    /// A page of this person, who says one tone, takes every call, and calls `dial` where it is not empty.
    #[track_caller]
    pub fn page(&self, user: &str, pitch: f64, dial: &str) -> Browser {
        self.server.make_user(user);
        let query = format!(
            "ws=ws://{SERVER}:{PAGES}&domain={DOMAIN}&user={user}&password={PASSWORD}&pitch={pitch}&dial={dial}"
        );
        Browser::open(&self.phones, "agent.js", &query.replace('+', "%2B"))
    }

    /// From now on this path of an app answers the number.
    #[track_caller]
    pub fn number(&self, number: &str, url: &str, method: &str) {
        let body = json!({ "voice_url": url, "voice_method": method }).to_string();
        self.server.door.put(&format!("/v1/numbers/{number}"), "application/json", body.as_bytes());
    }

    /// A foreign phone of this person, who says one tone.
    #[track_caller]
    pub fn baresip(&self, user: &str, pitch: f64) -> Baresip {
        self.baresip_saying(user, &tone(pitch, 120))
    }

    /// A foreign phone of this person, who says this.
    #[track_caller]
    pub fn baresip_saying(&self, user: &str, says: &[i16]) -> Baresip {
        self.server.make_user(user);
        let port = self.ports.fetch_add(10, Ordering::Relaxed);
        let server = self.server.sip.to_string();
        let login = Login { user, password: PASSWORD, server: &server, transport: "udp", port };
        Baresip::start(&self.phones, &login, says)
    }

    /// How phones dial a number.
    pub fn uri(&self, number: &str) -> String {
        format!("sip:{number}@{}", self.server.sip)
    }
}

/// Writes a file that apps play.
fn play(path: &Path, samples: &[i16]) {
    let form = hound::WavSpec {
        channels: 1,
        sample_rate: RATE as u32,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut file = hound::WavWriter::create(path, form).expect("the folder can be written");
    for sample in samples {
        file.write_sample(*sample).expect("the folder can be written");
    }
    file.finalize().expect("the folder can be written");
}

/// Waits until the newest that somebody heard is this tone.
#[track_caller]
pub fn hears(phone: &Baresip, what: &str, pitch: f64) {
    until(STEP, what, || hears_now(phone, pitch).then_some(()));
}

/// The same for so long; false: he did not hear it.
pub fn hears_within(phone: &Baresip, limit: Duration, pitch: f64) -> bool {
    let end = Instant::now() + limit;
    until(2 * limit, "the end of a wait", || {
        let heard = hears_now(phone, pitch);
        (heard || Instant::now() > end).then_some(heard)
    })
}

fn hears_now(phone: &Baresip, pitch: f64) -> bool {
    phone.heard_last(LOOK).is_some_and(|newest| loudness(&newest, pitch) > HEARD_MIN)
}

/// Waits until the newest that somebody heard is this sound of an app.
#[track_caller]
pub fn hears_sound(phone: &Baresip, name: &str) {
    hears(phone, &format!("the sound {name}"), pitch_of(name));
}

/// The pitch of a sound of the apps.
#[track_caller]
pub fn pitch_of(name: &str) -> f64 {
    let found = SOUNDS.iter().find(|(known, _)| *known == name);
    found.expect("a sound of ours").1
}

/// An app that runs, and what it says about itself.
pub struct App {
    pub url: String,
    program: Program,
    host: Namespace,
}

/// Something that an app was asked.
#[derive(Clone, Debug)]
pub struct Asked {
    pub path: String,
    /// The whole line.
    pub line: Value,
}

impl Asked {
    fn read(line: &str) -> Option<Self> {
        let line: Value = serde_json::from_str(line).ok()?;
        Some(Self { path: line["asked"].as_str()?.to_owned(), line })
    }

    /// A parameter; empty when there is none.
    pub fn says(&self, name: &str) -> &str {
        self.line["said"][name].as_str().unwrap_or_default()
    }
}

impl App {
    fn of((program, url): (Program, String), host: &Namespace) -> Self {
        Self { url, program, host: host.clone() }
    }

    /// Sends a form, as a page of the app does, and reads the JSON that comes back.
    #[track_caller]
    pub fn post(&self, path: &str, form: &str) -> Value {
        let address = self.url.trim_start_matches("http://").parse().expect("an address");
        let door = Door { host: self.host.clone(), address, token: String::new() };
        let kind = "application/x-www-form-urlencoded";
        let answer = door.ask("POST", path, None, kind, form.as_bytes());
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    }

    /// Waits for something else that it says, by its first word.
    #[track_caller]
    pub fn line(&self, word: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        until(STEP, word, || {
            let said = self.program.said();
            let mut lines = said.iter().filter_map(|line| serde_json::from_str(line).ok());
            lines.find(|line: &Value| !line[word].is_null() && wanted(line))
        })
    }

    /// All that it said.
    pub fn said(&self) -> Vec<String> {
        self.program.said()
    }

    /// All that it was asked so far about this call; an empty one: about all.
    pub fn asked(&self, call: &str) -> Vec<Asked> {
        let said = self.program.said();
        let asked = said.iter().filter_map(|line| Asked::read(line));
        asked.filter(|asked| call.is_empty() || asked.says("CallSid") == call).collect()
    }

    /// Waits until it was asked for this path with these parameters.
    #[track_caller]
    pub fn is_asked(&self, path: &str, wanted: &[(&str, &str)]) -> Asked {
        let fits = |asked: &Asked| {
            asked.path == path && wanted.iter().all(|(name, value)| asked.says(name) == *value)
        };
        until(STEP, &format!("a request for {path} with {wanted:?}"), || {
            self.asked("").into_iter().find(fits)
        })
    }

    /// The paths that it was asked for about this call.
    pub fn paths(&self, call: &str) -> Vec<String> {
        self.asked(call).into_iter().map(|asked| asked.path).collect()
    }
}

/// Starts one of the scripts beside this file; gives where it listens.
#[track_caller]
fn python_program(
    name: &str,
    told: impl FnOnce(&Launch) -> Launch,
    host: &Namespace,
) -> (Program, String) {
    let launch = Launch::built(&python().to_string_lossy()).words(["-u", &*script(name)]);
    running(told(&launch).on(host).start())
}

/// Python's server of plain files, for those beside this file and for the sounds of this folder.
#[track_caller]
fn plain_files(folder: &Path, host: &Namespace) -> (Program, String) {
    fs::create_dir(folder.join("more")).expect("the folder can be written");
    for file in ["voice.xml", "more/pressed.xml", "more/bye.xml"] {
        let from = script(&format!("shelf/{file}"));
        fs::copy(from, folder.join(file)).expect("the folder can be written");
    }
    let words = ["-u", "-m", "http.server", "0", "--bind", "127.0.0.1"];
    let mut program =
        Launch::built(&python().to_string_lossy()).words(words).folder(folder).on(host).start();
    let url = program.line(STEP, "where it listens", |line| {
        Some(line.split_once('(')?.1.split_once(')')?.0.to_owned())
    });
    (program, url)
}

/// One of the files beside this one.
fn script(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/apps").join(name);
    path.to_string_lossy().into_owned()
}

/// What says where it listens.
#[track_caller]
fn running(mut program: Program) -> (Program, String) {
    let url = program.line(STEP, "where it listens", |line| {
        Some(line.split_once("Running on ")?.1.trim().to_owned())
    });
    (program, url)
}

/// The server with a door for pages.
#[track_caller]
fn serve(host: &Namespace, more: &str) -> Server {
    Server::serve_by(host, SERVER, "", more, |file| {
        let text = fs::read_to_string(file).expect("its configuration");
        let tcp = format!("\"tcp://{SERVER}:5060\"");
        let with_pages = text.replace(&tcp, &format!("{tcp}, \"ws://{SERVER}:{PAGES}\""));
        fs::write(file, with_pages).expect("its configuration");
        Launch::built(env!("CARGO_BIN_EXE_carillon")).words(["serve", "--config", file, "--json"])
    })
}

/// Words as a voice says them that the listener understands.
#[track_caller]
pub fn spoken(words: &str) -> Vec<i16> {
    let folder = tempfile::tempdir().expect("a folder for a sound");
    let [said, narrow] = ["said.wav", "narrow.wav"].map(|name| folder.path().join(name));
    let run = |program: &str, words: &[&str]| {
        let status = Command::new(find(program)).args(words).status().expect("it starts");
        assert!(status.success(), "{program}: {status}");
    };
    let [said, narrowed] = [&said, &narrow].map(|path| path.to_string_lossy());
    run("flite", &["-voice", "rms", "-t", words, "-o", &said]);
    run("sox", &[&said, "-r", "8000", "-c", "1", "-b", "16", &narrowed]);
    read(&narrow)
}
