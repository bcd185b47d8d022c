//! Those who watch: who may, and what they are told.

use sip::header::{elements, head};
use sip::{Message, Name};
use switchboard::group::{Deed, Others};
use switchboard::notice::{ConferenceFacts, LineFacts, LineState};
use switchboard::store::Durability;
use switchboard::subscription::Reason;
use switchboard::{Caller, Effects, RequestId, SubscriptionState, Terms};
use types::SessionId;

use crate::saved::{Package, Watch};
use crate::{
    FAST_GAP, LINES_MAX, Refusal, Room, SLOW_GAP, WATCHERS_MAX, address, asker, document,
    reachable, target,
};

/// A contact that has just ended, and why.
type Gone<'a> = Option<(&'a str, &'a str)>;

impl Room {
    /// A SUBSCRIBE came.
    ///
    /// Spec: RFC 6665 §4.2.1
    pub(crate) fn subscribe(
        &mut self,
        request: RequestId,
        message: &Message<'_>,
        caller: &Caller,
        effects: &mut Effects<'_>,
    ) -> Result<(), Refusal> {
        let event = message.first(Name::Event).unwrap_or_default();
        let package = Package::parse(head(event)).ok_or(Refusal::BadEvent)?;
        let user = match package {
            Package::Conference => self.conference(message)?,
            Package::Dialog | Package::MessageSummary | Package::Presence | Package::Reg => {
                target(message, effects)?
            }
        };
        let watcher = asker(caller, effects)?;
        self.may(&watcher, &user, package, effects)?;
        if !accepts(message, package) {
            return Err(Refusal::NotAcceptable);
        }
        if self.people.get(&user).is_some_and(|person| person.watches.len() >= WATCHERS_MAX) {
            return Err(Refusal::TooMany);
        }
        let gap = match package {
            Package::Conference | Package::Dialog | Package::MessageSummary => FAST_GAP,
            Package::Presence | Package::Reg => SLOW_GAP,
        };
        let terms = Terms { watcher: watcher.clone(), bounds: self.bounds(), gap };
        let watch = Watch { user: user.clone(), watcher, package };
        let lines = self.people.get(&user).into_iter().flat_map(|person| &person.lines);
        let state = watch.encode(lines.filter(|_| package == Package::Dialog));
        let Some(session) = effects.subscribe(request, terms, state) else { return Ok(()) };
        effects.count("presence.subscribed");
        let open = reachable(&user, effects);
        let person = self.people.entry(user).or_default();
        person.open = open;
        person.watches.insert(session);
        self.watches.insert(session, watch);
        self.tell(session, None, effects);
        // What was only asked for once is over already.
        if message.expires().ok().flatten() == Some(0) {
            self.forget_watch(session);
        }
        Ok(())
    }

    /// Whether somebody may watch this of a user.
    fn may(
        &self,
        watcher: &str,
        user: &str,
        package: Package,
        effects: &Effects<'_>,
    ) -> Result<(), Refusal> {
        let open = match package {
            Package::Conference => {
                let facts = self.people.get(user).and_then(|person| person.conference.as_ref());
                facts.is_some_and(|facts| may_hear(watcher, facts, effects))
            }
            Package::Dialog => self.config.watch_lines,
            Package::Presence => self.config.watch_presence,
            Package::MessageSummary | Package::Reg => false,
        };
        if open || watcher == user { Ok(()) } else { Err(Refusal::NotAllowed) }
    }

    /// Tells one watcher the whole state.
    pub(crate) fn tell(&self, session: SessionId, gone: Gone<'_>, effects: &mut Effects<'_>) {
        let Some(watch) = self.watches.get(&session) else { return };
        let Some(person) = self.people.get(&watch.user) else { return };
        let entity = address(&watch.user, effects);
        let version = effects.version(session);
        let body = match watch.package {
            Package::Conference => match &person.conference {
                Some(facts) => document::conference(&entity, version, facts).into_bytes(),
                // A restart, and the call is not there any more.
                None => {
                    let over = SubscriptionState::Terminated(Reason::Noresource);
                    effects.notify(session, over, "", Vec::new());
                    return;
                }
            },
            Package::Dialog => {
                let parties = self.config.watch_parties || watch.watcher == watch.user;
                document::dialogs(&entity, version, person.lines.iter(), parties).into_bytes()
            }
            Package::MessageSummary => document::summary(&entity, person.waiting).into_bytes(),
            Package::Presence => {
                let published = person.publications.iter();
                let published = published.filter_map(|session| self.publications.get(session));
                match published.max_by_key(|one| one.since) {
                    Some(newest) => newest.body.clone(),
                    None => document::pidf(&entity, reachable(&watch.user, effects)).into_bytes(),
                }
            }
            Package::Reg => {
                let bindings = effects.directory().bindings(&watch.user);
                document::registrations(&entity, version, bindings, gone, effects.unix())
                    .into_bytes()
            }
        };
        let kind = watch.package.content_type();
        effects.notify(session, SubscriptionState::Active, kind, body);
    }

    /// Tells all who watch this of a user.
    pub(crate) fn tell_all(
        &self,
        user: &str,
        package: Package,
        gone: Gone<'_>,
        effects: &mut Effects<'_>,
    ) {
        let Some(person) = self.people.get(user) else { return };
        for session in &person.watches {
            if self.watches.get(session).is_some_and(|watch| watch.package == package) {
                self.tell(*session, gone, effects);
            }
        }
    }

