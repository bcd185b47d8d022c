//! Letters on their way: one at a time for each user, copies to all his phones.

use std::collections::{BTreeMap, VecDeque};

use switchboard::directory::{Binding, Known};
use switchboard::store::Durability;
use switchboard::{ApiResponse, Effects, Notice, RequestId, RequestPlan, Ticket};
use types::{Instant, Refuse, SessionId};

use crate::letter::{Letter, Record, date};
use crate::{Purpose, Refusal, Room, SWEEP, address, event};

/// What waits for one user.
#[derive(Debug, Default)]
pub struct Queue {
    /// In the order in which they came.
    pub letters: VecDeque<Waiting>,
    /// What is being tried: the first letter.
    attempt: Option<Attempt>,
    /// No try of our own before.
    retry_at: Instant,
}

/// A letter in its queue.
#[derive(Debug)]
pub struct Waiting {
    pub letter: Letter,
    pub sender: Sender,
    /// Wakes us when the sender has waited long enough.
    pub alarm: Option<Ticket>,
    /// It is in the keeper.
    pub stored: bool,
}

/// Who waits for a word about a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    Api(u64),
    Nobody,
    Sip(RequestId),
}

/// Copies of one letter that are out.
#[derive(Debug)]
struct Attempt {
    session: SessionId,
    /// Contacts whose answer is awaited.
    open: BTreeMap<Ticket, String>,
    failures: Vec<u16>,
    /// A phone registered meanwhile: worth another try.
    again: bool,
}

/// How a letter ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Delivered,
    /// Its user is gone.
    Dropped,
    Expired,
    /// Every phone says with this status that it does not want such a thing.
    Refused(u16),
    /// It was not to be stored.
    Unstored,
}

/// The letter itself is unwelcome, whenever it comes; any other refusal may be over tomorrow.
fn is_about_the_letter(status: u16) -> bool {
    matches!(status, 413 | 415 | 488 | 493 | 513 | 600..)
}

impl Room {
    /// Tries the first letter of a user, unless one is being tried.
    pub(crate) fn begin(&mut self, user: &str, effects: &mut Effects<'_>) {
        let unix = effects.unix();
        let Some(queue) = self.queues.get_mut(user).filter(|queue| queue.attempt.is_none()) else {
            return;
        };
        let Some(first) = queue.letters.front_mut() else {
            self.queues.remove(user);
            return;
        };
        let bindings = effects.directory().bindings(user).iter();
        let live: Vec<Known> = bindings.filter(|binding| binding.until > unix).cloned().collect();
        if live.is_empty() {
            self.store_all(user, effects);
            return;
        }
        first.letter.tries += 1;
        let session = first.letter.session;
        queue.attempt =
            Some(Attempt { session, open: BTreeMap::new(), failures: Vec::new(), again: false });
        for binding in live {
            self.copy(user, &binding, effects);
        }
    }

    /// Sends a copy of the letter that is tried to one phone.
    fn copy(&mut self, user: &str, binding: &Binding, effects: &mut Effects<'_>) {
        let Some(queue) = self.queues.get_mut(user) else { return };
        let (Some(attempt), Some(first)) = (&mut queue.attempt, queue.letters.front()) else {
            return;
        };
        let letter = &first.letter;
        let home = effects.home(user);
        let mut headers = letter.headers.clone();
        if first.stored {
            headers.push(("Date".into(), date(letter.sent)));
        }
        let left = letter.until.since(effects.unix()).as_secs();
        if left > 0 {
            headers.push(("Expires".into(), left.to_string()));
        }
        let plan = RequestPlan {
            route: binding.path.clone(),
            from: letter.from.clone(),
            // The same for every copy and every try, so that a phone may know what it has.
            from_tag: Some(format!("{:016x}", letter.session.0 as u64)),
            to: format!("<{}>", address(user, effects)),
            call_id: Some(letter.id().to_string()),
            cseq: letter.tries,
            headers,
            content_type: letter.content_type.clone(),
            body: letter.body.clone(),
            ..RequestPlan::new(home, "MESSAGE", &binding.contact, binding.flow)
        };
        let ticket = effects.request(plan);
        attempt.open.insert(ticket, binding.contact.clone());
        let purpose = Purpose::Copy { user: user.to_owned(), session: letter.session };
        self.tickets.insert(ticket, purpose);
        effects.count("messaging.copies");
    }

