//! `carillon phone`: the phone of clients/phone with sockets, files and a terminal.
//!
//! Picture     words --Plan--> Runner { Phone, Line, Rtp, Voice, web } --> lines on stdout, exit code
//! Rules       The machine decides, the runner does. Every wait has a name and says so when it is
//!             over. One line per event, JSON with `--json`.
//! Limits      REGISTER_MAX, CALL_MAX, LEAVE_MAX (runner.rs), OPEN_MAX (line.rs), HTTP_MAX,
//!             EVENT_MAX (web.rs), WAV_MAX (sound.rs), and what the words say: `--wait`, `--for`.
//! Not here    Interactive keys, sound cards.

mod line;
mod plan;
mod runner;
mod say;
mod sound;
mod web;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Subcommand, ValueEnum};

use crate::cli::{FAILED, WRONG};

/// `carillon phone`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Name of the user, perhaps with its domain.
    #[arg(long, global = true, default_value = "1001")]
    user: String,
    /// Password of the user; else SIP_PASSWORD of `--env`.
    #[arg(long, global = true)]
    password: Option<String>,
    /// A file that `carillon dev` wrote: passwords, domain and HTTP address come from it.
    #[arg(long, global = true, value_name = "FILE")]
    env: Option<PathBuf>,
    /// Where the server takes SIP.
    #[arg(long, global = true, default_value = "127.0.0.1:5060", value_name = "HOST[:PORT]")]
    server: String,
    /// No server: calls the address in a URI, and takes calls from anybody.
    #[arg(long, global = true, conflicts_with = "server")]
    direct: bool,
    /// SIP domain of the user; else SIP_DOMAIN of `--env`, or `localhost`.
    #[arg(long, global = true)]
    domain: Option<String>,
    /// How SIP travels.
    #[arg(long, global = true, value_enum, default_value_t = Transport::Udp)]
    transport: Transport,
    /// Our address, perhaps with a port for SIP; else the one that reaches the server.
    #[arg(long, global = true, value_name = "ADDRESS[:PORT]")]
    local: Option<String>,
    /// Name shown to the other side.
    #[arg(long, global = true, value_name = "NAME")]
    display_name: Option<String>,
    /// Wished life of the registration.
    #[arg(long, global = true, default_value = "1h", value_parser = duration)]
    expires: Duration,
    /// One JSON object per line.
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    push: Push,
    #[command(subcommand)]
    action: Action,
}

/// How the phone sleeps and wakes.
#[derive(Debug, clap::Args)]
struct Push {
    /// Sleeps once registered and is woken by this service.
    #[arg(long, global = true, value_enum)]
    push: Option<Provider>,
    /// Our name at the service; else the stand-in of `carillon dev` gives one.
    #[arg(long, global = true, requires = "push", value_name = "TOKEN")]
    push_token: Option<String>,
    /// What else the service needs: FCM's project, Apple's topic.
    #[arg(long, global = true, requires = "push_token", value_name = "PARAM")]
    push_param: Option<String>,
    /// How a call that came by push is answered.
    #[arg(long, global = true, value_enum, default_value_t = AnswerBy::Register)]
    answer_by: AnswerBy,
    /// HTTP address of the server; else CARILLON_URL of `--env`.
    #[arg(long, global = true, value_name = "URL")]
    http: Option<String>,
    /// Token of the administrator; else CARILLON_TOKEN of `--env`.
    #[arg(long, global = true, value_name = "TOKEN")]
    token: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Registers, waits for one call and takes it.
    Answer {
        #[command(flatten)]
        talk: Talk,
        /// Refuses the call with 603.
        #[arg(long, conflicts_with = "busy")]
        decline: bool,
        /// Refuses the call with 486.
        #[arg(long)]
        busy: bool,
        /// Refuses the call with this text; only a call that came by push carries it.
        #[arg(long, conflicts_with_all = ["busy", "decline"])]
        text: Option<String>,
        /// Rings so long before it answers.
        #[arg(long, default_value = "0s", value_parser = duration)]
        ring: Duration,
        /// How long to wait for a call.
        #[arg(long, default_value = "60s", value_parser = duration)]
        wait: Duration,
    },
    /// Calls a number, a user or a URI.
    Call {
        /// Whom to call: `1002`, `+15550100`, `bob@example.com`, `sip:…`.
        uri: String,
        #[command(flatten)]
        talk: Talk,
        /// How long it may ring.
        #[arg(long, default_value = "3m", value_parser = duration)]
        wait: Duration,
    },
    /// Registers, and leaves the binding behind.
    Register {
        /// Stays registered so long and then takes the binding back.
        #[arg(long = "for", value_name = "TIME", value_parser = duration)]
        stay: Option<Duration>,
    },
}

