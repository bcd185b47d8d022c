//! What happened: call records for SQL, and lines of the event log.
//!
//! Picture     the end of a call in the keeper's log --project--> records_calls --v_calls--> GET /v1/records. Facts --> events.
//! Rules       The log is the record: a row follows from it alone, and twice the same entry is one row. Events carry
//!             no token and no password.
//! Limits      LIMIT_MAX records an answer, QUESTIONS_MAX questions that wait for the store.
//! Not here    Who ends a call and what its record says (the room that owns it), the order of events (shell).
//! Spec        CloudEvents 1.0 for the events' fields; RFC 3339 for times.
#![deny(missing_docs)]

mod config;
pub mod refusal;
pub mod store;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use switchboard::facts::{guests_json, quality_json, recording_json};
use switchboard::notice::CallFacts;
use switchboard::{
    Access, ApiRequest, ApiResponse, Effects, Endpoint, Manifest, Notice, Reply, Scope, Service,
    Session, Ticket, Usual,
};
use types::{CallId, UnixTime};

pub use config::Config;
pub use refusal::{REFUSALS, Refusal};

/// Records of one answer at most.
pub const LIMIT_MAX: u16 = 1_000;
/// Questions of one shard that wait for the store at most.
pub const QUESTIONS_MAX: usize = 256;

/// Requests of the API.
pub const ENDPOINTS: &[Endpoint] = &[Endpoint {
    method: "GET",
    path: "/v1/records",
    doc: "Calls that ended `since` a time, newest first; of one `user`, at most `limit`.",
    access: Access::Admin,
    scope: Scope::Any,
    body_max: 0,
    request: "",
    response: r#"{"items":[{"id":"call_…","from":"sip:1001@localhost","to":"sip:1002@localhost","from_name":"Ann","began_at":"2026-01-31T12:00:00.000Z","rang_at":"2026-01-31T12:00:00.120Z","answered_at":"2026-01-31T12:00:03.000Z","ended_at":"2026-01-31T12:00:15.000Z","talk_seconds":12,"outcome":"answered","hung_up_by":"caller","status":200,"refusal":"","sip_call_id":"…","guests":[{"user":"1003","as":"listened","from":"2026-01-31T12:00:05.000Z","until":"2026-01-31T12:00:15.000Z","quality":null}],"quality":{"caller":{"packets":600,"lost":3,"holes":3,"longest_hole":1,"late":0,"twice":0,"dropped":0,"capped":0,"jitter_ms":1.2,"round_trip_ms":20.1,"told_lost_percent":0.0,"told_mos":null,"mos":4.37},"callee":{"packets":598,"lost":0,"holes":0,"longest_hole":0,"late":0,"twice":0,"dropped":0,"capped":0,"jitter_ms":0.4,"round_trip_ms":null,"told_lost_percent":null,"told_mos":null,"mos":4.41}},"recordings":[{"name":"rec_…","state":"kept","channels":2,"began_at":"2026-01-31T12:00:05.000Z","address":"/media/….wav","seconds":10.0,"octets":320044,"end":"asked"}]}],"next":null}"#,
}];

static MANIFEST: Manifest = Manifest {
    name: "records",
    purpose: "Call records and the ordered event log.",
    settings: Config::REFERENCE,
    migrations: store::MIGRATIONS,
    tables: store::TABLES,
    endpoints: ENDPOINTS,
    refusals: REFUSALS,
    project: Some(store::project),
    ..Manifest::EMPTY
};

/// A refusal with what was tried.
type Refused = switchboard::Refused<Refusal>;

/// See the head of this file.
#[derive(Debug)]
pub struct Room {
    config: Config,
    /// Requests of the API that wait for rows.
    questions: BTreeMap<Ticket, u64>,
}

impl Room {
    /// A room without questions.
    pub fn new(config: Config) -> Self {
        Self { config, questions: BTreeMap::new() }
    }

