//! Answers beside the vendor's own description.

use super::*;

/// Where the vendor's own description lies, when it is there.
fn description() -> Option<Value> {
    let folder = std::env::var_os("CARILLON_OUTSIDE_DATA")?;
    let path = std::path::Path::new(&folder).join("twilio/twilio_api_v2010.json");
    let text = std::fs::read_to_string(path).ok()?;
    Some(serde_json::from_str(&text).expect("the description is JSON"))
}

/// What does not fit: where, and why.
fn misfits(all: &Value, schema: &Value, value: &Value, place: &str, out: &mut Vec<String>) {
    if let Some(name) = schema["$ref"].as_str() {
        let target = all.pointer(name.trim_start_matches('#')).expect("the description is whole");
        return misfits(all, target, value, place, out);
    }
    if value.is_null() {
        if schema["nullable"] != true && schema.get("type").is_some() {
            out.push(format!("{place} is null"));
        }
        return;
    }
    let right = match schema["type"].as_str() {
        Some("array") => value.is_array(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("object") => value.is_object(),
        Some("string") => value.is_string(),
        _ => true,
    };
    if !right {
        out.push(format!("{place} is {value}, and should be {}", schema["type"]));
    }
    if let (Some(words), Some(_)) = (schema["enum"].as_array(), value.as_str())
        && !words.contains(value)
    {
        out.push(format!("{place} is {value}, which is none of {words:?}"));
    }
    if let (Some(pattern), Some(text)) = (schema["pattern"].as_str(), value.as_str())
        && let Some(prefix) =
            pattern.strip_prefix('^').and_then(|rest| rest.strip_suffix("[0-9a-fA-F]{32}$"))
    {
        let digits = text.strip_prefix(prefix).unwrap_or_default();
        if digits.len() != 32 || !digits.bytes().all(|octet| octet.is_ascii_hexdigit()) {
            out.push(format!("{place} is {text}, and should fit {pattern}"));
        }
    }
    if let (Some(known), Some(fields)) = (schema["properties"].as_object(), value.as_object()) {
        for (name, field) in fields {
            match known.get(name) {
                Some(schema) => misfits(all, schema, field, &format!("{place}.{name}"), out),
                None => out.push(format!("{place}.{name} is nothing that the vendor has")),
            }
        }
        for name in known.keys().filter(|name| !fields.contains_key(*name)) {
            out.push(format!("{place}.{name} is missing"));
        }
    }
    for (at, item) in value.as_array().into_iter().flatten().enumerate() {
        misfits(all, &schema["items"], item, &format!("{place}[{at}]"), out);
    }
}

#[test]
fn outside_data_says_that_answers_have_the_vendors_shapes() {
    let Some(all) = description() else { return };
    let mut house = house();
    let mut seen = Vec::new();
    let (_, made) = answer(&ask(&mut house, "POST", "/Calls.json", FORM));
    let call = format!("/Calls/{}.json", made["sid"].as_str().unwrap());
    seen.push(("api.v2010.account.call", made));
    seen.push(("api.v2010.account.call", answer(&ask(&mut house, "GET", &call, &[])).1));
    seen.push(("api.v2010.account", answer(&ask(&mut house, "GET", ".json", &[])).1));
    seen.push((
        "api.v2010.account.balance",
        answer(&ask(&mut house, "GET", "/Balance.json", &[])).1,
    ));
    let out = ask(&mut house, "POST", "/Applications.json", &[("FriendlyName", "shop")]);
    let (ticket, _) = out.writes()[0];
    let (_, made) = answer(&house.reply(ticket, Reply::Written(Ok(()))));
    seen.push(("api.v2010.account.application", made));
    for (path, name, owner, body) in [
        (
            "/Recordings/RE1.json",
            "api.v2010.account.recording",
            "CA",
            r#"{"seconds":3,"channels":1,"start":5,"source":"RecordVerb"}"#,
        ),
        (
            "/Notifications/NO1.json",
            "api.v2010.account.notification-instance",
            "CA",
            r#"{"class":"error","code":11200,"sentence":"x","url":"http://a/"}"#,
        ),
        (
            "/Transcriptions/TR1.json",
            "api.v2010.account.recording.recording_transcription",
            "RE",
            r#"{"status":"completed","text":"x","seconds":3}"#,
        ),
    ] {
        let out = ask(&mut house, "GET", path, &[]);
        let (ticket, _) = out.loads()[0];
        let text = |text: String| Cell::Text(text);
        let prefix = &path[path.len() - 8..path.len() - 6];
        let row = vec![
            text(format!("{prefix}{}", "0".repeat(32))),
            text(format!("{owner}{}", "1".repeat(32))),
            text(String::new()),
            text(body.to_owned()),
            Cell::Int(1_700_000_000_000_000),
            Cell::Int(1_700_000_000_000_000),
        ];
        let (_, value) = answer(&house.reply(ticket, Reply::Rows(Ok(vec![row]))));
        seen.push((name, value));
    }
    let talking = talks(&mut house);
    let stream = [("Url", "wss://app.example/")];
    let (_, made) =
        answer(&ask(&mut house, "POST", &format!("/Calls/{talking}/Streams.json"), &stream));
    seen.push(("api.v2010.account.call.stream", made));
    let path = format!("/Calls/{talking}/Transcriptions.json");
    let (_, made) = answer(&ask(&mut house, "POST", &path, &[]));
    seen.push(("api.v2010.account.call.realtime_transcription", made));
    let form = [("To", "client:bob"), ("From", "shop")];
    let (_, made) = answer(&ask(&mut house, "POST", "/Conferences/Team/Participants.json", &form));
    seen.push(("api.v2010.account.conference.participant", made));
    let out = ask(&mut house, "POST", "/Keys.json", &[]);
    let (ticket, _) = out.writes()[0];
    let (_, made) = answer(&house.reply(ticket, Reply::Written(Ok(()))));
    seen.push(("api.v2010.account.new_key", made));
    let path = format!("/Calls/{talking}/Recordings.json");
    let (_, made) = answer(&ask(&mut house, "POST", &path, &[]));
    seen.push(("api.v2010.account.call.call_recording", made));
    let (_, token) = answer(&ask(&mut house, "POST", "/Tokens.json", &[]));
    seen.push(("api.v2010.account.token", token));
    let (_, list) = answer(&ask(&mut house, "GET", "/OutgoingCallerIds.json", &[]));
    seen.push(("api.v2010.account.outgoing_caller_id", list["outgoing_caller_ids"][0].clone()));
    let out = ask(&mut house, "GET", "/Usage/Records/Today.json", &[]);
    let (ticket, _) = out.loads()[0];
    let (_, list) = answer(&house.reply(ticket, Reply::Rows(Ok(Vec::new()))));
    seen.push(("api.v2010.account.usage.usage_record", list["usage_records"][0].clone()));
    let number = format!("/IncomingPhoneNumbers/PN{:0>32}.json", "15550100");
    let (_, number) = answer(&ask(&mut house, "GET", &number, &[]));
    seen.push(("api.v2010.account.incoming_phone_number", number));
    let mut found = Vec::new();
    for (name, value) in &seen {
        let schema = &all["components"]["schemas"][*name];
        assert!(schema.is_object(), "{name}");
        misfits(&all, schema, value, name, &mut found);
    }
    let (_, list) = answer_of_list(&mut house, &[], Vec::new());
    let path = "/2010-04-01/Accounts/{AccountSid}/Calls.json";
    let response = &all["paths"][path]["get"]["responses"]["200"];
    misfits(&all, &response["content"]["application/json"]["schema"], &list, "calls", &mut found);
    assert_eq!(found, Vec::<String>::new());
}
