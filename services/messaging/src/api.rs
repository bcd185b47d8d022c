//! Messages over HTTP.

use serde::Deserialize;
use serde_json::{Value, json};
use switchboard::store::{Row, StoreFault};
use switchboard::{ApiRequest, ApiResponse, Effects, Usual};

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
type Refused = switchboard::Refused<Refusal>;

impl Room {
    pub(crate) fn api(&mut self, request: &ApiRequest, effects: &mut Effects<'_>) {
        let method = ENDPOINTS.get(usize::from(request.endpoint)).map(|row| row.method);
        let done = match method {
            Some("POST") => self.post(request, effects),
            Some(_) | None => self.list(request, effects),
        };
        if let Err(refused) = done {
            refused.answer(request.id, effects);
        }
    }

    fn post(&mut self, request: &ApiRequest, effects: &mut Effects<'_>) -> Result<(), Refused> {
        let body: Body = serde_json::from_slice(&request.body)
            .map_err(|why| Refused::given(Refusal::Malformed, "body", &why.to_string()))?;
        let to = user_of(&body.to, effects);
        let from = user_of(&body.from, effects);
        for (field, user) in [("from", &from), ("to", &to)] {
            known(user, effects).map_err(|refusal| Refused::given(refusal, field, user))?;
        }
        let kind = body.content_type.unwrap_or_else(|| "text/plain".into());
        if body.text.len() > BODY_MAX {
            return Err(Refused::with(Refusal::TooLong, json!({"octets": body.text.len()})));
        }
        if kind.chars().any(char::is_control) || !kind.contains('/') {
            return Err(Refused::given(Refusal::Malformed, "content_type", &kind));
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
            .map_err(|refusal| Refused::given(refusal, "to", &to))
    }

    fn list(&mut self, request: &ApiRequest, effects: &mut Effects<'_>) -> Result<(), Refused> {
        let user = request.query("user").unwrap_or_default();
        if user.is_empty() || user.contains('\0') {
            return Err(Refused::given(Refusal::Malformed, "user", user));
        }
        let limit = match request.query("limit") {
            Some(text) => text
                .parse()
                .ok()
                .filter(|limit| (1..=LIMIT_MAX).contains(limit))
                .ok_or_else(|| Refused::given(Refusal::Malformed, "limit", text))?,
            None => PAGE,
        };
        if self.questions >= QUESTIONS_MAX {
            return Err(Refusal::TooManyQuestions.into());
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
            Err(fault) => return effects.refuse_api(api, &Refusal::of_store(fault)),
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
    effects.user_at(text.as_bytes()).unwrap_or_else(|| text.to_owned())
}