    /// The address of a call that others may hear.
    fn conference(&self, message: &Message<'_>) -> Result<String, Refusal> {
        let uri = message.request_uri().and_then(|uri| sip::Uri::decode(uri).ok());
        let user = uri.and_then(|uri| String::from_utf8(uri.user_unescaped()?.into_owned()).ok());
        let known =
            |user: &String| self.people.get(user).is_some_and(|person| person.conference.is_some());
        user.filter(known).ok_or(Refusal::NoSuchConference)
    }

    /// Somebody came into a call, or left it, or it is over.
    pub(crate) fn conference_changed(
        &mut self,
        facts: &ConferenceFacts,
        effects: &mut Effects<'_>,
    ) {
        let address = &facts.address;
        if !facts.users.is_empty() {
            let person = self.people.entry(address.clone()).or_default();
            person.conference = Some(Box::new(facts.clone()));
            self.tell_all(address, Package::Conference, None, effects);
            return;
        }
        let Some(person) = self.people.get_mut(address) else { return };
        person.conference = None;
        let watches: Vec<SessionId> = person.watches.iter().copied().collect();
        for session in watches {
            self.tell(session, None, effects);
            self.forget_watch(session);
        }
        self.tidy(address);
    }

    /// A phone of a user came or went.
    pub(crate) fn reach_changed(&mut self, user: &str, gone: Gone<'_>, effects: &mut Effects<'_>) {
        let open = reachable(user, effects);
        let Some(person) = self.people.get_mut(user) else { return };
        let changed = std::mem::replace(&mut person.open, open) != open;
        if changed && person.publications.is_empty() {
            self.tell_all(user, Package::Presence, None, effects);
        }
        self.tell_all(user, Package::Reg, gone, effects);
    }

    /// A call on a line of a user changed.
    pub(crate) fn line_changed(&mut self, user: &str, line: LineFacts, effects: &mut Effects<'_>) {
        let over = line.state == LineState::Terminated;
        if let (true, Some(ended)) = (over, &mut self.ended) {
            ended.insert(line.call);
        }
        if over && !self.people.contains_key(user) {
            return;
        }
        let person = self.people.entry(user.to_owned()).or_default();
        match person.lines.iter_mut().find(|known| known.call == line.call) {
            Some(known) => *known = line,
            None if over => return, // It was over already.
            None => {
                if person.lines.len() >= LINES_MAX {
                    person.lines.remove(0);
                }
                person.lines.push(line);
            }
        }
        self.tell_all(user, Package::Dialog, None, effects);
        if let Some(person) = self.people.get_mut(user) {
            // Its end was told; the next document is without it.
            person.lines.retain(|known| known.state != LineState::Terminated);
            let watches = person.watches.iter().filter_map(|session| {
                let watch = self.watches.get(session)?;
                (watch.package == Package::Dialog).then_some((*session, watch))
            });
            for (session, watch) in watches {
                effects.save(session, watch.encode(person.lines.iter()), Durability::Written);
            }
        }
        self.tidy(user);
    }

    /// A watch is over.
    pub(crate) fn forget_watch(&mut self, session: SessionId) {
        let Some(watch) = self.watches.remove(&session) else { return };
        if let Some(person) = self.people.get_mut(&watch.user) {
            person.watches.remove(&session);
        }
        self.tidy(&watch.user);
    }

    /// A user was deleted: nobody watches him any more, and he watches nobody.
    pub(crate) fn user_gone(&mut self, name: &str, effects: &mut Effects<'_>) {
        let watches = self.watches.iter().filter_map(|(session, watch)| {
            if watch.user == name {
                return Some((*session, Reason::Noresource));
            }
            (watch.watcher == name).then_some((*session, Reason::Rejected))
        });
        let over: Vec<(SessionId, Reason)> = watches.collect();
        for (session, why) in over {
            effects.notify(session, SubscriptionState::Terminated(why), "", Vec::new());
            self.forget_watch(session);
        }
        if let Some(person) = self.people.remove(name) {
            for session in person.publications {
                self.publications.remove(&session);
                effects.end(session, None);
            }
        }
    }
}

/// Whether somebody is in a call, or might come.
fn may_hear(watcher: &str, facts: &ConferenceFacts, effects: &Effects<'_>) -> bool {
    let own = address(watcher, effects);
    let deed = if facts.video { Deed::Video } else { Deed::Call };
    let groups = effects.directory().groups();
    facts.users.iter().any(|user| user.uri == own)
        || groups.others(watcher, &facts.caller, &facts.called, deed) >= Others::Listen
}

/// Whether the watcher takes the documents of a package; without Accept he does.
///
/// Spec: RFC 6665 §3.1.3
fn accepts(message: &Message<'_>, package: Package) -> bool {
    let mut named = message.all(Name::Accept).flat_map(elements).map(head).peekable();
    if named.peek().is_none() {
        return true;
    }
    let ours = package.content_type().as_bytes();
    named.any(|kind| kind.eq_ignore_ascii_case(ours) || matches!(kind, b"*/*" | b"application/*"))
}
