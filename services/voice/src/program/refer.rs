//! `<Refer>`: the caller's phone is asked to call somebody else.
//!
//! Spec: programmable-voice §1.2, §2 (Refer action)

use std::time::Duration;

use twiml::{Hook, Refer};
use types::Instant;

use super::{Act, Program, State};

/// How long it may take until it is known whether the phone reached whom it was to call.
pub const REFER_MAX: Duration = Duration::from_secs(180);

/// What became of such a wish.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Referred {
    /// `completed`, `busy`, `no-answer`, `canceled` or `failed`; `in-progress` where the phone tells no more.
    pub status: &'static str,
    /// What the phone answered to the wish.
    pub answer: Option<u16>,
    /// What it told last of the call that it made.
    pub told: Option<u16>,
}

impl Referred {
    /// What the action hears.
    pub fn said(&self) -> Vec<(String, String)> {
        let mut more = vec![("ReferCallStatus".to_owned(), self.status.to_owned())];
        let code = |name: &str, code: Option<u16>| Some((name.to_owned(), code?.to_string()));
        more.extend(code("ReferSipResponseCode", self.answer));
        more.extend(code("NotifySipResponseCode", self.told));
        more
    }
}

impl Program {
    pub(super) fn refer(&mut self, refer: Box<Refer>, now: Instant) {
        self.answer();
        self.deadline = Some(now + REFER_MAX);
        self.acts.push_back(Act::Refer(refer.clone()));
        self.state = State::Referring { refer };
    }

    pub(super) fn referred(&mut self, referred: &Referred, now: Instant) {
        let State::Referring { refer } = &self.state else { return };
        let (action, method) = (refer.action.clone(), refer.method);
        match action {
            Some(action) => self.hand_over(&action, method, referred.said()),
            None => self.next(now),
        }
    }

    /// Who hears what became of it when the caller is gone by then.
    pub fn refer_action(&self) -> Option<Hook> {
        let State::Referring { refer } = &self.state else { return None };
        let url = self.address(refer.action.as_deref()?)?;
        Some(Hook { url, method: refer.method })
    }
}
