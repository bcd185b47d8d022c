//! Our numbers, as apps see them.
//!
//! Rules       A number's name for apps is its digits, so that nothing has to be remembered.
//!             A change is wanted of the room that keeps numbers, and answered when it says that it is written.
//! Limits      [`CHANGE_WAIT`], [`CHANGES_MAX`].
//! Spec        programmable-voice §6.2 (`/IncomingPhoneNumbers`), §6.3

use std::time::Duration;

use serde_json::{Value, json};
use switchboard::route::{Change, Number};
use switchboard::{ApiResponse, Effects, Notice, Ticket};

use super::ask::Ask;
use super::outgoing;
use super::say::{self, Named, No, Page};
use super::{Done, number_sid, shown};
use crate::Room;

const NUMBERS: Named = Named { key: "incoming_phone_numbers", one: "IncomingPhoneNumber" };
const CALLER_IDS: Named = Named { key: "outgoing_caller_ids", one: "OutgoingCallerId" };
const AVAILABLE: Named = Named { key: "available_phone_numbers", one: "AvailablePhoneNumber" };

/// How long the change of a number may take; then 20503.
pub const CHANGE_WAIT: Duration = Duration::from_secs(5);
/// Changes that wait at once; more get 20429.
pub const CHANGES_MAX: usize = 256;

/// A change of a number that is not written yet.
#[derive(Debug)]
pub(crate) struct Wanted {
    ask: Ask,
    status: u16,
    number: String,
    wanted: Option<Number>,
}

impl Room {
    /// `/IncomingPhoneNumbers` and its parts, `/IncomingPhoneNumbers/{PN}`.
    pub(super) fn incoming(
        &mut self,
        ask: &Ask,
        rest: &[&str],
        effects: &mut Effects<'_>,
    ) -> Result<Done, No> {
        match (ask.method, rest) {
            ("GET", [] | ["Local" | "Mobile" | "TollFree"]) => listed(ask, NUMBERS, value, effects),
            ("POST", [] | ["Local" | "Mobile" | "TollFree"]) => {
                let number = ask.text("PhoneNumber").ok_or_else(|| {
                    let words =
                        "PhoneNumber is needed: numbers come from your carrier, not by their area";
                    No::invalid(21421, words)
                })?;
                if number_sid(number).is_none() || number.len() < 6 || number.starts_with("+0") {
                    let words =
                        format!("PhoneNumber is {number}, and should be a + and 5 to 15 digits");
                    return Err(No::invalid(21421, words));
                }
                if effects.directory().routing().numbers.contains_key(number) {
                    return Err(No::invalid(
                        21422,
                        format!("{number} is one of our numbers already"),
                    ));
                }
                let number = Number { number: number.to_owned(), ..Number::default() };
                let changed = changed(ask, number)?;
                self.want_number(ask, 201, (changed.number.clone(), Some(changed)), effects)
            }
            ("GET", [sid]) => {
                let value = value(&known(ask, sid, effects)?, &effects.apps().sid);
                Ok(shown(200, NUMBERS.one, &value, ask.form))
            }
            ("POST", [sid]) => {
                let changed = changed(ask, known(ask, sid, effects)?)?;
                self.want_number(ask, 200, (changed.number.clone(), Some(changed)), effects)
            }
            ("DELETE", [sid]) => {
                let number = known(ask, sid, effects)?.number;
                self.want_number(ask, 204, (number, None), effects)
            }
            (_, [] | [_]) => Err(super::method_not_allowed(ask)),
            _ => Err(No::missing(&say::base(ask))),
        }
    }

