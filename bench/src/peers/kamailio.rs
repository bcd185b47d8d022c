//! Kamailio with the configuration that stands in `bench/peers/kamailio.cfg`.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, bail};

use super::{Folder, LOOK, READY_MAX, Running, free_port};

const CONFIG: &str = include_str!("../../peers/kamailio.cfg");
/// Shared memory in megabytes: transactions linger for 5 s, and with 1,024 it ran out at 6,000 calls a second. Only what
/// is touched counts.
const SHARED: &str = "3072";
/// Private memory of each process in megabytes.
const PRIVATE: &str = "32";

pub fn start() -> anyhow::Result<Running> {
    let folder = Folder::make("kamailio")?;
    let config = folder.path().join("kamailio.cfg");
    fs::write(&config, CONFIG)?;
    let sip = SocketAddr::from(([127, 0, 0, 1], free_port()?));
    let log = folder.log()?;
    let child = Command::new("kamailio")
        .arg("-f")
        .arg(&config)
        .args(["-DD", "-E", "-x", "fm", "-X", "fm", "-m", SHARED, "-M", PRIVATE])
        .args(["-b", "4194304", "-l", &format!("udp:{sip}")])
        .arg("-w")
        .arg(folder.path())
        .arg("-Y")
        .arg(folder.path())
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("kamailio does not start: apt-get install kamailio")?;
    let mut running = Running { child, folder, sip, admin: None };
    wait(&mut running)?;
    Ok(running)
}

/// Ready is who answers, whatever it answers.
fn wait(running: &mut Running) -> anyhow::Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.set_read_timeout(Some(LOOK * 10))?;
    let own = socket.local_addr()?;
    let probe = format!(
        "OPTIONS sip:nobody@bench.test SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bKprobe\r\n\
         Max-Forwards: 5\r\nFrom: <sip:probe@bench.test>;tag=1\r\nTo: <sip:nobody@bench.test>\r\n\
         Call-ID: probe\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    );
    let begun = Instant::now();
    while begun.elapsed() < READY_MAX {
        running.check()?;
        // While nothing listens, loopback says so at once: then wait by hand.
        let _ = socket.send_to(probe.as_bytes(), running.sip);
        match socket.recv(&mut [0; 2_048]) {
            Ok(1..) => return Ok(()),
            Ok(0) | Err(_) => std::thread::sleep(LOOK),
        }
    }
    bail!("not ready after {READY_MAX:?}: {}", running.folder.tail())
}
