//! A real engine behind a house that lives by script.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use cluster::Cluster;
use driver::Database;
use store::postgres::Postgres;
use store::postgres::server::{Role, Server};
use store::{Address, Engine, Sqlite};
use switchboard::store::{Batch, Entry, Migration, Query, Row, StoreFault};
use tempfile::TempDir;

/// A database that houses can be opened on, one after the other.
pub struct Place {
    kind: Kind,
    _cluster: Option<Arc<Cluster>>,
    _folder: Option<TempDir>,
}

#[derive(Debug)]
enum Kind {
    File(PathBuf),
    Server(String),
}

impl Place {
    pub fn file() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let kind = Kind::File(folder.path().join("db"));
        Self { kind, _cluster: None, _folder: Some(folder) }
    }

    pub fn server() -> Self {
        let cluster = Cluster::shared();
        Self { kind: Kind::Server(cluster.database()), _cluster: Some(cluster), _folder: None }
    }

    pub fn engine(&self) -> Engine {
        match &self.kind {
            Kind::File(path) => Engine::Sqlite(Sqlite::open(path, &migrations()).unwrap()),
            Kind::Server(address) => {
                let address = Address::parse(address).unwrap();
                let server = Arc::new(Server::new(address, &migrations()).unwrap());
                let mut engine = Postgres::new(server, Role::Writer).unwrap();
                engine.open().unwrap();
                Engine::Postgres(Box::new(engine))
            }
        }
    }
}

/// Every step of every room, in the order of the corridor.
pub fn migrations() -> Vec<(&'static str, &'static [Migration])> {
    services::manifests().into_iter().map(|room| (room.name, room.migrations)).collect()
}

/// What the test sees and turns.
#[derive(Clone, Default)]
pub struct Panel {
    /// Whether the database is out of reach.
    pub lost: Rc<Cell<bool>>,
    /// Statements that it was asked.
    pub statements: Rc<RefCell<BTreeSet<&'static str>>>,
}

/// The database of a house.
pub struct Behind {
    pub engine: Engine,
    pub panel: Panel,
}

impl Behind {
    fn reach<T>(&self, sql: impl IntoIterator<Item = &'static str>, lost: T) -> Result<(), T> {
        self.panel.statements.borrow_mut().extend(sql);
        if self.panel.lost.get() { Err(lost) } else { Ok(()) }
    }
}

impl Database for Behind {
    fn query(&mut self, query: &Query) -> Result<Vec<Row>, StoreFault> {
        self.reach([query.sql], StoreFault::Unreachable)?;
        self.engine.query(query)
    }

    fn write(&mut self, batch: &Batch) -> Result<(), StoreFault> {
        self.reach(
            batch.statements.iter().map(|statement| statement.sql),
            StoreFault::Unreachable,
        )?;
        self.engine.apply(std::slice::from_ref(batch)).remove(0)
    }

    /// The rows of a thing that is over, as the projector would bring them.
    fn save(&mut self, entry: &Entry) {
        let rooms = services::manifests().into_iter().filter_map(|room| room.project);
        let statements: Vec<_> = rooms.flat_map(|project| project(entry)).collect();
        self.panel.statements.borrow_mut().extend(statements.iter().map(|statement| statement.sql));
        // Read twice, as after a crash.
        let batch = Batch { statements: [statements.clone(), statements].concat() };
        assert_eq!(self.engine.apply(&[batch]), [Ok(())]);
    }
}
