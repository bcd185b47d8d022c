//! Log lines: short for people on a terminal, JSON for everything else; always on stderr.

use std::io::IsTerminal as _;

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

/// Changes the level of a running process.
pub struct Log(reload::Handle<EnvFilter, Registry>);

/// Starts the log. Errors: directives that cannot be read.
pub fn start(level: &str) -> Result<Log, String> {
    let filter = EnvFilter::try_new(level).map_err(|why| why.to_string())?;
    let (filter, handle) = reload::Layer::new(filter);
    let registry = tracing_subscriber::registry().with(filter);
    let started = if std::io::stderr().is_terminal() {
        registry
            .with(fmt::layer().compact().with_target(false).with_writer(std::io::stderr))
            .try_init()
    } else {
        registry
            .with(fmt::layer().json().flatten_event(true).with_writer(std::io::stderr))
            .try_init()
    };
    started.map_err(|why| why.to_string())?;
    Ok(Log(handle))
}

impl Log {
    /// Takes another level from now on. Errors: directives that cannot be read; the old ones stay.
    pub fn set(&self, level: &str) -> Result<(), String> {
        let filter = EnvFilter::try_new(level).map_err(|why| why.to_string())?;
        self.0.reload(filter).map_err(|why| why.to_string())
    }
}
