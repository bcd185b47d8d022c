//! What goes on beside the verbs of a document, or in their place: `<Connect>`, `<Start>`, `<Stop>`.
//!
//! Spec: programmable-voice §1.2, §1.3

use crate::tree::Element;
use crate::verbs::{Hook, Method, Read, Track};

/// The call belongs to an app until its web socket ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect {
    /// Where to say that it is over; `None`: go on with the next verb.
    pub action: Option<String>,
    /// How.
    pub method: Method,
    /// Where the sound goes, and comes from.
    pub stream: Stream,
}

/// Sound of a call for an app.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stream {
    /// How the app calls it, to stop it.
    pub name: String,
    /// Where it goes: wss or ws, or relative to the document.
    pub url: String,
    /// Whose sound.
    pub track: Track,
    /// Where to say when it begins and ends.
    pub status: Option<Hook>,
    /// What the app hears at the beginning.
    pub parameters: Vec<(String, String)>,
}

/// Sound of a call for a recording server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Siprec {
    /// How the app calls it, to stop it.
    pub name: String,
    /// Which of the servers that are configured; empty: the only one.
    pub connector: String,
    /// Whose sound.
    pub track: Track,
    /// Where to say when it begins and ends.
    pub status: Option<Hook>,
    /// What the server is told with the rest.
    pub parameters: Vec<(String, String)>,
}

/// What `<Start>` begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// A recording of the call.
    Recording(CallRecording),
    /// Sound for a recording server.
    Siprec(Siprec),
    /// Sound for an app.
    Stream(Stream),
    /// What is said, in words.
    Transcription(Transcription),
}

/// What `<Stop>` ends, by its name; without one: whichever began last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Sound for a recording server.
    Siprec(String),
    /// Sound for an app.
    Stream(String),
    /// What is said, in words.
    Transcription(String),
}

/// A recording of a call that goes on beside its document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallRecording {
    /// Where to say how it goes, and which of in-progress, completed and absent.
    pub status: Option<(Hook, Vec<String>)>,
    /// Leave silence out at both ends.
    pub trim: bool,
    /// Whose sound.
    pub track: Track,
    /// A channel for each.
    pub dual: bool,
}

/// What is said in a call, utterance by utterance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transcription {
    /// How the app calls it, to stop it.
    pub name: String,
    /// Whose words.
    pub track: Track,
    /// Where they are told.
    pub status: Option<Hook>,
    /// How the app calls the caller's words, and those that he hears.
    pub labels: [String; 2],
    /// The language's tag.
    pub language: String,
    /// Words that are likely.
    pub hints: String,
}

pub(crate) fn connect(read: Read<'_>) -> Option<Connect> {
    let stream = read.0.elements().find(|child| child.name == "Stream")?;
    Some(Connect {
        action: read.text("action"),
        method: read.method("method"),
        stream: self::stream(Read(stream)),
    })
}

pub(crate) fn started(element: &Element) -> Option<Start> {
    let read = Read(element);
    Some(match &*element.name {
        "Recording" => Start::Recording(recording(read)),
        "Siprec" => Start::Siprec(siprec(read)),
        "Stream" => Start::Stream(stream(read)),
        "Transcription" => Start::Transcription(transcription(read)),
        _ => return None,
    })
}

pub(crate) fn stopped(element: &Element) -> Option<Stop> {
    let name = Read(element).text("name").unwrap_or_default();
    Some(match &*element.name {
        "Siprec" => Stop::Siprec(name),
        "Stream" => Stop::Stream(name),
        "Transcription" => Stop::Transcription(name),
        _ => return None,
    })
}

fn stream(read: Read<'_>) -> Stream {
    Stream {
        name: read.text("name").unwrap_or_default(),
        url: read.text("url").unwrap_or_default(),
        track: track(read),
        status: read.hook("statusCallback", "statusCallbackMethod"),
        parameters: parameters(read.0),
    }
}

fn siprec(read: Read<'_>) -> Siprec {
    Siprec {
        name: read.text("name").unwrap_or_default(),
        connector: read.text("connectorName").unwrap_or_default(),
        track: track(read),
        status: read.hook("statusCallback", "statusCallbackMethod"),
        parameters: parameters(read.0),
    }
}

fn recording(read: Read<'_>) -> CallRecording {
    let hook = read.hook("recordingStatusCallback", "recordingStatusCallbackMethod");
    let status = hook.filter(|hook| is_absolute(&hook.url)).map(|hook| {
        let events = read.value("recordingStatusCallbackEvent").unwrap_or("completed");
        (hook, events.split_whitespace().map(str::to_owned).collect())
    });
    CallRecording {
        status,
        trim: read.value("trim") == Some("trim-silence"),
        track: track(read),
        dual: read.value("channels") != Some("mono"),
    }
}

/// Whether an address stands for itself.
pub(crate) fn is_absolute(url: &str) -> bool {
    ["http://", "https://"].iter().any(|scheme| url.trim().starts_with(scheme))
}

fn transcription(read: Read<'_>) -> Transcription {
    let label = |name, usual: &str| {
        read.text(name).filter(|label| !label.is_empty()).unwrap_or_else(|| usual.to_owned())
    };
    Transcription {
        name: read.text("name").unwrap_or_default(),
        track: track(read),
        status: read.hook("statusCallbackUrl", "statusCallbackMethod"),
        labels: [
            label("inboundTrackLabel", "inbound_track"),
            label("outboundTrackLabel", "outbound_track"),
        ],
        language: read.text("languageCode").unwrap_or_default(),
        hints: read.text("hints").unwrap_or_default(),
    }
}

fn track(read: Read<'_>) -> Track {
    match read.value("track").unwrap_or_default() {
        "both" | "both_tracks" => Track::Both,
        "outbound" | "outbound_track" => Track::Outbound,
        _ => Track::Inbound,
    }
}

pub(crate) fn parameters(element: &Element) -> Vec<(String, String)> {
    let parameter = |child: &Element| {
        let value = |name| child.attribute(name).map(|found| found.value.clone());
        Some((value("name")?, value("value").unwrap_or_default()))
    };
    let children = element.elements().filter(|child| child.name == "Parameter");
    children.filter_map(parameter).collect()
}
