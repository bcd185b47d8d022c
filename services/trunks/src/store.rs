//! The SQL of this room: one table for all facts, one view per kind.

use switchboard::store::{Batch, Migration, Query, Row, Statement};
use types::UnixTime;

use crate::body::Fact;

/// The schema.
pub const MIGRATIONS: &[Migration] = &[Migration {
    name: "0001_trunks",
    sqlite: include_str!("../migrations/0001_trunks.sqlite.sql"),
    postgres: include_str!("../migrations/0001_trunks.postgres.sql"),
}];

/// Tables and views of the schema.
pub const TABLES: &[&str] = &["trunks_facts", "v_trunks", "v_numbers", "v_routes"];

/// Rows of one page while everything is read.
pub const PAGE: usize = 2_000;

/// Facts behind this one, by kind and name.
pub fn facts(kind: &str, name: &str) -> Query {
    Query {
        sql: "select kind, name, body, sealed from trunks_facts \
              where kind > ?1 or (kind = ?1 and name > ?2) order by kind, name limit ?3",
        values: vec![kind.into(), name.into(), (PAGE as i64).into()],
    }
}

/// Makes or changes a fact.
pub fn put(fact: &Fact, unix: UnixTime) -> Batch {
    let (body, sealed) = fact.stored();
    one(
        "insert into trunks_facts (kind, name, body, sealed, updated_at) values (?1, ?2, ?3, ?4, ?5) \
         on conflict (kind, name) do update set body = excluded.body, sealed = excluded.sealed, \
         updated_at = excluded.updated_at",
        vec![
            fact.kind().word().into(),
            fact.name().into(),
            body.into(),
            sealed.into(),
            unix.into(),
        ],
    )
}

/// A fact goes.
pub fn drop(kind: &'static str, name: &str) -> Batch {
    one("delete from trunks_facts where kind = ?1 and name = ?2", vec![kind.into(), name.into()])
}

fn one(sql: &'static str, values: Vec<switchboard::store::Value>) -> Batch {
    Batch { statements: vec![Statement { sql, values, expect: Some(1) }] }
}

/// A row of [`facts`]; `Err`: its kind and name, when they can be read.
pub fn fact_of(row: &Row) -> Option<Fact> {
    let [kind, name, body, sealed] = row.as_slice() else { return None };
    Fact::restore(kind.text()?, name.text()?, body.text()?, sealed.blob()?)
}
