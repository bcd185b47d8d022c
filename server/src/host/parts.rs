//! Readiness: which parts of the node are not ready, and why.
//!
//! Rules       What each shard has for itself is one part for each, when there are several shards.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use web::Part;

/// By part and shard; without a shard: of the node.
type Table = BTreeMap<(String, Option<usize>), Part>;

/// How every part is. Clones are the same table.
#[derive(Clone, Debug)]
pub struct Parts {
    table: Arc<Mutex<Table>>,
    shards: usize,
}

impl Parts {
    /// Nothing told yet.
    pub fn new(shards: usize) -> Self {
        Self { table: Arc::default(), shards }
    }

    /// Says how a part of the node is.
    pub fn say(&self, name: &str, part: Part) {
        self.insert(name, None, part);
    }

    /// Says how a part of one shard is.
    pub fn set(&self, name: &str, shard: usize, fault: Option<&str>) {
        let part = fault.map_or(Part::Ready, |why| Part::Fault(why.to_owned()));
        self.insert(name, Some(shard), part);
    }

    /// Every part by its name.
    pub fn list(&self) -> Vec<(String, Part)> {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let named = |((name, shard), part): (&(String, Option<usize>), &Part)| {
            let name = match shard {
                Some(shard) if self.shards > 1 => format!("{name}/{shard}"),
                Some(_) | None => name.clone(),
            };
            (name, part.clone())
        };
        table.iter().map(named).collect()
    }

    /// Whether nothing is missing.
    pub fn ready(&self) -> bool {
        self.list().iter().all(|(_, part)| part.is_ready())
    }

    fn insert(&self, name: &str, shard: Option<usize>, part: Part) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.insert((name.to_owned(), shard), part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shard_has_its_own_where_there_are_several() {
        let parts = Parts::new(2);
        parts.say("push", Part::Unused);
        parts.set("people", 0, None);
        parts.set("people", 1, Some("loading"));
        let named = |name: &str, part| (name.to_owned(), part);
        let loading = Part::Fault("loading".to_owned());
        assert_eq!(
            parts.list(),
            [
                named("people/0", Part::Ready),
                named("people/1", loading),
                named("push", Part::Unused)
            ]
        );
        assert!(!parts.ready());
        parts.set("people", 1, None);
        assert!(parts.ready());
        let alone = Parts::new(1);
        alone.set("people", 0, None);
        assert_eq!(alone.list(), [named("people", Part::Ready)]);
    }
}
