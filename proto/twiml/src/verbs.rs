//! The program of a document: its verbs in order, with their defaults.

use std::time::Duration;

use crate::check::{TARGETS_MAX, is_number, is_sip, is_verb};
use crate::finding::Place;
use crate::meet::{self, Enqueue, Meet};
use crate::schema::shape;
use crate::streams::{Connect, Start, Stop, connect, started, stopped};
use crate::tree::{Element, Node};

/// A document that can run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Document {
    /// Its verbs in order.
    pub steps: Vec<Step>,
}

/// One verb and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What to do.
    pub verb: Verb,
    /// Where its name stands.
    pub place: Place,
}

/// What a document can say. The vendor's other verbs are refused when it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Give the call to an app by a web socket, until that ends.
    Connect(Box<Connect>),
    /// Reach somebody, and bridge.
    Dial(Box<Dial>),
    /// Wait in a queue.
    Enqueue(Box<Enqueue>),
    /// Collect keys.
    Gather(Box<Gather>),
    /// End the call.
    Hangup,
    /// Leave the queue, in a document for those who wait.
    Leave,
    /// Wait.
    Pause(Duration),
    /// Play a clip or keys.
    Play(Play),
    /// Record the caller.
    Record(Box<Record>),
    /// Go on with another document.
    Redirect(Hook),
    /// Ask the caller's phone to call somebody else.
    Refer(Box<Refer>),
    /// Refuse the call, if it was not answered.
    Reject {
        /// Say that we are busy.
        busy: bool,
    },
    /// Speak.
    Say(Say),
    /// Begin something that outlives the document.
    Start(Vec<Start>),
    /// End what `<Start>` began.
    Stop(Vec<Stop>),
}

/// How to ask an app.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// Parameters in the address.
    Get,
    /// Parameters in the body.
    #[default]
    Post,
}

/// Where to ask an app, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hook {
    /// As written; relative to the current document; empty is that document.
    pub url: String,
    /// How.
    pub method: Method,
}

impl Hook {
    /// Whether it is asked over a web socket.
    pub fn is_socket(&self) -> bool {
        self.url.starts_with("ws://") || self.url.starts_with("wss://")
    }
}

/// Text to speak.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Say {
    /// What, without marks.
    pub text: String,
    /// Who speaks.
    pub voice: String,
    /// The language's tag.
    pub language: String,
    /// How often; 0 without end.
    pub times: u32,
}

/// Sound to play.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Play {
    /// What.
    pub sound: Sound,
    /// How often; 0 without end.
    pub times: u32,
}

/// What is played.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sound {
    /// Keys, with `w` for half a second and `W` for one.
    Keys(String),
    /// A file at an address.
    Url(String),
}

/// What `<Gather>` says while it listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prompt {
    /// Wait.
    Pause(Duration),
    /// Play.
    Play(Play),
    /// Speak.
    Say(Say),
}

/// Collect keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gather {
    /// Whether keys count.
    pub keys: bool,
    /// Whether speech counts.
    pub speech: bool,
    /// Where to say what was pressed; `None`: the current document.
    pub action: Option<String>,
    /// How.
    pub method: Method,
    /// How long to wait for the first key, and for each one more.
    pub timeout: Duration,
    /// The key that ends it.
    pub finish_on: Option<char>,
    /// How many keys are enough.
    pub digits_max: Option<usize>,
    /// Ask even when nobody pressed anything.
    pub action_on_empty: bool,
    /// How words are heard.
    pub speech_terms: SpeechTerms,
    /// What is said meanwhile.
    pub prompts: Vec<Prompt>,
}

/// How `<Gather>` hears words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpeechTerms {
    /// So long a silence ends what he says; `None`: whatever is usual between two sentences.
    pub silence: Option<Duration>,
    /// The longest that he may speak.
    pub length_max: Option<Duration>,
    /// The language's tag.
    pub language: String,
    /// Words that are likely.
    pub hints: String,
    /// He may speak before the prompts are over.
    pub barge_in: bool,
}

