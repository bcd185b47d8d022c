//! What is kept of a call beside it: what went wrong, and what was recorded.

use serde_json::json;
use switchboard::Effects;
use switchboard::clip::RecordedFact;
use types::{SessionId, UnixTime};

use super::things::{CALL_RECORDING, CONFERENCE_RECORDING, RECORDING, fresh_sid};
use crate::call::{Call, call_sid};
use crate::events::whole_seconds;
use crate::program::Recorded;
use crate::store::{self, Thing};

/// Errors and warnings that are kept of one call; what comes after them stands in its ladder alone.
pub const NOTES_MAX: u32 = 100;

/// Keeps an error or a warning of a call, for `/Notifications`.
///
/// Spec: programmable-voice §5
pub(crate) fn note(
    call: &mut Call,
    (class, code): (&str, u16),
    sentence: &str,
    effects: &mut Effects<'_>,
) {
    if call.progress.notes >= NOTES_MAX {
        return;
    }
    call.progress.notes += 1;
    let (source, _, _) = call.program.position();
    write((call_sid(call.session.0), &source.url), (class, code), sentence, effects);
}

/// Writes down an error or a warning about a call, or about nothing but an address.
pub(crate) fn write(
    (owner, url): (String, &str),
    (class, code): (&str, u16),
    sentence: &str,
    effects: &mut Effects<'_>,
) {
    let body = json!({"class": class, "code": code, "sentence": sentence, "url": url});
    let now = effects.unix();
    let thing = Thing {
        kind: "notification",
        sid: fresh_sid("NO", effects),
        owner,
        name: String::new(),
        body: body.to_string(),
        made: now,
        updated: now,
    };
    effects.write_patiently(store::put_for_now(&thing));
}

/// Keeps that there is a recording of a call, for `/Recordings`.
pub(crate) fn recorded(
    call: SessionId,
    (recorded, fact): (&Recorded, &RecordedFact),
    (source, channels): (&str, u8),
    effects: &mut Effects<'_>,
) {
    recorded_track(call, (recorded, fact), (source, channels, "both"), effects);
}

/// The same of one that may have one track alone.
pub(crate) fn recorded_track(
    call: SessionId,
    (recorded, fact): (&Recorded, &RecordedFact),
    (source, channels, track): (&str, u8, &str),
    effects: &mut Effects<'_>,
) {
    let start = effects.unix().0.saturating_sub(fact.length.as_micros() as u64);
    let tape =
        Tape { sid: &recorded.sid, call: &call_sid(call.0), source, channels, track, ..Tape::NONE };
    tape.write(UnixTime(start), ("completed", Some(fact)), effects);
}

/// Keeps that nothing came of a recording that was shown while it went on.
pub(crate) fn absent(
    call: SessionId,
    (sid, source): (&str, &str),
    began: UnixTime,
    effects: &mut Effects<'_>,
) {
    let tape = Tape { sid, call: &call_sid(call.0), source, ..Tape::NONE };
    tape.write(began, ("absent", None), effects);
}

/// What is kept of a recording, also of one that still runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tape<'a> {
    pub sid: &'a str,
    /// Whose it is; empty: a conference's.
    pub call: &'a str,
    /// Empty: a call's.
    pub conference: &'a str,
    pub source: &'a str,
    pub channels: u8,
    /// Whose sound: `both`, `inbound` or `outbound`.
    pub track: &'a str,
}

impl Tape<'_> {
    /// Nobody's.
    pub const NONE: Self =
        Self { sid: "", call: "", conference: "", source: "", channels: 1, track: "both" };

    /// Keeps how it stands: `in-progress`, `paused`, `completed` or `absent`.
    ///
    /// Spec: programmable-voice §6.3 (Recording)
    pub fn write(
        &self,
        start: UnixTime,
        (status, fact): (&str, Option<&RecordedFact>),
        effects: &mut Effects<'_>,
    ) {
        let thing = self.thing((start, effects.unix()), (status, fact), effects);
        effects.write_patiently(store::put_in_order(&thing));
    }

    /// One that runs, as the API shows it.
    pub fn value(
        &self,
        times: (UnixTime, UnixTime),
        status: &str,
        effects: &Effects<'_>,
    ) -> serde_json::Value {
        let thing = self.thing(times, (status, None), effects);
        let kind = if self.call.is_empty() { &CONFERENCE_RECORDING } else { &CALL_RECORDING };
        (kind.show)(&thing, &effects.apps().sid)
    }

    fn thing(
        &self,
        (start, now): (UnixTime, UnixTime),
        (status, fact): (&str, Option<&RecordedFact>),
        effects: &Effects<'_>,
    ) -> Thing {
        let body = json!({
            "address": fact.map(|fact| &fact.address),
            "url": fact.map(|fact| format!("{}{}", effects.public(), fact.address)),
            "seconds": fact.map(|fact| whole_seconds(fact.length)),
            "channels": self.channels,
            "source": self.source,
            "start": start.0,
            "status": status,
            "track": self.track,
        });
        Thing {
            kind: RECORDING.kind,
            sid: self.sid.to_owned(),
            owner: self.call.to_owned(),
            name: self.conference.to_owned(),
            body: body.to_string(),
            made: start,
            updated: now,
        }
    }
}
