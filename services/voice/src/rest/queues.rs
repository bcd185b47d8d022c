//! Queues and those who wait in them: made, shown, changed, fetched out.
//!
//! Spec: programmable-voice §6.2 (Queues, Members)

use serde_json::{Value, json};
use switchboard::{ApiRequest, ApiResponse, Effects};

use super::ask::Ask;
use super::conferences::paged;
use super::outgoing::{hook, method, number};
use super::say::{self, Named, No, Page};
use super::{Done, gathered, method_not_allowed, shown};
use crate::Room;
use crate::call::{call_sid, date};
use crate::queue::{MOST, MOST_MAX, Queue};
use crate::word::{FromQueue, Link};

const QUEUES: Named = Named { key: "queues", one: "Queue" };
const MEMBERS: Named = Named { key: "queue_members", one: "QueueMember" };

impl Room {
    /// `/Queues` and what stands below it.
    pub(super) fn queues_of(
        &mut self,
        ask: &Ask,
        path: &[&str],
        request: &ApiRequest,
        effects: &mut Effects<'_>,
    ) -> Result<Done, No> {
        match (ask.method, path) {
            ("GET", []) => self.list_queues(ask, request, effects),
            ("POST", []) => self.make_queue(ask, request, effects),
            ("GET", [sid]) => {
                let found = queue(self.queue_of(ask, sid)?, effects);
                Ok(shown(200, "Queue", &found, ask.form))
            }
            ("POST", [sid]) => {
                let most = most(ask)?;
                if ask.text("FriendlyName").is_some() {
                    return Err(No::invalid(
                        20422,
                        "The name of a queue is where it is found: make another one",
                    ));
                }
                let found = self.queue_of(ask, sid)?;
                found.most = most.unwrap_or(found.most);
                found.keep(effects);
                Ok(shown(200, "Queue", &queue(found, effects), ask.form))
            }
            ("DELETE", [sid]) => {
                let found = self.queue_of(ask, sid)?;
                if !found.line.is_empty() {
                    return Err(No::invalid(
                        22006,
                        "Somebody waits in this queue: fetch them out first",
                    ));
                }
                let session = found.session;
                self.queues.remove(&session);
                effects.end(session, None);
                Ok(Done::Now(ApiResponse::empty(204)))
            }
            ("GET", [sid, "Members"]) => {
                let page = Page::of(ask)?;
                let found = self.queue_of(ask, sid)?;
                let rows = (0..found.line.len()).filter_map(|place| member(found, place, effects));
                let rows = rows.collect();
                Ok(paged(ask, MEMBERS, &page, rows))
            }
            ("GET", [sid, "Members", who]) => {
                let found = self.queue_of(ask, sid)?;
                let place = place_of(ask, found, who)?;
                let value = member(found, place, effects).unwrap_or_default();
                Ok(shown(200, "QueueMember", &value, ask.form))
            }
            ("POST", [sid, "Members", who]) => {
                let url = ask.text("Url").ok_or_else(|| No::invalid(20001, "Url is missing"))?;
                let link = Link::from(hook(url, method(ask, "Method")?)?);
                let found = self.queue_of(ask, sid)?;
                let place = place_of(ask, found, who)?;
                let value = member(found, place, effects).unwrap_or_default();
                if let Some(waiting) = found.line.get(place).copied() {
                    FromQueue::Divert(link).tell(found.session, waiting.call, effects);
                }
                Ok(shown(200, "QueueMember", &value, ask.form))
            }
            (_, [] | [_] | [_, "Members"] | [_, "Members", _]) => Err(method_not_allowed(ask)),
            (_, [_, part, ..]) => Err(No::not_offered(part)),
        }
    }

    fn queue_of(&mut self, ask: &Ask, sid: &str) -> Result<&mut Queue, No> {
        let found = self.queues.values_mut().find(|known| known.sid == sid);
        found.map(|found| &mut **found).ok_or_else(|| No::missing(&say::base(ask)))
    }

