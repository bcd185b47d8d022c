//! The official packages of a known cloud, for Python and Node, pointed at `carillon dev`: an app that answers a number
//! and makes calls, its signatures, its pages, its errors.

#[allow(dead_code, reason = "each test program uses a part of what they share")]
mod support;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use support::namespace::Namespace;
use support::phone::Phone;
use support::program::{Launch, python};
use support::server::Server;
use support::{STEP, turn};

const NUMBER: &str = "+15550177";
/// How long requests made from the description may take.
const FUZZING: Duration = Duration::from_secs(60);

fn event(line: &str, kind: &str) -> Option<Value> {
    let event: Value = serde_json::from_str(line).ok()?;
    (event["event"] == kind).then_some(event)
}

#[test]
fn official_packages_work_as_they_are() {
    let _turn = turn();
    let host = Namespace::alone();
    let server = Server::dev(&host, "127.0.0.1");
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk");
    assert!(
        scripts.join("node_modules/twilio").exists(),
        "the Node package is not installed: run `cargo xtask test`, which installs it"
    );
    let options = json!({
        "server": server.written["CARILLON_URL"],
        "account": server.written["TWILIO_ACCOUNT_SID"],
        "token": server.written["TWILIO_AUTH_TOKEN"],
        "number": NUMBER,
    })
    .to_string();
    let script = scripts.join("app.py");
    let mut app = Launch::built(&python().to_string_lossy())
        .words([&*script.to_string_lossy()])
        .on(&host)
        .start();
    app.tell(&options);
    let url = app.line(STEP, "listens", |line| event(line, "listens"))["url"].clone();
    let url = url.as_str().expect("an address");
    let number = json!({
        "voice_url": format!("{url}/voice"),
        "status_callback": format!("{url}/told"),
    });
    let path = format!("/v1/numbers/{NUMBER}");
    server.door.put(&path, "application/json", number.to_string().as_bytes());
    let (sip, env) = (server.sip.to_string(), server.env.to_string_lossy().into_owned());
    let login = ["--server", &sip, "--env", &env, "--user", "1001"];
    let mut phone = Phone::start(&host, &login, &["call", NUMBER, "--dtmf", "4"], &[]);
    phone.event(STEP, "answered");
    phone.event(STEP, "ended");
    app.line(STEP, "done", |line| event(line, "done"));
    let script = scripts.join("app.js");
    let mut app =
        Launch::installed("node").words([&*script.to_string_lossy(), &options]).on(&host).start();
    app.line(STEP, "done", |line| event(line, "done"));
    assert!(app.wait(STEP).success());
    description_holds(&server, &host);
}

/// Requests that nobody wrote, made from our own description: every answer is one that it names, and none is a fault.
fn description_holds(server: &Server, host: &Namespace) {
    let folder = tempfile::tempdir().expect("a folder for its notes");
    let place = format!("{}/openapi.json", server.written["CARILLON_URL"]);
    let token = format!("Authorization: Bearer {}", server.written["CARILLON_TOKEN"]);
    let checks = "not_a_server_error,status_code_conformance,content_type_conformance";
    let words = ["run", &place, "--header", &token, "--checks", checks, "--phases", "fuzzing"];
    let bounds = ["--max-examples", "5", "--seed", "1", "--no-color"];
    // A stream without end, a WebSocket, and a body that is sound.
    let left_out = [
        "--exclude-path",
        "/v1/events",
        "--exclude-path",
        "/v1/phone",
        "--exclude-operation-id",
        "post_media",
    ];
    let tool = python().with_file_name("schemathesis");
    let mut tool = Launch::built(&tool.to_string_lossy())
        .words(words.into_iter().chain(bounds).chain(left_out))
        .folder(folder.path())
        .on(host)
        .start();
    assert!(tool.wait(FUZZING).success());
}

#[test]
fn documents_of_the_official_builders_are_taken() {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk");
    let of = |name: &str| scripts.join(name).to_string_lossy().into_owned();
    let host = Namespace::alone();
    let made = [
        Launch::built(&python().to_string_lossy()).words([&*of("documents.py")]),
        Launch::installed("node").words([&*of("documents.js")]),
    ];
    let folder = tempfile::tempdir().expect("a folder for documents");
    let file = folder.path().join("voice.xml");
    for launch in made {
        let mut builders = launch.on(&host).start();
        assert!(builders.wait(STEP).success());
        let lines = builders.said();
        let documents = lines.iter().filter_map(|line| serde_json::from_str::<String>(line).ok());
        let mut count = 0;
        for document in documents {
            fs::write(&file, &document).expect("its file");
            let mut check = Command::new(env!("CARGO_BIN_EXE_carillon"));
            let checked = check.args(["twiml", "check"]).arg(&file).output().expect("it runs");
            let said = String::from_utf8_lossy(&checked.stdout);
            assert_eq!(checked.status.code(), Some(0), "{document}\n{said}");
            count += 1;
        }
        assert_eq!(count, 11, "{lines:?}");
    }
}
