//! Reads all groups from the store, page by page, into every shard.

use std::collections::BTreeSet;

use switchboard::store::{Row, StoreFault};
use switchboard::{Effects, Ticket};

use crate::{Room, store};

/// How far the reading is.
#[derive(Debug)]
pub struct Loading {
    ticket: Ticket,
    /// Groups that changed while we read: what a page says of them is old.
    touched: BTreeSet<String>,
    /// Behind which group the page begins that is asked for.
    after: String,
}

impl Room {
    pub(crate) fn load(&mut self, effects: &mut Effects<'_>) {
        effects.part("groups", Some("loading"));
        let ticket = effects.load(store::groups(""));
        self.loading = Some(Loading { ticket, touched: BTreeSet::new(), after: String::new() });
    }

    /// What the pages still to come say of this group is old.
    pub(crate) fn touched(&mut self, name: &str) {
        if let Some(loading) = &mut self.loading {
            loading.touched.insert(name.to_owned());
        }
    }

    pub(crate) fn loaded(
        &mut self,
        ticket: Ticket,
        rows: Result<Vec<Row>, StoreFault>,
        effects: &mut Effects<'_>,
    ) {
        let Some(loading) = self.loading.as_mut().filter(|loading| loading.ticket == ticket) else {
            return;
        };
        let rows = match rows {
            Ok(rows) => rows,
            Err(StoreFault::Unreachable) => {
                effects.part("groups", Some("the store does not answer"));
                loading.ticket = effects.set_timer(effects.now() + self.config.retry);
                return;
            }
            Err(StoreFault::Broken | StoreFault::Conflict | StoreFault::Mismatch { .. }) => {
                effects.part("groups", Some("the store refuses to give the groups"));
                loading.ticket = effects.set_timer(effects.now() + self.config.retry);
                return;
            }
        };
        for row in &rows {
            if let Some(name) = row.first().and_then(|name| name.text()) {
                loading.after = name.to_owned();
            }
            match store::group_of(row) {
                Some(group) if !loading.touched.contains(&group.name) => effects.put_group(group),
                Some(_) => (),
                None => effects.count("groups.row_unreadable"),
            }
        }
        if rows.len() >= store::PAGE {
            loading.ticket = effects.load(store::groups(&loading.after));
            return;
        }
        self.loading = None;
        effects.part("groups", None);
    }

    pub(crate) fn load_again(&mut self, ticket: Ticket, effects: &mut Effects<'_>) {
        if let Some(loading) = self.loading.as_mut().filter(|loading| loading.ticket == ticket) {
            loading.ticket = effects.load(store::groups(&loading.after));
        }
    }
}
