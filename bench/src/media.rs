//! `bench media`: packets relayed between two phones, ours beside rtpengine in user space; and `sound`, what is played,
//! mixed and turned beside bare loops.
//!
//! Picture     phone A <--RTP--> relay (a pair of ports for each, or one for all) <--RTP--> phone B, some hundred times; every packet carries when it was sent
//! Rules       One relay runs at a time, fresh for each rate. The same packets without a relay come first: what they take
//!             is the load's own, and is taken off the delay of each relay. Packets are spread over each 20 ms as phones
//!             spread them.
//! Limits      `RATES`, a span for each, `LATE_MAX` for what is still on its way.
//! Not here    How calls are set up (`door`), what the engine makes itself (`sound`).
//! Spec        RFC 3550 §5.1, RFC 3551 §4.5.14 (20 ms of G.711).

mod door;
mod sound;
mod stream;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;

use crate::peers::{Peer, Running};
use crate::tally::median;
use door::Door;
use stream::{Flood, Streams};

/// What is asked on the command line.
#[derive(Clone, Debug, clap::Args)]
pub struct Config {
    /// A short run, under a minute: for CI, not for publishing
    #[arg(long)]
    quick: bool,
    /// Measure one relay only
    #[arg(long, value_parser = ["carillon", "carillon-shared", "rtpengine"])]
    only: Option<String>,
    /// Measure one part only: packets that are relayed, or sound that is played, spread, mixed and turned
    #[arg(long, value_parser = ["relay", "sound"])]
    part: Option<String>,
    /// Our program; without this, the one beside the bench itself
    #[arg(long)]
    carillon: Option<PathBuf>,
}

/// Packets a second that a relay is given.
const RATES: [usize; 2] = [10_000, 40_000];
/// Packets a second of one call: 50 each way.
const OF_A_CALL: usize = 100;
/// What is sent before anything counts: addresses are learnt, pages are touched.
const WARM: Duration = Duration::from_millis(500);
/// How long is waited for packets that are still on their way.
const LATE_MAX: Duration = Duration::from_millis(200);

/// What one relay did at one rate.
struct Figures {
    relay: &'static str,
    rate: usize,
    flood: Flood,
    cpu: Duration,
}

impl Figures {
    /// Processor seconds for a million packets that came through.
    fn cpu_per_million(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.flood.came.max(1) as f64
    }
}

/// Runs it all and prints as it goes; ratios come last.
pub fn run(config: &Config) -> anyhow::Result<()> {
    let cores = match net::available_cores().as_slice() {
        [own, server, ..] => (vec![*own], vec![*server]),
        _ => (Vec::new(), Vec::new()),
    };
    if !cores.0.is_empty() {
        net::pin_thread(&cores.0).context("choosing the generator's core")?;
    }
    let span = Duration::from_secs(if config.quick { 2 } else { 8 });
    if config.part.as_deref() != Some("relay") {
        sound::run(span)?;
    }
    if config.part.as_deref() == Some("sound") {
        return Ok(());
    }
    let rounds = if config.quick { 1 } else { 3 };
    let mut all = Vec::new();
    for rate in RATES {
        let mut streams = Streams::open(rate / OF_A_CALL)?;
        streams.direct();
        streams.run(WARM)?;
        let flood = streams.run(span)?;
        println!("{rate} packets/s without a relay: {}", flood.text());
        all.push(Figures { relay: "none", rate, flood, cpu: Duration::ZERO });
        for round in 1..=rounds {
            for peer in peers(config)? {
                println!("round {round} of {rounds}: {} at {rate} packets/s", peer.name());
                let figures = relayed(&peer, rate, span, &cores)
                    .with_context(|| format!("measuring {}", peer.name()))?;
                println!(
                    "  {}, cpu {:.2} s per million",
                    figures.flood.text(),
                    figures.cpu_per_million()
                );
                all.push(figures);
            }
        }
    }
    print!("{}", ratios(&all));
    Ok(())
}

