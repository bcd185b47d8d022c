//! The stores that are asked.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cluster::Cluster;
use store::postgres::Postgres;
use store::postgres::server::{Role, Server};
use store::sql::MEMORY;
use store::{Absent, Address, Engine, Fault, Sqlite, Store};
use switchboard::store::{Batch, Migration, Query, Row, Statement, Value};
use tempfile::TempDir;

/// No answer takes longer than this.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The rooms of one schema.
pub type Rooms<'a> = &'a [(&'static str, &'static [Migration])];

/// A database that can be opened again and again.
pub struct Place {
    kind: Kind,
    _cluster: Option<Arc<Cluster>>,
    _folder: Option<TempDir>,
}

enum Kind {
    File(PathBuf),
    Memory,
    Server(String),
}

impl Place {
    /// One of each kind, empty.
    pub fn all() -> Vec<Self> {
        let mut all = Self::lasting();
        all.push(Self::memory());
        all
    }

    /// Those that keep something.
    pub fn lasting() -> Vec<Self> {
        let folder = tempfile::tempdir().unwrap();
        let file = Kind::File(folder.path().join("db"));
        vec![Self { kind: file, _cluster: None, _folder: Some(folder) }, Self::server()]
    }

    pub fn memory() -> Self {
        Self { kind: Kind::Memory, _cluster: None, _folder: None }
    }

    pub fn server() -> Self {
        let cluster = Cluster::shared();
        Self { kind: Kind::Server(cluster.database()), _cluster: Some(cluster), _folder: None }
    }

    pub fn open(&self, rooms: Rooms<'_>) -> Result<Store, Fault> {
        match &self.kind {
            Kind::File(path) => Store::open(path, rooms),
            Kind::Memory => Store::open(MEMORY, rooms),
            Kind::Server(address) => {
                Store::open_postgres(Address::parse(address).unwrap(), rooms, Absent::Refuse)
            }
        }
    }

    /// The writer's engine, without threads.
    pub fn engine(&self, rooms: Rooms<'_>) -> Engine {
        match &self.kind {
            Kind::File(path) => Engine::Sqlite(Sqlite::open(path, rooms).unwrap()),
            Kind::Memory => Engine::Sqlite(Sqlite::open(MEMORY, rooms).unwrap()),
            Kind::Server(address) => {
                let server = Server::new(Address::parse(address).unwrap(), rooms).unwrap();
                let mut engine = Postgres::new(Arc::new(server), Role::Writer).unwrap();
                engine.open().unwrap();
                Engine::Postgres(Box::new(engine))
            }
        }
    }
}

/// A change of one row.
pub fn change(sql: &'static str, values: Vec<Value>) -> Statement {
    Statement { sql, values, expect: Some(1) }
}

pub fn batch(statements: Vec<Statement>) -> Batch {
    Batch { statements }
}

pub fn ask(sql: &'static str) -> Query {
    Query { sql, values: vec![] }
}

/// The first column, of numbers.
pub fn numbers(rows: &[Row]) -> Vec<i64> {
    rows.iter().map(|row| row[0].int().unwrap()).collect()
}
