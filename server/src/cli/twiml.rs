//! `carillon twiml check FILE`.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ::twiml::{Class, DOCUMENT_MAX, Use, lint, summary};
use clap::Subcommand;

use super::{FAILED, WRONG};

#[derive(Debug, Subcommand)]
pub enum TwimlCommand {
    /// Reads a document as a call would, and says what is wrong with it: exit 0 when nothing is, or when it only hints;
    /// 1 with warnings; 2 when the call would abandon it, or when it cannot be read.
    Check {
        /// The document.
        file: PathBuf,
        /// It comes with the request that makes the call, and has no address of its own.
        #[arg(long)]
        inline: bool,
        /// It is played to those who wait in a queue or a conference.
        #[arg(long)]
        waiting: bool,
    },
}

pub fn main(command: &TwimlCommand) -> ExitCode {
    let TwimlCommand::Check { file, inline, waiting } = command;
    match check(file, Use { inline: *inline, waiting: *waiting }) {
        Ok(code) => code,
        Err(fault) => {
            eprintln!("{}: {fault}", file.display());
            ExitCode::from(WRONG)
        }
    }
}

fn check(file: &Path, purpose: Use) -> std::io::Result<ExitCode> {
    let mut bytes = Vec::new();
    // One octet beyond the limit is enough to see that it was passed.
    let limit = u64::try_from(DOCUMENT_MAX).unwrap_or(u64::MAX).saturating_add(1);
    std::fs::File::open(file)?.take(limit).read_to_end(&mut bytes)?;
    let reading = lint(&bytes, purpose);
    let text = String::from_utf8_lossy(&bytes);
    let name = file.display().to_string();
    for finding in &reading.findings {
        print!("{}", finding.show(&name, &text));
    }
    println!("{}", summary(&reading.findings));
    Ok(match reading.findings.iter().map(|finding| finding.class).max() {
        Some(Class::Error) => ExitCode::from(WRONG),
        Some(Class::Warning) => ExitCode::from(FAILED),
        Some(Class::Hint) | None => ExitCode::SUCCESS,
    })
}
