//! Readiness: which parts of the node are not ready, and why.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Faults by part and shard. Clones are the same table.
#[derive(Clone, Debug, Default)]
pub struct Parts(Arc<Mutex<BTreeMap<(String, usize), Option<String>>>>);

impl Parts {
    /// Says how a part of one shard is.
    pub fn set(&self, part: &str, shard: usize, fault: Option<&str>) {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table.insert((part.to_owned(), shard), fault.map(str::to_owned));
    }

    /// Every part with what keeps it from being ready: the fault of the first shard that has one.
    pub fn list(&self) -> Vec<(String, Option<String>)> {
        let table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut list: Vec<(String, Option<String>)> = Vec::new();
        for ((part, _), fault) in table.iter() {
            match list.last_mut() {
                Some((last, known)) if last == part => {
                    if known.is_none() {
                        known.clone_from(fault);
                    }
                }
                _ => list.push((part.clone(), fault.clone())),
            }
        }
        list
    }

    /// Whether nothing is missing.
    pub fn ready(&self) -> bool {
        self.list().iter().all(|(_, fault)| fault.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_ready_when_it_is_on_every_shard() {
        let parts = Parts::default();
        parts.set("people", 0, None);
        parts.set("people", 1, Some("loading"));
        assert_eq!(parts.list(), [("people".to_owned(), Some("loading".to_owned()))]);
        parts.set("people", 1, None);
        assert!(parts.ready());
    }
}
