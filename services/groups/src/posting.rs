//! Letters to several members that are promised as one: kept until each member's letter is where letters are kept.
//!
//! Picture     MESSAGE to a group --> kept (synced) --> 202 --> a letter wanted for each member --POSTED_AFTER--> forgotten
//! Rules       A restart before the end wants all letters once more: a member may get his twice, never not at all.
//! Limits      POSTINGS_MAX at once; POSTED_AFTER.
//! Not here    Who gets a letter (follow), how it is delivered and kept (messaging).
//! Spec        RFC 3428 §7 (202 is a promise).

use std::collections::BTreeMap;

use switchboard::notice::LetterPlan;
use switchboard::store::Durability;
use switchboard::{Effects, RequestId, Ticket};
use types::{Seconds, SessionId, tagged};

use crate::follow::letters;
use crate::{Refusal, Room};

/// Messages to groups that may be on their way to their members at once; another gets 503.
pub const POSTINGS_MAX: usize = 1_000;
/// By then every member's home has its letter, or will never have it.
pub const POSTED_AFTER: Seconds = Seconds(5);

/// What is on its way.
#[derive(Debug, Default)]
pub(crate) struct Postings {
    known: BTreeMap<SessionId, (Vec<String>, LetterPlan)>,
    timers: BTreeMap<Ticket, SessionId>,
}

impl Room {
    /// Promises a letter to all of `to`, and sends it on its way. `group`: whose shard this is.
    pub(crate) fn post(
        &mut self,
        request: RequestId,
        group: &str,
        to: Vec<String>,
        plan: LetterPlan,
        effects: &mut Effects<'_>,
    ) {
        if self.postings.known.len() >= POSTINGS_MAX {
            effects.refuse(request, &Refusal::TooManyLetters);
            return;
        }
        let session = effects.start(effects.home(group));
        effects.save(session, encode(&to, &plan), Durability::Synced);
        effects.respond(request, 202, &[]);
        self.postings.known.insert(session, (to, plan));
        self.send_posting(session, effects);
    }

    fn send_posting(&mut self, session: SessionId, effects: &mut Effects<'_>) {
        let Some((to, plan)) = self.postings.known.get(&session) else { return };
        letters(to, plan, effects);
        let timer = effects.set_timer(effects.now() + POSTED_AFTER);
        self.postings.timers.insert(timer, session);
    }

    /// A posting comes back after a restart.
    pub(crate) fn adopt_posting(
        &mut self,
        session: SessionId,
        state: &[u8],
        effects: &mut Effects<'_>,
    ) {
        match decode(state) {
            Some(posting) => {
                self.postings.known.insert(session, posting);
            }
            None => effects.end(session, None),
        }
    }

    /// Everybody is there again: what was under way is sent once more.
    pub(crate) fn send_postings(&mut self, effects: &mut Effects<'_>) {
        let sessions: Vec<SessionId> = self.postings.known.keys().copied().collect();
        for session in sessions {
            self.send_posting(session, effects);
        }
    }

    /// The end of a posting; false when the timer is none of these.
    pub(crate) fn posted(&mut self, ticket: Ticket, effects: &mut Effects<'_>) -> bool {
        let Some(session) = self.postings.timers.remove(&ticket) else { return false };
        if self.postings.known.remove(&session).is_some() {
            effects.end(session, None);
        }
        true
    }
}

fn encode(to: &[String], plan: &LetterPlan) -> Vec<u8> {
    let mut writer = tagged::Writer::new();
    for user in to {
        writer.text(1, user);
    }
    writer.text(2, &plan.from).text(3, &plan.from_uri).text(4, &plan.content_type);
    writer.bytes(5, &plan.body).number(6, plan.keep.into());
    writer.finish()
}

fn decode(state: &[u8]) -> Option<(Vec<String>, LetterPlan)> {
    let (mut to, mut plan) = (Vec::new(), LetterPlan::default());
    for (tag, field) in tagged::Reader::new(state) {
        match tag {
            1 => to.push(field.string()?),
            2 => plan.from = field.string()?,
            3 => plan.from_uri = field.string()?,
            4 => plan.content_type = field.string()?,
            5 => plan.body = field.0.to_vec(),
            6 => plan.keep = field.number()? == 1,
            _ => (), // A field of a newer version.
        }
    }
    (!to.is_empty()).then_some((to, plan))
}
