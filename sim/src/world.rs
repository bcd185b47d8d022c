//! One fake world: a clock that jumps from event to event, the server, the telephones, and what lies between.
//!
//! Picture     queue (time, number) --> datagram | tick | mail | disk | database | push | step of the plan
//! Rules       Events of one moment happen in the order in which they were planned. Everything random comes from
//!             `rng`, so the seed is the run. What belongs to a run of the server that was killed is dropped.
//! Limits      EVENTS_MAX: a world that goes on for ever is a failure.
//! Not here    What a seed plans (plan), what must hold (check).
//! Spec        none

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use store::Sqlite;
use store::keeper::MemoryDisk;
use store::projector::{Next, POSITIONS, Projection};
use switchboard::store::{Batch, Query, StoreFault};
use switchboard::{Access, ApiResponse, Clock, Input, Mail, Manifest, Output, Reply, Ticket};
use types::{Flow, Instant, Rng, UnixTime};

use crate::agent::{Act, Agent, CallPlan};
use crate::check::Checks;
use crate::cover::Coverage;
use crate::host::{HELD_MAX, Host, Leaving, PUBLIC, SERVER, Setup};
use crate::network::Network;
use crate::providers::Providers;
use crate::rest::{Rest, join};

/// Events of one world; more means that something keeps itself busy.
pub const EVENTS_MAX: u64 = 20_000_000;
/// The date on which every world begins.
const EPOCH: UnixTime = UnixTime::seconds(1_790_000_000);
/// What a process that was not told otherwise needs to come back.
const DOWN_MIN: Duration = Duration::from_millis(150);

/// A step of a plan.
#[derive(Clone, Debug)]
pub enum Step {
    /// Asks the API where each user of an acknowledged registration can be reached.
    Audit,
    /// Somebody calls.
    Call(usize, CallPlan),
    /// The database is out of reach, or comes back.
    Database {
        /// Whether it answers.
        up: bool,
    },
    /// The disk cannot sync any more, until the next start.
    DiskFails,
    /// The server dies and comes back, perhaps with another number of shards.
    Kill {
        /// The whole machine lost its power.
        power: bool,
        /// How many shards start.
        shards: usize,
    },
    /// The administrator makes a user, again and again until it is acknowledged.
    MakeUser(String),
    /// A telephone moves to another address.
    Move(usize, SocketAddr),
    /// A telephone registers for so many seconds.
    Register(usize, u32),
    /// The live entries of every shard are written again.
    Snapshot,
}

/// Why the API was asked.
#[derive(Clone, Debug)]
enum Asked {
    Bindings(String),
    MakeUser(String),
    Reply,
    User(String),
}

#[derive(Debug)]
struct Pending {
    asked: Asked,
    parts: Vec<ApiResponse>,
    expected: usize,
}

