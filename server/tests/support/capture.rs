//! A second reader of the wire: tshark records on a host and judges afterwards.

use std::path::PathBuf;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::STEP;
use super::namespace::Namespace;
use super::program::{Launch, Program};

/// A recording under way.
pub struct Capture {
    program: Program,
    file: PathBuf,
    _folder: TempDir,
}

impl Capture {
    /// Records all that crosses the wire of `host` from now on.
    #[track_caller]
    pub fn start(host: &Namespace) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the recording");
        let file = folder.path().join("wire.pcapng");
        let words = ["-i", "wire0", "-q", "-w", &file.to_string_lossy()].map(str::to_owned);
        let mut program =
            Launch::installed("tshark").words(words.iter().map(String::as_str)).on(host).start();
        program
            .line(STEP, "capture started", |line| line.contains("Capture started").then_some(()));
        Self { program, file, _folder: folder }
    }

    /// Ends it. Fails where a SIP or SDP frame from `source` is malformed, or there is none at all.
    #[track_caller]
    pub fn judge(mut self, source: &str) {
        self.program.signal(Signal::SIGINT);
        self.program.wait(STEP);
        let all = self.frames(&format!("ip.src=={source} && sip"));
        assert!(!all.is_empty(), "no SIP from {source} was seen");
        let bad = self.frames(&format!(
            "ip.src=={source} && (sip || sdp) && (_ws.malformed || _ws.expert.severity >= \"Warning\")"
        ));
        assert!(bad.is_empty(), "tshark finds fault with {} of {}: {bad:#?}", bad.len(), all.len());
    }

    #[track_caller]
    fn frames(&self, filter: &str) -> Vec<String> {
        let file = self.file.to_string_lossy();
        let mut program = Launch::installed("tshark")
            .words(["-r", &*file, "-Y", filter, "-T", "fields"])
            .words(["-e", "frame.number", "-e", "_ws.col.Info", "-e", "_ws.expert.message"])
            .start();
        let status = program.wait(STEP * 4);
        assert!(status.success(), "tshark: {:?}", program.said());
        let is_frame = |line: &String| line.starts_with(|first: char| first.is_ascii_digit());
        program.said().into_iter().filter(is_frame).collect()
    }
}
