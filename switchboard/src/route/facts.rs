//! What the engine knows: call settings of users, numbers, trunks, routes, the dial plan. Data only.
//!
//! Rooms put them into every shard's directory through [`Notice::RoutingChanged`](crate::Notice) and
//! `UserChanged`; nothing here is a secret (a trunk's password is sealed).

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use types::{Flow, Transport, UnixTime};

use super::number::DialPlan;
use super::schedule::Schedule;
use crate::lines::Allowance;

/// An address of a trunk that failed is tried behind its others for so long.
pub const HOP_FAILED_FOR: Duration = Duration::from_secs(60);
/// Addresses that are remembered as failed; the one that is free again first gives way to a new one.
pub const HOPS_FAILED_MAX: usize = 1_000;

/// What a user wants done with calls to him.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CallSettings {
    /// Every call goes there instead.
    pub forward_always: Option<String>,
    /// Calls go there while he is busy, or does not want to be disturbed.
    pub forward_busy: Option<String>,
    /// Calls go there when nobody answered.
    pub forward_no_answer: Option<String>,
    /// How long it rings before that. Units: seconds.
    pub no_answer_after: u32,
    /// Calls go there when no phone of his can be reached.
    pub forward_unreachable: Option<String>,
    /// His phones stay silent.
    pub do_not_disturb: bool,
    /// Whether a second call rings while he talks.
    pub call_waiting: bool,
}

/// `no_answer_after` when nothing was said. Units: seconds.
pub const NO_ANSWER_AFTER: u32 = 20;

impl Default for CallSettings {
    fn default() -> Self {
        Self {
            forward_always: None,
            forward_busy: None,
            forward_no_answer: None,
            no_answer_after: NO_ANSWER_AFTER,
            forward_unreachable: None,
            do_not_disturb: false,
            call_waiting: true,
        }
    }
}

/// Whom a number or a route rings: `user/NAME` or `group/NAME`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Rung {
    /// The members of a group.
    Group(String),
    /// One user.
    User(String),
}

impl fmt::Display for Rung {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group(name) => write!(f, "group/{name}"),
            Self::User(name) => write!(f, "user/{name}"),
        }
    }
}

impl From<Rung> for String {
    fn from(rung: Rung) -> Self {
        rung.to_string()
    }
}

impl TryFrom<String> for Rung {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        match text.split_once('/') {
            Some(("group", name)) if !name.is_empty() => Ok(Self::Group(name.to_owned())),
            Some(("user", name)) if !name.is_empty() => Ok(Self::User(name.to_owned())),
            Some(_) | None => Err("user/NAME or group/NAME".to_owned()),
        }
    }
}

/// One of our numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Number {
    /// In E.164 form with its `+`.
    pub number: String,
    /// Who rings, all at once.
    pub rings: Vec<Rung>,
    /// Where a call program is asked for, when one answers instead.
    pub voice_url: String,
    /// `GET` or `POST`.
    pub voice_method: String,
    /// Asked when `voice_url` fails.
    pub voice_fallback_url: String,
    /// Told how the call goes.
    pub status_callback: String,
}

/// How a trunk writes numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// International digits without `+`, both ways.
    Digits,
    /// International digits; coming in the `+` may be missing, going out it is there.
    E164,
    /// As a phone of our dial plan's country dials.
    National,
    /// International numbers have their `+`; everything else is taken as it stands.
    #[default]
    Plus,
}

impl Format {
    /// The word of the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Digits => "digits",
            Self::E164 => "e164",
            Self::National => "national",
            Self::Plus => "plus",
        }
    }
}

/// A carrier, or another server in front of us or behind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Trunk {
    /// Its name.
    pub name: String,
    /// `HOST`, `HOST:PORT`, with `;transport=tcp` when not UDP.
    pub server: String,
    /// Whether we register there.
    pub register: bool,
    /// The name for digest, and of the registered address; empty: no login.
    pub user: String,
    /// The password, sealed with the node's key; empty without one.
    pub sealed: Vec<u8>,
    /// Who may call us as this trunk: `IP`, `IP/BITS` or `IP:PORT`. Empty: the address and port of its server only.
    pub sources: Vec<Source>,
    /// How it writes numbers.
    pub numbers_format: Format,
    /// What callers may be shown as: patterns of numbers. Empty: any number of ours.
    pub identities: Vec<Pattern>,
    /// The number to show when the caller has none that is allowed.
    pub identity: String,
    /// The domain of From; empty: the host of its server.
    pub from_domain: String,
    /// Whether it sends and gets P-Asserted-Identity (RFC 3325): it is trusted with who really calls.
    pub asserts: bool,
    /// Whether a forwarded call keeps its caller's number although it is not ours.
    pub keeps_caller: bool,
    /// Whether its calls may name our users, not only our numbers.
    pub reaches_users: bool,
    /// Calls at once, both ways; `None`: as many as there are.
    pub calls_max: Option<u32>,
    /// New calls per second, both ways.
    pub calls_per_second: Option<u32>,
    /// Whether it is asked with OPTIONS if it is well.
    pub probe: bool,
}