/// Record the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where to say what was recorded; `None`: the current document.
    pub action: Option<String>,
    /// How.
    pub method: Method,
    /// Silence that ends it; `None`: none does.
    pub timeout: Option<Duration>,
    /// Its longest.
    pub length_max: Duration,
    /// Keys that end it.
    pub finish_on: String,
    /// A beep before it.
    pub beep: bool,
    /// Leave silence out at both ends.
    pub trim: bool,
    /// Where to say that it is ready.
    pub status: Option<Hook>,
    /// Where to say what was said; `None`: nobody wants to know.
    pub transcribed: Option<Hook>,
}

/// Ask the caller's phone to call somebody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refer {
    /// Where to say how it ended; `None`: go on with the next verb.
    pub action: Option<String>,
    /// How.
    pub method: Method,
    /// Whom: a SIP address, with header fields behind its question mark.
    pub to: String,
}

/// Reach somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dial {
    /// Where to say how it ended; `None`: go on with the next verb.
    pub action: Option<String>,
    /// How.
    pub method: Method,
    /// How long they ring.
    pub timeout: Duration,
    /// How long they may talk.
    pub time_limit: Duration,
    /// A star of the caller ends it.
    pub hangup_on_star: bool,
    /// Who calls; `None`: the caller.
    pub caller_id: Option<String>,
    /// Answer the caller only when somebody answered.
    pub answer_on_bridge: bool,
    /// One after the other.
    pub sequential: bool,
    /// What is recorded.
    pub record: DialRecord,
    /// The conference or queue instead of somebody to ring.
    pub meet: Option<Meet>,
    /// Whose voice is recorded, where both share one channel.
    pub track: Track,
    /// Leave silence out at both ends of the recording.
    pub trim: bool,
    /// Where to say how the recording goes, and which of in-progress, completed and absent.
    pub recording_status: Option<(Hook, Vec<String>)>,
    /// The country whose tone the caller hears while it rings: two letters.
    pub ring_tone: Option<String>,
    /// Who is asked when somebody who was dialled wants the caller to call somebody else.
    pub refer: Option<Hook>,
    /// Whom to ring, ten at most.
    pub targets: Vec<Target>,
}

/// What `<Dial>` records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DialRecord {
    /// Nothing.
    Nothing,
    /// From the answer on; with a channel for each or not.
    Answer {
        /// A channel for each.
        dual: bool,
    },
    /// From the first ring on; with a channel for each or not.
    Ringing {
        /// A channel for each.
        dual: bool,
    },
}

/// Whose voice is recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Track {
    /// Of both.
    #[default]
    Both,
    /// The caller's.
    Inbound,
    /// Of those who were dialled.
    Outbound,
}

/// Somebody to reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Who.
    pub who: Who,
    /// A document for them before the bridge.
    pub whisper: Option<Hook>,
    /// Where to say how it goes, and which of initiated, ringing, answered and completed.
    pub status: Option<(Hook, Vec<String>)>,
    /// Keys after the answer.
    pub send_digits: Option<String>,
    /// More header fields of the INVITE, as they were written; those of the address are in it.
    pub headers: Vec<(String, String)>,
    /// User and password for whoever challenges the INVITE.
    pub login: Option<(String, String)>,
    /// How it is found out whether a machine answered; `None`: it is not.
    pub machine: Option<Machine>,
}

/// How a person is told from a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Wait for the end of what a machine says.
    pub to_end: bool,
    /// The longest that anybody listens.
    pub timeout: Duration,
    /// Who speaks for so long is a machine.
    pub speech: Duration,
    /// So long a silence ends what is said.
    pub pause: Duration,
    /// So long a silence at the beginning means that nobody knows.
    pub silence: Duration,
    /// Where to say it.
    pub told: Option<Hook>,
}

/// Who is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// One of our people by name.
    Client(String),
    /// A telephone number without spaces and brackets.
    Number(String),
    /// A SIP address.
    Sip(String),
}