    /// The room that keeps numbers hears of it; what it has written comes back as a fact.
    fn want_number(
        &mut self,
        ask: &Ask,
        status: u16,
        (number, wanted): (String, Option<Number>),
        effects: &mut Effects<'_>,
    ) -> Result<Done, No> {
        if self.rest.numbers.len() >= CHANGES_MAX {
            return Err(No::new(
                429,
                20429,
                "Too many numbers are being changed: ask again in a moment",
            ));
        }
        let timer = effects.set_timer(effects.now() + CHANGE_WAIT);
        let notice =
            Notice::NumberWanted { number: number.clone(), wanted: wanted.clone().map(Box::new) };
        let waiting = Wanted { ask: ask.clone(), status, number, wanted };
        self.rest.numbers.insert(timer, waiting);
        effects.publish(notice);
        Ok(Done::Later)
    }

    /// A number is as somebody wanted it.
    pub(crate) fn number_changed(&mut self, change: &Change, effects: &mut Effects<'_>) {
        let Change::Number(number, now) = change else { return };
        let numbers = &mut self.rest.numbers;
        let done = numbers.extract_if(.., |_, one| one.number == *number && one.wanted == *now);
        let done: Vec<_> = done.collect();
        for (timer, one) in done {
            effects.cancel_timer(timer);
            let answer = match &one.wanted {
                Some(number) => {
                    let value = value(number, &effects.apps().sid);
                    say::one(one.status, NUMBERS.one, &value, one.ask.form)
                }
                None => ApiResponse::empty(204),
            };
            effects.answer(one.ask.id, answer);
        }
    }

    /// A change took too long; false: the timer is none of these.
    pub(crate) fn number_late(&mut self, timer: Ticket, effects: &mut Effects<'_>) -> bool {
        let Some(one) = self.rest.numbers.remove(&timer) else { return false };
        let words =
            "The number was not changed: the store does not answer, or there are too many numbers";
        effects.answer(one.ask.id, No::new(503, 20503, words).answer(one.ask.form));
        true
    }
}

/// A number with what an app says of it.
fn changed(ask: &Ask, mut number: Number) -> Result<Number, No> {
    for name in ["VoiceApplicationSid", "TrunkSid", "SmsUrl", "SmsApplicationSid"] {
        if ask.text(name).is_some() {
            let words =
                format!("{name} is not offered: set VoiceUrl, VoiceFallbackUrl and StatusCallback");
            return Err(No::invalid(20422, words));
        }
    }
    for (name, field) in [
        ("VoiceUrl", &mut number.voice_url),
        ("VoiceFallbackUrl", &mut number.voice_fallback_url),
        ("StatusCallback", &mut number.status_callback),
    ] {
        let Some(url) = ask.given(name) else { continue };
        if !url.is_empty() {
            outgoing::hook(url, twiml::Method::Post)?;
        }
        url.clone_into(field);
    }
    if ask.text("VoiceMethod").is_some() {
        let get = outgoing::method(ask, "VoiceMethod")? == twiml::Method::Get;
        number.voice_method = if get { "GET" } else { "POST" }.to_owned();
    }
    if !number.voice_url.is_empty() {
        // An app answers now, nobody rings.
        number.rings.clear();
    }
    Ok(number)
}

/// There are none to be had here: numbers come from carriers.
pub(super) fn available(ask: &Ask) -> Result<Done, No> {
    if ask.method != "GET" {
        return Err(super::method_not_allowed(ask));
    }
    let page = Page::of(ask)?;
    let named = match ask.path.len() {
        3 => Named { key: "countries", one: "Country" },
        _ => AVAILABLE,
    };
    Ok(Done::Now(say::list(ask, named, &page, Vec::new(), None)))
}

/// `/OutgoingCallerIds`: whom calls of apps may show, which is our numbers; nobody has to prove those.
pub(super) fn caller_ids(ask: &Ask, rest: &[&str], effects: &Effects<'_>) -> Result<Done, No> {
    match (ask.method, rest) {
        ("GET", []) => listed(ask, CALLER_IDS, caller_id, effects),
        ("GET", [sid]) => {
            let known = known(ask, sid, effects)?;
            Ok(shown(200, CALLER_IDS.one, &caller_id(&known, &effects.apps().sid), ask.form))
        }
        ("POST" | "DELETE", [] | [_]) => {
            let words = "Calls show our own numbers, which are made and deleted as \
                         IncomingPhoneNumbers; there is nothing to prove";
            Err(No::new(404, 20404, words))
        }
        _ => Err(No::missing(&say::base(ask))),
    }
}

