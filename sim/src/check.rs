//! What must hold, whatever happens. Each checker has its sentence.
//!
//! Picture     World --what crossed the network, what the API said--> Checks --> violations
//! Rules       A checker knows the protocols and the promises, not how the server keeps them.
//! Limits      VIOLATIONS_MAX are kept; the first is what matters.
//! Not here    What a world does (world).
//! Spec        RELIABILITY R1, R3, R6.

use std::collections::BTreeMap;
use std::time::Duration;

use sip::{Framing, Message, Method};
use switchboard::ApiResponse;
use switchboard::input::EventLine;
use switchboard::store::{Query, kinds};
use types::{BridgeId, Instant, UnixTime};

use crate::host::MEDIA_PORTS;
use crate::world::World;

/// Violations that are kept.
pub const VIOLATIONS_MAX: usize = 20;
/// A binding may end so much earlier than its phone thinks, since the 200 was under way.
const GRANT_MARGIN: Duration = Duration::from_secs(8);

/// What was written is synced after this at the latest, the way to the phone included.
const UNSYNCED: Duration = Duration::from_secs(2);

/// A BYE that is lost is repeated for so long.
const BYE_LATE: Duration = Duration::from_secs(33);

/// One INVITE of a caller, by its branch.
#[derive(Debug)]
struct Asked {
    reached: Instant,
    /// It came again while another process served: what the first one said is not known to it.
    runs: Vec<u64>,
    /// The caller heard that it rings.
    rang: bool,
    /// The first final answer that the caller's side of the network saw.
    answer: Option<Answer>,
    /// The server was killed while it waited.
    killed: bool,
    /// The power went while its end was perhaps not on the disk: calls are only promised to survive a kill.
    cut: bool,
    heard: Option<Instant>,
    /// When the server refused it first.
    refused: Option<Instant>,
    /// The caller heard something of it.
    heard_any: bool,
    /// Its refusal died with the server.
    dropped: bool,
    call_id: String,
}

#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    tag: Vec<u8>,
    body: Vec<u8>,
}

#[derive(Clone, Debug)]
struct Grant {
    until: UnixTime,
}

/// All checkers together.
#[derive(Debug, Default)]
pub struct Checks {
    /// What did not hold, in the order in which it was found.
    pub violations: Vec<String>,
    /// Calls that agents placed.
    pub calls: u64,
    /// Kills of the server.
    pub kills: u64,
    /// Calls that ended only because a person noticed the silence.
    pub forgotten: u64,
    /// Streams that found their port in use: another number of shards shares the ports out otherwise.
    pub port_conflicts: u64,
    /// Answers by the reply address, by status.
    pub replies: BTreeMap<u16, u64>,
    /// Final answers by status.
    pub answers: BTreeMap<u16, u64>,
    /// Audits of bindings that were answered.
    pub audits: u64,
    /// Lines of the event log, by kind.
    pub events: BTreeMap<String, u64>,
    invites: BTreeMap<Vec<u8>, Asked>,
    grants: BTreeMap<(String, String), Grant>,
    gone_tokens: Vec<String>,
    made: Vec<String>,
    kill_times: Vec<Instant>,
    disk_failed: Option<Instant>,
    /// What was said in these spans was not kept.
    lost: Vec<(Instant, Instant)>,
    /// Call-IDs of calls whose end was not kept: they came back with the old state.
    undead: Vec<String>,
    bridges: BTreeMap<BridgeId, Vec<u16>>,
    /// The ports of those who joined a stream.
    guests: BTreeMap<(media::StreamKey, media::Seat), u16>,
}

