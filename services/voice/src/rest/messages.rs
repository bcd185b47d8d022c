//! Messages to our people: handed to whoever delivers messages here.
//!
//! Rules       A message is taken, not yet delivered: how it went stands in `GET /v1/messages`.
//! Limits      [`TEXT_MAX`].
//! Not here    Delivering, and keeping for those who are away (messaging); messages to telephones.
//! Spec        programmable-voice §6.2 (`/Messages`), §6.3

use serde_json::{Value, json};
use switchboard::notice::LetterPlan;
use switchboard::{Effects, Notice};

use super::ask::Ask;
use super::say::{self, Named, No};
use super::things::{Kind, fresh_sid};
use super::{Done, Waiting, outgoing};
use crate::Room;
use crate::call::date;
use crate::store::{self, Thing};

/// Letters of a message.
pub const TEXT_MAX: usize = 1_600;

/// See the head of this file.
pub(crate) const MESSAGE: Kind = Kind {
    kind: "message",
    prefix: "SM",
    named: Named { key: "messages", one: "Message" },
    fields: &[],
    made: false,
    show: value,
};

impl Room {
    /// `POST /Messages`.
    pub(super) fn send_message(
        &mut self,
        ask: &Ask,
        effects: &mut Effects<'_>,
    ) -> Result<Done, No> {
        let to = ask.text("To").ok_or_else(|| No::invalid(21604, "A 'To' is needed"))?;
        let from = ask.text("From").ok_or_else(|| No::invalid(21603, "A 'From' is needed"))?;
        if ask.text("MediaUrl").is_some() || ask.text("ContentSid").is_some() {
            return Err(No::invalid(20422, "Messages of this server are text: send a Body"));
        }
        let text = ask.text("Body").ok_or_else(|| No::invalid(21602, "A Body is needed"))?;
        if text.chars().count() > TEXT_MAX {
            return Err(No::invalid(21617, format!("Body is longer than {TEXT_MAX} letters")));
        }
        let user = match to.split_once(':') {
            Some(("client", name)) => Some(name.to_owned()),
            Some(("sip" | "sips", _)) => effects.user_at(to.as_bytes()),
            Some(_) | None => None,
        };
        let user = user.filter(|name| effects.directory().user(name).is_some());
        let user = user.ok_or_else(|| {
            let words =
                format!("'To' is {to}, and should be client:NAME or sip:NAME@DOMAIN of our people");
            No::invalid(21211, words)
        })?;
        let from = outgoing::caller(from, to, effects)?;
        let uri = outgoing::address(&from, effects);
        let plan = LetterPlan {
            to: user,
            from: format!("<{uri}>"),
            from_uri: uri,
            content_type: "text/plain; charset=utf-8".to_owned(),
            body: text.as_bytes().to_vec(),
            keep: true,
        };
        let now = effects.unix();
        let thing = Thing {
            kind: MESSAGE.kind,
            sid: fresh_sid(MESSAGE.prefix, effects),
            owner: to.to_owned(),
            name: from,
            body: json!({ "text": text }).to_string(),
            made: now,
            updated: now,
        };
        let shown = value(&thing, &effects.apps().sid);
        let answer = say::one(201, MESSAGE.named.one, &shown, ask.form);
        let waiting = Waiting::Letter { ask: ask.clone(), answer, plan: Box::new(plan) };
        self.wait(waiting, |effects| effects.write(store::put(&thing)), effects)
    }
}

/// It is written down: now it goes to whoever delivers.
pub(super) fn written(plan: LetterPlan, effects: &mut Effects<'_>) {
    effects.publish(Notice::LetterWanted(Box::new(plan)));
}

/// Spec: programmable-voice §6.3 (Message)
fn value(thing: &Thing, account: &str) -> Value {
    let body: Value = serde_json::from_str(&thing.body).unwrap_or_default();
    let base = format!("/2010-04-01/Accounts/{account}/Messages/{}", thing.sid);
    json!({
        "body": body["text"].as_str(),
        "num_segments": "1",
        "direction": "outbound-api",
        "from": thing.name,
        "to": thing.owner,
        "date_updated": date(thing.updated),
        "price": null,
        "error_message": null,
        "uri": format!("{base}.json"),
        "account_sid": account,
        "num_media": "0",
        "status": "accepted",
        "messaging_service_sid": null,
        "sid": thing.sid,
        "date_sent": null,
        "date_created": date(thing.made),
        "error_code": null,
        "price_unit": null,
        "api_version": crate::call::VERSION,
        "subresource_uris": {"media": format!("{base}/Media.json")},
    })
}
