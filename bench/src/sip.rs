//! `bench sip`: calls and registrations, ours beside Kamailio.
//!
//! Picture     generator alone -> each server: bindings, closed loop, knee -> rounds: each server at one same rate
//!             -> ours with two shards -> each server at two and four times its own knee
//! Rules       One server runs at a time, fresh for each visit. Memory of bindings is read when the transactions that
//!             brought them have ended. The same rate is half the lowest knee, so that neither
//!             server is in trouble and processor time per unit can be compared. Rounds alternate, medians count.
//! Limits      Those of the plan: every step has its span, every search its number of steps.
//! Not here    How a load is made (generator, calls, registers).
//! Spec        Targets stand in docs/benchmarks.md.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;

use crate::calls::Calls;
use crate::generator::{Generator, Pace, Scenario};
use crate::http;
use crate::knee::{self, Step};
use crate::peers::{Peer, Running};
use crate::registers::{PASSWORD, People, Registers};
use crate::report;

/// What is asked on the command line.
#[derive(Clone, Debug, clap::Args)]
pub struct Config {
    /// A short run, about a minute: for CI, not for publishing
    #[arg(long)]
    quick: bool,
    /// Measure one server only
    #[arg(long, value_parser = ["carillon", "kamailio"])]
    only: Option<String>,
    /// Our program; without this, the one beside the bench itself
    #[arg(long)]
    carillon: Option<PathBuf>,
    /// A file whose lines are added to the configuration of our server
    #[arg(long)]
    carillon_config: Option<PathBuf>,
    /// Only what so many bindings cost in memory, five to a user
    #[arg(long)]
    bindings: Option<usize>,
    /// Seconds that a call is held
    #[arg(long, default_value_t = 0.0)]
    hold: f64,
}

/// How long and how much.
struct Plan {
    step: Duration,
    steps_max: usize,
    rounds: usize,
    people: People,
    /// Bindings of the visit that only looks at memory; none in a short run.
    crowd: Option<People>,
    hold: Duration,
}

impl Plan {
    fn of(config: &Config) -> Self {
        let hold = Duration::from_secs_f64(config.hold.clamp(0.0, 60.0));
        let people = |users, contacts| People { prefix: "r", users, contacts };
        if config.quick {
            let step = Duration::from_millis(1_500);
            Self { step, steps_max: 5, rounds: 1, people: people(5_000, 2), crowd: None, hold }
        } else {
            let step = Duration::from_secs(4);
            let crowd = Some(people(100_000, CONTACTS));
            Self { step, steps_max: 9, rounds: 3, people: people(20_000, CONTACTS), crowd, hold }
        }
    }
}

/// People who are called.
const CALLED: People = People { prefix: "u", users: 200, contacts: 1 };
/// Phones of one user where memory is measured.
const CONTACTS: usize = 5;
/// Who registers in the rounds.
const REGISTERING: People = People { prefix: "r", users: 2_000, contacts: 2 };
/// Calls in flight in a closed loop: enough to keep one worker busy, few enough to fit every queue.
const IN_FLIGHT: usize = 32;
/// Registrations in flight in a closed loop: more, since a server that answers after its disk has them waits most of
/// the time; they still fit a socket's buffer of the usual size.
const REGISTERS_IN_FLIGHT: usize = 96;
/// The longest that registering all bindings may take.
const REGISTER_MAX: Duration = Duration::from_secs(300);
/// How long answers to registrations are kept for a repeated request, and a little: what bindings cost is read behind
/// it. Spec: RFC 3261 §17.2.2, timer J.
const SETTLE: Duration = Duration::from_secs(36);
/// How much more than its knee a server is offered.
const OVERLOADS: [f64; 2] = [2.0, 4.0];

/// Stands for the knee of a server that has none.
const RATE_UNKNOWN: f64 = 200.0;

/// What was found out about one server.
#[derive(Default)]
pub struct Figures {
    /// Its name.
    pub name: &'static str,
    /// Calls: closed loop, knee, and one step for each round.
    pub calls: Series,
    /// Registrations likewise.
    pub registers: Series,
    /// Octets that a hundred thousand bindings add.
    pub bindings_memory: f64,
    /// The same of the visit with the most bindings, and their number.
    pub crowd_memory: Option<(usize, f64)>,
    /// Steps beyond the knee: how many times the knee, and what came of it.
    pub beyond: Vec<(f64, Step)>,
    /// Calls at the same rate with two shards; ours only.
    pub two_shards: Vec<Step>,
    /// Octets of the idle server.
    pub idle_memory: u64,
}

