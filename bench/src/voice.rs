//! `bench voice`: calls that a program answers, beside plain calls of our own in the same run.
//!
//! Picture     an app in this process <--HTTP-- server --SIP--> callers: three questions a call, one key, a hang-up
//!             the same server, the same rate: plain calls;  then many calls that hear a prompt and may press keys
//! Rules       One server, one core for it where there are two. Processor time is the server's alone. What the app itself
//!             takes is told apart and taken off what callers wait for. Ticks are looked at from outside: by the times at
//!             which packets of the prompt arrive.
//! Limits      Those of the plan.
//! Not here    How programs run (services/voice), how a load is made (generator).
//! Spec        Targets stand in docs/benchmarks.md.

mod app;
mod caller;
mod sink;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};

use self::app::App;
use self::caller::{Programs, Script};
use self::sink::Sink;
use crate::calls::Calls;
use crate::generator::{Generator, Pace, Scenario};
use crate::http;
use crate::peers::{Peer, Running};
use crate::registers::{PASSWORD, People, Registers};
use crate::report::troubles;
use crate::tally::{Tally, quantile};

/// What is asked on the command line.
#[derive(Clone, Debug, clap::Args)]
pub struct Config {
    /// A short run, about half a minute: for CI, not for publishing
    #[arg(long)]
    quick: bool,
    /// Our program; without this, the one beside the bench itself
    #[arg(long)]
    carillon: Option<PathBuf>,
    /// Calls a second
    #[arg(long, default_value_t = 200.0)]
    rate: f64,
    /// Calls that hear a prompt at once
    #[arg(long)]
    crowd: Option<usize>,
}

/// People who are called plainly.
const CALLED: People = People { prefix: "u", users: 200, contacts: 1 };
/// The number that the program answers.
const NUMBER: &str = "+15550100";
/// The longest that registering may take.
const REGISTER_MAX: Duration = Duration::from_secs(60);
/// Processor time of a call with a program, in plain calls.
const RATIO_MAX: f64 = 4.0;
/// From the INVITE to the first thing that the document does, without the app's own time. Units: milliseconds.
const FIRST_MAX: f64 = 5.0;
/// How late a packet of the prompt may be, at p99.9: a tick, or the next one would have come before it. Units: milliseconds.
const LATE_MAX: f64 = 20.0;

/// Runs it all and prints as it goes; what was wanted comes last.
pub fn run(config: &Config) -> anyhow::Result<()> {
    let span = Duration::from_secs(if config.quick { 5 } else { 20 });
    let crowd = config.crowd.unwrap_or(if config.quick { 200 } else { 2_000 });
    let (own, server) = match net::available_cores().as_slice() {
        [own, server, ..] => (vec![*own], vec![*server]),
        _ => (Vec::new(), Vec::new()),
    };
    let app = App::start()?;
    let mut generator = Generator::new()?;
    if !own.is_empty() {
        net::pin_thread(&own).context("choosing the generator's core")?;
    }
    let program = match &config.carillon {
        Some(program) => program.clone(),
        None => std::env::current_exe()?.with_file_name("carillon"),
    };
    let extra = "[guard]\nhttp_targets = \"any\"\n".to_owned();
    let mut running =
        Peer::Carillon { program, extra, shards: 1, shared: false }.start(&server, &own)?;
    prepare(&running, &mut generator, &app)?;
    let mut step = |name: &str, scenario: Box<dyn Scenario>, running: &mut Running| {
        let before = running.cpu();
        let tally = generator.run(scenario, Pace::Open(config.rate), span)?;
        running.check()?;
        let each = (running.cpu() - before).as_secs_f64() * 1e6 / tally.completed.max(1) as f64;
        print_step(name, &tally, each);
        ensure!(tally.completed > 0, "no call of {name} came through{}", troubles(&tally));
        anyhow::Ok((tally, each))
    };
    let run = format!("{:x}", std::process::id());
    let (mut plain, mut programmed) = (Vec::new(), Vec::new());
    let mut first = Vec::new();
    for round in 0..if config.quick { 1 } else { 3 } {
        let calls =
            Calls::new(&format!("{run}p{round}"), running.sip, CALLED.users, Duration::ZERO);
        plain.push(step("plain calls", Box::new(calls), &mut running)?.1);
        app.forget();
        let script = Script::Menu;
        let calls = Programs::new(&format!("{run}m{round}"), running.sip, NUMBER, script, 40_000);
        let (tally, each) = step("calls of a program", Box::new(calls), &mut running)?;
        programmed.push(each);
        first.extend(tally.setup);
    }
    let middle = |figures| crate::tally::median(figures).unwrap_or_default();
    let ratio = middle(programmed) / middle(plain).max(1e-9);
    let own_time = quantile(&app.took(), 50.0);
    let waited = quantile(&first, 99.0).saturating_sub(own_time).as_secs_f64() * 1e3;
    let late = listen(&mut generator, &mut running, crowd, span)?;
    println!();
    verdict("processor time of a call with three questions, in plain calls", ratio, RATIO_MAX);
    verdict(
        "INVITE to the document's first deed at p99, without the app's own time (ms)",
        waited,
        FIRST_MAX,
    );
    verdict(
        &format!("{crowd} calls with a prompt: lateness of a packet at p99.9 (ms)"),
        late,
        LATE_MAX,
    );
    println!("the app itself took {own_time:?} at p50, {:?} at p99", quantile(&app.took(), 99.0));
    Ok(())
}

