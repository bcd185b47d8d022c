//! What the outside tells a running server: stop, stop now, read the file again.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::log::Log;
use crate::config::{Fault, Loaded};
use crate::host::Host;

/// The signals that we hear.
pub struct Signals {
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// From now on these do not end the process by themselves.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn stop(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => (),
            _ = self.terminate.recv() => (),
        }
    }
}

/// Until the node has to end: a drain, cut short by a second signal.
pub async fn serve(
    signals: &mut Signals,
    host: &Host,
    mut loaded: Loaded,
    log: &Log,
    load: impl Fn() -> Result<Loaded, Fault>,
) {
    loop {
        tokio::select! {
            _ = signals.hangup.recv() => {
                match load() {
                    Ok(fresh) => {
                        loaded = reload(loaded, fresh, log);
                        host.reload_certificates();
                    }
                    Err(fault) => tracing::error!(%fault, "reload_refused_nothing_changed"),
                }
            }
            _ = signals.interrupt.recv() => break,
            _ = signals.terminate.recv() => break,
        }
    }
    let limit: Duration = loaded.resolved.drain;
    tracing::info!(limit_seconds = limit.as_secs(), "draining");
    tokio::select! {
        () = host.drain(limit) => (),
        () = signals.stop() => tracing::info!("stopping_now"),
    }
}

/// Takes the live keys and names the others.
fn reload(old: Loaded, fresh: Loaded, log: &Log) -> Loaded {
    let mut kept = old.clone();
    for key in old.changes(&fresh) {
        match key.as_str() {
            "log.level" => {
                if let Err(why) = log.set(&fresh.tree.log.level) {
                    tracing::error!(key, why, "reload_refused");
                    continue;
                }
                kept.tree.log.level.clone_from(&fresh.tree.log.level);
            }
            "node.drain" => {
                kept.tree.node.drain = fresh.tree.node.drain;
                kept.resolved.drain = fresh.resolved.drain;
            }
            _ => {
                tracing::warn!(key, "reload_needs_a_restart_for_this_key");
                continue;
            }
        }
        match fresh.tree.values.get(&key) {
            Some(value) => drop(kept.tree.values.insert(key.clone(), value.clone())),
            None => drop(kept.tree.values.remove(&key)),
        }
        tracing::info!(key, "reloaded");
    }
    kept
}