#[derive(Debug)]
enum Happening {
    Agent(usize),
    Datagram { from: SocketAddr, to: SocketAddr, bytes: Vec<u8> },
    Mail { run: u64, shard: usize, mail: Mail },
    Media { run: u64, shard: usize, event: media::Event },
    Project { run: u64 },
    Push { prid: String, body: Vec<u8> },
    Query { run: u64, shard: usize, ticket: Ticket, query: Query },
    Reply { run: u64, shard: usize, ticket: Ticket, reply: Reply },
    Request { asked: Asked, method: &'static str, target: String, bearer: String, body: String },
    Again(Asked),
    Start { shards: usize },
    Step(Step),
    Sync { run: u64 },
    Tick { run: u64, shard: usize },
    Write { run: u64, shard: usize, ticket: Ticket, batch: Batch },
}

/// See the head of this file.
pub struct World {
    /// Time since the beginning.
    pub now: Instant,
    /// The telephones.
    pub agents: Vec<Agent>,
    /// Who watches.
    pub checks: Checks,
    /// Which pairs of state and event were met.
    pub coverage: Coverage,
    /// The push providers.
    pub providers: Providers,
    /// The database, while it is here.
    pub sql: Sqlite,
    /// The server, while it runs.
    pub host: Option<Host>,
    /// Prints what happens.
    pub trace: bool,
    /// Events so far.
    pub events: u64,
    /// How often the server started.
    pub run: u64,
    setup: Setup,
    manifests: Vec<&'static Manifest>,
    rest: Rest,
    network: Network,
    rng: Rng,
    queue: BTreeMap<(Instant, u64), Happening>,
    number: u64,
    addresses: BTreeMap<SocketAddr, usize>,
    /// Datagrams lost in a row, by way.
    lost: BTreeMap<(SocketAddr, SocketAddr), u8>,
    disk: MemoryDisk,
    projection: Option<Projection>,
    database_up: bool,
    /// Clock of the running process, ahead of the world's by this.
    offset: Duration,
    /// When the last mail from one shard to another arrives.
    mailboxes: BTreeMap<(u64, usize, usize), Instant>,
    ticks: Vec<Option<Instant>>,
    agent_timers: Vec<Option<Instant>>,
    sync_planned: Option<Instant>,
    project_planned: bool,
    pending: BTreeMap<u64, Pending>,
    requests: u64,
    /// A kill comes in the middle of the next batch.
    dying: Option<(bool, usize)>,
}

impl World {
    /// A world in which the server starts at once.
    pub fn new(setup: Setup, network: Network, shards: usize, mut rng: Rng) -> Self {
        let rooms = (setup.rooms)();
        let manifests: Vec<&'static Manifest> = rooms.iter().map(|room| room.manifest()).collect();
        let migrations: Vec<_> =
            manifests.iter().map(|room| (room.name, room.migrations)).collect();
        let sql = match Sqlite::open(store::sql::MEMORY, &migrations) {
            Ok(sql) => sql,
            Err(fault) => panic!("the database does not open: {fault:?}"),
        };
        let mut world = Self {
            now: Instant(0),
            agents: Vec::new(),
            checks: Checks::default(),
            coverage: Coverage::default(),
            providers: Providers::default(),
            sql,
            host: None,
            trace: false,
            events: 0,
            run: 0,
            rest: Rest::new(&manifests),
            manifests,
            network,
            queue: BTreeMap::new(),
            number: 0,
            addresses: BTreeMap::new(),
            lost: BTreeMap::new(),
            disk: MemoryDisk::new(),
            projection: None,
            database_up: true,
            offset: Duration::from_secs(rng.below(1_000_000)),
            mailboxes: BTreeMap::new(),
            ticks: Vec::new(),
            agent_timers: Vec::new(),
            sync_planned: None,
            project_planned: false,
            pending: BTreeMap::new(),
            requests: 0,
            dying: None,
            setup,
            rng,
        };
        world.start(shards);
        world
    }

    /// Adds a telephone.
    pub fn add(&mut self, agent: Agent) -> usize {
        self.addresses.insert(agent.address, self.agents.len());
        self.agents.push(agent);
        self.agent_timers.push(None);
        self.agents.len() - 1
    }

    /// Plans a step.
    pub fn at(&mut self, at: Instant, step: Step) {
        self.put(at, Happening::Step(step));
    }

    /// What the people's clock shows.
    pub fn unix(&self) -> UnixTime {
        EPOCH + Duration::from_micros(self.now.0)
    }

    /// Nobody registers any more.
    pub fn hush(&mut self) {
        self.agents.iter_mut().for_each(Agent::hush);
    }

    /// What the log would give to the next start.
    pub fn kept(&self) -> Vec<switchboard::store::Entry> {
        let disk = self.disk.kill();
        match store::keeper::Keeper::on(std::sync::Arc::new(disk), 1) {
            Ok((_, recovered)) => recovered.entries,
            Err(_) => Vec::new(),
        }
    }

    /// Lets time pass until `end`, or until nothing is left to happen.
    pub fn run_until(&mut self, end: Instant) {
        while let Some(entry) = self.queue.first_entry() {
            if entry.key().0 > end {
                break;
            }
            let ((at, _), happening) = entry.remove_entry();
            self.now = at;
            self.events += 1;
            if self.events > EVENTS_MAX {
                self.checks.violation("the world does not come to rest".into());
                return;
            }
            self.happen(happening);
        }
        self.now = self.now.max(end);
    }

