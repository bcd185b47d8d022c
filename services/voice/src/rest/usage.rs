//! What was used, counted from calls that are over, recordings and messages: by day, month, year, or all of it.
//!
//! Rules       Calls are counted under the day of their answer, in whole minutes begun, as carriers count; those without an
//!             answer have none. Deleted calls count; deleted recordings and messages do not. Nothing has a price.
//! Limits      [`ROWS_MAX`] sums of the store for one request; what is older than those is not counted.
//! Spec        programmable-voice §6.2 (`/Usage/Records`)

use std::collections::BTreeMap;

use serde_json::{Value, json};
use switchboard::Effects;
use switchboard::store::Row as Cells;
use types::UnixTime;

use super::ask::Ask;
use super::conferences::paged;
use super::say::{Named, No, Page};
use super::{Done, Waiting};
use crate::Room;
use crate::store;

const RECORDS: Named = Named { key: "usage_records", one: "UsageRecord" };
/// Sums of the store, one for each day, direction and end of calls.
pub const ROWS_MAX: usize = 20_000;
const DAY: u64 = 86_400_000_000;

/// What is counted: its name, what it is for people, and its unit; those with minutes are calls.
const CATEGORIES: [(&str, &str, &str); 6] = [
    ("calls", "Voice calls", "calls"),
    ("calls-inbound", "Calls to our numbers", "calls"),
    ("calls-outbound", "Calls that apps and programs made", "calls"),
    ("recordings", "Recordings", "recordings"),
    ("sms", "Messages", "messages"),
    ("sms-outbound", "Messages that apps sent", "messages"),
];

/// What is summed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Span {
    All,
    Day,
    Month,
    Year,
}

impl Room {
    /// `/Usage/Records` and its parts.
    pub(super) fn usage(
        &mut self,
        ask: &Ask,
        rest: &[&str],
        effects: &mut Effects<'_>,
    ) -> Result<Done, No> {
        if ask.method != "GET" {
            return Err(super::method_not_allowed(ask));
        }
        let page = Page::of(ask)?;
        let today = effects.unix().0 / DAY;
        let this_month = month_of(today);
        let last_month = month_of(this_month.0.saturating_sub(1));
        let (span, (from, until)) = match rest {
            ["Records"] | ["Records", "AllTime"] => (Span::All, asked(ask)?),
            ["Records", "Daily"] => (Span::Day, asked(ask)?),
            ["Records", "Monthly"] => (Span::Month, asked(ask)?),
            ["Records", "Yearly"] => (Span::Year, asked(ask)?),
            ["Records", "Today"] => (Span::All, (today, today + 1)),
            ["Records", "Yesterday"] => (Span::All, (today.saturating_sub(1), today)),
            ["Records", "ThisMonth"] => (Span::All, this_month),
            ["Records", "LastMonth"] => (Span::All, last_month),
            _ => return Err(No::not_offered("What is not counted of Usage")),
        };
        let moment = |day: u64| UnixTime(day.saturating_mul(DAY).min(i64::MAX as u64));
        let load = store::usage((moment(from), moment(until)), ROWS_MAX);
        let waiting = Waiting::Usage { ask: ask.clone(), page, span, days: (from, until) };
        self.wait(waiting, |effects| effects.load(load), effects)
    }
}

/// From which day until which one (not included).
fn asked(ask: &Ask) -> Result<(u64, u64), No> {
    let day = |name: &str| match ask.text(name) {
        None => Ok(None),
        Some(text) => {
            let moment = UnixTime::parse(&format!("{text}T00:00:00Z"));
            let moment = moment.filter(|_| text.len() == 10).ok_or_else(|| {
                let words = format!("{name} is {text}, and should be a day: YYYY-MM-DD");
                No::invalid(20001, words)
            })?;
            Ok(Some(moment.0 / DAY))
        }
    };
    let until = day("EndDate")?.map_or(u64::MAX / DAY, |day| day + 1);
    Ok((day("StartDate")?.unwrap_or(0), until))
}

/// The first day of the month of a day, and the first one after it.
fn month_of(day: u64) -> (u64, u64) {
    let month = |day: u64| date(day).get(..7).map(str::to_owned);
    let own = month(day);
    let first = (0..31).map(|back| day.saturating_sub(back)).take_while(|day| month(*day) == own);
    let first = first.last().unwrap_or(day);
    let last = (first..first + 31).take_while(|day| month(*day) == own).last().unwrap_or(first);
    (first, last + 1)
}

fn date(day: u64) -> String {
    let text = UnixTime(day.saturating_mul(DAY)).to_string();
    text.get(..10).unwrap_or_default().to_owned()
}

/// Count and minutes, by first day (not known: none) and last day, and category.
type Sums = BTreeMap<(u64, u64, usize), (u64, u64)>;

