//! Headless Chromium with a page of the folder `browser`, whose console tells how far it got.

use std::fs;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use super::STEP;
use super::namespace::Namespace;
use super::program::{Launch, Program};

/// A browser needs its time to start, and a page has several steps.
const PAGE: Duration = Duration::from_secs(60);

/// Makes one script of the page and its packages.
fn bundle(page: &str, folder: &Path) {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser");
    assert!(
        sources.join("node_modules/jssip").exists(),
        "JsSIP is not installed: run `cargo xtask test`, which installs it"
    );
    let script = sources.join("bundle.mjs");
    let mut made = Launch::installed("node")
        .words([&*script.to_string_lossy(), page, &*folder.join("page.js").to_string_lossy()])
        .start();
    assert!(made.wait(STEP).success(), "{:?}", made.said());
    let html = "<!doctype html><title>starting</title><script src=\"page.js\"></script>";
    fs::write(folder.join("page.html"), html).expect("the test's folder can be written");
}

/// A browser on the phones' host that shows a page.
pub struct Browser {
    program: Program,
    _folder: TempDir,
}

impl Browser {
    /// Shows a page of the folder `browser`; `query` is what it is told.
    #[track_caller]
    pub fn open(host: &Namespace, page: &str, query: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the browser");
        bundle(page, folder.path());
        let profile = folder.path().join("profile");
        let url = format!("file://{}?{query}", folder.path().join("page.html").display());
        let program = Launch::installed("chromium")
            .words(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            .words(["--no-first-run", "--disable-background-networking"])
            .words(["--enable-logging=stderr", "--autoplay-policy=no-user-gesture-required"])
            // Names instead of addresses need a responder that no host of these tests has.
            .words(["--disable-features=WebRtcHideLocalIpsWithMdns"])
            .words([&*format!("--user-data-dir={}", profile.display()), &*url])
            .environment("HOME", &folder.path().to_string_lossy())
            .folder(folder.path())
            .on(host)
            .start();
        Self { program, _folder: folder }
    }

    /// The page's next step.
    #[track_caller]
    pub fn step(&mut self) -> String {
        self.program.line(PAGE, "a step of the page", |line| {
            let words = line.split_once("\"step: ")?.1;
            Some(words.split("\", source: ").next().unwrap_or_default().to_owned())
        })
    }
}