    fn ask(&mut self, request: &ApiRequest, effects: &mut Effects<'_>) -> Result<(), Refused> {
        if self.questions.len() >= QUESTIONS_MAX {
            return Err(Refusal::TooManyQuestions.into());
        }
        let since = match request.query("since") {
            Some(text) => UnixTime::parse(text)
                .ok_or_else(|| Refused::given(Refusal::Malformed, "since", text))?,
            None => UnixTime(0),
        };
        let limit = match request.query("limit") {
            Some(text) => text
                .parse()
                .ok()
                .filter(|limit| (1..=LIMIT_MAX).contains(limit))
                .ok_or_else(|| Refused::given(Refusal::Malformed, "limit", text))?,
            None => self.config.page.clamp(1, LIMIT_MAX),
        };
        let address = match request.query("user") {
            Some(user) if user.contains('\0') => {
                return Err(Refused::given(Refusal::Malformed, "user", ""));
            }
            Some(user) if !user.is_empty() => format!("sip:{user}@{}", effects.domain()),
            Some(_) | None => String::new(),
        };
        let ticket = effects.load(store::calls(since, &address, limit));
        self.questions.insert(ticket, request.id);
        Ok(())
    }
}

impl Service for Room {
    fn manifest(&self) -> &'static Manifest {
        &MANIFEST
    }

    fn offer(&mut self, session: &Session<'_>, effects: &mut Effects<'_>) -> bool {
        let Session::Api(request) = session else { return false };
        if let Err(refused) = self.ask(request, effects) {
            refused.answer(request.id, effects);
        }
        true
    }

    fn on_notice(&mut self, notice: &Notice, effects: &mut Effects<'_>) {
        if let Notice::CallBegan(facts) = notice {
            call_event("call.began", facts, effects);
        }
        if let Notice::CallAnswered(facts) = notice {
            call_event("call.answered", facts, effects);
        }
        if let Notice::CallEnded(facts) = notice {
            call_event("call.ended", facts, effects);
        }
        if let Notice::BindingArrived { user, binding } = notice {
            let (whose, binding) = (user.clone(), binding.clone());
            let data = move || json!({"user": whose, "contact": bare(&binding.contact)});
            effects.event_later("binding.arrived", user.clone(), data);
        }
        if let Notice::BindingGone { user, contact, why } = notice {
            let data = json!({"user": user, "contact": bare(contact), "why": why});
            effects.event("binding.gone", user, &data);
        }
    }

    fn on_reply(&mut self, ticket: Ticket, reply: Reply, effects: &mut Effects<'_>) {
        let (Some(api), Reply::Rows(rows)) = (self.questions.remove(&ticket), reply) else {
            return;
        };
        match rows {
            Ok(rows) => {
                let items: Vec<Value> = rows.iter().filter_map(store::show).collect();
                let list = json!({"items": items, "next": null});
                effects.answer(api, ApiResponse::json(200, &list));
            }
            Err(fault) => effects.refuse_api(api, &Refusal::of_store(fault)),
        }
    }
}

fn call_event(kind: &'static str, facts: &Arc<CallFacts>, effects: &mut Effects<'_>) {
    let id = CallId(facts.session.0).to_string();
    let facts = Arc::clone(facts);
    effects.event_later(kind, id, move || shown(&facts));
}

/// A call as its events show it.
fn shown(facts: &CallFacts) -> Value {
    let time = |time: UnixTime| time.to_string();
    let mut data = json!({
        "id": CallId(facts.session.0).to_string(),
        "from": facts.from,
        "to": facts.to,
        "from_name": facts.from_name,
        "began_at": time(facts.began),
        "rang_at": facts.rang.map(time),
        "answered_at": facts.answered.map(time),
        "sip_call_id": facts.call_id,
    });
    if let Some(ended) = facts.ended {
        data["ended_at"] = json!(time(ended));
        data["talk_seconds"] =
            json!(facts.answered.map_or(0, |answered| ended.since(answered).as_secs()));
        data["outcome"] = json!(facts.outcome);
        data["hung_up_by"] = json!(facts.hung_up_by);
        data["status"] = json!(facts.status);
        data["refusal"] = json!(facts.refusal);
        data["guests"] = guests_json(facts);
        data["quality"] = quality_json(facts.quality.as_deref());
        data["recordings"] = facts.recordings.iter().map(recording_json).collect();
    }
    data
}

/// A contact without its parameters, which may hold a push token.
fn bare(contact: &str) -> &str {
    let host = contact.find('@').unwrap_or(0);
    let rest = contact.get(host..).unwrap_or_default();
    let end = rest.find([';', '?']).map_or(contact.len(), |at| host + at);
    contact.get(..end).unwrap_or_default()
}
