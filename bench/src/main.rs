//! `cargo run --release -p bench -- sip`

use clap::Parser;

/// Measures our server beside a known one, on loopback.
#[derive(Parser)]
#[command(name = "bench")]
enum Bench {
    /// Packets between two phones, beside rtpengine
    Media(bench::media::Config),
    /// Calls and registrations, beside Kamailio
    Sip(bench::sip::Config),
    /// Calls of a program, beside plain calls of our own
    Voice(bench::voice::Config),
}

fn main() -> anyhow::Result<()> {
    match Bench::parse() {
        Bench::Media(config) => bench::media::run(&config),
        Bench::Sip(config) => bench::sip::run(&config),
        Bench::Voice(config) => bench::voice::run(&config),
    }
}