/// The steps of one kind of load.
#[derive(Default)]
pub struct Series {
    /// As much as goes with few in flight, once a round.
    pub closed: Vec<Step>,
    /// The best rate.
    pub knee: Option<Step>,
    /// At the rate that is the same for all servers.
    pub same: Vec<Step>,
}

/// Runs it all and prints as it goes; the tables and ratios come last.
pub fn run(config: &Config) -> anyhow::Result<()> {
    let (plan, mut bench) = (Plan::of(config), Bench::open()?);
    println!("{}", bench.place());
    if let Some(bindings) = config.bindings {
        let users = bindings.div_ceil(CONTACTS).max(1);
        return bench.memory(&peers(config)?, &People { prefix: "r", users, contacts: CONTACTS });
    }
    bench.alone(&plan)?;
    let mut all = Vec::new();
    for peer in peers(config)? {
        let figures =
            bench.explore(&peer, &plan).with_context(|| format!("measuring {}", peer.name()))?;
        all.push((peer, figures));
    }
    let half_of_lowest = |pick: fn(&Figures) -> &Series| {
        let knee = |figures| pick(figures).knee.as_ref().map_or(RATE_UNKNOWN, |step| step.rate);
        let lowest = all.iter().map(|(_, figures)| knee(figures)).fold(f64::INFINITY, f64::min);
        (lowest / 2.0).round()
    };
    let rates = (half_of_lowest(|of| &of.calls), half_of_lowest(|of| &of.registers));
    for round in 1..=plan.rounds {
        for (peer, figures) in &mut all {
            println!("round {round} of {}: {} at the same load", plan.rounds, peer.name());
            bench.same_load(peer, figures, rates, &plan)?;
            bench.two_shards(peer, figures, rates.0, &plan)?;
        }
    }
    for (peer, figures) in &mut all {
        println!("{}: beyond its knee", peer.name());
        bench.beyond(peer, figures, &plan)?;
    }
    let figures: Vec<Figures> = all.into_iter().map(|(_, figures)| figures).collect();
    println!("{}", report::tables(&figures));
    print!("{}", report::ratios(&figures));
    Ok(())
}

fn peers(config: &Config) -> anyhow::Result<Vec<Peer>> {
    let extra = match &config.carillon_config {
        Some(path) => std::fs::read_to_string(path).with_context(|| path.display().to_string())?,
        None => String::new(),
    };
    let program = match &config.carillon {
        Some(program) => program.clone(),
        None => std::env::current_exe()?.with_file_name("carillon"),
    };
    let ours = Peer::Carillon { program, extra, shards: 1, shared: false };
    Ok(match config.only.as_deref() {
        Some("kamailio") => vec![Peer::Kamailio],
        Some(_) => vec![ours],
        None => vec![Peer::Kamailio, ours],
    })
}

struct Bench {
    generator: Generator,
    /// Empty: wherever the system likes.
    own_cores: Vec<usize>,
    server_cores: Vec<usize>,
    visits: u32,
}

impl Bench {
    fn open() -> anyhow::Result<Self> {
        let (own_cores, server_cores) = match net::available_cores().as_slice() {
            [own, server, ..] => (vec![*own], vec![*server]),
            _ => (Vec::new(), Vec::new()),
        };
        if !own_cores.is_empty() {
            net::pin_thread(&own_cores).context("choosing the generator's core")?;
        }
        Ok(Self { generator: Generator::new()?, own_cores, server_cores, visits: 0 })
    }

    fn place(&self) -> String {
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let cores = if self.own_cores.is_empty() {
            "one core: generator and server share it, so rates are too low".to_owned()
        } else {
            format!(
                "generator on core {:?}, server on core {:?}",
                self.own_cores, self.server_cores
            )
        };
        format!("linux {}, loopback, {cores}", kernel.trim())
    }

    /// The generator against itself, so that one sees that it is not the bottleneck.
    fn alone(&mut self, plan: &Plan) -> anyhow::Result<()> {
        let to = self.generator.callee_addr();
        let calls = Box::new(Calls::new(&self.run_name(), to, CALLED.users, Duration::ZERO));
        let tally = self.generator.run(calls, Pace::Closed(IN_FLIGHT), plan.step)?;
        let each = tally.own.as_secs_f64() * 1e6 / tally.completed.max(1) as f64;
        println!(
            "generator alone, no server between: {:.0} calls/s, {each:.1} us of its core a call",
            tally.per_second()
        );
        Ok(())
    }

