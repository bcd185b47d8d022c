//! Conferences and who takes part: shown, changed, sent away. Those that are over are in the store.
//!
//! Rules       One that runs answers from its session; when it ends it is written down, once. A store that is away then
//!             does not have it.
//! Spec: programmable-voice §6.2 (Conferences, Participants)

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use switchboard::store::Row as Cells;
use switchboard::{ApiRequest, ApiResponse, Effects};
use types::{SessionId, UnixTime};

use super::ask::Ask;
use super::outgoing::{hook, method};
use super::participants;
use super::row::Row;
use super::say::{self, Named, No, Page};
use super::things::{CONFERENCE_RECORDING, Kind, Of};
use super::{Done, Waiting, gathered, method_not_allowed, shown};
use crate::Room;
use crate::call::{call_sid, date};
use crate::conference::{Change, Conference, Member};
use crate::store::{self, Thing, Wanted};
use crate::word::Link;

const CONFERENCES: Named = Named { key: "conferences", one: "Conference" };
/// Conferences that are over.
const OVER: Kind = Kind {
    kind: "conference",
    prefix: "CF",
    named: CONFERENCES,
    fields: &[],
    made: false,
    show: |thing, account| {
        let body: Value = serde_json::from_str(&thing.body).unwrap_or_default();
        let some = |name: &str| body[name].as_str().filter(|text| !text.is_empty());
        let names = (account, &*thing.sid, &*thing.name);
        value(names, (thing.made, thing.updated), ("completed", some("reason"), some("by")))
    },
};
const PARTICIPANTS: Named = Named { key: "participants", one: "Participant" };

impl Room {
    /// `/Conferences` and what stands below it.
    pub(super) fn conferences(
        &mut self,
        ask: &Ask,
        path: &[&str],
        request: &ApiRequest,
        effects: &mut Effects<'_>,
    ) -> Result<Done, No> {
        // A conference that is named as people name it lives on the slot of that name.
        if let [name, ..] = path
            && !participants::is_sid(name)
            && effects.send_on(request, crate::meeting::home(name, effects))
        {
            return Ok(Done::Later);
        }
        match (ask.method, path) {
            ("GET", []) => self.list_conferences(ask, request, effects),
            ("GET", [sid]) => match self.conference_of(ask, sid) {
                Ok(found) => Ok(shown(200, "Conference", &conference(found, effects), ask.form)),
                Err(_) => self.things(&OVER, Of::One(sid), ask, effects),
            },
            ("POST", [sid]) => self.update_conference(ask, sid, effects),
            ("GET", [sid, "Participants"]) => {
                let page = Page::of(ask)?;
                let rings = self.rings_for(sid).into_iter();
                let rings: Vec<Value> = rings
                    .map(|(call, invited)| participants::shown_of(call, invited, effects))
                    .filter(|row| is(ask, row))
                    .collect();
                let Ok(found) = self.conference_of(ask, sid) else {
                    if !rings.is_empty() {
                        return Ok(paged(ask, PARTICIPANTS, &page, rings));
                    }
                    // Nobody takes part in what is over.
                    let waiting = Waiting::Emptied { ask: ask.clone(), page };
                    let load = store::thing(OVER.kind, sid);
                    return self.wait(waiting, |effects| effects.load(load), effects);
                };
                let known = self.rings_for(&found.sid).into_iter();
                let known =
                    known.map(|(call, invited)| participants::shown_of(call, invited, effects));
                let members = found.members.iter();
                let rows = members.map(|member| participant(found, member, effects));
                let rows = rows.chain(known).filter(|row| is(ask, row)).collect();
                Ok(paged(ask, PARTICIPANTS, &page, rows))
            }
            ("GET", [sid, "Participants", who]) => {
                if let Some((_, value)) = self.ringing_one(sid, who, effects) {
                    return Ok(shown(200, "Participant", &value, ask.form));
                }
                let found = self.conference_of(ask, sid)?;
                let member = member_of(ask, found, who)?;
                let value = participant(found, member, effects);
                Ok(shown(200, "Participant", &value, ask.form))
            }
            ("POST", [sid, "Participants", who]) => {
                self.update_participant(ask, (sid, who), effects)
            }
            ("DELETE", [sid, "Participants", who]) => {
                if let Some((session, _)) = self.ringing_one(sid, who, effects) {
                    return Ok(self.uninvite(session, effects));
                }
                let found = self.conference_of(ask, sid)?;
                let (session, call) = (found.session, member_of(ask, found, who)?.call);
                self.confer(session, effects, |conference, effects| {
                    conference.kick(call, effects);
                    Vec::new()
                });
                Ok(Done::Now(ApiResponse::empty(204)))
            }
            ("POST", [sid, "Participants"]) => self.call_participant(ask, sid, effects),
            ("GET", [sid, "Recordings"]) => {
                self.things(&CONFERENCE_RECORDING, Of::Name(sid), ask, effects)
            }
            ("POST", [sid, "Recordings", recording]) => {
                self.steer_recording(ask, (sid, recording), effects)
            }
            (_, [_, "Recordings", recording]) => {
                self.things(&CONFERENCE_RECORDING, Of::One(recording), ask, effects)
            }
            (_, [_, "Recordings"]) => Err(method_not_allowed(ask)),
            (_, [] | [_] | [_, "Participants"] | [_, "Participants", _]) => {
                Err(method_not_allowed(ask))
            }
            (_, [_, part, ..]) => Err(No::not_offered(part)),
        }
    }

