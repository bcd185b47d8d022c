//! Trunks, numbers, routes and the dial plan: kept, told to every shard, explained; and how trunks are doing.
//!
//! Picture     PUT --> write --> RoutingChanged (everywhere) --> every shard's directory. Start: read all, page by page.
//!             a trunk's home shard: OPTIONS, REGISTER --> TrunkHealth (everywhere)
//! Rules       What is answered is written. A password stands sealed in the store and is never shown. One shard
//!             watches a trunk: the home of its name. `explain` asks the very function that live calls ask.
//! Limits      TRUNKS_MAX, NUMBERS_MAX, ROUTES_MAX; fields in `body`; DOWN_AFTER and UP_AFTER in `watch`.
//! Not here    The decision (switchboard::route), calls over trunks (switchboard::hunt), counting them (lines).
//! Spec        RFC 3261 §10.2 for registering at a carrier, §11 for OPTIONS
#![deny(missing_docs)]

mod api;
mod body;
mod config;
mod loading;
pub mod refusal;
pub mod store;
mod watch;

use std::collections::BTreeMap;

use switchboard::route::{Change, Number};
use switchboard::{
    ApiResponse, Effects, Endpoint, Manifest, Notice, Reply, Scope, Service, Session, Ticket, Usual,
};

use body::{Fact, Kind};
pub use config::Config;
use loading::Loading;
pub use refusal::{REFUSALS, Refusal};
use watch::Watch;
pub use watch::{DOWN_AFTER, UP_AFTER};

/// Trunks that there may be.
pub const TRUNKS_MAX: usize = 500;
/// Numbers that there may be.
pub const NUMBERS_MAX: usize = 100_000;
/// Routes that there may be: all of them are looked at for a call that goes out.
pub const ROUTES_MAX: usize = 1_000;
/// Largest JSON body. Units: octets.
const BODY_MAX: usize = 64 << 10;

