//! Our server, driven only by the names that outside programs rely on.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;

use anyhow::Context;

use super::{Folder, READY_MAX, Running, free_port};
use crate::caller::DOMAIN;

/// Where phones share a port: below the range of RTP.
const SHARED: u16 = 9_000;

pub fn start(program: &Path, extra: &str, shards: u16, shared: bool) -> anyhow::Result<Running> {
    let folder = Folder::make("carillon")?;
    let config = folder.path().join("carillon.toml");
    let data = folder.path().join("data");
    let (sip, http) = (free_port()?, free_port()?);
    let shared = if shared { SHARED } else { 0 };
    // Everything else as shipped: ladder, recorder, records and keeper are on.
    let text = format!(
        "[node]\ndata = {data:?}\ndomain = \"{DOMAIN}\"\n\n\
         [sip]\nlisten = [\"udp://127.0.0.1:{sip}\"]\nrequire_auth = false\ndigest = [\"MD5\"]\n\
         shards = {shards}\n\n\
         [media]\nports = \"10000-31999\"\nshared_port = {shared}\n\n[http]\nlisten = \"127.0.0.1:{http}\"\n\n{extra}\n"
    );
    fs::write(&config, text)?;
    let mut child = Command::new(program)
        .args(["serve", "--json", "--config"])
        .arg(&config)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(folder.log()?)
        .spawn()
        .with_context(|| format!("{} does not start: cargo build --release", program.display()))?;
    let stdout = child.stdout.take();
    let none: SocketAddr = ([127, 0, 0, 1], sip).into();
    let mut running = Running { child, folder, sip: none, admin: None };
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut rows = stdout.map(BufReader::new).into_iter().flat_map(BufRead::lines);
        let _ = sender.send(rows.next());
        rows.for_each(drop); // A full pipe would stop the server.
    });
    let first = match receiver.recv_timeout(READY_MAX) {
        Ok(Some(Ok(row))) => row,
        Ok(_) | Err(_) => {
            running.check()?;
            anyhow::bail!("not ready after {READY_MAX:?}: {}", running.folder.tail())
        }
    };
    read_ready(&mut running, &first).with_context(|| format!("its first line was {first:?}"))?;
    Ok(running)
}

fn read_ready(running: &mut Running, row: &str) -> anyhow::Result<()> {
    let ready: serde_json::Value = serde_json::from_str(row)?;
    let word = |key: &str| ready[key].as_str().with_context(|| format!("no `{key}` in it"));
    running.sip = word("sip")?.parse().context("`sip`")?;
    let http = word("http")?
        .trim_start_matches("http://")
        .trim_end_matches('/')
        .parse()
        .context("`http`")?;
    let env = fs::read_to_string(word("env")?).context("reading `env`")?;
    let token = env.lines().find_map(|row| row.strip_prefix("CARILLON_TOKEN="));
    let token = token.context("no CARILLON_TOKEN in it")?.trim_matches('"').to_owned();
    running.admin = Some((http, token));
    Ok(())
}