    /// Every shard adds its own.
    fn list_queues(
        &mut self,
        ask: &Ask,
        request: &ApiRequest,
        effects: &mut Effects<'_>,
    ) -> Result<Done, No> {
        let page = Page::of(ask)?;
        let mut own: Vec<_> = self.queues.values().filter(|known| known.most != 0).collect();
        own.sort_by_key(|known| (known.began, known.session));
        let own: Vec<_> = own.into_iter().map(|known| queue(known, effects)).collect();
        let Some(rows) = gathered(request, own, effects) else { return Ok(Done::Later) };
        Ok(paged(ask, QUEUES, &page, rows))
    }

    /// On the slot of its name.
    fn make_queue(
        &mut self,
        ask: &Ask,
        request: &ApiRequest,
        effects: &mut Effects<'_>,
    ) -> Result<Done, No> {
        let name = ask.text("FriendlyName").unwrap_or_default().to_owned();
        if name.is_empty() || name.chars().count() > twiml::QUEUE_NAME_MAX {
            let words = "FriendlyName should have 1 to 64 characters";
            return Err(No::invalid(20002, words));
        }
        let most = most(ask)?.unwrap_or(MOST);
        if effects.send_on(request, crate::meeting::home(&name, effects)) {
            return Ok(Done::Later);
        }
        let session = crate::meeting::open(&name, crate::queue::KIND, effects);
        // One in which only somebody waits for others to come is not made yet.
        if self.queues.get(&session).is_some_and(|known| known.most != 0) {
            return Err(No::invalid(22003, "A queue of this FriendlyName is there already"));
        }
        let known = self.queues.entry(session);
        let made = known.or_insert_with(|| Box::new(Queue::new(session, &name, effects)));
        made.most = most;
        made.keep(effects);
        let value = queue(made, effects);
        Ok(shown(201, "Queue", &value, ask.form))
    }
}

fn most(ask: &Ask) -> Result<Option<u32>, No> {
    let most = number(ask, "MaxSize", 20422)?.and_then(|most| u32::try_from(most).ok());
    match most {
        Some(most) if !(1..=MOST_MAX).contains(&most) => Err(No::invalid(
            20422,
            format!("MaxSize is {most}, and should be from 1 to {MOST_MAX}"),
        )),
        most => Ok(most),
    }
}

/// Somebody who waits, by his call; `Front`: the next one.
fn place_of(ask: &Ask, found: &Queue, who: &str) -> Result<usize, No> {
    let known = |sid: &str| found.line.iter().position(|waiting| call_sid(waiting.call.0) == sid);
    let place = if who == "Front" { (!found.line.is_empty()).then_some(0) } else { known(who) };
    place.ok_or_else(|| No::missing(&say::base(ask)))
}

/// Spec: programmable-voice §6.3 (Queue)
fn queue(found: &Queue, effects: &Effects<'_>) -> Value {
    let (account, sid) = (&effects.apps().sid, &found.sid);
    let uri = format!("/2010-04-01/Accounts/{account}/Queues/{sid}");
    json!({
        "account_sid": account,
        "average_wait_time": found.average(),
        "current_size": found.line.len(),
        "date_created": date(found.began),
        "date_updated": date(found.changed),
        "friendly_name": found.name,
        "max_size": found.most,
        "sid": sid,
        "subresource_uris": {"members": format!("{uri}/Members.json")},
        "uri": format!("{uri}.json"),
    })
}

/// Spec: programmable-voice §6.3 (Queue member)
fn member(found: &Queue, place: usize, effects: &Effects<'_>) -> Option<Value> {
    let waiting = found.line.get(place)?;
    let standing = found.standing(place, effects.unix());
    let (account, sid, call) = (&effects.apps().sid, &found.sid, call_sid(waiting.call.0));
    Some(json!({
        "call_sid": call,
        "date_enqueued": date(waiting.since),
        "position": standing.position,
        "queue_sid": sid,
        "uri": format!("/2010-04-01/Accounts/{account}/Queues/{sid}/Members/{call}.json"),
        "wait_time": standing.waited,
    }))
}
