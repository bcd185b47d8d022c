//! What subscriptions do: a SUBSCRIBE is accepted or refreshed, NOTIFYs leave one at a time. The states stand in
//! [`subscription`](crate::subscription).

use sip::dialog::Dialog;
use sip::digest::{self, Challenge, Login, Password, Target};
use sip::write::Writer;
use sip::{Message, Method, Name};
use types::{Flow, Refuse, Seconds, SessionId, Slot, tagged};

use crate::core::{Core, SessionEntry, Work};
use crate::effects::Effects;
use crate::flows::is_near;
use crate::leg_run::{ALLOW, SERVER};
use crate::refusal::Refusal;
use crate::service::{Event, RequestId};
use crate::store::{Durability, Entry, kinds};
use crate::subscription::{
    BODY_MAX, CLOSING_MAX, News, Proof, RESTORE_SPREAD, Reason, SUBSCRIPTIONS_MAX, Subscription,
    SubscriptionEvent, SubscriptionState, Terms, USER_SUBSCRIPTIONS_MAX,
};
use crate::timers;
use crate::transactions::{Asker, Tag};

impl Core {
    /// See [`Effects::subscribe`].
    pub(crate) fn subscribe(
        &mut self,
        room: usize,
        request: RequestId,
        terms: Terms,
        state: Vec<u8>,
    ) -> Option<SessionId> {
        let entry = self.transactions.servers.get(request.0)?;
        let (bytes, flow, tag) = (entry.request.clone(), entry.flow, entry.tag);
        let message = bytes.message()?;
        let Ok(dialog) = Dialog::uas(&message, &tag.0) else {
            self.answer_plainly(request, 400, &[]);
            return None;
        };
        let watched = self.subscriptions.watchers.get(&terms.watcher).copied().unwrap_or(0);
        let refusal = match () {
            () if self.subscriptions.known.len() >= SUBSCRIPTIONS_MAX => {
                Some(Refusal::SubscriptionsFull)
            }
            () if watched >= USER_SUBSCRIPTIONS_MAX => Some(Refusal::SubscriptionsOfUser),
            () => None,
        };
        if let Some(refusal) = refusal {
            self.refuse_subscription(request, refusal, None);
            return None;
        }
        let granted = match terms.bounds.grant(message.expires().ok().flatten()) {
            Ok(granted) => granted,
            Err(least) => {
                self.refuse_subscription(request, Refusal::IntervalTooBrief, Some(least));
                return None;
            }
        };
        let slot = Tag::slot(&tag.0).unwrap_or(Slot(self.config.index as u8));
        let session = SessionId::mint(slot, &mut self.rng);
        let (now, unix) = (self.clock.now, self.clock.unix);
        let one = Subscription {
            watcher: terms.watcher,
            event: event_of(&message),
            flow: self.dialog_flow(flow, &message),
            until: unix + Seconds(granted).into(),
            bounds: terms.bounds,
            gap: terms.gap,
            out: false,
            waiting: None,
            earliest: now,
            due: true,
            closing: (granted == 0).then(|| now + CLOSING_MAX),
            armed: None,
            proof: None,
            dialog: None,
        };
        let key = self.dialog_key(dialog.call_id(), dialog.local_tag(), dialog.remote_tag());
        let one = Subscription { dialog: Some(Box::new(dialog)), ..one };
        self.subscriptions.add(session, key, one);
        // What is only asked for once need not last.
        let saved = (granted > 0).then_some(state);
        let saved_by = self.flight.number();
        self.sessions.insert(session, SessionEntry { saved_by, ..SessionEntry::new(room, saved) });
        self.save_session(session, Durability::Written);
        let status = if message.method() == Method::Refer { 202 } else { 200 };
        self.grant(request, status, granted);
        self.subscription_arm(session);
        Some(session)
    }

