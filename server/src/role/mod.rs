//! Roles of the binary: a server for real use, one to try things with, and a phone.

mod banner;
mod dev;
mod log;
pub mod phone;
mod signals;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::cli::{FAILED, WRONG, environment};
use crate::config::{self, Base, Loaded, Place};
use crate::host::{Host, How};

pub use dev::routes as dev_routes;

/// How long a start may take until every part is ready.
const READY_MAX: Duration = Duration::from_secs(20);
/// How often a start looks whether it is ready.
const READY_LOOK: Duration = Duration::from_millis(5);
/// Threads for everything that is not a shard: HTTP, streams, pushes.
const WORKERS: usize = 2;

/// `carillon dev`.
#[derive(Debug, clap::Args)]
pub struct DevArguments {
    /// Folder for everything that is kept.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Keeps nothing.
    #[arg(long, conflicts_with = "data")]
    ephemeral: bool,
    /// A file, for what should differ from the defaults.
    #[arg(long)]
    config: Option<PathBuf>,
    /// One line of JSON when it is ready, instead of words.
    #[arg(long)]
    json: bool,
    /// Records every input, for a replay.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
}

/// `carillon serve`.
#[derive(Debug, clap::Args)]
pub struct ServeArguments {
    /// The configuration.
    #[arg(long)]
    config: PathBuf,
    /// One line of JSON when it is ready, instead of words.
    #[arg(long)]
    json: bool,
    /// Records every input, for a replay.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
}

/// What both servers need.
struct Plan {
    base: Base,
    config: Option<PathBuf>,
    /// Above the file and the environment.
    data: Option<Place>,
    json: bool,
    record: Option<PathBuf>,
}

/// Runs a server to try things with.
pub fn dev(arguments: DevArguments) -> ExitCode {
    let DevArguments { data, ephemeral, config, json, record } = arguments;
    let data = if ephemeral { Some(Place::Memory) } else { data.map(Place::Folder) };
    run(Plan { base: Base::Dev, config, data, json, record })
}

/// Runs a server for real use.
pub fn serve(arguments: ServeArguments) -> ExitCode {
    let ServeArguments { config, json, record } = arguments;
    run(Plan { base: Base::Serve, config: Some(config), data: None, json, record })
}

impl Plan {
    fn load(&self) -> Result<Loaded, config::Fault> {
        let mut loaded = config::load(self.config.as_deref(), self.base, &environment())?;
        if let Some(data) = &self.data {
            loaded.resolved.data = data.clone();
        }
        Ok(loaded)
    }
}

fn run(plan: Plan) -> ExitCode {
    let begun = Instant::now();
    let loaded = match plan.load() {
        Ok(loaded) => loaded,
        Err(fault) => {
            eprintln!("{fault}");
            return ExitCode::from(WRONG);
        }
    };
    let log = match log::start(&loaded.tree.log.level) {
        Ok(log) => log,
        Err(why) => {
            eprintln!("log.level: {why}");
            return ExitCode::from(WRONG);
        }
    };
    raise_descriptors();
    for what in &loaded.resolved.ignored {
        tracing::info!(what, "not_in_this_version_and_ignored");
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(why) => return failed(&format!("the system gives no threads: {why}")),
    };
    let code = runtime.block_on(live(&plan, loaded, &log, begun));
    // What still runs there has nothing to promise any more.
    runtime.shutdown_background();
    code
}

/// From the start to the end of the node.
async fn live(plan: &Plan, loaded: Loaded, log: &log::Log, begun: Instant) -> ExitCode {
    let ephemeral = loaded.resolved.data == Place::Memory;
    let env_folder = std::env::temp_dir().join(format!("carillon-{}", std::process::id()));
    let how = How {
        base: plan.base,
        record: plan.record.clone(),
        env_folder: env_folder.clone(),
        rooms: services::open,
    };
    let mut signals = match signals::Signals::new() {
        Ok(signals) => signals,
        Err(why) => return failed(&format!("signals cannot be heard: {why}")),
    };
    let host = match Host::start(&loaded, &how).await {
        Ok(host) => host,
        Err(fault) => return failed(&fault.line()),
    };
    let code = match until_ready(&host, plan.base).await {
        Ok(()) => {
            let shown = loaded.clone();
            let banner = async {
                until_database(&host).await;
                banner::print(plan.base, &shown, &host, plan.json, begun.elapsed());
            };
            let served = signals::serve(&mut signals, &host, loaded, log, || plan.load());
            serve_and(served, banner).await;
            ExitCode::SUCCESS
        }
        Err(why) => failed(&why),
    };
    host.stop().await;
    if ephemeral {
        // Only what we made ourselves.
        let _ = std::fs::remove_dir_all(&env_folder);
    }
    code
}

/// Waits for `served`; `beside` runs as long as it likes meanwhile.
async fn serve_and(served: impl Future<Output = ()>, beside: impl Future<Output = ()>) {
    let beside = async {
        beside.await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = served => (),
        () = beside => (),
    }
}

/// A node that knew its database serves without it, but does not say that it is ready.
async fn until_database(host: &Host) {
    while !host.ready() {
        tokio::time::sleep(READY_LOOK).await;
    }
}

/// Every part but those that wait for a database which was there before.
async fn until_ready(host: &Host, base: Base) -> Result<(), String> {
    let until = Instant::now() + READY_MAX;
    while !host.ready() {
        if base == Base::Serve && host.lacks_database() {
            tracing::warn!("started_without_the_database");
            return Ok(());
        }
        if Instant::now() > until {
            let faults: Vec<_> =
                host.faults().iter().map(|(part, why)| format!("{part}: {why}")).collect();
            return Err(format!("not ready after {READY_MAX:?}: {}", faults.join(", ")));
        }
        tokio::time::sleep(READY_LOOK).await;
    }
    if base == Base::Dev {
        dev::people(host).await?;
    }
    Ok(())
}

fn failed(why: &str) -> ExitCode {
    eprintln!("carillon: {why}");
    ExitCode::from(FAILED)
}

/// As many descriptors as we may have: a socket for each port of each call.
fn raise_descriptors() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::info!(%error, "descriptor_limit_kept");
    }
}