/// Spec: the vendor's description (`api.v2010.account.outgoing_caller_id`)
fn caller_id(number: &Number, account: &str) -> Value {
    let sid = number_sid(&number.number).unwrap_or_default();
    json!({
        "account_sid": account,
        "date_created": null,
        "date_updated": null,
        "friendly_name": number.number,
        "phone_number": number.number,
        "sid": sid,
        "uri": format!("/2010-04-01/Accounts/{account}/OutgoingCallerIds/{sid}.json"),
    })
}

/// A number of ours by its name for apps.
fn known(ask: &Ask, sid: &str, effects: &Effects<'_>) -> Result<Number, No> {
    let digits = sid.strip_prefix("PN").map(|digits| digits.trim_start_matches('0'));
    let number = format!("+{}", digits.unwrap_or_default());
    let known = effects.directory().routing().numbers.get(&number).cloned();
    let known = known.filter(|known| number_sid(&known.number).as_deref() == Some(sid));
    known.ok_or_else(|| No::missing(&say::base(ask)))
}

/// In the order of their digits.
fn listed(
    ask: &Ask,
    named: Named,
    show: fn(&Number, &str) -> Value,
    effects: &Effects<'_>,
) -> Result<Done, No> {
    let page = Page::of(ask)?;
    let wanted = ask.text("PhoneNumber").unwrap_or_default().replace('*', "");
    let name = ask.text("FriendlyName").unwrap_or_default();
    let fits = |number: &&Number| {
        number.number.contains(&wanted)
            && (name.is_empty() || number.number == name)
            && number.number > page.after
    };
    let routing = effects.directory().routing();
    let mut numbers: Vec<&Number> = routing.numbers.values().filter(fits).collect();
    numbers.sort_by(|a, b| a.number.cmp(&b.number));
    let more = numbers.len() > page.size;
    numbers.truncate(page.size);
    let mark = numbers.last().filter(|_| more).map(|number| number.number.clone());
    let account = &effects.apps().sid;
    let rows = numbers.into_iter().map(|number| show(number, account)).collect();
    Ok(Done::Now(say::list(ask, named, &page, rows, mark.as_deref())))
}

/// Spec: programmable-voice §6.3 (IncomingPhoneNumber)
fn value(number: &Number, account: &str) -> Value {
    let sid = number_sid(&number.number).unwrap_or_default();
    let method = if number.voice_method == "GET" { "GET" } else { "POST" };
    json!({
        "account_sid": account,
        "address_sid": null,
        "address_requirements": "none",
        "api_version": crate::call::VERSION,
        "beta": false,
        "capabilities": {"voice": true, "sms": false, "mms": false, "fax": false},
        "date_created": null,
        "date_updated": null,
        "friendly_name": number.number,
        "identity_sid": null,
        "phone_number": number.number,
        "origin": "hosted",
        "sid": sid,
        "sms_application_sid": null,
        "sms_fallback_method": "POST",
        "sms_fallback_url": "",
        "sms_method": "POST",
        "sms_url": "",
        "status_callback": number.status_callback,
        "status_callback_method": "POST",
        "trunk_sid": null,
        "uri": format!("/2010-04-01/Accounts/{account}/IncomingPhoneNumbers/{sid}.json"),
        "voice_receive_mode": "voice",
        "voice_application_sid": null,
        "voice_caller_id_lookup": false,
        "voice_fallback_method": "POST",
        "voice_fallback_url": number.voice_fallback_url,
        "voice_method": method,
        "voice_url": number.voice_url,
        "emergency_status": "Inactive",
        "emergency_address_sid": null,
        "emergency_address_status": "unregistered",
        "bundle_sid": null,
        "status": "in-use",
        "type": null,
    })
}