impl Checks {
    /// Something did not hold.
    pub fn violation(&mut self, what: String) {
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(what);
        }
    }

    /// A datagram reached the server.
    pub fn reached(&mut self, bytes: &[u8], now: Instant, run: u64) {
        let Ok(message) = Message::decode(bytes, Framing::Datagram) else { return };
        let in_dialog = message.to().ok().and_then(|to| to.tag()).is_some();
        if !message.is_request() || message.method() != Method::Invite || in_dialog {
            return;
        }
        let Some(branch) = message.via().ok().and_then(|via| via.branch()) else { return };
        let call_id = String::from_utf8_lossy(message.call_id()).into_owned();
        let asked = self.invites.entry(branch.to_vec()).or_insert(Asked {
            reached: now,
            runs: Vec::new(),
            rang: false,
            answer: None,
            killed: false,
            cut: false,
            heard: None,
            refused: None,
            heard_any: false,
            dropped: false,
            call_id,
        });
        if !asked.runs.contains(&run) {
            asked.runs.push(run);
        }
    }

    /// The server sent a datagram, or was about to when it was killed.
    pub fn sent(&mut self, bytes: &[u8], now: Instant) {
        let Ok(message) = Message::decode(bytes, Framing::Datagram) else {
            self.violation("the server sent what cannot be decoded".into());
            return;
        };
        let refused = message.status().is_some_and(|status| status >= 300);
        if refused
            && let Ok(via) = message.via()
            && message.cseq().is_ok_and(|cseq| cseq.method == Method::Invite)
            && let Some(asked) = via.branch().and_then(|branch| self.invites.get_mut(branch))
        {
            asked.refused.get_or_insert(now);
        }
    }

    /// A person noticed that nobody is there any more: the server should have said so, unless it was killed while
    /// its BYE was on the way.
    pub fn forgotten(&mut self, user: &str, call_id: &[u8], since: Instant) {
        self.forgotten += 1;
        if self.kill_times.iter().all(|kill| *kill < since) {
            let call_id = String::from_utf8_lossy(call_id);
            self.violation(format!("{user} was never told that the call {call_id} is over"));
        }
    }

    /// A datagram reached a telephone, awake or not.
    ///
    /// Each INVITE has one final answer as its caller sees it, and repetitions say the same.
    pub fn heard(&mut self, bytes: &[u8], now: Instant) {
        let Ok(message) = Message::decode(bytes, Framing::Datagram) else {
            self.violation("the server sent what cannot be decoded".into());
            return;
        };
        let Some(status) = message.status() else { return };
        let (Ok(cseq), Ok(via)) = (message.cseq(), message.via()) else { return };
        let Some(asked) = via
            .branch()
            .filter(|_| cseq.method == Method::Invite)
            .and_then(|branch| self.invites.get_mut(branch))
        else {
            return;
        };
        asked.heard_any = true;
        if status < 200 {
            asked.rang |= status > 100;
            return;
        }
        let tag = message.to().ok().and_then(|to| to.tag()).unwrap_or_default();
        let answer = Answer { status, tag: tag.to_vec(), body: message.body().to_vec() };
        match &asked.answer {
            None => {
                *self.answers.entry(status).or_default() += 1;
                asked.answer = Some(answer);
                asked.heard = Some(now);
            }
            // A challenge leaves no state: the same INVITE, come again, is judged anew.
            Some(known)
                if *known == answer || known.status == 401 || status == 401 || asked.cut => {}
            // A refused INVITE, come again out of the network after a restart: nobody remembers refusals.
            Some(known) if known.status >= 300 && asked.runs.len() > 1 => (),
            Some(known) => {
                let what = format!(
                    "the INVITE of {} got {} and then {status} (or another tag or body)",
                    asked.call_id, known.status
                );
                self.violation(what);
            }
        }
    }

    /// The server was killed, or lost its power.
    pub fn killed(&mut self, now: Instant, power: bool) {
        self.kills += 1;
        self.kill_times.push(now);
        let unsynced = if power { UNSYNCED } else { Duration::ZERO };
        for asked in self.invites.values_mut() {
            asked.killed |= asked.answer.is_none();
            // Said, written down as said, and then lost on the way: nobody is left to repeat it.
            asked.dropped |= asked.answer.is_none() && asked.refused.is_some();
            let fresh = asked.heard.is_none_or(|heard| now < heard + UNSYNCED);
            // What was written shortly before the disk failed was not synced either, and goes with the power.
            let lost = self
                .disk_failed
                .is_some_and(|since| asked.heard.is_none_or(|at| at + unsynced >= since));
            asked.cut |= (power && fresh) || lost;
        }
        if power || self.disk_failed.is_some() {
            let unsynced = unsynced.as_micros() as u64;
            let from = Instant(self.disk_failed.unwrap_or(now).0.saturating_sub(unsynced));
            self.lost.push((from, now));
        }
        self.bridges.clear();
        self.guests.clear();
        self.disk_failed = None;
    }

    /// From now on nothing is kept, until the next start.
    pub fn disk_failed(&mut self, now: Instant) {
        self.disk_failed.get_or_insert(now);
    }

    /// A REGISTER was acknowledged (`until`), or its end was asked for.
    pub fn granted(&mut self, user: &str, contact: &str, until: Option<UnixTime>) {
        let key = (user.to_owned(), contact.to_owned());
        match until {
            Some(until) => drop(self.grants.insert(key, Grant { until })),
            None => drop(self.grants.remove(&key)),
        }
    }

    /// A telephone moved: its old contact is replaced as soon as it registers.
    pub fn moved(&mut self, user: &str, contact: &str) {
        self.grants.remove(&(user.to_owned(), contact.to_owned()));
    }

    /// A provider said that a token is dead: its bindings may go.
    pub fn token_gone(&mut self, prid: &str) {
        self.gone_tokens.push(prid.to_owned());
        self.grants.retain(|(_, contact), _| !contact.ends_with(&format!("pn-prid={prid}")));
    }

    /// Users with an acknowledged registration that is still valid.
    pub fn registered_users(&self, unix: UnixTime) -> Vec<String> {
        let mut users: Vec<String> = self
            .grants
            .iter()
            .filter(|(_, grant)| grant.until > unix + GRANT_MARGIN)
            .map(|((user, _), _)| user.clone())
            .collect();
        users.dedup();
        users
    }

    /// The API said where a user can be reached.
    ///
    /// Every acknowledged registration is there until it ends, after any kill or power cut.
    pub fn audited(&mut self, user: &str, response: &ApiResponse, unix: UnixTime) {
        let text = String::from_utf8_lossy(&response.body).into_owned();
        if response.status != 200 {
            self.violation(format!("the bindings of {user} were asked for: {}", response.status));
            return;
        }
        self.audits += 1;
        let lost: Vec<String> = self
            .grants
            .iter()
            .filter(|((known, _), grant)| known == user && grant.until > unix + GRANT_MARGIN)
            // The API shows no token.
            .filter(|((_, contact), _)| {
                !text.contains(contact.split(';').next().unwrap_or_default())
            })
            .map(|((_, contact), _)| contact.clone())
            .collect();
        for contact in lost {
            self.violation(format!("the acknowledged binding {contact} of {user} is gone"));
        }
    }

    /// A user was acknowledged.
    pub fn made(&mut self, user: &str) {
        if !self.made.iter().any(|known| known == user) {
            self.made.push(user.to_owned());
        }
    }

    /// The API was asked for an acknowledged user: he is there, after any kill or power cut.
    pub fn found(&mut self, user: &str, status: u16) {
        if status != 200 {
            self.violation(format!("the acknowledged user {user} is gone: {status}"));
        }
    }

    /// Acknowledged users.
    pub fn users(&self) -> &[String] {
        &self.made
    }

    /// The reply address answered.
    pub fn replied(&mut self, status: u16) {
        *self.replies.entry(status).or_default() += 1;
    }

    /// A line of the event log.
    pub fn event(&mut self, line: &EventLine) {
        *self.events.entry(line.kind.clone().into_owned()).or_default() += 1;
    }

    /// A command to the media pump.
    ///
    /// Bridges that open must close. A port that serves already is not to be had a second time: gives the stream
    /// that failed.
    pub fn media(
        &mut self,
        command: &media::Command,
    ) -> Option<(media::StreamKey, media::Seat, u16)> {
        match command {
            media::Command::Admit { stream, seat, port } => {
                let known = self.guests.get(&(*stream, *seat)).copied();
                if known != Some(*port) && self.port_taken(None, &[*port]).is_some() {
                    self.port_conflicts += 1;
                    return Some((*stream, *seat, *port));
                }
                self.guests.insert((*stream, *seat), *port);
            }
            media::Command::Open { stream, ports } => {
                if let Some(port) = self.port_taken(Some(stream.bridge), ports) {
                    self.port_conflicts += 1;
                    return Some((*stream, media::Seat::A, port));
                }
                self.bridges.entry(stream.bridge).or_default().extend(ports);
            }
            media::Command::Close { bridge } => {
                self.bridges.remove(bridge);
                self.guests.retain(|(stream, _), _| stream.bridge != *bridge);
            }
            media::Command::Leave { stream, seat } => {
                self.guests.remove(&(*stream, *seat));
            }
            media::Command::Move { stream, seat, to, place } => {
                if let Some(port) = self.guests.remove(&(*stream, *seat)) {
                    self.guests.insert((*to, *place), port);
                }
            }
            media::Command::Aim { .. }
            | media::Command::Gauge { .. }
            | media::Command::Listen { .. }
            | media::Command::Play { .. }
            | media::Command::Pour { .. }
            | media::Command::Share { .. }
            | media::Command::Shield { .. }
            | media::Command::Stop { .. }
            | media::Command::Take { .. }
            | media::Command::Tap { .. }
            | media::Command::Untap { .. } => (),
        }
        None
    }

    /// One of these ports that something else than the sides of this bridge has.
    fn port_taken(&self, own: Option<types::BridgeId>, ports: &[u16]) -> Option<u16> {
        let others = self.bridges.iter().filter(|(id, _)| Some(**id) != own);
        let known = others.flat_map(|(_, known)| known).chain(self.guests.values());
        known.copied().find(|port| ports.contains(port))
    }

    /// Bridges that are open.
    pub fn bridges(&self) -> usize {
        self.bridges.len()
    }

    /// Call-IDs of calls that were answered, but for those that a power cut may have taken away.
    /// With each: whether its INVITE came to more than one process.
    pub fn answered(&self) -> impl Iterator<Item = (&str, bool)> {
        self.invites
            .values()
            .filter(|asked| !asked.cut && !self.undead.contains(&asked.call_id))
            .filter(|asked| asked.answer.as_ref().is_some_and(|answer| answer.status / 100 == 2))
            .map(|asked| (asked.call_id.as_str(), asked.runs.len() > 1))
    }

    /// Looks at the INVITEs when all is quiet.
    ///
    /// Each INVITE that reached the server and was not dropped by a kill got a final answer; one that rang got it
    /// even so.
    pub fn settle_invites(&mut self) {
        let open: Vec<String> = self
            .invites
            .values()
            .filter(|asked| asked.answer.is_none() && !asked.cut && !asked.dropped && (!asked.killed || asked.rang))
            // A caller who hears nothing at all asks seven times and gives up: answers without state were lost.
            .filter(|asked| asked.heard_any || asked.refused.is_none())
            .map(|asked| {
                format!(
                    "the INVITE of {} reached the server at {:?} and got no final answer (rang: {}, killed: {})",
                    asked.call_id, asked.reached, asked.rang, asked.killed
                )
            })
            .collect();
        open.into_iter().for_each(|what| self.violation(what));
    }
}