impl Document {
    /// The program of a tree that was checked and found without error.
    pub(crate) fn of(root: &Element) -> Self {
        let step = |element: &Element| {
            let verb = is_verb(&element.name).then(|| verb(element)).flatten()?;
            Some(Step { verb, place: element.place })
        };
        Self { steps: root.elements().filter_map(step).collect() }
    }
}

fn verb(element: &Element) -> Option<Verb> {
    let read = Read(element);
    Some(match &*element.name {
        "Connect" => Verb::Connect(Box::new(connect(read)?)),
        "Dial" => Verb::Dial(Box::new(dial(read))),
        "Enqueue" => Verb::Enqueue(Box::new(meet::enqueue(element)?)),
        "Gather" => Verb::Gather(Box::new(gather(read))),
        "Hangup" => Verb::Hangup,
        "Leave" => Verb::Leave,
        "Pause" => Verb::Pause(read.seconds("length")),
        "Play" => Verb::Play(play(read)?),
        "Record" => Verb::Record(Box::new(record(read))),
        "Redirect" => Verb::Redirect(Hook { url: element.text(), method: read.method("method") }),
        "Refer" => Verb::Refer(Box::new(refer(read)?)),
        "Reject" => Verb::Reject { busy: read.value("reason") == Some("busy") },
        "Say" => Verb::Say(say(read)?),
        "Start" => Verb::Start(element.elements().filter_map(started).collect()),
        "Stop" => Verb::Stop(element.elements().filter_map(stopped).collect()),
        _ => return None,
    })
}

fn say(read: Read<'_>) -> Option<Say> {
    let text = spoken(read.0);
    (!text.is_empty()).then(|| Say {
        text,
        voice: read.text("voice").unwrap_or_default(),
        language: read.text("language").unwrap_or_default(),
        times: read.number("loop").unwrap_or(1),
    })
}

fn play(read: Read<'_>) -> Option<Play> {
    let url = read.0.text();
    let sound = match read.text("digits") {
        Some(keys) => Sound::Keys(keys),
        None if url.is_empty() => return None,
        None => Sound::Url(url),
    };
    Some(Play { sound, times: read.number("loop").unwrap_or(1) })
}

fn gather(read: Read<'_>) -> Gather {
    let prompt = |element: &Element| {
        let read = Read(element);
        Some(match &*element.name {
            "Pause" => Prompt::Pause(read.seconds("length")),
            "Play" => Prompt::Play(play(read).filter(|play| matches!(play.sound, Sound::Url(_)))?),
            "Say" => Prompt::Say(say(read)?),
            _ => return None,
        })
    };
    let input = read.value("input").unwrap_or("");
    Gather {
        keys: input.contains("dtmf"),
        speech: input.contains("speech"),
        action: read.text("action"),
        method: read.method("method"),
        timeout: read.seconds("timeout"),
        finish_on: read.value("finishOnKey").and_then(|keys| keys.chars().next()),
        digits_max: read.number("numDigits").and_then(|number| usize::try_from(number).ok()),
        action_on_empty: read.flag("actionOnEmptyResult"),
        speech_terms: SpeechTerms {
            silence: match read.value("speechTimeout") {
                Some("auto") => None,
                time => {
                    let given = time.and_then(|time| time.trim().parse().ok());
                    Some(given.map_or(read.seconds("timeout"), Duration::from_secs))
                }
            },
            length_max: read.number("maxSpeechTime").map(|time| Duration::from_secs(time.into())),
            language: read.text("language").unwrap_or_default(),
            hints: read.text("hints").unwrap_or_default(),
            barge_in: read.flag("bargeIn"),
        },
        prompts: read.0.elements().filter_map(prompt).collect(),
    }
}

