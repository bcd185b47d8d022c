//! Keys of apps: a name and a secret by which an app shows the account without its token.
//!
//! Rules       The secret is made of the node's own key and the name, so it is told once and kept nowhere; who shows it is let
//!             in by the edge. Whether the key is still there stands in the store, and is looked up with each request
//!             that shows one: a deleted key opens nothing from then on, and a store that is away nothing at all.
//!             With a key neither keys nor the account are changed.
//! Spec        programmable-voice §6.2 (`/Keys`), §6.3 (Auth)

use serde_json::{Value, json};
use switchboard::{ApiRequest, Effects, link};

use super::ask::Ask;
use super::say::{Named, No};
use super::things::{Kind, Of};
use super::{Done, Waiting};
use crate::Room;
use crate::call::date;
use crate::store::{self, Thing};

/// Keys of apps.
pub(crate) const KEY: Kind = kind(Named { key: "keys", one: "Key" });
/// The same by their other name.
pub(crate) const SIGNING_KEY: Kind = kind(Named { key: "signing_keys", one: "SigningKey" });

const fn kind(named: Named) -> Kind {
    Kind { kind: "key", prefix: "SK", named, fields: &[], made: true, show: value }
}

/// Spec: the vendor's description (`api.v2010.account.key`)
fn value(thing: &Thing, _: &str) -> Value {
    json!({
        "date_created": date(thing.made),
        "date_updated": date(thing.updated),
        "friendly_name": thing.name,
        "sid": thing.sid,
    })
}

/// What is shown of a key that has just been made, beside the rest.
pub(super) fn secret(sid: &str, effects: &Effects<'_>) -> String {
    link::key_secret(&effects.keys().links, sid)
}

impl Room {
    /// A request that shows a key: it goes on when the key is there.
    pub(super) fn keyed(
        &mut self,
        ask: Ask,
        request: &ApiRequest,
        effects: &mut Effects<'_>,
    ) -> Result<Done, No> {
        let guarded = matches!(ask.part(2), "Keys" | "SigningKeys")
            || (ask.method != "GET" && ask.path.len() <= 2);
        if guarded {
            let words = "With a key neither keys nor the account are changed: show the token";
            return Err(No::new(403, 20003, words));
        }
        let load = store::thing(KEY.kind, &request.bearer);
        let request = ApiRequest { bearer: String::new(), ..request.clone() };
        let waiting = Waiting::Keyed { ask, request: Box::new(request) };
        self.wait(waiting, |effects| effects.load(load), effects)
    }

    /// `/Keys` and `/SigningKeys`.
    pub(super) fn keys_of(
        &mut self,
        kind: &'static Kind,
        ask: &Ask,
        rest: &[&str],
        effects: &mut Effects<'_>,
    ) -> Result<Done, No> {
        match rest {
            [] => self.things(kind, Of::All, ask, effects),
            [sid] => self.things(kind, Of::One(sid), ask, effects),
            [..] => Err(No::missing(&super::say::base(ask))),
        }
    }
}
