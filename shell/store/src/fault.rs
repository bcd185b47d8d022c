//! What can break on our side, whose side it was and whether trying again helps.

use std::io;
use std::path::PathBuf;

use switchboard::store::StoreFault;

fn copy_words(fault: &StoreFault) -> &'static str {
    match fault {
        StoreFault::Unreachable => {
            "does not answer any more: run it again, it goes on where it stopped"
        }
        StoreFault::Broken | StoreFault::Conflict | StoreFault::Mismatch { .. } => {
            "refuses a row: the log says which statement"
        }
    }
}

/// Whose doing a fault was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Disk, permissions, another process.
    Environment,
    /// A mistake in this program.
    Us,
}

/// The store or the keeper broke.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Authorities for TLS that cannot be read.
    #[error("cannot read the authorities of sslrootcert in {}: {why}", path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// While rows were copied, one of the two databases said no.
    #[error("{place} {}", copy_words(fault))]
    Copy {
        /// Which one.
        place: String,
        /// What it said.
        fault: StoreFault,
    },
    /// A copy is not what was copied.
    #[error(
        "{name} is not the same in both databases; nothing was lost in the old one: empty the new one and copy again"
    )]
    CopyDiffers {
        /// The table or view.
        name: String,
    },
    /// The database holds texts in another form than ours.
    #[error("{address} has the encoding {encoding}; make it with UTF8")]
    DatabaseEncoding {
        /// Which database.
        address: String,
        /// Its encoding.
        encoding: String,
    },
    /// Another process works on the database.
    #[error("{address} is in use by another Carillon")]
    DatabaseInUse {
        /// Which database.
        address: String,
    },
    /// The server of the database answered, and said no.
    #[error("{address} refuses us: {why}")]
    DatabaseRefused {
        /// Which database.
        address: String,
        /// What the server said.
        why: String,
    },
    /// The server of the database does not answer.
    #[error("{address} does not answer: {why}")]
    DatabaseUnreachable {
        /// Which database.
        address: String,
        /// What came instead.
        why: String,
    },
    /// A file operation failed.
    #[error("cannot {doing} {}", path.display())]
    Disk {
        /// The verb.
        doing: &'static str,
        /// What it was done to.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// An entry was over a limit; it was not kept and its position is never reached.
    #[error("an entry was refused: {bytes} bytes are over the limit")]
    EntryRefused {
        /// Its size, or that of all waiting entries.
        bytes: usize,
    },
    /// The database is the target of a copy that has not ended.
    #[error(
        "{place} is a copy of {from} that is not complete: run that `store move` again, it goes on where it stopped"
    )]
    HalfMoved {
        /// The database.
        place: String,
        /// The source of the copy.
        from: String,
    },
    /// Another process has the folder open.
    #[error("{} is in use by another process", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// An fsync of the log failed earlier: nothing more is acknowledged by this process.
    #[error("the log failed earlier and takes nothing more")]
    LogFailed,
    /// A migration that was applied has another text now.
    #[error("migration {name} of {room} was applied with another text; write a new one instead")]
    MigrationChanged {
        /// The room.
        room: &'static str,
        /// The migration.
        name: &'static str,
    },
    /// A migration stands before one that was already applied, or the list is not in order.
    #[error("migration {name} of {room} comes before one that is already applied")]
    MigrationOrder {
        /// The room.
        room: &'static str,
        /// The migration.
        name: &'static str,
    },
    /// A table that cannot be copied.
    #[error("{table} has no primary key and cannot be copied")]
    NoKey {
        /// The table.
        table: String,
    },
    /// The target of a copy holds something.
    #[error("{place} is not empty: {table} has rows; name an empty database")]
    NotEmpty {
        /// The database.
        place: String,
        /// A table with rows.
        table: String,
    },
    /// The source of a copy is not there.
    #[error("there is no database {place}")]
    NothingToCopy {
        /// The file.
        place: String,
    },
    /// Source and target of a copy have not the same tables.
    #[error(
        "{place} has other tables than the database that it should be a copy of: use the version of Carillon that wrote that one last"
    )]
    SchemaDiffers {
        /// The target.
        place: String,
    },
    /// The database refused while being opened.
    #[error("cannot {doing}")]
    Sql {
        /// The verb.
        doing: &'static str,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// A thread could not be started.
    #[error("cannot start a thread")]
    Thread {
        /// What the system said.
        source: io::Error,
    },
    /// The library for TLS refuses.
    #[error("TLS cannot be set up: {why}")]
    Tls {
        /// What it said.
        why: String,
    },
}

impl Fault {
    /// Whose side it was.
    pub fn side(&self) -> Side {
        match self {
            Self::Authorities { .. }
            | Self::Copy { .. }
            | Self::CopyDiffers { .. }
            | Self::DatabaseEncoding { .. }
            | Self::DatabaseInUse { .. }
            | Self::DatabaseRefused { .. }
            | Self::DatabaseUnreachable { .. }
            | Self::Disk { .. }
            | Self::HalfMoved { .. }
            | Self::InUse { .. }
            | Self::LogFailed
            | Self::NotEmpty { .. }
            | Self::NothingToCopy { .. }
            | Self::SchemaDiffers { .. }
            | Self::Sql { .. }
            | Self::Thread { .. }
            | Self::Tls { .. } => Side::Environment,
            Self::EntryRefused { .. }
            | Self::MigrationChanged { .. }
            | Self::MigrationOrder { .. }
            | Self::NoKey { .. } => Side::Us,
        }
    }

    /// Whether the same request may succeed later: a full disk may be freed, an fsync is never tried again.
    pub fn retry_helps(&self) -> bool {
        matches!(
            self,
            Self::DatabaseInUse { .. }
                | Self::DatabaseUnreachable { .. }
                | Self::Disk { .. }
                | Self::InUse { .. }
        )
    }

    /// The reason, without the database that it speaks of.
    pub fn why(&self) -> String {
        match self {
            Self::DatabaseRefused { why, .. } | Self::DatabaseUnreachable { why, .. } => {
                why.clone()
            }
            Self::DatabaseInUse { .. } => "another session holds it".to_owned(),
            other => other.to_string(),
        }
    }
}
