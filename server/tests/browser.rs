//! JsSIP in headless Chromium speaks SIP over WebSocket with `carillon serve`.
//!
//! The page stands in `browser/`; its title tells how far it got. Audio in the browser is not part of this.

#[allow(dead_code, reason = "each test program uses a part of what they share")]
mod support;

use std::fs;
use std::path::Path;
use std::time::Duration;

use support::http::Door;
use support::namespace::{Namespace, SERVER};
use support::program::{Launch, Program, find};
use support::server::{DOMAIN, PASSWORD, Server};
use support::{STEP, turn, until};
use tempfile::TempDir;

/// A browser needs its time to start, and the page has seven steps.
const PAGE: Duration = Duration::from_secs(60);

/// Makes one script of the page and its packages.
fn bundle(folder: &Path) {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser");
    let esbuild = sources.join("node_modules/esbuild/bin/esbuild");
    assert!(
        esbuild.exists(),
        "{} is missing: run `cargo xtask test`, which installs it",
        esbuild.display()
    );
    let mut made = Launch::built(&find("node").to_string_lossy())
        .words([&*esbuild.to_string_lossy(), &*sources.join("page.js").to_string_lossy()])
        .words(["--bundle", "--format=iife", "--log-level=warning"])
        .words([&*format!("--outfile={}", folder.join("page.js").display())])
        .start();
    assert!(made.wait(STEP).success(), "{:?}", made.said());
    let html = "<!doctype html><title>starting</title><script src=\"page.js\"></script>";
    fs::write(folder.join("page.html"), html).expect("the test's folder can be written");
}

/// A browser on the phones' host that shows the page.
struct Browser {
    _program: Program,
    door: Door,
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
            .words(["--remote-debugging-port=0"])
            .words([&*format!("--user-data-dir={}", profile.display()), &*url])
            .environment("HOME", &folder.path().to_string_lossy())
            .folder(folder.path())
            .on(host)
            .start();
        // It writes there which port it took.
        let port = until(PAGE, "the browser's door", || {
            let text = fs::read_to_string(profile.join("DevToolsActivePort")).ok()?;
            text.lines().next()?.parse::<u16>().ok()
        });
        let address = ([127, 0, 0, 1], port).into();
        let door = Door { host: host.clone(), address, token: String::new() };
        Self { _program: program, door, _folder: folder }
    }

    /// The page's title; empty as long as there is no page.
    fn title(&self) -> String {
        let list = self.door.ask("GET", "/json/list", None, "", b"").json();
        let pages = list.as_array().into_iter().flatten();
        let mut titles = pages.filter(|page| page["type"] == "page");
        titles.find_map(|page| page["title"].as_str()).unwrap_or_default().to_owned()
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
    let browser = Browser::open(&phones, &query);
    let title = until(PAGE, "the page's last step", || {
        let title = browser.title();
        (title.ends_with("done") || title.contains("failed")).then_some(title)
    });
    let steps: Vec<&str> = title.split(" | ").collect();
    assert_eq!(
        steps,
        [
            "registered",
            "message 200 1001 how are you?",
            "options 200",
            "presence application/pidf+xml open",
            "kept 202",
            "late later then",
            "done",
        ]
    );
}
