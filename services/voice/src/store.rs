//! The SQL of this room: calls that are over, and the small things that apps make by the API.

use switchboard::store::{Batch, Entry, Migration, Query, Row as Cells, Statement, Value, kinds};
use types::{UnixTime, tagged};

use crate::rest::row::Row;

/// The schema.
pub const MIGRATIONS: &[Migration] = &[Migration {
    name: "0001_calls",
    sqlite: include_str!("../migrations/0001_calls.sqlite.sql"),
    postgres: include_str!("../migrations/0001_calls.postgres.sql"),
}];

/// Tables and views of the schema.
pub const TABLES: &[&str] = &["voice_calls", "v_program_calls", "voice_things"];

/// The tag of a call's row in the record of a call.
pub const ROW: u8 = 60;

/// What a list of calls is narrowed to; empty texts do not narrow it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Called.
    pub to: String,
    /// Calling.
    pub from: String,
    /// The call that it is a part of.
    pub parent: String,
    /// How it stands.
    pub status: String,
    /// When it began: from, until (not included).
    pub start: (UnixTime, UnixTime),
    /// When it ended.
    pub end: (UnixTime, UnixTime),
    /// Only those before this one, newest first.
    pub before: (UnixTime, String),
}

impl Filter {
    /// Whether a call is in it.
    pub fn holds(&self, row: &Row) -> bool {
        let fits = |wanted: &str, text: &str| wanted.is_empty() || wanted == text;
        let within = |(from, until): (UnixTime, UnixTime), at: UnixTime| from <= at && at < until;
        fits(&self.to, &row.to)
            && fits(&self.from, &row.from)
            && fits(&self.parent, &row.parent)
            && fits(&self.status, &row.status)
            && within(self.start, row.start())
            // What has not ended has ended at no time.
            && within(self.end, row.ended.unwrap_or_default())
            && (row.began, &row.sid) < (self.before.0, &self.before.1)
    }
}

/// Calls that are over, newest first.
pub fn calls(filter: &Filter, limit: usize) -> Query {
    Query {
        sql: "select body from v_program_calls \
              where (?1 = '' or to_text = ?1) and (?2 = '' or from_text = ?2) \
              and (?3 = '' or parent_sid = ?3) and (?4 = '' or status = ?4) \
              and start_at >= ?5 and start_at < ?6 and ended_at >= ?7 and ended_at < ?8 \
              and (began_at < ?9 or (began_at = ?9 and sid < ?10)) \
              order by began_at desc, sid desc limit ?11",
        values: vec![
            filter.to.as_str().into(),
            filter.from.as_str().into(),
            filter.parent.as_str().into(),
            filter.status.as_str().into(),
            filter.start.0.into(),
            filter.start.1.into(),
            filter.end.0.into(),
            filter.end.1.into(),
            filter.before.0.into(),
            filter.before.1.as_str().into(),
            (limit as i64).into(),
        ],
    }
}

/// One call that is over.
pub fn call(sid: &str) -> Query {
    Query { sql: "select body from v_program_calls where sid = ?1", values: vec![sid.into()] }
}

/// A call is not shown any more, also when its row is yet to come.
pub fn forget_call(row: &Row) -> Batch {
    let mut statement = insert(row, true);
    statement.sql = "insert into voice_calls (sid, parent_sid, from_text, to_text, status, direction, \
                     began_at, start_at, ended_at, body, gone) \
                     values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) \
                     on conflict (sid) do update set gone = 1, body = excluded.body";
    Batch { statements: vec![statement] }
}

/// The rows of a call that is over. Entries of other things give none.
pub fn project(entry: &Entry) -> Vec<Statement> {
    if entry.kind != kinds::SESSION || !entry.last {
        return Vec::new();
    }
    let record = tagged::Reader::new(&entry.body).find(|(tag, _)| *tag == 2);
    let Some((_, record)) = record else { return Vec::new() };
    let rows = tagged::Reader::new(record.0).filter(|(tag, _)| *tag == ROW);
    rows.filter_map(|(_, row)| Row::decode(row.0)).map(|row| insert(&row, false)).collect()
}

fn insert(row: &Row, gone: bool) -> Statement {
    let body = if gone { String::new() } else { row.text() };
    Statement {
        // A log that is read twice gives the same row.
        sql: "insert into voice_calls (sid, parent_sid, from_text, to_text, status, direction, \
              began_at, start_at, ended_at, body, gone) \
              values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) on conflict (sid) do nothing",
        values: vec![
            clean(&row.sid),
            clean(&row.parent),
            clean(&row.from),
            clean(&row.to),
            clean(&row.status),
            clean(&row.direction),
            row.began.into(),
            row.start().into(),
            row.ended.unwrap_or(row.began).into(),
            clean(&body),
            i64::from(gone).into(),
        ],
        expect: None,
    }
}

/// PostgreSQL takes no NUL in a text, and one hostile name must not stop the projection.
fn clean(text: &str) -> Value {
    Value::Text(text.replace('\0', " "))
}

/// A row of [`calls`] and [`call`].
pub fn call_of(cells: &Cells) -> Option<Row> {
    let [body] = cells.as_slice() else { return None };
    Row::read(body.text()?)
}

/// Something small that apps make, and that lasts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Thing {
    /// What it is: `application`, `recording`, …
    pub kind: &'static str,
    /// Its name for apps.
    pub sid: String,
    /// What it belongs to; may be empty.
    pub owner: String,
    /// Its name for people; may be empty.
    pub name: String,
    /// What else is known of it, as JSON.
    pub body: String,
    /// When it was made.
    pub made: UnixTime,
    /// When it was changed last.
    pub updated: UnixTime,
}

