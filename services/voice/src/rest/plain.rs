//! Resources that need no store: the account, and what is not offered.

use serde_json::{Value, json};
use switchboard::Effects;

use super::ask::Ask;
use super::say::{self, Named, No, Page};
use super::{Done, method_not_allowed, shown};

/// What belongs to an account, and where.
const PARTS: [(&str, &str); 15] = [
    ("applications", "Applications"),
    ("available_phone_numbers", "AvailablePhoneNumbers"),
    ("balance", "Balance"),
    ("calls", "Calls"),
    ("conferences", "Conferences"),
    ("incoming_phone_numbers", "IncomingPhoneNumbers"),
    ("keys", "Keys"),
    ("messages", "Messages"),
    ("notifications", "Notifications"),
    ("outgoing_caller_ids", "OutgoingCallerIds"),
    ("queues", "Queues"),
    ("recordings", "Recordings"),
    ("signing_keys", "SigningKeys"),
    ("transcriptions", "Transcriptions"),
    ("usage", "Usage"),
];

/// Resources of the vendor's that there are nowhere but there.
const NOT_HERE: [&str; 6] =
    ["Addresses", "AuthorizedConnectApps", "ConnectApps", "SIP", "SMS", "Sessions"];

pub(super) fn accounts(ask: &Ask, effects: &Effects<'_>) -> Result<Done, No> {
    if ask.method != "GET" {
        return Err(No::not_offered("Making accounts"));
    }
    let page = Page::of(ask)?;
    let named = Named { key: "accounts", one: "Account" };
    Ok(Done::Now(say::list(ask, named, &page, vec![value(effects)], None)))
}

pub(super) fn account(ask: &Ask, effects: &Effects<'_>) -> Result<Done, No> {
    Ok(shown(200, "Account", &value(effects), ask.form))
}

fn value(effects: &Effects<'_>) -> Value {
    let sid = &effects.apps().sid;
    let uri = format!("/2010-04-01/Accounts/{sid}");
    let parts = PARTS.map(|(name, part)| (name.to_owned(), json!(format!("{uri}/{part}.json"))));
    json!({
        // Whoever asks has it; it need not travel.
        "auth_token": null,
        "date_created": null,
        "date_updated": null,
        "friendly_name": effects.domain(),
        "owner_account_sid": sid,
        "sid": sid,
        "status": "active",
        "subresource_uris": serde_json::Map::from_iter(parts),
        "type": "Full",
        "uri": format!("{uri}.json"),
    })
}

/// What has no money has no balance, but an app may ask.
fn balance(ask: &Ask, effects: &Effects<'_>) -> Result<Done, No> {
    if ask.method != "GET" {
        return Err(method_not_allowed(ask));
    }
    let value = json!({"account_sid": effects.apps().sid, "balance": "0", "currency": "USD"});
    Ok(shown(200, "Balance", &value, ask.form))
}

/// Servers by which pages reach us: none, since they reach us without (docs/decisions/0011-browsers.md).
pub(super) fn token(ask: &Ask, effects: &Effects<'_>) -> Result<Done, No> {
    let seconds = super::outgoing::number(ask, "Ttl", 20001)?.unwrap_or(86_400);
    let now = crate::call::date(effects.unix());
    let value = json!({
        "account_sid": effects.apps().sid,
        "date_created": now,
        "date_updated": now,
        "ice_servers": [],
        "password": null,
        "ttl": seconds.to_string(),
        "username": null,
    });
    Ok(shown(201, "Token", &value, ask.form))
}

pub(super) fn other(ask: &Ask, name: &str, effects: &Effects<'_>) -> Result<Done, No> {
    match name {
        "Balance" => balance(ask, effects),
        name if NOT_HERE.contains(&name) => Err(No::not_offered(name)),
        _ => Err(No::missing(&say::base(ask))),
    }
}
