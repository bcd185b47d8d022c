//! Reads everything from the store, page by page, into the directory of this shard.

use std::collections::BTreeSet;

use switchboard::route::Change;
use switchboard::store::{Row, StoreFault};
use switchboard::{Effects, Ticket};

use crate::body::{DIAL_PLAN, Kind};
use crate::{Room, store};

/// How far the reading is.
#[derive(Debug)]
pub struct Loading {
    step: Step,
    /// Facts that changed while we read: what a page says of them is old.
    touched: BTreeSet<(Kind, String)>,
    /// Behind which row the page begins that is asked for.
    after: (String, String),
}

#[derive(Debug)]
enum Step {
    Asked(Ticket),
    /// The store did not answer.
    Waiting(Ticket),
}

impl Room {
    pub(crate) fn load(&mut self, effects: &mut Effects<'_>) {
        effects.part("trunks", Some("loading"));
        let step = Step::Asked(effects.load(store::facts("", "")));
        self.loading = Some(Loading { step, touched: BTreeSet::new(), after: Default::default() });
    }

    /// What the pages still to come say of this fact is old.
    pub(crate) fn touched(&mut self, change: &Change) {
        let Some(loading) = &mut self.loading else { return };
        let fact = match change {
            Change::DialPlan(_) => (Kind::DialPlan, DIAL_PLAN.to_owned()),
            Change::Number(name, _) => (Kind::Number, name.clone()),
            Change::Route(name, _) => (Kind::Route, name.clone()),
            Change::Trunk(name, _) => (Kind::Trunk, name.clone()),
            Change::HopFailed(_, _) | Change::TrunkHealth(_, _) => return,
        };
        loading.touched.insert(fact);
    }

    pub(crate) fn loaded(
        &mut self,
        ticket: Ticket,
        rows: Result<Vec<Row>, StoreFault>,
        effects: &mut Effects<'_>,
    ) {
        let Some(loading) = &mut self.loading else { return };
        if !matches!(loading.step, Step::Asked(asked) if asked == ticket) {
            return;
        }
        let rows = match rows {
            Ok(rows) => rows,
            Err(_) => {
                effects.part("trunks", Some("the store does not give the trunks and routes"));
                let timer = effects.set_timer(effects.now() + self.config.retry);
                loading.step = Step::Waiting(timer);
                return;
            }
        };
        let mut facts = Vec::new();
        for row in &rows {
            if let [kind, name, ..] = row.as_slice()
                && let (Some(kind), Some(name)) = (kind.text(), name.text())
            {
                loading.after = (kind.to_owned(), name.to_owned());
            }
            match store::fact_of(row) {
                Some(fact) => {
                    let known = (fact.kind(), fact.name().to_owned());
                    if !loading.touched.contains(&known) {
                        facts.push(fact);
                    }
                }
                None => effects.count("trunks.row_unreadable"),
            }
        }
        if rows.len() >= store::PAGE {
            let (kind, name) = &loading.after;
            loading.step = Step::Asked(effects.load(store::facts(kind, name)));
        } else {
            self.loading = None;
        }
        for fact in facts {
            effects.put_routing(fact.change());
        }
        if self.loading.is_none() {
            let trunks: Vec<_> = effects.directory().routing().trunks.keys().cloned().collect();
            for name in trunks {
                self.unwatch(&name, effects);
                self.watch(&name, effects);
            }
            effects.part("trunks", None);
        }
    }

    pub(crate) fn load_again(&mut self, ticket: Ticket, effects: &mut Effects<'_>) {
        if let Some(loading) = &mut self.loading
            && matches!(loading.step, Step::Waiting(timer) if timer == ticket)
        {
            let (kind, name) = &loading.after;
            loading.step = Step::Asked(effects.load(store::facts(kind, name)));
        }
    }
}
