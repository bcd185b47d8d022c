//! Conferences and queues as sessions of this room: opened on the slot of their name, told things by calls, kept.

use switchboard::Effects;
use switchboard::ladder::Lane;
use switchboard::{Reply, Ticket};
use types::{CallId, SessionId, tagged};

use crate::Room;
use crate::conference::{self, Conference};
use crate::queue::{self, Queue};
use crate::word::{ToConference, ToQueue, Why, Word};

impl Room {
    /// A call wants the conference or the queue of a name, which is not there.
    pub(crate) fn opened(
        &mut self,
        session: SessionId,
        (key, kind): (&str, &str),
        effects: &mut Effects<'_>,
    ) -> bool {
        let name = key.split_once('/').map_or(key, |(_, name)| name);
        match kind {
            conference::KIND => {
                let conference = Conference::new(session, name, effects);
                self.conferences.insert(session, Box::new(conference));
            }
            queue::KIND => match self.queues.get_mut(&session) {
                // An app has made it.
                Some(queue) => queue.keep(effects),
                None => {
                    let queue = Queue::new(session, name, effects);
                    self.queues.insert(session, Box::new(queue));
                }
            },
            _ => return false,
        }
        true
    }

    /// A session of this room was told something by another.
    pub(crate) fn said(
        &mut self,
        session: SessionId,
        (from, words): (SessionId, &[u8]),
        effects: &mut Effects<'_>,
    ) {
        let Some(word) = Word::read(words) else { return };
        if self.calls.contains_key(&session) {
            self.call_told(session, (from, word), effects);
        } else if self.conferences.contains_key(&session) {
            match word {
                Word::ToConference(word) => self.conference_told(session, (from, word), effects),
                // The call ended before it heard of us.
                Word::Nobody => {
                    let word = ToConference::Left(Why::HungUp);
                    self.conference_told(session, (from, word), effects);
                }
                Word::Between(_)
                | Word::FromConference(_)
                | Word::FromQueue(_)
                | Word::Heard(_)
                | Word::ToQueue(_) => {}
            }
        } else if let Some(queue) = self.queues.get_mut(&session) {
            match word {
                Word::ToQueue(word) => self.queue_told(session, (from, word), effects),
                Word::Nobody => {
                    queue.enough(from);
                    queue.unqueue(from, false, effects);
                }
                Word::Between(_)
                | Word::FromConference(_)
                | Word::FromQueue(_)
                | Word::Heard(_)
                | Word::ToConference(_) => {}
            }
        } else if let Some(bridge) = self.lingering.remove(&session) {
            // Whoever sat there has taken his seat home, or is gone.
            effects.media(media::Command::Close { bridge });
        } else if word != Word::Nobody {
            Word::Nobody.tell(session, from, effects);
        }
    }

    fn conference_told(
        &mut self,
        session: SessionId,
        (from, word): (SessionId, ToConference),
        effects: &mut Effects<'_>,
    ) {
        let joins = matches!(word, ToConference::Join(_));
        let empty = self.conferences.get(&session).filter(|known| known.members.is_empty());
        let promised = empty
            .filter(|_| joins)
            .and_then(|known| self.rest.promises.keep(&known.name, effects.unix()));
        self.confer(session, effects, |conference, effects| match word {
            ToConference::Announced { failed } => conference.announced(from, failed, effects),
            ToConference::Entered => conference.entered(from, effects),
            ToConference::Join(joining) => conference.join(from, (*joining, promised), effects),
            ToConference::Left(why) => conference.left(from, why, effects),
        });
    }

    fn queue_told(
        &mut self,
        session: SessionId,
        (from, word): (SessionId, ToQueue),
        effects: &mut Effects<'_>,
    ) {
        let Some(queue) = self.queues.get_mut(&session) else { return };
        match word {
            ToQueue::Enough => queue.enough(from),
            ToQueue::Enqueue { most } => queue.enqueue(from, most, effects),
            ToQueue::Unqueue { back } => queue.unqueue(from, back, effects),
            ToQueue::Want { whisper } => queue.want(from, whisper, effects),
            ToQueue::Where => queue.where_is(from, effects),
        }
    }

    /// Does something in a conference; one that is over then goes.
    pub(crate) fn confer(
        &mut self,
        session: SessionId,
        effects: &mut Effects<'_>,
        act: impl FnOnce(&mut Conference, &mut Effects<'_>) -> Vec<Ticket>,
    ) {
        let Some(conference) = self.conferences.get_mut(&session) else { return };
        for ticket in act(conference, effects) {
            self.tickets.insert(ticket, session);
        }
        if conference.is_over() {
            if let Some(ticket) = conference.returning.take() {
                effects.cancel_timer(ticket);
                self.tickets.remove(&ticket);
            }
            let bridge = conference.stream().bridge;
            effects.media(media::Command::Close { bridge });
            self.conferences.remove(&session);
            effects.end(session, None);
        }
    }

    /// Whether the answer was for a conference; the answer, if not.
    pub(crate) fn conference_reply(
        &mut self,
        session: SessionId,
        (ticket, reply): (Ticket, Reply),
        effects: &mut Effects<'_>,
    ) -> Option<Reply> {
        if !self.conferences.contains_key(&session) {
            return Some(reply);
        }
        self.confer(session, effects, |conference, effects| {
            if let Reply::Fetched(fetched) = reply {
                conference.fetched(ticket, fetched.map(|fetched| *fetched), effects)
            } else if let Reply::Clip(made) = reply {
                conference.clip_made(ticket, &made, effects);
                Vec::new()
            } else if let Reply::Recorded(recorded) = reply {
                conference.recorded(ticket, recorded, effects)
            } else {
                Vec::new()
            }
        });
        None
    }

    /// Whether this timer was one of a conference, of a queue, or of a call that begins again after a restart.
    pub(crate) fn hall_timer(
        &mut self,
        session: SessionId,
        ticket: Ticket,
        effects: &mut Effects<'_>,
    ) -> bool {
        if self.conferences.contains_key(&session) {
            self.confer(session, effects, Conference::give_up);
        } else if let Some(queue) = self.queues.get_mut(&session) {
            queue.give_up(effects);
        } else if self.returning.remove(&ticket).is_some() {
            self.carry(session, effects);
        } else {
            return false;
        }
        true
    }

    /// A conference or a queue comes back after a restart; false: it is something else.
    pub(crate) fn hall_adopted(
        &mut self,
        session: SessionId,
        state: &[u8],
        effects: &mut Effects<'_>,
    ) -> bool {
        let kind = tagged::Reader::new(state).find(|(tag, _)| *tag == 200);
        match kind.and_then(|(_, field)| field.text()) {
            Some(conference::KIND) => {
                let (conference, tickets) = Conference::restore(state, session, effects);
                let words = format!("{} goes on after a restart", conference.name);
                effects.ladder(CallId(session.0), Lane::Note, &words);
                self.tickets.extend(tickets.into_iter().map(|ticket| (ticket, session)));
                self.conferences.insert(session, Box::new(conference));
            }
            Some(queue::KIND) => {
                let queue = Queue::restore(state, session, effects);
                self.tickets.extend(queue.returning.map(|ticket| (ticket, session)));
                self.queues.insert(session, Box::new(queue));
            }
            Some(_) | None => return false,
        }
        true
    }
}
