//! Reads everybody from the store, page by page: users into every shard, devices into their home.

use std::collections::BTreeSet;

use switchboard::directory::Device;
use switchboard::store::{Row, StoreFault};
use switchboard::{Effects, Ticket};

use crate::{Room, store};

/// How far the reading is.
#[derive(Debug)]
pub struct Loading {
    step: Step,
    /// Users that changed while we read: what a page says of them is old.
    touched: BTreeSet<String>,
    /// Behind which row the page begins that is asked for.
    after: (String, String),
    /// Devices of one home come from several pages; oldest first once all are there.
    devices: Vec<(i64, String, Device)>,
}

#[derive(Debug)]
enum Step {
    Devices(Ticket),
    Users(Ticket),
    /// The store did not answer. `users`: which of the two is asked again.
    Waiting {
        timer: Ticket,
        users: bool,
    },
}

impl Room {
    pub(crate) fn load(&mut self, effects: &mut Effects<'_>) {
        effects.part("people", Some("loading"));
        let step = Step::Users(effects.load(store::users("")));
        let (touched, after) = (BTreeSet::new(), (String::new(), String::new()));
        self.loading = Some(Loading { step, touched, after, devices: Vec::new() });
    }

    /// What the pages still to come say of this user is old.
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
        let Some(loading) = &mut self.loading else { return };
        let users = match loading.step {
            Step::Devices(asked) if asked == ticket => false,
            Step::Users(asked) if asked == ticket => true,
            Step::Devices(_) | Step::Users(_) | Step::Waiting { .. } => return,
        };
        let rows = match rows {
            Ok(rows) => rows,
            Err(fault) => {
                effects.part(
                    "people",
                    Some(match fault {
                        StoreFault::Unreachable => "the store does not answer",
                        StoreFault::Broken | StoreFault::Conflict | StoreFault::Mismatch { .. } => {
                            "the store refuses to give the users"
                        }
                    }),
                );
                let timer = effects.set_timer(effects.now() + self.config.retry);
                loading.step = Step::Waiting { timer, users };
                return;
            }
        };
        let full = rows.len() >= store::PAGE;
        if users {
            loading.take_users(&rows, effects);
        } else {
            loading.take_devices(&rows, effects);
        }
        match (users, full) {
            (true, true) => loading.ask(true, effects),
            (true, false) => {
                loading.after = (String::new(), String::new());
                loading.ask(false, effects);
            }
            (false, true) => loading.ask(false, effects),
            (false, false) => self.finish(effects),
        }
    }

    pub(crate) fn load_again(&mut self, ticket: Ticket, effects: &mut Effects<'_>) {
        if let Some(loading) = &mut self.loading
            && let Step::Waiting { timer, users } = loading.step
            && timer == ticket
        {
            loading.ask(users, effects);
        }
    }

    fn finish(&mut self, effects: &mut Effects<'_>) {
        let Some(mut loading) = self.loading.take() else { return };
        // The oldest first, as they give way first.
        loading.devices.sort_by_key(|(seen, _, _)| *seen);
        for (_, user, device) in loading.devices {
            let known = effects.directory().devices(&user);
            // What a device said while we read is newer than its row.
            let newer = known.iter().any(|other| {
                other.name == device.name
                    || (other.target.provider, &other.target.prid)
                        == (device.target.provider, &device.target.prid)
            });
            if !newer && effects.directory().user(&user).is_some() {
                effects.put_device(&user, device);
            }
        }
        effects.part("people", None);
    }
}

impl Loading {
    fn ask(&mut self, users: bool, effects: &mut Effects<'_>) {
        let (user, device) = &self.after;
        self.step = if users {
            Step::Users(effects.load(store::users(user)))
        } else {
            Step::Devices(effects.load(store::devices(user, device)))
        };
    }

    fn take_users(&mut self, rows: &[Row], effects: &mut Effects<'_>) {
        for row in rows {
            if let Some(name) = row.first().and_then(|name| name.text()) {
                self.after.0 = name.to_owned();
            }
            match store::user_of(row) {
                Some(user) if !self.touched.contains(&user.name) => effects.put_user(user),
                Some(_) => (),
                None => effects.count("people.row_unreadable"),
            }
        }
    }

    fn take_devices(&mut self, rows: &[Row], effects: &mut Effects<'_>) {
        for row in rows {
            if let [user, name, ..] = row.as_slice()
                && let (Some(user), Some(name)) = (user.text(), name.text())
            {
                self.after = (user.to_owned(), name.to_owned());
            }
            match store::device_of(row) {
                Some((user, device, seen)) => {
                    if effects.hosts(effects.home(&user)) {
                        self.devices.push((seen, user, device));
                    }
                }
                None => effects.count("people.row_unreadable"),
            }
        }
    }
}
