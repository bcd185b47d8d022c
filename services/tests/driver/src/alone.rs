//! One room, and a witness who tells the test what the room says to others.

use std::ops::{Deref, DerefMut};
use std::sync::mpsc::{Receiver, Sender, channel};

use switchboard::{
    ApiRequest, Attachment, Effects, Input, LegPlan, Mail, Manifest, Notice, Service,
};
use types::UnixTime;

use crate::{House, Out, START, config};

/// A house with one room to test.
pub struct Alone {
    house: House,
    manifest: &'static Manifest,
    notices: Receiver<Notice>,
}

/// Tells the test what rooms hear, and knows the users that tests make. Told `UsersLoaded`, it plans a leg from 1001 to
/// 1002 and shows each header that the room attaches as an event.
struct Witness(Sender<Notice>);

impl Service for Witness {
    fn manifest(&self) -> &'static Manifest {
        static MANIFEST: Manifest = Manifest { name: "witness", ..Manifest::EMPTY };
        &MANIFEST
    }

    fn on_notice(&mut self, notice: &Notice, effects: &mut Effects<'_>) {
        match notice {
            Notice::UserChanged(user) => effects.put_user((**user).clone()),
            Notice::UsersLoaded => {
                let (session, call) = (types::SessionId(1), types::CallId(1));
                let (callee, caller, until) = ("1002", Some("1001"), UnixTime::seconds(START + 60));
                let plan = LegPlan { session, call, callee, caller, until };
                for Attachment::Header(name, value) in effects.attachments(&plan) {
                    effects.event(name, "", &value.into());
                }
            }
            _ => {}
        }
        // A test that is over listens no more.
        let _ = self.0.send(notice.clone());
    }
}

impl Alone {
    /// The room and its witness in a house that was not begun yet.
    pub fn new(room: fn() -> Box<dyn Service>) -> Self {
        let (sender, notices) = channel();
        let open = move || vec![room(), Box::new(Witness(sender.clone())) as Box<dyn Service>];
        Self { house: House::new(config(), open), manifest: room().manifest(), notices }
    }

    /// A notice, as from another shard.
    pub fn notice(&mut self, notice: Notice) -> Out {
        self.give(Input::Mail(Mail::Notice(notice)))
    }

    /// Notices since the last look.
    pub fn heard(&self) -> Vec<Notice> {
        self.notices.try_iter().collect()
    }

    /// A request of the API; the path stands as in the manifest, its values in `path`.
    pub fn api(&mut self, row: &str, path: &[&str], body: &[u8]) -> Out {
        self.ask(row, path, &[], body)
    }

    /// The same with a query.
    pub fn ask(&mut self, row: &str, path: &[&str], query: &[(&str, &str)], body: &[u8]) -> Out {
        let manifest = self.manifest;
        let place = manifest
            .endpoints
            .iter()
            .position(|known| format!("{} {}", known.method, known.path) == row)
            .expect("the row is in the manifest");
        self.give(Input::Api(ApiRequest {
            id: 7,
            room: manifest.name.into(),
            endpoint: place as u16,
            path: path.iter().map(|text| (*text).to_owned()).collect(),
            query: query.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect(),
            content_type: "application/json".into(),
            bearer: String::new(),
            body: body.to_vec(),
        }))
    }
}

impl Deref for Alone {
    type Target = House;

    fn deref(&self) -> &House {
        &self.house
    }
}

impl DerefMut for Alone {
    fn deref_mut(&mut self) -> &mut House {
        &mut self.house
    }
}
