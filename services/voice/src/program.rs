//! The program of one call: documents run verb by verb.
//!
//! Picture     Asking --document--> verb: Sounding | Pausing | Gathering | Recording | Dialling --over--> next verb
//!             a verb that hands over --> Asking;  no verb left --> Over
//! Rules       One document at a time; what comes behind a verb that hands over is never reached. An error costs the
//!             document: the fallback is asked, and without one, or when it fails as well, the caller hears an apology. What plays is hushed
//!             before anything else is said. The caller's end ends all.
//! Limits      [`TIMES_MAX`] for what repeats without end, [`DOCUMENTS_MAX`] and [`FALLBACKS_MAX`] of a call; those of
//!             the verbs.
//! Not here    Each verb's own part (the files beside), asking (hook), sound and legs (the room), what the documents are (proto/twiml).
//! Spec        programmable-voice §1, §5

mod dial;
mod divert;
mod gather;
mod meet;
mod read;
mod record;
mod refer;
mod saved;
mod sound;
mod streams;

use std::collections::VecDeque;
use std::time::Duration;

use twiml::{
    CallRecording, Class, Connect, Dial, Document, Enqueue, Gather, Hook, Meet, Method, Record,
    Refer, Siprec, Step, Stream, Transcription, Verb,
};
use types::Instant;

use crate::address::Address;
use crate::hook::{Answer, Failure};
pub use gather::Listen;
use gather::Speech;
pub use meet::{Scope, Unqueued};
use read::read;
pub use refer::Referred;
pub use saved::Saved;

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
    /// The app that had the call by `<Connect>` is gone, or was never there.
    Disconnected,
    /// The app did not answer.
    Failed(Failure),
    /// The caller is gone.
    Gone,
    /// The caller pressed a key.
    Key(char),
    /// A recording is over.
    Recorded(Option<Recorded>),
    /// What became of the wish that the caller's phone calls somebody else.
    Referred(Referred),
    /// The caller has been silent as long as the recording takes.
    Silent,
    /// What was to be heard is over, or could not be had.
    Sounded(Heard),
    /// Waiting in a queue is over.
    Unqueued(Unqueued),
    /// The caller begins to speak.
    Spoke,
    /// What the caller said; `None`: it was not understood.
    Understood(Option<Words>),
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
    /// What else is said of it.
    pub more: Vec<(String, String)>,
    /// What a SIP address answered last.
    pub sip: Option<u16>,
    /// Where the recording can be fetched.
    pub recording: Option<String>,
}

/// A recording that is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Where it can be fetched.
    pub url: String,
    /// Its name.
    pub sid: String,
    /// The SHA-256 of its file.
    pub hash: String,
    /// How long it plays. Units: seconds.
    pub seconds: u64,
}

/// What somebody said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// As text.
    pub text: String,
    /// How sure, of 100.
    pub confidence: u8,
}

/// What a program wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Whom it meets, or the queue, is left for another document; this address hears of a queue.
    Abandon(Option<Hook>),
    /// Answer the caller, unless that was done.
    Answer,
    /// Ask an app.
    Ask(Ask),
    /// Give the call to an app by a stream; [`Event::Disconnected`] follows.
    Connect(Box<Stream>),
    /// Nobody listens to the caller any more.
    Deafen,
    /// What [`Connect`](Self::Connect) began ends; no [`Event::Disconnected`] follows.
    Disconnect,
    /// Reach somebody and bridge.
    Dial(Box<Dial>),
    /// A document beside the call's own is at its end, or of no use for that reason: one for those who wait, or for
    /// somebody who was dialled, who talks with the caller now.
    Done {
        /// The vendor's number.
        failed: Option<u16>,
    },
    /// Whoever was dialled is let go; [`Event::Dialled`] follows.
    EndDial,
    /// Nobody waits any more for what becomes of [`Refer`](Self::Refer); [`Event::Referred`] follows.
    EndRefer,
    /// Wait in a queue; [`Event::Unqueued`] follows.
    Enqueue(Box<Enqueue>),
    /// The recording ends; [`Event::Recorded`] follows.
    EndRecord,
    /// Let an app hear the call beside all else.
    Fork(Box<Stream>),
    /// Nothing is heard any more; no [`Event::Sounded`] follows.
    Hush,
    /// End the call.
    Hangup,
    /// Who waits leaves the queue.
    Leave,
    /// Take part in a conference, or talk with the first of a queue; [`Event::Dialled`] follows.
    Meet(Box<Meet>),
    /// Listen to what the caller says; [`Event::Spoke`] and [`Event::Understood`] follow.
    Listen(Box<Listen>),
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
    /// Ask the caller's phone to call this one; [`Event::Referred`] follows.
    Refer(Box<Refer>),
    /// Refuse the call.
    Reject {
        /// Say that we are busy.
        busy: bool,
    },
    /// Let the caller hear that it rings, before he is answered.
    Ring,
    /// Send the call to a recording server beside all else.
    Siprec(Box<Siprec>),
    /// End what [`Siprec`](Self::Siprec) began, by its name; an empty one: the last.
    StopSiprec(String),
    /// End what [`Fork`](Self::Fork) began, by its name; an empty one: the last.
    StopStream(String),
    /// End what [`Transcribe`](Self::Transcribe) began, by its name; an empty one: the last.
    StopTranscription(String),
    /// Record the call, beside all else.
    Tape(Box<CallRecording>),
    /// Tell an app what is said, beside all else.
    Transcribe(Box<Transcription>),
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

