//! A call that lives is changed: it ends, or goes on with another document.
//!
//! Spec: programmable-voice §6.2 (`/Calls/{CA}` POST)

use std::time::Duration;

use switchboard::Effects;
use types::SessionId;

use super::ask::Ask;
use super::outgoing::{document, hook, inline, method, number};
use super::say::No;
use super::{Done, Waiting, session_of, shown};
use crate::program;
use crate::{Room, store};

impl Room {
    pub(super) fn update_call(
        &mut self,
        ask: &Ask,
        sid: &str,
        effects: &mut Effects<'_>,
    ) -> Result<Done, No> {
        let session = session_of(sid, "CA").filter(|session| self.calls.contains_key(session));
        let Some(session) = session else {
            return match self.known_leg(sid) {
                Some(leg) => self.update_leg(ask, leg, effects),
                None => self.update_ended(ask, sid, effects),
            };
        };
        self.change_hooks(ask, session, effects)?;
        let row = match ask.text("Status") {
            Some(word @ ("canceled" | "completed")) => self.end_call(session, word, effects)?,
            Some(word) => {
                let words = format!("Status is {word}, and should be canceled or completed");
                return Err(No::invalid(20422, words));
            }
            None => None,
        };
        if row.is_none() {
            self.divert(ask, session, effects)?;
        }
        let row = row.or_else(|| self.calls.get(&session).map(|call| call.row()));
        let row = row.or_else(|| self.recent(sid));
        let row = row.ok_or_else(|| No::missing(sid))?;
        Ok(shown(200, "Call", &row.json(&effects.apps().sid), ask.form))
    }

    /// It is over, or never was.
    fn update_ended(
        &mut self,
        ask: &Ask,
        sid: &str,
        effects: &mut Effects<'_>,
    ) -> Result<Done, No> {
        if self.recent(sid).is_some() {
            return Err(ended());
        }
        let waiting = Waiting::Ended(ask.clone());
        self.wait(waiting, |effects| effects.load(store::call(sid)), effects)
    }

    /// Ends a call for an app; the call as it was then.
    fn end_call(
        &mut self,
        session: SessionId,
        word: &str,
        effects: &mut Effects<'_>,
    ) -> Result<Option<super::row::Row>, No> {
        let Some(call) = self.calls.get_mut(&session) else { return Ok(None) };
        if word == "canceled" && call.facts.answered.is_some() {
            let words = "Call is in-progress. Only a call that nobody answered can be canceled";
            return Err(No::invalid(21220, words));
        }
        let outcome = if call.outgoing.is_some() { "cancelled" } else { "failed" };
        self.finish(session, (487, outcome, "server"), effects);
        Ok(self.rest.recent.back().cloned())
    }

    /// Who is told and asked from now on, and for how long the call may last.
    fn change_hooks(
        &mut self,
        ask: &Ask,
        session: SessionId,
        effects: &mut Effects<'_>,
    ) -> Result<(), No> {
        let fallback = ask.text("FallbackUrl");
        let fallback = fallback.map(|url| hook(url, method(ask, "FallbackMethod")?)).transpose()?;
        let status = ask.text("StatusCallback");
        let status =
            status.map(|url| hook(url, method(ask, "StatusCallbackMethod")?)).transpose()?;
        let limit = number(ask, "TimeLimit", 20422)?;
        let Some(call) = self.calls.get_mut(&session) else { return Ok(()) };
        if let Some(fallback) = fallback {
            call.program.fall_back(fallback.clone());
            call.hooks.fallback = Some(fallback);
        }
        if status.is_some() {
            call.hooks.status = status;
        }
        if let (Some(limit), Some(answered)) = (limit, call.facts.answered) {
            call.progress.until = Some(answered + Duration::from_secs(limit.clamp(1, 86_400)));
            self.limit(session, effects);
        }
        Ok(())
    }

    /// It goes on with another document.
    fn divert(
        &mut self,
        ask: &Ask,
        session: SessionId,
        effects: &mut Effects<'_>,
    ) -> Result<(), No> {
        let (url, text) = (ask.text("Url"), ask.text("Twiml"));
        if url.is_none() && text.is_none() {
            return Ok(());
        }
        let call = self.calls.get_mut(&session).ok_or_else(ended)?;
        if call.facts.answered.is_none() {
            let words = "Call is not in-progress. Cannot redirect.";
            return Err(No::invalid(21220, words));
        }
        let now = effects.now();
        match (url, text) {
            (Some(url), _) => {
                let hook = hook(url, method(ask, "Method")?)?;
                let ask = program::Ask { url: hook.url, method: hook.method, more: Vec::new() };
                call.program.divert(ask);
            }
            (None, Some(text)) => call.program.replace(document(inline(text)?), now),
            (None, None) => (),
        }
        call.asking = None;
        Self::keep(call, effects);
        self.carry(session, effects);
        Ok(())
    }
}

/// Nothing can be changed any more.
pub(super) fn ended() -> No {
    No::invalid(21220, "Call is not in-progress. Cannot redirect.")
}
