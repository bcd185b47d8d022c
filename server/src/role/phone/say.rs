//! Lines on stdout: JSON for scripts, words for people.

use std::io::Write as _;

use phone::PhoneEvent;
use serde_json::{Value, json};

use super::Fault;
use crate::rooms;

/// Writes one event.
pub fn event(json: bool, event: &PhoneEvent) {
    let (value, words) = match event {
        PhoneEvent::Answered { call_id } => {
            (json!({ "event": "answered", "call_id": call_id }), "answered".to_owned())
        }
        PhoneEvent::Ended { call_id, why, status, reason, warning } => {
            let value = json!({
                "event": "ended", "call_id": call_id, "why": why.word(), "status": number(*status),
                "reason": text(reason), "warning": warning, "fix": fix(warning.as_deref()),
            });
            let said = said(*status, reason, warning.as_deref());
            (value, format!("ended ({}){said}", why.word()))
        }
        PhoneEvent::Incoming { call_id, from, name, call_info, pushed } => {
            let value = json!({
                "event": "incoming", "call_id": call_id, "from": from, "name": name,
                "call_info": call_info, "pushed": pushed,
            });
            let by = if *pushed { " (by push)" } else { "" };
            (value, format!("{name} <{from}> calls{by}"))
        }
        PhoneEvent::Key(key) => return self::key(json, *key),
        PhoneEvent::Registered { expires, push } => (
            json!({ "event": "registered", "expires": expires, "push": push }),
            format!("registered for {expires} s"),
        ),
        PhoneEvent::RegistrationFailed { status, reason, warning, retries } => {
            let value = json!({
                "event": "registration_failed", "status": status, "reason": reason,
                "warning": warning, "fix": fix(warning.as_deref()), "retries": retries,
            });
            let said = said(*status, reason, warning.as_deref());
            (value, format!("registration failed{said}"))
        }
        PhoneEvent::Ringing { call_id, status, reason, warning } => {
            let value = json!({
                "event": "ringing", "call_id": call_id, "status": status, "reason": reason,
                "warning": warning,
            });
            (value, format!("ringing{}", said(*status, reason, warning.as_deref())))
        }
        PhoneEvent::Slept => (json!({ "event": "slept" }), "asleep".to_owned()),
        PhoneEvent::Unregistered => (json!({ "event": "unregistered" }), "unregistered".to_owned()),
    };
    line(json, &value, &words);
}

/// A key was heard.
pub fn key(json: bool, key: char) {
    line(json, &json!({ "event": "dtmf", "key": key.to_string() }), &format!("key {key}"));
}

/// Where the phone can be reached without a server.
pub fn listening(json: bool, sip: &str) {
    line(json, &json!({ "event": "listening", "sip": sip }), &format!("listening on {sip}"));
}

/// A reply to a push was answered.
pub fn replied(json: bool, status: u16) {
    line(json, &json!({ "event": "replied", "status": status }), &format!("reply: {status}"));
}

/// A push came.
pub fn pushed(json: bool, payload: &Value) {
    line(json, &json!({ "event": "pushed", "payload": payload }), "a push came");
}

/// The sound of a call, when it is over.
pub fn heard(json: bool, packets: u64) {
    let words = format!("{packets} packets heard");
    line(json, &json!({ "event": "media", "packets": packets }), &words);
}

/// A wait is over.
pub fn waited(json: bool, name: &str, seconds: u64) {
    let value = json!({ "event": "waited", "limit": name, "seconds": seconds });
    line(json, &value, &format!("{name}: nothing within {seconds} s"));
}

/// What could not be done.
pub fn fault(json: bool, fault: &Fault) {
    if json {
        line(json, &json!({ "event": "error", "error": fault.to_string() }), "");
    }
    eprintln!("carillon phone: {fault}");
}

fn line(json: bool, value: &Value, words: &str) {
    let mut out = std::io::stdout().lock();
    // Nobody reads any more: the call goes on all the same.
    let _ = if json { writeln!(out, "{value}") } else { writeln!(out, "{words}") };
    let _ = out.flush();
}

fn said(status: u16, reason: &str, warning: Option<&str>) -> String {
    let status = if status == 0 { String::new() } else { format!(": {status} {reason}") };
    let warning = warning.map_or(String::new(), |warning| match fix(Some(warning)) {
        Some(fix) => format!("; {warning}: {fix}"),
        None => format!("; {warning}"),
    });
    status + &warning
}

fn number(status: u16) -> Value {
    if status == 0 { Value::Null } else { status.into() }
}

fn text(reason: &str) -> Value {
    if reason.is_empty() { Value::Null } else { reason.into() }
}

/// What to do about the refusal that a warning names.
fn fix(warning: Option<&str>) -> Option<&'static str> {
    let code = warning?.split_whitespace().next()?;
    let row = rooms::refusals().into_iter().find(|row| row.verdict.code == code)?;
    Some(row.verdict.fix)
}
