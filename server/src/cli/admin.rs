//! `carillon admin link`: a link that signs somebody in, once.

use std::process::ExitCode;

use serde_json::json;

use super::FAILED;
use super::door::{Door, DoorArguments};

/// `carillon admin`.
#[derive(Debug, clap::Subcommand)]
pub enum AdminCommand {
    /// Makes a link that signs a browser in, once, within thirty minutes.
    Link(Link),
}

/// The words of `carillon admin link`.
#[derive(Debug, clap::Args)]
pub struct Link {
    /// Whose phone the console is; without it there is no phone.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// For the phone alone: the administrator's pages stay closed.
    #[arg(long, requires = "user")]
    phone_only: bool,
    #[command(flatten)]
    door: DoorArguments,
}

/// Asks and prints.
pub fn main(command: AdminCommand) -> ExitCode {
    let AdminCommand::Link(words) = command;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else {
        eprintln!("cannot set up a client");
        return ExitCode::from(FAILED);
    };
    let body = json!({ "user": words.user, "admin": !words.phone_only });
    let asked = async { Door::open(&words.door)?.post(&["v1", "links"], &body).await };
    match runtime.block_on(asked) {
        Ok(made) => {
            println!("{}", made["url"].as_str().unwrap_or_default());
            ExitCode::SUCCESS
        }
        Err(fault) => {
            eprintln!("{fault}");
            fault.code()
        }
    }
}
