//! What is kept of a call beside it: what went wrong, and what was recorded.

use serde_json::json;
use switchboard::Effects;
use switchboard::clip::RecordedFact;
use types::SessionId;

use super::things::fresh_sid;
use crate::call::{Call, call_sid};
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
    let body = json!({"class": class, "code": code, "sentence": sentence, "url": source.url});
    let now = effects.unix();
    let thing = Thing {
        kind: "notification",
        sid: fresh_sid("NO", effects),
        owner: call_sid(call.session.0),
        name: String::new(),
        body: body.to_string(),
        made: now,
        updated: now,
    };
    // Nobody waits for it: a store that is away has no notes of that time.
    effects.write(store::put(&thing));
}

/// Keeps that there is a recording of a call, for `/Recordings`.
pub(crate) fn recorded(
    call: SessionId,
    (recorded, fact): (&Recorded, &RecordedFact),
    (source, channels): (&str, u8),
    effects: &mut Effects<'_>,
) {
    let now = effects.unix();
    let start = now.0.saturating_sub(fact.length.as_micros() as u64);
    let body = json!({
        "address": fact.address,
        "url": recorded.url,
        "seconds": recorded.seconds,
        "channels": channels,
        "source": source,
        "start": start,
    });
    let thing = Thing {
        kind: "recording",
        sid: recorded.sid.clone(),
        owner: call_sid(call.0),
        name: String::new(),
        body: body.to_string(),
        made: now,
        updated: now,
    };
    effects.write(store::put(&thing));
}