/// What is played.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Before a recording.
    Beep,
    /// Keys.
    Keys(String),
    /// What those hear who wait.
    Music,
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
    /// An app has the call.
    Connected { connect: Box<Connect> },
    /// Somebody is dialled.
    Dialling { dial: Box<Dial>, bridged: bool },
    /// Keys are collected.
    Gathering { gather: Box<Gather>, digits: String, prompt: Option<usize>, speech: Speech },
    /// It is over.
    Over,
    /// Nothing happens for a while.
    Pausing,
    /// The caller waits in a queue, or talks with who fetched him out of it.
    Queued { enqueue: Box<Enqueue> },
    /// The caller is recorded, after the beep.
    Recording { record: Box<Record>, key: Option<char>, begun: bool },
    /// The caller's phone was asked to call somebody else.
    Referring { refer: Box<Refer> },
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
    scope: Scope,
    /// It is for somebody who was dialled, before he talks with the caller.
    whisper: bool,
    fallback: Option<Hook>,
    /// The fallback is what is asked now.
    falling: bool,
    fallbacks: u32,
    documents: u32,
    deadline: Option<Instant>,
    /// What an app wants to hear again, as JSON.
    told: Option<String>,
    acts: VecDeque<Act>,
}

impl Program {
    /// A program that begins by asking.
    pub fn new(ask: Ask, fallback: Option<Hook>) -> Self {
        let mut program = Self::idle(fallback);
        program.ask(ask);
        program
    }

    /// A program for somebody who was dialled and answered; it ends with [`Act::Done`], or with [`Act::Hangup`].
    pub fn whisper(ask: Ask) -> Self {
        let mut program = Self::idle(None);
        (program.whisper, program.answered) = (true, true);
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
            scope: Scope::Call,
            whisper: false,
            fallback,
            falling: false,
            fallbacks: 0,
            documents: 0,
            deadline: None,
            told: None,
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

    /// What the app wants to hear again with each question, as JSON.
    pub fn told(&self) -> Option<&str> {
        self.told.as_deref()
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
            State::Connected { .. } => "connected",
            State::Dialling { bridged: false, .. } => "dialling",
            State::Dialling { bridged: true, .. } => "talking",
            State::Gathering { .. } => "gathering",
            State::Over => "over",
            State::Pausing => "pausing",
            State::Queued { .. } => "queued",
            State::Recording { .. } => "recording",
            State::Referring { .. } => "referring",
            State::Sounding => "playing",
        }
    }

    /// What happened.
    pub fn handle(&mut self, event: Event, now: Instant) {
        match event {
            Event::Answered(answer) => self.load(answer, now),
            Event::Bridged => self.bridged(now),
            Event::Dialled(dialled) => self.dialled(&dialled, now),
            Event::Disconnected => self.disconnected(now),
            Event::Failed(failure) => self.fail(failure.code, &failure.sentence, &failure.url),
            Event::Gone => {
                self.state = State::Over;
                self.deadline = None;
                self.acts.clear();
            }
            Event::Key(key) => self.key(key, now),
            Event::Recorded(recorded) => self.recorded(recorded, now),
            Event::Referred(referred) => self.referred(&referred, now),
            Event::Silent => self.silent(),
            Event::Sounded(heard) => self.sounded(heard, now),
            Event::Unqueued(unqueued) => self.unqueued(unqueued, now),
            Event::Spoke => self.spoke(now),
            Event::Understood(words) => self.understood(words, now),
            Event::Woke => self.woke(now),
        }
    }
}