/// Looks at a world that has been quiet for two minutes.
///
/// No leg, session, bridge, port or transaction is left, at the server, in its log or in a telephone; every answered
/// call has one record; no queue was cut off.
pub fn settle(world: &mut World) {
    undead(world);
    world.checks.settle_invites();
    telephones(world);
    server(world);
    log(world);
    records(world);
}

/// A power cut may take the end of a call away, and a start then brings the call back although both telephones have
/// hung up. That is no fault of the switchboard; these calls are set aside.
fn undead(world: &mut World) {
    let lost = world.checks.lost.clone();
    // A BYE may come late by all its repetitions.
    let in_lost =
        |at: Instant| lost.iter().any(|(from, to)| *from <= at + BYE_LATE && at <= *to + UNSYNCED);
    let ended: Vec<Vec<u8>> = world
        .agents
        .iter()
        .flat_map(|agent| agent.calls.values())
        .filter(|call| call.ended.is_some_and(in_lost))
        .map(|call| call.call_id.clone())
        .collect();
    world.checks.undead =
        ended.iter().map(|call_id| String::from_utf8_lossy(call_id).into_owned()).collect();
}

/// Sessions in the log that are there only because their end was lost.
fn undead_entries(world: &World) -> (u64, Vec<String>) {
    let undead = &world.checks.undead;
    let (mut excused, mut left) = (0, Vec::new());
    for entry in world.kept().into_iter().filter(|entry| entry.kind != kinds::BINDING) {
        let names = |call_id: &String| {
            entry.body.windows(call_id.len()).any(|part| part == call_id.as_bytes())
        };
        if undead.iter().any(names) {
            excused += 1;
        } else {
            left.push(format!(
                "the log still has an entry of kind {} for {:032x}",
                entry.kind, entry.key
            ));
        }
    }
    (excused, left)
}

