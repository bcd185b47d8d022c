//! Calls: fetched, listed, forgotten. Those that live answer from their session.
//!
//! Spec: programmable-voice §6.2 (`/Calls`)

use switchboard::store::Row as Cells;
use switchboard::{ApiRequest, ApiResponse, Effects};

use super::ask::Ask;
use super::row::Row;
use super::say::{self, Named, No, Page};
use super::{Done, RECENT_MAX, Waiting, gathered, session_of, shown};
use crate::call::Call;
use crate::store::{self, Filter};
use crate::{Room, call::call_sid};

const CALLS: Named = Named { key: "calls", one: "Call" };
/// States that the vendor knows.
const STATES: [&str; 8] =
    ["queued", "ringing", "in-progress", "completed", "busy", "failed", "no-answer", "canceled"];

impl Call {
    /// As the API shows it.
    pub(crate) fn row(&self) -> Row {
        let said = |name: &str| {
            let found = self.said.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value.clone()).unwrap_or_default()
        };
        let direction = said("Direction");
        let (from, to) = (said("From"), said("To"));
        let number = if direction == "inbound" { &to } else { &from };
        Row {
            sid: call_sid(self.session.0),
            parent: said("ParentCallSid"),
            number: if number.starts_with('+') { number.clone() } else { String::new() },
            from,
            to,
            status: self.status().to_owned(),
            direction,
            forwarded: said("ForwardedFrom"),
            name: said("CallerName"),
            answered_by: said("AnsweredBy"),
            began: self.facts.began,
            answered: self.facts.answered,
            ended: self.facts.ended,
        }
    }
}

impl Room {
    /// Remembers a call that is over until the store has it.
    pub(crate) fn remember(&mut self, row: Row) {
        if self.rest.recent.len() >= RECENT_MAX {
            self.rest.recent.pop_front();
        }
        self.rest.recent.push_back(row);
    }

    /// A call that lives here, or ended a moment ago.
    fn known_call(&self, sid: &str) -> Option<Row> {
        let live = session_of(sid, "CA").and_then(|session| self.calls.get(&session));
        let live = live.map(|call| call.row());
        let leg = || self.known_leg(sid).map(|(_, row)| row);
        live.or_else(|| self.recent(sid)).or_else(leg)
    }

    /// A call that ended here a moment ago.
    pub(super) fn recent(&self, sid: &str) -> Option<Row> {
        self.rest.recent.iter().rev().find(|row| row.sid == sid).cloned()
    }

    pub(super) fn fetch_call(
        &mut self,
        ask: &Ask,
        sid: &str,
        effects: &mut Effects<'_>,
    ) -> Result<Done, No> {
        if let Some(row) = self.known_call(sid) {
            return Ok(shown(200, "Call", &row.json(&effects.apps().sid), ask.form));
        }
        let waiting = Waiting::Call(ask.clone());
        self.wait(waiting, |effects| effects.load(store::call(sid)), effects)
    }

    /// Every shard adds its own, the last one asks the store.
    pub(super) fn list_calls(
        &mut self,
        ask: &Ask,
        request: &ApiRequest,
        effects: &mut Effects<'_>,
    ) -> Result<Done, No> {
        let page = Page::of(ask)?;
        let filter = filter(ask, &page)?;
        let live = self.calls.values().map(|call| call.row());
        let legs = self.calls.values().flat_map(|call| call.leg_rows());
        let own = live.chain(legs).chain(self.rest.recent.iter().cloned());
        let mut own: Vec<Row> = own.filter(|row| filter.holds(row)).collect();
        sort(&mut own, page.size + 1);
        let Some(mut known) = gathered(request, own, effects) else { return Ok(Done::Later) };
        sort(&mut known, page.size + 1);
        let limit = page.size + 1;
        let waiting = Waiting::Calls { ask: ask.clone(), page, known };
        self.wait(waiting, |effects| effects.load(store::calls(&filter, limit)), effects)
    }

    pub(super) fn delete_call(
        &mut self,
        ask: &Ask,
        sid: &str,
        effects: &mut Effects<'_>,
    ) -> Result<Done, No> {
        let lives = session_of(sid, "CA").is_some_and(|session| self.calls.contains_key(&session));
        if lives || self.known_leg(sid).is_some() {
            let words = "The call has not ended: end it with Status=completed first";
            return Err(No::new(409, 20009, words));
        }
        let place = self.rest.recent.iter().position(|row| row.sid == sid);
        if let Some(row) = place.and_then(|place| self.rest.recent.remove(place)) {
            return self.forget(ask, &row, effects);
        }
        let waiting = Waiting::Forget(ask.clone());
        self.wait(waiting, |effects| effects.load(store::call(sid)), effects)
    }

    pub(super) fn forget_call(
        &mut self,
        ask: &Ask,
        rows: &[Cells],
        effects: &mut Effects<'_>,
    ) -> Result<Done, No> {
        let row = rows.first().and_then(store::call_of);
        let row = row.ok_or_else(|| No::missing(&say::base(ask)))?;
        self.forget(ask, &row, effects)
    }

    fn forget(&mut self, ask: &Ask, row: &Row, effects: &mut Effects<'_>) -> Result<Done, No> {
        let waiting = Waiting::Change { ask: ask.clone(), answer: ApiResponse::empty(204) };
        self.wait(waiting, |effects| effects.write(store::forget_call(row)), effects)
    }
}

/// A call of the store.
pub(super) fn found(ask: &Ask, rows: &[Cells], effects: &Effects<'_>) -> Result<Done, No> {
    let row = rows.first().and_then(store::call_of);
    let row = row.ok_or_else(|| No::missing(&say::base(ask)))?;
    Ok(shown(200, "Call", &row.json(&effects.apps().sid), ask.form))
}

/// A page of calls of all shards and of the store.
pub(super) fn listed(
    ask: &Ask,
    page: &Page,
    mut known: Vec<Row>,
    rows: &[Cells],
    effects: &Effects<'_>,
) -> Done {
    known.extend(rows.iter().filter_map(store::call_of));
    sort(&mut known, page.size + 1);
    let more = known.len() > page.size;
    known.truncate(page.size);
    let mark = known.last().filter(|_| more).map(Row::mark);
    let account = &effects.apps().sid;
    let shown = known.iter().map(|row| row.json(account)).collect();
    Done::Now(say::list(ask, CALLS, page, shown, mark.as_deref()))
}

/// Newest first, each once: what a shard knows comes before what the store has.
fn sort(rows: &mut Vec<Row>, most: usize) {
    rows.sort_by(|a, b| (b.began, &b.sid).cmp(&(a.began, &a.sid)));
    rows.dedup_by(|later, earlier| later.sid == earlier.sid);
    rows.truncate(most);
}

fn filter(ask: &Ask, page: &Page) -> Result<Filter, No> {
    let own = |name: &str| ask.text(name).unwrap_or_default().to_owned();
    let status = own("Status");
    if !status.is_empty() && !STATES.contains(&status.as_str()) {
        let words = format!("Status is {status}, and should be one of {}", STATES.join(", "));
        return Err(No::invalid(20422, words));
    }
    let before = Row::unmark(&page.after);
    let before = before.ok_or_else(|| {
        No::invalid(20001, "PageToken is none of ours: take next_page_uri as it is")
    })?;
    Ok(Filter {
        to: own("To"),
        from: own("From"),
        parent: own("ParentCallSid"),
        status,
        start: ask.span("StartTime"),
        end: ask.span("EndTime"),
        before,
    })
}