/// Requests of the API.
pub const ENDPOINTS: &[Endpoint] = &[
    Endpoint::admin(
        ("GET", "/v1/trunks"),
        "Lists all trunks.",
        Scope::Any,
        BODY_MAX,
        ("", r#"{"items":[],"next":null}"#),
    ),
    Endpoint::admin(
        ("PUT", "/v1/trunks/{name}"),
        "Makes or replaces a trunk. Without `password` an existing one keeps its own.",
        Scope::User(0),
        BODY_MAX,
        (
            r#"{"server":"sip.acme.example","register":true,"user":"88231","password":"…","identity":"+15550100"}"#,
            TRUNK,
        ),
    ),
    Endpoint::admin(
        ("GET", "/v1/trunks/{name}"),
        "One trunk, and how it is doing.",
        Scope::User(0),
        BODY_MAX,
        ("", TRUNK),
    ),
    Endpoint::admin(
        ("DELETE", "/v1/trunks/{name}"),
        "Deletes a trunk.",
        Scope::User(0),
        BODY_MAX,
        ("", ""),
    ),
    Endpoint::admin(
        ("GET", "/v1/numbers"),
        "Lists all numbers.",
        Scope::Any,
        BODY_MAX,
        ("", r#"{"items":[],"next":null}"#),
    ),
    Endpoint::admin(
        ("PUT", "/v1/numbers/{e164}"),
        "Makes or replaces a number: whom it rings, or which program answers.",
        Scope::User(0),
        BODY_MAX,
        (r#"{"rings":["user/1001"]}"#, NUMBER),
    ),
    Endpoint::admin(
        ("GET", "/v1/numbers/{e164}"),
        "One number.",
        Scope::User(0),
        BODY_MAX,
        ("", NUMBER),
    ),
    Endpoint::admin(
        ("DELETE", "/v1/numbers/{e164}"),
        "Deletes a number.",
        Scope::User(0),
        BODY_MAX,
        ("", ""),
    ),
    Endpoint::admin(
        ("GET", "/v1/routes"),
        "Lists all routes in the order in which they are looked at.",
        Scope::Any,
        BODY_MAX,
        ("", r#"{"items":[],"next":null}"#),
    ),
    Endpoint::admin(
        ("PUT", "/v1/routes/{name}"),
        "Makes or replaces a route: it rings, goes out by trunks, or refuses.",
        Scope::User(0),
        BODY_MAX,
        (r#"{"to":["+*"],"trunks":[{"trunk":"acme","priority":1,"weight":1}]}"#, ROUTE),
    ),
    Endpoint::admin(
        ("GET", "/v1/routes/{name}"),
        "One route.",
        Scope::User(0),
        BODY_MAX,
        ("", ROUTE),
    ),
    Endpoint::admin(
        ("DELETE", "/v1/routes/{name}"),
        "Deletes a route.",
        Scope::User(0),
        BODY_MAX,
        ("", ""),
    ),
    Endpoint::admin(
        ("GET", "/v1/dial-plan"),
        "How people here dial.",
        Scope::Any,
        BODY_MAX,
        ("", PLAN),
    ),
    Endpoint::admin(
        ("PUT", "/v1/dial-plan"),
        "Replaces the dial plan.",
        Scope::Any,
        BODY_MAX,
        (PLAN, PLAN),
    ),
    Endpoint::admin(
        ("GET", "/v1/route/explain"),
        "Where a call would go and why: `from` (user/NAME, trunk/NAME, stranger), `to`, and if wanted `at` and `shows`.",
        Scope::Any,
        BODY_MAX,
        (
            "",
            r#"{"from":"trunk/acme","to":"+15550100","number":"+15550100","candidates":[{"kind":"number","name":"+15550100","matched":true,"why":"is a number of ours"}],"stages":[],"refusal":null}"#,
        ),
    ),
];

const TRUNK: &str = r#"{"name":"acme","server":"sip.acme.example","register":true,"user":"88231","has_password":true,"health":{"up":true}}"#;
const NUMBER: &str = r#"{"number":"+15550100","rings":["user/1001"]}"#;
const ROUTE: &str = r#"{"name":"out","priority":0,"to":["+*"],"trunks":[{"trunk":"acme","priority":1,"weight":1}]}"#;
const PLAN: &str = r#"{"country":"49","national_prefix":"0","international_prefixes":["00"],"emergency":["110","112"],"rules":[]}"#;

static MANIFEST: Manifest = Manifest {
    name: "trunks",
    purpose: "Trunks, numbers and routes.",
    settings: Config::REFERENCE,
    migrations: store::MIGRATIONS,
    tables: store::TABLES,
    endpoints: ENDPOINTS,
    refusals: REFUSALS,
    ..Manifest::EMPTY
};

/// A refusal with what was tried.
type Refused = switchboard::Refused<Refusal>;

/// See the head of this file.
#[derive(Debug)]
pub struct Room {
    config: Config,
    /// Reading everything from the store; `None` when that is done.
    loading: Option<Loading>,
    pending: BTreeMap<Ticket, Pending>,
    /// Trunks whose home is here.
    watches: BTreeMap<String, Watch>,
}

/// What a ticket is for. `api`: the request that waits.
#[derive(Debug)]
enum Pending {
    Drop {
        api: u64,
        kind: Kind,
        name: String,
    },
    /// OPTIONS to a trunk.
    Probe {
        trunk: String,
    },
    /// A number that another room wants, or wants no more: nobody waits for an answer.
    Wanted {
        number: String,
        wanted: Option<Box<Number>>,
    },
    Put {
        api: u64,
        fact: Fact,
        new: bool,
    },
    /// REGISTER at a trunk.
    Register {
        trunk: String,
    },
    /// Where a trunk is.
    Resolve {
        trunk: String,
    },
    /// Nobody waits: a registration that ends.
    Unregister,
    /// A timer of a watch.
    Watch {
        trunk: String,
    },
}

impl Room {
    /// A room that knows nothing until it hears that the shard began.
    pub fn new(config: Config) -> Self {
        Self { config, loading: None, pending: BTreeMap::new(), watches: BTreeMap::new() }
    }
}

impl Service for Room {
    fn manifest(&self) -> &'static Manifest {
        &MANIFEST
    }

    fn offer(&mut self, session: &Session<'_>, effects: &mut Effects<'_>) -> bool {
        let Session::Api(request) = session else { return false };
        if let Err(refused) = self.api(request, effects) {
            refused.answer(request.id, effects);
        }
        true
    }

    fn on_notice(&mut self, notice: &Notice, effects: &mut Effects<'_>) {
        if matches!(notice, Notice::Started | Notice::Restarted) {
            self.load(effects);
        }
        if let Notice::NumberWanted { number, wanted } = notice {
            self.number_wanted(number, wanted.as_deref(), effects);
        }
        if let Notice::RoutingChanged(change) = notice {
            self.changed((**change).clone(), effects);
        }
    }

    fn on_reply(&mut self, ticket: Ticket, reply: Reply, effects: &mut Effects<'_>) {
        let Some(pending) = self.pending.remove(&ticket) else {
            if let Reply::Rows(rows) = reply {
                self.loaded(ticket, rows, effects);
            }
            return;
        };
        match (pending, reply) {
            (Pending::Put { api, fact, new }, Reply::Written(Ok(()))) => {
                let shown = fact.shown();
                effects.publish(Notice::RoutingChanged(Box::new(fact.change())));
                let status = if new { 201 } else { 200 };
                effects.answer(api, ApiResponse::json(status, &shown));
            }
            (Pending::Drop { api, kind, name }, Reply::Written(Ok(()))) => {
                effects.publish(Notice::RoutingChanged(Box::new(kind.gone(&name))));
                effects.answer(api, ApiResponse::empty(204));
            }
            (Pending::Wanted { number, wanted }, Reply::Written(Ok(()))) => {
                let change = Change::Number(number, wanted.map(|number| *number));
                effects.publish(Notice::RoutingChanged(Box::new(change)));
            }
            (Pending::Put { api, .. } | Pending::Drop { api, .. }, Reply::Written(Err(fault))) => {
                effects.refuse_api(api, &Refusal::of_store(fault));
            }
            (Pending::Probe { trunk }, Reply::Response(response)) => {
                self.probed(&trunk, &response, effects);
            }
            (Pending::Resolve { trunk }, Reply::Resolved(hops)) => {
                self.resolved(&trunk, hops, effects);
            }
            (Pending::Register { trunk }, Reply::Response(response)) => {
                self.registered(&trunk, &response, effects);
            }
            // No other answer fits a question of ours.
            (_, _) => (),
        }
    }

    fn on_timer(&mut self, ticket: Ticket, effects: &mut Effects<'_>) {
        match self.pending.remove(&ticket) {
            Some(Pending::Watch { trunk }) => self.watch_again(&trunk, ticket, effects),
            Some(_) => (),
            None => self.load_again(ticket, effects),
        }
    }
}

impl Room {
    /// Another room wants a number made, changed or deleted; who wants too much hears nothing.
    fn number_wanted(&mut self, name: &str, wanted: Option<&Number>, effects: &mut Effects<'_>) {
        let numbers = &effects.directory().routing().numbers;
        let known = numbers.contains_key(name);
        let ticket = match wanted {
            Some(number) => {
                let room = known || numbers.len() < NUMBERS_MAX;
                if self.loading.is_some() || !room || !body::is_e164(name) || number.number != name
                {
                    return;
                }
                let fact = Fact::Number(number.clone());
                effects.write(store::put(&fact, effects.unix()))
            }
            None => effects.write(store::drop(Kind::Number.word(), name)),
        };
        let wanted = wanted.cloned().map(Box::new);
        self.pending.insert(ticket, Pending::Wanted { number: name.to_owned(), wanted });
    }

    /// A fact of any room: the directory of this shard follows.
    fn changed(&mut self, change: Change, effects: &mut Effects<'_>) {
        self.touched(&change);
        let trunk = match &change {
            Change::Trunk(name, trunk) => Some((name.clone(), trunk.is_some())),
            Change::DialPlan(_)
            | Change::HopFailed(_, _)
            | Change::Number(_, _)
            | Change::Route(_, _)
            | Change::TrunkHealth(_, _) => None,
        };
        if let Some((name, _)) = &trunk {
            self.unwatch(name, effects);
        }
        effects.put_routing(change);
        if let Some((name, true)) = trunk {
            self.watch(&name, effects);
        }
    }
}
