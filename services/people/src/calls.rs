//! What a user wants done with calls to him.

use serde_json::json;
use switchboard::route::CallSettings;
use switchboard::{ApiRequest, ApiResponse, Effects, Notice};

use crate::{Pending, Refusal, Refused, Room, body, store};

impl Room {
    pub(crate) fn one_calls(
        &self,
        request: &ApiRequest,
        effects: &mut Effects<'_>,
    ) -> Result<(), Refused> {
        let user = effects.directory().user(request.arg(0)).ok_or(Refusal::NoSuchUser)?;
        let calls = user.calls.as_deref().cloned().unwrap_or_default();
        effects.answer(request.id, ApiResponse::json(200, &json!(calls)));
        Ok(())
    }

    pub(crate) fn put_calls(
        &mut self,
        request: &ApiRequest,
        effects: &mut Effects<'_>,
    ) -> Result<(), Refused> {
        let name = request.arg(0).to_owned();
        self.latest(&name, effects).ok_or(Refusal::NoSuchUser)?;
        let calls = body::calls(&name, &request.body)?;
        // Whoever wants nothing special costs nothing.
        let kept = (calls != CallSettings::default()).then(|| Box::new(calls));
        self.keep_calls(request.id, name, kept, effects);
        Ok(())
    }

    pub(crate) fn delete_calls(
        &mut self,
        request: &ApiRequest,
        effects: &mut Effects<'_>,
    ) -> Result<(), Refused> {
        let name = request.arg(0).to_owned();
        self.latest(&name, effects).ok_or(Refusal::NoSuchUser)?;
        self.keep_calls(request.id, name, None, effects);
        Ok(())
    }

    fn keep_calls(
        &mut self,
        api: u64,
        name: String,
        calls: Option<Box<CallSettings>>,
        effects: &mut Effects<'_>,
    ) {
        let ticket = effects.write(store::put_calls(&name, calls.as_deref(), effects.unix()));
        self.pending.insert(ticket, Pending::PutCalls { api, name, calls });
    }

    pub(crate) fn calls_written(
        &mut self,
        api: u64,
        name: &str,
        calls: Option<Box<CallSettings>>,
        effects: &mut Effects<'_>,
    ) {
        let Some(mut user) = effects.directory().user(name).cloned() else {
            effects.refuse_api(api, &Refusal::NoSuchUser);
            return;
        };
        let shown = calls.as_deref().cloned().unwrap_or_default();
        user.calls = calls;
        effects.publish(Notice::UserChanged(Box::new(user)));
        effects.answer(api, ApiResponse::json(200, &json!(shown)));
    }
}