fn peers(config: &Config) -> anyhow::Result<Vec<Peer>> {
    let program = match &config.carillon {
        Some(program) => program.clone(),
        None => std::env::current_exe()?.with_file_name("carillon"),
    };
    let ours = |shared| Peer::Carillon {
        program: program.clone(),
        extra: String::new(),
        shards: 1,
        shared,
    };
    Ok(match config.only.as_deref() {
        Some("rtpengine") => vec![Peer::Rtpengine],
        Some(name) => vec![ours(name == "carillon-shared")],
        None => vec![Peer::Rtpengine, ours(false), ours(true)],
    })
}

fn relayed(
    peer: &Peer,
    rate: usize,
    span: Duration,
    (own, server): &(Vec<usize>, Vec<usize>),
) -> anyhow::Result<Figures> {
    let mut running = peer.start(server, own)?;
    let mut streams = Streams::open(rate / OF_A_CALL)?;
    let mut door = Door::open(&running)?;
    for call in 0..streams.calls() {
        let (a, b) = streams.addresses(call);
        let relays = door.call(call, a, b).with_context(|| format!("setting up call {call}"))?;
        streams.aim(call, relays);
    }
    streams.run(WARM)?;
    let before = running.cpu();
    let flood = streams.run(span)?;
    let cpu = running.cpu().saturating_sub(before);
    running.check()?;
    Ok(Figures { relay: peer.name(), rate, flood, cpu })
}

impl Running {
    /// Whether it takes calls by SIP; otherwise by its control protocol.
    fn speaks_sip(&self) -> bool {
        self.admin.is_some()
    }
}

/// Ours divided by the peer's, for each rate.
fn ratios(all: &[Figures]) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    for rate in RATES {
        let of = |relay: &str, figure: &dyn Fn(&Figures) -> f64| {
            let these = all.iter().filter(|one| one.relay == relay && one.rate == rate);
            median(these.map(figure).collect())
        };
        let p99 = |one: &Figures| one.flood.quantile(99.0).as_secs_f64() * 1e3;
        let alone = of("none", &p99).unwrap_or(0.0);
        for (what, figure) in [
            ("cpu seconds per million packets", &Figures::cpu_per_million as &dyn Fn(&_) -> _),
            ("added delay p99 in ms", &|one: &Figures| (p99(one) - alone).max(0.0)),
            ("lost of a million", &|one: &Figures| one.flood.lost_of_a_million()),
        ] {
            for (own, how) in [("carillon", "a pair for each leg"), ("carillon-shared", "one port")]
            {
                let (Some(ours), Some(peer)) = (of(own, figure), of("rtpengine", figure)) else {
                    continue;
                };
                let _ = match peer > 0.0 {
                    true => writeln!(
                        text,
                        "{what} at {rate} packets/s, {how}: ratio {:.2} to rtpengine ({ours:.3} / {peer:.3}; lower is better)",
                        ours / peer
                    ),
                    false => writeln!(
                        text,
                        "{what} at {rate} packets/s, {how}: {ours:.3}, rtpengine {peer:.3} (no ratio to nothing)"
                    ),
                };
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_name_the_peer_and_take_the_middle_of_the_rounds() {
        let figures = |relay, millis| Figures {
            relay,
            rate: RATES[0],
            flood: Flood { sent: 1_000_000, came: 1_000_000, ..Flood::default() },
            cpu: Duration::from_millis(millis),
        };
        let all = [
            figures("rtpengine", 10_000),
            figures("carillon", 90_000),
            figures("carillon", 5_000),
            figures("carillon", 4_000),
        ];
        let text = ratios(&all);
        assert!(text.contains("ratio 0.50 to rtpengine (5.000 / 10.000"), "{text}");
        assert!(text.contains("no ratio to nothing"), "{text}");
    }
}