fn record(read: Read<'_>) -> Record {
    Record {
        action: read.text("action"),
        method: read.method("method"),
        timeout: Some(read.seconds("timeout")).filter(|timeout| !timeout.is_zero()),
        length_max: read.seconds("maxLength"),
        finish_on: read.text("finishOnKey").unwrap_or_default(),
        beep: read.flag("playBeep"),
        trim: read.value("trim") == Some("trim-silence"),
        status: read.hook("recordingStatusCallback", "recordingStatusCallbackMethod"),
        transcribed: {
            let url = read.text("transcribeCallback").filter(|url| !url.is_empty());
            let wanted = read.flag("transcribe") || url.is_some();
            url.filter(|_| wanted).map(|url| Hook { url, method: Method::Post })
        },
    }
}

fn dial(read: Read<'_>) -> Dial {
    let text = read.0.text();
    let mut targets: Vec<_> = read.0.elements().filter_map(target).take(TARGETS_MAX).collect();
    if targets.is_empty() && is_number(&text) {
        let who = Who::Number(dialled(&text));
        targets.push(Target::of(who));
    }
    Dial {
        action: read.text("action"),
        method: read.method("method"),
        timeout: read.seconds("timeout"),
        time_limit: read.seconds("timeLimit"),
        hangup_on_star: read.flag("hangupOnStar"),
        caller_id: read.text("callerId").filter(|id| !id.is_empty() && !id.contains(['<', '>'])),
        answer_on_bridge: read.flag("answerOnBridge"),
        sequential: read.flag("sequential"),
        record: match read.value("record").unwrap_or("") {
            "record-from-answer" | "true" => DialRecord::Answer { dual: false },
            "record-from-answer-dual" => DialRecord::Answer { dual: true },
            "record-from-ringing" => DialRecord::Ringing { dual: false },
            "record-from-ringing-dual" => DialRecord::Ringing { dual: true },
            _ => DialRecord::Nothing,
        },
        meet: meet::meet(read.0),
        track: match read.value("recordingTrack").unwrap_or("") {
            "inbound" => Track::Inbound,
            "outbound" => Track::Outbound,
            _ => Track::Both,
        },
        trim: read.value("trim") == Some("trim-silence"),
        recording_status: read
            .hook("recordingStatusCallback", "recordingStatusCallbackMethod")
            .map(|hook| (hook, read.words("recordingStatusCallbackEvent"))),
        refer: read.hook("referUrl", "referMethod"),
        ring_tone: read.text("ringTone").filter(|country| !country.is_empty()),
        targets,
    }
}

fn refer(read: Read<'_>) -> Option<Refer> {
    let sip = read.0.elements().find(|child| ["ReferSip", "Sip"].contains(&&*child.name))?;
    let to = sip_text(sip);
    let address = to.split('?').next().unwrap_or_default();
    let fits = is_sip(address) && !to.contains(['<', '>', '"', ' ']);
    let (action, method) = (read.text("action"), read.method("method"));
    fits.then_some(Refer { action, method, to })
}

fn target(element: &Element) -> Option<Target> {
    let read = Read(element);
    let text = element.text();
    let who = match &*element.name {
        "Client" => {
            let identity = element.elements().find(|child| child.name == "Identity");
            let name = identity.map_or(text, Element::text);
            Who::Client(Some(name).filter(|name| !name.is_empty())?)
        }
        "Number" => Who::Number(Some(dialled(&text)).filter(|_| is_number(&text))?),
        "Sip" => Who::Sip(sip_text(element)),
        _ => return None,
    };
    let status = read
        .hook("statusCallback", "statusCallbackMethod")
        .map(|hook| (hook, read.words("statusCallbackEvent")));
    let login = read.text("username").filter(|user| !user.is_empty());
    let mut headers = headers(element);
    if matches!(who, Who::Client(_)) {
        // A phone hears of them as of any header of an app's own.
        let named = |(name, value): (String, String)| (format!("X-{name}"), value);
        headers.extend(crate::streams::parameters(element).into_iter().map(named));
    }
    Some(Target {
        whisper: read.hook("url", "method"),
        status,
        send_digits: read.text("sendDigits").filter(|keys| !keys.is_empty()),
        headers,
        login: login.map(|user| (user, read.text("password").unwrap_or_default())),
        machine: machine(read),
        ..Target::of(who)
    })
}

