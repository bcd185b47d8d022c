//! What phones publish of their users.

use sip::header::head;
use sip::{Message, Name};
use switchboard::store::Durability;
use switchboard::{Caller, Effects, RequestId};
use types::{Seconds, SessionId};

use crate::saved::{Package, Publication};
use crate::{DOCUMENT_MAX, PUBLICATIONS_MAX, Refusal, Room, asker, reachable, target};

impl Room {
    /// A PUBLISH came.
    ///
    /// Spec: RFC 3903 §6
    pub(crate) fn publish(
        &mut self,
        request: RequestId,
        message: &Message<'_>,
        caller: &Caller,
        effects: &mut Effects<'_>,
    ) -> Result<(), Refusal> {
        let event = message.first(Name::Event).unwrap_or_default();
        if Package::parse(head(event)) != Some(Package::Presence) {
            return Err(Refusal::BadEvent);
        }
        let user = target(message, effects)?;
        if asker(caller, effects)? != user {
            return Err(Refusal::NotAllowed);
        }
        let wish = message.expires().map_err(|_| Refusal::Malformed)?;
        let granted = self.bounds().grant(wish).map_err(|_| Refusal::TooBrief)?;
        let body = message.body();
        if body.len() > DOCUMENT_MAX {
            return Err(Refusal::TooLong);
        }
        let kind = head(message.content_type().unwrap_or_default());
        let ours = Package::Presence.content_type().as_bytes();
        if !body.is_empty() && !kind.eq_ignore_ascii_case(ours) {
            return Err(Refusal::UnsupportedType);
        }
        let known = match message.first(Name::SipIfMatch) {
            Some(tag) => Some(self.published(&user, tag).ok_or(Refusal::Unknown)?),
            None if body.is_empty() => return Err(Refusal::Malformed),
            None => None,
        };
        let tag = format!("{:016x}", effects.rng().next_u64());
        match (known, granted) {
            (Some(session), 0) => self.unpublish(session, effects),
            (None, 0) => (), // Nothing is left of it.
            (known, _) => {
                let session = match known {
                    Some(session) => session,
                    None => self.new_publication(&user, effects)?,
                };
                self.update(session, &tag, granted, body, effects);
            }
        }
        effects.count("presence.published");
        let headers = [(Name::SipEtag, tag), (Name::Expires, granted.to_string())];
        effects.respond(request, 200, &headers);
        Ok(())
    }

    /// The publication of a user with this tag.
    fn published(&self, user: &str, tag: &[u8]) -> Option<SessionId> {
        let mut own = self.people.get(user)?.publications.iter().copied();
        own.find(|session| {
            self.publications.get(session).is_some_and(|one| one.tag.as_bytes() == tag)
        })
    }

    fn new_publication(
        &mut self,
        user: &str,
        effects: &mut Effects<'_>,
    ) -> Result<SessionId, Refusal> {
        let open = reachable(user, effects);
        let person = self.people.entry(user.to_owned()).or_default();
        if person.publications.len() >= PUBLICATIONS_MAX {
            return Err(Refusal::TooMany);
        }
        let home = effects.home(user);
        let session = effects.start(home);
        person.open = open;
        person.publications.insert(session);
        let publication = Publication { user: user.to_owned(), ..Publication::default() };
        self.publications.insert(session, publication);
        self.set_sweep(effects);
        Ok(session)
    }

    /// A new document, or a longer life for the one that there is.
    fn update(
        &mut self,
        session: SessionId,
        tag: &str,
        granted: u32,
        body: &[u8],
        effects: &mut Effects<'_>,
    ) {
        let unix = effects.unix();
        let Some(one) = self.publications.get_mut(&session) else { return };
        tag.clone_into(&mut one.tag);
        one.until = unix + Seconds(granted).into();
        let changed = !body.is_empty() && one.body != body;
        if !body.is_empty() {
            one.body = body.to_vec();
            one.since = unix;
        }
        let user = one.user.clone();
        effects.save(session, one.encode(), Durability::Written);
        if changed {
            self.tell_all(&user, Package::Presence, None, effects);
        }
    }

    fn unpublish(&mut self, session: SessionId, effects: &mut Effects<'_>) {
        let Some(one) = self.publications.remove(&session) else { return };
        if let Some(person) = self.people.get_mut(&one.user) {
            person.publications.remove(&session);
        }
        effects.end(session, None);
        self.tell_all(&one.user, Package::Presence, None, effects);
        self.tidy(&one.user);
    }

    pub(crate) fn adopt_publication(&mut self, session: SessionId, publication: Publication) {
        let person = self.people.entry(publication.user.clone()).or_default();
        person.publications.insert(session);
        self.publications.insert(session, publication);
    }

    /// Ends what was not refreshed.
    pub(crate) fn sweep_publications(&mut self, effects: &mut Effects<'_>) {
        let unix = effects.unix();
        let old = self.publications.iter().filter(|(_, one)| one.until <= unix);
        let old: Vec<SessionId> = old.map(|(session, _)| *session).collect();
        for session in old {
            self.unpublish(session, effects);
        }
    }
}
