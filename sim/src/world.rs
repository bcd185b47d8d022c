//! One fake world: a clock that jumps from event to event, the server, the telephones, and what lies between.
//!
//! Picture     queue (time, number) --> datagram | tick | mail | disk | database | push | step of the plan
//! Rules       Events of one moment happen in the order in which they were planned. Everything random comes from
//!             `rng`, so the seed is the run. What belongs to a run of the server that was killed is dropped.
//! Limits      EVENTS_MAX: a world that goes on for ever is a failure.
//! Not here    What a seed plans (plan), what must hold (check).
//! Spec        none

mod node;

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
    /// Where names lead; an address needs none.
    pub names: BTreeMap<String, Vec<switchboard::Hop>>,
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
            names: BTreeMap::new(),
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
                if self.host.is_none() {
                    return; // A process that cannot begin is begun again, on a disk that works.
                }
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

fn first_line(bytes: &[u8]) -> String {
    let line = bytes.split(|octet| *octet == b'\r').next().unwrap_or_default();
    let text = String::from_utf8_lossy(bytes);
    let pick =
        |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("").to_owned();
    format!("{} [{} | {}]", String::from_utf8_lossy(line), pick("CSeq: "), pick("Call-ID: "))
}
