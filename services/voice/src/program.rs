//! The program of one call: documents run verb by verb.
//!
//! Picture     Asking --document--> verb: Sounding | Pausing | Gathering | Recording | Dialling --over--> next verb
//!             a verb that hands over --> Asking;  no verb left --> Over
//! Rules       One document at a time; what comes behind a verb that hands over is never reached. An error costs the
//!             document: the fallback is asked, and without one, or when it fails as well, the caller hears an apology. What plays is hushed
//!             before anything else is said. The caller's end ends all.
//! Limits      [`TIMES_MAX`] for what repeats without end, [`DOCUMENTS_MAX`] and [`FALLBACKS_MAX`] of a call; those of
//!             the verbs.
//! Not here    Asking (hook), sound and legs (the room), what the documents are (proto/twiml).
//! Spec        programmable-voice §1, §5

use std::collections::VecDeque;
use std::time::Duration;

use twiml::{
    Class, Dial, Document, Gather, Hook, Method, Play, Prompt, Record, Say, Sound, Step, Verb,
};
use types::Instant;

use crate::address::Address;
use crate::hook::{Answer, Failure};

/// How often something plays that repeats without end.
pub const TIMES_MAX: u32 = 1_000;
/// Documents of one call: a program that runs in circles ends here.
pub const DOCUMENTS_MAX: u32 = 10_000;
/// How often the fallback is asked in one call.
pub const FALLBACKS_MAX: u32 = 10;
/// What a caller hears whose app failed.
pub const APOLOGY: &str = "We are sorry. An application error has occurred. Goodbye.";
/// Phones ring longer than a document says: so much passes until an answer is heard.
pub const RING_MORE: Duration = Duration::from_secs(5);

/// What happens to a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The app answered.
    Answered(Answer),
    /// Somebody who was dialled talks with the caller now.
    Bridged,
    /// A `<Dial>` is over.
    Dialled(Dialled),
    /// The app did not answer.
    Failed(Failure),
    /// The caller is gone.
    Gone,
    /// The caller pressed a key.
    Key(char),
    /// A recording is over.
    Recorded(Option<Recorded>),
    /// The caller has been silent as long as the recording takes.
    Silent,
    /// What was to be heard is over, or could not be had.
    Sounded(Heard),
    /// The deadline came.
    Woke,
}

/// How playing ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It was heard.
    All,
    /// It cannot be had.
    Nothing,
}

/// How a `<Dial>` ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dialled {
    /// `completed`, `busy`, `no-answer`, `failed` or `canceled`.
    pub status: &'static str,
    /// The leg's name; empty when there was none.
    pub sid: String,
    /// How long they talked. Units: seconds.
    pub seconds: Option<u64>,
}

/// A recording that is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Where it can be fetched.
    pub url: String,
    /// Its name.
    pub sid: String,
    /// How long it plays. Units: seconds.
    pub seconds: u64,
}

/// What a program wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Answer the caller, unless that was done.
    Answer,
    /// Ask an app.
    Ask(Ask),
    /// Reach somebody and bridge.
    Dial(Box<Dial>),
    /// Whoever was dialled is let go; [`Event::Dialled`] follows.
    EndDial,
    /// The recording ends; [`Event::Recorded`] follows.
    EndRecord,
    /// Nothing is heard any more; no [`Event::Sounded`] follows.
    Hush,
    /// End the call.
    Hangup,
    /// Something for the log of the call.
    Note {
        /// What follows from it.
        class: Class,
        /// The vendor's number.
        code: u16,
        /// For people.
        sentence: String,
    },
    /// Play this; [`Event::Sounded`] follows.
    Play {
        /// What.
        piece: Piece,
        /// How often.
        times: u32,
    },
    /// Record the caller; [`Event::Recorded`] follows.
    Record(Box<Record>),
    /// Refuse the call.
    Reject {
        /// Say that we are busy.
        busy: bool,
    },
    /// Let the caller hear that it rings, before he is answered.
    Ring,
}

