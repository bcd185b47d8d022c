//! The description of the API, made from the manifests.

use serde_json::{Map, Value, json};
use switchboard::{Access, Endpoint, Manifest, Scope};

/// The whole document.
///
/// Spec: OpenAPI 3.1.0
pub fn describe(manifests: &[&'static Manifest], public: &str) -> Value {
    let mut paths = own_paths();
    let mut tags =
        vec![json!({"name": "edge", "description": "What the HTTP edge answers itself."})];
    for manifest in manifests.iter().filter(|manifest| !manifest.endpoints.is_empty()) {
        tags.push(json!({"name": manifest.name, "description": manifest.purpose}));
        // What apps of a known cloud ask for is described by that cloud.
        let own = |endpoint: &&Endpoint| endpoint.access != Access::Account;
        for endpoint in manifest.endpoints.iter().filter(own) {
            let path = paths.entry(endpoint.path).or_insert_with(|| json!({}));
            path[endpoint.method.to_lowercase()] = operation(manifest.name, endpoint);
        }
    }
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Carillon",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The native API. Bodies are JSON; a PUT makes or replaces and answers with the whole resource; lists are `{\"items\":[…],\"next\":null}`; every refusal is a problem document with a stable `code` and a `fix`, explained at `/help/CODE`.",
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "tags": tags,
        "paths": paths,
        "components": {
            "securitySchemes": {
                "administrator": {"type": "http", "scheme": "bearer", "description": "`admin.token`, or `CARILLON_TOKEN` of .env.carillon."},
                "token": {"type": "http", "scheme": "bearer", "description": "A token that came with a push or a link; it holds for one thing only."},
            },
            "schemas": {"Problem": problem()},
            "responses": {"Problem": {
                "description": "A refusal: RFC 9457.",
                "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
            }},
        },
    });
    if !public.is_empty() {
        document["servers"] = json!([{"url": public}]);
    }
    document
}

fn operation(room: &str, endpoint: &Endpoint) -> Value {
    let mut operation = json!({
        "operationId": operation_id(endpoint),
        "tags": [room],
        "summary": endpoint.doc,
        "security": [match endpoint.access {
            Access::Account | Access::Admin => json!({"administrator": []}),
            Access::Token => json!({"token": []}),
        }],
        "parameters": parameters(endpoint),
        "responses": responses(endpoint),
    });
    if endpoint.body_max > 0 {
        let content = match example(endpoint.request) {
            Some(example) => {
                json!({"application/json": {"schema": schema(&example), "example": example}})
            }
            None => json!({"*/*": {"schema": {}}}),
        };
        operation["requestBody"] = json!({"required": true, "content": content});
        operation["x-body-max"] = endpoint.body_max.into();
    }
    operation
}

/// `PUT /v1/users/{name}/image` is `put_users_name_image`.
fn operation_id(endpoint: &Endpoint) -> String {
    let words = endpoint.path.split('/').filter(|part| !part.is_empty() && *part != "v1");
    let words = words.map(|part| {
        part.trim_matches(['{', '}']).replace(|c: char| !c.is_ascii_alphanumeric(), "_")
    });
    words.fold(endpoint.method.to_lowercase(), |id, word| id + "_" + &word)
}

fn parameters(endpoint: &Endpoint) -> Vec<Value> {
    let values =
        endpoint.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let mut list: Vec<Value> = values
        .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}))
        .collect();
    if let Scope::UserQuery(name) = endpoint.scope {
        list.push(json!({"name": name, "in": "query", "required": false, "schema": {"type": "string"}, "description": "Only those of this user."}));
    }
    list
}

fn responses(endpoint: &Endpoint) -> Value {
    let content = |example: &Value| json!({"application/json": {"schema": schema(example), "example": example}});
    let refusal = json!({"$ref": "#/components/responses/Problem"});
    match example(endpoint.response) {
        Some(example) if endpoint.method == "PUT" => json!({
            "200": {"description": "Replaced.", "content": content(&example)},
            "201": {"description": "Made.", "content": content(&example)},
            "default": refusal,
        }),
        Some(example) => json!({
            "2XX": {"description": "Done.", "content": content(&example)},
            "default": refusal,
        }),
        None => json!({"2XX": {"description": "Done."}, "default": refusal}),
    }
}

/// An example of a manifest; JSON that does not read is shown as text.
fn example(text: &str) -> Option<Value> {
    (!text.is_empty()).then(|| serde_json::from_str(text).unwrap_or_else(|_| text.into()))
}

