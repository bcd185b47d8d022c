//! Requests of the API.

use serde_json::{Value, json};
use switchboard::lines::Line;
use switchboard::route::{self, Health, Origin, Question, Trunk};
use switchboard::{ApiRequest, ApiResponse, Effects, seal};
use types::UnixTime;

use crate::body::{self, DIAL_PLAN, Fact, Kind};
use crate::{
    ENDPOINTS, NUMBERS_MAX, Pending, ROUTES_MAX, Refusal, Refused, Room, TRUNKS_MAX, store,
};

/// Longest value of a query. Units: octets.
const QUERY_MAX: usize = 256;

impl Room {
    pub(crate) fn api(
        &mut self,
        request: &ApiRequest,
        effects: &mut Effects<'_>,
    ) -> Result<(), Refused> {
        if self.loading.is_some() {
            return Err(Refusal::Loading.into());
        }
        let row = ENDPOINTS.get(usize::from(request.endpoint));
        let (method, path) = row.map_or(("", ""), |row| (row.method, row.path));
        let kind = match path.split('/').nth(2).unwrap_or_default() {
            "numbers" => Kind::Number,
            "routes" => Kind::Route,
            "trunks" => Kind::Trunk,
            "route" => return explain(request, effects),
            _ => Kind::DialPlan,
        };
        let one = path.contains('{') || kind == Kind::DialPlan;
        match (method, one) {
            ("GET", true) => {
                let fact = self.known(kind, request.arg(0), effects).ok_or(missing(kind))?;
                let shown = show(&fact, effects);
                effects.answer(request.id, ApiResponse::json(200, &shown));
                Ok(())
            }
            ("GET", false) => {
                list(kind, request, effects);
                Ok(())
            }
            ("PUT", _) => self.put(kind, request, effects),
            (_, _) => self.delete(kind, request, effects),
        }
    }

    fn put(
        &mut self,
        kind: Kind,
        request: &ApiRequest,
        effects: &mut Effects<'_>,
    ) -> Result<(), Refused> {
        let name = request.arg(0);
        let known = self.known(kind, name, effects);
        let routing = effects.directory().routing();
        let (count, most) = match kind {
            Kind::DialPlan => (0, 1),
            Kind::Number => (routing.numbers.len(), NUMBERS_MAX),
            Kind::Route => (routing.routes.len(), ROUTES_MAX),
            Kind::Trunk => (routing.trunks.len(), TRUNKS_MAX),
        };
        if known.is_none() && count >= most {
            return Err(Refusal::TooMany.into());
        }
        let fact = match kind {
            Kind::DialPlan => Fact::DialPlan(body::dial_plan(&request.body)?),
            Kind::Number => Fact::Number(body::number(name, &request.body)?),
            Kind::Route => Fact::Route(Box::new(body::route(name, &request.body)?)),
            Kind::Trunk => {
                let (mut trunk, password) = body::trunk(name, &request.body)?;
                trunk.sealed = match (password, &known) {
                    (Some(password), _) if password.is_empty() => Vec::new(),
                    (Some(password), _) => {
                        let key = effects.keys().seal;
                        seal::seal(&key, password.as_bytes(), effects.rng())
                    }
                    (None, Some(Fact::Trunk(known))) => known.sealed.clone(),
                    (None, _) => Vec::new(),
                };
                Fact::Trunk(Box::new(trunk))
            }
        };
        let ticket = effects.write(store::put(&fact, effects.unix()));
        let new = known.is_none();
        self.pending.insert(ticket, Pending::Put { api: request.id, fact, new });
        Ok(())
    }

    fn delete(
        &mut self,
        kind: Kind,
        request: &ApiRequest,
        effects: &mut Effects<'_>,
    ) -> Result<(), Refused> {
        let name = request.arg(0).to_owned();
        self.known(kind, &name, effects).ok_or(missing(kind))?;
        let ticket = effects.write(store::drop(kind.word(), &name));
        self.pending.insert(ticket, Pending::Drop { api: request.id, kind, name });
        Ok(())
    }

    /// A fact as it will be when the writes under way are done.
    fn known(&self, kind: Kind, name: &str, effects: &Effects<'_>) -> Option<Fact> {
        let name = if kind == Kind::DialPlan { DIAL_PLAN } else { name };
        for pending in self.pending.values().rev() {
            match pending {
                Pending::Put { fact, .. } if fact.kind() == kind && fact.name() == name => {
                    return Some(fact.clone());
                }
                Pending::Drop { kind: gone, name: other, .. } if *gone == kind && other == name => {
                    return None;
                }
                _ => (),
            }
        }
        let routing = effects.directory().routing();
        match kind {
            Kind::DialPlan => Some(Fact::DialPlan(routing.plan.clone())),
            Kind::Number => routing.numbers.get(name).cloned().map(Fact::Number),
            Kind::Route => {
                let route = routing.routes.iter().find(|route| route.name == name);
                route.cloned().map(|route| Fact::Route(Box::new(route)))
            }
            Kind::Trunk => {
                routing.trunks.get(name).cloned().map(|trunk| Fact::Trunk(Box::new(trunk)))
            }
        }
    }
}

