//! The server of the database as all our sessions see it: whether it answers, and whose turn it is to try.
//!
//! Picture     session lost --> Trouble { why, until } --one session at a time, after PAUSE--> tried --> reached
//! Rules       While there is trouble nobody but the one that tries waits for the server: all others are refused at once.
//! Limits      PAUSE between two tries.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use switchboard::store::Migration;

use super::address::Address;
use super::tls::Tls;
use crate::fault::Fault;

/// Between two tries to reach a server that was lost.
pub const PAUSE: Duration = Duration::from_millis(500);

/// What a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Answers questions and cannot change anything.
    Reader,
    /// The one that changes rows, and that holds the lock by which a second Carillon is kept out.
    Writer,
}

/// One database, shared by its sessions.
pub struct Server {
    pub(super) address: Address,
    pub(super) tls: Tls,
    pub(super) migrations: Vec<(&'static str, &'static [Migration])>,
    /// It may be the target of a copy that has not ended.
    pub(crate) may_be_marked: bool,
    reach: Mutex<Reach>,
}

#[derive(Default)]
struct Reach {
    writer: Option<Trouble>,
    reader: Option<Trouble>,
    /// The schema is as this version wants it: before, nothing can be asked.
    set_up: bool,
    former: Option<Former>,
}

struct Trouble {
    why: String,
    until: Instant,
    trying: bool,
}

/// The session that held the lock last: it may outlive its connection on the server's side.
#[derive(Clone)]
pub struct Former {
    pub pid: i32,
    /// As the server writes it, so that another process of the same number is not taken for it.
    pub began: String,
}

impl Server {
    /// Nothing is connected yet. Errors: authorities that cannot be read.
    pub fn new(
        address: Address,
        migrations: &[(&'static str, &'static [Migration])],
    ) -> Result<Self, Fault> {
        let tls = Tls::open(address.authorities.as_deref())?;
        let (migrations, reach) = (migrations.to_vec(), Mutex::default());
        Ok(Self { address, tls, migrations, may_be_marked: false, reach })
    }

    /// What keeps us from it; `None`: nothing that we know of.
    pub fn trouble(&self) -> Option<String> {
        let reach = self.reach();
        let why = &reach.writer.as_ref().or(reach.reader.as_ref())?.why;
        Some(format!("{} does not serve us: {why}", self.address))
    }

    pub(super) fn is_set_up(&self) -> bool {
        self.reach().set_up
    }

    pub(super) fn set_up(&self) {
        self.reach().set_up = true;
    }

    pub(super) fn former(&self) -> Option<Former> {
        self.reach().former.clone()
    }

    pub(super) fn remember(&self, former: Former) {
        self.reach().former = Some(former);
    }

    /// Whether a session of this role may try to connect now. Who may must say [`lost`](Self::lost) or
    /// [`reached`](Self::reached) afterwards.
    pub(super) fn may_try(&self, role: Role) -> bool {
        let mut reach = self.reach();
        if role == Role::Reader && !reach.set_up {
            return false;
        }
        match reach.of(role) {
            None => true,
            Some(trouble) if trouble.trying || Instant::now() < trouble.until => false,
            Some(trouble) => {
                trouble.trying = true;
                true
            }
        }
    }

    pub(super) fn lost(&self, role: Role, why: &str) {
        let mut reach = self.reach();
        let until = Instant::now() + PAUSE;
        let fresh = Trouble { why: why.to_owned(), until, trying: false };
        let before = reach.of(role).replace(fresh);
        if before.is_none_or(|before| before.why != why) {
            tracing::error!(database = %self.address, ?role, why, "database_lost");
        }
    }

    pub(super) fn reached(&self, role: Role) {
        if self.reach().of(role).take().is_some() {
            tracing::info!(database = %self.address, ?role, "database_reached_again");
        }
    }

    fn reach(&self) -> MutexGuard<'_, Reach> {
        self.reach.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reach {
    fn of(&mut self, role: Role) -> &mut Option<Trouble> {
        match role {
            Role::Reader => &mut self.reader,
            Role::Writer => &mut self.writer,
        }
    }
}