    /// Differs for every scenario, so that no late message of one is taken for another's.
    fn run_name(&mut self) -> String {
        self.visits += 1;
        format!("{:x}v{}", std::process::id(), self.visits)
    }

    /// Starts a fresh server and makes its people. Each kind of load has a visit of its own: what calls leave behind in
    /// a server's memory would be charged to registrations.
    fn visit(&mut self, peer: &Peer, people: &People) -> anyhow::Result<Running> {
        let running = peer.start(&self.server_cores, &self.own_cores)?;
        if let Some((admin, token)) = &running.admin {
            let body = format!("{{\"password\":\"{PASSWORD}\",\"digest\":[\"MD5\"]}}");
            let path = |n| format!("/v1/users/{}{n}", people.prefix);
            http::put_all(*admin, token, people.users, path, &body).context("making users")?;
        }
        Ok(running)
    }

    fn register_all(&mut self, running: &mut Running, people: People) -> anyhow::Result<Step> {
        let total = people.bindings() as u64;
        let pace = Pace::Count { in_flight: REGISTERS_IN_FLIGHT, total };
        let scenario = Box::new(Registers::new(&self.run_name(), running.sip, people));
        let step = self.step(running, scenario, pace, REGISTER_MAX)?;
        anyhow::ensure!(
            step.tally.completed == total,
            "only {} of {total} registered: {}",
            step.tally.completed,
            report::troubles(&step.tally)
        );
        Ok(step)
    }

    fn step(
        &mut self,
        running: &mut Running,
        scenario: Box<dyn Scenario>,
        pace: Pace,
        span: Duration,
    ) -> anyhow::Result<Step> {
        let before = running.cpu();
        let tally = self.generator.run(scenario, pace, span)?;
        running.check()?;
        let cpu = running.cpu().saturating_sub(before);
        let rate = match pace {
            Pace::Open(rate) => rate,
            Pace::Closed(_) | Pace::Count { .. } => tally.per_second(),
        };
        let cores = self.server_cores.len().max(1) as f64;
        let busy = cpu.as_secs_f64() / (tally.span.as_secs_f64().max(1e-6) * cores);
        Ok(Step { rate, tally, cpu, busy })
    }

    fn calls(
        &mut self,
        running: &mut Running,
        pace: Pace,
        span: Duration,
        plan: &Plan,
    ) -> anyhow::Result<Step> {
        let calls = Calls::new(&self.run_name(), running.sip, CALLED.users, plan.hold);
        let step = self.step(running, Box::new(calls), pace, span)?;
        report::print_step("  calls", &step);
        Ok(step)
    }

    fn registers(
        &mut self,
        running: &mut Running,
        pace: Pace,
        span: Duration,
        people: &People,
    ) -> anyhow::Result<Step> {
        let registers = Registers::new(&self.run_name(), running.sip, people.clone());
        let step = self.step(running, Box::new(registers), pace, span)?;
        report::print_step("  registrations", &step);
        Ok(step)
    }

    /// Memory, closed loop and knee of one server.
    fn explore(&mut self, peer: &Peer, plan: &Plan) -> anyhow::Result<Figures> {
        println!("{}: bindings, closed loop, knee", peer.name());
        let mut running = self.visit(peer, &plan.people)?;
        let mut figures =
            Figures { name: peer.name(), idle_memory: running.memory(), ..Figures::default() };
        let (step, each) = self.memory_of(&mut running, &plan.people)?;
        figures.bindings_memory = each * 100_000.0;
        figures.registers.knee = knee::search(step.rate, plan.steps_max, |rate| {
            self.registers(&mut running, Pace::Open(rate), plan.step, &plan.people)
        })?;
        drop(running);
        if let Some(crowd) = &plan.crowd {
            let mut running = self.visit(peer, crowd)?;
            let (_, each) = self.memory_of(&mut running, crowd)?;
            figures.crowd_memory = Some((crowd.bindings(), each * 100_000.0));
        }
        let mut running = self.visit(peer, &CALLED)?;
        self.register_all(&mut running, CALLED).context("registering who is called")?;
        let closed = self.calls(&mut running, Pace::Closed(IN_FLIGHT), plan.step, plan)?;
        let capacity = closed.rate;
        figures.calls.knee = knee::search(capacity, plan.steps_max, |rate| {
            self.calls(&mut running, Pace::Open(rate), plan.step, plan)
        })?;
        Ok(figures)
    }

