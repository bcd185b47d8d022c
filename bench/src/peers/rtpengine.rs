//! rtpengine in user space: without its kernel module, which needs rights that tests do not have.

use std::net::{SocketAddr, UdpSocket};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, bail};

use super::{Folder, LOOK, READY_MAX, Running, free_port};

/// Its media ports: others than ours, so that neither waits for ports that the other has just left.
const PORTS: [&str; 2] = ["32000", "39999"];

pub fn start() -> anyhow::Result<Running> {
    let folder = Folder::make("rtpengine")?;
    let control = SocketAddr::from(([127, 0, 0, 1], free_port()?));
    let log = folder.log()?;
    let child = Command::new("rtpengine")
        .args(["--foreground", "--log-stderr", "--log-level=4", "--table=-1", "--num-threads=1"])
        .args(["--interface=127.0.0.1", "--config-file=none"])
        .args([format!("--listen-ng={control}")])
        .args([format!("--port-min={}", PORTS[0]), format!("--port-max={}", PORTS[1])])
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("rtpengine does not start: apt-get install rtpengine-daemon")?;
    let mut running = Running { child, folder, sip: control, admin: None };
    wait(&mut running)?;
    Ok(running)
}

/// Ready is who answers a ping.
fn wait(running: &mut Running) -> anyhow::Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.set_read_timeout(Some(LOOK * 10))?;
    let begun = Instant::now();
    while begun.elapsed() < READY_MAX {
        running.check()?;
        // While nothing listens, loopback says so at once: then wait by hand.
        let _ = socket.send_to(b"ready d7:command4:pinge", running.sip);
        match socket.recv(&mut [0; 2_048]) {
            Ok(1..) => return Ok(()),
            Ok(0) | Err(_) => std::thread::sleep(LOOK),
        }
    }
    bail!("not ready after {READY_MAX:?}: {}", running.folder.tail())
}