    /// The 200 to a SUBSCRIBE.
    fn grant(&mut self, request: RequestId, status: u16, granted: u32) {
        let Some(entry) = self.transactions.servers.get(request.0) else { return };
        let Some(message) = entry.request.message() else { return };
        let contact = self.contact(entry.flow);
        let mut out = Vec::with_capacity(600);
        let (tag, from) = (Some(&entry.tag.0[..]), Some(entry.flow.remote));
        let mut writer = sip::write::response_to(&mut out, &message, status, None, tag, from);
        writer.copy(&message, Name::RecordRoute).header(Name::Contact, &contact);
        if message.method() == Method::Subscribe {
            writer.number(Name::Expires, granted.into());
        }
        writer.header(Name::Server, SERVER).end();
        self.respond(request.0, status, out);
    }

    fn refuse_subscription(&mut self, request: RequestId, refusal: Refusal, least: Option<u32>) {
        self.count(refusal.verdict().code);
        let mut headers = Effects::refusal_headers(&refusal);
        headers.extend(least.map(|least| ("Min-Expires".to_owned(), least.to_string())));
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        self.answer_plainly(request, refusal.verdict().sip, &headers);
    }

    /// The subscription whose dialog this request names.
    pub(crate) fn find_subscription(&self, message: &Message<'_>) -> Option<SessionId> {
        let local = message.to().ok()?.tag()?;
        let remote = message.from().ok()?.tag().unwrap_or_default();
        let key = self.dialog_key(message.call_id(), local, remote);
        let session = *self.subscriptions.dialogs.get(&key)?;
        let known = self.subscriptions.known.get(&session)?.dialog.as_ref()?.matches(message);
        known.then_some(session)
    }

