//! All rows of one database into another: `store move`.
//!
//! Picture     tables of `from` --in the order of their keys, PAGE rows a commit--> the same tables of `to` --> both are
//!             read again and compared
//! Rules       The target is empty, or it is a copy of the same source that did not come to its end: that one goes on behind
//!             its last row. While it is being copied no server opens it. The source is only read. What is compared is
//!             every row of every table and view.
//! Limits      PAGE
//! Not here    That no server runs on the source: the folder's lock is the caller's business.
//! Spec        none

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use switchboard::store::{Batch, Migration, Query, Row, Statement, StoreFault, Value};

use crate::engine::Engine;
use crate::fault::Fault;
use crate::postgres::Postgres;
use crate::postgres::address::Address;
use crate::postgres::server::{Role, Server};
use crate::sql::Sqlite;

/// Rows of one commit.
const PAGE: usize = 500;

/// Among the applied migrations: this database is the target of a copy that has not ended. Its name is the source.
pub(crate) const MARK: &str = "store move";

/// The table of migrations: each side has its own.
const MIGRATIONS: &str = "applied_migration";

/// Where rows come from or go to.
#[derive(Clone, Debug)]
pub enum End {
    /// A SQLite file.
    File(PathBuf),
    /// A PostgreSQL database.
    Server(Address),
}

/// How far a copy is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Which table, or view while both sides are compared.
    pub name: String,
    /// Rows of it that are done, those of an earlier try among them.
    pub done: u64,
    /// Rows of it.
    pub all: u64,
    /// Whether both sides are being compared.
    pub comparing: bool,
}

/// What was copied and compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// Each table and view with its rows.
    pub rows: Vec<(String, u64)>,
    /// Rows that an earlier try had brought.
    pub found: u64,
}

/// A table or a view.
#[derive(Debug, PartialEq, Eq)]
struct Table {
    name: String,
    columns: Vec<String>,
    /// In the order of the key; empty for views.
    key: Vec<String>,
}

/// Count, and the sum of the hashes of all rows, which is the same in any order.
type Sum = (u64, [u64; 4]);

/// Copies everything and compares it.
pub fn copy(
    from: &End,
    to: &End,
    migrations: &[(&'static str, &'static [Migration])],
    mut tell: impl FnMut(&Progress),
) -> Result<Copied, Fault> {
    let mut source = Side::open(from, migrations, false)?;
    let mut target = Side::open(to, migrations, true)?;
    let (tables, views) = (source.tables()?, source.views()?);
    if target.tables()? != tables || target.views()? != views {
        return Err(Fault::SchemaDiffers { place: target.name });
    }
    if let Some(table) = tables.iter().find(|table| table.key.is_empty()) {
        return Err(Fault::NoKey { table: table.name.clone() });
    }
    target.claim(&source.name, &tables)?;
    let mut found = 0;
    for table in &tables {
        found += copy_table(&mut source, &mut target, table, &mut tell)?;
    }
    let mut rows = Vec::new();
    for table in tables.iter().chain(&views) {
        let (theirs, ours) = (source.sum(table)?, target.sum(table)?);
        if theirs != ours {
            return Err(Fault::CopyDiffers { name: table.name.clone() });
        }
        let (name, done) = (table.name.clone(), ours.0);
        tell(&Progress { name: name.clone(), done, all: done, comparing: true });
        rows.push((name, done));
    }
    target.release()?;
    Ok(Copied { rows, found })
}

