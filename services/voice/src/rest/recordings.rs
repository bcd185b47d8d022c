//! Recordings of calls that begin, pause, go on and end by request; and those that are asked for with a call.
//!
//! Rules       One that goes on is in the store from its beginning, so lists and fetches know it; its file and its end are
//!             written over that. What the recorder does is the reel's.
//! Spec        programmable-voice §6.2 (`/Calls/{CA}/Recordings`; Record of `/Calls` POST)

use switchboard::Effects;
use twiml::{CallRecording, Track};

use super::ask::Ask;
use super::conferences::status_wanted;
use super::notes::Tape;
use super::outgoing::{hook, method};
use super::say::{self, No};
use super::{Done, session_of, shown};
use crate::Room;
use crate::call::call_sid;
use crate::reel::{Reel, Source, Wish, track_word};

impl Room {
    /// `POST /Calls/{CA}/Recordings`.
    pub(super) fn begin_recording(
        &mut self,
        ask: &Ask,
        sid: &str,
        effects: &mut Effects<'_>,
    ) -> Result<Done, No> {
        let session = self.talking(ask, sid)?;
        let wanted = wanted(ask, false)?;
        let made = self.start_reel(session, (wanted, Source::Request), effects)?;
        let call = self.calls.get(&session);
        let reel = call.and_then(|call| call.reels.iter().find(|reel| reel.sid == made));
        let reel = reel.ok_or_else(|| No::missing(&say::base(ask)))?;
        Ok(answered(201, (sid, reel), ask, effects))
    }

    /// `POST /Calls/{CA}/Recordings/{RE}`.
    pub(super) fn steer_reel(
        &mut self,
        ask: &Ask,
        (sid, name): (&str, &str),
        effects: &mut Effects<'_>,
    ) -> Result<Done, No> {
        let wish = match (status_wanted(ask)?, ask.text("PauseBehavior")) {
            ("paused", Some("skip")) => Wish::Pause { silent: false },
            ("paused", None | Some("silence")) => Wish::Pause { silent: true },
            ("paused", Some(word)) => {
                let words = format!("PauseBehavior is {word}, and should be silence or skip");
                return Err(No::invalid(20001, words));
            }
            ("in-progress", _) => Wish::Resume,
            (_, _) => Wish::Stop,
        };
        let session = session_of(sid, "CA").filter(|session| self.calls.contains_key(session));
        let session = session.ok_or_else(|| No::missing(&say::base(ask)))?;
        let reel = self.change_reel(session, (name, wish), effects)?;
        Ok(answered(200, (sid, reel), ask, effects))
    }
}

impl Reel {
    /// As it is kept and shown; `call`: whose it is, for apps.
    pub(crate) fn shown<'a>(&'a self, call: &'a str) -> Tape<'a> {
        let (sid, source) = (&*self.sid, self.source.word());
        let track = track_word(self.wanted.track);
        Tape { sid, call, source, channels: self.channels(), track, ..Tape::NONE }
    }

    /// Keeps how it stands, for lists and fetches.
    pub(crate) fn note(&self, call: types::SessionId, effects: &mut Effects<'_>) {
        self.shown(&call_sid(call.0)).write(self.began, (self.state.word(), None), effects);
    }
}

fn answered(status: u16, (call, reel): (&str, &Reel), ask: &Ask, effects: &Effects<'_>) -> Done {
    let times = (reel.began, effects.unix());
    let value = reel.shown(call).value(times, reel.state.word(), effects);
    shown(status, "Recording", &value, ask.form)
}

/// What is recorded, as an app asks for it; `trim`: silence at both ends is left out unless it says otherwise.
pub(super) fn wanted(ask: &Ask, trim: bool) -> Result<CallRecording, No> {
    let one_of = |name: &str, known: &[&str]| match ask.text(name) {
        Some(word) if !known.contains(&word) => {
            let words = format!("{name} is {word}, and should be one of {}", known.join(", "));
            Err(No::invalid(20001, words))
        }
        word => Ok(word),
    };
    let url = ask.text("RecordingStatusCallback");
    let how = method(ask, "RecordingStatusCallbackMethod")?;
    let status = url.map(|url| hook(url, how)).transpose()?;
    let mut events: Vec<String> =
        ask.all("RecordingStatusCallbackEvent").into_iter().map(str::to_owned).collect();
    if events.is_empty() {
        events.push("completed".to_owned());
    }
    Ok(CallRecording {
        status: status.map(|hook| (hook, events)),
        trim: match one_of("Trim", &["trim-silence", "do-not-trim"])? {
            None => trim,
            Some(word) => word == "trim-silence",
        },
        track: match one_of("RecordingTrack", &["inbound", "outbound", "both"])? {
            Some("inbound") => Track::Inbound,
            Some("outbound") => Track::Outbound,
            Some(_) | None => Track::Both,
        },
        dual: one_of("RecordingChannels", &["mono", "dual"])? == Some("dual"),
    })
}
