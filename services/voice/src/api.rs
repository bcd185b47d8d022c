//! Requests of the API about call programs.

use serde_json::json;
use switchboard::{Access, ApiRequest, ApiResponse, Effects, Endpoint, Scope};
use types::{CallId, SessionId};

use crate::{Refusal, Room};

pub(crate) const ENDPOINTS: &[Endpoint] = &[
    STATE,
    crate::rest::row("GET", 0),
    crate::rest::row("POST", crate::rest::FORM_MAX),
    crate::rest::row("DELETE", 0),
];

const STATE: Endpoint = Endpoint {
    method: "GET",
    path: "/v1/calls/{id}/state",
    doc: "What the program of a call does, and how much it keeps; not what callers pressed or apps keep.",
    access: Access::Admin,
    scope: Scope::Id(0),
    body_max: 0,
    request: "",
    response: r#"{"id":"call_…","doing":"gathering","document":"https://app.example/menu","verb":1,"digits":2,"cookies":1}"#,
};

impl Room {
    pub(crate) fn api(&mut self, request: &ApiRequest, effects: &mut Effects<'_>) {
        let row = ENDPOINTS.get(usize::from(request.endpoint));
        if let Some(row) = row.filter(|row| row.access == Access::Account) {
            return self.rest(request, row.method, effects);
        }
        let id = CallId::parse(request.arg(0));
        let call = id.and_then(|id| self.calls.get(&SessionId(id.0)));
        let response = match call {
            Some(call) => {
                let (source, at, digits) = call.program.position();
                let document = crate::address::Address::parse(&source.url);
                let value = json!({
                    "id": CallId(call.session.0).to_string(),
                    "doing": call.program.doing(),
                    // What stands behind the question mark may be about the caller.
                    "document": document.map(|found| format!("{}://{}{}", found.scheme, found.host(), found.path)),
                    "verb": at + 1,
                    "digits": digits.len(),
                    "cookies": call.jar.len(),
                });
                ApiResponse::json(200, &value)
            }
            None => ApiResponse::refusal(&Refusal::NoSuchCall, &json!({"id": request.arg(0)})),
        };
        effects.answer(request.id, response);
    }
}