    /// A conference by its sid or, here, by its name.
    pub(super) fn conference_of(&self, ask: &Ask, sid: &str) -> Result<&Conference, No> {
        let found = self
            .conferences
            .values()
            .find(|known| !known.members.is_empty() && (known.sid == sid || known.name == sid));
        found.map(|found| &**found).ok_or_else(|| No::missing(&say::base(ask)))
    }

    /// Every shard adds those that run, the last one asks the store for those that are over.
    fn list_conferences(
        &mut self,
        ask: &Ask,
        request: &ApiRequest,
        effects: &mut Effects<'_>,
    ) -> Result<Done, No> {
        let page = Page::of(ask)?;
        let before = Row::unmark(&page.after);
        let before = before.ok_or_else(|| {
            No::invalid(20001, "PageToken is none of ours: take next_page_uri as it is")
        })?;
        let (made, updated) = (ask.span("DateCreated"), ask.span("DateUpdated"));
        let within = |(from, until): (UnixTime, UnixTime), at| from <= at && at < until;
        let fits = |known: &&Conference| {
            !known.members.is_empty()
                && ask.text("FriendlyName").is_none_or(|name| name == known.name)
                && ask.text("Status").is_none_or(|status| status == known.status())
                && within(made, known.began)
                && within(updated, known.changed)
                && (known.began, &known.sid) < (before.0, &before.1)
        };
        let live = self.conferences.values().map(|known| &**known).filter(fits);
        let own: Vec<Listed> = live
            .map(|known| Listed {
                mark: (known.began.0, known.sid.clone()),
                value: conference(known, effects),
            })
            .collect();
        let Some(known) = gathered(request, own, effects) else { return Ok(Done::Later) };
        match ask.text("Status") {
            Some("in-progress" | "init") => return Ok(listed(ask, &page, known, &[], effects)),
            None | Some("completed") => {}
            Some(word) => {
                let words =
                    format!("Status is {word}, and should be init, in-progress or completed");
                return Err(No::invalid(16099, words));
            }
        }
        let name = ask.text("FriendlyName").unwrap_or_default().to_owned();
        let wanted = Wanted { name, made, updated, before, ..Wanted::default() };
        let load = store::things(OVER.kind, &wanted, page.size + 1);
        let waiting = Waiting::Conferences { ask: ask.clone(), page, known };
        self.wait(waiting, |effects| effects.load(load), effects)
    }

    /// The recording of a conference that runs pauses, goes on or ends.
    fn steer_recording(
        &mut self,
        ask: &Ask,
        (sid, recording): (&str, &str),
        effects: &mut Effects<'_>,
    ) -> Result<Done, No> {
        let status = status_wanted(ask)?;
        let found = self.conference_of(ask, sid)?;
        let taping = found.taping(recording).ok_or_else(|| No::missing(&say::base(ask)))?;
        let now = effects.unix();
        let value = taping.shown().value((taping.since, now), status, effects);
        let session = found.session;
        self.confer(session, effects, |conference, effects| {
            conference.steer_taping(recording, status, effects);
            Vec::new()
        });
        Ok(shown(200, "Recording", &value, ask.form))
    }