    /// A phone answered a copy, or did not.
    pub(crate) fn copy_answered(
        &mut self,
        user: &str,
        session: SessionId,
        (ticket, status): (Ticket, u16),
        effects: &mut Effects<'_>,
    ) {
        let Some(queue) = self.queues.get_mut(user) else { return };
        // A late word about a letter that is over.
        let Some(attempt) = queue.attempt.as_mut().filter(|one| one.session == session) else {
            return;
        };
        attempt.open.remove(&ticket);
        if (200..300).contains(&status) {
            self.finish(user, session, End::Delivered, effects);
            return;
        }
        effects.count("messaging.copies_failed");
        attempt.failures.push(status);
        if !attempt.open.is_empty() {
            return;
        }
        let unwelcome = attempt.failures.iter().all(|status| is_about_the_letter(*status));
        let again = attempt.again;
        if unwelcome {
            let status = attempt.failures.iter().copied().min().unwrap_or(status);
            self.finish(user, session, End::Refused(status), effects);
            return;
        }
        queue.attempt = None;
        queue.retry_at = effects.now() + self.config.retry;
        if again {
            self.begin(user, effects);
        } else {
            self.store_all(user, effects);
        }
    }

    /// A phone of the user registered.
    pub(crate) fn arrived(&mut self, user: &str, binding: &Binding, effects: &mut Effects<'_>) {
        let Some(queue) = self.queues.get_mut(user) else { return };
        match &mut queue.attempt {
            None => self.begin(user, effects),
            Some(attempt) if attempt.open.values().any(|known| *known == binding.contact) => {
                attempt.again = true;
            }
            Some(_) => self.copy(user, binding, effects),
        }
    }

    /// The sender of a letter has waited long enough: it is stored and he is told so.
    pub(crate) fn alarm(&mut self, user: &str, session: SessionId, effects: &mut Effects<'_>) {
        let Some(queue) = self.queues.get(user) else { return };
        let found = queue.letters.iter().find(|one| one.letter.session == session);
        match found.map(|one| one.letter.until <= one.letter.sent) {
            Some(true) => self.finish(user, session, End::Unstored, effects),
            Some(false) => {
                self.store(user, session, effects);
                self.tell_count(user, effects);
            }
            None => (),
        }
    }

    /// Nobody is there: whatever is not stored yet is stored now.
    fn store_all(&mut self, user: &str, effects: &mut Effects<'_>) {
        let Some(queue) = self.queues.get(user) else { return };
        let fresh = queue.letters.iter().filter(|one| !one.stored);
        let fresh: Vec<(SessionId, bool)> =
            fresh.map(|one| (one.letter.session, one.letter.until <= one.letter.sent)).collect();
        if fresh.is_empty() {
            return;
        }
        for (session, unstored) in fresh {
            if unstored {
                self.finish(user, session, End::Unstored, effects);
            } else {
                self.store(user, session, effects);
            }
        }
        self.tell_count(user, effects);
    }

    fn store(&mut self, user: &str, session: SessionId, effects: &mut Effects<'_>) {
        let Some(queue) = self.queues.get_mut(user) else { return };
        let Some(one) = queue.letters.iter_mut().find(|one| one.letter.session == session) else {
            return;
        };
        if std::mem::replace(&mut one.stored, true) {
            return;
        }
        if let Some(alarm) = one.alarm.take() {
            self.tickets.remove(&alarm);
            effects.cancel_timer(alarm);
        }
        let letter = one.letter.clone();
        let sender = std::mem::replace(&mut one.sender, Sender::Nobody);
        self.set_sweep(effects);
        // What is said below waits for the disk.
        effects.save(session, letter.encode(), Durability::Synced);
        effects.count("messaging.stored");
        match sender {
            Sender::Api(api) => answer(api, 202, &letter, "waiting", effects),
            Sender::Nobody => (),
            Sender::Sip(request) => effects.respond(request, 202, &[]),
        }
        let (user, message) = (user.to_owned(), letter.id());
        effects.publish(Notice::MessageStored { user, message });
        event("message.stored", &letter, "", effects);
    }

