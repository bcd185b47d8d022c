//! What is recorded of a `<Dial>`, and who hears of it.
//!
//! Rules       The recording has its name from its beginning on. It ends with the `<Dial>`, whose action hears of it:
//!             so that waits until the file is kept. With a channel for each the caller is the left one.
//! Limits      Four hours (the longest call); what the disk takes (shell).
//! Spec        programmable-voice §1.2 (Dial: record), §2 (recordingStatusCallback)

use std::time::Duration;

use media::{Command, Direction, Rate, Seat, StreamKey, TapId};
use switchboard::clip::{RecordFormat, Recording};
use switchboard::{Effects, Ticket};
use twiml::{Dial, DialRecord, Hook, Track};
use types::{UnixTime, tagged};

use crate::call::{date, read_hook, write_hook};
use crate::program::{Dialled, Recorded};

/// What such a recording is called.
pub const SOURCE: &str = "DialVerb";

/// See the head of this file.
#[derive(Clone, Debug, Default)]
pub struct Tape {
    /// `RE…`
    pub sid: String,
    channels: u8,
    pub began: UnixTime,
    pub status: Option<(Hook, Vec<String>)>,
    /// It runs, or its file is being finished.
    pub runs: Option<(Ticket, TapId)>,
    /// The `<Dial>` is over and waits for the file.
    pub over: Option<Dialled>,
}

impl Tape {
    /// Whether a recording begins with the first ring (true) or with the answer.
    pub fn wanted(dial: &Dial) -> Option<bool> {
        match dial.record {
            DialRecord::Nothing => None,
            DialRecord::Answer { .. } => Some(false),
            DialRecord::Ringing { .. } => Some(true),
        }
    }

    /// Begins to record what the caller says and hears.
    pub fn start(
        dial: &Dial,
        (stream, caller): (StreamKey, Seat),
        effects: &mut Effects<'_>,
    ) -> Self {
        let dual = match dial.record {
            DialRecord::Answer { dual } | DialRecord::Ringing { dual } => dual,
            DialRecord::Nothing => false,
        };
        let tap = TapId(effects.rng().next_u64());
        let (seat, direction) = match (dual, dial.track) {
            (true, _) => (Some(caller), Direction::Both),
            (false, Track::Both) => (None, Direction::Both),
            (false, Track::Inbound) => (Some(caller), Direction::In),
            (false, Track::Outbound) => (Some(caller), Direction::Out),
        };
        let rate = Rate::Narrow;
        effects.media(Command::Tap { stream, seat, tap, rate, direction });
        let sid = sid(tap, effects);
        let channels = if dual { 2 } else { 1 };
        let ticket = effects.record(Recording {
            tap,
            name: sid.clone(),
            rate,
            channels,
            format: RecordFormat::Wav,
            trim: dial.trim,
            max: Duration::ZERO,
        });
        let (began, status) = (effects.unix(), dial.recording_status.clone());
        Self { sid, channels, began, status, runs: Some((ticket, tap)), over: None }
    }

    /// It ends; the file comes with its ticket.
    pub fn finish(&self, effects: &mut Effects<'_>) {
        if let Some((_, tap)) = self.runs {
            effects.finish_recording(tap);
            effects.media(Command::Untap { tap });
        }
    }

    /// Who hears of this event, and what is said.
    pub fn said(
        &self,
        event: &str,
        kept: Option<&Recorded>,
    ) -> Option<(Hook, Vec<(String, String)>)> {
        let hook = self.hook(event)?;
        let mut said = self.facts(event);
        if let Some(kept) = kept {
            said.push(("RecordingUrl".to_owned(), kept.url.clone()));
            said.push(("RecordingDuration".to_owned(), kept.seconds.to_string()));
        }
        Some((hook, said))
    }

    /// Who hears of this event.
    pub fn hook(&self, event: &str) -> Option<Hook> {
        let (hook, events) = self.status.as_ref()?;
        events.iter().any(|wanted| wanted == event).then(|| hook.clone())
    }

    /// What is said of it whoever hears it.
    pub fn facts(&self, event: &str) -> Vec<(String, String)> {
        crate::told::pairs([
            ("RecordingSid", self.sid.clone()),
            ("RecordingStatus", event.to_owned()),
            ("RecordingChannels", self.channels.to_string()),
            ("RecordingStartTime", date(self.began)),
            ("RecordingSource", SOURCE.to_owned()),
        ])
    }

    /// 1, or one for each.
    pub fn channels(&self) -> u8 {
        self.channels
    }

    pub fn write(&self, writer: &mut tagged::Writer) {
        writer.text(1, &self.sid).number(2, self.channels.into()).time(3, self.began);
        if let Some((hook, events)) = &self.status {
            writer.nested(4, |writer| write_hook(hook, writer)).text(5, &events.join(" "));
        }
    }

    pub fn read(bytes: &[u8]) -> Self {
        let mut tape = Self::default();
        let (mut hook, mut events) = (None, Vec::new());
        for (tag, field) in tagged::Reader::new(bytes) {
            match tag {
                1 => tape.sid = field.string().unwrap_or_default(),
                2 => tape.channels = if field.number() == Some(2) { 2 } else { 1 },
                3 => tape.began = field.time().unwrap_or_default(),
                4 => hook = Some(read_hook(field.0)),
                5 => {
                    let text = field.string().unwrap_or_default();
                    events = text.split_whitespace().map(str::to_owned).collect();
                }
                _ => (), // A field of a newer version.
            }
        }
        tape.status = hook.map(|hook| (hook, events));
        tape
    }
}

/// The name of a recording that begins now.
pub fn sid(tap: TapId, effects: &Effects<'_>) -> String {
    format!("RE{:016x}{:016x}", tap.0, effects.unix().0)
}
