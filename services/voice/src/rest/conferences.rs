//! Conferences that run, and who takes part: shown, changed, sent away.
//!
//! Spec: programmable-voice §6.2 (Conferences, Participants)

use serde_json::{Value, json};
use switchboard::{ApiRequest, ApiResponse, Effects};
use types::SessionId;

use super::ask::Ask;
use super::outgoing::{hook, method};
use super::say::{self, Named, No, Page};
use super::{Done, method_not_allowed, shown};
use crate::Room;
use crate::call::{call_sid, date};
use crate::conference::{Change, Conference, Member};
use crate::word::Link;

const CONFERENCES: Named = Named { key: "conferences", one: "Conference" };
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
        match (ask.method, path) {
            ("GET", []) => self.list_conferences(ask, request, effects),
            ("GET", [sid]) => {
                let found = self.conference_of(ask, sid)?;
                Ok(shown(200, "Conference", &conference(found, effects), ask.form))
            }
            ("POST", [sid]) => self.update_conference(ask, sid, effects),
            ("GET", [sid, "Participants"]) => {
                let page = Page::of(ask)?;
                let found = self.conference_of(ask, sid)?;
                let fits = |member: &&Member| {
                    let is = |name: &str, now: bool| ask.flag(name).is_none_or(|flag| flag == now);
                    is("Muted", member.muted)
                        && is("Hold", member.hold)
                        && is("Coaching", member.coach.is_some())
                };
                let rows = found.members.iter().filter(fits);
                let rows = rows.map(|member| participant(found, member, effects)).collect();
                Ok(paged(ask, PARTICIPANTS, &page, rows))
            }
            ("GET", [sid, "Participants", who]) => {
                let found = self.conference_of(ask, sid)?;
                let member = member_of(ask, found, who)?;
                let value = participant(found, member, effects);
                Ok(shown(200, "Participant", &value, ask.form))
            }
            ("POST", [sid, "Participants", who]) => {
                self.update_participant(ask, (sid, who), effects)
            }
            ("DELETE", [sid, "Participants", who]) => {
                let found = self.conference_of(ask, sid)?;
                let (session, call) = (found.session, member_of(ask, found, who)?.call);
                self.confer(session, effects, |conference, effects| {
                    conference.kick(call, effects);
                    Vec::new()
                });
                Ok(Done::Now(ApiResponse::empty(204)))
            }
            ("POST", [_, "Participants"]) => Err(No::not_offered("Calling a participant")),
            (_, [] | [_] | [_, "Participants"] | [_, "Participants", _]) => {
                Err(method_not_allowed(ask))
            }
            (_, [_, part, ..]) => Err(No::not_offered(part)),
        }
    }

    /// A conference by its sid or, here, by its name.
    fn conference_of(&self, ask: &Ask, sid: &str) -> Result<&Conference, No> {
        let found = self
            .conferences
            .values()
            .find(|known| !known.members.is_empty() && (known.sid == sid || known.name == sid));
        found.map(|found| &**found).ok_or_else(|| No::missing(&say::base(ask)))
    }

    /// Every shard adds its own.
    fn list_conferences(
        &mut self,
        ask: &Ask,
        request: &ApiRequest,
        effects: &mut Effects<'_>,
    ) -> Result<Done, No> {
        let page = Page::of(ask)?;
        let mut rows: Vec<Value> = serde_json::from_slice(&request.body).unwrap_or_default();
        let (from, until) = ask.span("DateCreated");
        let mut own: Vec<_> = self
            .conferences
            .values()
            .filter(|known| {
                !known.members.is_empty()
                    && ask.text("FriendlyName").is_none_or(|name| name == known.name)
                    && ask.text("Status").is_none_or(|status| status == known.status())
                    && from <= known.began
                    && known.began < until
            })
            .collect();
        own.sort_by_key(|known| (known.began, known.session));
        rows.extend(own.into_iter().map(|known| conference(known, effects)));
        let body = serde_json::to_vec(&rows).unwrap_or_default();
        if effects.next_shard(&ApiRequest { body, ..request.clone() }) {
            return Ok(Done::Later);
        }
        Ok(paged(ask, CONFERENCES, &page, rows))
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

/// Spec: programmable-voice §6.3 (Conference)
fn conference(found: &Conference, effects: &Effects<'_>) -> Value {
    let (account, sid) = (&effects.apps().sid, &found.sid);
    let uri = format!("/2010-04-01/Accounts/{account}/Conferences/{sid}");
    json!({
        "account_sid": account,
        "api_version": crate::call::VERSION,
        "call_sid_ending_conference": null,
        "date_created": date(found.began),
        "date_updated": date(found.changed),
        "friendly_name": found.name,
        "reason_conference_ended": null,
        "region": null,
        "sid": sid,
        "status": found.status(),
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
