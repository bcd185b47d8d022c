//! Groups over the API.

use serde_json::{Value, json};
use switchboard::group::Group;
use switchboard::{ApiRequest, ApiResponse, Effects, Endpoint, Scope};

use crate::{BODY_MAX, Pending, Refusal, Refused, Room, body, store};

/// Requests of the API.
pub const ENDPOINTS: &[Endpoint] = &[
    Endpoint::admin(("GET", "/v1/groups"), "Lists all groups.", Scope::Any, BODY_MAX, ("", LIST)),
    Endpoint::admin(
        ("PUT", "/v1/groups/{name}"),
        "Makes or replaces a group. Members are users that exist; instructions hold by kind (`call`, `video`, `message`), and a member's own come first.",
        Scope::User(0),
        BODY_MAX,
        (
            r#"{"kind":"shared","display_name":"Front desk","number":"+15550111","members":[{"user":"1001","priority":5,"role":"talk","skills":["billing"]}],"ring":{"plan":"in_turn","each":20},"instructions":{"call":{"identity":"group","others":"told","result":"shown"},"message":{"copies":true}}}"#,
            GROUP,
        ),
    ),
    Endpoint::admin(("GET", "/v1/groups/{name}"), "One group.", Scope::Any, BODY_MAX, ("", GROUP)),
    Endpoint::admin(
        ("DELETE", "/v1/groups/{name}"),
        "Deletes a group.",
        Scope::User(0),
        BODY_MAX,
        ("", ""),
    ),
];

const LIST: &str = r#"{"items":[],"next":null}"#;
const GROUP: &str = r#"{"name":"desk","address":"sip:desk@localhost","kind":"shared","display_name":"Front desk","number":"+15550111","addresses":[],"members":[{"user":"1001","priority":5,"role":"talk","skills":["billing"],"instructions":{"call":{},"message":{},"video":{}}}],"ring":{"plan":"in_turn","each":20},"instructions":{"call":{"identity":"group","others":"told","result":"shown"},"message":{"copies":true},"video":{}}}"#;

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
        let name = request.arg(0);
        match (method, path) {
            ("GET", "/v1/groups") => {
                let groups = effects.directory().groups().iter();
                let items: Vec<Value> = groups.map(|group| show(group, effects)).collect();
                let list = json!({"items": items, "next": null});
                effects.answer(request.id, ApiResponse::json(200, &list));
            }
            ("GET", _) => {
                let group = effects.directory().groups().get(name).ok_or(Refusal::NoSuchGroup)?;
                let shown = show(group, effects);
                effects.answer(request.id, ApiResponse::json(200, &shown));
            }
            ("PUT", _) => {
                let group = body::decode(name, &request.body, effects.directory())?;
                let new = !self.is_known(name, effects);
                let known = effects.directory().groups().iter().count();
                if new && known >= self.config.groups_max as usize {
                    return Err(Refusal::TooMany.into());
                }
                let ticket = effects.write(store::put(&group, effects.unix()));
                self.pending.insert(ticket, Pending::Put { api: request.id, group, new });
            }
            _ => {
                if !self.is_known(name, effects) {
                    return Err(Refusal::NoSuchGroup.into());
                }
                let ticket = effects.write(store::remove(name));
                let name = name.to_owned();
                self.pending.insert(ticket, Pending::Remove { api: request.id, name });
            }
        }
        Ok(())
    }

    /// Whether the group will be there when the writes under way are done.
    fn is_known(&self, name: &str, effects: &Effects<'_>) -> bool {
        for pending in self.pending.values().rev() {
            match pending {
                Pending::Put { group, .. } | Pending::Leave(group) if group.name == name => {
                    return true;
                }
                Pending::Remove { name: gone, .. } if gone == name => return false,
                Pending::Leave(_) | Pending::Put { .. } | Pending::Remove { .. } => (),
            }
        }
        effects.directory().groups().get(name).is_some()
    }
}

/// The whole resource.
pub fn show(group: &Group, effects: &Effects<'_>) -> Value {
    let mut shown = serde_json::to_value(group).unwrap_or_default();
    if let Some(fields) = shown.as_object_mut() {
        let address = format!("sip:{}@{}", group.name, effects.domain());
        fields.insert("address".to_owned(), address.into());
    }
    shown
}
