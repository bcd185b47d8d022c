//! Connections and what secures them: streams to and from shards, certificates and their renewal.
//!
//! Rules       A message goes to the shard that it is located on, and waits with its peer while that shard's box is full.
//! Limits      CERTIFICATES_LOOK; those of net::stream.
//! Not here    One connection (net::stream), who listens where (listen), whose end was dialled (lines).

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use net::stream::{Limits, Listen, Setup, StreamEvent, Streams};
use net::tls::{Tls, self_signed};
use switchboard::{Keys, locate, locate_own};
use types::Transport;

use super::doors::Doors;
use super::post::Post;
use super::{Fault, credentials, unix};
use crate::config::Resolved;

/// Where `dev` keeps what it made for TLS.
const CERTIFICATE_FILE: &str = "certificate.pem";
const KEY_FILE: &str = "key.pem";
/// How often certificates and keys are looked at.
const CERTIFICATES_LOOK: Duration = Duration::from_secs(5);

/// Listeners and connections; messages go to the shard that they are located on.
pub fn open(
    doors: &Arc<Doors>,
    keys: Keys,
    listen: &[Listen],
    setup: Setup,
) -> Result<Streams, Fault> {
    let boxes = doors.shards.clone();
    let deliver = move |event: StreamEvent| match event {
        StreamEvent::Bad { flow, bytes, .. } | StreamEvent::Message { flow, bytes } => {
            let slot = locate(&bytes, &keys).unwrap_or_default();
            let Some(door) = boxes.get(slot.shard(boxes.len())) else { return Ok(()) };
            match door.work.send(Post::Message { flow, bytes }) {
                Err(Post::Message { flow, bytes }) => Err(StreamEvent::Message { flow, bytes }),
                Ok(()) | Err(_) => Ok(()),
            }
        }
        StreamEvent::Closed { flow } => {
            boxes.iter().for_each(|door| door.tell(Post::FlowClosed(flow)));
            Ok(())
        }
        StreamEvent::Opened { .. } => Ok(()),
        StreamEvent::Undelivered { flow, bytes } => {
            let home = locate_own(&bytes).and_then(|slot| boxes.get(slot.shard(boxes.len())));
            if let Some(door) = home {
                door.tell(Post::Undelivered { flow, bytes });
            }
            Ok(())
        }
    };
    Streams::start(listen, setup, Limits::default(), deliver).map_err(|source| {
        let name = |listen: &Listen| format!("{}://{}", listen.transport.param(), listen.address);
        let all: Vec<_> = listen.iter().map(name).collect();
        Fault::Listen { what: all.join(", "), source }
    })
}

/// Connections of this run have numbers above those of all earlier runs, which may stand in what was kept.
pub fn connections_before() -> u64 {
    (unix().0 / 1_000_000) << 24
}

/// TLS as the file says; in `dev` with a certificate of its own, made once.
pub fn tls(resolved: &Resolved, folder: &Path) -> Result<Tls, Fault> {
    let mut files = resolved.tls.clone();
    if resolved.self_signed {
        let (certificate, key) = (folder.join(CERTIFICATE_FILE), folder.join(KEY_FILE));
        if !certificate.exists() || !key.exists() {
            let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
            let (made, secret) = self_signed(&names).map_err(Fault::Tls)?;
            for (path, text) in [(&key, secret), (&certificate, made)] {
                let fault = |source| Fault::Data { path: path.clone(), source };
                credentials::write(path, text.as_bytes()).map_err(fault)?;
            }
        }
        files.served = Some((certificate, key));
    }
    Tls::open(files).map_err(Fault::Tls)
}

pub fn reload(tls: &Tls) {
    match tls.reload() {
        Ok(()) => tracing::info!("certificates_reloaded"),
        Err(fault) => tracing::error!(%fault, "certificates_refused_nothing_changed"),
    }
}

/// Looks now and then whether somebody put a new certificate there.
pub async fn watch_certificates(tls: Arc<Tls>) {
    let mut known = tls.stamp();
    loop {
        tokio::time::sleep(CERTIFICATES_LOOK).await;
        let found = tls.stamp();
        if found != known {
            known = found;
            reload(&tls);
        }
    }
}

/// Connections by transport, in Prometheus' text form.
pub fn count(streams: &Streams) -> String {
    let mut text = "# TYPE carillon_flows gauge\n".to_owned();
    for transport in [Transport::Tcp, Transport::Tls, Transport::Ws, Transport::Wss] {
        let (name, count) = (transport.param(), streams.count_of(transport));
        text += &format!("carillon_flows{{transport=\"{name}\"}} {count}\n");
    }
    let refused = streams.refused();
    text + &format!(
        "# TYPE carillon_flows_refused_total counter\ncarillon_flows_refused_total {refused}\n"
    )
}