/// A question to an app, beside what every question says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ask {
    /// Where, whole.
    pub url: String,
    /// How.
    pub method: Method,
    /// What is said beside the usual.
    pub more: Vec<(String, String)>,
}

/// A program as it was written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// The document that ran.
    pub source: Answer,
    /// The place in it.
    pub at: usize,
    /// Keys that were pressed.
    pub digits: String,
    /// What was being asked.
    pub ask: Option<Ask>,
    /// The caller talked with somebody who was dialled.
    pub talking: bool,
}

/// What is played.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Before a recording.
    Beep,
    /// Keys.
    Keys(String),
    /// A text.
    Speech {
        /// What.
        text: String,
        /// The language's tag.
        language: String,
        /// Who speaks; empty: whoever can.
        voice: String,
    },
    /// A file.
    Url(String),
}

/// What runs.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// An app is asked.
    Asking,
    /// The apology is heard.
    Apologising,
    /// Somebody is dialled.
    Dialling { dial: Box<Dial>, bridged: bool },
    /// Keys are collected.
    Gathering { gather: Box<Gather>, digits: String, prompt: Option<usize> },
    /// It is over.
    Over,
    /// Nothing happens for a while.
    Pausing,
    /// The caller is recorded, after the beep.
    Recording { record: Box<Record>, key: Option<char>, begun: bool },
    /// Something is heard.
    Sounding,
}

/// See the head of this file.
#[derive(Clone, Debug)]
pub struct Program {
    source: Answer,
    document: Document,
    /// The verb that runs.
    at: usize,
    state: State,
    answered: bool,
    fallback: Option<Hook>,
    /// The fallback is what is asked now.
    falling: bool,
    fallbacks: u32,
    documents: u32,
    deadline: Option<Instant>,
    acts: VecDeque<Act>,
}

impl Program {
    /// A program that begins by asking.
    pub fn new(ask: Ask, fallback: Option<Hook>) -> Self {
        let mut program = Self::idle(fallback);
        program.ask(ask);
        program
    }

    fn idle(fallback: Option<Hook>) -> Self {
        Self {
            source: Answer { content_type: String::new(), body: Vec::new(), url: String::new() },
            document: Document::default(),
            at: 0,
            state: State::Over,
            answered: false,
            fallback,
            falling: false,
            fallbacks: 0,
            documents: 0,
            deadline: None,
            acts: VecDeque::new(),
        }
    }

    /// What it wants next.
    pub fn poll(&mut self) -> Option<Act> {
        self.acts.pop_front()
    }

    /// When it wants [`Event::Woke`].
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Whether the caller was answered.
    pub fn is_answered(&self) -> bool {
        self.answered
    }

    /// What it does, in a word for people.
    pub fn doing(&self) -> &'static str {
        match self.state {
            State::Apologising => "apologising",
            State::Asking => "asking",
            State::Dialling { bridged: false, .. } => "dialling",
            State::Dialling { bridged: true, .. } => "talking",
            State::Gathering { .. } => "gathering",
            State::Over => "over",
            State::Pausing => "pausing",
            State::Recording { .. } => "recording",
            State::Sounding => "playing",
        }
    }

    /// What happened.
    pub fn handle(&mut self, event: Event, now: Instant) {
        match event {
            Event::Answered(answer) => self.load(answer, now),
            Event::Bridged => self.bridged(now),
            Event::Dialled(dialled) => self.dialled(&dialled, now),
            Event::Failed(failure) => self.fail(failure.code, &failure.sentence, &failure.url),
            Event::Gone => {
                self.state = State::Over;
                self.deadline = None;
                self.acts.clear();
            }
            Event::Key(key) => self.key(key, now),
            Event::Recorded(recorded) => self.recorded(recorded, now),
            Event::Silent => self.silent(),
            Event::Sounded(heard) => self.sounded(heard, now),
            Event::Woke => self.woke(now),
        }
    }
}

