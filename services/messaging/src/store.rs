//! The SQL of this room.

use serde_json::{Value as Json, json};
use switchboard::store::{Entry, Migration, Query, Row, Statement, Value, kinds};
use types::{UnixTime, tagged};

use crate::letter::Record;

/// The schema.
pub const MIGRATIONS: &[Migration] = &[Migration {
    name: "0001_messages",
    sqlite: include_str!("../migrations/0001_messages.sqlite.sql"),
    postgres: include_str!("../migrations/0001_messages.postgres.sql"),
}];

/// Tables and views of the schema.
pub const TABLES: &[&str] = &["messaging_messages", "v_messages"];

/// Messages that are over, to or from an address, newest first.
pub fn messages(address: &str, limit: u16) -> Query {
    Query {
        sql: "select message_id, from_uri, to_uri, content_type, size, sent_at, ended_at, outcome \
              from v_messages where to_uri = ?1 or from_uri = ?1 \
              order by sent_at desc, message_id desc limit ?2",
        values: vec![address.into(), i64::from(limit).into()],
    }
}

/// The row of a message that is over. Entries of other things give none.
pub fn project(entry: &Entry) -> Vec<Statement> {
    if entry.kind != kinds::SESSION || !entry.last {
        return Vec::new();
    }
    let record = tagged::Reader::new(&entry.body).find(|(tag, _)| *tag == 2);
    let Some(record) = record.and_then(|(_, record)| Record::decode(record.0)) else {
        return Vec::new();
    };
    vec![Statement {
        // A log that is read twice gives the same row.
        sql: "insert into messaging_messages (message_id, from_uri, to_uri, content_type, size, \
              sent_at, ended_at, outcome) values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) \
              on conflict (message_id) do nothing",
        values: vec![
            record.id.to_string().into(),
            clean(&record.from),
            clean(&record.to),
            clean(&record.content_type),
            i64::from(record.size).into(),
            record.sent.into(),
            record.ended.into(),
            clean(&record.outcome),
        ],
        expect: None,
    }]
}

/// PostgreSQL takes no NUL in a text, and one hostile name must not stop the projection.
fn clean(text: &str) -> Value {
    Value::Text(text.replace('\0', " "))
}

/// A row of [`messages`] as the API shows it.
pub fn show(row: &Row) -> Option<Json> {
    let [id, from, to, kind, size, sent, ended, outcome] = row.as_slice() else { return None };
    let time = |value: &Value| Some(UnixTime(u64::try_from(value.int()?).ok()?).to_string());
    Some(json!({
        "id": id.text()?,
        "from": from.text()?,
        "to": to.text()?,
        "content_type": kind.text()?,
        "size": size.int()?,
        "sent_at": time(sent)?,
        "ended_at": time(ended)?,
        "state": outcome.text()?,
    }))
}
