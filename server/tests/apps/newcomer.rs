//! The first five minutes with an app, as docs/apps.md tells them.

use std::fs;

use crate::support::namespace::Namespace;
use crate::support::phone::Phone;
use crate::support::program::{Launch, python};
use crate::support::server::Server;
use crate::support::{STEP, turn};

const PAGE: &str = include_str!("../../../docs/apps.md");
/// What the page says about the app.
const NUMBER: &str = "+15550155";

/// The app of the page.
#[track_caller]
fn app() -> &'static str {
    let (_, rest) = PAGE.split_once("The app, `app.py`:\n```python\n").expect("the app");
    rest.split_once("```\n").expect("its end").0
}

#[test]
fn five_minutes_are_enough() {
    let _turn = turn();
    let folder = tempfile::tempdir().expect("a folder for the app");
    let script = folder.path().join("app.py");
    fs::write(&script, app()).expect("the folder can be written");
    let call = format!("carillon phone call {NUMBER} --env carillon-data/.env.carillon --dtmf 1");
    assert!(PAGE.contains(&call) && app().contains(NUMBER), "the page has another number");
    let host = Namespace::alone();
    let server = Server::dev(&host, "127.0.0.1");
    // What `source` does.
    let launch = Launch::built(&python().to_string_lossy()).words(["-u", "app.py"]);
    let launch =
        server.written.iter().fold(launch, |launch, (name, value)| launch.environment(name, value));
    let mut app = launch.folder(folder.path()).on(&host).start();
    app.line(STEP, "where it listens", |line| line.contains("Running on").then_some(()));
    let env = server.env.to_string_lossy();
    let mut phone = Phone::start(&host, &["--env", &*env], &["call", NUMBER, "--dtmf", "1"], &[]);
    phone.event(STEP, "answered");
    phone.event(STEP, "ended");
    phone.ended();
    for asked in ["\"POST /voice HTTP/1.1\" 200", "\"POST /menu HTTP/1.1\" 200"] {
        assert!(app.said().iter().any(|line| line.contains(asked)), "{asked}: {:?}", app.said());
    }
    let loudest = phone.heard().iter().map(|sample| sample.unsigned_abs()).max();
    assert!(loudest > Some(2_000), "nobody spoke: {loudest:?}");
}
