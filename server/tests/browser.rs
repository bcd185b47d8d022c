//! JsSIP in headless Chromium speaks SIP over WebSocket with `carillon serve`.
//!
//! The page stands in `browser/`; its console tells how far it got. Audio in the browser is not part of this.

#[allow(dead_code, reason = "each test program uses a part of what they share")]
mod support;

use std::fs;
use std::path::Path;
use std::time::Duration;

use support::namespace::{Namespace, SERVER};
use support::program::{Launch, Program};
use support::server::{DOMAIN, PASSWORD, Server};
use support::{STEP, turn};
use tempfile::TempDir;

/// A browser needs its time to start, and the page has seven steps.
const PAGE: Duration = Duration::from_secs(60);

/// Makes one script of the page and its packages.
fn bundle(folder: &Path) {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser");
    assert!(
        sources.join("node_modules/jssip").exists(),
        "JsSIP is not installed: run `cargo xtask test`, which installs it"
    );
    let script = sources.join("bundle.mjs");
    let mut made = Launch::installed("node")
        .words([&*script.to_string_lossy(), &*folder.join("page.js").to_string_lossy()])
        .start();
    assert!(made.wait(STEP).success(), "{:?}", made.said());
    let html = "<!doctype html><title>starting</title><script src=\"page.js\"></script>";
    fs::write(folder.join("page.html"), html).expect("the test's folder can be written");
}

/// A browser on the phones' host that shows the page.
struct Browser {
    program: Program,
    _folder: TempDir,
}

impl Browser {
    #[track_caller]
    fn open(host: &Namespace, query: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the browser");
        bundle(folder.path());
        let profile = folder.path().join("profile");
        let url = format!("file://{}?{query}", folder.path().join("page.html").display());
        let program = Launch::installed("chromium")
            .words(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            .words(["--no-first-run", "--disable-background-networking"])
            .words(["--enable-logging=stderr"])
            .words([&*format!("--user-data-dir={}", profile.display()), &*url])
            .environment("HOME", &folder.path().to_string_lossy())
            .folder(folder.path())
            .on(host)
            .start();
        Self { program, _folder: folder }
    }

    /// The page's next step.
    #[track_caller]
    fn step(&mut self) -> String {
        self.program.line(PAGE, "a step of the page", |line| {
            let words = line.split_once("\"step: ")?.1;
            Some(words.split("\", source: ").next().unwrap_or_default().to_owned())
        })
    }
}

/// RFC 7118, RFC 3428, RFC 3856: registers, writes, asks, watches, and finds a message that was kept.
#[test]
fn a_page_registers_writes_and_watches_over_websocket() {
    let _turn = turn();
    let (host, phones) = Namespace::pair();
    let server = Server::serve_by(&host, SERVER, "", "", |file| {
        let text = fs::read_to_string(file).expect("its configuration");
        let tcp = format!("\"tcp://{SERVER}:5060\"");
        let with_ws = text.replace(&tcp, &format!("{tcp}, \"ws://{SERVER}:5062\""));
        assert_ne!(text, with_ws);
        fs::write(file, with_ws).expect("its configuration");
        Launch::built(env!("CARGO_BIN_EXE_carillon")).words(["serve", "--config", file, "--json"])
    });
    server.make_user("1001");
    server.make_user("1002");
    let query = format!("ws=ws://{SERVER}:5062&domain={DOMAIN}&password={PASSWORD}");
    let mut browser = Browser::open(&phones, &query);
    for wanted in [
        "registered",
        "message 200 1001 how are you?",
        "options 200",
        "presence application/pidf+xml open",
        "kept 202",
        "late later then",
        "done",
    ] {
        assert_eq!(browser.step(), wanted);
    }
}
