//! Who somebody is, and who is a stranger while not everybody has been read from the store.

use sip::{Message, Method, Uri};
use types::{Flow, Refuse};

use crate::core::Core;
use crate::gruu::Gruu;
use crate::refusal::Refusal;
use crate::transactions::Tag;

impl Core {
    /// The user that an address names; `None`: none at all, or nobody's name.
    pub(crate) fn user_in(&self, uri: &Uri<'_>) -> Option<String> {
        match Gruu::read(&self.keys, uri) {
            Some(gruu) => Some(gruu.user().to_owned()),
            None => String::from_utf8(uri.user_unescaped()?.into_owned()).ok(),
        }
    }

    /// Whether somebody whom this speaks of is a stranger, while not all have been read from the store yet.
    pub(crate) fn may_become_known(&self, message: &Message<'_>, target: &str) -> bool {
        if self.reading.is_empty() {
            return false;
        }
        let from = message.from().ok().and_then(|from| from.uri().ok());
        let own = from.filter(|uri| self.is_ours(uri));
        let caller = own.and_then(|uri| self.user_in(&uri));
        let is_stranger = |name: &str| !name.is_empty() && self.directory.user(name).is_none();
        is_stranger(target) || caller.is_some_and(|caller| is_stranger(&caller))
    }

    /// Asks somebody of whom it is not known yet who he is to come again.
    ///
    /// By a transaction: a copy of an INVITE that comes when all are known must hear the same as the first.
    pub(crate) fn refuse_reading(&mut self, flow: Flow, key: u64, message: &Message<'_>) {
        let verdict = Refusal::Reading.verdict();
        self.count(verdict.code);
        let request = self.begin(flow, key, message, Tag::default());
        let delay = Refusal::Reading.retry_after().unwrap_or_default().0.to_string();
        self.answer_plainly(request, verdict.sip, &[("Retry-After", &delay)]);
    }

    /// More comes than can be done: our people and trunks are told at once, before anything is made of the request, so
    /// that they do not ask again; others are not worth the answer. What has begun goes on.
    ///
    /// Spec: RFC 3261 §21.5.4
    pub(crate) fn shed(&mut self, flow: Flow, method: Method<'_>, message: &Message<'_>) {
        let from = message.from().ok().and_then(|from| from.uri().ok());
        let user = from.and_then(|uri| uri.user_unescaped());
        let user = user.as_deref().and_then(|user| std::str::from_utf8(user).ok());
        let known = user.is_some_and(|user| self.directory.user(user).is_some());
        if known || self.trunk(flow, method, message).is_some() {
            self.refuse_early(flow, message, &Refusal::Overloaded);
        } else {
            self.count("sip.stranger_shed");
        }
    }

    /// Refuses a request that nothing was made of yet.
    pub(crate) fn refuse_early(&mut self, flow: Flow, message: &Message<'_>, refusal: &Refusal) {
        let verdict = refusal.verdict();
        self.count(verdict.code);
        let delay = refusal.retry_after().map_or(String::from("5"), |delay| delay.0.to_string());
        self.stateless(flow, message, verdict.sip, &[("Retry-After", &delay)]);
    }
}