    fn put(&mut self, at: Instant, happening: Happening) {
        self.number += 1;
        self.queue.insert((at, self.number), happening);
    }

    fn after(&mut self, delay: Duration, happening: Happening) {
        self.put(self.now + delay, happening);
    }

    /// A delay of at most so many microseconds.
    fn micros(&mut self, most: u64) -> Duration {
        Duration::from_micros(1 + self.rng.below(most))
    }

    fn say(&self, what: impl FnOnce() -> String) {
        if self.trace {
            println!("{:?} {}", self.now, what());
        }
    }

    fn clock(&self) -> Clock {
        Clock { now: self.now + self.offset, unix: self.unix() }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Again(asked) => self.ask(asked),
            Happening::Agent(agent) => {
                self.agent_timers[agent] = None;
                let now = self.now;
                self.agents[agent].timer(now);
                self.after_agent(agent);
            }
            Happening::Datagram { from, to, bytes } => self.datagram(from, to, &bytes),
            Happening::Mail { run, shard, mail } => {
                if run == self.run {
                    self.feed(shard, Input::Mail(mail));
                }
            }
            Happening::Media { run, shard, event } => {
                if run == self.run {
                    self.feed(shard, Input::Media(event));
                }
            }
            Happening::Project { run } => {
                if run == self.run {
                    self.project();
                }
            }
            Happening::Push { prid, body } => self.push(&prid, &body),
            Happening::Query { run, shard, ticket, query } => {
                if run == self.run {
                    let up = self.database_up;
                    let rows =
                        if up { self.sql.query(&query) } else { Err(StoreFault::Unreachable) };
                    self.feed(shard, Input::Reply { ticket, reply: Reply::Rows(rows) });
                }
            }
            Happening::Reply { run, shard, ticket, reply } => {
                if run == self.run {
                    self.feed(shard, Input::Reply { ticket, reply });
                }
            }
            Happening::Request { asked, method, target, bearer, body } => {
                self.request(asked, method, &target, bearer, body);
            }
            Happening::Start { shards } => self.start(shards),
            Happening::Step(step) => self.step(step),
            Happening::Sync { run } => {
                if run == self.run {
                    self.sync();
                }
            }
            Happening::Tick { run, shard } => {
                if run == self.run {
                    self.tick(shard);
                }
            }
            Happening::Write { run, shard, ticket, batch } => self.write(run, shard, ticket, batch),
        }
    }

    fn step(&mut self, step: Step) {
        self.say(|| format!("step {step:?}"));
        let now = self.now;
        match step {
            Step::Audit => {
                let users = self.checks.registered_users(self.unix());
                for user in users {
                    self.ask(Asked::Bindings(user));
                }
                let users = self.checks.users().to_vec();
                for user in users {
                    self.ask(Asked::User(user));
                }
            }
            Step::Call(agent, plan) => {
                if self.agents[agent].awake {
                    self.agents[agent].call(plan, now);
                    self.checks.calls += 1;
                    self.after_agent(agent);
                }
            }
            Step::Database { up } => self.database_up = up,
            Step::DiskFails => {
                self.disk.fail_sync(true);
                self.checks.disk_failed(now);
            }
            Step::Kill { power, shards } => {
                if self.host.is_none() {
                    return;
                }
                self.dying = Some((power, shards));
                if self.rng.percent(50) {
                    self.kill();
                }
            }
            Step::MakeUser(user) => self.make_user(user),
            Step::Move(agent, address) => {
                let phone = &mut self.agents[agent];
                if phone.calls.values().any(crate::agent::Call::is_alive) {
                    return;
                }
                let old = phone.address;
                self.checks.moved(&phone.user, &phone.contact());
                phone.restart(address, now);
                self.addresses.remove(&old);
                self.addresses.insert(address, agent);
                self.after_agent(agent);
            }
            Step::Register(agent, seconds) => {
                self.agents[agent].register_for(seconds, now);
                self.after_agent(agent);
            }
            Step::Snapshot => {
                if let Some(host) = &mut self.host {
                    for shard in 0..host.shards() {
                        host.snapshot(shard);
                    }
                }
                self.plan_sync();
            }
        }
    }

