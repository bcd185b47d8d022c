//! The words on the command line.

mod admin;
pub mod door;
mod help;
mod ready;
mod reference;
mod route;
mod store;
mod trace;
mod twiml;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::config::{self, Base};
use crate::role;

/// The thing asked for failed.
pub const FAILED: u8 = 1;
/// The words or the file are wrong.
pub const WRONG: u8 = 2;

/// A communications server: SIP, push and an API in one binary.
#[derive(Debug, Parser)]
#[command(name = "carillon", version, propagate_version = true, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Who may use the console.
    #[command(subcommand)]
    Admin(admin::AdminCommand),
    /// A whole server on this computer, with people to try it with and no file needed.
    Dev(role::DevArguments),
    /// The server for real use.
    Serve(role::ServeArguments),
    /// Looks at a configuration file.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Waits until a server is ready.
    Ready(ReadyArguments),
    /// The page of one error code, such as `calls.no_such_user` or `CAR-2104`.
    Help {
        /// Code or number.
        code: String,
    },
    /// Writes the generated pages of the reference into a folder.
    #[command(hide = true)]
    Reference {
        /// The folder.
        folder: PathBuf,
    },
    /// A phone that scripts can drive.
    Phone(Box<role::phone::Arguments>),
    /// Questions about routes.
    #[command(subcommand)]
    Route(route::RouteCommand),
    /// The rows as a whole.
    #[command(subcommand)]
    Store(store::StoreCommand),
    /// What was said in a call: the newest calls, the ladder of one, or one message whole.
    Trace(Box<trace::TraceArguments>),
    /// Documents that say what happens to a call.
    #[command(subcommand)]
    Twiml(twiml::TwimlCommand),
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Reads and judges a file without binding anything.
    Check {
        /// The file.
        #[arg(long)]
        config: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
struct ReadyArguments {
    /// Base address of the server.
    #[arg(long, default_value = "http://127.0.0.1:8088")]
    url: String,
    /// How long to wait.
    #[arg(long, default_value = "30s", value_parser = duration)]
    wait: Duration,
}

/// Reads the command line and does what it says.
pub fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Admin(command) => admin::main(command),
        Command::Config(ConfigCommand::Check { config }) => check(&config),
        Command::Dev(arguments) => role::dev(arguments),
        Command::Help { code } => help::main(&code),
        Command::Phone(arguments) => role::phone::main(*arguments),
        Command::Ready(arguments) => ready::main(&arguments.url, arguments.wait),
        Command::Reference { folder } => reference::main(&folder),
        Command::Route(command) => route::main(command),
        Command::Serve(arguments) => role::serve(arguments),
        Command::Store(command) => store::main(command),
        Command::Trace(arguments) => trace::main(*arguments),
        Command::Twiml(command) => twiml::main(&command),
    }
}

fn check(file: &std::path::Path) -> ExitCode {
    match config::load(Some(file), Base::Serve, &environment()) {
        Ok(loaded) => {
            println!("valid sha256:{}", loaded.digest);
            ExitCode::SUCCESS
        }
        Err(fault) => {
            eprintln!("{fault}");
            ExitCode::from(WRONG)
        }
    }
}

/// Our variables, and those of others, as they are now.
pub fn environment() -> Vec<(String, String)> {
    let readable = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    std::env::vars_os().filter_map(readable).collect()
}

fn duration(text: &str) -> Result<Duration, String> {
    types::parse_duration(text).ok_or_else(|| "wants a number and a unit, as 30s".to_owned())
}
