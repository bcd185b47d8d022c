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
use types::{BridgeId, Instant, UnixTime};

/// Violations that are kept.
pub const VIOLATIONS_MAX: usize = 20;
/// A binding may end so much earlier than its phone thinks, since the 200 was under way.
const GRANT_MARGIN: Duration = Duration::from_secs(8);

/// What was written is synced after this at the latest, the way to the phone included.
const UNSYNCED: Duration = Duration::from_secs(2);

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
    bridges: BTreeMap<BridgeId, u64>,
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
            call_id,
        });
        if !asked.runs.contains(&run) {
            asked.runs.push(run);
        }
    }

    /// The server sent a datagram.
    pub fn sent(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            self.violation("the server sent an empty datagram".into());
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
        let Some(asked) =
            via.branch().filter(|_| cseq.method == Method::Invite).and_then(|branch| {
                self.invites.get_mut(branch)
            })
        else {
            return;
        };
        if status < 200 {
            asked.rang |= status > 100;
            return;
        }
        // A challenge leaves no state at the server: each repetition gets a fresh one.
        let stateless = status == 401;
        let tag = message.to().ok().and_then(|to| to.tag()).unwrap_or_default();
        let answer = Answer {
            status,
            tag: if stateless { Vec::new() } else { tag.to_vec() },
            body: message.body().to_vec(),
        };
        match &asked.answer {
            None => {
                *self.answers.entry(status).or_default() += 1;
                asked.answer = Some(answer);
                asked.heard = Some(now);
            }
            Some(known) if *known == answer || asked.cut => (),
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
        for asked in self.invites.values_mut() {
            asked.killed |= asked.answer.is_none();
            let fresh = asked.heard.is_none_or(|heard| now < heard + UNSYNCED);
            asked.cut |= power && fresh;
        }
        self.bridges.clear();
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
            .filter(|((_, contact), _)| !text.contains(contact.as_str()))
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
        *self.events.entry(line.kind.clone()).or_default() += 1;
    }

    /// A command to the media pump: bridges that open must close.
    pub fn media(&mut self, run: u64, command: &media::Command) {
        match command {
            media::Command::Open { stream, .. } => drop(self.bridges.insert(stream.bridge, run)),
            media::Command::Close { bridge } => drop(self.bridges.remove(bridge)),
            media::Command::Aim { .. } => (),
        }
    }

    /// Bridges that are open.
    pub fn bridges(&self) -> usize {
        self.bridges.len()
    }

    /// Looks at the INVITEs when all is quiet.
    ///
    /// Each INVITE that reached the server and was not dropped by a kill got a final answer; one that rang got it
    /// even so.
    pub fn settle_invites(&mut self) {
        let open: Vec<String> = self
            .invites
            .values()
            .filter(|asked| asked.answer.is_none() && !asked.cut && (!asked.killed || asked.rang))
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
