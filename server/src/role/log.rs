//! Log lines: short for people on a terminal, JSON for everything else; always on stderr.

use std::io::IsTerminal as _;

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

/// Changes the level of a running process.
pub struct Log(reload::Handle<EnvFilter, Registry>);

/// What others' readers of sound say of each file that they are tried on is nobody's business, unless it is asked for by name.
const QUIET: &str = "symphonia";

/// The level of a file with those that are quiet behind it.
fn filter(level: &str) -> Result<EnvFilter, String> {
    let quiet = match level.contains(QUIET) {
        true => String::from(level),
        false => format!("{level},{QUIET}=error"),
    };
    EnvFilter::try_new(quiet).map_err(|why| why.to_string())
}

/// Starts the log. Errors: directives that cannot be read.
pub fn start(level: &str) -> Result<Log, String> {
    let filter = filter(level)?;
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
        self.0.reload(filter(level)?).map_err(|why| why.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_of_sound_are_quiet_unless_they_are_asked_for() {
        assert_eq!(filter("info").unwrap().to_string(), "symphonia=error,info");
        assert_eq!(filter("info,symphonia=debug").unwrap().to_string(), "symphonia=debug,info");
        assert!(filter("no=such=level").is_err());
    }
}