/// Copies what is behind the last row of the target; gives the number of rows that were there.
fn copy_table(
    source: &mut Side,
    target: &mut Side,
    table: &Table,
    tell: &mut impl FnMut(&Progress),
) -> Result<u64, Fault> {
    let (all, there) = (source.count(table)?, target.count(table)?);
    let mut progress = Progress { name: table.name.clone(), done: there, all, comparing: false };
    tell(&progress);
    let (columns, key) = (table.columns.join(", "), table.key.join(", "));
    let marks = |from: usize, count: usize| {
        (from..from + count).map(|number| format!("?{number}")).collect::<Vec<_>>().join(", ")
    };
    let last = format!("select {key} from {} order by {}", table.name, backwards(&table.key));
    let last = target.ask(format!("{last} limit 1"), Vec::new())?.pop();
    let behind = match &last {
        Some(key_values) => format!(" where ({key}) > ({})", marks(1, key_values.len())),
        None => String::new(),
    };
    let page = format!("select {columns} from {}{behind} order by {key} limit {PAGE}", table.name);
    let first = kept(page);
    let next = kept(format!(
        "select {columns} from {} where ({key}) > ({}) order by {key} limit {PAGE}",
        table.name,
        marks(1, table.key.len())
    ));
    let insert = kept(format!(
        "insert into {} ({columns}) values ({})",
        table.name,
        marks(1, table.columns.len())
    ));
    let mut query = Query { sql: first, values: last.unwrap_or_default() };
    loop {
        let rows = source.query(&query)?;
        let Some(newest) = rows.last() else { return Ok(there) };
        let place = |name: &String| table.columns.iter().position(|column| column == name);
        let places = table.key.iter().filter_map(place);
        query = Query { sql: next, values: places.map(|place| newest[place].clone()).collect() };
        progress.done += rows.len() as u64;
        let statement = |values| Statement { sql: insert, values, expect: Some(1) };
        let written = target.write(rows.into_iter().map(statement).collect());
        written.map_err(|fault| match fault {
            Fault::Copy { place, fault } => {
                Fault::Copy { place: format!("{place} ({})", table.name), fault }
            }
            other => other,
        })?;
        tell(&progress);
    }
}

fn backwards(key: &[String]) -> String {
    key.iter().map(|column| format!("{column} desc")).collect::<Vec<_>>().join(", ")
}

/// Statements live as long as the program: there are a few for each table, and a copy is made once.
fn kept(sql: String) -> &'static str {
    Box::leak(sql.into_boxed_str())
}

/// One of the two, with the name by which people and the mark know it.
struct Side {
    engine: Engine,
    name: String,
}

impl Side {
    fn open(
        end: &End,
        migrations: &[(&'static str, &'static [Migration])],
        target: bool,
    ) -> Result<Self, Fault> {
        let (mut engine, name) = match end {
            End::File(path) => {
                if !target && !path.exists() {
                    return Err(Fault::NothingToCopy { place: path.display().to_string() });
                }
                let engine = Sqlite::open_marked(path, migrations, target)?;
                let whole = std::path::absolute(path).unwrap_or_else(|_| path.clone());
                (Engine::Sqlite(engine), file_name(&whole))
            }
            End::Server(address) => {
                let mut server = Server::new(address.clone(), migrations)?;
                server.may_be_marked = target;
                let mut engine = Postgres::new(Arc::new(server), Role::Writer)?;
                engine.open()?;
                (Engine::Postgres(Box::new(engine)), address.to_string())
            }
        };
        engine.take_time().map_err(|fault| Fault::Copy { place: name.clone(), fault })?;
        Ok(Self { engine, name })
    }

    fn query(&mut self, query: &Query) -> Result<Vec<Row>, Fault> {
        let found = self.engine.query(query);
        found.map_err(|fault| Fault::Copy { place: self.name.clone(), fault })
    }

    fn ask(&mut self, sql: String, values: Vec<Value>) -> Result<Vec<Row>, Fault> {
        self.query(&Query { sql: kept(sql), values })
    }

    fn write(&mut self, statements: Vec<Statement>) -> Result<(), Fault> {
        let done = self.engine.apply(&[Batch { statements }]).pop();
        done.unwrap_or(Err(StoreFault::Broken))
            .map_err(|fault| Fault::Copy { place: self.name.clone(), fault })
    }

    fn count(&mut self, table: &Table) -> Result<u64, Fault> {
        let rows = self.ask(format!("select count(*) from {}", table.name), Vec::new())?;
        let count = rows.first().and_then(|row| row.first()).and_then(Value::int);
        Ok(count.and_then(|count| u64::try_from(count).ok()).unwrap_or(0))
    }

    fn tables(&mut self) -> Result<Vec<Table>, Fault> {
        let (sqlite, postgres) = (
            "select t.name, c.name, c.pk from sqlite_master t join pragma_table_info(t.name) c \
             where t.type = 'table' and t.name not like 'sqlite%' order by t.name, c.cid",
            "select t.relname::text, a.attname::text, coalesce(array_position(k.conkey, a.attnum), 0)::bigint \
             from pg_class t join pg_attribute a on a.attrelid = t.oid and a.attnum > 0 and not a.attisdropped \
             left join pg_constraint k on k.conrelid = t.oid and k.contype = 'p' \
             where t.relkind = 'r' and t.relnamespace = (select oid from pg_namespace where nspname = current_schema()) \
             order by t.relname::text collate \"C\", a.attnum",
        );
        let mut tables = self.catalogue(sqlite, postgres)?;
        tables.retain(|table| table.name != MIGRATIONS);
        Ok(tables)
    }

