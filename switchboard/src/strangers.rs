//! Who somebody is: challenges and what they rest on, and who is a stranger while not everybody has been read from the
//! store.

use sip::digest::{self, Algorithm, Ha1};
use sip::{Message, Method, Uri};
use types::digits::{push_address, push_number};
use types::{Flow, Refuse, Transport};

use crate::core::Core;
use crate::gruu::Gruu;
use crate::refusal::Refusal;
use crate::service::Caller;
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
    pub(crate) fn shed(&mut self, flow: Flow, key: u64, method: Method<'_>, message: &Message<'_>) {
        let from = message.from().ok().and_then(|from| from.uri().ok());
        let user = from.and_then(|uri| uri.user_unescaped());
        let user = user.as_deref().and_then(|user| std::str::from_utf8(user).ok());
        let known = user.is_some_and(|user| self.directory.user(user).is_some());
        if known || self.trunk(flow, method, message).is_some() {
            self.refuse_early(flow, key, message, Refusal::Overloaded);
        } else {
            self.count("sip.stranger_shed");
        }
    }

    /// Refuses a request that nothing was made of yet. A datagram with an INVITE may come twice: a copy hears the same,
    /// also when it comes after the cause is gone.
    pub(crate) fn refuse_early(
        &mut self,
        flow: Flow,
        key: u64,
        message: &Message<'_>,
        refusal: Refusal,
    ) {
        if flow.transport == Transport::Udp && message.method() == Method::Invite {
            self.turned_away.note(key, refusal, self.clock.now);
        }
        let verdict = refusal.verdict();
        self.count(verdict.code);
        let delay = refusal.retry_after().map_or(String::from("5"), |delay| delay.0.to_string());
        self.stateless(flow, message, verdict.sip, &[("Retry-After", &delay)]);
    }

    /// Whom a nonce is for. Each shard counts its own uses, so a nonce of one is no good at another.
    pub(crate) fn nonce_place(&self, flow: Flow) -> Vec<u8> {
        let mut place = Vec::with_capacity(48);
        push_address(&mut place, flow.remote.ip());
        place.push(b'#');
        push_number(&mut place, self.config.index as u64);
        place
    }

    /// Whom a request says that it is from, unproved.
    pub(crate) fn claimed(&self, message: &Message<'_>) -> Caller {
        let uri = message.from().ok().and_then(|from| from.uri().ok());
        let claimed = uri.map(|uri| String::from_utf8_lossy(uri.bytes()).into_owned());
        Caller::Claimed(claimed.unwrap_or_default())
    }

    /// What is offered to this user; the same for people that we do not know.
    pub(crate) fn algorithms(&self, name: &str) -> Vec<Algorithm> {
        let own: Vec<_> = self
            .directory
            .user(name)
            .map(|user| {
                user.digest.iter().filter_map(|word| Algorithm::parse(word.as_bytes())).collect()
            })
            .unwrap_or_default();
        if own.is_empty() { self.config.digest.clone() } else { own }
    }

    /// What a user's password became, for one algorithm.
    pub(crate) fn verifier(&self, name: &str, algorithm: Algorithm) -> Option<Ha1> {
        let user = self.directory.user(name)?;
        user.verifiers
            .iter()
            .filter_map(crate::directory::Verifier::decode)
            .find(|ha1| ha1.algorithm() == algorithm)
    }

    /// 401 with one challenge per algorithm.
    pub(crate) fn challenge(
        &mut self,
        flow: Flow,
        message: &Message<'_>,
        stale: bool,
        name: Option<&str>,
    ) {
        // Before a name is proved its From tells what its phone understands.
        let claimed = message
            .from()
            .ok()
            .and_then(|from| from.uri().ok())
            .and_then(|uri| Some(String::from_utf8_lossy(&uri.user_unescaped()?).into_owned()));
        let name = name.map(str::to_owned).or(claimed).unwrap_or_default();
        let place = self.nonce_place(flow);
        let unix = self.clock.unix;
        let challenges: Vec<String> = self
            .algorithms(&name)
            .into_iter()
            .map(|algorithm| {
                let nonce = self.nonces.mint(unix, &place);
                digest::challenge_header(&self.config.domain, &nonce, algorithm, stale)
            })
            .collect();
        let headers: Vec<(&str, &str)> =
            challenges.iter().map(|value| ("WWW-Authenticate", value.as_str())).collect();
        self.count("sip.challenged");
        self.stateless(flow, message, 401, &headers);
    }
}