fn missing(kind: Kind) -> Refusal {
    match kind {
        Kind::DialPlan | Kind::Number => Refusal::NoSuchNumber,
        Kind::Route => Refusal::NoSuchRoute,
        Kind::Trunk => Refusal::NoSuchTrunk,
    }
}

fn list(kind: Kind, request: &ApiRequest, effects: &mut Effects<'_>) {
    let routing = effects.directory().routing();
    let facts: Vec<Fact> = match kind {
        Kind::DialPlan => Vec::new(),
        Kind::Number => routing.numbers.values().cloned().map(Fact::Number).collect(),
        Kind::Route => {
            routing.routes.iter().map(|route| Fact::Route(Box::new(route.clone()))).collect()
        }
        Kind::Trunk => {
            routing.trunks.values().map(|trunk| Fact::Trunk(Box::new(trunk.clone()))).collect()
        }
    };
    let items: Vec<Value> = facts.iter().map(|fact| show(fact, effects)).collect();
    effects.answer(request.id, ApiResponse::json(200, &json!({"items": items, "next": null})));
}

/// A fact; of a trunk also how it is doing.
fn show(fact: &Fact, effects: &Effects<'_>) -> Value {
    let mut shown = fact.shown();
    if let (Fact::Trunk(trunk), Some(fields)) = (fact, shown.as_object_mut()) {
        let health = effects.directory().routing().health.get(&trunk.name);
        fields.insert("health".to_owned(), health_of(trunk, health, effects));
        if effects.hosts(effects.home(&trunk.name)) && trunk.allowance().is_some() {
            let calls = effects.line_count(&Line::Trunk(trunk.name.clone()));
            fields.insert("calls".to_owned(), calls.into());
        }
    }
    shown
}

fn health_of(trunk: &Trunk, health: Option<&Health>, effects: &Effects<'_>) -> Value {
    let Some(health) = health else { return json!({"up": false, "why": "not looked at yet"}) };
    let (routing, now) = (effects.directory().routing(), effects.unix());
    let hops: Vec<String> = health.hops.iter().map(|hop| format!("{hop:?}")).collect();
    let failed = health.hops.iter().filter(|hop| routing.is_failed(hop, now));
    let failed: Vec<String> = failed.map(|hop| format!("{hop:?}")).collect();
    json!({
        "up": health.down.is_none(),
        "why": health.down,
        "registered_until": health.registered.filter(|_| trunk.register).map(|at| at.to_string()),
        "addresses": hops,
        "failed": failed,
        "since": health.since.to_string(),
    })
}

/// `GET /v1/route/explain`: asks what live calls ask.
fn explain(request: &ApiRequest, effects: &mut Effects<'_>) -> Result<(), Refused> {
    let text = |name: &str| request.query(name).filter(|text| text.len() <= QUERY_MAX);
    let wrong = |field, wants| Refused::malformed(field, wants);
    let origin = text("from").and_then(Origin::parse);
    let origin =
        origin.ok_or_else(|| wrong("from", "user/NAME, trunk/NAME or stranger in the query"))?;
    let routing = effects.directory().routing();
    match &origin {
        Origin::Trunk(name) if !routing.trunks.contains_key(name) => {
            return Err(Refusal::NoSuchTrunk.into());
        }
        Origin::User(name) if effects.directory().user(name).is_none() => {
            return Err(wrong("from", "the name of a user that there is"));
        }
        Origin::Stranger | Origin::Trunk(_) | Origin::User(_) => (),
    }
    let dialled = text("to").filter(|to| !to.is_empty());
    // A `+` of a query that was not escaped comes as a space.
    let dialled = dialled.map(|to| match to.strip_prefix(' ') {
        Some(digits) => format!("+{digits}"),
        None => to.to_owned(),
    });
    let dialled = dialled.ok_or_else(|| wrong("to", "what is dialled, in the query"))?;
    let time = match text("at") {
        None => effects.unix(),
        Some(at) => {
            UnixTime::parse(at).ok_or_else(|| wrong("at", "a time such as 2026-11-22T10:00:00Z"))?
        }
    };
    let chance = match text("chance") {
        None => effects.rng().next_u64(),
        Some(chance) => chance.parse().map_err(|_| wrong("chance", "a number"))?,
    };
    let shows = text("shows").map(str::to_owned);
    let question = Question { origin, shows, dialled, time, chance };
    let decision = route::decide(effects.directory(), &question);
    effects.answer(request.id, ApiResponse::json(200, &decision.json(&question)));
    Ok(())
}