impl Default for Trunk {
    fn default() -> Self {
        Self {
            name: String::new(),
            server: String::new(),
            register: false,
            user: String::new(),
            sealed: Vec::new(),
            sources: Vec::new(),
            numbers_format: Format::default(),
            identities: Vec::new(),
            identity: String::new(),
            from_domain: String::new(),
            asserts: false,
            keeps_caller: false,
            reaches_users: false,
            calls_max: None,
            calls_per_second: None,
            probe: true,
        }
    }
}

impl Trunk {
    /// Its limits; `None` when it has none and nobody needs to count.
    pub fn allowance(&self) -> Option<Allowance> {
        let allowance = Allowance { calls: self.calls_max, per_second: self.calls_per_second };
        (allowance != Allowance::default()).then_some(allowance)
    }

    /// The host of its server, without port and parameters.
    pub fn host(&self) -> &str {
        let place = self.server.split(';').next().unwrap_or_default();
        if let Some(rest) = place.strip_prefix('[') {
            return place.get(..rest.find(']').map_or(place.len(), |end| end + 2)).unwrap_or(place);
        }
        place.split(':').next().unwrap_or_default()
    }
}

/// An address that a trunk may send from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Source {
    address: std::net::IpAddr,
    bits: u8,
    port: Option<u16>,
}

impl Source {
    /// Exactly this address and port.
    pub fn exactly(place: SocketAddr) -> Self {
        let address = place.ip().to_canonical();
        Self { address, bits: width(address), port: Some(place.port()) }
    }

    /// Whether `place` is one of these.
    pub fn holds(&self, place: SocketAddr) -> bool {
        let bits = |address: std::net::IpAddr| match address {
            std::net::IpAddr::V4(v4) => u128::from(v4.to_bits()) << 96,
            std::net::IpAddr::V6(v6) => v6.to_bits(),
        };
        let other = place.ip().to_canonical();
        let mask = u128::MAX.checked_shl(128 - u32::from(self.bits)).unwrap_or(0);
        self.address.is_ipv4() == other.is_ipv4()
            && bits(self.address) & mask == bits(other) & mask
            && self.port.is_none_or(|port| port == place.port())
    }
}

fn width(address: std::net::IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}", SocketAddr::new(self.address, port)),
            None if self.bits == width(self.address) => write!(f, "{}", self.address),
            None => write!(f, "{}/{}", self.address, self.bits),
        }
    }
}

impl From<Source> for String {
    fn from(source: Source) -> Self {
        source.to_string()
    }
}

impl TryFrom<String> for Source {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let wants =
            || "an address such as 198.51.100.20, 198.51.100.0/24 or 198.51.100.20:5060".to_owned();
        if let Ok(place) = text.parse::<SocketAddr>() {
            return Ok(Self::exactly(place));
        }
        let (address, bits) =
            text.split_once('/').map_or((text.as_str(), None), |(a, b)| (a, Some(b)));
        let address: std::net::IpAddr = address.parse().map_err(|_| wants())?;
        let address = address.to_canonical();
        let bits = match bits {
            Some(bits) => bits.parse().map_err(|_| wants())?,
            None => width(address),
        };
        // Nobody means the whole world: a trunk that anybody can be is no trunk.
        if bits == 0 || bits > width(address) {
            return Err(wants());
        }
        Ok(Self { address, bits, port: None })
    }
}

/// A number, a number's beginning with `*` behind it, or either with `?` for single letters.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pattern(pub String);

impl Pattern {
    /// Whether it describes this text.
    pub fn fits(&self, text: &str) -> bool {
        let (wanted, open) = match self.0.strip_suffix('*') {
            Some(begin) => (begin, true),
            None => (self.0.as_str(), false),
        };
        let same = wanted.bytes().zip(text.bytes()).all(|(want, got)| want == b'?' || want == got);
        same && if open { text.len() >= wanted.len() } else { text.len() == wanted.len() }
    }
}

/// What a trunk is for in a route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Way {
    /// The trunk's name.
    pub trunk: String,
    /// Lower ones are tried first.
    #[serde(default)]
    pub priority: u16,
    /// Share among those of one priority.
    #[serde(default = "one")]
    pub weight: u16,
}

const fn one() -> u16 {
    1
}