/// Documents.
impl Program {
    fn ask(&mut self, ask: Ask) {
        self.deafen();
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
            Ok((document, warnings, state)) => {
                self.falling = false;
                self.told = state.or(self.told.take());
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
        if self.is_aside() {
            return self.done(Some(code));
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

    /// Leaves a verb out that has no place here.
    fn skip(&mut self, now: Instant) {
        let sentence =
            "this verb has no place in a document for somebody who was dialled".to_owned();
        self.acts.push_back(Act::Note { class: Class::Warning, code: 12200, sentence });
        self.next(now);
    }

    fn next(&mut self, now: Instant) {
        self.at += 1;
        self.run(now);
    }

    /// Begins the verb at this place.
    fn run(&mut self, now: Instant) {
        self.deadline = None;
        let Some(Step { verb, .. }) = self.document.steps.get(self.at).cloned() else {
            if self.is_aside() {
                return self.done(None);
            }
            self.answer();
            return if self.whisper { self.done(None) } else { self.end() };
        };
        if !self.may_run(&verb) {
            return;
        }
        match verb {
            Verb::Dial(_) if self.whisper => {
                let url = self.source.url.clone();
                self.fail(13201, "whoever was dialled cannot dial", &url);
            }
            Verb::Enqueue(_)
            | Verb::Leave
            | Verb::Record(_)
            | Verb::Refer(_)
            | Verb::Reject { .. }
                if self.whisper =>
            {
                self.skip(now);
            }
            Verb::Enqueue(enqueue) => self.enqueue(enqueue),
            Verb::Leave => self.leave_queue(now),
            Verb::Connect(connect) => self.connect(connect),
            Verb::Dial(dial) => self.dial(dial, now),
            Verb::Gather(gather) => self.gather(gather, now),
            Verb::Hangup => {
                self.answer();
                self.end();
            }
            Verb::Pause(length) => {
                self.state = State::Pausing;
                self.deadline = Some(now + length);
            }
            Verb::Play(play) => self.sound(play),
            Verb::Record(record) => self.record(record, now),
            Verb::Redirect(hook) => self.hand_over(&hook.url, hook.method, Vec::new()),
            Verb::Refer(refer) => self.refer(refer, now),
            Verb::Reject { busy } if !self.answered => {
                self.state = State::Over;
                self.acts.push_back(Act::Reject { busy });
            }
            // Too late to refuse.
            Verb::Reject { .. } => self.end(),
            Verb::Say(say) => self.say(say),
            Verb::Start(started) => self.start(started, now),
            Verb::Stop(stopped) => self.stop(stopped, now),
        }
    }

    fn sounded(&mut self, heard: Heard, now: Instant) {
        match &self.state {
            State::Apologising => self.end(),
            State::Gathering { prompt: Some(prompt), .. } => {
                let next = *prompt + 1;
                self.prompt(next, now);
            }
            State::Recording { .. } => self.beeped(now),
            State::Sounding => self.was_heard(heard, now),
            State::Asking
            | State::Connected { .. }
            | State::Dialling { .. }
            | State::Gathering { .. }
            | State::Over
            | State::Pausing
            | State::Queued { .. }
            | State::Referring { .. } => {}
        }
    }

    fn woke(&mut self, now: Instant) {
        self.deadline = None;
        match &self.state {
            State::Dialling { .. } => self.acts.push_back(Act::EndDial),
            State::Gathering { prompt: Some(prompt), .. } => {
                let next = *prompt + 1;
                self.prompt(next, now);
            }
            State::Gathering { .. } => self.gathered(now),
            State::Pausing => self.next(now),
            State::Referring { .. } => self.acts.push_back(Act::EndRefer),
            State::Recording { .. } => self.acts.push_back(Act::EndRecord),
            State::Apologising
            | State::Asking
            | State::Connected { .. }
            | State::Over
            | State::Queued { .. }
            | State::Sounding => {}
        }
    }

    fn key(&mut self, key: char, now: Instant) {
        match &self.state {
            State::Dialling { .. } => self.dialling_key(key),
            State::Gathering { .. } => self.gathering_key(key, now),
            State::Recording { .. } => self.recording_key(key),
            State::Apologising
            | State::Asking
            | State::Connected { .. }
            | State::Over
            | State::Pausing
            | State::Queued { .. }
            | State::Referring { .. }
            | State::Sounding => {}
        }
    }
}