/// What is done while both talk.
#[derive(Clone, Debug, Default, clap::Args)]
struct Talk {
    /// Plays this file: 16-bit WAV of 8, 16, 24 or 48 kHz.
    #[arg(long, value_name = "FILE")]
    play: Option<PathBuf>,
    /// Records the other side into this file: 8 kHz, 16 bit, mono.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Presses these keys.
    #[arg(long, value_name = "KEYS", value_parser = keys)]
    dtmf: Option<String>,
    /// Hangs up so long after the answer; else when the other side does.
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    length: Option<Duration>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum AnswerBy {
    /// By registering and taking the INVITE.
    Register,
    /// By a reply; the INVITE brings the media.
    Reply,
    /// By a reply with our session description.
    ReplySdp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Provider {
    Apns,
    Fcm,
    Webpush,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Transport {
    Tcp,
    Udp,
}

/// Why the phone could not do what the words say.
#[derive(Debug, thiserror::Error)]
enum Fault {
    /// The words or a file are wrong: exit 2.
    #[error("{key}: {why}")]
    Wrong { key: &'static str, why: String },
    /// The world did not do its part: exit 1.
    #[error("{doing}: {why}")]
    Failed { doing: &'static str, why: String },
}

impl Fault {
    fn wrong(key: &'static str, why: impl ToString) -> Self {
        Self::Wrong { key, why: why.to_string() }
    }

    fn failed(doing: &'static str, why: impl ToString) -> Self {
        Self::Failed { doing, why: why.to_string() }
    }

    fn code(&self) -> u8 {
        match self {
            Self::Wrong { .. } => WRONG,
            Self::Failed { .. } => FAILED,
        }
    }
}

/// Runs a phone until its one task is done.
pub fn main(arguments: Arguments) -> ExitCode {
    let json = arguments.json;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = runtime
        .map_err(|why| Fault::failed("starting", why))
        .and_then(|runtime| runtime.block_on(run(arguments)));
    match result {
        Ok(code) => ExitCode::from(code),
        Err(fault) => {
            say::fault(json, &fault);
            ExitCode::from(fault.code())
        }
    }
}

async fn run(arguments: Arguments) -> Result<u8, Fault> {
    let plan = plan::Plan::of(arguments).await?;
    runner::Runner::new(plan).await?.run().await
}

fn duration(text: &str) -> Result<Duration, String> {
    types::parse_duration(text).ok_or_else(|| "wants a number and a unit, as 5s".to_owned())
}

fn keys(text: &str) -> Result<String, String> {
    match text.chars().find(|key| media::events::code(*key).is_none()) {
        Some(key) => Err(format!("`{key}` is no key; there are 0-9 * # A-D")),
        None => Ok(text.to_owned()),
    }
}

/// The address of a name and port; 5060 when none is said.
async fn resolve(key: &'static str, text: &str) -> Result<SocketAddr, Fault> {
    let bare = text.trim_start_matches("sip:");
    let with_port = match bare.parse::<std::net::IpAddr>() {
        Ok(ip) => return Ok(SocketAddr::new(ip, 5060)),
        Err(_) if bare.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) => {
            bare.to_owned()
        }
        Err(_) => format!("{bare}:5060"),
    };
    let found = tokio::net::lookup_host(&with_port).await;
    let mut found = found.map_err(|why| Fault::wrong(key, format!("`{text}`: {why}")))?;
    found.next().ok_or_else(|| Fault::wrong(key, format!("`{text}` has no address")))
}

#[cfg(test)]
mod tests;
