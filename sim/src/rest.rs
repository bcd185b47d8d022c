//! The edge of the API without a socket: which room's endpoint a path names, which shards answer, how lists join.

use serde_json::Value;
use switchboard::{Access, ApiRequest, ApiResponse, Endpoint, Keys, Manifest, Scope};
use types::{CallId, LegId, PushId, SessionId, Slot};

/// The tables of all rooms.
pub struct Rest {
    rows: Vec<(&'static str, u16, &'static Endpoint)>,
}

/// A request that found its endpoint.
pub struct Routed {
    /// What the shards get.
    pub request: ApiRequest,
    /// The shards that answer.
    pub shards: Vec<usize>,
    /// Whether the administrator's token is asked for.
    pub access: Access,
}

impl Rest {
    /// Reads the manifests.
    pub fn new(manifests: &[&'static Manifest]) -> Self {
        let rows = manifests
            .iter()
            .flat_map(|room| (0u16..).zip(room.endpoints).map(|(n, row)| (room.name, n, row)))
            .collect();
        Self { rows }
    }

    /// Finds the endpoint of a request. `target`: path and query.
    pub fn route(
        &self,
        id: u64,
        method: &str,
        target: &str,
        shards: usize,
        keys: &Keys,
    ) -> Option<Routed> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let query: Vec<(String, String)> = query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        let (room, endpoint, row, values) = self.rows.iter().find_map(|(room, n, row)| {
            let values = matches(row.path, path).filter(|_| row.method == method)?;
            Some((*room, *n, *row, values))
        })?;
        let value = |place: usize| values.get(place).map_or("", String::as_str);
        let slot = match row.scope {
            Scope::CallId(place) => slot_of_call_id(value(place)),
            Scope::Any => Some(Slot(0)),
            Scope::Every => None,
            Scope::Id(place) => slot_of_id(value(place)),
            // No story asks as an app does.
            Scope::Named(_) => Some(Slot(0)),
            Scope::User(place) => Some(keys.slot(value(place).as_bytes())),
            Scope::UserQuery(name) => query
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, user)| keys.slot(user.as_bytes())),
        };
        let shards = match slot {
            Some(slot) => vec![slot.shard(shards)],
            None if matches!(row.scope, Scope::CallId(_) | Scope::Id(_)) => vec![0],
            None => (0..shards).collect(),
        };
        let request = ApiRequest {
            id,
            room: room.to_owned(),
            endpoint,
            path: values,
            query,
            ..ApiRequest::default()
        };
        Some(Routed { request, shards, access: row.access })
    }
}

/// One answer of the parts that several shards gave.
pub fn join(mut parts: Vec<ApiResponse>) -> ApiResponse {
    let Some(first) = parts.pop() else { return ApiResponse::empty(503) };
    if parts.is_empty() {
        return first;
    }
    if let Some(place) = parts.iter().position(|part| part.status / 100 != 2) {
        return parts.swap_remove(place);
    }
    parts.push(first);
    let mut items = Vec::new();
    for part in &parts {
        if let Ok(Value::Object(object)) = serde_json::from_slice(&part.body)
            && let Some(Value::Array(list)) = object.get("items")
        {
            items.extend(list.iter().cloned());
        }
    }
    ApiResponse::json(200, &serde_json::json!({ "items": items, "next": null }))
}

/// The values of a path's `{names}`, when it fits.
fn matches(pattern: &str, path: &str) -> Option<Vec<String>> {
    let (mut pattern, mut path) = (pattern.split('/'), path.split('/'));
    let mut values = Vec::new();
    loop {
        match (pattern.next(), path.next()) {
            (None, None) => return Some(values),
            (Some(name), Some(part)) if name.starts_with('{') && !part.is_empty() => {
                values.push(part.to_owned());
            }
            (Some(word), Some(part)) if word == part => (),
            (_, _) => return None,
        }
    }
}

fn slot_of_call_id(text: &str) -> Option<Slot> {
    u8::from_str_radix(text.get(..2)?, 16).ok().map(Slot)
}

fn slot_of_id(text: &str) -> Option<Slot> {
    CallId::parse(text)
        .map(CallId::slot)
        .or_else(|| SessionId::parse(text).map(SessionId::slot))
        .or_else(|| LegId::parse(text).map(LegId::slot))
        .or_else(|| PushId::parse(text).map(PushId::slot))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_give_their_values() {
        let user = "/v1/users/{name}";
        assert_eq!(matches(user, "/v1/users/bob"), Some(vec!["bob".to_owned()]));
        assert_eq!(matches(user, "/v1/users"), None);
        assert_eq!(matches(user, "/v1/users/bob/image"), None);
        assert_eq!(matches("/v1/calls", "/v1/calls"), Some(Vec::new()));
    }
}