    fn ask(&mut self, asked: Asked) {
        let target = match &asked {
            Asked::Bindings(user) => format!("/v1/bindings?user={user}"),
            Asked::User(user) => format!("/v1/users/{user}"),
            Asked::MakeUser(_) | Asked::Reply => return,
        };
        self.request(asked, "GET", &target, String::new(), String::new());
    }

    fn make_user(&mut self, user: String) {
        let body = format!(
            "{{\"password\":\"secret-{user}\",\"display_name\":\"User {user}\",\"digest\":[\"MD5\"]}}"
        );
        let target = format!("/v1/users/{user}");
        self.request(Asked::MakeUser(user), "PUT", &target, String::new(), body);
    }

    fn datagram(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        if to.to_string() == SERVER {
            let Some(host) = &self.host else { return };
            let shards = host.shards();
            let shard = switchboard::locate(bytes, &crate::host::keys(&self.setup))
                .map_or(0, |slot| slot.shard(shards));
            self.say(|| format!("{from} -> server/{shard}: {}", first_line(bytes)));
            let run = self.run;
            self.checks.reached(bytes, self.now, run);
            self.coverage.came(bytes);
            self.feed(shard, Input::Message { flow: Flow::udp(from), bytes });
            return;
        }
        let Some(agent) = self.addresses.get(&to).copied() else {
            self.say(|| format!("nobody at {to}: {}", first_line(bytes)));
            return;
        };
        self.say(|| format!("server -> {} {to}: {}", self.agents[agent].user, first_line(bytes)));
        self.checks.heard(bytes, self.now);
        let now = self.now;
        self.agents[agent].datagram(bytes, now);
        self.after_agent(agent);
    }

    fn send(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        let lost = self.lost.entry((from, to)).or_default();
        let ways = self.network.fate(lost, &mut self.rng);
        if ways.is_empty() {
            self.say(|| format!("lost from {from} to {to}: {}", first_line(&bytes)));
        }
        for way in ways {
            self.after(way, Happening::Datagram { from, to, bytes: bytes.clone() });
        }
    }

    /// Does what an agent wants done, and asks when it wants to be woken.
    fn after_agent(&mut self, agent: usize) {
        let now = self.now;
        self.agents[agent].note_ends(now);
        let acts = std::mem::take(&mut self.agents[agent].acts);
        let address = self.agents[agent].address;
        for act in acts {
            match act {
                Act::Answer { url, token, body, delay } => {
                    let target = url.strip_prefix(PUBLIC).unwrap_or(&url).to_owned();
                    let (asked, bearer) = (Asked::Reply, token);
                    self.after(
                        delay,
                        Happening::Request { asked, method: "POST", target, bearer, body },
                    );
                }
                Act::Forgotten { call_id, since } => {
                    let user = self.agents[agent].user.clone();
                    self.checks.forgotten(&user, &call_id, since);
                }
                Act::Granted { contact, seconds } => {
                    let until = seconds.map(|n| self.unix() + Duration::from_secs(n.into()));
                    let user = self.agents[agent].user.clone();
                    self.checks.granted(&user, &contact, until);
                }
                Act::Send(bytes) => {
                    if let Ok(server) = SERVER.parse() {
                        self.send(address, server, bytes);
                    }
                }
            }
        }
        let Some(at) = self.agents[agent].deadline() else { return };
        let at = at.max(self.now);
        if self.agent_timers[agent].is_none_or(|planned| at < planned) {
            self.agent_timers[agent] = Some(at);
            self.put(at, Happening::Agent(agent));
        }
    }

    fn push(&mut self, prid: &str, body: &[u8]) {
        let now = self.now;
        let found = self
            .agents
            .iter()
            .position(|agent| agent.push.as_ref().is_some_and(|push| push.prid == prid));
        if let Some(agent) = found {
            self.say(|| format!("push for {}", self.agents[agent].user));
            self.agents[agent].woken(body, now);
            self.after_agent(agent);
        }
    }
}

