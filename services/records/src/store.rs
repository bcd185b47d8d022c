//! The SQL of this room.

use serde_json::{Value as Json, json};
use switchboard::facts::{guests_json, quality_json, recording_json};
use switchboard::notice::CallFacts;
use switchboard::store::{Entry, Migration, Query, Row, Statement, Value, kinds};
use types::{CallId, UnixTime, tagged};

/// The schema.
pub const MIGRATIONS: &[Migration] = &[
    Migration {
        name: "0001_records",
        sqlite: include_str!("../migrations/0001_records.sqlite.sql"),
        postgres: include_str!("../migrations/0001_records.postgres.sql"),
    },
    Migration {
        name: "0002_guests",
        sqlite: include_str!("../migrations/0002_guests.sqlite.sql"),
        postgres: include_str!("../migrations/0002_guests.postgres.sql"),
    },
    Migration {
        name: "0003_quality",
        sqlite: include_str!("../migrations/0003_quality.sqlite.sql"),
        postgres: include_str!("../migrations/0003_quality.postgres.sql"),
    },
    Migration {
        name: "0004_recordings",
        sqlite: include_str!("../migrations/0004_recordings.sqlite.sql"),
        postgres: include_str!("../migrations/0004_recordings.postgres.sql"),
    },
];

/// Tables and views of the schema.
pub const TABLES: &[&str] = &["records_calls", "v_calls"];

/// Calls that ended since a moment, newest first; those of one address when `address` is not empty.
pub fn calls(since: UnixTime, address: &str, limit: u16) -> Query {
    Query {
        sql: "select call_id, from_uri, to_uri, from_name, began_at, rang_at, answered_at, ended_at, \
              talk_seconds, outcome, hung_up_by, status, refusal, sip_call_id, guests, quality, recordings from \
              v_calls \
              where ended_at >= ?1 and (?2 = '' or from_uri = ?2 or to_uri = ?2) \
              order by ended_at desc, call_id desc limit ?3",
        values: vec![since.into(), address.into(), i64::from(limit).into()],
    }
}

/// The row of a call that is over. Entries of other things, and calls without a record, give none.
pub fn project(entry: &Entry) -> Vec<Statement> {
    if entry.kind != kinds::SESSION || !entry.last {
        return Vec::new();
    }
    let mut fields = tagged::Reader::new(&entry.body);
    let record = fields.find(|(tag, _)| *tag == 2);
    let Some(facts) = record.and_then(|(_, record)| CallFacts::decode(record.0)) else {
        return Vec::new();
    };
    vec![insert(&facts)]
}

fn insert(facts: &CallFacts) -> Statement {
    let time = |time: Option<UnixTime>| time.map_or(Value::Null, Value::from);
    Statement {
        // A log that is read twice gives the same row.
        sql: "insert into records_calls (call_id, from_uri, to_uri, from_name, began_at, rang_at, \
              answered_at, ended_at, outcome, hung_up_by, status, refusal, sip_call_id, guests, quality, recordings) \
              values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16) \
              on conflict (call_id) do nothing",
        values: vec![
            CallId(facts.session.0).to_string().into(),
            clean(&facts.from),
            clean(&facts.to),
            clean(&facts.from_name),
            facts.began.into(),
            time(facts.rang),
            time(facts.answered),
            facts.ended.unwrap_or(facts.began).into(),
            clean(&facts.outcome),
            clean(&facts.hung_up_by),
            i64::from(facts.status).into(),
            clean(&facts.refusal),
            clean(&facts.call_id),
            clean(&guests_json(facts).to_string()),
            clean(&quality_json(facts.quality.as_deref()).to_string()),
            clean(&Json::Array(facts.recordings.iter().map(recording_json).collect()).to_string()),
        ],
        expect: None,
    }
}

/// PostgreSQL takes no NUL in a text, and one hostile name must not stop the projection.
fn clean(text: &str) -> Value {
    Value::Text(text.replace('\0', " "))
}

/// A row of [`calls`] as the API shows it.
pub fn show(row: &Row) -> Option<Json> {
    let [
        id,
        from,
        to,
        from_name,
        began,
        rang,
        answered,
        ended,
        talk,
        outcome,
        hung_up_by,
        status,
        refusal,
        sip_call_id,
        guests,
        quality,
        recordings,
    ] = row.as_slice()
    else {
        return None;
    };
    Some(json!({
        "id": id.text()?,
        "from": from.text()?,
        "to": to.text()?,
        "from_name": from_name.text()?,
        "began_at": time(began),
        "rang_at": time(rang),
        "answered_at": time(answered),
        "ended_at": time(ended),
        "talk_seconds": talk.int()?,
        "outcome": outcome.text()?,
        "hung_up_by": hung_up_by.text()?,
        "status": status.int()?,
        "refusal": refusal.text()?,
        "sip_call_id": sip_call_id.text()?,
        "guests": serde_json::from_str::<Json>(guests.text()?).ok()?,
        "quality": serde_json::from_str::<Json>(quality.text()?).ok()?,
        "recordings": serde_json::from_str::<Json>(recordings.text()?).ok()?,
    }))
}

fn time(value: &Value) -> Option<String> {
    Some(UnixTime(u64::try_from(value.int()?).ok()?).to_string())
}
