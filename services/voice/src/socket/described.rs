//! The messages on the socket of an app, as a table, and as AsyncAPI says it.
//!
//! Spec: AsyncAPI 3.0.0

use serde_json::{Map, Value, json};

/// What is said on the socket: ours in the order of a talk, then those of apps.
pub const MESSAGES: &[Row] = &[
    Row {
        name: "hello",
        by: By::Us,
        meaning: "The first message on each socket. A session that goes on (`resumed`) says again what was neither answered nor confirmed.",
        fields: &[
            field("version", "integer", "1.", true),
            field(
                "session",
                "string",
                "Which talk this is: `seq` counts within it, and a new one knows nothing of the old.",
                true,
            ),
            field("resumed", "boolean", "The talk goes on that the last socket had.", true),
        ],
        example: r#"{"type":"hello","version":1,"session":"5f0c2a-1","resumed":false}"#,
    },
    Row {
        name: "call.new",
        by: By::Us,
        meaning: "A call has come. The answer's document begins it.",
        fields: QUESTION,
        example: r#"{"type":"call.new","seq":1,"id":"9a3f","call":"CA00","hook":"","parameters":{"CallSid":"CA00","From":"+15550111","To":"+15550100","CallStatus":"ringing"}}"#,
    },
    Row {
        name: "call.next",
        by: By::Us,
        meaning: "A verb is over and hands on: its `action`, in `hook`, and what came of it, in `parameters`. The answer's document goes on.",
        fields: QUESTION,
        example: r#"{"type":"call.next","seq":4,"id":"77b1","call":"CA00","hook":"menu","parameters":{"CallSid":"CA00","Digits":"1"}}"#,
    },
    Row {
        name: "call.status",
        by: By::Us,
        meaning: "Something happened that changes nothing: a call is over, a recording is ready. It is told again, also after a restart of ours, until it is answered; the answer needs no document.",
        fields: QUESTION,
        example: r#"{"type":"call.status","seq":9,"id":"01de","call":"CA00","hook":"","parameters":{"CallSid":"CA00","CallStatus":"completed","CallDuration":"12"}}"#,
    },
    Row {
        name: "call.event",
        by: By::Us,
        meaning: "News of a call, told once: `doing` (what the program does now), `key`, `played` (what a command played is over), `note` (an error or a warning), `resumed` (the call goes on after a restart of ours), `ended`.",
        fields: &[
            SEQ,
            field("call", "string", "The CallSid.", true),
            field("event", "string", "Which news.", true),
            field(
                "doing",
                "string",
                "`doing`: asking, playing, gathering, recording, dialling, talking, pausing, queued, connected, apologising, over.",
                false,
            ),
            field(
                "verb",
                "integer",
                "`doing`: the place of the verb in its document, from 1 on.",
                false,
            ),
            field("key", "string", "`key`: 0 to 9, *, #, A to D.", false),
            field("heard", "boolean", "`played`: false when it could not be had.", false),
            field("why", "string", "`played`: why it could not be had.", false),
            field("class", "string", "`note`: error, warning or hint.", false),
            field("code", "integer", "`note`: the number of the error.", false),
            field("sentence", "string", "`note`: what is wrong.", false),
            field(
                "status",
                "string",
                "`ended`: completed, busy, no-answer, canceled or failed.",
                false,
            ),
            LOST,
        ],
        example: r#"{"type":"call.event","seq":2,"call":"CA00","event":"key","key":"1"}"#,
    },
    Row {
        name: "done",
        by: By::Us,
        meaning: "A command was obeyed.",
        fields: &[
            ID,
            field(
                "state",
                "object",
                "How the call stands, as `GET /v1/calls/{id}/state` says it.",
                true,
            ),
        ],
        example: r#"{"type":"done","id":"c1","state":{"doing":"playing","verb":1}}"#,
    },
    Row {
        name: "refused",
        by: By::Us,
        meaning: "A command was not obeyed, or a message means nothing.",
        fields: &[
            field(
                "id",
                "string,null",
                "Of the command or the answer; null when it had none.",
                true,
            ),
            field("status", "integer", "As over HTTP.", true),
            field("problem", "object", "A refusal as the API says it, or a `title` alone.", true),
        ],
        example: r#"{"type":"refused","id":"c2","status":409,"problem":{"code":"voice.not_now","title":"the call cannot do this as it stands"}}"#,
    },
    Row {
        name: "answer",
        by: By::App,
        meaning: "The answer to `call.new`, `call.next` or `call.status`.",
        fields: &[
            ID,
            field(
                "document",
                "object",
                "Verbs, and a `state` that comes back with the next questions. Without one the call has nothing more to do, and ends.",
                false,
            ),
            field("error", "string", "The app cannot answer: the fallback is asked.", false),
        ],
        example: r#"{"type":"answer","id":"9a3f","document":{"state":{"step":1},"verbs":[{"verb":"gather","numDigits":1,"action":"?menu"}]}}"#,
    },
    Row {
        name: "ack",
        by: By::App,
        meaning: "All news up to this number were heard. An app that confirms nothing hears the newest 256 again when its socket was lost.",
        fields: &[field("seq", "integer", "The last one that was heard.", true)],
        example: r#"{"type":"ack","seq":3}"#,
    },
    Row {
        name: "command",
        by: By::App,
        meaning: "Changes a call that goes on; `done` or `refused` follows. The same `id` is obeyed once, however often it comes.",
        fields: &[
            field("id", "string", "One that no other command of this talk has.", true),
            field("call", "string", "The CallSid.", true),
            field("command", "string", "redirect, hangup, play, say, hush, keys or mute.", true),
            field("document", "object", "`redirect`: what the call does from now on.", false),
            field("hook", "string", "`redirect`: what is asked instead, such as `?agent`.", false),
            field("url", "string", "`play`: a file.", false),
            field("text", "string", "`say`: the words.", false),
            field("language", "string", "`say`: their language; en-US.", false),
            field("times", "integer", "`play` and `say`: how often; 1.", false),
            field("digits", "string", "`keys`: what is pressed for the caller's ear.", false),
            field("muted", "boolean", "`mute`: nobody hears the caller.", false),
        ],
        example: r#"{"type":"command","id":"c1","call":"CA00","command":"redirect","document":{"verbs":[{"verb":"say","text":"Goodbye."},{"verb":"hangup"}]}}"#,
    },
];