fn sums(rows: &[Cells], span: Span) -> Sums {
    let mut sums = Sums::new();
    for row in rows {
        let [what, day, count, minutes] = row.as_slice() else { continue };
        let number = |cell: &switchboard::store::Value| {
            cell.int().and_then(|number| u64::try_from(number).ok()).unwrap_or(0)
        };
        let (day, count, minutes) = (number(day), number(count), number(minutes));
        let days = match span {
            Span::All => (0, 0),
            Span::Day => (day, day),
            Span::Month => {
                let (first, after) = month_of(day);
                (first, after - 1)
            }
            Span::Year => year_of(day),
        };
        let places: &[usize] = match what.text() {
            Some("inbound") => &[0, 1],
            Some("recording") => &[3],
            Some("message") => &[4, 5],
            Some(_) | None => &[0, 2],
        };
        for place in places {
            let sum = sums.entry((days.0, days.1, *place)).or_default();
            *sum = (sum.0 + count, sum.1 + minutes);
        }
    }
    sums
}

fn year_of(day: u64) -> (u64, u64) {
    let text = date(day);
    let year = text.get(..4).unwrap_or("1970");
    let at = |rest: &str| {
        UnixTime::parse(&format!("{year}{rest}T00:00:00Z")).map_or(day, |moment| moment.0 / DAY)
    };
    (at("-01-01"), at("-12-31"))
}

/// The sums of the store, newest first.
pub(super) fn found(
    (ask, page): (&Ask, &Page),
    (span, days): (Span, (u64, u64)),
    rows: &[Cells],
    effects: &Effects<'_>,
) -> Done {
    let mut sums = sums(rows, span);
    if span == Span::All {
        // All is shown, also what was not used.
        for place in 0..CATEGORIES.len() {
            sums.entry((0, 0, place)).or_default();
        }
    }
    let now = effects.unix();
    let wanted = ask.text("Category");
    let today = now.0 / DAY;
    let row = |((first, last, place), (count, minutes)): ((u64, u64, usize), (u64, u64))| {
        let (name, words, unit) = CATEGORIES.get(place)?;
        if wanted.is_some_and(|wanted| wanted != *name) {
            return None;
        }
        let (first, last) = match span {
            Span::All => (days.0, days.1.saturating_sub(1).min(today)),
            Span::Day | Span::Month | Span::Year => (first, last),
        };
        let calls = *unit == "calls";
        Some(record((name, words, unit), (first, last), (count, minutes, calls), effects))
    };
    let rows: Vec<Value> = sums.into_iter().rev().filter_map(row).collect();
    paged(ask, RECORDS, page, rows)
}

/// Spec: the vendor's description (`api.v2010.account.usage.usage_record`)
fn record(
    (name, words, unit): (&str, &str, &str),
    (first, last): (u64, u64),
    (count, minutes, calls): (u64, u64, bool),
    effects: &Effects<'_>,
) -> Value {
    let account = &effects.apps().sid;
    let base = format!("/2010-04-01/Accounts/{account}/Usage/Records");
    let part = |part: &str| json!(format!("{base}/{part}.json?Category={name}"));
    json!({
        "account_sid": account,
        "api_version": crate::call::VERSION,
        "as_of": effects.unix().to_string(),
        "category": name,
        "count": count.to_string(),
        "count_unit": unit,
        "description": words,
        "end_date": date(last),
        "price": null,
        "price_unit": null,
        "start_date": date(first),
        "subresource_uris": {
            "all_time": part("AllTime"),
            "daily": part("Daily"),
            "last_month": part("LastMonth"),
            "monthly": part("Monthly"),
            "this_month": part("ThisMonth"),
            "today": part("Today"),
            "yearly": part("Yearly"),
            "yesterday": part("Yesterday"),
        },
        "uri": format!("{base}.json?Category={name}&StartDate={}&EndDate={}", date(first), date(last)),
        "usage": if calls { minutes } else { count }.to_string(),
        "usage_unit": if calls { "minutes" } else { unit },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use switchboard::store::Value as Cell;

    #[test]
    fn days_make_months_and_years() {
        let day = |text: &str| UnixTime::parse(&format!("{text}T00:00:00Z")).unwrap().0 / DAY;
        let (first, after) = month_of(day("2028-02-29"));
        assert_eq!((date(first), date(after)), ("2028-02-01".into(), "2028-03-01".into()));
        let (first, last) = year_of(day("2026-11-22"));
        assert_eq!((date(first), date(last)), ("2026-01-01".into(), "2026-12-31".into()));
        assert_eq!(month_of(0).0, 0);
        let row = |what: &str, at: &str, count, minutes| {
            let cell = Cell::Text(what.to_owned());
            vec![cell, Cell::Int(day(at) as i64), Cell::Int(count), Cell::Int(minutes)]
        };
        let rows = [
            row("inbound", "2026-10-31", 2, 3),
            row("outbound-dial", "2026-11-01", 1, 1),
            row("inbound", "2026-11-22", 4, 9),
            row("recording", "2026-11-22", 5, 0),
            vec![Cell::Int(1)],
        ];
        let months = sums(&rows, Span::Month);
        let november = month_of(day("2026-11-05"));
        let at = |place| months[&(november.0, november.1 - 1, place)];
        assert_eq!((at(0), at(1), at(2), at(3)), ((5, 10), (4, 9), (1, 1), (5, 0)));
        assert_eq!(sums(&rows, Span::All)[&(0, 0, 0)], (7, 13));
        assert_eq!(sums(&rows, Span::Day).len(), 7);
        assert_eq!(sums(&rows, Span::Year).len(), 4);
    }
}
