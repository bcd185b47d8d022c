//! The way to the rooms and back: which shard, waiting for it, joining what several say.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;
use switchboard::{ApiRequest, ApiResponse, Keys, Scope};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};
use types::{CallId, Slot};

use crate::Submit;
use crate::refusal::Refusal;

pub struct Rooms {
    keys: Keys,
    shards: usize,
    submit: Submit,
    in_flight_max: usize,
    next: AtomicU64,
    waiting: Mutex<HashMap<u64, oneshot::Sender<ApiResponse>>>,
}

impl Rooms {
    pub fn new(keys: Keys, shards: usize, submit: Submit, in_flight_max: usize) -> Self {
        let (next, waiting) = (AtomicU64::new(1), Mutex::default());
        Self { keys, shards: shards.max(1), submit, in_flight_max, next, waiting }
    }

    /// Hands the request over and waits until all shards that it is for have answered.
    pub async fn ask(
        &self,
        scope: Scope,
        request: ApiRequest,
        deadline: Instant,
    ) -> Result<ApiResponse, Refusal> {
        let waits = match self.shard(scope, &request) {
            Some(shard) => vec![self.hand(shard, request)?],
            None => (0..self.shards)
                .map(|shard| self.hand(shard, request.clone()))
                .collect::<Result<Vec<_>, _>>()?,
        };
        let mut answers = Vec::with_capacity(waits.len());
        for mut wait in waits {
            match timeout_at(deadline, &mut wait.answer).await {
                Ok(Ok(answer)) => answers.push(answer),
                // Nobody will answer any more: the edge is going away.
                Ok(Err(_)) => return Err(Refusal::Busy),
                Err(_) => return Err(Refusal::TimedOut),
            }
        }
        Ok(join(answers))
    }

    pub fn answer(&self, id: u64, response: ApiResponse) {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        if let Some(waiting) = waiting {
            // Whoever waited may have gone: then nobody misses the answer.
            drop(waiting.send(response));
        }
    }

    /// Requests that wait.
    pub fn in_flight(&self) -> usize {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn hand(&self, shard: usize, mut request: ApiRequest) -> Result<Wait<'_>, Refusal> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        request.id = id;
        let (sender, answer) = oneshot::channel();
        {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if waiting.len() >= self.in_flight_max {
                return Err(Refusal::Busy);
            }
            waiting.insert(id, sender);
        }
        // Made before the request leaves, so that every way out forgets the id.
        let wait = Wait { rooms: self, id, answer };
        (self.submit)(shard, request).map_err(|()| Refusal::Busy)?;
        Ok(wait)
    }

    /// `None`: all shards.
    fn shard(&self, scope: Scope, request: &ApiRequest) -> Option<usize> {
        let home = |name: &str| self.keys.slot(name.as_bytes());
        let slot = match scope {
            // Texts that are no ids go to any shard: its room says that there is no such thing.
            Scope::CallId(n) => first_octet(request.arg(n)).unwrap_or_default(),
            Scope::Id(n) => id_slot(request.arg(n)).unwrap_or_default(),
            Scope::Named(n) => named_slot(request.arg(n)).unwrap_or_default(),
            Scope::User(n) => home(request.arg(n)),
            Scope::UserQuery(name) => home(request.query(name)?),
            Scope::Any => Slot(0),
            Scope::Every => return None,
        };
        Some(slot.shard(self.shards))
    }
}

/// A request that waits; forgotten when it is dropped.
struct Wait<'a> {
    rooms: &'a Rooms,
    id: u64,
    answer: oneshot::Receiver<ApiResponse>,
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        let mut waiting = self.rooms.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.remove(&self.id);
    }
}

/// The slot of an id with any prefix.
fn id_slot(text: &str) -> Option<Slot> {
    let (_, letters) = text.rsplit_once('_')?;
    CallId::parse(&format!("call_{letters}")).map(CallId::slot)
}

/// The slot of a Call-ID of ours: the first octet of a UUID.
fn first_octet(text: &str) -> Option<Slot> {
    let digits = text.get(..2).filter(|two| two.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
    u8::from_str_radix(digits, 16).ok().map(Slot)
}

/// The slot of a session by the name that apps give it: two letters, then its id in hexadecimal digits.
fn named_slot(text: &str) -> Option<Slot> {
    text.get(..2).filter(|two| two.bytes().all(|letter| letter.is_ascii_uppercase()))?;
    first_octet(text.get(2..)?)
}

/// One answer out of those of all shards, in their order: the first "no" as it is, else the lists in one.
fn join(mut answers: Vec<ApiResponse>) -> ApiResponse {
    if let Some(no) = answers.iter().position(|answer| !(200..300).contains(&answer.status)) {
        return answers.swap_remove(no);
    }
    let read = |answer: &ApiResponse| serde_json::from_slice::<Value>(&answer.body).ok();
    if answers.len() < 2 {
        return answers.pop().unwrap_or_default();
    }
    let Some(values) = answers.iter().map(read).collect::<Option<Vec<Value>>>() else {
        return answers.swap_remove(0); // No lists: each said the same, such as 204.
    };
    let mut values = values.into_iter();
    let mut whole = values.next().unwrap_or_default();
    for value in values {
        let next = value.get("next").and_then(Value::as_str).map(str::to_owned);
        let items = match value {
            Value::Object(mut fields) => fields.remove("items"),
            _ => None,
        };
        if let (Some(Value::Array(all)), Some(Value::Array(more))) = (whole.get_mut("items"), items)
        {
            all.extend(more);
        }
        // A page ends where the first of its parts ends: the smallest mark leaves nothing out.
        let smaller = |known: &str| next.as_deref().is_some_and(|next| next < known);
        if next.is_some() && whole.get("next").and_then(Value::as_str).is_none_or(smaller) {
            whole["next"] = next.into();
        }
    }
    let mut answer = answers.swap_remove(0);
    answer.body = whole.to_string().into_bytes();
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn ids_name_their_slot() {
        let mut rng = types::Rng::from_number(1);
        let id = types::SessionId::mint(Slot(9), &mut rng);
        assert_eq!(id_slot(&id.to_string()), Some(Slot(9)));
        assert_eq!(id_slot("call_x"), None);
        assert_eq!(id_slot(""), None);
        assert_eq!(first_octet("fe6b0f00-0000-4000-8000-000000000000"), Some(Slot(0xfe)));
        for nonsense in ["", "f", "+1aa", "é1", "zz"] {
            assert_eq!(first_octet(nonsense), None, "{nonsense}");
            assert_eq!(named_slot(nonsense), None, "{nonsense}");
        }
        assert_eq!(named_slot("CAfe6b.json"), Some(Slot(0xfe)));
    }

    #[test]
    fn lists_are_joined_and_a_no_wins() {
        let list = |value: Value| ApiResponse::json(200, &value);
        let joined = join(vec![
            list(json!({"items": [1], "next": null})),
            list(json!({"items": [2, 3], "next": "m"})),
            list(json!({"items": [], "next": "c"})),
        ]);
        let value: Value = serde_json::from_slice(&joined.body).unwrap();
        assert_eq!(value, json!({"items": [1, 2, 3], "next": "c"}));
        let no = ApiResponse::json(409, &json!({"code": "x"}));
        assert_eq!(join(vec![list(json!({"items": []})), no.clone()]), no);
        assert_eq!(join(vec![ApiResponse::empty(204), ApiResponse::empty(204)]).status, 204);
        assert_eq!(join(vec![list(json!([])), list(json!(3))]).body, b"[]");
    }
}