/// People, their phones, and the number whose app this is.
fn prepare(running: &Running, generator: &mut Generator, app: &App) -> anyhow::Result<()> {
    let (admin, token) = running.admin.as_ref().context("our server has an administrator")?;
    let body = format!("{{\"password\":\"{PASSWORD}\",\"digest\":[\"MD5\"]}}");
    http::put_all(*admin, token, CALLED.users, |n| format!("/v1/users/u{n}"), &body)?;
    let body = format!("{{\"voice_url\":\"{}/start\"}}", app.url);
    let path = |_| format!("/v1/numbers/{}", NUMBER.replace('+', "%2B"));
    http::put_all(*admin, token, 1, path, &body).context("making the number")?;
    let total = CALLED.bindings() as u64;
    let registers = Registers::new(&format!("{:x}r", std::process::id()), running.sip, CALLED);
    let pace = Pace::Count { in_flight: 32, total };
    let tally = generator.run(Box::new(registers), pace, REGISTER_MAX)?;
    ensure!(tally.completed == total, "registering who is called{}", troubles(&tally));
    Ok(())
}

/// Many calls hear a prompt at once, and could press keys. How late its packets are at p99.9, in milliseconds.
fn listen(
    generator: &mut Generator,
    running: &mut Running,
    crowd: usize,
    span: Duration,
) -> anyhow::Result<f64> {
    let sink = Sink::open()?;
    let hold = span + Duration::from_secs(crowd as u64 / 200 + 4);
    let run = format!("{:x}w", std::process::id());
    let calls = Programs::new(&run, running.sip, NUMBER, Script::Listen(hold), sink.port());
    let before = running.cpu();
    let begun = std::time::Instant::now();
    let heard = sink.listen(hold);
    let pace = Pace::Count { in_flight: crowd, total: crowd as u64 };
    let tally = generator.run(Box::new(calls), pace, hold * 2)?;
    running.check()?;
    let busy = (running.cpu() - before).as_secs_f64() / begun.elapsed().as_secs_f64();
    let late = heard.finish();
    println!(
        "{crowd} calls hear a prompt: {} packets, core {:.0} % busy, late p50 {:?}, p99 {:?}, p99.9 {:?}{}",
        late.len(),
        busy * 100.0,
        quantile(&late, 50.0),
        quantile(&late, 99.0),
        quantile(&late, 99.9),
        troubles(&tally)
    );
    ensure!(!late.is_empty(), "nobody heard the prompt");
    Ok(quantile(&late, 99.9).as_secs_f64() * 1e3)
}

fn print_step(name: &str, tally: &Tally, each: f64) {
    println!(
        "{name}: {:.0} of {} offered, {each:.0} us of the server each, answered p50 {:?}, p99 {:?}{}",
        tally.completed,
        tally.offered,
        tally.quantile(50.0),
        tally.quantile(99.0),
        troubles(tally)
    );
}

fn verdict(what: &str, found: f64, most: f64) {
    let word = if found <= most { "met" } else { "MISSED" };
    println!("{what}: {found:.2}, wanted {most:.0} at most: {word}");
}