/// Where calls go: the first that fits decides.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Route {
    /// Its name.
    pub name: String,
    /// Lower ones are looked at first; among equals the name decides.
    pub priority: u16,
    /// Whose calls: `users`, `trunks`, `user/NAME`, `trunk/NAME`. Empty: everybody's.
    pub from: Vec<String>,
    /// Which dialled numbers. Empty: all.
    pub to: Vec<Pattern>,
    /// When it holds. `None`: always.
    pub when: Option<Schedule>,
    /// Digits to take from the front of what goes out.
    pub strip: u8,
    /// What to put there then.
    pub prefix: String,
    /// It rings these, all at once …
    pub rings: Vec<Rung>,
    /// … or goes out by one of these …
    #[serde(rename = "trunks")]
    pub ways: Vec<Way>,
    /// … or is refused with this status.
    pub reject: Option<u16>,
}

/// How a trunk is, as its home shard saw it last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Where it is reached, best first. Empty: not known.
    pub hops: Vec<Flow>,
    /// Why nothing is sent there now.
    pub down: Option<String>,
    /// Until when we are registered there.
    pub registered: Option<UnixTime>,
    /// Since when this is so.
    pub since: UnixTime,
}

/// One change of the facts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Change {
    /// The dial plan.
    DialPlan(DialPlan),
    /// Nobody answered at this address, or it was not to be reached: until then others are tried before it.
    HopFailed(Flow, UnixTime),
    /// A number; `None`: it is gone.
    Number(String, Option<Number>),
    /// A route; `None`: it is gone.
    Route(String, Option<Box<Route>>),
    /// A trunk; `None`: it is gone.
    Trunk(String, Option<Box<Trunk>>),
    /// How a trunk is.
    TrunkHealth(String, Health),
}

/// All facts that are not users'. In the directory of every shard.
#[derive(Clone, Debug, Default)]
pub struct Routing {
    /// The dial plan.
    pub plan: DialPlan,
    /// By E.164 form.
    pub numbers: BTreeMap<String, Number>,
    /// In the order in which they are looked at.
    pub routes: Vec<Route>,
    /// By name.
    pub trunks: BTreeMap<String, Trunk>,
    /// By the trunk's name.
    pub health: BTreeMap<String, Health>,
    /// Addresses that failed, and until when that counts.
    failed: BTreeMap<(Transport, SocketAddr), UnixTime>,
}

impl Routing {
    /// Takes one change.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::DialPlan(plan) => self.plan = plan,
            Change::HopFailed(hop, until) => self.hop_failed(hop, until),
            Change::Number(number, known) => put(&mut self.numbers, number, known),
            Change::Route(name, route) => {
                self.routes.retain(|known| known.name != name);
                self.routes.extend(route.map(|route| *route));
                self.routes.sort_by(|a, b| (a.priority, &a.name).cmp(&(b.priority, &b.name)));
            }
            Change::Trunk(name, trunk) => {
                if trunk.is_none() {
                    self.health.remove(&name);
                }
                put(&mut self.trunks, name, trunk.map(|trunk| *trunk));
            }
            Change::TrunkHealth(name, health) => {
                // It may come before the trunk itself is read from the store.
                self.health.insert(name, health);
            }
        }
    }

    fn hop_failed(&mut self, hop: Flow, until: UnixTime) {
        if self.failed.len() >= HOPS_FAILED_MAX {
            let first = self.failed.iter().min_by_key(|(_, until)| **until).map(|(hop, _)| *hop);
            first.and_then(|hop| self.failed.remove(&hop));
        }
        self.failed.insert((hop.transport, hop.remote), until);
    }

    /// Whether this address failed, and that still counts.
    pub fn is_failed(&self, hop: &Flow, now: UnixTime) -> bool {
        self.failed.get(&(hop.transport, hop.remote)).is_some_and(|until| now < *until)
    }

    /// Where a trunk is tried, in this order: those that failed lately come last.
    ///
    /// Spec: RFC 3263 §4.3
    pub fn hops_of(&self, trunk: &str, now: UnixTime) -> Vec<Flow> {
        let Some(health) = self.health.get(trunk) else { return Vec::new() };
        let mut hops = health.hops.clone();
        hops.sort_by_key(|hop| self.is_failed(hop, now));
        hops
    }

    /// The trunk that may send from there.
    pub fn trunk_at(&self, place: SocketAddr) -> Option<&Trunk> {
        self.trunks.values().find(|trunk| {
            if !trunk.sources.is_empty() {
                return trunk.sources.iter().any(|source| source.holds(place));
            }
            let health = self.health.get(&trunk.name);
            health.is_some_and(|health| {
                health.hops.iter().any(|hop| Source::exactly(hop.remote).holds(place))
            })
        })
    }

    /// The numbers that ring exactly this user.
    pub fn numbers_of<'a>(&'a self, user: &'a str) -> impl Iterator<Item = &'a Number> {
        let own = move |number: &&Number| matches!(number.rings.as_slice(), [Rung::User(name)] if name == user);
        self.numbers.values().filter(own)
    }
}

fn put<T>(map: &mut BTreeMap<String, T>, name: String, value: Option<T>) {
    match value {
        Some(value) => map.insert(name, value),
        None => map.remove(&name),
    };
}
