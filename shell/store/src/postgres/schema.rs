//! The schema on a server: what was applied, and what is still to do.

use std::collections::BTreeMap;

use switchboard::store::Migration;
use tokio_postgres::{Client, Error};

use super::server::Server;
use super::session::fault;
use crate::fault::Fault;
use crate::projector;
use crate::sql::checksum;
use crate::transfer::MARK;

/// Texts are compared octet by octet, as in SQLite, whatever language the database sorts by.
const APPLIED: &str = "create table if not exists applied_migration (room text collate \"C\" not null, \
     name text collate \"C\" not null, checksum text collate \"C\" not null, primary key (room, name))";

/// Brings each room's schema up to date, in order, the projector's first. The lock is ours.
pub async fn bring_up(client: &Client, server: &Server) -> Result<(), Fault> {
    client.batch_execute(APPLIED).await.map_err(|error| fault(server, &error))?;
    if !server.may_be_marked {
        let marked = "select name from applied_migration where room = $1";
        let marked =
            client.query_opt(marked, &[&MARK]).await.map_err(|error| fault(server, &error))?;
        if let Some(mark) = marked {
            return Err(Fault::HalfMoved { place: server.address.to_string(), from: mark.get(0) });
        }
    }
    let own = [(projector::ROOM, projector::MIGRATIONS)];
    for (room, steps) in own.iter().chain(&server.migrations) {
        migrate(client, server, room, steps).await?;
    }
    Ok(())
}

async fn migrate(
    client: &Client,
    server: &Server,
    room: &'static str,
    steps: &[Migration],
) -> Result<(), Fault> {
    let fault = |error: Error| fault(server, &error);
    let known = "select name, checksum from applied_migration where room = $1";
    let rows = client.query(known, &[&room]).await.map_err(fault)?;
    let mut applied: BTreeMap<String, String> =
        rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    for step in steps {
        let checksum = checksum(step.postgres);
        match applied.get(step.name) {
            Some(known) if *known == checksum => continue,
            Some(_) => return Err(Fault::MigrationChanged { room, name: step.name }),
            None => {}
        }
        if applied.last_key_value().is_some_and(|(newest, _)| newest.as_str() > step.name) {
            return Err(Fault::MigrationOrder { room, name: step.name });
        }
        migrate_once(client, room, step, &checksum).await.map_err(fault)?;
        tracing::info!(room, name = step.name, "migration_applied");
        applied.insert(step.name.to_owned(), checksum);
    }
    Ok(())
}

/// What fails here loses its session, and with it the transaction.
async fn migrate_once(
    client: &Client,
    room: &str,
    step: &Migration,
    checksum: &str,
) -> Result<(), Error> {
    client.batch_execute("begin; set local statement_timeout = 0").await?;
    client.batch_execute(step.postgres).await?;
    let note = "insert into applied_migration (room, name, checksum) values ($1, $2, $3)";
    client.execute(note, &[&room, &step.name, &checksum]).await?;
    client.batch_execute("commit").await
}