    fn update_conference(
        &mut self,
        ask: &Ask,
        sid: &str,
        effects: &mut Effects<'_>,
    ) -> Result<Done, No> {
        let found = self.conference_of(ask, sid)?;
        let session = found.session;
        let mut value = conference(found, effects);
        let announce = link(ask, "AnnounceUrl", "AnnounceMethod")?;
        let ends = match ask.text("Status") {
            None => false,
            Some("completed") => true,
            Some(word) => {
                let words = format!("Status is {word}, and should be completed");
                return Err(No::invalid(16099, words));
            }
        };
        if ends {
            value["status"] = json!("completed");
            value["reason_conference_ended"] = json!("conference-ended-via-api");
        }
        self.confer(session, effects, |conference, effects| {
            if let Some(link) = announce {
                conference.announce(None, &link, effects);
            }
            if ends {
                conference.end("conference-ended-via-api", None, effects)
            } else {
                Vec::new()
            }
        });
        Ok(shown(200, "Conference", &value, ask.form))
    }

    fn update_participant(
        &mut self,
        ask: &Ask,
        (sid, who): (&str, &str),
        effects: &mut Effects<'_>,
    ) -> Result<Done, No> {
        let found = self.conference_of(ask, sid)?;
        let (session, call) = (found.session, member_of(ask, found, who)?.call);
        let coach = match (ask.flag("Coaching"), ask.text("CallSidToCoach")) {
            (Some(false), _) => Some(None),
            (_, Some(sid)) => Some(Some(member_of(ask, found, sid)?.call)),
            (_, None) => None,
        };
        let change = Change {
            muted: ask.flag("Muted"),
            hold: ask.flag("Hold"),
            hold_link: link(ask, "HoldUrl", "HoldMethod")?,
            ends: ask.flag("EndConferenceOnExit"),
            beep_on_exit: ask.flag("BeepOnExit"),
            coach,
        };
        let announce = link(ask, "AnnounceUrl", "AnnounceMethod")?;
        self.confer(session, effects, |conference, effects| {
            if let Some(link) = announce {
                conference.announce(Some(call), &link, effects);
            }
            conference.change(call, change, effects)
        });
        let found = self.conference_of(ask, sid)?;
        let value = participant(found, member_of(ask, found, who)?, effects);
        Ok(shown(200, "Participant", &value, ask.form))
    }
}

/// What an app wants of a recording that runs.
///
/// Errors: no word that is known. Silence in place of what is left out is not offered: it is read, and what is paused is
/// left out.
pub(super) fn status_wanted(ask: &Ask) -> Result<&'static str, No> {
    let word = ask.text("Status").unwrap_or_default();
    let known = ["in-progress", "paused", "stopped"].into_iter().find(|known| *known == word);
    known.ok_or_else(|| {
        let words = format!("Status is {word}, and should be in-progress, paused or stopped");
        No::invalid(20001, words)
    })
}

/// One of a list, with what it is sorted by.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Listed {
    mark: (u64, String),
    value: Value,
}

/// A page of those of all shards and of the store, newest first.
pub(super) fn listed(
    ask: &Ask,
    page: &Page,
    mut known: Vec<Listed>,
    rows: &[Cells],
    effects: &Effects<'_>,
) -> Done {
    let account = &effects.apps().sid;
    let over = rows.iter().filter_map(|row| store::thing_of(OVER.kind, row));
    known.extend(over.map(|thing| Listed {
        value: (OVER.show)(&thing, account),
        mark: (thing.made.0, thing.sid),
    }));
    known.sort_by(|a, b| b.mark.cmp(&a.mark));
    known.dedup_by(|later, earlier| later.mark.1 == earlier.mark.1);
    let more = known.len() > page.size;
    known.truncate(page.size);
    let mark = known.last().filter(|_| more).map(|last| format!("{}_{}", last.mark.0, last.mark.1));
    let rows = known.into_iter().map(|one| one.value).collect();
    Done::Now(say::list(ask, CONFERENCES, page, rows, mark.as_deref()))
}

