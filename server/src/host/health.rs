//! Whether the database takes writes: asked now and then, and doubted after each request that failed.
//!
//! Picture     outcome of a request | probe --> Health --> the part `store`
//! Rules       A probe changes nothing. While there is a doubt it writes a row as it was: an empty change would succeed
//!             on a full disk.
//! Limits      PROBE_EVERY, PROBE_MAX.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use store::{Projector, Store};
use switchboard::store::{Batch, Statement, StoreFault};
use tokio::sync::oneshot;
use web::Part;

use super::parts::Parts;

/// Between two probes.
const PROBE_EVERY: Duration = Duration::from_secs(2);
/// How long the database may take for one.
const PROBE_MAX: Duration = Duration::from_secs(5);
/// The part's name.
const STORE: &str = "store";
/// Writes rows that every database of ours has, as they are.
const SAME_AGAIN: &str = "update applied_migration set checksum = checksum where room = 'keeper'";

/// What is said of a database that gives no reason.
const TAKES_NO_WRITES: &str =
    "the database does not take writes: look at its disk and at who else has it open";

/// What is known of the database.
pub struct Health {
    parts: Parts,
    store: Store,
    /// A request has failed and none has succeeded since.
    doubt: AtomicBool,
}

impl Health {
    /// It was opened just now, so it is well, unless it knows better.
    pub fn new(parts: Parts, store: Store) -> Self {
        parts.say(STORE, Part::Ready);
        let health = Self { parts, store, doubt: AtomicBool::new(false) };
        if health.store.trouble().is_some() {
            health.note(&Err(StoreFault::Unreachable));
        }
        health
    }

    /// What came of a request that changes something.
    pub fn note(&self, result: &Result<(), StoreFault>) {
        match result {
            Err(StoreFault::Unreachable) => self.fail(TAKES_NO_WRITES),
            // Every other answer is one.
            Ok(())
            | Err(StoreFault::Broken | StoreFault::Conflict | StoreFault::Mismatch { .. }) => {
                if self.doubt.swap(false, Ordering::AcqRel) {
                    tracing::info!("store_reachable_again");
                    self.parts.say(STORE, Part::Ready);
                }
            }
        }
    }

    /// A server's own words say more than `why`.
    fn fail(&self, why: &str) {
        let trouble = self.store.trouble();
        let why = trouble.as_deref().unwrap_or(why);
        if !self.doubt.swap(true, Ordering::AcqRel) {
            tracing::error!(why, "store_unreachable");
        }
        self.parts.say(STORE, Part::Fault(why.to_owned()));
    }

    fn probe(&self, behind: bool) -> Batch {
        let doubt = behind || self.doubt.load(Ordering::Acquire);
        let same = Statement { sql: SAME_AGAIN, values: Vec::new(), expect: None };
        Batch { statements: if doubt { vec![same] } else { Vec::new() } }
    }
}

/// Probes until it is aborted.
pub async fn watch(health: Arc<Health>, store: Store, projector: Arc<Mutex<Projector>>) {
    loop {
        tokio::time::sleep(PROBE_EVERY).await;
        let behind = projector.lock().unwrap_or_else(PoisonError::into_inner).behind();
        let (sender, answer) = oneshot::channel();
        // Who asked may have given up.
        store.write(health.probe(behind), Box::new(move |result| drop(sender.send(result))));
        match tokio::time::timeout(PROBE_MAX, answer).await {
            Ok(Ok(result)) => health.note(&result),
            Ok(Err(_)) | Err(_) => health.fail("the database does not answer in time"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_doubt_ends_with_a_write_that_is_one() {
        let parts = Parts::new(1);
        let store = Store::open(":memory:", &[]).expect("memory is there");
        let health = Health::new(parts.clone(), store);
        assert!(health.probe(false).statements.is_empty());
        assert_eq!(health.probe(true).statements.len(), 1);
        health.note(&Err(StoreFault::Unreachable));
        assert!(!parts.ready());
        assert_eq!(health.probe(false).statements.len(), 1);
        health.note(&Err(StoreFault::Conflict));
        assert!(parts.ready());
        assert!(health.probe(false).statements.is_empty());
    }
}
