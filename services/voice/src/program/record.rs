//! `<Record>`: the caller's voice, kept.
//!
//! Spec: programmable-voice §1.2

use twiml::{Hook, Record};
use types::Instant;

use super::{Act, Piece, Program, Recorded, State};

impl Program {
    pub(super) fn record(&mut self, record: Box<Record>, now: Instant) {
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

    /// The beep was heard: now he is recorded.
    pub(super) fn beeped(&mut self, now: Instant) {
        let State::Recording { record, begun: begun @ false, .. } = &mut self.state else { return };
        *begun = true;
        let record = record.clone();
        self.deadline = Some(now + record.length_max);
        self.acts.push_back(Act::Record(record));
    }

    pub(super) fn recording_key(&mut self, key: char) {
        let State::Recording { record, key: pressed, begun: true } = &mut self.state else {
            return;
        };
        if record.finish_on.contains(key) && pressed.is_none() {
            *pressed = Some(key);
            self.acts.push_back(Act::EndRecord);
        }
    }

    /// Who hears of the recording that runs: its action, and whoever wants to know that it is ready.
    pub fn recorders(&self) -> Option<(Option<Hook>, Option<Hook>)> {
        let State::Recording { record, begun: true, .. } = &self.state else { return None };
        let whole =
            |hook: &Hook| self.address(&hook.url).map(|url| Hook { url, method: hook.method });
        let url = record.action.clone().unwrap_or_default();
        let action = Hook { url, method: record.method };
        Some((whole(&action), record.status.as_ref().and_then(whole)))
    }

    /// Who wants to know what is said in the recording that runs.
    pub fn transcriber(&self) -> Option<Hook> {
        let State::Recording { record, begun: true, .. } = &self.state else { return None };
        let Hook { url, method } = record.transcribed.as_ref()?;
        self.address(url).map(|url| Hook { url, method: *method })
    }

    pub(super) fn silent(&mut self) {
        if let State::Recording { begun: true, .. } = self.state {
            self.acts.push_back(Act::EndRecord);
        }
    }

    /// `None`: there was nothing to hear. It falls through to the next verb.
    pub(super) fn recorded(&mut self, recorded: Option<Recorded>, now: Instant) {
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