    /// Memory alone.
    fn memory(&mut self, peers: &[Peer], people: &People) -> anyhow::Result<()> {
        let mut costs = Vec::new();
        for peer in peers {
            println!("{}: {} bindings", peer.name(), people.bindings());
            let mut running = self.visit(peer, people)?;
            let (_, each) = self.memory_of(&mut running, people)?;
            costs.push((peer.name(), each));
        }
        if let [(peer, theirs), (_, ours)] = costs[..] {
            let ratio = ours / theirs.max(1.0);
            println!("octets a binding: {ours:.0}, {peer} {theirs:.0}, ratio {ratio:.2}");
        }
        Ok(())
    }

    /// Registers all of them, and says what one binding takes when their transactions have ended.
    fn memory_of(&mut self, running: &mut Running, people: &People) -> anyhow::Result<(Step, f64)> {
        let (idle, bindings) = (running.memory(), people.bindings());
        let step = self.register_all(running, people.clone())?;
        report::print_step("  first registrations", &step);
        let each = |now: u64| now.saturating_sub(idle) as f64 / bindings as f64;
        let at_once = each(running.memory());
        std::thread::sleep(SETTLE);
        let settled = each(running.memory());
        println!(
            "  {bindings} bindings: {at_once:.0} octets each at once, {settled:.0} after {} s",
            SETTLE.as_secs()
        );
        Ok((step, settled))
    }

    /// Ours at the rate of the round with a second shard: what the hand-over between shards costs.
    fn two_shards(
        &mut self,
        peer: &Peer,
        figures: &mut Figures,
        rate: f64,
        plan: &Plan,
    ) -> anyhow::Result<()> {
        let Peer::Carillon { program, extra, .. } = peer else { return Ok(()) };
        let two = Peer::Carillon {
            program: program.clone(),
            extra: extra.clone(),
            shards: 2,
            shared: false,
        };
        let mut running = self.visit(&two, &CALLED)?;
        self.register_all(&mut running, CALLED).context("registering who is called")?;
        println!("  with two shards:");
        figures.two_shards.push(self.calls(&mut running, Pace::Open(rate), plan.step * 2, plan)?);
        Ok(())
    }

    /// More than the server can do: how much of its best it still does.
    fn beyond(&mut self, peer: &Peer, figures: &mut Figures, plan: &Plan) -> anyhow::Result<()> {
        let Some(knee) = figures.calls.knee.as_ref().map(|step| step.rate) else { return Ok(()) };
        for times in OVERLOADS {
            let mut running = self.visit(peer, &CALLED)?;
            self.register_all(&mut running, CALLED).context("registering who is called")?;
            let step = self.calls(&mut running, Pace::Open(knee * times), plan.step * 2, plan)?;
            figures.beyond.push((times, step));
        }
        Ok(())
    }

    /// One server at the rates that are the same for all, and then at its own best.
    fn same_load(
        &mut self,
        peer: &Peer,
        figures: &mut Figures,
        (call_rate, register_rate): (f64, f64),
        plan: &Plan,
    ) -> anyhow::Result<()> {
        let (open, closed) = (plan.step * 2, plan.step);
        let mut running = self.visit(peer, &REGISTERING)?;
        self.register_all(&mut running, REGISTERING)?;
        let pace = Pace::Open(register_rate);
        figures.registers.same.push(self.registers(&mut running, pace, open, &REGISTERING)?);
        let pace = Pace::Closed(REGISTERS_IN_FLIGHT);
        figures.registers.closed.push(self.registers(&mut running, pace, closed, &REGISTERING)?);
        drop(running);
        let mut running = self.visit(peer, &CALLED)?;
        self.register_all(&mut running, CALLED).context("registering who is called")?;
        let pace = Pace::Open(call_rate);
        figures.calls.same.push(self.calls(&mut running, pace, open, plan)?);
        let pace = Pace::Closed(IN_FLIGHT);
        figures.calls.closed.push(self.calls(&mut running, pace, closed, plan)?);
        Ok(())
    }
}
