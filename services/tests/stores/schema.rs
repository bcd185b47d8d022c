//! The two dialects of each step make the same schema.

use std::collections::BTreeSet;

use store::Engine;
use switchboard::store::{Query, Value};

use crate::engine::Place;

/// One line for each thing of a schema.
type Lines = BTreeSet<String>;

const SQLITE: [&str; 3] = [
    "select 'column', t.name, c.name, lower(c.type), \
     case when c.\"notnull\" or c.pk then 'not null' else '' end \
     from sqlite_master t join pragma_table_info(t.name) c where t.type = 'table'",
    "select 'view', v.name, c.name from sqlite_master v join pragma_table_info(v.name) c \
     where v.type = 'view'",
    "select 'index', t.name, case when i.\"unique\" then 'unique' else '' end, \
     (select group_concat(name) from (select c.name from pragma_index_info(i.name) c order by c.seqno)) \
     from sqlite_master t join pragma_index_list(t.name) i where t.type = 'table'",
];

const POSTGRES: [&str; 3] = [
    "select 'column', c.table_name::text, c.column_name::text, \
     case c.data_type when 'bigint' then 'integer' when 'bytea' then 'blob' \
     else c.data_type || case when c.collation_name = 'C' then '' else ' in the wrong order' end end, \
     case when c.is_nullable = 'NO' then 'not null' else '' end \
     from information_schema.columns c join information_schema.tables t \
     on t.table_schema = c.table_schema and t.table_name = c.table_name \
     where c.table_schema = current_schema() and t.table_type = 'BASE TABLE'",
    "select 'view', c.table_name::text, c.column_name::text from information_schema.columns c \
     join information_schema.views v on v.table_schema = c.table_schema and v.table_name = c.table_name \
     where c.table_schema = current_schema()",
    "select 'index', t.relname::text, case when i.indisunique then 'unique' else '' end, \
     (select string_agg(a.attname::text, ',' order by k.place) \
     from unnest(i.indkey) with ordinality k(number, place) \
     join pg_attribute a on a.attrelid = t.oid and a.attnum = k.number) \
     from pg_index i join pg_class t on t.oid = i.indrelid join pg_namespace n on n.oid = t.relnamespace \
     where n.nspname = current_schema()",
];

fn lines(engine: &mut Engine, questions: [&'static str; 3]) -> Lines {
    let rows = questions.into_iter().flat_map(|sql| {
        let found = engine.query(&Query { sql, values: Vec::new() });
        found.unwrap_or_else(|fault| panic!("{fault:?}: {sql}"))
    });
    let word = |value: Value| value.text().unwrap_or_default().to_owned();
    let line = |row: Vec<Value>| row.into_iter().map(word).collect::<Vec<_>>().join(" ");
    // A number as the key of a table is no index of its own in SQLite; only the projector has such a table.
    rows.map(line).filter(|line| !line.contains("keeper_position")).collect()
}

#[test]
fn every_table_view_and_index_is_the_same_on_both() {
    let sqlite = lines(&mut Place::file().engine(), SQLITE);
    let postgres = lines(&mut Place::server().engine(), POSTGRES);
    let only = |one: &Lines, other: &Lines| one.difference(other).cloned().collect::<Vec<_>>();
    assert_eq!(only(&sqlite, &postgres), Vec::<String>::new(), "only in SQLite");
    assert_eq!(only(&postgres, &sqlite), Vec::<String>::new(), "only in PostgreSQL");
    assert!(sqlite.len() > 80, "{}", sqlite.len());
    for room in services::manifests() {
        for table in room.tables {
            let has = |line: &String| line.split(' ').nth(1) == Some(table);
            assert!(sqlite.iter().any(has), "{}: {table}", room.name);
        }
    }
}