    /// A letter is over.
    fn finish(&mut self, user: &str, session: SessionId, end: End, effects: &mut Effects<'_>) {
        let Some(queue) = self.queues.get_mut(user) else { return };
        if queue.attempt.as_ref().is_some_and(|one| one.session == session) {
            queue.attempt = None;
        }
        let place = queue.letters.iter().position(|one| one.letter.session == session);
        let Some(one) = place.and_then(|place| queue.letters.remove(place)) else { return };
        self.octets -= one.letter.octets();
        if let Some(alarm) = one.alarm {
            self.tickets.remove(&alarm);
            effects.cancel_timer(alarm);
        }
        let letter = one.letter;
        tell(one.sender, &letter, end, effects);
        let (kind, outcome) = match end {
            End::Delivered => ("message.delivered", "delivered"),
            End::Dropped => ("message.dropped", "dropped"),
            End::Expired => ("message.expired", "expired"),
            End::Refused(_) => ("message.refused", "refused"),
            End::Unstored => ("message.expired", "expired"),
        };
        let why = if let End::Refused(status) = end { status.to_string() } else { String::new() };
        effects.count(match end {
            End::Delivered => "messaging.delivered",
            End::Dropped | End::Refused(_) => "messaging.refused",
            End::Expired | End::Unstored => "messaging.expired",
        });
        event(kind, &letter, &why, effects);
        let record = Record {
            id: letter.id(),
            from: letter.from_uri.clone(),
            to: address(user, effects),
            content_type: letter.content_type.clone(),
            size: u32::try_from(letter.body.len()).unwrap_or(u32::MAX),
            sent: letter.sent,
            ended: effects.unix(),
            outcome: outcome.to_owned(),
        };
        effects.end(session, Some(record.encode()));
        if one.stored {
            self.tell_count(user, effects);
        }
        if matches!(end, End::Delivered | End::Refused(_)) {
            self.begin(user, effects);
        }
        if self.queues.get(user).is_some_and(|queue| queue.letters.is_empty()) {
            self.queues.remove(user);
        }
    }

    /// Says how many letters wait for a user.
    pub(crate) fn tell_count(&self, user: &str, effects: &mut Effects<'_>) {
        let queue = self.queues.get(user);
        let count = queue.map_or(0, |queue| queue.letters.iter().filter(|one| one.stored).count());
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        effects.publish(Notice::MessagesWaiting { user: user.to_owned(), count });
    }

    /// Ends what is too old, and tries again what nobody took.
    pub(crate) fn sweep(&mut self, effects: &mut Effects<'_>) {
        let (now, unix) = (effects.now(), effects.unix());
        let users: Vec<String> = self.queues.keys().cloned().collect();
        for user in users {
            let Some(queue) = self.queues.get(&user) else { continue };
            let tried = queue.attempt.as_ref().map(|one| one.session);
            let old = queue.letters.iter().filter(|one| {
                one.stored && one.letter.until <= unix && Some(one.letter.session) != tried
            });
            let old: Vec<SessionId> = old.map(|one| one.letter.session).collect();
            let due = tried.is_none() && queue.retry_at <= now;
            for session in old {
                self.finish(&user, session, End::Expired, effects);
            }
            if due && !effects.directory().bindings(&user).is_empty() {
                self.begin(&user, effects);
            }
        }
        self.set_sweep(effects);
    }

    /// Looks again later, while something waits.
    pub(crate) fn set_sweep(&mut self, effects: &mut Effects<'_>) {
        if !self.sweeping && !self.queues.is_empty() {
            self.sweeping = true;
            let ticket = effects.set_timer(effects.now() + SWEEP);
            self.tickets.insert(ticket, Purpose::Sweep);
        }
    }

    /// A user is gone, and what waited for him with him.
    pub(crate) fn drop_user(&mut self, user: &str, effects: &mut Effects<'_>) {
        while let Some(first) = self.queues.get(user).and_then(|queue| queue.letters.front()) {
            let session = first.letter.session;
            self.finish(user, session, End::Dropped, effects);
        }
    }
}

/// Tells the sender, if he still waits, how his letter ended.
fn tell(sender: Sender, letter: &Letter, end: End, effects: &mut Effects<'_>) {
    let refusal = match end {
        End::Dropped => Refusal::NoSuchUser,
        End::Delivered | End::Expired | End::Refused(_) | End::Unstored => Refusal::NobodyReachable,
    };
    match (sender, end) {
        (Sender::Nobody, _) => (),
        (Sender::Api(api), End::Delivered) => answer(api, 200, letter, "delivered", effects),
        (Sender::Api(api), _) => {
            let status = if let End::Refused(status) = end { status } else { 0 };
            let tried = serde_json::json!({"phone_status": status});
            effects.count(refusal.verdict().code);
            effects.answer(api, ApiResponse::refusal(&refusal, &tried));
        }
        (Sender::Sip(request), End::Delivered) => effects.respond(request, 200, &[]),
        (Sender::Sip(request), End::Refused(status)) => effects.respond(request, status, &[]),
        (Sender::Sip(request), End::Dropped | End::Expired | End::Unstored) => {
            effects.refuse(request, &refusal);
        }
    }
}

fn answer(api: u64, status: u16, letter: &Letter, state: &str, effects: &mut Effects<'_>) {
    let value = serde_json::json!({
        "id": letter.id().to_string(),
        "from": letter.from_uri,
        "to": address(&letter.to, effects),
        "state": state,
    });
    effects.answer(api, ApiResponse::json(status, &value));
}
