//! `<Connect>`, `<Start>` and `<Stop>`: what goes on in place of the verbs, or beside them.
//!
//! Spec: programmable-voice §1.2, §2.1

use twiml::{Connect, Start, Stop, Stream};
use types::Instant;

use super::{Act, Class, Program, State};

impl Program {
    /// The call belongs to an app until [`Event::Disconnected`](super::Event::Disconnected).
    pub(super) fn connect(&mut self, connect: Box<Connect>) {
        self.answer();
        match self.whole_stream(&connect.stream) {
            Some(stream) => {
                self.state = State::Connected { connect };
                self.acts.push_back(Act::Connect(Box::new(stream)));
            }
            None => self.fail(31923, "the stream has no address", ""),
        }
    }

    /// Goes on where `<Connect>` says, or with the next verb.
    pub(super) fn disconnected(&mut self, now: Instant) {
        let State::Connected { connect } = &self.state else { return };
        match connect.action.clone() {
            Some(action) => {
                let method = connect.method;
                self.hand_over(&action, method, Vec::new());
            }
            None => self.next(now),
        }
    }

    /// What begins here outlives the document.
    pub(super) fn start(&mut self, started: Vec<Start>, now: Instant) {
        for start in started {
            match start {
                Start::Stream(stream) => match self.whole_stream(&stream) {
                    Some(stream) => self.acts.push_back(Act::Fork(Box::new(stream))),
                    None => self.complain(31923, "the stream has no address"),
                },
                Start::Recording(wanted) => self.acts.push_back(Act::Tape(Box::new(wanted))),
                Start::Siprec(mut wanted) => {
                    wanted.status = wanted.status.and_then(|hook| self.whole(&hook));
                    self.acts.push_back(Act::Siprec(Box::new(wanted)));
                }
                Start::Transcription(mut wanted) => {
                    wanted.status = wanted.status.and_then(|hook| self.whole(&hook));
                    self.acts.push_back(Act::Transcribe(Box::new(wanted)));
                }
            }
        }
        self.next(now);
    }

    pub(super) fn stop(&mut self, stopped: Vec<Stop>, now: Instant) {
        for stop in stopped {
            match stop {
                Stop::Siprec(name) => self.acts.push_back(Act::StopSiprec(name)),
                Stop::Stream(name) => self.acts.push_back(Act::StopStream(name)),
                Stop::Transcription(name) => self.acts.push_back(Act::StopTranscription(name)),
            }
        }
        self.next(now);
    }

    /// Something that costs no document.
    fn complain(&mut self, code: u16, sentence: &str) {
        let sentence = sentence.to_owned();
        self.acts.push_back(Act::Note { class: Class::Error, code, sentence });
    }

    /// A stream whose addresses stand for themselves.
    fn whole_stream(&self, stream: &Stream) -> Option<Stream> {
        let web = |url: &str| {
            let secure = url.strip_prefix("wss://").map(|rest| format!("https://{rest}"));
            let open = || url.strip_prefix("ws://").map(|rest| format!("http://{rest}"));
            secure.or_else(open).unwrap_or_else(|| url.to_owned())
        };
        let found = self.address(&web(&stream.url)).filter(|_| !stream.url.is_empty())?;
        let url = match found.split_once("://")? {
            ("https", rest) => format!("wss://{rest}"),
            (_, rest) => format!("ws://{rest}"),
        };
        let status = stream.status.as_ref().and_then(|hook| self.whole(hook));
        Some(Stream { url, status, ..stream.clone() })
    }
}