/// Who takes part in one that is over: nobody, if there was such a one.
pub(super) fn emptied(ask: &Ask, page: &Page, rows: &[Cells]) -> Result<Done, No> {
    match rows {
        [] => Err(No::missing(&say::base(ask))),
        [..] => Ok(paged(ask, PARTICIPANTS, page, Vec::new())),
    }
}

/// What is kept of one that is over.
pub(crate) fn over(found: &Conference, (reason, by): (&str, &str), effects: &Effects<'_>) -> Thing {
    Thing {
        kind: OVER.kind,
        sid: found.sid.clone(),
        owner: String::new(),
        name: found.name.clone(),
        body: json!({"reason": reason, "by": by}).to_string(),
        made: found.began,
        updated: effects.unix(),
    }
}

/// Whether somebody who takes part is wanted in a list.
fn is(ask: &Ask, row: &Value) -> bool {
    let fits = |name: &str, now: &str| ask.flag(name).is_none_or(|flag| row[now] == flag);
    fits("Muted", "muted") && fits("Hold", "hold") && fits("Coaching", "coaching")
}

/// A page of rows that are all at hand; a mark is how many stand before.
pub(super) fn paged(ask: &Ask, named: Named, page: &Page, rows: Vec<Value>) -> Done {
    let before: usize = page.after.parse().unwrap_or(0);
    let end = before.saturating_add(page.size);
    let mark = (rows.len() > end).then(|| end.to_string());
    let rows = rows.into_iter().skip(before).take(page.size).collect();
    Done::Now(say::list(ask, named, page, rows, mark.as_deref()))
}

fn link(ask: &Ask, url: &str, how: &str) -> Result<Option<Link>, No> {
    let hook = ask.text(url).map(|url| hook(url, method(ask, how)?)).transpose()?;
    Ok(hook.map(Link::from))
}

/// Somebody who takes part, by his call or his label.
fn member_of<'a>(ask: &Ask, found: &'a Conference, who: &str) -> Result<&'a Member, No> {
    let named = |member: &&Member| {
        call_sid(member.call.0) == who || (!member.label.is_empty() && member.label == who)
    };
    found.members.iter().find(named).ok_or_else(|| No::missing(&say::base(ask)))
}

fn conference(found: &Conference, effects: &Effects<'_>) -> Value {
    let names = (&*effects.apps().sid, &*found.sid, &*found.name);
    value(names, (found.began, found.changed), (found.status(), None, None))
}

/// Spec: programmable-voice §6.3 (Conference)
fn value(
    (account, sid, name): (&str, &str, &str),
    (began, changed): (UnixTime, UnixTime),
    (status, reason, by): (&str, Option<&str>, Option<&str>),
) -> Value {
    let uri = format!("/2010-04-01/Accounts/{account}/Conferences/{sid}");
    json!({
        "account_sid": account,
        "api_version": crate::call::VERSION,
        "call_sid_ending_conference": by,
        "date_created": date(began),
        "date_updated": date(changed),
        "friendly_name": name,
        "reason_conference_ended": reason,
        "region": null,
        "sid": sid,
        "status": status,
        "subresource_uris": {
            "participants": format!("{uri}/Participants.json"),
            "recordings": format!("{uri}/Recordings.json"),
        },
        "uri": format!("{uri}.json"),
    })
}

/// Spec: programmable-voice §6.3 (Participant)
fn participant(found: &Conference, member: &Member, effects: &Effects<'_>) -> Value {
    let (account, sid) = (&effects.apps().sid, &found.sid);
    let call = call_sid(member.call.0);
    let coached = member.coach.map(|SessionId(call)| call_sid(call));
    json!({
        "account_sid": account,
        "call_sid": call,
        "call_sid_to_coach": coached,
        "coaching": coached.is_some(),
        "conference_sid": sid,
        "date_created": date(member.since),
        "date_updated": date(member.changed),
        "end_conference_on_exit": member.ends,
        "hold": member.hold,
        "label": Some(&member.label).filter(|label| !label.is_empty()),
        "muted": member.muted,
        "queue_time": null,
        "start_conference_on_enter": member.starts,
        "status": "connected",
        "uri": format!("/2010-04-01/Accounts/{account}/Conferences/{sid}/Participants/{call}.json"),
    })
}