fn machine(read: Read<'_>) -> Option<Machine> {
    let to_end = match read.value("machineDetection")? {
        "DetectMessageEnd" => true,
        "Enable" => false,
        _ => return None,
    };
    let millis = |name| Duration::from_millis(read.number(name).unwrap_or(0).into());
    Some(Machine {
        to_end,
        timeout: read.seconds("machineDetectionTimeout"),
        speech: millis("machineDetectionSpeechThreshold"),
        pause: millis("machineDetectionSpeechEndThreshold"),
        silence: millis("machineDetectionSilenceTimeout"),
        told: read.hook("amdStatusCallback", "amdStatusCallbackMethod"),
    })
}

/// What `<Headers>` holds, name and value.
fn headers(element: &Element) -> Vec<(String, String)> {
    let lists = element.elements().filter(|child| child.name == "Headers");
    let headers = lists.flat_map(Element::elements).filter(|child| child.name == "Header");
    let pair = |header: &Element| {
        let value = |name: &str| header.attribute(name).map(|found| found.value.trim().to_owned());
        Some((value("name").filter(|name| !name.is_empty())?, value("value")?))
    };
    headers.filter_map(pair).collect()
}

impl Target {
    /// One that nothing more is said of.
    pub fn of(who: Who) -> Self {
        let (headers, login, machine) = (Vec::new(), None, None);
        Self { who, whisper: None, status: None, send_digits: None, headers, login, machine }
    }
}

/// The address of a `<Sip>`: its text, or that of its first `<Uri>`.
pub(crate) fn sip_text(element: &Element) -> String {
    let uri = element.elements().find(|child| child.name == "Uri");
    uri.map_or_else(|| element.text(), Element::text)
}

/// What a text says without its marks, with single spaces.
pub(crate) fn spoken(element: &Element) -> String {
    fn collect(element: &Element, out: &mut String) {
        for node in &element.nodes {
            match node {
                Node::Text(text) => out.push_str(text),
                Node::Element(child) => {
                    match child.attribute("alias") {
                        Some(alias) if child.name == "sub" => out.push_str(&alias.value),
                        _ => collect(child, out),
                    }
                    // What stands on its own is not run into its neighbour.
                    if ["break", "p", "s"].contains(&&*child.name) {
                        out.push(' ');
                    }
                }
            }
        }
    }
    let mut out = String::new();
    collect(element, &mut out);
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A number as it is dialled.
fn dialled(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_digit() || *c == '+').collect()
}

/// An element's values: those that fit, or the table's defaults.
#[derive(Clone, Copy)]
pub(crate) struct Read<'a>(pub(crate) &'a Element);

impl<'a> Read<'a> {
    pub(crate) fn value(self, name: &str) -> Option<&'a str> {
        let field = shape(&self.0.name)?.field(name)?;
        let given = self.0.attribute(name).map(|attribute| &*attribute.value);
        given.filter(|value| field.value.fits(value)).or(field.default)
    }

    pub(crate) fn text(self, name: &str) -> Option<String> {
        self.value(name).map(|value| value.trim().to_owned())
    }

    pub(crate) fn flag(self, name: &str) -> bool {
        self.value(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    pub(crate) fn number(self, name: &str) -> Option<u32> {
        self.value(name)?.trim().parse().ok()
    }

    fn words(self, name: &str) -> Vec<String> {
        self.value(name).unwrap_or("").split_whitespace().map(str::to_owned).collect()
    }

    fn seconds(self, name: &str) -> Duration {
        Duration::from_secs(self.number(name).unwrap_or(0).into())
    }

    pub(crate) fn method(self, name: &str) -> Method {
        match self.value(name) {
            Some(method) if method.eq_ignore_ascii_case("GET") => Method::Get,
            _ => Method::Post,
        }
    }

    pub(crate) fn hook(self, url: &str, method: &str) -> Option<Hook> {
        let url = self.text(url).filter(|url| !url.is_empty())?;
        Some(Hook { url, method: self.method(method) })
    }
}