/// The server's side.
impl World {
    fn start(&mut self, shards: usize) {
        self.run += 1;
        // The clock for intervals begins anew with each process.
        self.offset = Duration::from_secs(self.rng.below(1_000_000));
        self.say(|| format!("the server starts with {shards} shards"));
        let clock = self.clock();
        let (host, entries) = Host::start(&self.setup, &self.disk, shards, &mut self.rng, clock);
        self.say(|| format!("{} entries adopted", entries.len()));
        let manifests = self.manifests.clone();
        let mut projection = Projection::new(host.keeper().clone(), move |entry| {
            manifests
                .iter()
                .filter_map(|room| room.project)
                .flat_map(|project| project(entry))
                .collect()
        });
        if let Ok(rows) = self.sql.query(&Query { sql: POSITIONS, values: Vec::new() }) {
            projection.load(&rows);
        }
        self.projection = Some(projection);
        self.host = Some(host);
        self.ticks = vec![None; shards];
        self.sync_planned = None;
        self.project_planned = false;
        for shard in 0..shards {
            self.feed(shard, Input::Begin);
        }
        self.plan_sync();
    }

    fn kill(&mut self) {
        let Some((power, shards)) = self.dying.take() else { return };
        self.say(|| format!("killed, power cut: {power}"));
        self.disk = if power { self.disk.crash(&mut self.rng) } else { self.disk.kill() };
        self.host = None;
        self.projection = None;
        self.run += 1;
        self.checks.killed(self.now, power);
        self.coverage.killed();
        // Requests of people are asked again by those who asked.
        let lost = std::mem::take(&mut self.pending);
        for pending in lost.into_values() {
            self.ask_again(pending.asked);
        }
        let down = DOWN_MIN + Duration::from_millis(self.rng.below(3_000));
        self.after(down, Happening::Start { shards });
    }

    /// One input for one shard, and what follows from it.
    fn feed(&mut self, shard: usize, input: Input<'_>) {
        let clock = self.clock();
        let Some(host) = &mut self.host else { return };
        if shard >= host.shards() {
            return;
        }
        let (mut leaving, waits) = host.handle(shard, input, clock);
        if waits && host.held(shard) > HELD_MAX {
            self.checks.violation(format!("shard {shard} holds more than {HELD_MAX} outputs"));
        }
        let dies = self.dying.is_some();
        if dies {
            let kept = self.rng.below(leaving.len() as u64 + 1) as usize;
            for output in leaving.drain(kept..) {
                if let Leaving::Packet(_, bytes) = output {
                    self.checks.sent(&bytes, self.now);
                }
            }
        }
        self.leave(shard, leaving);
        if dies {
            self.kill();
            return;
        }
        self.plan_tick(shard);
        self.plan_sync();
    }

    fn leave(&mut self, shard: usize, leaving: Vec<Leaving>) {
        let run = self.run;
        for output in leaving {
            match output {
                Leaving::Packet(flow, bytes) => {
                    self.checks.sent(&bytes, self.now);
                    self.coverage.left(&bytes);
                    if let Ok(server) = SERVER.parse() {
                        self.send(server, flow.remote, bytes);
                    }
                }
                Leaving::Other(output) => self.output(run, shard, output),
            }
        }
    }