/// Documents.
impl Program {
    fn ask(&mut self, ask: Ask) {
        self.state = State::Asking;
        self.deadline = None;
        self.acts.push_back(Act::Ask(ask));
    }

    /// Spec: programmable-voice §1.1
    fn load(&mut self, answer: Answer, now: Instant) {
        if self.state != State::Asking {
            return;
        }
        self.documents += 1;
        if self.documents > DOCUMENTS_MAX {
            self.falling = true;
            return self.fail(12400, "the program runs in circles", &answer.url);
        }
        match read(&answer) {
            Ok((document, warnings)) => {
                self.falling = false;
                for (code, sentence) in warnings {
                    self.acts.push_back(Act::Note { class: Class::Warning, code, sentence });
                }
                self.document = document;
                self.source = answer;
                self.at = 0;
                self.run(now);
            }
            Err((code, sentence)) => self.fail(code, &sentence, &answer.url),
        }
    }

    /// The document, or its app, is of no use.
    fn fail(&mut self, code: u16, sentence: &str, url: &str) {
        if matches!(self.state, State::Over | State::Apologising) {
            return;
        }
        let sentence = sentence.to_owned();
        self.acts.push_back(Act::Note { class: Class::Error, code, sentence });
        if !self.falling
            && self.fallbacks < FALLBACKS_MAX
            && let Some(hook) = self.fallback.clone()
        {
            self.falling = true;
            self.fallbacks += 1;
            let more = vec![
                ("ErrorCode".to_owned(), code.to_string()),
                ("ErrorUrl".to_owned(), url.to_owned()),
            ];
            return self.ask(Ask { url: hook.url, method: hook.method, more });
        }
        self.answer();
        self.state = State::Apologising;
        self.deadline = None;
        let text = APOLOGY.to_owned();
        let piece = Piece::Speech { text, language: "en-US".to_owned(), voice: String::new() };
        self.acts.push_back(Act::Play { piece, times: 1 });
    }

    /// An address of the document that runs.
    fn address(&self, reference: &str) -> Option<String> {
        match Address::parse(&self.source.url) {
            Some(base) => base.join(reference).map(|found| found.text()),
            // A document without an address has none to add to.
            None => Address::parse(reference).map(|found| found.text()),
        }
    }

    /// Hands over to another document.
    fn hand_over(&mut self, to: &str, method: Method, more: Vec<(String, String)>) {
        match self.address(to) {
            Some(url) => self.ask(Ask { url, method, more }),
            None => {
                let relative = Address::parse(&self.source.url).is_none();
                let code = if relative { 15004 } else { 11100 };
                let sentence = format!("{to} is no address");
                let url = self.source.url.clone();
                self.fail(code, &sentence, &url);
            }
        }
    }

    fn answer(&mut self) {
        if !self.answered {
            self.answered = true;
            self.acts.push_back(Act::Answer);
        }
    }

    fn end(&mut self) {
        self.state = State::Over;
        self.deadline = None;
        self.acts.push_back(Act::Hangup);
    }

    fn next(&mut self, now: Instant) {
        self.at += 1;
        self.run(now);
    }

    fn play(&mut self, piece: Piece, times: u32) {
        let times = if times == 0 { TIMES_MAX } else { times };
        self.acts.push_back(Act::Play { piece, times });
    }

