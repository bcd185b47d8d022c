//! Small things that last: made, fetched, listed, changed and deleted by one set of rules.
//!
//! Rules       A kind says what its properties are and where they come from; the rest is the same for all.
//! Limits      [`BODY_MAX`] for what an app says of one; as many as wait for the store wait for [`LOOK_AGAIN`], others
//!             hear at once that there is none.
//! Spec        programmable-voice §6.2, §6.3

use std::time::Duration;

use serde_json::{Map, Value, json};
use switchboard::store::Row as Cells;
use switchboard::{ApiResponse, Effects, Ticket};
use types::UnixTime;

use super::ask::Ask;
use super::outgoing;
use super::row::Row;
use super::say::{self, Named, No, Page};
use super::{Done, WAITING_MAX, Waiting, keys, shown};
use crate::call::date;
use crate::store::{self, Thing};
use crate::{Room, rest};

/// Octets of what is kept of one thing.
pub const BODY_MAX: usize = 16 << 10;

/// How long after its end the row of a recording may be on its way to the store.
const LOOK_AGAIN: Duration = Duration::from_millis(300);

/// A sort of things.
#[derive(Debug)]
pub(crate) struct Kind {
    /// In the store.
    pub kind: &'static str,
    /// Letters before its names.
    pub prefix: &'static str,
    pub named: Named,
    /// What apps may say of it.
    pub fields: &'static [Field],
    /// Apps make and change it; others are only looked at and deleted.
    pub made: bool,
    /// Its properties, beside those that all have.
    pub show: fn(&Thing, &str) -> Value,
}

/// Something that apps may say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    pub parameter: &'static str,
    pub property: &'static str,
    pub usual: Usual,
}

/// What a property is when nothing was said.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Usual {
    No,
    Null,
    Post,
}

const fn field(parameter: &'static str, property: &'static str, usual: Usual) -> Field {
    Field { parameter, property, usual }
}

/// What apps are for calls and messages.
pub(crate) const APPLICATION: Kind = Kind {
    kind: "application",
    prefix: "AP",
    named: Named { key: "applications", one: "Application" },
    fields: &[
        field("VoiceUrl", "voice_url", Usual::Null),
        field("VoiceMethod", "voice_method", Usual::Post),
        field("VoiceFallbackUrl", "voice_fallback_url", Usual::Null),
        field("VoiceFallbackMethod", "voice_fallback_method", Usual::Post),
        field("StatusCallback", "status_callback", Usual::Null),
        field("StatusCallbackMethod", "status_callback_method", Usual::Post),
        field("VoiceCallerIdLookup", "voice_caller_id_lookup", Usual::No),
        field("SmsUrl", "sms_url", Usual::Null),
        field("SmsMethod", "sms_method", Usual::Post),
        field("SmsFallbackUrl", "sms_fallback_url", Usual::Null),
        field("SmsFallbackMethod", "sms_fallback_method", Usual::Post),
        field("SmsStatusCallback", "sms_status_callback", Usual::Null),
        field("MessageStatusCallback", "message_status_callback", Usual::Null),
        field("PublicApplicationConnectEnabled", "public_application_connect_enabled", Usual::No),
    ],
    made: true,
    show: |thing, account| {
        let mut value = plain(&APPLICATION, thing, account);
        value["uri"] = json!(uri(account, "Applications", &thing.sid));
        value
    },
};

/// Recordings of calls.
pub(crate) const RECORDING: Kind = Kind {
    kind: "recording",
    prefix: "RE",
    named: Named { key: "recordings", one: "Recording" },
    fields: &[],
    made: false,
    show: recording,
};

/// The same beneath their call: there they say whose sound it is.
pub(crate) const CALL_RECORDING: Kind = Kind {
    show: |thing, account| {
        let mut value = recording(thing, account);
        let body: Value = serde_json::from_str(&thing.body).unwrap_or_default();
        value["track"] = json!(body["track"].as_str().unwrap_or("both"));
        beneath(value)
    },
    ..RECORDING
};

/// The same beneath their conference.
pub(crate) const CONFERENCE_RECORDING: Kind =
    Kind { show: |thing, account| beneath(recording(thing, account)), ..RECORDING };

/// Without what is told of a recording by itself.
fn beneath(mut value: Value) -> Value {
    if let Some(fields) = value.as_object_mut() {
        fields.remove("media_url");
        fields.remove("subresource_uris");
    }
    value
}

/// Errors and warnings of calls.
pub(crate) const NOTIFICATION: Kind = Kind {
    kind: "notification",
    prefix: "NO",
    named: Named { key: "notifications", one: "Notification" },
    fields: &[],
    made: false,
    show: notification,
};