    fn views(&mut self) -> Result<Vec<Table>, Fault> {
        self.catalogue(
            "select v.name, c.name, 0 from sqlite_master v join pragma_table_info(v.name) c \
             where v.type = 'view' order by v.name, c.cid",
            "select t.relname::text, a.attname::text, 0::bigint \
             from pg_class t join pg_attribute a on a.attrelid = t.oid and a.attnum > 0 \
             where t.relkind = 'v' and t.relnamespace = (select oid from pg_namespace where nspname = current_schema()) \
             order by t.relname::text collate \"C\", a.attnum",
        )
    }

    /// Rows of table, column and place in the key, counted from 1.
    fn catalogue(
        &mut self,
        sqlite: &'static str,
        postgres: &'static str,
    ) -> Result<Vec<Table>, Fault> {
        let sql = match self.engine {
            Engine::Postgres(_) => postgres,
            Engine::Sqlite(_) => sqlite,
        };
        let mut tables: Vec<(Table, Vec<(i64, String)>)> = Vec::new();
        for row in self.query(&Query { sql, values: Vec::new() })? {
            let [Value::Text(name), Value::Text(column), Value::Int(place)] = row.as_slice() else {
                continue;
            };
            if tables.last().is_none_or(|(table, _)| table.name != *name) {
                let table = Table { name: name.clone(), columns: Vec::new(), key: Vec::new() };
                tables.push((table, Vec::new()));
            }
            let Some((table, key)) = tables.last_mut() else { continue };
            table.columns.push(column.clone());
            if *place > 0 {
                key.push((*place, column.clone()));
            }
        }
        let whole = tables.into_iter().map(|(mut table, mut key)| {
            key.sort();
            table.key = key.into_iter().map(|(_, column)| column).collect();
            table
        });
        Ok(whole.collect())
    }

    fn sum(&mut self, table: &Table) -> Result<Sum, Fault> {
        let sql = kept(format!("select {} from {}", table.columns.join(", "), table.name));
        let mut sum: Sum = (0, [0; 4]);
        let mut take = |row: Row| {
            sum.0 += 1;
            let hash = hash(&row);
            for (part, octets) in sum.1.iter_mut().zip(hash.chunks_exact(8)) {
                let number = octets.iter().fold(0, |all, octet| all << 8 | u64::from(*octet));
                *part = part.wrapping_add(number);
            }
        };
        let done = self.engine.each(&Query { sql, values: Vec::new() }, &mut take);
        done.map_err(|fault| Fault::Copy { place: self.name.clone(), fault })?;
        Ok(sum)
    }

    /// Marks the target as being copied to, unless it holds anything else than a part of the same copy.
    fn claim(&mut self, source: &str, tables: &[Table]) -> Result<(), Fault> {
        let marked = format!("select name from {MIGRATIONS} where room = ?1");
        let marked = self.ask(marked, vec![MARK.into()])?;
        if let Some(known) = marked.first().and_then(|row| row.first()).and_then(Value::text) {
            return if known == source {
                Ok(())
            } else {
                Err(Fault::HalfMoved { place: self.name.clone(), from: known.to_owned() })
            };
        }
        for table in tables {
            if self.count(table)? > 0 {
                return Err(Fault::NotEmpty {
                    place: self.name.clone(),
                    table: table.name.clone(),
                });
            }
        }
        self.write(vec![Statement {
            sql: "insert into applied_migration (room, name, checksum) values (?1, ?2, 'copying')",
            values: vec![MARK.into(), source.into()],
            expect: Some(1),
        }])
    }

    fn release(&mut self) -> Result<(), Fault> {
        self.write(vec![Statement {
            sql: "delete from applied_migration where room = ?1",
            values: vec![MARK.into()],
            expect: Some(1),
        }])
    }
}

fn file_name(path: &Path) -> String {
    path.display().to_string()
}

/// Each value with its kind and its length, so that no two rows look alike.
fn hash(row: &Row) -> [u8; 32] {
    let mut sum = Sha256::new();
    for value in row {
        let (kind, octets): (u8, &[u8]) = match value {
            Value::Null => (0, &[]),
            Value::Int(number) => (1, &number.to_be_bytes()),
            Value::Text(text) => (2, text.as_bytes()),
            Value::Blob(octets) => (3, octets),
        };
        sum.update([kind]);
        sum.update((octets.len() as u64).to_be_bytes());
        sum.update(octets);
    }
    sum.finalize().into()
}