/// Who says a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The app.
    App,
    /// We.
    Us,
}

/// One message.
#[derive(Debug)]
pub struct Row {
    /// Its `type`.
    pub name: &'static str,
    /// Who says it.
    pub by: By,
    /// What it means.
    pub meaning: &'static str,
    /// What it has beside `type`.
    pub fields: &'static [Field],
    /// One of them.
    pub example: &'static str,
}

/// One member of a message.
#[derive(Debug)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// As JSON Schema calls it; several are parted by commas.
    pub kind: &'static str,
    /// What it means.
    pub meaning: &'static str,
    /// Whether it is always there.
    pub always: bool,
}

const fn field(
    name: &'static str,
    kind: &'static str,
    meaning: &'static str,
    always: bool,
) -> Field {
    Field { name, kind, meaning, always }
}

const SEQ: Field = field(
    "seq",
    "integer",
    "Counts what we say, up by one; the same when it is said again in this session.",
    true,
);
const LOST: Field =
    field("lost", "integer", "News that found no room since the last message.", false);
const ID: Field = field("id", "string", "Names what is answered.", true);
const QUESTION: &[Field] = &[
    SEQ,
    field("id", "string", "Names the answer; the same when it is said again.", true),
    field("call", "string", "The CallSid; empty when it is about none.", true),
    field(
        "hook",
        "string",
        "What stands behind the question mark of the address that is asked.",
        true,
    ),
    field(
        "parameters",
        "object",
        "What is said over HTTP as a form, each a text; `State` is the document's `state`, as it was written.",
        true,
    ),
    LOST,
];