    /// Begins the verb at this place.
    fn run(&mut self, now: Instant) {
        self.deadline = None;
        let Some(Step { verb, .. }) = self.document.steps.get(self.at).cloned() else {
            self.answer();
            return self.end();
        };
        match verb {
            Verb::Dial(dial) => self.dial(dial, now),
            Verb::Gather(gather) => {
                self.answer();
                self.state = State::Gathering { gather, digits: String::new(), prompt: None };
                self.prompt(0, now);
            }
            Verb::Hangup => {
                self.answer();
                self.end();
            }
            Verb::Pause(length) => {
                self.state = State::Pausing;
                self.deadline = Some(now + length);
            }
            Verb::Play(play) => {
                self.answer();
                match self.piece(play.sound) {
                    Some(piece) => {
                        self.state = State::Sounding;
                        self.play(piece, play.times);
                    }
                    None => self.fail(11100, "what is to be played has no address", ""),
                }
            }
            Verb::Record(record) => {
                self.answer();
                let (beep, begun) = (record.beep, !record.beep);
                self.deadline = begun.then(|| now + record.length_max);
                if beep {
                    self.play(Piece::Beep, 1);
                } else {
                    self.acts.push_back(Act::Record(record.clone()));
                }
                self.state = State::Recording { record, key: None, begun };
            }
            Verb::Redirect(hook) => self.hand_over(&hook.url, hook.method, Vec::new()),
            Verb::Reject { busy } if !self.answered => {
                self.state = State::Over;
                self.acts.push_back(Act::Reject { busy });
            }
            // Too late to refuse.
            Verb::Reject { .. } => self.end(),
            Verb::Say(say) => {
                self.answer();
                self.state = State::Sounding;
                let times = say.times;
                self.play(spoken(say), times);
            }
        }
    }

    fn piece(&self, sound: Sound) -> Option<Piece> {
        match sound {
            Sound::Keys(keys) => Some(Piece::Keys(keys)),
            Sound::Url(url) => self.address(&url).map(Piece::Url),
        }
    }

    fn sounded(&mut self, heard: Heard, now: Instant) {
        match &mut self.state {
            State::Apologising => self.end(),
            State::Gathering { prompt: Some(prompt), .. } => {
                let next = *prompt + 1;
                self.prompt(next, now);
            }
            State::Recording { record, begun, .. } if !*begun => {
                *begun = true;
                let record = record.clone();
                self.deadline = Some(now + record.length_max);
                self.acts.push_back(Act::Record(record));
            }
            State::Sounding => {
                if heard == Heard::Nothing {
                    let sentence =
                        "what was to be heard cannot be had; the call goes on".to_owned();
                    self.acts.push_back(Act::Note { class: Class::Warning, code: 12300, sentence });
                }
                self.next(now);
            }
            State::Asking
            | State::Dialling { .. }
            | State::Gathering { .. }
            | State::Over
            | State::Pausing
            | State::Recording { .. } => {}
        }
    }

    fn woke(&mut self, now: Instant) {
        self.deadline = None;
        match &self.state {
            State::Dialling { .. } => self.acts.push_back(Act::EndDial),
            State::Gathering { prompt: Some(_), .. } => {
                let State::Gathering { prompt: Some(prompt), .. } = self.state else { return };
                self.prompt(prompt + 1, now);
            }
            State::Gathering { .. } => self.gathered(now),
            State::Pausing => self.next(now),
            State::Recording { .. } => self.acts.push_back(Act::EndRecord),
            State::Apologising | State::Asking | State::Over | State::Sounding => {}
        }
    }
}

/// Keys.
impl Program {
    /// Begins a prompt of the `<Gather>` that runs, or waits for keys when there is none left.
    fn prompt(&mut self, place: usize, now: Instant) {
        let State::Gathering { gather, prompt, .. } = &mut self.state else { return };
        let wanted = gather.prompts.get(place).cloned();
        *prompt = wanted.as_ref().map(|_| place);
        let timeout = gather.timeout;
        match wanted {
            None => self.deadline = Some(now + timeout),
            Some(Prompt::Pause(length)) => self.deadline = Some(now + length),
            Some(Prompt::Play(Play { sound, times })) => match self.piece(sound) {
                Some(piece) => self.play(piece, times),
                None => self.prompt(place + 1, now),
            },
            Some(Prompt::Say(say)) => {
                let times = say.times;
                self.play(spoken(say), times);
            }
        }
    }