    /// A request of the watcher.
    ///
    /// Spec: RFC 6665 §4.2.1, §4.4.1
    pub(crate) fn receive_in_subscription(
        &mut self,
        session: SessionId,
        flow: Flow,
        key: u64,
        (method, uri): (Method<'_>, &[u8]),
        message: &Message<'_>,
    ) {
        let Some(one) = self.subscriptions.known.get(&session) else { return };
        let Some(dialog) = &one.dialog else { return };
        if !is_near(one.flow, dialog, flow) {
            let peer = dialog.remote_uri().to_vec();
            if !self.proves_peer(&peer, flow, (method, uri), message) {
                return;
            }
        }
        if self.refuses_extension(flow, method, message) {
            return;
        }
        let request = self.begin(flow, key, message, Tag::default());
        let way = self.dialog_flow(flow, message);
        let Some(one) = self.subscriptions.known.get_mut(&session) else { return };
        let Some(dialog) = &mut one.dialog else { return };
        if let Err(why) = dialog.accept(message) {
            self.answer_plainly(request, why.status(), &[]);
            return;
        }
        if method != Method::Subscribe {
            self.answer_plainly(request, 405, &[("Allow", ALLOW)]);
            return;
        }
        // Another package or id is another subscription, which there is none of in this dialog.
        if event_of(message) != one.event || one.closing.is_some() {
            self.answer_plainly(request, 481, &[]);
            return;
        }
        match one.bounds.grant(message.expires().ok().flatten()) {
            Ok(granted) => {
                dialog.refresh_target(message);
                one.flow = way;
                self.refresh(session, request, granted);
            }
            Err(least) => {
                self.refuse_subscription(request, Refusal::IntervalTooBrief, Some(least));
            }
        }
    }

    fn refresh(&mut self, session: SessionId, request: RequestId, granted: u32) {
        let (now, unix) = (self.clock.now, self.clock.unix);
        let Some(one) = self.subscriptions.known.get_mut(&session) else { return };
        one.until = unix + Seconds(granted).into();
        one.due = true;
        let event = if granted == 0 {
            one.closing = Some(now + CLOSING_MAX);
            SubscriptionEvent::Closing
        } else {
            SubscriptionEvent::Due
        };
        if self.sessions.get(&session).is_some_and(|entry| entry.saved.is_some()) {
            self.save_session(session, Durability::Written);
        }
        self.grant(request, 200, granted);
        self.subscription_tell(session, event);
        self.subscription_arm(session);
    }

    fn subscription_tell(&mut self, session: SessionId, event: SubscriptionEvent) {
        self.queue.push_back(Work::Event { session, event: Event::Subscription(event) });
    }

    /// See [`Effects::version`].
    pub(crate) fn notify_version(&self, session: SessionId) -> u32 {
        let one = self.subscriptions.known.get(&session);
        one.and_then(|one| one.dialog.as_ref()).map_or(0, |dialog| dialog.local_cseq())
    }

    /// See [`Effects::notify`].
    pub(crate) fn notify(
        &mut self,
        session: SessionId,
        state: SubscriptionState,
        content_type: &str,
        mut body: Vec<u8>,
    ) {
        if body.len() > BODY_MAX {
            self.count("switchboard.notify_too_long");
            body = Vec::new();
        }
        let Some(one) = self.subscriptions.known.get_mut(&session) else { return };
        let last = |state| matches!(state, SubscriptionState::Terminated(_));
        if one.waiting.as_ref().is_some_and(|news| last(news.state)) {
            return; // The last word was said.
        }
        let state = if one.closing.is_some() && !last(state) {
            SubscriptionState::Terminated(Reason::Timeout)
        } else {
            state
        };
        one.waiting = Some(News { state, content_type: content_type.to_owned(), body });
        self.subscription_drive(session);
    }

    /// Sends what waits, if it may leave now.
    fn subscription_drive(&mut self, session: SessionId) {
        let now = self.clock.now;
        let Some(one) = self.subscriptions.known.get_mut(&session) else { return };
        let over =
            one.waiting.as_ref().map(|news| matches!(news.state, SubscriptionState::Terminated(_)));
        match over {
            Some(over) if !one.out && (over || one.due || one.earliest <= now) => {
                let Some(news) = one.waiting.take() else { return };
                one.out = true;
                one.due = false;
                one.earliest = now + one.gap;
                self.send_notify(session, &news);
                if over {
                    self.forget_subscription(session);
                    return;
                }
            }
            Some(_) | None => (),
        }
        self.subscription_arm(session);
    }

    fn send_notify(&mut self, session: SessionId, news: &News) {
        let unix = self.clock.unix;
        let proof = self.notify_proof(session);
        let Some(one) = self.subscriptions.known.get_mut(&session) else { return };
        let Some(mut dialog) = one.dialog.take() else { return };
        let left = one.until.since(unix).as_secs();
        let state = match news.state {
            SubscriptionState::Active => format!("active;expires={left}"),
            SubscriptionState::Pending => format!("pending;expires={left}"),
            SubscriptionState::Terminated(why) => format!("terminated;reason={}", why.name()),
        };
        let (flow, event, new_block) = (one.flow, one.event.clone(), dialog.reserve());
        let contact = self.contact(flow);
        self.start_request(flow, session.slot(), Asker::Subscription(session), |via| {
            let mut out = Vec::with_capacity(700 + news.body.len());
            let mut writer: Writer<'_> = dialog.request(Method::Notify, &mut out, via);
            writer.header(Name::Contact, &contact).header(Name::Event, &event);
            if let Some((name, proof)) = &proof {
                writer.header(*name, proof);
            }
            writer.header(Name::SubscriptionState, &state).header(Name::UserAgent, SERVER);
            if news.body.is_empty() {
                writer.end();
            } else {
                writer.body(&news.content_type, &news.body);
            }
            out
        });
        if let Some(one) = self.subscriptions.known.get_mut(&session) {
            one.dialog = Some(dialog);
        }
        // The shell writes the log before it sends, so the new block of CSeq numbers is known in time.
        if new_block {
            self.save_session(session, Durability::Written);
        }
    }

    /// The watcher answered a NOTIFY. A failure ends the subscription, unless it says when to try again.
    ///
    /// Spec: RFC 6665 §4.2.2
    pub(crate) fn notify_answered(&mut self, session: SessionId, message: &Message<'_>) {
        let Some(status) = message.status().filter(|status| *status >= 200) else { return };
        if matches!(status, 401 | 407) && self.notify_challenged(session, message) {
            return;
        }
        if status >= 300 && (status == 481 || message.first(Name::RetryAfter).is_none()) {
            self.notify_failed(session, status);
            return;
        }
        if let Some(one) = self.subscriptions.known.get_mut(&session) {
            one.out = false;
            if let Some(proof) = one.proof.as_mut().filter(|_| status < 300) {
                proof.believed = true;
            }
            if status < 300
                && let Some(dialog) = &mut one.dialog
            {
                dialog.refresh_target(message);
            }
        }
        self.subscription_drive(session);
    }

    /// The watcher wants a proof that the NOTIFY comes from whom he asked. It is the one that he himself would give us:
    /// so only for our realm, and only where he had to prove himself. The state is said again with it. False: there is
    /// no such proof, or it was not believed.
    ///
    /// Spec: RFC 3261 §22.1, RFC 6665 §4.2.2
    fn notify_challenged(&mut self, session: SessionId, message: &Message<'_>) -> bool {
        let Some(one) = self.subscriptions.known.get(&session) else { return false };
        let disbelieved = one.proof.as_ref().is_some_and(|proof| !proof.believed);
        if disbelieved || !self.config.require_auth {
            return false;
        }
        let places = [
            (Name::WwwAuthenticate, Name::Authorization),
            (Name::ProxyAuthenticate, Name::ProxyAuthorization),
        ];
        let fits = |value: &&[u8]| {
            Challenge::decode(value).is_ok_and(|challenge| {
                let known = challenge.algorithm.and_then(|it| self.verifier(&one.watcher, it));
                known.is_some() && *challenge.realm == *self.config.domain.as_bytes()
            })
        };
        let found = places.into_iter().find_map(|(asks, answer)| {
            let challenge = message.all(asks).find(fits)?.to_vec();
            Some(Proof { answer, challenge, uses: 0, believed: false })
        });
        let Some(proof) = found else { return false };
        let Some(one) = self.subscriptions.known.get_mut(&session) else { return false };
        one.proof = Some(Box::new(proof));
        (one.out, one.due) = (false, true);
        self.subscription_tell(session, SubscriptionEvent::Due);
        self.subscription_drive(session);
        true
    }

    /// The answer to the watcher's challenge, for the next NOTIFY.
    fn notify_proof(&mut self, session: SessionId) -> Option<(Name, Vec<u8>)> {
        let cnonce = self.cnonce();
        let one = self.subscriptions.known.get_mut(&session)?;
        let proof = one.proof.as_mut()?;
        proof.uses += 1;
        let (answer, uses, value) = (proof.answer, proof.uses, proof.challenge.clone());
        let (watcher, uri) = (one.watcher.clone(), one.dialog.as_ref()?.target().to_vec());
        let challenge = Challenge::decode(&value).ok()?;
        let password = Password::Hashed(self.verifier(&watcher, challenge.algorithm?)?);
        let realm = Some(self.config.domain.as_bytes());
        let login = Login { user: watcher.as_bytes(), password, realm };
        let target = Target { method: b"NOTIFY", uri: &uri };
        Some((answer, digest::answer(&challenge, &login, target, cnonce.as_bytes(), uses)?))
    }

    /// A NOTIFY was refused, or nobody answered it.
    pub(crate) fn notify_failed(&mut self, session: SessionId, status: u16) {
        let Some(one) = self.subscriptions.known.get(&session) else { return };
        let said = one
            .waiting
            .as_ref()
            .is_some_and(|news| matches!(news.state, SubscriptionState::Terminated(_)));
        self.count("switchboard.notify_failed");
        if said {
            self.forget_subscription(session); // The room has forgotten it already.
            return;
        }
        self.remove_subscription(session);
        self.subscription_tell(session, SubscriptionEvent::Failed { status });
    }

    /// A deadline of a subscription came.
    pub(crate) fn subscription_timer(&mut self, session: SessionId) {
        let (now, unix) = (self.clock.now, self.clock.unix);
        let Some(one) = self.subscriptions.known.get_mut(&session) else { return };
        if one.armed.is_some_and(|armed| armed <= now) {
            one.armed = None;
        }
        match one.closing {
            None if one.until <= unix => {
                one.closing = Some(now + CLOSING_MAX);
                self.subscription_tell(session, SubscriptionEvent::Closing);
            }
            // The transaction that is out ends by itself.
            Some(end) if end <= now && one.out => one.closing = Some(now + CLOSING_MAX),
            Some(end) if end <= now && one.waiting.is_none() => {
                self.count("switchboard.subscription_unsaid");
                let state = SubscriptionState::Terminated(Reason::Timeout);
                self.notify(session, state, "", Vec::new());
                return;
            }
            Some(_) | None => (),
        }
        self.subscription_drive(session);
    }

    fn subscription_arm(&mut self, session: SessionId) {
        let (now, unix) = (self.clock.now, self.clock.unix);
        let Some(one) = self.subscriptions.known.get_mut(&session) else { return };
        let at = one.deadline(now, unix);
        if one.armed.is_none_or(|armed| at < armed) {
            one.armed = Some(at);
            self.timers.push(at, timers::Reason::Subscription(session));
        }
    }

    /// The room ends a session that is a subscription: its watcher shall ask again.
    pub(crate) fn abandon_subscription(&mut self, session: SessionId) {
        let state = SubscriptionState::Terminated(Reason::Deactivated);
        self.notify(session, state, "", Vec::new());
    }

    fn remove_subscription(&mut self, session: SessionId) {
        let Some(one) = self.subscriptions.known.get(&session) else { return };
        let key = one.dialog.as_ref().map_or(0, |dialog| {
            self.dialog_key(dialog.call_id(), dialog.local_tag(), dialog.remote_tag())
        });
        self.subscriptions.remove(session, key);
    }

    /// Ends the subscription and its session.
    pub(crate) fn forget_subscription(&mut self, session: SessionId) {
        self.remove_subscription(session);
        let Some(entry) = self.sessions.remove(&session) else { return };
        if entry.saved.is_some() {
            let mut writer = tagged::Writer::new();
            writer.text(1, self.name_of(entry.room));
            let (slot, body) = (session.slot(), writer.finish());
            let entry = Entry { slot, kind: kinds::SESSION, key: session.0, body, last: true };
            self.keep(entry, Durability::Written);
        }
    }

    /// A subscription is back after a restart.
    pub(crate) fn restore_subscription(&mut self, session: SessionId, bytes: &[u8]) {
        let Some(mut one) = Subscription::decode(bytes) else { return };
        if one.flow.transport == types::Transport::Tcp {
            one.flow.connection = 0;
        }
        let spread = std::time::Duration::from(RESTORE_SPREAD).as_micros() as u64;
        let wait = std::time::Duration::from_micros(self.rng.below(spread.max(1)));
        one.earliest = self.clock.now + wait;
        let Some(key) = one.dialog.as_ref().map(|dialog| {
            self.dialog_key(dialog.call_id(), dialog.local_tag(), dialog.remote_tag())
        }) else {
            return;
        };
        self.subscriptions.add(session, key, one);
        self.subscription_arm(session);
    }
}

/// The value of Event without blanks, its package and id; a REFER's is made from its CSeq.
///
/// Spec: RFC 6665 §8.2.1, RFC 3515 §2.4.6
fn event_of(message: &Message<'_>) -> String {
    if message.method() == Method::Refer {
        let number = message.cseq().map_or(0, |cseq| cseq.number);
        return format!("refer;id={number}");
    }
    let value = message.first(Name::Event).unwrap_or_default();
    let package = String::from_utf8_lossy(sip::header::head(value)).into_owned();
    match sip::header::tail(value).get("id") {
        Some(id) => format!("{package};id={}", String::from_utf8_lossy(id)),
        None => package,
    }
}
