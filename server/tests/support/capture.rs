//! A second reader of the wire: tshark's recorder runs on a host, and tshark judges afterwards.

use std::collections::BTreeSet;
use std::fs;
use std::net::UdpSocket;
use std::path::PathBuf;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::namespace::{Namespace, PHONES};
use super::program::{Launch, Program};
use super::{STEP, until};

/// What the last datagram of a recording holds: it is not SIP, and nobody else sends it.
const LAST: &[u8] = b"here the recording ends";
/// Where it goes: to nobody (RFC 863).
const DISCARD: u16 = 9;

/// What a call is made of, as tshark names it, when nobody talks.
pub const CALL: &[&str] = &["sip", "sdp"];
/// The same when somebody talks.
pub const TALK: &[&str] = &["sip", "sdp", "rtp"];

/// The same when both ends have reported on it.
pub const REPORTED: &[&str] = &["sip", "sdp", "rtp", "rtcp"];

/// A recording under way.
pub struct Capture {
    host: Namespace,
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
            Launch::installed("dumpcap").words(words.iter().map(String::as_str)).on(host).start();
        // It names the file when it has opened the wire.
        program.line(STEP, "the recording's file", |line| line.starts_with("File: ").then_some(()));
        Self { host: host.clone(), program, file, _folder: folder }
    }

    /// Ends it. Fails where a frame of one of these protocols from `source` is malformed, where tshark warns of SIP or
    /// SDP, and where one of them was not seen at all. Gives the ports by which sound left.
    #[track_caller]
    pub fn judge(mut self, source: &str, protocols: &[&str]) -> BTreeSet<u16> {
        self.await_last();
        self.program.signal(Signal::SIGINT);
        self.program.wait(STEP);
        let some = protocols.join(" || ");
        let all = self.frames(&format!("ip.src=={source} && ({some})"));
        for protocol in protocols {
            let layer = format!(":{protocol}");
            let count = all.iter().filter(|frame| frame.contains(&layer)).count();
            assert!(count > 0, "no {protocol} from {source} was seen");
        }
        let bad = self.frames(&format!(
            "ip.src=={source} && ({some}) && \
             (_ws.malformed || (sip || sdp) && _ws.expert.severity >= \"Warning\")"
        ));
        assert!(bad.is_empty(), "tshark finds fault with {} of {}: {bad:#?}", bad.len(), all.len());
        let sound = all.iter().filter(|frame| frame.contains(":udp:rtp"));
        sound.filter_map(|frame| frame.split('\t').nth(1)?.parse().ok()).collect()
    }

    /// Frames wait in the kernel for a while before the recorder sees them, and one that is told to end leaves those
    /// behind. So a last one is sent, until the file holds it.
    #[track_caller]
    fn await_last(&self) {
        until(STEP, "the recording holds its last frame", || {
            self.host.enter(|| {
                let socket = UdpSocket::bind(("0.0.0.0", 0)).expect("a port of the host");
                socket.send_to(LAST, (PHONES, DISCARD)).expect("the wire is up");
            });
            let recorded = fs::read(&self.file).expect("the recording");
            recorded.windows(LAST.len()).any(|bytes| bytes == LAST).then_some(())
        });
    }

    #[track_caller]
    fn frames(&self, filter: &str) -> Vec<String> {
        let file = self.file.to_string_lossy();
        let mut program = Launch::installed("tshark")
            .words(["-r", &*file, "-Y", filter, "-T", "fields"])
            .words([
                "-e",
                "frame.number",
                "-e",
                "udp.srcport",
                "-e",
                "frame.protocols",
                "-e",
                "_ws.col.Info",
                "-e",
                "_ws.expert.message",
            ])
            .start();
        let status = program.wait(STEP * 4);
        assert!(status.success(), "tshark: {:?}", program.said());
        let is_frame = |line: &String| line.starts_with(|first: char| first.is_ascii_digit());
        program.said().into_iter().filter(is_frame).collect()
    }
}