    fn key(&mut self, key: char, now: Instant) {
        match &mut self.state {
            State::Dialling { dial, bridged: true } if dial.hangup_on_star && key == '*' => {
                self.acts.push_back(Act::EndDial);
            }
            State::Gathering { gather, digits, prompt } if gather.keys => {
                if prompt.take().is_some() {
                    self.acts.push_back(Act::Hush);
                }
                let enough = if gather.finish_on == Some(key) {
                    true
                } else {
                    digits.push(key);
                    gather.digits_max.is_some_and(|most| digits.len() >= most)
                };
                self.deadline = Some(now + gather.timeout);
                if enough {
                    self.gathered(now);
                }
            }
            State::Recording { record, key: pressed, begun: true }
                if record.finish_on.contains(key) && pressed.is_none() =>
            {
                *pressed = Some(key);
                self.acts.push_back(Act::EndRecord);
            }
            State::Apologising
            | State::Asking
            | State::Dialling { .. }
            | State::Gathering { .. }
            | State::Over
            | State::Pausing
            | State::Recording { .. }
            | State::Sounding => {}
        }
    }

    /// Enough keys, or too long none. Nothing at all falls through to the next verb.
    fn gathered(&mut self, now: Instant) {
        let State::Gathering { gather, digits, .. } = &mut self.state else { return };
        let (gather, digits) = (gather.clone(), std::mem::take(digits));
        if digits.is_empty() && !gather.action_on_empty {
            return self.next(now);
        }
        let to = gather.action.unwrap_or_default();
        self.hand_over(&to, gather.method, vec![("Digits".to_owned(), digits)]);
    }
}

/// Recordings.
impl Program {
    /// Who hears of the recording that runs: its action, and whoever wants to know that it is ready.
    pub fn recorders(&self) -> Option<(Option<Hook>, Option<Hook>)> {
        let State::Recording { record, begun: true, .. } = &self.state else { return None };
        let whole =
            |hook: &Hook| self.address(&hook.url).map(|url| Hook { url, method: hook.method });
        let url = record.action.clone().unwrap_or_default();
        let action = Hook { url, method: record.method };
        Some((whole(&action), record.status.as_ref().and_then(whole)))
    }

    fn silent(&mut self) {
        if let State::Recording { begun: true, .. } = self.state {
            self.acts.push_back(Act::EndRecord);
        }
    }

    /// `None`: there was nothing to hear. It falls through to the next verb.
    fn recorded(&mut self, recorded: Option<Recorded>, now: Instant) {
        let State::Recording { record, key, .. } = &self.state else { return };
        let (record, key) = (record.clone(), *key);
        let Some(recorded) = recorded else { return self.next(now) };
        let mut more = vec![
            ("RecordingUrl".to_owned(), recorded.url),
            ("RecordingSid".to_owned(), recorded.sid),
            ("RecordingDuration".to_owned(), recorded.seconds.to_string()),
        ];
        more.extend(key.map(|key| ("Digits".to_owned(), key.to_string())));
        let to = record.action.unwrap_or_default();
        self.hand_over(&to, record.method, more);
    }
}

/// Others.
impl Program {
    fn dial(&mut self, dial: Box<Dial>, now: Instant) {
        if dial.targets.is_empty() {
            self.answer();
            self.state = State::Dialling { dial, bridged: false };
            return self.dialled(&Dialled { status: "failed", ..Dialled::default() }, now);
        }
        match (self.answered, dial.answer_on_bridge) {
            (false, true) => self.acts.push_back(Act::Ring),
            (false, false) => self.answer(),
            (true, _) => {}
        }
        self.acts.push_back(Act::Dial(dial.clone()));
        self.state = State::Dialling { dial, bridged: false };
    }

    fn bridged(&mut self, now: Instant) {
        let State::Dialling { dial, bridged } = &mut self.state else { return };
        *bridged = true;
        let limit = dial.time_limit;
        self.deadline = Some(now + limit);
        self.answer();
    }

