//! `carillon store`: what an operator does to the rows as a whole.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Subcommand;
use store::transfer::{End, Progress, copy};
use store::{Address, keeper};

use super::{FAILED, WRONG, environment};
use crate::config::{self, Base, Database, Place, Resolved};
use crate::host::{DATABASE_FILE, KEEPER_FOLDER};
use crate::rooms;

/// How the embedded database is called on the command line.
const EMBEDDED: &str = "sqlite";
/// How often a long table is spoken of.
const SPOKEN: Duration = Duration::from_secs(1);

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Copies all rows into another, empty database, and compares the two. The server must not run. A copy that was
    /// interrupted goes on where it stopped.
    Move(MoveArguments),
}

/// `carillon store move`.
#[derive(Debug, clap::Args)]
pub struct MoveArguments {
    /// The configuration that says where the rows are now.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Where they go: `postgres://USER:PASSWORD@HOST/DATABASE`, or `sqlite` for the file in the data folder.
    #[arg(long)]
    to: String,
}

/// Does it.
pub fn main(command: StoreCommand) -> ExitCode {
    let StoreCommand::Move(arguments) = command;
    let loaded = match config::load(arguments.config.as_deref(), Base::Serve, &environment()) {
        Ok(loaded) => loaded,
        Err(fault) => {
            eprintln!("{fault}");
            return ExitCode::from(WRONG);
        }
    };
    let to = match target(&arguments.to, &loaded.resolved) {
        Ok(to) => to,
        Err(why) => {
            eprintln!("carillon: --to {why}");
            return ExitCode::from(WRONG);
        }
    };
    match run(&loaded.resolved, &to) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("carillon: {why}");
            ExitCode::from(FAILED)
        }
    }
}

fn target(text: &str, resolved: &Resolved) -> Result<End, String> {
    let to = match (text, &resolved.data) {
        (EMBEDDED, Place::Folder(folder)) => End::File(folder.join(DATABASE_FILE)),
        (EMBEDDED, Place::Memory) => {
            return Err("sqlite wants a data folder (node.data)".to_owned());
        }
        (address, _) => End::Server(Address::parse(address).map_err(|why| why.to_string())?),
    };
    let same = match (&to, &resolved.database) {
        (End::File(_), Database::Embedded) => true,
        (End::Server(to), Database::Server(from)) => to.to_string() == from.to_string(),
        (End::File(_), Database::Server(_)) | (End::Server(_), Database::Embedded) => false,
    };
    if same { Err("is where the rows are".to_owned()) } else { Ok(to) }
}

fn run(resolved: &Resolved, to: &End) -> Result<(), String> {
    let Place::Folder(folder) = &resolved.data else {
        return Err("there is nothing to move: node.data keeps nothing".to_owned());
    };
    let log = folder.join(KEEPER_FOLDER);
    if !log.is_dir() {
        return Err(format!("{} is no data folder of a server (node.data)", folder.display()));
    }
    // Who has the log has the rows.
    let _locked = keeper::RealDisk::open(&log).map_err(|fault| match fault {
        store::Fault::InUse { .. } => {
            "the server runs: stop it first, so that nothing changes on the way".to_owned()
        }
        other => other.to_string(),
    })?;
    let from = match &resolved.database {
        Database::Embedded => End::File(folder.join(DATABASE_FILE)),
        Database::Server(address) => End::Server(address.clone()),
    };
    let mut spoken: Option<Instant> = None;
    let mut compares = false;
    let copied = copy(&from, to, &rooms::migrations(), |progress| {
        let Progress { name, done, all, comparing } = progress;
        let first = *comparing != std::mem::replace(&mut compares, *comparing);
        if first {
            println!("Comparing rows and checksums:");
        }
        let due = spoken.is_none_or(|spoken| spoken.elapsed() >= SPOKEN);
        if *comparing {
            println!("  {name}: {all} rows are the same");
        } else if due || done == all {
            println!("  {name}: {done} of {all} rows");
            spoken = Some(Instant::now());
        }
    });
    let copied = copied.map_err(|fault| chain(&fault))?;
    if copied.found > 0 {
        println!("An earlier try had brought {} rows already.", copied.found);
    }
    println!("Done. Pictures and live calls stay in {}.", folder.display());
    match to {
        End::Server(address) => println!(
            "Now set store.url in the configuration to the address that you gave ({address}) and start the server.\n\
             The old rows stay where they are until you delete them."
        ),
        End::File(path) => println!(
            "Now take store.url out of the configuration (the rows are in {}) and start the server.\n\
             The old rows stay where they are until you delete them.",
            path.display()
        ),
    }
    Ok(())
}

fn chain(fault: &store::Fault) -> String {
    let mut text = fault.to_string();
    let mut source = std::error::Error::source(fault);
    while let Some(why) = source {
        text.push_str(": ");
        text.push_str(&why.to_string());
        source = why.source();
    }
    text
}
