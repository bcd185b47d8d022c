//! Where many meet: conferences, and queues with those who fetch somebody out of them.
//!
//! Spec: programmable-voice §1.2 (Enqueue), §1.3 (Conference, Queue)

use crate::tree::Element;
use crate::verbs::{Hook, Method, Read};

/// Characters of a participant's label, and of the name of a queue.
pub const LABEL_MAX: usize = 128;
/// Characters of the name of a queue.
pub const QUEUE_NAME_MAX: usize = 64;

/// What somebody hears who waits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Wait {
    /// The music that comes with the server.
    #[default]
    Music,
    /// Nothing.
    Silence,
    /// A document, or sound.
    Url(Hook),
}

/// Whom a `<Dial>` meets that dials nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meet {
    /// All who are in a conference.
    Conference(Box<Conference>),
    /// Whoever waits longest in a queue.
    Queue(Front),
}

/// Take part in a conference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conference {
    /// Its name.
    pub name: String,
    /// He is heard by nobody.
    pub muted: bool,
    /// All hear that he comes.
    pub beep_on_enter: bool,
    /// All hear that he goes.
    pub beep_on_exit: bool,
    /// With him, and another one, it begins.
    pub starts: bool,
    /// It ends when he goes.
    pub ends: bool,
    /// How he is called in it.
    pub label: Option<String>,
    /// What he hears until it begins.
    pub wait: Wait,
    /// How many may take part.
    pub most: u16,
    /// It is recorded from its beginning on.
    pub record: bool,
    /// The recording is left without silence at both ends.
    pub trim: bool,
    /// The one who alone hears him, by his call.
    pub coach: Option<String>,
    /// Where to say what happens in it, and which events, as the document calls them.
    pub status: Option<(Hook, Vec<String>)>,
    /// Where to say that the recording is ready.
    pub recording: Option<Hook>,
}

/// Talk with whoever waits longest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Front {
    /// The queue's name.
    pub queue: String,
    /// A document for him before the bridge.
    pub whisper: Option<Hook>,
}

/// Wait in a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enqueue {
    /// Its name.
    pub queue: String,
    /// Where to say how it ended; `None`: go on with the next verb.
    pub action: Option<String>,
    /// How.
    pub method: Method,
    /// What is heard meanwhile, again and again.
    pub wait: Wait,
    /// How many may wait, where the queue is made by this.
    pub most: u32,
}

/// The conference or queue of a `<Dial>`; `None`: it has none, or one without a name.
pub(crate) fn meet(dial: &Element) -> Option<Meet> {
    dial.elements().find_map(|element| {
        let name = element.text();
        let named = !name.is_empty();
        let read = Read(element);
        match &*element.name {
            "Conference" if named => Some(Meet::Conference(Box::new(conference(name, read)))),
            "Queue" if named => {
                Some(Meet::Queue(Front { queue: name, whisper: read.hook("url", "method") }))
            }
            _ => None,
        }
    })
}

fn conference(name: String, read: Read<'_>) -> Conference {
    let beep = read.value("beep").unwrap_or("true");
    let status = read.hook("statusCallback", "statusCallbackMethod").map(|hook| {
        let events = read.value("statusCallbackEvent").unwrap_or("");
        (hook, events.split_whitespace().map(str::to_owned).collect())
    });
    Conference {
        name,
        muted: read.flag("muted"),
        beep_on_enter: ["true", "onEnter"].contains(&beep),
        beep_on_exit: ["true", "onExit"].contains(&beep),
        starts: read.flag("startConferenceOnEnter"),
        ends: read.flag("endConferenceOnExit"),
        label: read.text("participantLabel").filter(|label| !label.is_empty()),
        wait: wait(read, "waitMethod"),
        most: read.number("maxParticipants").and_then(|most| most.try_into().ok()).unwrap_or(250),
        record: matches!(read.value("record"), Some("record-from-start" | "true")),
        trim: read.value("trim") != Some("do-not-trim"),
        coach: read.text("coach").filter(|coach| !coach.is_empty()),
        status,
        recording: read.hook("recordingStatusCallback", "recordingStatusCallbackMethod"),
    }
}

/// `None`: it has no name.
pub(crate) fn enqueue(element: &Element) -> Option<Enqueue> {
    let read = Read(element);
    let queue = element.text();
    let fits = !queue.is_empty() && queue.chars().count() <= QUEUE_NAME_MAX;
    fits.then(|| Enqueue {
        queue,
        action: read.text("action"),
        method: read.method("method"),
        wait: wait(read, "waitUrlMethod"),
        most: read.number("maxQueueSize").unwrap_or(1_000),
    })
}

fn wait(read: Read<'_>, method: &str) -> Wait {
    match read.text("waitUrl") {
        None => Wait::Music,
        Some(url) if url.is_empty() => Wait::Silence,
        Some(url) => Wait::Url(Hook { url, method: read.method(method) }),
    }
}
