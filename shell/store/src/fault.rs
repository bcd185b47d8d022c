//! What can break on our side, whose side it was and whether trying again helps.

use std::io;
use std::path::PathBuf;

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
}

impl Fault {
    /// Whose side it was.
    pub fn side(&self) -> Side {
        match self {
            Self::Disk { .. }
            | Self::InUse { .. }
            | Self::LogFailed
            | Self::Sql { .. }
            | Self::Thread { .. } => Side::Environment,
            Self::EntryRefused { .. }
            | Self::MigrationChanged { .. }
            | Self::MigrationOrder { .. } => Side::Us,
        }
    }

    /// Whether the same request may succeed later: a full disk may be freed, an fsync is never tried again.
    pub fn retry_helps(&self) -> bool {
        matches!(self, Self::Disk { .. } | Self::InUse { .. })
    }
}