/// The shape of an example: its types, with nothing required.
fn schema(example: &Value) -> Value {
    match example {
        Value::Null => json!({}),
        Value::Bool(_) => json!({"type": "boolean"}),
        Value::Number(number) if number.is_f64() => json!({"type": "number"}),
        Value::Number(_) => json!({"type": "integer"}),
        Value::String(_) => json!({"type": "string"}),
        Value::Array(items) => match items.first() {
            Some(first) => json!({"type": "array", "items": schema(first)}),
            None => json!({"type": "array"}),
        },
        Value::Object(fields) => {
            let fields: Map<String, Value> =
                fields.iter().map(|(name, value)| (name.clone(), schema(value))).collect();
            json!({"type": "object", "properties": fields})
        }
    }
}

fn problem() -> Value {
    let text = |meaning: &str| json!({"type": "string", "description": meaning});
    json!({
        "type": "object",
        "required": ["type", "title", "status", "code", "number", "fix", "help"],
        "properties": {
            "type": text("The address of the help page."),
            "title": text("What was refused, in a sentence."),
            "status": {"type": "integer", "description": "The HTTP status."},
            "code": text("Stable word, such as `calls.no_such_user`."),
            "number": text("Stable number, such as `CAR-2104`."),
            "fix": text("What can be done about it."),
            "help": text("The path of the help page."),
            "tried": {"description": "What was tried, where that helps."},
        },
    })
}

/// The paths of the edge itself.
fn own_paths() -> Map<String, Value> {
    let refusal = json!({"$ref": "#/components/responses/Problem"});
    let events = json!({"get": {
        "operationId": "get_events",
        "tags": ["edge"],
        "summary": "The event log as server-sent events: CloudEvents 1.0 in JSON, numbered. `Last-Event-ID` resumes; 0 gives all that is kept; what is no longer kept is told by one event `events.gap`.",
        "security": [{"administrator": []}],
        "parameters": [{"name": "Last-Event-ID", "in": "header", "required": false, "schema": {"type": "string"}}],
        "responses": {"200": {"description": "A stream that does not end.", "content": {"text/event-stream": {"schema": {"type": "string"}}}}, "default": refusal.clone()},
    }});
    let parameter = |name: &str, place: &str| json!({"name": name, "in": place, "required": true, "schema": {"type": "string"}});
    let image = json!({"get": {
        "operationId": "get_images_hash",
        "tags": ["edge"],
        "summary": "A picture behind a signed link, without a login, until it expires.",
        "security": [],
        "parameters": [parameter("hash", "path"), parameter("exp", "query"), parameter("sig", "query")],
        "responses": {"200": {"description": "The picture.", "content": {"image/*": {"schema": {}}}}, "default": refusal},
    }});
    let own = [
        ("/v1/events", events),
        ("/v1/images/{hash}", image),
        (
            "/v1/links",
            made(
                "link",
                "A sign-in link that works once, for a user, an administrator, or both.",
                json!({"user": "1001", "admin": true}),
                json!({"url": "http://localhost:8088/sign-in#k=…", "expires": "2026-11-22T10:30:00.000Z"}),
            ),
        ),
        ("/media/{file}", file()),
        ("/v1/media", library()),
        ("/v1/media/{hash}", forget()),
        ("/v1/phone", phone()),
        ("/v1/session", session()),
        ("/v1/session/push", subscription()),
        (
            "/v1/tokens",
            made(
                "token",
                "A token by which a page of others may be the phone of a user; it begins a phone within five minutes.",
                json!({"user": "1001"}),
                json!({"token": "…", "expires": "2026-11-22T10:05:00.000Z"}),
            ),
        ),
    ];
    own.into_iter().map(|(path, item)| (path.to_owned(), item)).collect()
}

/// Something that the administrator has made: a link or a token.
fn made(what: &str, summary: &str, request: Value, response: Value) -> Value {
    json!({"post": {
        "operationId": format!("post_{what}s"),
        "tags": ["edge"],
        "summary": summary,
        "security": [{"administrator": []}],
        "requestBody": {"required": true, "content": {"application/json": {"schema": schema(&request), "example": request}}},
        "responses": {
            "201": {"description": "Made.", "content": {"application/json": {"schema": schema(&response), "example": response}}},
            "default": {"$ref": "#/components/responses/Problem"},
        },
    }})
}

/// Signing in and out.
fn session() -> Value {
    let refusal = json!({"$ref": "#/components/responses/Problem"});
    let (key, who) = (
        json!({"key": "…"}),
        json!({"user": "1001", "admin": true, "expires": "2026-11-22T22:00:00.000Z", "push_key": "B…"}),
    );
    let operation = |verb: &str, summary: &str| {
        json!({
            "operationId": format!("{verb}_session"),
            "tags": ["edge"],
            "summary": summary,
            "security": [],
            "responses": {"default": refusal.clone()},
        })
    };
    let mut get =
        operation("get", "Who is signed in, by the cookie; nobody has neither a user nor `admin`.");
    get["responses"]["200"] = json!({"description": "Somebody.", "content": {"application/json": {"schema": schema(&who), "example": who}}});
    let mut post =
        operation("post", "Signs in with what stands behind `#k=` of a link; sets a cookie.");
    post["requestBody"] = json!({"required": true, "content": {"application/json": {"schema": schema(&key), "example": key}}});
    post["responses"]["204"] = json!({"description": "Signed in."});
    let mut delete = operation("delete", "Signs out.");
    delete["responses"]["204"] = json!({"description": "Signed out."});
    json!({"get": get, "post": post, "delete": delete})
}

