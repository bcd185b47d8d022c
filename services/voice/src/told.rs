//! What apps are told that need not answer: how a call ended.
//!
//! Rules       It is told after the call, with its cookies; a failure is a warning in the ladder.
//! Spec        programmable-voice §2 (Call statusCallback)

use switchboard::Effects;
use switchboard::fetch::{FetchFault, Fetched};
use switchboard::ladder::Lane;
use types::CallId;

use crate::Room;
use crate::call::{Call, date};
use crate::cookies::Jar;
use crate::hook::{Asking, Failure, Signer, Turn};
use crate::program::Ask;

/// Something that is being told.
#[derive(Debug)]
pub struct Telling {
    call: CallId,
    asking: Asking,
    jar: Jar,
}

impl Room {
    /// Tells whoever wants to know that a call is over.
    pub(crate) fn tell_end(&mut self, call: &Call, effects: &mut Effects<'_>) {
        let Some(hook) = &call.hooks.status else { return };
        let (began, ended) = (call.facts.answered, call.facts.ended.unwrap_or_default());
        let seconds = began.map_or(0, |began| ended.since(began).as_secs());
        let more = [
            ("Timestamp", date(effects.unix())),
            ("CallbackSource", "call-progress-events".to_owned()),
            ("SequenceNumber", "0".to_owned()),
            ("CallDuration", seconds.to_string()),
            ("SipResponseCode", call.facts.status.to_string()),
        ];
        let more = more.map(|(name, value)| (name.to_owned(), value)).to_vec();
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

fn not_told(call: CallId, failure: &Failure, effects: &mut Effects<'_>) {
    effects.count("voice.callbacks_failed");
    effects.ladder(call, Lane::Note, &format!("warning 15003: {}", failure.sentence));
}