    fn output(&mut self, run: u64, shard: usize, output: Output) {
        match output {
            Output::Mail { shard: to, mail, .. } => {
                // A mailbox keeps its order.
                let earliest = self.mailboxes.get(&(run, shard, to)).copied().unwrap_or(self.now);
                let at = (self.now + self.micros(400)).max(earliest);
                self.mailboxes.insert((run, shard, to), at);
                self.put(at, Happening::Mail { run, shard: to, mail });
            }
            Output::Write { ticket, batch } => {
                let delay = self.micros(12_000);
                self.after(delay, Happening::Write { run, shard, ticket, batch });
            }
            Output::Load { ticket, query } => {
                let delay = self.micros(4_000);
                self.after(delay, Happening::Query { run, shard, ticket, query });
            }
            Output::Render { ticket, .. } => {
                let picture = switchboard::input::Picture {
                    full: "f".repeat(64),
                    thumbnail: "e".repeat(64),
                    tiny: vec![1; 700],
                    content_type: "image/webp".into(),
                };
                let reply = Reply::Picture(Ok(picture));
                let delay = self.micros(30_000);
                self.after(delay, Happening::Reply { run, shard, ticket, reply });
            }
            Output::Deliver { ticket, delivery, .. } => {
                let fate = self.providers.deliver(&delivery, &mut self.rng);
                let prid = delivery.target.prid.clone();
                for arrival in fate.arrivals {
                    let (prid, body) = (prid.clone(), delivery.body.clone());
                    self.after(arrival, Happening::Push { prid, body });
                }
                let (delay, outcome) = fate.answer;
                if matches!(outcome, pns::Outcome::TokenGone { .. }) {
                    self.checks.token_gone(&prid);
                }
                let reply = Reply::Push(outcome);
                self.after(delay, Happening::Reply { run, shard, ticket, reply });
            }
            Output::Media(command) => {
                if let Some((stream, port)) = self.checks.media(&command) {
                    let side = media::Side::A;
                    let event = media::Event::Failed { stream, side, port };
                    let delay = self.micros(500);
                    self.after(delay, Happening::Media { run, shard, event });
                }
                if let media::Command::Close { bridge } = command {
                    let event = media::Event::Closed { bridge, counts: Vec::new() };
                    let delay = self.micros(500);
                    self.after(delay, Happening::Media { run, shard, event });
                }
            }
            Output::Api { id, response, .. } => self.responded(id, response),
            Output::Event(line) => self.checks.event(&line),
            Output::Part { .. } => (),
            Output::Crashed { room, session, why } => {
                let who = session.map(|id| id.to_string()).unwrap_or_default();
                self.checks.violation(format!("the room {room} panicked in {who}: {why}"));
            }
            // The host kept these.
            Output::Save { .. } | Output::Send { .. } => (),
        }
    }

    fn plan_tick(&mut self, shard: usize) {
        let Some(host) = &mut self.host else { return };
        let Some(at) = host.shard(shard).deadline() else { return };
        let at = Instant(at.0.saturating_sub(self.offset.as_micros() as u64)).max(self.now);
        if self.ticks[shard].is_none_or(|planned| at < planned) {
            self.ticks[shard] = Some(at);
            self.put(at, Happening::Tick { run: self.run, shard });
        }
    }

    fn tick(&mut self, shard: usize) {
        self.ticks[shard] = None;
        let due = self.host.as_mut().and_then(|host| host.shard(shard).deadline());
        if due.is_some_and(|due| due <= self.clock().now) {
            self.feed(shard, Input::Tick);
        } else {
            self.plan_tick(shard);
        }
    }

    /// The disk is asked soon when something waits, and now and then anyway.
    fn plan_sync(&mut self) {
        let Some(host) = &self.host else { return };
        let waits = (0..host.shards()).any(|shard| host.held(shard) > 0);
        let delay = if waits { self.micros(9_000) } else { Duration::from_millis(100) };
        let at = self.now + delay;
        // A round that is planned for later does not keep one from coming earlier.
        if self.sync_planned.is_none_or(|planned| waits && planned > at) {
            self.sync_planned = Some(at);
            self.put(at, Happening::Sync { run: self.run });
        }
    }

    fn sync(&mut self) {
        if self.sync_planned.is_some_and(|planned| planned > self.now) {
            return;
        }
        self.sync_planned = None;
        let Some(host) = &mut self.host else { return };
        let (released, failed) = host.sync();
        for (shard, leaving) in released {
            self.leave(shard, leaving);
        }
        for shard in failed {
            self.feed(shard, Input::LogFailed);
        }
        if !self.project_planned {
            self.project_planned = true;
            let delay = self.micros(60_000);
            self.after(delay, Happening::Project { run: self.run });
        }
    }