/// Web Push of the page that somebody is signed in at.
fn subscription() -> Value {
    let body = json!({"endpoint": "https://push.example/…", "keys": {"p256dh": "…", "auth": "…"}});
    let operation = |verb: &str, summary: &str| {
        json!({
            "operationId": format!("{verb}_session_push"),
            "tags": ["edge"],
            "summary": summary,
            "security": [],
            "requestBody": {"required": true, "content": {"application/json": {"schema": schema(&body), "example": body}}},
            "responses": {"204": {"description": "Done."}, "default": {"$ref": "#/components/responses/Problem"}},
        })
    };
    json!({
        "put": operation("put", "Calls of whoever is signed in wake this browser: a subscription as `PushSubscription.toJSON()` gives it, made with the `push_key` of the session."),
        "delete": operation("delete", "They wake it no more; `keys` may be left out."),
    })
}

/// A clip or a recording by its lasting address.
fn file() -> Value {
    json!({"get": {
        "operationId": "get_media_file",
        "tags": ["edge"],
        "summary": "A clip or a recording: `{hash}.wav` or `{hash}.ogg`. Whoever knows the address may have it; it never changes. Ranges are served.",
        "security": [],
        "parameters": [{"name": "file", "in": "path", "required": true, "schema": {"type": "string"}}],
        "responses": {
            "200": {"description": "The file.", "content": {"audio/*": {"schema": {}}}},
            "206": {"description": "The part that was asked for.", "content": {"audio/*": {"schema": {}}}},
            "default": {"$ref": "#/components/responses/Problem"},
        },
    }})
}

/// The list of clips and recordings, and one more of them.
fn library() -> Value {
    let refusal = json!({"$ref": "#/components/responses/Problem"});
    let item = json!({
        "hash": "…",
        "address": "/media/….wav",
        "url": "http://localhost:8088/media/….wav",
        "octets": 32_044,
        "seconds": 1.0,
    });
    let list = json!({"items": [item.clone()], "next": null});
    json!({
        "get": {
            "operationId": "get_media",
            "tags": ["edge"],
            "summary": "The clips and recordings of this node by hash, 200 at once; `next` is the `after` of the next list.",
            "security": [{"administrator": []}],
            "parameters": [{"name": "after", "in": "query", "required": false, "schema": {"type": "string"}}],
            "responses": {
                "200": {"description": "The list.", "content": {"application/json": {"schema": schema(&list), "example": list}}},
                "default": refusal.clone(),
            },
        },
        "post": {
            "operationId": "post_media",
            "tags": ["edge"],
            "summary": "Makes a clip of a file: wav, mp3, ogg (Opus, Vorbis), flac, m4a; at most 40 MiB and 15 minutes. The same sound is the same clip. `loudness=even` brings it to -19 LUFS.",
            "security": [{"administrator": []}],
            "parameters": [{"name": "loudness", "in": "query", "required": false, "schema": {"type": "string", "enum": ["even"]}}],
            "requestBody": {"required": true, "content": {"audio/*": {"schema": {}}}},
            "responses": {
                "201": {"description": "Made, or known already.", "content": {"application/json": {"schema": schema(&item), "example": item}}},
                "default": refusal,
            },
        },
    })
}

/// Deleting a clip or a recording.
fn forget() -> Value {
    json!({"delete": {
        "operationId": "delete_media_hash",
        "tags": ["edge"],
        "summary": "Deletes a clip or a recording; what plays it goes on.",
        "security": [{"administrator": []}],
        "parameters": [{"name": "hash", "in": "path", "required": true, "schema": {"type": "string"}}],
        "responses": {
            "204": {"description": "Deleted."},
            "default": {"$ref": "#/components/responses/Problem"},
        },
    }})
}

/// The WebSocket of phones; its messages are beyond what this description can say.
fn phone() -> Value {
    json!({"get": {
        "operationId": "get_phone",
        "tags": ["edge"],
        "summary": "The phone of a page: a WebSocket with the subprotocol `carillon.phone.1` and JSON messages, described in docs/phone.md.",
        "security": [],
        "responses": {"101": {"description": "A WebSocket."}, "default": {"$ref": "#/components/responses/Problem"}},
    }})
}