/// One thing.
pub fn thing(kind: &'static str, sid: &str) -> Query {
    Query {
        sql: "select sid, owner, name, body, made_at, updated_at from voice_things \
              where kind = ?1 and sid = ?2",
        values: vec![kind.into(), sid.into()],
    }
}

/// What a list of things is narrowed to; empty texts do not narrow it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// What they belong to.
    pub owner: String,
    /// What they are called.
    pub name: String,
    /// When they were made: from, until (not included).
    pub made: (UnixTime, UnixTime),
    /// When they were changed last.
    pub updated: (UnixTime, UnixTime),
    /// Only those before this one, newest first.
    pub before: (UnixTime, String),
}

impl Default for Wanted {
    fn default() -> Self {
        let ever = (UnixTime(0), UnixTime(i64::MAX as u64));
        let before = (ever.1, String::new());
        Self { owner: String::new(), name: String::new(), made: ever, updated: ever, before }
    }
}

/// Things of a kind, newest first.
pub fn things(kind: &'static str, wanted: &Wanted, limit: usize) -> Query {
    Query {
        sql: "select sid, owner, name, body, made_at, updated_at from voice_things \
              where kind = ?1 and (?2 = '' or owner = ?2) and (?3 = '' or name = ?3) \
              and made_at >= ?4 and made_at < ?5 and updated_at >= ?6 and updated_at < ?7 \
              and (made_at < ?8 or (made_at = ?8 and sid < ?9)) \
              order by made_at desc, sid desc limit ?10",
        values: vec![
            kind.into(),
            wanted.owner.as_str().into(),
            wanted.name.as_str().into(),
            wanted.made.0.into(),
            wanted.made.1.into(),
            wanted.updated.0.into(),
            wanted.updated.1.into(),
            wanted.before.0.into(),
            wanted.before.1.as_str().into(),
            (limit as i64).into(),
        ],
    }
}

/// How many calls ended in each way on each day (of their answer) and how many minutes they had, and how many recordings and
/// messages were made: what it is, the day since 1970, how many, minutes.
pub fn usage((from, until): (UnixTime, UnixTime), limit: usize) -> Query {
    Query {
        sql: "select direction as what, start_at / 86400000000 as day, count(*) as times, \
              cast(sum(case when status = 'completed' then (ended_at - start_at + 59999999) / 60000000 \
              else 0 end) as bigint) as minutes \
              from voice_calls where start_at >= ?1 and start_at < ?2 group by 1, 2 \
              union all select kind, made_at / 86400000000, count(*), cast(0 as bigint) \
              from voice_things where kind in ('message', 'recording') \
              and made_at >= ?1 and made_at < ?2 group by 1, 2 \
              order by 2 desc, 1 desc limit ?3",
        values: vec![from.into(), until.into(), (limit as i64).into()],
    }
}

/// Makes or changes a thing; one that was changed later undoes it.
pub fn put(thing: &Thing) -> Batch {
    one(
        "insert into voice_things (kind, sid, owner, name, body, made_at, updated_at) \
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7) on conflict (kind, sid) do update set \
         owner = excluded.owner, name = excluded.name, body = excluded.body, updated_at = excluded.updated_at \
         where excluded.updated_at >= voice_things.updated_at",
        vec![
            thing.kind.into(),
            thing.sid.as_str().into(),
            clean(&thing.owner),
            clean(&thing.name),
            clean(&thing.body),
            thing.made.into(),
            thing.updated.into(),
        ],
    )
}

/// The same, but nothing newer is replaced: rows that had to wait may be made in another order than they were said.
pub fn put_in_order(thing: &Thing) -> Batch {
    let mut batch = put(thing);
    for statement in &mut batch.statements {
        statement.expect = None;
    }
    batch
}

/// How long that is kept which nobody has to delete: notifications, and events of calls.
pub const KEPT: std::time::Duration = std::time::Duration::from_secs(30 * 86_400);

/// Makes a thing that is kept for [`KEPT`]; older ones of its kind go.
pub fn put_for_now(thing: &Thing) -> Batch {
    let mut batch = put(thing);
    let until = thing.made.0.saturating_sub(KEPT.as_micros() as u64);
    batch.statements.push(Statement {
        sql: "delete from voice_things where kind = ?1 and made_at < ?2",
        values: vec![thing.kind.into(), UnixTime(until).into()],
        expect: None,
    });
    batch
}

/// A thing goes; one that is not there undoes it.
pub fn drop_thing(kind: &'static str, sid: &str) -> Batch {
    one("delete from voice_things where kind = ?1 and sid = ?2", vec![kind.into(), sid.into()])
}

fn one(sql: &'static str, values: Vec<Value>) -> Batch {
    Batch { statements: vec![Statement { sql, values, expect: Some(1) }] }
}

/// A row of [`thing`] and [`things`].
pub fn thing_of(kind: &'static str, cells: &Cells) -> Option<Thing> {
    let [sid, owner, name, body, made, updated] = cells.as_slice() else { return None };
    let own = |value: &Value| value.text().map(str::to_owned);
    let time = |value: &Value| Some(UnixTime(u64::try_from(value.int()?).ok()?));
    Some(Thing {
        kind,
        sid: own(sid)?,
        owner: own(owner)?,
        name: own(name)?,
        body: own(body)?,
        made: time(made)?,
        updated: time(updated)?,
    })
}
