//! The node in the fake world: its shards, its log, its store, and what they put out.

use switchboard::{
    EarOrder, Hearing, SoundFault, SoundOrder, StreamEnd, StreamFault, StreamOrder, Ticket,
};

use super::*;

/// The server's side.
impl World {
    pub(super) fn start(&mut self, shards: usize) {
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

    pub(super) fn kill(&mut self) {
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
    pub(super) fn feed(&mut self, shard: usize, input: Input<'_>) {
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

    pub(super) fn leave(&mut self, shard: usize, leaving: Vec<Leaving>) {
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

    pub(super) fn output(&mut self, run: u64, shard: usize, output: Output) {
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
            Output::Resolve { ticket, question } => {
                let found = self.names.get(&question.host).cloned();
                let hops = found.ok_or_else(|| format!("{}: no such name", question.host));
                let delay = self.micros(20_000);
                let reply = Reply::Resolved(hops);
                self.after(delay, Happening::Reply { run, shard, ticket, reply });
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
            // The fake world has no apps.
            Output::Fetch { ticket, .. } => {
                let reply = Reply::Fetched(Err(switchboard::fetch::FetchFault::Resolve));
                let delay = self.micros(20_000);
                self.after(delay, Happening::Reply { run, shard, ticket, reply });
            }
            Output::Sound(order) => {
                if let Some((ticket, reply)) = heard(order) {
                    let delay = self.micros(30_000);
                    self.after(delay, Happening::Reply { run, shard, ticket, reply });
                }
            }
            // Nor anybody who listens.
            Output::Ear(
                EarOrder::Judge { ticket, .. }
                | EarOrder::Next { ticket, .. }
                | EarOrder::Read { ticket, .. },
            ) => {
                let delay = self.micros(20_000);
                let reply = Reply::Heard(Hearing::Over);
                self.after(delay, Happening::Reply { run, shard, ticket, reply });
            }
            Output::Ear(EarOrder::Close(_) | EarOrder::Open(_)) => {}
            // Nor anybody who takes sound.
            Output::Stream(StreamOrder::Open { began, ended, .. }) => {
                let fault = StreamFault::Target;
                let end = StreamEnd { fault: Some(fault), ..StreamEnd::default() };
                let replies =
                    [(began, Reply::StreamBegan(Err(fault))), (ended, Reply::StreamEnded(end))];
                for (ticket, reply) in replies {
                    let delay = self.micros(20_000);
                    self.after(delay, Happening::Reply { run, shard, ticket, reply });
                }
            }
            Output::Stream(
                StreamOrder::Close(_) | StreamOrder::Key { .. } | StreamOrder::Mark { .. },
            ) => {}
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
                if let Some((stream, seat, port)) = self.checks.media(&command) {
                    let event = media::Event::Failed { stream, seat, port };
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
            Output::Part { .. } | Output::Suspect { .. } => (),
            Output::Crashed { room, session, why, .. } => {
                let who = session.map(|id| id.to_string()).unwrap_or_default();
                self.checks.violation(format!("the room {room} panicked in {who}: {why}"));
            }
            // The host kept these.
            Output::Save { .. } | Output::Send { .. } => (),
        }
    }

    pub(super) fn plan_tick(&mut self, shard: usize) {
        let Some(host) = &mut self.host else { return };
        let Some(at) = host.shard(shard).deadline() else { return };
        let at = Instant(at.0.saturating_sub(self.offset.as_micros() as u64)).max(self.now);
        if self.ticks[shard].is_none_or(|planned| at < planned) {
            self.ticks[shard] = Some(at);
            self.put(at, Happening::Tick { run: self.run, shard });
        }
    }

    pub(super) fn tick(&mut self, shard: usize) {
        self.ticks[shard] = None;
        let due = self.host.as_mut().and_then(|host| host.shard(shard).deadline());
        if due.is_some_and(|due| due <= self.clock().now) {
            self.feed(shard, Input::Tick);
        } else {
            self.plan_tick(shard);
        }
    }

    /// The disk is asked soon when something waits, and now and then anyway.
    pub(super) fn plan_sync(&mut self) {
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

    pub(super) fn sync(&mut self) {
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

    pub(super) fn project(&mut self) {
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

    pub(super) fn write(&mut self, run: u64, shard: usize, ticket: Ticket, batch: Batch) {
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

    pub(super) fn request(
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

    pub(super) fn responded(&mut self, id: u64, response: ApiResponse) {
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

    pub(super) fn ask_again(&mut self, asked: Asked) {
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

/// Every clip is two seconds long; nothing is recorded in this world.
fn heard(order: SoundOrder) -> Option<(Ticket, Reply)> {
    match order {
        SoundOrder::Clip { ticket, .. } => {
            let (id, length) = (media::ClipId(1), Duration::from_secs(2));
            let address = format!("/media/{}.wav", "0".repeat(64));
            let fact = switchboard::ClipFact { id, length, address, octets: 32_044 };
            Some((ticket, Reply::Clip(Ok(fact))))
        }
        SoundOrder::Record { ticket, .. } => {
            Some((ticket, Reply::Recorded(Err(SoundFault::Store))))
        }
        SoundOrder::Recovered { ticket, .. } => {
            Some((ticket, Reply::Recorded(Err(SoundFault::Missing))))
        }
        SoundOrder::Finish(_)
        | SoundOrder::Forget { .. }
        | SoundOrder::Pause { .. }
        | SoundOrder::Resume(_) => None,
    }
}
