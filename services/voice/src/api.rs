//! Requests of the API about call programs.

use serde_json::{Value, json};
use switchboard::ladder::Lane;
use switchboard::leg::LegCommand;
use switchboard::notice::CallFacts;
use switchboard::ring::{Answer, Outcome};
use switchboard::{Access, ApiRequest, ApiResponse, Effects, Endpoint, Scope};
use types::{CallId, SessionId};

use crate::call::Call;
use crate::socket::COMMAND;
use crate::{Refusal, Room};

pub(crate) const ENDPOINTS: &[Endpoint] = &[
    STATE,
    crate::rest::row("GET", 0),
    crate::rest::row("POST", crate::rest::FORM_MAX),
    crate::rest::row("DELETE", 0),
    COMMAND,
];

const STATE: Endpoint = Endpoint {
    method: "GET",
    path: "/v1/calls/{id}/state",
    doc: "What the program of a call does, and how much it keeps; not what callers pressed or apps keep.",
    access: Access::Admin,
    scope: Scope::Id(0),
    body_max: 0,
    request: "",
    response: r#"{"id":"call_…","doing":"gathering","document":"https://app.example/menu","verb":1,"digits":2,"cookies":1,"muted":false}"#,
};

impl Room {
    pub(crate) fn api(&mut self, request: &ApiRequest, effects: &mut Effects<'_>) -> bool {
        if let Some(row) = request.shared() {
            return self.shared(row, request, effects);
        }
        let row = ENDPOINTS.get(usize::from(request.endpoint));
        if let Some(row) = row.filter(|row| row.access == Access::Account) {
            self.rest(request, row.method, effects);
            return true;
        }
        if row.is_some_and(|row| row.path == COMMAND.path) {
            self.command(request, effects);
            return true;
        }
        let id = CallId::parse(request.arg(0));
        let call = id.and_then(|id| self.calls.get(&SessionId(id.0)));
        let response = match call {
            Some(call) => ApiResponse::json(200, &call.state()),
            None => ApiResponse::refusal(&Refusal::NoSuchCall, &json!({"id": request.arg(0)})),
        };
        effects.answer(request.id, response);
        true
    }
}

/// Requests about all calls, for those that run programs.
pub(crate) const SHARES: &[(&str, &str)] = &[
    ("GET", "/v1/calls"),
    ("GET", "/v1/calls/{id}"),
    ("DELETE", "/v1/calls/{id}"),
    ("GET", "/v1/push/replies/{call_id}"),
    ("POST", "/v1/push/replies/{call_id}"),
];

impl Room {
    /// Answers what is about a call of ours; leaves the rest to the room of the endpoint.
    fn shared(&mut self, row: u16, request: &ApiRequest, effects: &mut Effects<'_>) -> bool {
        let session = CallId::parse(request.arg(0)).map(|id| SessionId(id.0));
        let known = session.filter(|session| self.calls.contains_key(session));
        match (row, known) {
            (0, _) => {
                let mut calls: Vec<&Call> = self.calls.values().map(|call| &**call).collect();
                calls.sort_by_key(|call| (call.facts.began, call.session));
                let items: Vec<Value> = calls.into_iter().map(shown).collect();
                let list = json!({ "items": items, "next": null });
                effects.answer(request.id, ApiResponse::json(200, &list));
            }
            (1, Some(session)) => {
                let Some(call) = self.calls.get(&session) else { return false };
                effects.answer(request.id, ApiResponse::json(200, &shown(call)));
            }
            (2, Some(session)) => {
                let Some(call) = self.calls.get(&session) else { return false };
                let end = LegCommand::End { status: 480, headers: Vec::new() };
                effects.leg(session, call.leg, end);
                self.finish(session, (480, "cancelled", "server"), effects);
                effects.answer(request.id, ApiResponse::empty(204));
            }
            (3 | 4, _) => return self.push_reply(request, row == 4, effects),
            (_, _) => return false,
        }
        true
    }

    /// The reply address of a push for somebody whom a program dials.
    fn push_reply(
        &mut self,
        request: &ApiRequest,
        replies: bool,
        effects: &mut Effects<'_>,
    ) -> bool {
        let id = request.arg(0);
        let Some(session) = self.replies.get(id).copied() else { return false };
        let Some(call) = self.calls.get(&session) else { return false };
        let Some(dialling) = &call.dialling else { return false };
        // Whoever holds no token of ours hears what the other room says of calls that it does not know.
        let Some(hunt) = dialling.hunts().find(|hunt| hunt.device(&request.bearer).is_some())
        else {
            return false;
        };
        let Some(prid) = hunt.device(&request.bearer).map(str::to_owned) else { return false };
        if !replies {
            let Some(shown) = hunt.offer_shown(&request.bearer, effects) else { return false };
            effects.answer(request.id, ApiResponse::json(200, &shown));
            return true;
        }
        let Some((action, answer)) = Answer::read(&request.body) else {
            effects.refuse_api(request.id, &Refusal::BadReply);
            return true;
        };
        let state = answer.leads_to();
        let words = format!("reply to the push: {action}");
        effects.ladder(CallId(session.0), Lane::Web, &words);
        let mut answer = Some(answer);
        self.hunting(session, effects, |hunt, effects| {
            match answer.take_if(|_| hunt.device(&request.bearer).is_some()) {
                Some(answer) => hunt.answered(&prid, answer, effects),
                None => Outcome::Pending,
            }
        });
        let said = json!({ "call_id": id, "state": state });
        effects.answer(request.id, ApiResponse::json(200, &said));
        true
    }
}

/// As calls of two are shown, with what the program does.
fn shown(call: &Call) -> Value {
    let CallFacts { from, to, from_name, began, rang, answered, call_id, .. } = &call.facts;
    let state = match (answered, rang) {
        (Some(_), _) => "talking",
        (None, Some(_)) => "ringing",
        (None, None) => "trying",
    };
    json!({
        "id": CallId(call.session.0).to_string(),
        "from": from,
        "from_name": from_name,
        "to": to,
        "state": state,
        "program": call.program.doing(),
        "began": began.to_string(),
        "answered": answered.map(|time| time.to_string()),
        "sip_call_id": call_id,
        "guests": [],
        "quality": switchboard::facts::quality_json(call.facts.quality.as_deref()),
    })
}