/// What was said on a `<Record>`, in words.
pub(crate) const TRANSCRIPTION: Kind = Kind {
    kind: "transcription",
    prefix: "TR",
    named: Named { key: "transcriptions", one: "Transcription" },
    fields: &[],
    made: false,
    show: transcription,
};

/// Which of a kind are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of<'a> {
    All,
    /// Those of this name.
    Name(&'a str),
    /// The one that apps call so.
    One(&'a str),
    /// Those that belong to this.
    Owner(&'a str),
}

impl Room {
    /// `/Applications`, `/Recordings`, … and one of them.
    pub(super) fn things(
        &mut self,
        kind: &'static Kind,
        of: Of<'_>,
        ask: &Ask,
        effects: &mut Effects<'_>,
    ) -> Result<Done, No> {
        let sid = if let Of::One(sid) = of { Some(sid) } else { None };
        match (ask.method, sid) {
            ("GET", None) => {
                let within = match of {
                    Of::Owner(owner) => (owner, ""),
                    Of::Name(name) => ("", name),
                    Of::All | Of::One(_) => ("", ""),
                };
                self.list_things(kind, within, ask, effects)
            }
            ("POST", None) if kind.made => self.make_thing(kind, ask, effects),
            ("GET", Some(sid)) => {
                let again = kind.kind == RECORDING.kind;
                let waiting = Waiting::Thing { ask: ask.clone(), kind, again };
                self.wait(waiting, |effects| effects.load(store::thing(kind.kind, sid)), effects)
            }
            ("POST", Some(sid)) if kind.made => {
                let waiting = Waiting::Merge { ask: ask.clone(), kind };
                self.wait(waiting, |effects| effects.load(store::thing(kind.kind, sid)), effects)
            }
            ("DELETE", Some(sid)) => {
                let waiting = Waiting::Drop { ask: ask.clone(), kind };
                self.wait(waiting, |effects| effects.load(store::thing(kind.kind, sid)), effects)
            }
            _ => Err(rest::method_not_allowed(ask)),
        }
    }

    /// A recording that is not there is looked for once more: the app that asks may have been told of it a moment ago.
    pub(super) fn look_again(&mut self, ask: Ask, effects: &mut Effects<'_>) -> Result<Done, No> {
        if self.rest.again.len() >= WAITING_MAX {
            return Err(No::missing(&say::base(&ask)));
        }
        let timer = effects.set_timer(effects.now() + LOOK_AGAIN);
        self.rest.again.insert(timer, ask);
        Ok(Done::Later)
    }

    /// It is looked for now. False: it was another timer.
    pub(crate) fn looks_again(&mut self, timer: Ticket, effects: &mut Effects<'_>) -> bool {
        let Some(ask) = self.rest.again.remove(&timer) else { return false };
        let query = store::thing(RECORDING.kind, ask.path.last().map_or("", String::as_str));
        let (id, form) = (ask.id, ask.form);
        let waiting = Waiting::Thing { ask, kind: &RECORDING, again: false };
        if let Err(no) = self.wait(waiting, |effects| effects.load(query), effects) {
            effects.answer(id, no.answer(form));
        }
        true
    }

    /// A thing goes, and the file that it tells of.
    pub(super) fn drop_thing(
        &mut self,
        kind: &'static Kind,
        ask: &Ask,
        thing: &Thing,
        effects: &mut Effects<'_>,
    ) -> Result<Done, No> {
        let body: Value = serde_json::from_str(&thing.body).unwrap_or_default();
        if matches!(body["status"].as_str(), Some("in-progress" | "paused" | "stopped")) {
            let words = "The recording has not ended: end it with Status=stopped first";
            return Err(No::new(409, 20009, words));
        }
        let file = body["address"].as_str().and_then(|address| address.strip_prefix("/media/"));
        if let Some((hash, _)) = file.and_then(|file| file.split_once('.')) {
            effects.forget_sound(hash);
        }
        let waiting = Waiting::Change { ask: ask.clone(), answer: ApiResponse::empty(204) };
        let drop = store::drop_thing(kind.kind, &thing.sid);
        self.wait(waiting, |effects| effects.write(drop), effects)
    }

    fn list_things(
        &mut self,
        kind: &'static Kind,
        (owner, named): (&str, &str),
        ask: &Ask,
        effects: &mut Effects<'_>,
    ) -> Result<Done, No> {
        let page = Page::of(ask)?;
        let before = Row::unmark(&page.after);
        let before = before.ok_or_else(|| {
            No::invalid(20001, "PageToken is none of ours: take next_page_uri as it is")
        })?;
        let (of, name, date) = match kind.kind {
            "message" => ("To", "From", "DateSent"),
            "recording" => ("CallSid", "ConferenceSid", "DateCreated"),
            "notification" => ("CallSid", "FriendlyName", "MessageDate"),
            _ => ("CallSid", "FriendlyName", "DateCreated"),
        };
        let given = |own: &str, parameter: &str| match own {
            "" => ask.text(parameter).unwrap_or_default().to_owned(),
            own => own.to_owned(),
        };
        let wanted = store::Wanted {
            owner: given(owner, of),
            name: given(named, name),
            made: ask.span(date),
            before,
            ..store::Wanted::default()
        };
        let query = store::things(kind.kind, &wanted, page.size + 1);
        let waiting = Waiting::Things { ask: ask.clone(), page, kind };
        self.wait(waiting, |effects| effects.load(query), effects)
    }

    fn make_thing(
        &mut self,
        kind: &'static Kind,
        ask: &Ask,
        effects: &mut Effects<'_>,
    ) -> Result<Done, No> {
        let now = effects.unix();
        let sid = fresh_sid(kind.prefix, effects);
        let body = Value::Object(Map::new()).to_string();
        let thing = Thing { kind: kind.kind, sid, body, made: now, ..Thing::default() };
        self.put_thing(kind, ask, thing, 201, effects)
    }

    /// Adds what an app said to a thing, and keeps it.
    pub(super) fn put_thing(
        &mut self,
        kind: &'static Kind,
        ask: &Ask,
        mut thing: Thing,
        status: u16,
        effects: &mut Effects<'_>,
    ) -> Result<Done, No> {
        let mut body: Map<String, Value> = serde_json::from_str(&thing.body).unwrap_or_default();
        for field in kind.fields {
            let Some(text) = ask.given(field.parameter) else { continue };
            match field.usual {
                Usual::Post => {
                    let method = outgoing::method(ask, field.parameter)?;
                    let word = if method == twiml::Method::Get { "GET" } else { "POST" };
                    body.insert(field.property.to_owned(), json!(word));
                }
                Usual::No => {
                    let flag = text.eq_ignore_ascii_case("true");
                    body.insert(field.property.to_owned(), json!(flag));
                }
                Usual::Null => {
                    if !text.is_empty() {
                        outgoing::hook(text, twiml::Method::Post)?;
                    }
                    body.insert(field.property.to_owned(), json!(text));
                }
            }
        }
        if let Some(name) = ask.given("FriendlyName") {
            if name.chars().count() > 64 {
                return Err(No::invalid(20002, "FriendlyName is longer than 64 letters"));
            }
            thing.name = name.to_owned();
        }
        thing.updated = effects.unix();
        thing.body = Value::Object(body).to_string();
        if thing.body.len() > BODY_MAX {
            return Err(No::new(413, 20413, "This is more than is kept of one resource"));
        }
        let mut value = (kind.show)(&thing, &effects.apps().sid);
        if status == 201 && kind.kind == keys::KEY.kind {
            // Told now, and never again.
            value["secret"] = json!(keys::secret(&thing.sid, effects));
        }
        let answer = say::one(status, kind.named.one, &value, ask.form);
        let waiting = Waiting::Change { ask: ask.clone(), answer };
        self.wait(waiting, |effects| effects.write(store::put(&thing)), effects)
    }
}

/// One thing of the store; a file of it leads to where it lies.
pub(super) fn found(
    kind: &'static Kind,
    ask: &Ask,
    rows: &[Cells],
    effects: &Effects<'_>,
) -> Result<Done, No> {
    let thing = rows.first().and_then(|row| store::thing_of(kind.kind, row));
    let thing = thing.ok_or_else(|| No::missing(&say::base(ask)))?;
    if ask.file.is_empty() {
        let mut value = (kind.show)(&thing, &effects.apps().sid);
        if kind.kind == NOTIFICATION.kind {
            // One alone has more to say than one of a list.
            for name in ["request_variables", "response_headers", "response_body"] {
                value[name] = Value::Null;
            }
        }
        return Ok(shown(200, kind.named.one, &value, ask.form));
    }
    let body: Value = serde_json::from_str(&thing.body).unwrap_or_default();
    // There is no MP3: whoever asks for one gets the file that there is, as at the address of the recording itself.
    let form = if ask.file == "mp3" { "wav" } else { ask.file };
    let address = body["address"].as_str().filter(|address| address.ends_with(form));
    let address = address.ok_or_else(|| {
        No::new(404, 20404, format!("This recording is not kept as {}", ask.file))
    })?;
    let mut answer = ApiResponse::empty(302);
    answer.headers.push(("Location".to_owned(), address.to_owned()));
    Ok(Done::Now(answer))
}

/// A page of the store.
pub(super) fn listed(
    kind: &'static Kind,
    (ask, page): (&Ask, &Page),
    rows: &[Cells],
    effects: &Effects<'_>,
) -> Done {
    let read = |row: &Cells| store::thing_of(kind.kind, row);
    let mut things: Vec<Thing> = rows.iter().filter_map(read).collect();
    let more = things.len() > page.size;
    things.truncate(page.size);
    let mark = things.last().filter(|_| more);
    let mark = mark.map(|thing| format!("{}_{}", thing.made.0, thing.sid));
    let account = &effects.apps().sid;
    let shown = things.iter().map(|thing| (kind.show)(thing, account)).collect();
    Done::Now(say::list(ask, kind.named, page, shown, mark.as_deref()))
}

/// A name that nothing else has.
pub(crate) fn fresh_sid(prefix: &str, effects: &mut Effects<'_>) -> String {
    format!("{prefix}{:016x}{:016x}", effects.rng().next_u64(), effects.rng().next_u64())
}

fn uri(account: &str, folder: &str, sid: &str) -> String {
    format!("/2010-04-01/Accounts/{account}/{folder}/{sid}.json")
}

/// What all of them show, with what apps said.
fn plain(kind: &Kind, thing: &Thing, account: &str) -> Value {
    let body: Map<String, Value> = serde_json::from_str(&thing.body).unwrap_or_default();
    let mut value = json!({
        "account_sid": account,
        "api_version": crate::call::VERSION,
        "date_created": date(thing.made),
        "date_updated": date(thing.updated),
        "friendly_name": thing.name,
        "sid": thing.sid,
    });
    for field in kind.fields {
        let usual = match field.usual {
            Usual::No => json!(false),
            Usual::Null => Value::Null,
            Usual::Post => json!("POST"),
        };
        value[field.property] = body.get(field.property).cloned().unwrap_or(usual);
    }
    value
}

/// Spec: programmable-voice §6.3 (Recording)
fn recording(thing: &Thing, account: &str) -> Value {
    let body: Value = serde_json::from_str(&thing.body).unwrap_or_default();
    let base = format!("/2010-04-01/Accounts/{account}/Recordings/{}", thing.sid);
    json!({
        "account_sid": account,
        "api_version": crate::call::VERSION,
        "call_sid": Some(&thing.owner).filter(|owner| !owner.is_empty()),
        "conference_sid": Some(&thing.name).filter(|name| !name.is_empty()),
        "date_created": date(thing.made),
        "date_updated": date(thing.updated),
        "start_time": body["start"].as_u64().map(|at| date(UnixTime(at))),
        "duration": body["seconds"].as_u64().map(|seconds| seconds.to_string()),
        "sid": thing.sid,
        "price": null,
        "price_unit": null,
        "status": body["status"].as_str().unwrap_or("completed"),
        "channels": body["channels"].as_u64().unwrap_or(1),
        "source": body["source"].as_str().unwrap_or("RecordVerb"),
        "error_code": null,
        "uri": format!("{base}.json"),
        "encryption_details": null,
        "subresource_uris": {"transcriptions": format!("{base}/Transcriptions.json")},
        "media_url": body["url"].as_str(),
    })
}

/// Spec: programmable-voice §6.3 (Transcription)
fn transcription(thing: &Thing, account: &str) -> Value {
    let body: Value = serde_json::from_str(&thing.body).unwrap_or_default();
    json!({
        "account_sid": account,
        "api_version": crate::call::VERSION,
        "date_created": date(thing.made),
        "date_updated": date(thing.updated),
        "duration": body["seconds"].as_u64().map(|seconds| seconds.to_string()),
        "price": null,
        "price_unit": null,
        "recording_sid": thing.owner,
        "sid": thing.sid,
        "status": body["status"].as_str().unwrap_or("completed"),
        "transcription_text": body["text"].as_str(),
        "type": "fast",
        "uri": uri(account, "Transcriptions", &thing.sid),
    })
}

/// Spec: programmable-voice §5, §6.3 (Notification)
fn notification(thing: &Thing, account: &str) -> Value {
    let body: Value = serde_json::from_str(&thing.body).unwrap_or_default();
    let code = body["code"].as_u64().unwrap_or(0);
    json!({
        "account_sid": account,
        "api_version": crate::call::VERSION,
        "call_sid": Some(&thing.owner).filter(|owner| !owner.is_empty()),
        "date_created": date(thing.made),
        "date_updated": date(thing.updated),
        "error_code": code.to_string(),
        "log": if body["class"] == "error" { "0" } else { "1" },
        "message_date": date(thing.made),
        "message_text": body["sentence"].as_str(),
        "more_info": format!("https://www.twilio.com/docs/errors/{code}"),
        "request_method": null,
        "request_url": body["url"].as_str(),
        "sid": thing.sid,
        "uri": uri(account, "Notifications", &thing.sid),
    })
}
