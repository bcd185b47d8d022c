//! The SQL of this room.

use switchboard::group::{Group, Kind};
use switchboard::store::{Batch, Migration, Query, Row, Statement, Value};
use types::UnixTime;

/// The schema.
pub const MIGRATIONS: &[Migration] = &[Migration {
    name: "0001_groups",
    sqlite: include_str!("../migrations/0001_groups.sqlite.sql"),
    postgres: include_str!("../migrations/0001_groups.postgres.sql"),
}];

/// Tables and views of the schema.
pub const TABLES: &[&str] = &["groups_groups", "v_groups"];

/// Rows of one page while everything is read.
pub const PAGE: usize = 500;

/// Groups behind `after`, by name.
pub fn groups(after: &str) -> Query {
    Query {
        sql: "select name, body from groups_groups where name > ?1 order by name limit ?2",
        values: vec![after.into(), (PAGE as i64).into()],
    }
}

/// Makes or replaces a group.
pub fn put(group: &Group, unix: UnixTime) -> Batch {
    let kind = match group.kind {
        Kind::Ring => "ring",
        Kind::Shared => "shared",
        Kind::Talk => "talk",
    };
    one(
        "insert into groups_groups (name, kind, display_name, number, body, created_at, updated_at) \
         values (?1, ?2, ?3, ?4, ?5, ?6, ?6) on conflict (name) do update set \
         kind = excluded.kind, display_name = excluded.display_name, number = excluded.number, \
         body = excluded.body, updated_at = excluded.updated_at",
        vec![
            group.name.as_str().into(),
            kind.into(),
            group.display_name.as_str().into(),
            group.number.as_str().into(),
            serde_json::to_string(group).unwrap_or_default().into(),
            unix.into(),
        ],
    )
}

/// Deletes a group.
pub fn remove(name: &str) -> Batch {
    one("delete from groups_groups where name = ?1", vec![name.into()])
}

/// The group of a row of [`groups`].
pub fn group_of(row: &Row) -> Option<Group> {
    let [name, body] = row.as_slice() else { return None };
    let mut body: serde_json::Value = serde_json::from_str(body.text()?).ok()?;
    body.as_object_mut()?.remove("name");
    let group: Group = serde_json::from_value(body).ok()?;
    Some(Group { name: name.text()?.to_owned(), ..group })
}

fn one(sql: &'static str, values: Vec<Value>) -> Batch {
    Batch { statements: vec![Statement { sql, values, expect: Some(1) }] }
}