/// The whole description.
pub fn describe() -> Value {
    let listed = |by: By, base: &str| -> Vec<Value> {
        let rows = MESSAGES.iter().filter(|row| row.by == by);
        rows.map(|row| json!({"$ref": format!("{base}/{}", row.name)})).collect()
    };
    let channel: Map<String, Value> = MESSAGES
        .iter()
        .map(|row| {
            let place = json!({"$ref": format!("#/components/messages/{}", row.name)});
            (row.name.to_owned(), place)
        })
        .collect();
    let messages: Map<String, Value> =
        MESSAGES.iter().map(|row| (row.name.to_owned(), message(row))).collect();
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Carillon: call programs on a web socket",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "A number whose `voice_url` is an address of ws or wss is answered by an app that listens there. One socket carries all calls of that app; we open it. See docs/programs.md.",
            "license": {"name": "MIT OR Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {"app": {
            "address": "/",
            "title": "The socket of an app",
            "description": "The address is the app's own. The handshake asks for the subprotocol `voice.carillon.1` and has `X-Twilio-Signature` over the address.",
            "messages": channel,
            "bindings": {"ws": {"method": "GET", "bindingVersion": "0.1.0"}},
        }},
        "operations": {
            "hear": {
                "action": "send",
                "channel": {"$ref": "#/channels/app"},
                "summary": "What the app hears of us.",
                "messages": listed(By::Us, "#/channels/app/messages"),
            },
            "say": {
                "action": "receive",
                "channel": {"$ref": "#/channels/app"},
                "summary": "What the app says.",
                "messages": listed(By::App, "#/channels/app/messages"),
            },
        },
        "components": {"messages": messages},
    })
}

fn message(row: &Row) -> Value {
    let mut properties = Map::new();
    properties.insert("type".to_owned(), json!({"const": row.name}));
    for field in row.fields {
        let kinds: Vec<&str> = field.kind.split(',').collect();
        let kind = if let [kind] = &*kinds { json!(kind) } else { json!(kinds) };
        let about = json!({"type": kind, "description": field.meaning});
        properties.insert(field.name.to_owned(), about);
    }
    let always = row.fields.iter().filter(|field| field.always).map(|field| field.name);
    let required: Vec<&str> = std::iter::once("type").chain(always).collect();
    let example: Value = serde_json::from_str(row.example).unwrap_or_default();
    json!({
        "name": row.name,
        "summary": row.meaning,
        "payload": {"type": "object", "required": required, "properties": properties},
        "examples": [{"payload": example}],
    })
}

/// What is wrong with a message, by the table.
#[cfg(test)]
pub(super) fn complaint(text: &str) -> Option<String> {
    let said: Value = serde_json::from_str(text).ok()?;
    let name = said["type"].as_str()?;
    let Some(row) = MESSAGES.iter().find(|row| row.name == name) else {
        return Some(format!("{name} is not in the table"));
    };
    let fits = |field: &Field, value: &Value| {
        field.kind.split(',').any(|kind| match kind {
            "boolean" => value.is_boolean(),
            "integer" => value.is_u64(),
            "null" => value.is_null(),
            "number" => value.is_number(),
            "object" => value.is_object(),
            _ => value.is_string(),
        })
    };
    let members = said.as_object()?;
    for (key, value) in members.iter().filter(|(key, _)| *key != "type") {
        match row.fields.iter().find(|field| field.name == key) {
            Some(field) if fits(field, value) => {}
            _ => return Some(format!("{name}: {key} is {value}")),
        }
    }
    let missing = row.fields.iter().find(|field| field.always && !members.contains_key(field.name));
    missing.map(|field| format!("{name} lacks {}", field.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_are_as_the_table_says() {
        for row in MESSAGES {
            assert!(row.example.starts_with(&format!(r#"{{"type":"{}""#, row.name)), "{row:?}");
            assert_eq!(complaint(row.example), None);
        }
        assert!(complaint(r#"{"type":"ack","seq":"1"}"#).is_some());
        assert!(complaint(r#"{"type":"ack"}"#).is_some());
        assert!(complaint(r#"{"type":"other"}"#).is_some());
        let whole = describe();
        for row in MESSAGES {
            assert!(whole["channels"]["app"]["messages"].get(row.name).is_some());
        }
        assert_eq!(
            whole["components"]["messages"]["refused"]["payload"]["properties"]["id"]["type"],
            json!(["string", "null"])
        );
    }
}
