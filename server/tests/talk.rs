//! The app of docs/programs.md, as it stands there, on the real server: two calls on one socket, a kill, commands.

#[allow(dead_code, reason = "each test program uses a part of what they share")]
mod support;

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;

use serde_json::{Value, json};
use support::namespace::Namespace;
use support::phone::Phone;
use support::program::{Launch, Program, python};
use support::server::Server;
use support::{STEP, turn, until};

const NUMBER: &str = "+15550177";
/// Reads a schema from its argument and a document from its first line.
const JUDGE: &str = "import json, sys, jsonschema_rs
schema = json.load(open(sys.argv[1]))
jsonschema_rs.validator_for(schema).validate(json.loads(sys.stdin.readline()))
";

/// The first message like this that the app heard.
#[track_caller]
fn heard(app: &Program, like: &Value) -> Value {
    until(STEP, &format!("the app hears {like}"), || {
        let said = app.said();
        let mut all = said.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let members = like.as_object().expect("an object");
        all.find(|said| members.iter().all(|(name, value)| said[name] == *value))
    })
}

fn hellos(app: &Program) -> usize {
    app.said().iter().filter(|line| line.contains(r#""type":"hello""#)).count()
}

/// The CallSid of the call of this user.
fn call_of(app: &Program, user: &str) -> String {
    until(STEP, &format!("the app is asked about {user}"), || {
        let said = app.said();
        let mut all = said.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let from = format!("sip:{user}@localhost");
        let new = |said: &Value| said["type"] == "call.new" && said["parameters"]["From"] == *from;
        Some(all.find(new)?["call"].as_str()?.to_owned())
    })
}

#[test]
fn the_app_of_the_documents_serves_two_calls_on_one_socket() {
    let _turn = turn();
    let host = Namespace::alone();
    let mut server = Server::dev(&host, "127.0.0.1");
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/programs.md");
    let page = fs::read_to_string(page).expect("the page");
    let script = page.split("```python\n").nth(1).and_then(|rest| rest.split("```").next());
    let folder = tempfile::tempdir().expect("a folder for the app");
    let file = folder.path().join("app.py");
    fs::write(&file, script.expect("an app in the page")).expect("its file");
    // Its own namespace has no other program that could take the port meanwhile.
    let port = host.enter(|| TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()));
    let port = port.expect("a free port").port();
    let app = Launch::built(&python().to_string_lossy())
        .words([&*file.to_string_lossy(), &port.to_string()])
        .on(&host)
        .start();
    let number = json!({"voice_url": format!("ws://127.0.0.1:{port}/voice")});
    let path = format!("/v1/numbers/{NUMBER}");
    server.door.put(&path, "application/json", number.to_string().as_bytes());
    let (sip, env) = (server.sip.to_string(), server.env.to_string_lossy().into_owned());
    let call = |user: &str, more: &[&str]| {
        let login = ["--server", &sip, "--env", &env, "--user", user];
        let action: Vec<&str> = ["call", NUMBER].iter().chain(more).copied().collect();
        Phone::start(&host, &login, &action, &[])
    };
    until(STEP, "the app listens", || host.enter(|| TcpStream::connect(("127.0.0.1", port))).ok());
    let mut first = call("1001", &["--dtmf", "4"]);
    let mut second = call("1002", &[]);
    let (one, two) = (call_of(&app, "1001"), call_of(&app, "1002"));
    assert_eq!(heard(&app, &json!({"type": "hello"}))["resumed"], false);
    let pressed = heard(&app, &json!({"type": "call.next", "call": one}));
    assert_eq!(
        (&pressed["hook"], &pressed["parameters"]["Digits"], &pressed["parameters"]["State"]),
        (&json!("key"), &json!("4"), &json!(r#"{"menu":"main"}"#))
    );
    heard(&app, &json!({"event": "key", "key": "4", "call": one}));
    first.event(STEP, "answered");
    second.event(STEP, "answered");
    heard(&app, &json!({"doing": "pausing", "call": one}));
    heard(&app, &json!({"doing": "gathering", "call": two}));
    assert_eq!(hellos(&app), 1, "one socket for both");
    described(&server, &host);
    server.kill_and_restart();
    for call in [&one, &two] {
        heard(&app, &json!({"event": "resumed", "call": call}));
        heard(&app, &json!({"type": "call.next", "call": call, "hook": "goodbye"}));
        let over = heard(&app, &json!({"type": "call.status", "call": call}));
        assert_eq!(over["parameters"]["CallStatus"], "completed");
    }
    assert_eq!(hellos(&app), 2, "one more after the kill");
    first.event(STEP, "ended");
    second.event(STEP, "ended");
}

/// What the server says of the messages is AsyncAPI, by the schema of those who made it.
fn described(server: &Server, host: &Namespace) {
    let schemas = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/sdk/node_modules/@asyncapi/specs/schemas/3.0.0-without-$id.json");
    assert!(schemas.exists(), "no schemas: run `cargo xtask test`, which installs them");
    let mut judge = Launch::built(&python().to_string_lossy())
        .words(["-c", JUDGE, &*schemas.to_string_lossy()])
        .on(host)
        .start();
    judge.tell(&server.door.get("/asyncapi.json").to_string());
    assert!(judge.wait(STEP).success());
}
