//! Requests of the API on their way to a room, and to those that share its endpoint.
//!
//! Rules       A room that shares an endpoint is asked before the room whose it is; who takes the request answers it. Of
//!             a list each gives its part, and the parts are joined in corridor order.
//! Not here    Which shard is asked, and joining what shards say (shell/web).

use std::collections::BTreeSet;

use serde_json::Value;
use types::Refuse;

use super::Shard;
use crate::input::{ApiRequest, ApiResponse, Output};
use crate::refusal::Refusal;
use crate::service::{Endpoint, Scope, Session};

impl Shard {
    pub(super) fn api(&mut self, request: ApiRequest) {
        let place = self.core.room_names.iter().position(|name| *name == request.room);
        let Some(place) = place else { return };
        let endpoint = self.endpoint(place, &request);
        let changes = endpoint.is_some_and(changes);
        if (self.core.log_paused || self.core.log_failed) && changes {
            return self.refuse_api(request.id, Refusal::LogUnwritable);
        }
        let before = self.core.out.list.len();
        let is_list = endpoint.is_some_and(|endpoint| endpoint.scope == Scope::Every);
        for (place, own) in self.shared(endpoint, &request) {
            if self.ask_room(place, &own) && !is_list {
                return;
            }
        }
        if !self.ask_room(place, &request) {
            return self.refuse_api(request.id, Refusal::NobodyCares);
        }
        if is_list {
            self.join(request.id, before);
        }
    }

    fn ask_room(&mut self, place: usize, request: &ApiRequest) -> bool {
        let offer = Session::Api(request);
        self.visit(place, None, |room, effects| room.offer(&offer, effects)) == Some(true)
    }

    fn refuse_api(&mut self, id: u64, refusal: Refusal) {
        self.core.count(refusal.verdict().code);
        let response = ApiResponse::refusal(&refusal, &Value::Null);
        self.core.out.list.push(Output::Api { id, response, after: None });
    }

    fn endpoint(&self, place: usize, request: &ApiRequest) -> Option<&'static Endpoint> {
        let room = self.rooms.get(place)?.as_ref()?;
        room.manifest().endpoints.get(usize::from(request.endpoint))
    }

    /// The rooms that share an endpoint, with the request as they know it.
    fn shared(
        &self,
        endpoint: Option<&'static Endpoint>,
        request: &ApiRequest,
    ) -> Vec<(usize, ApiRequest)> {
        let Some(endpoint) = endpoint else { return Vec::new() };
        let row = (endpoint.method, endpoint.path);
        let sharing = |(place, room): (usize, &Option<Box<dyn crate::Service>>)| {
            let manifest = room.as_ref()?.manifest();
            let found = manifest.shares.iter().position(|known| *known == row)?;
            let endpoint = ApiRequest::SHARED | u16::try_from(found).ok()?;
            let room = manifest.name.to_owned();
            Some((place, ApiRequest { room, endpoint, ..request.clone() }))
        };
        self.rooms.iter().enumerate().filter_map(sharing).collect()
    }

    /// Makes one answer of those that rooms gave to one request since `before`; the last one has the form.
    fn join(&mut self, id: u64, before: usize) {
        let own = |output: &Output| matches!(output, Output::Api { id: known, .. } if *known == id);
        let places: BTreeSet<usize> = (before..self.core.out.list.len())
            .filter(|place| self.core.out.list.get(*place).is_some_and(own))
            .collect();
        let Some(last) = places.last().copied().filter(|_| places.len() > 1) else { return };
        let mut items = Vec::new();
        for place in &places {
            let Some(Output::Api { response, .. }) = self.core.out.list.get(*place) else {
                continue;
            };
            let read = serde_json::from_slice::<Value>(&response.body);
            if let Ok(Some(Value::Array(more))) =
                read.map(|mut value| value.get_mut("items").map(Value::take))
            {
                items.extend(more);
            }
        }
        if let Some(Output::Api { response, .. }) = self.core.out.list.get_mut(last)
            && let Ok(mut whole) = serde_json::from_slice::<Value>(&response.body)
            && whole.get("items").is_some()
        {
            whole["items"] = Value::Array(items);
            response.body = whole.to_string().into_bytes();
        }
        let mut place = 0;
        self.core.out.list.retain(|_| {
            let keep = place == last || !places.contains(&place);
            place += 1;
            keep
        });
    }
}

/// Whether a request may add to what must be kept. What ends something may pass: there is room set aside for it.
fn changes(endpoint: &Endpoint) -> bool {
    !matches!(endpoint.method, "DELETE" | "GET")
}
