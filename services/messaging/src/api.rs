//! Messages over HTTP.

use serde::Deserialize;
use serde_json::{Value, json};
use switchboard::store::{Row, StoreFault};
use switchboard::{ApiRequest, ApiResponse, Effects};
use types::Refuse;

use crate::delivery::Sender;
use crate::letter::Letter;
use crate::{
    BODY_MAX, ENDPOINTS, LIMIT_MAX, Purpose, QUESTIONS_MAX, Refusal, Room, address, known, store,
};

/// Messages of an answer whose question names no limit.
const PAGE: u16 = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    from: String,
    to: String,
    text: String,
    #[serde(default)]
    content_type: Option<String>,
    #[serde(default)]
    expires: Option<u32>,
}

/// A refusal with what was tried.
struct Refused(Refusal, Value);

impl Refused {
    fn field(refusal: Refusal, field: &str, given: &str) -> Self {
        Self(refusal, json!({"field": field, "given": given}))
    }
}

impl Room {
    pub(crate) fn api(&mut self, request: &ApiRequest, effects: &mut Effects<'_>) {
        let method = ENDPOINTS.get(usize::from(request.endpoint)).map(|row| row.method);
        let done = match method {
            Some("POST") => self.post(request, effects),
            Some(_) | None => self.list(request, effects),
        };
        if let Err(Refused(refusal, tried)) = done {
            effects.count(refusal.verdict().code);
            effects.answer(request.id, ApiResponse::refusal(&refusal, &tried));
        }
    }

    fn post(&mut self, request: &ApiRequest, effects: &mut Effects<'_>) -> Result<(), Refused> {
        let body: Body = serde_json::from_slice(&request.body)
            .map_err(|why| Refused::field(Refusal::Malformed, "body", &why.to_string()))?;
        let to = user_of(&body.to, effects);
        let from = user_of(&body.from, effects);
        for (field, user) in [("from", &from), ("to", &to)] {
            known(user, effects).map_err(|refusal| Refused::field(refusal, field, user))?;
        }
        let kind = body.content_type.unwrap_or_else(|| "text/plain".into());
        if body.text.len() > BODY_MAX {
            return Err(Refused(Refusal::TooLong, json!({"octets": body.text.len()})));
        }
        if kind.chars().any(char::is_control) || !kind.contains('/') {
            return Err(Refused::field(Refusal::Malformed, "content_type", &kind));
        }
        if effects.forward(request, &to) {
            return Ok(());
        }
        let uri = address(&from, effects);
        let name = effects.directory().user(&from).map(|user| user.display_name.clone());
        let name_addr = match name.filter(|name| !name.is_empty()) {
            Some(name) => format!("{} <{uri}>", sip::write::quote(&name)),
            None => format!("<{uri}>"),
        };
        let letter = Letter {
            from: name_addr,
            from_uri: uri,
            content_type: kind,
            body: body.text.into_bytes(),
            ..self.letter(&to, body.expires, effects)
        };
        self.submit(letter, &from, Sender::Api(request.id), effects)
            .map_err(|refusal| Refused::field(refusal, "to", &to))
    }

    fn list(&mut self, request: &ApiRequest, effects: &mut Effects<'_>) -> Result<(), Refused> {
        let user = request.query("user").unwrap_or_default();
        if user.is_empty() || user.contains('\0') {
            return Err(Refused::field(Refusal::Malformed, "user", user));
        }
        let limit = match request.query("limit") {
            Some(text) => text
                .parse()
                .ok()
                .filter(|limit| (1..=LIMIT_MAX).contains(limit))
                .ok_or_else(|| Refused::field(Refusal::Malformed, "limit", text))?,
            None => PAGE,
        };
        if self.questions >= QUESTIONS_MAX {
            return Err(Refused(Refusal::TooManyQuestions, Value::Null));
        }
        self.questions += 1;
        let user = user_of(user, effects);
        let ticket = effects.load(store::messages(&address(&user, effects), limit));
        self.tickets.insert(ticket, Purpose::List { api: request.id, user });
        Ok(())
    }

    pub(crate) fn listed(
        &self,
        api: u64,
        user: &str,
        rows: Result<Vec<Row>, StoreFault>,
        effects: &mut Effects<'_>,
    ) {
        let rows = match rows {
            Ok(rows) => rows,
            Err(StoreFault::Unreachable) => {
                effects.refuse_api(api, &Refusal::StoreUnreachable);
                return;
            }
            Err(StoreFault::Broken | StoreFault::Conflict | StoreFault::Mismatch { .. }) => {
                effects.refuse_api(api, &Refusal::StoreBroken);
                return;
            }
        };
        let waiting =
            self.queues.get(user).into_iter().flat_map(|queue| queue.letters.iter().rev());
        let to = address(user, effects);
        let waiting = waiting.map(|one| {
            json!({
                "id": one.letter.id().to_string(),
                "from": one.letter.from_uri,
                "to": to,
                "content_type": one.letter.content_type,
                "size": one.letter.body.len(),
                "sent_at": one.letter.sent.to_string(),
                "until": one.letter.until.to_string(),
                "state": "waiting",
            })
        });
        let items: Vec<Value> = waiting.chain(rows.iter().filter_map(store::show)).collect();
        let list = json!({"items": items, "next": null});
        effects.answer(api, ApiResponse::json(200, &list));
    }
}

/// A user by his name, or by his address at our domain.
fn user_of(text: &str, effects: &Effects<'_>) -> String {
    let uri = sip::Uri::decode(text.as_bytes()).ok().filter(|uri| effects.is_ours(uri));
    let user = uri.and_then(|uri| String::from_utf8(uri.user_unescaped()?.into_owned()).ok());
    user.unwrap_or_else(|| text.to_owned())
}
