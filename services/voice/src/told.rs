//! What apps are told whose answers change nothing: how a call ended, that a recording is ready.
//!
//! Rules       It is told after the call, with its cookies; a failure is a warning in the ladder.
//! Spec        programmable-voice §2 (Call statusCallback, recordingStatusCallback, Record action)

use switchboard::Effects;
use switchboard::clip::{RecordedFact, SoundFault};
use switchboard::fetch::{FetchFault, Fetched};
use switchboard::ladder::Lane;
use twiml::Hook;
use types::{CallId, SessionId};

use crate::Room;
use crate::call::{Call, date};
use crate::cookies::Jar;
use crate::events::kept;
use crate::hook::{Asking, Failure, Signer, Turn};
use crate::program::{Ask, Recorded};
use crate::rest::notes;
use crate::rest::progress::Stage;

/// Something that is being told.
#[derive(Debug)]
pub struct Telling {
    call: CallId,
    asking: Asking,
    jar: Jar,
}

/// A call that ended in the middle of a recording, and who hears of that.
#[derive(Debug)]
pub struct Late {
    pub call: Box<Call>,
    pub action: Option<Hook>,
    pub status: Option<Hook>,
}

impl Room {
    /// Tells whoever wants to know that a call is over.
    pub(crate) fn tell_end(&mut self, call: &mut Call, effects: &mut Effects<'_>) {
        let (began, ended) = (call.facts.answered, call.facts.ended.unwrap_or_default());
        let seconds = began.map_or(0, |began| ended.since(began).as_secs());
        let more = pairs([
            ("CallDuration", seconds.to_string()),
            ("SipResponseCode", call.facts.status.to_string()),
        ]);
        self.tell_progress(call, Stage::Completed, more, effects);
    }

    /// Tells whoever wants to know how far a call is.
    pub(crate) fn tell_stage(
        &mut self,
        session: SessionId,
        stage: Stage,
        effects: &mut Effects<'_>,
    ) {
        let Some(mut call) = self.calls.remove(&session) else { return };
        self.tell_progress(&mut call, stage, Vec::new(), effects);
        self.calls.insert(session, call);
    }

    fn tell_progress(
        &mut self,
        call: &mut Call,
        stage: Stage,
        more: Vec<(String, String)>,
        effects: &mut Effects<'_>,
    ) {
        let Some(hook) = call.hooks.status.clone().filter(|_| call.progress.tells(stage)) else {
            return;
        };
        let mut said = pairs([
            ("Timestamp", date(effects.unix())),
            ("CallbackSource", "call-progress-events".to_owned()),
            ("SequenceNumber", call.progress.number()),
        ]);
        said.extend(more);
        self.tell_hook(call, &hook, said, effects);
    }

    /// Tells whoever wants to know that a recording of a call that goes on is ready.
    pub(crate) fn tell_recorded(
        &mut self,
        session: SessionId,
        recorded: Option<&Recorded>,
        effects: &mut Effects<'_>,
    ) {
        let Some(call) = self.calls.remove(&session) else { return };
        let status = call.program.recorders().and_then(|(_, status)| status);
        if let (Some(recorded), Some(hook)) = (recorded, status) {
            self.tell_hook(&call, &hook, ready(recorded), effects);
        }
        self.calls.insert(session, call);
    }

    /// The recording of a call that is over: its action hears of it as well, as of one that the caller ended.
    pub(crate) fn late_recorded(
        &mut self,
        late: &Late,
        recorded: Result<RecordedFact, SoundFault>,
        effects: &mut Effects<'_>,
    ) {
        let fact = recorded.as_ref().ok().cloned();
        let Some(recorded) = kept(recorded.ok(), effects) else { return };
        if let Some(fact) = &fact {
            notes::recorded(&late.call, (&recorded, fact), ("RecordVerb", 1), effects);
        }
        if let Some(hook) = &late.status {
            self.tell_hook(&late.call, hook, ready(&recorded), effects);
        }
        if let Some(hook) = &late.action {
            let more = [
                ("RecordingUrl", recorded.url.clone()),
                ("RecordingSid", recorded.sid.clone()),
                ("RecordingDuration", recorded.seconds.to_string()),
                ("Digits", "hangup".to_owned()),
            ];
            self.tell_hook(&late.call, hook, pairs(more), effects);
        }
    }

    pub(crate) fn tell_hook(
        &mut self,
        call: &Call,
        hook: &Hook,
        more: Vec<(String, String)>,
        effects: &mut Effects<'_>,
    ) {
        let question = call.question(&Ask { url: hook.url.clone(), method: hook.method, more });
        let token = format!("{:016x}", effects.rng().next_u64());
        let id = CallId(call.session.0);
        match Asking::new(question, token, effects.now()) {
            Ok(asking) => self.tell(Telling { call: id, asking, jar: call.jar.clone() }, effects),
            Err(failure) => not_told(id, &failure, effects),
        }
    }

    fn tell(&mut self, telling: Telling, effects: &mut Effects<'_>) {
        let token = effects.apps().token.clone();
        let signer = Signer { token: token.reveal() };
        let (unix, now) = (effects.unix(), effects.now());
        let fetch = telling.asking.request(&signer, &telling.jar, unix, now);
        let words = format!("{} {}", fetch.method, telling.asking.url());
        effects.ladder(telling.call, Lane::Web, &words);
        let ticket = effects.fetch(fetch);
        self.telling.insert(ticket, Box::new(telling));
    }

    pub(crate) fn told(
        &mut self,
        mut telling: Telling,
        fetched: Result<Fetched, FetchFault>,
        effects: &mut Effects<'_>,
    ) {
        let (unix, now) = (effects.unix(), effects.now());
        match telling.asking.answered(fetched, &mut telling.jar, unix, now) {
            Turn::Again => self.tell(telling, effects),
            Turn::Done(_) => (),
            Turn::Failed(failure) => not_told(telling.call, &failure, effects),
        }
    }
}

/// What is said of a recording that is ready.
fn ready(recorded: &Recorded) -> Vec<(String, String)> {
    pairs([
        ("RecordingSid", recorded.sid.clone()),
        ("RecordingUrl", recorded.url.clone()),
        ("RecordingStatus", "completed".to_owned()),
        ("RecordingDuration", recorded.seconds.to_string()),
        ("RecordingChannels", "1".to_owned()),
        ("RecordingSource", "RecordVerb".to_owned()),
    ])
}

fn pairs<const N: usize>(rows: [(&str, String); N]) -> Vec<(String, String)> {
    rows.map(|(name, value)| (name.to_owned(), value)).to_vec()
}

fn not_told(call: CallId, failure: &Failure, effects: &mut Effects<'_>) {
    effects.count("voice.callbacks_failed");
    effects.ladder(call, Lane::Note, &format!("warning 15003: {}", failure.sentence));
}