    fn dialled(&mut self, dialled: &Dialled, now: Instant) {
        let State::Dialling { dial, bridged } = &self.state else { return };
        let (dial, bridged) = (dial.clone(), *bridged);
        let Some(action) = dial.action else { return self.next(now) };
        let mut more = vec![("DialCallStatus".to_owned(), dialled.status.to_owned())];
        if !dialled.sid.is_empty() {
            more.push(("DialCallSid".to_owned(), dialled.sid.clone()));
        }
        more.extend(dialled.seconds.map(|time| ("DialCallDuration".to_owned(), time.to_string())));
        more.push(("DialBridged".to_owned(), bridged.to_string()));
        self.hand_over(&action, dial.method, more);
    }
}

/// What lasts.
impl Program {
    /// The document that runs, the place in it, and the keys that were pressed so far.
    pub fn position(&self) -> (&Answer, usize, &str) {
        let State::Gathering { digits, .. } = &self.state else {
            return (&self.source, self.at, "");
        };
        (&self.source, self.at, digits)
    }

    /// Whether the caller talks with somebody who was dialled.
    pub fn is_talking(&self) -> bool {
        matches!(self.state, State::Dialling { bridged: true, .. })
    }

    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// Goes on after a restart with the verb that ran, from its beginning; keys that were pressed count.
    pub fn resume(saved: Saved, fallback: Option<Hook>, now: Instant) -> Self {
        let Saved { source, at, digits: pressed, ask, talking } = saved;
        let mut program = Self::idle(fallback);
        program.answered = true;
        if let Ok((document, _)) = read(&source) {
            program.document = document;
        }
        (program.source, program.at) = (source, at);
        if let Some(ask) = ask {
            program.ask(ask);
            return program;
        }
        let step = program.document.steps.get(at).map(|step| step.verb.clone());
        if let (true, Some(Verb::Dial(dial))) = (talking, step) {
            program.deadline = Some(now + dial.time_limit);
            program.state = State::Dialling { dial, bridged: true };
            return program;
        }
        program.run(now);
        if !pressed.is_empty()
            && let State::Gathering { digits, prompt, .. } = &mut program.state
        {
            // He has heard the prompt, or did not want to.
            *digits = pressed;
            *prompt = None;
            program.acts.retain(|act| !matches!(act, Act::Play { .. }));
            program.prompt(usize::MAX, now);
        }
        program
    }
}

/// The vendor's number, and what is wrong.
type Complaint = (u16, String);

/// What an answer of an app means, and what is wrong with it; or why it means nothing.
///
/// Spec: programmable-voice §1.1
fn read(answer: &Answer) -> Result<(Document, Vec<Complaint>), Complaint> {
    let kind = answer.content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    let one = |verb| Document { steps: vec![Step { verb, place: twiml::Place::default() }] };
    if kind.starts_with("audio/") {
        let sound = Sound::Url(answer.url.clone());
        return Ok((one(Verb::Play(Play { sound, times: 1 })), Vec::new()));
    }
    let known = ["", "text/xml", "application/xml", "text/html", "text/plain"];
    if !known.contains(&&*kind) {
        return Err((12300, format!("{kind} is neither a document nor sound")));
    }
    let reading = twiml::read(&answer.body);
    let text = String::from_utf8_lossy(&answer.body);
    let row = |finding: &twiml::Finding| {
        let (line, column) = finding.line_and_column(&text);
        let sentence = format!("{line}:{column} {}", finding.sentence);
        (finding.code.unwrap_or(12200), sentence)
    };
    match reading.document {
        Some(document) => Ok((document, reading.findings.iter().map(row).collect())),
        None if kind == "text/plain" && !text.trim().is_empty() => {
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            let language = "en-US".to_owned();
            let say = Say { text, voice: String::new(), language, times: 1 };
            Ok((one(Verb::Say(say)), Vec::new()))
        }
        None => {
            let fatal = reading.findings.iter().find(|finding| finding.class == Class::Error);
            Err(fatal.map(row).unwrap_or((12100, "the document cannot be read".to_owned())))
        }
    }
}

fn spoken(say: Say) -> Piece {
    Piece::Speech { text: say.text, language: say.language, voice: say.voice }
}