fn telephones(world: &mut World) {
    let mut alive = Vec::new();
    for agent in &world.agents {
        for call in agent.calls.values().filter(|call| call.is_alive()) {
            alive.push(format!(
                "{} believes to be in the call {} ({:?}, outgoing: {})",
                agent.user,
                String::from_utf8_lossy(&call.call_id),
                call.phase,
                call.outgoing
            ));
        }
    }
    alive.into_iter().for_each(|what| world.checks.violation(what));
}

fn server(world: &mut World) {
    let (mut excused, _) = undead_entries(world);
    let open = world.checks.bridges();
    if open as u64 > excused {
        world.checks.violation(format!("{open} bridges are open when all is quiet"));
    }
    let Some(host) = &mut world.host else {
        world.checks.violation("the server does not run in the end".into());
        return;
    };
    let shards = host.shards();
    let mut found = Vec::new();
    for shard in 0..shards {
        if host.held(shard) > 0 {
            found.push(format!("shard {shard} holds {} outputs for ever", host.held(shard)));
        }
        let share = (shard as u16, shards as u16);
        let own = media::Ports::new(MEDIA_PORTS, share, types::Rng::from_number(0)).left() as u64;
        let gauges = host.shard(shard).gauges();
        let sessions =
            gauges.iter().find(|(name, _)| *name == "sessions").map_or(0, |gauge| gauge.1);
        let set_aside = sessions > 0 && sessions <= excused;
        excused = excused.saturating_sub(sessions);
        for (name, value) in gauges {
            let expected = match name {
                "legs" | "ports_left" | "sessions" if set_aside => continue,
                "client_transactions" | "legs" | "server_transactions" | "sessions" => 0,
                "ports_left" => own,
                _ => continue,
            };
            if value != expected {
                found.push(format!("shard {shard}: {name} is {value} when all is quiet"));
            }
        }
        let cut = host.shard(shard).counters().get("switchboard.rounds_cut_off").copied();
        if let Some(times) = cut {
            found.push(format!(
                "shard {shard}: rooms talked to each other without end, {times} times"
            ));
        }
    }
    found.into_iter().for_each(|what| world.checks.violation(what));
}

fn log(world: &mut World) {
    let (_, left) = undead_entries(world);
    left.into_iter().for_each(|what| world.checks.violation(what));
}

fn records(world: &mut World) {
    let query = Query {
        sql: "select sip_call_id, count(*), count(answered_at) from v_calls group by sip_call_id",
        values: Vec::new(),
    };
    let Ok(rows) = world.sql.query(&query) else { return };
    let mut known = BTreeMap::new();
    for row in &rows {
        if let [call_id, all, answered] = row.as_slice() {
            let counts = (all.int().unwrap_or(0), answered.int().unwrap_or(0));
            known.insert(call_id.text().unwrap_or("").to_owned(), counts);
        }
    }
    let wrong: Vec<String> = world
        .checks
        .answered()
        .filter_map(|(call_id, again)| match known.get(call_id) {
            Some((1, 1)) => None,
            // It came again out of the network after a restart: the second call is one of its own.
            Some((_, answered)) if *answered > 0 && again => None,
            Some((all, answered)) => Some(format!(
                "the answered call {call_id} has {all} records, {answered} of them answered"
            )),
            None => Some(format!("the answered call {call_id} has no record")),
        })
        .collect();
    wrong.into_iter().for_each(|what| world.checks.violation(what));
}