    fn project(&mut self) {
        self.project_planned = false;
        let Some(projection) = &mut self.projection else { return };
        loop {
            let page = match projection.page() {
                Ok(Some(page)) => page,
                Ok(None) => return,
                Err(fault) => {
                    self.checks.violation(format!("the log cannot be read: {fault}"));
                    return;
                }
            };
            let result = if self.database_up {
                let mut results = self.sql.apply(std::slice::from_ref(&page.batch));
                results.pop().unwrap_or(Err(StoreFault::Unreachable))
            } else {
                Err(StoreFault::Unreachable)
            };
            match projection.settle(&page, result) {
                Next::GoOn => (),
                Next::Load => {
                    let query = Query { sql: POSITIONS, values: Vec::new() };
                    if let Ok(rows) = self.sql.query(&query) {
                        projection.load(&rows);
                    }
                }
                Next::Wait => {
                    self.project_planned = true;
                    let run = self.run;
                    self.after(Duration::from_secs(1), Happening::Project { run });
                    return;
                }
            }
        }
    }

    fn write(&mut self, run: u64, shard: usize, ticket: Ticket, batch: Batch) {
        // What a dead process had asked for may or may not have been committed.
        if run != self.run && self.rng.percent(50) {
            return;
        }
        let result = if self.database_up {
            let mut results = self.sql.apply(&[batch]);
            results.pop().unwrap_or(Err(StoreFault::Unreachable))
        } else {
            Err(StoreFault::Unreachable)
        };
        if run == self.run {
            self.feed(shard, Input::Reply { ticket, reply: Reply::Written(result) });
        }
    }

    fn request(
        &mut self,
        asked: Asked,
        method: &'static str,
        target: &str,
        bearer: String,
        body: String,
    ) {
        let Some(host) = &self.host else {
            self.ask_again(asked);
            return;
        };
        self.requests += 1;
        let (id, shards) = (self.requests, host.shards());
        let keys = crate::host::keys(&self.setup);
        let Some(mut routed) = self.rest.route(id, method, target, shards, &keys) else {
            if !self.manifests.is_empty() && self.manifests.iter().any(|m| !m.endpoints.is_empty())
            {
                self.checks.violation(format!("no endpoint for {method} {target}"));
            }
            return;
        };
        self.say(|| format!("{method} {target} for shards {:?}", routed.shards));
        routed.request.body = body.into_bytes();
        routed.request.content_type = "application/json".into();
        if routed.access == Access::Token {
            routed.request.bearer = bearer;
        }
        let expected = routed.shards.len();
        self.pending.insert(id, Pending { asked, parts: Vec::new(), expected });
        let run = self.run;
        for shard in routed.shards {
            let mail = Mail::Api(routed.request.clone());
            let delay = self.micros(300);
            self.after(delay, Happening::Mail { run, shard, mail });
        }
    }

    fn responded(&mut self, id: u64, response: ApiResponse) {
        let Some(pending) = self.pending.get_mut(&id) else { return };
        pending.parts.push(response);
        if pending.parts.len() < pending.expected {
            return;
        }
        let Some(Pending { asked, parts, .. }) = self.pending.remove(&id) else { return };
        let response = join(parts);
        self.say(|| format!("{asked:?}: {}", response.status));
        if response.status == 503 {
            self.ask_again(asked);
            return;
        }
        match asked {
            Asked::User(user) => self.checks.found(&user, response.status),
            Asked::Bindings(user) => {
                let unix = self.unix();
                self.checks.audited(&user, &response, unix);
            }
            Asked::MakeUser(user) => {
                if response.status / 100 == 2 {
                    self.checks.made(&user);
                } else {
                    self.ask_again(Asked::MakeUser(user));
                }
            }
            Asked::Reply => self.checks.replied(response.status),
        }
    }

    fn ask_again(&mut self, asked: Asked) {
        match asked {
            Asked::MakeUser(user) => {
                let delay = Duration::from_millis(200 + self.rng.below(1_000));
                self.after(delay, Happening::Step(Step::MakeUser(user)));
            }
            Asked::Bindings(_) | Asked::User(_) => {
                self.after(Duration::from_secs(2), Happening::Again(asked));
            }
            Asked::Reply => (),
        }
    }
}

fn first_line(bytes: &[u8]) -> String {
    let line = bytes.split(|octet| *octet == b'\r').next().unwrap_or_default();
    let text = String::from_utf8_lossy(bytes);
    let pick =
        |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("").to_owned();
    format!("{} [{} | {}]", String::from_utf8_lossy(line), pick("CSeq: "), pick("Call-ID: "))
}
